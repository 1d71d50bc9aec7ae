//! An owner and a follower that never give up, what an administrator can do to topics, and a network that breaks.

pub(crate) mod leaders;
pub(crate) mod proxy;

use crate::contract::{draft, options, subjects};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{
    ClaimOptions, Claiming, EventJournal, FollowError, Frontier, PartitionReader, PartitionWriter, ReadLimits, fresh_writer_id,
};
use acurast_relayer_journal_kafka::KafkaConfig;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Records of one decision.
const BATCH: usize = 7;

/// A task that goes on through any outage, as a supervised relayer does.
pub(crate) struct Persistent {
    subjects: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Persistent {
    /// Claims the partition, folds it, and writes decisions numbered on from what it folded; again whenever it is lost.
    pub(crate) fn write(journal: Arc<dyn EventJournal>, at: TopicPartition) -> Self {
        Self::spawn(move |acknowledged, stop| async move {
            while !stop.is_cancelled() {
                let Some((mut writer, mut next)) = take_over(&journal, &at).await else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                while !stop.is_cancelled() {
                    let names: Vec<String> = (next..next + BATCH).map(|number| number.to_string()).collect();
                    let drafts = names.iter().zip(0..).map(|(name, position)| draft(&writer, name, position)).collect();
                    if writer.append(drafts).await.is_err() {
                        break;
                    }
                    next += BATCH;
                    acknowledged.lock().unwrap().extend(names);
                }
            }
        })
    }

    /// Reads all that is accepted, waiting at the end.
    pub(crate) fn follow(journal: Arc<dyn EventJournal>, at: TopicPartition) -> Self {
        Self::spawn(move |seen, stop| async move {
            let mut reader = PartitionReader::open(journal, at, Frontier::START).await.unwrap();
            while !stop.is_cancelled() {
                let read = async {
                    let batch = reader.next_batch().await?;
                    seen.lock().unwrap().extend(subjects(&batch.records));
                    if batch.caught_up { reader.wait().await } else { Ok(()) }
                };
                tokio::select! {
                    read = read => match read {
                        Ok(()) => {}
                        Err(FollowError::Read(_)) => tokio::time::sleep(Duration::from_millis(100)).await,
                        Err(FollowError::Halt(halt)) => panic!("{halt}"),
                    },
                    () = stop.cancelled() => {}
                }
            }
        })
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(run: impl FnOnce(Arc<Mutex<Vec<String>>>, CancellationToken) -> F) -> Self {
        let (subjects, stop) = (Arc::default(), CancellationToken::new());
        let task = tokio::spawn(run(Arc::clone(&subjects), stop.clone()));
        Self { subjects, stop, task }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.subjects.lock().unwrap().len()
    }

    /// Waits until it has `more` than now.
    pub(crate) async fn grow_by(&self, more: usize) {
        let until = self.acknowledged() + more;
        eventually(|| async { (self.acknowledged() >= until).then_some(()) }).await;
    }

    pub(crate) async fn until(self, count: usize) -> Vec<String> {
        eventually(|| async { (self.acknowledged() >= count).then_some(()) }).await;
        self.stop().await
    }

    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.cancel();
        self.task.await.unwrap();
        self.subjects.lock().unwrap().clone()
    }
}

async fn take_over(journal: &Arc<dyn EventJournal>, at: &TopicPartition) -> Option<(PartitionWriter, usize)> {
    let options = ClaimOptions { writer: fresh_writer_id(), ..options(0) };
    let mut claiming = Claiming::begin(Arc::clone(journal), at.clone(), Frontier::START, options).await.ok()?;
    let mut folded = 0;
    while let Some(records) = claiming.next_batch().await.ok()? {
        folded += records.len();
    }
    Some((claiming.finish().unwrap(), folded))
}

/// Asks until there is an answer; fails after two minutes.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), asking).await.expect("it never happened")
}

pub(crate) fn admin(config: &KafkaConfig) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", config.brokers.join(",")).create().unwrap()
}

/// A topic with the broker's defaults.
pub(crate) async fn create_plain(admin: &AdminClient<DefaultClientContext>, topic: &TopicName) {
    let new = NewTopic::new(topic.as_str(), 1, TopicReplication::Fixed(1));
    let results = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

pub(crate) async fn delete_records(admin: &AdminClient<DefaultClientContext>, at: &TopicPartition, before: Offset) {
    let mut offsets = TopicPartitionList::new();
    let before = At::Offset(i64::try_from(before.0).unwrap());
    offsets.add_partition_offset(at.topic.as_str(), i32::try_from(at.partition).unwrap(), before).unwrap();
    let deleted = admin.delete_records(&offsets, &AdminOptions::new()).await.unwrap();
    deleted.elements().iter().for_each(|element| element.error().unwrap());
}

pub(crate) async fn delete_topic(admin: &AdminClient<DefaultClientContext>, topic: &TopicName) {
    let results = admin.delete_topics(&[topic.as_str()], &AdminOptions::new()).await.unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

/// Sets these, and drops what else was set.
pub(crate) async fn set_config(admin: &AdminClient<DefaultClientContext>, topic: &TopicName, entries: &[(&str, &str)]) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic.as_str()));
    let change = entries.iter().fold(change, |change, (name, value)| change.set(name, value));
    let results = admin.alter_configs([&change], &AdminOptions::new()).await.unwrap();
    results.into_iter().for_each(|result| drop(result.unwrap()));
}

pub(crate) async fn get_config(admin: &AdminClient<DefaultClientContext>, topic: &TopicName, name: &str) -> Option<String> {
    let asked = [ResourceSpecifier::Topic(topic.as_str())];
    let mut described = admin.describe_configs(&asked, &AdminOptions::new()).await.unwrap();
    described.pop().unwrap().unwrap().get(name).and_then(|entry| entry.value.clone())
}

/// All values of a partition, read by read.
pub(crate) async fn read_whole(journal: &Arc<dyn EventJournal>, at: &TopicPartition) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    loop {
        let next = Offset(u64::try_from(values.len()).unwrap());
        let batch = journal.read(at, next, ReadLimits::default()).await.unwrap();
        values.extend(batch.records.into_iter().map(|record| record.value));
        if u64::try_from(values.len()).unwrap() >= batch.end.0 {
            return values;
        }
    }
}

/// Bytes that no compression shortens.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}
