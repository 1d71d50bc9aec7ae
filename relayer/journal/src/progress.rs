//! `Progress`: how far a partition's owner took its inputs (R11). Event 1 of every authoritative topic, so that stores and
//! writers handle it without knowing the topic's events.

use acurast_events::bytes::Bytes;
use acurast_events::record::{InputPosition, InputRef, Progress, Record};
use acurast_events::units::{Count, Millis, Timestamp};
use acurast_events::wire::{Occurs, Wire, WireError, WireType, next_key};

const PROGRESS: u32 = 1;
/// At most this long between two Progress records while positions move (R11).
const INTERVAL: Millis = Millis(1_000);
/// At most this many inputs between two Progress records (R11).
const INPUTS_MAX: Count = Count(10_000);

/// `progress` as an event of any authoritative topic.
pub fn progress_event(progress: &Progress) -> Bytes {
    let mut bytes = Vec::new();
    Occurs::put(progress, PROGRESS, &mut bytes);
    Bytes(bytes)
}

/// The `Progress` that a record carries, merged if it has several.
///
/// # Errors
/// When an event isn't of the form of an event, or its Progress doesn't decode.
pub fn progress_of(record: &Record) -> Result<Option<Progress>, WireError> {
    let mut found: Option<Progress> = None;
    for event in &record.events {
        let mut buf = event.as_bytes();
        if let Some((PROGRESS, WireType::LengthDelimited)) = next_key(&mut buf)? {
            let progress = Progress::read(&mut buf)?;
            match &mut found {
                Some(sum) => merge_progress(sum, &progress),
                None => found = Some(progress),
            }
        }
    }
    Ok(found)
}

/// Takes the positions of `newer` into `sum`. A position never goes back: of two for one partition the higher stands.
pub fn merge_progress(sum: &mut Progress, newer: &Progress) {
    merge_positions(&mut sum.inputs, &newer.inputs);
    merge_positions(&mut sum.published, &newer.published);
}

fn merge_positions(sum: &mut Vec<InputPosition>, newer: &[InputPosition]) {
    for position in newer {
        match sum.iter_mut().find(|known| known.topic == position.topic && known.partition == position.partition) {
            Some(known) => known.next = known.next.max(position.next),
            None => sum.push(position.clone()),
        }
    }
    sum.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
}

/// Whether `input` lies before the positions of `progress`, so that no restart meets it again.
pub fn answered_before(progress: &Progress, input: &InputRef) -> bool {
    let mut same = progress.inputs.iter().filter(|known| known.topic == input.topic && known.partition == input.partition);
    same.any(|known| input.position < known.next)
}

/// When the next Progress is due: when positions moved, and a second or 10,000 inputs passed since the last one.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProgressPacer {
    last: Timestamp,
    inputs: u64,
}

impl ProgressPacer {
    /// Notes that `count` inputs were taken.
    pub fn took(&mut self, count: usize) {
        self.inputs = self.inputs.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Whether a Progress is due at `now`.
    pub fn due(&self, now: Timestamp) -> bool {
        self.inputs >= INPUTS_MAX.0 || (self.inputs > 0 && now.since(self.last) >= INTERVAL)
    }

    /// When a Progress is due if nothing else happens; nothing while positions stand still.
    pub fn due_at(&self) -> Option<Timestamp> {
        (self.inputs > 0).then(|| self.last.after(INTERVAL))
    }

    /// A Progress was recorded at `now`.
    pub fn recorded(&mut self, now: Timestamp) {
        *self = Self { last: now, inputs: 0 };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use acurast_events::jobs::JobsEvent;
    use acurast_events::lanes::LanesEvent;
    use acurast_events::source::SourceEvent;
    use acurast_events::units::Offset;
    use acurast_events::wire::Message;

    fn position(topic: &str, partition: u32, next: u64) -> InputPosition {
        InputPosition { topic: topic.into(), partition, next: Offset(next) }
    }

    fn progress(inputs: Vec<InputPosition>) -> Progress {
        Progress { inputs, published: Vec::new() }
    }

    #[test]
    fn progress_has_the_same_bytes_in_every_authoritative_topic() {
        let progress = progress(vec![position("acurast.outputs.v1", 3, 17)]);
        let bytes = progress_event(&progress).0;
        assert_eq!(JobsEvent::from(progress.clone()).encode(), bytes);
        assert_eq!(LanesEvent::from(progress.clone()).encode(), bytes);
        assert_eq!(SourceEvent::from(progress).encode(), bytes);
    }

    #[test]
    fn positions_of_several_inputs_merge_and_never_go_back() {
        let mut sum = progress(vec![position("b", 0, 5)]);
        merge_progress(&mut sum, &progress(vec![position("b", 0, 3), position("a", 1, 9)]));
        assert_eq!(sum, progress(vec![position("a", 1, 9), position("b", 0, 5)]));
    }

    #[test]
    fn a_progress_is_due_after_a_second_or_ten_thousand_inputs_but_not_while_nothing_moves() {
        let mut pacer = ProgressPacer::default();
        pacer.recorded(Timestamp(5_000));
        assert!(!pacer.due(Timestamp(60_000)));
        assert_eq!(pacer.due_at(), None);
        pacer.took(1);
        assert!(!pacer.due(Timestamp(5_999)));
        assert_eq!(pacer.due_at(), Some(Timestamp(6_000)));
        assert!(pacer.due(Timestamp(6_000)));
        pacer.took(9_999);
        assert!(pacer.due(Timestamp(5_001)));
    }
}
