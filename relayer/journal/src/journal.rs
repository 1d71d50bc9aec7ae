//! The journal as its back ends see it: topics with a fixed number of partitions, each a log. See [`EventJournal`].

use crate::log::{MAX_APPEND_BYTES, MAX_APPEND_RECORDS, MAX_PARTITIONS, MAX_RECORD_BYTES, NewRecord, ReadBatch, ReadLimits};
use acurast_events::topics::{TopicName, TopicPartition};
use acurast_events::units::Offset;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

/// An append-only log per partition of each topic.
///
/// # Contract
/// * *Offsets* of a partition count up from 0 without holes. A log that skips one, shrinks or changes is broken; readers of
///   authoritative topics notice and halt, back ends need not. Derived topics may have holes, and `end` may be beyond their last
///   record: go on after the last record that was read, and stop when a read returns none.
/// * *Append*: all records of a call follow each other in order, unless the call fails with [`AppendError::Uncertain`]: then
///   any part of them may be in the log, now or later. `Ok` means durable: it survives the loss of power.
/// * *Read* shows durable records only, and never fewer than an earlier read showed.
/// * *Cancelling* an append's future leaves its outcome as unknown as `Uncertain` does.
/// * All calls may run concurrently, from any number of tasks. Appends to one partition take effect one after the other.
///
/// # If a back end breaks it
/// Records that were acknowledged and are lost can make a store lead its journal. The relayer refuses to start then;
/// money that was sent meanwhile is protected by the destination's own idempotence alone.
#[async_trait]
pub trait EventJournal: Send + Sync {
    /// Creates `topic` with a fixed number of partitions; does nothing when it exists so.
    ///
    /// # Errors
    /// [`TopicError::Drift`] when it exists with another number: keys would change partition, and with it their owner.
    async fn create(&self, topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError>;

    /// All topics and their number of partitions.
    ///
    /// # Errors
    /// When the journal can't be read.
    async fn topics(&self) -> Result<BTreeMap<TopicName, NonZeroU32>, TopicError>;

    /// Appends `records` in order and returns their offsets once all are durable, with one sync for the whole call.
    ///
    /// # Errors
    /// [`AppendError::Refused`]: nothing was or will be written. [`AppendError::Uncertain`]: any part of it may be.
    async fn append(&self, at: &TopicPartition, records: Vec<NewRecord>) -> Result<Vec<Offset>, AppendError>;

    /// Whether attributes are kept. They repeat the value for subscribers and decide nothing: a log that nobody subscribes to
    /// is spared them, and they are not made for it.
    fn keeps_attributes(&self) -> bool {
        true
    }

    /// Records from offset `from` on, within `limits`; none when `from` is at or past the end.
    ///
    /// # Errors
    /// When the partition doesn't exist or can't be read.
    async fn read(&self, at: &TopicPartition, from: Offset, limits: ReadLimits) -> Result<ReadBatch, ReadError>;

    /// The offset that the next appended record gets.
    ///
    /// # Errors
    /// When the partition doesn't exist or can't be read.
    async fn end(&self, at: &TopicPartition) -> Result<Offset, ReadError>;

    /// Waits until the log no longer ends at `offset`, and returns where it ends: beyond it, as a rule; below it if the log
    /// was shortened, which the caller's next read finds. Woken by the append, not polled.
    ///
    /// # Errors
    /// When the partition doesn't exist, can't be read, or can't change ([`ReadError::Snapshot`]).
    async fn wait_beyond(&self, at: &TopicPartition, offset: Offset) -> Result<Offset, ReadError>;
}

/// Why an append surely wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The topic or partition isn't there; nothing is created by writing.
    #[error("no such partition; create the topic first")]
    NoSuchPartition,
    /// A record is too long.
    #[error("record {index} has {bytes} bytes, more than {MAX_RECORD_BYTES}")]
    RecordTooLong {
        /// Which record of the call.
        index: usize,
        /// Its size.
        bytes: usize,
    },
    /// Too much in one call.
    #[error("{records} records of {bytes} bytes in one append, more than {MAX_APPEND_RECORDS} records or {MAX_APPEND_BYTES} bytes")]
    AppendTooLarge {
        /// Records of the call.
        records: usize,
        /// Bytes of the call.
        bytes: usize,
    },
    /// The journal was opened for reading only.
    #[error("the journal is open for reading only")]
    ReadOnly,
    /// The journal can't be written now.
    #[error("{0}")]
    Unavailable(String),
}

/// Why an append didn't return offsets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Nothing was written, nothing will be.
    #[error("{at}: append refused, nothing was written: {reason}")]
    Refused {
        /// Where.
        at: TopicPartition,
        /// Why.
        reason: Refusal,
    },
    /// All, some or none of it is in the log or will be; only reading tells.
    #[error("{at}: the outcome of an append is unknown: {reason}; the partition's owner rebuilds from the log and claims a new term")]
    Uncertain {
        /// Where.
        at: TopicPartition,
        /// What went wrong.
        reason: String,
    },
}

/// Why a log can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The topic or partition isn't there.
    #[error("{0}: no such partition; create the topic first, or check the topic prefix")]
    NoSuchPartition(TopicPartition),
    /// The log no longer has its first records.
    #[error(
        "{at}: the log begins at offset {begins}, the records from {asked} on were deleted; a journal's topics keep everything (no retention, no deletion). Restore the topic"
    )]
    Truncated {
        /// Where.
        at: TopicPartition,
        /// The first offset that is left.
        begins: Offset,
        /// What was asked for.
        asked: Offset,
    },
    /// Stored bytes are not a record.
    #[error("{at}: the stored record at offset {offset} is damaged ({reason}); restore the journal from a copy")]
    Corrupted {
        /// Where.
        at: TopicPartition,
        /// At which offset.
        offset: Offset,
        /// What is wrong with it.
        reason: String,
    },
    /// The log can't be reached or read now.
    #[error("{at}: can't be read: {reason}")]
    Unavailable {
        /// Where.
        at: TopicPartition,
        /// Why.
        reason: String,
    },
    /// This is a view of the journal as it was when it was opened; it never grows.
    #[error("{0}: opened for reading only; what is appended later isn't seen, open it again")]
    Snapshot(TopicPartition),
}

/// Why topics can't be created or listed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The topic exists with another number of partitions.
    #[error("topic {topic} has {found} partitions, the configuration says {wanted}; the number is fixed for a topic's life, set it back")]
    Drift {
        /// Which topic.
        topic: TopicName,
        /// Partitions as configured.
        wanted: NonZeroU32,
        /// Partitions that it has.
        found: NonZeroU32,
    },
    /// Not a name that every back end takes.
    #[error("{0:?} is no topic name: 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-'")]
    BadName(String),
    /// More partitions than a topic may have.
    #[error("{0} partitions are more than {MAX_PARTITIONS}")]
    TooManyPartitions(NonZeroU32),
    /// The journal was opened for reading only.
    #[error("the journal is open for reading only")]
    ReadOnly,
    /// The journal can't be read or written.
    #[error("the journal's topics can't be read or written: {0}")]
    Unavailable(String),
}

/// Checks a topic's name and number of partitions, alike for all back ends.
///
/// # Errors
/// See [`TopicError`].
pub fn check_topic(topic: &TopicName, partitions: NonZeroU32) -> Result<(), TopicError> {
    let name = topic.as_str();
    let valid = !name.is_empty() && name.len() <= 249 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !valid {
        return Err(TopicError::BadName(name.chars().take(300).collect()));
    }
    if partitions.get() > MAX_PARTITIONS {
        return Err(TopicError::TooManyPartitions(partitions));
    }
    Ok(())
}

/// Checks the bounds of one append, alike for all back ends.
///
/// # Errors
/// [`AppendError::Refused`] when a bound is passed.
pub fn check_append(at: &TopicPartition, records: &[NewRecord]) -> Result<(), AppendError> {
    let refuse = |reason| AppendError::Refused { at: at.clone(), reason };
    let mut total = 0usize;
    for (index, record) in records.iter().enumerate() {
        let bytes = record.size_bytes();
        if bytes > MAX_RECORD_BYTES {
            return Err(refuse(Refusal::RecordTooLong { index, bytes }));
        }
        total = total.saturating_add(bytes);
    }
    if records.len() > MAX_APPEND_RECORDS || total > MAX_APPEND_BYTES {
        return Err(refuse(Refusal::AppendTooLarge { records: records.len(), bytes: total }));
    }
    Ok(())
}
