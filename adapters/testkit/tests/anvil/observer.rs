//! What happened on the chain, read from the node directly: no adapter, no lane, no proxy.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `keccak256("Settled(bytes32,bytes32,uint64,bool,bytes32)")`.
fn settled_topic() -> String {
    alloy::primitives::keccak256("Settled(bytes32,bytes32,uint64,bool,bytes32)").to_string()
}

pub struct Observer {
    http: reqwest::Client,
    url: String,
    settlement: String,
    signer: String,
}

/// An execution of an assignment: the assignment's id in hexadecimal, and its number.
pub type Item = (String, u64);

fn number(value: &Value) -> u128 {
    u128::from_str_radix(value.as_str().expect("a quantity").trim_start_matches("0x"), 16).expect("a quantity")
}

impl Observer {
    pub fn new(url: String, settlement: String, signer: String) -> Self {
        Self { http: reqwest::Client::new(), url, settlement, signer }
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut answer: Value = self.http.post(&self.url).json(&request).send().await.unwrap().json().await.unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// How often each execution was settled, and whether its target took the payload.
    pub async fn effects(&self) -> BTreeMap<Item, Vec<bool>> {
        let filter = json!([{ "address": self.settlement, "fromBlock": "0x0", "toBlock": "latest", "topics": [settled_topic()] }]);
        let mut effects: BTreeMap<Item, Vec<bool>> = BTreeMap::new();
        for log in self.rpc("eth_getLogs", filter).await.as_array().unwrap() {
            let assignment = log["topics"][1].as_str().unwrap().to_owned();
            let words = log["data"].as_str().unwrap().trim_start_matches("0x");
            let word = |n: usize| u128::from_str_radix(&words[64 * n + 32..64 * (n + 1)], 16).unwrap();
            effects.entry((assignment, u64::try_from(word(0)).unwrap())).or_default().push(word(1) == 1);
        }
        effects
    }

    /// How many of the signer's transactions are mined.
    pub async fn mined(&self) -> u64 {
        u64::try_from(number(&self.rpc("eth_getTransactionCount", json!([self.signer, "latest"])).await)).unwrap()
    }

    /// What the signer has, wei.
    pub async fn balance(&self) -> u128 {
        number(&self.rpc("eth_getBalance", json!([self.signer, "latest"])).await)
    }

    /// Transactions that wait in the pool, ready or behind a gap.
    pub async fn waiting(&self) -> u128 {
        let status = self.rpc("txpool_status", json!([])).await;
        number(&status["pending"]) + number(&status["queued"])
    }

    /// Seconds since the Unix epoch, by the newest block.
    pub async fn time(&self) -> u64 {
        let block = self.rpc("eth_getBlockByNumber", json!(["latest", false])).await;
        u64::try_from(number(&block["timestamp"])).unwrap()
    }

    /// Mines a block. The node writes its fee history in a task of its own; a block is there when that is.
    pub async fn mine(&self) {
        self.rpc("anvil_mine", json!(["0x1"])).await;
        let written = async {
            loop {
                let history = self.rpc("eth_feeHistory", json!(["0x1", "latest", []])).await;
                if history["baseFeePerGas"].as_array().is_some_and(|fees| fees.len() == 2) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), written).await.expect("the node writes its fee history");
    }

    /// The base fee of the next block, wei.
    pub async fn set_base_fee(&self, base_fee: u128) {
        self.rpc("anvil_setNextBlockBaseFeePerGas", json!([format!("{base_fee:#x}")])).await;
    }
}
