//! Whatever differs from the configuration is refused before anything is believed or sent.

use crate::world::{LANE, World, admin, key, relayer};
use acurast_adapter_evm::{EvmLane, IdentifyError, LaneConfig};
use acurast_events::bytes::EvmAddress;
use acurast_events::units::LaneNumber;

async fn refusal(config: LaneConfig, signer: usize) -> String {
    match EvmLane::connect(config, key(signer)).await {
        Err(IdentifyError::Refused(reason)) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_chain_contract_role_or_lane_number_is_refused_with_what_to_do() {
    let Some(world) = World::start().await else { return };
    let config = || LaneConfig::new(world.chain(), LANE);
    assert!(EvmLane::connect(config(), relayer()).await.is_ok());

    let mut other_chain = config();
    other_chain.chain.chain_id = 1;
    assert!(refusal(other_chain, 1).await.contains("serves chain 31337, configured is 1"));

    let mut nobody = config();
    nobody.chain.settlement = EvmAddress([0x99; 20]);
    assert!(refusal(nobody, 1).await.contains("no contract at 0x9999"));

    let mut consumer = config();
    consumer.chain.settlement = world.consumer;
    assert!(refusal(consumer, 1).await.contains("doesn't answer VERSION()"));

    let other_number = LaneConfig { number: LaneNumber(8), ..config() };
    assert!(refusal(other_number, 1).await.contains("has lane 7"));
    assert!(refusal(config(), 3).await.contains("grantRelayer("));

    // A rollup that charges for data beside gas.
    let oracle = "0x420000000000000000000000000000000000000F";
    world.anvil.rpc("anvil_setCode", serde_json::json!([oracle, "0x00"])).await;
    assert!(refusal(config(), 1).await.contains("charges for data beside gas (OP stack)"));
}

#[tokio::test]
async fn a_role_that_is_taken_back_is_noticed() {
    use acurast_adapter_api::{LaneAdapter, LaneError};
    use alloy::sol_types::SolCall;
    alloy::sol! { function revokeRelayer(address relayer); }
    let Some(world) = World::start().await else { return };
    let lane = world.lane().await;
    lane.identify().await.unwrap();
    let revoke = revokeRelayerCall { relayer: crate::world::alloy_address(&relayer().address()) };
    world.anvil.send(&admin(), Some(&world.settlement), revoke.abi_encode(), 0).await;
    let error = lane.identify().await.unwrap_err();
    assert!(matches!(&error, LaneError::Refused { reason, .. } if reason.contains("is no relayer of")), "{error}");
}
