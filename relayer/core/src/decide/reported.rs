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
    let Some(schedule) = job.registration.as_ref().map(|registration| registration.schedule.clone()) else { return Ok(()) };
    let Some((newest, named)) = reporting(job, &schedule, fact, block.timestamp) else {
        // No acknowledgement was ever seen: details lost, nothing to attribute to.
        return Ok(());
    };
    let key = named.map_or(newest, |(key, _)| key);
    let Some(ours) = job.assignments.get(&newest).map(|assignment| assignment.next_index) else { return Ok(()) };
    if let Some(chain) = fact.next_index.filter(|chain| newest.only.is_none() && *chain != ours) {
        draft.emit(ReportIndexDiffers { processor: newest.processor, ours, chain })?;
    }
    let Some(assignment) = draft.job()?.assignments.get(&key) else { return Ok(()) };
    let pallet_index = assignment.next_index;
    let by_pallet = pallet_execution(&schedule, assignment, block.timestamp);
    let execution = named.map_or(by_pallet, |(_, execution)| execution);
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
    let has_output = draft.job()?.execution(&key, execution).is_some_and(|state| state.output.is_some());
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

/// The assignment that a processor reports for by the pallet's rule, its only one or the newest that it was matched for,
/// and the execution that the report names, of whichever of its assignments.
fn reporting(
    job: &Job,
    schedule: &Schedule,
    fact: &Reported,
    now: Timestamp,
) -> Option<(AssignmentKey, Option<(AssignmentKey, Execution)>)> {
    let from = AssignmentKey { processor: fact.processor, only: None };
    let to = AssignmentKey { processor: fact.processor, only: Some(Execution::ALL) };
    // A malformed schedule has no executions, so there is nothing to report on.
    let own = || job.assignments.range(from..=to).rev().filter(|(_, assignment)| assignment.executions.0 > 0);
    let newest = *own().next()?.0;
    let named = match fact.outcome {
        ReportedOutcome::Success => own().find_map(|(key, assignment)| {
            let newest = pallet_execution(schedule, assignment, now);
            Some((*key, named_execution(job, key, assignment, &fact.data.0, newest)?))
        }),
        // The data of a failure is a message for people.
        ReportedOutcome::Failure => None,
    };
    Some((newest, named))
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
