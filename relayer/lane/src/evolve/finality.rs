//! Folding what is kept of final slots, and what a broken finality took away.

use crate::error::LaneCoreError;
use crate::lane::Lane;
use crate::state::{Cause, FinalItem, FinalSlot, LeafStage, RootStage};
use acurast_events::lanes::{EffectLost, ItemFinal, ItemOutcome, Purpose, SlotFinal, SlotOutcome};
use acurast_events::units::{Batch, Slot};

/// So many final slots are kept to ask for their effects again; finality does not break deeper than that unnoticed, but
/// what lies deeper is not compensated by itself.
const FINALS_KEPT: usize = 128;

impl Lane {
    /// Remembers a final slot with effects; before its items end, as their leaves and executions are needed.
    pub(super) fn keep_final(&mut self, event: &SlotFinal, purpose: Option<(Purpose, Option<Batch>)>) {
        let (SlotOutcome::Success, Some(Purpose::Root | Purpose::Fulfill)) = (event.outcome, event.purpose) else { return };
        let batch = purpose.filter(|(purpose, _)| *purpose == Purpose::Root).and_then(|(_, batch)| batch);
        let settled = |item: &&ItemFinal| matches!(item.outcome, ItemOutcome::Settled | ItemOutcome::SettledFailed);
        let items = event.items.iter().filter(settled).map(|item| FinalItem {
            id: item.settlement_id,
            output: self.state.fulfillments.get(&item.settlement_id).and_then(|output| {
                let leaf = self.state.leaf_of(&output.intent)?;
                Some((leaf.leaf(), output.intent.execution))
            }),
            charge: item.charge,
            root_share: item.root_share,
        });
        let slot = FinalSlot { tx: event.tx, block: event.block.clone(), batch, items: items.collect() };
        self.state.finals.insert(event.slot, slot);
        self.touch_final(event.slot);
        while self.state.finals.len() > FINALS_KEPT {
            if let Some((oldest, _)) = self.state.finals.pop_first() {
                self.touch_final(oldest);
            }
        }
    }

    /// What a key was asked for a slot that is final is of no use any more.
    pub(super) fn drop_reservations(&mut self) {
        let frontier = self.state.head.frontier;
        let over: Vec<Slot> = self.state.reservations.keys().filter(|slot| Some(**slot) < frontier).copied().collect();
        for slot in over {
            self.state.reservations.remove(&slot);
            self.touch_reservation(slot);
        }
    }

    /// An output that lost its effect is over all the same; a root is asked for, and posted again when the lane may.
    pub(super) fn effect_lost(&mut self, event: &EffectLost) -> Result<(), LaneCoreError> {
        let id = &event.settlement_id;
        let Some(slot) = self.state.finals.get_mut(&event.slot).filter(|slot| slot.tx == event.tx) else {
            return Err(self.invalid("EffectLost", "its slot was not final by this transaction, or is no longer kept"));
        };
        let before = slot.items.len();
        slot.items.retain(|item| item.id != *id);
        if slot.items.len() == before {
            return Err(self.invalid("EffectLost", "the slot had no such effect"));
        }
        self.touch_final(event.slot);
        self.saw_block(&event.block);
        if let Some(LeafStage::InRoot(batch)) = self.state.leaves.get(id).map(|leaf| leaf.stage)
            && self.state.roots.get(&batch).is_some_and(|root| root.stage == RootStage::Posted)
        {
            self.set_root_stage(batch, RootStage::Asking(Cause::FinalityBroke));
        }
        Ok(())
    }
}
