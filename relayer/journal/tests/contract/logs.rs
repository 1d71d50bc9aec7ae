//! The raw layer: logs in partitions.

use super::{Harness, append_raw, new_record, partition, read_raw};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{
    AppendError, Attributes, MAX_APPEND_RECORDS, MAX_PARTITIONS, MAX_RECORD_BYTES, NewRecord, ReadError, ReadLimits, Refusal, TopicError,
};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

fn offsets(range: std::ops::Range<u64>) -> Vec<Offset> {
    range.map(Offset).collect()
}

pub(crate) async fn appended_records_are_read_back_as_they_were_with_consecutive_offsets(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let attributes = [("ce_id", &b"1"[..]), ("x", &[0xff])].into_iter().collect();
    let first = NewRecord { key: vec![], value: vec![0, 255, 0], attributes };
    let second = NewRecord { key: b"k".to_vec(), value: vec![], attributes: Attributes::default() };
    assert_eq!(journal.append(&at, vec![first.clone(), second.clone()]).await.unwrap(), offsets(0..2));
    assert_eq!(journal.append(&at, vec![]).await.unwrap(), offsets(0..0));
    assert_eq!(journal.append(&at, vec![first.clone()]).await.unwrap(), offsets(2..3));
    let log = read_raw(&journal, &at).await;
    assert_eq!(log.iter().map(|record| record.offset).collect::<Vec<_>>(), offsets(0..3));
    for (stored, appended) in log.iter().zip([&first, &second, &first]) {
        assert_eq!((&stored.key, &stored.value, &stored.attributes), (&appended.key, &appended.value, &appended.attributes));
    }
}

pub(crate) async fn each_partition_of_a_topic_is_a_log_of_its_own(harness: impl Harness) {
    let journal = harness.journal();
    // Names of which one begins the other: no key of one may be taken for the other's.
    let names = [TopicName::new("a"), TopicName::new("ab"), TopicName::new("a.b")];
    let partitions: Vec<TopicPartition> =
        names.iter().flat_map(|name| [name.partition(0), name.partition(1), name.partition(256)]).collect();
    for name in &names {
        journal.create(name, NonZeroU32::new(257).unwrap()).await.unwrap();
    }
    for (index, at) in partitions.iter().enumerate() {
        append_raw(&journal, at, vec![vec![index as u8]; index + 1]).await;
    }
    for (index, at) in partitions.iter().enumerate() {
        let log = read_raw(&journal, at).await;
        assert_eq!(log.len(), index + 1);
        assert!(log.iter().all(|record| record.value == [index as u8]));
    }
    assert_eq!(journal.end(&names[0].partition(2)).await.unwrap(), Offset(0));
}

pub(crate) async fn a_read_stays_within_its_bounds_but_returns_one_record_however_long(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    append_raw(&journal, &at, vec![vec![1; 1_000]; 10]).await;
    for (limits, count) in [
        (ReadLimits { records_max: 3, bytes_max: usize::MAX }, 3),
        (ReadLimits { records_max: 100, bytes_max: 2_500 }, 3),
        (ReadLimits { records_max: 0, bytes_max: 0 }, 1),
        (ReadLimits { records_max: 100, bytes_max: usize::MAX }, 8),
    ] {
        let batch = journal.read(&at, Offset(2), limits).await.unwrap();
        assert_eq!((batch.records.len(), batch.end), (count, Offset(10)), "{limits:?}");
        assert_eq!(batch.records[0].offset, Offset(2));
    }
}

pub(crate) async fn a_read_past_the_end_returns_nothing_and_says_where_the_end_is(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    append_raw(&journal, &at, vec![vec![1]; 2]).await;
    for from in [2, 3, u64::MAX] {
        let batch = journal.read(&at, Offset(from), ReadLimits::default()).await.unwrap();
        assert_eq!((batch.records.len(), batch.end), (0, Offset(2)));
    }
}

pub(crate) async fn a_topic_keeps_its_number_of_partitions(mut harness: impl Harness) {
    let (two, three) = (NonZeroU32::new(2).unwrap(), NonZeroU32::new(3).unwrap());
    let name = super::topic();
    let journal = harness.journal();
    journal.create(&name, two).await.unwrap();
    journal.create(&name, two).await.unwrap();
    drop(journal);
    harness.crash_and_reopen().await;
    let journal = harness.journal();
    assert_eq!(journal.topics().await.unwrap(), [(name.clone(), two)].into());
    let drift = TopicError::Drift { topic: name.clone(), wanted: three, found: two };
    assert_eq!(journal.create(&name, three).await, Err(drift));
    let bad = journal.create(&TopicName::new("a b"), two).await;
    assert_eq!(bad, Err(TopicError::BadName("a b".into())));
    let many = NonZeroU32::new(MAX_PARTITIONS + 1).unwrap();
    assert_eq!(journal.create(&TopicName::new("many"), many).await, Err(TopicError::TooManyPartitions(many)));
}

pub(crate) async fn nothing_is_written_to_a_partition_that_was_not_created(harness: impl Harness) {
    let journal = harness.journal();
    partition(&journal).await;
    for at in [super::topic().partition(1), TopicName::new("other").partition(0)] {
        let refused = journal.append(&at, vec![new_record(vec![1])]).await;
        assert_eq!(refused, Err(AppendError::Refused { at: at.clone(), reason: Refusal::NoSuchPartition }));
        let missing = Some(ReadError::NoSuchPartition(at.clone()));
        assert_eq!(journal.read(&at, Offset(0), ReadLimits::default()).await.err(), missing);
        assert_eq!(journal.end(&at).await.err(), missing);
        assert_eq!(journal.wait_beyond(&at, Offset(0)).await.err(), missing);
    }
}

pub(crate) async fn what_passes_a_bound_is_refused_whole(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let refusal = |result: Result<Vec<Offset>, AppendError>| match result {
        Err(AppendError::Refused { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    };
    let long = vec![new_record(vec![1]), new_record(vec![0; MAX_RECORD_BYTES])];
    let bytes = MAX_RECORD_BYTES + 3;
    assert_eq!(refusal(journal.append(&at, long).await), Refusal::RecordTooLong { index: 1, bytes });
    let many = vec![new_record(vec![1]); MAX_APPEND_RECORDS + 1];
    assert!(matches!(refusal(journal.append(&at, many).await), Refusal::AppendTooLarge { .. }));
    let heavy = vec![new_record(vec![1; 2 << 20]); 9];
    assert!(matches!(refusal(journal.append(&at, heavy).await), Refusal::AppendTooLarge { .. }));
    assert_eq!(journal.end(&at).await.unwrap(), Offset(0));
    assert_eq!(journal.append(&at, vec![new_record(vec![0; MAX_RECORD_BYTES - 3])]).await.unwrap(), offsets(0..1));
}

pub(crate) async fn a_reader_that_waits_is_woken_by_an_append(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let waiting = tokio::spawn({
        let (journal, at) = (Arc::clone(&journal), at.clone());
        async move { journal.wait_beyond(&at, Offset(0)).await }
    });
    tokio::time::timeout(Duration::from_millis(50), journal.wait_beyond(&at, Offset(0))).await.expect_err("nothing to wake for");
    append_raw(&journal, &at, vec![vec![1]; 3]).await;
    // The records of one call may become readable one after the other.
    let woken = waiting.await.unwrap().unwrap();
    assert!((Offset(1)..=Offset(3)).contains(&woken), "{woken}");
    assert_eq!(journal.end(&at).await.unwrap(), Offset(3));
    assert_eq!(journal.wait_beyond(&at, Offset(2)).await.unwrap(), Offset(3));
    // A log that is shorter than its reader wakes it too; the reader halts then.
    assert_eq!(journal.wait_beyond(&at, Offset(9)).await.unwrap(), Offset(3));
}

pub(crate) async fn concurrent_appends_keep_each_batch_together(harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    let tasks: Vec<_> = (0..16u8)
        .map(|task| {
            let (journal, at) = (Arc::clone(&journal), at.clone());
            tokio::spawn(async move { journal.append(&at, vec![new_record(vec![task]); 5]).await.unwrap() })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort();
    assert_eq!(all, offsets(0..80));
    let log = read_raw(&journal, &at).await;
    assert!(log.chunks(5).all(|batch| batch.iter().all(|record| record.value == batch[0].value)));
}

pub(crate) async fn acknowledged_records_survive_a_crash(mut harness: impl Harness) {
    let journal = harness.journal();
    let at = partition(&journal).await;
    append_raw(&journal, &at, (0..20u8).map(|n| vec![n; 100]).collect()).await;
    let before = read_raw(&journal, &at).await;
    drop(journal);
    harness.crash_and_reopen().await;
    let journal = harness.journal();
    assert_eq!(read_raw(&journal, &at).await, before);
    assert_eq!(journal.append(&at, vec![new_record(vec![9])]).await.unwrap(), offsets(20..21));
}
