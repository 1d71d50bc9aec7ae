//! Reports: which outcome belongs to which ReportedV2, and what the pallet's report counter was before it (PROTOCOL §1).

use crate::chain_types::RawAssignment;
use acurast_events::job_id::JobId;
use acurast_events::source::{ReportedOutcome, Schedule};
use acurast_events::units::{Execution, Timestamp};

/// An ExecutionSuccess or ExecutionFailure that waits for its ReportedV2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome<R> {
    pub(crate) extrinsic: Option<u32>,
    pub(crate) job: JobId,
    pub(crate) outcome: ReportedOutcome,
    pub(crate) data: Vec<u8>,
    /// Its event record, to keep it when no report follows.
    pub(crate) record: R,
}

/// The outcomes of a block that no report has claimed yet.
#[derive(Debug)]
pub(crate) struct Outcomes<R>(Vec<Outcome<R>>);

impl<R> Default for Outcomes<R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<R> Outcomes<R> {
    pub(crate) fn push(&mut self, outcome: Outcome<R>) {
        self.0.push(outcome);
    }

    /// The outcome of a report: the last unclaimed one of the same job in the same extrinsic.
    pub(crate) fn claim(&mut self, extrinsic: Option<u32>, job: &JobId) -> Option<Outcome<R>> {
        let position = self.0.iter().rposition(|outcome| outcome.extrinsic == extrinsic && outcome.job == *job)?;
        Some(self.0.remove(position))
    }

    /// Those that no report followed.
    pub(crate) fn unclaimed(self) -> Vec<Outcome<R>> {
        self.0
    }
}

/// `NextReportIndex` after a report at `now`, given what it was before: the pallet's rule, for a second report of the same
/// match within one block, whose own "before" is in no state.
pub(crate) fn index_after_report(
    before: Option<Execution>,
    schedule: &Schedule,
    assignment: &RawAssignment,
    delay: acurast_events::units::Millis,
    now: Timestamp,
) -> Option<Execution> {
    let running = schedule.running_at(now, delay).unwrap_or(Execution(0));
    let expected = before.unwrap_or(running);
    let closed = schedule.window_end(expected, delay).is_none_or(|end| now >= end);
    let reported = if closed { running } else { expected };
    match assignment.execution() {
        None => {
            let next = reported.next();
            (next.0 < assignment.reports_expected()).then_some(next)
        }
        Some(index) => (reported != index).then_some(index),
    }
}
