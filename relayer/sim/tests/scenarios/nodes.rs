//! Nodes, signers and accounts that are not what they should be.

use crate::{dead, ends_well, rooted};
use acurast_relayer_sim::chain::{GWEI, Node};

#[test]
fn a_head_that_is_frozen_though_the_node_answers_stops_nothing_for_good() {
    let mut world = rooted(2, 2);
    let height = world.env.chain.height();
    world.set_node(Some(Node::Frozen(height)), 1_000);
    for job in 0..2 {
        world.hand_in(job, 0);
    }
    world.ticks(30);
    ends_well(&mut world, 2);
}

#[test]
fn a_chain_without_blocks_stops_nothing_for_good() {
    let mut world = rooted(2, 1);
    world.env.chain.customs.stalled = true;
    world.hand_in(0, 0);
    world.hand_in(1, 0);
    world.ticks(30);
    ends_well(&mut world, 2);
}

#[test]
fn answers_from_a_lagging_peer_double_and_lose_nothing() {
    let mut world = rooted(3, 2);
    world.set_node(Some(Node::Lagging(6)), 500);
    for job in 0..3 {
        world.hand_in(job, 0);
        world.ticks(3);
        world.hand_in(job, 1);
    }
    world.ticks(40);
    ends_well(&mut world, 6);
}

#[test]
fn a_node_that_lags_behind_finality_is_asked_again_after_a_pause() {
    // Without the pause the loops of the process wake each other for ever, which every run notices.
    let mut world = rooted(1, 1);
    world.set_node(Some(Node::Lagging(9)), 1_000);
    world.hand_in(0, 0);
    world.ticks(20);
    assert!(world.env.violations.is_empty(), "{:#?}", world.env.violations);
    ends_well(&mut world, 1);
}

#[test]
fn a_node_that_tells_of_blocks_which_are_in_no_chain_settles_nothing_by_it() {
    let mut world = rooted(2, 2);
    world.set_node(Some(Node::Lying), 400);
    for job in 0..2 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    world.ticks(40);
    ends_well(&mut world, 4);
}

#[test]
fn a_signer_that_is_offline_delays_and_loses_nothing() {
    let mut world = rooted(2, 1);
    world.env.trouble.signer_offline = true;
    world.hand_in(0, 0);
    world.hand_in(1, 0);
    world.ticks(20);
    assert!(world.env.chain.contract().deliveries.is_empty());
    world.env.trouble.signer_offline = false;
    world.ticks(15);
    assert_eq!(world.env.chain.contract().deliveries.len(), 2, "the signer is back, and nobody asks it");
    ends_well(&mut world, 2);
}

#[test]
fn a_balance_that_runs_out_stops_the_lane_until_it_returns() {
    let mut world = rooted(2, 1);
    world.env.chain.funds = world.env.chain.contract().paid + GWEI;
    world.hand_in(0, 0);
    world.hand_in(1, 0);
    world.ticks(20);
    let slots = world.process.as_ref().unwrap().dispatch.lane.status().open_slots;
    assert!(slots.is_empty() && world.env.chain.contract().deliveries.is_empty(), "a slot was taken without money");
    world.env.chain.funds = 10u128.pow(21);
    world.ticks(15);
    assert_eq!(world.env.chain.contract().deliveries.len(), 2);
    ends_well(&mut world, 2);
    assert!(dead(&world).is_empty());
}
