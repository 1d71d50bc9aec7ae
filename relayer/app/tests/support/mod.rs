//! One devnet with one relayer, or with several replicas on a Kafka broker, for all tests of a program, driven through
//! `driver.mjs`; one test at a time has it.
//!
//! Needs node, `ACURAST_ANVIL`, `ACURAST_DEVNODE` and `ACURAST_CHAIN_SPEC` (`deploy/test-rust.sh` sets them).

// Each program uses its part of this.
#![allow(dead_code)]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

const RELAYER: &str = env!("CARGO_BIN_EXE_acurast-relayer");
/// How long anything may take that the relayer is to do by itself.
pub const PATIENCE: Duration = Duration::from_secs(90);

static WORLD: Mutex<Option<World>> = Mutex::const_new(None);

/// An assignment whose first execution runs.
#[derive(Debug, Clone)]
pub struct Assignment(pub Value);

impl Assignment {
    pub fn id(&self) -> &str {
        self.0["assignment_id"].as_str().unwrap()
    }
}

/// The relayer's answer to an output.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Value,
}

/// The devnet, the relayer in it, and whoever uses both.
pub struct World {
    // Its input stays open as long as this process lives; what it started ends with it.
    _driver: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    place: Value,
    running: std::collections::BTreeSet<usize>,
    refusing: Option<Assignment>,
}

/// What is missing to have a world; it is said aloud, and a failure where nodes are required.
fn missing() -> Option<&'static str> {
    let file = |name: &str| std::env::var_os(name).map(PathBuf::from).is_some_and(|path| path.is_file());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !file("ACURAST_CHAIN_SPEC") {
        // Nobody can be required to have what may be neither committed nor reachable.
        return Some("set ACURAST_CHAIN_SPEC");
    }
    let rest = if !file("ACURAST_DEVNODE") {
        Some("set ACURAST_DEVNODE (binary of deploy/devnode)")
    } else if !file("ACURAST_ANVIL") {
        Some("set ACURAST_ANVIL")
    } else if !root.join("contracts/evm/out/AcurastSettlement.sol").is_dir() || !root.join("deploy/devnet/node_modules").is_dir() {
        Some("run deploy/setup.sh")
    } else {
        None
    };
    if let Some(rest) = rest {
        assert!(std::env::var("ACURAST_NODES").as_deref() != Ok("required"), "{rest}");
    }
    rest
}

/// Whether a broker can be had; a failure where it must be.
fn no_broker() -> Option<&'static str> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kafka/kafka.sh");
    let ready = Command::new(script).arg("ready").output().unwrap().status.success();
    assert!(ready || std::env::var("ACURAST_NODES").as_deref() != Ok("required"), "run deploy/setup.sh --kafka");
    (!ready).then_some("run deploy/setup.sh --kafka")
}

/// The world with one relayer, for one test alone; nothing where it can't be had.
pub async fn world() -> Option<MutexGuard<'static, Option<World>>> {
    world_of(0).await
}

/// The world with `replicas` relayers that share a broker (0: one without), for one test alone; nothing where it can't be had.
/// All tests of a program ask for the same number.
pub async fn world_of(replicas: usize) -> Option<MutexGuard<'static, Option<World>>> {
    let missing = missing().or_else(|| if replicas > 0 { no_broker() } else { None });
    if let Some(missing) = missing {
        // Written past the test harness, which keeps what a passing test prints to itself.
        let message = format!("SKIPPED: {missing} to test the relayer on the devnet\n");
        std::io::stderr().write_all(message.as_bytes()).unwrap();
        return None;
    }
    let mut world = WORLD.lock().await;
    if world.is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        *world = Some(World::new(replicas));
    }
    Some(world)
}

impl World {
    fn new(replicas: usize) -> Self {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/driver.mjs");
        let mut command = Command::new("node");
        command.arg(driver).arg(RELAYER).arg(replicas.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let place = serde_json::from_str(&answers.next().expect("the devnet comes up").unwrap()).unwrap();
        Self { _driver: child, commands, answers, place, running: std::collections::BTreeSet::new(), refusing: None }
    }

    fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        let answer: Value = serde_json::from_str(&self.answers.next().expect("the driver lives").unwrap()).unwrap();
        assert!(answer["failed"].is_null(), "{}", answer["failed"].as_str().unwrap_or_default());
        answer
    }

    /// The relayer's configuration.
    pub fn config(&self) -> PathBuf {
        self.config_of(0)
    }

    /// A replica's configuration.
    pub fn config_of(&self, replica: usize) -> PathBuf {
        PathBuf::from(self.place["configs"][replica].as_str().unwrap())
    }

    /// Where a replica answers.
    pub fn api_of(&self, replica: usize) -> &str {
        self.place["apis"][replica].as_str().unwrap()
    }

    /// The settlement contract of the world.
    pub fn settlement(&self) -> &str {
        self.place["settlement"].as_str().unwrap()
    }

    /// A contract of the world that is no settlement contract.
    pub fn consumer(&self) -> &str {
        self.place["consumer"].as_str().unwrap()
    }

    /// The genesis hash of the world's Acurast chain.
    pub fn genesis(&self) -> &str {
        self.place["genesis"].as_str().unwrap()
    }

    /// Starts the relayer unless it runs.
    pub fn start(&mut self) {
        self.start_replica(0);
    }

    /// Starts a replica unless it runs, and waits until it answers.
    pub fn start_replica(&mut self, replica: usize) {
        if self.running.insert(replica) {
            self.ask(&json!({ "command": "start", "replica": replica }));
        }
    }

    /// Ends the relayer with a signal; returns its exit code, or nothing when the signal was its end.
    pub fn end(&mut self, signal: &str) -> Option<i64> {
        self.end_replica(0, signal)
    }

    /// The same of a replica.
    pub fn end_replica(&mut self, replica: usize, signal: &str) -> Option<i64> {
        self.running.remove(&replica);
        self.ask(&json!({ "command": "end", "replica": replica, "signal": signal }))["code"].as_i64()
    }

    /// Sends a replica a signal that it outlives.
    pub fn signal(&mut self, replica: usize, signal: &str) {
        self.ask(&json!({ "command": "signal", "replica": replica, "signal": signal }));
    }

    /// Takes the volume of a replica that doesn't run away.
    pub fn lose_volume(&mut self, replica: usize) {
        assert!(!self.running.contains(&replica));
        self.ask(&json!({ "command": "lose", "replica": replica }));
    }

    /// Whether a replica's process lives, and what it logged so far.
    pub fn state(&mut self, replica: usize) -> (bool, String) {
        let state = self.ask(&json!({ "command": "state", "replica": replica }));
        (state["runs"].as_bool().unwrap(), state["log"].as_str().unwrap().to_owned())
    }

    /// A job of one slot, assigned and in its first execution, that nobody has submitted anything for.
    pub fn assign(&mut self) -> Assignment {
        Assignment(self.ask(&json!({ "command": "assign", "executions": 2 })))
    }

    /// The assignment that every refused output is for: none of them may leave a trace of it.
    pub fn refusing(&mut self) -> Assignment {
        if self.refusing.is_none() {
            self.refusing = Some(self.assign());
        }
        self.refusing.clone().unwrap()
    }

    /// The body that the processor of `assignment` submits.
    pub fn sign(&mut self, assignment: &Assignment, execution: u64, payload: &[u8]) -> Value {
        let mut command = assignment.0.clone();
        command["command"] = json!("sign");
        command["execution"] = json!(execution);
        command["payload"] = json!(format!("0x{}", hex::encode(payload)));
        self.ask(&command)
    }

    /// How often the contract settled an execution.
    pub fn settled(&mut self, assignment: &Assignment, execution: u64) -> u64 {
        let mut command = assignment.0.clone();
        command["command"] = json!("settled");
        self.ask(&command)["counts"][execution.to_string()].as_u64().unwrap_or(0)
    }

    /// Sends a body to `POST /v1/outputs`.
    pub async fn send(&self, body: String) -> Answer {
        self.send_to(0, body).await
    }

    /// The same to a replica.
    pub async fn send_to(&self, replica: usize, body: String) -> Answer {
        let url = format!("{}/v1/outputs", self.api_of(replica));
        let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Answer { status: response.status().as_u16(), retry_after, body: response.json().await.unwrap() }
    }

    /// Submits an output, again while its assignment isn't known yet, as a processor does.
    pub async fn submit(&self, output: &Value) -> Answer {
        self.submit_to(0, output).await
    }

    /// The same to a replica.
    pub async fn submit_to(&self, replica: usize, output: &Value) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.send_to(replica, output.to_string()).await;
            if answer.status != 503 || Instant::now() > deadline {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A job as the running relayer shows it.
    pub async fn job(&self, assignment: &Assignment) -> Value {
        self.job_of(0, assignment).await
    }

    /// The same of a replica.
    pub async fn job_of(&self, replica: usize, assignment: &Assignment) -> Value {
        let url = format!("{}/v1/jobs/{}", self.api_of(replica), assignment.0["job_key"].as_str().unwrap());
        reqwest::Client::new().get(url).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// A gauge of a replica, by the partition that it is of.
    pub async fn gauge(&self, replica: usize, name: &str) -> std::collections::BTreeMap<String, u64> {
        let url = format!("{}/metrics", self.api_of(replica));
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let prefix = format!("acurast_relayer_{name}{{partition=\"");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "));
        lines.map(|(partition, value)| (partition.to_owned(), value.parse().unwrap())).collect()
    }

    /// Runs a subcommand of the relayer with the world's configuration.
    pub fn cli(&self, args: &[&str]) -> Output {
        self.cli_of(0, args)
    }

    /// The same with a replica's.
    pub fn cli_of(&self, replica: usize, args: &[&str]) -> Output {
        Command::new(RELAYER).args(args).arg("--config").arg(self.config_of(replica)).output().unwrap()
    }

    /// The same, for one that succeeds; returns what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// All records of a topic, one JSON text each.
    pub fn records(&self, topic: &str) -> Vec<String> {
        self.ok(&["journal", "tail", "--json", "--topic", topic]).lines().map(str::to_owned).collect()
    }

    /// Runs a relayer of its own with a changed configuration and an empty data directory; it has to end by itself. Returns
    /// what it said.
    pub fn refused_start(&self, change: impl FnOnce(String) -> String) -> String {
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(self.config()).unwrap();
        let data = self.config().parent().unwrap().join("data");
        let text = text.replace(data.to_str().unwrap(), folder.path().join("data").to_str().unwrap());
        let config = folder.path().join("relayer.toml");
        std::fs::write(&config, change(text)).unwrap();
        let mut child =
            Command::new(RELAYER).args(["run", "--config"]).arg(config).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("the relayer runs: {}", String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    }
}
