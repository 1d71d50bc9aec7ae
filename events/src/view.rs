//! What is on a topic as JSON for people: records with their events decoded instead of as bytes.
//!
//! A view only shows. Nothing is decided by it, so an event that this version does not know is shown as bytes with the
//! reason, while a reader that folds must stop there.

use crate::bytes::{Bytes, RecordHash, WriterId};
use crate::control::ControlCommand;
use crate::derived::{DeadLetter, ReceiptsEvent, ReputationObserved};
use crate::jobs::JobsEvent;
use crate::lanes::LanesEvent;
use crate::outputs::OutputSubmitted;
use crate::record::{Claim, Entry, InputRef, Record};
use crate::source::SourceEvent;
use crate::topics::Topic;
use crate::units::{Sequence, Term, Timestamp};
use crate::wire::{Message, WireError};
use serde::Serialize;

/// Why a value can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The value is none of its topic.
    #[error("the value is not one of topic {topic}: {source}")]
    Value {
        /// The topic, without prefix.
        topic: String,
        /// What is wrong with the bytes.
        source: WireError,
    },
    /// The topic has no schema in this version.
    #[error("topic {0} has no schema in this version; upgrade to read it")]
    NoSchema(String),
    /// JSON could not be written.
    #[error("the value has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
}

/// An event, or why it is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EventView<E> {
    /// The event.
    Decoded(E),
    /// An event of a newer version, or damaged.
    Undecodable {
        /// Why it did not decode.
        undecodable: String,
        /// Its bytes.
        bytes: Bytes,
    },
}

impl<E: Message> EventView<E> {
    fn new(bytes: &Bytes) -> Self {
        match E::decode(&bytes.0) {
            Ok(event) => Self::Decoded(event),
            Err(error) => Self::Undecodable { undecodable: error.to_string(), bytes: bytes.clone() },
        }
    }
}

/// A [`Record`] whose events are shown as the topic's type `E`; the fields are the record's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordView<E> {
    /// See [`Record::term`].
    pub term: Term,
    /// See [`Record::writer`].
    pub writer: WriterId,
    /// See [`Record::sequence`].
    pub sequence: Sequence,
    /// See [`Record::previous`].
    pub previous: RecordHash,
    /// See [`Record::at`].
    pub at: Timestamp,
    /// See [`Record::input`].
    pub input: Option<InputRef>,
    /// See [`Record::subject`].
    pub subject: Bytes,
    /// See [`Record::traceparent`].
    pub traceparent: Option<String>,
    /// The events, in order.
    pub events: Vec<EventView<E>>,
}

impl<E: Message> From<&Record> for RecordView<E> {
    fn from(record: &Record) -> Self {
        let Record { term, writer, sequence, previous, at, input, subject, traceparent, events } = record;
        Self {
            term: *term,
            writer: *writer,
            sequence: *sequence,
            previous: *previous,
            at: *at,
            input: input.clone(),
            subject: subject.clone(),
            traceparent: traceparent.clone(),
            events: events.iter().map(EventView::new).collect(),
        }
    }
}

/// An [`Entry`] whose events are shown as the topic's type `E`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryView<E> {
    /// A claim of the partition.
    Claim(Claim),
    /// A decision.
    Record(RecordView<E>),
}

impl<E: Message> From<&Entry> for EntryView<E> {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Claim(claim) => Self::Claim(claim.clone()),
            Entry::Record(record) => Self::Record(record.into()),
        }
    }
}

/// The JSON line of a record whose events are of type `E`, its fields in the schema's order.
///
/// # Errors
/// When JSON can't be written, which no type of this crate causes.
pub fn record_json<E: Message + Serialize>(record: &Record) -> Result<String, ViewError> {
    Ok(serde_json::to_string(&RecordView::<E>::from(record))?)
}

/// The JSON line of a value as it is stored on `topic`.
///
/// # Errors
/// When the value is none of the topic, or the topic has no schema yet. A record with an unknown event is no error: the
/// event is shown as bytes.
pub fn value_json(topic: &Topic, value: &[u8]) -> Result<String, ViewError> {
    match topic {
        Topic::Source(_) => entry_json::<SourceEvent>(topic, value),
        Topic::Jobs => entry_json::<JobsEvent>(topic, value),
        Topic::Lanes => entry_json::<LanesEvent>(topic, value),
        Topic::Outputs => message_json::<OutputSubmitted>(topic, value),
        Topic::Control => message_json::<ControlCommand>(topic, value),
        Topic::Receipts => message_json::<ReceiptsEvent>(topic, value),
        Topic::Reputation => message_json::<ReputationObserved>(topic, value),
        Topic::DeadLetters => message_json::<DeadLetter>(topic, value),
        Topic::Checkpoints => Err(ViewError::NoSchema(topic.name("").to_string())),
    }
}

fn decode<T: Message>(topic: &Topic, value: &[u8]) -> Result<T, ViewError> {
    T::decode(value).map_err(|source| ViewError::Value { topic: topic.name("").to_string(), source })
}

fn entry_json<E: Message + Serialize>(topic: &Topic, value: &[u8]) -> Result<String, ViewError> {
    Ok(serde_json::to_string(&EntryView::<E>::from(&decode::<Entry>(topic, value)?))?)
}

fn message_json<T: Message + Serialize>(topic: &Topic, value: &[u8]) -> Result<String, ViewError> {
    Ok(serde_json::to_string(&decode::<T>(topic, value)?)?)
}
