//! The table of send outcomes against what the real client answers: provoked anew, and as recorded.
//!
//! `RECORD=1` writes the answers to `tests/recorded/anvil.json`.

use crate::world::{CHAIN_ID, World, fee, key, relayer};
use acurast_adapter_api::{Call, LaneAdapter, SendOutcome};
use acurast_adapter_evm::outcomes::{Family, ROWS, Reading, Text, read};
use acurast_adapter_evm::{EvmLane, LocalKey, RpcError, transaction};
use acurast_events::amount::Amount;
use acurast_events::bytes::Bytes;
use acurast_events::lanes::FeeBid;
use acurast_events::units::{Gas, Slot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    code: i64,
    message: String,
    reading: String,
}

fn recorded() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/anvil.json")
}

fn name(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Accepted => "accepted",
        SendOutcome::AlreadyKnown => "already known",
        SendOutcome::Rejected(_) => "rejected",
        SendOutcome::SlotTooLow => "slot too low",
        SendOutcome::SlotTooHigh => "slot too high",
        SendOutcome::FeeTooLow => "fee too low",
        SendOutcome::InsufficientFunds => "insufficient funds",
        SendOutcome::Indeterminate(_) => "indeterminate",
    }
}

fn node_error(code: i64, message: &str) -> RpcError {
    RpcError::Node { endpoint: "http://node".into(), method: "eth_sendRawTransaction", code, message: message.into(), data: None }
}

/// Every case that this client can be brought to refuse: what it means to a lane, and its bytes.
async fn provoke(world: &World, lane: &EvmLane) -> Vec<(&'static str, &'static str, Bytes)> {
    let gas = Gas(21_000);
    let usual = fee(gas);
    let transfer = |key: &LocalKey, chain_id, slot, bid: &FeeBid| {
        transaction::sign(key, chain_id, Slot(slot), &key.address(), Vec::new(), bid).unwrap().bytes
    };
    let ours = relayer();
    // Slot 0 is mined, slot 1 waits in the pool.
    let mined = lane.sign(Slot(0), &Call::NoOp, &usual).await.unwrap();
    assert_eq!(lane.broadcast(&mined.bytes).await, SendOutcome::Accepted);
    world.anvil.receipt(&serde_json::json!(mined.tx)).await;
    world.anvil.automine(false).await;
    let waiting = lane.sign(Slot(1), &Call::NoOp, &usual).await.unwrap();
    assert_eq!(lane.broadcast(&waiting.bytes).await, SendOutcome::Accepted);
    let poor = LocalKey::from_hex(&"66".repeat(32)).unwrap();
    let same_price = FeeBid { gas_limit: Gas(22_000), ..usual.clone() };
    let too_cheap = FeeBid { max_fee_per_gas: Amount(1), max_priority_fee: Amount(1), gas_limit: gas };
    let upside_down = FeeBid { max_priority_fee: Amount(usual.max_fee_per_gas.0 + 1), ..usual.clone() };
    vec![
        ("mined before", "slot too low", mined.bytes.clone()),
        ("slot used by another transaction", "slot too low", transfer(&ours, CHAIN_ID, 0, &same_price)),
        ("in the pool", "already known", waiting.bytes.clone()),
        ("replacement at the same price", "fee too low", transfer(&ours, CHAIN_ID, 1, &same_price)),
        ("below the base fee", "fee too low", transfer(&key(3), CHAIN_ID, 0, &too_cheap)),
        ("priority fee above the fee", "rejected", transfer(&key(3), CHAIN_ID, 0, &upside_down)),
        ("no money", "insufficient funds", transfer(&poor, CHAIN_ID, 0, &usual)),
        ("gas below the intrinsic cost", "rejected", transfer(&key(3), CHAIN_ID, 0, &FeeBid { gas_limit: Gas(20_999), ..usual.clone() })),
        (
            "gas above the block's",
            "rejected",
            transfer(&key(3), CHAIN_ID, 0, &FeeBid { gas_limit: Gas(1 << 40), max_fee_per_gas: usual.max_fee_per_gas, ..usual.clone() }),
        ),
        ("another chain", "rejected", transfer(&key(3), 1, 0, &usual)),
        ("no transaction", "rejected", Bytes(vec![2, 0xc0])),
    ]
}

#[tokio::test]
async fn what_the_real_client_refuses_is_what_was_recorded() {
    let Some(world) = World::start().await else { return };
    let lane = world.lane().await;
    let mut answers = BTreeMap::new();
    for (case, meaning, bytes) in provoke(&world, &lane).await {
        match lane.chain().endpoint().send_raw(&bytes).await {
            Err(error @ RpcError::Node { .. }) => {
                let reading = name(&read(Family::Anvil, &error)).to_owned();
                assert_eq!(reading, meaning, "{case}: {error}");
                let RpcError::Node { code, message, .. } = error else { unreachable!() };
                answers.insert(case.to_owned(), Answer { code, message, reading });
            }
            other => panic!("{case}: expected an error of the node, got {other:?}"),
        }
    }
    if std::env::var("RECORD").is_ok() {
        std::fs::write(recorded(), serde_json::to_string_pretty(&answers).unwrap() + "\n").unwrap();
    }
    let expected: BTreeMap<String, Answer> = serde_json::from_str(&std::fs::read_to_string(recorded()).unwrap()).unwrap();
    assert_eq!(answers, expected, "the client's answers changed; look at each, then record anew with RECORD=1");
}

#[test]
fn every_recorded_answer_is_read_and_every_row_has_a_recording() {
    let answers: BTreeMap<String, Answer> = serde_json::from_str(&std::fs::read_to_string(recorded()).unwrap()).unwrap();
    for (case, answer) in &answers {
        let outcome = read(Family::Anvil, &node_error(answer.code, &answer.message));
        assert_eq!(name(&outcome), answer.reading, "{case}");
        assert!(!matches!(outcome, SendOutcome::Indeterminate(_)), "{case}: {} is in no row", answer.message);
    }
    for row in ROWS {
        let recorded = answers.values().any(|answer| {
            answer.code == row.code
                && match row.text {
                    Text::Whole(text) => answer.message == text,
                    Text::Start(text) => answer.message.starts_with(text),
                }
        });
        assert!(recorded, "no recording of {row:?}");
    }
}

#[test]
fn what_no_row_knows_keeps_the_slot() {
    let known = ROWS.iter().find(|row| row.reading == Reading::SlotTooLow).unwrap();
    let Text::Whole(text) = known.text else { panic!("a whole text") };
    assert_eq!(read(Family::Anvil, &node_error(known.code, text)), SendOutcome::SlotTooLow);
    for error in [
        node_error(known.code, "nonce too low!"),
        node_error(-1, text),
        RpcError::Unreachable { endpoint: String::new(), method: "eth_sendRawTransaction", reason: "reset".into() },
        RpcError::Malformed { endpoint: String::new(), method: "eth_sendRawTransaction", reason: "garbage".into() },
    ] {
        assert!(matches!(read(Family::Anvil, &error), SendOutcome::Indeterminate(_)), "{error}");
    }
    assert!(matches!(read(Family::Unknown, &node_error(known.code, text)), SendOutcome::Indeterminate(_)));
    assert_eq!(Family::of("anvil/v1.7.1"), Family::Anvil);
    assert_eq!(Family::of("Geth/v1.16.0"), Family::Unknown);
}
