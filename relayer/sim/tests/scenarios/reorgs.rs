//! Chains that go back: before finality, with everything on them, and below what was final.

use crate::{attempts, count, ends_well, finals, job_count, output_attempts, pending, rooted};
use acurast_events::lanes::{LanesEvent, SlotOutcome};

#[test]
fn a_receipt_that_vanishes_before_finality_is_orphaned_and_comes_back() {
    let mut world = rooted(1, 1);
    world.hand_in(0, 0);
    world.ticks(3);
    assert_eq!(world.env.chain.contract().deliveries.len(), 1);
    assert_eq!(job_count(&world, "ExecutionEnded"), 0, "an outcome before finality");
    world.env.chain.reorg(3, false);
    assert!(world.env.chain.contract().deliveries.is_empty());
    ends_well(&mut world, 1);
    assert!(count(&world, "AttemptOrphaned") >= 1);
}

#[test]
fn a_reorg_brings_root_and_outputs_back_in_their_order() {
    let mut world = crate::world(3, 1);
    world.ticks(9);
    for job in 0..3 {
        world.hand_in(job, 0);
    }
    for _ in 0..20 {
        world.tick();
        if !world.env.chain.contract().deliveries.is_empty() {
            break;
        }
    }
    // Root and outputs vanish together.
    world.env.chain.reorg(10, false);
    ends_well(&mut world, 3);
    assert!(world.env.chain.mined().all(|(_, success)| success), "something reverted on its way back");
}

#[test]
fn finality_that_breaks_quarantines_the_lane_and_takes_back_what_was_said() {
    let mut world = rooted(1, 2);
    world.hand_in(0, 0);
    world.ticks(10);
    assert_eq!(finals(&world).len(), 2, "the output is final");
    assert_eq!(job_count(&world, "SettlementFinal"), 2);
    world.foul = true;
    world.env.chain.break_finality(10);
    assert!(world.env.chain.contract().deliveries.is_empty());
    world.hand_in(0, 1);
    world.ticks(30);
    let quarantine = world.process.as_ref().unwrap().dispatch.lane.status().quarantine.expect("quarantined");
    assert!(quarantine.reason.contains("finality broke"), "{}", quarantine.reason);
    assert_eq!(count(&world, "Rewound"), 1);
    assert!(count(&world, "EffectLost") >= 1, "nobody was told that the effect is gone");
    assert!(job_count(&world, "SettlementReversed") >= 1, "settle keeps what the chain lost");
    assert_eq!(attempts(&world).len(), 2, "something was sent again by itself");
    assert!(world.env.violations.is_empty(), "{:#?}", world.env.violations);
}

#[test]
fn a_foreign_transaction_that_takes_our_slot_ends_it_and_quarantines_the_lane() {
    let mut world = pending();
    world.foul = true;
    let hash = world.env.chain.foreign(1);
    world.ticks(30);
    let last = finals(&world).pop().unwrap();
    assert_eq!((last.slot.0, last.outcome, last.tx), (1, SlotOutcome::Foreign, hash));
    let quarantine = world.process.as_ref().unwrap().dispatch.lane.status().quarantine.expect("quarantined");
    assert!(quarantine.reason.contains("foreign transaction"), "{}", quarantine.reason);
    let signed = attempts(&world).len();
    world.ticks(30);
    assert_eq!(attempts(&world).len(), signed, "something new was signed");
    assert!(world.env.violations.is_empty(), "{:#?}", world.env.violations);
}

#[test]
fn an_effect_that_somebody_else_brought_about_is_found_and_not_sent_again() {
    let mut world = rooted(1, 1);
    let id = world.script.jobs[0].settlement(0).unwrap();
    world.env.chain.hidden_poison.insert(id);
    world.hand_in(0, 0);
    for _ in 0..10 {
        world.tick();
        if world.env.chain.mined().any(|(_, success)| !success) {
            break;
        }
    }
    let item = world.env.chain.mined().find(|(_, success)| !success).unwrap().0.items[0].clone();
    world.foul = true;
    world.env.chain.deliver_foreign(&item);
    world.ticks(20);
    assert!(world.lane_events().iter().any(|event| matches!(event, LanesEvent::EffectFound(found) if found.settlement_id == id)));
    assert_eq!(attempts(&world).len(), 2, "it was sent again");
    assert_eq!(world.env.chain.contract().deliveries.len(), 1);
}

#[test]
fn an_item_that_another_settled_first_is_found_and_its_job_closes() {
    let mut world = pending();
    let item = world.env.chain.signed(&output_attempts(&world)[0].bytes).unwrap().items[0].clone();
    world.foul = true;
    world.foreign_deliveries = 1;
    world.env.chain.deliver_foreign(&item);
    // Ours is mined all the same, and passed over.
    ends_well(&mut world, 1);
    assert_eq!(count(&world, "EffectFound"), 1);
    assert_eq!(job_count(&world, "JobClosed"), 1);
}
