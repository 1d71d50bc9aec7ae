//! Whatever differs from the configuration is refused before anything is believed or sent.

use crate::world::{LANE, World, admin, key, relayer};
use acurast_adapter_evm::{ChainConfig, EvmChain, EvmLane, IdentifyError, KnownContract, LaneConfig};
use acurast_events::bytes::EvmAddress;
use acurast_events::units::LaneNumber;
use std::sync::Arc;

async fn refusal(chain: ChainConfig, number: LaneNumber, signer: usize) -> String {
    match EvmLane::connect(Arc::new(EvmChain::new(chain).unwrap()), LaneConfig::new(number), key(signer)).await {
        Err(IdentifyError::Refused(reason)) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_chain_contract_role_or_lane_number_is_refused_with_what_to_do() {
    let Some(world) = World::start().await else { return };
    world.lane().await;

    let other_chain = ChainConfig { chain_id: 1, ..world.chain() };
    assert!(refusal(other_chain, LANE, 1).await.contains("serve chain 31337, configured is 1"));

    let nobody = ChainConfig { settlement: EvmAddress([0x99; 20]), ..world.chain() };
    assert!(refusal(nobody, LANE, 1).await.contains("no contract at 0x9999"));

    let consumer = ChainConfig { settlement: world.consumer, ..world.chain() };
    assert!(refusal(consumer, LANE, 1).await.contains("doesn't answer VERSION()"));

    assert!(refusal(world.chain(), LaneNumber(8), 1).await.contains("has lane 7"));
    assert!(refusal(world.chain(), LANE, 3).await.contains("grantRelayer("));

    // A rollup that charges for data beside gas.
    let oracle = "0x420000000000000000000000000000000000000F";
    world.anvil.rpc("anvil_setCode", serde_json::json!([oracle, "0x00"])).await;
    assert!(refusal(world.chain(), LANE, 1).await.contains("charges for data beside gas (OP stack)"));
}

#[tokio::test]
async fn a_lane_of_a_contract_as_it_was_known_is_told_apart_from_the_contract_as_it_is() {
    use acurast_adapter_api::{LaneAdapter, LaneError};
    let Some(world) = World::start().await else { return };
    let chain = Arc::new(EvmChain::new(world.chain()).unwrap());
    let known = chain.learn().await.unwrap();
    assert_eq!((known.needed, known.count()), (1, 1));
    let lane = |known: KnownContract| EvmLane::new(chain.clone(), LaneConfig::new(LANE), relayer(), known).unwrap();
    lane(known.clone()).identify().await.unwrap();
    let attesters = KnownContract { needed: 2, attesters: vec![admin(), known.attesters[0]], ..known.clone() };
    let genesis = KnownContract { genesis: acurast_events::bytes::Genesis([7; 32]), ..known };
    for (other, words) in [(attesters, "restart to take the change over"), (genesis, "the chain's genesis is")] {
        let error = lane(other).identify().await.unwrap_err();
        assert!(matches!(&error, LaneError::Refused { reason, .. } if reason.contains(words)), "{error}");
    }
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
