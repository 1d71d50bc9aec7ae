//! Planning: a leaf or an output becomes an intent for one lane, with its worst case set aside, or waits with a reason.
//!
//! A leaf reserves its share of a root alone, an output one `maxCharge` (PROTOCOL §7). Money is given in the order in
//! which settlements began to wait: nobody overtakes, so nobody starves. Invariant: Σ reserved ≤ balance, because what
//! is set aside leaves the free balance in the same record.

use super::{Context, DecideError, Draft, money, outcome};
use crate::input::{Decision, Subject};
use crate::job::{Job, SettlementPlace, Stage};
use acurast_events::amount::Amount;
use acurast_events::caip::AccountId;
use acurast_events::jobs::{FulfillmentPlanned, LeafPlanned, SettlementWaiting, WaitReason};
use acurast_events::leaves::JobNumber;
use acurast_events::units::Execution;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The settlement is the first in its account's queue.
    First,
    /// It is new, and goes behind those that wait.
    Last,
}

enum Verdict {
    Plan { lane: AccountId, reserve: Amount },
    Wait { reason: WaitReason, needs: Amount },
}

fn wait(reason: WaitReason) -> Verdict {
    Verdict::Wait { reason, needs: Amount::ZERO }
}

/// Plans the settlement, or says why it waits. Without effect when it is planned or over.
pub(super) fn settlement(draft: &mut Draft<'_>, place: &SettlementPlace, turn: Turn) -> Result<(), DecideError> {
    let pending = draft.job()?.settlement(place).is_some_and(|it| matches!(it.stage, Stage::Idle | Stage::Waiting { .. }));
    if !pending {
        return Ok(());
    }
    match judge(draft, place, turn)? {
        Verdict::Wait { reason, needs } => say_waiting(draft, place, reason, needs),
        Verdict::Plan { lane, reserve } => intent(draft, place, lane, reserve),
    }
}

/// Plans at once what an operator had requeued, or returns why it would have to wait; it doesn't begin to.
pub(super) fn anew(draft: &mut Draft<'_>, place: &SettlementPlace) -> Result<Option<WaitReason>, DecideError> {
    match judge(draft, place, Turn::Last)? {
        Verdict::Wait { reason, .. } => Ok(Some(reason)),
        Verdict::Plan { lane, reserve } => intent(draft, place, lane, reserve).map(|()| None),
    }
}

fn intent(draft: &mut Draft<'_>, place: &SettlementPlace, lane: AccountId, reserve: Amount) -> Result<(), DecideError> {
    match place.execution {
        None => leaf(draft, place, lane, reserve),
        Some(execution) => fulfillment(draft, place, execution, lane, reserve),
    }
}

fn judge(draft: &mut Draft<'_>, place: &SettlementPlace, turn: Turn) -> Result<Verdict, DecideError> {
    let policy = draft.policy;
    let job = draft.job()?;
    let (Some(destination), Some(settling)) =
        (job.destination.clone(), job.assignments.get(&place.assignment).and_then(|assignment| assignment.settling.as_ref()))
    else {
        return Err(draft.inconsistent("a settlement without destination"));
    };
    let (owner, bound) = (job.owner, settling.lane.clone());
    let proven = settling.root.is_planned() || matches!(settling.root.stage, Stage::Final(_));
    if place.execution.is_some() && !proven {
        return Ok(wait(WaitReason::RootPending));
    }
    let pending = place.execution.and_then(|execution| job.execution(&place.assignment, execution)?.output.as_ref()?.pending.as_ref());
    let payload_length = pending.map_or(0, |pending| pending.payload.0.len());
    let overtakes = turn == Turn::Last && somebody_waits(draft, job, place);

    let Some(served) = policy.settlement(&destination.chain, &destination.settlement) else { return Ok(wait(WaitReason::LaneMissing)) };
    // A fulfilment uses its root's lane (R3), whatever the configuration says by now.
    let Some(lane) = bound.or_else(|| served.lane_of(&destination.escrow_id).cloned()) else { return Ok(wait(WaitReason::LaneMissing)) };
    let Some(account) = draft.scope.paying_account() else { return Ok(wait(WaitReason::EscrowMissing)) };
    if let Some(reason) = account.refuses(&owner, &destination) {
        return Ok(wait(reason));
    }
    if u32::try_from(payload_length).map_or(true, |length| length > account.caps.max_payload) {
        return Ok(wait(WaitReason::EscrowCapsExceeded));
    }
    let reserve = match place.execution {
        // A share past 128 bits can never be set aside.
        None => served.share_reserve(&account.caps).unwrap_or(Amount(u128::MAX)),
        Some(_) => account.caps.max_charge,
    };
    if overtakes || account.free() < reserve {
        return Ok(Verdict::Wait { reason: WaitReason::EscrowTooSmall, needs: reserve });
    }
    Ok(Verdict::Plan { lane, reserve })
}

/// Whether another settlement waits for money in the same account, before this one.
fn somebody_waits(draft: &Draft<'_>, job: &Job, place: &SettlementPlace) -> bool {
    let Some(escrow) = job.destination.as_ref().map(|destination| destination.escrow_id) else { return false };
    let mine = job.settlement(place).and_then(|settlement| settlement.queued());
    let is_before = |ticket| mine.is_none_or(|(own, _)| ticket < own);
    let own = job.executions.values().filter_map(|state| state.fulfillment.as_ref()?.queued());
    let own_roots = job.assignments.values().filter_map(|assignment| assignment.settling.as_ref()?.root.queued());
    // Of this job, what the record in the making already changed counts, not what the partition still says.
    draft.scope.partition.queue(&escrow).any(|(ticket, waiter)| waiter.job != job.key && is_before(*ticket))
        || own.chain(own_roots).any(|(ticket, _)| is_before(ticket))
}

fn say_waiting(draft: &mut Draft<'_>, place: &SettlementPlace, reason: WaitReason, needs: Amount) -> Result<(), DecideError> {
    let job = draft.job()?;
    let (Some(it), Some(settling)) =
        (job.settlement(place), job.assignments.get(&place.assignment).and_then(|assignment| assignment.settling.as_ref()))
    else {
        return Err(draft.inconsistent("a settlement that waits without assignment"));
    };
    // Said once per reason, not each time that it is looked at.
    if let Stage::Waiting { reason: said, needs: needed, .. } = &it.stage
        && (*said, *needed) == (reason, needs)
    {
        return Ok(());
    }
    let event = SettlementWaiting {
        settlement_id: it.id,
        assignment_id: settling.id,
        execution: place.execution.unwrap_or(Execution::ALL),
        reason,
        needs,
    };
    draft.emit(event)
}

fn leaf(draft: &mut Draft<'_>, place: &SettlementPlace, lane: AccountId, reserve: Amount) -> Result<(), DecideError> {
    let job = draft.job()?;
    let (Some(destination), Some(assignment)) = (&job.destination, job.assignments.get(&place.assignment)) else {
        return Err(draft.inconsistent("a leaf without assignment"));
    };
    let (Some(settling), Some(start)) = (&assignment.settling, outcome::start_of(draft, &place.assignment, assignment.first)) else {
        return Err(draft.inconsistent("a leaf without start"));
    };
    let event = LeafPlanned {
        settlement_id: settling.root.id,
        lane,
        assignment_id: settling.id,
        escrow_id: destination.escrow_id,
        job: job.id.clone(),
        job_number: JobNumber(job.id.number),
        key_type: settling.key_type,
        signer_key: settling.signer_key,
        processor: place.assignment.processor,
        first_execution: assignment.first,
        executions: assignment.executions,
        not_after: settling.not_after,
        start,
        source: assignment.block.clone(),
        reserved: reserve,
        requeued: settling.root.requeued,
    };
    let id = event.settlement_id;
    draft.emit(event)?;
    money::reserve(draft, id, reserve)?;
    // What only waited for its proof goes on, behind others that wait for money.
    let pending: Vec<Execution> = draft
        .job()?
        .executions_of(&place.assignment)
        .filter(|(_, state)| state.output.as_ref().is_some_and(|output| output.pending.is_some()))
        .map(|(execution, _)| execution)
        .collect();
    for execution in pending {
        settlement(draft, &SettlementPlace { execution: Some(execution), ..*place }, Turn::Last)?;
    }
    Ok(())
}

fn fulfillment(
    draft: &mut Draft<'_>,
    place: &SettlementPlace,
    execution: Execution,
    lane: AccountId,
    reserve: Amount,
) -> Result<(), DecideError> {
    let Some(caps) = draft.scope.paying_account().map(|account| account.caps.clone()) else {
        return Err(draft.inconsistent("a fulfilment without account"));
    };
    let job = draft.job()?;
    let settling = job.assignments.get(&place.assignment).and_then(|assignment| assignment.settling.as_ref());
    let state = job.execution(&place.assignment, execution);
    let pending = state.and_then(|state| state.output.as_ref()?.pending.clone());
    let (Some(destination), Some(settling), Some(pending), Some(it)) = (&job.destination, settling, pending, job.settlement(place)) else {
        return Err(draft.inconsistent("a fulfilment without output"));
    };
    let event = FulfillmentPlanned {
        settlement_id: it.id,
        lane,
        assignment_id: settling.id,
        execution,
        payload: pending.payload,
        signature: pending.signature,
        escrow_id: destination.escrow_id,
        caps,
        not_after: settling.not_after,
        reserved: reserve,
        requeued: it.requeued,
    };
    let id = event.settlement_id;
    draft.emit(event)?;
    money::reserve(draft, id, reserve)
}

/// Plans what waited and can go on: the first of a queue, and those of the same job right behind it.
pub(super) fn ready(context: &Context<'_>) -> Result<Option<Decision>, DecideError> {
    for escrow in context.partition.ready() {
        let Some(head) = context.partition.queue_head(escrow) else { continue };
        let Some(mut draft) = context.draft(Subject::Job(head.job)) else { continue };
        for (_, waiter) in context.partition.queue(escrow).take_while(|(_, waiter)| waiter.job == head.job) {
            settlement(&mut draft, &waiter.place, Turn::First)?;
            let still = draft.job()?.settlement(&waiter.place).and_then(|it| it.waits());
            if still == Some(WaitReason::EscrowTooSmall) {
                break;
            }
        }
        outcome::finish(&mut draft)?;
        if let Some(decision) = draft.finish() {
            return Ok(Some(decision));
        }
    }
    Ok(None)
}
