//! Several endpoints of one chain (R8): one that dies, freezes, lies, stammers or asks for peace neither deceives nor halts.

use crate::fake_node::{CHAIN_ID, FakeNode, LANE, PATIENT, Reply, block, chain_of};
use crate::garbage::{failures, garbage};
use acurast_adapter_api::endpoints::{EndpointPool, Fault, PoolStatus, Reach};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{Effect, LaneAdapter, LaneError, Observation, SendOutcome, Source, SourceError};
use acurast_adapter_evm::contract::Settlement;
use acurast_adapter_evm::{BreakerPolicy, ChainConfig, EscrowWatch, EvmChain, EvmLane, Health, LaneConfig, LocalKey, WatchConfig};
use acurast_events::bytes::{BlockHash, Bytes, EscrowId, EvmAddress, Genesis, TxHash};
use acurast_events::caip::ChainId;
use acurast_events::units::{BlockNumber, LaneNumber, Millis, Slot};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TX: TxHash = TxHash([0xaa; 32]);

fn key() -> LocalKey {
    LocalKey::from_hex(&"44".repeat(32)).unwrap()
}

async fn three() -> [FakeNode; 3] {
    [FakeNode::start().await, FakeNode::start().await, FakeNode::start().await]
}

fn untrusted(nodes: &[FakeNode]) -> ChainConfig {
    chain_of(&nodes.iter().map(|node| (node, false)).collect::<Vec<_>>())
}

async fn lane_of(config: ChainConfig) -> EvmLane {
    EvmLane::connect(Arc::new(EvmChain::new(config).unwrap()), LaneConfig::new(LaneNumber(LANE)), key()).await.unwrap()
}

fn health(lane: &EvmLane, index: usize) -> Health {
    lane.chain().witnesses()[index].endpoint().health()
}

fn query() -> EffectQuery {
    let leaf = crate::world::claim(&crate::fake_node::CONTRACT, &EvmAddress([1; 20]), EscrowId([1; 32]), 0).leaf;
    let execution = leaf.first_execution;
    let settlement_id = acurast_events::ids::fulfillment_settlement_id(&leaf.assignment_id, execution);
    EffectQuery::Fulfillment { settlement_id, leaf, execution }
}

fn receipt(change: impl FnOnce(&mut Value)) -> Reply {
    let mut receipt = json!({
        "transactionHash": TX, "blockNumber": "0x7", "blockHash": block(7)["hash"], "from": key().address(), "to": key().address(),
        "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x1", "logs": [],
    });
    change(&mut receipt);
    Reply::Result(receipt)
}

fn boolean(value: bool) -> Reply {
    Reply::Result(json!(Bytes(Settlement::isSettledCall::abi_encode_returns(&value))))
}

fn is_unknown<T: std::fmt::Debug>(result: Result<T, LaneError>) -> bool {
    matches!(&result, Err(LaneError::Unknown { reason, .. }) if !reason.contains("hunter2"))
}

#[tokio::test]
async fn a_lane_goes_on_when_the_first_endpoint_dies() {
    let [a, b, c] = three().await;
    let own = lane_of(chain_of(&[(&a, true), (&b, true)])).await;
    let one_own = lane_of(chain_of(&[(&a, true), (&b, false), (&c, false)])).await;
    let nodes = [&a, &b, &c].map(|node| (node, false));
    let majority = lane_of(chain_of(&nodes)).await;
    drop(a);
    for lane in [own, one_own, majority] {
        assert_eq!(lane.view().await.unwrap().head.number, BlockNumber(20));
        assert_eq!(lane.observe(&TX).await, Observation::NotFound);
        assert!(matches!(lane.effect(&query()).await.unwrap(), Effect::Absent { .. }));
    }
}

#[tokio::test]
async fn without_a_trusted_endpoint_or_a_majority_nothing_that_carries_value_is_known() {
    let [a, b, c] = three().await;
    let with_help = lane_of(chain_of(&[(&a, true), (&b, false)])).await;
    let of_three = lane_of(chain_of(&[(&a, false), (&b, false), (&c, false)])).await;
    drop((a, c));
    for lane in [with_help, of_three] {
        assert!(is_unknown(lane.view().await) && is_unknown(lane.effect(&query()).await) && is_unknown(lane.slot_owner(Slot(0)).await));
        assert!(is_unknown(lane.report(&TX, &[], None).await));
    }
}

#[tokio::test]
async fn one_of_three_that_lies_is_outvoted_and_set_aside() {
    let other_root = |status: u64| receipt(|receipt| receipt["gasUsed"] = json!(format!("{:#x}", 21_000 + status)));
    type Check = fn(&EvmLane) -> futures::future::BoxFuture<'_, bool>;
    let lies: [(&str, &str, Reply, Check); 4] = [
        ("a nonce", "eth_getTransactionCount", Reply::Result(json!("0x63")), |lane| {
            Box::pin(async move { lane.view().await.unwrap().next_slot_head == Slot(2) })
        }),
        ("a balance", "eth_getBalance", Reply::Result(json!("0x0")), |lane| {
            Box::pin(async move { lane.view().await.unwrap().balance.0 == 1_000_000_000_000_000_000 })
        }),
        ("an effect", "eth_call", boolean(true), |lane| {
            Box::pin(async move { matches!(lane.effect(&query()).await.unwrap(), Effect::Absent { .. }) })
        }),
        ("a receipt", "eth_getTransactionReceipt", other_root(1), |lane| {
            Box::pin(async move { lane.report(&TX, &[], None).await.unwrap().gas_used.0 == 21_000 })
        }),
    ];
    for (case, method, lie, check) in lies {
        for liar in 0..3 {
            let nodes = three().await;
            let lane = lane_of(untrusted(&nodes)).await;
            for (index, node) in nodes.iter().enumerate() {
                node.reply("eth_getTransactionReceipt", other_root(0));
                if index == liar {
                    node.reply(method, lie.clone());
                }
            }
            for _ in 0..2 {
                assert!(check(&lane).await, "{case}: endpoint {liar} is believed");
            }
            for index in 0..3 {
                let aside = matches!(health(&lane, index), Health::SetAside { .. });
                assert_eq!(aside, index == liar, "{case}: {:?}", health(&lane, index));
            }
        }
    }
}

#[tokio::test]
async fn a_usual_priority_fee_is_the_one_in_the_middle() {
    let nodes = three().await;
    let lane = lane_of(untrusted(&nodes)).await;
    nodes[1].reply("eth_maxPriorityFeePerGas", Reply::Result(json!("0xffffffffffff")));
    let view = lane.view().await.unwrap();
    assert_eq!(view.market.priority_fee.0, 3);
    assert_eq!(health(&lane, 1), Health::Healthy, "an opinion is no lie");
}

#[tokio::test]
async fn an_endpoint_that_lacks_the_block_or_is_ahead_neither_agrees_nor_lies() {
    let nodes = three().await;
    nodes[2].set_head(17);
    let lane = lane_of(untrusted(&nodes)).await;
    nodes[0].set_head(22);
    let view = lane.view().await.unwrap();
    assert_eq!((view.head.number, view.finalized.number), (BlockNumber(20), BlockNumber(15)), "what two have in common");
    assert!((0..3).all(|index| health(&lane, index) == Health::Healthy));
    // One that invents a far future is got past.
    nodes[0].set_head(1 << 40);
    nodes[2].set_head(19);
    assert_eq!(lane.view().await.unwrap().finalized.number, BlockNumber(15));
}

#[tokio::test]
async fn an_inclusion_or_an_absence_by_one_endpoint_alone_is_not_believed() {
    let nodes = three().await;
    let lane = lane_of(untrusted(&nodes)).await;
    let in_pool = Reply::Result(json!({ "hash": TX, "from": key().address(), "nonce": "0x0", "blockHash": null }));
    nodes[0].reply("eth_getTransactionReceipt", receipt(|_| {}));
    assert_eq!(lane.observe(&TX).await, Observation::Pending, "somebody claims to know it");
    nodes[1].reply("eth_getTransactionReceipt", receipt(|_| {}));
    assert!(matches!(lane.observe(&TX).await, Observation::Included(_)));
    nodes.iter().for_each(FakeNode::recover);
    nodes[2].reply("eth_getTransactionByHash", in_pool);
    assert_eq!(lane.observe(&TX).await, Observation::Pending, "one knows it: it is not gone");
    nodes.iter().for_each(|node| node.reply("eth_getTransactionByHash", Reply::Status(502)));
    assert!(matches!(lane.observe(&TX).await, Observation::Unknown(_)));
}

#[tokio::test]
async fn signed_bytes_reach_every_healthy_endpoint_and_one_that_takes_them_is_enough() {
    const SEND: &str = "eth_sendRawTransaction";
    let [a, b, c] = three().await;
    let lane = lane_of(chain_of(&[(&a, true), (&b, false), (&c, false)])).await;
    let bytes = Bytes(vec![1, 2, 3]);
    let hash = Reply::Result(json!(TxHash(acurast_events::ids::keccak(&[&bytes.0]))));
    let too_low = Reply::Error(-32003, "nonce too low".into());
    for node in [&a, &b, &c] {
        node.reply(SEND, hash.clone());
    }
    assert_eq!(lane.broadcast(&bytes).await, SendOutcome::Accepted);
    assert_eq!([&a, &b, &c].map(|node| node.calls(SEND)), [1, 1, 1]);
    a.reply(SEND, too_low.clone());
    b.reply(SEND, Reply::Status(502));
    assert_eq!(lane.broadcast(&bytes).await, SendOutcome::Accepted, "the third took them");
    c.reply(SEND, too_low.clone());
    assert!(matches!(lane.broadcast(&bytes).await, SendOutcome::Indeterminate(_)), "one may have passed them on");
    b.reply(SEND, too_low);
    assert_eq!(lane.broadcast(&bytes).await, SendOutcome::SlotTooLow);
    assert_eq!([&a, &b, &c].map(|node| node.calls(SEND)), [4, 4, 4], "once each per send");
}

#[tokio::test]
async fn nonsense_from_one_of_two_or_of_three_stops_nobody_and_from_all_it_is_unknown() {
    for (case, reply) in garbage().into_iter().chain(failures()) {
        let [a, b, c] = three().await;
        let own = lane_of(chain_of(&[(&a, true), (&b, true)])).await;
        let majority = lane_of(chain_of(&[(&a, false), (&b, false), (&c, false)])).await;
        for method in ["eth_chainId", "eth_getBlockByNumber", "eth_getTransactionCount", "eth_call"] {
            a.reply(method, reply.clone());
        }
        for lane in [&own, &majority] {
            let view = lane.view().await.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(view.next_slot_head, Slot(2));
            assert!(matches!(lane.effect(&query()).await.unwrap(), Effect::Absent { .. }), "{case}");
        }
        for node in [&b, &c] {
            for method in ["eth_getBlockByNumber", "eth_getTransactionReceipt"] {
                node.reply(method, reply.clone());
            }
        }
        a.reply("eth_getTransactionReceipt", reply.clone());
        for lane in [own, majority] {
            assert!(is_unknown(lane.view().await), "{case}");
            assert!(is_unknown(lane.effect(&query()).await), "{case}");
            assert!(matches!(lane.observe(&TX).await, Observation::Unknown(_)), "{case}");
        }
    }
}

#[tokio::test]
async fn a_throttled_endpoint_is_left_alone_for_as_long_as_it_asks_while_another_one_serves() {
    let [a, b, _] = three().await;
    let mut config = chain_of(&[(&a, true), (&b, true)]);
    config.limits.breaker = BreakerPolicy { asked_pause_max: Millis(700), ..BreakerPolicy::default() };
    let lane = lane_of(config).await;
    a.reply("eth_chainId", Reply::Throttled(3_600));
    let throttled = Instant::now();
    lane.view().await.unwrap();
    let asked = a.calls("eth_chainId");
    while throttled.elapsed() < Duration::from_millis(400) {
        lane.view().await.unwrap();
        assert_eq!(a.calls("eth_chainId"), asked, "it asked to be left alone");
    }
    let status = lane.chain().survey().await;
    assert_eq!(status.endpoints.iter().map(|endpoint| endpoint.reach).collect::<Vec<_>>(), [Reach::LeftAlone, Reach::Called]);
    a.recover();
    while a.calls("eth_chainId") == asked {
        assert!(throttled.elapsed() < Duration::from_secs(10), "nobody is left alone for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
        lane.view().await.unwrap();
    }
    assert!(throttled.elapsed() >= Duration::from_millis(700));
}

#[tokio::test]
async fn an_endpoint_that_fails_is_left_alone_and_tried_again() {
    let [a, b, _] = three().await;
    let mut config = chain_of(&[(&a, true), (&b, true)]);
    config.limits.breaker = BreakerPolicy { failures_max: 3, pause_min: Millis(2_000), ..PATIENT };
    let lane = lane_of(config).await;
    a.reply("eth_chainId", Reply::Status(502));
    let before = a.calls("eth_chainId");
    for _ in 0..10 {
        lane.view().await.unwrap();
    }
    assert_eq!(a.calls("eth_chainId") - before, 3);
    a.recover();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    lane.view().await.unwrap();
    assert_eq!(a.calls("eth_chainId") - before, 4);
}

fn fault(status: &PoolStatus, index: usize) -> Option<Fault> {
    status.endpoints[index].fault
}

#[tokio::test]
async fn a_frozen_endpoint_that_still_answers_is_noticed_within_three_block_times_and_turned_away_from() {
    const BLOCK: Duration = Duration::from_millis(800);
    for trusted in [[true, false, false], [false; 3]] {
        let [a, b, c] = three().await;
        let nodes = [&a, &b, &c];
        let config = chain_of(&[(&a, trusted[0]), (&b, trusted[1]), (&c, trusted[2])]);
        let lane = lane_of(ChainConfig { block_time: Millis(800), ..config }).await;
        let mut looks = tokio::time::interval(Duration::from_millis(lane.chain().survey_every().0));
        let start = Instant::now();
        let mut noticed = None;
        while noticed.is_none() && start.elapsed() < 8 * BLOCK {
            looks.tick().await;
            let blocks = u64::try_from(start.elapsed().as_millis() / BLOCK.as_millis()).unwrap();
            // The first one stops at the second block; it goes on answering.
            for (index, node) in nodes.iter().enumerate() {
                node.set_head(20 + if index == 0 { blocks.min(2) } else { blocks });
            }
            let status = lane.chain().survey().await;
            assert_eq!((fault(&status, 1), fault(&status, 2)), (None, None));
            noticed = fault(&status, 0).map(|fault| (fault, start.elapsed()));
        }
        let (found, at) = noticed.expect("it is noticed");
        assert_eq!(found, Fault::Behind);
        let since = at.saturating_sub(2 * BLOCK);
        assert!(since <= 3 * BLOCK, "noticed only after {since:?}");
        let view = lane.view().await.unwrap();
        assert!(view.head.number > BlockNumber(22), "the others are believed: {}", view.head.number);
        // It knows nothing of what came after, so its word that there is nothing doesn't count.
        for node in [&b, &c] {
            node.reply("eth_getTransactionReceipt", Reply::Status(502));
        }
        assert!(matches!(lane.observe(&TX).await, Observation::Unknown(_)));
    }
}

#[tokio::test]
async fn a_chain_whose_only_endpoint_stands_still_is_told_and_still_asked() {
    let node = FakeNode::start().await;
    let lane = lane_of(ChainConfig { block_time: Millis(800), ..node.chain() }).await;
    assert_eq!(lane.chain().survey().await.stalled, None);
    let seen = Instant::now();
    while lane.chain().survey().await.stalled.is_none() {
        assert!(seen.elapsed() < Duration::from_millis(3 * 800), "it stands still for {:?}", seen.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(lane.view().await.unwrap().head.number, BlockNumber(20));
    node.set_head(21);
    assert_eq!(lane.chain().survey().await.stalled, None);
}

#[tokio::test]
async fn another_final_block_than_that_of_an_own_node_or_a_majority_is_found_by_the_regular_look() {
    for trusted in [true, false] {
        let [a, b, c] = three().await;
        let lane = lane_of(chain_of(&[(&a, trusted), (&b, false), (&c, false)])).await;
        b.fork_at(16);
        [&a, &b, &c].iter().for_each(|node| node.set_head(21));
        let status = lane.chain().survey().await;
        assert_eq!([0, 1, 2].map(|index| fault(&status, index)), [None, Some(Fault::SetAside), None]);
        assert_eq!(status.endpoints[0].head, Some(BlockNumber(21)));
        let shown = format!("{status:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(lane.view().await.unwrap().head.number, BlockNumber(21));
    }
}

fn watch(config: ChainConfig) -> EscrowWatch {
    let genesis: BlockHash = serde_json::from_value(block(0)["hash"].clone()).unwrap();
    let config_of_watch = WatchConfig {
        start: BlockNumber(0),
        genesis: Genesis(genesis.0),
        asset: ChainId::evm(CHAIN_ID).asset("slip44:60").unwrap(),
        range_max: 100,
        poll: Duration::from_millis(20),
    };
    EscrowWatch::new(Arc::new(EvmChain::new(config).unwrap()), config_of_watch)
}

#[tokio::test]
async fn one_of_three_with_another_history_does_not_stop_the_source_and_two_of_three_do() {
    let nodes = three().await;
    let mut source = watch(untrusted(&nodes));
    source.resume(None).await.unwrap();
    let sealed = source.next().await.unwrap();
    assert_eq!(sealed.number, BlockNumber(15));

    nodes[0].fork_at(10);
    source.resume(Some((sealed.number, sealed.hash))).await.unwrap();
    nodes.iter().for_each(|node| node.set_head(25));
    let next = source.next().await.unwrap();
    assert_eq!((next.first, next.number, next.parent), (BlockNumber(16), BlockNumber(20), sealed.hash));

    nodes[1].fork_at(10);
    nodes.iter().for_each(|node| node.set_head(30));
    let error = source.next().await.unwrap_err();
    assert!(matches!(&error, SourceError::FinalityViolation { number: BlockNumber(20), .. }), "{error}");
}

#[tokio::test]
async fn one_of_three_that_invents_or_hides_escrow_events_is_not_believed() {
    let event = json!([{
        "address": crate::fake_node::CONTRACT, "topics": [], "data": "0x", "blockNumber": "0x5", "blockHash": block(5)["hash"],
        "transactionHash": TX, "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
    }]);
    let nodes = three().await;
    let mut source = watch(untrusted(&nodes));
    source.resume(None).await.unwrap();
    nodes[2].reply("eth_getLogs", Reply::Result(event));
    let block = source.next().await.unwrap();
    assert!(block.facts.is_empty());
    assert_eq!(block.number, BlockNumber(15));
}

#[tokio::test]
async fn one_of_three_that_serves_another_chain_is_outvoted_and_all_three_are_refused() {
    let nodes = three().await;
    let chain = EvmChain::new(untrusted(&nodes)).unwrap();
    nodes[0].reply("eth_chainId", Reply::Result(json!("0x6")));
    chain.learn().await.unwrap();
    nodes.iter().for_each(|node| node.reply("eth_chainId", Reply::Result(json!("0x6"))));
    let error = chain.learn().await.unwrap_err().to_string();
    assert!(error.contains("serve chain 6, configured is 5"), "{error}");
}

#[tokio::test]
async fn on_a_real_node_a_lane_settles_through_the_endpoint_that_is_left() {
    use acurast_adapter_api::Call;
    use acurast_adapter_evm::EndpointConfig;
    let Some(world) = crate::world::World::start().await else { return };
    let upstream = world.anvil.url.to_string();
    let (first, second) = (crate::anvil::Detour::start(&upstream).await, crate::anvil::Detour::start(&upstream).await);
    let own = |detour: &crate::anvil::Detour| EndpointConfig { url: detour.url.clone(), trusted: true };
    let lane = crate::world::lane_of(ChainConfig { endpoints: vec![own(&first), own(&second)], ..world.chain() }).await;
    let gas = lane.capabilities().noop_gas;
    let (tx, _) = crate::world::send_mined(&world, &lane, 0, &Call::NoOp, gas).await;
    assert!(lane.report(&tx, &[], None).await.unwrap().inclusion.success);
    drop(first);
    let (tx, bytes) = crate::world::send_mined(&world, &lane, 1, &Call::NoOp, gas).await;
    assert!(lane.report(&tx, &[], None).await.unwrap().inclusion.success);
    assert_eq!(crate::world::view(&lane).await.next_slot_final, Slot(2));
    assert_eq!(lane.slot_owner(Slot(1)).await.unwrap(), Some(tx));
    drop(second);
    assert!(is_unknown(lane.view().await) && matches!(lane.broadcast(&bytes).await, SendOutcome::Indeterminate(_)));
}
