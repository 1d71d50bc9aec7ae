//! A small fold over records, as a core would do it: one row per subject, an index of open ones, and a counter.

// Each test binary uses a part of it.
#![allow(dead_code)]

use acurast_events::bytes::{Bytes, EventId, Genesis, WriterId};
use acurast_events::record::{InputPosition, InputRef, Progress};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{
    AcceptedRecord, ClaimOptions, Claiming, Draft, EventJournal, PartitionWriter, progress_event, state_digest_event, state_digest_of,
};
use acurast_relayer_store::{Identity, PartitionStore, Row, digest_runs};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Subjects and what was last said of them.
pub(crate) const SUBJECTS: u8 = 1;
/// Subjects that have more to come.
pub(crate) const OPEN: u8 = 2;
/// How many records there were.
pub(crate) const COUNT: u8 = 3;

pub(crate) const SCHEMA: u32 = 1;

pub(crate) fn identity() -> Identity {
    Identity { genesis: Genesis([7; 32]), prefix: "acurast.".into() }
}

pub(crate) fn at() -> TopicPartition {
    TopicName::new("acurast.jobs.v1").partition(0)
}

pub(crate) async fn create(journal: &Arc<dyn EventJournal>) {
    journal.create(&at().topic, NonZeroU32::MIN).await.unwrap();
}

/// The rows that `records` change: the state after them follows from the rows before and the records alone.
pub(crate) fn rows(store: &PartitionStore, records: &[AcceptedRecord]) -> Vec<Row> {
    let mut changed: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>> = BTreeMap::new();
    let mut count = store.get(COUNT, b"").unwrap().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
    for accepted in records {
        let subject = accepted.record.subject.0.clone();
        count += 1;
        let said = accepted.record.events.first().map(|event| event.0.clone()).unwrap_or_default();
        // What a subject said last decides whether it is gone, closed or open.
        match said.last().map_or(0, |byte| byte % 4) {
            0 => {
                changed.insert((SUBJECTS, subject.clone()), None);
                changed.insert((OPEN, subject), None);
            }
            1 => {
                changed.insert((SUBJECTS, subject.clone()), Some(said));
                changed.insert((OPEN, subject), None);
            }
            _ => {
                changed.insert((SUBJECTS, subject.clone()), Some(said));
                changed.insert((OPEN, subject), Some(Vec::new()));
            }
        }
    }
    changed.insert((COUNT, Vec::new()), Some(count.to_be_bytes().to_vec()));
    changed.into_iter().map(|((table, key), value)| (table, key, value)).collect()
}

/// Applies records as a loop does.
pub(crate) fn apply(store: &mut PartitionStore, records: &[AcceptedRecord]) {
    for run in digest_runs(records.to_vec()) {
        let rows = rows(store, &run);
        store.commit(&run, rows, true).unwrap();
    }
}

/// Claims the partition and folds what is behind.
pub(crate) async fn own(journal: &Arc<dyn EventJournal>, store: &mut PartitionStore, writer: WriterId) -> PartitionWriter {
    let options = ClaimOptions { writer, ..ClaimOptions::new(Duration::from_secs(30)) };
    let mut claiming = Claiming::with(store.follow(Arc::clone(journal)).await.unwrap(), options);
    while let Some(records) = claiming.next_batch().await.unwrap() {
        apply(store, &records);
    }
    claiming.finish().unwrap()
}

/// Folds the whole partition into `store`, in batches of at most `batch` records.
pub(crate) async fn fold_all(journal: &Arc<dyn EventJournal>, store: &mut PartitionStore, batch: usize) {
    let mut reader = store.follow(Arc::clone(journal)).await.unwrap();
    loop {
        let read = reader.next_batch().await.unwrap();
        for records in read.records.chunks(batch) {
            apply(store, records);
        }
        if read.caught_up {
            return;
        }
    }
}

/// The input at `position` of an outputs partition.
pub(crate) fn input(position: u64) -> InputRef {
    InputRef { topic: "acurast.outputs.v1".into(), partition: 0, position: Offset(position), id: EventId([position as u8; 32]) }
}

/// `subject` says `said`, in answer to the input at `position`.
pub(crate) fn draft(writer: &PartitionWriter, subject: &[u8], said: u8, position: u64) -> Draft {
    Draft {
        key: subject.to_vec(),
        at: writer.stamp(),
        input: Some(input(position)),
        subject: Bytes(subject.to_vec()),
        traceparent: None,
        // Field 99 of the topic's event, which stores and readers don't look into.
        events: vec![Bytes(vec![0x9a, 0x06, 1, said])],
    }
}

/// The owner's digest of the state as it is.
pub(crate) fn state_digest(writer: &PartitionWriter, store: &PartitionStore) -> Draft {
    let events = vec![state_digest_event(&store.state_digest())];
    Draft { input: None, subject: Bytes::default(), events, ..draft(writer, b"", 0, 0) }
}

/// Whether the record has a digest.
pub(crate) fn is_digest(accepted: &AcceptedRecord) -> bool {
    state_digest_of(&accepted.record).unwrap().is_some()
}

/// The owner's Progress: all inputs before `next` are taken.
pub(crate) fn progress(writer: &PartitionWriter, next: u64) -> Draft {
    let inputs = vec![InputPosition { topic: "acurast.outputs.v1".into(), partition: 0, next: Offset(next) }];
    let event = progress_event(&Progress { inputs, published: Vec::new() });
    Draft { input: None, subject: Bytes::default(), events: vec![event], ..draft(writer, b"", 0, 0) }
}
