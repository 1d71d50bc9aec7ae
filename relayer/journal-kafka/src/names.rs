//! Partition and offset numbers: ours are unsigned, the client library's are signed.

use acurast_events::topics::TopicPartition;
use acurast_events::units::Offset;

/// The partition's number as the client library wants it; nothing when no topic can have it.
pub(crate) fn partition_number(at: &TopicPartition) -> Option<i32> {
    i32::try_from(at.partition).ok()
}

/// An offset that the client library gave; nothing for its negative special values.
pub(crate) fn offset(raw: i64) -> Option<Offset> {
    u64::try_from(raw).ok().map(Offset)
}

/// The offset after `offset`; the last one stays, it can't be reached.
pub(crate) fn after(offset: Offset) -> Offset {
    Offset(offset.0.saturating_add(1))
}

/// The offsets, if each is beyond the one before.
pub(crate) fn offset_order(offsets: &[Option<Offset>]) -> Option<Vec<Offset>> {
    let offsets: Vec<Offset> = offsets.iter().copied().collect::<Option<_>>()?;
    offsets.is_sorted_by(|one, next| one < next).then_some(offsets)
}
