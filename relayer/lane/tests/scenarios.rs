//! What is known to go wrong with relayers, by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_adapter_api::{SendOutcome, Simulation};
use acurast_events::amount::Amount;
use acurast_events::bytes::SettlementId;
use acurast_events::ids::{fulfillment_settlement_id, root_settlement_id};
use acurast_events::jobs::{Fault, JobsEvent};
use acurast_events::lanes::{AttemptEnd, AttemptPrepared, LanesEvent, Purpose, SlotOutcome};
use acurast_events::units::{BlockNumber, Execution, Millis, Slot};
use acurast_relayer_lane::{Action, CallKey, LaneInput};
use support::shell::Shell;
use support::{GWEI, START, assignment, leaf, output, workload};

const FAR: u64 = START + 10_000_000;

fn id(n: u8, execution: u64) -> SettlementId {
    fulfillment_settlement_id(&assignment(n), Execution(execution))
}

fn one() -> Vec<JobsEvent> {
    vec![JobsEvent::LeafPlanned(leaf(1, FAR)), JobsEvent::FulfillmentPlanned(output(1, 0, FAR))]
}

fn attempts(shell: &Shell) -> Vec<&AttemptPrepared> {
    shell.events().filter_map(|event| if let LanesEvent::AttemptPrepared(event) = event { Some(event) } else { None }).collect()
}

fn dead(shell: &Shell) -> Vec<(SettlementId, Fault, String)> {
    let dead = |event: &LanesEvent| match event {
        LanesEvent::IntentDead(event) => Some((event.settlement_id, event.fault, event.reason.clone())),
        _ => None,
    };
    shell.events().filter_map(dead).collect()
}

/// Runs until the root is final and no output was sent yet.
fn with_root(jobs: Vec<JobsEvent>) -> Shell {
    let (leaves, outputs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|event| matches!(event, JobsEvent::LeafPlanned(_)));
    let mut shell = Shell::new(1, leaves);
    shell.ticks(12);
    assert_eq!(shell.chain.roots(), 1);
    shell.jobs.extend(outputs);
    shell
}

#[test]
fn a_workload_confirms_at_the_first_price() {
    let mut shell = Shell::new(1, workload(3, FAR));
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 6);
    assert!(attempts(&shell).iter().all(|attempt| attempt.attempt == 0), "something was replaced");
    assert_eq!(shell.chain.roots(), 1, "three leaves share a root");
    assert_eq!(shell.finals().len(), 3, "a root and two batches of outputs");
}

#[test]
fn a_transaction_that_is_not_mined_confirms_after_a_bump() {
    let mut shell = with_root(one());
    shell.chain.mine_priority_min = 2 * GWEI;
    shell.ticks(60);
    shell.assert_sound();
    let bids: Vec<u128> = attempts(&shell).iter().filter(|a| a.slot == Slot(1)).map(|a| a.fee.max_priority_fee.0).collect();
    assert!(bids.len() > 1 && bids.windows(2).all(|pair| pair[1] * 1_000 >= pair[0] * 1_125), "{bids:?}");
    assert_eq!(shell.chain.settled().len(), 1);
}

#[test]
fn an_older_cheaper_attempt_that_gets_mined_settles_the_intent() {
    let mut shell = with_root(one());
    shell.chain.mine_priority_min = 100 * GWEI;
    shell.ticks(10);
    let sent: Vec<_> = attempts(&shell).into_iter().filter(|a| a.slot == Slot(1)).cloned().collect();
    assert!(sent.len() > 1, "nothing was replaced");
    // Another node's pool still has the first one, and its miner takes it.
    shell.chain.evict();
    shell.chain.mine_priority_min = 0;
    assert_eq!(shell.chain.broadcast(&sent[0].bytes), SendOutcome::Accepted);
    shell.chain.mine();
    shell.ticks(10);
    shell.assert_sound();
    assert_eq!(shell.finals()[1].tx, sent[0].tx);
    let replaced = shell.events().filter(|event| matches!(event, LanesEvent::AttemptEnded(e) if e.end == AttemptEnd::Replaced)).count();
    assert_eq!(replaced, sent.len() - 1);
}

#[test]
fn a_bump_that_a_strict_node_refuses_is_followed_by_a_larger_one() {
    let mut shell = with_root(one());
    shell.chain.replacement_permille = 1_300;
    shell.chain.mine_priority_min = 2 * GWEI;
    shell.ticks(60);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 1);
}

#[test]
fn bytes_that_a_node_knows_are_accepted_as_sent() {
    let mut shell = with_root(one());
    shell.chain.mine_priority_min = 100 * GWEI;
    shell.tick();
    let before = shell.chain.broadcasts;
    shell.restart();
    shell.tick();
    assert_eq!(shell.chain.broadcasts, before + 1, "recovery sends again what isn't final");
    shell.chain.mine_priority_min = 0;
    shell.ticks(20);
    shell.assert_sound();
    assert_eq!(attempts(&shell).iter().filter(|attempt| attempt.slot == Slot(1)).count(), 1);
}

#[test]
fn a_slot_too_low_after_our_own_inclusion_is_no_loss() {
    let mut shell = with_root(one());
    // The answer to the first send is lost, and the transaction mined before it is sent again.
    shell.chain.lose_answers = 1;
    shell.ticks(20);
    shell.assert_sound();
    assert_eq!(attempts(&shell).iter().filter(|attempt| attempt.slot == Slot(1)).count(), 1);
}

#[test]
fn an_evicted_transaction_is_sent_again_and_its_ladder_restarts() {
    let mut shell = with_root(one());
    shell.chain.mine_priority_min = 100 * GWEI;
    shell.ticks(12);
    let highest = attempts(&shell).iter().map(|a| a.fee.max_priority_fee.0).max().unwrap();
    // The pool drops everything, also what it has just taken; then it is itself again.
    shell.chain.forgetful = true;
    shell.ticks(15);
    assert!(shell.events().any(|event| matches!(event, LanesEvent::AttemptEnded(e) if e.end == AttemptEnd::Evicted)));
    shell.chain.forgetful = false;
    shell.chain.mine_priority_min = 0;
    shell.ticks(20);
    shell.assert_sound();
    let last = shell.finals()[1].tx;
    let mined = attempts(&shell).into_iter().find(|attempt| attempt.tx == last).unwrap();
    assert!(mined.fee.max_priority_fee.0 < highest, "the ladder went on instead of starting anew");
}

#[test]
fn a_receipt_that_vanishes_before_finality_is_orphaned_and_comes_back() {
    let mut shell = with_root(one());
    shell.ticks(3);
    assert_eq!(shell.chain.settled().len(), 1);
    assert!(shell.count("AttemptIncluded") >= 2);
    shell.chain.reorg(3, false);
    assert!(shell.chain.settled().is_empty());
    shell.ticks(25);
    shell.assert_sound();
    assert!(shell.count("AttemptOrphaned") >= 1);
    assert_eq!(shell.chain.settled().len(), 1);
}

#[test]
fn a_reorg_brings_root_and_outputs_back_in_their_order() {
    let mut shell = Shell::new(3, workload(3, FAR));
    while shell.chain.settled().is_empty() {
        shell.tick();
    }
    // Root and outputs vanish together.
    shell.chain.reorg(10, false);
    assert!(shell.chain.settled().is_empty());
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!((shell.chain.settled().len(), shell.chain.reverted()), (6, 0));
}

#[test]
fn a_crash_between_commit_and_send_sends_after_the_restart() {
    let mut shell = with_root(one());
    // Boundaries of the next tick: two of the intent's record, two of the attempt's, then the one before the send.
    while attempts(&shell).len() < 2 {
        shell.crash_at = None;
        shell.tick();
    }
    let shell_with_crash = |offset: u64| {
        let mut shell = with_root(one());
        shell.crash_at = Some(shell.boundaries + offset);
        shell.ticks(30);
        assert_eq!(shell.crashes, 1);
        shell.assert_sound();
        shell
    };
    let crashed = shell_with_crash(4);
    assert_eq!(attempts(&crashed).len(), 2, "the journaled attempt is sent, not signed anew");
    assert_eq!(crashed.chain.settled().len(), 1);
}

#[test]
fn a_foreign_transaction_after_our_slots_quarantines_the_lane() {
    let mut shell = with_root(one());
    shell.jobs.truncate(1);
    shell.chain.foreign(1);
    shell.chain.mine();
    shell.jobs.push(JobsEvent::FulfillmentPlanned(output(1, 0, START + 60_000)));
    shell.ticks(80);
    assert_eq!(shell.count("LaneQuarantined"), 1);
    assert_eq!(attempts(&shell).len(), 1, "something new was signed");
    assert_eq!(dead(&shell).iter().map(|(id, fault, _)| (*id, *fault)).collect::<Vec<_>>(), [(id(1, 0), Fault::Relayer)]);
}

#[test]
fn a_foreign_transaction_in_our_slot_quarantines_the_lane_and_ends_the_slot() {
    let mut shell = with_root(one());
    shell.chain.mine_priority_min = 100 * GWEI;
    shell.ticks(2);
    assert_eq!(shell.chain.pool.len(), 1);
    let hash = shell.chain.foreign(1);
    shell.ticks(40);
    let last = shell.finals().pop().unwrap().clone();
    assert_eq!((last.slot, last.outcome, last.tx), (Slot(1), SlotOutcome::Foreign, hash));
    let quarantine = shell.lane.status().quarantine.expect("quarantined");
    assert!(quarantine.reason.contains("foreign transaction") && quarantine.tx == Some(hash), "{}", quarantine.reason);
    assert_eq!(shell.count("IntentReturned"), 1, "the output waits for an operator");
}

#[test]
fn an_effect_that_somebody_else_brought_about_is_found_not_sent_again() {
    let mut shell = with_root(one());
    shell.chain.hidden_poison.insert(id(1, 0));
    while shell.chain.reverted() == 0 {
        shell.tick();
    }
    shell.chain.settle_foreign(id(1, 0));
    shell.ticks(20);
    shell.assert_sound();
    assert_eq!(shell.count("EffectFound"), 1);
    assert_eq!(attempts(&shell).len(), 2);
}

#[test]
fn a_named_poison_item_dies_alone_and_the_others_go_on_at_once() {
    let mut shell = with_root(workload(2, FAR));
    shell.chain.poison.insert(id(1, 1), true);
    shell.ticks(2);
    assert_eq!(shell.chain.settled().len(), 3, "the others waited for the poison item");
    shell.ticks(40);
    shell.assert_sound();
    let dead = dead(&shell);
    assert_eq!((dead.len(), dead[0].0, dead[0].1), (1, id(1, 1), Fault::Relayer));
    assert!(dead[0].2.contains("poison"), "{}", dead[0].2);
    assert_eq!(shell.chain.reverted(), 0);
}

#[test]
fn a_node_that_lacks_the_root_condemns_no_output() {
    let mut shell = Shell::new(1, one());
    shell.chain.finality_depth = 30;
    shell.ticks(3);
    assert_eq!((shell.chain.roots(), shell.finals().len()), (1, 0), "the root is in a block and not final");
    shell.chain.break_finality(2, false);
    shell.chain.stalled = true;
    let call = CallKey { purpose: Purpose::Fulfill, batch: None, items: vec![id(1, 0)] };
    for _ in 0..20 {
        let result = Simulation::Reverts { item: Some(0), reason: "UnknownRoot".into() };
        shell.feed(&LaneInput::Simulated { call: call.clone(), result }).unwrap_or_else(|_| panic!("no crash was asked for"));
        shell.chain.now += 5_000;
    }
    assert_eq!(dead(&shell), Vec::new());
    shell.chain.stalled = false;
    shell.chain.finality_depth = 4;
    shell.ticks(60);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 1);
}

#[test]
fn a_poison_item_without_a_name_is_bisected() {
    let mut jobs = workload(4, FAR);
    jobs.retain(|event| !matches!(event, JobsEvent::FulfillmentPlanned(output) if output.execution.0 > 1));
    let mut shell = with_root(jobs);
    shell.chain.poison.insert(id(2, 0), false);
    shell.ticks(6);
    assert_eq!(shell.chain.settled().len(), 7);
    // It is condemned only by what executes besides it.
    for execution in 2..4 {
        for n in 1..=4 {
            shell.jobs.push(JobsEvent::FulfillmentPlanned(output(n, execution, FAR)));
            shell.ticks(6);
        }
    }
    shell.ticks(20);
    shell.assert_sound();
    assert_eq!(dead(&shell).len(), 1);
    assert_eq!(shell.chain.settled().len(), 15);
}

#[test]
fn a_contract_that_refuses_everything_condemns_nobody() {
    let mut shell = with_root(workload(2, FAR));
    shell.chain.paused = true;
    shell.ticks(120);
    assert!(dead(&shell).is_empty());
    shell.chain.paused = false;
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 4);
}

#[test]
fn a_batch_that_reverts_on_the_chain_comes_back_item_by_item_and_the_bad_one_is_given_up() {
    let mut shell = with_root(workload(2, FAR));
    shell.chain.hidden_poison.insert(id(2, 1));
    shell.ticks(90);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 3);
    assert_eq!(dead(&shell).len(), 1);
    let returns_max = shell.policy.returns_max as usize;
    assert_eq!(shell.chain.reverted(), 1 + returns_max, "the batch, then the bad item alone, a bounded number of times");
}

#[test]
fn nothing_is_sent_after_not_after() {
    let until = START + 40_000;
    let mut shell = Shell::new(4, workload(3, until));
    shell.attesters_down = true;
    shell.ticks(60);
    shell.attesters_down = false;
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!((dead(&shell).len(), shell.chain.broadcasts), (9, 0), "three leaves and six outputs end unsent");
}

#[test]
fn a_transaction_that_outlives_its_not_after_gives_its_slot_to_a_no_op() {
    let until = START + 40_000;
    let mut jobs = one();
    jobs[1] = JobsEvent::FulfillmentPlanned(output(1, 0, until));
    let mut shell = with_root(jobs);
    shell.chain.mine_priority_min = 4 * GWEI;
    shell.policy.fee.bump_after = acurast_events::units::Millis(1_000_000);
    shell.ticks(40);
    shell.chain.mine_priority_min = 0;
    shell.ticks(20);
    shell.assert_sound();
    assert_eq!(shell.chain.sent_late, 0);
    assert_eq!(attempts(&shell).last().unwrap().purpose, Purpose::NoOp);
    assert_eq!(shell.finals()[1].purpose, Some(Purpose::NoOp));
    assert!(shell.chain.settled().is_empty() && dead(&shell).len() == 1);
}

#[test]
fn at_its_cap_an_item_is_left_out_when_others_wait() {
    let mut cheap = output(1, 0, FAR);
    cheap.caps.max_fee_per_gas = Amount(22 * GWEI);
    let mut shell = with_root(vec![JobsEvent::LeafPlanned(leaf(1, FAR)), JobsEvent::FulfillmentPlanned(cheap)]);
    shell.ticks(2);
    assert_eq!(attempts(&shell).len(), 2);
    shell.chain.reorg(1, true);
    shell.chain.base_fee = 30 * GWEI;
    shell.jobs.push(JobsEvent::FulfillmentPlanned(output(1, 1, FAR)));
    shell.ticks(25);
    assert!(shell.chain.settled().contains_key(&id(1, 1)), "an item at its cap held up another: {:#?}", shell.lane.status());
    shell.chain.base_fee = 8 * GWEI;
    shell.ticks(20);
    shell.assert_sound();
    assert!(shell.chain.settled().contains_key(&id(1, 0)), "what was left out comes back when the price allows");
    assert!(attempts(&shell).iter().any(|attempt| attempt.purpose == Purpose::NoOp));
}

#[test]
fn a_transaction_that_the_node_never_takes_makes_room() {
    let mut shell = with_root(workload(2, FAR));
    shell.chain.reject.insert(id(1, 0));
    shell.ticks(200);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 3);
    assert!(shell.events().any(|event| matches!(event, LanesEvent::AttemptEnded(e) if e.end == AttemptEnd::Rejected)));
}

#[test]
fn a_leaf_that_attesters_refuse_is_left_out_of_the_next_root_and_given_up_alone() {
    let mut shell = Shell::new(5, workload(3, FAR));
    shell.refuse.insert(root_settlement_id(&assignment(2)));
    shell.ticks(40);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 4);
    assert_eq!(dead(&shell).len(), 3, "the leaf and its two outputs");
    assert_eq!(shell.count("RootAbandoned"), 2);
}

#[test]
fn a_root_that_nobody_can_derive_any_more_holds_up_no_other_and_is_planned_anew_at_a_newer_block() {
    let mut shell = Shell::new(5, workload(1, FAR));
    shell.policy.unattested_max = Millis(20_000);
    shell.pruned_below = 1_000;
    shell.ticks(30);
    assert_eq!(shell.chain.roots(), 0);
    assert!(shell.count("RootAbandoned") > 0, "it waits for ever");
    let newer = |mut event: JobsEvent| {
        if let JobsEvent::LeafPlanned(leaf) = &mut event {
            leaf.source.number = BlockNumber(1_500);
        }
        event
    };
    shell.jobs.extend(workload(2, FAR).into_iter().filter(|event| support::is_of(event, 2)).map(newer));
    shell.ticks(60);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 4, "both jobs are settled");
}

#[test]
fn a_balance_that_runs_out_stops_the_lane_until_it_returns() {
    let mut shell = with_root(workload(2, FAR));
    let balance = std::mem::replace(&mut shell.chain.balance, GWEI);
    shell.ticks(20);
    assert!(shell.chain.settled().is_empty() && shell.lane.status().open_slots.is_empty(), "a slot was taken without money");
    shell.chain.balance = balance;
    shell.ticks(20);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 4);
}

#[test]
fn a_frozen_head_stops_nothing_for_good() {
    let mut shell = with_root(workload(2, FAR));
    shell.chain.stalled = true;
    shell.ticks(30);
    shell.chain.stalled = false;
    shell.ticks(30);
    shell.assert_sound();
    assert_eq!(shell.chain.settled().len(), 4);
}

#[test]
fn a_hole_before_an_open_slot_is_filled_with_no_ops_at_the_same_slots() {
    let mut shell = with_root(one());
    let output = shell.jobs[1].clone();
    assert!(shell.feed(&LaneInput::Jobs(output)).is_ok());
    shell.chain.mine();
    let (mut request, call) = loop {
        let action = shell.lane.actions(&shell.policy, &shell.caps, shell.now()).unwrap().remove(0);
        if let Action::Sign { request, call } = action {
            break (request, call);
        }
        let input = shell.run(action).unwrap_or_else(|_| panic!("no crash was asked for"));
        assert!(shell.feed(&input).is_ok());
    };
    // An open slot two above the chain's: what was between is gone, as after a finality that broke.
    request.slot = Slot(3);
    let LaneInput::Signed { request, signed } = shell.sign(request, &call) else { panic!("signed") };
    let attempt = AttemptPrepared {
        slot: request.slot,
        attempt: 0,
        purpose: request.call.purpose,
        batch: None,
        items: request.call.items,
        tx: signed.tx,
        bytes: signed.bytes,
        fee: request.fee,
    };
    let record = (shell.now(), vec![attempt.into()]);
    shell.lane.evolve(record.0, &record.1).unwrap();
    shell.journal.push(record);
    shell.ticks(20);
    shell.restart();
    shell.ticks(20);
    shell.assert_sound();
    let purposes: Vec<_> = shell.finals().iter().map(|slot| (slot.slot.0, slot.purpose.unwrap())).collect();
    assert_eq!(purposes, [(0, Purpose::Root), (1, Purpose::NoOp), (2, Purpose::NoOp), (3, Purpose::Fulfill)]);
    assert_eq!(shell.chain.settled().len(), 1);
}

#[test]
fn no_answer_is_not_a_missing_transaction() {
    let mut shell = with_root(one());
    shell.chain.mine_priority_min = 100 * GWEI;
    shell.policy.fee.bump_after = acurast_events::units::Millis(1_000_000);
    shell.ticks(3);
    // From now on nothing is answered, for long.
    shell.faults = 1;
    shell.ticks(30);
    shell.faults = 0;
    shell.tick();
    assert_eq!(shell.count("AttemptEnded"), 0, "a transaction was given up although nobody said it was missing");
    shell.chain.mine_priority_min = 0;
    shell.ticks(10);
    shell.assert_sound();
    assert_eq!(attempts(&shell).len(), 2);
}

#[test]
fn a_final_block_that_changes_quarantines_the_lane() {
    let mut shell = with_root(one());
    shell.chain.stalled = true;
    shell.tick();
    let mut view = shell.chain.view();
    view.finalized.hash.0[31] ^= 1;
    shell.feed(&LaneInput::View(view)).unwrap_or_else(|_| panic!("no crash was asked for"));
    let quarantine = shell.lane.status().quarantine.expect("quarantined");
    assert!(quarantine.reason.contains("finality broke"), "{}", quarantine.reason);
    assert_eq!(shell.count("Rewound"), 1);
}

#[test]
fn an_intent_that_is_delivered_twice_causes_nothing() {
    let mut shell = Shell::new(6, workload(2, FAR));
    shell.ticks(30);
    let records = shell.journal.len();
    shell.taken = 0;
    shell.ticks(5);
    assert_eq!(shell.journal.len(), records);
    shell.assert_sound();
}

#[test]
fn a_cost_is_split_over_its_items_to_the_last_unit() {
    let mut shell = Shell::new(7, workload(3, FAR));
    shell.chain.base_fee += 7;
    shell.ticks(30);
    shell.assert_sound();
    for slot in shell.finals() {
        let parts: Vec<_> = slot.items.iter().map(|item| item.cost).collect();
        assert_eq!(Amount::checked_sum(parts.iter().copied()), Some(slot.cost));
        assert!(!parts.is_empty() && parts.iter().all(|part| part.0 > 0));
    }
}
