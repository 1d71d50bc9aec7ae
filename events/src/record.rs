//! What one log entry says: a claim of a partition, or one decision with everything that it caused (R11, R12).
//!
//! The value alone decides the meaning; record attributes (CloudEvents) repeat it for subscribers. The chain of
//! records hashes stored bytes, never a re-encoding.

use crate::bytes::{Bytes, EventId, RecordHash, StateHash, WriterId};
use crate::ids::{derived_id, sha256};
use crate::topics::TopicPartition;
use crate::units::{Sequence, Term, Timestamp};
use crate::wire::{Message, WireError};

crate::message! {
    /// A position in a topic: a sequence in an authoritative topic, an offset in an input topic.
    pub struct InputPosition {
        /// Full topic name, with its prefix.
        1 topic: String,
        /// Partition of the topic.
        2 partition: u32,
        /// The next position to read: all before it was taken.
        3 next: Position,
    }

    /// The input that a record answers.
    pub struct InputRef {
        /// Full topic name, with its prefix.
        1 topic: String,
        /// Partition of the topic.
        2 partition: u32,
        /// Where the input stands in it.
        3 position: Position,
        /// The input's own id, the root of the ids derived from it.
        4 id: EventId,
    }

    /// Takes a partition over. Accepted when its term is higher than the current one; no link of the chain (R12).
    pub struct Claim {
        /// The new term.
        1 term: Term,
        /// Random identity of this claim.
        2 writer: WriterId,
        /// When it was made.
        3 at: Timestamp,
    }

    /// All events that one input causes for one subject: whole or absent.
    pub struct Record {
        /// Term of the claim that the writer made.
        1 term: Term,
        /// Writer of that claim.
        2 writer: WriterId,
        /// Position among the accepted records of the partition.
        3 sequence: Sequence,
        /// Hash of the accepted record before it; zero for the first.
        4 previous: RecordHash,
        /// Stamped when the input was decided: max(last `at` of the partition, local clock). Time is data.
        5 at: Timestamp,
        /// The input that is answered; absent for what the loop itself observed.
        6 input: Option<InputRef>,
        /// The job, account or lane that the events belong to; with `input` the key of deduplication.
        7 subject: Bytes,
        /// W3C trace context of the decision, for tracing only.
        8 traceparent: Option<String>,
        /// The events, in order, each encoded as the topic's event type.
        16 events: Vec<Bytes>,
    }

    /// How far a partition's owner took its inputs, and how far what derives from the partition was published.
    pub struct Progress {
        /// Next position per input partition.
        1 inputs: Vec<InputPosition>,
        /// Next position of this partition that is to be published, per derived topic.
        2 published: Vec<InputPosition>,
    }

    /// The digest of a partition's folded state, as its owner computed it (PROTOCOL §10). Whoever folds the same records to
    /// rows of the same version and finds another one halts. Part of no state; its record has no subject.
    pub struct StateDigest {
        /// All records below this sequence are folded: it is the sequence of the record that says so.
        1 sequence: Sequence,
        /// The digest.
        2 digest: StateHash,
        /// Version of the rows that it is a digest of; folds with rows of another version have nothing to compare.
        3 schema: u32,
    }
}

/// A position in a topic: sequence or offset, by the topic's kind.
pub type Position = crate::units::Offset;

crate::events! {
    /// The value of one log entry of an authoritative topic.
    pub enum Entry {
        1 Claim,
        2 Record,
    }
}

/// sha256("acurast/record/1" ‖ topic ‖ 0x00 ‖ partition ‖ term ‖ writer ‖ sequence ‖ previous ‖ value), over the stored value (PROTOCOL §3).
pub fn record_hash(
    at: &TopicPartition,
    term: Term,
    writer: &WriterId,
    sequence: Sequence,
    previous: &RecordHash,
    value: &[u8],
) -> RecordHash {
    RecordHash(sha256(&[
        b"acurast/record/1",
        at.topic.as_str().as_bytes(),
        &[0],
        &at.partition.to_be_bytes(),
        &term.0.to_be_bytes(),
        &writer.0,
        &sequence.0.to_be_bytes(),
        &previous.0,
        value,
    ]))
}

impl Record {
    /// The hash of this record as stored in `value` at `at`.
    pub fn hash(&self, at: &TopicPartition, value: &[u8]) -> RecordHash {
        record_hash(at, self.term, &self.writer, self.sequence, &self.previous, value)
    }

    /// The events as the topic's type.
    ///
    /// # Errors
    /// When an event does not decode, also because a newer version wrote it.
    pub fn decode_events<E: Message>(&self) -> Result<Vec<E>, WireError> {
        self.events.iter().map(|bytes| E::decode(&bytes.0)).collect()
    }

    /// The id of event `n` of this record (PROTOCOL §3, derived); the input's id, or the record's own hash without an input.
    pub fn event_id(&self, hash: &RecordHash, kind: u16, n: u32) -> EventId {
        let input = self.input.as_ref().map_or(EventId(hash.0), |input| input.id);
        derived_id(&input, &self.subject.0, kind, n)
    }
}
