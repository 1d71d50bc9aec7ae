//! A node that says what a test wants: sound answers unless a method is given another one. Plain HTTP on a loopback port.

use acurast_adapter_evm::contract::{Settlement, address};
use acurast_adapter_evm::{ChainConfig, EndpointLimits, Finality};
use acurast_events::bytes::{Bytes, EvmAddress};
use acurast_events::eip712::domain_separator;
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
    /// This body, said to be longer than it is; then the connection ends.
    CutOff(String),
    /// Nothing, ever.
    Silence,
}

pub struct FakeNode {
    pub port: u16,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    task: JoinHandle<()>,
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A block that follows the previous one by its number.
pub fn block(number: u64) -> Value {
    let hash = |number: u64| format!("0x{number:064x}");
    json!({
        "number": format!("{number:#x}"), "hash": hash(number + 1), "parentHash": hash(number), "timestamp": "0x64",
        "gasLimit": "0x1c9c380", "baseFeePerGas": "0x3b9aca00", "transactions": [],
    })
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

fn sound(method: &str, params: &Value) -> Value {
    match method {
        "web3_clientVersion" => json!("anvil/v0"),
        "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
        "eth_getCode" => json!(if params[0] == json!(EvmAddress(address(&CONTRACT).into_array())) { "0x00" } else { "0x" }),
        "eth_getBlockByNumber" => match params[0].as_str() {
            Some("latest") => block(20),
            Some(number) => block(u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap_or(10)),
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
        let replies: Arc<Mutex<BTreeMap<String, Reply>>> = Arc::default();
        let shared = replies.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Self { port, replies, task }
    }

    /// From now on `method` is answered so.
    pub fn reply(&self, method: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(method.to_owned(), reply);
    }

    /// All answers are sound again.
    pub fn recover(&self) {
        self.replies.lock().unwrap().clear();
    }

    pub fn chain(&self) -> ChainConfig {
        ChainConfig {
            chain_id: CHAIN_ID,
            settlement: CONTRACT,
            url: format!("http://user:hunter2@127.0.0.1:{}/hunter2?key=hunter2", self.port).parse().unwrap(),
            limits: EndpointLimits { timeout: TIMEOUT, answer_bytes_max: ANSWER_BYTES_MAX },
            finality: Finality::Depth(5),
        }
    }
}

/// Answers the requests of one connection until it ends.
async fn serve(stream: TcpStream, replies: Arc<Mutex<BTreeMap<String, Reply>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await {
        let method = request["method"].as_str().unwrap().to_owned();
        let given = replies.lock().unwrap().get(&method).cloned();
        let envelope = |field: &str, value: Value| json!({ "jsonrpc": "2.0", "id": request["id"], field: value }).to_string();
        let (status, body, cut) = match given.unwrap_or_else(|| Reply::Result(sound(&method, &request["params"]))) {
            Reply::Result(value) => (200, envelope("result", value), false),
            Reply::Error(code, message) => (200, envelope("error", json!({ "code": code, "message": message })), false),
            Reply::Body(body) => (200, body, false),
            Reply::Status(status) => (status, "<html>oops</html>".into(), false),
            Reply::CutOff(body) => (200, body, true),
            Reply::Silence => std::future::pending().await,
        };
        let length = body.len() + if cut { 100 } else { 0 };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
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
