//! How far a partition's records were applied, with what a restart needs to go on exactly there.

use acurast_events::record::Progress;
use acurast_relayer_journal::Frontier;
use serde::{Deserialize, Serialize};

/// The applied position of a partition's fold. Written with the rows it belongs to, in one batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Just after the last applied record: next offset, term and writer, next sequence, hash, `at`.
    pub frontier: Frontier,
    /// The sum of all applied `Progress` records: where the owner goes on with each input, and what was published.
    pub progress: Progress,
}

impl Applied {
    /// Before any record.
    pub const NOTHING: Self = Self { frontier: Frontier::START, progress: Progress { inputs: Vec::new(), published: Vec::new() } };
}
