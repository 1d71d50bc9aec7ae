//! The fold: every event is checked against the state once more when it is read back, then applied. Nothing else changes
//! the state. An error leaves the state between two events: drop the lane and rebuild it from its partition.

mod attempts;
mod endings;
mod finality;
mod intents;

use crate::error::LaneCoreError;
use crate::lane::Lane;
use acurast_events::jobs::BlockRef;
use acurast_events::lanes::{LaneOpened, LanesEvent};
use acurast_events::units::Timestamp;

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
            // Positions of inputs and outputs, and digests of the state, are the shell's.
            LanesEvent::Progress(_) | LanesEvent::StateDigest(_) => Ok(()),
            LanesEvent::LaneOpened(event) => self.lane_opened(event),
            LanesEvent::RootAccepted(event) => self.root_accepted(at, event),
            LanesEvent::FulfillmentAccepted(event) => self.fulfillment_accepted(at, event),
            LanesEvent::RootPlanned(event) => self.root_planned(at, event),
            LanesEvent::RootAttested(event) => self.root_attested(event),
            LanesEvent::RootAbandoned(event) => self.root_abandoned(at, event),
            LanesEvent::AttemptReserved(event) => self.attempt_reserved(event),
            LanesEvent::AttemptPrepared(event) => self.attempt_prepared(at, event),
            LanesEvent::AttemptIncluded(event) => self.attempt_included(event),
            LanesEvent::AttemptOrphaned(event) => self.attempt_orphaned(event),
            LanesEvent::AttemptEnded(event) => self.attempt_ended(event),
            LanesEvent::SlotFinal(event) => self.slot_final(event),
            LanesEvent::IntentReturned(event) => self.intent_returned(event),
            LanesEvent::IntentDead(event) => self.intent_dead(event),
            LanesEvent::EffectFound(event) => self.effect_found(event),
            LanesEvent::EffectLost(event) => self.effect_lost(event),
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

    fn saw_block(&mut self, block: &BlockRef) {
        self.state.head.chain_time = self.state.head.chain_time.max(block.timestamp);
    }
}
