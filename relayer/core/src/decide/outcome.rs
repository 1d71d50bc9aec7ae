//! How executions end, and how a job closes once all of them have (PROTOCOL §1, §5).

use super::{DecideError, Draft, money};
use crate::job::{Assignment, AssignmentKey, Settlement, SettlementPlace, Stage};
use acurast_events::amount::Amount;
use acurast_events::jobs::{ExecutionEnded, Fault, JobClosed, Outcome, WaitReason};
use acurast_events::units::{Count, Execution, Millis, Timestamp};

/// How one execution ended.
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) fault: Fault,
    /// When it was delivered or reported; its latency counts from the window's start.
    pub(super) at: Option<Timestamp>,
    pub(super) detail: String,
}

/// Gives an execution with a trace its outcome, unless it has one or its assignment isn't settled.
pub(super) fn end(draft: &mut Draft<'_>, key: &AssignmentKey, execution: Execution, ending: Ending) -> Result<(), DecideError> {
    if !draft.job()?.has_ended(key, execution) {
        emit(draft, key, execution, Count(1), ending)?;
    }
    Ok(())
}

/// Gives all executions without a trace below `limit` the same outcome, a run at a time.
pub(super) fn end_untouched(
    draft: &mut Draft<'_>,
    key: &AssignmentKey,
    limit: Execution,
    outcome: Outcome,
    fault: Fault,
) -> Result<(), DecideError> {
    for (first, count) in draft.job()?.untouched(key, limit) {
        emit(draft, key, first, count, Ending { outcome, fault, at: None, detail: String::new() })?;
    }
    Ok(())
}

fn emit(draft: &mut Draft<'_>, key: &AssignmentKey, execution: Execution, executions: Count, ending: Ending) -> Result<(), DecideError> {
    let job = draft.job()?;
    let Some(assignment) = job.assignments.get(key) else { return Ok(()) };
    let Some(settling) = &assignment.settling else { return Ok(()) };
    let state = job.execution(key, execution);
    let latency: Option<Millis> = ending.at.zip(start_of(draft, key, execution)).map(|(at, start)| at.since(start));
    let event = ExecutionEnded {
        assignment_id: settling.id,
        processor: key.processor,
        execution,
        outcome: ending.outcome,
        fault: ending.fault,
        latency,
        reputation: state.and_then(|state| state.report.as_ref()).and_then(|report| report.reputation.clone()),
        detail: ending.detail,
        job: job.id.clone(),
        executions,
        settlement_id: state.and_then(|state| state.fulfillment.as_ref()).map(|fulfillment| fulfillment.id),
        reward: job.registration.as_ref().map_or(Amount::ZERO, |registration| registration.reward),
    };
    draft.emit(event)
}

/// When the window of an execution begins.
pub(super) fn start_of(draft: &Draft<'_>, key: &AssignmentKey, execution: Execution) -> Option<Timestamp> {
    let job = draft.scope.job.as_ref()?;
    let delay = job.assignments.get(key)?.slot.start_delay;
    job.registration.as_ref()?.schedule.start_of(execution, delay)
}

/// Who is to blame when an accepted output was not delivered, by where it and its assignment's root stand.
pub(super) fn why_undelivered(root: Option<&Settlement>, own: Option<&Settlement>) -> (Fault, String) {
    let given_up = |settlement: Option<&Settlement>| match settlement.map(|settlement| &settlement.stage) {
        Some(Stage::Dead { reason, fault }) => Some((*fault, reason.clone())),
        Some(Stage::Idle | Stage::Waiting { .. } | Stage::Planned { .. } | Stage::Final(_)) | None => None,
    };
    if let Some(why) = given_up(own) {
        return why;
    }
    // Without its root nothing could have been delivered, whatever else it waited for.
    if let Some((fault, reason)) = given_up(root) {
        return (fault, format!("its assignment can't be proven: {reason}"));
    }
    let (fault, words) = fault_of(match own.and_then(Settlement::waits) {
        Some(WaitReason::RootPending) => root.and_then(Settlement::waits).or(Some(WaitReason::RootPending)),
        other => other,
    });
    (fault, words.to_owned())
}

fn fault_of(reason: Option<WaitReason>) -> (Fault, &'static str) {
    match reason {
        Some(WaitReason::EscrowMissing) => (Fault::Consumer, "not delivered: no escrow account was open"),
        Some(WaitReason::EscrowTooSmall) => (Fault::Consumer, "not delivered: the escrow account had too little"),
        Some(WaitReason::EscrowClosing) => (Fault::Consumer, "not delivered: the escrow account was closing"),
        Some(WaitReason::EscrowCapsExceeded) => (Fault::Consumer, "not delivered: the escrow account's caps did not allow it"),
        Some(WaitReason::EscrowForeign) => (Fault::Consumer, "not delivered: the escrow account is for another target or owner"),
        Some(WaitReason::RootPending) => (Fault::Consumer, "not delivered: its assignment was never proven on the destination"),
        Some(WaitReason::LaneMissing) => (Fault::Relayer, "not delivered: the relayer serves no lane for it"),
        None => (Fault::Relayer, "not delivered in time"),
    }
}

/// Ends an accepted output that no lane has: its assignment was revoked, or time is over.
pub(super) fn end_undelivered(
    draft: &mut Draft<'_>,
    key: &AssignmentKey,
    execution: Execution,
    fault: Fault,
    detail: &str,
) -> Result<(), DecideError> {
    end(draft, key, execution, Ending { outcome: Outcome::Failed, fault, at: None, detail: detail.to_owned() })
}

/// Releases what complete assignments still hold, and closes the job when nothing is left to come.
pub(super) fn finish(draft: &mut Draft<'_>) -> Result<(), DecideError> {
    let job = draft.job()?;
    if job.closed {
        return Ok(());
    }
    let holds = |(_, assignment): &(&AssignmentKey, &Assignment)| {
        let settling = assignment.settling.as_ref();
        assignment.is_complete() && settling.is_some_and(|settling| !settling.root.is_planned() && settling.root.reserved > Amount::ZERO)
    };
    let complete: Vec<_> = job.assignments.iter().filter(holds).map(|(key, _)| *key).collect();
    for key in complete {
        // Every execution ended, so no delivery is on its way that could still have the share charged.
        money::release(draft, &SettlementPlace { assignment: key, execution: None })?;
    }
    let job = draft.job()?;
    if job.can_close() {
        let event = JobClosed {
            job: job.id.clone(),
            spent: job.money.spent,
            cost: job.money.cost,
            executions: job.executions_ended,
            removed: job.removed.is_some(),
        };
        draft.emit(event)?;
    }
    Ok(())
}
