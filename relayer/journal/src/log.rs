//! What a log holds, and the bounds of one append and one read. Nothing here knows what a value means.

use crate::attributes::Attributes;
use acurast_events::units::{Offset, Timestamp};

/// Longest record (key, attributes and value together), bytes.
pub const MAX_RECORD_BYTES: usize = 4 << 20;
/// Most records of one append.
pub const MAX_APPEND_RECORDS: usize = 4_096;
/// Most bytes of one append.
pub const MAX_APPEND_BYTES: usize = 16 << 20;
/// Most partitions of one topic.
pub const MAX_PARTITIONS: u32 = 4_096;

/// A record to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The key, which chose the partition.
    pub key: Vec<u8>,
    /// The bytes that count, stored as they are.
    pub value: Vec<u8>,
    /// Attributes for subscribers.
    pub attributes: Attributes,
}

impl NewRecord {
    /// Bytes of key, value and attributes together.
    pub fn size_bytes(&self) -> usize {
        size_bytes(&self.key, &self.value, &self.attributes)
    }
}

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it stands in its partition.
    pub offset: Offset,
    /// The key.
    pub key: Vec<u8>,
    /// The value, byte for byte as it was appended.
    pub value: Vec<u8>,
    /// Attributes for subscribers; none where the journal is one that doesn't read them.
    pub attributes: Attributes,
    /// When the log stored it, by the log's clock. For people; no rule reads it.
    pub at: Timestamp,
}

impl LogRecord {
    /// Bytes of key, value and attributes together.
    pub fn size_bytes(&self) -> usize {
        size_bytes(&self.key, &self.value, &self.attributes)
    }
}

fn size_bytes(key: &[u8], value: &[u8], attributes: &Attributes) -> usize {
    key.len().saturating_add(value.len()).saturating_add(attributes.size_bytes())
}

/// Bounds of one read. At least one record is returned where there is one, however long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Most records.
    pub records_max: usize,
    /// Bytes after which no further record is added.
    pub bytes_max: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { records_max: 1_000, bytes_max: 4 << 20 }
    }
}

impl ReadLimits {
    /// Whether a batch of `records` records and `bytes` bytes takes another one.
    pub fn admit(&self, records: usize, bytes: usize) -> bool {
        records == 0 || (records < self.records_max && bytes < self.bytes_max)
    }
}

/// What one read returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBatch {
    /// Records in offset order, the first at the asked offset if the log has it.
    pub records: Vec<LogRecord>,
    /// The log's end as this read saw it: the offset that the next appended record gets.
    pub end: Offset,
}
