//! An output from the API: accepted, answered as before, an equivocation, or refused (PROTOCOL §5).
//!
//! The signature is checked again, here where it counts: the topic has many writers. What doesn't verify leaves no trace.

use super::outcome::end_undelivered;
use super::{Context, DecideError, Draft, outcome, plan};
use crate::input::{Decision, Subject};
use crate::job::{AssignmentKey, EQUIVOCATIONS_MAX, SettlementPlace};
use acurast_adapter_api::UsableKey;
use acurast_events::ids::{fulfillment_settlement_id, payload_hash};
use acurast_events::jobs::{Equivocated, Fault, OutputAccepted, OutputRefused};
use acurast_events::outputs::{Output, OutputSubmitted};
use acurast_events::units::Offset;

pub(super) fn submitted(context: &Context<'_>, submitted: &OutputSubmitted) -> Result<Option<Decision>, DecideError> {
    let output = &submitted.output;
    // Unknown or closed: the API answered 503 or refused; nothing is known here that an event could say.
    let Some((job, key)) = context.partition.assignment(&output.assignment_id) else { return Ok(None) };
    let Some(mut draft) = context.draft(Subject::Job(job.key)) else { return Ok(None) };
    if !is_signed(&draft, &key, output)? {
        return Ok(None);
    }
    judge(&mut draft, &key, output, context.input.map(|input| input.position))?;
    outcome::finish(&mut draft)?;
    Ok(draft.finish())
}

pub(super) fn is_signed(draft: &Draft<'_>, key: &AssignmentKey, output: &Output) -> Result<bool, DecideError> {
    let job = draft.job()?;
    let settling = job.assignments.get(key).and_then(|assignment| assignment.settling.as_ref());
    let (Some(settling), Some(destination)) = (settling, &job.destination) else { return Ok(false) };
    let Some(rules) = draft.rules.destination(&destination.chain) else { return Ok(false) };
    let usable = UsableKey { key_type: settling.key_type, signer_key: settling.signer_key };
    Ok(rules.verify_output(&destination.settlement, &usable, output).is_ok())
}

/// Decides a validly signed output, whose record stands at `offset`.
pub(super) fn judge(draft: &mut Draft<'_>, key: &AssignmentKey, output: &Output, offset: Option<Offset>) -> Result<(), DecideError> {
    let hash = payload_hash(&output.payload.0);
    let job = draft.job()?;
    let Some(assignment) = job.assignments.get(key) else { return Ok(()) };
    let state = job.execution(key, output.execution);
    if let Some(accepted) = state.and_then(|state| state.output.as_ref()).map(|accepted| accepted.payload_hash) {
        let known = state.map(|state| state.equivocations.as_slice()).unwrap_or_default();
        if accepted == hash || known.contains(&hash) || known.len() >= EQUIVOCATIONS_MAX {
            return Ok(());
        }
        let (assignment_id, execution) = (output.assignment_id, output.execution);
        return draft.emit(Equivocated { assignment_id, execution, accepted, other: hash, signature: output.signature.clone() });
    }
    let is_retired = state.is_none() && job.has_ended(key, output.execution) && assignment.run_outcome(output.execution).is_none();
    if is_retired && output.execution >= assignment.watched_from {
        // Ended long ago; the store has its answer, and this may be the same output again.
        return Ok(());
    }
    if let Some(reason) = refusal(draft, key, output) {
        let (assignment_id, execution) = (output.assignment_id, output.execution);
        return draft.emit(OutputRefused { assignment_id, execution, payload_hash: hash, reason });
    }
    draft.emit(OutputAccepted {
        assignment_id: output.assignment_id,
        execution: output.execution,
        settlement_id: fulfillment_settlement_id(&output.assignment_id, output.execution),
        payload: output.payload.clone(),
        payload_hash: hash,
        signature: output.signature.clone(),
        offset,
    })?;
    let settling = draft.job()?.assignments.get(key).and_then(|assignment| assignment.settling.as_ref());
    if settling.is_some_and(|settling| settling.revoked) {
        return end_undelivered(draft, key, output.execution, Fault::Consumer, "the account's opener revoked the assignment");
    }
    // Without its proof it waits: what was given up may be planned anew until the assignment's time is over.
    plan::settlement(draft, &SettlementPlace { assignment: *key, execution: Some(output.execution) }, plan::Turn::Last)
}

/// Why a validly signed first output of an execution is not taken; nothing: it is.
pub(crate) fn refusal(draft: &mut Draft<'_>, key: &AssignmentKey, output: &Output) -> Option<String> {
    let most = draft.policy.payload_bytes_max;
    let cap = draft.scope.paying_account().map_or(most, |account| account.caps.max_payload.min(most));
    let job = draft.scope.job.as_ref()?;
    let assignment = job.assignments.get(key)?;
    let execution = output.execution;
    if !assignment.span().covers(execution) {
        return Some(format!("execution {execution} is not one of the assignment's"));
    }
    if execution < assignment.watched_from {
        return Some(format!("execution {execution} was over when this relayer started"));
    }
    if let Some(ended) = job.execution(key, execution).and_then(|state| state.ended.as_ref()) {
        return Some(format!("execution {execution} has its outcome: {:?}", ended.outcome));
    }
    if let Some(outcome) = assignment.run_outcome(execution) {
        return Some(format!("execution {execution} has its outcome: {outcome:?}"));
    }
    let length = output.payload.0.len();
    u32::try_from(length).map_or(true, |length| length > cap).then(|| format!("the output has {length} bytes, {cap} are allowed"))
}
