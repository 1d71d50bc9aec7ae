//! The outcome tables against what real clients answer, as recorded and anew, and against what their source texts say.

mod geth;
mod provoke;
mod quoted;

use crate::anvil::Anvil;
use crate::world::CHAIN_ID;
use acurast_adapter_api::SendOutcome;
use acurast_adapter_evm::RpcError;
use acurast_adapter_evm::outcomes::{CLIENTS, Client, Family, Quote, Reading, Row, Source, Text, read};
use alloy::primitives::U256;
use provoke::{ETHER, Node, Recording, Sender, reading, senders};
use serde_json::json;

/// Families with recordings, and their names.
const RECORDED: [(Family, &str); 2] = [(Family::Anvil, "anvil"), (Family::Geth, "geth")];

fn client(family: Family) -> &'static Client {
    CLIENTS.iter().find(|client| client.family == family).unwrap()
}

fn rows() -> impl Iterator<Item = (&'static Client, &'static Row)> {
    CLIENTS.iter().flat_map(|client| client.rows.iter().map(move |row| (client, row)))
}

/// What `reading` calls the outcome of a row.
fn meaning(row: &Row) -> String {
    match row.reading {
        Reading::AlreadyKnown => "already known".to_owned(),
        Reading::Rejected(never) => format!("rejected: {}", never.label()),
        Reading::SlotTooLow => "slot too low".to_owned(),
        Reading::SlotTooHigh => "slot too high".to_owned(),
        Reading::FeeTooLow => "fee too low".to_owned(),
        Reading::InsufficientFunds => "insufficient funds".to_owned(),
        Reading::Open(doubt) => format!("indeterminate: {}", doubt.label()),
    }
}

#[tokio::test]
async fn what_a_real_anvil_refuses_is_what_was_recorded() {
    let Some(anvil) = Anvil::start() else { return };
    let mut node = Node { endpoint: &anvil.endpoint, family: Family::Anvil, chain_id: CHAIN_ID, answers: Default::default() };
    let (relayer, senders) = (Sender::new(0xa1), senders());
    for sender in senders.iter().chain([&relayer]) {
        node.rpc("anvil_setBalance", json!([sender.address(), U256::from(ETHER)])).await;
    }
    let mined = relayer.sign(relayer.transfer(CHAIN_ID, 0));
    anvil.receipt(&node.take(mined.clone()).await).await;
    anvil.automine(false).await;
    node.ask_everything(&relayer, mined, senders).await;
    let client = node.rpc("web3_clientVersion", json!([])).await.as_str().unwrap().to_owned();
    assert_eq!(Family::of(&client), Family::Anvil);
    Recording { client, answers: node.answers }.check("anvil");
}

#[test]
fn every_recorded_answer_is_read_as_recorded() {
    for (family, name) in RECORDED {
        for (case, answer) in Recording::load(name).answers {
            let found = match (answer.code, &answer.message) {
                (Some(code), Some(message)) => reading(family, code, message),
                _ => "accepted".to_owned(),
            };
            assert_eq!(found, answer.outcome, "{name}: {case}");
        }
    }
}

#[test]
fn every_recorded_row_has_its_recording_and_is_of_the_version_that_was_recorded() {
    for (client, row) in rows() {
        let Source::Recorded { client: program, version } = row.source else { continue };
        let (_, name) = RECORDED.iter().find(|(family, _)| *family == client.family).unwrap();
        let recording = Recording::load(name);
        assert!(recording.client.starts_with(&format!("{program}/{version}")), "{row:?} is not of {}", recording.client);
        let recorded = recording.answers.values().any(|answer| {
            answer.code == Some(row.code)
                && answer.message.as_deref().is_some_and(|message| row.text.is(message))
                && answer.outcome == meaning(row)
        });
        assert!(recorded, "no recording of {row:?}");
    }
}

#[test]
fn every_quoted_row_reads_what_its_source_builds() {
    let examples = quoted::examples();
    for (family, code, message, meaning) in &examples {
        assert_eq!(&reading(*family, *code, message), meaning, "{family:?} {code}: {message}");
    }
    for (client, row) in rows() {
        let Source::Quoted(quotes) = row.source else { continue };
        assert!(!quotes.is_empty(), "{row:?}");
        let example = |(family, code, message, expected): &&quoted::Example| {
            *family == client.family && *code == row.code && row.text.is(message) && *expected == meaning(row)
        };
        assert!(examples.iter().any(|found| example(&found)), "no example of {:?} {row:?}", client.family);
    }
}

#[test]
fn every_source_is_a_place_in_the_clients_own_project() {
    let quotes = |source: Source| match source {
        Source::Recorded { .. } => Vec::new(),
        Source::Quoted(quotes) => quotes.to_vec(),
    };
    for Quote { project, revision, file } in
        CLIENTS.iter().flat_map(|client| quotes(client.source)).chain(rows().flat_map(|(_, row)| quotes(row.source)))
    {
        assert_eq!(project.split('/').count(), 2, "{project}");
        let commit = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        let release = revision.strip_prefix('v').is_some_and(|rest| rest.split('.').count() == 3);
        assert!(commit || release, "{revision}");
        assert!(file.contains('.') && !file.starts_with('/'), "{file}");
    }
}

#[test]
fn no_answer_is_in_two_rows_and_a_beginning_ends_before_a_value() {
    for client in CLIENTS {
        for (index, row) in client.rows.iter().enumerate() {
            if let Text::Start(text) = row.text {
                assert!(text.ends_with([' ', '(']), "{text:?}");
            }
            for other in client.rows.iter().skip(index + 1) {
                assert!(row.code != other.code || !row.text.overlaps(other.text), "{row:?} and {other:?}");
            }
        }
    }
}

#[test]
fn clients_are_told_apart_by_the_beginning_of_their_version() {
    for (version, family) in [
        ("anvil/v1.7.1", Family::Anvil),
        ("Geth/v1.16.9-stable/linux-amd64/go1.26.8", Family::Geth),
        ("Geth/mainnet-1/v1.16.9-stable/linux-amd64/go1.26.8", Family::Geth),
        ("reth/v1.9.3-27a8c0f5/x86_64-unknown-linux-gnu", Family::Reth),
        ("erigon/3.0.0/linux-amd64/go1.24.1", Family::Erigon),
        ("Nethermind/v1.31.0+7aaac7e/linux-x64/dotnet9.0.0", Family::Nethermind),
        ("besu/v25.2.0/linux-x86_64/openjdk-java-21", Family::Unknown),
        ("geth/v1.16.9", Family::Unknown),
        ("", Family::Unknown),
    ] {
        assert_eq!(Family::of(version), family, "{version}");
    }
    assert!(CLIENTS.iter().all(|client| client.family != Family::Unknown && !client.rows.is_empty()));
}

#[test]
fn what_no_row_knows_keeps_the_slot_and_says_why() {
    let known = client(Family::Anvil).rows.iter().find(|row| row.reading == Reading::SlotTooLow).unwrap();
    let Text::Whole(text) = known.text else { panic!("a whole text") };
    assert_eq!(reading(Family::Anvil, known.code, text), "slot too low");
    assert_eq!(reading(Family::Anvil, known.code, &format!("{text}!")), "indeterminate: unknown_answer");
    assert_eq!(reading(Family::Anvil, -1, text), "indeterminate: unknown_answer");
    assert_eq!(reading(Family::Unknown, known.code, text), "indeterminate: unknown_client");
    let method = "eth_sendRawTransaction";
    let unreachable = RpcError::Unreachable { endpoint: "http://node".into(), method, reason: "reset".into() };
    let malformed = RpcError::Malformed { endpoint: "http://node".into(), method, reason: "garbage".into() };
    for (error, label) in [(unreachable, "unreachable: "), (malformed, "malformed: ")] {
        let outcome = read(Family::Geth, &error);
        assert!(matches!(&outcome, SendOutcome::Indeterminate(reason) if reason.starts_with(label)), "{outcome:?}");
    }
}

#[test]
fn what_was_sent_and_taken_is_known_when_it_is_sent_again_whatever_became_of_the_first_answer() {
    for (family, name) in RECORDED {
        let answers = Recording::load(name).answers;
        assert_eq!(answers["in the pool"].outcome, "already known", "{family:?}");
        assert_eq!(answers["mined before"].outcome, "slot too low", "{family:?}");
    }
}
