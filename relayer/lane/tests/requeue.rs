//! What a lane gave up and an operator has planned anew: taken once, asked for first, settled once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_events::bytes::SettlementId;
use acurast_events::ids::{fulfillment_settlement_id, root_settlement_id};
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::LanesEvent;
use acurast_events::units::{Bit, Execution};
use acurast_relayer_lane::LaneInput;
use support::shell::Shell;
use support::{START, assignment, leaf, output, workload};

const FAR: u64 = START + 10_000_000;

fn id(n: u8, execution: u64) -> SettlementId {
    fulfillment_settlement_id(&assignment(n), Execution(execution))
}

/// The output's intent, planned anew for the nth time.
fn again(n: u8, execution: u64, requeued: u32) -> JobsEvent {
    let mut intent = output(n, execution, FAR);
    intent.requeued = requeued;
    intent.into()
}

fn leaf_again(n: u8, requeued: u32) -> JobsEvent {
    let mut intent = leaf(n, FAR);
    intent.requeued = requeued;
    intent.into()
}

fn is_dead(shell: &Shell, id: SettlementId) -> bool {
    shell.endings().get(&id) == Some(&"dead")
}

/// A lane that settled all of two leaves but one output, which its simulations condemned.
fn given_up() -> Shell {
    let mut shell = Shell::new(1, workload(2, FAR));
    shell.chain.poison.insert(id(1, 1), true);
    shell.ticks(60);
    shell.assert_sound();
    assert!(is_dead(&shell, id(1, 1)));
    shell
}

#[test]
fn an_output_that_was_given_up_is_delivered_once_its_cause_is_gone() {
    let mut shell = given_up();
    shell.chain.poison.clear();
    shell.jobs.push(again(1, 1, 1));
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 4);
    assert_eq!(shell.count("IntentReturned"), 1, "the chain was asked before it got a slot");
}

#[test]
fn an_effect_that_is_there_by_now_is_found_and_nothing_is_sent() {
    let mut shell = given_up();
    let sent = shell.count("AttemptPrepared");
    shell.chain.settle_foreign(id(1, 1));
    shell.ticks(12);
    shell.jobs.push(again(1, 1, 1));
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!((shell.count("EffectFound"), shell.count("AttemptPrepared")), (1, sent));
}

#[test]
fn given_up_again_it_can_be_planned_anew_again_and_no_intent_counts_twice() {
    let mut shell = given_up();
    shell.jobs.push(again(1, 1, 1));
    shell.ticks(30);
    assert!(is_dead(&shell, id(1, 1)));
    shell.chain.poison.clear();
    shell.jobs.push(again(1, 1, 2));
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 4);
    // After a restart without positions all intents are delivered anew.
    let before = shell.journal.len();
    shell.restart();
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!(shell.journal.len(), before, "an intent that is known causes nothing");
}

#[test]
fn a_leaf_that_was_given_up_keeps_its_bits_and_its_outputs_settle() {
    let mut shell = Shell::new(5, workload(2, FAR));
    shell.refuse.insert(root_settlement_id(&assignment(2)));
    shell.ticks(40);
    shell.assert_sound();
    assert!(is_dead(&shell, root_settlement_id(&assignment(2))) && is_dead(&shell, id(2, 0)));
    shell.refuse.clear();
    shell.jobs.extend([leaf_again(2, 1), again(2, 0, 1), again(2, 1, 1)]);
    shell.ticks(40);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 4);
    let bits: Vec<Bit> = shell
        .events()
        .filter_map(|event| match event {
            LanesEvent::RootAccepted(it) if it.intent.assignment_id == assignment(2) => Some(it.bit),
            _ => None,
        })
        .collect();
    assert_eq!((bits.len(), bits[0]), (2, bits[1]), "bits are allotted once (PROTOCOL §4)");
}

#[test]
fn an_output_without_its_proof_is_given_up_again() {
    let mut shell = Shell::new(5, workload(1, FAR));
    shell.refuse.insert(root_settlement_id(&assignment(1)));
    shell.ticks(40);
    shell.feed(&LaneInput::Jobs(again(1, 0, 1))).unwrap_or_else(|_| panic!("no crash was asked for"));
    let last = shell.events().next_back().cloned();
    assert!(matches!(&last, Some(LanesEvent::IntentDead(dead)) if dead.reason.contains("could not be proven")), "{last:?}");
}

#[test]
fn a_crash_at_any_boundary_of_a_requeue_loses_nothing_and_settles_once() {
    let mut whole = given_up();
    let first = whole.boundaries;
    whole.chain.poison.clear();
    whole.jobs.push(again(1, 1, 1));
    whole.ticks(30);
    let boundaries = whole.boundaries;
    assert!(boundaries > first + 4, "{first} to {boundaries}");
    for boundary in first..boundaries {
        let mut shell = given_up();
        shell.chain.poison.clear();
        shell.jobs.push(again(1, 1, 1));
        shell.crash_at = Some(boundary);
        shell.ticks(60);
        shell.assert_sound();
        assert_eq!((shell.crashes, shell.chain.settled().len()), (1, 4), "boundary {boundary}");
    }
}
