//! Removal: the job left Acurast. What has neither output nor report is cancelled; what has goes on (PROTOCOL §5).

use super::{DecideError, Draft, outcome};
use acurast_events::jobs::{BlockRef, Fault, JobDone, JobRemoved, Outcome};
use acurast_events::units::Execution;

/// Settle took all outputs that were there when the removal was read, before this is decided.
pub(super) fn removed(draft: &mut Draft<'_>, block: &BlockRef) -> Result<(), DecideError> {
    let Some(job) = &draft.scope.job else {
        // Never heard of, or closed long ago: nothing is lost.
        return Ok(());
    };
    if job.removed.is_some() {
        return Ok(());
    }
    let assignments: Vec<_> = job.assignments.keys().copied().collect();
    draft.emit(JobRemoved { block: block.clone() })?;
    for key in assignments {
        outcome::end_untouched(draft, &key, Execution(u64::MAX), Outcome::Cancelled, Fault::Nobody)?;
    }
    if draft.job()?.done.is_none() {
        draft.emit(JobDone { block: block.clone() })?;
    }
    Ok(())
}
