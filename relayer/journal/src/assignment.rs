//! Which partitions a replica should own, where several replicas share them out. Advice: who owns a partition is decided by the
//! claims in its log and nothing else (R12).

use acurast_events::topics::TopicPartition;
use std::collections::BTreeSet;

/// What this replica should own now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// Grows with every change and every re-assignment, also to the same partitions: what was lost meanwhile may have been
    /// another's.
    pub generation: u64,
    /// The partitions. Once all replicas have settled, no two have the same one.
    pub partitions: BTreeSet<TopicPartition>,
}
