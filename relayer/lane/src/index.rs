//! Orders over the state that make each decision cheap; derived from it, never stored.

use crate::state::{FulfillmentStage, Leaf, LeafStage, State};
use acurast_events::bytes::SettlementId;
use acurast_events::units::{Bit, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The orders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Index {
    /// Waiting fulfilments by order of acceptance.
    pub(crate) queue: BTreeMap<u64, SettlementId>,
    /// Leaves without a root, by bit, which is their order of acceptance.
    pub(crate) unrooted: BTreeMap<Bit, SettlementId>,
    /// Leaves by their `not_after`.
    pub(crate) expiring: BTreeSet<(Timestamp, SettlementId)>,
}

impl Index {
    pub(crate) fn of(state: &State) -> Self {
        let mut index = Self::default();
        for (id, leaf) in &state.leaves {
            index.leaf_added(*id, leaf);
        }
        for (id, item) in &state.fulfillments {
            if item.stage == FulfillmentStage::Waiting {
                index.queue.insert(item.order, *id);
            }
        }
        index
    }

    pub(crate) fn leaf_added(&mut self, id: SettlementId, leaf: &Leaf) {
        self.expiring.insert((leaf.intent.not_after, id));
        if leaf.stage == LeafStage::Waiting {
            self.unrooted.insert(leaf.bit, id);
        }
    }
}
