//! What must not be: slots after ours are taken, final blocks change, final effects are gone (R3, R7).
//!
//! A broken finality is noticed three ways: by a final block that is another one, by slots that were final and aren't, and
//! by the newest final transaction, which is looked at again while the lane looks at the chain anyway (it is the only one
//! of the three that a restart does not forget). The lane is quarantined, and every effect of a slot whose transaction
//! moved is asked for at the new finality: `EffectLost` compensates what is gone. What is lost is not sent again by
//! itself: nobody knows why finality broke, and whether it holds now.

use crate::input::EffectOf;
use crate::lane::Lane;
use crate::state::{FinalSlot, RootStage};
use acurast_adapter_api::{Effect, LaneView, Observation};
use acurast_events::bytes::{SettlementId, TxHash};
use acurast_events::jobs::BlockRef;
use acurast_events::lanes::{EffectLost, LaneQuarantined, LanesEvent, Rewound};
use acurast_events::units::{Batch, Slot};

impl Lane {
    /// What a view alone says that must not be.
    pub(super) fn judge_view(&self, view: &LaneView) -> Vec<LanesEvent> {
        if self.state.head.quarantine.is_some() {
            return Vec::new();
        }
        let known = self.volatile.finalized.get(&view.finalized.number);
        if let Some(known) = known.filter(|known| known.hash != view.finalized.hash) {
            let reason = format!("final block {} was {} and is now {}: finality broke", known.number, known.hash, view.finalized.hash);
            return self.finality_broke(known, view.next_slot_final, None, reason);
        }
        if let Some((slot, newest)) = self.state.finals.last_key_value()
            && view.finalized.number >= newest.block.number
            && view.next_slot_final <= *slot
        {
            let reason =
                format!("slot {slot} was final in block {}, and final block {} has it free", named(&newest.block), named(&view.finalized));
            return self.finality_broke(&newest.block, *slot, Some(newest.tx), reason);
        }
        match self.state.expected_slot() {
            Some(expected) if view.next_slot_head > expected => {
                let reason = format!("slot {expected} was used by a foreign transaction: the chain's next slot is {}", view.next_slot_head);
                vec![self.quarantined(expected, None, reason)]
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// A final transaction was looked at again. One that is elsewhere, or nowhere for as long as it takes to believe it,
    /// breaks finality.
    pub(super) fn final_observed(&self, not_found_max: u32, tx: &TxHash, observation: &Observation) -> Vec<LanesEvent> {
        let Some((slot, known)) = self.state.final_slot_of(tx) else { return Vec::new() };
        if !self.final_moved(not_found_max, tx, known) || self.state.head.quarantine.is_some() {
            return Vec::new();
        }
        let now = match observation {
            Observation::Included(inclusion) => format!("in block {}", named(&inclusion.block)),
            Observation::NotFound | Observation::Pending | Observation::Unknown(_) => "in none".to_owned(),
        };
        let reason = format!("transaction {tx} was final in block {} and is now {now}: finality broke", named(&known.block));
        self.finality_broke(&known.block, slot, Some(*tx), reason)
    }

    /// Whether the last looks at a final transaction say that it is not where it was final.
    pub(crate) fn final_moved(&self, not_found_max: u32, tx: &TxHash, known: &FinalSlot) -> bool {
        let Some(watch) = self.volatile.watches.get(tx) else { return false };
        match watch.observed.as_ref().map(|(_, observation)| observation) {
            // Said once it may be one node's word, or one that lags on a fork.
            Some(Observation::Included(inclusion)) => inclusion.block.hash != known.block.hash && watch.settled_in >= not_found_max,
            Some(Observation::NotFound | Observation::Unknown(_)) => watch.not_found >= not_found_max,
            // A node that lags has it in its pool; one that reorganised mines it anew, or loses it.
            Some(Observation::Pending) | None => false,
        }
    }

    /// The lane stops; what stood above the last block that is still known to be common is undone.
    fn finality_broke(&self, broken: &BlockRef, slot: Slot, tx: Option<TxHash>, reason: String) -> Vec<LanesEvent> {
        let older = self.state.finals.values().map(|slot| &slot.block).rfind(|block| block.number < broken.number);
        let common = self.volatile.finalized.range(..broken.number).next_back().map(|(_, block)| block).or(older);
        let mut events: Vec<LanesEvent> = common.map(|to| Rewound { to: to.clone() }.into()).into_iter().collect();
        events.push(self.quarantined(slot, tx, reason));
        events
    }

    /// The answer about an effect that had been final.
    pub(super) fn final_effect(&mut self, of: &EffectOf, effect: &Effect) -> Vec<LanesEvent> {
        let found = match of {
            EffectOf::Root(batch) => self.state.finals.iter().find(|(_, slot)| slot.batch == Some(*batch)),
            EffectOf::Fulfillment(id) => self.state.finals.iter().find(|(_, slot)| slot.items.iter().any(|item| item.id == *id)),
        };
        let Some((slot, known)) = found else { return Vec::new() };
        let Effect::Absent { block } = effect else {
            self.volatile.confirmed.insert(*of);
            return Vec::new();
        };
        let concerned = |id: &SettlementId| match of {
            EffectOf::Root(_) => true,
            EffectOf::Fulfillment(asked) => asked == id,
        };
        // An answer of before the block that was final says nothing of it.
        if block.number < known.block.number {
            return Vec::new();
        }
        let lost = known.items.iter().filter(|item| concerned(&item.id)).map(|item| {
            let (tx, was) = (known.tx, known.block.clone());
            let escrow_id = item.output.as_ref().map(|(leaf, _)| leaf.escrow_id);
            let (charge, root_share, block) = (item.charge, item.root_share, block.clone());
            EffectLost { settlement_id: item.id, slot: *slot, tx, was, block, escrow_id, charge, root_share }.into()
        });
        lost.collect()
    }

    /// Whether a root's effect is one that had been final, and not one that a new slot waits for.
    pub(super) fn was_posted(&self, batch: Batch) -> bool {
        self.state.roots.get(&batch).is_none_or(|root| root.stage == RootStage::Posted)
    }

    pub(super) fn quarantined(&self, slot: Slot, tx: Option<TxHash>, reason: String) -> LanesEvent {
        let reason = format!("lane {}: {reason}; lane quarantined; see \"foreign transaction\" in the runbook", self.state.lane());
        LaneQuarantined { slot, tx, reason }.into()
    }
}

fn named(block: &BlockRef) -> String {
    format!("{} ({})", block.number, block.hash)
}
