//! Virtual time. Nothing here reads a real clock: a world moves its own, and each machine may be wrong about it.

use acurast_events::units::Timestamp;
use acurast_relayer_journal::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What time it is in a world, in milliseconds since the Unix epoch.
#[derive(Debug)]
pub struct WorldClock {
    begin: u64,
    now: AtomicU64,
}

impl WorldClock {
    /// A clock that stands at `start`.
    pub fn new(start: u64) -> Self {
        Self { begin: start, now: AtomicU64::new(start) }
    }

    /// The time.
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Makes it `now` again, in a world that is put back.
    pub fn put_back(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Moves on to `to`; never back.
    pub fn move_to(&self, to: u64) {
        self.now.fetch_max(to, Ordering::Relaxed);
    }
}

/// The clocks of one machine: a wall clock that may jump either way, a monotonic one that doesn't.
#[derive(Debug)]
pub struct MachineClock {
    world: Arc<WorldClock>,
    skew_ms: AtomicI64,
}

impl MachineClock {
    /// A clock that is right.
    pub fn new(world: Arc<WorldClock>) -> Self {
        Self { world, skew_ms: AtomicI64::new(0) }
    }

    /// How wrong the wall clock is, ms.
    pub fn skew(&self) -> i64 {
        self.skew_ms.load(Ordering::Relaxed)
    }

    /// From now on the wall clock is wrong by so much.
    pub fn set_skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::Relaxed);
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.world.now().saturating_add_signed(self.skew_ms.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.world.now().saturating_sub(self.world.begin))
    }
}
