//! The fold: every event is checked against the state once more when it is read back, then applied. Nothing else changes
//! the state. An error leaves the state between two events: drop the lane and rebuild it from its partition.

use crate::error::LaneCoreError;
use crate::lane::Lane;
use crate::rows::Table;
use crate::state::{Attempt, Cause, Fulfillment, FulfillmentStage, Included, Leaf, LeafStage, Root, RootStage};
use acurast_events::amount::Amount;
use acurast_events::bytes::{MerkleNode, SettlementId};
use acurast_events::jobs::BlockRef;
use acurast_events::lanes::{
    AttemptEnded, AttemptIncluded, AttemptOrphaned, AttemptPrepared, EffectFound, FulfillmentAccepted, IntentDead, IntentReturned,
    ItemFinal, ItemOutcome, LaneOpened, LanesEvent, Purpose, Rewound, RootAbandoned, RootAccepted, RootAttested, RootPlanned, SlotFinal,
    SlotOutcome,
};
use acurast_events::merkle::MerkleTree;
use acurast_events::units::{Millis, Timestamp};

/// A leaf stays known this long after its `not_after`, so that what is late is recognised.
const LEAF_KEPT: Millis = Millis(3_600_000);

impl Lane {
    /// Folds the events of one record, stamped `at`.
    ///
    /// # Errors
    /// `Invalid` when an event does not follow from the state, which then lies between two events: rebuild the lane.
    pub fn evolve(&mut self, at: Timestamp, events: &[LanesEvent]) -> Result<(), LaneCoreError> {
        if at < self.state.head.at {
            return Err(self.invalid("record", "its time is before the last one's"));
        }
        self.state.head.at = at;
        for event in events {
            self.apply(at, event)?;
        }
        self.prune();
        self.touch_head();
        self.forget_settled();
        Ok(())
    }

    fn apply(&mut self, at: Timestamp, event: &LanesEvent) -> Result<(), LaneCoreError> {
        match event {
            // Positions of inputs and outputs are the shell's.
            LanesEvent::Progress(_) => Ok(()),
            LanesEvent::LaneOpened(event) => self.lane_opened(event),
            LanesEvent::RootAccepted(event) => self.root_accepted(at, event),
            LanesEvent::FulfillmentAccepted(event) => self.fulfillment_accepted(at, event),
            LanesEvent::RootPlanned(event) => self.root_planned(event),
            LanesEvent::RootAttested(event) => self.root_attested(event),
            LanesEvent::RootAbandoned(event) => self.root_abandoned(at, event),
            LanesEvent::AttemptPrepared(event) => self.attempt_prepared(at, event),
            LanesEvent::AttemptIncluded(event) => self.attempt_included(event),
            LanesEvent::AttemptOrphaned(event) => self.attempt_orphaned(event),
            LanesEvent::AttemptEnded(event) => self.attempt_ended(event),
            LanesEvent::SlotFinal(event) => self.slot_final(event),
            LanesEvent::IntentReturned(event) => self.intent_returned(event),
            LanesEvent::IntentDead(event) => self.intent_dead(event),
            LanesEvent::EffectFound(event) => self.effect_found(event),
            LanesEvent::LaneQuarantined(event) => {
                self.state.head.quarantine = Some(event.clone());
                Ok(())
            }
            LanesEvent::Rewound(event) => {
                self.rewound(event);
                Ok(())
            }
        }
    }

    fn lane_opened(&mut self, event: &LaneOpened) -> Result<(), LaneCoreError> {
        let head = &mut self.state.head;
        if head.opened || head.identity != *event {
            return Err(self.invalid("LaneOpened", "the lane is open already, or another one"));
        }
        head.opened = true;
        Ok(())
    }

    fn root_accepted(&mut self, at: Timestamp, event: &RootAccepted) -> Result<(), LaneCoreError> {
        let invalid = |lane: &Self, reason: &str| Err(lane.invalid("RootAccepted", reason));
        let id = event.intent.settlement_id;
        if !self.state.head.opened || event.intent.lane != *self.state.lane() {
            return invalid(self, "the lane is not open, or another one");
        }
        if self.state.leaves.contains_key(&id) || id != acurast_events::ids::root_settlement_id(&event.intent.assignment_id) {
            return invalid(self, "the leaf is known, or its id is not its assignment's");
        }
        let Some((bit, bits)) = self.allot_bits(event.intent.executions) else {
            return invalid(self, "the lane's bits are used up");
        };
        if bit != event.bit {
            return invalid(self, "its bit is not the lane's next");
        }
        self.state.head.bits = bits;
        let leaf = Leaf {
            intent: event.intent.clone(),
            bit,
            accepted_at: at,
            stage: LeafStage::Waiting,
            alone: false,
            reverted_at: None,
            returns: 0,
            open: 0,
            ended: crate::ranges::Ranges::default(),
        };
        self.index.leaf_added(id, &leaf);
        self.state.leaves.insert(id, leaf);
        self.touch(Table::Leaf, &id.0);
        Ok(())
    }

    fn fulfillment_accepted(&mut self, at: Timestamp, event: &FulfillmentAccepted) -> Result<(), LaneCoreError> {
        let invalid = |lane: &Self, reason: &str| Err(lane.invalid("FulfillmentAccepted", reason));
        let intent = &event.intent;
        let id = intent.settlement_id;
        if intent.lane != *self.state.lane() || self.state.fulfillments.contains_key(&id) {
            return invalid(self, "it is known, or another lane's");
        }
        let leaf_id = acurast_events::ids::root_settlement_id(&intent.assignment_id);
        let Some(leaf) = self.state.leaves.get_mut(&leaf_id) else {
            return invalid(self, "its leaf is unknown");
        };
        if leaf.ended.contains(intent.execution.0) || leaf.leaf().bit_of(intent.execution).is_none() {
            return invalid(self, "its execution has ended, or is not its leaf's");
        }
        leaf.open = leaf.open.saturating_add(1);
        let order = self.state.head.order;
        self.state.head.order = order.saturating_add(1);
        let stage = FulfillmentStage::Waiting;
        self.state.fulfillments.insert(id, Fulfillment { intent: intent.clone(), order, accepted_at: at, stage, returns: 0 });
        self.index.queue.insert(order, id);
        self.touch(Table::Leaf, &leaf_id.0);
        self.touch(Table::Fulfillment, &id.0);
        Ok(())
    }

    fn root_planned(&mut self, event: &RootPlanned) -> Result<(), LaneCoreError> {
        let invalid = |lane: &Self, reason: &str| Err(lane.invalid("RootPlanned", reason));
        let batch = event.statement.batch;
        let Some(next) = self.next_batch() else {
            return invalid(self, "the lane's batches are used up");
        };
        if batch != next {
            return invalid(self, "its number is not the lane's next");
        }
        let leaves: Option<Vec<&Leaf>> = event.leaves.iter().map(|id| self.state.leaves.get(id)).collect();
        let Some(leaves) = leaves.filter(|leaves| leaves.iter().all(|leaf| leaf.stage == LeafStage::Waiting)) else {
            return invalid(self, "a leaf is unknown, or not waiting");
        };
        let hashes: Vec<MerkleNode> = leaves.iter().map(|leaf| leaf.leaf().hash()).collect();
        let root = MerkleTree::new(&hashes).map(|tree| tree.root()).ok();
        let locked = leaves.iter().map(|leaf| leaf.intent.not_after).max();
        let statement = &event.statement;
        if hashes != event.hashes
            || root != Some(statement.root)
            || usize::try_from(statement.leaves) != Ok(leaves.len())
            || locked != Some(statement.locked_until)
        {
            return invalid(self, "its statement is not that of its leaves");
        }
        self.state.head.batches = self.state.head.batches.saturating_add(1);
        for id in &event.leaves {
            self.set_leaf_stage(id, LeafStage::InRoot(batch));
        }
        let root =
            Root { statement: statement.clone(), leaves: event.leaves.clone(), hashes, signatures: Vec::new(), stage: RootStage::Unsigned };
        self.state.roots.insert(batch, root);
        self.touch_root(batch);
        Ok(())
    }

    fn root_attested(&mut self, event: &RootAttested) -> Result<(), LaneCoreError> {
        match self.state.roots.get_mut(&event.batch) {
            Some(root) if root.stage == RootStage::Unsigned && !event.signatures.is_empty() => {
                root.signatures.clone_from(&event.signatures);
                root.stage = RootStage::Ready;
                self.touch_root(event.batch);
                Ok(())
            }
            Some(_) | None => Err(self.invalid("RootAttested", "the root is unknown or attested, or there is no signature")),
        }
    }

    fn root_abandoned(&mut self, at: Timestamp, event: &RootAbandoned) -> Result<(), LaneCoreError> {
        match self.state.roots.get(&event.batch).map(|root| root.stage) {
            Some(RootStage::Unsigned | RootStage::Ready | RootStage::Asking(_)) => {}
            Some(RootStage::InSlot(_) | RootStage::Posted) | None => {
                return Err(self.invalid("RootAbandoned", "the root is unknown, on its way, or on the chain"));
            }
        }
        let Some(root) = self.state.roots.remove(&event.batch) else { return Ok(()) };
        self.touch_root(event.batch);
        for id in &root.leaves {
            if let Some(leaf) = self.state.leaves.get_mut(id) {
                if event.reverted {
                    leaf.reverted_at = Some(at);
                }
                leaf.alone |= event.leaf == Some(*id);
            }
            self.set_leaf_stage(id, LeafStage::Waiting);
        }
        Ok(())
    }

    fn attempt_prepared(&mut self, at: Timestamp, event: &AttemptPrepared) -> Result<(), LaneCoreError> {
        let invalid = |lane: &Self, reason: &str| Err(lane.invalid("AttemptPrepared", reason));
        if self.state.head.quarantine.is_some() {
            return invalid(self, "the lane is quarantined");
        }
        let slot = event.slot;
        let state = self.state.slots.get(&slot);
        if u32::try_from(state.map_or(0, |state| state.attempts.len())) != Ok(event.attempt) {
            return invalid(self, "its number is not the slot's next");
        }
        if self.state.slot_of(&event.tx).is_some() {
            return invalid(self, "its transaction is known");
        }
        match state.and_then(|state| state.attempts.last()) {
            Some(before) => {
                let before = &before.prepared;
                let fits = event.purpose == Purpose::NoOp || (event.purpose == before.purpose && event.batch == before.batch);
                if !fits || event.items.iter().any(|item| !before.items.contains(item)) {
                    return invalid(self, "it does something else than the attempt before, or adds an item");
                }
            }
            None => {
                if self.state.head.frontier.is_some_and(|frontier| slot < frontier) {
                    return invalid(self, "its slot is final");
                }
                self.take_items(event)?;
            }
        }
        let attempt = Attempt { prepared: event.clone(), at, ended: None };
        self.state.slots.entry(slot).or_default().attempts.push(attempt);
        self.touch_slot(slot);
        Ok(())
    }

    /// A new slot takes its items: each must be free.
    fn take_items(&mut self, event: &AttemptPrepared) -> Result<(), LaneCoreError> {
        match event.purpose {
            Purpose::NoOp if event.items.is_empty() && event.batch.is_none() => {}
            Purpose::NoOp => return Err(self.invalid("AttemptPrepared", "a no-op has no items")),
            Purpose::Root => {
                let root = event.batch.and_then(|batch| self.state.roots.get(&batch));
                match root.filter(|root| root.stage == RootStage::Ready && root.leaves == event.items) {
                    Some(root) => self.set_root_stage(root.statement.batch, RootStage::InSlot(event.slot)),
                    None => return Err(self.invalid("AttemptPrepared", "its root is not ready, or has other leaves")),
                }
            }
            Purpose::Fulfill => {
                let waiting = |id| self.state.fulfillments.get(id).is_some_and(|item| item.stage == FulfillmentStage::Waiting);
                let mut seen = std::collections::BTreeSet::new();
                if event.items.is_empty() || !event.items.iter().all(|id| waiting(id) && seen.insert(id)) {
                    return Err(self.invalid("AttemptPrepared", "an item is not waiting, or there is none"));
                }
                for id in &event.items {
                    self.set_fulfillment_stage(id, FulfillmentStage::InSlot(event.slot));
                }
            }
        }
        Ok(())
    }

    fn attempt_included(&mut self, event: &AttemptIncluded) -> Result<(), LaneCoreError> {
        match self.state.slots.get_mut(&event.slot) {
            Some(state) if state.attempt(&event.tx).is_some() && state.included.is_none() => {
                state.included = Some(Included { tx: event.tx, block: event.block.clone(), success: event.success });
                self.saw_block(&event.block);
                self.touch_slot(event.slot);
                Ok(())
            }
            Some(_) | None => Err(self.invalid("AttemptIncluded", "the attempt is unknown, or one of the slot is included")),
        }
    }

    fn attempt_orphaned(&mut self, event: &AttemptOrphaned) -> Result<(), LaneCoreError> {
        match self.state.slots.get_mut(&event.slot) {
            Some(state) if state.included.as_ref().is_some_and(|included| included.tx == event.tx) => {
                state.included = None;
                self.touch_slot(event.slot);
                Ok(())
            }
            Some(_) | None => Err(self.invalid("AttemptOrphaned", "the attempt is not included")),
        }
    }

    fn attempt_ended(&mut self, event: &AttemptEnded) -> Result<(), LaneCoreError> {
        let attempt = self
            .state
            .slots
            .get_mut(&event.slot)
            .and_then(|state| state.attempts.iter_mut().find(|attempt| attempt.prepared.tx == event.tx && attempt.ended.is_none()));
        match attempt {
            Some(attempt) => {
                attempt.ended = Some(event.end);
                self.touch_slot(event.slot);
                Ok(())
            }
            None => Err(self.invalid("AttemptEnded", "the attempt is unknown, or has ended")),
        }
    }

    fn slot_final(&mut self, event: &SlotFinal) -> Result<(), LaneCoreError> {
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
        self.state.slots.remove(&event.slot);
        self.touch_slot(event.slot);
        let frontier = self.state.head.frontier.max(Some(event.slot.next()));
        self.state.head.frontier = frontier;
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

    fn item_final(&mut self, id: &SettlementId, slot: SlotOutcome, item: Option<&ItemFinal>) {
        let cause = match (slot, item.map(|item| item.outcome)) {
            (SlotOutcome::Foreign, _) => Cause::Foreign,
            (SlotOutcome::Success, Some(ItemOutcome::Settled | ItemOutcome::SettledFailed | ItemOutcome::AlreadySettled)) => {
                self.end_fulfillment(id);
                return;
            }
            (SlotOutcome::Success, Some(ItemOutcome::Skipped)) => Cause::Skipped(item.and_then(|item| item.skip_reason)),
            (_, Some(_)) => Cause::Reverted,
            (_, None) => Cause::LeftOut,
        };
        self.set_fulfillment_stage(id, FulfillmentStage::Asking(cause));
    }

    fn intent_returned(&mut self, event: &IntentReturned) -> Result<(), LaneCoreError> {
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

    fn intent_dead(&mut self, event: &IntentDead) -> Result<(), LaneCoreError> {
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

    fn effect_found(&mut self, event: &EffectFound) -> Result<(), LaneCoreError> {
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

    fn rewound(&mut self, event: &Rewound) {
        let undone: Vec<_> = self
            .state
            .slots
            .iter_mut()
            .filter(|(_, state)| state.included.as_ref().is_some_and(|included| included.block.number > event.to.number))
            .map(|(slot, state)| {
                state.included = None;
                *slot
            })
            .collect();
        for slot in undone {
            self.touch_slot(slot);
        }
    }

    fn saw_block(&mut self, block: &BlockRef) {
        self.state.head.chain_time = self.state.head.chain_time.max(block.timestamp);
    }

    fn end_fulfillment(&mut self, id: &SettlementId) {
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
    fn prune(&mut self) {
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
