//! An acknowledgement: a processor's keys are known, its assignment begins, and its leaf is planned or waits.
//!
//! The keys after the block of the *first* acknowledgement count; a second one is ignored (PROTOCOL §1).

use super::opened::{FirstHeard, ensure};
use super::{DecideError, Draft, matched, plan};
use crate::job::{AssignmentKey, SettlementPlace};
use acurast_adapter_api::UsableKey;
use acurast_events::bytes::{AssignmentId, OwnerKey};
use acurast_events::ids::assignment_id;
use acurast_events::jobs::{AssignmentStarted, BlockRef, JobAssigned, NoUsableKey, OpenedBy};
use acurast_events::schedule::Span;
use acurast_events::source::{Acknowledged, MatchedSlot, PublicKey};
use acurast_events::units::{Count, Execution, Timestamp};

/// When an assignment began.
pub(super) enum Began {
    /// At this block, by an acknowledgement.
    Now,
    /// Some time before: it was found in storage, with this running report index.
    Before {
        /// `NextReportIndex`, where the chain has it.
        next_index: Option<Execution>,
    },
}

pub(super) fn acknowledged(draft: &mut Draft<'_>, owner: OwnerKey, fact: &Acknowledged, block: &BlockRef) -> Result<(), DecideError> {
    let registration = fact.registration.as_ref();
    ensure(draft, &FirstHeard { owner, job: &fact.job, registration, opened_by: OpenedBy::Acknowledged, block })?;
    let Some(slot) = &fact.slot else {
        // Created and removed within one block: details lost, nothing that could be settled.
        return Ok(());
    };
    if draft.job()?.removed.is_some() {
        return Ok(());
    }
    matched::add(draft, std::slice::from_ref(slot), block)?;
    begin(draft, slot, &fact.keys, Began::Now, block)
}

/// Begins an assignment unless it has begun.
pub(super) fn begin(
    draft: &mut Draft<'_>,
    slot: &MatchedSlot,
    keys: &[PublicKey],
    began: Began,
    block: &BlockRef,
) -> Result<(), DecideError> {
    let key = AssignmentKey { processor: slot.processor, only: slot.execution };
    let job = draft.job()?;
    if job.assignments.contains_key(&key) {
        return Ok(());
    }
    let Some(registration) = job.registration.clone() else { return Ok(()) };
    let schedule = &registration.schedule;
    // A malformed schedule has no executions: such an assignment is tracked.
    let span = schedule.span(slot.execution);
    let Span { first, count } = span.unwrap_or(Span { first: Execution(0), count: Count(0) });
    let end = Execution(first.0.saturating_add(count.0));
    let (next_index, watched_from) = match began {
        Began::Now => (slot.execution.unwrap_or(Execution(0)), first),
        Began::Before { next_index } => {
            let next = next_index.or(slot.execution).unwrap_or(Execution(0));
            let is_open =
                |execution: &Execution| schedule.window_end(*execution, slot.start_delay).is_none_or(|over| over > block.timestamp);
            // Windows end in order, so the first open one is found by bisection.
            let (mut low, mut high) = (first.0, end.0);
            while low < high {
                let middle = low.saturating_add(high.saturating_sub(low) >> 1);
                if is_open(&Execution(middle)) { high = middle } else { low = middle.saturating_add(1) }
            }
            let reported = if slot.execution.is_none() { next } else { first };
            (next, Execution(low).max(reported).clamp(first, end))
        }
    };
    let mut settles: Option<(AssignmentId, UsableKey, Timestamp)> = None;
    let mut unusable = None;
    if let (Some(destination), Some(span)) = (&job.destination, span) {
        let not_after = schedule.not_after(&span, slot.start_delay, destination.deadline);
        let usable = draft.rules.destination(&destination.chain).and_then(|rules| rules.choose_key(keys));
        match (usable, not_after) {
            (Some(usable), Some(not_after)) => {
                let execution = slot.execution.unwrap_or(Execution::ALL);
                settles = Some((assignment_id(&job.key, &slot.processor, &destination.dest_id, execution), usable, not_after));
            }
            (None, _) => unusable = Some(NoUsableKey { processor: slot.processor, dest_id: destination.dest_id }),
            // The schedule ends beyond what a leaf can say.
            (Some(_), None) => {}
        }
    }
    draft.emit(AssignmentStarted {
        assignment_id: settles.as_ref().map(|(id, _, _)| *id),
        slot: slot.clone(),
        keys: keys.to_vec(),
        first_execution: first,
        executions: count,
        not_after: settles.as_ref().map_or(Timestamp(0), |(_, _, not_after)| *not_after),
        block: block.clone(),
        key_type: settles.as_ref().map(|(_, usable, _)| usable.key_type),
        signer_key: settles.as_ref().map(|(_, usable, _)| usable.signer_key),
        watched_from,
        next_index,
    })?;
    if let Some(event) = unusable {
        draft.emit(event)?;
    }
    let job = draft.job()?;
    let acknowledged = job.assignments.keys().filter(|other| other.only == key.only).count();
    if job.assigned.is_none() && u32::try_from(acknowledged).is_ok_and(|count| count >= registration.slots) {
        draft.emit(JobAssigned { block: block.clone() })?;
    }
    if settles.is_some() && watched_from < end {
        plan::settlement(draft, &SettlementPlace { assignment: key, execution: None }, plan::Turn::Last)?;
    }
    Ok(())
}
