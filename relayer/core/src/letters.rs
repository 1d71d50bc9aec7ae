//! Dead letters: what could not be processed and waits for an operator, and what became of his commands.
//!
//! ```text
//! SettlementDead, SettlementReversed, NoUsableKey, LedgerDiffers, InputQuarantined ──▶ open ──▶ requeued | resolved
//! ```
//!
//! They are rows of the store, not of memory: a letter is written once when its event is folded, its end once when that is. Neither
//! write needs the other row, so a fold reads nothing. What a command is about is looked up by the shell, in the records
//! of the batch first ([`Partition::pending_letter`]), then in the store, and handed to the decision.

use crate::input::Subject;
use crate::partition::Partition;
use acurast_events::bytes::{Bytes, ContentHash, EventId, SettlementId};
use acurast_events::control::{CommandGiven, ControlCommand};
use acurast_events::ids::{content_hash, derived_id};
use acurast_events::jobs::{Fault, JobsEvent};
use acurast_events::outputs::OutputSubmitted;
use acurast_events::record::InputRef;
use acurast_events::units::{Offset, Timestamp};
use acurast_events::wire::{Message, WireError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Number of dead letters in derived ids.
pub(crate) const KIND_DEAD_LETTER: u16 = 0x0102;
/// How much of a record that can't be decided its dead letter shows, in bytes. The topic has all of it.
pub const FRONT_BYTES_MAX: usize = 1_024;

/// A dead letter as it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// When.
    pub at: Timestamp,
    /// The input whose decision it is part of.
    pub input: InputRef,
    /// The record's subject.
    pub subject: Bytes,
    /// The event, as it stands in the record.
    pub event: Bytes,
}

impl Letter {
    /// The event.
    ///
    /// # Errors
    /// When another version wrote it.
    pub fn event(&self) -> Result<JobsEvent, WireError> {
        JobsEvent::decode(&self.event.0)
    }
}

/// How a dead letter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterFate {
    /// What failed is tried again; failing again it is another dead letter.
    Requeued,
    /// Nothing more is done.
    Resolved,
}

/// The end of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterEnd {
    /// How.
    pub fate: LetterFate,
    /// Who, why, and by which command.
    pub given: CommandGiven,
    /// When it was decided.
    pub at: Timestamp,
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// How it ended the dead letter; nothing when it was refused.
    pub fate: Option<LetterFate>,
    /// Why it was refused.
    pub refused: Option<String>,
    /// Who gave it and why.
    pub given: CommandGiven,
    /// When it was decided.
    pub at: Timestamp,
}

/// What a dead letter says of its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matter {
    /// What it concerns.
    pub about: Bytes,
    /// Words for people.
    pub reason: String,
    /// Whose fault.
    pub fault: Fault,
}

/// What a dead letter says of this event; nothing when it is none. `subject` is the record's.
pub fn matter(event: &JobsEvent, subject: &Bytes) -> Option<Matter> {
    let of = |about: &[u8], reason: String, fault| Some(Matter { about: Bytes(about.to_vec()), reason, fault });
    match event {
        JobsEvent::SettlementDead(dead) => of(dead.settlement_id.as_bytes(), dead.reason.clone(), dead.fault),
        JobsEvent::SettlementReversed(it) => {
            let reason = format!("finality of the destination broke: transaction {} of block {} is gone", it.tx, it.was.number);
            of(it.settlement_id.as_bytes(), reason, Fault::Chain)
        }
        JobsEvent::NoUsableKey(none) => {
            let reason = format!("processor {} has no key that destination {} accepts", none.processor, none.dest_id);
            of(&subject.0, reason, Fault::Processor)
        }
        JobsEvent::LedgerDiffers(it) => {
            of(it.escrow_id.as_bytes(), format!("{}: ledger {}, contract {}", it.what, it.ledger, it.contract), Fault::Unknown)
        }
        JobsEvent::InputQuarantined(it) => {
            let at = &it.input;
            let reason = format!("record {} of {}/{} can't be decided: {}", at.position, at.topic, at.partition, it.reason);
            of(at.id.as_bytes(), reason, Fault::Unknown)
        }
        _ => None,
    }
}

/// A record of an input topic that can't be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Hash of its value.
    pub hash: ContentHash,
    /// Length of its value, in bytes.
    pub length: u32,
    /// Its first bytes.
    pub front: Bytes,
    /// Why it can't be decided.
    pub reason: String,
}

impl Unreadable {
    /// A record with this value, and why it can't be decided.
    pub fn of(value: &[u8], reason: String) -> Self {
        let front = value.get(..FRONT_BYTES_MAX).unwrap_or(value);
        // No record is longer than a few megabytes.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        Self { hash: content_hash(value), length, front: Bytes(front.to_vec()), reason }
    }
}

/// A command with what the shell looked up for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlInput {
    /// The command.
    pub command: ControlCommand,
    /// Whether it was decided before: the same id came already.
    pub answered: bool,
    /// The dead letter that it names, and its end; nothing when this partition has none of that id.
    pub letter: Option<(Letter, Option<LetterEnd>)>,
    /// The record of `outputs.v1` that a requeue decides or delivers again.
    pub evidence: Evidence,
}

impl ControlInput {
    /// The command alone, before anything was looked up.
    pub fn new(command: ControlCommand) -> Self {
        Self { command, answered: false, letter: None, evidence: Evidence::None }
    }
}

/// A record that was read again for a requeue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// None was needed.
    None,
    /// An output, and where it stands.
    Output(Box<OutputSubmitted>, Offset),
    /// It can't be used, and why.
    Unusable(String),
}

/// Which record of `outputs.v1` a requeue of this dead letter needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// None.
    Nothing,
    /// The one at this offset of the partition's own outputs.
    Output(Offset),
    /// The quarantined one, with this hash.
    Quarantined(InputRef, ContentHash),
}

/// What changed of dead letters since rows were last taken.
#[derive(Debug, Default, Clone)]
pub(crate) struct DirtyLetters {
    pub(crate) opened: BTreeMap<EventId, Letter>,
    pub(crate) ended: BTreeMap<EventId, LetterEnd>,
    pub(crate) commands: BTreeMap<EventId, CommandResult>,
}

impl DirtyLetters {
    /// Notes what the events of one folded record say of dead letters. One without an input opens none: it decides nothing
    /// that could fail.
    pub(crate) fn note(&mut self, at: Timestamp, input: Option<&InputRef>, subject: &Subject, events: &[JobsEvent]) {
        let subject = subject.to_bytes();
        for (n, event) in (0u32..).zip(events) {
            match event {
                JobsEvent::DeadLetterRequeued(it) => self.end(at, it.dead_letter, LetterFate::Requeued, &it.given),
                JobsEvent::DeadLetterResolved(it) => self.end(at, it.dead_letter, LetterFate::Resolved, &it.given),
                JobsEvent::CommandRefused(it) => {
                    let result = CommandResult { fate: None, refused: Some(it.reason.clone()), given: it.given.clone(), at };
                    self.commands.insert(it.given.id, result);
                }
                event => {
                    if let (Some(input), Some(_)) = (input, matter(event, &subject)) {
                        let id = derived_id(&input.id, &subject.0, KIND_DEAD_LETTER, n);
                        let letter = Letter { at, input: input.clone(), subject: subject.clone(), event: Bytes(event.encode()) };
                        self.opened.insert(id, letter);
                    }
                }
            }
        }
    }

    fn end(&mut self, at: Timestamp, letter: EventId, fate: LetterFate, given: &CommandGiven) {
        self.ended.insert(letter, LetterEnd { fate, given: given.clone(), at });
        self.commands.insert(given.id, CommandResult { fate: Some(fate), refused: None, given: given.clone(), at });
    }
}

impl Partition {
    /// A dead letter that is not in the store yet.
    pub fn pending_letter(&self, id: &EventId) -> Option<&Letter> {
        self.dirty_letters().opened.get(id)
    }

    /// The end of a dead letter that is not in the store yet.
    pub fn pending_end(&self, id: &EventId) -> Option<&LetterEnd> {
        self.dirty_letters().ended.get(id)
    }

    /// What a command came to, where that is not in the store yet.
    pub fn pending_command(&self, id: &EventId) -> Option<&CommandResult> {
        self.dirty_letters().commands.get(id)
    }

    /// What a requeue of this dead letter has to read again.
    pub fn requeue_needs(&self, letter: &Letter) -> Needs {
        match letter.event() {
            Ok(JobsEvent::SettlementDead(dead)) => self.output_offset(&dead.settlement_id).map_or(Needs::Nothing, Needs::Output),
            Ok(JobsEvent::InputQuarantined(it)) => Needs::Quarantined(it.input, it.hash),
            _ => Needs::Nothing,
        }
    }

    fn output_offset(&self, id: &SettlementId) -> Option<Offset> {
        let job = self.settlement(id)?;
        let place = job.settlements.get(id)?;
        job.execution(&place.assignment, place.execution?)?.output.as_ref()?.offset
    }
}

/// A dead letter for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LetterView {
    /// Its id.
    pub dead_letter: EventId,
    /// The partition of `jobs.v1` that it derives from.
    pub partition: u32,
    /// Name of the event.
    pub kind: &'static str,
    /// What it concerns.
    pub about: Bytes,
    /// Words for people.
    pub reason: String,
    /// Whose fault.
    pub fault: Fault,
    /// When it was opened.
    pub at: Timestamp,
    /// Whether trying again can help; what stands against it now is said when it is asked for.
    pub requeueable: bool,
    /// `open`, `requeued` or `resolved`.
    pub state: &'static str,
    /// How it ended, by whom and why.
    pub end: Option<LetterEnd>,
    /// The input whose decision it is part of.
    pub input: InputRef,
    /// The record's subject.
    pub subject: Bytes,
    /// The event.
    pub event: JobsEvent,
}

impl LetterView {
    /// The dead letter for people.
    ///
    /// # Errors
    /// When another version wrote its event.
    pub fn of(id: EventId, partition: u32, letter: &Letter, end: Option<LetterEnd>) -> Result<Self, WireError> {
        let event = letter.event()?;
        let Matter { about, reason, fault } =
            matter(&event, &letter.subject).ok_or(WireError::Missing("an event that makes a dead letter"))?;
        let state = match end.as_ref().map(|end| end.fate) {
            None => "open",
            Some(LetterFate::Requeued) => "requeued",
            Some(LetterFate::Resolved) => "resolved",
        };
        let requeueable = matches!(event, JobsEvent::SettlementDead(_) | JobsEvent::InputQuarantined(_));
        Ok(Self {
            dead_letter: id,
            partition,
            kind: event.name(),
            about,
            reason,
            fault,
            at: letter.at,
            requeueable,
            state,
            end,
            input: letter.input.clone(),
            subject: letter.subject.clone(),
            event,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_record_is_shown_by_its_front_and_named_by_the_hash_of_all_of_it() {
        let value = vec![7; 4 << 20];
        let unreadable = Unreadable::of(&value, "too long to be an output".into());
        assert_eq!((unreadable.front.0.len(), unreadable.length), (FRONT_BYTES_MAX, 4 << 20));
        assert_eq!(unreadable.hash, content_hash(&value));
        assert_eq!(Unreadable::of(b"ab", String::new()).front, Bytes(b"ab".to_vec()));
    }
}
