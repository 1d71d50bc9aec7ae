//! Operators' commands about dead letters, and records of input topics that can't be decided (R15).
//!
//! A command causes exactly one record: what it did, with the dead letter's end in it, or why it was refused. So a crash leaves it
//! undecided or decided, and the same id again is recognised by that record. Nothing that an operator says is an error of the
//! pipeline.
//!
//! What may be tried again, and until when: an output or a leaf that its lane gave up, while the execution has no outcome (none has one
//! before its time is over, PROTOCOL §5) and its account can pay; and an output's record that could not be decided.

use super::output::{self, is_signed};
use super::{Context, DecideError, Draft, outcome, plan};
use crate::input::{Decision, Subject};
use crate::job::{Job, PendingOutput, SettlementPlace, Stage};
use crate::letters::{ControlInput, Evidence, Letter, LetterFate, Unreadable};
use acurast_events::bytes::SettlementId;
use acurast_events::control::{Command, CommandGiven, CommandTarget};
use acurast_events::ids::payload_hash;
use acurast_events::jobs::{
    CommandRefused, DeadLetterRequeued, DeadLetterResolved, InputQuarantined, JobsEvent, SettlementDead, WaitReason,
};

/// Longest name of an operator that is taken, in bytes.
pub const WHO_BYTES_MAX: usize = 256;
/// Longest reason that is taken, in bytes.
pub const WHY_BYTES_MAX: usize = 4_096;

/// What a command comes to.
enum Verdict {
    /// This record; nothing when it was decided before.
    Decided(Option<Decision>),
    /// Nothing, for this reason.
    Refused(String),
}

fn refused(reason: impl Into<String>) -> Result<Verdict, DecideError> {
    Ok(Verdict::Refused(reason.into()))
}

pub(super) fn unreadable(context: &Context<'_>, record: &Unreadable) -> Result<Option<Decision>, DecideError> {
    let (Some(input), Some(mut draft)) = (context.input, context.draft(Subject::Partition)) else { return Ok(None) };
    draft.emit(InputQuarantined {
        input: input.clone(),
        hash: record.hash,
        length: record.length,
        front: record.front.clone(),
        reason: record.reason.clone(),
    })?;
    Ok(draft.finish())
}

pub(super) fn command(context: &Context<'_>, control: &ControlInput) -> Result<Option<Decision>, DecideError> {
    // Whoever answered it did so in one record.
    if control.answered || !context.answered.is_empty() {
        return Ok(None);
    }
    let reason = match judge(context, control)? {
        Verdict::Decided(decision) => return Ok(decision),
        Verdict::Refused(reason) => reason,
    };
    let Some(mut draft) = context.draft(Subject::Partition) else { return Ok(None) };
    let command = &control.command;
    draft.emit(CommandRefused { given: clipped(control), target: command.target.clone(), command: command.command.clone(), reason })?;
    Ok(draft.finish())
}

/// Who and why, no longer than what is taken: the topic has all of it.
fn clipped(control: &ControlInput) -> CommandGiven {
    let CommandGiven { id, who, why, at, via } = control.command.given();
    CommandGiven { id, who: clip(&who, WHO_BYTES_MAX), why: clip(&why, WHY_BYTES_MAX), at, via }
}

fn clip(text: &str, most: usize) -> String {
    let fits = |(at, character): &(usize, char)| at.saturating_add(character.len_utf8()) <= most;
    text.char_indices().take_while(fits).map(|(_, character)| character).collect()
}

fn judge(context: &Context<'_>, control: &ControlInput) -> Result<Verdict, DecideError> {
    let command = &control.command;
    let (who, why) = (command.who.len(), command.why.len());
    if command.who.trim().is_empty() || command.why.trim().is_empty() {
        return refused("it doesn't say who gave it and why");
    }
    if who > WHO_BYTES_MAX || why > WHY_BYTES_MAX {
        return refused(format!("a name has at most {WHO_BYTES_MAX} bytes and a reason {WHY_BYTES_MAX}; these have {who} and {why}"));
    }
    let CommandTarget::DeadLetterTarget(target) = &command.target;
    let Some((letter, end)) = &control.letter else {
        return refused(format!("partition {} has no dead letter {}", target.partition, target.id));
    };
    if let Some(end) = end {
        let fate = match end.fate {
            LetterFate::Requeued => "requeued",
            LetterFate::Resolved => "resolved",
        };
        return refused(format!("it was {fate} before, by {}: {}", end.given.who, end.given.why));
    }
    match &command.command {
        Command::Resolve(_) => {
            let Some(mut draft) = context.draft(Subject::Partition) else { return Ok(Verdict::Decided(None)) };
            draft.emit(DeadLetterResolved { dead_letter: target.id, given: command.given() })?;
            Ok(Verdict::Decided(draft.finish()))
        }
        Command::Requeue(_) => requeue(context, control, letter),
    }
}

fn requeue(context: &Context<'_>, control: &ControlInput, letter: &Letter) -> Result<Verdict, DecideError> {
    match letter.event() {
        Ok(JobsEvent::SettlementDead(dead)) => settlement(context, control, &dead),
        Ok(JobsEvent::InputQuarantined(_)) => input(context, control),
        Ok(event) => refused(format!("{} says what is so; trying again changes nothing. Resolve it once it was looked into", event.name())),
        Err(error) => refused(format!("its event was written by another version: {error}")),
    }
}

fn requeued(draft: &mut Draft<'_>, control: &ControlInput, settlement_id: Option<SettlementId>) -> Result<(), DecideError> {
    let CommandTarget::DeadLetterTarget(target) = &control.command.target;
    draft.emit(DeadLetterRequeued { dead_letter: target.id, given: control.command.given(), settlement_id })
}

/// Plans what a lane gave up anew, with its worst case set aside anew.
fn settlement(context: &Context<'_>, control: &ControlInput, dead: &SettlementDead) -> Result<Verdict, DecideError> {
    let id = dead.settlement_id;
    let Some(job) = context.partition.settlement(&id) else {
        return refused("its job is closed, or its execution ended long ago; the first outcome stands");
    };
    let Some(mut draft) = context.draft(Subject::Job(job.key)) else { return Ok(Verdict::Decided(None)) };
    let Some(place) = job.settlements.get(&id).copied() else { return Err(draft.inconsistent("an indexed settlement is gone")) };
    if let Some(reason) = stands_against(job, &place) {
        return refused(reason);
    }
    requeued(&mut draft, control, Some(id))?;
    if place.execution.is_some()
        && let Err(reason) = lend_output(&mut draft, &place, &control.evidence)?
    {
        return refused(reason);
    }
    if let Some(reason) = plan::anew(&mut draft, &place)? {
        return refused(words(reason));
    }
    outcome::finish(&mut draft)?;
    Ok(Verdict::Decided(draft.finish()))
}

/// Why this settlement can't be planned anew, whatever its account holds.
fn stands_against(job: &Job, place: &SettlementPlace) -> Option<String> {
    let assignment = job.assignments.get(&place.assignment)?;
    let settling = assignment.settling.as_ref()?;
    match &job.settlement(place)?.stage {
        Stage::Dead { .. } => {}
        Stage::Final(_) => return Some("it took effect".into()),
        Stage::Idle | Stage::Waiting { .. } | Stage::Planned { .. } => return Some("it is on its way again".into()),
    }
    if let Some(execution) = place.execution
        && job.has_ended(&place.assignment, execution)
    {
        let outcome = job.execution(&place.assignment, execution).and_then(|state| state.ended.as_ref()).map(|ended| ended.outcome);
        let outcome = outcome.map_or_else(String::new, |outcome| format!(" ({outcome:?})"));
        return Some(format!("execution {execution} has its outcome{outcome}, and the first one stands"));
    }
    if assignment.is_complete() {
        return Some("every execution of its assignment has its outcome, and the first one stands".into());
    }
    if settling.revoked {
        return Some("the account's opener revoked the assignment".into());
    }
    (place.execution.is_some() && matches!(settling.root.stage, Stage::Dead { .. }))
        .then(|| format!("its assignment's proof, settlement {}, was given up as well: requeue that first", settling.root.id))
}

/// Gives the draft the output to deliver: what a lane had is gone with its end. Only the draft: the lane's copy is in the intent.
fn lend_output(draft: &mut Draft<'_>, place: &SettlementPlace, evidence: &Evidence) -> Result<Result<(), String>, DecideError> {
    let submitted = match evidence {
        Evidence::Output(submitted, _) => submitted,
        Evidence::None => return Ok(Err("an older version accepted its output, and noted no place to read it again from".into())),
        Evidence::Unusable(reason) => return Ok(Err(format!("its output can't be read again: {reason}"))),
    };
    let output = &submitted.output;
    let job = draft.job()?;
    let assignment = job.assignments.get(&place.assignment).and_then(|assignment| assignment.settling.as_ref());
    let accepted = place.execution.and_then(|execution| job.execution(&place.assignment, execution)?.output.as_ref());
    let same = assignment.is_some_and(|settling| settling.id == output.assignment_id)
        && place.execution == Some(output.execution)
        && accepted.is_some_and(|accepted| accepted.payload_hash == payload_hash(&output.payload.0));
    if !same || !is_signed(draft, &place.assignment, output)? {
        return Ok(Err("the record of its output says another one; outputs.v1 is not what it was".into()));
    }
    let pending = PendingOutput { payload: output.payload.clone(), signature: output.signature.clone() };
    draft.lend(place, pending);
    Ok(Ok(()))
}

fn words(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::EscrowMissing => "its escrow account is not open",
        WaitReason::EscrowTooSmall => "its escrow account has too little free, or others wait for it before; a top-up helps",
        WaitReason::EscrowClosing => "its escrow account is closing, and nothing is planned for it any more",
        WaitReason::EscrowCapsExceeded => "its escrow account's caps don't allow it",
        WaitReason::EscrowForeign => "its escrow account is for another target or owner",
        WaitReason::RootPending => "its assignment's proof is not planned",
        WaitReason::LaneMissing => "this relayer serves no lane for it any more",
    }
}

/// Decides an output's record again, that could not be decided before.
fn input(context: &Context<'_>, control: &ControlInput) -> Result<Verdict, DecideError> {
    let (submitted, offset) = match &control.evidence {
        Evidence::Output(submitted, offset) => (submitted, *offset),
        Evidence::None => return refused("a record of this topic is not decided again; send what it was meant to say anew"),
        Evidence::Unusable(reason) => return refused(reason.clone()),
    };
    let output = &submitted.output;
    let Some((job, key)) = context.partition.assignment(&output.assignment_id) else {
        return refused(format!("its assignment {} is not known here, or its job is closed", output.assignment_id));
    };
    let Some(mut draft) = context.draft(Subject::Job(job.key)) else { return Ok(Verdict::Decided(None)) };
    if !is_signed(&draft, &key, output)? {
        return refused("its signature is not of the assignment's key");
    }
    requeued(&mut draft, control, None)?;
    output::judge(&mut draft, &key, output, Some(offset))?;
    outcome::finish(&mut draft)?;
    Ok(Verdict::Decided(draft.finish()))
}
