//! An attester in this process: derives every leaf of a root anew from its own Acurast node, and only then signs (PROTOCOL §4).
//!
//! Nothing of what it is asked to sign is believed: ids, key, executions and deadline are computed from the registration
//! and the match at the pinned finalized block, owner and target from the escrow account, and the root from the leaves.
//! What it signed once it remembers for ever: never two leaves of one assignment that differ, never overlapping bits.
//!
//! Crash argument: the leaves are durable before the signature exists. A crash in between leaves leaves that were never
//! signed, and the same root asked for again matches them and is signed.

use crate::rules::EvmRules;
use crate::signer::Signer;
use acurast_adapter_api::oracle::LeafClaim;
use acurast_adapter_api::{
    AssignmentOracle, AttestedAssignment, Attester, AttesterError, DestinationRules, EscrowHolder, EscrowOracle, OracleError,
};
use acurast_events::bytes::{AssignmentId, BlockHash, Bytes, EvmAddress, Genesis, MerkleNode};
use acurast_events::caip::ChainId;
use acurast_events::eip712::{RootStatement, domain_separator, root_struct_hash};
use acurast_events::ids::{assignment_id, dest_id, job_key, owner_key};
use acurast_events::leaves::{AssignmentLeaf, JobNumber};
use acurast_events::merkle::MerkleTree;
use acurast_events::units::{Bit, Execution, Millis, Timestamp};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why the memory of signed leaves can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the memory of signed leaves failed: {0}")]
pub struct MemoryError(pub String);

/// What an attester signed, for ever: one memory per key and settlement contract.
///
/// The leaves in it never overlap, so that the last one that starts at or before a bit is the only one that can cover it.
pub trait SignedLeaves: Send + Sync {
    /// The leaf of this assignment.
    ///
    /// # Errors
    /// When it can't be read.
    fn of_assignment(&self, assignment: &AssignmentId) -> Result<Option<AssignmentLeaf>, MemoryError>;
    /// The leaf with the largest first bit that is at most `bit`.
    ///
    /// # Errors
    /// When it can't be read.
    fn last_from(&self, bit: Bit) -> Result<Option<AssignmentLeaf>, MemoryError>;
    /// Keeps all of these leaves or none. Durable when it returns: the signature follows.
    ///
    /// # Errors
    /// When they are not durable, or contradict what was kept since it was asked.
    fn insert(&self, leaves: &[AssignmentLeaf]) -> Result<(), MemoryError>;
}

/// What an attester holds to be true without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttesterConfig {
    /// The destination's EIP-155 id.
    pub chain_id: u64,
    /// The settlement contract.
    pub settlement: EvmAddress,
    /// Genesis of the Acurast chain.
    pub genesis: Genesis,
    /// The deadlines after the last window that destinations may have; a leaf with another one is refused.
    pub deadlines: BTreeSet<Millis>,
}

/// An attester of this process; its key is here or with a remote signer.
pub struct LocalAttester {
    config: AttesterConfig,
    key: Signer,
    assignments: Arc<dyn AssignmentOracle>,
    escrows: Arc<dyn EscrowOracle>,
    memory: Arc<dyn SignedLeaves>,
    /// Leaves that were found right at a source block: a root whose last leaf could not be read is not derived from its
    /// first one again. A block that is pruned meanwhile does no harm to them either.
    derived: Mutex<BTreeSet<(BlockHash, MerkleNode)>>,
    /// One root at a time between looking into the memory and writing to it.
    signing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for LocalAttester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalAttester").field("config", &self.config).field("key", &self.key).finish_non_exhaustive()
    }
}

fn refused<T>(leaf: usize, reason: impl Into<String>) -> Result<T, AttesterError> {
    Err(AttesterError::Refused { leaf, reason: reason.into() })
}

/// The last bit of a leaf: that of its root share.
fn last_bit(index: usize, leaf: &AssignmentLeaf) -> Result<Bit, AttesterError> {
    leaf.share_bit().map_or_else(|| refused(index, "its bits exceed the bitmap"), Ok)
}

/// Does the statement say exactly what the leaves add up to? A fault of the root as a whole names the index past the last leaf.
fn check_statement(statement: &RootStatement, leaves: &[LeafClaim]) -> Result<(), AttesterError> {
    let whole = leaves.len();
    if u32::try_from(leaves.len()) != Ok(statement.leaves) {
        return refused(whole, format!("the statement counts {} leaves, there are {whole}", statement.leaves));
    }
    let hashes: Vec<_> = leaves.iter().map(|claim| claim.leaf.hash()).collect();
    let tree = MerkleTree::new(&hashes).or_else(|error| refused(whole, error.to_string()))?;
    if tree.root() != statement.root {
        return refused(whole, format!("the leaves' root is {}, the statement's {}", tree.root(), statement.root));
    }
    let locked = leaves.iter().map(|claim| claim.leaf.not_after).max().unwrap_or(Timestamp(0));
    if locked != statement.locked_until {
        return refused(whole, format!("the largest notAfter is {locked}, lockedUntil {}", statement.locked_until));
    }
    for (index, pair) in leaves.windows(2).enumerate() {
        if let [a, b] = pair
            && (a.leaf.escrow_id, a.leaf.bit) >= (b.leaf.escrow_id, b.leaf.bit)
        {
            return refused(index.saturating_add(1), "leaves are not in the order of escrow account and bit");
        }
    }
    let mut seen = BTreeSet::new();
    if let Some(index) = leaves.iter().position(|claim| !seen.insert(claim.leaf.assignment_id)) {
        return refused(index, "two leaves of one assignment in one root");
    }
    check_bits(statement, leaves)
}

/// Bits lie in the range of the root's lane and overlap nowhere.
fn check_bits(statement: &RootStatement, leaves: &[LeafClaim]) -> Result<(), AttesterError> {
    let lane = statement.batch.lane();
    let mut spans = Vec::with_capacity(leaves.len());
    for (index, claim) in leaves.iter().enumerate() {
        let (first, last) = (claim.leaf.bit, last_bit(index, &claim.leaf)?);
        if [first, last].iter().any(|bit| bit.0 >> BITS_OF_COUNTER != lane) {
            return refused(index, format!("bits {first} to {last} are not of lane {lane}"));
        }
        spans.push((first, last, index));
    }
    spans.sort_unstable();
    for pair in spans.windows(2) {
        if let [(_, last, _), (first, _, index)] = pair
            && first <= last
        {
            return refused(*index, "its bits overlap another leaf's of this root");
        }
    }
    Ok(())
}

/// Leaves that were found right and are kept; beyond that all are derived anew.
const DERIVED_KEPT: usize = 4_096;

/// Bits are lane number u16 ‖ counter u48 (PROTOCOL §4).
const BITS_OF_COUNTER: u32 = 48;

impl LocalAttester {
    /// An attester that asks these oracles and remembers in `memory`.
    pub fn new(
        config: AttesterConfig,
        key: impl Into<Signer>,
        assignments: Arc<dyn AssignmentOracle>,
        escrows: Arc<dyn EscrowOracle>,
        memory: Arc<dyn SignedLeaves>,
    ) -> Self {
        Self { config, key: key.into(), assignments, escrows, memory, derived: Mutex::default(), signing: tokio::sync::Mutex::new(()) }
    }

    /// The address that the contract has to know as an attester.
    pub fn address(&self) -> EvmAddress {
        self.key.address()
    }

    /// Every leaf that this assignment can have, one per accepted deadline, with the bit as claimed.
    fn derive(
        &self,
        index: usize,
        claim: &LeafClaim,
        found: &AttestedAssignment,
        holder: &EscrowHolder,
    ) -> Result<Vec<AssignmentLeaf>, AttesterError> {
        let slot = &found.slot;
        let key = EvmRules { chain_id: self.config.chain_id }
            .choose_key(&found.keys)
            .map_or_else(|| refused(index, "the processor showed no key that signs for this destination"), Ok)?;
        let schedule = &found.registration.schedule;
        let span = schedule.span(slot.execution).map_or_else(|| refused(index, "the schedule has no such execution"), Ok)?;
        let dest = dest_id(&ChainId::evm(self.config.chain_id), &self.config.settlement.0, &holder.target.0);
        let job = job_key(&self.config.genesis, &claim.job);
        let leaf = |not_after| AssignmentLeaf {
            assignment_id: assignment_id(&job, &claim.processor, &dest, slot.execution.unwrap_or(Execution::ALL)),
            escrow_id: claim.leaf.escrow_id,
            job_number: JobNumber(claim.job.number),
            key_type: key.key_type,
            signer_key: key.signer_key,
            first_execution: span.first,
            executions: span.count,
            not_after,
            bit: claim.leaf.bit,
        };
        let deadlines = self.config.deadlines.iter();
        Ok(deadlines.filter_map(|deadline| schedule.not_after(&span, slot.start_delay, *deadline)).map(leaf).collect())
    }

    async fn check_leaf(&self, index: usize, statement: &RootStatement, claim: &LeafClaim) -> Result<(), AttesterError> {
        if claim.settlement.0 != self.config.settlement.0 {
            return refused(index, format!("settlement contract {}, this attester is for {}", claim.settlement, self.config.settlement));
        }
        let found = self.assignments.assignment(statement.source_block_hash, &claim.job, &claim.processor).await.map_err(unavailable)?;
        let Some(found) = found else {
            return refused(index, format!("no assignment of {} to {} at block {}", claim.job, claim.processor, statement.source_block));
        };
        if !found.acknowledged {
            return refused(index, "the processor has not acknowledged");
        }
        let holder = self.escrows.escrow_holder(&claim.leaf.escrow_id).await.map_err(unavailable)?;
        let Some(holder) = holder else {
            // Perhaps not final on our node yet, so this is no refusal for good.
            return Err(AttesterError::Unavailable(format!("no escrow account {} at finality", claim.leaf.escrow_id)));
        };
        let owner = owner_key(&self.config.genesis, &claim.job.origin);
        if holder.owner != owner {
            return refused(
                index,
                format!("escrow account {} pays for owner {}, the job's is {owner}", claim.leaf.escrow_id, holder.owner),
            );
        }
        let derived = self.derive(index, claim, &found, &holder)?;
        if derived.contains(&claim.leaf) {
            return Ok(());
        }
        refused(index, derived.first().map_or_else(|| "its deadline leaves the calendar".into(), |leaf| difference(&claim.leaf, leaf)))
    }

    fn found_right(&self) -> MutexGuard<'_, BTreeSet<(BlockHash, MerkleNode)>> {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, leaf: (BlockHash, MerkleNode)) {
        let mut derived = self.found_right();
        if derived.len() >= DERIVED_KEPT {
            derived.clear();
        }
        derived.insert(leaf);
    }

    /// Never two leaves of one assignment that differ, never overlapping bits, in all that was ever signed.
    fn check_memory(&self, leaves: &[LeafClaim]) -> Result<Vec<AssignmentLeaf>, AttesterError> {
        let mut new = Vec::new();
        for (index, claim) in leaves.iter().enumerate() {
            let leaf = &claim.leaf;
            match self.memory.of_assignment(&leaf.assignment_id).map_err(memory)? {
                Some(signed) if signed == *leaf => continue,
                Some(signed) => return refused(index, format!("another leaf of it was signed: {}", difference(leaf, &signed))),
                None => {}
            }
            // The very leaf: recalled from the lanes since the line above.
            if let Some(before) = self.memory.last_from(last_bit(index, leaf)?).map_err(memory)?
                && before != *leaf
                && last_bit(index, &before)? >= leaf.bit
            {
                return refused(index, format!("its bits overlap those of assignment {}, which were signed", before.assignment_id));
            }
            new.push(leaf.clone());
        }
        Ok(new)
    }
}

fn memory(error: MemoryError) -> AttesterError {
    AttesterError::Unavailable(error.to_string())
}

/// A block that isn't final here may be so later.
fn unavailable(error: OracleError) -> AttesterError {
    AttesterError::Unavailable(error.to_string())
}

/// The first field in which a claimed leaf differs from the right one.
fn difference(claimed: &AssignmentLeaf, right: &AssignmentLeaf) -> String {
    let AssignmentLeaf { assignment_id, escrow_id, job_number, key_type, signer_key, first_execution, executions, not_after, bit } = right;
    let fields = [
        ("assignmentId", claimed.assignment_id.to_string(), assignment_id.to_string()),
        ("escrowId", claimed.escrow_id.to_string(), escrow_id.to_string()),
        ("jobId", claimed.job_number.to_string(), job_number.to_string()),
        ("keyType", claimed.key_type.leaf_byte().to_string(), key_type.leaf_byte().to_string()),
        ("signerKey", claimed.signer_key.to_string(), signer_key.to_string()),
        ("firstExecution", claimed.first_execution.to_string(), first_execution.to_string()),
        ("executions", claimed.executions.to_string(), executions.to_string()),
        ("notAfter", claimed.not_after.to_string(), not_after.to_string()),
        ("bit", claimed.bit.to_string(), bit.to_string()),
    ];
    let differs = fields.iter().find(|(_, claimed, right)| claimed != right);
    differs.map_or_else(|| "equal".into(), |(name, claimed, right)| format!("{name} is {claimed}, it should be {right}"))
}

#[async_trait]
impl Attester for LocalAttester {
    async fn attest(&self, statement: &RootStatement, leaves: &[LeafClaim]) -> Result<Bytes, AttesterError> {
        check_statement(statement, leaves)?;
        self.assignments.check_finalized(statement.source_block, statement.source_block_hash).await.map_err(unavailable)?;
        for (index, claim) in leaves.iter().enumerate() {
            let leaf = (statement.source_block_hash, claim.leaf.hash());
            if !self.found_right().contains(&leaf) {
                self.check_leaf(index, statement, claim).await?;
                self.keep(leaf);
            }
        }
        let _one_at_a_time = self.signing.lock().await;
        let new = self.check_memory(leaves)?;
        if !new.is_empty() {
            self.memory.insert(&new).map_err(memory)?;
        }
        // From here on the leaves are durable; only now a signature comes into being.
        let domain = domain_separator(self.config.chain_id, &self.config.settlement);
        let message = [&[0x19, 0x01], &domain[..], &root_struct_hash(statement)[..]].concat();
        self.key.sign_rsv(&message).await.map(Bytes).map_err(|error| AttesterError::Unavailable(error.to_string()))
    }
}
