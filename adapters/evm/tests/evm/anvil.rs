//! Starts a real anvil on a free loopback port and stops it again.

use acurast_adapter_evm::{Endpoint, EndpointLimits, EndpointUrl};
use acurast_events::bytes::{Bytes, EvmAddress};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Anvil {
    child: Child,
    pub url: EndpointUrl,
    pub endpoint: Endpoint,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Only our own child; an error says that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/evm")
}

/// The native program, not npm's wrapper: killing the wrapper would leave anvil behind.
fn program() -> Option<PathBuf> {
    if let Ok(path) = std::env::var("ACURAST_ANVIL") {
        return Some(path.into());
    }
    let packages = std::fs::read_dir(contracts().join("node_modules/@foundry-rs")).ok()?;
    packages
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("anvil-"))
        .map(|entry| entry.path().join("bin/anvil"))
        .find(|path| path.exists())
}

/// Creation bytecode that forge wrote.
pub fn bytecode(contract: &str) -> Option<Vec<u8>> {
    let out = std::env::var("ACURAST_CONTRACTS_OUT").map_or_else(|_| contracts().join("out"), PathBuf::from);
    let text = std::fs::read_to_string(out.join(format!("{contract}.sol/{contract}.json"))).ok()?;
    let artifact: Value = serde_json::from_str(&text).expect("forge's artifact is JSON");
    let code: Bytes = artifact["bytecode"]["object"].as_str()?.parse().expect("linked bytecode");
    Some(code.0)
}

impl Anvil {
    /// A node with Prague's rules that mines each transaction at once; nothing, loudly, when it isn't installed.
    pub fn start() -> Option<Self> {
        let (Some(program), Some(_)) = (program(), bytecode("AcurastSettlement")) else {
            let missing = "anvil or the compiled contracts are missing: run `npm ci && npx forge build` in contracts/evm";
            assert!(std::env::var("ACURAST_NODES").as_deref() != Ok("required"), "{missing}");
            eprintln!("SKIPPED: {missing}");
            return None;
        };
        let mut child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0", "--hardfork", "prague"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("anvil starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let address = lines.find_map(|line| Some(line.ok()?.strip_prefix("Listening on ")?.to_owned())).expect("anvil listens");
        // anvil prints every call; somebody has to take it, or it would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let url: EndpointUrl = format!("http://{address}").parse().expect("a URL");
        let endpoint = Endpoint::new(url.clone(), EndpointLimits::default()).expect("a client");
        Some(Self { child, url, endpoint })
    }

    pub async fn rpc(&self, method: &'static str, params: Value) -> Value {
        self.endpoint.call(method, params).await.expect("anvil answers")
    }

    pub async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")])).await;
    }

    pub async fn automine(&self, on: bool) {
        self.rpc("evm_setAutomine", json!([on])).await;
    }

    /// Replaces the newest blocks by empty ones.
    pub async fn reorg(&self, depth: u64) {
        self.rpc("anvil_reorg", json!([depth, []])).await;
    }

    pub async fn block_number(&self) -> u64 {
        let number = self.rpc("eth_blockNumber", json!([])).await;
        u64::from_str_radix(number.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// Sends from one of anvil's own accounts and waits for success; the receipt.
    pub async fn send(&self, from: &EvmAddress, to: Option<&EvmAddress>, data: Vec<u8>, value: u128) -> Value {
        let mut transaction = json!({ "from": from, "input": Bytes(data), "value": format!("{value:#x}") });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        let hash = self.rpc("eth_sendTransaction", json!([transaction])).await;
        let receipt = self.receipt(&hash).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    /// The receipt of a transaction that is being mined: anvil answers a send before its miner has run.
    pub async fn receipt(&self, hash: &Value) -> Value {
        let mined = async {
            loop {
                let receipt = self.rpc("eth_getTransactionReceipt", json!([hash])).await;
                if !receipt.is_null() {
                    return receipt;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), mined).await.expect("anvil mines it")
    }

    pub async fn deploy(&self, from: &EvmAddress, contract: &str, arguments: Vec<u8>) -> EvmAddress {
        let code = [bytecode(contract).expect("compiled"), arguments].concat();
        let receipt = self.send(from, None, code, 0).await;
        serde_json::from_value(receipt["contractAddress"].clone()).expect("an address")
    }
}

/// A way to a node that can be cut off: connections end when it is dropped, and no new ones are taken.
pub struct Detour {
    pub url: EndpointUrl,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Detour {
    /// To the node at this URL.
    pub async fn start(upstream: &str) -> Self {
        let upstream = upstream.strip_prefix("http://").expect("plain HTTP").trim_end_matches('/').to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound")).parse().expect("a URL");
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let upstream = upstream.clone();
                connections.spawn(async move {
                    let Ok(mut far) = tokio::net::TcpStream::connect(upstream).await else { return };
                    // Ends with either side; what is lost is for the client to find out.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { url, task }
    }
}
