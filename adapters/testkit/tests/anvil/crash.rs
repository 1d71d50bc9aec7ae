//! A crash at every boundary: before and after every append and every broadcast, enumerated.

use crate::driver::Driver;
use crate::workload::workload;
use serde_json::json;

#[tokio::test]
async fn a_crash_at_any_append_or_broadcast_loses_and_doubles_nothing() {
    let Some(world) = Driver::world().await else { return };
    let snapshot = || world.anvil.rpc("evm_snapshot", json!([]));
    let mut saved = snapshot().await;
    let mut crash_at = 0;
    loop {
        let mut driver = Driver::on(world.clone(), |_| {}).await;
        driver.jobs = workload(&world, 1);
        driver.crash_at = Some(crash_at);
        driver.settle(40).await;
        driver.assert_sound().await;
        assert_eq!(driver.settled().await, 3);
        if driver.crashes == 0 {
            // Past the last boundary: all were tried.
            assert!(crash_at > 20, "only {crash_at} boundaries");
            return;
        }
        crash_at += 1;
        assert_eq!(world.anvil.rpc("evm_revert", json!([saved])).await, true);
        saved = snapshot().await;
    }
}
