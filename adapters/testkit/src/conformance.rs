//! What every [`LaneAdapter`] must hold, as rules that run against its real chain.
//!
//! # Use
//! Implement [`World`] for the chain in the adapter's own tests, and assert that no verdict of [`lane`] is a violation.
//! Each rule gets a world of its own, so a rule may spend, reorganize and drop what it likes. What the kit expects is what
//! the documentation of [`LaneAdapter`] promises; a chain without a concept (a pool that can be dropped, say) gives the
//! nearest thing that it has.

mod printing;
mod sending;
mod settling;
mod slots;

use acurast_adapter_api::{
    Call, FulfillItem, Inclusion, LaneAdapter, LaneError, LaneView, Observation, SendOutcome, SignedAttempt, Simulation,
};
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, TxHash};
use acurast_events::eip712::RootStatement;
use acurast_events::lanes::FeeBid;
use acurast_events::units::{Gas, Slot};
use async_trait::async_trait;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A root that attesters signed, and outputs that it proves.
#[derive(Debug, Clone)]
pub struct Work {
    /// What the attesters signed.
    pub statement: RootStatement,
    /// Their signatures.
    pub signatures: Vec<Bytes>,
    /// At least two outputs under it, of one account, each signed by its processor and never settled before.
    pub items: Vec<FulfillItem>,
}

impl Work {
    fn root(&self) -> Call {
        Call::Root { statement: self.statement.clone(), signatures: self.signatures.clone() }
    }
}

/// A fresh chain in a test's hands, with a settlement contract, a funded signer in its role, and an account that pays.
/// Blocks come only when they are asked for.
#[async_trait]
pub trait World: Send + Sync {
    /// The lane under test, connected to this world.
    fn lane(&self) -> Arc<dyn LaneAdapter>;
    /// A lane that is configured for another chain, connected to this one: why it was refused.
    async fn elsewhere(&self) -> Result<(), LaneError>;
    /// From now on the node can't be reached by the lane; or it can again, and the lane asks it when this returns.
    async fn unreachable(&self, yes: bool);
    /// Adds blocks with what waits; returns when the node answers for them.
    async fn mine(&self, blocks: u64);
    /// Replaces the newest blocks by empty ones.
    async fn reorg(&self, blocks: u64);
    /// How many blocks on top make a block final; at least 2.
    fn finality(&self) -> u64;
    /// The pool forgets everything.
    async fn drop_pool(&self);
    /// The next block takes nothing below this price per unit of gas.
    async fn spike(&self, base_fee: Amount);
    /// Transactions that wait in the pool, by the node itself.
    async fn waiting(&self) -> u64;
    /// What the signer has, by the node itself.
    async fn balance(&self) -> Amount;
    /// How many executions are settled, by the contract's own records.
    async fn effects(&self) -> u64;
    /// Work that this lane could be given.
    async fn work(&self) -> Work;
    /// Texts that must never be printed: keys, and what the URLs hold besides host and port.
    fn secrets(&self) -> Vec<String>;
    /// The debug forms of lane, configuration and signer.
    fn printed(&self) -> Vec<String>;
}

type Checked<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// One thing that an adapter must hold.
#[derive(Clone, Copy)]
pub struct Rule {
    /// What holds, as a sentence.
    pub name: &'static str,
    check: for<'a> fn(&'a dyn World) -> Checked<'a>,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Rule {
    /// Checks the rule in a world that nothing else was done to.
    ///
    /// # Errors
    /// What was found instead.
    pub async fn check(&self, world: &dyn World) -> Result<(), String> {
        (self.check)(world).await
    }
}

macro_rules! rules {
    ($($place:ident :: $name:ident),+ $(,)?) => {
        /// All rules.
        pub const RULES: &[Rule] = &[$(Rule { name: stringify!($name), check: |world| Box::pin($place::$name(world)) }),+];
    };
}

rules![
    sending::signing_is_pure_and_sends_nothing,
    sending::the_same_bytes_twice_are_one_transaction,
    sending::not_found_and_unknown_stay_apart,
    sending::a_dropped_transaction_is_not_found_and_can_be_sent_again,
    sending::a_replacement_takes_the_place_of_what_it_replaces,
    sending::a_signer_that_cannot_pay_is_told_so,
    sending::the_market_follows_a_spike_and_what_is_too_cheap_is_not_taken,
    slots::slots_come_from_blocks_and_never_from_the_pool,
    slots::a_reorg_takes_slots_and_inclusions_back,
    slots::a_later_slot_waits_for_the_one_before,
    slots::a_final_slot_names_the_transaction_that_took_it,
    settling::an_effect_exists_at_finality_only,
    settling::a_report_is_of_the_attempts_items_and_its_sums_are_exact,
    settling::a_settled_item_is_passed_over_and_costs_its_account_nothing,
    settling::a_simulation_names_the_item_at_fault_and_sends_nothing,
    settling::a_reverted_transaction_costs_the_signer_and_nobody_else,
    printing::another_chain_is_refused,
    printing::nothing_that_is_printed_holds_a_secret,
];

/// What came of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The rule.
    pub rule: &'static str,
    /// What was found where it does not hold.
    pub violation: Option<String>,
}

/// Checks every rule, each in a world of its own.
pub async fn lane<W: World>(start: impl AsyncFn() -> W) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(RULES.len());
    for rule in RULES {
        let world = start().await;
        let violation = rule.check(&world).await.err();
        tracing::info!(rule = rule.name, ?violation, "checked");
        verdicts.push(Verdict { rule: rule.name, violation });
    }
    verdicts
}

// ------------------------------------------------------------------------------------ what the rules are written with

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn no_answer(what: &'static str) -> impl FnOnce(LaneError) -> String {
    move |error| format!("{what}: {error}")
}

async fn view(lane: &dyn LaneAdapter) -> Result<LaneView, String> {
    lane.view().await.map_err(no_answer("view"))
}

/// An offer that the next blocks take, whatever they cost.
fn offer(view: &LaneView, gas_limit: Gas) -> FeeBid {
    let market = &view.market;
    let priority = market.priority_fee.0.max(1_000_000);
    let max_fee = market.base_fee.0.saturating_mul(2).saturating_add(priority);
    FeeBid { max_fee_per_gas: Amount(max_fee), max_priority_fee: Amount(priority), gas_limit }
}

async fn signed(lane: &dyn LaneAdapter, slot: Slot, call: &Call, fee: &FeeBid) -> Result<SignedAttempt, String> {
    lane.sign(slot, call, fee).await.map_err(no_answer("sign"))
}

async fn accepted(lane: &dyn LaneAdapter, bytes: &Bytes) -> Result<(), String> {
    let outcome = lane.broadcast(bytes).await;
    ensure(outcome == SendOutcome::Accepted, || format!("a sound transaction was sent and the outcome is {outcome:?}"))
}

/// A no-op at the next slot, signed and not sent.
async fn no_op(lane: &dyn LaneAdapter) -> Result<(Slot, SignedAttempt), String> {
    let view = view(lane).await?;
    let attempt = signed(lane, view.next_slot_head, &Call::NoOp, &offer(&view, lane.capabilities().noop_gas)).await?;
    Ok((view.next_slot_head, attempt))
}

async fn gas_of(lane: &dyn LaneAdapter, call: &Call) -> Result<Gas, String> {
    match lane.simulate(call).await.map_err(no_answer("simulate"))? {
        Simulation::Executes { gas_limit, .. } => Ok(gas_limit),
        Simulation::Reverts { item, reason } => Err(format!("a sound call would revert (item {item:?}): {reason}")),
    }
}

async fn included(lane: &dyn LaneAdapter, tx: &TxHash) -> Result<Inclusion, String> {
    match lane.observe(tx).await {
        Observation::Included(inclusion) => Ok(inclusion),
        other => Err(format!("{tx} is mined and is observed as {other:?}")),
    }
}

/// Sends `call` at the next slot and mines it; its hash.
async fn carry_out(world: &dyn World, lane: &dyn LaneAdapter, call: &Call) -> Result<TxHash, String> {
    let gas = gas_of(lane, call).await?;
    let now = view(lane).await?;
    let attempt = signed(lane, now.next_slot_head, call, &offer(&now, gas)).await?;
    accepted(lane, &attempt.bytes).await?;
    world.mine(1).await;
    included(lane, &attempt.tx).await?;
    Ok(attempt.tx)
}

/// Posts the root of the world's work and makes it final; the work.
async fn posted(world: &dyn World, lane: &dyn LaneAdapter) -> Result<Work, String> {
    let work = world.work().await;
    ensure(work.items.len() >= 2, || "the world's work has less than two items".into())?;
    carry_out(world, lane, &work.root()).await?;
    world.mine(world.finality()).await;
    Ok(work)
}
