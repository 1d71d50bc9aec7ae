//! The journal in one directory: RocksDB, one process, the default.
//!
//! Crash argument: an append is one write batch, synced before it returns and before any reader sees it. Crash before the
//! sync: none or all of the batch is there after reopening, and the writer never learned an offset. Crash after it: it is
//! there. A write that RocksDB fails leaves its outcome to the next opening; until then this process appends nothing more.

mod layout;

use crate::clock::{Clock, SystemClock};
use crate::journal::{AppendError, EventJournal, ReadError, Refusal, TopicError, check_append, check_topic};
use crate::log::{LogRecord, NewRecord, ReadBatch, ReadLimits};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use async_trait::async_trait;
use layout::{FORMAT, FORMAT_KEY, decode_record, encode_record, log_bounds, log_key, offset_of, topic_key, topic_of};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch,
    WriteOptions,
};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use tokio::sync::{Mutex, watch};

/// Why the journal's directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the journal at {0} is open in another process; stop that relayer, or use a command that only reads")]
    Locked(PathBuf),
    /// Written by another version.
    #[error("the journal at {path} has format {found}, this version reads {FORMAT}; use the version that wrote it")]
    Format {
        /// The directory.
        path: PathBuf,
        /// The format that it has.
        found: String,
    },
    /// There is none.
    #[error("there is no journal at {0}; check the path, or run the relayer once to create it")]
    Missing(PathBuf),
    /// RocksDB can't open or read it.
    #[error("the journal at {path} can't be opened: {reason}")]
    Failed {
        /// The directory.
        path: PathBuf,
        /// What RocksDB says.
        reason: String,
    },
}

/// One partition's end: locked while an append is under way, published when it is durable.
struct Tail {
    writing: Arc<Mutex<()>>,
    end: watch::Sender<Offset>,
}

/// The embedded back end.
pub struct EmbeddedJournal {
    db: Arc<DB>,
    read_only: bool,
    topics: RwLock<BTreeMap<TopicName, NonZeroU32>>,
    tails: RwLock<BTreeMap<TopicPartition, Arc<Tail>>>,
    failed: Arc<OnceLock<String>>,
    clock: SystemClock,
}

impl EmbeddedJournal {
    /// Opens the journal in directory `path`, or creates it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let db = DB::open(&options(true), path).map_err(|error| open_error(path, &error))?;
        match db.get(FORMAT_KEY).map_err(|error| open_error(path, &error))? {
            Some(found) => check_format(path, &found)?,
            None => db.put_opt(FORMAT_KEY, FORMAT, &synced()).map_err(|error| open_error(path, &error))?,
        }
        Self::with(db, path, false)
    }

    /// A view of the journal in directory `path` as it is now, also while another process writes it. It never grows.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        if !path.join("CURRENT").exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let db = DB::open_for_read_only(&options(false), path, false).map_err(|error| open_error(path, &error))?;
        let found = db.get(FORMAT_KEY).map_err(|error| open_error(path, &error))?;
        check_format(path, &found.unwrap_or_default())?;
        Self::with(db, path, true)
    }

    fn with(db: DB, path: &Path, read_only: bool) -> Result<Self, OpenError> {
        let failed = |reason: String| OpenError::Failed { path: path.to_owned(), reason };
        let mut topics = BTreeMap::new();
        let mut tails = BTreeMap::new();
        for (topic, partitions) in read_topics(&db).map_err(failed)? {
            for partition in 0..partitions.get() {
                let at = topic.partition(partition);
                let end = find_end(&db, &at).map_err(failed)?;
                tails.insert(at, tail(end));
            }
            topics.insert(topic, partitions);
        }
        Ok(Self {
            db: Arc::new(db),
            read_only,
            topics: RwLock::new(topics),
            tails: RwLock::new(tails),
            failed: Arc::default(),
            clock: SystemClock::default(),
        })
    }

    fn tail(&self, at: &TopicPartition) -> Option<Arc<Tail>> {
        self.tails.read().unwrap_or_else(PoisonError::into_inner).get(at).cloned()
    }

    fn tail_to_read(&self, at: &TopicPartition) -> Result<Arc<Tail>, ReadError> {
        self.tail(at).ok_or_else(|| ReadError::NoSuchPartition(at.clone()))
    }
}

#[async_trait]
impl EventJournal for EmbeddedJournal {
    async fn create(&self, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
        check_topic(topic, partitions)?;
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        match topics.get(topic) {
            Some(found) if *found == partitions => return Ok(()),
            Some(found) => return Err(TopicError::Drift { topic: topic.clone(), wanted: partitions, found: *found }),
            None if self.read_only => return Err(TopicError::ReadOnly),
            None => {}
        }
        // Rare and short: it happens at start-up, once per topic in a journal's life.
        self.db
            .put_opt(topic_key(topic), partitions.get().to_be_bytes(), &synced())
            .map_err(|error| TopicError::Unavailable(error.to_string()))?;
        let mut tails = self.tails.write().unwrap_or_else(PoisonError::into_inner);
        tails.extend((0..partitions.get()).map(|partition| (topic.partition(partition), tail(Offset(0)))));
        topics.insert(topic.clone(), partitions);
        Ok(())
    }

    async fn topics(&self) -> Result<BTreeMap<TopicName, NonZeroU32>, TopicError> {
        Ok(self.topics.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn append(&self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError> {
        let refuse = |reason| AppendError::Refused { at: at.clone(), reason };
        let uncertain = |reason| AppendError::Uncertain { at: at.clone(), reason };
        if self.read_only {
            return Err(refuse(Refusal::ReadOnly));
        }
        check_append(at, &records)?;
        let tail = self.tail(at).ok_or_else(|| refuse(Refusal::NoSuchPartition))?;
        let guard = Arc::clone(&tail.writing).lock_owned().await;
        if let Some(reason) = self.failed.get() {
            let reason = format!("an earlier write failed ({reason}); free the disk or replace it, then start the relayer again");
            return Err(refuse(Refusal::Unavailable(reason)));
        }
        let (db, failed, at_, now) = (Arc::clone(&self.db), Arc::clone(&self.failed), at.clone(), self.clock.now());
        // The write goes on when this future is dropped; the guard goes with it, so that no other append takes its offsets.
        let write = tokio::task::spawn_blocking(move || {
            let first = *tail.end.borrow();
            let mut batch = WriteBatch::default();
            let mut next = first;
            let mut offsets = Vec::with_capacity(records.len());
            for record in &records {
                batch.put(log_key(&at_, next), encode_record(record, now));
                offsets.push(next);
                next = next.checked_add(1).ok_or_else(|| "no offset is left".to_owned())?;
            }
            db.write_opt(batch, &synced()).map_err(|error| {
                let reason = error.to_string();
                // Only the first reason is kept; it is the one to act on.
                let _ = failed.set(reason.clone());
                reason
            })?;
            tail.end.send_replace(next);
            drop(guard);
            Ok::<_, String>(offsets)
        });
        match write.await {
            Ok(result) => result.map_err(uncertain),
            Err(error) => Err(uncertain(error.to_string())),
        }
    }

    async fn read(&self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError> {
        let end = *self.tail_to_read(at)?.end.borrow();
        if from >= end {
            return Ok(ReadBatch { records: Vec::new(), end });
        }
        let (db, at_) = (Arc::clone(&self.db), at.clone());
        let read = tokio::task::spawn_blocking(move || read_range(&db, &at_, from, end, limits));
        let records = read.await.map_err(|error| ReadError::Unavailable { at: at.clone(), reason: error.to_string() })??;
        Ok(ReadBatch { records, end })
    }

    async fn end(&self, at: &TopicPartition) -> Result<Offset, ReadError> {
        Ok(*self.tail_to_read(at)?.end.borrow())
    }

    async fn wait_beyond(&self, at: &TopicPartition, offset: Offset) -> Result<Offset, ReadError> {
        let tail = self.tail_to_read(at)?;
        let mut end = tail.end.subscribe();
        let now = *end.borrow_and_update();
        if self.read_only && now == offset {
            return Err(ReadError::Snapshot(at.clone()));
        }
        let changed = end.wait_for(|end| *end != offset).await;
        let seen = changed.map(|end| *end);
        seen.map_err(|_| ReadError::Unavailable { at: at.clone(), reason: "the journal was closed".into() })
    }
}

fn tail(end: Offset) -> Arc<Tail> {
    Arc::new(Tail { writing: Arc::default(), end: watch::Sender::new(end) })
}

fn synced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

fn options(create: bool) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(8 << 20));
    let mut options = Options::default();
    options.create_if_missing(create);
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_bottommost_compression_type(DBCompressionType::Zstd);
    options.set_write_buffer_size(16 << 20);
    options.set_max_total_wal_size(64 << 20);
    options.set_max_open_files(128);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    // A torn tail is a write that was never acknowledged. Damage anywhere before it must not silently end the log.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options
}

fn open_error(path: &Path, error: &rocksdb::Error) -> OpenError {
    let reason = error.to_string();
    // RocksDB has no code of its own for a held lock; the file's name is in the text on every platform.
    if reason.contains("LOCK") && error.kind() == rocksdb::ErrorKind::IOError {
        OpenError::Locked(path.to_owned())
    } else {
        OpenError::Failed { path: path.to_owned(), reason }
    }
}

fn check_format(path: &Path, found: &[u8]) -> Result<(), OpenError> {
    if found == FORMAT.as_bytes() {
        Ok(())
    } else {
        Err(OpenError::Format { path: path.to_owned(), found: String::from_utf8_lossy(found).into_owned() })
    }
}

fn read_topics(db: &DB) -> Result<BTreeMap<TopicName, NonZeroU32>, String> {
    let (lower, upper) = layout::topic_bounds();
    let mut bounds = ReadOptions::default();
    bounds.set_iterate_upper_bound(upper);
    let mut topics = BTreeMap::new();
    for row in db.iterator_opt(IteratorMode::From(&lower, Direction::Forward), bounds) {
        let (key, value) = row.map_err(|error| error.to_string())?;
        let (topic, partitions) = topic_of(&key, &value).ok_or("a topic's row is damaged")?;
        topics.insert(topic, partitions);
    }
    Ok(topics)
}

fn find_end(db: &DB, at: &TopicPartition) -> Result<Offset, String> {
    let (lower, upper) = log_bounds(at);
    let mut bounds = ReadOptions::default();
    bounds.set_iterate_lower_bound(lower);
    bounds.set_iterate_upper_bound(upper);
    match db.iterator_opt(IteratorMode::End, bounds).next() {
        None => Ok(Offset(0)),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok((key, _))) => Ok(offset_of(&key).ok_or_else(|| format!("{at}: the last record's key is damaged"))?.next()),
    }
}

fn read_range(db: &DB, at: &TopicPartition, from: Offset, end: Offset, limits: ReadLimits) -> Result<Vec<LogRecord>, ReadError> {
    let mut bounds = ReadOptions::default();
    bounds.set_iterate_upper_bound(log_key(at, end));
    let mut records: Vec<LogRecord> = Vec::new();
    let mut bytes = 0usize;
    for row in db.iterator_opt(IteratorMode::From(&log_key(at, from), Direction::Forward), bounds) {
        if !limits.admit(records.len(), bytes) {
            break;
        }
        let next = records.last().map_or(from, |record| record.offset.next());
        let corrupted = |offset, reason| ReadError::Corrupted { at: at.clone(), offset, reason };
        let (key, value) = row.map_err(|error| corrupted(next, error.to_string()))?;
        let offset = offset_of(&key).ok_or_else(|| corrupted(next, "its key is too short".into()))?;
        let record = decode_record(offset, &value).map_err(|error| corrupted(offset, error.to_string()))?;
        bytes = bytes.saturating_add(record.size_bytes());
        records.push(record);
    }
    Ok(records)
}
