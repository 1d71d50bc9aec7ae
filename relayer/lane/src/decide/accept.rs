//! Taking intents from `jobs.v1`: a full copy, and for a leaf its bits. An intent that is known causes nothing, unless an operator
//! had planned anew what was given up: a leaf keeps its bits then, and for an output the chain is asked first (R2).

use crate::error::LaneCoreError;
use crate::lane::Lane;
use crate::state::LeafStage;
use acurast_events::ids::root_settlement_id;
use acurast_events::jobs::{Fault, FulfillmentPlanned, JobsEvent, LeafPlanned};
use acurast_events::lanes::{FulfillmentAccepted, IntentDead, LanesEvent, RootAccepted};

/// More executions than any schedule has; a leaf that claims more is malformed.
const EXECUTIONS_MAX: u64 = u32::MAX as u64;

impl Lane {
    pub(super) fn accept(&self, event: &JobsEvent) -> Result<Vec<LanesEvent>, LaneCoreError> {
        match event {
            JobsEvent::LeafPlanned(intent) if intent.lane == *self.state.lane() => self.accept_leaf(intent),
            JobsEvent::FulfillmentPlanned(intent) if intent.lane == *self.state.lane() => Ok(self.accept_fulfillment(intent)),
            _ => Ok(Vec::new()),
        }
    }

    fn accept_leaf(&self, intent: &LeafPlanned) -> Result<Vec<LanesEvent>, LaneCoreError> {
        let id = intent.settlement_id;
        if let Some(leaf) = self.state.leaves.get(&id) {
            let again = leaf.is_replanned(intent).then(|| RootAccepted { intent: intent.clone(), bit: leaf.bit }.into());
            return Ok(again.into_iter().collect());
        }
        let refuse = |reason: &str| Ok(vec![IntentDead { settlement_id: id, reason: reason.to_owned(), fault: Fault::Relayer }.into()]);
        if id != root_settlement_id(&intent.assignment_id) {
            return refuse("the leaf's settlement id is not its assignment's");
        }
        if intent.executions.0 == 0 || intent.executions.0 > EXECUTIONS_MAX {
            return refuse("the leaf covers no execution, or more than a schedule can have");
        }
        match self.allot_bits(intent.executions) {
            Some((bit, _)) => Ok(vec![RootAccepted { intent: intent.clone(), bit }.into()]),
            None => Err(LaneCoreError::Exhausted { lane: self.state.lane().clone(), what: "bits" }),
        }
    }

    fn accept_fulfillment(&self, intent: &FulfillmentPlanned) -> Vec<LanesEvent> {
        let id = intent.settlement_id;
        if self.state.fulfillments.contains_key(&id) {
            return Vec::new();
        }
        let refuse = |reason: &str, fault| vec![IntentDead { settlement_id: id, reason: reason.to_owned(), fault }.into()];
        let Some(leaf) = self.state.leaf_of(intent) else {
            return refuse("its leaf is not of this lane, or its time is over", Fault::Relayer);
        };
        if leaf.ended.contains(intent.execution.0) && !leaf.is_requeued(intent) {
            return Vec::new();
        }
        if leaf.leaf().bit_of(intent.execution).is_none() {
            return refuse("its leaf does not cover the execution", Fault::Relayer);
        }
        match leaf.stage {
            LeafStage::Dead => refuse("its assignment could not be proven", Fault::Unknown),
            LeafStage::Waiting | LeafStage::InRoot(_) => vec![FulfillmentAccepted { intent: intent.clone() }.into()],
        }
    }
}
