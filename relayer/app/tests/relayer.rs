//! The relayer's process, on the real Acurast runtime and a real EVM node: what it refuses and what then stays undone, how it
//! ends, and how it goes on.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use acurast_events::topics::TopicName;
use acurast_relayer_journal::{Attributes, EmbeddedJournal, EventJournal, NewRecord};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Answer, Assignment, PATIENCE, World, world};

const OUTPUTS: &str = "acurast.outputs.v1";
const JOBS: &str = "acurast.jobs.v1";

/// Sends what must be refused, and sees that nothing of it was stored and nothing came of it.
async fn refused(world: &mut World, output: &Value, status: u16, words: &str) {
    let assignment = world.refusing();
    let before = world.records(OUTPUTS).len();
    let answer = world.submit(output).await;
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.body["error"].as_str().unwrap().contains(words), "{answer:?}");
    assert_eq!(world.records(OUTPUTS).len(), before, "a refused output was stored");
    assert_untouched(world, &assignment).await;
}

/// Nobody heard of an output for this assignment: no record names one, the job has none, the contract settled none.
async fn assert_untouched(world: &mut World, assignment: &Assignment) {
    let job = world.job(assignment).await;
    let known: Vec<_> = job["assignments"].as_array().unwrap().iter().flat_map(|it| it["known"].as_array().unwrap()).collect();
    assert!(known.is_empty(), "{known:?}");
    assert_eq!(spoken(world, assignment), Vec::<String>::new());
    assert_eq!(world.settled(assignment, 0), 0);
}

/// The names of all events of `jobs.v1` that speak of an output for this assignment, in order.
fn spoken(world: &World, assignment: &Assignment) -> Vec<String> {
    let records = world.records(JOBS);
    let records = records.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let events = records.flat_map(|line| line["record"]["record"]["events"].as_array().cloned().unwrap_or_default());
    let named = events.flat_map(|event| event.as_object().unwrap().clone());
    let of_outputs = ["output_accepted", "output_refused", "equivocated", "fulfillment_planned"];
    named
        .filter(|(name, event)| of_outputs.contains(&name.as_str()) && event["assignment_id"] == assignment.id())
        .map(|(name, _)| name)
        .collect()
}

/// Waits until the contract settled the first execution.
async fn until_settled(world: &mut World, assignment: &Assignment) {
    let deadline = Instant::now() + PATIENCE;
    while world.settled(assignment, 0) == 0 {
        assert!(Instant::now() < deadline, "not settled: {:#}", world.job(assignment).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn accepted(answer: &Answer) -> (&str, &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.body["settlement_id"].as_str().unwrap(), answer.body["payload_hash"].as_str().unwrap())
}

#[tokio::test]
async fn an_output_with_a_wrong_signature_is_refused_and_leaves_no_trace() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    let assignment = world.refusing();
    let mut changed = world.sign(&assignment, 0, b"what was signed");
    changed["payload"] = json!("0x00");
    refused(world, &changed, 422, "").await;
    let mut foreign = assignment.clone();
    foreign.0["ss58"] = world.assign().0["ss58"].clone();
    let foreign = world.sign(&foreign, 0, b"by a processor of another job");
    refused(world, &foreign, 422, "").await;
    let mut cut = world.sign(&assignment, 0, b"cut");
    cut["signature"] = json!("0x1234");
    refused(world, &cut, 422, "").await;
}

#[tokio::test]
async fn an_output_of_an_execution_that_the_assignment_does_not_have_is_refused() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    let assignment = world.refusing();
    for execution in [2, 7, 1 << 52] {
        let output = world.sign(&assignment, execution, b"too late");
        refused(world, &output, 409, "is not one of the assignment's").await;
    }
}

#[tokio::test]
async fn an_output_that_is_too_large_for_the_relayer_or_for_its_account_is_refused() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    let assignment = world.refusing();
    let output = world.sign(&assignment, 0, &[7; 1_025]);
    refused(world, &output, 409, "the output has 1025 bytes, 1024 are allowed").await;
    let output = world.sign(&assignment, 0, &[7; 65_537]);
    refused(world, &output, 413, "longer than 65536 bytes").await;
    // So large that it isn't even read.
    let output = json!({ "assignment_id": assignment.id(), "execution": 0, "payload": "0x", "signature": "0".repeat(1 << 20) });
    refused(world, &output, 413, "").await;
}

#[tokio::test]
async fn a_body_that_is_no_output_is_refused() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    let assignment = world.refusing();
    let good = world.sign(&assignment, 0, b"good");
    assert_eq!(world.send("{".to_owned()).await.status, 400);
    let mut unknown = good.clone();
    unknown["nonce"] = json!(1);
    refused(world, &unknown, 422, "unknown field `nonce`").await;
    for field in ["assignment_id", "execution", "payload", "signature"] {
        let mut lacking = good.clone();
        lacking.as_object_mut().unwrap().remove(field);
        refused(world, &lacking, 422, field).await;
        let mut odd = good.clone();
        odd[field] = json!("0xno");
        refused(world, &odd, 422, "").await;
    }
}

#[tokio::test]
async fn an_output_of_an_unknown_assignment_is_to_be_sent_again_later() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    let mut unknown = world.refusing();
    unknown.0["assignment_id"] = json!(format!("0x{}", "ab".repeat(32)));
    let output = world.sign(&unknown, 0, b"early");
    let before = world.records(OUTPUTS).len();
    let answer = world.send(output.to_string()).await;
    assert_eq!((answer.status, answer.retry_after.as_deref()), (503, Some("1")), "{answer:?}");
    assert_eq!(world.records(OUTPUTS).len(), before);
}

#[tokio::test]
async fn the_same_output_again_gets_the_same_answer_and_another_one_is_refused_and_kept_as_evidence() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    let assignment = world.assign();
    let output = world.sign(&assignment, 0, b"the first");
    let first = world.submit(&output).await;
    let stored = world.records(OUTPUTS).len();
    for _ in 0..3 {
        assert_eq!(accepted(&world.submit(&output).await), accepted(&first));
    }
    assert_eq!(world.records(OUTPUTS).len(), stored, "an output that was answered was stored again");

    let other = world.sign(&assignment, 0, b"the second");
    for _ in 0..2 {
        let answer = world.submit(&other).await;
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains("has another output"), "{answer:?}");
    }
    let events = spoken(world, &assignment);
    assert_eq!(events.iter().filter(|name| *name == "output_accepted").count(), 1, "{events:?}");
    assert_eq!(events.iter().filter(|name| *name == "equivocated").count(), 1, "{events:?}");
    let job = world.job(&assignment).await;
    assert_eq!(job["assignments"][0]["known"][0]["equivocations"], 1, "{job:#}");

    // What was accepted first is what is delivered, once.
    until_settled(world, &assignment).await;
    let deadline = Instant::now() + PATIENCE;
    while !world.submit(&output).await.body["transaction_hash"].is_string() {
        assert!(Instant::now() < deadline, "no transaction: {:#}", world.job(&assignment).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(accepted(&world.submit(&output).await), accepted(&first));
    assert_eq!(world.settled(&assignment, 0), 1);
}

#[tokio::test]
async fn a_start_is_refused_on_another_chain_another_contract_or_a_config_that_is_not_understood() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    let settlement = world.settlement().to_lowercase();

    let nobody = format!("0x{}", "11".repeat(20));
    let said = world.refused_start(|config| config.replace(&settlement, &nobody));
    assert!(said.contains(&nobody) && said.contains("no contract"), "{said}");
    let other = world.consumer().to_owned();
    let said = world.refused_start(|config| config.replace(&settlement, &other));
    assert!(said.contains(&other), "{said}");
    let said = world.refused_start(|config| config.replace("eip155:31337", "eip155:1"));
    assert!(said.contains("31337"), "{said}");

    let genesis = format!("0x{}", "22".repeat(32));
    let said = world.refused_start(|config| config.replace(world.genesis(), &genesis));
    assert!(said.contains(&genesis) && said.contains(world.genesis()), "{said}");

    let said = world.refused_start(|config| format!("gas_limit = 1\n{config}"));
    assert!(said.contains("gas_limit"), "{said}");
    let said = world.refused_start(|config| config.replace("[acurast]", "[acurast]\nurls = []"));
    assert!(said.contains("urls"), "{said}");
}

#[tokio::test]
async fn a_relayer_that_is_told_to_stop_stops_in_order_and_its_state_is_the_fold_of_its_journal() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    let assignment = world.assign();
    let output = world.sign(&assignment, 0, b"before the stop");
    accepted(&world.submit(&output).await);
    until_settled(world, &assignment).await;

    let keys = |text: &str| {
        let jobs: Vec<Value> = serde_json::from_str(text).unwrap();
        jobs.iter().map(|job| job["job_key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let running = keys(&world.ok(&["job", "list", "--json"]));
    assert!(running.contains(&assignment.0["job_key"].as_str().unwrap().to_owned()));

    assert_eq!(world.end("SIGTERM"), Some(0));
    assert_eq!(keys(&world.ok(&["job", "list", "--json"])), running);
    let shown: Value = serde_json::from_str(&world.ok(&["job", "show", assignment.0["job_key"].as_str().unwrap()])).unwrap();
    assert_eq!(shown["state"], "ASSIGNED");
    assert!(world.ok(&["replay"]).contains("all digests equal"));
    assert!(!world.ok(&["journal", "verify"]).contains("BROKEN"));
}

#[tokio::test]
async fn a_relayer_that_is_killed_goes_on_where_it_was_and_settles_once() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    let assignment = world.assign();
    let output = world.sign(&assignment, 0, b"before the kill");
    let first = world.submit(&output).await;
    assert_eq!(world.end("SIGKILL"), None);

    world.start();
    assert_eq!(accepted(&world.submit(&output).await), accepted(&first));
    until_settled(world, &assignment).await;
    // Once more, at a moment when all it sent is mined: it must find its effect, not repeat it.
    assert_eq!(world.end("SIGKILL"), None);
    world.start();
    let deadline = Instant::now() + PATIENCE;
    while world.job(&assignment).await["assignments"][0]["known"][0]["outcome"].is_null() {
        assert!(Instant::now() < deadline, "no outcome: {:#}", world.job(&assignment).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(world.settled(&assignment, 0), 1);
    assert_eq!(accepted(&world.submit(&output).await), accepted(&first));
    assert_eq!(world.end("SIGTERM"), Some(0));
    assert!(world.ok(&["replay"]).contains("all digests equal"));
}

/// Gives the relayer an admin interface at a free port; returns its address and the token.
fn with_admin(world: &World) -> (String, String) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let token = "5".repeat(64);
    let file = world.config().with_file_name("admin-token");
    std::fs::write(&file, &token).unwrap();
    let mut text = std::fs::read_to_string(world.config()).unwrap();
    text.push_str(&format!("\n[admin]\nlisten = \"{free}\"\ntoken = {{ file = {:?} }}\n", file.display().to_string()));
    std::fs::write(world.config(), text).unwrap();
    (format!("http://{free}/v1/commands"), token)
}

/// Writes a record as somebody else's program would, while no relayer runs.
async fn spoil(world: &World, topic: &str, value: &[u8]) {
    let journal = EmbeddedJournal::open(&world.config().with_file_name("data").join("journal")).unwrap();
    let at = TopicName::new(topic).partition(0);
    journal.append(&at, vec![NewRecord { key: Vec::new(), value: value.to_vec(), attributes: Attributes::default() }]).await.unwrap();
}

fn letters(world: &World, args: &[&str]) -> Vec<Value> {
    let all = ["dlq", "list", "--json"].into_iter().chain(args.iter().copied()).collect::<Vec<_>>();
    serde_json::from_str(&world.ok(&all)).unwrap()
}

#[tokio::test]
async fn a_poison_record_waits_for_an_operator_whose_commands_need_the_token_and_are_in_the_journal() {
    let Some(mut world) = world().await else { return };
    let world = world.as_mut().unwrap();
    world.start();
    world.end("SIGTERM");
    spoil(world, OUTPUTS, b"\xff no output").await;
    spoil(world, "acurast.control.v1", b"\xff no command").await;
    let (commands, token) = with_admin(world);
    world.start();
    let deadline = Instant::now() + PATIENCE;
    let mut open = letters(world, &[]);
    while open.len() < 2 {
        assert!(Instant::now() < deadline, "{open:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        open = letters(world, &[]);
    }
    let of = |topic: &str| open.iter().find(|letter| letter["input"]["topic"] == topic).unwrap_or_else(|| panic!("{open:#?}"));
    let (output, command) = (of(OUTPUTS)["dead_letter"].as_str().unwrap(), of("acurast.control.v1")["dead_letter"].as_str().unwrap());
    assert!(of(OUTPUTS)["reason"].as_str().unwrap().contains("of acurast.outputs.v1/0 can't be decided"), "{open:#?}");

    // Nobody gives commands without the token, and what was refused so leaves no trace.
    let before = world.records("acurast.control.v1").len();
    let body = json!({ "command": "resolve", "dead_letter": output, "who": "eve", "why": "it is mine" });
    let client = reqwest::Client::new();
    for wrong in [None, Some("5".repeat(63)), Some(String::new())] {
        let request = client.post(&commands).json(&body);
        let request = wrong.iter().fold(request, |request, token| request.bearer_auth(token));
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    let unexplained = json!({ "command": "resolve", "dead_letter": output, "who": "ana", "why": " " });
    assert_eq!(client.post(&commands).bearer_auth(&token).json(&unexplained).send().await.unwrap().status(), 422);
    assert_eq!(world.records("acurast.control.v1").len(), before);

    // It still can't be decided: refused, with a record, and open as before.
    let refused = world.cli(&["dlq", "requeue", output, "--why", "was it the version?", "--who", "ana"]);
    let said = String::from_utf8(refused.stdout).unwrap();
    assert!(!refused.status.success() && said.contains("still can't be decided"), "{said}");
    let said = world.ok(&["dlq", "resolve", output, command, "--why", "nobody's records", "--who", "ana"]);
    assert_eq!(said.matches(": resolved by command 0x").count(), 2, "{said}");
    assert!(letters(world, &[]).is_empty());
    // The same request again, as after a lost answer.
    let body = json!({ "command": "resolve", "dead_letter": output, "who": "ana", "why": "again", "id": format!("0x{}", "ab".repeat(32)) });
    for _ in 0..2 {
        let answer = client.post(&commands).bearer_auth(&token).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 409);
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["reason"].as_str().unwrap().contains("resolved before, by ana"), "{answer}");
    }

    // Everything else goes on, and the journal tells who did what.
    let assignment = world.assign();
    let signed = world.sign(&assignment, 0, b"behind the poison");
    accepted(&world.submit(&signed).await);
    assert_eq!(world.end("SIGTERM"), Some(0));
    let ended = letters(world, &["--all"]);
    assert_eq!(
        ended.iter().filter(|letter| letter["state"] == "resolved" && letter["end"]["given"]["who"] == "ana").count(),
        2,
        "{ended:#?}"
    );
    let told = world.records(JOBS).join("\n");
    let events =
        ["input_quarantined", "command_refused", "dead_letter_resolved"].map(|name| told.matches(&format!("{{\"{name}\":")).count());
    assert_eq!(events, [2, 2, 2], "two poison records, two refusals, two resolved");
    assert!(world.ok(&["replay"]).contains("all digests equal"));
}
