//! What an aggregate already took of each input partition, so that a re-delivered input changes nothing (R11).
//!
//! Inputs of one partition come in order. An aggregate remembers the last position that it answered and which inputs of
//! that position (a record can carry several). Whatever lies before, or is among them, was taken.

use acurast_events::bytes::EventId;
use acurast_events::ids::sha256;
use acurast_events::record::InputRef;
use acurast_events::units::Offset;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A topic partition, by eight bytes of the hash of its name: full names would outweigh a job's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct TopicTag([u8; 8]);

impl TopicTag {
    fn of(input: &InputRef) -> Self {
        let hash = sha256(&[input.topic.as_bytes(), &[0], &input.partition.to_be_bytes()]);
        let mut tag = [0; 8];
        for (to, from) in tag.iter_mut().zip(hash) {
            *to = from;
        }
        Self(tag)
    }
}

/// The last position that was answered, and the inputs at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    position: Offset,
    ids: Vec<EventId>,
}

/// Marks of all input partitions that an aggregate took something from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    marks: BTreeMap<TopicTag, Mark>,
}

impl Heard {
    /// Whether the input was answered before.
    pub(crate) fn has(&self, input: &InputRef) -> bool {
        self.marks
            .get(&TopicTag::of(input))
            .is_some_and(|mark| input.position < mark.position || (input.position == mark.position && mark.ids.contains(&input.id)))
    }

    /// Remembers the input as answered.
    pub(crate) fn note(&mut self, input: &InputRef) {
        let mark = self.marks.entry(TopicTag::of(input)).or_insert_with(|| Mark { position: input.position, ids: Vec::new() });
        if mark.position < input.position {
            mark.position = input.position;
            mark.ids.clear();
        }
        if mark.position == input.position && !mark.ids.contains(&input.id) {
            mark.ids.push(input.id);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn input(topic: &str, position: u64, id: u8) -> InputRef {
        InputRef { topic: topic.into(), partition: 0, position: Offset(position), id: EventId([id; 32]) }
    }

    #[test]
    fn an_input_counts_once_and_what_lies_before_it_never_again() {
        let mut heard = Heard::default();
        heard.note(&input("a", 5, 1));
        assert!(heard.has(&input("a", 5, 1)) && heard.has(&input("a", 4, 9)));
        assert!(!heard.has(&input("a", 5, 2)), "another input of the same record");
        assert!(!heard.has(&input("b", 1, 1)), "another topic");
        heard.note(&input("a", 5, 2));
        heard.note(&input("a", 6, 3));
        assert!(heard.has(&input("a", 5, 2)) && !heard.has(&input("a", 6, 2)));
    }
}
