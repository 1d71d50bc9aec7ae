//! Events of `source.<chain>.v1`: finalized facts of a source chain, each block closed by its seal (PROTOCOL §1, §8).
//!
//! A block's facts count only once its [`BlockSealed`] of the same term was read. Facts say what the chain says,
//! complete with what had to be read from storage at that block; what they mean is decided in settle.

use crate::amount::Amount;
use crate::bytes::{BlockHash, Bytes, EscrowId, EventId, Genesis, MerkleNode, OwnerKey, ProcessorId};
use crate::caip::AssetId;
use crate::ids::{owner_key, sha256};
use crate::job_id::JobId;
use crate::record::{Progress, StateDigest};
use crate::units::{BlockNumber, Count, Execution, Gas, Millis, Timestamp};

crate::wire_enum! {
    /// How a job's processors share its executions.
    pub enum Strategy {
        /// Each assigned processor does every execution.
        1 Single,
        /// Processors are matched execution by execution.
        2 Competing,
    }

    /// What a processor reported of an execution.
    pub enum ReportedOutcome {
        /// ExecutionSuccess, with an operation hash.
        1 Success,
        /// ExecutionFailure, with a message.
        2 Failure,
    }

    /// The curve of a processor's public key.
    pub enum Curve {
        /// NIST P-256.
        1 P256,
        /// secp256k1.
        2 Secp256k1,
        /// Ed25519.
        3 Ed25519,
        /// A key for encryption on P-256; never signs outputs.
        4 P256Encryption,
        /// A key for encryption on secp256k1; never signs outputs.
        5 Secp256k1Encryption,
    }

    /// How a registration was changed.
    pub enum Amendment {
        /// JobScriptEdited.
        1 ScriptEdited,
        /// EditorTransferred.
        2 EditorTransferred,
        /// JobBecameImmutable.
        3 BecameImmutable,
        /// AllowedSourcesUpdated.
        4 AllowedSourcesUpdated,
        /// JobFinalized, an old call.
        5 Finalized,
        /// Storage of the job was cleaned up.
        6 CleanedUp,
    }
}

crate::message! {
    /// Where a fact comes from within its block.
    pub struct FactMeta {
        /// The fact's id (PROTOCOL §3).
        1 id: EventId,
        /// Index of the event in the block; for a storage fact the position in the list.
        2 index: u32,
        /// Index of the extrinsic or transaction, if any.
        3 extrinsic: Option<u32>,
    }

    /// When a job runs. All in milliseconds.
    pub struct Schedule {
        /// Earliest start of the first execution.
        1 start: Timestamp,
        /// No execution starts at or after this.
        2 end: Timestamp,
        /// From one start to the next.
        3 interval: Millis,
        /// How long one execution may take.
        4 duration: Millis,
        /// How much later than `start` a processor may begin.
        5 max_start_delay: Millis,
    }

    /// What a consumer registered.
    pub struct Registration {
        /// URL of the script, as bytes.
        1 script: Bytes,
        /// When it runs.
        2 schedule: Schedule,
        /// How many processors it wants.
        3 slots: u32,
        /// How they share the executions.
        4 strategy: Strategy,
        /// Reward per execution and slot, in planck.
        5 reward: Amount,
        /// The budget left on Acurast, in planck, where known.
        6 budget: Option<Amount>,
    }

    /// A processor that a job was matched with.
    pub struct MatchedSlot {
        /// The processor.
        1 processor: ProcessorId,
        /// Its slot.
        2 slot: u32,
        /// How much later than the schedule's start it begins.
        3 start_delay: Millis,
        /// Its fee per execution, in planck.
        4 fee_per_execution: Amount,
        /// The one execution it was matched for; absent: all.
        5 execution: Option<Execution>,
    }

    /// A public key that a processor showed when it acknowledged.
    pub struct PublicKey {
        /// Its curve.
        1 curve: Curve,
        /// Compressed point, 33 bytes (32 on Ed25519).
        2 bytes: Bytes,
    }

    /// `StoredReputation` of a processor: the two numbers of its beta distribution, fixed-point as on chain.
    pub struct BetaReputation {
        /// Weighted met reports, fixed-point.
        1 r: Amount,
        /// Weighted missed reports, fixed-point.
        2 s: Amount,
    }

    /// A job was registered: OPEN.
    pub struct Registered {
        /// Where.
        1 meta: FactMeta,
        /// The job.
        2 job: JobId,
        /// Its registration; absent when it was created and removed within one block (details lost).
        3 registration: Option<Registration>,
    }

    /// A job, or one execution of it, was matched: MATCHED.
    pub struct Matched {
        /// Where.
        1 meta: FactMeta,
        /// The job.
        2 job: JobId,
        /// Its registration, because this may be the first that is heard of the job.
        3 registration: Option<Registration>,
        /// All processors assigned at this block; empty when details were lost.
        4 slots: Vec<MatchedSlot>,
        /// The execution, when only one was matched.
        5 execution: Option<Execution>,
    }

    /// A processor acknowledged its match: its keys are known from here on.
    pub struct Acknowledged {
        /// Where.
        1 meta: FactMeta,
        /// The job.
        2 job: JobId,
        /// The processor.
        3 processor: ProcessorId,
        /// Its slot; absent when details were lost.
        4 slot: Option<MatchedSlot>,
        /// Its public keys after this block, in the order it gave them.
        5 keys: Vec<PublicKey>,
        /// The registration, because this may be the first that is heard of the job.
        6 registration: Option<Registration>,
    }

    /// A processor reported an execution.
    pub struct Reported {
        /// Where.
        1 meta: FactMeta,
        /// The job.
        2 job: JobId,
        /// The processor.
        3 processor: ProcessorId,
        /// What it reported.
        4 outcome: ReportedOutcome,
        /// Operation hash (≤ 256 bytes) or failure message (≤ 1024 bytes).
        5 data: Bytes,
        /// `NextReportIndex` of (job, processor) before this report, where the chain has it.
        6 next_index: Option<Execution>,
        /// The processor's reputation after the block.
        7 reputation: Option<BetaReputation>,
    }

    /// A job was deregistered or its last storage removed.
    pub struct Removed {
        /// Where.
        1 meta: FactMeta,
        /// The job.
        2 job: JobId,
        /// The registration at the parent block; absent when the job was created in this block.
        3 registration: Option<Registration>,
    }

    /// A registration was changed.
    pub struct Amended {
        /// Where.
        1 meta: FactMeta,
        /// The job.
        2 job: JobId,
        /// How.
        3 change: Amendment,
    }

    /// A remark with event, a manifest perhaps.
    pub struct Remarked {
        /// Where.
        1 meta: FactMeta,
        /// Account of the sender.
        2 sender: Bytes,
        /// BLAKE2b-256 of the bytes.
        3 hash: MerkleNode,
        /// The bytes from the extrinsic; absent when none in it has the hash.
        4 remark: Option<Bytes>,
    }

    /// One slot of a job found in storage.
    pub struct FoundSlot {
        /// The match.
        1 slot: MatchedSlot,
        /// Whether it was acknowledged.
        2 acknowledged: bool,
        /// The keys, once acknowledged.
        3 keys: Vec<PublicKey>,
        /// `NextReportIndex`, where the chain has it.
        4 next_index: Option<Execution>,
    }

    /// An open job found in storage at the first start.
    pub struct Found {
        /// Where: a storage fact.
        1 meta: FactMeta,
        /// The job.
        2 job: JobId,
        /// Its registration.
        3 registration: Registration,
        /// Its slots as of this block.
        4 slots: Vec<FoundSlot>,
    }

    /// Storage disagrees with what the facts so far say; found by reconciliation (R8).
    pub struct Reconciled {
        /// Where: a storage fact.
        1 meta: FactMeta,
        /// The job.
        2 job: JobId,
        /// Its registration at this block; absent: the job is gone.
        3 registration: Option<Registration>,
        /// Its slots as of this block.
        4 slots: Vec<FoundSlot>,
    }

    /// An event of a pallet or variant that this version does not know: kept, never a stop.
    pub struct UnknownEvent {
        /// Where.
        1 meta: FactMeta,
        /// Pallet.
        2 pallet: String,
        /// Variant.
        3 variant: String,
        /// SCALE bytes of the fields.
        4 fields: Bytes,
    }

    /// An event of a known pallet that did not decode: kept with the reason, and an alarm.
    pub struct QuarantinedEvent {
        /// Where.
        1 meta: FactMeta,
        /// Pallet.
        2 pallet: String,
        /// Variant.
        3 variant: String,
        /// The bytes that did not decode.
        4 bytes: Bytes,
        /// Why.
        5 reason: String,
    }

    /// Closes a block, or a range of quiet blocks: its facts count from here on.
    pub struct BlockSealed {
        /// First height that this seal covers; equals `number` unless a quiet range is sealed.
        1 first: BlockNumber,
        /// Last height that it covers.
        2 number: BlockNumber,
        /// Hash of that block.
        3 hash: BlockHash,
        /// Hash of the parent of the first block.
        4 parent: BlockHash,
        /// Timestamp of the last block.
        5 timestamp: Timestamp,
        /// How many facts the covered blocks have.
        6 fact_count: Count,
        /// RFC 6962 root of their ids, in order.
        7 facts_root: MerkleNode,
        /// Runtime version that decoded the block; absent where a chain has none.
        8 spec_version: Option<u32>,
    }

    /// What an escrow account allows to be charged, fixed when it is opened.
    pub struct EscrowCaps {
        /// Highest price per gas that is charged, in wei (or the chain's unit).
        1 max_fee_per_gas: Amount,
        /// Highest priority fee per gas that is charged, in wei (or the chain's unit).
        2 max_priority_fee: Amount,
        /// Gas that a target's call gets.
        3 call_gas_limit: Gas,
        /// Longest payload, bytes.
        4 max_payload: u32,
        /// Highest charge per execution, in the account's asset.
        5 max_charge: Amount,
        /// Bit set of modes; bit 0: call.
        6 modes: u32,
    }

    /// A target was bound to an owner.
    pub struct TargetBound {
        /// Where.
        1 meta: FactMeta,
        /// The settlement contract.
        2 settlement: Bytes,
        /// The target.
        3 target: Bytes,
        /// The owner of the jobs that may reach it.
        4 owner: OwnerKey,
    }

    /// An escrow account was opened.
    pub struct EscrowOpened {
        /// Where.
        1 meta: FactMeta,
        /// The settlement contract.
        2 settlement: Bytes,
        /// The account.
        3 escrow_id: EscrowId,
        /// The owner whose jobs it pays for.
        4 owner: OwnerKey,
        /// The target that it pays for.
        5 target: Bytes,
        /// Who opened it and is refunded.
        6 opener: Bytes,
        /// What may be charged.
        7 caps: EscrowCaps,
        /// When it begins to close by itself.
        8 expiry: Timestamp,
        /// The asset.
        9 asset: AssetId,
        /// What was locked, of `asset`.
        10 amount: Amount,
    }

    /// More was locked.
    pub struct EscrowToppedUp {
        /// Where.
        1 meta: FactMeta,
        /// The account.
        2 escrow_id: EscrowId,
        /// Its owner.
        3 owner: OwnerKey,
        /// How much more, in the account's asset.
        4 amount: Amount,
    }

    /// The opener asked to close: nothing new may be planned for the account.
    pub struct EscrowCloseRequested {
        /// Where.
        1 meta: FactMeta,
        /// The account.
        2 escrow_id: EscrowId,
        /// Its owner.
        3 owner: OwnerKey,
        /// From when on the rest can be refunded.
        4 refundable_at: Timestamp,
    }

    /// The rest was refunded.
    pub struct EscrowRefunded {
        /// Where.
        1 meta: FactMeta,
        /// The account.
        2 escrow_id: EscrowId,
        /// Its owner.
        3 owner: OwnerKey,
        /// Who got it.
        4 to: Bytes,
        /// How much, in the account's asset.
        5 amount: Amount,
    }

    /// The opener revoked an assignment: no more calls or charges for it.
    pub struct AssignmentRevoked {
        /// Where.
        1 meta: FactMeta,
        /// The account.
        2 escrow_id: EscrowId,
        /// Its owner.
        3 owner: OwnerKey,
        /// The assignment.
        4 assignment_id: crate::bytes::AssignmentId,
    }
}

crate::events! {
    /// An event of a source topic.
    pub enum SourceEvent {
        1 Progress,
        2 BlockSealed,
        3 Registered,
        4 Matched,
        5 Acknowledged,
        6 Reported,
        7 Removed,
        8 Amended,
        9 Remarked,
        10 Found,
        11 Reconciled,
        12 UnknownEvent,
        13 QuarantinedEvent,
        20 TargetBound,
        21 EscrowOpened,
        22 EscrowToppedUp,
        23 EscrowCloseRequested,
        24 EscrowRefunded,
        25 AssignmentRevoked,
        64 StateDigest,
    }
}

impl SourceEvent {
    /// Where the fact comes from; nothing for seals, progress and digests.
    pub fn meta(&self) -> Option<&FactMeta> {
        match self {
            Self::Progress(_) | Self::StateDigest(_) | Self::BlockSealed(_) => None,
            Self::Registered(fact) => Some(&fact.meta),
            Self::Matched(fact) => Some(&fact.meta),
            Self::Acknowledged(fact) => Some(&fact.meta),
            Self::Reported(fact) => Some(&fact.meta),
            Self::Removed(fact) => Some(&fact.meta),
            Self::Amended(fact) => Some(&fact.meta),
            Self::Remarked(fact) => Some(&fact.meta),
            Self::Found(fact) => Some(&fact.meta),
            Self::Reconciled(fact) => Some(&fact.meta),
            Self::UnknownEvent(fact) => Some(&fact.meta),
            Self::QuarantinedEvent(fact) => Some(&fact.meta),
            Self::TargetBound(fact) => Some(&fact.meta),
            Self::EscrowOpened(fact) => Some(&fact.meta),
            Self::EscrowToppedUp(fact) => Some(&fact.meta),
            Self::EscrowCloseRequested(fact) => Some(&fact.meta),
            Self::EscrowRefunded(fact) => Some(&fact.meta),
            Self::AssignmentRevoked(fact) => Some(&fact.meta),
        }
    }

    /// The job that the fact is about, if it is about one.
    pub fn job(&self) -> Option<&JobId> {
        match self {
            Self::Registered(fact) => Some(&fact.job),
            Self::Matched(fact) => Some(&fact.job),
            Self::Acknowledged(fact) => Some(&fact.job),
            Self::Reported(fact) => Some(&fact.job),
            Self::Removed(fact) => Some(&fact.job),
            Self::Amended(fact) => Some(&fact.job),
            Self::Found(fact) => Some(&fact.job),
            Self::Reconciled(fact) => Some(&fact.job),
            Self::Progress(_)
            | Self::StateDigest(_)
            | Self::BlockSealed(_)
            | Self::Remarked(_)
            | Self::UnknownEvent(_)
            | Self::QuarantinedEvent(_)
            | Self::TargetBound(_)
            | Self::EscrowOpened(_)
            | Self::EscrowToppedUp(_)
            | Self::EscrowCloseRequested(_)
            | Self::EscrowRefunded(_)
            | Self::AssignmentRevoked(_) => None,
        }
    }

    /// The owner whose partition takes the fact; `genesis` is that of the Acurast chain. Nothing: no owner is concerned.
    pub fn owner(&self, genesis: &Genesis) -> Option<OwnerKey> {
        match self {
            Self::TargetBound(fact) => Some(fact.owner),
            Self::EscrowOpened(fact) => Some(fact.owner),
            Self::EscrowToppedUp(fact) => Some(fact.owner),
            Self::EscrowCloseRequested(fact) => Some(fact.owner),
            Self::EscrowRefunded(fact) => Some(fact.owner),
            Self::AssignmentRevoked(fact) => Some(fact.owner),
            other => other.job().map(|job| owner_key(genesis, &job.origin)),
        }
    }
}

/// RFC 6962 root (SHA-256) of fact ids in their order; the hash of nothing for a quiet block.
pub fn facts_root(ids: &[EventId]) -> MerkleNode {
    match ids {
        [] => MerkleNode(sha256(&[])),
        [id] => MerkleNode(sha256(&[&[0], &id.0])),
        _ => {
            // The largest power of two below the count goes to the left.
            let split = ids.len().next_power_of_two() >> 1;
            let (left, right) = ids.split_at(split);
            MerkleNode(sha256(&[&[1], &facts_root(left).0, &facts_root(right).0]))
        }
    }
}
