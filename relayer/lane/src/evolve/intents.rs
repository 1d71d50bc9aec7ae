//! Folding what was accepted, and what leaves were gathered into.

use crate::error::LaneCoreError;
use crate::lane::Lane;
use crate::rows::Table;
use crate::state::{Cause, Fulfillment, FulfillmentStage, Leaf, LeafStage, Root, RootStage};
use acurast_events::bytes::MerkleNode;
use acurast_events::lanes::{FulfillmentAccepted, RootAbandoned, RootAccepted, RootAttested, RootPlanned};
use acurast_events::merkle::MerkleTree;
use acurast_events::units::Timestamp;
use std::collections::BTreeMap;

impl Lane {
    pub(super) fn root_accepted(&mut self, at: Timestamp, event: &RootAccepted) -> Result<(), LaneCoreError> {
        let invalid = |lane: &Self, reason: &str| Err(lane.invalid("RootAccepted", reason));
        let id = event.intent.settlement_id;
        if !self.state.head.opened || event.intent.lane != *self.state.lane() {
            return invalid(self, "the lane is not open, or another one");
        }
        if id != acurast_events::ids::root_settlement_id(&event.intent.assignment_id) {
            return invalid(self, "its id is not its assignment's");
        }
        if let Some(leaf) = self.state.leaves.get_mut(&id) {
            if !leaf.is_replanned(&event.intent) || leaf.bit != event.bit || leaf.intent.executions != event.intent.executions {
                return invalid(self, "the leaf is known, and was not given up and planned anew with its bits");
            }
            (leaf.intent, leaf.accepted_at) = (event.intent.clone(), at);
            (leaf.reverted_at, leaf.returns) = (None, 0);
            self.set_leaf_stage(&id, LeafStage::Waiting);
            return Ok(());
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
            requeued: BTreeMap::new(),
        };
        self.index.leaf_added(id, &leaf);
        self.state.leaves.insert(id, leaf);
        self.touch(Table::Leaf, &id.0);
        Ok(())
    }

    pub(super) fn fulfillment_accepted(&mut self, at: Timestamp, event: &FulfillmentAccepted) -> Result<(), LaneCoreError> {
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
        let again = leaf.is_requeued(intent);
        if (leaf.ended.contains(intent.execution.0) && !again) || leaf.leaf().bit_of(intent.execution).is_none() {
            return invalid(self, "its execution has ended, or is not its leaf's");
        }
        leaf.open = leaf.open.saturating_add(1);
        if again {
            leaf.requeued.insert(intent.execution.0, intent.requeued);
        }
        let order = self.state.head.order;
        self.state.head.order = order.saturating_add(1);
        // What was given up may have been in slots: the chain is asked for its effect before it gets a new one (R2).
        let stage = if again { FulfillmentStage::Asking(Cause::Requeued) } else { FulfillmentStage::Waiting };
        self.state.fulfillments.insert(id, Fulfillment { intent: intent.clone(), order, accepted_at: at, stage, returns: 0 });
        if !again {
            self.index.queue.insert(order, id);
        }
        self.touch(Table::Leaf, &leaf_id.0);
        self.touch(Table::Fulfillment, &id.0);
        Ok(())
    }

    pub(super) fn root_planned(&mut self, at: Timestamp, event: &RootPlanned) -> Result<(), LaneCoreError> {
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
        let root = Root {
            statement: statement.clone(),
            leaves: event.leaves.clone(),
            hashes,
            signatures: Vec::new(),
            planned_at: at,
            stage: RootStage::Unsigned,
        };
        self.state.roots.insert(batch, root);
        self.touch_root(batch);
        Ok(())
    }

    pub(super) fn root_attested(&mut self, event: &RootAttested) -> Result<(), LaneCoreError> {
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

    pub(super) fn root_abandoned(&mut self, at: Timestamp, event: &RootAbandoned) -> Result<(), LaneCoreError> {
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
}
