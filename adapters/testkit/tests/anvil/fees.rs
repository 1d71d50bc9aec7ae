//! Prices: bumps, older attempts, spikes, an empty purse.

use crate::driver::Driver;
use crate::workload::{leaf, output, workload};
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{AttemptEnd, LanesEvent};
use acurast_events::units::{Gas, Slot};
use serde_json::json;

pub const GWEI: u128 = 1_000_000_000;

/// A relayer whose root is final and whose outputs were not sent yet.
pub async fn with_root(leaves: u8) -> Option<Driver> {
    let mut driver = Driver::start().await?;
    driver.jobs = (1..=leaves).map(|n| JobsEvent::LeafPlanned(leaf(&driver.world, n))).collect();
    driver.until(30, "the root is final", |driver| driver.finals().len() == 1).await;
    Some(driver)
}

pub fn plan(driver: &mut Driver, n: u8, executions: std::ops::Range<u64>) {
    let world = driver.world.clone();
    driver.jobs.extend(executions.map(|execution| JobsEvent::FulfillmentPlanned(output(&world, n, execution))));
}

#[tokio::test]
async fn a_workload_confirms_at_the_first_price() {
    let Some(mut driver) = Driver::start().await else { return };
    driver.jobs = workload(&driver.world, 2);
    driver.settle(40).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 6);
    assert!(driver.attempts().iter().all(|attempt| attempt.attempt == 0), "something was replaced\n{}", driver.dump());
    assert_eq!(driver.finals().len(), 3, "a root for both leaves, and two batches of outputs");
    assert_eq!(driver.proxy.counts().faults_total(), 0);
}

#[tokio::test]
async fn a_transaction_that_is_not_mined_confirms_after_a_bump() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.mining = false;
    driver.until(20, "it was replaced twice", |driver| driver.attempts_of(1).len() >= 3).await;
    driver.mining = true;
    driver.settle(20).await;
    driver.assert_sound().await;
    let attempts = driver.attempts_of(1);
    let enough = |new: u128, old: u128| new * 1_000 >= old * 1_125;
    assert!(attempts.windows(2).all(|pair| {
        enough(pair[1].fee.max_fee_per_gas.0, pair[0].fee.max_fee_per_gas.0)
            && enough(pair[1].fee.max_priority_fee.0, pair[0].fee.max_priority_fee.0)
    }));
    assert_eq!(driver.finals()[1].tx, attempts.last().unwrap().tx, "the pool held the dearest");
    assert_eq!(driver.settled().await, 1);
}

#[tokio::test]
async fn an_older_cheaper_attempt_that_gets_mined_settles_the_intent() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.mining = false;
    driver.until(20, "it was replaced", |driver| driver.attempts_of(1).len() >= 2).await;
    let attempts = driver.attempts_of(1);
    // Another node's pool has the first one only, and its miner takes it.
    driver.chain.rpc("anvil_dropAllTransactions", json!([])).await;
    driver.chain.rpc("eth_sendRawTransaction", json!([attempts[0].bytes])).await;
    driver.chain.mine().await;
    driver.mining = true;
    driver.settle(20).await;
    driver.assert_sound().await;
    assert_eq!(driver.finals()[1].tx, attempts[0].tx);
    let replaced = driver.events().filter(|event| matches!(event, LanesEvent::AttemptEnded(ended) if ended.end == AttemptEnd::Replaced));
    assert!(replaced.count() >= 1);
}

#[tokio::test]
async fn a_fee_spike_holds_what_it_prices_out_and_everything_settles_when_it_returns() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..2);
    // Above what the account allows.
    for _ in 0..8 {
        driver.chain.set_base_fee(400 * GWEI).await;
        driver.tick().await;
    }
    assert_eq!(driver.settled().await, 0);
    assert!(driver.attempts_of(1).iter().all(|attempt| attempt.fee.max_fee_per_gas.0 <= 100 * GWEI), "over the account's cap");
    driver.chain.set_base_fee(GWEI).await;
    driver.settle(30).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 2);
}

#[tokio::test]
async fn a_fee_spike_over_a_transaction_in_the_pool_is_followed_by_a_dearer_one() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.mining = false;
    driver.until(5, "it was sent", |driver| driver.attempts_of(1).len() == 1).await;
    let first = driver.attempts_of(1)[0].fee.max_fee_per_gas.0;
    driver.mining = true;
    // The spike lasts until the relayer offers more, within the account's cap.
    for _ in 0..40 {
        if driver.attempts_of(1).iter().any(|attempt| attempt.fee.max_fee_per_gas.0 >= 2 * first) {
            break;
        }
        driver.chain.set_base_fee(2 * first).await;
        driver.tick().await;
    }
    driver.settle(40).await;
    driver.assert_sound().await;
    assert!(driver.attempts_of(1).len() > 1);
    assert_eq!(driver.settled().await, 1);
}

#[tokio::test]
async fn a_balance_that_runs_out_stops_the_lane_until_it_returns() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..3);
    let signer = driver.adapter.signer().to_string();
    let had = driver.chain.balance().await;
    driver.chain.rpc("anvil_setBalance", json!([signer, "0x64"])).await;
    driver.ticks(10).await;
    assert_eq!((driver.settled().await, driver.chain.mined().await), (0, 1));
    driver.chain.rpc("anvil_setBalance", json!([signer, format!("{had:#x}")])).await;
    driver.settle(30).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 3);
}

/// Room for a root or two outputs, not for three.
const GAS_MAX: Gas = Gas(600_000);

#[tokio::test]
async fn a_batch_over_what_a_transaction_may_use_is_split() {
    let Some(world) = Driver::world().await else { return };
    let mut driver = Driver::on(world, |config| config.transaction_gas_max = GAS_MAX).await;
    driver.jobs = workload(&driver.world, 2);
    driver.settle(40).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 6);
    assert!(driver.attempts().iter().all(|attempt| attempt.fee.gas_limit <= GAS_MAX));
    assert!(
        driver.finals().len() > 3,
        "six outputs need more than two transactions of this size: {:?}",
        driver.attempts().iter().map(|attempt| (attempt.items.len(), attempt.fee.gas_limit)).collect::<Vec<_>>()
    );
    assert_eq!(driver.finals()[0].slot, Slot(0));
}
