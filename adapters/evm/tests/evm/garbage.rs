//! Nodes that lie, stammer or fall silent: no answer is ever taken for *nothing there*, and no secret is repeated.

use crate::fake_node::{ANSWER_BYTES_MAX, FakeNode, LANE, Reply, block};
use acurast_adapter_api::lane::EffectQuery;
use acurast_adapter_api::{LaneAdapter, LaneError, Observation, SendOutcome, Source, SourceError};
use acurast_adapter_evm::{EscrowWatch, EvmChain, EvmLane, Health, LaneConfig, LocalKey, WatchConfig};
use acurast_events::bytes::{Bytes, EscrowId, EvmAddress, TxHash};
use acurast_events::caip::ChainId;
use acurast_events::units::{BlockNumber, LaneNumber, Slot};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const TX: TxHash = TxHash([0xaa; 32]);

fn key() -> LocalKey {
    LocalKey::from_hex(&"44".repeat(32)).unwrap()
}

async fn lane() -> (FakeNode, EvmLane) {
    let node = FakeNode::start().await;
    let chain = Arc::new(EvmChain::new(node.chain()).unwrap());
    let lane = EvmLane::connect(chain, LaneConfig::new(LaneNumber(LANE)), key()).await.unwrap();
    (node, lane)
}

fn health(lane: &EvmLane) -> Health {
    lane.chain().witnesses()[0].endpoint().health()
}

fn assert_unknown<T: std::fmt::Debug>(case: &str, result: Result<T, LaneError>) {
    match result {
        Err(LaneError::Unknown { reason, .. }) => assert!(!reason.contains("hunter2"), "{case} repeats a secret: {reason}"),
        other => panic!("{case}: expected unknown, got {other:?}"),
    }
}

fn receipt(change: impl FnOnce(&mut Value)) -> Reply {
    let mut receipt = json!({
        "transactionHash": TX, "blockNumber": "0x7", "blockHash": block(7)["hash"], "from": key().address(), "to": key().address(),
        "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": "0x1", "logs": [],
    });
    change(&mut receipt);
    Reply::Result(receipt)
}

/// Answers that make no sense for any method.
pub fn garbage() -> Vec<(&'static str, Reply)> {
    vec![
        ("empty body", Reply::Body(String::new())),
        ("not JSON", Reply::Body("<html>hello</html>".into())),
        ("truncated JSON", Reply::Body(r#"{"jsonrpc":"2.0","id":1,"result":{"number":"0x1"#.into())),
        ("neither result nor error", Reply::Body(r#"{"jsonrpc":"2.0","id":1}"#.into())),
        ("another request's answer", Reply::Body(r#"{"jsonrpc":"2.0","id":424242,"result":"0x1"}"#.into())),
        ("a list", Reply::Body("[1,2,3]".into())),
        ("an error without words", Reply::Body(r#"{"jsonrpc":"2.0","id":1,"error":{}}"#.into())),
        ("a number", Reply::Result(json!(7))),
        ("an object of nothing", Reply::Result(json!({}))),
        ("too long", Reply::Body(" ".repeat(ANSWER_BYTES_MAX + 1))),
    ]
}

/// Failures that say nothing of the node's mind.
pub fn failures() -> Vec<(&'static str, Reply)> {
    vec![
        ("cut off", Reply::CutOff(r#"{"jsonrpc":"2.0","id":"#.into())),
        ("bad gateway", Reply::Status(502)),
        ("too many requests", Reply::Status(429)),
        ("redirect", Reply::Status(302)),
        ("an error of the node", Reply::Error(-32000, "header not found".into())),
        ("silence", Reply::Silence),
    ]
}

#[tokio::test]
async fn sound_answers_give_a_view() {
    let (_node, lane) = lane().await;
    let view = lane.view().await.unwrap();
    assert_eq!((view.head.number, view.finalized.number), (BlockNumber(20), BlockNumber(15)));
    assert_eq!((view.next_slot_head, view.market.base_fee.0, view.market.priority_fee.0), (Slot(2), 2, 3));
    assert_eq!(lane.observe(&TX).await, Observation::NotFound);
    assert_eq!(health(&lane), Health::Healthy);
}

#[tokio::test]
async fn garbage_in_any_part_of_a_view_makes_it_unknown_and_costs_the_health() {
    let (node, lane) = lane().await;
    let methods =
        ["eth_chainId", "eth_getBlockByNumber", "eth_getTransactionCount", "eth_getBalance", "eth_feeHistory", "eth_maxPriorityFeePerGas"];
    for method in methods {
        for (case, reply) in garbage() {
            node.recover();
            lane.view().await.unwrap();
            assert_eq!(health(&lane), Health::Healthy, "a sound view gives the health back");
            node.reply(method, reply);
            assert_unknown(&format!("{method}: {case}"), lane.view().await);
            assert!(matches!(health(&lane), Health::Senseless { .. }), "{method}: {case}");
        }
        for (case, reply) in failures() {
            node.reply(method, reply);
            assert_unknown(&format!("{method}: {case}"), lane.view().await);
        }
        node.recover();
    }
}

#[tokio::test]
async fn values_that_can_not_be_are_unknown() {
    let (node, lane) = lane().await;
    let changed = |field: &str, value: Value| {
        let mut block = block(20);
        block[field] = value;
        Reply::Result(block)
    };
    let cases = [
        ("eth_getBalance", "more than 128 bits", Reply::Result(json!(format!("0x1{}", "0".repeat(32))))),
        ("eth_getBalance", "a number for a quantity", Reply::Result(json!(1000))),
        ("eth_getBalance", "null", Reply::Result(Value::Null)),
        ("eth_getTransactionCount", "more than 64 bits", Reply::Result(json!("0x10000000000000000"))),
        ("eth_feeHistory", "one base fee", Reply::Result(json!({ "baseFeePerGas": ["0x1"] }))),
        ("eth_chainId", "another chain", Reply::Result(json!("0x6"))),
        ("eth_getBlockByNumber", "no head", Reply::Result(Value::Null)),
        ("eth_getBlockByNumber", "another height than asked for", changed("number", json!("0x63"))),
        ("eth_getBlockByNumber", "a time past the end of time", changed("timestamp", json!("0xffffffffffffffff"))),
        ("eth_getBlockByNumber", "no base fee", changed("baseFeePerGas", Value::Null)),
        ("eth_getBlockByNumber", "a short hash", changed("hash", json!("0x12"))),
    ];
    for (method, case, reply) in cases {
        node.recover();
        lane.view().await.unwrap();
        node.reply(method, reply);
        assert_unknown(case, lane.view().await);
        assert!(matches!(health(&lane), Health::Senseless { .. }), "{case}");
    }
}

#[tokio::test]
async fn an_observation_is_not_found_only_when_the_node_says_null_twice() {
    let (node, lane) = lane().await;
    for method in ["eth_getTransactionReceipt", "eth_getTransactionByHash"] {
        for (case, reply) in garbage().into_iter().chain(failures()) {
            node.recover();
            node.reply(method, reply);
            let seen = lane.observe(&TX).await;
            assert!(matches!(&seen, Observation::Unknown(reason) if !reason.contains("hunter2")), "{method}: {case}: {seen:?}");
        }
    }
    node.recover();
    let transaction = |block: Value| Reply::Result(json!({ "hash": TX, "from": key().address(), "nonce": "0x0", "blockHash": block }));
    node.reply("eth_getTransactionByHash", transaction(Value::Null));
    assert_eq!(lane.observe(&TX).await, Observation::Pending);
    node.reply("eth_getTransactionByHash", transaction(block(7)["hash"].clone()));
    assert!(matches!(lane.observe(&TX).await, Observation::Unknown(_)), "mined between the two questions");
}

#[tokio::test]
async fn a_receipt_counts_only_in_the_nodes_own_chain_and_in_its_own_words() {
    let (node, lane) = lane().await;
    node.reply("eth_getTransactionReceipt", receipt(|_| {}));
    assert!(matches!(lane.observe(&TX).await, Observation::Included(_)));
    assert!(lane.report(&TX, &[], None).await.is_ok());
    let cases: Vec<(&str, Reply)> = vec![
        ("an orphaned block", receipt(|receipt| receipt["blockHash"] = block(8)["hash"].clone())),
        ("another transaction", receipt(|receipt| receipt["transactionHash"] = json!(TxHash([1; 32])))),
        ("no status", receipt(|receipt| drop(receipt.as_object_mut().unwrap().remove("status")))),
        ("status 2", receipt(|receipt| receipt["status"] = json!("0x2"))),
        ("a price beyond 128 bits", receipt(|receipt| receipt["effectiveGasPrice"] = json!(format!("0x1{}", "0".repeat(32))))),
    ];
    for (case, reply) in cases {
        node.reply("eth_getTransactionReceipt", reply);
        let seen = lane.observe(&TX).await;
        assert!(matches!(seen, Observation::Unknown(_)), "{case}: {seen:?}");
        assert_unknown(case, lane.report(&TX, &[], None).await);
    }
    for (case, reply) in [
        ("another sender", receipt(|receipt| receipt["from"] = json!(EvmAddress([1; 20])))),
        ("another callee", receipt(|receipt| receipt["to"] = json!(EvmAddress([1; 20])))),
        ("a cost beyond 128 bits", receipt(|receipt| receipt["effectiveGasPrice"] = json!(format!("0x{}", "f".repeat(32))))),
    ] {
        node.reply("eth_getTransactionReceipt", reply);
        assert_unknown(case, lane.report(&TX, &[], None).await);
    }
    node.reply("eth_getTransactionReceipt", Reply::Result(Value::Null));
    assert_unknown("no receipt", lane.report(&TX, &[], None).await);
}

#[tokio::test]
async fn a_send_without_a_clear_answer_is_indeterminate() {
    let (node, lane) = lane().await;
    let bytes = Bytes(vec![1, 2, 3]);
    let hash = TxHash(acurast_events::ids::keccak(&[&bytes.0]));
    for (case, reply) in garbage().into_iter().chain(failures()) {
        node.reply("eth_sendRawTransaction", reply);
        let outcome = lane.broadcast(&bytes).await;
        assert!(matches!(&outcome, SendOutcome::Indeterminate(reason) if !reason.contains("hunter2")), "{case}: {outcome:?}");
    }
    node.reply("eth_sendRawTransaction", Reply::Result(json!(TX)));
    assert!(matches!(lane.broadcast(&bytes).await, SendOutcome::Indeterminate(_)), "another hash than that of the bytes");
    node.reply("eth_sendRawTransaction", Reply::Result(json!(hash)));
    assert_eq!(lane.broadcast(&bytes).await, SendOutcome::Accepted);
}

#[tokio::test]
async fn questions_about_effects_simulations_and_slots_are_unknown_without_an_answer() {
    let (node, lane) = lane().await;
    let leaf = crate::world::claim(&crate::fake_node::CONTRACT, &EvmAddress([1; 20]), EscrowId([1; 32]), 0).leaf;
    let execution = leaf.first_execution;
    let settlement_id = acurast_events::ids::fulfillment_settlement_id(&leaf.assignment_id, execution);
    let query = EffectQuery::Fulfillment { settlement_id, leaf, execution };
    let root = acurast_adapter_api::Call::Root {
        statement: crate::world::statement(
            &[crate::world::claim(&crate::fake_node::CONTRACT, &EvmAddress([1; 20]), EscrowId([1; 32]), 0)],
            1,
        ),
        signatures: Vec::new(),
    };
    assert!(matches!(lane.effect(&query).await.unwrap(), acurast_adapter_api::Effect::Absent { .. }));
    for (case, reply) in garbage().into_iter().chain(failures()) {
        node.recover();
        node.reply("eth_call", reply.clone());
        assert_unknown(case, lane.effect(&query).await);
        assert_unknown(case, lane.simulate(&root).await);
        node.recover();
        node.reply("eth_estimateGas", reply.clone());
        assert_unknown(case, lane.simulate(&root).await);
        node.recover();
        node.reply("eth_getBlockByNumber", reply);
        assert_unknown(case, lane.slot_owner(Slot(0)).await);
    }
}

#[tokio::test]
async fn a_watch_seals_nothing_that_the_node_garbles() {
    let node = FakeNode::start().await;
    let config = WatchConfig {
        start: BlockNumber(3),
        genesis: serde_json::from_value(block(0)["hash"].clone()).unwrap(),
        asset: ChainId::evm(crate::fake_node::CHAIN_ID).asset("slip44:60").unwrap(),
        range_max: 100,
        poll: Duration::from_millis(20),
    };
    let mut watch = EscrowWatch::new(Arc::new(EvmChain::new(node.chain()).unwrap()), config);
    watch.resume(None).await.unwrap();
    let foreign = json!([{
        "address": EvmAddress([9; 20]), "topics": [], "data": "0x", "blockNumber": "0x5", "blockHash": block(5)["hash"],
        "transactionHash": TX, "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
    }]);
    let mut orphaned = foreign.clone();
    orphaned[0]["address"] = json!(crate::fake_node::CONTRACT);
    orphaned[0]["blockHash"] = json!(TX);
    let mut unknown_event = orphaned.clone();
    unknown_event[0]["blockHash"] = block(5)["hash"].clone();
    let special = [
        ("an event of another contract", Reply::Result(foreign)),
        ("an event of an orphaned block", Reply::Result(orphaned)),
        ("an event that does not decode", Reply::Result(unknown_event)),
    ];
    for (case, reply) in garbage().into_iter().chain(failures()).chain(special) {
        node.reply("eth_getLogs", reply);
        let error = watch.next().await.unwrap_err();
        assert!(matches!(error, SourceError::Unavailable { .. }), "{case}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    node.recover();
    // The range shrank with each failure, and nothing was skipped.
    let first = watch.next().await.unwrap();
    assert_eq!(first.first, BlockNumber(3));
    let mut last = first.number.0;
    while last < 15 {
        let block = watch.next().await.unwrap();
        assert_eq!(block.first.0, last + 1);
        last = block.number.0;
    }
}
