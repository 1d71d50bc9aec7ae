//! The embedded journal's harness, and what only a directory can do: be locked, read meanwhile, damaged.

use crate::contract::{Harness, append_raw, new_record, partition, read_raw};
use acurast_events::units::Offset;
use acurast_relayer_journal::{AppendError, EmbeddedJournal, EventJournal, OpenError, ReadError, ReadLimits, Refusal, TopicError};
use async_trait::async_trait;
use rocksdb::{DB, IteratorMode};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) struct Directory {
    directory: TempDir,
    journal: Option<Arc<dyn EventJournal>>,
}

#[async_trait]
impl Harness for Directory {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = open(directory.path());
        Self { directory, journal: Some(journal) }
    }
    fn journal(&self) -> Arc<dyn EventJournal> {
        Arc::clone(self.journal.as_ref().unwrap())
    }
    // Copies the directory as it is while the journal still runs, so that nothing of an orderly close helps.
    async fn crash_and_reopen(&mut self) {
        let left = tempfile::tempdir().unwrap();
        copy(self.directory.path(), left.path());
        self.journal = None;
        self.directory = left;
        self.journal = Some(open(self.directory.path()));
    }
}

fn open(path: &Path) -> Arc<dyn EventJournal> {
    Arc::new(EmbeddedJournal::open(path).unwrap())
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_second_process_cannot_write_and_is_told_what_to_do() {
    let harness = Directory::start().await;
    let path = harness.directory.path();
    let error = EmbeddedJournal::open(path).err().unwrap();
    assert!(matches!(&error, OpenError::Locked(locked) if locked == path), "{error}");
    assert!(error.to_string().contains("stop that relayer"), "{error}");
}

#[tokio::test]
async fn a_second_process_reads_what_is_there_while_the_first_writes() {
    let harness = Directory::start().await;
    let journal = harness.journal();
    let at = partition(&journal).await;
    append_raw(&journal, &at, vec![vec![1], vec![2]]).await;
    let view: Arc<dyn EventJournal> = Arc::new(EmbeddedJournal::open_read_only(harness.directory.path()).unwrap());
    append_raw(&journal, &at, vec![vec![3]]).await;
    assert_eq!(view.topics().await.unwrap(), journal.topics().await.unwrap());
    assert_eq!(read_raw(&view, &at).await, read_raw(&journal, &at).await[..2]);
    assert_eq!(view.wait_beyond(&at, Offset(2)).await, Err(ReadError::Snapshot(at.clone())));
    let refused = AppendError::Refused { at: at.clone(), reason: Refusal::ReadOnly };
    assert_eq!(view.append(&at, vec![new_record(vec![4])]).await, Err(refused));
    let other = acurast_events::topics::TopicName::new("other");
    assert_eq!(view.create(&other, NonZeroU32::MIN).await, Err(TopicError::ReadOnly));
}

#[tokio::test]
async fn a_directory_without_a_journal_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(EmbeddedJournal::open_read_only(directory.path()), Err(OpenError::Missing(_))));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "looking leaves nothing behind");
}

/// Changes the stored bytes of a closed journal.
async fn damage(change: impl FnOnce(&DB)) -> (TempDir, acurast_events::topics::TopicPartition) {
    let Directory { directory, journal } = Directory::start().await;
    let journal = journal.unwrap();
    let at = partition(&journal).await;
    append_raw(&journal, &at, vec![vec![1], vec![2], vec![3]]).await;
    drop(journal);
    let db = DB::open_default(directory.path()).unwrap();
    change(&db);
    drop(db);
    (directory, at)
}

#[tokio::test]
async fn a_damaged_record_is_named_and_those_before_it_are_readable() {
    for damaged in [&b""[..], &[9], &[1, 0, 0], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 200]] {
        let (directory, at) = damage(|db| {
            let last = db.iterator(IteratorMode::End).next().unwrap().unwrap().0;
            db.put(last, damaged).unwrap();
        })
        .await;
        let journal = open(directory.path());
        let one = ReadLimits { records_max: 2, bytes_max: 1_000 };
        assert_eq!(journal.read(&at, Offset(0), one).await.unwrap().records.len(), 2);
        let error = journal.read(&at, Offset(0), ReadLimits::default()).await.unwrap_err();
        assert!(matches!(error, ReadError::Corrupted { offset: Offset(2), .. }), "{error}");
    }
}

#[tokio::test]
async fn a_journal_of_another_format_is_refused_by_name() {
    let (directory, _) = damage(|db| db.put(b"\x00format", b"acurast-journal/9").unwrap()).await;
    for error in [EmbeddedJournal::open(directory.path()).err(), EmbeddedJournal::open_read_only(directory.path()).err()] {
        assert!(matches!(&error, Some(OpenError::Format { found, .. }) if found == "acurast-journal/9"), "{error:?}");
    }
}
