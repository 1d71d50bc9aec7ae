//! A report: which execution it belongs to, and what it means for it (PROTOCOL §1, §5).
//!
//! A report names no execution. One that names a settlement or a transaction of ours belongs to the execution that this
//! names; any other gets the pallet's running index, by the pallet's own rule. The pallet's count goes on by that rule
//! in either case, because the pallet knows nothing of names.

use super::outcome::{Ending, end};
use super::{DecideError, Draft};
use crate::job::{Assignment, AssignmentKey, Job, Stage};
use acurast_events::bytes::SettlementId;
use acurast_events::ids::fulfillment_settlement_id;
use acurast_events::jobs::{BlockRef, ExecutionReported, Fault, JobDone, Outcome, ReportIndexDiffers};
use acurast_events::source::{Reported, ReportedOutcome, Schedule, Strategy};
use acurast_events::units::{Execution, Timestamp};

/// How far back a settlement_id is looked for among executions whose output never came.
const NAMED_LOOKBACK: u64 = 1024;

pub(super) fn reported(draft: &mut Draft<'_>, fact: &Reported, block: &BlockRef) -> Result<(), DecideError> {
    let Some(job) = &draft.scope.job else { return Ok(()) };
    let Some(key) = reporting(job, fact) else {
        // No acknowledgement was ever seen: details lost, nothing to attribute to.
        return Ok(());
    };
    let (Some(assignment), Some(registration)) = (job.assignments.get(&key).cloned(), job.registration.clone()) else { return Ok(()) };
    if assignment.executions.0 == 0 {
        return Ok(());
    }
    if let Some(chain) = fact.next_index.filter(|chain| key.only.is_none() && *chain != assignment.next_index) {
        draft.emit(ReportIndexDiffers { processor: key.processor, ours: assignment.next_index, chain })?;
    }
    let job = draft.job()?;
    let Some(assignment) = job.assignments.get(&key) else { return Ok(()) };
    let pallet_index = assignment.next_index;
    let by_pallet = pallet_execution(&registration.schedule, assignment, block.timestamp);
    let named = match fact.outcome {
        ReportedOutcome::Success => named_execution(job, &key, assignment, &fact.data.0, by_pallet),
        // The data of a failure is a message for people.
        ReportedOutcome::Failure => None,
    };
    let execution = named.unwrap_or(by_pallet);
    draft.emit(ExecutionReported {
        processor: key.processor,
        execution,
        outcome: fact.outcome,
        data: fact.data.clone(),
        named: named.is_some(),
        pallet_index,
        reputation: fact.reputation.clone(),
        block: block.clone(),
        next_index: by_pallet.next(),
    })?;
    let job = draft.job()?;
    let has_output = job.execution(&key, execution).is_some_and(|state| state.output.is_some());
    if fact.outcome == ReportedOutcome::Failure && !has_output {
        let detail = String::from_utf8_lossy(&fact.data.0).into_owned();
        // Whether script, input or processor is to blame can't be told from a message.
        end(
            draft,
            &key,
            execution,
            Ending { outcome: Outcome::ReportedFailure, fault: Fault::Unknown, at: Some(block.timestamp), detail },
        )?;
    }
    done_by_reports(draft, block)
}

/// The assignment that a processor reports for: its only one, or the newest that it was matched for.
fn reporting(job: &Job, fact: &Reported) -> Option<AssignmentKey> {
    let from = AssignmentKey { processor: fact.processor, only: None };
    let to = AssignmentKey { processor: fact.processor, only: Some(Execution::ALL) };
    job.assignments.range(from..=to).next_back().map(|(key, _)| *key)
}

/// The execution that the pallet counts a report for at `now` (`update_next_report_index_on_report`).
fn pallet_execution(schedule: &Schedule, assignment: &Assignment, now: Timestamp) -> Execution {
    if let Some(only) = assignment.slot.execution {
        return only;
    }
    let delay = assignment.slot.start_delay;
    let last = Execution(assignment.end().0.saturating_sub(1));
    let next = assignment.next_index.min(last);
    let running = schedule.running_at(now, delay).unwrap_or(next);
    let is_closed = schedule.window_end(next, delay).is_some_and(|over| over <= now);
    if is_closed && next < running { running } else { next }
}

/// 32 bytes, raw or in hexadecimal, with or without `0x`.
fn hash_of(data: &[u8]) -> Option<[u8; 32]> {
    if let Ok(raw) = <[u8; 32]>::try_from(data) {
        return Some(raw);
    }
    let text = std::str::from_utf8(data).ok()?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    format!("0x{}", digits.to_ascii_lowercase()).parse::<SettlementId>().ok().map(|id| id.0)
}

/// The execution whose settlement or transaction the operation hash names.
fn named_execution(job: &Job, key: &AssignmentKey, assignment: &Assignment, data: &[u8], newest: Execution) -> Option<Execution> {
    let settling = assignment.settling.as_ref()?;
    let hash = hash_of(data)?;
    let mut by_tx = None;
    for (execution, state) in job.executions_of(key) {
        let Some(fulfillment) = &state.fulfillment else { continue };
        if fulfillment.id.0 == hash {
            return Some(execution);
        }
        let tx = match &fulfillment.stage {
            Stage::Planned { included } => included.as_ref().map(|(tx, _)| *tx),
            Stage::Final(effect) => effect.tx,
            Stage::Idle | Stage::Waiting { .. } | Stage::Dead { .. } => None,
        };
        // One transaction can deliver several executions: each of its reports takes the first that has none.
        if by_tx.is_none() && state.report.is_none() && tx.is_some_and(|tx| tx.0 == hash) {
            by_tx = Some(execution);
        }
    }
    if by_tx.is_some() {
        return by_tx;
    }
    let from = newest.0.saturating_sub(NAMED_LOOKBACK).max(assignment.first.0);
    let mut candidates = (from..=newest.0).rev().map(Execution);
    candidates.find(|execution| fulfillment_settlement_id(&settling.id, *execution).0 == hash)
}

/// DONE by reports: the last report of every slot came.
fn done_by_reports(draft: &mut Draft<'_>, block: &BlockRef) -> Result<(), DecideError> {
    let job = draft.job()?;
    let Some(registration) = &job.registration else { return Ok(()) };
    let slots = u64::from(registration.slots);
    let expected = match registration.strategy {
        Strategy::Single => Some(slots),
        Strategy::Competing => slots.checked_mul(registration.schedule.executions().0),
    };
    if job.done.is_none() && expected.is_some_and(|expected| expected > 0 && job.reported_last.0 >= expected) {
        draft.emit(JobDone { block: block.clone() })?;
    }
    Ok(())
}
