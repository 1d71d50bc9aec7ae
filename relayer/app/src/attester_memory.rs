//! What an attester of this process signed, for ever, in a RocksDB of its own (PROTOCOL §4).
//!
//! A memory that was lost, or that is older than the key's last signature, is made whole from the lanes' partitions before
//! the attester is asked again (`recall`): with it goes, per partition, how far that was done.
//!
//! Crash argument: leaves are synced before the signature leaves the process. Crash in between: the leaves are known and
//! unsigned; the same root is asked for again and gets the same answer.

use acurast_adapter_evm::attester::{MemoryError, SignedLeaves};
use acurast_events::bytes::{AssignmentId, Bytes};
use acurast_events::caip::ChainId;
use acurast_events::lanes::LaneOpened;
use acurast_events::leaves::AssignmentLeaf;
use acurast_events::topics::TopicPartition;
use acurast_events::units::Bit;
use acurast_events::wire::Message;
use acurast_relayer_journal::Frontier;
use rocksdb::{DB, Direction, IteratorMode, Options, WriteBatch, WriteOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const BY_ASSIGNMENT: u8 = b'a';
const BY_BIT: u8 = b'b';
const FRONTIERS: u8 = b'f';

/// Why the memory can't be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "attester memory {path}: {reason}; if it is damaged, remove it: it is made anew from lanes.v1. Without that journal take a new attester key"
)]
pub struct AttesterMemoryError {
    path: PathBuf,
    reason: rocksdb::Error,
}

/// Why leaves of a lane's records can't be taken into the memory.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// It can't be read or written.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// It has signed something else.
    #[error(
        "lanes.v1 has a leaf of assignment {0} that contradicts what this attester key signed before; another journal used the \
         key, or the journal is not the one of this memory. Take a new attester key, which the contract has to know"
    )]
    Contradiction(AssignmentId),
}

/// Signed leaves of one key and settlement contract.
pub struct AttesterMemory {
    db: DB,
    chain: ChainId,
    settlement: Bytes,
    /// Held from a look at what is known until what follows from it is written: the lanes of a replica recall the same partitions
    /// side by side, while the attester signs.
    writing: Mutex<()>,
}

impl AttesterMemory {
    /// Opens or makes the memory at `path`, of a key for this contract.
    ///
    /// # Errors
    /// When it can't be opened, also because another process has it.
    pub fn open(path: &Path, chain: ChainId, settlement: Bytes) -> Result<Self, AttesterMemoryError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, path).map_err(|reason| AttesterMemoryError { path: path.to_owned(), reason })?;
        Ok(Self { db, chain, settlement, writing: Mutex::new(()) })
    }

    /// Whether a lane's leaves are for this memory's contract.
    pub fn concerns(&self, lane: &LaneOpened) -> bool {
        let of_chain = lane.lane.as_str().strip_prefix(self.chain.as_str()).is_some_and(|account| account.starts_with(':'));
        of_chain && lane.settlement == self.settlement
    }

    /// How far a partition of `lanes.v1` was recalled; the start if it never was.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn recalled(&self, at: &TopicPartition) -> Result<Frontier, MemoryError> {
        let found = self.db.get(frontier_key(at)).map_err(|error| MemoryError(error.to_string()))?;
        found.map_or(Ok(Frontier::START), |bytes| postcard::from_bytes(&bytes).map_err(|error| MemoryError(error.to_string())))
    }

    /// Takes leaves of a partition's records up to `frontier` in, all or none: as if they had been signed, since they may
    /// have been.
    ///
    /// # Errors
    /// [`LearnError::Contradiction`] when a leaf differs from one of its assignment, or overlaps another one's bits.
    pub fn learn(&self, at: &TopicPartition, leaves: &[AssignmentLeaf], frontier: Frontier) -> Result<(), LearnError> {
        let _alone = self.alone();
        let mut batch = WriteBatch::default();
        self.unknown(leaves)?.into_iter().for_each(|leaf| put(&mut batch, leaf));
        // One batch: how far it was recalled never goes beyond what is known. Another lane may have recalled further meanwhile;
        // then the rest is learned once more.
        batch.put(frontier_key(at), postcard::to_stdvec(&frontier).map_err(|error| MemoryError(error.to_string()))?);
        Ok(self.write(batch)?)
    }

    // No code panics while it holds the lock, and it guards no state of its own.
    fn alone(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the leaves that aren't known, in order of their bits. To be called alone.
    fn unknown<'a>(&self, leaves: &'a [AssignmentLeaf]) -> Result<Vec<&'a AssignmentLeaf>, LearnError> {
        let mut new: BTreeMap<AssignmentId, &AssignmentLeaf> = BTreeMap::new();
        for leaf in leaves {
            let contradiction = || LearnError::Contradiction(leaf.assignment_id);
            match self.of_assignment(&leaf.assignment_id)? {
                Some(signed) if signed == *leaf => continue,
                Some(_) => return Err(contradiction()),
                None => {}
            }
            let last = leaf.share_bit().ok_or_else(contradiction)?;
            if self.last_from(last)?.is_some_and(|before| before.share_bit().is_none_or(|taken| taken >= leaf.bit))
                || new.insert(leaf.assignment_id, leaf).is_some_and(|before| before != leaf)
            {
                return Err(contradiction());
            }
        }
        let mut by_bit: Vec<_> = new.into_values().collect();
        by_bit.sort_unstable_by_key(|leaf| leaf.bit);
        for pair in by_bit.windows(2) {
            if let [before, leaf] = pair
                && before.share_bit().is_none_or(|taken| taken >= leaf.bit)
            {
                return Err(LearnError::Contradiction(leaf.assignment_id));
            }
        }
        Ok(by_bit)
    }

    fn write(&self, batch: WriteBatch) -> Result<(), MemoryError> {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).map_err(|error| MemoryError(error.to_string()))
    }
}

fn put(batch: &mut WriteBatch, leaf: &AssignmentLeaf) {
    let value = leaf.encode();
    batch.put(assignment_key(&leaf.assignment_id), &value);
    batch.put(bit_key(leaf.bit), &value);
}

fn frontier_key(at: &TopicPartition) -> Vec<u8> {
    [&[FRONTIERS], &at.partition.to_be_bytes()[..], at.topic.as_str().as_bytes()].concat()
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
        let _alone = self.alone();
        // What the attester saw before it decided may not be all any more.
        let new = self.unknown(leaves).map_err(|error| MemoryError(error.to_string()))?;
        let mut batch = WriteBatch::default();
        new.into_iter().for_each(|leaf| put(&mut batch, leaf));
        self.write(batch)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use acurast_events::bytes::{EscrowId, SignerKey};
    use acurast_events::leaves::{JobNumber, KeyType};
    use acurast_events::topics::TopicName;
    use acurast_events::units::{Count, Execution, Timestamp};
    use std::sync::Barrier;

    fn open(path: &Path) -> AttesterMemory {
        AttesterMemory::open(path, ChainId::evm(31337), Bytes(vec![5; 20])).unwrap()
    }

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
        let memory = open(&path);
        assert_eq!(memory.last_from(Bit(100)).unwrap(), None);
        memory.insert(&[leaf(1, 0), leaf(2, 4)]).unwrap();
        drop(memory);
        let memory = open(&path);
        assert_eq!(memory.of_assignment(&AssignmentId([2; 32])).unwrap(), Some(leaf(2, 4)));
        assert_eq!(memory.of_assignment(&AssignmentId([3; 32])).unwrap(), None);
        assert_eq!(memory.last_from(Bit(3)).unwrap(), Some(leaf(1, 0)));
        assert_eq!(memory.last_from(Bit(4)).unwrap(), Some(leaf(2, 4)));
        assert_eq!(memory.last_from(Bit(u64::MAX)).unwrap(), Some(leaf(2, 4)));
    }

    #[test]
    fn leaves_of_a_lane_are_learned_once_with_how_far_it_was_read_and_what_contradicts_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = acurast_events::topics::TopicName::new("acurast.lanes.v1").partition(3);
        let path = folder.path().join("memory");
        let memory = open(&path);
        let frontier = Frontier { next_offset: acurast_events::units::Offset(7), ..Frontier::START };
        memory.insert(&[leaf(1, 0)]).unwrap();
        memory.learn(&at, &[leaf(1, 0), leaf(2, 4)], frontier).unwrap();
        // Another bit for the same assignment, the same bits for another one, the last bit of one that is there.
        for wrong in [leaf(2, 100), leaf(3, 4), leaf(3, 7), leaf(3, u64::MAX)] {
            let refused = memory.learn(&at, &[leaf(4, 200), wrong], Frontier::START);
            assert!(matches!(refused, Err(LearnError::Contradiction(_))));
            assert_eq!(memory.of_assignment(&AssignmentId([4; 32])).unwrap(), None, "nothing of it was taken");
        }
        for wrong in [[leaf(5, 300), leaf(6, 303)], [leaf(5, 300), leaf(5, 400)]] {
            assert!(memory.learn(&at, &wrong, Frontier::START).is_err(), "two that contradict each other");
        }
        drop(memory);
        let memory = open(&path);
        assert_eq!(memory.of_assignment(&AssignmentId([2; 32])).unwrap(), Some(leaf(2, 4)));
        assert_eq!(memory.recalled(&at).unwrap(), frontier);
        assert_eq!(memory.recalled(&at.topic.partition(0)).unwrap(), Frontier::START);
    }

    #[test]
    fn lanes_that_recall_the_same_records_side_by_side_contradict_nothing() {
        const LANES: u8 = 4;
        let folder = tempfile::tempdir().unwrap();
        let memory = open(&folder.path().join("memory"));
        let at = TopicName::new("acurast.lanes.v1").partition(2);
        for round in 0..20 {
            let leaves: Vec<_> = (0..10).map(|n| leaf(round * 10 + n, u64::from(round * 10 + n) * 10)).collect();
            let together = Barrier::new(LANES.into());
            std::thread::scope(|scope| {
                let recall = || {
                    together.wait();
                    memory.learn(&at, &leaves, Frontier::START)
                };
                let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(recall)).collect();
                for lane in lanes {
                    lane.join().unwrap().unwrap();
                }
            });
        }
        assert_eq!(memory.of_assignment(&AssignmentId([199; 32])).unwrap(), Some(leaf(199, 1990)));
    }

    #[test]
    fn what_was_learned_since_the_attester_looked_is_not_signed_against() {
        let folder = tempfile::tempdir().unwrap();
        let memory = open(&folder.path().join("memory"));
        let at = TopicName::new("acurast.lanes.v1").partition(0);
        memory.learn(&at, &[leaf(1, 0)], Frontier::START).unwrap();
        memory.insert(&[leaf(1, 0), leaf(2, 10)]).unwrap();
        for contradicting in [leaf(1, 50), leaf(3, 0)] {
            let leaves = [contradicting];
            memory.insert(&leaves).unwrap_err();
            memory.learn(&at, &leaves, Frontier::START).unwrap_err();
        }
    }
}
