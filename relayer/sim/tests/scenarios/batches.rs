//! Batches with something bad in them, too large ones, and items whose time is over.

use crate::{attempts, dead, ends_well, output_attempts, rooted};
use acurast_events::jobs::Fault;
use acurast_events::lanes::Purpose;
use acurast_events::units::Millis;
use acurast_relayer_sim::chain::GWEI;

#[test]
fn a_poison_item_that_the_contract_names_dies_alone_and_the_others_go_on_at_once() {
    let mut world = rooted(2, 2);
    let bad = world.script.jobs[0].settlement(1).unwrap();
    world.env.chain.poison.insert(bad, true);
    for job in 0..2 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    world.ticks(4);
    assert_eq!(world.env.chain.contract().deliveries.len(), 3, "the others waited for the poison item");
    world.ticks(40);
    ends_well(&mut world, 3);
    let dead = dead(&world);
    assert_eq!((dead.len(), dead[0].settlement_id, dead[0].fault), (1, bad, Fault::Relayer));
    assert!(world.env.chain.mined().all(|(_, success)| success), "it was sent");
}

#[test]
fn a_poison_item_without_a_name_is_found_by_halving_the_batch() {
    let mut world = rooted(2, 2);
    let bad = world.script.jobs[1].settlement(0).unwrap();
    world.env.chain.poison.insert(bad, false);
    for job in 0..2 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    world.ticks(20);
    assert_eq!(world.env.chain.contract().deliveries.len(), 3);
    // Nothing else executes that could condemn it: it waits, and is delivered once the contract takes it.
    ends_well(&mut world, 4);
}

#[test]
fn a_batch_over_the_gas_limit_of_a_block_makes_room_and_its_items_come_one_by_one() {
    let mut world = rooted(2, 2);
    world.env.chain.customs.block_gas_max = 250_000;
    for job in 0..2 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    world.ticks(80);
    assert_eq!(world.env.chain.contract().deliveries.len(), 4, "a batch that no block holds jammed the lane");
    ends_well(&mut world, 4);
    assert!(attempts(&world).iter().any(|attempt| attempt.purpose == Purpose::NoOp), "its slot was given to a no-op");
}

#[test]
fn a_batch_over_the_configured_gas_limit_is_never_sent() {
    let mut world = rooted(2, 2);
    world.settings.caps.transaction_gas_max = acurast_events::units::Gas(220_000);
    world.kill();
    world.ticks(2);
    for job in 0..2 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    ends_well(&mut world, 4);
    assert!(attempts(&world).iter().all(|attempt| attempt.fee.gas_limit.0 <= 220_000));
}

#[test]
fn a_contract_that_refuses_everything_condemns_nobody() {
    let mut world = rooted(2, 2);
    world.env.chain.customs.paused = true;
    for job in 0..2 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    world.ticks(60);
    assert!(dead(&world).is_empty());
    ends_well(&mut world, 4);
}

#[test]
fn a_transaction_that_outlives_its_not_after_gives_its_slot_to_a_no_op() {
    let mut world = rooted(1, 1);
    world.settings.lane_policy.fee.bump_after = Millis(10_000_000);
    world.kill();
    world.ticks(2);
    world.env.chain.customs.mine_priority_min = 100 * GWEI;
    world.hand_in(0, 0);
    world.ticks(3);
    assert_eq!(world.env.chain.pooled(), 1);
    // The deadline of plain worlds is ten minutes after the last window.
    for _ in 0..90 {
        world.advance(10_000);
    }
    ends_well(&mut world, 0);
    assert_eq!(output_attempts(&world).last().unwrap().purpose, Purpose::NoOp);
    assert_eq!(dead(&world).len(), 1);
}
