//! Events of `lanes.v1`: what one lane (chain and signer) accepted, prepared, and saw on its chain (R1–R7).
//!
//! A lane's partition carries full copies of what it took from `jobs.v1`, so that it can be rebuilt from itself alone.

use crate::amount::Amount;
use crate::bytes::{Bytes, EscrowId, MerkleNode, SettlementId, TxHash};
use crate::caip::AccountId;
use crate::eip712::RootStatement;
use crate::jobs::{BlockRef, Fault, FulfillmentPlanned, LeafPlanned};
use crate::record::{Progress, StateDigest};
use crate::units::{Batch, Bit, Gas, Slot};

crate::wire_enum! {
    /// What an attempt's transaction does.
    pub enum Purpose {
        /// Posts a root.
        1 Root,
        /// Delivers outputs.
        2 Fulfill,
        /// Fills a hole at the operator's cost.
        3 NoOp,
    }

    /// How a slot ended.
    pub enum SlotOutcome {
        /// Our transaction, executed.
        1 Success,
        /// Our transaction, reverted as a whole.
        2 Reverted,
        /// Somebody else's transaction took the slot.
        3 Foreign,
    }

    /// What a final transaction did for one of its items.
    pub enum ItemOutcome {
        /// The effect exists and the target's call succeeded; a root was posted.
        1 Settled,
        /// The effect exists and the target's call failed.
        2 SettledFailed,
        /// Settled before, by another transaction.
        3 AlreadySettled,
        /// Passed over by the contract; the reason is the contract's.
        4 Skipped,
        /// No effect: the transaction reverted as a whole.
        5 NoEffect,
    }

    /// Why an attempt is no longer expected to be mined.
    pub enum AttemptEnd {
        /// Another attempt of the same slot was mined.
        1 Replaced,
        /// The node dropped it.
        2 Evicted,
        /// Its time is over.
        3 Expired,
        /// The node will never take its bytes.
        4 Rejected,
    }
}

crate::message! {
    /// The lane exists; the first event of its partition.
    pub struct LaneOpened {
        /// Chain and signer.
        1 lane: AccountId,
        /// The number that the settlement contract knows the signer by.
        2 number: u32,
        /// The settlement contract.
        3 settlement: Bytes,
    }

    /// A leaf to prove was taken from `jobs.v1`, and got its bits.
    pub struct RootAccepted {
        /// The intent.
        1 intent: LeafPlanned,
        /// First of its bits.
        2 bit: Bit,
    }

    /// An output to deliver was taken from `jobs.v1`.
    pub struct FulfillmentAccepted {
        /// The intent.
        1 intent: FulfillmentPlanned,
    }

    /// Leaves were gathered into a root.
    pub struct RootPlanned {
        /// What attesters are asked to sign.
        1 statement: RootStatement,
        /// Settlement ids of the leaves, in tree order.
        2 leaves: Vec<SettlementId>,
        /// Hashes of the leaves, in tree order.
        3 hashes: Vec<MerkleNode>,
    }

    /// A quorum signed the root.
    pub struct RootAttested {
        /// The root's number.
        1 batch: Batch,
        /// Signatures in ascending order of their signers.
        2 signatures: Vec<Bytes>,
    }

    /// A root will not be posted; its leaves are planned anew under another number, with the same bits.
    pub struct RootAbandoned {
        /// The root's number; never used again.
        1 batch: Batch,
        /// The leaf at fault, where one was named: it is planned alone from now on.
        2 leaf: Option<SettlementId>,
        /// Why.
        3 reason: String,
        /// Whether posting it kept reverting in simulations: then its leaves rest a while before they are planned anew.
        4 reverted: bool,
    }

    /// What a transaction offers for its inclusion, per unit of gas.
    pub struct FeeBid {
        /// Highest price per gas, in wei (or the chain's unit).
        1 max_fee_per_gas: Amount,
        /// Highest priority fee per gas, in wei (or the chain's unit).
        2 max_priority_fee: Amount,
        /// Gas limit.
        3 gas_limit: Gas,
    }

    /// What a key that is elsewhere is about to be asked to sign: written before it is asked (R1). The next one of its slot
    /// takes its place; nothing is sent by it.
    pub struct AttemptReserved {
        /// The slot.
        1 slot: Slot,
        /// Which attempt of the slot it will be.
        2 attempt: u32,
        /// What it does.
        3 purpose: Purpose,
        /// The root that it posts.
        4 batch: Option<Batch>,
        /// Its items.
        5 items: Vec<SettlementId>,
        /// What it offers.
        6 fee: FeeBid,
    }

    /// A signed transaction: written before it is broadcast (R1).
    pub struct AttemptPrepared {
        /// The slot.
        1 slot: Slot,
        /// Counts the slot's attempts from 0.
        2 attempt: u32,
        /// What it does.
        3 purpose: Purpose,
        /// The root that it posts.
        4 batch: Option<Batch>,
        /// Its items; each attempt has its own list.
        5 items: Vec<SettlementId>,
        /// Hash of the transaction.
        6 tx: TxHash,
        /// The signed bytes.
        7 bytes: Bytes,
        /// What it offers.
        8 fee: FeeBid,
    }

    /// An attempt is in a block.
    pub struct AttemptIncluded {
        /// The slot.
        1 slot: Slot,
        /// The transaction.
        2 tx: TxHash,
        /// Where.
        3 block: BlockRef,
        /// Whether it did not revert.
        4 success: bool,
        /// Its items.
        5 items: Vec<SettlementId>,
    }

    /// The block of an included attempt is no longer in the chain (R7).
    pub struct AttemptOrphaned {
        /// The slot.
        1 slot: Slot,
        /// The transaction.
        2 tx: TxHash,
        /// Its items.
        3 items: Vec<SettlementId>,
    }

    /// An attempt is not expected any more; its bytes stay known until the slot is final.
    pub struct AttemptEnded {
        /// The slot.
        1 slot: Slot,
        /// The transaction.
        2 tx: TxHash,
        /// Why.
        3 end: AttemptEnd,
    }

    /// One item of a final transaction.
    pub struct ItemFinal {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// What the transaction did for it.
        2 outcome: ItemOutcome,
        /// Charged to its account, without root share, in the account's asset.
        3 charge: Amount,
        /// Root share charged with it, in the account's asset.
        4 root_share: Amount,
        /// Its part of what the transaction cost the signing key, in wei (or the chain's unit).
        5 cost: Amount,
        /// The contract's reason, for a skipped item.
        6 skip_reason: Option<u32>,
        /// The root that proved it.
        7 batch: Batch,
    }

    /// What the contract's event says was charged to one account.
    pub struct AccountCharge {
        /// The account.
        1 escrow_id: EscrowId,
        /// For items, in the account's asset.
        2 items: Amount,
        /// For root shares, in the account's asset.
        3 root_shares: Amount,
    }

    /// A slot is final: nothing of it can change any more (R4).
    pub struct SlotFinal {
        /// The slot.
        1 slot: Slot,
        /// The transaction that took it.
        2 tx: TxHash,
        /// Where; for a foreign transaction the final block by which it was known.
        3 block: BlockRef,
        /// How it ended.
        4 outcome: SlotOutcome,
        /// What it did.
        5 purpose: Option<Purpose>,
        /// Gas that it used.
        6 gas_used: Gas,
        /// Paid per gas, in wei (or the chain's unit).
        7 gas_price: Amount,
        /// What it cost the signing key, data fee included, in wei (or the chain's unit).
        8 cost: Amount,
        /// Per item of that transaction, in its order; the costs sum to `cost` when there are items. A no-op and a
        /// foreign transaction have none. What other attempts of the slot carried besides is asked for and comes back.
        9 items: Vec<ItemFinal>,
        /// Per account, as the contract's events say.
        10 charges: Vec<AccountCharge>,
    }

    /// An item goes back to be planned anew: its slot is final without its effect.
    pub struct IntentReturned {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// How often it came back, this time included.
        2 times: u32,
        /// Why.
        3 reason: String,
    }

    /// An item is given up.
    pub struct IntentDead {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// Why.
        2 reason: String,
        /// Whose fault.
        3 fault: Fault,
    }

    /// The chain already had an item's effect, by a transaction that is not ours (R2).
    pub struct EffectFound {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// Whether the target's call succeeded.
        2 success: bool,
        /// The transaction, where the chain tells it.
        3 tx: Option<TxHash>,
        /// The finalized block at which it was seen.
        4 block: BlockRef,
    }

    /// Finality broke, and an effect that was final is not there any more: compensates what `SlotFinal` said of the item
    /// (R7). The item is not sent again by itself.
    pub struct EffectLost {
        /// The settlement.
        1 settlement_id: SettlementId,
        /// The slot that had been final.
        2 slot: Slot,
        /// Its transaction.
        3 tx: TxHash,
        /// Where that had been final.
        4 was: BlockRef,
        /// The final block at which the effect was absent.
        5 block: BlockRef,
        /// The account that had been charged; none for a root.
        6 escrow_id: Option<EscrowId>,
        /// What it had been charged for the item, without root share, in the account's asset.
        7 charge: Amount,
        /// Root share charged with it, in the account's asset.
        8 root_share: Amount,
    }

    /// A foreign transaction took a slot of ours: nothing new is sent until an operator releases the lane (R3).
    pub struct LaneQuarantined {
        /// The slot.
        1 slot: Slot,
        /// The foreign transaction, where the chain tells it.
        2 tx: Option<TxHash>,
        /// Words for people.
        3 reason: String,
    }

    /// The chain went back: observations above this block are undone (R7).
    pub struct Rewound {
        /// The last common block.
        1 to: BlockRef,
    }
}

crate::events! {
    /// An event of the lanes topic.
    pub enum LanesEvent {
        1 Progress,
        2 LaneOpened,
        3 RootAccepted,
        4 FulfillmentAccepted,
        5 RootPlanned,
        6 RootAttested,
        7 AttemptPrepared,
        8 AttemptIncluded,
        9 AttemptOrphaned,
        10 AttemptEnded,
        11 SlotFinal,
        12 IntentReturned,
        13 IntentDead,
        14 EffectFound,
        15 LaneQuarantined,
        16 Rewound,
        17 RootAbandoned,
        18 AttemptReserved,
        19 EffectLost,
        64 StateDigest,
    }
}
