//! A relayer's dispatch in stepped time: runs the lane's actions one by one, journals what is decided before anything
//! follows from it, and crashes where it is told to.

use crate::observer::Observer;
use crate::world::{LANE, World, relayer};
use acurast_adapter_api::oracle::{Attester, AttesterError};
use acurast_adapter_api::{Capabilities, LaneAdapter, LaneError};
use acurast_adapter_evm::{ChainConfig, EndpointConfig, EndpointLimits, EvmChain, EvmLane, Finality, LaneConfig, LocalAttester};
use acurast_adapter_testkit::{FaultPlan, FaultProxy};
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, SettlementId};
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{AttemptPrepared, ItemOutcome, LaneOpened, LanesEvent, SlotFinal, SlotOutcome};
use acurast_events::units::{Millis, Slot, Timestamp};
use acurast_relayer_lane::{Action, ActionKey, FeePolicy, Lane, LaneCoreError, LaneInput, LanePolicy};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Blocks on top of a final one.
pub const FINALITY: u64 = 3;
/// A block a second.
const BLOCK_MS: u64 = 1_000;

/// The process is gone.
struct Crashed;

pub struct Driver {
    pub world: Arc<World>,
    pub proxy: FaultProxy,
    pub chain: Observer,
    pub adapter: Arc<EvmLane>,
    caps: Capabilities,
    attester: LocalAttester,
    pub lane: Lane,
    pub policy: LanePolicy,
    pub journal: Vec<(Timestamp, Vec<LanesEvent>)>,
    pub jobs: Vec<JobsEvent>,
    taken: usize,
    /// Virtual time, ms since the Unix epoch.
    pub now: u64,
    /// Whether a step ends with a block.
    pub mining: bool,
    /// Wall-clock time that a step takes at least. The lane knows nothing of it, but the endpoints' breakers live by it.
    pub pace: Duration,
    /// Boundaries passed: before and after every append and every broadcast.
    pub boundaries: u64,
    pub crash_at: Option<u64>,
    pub crashes: u64,
    /// What the signer had at the start, plus what the test gave and took, wei.
    pub funded: u128,
}

pub fn policy() -> LanePolicy {
    LanePolicy {
        root_leaves_max: 8,
        root_age_max: Millis(1_000),
        batch_items_max: 4,
        batch_age_max: Millis(500),
        expiry_margin: Millis(3_000),
        backoff_min: Millis(500),
        backoff_max: Millis(2_000),
        quiet_view_every: Millis(1_000),
        fee: FeePolicy { bump_after: Millis(5_000), rebroadcast_after: Millis(3_000), ..FeePolicy::default() },
        ..LanePolicy::default()
    }
}

impl Driver {
    /// A world on a node of its own whose blocks the test mines; nothing, loudly, without a node.
    pub async fn world() -> Option<Arc<World>> {
        let world = World::start().await?;
        world.anvil.automine(false).await;
        world.anvil.rpc("anvil_setBlockTimestampInterval", serde_json::json!([BLOCK_MS / 1_000])).await;
        world.anvil.mine(FINALITY + 1).await;
        Some(Arc::new(world))
    }

    /// A relayer for a world of its own.
    pub async fn start() -> Option<Self> {
        Some(Self::on(Self::world().await?, |_| {}).await)
    }

    /// A relayer for this world, configured.
    pub async fn on(world: Arc<World>, configure: impl FnOnce(&mut LaneConfig)) -> Self {
        Self::seeded(world, 0, configure).await
    }

    /// The same, with the seed of its faults.
    pub async fn seeded(world: Arc<World>, seed: u64, configure: impl FnOnce(&mut LaneConfig)) -> Self {
        let proxy = FaultProxy::start(&world.anvil.url.to_string(), FaultPlan { seed, ..FaultPlan::default() }).await.unwrap();
        let signer = relayer().address().to_string();
        let chain = Observer::new(world.anvil.url.to_string(), world.settlement.to_string(), signer);
        let limits = EndpointLimits { timeout: Duration::from_secs(2), ..EndpointLimits::default() };
        let endpoints = vec![EndpointConfig { url: proxy.url().parse().unwrap(), trusted: true }];
        let config = ChainConfig { endpoints, limits, finality: Finality::Depth(FINALITY), ..world.chain() };
        let mut lane = LaneConfig::new(LANE);
        configure(&mut lane);
        let adapter = EvmLane::connect(Arc::new(EvmChain::new(config).unwrap()), lane, relayer()).await.unwrap();
        // The lane lives by stepped time, the endpoints' health by the wall clock.
        let caps = Capabilities { block_time: Millis(BLOCK_MS), ..adapter.capabilities().clone() };
        let identity = LaneOpened { lane: adapter.lane().clone(), number: LANE.0.into(), settlement: Bytes(world.settlement.0.to_vec()) };
        let funded = chain.balance().await;
        let now = chain.time().await * 1_000;
        let attester = world.attester();
        Self {
            world,
            proxy,
            chain,
            adapter: Arc::new(adapter),
            caps,
            attester,
            lane: Lane::new(identity),
            policy: policy(),
            journal: Vec::new(),
            jobs: Vec::new(),
            taken: 0,
            now,
            mining: true,
            pace: Duration::ZERO,
            boundaries: 0,
            crash_at: None,
            crashes: 0,
            funded,
        }
    }

    fn boundary(&mut self) -> Result<(), Crashed> {
        let here = self.boundaries;
        self.boundaries += 1;
        if self.crash_at == Some(here) { Err(Crashed) } else { Ok(()) }
    }

    fn feed(&mut self, input: &LaneInput) -> Result<(), Crashed> {
        let now = Timestamp(self.now);
        let events = match self.lane.decide(&self.policy, &self.caps, input, now) {
            Ok(events) => events,
            // Asked for again, as the relayer does.
            Err(LaneCoreError::Report { .. }) => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        if events.is_empty() {
            return Ok(());
        }
        self.boundary()?;
        self.journal.push((now, events.clone()));
        self.boundary()?;
        self.lane.evolve(now, &events).expect("what is decided can be folded");
        Ok(())
    }

    async fn step(&mut self) -> Result<(), Crashed> {
        while let Some(event) = self.jobs.get(self.taken).cloned() {
            self.feed(&LaneInput::Jobs(event))?;
            self.taken += 1;
        }
        let mut done: BTreeSet<ActionKey> = BTreeSet::new();
        // Bounded: an action of one name runs once a step, so it ends anyway.
        for _ in 0..12 {
            let actions = self.lane.actions(&self.policy, &self.caps, Timestamp(self.now)).expect("calls can be built");
            let actions: Vec<Action> = actions.into_iter().filter(|action| !done.contains(&action.key())).collect();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                done.insert(action.key());
                let input = self.run(action).await?;
                self.feed(&input)?;
            }
        }
        self.feed(&LaneInput::Tick)
    }

    async fn run(&mut self, action: Action) -> Result<LaneInput, Crashed> {
        let key = action.key();
        let failed = |error: LaneError| LaneInput::Failed { key: key.clone(), reason: error.to_string() };
        let adapter = Arc::clone(&self.adapter);
        Ok(match action {
            Action::View => adapter.view().await.map_or_else(failed, LaneInput::View),
            Action::Simulate { key: call_key, call } => {
                adapter.simulate(&call).await.map_or_else(failed, |result| LaneInput::Simulated { call: call_key, result })
            }
            Action::Attest { statement, leaves } => match self.attester.attest(&statement, &leaves).await {
                Ok(signature) => LaneInput::Attested { batch: statement.batch, signatures: vec![signature] },
                Err(AttesterError::Refused { leaf, reason }) => LaneInput::AttestRefused { batch: statement.batch, leaf, reason },
                Err(AttesterError::Unavailable(reason)) => LaneInput::Failed { key, reason },
            },
            Action::Reserve(request) => LaneInput::Reserved(request),
            Action::Sign { request, call } => {
                let signed = adapter.sign(request.slot, &call, &request.fee).await;
                signed.map_or_else(failed, |signed| LaneInput::Signed { request, signed })
            }
            Action::Broadcast { tx, bytes } => {
                self.boundary()?;
                assert!(self.attempts().iter().any(|attempt| attempt.bytes == bytes), "bytes were sent that the journal doesn't have");
                let outcome = adapter.broadcast(&bytes).await;
                self.boundary()?;
                LaneInput::Sent { tx, outcome }
            }
            Action::Observe(tx) => LaneInput::Observed { tx, observation: adapter.observe(&tx).await },
            Action::Report { tx, items, root } => {
                adapter.report(&tx, &items, root).await.map_or_else(failed, |report| LaneInput::Reported { tx, report })
            }
            Action::AskEffect { of, query } => {
                adapter.effect(&query).await.map_or_else(failed, |effect| LaneInput::EffectAnswer { of, effect })
            }
            Action::AskSlotOwner(slot) => adapter.slot_owner(slot).await.map_or_else(failed, |tx| LaneInput::SlotOwner { slot, tx }),
        })
    }

    /// A step, which a crash may end; then a block, unless mining is paused.
    pub async fn tick(&mut self) {
        let began = tokio::time::Instant::now();
        if self.step().await.is_err() {
            self.restart();
        }
        tokio::time::sleep_until(began + self.pace).await;
        self.now += BLOCK_MS;
        if self.mining {
            self.chain.mine().await;
        }
    }

    pub async fn ticks(&mut self, n: u32) {
        for _ in 0..n {
            self.tick().await;
        }
    }

    /// Steps until `reached`; panics when it isn't within `n`.
    pub async fn until(&mut self, n: u32, what: &str, reached: impl Fn(&Self) -> bool) {
        for _ in 0..n {
            if reached(self) {
                return;
            }
            self.tick().await;
        }
        assert!(reached(self), "after {n} steps: {what}\n{}", self.dump());
    }

    /// A crash loses all but the journal and the chain. Inputs without a recorded position are delivered again.
    pub fn restart(&mut self) {
        self.crashes += 1;
        self.crash_at = None;
        self.taken = 0;
        let mut lane = Lane::new(self.lane.identity().clone());
        for (at, events) in &self.journal {
            lane.evolve(*at, events).expect("what was written can be replayed");
        }
        self.lane = lane;
    }

    /// Steps until the lane has nothing left to do.
    pub async fn settle(&mut self, n: u32) {
        self.until(n, "the lane is idle", |driver| driver.taken == driver.jobs.len() && driver.idle()).await;
    }

    fn idle(&self) -> bool {
        self.lane.next_wake(&self.policy, &self.caps, Timestamp(self.now)).is_none()
    }

    // ------------------------------------------------------------------------------------ what the journal says

    pub fn events(&self) -> impl DoubleEndedIterator<Item = &LanesEvent> {
        self.journal.iter().flat_map(|(_, events)| events)
    }

    pub fn count(&self, name: &str) -> usize {
        self.events().filter(|event| event.name() == name).count()
    }

    pub fn attempts(&self) -> Vec<&AttemptPrepared> {
        self.events().filter_map(|event| if let LanesEvent::AttemptPrepared(event) = event { Some(event) } else { None }).collect()
    }

    /// The attempts of one slot, oldest first.
    pub fn attempts_of(&self, slot: u64) -> Vec<AttemptPrepared> {
        self.attempts().into_iter().filter(|attempt| attempt.slot == Slot(slot)).cloned().collect()
    }

    pub fn finals(&self) -> Vec<&SlotFinal> {
        self.events().filter_map(|event| if let LanesEvent::SlotFinal(event) = event { Some(event) } else { None }).collect()
    }

    /// How each settlement ended; panics when one ended twice.
    pub fn endings(&self) -> BTreeMap<SettlementId, &'static str> {
        let mut endings = BTreeMap::new();
        let mut end = |id: SettlementId, how| assert_eq!(endings.insert(id, how), None, "{id} ended twice");
        for event in self.events() {
            match event {
                LanesEvent::SlotFinal(event) => {
                    let effect =
                        |outcome| matches!(outcome, ItemOutcome::Settled | ItemOutcome::SettledFailed | ItemOutcome::AlreadySettled);
                    for item in event.items.iter().filter(|item| effect(item.outcome)) {
                        end(item.settlement_id, "settled");
                    }
                }
                LanesEvent::EffectFound(event) => end(event.settlement_id, "found"),
                LanesEvent::IntentDead(event) => end(event.settlement_id, "dead"),
                _ => {}
            }
        }
        endings
    }

    /// A line per event, to read a failing run by.
    pub fn dump(&self) -> String {
        let line = |(at, events): &(Timestamp, Vec<LanesEvent>)| format!("{} {events:?}", at.0);
        let lines: Vec<String> = self.journal.iter().map(line).collect();
        format!("{}\n{:#?}\n{:?}", lines.join("\n"), self.lane.status(), self.proxy.counts())
    }

    // ------------------------------------------------------------------------------------ what must hold

    /// Nothing was ever settled twice, by the contract's own events.
    pub async fn assert_no_effect_twice(&self) {
        for (item, times) in self.chain.effects().await {
            assert_eq!(times.len(), 1, "{item:?} was settled {} times\n{}", times.len(), self.dump());
        }
    }

    /// Every intent has ended once, each effect exists exactly once, no slot is a hole, and the costs are what the key paid.
    pub async fn assert_sound(&self) {
        self.assert_no_effect_twice().await;
        let (endings, mut effects) = (self.endings(), self.chain.effects().await);
        for event in &self.jobs {
            let id = match event {
                JobsEvent::LeafPlanned(intent) => intent.settlement_id,
                JobsEvent::FulfillmentPlanned(intent) => {
                    let there = effects.remove(&(intent.assignment_id.to_string(), intent.execution.0)).is_some();
                    let ended_with = endings.get(&intent.settlement_id).is_some_and(|how| *how != "dead");
                    assert_eq!(there, ended_with, "effect and ending of {} differ\n{}", intent.settlement_id, self.dump());
                    intent.settlement_id
                }
                _ => continue,
            };
            assert!(endings.contains_key(&id), "{id} has not ended\n{}", self.dump());
        }
        assert!(effects.is_empty(), "effects that nobody planned: {effects:?}");
        let status = self.lane.status();
        assert!(status.open_slots.is_empty() && status.fulfillments_open == 0 && status.roots_open == 0, "{status:#?}");
        let slots: Vec<u64> = self.finals().iter().map(|slot| slot.slot.0).collect();
        let taken: Vec<u64> = (0..self.chain.mined().await).collect();
        assert_eq!(slots.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(), taken, "slots have holes");
        assert_eq!(slots.len(), taken.len(), "a slot was final twice");
        assert_eq!(self.chain.waiting().await, 0, "something waits in the pool for ever");
        let ours = self.finals().into_iter().filter(|slot| slot.outcome != SlotOutcome::Foreign);
        let costs = Amount::checked_sum(ours.map(|slot| slot.cost)).unwrap();
        assert_eq!(self.chain.balance().await + costs.0, self.funded, "costs differ from what the key paid");
    }

    /// Effects on the chain.
    pub async fn settled(&self) -> usize {
        self.chain.effects().await.len()
    }
}
