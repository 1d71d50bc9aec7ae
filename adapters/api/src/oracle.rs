//! What an attester asks its own Acurast node, and what dispatch asks attesters (PROTOCOL §4).

use acurast_events::bytes::{BlockHash, Bytes, EscrowId, OwnerKey, ProcessorId};
use acurast_events::eip712::RootStatement;
use acurast_events::job_id::JobId;
use acurast_events::leaves::AssignmentLeaf;
use acurast_events::source::{MatchedSlot, PublicKey, Registration};
use acurast_events::units::BlockNumber;
use async_trait::async_trait;

/// An acknowledged assignment as an Acurast node has it at a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedAssignment {
    /// The job's registration.
    pub registration: Registration,
    /// The match.
    pub slot: MatchedSlot,
    /// Whether it is acknowledged.
    pub acknowledged: bool,
    /// The processor's keys, in list order.
    pub keys: Vec<PublicKey>,
}

/// Why an oracle has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OracleError {
    /// Ask again later.
    #[error("oracle unreachable: {0}")]
    Unavailable(String),
    /// The block is not finalized on this node, or another one is.
    #[error("block {number} {hash} is not finalized on this node")]
    NotFinalized {
        /// The height.
        number: BlockNumber,
        /// The hash.
        hash: BlockHash,
    },
}

/// Reads assignments at a pinned finalized block of an own node (R8).
#[async_trait]
pub trait AssignmentOracle: Send + Sync {
    /// Whether this block is finalized.
    ///
    /// # Errors
    /// When the node can't be asked, or has another block there.
    async fn check_finalized(&self, number: BlockNumber, hash: BlockHash) -> Result<(), OracleError>;
    /// The assignment of (job, processor) at this block; nothing when there is none.
    ///
    /// # Errors
    /// When the node can't be asked.
    async fn assignment(&self, hash: BlockHash, job: &JobId, processor: &ProcessorId) -> Result<Option<AttestedAssignment>, OracleError>;
}

/// Why no signature was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttesterError {
    /// Ask again later.
    #[error("attester unreachable: {0}")]
    Unavailable(String),
    /// The attester refuses this root for good: the leaf at fault is named.
    #[error("attester refused leaf {leaf}: {reason}")]
    Refused {
        /// Index of the leaf.
        leaf: usize,
        /// Why.
        reason: String,
    },
}

/// One leaf of a root with what is needed to derive it anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafClaim {
    /// The leaf.
    pub leaf: AssignmentLeaf,
    /// Its job.
    pub job: JobId,
    /// Its processor.
    pub processor: ProcessorId,
    /// The settlement contract's raw bytes.
    pub settlement: Bytes,
}

/// Signs roots whose every leaf it derived itself.
///
/// # Order
/// Called only after the root with its batch and bits were read back from the lane's partition (R1).
///
/// # Repetition
/// The same root may be asked for again, after a crash; the answer is the same.
#[async_trait]
pub trait Attester: Send + Sync {
    /// The attester's signature over `statement` for the settlement contract.
    ///
    /// # Errors
    /// When it can't be asked, or refuses.
    async fn attest(&self, statement: &RootStatement, leaves: &[LeafClaim]) -> Result<Bytes, AttesterError>;
}

/// An escrow account as far as a leaf depends on it; none of it ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscrowHolder {
    /// Whose jobs it pays for.
    pub owner: OwnerKey,
    /// The one target that those jobs reach, raw bytes; with it the leaf's dest_id is derived.
    pub target: Bytes,
}

/// What an attester asks of the destination: who owns an escrow account.
#[async_trait]
pub trait EscrowOracle: Send + Sync {
    /// Owner and target of an account at finality; nothing when it does not exist.
    ///
    /// # Errors
    /// When the node can't be asked.
    async fn escrow_holder(&self, escrow: &EscrowId) -> Result<Option<EscrowHolder>, OracleError>;
}
