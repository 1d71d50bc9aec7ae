//! The directory: what it belongs to, which schema it has, and which partitions are folded in it.

use crate::error::StoreError;
use crate::layout::{IDENTITY_KEY, PARTITIONS, PartitionId, SCHEMA_KEY, after_prefix, partition_key, partition_of};
use crate::partition::PartitionStore;
use crate::view::PartitionView;
use acurast_events::bytes::Genesis;
use acurast_events::topics::TopicPartition;
use acurast_events::units::{Offset, Sequence};
use acurast_relayer_journal::Frontier;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode, LogLevel, Options, ReadOptions, WriteBatch,
    WriteOptions,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Version of the keys and values in `layout`. Raised when they change; stores are folded anew then.
const LAYOUT: u32 = 2;

/// What a store belongs to. A store of something else is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Genesis of the Acurast chain.
    pub genesis: Genesis,
    /// Prefix of the journal's topics.
    pub prefix: String,
}

/// The store had another schema, and was emptied: every partition is folded again from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refold {
    /// The schema that it had.
    pub found: String,
    /// The schema that it has now.
    pub now: String,
}

/// A key of the whole database, and its value.
pub(crate) type RawRow = (Box<[u8]>, Box<[u8]>);

/// What views and partition stores share.
pub(crate) struct Shared {
    pub(crate) db: DB,
    path: PathBuf,
    /// What the store belongs to.
    pub(crate) identity: Identity,
    pub(crate) read_only: bool,
    /// Version of the rows.
    pub(crate) schema: u32,
    partitions: Mutex<BTreeMap<TopicPartition, PartitionId>>,
    in_use: Mutex<BTreeSet<TopicPartition>>,
    noted: Mutex<Option<NoteWrite>>,
}

/// Takes the next offset of a partition's fold, and the bytes of the batch that brings it there.
type NoteWrite = Box<dyn FnMut(Offset, &[u8]) + Send>;

impl Shared {
    pub(crate) fn database(&self, error: &rocksdb::Error) -> StoreError {
        database_error(&self.path, error)
    }

    pub(crate) fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: what.into() }
    }

    pub(crate) fn note_write(&self, next: Offset, batch: &WriteBatch) {
        if let Some(note) = lock(&self.noted).as_mut() {
            note(next, batch.data());
        }
    }

    /// Ends a partition's use by a [`PartitionStore`].
    pub(crate) fn release(&self, at: &TopicPartition) {
        lock(&self.in_use).remove(at);
    }

    /// The newest landmark of a partition's fold that lies at or before `below`; the start if there is none.
    pub(crate) fn landmark(&self, at: &TopicPartition, below: Sequence) -> Result<Frontier, StoreError> {
        let Some(id) = lock(&self.partitions).get(at).copied() else { return Ok(Frontier::START) };
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_lower_bound(id.landmarks());
        let from = id.landmark(below);
        let newest = self.db.iterator_opt(IteratorMode::From(&from, Direction::Reverse), bounds).next();
        let Some(row) = newest else { return Ok(Frontier::START) };
        let (_, value) = row.map_err(|error| self.database(&error))?;
        postcard::from_bytes(&value).map_err(|error| self.damaged(format!("{at}: a landmark ({error})")))
    }

    /// Rows whose key begins with `prefix`, from the key `from` on.
    pub(crate) fn scan<'a>(&'a self, prefix: &[u8], from: &[u8]) -> impl Iterator<Item = Result<RawRow, StoreError>> + use<'a> {
        let mut bounds = ReadOptions::default();
        if let Some(after) = after_prefix(prefix) {
            bounds.set_iterate_upper_bound(after);
        }
        let rows = self.db.iterator_opt(IteratorMode::From(from, Direction::Forward), bounds);
        rows.map(|row| row.map_err(|error| self.database(&error)))
    }
}

/// The store of one relayer: a RocksDB directory. Clones are the same store, which is closed with the last of them.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    refold: Option<Refold>,
}

impl Store {
    /// Opens or creates the store in directory `path`. `schema` is the version of the rows that the cores of this binary
    /// read; a store of another one is emptied, and [`refold`](Self::refold) says so.
    ///
    /// # Errors
    /// When another process has it open, when it belongs to something else than `identity`, or when RocksDB fails.
    pub fn open(path: &Path, identity: &Identity, schema: u32) -> Result<Self, StoreError> {
        let db = DB::open(&options(true), path).map_err(|error| database_error(path, &error))?;
        let now = schema_text(schema);
        check_identity(path, &db, identity)?;
        let found = read_text(path, &db, SCHEMA_KEY)?;
        let refold = found.filter(|found| *found != now).map(|found| Refold { found, now: now.clone() });
        // One synced batch: a crash leaves the old store or an empty one of the new schema.
        let mut batch = WriteBatch::default();
        if let Some(refold) = &refold {
            tracing::warn!(
                found = refold.found,
                now = refold.now,
                "the store has another schema; all partitions are folded again from the journal"
            );
            batch.delete_range(vec![PARTITIONS], vec![u8::MAX]);
        }
        batch.put(IDENTITY_KEY, encode_identity(identity));
        batch.put(SCHEMA_KEY, &now);
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        db.write_opt(batch, &synced).map_err(|error| database_error(path, &error))?;
        Self::with(db, path, identity, schema, refold, false)
    }

    /// The store in directory `path` as it is now, for reading, also while a relayer has it open.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and when it doesn't exist or has another schema.
    pub fn open_read_only(path: &Path, identity: &Identity, schema: u32) -> Result<Self, StoreError> {
        if !path.join("CURRENT").exists() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let db = DB::open_for_read_only(&options(false), path, false).map_err(|error| database_error(path, &error))?;
        check_identity(path, &db, identity)?;
        let (found, wanted) = (read_text(path, &db, SCHEMA_KEY)?.unwrap_or_default(), schema_text(schema));
        if found != wanted {
            return Err(StoreError::OtherSchema { path: path.to_owned(), found, wanted });
        }
        Self::with(db, path, identity, schema, None, true)
    }

    fn with(db: DB, path: &Path, identity: &Identity, schema: u32, refold: Option<Refold>, read_only: bool) -> Result<Self, StoreError> {
        let shared = Shared {
            db,
            path: path.to_owned(),
            identity: identity.clone(),
            read_only,
            schema,
            partitions: Mutex::default(),
            in_use: Mutex::default(),
            noted: Mutex::default(),
        };
        let mut partitions = BTreeMap::new();
        for row in shared.scan(&[PARTITIONS], &[PARTITIONS]) {
            let (key, value) = row?;
            let id = value.as_ref().try_into().map(u32::from_be_bytes).map_err(|_| shared.damaged("a partition's id"))?;
            let at = partition_of(&key).ok_or_else(|| shared.damaged("a partition's name"))?;
            partitions.insert(at, PartitionId(id));
        }
        *lock(&shared.partitions) = partitions;
        Ok(Self { shared: Arc::new(shared), refold })
    }

    /// What opening emptied, if it did.
    pub fn refold(&self) -> Option<&Refold> {
        self.refold.as_ref()
    }

    /// The partitions that are folded here.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        lock(&self.shared.partitions).keys().cloned().collect()
    }

    /// The one writer of a partition's fold; created empty if the partition is new here.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another one of this process lives; when the store is read-only or damaged.
    pub fn partition(&self, at: &TopicPartition) -> Result<PartitionStore, StoreError> {
        if self.shared.read_only {
            return Err(StoreError::ReadOnly);
        }
        if !lock(&self.shared.in_use).insert(at.clone()) {
            return Err(StoreError::InUse(at.clone()));
        }
        let opened = self.allot(at).and_then(|id| PartitionStore::load(PartitionView::new(Arc::clone(&self.shared), at.clone(), id)));
        opened.inspect_err(|_| self.shared.release(at))
    }

    /// A reader of a partition's fold. It sees each commit whole, row by row.
    ///
    /// # Errors
    /// [`StoreError::NoSuchPartition`] when it was never folded here.
    pub fn view(&self, at: &TopicPartition) -> Result<PartitionView, StoreError> {
        let id = lock(&self.shared.partitions).get(at).copied().ok_or_else(|| StoreError::NoSuchPartition(at.clone()))?;
        Ok(PartitionView::new(Arc::clone(&self.shared), at.clone(), id))
    }

    /// A place in the log of `at` to begin reading from, so that nothing from the sequence `below` on is missed: the newest
    /// landmark of its fold that lies at or before it, or the start where there is none or it was never folded here.
    ///
    /// # Errors
    /// When the store can't be read or is damaged.
    pub fn landmark(&self, at: &TopicPartition, below: Sequence) -> Result<Frontier, StoreError> {
        self.shared.landmark(at, below)
    }

    /// Hands every further commit's bytes, and the next offset of its partition, to `note`: for measurements that write the
    /// same again ([`BareStore`](crate::BareStore)).
    pub fn note_writes(&self, note: impl FnMut(Offset, &[u8]) + Send + 'static) {
        *lock(&self.shared.noted) = Some(Box::new(note));
    }

    /// Makes all commits so far survive the loss of power. Without it they survive the loss of the process only, and the
    /// journal gives the rest back.
    ///
    /// # Errors
    /// When RocksDB fails.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        if self.shared.read_only {
            return Err(StoreError::ReadOnly);
        }
        self.shared.db.flush_wal(true).map_err(|error| self.shared.database(&error))
    }

    fn allot(&self, at: &TopicPartition) -> Result<PartitionId, StoreError> {
        let mut partitions = lock(&self.shared.partitions);
        if let Some(id) = partitions.get(at) {
            return Ok(*id);
        }
        let highest = partitions.values().map(|id| id.0).max().unwrap_or(0);
        let id = highest.checked_add(1).ok_or_else(|| self.shared.damaged("no partition id is left"))?;
        self.shared.db.put(partition_key(at), id.to_be_bytes()).map_err(|error| self.shared.database(&error))?;
        partitions.insert(at.clone(), PartitionId(id));
        Ok(PartitionId(id))
    }
}

// No code panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn schema_text(schema: u32) -> String {
    format!("{LAYOUT}.{schema}")
}

/// Genesis, then the prefix as text. This form never changes, so that any version knows whose store it met.
fn encode_identity(identity: &Identity) -> Vec<u8> {
    [&identity.genesis.0[..], identity.prefix.as_bytes()].concat()
}

fn check_identity(path: &Path, db: &DB, wanted: &Identity) -> Result<(), StoreError> {
    let Some(stored) = db.get(IDENTITY_KEY).map_err(|error| database_error(path, &error))? else { return Ok(()) };
    let damaged = || StoreError::Damaged { path: path.to_owned(), what: "its identity".into() };
    let (genesis, prefix) = stored.split_first_chunk().ok_or_else(damaged)?;
    let (genesis, prefix) = (Genesis(*genesis), std::str::from_utf8(prefix).map_err(|_| damaged())?);
    if genesis != wanted.genesis {
        return Err(StoreError::OtherGenesis { path: path.to_owned(), found: genesis, wanted: wanted.genesis });
    }
    if prefix != wanted.prefix {
        return Err(StoreError::OtherTopics { path: path.to_owned(), found: prefix.to_owned(), wanted: wanted.prefix.clone() });
    }
    Ok(())
}

fn read_text(path: &Path, db: &DB, key: &[u8]) -> Result<Option<String>, StoreError> {
    let stored = db.get(key).map_err(|error| database_error(path, &error))?;
    Ok(stored.map(|text| String::from_utf8_lossy(&text).into_owned()))
}

pub(crate) fn database_error(path: &Path, error: &rocksdb::Error) -> StoreError {
    let reason = error.to_string();
    // RocksDB has no code of its own for a held lock; the file's name is in the text on every platform.
    if reason.contains("LOCK") && error.kind() == rocksdb::ErrorKind::IOError {
        StoreError::Locked(path.to_owned())
    } else {
        StoreError::Database { path: path.to_owned(), reason }
    }
}

pub(crate) fn options(create: bool) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(16 << 20));
    // State rows are looked up by key, also ones that aren't there.
    blocks.set_bloom_filter(10.0, false);
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
    // Commits aren't synced: after a loss of power the longest intact run of them stands, and the journal gives the rest.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options
}
