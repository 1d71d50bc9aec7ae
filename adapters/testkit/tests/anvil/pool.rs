//! The pool and the lane's own slots: lost answers, evictions, foreign transactions, poison.

use crate::driver::Driver;
use crate::fees::{plan, with_root};
use crate::workload::{poison, workload};
use acurast_adapter_testkit::{Fault, PlanChange};
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{LanesEvent, SlotOutcome};
use serde_json::json;

/// Every request of this method meets this fault; none when absent.
pub fn only(driver: &Driver, fault: Option<(Fault, &str)>) {
    let change = match fault {
        None => PlanChange { faults_permille: Some(0), ..PlanChange::default() },
        Some((fault, method)) => PlanChange {
            faults_permille: Some(1_000),
            faults: Some(vec![fault.name().to_owned()]),
            methods: Some([method.to_owned()].into()),
            ..PlanChange::default()
        },
    };
    driver.proxy.set(change).unwrap();
}

const SEND: &str = "eth_sendRawTransaction";

#[tokio::test]
async fn a_send_whose_answer_is_lost_is_sent_again_and_known_already() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.mining = false;
    only(&driver, Some((Fault::DropAnswer, SEND)));
    driver.until(5, "it was sent without an answer", |driver| driver.proxy.counts().of("drop-answer") > 0).await;
    only(&driver, None);
    let before = driver.proxy.counts().requests[SEND];
    driver.until(8, "it was sent again", |driver| driver.proxy.counts().requests[SEND] > before).await;
    assert_eq!(driver.chain.waiting().await, 1, "the same bytes twice are one transaction");
    driver.mining = true;
    driver.settle(20).await;
    driver.assert_sound().await;
    assert_eq!(driver.attempts_of(1).len(), 1, "the same bytes");
}

#[tokio::test]
async fn a_slot_too_low_after_our_own_inclusion_is_no_loss() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    only(&driver, Some((Fault::DropAnswer, SEND)));
    driver.until(5, "it was sent without an answer", |driver| driver.proxy.counts().of("drop-answer") > 0).await;
    only(&driver, None);
    // It is mined; a relayer that starts now sends it again.
    driver.restart();
    driver.settle(20).await;
    driver.assert_sound().await;
    assert_eq!((driver.attempts_of(1).len(), driver.settled().await), (1, 1));
}

#[tokio::test]
async fn a_duplicated_send_has_one_effect() {
    let Some(mut driver) = Driver::start().await else { return };
    only(&driver, Some((Fault::Duplicate, SEND)));
    driver.jobs = workload(&driver.world, 1);
    driver.settle(40).await;
    driver.assert_sound().await;
    assert!(driver.proxy.counts().of("duplicate") >= 2);
    assert_eq!(driver.settled().await, 3);
}

#[tokio::test]
async fn a_dropped_transaction_is_sent_again() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.mining = false;
    driver.until(5, "it was sent", |driver| driver.attempts_of(1).len() == 1).await;
    let sent = driver.attempts_of(1)[0].tx;
    driver.chain.rpc("anvil_dropTransaction", json!([sent])).await;
    assert_eq!(driver.chain.waiting().await, 0);
    driver.mining = true;
    driver.settle(30).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 1);
}

#[tokio::test]
async fn a_pool_that_forgets_everything_for_a_while_loses_nothing() {
    let Some(mut driver) = Driver::start().await else { return };
    driver.jobs = workload(&driver.world, 2);
    driver.mining = false;
    for _ in 0..15 {
        driver.tick().await;
        driver.chain.rpc("anvil_dropAllTransactions", json!([])).await;
    }
    assert_eq!(driver.chain.mined().await, 0);
    assert!(driver.count("AttemptEnded") > 0, "nothing counted as evicted\n{}", driver.dump());
    driver.mining = true;
    driver.settle(40).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 6);
}

#[tokio::test]
async fn a_foreign_transaction_in_our_slot_quarantines_the_lane_and_ends_the_slot() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.mining = false;
    driver.until(5, "it was sent", |driver| driver.attempts_of(1).len() == 1).await;
    let signer = driver.adapter.signer().to_string();
    // The key is used elsewhere, at the same nonce and a price that replaces ours.
    let foreign =
        json!([{ "from": signer, "to": signer, "nonce": "0x1", "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x174876e800" }]);
    driver.chain.rpc("eth_sendTransaction", foreign).await;
    driver.mining = true;
    driver.until(30, "the slot is final", |driver| driver.finals().len() == 2).await;
    driver.ticks(5).await;
    assert_eq!(driver.finals()[1].outcome, SlotOutcome::Foreign);
    assert!(driver.lane.status().quarantine.is_some());
    assert!(driver.lane.status().open_slots.is_empty());
    // Nothing new is signed, whatever waits.
    let signed = driver.attempts().len();
    plan(&mut driver, 1, 1..3);
    driver.ticks(5).await;
    assert_eq!((driver.attempts().len(), driver.chain.mined().await, driver.settled().await), (signed, 2, 0));
}

#[tokio::test]
async fn a_poison_item_dies_alone_and_the_others_settle() {
    let Some(mut driver) = with_root(2).await else { return };
    plan(&mut driver, 1, 0..2);
    let bad = poison(&driver.world, 2, 0);
    let id = bad.settlement_id;
    driver.jobs.push(JobsEvent::FulfillmentPlanned(bad));
    plan(&mut driver, 2, 1..2);
    driver.settle(60).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 3);
    let dead: Vec<_> =
        driver.events().filter_map(|event| if let LanesEvent::IntentDead(dead) = event { Some(dead) } else { None }).collect();
    assert!(dead.len() == 1 && dead[0].settlement_id == id && dead[0].reason.contains("InvalidSignature"), "{dead:?}");
    assert!(driver.finals().iter().all(|slot| slot.outcome == SlotOutcome::Success), "nothing reverted on the chain");
}

#[tokio::test]
async fn a_hole_in_the_pool_is_filled_before_what_waits_behind_it() {
    let Some(mut driver) = with_root(2).await else { return };
    driver.mining = false;
    // Two batches in two slots; the pool forgets the first.
    for n in 1..=2 {
        plan(&mut driver, n, 0..3);
    }
    driver.until(10, "both slots are taken", |driver| !driver.attempts_of(1).is_empty() && !driver.attempts_of(2).is_empty()).await;
    driver.chain.rpc("anvil_dropTransaction", json!([driver.attempts_of(1)[0].tx])).await;
    driver.mining = true;
    driver.settle(40).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 6);
}
