//! The two clocks of a shell. Cores never see them: time reaches them as data (PROTOCOL §8).

use acurast_events::units::Timestamp;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall clock for stamps, monotonic clock for leases.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch. May jump; stamps take the maximum with the partition's last one.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 or past 2⁶⁴ ms reads as 0: the stamp then stays at the partition's last one.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or_default())
    }
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
