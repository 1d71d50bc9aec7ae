//! A decision before it has a place in the chain, and the log entries that are made of claims and records.

use crate::attributes::Attributes;
use crate::frontier::{Frontier, Owner};
use crate::log::NewRecord;
use acurast_events::attributes::{claim_attributes, record_attributes};
use acurast_events::bytes::{Bytes, RecordHash};
use acurast_events::record::{Claim, Entry, InputRef, Record, record_hash};
use acurast_events::topics::TopicPartition;
use acurast_events::units::Timestamp;
use acurast_events::wire::Message;

/// All events that one input causes for one subject, not yet written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The record's key in the topic: chain, owner_key or lane.
    pub key: Vec<u8>,
    /// The stamp that the decision was made with, from [`PartitionWriter::stamp`](crate::PartitionWriter::stamp).
    pub at: Timestamp,
    /// The input that is answered.
    pub input: Option<InputRef>,
    /// The job, account or lane that the events belong to.
    pub subject: Bytes,
    /// W3C trace context, for tracing only.
    pub traceparent: Option<String>,
    /// The events, encoded as the topic's event type.
    pub events: Vec<Bytes>,
}

/// A draft in its place: what is appended, and what must be read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) entry: NewRecord,
    pub(crate) hash: RecordHash,
}

/// Chains `draft` after `frontier`, which then stands after it (but for its offset, which the log gives). `described`: with
/// its attributes.
pub(crate) fn place(draft: Draft, at: &TopicPartition, owner: Owner, frontier: &mut Frontier, described: bool) -> Placed {
    let Draft { key, at: stamp, input, subject, traceparent, events } = draft;
    let record = Record {
        term: owner.term,
        writer: owner.writer,
        sequence: frontier.next_sequence,
        previous: frontier.hash,
        at: stamp,
        input,
        subject,
        traceparent,
        events,
    };
    let entry = Entry::Record(record);
    let value = entry.encode();
    let sequence = frontier.next_sequence;
    let hash = record_hash(at, owner.term, &owner.writer, sequence, &frontier.hash, &value);
    let attributes = match &entry {
        Entry::Record(record) if described => record_attributes(at, record, &hash).into_iter().collect(),
        Entry::Record(_) | Entry::Claim(_) => Attributes::default(),
    };
    frontier.next_sequence = sequence.next();
    frontier.hash = hash;
    frontier.at = stamp;
    Placed { entry: NewRecord { key, value, attributes }, hash }
}

/// The log entry that claims a partition for `owner`.
pub(crate) fn claim(at: &TopicPartition, owner: Owner, now: Timestamp) -> NewRecord {
    let claim = Claim { term: owner.term, writer: owner.writer, at: now };
    let attributes = claim_attributes(at, &claim).into_iter().collect();
    NewRecord { key: Vec::new(), value: Entry::Claim(claim).encode(), attributes }
}
