//! What goes into the next slot: a no-op into a hole, a root, an output that goes alone, or a batch of outputs (R9).
//!
//! One draft at a time. It is kept while its items can be sent, so that arrivals don't undo its simulation; the next one
//! opens when it has left. A draft that reverts is narrowed down (see `volatile`), and what remains goes on.

use crate::decide::Context;
use crate::fee::{self, FeeRules};
use crate::input::{ActionKey, CallKey, SignRequest};
use crate::lane::Lane;
use crate::plan::{Work, bytes_of, no_op};
use crate::state::{Fulfillment, RootStage};
use acurast_adapter_api::{LaneView, Simulation};
use acurast_events::amount::Amount;
use acurast_events::bytes::SettlementId;
use acurast_events::lanes::{FeeBid, Purpose};
use acurast_events::units::{Gas, Millis, Timestamp};

/// What the next slot needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing now.
    Nothing,
    /// To know what the draft would do.
    Simulate(CallKey),
    /// A signature.
    Sign(SignRequest),
}

impl Lane {
    /// Picks a draft if there is none, and says what it needs. Only the volatile part changes.
    pub(crate) fn next_work(&mut self, context: Context<'_>) -> Next {
        let Some(view) = self.fresh_view(context.caps, context.now).cloned() else { return Next::Nothing };
        if !self.room(context, &view) {
            return Next::Nothing;
        }
        if let Some(request) = self.draft_request(context, &view) {
            return Next::Sign(request);
        }
        if self.next_slot(&view).1 {
            return Next::Nothing;
        }
        self.drop_unfit_draft(context, &view);
        if self.volatile.draft.is_none() {
            self.volatile.draft = self.pick(context, &view);
        }
        match (&self.volatile.draft, self.draft_request(context, &view)) {
            (Some(_), Some(request)) => Next::Sign(request),
            // A result that reverted made its draft go: a draft that has one was picked again after a pause.
            (Some(draft), None) if self.simulated_draft(context).is_none() => Next::Simulate(draft.clone()),
            (Some(_) | None, _) => Next::Nothing,
        }
    }

    /// Whether a slot can be taken: the lane is sound, and its window open. A hole is filled whatever the window.
    fn room(&self, context: Context<'_>, view: &LaneView) -> bool {
        let in_flight = self.state.slots.keys().filter(|slot| self.in_flight(**slot, view)).count();
        let window = usize::try_from(context.caps.slots_in_flight_max.max(1)).unwrap_or(usize::MAX);
        self.state.head.quarantine.is_none() && (in_flight < window || self.next_slot(view).1)
    }

    /// What is to be signed for the next slot: a no-op for a hole, else the draft when its simulation executed and its
    /// price fits every cap and the signer's balance.
    pub(crate) fn draft_request(&self, context: Context<'_>, view: &LaneView) -> Option<SignRequest> {
        if !self.room(context, view) {
            return None;
        }
        let (slot, hole) = self.next_slot(view);
        let (call, work) = if hole { (no_op(), Work::no_op(context.caps)) } else { self.simulated_draft(context)? };
        if !hole && !self.fit(context, view, &call) {
            return None;
        }
        let fee = fee::first_bid(&context.policy.fee, &view.market, self.item_cap(&view.market, &call, work), work.gas)?;
        self.affordable(view, &fee, work).then_some(SignRequest { slot, attempt: 0, call, fee })
    }

    fn simulated_draft(&self, context: Context<'_>) -> Option<(CallKey, Work)> {
        let draft = self.volatile.draft.as_ref()?;
        match self.simulated(context, draft)? {
            Simulation::Executes { gas_limit, bytes } => Some((draft.clone(), Work { gas: *gas_limit, bytes: *bytes })),
            Simulation::Reverts { .. } => None,
        }
    }

    /// Whether the signer can pay for this and for everything that waits for inclusion, at the worst.
    fn affordable(&self, view: &LaneView, fee: &FeeBid, work: Work) -> bool {
        let cost = |fee: &FeeBid, bytes| {
            let gas = fee.max_fee_per_gas.checked_mul(u128::from(fee.gas_limit.0))?;
            gas.checked_add(view.market.data_fee(bytes))
        };
        let mut total = cost(fee, work.bytes);
        for (_, state) in self.state.slots.iter().filter(|(slot, _)| self.in_flight(**slot, view)) {
            // One attempt of a slot is mined: the dearest at the worst.
            let mut costs = state.attempts.iter().map(|attempt| cost(&attempt.prepared.fee, bytes_of(&attempt.prepared)));
            let worst = costs.try_fold(Amount::ZERO, |worst, cost| cost.map(|cost| worst.max(cost)));
            total = total.zip(worst).and_then(|(total, worst)| total.checked_add(worst));
        }
        total.is_some_and(|total| total <= view.balance)
    }

    /// Whether a call may go into a new slot as it is.
    fn fit(&self, context: Context<'_>, view: &LaneView, call: &CallKey) -> bool {
        match call.batch {
            Some(batch) => self.root_fits(context, view, batch),
            None => call.items.iter().all(|id| self.sendable(context, view, id)),
        }
    }

    /// Whether an output that waited for company any longer might come too late.
    fn pressing(&self, context: Context<'_>, view: &LaneView, item: &Fulfillment) -> bool {
        let reserve = Millis(context.policy.batch_age_max.0.saturating_add(context.caps.block_time.0));
        !self.in_time(context, view, Timestamp(item.intent.not_after.0.saturating_sub(reserve.0)))
    }

    fn root_fits(&self, context: Context<'_>, view: &LaneView, batch: acurast_events::units::Batch) -> bool {
        self.state
            .roots
            .get(&batch)
            .is_some_and(|root| root.stage == RootStage::Ready && self.in_time(context, view, root.statement.locked_until))
    }

    /// A draft whose items can't be sent any more makes room; one that its items can't pay for rests, and others go first.
    fn drop_unfit_draft(&mut self, context: Context<'_>, view: &LaneView) {
        let Some(draft) = self.volatile.draft.clone() else { return };
        if !self.fit(context, view, &draft) || !self.volatile.may(&ActionKey::Simulate(draft.clone()), context.now) {
            self.volatile.draft = None;
            return;
        }
        let Some((_, work)) = self.simulated_draft(context) else { return };
        let bid = |items| fee::first_bid(&context.policy.fee, &view.market, items, work.gas);
        if bid(self.item_cap(&view.market, &draft, work)).is_none() {
            for id in &draft.items {
                self.volatile.hold(context.policy, id, "its reservation does not cover the market's price", context.now);
            }
            self.volatile.draft = None;
        }
    }

    /// Chooses the next call: roots first, as outputs wait for them; then what goes alone, when its pause is over; then
    /// a batch in order of acceptance.
    fn pick(&self, context: Context<'_>, view: &LaneView) -> Option<CallKey> {
        self.pick_root(context, view).or_else(|| self.pick_alone(context, view)).or_else(|| self.pick_batch(context, view))
    }

    fn pick_root(&self, context: Context<'_>, view: &LaneView) -> Option<CallKey> {
        self.state
            .roots
            .iter()
            .filter(|(batch, _)| self.root_fits(context, view, **batch))
            .filter(|(batch, _)| self.volatile.root_reverts.get(batch).is_none_or(|pause| pause.until <= context.now))
            .map(|(batch, root)| CallKey { purpose: Purpose::Root, batch: Some(*batch), items: root.leaves.clone() })
            .find(|call| self.volatile.may(&ActionKey::Simulate(call.clone()), context.now))
    }

    /// Suspects, and what came back from a slot: alone they can harm nobody.
    fn pick_alone(&self, context: Context<'_>, view: &LaneView) -> Option<CallKey> {
        self.index
            .queue
            .values()
            .filter(|id| self.goes_alone(id) && self.sendable(context, view, id))
            .filter(|id| self.volatile.suspicions.get(id).is_none_or(|held| held.pause.until <= context.now))
            .map(|id| fulfill(vec![*id]))
            .find(|call| self.volatile.may(&ActionKey::Simulate(call.clone()), context.now))
    }

    fn goes_alone(&self, id: &SettlementId) -> bool {
        self.volatile.suspicions.contains_key(id) || self.state.fulfillments.get(id).is_some_and(|item| item.returns > 0)
    }

    fn pick_batch(&self, context: Context<'_>, view: &LaneView) -> Option<CallKey> {
        let most = usize::try_from(context.policy.batch_items_max.min(context.caps.items_max).max(1)).unwrap_or(usize::MAX);
        let limit = self.volatile.narrowed.map_or(most, |narrowed| narrowed.min(most)).max(1);
        let fresh = fee::first_bid(&context.policy.fee, &view.market, None, Gas(0))?;
        // An item that can't pay the fresh bid would lower the whole batch's: such items go together, in their turn.
        let generous = |item: &Fulfillment| {
            item.intent.caps.max_fee_per_gas >= fresh.max_fee_per_gas && item.intent.caps.max_priority_fee >= fresh.max_priority_fee
        };
        let mut batch: Vec<SettlementId> = Vec::new();
        let (mut gas, mut bytes, mut kind, mut aged) = (0u64, 0usize, None, false);
        for id in self.index.queue.values() {
            let Some(item) = self.state.fulfillments.get(id) else { continue };
            if self.goes_alone(id) || !self.sendable(context, view, id) {
                continue;
            }
            let item_kind = generous(item);
            if *kind.get_or_insert(item_kind) != item_kind {
                continue;
            }
            gas = gas.saturating_add(item.intent.caps.call_gas_limit.0);
            bytes = bytes.saturating_add(item.intent.payload.0.len());
            let bytes_max = usize::try_from(context.caps.transaction_bytes_max).unwrap_or(usize::MAX);
            if !batch.is_empty() && (gas > context.caps.transaction_gas_max.0 || bytes > bytes_max) {
                aged = true;
                break;
            }
            aged |= item.accepted_at.after(context.policy.batch_age_max) <= context.now || self.pressing(context, view, item);
            batch.push(*id);
            if batch.len() >= limit {
                aged = true;
                break;
            }
        }
        let call = fulfill(batch);
        (aged && !call.items.is_empty() && self.volatile.may(&ActionKey::Simulate(call.clone()), context.now)).then_some(call)
    }
}

fn fulfill(items: Vec<SettlementId>) -> CallKey {
    CallKey { purpose: Purpose::Fulfill, batch: None, items }
}
