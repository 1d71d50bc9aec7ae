//! What an operator asks of a lane: how much is open, for how long, and why something waits.

use crate::lane::Lane;
use crate::state::RootStage;
use acurast_events::bytes::SettlementId;
use acurast_events::lanes::LaneQuarantined;
use acurast_events::units::{Slot, Timestamp};

/// A lane at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// Why nothing new is sent, if so.
    pub quarantine: Option<LaneQuarantined>,
    /// Open slots, lowest first.
    pub open_slots: Vec<Slot>,
    /// Leaves that wait for a root.
    pub leaves_waiting: usize,
    /// Roots that are planned and not final.
    pub roots_open: usize,
    /// Outputs whose delivery is not final.
    pub fulfillments_open: usize,
    /// When the oldest open output, or leaf without a root, was accepted.
    pub oldest_open: Option<Timestamp>,
    /// Outputs that something is held against, with the reason.
    pub held: Vec<(SettlementId, String)>,
}

impl Lane {
    /// The lane at a glance.
    pub fn status(&self) -> LaneStatus {
        let leaves = self.index.unrooted.values().filter_map(|id| self.state.leaves.get(id)).map(|leaf| leaf.accepted_at);
        LaneStatus {
            quarantine: self.state.head.quarantine.clone(),
            open_slots: self.state.slots.keys().copied().collect(),
            leaves_waiting: self.index.unrooted.len(),
            roots_open: self.state.roots.values().filter(|root| root.stage != RootStage::Posted).count(),
            fulfillments_open: self.state.fulfillments.len(),
            oldest_open: leaves.chain(self.state.fulfillments.values().map(|item| item.accepted_at)).min(),
            held: self.volatile.suspicions.iter().map(|(id, held)| (*id, held.reason.clone())).collect(),
        }
    }
}
