//! Signing, sending, and what is said of transactions that are not in a block.

use super::{World, accepted, ensure, included, no_op, offer, signed, view};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Call, LaneError, Observation, SendOutcome};
use acurast_events::amount::Amount;
use acurast_events::lanes::FeeBid;
use acurast_events::units::Gas;

pub(super) async fn signing_is_pure_and_sends_nothing(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let before = view(&*lane).await?;
    let fee = offer(&before, lane.capabilities().noop_gas);
    let first = signed(&*lane, before.next_slot_head, &Call::NoOp, &fee).await?;
    let again = signed(&*lane, before.next_slot_head, &Call::NoOp, &fee).await?;
    ensure(first == again, || format!("the same arguments gave {} and {}", first.tx, again.tx))?;
    let next = signed(&*lane, before.next_slot_head.next(), &Call::NoOp, &fee).await?;
    ensure(first.tx != next.tx, || "another slot gave the same transaction".into())?;
    let waiting = world.waiting().await;
    ensure(waiting == 0, || format!("{waiting} transactions reached the node by signing"))?;
    world.mine(1).await;
    let after = view(&*lane).await?;
    ensure(after.next_slot_head == before.next_slot_head, || format!("signing took slot {}", before.next_slot_head))
}

pub(super) async fn the_same_bytes_twice_are_one_transaction(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let (slot, attempt) = no_op(&*lane).await?;
    let had = world.balance().await;
    accepted(&*lane, &attempt.bytes).await?;
    let again = lane.broadcast(&attempt.bytes).await;
    ensure(matches!(again, SendOutcome::AlreadyKnown | SendOutcome::Accepted), || format!("sent again: {again:?}"))?;
    let waiting = world.waiting().await;
    ensure(waiting == 1, || format!("the same bytes twice are {waiting} transactions"))?;
    world.mine(1).await;
    let once_mined = lane.broadcast(&attempt.bytes).await;
    ensure(matches!(once_mined, SendOutcome::AlreadyKnown | SendOutcome::SlotTooLow), || format!("sent once mined: {once_mined:?}"))?;
    world.mine(1).await;
    let now = view(&*lane).await?;
    ensure(now.next_slot_head == slot.next(), || format!("slot {slot} was taken once, the next is {}", now.next_slot_head))?;
    let report = lane.report(&attempt.tx, &[], None).await.map_err(|error| error.to_string())?;
    let paid = had.0.saturating_sub(world.balance().await.0);
    ensure(report.cost.0 == paid, || format!("the report's cost is {}, the signer paid {paid}", report.cost))
}

pub(super) async fn not_found_and_unknown_stay_apart(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let (slot, attempt) = no_op(&*lane).await?;
    let found = lane.observe(&attempt.tx).await;
    ensure(found == Observation::NotFound, || format!("a transaction that nobody sent is {found:?}"))?;
    let work = world.work().await;

    world.unreachable(true).await;
    let found = lane.observe(&attempt.tx).await;
    ensure(matches!(found, Observation::Unknown(_)), || format!("without a node, a transaction is {found:?}"))?;
    let sent = lane.broadcast(&attempt.bytes).await;
    ensure(matches!(sent, SendOutcome::Indeterminate(_)), || format!("without a node, a send ends as {sent:?}"))?;
    for (what, answer) in [
        ("identify", lane.identify().await.err()),
        ("view", lane.view().await.err()),
        ("simulate", lane.simulate(&Call::NoOp).await.err()),
        ("simulate", lane.simulate(&work.root()).await.err()),
        ("report", lane.report(&attempt.tx, &[], None).await.err()),
        ("effect", lane.effect(&EffectQuery::Root(work.statement.clone())).await.err()),
        ("slot_owner", lane.slot_owner(slot).await.err()),
    ] {
        // A no-op needs no node to be simulated: what it uses is known.
        let known = what == "simulate" && answer.is_none();
        ensure(known || matches!(answer, Some(LaneError::Unknown { .. })), || format!("without a node, {what} ends as {answer:?}"))?;
    }

    world.unreachable(false).await;
    let found = lane.observe(&attempt.tx).await;
    ensure(found == Observation::NotFound, || format!("nothing reached the node, and it is {found:?}"))?;
    accepted(&*lane, &attempt.bytes).await
}

pub(super) async fn a_dropped_transaction_is_not_found_and_can_be_sent_again(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let (_, attempt) = no_op(&*lane).await?;
    accepted(&*lane, &attempt.bytes).await?;
    let found = lane.observe(&attempt.tx).await;
    ensure(found == Observation::Pending, || format!("a transaction in the pool is {found:?}"))?;
    world.drop_pool().await;
    let found = lane.observe(&attempt.tx).await;
    ensure(found == Observation::NotFound, || format!("a transaction that the pool dropped is {found:?}"))?;
    accepted(&*lane, &attempt.bytes).await?;
    world.mine(1).await;
    included(&*lane, &attempt.tx).await.map(drop)
}

pub(super) async fn a_replacement_takes_the_place_of_what_it_replaces(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let now = view(&*lane).await?;
    let slot = now.next_slot_head;
    let usual = offer(&now, lane.capabilities().noop_gas);
    let permille = u128::from(lane.capabilities().replacement_permille_min);
    let step = |amount: Amount| Amount(amount.0.saturating_mul(permille).div_ceil(1_000));
    let dearer =
        FeeBid { max_fee_per_gas: step(usual.max_fee_per_gas), max_priority_fee: step(usual.max_priority_fee), gas_limit: usual.gas_limit };
    // Another transaction at the same price.
    let no_dearer = FeeBid { gas_limit: Gas(usual.gas_limit.0.saturating_add(1)), ..usual.clone() };
    let first = signed(&*lane, slot, &Call::NoOp, &usual).await?;
    let second = signed(&*lane, slot, &Call::NoOp, &dearer).await?;
    let refused = signed(&*lane, slot, &Call::NoOp, &no_dearer).await?;
    accepted(&*lane, &first.bytes).await?;
    let outcome = lane.broadcast(&refused.bytes).await;
    ensure(outcome == SendOutcome::FeeTooLow, || format!("a replacement at the same price ends as {outcome:?}"))?;
    accepted(&*lane, &second.bytes).await?;
    let waiting = world.waiting().await;
    ensure(waiting == 1, || format!("{waiting} transactions wait for one slot"))?;
    world.mine(1).await;
    included(&*lane, &second.tx).await?;
    let found = lane.observe(&first.tx).await;
    ensure(found == Observation::NotFound, || format!("what was replaced is {found:?}"))?;
    let late = lane.broadcast(&first.bytes).await;
    ensure(late == SendOutcome::SlotTooLow, || format!("what was replaced, sent once the slot is mined, ends as {late:?}"))
}

pub(super) async fn a_signer_that_cannot_pay_is_told_so(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let now = view(&*lane).await?;
    let balance = world.balance().await;
    ensure(now.balance == balance, || format!("the view's balance is {}, the node says {balance}", now.balance))?;
    let gas = lane.capabilities().noop_gas;
    let each = balance.0.checked_div(u128::from(gas.0)).unwrap_or_default().saturating_add(1);
    let fee = FeeBid { max_fee_per_gas: Amount(each), ..offer(&now, gas) };
    let attempt = signed(&*lane, now.next_slot_head, &Call::NoOp, &fee).await?;
    let outcome = lane.broadcast(&attempt.bytes).await;
    ensure(outcome == SendOutcome::InsufficientFunds, || format!("an offer of more than the signer has ends as {outcome:?}"))
}

pub(super) async fn the_market_follows_a_spike_and_what_is_too_cheap_is_not_taken(world: &dyn World) -> Result<(), String> {
    let lane = world.lane();
    let before = view(&*lane).await?;
    let cheap = offer(&before, lane.capabilities().noop_gas);
    let spike = Amount(cheap.max_fee_per_gas.0.saturating_mul(4));
    world.spike(spike).await;
    world.mine(1).await;
    // Blocks may lower it at once, though not to where it was.
    let after = view(&*lane).await?;
    ensure(after.market.base_fee > cheap.max_fee_per_gas, || {
        format!("the block before took nothing below {spike}, and the market says {}", after.market.base_fee)
    })?;
    let attempt = signed(&*lane, after.next_slot_head, &Call::NoOp, &cheap).await?;
    let outcome = lane.broadcast(&attempt.bytes).await;
    // Some pools keep what is too cheap for now.
    ensure(matches!(outcome, SendOutcome::FeeTooLow | SendOutcome::Accepted), || format!("what is too cheap ends as {outcome:?}"))?;
    world.mine(1).await;
    let found = lane.observe(&attempt.tx).await;
    ensure(matches!(found, Observation::NotFound | Observation::Pending), || format!("what is too cheap is {found:?}"))
}
