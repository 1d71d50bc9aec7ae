//! The data directory: journal, folds and identity; and reading them while no relayer, or another one, runs.
//!
//! | path | what |
//! |---|---|
//! | `identity.json` | which Acurast chain and topics the directory belongs to |
//! | `journal/` | the embedded journal, the truth; absent where Kafka keeps it |
//! | `state/` | folds of it; may be removed, they are restored from a checkpoint or folded anew |
//! | `state.restoring/`, `checkpoint.taking/` | what is under way; of no use to anybody else |
//! | `attester-…/` | what an attester signed; must never be removed while its key is used |

use crate::backend::{Backend, BackendError};
use crate::config::Config;
use crate::fold::{Fold, fold_into};
use crate::folds::{LaneFold, SCHEMA, SourceFold};
use crate::owned::OwnedError;
use crate::restore::{RestoreFailed, restore};
use acurast_events::bytes::{Genesis, JobKey};
use acurast_events::topics::{Topic, TopicPartition};
use acurast_relayer_core::rows::{account_of_row, job_of_rows};
use acurast_relayer_core::{JobView, Partition, Table};
use acurast_relayer_journal::{EventJournal, FollowError, Frontier, PartitionReader};
use acurast_relayer_store::{Identity, PartitionView, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file can't be read or written.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The directory belongs to something else.
    #[error("{path} belongs to genesis {found} with topics {prefix}*, the configuration says otherwise; use another data_dir")]
    OtherIdentity {
        /// The file.
        path: PathBuf,
        /// Its genesis.
        found: Genesis,
        /// Its prefix.
        prefix: String,
    },
    /// `identity.json` is damaged.
    #[error("{path}: {reason}; restore it from a copy")]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] BackendError),
    /// The store can't be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal can't be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// A record or row is of another version.
    #[error("{0}")]
    Version(String),
    /// A record can't be folded.
    #[error(transparent)]
    Owned(#[from] OwnedError),
    /// The state can't be restored.
    #[error(transparent)]
    Restore(#[from] RestoreFailed),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct IdentityFile {
    genesis: Genesis,
    prefix: String,
}

/// An open data directory.
pub struct Storage {
    /// The journal.
    pub backend: Backend,
    /// The folds.
    pub store: Store,
}

impl Storage {
    /// Opens or makes the directory for this chain; a state that is gone is restored from a checkpoint, where some are kept.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn open(config: &Config, genesis: Genesis) -> Result<Self, StorageError> {
        let folder = &config.data_dir;
        let io = |reason| StorageError::Io { path: folder.clone(), reason };
        std::fs::create_dir_all(folder).map_err(io)?;
        let identity = Identity { genesis, prefix: config.journal.prefix.clone() };
        check_identity(folder, &identity)?;
        let backend = Backend::open(config)?;
        restore(config, &identity, &backend).await?;
        let store = Store::open(&folder.join("state"), &identity, SCHEMA)?;
        Ok(Self { backend, store })
    }

    /// The journal, for reading. The embedded one as it is now.
    ///
    /// # Errors
    /// When it can't be opened.
    pub fn journal_read_only(config: &Config) -> Result<Arc<dyn EventJournal>, StorageError> {
        Ok(Backend::open_read_only(config)?.journal())
    }

    /// The genesis of the chain that the directory belongs to; nothing before the first start.
    ///
    /// # Errors
    /// When the identity can't be read.
    pub fn genesis(folder: &Path) -> Result<Option<Genesis>, StorageError> {
        let path = folder.join("identity.json");
        if path.exists() { Ok(Some(read_identity(&path)?.genesis)) } else { Ok(None) }
    }

    /// The folds as they are now.
    ///
    /// # Errors
    /// When they can't be opened.
    pub fn store_read_only(folder: &Path) -> Result<Store, StorageError> {
        Ok(Store::open_read_only(&folder.join("state"), &identity_of(folder)?, SCHEMA)?)
    }

    /// All jobs of the folds, open and closed, in order of their keys.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn jobs_read_only(config: &Config) -> Result<Vec<(JobKey, JobView)>, StorageError> {
        let store = Self::store_read_only(&config.data_dir)?;
        let jobs = Topic::Jobs.name(&config.journal.prefix);
        let mut found = Vec::new();
        for at in store.partitions().into_iter().filter(|at| at.topic == jobs) {
            let view = store.view(&at)?;
            let partition = load_partition(&view, at.partition, config.journal.partitions)?;
            found.extend(partition.jobs().filter_map(|job| Some((job.key, partition.view(&job.key)?))));
            for key in closed_keys(&view, None, usize::MAX)? {
                found.extend(closed_job(&view, &key)?.map(|job| (key, job)));
            }
        }
        found.sort_unstable_by_key(|(key, _)| *key);
        Ok(found)
    }
}

/// What the directory belongs to.
///
/// # Errors
/// When it doesn't say.
pub fn identity_of(folder: &Path) -> Result<Identity, StorageError> {
    let file = read_identity(&folder.join("identity.json"))?;
    Ok(Identity { genesis: file.genesis, prefix: file.prefix })
}

fn read_identity(path: &Path) -> Result<IdentityFile, StorageError> {
    let text = std::fs::read(path).map_err(|reason| StorageError::Io { path: path.to_owned(), reason })?;
    serde_json::from_slice(&text).map_err(|error| StorageError::Identity { path: path.to_owned(), reason: error.to_string() })
}

/// Writes the identity at the first start, compares it at later ones.
fn check_identity(folder: &Path, identity: &Identity) -> Result<(), StorageError> {
    let path = folder.join("identity.json");
    if path.exists() {
        let found = read_identity(&path)?;
        let same = found.genesis == identity.genesis && found.prefix == identity.prefix;
        return if same { Ok(()) } else { Err(StorageError::OtherIdentity { path, found: found.genesis, prefix: found.prefix }) };
    }
    let io = |reason| StorageError::Io { path: path.clone(), reason };
    let file = IdentityFile { genesis: identity.genesis, prefix: identity.prefix.clone() };
    let text =
        serde_json::to_vec_pretty(&file).map_err(|error| StorageError::Identity { path: path.clone(), reason: error.to_string() })?;
    // Whole or absent: written beside, synced, renamed.
    let beside = folder.join("identity.json.new");
    let mut out = std::fs::File::create(&beside).map_err(io)?;
    out.write_all(&text).and_then(|()| out.sync_all()).map_err(io)?;
    std::fs::rename(&beside, &path).map_err(io)
}

/// The open part of a jobs partition.
///
/// # Errors
/// When a row can't be read.
pub fn load_partition(view: &PartitionView, index: u32, partitions: std::num::NonZeroU32) -> Result<Partition, StorageError> {
    let mut rows = Vec::new();
    for table in Table::OPEN {
        for row in view.rows(table.id()) {
            rows.push(row?);
        }
    }
    Partition::load(index, partitions, rows).map_err(|error| StorageError::Version(error.to_string()))
}

/// Keys of closed jobs after `after`, at most `limit`.
///
/// # Errors
/// When the store can't be read.
pub fn closed_keys(view: &PartitionView, after: Option<JobKey>, limit: usize) -> Result<Vec<JobKey>, StorageError> {
    let rows = view.scan(Table::ClosedJobs.id(), &[], after.as_ref().map(JobKey::as_bytes), limit)?;
    rows.into_iter().map(|(key, _)| JobKey::try_from(&key[..]).map_err(|error| StorageError::Version(error.to_string()))).collect()
}

/// Most ended executions of one closed job that a view shows; a long job has millions.
const EXECUTIONS_SHOWN_MAX: usize = 1_000;

/// A closed job with its first executions and the account that paid for it.
///
/// # Errors
/// When the store can't be read.
pub fn closed_job(view: &PartitionView, key: &JobKey) -> Result<Option<JobView>, StorageError> {
    let version = |error: &dyn fmt::Display| StorageError::Version(error.to_string());
    let Some(row) = view.get(Table::ClosedJobs.id(), &key.0)? else { return Ok(None) };
    let executions = view.scan(Table::EndedExecutions.id(), &key.0, None, EXECUTIONS_SHOWN_MAX)?;
    let executions = executions.iter().map(|(key, value)| (&key[..], &value[..]));
    let job = job_of_rows((&key.0, &row), executions).map_err(|error| version(&error))?;
    let account = match &job.destination {
        Some(destination) => view.get(Table::Accounts.id(), &destination.escrow_id.0)?,
        None => None,
    };
    let account = match (&job.destination, account) {
        (Some(destination), Some(row)) => Some(account_of_row(&destination.escrow_id.0, &row).map_err(|error| version(&error))?),
        _ => None,
    };
    Ok(Some(JobView::of(&job, account.as_ref())))
}

/// One partition folded anew, beside what the store says of it at the same record.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// The partition.
    pub partition: String,
    /// How many records were folded.
    pub records: u64,
    /// Digest of the stored state.
    pub stored: String,
    /// Digest of the state folded from the journal.
    pub replayed: String,
    /// The first rows that differ, as table and key.
    pub differences: Vec<String>,
}

/// Most differing rows that are named.
const DIFFERENCES_MAX: usize = 5;

/// The first rows that are not the same in both views.
fn differences(stored: &PartitionView, folded: &PartitionView) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for (one, other, missing) in [(stored, folded, "missing in the fold"), (folded, stored, "missing in the store")] {
        for row in one.all_rows() {
            let (table, key, value) = row?;
            let beside = other.get(table, &key)?;
            let what = match beside {
                Some(beside) if beside == value => continue,
                Some(_) => "differs",
                None => missing,
            };
            found.push(format!("table {table} key {}: {what}", hex::encode(&key)));
            if found.len() >= DIFFERENCES_MAX {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

impl Replayed {
    /// Whether both are the same.
    pub fn equal(&self) -> bool {
        self.stored == self.replayed
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.equal() { "equal" } else { "DIFFERS" };
        write!(f, "{}: {} records, stored {}, replayed {}: {verdict}", self.partition, self.records, self.stored, self.replayed)?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

/// Folds every stored partition from its first record into an empty store, up to the record that the stored one has.
///
/// # Errors
/// See [`StorageError`].
pub async fn refold(config: &Config, journal: Arc<dyn EventJournal>) -> Result<Vec<Replayed>, StorageError> {
    let stored = Storage::store_read_only(&config.data_dir)?;
    let identity = identity_of(&config.data_dir)?;
    let folder = tempfile::tempdir().map_err(|reason| StorageError::Io { path: std::env::temp_dir(), reason })?;
    let empty = Store::open(folder.path(), &identity, SCHEMA)?;
    let mut replayed = Vec::new();
    for at in stored.partitions() {
        let view = stored.view(&at)?;
        let until = view.applied()?.frontier;
        let Some(digest) = fold_until(config, journal.clone(), &empty, &at, until).await? else { continue };
        let (records, stored) = (until.next_sequence.0, view.digest()?.to_string());
        let differences = if stored == digest { Vec::new() } else { differences(&view, &empty.view(&at)?)? };
        replayed.push(Replayed { partition: at.to_string(), records, stored, replayed: digest, differences });
    }
    Ok(replayed)
}

/// The fold of an authoritative partition as it is stored; nothing for a topic that isn't folded.
///
/// # Errors
/// When a row is of another version, or the store can't be read.
pub fn fold_of(config: &Config, view: &PartitionView) -> Result<Option<Box<dyn Fold + Send>>, StorageError> {
    let at = view.partition();
    Ok(match Topic::parse(&config.journal.prefix, at.topic.as_str()) {
        Some(Topic::Source(_)) => Some(Box::new(SourceFold::load(view).map_err(StorageError::Version)?)),
        Some(Topic::Jobs) => Some(Box::new(load_partition(view, at.partition, config.journal.partitions)?)),
        Some(Topic::Lanes) => Some(Box::new(LaneFold::load(view).map_err(StorageError::Version)?)),
        _ => None,
    })
}

async fn fold_until(
    config: &Config,
    journal: Arc<dyn EventJournal>,
    store: &Store,
    at: &TopicPartition,
    until: Frontier,
) -> Result<Option<String>, StorageError> {
    let mut fold = store.partition(at)?;
    let Some(mut state) = fold_of(config, &fold)? else { return Ok(None) };
    let mut reader = PartitionReader::open(journal, at.clone(), Frontier::START).await?;
    loop {
        let batch = reader.next_batch().await?;
        let records: Vec<_> = batch.records.into_iter().filter(|record| record.record.sequence < until.next_sequence).collect();
        fold_into(&mut fold, state.as_mut(), records)?;
        if batch.caught_up || fold.position().frontier.next_sequence >= until.next_sequence {
            return Ok(Some(fold.current_digest().to_string()));
        }
    }
}
