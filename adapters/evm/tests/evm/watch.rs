//! Escrow facts from the real contract: complete, in order, each block sealed, the same after a restart, never past a reorg.

use crate::world::{CLOSE_DELAY_S, LOCKED, World, admin, refundCall, requestCloseCall, revokeCall, topUpCall};
use acurast_adapter_api::{Source, SourceBlock, SourceError};
use acurast_adapter_evm::{ChainConfig, EscrowWatch, EvmChain, WatchConfig};
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, BlockHash, Bytes, EvmAddress, Genesis};
use acurast_events::caip::ChainId;
use acurast_events::ids::chain_fact_id;
use acurast_events::source::SourceEvent;
use acurast_events::units::BlockNumber;
use alloy::primitives::B256;
use alloy::sol_types::SolCall;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

async fn config(world: &World) -> WatchConfig {
    let block = world.anvil.rpc("eth_getBlockByNumber", json!(["0x0", false])).await;
    WatchConfig {
        start: BlockNumber(0),
        genesis: serde_json::from_value(block["hash"].clone()).unwrap(),
        asset: ChainId::evm(crate::world::CHAIN_ID).asset("slip44:60").unwrap(),
        range_max: 5,
        poll: Duration::from_millis(20),
    }
}

fn chain(config: ChainConfig) -> Arc<EvmChain> {
    Arc::new(EvmChain::new(config).unwrap())
}

/// A watch at the very first start.
async fn watch(world: &World) -> EscrowWatch {
    let mut watch = EscrowWatch::new(chain(world.chain()), config(world).await);
    watch.resume(None).await.unwrap();
    watch
}

/// All blocks up to the head.
async fn read_all(watch: &mut EscrowWatch, head: u64) -> Vec<SourceBlock> {
    let mut blocks: Vec<SourceBlock> = Vec::new();
    while blocks.last().is_none_or(|block| block.number.0 < head) {
        blocks.push(watch.next().await.unwrap());
    }
    blocks
}

fn assert_one_chain(blocks: &[SourceBlock]) {
    for pair in blocks.windows(2) {
        assert_eq!(pair[1].parent, pair[0].hash);
        assert_eq!(pair[1].first.0, pair[0].number.0 + 1);
    }
    for block in blocks {
        assert!(block.facts.is_empty() || block.first == block.number, "only quiet blocks share a seal");
        assert_eq!(block.seal().fact_count.0, u64::try_from(block.facts.len()).unwrap());
    }
}

fn names(blocks: &[SourceBlock]) -> Vec<&'static str> {
    blocks.iter().flat_map(|block| &block.facts).map(SourceEvent::name).collect()
}

#[tokio::test]
async fn the_whole_life_of_an_account_becomes_facts_once_and_in_order() {
    let Some(world) = World::start().await else { return };
    let escrow = B256::from(world.escrow.0);
    let assignment = AssignmentId([0x55; 32]);
    world.anvil.mine(17).await;
    world.anvil.send(&admin(), Some(&world.settlement), topUpCall { escrowId: escrow }.abi_encode(), 5).await;
    // The consumer is the opener; it passes these on for its owner.
    let revoke = revokeCall { escrowId: escrow, assignmentId: B256::from(assignment.0) };
    world.anvil.send(&admin(), Some(&world.consumer), revoke.abi_encode(), 0).await;
    world.anvil.send(&admin(), Some(&world.consumer), requestCloseCall { escrowId: escrow }.abi_encode(), 0).await;
    world.anvil.rpc("evm_increaseTime", json!([CLOSE_DELAY_S + 1])).await;
    world.anvil.mine(1).await;
    world.anvil.send(&admin(), Some(&world.settlement), refundCall { escrowId: escrow }.abi_encode(), 0).await;
    world.anvil.mine(3).await;
    let head = world.anvil.block_number().await;

    let mut watch = watch(&world).await;
    let blocks = read_all(&mut watch, head).await;
    assert_one_chain(&blocks);
    assert_eq!(blocks[0].first, BlockNumber(0));
    assert_eq!(
        names(&blocks),
        ["TargetBound", "EscrowOpened", "EscrowToppedUp", "AssignmentRevoked", "EscrowCloseRequested", "EscrowRefunded"]
    );
    let quiet = blocks.iter().filter(|block| block.number.0 > block.first.0).count();
    assert!(quiet >= 3, "17 quiet blocks took few seals, no more than 5 blocks each");

    for block in &blocks {
        for fact in &block.facts {
            let meta = fact.meta().unwrap();
            assert_eq!(meta.id, chain_fact_id(&watch.genesis(), &block.hash, block.number, meta.index, 0));
            match fact {
                SourceEvent::TargetBound(bound) => {
                    assert_eq!(bound.target, Bytes(world.consumer.0.to_vec()));
                    assert_eq!(bound.settlement, Bytes(world.settlement.0.to_vec()));
                    assert_eq!(bound.owner, world.owner);
                }
                SourceEvent::EscrowOpened(opened) => {
                    assert_eq!(opened.escrow_id, world.escrow);
                    assert_eq!(opened.caps, crate::world::caps());
                    assert_eq!(opened.amount, Amount(LOCKED));
                    assert_eq!(opened.opener, opened.target);
                    assert_eq!(opened.expiry.0, 90_000_000_000_000);
                }
                SourceEvent::EscrowToppedUp(added) => assert_eq!(added.amount, Amount(5)),
                SourceEvent::AssignmentRevoked(revoked) => {
                    assert_eq!((revoked.owner, revoked.assignment_id), (world.owner, assignment));
                }
                SourceEvent::EscrowCloseRequested(closing) => {
                    assert_eq!(closing.refundable_at.0, block.timestamp.0 + CLOSE_DELAY_S * 1_000);
                }
                SourceEvent::EscrowRefunded(refunded) => {
                    assert_eq!((refunded.amount, refunded.to.clone()), (Amount(LOCKED + 5), Bytes(world.consumer.0.to_vec())));
                }
                other => panic!("unexpected fact {}", other.name()),
            }
        }
    }

    // A restart after any seal goes on with the very same blocks.
    for stop in 0..blocks.len() - 1 {
        let (sealed, rest) = blocks.split_at(stop + 1);
        let last = sealed.last().unwrap();
        watch.resume(Some((last.number, last.hash))).await.unwrap();
        let again = read_all(&mut watch, head).await;
        let facts = |blocks: &[SourceBlock]| blocks.iter().flat_map(|block| block.facts.clone()).collect::<Vec<_>>();
        assert_eq!(facts(&again), facts(rest));
        assert_eq!(again[0].parent, last.hash);
        assert_one_chain(&again);
    }
}

#[tokio::test]
async fn a_new_final_block_is_waited_for() {
    let Some(world) = World::start().await else { return };
    let mut watch = watch(&world).await;
    let head = world.anvil.block_number().await;
    read_all(&mut watch, head).await;
    let waiting = tokio::time::timeout(Duration::from_millis(200), watch.next()).await;
    assert!(waiting.is_err(), "there is no newer block: {waiting:?}");
    world.open_escrow([1; 32]).await;
    let block = watch.next().await.unwrap();
    assert_eq!(names(&[block]), ["EscrowOpened"]);
}

#[tokio::test]
async fn a_reorganization_below_what_was_sealed_stops_the_source() {
    let Some(world) = World::start().await else { return };
    let mut watch = watch(&world).await;
    world.anvil.mine(4).await;
    let head = world.anvil.block_number().await;
    let blocks = read_all(&mut watch, head).await;
    let last = blocks.last().unwrap();
    world.anvil.reorg(2).await;
    let violation = |error: SourceError| match error {
        SourceError::FinalityViolation { number, sealed, found, .. } => {
            assert_eq!((number, sealed), (last.number, last.hash));
            assert_ne!(found, sealed);
        }
        other => panic!("expected a finality violation, got {other}"),
    };
    violation(watch.next().await.unwrap_err());
    // Also when the chain has grown past it, and after a restart.
    world.anvil.mine(10).await;
    violation(watch.next().await.unwrap_err());
    violation(watch.resume(Some((last.number, last.hash))).await.unwrap_err());
    let lost = watch.resume(Some((BlockNumber(1_000_000), BlockHash([1; 32])))).await.unwrap_err();
    assert!(matches!(lost, SourceError::Unavailable { .. }), "a node that is behind is no violation: {lost}");
}

#[tokio::test]
async fn another_chain_or_contract_is_refused() {
    let Some(world) = World::start().await else { return };
    let other = WatchConfig { genesis: Genesis([7; 32]), ..config(&world).await };
    let error = EscrowWatch::new(chain(world.chain()), other).resume(None).await.unwrap_err();
    assert!(matches!(&error, SourceError::OtherChain { expected: Genesis([7, ..]), .. }), "{error}");
    for (address, reason) in [(EvmAddress([0x99; 20]), "no contract at"), (world.consumer, "doesn't answer VERSION()")] {
        let wrong = chain(ChainConfig { settlement: address, ..world.chain() });
        let error = EscrowWatch::new(wrong, config(&world).await).resume(None).await.unwrap_err();
        assert!(matches!(&error, SourceError::Refused { reason: found, .. } if found.contains(reason)), "{error}");
    }
}
