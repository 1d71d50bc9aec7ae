//! What waits for an operator, and what his commands do: requeue, resolve, refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use acurast_events::amount::Amount;
use acurast_events::bytes::*;
use acurast_events::control::{Command, CommandTarget, CommandVia, ControlCommand, DeadLetterTarget, Requeue};
use acurast_events::job_id::JobId;
use acurast_events::jobs::{Fault, JobsEvent, Outcome};
use acurast_events::lanes::*;
use acurast_events::source::{AssignmentRevoked, ReportedOutcome};
use acurast_events::units::*;
use acurast_relayer_core::{Input, LetterFate, LetterView, Subject};
use std::collections::BTreeSet;
use world::operator::command_id;
use world::*;

fn die(world: &mut World, id: SettlementId) -> EventId {
    let before = world.open_letters();
    world.lane(IntentDead { settlement_id: id, reason: "given up".into(), fault: Fault::Relayer });
    *world.open_letters().iter().find(|letter| !before.contains(letter)).expect("a dead letter")
}

/// A job of two executions whose root stands and whose first output its lane gave up.
fn given_up() -> (World, JobId, EventId) {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 2);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    let letter = die(&mut world, id);
    (world, job, letter)
}

fn refusal(events: &[JobsEvent]) -> String {
    match events {
        [JobsEvent::CommandRefused(refused)] => refused.reason.clone(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn an_output_that_its_lane_gave_up_is_planned_anew_with_its_money_set_aside_and_delivered_once() {
    let (mut world, job, letter) = given_up();
    assert_eq!(world.reserved(), SHARE, "given up: its part is free again");
    world.at(2_000);
    let events = world.requeue(1, letter);
    assert_eq!(names(&events), ["DeadLetterRequeued", "FulfillmentPlanned"]);
    let planned = events.iter().find_map(|event| if let JobsEvent::FulfillmentPlanned(it) = event { Some(it.clone()) } else { None });
    let planned = planned.unwrap();
    assert_eq!((planned.payload, planned.requeued), (Bytes(b"result".to_vec()), 1));
    assert_eq!(planned.settlement_id, world.fulfillment_id(&job, 1, 0), "the settlement stays what it was");
    assert_eq!(world.reserved(), SHARE + MAX_CHARGE);
    assert!(world.open_letters().is_empty());
    let (_, end) = world.letter(&letter).unwrap();
    let end = end.unwrap();
    assert_eq!((end.fate, end.given.who.as_str(), end.given.via), (LetterFate::Requeued, "ana", CommandVia::Cli));

    let id = world.fulfillment_id(&job, 1, 0);
    let events = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 700, 120, 650)]);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Fulfilled, Fault::Nobody)]);
    assert_eq!(refusal(&world.requeue(2, letter)), "it was requeued before, by ana: the fee cap was raised");
}

#[test]
fn given_up_again_it_is_another_dead_letter_that_can_be_requeued_again() {
    let (mut world, job, letter) = given_up();
    world.requeue(1, letter);
    let id = world.fulfillment_id(&job, 1, 0);
    let again = die(&mut world, id);
    assert_ne!(again, letter);
    let events = world.requeue(2, again);
    assert!(events.iter().any(|event| matches!(event, JobsEvent::FulfillmentPlanned(it) if it.requeued == 2)), "{events:?}");
}

#[test]
fn the_same_command_again_changes_nothing_and_says_nothing() {
    let (mut world, _, letter) = given_up();
    world.requeue(1, letter);
    let before = world.log.len();
    assert!(world.requeue(1, letter).is_empty());
    assert_eq!((world.log.len(), world.reserved()), (before, SHARE + MAX_CHARGE));
}

#[test]
fn a_command_that_is_read_again_after_a_crash_is_recognised_by_its_record() {
    let (mut world, job, letter) = given_up();
    world.requeue(1, letter);
    let (input, reference) = world.inputs.last().cloned().unwrap();
    // The shell's own memory: a subject that answered the input since the last Progress.
    let answered = BTreeSet::from([Subject::Job(key_of(&job))]);
    assert_eq!(world.partition.decide_next(&world.policy, &FakeRules, &input, reference.as_ref(), &answered).unwrap(), None);
    // And the store's: the command's id.
    let Input::Control(control) = input else { panic!() };
    let again = Input::Control(Box::new(world.looked_up(control.command)));
    assert_eq!(world.partition.decide_next(&world.policy, &FakeRules, &again, reference.as_ref(), &BTreeSet::new()).unwrap(), None);
}

#[test]
fn an_execution_with_its_outcome_is_not_reopened() {
    let (mut world, _, letter) = given_up();
    let events = world.seal(window_end(1) + DEADLINE);
    assert!(outcomes(&events).contains(&(1, 0, 1, Outcome::Failed, Fault::Relayer)), "{events:?}");
    assert!(refusal(&world.requeue(1, letter)).contains("outcome stands"));
    assert_eq!(names(&world.resolve(2, letter)), ["DeadLetterResolved"]);
    assert!(world.open_letters().is_empty());
}

#[test]
fn while_the_job_is_open_the_refusal_names_the_outcome() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 2, 1);
    world.root_final(&job, 1);
    world.root_final(&job, 2);
    world.output(&job, 1, 0, b"one");
    world.output(&job, 2, 0, b"two");
    let id = world.fulfillment_id(&job, 1, 0);
    let letter = die(&mut world, id);
    world.seal(window_end(0) + DEADLINE);
    assert!(world.is_open(&job), "a lane still has the other one");
    assert_eq!(refusal(&world.requeue(1, letter)), "execution 0 has its outcome (Failed), and the first one stands");
}

#[test]
fn without_money_a_requeue_is_refused_and_the_letter_stays_open() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(SHARE + MAX_CHARGE);
    world.assigned(&job, 1, 2);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    let letter = die(&mut world, id);
    world.output(&job, 1, 1, b"takes what came free");
    assert!(refusal(&world.requeue(1, letter)).contains("too little"));
    assert_eq!(world.open_letters(), [letter]);
    world.topped_up(MAX_CHARGE);
    assert_eq!(names(&world.requeue(2, letter)), ["DeadLetterRequeued", "FulfillmentPlanned"]);
    let id = world.fulfillment_id(&job, 1, 0);
    let again = die(&mut world, id);
    world.close_requested();
    assert!(refusal(&world.requeue(3, again)).contains("closing"));
}

#[test]
fn a_leaf_that_its_lane_gave_up_is_planned_anew_and_what_waited_for_it_goes_on() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 2);
    let id = world.root_id(&job, 1);
    let letter = die(&mut world, id);
    let events = world.output(&job, 1, 0, b"comes meanwhile");
    assert_eq!(names(&events), ["OutputAccepted", "SettlementWaiting"]);
    assert_eq!(world.reserved(), 0);
    let events = world.requeue(1, letter);
    assert_eq!(names(&events), ["DeadLetterRequeued", "LeafPlanned", "FulfillmentPlanned"]);
    assert_eq!(world.reserved(), SHARE + MAX_CHARGE);
    world.root_final(&job, 1);
    let id = world.fulfillment_id(&job, 1, 0);
    let events = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 700, 120, 650)]);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Fulfilled, Fault::Nobody)]);
}

#[test]
fn an_output_is_not_planned_anew_before_the_proof_that_was_given_up_with_it() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.output(&job, 1, 0, b"result");
    let (root, output) = (world.root_id(&job, 1), world.fulfillment_id(&job, 1, 0));
    let (of_root, of_output) = (die(&mut world, root), die(&mut world, output));
    let reason = refusal(&world.requeue(1, of_output));
    assert!(reason.contains("requeue that first") && reason.contains(&root.to_string()), "{reason}");
    assert_eq!(names(&world.requeue(2, of_root)), ["DeadLetterRequeued", "LeafPlanned"]);
    assert_eq!(names(&world.requeue(3, of_output)), ["DeadLetterRequeued", "FulfillmentPlanned"]);
}

#[test]
fn a_revoked_assignment_is_not_planned_anew() {
    let (mut world, job, letter) = given_up();
    let (meta, assignment_id) = (world.meta(), world.assignment_id(&job, 1, None));
    let events = world.dest_fact(AssignmentRevoked { meta, escrow_id: escrow(), owner: owner(), assignment_id });
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Failed, Fault::Consumer)], "nothing can bring it back now");
    assert!(refusal(&world.requeue(1, letter)).contains("first one stands"));
}

#[test]
fn a_difference_of_the_ledger_can_only_be_resolved() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    let items = vec![item(id, ItemOutcome::Settled, 700, 0, 650)];
    let event = world.slot_event(1, Purpose::Fulfill, items, vec![]);
    world.lane(event);
    let [letter] = world.open_letters()[..] else { panic!("{:?}", world.open_letters()) };
    assert!(refusal(&world.requeue(1, letter)).contains("Resolve it"));
    assert_eq!(names(&world.resolve(2, letter)), ["DeadLetterResolved"]);
    assert_eq!(refusal(&world.resolve(3, letter)), "it was resolved before, by ana: the fee cap was raised");
}

#[test]
fn a_record_that_cant_be_read_is_a_dead_letter_and_is_decided_again_when_it_can() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 2);
    world.root_final(&job, 1);
    let output = world.signed(&job, 1, 0, b"newer");
    let events = world.garbage(b"a field of a later version", Some(output));
    assert_eq!(names(&events), ["InputQuarantined"]);
    let [letter] = world.open_letters()[..] else { panic!("{:?}", world.open_letters()) };
    let (opened, end) = world.letter(&letter).unwrap();
    let view = LetterView::of(letter, 0, &opened, end).unwrap();
    assert!(view.reason.contains("record 1 of outputs/0 can't be decided: unknown field"), "{}", view.reason);
    assert_eq!((view.state, view.requeueable, view.kind), ("open", true, "InputQuarantined"));
    let events = world.requeue(1, letter);
    assert_eq!(names(&events), ["DeadLetterRequeued", "OutputAccepted", "FulfillmentPlanned"]);

    // What was decided late is delivered anew like any other.
    let id = world.fulfillment_id(&job, 1, 0);
    let again = die(&mut world, id);
    assert_eq!(names(&world.requeue(2, again)), ["DeadLetterRequeued", "FulfillmentPlanned"]);
}

#[test]
fn a_record_that_still_cant_be_read_or_means_nothing_here_stays_a_dead_letter() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.garbage(b"\xff\xff", None);
    let [letter] = world.open_letters()[..] else { panic!("{:?}", world.open_letters()) };
    assert_eq!(refusal(&world.requeue(1, letter)), "it still can't be read");
    let forged = acurast_events::outputs::Output { signature: Bytes(vec![1]), ..world.signed(&job, 1, 0, b"x") };
    world.garbage(b"\xfe", Some(forged));
    let other = *world.open_letters().iter().find(|open| **open != letter).unwrap();
    assert!(refusal(&world.requeue(2, other)).contains("signature"));
    assert_eq!(world.open_letters().len(), 2);
    world.report(&job, 1, ReportedOutcome::Success, b"done");
    assert!(world.is_open(&job), "nothing was lost");
}

#[test]
fn what_names_nothing_or_nobody_is_refused_and_kept_no_longer_than_it_may_be() {
    let (mut world, _, letter) = given_up();
    assert!(refusal(&world.requeue(1, EventId([9; 32]))).contains("has no dead letter"));
    let target = CommandTarget::DeadLetterTarget(DeadLetterTarget { id: letter, partition: 0 });
    let mut give = |n: u64, who: &str, why: String| {
        let (id, target, who) = (command_id(n), target.clone(), who.to_owned());
        let command = Command::Requeue(Requeue {});
        world.give(ControlCommand { id, target, command, who, why, at: Timestamp(1), via: CommandVia::Http })
    };
    assert!(refusal(&give(2, "", "because".into())).contains("who gave it and why"));
    assert!(refusal(&give(3, "ana", "  ".into())).contains("who gave it and why"));
    let events = give(4, "ana", "ä".repeat(3_000));
    let [JobsEvent::CommandRefused(refused)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(refused.given.why.len(), 4_096);
    assert_eq!(world.open_letters(), [letter]);
}

#[test]
fn the_time_until_notafter_does_not_end_with_a_death_for_what_an_account_still_pays() {
    let (mut world, job, letter) = given_up();
    world.seal(window_end(1));
    assert!(world.is_open(&job), "until notAfter the first execution has no outcome");
    assert_eq!(names(&world.requeue(1, letter)), ["DeadLetterRequeued", "FulfillmentPlanned"]);
    let id = world.fulfillment_id(&job, 1, 0);
    let events = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 700, 120, 650)]);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Fulfilled, Fault::Nobody)]);
    assert!(!world.is_open(&job) && world.reserved() == 0);
    assert_eq!(world.partition.account(&escrow()).unwrap().spent(), Amount(820));
}
