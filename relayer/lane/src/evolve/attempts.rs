//! Folding what was prepared for open slots, and where it was seen.

use crate::error::LaneCoreError;
use crate::lane::Lane;
use crate::state::{Attempt, FulfillmentStage, Included, Reservation, RootStage};
use acurast_events::lanes::{AttemptEnded, AttemptIncluded, AttemptOrphaned, AttemptPrepared, AttemptReserved, Purpose, Rewound};
use acurast_events::units::Timestamp;

impl Lane {
    pub(super) fn attempt_prepared(&mut self, at: Timestamp, event: &AttemptPrepared) -> Result<(), LaneCoreError> {
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
        if self.state.reservations.remove(&slot).is_some() {
            self.touch_reservation(slot);
        }
        Ok(())
    }

    /// The request takes the place of the slot's last one, whose signature may exist and was never sent.
    pub(super) fn attempt_reserved(&mut self, event: &AttemptReserved) -> Result<(), LaneCoreError> {
        let invalid = |lane: &Self, reason: &str| Err(lane.invalid("AttemptReserved", reason));
        if self.state.head.quarantine.is_some() {
            return invalid(self, "the lane is quarantined");
        }
        let attempts = self.state.slots.get(&event.slot).map_or(0, |state| state.attempts.len());
        if u32::try_from(attempts) != Ok(event.attempt) {
            return invalid(self, "its number is not the slot's next");
        }
        if attempts == 0 && self.state.head.frontier.is_some_and(|frontier| event.slot < frontier) {
            return invalid(self, "its slot is final");
        }
        let AttemptReserved { slot, attempt, purpose, batch, items, fee } = event.clone();
        self.state.reservations.insert(slot, Reservation { attempt, purpose, batch, items, fee });
        self.touch_reservation(slot);
        Ok(())
    }

    /// A new slot takes its items: each must be free.
    pub(super) fn take_items(&mut self, event: &AttemptPrepared) -> Result<(), LaneCoreError> {
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

    pub(super) fn attempt_included(&mut self, event: &AttemptIncluded) -> Result<(), LaneCoreError> {
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

    pub(super) fn attempt_orphaned(&mut self, event: &AttemptOrphaned) -> Result<(), LaneCoreError> {
        match self.state.slots.get_mut(&event.slot) {
            Some(state) if state.included.as_ref().is_some_and(|included| included.tx == event.tx) => {
                state.included = None;
                self.touch_slot(event.slot);
                Ok(())
            }
            Some(_) | None => Err(self.invalid("AttemptOrphaned", "the attempt is not included")),
        }
    }

    pub(super) fn attempt_ended(&mut self, event: &AttemptEnded) -> Result<(), LaneCoreError> {
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

    pub(super) fn rewound(&mut self, event: &Rewound) {
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
}
