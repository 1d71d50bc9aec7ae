//! One lane: a chain and a signer with one writer. What is sent in which slot, at which price, and what became of it.
//!
//! # An attempt's states (R4)
//!
//! ```text
//! Waiting ──Signed──▶ Prepared ──Sent──▶ (pool) ──Observed──▶ Included ──Reported──▶ Final(success | reverted)
//!    ▲        │          │  ▲              │  │                  │                       │
//!    │        │          │  └─rebroadcast──┘  │◀───Orphaned──────┘                       │
//!    │   (dropped:       │                    └─Evicted, Expired, Rejected─▶ Ended ──────┤ (still watched; its bytes
//!    │    nothing left)  └──Replaced by a higher bid, same slot, same or fewer items     │  may be mined all the same)
//!    │                                                                                   ▼
//!    └──────IntentReturned◀──effect absent──── Asking ◀──no effect: reverted, left out, skipped, foreign
//!                                                │
//!                             EffectFound, IntentDead: the intent has ended
//! ```
//!
//! What was given up may be planned anew by an operator (`requeued` of its intent counts how often): a leaf waits for a root again,
//! with its bits; an output stands at `Asking` first.
//!
//! Where the key is elsewhere, `Reserved` stands before `Prepared`: the request is in the log before the key sees it. Final
//! slots are kept for a while: when finality breaks, what they did is asked for again and `EffectLost` takes it back (R7).
//!
//! A slot is open from its first `AttemptPrepared` to its `SlotFinal`; all its attempts, ended ones too, are watched until
//! then. An item stands in one open slot at most. A root is `Unsigned → Ready → in a slot → Posted`; it is given up
//! (`RootAbandoned`), and its leaves planned anew with the same bits, while it is on its way nowhere; so is one that no
//! quorum signs for too long, so that what can't be derived never holds up what can.
//!
//! # Each ordered write, and a crash right after it
//!
//! | written | durable | not yet done | recovery |
//! |---|---|---|---|
//! | `RootAccepted` | the leaf with its bits | planning | it waits in `unrooted`, as it would have |
//! | `RootPlanned` | number, leaves, statement | asking attesters | they are asked; the same root again gives the same answer |
//! | `RootAttested` | signatures | simulating, signing | it is drafted again |
//! | `AttemptReserved` (a remote key only) | what it will be asked | asking, signing | it is asked for the same again while that fits, else for another, reserved in its place |
//! | nothing, after signing | | the signed bytes are lost | they never left: the slot is free, another draft takes it |
//! | `AttemptPrepared` | slot, bytes, price | sending | the bytes are sent; if they had been sent, again: harmless |
//! | nothing, after sending | the bytes, from before | the answer | sent again: `AlreadyKnown`, or `SlotTooLow` once mined |
//! | `AttemptIncluded` | where it was seen | finality | observed again; another block or none gives `AttemptOrphaned` |
//! | `SlotFinal` | cost, charges, outcomes per item | the question about items without effect | they stand at `Asking`: asked again |
//! | `IntentReturned` | that the effect was absent, and the count | a new slot | it waits in the queue |
//! | `LaneQuarantined` | that a foreign transaction is there, or that finality broke | nothing | nothing new is signed until an operator acts |
//! | `EffectLost` | that a final effect is gone | settle's reversal | settle takes it from this log, once |
//!
//! # What is never done
//!
//! A slot is never taken from `pending` or from a counter: it is the first from the mined state on that no open attempt of
//! ours has, so it goes down after a reorg and is never skipped. A hole before an open slot is filled with a no-op. Bytes
//! are never sent before they were read back, nor after their items' `not_after`. *Not found* and *unknown* are different
//! answers. Sending itself is the shell's, under the lease of R12: an [`Action::Broadcast`] may always be held back.
//!
//! # Use
//!
//! ```text
//! loop: run actions(now) → each result is an input → decide(input) → append the events as one record, read back → evolve
//!       next_wake(now) → Tick
//! ```
//!
//! [`Lane::decide`] changes nothing but what may be forgotten. Between `decide` and `evolve` no other input is decided; a
//! shell that groups commits evolves its copy at once, holds back the actions until the records were read back, and
//! rebuilds the lane from the log when one wasn't.

use crate::error::LaneCoreError;
use crate::index::Index;
use crate::input::{EffectOf, SignRequest};
use crate::rows::Table;
use crate::state::{FulfillmentStage, LeafStage, Reservation, RootStage, State};
use crate::volatile::Volatile;
use acurast_adapter_api::{Capabilities, LaneView};
use acurast_events::bytes::{SettlementId, TxHash};
use acurast_events::lanes::LaneOpened;
use acurast_events::units::{Batch, Bit, Count, LaneNumber, Millis, Slot, Timestamp};
use std::collections::BTreeSet;

#[cfg(doc)]
use crate::input::Action;

/// A view older than this many block times decides nothing.
const VIEW_BLOCKS_MAX: u64 = 4;
/// At least this long a view is good, however quick the chain.
const VIEW_AGE_MIN: Millis = Millis(3_000);

/// A lane: the fold of its events, and what it saw since it was started.
#[derive(Debug, Clone)]
pub struct Lane {
    pub(crate) state: State,
    pub(crate) index: Index,
    pub(crate) volatile: Volatile,
    pub(crate) dirty: BTreeSet<(Table, Vec<u8>)>,
}

impl Lane {
    /// A lane that nothing is known of; fold its partition into it, or [`Lane::load`] it.
    pub fn new(identity: LaneOpened) -> Self {
        Self { state: State::new(identity), index: Index::default(), volatile: Volatile::default(), dirty: BTreeSet::new() }
    }

    /// Chain and signer, number, and settlement contract.
    pub fn identity(&self) -> &LaneOpened {
        &self.state.head.identity
    }

    pub(crate) fn invalid(&self, event: &'static str, reason: &str) -> LaneCoreError {
        LaneCoreError::Invalid { lane: self.state.lane().clone(), event, reason: reason.to_owned() }
    }

    fn number(&self) -> Option<LaneNumber> {
        u16::try_from(self.state.head.identity.number).ok().map(LaneNumber)
    }

    /// The bits of a leaf with so many executions, and the counter after them; nothing when the range is used up.
    pub(crate) fn allot_bits(&self, executions: Count) -> Option<(Bit, u64)> {
        let number = self.number()?;
        let first = self.state.head.bits;
        // One more than executions: the last records that the root share was paid.
        let last = first.checked_add(executions.0)?;
        number.nth(last)?;
        Some((Bit(number.nth(first)?), last.checked_add(1)?))
    }

    /// The number of the next root; nothing when the range is used up.
    pub(crate) fn next_batch(&self) -> Option<Batch> {
        self.number()?.nth(self.state.head.batches).map(Batch)
    }

    /// The view, unless it is too old or contradicted.
    pub(crate) fn fresh_view(&self, caps: &Capabilities, now: Timestamp) -> Option<&LaneView> {
        let (at, view) = self.volatile.view.as_ref().filter(|_| !self.volatile.view_stale)?;
        let age_max = caps.block_time.0.saturating_mul(VIEW_BLOCKS_MAX).max(VIEW_AGE_MIN.0);
        (now.since(*at).0 <= age_max).then_some(view)
    }

    /// The next slot: the first from the chain's mined state on that no open attempt of ours has. The flag tells a hole:
    /// a later slot is open.
    pub(crate) fn next_slot(&self, view: &LaneView) -> (Slot, bool) {
        let mut slot = self.state.head.frontier.map_or(view.next_slot_head, |frontier| frontier.max(view.next_slot_head));
        for open in self.state.slots.range(slot..).map(|(open, _)| *open) {
            if open != slot {
                return (slot, true);
            }
            slot = slot.next();
        }
        (slot, false)
    }

    /// Whether this open slot waits for inclusion.
    pub(crate) fn in_flight(&self, slot: Slot, view: &LaneView) -> bool {
        slot >= view.next_slot_head && self.state.slots.get(&slot).is_some_and(|state| state.included.is_none())
    }

    pub(crate) fn set_leaf_stage(&mut self, id: &SettlementId, stage: LeafStage) {
        let Some(leaf) = self.state.leaves.get_mut(id) else { return };
        leaf.stage = stage;
        if stage == LeafStage::Waiting {
            self.index.unrooted.insert(leaf.bit, *id);
        } else {
            self.index.unrooted.remove(&leaf.bit);
        }
        self.touch(Table::Leaf, &id.0);
    }

    pub(crate) fn set_root_stage(&mut self, batch: Batch, stage: RootStage) {
        if let Some(root) = self.state.roots.get_mut(&batch) {
            root.stage = stage;
            self.touch_root(batch);
        }
    }

    pub(crate) fn set_fulfillment_stage(&mut self, id: &SettlementId, stage: FulfillmentStage) {
        let Some(item) = self.state.fulfillments.get_mut(id) else { return };
        item.stage = stage;
        if stage == FulfillmentStage::Waiting {
            self.index.queue.insert(item.order, *id);
        } else {
            self.index.queue.remove(&item.order);
        }
        self.touch(Table::Fulfillment, &id.0);
    }

    /// What the key was last asked for, if it is this call as this attempt of the slot; its price may differ.
    pub(crate) fn reservation_of(&self, request: &SignRequest) -> Option<&Reservation> {
        let call = &request.call;
        self.state.reservations.get(&request.slot).filter(|reserved| {
            (reserved.attempt, reserved.purpose, reserved.batch, &reserved.items)
                == (request.attempt, call.purpose, call.batch, &call.items)
        })
    }

    /// Forgets what was seen of transactions and items that have ended.
    pub(crate) fn forget_settled(&mut self) {
        let Self { state, volatile, .. } = self;
        let open = state.slots.values().flat_map(|slot| &slot.attempts).map(|attempt| attempt.prepared.tx);
        let known: BTreeSet<TxHash> = open.chain(state.finals.values().map(|slot| slot.tx)).collect();
        volatile.watches.retain(|tx, _| known.contains(tx));
        volatile.confirmed.retain(|of| match of {
            EffectOf::Root(batch) => state.finals.values().any(|slot| slot.batch == Some(*batch)),
            EffectOf::Fulfillment(id) => state.finals.values().any(|slot| slot.items.iter().any(|item| item.id == *id)),
        });
        volatile.suspicions.retain(|id, _| state.fulfillments.contains_key(id));
        volatile.root_reverts.retain(|batch, _| state.roots.contains_key(batch));
        let waiting = |id: &SettlementId| state.fulfillments.get(id).is_some_and(|item| item.stage == FulfillmentStage::Waiting);
        let ready = |batch: &Batch| state.roots.get(batch).is_some_and(|root| root.stage == RootStage::Ready);
        volatile.draft = volatile.draft.take().filter(|draft| match draft.batch {
            Some(batch) => ready(&batch),
            None => draft.items.iter().all(waiting),
        });
    }
}
