//! `StateDigest`: what an owner's fold came to (PROTOCOL §10). Event 64 of every authoritative topic, so that stores compare
//! it without knowing the topic's events.

use acurast_events::bytes::Bytes;
use acurast_events::record::{Record, StateDigest};
use acurast_events::units::{Count, Millis, Timestamp};
use acurast_events::wire::{Occurs, Wire, WireError, WireType, next_key};

const STATE_DIGEST: u32 = 64;
/// At most this long between two digests while the state changes.
const INTERVAL: Millis = Millis(60_000);
/// At most this many records between two digests.
const RECORDS_MAX: Count = Count(10_000);

/// `digest` as an event of any authoritative topic. It goes into a record of its own, with an empty subject.
pub fn state_digest_event(digest: &StateDigest) -> Bytes {
    let mut bytes = Vec::new();
    Occurs::put(digest, STATE_DIGEST, &mut bytes);
    Bytes(bytes)
}

/// The `StateDigest` that a record carries.
///
/// # Errors
/// When an event isn't of the form of an event, when the digest doesn't decode, or when there are several.
pub fn state_digest_of(record: &Record) -> Result<Option<StateDigest>, WireError> {
    let mut found = None;
    for event in &record.events {
        let mut buf = event.as_bytes();
        if let Some((STATE_DIGEST, WireType::LengthDelimited)) = next_key(&mut buf)? {
            let digest = StateDigest::read(&mut buf)?;
            if found.replace(digest).is_some() {
                return Err(WireError::Malformed("two state digests in one record".into()));
            }
        }
    }
    Ok(found)
}

/// When the next digest is due: when the state changed, and a minute or 10,000 records passed since the last one.
#[derive(Debug, Clone, Copy, Default)]
pub struct DigestPacer {
    last: Timestamp,
    records: u64,
}

impl DigestPacer {
    /// Notes that `count` records were folded that change the state.
    pub fn took(&mut self, count: usize) {
        self.records = self.records.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Whether a digest is due at `now`.
    pub fn due(&self, now: Timestamp) -> bool {
        self.records >= RECORDS_MAX.0 || (self.records > 0 && now.since(self.last) >= INTERVAL)
    }

    /// A digest was recorded at `now`.
    pub fn recorded(&mut self, now: Timestamp) {
        *self = Self { last: now, records: 0 };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::progress::progress_event;
    use acurast_events::bytes::{RecordHash, StateHash, WriterId};
    use acurast_events::jobs::JobsEvent;
    use acurast_events::lanes::LanesEvent;
    use acurast_events::record::Progress;
    use acurast_events::source::SourceEvent;
    use acurast_events::units::{Sequence, Term};
    use acurast_events::wire::Message;

    fn digest(sequence: u64) -> StateDigest {
        StateDigest { sequence: Sequence(sequence), digest: StateHash([7; 32]), schema: 2 }
    }

    fn record(events: Vec<Bytes>) -> Record {
        Record {
            term: Term(1),
            writer: WriterId([1; 16]),
            sequence: Sequence(9),
            previous: RecordHash::ZERO,
            at: Timestamp(0),
            input: None,
            subject: Bytes::default(),
            traceparent: None,
            events,
        }
    }

    #[test]
    fn a_state_digest_has_the_same_bytes_in_every_authoritative_topic() {
        let bytes = state_digest_event(&digest(9)).0;
        assert_eq!(JobsEvent::from(digest(9)).encode(), bytes);
        assert_eq!(LanesEvent::from(digest(9)).encode(), bytes);
        assert_eq!(SourceEvent::from(digest(9)).encode(), bytes);
    }

    #[test]
    fn a_record_s_digest_is_found_among_other_events_and_two_of_them_are_refused() {
        let progress = progress_event(&Progress { inputs: Vec::new(), published: Vec::new() });
        let event = state_digest_event(&digest(9));
        assert_eq!(state_digest_of(&record(vec![progress.clone()])), Ok(None));
        assert_eq!(state_digest_of(&record(vec![progress, event.clone()])), Ok(Some(digest(9))));
        assert!(state_digest_of(&record(vec![event.clone(), event.clone()])).is_err());
        let mut cut = event;
        cut.0.pop();
        assert!(state_digest_of(&record(vec![cut])).is_err());
    }

    #[test]
    fn a_digest_is_due_after_a_minute_or_ten_thousand_records_but_not_while_the_state_stands_still() {
        let mut pacer = DigestPacer::default();
        pacer.recorded(Timestamp(5_000));
        assert!(!pacer.due(Timestamp(900_000)));
        pacer.took(1);
        assert!(!pacer.due(Timestamp(64_999)));
        assert!(pacer.due(Timestamp(65_000)));
        pacer.took(9_999);
        assert!(pacer.due(Timestamp(5_001)));
    }
}
