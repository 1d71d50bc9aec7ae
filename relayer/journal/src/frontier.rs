//! Where a reader of an authoritative partition stands: just after an accepted record, with what the rule needs to go on.

use acurast_events::bytes::{RecordHash, WriterId};
use acurast_events::units::{Offset, Sequence, Term, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who may write a partition: the writer of the last accepted claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Term of the claim.
    pub term: Term,
    /// Random identity of the claim.
    pub writer: WriterId,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {} of writer {}", self.term, self.writer)
    }
}

/// A place to resume from. Always just after an accepted record, or at the start, so that `hash` binds all that came before:
/// [`PartitionReader::open`](crate::PartitionReader::open) checks it against the log, and a log that was cut and grew again
/// is noticed. Claims after that record are read again on resuming.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    /// The offset after the last accepted record.
    pub next_offset: Offset,
    /// The owner that wrote it; nothing before the first.
    pub owner: Option<Owner>,
    /// The sequence that the next accepted record has.
    pub next_sequence: Sequence,
    /// Hash of the last accepted record; zero before the first.
    pub hash: RecordHash,
    /// `at` of the last accepted record; 0 before the first.
    pub at: Timestamp,
}

impl Frontier {
    /// Before everything.
    pub const START: Self =
        Self { next_offset: Offset(0), owner: None, next_sequence: Sequence(0), hash: RecordHash::ZERO, at: Timestamp(0) };

    /// Offset of the last accepted record; nothing at the start.
    pub fn anchor(&self) -> Option<Offset> {
        self.owner.and(self.next_offset.0.checked_sub(1)).map(Offset)
    }
}
