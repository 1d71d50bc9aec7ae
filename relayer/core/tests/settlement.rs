//! Outputs, intents, lanes and money (PROTOCOL §4, §5, §7), told one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use acurast_events::amount::Amount;
use acurast_events::bytes::*;
use acurast_events::ids::payload_hash;
use acurast_events::jobs::{Book, Fault, JobsEvent, LedgerAccountKind, Outcome, WaitReason};
use acurast_events::lanes::*;
use acurast_events::outputs::Output;
use acurast_events::source::*;
use acurast_events::units::*;
use acurast_relayer_core::OutputStatus;
use world::*;

fn differs(events: &[JobsEvent]) -> usize {
    names(events).iter().filter(|name| **name == "LedgerDiffers").count()
}

#[test]
fn an_output_is_delivered_charged_and_what_it_did_not_need_comes_back() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    assert_eq!(world.reserved(), SHARE);
    assert_eq!(names(&world.root_final(&job, 1)), ["SettlementFinal"]);
    assert_eq!(names(&world.output(&job, 1, 0, b"result")), ["OutputAccepted", "FulfillmentPlanned"]);
    assert_eq!(world.reserved(), SHARE + MAX_CHARGE);
    let id = world.fulfillment_id(&job, 1, 0);
    world.included(1, vec![id]);
    let events = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 700, 120, 650)]);
    assert_eq!(names(&events), ["SettlementFinal", "ExecutionEnded"]);
    assert_eq!((world.free(), world.reserved()), (1_000_000 - 820, 0));
    let state = world.job(&job);
    assert_eq!((state.money.spent, state.money.cost), (Amount(820), Amount(700)), "the root's 50 and the delivery's 650");
    let margin = state.ledger.held(Book::Signer, LedgerAccountKind::Margin, Some(key_of(&job)));
    assert_eq!(margin, Amount(120), "cost + margin = charge");
    assert_eq!(names(&world.seal(window_end(0))), ["JobDone", "JobClosed"]);
}

#[test]
fn a_target_that_fails_is_charged_once_and_the_consumers_fault() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    let failed = item(id, ItemOutcome::SettledFailed, 900, 100, 800);
    let events = world.slot_final(1, Purpose::Fulfill, vec![failed.clone()]);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Failed, Fault::Consumer)]);
    assert_eq!(world.free(), 1_000_000 - 1_000);
}

#[test]
fn an_output_waits_for_its_account_and_goes_on_when_that_is_opened() {
    let (mut world, job) = (World::new(), job_id(1));
    let registration = registration(1, 1);
    world.registered(&job, registration.clone());
    let events = world.acknowledged(&job, registration, slot(1, None));
    assert_eq!(waits(&events), [WaitReason::EscrowMissing]);
    let events = world.output(&job, 1, 0, b"early");
    assert_eq!((names(&events)[0], waits(&events)), ("OutputAccepted", vec![WaitReason::RootPending]));
    let events = world.escrow_opened(10_000);
    assert_eq!(names(&events), ["AccountOpened", "LeafPlanned", "FulfillmentPlanned"]);
    assert_eq!(world.reserved(), SHARE + MAX_CHARGE);
}

#[test]
fn an_account_opened_before_its_job_pays_at_once() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    assert_eq!(world.reserved(), SHARE);
}

#[test]
fn too_little_money_waits_and_goes_on_after_a_top_up() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(SHARE - 1);
    let registration = registration(1, 1);
    let events = world.acknowledged(&job, registration, slot(1, None));
    assert_eq!(waits(&events), [WaitReason::EscrowTooSmall]);
    assert_eq!(names(&world.topped_up(1)), ["LeafPlanned"]);
    let events = world.output(&job, 1, 0, b"result");
    assert_eq!(waits(&events), [WaitReason::EscrowTooSmall]);
    let JobsEvent::SettlementWaiting(waiting) = events.last().unwrap() else { panic!("{events:?}") };
    assert_eq!(waiting.needs, Amount(MAX_CHARGE));
    assert!(names(&world.topped_up(MAX_CHARGE - 1)).is_empty());
    assert_eq!(names(&world.topped_up(1)), ["FulfillmentPlanned"]);
    assert_eq!(world.free(), 0);
}

#[test]
fn those_that_wait_for_money_get_it_in_their_order_and_nobody_overtakes() {
    let mut world = World::new();
    world.escrow_opened(SHARE);
    let jobs = [job_id(1), job_id(2), job_id(3)];
    for job in &jobs {
        world.acknowledged(job, registration(1, 1), slot(1, None));
    }
    assert!(world.job(&jobs[0]).settlements.len() == 1 && world.job(&jobs[1]).settlements.is_empty());
    assert!(waits(&world.output(&jobs[0], 1, 0, b"needs more and came later")).contains(&WaitReason::EscrowTooSmall));
    let planned = |events: &[JobsEvent]| -> Vec<u128> {
        events.iter().filter_map(|event| if let JobsEvent::LeafPlanned(it) = event { Some(it.job_number.0) } else { None }).collect()
    };
    assert_eq!(planned(&world.topped_up(SHARE)), [2]);
    assert_eq!(planned(&world.topped_up(SHARE + MAX_CHARGE - 1)), [3]);
    assert_eq!(names(&world.topped_up(1)), ["FulfillmentPlanned"]);
}

#[test]
fn who_needs_less_does_not_overtake_who_waits_for_more() {
    let (mut world, [first, second]) = (World::new(), [job_id(1), job_id(2)]);
    world.escrow_opened(2 * SHARE);
    world.acknowledged(&first, registration(1, 1), slot(1, None));
    assert_eq!(waits(&world.output(&first, 1, 0, b"needs 1000, 300 are free")), [WaitReason::EscrowTooSmall]);
    let events = world.acknowledged(&second, registration(1, 1), slot(1, None));
    assert_eq!(waits(&events), [WaitReason::EscrowTooSmall], "300 would do, but somebody waits");
    assert_eq!(names(&world.topped_up(MAX_CHARGE)), ["FulfillmentPlanned", "LeafPlanned"]);
}

#[test]
fn nothing_is_planned_for_an_account_that_closes_and_what_is_reserved_goes_on() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 2);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"before");
    assert_eq!(names(&world.close_requested()), ["AccountClosing"]);
    let events = world.output(&job, 1, 1, b"after");
    assert_eq!(waits(&events), [WaitReason::EscrowClosing]);
    let id = world.fulfillment_id(&job, 1, 0);
    let events = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 1, 1, 1)]);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Fulfilled, Fault::Nobody)]);
    let events = world.seal(window_end(1) + DEADLINE);
    assert_eq!(outcomes(&events), [(1, 1, 1, Outcome::Failed, Fault::Consumer)]);
    assert!(!world.is_open(&job));
}

#[test]
fn those_that_waited_for_money_learn_that_the_account_closes() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(0);
    world.acknowledged(&job, registration(1, 1), slot(1, None));
    let events = world.close_requested();
    assert_eq!((names(&events)[0], waits(&events)), ("AccountClosing", vec![WaitReason::EscrowClosing]));
}

#[test]
fn an_account_expires_by_its_own_chains_blocks() {
    let mut world = World::new();
    let meta = world.meta();
    world.dest_fact(EscrowOpened {
        meta,
        settlement: settlement(),
        escrow_id: escrow(),
        owner: owner(),
        target: target(),
        opener: Bytes(vec![3; 20]),
        caps: caps(),
        expiry: Timestamp(5_000),
        asset: asset(),
        amount: Amount(10_000),
    });
    assert!(world.seal(6_000).is_empty(), "Acurast's time says nothing about it");
    assert_eq!(names(&world.dest_seal(6_000)), ["AccountClosing"]);
    assert!(world.dest_seal(7_000).is_empty());
}

#[test]
fn an_account_for_another_target_does_not_pay() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened_as(escrow(), Bytes(vec![0xff; 20]), caps(), 1_000_000);
    assert_eq!(waits(&world.acknowledged(&job, registration(1, 1), slot(1, None))), [WaitReason::EscrowForeign]);
}

#[test]
fn an_account_that_does_not_allow_the_mode_does_not_pay() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened_as(escrow(), target(), EscrowCaps { modes: 2, ..caps() }, 1_000_000);
    assert_eq!(waits(&world.acknowledged(&job, registration(1, 1), slot(1, None))), [WaitReason::EscrowCapsExceeded]);
}

#[test]
fn an_output_accepted_before_its_account_that_this_does_not_allow_is_the_consumers_fault() {
    let (mut world, job) = (World::new(), job_id(1));
    world.acknowledged(&job, registration(1, 1), slot(1, None));
    world.output(&job, 1, 0, &[7; 2_000]);
    let events = world.escrow_opened(1_000_000);
    assert_eq!(waits(&events), [WaitReason::EscrowCapsExceeded]);
    world.root_final(&job, 1);
    let events = world.seal(window_end(0) + DEADLINE);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Failed, Fault::Consumer)]);
    assert_eq!(world.reserved(), 0);
}

#[test]
fn the_same_output_again_gets_the_same_answer_without_a_trace() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.output(&job, 1, 0, b"result");
    assert!(world.output(&job, 1, 0, b"result").is_empty());
    let (id, hash) = (world.assignment_id(&job, 1, None), payload_hash(b"result"));
    let settlement_id = world.fulfillment_id(&job, 1, 0);
    assert_eq!(world.partition.output_status(&id, Execution(0), &hash), OutputStatus::Accepted { settlement_id, tx: None });
    world.included(4, vec![settlement_id]);
    assert_eq!(world.partition.output_status(&id, Execution(0), &hash), OutputStatus::Accepted { settlement_id, tx: Some(tx(4)) });
}

#[test]
fn another_output_of_one_execution_is_an_equivocation_seen_once_per_payload() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.output(&job, 1, 0, b"one");
    assert_eq!(names(&world.output(&job, 1, 0, b"two")), ["Equivocated"]);
    assert!(world.output(&job, 1, 0, b"two").is_empty());
    assert_eq!(names(&world.output(&job, 1, 0, b"three")), ["Equivocated"]);
    let id = world.assignment_id(&job, 1, None);
    let status = world.partition.output_status(&id, Execution(0), &payload_hash(b"two"));
    assert!(matches!(status, OutputStatus::Refused(_)));
}

#[test]
fn an_output_with_another_keys_signature_leaves_no_trace() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 2, 1);
    let genuine = world.signed(&job, 1, 0, b"result");
    let forged = Output { signature: sign(&signer_key(processor(2)), &genuine), ..genuine };
    assert!(world.submit(forged).is_empty());
    assert_eq!(world.reserved(), 2 * SHARE);
}

#[test]
fn an_output_for_no_execution_of_the_assignment_is_refused() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 2);
    assert_eq!(names(&world.output(&job, 1, 2, b"result")), ["OutputRefused"]);
}

#[test]
fn an_output_that_is_too_large_is_refused_and_nothing_is_reserved() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    assert_eq!(names(&world.output(&job, 1, 0, &[0; 1_025])), ["OutputRefused"]);
    assert_eq!(world.reserved(), SHARE);
    assert_eq!(names(&world.output(&job, 1, 0, &[0; 1_024])), ["OutputAccepted", "FulfillmentPlanned"]);
}

#[test]
fn an_output_after_the_outcome_is_refused() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 3);
    world.seal(window_end(0));
    assert_eq!(names(&world.output(&job, 1, 0, b"missed already")), ["OutputRefused"]);
    world.at(START + INTERVAL);
    world.report(&job, 1, ReportedOutcome::Failure, b"no");
    assert_eq!(names(&world.output(&job, 1, 1, b"failed already")), ["OutputRefused"]);
}

#[test]
fn an_output_before_its_start_is_taken_and_no_window_ends_it() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 2);
    assert_eq!(names(&world.output(&job, 1, 1, b"early")), ["OutputAccepted", "FulfillmentPlanned"]);
    assert_eq!(outcomes(&world.seal(window_end(1))), [(1, 0, 1, Outcome::Missed, Fault::Processor)]);
}

#[test]
fn a_failure_reported_after_the_output_changes_nothing() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.at(START);
    world.output(&job, 1, 0, b"result");
    assert!(outcomes(&world.report(&job, 1, ReportedOutcome::Failure, b"oops")).is_empty());
}

#[test]
fn an_output_for_an_unknown_assignment_decides_nothing() {
    let mut world = World::funded();
    let output = Output { assignment_id: AssignmentId([1; 32]), execution: Execution(0), payload: Bytes(vec![]), signature: Bytes(vec![]) };
    assert!(world.submit(output.clone()).is_empty());
    assert_eq!(world.partition.output_status(&output.assignment_id, Execution(0), &payload_hash(b"")), OutputStatus::Unknown);
}

#[test]
fn a_reorg_takes_an_inclusion_back_and_the_next_one_counts() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    world.included(1, vec![id]);
    let orphaned = AttemptOrphaned { slot: Slot(0), tx: tx(1), items: vec![id] };
    assert_eq!(names(&world.lane(orphaned)), ["SettlementRewound"]);
    assert_eq!(names(&world.included(2, vec![id])), ["SettlementIncluded"]);
    let elsewhere = AttemptOrphaned { slot: Slot(0), tx: tx(1), items: vec![id] };
    assert!(world.lane(elsewhere).is_empty(), "another attempt's block went away");
}

#[test]
fn an_attempt_that_missed_its_effect_costs_the_operator_and_the_next_one_settles() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    let reverted = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::NoEffect, 0, 0, 333)]);
    assert!(names(&reverted).is_empty(), "only postings: {reverted:?}");
    assert_eq!(world.reserved(), SHARE + MAX_CHARGE, "held until its charge or its end is final");
    let events = world.slot_final(2, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 500, 100, 400)]);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Fulfilled, Fault::Nobody)]);
    let state = world.job(&job);
    let loss = state.ledger.overdrawn(Book::Signer, LedgerAccountKind::Margin, Some(key_of(&job)));
    assert_eq!((state.money.cost, state.money.spent, loss), (Amount(783), Amount(600), Amount(183)));
}

#[test]
fn a_dead_intent_gives_the_money_back_and_fails_its_execution_when_its_time_is_over() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    let dead = IntentDead { settlement_id: id, reason: "past notAfter".into(), fault: Fault::Chain };
    let events = world.lane(dead);
    assert_eq!(names(&events), ["SettlementDead"], "until notAfter it may be planned anew");
    assert_eq!(world.reserved(), SHARE);
    let events = world.seal(window_end(0) + DEADLINE);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Failed, Fault::Chain)]);
    assert_eq!(world.reserved(), 0, "nothing is left that the root could prove, so its share comes back too");
}

fn lost(world: &mut World, id: SettlementId, charge: u128, root_share: u128) -> EffectLost {
    let (was, block) = (world.block(evm()), world.block(evm()));
    let (charge, root_share) = (Amount(charge), Amount(root_share));
    EffectLost { settlement_id: id, slot: Slot(1), tx: tx(1), was, block, escrow_id: Some(escrow()), charge, root_share }
}

#[test]
fn an_effect_that_finality_took_back_gives_the_account_its_charge_back_and_reverses_the_receipt() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 700, 120, 650)]);
    assert_eq!(world.free(), 1_000_000 - 820);
    let event = lost(&mut world, id, 700, 120);
    let events = world.lane(event);
    assert_eq!(names(&events), ["SettlementReversed"]);
    assert_eq!(world.free(), 1_000_000);
    world.partition.account(&escrow()).unwrap().ledger.check().unwrap();
}

#[test]
fn so_it_does_when_the_job_is_closed_since() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 700, 120, 650)]);
    world.seal(window_end(0));
    assert!(!world.is_open(&job));
    let event = lost(&mut world, id, 700, 120);
    assert_eq!(names(&world.lane(event)), ["SettlementReversed"]);
    assert_eq!(world.free(), 1_000_000);
}

#[test]
fn a_reversal_of_more_than_the_ledger_spent_is_an_alarm_and_moves_nothing() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    let id = world.root_id(&job, 1);
    let free = world.free();
    let event = lost(&mut world, id, 700, 120);
    assert_eq!(names(&world.lane(event)), ["SettlementReversed", "LedgerDiffers"]);
    assert_eq!(world.free(), free);
}

#[test]
fn a_dead_root_fails_what_waits_and_what_comes_when_its_time_is_over() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(SHARE);
    world.acknowledged(&job, registration(1, 2), slot(1, None));
    world.output(&job, 1, 0, b"waits for money");
    let id = world.root_id(&job, 1);
    let events = world.lane(IntentDead { settlement_id: id, reason: "attesters refused".into(), fault: Fault::Relayer });
    assert_eq!(names(&events), ["SettlementDead"]);
    assert_eq!(world.free(), SHARE);
    let events = world.output(&job, 1, 1, b"comes later");
    assert_eq!(outcomes(&events), []);
    let events = world.seal(window_end(1) + DEADLINE);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Failed, Fault::Relayer), (1, 1, 1, Outcome::Failed, Fault::Relayer)]);
}

#[test]
fn an_effect_found_on_the_chain_settles_and_raises_an_alarm_about_its_charge() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let (id, block) = (world.fulfillment_id(&job, 1, 0), world.block(evm()));
    let events = world.lane(EffectFound { settlement_id: id, success: true, tx: None, block });
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Fulfilled, Fault::Nobody)]);
    assert_eq!(differs(&events), 1);
}

#[test]
fn a_returned_intent_stays_planned() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    assert!(world.lane(IntentReturned { settlement_id: id, times: 1, reason: "skipped".into() }).is_empty());
    assert_eq!(world.reserved(), SHARE + MAX_CHARGE);
}

#[test]
fn a_root_that_lands_after_the_start_is_marked_late_on_what_it_proves() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.at(START + 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    let events = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 1, 1, 1)]);
    let JobsEvent::SettlementFinal(settled) = &events[0] else { panic!("{events:?}") };
    assert!(settled.late_root);
}

#[test]
fn an_unused_root_gives_its_share_back_when_the_job_ends() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    assert_eq!(names(&world.seal(window_end(0))), ["ExecutionEnded", "JobDone"], "the root is still on its way");
    assert_eq!(world.reserved(), SHARE);
    assert_eq!(names(&world.root_final(&job, 1)), ["SettlementFinal", "JobClosed"]);
    assert_eq!((world.free(), world.reserved()), (1_000_000, 0));
}

#[test]
fn one_transaction_for_two_jobs_is_split_and_compared_once() {
    let mut world = World::funded();
    let jobs = [job_id(1), job_id(2)];
    for job in &jobs {
        world.assigned(job, 1, 1);
        world.root_final(job, 1);
        world.output(job, 1, 0, b"result");
    }
    let items: Vec<_> = jobs.iter().map(|job| item(world.fulfillment_id(job, 1, 0), ItemOutcome::Settled, 300, 50, 100)).collect();
    // The last reports came, so each job closes with its delivery, before the other one is told.
    world.at(START);
    for job in &jobs {
        world.report(job, 1, ReportedOutcome::Success, b"done");
    }
    let honest = world.slot_final(1, Purpose::Fulfill, items);
    assert_eq!((differs(&honest), outcomes(&honest).len()), (0, 2));
    assert!(jobs.iter().all(|job| !world.is_open(job)));
    assert_eq!(world.free(), 1_000_000 - 700);
}

#[test]
fn a_contract_that_says_another_sum_than_its_items_is_an_alarm() {
    let mut world = World::funded();
    let jobs = [job_id(1), job_id(2)];
    for job in &jobs {
        world.assigned(job, 1, 1);
        world.root_final(job, 1);
        world.output(job, 1, 0, b"result");
    }
    let items: Vec<_> = jobs.iter().map(|job| item(world.fulfillment_id(job, 1, 0), ItemOutcome::Settled, 300, 50, 100)).collect();
    let charges = vec![AccountCharge { escrow_id: escrow(), items: Amount(601), root_shares: Amount(100) }];
    let event = world.slot_event(1, Purpose::Fulfill, items, charges);
    assert_eq!(differs(&world.lane(event)), 1);
}

#[test]
fn a_charge_beyond_the_reservation_is_an_alarm_and_never_overdraws() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(SHARE + MAX_CHARGE + 5);
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    let events = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, MAX_CHARGE + 9, 0, 1)]);
    assert_eq!(differs(&events), 1);
    let account = world.partition.account(&escrow()).unwrap();
    account.ledger.check().unwrap();
    assert_eq!(account.spent(), Amount(MAX_CHARGE + 5));
}

#[test]
fn a_no_op_costs_the_operator_and_no_job() {
    let mut world = World::funded();
    let mut event = world.slot_event(1, Purpose::NoOp, vec![], vec![]);
    event.cost = Amount(42);
    world.lane(event);
    let book = &world.partition.lane(&lane()).unwrap().ledger;
    assert_eq!(book.held(Book::Signer, LedgerAccountKind::SignerCost, None), Amount(42));
    assert_eq!(book.overdrawn(Book::Signer, LedgerAccountKind::Margin, None), Amount(42));
    book.check().unwrap();
}

#[test]
fn a_refund_is_booked_as_far_as_free_and_the_rest_when_reservations_end() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(5_000);
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    world.close_requested();
    // On the chain the delivery was charged 600 before the refund; the lane says so only later.
    let events = world.refunded(4_400);
    assert_eq!((names(&events), differs(&events)), (vec!["AccountRefunded"], 0));
    assert_eq!(world.free(), 0);
    let id = world.fulfillment_id(&job, 1, 0);
    let events = world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 500, 100, 1)]);
    assert_eq!(differs(&events), 0);
    let account = world.partition.account(&escrow()).unwrap();
    assert_eq!((account.free(), account.owed, account.spent()), (Amount(0), Amount(0), Amount(600)));
    assert_eq!((account.brought_in(), account.refunded_amount()), (Amount(5_000), Amount(4_400)));
}

#[test]
fn a_refund_of_another_sum_than_the_ledger_had_is_an_alarm() {
    let mut world = World::new();
    world.escrow_opened(5_000);
    world.close_requested();
    assert_eq!(differs(&world.refunded(4_999)), 1);
}

#[test]
fn what_the_opener_revoked_is_not_delivered_any_more() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(SHARE);
    world.acknowledged(&job, registration(1, 2), slot(1, None));
    world.output(&job, 1, 0, b"waits for money");
    let (meta, assignment_id) = (world.meta(), world.assignment_id(&job, 1, None));
    let revoked = AssignmentRevoked { meta, escrow_id: escrow(), owner: owner(), assignment_id };
    let events = world.dest_fact(revoked.clone());
    assert_eq!(names(&events), ["RevokedByOpener", "ExecutionEnded"]);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Failed, Fault::Consumer)]);
    assert!(world.dest_fact(revoked).is_empty());
    assert_eq!(outcomes(&world.output(&job, 1, 1, b"later")), [(1, 1, 1, Outcome::Failed, Fault::Consumer)]);
}

#[test]
fn a_job_that_no_lane_serves_says_so_and_goes_on_once_one_does() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.registered(&job, registration(1, 1));
    let served = std::mem::take(&mut world.policy.settlements);
    assert_eq!(waits(&world.acknowledged(&job, registration(1, 1), slot(1, None))), [WaitReason::LaneMissing]);
    world.policy.settlements = served;
    assert_eq!(names(&world.seal(2_000)), ["LeafPlanned"]);
}

#[test]
fn the_view_of_a_job_shows_states_money_and_reasons() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(SHARE);
    world.acknowledged(&job, registration(1, 2), slot(1, None));
    world.output(&job, 1, 0, b"waits for money");
    let view = world.partition.view(&key_of(&job)).unwrap();
    assert_eq!((view.state, view.job.as_str()), ("ASSIGNED", job.to_string().as_str()));
    assert_eq!(view.waits, [WaitReason::EscrowTooSmall]);
    assert_eq!((view.reserved, view.escrow.unwrap().free), (Amount(SHARE), Amount(0)));
}
