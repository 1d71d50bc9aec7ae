//! Prices: the first one, higher ones, the one that is refused, the cap, the spike.

use crate::{attempts, count, ends_well, finals, output_attempts, pending, rooted, until_rooted, world};
use acurast_adapter_api::SendOutcome;
use acurast_events::lanes::{AttemptEnd, LanesEvent, Purpose};
use acurast_relayer_sim::assignments::Assignments;
use acurast_relayer_sim::chain::GWEI;
use acurast_relayer_sim::script::Script;
use acurast_relayer_sim::world::{BEGIN, Making, World};

#[test]
fn a_workload_confirms_at_the_first_price() {
    let mut world = world(3, 2);
    for job in 0..3 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    // Outputs may come before their assignments are heard of: those are handed in again.
    world.ticks(12);
    for job in 0..3 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    ends_well(&mut world, 6);
    assert!(attempts(&world).iter().all(|attempt| attempt.attempt == 0), "something was replaced");
    assert_eq!(world.env.chain.contract().roots(), 1, "three leaves share a root");
}

#[test]
fn a_transaction_that_nobody_mines_confirms_after_a_bump() {
    let mut world = rooted(1, 1);
    world.env.chain.customs.mine_priority_min = 2 * GWEI;
    world.hand_in(0, 0);
    world.ticks(60);
    assert_eq!(world.env.chain.contract().deliveries.len(), 1, "it was never mined at its price");
    let bids: Vec<u128> = output_attempts(&world).iter().map(|attempt| attempt.fee.max_priority_fee.0).collect();
    assert!(bids.len() > 1 && bids.windows(2).all(|pair| pair[1] * 1_000 >= pair[0] * 1_125), "{bids:?}");
    ends_well(&mut world, 1);
}

#[test]
fn an_older_cheaper_attempt_that_gets_mined_settles_the_intent() {
    let mut world = pending();
    world.ticks(10);
    let sent = output_attempts(&world);
    assert!(sent.len() > 1, "nothing was replaced");
    // Another node's pool still has the first one, and its miner takes it.
    world.env.chain.evict();
    world.env.chain.customs.mine_priority_min = 0;
    assert_eq!(world.env.chain.broadcast(&sent[0].bytes), SendOutcome::Accepted);
    ends_well(&mut world, 1);
    assert_eq!(finals(&world)[1].tx, sent[0].tx);
    let replaced = |event: &&LanesEvent| matches!(event, LanesEvent::AttemptEnded(end) if end.end == AttemptEnd::Replaced);
    assert_eq!(world.lane_events().iter().filter(replaced).count(), output_attempts(&world).len() - 1);
}

#[test]
fn a_bump_that_a_strict_node_refuses_as_too_small_is_followed_by_a_larger_one() {
    let mut world = rooted(1, 1);
    world.env.chain.customs.replacement_permille = 1_300;
    world.env.chain.customs.mine_priority_min = 2 * GWEI;
    world.hand_in(0, 0);
    world.ticks(60);
    assert_eq!(world.env.chain.contract().deliveries.len(), 1, "the strict node never took a replacement");
    ends_well(&mut world, 1);
}

/// A world whose accounts pay 22 gwei at most.
fn capped() -> World {
    let script = Script::plain(2, 1, BEGIN, BEGIN + 10_000, 600_000, 22 * GWEI);
    until_rooted(World::new(Making::default(), script, Assignments::default()).unwrap())
}

#[test]
fn an_eviction_at_the_cap_waits_for_the_price_and_is_delivered() {
    let mut world = capped();
    world.env.chain.customs.mine_priority_min = 100 * GWEI;
    world.hand_in(0, 0);
    world.ticks(4);
    assert_eq!(world.env.chain.pooled(), 1);
    // Everything below 30 gwei is pushed out, and the account allows no more than 22.
    world.env.chain.evict_below(30 * GWEI);
    world.env.chain.customs.pool_min_fee = 30 * GWEI;
    world.env.chain.base_fee = 30 * GWEI;
    world.ticks(20);
    assert!(world.env.chain.contract().deliveries.is_empty());
    let over = |attempt: &&acurast_events::lanes::AttemptPrepared| {
        attempt.purpose == Purpose::Fulfill && attempt.fee.max_fee_per_gas.0 > 22 * GWEI
    };
    assert_eq!(attempts(&world).iter().filter(over).count(), 0, "a bid above the account's cap");
    ends_well(&mut world, 1);
}

#[test]
fn an_evicted_transaction_restarts_its_ladder() {
    let mut world = pending();
    world.ticks(12);
    let highest = output_attempts(&world).iter().map(|attempt| attempt.fee.max_priority_fee.0).max().unwrap();
    world.env.chain.customs.forgetful = true;
    world.env.chain.evict();
    world.ticks(15);
    assert!(count(&world, "AttemptEnded") > 0, "nothing was noticed to be missing");
    ends_well(&mut world, 1);
    let mined = finals(&world)[1].tx;
    let bid = output_attempts(&world).into_iter().find(|attempt| attempt.tx == mined).unwrap().fee.max_priority_fee.0;
    assert!(bid < highest, "the ladder went on at {bid} instead of starting anew below {highest}");
}

#[test]
fn a_fee_spike_is_outlasted_and_what_comes_after_it_is_cheap_again() {
    let mut world = rooted(2, 2);
    world.hand_in(0, 0);
    world.tick();
    world.env.chain.base_fee = 120 * GWEI;
    world.ticks(20);
    world.env.chain.base_fee = 10 * GWEI;
    world.hand_in(1, 0);
    ends_well(&mut world, 2);
    let last = attempts(&world).pop().unwrap();
    assert!(last.fee.max_fee_per_gas.0 <= 30 * GWEI, "the spike's price stayed: {:?}", last.fee);
}

#[test]
fn a_remote_key_is_not_asked_in_circles_for_a_bid_below_the_base_fee() {
    let script = Script::plain(1, 1, BEGIN, BEGIN + 10_000, 600_000, 40 * GWEI);
    let mut world = World::new(Making::default(), script, Assignments::default()).unwrap();
    world.settings.caps.remote_signer = true;
    let mut world = until_rooted(world);
    world.env.chain.customs.mine_priority_min = 100 * GWEI;
    world.hand_in(0, 0);
    world.ticks(4);
    world.env.chain.base_fee = 45 * GWEI;
    world.ticks(30);
    ends_well(&mut world, 1);
}
