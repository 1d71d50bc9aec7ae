//! The consecutive records that a cursor fetched and still holds: bounded, ahead of its fastest reader, and a little behind it
//! for the others.

use crate::names::after;
use acurast_events::units::Offset;
use acurast_relayer_journal::{LogRecord, ReadLimits};
use std::collections::VecDeque;

/// Most bytes of records that one cursor holds. One record above it is still taken.
pub(crate) const BYTES_MAX: usize = 8 << 20;
/// Most records that one cursor holds.
pub(crate) const RECORDS_MAX: usize = 16_384;

/// How offsets of a partition follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// Each is one more than the one before; anything else is a loss.
    Dense,
    /// Some belong to no record: the marks that end transactions, and records of those that were given up.
    Sparse,
}

/// Invariant: `records` are all that the log has in `first .. next`, in order; without holes where it is dense.
#[derive(Debug)]
pub(crate) struct Window {
    spacing: Spacing,
    records: VecDeque<LogRecord>,
    bytes: usize,
    /// The offset from which on all is here.
    first: Offset,
    /// The offset after the last record.
    next: Offset,
    /// Everything below was read by somebody, or is below what somebody asked for; it may go when room is needed.
    read: Offset,
}

/// A record that isn't the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) expected: Offset,
    pub(crate) found: Offset,
}

impl Window {
    /// Empty, before the record at `next`.
    pub(crate) fn new(next: Offset, spacing: Spacing) -> Self {
        Self { spacing, records: VecDeque::new(), bytes: 0, first: next, next, read: next }
    }

    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// Whether the record at `from` is here, or the one that follows it in a sparse log.
    pub(crate) fn holds(&self, from: Offset) -> bool {
        self.first <= from && from < self.next
    }

    /// Whether another record may be taken; drops what was read to make room.
    pub(crate) fn has_room(&mut self) -> bool {
        while self.is_full() {
            if self.records.front().is_some_and(|oldest| oldest.offset >= self.read) {
                return false;
            }
            if let Some(gone) = self.records.pop_front() {
                self.bytes = self.bytes.saturating_sub(gone.size_bytes());
                self.first = after(gone.offset);
            }
        }
        true
    }

    fn is_full(&self) -> bool {
        !self.records.is_empty() && (self.bytes >= BYTES_MAX || self.records.len() >= RECORDS_MAX)
    }

    /// Takes the next record.
    pub(crate) fn push(&mut self, record: LogRecord) -> Result<(), Hole> {
        let follows = match self.spacing {
            Spacing::Dense => record.offset == self.next,
            Spacing::Sparse => record.offset >= self.next,
        };
        if !follows {
            return Err(Hole { expected: self.next, found: record.offset });
        }
        self.bytes = self.bytes.saturating_add(record.size_bytes());
        self.next = after(record.offset);
        self.records.push_back(record);
        Ok(())
    }

    /// Somebody reads from `from` on: what is below won't be waited for.
    pub(crate) fn ask(&mut self, from: Offset) {
        self.read = self.read.max(from);
    }

    /// The records from `from` on, within `limits`; none when the one at `from` isn't here.
    pub(crate) fn take(&mut self, from: Offset, limits: ReadLimits) -> Vec<LogRecord> {
        if !self.holds(from) {
            return Vec::new();
        }
        let skip = self.records.partition_point(|record| record.offset < from);
        let mut taken: Vec<LogRecord> = Vec::new();
        let mut bytes = 0usize;
        for record in self.records.iter().skip(skip) {
            if !limits.admit(taken.len(), bytes) {
                break;
            }
            bytes = bytes.saturating_add(record.size_bytes());
            taken.push(record.clone());
        }
        if let Some(last) = taken.last() {
            self.ask(after(last.offset));
        }
        taken
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use acurast_events::units::Timestamp;
    use acurast_relayer_journal::Attributes;

    const ALL: ReadLimits = ReadLimits { records_max: usize::MAX, bytes_max: usize::MAX };

    fn record(offset: u64, bytes: usize) -> LogRecord {
        LogRecord { offset: Offset(offset), key: vec![], value: vec![0; bytes], attributes: Attributes::default(), at: Timestamp(0) }
    }

    fn offsets(records: &[LogRecord]) -> Vec<u64> {
        records.iter().map(|record| record.offset.0).collect()
    }

    #[test]
    fn records_are_handed_out_again_until_room_is_needed() {
        let mut window = Window::new(Offset(5), Spacing::Dense);
        for offset in 5..9 {
            window.push(record(offset, BYTES_MAX / 4)).unwrap();
        }
        assert!(!window.has_room(), "nothing was read yet");
        assert_eq!(offsets(&window.take(Offset(5), ReadLimits { records_max: 2, bytes_max: usize::MAX })), [5, 6]);
        assert_eq!(offsets(&window.take(Offset(5), ALL)[..1]), [5]);
        assert!(window.has_room());
        assert!(!window.holds(Offset(5)) && window.holds(Offset(6)), "only as much goes as must");
        assert_eq!(offsets(&window.take(Offset(5), ALL)), [] as [u64; 0]);
        assert_eq!(offsets(&window.take(Offset(7), ALL)), [7, 8]);
    }

    #[test]
    fn one_record_above_the_bound_is_still_taken() {
        let mut window = Window::new(Offset(0), Spacing::Dense);
        assert!(window.has_room());
        window.push(record(0, BYTES_MAX + 1)).unwrap();
        assert!(!window.has_room());
        assert_eq!(window.take(Offset(0), ALL).len(), 1);
        assert!(window.has_room());
    }

    #[test]
    fn a_reader_ahead_of_the_window_does_not_wait_for_room() {
        let mut window = Window::new(Offset(0), Spacing::Dense);
        for offset in 0..4 {
            window.push(record(offset, BYTES_MAX / 4)).unwrap();
        }
        assert!(!window.has_room());
        window.ask(Offset(100));
        assert!(window.has_room());
    }

    #[test]
    fn a_hole_is_told() {
        let mut window = Window::new(Offset(3), Spacing::Dense);
        window.push(record(3, 1)).unwrap();
        assert_eq!(window.push(record(5, 1)), Err(Hole { expected: Offset(4), found: Offset(5) }));
        assert_eq!(window.next(), Offset(4));
    }

    #[test]
    fn a_sparse_log_has_holes_that_are_no_loss_and_a_reader_in_one_gets_what_follows() {
        let mut window = Window::new(Offset(3), Spacing::Sparse);
        for offset in [4, 5, 9] {
            window.push(record(offset, BYTES_MAX / 2)).unwrap();
        }
        assert_eq!(window.next(), Offset(10));
        for (from, expected) in [(3, &[4, 5, 9][..]), (5, &[5, 9]), (6, &[9]), (9, &[9]), (10, &[]), (2, &[])] {
            let mut window = Window { records: window.records.clone(), ..Window::new(Offset(3), Spacing::Sparse) };
            window.next = Offset(10);
            assert_eq!(offsets(&window.take(Offset(from), ALL)), expected, "from {from}");
        }
        window.ask(Offset(6));
        assert!(window.has_room());
        assert!(!window.holds(Offset(5)) && window.holds(Offset(6)), "what was dropped isn't held any more");
        assert_eq!(window.push(record(9, 1)), Err(Hole { expected: Offset(10), found: Offset(9) }), "it never goes back");
    }
}
