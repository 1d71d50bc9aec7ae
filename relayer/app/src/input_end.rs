//! Whether an authoritative input still holds what was taken from it (R11).

use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;
use acurast_relayer_journal::PartitionReader;

/// An input topic lost what was taken from it: nothing that it holds now can be trusted to be the same. Refuse to go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: ends at record {end}, but records below {taken} were taken from it; the topic lost records, restore it")]
pub struct InputLost {
    /// The topic's partition.
    at: TopicPartition,
    /// Its next sequence.
    end: u64,
    /// The next sequence that was to be taken.
    taken: u64,
}

/// Checks a reader that has caught up with its log against the next position to take.
///
/// # Errors
/// [`InputLost`] when the log ends before it.
pub fn check_end(reader: &PartitionReader, caught_up: bool, taken: Offset) -> Result<(), InputLost> {
    let end = reader.frontier().next_sequence.0;
    if caught_up && end < taken.0 { Err(InputLost { at: reader.partition().clone(), end, taken: taken.0 }) } else { Ok(()) }
}
