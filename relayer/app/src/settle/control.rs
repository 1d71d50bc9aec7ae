//! Operators' commands and dead letters: what a command is about is looked up before it is decided, and what is known of dead letters
//! is told to whoever asks.
//!
//! *Order.* Commands are decided before the blocks of the same batch: one that is there counts before a seal ends its execution.
//! *Crash argument.* A command is one record; until that is read back nothing of it happened. Read again it is recognised by the
//! subjects that answered it since the last Progress, and before by its own id in the store.

use super::inputs::{Pending, position_after};
use super::queries::Answers;
use super::{Settle, SettleError};
use acurast_events::bytes::{ContentHash, EventId};
use acurast_events::control::{CommandTarget, ControlCommand};
use acurast_events::ids::{content_hash, input_record_id};
use acurast_events::jobs::JobsEvent;
use acurast_events::outputs::OutputSubmitted;
use acurast_events::record::InputRef;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use acurast_events::wire::Message;
use acurast_relayer_core::letters::matter;
use acurast_relayer_core::rows::{command_of_row, letter_end_of_row, letter_of_row};
use acurast_relayer_core::{
    CommandResult, ControlInput, Evidence, Input, Letter, LetterEnd, LetterView, Needs, Partition, Subject, Table, Unreadable,
};
use acurast_relayer_journal::{EventJournal, InputError, LogRecord, ReadLimits};
use acurast_relayer_store::PartitionView;
use tokio::sync::watch;

/// How often a record that must be there is asked for before it counts as gone.
const READS_MAX: usize = 16;

/// Tells how far the inputs that somebody waits for were taken.
pub struct Announce {
    outputs: watch::Sender<Offset>,
    control: watch::Sender<Offset>,
}

impl Announce {
    /// Both ends of what is announced: outputs, then control.
    pub fn new() -> (Self, watch::Receiver<Offset>, watch::Receiver<Offset>) {
        let (outputs, outputs_taken) = watch::channel(Offset(0));
        let (control, control_taken) = watch::channel(Offset(0));
        (Self { outputs, control }, outputs_taken, control_taken)
    }

    /// All below these offsets was decided, and what it caused was read back.
    pub fn taken(&self, outputs: Offset, control: Offset) {
        self.outputs.send_replace(outputs);
        self.control.send_replace(control);
    }

    /// The same, where a position that was announced may be beyond.
    pub fn taken_at_least(&self, outputs: Offset, control: Offset) {
        for (sender, taken) in [(&self.outputs, outputs), (&self.control, control)] {
            sender.send_if_modified(|announced| {
                let newer = taken > *announced;
                *announced = taken.max(*announced);
                newer
            });
        }
    }
}

/// A record of an input topic with its place.
pub(super) fn reference_of(at: &TopicPartition, record: &LogRecord) -> InputRef {
    let id = input_record_id(at, record.offset);
    InputRef { topic: at.topic.as_str().to_owned(), partition: at.partition, position: record.offset, id }
}

/// The input that a record of `outputs.v1` is: an output for a job of this partition, or one that can't be decided.
pub(super) fn output_of(partition: &Partition, value: &[u8]) -> Input {
    let reason = match OutputSubmitted::decode(value) {
        Ok(submitted) if partition.owns(&submitted.owner) => return Input::Output(submitted),
        Ok(submitted) => format!("its owner {} belongs to another partition", submitted.owner),
        Err(error) => error.to_string(),
    };
    Input::Unreadable(Unreadable::of(value, reason))
}

/// The input that a record of `control.v1` is: a command for this partition, or one that can't be decided.
pub(super) fn command_of(partition: u32, value: &[u8]) -> Input {
    let reason = match ControlCommand::decode(value) {
        Ok(command) if command.partition() == partition => return Input::Control(Box::new(ControlInput::new(command))),
        Ok(command) => format!("its target belongs to partition {}", command.partition()),
        Err(error) => error.to_string(),
    };
    Input::Unreadable(Unreadable::of(value, reason))
}

fn version(error: &dyn std::fmt::Display) -> SettleError {
    SettleError::Version(error.to_string())
}

impl Settle<'_> {
    /// A record of `control.v1`.
    pub(super) fn control_input(&self, record: &LogRecord) -> Pending {
        let at = self.control.partition();
        let reference = reference_of(at, record);
        let input = Some(command_of(at.partition, &record.value));
        Pending { input, position: Some(position_after(&reference)), reference: Some(reference), is_progress: false }
    }

    /// Completes a command with what it is about, as the records of this batch and the store say now. Other inputs stay.
    ///
    /// # Errors
    /// When store or journal can't be read.
    pub(super) async fn look_up(&mut self, item: &mut Pending) -> Result<(), SettleError> {
        let Some(Input::Control(control)) = &mut item.input else { return Ok(()) };
        control.answered = self.answers().command(&control.command.id)?.is_some();
        if control.answered {
            return Ok(());
        }
        let CommandTarget::DeadLetterTarget(target) = &control.command.target;
        control.letter = self.letter(&target.id)?;
        let Some((letter, None)) = &control.letter else { return Ok(()) };
        let Some((offset, hash)) = self.needs(letter) else { return Ok(()) };
        // Input topics keep their records for ever.
        let (journal, at) = (self.publisher.journal.clone(), self.outputs.partition().clone());
        control.evidence = match read_one(journal.as_ref(), &at, offset).await? {
            Some(value) => evidence_of(&self.partition, &value, offset, hash),
            None => Evidence::Unusable(format!("{at} has no record at offset {offset}")),
        };
        Ok(())
    }

    /// The record of `outputs.v1` that a requeue needs, with its hash where that is known.
    fn needs(&self, letter: &Letter) -> Option<(Offset, Option<ContentHash>)> {
        let at = self.outputs.partition();
        match self.partition.requeue_needs(letter) {
            Needs::Output(offset) => Some((offset, None)),
            Needs::Quarantined(input, hash) if input.topic == at.topic.as_str() && input.partition == at.partition => {
                Some((input.position, Some(hash)))
            }
            Needs::Nothing | Needs::Quarantined(..) => None,
        }
    }

    fn letter(&self, id: &EventId) -> Result<Option<(Letter, Option<LetterEnd>)>, SettleError> {
        let stored = stored_letter(self.owned.view(), id)?;
        let letter = self.partition.pending_letter(id).cloned();
        let end = self.partition.pending_end(id).cloned();
        Ok(match (letter, stored) {
            (Some(letter), _) => Some((letter, end)),
            (None, Some((letter, stored_end))) => Some((letter, end.or(stored_end))),
            (None, None) => None,
        })
    }

    /// Tells the operator what happened to dead letters and to his commands.
    pub(super) fn note_letters(&self, event: &JobsEvent) {
        match event {
            JobsEvent::InputQuarantined(it) => {
                let (topic, partition, offset) = (&it.input.topic, it.input.partition, it.input.position);
                tracing::error!(topic, partition, %offset, reason = it.reason, "a record can't be decided; kept as a dead letter");
                self.metrics.alarm(&format!("{topic}/{partition}"), "input_quarantined");
            }
            JobsEvent::DeadLetterRequeued(it) => {
                tracing::info!(dead_letter = %it.dead_letter, command = %it.given.id, who = it.given.who, why = it.given.why, "requeued");
            }
            JobsEvent::DeadLetterResolved(it) => {
                tracing::info!(dead_letter = %it.dead_letter, command = %it.given.id, who = it.given.who, why = it.given.why, "resolved");
            }
            JobsEvent::CommandRefused(it) => {
                tracing::warn!(command = %it.given.id, who = it.given.who, why = it.given.why, reason = it.reason, "command refused");
            }
            _ => {}
        }
    }
}

/// Whether an event opens or ends a dead letter.
pub(super) fn is_of_letters(event: &JobsEvent, subject: &Subject) -> bool {
    matches!(event, JobsEvent::DeadLetterRequeued(_) | JobsEvent::DeadLetterResolved(_)) || matter(event, &subject.to_bytes()).is_some()
}

impl Answers<'_> {
    /// What a command came to.
    pub(super) fn command(&self, id: &EventId) -> Result<Option<CommandResult>, SettleError> {
        if let Some(result) = self.partition.pending_command(id) {
            return Ok(Some(result.clone()));
        }
        let row = self.view.get(Table::Commands.id(), &id.0)?;
        row.map(|row| command_of_row(&id.0, &row).map_err(|error| version(&error))).transpose()
    }

    /// Dead letters after an id, in order of their ids, at most `limit` and one more; `all` with those that ended.
    pub(super) fn letters(&self, all: bool, after: Option<&EventId>, limit: usize) -> Result<Vec<LetterView>, SettleError> {
        letters(self.view, all, after, limit.saturating_add(1))
    }

    /// How many dead letters wait for an operator.
    pub(super) fn open_letters(&self) -> Result<usize, SettleError> {
        Ok(self.view.scan(Table::OpenLetters.id(), &[], None, usize::MAX)?.len())
    }

    /// One dead letter.
    pub(super) fn letter_view(&self, id: &EventId) -> Result<Option<LetterView>, SettleError> {
        letter_view(self.view, id)
    }
}

/// What a record that was read again is good for.
fn evidence_of(partition: &Partition, value: &[u8], offset: Offset, hash: Option<ContentHash>) -> Evidence {
    if hash.is_some_and(|hash| hash != content_hash(value)) {
        return Evidence::Unusable(format!("the record at offset {offset} is another one; outputs.v1 is not what it was"));
    }
    match output_of(partition, value) {
        Input::Output(submitted) => Evidence::Output(Box::new(submitted), offset),
        Input::Unreadable(record) => Evidence::Unusable(format!("it still can't be decided: {}", record.reason)),
        Input::Control(_) | Input::Fact { .. } | Input::Seal { .. } | Input::Lane { .. } | Input::Ready => Evidence::None,
    }
}

/// The value at an offset; nothing when the log has none there.
async fn read_one(journal: &dyn EventJournal, at: &TopicPartition, offset: Offset) -> Result<Option<Vec<u8>>, InputError> {
    let one = ReadLimits { records_max: 1, bytes_max: 1 };
    for _ in 0..READS_MAX {
        let batch = journal.read(at, offset, one).await?;
        if let Some(record) = batch.records.into_iter().next() {
            return Ok((record.offset == offset).then_some(record.value));
        }
        if batch.end <= offset {
            return Ok(None);
        }
        // A read that shows nothing is not the log's end.
        journal.wait_beyond(at, offset).await?;
    }
    Ok(None)
}

fn stored_letter(store: &PartitionView, id: &EventId) -> Result<Option<(Letter, Option<LetterEnd>)>, SettleError> {
    let Some(row) = store.get(Table::Letters.id(), &id.0)? else { return Ok(None) };
    let letter = letter_of_row(&id.0, &row).map_err(|error| version(&error))?;
    let end = store.get(Table::LetterEnds.id(), &id.0)?;
    let end = end.map(|row| letter_end_of_row(&id.0, &row).map_err(|error| version(&error))).transpose()?;
    Ok(Some((letter, end)))
}

/// One dead letter of a store.
///
/// # Errors
/// When it can't be read, or a row is of another version.
pub fn letter_view(store: &PartitionView, id: &EventId) -> Result<Option<LetterView>, SettleError> {
    let Some((letter, end)) = stored_letter(store, id)? else { return Ok(None) };
    LetterView::of(*id, store.partition().partition, &letter, end).map(Some).map_err(|error| version(&error))
}

/// Dead letters of a store after an id, in order of their ids, at most `limit`; `all` with those that ended.
///
/// # Errors
/// When it can't be read, or a row is of another version.
pub fn letters(store: &PartitionView, all: bool, after: Option<&EventId>, limit: usize) -> Result<Vec<LetterView>, SettleError> {
    let table = if all { Table::Letters } else { Table::OpenLetters };
    let mut found = Vec::new();
    for (key, _) in store.scan(table.id(), &[], after.map(EventId::as_bytes), limit)? {
        let id = EventId::try_from(&key[..]).map_err(|error| version(&error))?;
        found.extend(letter_view(store, &id)?);
    }
    Ok(found)
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
