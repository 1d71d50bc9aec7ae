//! What an attester of this process signed, for ever, in a RocksDB of its own (PROTOCOL §4).
//!
//! Crash argument: leaves are synced before the signature leaves the process. Crash in between: the leaves are known and
//! unsigned; the same root is asked for again and gets the same answer.

use acurast_adapter_evm::attester::{MemoryError, SignedLeaves};
use acurast_events::bytes::AssignmentId;
use acurast_events::leaves::AssignmentLeaf;
use acurast_events::units::Bit;
use acurast_events::wire::Message;
use rocksdb::{DB, Direction, IteratorMode, Options, WriteBatch, WriteOptions};
use std::path::{Path, PathBuf};

const BY_ASSIGNMENT: u8 = b'a';
const BY_BIT: u8 = b'b';

/// Why the memory can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("attester memory {path}: {reason}; if it is lost, take a new attester key: never start an old key with an empty memory")]
pub struct AttesterMemoryError {
    path: PathBuf,
    reason: rocksdb::Error,
}

/// Signed leaves of one key and settlement contract.
pub struct AttesterMemory {
    db: DB,
}

impl AttesterMemory {
    /// Opens or makes the memory at `path`.
    ///
    /// # Errors
    /// When it can't be opened, also because another process has it.
    pub fn open(path: &Path) -> Result<Self, AttesterMemoryError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, path).map_err(|reason| AttesterMemoryError { path: path.to_owned(), reason })?;
        Ok(Self { db })
    }
}

fn assignment_key(assignment: &AssignmentId) -> Vec<u8> {
    [&[BY_ASSIGNMENT], assignment.as_bytes()].concat()
}

fn bit_key(bit: Bit) -> Vec<u8> {
    [&[BY_BIT], &bit.0.to_be_bytes()[..]].concat()
}

fn decode(bytes: &[u8]) -> Result<AssignmentLeaf, MemoryError> {
    AssignmentLeaf::decode(bytes).map_err(|error| MemoryError(error.to_string()))
}

impl SignedLeaves for AttesterMemory {
    fn of_assignment(&self, assignment: &AssignmentId) -> Result<Option<AssignmentLeaf>, MemoryError> {
        let found = self.db.get_pinned(assignment_key(assignment)).map_err(|error| MemoryError(error.to_string()))?;
        found.map(|bytes| decode(&bytes)).transpose()
    }

    fn last_from(&self, bit: Bit) -> Result<Option<AssignmentLeaf>, MemoryError> {
        let key = bit_key(bit);
        let Some(entry) = self.db.iterator(IteratorMode::From(&key, Direction::Reverse)).next() else { return Ok(None) };
        let (key, value) = entry.map_err(|error| MemoryError(error.to_string()))?;
        if key.first() == Some(&BY_BIT) { decode(&value).map(Some) } else { Ok(None) }
    }

    fn insert(&self, leaves: &[AssignmentLeaf]) -> Result<(), MemoryError> {
        let mut batch = WriteBatch::default();
        for leaf in leaves {
            let value = leaf.encode();
            batch.put(assignment_key(&leaf.assignment_id), &value);
            batch.put(bit_key(leaf.bit), &value);
        }
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).map_err(|error| MemoryError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use acurast_events::bytes::{EscrowId, SignerKey};
    use acurast_events::leaves::{JobNumber, KeyType};
    use acurast_events::units::{Count, Execution, Timestamp};

    fn leaf(assignment: u8, bit: u64) -> AssignmentLeaf {
        AssignmentLeaf {
            assignment_id: AssignmentId([assignment; 32]),
            escrow_id: EscrowId([9; 32]),
            job_number: JobNumber(1),
            key_type: KeyType::Secp256k1,
            signer_key: SignerKey([3; 32]),
            first_execution: Execution(0),
            executions: Count(3),
            not_after: Timestamp(10),
            bit: Bit(bit),
        }
    }

    #[test]
    fn what_was_signed_is_known_after_a_restart_by_assignment_and_by_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        let memory = AttesterMemory::open(&path).unwrap();
        assert_eq!(memory.last_from(Bit(100)).unwrap(), None);
        memory.insert(&[leaf(1, 0), leaf(2, 4)]).unwrap();
        drop(memory);
        let memory = AttesterMemory::open(&path).unwrap();
        assert_eq!(memory.of_assignment(&AssignmentId([2; 32])).unwrap(), Some(leaf(2, 4)));
        assert_eq!(memory.of_assignment(&AssignmentId([3; 32])).unwrap(), None);
        assert_eq!(memory.last_from(Bit(3)).unwrap(), Some(leaf(1, 0)));
        assert_eq!(memory.last_from(Bit(4)).unwrap(), Some(leaf(2, 4)));
        assert_eq!(memory.last_from(Bit(u64::MAX)).unwrap(), Some(leaf(2, 4)));
    }
}
