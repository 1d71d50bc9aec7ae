//! MATCHED: processors were assigned to a job or to one execution of it, perhaps before the job was heard of.

use super::opened::{FirstHeard, ensure};
use super::{DecideError, Draft};
use crate::job::AssignmentKey;
use acurast_events::bytes::OwnerKey;
use acurast_events::jobs::{BlockRef, JobMatched, OpenedBy};
use acurast_events::source::{Matched, MatchedSlot};

pub(super) fn matched(draft: &mut Draft<'_>, owner: OwnerKey, fact: &Matched, block: &BlockRef) -> Result<(), DecideError> {
    let registration = fact.registration.as_ref();
    ensure(draft, &FirstHeard { owner, job: &fact.job, registration, opened_by: OpenedBy::Matched, block })?;
    add(draft, &fact.slots, block)
}

/// Takes the slots that are new. A fact lists all that are assigned at its block, also those of earlier matches.
pub(super) fn add(draft: &mut Draft<'_>, slots: &[MatchedSlot], block: &BlockRef) -> Result<(), DecideError> {
    let job = draft.job()?;
    if job.removed.is_some() {
        return Ok(());
    }
    let is_new = |slot: &&MatchedSlot| {
        let key = AssignmentKey { processor: slot.processor, only: slot.execution };
        !job.matches.contains_key(&key) && !job.assignments.contains_key(&key)
    };
    let slots: Vec<_> = slots.iter().filter(is_new).cloned().collect();
    if slots.is_empty() { Ok(()) } else { draft.emit(JobMatched { slots, block: block.clone() }) }
}
