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

/// Invariant: `records` have the offsets `next - len .. next`, without holes.
#[derive(Debug)]
pub(crate) struct Window {
    records: VecDeque<LogRecord>,
    bytes: usize,
    /// The offset of the record that comes next.
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
    pub(crate) fn new(next: Offset) -> Self {
        Self { records: VecDeque::new(), bytes: 0, next, read: next }
    }

    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    fn first(&self) -> Offset {
        Offset(self.next.0.saturating_sub(u64::try_from(self.records.len()).unwrap_or(u64::MAX)))
    }

    /// Whether the record at `from` is here.
    pub(crate) fn holds(&self, from: Offset) -> bool {
        self.first() <= from && from < self.next
    }

    /// Whether another record may be taken; drops what was read to make room.
    pub(crate) fn has_room(&mut self) -> bool {
        while self.is_full() {
            if self.first() >= self.read {
                return false;
            }
            if let Some(gone) = self.records.pop_front() {
                self.bytes = self.bytes.saturating_sub(gone.size_bytes());
            }
        }
        true
    }

    fn is_full(&self) -> bool {
        !self.records.is_empty() && (self.bytes >= BYTES_MAX || self.records.len() >= RECORDS_MAX)
    }

    /// Takes the next record.
    pub(crate) fn push(&mut self, record: LogRecord) -> Result<(), Hole> {
        if record.offset != self.next {
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
        let skip = usize::try_from(from.0.saturating_sub(self.first().0)).unwrap_or(usize::MAX);
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

    const ALL: ReadLimits = ReadLimits { records_max: usize::MAX, bytes_max: usize::MAX };

    fn record(offset: u64, bytes: usize) -> LogRecord {
        LogRecord { offset: Offset(offset), key: vec![], value: vec![0; bytes], attributes: vec![], at: Timestamp(0) }
    }

    fn offsets(records: &[LogRecord]) -> Vec<u64> {
        records.iter().map(|record| record.offset.0).collect()
    }

    #[test]
    fn records_are_handed_out_again_until_room_is_needed() {
        let mut window = Window::new(Offset(5));
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
        let mut window = Window::new(Offset(0));
        assert!(window.has_room());
        window.push(record(0, BYTES_MAX + 1)).unwrap();
        assert!(!window.has_room());
        assert_eq!(window.take(Offset(0), ALL).len(), 1);
        assert!(window.has_room());
    }

    #[test]
    fn a_reader_ahead_of_the_window_does_not_wait_for_room() {
        let mut window = Window::new(Offset(0));
        for offset in 0..4 {
            window.push(record(offset, BYTES_MAX / 4)).unwrap();
        }
        assert!(!window.has_room());
        window.ask(Offset(100));
        assert!(window.has_room());
    }

    #[test]
    fn a_hole_is_told() {
        let mut window = Window::new(Offset(3));
        window.push(record(3, 1)).unwrap();
        assert_eq!(window.push(record(5, 1)), Err(Hole { expected: Offset(4), found: Offset(5) }));
        assert_eq!(window.next(), Offset(4));
    }
}
