//! How intents end without an effect of ours: too late, condemned by simulations, back too often; and what the chain
//! answers when it is asked whether an effect exists all the same (R2).

use super::Context;
use crate::input::{ActionKey, CallKey, EffectOf};
use crate::lane::Lane;
use crate::policy::LanePolicy;
use crate::state::{Cause, FulfillmentStage, LeafStage, RootStage};
use acurast_adapter_api::{Effect, LaneView};
use acurast_events::bytes::SettlementId;
use acurast_events::jobs::Fault;
use acurast_events::lanes::{EffectFound, IntentDead, IntentReturned, LanesEvent, RootAbandoned};
use acurast_events::units::{Batch, Timestamp};
use std::collections::BTreeSet;

impl Lane {
    /// Whether a new transaction would come too late, by the destination's own blocks (PROTOCOL §8).
    pub(crate) fn too_late(&self, policy: &LanePolicy, view: &LaneView, not_after: Timestamp) -> bool {
        not_after <= view.head.timestamp.after(policy.expiry_margin)
    }

    /// Gives up what would come too late. What is in a slot, or being asked about, is left alone: the chain decides it.
    pub(super) fn expire(&self, context: Context<'_>, view: &LaneView) -> Vec<LanesEvent> {
        let most = usize::try_from(context.policy.expiries_max.max(1)).unwrap_or(usize::MAX);
        let late = |not_after| self.too_late(context.policy, view, not_after);
        let fault = if self.state.head.quarantine.is_some() { Fault::Relayer } else { Fault::Unknown };
        let mut events = Vec::new();
        let mut abandoned: BTreeSet<Batch> = BTreeSet::new();
        for (not_after, id) in &self.index.expiring {
            if !late(*not_after) || events.len() >= most {
                break;
            }
            let root = match self.state.leaves.get(id).map(|leaf| leaf.stage) {
                Some(LeafStage::Waiting) => None,
                Some(LeafStage::InRoot(batch)) => match self.state.roots.get(&batch).map(|root| root.stage) {
                    Some(RootStage::Unsigned | RootStage::Ready) => Some(batch),
                    Some(RootStage::InSlot(_) | RootStage::Asking(_) | RootStage::Posted) | None => continue,
                },
                Some(LeafStage::Dead) | None => continue,
            };
            let reason = "its root was not posted in time";
            if let Some(batch) = root.filter(|batch| abandoned.insert(*batch)) {
                events.push(RootAbandoned { batch, leaf: None, reason: reason.to_owned(), reverted: false }.into());
            }
            events.extend(self.leaf_dead(id, reason, fault));
        }
        // A dead leaf takes its waiting fulfilments along; those come with the leaf, not twice.
        let ended: BTreeSet<SettlementId> = events.iter().filter_map(dead_id).collect();
        for id in self.index.queue.values() {
            if events.len() >= most {
                break;
            }
            let Some(item) = self.state.fulfillments.get(id).filter(|item| late(item.intent.not_after) && !ended.contains(id)) else {
                continue;
            };
            let dear = item.intent.caps.max_fee_per_gas < view.market.base_fee;
            let (reason, fault) = match self.volatile.suspicions.get(id) {
                _ if dear => ("not delivered in time: its account does not pay the market's price".to_owned(), Fault::Consumer),
                Some(held) => (format!("not delivered in time: {}", held.reason), fault),
                None => ("not delivered in time".to_owned(), fault),
            };
            events.push(IntentDead { settlement_id: *id, reason, fault }.into());
        }
        events
    }

    /// A leaf is given up, and what waits for it.
    pub(super) fn leaf_dead(&self, id: &SettlementId, reason: &str, fault: Fault) -> Vec<LanesEvent> {
        let dead = |id: &SettlementId| IntentDead { settlement_id: *id, reason: reason.to_owned(), fault }.into();
        let mut events = vec![dead(id)];
        let Some(leaf) = self.state.leaves.get(id).filter(|leaf| leaf.open > 0) else {
            return events;
        };
        let waiting =
            self.index.queue.values().filter(|item| {
                self.state.fulfillments.get(*item).is_some_and(|item| item.intent.assignment_id == leaf.intent.assignment_id)
            });
        events.extend(waiting.map(dead));
        events
    }

    /// Gives up what its own simulations condemn. While its root is not final a revert says nothing of an item: a reorg, or a
    /// node that lags, may just lack the root.
    pub(super) fn condemn(&mut self, context: Context<'_>, call: &CallKey) -> Vec<LanesEvent> {
        if let Some(batch) = call.batch {
            return self.root_reverted(context, batch);
        }
        let [id] = call.items.as_slice() else {
            return Vec::new();
        };
        let Some(item) = self.state.fulfillments.get(id).filter(|item| item.stage == FulfillmentStage::Waiting) else {
            return Vec::new();
        };
        let root = self.state.leaf_of(&item.intent).and_then(|leaf| self.state.standing_root(leaf));
        let proven = root.is_some_and(|(_, root)| root.stage == RootStage::Posted);
        match self.volatile.suspicions.get_mut(id) {
            Some(held) if !proven && !held.hopeless => {
                held.strikes = 0;
                Vec::new()
            }
            Some(held) if held.hopeless || held.strikes >= context.policy.strikes_max => {
                // A contract names the item for what the relayer alone can get wrong.
                let fault = if held.named { Fault::Relayer } else { Fault::Unknown };
                let reason = format!("it reverts in a simulation of its own: {}", held.reason);
                vec![IntentDead { settlement_id: *id, reason, fault }.into()]
            }
            Some(_) | None => Vec::new(),
        }
    }

    pub(super) fn effect_answered(&mut self, context: Context<'_>, of: &EffectOf, effect: &Effect) -> Vec<LanesEvent> {
        let was_final = match of {
            EffectOf::Root(batch) => self.was_posted(*batch),
            EffectOf::Fulfillment(id) => !self.state.fulfillments.contains_key(id),
        };
        match (effect, of) {
            (_, of) if was_final => self.final_effect(of, effect),
            // Read before the slot was final: it says nothing of what the slot did, and is asked again after a pause.
            (Effect::Absent { block }, of) if block.number < self.state.head.final_number => {
                self.volatile.pause(context.policy, ActionKey::AskEffect(*of), context.now);
                Vec::new()
            }
            (effect, EffectOf::Root(batch)) => self.root_effect(context, *batch, effect),
            (effect, EffectOf::Fulfillment(id)) => self.fulfillment_effect(context, id, effect),
        }
    }

    fn root_effect(&self, context: Context<'_>, batch: Batch, effect: &Effect) -> Vec<LanesEvent> {
        let Some(root) = self.state.roots.get(&batch) else { return Vec::new() };
        let RootStage::Asking(cause) = root.stage else { return Vec::new() };
        if let Effect::Present { success, tx, block } = effect {
            let found = |id: &SettlementId| EffectFound { settlement_id: *id, success: *success, tx: *tx, block: block.clone() }.into();
            return root.leaves.iter().map(found).collect();
        }
        let judged: Vec<_> = root
            .leaves
            .iter()
            .filter_map(|id| self.state.leaves.get(id).map(|leaf| (id, leaf)))
            .map(|(id, leaf)| (id, self.comes_back(context, leaf.returns, leaf.intent.not_after)))
            .collect();
        let mut events = Vec::new();
        if judged.iter().any(|(_, times)| times.is_none()) {
            let reason = format!("{cause}, and a leaf of it is given up");
            events.push(RootAbandoned { batch, leaf: None, reason, reverted: false }.into());
        }
        for (id, times) in judged {
            match times {
                Some(times) => events.push(IntentReturned { settlement_id: *id, times, reason: cause.to_string() }.into()),
                None => events.extend(self.leaf_dead(id, &given_up(cause), fault_of(cause))),
            }
        }
        events
    }

    fn fulfillment_effect(&self, context: Context<'_>, id: &SettlementId, effect: &Effect) -> Vec<LanesEvent> {
        let Some(item) = self.state.fulfillments.get(id) else { return Vec::new() };
        let FulfillmentStage::Asking(cause) = item.stage else { return Vec::new() };
        if let Effect::Present { success, tx, block } = effect {
            return vec![EffectFound { settlement_id: *id, success: *success, tx: *tx, block: block.clone() }.into()];
        }
        let proven = self.state.leaf_of(&item.intent).is_some_and(|leaf| leaf.stage != LeafStage::Dead);
        let times = match cause {
            // It was in no slot since: that is no return.
            Cause::Requeued => (!self.is_late(context, item.intent.not_after)).then_some(item.returns),
            Cause::Reverted | Cause::LeftOut | Cause::Skipped(_) | Cause::Foreign | Cause::FinalityBroke => {
                self.comes_back(context, item.returns, item.intent.not_after)
            }
        };
        match times.filter(|_| proven) {
            Some(times) => vec![IntentReturned { settlement_id: *id, times, reason: cause.to_string() }.into()],
            None => vec![IntentDead { settlement_id: *id, reason: given_up(cause), fault: fault_of(cause) }.into()],
        }
    }

    fn is_late(&self, context: Context<'_>, not_after: Timestamp) -> bool {
        self.fresh_view(context.caps, context.now).is_some_and(|view| self.too_late(context.policy, view, not_after))
    }

    /// How often it will have come back, or nothing when that is once too often or too late.
    fn comes_back(&self, context: Context<'_>, returns: u32, not_after: Timestamp) -> Option<u32> {
        returns.checked_add(1).filter(|times| !self.is_late(context, not_after) && *times <= context.policy.returns_max)
    }
}

fn given_up(cause: Cause) -> String {
    match cause {
        Cause::Requeued => "planned anew too late, or without a proof".to_owned(),
        Cause::Reverted | Cause::LeftOut | Cause::Skipped(_) | Cause::Foreign | Cause::FinalityBroke => {
            format!("given up after its slot was final without its effect: {cause}")
        }
    }
}

fn fault_of(cause: Cause) -> Fault {
    match cause {
        // Its account's caps, balance or state: the consumer's.
        Cause::Skipped(_) => Fault::Consumer,
        Cause::Foreign => Fault::Relayer,
        Cause::FinalityBroke => Fault::Chain,
        Cause::Reverted | Cause::LeftOut | Cause::Requeued => Fault::Unknown,
    }
}

fn dead_id(event: &LanesEvent) -> Option<SettlementId> {
    if let LanesEvent::IntentDead(dead) = event { Some(dead.settlement_id) } else { None }
}
