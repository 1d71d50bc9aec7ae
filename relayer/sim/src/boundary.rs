//! Crash points. Every append of the process and every broadcast passes boundaries; the n-th can be made its last moment.
//!
//! ```text
//! append:    │Append│ ─ durable ─ │Acknowledge│ ─ read back ─ │Apply│ ─ committed
//! broadcast: │Send│ ─ at the node ─ │Sent│ ─ answer
//! ```

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Where a process can crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Before an append: nothing of it is in the log.
    Append,
    /// It is durable, and its writer doesn't know.
    Acknowledge,
    /// It was read back, and isn't applied.
    Apply,
    /// Before bytes leave.
    Send,
    /// They left, and the answer didn't come.
    Sent,
}

const NEVER: u64 = u64::MAX;

/// Counts boundaries, and crashes at the chosen one.
#[derive(Debug)]
pub struct Boundaries {
    passed: AtomicU64,
    crash_at: AtomicU64,
    crashed: AtomicBool,
    /// The kind of which the next one is the last moment, or [`NONE`].
    next: AtomicU8,
}

/// How the counts stood at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    passed: u64,
    crash_at: u64,
    crashed: bool,
    next: u8,
}

/// No kind: above all of them.
const NONE: u8 = u8::MAX;

impl Boundaries {
    /// Crashes at this boundary, counted from 0, or never.
    pub fn new(crash_at: Option<u64>) -> Self {
        Self {
            passed: AtomicU64::new(0),
            crash_at: AtomicU64::new(crash_at.unwrap_or(NEVER)),
            crashed: AtomicBool::new(false),
            next: AtomicU8::new(NONE),
        }
    }

    /// Passes one; true: the process is gone, and does nothing more.
    pub fn pass(&self, at: Boundary) -> bool {
        let here = self.passed.fetch_add(1, Ordering::Relaxed);
        let asked = self.next.load(Ordering::Relaxed) == at as u8;
        let crash = asked || here == self.crash_at.load(Ordering::Relaxed);
        if asked {
            self.next.store(NONE, Ordering::Relaxed);
        }
        if crash {
            self.crashed.store(true, Ordering::Relaxed);
        }
        crash || self.is_crashed()
    }

    /// From here on the n-th, counted from the beginning, is the last moment of the process that passes it.
    pub fn crash_at(&self, nth: u64) {
        self.crash_at.store(nth, Ordering::Relaxed);
    }

    /// How all counts stand.
    pub fn counts(&self) -> Counts {
        Counts {
            passed: self.passed(),
            crash_at: self.crash_at.load(Ordering::Relaxed),
            crashed: self.is_crashed(),
            next: self.next.load(Ordering::Relaxed),
        }
    }

    /// Makes all counts as they were.
    pub fn put_back(&self, counts: Counts) {
        self.passed.store(counts.passed, Ordering::Relaxed);
        self.crash_at.store(counts.crash_at, Ordering::Relaxed);
        self.crashed.store(counts.crashed, Ordering::Relaxed);
        self.next.store(counts.next, Ordering::Relaxed);
    }

    /// How many were passed.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// The process that runs crashes at the next boundary of this kind.
    pub fn crash_at_next(&self, kind: Boundary) {
        self.next.store(kind as u8, Ordering::Relaxed);
    }

    /// Whether the process that runs is gone.
    pub fn is_crashed(&self) -> bool {
        self.crashed.load(Ordering::Relaxed)
    }

    /// Another process runs now.
    pub fn reset(&self) {
        self.crashed.store(false, Ordering::Relaxed);
    }
}
