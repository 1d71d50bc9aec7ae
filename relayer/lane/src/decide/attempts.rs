//! What becomes of transactions: prepared, refused, seen, orphaned, lost, final (R1, R4, R6, R7).

use super::Context;
use crate::error::LaneCoreError;
use crate::fee::{self, FeeRules};
use crate::input::SignRequest;
use crate::lane::Lane;
use crate::plan::{Plan, Work};
use crate::split::split_evenly;
use crate::state::{Attempt, Included, SlotState};
use acurast_adapter_api::{FinalReport, Inclusion, LaneView, Observation, SendOutcome, SignedAttempt};
use acurast_events::amount::Amount;
use acurast_events::bytes::TxHash;
use acurast_events::lanes::{
    AttemptEnd, AttemptEnded, AttemptIncluded, AttemptOrphaned, AttemptPrepared, AttemptReserved, ItemFinal, ItemOutcome, LanesEvent,
    Purpose, SlotFinal, SlotOutcome,
};
use acurast_events::units::{Batch, Gas, Slot};

impl Lane {
    /// A key that is elsewhere is about to be asked: the request is written first, if it still is what the slot needs (R1).
    pub(super) fn reserved(&self, context: Context<'_>, request: &SignRequest) -> Vec<LanesEvent> {
        let Some(view) = self.fresh_view(context.caps, context.now) else { return Vec::new() };
        // Its bytes don't exist yet: what its items may pay for was judged with their upper bound when it was drafted.
        if !self.is_wanted(context, view, request) || self.reservation_of(request).is_some_and(|reserved| reserved.fee == request.fee) {
            return Vec::new();
        }
        let SignRequest { slot, attempt, call, fee } = request.clone();
        vec![AttemptReserved { slot, attempt, purpose: call.purpose, batch: call.batch, items: call.items, fee }.into()]
    }

    /// Bytes were signed. They become an attempt only if they still are what the slot needs: between the question and the
    /// answer the chain may have moved. What is refused here was never sent, and never will be.
    pub(super) fn prepared(&self, context: Context<'_>, request: &SignRequest, signed: &SignedAttempt) -> Vec<LanesEvent> {
        let Some(view) = self.fresh_view(context.caps, context.now) else { return Vec::new() };
        let reserved = !context.caps.remote_signer || self.reservation_of(request).is_some_and(|reserved| reserved.fee == request.fee);
        let bytes = u32::try_from(signed.bytes.0.len()).unwrap_or(u32::MAX);
        if !reserved
            || !self.is_wanted(context, view, request)
            || self.state.slot_of(&signed.tx).is_some()
            || !self.fee_fits(context, view, request, bytes)
        {
            return Vec::new();
        }
        vec![
            AttemptPrepared {
                slot: request.slot,
                attempt: request.attempt,
                purpose: request.call.purpose,
                batch: request.call.batch,
                items: request.call.items.clone(),
                tx: signed.tx,
                bytes: signed.bytes.clone(),
                fee: request.fee.clone(),
            }
            .into(),
        ]
    }

    /// Whether the slot needs just this, at whatever price.
    fn is_wanted(&self, context: Context<'_>, view: &LaneView, request: &SignRequest) -> bool {
        match self.state.slots.get(&request.slot) {
            None => self.draft_request(context, view).is_some_and(|wanted| {
                (wanted.slot, &wanted.call, wanted.fee.gas_limit) == (request.slot, &request.call, request.fee.gas_limit)
            }),
            Some(_) => match self.plan_slot(context, view, request.slot) {
                Plan::Sign(wanted) => (wanted.attempt, &wanted.call) == (request.attempt, &request.call),
                Plan::Nothing | Plan::Send(_) | Plan::Simulate(_) => false,
            },
        }
    }

    /// The market may have moved since the bid was made: it still has to fit every cap, and to replace what is live.
    pub(crate) fn fee_fits(&self, context: Context<'_>, view: &LaneView, request: &SignRequest, bytes: u32) -> bool {
        let state = self.state.slots.get(&request.slot);
        let policy = &context.policy.fee;
        let cap = fee::operator_cap(policy, &view.market);
        let work = Work { gas: request.fee.gas_limit, bytes };
        let cap = self.item_cap(&view.market, &request.call, work).map_or(cap, |items| cap.and(items));
        let least = state
            .and_then(|state| state.highest_bid(false))
            .map(|last| view.market.least_replacement(policy, &last, request.fee.gas_limit, context.caps.replacement_permille_min));
        let replaces =
            least.is_none_or(|least| request.fee.max_fee_per_gas >= least.max_fee && request.fee.max_priority_fee >= least.priority);
        cap.allows(&request.fee) && replaces
    }

    pub(super) fn sent(&self, tx: &TxHash, outcome: &SendOutcome) -> Vec<LanesEvent> {
        match (outcome, self.state.slot_of(tx)) {
            (SendOutcome::Rejected(_), Some((slot, state))) if state.attempt(tx).is_some_and(|attempt| attempt.ended.is_none()) => {
                vec![AttemptEnded { slot, tx: *tx, end: AttemptEnd::Rejected }.into()]
            }
            // All other outcomes leave the attempt as it is: it may be mined (R6).
            (_, _) => Vec::new(),
        }
    }

    pub(super) fn observed(&self, tx: &TxHash, observation: &Observation) -> Vec<LanesEvent> {
        let Some((slot, state)) = self.state.slot_of(tx) else { return Vec::new() };
        match observation {
            Observation::Included(inclusion) => self.included(slot, state, tx, inclusion),
            Observation::NotFound | Observation::Pending => match &state.included {
                Some(included) if included.tx == *tx => vec![orphaned(slot, state, included)],
                Some(_) | None => Vec::new(),
            },
            Observation::Unknown(_) => Vec::new(),
        }
    }

    fn included(&self, slot: Slot, state: &SlotState, tx: &TxHash, inclusion: &Inclusion) -> Vec<LanesEvent> {
        let mut events = Vec::new();
        if let Some(before) = &state.included {
            if before.tx == *tx && before.block.hash == inclusion.block.hash && before.success == inclusion.success {
                return events;
            }
            events.push(orphaned(slot, state, before));
        }
        let items = state.attempt(tx).map(|attempt| attempt.prepared.items.clone()).unwrap_or_default();
        events.push(AttemptIncluded { slot, tx: *tx, block: inclusion.block.clone(), success: inclusion.success, items }.into());
        events
    }

    /// Attempts that the node keeps not knowing, newest first: while the newer one is in a pool, an older one is not
    /// expected there. Also those whose time to live is over.
    pub(super) fn lost_attempts(&self, context: Context<'_>, view: &LaneView) -> Vec<LanesEvent> {
        let mut events = Vec::new();
        for (slot, state) in &self.state.slots {
            if !self.in_flight(*slot, view) {
                continue;
            }
            for attempt in state.live().rev() {
                let Some(end) = self.lost(context, view, attempt) else { break };
                events.push(AttemptEnded { slot: *slot, tx: attempt.prepared.tx, end }.into());
            }
        }
        events
    }

    fn lost(&self, context: Context<'_>, view: &LaneView, attempt: &Attempt) -> Option<AttemptEnd> {
        let watch = self.volatile.watches.get(&attempt.prepared.tx)?;
        // What is yet to be sent is not missed; what must not be sent any more is.
        let unsent = watch.sent.is_none() && self.may_send(context, view, &attempt.prepared);
        if unsent || watch.not_found < context.policy.not_found_max {
            return None;
        }
        match context.caps.attempt_ttl {
            Some(ttl) if attempt.at.after(ttl) <= context.now => Some(AttemptEnd::Expired),
            Some(_) | None => Some(AttemptEnd::Evicted),
        }
    }

    /// A transaction is final, and what it did was read. Charges are the contract's; its cost is split over its items.
    pub(super) fn reported(&self, context: Context<'_>, tx: &TxHash, report: &FinalReport) -> Result<Vec<LanesEvent>, LaneCoreError> {
        let (Some((slot, state)), Some(view)) = (self.state.slot_of(tx), self.fresh_view(context.caps, context.now)) else {
            return Ok(Vec::new());
        };
        let Some(attempt) = state.attempt(tx).map(|attempt| &attempt.prepared) else { return Ok(Vec::new()) };
        let mut events = self.included(slot, state, tx, &report.inclusion);
        if slot >= view.next_slot_final || report.inclusion.block.number > view.finalized.number {
            return Ok(events);
        }
        let items = self.item_reports(slot, attempt, report)?;
        for other in state.live().filter(|other| other.prepared.tx != *tx) {
            events.push(AttemptEnded { slot, tx: other.prepared.tx, end: AttemptEnd::Replaced }.into());
        }
        events.push(
            SlotFinal {
                slot,
                tx: *tx,
                block: report.inclusion.block.clone(),
                outcome: if report.inclusion.success { SlotOutcome::Success } else { SlotOutcome::Reverted },
                purpose: Some(attempt.purpose),
                gas_used: report.gas_used,
                gas_price: report.gas_price,
                cost: report.cost,
                items,
                charges: report.charges.clone(),
            }
            .into(),
        );
        Ok(events)
    }

    fn item_reports(&self, slot: Slot, attempt: &AttemptPrepared, report: &FinalReport) -> Result<Vec<ItemFinal>, LaneCoreError> {
        let costs = split_evenly(report.cost, &attempt.items);
        let plain = |outcome| {
            let item = |(id, cost): (&_, Amount)| ItemFinal {
                settlement_id: *id,
                outcome,
                charge: Amount::ZERO,
                root_share: Amount::ZERO,
                cost,
                skip_reason: None,
                batch: attempt.batch.or_else(|| self.batch_of(id)).unwrap_or_default(),
            };
            attempt.items.iter().zip(costs.iter().copied()).map(item).collect()
        };
        match (attempt.purpose, report.inclusion.success) {
            (Purpose::Root, true) => Ok(plain(ItemOutcome::Settled)),
            (Purpose::Root | Purpose::NoOp | Purpose::Fulfill, false) | (Purpose::NoOp, true) => Ok(plain(ItemOutcome::NoEffect)),
            (Purpose::Fulfill, true) => {
                if !report.items.iter().map(|item| &item.settlement_id).eq(&attempt.items) {
                    let (lane, reason) = (self.state.lane().clone(), "its items are not the attempt's".to_owned());
                    return Err(LaneCoreError::Report { lane, slot, tx: attempt.tx, reason });
                }
                Ok(report.items.iter().cloned().zip(costs).map(|(item, cost)| ItemFinal { cost, ..item }).collect())
            }
        }
    }

    /// The slot is final, and none of ours is known to have taken it: whose is it?
    pub(super) fn slot_owned(&self, context: Context<'_>, slot: Slot, tx: Option<&TxHash>) -> Vec<LanesEvent> {
        let (Some(state), Some(view), Some(tx)) = (self.state.slots.get(&slot), self.fresh_view(context.caps, context.now), tx) else {
            return Vec::new();
        };
        // One of ours: it will be observed again.
        if slot >= view.next_slot_final || state.included.is_some() || state.attempt(tx).is_some() {
            return Vec::new();
        }
        let mut events = vec![
            SlotFinal {
                slot,
                tx: *tx,
                block: view.finalized.clone(),
                outcome: SlotOutcome::Foreign,
                purpose: None,
                gas_used: Gas(0),
                gas_price: Amount::ZERO,
                cost: Amount::ZERO,
                items: Vec::new(),
                charges: Vec::new(),
            }
            .into(),
        ];
        if self.state.head.quarantine.is_none() {
            events.push(self.quarantined(slot, Some(*tx), format!("slot {slot} was used by foreign transaction {tx}")));
        }
        events
    }

    /// The root that proves an item, if it is in one.
    fn batch_of(&self, id: &acurast_events::bytes::SettlementId) -> Option<Batch> {
        let leaf = self.state.leaf_of(&self.state.fulfillments.get(id)?.intent)?;
        match leaf.stage {
            crate::state::LeafStage::InRoot(batch) => Some(batch),
            crate::state::LeafStage::Waiting | crate::state::LeafStage::Dead => None,
        }
    }
}

fn orphaned(slot: Slot, state: &SlotState, included: &Included) -> LanesEvent {
    let items = state.attempt(&included.tx).map(|attempt| attempt.prepared.items.clone()).unwrap_or_default();
    AttemptOrphaned { slot, tx: included.tx, items }.into()
}
