//! The shell as it should be: runs actions, journals what is decided, reads it back, folds it; and crashes where told.

use super::chain::{Chain, TxItem};
use super::{capabilities, identity, policy};
use acurast_adapter_api::{Call, Capabilities, FulfillItem, Observation};
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, MerkleNode, SettlementId};
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{ItemFinal, ItemOutcome, LanesEvent, SlotFinal};
use acurast_events::merkle::process_proof;
use acurast_events::units::{Batch, Timestamp};
use acurast_relayer_lane::{Action, ActionKey, Lane, LaneInput, LanePolicy, SignRequest};
use std::collections::{BTreeMap, BTreeSet};

/// A small generator: the same seed, the same run.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n.max(1)
    }
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

/// The process is gone.
pub struct Crashed;

type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

pub struct Shell {
    pub chain: Chain,
    pub lane: Lane,
    pub journal: Vec<(Timestamp, Vec<LanesEvent>)>,
    pub store: Rows,
    pub policy: LanePolicy,
    pub caps: Capabilities,
    pub jobs: Vec<JobsEvent>,
    pub taken: usize,
    pub random: Seeded,
    /// One in so many actions fails without an answer; 0: none.
    pub faults: u64,
    /// The attester refuses leaves of these assignments' settlement ids.
    pub refuse: BTreeSet<SettlementId>,
    /// Attesters can't be reached.
    pub attesters_down: bool,
    /// Attesters' nodes have no state of source blocks below this one.
    pub pruned_below: u64,
    /// The key signs, and its answers are lost.
    pub signer_down: bool,
    /// The first of those answers.
    pub lost_signature: Option<LaneInput>,
    /// Boundaries passed: before and after every append and every broadcast.
    pub boundaries: u64,
    pub crash_at: Option<u64>,
    pub crashes: u64,
}

impl Shell {
    pub fn new(seed: u64, jobs: Vec<JobsEvent>) -> Self {
        Self {
            chain: Chain::new(),
            lane: Lane::new(identity()),
            journal: Vec::new(),
            store: Rows::new(),
            policy: policy(),
            caps: capabilities(),
            jobs,
            taken: 0,
            random: Seeded::new(seed),
            faults: 0,
            refuse: BTreeSet::new(),
            attesters_down: false,
            pruned_below: 0,
            signer_down: false,
            lost_signature: None,
            boundaries: 0,
            crash_at: None,
            crashes: 0,
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.chain.now)
    }

    fn boundary(&mut self) -> Result<(), Crashed> {
        let here = self.boundaries;
        self.boundaries += 1;
        if self.crash_at == Some(here) { Err(Crashed) } else { Ok(()) }
    }

    /// One input: decide, append, read back, fold.
    pub fn feed(&mut self, input: &LaneInput) -> Result<(), Crashed> {
        let now = self.now();
        let events = self.lane.decide(&self.policy, &self.caps, input, now).expect("the chain tells no nonsense");
        if events.is_empty() {
            return Ok(());
        }
        self.boundary()?;
        self.journal.push((now, events.clone()));
        self.boundary()?;
        self.lane.evolve(now, &events).expect("what is decided can be folded");
        for (table, key, value) in self.lane.changes().unwrap() {
            match value {
                Some(value) => drop(self.store.insert((table, key), value)),
                None => drop(self.store.remove(&(table, key))),
            }
        }
        Ok(())
    }

    /// A line per event, to read a failing run by.
    pub fn dump(&self) {
        for (at, events) in &self.journal {
            for event in events {
                println!("{at} {event:?}");
            }
        }
        println!("{:#?}", self.lane.status());
    }

    /// Everything that can be done at this moment, in any order; then a block.
    fn step(&mut self) -> Result<(), Crashed> {
        while self.taken < self.jobs.len() {
            let event = self.jobs[self.taken].clone();
            self.feed(&LaneInput::Jobs(event))?;
            self.taken += 1;
        }
        let mut done: BTreeSet<ActionKey> = BTreeSet::new();
        for _ in 0..12 {
            let mut actions = self.lane.actions(&self.policy, &self.caps, self.now()).expect("calls can be built");
            actions.retain(|action| !done.contains(&action.key()));
            if actions.is_empty() {
                break;
            }
            // What a view tells must not be known to the chain's books before it is known to the lane.
            if let Some(view) = actions.iter().position(|action| *action == Action::View) {
                actions = vec![actions.swap_remove(view)];
            }
            self.random.shuffle(&mut actions);
            for action in actions {
                done.insert(action.key());
                let input = self.run(action)?;
                self.feed(&input)?;
            }
        }
        self.feed(&LaneInput::Tick)?;
        self.chain.mine();
        Ok(())
    }

    /// A step; a crash loses all but the journal, the store, and what the chain has.
    pub fn tick(&mut self) {
        if self.step().is_err() {
            self.restart();
        }
    }

    pub fn ticks(&mut self, n: u32) {
        for _ in 0..n {
            self.tick();
        }
    }

    pub fn restart(&mut self) {
        self.crashes += 1;
        self.crash_at = None;
        // Every other time from the store, which may lack the last record: it is folded then.
        self.lane = if self.crashes.is_multiple_of(2) { self.loaded() } else { self.replayed() };
        self.store = rows(&self.replayed_rows());
        // Inputs without a recorded position are delivered again.
        self.taken = 0;
    }

    fn loaded(&self) -> Lane {
        let rows = rows(&self.replayed_rows());
        Lane::load(identity(), rows.iter().map(|((table, key), value)| (*table, &key[..], &value[..]))).unwrap()
    }

    fn replayed(&self) -> Lane {
        let mut lane = Lane::new(identity());
        for (at, events) in &self.journal {
            lane.evolve(*at, events).expect("what was written can be replayed");
        }
        let _ = lane.changes().unwrap();
        lane
    }

    fn replayed_rows(&self) -> Vec<acurast_relayer_lane::Row> {
        let mut lane = Lane::new(identity());
        let mut all = Vec::new();
        for (at, events) in &self.journal {
            lane.evolve(*at, events).expect("what was written can be replayed");
            all.extend(lane.changes().unwrap());
        }
        all
    }

    /// One action, and what came of it.
    pub fn run(&mut self, action: Action) -> Result<LaneInput, Crashed> {
        let key = action.key();
        if self.faults > 0 && self.random.below(self.faults) == 0 {
            return Ok(match action {
                // An adapter answers so itself; *unknown* must never count as *not found*.
                Action::Observe(tx) => LaneInput::Observed { tx, observation: Observation::Unknown("timed out".into()) },
                _ => LaneInput::Failed { key, reason: "timed out".into() },
            });
        }
        Ok(match action {
            Action::View => LaneInput::View(self.chain.view()),
            Action::Simulate { key, call } => LaneInput::Simulated { result: self.chain.simulate(&key, &items(&call)), call: key },
            Action::Attest { statement, leaves } => {
                let settlement = |leaf: &acurast_adapter_api::LeafClaim| acurast_events::ids::root_settlement_id(&leaf.leaf.assignment_id);
                let refused = leaves.iter().position(|leaf| self.refuse.contains(&settlement(leaf)));
                match refused {
                    _ if statement.source_block.0 < self.pruned_below => LaneInput::Failed { key, reason: "state pruned".into() },
                    _ if self.attesters_down => LaneInput::Failed { key, reason: "attester unreachable".into() },
                    Some(leaf) => LaneInput::AttestRefused { batch: statement.batch, leaf, reason: "not derived".into() },
                    None => LaneInput::Attested { batch: statement.batch, signatures: vec![Bytes(vec![1; 65])] },
                }
            }
            Action::Reserve(request) => LaneInput::Reserved(request),
            Action::Sign { request, call } if self.signer_down => {
                let signed = self.sign(request, &call);
                self.lost_signature.get_or_insert(signed);
                LaneInput::Failed { key, reason: "the signer is offline".into() }
            }
            Action::Sign { request, call } => self.sign(request, &call),
            Action::Broadcast { tx, bytes } => {
                self.boundary()?;
                assert!(self.journaled(&bytes), "bytes were sent that the journal doesn't have");
                let outcome = self.chain.broadcast(&bytes);
                self.boundary()?;
                LaneInput::Sent { tx, outcome }
            }
            Action::Observe(tx) => LaneInput::Observed { tx, observation: self.chain.observe(&tx) },
            Action::Report { tx, .. } => LaneInput::Reported { tx, report: self.chain.report(&tx) },
            Action::AskEffect { of, query } => LaneInput::EffectAnswer { of, effect: self.chain.effect(&query) },
            Action::AskSlotOwner(slot) => LaneInput::SlotOwner { slot, tx: self.chain.slot_owner(slot) },
        })
    }

    pub fn sign(&mut self, request: SignRequest, call: &Call) -> LaneInput {
        let signed = self.chain.sign(&request, root(call), items(call));
        LaneInput::Signed { request, signed }
    }

    fn journaled(&self, bytes: &Bytes) -> bool {
        self.events().any(|event| matches!(event, LanesEvent::AttemptPrepared(attempt) if attempt.bytes == *bytes))
    }

    // ------------------------------------------------------------------------------------ what must hold

    pub fn events(&self) -> impl DoubleEndedIterator<Item = &LanesEvent> {
        self.journal.iter().flat_map(|(_, events)| events)
    }

    pub fn finals(&self) -> Vec<&SlotFinal> {
        self.events().filter_map(|event| if let LanesEvent::SlotFinal(event) = event { Some(event) } else { None }).collect()
    }

    pub fn count(&self, name: &str) -> usize {
        self.events().filter(|event| event.name() == name).count()
    }

    /// How each settlement ended; panics when one ended twice. What was given up goes on when it is planned anew.
    pub fn endings(&self) -> BTreeMap<SettlementId, &'static str> {
        let mut endings = BTreeMap::new();
        for event in self.events() {
            let ended: Vec<(SettlementId, &str)> = match event {
                LanesEvent::SlotFinal(event) => {
                    let settled = |item: &&ItemFinal| match item.outcome {
                        ItemOutcome::Settled | ItemOutcome::SettledFailed | ItemOutcome::AlreadySettled => true,
                        ItemOutcome::Skipped | ItemOutcome::NoEffect => false,
                    };
                    event.items.iter().filter(settled).map(|item| (item.settlement_id, "settled")).collect()
                }
                LanesEvent::EffectFound(event) => vec![(event.settlement_id, "found")],
                LanesEvent::IntentDead(event) => vec![(event.settlement_id, "dead")],
                LanesEvent::RootAccepted(event) if event.intent.requeued > 0 => {
                    assert_eq!(endings.remove(&event.intent.settlement_id), Some("dead"), "planned anew without being given up");
                    vec![]
                }
                LanesEvent::FulfillmentAccepted(event) if event.intent.requeued > 0 => {
                    assert_eq!(endings.remove(&event.intent.settlement_id), Some("dead"), "planned anew without being given up");
                    vec![]
                }
                _ => vec![],
            };
            for (id, how) in ended {
                assert_eq!(endings.insert(id, how), None, "{id} ended twice");
            }
        }
        endings
    }

    /// Every intent has ended once, every effect exists once, slots have no holes, costs are the chain's, and a replay
    /// gives the same rows.
    pub fn assert_sound(&self) {
        let endings = self.endings();
        for event in &self.jobs {
            let id = match event {
                JobsEvent::LeafPlanned(intent) => intent.settlement_id,
                JobsEvent::FulfillmentPlanned(intent) => {
                    let settled = self.chain.settled().contains_key(&intent.settlement_id);
                    assert_eq!(settled, endings.get(&intent.settlement_id).is_some_and(|how| *how != "dead"), "effect and ending differ");
                    intent.settlement_id
                }
                _ => continue,
            };
            assert!(endings.contains_key(&id), "{id} has not ended: {:#?}", self.lane.status());
        }
        assert_eq!(self.chain.skipped_as_settled, 0, "an item was sent again although it was settled");
        assert_eq!(self.chain.sent_late_knowingly, 0, "something was sent after its notAfter");
        let status = self.lane.status();
        assert!(status.open_slots.is_empty() && status.fulfillments_open == 0 && status.roots_open == 0, "{status:#?}");
        let slots: Vec<u64> = self.finals().iter().map(|slot| slot.slot.0).collect::<BTreeSet<_>>().into_iter().collect();
        assert_eq!(slots, (0..self.chain.next_slot()).collect::<Vec<_>>(), "slots have holes, or ended twice");
        assert_eq!(slots.len(), self.finals().len(), "a slot was final twice");
        let costs = Amount::checked_sum(self.finals().iter().map(|slot| slot.cost)).unwrap();
        assert_eq!(costs.0, self.chain.paid(), "costs differ from what the key paid");
        assert_eq!(self.store, rows(&self.replayed_rows()), "the store differs from a replay");
        assert_eq!(self.lane.next_wake(&self.policy, &self.caps, self.now()), None, "an idle lane wakes up");
    }
}

fn rows(changes: &[acurast_relayer_lane::Row]) -> Rows {
    let mut rows = Rows::new();
    for (table, key, value) in changes.iter().cloned() {
        match value {
            Some(value) => drop(rows.insert((table, key), value)),
            None => drop(rows.remove(&(table, key))),
        }
    }
    rows
}

fn items(call: &Call) -> Vec<TxItem> {
    let Call::Fulfill(items) = call else { return Vec::new() };
    let item = |item: &FulfillItem| TxItem {
        id: item.intent.settlement_id,
        batch: item.batch,
        root: process_proof(&item.leaf.hash(), &item.proof),
        bit: item.leaf.bit_of(item.intent.execution).expect("a leaf covers its executions"),
        share: (item.leaf.share_bit().expect("a leaf has a share bit"), acurast_events::ids::root_settlement_id(&item.leaf.assignment_id)),
        not_after: item.intent.not_after.0,
    };
    items.iter().map(item).collect()
}

fn root(call: &Call) -> Option<(Batch, MerkleNode)> {
    if let Call::Root { statement, .. } = call { Some((statement.batch, statement.root)) } else { None }
}
