//! What a send can be answered, and what must follow from it.

use crate::{count, ends_well, output_attempts, pending, rooted};
use acurast_relayer_sim::chain::{GWEI, Node};
use acurast_relayer_sim::scenario::finish;

#[test]
fn bytes_that_a_node_knows_already_are_as_good_as_sent() {
    let mut world = pending();
    let before = world.env.chain.broadcasts;
    world.kill();
    world.ticks(2);
    assert!(world.env.chain.broadcasts > before, "recovery sends again what isn't final");
    ends_well(&mut world, 1);
    assert_eq!(output_attempts(&world).len(), 1, "the known bytes were signed anew");
}

#[test]
fn a_nonce_that_is_too_low_after_our_own_inclusion_is_no_loss() {
    let mut world = rooted(1, 1);
    // The answer to the send is lost, and the transaction is mined before it is sent again: its slot is used.
    world.env.chain.lose_answers = 1;
    world.set_node(Some(Node::Lagging(2)), 1_000);
    world.hand_in(0, 0);
    world.ticks(6);
    ends_well(&mut world, 1);
    assert_eq!(output_attempts(&world).len(), 1);
}

#[test]
fn a_nonce_that_is_too_high_brings_the_missing_one_back_first() {
    let mut world = rooted(3, 1);
    world.settings.lane_policy.batch_items_max = 1;
    world.kill();
    world.ticks(2);
    world.env.chain.customs.mine_priority_min = 100 * GWEI;
    for job in 0..3 {
        world.hand_in(job, 0);
        world.ticks(2);
    }
    assert!(world.env.chain.pooled() > 1, "no two slots wait");
    world.env.chain.customs.refuse_gaps = true;
    world.env.chain.evict();
    world.env.chain.customs.mine_priority_min = 0;
    world.ticks(12);
    assert_eq!(world.env.chain.contract().deliveries.len(), 3, "a slot that came too early stayed away");
    ends_well(&mut world, 3);
}

#[test]
fn a_send_that_times_out_but_was_accepted_is_not_signed_anew() {
    let mut world = rooted(1, 1);
    world.env.chain.lose_answers = 1;
    world.hand_in(0, 0);
    ends_well(&mut world, 1);
    assert_eq!(output_attempts(&world).len(), 1);
}

#[test]
fn no_answer_is_not_a_missing_transaction() {
    let mut world = pending();
    let before = count(&world, "AttemptEnded");
    world.env.trouble.no_answer = 1_000;
    world.ticks(30);
    assert_eq!(count(&world, "AttemptEnded"), before, "a transaction was given up although nobody said it was missing");
    ends_well(&mut world, 1);
}

#[test]
fn a_transaction_that_the_node_never_takes_makes_room() {
    let mut world = rooted(2, 2);
    let rejected = world.script.jobs[0].settlement(0).unwrap();
    world.env.chain.reject.insert(rejected);
    for job in 0..2 {
        world.hand_in(job, 0);
        world.hand_in(job, 1);
    }
    world.ticks(60);
    assert!(world.env.chain.contract().deliveries.len() >= 3, "one that is never taken held the others up");
    // Once the node is itself again it takes what it refused, unless that was given up before.
    let outcome = finish(&mut world);
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
}
