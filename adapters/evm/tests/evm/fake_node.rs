//! A node that says what a test wants: sound answers unless a method is given another one. Plain HTTP on a loopback port.

use acurast_adapter_evm::contract::{Settlement, address};
use acurast_adapter_evm::{BreakerPolicy, ChainConfig, EndpointConfig, EndpointLimits, EndpointUrl, Finality};
use acurast_events::bytes::{Bytes, EvmAddress};
use acurast_events::eip712::domain_separator;
use acurast_events::units::Millis;
use alloy::primitives::{Address, B256};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub const CHAIN_ID: u64 = 5;
pub const CONTRACT: EvmAddress = EvmAddress([0x42; 20]);
pub const LANE: u16 = 3;
/// How long a test's endpoint waits for an answer.
pub const TIMEOUT: Duration = Duration::from_millis(300);
/// Longest answer that a test's endpoint reads.
pub const ANSWER_BYTES_MAX: usize = 100_000;

#[derive(Debug, Clone)]
pub enum Reply {
    /// A proper JSON-RPC result.
    Result(Value),
    /// A proper JSON-RPC error.
    Error(i64, String),
    /// This body, whatever it is.
    Body(String),
    /// This HTTP status with a page.
    Status(u16),
    /// HTTP 429, to be left alone for so many seconds.
    Throttled(u64),
    /// This body, said to be longer than it is; then the connection ends.
    CutOff(String),
    /// Nothing, ever.
    Silence,
}

pub struct FakeNode {
    pub port: u16,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

struct State {
    replies: BTreeMap<String, Reply>,
    calls: BTreeMap<String, u64>,
    head: u64,
    /// From this height on the blocks are others than those of other nodes.
    fork: u64,
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A block that follows the previous one by its number.
pub fn block(number: u64) -> Value {
    block_of(number, u64::MAX)
}

fn block_of(number: u64, fork: u64) -> Value {
    let hash = |number: u64| format!("0x{}{number:062x}", if number > fork { "ff" } else { "00" });
    json!({
        "number": format!("{number:#x}"), "hash": hash(number + 1), "parentHash": hash(number), "timestamp": "0x64",
        "gasLimit": "0x1c9c380", "baseFeePerGas": "0x3b9aca00", "transactions": [],
    })
}

/// A breaker that never leaves a node alone.
pub const PATIENT: BreakerPolicy =
    BreakerPolicy { failures_max: u32::MAX, pause_min: Millis(0), pause_max: Millis(0), asked_pause_max: Millis(0) };

/// The chain that these nodes serve; the flags say which are trusted.
pub fn chain_of(nodes: &[(&FakeNode, bool)]) -> ChainConfig {
    let endpoint = |(node, trusted): &(&FakeNode, bool)| EndpointConfig { url: node.url(), trusted: *trusted };
    ChainConfig {
        chain_id: CHAIN_ID,
        settlement: CONTRACT,
        endpoints: nodes.iter().map(endpoint).collect(),
        limits: EndpointLimits { timeout: TIMEOUT, answer_bytes_max: ANSWER_BYTES_MAX, breaker: PATIENT },
        finality: Finality::Depth(5),
        block_time: Millis(12_000),
    }
}

fn contract_answer(params: &Value) -> Value {
    let input: Bytes = params[0]["input"].as_str().unwrap_or("0x").parse().unwrap();
    let selector: [u8; 4] = input.0.get(..4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    let encoded = match selector {
        Settlement::VERSIONCall::SELECTOR => Settlement::VERSIONCall::abi_encode_returns(&"1.0.0".to_owned()),
        Settlement::domainSeparatorCall::SELECTOR => {
            Settlement::domainSeparatorCall::abi_encode_returns(&B256::from(domain_separator(CHAIN_ID, &CONTRACT)))
        }
        Settlement::laneOfCall::SELECTOR => {
            Settlement::laneOfCall::abi_encode_returns(&Settlement::laneOfReturn { lane: LANE, granted: true })
        }
        Settlement::attestersCall::SELECTOR => Settlement::attestersCall::abi_encode_returns(&vec![Address::repeat_byte(1)]),
        Settlement::thresholdCall::SELECTOR => Settlement::thresholdCall::abi_encode_returns(&1),
        Settlement::isSettledCall::SELECTOR => Settlement::isSettledCall::abi_encode_returns(&false),
        Settlement::isFailedCall::SELECTOR => Settlement::isFailedCall::abi_encode_returns(&false),
        _ => Vec::new(),
    };
    json!(Bytes(encoded))
}

fn sound(method: &str, params: &Value, state: &State) -> Value {
    match method {
        "web3_clientVersion" => json!("anvil/v0"),
        "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
        "eth_getCode" => json!(if params[0] == json!(EvmAddress(address(&CONTRACT).into_array())) { "0x00" } else { "0x" }),
        "eth_getBlockByNumber" => match params[0].as_str() {
            Some("latest") => block_of(state.head, state.fork),
            Some(number) => match u64::from_str_radix(number.trim_start_matches("0x"), 16) {
                Ok(number) if number > state.head => Value::Null,
                number => block_of(number.unwrap_or(10), state.fork),
            },
            None => Value::Null,
        },
        "eth_getTransactionCount" => json!("0x2"),
        "eth_getBalance" => json!("0xde0b6b3a7640000"),
        "eth_feeHistory" => json!({ "baseFeePerGas": ["0x1", "0x2"] }),
        "eth_maxPriorityFeePerGas" => json!("0x3"),
        "eth_call" => contract_answer(params),
        "eth_getLogs" => json!([]),
        _ => Value::Null,
    }
}

impl FakeNode {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { replies: BTreeMap::new(), calls: BTreeMap::new(), head: 20, fork: u64::MAX };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Self { port, state, task }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on `method` is answered so.
    pub fn reply(&self, method: &str, reply: Reply) {
        self.state().replies.insert(method.to_owned(), reply);
    }

    /// All answers are sound again.
    pub fn recover(&self) {
        self.state().replies.clear();
    }

    /// The chain has grown up to here, as this node sees it.
    pub fn set_head(&self, head: u64) {
        self.state().head = head;
    }

    /// Blocks from this height on are others than those of other nodes.
    pub fn fork_at(&self, height: u64) {
        self.state().fork = height;
    }

    /// How often it was asked.
    pub fn calls(&self, method: &str) -> u64 {
        self.state().calls.get(method).copied().unwrap_or(0)
    }

    pub fn url(&self) -> EndpointUrl {
        format!("http://user:hunter2@127.0.0.1:{}/hunter2?key=hunter2", self.port).parse().unwrap()
    }

    /// The chain with this node alone.
    pub fn chain(&self) -> ChainConfig {
        chain_of(&[(self, true)])
    }
}

/// Answers the requests of one connection until it ends.
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await {
        let method = request["method"].as_str().unwrap().to_owned();
        let given = {
            let mut state = state.lock().unwrap();
            *state.calls.entry(method.clone()).or_default() += 1;
            let sound = Reply::Result(sound(&method, &request["params"], &state));
            state.replies.get(&method).cloned().unwrap_or(sound)
        };
        let mut headers = String::new();
        let envelope = |field: &str, value: Value| json!({ "jsonrpc": "2.0", "id": request["id"], field: value }).to_string();
        let (status, body, cut) = match given {
            Reply::Result(value) => (200, envelope("result", value), false),
            Reply::Error(code, message) => (200, envelope("error", json!({ "code": code, "message": message })), false),
            Reply::Body(body) => (200, body, false),
            Reply::Status(status) => (status, "<html>oops</html>".into(), false),
            Reply::Throttled(seconds) => {
                headers = format!("retry-after: {seconds}\r\n");
                (429, String::new(), false)
            }
            Reply::CutOff(body) => (200, body, true),
            Reply::Silence => std::future::pending().await,
        };
        let length = body.len() + if cut { 100 } else { 0 };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}");
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() || cut {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}
