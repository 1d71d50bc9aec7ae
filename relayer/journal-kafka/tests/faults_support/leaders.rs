//! Moving a partition's leader, by the two requests of Kafka's protocol that the client library lacks.

use acurast_events::topics::TopicPartition;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const ELECT_LEADERS: i16 = 43;
const ALTER_PARTITION_REASSIGNMENTS: i16 = 45;
const REQUEST_MS: i32 = 10_000;

/// The broker that leads the partition, if any does.
pub(crate) fn leader(brokers: &[String], at: &TopicPartition) -> Option<i32> {
    let asking: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers.join(",")).create().unwrap();
    let metadata = asking.fetch_metadata(Some(at.topic.as_str()), Duration::from_secs(10)).ok()?;
    let partition = metadata.topics().first()?.partitions().iter().find(|partition| partition.id() == number(at))?;
    (partition.leader() >= 0).then(|| partition.leader())
}

/// Makes `replicas` the partition's replicas; the first is the one that should lead.
pub(crate) fn reassign(broker: &str, at: &TopicPartition, replicas: &[i32]) {
    let mut body = REQUEST_MS.to_be_bytes().to_vec();
    // Compact: lengths are one more than they are, and each structure ends with its number of tagged fields.
    body.push(2);
    let name = at.topic.as_str().as_bytes();
    body.push(u8::try_from(name.len() + 1).unwrap());
    body.extend(name);
    body.push(2);
    body.extend(number(at).to_be_bytes());
    body.push(u8::try_from(replicas.len() + 1).unwrap());
    replicas.iter().for_each(|replica| body.extend(replica.to_be_bytes()));
    body.extend([0, 0, 0]);
    let answer = ask(broker, ALTER_PARTITION_REASSIGNMENTS, 0, true, &body);
    // Correlation, tags, throttling; then the error.
    assert_eq!(answer[9..11], [0, 0], "{answer:?}");
}

/// Has the first of its replicas lead the partition, if that one is in sync. False when it isn't yet, or does already.
pub(crate) fn elect_preferred(broker: &str, at: &TopicPartition) -> bool {
    const PREFERRED: u8 = 0;
    let mut body = vec![PREFERRED];
    body.extend(1i32.to_be_bytes());
    let name = at.topic.as_str().as_bytes();
    body.extend(i16::try_from(name.len()).unwrap().to_be_bytes());
    body.extend(name);
    body.extend(1i32.to_be_bytes());
    body.extend(number(at).to_be_bytes());
    body.extend(REQUEST_MS.to_be_bytes());
    let answer = ask(broker, ELECT_LEADERS, 1, false, &body);
    // Correlation, throttling, error of the whole, one topic, its name, one partition, its number; then its error.
    assert_eq!(answer[8..10], [0, 0], "{answer:?}");
    let error = 14 + 2 + name.len() + 4 + 4;
    answer.get(error..error + 2) == Some(&[0, 0])
}

fn number(at: &TopicPartition) -> i32 {
    i32::try_from(at.partition).unwrap()
}

/// One request; the answer from its correlation id on.
fn ask(broker: &str, key: i16, version: i16, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut request = [key.to_be_bytes(), version.to_be_bytes()].concat();
    request.extend(7i32.to_be_bytes());
    request.extend((-1i16).to_be_bytes());
    if flexible {
        request.push(0);
    }
    request.extend(body);
    let mut stream = TcpStream::connect(broker).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&request).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..4], 7i32.to_be_bytes());
    answer
}
