//! What brokers do on bad days, done to real ones: killed, stalled, short of replicas, topics cut or gone, records too large.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unused_macros, unused_imports)]

#[path = "../../journal/tests/contract/mod.rs"]
mod contract;
mod faults_support;
mod support;

use acurast_events::topics::TopicName;
use acurast_events::units::Offset;
use acurast_relayer_journal::{
    AppendError, EventJournal, FollowError, Frontier, Halt, InputError, InputReader, PartitionReader, ReadError, ReadLimits, Refusal,
};
use acurast_relayer_journal_kafka::{KafkaConfig, KafkaJournal};
use contract::{append_raw, claim, drafts, new_record, partition, read_all, read_raw, subjects};
use faults_support::{Persistent, admin, delete_records, delete_topic, eventually};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Brokers, ready};

fn open(config: &KafkaConfig) -> Arc<dyn EventJournal> {
    Arc::new(KafkaJournal::open(config, "acurast.").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_loses_nothing_acknowledged_and_doubles_nothing_accepted() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start(1);
    // Shorter than an outage, so that appends are in doubt and owners must rebuild.
    let config = KafkaConfig { delivery_timeout_ms: 2_000, ..brokers.config() };
    let journal = open(&config);
    let at = partition(&journal).await;
    let follower = Persistent::follow(Arc::clone(&journal), at.clone());
    let writer = Persistent::write(Arc::clone(&journal), at.clone());
    for _ in 0..2 {
        writer.grow_by(200).await;
        brokers.act("kill", 1);
        tokio::time::sleep(Duration::from_secs(4)).await;
        brokers.act("revive", 1);
    }
    writer.grow_by(200).await;
    let acknowledged = writer.stop().await;
    let (accepted, _) = read_all(&journal, &at).await;
    let accepted = subjects(&accepted);
    assert!(acknowledged.len() >= 600 && accepted.len() >= acknowledged.len());
    let expected: Vec<String> = (0..accepted.len()).map(|number| number.to_string()).collect();
    assert_eq!(accepted, expected, "each decision once, in order");
    assert!(acknowledged.iter().all(|subject| subject.parse::<usize>().unwrap() < accepted.len()), "nothing acknowledged is lost");
    assert_eq!(follower.until(accepted.len()).await, expected, "a follower that read all the while saw the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stalls_leaves_an_append_in_doubt_within_its_time_and_hangs_nobody() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start(1);
    let config = KafkaConfig { delivery_timeout_ms: 3_000, read_timeout_ms: 3_000, ..brokers.config() };
    let journal = open(&config);
    let at = partition(&journal).await;
    append_raw(&journal, &at, vec![vec![1]; 3]).await;
    assert_eq!(read_raw(&journal, &at).await.len(), 3);
    brokers.act("pause", 1);
    let began = Instant::now();
    let doubtful = journal.append(&at, vec![new_record(vec![2])]).await;
    assert!(matches!(&doubtful, Err(AppendError::Uncertain { .. })), "{doubtful:?}");
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    let began = Instant::now();
    let unread = journal.end(&at).await;
    assert!(matches!(&unread, Err(ReadError::Unavailable { .. })), "{unread:?}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    // What was fetched before is still readable, as always.
    let batch = journal.read(&at, Offset(0), ReadLimits::default()).await.unwrap();
    assert_eq!(batch.records.len(), 3);
    brokers.act("resume", 1);
    let offsets = eventually(|| async { journal.append(&at, vec![new_record(vec![3])]).await.ok() }).await;
    // The doubtful one landed, or it didn't; nothing else did.
    let log: Vec<Vec<u8>> = read_raw(&journal, &at).await.into_iter().map(|record| record.value).collect();
    assert_eq!(log[usize::try_from(offsets[0].0).unwrap()], [3]);
    assert_eq!(log.iter().filter(|value| **value == [1]).count(), 3);
    assert!(log.iter().filter(|value| **value == [2]).count() <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_cut_or_replaced_is_refused_with_what_is_wrong() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start(1);
    let journal = open(&brokers.config());
    let at = partition(&journal).await;
    let (mut writer, _) = claim(&journal, &at, 1).await;
    let last = writer.append(drafts(&writer, &["a", "b", "c", "d"])).await.unwrap().pop().unwrap();
    let admin = admin(&brokers.config());

    // Its first records are deleted.
    delete_records(&admin, &at, Offset(2)).await;
    let fresh = open(&brokers.config());
    let truncated = ReadError::Truncated { at: at.clone(), begins: Offset(2), asked: Offset(0) };
    assert_eq!(fresh.read(&at, Offset(0), ReadLimits::default()).await, Err(truncated.clone()));
    let opened = PartitionReader::open(Arc::clone(&fresh), at.clone(), Frontier::START).await;
    assert_eq!(opened.unwrap().next_batch().await.err(), Some(FollowError::Read(truncated)));
    // One that is past them goes on.
    PartitionReader::open(Arc::clone(&fresh), at.clone(), last.frontier()).await.unwrap();

    // It is gone, while somebody waits at its end.
    let waiting = tokio::spawn({
        let (journal, at) = (Arc::clone(&journal), at.clone());
        async move { journal.wait_beyond(&at, Offset(5)).await }
    });
    delete_topic(&admin, &at.topic).await;
    let woken = tokio::time::timeout(Duration::from_secs(90), waiting).await.expect("whoever waits is told").unwrap();
    assert_eq!(woken, Err(ReadError::NoSuchPartition(at.clone())));
    let refused = open(&brokers.config()).append(&at, vec![new_record(vec![1])]).await;
    assert_eq!(refused, Err(AppendError::Refused { at: at.clone(), reason: Refusal::NoSuchPartition }));

    // Somebody made it anew, shorter than it was.
    let replaced = open(&brokers.config());
    replaced.create(&at.topic, NonZeroU32::MIN).await.unwrap();
    append_raw(&replaced, &at, vec![vec![1]; 3]).await;
    let opened = PartitionReader::open(Arc::clone(&replaced), at.clone(), last.frontier()).await;
    assert_eq!(opened.err(), Some(FollowError::Halt(Halt::Shortened { at: at.clone(), end: Offset(3), read: Offset(5) })));
    let lost = InputReader::open(Arc::clone(&replaced), at.clone(), Offset(4)).await.err();
    assert_eq!(lost, Some(InputError::Lost { at: at.clone(), end: Offset(3), taken: Offset(4) }));
    // And longer than it was.
    append_raw(&replaced, &at, vec![vec![1]; 9]).await;
    let opened = PartitionReader::open(replaced, at.clone(), last.frontier()).await;
    assert_eq!(opened.err(), Some(FollowError::Halt(Halt::Rewritten { at, offset: Offset(4), applied: last.hash })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_topic_does_not_take_is_refused_and_nothing_is_written() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start(1);
    let name = TopicName::new("acurast.small.v1");
    faults_support::create_plain(&admin(&brokers.config()), &name).await;
    let journal = open(&brokers.config());
    let at = name.partition(0);
    // Not compressible, beyond the broker's default of 1 MiB.
    let noise = faults_support::noise(3 << 20);
    let refused = journal.append(&at, vec![new_record(noise)]).await;
    let Err(AppendError::Refused { reason: Refusal::Unavailable(reason), .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("max.message.bytes"), "{reason}");
    assert_eq!(journal.end(&at).await, Ok(Offset(0)));
    assert_eq!(journal.append(&at, vec![new_record(vec![1])]).await, Ok(vec![Offset(0)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_in_sync_replicas_acknowledge_nothing_until_they_are_back() {
    if !ready() {
        return;
    }
    let brokers = Brokers::start(3);
    let config = KafkaConfig { delivery_timeout_ms: 4_000, read_timeout_ms: 60_000, ..brokers.config() };
    let journal = open(&config);
    let at = partition(&journal).await;
    let writer = Persistent::write(Arc::clone(&journal), at.clone());
    writer.grow_by(100).await;
    // One of three lost: two in sync are enough.
    brokers.act("kill", 1);
    writer.grow_by(100).await;
    brokers.act("kill", 2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stands = writer.acknowledged();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(writer.acknowledged(), stands, "one replica acknowledges nothing");
    brokers.act("revive", 1);
    brokers.act("revive", 2);
    writer.grow_by(100).await;
    let acknowledged = writer.stop().await;
    let (accepted, _) = read_all(&journal, &at).await;
    let accepted = subjects(&accepted);
    let expected: Vec<String> = (0..accepted.len()).map(|number| number.to_string()).collect();
    assert_eq!(accepted, expected);
    assert!(acknowledged.iter().all(|subject| subject.parse::<usize>().unwrap() < accepted.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_acknowledges_nothing_more_and_keeps_what_it_acknowledged() {
    if !ready() {
        return;
    }
    let Some(brokers) = Brokers::start_on_small_disk("96m") else { return };
    let journal = open(&KafkaConfig { delivery_timeout_ms: 5_000, ..brokers.config() });
    let at = partition(&journal).await;
    let numbered = |number: usize| [&number.to_be_bytes()[..], &faults_support::noise(1 << 20)].concat();
    let mut acknowledged = 0;
    let full = loop {
        match journal.append(&at, vec![new_record(numbered(acknowledged))]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 100, "96 MiB take no 100 MiB");
    };
    assert!(acknowledged > 5, "{acknowledged}");
    assert!(matches!(full, AppendError::Uncertain { .. }), "{full:?}");
    assert!(journal.append(&at, vec![new_record(numbered(0))]).await.is_err(), "it stays full");
    brokers.enlarge_disk("512m");
    // Kafka gives a failed disk up, and ends with its only one.
    brokers.try_act("kill", 1);
    brokers.act("revive", 1);
    let appended = eventually(|| async { journal.append(&at, vec![new_record(vec![1])]).await.ok() }).await;
    let log = faults_support::read_whole(&journal, &at).await;
    assert!(
        log.iter().take(acknowledged).enumerate().all(|(number, value)| *value == numbered(number)),
        "all that was acknowledged is there"
    );
    // After them at most the two in doubt, then the new one.
    assert!((acknowledged..=acknowledged + 2).contains(&usize::try_from(appended[0].0).unwrap()), "{appended:?}");
}
