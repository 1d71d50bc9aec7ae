//! Roots, outputs, their effects, and what they cost whom.

use super::{Work, World, carry_out, ensure, gas_of, included, offer, posted, signed, view};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Call, Effect, FinalReport, FulfillItem, LaneAdapter, Simulation};
use acurast_events::amount::Amount;
use acurast_events::lanes::ItemOutcome;

/// An item that makes any batch revert: its processor signed another payload.
fn spoiled(item: &FulfillItem) -> FulfillItem {
    let mut spoiled = item.clone();
    spoiled.intent.payload.0.push(0x21);
    spoiled
}

fn query(item: &FulfillItem) -> EffectQuery {
    let intent = &item.intent;
    EffectQuery::Fulfillment { settlement_id: intent.settlement_id, leaf: item.leaf.clone(), execution: intent.execution }
}

async fn effect(lane: &dyn LaneAdapter, query: &EffectQuery) -> Result<Effect, String> {
    lane.effect(query).await.map_err(|error| error.to_string())
}

pub(super) async fn an_effect_exists_at_finality_only(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let work = world.work().await;
    let root = EffectQuery::Root(work.statement.clone());
    let item = work.items.first().ok_or("the world's work has no items")?;
    for (call, query) in [(work.root(), root), (Call::Fulfill(vec![item.clone()]), query(item))] {
        let before = effect(&*lane, &query).await?;
        ensure(matches!(before, Effect::Absent { .. }), || format!("nothing was sent, and the effect is {before:?}"))?;
        let tx = carry_out(world, &*lane, &call).await?;
        let early = effect(&*lane, &query).await?;
        ensure(matches!(early, Effect::Absent { .. }), || format!("its block is not final, and the effect is {early:?}"))?;
        world.mine(world.finality()).await;
        let there = effect(&*lane, &query).await?;
        let by_it = matches!(&there, Effect::Present { success: true, tx: found, .. } if found.is_none_or(|found| found == tx));
        ensure(by_it, || format!("{tx} is final, and the effect is {there:?}"))?;
    }
    Ok(())
}

/// A report's items are the attempt's, and its parts sum to the whole.
fn exact(report: &FinalReport, items: &[FulfillItem]) -> Result<(), String> {
    let told: Vec<_> = report.items.iter().map(|item| item.settlement_id).collect();
    let sent: Vec<_> = items.iter().map(|item| item.intent.settlement_id).collect();
    ensure(told == sent, || format!("the attempt's items are {sent:?}, the report's {told:?}"))?;
    let sum = |amounts: Vec<Amount>| Amount::checked_sum(amounts).map_or_else(|| Err("a sum exceeds all bounds".to_owned()), Ok);
    let costs = sum(report.items.iter().map(|item| item.cost).collect())?;
    ensure(items.is_empty() || costs == report.cost, || format!("the items' costs are {costs}, the transaction's {}", report.cost))?;
    let (charges, charged) =
        (sum(report.items.iter().map(|item| item.charge).collect())?, sum(report.charges.iter().map(|charge| charge.items).collect())?);
    ensure(charges == charged, || format!("the items' charges are {charges}, the accounts' {charged}"))?;
    let (shares, shared) = (
        sum(report.items.iter().map(|item| item.root_share).collect())?,
        sum(report.charges.iter().map(|charge| charge.root_shares).collect())?,
    );
    ensure(shares == shared, || format!("the items' root shares are {shares}, the accounts' {shared}"))
}

/// Sends the items; the report, checked against what the signer paid.
async fn settle(world: &dyn World, lane: &dyn LaneAdapter, items: &[FulfillItem]) -> Result<FinalReport, String> {
    let had = world.balance().await;
    let tx = carry_out(world, lane, &Call::Fulfill(items.to_vec())).await?;
    let paid = had.0.saturating_sub(world.balance().await.0);
    let report = lane.report(&tx, items, None).await.map_err(|error| error.to_string())?;
    exact(&report, items)?;
    ensure(report.cost.0 == paid, || format!("the report's cost is {}, the signer paid {paid}", report.cost))?;
    Ok(report)
}

pub(super) async fn a_report_is_of_the_attempts_items_and_its_sums_are_exact(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let Work { items, .. } = posted(world, &*lane).await?;
    let report = settle(world, &*lane, &items).await?;
    ensure(report.inclusion.success, || "it reverted".into())?;
    ensure(report.items.iter().all(|item| item.outcome == ItemOutcome::Settled), || format!("not all settled: {:?}", report.items))?;
    let effects = world.effects().await;
    ensure(usize::try_from(effects) == Ok(items.len()), || format!("{} items were sent and {effects} are settled", items.len()))?;
    let reversed: Vec<_> = items.iter().rev().cloned().collect();
    let tx = match effect(&*lane, &query(&items[0])).await? {
        Effect::Present { tx: Some(tx), .. } => tx,
        Effect::Present { .. } | Effect::Absent { .. } => return Ok(()),
    };
    let report = lane.report(&tx, &reversed, None).await;
    // Either order is told as it was asked for, or the difference is noticed.
    report.map_or_else(|_| Ok(()), |report| exact(&report, &reversed))
}

pub(super) async fn a_settled_item_is_passed_over_and_costs_its_account_nothing(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let Work { items, .. } = posted(world, &*lane).await?;
    let (first, rest) = items.split_first().ok_or("the world's work has no items")?;
    settle(world, &*lane, std::slice::from_ref(first)).await?;
    let before = world.effects().await;
    let both: Vec<_> = [first.clone()].into_iter().chain(rest.first().cloned()).collect();
    let report = settle(world, &*lane, &both).await?;
    let again = report.items.first().ok_or("the report has no items")?;
    ensure(again.outcome == ItemOutcome::AlreadySettled, || format!("a settled item, sent again, is {:?}", again.outcome))?;
    ensure(again.charge == Amount::ZERO && again.root_share == Amount::ZERO, || format!("and charged {again:?}"))?;
    let effects = world.effects().await;
    ensure(effects == before.saturating_add(1), || format!("{before} were settled before, and one more; now {effects}"))
}

pub(super) async fn a_simulation_names_the_item_at_fault_and_sends_nothing(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let Work { items, .. } = posted(world, &*lane).await?;
    let (Some(good), Some(other)) = (items.first(), items.get(1)) else { return Err("the world's work has less than two items".into()) };
    let batch = Call::Fulfill(vec![good.clone(), spoiled(other)]);
    let simulated = lane.simulate(&batch).await.map_err(|error| error.to_string())?;
    ensure(matches!(simulated, Simulation::Reverts { item: Some(1), .. }), || format!("its second item is bad, and it {simulated:?}"))?;
    let alone = Call::Fulfill(vec![good.clone()]);
    let simulated = lane.simulate(&alone).await.map_err(|error| error.to_string())?;
    let Simulation::Executes { gas_limit, bytes } = simulated else { return Err(format!("the good one alone {simulated:?}")) };
    ensure(gas_limit <= lane.capabilities().transaction_gas_max, || format!("it needs {gas_limit}, more than any may"))?;
    let now = view(&*lane).await?;
    let attempt = signed(&*lane, now.next_slot_head, &alone, &offer(&now, gas_limit)).await?;
    ensure(u32::try_from(attempt.bytes.0.len()).is_ok_and(|signed| signed <= bytes), || {
        format!("the bound is {bytes} bytes, the signed transaction has {}", attempt.bytes.0.len())
    })?;
    let waiting = world.waiting().await;
    ensure(waiting == 0, || format!("{waiting} transactions reached the node by simulating"))
}

pub(super) async fn a_reverted_transaction_costs_the_signer_and_nobody_else(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let Work { items, .. } = posted(world, &*lane).await?;
    let good = items.first().ok_or("the world's work has no items")?;
    let gas = gas_of(&*lane, &Call::Fulfill(vec![good.clone()])).await?;
    let bad = [spoiled(good)];
    let now = view(&*lane).await?;
    let had = world.balance().await;
    let attempt = signed(&*lane, now.next_slot_head, &Call::Fulfill(bad.to_vec()), &offer(&now, gas)).await?;
    super::accepted(&*lane, &attempt.bytes).await?;
    world.mine(1).await;
    let inclusion = included(&*lane, &attempt.tx).await?;
    ensure(!inclusion.success, || "a transaction that reverted counts as success".into())?;
    let report = lane.report(&attempt.tx, &bad, None).await.map_err(|error| error.to_string())?;
    exact(&report, &bad)?;
    ensure(!report.inclusion.success, || "its report says success".into())?;
    ensure(report.items.iter().all(|item| item.outcome == ItemOutcome::NoEffect), || format!("its items: {:?}", report.items))?;
    ensure(report.charges.is_empty(), || format!("accounts are charged: {:?}", report.charges))?;
    let paid = had.0.saturating_sub(world.balance().await.0);
    ensure(report.cost.0 == paid && paid > 0, || format!("the report's cost is {}, the signer paid {paid}", report.cost))?;
    let effects = world.effects().await;
    ensure(effects == 0, || format!("{effects} executions are settled"))
}
