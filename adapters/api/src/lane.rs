//! A destination as a lane sees it: sign, send, observe. The lane core decides, an adapter only does what it is told.

use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, MerkleNode, SettlementId, TxHash};
use acurast_events::caip::AccountId;
use acurast_events::eip712::RootStatement;
use acurast_events::jobs::{BlockRef, FulfillmentPlanned};
use acurast_events::lanes::{AccountCharge, FeeBid, ItemFinal};
use acurast_events::leaves::AssignmentLeaf;
use acurast_events::units::{Batch, Gas, Slot};
use async_trait::async_trait;

/// Why the chain could not be asked. Says nothing about any transaction: *unknown* is never *not found* (R4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// The answer is missing or makes no sense; ask again.
    #[error("lane {lane}: unknown: {reason}")]
    Unknown {
        /// The lane.
        lane: AccountId,
        /// What happened.
        reason: String,
    },
    /// The endpoint or contract is not the configured one: stop.
    #[error("lane {lane}: refused: {reason}")]
    Refused {
        /// The lane.
        lane: AccountId,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// What inclusion costs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeMarket {
    /// Base fee per gas of the next block.
    pub base_fee: Amount,
    /// Priority fee per gas that is usually included soon.
    pub priority_fee: Amount,
    /// What publishing a transaction's bytes elsewhere costs besides; nothing on a chain that keeps its own data.
    pub data_fee: Option<DataFee>,
}

/// Upper bound of a data fee that a roll-up takes from the signer besides gas, linear in the length of the signed bytes.
/// No bid changes it; it counts against the signer's balance and the items' reservations all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFee {
    /// For any transaction.
    pub base: Amount,
    /// Per byte of the signed transaction.
    pub per_byte: Amount,
}

impl DataFee {
    /// The most that a transaction of so many bytes costs besides gas; saturates, so that what it is compared with refuses.
    pub fn of(&self, bytes: u32) -> Amount {
        Amount(self.base.0.saturating_add(self.per_byte.0.saturating_mul(u128::from(bytes))))
    }
}

/// The lane's chain at one moment, all read from one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// The newest block.
    pub head: BlockRef,
    /// The newest final block, by the lane's finality policy.
    pub finalized: BlockRef,
    /// The first slot that no block up to `head` has taken.
    pub next_slot_head: Slot,
    /// The first slot that no block up to `finalized` has taken.
    pub next_slot_final: Slot,
    /// The signer's balance at `head`.
    pub balance: Amount,
    /// What inclusion costs.
    pub market: FeeMarket,
}

/// One output with what proves that its processor was assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FulfillItem {
    /// The intent.
    pub intent: FulfillmentPlanned,
    /// The root that proves it.
    pub batch: Batch,
    /// The leaf.
    pub leaf: AssignmentLeaf,
    /// Its proof.
    pub proof: Vec<MerkleNode>,
}

/// What a transaction of a lane is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Post a root with its quorum's signatures.
    Root {
        /// The root.
        statement: RootStatement,
        /// The signatures, in ascending order of their signers.
        signatures: Vec<Bytes>,
    },
    /// Deliver outputs.
    Fulfill(Vec<FulfillItem>),
    /// Take the slot and do nothing.
    NoOp,
}

/// What would happen now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Simulation {
    /// It would execute, with this gas limit (margin included).
    Executes {
        /// Gas limit to sign with.
        gas_limit: Gas,
        /// Length of the transaction in bytes, an upper bound.
        bytes: u32,
    },
    /// It would revert as a whole.
    Reverts {
        /// The item at fault, where the contract names it.
        item: Option<usize>,
        /// The decoded reason.
        reason: String,
    },
}

/// A transaction that is signed and not yet sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAttempt {
    /// Its hash.
    pub tx: TxHash,
    /// Its bytes.
    pub bytes: Bytes,
}

/// How a send ended (R6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The node took it.
    Accepted,
    /// The node had it, or it is mined.
    AlreadyKnown,
    /// The node will never take these bytes.
    Rejected(String),
    /// The slot is already mined.
    SlotTooLow,
    /// A slot before it is missing.
    SlotTooHigh,
    /// It pays too little to enter, or to replace.
    FeeTooLow,
    /// The signer can't pay for it.
    InsufficientFunds,
    /// It may or may not have reached the chain.
    Indeterminate(String),
}

/// Where an included transaction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// Its block.
    pub block: BlockRef,
    /// Whether it did not revert.
    pub success: bool,
}

/// What the chain says of a transaction (R4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The node answered: it knows no such transaction.
    NotFound,
    /// In the pool.
    Pending,
    /// In a block of the node's current chain.
    Included(Inclusion),
    /// No usable answer.
    Unknown(String),
}

/// What a final transaction did, read from its receipt and events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalReport {
    /// Where.
    pub inclusion: Inclusion,
    /// Gas used.
    pub gas_used: Gas,
    /// Paid per gas.
    pub gas_price: Amount,
    /// Cost to the signer, data fee included.
    pub cost: Amount,
    /// Per item of the attempt, in its order.
    pub items: Vec<ItemFinal>,
    /// Per account charged.
    pub charges: Vec<AccountCharge>,
}

/// Whether an item's effect exists at finality (R2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It does not.
    Absent {
        /// The final block at which this was read: an answer of before the slot was final says nothing of it.
        block: BlockRef,
    },
    /// It does; whether the target's call succeeded, and by which transaction where the chain tells.
    Present {
        /// Whether the target's call succeeded.
        success: bool,
        /// The transaction.
        tx: Option<TxHash>,
        /// The final block at which this was read.
        block: BlockRef,
    },
}

/// The effect that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EffectQuery {
    /// Is this root posted, exactly as stated?
    Root(RootStatement),
    /// Is this execution of this leaf settled?
    Fulfillment {
        /// The settlement.
        settlement_id: SettlementId,
        /// The leaf.
        leaf: AssignmentLeaf,
        /// The execution.
        execution: acurast_events::units::Execution,
    },
}

/// One lane of a destination.
///
/// # Use
/// `identify` at start; then whatever the lane core asks, in any order, any number of times. Every method but
/// `broadcast` only reads; `sign` touches nothing but the key.
///
/// # Money
/// An adapter never chooses a slot or a fee, never re-signs and never sends on its own: a hidden retry with another
/// slot pays twice.
#[async_trait]
pub trait LaneAdapter: Send + Sync {
    /// The lane.
    fn lane(&self) -> &AccountId;
    /// Its limits.
    fn capabilities(&self) -> &crate::Capabilities;
    /// Checks chain id, contract code, role and lane number of the signer.
    ///
    /// # Errors
    /// `Refused` with what to do when anything differs from the configuration.
    async fn identify(&self) -> Result<(), LaneError>;
    /// The chain now.
    ///
    /// # Errors
    /// `Unknown` when it can't be told.
    async fn view(&self) -> Result<LaneView, LaneError>;
    /// What `call` would do on top of the newest block.
    ///
    /// # Errors
    /// `Unknown` when it can't be told.
    async fn simulate(&self, call: &Call) -> Result<Simulation, LaneError>;
    /// Signs `call` for this slot. With a remote signer the same arguments may give other bytes, so only journaled bytes are
    /// ever sent (R1).
    ///
    /// # Errors
    /// When the signer can't be reached or the call can't be encoded.
    async fn sign(&self, slot: Slot, call: &Call, fee: &FeeBid) -> Result<SignedAttempt, LaneError>;
    /// Sends bytes that were read back from the journal (R1). Sending them again is harmless.
    async fn broadcast(&self, bytes: &Bytes) -> SendOutcome;
    /// Where a transaction is.
    async fn observe(&self, tx: &TxHash) -> Observation;
    /// What a transaction did; `items` are the attempt's, with their leaves, in order.
    ///
    /// # Errors
    /// `Unknown` when the receipt can't be read.
    async fn report(&self, tx: &TxHash, items: &[FulfillItem], root: Option<Batch>) -> Result<FinalReport, LaneError>;
    /// Whether an effect exists at finality.
    ///
    /// # Errors
    /// `Unknown` when it can't be told.
    async fn effect(&self, query: &EffectQuery) -> Result<Effect, LaneError>;
    /// The transaction that took a final slot, where the chain can tell; used when none of ours did.
    ///
    /// # Errors
    /// `Unknown` when it can't be told.
    async fn slot_owner(&self, slot: Slot) -> Result<Option<TxHash>, LaneError>;
}
