//! The adapter passes the kit that every lane adapter has to pass, and the kit notices adapters that don't.

use crate::world::{CHAIN_ID, LANE, World, relayer, statement};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{
    Attester, Call, Capabilities, Effect, FinalReport, FulfillItem, LaneAdapter, LaneError, LaneView, Observation, SendOutcome,
    SignedAttempt, Simulation,
};
use acurast_adapter_evm::{ChainConfig, EndpointConfig, EvmChain, EvmLane, Finality, IdentifyError, LaneConfig};
use acurast_adapter_testkit::conformance::{self, RULES, Work};
use acurast_adapter_testkit::{FaultPlan, FaultProxy, Mode};
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, TxHash};
use acurast_events::caip::AccountId;
use acurast_events::lanes::FeeBid;
use acurast_events::units::{Batch, Gas, Slot};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const FINALITY: u64 = 3;
/// What providers put into URLs.
const PROVIDER_KEY: &str = "hunter2";
/// anvil's published key of the account that is the relayer here.
const SIGNING_KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// A world whose lane reaches its node through a proxy.
struct Proxied {
    world: World,
    proxy: FaultProxy,
    real: Arc<EvmLane>,
    lane: Arc<dyn LaneAdapter>,
}

impl Proxied {
    fn config(world: &World, proxy: &FaultProxy, finality: u64) -> ChainConfig {
        let url = format!("{}/v3/{PROVIDER_KEY}?key={PROVIDER_KEY}", proxy.url()).parse().unwrap();
        ChainConfig { endpoints: vec![EndpointConfig { url, trusted: true }], finality: Finality::Depth(finality), ..world.chain() }
    }

    async fn connect(config: ChainConfig) -> Result<EvmLane, IdentifyError> {
        EvmLane::connect(Arc::new(EvmChain::new(config).unwrap()), LaneConfig::new(LANE), relayer()).await
    }

    /// With the real adapter, or with one that has a fault.
    async fn start(bug: Option<Bug>) -> Self {
        let world = World::start().await.expect("asked for before");
        world.anvil.automine(false).await;
        let proxy = FaultProxy::start(&world.anvil.url.to_string(), FaultPlan::default()).await.unwrap();
        let real = Arc::new(Self::connect(Self::config(&world, &proxy, FINALITY)).await.unwrap());
        let lane: Arc<dyn LaneAdapter> = match bug {
            None => Arc::clone(&real) as Arc<dyn LaneAdapter>,
            Some(bug) => {
                let eager = Self::connect(Self::config(&world, &proxy, 0)).await.unwrap();
                Arc::new(Faulty { bug, inner: Arc::clone(&real), eager, count: AtomicU64::new(0) })
            }
        };
        let proxied = Self { world, proxy, real, lane };
        conformance::World::mine(&proxied, FINALITY + 1).await;
        proxied
    }

    async fn quantity(&self, method: &'static str, params: Value) -> u128 {
        let value = self.world.anvil.rpc(method, params).await;
        u128::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }
}

#[async_trait]
impl conformance::World for Proxied {
    fn lane(&self) -> Arc<dyn LaneAdapter> {
        Arc::clone(&self.lane)
    }

    async fn elsewhere(&self) -> Result<(), LaneError> {
        let mut config = Self::config(&self.world, &self.proxy, FINALITY);
        config.chain_id = CHAIN_ID + 1;
        let lane = self.real.lane().clone();
        match Self::connect(config).await {
            Ok(connected) => connected.identify().await,
            Err(IdentifyError::Refused(reason)) => Err(LaneError::Refused { lane, reason }),
            Err(IdentifyError::Rpc(error)) => Err(LaneError::Unknown { lane, reason: error.to_string() }),
        }
    }

    async fn unreachable(&self, yes: bool) {
        self.proxy.set(if yes { Mode::Dead } else { Mode::Sound }).unwrap();
        if !yes {
            // A breaker that opened meanwhile lets calls through again after its pause.
            let asked = async {
                while self.real.view().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), asked).await.expect("the lane asks its node again");
        }
    }

    async fn mine(&self, blocks: u64) {
        self.world.anvil.mine(blocks).await;
        // anvil writes its fee history in a task of its own.
        let written = async {
            while self.world.anvil.rpc("eth_feeHistory", json!(["0x1", "latest", []])).await["baseFeePerGas"].as_array().map(Vec::len)
                != Some(2)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), written).await.expect("anvil writes its fee history");
    }

    async fn reorg(&self, blocks: u64) {
        self.world.anvil.reorg(blocks).await;
    }

    fn finality(&self) -> u64 {
        FINALITY
    }

    async fn drop_pool(&self) {
        self.world.anvil.rpc("anvil_dropAllTransactions", json!([])).await;
    }

    async fn spike(&self, base_fee: Amount) {
        self.world.anvil.rpc("anvil_setNextBlockBaseFeePerGas", json!([format!("{:#x}", base_fee.0)])).await;
    }

    async fn waiting(&self) -> u64 {
        let status = self.world.anvil.rpc("txpool_status", json!([])).await;
        let number = |name: &str| u64::from_str_radix(status[name].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        number("pending") + number("queued")
    }

    async fn balance(&self) -> Amount {
        Amount(self.quantity("eth_getBalance", json!([self.real.signer(), "latest"])).await)
    }

    async fn effects(&self) -> u64 {
        let topic = alloy::primitives::keccak256("Settled(bytes32,bytes32,uint64,bool,bytes32)").to_string();
        let filter = json!([{ "address": self.world.settlement, "fromBlock": "0x0", "toBlock": "latest", "topics": [topic] }]);
        u64::try_from(self.world.anvil.rpc("eth_getLogs", filter).await.as_array().unwrap().len()).unwrap()
    }

    async fn work(&self) -> Work {
        let claim = self.world.claim(0);
        let statement = statement(std::slice::from_ref(&claim), 1);
        let signature = self.world.attester().attest(&statement, std::slice::from_ref(&claim)).await.unwrap();
        let items = (0..3).map(|execution| self.world.item(&claim, statement.batch, execution, format!("output {execution}").as_bytes()));
        Work { items: items.collect(), signatures: vec![signature], statement }
    }

    fn secrets(&self) -> Vec<String> {
        vec![PROVIDER_KEY.to_owned(), SIGNING_KEY.to_owned(), SIGNING_KEY.to_uppercase()]
    }

    fn printed(&self) -> Vec<String> {
        let config = Self::config(&self.world, &self.proxy, FINALITY);
        vec![format!("{:?}", self.real), format!("{config:?}"), format!("{:?}", relayer())]
    }
}

#[tokio::test]
async fn the_adapter_holds_what_every_lane_adapter_must_hold() {
    if World::start().await.is_none() {
        return;
    }
    let verdicts = conformance::lane(async || Proxied::start(None).await).await;
    assert_eq!(verdicts.len(), RULES.len());
    let violated: Vec<_> = verdicts.iter().filter(|verdict| verdict.violation.is_some()).collect();
    assert!(violated.is_empty(), "{violated:#?}");
}

/// What an adapter can get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    SigningSends,
    SigningVaries,
    SimulatingSends,
    UnknownIsNotFound,
    LostAnswerIsRejected,
    KnownIsRejected,
    CheapIsRejected,
    PoorIsIndeterminate,
    SlotsFromThePool,
    SlotsOnlyGoUp,
    FinalAtOnce,
    EffectAtOnce,
    CostPerItem,
    ItemsInAnyOrder,
    SettledAgain,
    RevertIsSuccess,
    FaultWithoutName,
    NoOwner,
    LateMarket,
    ErrorsTellTheUrl,
}

/// Each bug, and the rule that notices it.
const BUGS: [(Bug, &str); 20] = [
    (Bug::SigningSends, "signing_is_pure_and_sends_nothing"),
    (Bug::SigningVaries, "signing_is_pure_and_sends_nothing"),
    (Bug::SimulatingSends, "a_simulation_names_the_item_at_fault_and_sends_nothing"),
    (Bug::UnknownIsNotFound, "not_found_and_unknown_stay_apart"),
    (Bug::LostAnswerIsRejected, "not_found_and_unknown_stay_apart"),
    (Bug::KnownIsRejected, "the_same_bytes_twice_are_one_transaction"),
    (Bug::CheapIsRejected, "a_replacement_takes_the_place_of_what_it_replaces"),
    (Bug::PoorIsIndeterminate, "a_signer_that_cannot_pay_is_told_so"),
    (Bug::SlotsFromThePool, "slots_come_from_blocks_and_never_from_the_pool"),
    (Bug::SlotsOnlyGoUp, "a_reorg_takes_slots_and_inclusions_back"),
    (Bug::FinalAtOnce, "slots_come_from_blocks_and_never_from_the_pool"),
    (Bug::EffectAtOnce, "an_effect_exists_at_finality_only"),
    (Bug::CostPerItem, "a_report_is_of_the_attempts_items_and_its_sums_are_exact"),
    (Bug::ItemsInAnyOrder, "a_report_is_of_the_attempts_items_and_its_sums_are_exact"),
    (Bug::SettledAgain, "a_settled_item_is_passed_over_and_costs_its_account_nothing"),
    (Bug::RevertIsSuccess, "a_reverted_transaction_costs_the_signer_and_nobody_else"),
    (Bug::FaultWithoutName, "a_simulation_names_the_item_at_fault_and_sends_nothing"),
    (Bug::NoOwner, "a_final_slot_names_the_transaction_that_took_it"),
    (Bug::LateMarket, "the_market_follows_a_spike_and_what_is_too_cheap_is_not_taken"),
    (Bug::ErrorsTellTheUrl, "nothing_that_is_printed_holds_a_secret"),
];

#[tokio::test]
async fn the_kit_notices_every_kind_of_faulty_adapter() {
    if World::start().await.is_none() {
        return;
    }
    for (bug, rule) in BUGS {
        let rule = RULES.iter().find(|known| known.name == rule).expect("a rule");
        let verdict = rule.check(&Proxied::start(Some(bug)).await).await;
        assert!(verdict.is_err(), "{bug:?} passed {rule:?}");
    }
}

/// The real adapter with one fault.
struct Faulty {
    bug: Bug,
    inner: Arc<EvmLane>,
    /// The same, with everything final at once.
    eager: EvmLane,
    count: AtomicU64,
}

impl Faulty {
    fn is(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    /// Remembers the highest value.
    fn highest(&self, value: u64) -> u64 {
        self.count.fetch_max(value, Ordering::SeqCst).max(value)
    }
}

#[async_trait]
impl LaneAdapter for Faulty {
    fn lane(&self) -> &AccountId {
        self.inner.lane()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn identify(&self) -> Result<(), LaneError> {
        self.inner.identify().await
    }

    async fn view(&self) -> Result<LaneView, LaneError> {
        if self.is(Bug::ErrorsTellTheUrl) {
            let reason = format!("https://node.example/v3/{PROVIDER_KEY} does not answer");
            return self.inner.view().await.map_err(|_| LaneError::Unknown { lane: self.lane().clone(), reason });
        }
        if self.is(Bug::FinalAtOnce) {
            return self.eager.view().await;
        }
        let mut view = self.inner.view().await?;
        if self.is(Bug::SlotsFromThePool) {
            view.next_slot_head = Slot(view.next_slot_head.0 + self.count.swap(0, Ordering::SeqCst));
        }
        if self.is(Bug::SlotsOnlyGoUp) {
            view.next_slot_head = Slot(self.highest(view.next_slot_head.0));
        }
        if self.is(Bug::LateMarket) {
            view.market.base_fee = Amount(1_000_000);
        }
        Ok(view)
    }

    async fn simulate(&self, call: &Call) -> Result<Simulation, LaneError> {
        let mut simulated = self.inner.simulate(call).await?;
        if let (true, Simulation::Reverts { item, .. }) = (self.is(Bug::FaultWithoutName), &mut simulated) {
            *item = None;
        }
        if self.is(Bug::SimulatingSends) && matches!(call, Call::Fulfill(_)) {
            let next = self.inner.view().await?.next_slot_head;
            let signed = self.inner.sign(next, &Call::NoOp, &crate::world::fee(Gas(21_000))).await?;
            self.inner.broadcast(&signed.bytes).await;
        }
        Ok(simulated)
    }

    async fn sign(&self, slot: Slot, call: &Call, fee: &FeeBid) -> Result<SignedAttempt, LaneError> {
        let mut fee = fee.clone();
        if self.is(Bug::SigningVaries) {
            fee.gas_limit = Gas(fee.gas_limit.0 + self.count.fetch_add(1, Ordering::SeqCst));
        }
        let signed = self.inner.sign(slot, call, &fee).await?;
        if self.is(Bug::SigningSends) {
            self.inner.broadcast(&signed.bytes).await;
        }
        Ok(signed)
    }

    async fn broadcast(&self, bytes: &Bytes) -> SendOutcome {
        let outcome = self.inner.broadcast(bytes).await;
        match (self.bug, outcome) {
            (Bug::LostAnswerIsRejected, SendOutcome::Indeterminate(reason)) => SendOutcome::Rejected(reason),
            (Bug::KnownIsRejected, SendOutcome::AlreadyKnown) => SendOutcome::Rejected("known".into()),
            (Bug::CheapIsRejected, SendOutcome::FeeTooLow) => SendOutcome::Rejected("cheap".into()),
            (Bug::PoorIsIndeterminate, SendOutcome::InsufficientFunds) => SendOutcome::Indeterminate("poor".into()),
            (Bug::SlotsFromThePool, SendOutcome::Accepted) => {
                self.count.fetch_add(1, Ordering::SeqCst);
                SendOutcome::Accepted
            }
            (_, outcome) => outcome,
        }
    }

    async fn observe(&self, tx: &TxHash) -> Observation {
        match (self.bug, self.inner.observe(tx).await) {
            (Bug::UnknownIsNotFound, Observation::Unknown(_)) => Observation::NotFound,
            (Bug::RevertIsSuccess, Observation::Included(mut inclusion)) => {
                inclusion.success = true;
                Observation::Included(inclusion)
            }
            (_, observation) => observation,
        }
    }

    async fn report(&self, tx: &TxHash, items: &[FulfillItem], root: Option<Batch>) -> Result<FinalReport, LaneError> {
        let mut report = self.inner.report(tx, items, root).await?;
        if self.is(Bug::CostPerItem) {
            let cost = report.cost;
            report.items.iter_mut().for_each(|item| item.cost = cost);
        }
        if self.is(Bug::ItemsInAnyOrder) {
            report.items.sort_by_key(|item| item.settlement_id);
            report.items.reverse();
            let sent: Vec<_> = items.iter().map(|item| item.intent.settlement_id).collect();
            if report.items.iter().map(|item| item.settlement_id).eq(sent) {
                report.items.reverse();
            }
        }
        if self.is(Bug::SettledAgain) {
            use acurast_events::lanes::ItemOutcome;
            report.items.iter_mut().for_each(|item| item.outcome = ItemOutcome::Settled);
        }
        Ok(report)
    }

    async fn effect(&self, query: &EffectQuery) -> Result<Effect, LaneError> {
        if self.is(Bug::EffectAtOnce) { self.eager.effect(query).await } else { self.inner.effect(query).await }
    }

    async fn slot_owner(&self, slot: Slot) -> Result<Option<TxHash>, LaneError> {
        let owner = self.inner.slot_owner(slot).await?;
        Ok(owner.filter(|_| !self.is(Bug::NoOwner)))
    }
}
