//! What an open slot needs next: nothing, its bytes again, or a transaction that replaces them (R5).
//!
//! A replacement keeps the slot and its purpose; it may leave items out and never adds any. With no item left it is a
//! no-op, which the operator pays for. Nothing here changes anything.

use crate::decide::Context;
use crate::fee::{self, FeeCap, FeeDecision, FeeQuestion, FeeRules};
use crate::input::{CallKey, SignRequest};
use crate::lane::Lane;
use crate::state::{Attempt, FulfillmentStage, RootStage, SlotState};
use acurast_adapter_api::{Capabilities, FeeMarket, LaneView, Observation, SendOutcome, Simulation};
use acurast_events::amount::Amount;
use acurast_events::bytes::{SettlementId, TxHash};
use acurast_events::lanes::{AttemptEnd, AttemptPrepared, FeeBid, Purpose};
use acurast_events::units::{Gas, Millis, Slot, Timestamp};

/// A simulation is good for this many block times.
const SIMULATION_BLOCKS_MAX: u64 = 4;
/// At least this long it is good, however quick the chain.
const SIMULATION_AGE_MIN: Millis = Millis(3_000);

/// What an open slot needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing now.
    Nothing,
    /// This attempt's bytes.
    Send(TxHash),
    /// To know what fewer items would use.
    Simulate(CallKey),
    /// Another transaction.
    Sign(SignRequest),
}

impl Lane {
    /// Plans one open slot.
    pub(crate) fn plan_slot(&self, context: Context<'_>, view: &LaneView, slot: Slot) -> Plan {
        let Some(state) = self.state.slots.get(&slot).filter(|_| self.in_flight(slot, view)) else {
            return Plan::Nothing;
        };
        let Some(last) = state.attempts.last() else { return Plan::Nothing };
        let resend = state.live().next_back().unwrap_or(last);
        let full = state.attempts.len() >= usize::try_from(context.policy.attempts_max).unwrap_or(usize::MAX);
        let broke = matches!(self.sent_outcome(resend), Some(SendOutcome::InsufficientFunds));
        let again = |plan: FeeDecision| match plan {
            FeeDecision::Rebroadcast if self.may_send(context, view, &resend.prepared) => Plan::Send(resend.prepared.tx),
            FeeDecision::Rebroadcast | FeeDecision::Hold | FeeDecision::Replace(_) | FeeDecision::Cancel => Plan::Nothing,
        };
        if self.state.head.quarantine.is_some() || full || broke {
            let due = self.since_send(context, resend).is_none_or(|since| since >= context.policy.fee.rebroadcast_after);
            return again(if due { FeeDecision::Rebroadcast } else { FeeDecision::Hold });
        }
        let staying = self.staying(context, view, state, &last.prepared);
        // Twice at most: with what may stay, then without what can't pay for the next step.
        match self.replace(context, view, slot, state, staying.clone()) {
            Step::Plan(plan) => plan,
            Step::Decided(FeeDecision::Cancel) => {
                let paying = self.paying(context, view, state, &staying);
                match self.replace(context, view, slot, state, paying) {
                    Step::Plan(plan) => plan,
                    Step::Decided(decision) => again(decision),
                }
            }
            // The node will never take the last bytes, and dearer ones don't fit the caps: the slot must not stay a hole.
            Step::Decided(_) if last.ended == Some(AttemptEnd::Rejected) => match self.replace(context, view, slot, state, Vec::new()) {
                Step::Plan(plan) => plan,
                Step::Decided(_) => Plan::Nothing,
            },
            Step::Decided(decision) => again(decision),
        }
    }

    /// The replacement of a slot by a transaction with `items`, if the fee policy wants one.
    fn replace(&self, context: Context<'_>, view: &LaneView, slot: Slot, state: &SlotState, items: Vec<SettlementId>) -> Step {
        let (Some(last), Ok(attempt)) = (state.attempts.last(), u32::try_from(state.attempts.len())) else {
            return Step::Plan(Plan::Nothing);
        };
        let mut call = if items.is_empty() { no_op() } else { call_of(&last.prepared, items) };
        let same = call == call_of(&last.prepared, last.prepared.items.clone());
        let work = if same {
            Work { gas: last.prepared.fee.gas_limit, bytes: bytes_of(&last.prepared) }
        } else if call.purpose == Purpose::NoOp {
            Work::no_op(context.caps)
        } else {
            match self.simulated(context, &call) {
                Some(Simulation::Executes { gas_limit, bytes }) => Work { gas: *gas_limit, bytes: *bytes },
                Some(Simulation::Reverts { .. }) => {
                    call = no_op();
                    Work::no_op(context.caps)
                }
                None => return Step::Plan(Plan::Simulate(call)),
            }
        };
        let mut question = self.fee_question(context, view, slot, state, &call, work, !same);
        let fee = match fee::decide(&context.policy.fee, &question) {
            FeeDecision::Replace(fee) => fee,
            decision => return Step::Decided(decision),
        };
        // After an eviction the ladder may come by a step that was signed before: those bytes serve, unless a pool has
        // refused them as too low, where a dearer one of this slot is still known.
        let Some(twin) = twin(state, &call, &fee) else {
            return Step::Plan(Plan::Sign(SignRequest { slot, attempt, call, fee }));
        };
        if self.sent_outcome(twin) == Some(&SendOutcome::FeeTooLow) {
            (question.last, question.urgent) = (state.highest_bid(true), true);
            if let FeeDecision::Replace(fee) = fee::decide(&context.policy.fee, &question) {
                return Step::Plan(Plan::Sign(SignRequest { slot, attempt, call, fee }));
            }
        }
        let again = self.may_send(context, view, &twin.prepared) && self.resend_due(context, &twin.prepared);
        Step::Plan(if again { Plan::Send(twin.prepared.tx) } else { Plan::Nothing })
    }

    #[expect(clippy::too_many_arguments, reason = "one call of one pure question; a struct would only repeat FeeQuestion")]
    fn fee_question(
        &self,
        context: Context<'_>,
        view: &LaneView,
        slot: Slot,
        state: &SlotState,
        call: &CallKey,
        work: Work,
        shrunk: bool,
    ) -> FeeQuestion<FeeMarket> {
        let newest = state.live().next_back().or(state.attempts.last());
        // Refused as too low: some pool holds an earlier one, evicted elsewhere. The step counts from the highest of all.
        // So does the step after bytes that are never taken, which would be signed again otherwise. What was refused before
        // it ended says nothing any more: the ladder restarts.
        let rejected = !shrunk && state.attempts.last().is_some_and(|last| last.ended == Some(AttemptEnd::Rejected));
        let refused = |newest: &Attempt| newest.ended.is_none() && self.sent_outcome(newest) == Some(&SendOutcome::FeeTooLow);
        let underpriced = rejected || newest.is_some_and(refused);
        let since_attempt = state.attempts.last().map_or(Millis(0), |last| context.now.since(last.at));
        // A pool that is full refuses any price for a moment: a block later it may take the same one.
        let urgent = shrunk || (underpriced && since_attempt >= context.caps.block_time);
        FeeQuestion {
            market: view.market,
            gas_limit: work.gas,
            last: state.highest_bid(underpriced),
            items: self.item_cap(&view.market, call, work),
            urgent,
            turn: !self.state.slots.keys().any(|earlier| *earlier < slot && self.in_flight(*earlier, view)),
            others_wait: self.others_wait(context, view, slot),
            since_attempt,
            since_send: newest.and_then(|newest| self.since_send(context, newest)),
            replacement_permille_min: context.caps.replacement_permille_min,
        }
    }

    /// The items of the last attempt that may still be sent. None, for an output past its `not_after`, and none at all
    /// when the node keeps rejecting what this slot holds.
    fn staying(&self, context: Context<'_>, view: &LaneView, state: &SlotState, last: &AttemptPrepared) -> Vec<SettlementId> {
        let rejected = state.attempts.iter().filter(|attempt| attempt.ended == Some(AttemptEnd::Rejected)).count();
        if u32::try_from(rejected).is_ok_and(|rejected| rejected < context.policy.rejections_max.max(1)) {
            last.items.iter().filter(|id| self.alive(context, view, last, id)).copied().collect()
        } else {
            Vec::new()
        }
    }

    /// The items whose caps reach the next step of the ladder.
    fn paying(&self, context: Context<'_>, view: &LaneView, state: &SlotState, items: &[SettlementId]) -> Vec<SettlementId> {
        let policy = &context.policy.fee;
        let least = match state.highest_bid(false) {
            Some(last) => view.market.least_replacement(policy, &last, last.gas_limit, context.caps.replacement_permille_min),
            None => FeeCap { max_fee: view.market.base_fee, priority: Amount::ZERO },
        };
        let pays = |id: &&SettlementId| {
            self.state.fulfillments.get(id).is_some_and(|item| {
                item.intent.caps.max_fee_per_gas >= least.max_fee && item.intent.caps.max_priority_fee >= least.priority
            })
        };
        let paying: Vec<_> = items.iter().filter(pays).copied().collect();
        // All of them by their prices, and still too dear: the reservations bind, for the batch as a whole.
        if paying.len() == items.len() { Vec::new() } else { paying }
    }

    /// Whether an item of this attempt lives on in a block to come, by the destination's own blocks.
    fn alive(&self, context: Context<'_>, view: &LaneView, attempt: &AttemptPrepared, id: &SettlementId) -> bool {
        self.serves_until(attempt, id) > view.head.timestamp.after(context.caps.block_time)
    }

    /// Nothing is sent after this time.
    fn serves_until(&self, attempt: &AttemptPrepared, id: &SettlementId) -> Timestamp {
        let not_after = match attempt.purpose {
            // A root serves as long as one of its leaves does.
            Purpose::Root => attempt.batch.and_then(|batch| self.state.roots.get(&batch)).map(|root| root.statement.locked_until),
            Purpose::Fulfill => self.state.fulfillments.get(id).map(|item| item.intent.not_after),
            Purpose::NoOp => None,
        };
        not_after.unwrap_or_default()
    }

    /// Whether these bytes may be sent: nothing is, after a `not_after` (PROTOCOL §5). A head that stands still does not
    /// stop the chain's clock, so that what waited behind a stall is not sent into the first block after it.
    pub(crate) fn may_send(&self, context: Context<'_>, view: &LaneView, attempt: &AttemptPrepared) -> bool {
        let by_then = self.volatile.chain_clock(view, context.now).after(context.caps.block_time);
        attempt.items.iter().all(|id| self.serves_until(attempt, id) > by_then)
    }

    /// The tightest cap of a call's items: what their accounts allow, and what their reservations cover if the whole gas
    /// limit is used, after the data fee; nothing for a call that the operator alone pays for.
    pub(crate) fn item_cap(&self, market: &FeeMarket, call: &CallKey, work: Work) -> Option<FeeCap> {
        if call.purpose != Purpose::Fulfill {
            return None;
        }
        let items = call.items.iter().filter_map(|id| self.state.fulfillments.get(id)).map(|item| &item.intent);
        let reserved = items.clone().map(|intent| intent.reserved.0).min().unwrap_or(0);
        let reserved = reserved.saturating_mul(call.items.len() as u128).saturating_sub(market.data_fee(work.bytes).0);
        let together = reserved.checked_div(u128::from(work.gas.0)).unwrap_or(u128::MAX);
        let cap = FeeCap { max_fee: Amount(together), priority: Amount(together) };
        Some(
            items.fold(cap, |cap, intent| cap.and(FeeCap { max_fee: intent.caps.max_fee_per_gas, priority: intent.caps.max_priority_fee })),
        )
    }

    /// A simulation's result, while it is good.
    pub(crate) fn simulated(&self, context: Context<'_>, call: &CallKey) -> Option<&Simulation> {
        let age_max = context.caps.block_time.0.saturating_mul(SIMULATION_BLOCKS_MAX).max(SIMULATION_AGE_MIN.0);
        let (at, result) = self.volatile.simulations.get(call)?;
        (context.now.since(*at).0 <= age_max).then_some(result)
    }

    /// Whether something can't go on before this slot is mined.
    fn others_wait(&self, context: Context<'_>, view: &LaneView, slot: Slot) -> bool {
        self.state.slots.keys().any(|later| *later > slot && self.in_flight(*later, view))
            || self.state.roots.values().any(|root| root.stage == RootStage::Ready)
            || self.index.queue.values().any(|id| self.sendable(context, view, id))
    }

    /// Whether a waiting output could go into a new transaction now.
    pub(crate) fn sendable(&self, context: Context<'_>, view: &LaneView, id: &SettlementId) -> bool {
        let Some(item) = self.state.fulfillments.get(id).filter(|item| item.stage == FulfillmentStage::Waiting) else {
            return false;
        };
        let caps = &item.intent.caps;
        let cap = FeeCap { max_fee: caps.max_fee_per_gas, priority: caps.max_priority_fee };
        self.in_time(context, view, item.intent.not_after)
            && fee::first_bid(&context.policy.fee, &view.market, Some(cap), Gas(0)).is_some()
            && self.state.leaf_of(&item.intent).is_some_and(|leaf| self.state.standing_root(leaf).is_some())
    }

    /// Whether a new transaction would be mined in time.
    pub(crate) fn in_time(&self, context: Context<'_>, view: &LaneView, not_after: Timestamp) -> bool {
        not_after > self.volatile.chain_clock(view, context.now).after(context.policy.expiry_margin)
    }

    fn sent_outcome(&self, attempt: &Attempt) -> Option<&SendOutcome> {
        self.volatile.watches.get(&attempt.prepared.tx)?.sent.as_ref().map(|(_, outcome)| outcome)
    }

    /// Time since the bytes were sent; long ago when they are to be sent again at once, nothing when they never were.
    fn since_send(&self, context: Context<'_>, attempt: &Attempt) -> Option<Millis> {
        let watch = self.volatile.watches.get(&attempt.prepared.tx)?;
        let (sent_at, outcome) = watch.sent.as_ref()?;
        let since = context.now.since(*sent_at);
        let seen_missing = |(at, seen): &(Timestamp, Observation)| *seen == Observation::NotFound && at > sent_at;
        let doubtful = matches!(outcome, SendOutcome::Indeterminate(_)) || watch.observed.as_ref().is_some_and(seen_missing);
        let overdue = watch.missing || (doubtful && since >= context.caps.block_time);
        Some(if overdue { since.max(context.policy.fee.rebroadcast_after) } else { since })
    }

    fn resend_due(&self, context: Context<'_>, attempt: &AttemptPrepared) -> bool {
        let sent = self.volatile.watches.get(&attempt.tx).and_then(|watch| watch.sent.as_ref());
        sent.is_none_or(|(at, _)| context.now.since(*at) >= context.policy.fee.rebroadcast_after)
    }
}

/// What a transaction takes of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    /// Gas limit.
    pub(crate) gas: Gas,
    /// Length of the signed bytes, an upper bound.
    pub(crate) bytes: u32,
}

impl Work {
    /// A no-op's. Its bytes count against no reservation.
    pub(crate) fn no_op(caps: &Capabilities) -> Self {
        Self { gas: caps.noop_gas, bytes: 0 }
    }
}

/// Length of an attempt's signed bytes.
pub(crate) fn bytes_of(attempt: &AttemptPrepared) -> u32 {
    u32::try_from(attempt.bytes.0.len()).unwrap_or(u32::MAX)
}

/// A plan, or the decision that led to none.
enum Step {
    Plan(Plan),
    Decided(FeeDecision),
}

/// The attempt that would be signed again.
fn twin<'a>(state: &'a SlotState, call: &CallKey, fee: &FeeBid) -> Option<&'a Attempt> {
    let same = |before: &AttemptPrepared| before.fee == *fee && before.purpose == call.purpose && before.items == call.items;
    state.attempts.iter().find(|attempt| same(&attempt.prepared))
}

pub(crate) fn no_op() -> CallKey {
    CallKey { purpose: Purpose::NoOp, batch: None, items: Vec::new() }
}

fn call_of(attempt: &AttemptPrepared, items: Vec<SettlementId>) -> CallKey {
    CallKey { purpose: attempt.purpose, batch: attempt.batch, items }
}
