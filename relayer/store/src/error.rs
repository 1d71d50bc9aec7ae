//! Why a store can't be opened, read or written, and what to do.

use crate::digest::Digest;
use acurast_events::bytes::Genesis;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Sequence;
use acurast_events::wire::WireError;
use acurast_relayer_journal::{FollowError, Halt, ReadError};
use std::path::PathBuf;

/// See the variants.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store at {0} is open in another process; stop that relayer, or use a command that only reads")]
    Locked(PathBuf),
    /// There is none.
    #[error("there is no store at {0}; check the path, or run the relayer once to create it")]
    Missing(PathBuf),
    /// RocksDB fails.
    #[error("the store at {path}: {reason}")]
    Database {
        /// The directory.
        path: PathBuf,
        /// What RocksDB says.
        reason: String,
    },
    /// Stored bytes aren't what this version wrote.
    #[error("the store at {path} is damaged: {what}; remove the directory, the state is folded again from the journal")]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// What doesn't decode.
        what: String,
    },
    /// It holds the state of another Acurast chain.
    #[error(
        "the store at {path} belongs to the Acurast chain with genesis {found}, the configuration names {wanted}; use another directory"
    )]
    OtherGenesis {
        /// The directory.
        path: PathBuf,
        /// Genesis of the chain it was folded for.
        found: Genesis,
        /// Genesis as configured.
        wanted: Genesis,
    },
    /// It was folded from topics of another prefix.
    #[error("the store at {path} was folded from topics {found}*, the configuration names {wanted}*; use another directory")]
    OtherTopics {
        /// The directory.
        path: PathBuf,
        /// The prefix it was folded from.
        found: String,
        /// The prefix as configured.
        wanted: String,
    },
    /// A reader met a store of another schema; only the relayer itself folds it anew.
    #[error(
        "the store at {path} has schema {found}, this version reads {wanted}; start the relayer of this version once, it folds the store anew"
    )]
    OtherSchema {
        /// The directory.
        path: PathBuf,
        /// Its schema.
        found: String,
        /// The schema that this version reads.
        wanted: String,
    },
    /// The store has applied records that the journal doesn't have (R11).
    #[error("the store leads its journal, which lost records that were acknowledged: {0}")]
    LeadsJournal(Halt),
    /// The journal must not be read on.
    #[error(transparent)]
    Halt(Halt),
    /// The journal can't be read.
    #[error(transparent)]
    Journal(ReadError),
    /// Records don't follow what was applied. A fault of the caller; nothing was written.
    #[error("{at}: record {found} doesn't follow what was applied, {expected} would; read again from the applied position")]
    NotNext {
        /// Where.
        at: TopicPartition,
        /// The sequence that would follow.
        expected: Sequence,
        /// The sequence that came.
        found: Sequence,
    },
    /// Rows came without a record. A fault of the caller: state follows from records alone. Nothing was written.
    #[error("{0}: rows changed without a record that caused it; a replay would give another state")]
    NoRecord(TopicPartition),
    /// A record's Progress doesn't decode. Nothing was written.
    #[error("{at}: the Progress of record {sequence} can't be read: {error}")]
    Progress {
        /// Where.
        at: TopicPartition,
        /// In which record.
        sequence: Sequence,
        /// Why.
        error: WireError,
    },
    /// The state isn't what the partition's owner had at the same record. Nothing was written: nobody may act on either state
    /// before it is known which one is wrong.
    #[error(
        "{at}: the state before record {sequence} has digest {found}, the partition's owner recorded {recorded}. Either the two \
         run versions that fold otherwise, or a store is damaged. This replica must not go on: compare versions, then remove \
         its state directory (a checkpoint or the journal gives it back) and start it again; if it differs again, run \
         `replay` on the owner's host, whose store is then the one to remove"
    )]
    StateDiffers {
        /// Where.
        at: TopicPartition,
        /// The record that says so.
        sequence: Sequence,
        /// The owner's digest.
        recorded: Digest,
        /// Ours.
        found: Digest,
    },
    /// A record's `StateDigest` makes no sense. Nothing was written.
    #[error("{at}: the state digest of record {sequence} can't be used: {reason}; upgrade if a newer version wrote it")]
    StateDigest {
        /// Where.
        at: TopicPartition,
        /// In which record.
        sequence: Sequence,
        /// Why.
        reason: String,
    },
    /// A record with a `StateDigest` came after others in one commit. A fault of the caller; nothing was written.
    #[error("{at}: record {sequence} has a state digest and must be the first of its commit; see digest_runs")]
    DigestNotFirst {
        /// Where.
        at: TopicPartition,
        /// Which record.
        sequence: Sequence,
    },
    /// The partition's fold has a writer already.
    #[error("{0}: its fold is open in another part of this process")]
    InUse(TopicPartition),
    /// The partition was never folded here.
    #[error("{0}: not in this store; check the topic and partition, or start the relayer once")]
    NoSuchPartition(TopicPartition),
    /// The store was opened for reading.
    #[error("the store is open for reading only")]
    ReadOnly,
}

impl From<FollowError> for StoreError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Halt(halt @ (Halt::Shortened { .. } | Halt::Rewritten { .. })) => Self::LeadsJournal(halt),
            FollowError::Halt(halt @ (Halt::Forked { .. } | Halt::Jumped { .. } | Halt::NewerVersion { .. })) => Self::Halt(halt),
            FollowError::Read(error) => Self::Journal(error),
        }
    }
}
