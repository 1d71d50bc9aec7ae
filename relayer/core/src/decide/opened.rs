//! OPEN: a job is first heard of, by its registration or by whatever fact brings it (PROTOCOL §1), and gets its destination.

use super::acknowledged::{Began, begin};
use super::{DecideError, Draft, matched, removed};
use crate::destination;
use crate::job::AssignmentKey;
use acurast_events::bytes::OwnerKey;
use acurast_events::job_id::JobId;
use acurast_events::jobs::{BlockRef, JobOpened, OpenedBy, ReportIndexDiffers};
use acurast_events::source::{Found, FoundSlot, Reconciled, Registered, Registration};

/// A fact that may be the first of its job.
pub(super) struct FirstHeard<'f> {
    pub(super) owner: OwnerKey,
    pub(super) job: &'f JobId,
    pub(super) registration: Option<&'f Registration>,
    pub(super) opened_by: OpenedBy,
    pub(super) block: &'f BlockRef,
}

/// Opens the job unless it is open. The destination is chosen in the same record, so that none is ever without.
pub(super) fn ensure(draft: &mut Draft<'_>, first: &FirstHeard<'_>) -> Result<(), DecideError> {
    if draft.scope.job.is_some() {
        return Ok(());
    }
    draft.emit(JobOpened {
        job: first.job.clone(),
        owner: first.owner,
        registration: first.registration.cloned(),
        opened_by: first.opened_by,
        block: first.block.clone(),
    })?;
    draft.emit(destination::choose(draft.policy, draft.rules, first.job, &first.owner, first.registration))
}

pub(super) fn registered(draft: &mut Draft<'_>, owner: OwnerKey, fact: &Registered, block: &BlockRef) -> Result<(), DecideError> {
    let registration = fact.registration.as_ref();
    ensure(draft, &FirstHeard { owner, job: &fact.job, registration, opened_by: OpenedBy::Registered, block })
}

/// A job in storage at the first start: executions that ended before are not ours to judge.
pub(super) fn found(draft: &mut Draft<'_>, owner: OwnerKey, fact: &Found, block: &BlockRef) -> Result<(), DecideError> {
    let registration = Some(&fact.registration);
    ensure(draft, &FirstHeard { owner, job: &fact.job, registration, opened_by: OpenedBy::Found, block })?;
    slots(draft, &fact.slots, block)
}

/// Storage disagrees with the facts so far: what is missing is made up for, never undone.
pub(super) fn reconciled(draft: &mut Draft<'_>, owner: OwnerKey, fact: &Reconciled, block: &BlockRef) -> Result<(), DecideError> {
    let Some(registration) = &fact.registration else {
        return if draft.scope.job.as_ref().is_some_and(|job| job.done.is_none()) { removed::removed(draft, block) } else { Ok(()) };
    };
    // A job whose time is over was closed here and waits for its clean-up there.
    let over = registration.schedule.done_at(registration.schedule.max_start_delay).is_none_or(|done| done <= block.timestamp);
    if draft.scope.job.is_none() && over {
        return Ok(());
    }
    ensure(draft, &FirstHeard { owner, job: &fact.job, registration: Some(registration), opened_by: OpenedBy::Found, block })?;
    slots(draft, &fact.slots, block)
}

fn slots(draft: &mut Draft<'_>, slots: &[FoundSlot], block: &BlockRef) -> Result<(), DecideError> {
    if draft.job()?.removed.is_some() {
        return Ok(());
    }
    let matches: Vec<_> = slots.iter().map(|found| found.slot.clone()).collect();
    matched::add(draft, &matches, block)?;
    for found in slots {
        let key = AssignmentKey { processor: found.slot.processor, only: found.slot.execution };
        match draft.job()?.assignments.get(&key) {
            None if found.acknowledged => {
                begin(draft, &found.slot, &found.keys, Began::Before { next_index: found.next_index }, block)?;
            }
            None => {}
            Some(assignment) => {
                if let Some(chain) = found.next_index.filter(|chain| *chain != assignment.next_index && key.only.is_none()) {
                    let ours = assignment.next_index;
                    draft.emit(ReportIndexDiffers { processor: key.processor, ours, chain })?;
                }
            }
        }
    }
    Ok(())
}
