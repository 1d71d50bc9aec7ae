//! kill -9 at the worst moments, and a process that sleeps through its own succession.

use crate::{attempts, ends_well, finals, output_attempts, pending, rooted};
use acurast_relayer_sim::boundary::Boundary;
use acurast_relayer_sim::world::World;

/// A world whose process crashes at the next boundary of this kind once an output was handed in.
fn crashing(kind: Boundary) -> World {
    let mut world = rooted(1, 1);
    world.hand_in(0, 0);
    world.env.boundaries.crash_at_next(kind);
    for _ in 0..10 {
        world.tick();
        if world.crashes == 1 {
            return world;
        }
    }
    panic!("nothing crashed at {kind:?}");
}

#[test]
fn a_crash_between_sign_and_send_sends_the_journaled_bytes_after_the_restart() {
    let mut world = crashing(Boundary::Send);
    assert_eq!(output_attempts(&world).len(), 1, "the attempt is journaled");
    assert_eq!(world.env.chain.pooled(), 0, "and not sent");
    ends_well(&mut world, 1);
    assert_eq!(output_attempts(&world).len(), 1, "it was signed anew");
}

#[test]
fn a_crash_between_send_and_observe_sends_the_same_bytes_again_harmlessly() {
    let mut world = crashing(Boundary::Sent);
    assert_eq!(world.env.chain.pooled(), 1, "the bytes are out");
    ends_well(&mut world, 1);
    assert_eq!(output_attempts(&world).len(), 1);
}

#[test]
fn a_crash_between_observe_and_record_observes_again() {
    for kind in [Boundary::Append, Boundary::Acknowledge, Boundary::Apply] {
        let mut world = pending();
        world.env.chain.customs.mine_priority_min = 0;
        // The next thing that is written is that the transaction is in a block.
        world.env.boundaries.crash_at_next(kind);
        world.tick();
        assert_eq!((world.crashes, world.env.chain.contract().deliveries.len()), (1, 1), "{kind:?}");
        ends_well(&mut world, 1);
        assert_eq!(finals(&world).len(), 2);
    }
}

#[test]
fn a_crash_before_an_attempt_is_durable_leaves_its_slot_free() {
    let mut world = rooted(1, 1);
    world.env.trouble.signer_offline = true;
    world.hand_in(0, 0);
    world.ticks(3);
    // The key is back; the next thing that is written is what it signed.
    world.env.trouble.signer_offline = false;
    world.env.boundaries.crash_at_next(Boundary::Append);
    world.ticks(5);
    assert_eq!(world.crashes, 1);
    ends_well(&mut world, 1);
    assert_eq!(output_attempts(&world).len(), 1);
}

#[test]
fn a_second_replica_that_wakes_with_a_stale_term_sends_nothing_new_and_stands_down() {
    let mut world = rooted(2, 1);
    world.hand_in(0, 0);
    world.settings.lane_policy.batch_items_max = 1;
    // It is stopped with what it began still to be sent, and its successor takes over.
    world.freeze(12_000);
    world.ticks(3);
    world.hand_in(1, 0);
    world.ticks(6);
    let signed = attempts(&world).len();
    world.ticks(20);
    assert_eq!(attempts(&world).len(), signed, "two replicas signed");
    assert!(world.ended >= 1, "the one that woke goes on");
    ends_well(&mut world, 2);
}

#[test]
fn a_lost_database_is_folded_from_the_journal() {
    let mut world = pending();
    for _ in 0..8 {
        world.kill();
        world.ticks(2);
    }
    ends_well(&mut world, 1);
    assert!(world.ended >= 8);
}

#[test]
fn a_wall_clock_that_jumps_ahead_and_back_stops_nothing() {
    for jump in [3_600_000, -3_600_000] {
        let mut world = rooted(2, 1);
        world.hand_in(0, 0);
        world.skew(jump);
        world.ticks(4);
        world.skew(0);
        world.hand_in(1, 0);
        world.ticks(30);
        assert_eq!(world.env.chain.contract().deliveries.len(), 2, "a clock that was wrong by {jump} ms holds the lane up");
        ends_well(&mut world, 2);
    }
}
