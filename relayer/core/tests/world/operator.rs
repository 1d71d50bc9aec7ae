//! The operator of a world: records that can't be read, and commands about dead letters, looked up as the shell does.

use super::{World, owner};
use acurast_events::bytes::EventId;
use acurast_events::control::{Command, CommandTarget, CommandVia, ControlCommand, DeadLetterTarget, Requeue, Resolve};
use acurast_events::ids;
use acurast_events::jobs::JobsEvent;
use acurast_events::outputs::{Output, OutputSubmitted};
use acurast_events::units::{Offset, Timestamp};
use acurast_relayer_core::rows::{command_of_row, letter_end_of_row, letter_of_row};
use acurast_relayer_core::{CommandResult, ControlInput, Evidence, Input, Letter, LetterEnd, Needs, Table, Unreadable};

/// The id of an operator's nth command.
pub fn command_id(n: u64) -> EventId {
    EventId(ids::sha256(&[b"command", &n.to_be_bytes()]))
}

impl World {
    /// A record of `outputs.v1` that this version can't read; `means` is what a later version reads in it.
    pub fn garbage(&mut self, value: &[u8], means: Option<Output>) -> Vec<JobsEvent> {
        let reference = self.reference("outputs");
        let meant = means.map(|output| OutputSubmitted { owner: owner(), output, at: Timestamp(self.now) });
        self.outputs.extend(meant.map(|meant| (reference.position, meant)));
        self.feed(Input::Unreadable(Unreadable::of(value, "unknown field".into())), Some(reference))
    }

    fn row(&self, table: Table, id: &EventId) -> Option<&Vec<u8>> {
        self.rows.get(&(table.id(), id.0.to_vec()))
    }

    /// A dead letter and its end, as the shell finds them.
    pub fn letter(&self, id: &EventId) -> Option<(Letter, Option<LetterEnd>)> {
        let stored = || self.row(Table::Letters, id).map(|row| letter_of_row(&id.0, row).unwrap());
        let ended = || self.row(Table::LetterEnds, id).map(|row| letter_end_of_row(&id.0, row).unwrap());
        let letter = self.partition.pending_letter(id).cloned().or_else(stored)?;
        Some((letter, self.partition.pending_end(id).cloned().or_else(ended)))
    }

    /// What a command came to.
    pub fn result(&self, id: &EventId) -> Option<CommandResult> {
        let stored = || self.row(Table::Commands, id).map(|row| command_of_row(&id.0, row).unwrap());
        self.partition.pending_command(id).cloned().or_else(stored)
    }

    /// Ids of open dead letters.
    pub fn open_letters(&self) -> Vec<EventId> {
        let open = self.rows.keys().filter(|(table, _)| *table == Table::OpenLetters.id());
        open.map(|(_, key)| EventId::try_from(&key[..]).unwrap()).collect()
    }

    /// A command as the shell completes it.
    pub fn looked_up(&self, command: ControlCommand) -> ControlInput {
        let CommandTarget::DeadLetterTarget(target) = &command.target;
        let letter = self.letter(&target.id);
        let read = |offset: Offset| match self.outputs.get(&offset) {
            Some(submitted) => Evidence::Output(Box::new(submitted.clone()), offset),
            None => Evidence::Unusable("it still can't be read".into()),
        };
        let evidence = match letter.as_ref().map(|(letter, _)| self.partition.requeue_needs(letter)) {
            Some(Needs::Output(offset)) => read(offset),
            Some(Needs::Quarantined(input, _)) => read(input.position),
            Some(Needs::Nothing) | None => Evidence::None,
        };
        ControlInput { answered: self.result(&command.id).is_some(), letter, evidence, command }
    }

    pub fn command(&mut self, n: u64, letter: EventId, command: Command) -> Vec<JobsEvent> {
        let target = CommandTarget::DeadLetterTarget(DeadLetterTarget { id: letter, partition: 0 });
        let (who, why) = ("ana".to_owned(), "the fee cap was raised".to_owned());
        self.give(ControlCommand { id: command_id(n), target, command, who, why, at: Timestamp(self.now), via: CommandVia::Cli })
    }

    pub fn give(&mut self, command: ControlCommand) -> Vec<JobsEvent> {
        let reference = self.reference("control");
        let input = Input::Control(Box::new(self.looked_up(command)));
        self.feed(input, Some(reference))
    }

    pub fn requeue(&mut self, n: u64, letter: EventId) -> Vec<JobsEvent> {
        self.command(n, letter, Command::Requeue(Requeue {}))
    }

    pub fn resolve(&mut self, n: u64, letter: EventId) -> Vec<JobsEvent> {
        self.command(n, letter, Command::Resolve(Resolve {}))
    }
}
