//! The cursors of one partition, shared by all its readers.
//!
//! A reader finds the cursor whose window has its next record, or that is about to fetch it. Readers that follow the end of
//! the log thus share one cursor and one fetch; one that starts far behind gets its own, and comes back to the shared one when
//! it caught up. Cursors that nobody needs are closed.

use crate::cursor::{Cursor, Reached};
use crate::names::after;
use acurast_events::units::Offset;
use acurast_relayer_journal::{LogRecord, ReadLimits};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most cursors of one partition that nobody waits for.
const CURSORS_MAX: usize = 4;
/// A cursor that lacks at most so many records to a place is waited for, rather than another one started.
const NEAR: u64 = 1_024;
/// How long an answer of the broker about the log's end is good for a reader that is there already. A reader that follows the
/// end is woken by the records themselves; this only bounds how often one that keeps asking asks the broker.
const END_FRESH: Duration = Duration::from_millis(100);

/// How long a read of a dense log that has records waits for more of what the log has.
pub(crate) const FILL: Duration = Duration::from_secs(1);

/// What is known of one partition, and who reads it.
#[derive(Default)]
pub(crate) struct Cursors {
    open: Mutex<Vec<Arc<Cursor>>>,
    /// The furthest end that was seen.
    end: AtomicU64,
    /// The end that the broker named last, and when it was asked.
    asked: Mutex<Option<(Offset, Instant)>>,
    /// Where a sparse log was found to show nothing more, and when.
    silent: Mutex<Option<(Offset, Instant)>>,
}

impl Cursors {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Cursor>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log was seen to reach up to `end`.
    pub(crate) fn saw_end(&self, end: Offset) {
        self.end.fetch_max(end.0, Ordering::AcqRel);
    }

    /// The broker was asked at `when` and named `end`.
    pub(crate) fn asked_end(&self, end: Offset, when: Instant) {
        self.saw_end(end);
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some((end, when));
    }

    /// Whether the log ends at `from` as far as can be known without asking: nothing beyond it was ever seen, the broker said
    /// so a moment ago, and a cursor stands there that would have seen more.
    pub(crate) fn surely_ends_at(&self, from: Offset) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = asked.is_some_and(|(end, when)| end == from && when.elapsed() < END_FRESH);
        fresh && self.end() <= from && self.standing_at(from).is_some()
    }

    /// A sparse log showed no record at `from` or after it.
    pub(crate) fn found_silent(&self, from: Offset) {
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = Some((from, Instant::now()));
    }

    /// Whether a sparse log showed nothing from `from` on a moment ago, and still didn't to a cursor that stands there.
    pub(crate) fn surely_silent_at(&self, from: Offset) -> bool {
        let silent = *self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.is_some_and(|(at, when)| at == from && when.elapsed() < END_FRESH) && self.standing_at(from).is_some()
    }

    /// The furthest end that was seen.
    pub(crate) fn end(&self) -> Offset {
        Offset(self.end.load(Ordering::Acquire))
    }

    /// Records from `from` on if a cursor has them.
    pub(crate) fn take(&self, from: Offset, limits: ReadLimits) -> Option<Vec<LogRecord>> {
        let holder = {
            let mut open = self.open();
            // What one had when it ended may not be the log any more.
            open.retain(|cursor| cursor.reached().ended.is_none());
            open.iter().find(|cursor| cursor.holds(from)).cloned()?
        };
        let records = holder.take(from, limits);
        self.saw_end(holder.reached().next);
        // Between the two looks the window may have moved on.
        (!records.is_empty()).then_some(records)
    }

    /// Adds what follows `records`, as far as `limits` and the end that was seen go. What is on its way is waited for, but no
    /// longer than `patience`: a read that returns less is right too.
    pub(crate) async fn fill(&self, records: &mut Vec<LogRecord>, limits: ReadLimits, patience: Duration) {
        let began = Instant::now();
        let mut bytes = records.iter().fold(0usize, |sum, record| sum.saturating_add(record.size_bytes()));
        while let Some(last) = records.last() {
            let next = after(last.offset);
            if !limits.admit(records.len(), bytes) || self.end() <= next {
                return;
            }
            // Looked up before the records are, so that one that moves on between the two is found by them.
            let standing = self.standing_at(next);
            let rest = ReadLimits {
                records_max: limits.records_max.saturating_sub(records.len()),
                bytes_max: limits.bytes_max.saturating_sub(bytes),
            };
            if let Some(more) = self.take(next, rest) {
                bytes = more.iter().fold(bytes, |sum, record| sum.saturating_add(record.size_bytes()));
                records.extend(more);
                continue;
            }
            let Some(cursor) = standing else { return };
            if tokio::time::timeout(patience.saturating_sub(began.elapsed()), cursor.wait_beyond(next)).await.is_err() {
                return;
            }
        }
    }

    /// A running cursor that fetched everything before `from` and nothing beyond.
    pub(crate) fn standing_at(&self, from: Offset) -> Option<Arc<Cursor>> {
        let stands = |reached: Reached| reached.ended.is_none() && reached.next == from;
        self.open().iter().find(|cursor| stands(cursor.reached())).cloned()
    }

    /// A cursor that has the record at `from`, or comes to it soon.
    pub(crate) fn at(&self, from: Offset, start: impl FnOnce() -> Result<Cursor, String>) -> Result<Arc<Cursor>, String> {
        let mut open = self.open();
        open.retain(|cursor| cursor.reached().ended.is_none());
        let near = |cursor: &Arc<Cursor>| {
            let next = cursor.reached().next;
            cursor.holds(from) || (next <= from && from.0.saturating_sub(next.0) <= NEAR)
        };
        if let Some(cursor) = open.iter().find(|cursor| near(cursor)) {
            return Ok(Arc::clone(cursor));
        }
        while open.len() >= CURSORS_MAX {
            let unused = open.iter().enumerate().filter(|(_, cursor)| !cursor.is_awaited()).min_by_key(|(_, cursor)| cursor.used());
            match unused.map(|(index, _)| index) {
                Some(index) => drop(open.swap_remove(index)),
                None => break,
            }
        }
        let cursor = Arc::new(start()?);
        open.push(Arc::clone(&cursor));
        Ok(cursor)
    }

    /// Forgets all cursors: the log isn't what they read.
    pub(crate) fn forget(&self) {
        self.open().clear();
    }

    /// How many cursors run.
    pub(crate) fn count(&self) -> usize {
        self.open().iter().filter(|cursor| cursor.reached().ended.is_none()).count()
    }
}
