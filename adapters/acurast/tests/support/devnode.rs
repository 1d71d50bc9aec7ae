//! A development node that runs the real runtime, and the recorded calls that take jobs through their lives on it.

use super::fixture;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use subxt_rpcs::client::{RpcClient, RpcParams};

/// Starts every node with the same clock, so that the same calls give the same blocks.
pub const CLOCK_MS: &str = "1795000000000";

/// The node's binary and chain spec; nothing, said aloud, where they are not given.
pub fn found() -> Option<(PathBuf, PathBuf)> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_file());
    match (path("ACURAST_DEVNODE"), path("ACURAST_CHAIN_SPEC")) {
        (Some(binary), Some(spec)) => Some((binary, spec)),
        _ => {
            // Written past the test harness, which keeps what a passing test prints to itself.
            let message =
                "SKIPPED: set ACURAST_DEVNODE (binary of deploy/devnode) and ACURAST_CHAIN_SPEC to test against the real runtime\n";
            std::io::stderr().write_all(message.as_bytes()).unwrap();
            None
        }
    }
}

pub struct DevNode {
    child: Child,
    pub port: u16,
    client: RpcClient,
}

impl DevNode {
    pub async fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port, CLOCK_MS, "0").await
    }

    pub async fn start_at(port: u16, clock_ms: &str, finality_lag: &str) -> Option<Self> {
        let (binary, spec) = found()?;
        let mut child = Command::new(binary)
            .arg("--spec")
            .arg(spec)
            .args(["--port", &port.to_string(), "--clock-ms", clock_ms, "--finality-lag", finality_lag])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // The thread goes on reading, so that the node never blocks on a full pipe.
        let (ready, serving) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut ready = Some(ready);
            while let Some(Ok(line)) = lines.next() {
                if let Some(ready) = ready.take_if(|_| line.contains("serving on")) {
                    let _ = ready.send(());
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(30), serving).await.expect("the node starts").expect("the node lives");
        let client = RpcClient::from_insecure_url(format!("ws://127.0.0.1:{port}")).await.unwrap();
        Some(Self { child, port, client })
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    pub async fn call(&self, method: &str, params: &Value) -> Value {
        let mut list = RpcParams::new();
        for param in params.as_array().unwrap() {
            list.push(param).unwrap();
        }
        self.client.request(method, list).await.unwrap()
    }

    pub async fn mine(&self, count: usize) {
        for _ in 0..count {
            self.call("dev_newBlock", &serde_json::json!([{ "transactions": [] }])).await;
        }
    }

    /// Plays the recorded calls; the chain must come out as it was recorded.
    pub async fn play(&self) {
        let scenario: Value = serde_json::from_slice(&std::fs::read(fixture("../scenario/lifecycle.json")).unwrap()).unwrap();
        for step in scenario["steps"].as_array().unwrap() {
            for call in step["calls"].as_array().unwrap() {
                self.call(call["method"].as_str().unwrap(), &call["params"]).await;
            }
            assert_eq!(self.call("chain_getBlockHash", &serde_json::json!([])).await, step["hash"], "{}", step["label"]);
        }
    }

    /// Stops the process where it is; returns when each of its threads stands still.
    pub fn freeze(&self) {
        self.signal("-STOP");
        let stands_still = || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
            // The state follows the command's name, which is in parentheses.
            let states = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap());
            states.into_iter().all(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
        };
        while !stands_still() {
            std::thread::yield_now();
        }
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for DevNode {
    fn drop(&mut self) {
        self.kill();
    }
}
