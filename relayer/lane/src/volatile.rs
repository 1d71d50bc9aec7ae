//! What the lane saw and tried since it was started, and may forget: the view of the chain, results of simulations,
//! answers of the pool, pauses after failures.
//!
//! None of it is journaled, because none of it is needed to be right. After a restart the chain is looked at again, a call
//! is simulated again, bytes are sent again (harmless, R1) and a question is asked again; what must not be forgotten, like
//! bytes that may have left, bits, returns and ends of slots, is in the state. So a crash costs questions, never an effect.

use crate::input::{ActionKey, CallKey, EffectOf, LaneInput};
use crate::policy::LanePolicy;
use acurast_adapter_api::{Capabilities, LaneView, Observation, SendOutcome, Simulation};
use acurast_events::bytes::{SettlementId, TxHash};
use acurast_events::jobs::{BlockRef, JobsEvent};
use acurast_events::units::{Batch, BlockNumber, Gas, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Final blocks kept to notice that finality broke.
const FINALIZED_KEPT: usize = 64;
/// Results of simulations kept.
const SIMULATIONS_KEPT: usize = 64;
/// After so many failures in a row a simulation is held against its items.
const FAILURES_MAX: u32 = 3;

/// What is known of a transaction of ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Watch {
    pub(crate) observed: Option<(Timestamp, Observation)>,
    /// How often in a row the node didn't know it.
    pub(crate) not_found: u32,
    /// How often in a row it was in the same block.
    pub(crate) settled_in: u32,
    pub(crate) sent: Option<(Timestamp, SendOutcome)>,
    /// Send again now: a later slot was refused because this one is missing.
    pub(crate) missing: bool,
}

/// A pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) count: u32,
    pub(crate) until: Timestamp,
}

/// What is held against an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspicion {
    /// Reverts of its own simulation that count towards giving it up.
    pub(crate) strikes: u32,
    /// Whether the last of them named the item.
    pub(crate) named: bool,
    /// It can't be sent as it is, whatever is tried.
    pub(crate) hopeless: bool,
    /// How many simulations had executed at its last strike.
    executed_at: u64,
    pub(crate) pause: Pause,
    pub(crate) reason: String,
}

/// The volatile part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Volatile {
    pub(crate) view: Option<(Timestamp, LaneView)>,
    /// When the view's head was first seen: the chain's clock has gone on since, whatever a stalled node repeats.
    head_since: Timestamp,
    /// Look again before anything else: an answer contradicted the view.
    pub(crate) view_stale: bool,
    pub(crate) finalized: BTreeMap<BlockNumber, BlockRef>,
    /// The newest final block of the source that an event of `jobs.v1` named.
    pub(crate) source: Option<BlockRef>,
    pub(crate) watches: BTreeMap<TxHash, Watch>,
    pub(crate) pauses: BTreeMap<ActionKey, Pause>,
    pub(crate) simulations: BTreeMap<CallKey, (Timestamp, Simulation)>,
    /// The call for the next slot, kept while its items can be sent, so that new arrivals don't undo its simulation.
    pub(crate) draft: Option<CallKey>,
    /// Most items of the next draft, less the power of two that bisecting has reached.
    pub(crate) narrowed: Option<usize>,
    pub(crate) suspicions: BTreeMap<SettlementId, Suspicion>,
    /// Effects of moved final transactions that are there all the same.
    pub(crate) confirmed: BTreeSet<EffectOf>,
    /// Reverts of a root's simulation.
    pub(crate) root_reverts: BTreeMap<Batch, Pause>,
    /// How many simulations executed.
    executed: u64,
}

/// The next pause of a thing that failed before, or for the first time.
fn next_pause(before: Option<&Pause>, policy: &LanePolicy, now: Timestamp) -> Pause {
    let count = before.map_or(0, |pause| pause.count).saturating_add(1);
    Pause { count, until: now.after(policy.backoff(count)) }
}

impl Volatile {
    /// Takes in what an input says beyond what is journaled.
    pub(crate) fn note(&mut self, policy: &LanePolicy, caps: &Capabilities, input: &LaneInput, now: Timestamp) {
        if let Some(key) = answered_key(input) {
            self.pauses.remove(&key);
        }
        // A failure of long ago counts no more, and what it was about may be over.
        self.pauses.retain(|_, pause| pause.until.after(policy.backoff_max) > now);
        match input {
            LaneInput::View(view) => self.note_view(policy, view, now),
            LaneInput::Simulated { call, result } => self.note_simulation(policy, caps, call, result, now),
            LaneInput::Sent { tx, outcome } => self.note_sent(tx, outcome, now),
            LaneInput::Observed { tx, observation } => self.note_observation(tx, observation, now),
            LaneInput::Failed { key, reason } => self.note_failure(policy, key, reason, now),
            // Who took a final slot does not change; who could not tell is asked again after a pause.
            LaneInput::SlotOwner { slot, tx: None } => self.pause(policy, ActionKey::AskSlotOwner(*slot), now),
            LaneInput::SlotOwner { tx: Some(tx), .. } => {
                if let Some(watch) = self.watches.get_mut(tx) {
                    watch.not_found = 0;
                }
            }
            LaneInput::AttestRefused { batch, .. } => self.pause(policy, ActionKey::Attest(*batch), now),
            LaneInput::Jobs(event) => self.note_source(event),
            LaneInput::Attested { .. }
            | LaneInput::Reserved(_)
            | LaneInput::Signed { .. }
            | LaneInput::Reported { .. }
            | LaneInput::EffectAnswer { .. }
            | LaneInput::Tick => {}
        }
    }

    /// The source goes on with every fact: a newer block may have what was pruned at an older one.
    fn note_source(&mut self, event: &JobsEvent) {
        let block = match event {
            JobsEvent::LeafPlanned(event) => &event.source,
            JobsEvent::JobOpened(event) => &event.block,
            JobsEvent::JobMatched(event) => &event.block,
            JobsEvent::AssignmentStarted(event) => &event.block,
            JobsEvent::ExecutionReported(event) => &event.block,
            JobsEvent::JobDone(event) => &event.block,
            // Blocks of destinations, or none.
            _ => return,
        };
        if self.source.as_ref().is_none_or(|known| known.number < block.number) {
            self.source = Some(block.clone());
        }
    }

    /// The action is not tried again before a pause.
    pub(crate) fn pause(&mut self, policy: &LanePolicy, key: ActionKey, now: Timestamp) {
        let pause = next_pause(self.pauses.get(&key), policy, now);
        self.pauses.insert(key, pause);
    }

    fn note_view(&mut self, policy: &LanePolicy, view: &LaneView, now: Timestamp) {
        // An endpoint that lags tells of an older chain: nothing is decided by it, and it is not asked again at once.
        if self.view.as_ref().is_some_and(|(_, known)| view.finalized.number < known.finalized.number) {
            self.pause(policy, ActionKey::View, now);
            return;
        }
        self.finalized.entry(view.finalized.number).or_insert_with(|| view.finalized.clone());
        while self.finalized.len() > FINALIZED_KEPT {
            self.finalized.pop_first();
        }
        if self.view.as_ref().is_none_or(|(_, known)| known.head.hash != view.head.hash) {
            self.head_since = now;
        }
        self.view = Some((now, view.clone()));
        self.view_stale = false;
    }

    /// What the chain's clock has come to, if it went on since the head was seen. It decides what isn't sent any more;
    /// what has *ended* is decided by blocks alone.
    pub(crate) fn chain_clock(&self, view: &LaneView, now: Timestamp) -> Timestamp {
        view.head.timestamp.after(now.since(self.head_since))
    }

    fn note_sent(&mut self, tx: &TxHash, outcome: &SendOutcome, now: Timestamp) {
        let watch = self.watches.entry(*tx).or_default();
        if watch.sent.is_none() {
            // What was missing before it was sent says nothing.
            watch.not_found = 0;
        }
        watch.sent = Some((now, outcome.clone()));
        watch.missing = false;
        // The chain is further than the view.
        self.view_stale |= *outcome == SendOutcome::SlotTooLow;
    }

    fn note_observation(&mut self, tx: &TxHash, observation: &Observation, now: Timestamp) {
        let watch = self.watches.entry(*tx).or_default();
        let block = |observation: &Observation| match observation {
            Observation::Included(inclusion) => Some(inclusion.block.hash),
            Observation::NotFound | Observation::Pending | Observation::Unknown(_) => None,
        };
        let before = watch.observed.as_ref().and_then(|(_, before)| block(before));
        watch.settled_in = match block(observation) {
            Some(now) if before == Some(now) => watch.settled_in.saturating_add(1),
            Some(_) => 1,
            None => 0,
        };
        match observation {
            Observation::NotFound => watch.not_found = watch.not_found.saturating_add(1),
            // *Unknown* says nothing: neither found nor missing.
            Observation::Unknown(_) => {}
            Observation::Pending | Observation::Included(_) => watch.not_found = 0,
        }
        watch.observed = Some((now, observation.clone()));
    }

    fn note_simulation(&mut self, policy: &LanePolicy, caps: &Capabilities, call: &CallKey, result: &Simulation, now: Timestamp) {
        while self.simulations.len() >= SIMULATIONS_KEPT {
            self.simulations.pop_first();
        }
        let too_large = |gas: Gas, bytes: u32| gas > caps.transaction_gas_max || bytes > caps.transaction_bytes_max;
        match (call.batch, result) {
            (_, Simulation::Executes { gas_limit, bytes }) if !too_large(*gas_limit, *bytes) => {
                self.executed = self.executed.saturating_add(1);
                self.narrowed = self.narrowed.map(|narrowed| narrowed.saturating_mul(2));
                if let Some(batch) = call.batch {
                    self.root_reverts.remove(&batch);
                }
                self.simulations.insert(call.clone(), (now, result.clone()));
                return;
            }
            (Some(batch), _) => {
                let pause = next_pause(self.root_reverts.get(&batch), policy, now);
                self.root_reverts.insert(batch, pause);
            }
            (None, Simulation::Executes { .. }) => self.blame(policy, call, None, true, "it exceeds the size of a transaction", now),
            (None, Simulation::Reverts { item, reason }) => self.blame(policy, call, *item, false, reason, now),
        }
        self.drop_draft(call);
        // Kept also for a replacement that lost items: it asks for this result.
        self.simulations.insert(call.clone(), (now, result.clone()));
    }

    /// A call with these items reverted: narrow down to the item at fault. Several items: the named one is tried alone, or
    /// the next draft is half as long. One item: it is at fault, unless nothing at all executes.
    fn blame(&mut self, policy: &LanePolicy, call: &CallKey, item: Option<usize>, hopeless: bool, reason: &str, now: Timestamp) {
        let named = item.and_then(|index| call.items.get(index));
        match (call.items.as_slice(), named) {
            ([alone], named) => {
                let before = self.suspicions.get(alone);
                // A contract that refuses everything (paused, say) condemns nobody: without a name a revert counts only
                // when something else executed since the last one.
                let counts = named.is_some() || before.is_none_or(|before| before.executed_at < self.executed);
                let strikes = before.map_or(0, |before| before.strikes).saturating_add(u32::from(counts));
                let suspicion = Suspicion {
                    strikes,
                    named: named.is_some(),
                    hopeless,
                    executed_at: self.executed,
                    pause: next_pause(before.map(|before| &before.pause), policy, now),
                    reason: reason.to_owned(),
                };
                self.suspicions.insert(*alone, suspicion);
            }
            (_, Some(named)) => self.suspect(named, reason, now),
            (items, None) => self.narrowed = Some((items.len() / 2).max(1)),
        }
    }

    fn drop_draft(&mut self, call: &CallKey) {
        self.draft = self.draft.take().filter(|draft| draft != call);
    }

    /// No usable answer. A call that is answered by nothing, again and again, must not keep others waiting: it may be
    /// the call that makes the node time out.
    fn note_failure(&mut self, policy: &LanePolicy, key: &ActionKey, reason: &str, now: Timestamp) {
        self.pause(policy, key.clone(), now);
        let ActionKey::Simulate(call) = key else { return };
        if self.pauses.get(key).is_none_or(|pause| pause.count < FAILURES_MAX) || call.batch.is_some() {
            return;
        }
        match call.items.as_slice() {
            [alone] => self.hold(policy, alone, reason, now),
            items => self.narrowed = Some((items.len() / 2).max(1)),
        }
        self.drop_draft(call);
    }

    /// From now on the item goes alone, at once.
    fn suspect(&mut self, id: &SettlementId, reason: &str, now: Timestamp) {
        self.suspicions.entry(*id).or_insert_with(|| Suspicion {
            strikes: 0,
            named: true,
            hopeless: false,
            executed_at: 0,
            pause: Pause { count: 0, until: now },
            reason: reason.to_owned(),
        });
    }

    /// The item can't be paid for at the market's price: others go first, it is tried again after a pause.
    pub(crate) fn hold(&mut self, policy: &LanePolicy, id: &SettlementId, reason: &str, now: Timestamp) {
        let before = self.suspicions.get(id);
        let pause = next_pause(before.map(|before| &before.pause), policy, now);
        let (strikes, executed_at) = before.map_or((0, 0), |before| (before.strikes, before.executed_at));
        let suspicion = Suspicion { strikes, named: false, hopeless: false, executed_at, pause, reason: reason.to_owned() };
        self.suspicions.insert(*id, suspicion);
    }

    /// Whether an action may be tried now.
    pub(crate) fn may(&self, key: &ActionKey, now: Timestamp) -> bool {
        self.pauses.get(key).is_none_or(|pause| pause.until <= now)
    }

    /// The earliest end of a pause after `now`.
    pub(crate) fn next_pause_end(&self, now: Timestamp) -> Option<Timestamp> {
        let pauses = self.pauses.values().chain(self.root_reverts.values()).chain(self.suspicions.values().map(|item| &item.pause));
        pauses.map(|pause| pause.until).filter(|until| *until > now).min()
    }
}

/// The action that an input is the result of: its pause is over.
fn answered_key(input: &LaneInput) -> Option<ActionKey> {
    match input {
        LaneInput::View(_) => Some(ActionKey::View),
        LaneInput::Simulated { call, .. } => Some(ActionKey::Simulate(call.clone())),
        LaneInput::Attested { batch, .. } => Some(ActionKey::Attest(*batch)),
        LaneInput::Reserved(request) => Some(ActionKey::Reserve(request.slot)),
        LaneInput::Signed { request, .. } => Some(ActionKey::Sign(request.slot)),
        LaneInput::Sent { tx, .. } => Some(ActionKey::Broadcast(*tx)),
        LaneInput::Observed { tx, .. } => Some(ActionKey::Observe(*tx)),
        LaneInput::Reported { tx, .. } => Some(ActionKey::Report(*tx)),
        LaneInput::EffectAnswer { of, .. } => Some(ActionKey::AskEffect(*of)),
        LaneInput::SlotOwner { slot, tx: Some(_) } => Some(ActionKey::AskSlotOwner(*slot)),
        LaneInput::SlotOwner { tx: None, .. }
        | LaneInput::AttestRefused { .. }
        | LaneInput::Failed { .. }
        | LaneInput::Jobs(_)
        | LaneInput::Tick => None,
    }
}
