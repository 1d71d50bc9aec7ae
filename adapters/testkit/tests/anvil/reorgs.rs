//! Blocks that go away: before finality, and after.

use crate::driver::{Driver, FINALITY};
use crate::fees::{plan, with_root};
use crate::workload::workload;
use acurast_events::lanes::LanesEvent;

#[tokio::test]
async fn a_receipt_that_vanishes_before_finality_is_orphaned_and_comes_back() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..2);
    driver.until(10, "it is in a block", |driver| driver.count("AttemptIncluded") == 2).await;
    assert_eq!(driver.settled().await, 2);
    driver.world.anvil.reorg(2).await;
    assert_eq!(driver.settled().await, 0, "the effect went with its block");
    driver.settle(40).await;
    driver.assert_sound().await;
    assert_eq!(driver.settled().await, 2);
    assert!(driver.count("AttemptOrphaned") >= 1, "{}", driver.dump());
}

#[tokio::test]
async fn a_reorg_brings_root_and_outputs_back_in_their_order() {
    let Some(mut driver) = Driver::start().await else { return };
    driver.jobs = workload(&driver.world, 2);
    let mut reorgs = 0;
    // A reorg every fifth block, each as deep as finality allows.
    for step in 0..30 {
        driver.tick().await;
        if step % 5 == 4 && driver.count("AttemptIncluded") > driver.finals().len() && reorgs < 4 {
            driver.world.anvil.reorg(FINALITY - 1).await;
            reorgs += 1;
        }
    }
    driver.settle(40).await;
    driver.assert_sound().await;
    assert!(reorgs > 0, "nothing was in a block that is not final");
    assert_eq!(driver.settled().await, 6);
}

#[tokio::test]
async fn a_finality_that_breaks_is_compensated_and_stops_the_lane() {
    let Some(mut driver) = with_root(1).await else { return };
    plan(&mut driver, 1, 0..1);
    driver.settle(30).await;
    driver.assert_sound().await;
    driver.ticks(2).await;
    // Deeper than anything that may be undone; the lane has work again afterwards, so it looks.
    driver.world.anvil.reorg(FINALITY + 6).await;
    assert_eq!(driver.settled().await, 0);
    plan(&mut driver, 1, 1..2);
    driver.until(60, "the lost effect is compensated", |driver| driver.count("EffectLost") > 0).await;
    assert!(driver.lane.status().quarantine.is_some(), "{}", driver.dump());
    let lost: Vec<_> =
        driver.events().filter_map(|event| if let LanesEvent::EffectLost(lost) = event { Some(lost) } else { None }).collect();
    assert!(lost.iter().all(|lost| lost.block.hash != lost.was.hash));
    driver.assert_no_effect_twice().await;
}
