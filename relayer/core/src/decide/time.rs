//! Seals: the clock. A seal of the Acurast chain ends windows, deliveries and jobs, one of a destination lets accounts expire.

use super::outcome::{Ending, end, end_undelivered, end_untouched, why_undelivered};
use super::{Context, DecideError, Draft, account, outcome};
use crate::input::{Decision, Subject};
use crate::job::{Assignment, AssignmentKey, Job};
use acurast_events::caip::ChainId;
use acurast_events::jobs::{BlockRef, Fault, JobDone, Outcome};
use acurast_events::source::{BlockSealed, ReportedOutcome, Schedule};
use acurast_events::units::{Execution, Timestamp};

pub(super) fn seal(context: &Context<'_>, chain: &ChainId, seal: &BlockSealed) -> Result<Option<Decision>, DecideError> {
    let block = BlockRef { chain: chain.clone(), number: seal.number, hash: seal.hash, timestamp: seal.timestamp };
    if *chain != context.policy.acurast {
        return account::expiry(context, &block);
    }
    for key in context.partition.due(block.timestamp) {
        let Some(mut draft) = context.draft(Subject::Job(*key)) else { continue };
        judge(&mut draft, &block)?;
        outcome::finish(&mut draft)?;
        if let Some(decision) = draft.finish() {
            return Ok(Some(decision));
        }
    }
    Ok(None)
}

fn judge(draft: &mut Draft<'_>, block: &BlockRef) -> Result<(), DecideError> {
    let now = block.timestamp;
    let job = draft.job()?;
    let Some(schedule) = job.registration.as_ref().map(|registration| registration.schedule.clone()) else { return Ok(()) };
    let due: Vec<_> = job
        .assignments
        .iter()
        .filter_map(|(key, assignment)| {
            let settling = assignment.settling.as_ref()?;
            Some((*key, first_open(&schedule, assignment, now), settling.not_after <= now))
        })
        .collect();
    for (key, first_open, past_not_after) in due {
        end_untouched(draft, &key, first_open, Outcome::Missed, Fault::Processor)?;
        if past_not_after {
            end_deliveries(draft, &key)?;
        }
    }
    let job = draft.job()?;
    if job.done.is_none() && job.done_at().is_some_and(|done| done <= now) {
        draft.emit(JobDone { block: block.clone() })?;
    }
    Ok(())
}

/// The first execution whose window is open at `now` or later: those before are past.
fn first_open(schedule: &Schedule, assignment: &Assignment, now: Timestamp) -> Execution {
    let delay = assignment.slot.start_delay;
    let (mut low, mut high) = (assignment.cursor.0, assignment.end().0);
    while low < high {
        let middle = low.saturating_add(high.saturating_sub(low) >> 1);
        let is_past = schedule.window_end(Execution(middle), delay).is_some_and(|over| over <= now);
        if is_past { low = middle.saturating_add(1) } else { high = middle }
    }
    Execution(low)
}

/// At notAfter: what no lane has ends. What a lane has is ended by the lane, which judges by its chain's blocks.
fn end_deliveries(draft: &mut Draft<'_>, key: &AssignmentKey) -> Result<(), DecideError> {
    let job = draft.job()?;
    let unresolved: Vec<_> = job
        .executions_of(key)
        .filter(|(_, state)| Job::ends_at_not_after(state))
        .map(|(execution, state)| (execution, state.clone()))
        .collect();
    let root = job.assignments.get(key).and_then(|assignment| assignment.settling.as_ref()).map(|settling| settling.root.clone());
    for (execution, state) in unresolved {
        if state.output.is_some() {
            let (fault, detail) = why_undelivered(root.as_ref(), state.fulfillment.as_ref());
            end_undelivered(draft, key, execution, fault, &detail)?;
            continue;
        }
        let Some(report) = state.report.filter(|report| report.outcome == ReportedOutcome::Success) else { continue };
        let (outcome, fault, detail) = if report.named {
            (Outcome::NoOutput, Fault::Processor, "success was reported by settlement id, and no output came")
        } else {
            // Whether the reported operation is the processor's own delivery takes reading it from the destination.
            (Outcome::Unverifiable, Fault::Unknown, "success was reported by an operation that names no settlement")
        };
        end(draft, key, execution, Ending { outcome, fault, at: Some(report.block.timestamp), detail: detail.into() })?;
    }
    Ok(())
}
