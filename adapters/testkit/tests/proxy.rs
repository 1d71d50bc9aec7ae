//! The proxy as its clients see it: every fault by name, the modes, and its own page.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use acurast_adapter_testkit::{Fault, FaultPlan, FaultProxy, Mode, PlanChange, ProxyError};
use axum::extract::State;
use axum::{Json, Router, routing::post};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A node whose head is the number of requests that it got.
async fn node() -> (String, Arc<AtomicU64>) {
    let seen = Arc::new(AtomicU64::new(0));
    let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&seen));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, seen)
}

async fn answer(State(seen): State<Arc<AtomicU64>>, Json(request): Json<Value>) -> Json<Value> {
    let count = seen.fetch_add(1, Ordering::SeqCst) + 1;
    let result = match request["method"].as_str().unwrap() {
        "eth_chainId" => json!("0x7a69"),
        "eth_getTransactionReceipt" => json!({ "status": "0x1", "transactionHash": "0x00" }),
        _ => json!(format!("0x{count:x}")),
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
}

fn always(fault: Fault) -> FaultPlan {
    FaultPlan { faults_permille: 1_000, faults: [fault].into(), delay_ms_max: 20, ..FaultPlan::default() }
}

async fn call(proxy: &FaultProxy, method: &str) -> Result<reqwest::Response, reqwest::Error> {
    let request = json!({ "jsonrpc": "2.0", "id": 5, "method": method, "params": [] });
    reqwest::Client::new().post(proxy.url()).json(&request).send().await
}

async fn result(proxy: &FaultProxy, method: &str) -> Value {
    let answer: Value = call(proxy, method).await.unwrap().json().await.unwrap();
    assert_eq!(answer["id"], 5, "{answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn without_faults_answers_pass_as_they_are() {
    let (url, seen) = node().await;
    let proxy = FaultProxy::start(&url, FaultPlan::default()).await.unwrap();
    assert_eq!(result(&proxy, "eth_chainId").await, "0x7a69");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    let counts = proxy.counts();
    assert_eq!((counts.requests_total(), counts.faults_total()), (1, 0));
}

#[tokio::test]
async fn every_fault_does_what_its_name_says_and_is_counted() {
    // Per fault: how many of one request the node sees.
    for (fault, forwarded) in [
        (Fault::DropRequest, 0),
        (Fault::DropAnswer, 1),
        (Fault::Delay, 1),
        (Fault::Duplicate, 2),
        (Fault::Truncate, 1),
        (Fault::WrongType, 1),
        (Fault::HugeNumber, 1),
        (Fault::WrongId, 1),
        (Fault::TooMany, 0),
        (Fault::Reset, 0),
        (Fault::OtherChain, 0),
    ] {
        let (url, seen) = node().await;
        let proxy = FaultProxy::start(&url, always(fault)).await.unwrap();
        let answer = call(&proxy, "eth_chainId").await;
        match fault {
            Fault::DropRequest | Fault::DropAnswer | Fault::Reset => assert!(answer.is_err(), "{fault}: {answer:?}"),
            Fault::TooMany => {
                let answer = answer.unwrap();
                assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "1"));
            }
            Fault::Truncate => assert!(answer.unwrap().json::<Value>().await.is_err()),
            Fault::Delay | Fault::Duplicate => assert_eq!(answer.unwrap().json::<Value>().await.unwrap()["result"], "0x7a69"),
            Fault::WrongId => assert_ne!(answer.unwrap().json::<Value>().await.unwrap()["id"], 5),
            Fault::WrongType => assert!(!answer.unwrap().json::<Value>().await.unwrap()["result"].is_string()),
            Fault::HugeNumber => {
                let answer: Value = answer.unwrap().json().await.unwrap();
                assert!(answer["result"].as_str().unwrap().len() > 66, "{answer}");
            }
            Fault::OtherChain => assert_eq!(answer.unwrap().json::<Value>().await.unwrap()["result"], "0x76adf1"),
            Fault::StaleHead => unreachable!("has a test of its own"),
        }
        assert_eq!(seen.load(Ordering::SeqCst), forwarded, "{fault}");
        assert_eq!(proxy.counts().of(fault.name()), 1, "{fault}");
    }
}

#[tokio::test]
async fn a_reset_and_a_close_are_different_ends_of_a_connection() {
    let (url, _) = node().await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let request =
        format!("POST / HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    for (fault, reset) in [(Fault::DropRequest, false), (Fault::Reset, true)] {
        let proxy = FaultProxy::start(&url, always(fault)).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer).await {
            Ok(bytes) => assert!(!reset && bytes == 0, "{fault}: {bytes} bytes"),
            Err(error) => assert!(reset && error.kind() == std::io::ErrorKind::ConnectionReset, "{fault}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_stale_head_is_one_that_the_node_told_before() {
    let (url, _) = node().await;
    let proxy = FaultProxy::start(&url, FaultPlan { faults: [Fault::StaleHead].into(), ..FaultPlan::default() }).await.unwrap();
    for head in ["0x1", "0x2", "0x3"] {
        assert_eq!(result(&proxy, "eth_blockNumber").await, head);
    }
    proxy.set(PlanChange { faults_permille: Some(1_000), ..PlanChange::default() }).unwrap();
    for _ in 0..10 {
        let head = result(&proxy, "eth_blockNumber").await;
        assert!(head == "0x1" || head == "0x2", "{head}");
    }
    assert_eq!(result(&proxy, "eth_chainId").await, "0x7a69", "other questions are answered as ever");
    assert_eq!(proxy.counts().of("stale-head"), 10);
}

#[tokio::test]
async fn a_frozen_head_stands_until_the_mode_changes() {
    let (url, _) = node().await;
    let proxy = FaultProxy::start(&url, FaultPlan::default()).await.unwrap();
    assert_eq!(result(&proxy, "eth_blockNumber").await, "0x1");
    proxy.set(Mode::Frozen).unwrap();
    for _ in 0..3 {
        assert_eq!(result(&proxy, "eth_blockNumber").await, "0x1");
    }
    assert_eq!(result(&proxy, "eth_gasPrice").await, "0x2", "it answers all the same");
    proxy.set(Mode::Sound).unwrap();
    assert_eq!(result(&proxy, "eth_blockNumber").await, "0x3");
}

#[tokio::test]
async fn a_dead_node_closes_and_a_silent_one_never_answers() {
    let (url, seen) = node().await;
    let proxy = FaultProxy::start(&url, FaultPlan { mode: Mode::Dead, ..FaultPlan::default() }).await.unwrap();
    assert!(call(&proxy, "eth_chainId").await.is_err());
    proxy.set(Mode::Silent).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), call(&proxy, "eth_chainId")).await.is_err());
    assert_eq!(seen.load(Ordering::SeqCst), 0);
    proxy.set(Mode::Sound).unwrap();
    assert_eq!(result(&proxy, "eth_chainId").await, "0x7a69");
    assert_eq!((proxy.counts().of("dead"), proxy.counts().of("silent")), (1, 1));
}

#[tokio::test]
async fn a_liar_denies_what_happened_and_swallows_what_is_sent() {
    let (url, seen) = node().await;
    let proxy = FaultProxy::start(&url, FaultPlan { mode: Mode::Lying, ..FaultPlan::default() }).await.unwrap();
    assert_eq!(result(&proxy, "eth_getTransactionReceipt").await, Value::Null);
    let before = seen.load(Ordering::SeqCst);
    let send = json!({ "jsonrpc": "2.0", "id": 5, "method": "eth_sendRawTransaction", "params": ["0x02"] });
    let answer: Value = reqwest::Client::new().post(proxy.url()).json(&send).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["result"].as_str().unwrap().len(), 66);
    assert_eq!(seen.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn the_page_tells_the_plan_and_the_counts_and_takes_changes() {
    let (url, _) = node().await;
    let proxy = FaultProxy::start(&url, FaultPlan { seed: 3, ..FaultPlan::default() }).await.unwrap();
    let page = format!("{}/faults", proxy.url());
    let http = reqwest::Client::new();
    let changed = json!({ "faults_permille": 1000, "faults": ["too-many"], "methods": ["eth_chainId"] });
    assert!(http.post(&page).json(&changed).send().await.unwrap().status().is_success());
    assert_eq!(call(&proxy, "eth_chainId").await.unwrap().status().as_u16(), 429);
    assert_eq!(call(&proxy, "eth_blockNumber").await.unwrap().status().as_u16(), 200, "a method that is not among them");
    for refused in [json!({ "faults_permille": 1001 }), json!({ "faults": ["nonsense"] }), json!({ "mode": "odd" }), json!({ "typo": 1 })] {
        assert_eq!(http.post(&page).json(&refused).send().await.unwrap().status().as_u16(), 422, "{refused}");
    }
    let status: Value = http.get(&page).send().await.unwrap().json().await.unwrap();
    assert_eq!(status["seed"], 3);
    assert_eq!(status["mode"], "sound");
    assert_eq!(status["requests"], 2);
    assert_eq!(status["faulted"], 1);
    assert_eq!(status["counts"]["faults"]["too-many"]["eth_chainId"], 1);
}

#[tokio::test]
async fn a_node_that_is_gone_is_a_bad_gateway_and_no_fault() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:hunter2@{}", listener.local_addr().unwrap());
    drop(listener);
    let proxy = FaultProxy::start(&url, FaultPlan::default()).await.unwrap();
    let answer = call(&proxy, "eth_chainId").await.unwrap();
    assert_eq!(answer.status().as_u16(), 502);
    assert!(!answer.text().await.unwrap().contains("hunter2"));
    assert!(!format!("{proxy:?}").contains("hunter2"));
    assert_eq!((proxy.counts().upstream_failures, proxy.counts().faults_total()), (1, 0));
}

#[tokio::test]
async fn a_proxy_for_others_than_this_machine_is_refused() {
    let refused = FaultProxy::listen("http://127.0.0.1:1", "0.0.0.0:0".parse().unwrap(), FaultPlan::default()).await;
    assert!(matches!(refused, Err(ProxyError::NotLoopback(_))), "{refused:?}");
    assert!(matches!(FaultProxy::start("no url", FaultPlan::default()).await, Err(ProxyError::Upstream(_))));
}
