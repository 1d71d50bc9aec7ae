//! A node, or the way to it, that fails: for single requests, for a while, in all ways at once.

use crate::driver::Driver;
use crate::fees::{plan, with_root};
use crate::workload::workload;
use acurast_adapter_testkit::{Mode, PlanChange};
use acurast_events::lanes::{AttemptEnd, LanesEvent};
use std::collections::BTreeSet;
use std::time::Duration;

/// Slow enough that a breaker that opened for a moment closes within some steps.
const BREAKER_PACE: Duration = Duration::from_millis(25);

fn all(driver: &Driver, faults: &[&str], permille: u16) {
    let names = faults.iter().map(|&name| name.to_owned()).collect();
    let change = PlanChange {
        faults_permille: Some(permille),
        faults: Some(names),
        delay_ms_max: Some(5),
        retry_after_seconds: Some(0),
        ..PlanChange::default()
    };
    driver.proxy.set(change).unwrap();
}

#[tokio::test]
async fn a_fifth_of_all_requests_may_fail_in_any_way_with_reorgs_and_drops_beside() {
    let (mut requests, mut faults, mut kinds) = (0, 0, BTreeSet::new());
    for seed in 1..=3 {
        let Some(world) = Driver::world().await else { return };
        let mut driver = Driver::seeded(world, seed, |_| {}).await;
        driver.jobs = workload(&driver.world, 4);
        all(&driver, &["all"], 200);
        driver.pace = BREAKER_PACE;
        for step in 0u32..40 {
            driver.tick().await;
            match step % 10 {
                4 => driver.world.anvil.reorg(2).await,
                9 => drop(driver.chain.rpc("anvil_dropAllTransactions", serde_json::json!([])).await),
                _ => {}
            }
        }
        driver.settle(400).await;
        driver.assert_sound().await;
        assert_eq!(driver.settled().await, 12, "seed {seed}");
        let counts = driver.proxy.counts();
        requests += counts.requests_total();
        faults += counts.faults_total();
        kinds.extend(counts.faults.keys().copied());
    }
    assert!(faults * 100 > requests * 15 && faults > 100, "{faults} of {requests} requests met a fault");
    assert!(kinds.len() >= 9, "{kinds:?}");
}

#[tokio::test]
async fn answers_without_sense_decide_nothing() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.mining = false;
    driver.until(5, "it was sent", |driver| driver.attempts_of(1).len() == 1).await;
    driver.policy.fee.bump_after = acurast_events::units::Millis(1_000_000);
    for fault in ["truncate", "wrong-type", "huge-number", "wrong-id"] {
        all(&driver, &[fault], 1_000);
        let before = driver.journal.len();
        driver.ticks(6).await;
        assert_eq!(driver.journal.len(), before, "{fault}: {}", driver.dump());
        assert!(driver.proxy.counts().of(fault) > 0);
    }
    all(&driver, &["all"], 0);
    driver.mining = true;
    driver.settle(30).await;
    driver.assert_sound().await;
    assert_eq!(driver.attempts_of(1).len(), 1);
}

#[tokio::test]
async fn a_node_that_is_gone_for_a_while_is_no_missing_transaction() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..2);
    driver.mining = false;
    driver.until(5, "it was sent", |driver| driver.attempts_of(1).len() == 1).await;
    driver.proxy.set(Mode::Dead).unwrap();
    driver.pace = BREAKER_PACE;
    let before = driver.journal.len();
    driver.ticks(12).await;
    assert_eq!(driver.journal.len(), before, "{}", driver.dump());
    assert_eq!(driver.chain.waiting().await, 1, "the pool had it all the time");
    driver.proxy.set(Mode::Sound).unwrap();
    driver.mining = true;
    driver.settle(150).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 2);
    let evicted = driver.events().filter(|event| matches!(event, LanesEvent::AttemptEnded(ended) if ended.end == AttemptEnd::Evicted));
    assert_eq!(evicted.count(), 0, "{}", driver.dump());
}

#[tokio::test]
async fn a_frozen_head_that_answers_ends_nothing_and_doubles_nothing() {
    let Some(mut driver) = Driver::start().await else { return };
    driver.jobs = workload(&driver.world, 2);
    driver.ticks(4).await;
    driver.proxy.set(Mode::Frozen).unwrap();
    let finals = driver.finals().len();
    driver.ticks(12).await;
    assert_eq!(driver.finals().len(), finals, "something became final on a head that stands still");
    driver.proxy.set(Mode::Sound).unwrap();
    driver.settle(40).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 6);
}

#[tokio::test]
async fn a_lagging_peer_behind_the_same_address_delays_and_harms_nothing() {
    let Some(mut driver) = Driver::start().await else { return };
    driver.jobs = workload(&driver.world, 2);
    all(&driver, &["stale-head"], 500);
    driver.until(120, "it told stale heads", |driver| driver.proxy.counts().of("stale-head") > 5 || driver.finals().len() == 3).await;
    assert!(driver.proxy.counts().of("stale-head") > 2, "{:?}", driver.proxy.counts());
    all(&driver, &["all"], 0);
    driver.settle(40).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 6);
}

#[tokio::test]
async fn a_node_that_lies_for_a_while_brings_about_no_second_effect() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.until(10, "it is in a block", |driver| driver.count("AttemptIncluded") == 2).await;
    driver.proxy.set(Mode::Lying).unwrap();
    driver.ticks(10).await;
    driver.proxy.set(Mode::Sound).unwrap();
    driver.settle(60).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 1);
}
