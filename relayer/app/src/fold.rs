//! A partition's state as a fold of its accepted records: the same code at work, in a follower, at a takeover and in a replay.

use crate::owned::OwnedError;
use acurast_events::topics::TopicPartition;
use acurast_relayer_journal::AcceptedRecord;
use acurast_relayer_store::{PartitionStore, Row, digest_runs};

/// The state of a partition, record by record.
pub trait Fold {
    /// Takes one accepted record.
    ///
    /// # Errors
    /// Why it can't be folded.
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String>;

    /// Rows that changed since the last call.
    ///
    /// # Errors
    /// When a value can't be encoded.
    fn rows(&mut self) -> Result<Vec<Row>, String>;

    /// Whether a reader of this partition may begin after what was folded so far: no block is in the making.
    fn is_whole(&self) -> bool {
        true
    }
}

/// Folds records that were read, and stores what they change with their position. Split at state digests, each of which is
/// compared with the fold as it stands before it.
///
/// # Errors
/// When a record doesn't fold, the digests differ, or the store fails.
pub fn fold_into(store: &mut PartitionStore, state: &mut (dyn Fold + Send), records: Vec<AcceptedRecord>) -> Result<(), OwnedError> {
    for run in digest_runs(records) {
        let rows = fold_all(store.partition(), state, &run)?;
        store.commit(&run, rows, state.is_whole())?;
    }
    Ok(())
}

fn fold_error(at: &TopicPartition, record: &AcceptedRecord, reason: String) -> OwnedError {
    OwnedError::Fold { at: at.clone(), sequence: record.record.sequence.0, reason }
}

/// Folds records and returns the rows that they change. A Progress or a state digest is passed over: it is no state, and a
/// batch of nothing else changes no row, so that the same log gives the same rows however it was batched.
///
/// # Errors
/// [`OwnedError::Fold`].
pub fn fold_all(at: &TopicPartition, state: &mut (dyn Fold + Send), records: &[AcceptedRecord]) -> Result<Vec<Row>, OwnedError> {
    let mut folded = None;
    for record in records.iter().filter(|record| !record.record.subject.0.is_empty()) {
        state.fold(record).map_err(|reason| fold_error(at, record, reason))?;
        folded = Some(record);
    }
    folded.map_or(Ok(Vec::new()), |last| state.rows().map_err(|reason| fold_error(at, last, reason)))
}
