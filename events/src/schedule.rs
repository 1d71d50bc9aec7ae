//! When executions start, when their windows close and when delivery ends: the arithmetic of a job's schedule (PROTOCOL §1, §4).
//!
//! Settle judges windows with it and attesters derive leaves with it, so both reach the same numbers from the same
//! registration. All times are milliseconds since the Unix epoch. A result that leaves 64 bits, or an execution that the
//! schedule does not have, is nothing: never a wrapped number.

use crate::source::Schedule;
use crate::units::{Count, Execution, Millis, Timestamp};

/// How long after an execution's duration the pallet still counts a report as met (PROTOCOL §1).
pub const REPORT_TOLERANCE: Millis = Millis(120_000);

/// How long after its last window an assignment may be delivered, unless its destination says otherwise (PROTOCOL §2).
pub const DEADLINE_DEFAULT: Millis = Millis(86_400_000);

/// The executions that one assignment covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: Execution,
    /// How many; at least one.
    pub count: Count,
}

impl Span {
    /// The last execution covered.
    pub fn last(&self) -> Option<Execution> {
        self.first.0.checked_add(self.count.0.checked_sub(1)?).map(Execution)
    }

    /// Whether `execution` is covered.
    pub fn covers(&self, execution: Execution) -> bool {
        execution.0.checked_sub(self.first.0).is_some_and(|offset| offset < self.count.0)
    }
}

impl Schedule {
    /// How many executions each slot has: `((end − start − 1) / interval) + 1`; none for an empty or malformed schedule.
    pub fn executions(&self) -> Count {
        let count = || {
            let last_moment = self.end.0.checked_sub(self.start.0)?.checked_sub(1)?;
            last_moment.checked_div(self.interval.0)?.checked_add(1)
        };
        Count(count().unwrap_or(0))
    }

    /// The executions of a match: all of them, or the one that the processor was matched for.
    ///
    /// Nothing when the schedule has no such execution.
    pub fn span(&self, matched: Option<Execution>) -> Option<Span> {
        let count = self.executions();
        match matched {
            None => (count.0 > 0).then_some(Span { first: Execution(0), count }),
            Some(execution) => (execution.0 < count.0).then_some(Span { first: execution, count: Count(1) }),
        }
    }

    /// Start of an execution for a slot with this delay: `start + delay + interval · n`.
    pub fn start_of(&self, execution: Execution, delay: Millis) -> Option<Timestamp> {
        if execution.0 >= self.executions().0 {
            return None;
        }
        let offset = self.interval.0.checked_mul(execution.0)?;
        self.start.checked_add(delay.0)?.checked_add(offset)
    }

    /// First moment past the window of an execution: its start + duration + 120 s; the window is half-open.
    pub fn window_end(&self, execution: Execution, delay: Millis) -> Option<Timestamp> {
        self.start_of(execution, delay)?.checked_add(self.duration.0)?.checked_add(REPORT_TOLERANCE.0)
    }

    /// When delivery ends for the executions of `span`: the end of the last one's window plus the destination's `deadline`.
    pub fn not_after(&self, span: &Span, delay: Millis, deadline: Millis) -> Option<Timestamp> {
        self.window_end(span.last()?, delay)?.checked_add(deadline.0)
    }

    /// When a job is DONE by time: the end of the last window of the slot with the largest delay.
    ///
    /// `delay` is the largest start delay of the acknowledged slots, or `max_start_delay` when none acknowledged.
    /// A schedule without executions is done at its end.
    pub fn done_at(&self, delay: Millis) -> Option<Timestamp> {
        match self.executions().0.checked_sub(1) {
            Some(last) => self.window_end(Execution(last), delay),
            None => Some(self.end),
        }
    }

    /// The execution that runs at `now` by the clock: `min((now − start − delay) / interval, count − 1)`, 0 before the start.
    pub fn running_at(&self, now: Timestamp, delay: Millis) -> Option<Execution> {
        let last = self.executions().0.checked_sub(1)?;
        let begin = self.start.checked_add(delay.0)?;
        let running = now.since(begin).0.checked_div(self.interval.0)?;
        Some(Execution(running.min(last)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(start: u64, end: u64, interval: u64, duration: u64) -> Schedule {
        Schedule {
            start: Timestamp(start),
            end: Timestamp(end),
            interval: Millis(interval),
            duration: Millis(duration),
            max_start_delay: Millis(0),
        }
    }

    #[test]
    fn an_execution_starts_only_before_the_end() {
        assert_eq!(schedule(1_000, 2_000, 500, 10).executions(), Count(2));
        assert_eq!(schedule(1_000, 2_001, 500, 10).executions(), Count(3));
        assert_eq!(schedule(1_000, 1_001, 500, 10).executions(), Count(1));
    }

    #[test]
    fn a_malformed_schedule_has_no_executions() {
        for malformed in [schedule(2_000, 1_000, 500, 10), schedule(1_000, 1_000, 500, 10), schedule(1_000, 2_000, 0, 10)] {
            assert_eq!(malformed.executions(), Count(0));
            assert_eq!(malformed.span(None), None);
            assert_eq!(malformed.span(Some(Execution(0))), None);
            assert_eq!(malformed.start_of(Execution(0), Millis(0)), None);
            assert_eq!(malformed.running_at(Timestamp(1_500), Millis(0)), None);
            assert_eq!(malformed.done_at(Millis(7)), Some(malformed.end));
        }
    }

    #[test]
    fn a_window_ends_120_seconds_after_the_duration() {
        let schedule = schedule(1_000, 10_000, 1_000, 300);
        assert_eq!(schedule.start_of(Execution(3), Millis(50)), Some(Timestamp(4_050)));
        assert_eq!(schedule.window_end(Execution(3), Millis(50)), Some(Timestamp(124_350)));
        let span = schedule.span(None).unwrap();
        assert_eq!(schedule.not_after(&span, Millis(50), DEADLINE_DEFAULT), Some(Timestamp(9_050 + 300 + 120_000 + 86_400_000)));
        assert_eq!(schedule.done_at(Millis(50)), Some(Timestamp(9_050 + 300 + 120_000)));
    }

    #[test]
    fn a_match_of_one_execution_covers_only_that() {
        let schedule = schedule(0, 10_000, 1_000, 300);
        let span = schedule.span(Some(Execution(4))).unwrap();
        assert_eq!(span, Span { first: Execution(4), count: Count(1) });
        assert!(span.covers(Execution(4)) && !span.covers(Execution(3)) && !span.covers(Execution(5)));
        assert_eq!(schedule.span(Some(Execution(10))), None);
    }

    proptest! {
        #[test]
        fn every_start_lies_before_the_end_and_the_one_after_the_last_does_not(
            start in 0_u64..1 << 50, length in 1_u64..1 << 40, interval in 1_u64..1 << 40, duration in 0_u64..1 << 40,
        ) {
            let schedule = schedule(start, start + length, interval, duration);
            let count = schedule.executions().0;
            let last = schedule.start_of(Execution(count - 1), Millis(0)).unwrap();
            prop_assert!(last < schedule.end);
            prop_assert!(last.0 + interval >= schedule.end.0);
            prop_assert_eq!(schedule.start_of(Execution(count), Millis(0)), None);
        }

        #[test]
        fn the_running_execution_is_the_one_whose_interval_holds_the_moment(
            start in 0_u64..1 << 50, length in 1_u64..1 << 40, interval in 1_u64..1 << 40, delay in 0_u64..1 << 40, after in 0_u64..1 << 41,
        ) {
            let schedule = schedule(start, start + length, interval, 0);
            let now = Timestamp(start + delay + after);
            let running = schedule.running_at(now, Millis(delay)).unwrap();
            let begin = schedule.start_of(running, Millis(delay)).unwrap();
            prop_assert!(begin <= now);
            if running.0 + 1 < schedule.executions().0 {
                prop_assert!(now.0 < begin.0 + interval);
            }
            prop_assert_eq!(schedule.running_at(Timestamp(start), Millis(delay)), Some(Execution(0)));
        }

        #[test]
        fn nothing_wraps_whatever_a_registration_says(
            start: u64, end: u64, interval: u64, duration: u64, delay: u64, execution: u64, deadline: u64,
        ) {
            let schedule = schedule(start, end, interval, duration);
            if let Some(at) = schedule.start_of(Execution(execution), Millis(delay)) {
                prop_assert!(at.0 >= start && at.0 >= delay);
                if let Some(over) = schedule.window_end(Execution(execution), Millis(delay)) {
                    prop_assert!(over > at);
                }
            }
            if let Some(span) = schedule.span(None)
                && let Some(not_after) = schedule.not_after(&span, Millis(delay), Millis(deadline))
            {
                prop_assert!(not_after >= schedule.window_end(Execution(0), Millis(delay)).unwrap());
            }
        }
    }
}
