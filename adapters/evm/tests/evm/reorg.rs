//! A block that goes away takes its receipts with it, and nothing else.

use crate::world::{World, send};
use acurast_adapter_api::{Call, LaneAdapter, Observation, SendOutcome};
use acurast_adapter_evm::{ChainConfig, EvmLane, Finality, Health};
use acurast_events::jobs::BlockRef;
use acurast_events::units::Slot;

fn health(lane: &EvmLane) -> Health {
    lane.chain().witnesses()[0].endpoint().health()
}

async fn included_in(lane: &EvmLane, tx: &acurast_events::bytes::TxHash) -> BlockRef {
    match lane.observe(tx).await {
        Observation::Included(inclusion) => inclusion.block,
        other => panic!("expected it to be included, got {other:?}"),
    }
}

#[tokio::test]
async fn an_orphaned_transaction_is_included_no_more_and_can_be_sent_again() {
    let Some(world) = World::start().await else { return };
    let lane = crate::world::lane_of(ChainConfig { finality: Finality::Depth(3), ..world.chain() }).await;
    world.anvil.automine(false).await;
    let (tx, bytes) = send(&lane, 0, &Call::NoOp, lane.capabilities().noop_gas).await;
    assert_eq!(lane.observe(&tx).await, Observation::Pending);
    world.anvil.mine(1).await;
    let first = included_in(&lane, &tx).await;
    let view = crate::world::view(&lane).await;
    assert_eq!((view.next_slot_head, view.next_slot_final), (Slot(1), Slot(0)), "mined, not final");

    world.anvil.reorg(1).await;
    let view = crate::world::view(&lane).await;
    assert_eq!(view.next_slot_head, Slot(0), "the next slot went down");
    let after = lane.observe(&tx).await;
    assert!(matches!(after, Observation::NotFound | Observation::Pending), "{after:?}");
    assert!(lane.report(&tx, &[], None).await.is_err(), "there is nothing to report");

    let sent = lane.broadcast(&bytes).await;
    assert!(matches!(sent, SendOutcome::Accepted | SendOutcome::AlreadyKnown), "{sent:?}");
    world.anvil.mine(4).await;
    let second = included_in(&lane, &tx).await;
    assert_ne!(first.hash, second.hash);
    assert_eq!(crate::world::view(&lane).await.next_slot_final, Slot(1));
    assert_eq!(lane.slot_owner(Slot(0)).await.unwrap(), Some(tx));
}

#[tokio::test]
async fn a_node_whose_finality_goes_back_or_changes_loses_its_health() {
    let Some(world) = World::start().await else { return };
    let lane = world.lane().await;
    crate::world::view(&lane).await;
    // Everything up to the head was final; now the head is another block.
    world.anvil.reorg(1).await;
    let error = lane.view().await.unwrap_err().to_string();
    assert!(error.contains("finality violation"), "{error}");
    assert_ne!(health(&lane), Health::Healthy);
    world.anvil.mine(1).await;
    crate::world::view(&lane).await;
    assert_eq!(health(&lane), Health::Healthy);
}

#[tokio::test]
async fn finality_follows_the_nodes_tag_or_the_depth_and_block_0_is_always_final() {
    let Some(world) = World::start().await else { return };
    world.anvil.mine(80).await;
    let head = world.anvil.block_number().await;
    // anvil calls final what is two epochs of 32 blocks old, and safe what is one epoch old.
    for (finality, expected) in [
        (Finality::Finalized, head - 64),
        (Finality::Safe, head - 32),
        (Finality::Depth(0), head),
        (Finality::Depth(7), head - 7),
        (Finality::Depth(1_000), 0),
    ] {
        let lane = crate::world::lane_of(ChainConfig { finality, ..world.chain() }).await;
        let view = crate::world::view(&lane).await;
        assert_eq!((view.head.number.0, view.finalized.number.0), (head, expected), "{finality:?}");
    }
}
