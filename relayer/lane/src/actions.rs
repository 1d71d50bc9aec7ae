//! What the shell should do now: derived from the state and what was seen since the start, so that recovery after a crash
//! is the same code as normal running.

use crate::decide::Context;
use crate::draft::Next;
use crate::error::LaneCoreError;
use crate::fee::FeeRules;
use crate::input::{Action, ActionKey, CallKey, EffectOf, SignRequest};
use crate::lane::Lane;
use crate::plan::{Plan, bytes_of};
use crate::policy::LanePolicy;
use crate::state::{FinalSlot, Fulfillment, FulfillmentStage, Leaf, LeafStage, Root, RootStage};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::oracle::LeafClaim;
use acurast_adapter_api::{Call, Capabilities, FulfillItem, LaneView, Observation, Simulation};
use acurast_events::bytes::{SettlementId, TxHash};
use acurast_events::lanes::{FeeBid, Purpose};
use acurast_events::merkle::MerkleTree;
use acurast_events::units::{Batch, Millis, Slot, Timestamp};
use std::collections::BTreeMap;

/// Most actions of one call of [`Lane::actions`]; the rest follow in the next one.
const ACTIONS_MAX: usize = 64;
/// What is in a block is looked at again every so many block times, until it is final.
const INCLUDED_BLOCKS: u64 = 4;
/// The newest final transaction is looked at again every so many block times, to notice a broken finality.
const FINAL_BLOCKS: u64 = 16;

impl Lane {
    /// What the shell should do now, most pressing first. The same action is given again until its result, or its
    /// failure, comes back as an input; the shell runs one of a key at a time. Only the volatile part changes.
    ///
    /// # Errors
    /// `Call` when a call can't be built from the state, which `evolve` excludes.
    pub fn actions(&mut self, policy: &LanePolicy, caps: &Capabilities, now: Timestamp) -> Result<Vec<Action>, LaneCoreError> {
        let context = Context { policy, caps, now };
        let mut actions = Vec::new();
        if self.view_due(context).is_some_and(|due| due <= now) {
            actions.push(Action::View);
        }
        if let Some(view) = self.fresh_view(caps, now) {
            self.unsent(context, view, &mut actions);
            self.watch(context, view, &mut actions)?;
            self.watch_finals(context, view, &mut actions);
            self.ask(&mut actions);
            self.slots_work(context, view, &mut actions)?;
        }
        self.attest(&mut actions)?;
        match self.next_work(context) {
            Next::Nothing => {}
            Next::Simulate(key) => actions.push(Action::Simulate { call: self.call(&key)?, key }),
            Next::Sign(request) => actions.push(self.sign(context, request)?),
        }
        actions.retain(|action| self.volatile.may(&action.key(), now));
        actions.truncate(ACTIONS_MAX);
        Ok(actions)
    }

    /// When the shell should look again if nothing else happens; nothing when the lane is idle.
    pub fn next_wake(&self, policy: &LanePolicy, caps: &Capabilities, now: Timestamp) -> Option<Timestamp> {
        let view = self.view_due(Context { policy, caps, now })?;
        Some(self.volatile.next_pause_end(now).map_or(view, |pause| pause.min(view)))
    }

    /// When the chain is to be looked at: every block while something is open, rarely while only start times are waited
    /// for, never when nothing is open.
    fn view_due(&self, context: Context<'_>) -> Option<Timestamp> {
        let state = &self.state;
        let asking = |item: &Fulfillment| matches!(item.stage, FulfillmentStage::Asking(_));
        let busy = !state.slots.is_empty()
            || !self.index.queue.is_empty()
            || state.roots.values().any(|root| root.stage != RootStage::Posted)
            || state.fulfillments.values().any(asking);
        let every = match (busy, self.index.unrooted.is_empty()) {
            (true, _) => context.caps.block_time,
            (false, false) => context.policy.quiet_view_every.min(context.policy.root_age_max),
            (false, true) => return None,
        };
        let due = match &self.volatile.view {
            Some((at, _)) if !self.volatile.view_stale => at.after(every),
            Some(_) | None => context.now,
        };
        // A look that failed is repeated after its pause, however old the last one is.
        Some(self.volatile.pauses.get(&ActionKey::View).map_or(due, |pause| due.max(pause.until)))
    }

    /// Every attempt that may be mined is sent once after a start, oldest first (R1).
    fn unsent(&self, context: Context<'_>, view: &LaneView, actions: &mut Vec<Action>) {
        for (slot, state) in &self.state.slots {
            if !self.in_flight(*slot, view) {
                continue;
            }
            for attempt in state.live().map(|attempt| &attempt.prepared) {
                let watch = self.volatile.watches.get(&attempt.tx);
                let due = watch.is_none_or(|watch| watch.sent.is_none() || watch.missing);
                if due && self.may_send(context, view, attempt) {
                    actions.push(Action::Broadcast { tx: attempt.tx, bytes: attempt.bytes.clone() });
                }
            }
        }
    }

    /// Asks the key; first for the record of the request, where the key is elsewhere. What was reserved is asked for at the
    /// price that was reserved, as long as that fits.
    fn sign(&self, context: Context<'_>, mut request: SignRequest) -> Result<Action, LaneCoreError> {
        if context.caps.remote_signer {
            let bytes = self.bytes_max(context, &request);
            let fits = |fee: &FeeBid| {
                let reserved = SignRequest { fee: fee.clone(), ..request.clone() };
                let fits = |view: &LaneView| fee.max_fee_per_gas >= view.market.floor() && self.fee_fits(context, view, &reserved, bytes);
                fee.gas_limit == request.fee.gas_limit && self.fresh_view(context.caps, context.now).is_some_and(fits)
            };
            // Also what the caps no longer allow, if just that is wanted: reserving it again would decide nothing.
            match self.reservation_of(&request).map(|reserved| &reserved.fee).filter(|fee| **fee == request.fee || fits(fee)) {
                Some(fee) => request.fee = fee.clone(),
                None => return Ok(Action::Reserve(request)),
            }
        }
        Ok(Action::Sign { call: self.call(&request.call)?, request })
    }

    /// Upper bound of the bytes that a request will be signed to, as far as it is known before.
    fn bytes_max(&self, context: Context<'_>, request: &SignRequest) -> u32 {
        let last = self.state.slots.get(&request.slot).and_then(|state| state.attempts.last());
        match self.simulated(context, &request.call) {
            Some(Simulation::Executes { bytes, .. }) => *bytes,
            Some(Simulation::Reverts { .. }) | None => last.map_or(0, |last| bytes_of(&last.prepared)),
        }
    }

    /// All attempts of a slot are watched until one is final; then its report is read, or the slot's owner asked for.
    fn watch(&self, context: Context<'_>, view: &LaneView, actions: &mut Vec<Action>) -> Result<(), LaneCoreError> {
        for (slot, state) in &self.state.slots {
            let resolved = *slot < view.next_slot_final;
            match &state.included {
                Some(included) if resolved && included.block.number <= view.finalized.number => {
                    actions.push(self.report(*slot, &included.tx)?);
                    continue;
                }
                Some(_) => {}
                None if resolved && state.attempts.iter().all(|attempt| self.missing(context.policy, &attempt.prepared.tx)) => {
                    actions.push(Action::AskSlotOwner(*slot));
                }
                None => {}
            }
            let blocks = if state.included.is_some() { INCLUDED_BLOCKS } else { 1 };
            let every = Millis(context.caps.block_time.0.saturating_mul(blocks));
            for attempt in &state.attempts {
                self.look_at(context, attempt.prepared.tx, every, actions);
            }
        }
        Ok(())
    }

    fn look_at(&self, context: Context<'_>, tx: TxHash, every: Millis, actions: &mut Vec<Action>) {
        let seen = self.volatile.watches.get(&tx).and_then(|watch| watch.observed.as_ref());
        if seen.is_none_or(|(at, _)| at.after(every) <= context.now) {
            actions.push(Action::Observe(tx));
        }
    }

    /// The newest final transaction is looked at again, now and then; those that have moved are left behind and the next
    /// older one is looked at, until one is where it was. The effects of those that moved are asked for.
    fn watch_finals(&self, context: Context<'_>, view: &LaneView, actions: &mut Vec<Action>) {
        let calm = Millis(context.caps.block_time.0.saturating_mul(FINAL_BLOCKS));
        for slot in self.state.finals.values().rev() {
            let elsewhere = |(_, seen): &(Timestamp, Observation)| match seen {
                Observation::Included(inclusion) => inclusion.block.hash != slot.block.hash,
                Observation::NotFound => true,
                Observation::Pending | Observation::Unknown(_) => false,
            };
            let seen = self.volatile.watches.get(&slot.tx).and_then(|watch| watch.observed.as_ref());
            let doubted = seen.is_some_and(elsewhere) || self.state.head.quarantine.is_some();
            self.look_at(context, slot.tx, if doubted { context.caps.block_time } else { calm }, actions);
            if !self.final_moved(context.policy.not_found_max, &slot.tx, slot) {
                break;
            }
            // Before the new chain is final as far as that, an absence says nothing.
            if view.finalized.number >= slot.block.number {
                self.ask_again(slot, actions);
            }
        }
    }

    fn ask_again(&self, slot: &FinalSlot, actions: &mut Vec<Action>) {
        let root = slot.batch.and_then(|batch| self.state.roots.get(&batch)).filter(|root| root.stage == RootStage::Posted);
        let root = root.map(|root| (EffectOf::Root(root.statement.batch), EffectQuery::Root(root.statement.clone())));
        let outputs = slot.items.iter().filter_map(|item| {
            let (leaf, execution) = item.output.clone()?;
            Some((EffectOf::Fulfillment(item.id), EffectQuery::Fulfillment { settlement_id: item.id, leaf, execution }))
        });
        for (of, query) in root.into_iter().chain(outputs).filter(|(of, _)| !self.volatile.confirmed.contains(of)) {
            actions.push(Action::AskEffect { of, query });
        }
    }

    fn missing(&self, policy: &LanePolicy, tx: &TxHash) -> bool {
        self.volatile.watches.get(tx).is_some_and(|watch| watch.not_found >= policy.not_found_max)
    }

    fn report(&self, slot: Slot, tx: &TxHash) -> Result<Action, LaneCoreError> {
        let attempt = self.state.slots.get(&slot).and_then(|state| state.attempt(tx)).map(|attempt| &attempt.prepared);
        let (items, root) = match attempt {
            Some(attempt) if attempt.purpose == Purpose::Fulfill => (self.fulfill_items(&attempt.items)?, None),
            Some(attempt) => (Vec::new(), attempt.batch),
            None => (Vec::new(), None),
        };
        Ok(Action::Report { tx: *tx, items, root })
    }

    /// R2: what came back from a final slot without its effect is asked for, before it gets a new slot. A root only when
    /// no output under it is in a slot any more: until then it can't be given up.
    fn ask(&self, actions: &mut Vec<Action>) {
        for (batch, root) in &self.state.roots {
            let under_way = |leaf: &SettlementId| self.state.leaves.get(leaf).is_some_and(|leaf| self.any_in_slot(leaf));
            if matches!(root.stage, RootStage::Asking(_)) && !root.leaves.iter().any(under_way) {
                let query = EffectQuery::Root(root.statement.clone());
                actions.push(Action::AskEffect { of: EffectOf::Root(*batch), query });
            }
        }
        for (id, item) in &self.state.fulfillments {
            let (FulfillmentStage::Asking(_), Some(leaf)) = (item.stage, self.state.leaf_of(&item.intent)) else { continue };
            let query = EffectQuery::Fulfillment { settlement_id: *id, leaf: leaf.leaf(), execution: item.intent.execution };
            actions.push(Action::AskEffect { of: EffectOf::Fulfillment(*id), query });
        }
    }

    fn any_in_slot(&self, leaf: &Leaf) -> bool {
        leaf.open > 0
            && self
                .state
                .fulfillments
                .values()
                .any(|item| item.intent.assignment_id == leaf.intent.assignment_id && matches!(item.stage, FulfillmentStage::InSlot(_)))
    }

    fn slots_work(&self, context: Context<'_>, view: &LaneView, actions: &mut Vec<Action>) -> Result<(), LaneCoreError> {
        for (slot, state) in &self.state.slots {
            let action = match self.plan_slot(context, view, *slot) {
                Plan::Nothing => continue,
                Plan::Send(tx) => match state.attempt(&tx) {
                    Some(attempt) => Action::Broadcast { tx, bytes: attempt.prepared.bytes.clone() },
                    None => continue,
                },
                Plan::Simulate(key) => Action::Simulate { call: self.call(&key)?, key },
                Plan::Sign(request) => self.sign(context, request)?,
            };
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
        Ok(())
    }

    fn attest(&self, actions: &mut Vec<Action>) -> Result<(), LaneCoreError> {
        for root in self.state.roots.values().filter(|root| root.stage == RootStage::Unsigned) {
            let settlement = &self.state.head.identity.settlement;
            let claim = |id: &SettlementId| {
                let leaf = self.state.leaves.get(id).ok_or_else(|| self.no_call(id, "a leaf of its root is unknown"))?;
                let intent = &leaf.intent;
                Ok(LeafClaim { leaf: leaf.leaf(), job: intent.job.clone(), processor: intent.processor, settlement: settlement.clone() })
            };
            let leaves = root.leaves.iter().map(claim).collect::<Result<_, _>>()?;
            actions.push(Action::Attest { statement: root.statement.clone(), leaves });
        }
        Ok(())
    }

    fn no_call(&self, settlement: &SettlementId, reason: &'static str) -> LaneCoreError {
        LaneCoreError::Call { lane: self.state.lane().clone(), settlement: *settlement, reason }
    }

    /// A call from its name.
    fn call(&self, key: &CallKey) -> Result<Call, LaneCoreError> {
        match (key.purpose, key.batch.and_then(|batch| self.state.roots.get(&batch))) {
            (Purpose::NoOp, _) => Ok(Call::NoOp),
            (Purpose::Root, Some(root)) => Ok(Call::Root { statement: root.statement.clone(), signatures: root.signatures.clone() }),
            (Purpose::Root, None) => Err(self.no_call(key.items.first().unwrap_or(&SettlementId::ZERO), "its root is unknown")),
            (Purpose::Fulfill, _) => self.fulfill_items(&key.items).map(Call::Fulfill),
        }
    }

    fn fulfill_items(&self, ids: &[SettlementId]) -> Result<Vec<FulfillItem>, LaneCoreError> {
        let mut trees: BTreeMap<Batch, MerkleTree> = BTreeMap::new();
        ids.iter().map(|id| self.fulfill_item(id, &mut trees)).collect()
    }

    fn fulfill_item(&self, id: &SettlementId, trees: &mut BTreeMap<Batch, MerkleTree>) -> Result<FulfillItem, LaneCoreError> {
        let item = self.state.fulfillments.get(id).ok_or_else(|| self.no_call(id, "it is unknown"))?;
        let leaf = self.state.leaf_of(&item.intent).ok_or_else(|| self.no_call(id, "its leaf is unknown"))?;
        let LeafStage::InRoot(batch) = leaf.stage else {
            return Err(self.no_call(id, "its leaf is in no root"));
        };
        let root: &Root = self.state.roots.get(&batch).ok_or_else(|| self.no_call(id, "its root is unknown"))?;
        let tree = match trees.entry(batch) {
            std::collections::btree_map::Entry::Occupied(tree) => tree.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(MerkleTree::new(&root.hashes).map_err(|_| self.no_call(id, "its root has no tree"))?)
            }
        };
        let place = root.leaves.iter().position(|leaf| *leaf == leaf_id(item));
        let proof = place.and_then(|place| tree.proof(place)).ok_or_else(|| self.no_call(id, "its root does not prove its leaf"))?;
        Ok(FulfillItem { intent: item.intent.clone(), batch, leaf: leaf.leaf(), proof })
    }
}

fn leaf_id(item: &Fulfillment) -> SettlementId {
    acurast_events::ids::root_settlement_id(&item.intent.assignment_id)
}
