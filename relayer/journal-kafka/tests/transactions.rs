//! Derived topics in transactions: what subscribers of committed records see, and what our own reader does about the marks that
//! transactions leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unused_macros, unused_imports)]

#[path = "../../journal/tests/contract/mod.rs"]
mod contract;
mod faults_support;
mod support;

use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{AppendError, EventJournal, ReadError, ReadLimits, Refusal};
use acurast_relayer_journal_kafka::{KafkaConfig, KafkaJournal, Transactions};
use contract::{append_raw, new_record};
use faults_support::{admin, create_plain, eventually, noise};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use support::{Brokers, ready};

/// One broker for the tests that don't stop it; its holder ends when the process does.
fn shared() -> Option<KafkaConfig> {
    static BROKER: OnceLock<Option<Brokers>> = OnceLock::new();
    BROKER.get_or_init(|| ready().then(|| Brokers::start(1))).as_ref().map(Brokers::config)
}

fn open(config: &KafkaConfig, prefix: &str, transactions: Transactions) -> Arc<dyn EventJournal> {
    Arc::new(KafkaJournal::open(&KafkaConfig { transactions, ..config.clone() }, prefix).unwrap())
}

async fn partition(journal: &Arc<dyn EventJournal>, topic: &str) -> TopicPartition {
    let topic = TopicName::new(topic);
    journal.create(&topic, NonZeroU32::MIN).await.unwrap();
    topic.partition(0)
}

fn values(numbers: &[u8]) -> Vec<Vec<u8>> {
    numbers.iter().map(|number| vec![*number]).collect()
}

/// All that our reader sees, read as a follower does: on from the last record until a read is empty.
async fn read(journal: &Arc<dyn EventJournal>, at: &TopicPartition) -> Vec<(u64, u8)> {
    let mut next = Offset(0);
    let mut seen = Vec::new();
    loop {
        let batch = journal.read(at, next, ReadLimits { records_max: 2, bytes_max: usize::MAX }).await.unwrap();
        let Some(last) = batch.records.last() else { return seen };
        next = last.offset.next();
        seen.extend(batch.records.iter().map(|record| (record.offset.0, record.value[0])));
    }
}

/// Waits until the log ends at `end`: the brokers write the mark of a transaction some time after they agreed to it.
async fn ends_at(journal: &Arc<dyn EventJournal>, at: &TopicPartition, end: u64) {
    eventually(|| async { (journal.end(at).await == Ok(Offset(end))).then_some(()) }).await;
}

/// What a subscriber sees that reads committed records only, with any client.
fn subscribe(config: &KafkaConfig, at: &TopicPartition) -> Vec<(u64, u8)> {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", config.brokers.join(","))
        .set("group.id", "subscriber")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    let subscriber: BaseConsumer = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(at.topic.as_str(), 0, At::Beginning).unwrap();
    subscriber.assign(&list).unwrap();
    let mut seen = Vec::new();
    loop {
        match subscriber.poll(Duration::from_secs(30)).expect("the broker answers") {
            Ok(message) => seen.push((u64::try_from(message.offset()).unwrap(), message.payload().unwrap()[0])),
            Err(KafkaError::PartitionEOF(_)) => return seen,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Somebody else's transactional producer, with a transaction begun and these values sent.
fn foreign(config: &KafkaConfig, id: &str, at: &TopicPartition, numbers: &[u8]) -> BaseProducer {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", config.brokers.join(",")).set("transactional.id", id);
    let producer: BaseProducer = client.create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
    producer.begin_transaction().unwrap();
    for number in numbers {
        producer.send(BaseRecord::<(), [u8]>::to(at.topic.as_str()).partition(0).payload(&[*number])).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    producer
}

async fn sees(journal: &Arc<dyn EventJournal>, at: &TopicPartition, expected: &[(u64, u8)]) {
    let seen = eventually(|| async {
        let seen = read(journal, at).await;
        (seen.len() >= expected.len()).then_some(seen)
    })
    .await;
    assert_eq!(seen, expected);
}

/// One test at a time has the broker: a transaction that waits for others' is slow to end, and times out where all share two cores.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_may_be_switched_on_and_off_and_their_marks_stop_no_reader() {
    let Some(config) = shared() else { return };
    let _alone = ALONE.lock().await;
    let [off, on] = [Transactions::Off, Transactions::On].map(|transactions| open(&config, "switch.", transactions));
    let at = partition(&off, "switch.receipts.v1").await;
    append_raw(&off, &at, values(&[1, 2])).await;
    let appended = on.append(&at, values(&[3, 4, 5]).into_iter().map(new_record).collect()).await.unwrap();
    assert_eq!(appended, [Offset(2), Offset(3), Offset(4)]);
    // The mark has offset 5.
    ends_at(&on, &at, 6).await;
    let mut expected = vec![(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)];
    for journal in [&on, &off] {
        sees(journal, &at, &expected).await;
        assert_eq!(journal.end(&at).await, Ok(Offset(6)));
        let began = Instant::now();
        for from in [5, 6] {
            let batch = journal.read(&at, Offset(from), ReadLimits::default()).await.unwrap();
            assert_eq!((batch.records.len(), batch.end), (0, Offset(from)));
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    // Whoever waits at the last record isn't woken by the mark, and whoever waits after it neither.
    let waiting: Vec<_> = [5, 6]
        .map(|offset| {
            let (journal, at) = (Arc::clone(&on), at.clone());
            tokio::spawn(async move { journal.wait_beyond(&at, Offset(offset)).await })
        })
        .into();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    append_raw(&off, &at, values(&[6])).await;
    expected.push((6, 6));
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), Ok(Offset(7)));
    }
    append_raw(&on, &at, values(&[7])).await;
    append_raw(&on, &at, values(&[8, 9])).await;
    ends_at(&off, &at, 12).await;
    append_raw(&off, &at, values(&[10])).await;
    expected.extend([(7, 7), (9, 8), (10, 9), (12, 10)]);
    for journal in [&on, &off, &open(&config, "switch.", Transactions::Off)] {
        sees(journal, &at, &expected).await;
    }
    assert_eq!(subscribe(&config, &at), expected);

    // The other kinds of topics have no marks, whatever is set.
    for name in ["switch.jobs.v1", "switch.lanes.v1", "switch.outputs.v1", "switch.control.v1", "switch.source.eip155-1.v1"] {
        let at = partition(&on, name).await;
        append_raw(&on, &at, values(&[1])).await;
        append_raw(&on, &at, values(&[2])).await;
        assert_eq!(on.end(&at).await, Ok(Offset(2)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_what_was_given_up_or_is_not_committed_yet() {
    let Some(config) = shared() else { return };
    let _alone = ALONE.lock().await;
    let journal = open(&config, "given.", Transactions::On);
    let at = partition(&journal, "given.reputation.v1").await;
    append_raw(&journal, &at, values(&[1])).await;
    ends_at(&journal, &at, 2).await;
    let given_up = foreign(&config, "given-up", &at, &[66, 67]);
    given_up.abort_transaction(Duration::from_secs(30)).unwrap();
    let mut expected = vec![(0, 1)];
    sees(&journal, &at, &expected).await;
    assert_eq!(subscribe(&config, &at), expected);
    // Ours follows the two, their mark and our own first one.
    ends_at(&journal, &at, 5).await;
    append_raw(&journal, &at, values(&[2])).await;
    ends_at(&journal, &at, 7).await;
    expected.push((5, 2));
    sees(&journal, &at, &expected).await;
    assert_eq!(subscribe(&config, &at), expected);

    // An open one hides what follows it, until it is committed.
    let open_one = foreign(&config, "open", &at, &[3]);
    append_raw(&journal, &at, values(&[4])).await;
    assert_eq!(read(&journal, &at).await, expected);
    assert_eq!(subscribe(&config, &at), expected);
    let waiting = tokio::spawn({
        let (journal, at) = (Arc::clone(&journal), at.clone());
        async move { journal.wait_beyond(&at, Offset(6)).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    open_one.commit_transaction(Duration::from_secs(30)).unwrap();
    waiting.await.unwrap().unwrap();
    expected.extend([(7, 3), (8, 4)]);
    sees(&journal, &at, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_somebody_else_on_an_authoritative_topic_hides_nothing_and_its_mark_is_a_loss() {
    let Some(config) = shared() else { return };
    let _alone = ALONE.lock().await;
    let journal = open(&config, "foreign.", Transactions::On);
    let at = partition(&journal, "foreign.jobs.v1").await;
    append_raw(&journal, &at, values(&[1])).await;
    let producer = foreign(&config, "foreign", &at, &[2]);
    append_raw(&journal, &at, values(&[3])).await;
    let fresh = open(&config, "foreign.", Transactions::Off);
    assert_eq!(fresh.end(&at).await, Ok(Offset(3)), "recovery reads up to the high watermark");
    assert_eq!(read(&fresh, &at).await, [(0, 1), (1, 2), (2, 3)]);
    producer.commit_transaction(Duration::from_secs(30)).unwrap();
    ends_at(&journal, &at, 4).await;
    // Also while the mark is the last that the log has.
    let hasty = KafkaConfig { read_timeout_ms: 2_000, ..config.clone() };
    for _ in 0..2 {
        let fresh = open(&hasty, "foreign.", Transactions::On);
        let mut next = Offset(0);
        let damaged = loop {
            match fresh.read(&at, next, ReadLimits::default()).await {
                Ok(batch) => next = batch.records.last().expect("the log goes on").offset.next(),
                Err(error) => break error,
            }
        };
        assert!(matches!(&damaged, ReadError::Corrupted { offset: Offset(3), .. }), "{damaged:?}");
        append_raw(&journal, &at, values(&[4])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_topic_does_not_take_is_refused_with_its_whole_transaction() {
    let Some(config) = shared() else { return };
    let _alone = ALONE.lock().await;
    let journal = open(&config, "small.", Transactions::On);
    let name = TopicName::new("small.dead-letters.v1");
    create_plain(&admin(&config), &name).await;
    let at = name.partition(0);
    let refused = journal.append(&at, vec![new_record(vec![1]), new_record(noise(3 << 20)), new_record(vec![2])]).await;
    let Err(AppendError::Refused { reason: Refusal::Unavailable(reason), .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("max.message.bytes"), "{reason}");
    append_raw(&journal, &at, values(&[3])).await;
    let seen = eventually(|| async { Some(read(&journal, &at).await).filter(|seen| !seen.is_empty()) }).await;
    assert_eq!(seen.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [3]);
    assert_eq!(subscribe(&config, &at), seen);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_whose_outcome_is_unknown_is_uncertain_and_may_be_published_again() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start(1);
    let config = KafkaConfig { delivery_timeout_ms: 3_000, ..brokers.config() };
    let journal = open(&config, "acurast.", Transactions::On);
    let at = partition(&journal, "acurast.receipts.v1").await;
    append_raw(&journal, &at, values(&[1, 2])).await;
    brokers.act("pause", 1);
    let began = Instant::now();
    let doubtful = journal.append(&at, values(&[3, 4, 5]).into_iter().map(new_record).collect()).await;
    assert!(matches!(&doubtful, Err(AppendError::Uncertain { .. })), "{doubtful:?}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    brokers.act("resume", 1);
    let again = || values(&[3, 4, 5]).into_iter().map(new_record).collect();
    eventually(|| async { journal.append(&at, again()).await.ok() }).await;
    // The doubtful ones are there whole or not at all, once the brokers gave them up.
    let seen = eventually(|| async {
        let seen: Vec<u8> = read(&journal, &at).await.into_iter().map(|(_, value)| value).collect();
        (seen.len() >= 5).then_some(seen)
    })
    .await;
    assert!(seen == [1, 2, 3, 4, 5] || seen == [1, 2, 3, 4, 5, 3, 4, 5], "{seen:?}");
    assert_eq!(subscribe(&config, &at).into_iter().map(|(_, value)| value).collect::<Vec<_>>(), seen);
}
