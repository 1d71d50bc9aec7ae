//! A real geth in its developer mode, and what it says. Runs where `ACURAST_GETH` names the program.

use super::provoke::{ETHER, Node, Recording, Sender, senders};
use acurast_adapter_evm::outcomes::Family;
use acurast_adapter_evm::{Endpoint, EndpointLimits, EndpointUrl, RpcError};
use acurast_events::bytes::Bytes;
use alloy::consensus::TxEip1559;
use alloy::primitives::U256;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CHAIN_ID: u64 = 1_337;
/// So small that two transactions fill it.
const SMALL_POOL: [&str; 6] = [
    "--txpool.globalslots=1",
    "--txpool.globalqueue=1",
    "--txpool.accountslots=1",
    "--txpool.accountqueue=1",
    "--txpool.pricelimit=1",
    "--txpool.pricebump=10",
];

struct Geth {
    child: Child,
    endpoint: Endpoint,
    _directory: tempfile::TempDir,
}

impl Drop for Geth {
    fn drop(&mut self) {
        // Only our own child; an error says that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Geth {
    /// A chain of its own that mines each transaction at once; nothing, loudly, where there is no geth.
    fn start(arguments: &[&str]) -> Option<Self> {
        let Ok(program) = std::env::var("ACURAST_GETH") else {
            eprintln!("SKIPPED: ACURAST_GETH names no geth; tests/recorded/README.md tells how to get one");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args(["--dev", "--nodiscover", "--ipcdisable", "--port=0", "--authrpc.port=0"])
            .args(["--http", "--http.addr=127.0.0.1", "--http.port=0", "--http.api=eth,web3"])
            .arg("--datadir")
            .arg(directory.path())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let started = lines.find(|line| line.contains("HTTP server started") && line.contains("auth=false")).expect("geth listens");
        let address = started.split("endpoint=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
        // Somebody has to take the rest of its log, or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let url: EndpointUrl = format!("http://{address}").parse().unwrap();
        let endpoint = Endpoint::new(url, EndpointLimits::default()).unwrap();
        Some(Self { child, endpoint, _directory: directory })
    }

    fn node(&self) -> Node<'_> {
        Node { endpoint: &self.endpoint, family: Family::Geth, chain_id: CHAIN_ID, answers: Default::default() }
    }
}

async fn receipt(node: &Node<'_>, hash: Value) {
    let mined = async {
        loop {
            // A young node refuses for a while: "transaction indexing is in progress".
            match node.endpoint.call::<Value>("eth_getTransactionReceipt", json!([hash])).await {
                Ok(receipt) if !receipt.is_null() => return,
                Ok(_) | Err(RpcError::Node { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), mined).await.expect("geth mines it");
}

async fn fund(node: &Node<'_>, sender: &Sender) {
    let accounts = node.rpc("eth_accounts", json!([])).await;
    let transfer = json!({ "from": accounts[0], "to": sender.address(), "value": U256::from(ETHER) });
    receipt(node, node.rpc("eth_sendTransaction", json!([transfer])).await).await;
}

/// A node whose pool two transactions fill, and a sender that has ether and is not in it.
async fn full_pool<'a>(geth: &'a Geth) -> (Node<'a>, Sender) {
    let node = geth.node();
    let [one, two, three] = [Sender::new(0xb1), Sender::new(0xb2), Sender::new(0xb3)];
    for sender in [&one, &two, &three] {
        fund(&node, sender).await;
    }
    node.take(one.sign(one.waiting(CHAIN_ID, 0))).await;
    node.take(two.sign(two.waiting(CHAIN_ID, 0))).await;
    (node, three)
}

/// Pays less than what fills the pool.
fn cheaper(sender: &Sender) -> Bytes {
    sender.sign(TxEip1559 { max_fee_per_gas: 900, max_priority_fee_per_gas: 900, ..sender.waiting(CHAIN_ID, 0) })
}

#[tokio::test]
async fn what_a_real_geth_refuses_is_what_was_recorded() {
    let Some(geth) = Geth::start(&[]) else { return };
    let mut node = geth.node();
    let (relayer, senders) = (Sender::new(0xa1), senders());
    fund(&node, &relayer).await;
    for sender in &senders {
        fund(&node, sender).await;
    }
    let mined = relayer.sign(relayer.transfer(CHAIN_ID, 0));
    receipt(&node, node.take(mined.clone()).await).await;
    node.ask_everything(&relayer, mined, senders).await;
    let above_block = TxEip1559 { gas_limit: 16_000_000, ..relayer.waiting(CHAIN_ID, 2) };
    node.ask("gas above the block's and below the transaction's limit", relayer.sign(above_block)).await;

    let strict = Geth::start(&[&SMALL_POOL[..], &["--txpool.nolocals"]].concat()).unwrap();
    let (mut full, sender) = full_pool(&strict).await;
    let dearer = TxEip1559 { max_fee_per_gas: 2_000, max_priority_fee_per_gas: 2_000, ..sender.waiting(CHAIN_ID, 0) };
    full.ask("pool full, and cheaper than what is in it", cheaper(&sender)).await;
    full.ask("pool full, dearer, with a gap before it", sender.sign(TxEip1559 { nonce: 3, ..dearer.clone() })).await;
    let long = TxEip1559 { gas_limit: 1_000_000, input: vec![0; 70_000].into(), ..dearer };
    full.ask("pool full, dearer, and longer than all of the pool", sender.sign(long)).await;
    node.answers.append(&mut full.answers);

    let client = node.rpc("web3_clientVersion", json!([])).await.as_str().unwrap().to_owned();
    assert_eq!(Family::of(&client), Family::Geth);
    Recording { client, answers: node.answers }.check("geth");
}

#[tokio::test]
async fn a_geth_with_a_full_pool_answers_with_a_hash_that_it_does_not_know() {
    let Some(geth) = Geth::start(&SMALL_POOL) else { return };
    let (node, sender) = full_pool(&geth).await;
    let hash = node.take(cheaper(&sender)).await;
    assert!(hash.is_string());
    assert!(node.rpc("eth_getTransactionByHash", json!([hash])).await.is_null());
}
