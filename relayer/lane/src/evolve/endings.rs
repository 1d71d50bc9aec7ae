//! Folding how slots and intents end, and forgetting what is over.

use crate::error::LaneCoreError;
use crate::lane::Lane;
use crate::rows::Table;
use crate::state::{Cause, FulfillmentStage, LeafStage, RootStage};
use acurast_events::amount::Amount;
use acurast_events::bytes::SettlementId;
use acurast_events::lanes::{EffectFound, IntentDead, IntentReturned, ItemFinal, ItemOutcome, Purpose, SlotFinal, SlotOutcome};
use acurast_events::units::Millis;

/// A leaf stays known this long after its `not_after`, so that what is late is recognised.
const LEAF_KEPT: Millis = Millis(3_600_000);

impl Lane {
    pub(super) fn slot_final(&mut self, event: &SlotFinal) -> Result<(), LaneCoreError> {
        let invalid = |lane: &Self, reason: &str| Err(lane.invalid("SlotFinal", reason));
        let Some(state) = self.state.slots.get(&event.slot) else {
            return invalid(self, "the slot is not open");
        };
        let items: Vec<SettlementId> = event.items.iter().map(|item| item.settlement_id).collect();
        let consistent = match (event.outcome, state.attempt(&event.tx)) {
            (SlotOutcome::Foreign, None) => event.purpose.is_none() && items.is_empty(),
            (SlotOutcome::Success | SlotOutcome::Reverted, Some(attempt)) => {
                event.purpose == Some(attempt.prepared.purpose) && items == attempt.prepared.items
            }
            (SlotOutcome::Foreign, Some(_)) | (SlotOutcome::Success | SlotOutcome::Reverted, None) => false,
        };
        if !consistent {
            return invalid(self, "its transaction or items are not an attempt's");
        }
        if !items.is_empty() && Amount::checked_sum(event.items.iter().map(|item| item.cost)) != Some(event.cost) {
            return invalid(self, "the costs of its items don't sum to its cost");
        }
        let carried = state.items().to_vec();
        let purpose = state.purpose();
        self.keep_final(event, purpose);
        self.state.slots.remove(&event.slot);
        self.touch_slot(event.slot);
        let frontier = self.state.head.frontier.max(Some(event.slot.next()));
        self.state.head.frontier = frontier;
        self.state.head.final_number = self.state.head.final_number.max(event.block.number);
        self.drop_reservations();
        self.saw_block(&event.block);
        match purpose {
            Some((Purpose::Root, Some(batch))) => {
                let posted = event.outcome == SlotOutcome::Success && event.purpose == Some(Purpose::Root);
                let cause = if event.purpose == Some(Purpose::NoOp) { Cause::LeftOut } else { cause_of(event.outcome) };
                self.set_root_stage(batch, if posted { RootStage::Posted } else { RootStage::Asking(cause) });
            }
            Some((Purpose::Fulfill, _)) => {
                for id in &carried {
                    let item = event.items.iter().find(|item| item.settlement_id == *id);
                    self.item_final(id, event.outcome, item);
                }
            }
            Some((Purpose::Root | Purpose::NoOp, _)) | None => {}
        }
        Ok(())
    }

    pub(super) fn item_final(&mut self, id: &SettlementId, slot: SlotOutcome, item: Option<&ItemFinal>) {
        let cause = match (slot, item.map(|item| item.outcome)) {
            (SlotOutcome::Foreign, _) => Cause::Foreign,
            (SlotOutcome::Success, Some(ItemOutcome::Settled | ItemOutcome::SettledFailed)) => {
                self.end_fulfillment(id);
                return;
            }
            // Settled by a transaction that no slot of ours accounts for: which one is asked, so that settle hears of the effect.
            (SlotOutcome::Success, Some(ItemOutcome::Skipped | ItemOutcome::AlreadySettled)) => {
                Cause::Skipped(item.and_then(|item| item.skip_reason))
            }
            (_, Some(_)) => Cause::Reverted,
            (_, None) => Cause::LeftOut,
        };
        self.set_fulfillment_stage(id, FulfillmentStage::Asking(cause));
    }

    pub(super) fn intent_returned(&mut self, event: &IntentReturned) -> Result<(), LaneCoreError> {
        let id = &event.settlement_id;
        if let Some(leaf) = self.state.leaves.get_mut(id) {
            let batch = match leaf.stage {
                LeafStage::InRoot(batch) => Some(batch),
                LeafStage::Waiting => None,
                LeafStage::Dead => return Err(self.invalid("IntentReturned", "the leaf was given up")),
            };
            leaf.returns = event.times;
            self.touch(Table::Leaf, &id.0);
            if let Some(batch) = batch {
                match self.state.roots.get(&batch).map(|root| root.stage) {
                    Some(RootStage::Asking(_) | RootStage::Ready) => self.set_root_stage(batch, RootStage::Ready),
                    Some(RootStage::Unsigned | RootStage::InSlot(_) | RootStage::Posted) | None => {
                        return Err(self.invalid("IntentReturned", "its root was in no final slot"));
                    }
                }
            }
            return Ok(());
        }
        match self.state.fulfillments.get_mut(id) {
            Some(item) if matches!(item.stage, FulfillmentStage::Asking(_)) => {
                item.returns = event.times;
                self.set_fulfillment_stage(id, FulfillmentStage::Waiting);
                Ok(())
            }
            Some(_) | None => Err(self.invalid("IntentReturned", "the item is unknown, or was in no final slot")),
        }
    }

    pub(super) fn intent_dead(&mut self, event: &IntentDead) -> Result<(), LaneCoreError> {
        let id = &event.settlement_id;
        match self.state.leaves.get(id).map(|leaf| leaf.stage) {
            Some(LeafStage::Waiting) => {
                self.set_leaf_stage(id, LeafStage::Dead);
                return Ok(());
            }
            Some(LeafStage::InRoot(_) | LeafStage::Dead) => return Err(self.invalid("IntentDead", "the leaf's root stands, or it is dead")),
            None => {}
        }
        match self.state.fulfillments.get(id).map(|item| item.stage) {
            Some(FulfillmentStage::InSlot(_)) => Err(self.invalid("IntentDead", "its slot is unresolved")),
            Some(FulfillmentStage::Waiting | FulfillmentStage::Asking(_)) => {
                self.end_fulfillment(id);
                Ok(())
            }
            // It was never accepted: malformed, or too late.
            None => Ok(()),
        }
    }

    pub(super) fn effect_found(&mut self, event: &EffectFound) -> Result<(), LaneCoreError> {
        let id = &event.settlement_id;
        self.saw_block(&event.block);
        if let Some(leaf) = self.state.leaves.get(id) {
            let LeafStage::InRoot(batch) = leaf.stage else {
                return Err(self.invalid("EffectFound", "the leaf is in no root"));
            };
            self.set_root_stage(batch, RootStage::Posted);
            return Ok(());
        }
        match self.state.fulfillments.get(id).map(|item| item.stage) {
            Some(FulfillmentStage::Asking(_)) => {
                self.end_fulfillment(id);
                Ok(())
            }
            Some(FulfillmentStage::Waiting | FulfillmentStage::InSlot(_)) | None => {
                Err(self.invalid("EffectFound", "the item is unknown, or nothing was asked about it"))
            }
        }
    }

    pub(super) fn end_fulfillment(&mut self, id: &SettlementId) {
        let Some(item) = self.state.fulfillments.remove(id) else { return };
        self.index.queue.remove(&item.order);
        self.touch(Table::Fulfillment, &id.0);
        let leaf_id = acurast_events::ids::root_settlement_id(&item.intent.assignment_id);
        if let Some(leaf) = self.state.leaves.get_mut(&leaf_id) {
            leaf.open = leaf.open.saturating_sub(1);
            leaf.ended.insert(item.intent.execution.0);
            self.touch(Table::Leaf, &leaf_id.0);
        }
    }

    /// Forgets leaves, and roots without leaves, by the destination's own clock, so that memory follows open work and a
    /// replay forgets the same at the same record.
    pub(super) fn prune(&mut self) {
        let now = self.state.head.chain_time;
        let due: Vec<_> = self.index.expiring.iter().take_while(|(not_after, _)| not_after.after(LEAF_KEPT) < now).copied().collect();
        for (not_after, id) in due {
            let Some(leaf) = self.state.leaves.get(&id) else { continue };
            let root = match leaf.stage {
                LeafStage::Waiting => continue,
                LeafStage::Dead => None,
                LeafStage::InRoot(batch) => match self.state.roots.get(&batch).map(|root| root.stage) {
                    Some(RootStage::Posted) => Some(batch),
                    Some(_) => continue,
                    None => None,
                },
            };
            if leaf.open > 0 {
                continue;
            }
            self.state.leaves.remove(&id);
            self.index.expiring.remove(&(not_after, id));
            self.touch(Table::Leaf, &id.0);
            if let Some(batch) = root {
                let gone =
                    self.state.roots.get(&batch).is_some_and(|root| root.leaves.iter().all(|leaf| !self.state.leaves.contains_key(leaf)));
                if gone {
                    self.state.roots.remove(&batch);
                    self.touch_root(batch);
                }
            }
        }
    }
}

fn cause_of(outcome: SlotOutcome) -> Cause {
    match outcome {
        SlotOutcome::Success | SlotOutcome::Reverted => Cause::Reverted,
        SlotOutcome::Foreign => Cause::Foreign,
    }
}
