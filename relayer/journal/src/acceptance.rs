//! The reader's rule of an authoritative partition (R12): which raw records count. Pure; every reader applies it alike.
//!
//! ```text
//! Claim    term higher than the current owner's      → its writer owns the partition
//!          otherwise                                  → skipped (of two claims of one term the first stands)
//! Record   (term, writer) is not the owner            → skipped: a zombie's, a loser's, or one that landed late
//!          sequence is not last + 1                   → skipped: repeated, or the one before it was lost
//!          previous is not the last record's hash     → HALT: its writer saw another log than we do
//!          has a field that this version doesn't know → HALT: skipping it would fold another state than newer readers do
//!          otherwise                                  → accepted
//! Other    not an entry, or of an unknown kind        → skipped
//! Offsets  jump                                       → HALT
//! Log      ends before what was read                  → HALT
//! ```
//!
//! What is skipped is counted and part of no state, tree or digest. Why malformed bytes are skipped and unknown fields halt:
//! a released field never changes meaning, so bytes that are malformed for one version are malformed for all, whereas only
//! newer versions can judge a field that this one doesn't know. An entry of an unknown *kind* is skipped by all: later
//! versions of these topics add no kind (they would add a topic version).

mod header;

use crate::frontier::{Frontier, Owner};
use crate::log::LogRecord;
use acurast_events::bytes::{RecordHash, WriterId};
use acurast_events::record::{Entry, Record, record_hash};
use acurast_events::topics::TopicPartition;
use acurast_events::units::{Offset, Sequence, Term};
use acurast_events::wire::{Message, WireError};
use header::Header;
use std::collections::BTreeMap;

/// A record that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedRecord {
    /// Where it stands in the raw log.
    pub offset: Offset,
    /// Its hash, which the next accepted record names.
    pub hash: RecordHash,
    /// What it says.
    pub record: Record,
}

impl AcceptedRecord {
    /// The writer and term that wrote it.
    pub fn owner(&self) -> Owner {
        Owner { term: self.record.term, writer: self.record.writer }
    }

    /// Where a reader stands that has applied this record.
    pub fn frontier(&self) -> Frontier {
        Frontier {
            next_offset: self.offset.next(),
            owner: Some(self.owner()),
            next_sequence: self.record.sequence.next(),
            hash: self.hash,
            at: self.record.at,
        }
    }
}

/// Why a raw record doesn't count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// A claim whose term isn't higher than the current one.
    StaleClaim,
    /// A record before any claim.
    NoOwner,
    /// A record of a past term, or of a writer that lost the claim of this term.
    OtherWriter,
    /// A record of a term that nobody claimed here. No writer of ours does that: somebody else writes to the topic.
    TermNotClaimed,
    /// The owner's record, again.
    Repeated,
    /// The owner's record, but the one before it isn't in the log.
    AfterGap,
    /// An entry of a kind without meaning.
    UnknownKind,
    /// Not an entry.
    Undecodable,
}

impl SkipReason {
    /// The reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::StaleClaim => "stale_claim",
            Self::NoOwner => "no_owner",
            Self::OtherWriter => "other_writer",
            Self::TermNotClaimed => "term_not_claimed",
            Self::Repeated => "repeated",
            Self::AfterGap => "after_gap",
            Self::UnknownKind => "unknown_kind",
            Self::Undecodable => "undecodable",
        }
    }
}

/// How many records were skipped, by reason.
pub type SkipCounts = BTreeMap<SkipReason, u64>;

/// The verdict about one raw record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The partition has a new owner.
    Claimed(Owner),
    /// The record counts.
    Accepted(Box<AcceptedRecord>),
    /// It doesn't.
    Skipped(SkipReason),
}

/// Why a reader must stop: the log isn't the one that was read or written before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The owner's next record names another predecessor.
    #[error(
        "{at}: record {sequence} at offset {offset} names {named} as the record before it, but {known} is; its writer saw another log. \
         Stop all writers of this partition and compare the journal's copies"
    )]
    Forked {
        /// Where.
        at: TopicPartition,
        /// At which offset.
        offset: Offset,
        /// Sequence of the record.
        sequence: Sequence,
        /// The predecessor that it names.
        named: RecordHash,
        /// The last accepted record.
        known: RecordHash,
    },
    /// A record isn't at the offset that follows.
    #[error("{at}: offset {found} follows where {expected} should; records of this log were removed. Restore the topic")]
    Jumped {
        /// Where.
        at: TopicPartition,
        /// The offset that follows.
        expected: Offset,
        /// The offset that was found.
        found: Offset,
    },
    /// The log ends before what was read from it.
    #[error("{at}: the log ends at offset {end}, but all before {read} was read from it; the journal lost records. Restore the topic")]
    Shortened {
        /// Where.
        at: TopicPartition,
        /// Where it ends.
        end: Offset,
        /// Where the reader stands.
        read: Offset,
    },
    /// Another record stands where the last applied one stood.
    #[error(
        "{at}: the record at offset {offset} isn't the one that was applied ({applied}); the log was cut and written anew. \
         Restore the topic, or, if this journal is the right one, remove the store so that it is folded anew"
    )]
    Rewritten {
        /// Where.
        at: TopicPartition,
        /// At which offset.
        offset: Offset,
        /// Hash of the applied record.
        applied: RecordHash,
    },
    /// A record that counts has a field that this version doesn't know.
    #[error("{at}: record {sequence} at offset {offset} was written by a newer version ({error}); upgrade this reader")]
    NewerVersion {
        /// Where.
        at: TopicPartition,
        /// At which offset.
        offset: Offset,
        /// Sequence of the record.
        sequence: Sequence,
        /// What isn't known.
        error: WireError,
    },
}

/// The rule, and where a reader stands with it. After a halt it stands where it stood, and halts again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    at: TopicPartition,
    next_offset: Offset,
    owner: Option<Owner>,
    frontier: Frontier,
    skipped: SkipCounts,
}

impl Acceptance {
    /// Goes on from `frontier`, whose last record the caller found unchanged in the log.
    pub fn resume(at: TopicPartition, frontier: Frontier) -> Self {
        Self { at, next_offset: frontier.next_offset, owner: frontier.owner, frontier, skipped: SkipCounts::new() }
    }

    /// Judges the next raw record.
    ///
    /// # Errors
    /// When the reader must halt.
    pub fn offer(&mut self, raw: &LogRecord) -> Result<Verdict, Halt> {
        if raw.offset != self.next_offset {
            return Err(Halt::Jumped { at: self.at.clone(), expected: self.next_offset, found: raw.offset });
        }
        let verdict = self.judge(raw)?;
        match &verdict {
            Verdict::Claimed(owner) => self.owner = Some(*owner),
            Verdict::Accepted(accepted) => self.frontier = accepted.frontier(),
            Verdict::Skipped(reason) => {
                let count = self.skipped.entry(*reason).or_default();
                *count = count.saturating_add(1);
            }
        }
        self.next_offset = raw.offset.next();
        Ok(verdict)
    }

    /// Checks that a log which ends at `end` still has all that was read.
    ///
    /// # Errors
    /// [`Halt::Shortened`] when it hasn't.
    pub fn check_end(&self, end: Offset) -> Result<(), Halt> {
        if end >= self.next_offset { Ok(()) } else { Err(Halt::Shortened { at: self.at.clone(), end, read: self.next_offset }) }
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.at
    }

    /// Who owns the partition, as far as it was read.
    pub fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// The highest term that was accepted; 0 before any claim.
    pub fn term(&self) -> Term {
        self.owner.map_or(Term(0), |owner| owner.term)
    }

    /// The next raw offset to read.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Just after the last accepted record.
    pub fn frontier(&self) -> Frontier {
        self.frontier
    }

    /// What was skipped since this reader started.
    pub fn skipped(&self) -> &SkipCounts {
        &self.skipped
    }

    fn judge(&self, raw: &LogRecord) -> Result<Verdict, Halt> {
        match Header::read(&raw.value) {
            Err(_) => Ok(Verdict::Skipped(SkipReason::Undecodable)),
            Ok(Header::Unknown) => Ok(Verdict::Skipped(SkipReason::UnknownKind)),
            Ok(Header::Claim(owner)) if owner.term > self.term() => Ok(Verdict::Claimed(owner)),
            Ok(Header::Claim(_)) => Ok(Verdict::Skipped(SkipReason::StaleClaim)),
            Ok(Header::Record { owner, sequence, previous }) => {
                if let Some(reason) = self.stranger(owner, sequence) {
                    return Ok(Verdict::Skipped(reason));
                }
                if previous != self.frontier.hash {
                    return Err(Halt::Forked {
                        at: self.at.clone(),
                        offset: raw.offset,
                        sequence,
                        named: previous,
                        known: self.frontier.hash,
                    });
                }
                self.next_in_chain(raw, sequence)
            }
        }
    }

    fn stranger(&self, owner: Owner, sequence: Sequence) -> Option<SkipReason> {
        let Some(current) = self.owner else { return Some(SkipReason::NoOwner) };
        if owner != current {
            let claimed = owner.term <= current.term;
            return Some(if claimed { SkipReason::OtherWriter } else { SkipReason::TermNotClaimed });
        }
        match sequence.cmp(&self.frontier.next_sequence) {
            std::cmp::Ordering::Less => Some(SkipReason::Repeated),
            std::cmp::Ordering::Greater => Some(SkipReason::AfterGap),
            std::cmp::Ordering::Equal => None,
        }
    }

    fn next_in_chain(&self, raw: &LogRecord, sequence: Sequence) -> Result<Verdict, Halt> {
        match Entry::decode(&raw.value) {
            Ok(Entry::Record(record)) => {
                let hash = record.hash(&self.at, &raw.value);
                Ok(Verdict::Accepted(Box::new(AcceptedRecord { offset: raw.offset, hash, record })))
            }
            Err(error @ WireError::UnknownField { .. }) => {
                Err(Halt::NewerVersion { at: self.at.clone(), offset: raw.offset, sequence, error })
            }
            // The header says Record, so a claim can't come out; with it, all that no version can decode.
            Ok(Entry::Claim(_)) | Err(WireError::Malformed(_) | WireError::Missing(_) | WireError::Invalid { .. }) => {
                Ok(Verdict::Skipped(SkipReason::Undecodable))
            }
        }
    }
}

/// Who wrote `raw`, if it is a record of this form.
pub(crate) fn writer_of(raw: &LogRecord) -> Option<WriterId> {
    match Header::read(&raw.value) {
        Ok(Header::Record { owner, .. }) => Some(owner.writer),
        Ok(Header::Claim(_) | Header::Unknown) | Err(_) => None,
    }
}

/// Whether `raw` is the record that `frontier` stands just after.
pub(crate) fn is_anchor(at: &TopicPartition, frontier: &Frontier, raw: &LogRecord) -> bool {
    match Header::read(&raw.value) {
        Ok(Header::Record { owner, sequence, previous }) => {
            Some(owner) == frontier.owner
                && sequence.next() == frontier.next_sequence
                && record_hash(at, owner.term, &owner.writer, sequence, &previous, &raw.value) == frontier.hash
        }
        Ok(Header::Claim(_) | Header::Unknown) | Err(_) => false,
    }
}
