//! What the lane remembers: the aggregates that are the fold of its events, each one row of the store.
//!
//! Invariant: an item stands in at most one unresolved slot; every fulfilment's leaf is known until it ended.

use crate::asked::leaf_of;
use crate::ranges::Ranges;
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, MerkleNode, SettlementId, TxHash};
use acurast_events::caip::AccountId;
use acurast_events::eip712::RootStatement;
use acurast_events::jobs::{BlockRef, FulfillmentPlanned, LeafPlanned};
use acurast_events::lanes::{AttemptEnd, AttemptPrepared, FeeBid, LaneOpened, LaneQuarantined, Purpose};
use acurast_events::leaves::AssignmentLeaf;
use acurast_events::units::{Batch, Bit, BlockNumber, Execution, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Why an item's slot was final without its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// The transaction reverted as a whole.
    Reverted,
    /// The transaction that was mined didn't carry it.
    LeftOut,
    /// The contract passed it over, with this reason of its own.
    Skipped(Option<u32>),
    /// Somebody else's transaction took the slot.
    Foreign,
    /// It had been final with its effect, and finality broke.
    FinalityBroke,
    /// It was given up, and an operator had it planned anew.
    Requeued,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reverted => f.write_str("its transaction reverted"),
            Self::LeftOut => f.write_str("the transaction that took its slot did not carry it"),
            Self::Skipped(Some(reason)) => write!(f, "the contract passed it over, reason {reason}"),
            Self::Skipped(None) => f.write_str("the contract passed it over"),
            Self::Foreign => f.write_str("a foreign transaction took its slot"),
            Self::FinalityBroke => f.write_str("finality broke, and its effect is gone"),
            Self::Requeued => f.write_str("it was given up, and an operator had it planned anew"),
        }
    }
}

/// Where a leaf stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LeafStage {
    /// For a root to be planned.
    Waiting,
    /// In this root, whose stage says the rest.
    InRoot(Batch),
    /// Given up.
    Dead,
}

/// A leaf with the bits that it keeps whichever root carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaf {
    pub(crate) intent: LeafPlanned,
    pub(crate) bit: Bit,
    pub(crate) accepted_at: Timestamp,
    pub(crate) stage: LeafStage,
    /// Named as the fault of a root: goes into a root of its own.
    pub(crate) alone: bool,
    /// When a root with it was last given up because posting it reverted.
    pub(crate) reverted_at: Option<Timestamp>,
    /// How often it came back from a final slot.
    pub(crate) returns: u32,
    /// Its fulfilments that haven't ended.
    pub(crate) open: u32,
    /// Its executions whose fulfilment ended.
    pub(crate) ended: Ranges,
    /// How often the fulfilment of an execution was planned anew, where it was.
    pub(crate) requeued: BTreeMap<u64, u32>,
}

impl Leaf {
    /// Whether this intent is one that an operator had planned anew since the execution's fulfilment was last taken. Read again it
    /// is none.
    pub(crate) fn is_requeued(&self, intent: &FulfillmentPlanned) -> bool {
        intent.requeued > self.requeued.get(&intent.execution.0).copied().unwrap_or(0)
    }

    /// Whether this intent plans a leaf anew that was given up.
    pub(crate) fn is_replanned(&self, intent: &LeafPlanned) -> bool {
        self.stage == LeafStage::Dead && intent.requeued > self.intent.requeued
    }

    /// The leaf as a root proves it.
    pub(crate) fn leaf(&self) -> AssignmentLeaf {
        leaf_of(&self.intent, self.bit)
    }
}

/// Where a root stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RootStage {
    /// Its attesters are asked.
    Unsigned,
    /// For a slot.
    Ready,
    /// In this unresolved slot.
    InSlot(Slot),
    /// Its slot is final without it: is it on the chain all the same?
    Asking(Cause),
    /// On the chain, finally.
    Posted,
}

/// A root of leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    pub(crate) statement: RootStatement,
    pub(crate) leaves: Vec<SettlementId>,
    pub(crate) hashes: Vec<MerkleNode>,
    pub(crate) signatures: Vec<Bytes>,
    pub(crate) planned_at: Timestamp,
    pub(crate) stage: RootStage,
}

/// Where a fulfilment stands. One that has ended is no longer kept; its leaf remembers the execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FulfillmentStage {
    /// For its root, or for a slot.
    Waiting,
    /// In this unresolved slot.
    InSlot(Slot),
    /// Its slot is final without its effect: does the effect exist all the same?
    Asking(Cause),
}

/// An output to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fulfillment {
    pub(crate) intent: FulfillmentPlanned,
    /// Acceptance order within the lane.
    pub(crate) order: u64,
    pub(crate) accepted_at: Timestamp,
    pub(crate) stage: FulfillmentStage,
    pub(crate) returns: u32,
}

/// A signed transaction and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) prepared: AttemptPrepared,
    pub(crate) at: Timestamp,
    pub(crate) ended: Option<AttemptEnd>,
}

/// The attempt that is in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Included {
    pub(crate) tx: TxHash,
    pub(crate) block: BlockRef,
    pub(crate) success: bool,
}

/// An unresolved slot: at least one attempt, none final.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct SlotState {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) included: Option<Included>,
}

impl SlotState {
    pub(crate) fn attempt(&self, tx: &TxHash) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.prepared.tx == *tx)
    }

    /// Attempts that may be mined, as far as is known, oldest first.
    pub(crate) fn live(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| attempt.ended.is_none())
    }

    /// The highest bid among attempts, field by field, live ones only or all.
    pub(crate) fn highest_bid(&self, all: bool) -> Option<FeeBid> {
        self.attempts.iter().filter(|attempt| all || attempt.ended.is_none()).map(|attempt| &attempt.prepared.fee).fold(
            None,
            |highest: Option<FeeBid>, fee| match highest {
                None => Some(fee.clone()),
                Some(highest) => Some(FeeBid {
                    max_fee_per_gas: highest.max_fee_per_gas.max(fee.max_fee_per_gas),
                    max_priority_fee: highest.max_priority_fee.max(fee.max_priority_fee),
                    gas_limit: highest.gas_limit.max(fee.gas_limit),
                }),
            },
        )
    }

    /// Everything that any attempt carries: the first one's items, as later ones never add any.
    pub(crate) fn items(&self) -> &[SettlementId] {
        self.attempts.first().map_or(&[], |attempt| &attempt.prepared.items)
    }

    /// What the slot was taken for.
    pub(crate) fn purpose(&self) -> Option<(Purpose, Option<Batch>)> {
        self.attempts.first().map(|attempt| (attempt.prepared.purpose, attempt.prepared.batch))
    }
}

/// What a key that is elsewhere was last asked to sign for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    pub(crate) attempt: u32,
    pub(crate) purpose: Purpose,
    pub(crate) batch: Option<Batch>,
    pub(crate) items: Vec<SettlementId>,
    pub(crate) fee: FeeBid,
}

/// The effect of one item of a final slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinalItem {
    pub(crate) id: SettlementId,
    /// The leaf and the execution of an output, to ask for its effect again; none for a leaf of a root.
    pub(crate) output: Option<(AssignmentLeaf, Execution)>,
    pub(crate) charge: Amount,
    pub(crate) root_share: Amount,
}

/// A slot that is final with effects, kept for a while in case finality breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinalSlot {
    pub(crate) tx: TxHash,
    pub(crate) block: BlockRef,
    /// The root that it posted.
    pub(crate) batch: Option<Batch>,
    pub(crate) items: Vec<FinalItem>,
}

/// What there is once per lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) identity: LaneOpened,
    pub(crate) opened: bool,
    /// Next bit of the lane's range, counted from 0.
    pub(crate) bits: u64,
    /// Next root of the lane's range, counted from 0.
    pub(crate) batches: u64,
    /// Next acceptance order.
    pub(crate) order: u64,
    /// The first slot that is not final, once one was.
    pub(crate) frontier: Option<Slot>,
    /// The highest block in which a slot was final.
    pub(crate) final_number: BlockNumber,
    pub(crate) quarantine: Option<LaneQuarantined>,
    /// The newest block time that an event carried: the destination's clock, as far as the log knows it.
    pub(crate) chain_time: Timestamp,
    /// Stamp of the last folded record.
    pub(crate) at: Timestamp,
}

/// The fold of a lane's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) head: Head,
    pub(crate) leaves: BTreeMap<SettlementId, Leaf>,
    pub(crate) fulfillments: BTreeMap<SettlementId, Fulfillment>,
    pub(crate) roots: BTreeMap<Batch, Root>,
    pub(crate) slots: BTreeMap<Slot, SlotState>,
    pub(crate) reservations: BTreeMap<Slot, Reservation>,
    pub(crate) finals: BTreeMap<Slot, FinalSlot>,
}

impl State {
    pub(crate) fn new(identity: LaneOpened) -> Self {
        Self {
            head: Head {
                identity,
                opened: false,
                bits: 0,
                batches: 0,
                order: 0,
                frontier: None,
                final_number: BlockNumber(0),
                quarantine: None,
                chain_time: Timestamp(0),
                at: Timestamp(0),
            },
            leaves: BTreeMap::new(),
            fulfillments: BTreeMap::new(),
            roots: BTreeMap::new(),
            slots: BTreeMap::new(),
            reservations: BTreeMap::new(),
            finals: BTreeMap::new(),
        }
    }

    pub(crate) fn lane(&self) -> &AccountId {
        &self.head.identity.lane
    }

    /// The slot that follows everything of ours: what the chain must reach before a slot is anybody else's.
    pub(crate) fn expected_slot(&self) -> Option<Slot> {
        let after_open = self.slots.keys().next_back().map(|slot| slot.next());
        self.head.frontier.max(after_open)
    }

    /// The slot of an attempt that isn't final.
    pub(crate) fn slot_of(&self, tx: &TxHash) -> Option<(Slot, &SlotState)> {
        self.slots.iter().find(|(_, state)| state.attempt(tx).is_some()).map(|(slot, state)| (*slot, state))
    }

    /// The final slot of a transaction, while it is kept.
    pub(crate) fn final_slot_of(&self, tx: &TxHash) -> Option<(Slot, &FinalSlot)> {
        self.finals.iter().find(|(_, slot)| slot.tx == *tx).map(|(number, slot)| (*number, slot))
    }

    /// The leaf of a fulfilment.
    pub(crate) fn leaf_of(&self, intent: &FulfillmentPlanned) -> Option<&Leaf> {
        self.leaves.get(&acurast_events::ids::root_settlement_id(&intent.assignment_id))
    }

    /// The root on the chain that proves a leaf: final, or in a block and executed. A fulfilment goes behind it in the
    /// same lane, so a reorg can only bring both back in their order.
    pub(crate) fn standing_root(&self, leaf: &Leaf) -> Option<(Batch, &Root)> {
        let LeafStage::InRoot(batch) = leaf.stage else {
            return None;
        };
        let root = self.roots.get(&batch)?;
        let stands = match root.stage {
            RootStage::Posted => true,
            RootStage::InSlot(slot) => self.slots.get(&slot).is_some_and(|state| match (&state.included, state.purpose()) {
                (Some(included), Some((Purpose::Root, _))) => {
                    included.success && state.attempt(&included.tx).is_some_and(|attempt| attempt.prepared.purpose == Purpose::Root)
                }
                (Some(_) | None, Some(_) | None) => false,
            }),
            RootStage::Unsigned | RootStage::Ready | RootStage::Asking(_) => false,
        };
        stands.then_some((batch, root))
    }
}
