//! The circuit breaker of one endpoint: when one that fails is left alone, and for how long. Pure: time comes in.
//!
//! ```text
//! Closed ──failures in a row, or throttled──▶ Open(until) ──time is up, one call──▶ Probing ──answered──▶ Closed
//!                                               ▲                                     │
//!                                               └───────failed: twice the pause───────┘
//! ```
//!
//! An answer of any kind is an answer; whether it makes sense is for [`crate::health`]. A call that is given up leaves no
//! result, so a probe counts for its own time limit only, and then another one may go.

use acurast_events::units::Millis;

/// How patient a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many failures in a row open it.
    pub failures_max: u32,
    /// The first pause; each failed probe doubles it.
    pub pause_min: Millis,
    /// The longest pause that failures make.
    pub pause_max: Millis,
    /// The longest pause that an endpoint may ask for itself (`Retry-After`).
    pub asked_pause_max: Millis,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures_max: 3, pause_min: Millis(500), pause_max: Millis(15_000), asked_pause_max: Millis(600_000) }
    }
}

/// How a call ended, as far as the breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// The node answered, if only with an error.
    Answered,
    /// No answer.
    Failed,
    /// It asked to be left alone, for this long where it said so (429).
    Throttled(Option<Millis>),
}

/// A breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Calls pass.
    Closed {
        /// Failures since the last answer.
        failures: u32,
    },
    /// No call passes.
    Open {
        /// Until then.
        until: Millis,
        /// The pause that this was.
        pause: Millis,
    },
    /// One call is on its way to see.
    Probing {
        /// If it is given up, another one may go then.
        until: Millis,
        /// The pause before it.
        pause: Millis,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

fn later(now: Millis, by: Millis) -> Millis {
    Millis(now.0.saturating_add(by.0))
}

impl Breaker {
    /// Whether a call would pass now.
    pub fn permits(&self, now: Millis) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Open { until, .. } | Self::Probing { until, .. } => now >= *until,
        }
    }

    /// Takes leave to call; `call_max` is how long the call may last.
    ///
    /// # Errors
    /// How long it is still to be left alone.
    pub fn enter(&mut self, now: Millis, call_max: Millis) -> Result<(), Millis> {
        match *self {
            Self::Closed { .. } => Ok(()),
            Self::Open { until, .. } | Self::Probing { until, .. } if now < until => Err(Millis(until.0.saturating_sub(now.0))),
            Self::Open { pause, .. } | Self::Probing { pause, .. } => {
                *self = Self::Probing { until: later(now, call_max), pause };
                Ok(())
            }
        }
    }

    /// Takes note of how a call ended. Results of calls that began before it opened neither lengthen a pause nor are lost:
    /// an answer closes it.
    pub fn note(&mut self, end: CallEnd, now: Millis, policy: &BreakerPolicy) {
        *self = match (end, *self) {
            (CallEnd::Answered, _) => Self::default(),
            (CallEnd::Failed, Self::Closed { failures }) => match failures.saturating_add(1) {
                failures if failures >= policy.failures_max => Self::open(now, policy.pause_min),
                failures => Self::Closed { failures },
            },
            (CallEnd::Failed, Self::Probing { pause, .. }) => {
                Self::open(now, Millis(pause.0.saturating_mul(2).min(policy.pause_max.0).max(policy.pause_min.0)))
            }
            (CallEnd::Failed, open @ Self::Open { .. }) => open,
            (CallEnd::Throttled(asked), before) => {
                let asked = asked.unwrap_or(policy.pause_min);
                let pause = Millis(asked.0.min(policy.asked_pause_max.0).max(policy.pause_min.0));
                match before {
                    Self::Open { until, .. } if until >= later(now, pause) => before,
                    _ => Self::open(now, pause),
                }
            }
        };
    }

    fn open(now: Millis, pause: Millis) -> Self {
        Self::Open { until: later(now, pause), pause }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: BreakerPolicy =
        BreakerPolicy { failures_max: 3, pause_min: Millis(100), pause_max: Millis(1_000), asked_pause_max: Millis(60_000) };
    const CALL_MAX: Millis = Millis(50);

    fn opened(now: u64) -> Breaker {
        let mut breaker = Breaker::default();
        (0..POLICY.failures_max).for_each(|_| breaker.note(CallEnd::Failed, Millis(now), &POLICY));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_an_answer_between_them_does_not() {
        let mut breaker = Breaker::default();
        for end in [CallEnd::Failed, CallEnd::Failed, CallEnd::Answered, CallEnd::Failed, CallEnd::Failed] {
            breaker.note(end, Millis(0), &POLICY);
            assert!(breaker.permits(Millis(0)));
        }
        breaker.note(CallEnd::Failed, Millis(7), &POLICY);
        assert_eq!(breaker, Breaker::Open { until: Millis(107), pause: Millis(100) });
        assert_eq!(breaker.enter(Millis(50), CALL_MAX), Err(Millis(57)));
    }

    #[test]
    fn one_probe_goes_after_the_pause_and_a_failed_one_doubles_it() {
        let mut breaker = opened(0);
        let mut now = 0;
        for pause in [100, 200, 400, 800, 1_000, 1_000] {
            assert!(!breaker.permits(Millis(now + pause - 1)), "{pause}");
            now += pause;
            assert_eq!(breaker.enter(Millis(now), CALL_MAX), Ok(()));
            assert_eq!(breaker.enter(Millis(now), CALL_MAX), Err(CALL_MAX), "one at a time");
            breaker.note(CallEnd::Failed, Millis(now), &POLICY);
        }
        now += 1_000;
        breaker.enter(Millis(now), CALL_MAX).unwrap();
        breaker.note(CallEnd::Answered, Millis(now), &POLICY);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_probe_that_was_given_up_makes_room_for_another() {
        let mut breaker = opened(0);
        breaker.enter(Millis(100), CALL_MAX).unwrap();
        assert!(breaker.enter(Millis(149), CALL_MAX).is_err());
        assert_eq!(breaker.enter(Millis(150), CALL_MAX), Ok(()));
    }

    #[test]
    fn a_throttled_endpoint_is_left_alone_at_once_and_for_as_long_as_it_asks() {
        let mut breaker = Breaker::default();
        breaker.note(CallEnd::Throttled(Some(Millis(7_000))), Millis(1), &POLICY);
        assert!(!breaker.permits(Millis(7_000)) && breaker.permits(Millis(7_001)));
        breaker.note(CallEnd::Throttled(None), Millis(2), &POLICY);
        assert!(!breaker.permits(Millis(7_000)), "a later call's shorter wish does not shorten it");
        let mut greedy = Breaker::default();
        greedy.note(CallEnd::Throttled(Some(Millis(u64::MAX))), Millis(0), &POLICY);
        assert!(greedy.permits(POLICY.asked_pause_max), "nobody is left alone for ever");
    }

    proptest! {
        #[test]
        fn whatever_happens_a_call_passes_again_within_the_longest_pause(
            ends in proptest::collection::vec((0_u8..3, 0_u64..500, proptest::option::of(0_u64..100_000)), 0..60),
        ) {
            let mut breaker = Breaker::default();
            let mut now = 0;
            for (end, pass, asked) in ends {
                now += pass;
                let entered = breaker.enter(Millis(now), CALL_MAX).is_ok();
                if entered {
                    let end = match end {
                        0 => CallEnd::Answered,
                        1 => CallEnd::Failed,
                        _ => CallEnd::Throttled(asked.map(Millis)),
                    };
                    breaker.note(end, Millis(now), &POLICY);
                }
                prop_assert!(breaker.permits(Millis(now + POLICY.asked_pause_max.0)));
            }
        }
    }
}
