//! What the recorded lives of jobs on the real runtime say, block by block. The labels are those of `scenario/make.mjs`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_adapter_acurast::{RecordedSource, Recording};
use acurast_adapter_api::{AssignmentOracle, OracleError, Source, SourceBlock, SourceError};
use acurast_events::bytes::BlockHash;
use acurast_events::job_id::MultiOrigin;
use acurast_events::source::{Acknowledged, Amendment, Curve, Matched, Reported, ReportedOutcome, SourceEvent, Strategy};
use acurast_events::units::{BlockNumber, Execution, Timestamp};
use serde_json::Value;
use support::{fixture, names, recorded, recording};

/// The recorded blocks by their labels.
struct Life {
    blocks: Vec<SourceBlock>,
    steps: Vec<(String, u64)>,
}

impl Life {
    async fn load() -> Self {
        let scenario: Value = serde_json::from_slice(&std::fs::read(fixture("../scenario/lifecycle.json")).unwrap()).unwrap();
        let steps = scenario["steps"].as_array().unwrap();
        let steps = steps.iter().map(|step| (step["label"].as_str().unwrap().to_owned(), step["number"].as_u64().unwrap())).collect();
        Self { blocks: recorded().await, steps }
    }

    fn at(&self, label: &str) -> &[SourceEvent] {
        let (_, number) = self.steps.iter().find(|(name, _)| name == label).unwrap_or_else(|| panic!("no step {label}"));
        &self.blocks.iter().find(|block| block.number.0 == *number).unwrap().facts
    }

    fn acknowledged(&self, label: &str) -> Vec<&Acknowledged> {
        self.at(label).iter().filter_map(|fact| if let SourceEvent::Acknowledged(fact) = fact { Some(fact) } else { None }).collect()
    }

    fn matched(&self, label: &str) -> Vec<&Matched> {
        self.at(label).iter().filter_map(|fact| if let SourceEvent::Matched(fact) = fact { Some(fact) } else { None }).collect()
    }

    fn reported(&self, label: &str) -> Vec<&Reported> {
        self.at(label).iter().filter_map(|fact| if let SourceEvent::Reported(fact) = fact { Some(fact) } else { None }).collect()
    }
}

#[tokio::test]
async fn blocks_follow_on_one_another_and_facts_have_distinct_ids_in_order() {
    let life = Life::load().await;
    assert_eq!(life.blocks.len(), 35);
    let mut ids = std::collections::BTreeSet::new();
    for pair in life.blocks.windows(2) {
        assert_eq!((pair[1].first, pair[1].number, pair[1].parent), (pair[1].number, pair[0].number.next(), pair[0].hash));
        assert!(pair[0].timestamp < pair[1].timestamp);
    }
    for block in &life.blocks {
        assert!(block.facts.is_sorted_by_key(|fact| fact.meta().unwrap().index));
        assert!(block.facts.iter().all(|fact| ids.insert(fact.meta().unwrap().id)));
        assert_eq!(block.seal().fact_count.0, block.facts.len() as u64);
    }
    assert_eq!(ids.len(), 56);
}

#[tokio::test]
async fn an_open_job_carries_its_registration_and_budget() {
    let life = Life::load().await;
    assert_eq!(names(life.at("open")), ["registered"; 4]);
    let SourceEvent::Registered(two_slots) = &life.at("open")[1] else { panic!() };
    let registration = two_slots.registration.as_ref().unwrap();
    assert_eq!((registration.slots, registration.strategy, registration.schedule.executions().0), (2, Strategy::Single, 2));
    assert_eq!(registration.reward.0, 10_000_000_000);
    assert_eq!(registration.budget.unwrap().0, 40_000_000_000);
    assert!(registration.script.0.starts_with(b"ipfs://"));
}

#[tokio::test]
async fn a_match_carries_the_job_and_all_its_slots() {
    let life = Life::load().await;
    let matched = life.matched("matched");
    assert_eq!(matched.iter().map(|fact| fact.slots.len()).collect::<Vec<_>>(), [1, 2, 1]);
    assert!(matched.iter().all(|fact| fact.registration.is_some() && fact.execution.is_none()));
    assert_eq!(matched[1].slots.iter().map(|slot| slot.slot).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn an_acknowledgement_carries_the_keys_and_a_second_one_is_not_a_fact() {
    let life = Life::load().await;
    let first = life.acknowledged("some acknowledged, two cancelled");
    assert_eq!(first.len(), 2);
    for fact in first {
        let curves: Vec<_> = fact.keys.iter().map(|key| (key.curve, key.bytes.0.len())).collect();
        assert_eq!(curves, [(Curve::P256, 33), (Curve::Secp256k1, 33), (Curve::Ed25519, 32)]);
        assert_eq!(fact.slot.as_ref().unwrap().processor, fact.processor);
    }
    assert_eq!(names(life.at("the last slot acknowledged, keys replaced")), ["acknowledged"]);
    assert_eq!(life.acknowledged("the last slot acknowledged, keys replaced")[0].slot.as_ref().unwrap().slot, 1);
}

#[tokio::test]
async fn a_cancelled_job_is_removed_with_the_registration_of_the_block_before() {
    let life = Life::load().await;
    let facts = life.at("some acknowledged, two cancelled");
    assert_eq!(names(facts), ["acknowledged", "acknowledged", "removed", "removed"]);
    for fact in &facts[2..] {
        let SourceEvent::Removed(fact) = fact else { panic!() };
        assert!(fact.registration.is_some());
    }
    let amended = life.at("edited, removed");
    let SourceEvent::Amended(edit) = &amended[0] else { panic!() };
    assert_eq!((edit.job.number, edit.change), (2, Amendment::ScriptEdited));
}

#[tokio::test]
async fn a_report_is_paired_with_its_outcome_and_carries_counter_and_reputation() {
    let life = Life::load().await;
    let reports = life.reported("reported");
    let outcomes: Vec<_> = reports.iter().map(|report| (report.job.number, report.outcome, report.next_index)).collect();
    let zero = Some(Execution(0));
    let (success, failure) = (ReportedOutcome::Success, ReportedOutcome::Failure);
    assert_eq!(outcomes, [(1, success, zero), (2, success, zero), (2, failure, zero)]);
    assert_eq!(reports[2].data.0, b"connection refused");
    assert_eq!(reports[0].data.0.len(), 32);
    assert!(reports.iter().all(|report| report.reputation.is_some()));
}

#[tokio::test]
async fn missed_executions_lower_the_reputation_that_the_report_carries() {
    let life = Life::load().await;
    let before = life.reported("first execution reported")[0].reputation.clone().unwrap();
    let report = life.reported("two missed, the fourth reported")[0];
    let after = report.reputation.clone().unwrap();
    assert_eq!((before.s.0, report.next_index), (0, Some(Execution(1))));
    assert!(after.s.0 > 0);
}

#[tokio::test]
async fn reports_within_one_block_have_the_counters_that_no_state_shows() {
    let life = Life::load().await;
    let indexes = |label| life.reported(label).iter().map(|report| report.next_index.map(|index| index.0)).collect::<Vec<_>>();
    assert_eq!(indexes("three reported in one block"), [Some(0), Some(1), Some(2)]);
    // The state of the next block agrees with what was computed.
    assert_eq!(indexes("the last reported"), [Some(3)]);
    assert_eq!(indexes("acknowledged and reported in one block"), [Some(0)]);
    assert_eq!(indexes("reported after it"), [Some(1)]);
}

#[tokio::test]
async fn details_of_what_one_block_created_and_removed_are_lost_and_the_stream_goes_on() {
    let life = Life::load().await;
    let facts = life.at("created and removed in one block, another opened");
    let [SourceEvent::Registered(created), SourceEvent::Removed(removed), SourceEvent::Registered(other)] = facts else {
        panic!("{facts:?}")
    };
    assert_eq!((&created.registration, &removed.registration), (&None, &None));
    assert_eq!(created.job, removed.job);
    assert!(other.registration.is_some());
}

#[tokio::test]
async fn an_acknowledgement_that_its_block_removed_keeps_the_match_and_has_no_keys() {
    let life = Life::load().await;
    let facts = life.acknowledged("acknowledged and removed in one block");
    assert!(facts[0].slot.is_some() && facts[0].registration.is_some());
    assert!(facts[0].keys.is_empty());
}

#[tokio::test]
async fn an_instant_match_comes_before_the_job_is_open() {
    let life = Life::load().await;
    assert_eq!(names(life.at("instant match")), ["matched", "registered"]);
    let matched = life.matched("instant match");
    assert_eq!((matched[0].slots.len(), matched[0].registration.is_some()), (1, true));
}

#[tokio::test]
async fn competing_jobs_are_matched_execution_by_execution() {
    let life = Life::load().await;
    for (label, execution) in [("execution 0 matched", 0), ("execution 1 matched", 1)] {
        let fact = life.matched(label)[0];
        assert_eq!(fact.execution, Some(Execution(execution)), "{label}");
        assert_eq!(fact.registration.as_ref().unwrap().strategy, Strategy::Competing);
    }
    let acknowledged = life.acknowledged("execution 1 acknowledged")[0];
    assert_eq!(acknowledged.slot.as_ref().unwrap().execution, Some(Execution(1)));
    assert_eq!(acknowledged.keys.len(), 3);
}

#[tokio::test]
async fn a_job_of_an_ethereum_owner_is_first_heard_of_by_its_match() {
    let life = Life::load().await;
    let fact = life.matched("matched: of an Ethereum owner")[0];
    assert!(matches!(fact.job.origin, MultiOrigin::Ethereum20(_)));
    assert!(fact.registration.is_some());
    assert!(!life.blocks.iter().flat_map(|block| &block.facts).any(|f| matches!(f, SourceEvent::Registered(r) if r.job == fact.job)));
}

#[tokio::test]
async fn the_bytes_of_remarks_are_found_however_deep_they_are_nested() {
    let life = Life::load().await;
    let remarks: Vec<_> = life
        .at("remarks")
        .iter()
        .filter_map(|fact| if let SourceEvent::Remarked(fact) = fact { fact.remark.clone() } else { None })
        .map(|remark| String::from_utf8(remark.0).unwrap())
        .collect();
    assert_eq!(remarks, ["plain", "beside a registration", "twice", "nested", "twice", "by a multisig"]);
}

#[tokio::test]
async fn a_recorded_source_resumes_after_the_last_seal_and_refuses_another_chain() {
    let blocks = recorded().await;
    let mut source = RecordedSource::new(recording());
    source.resume(Some((blocks[10].number, blocks[10].hash))).await.unwrap();
    assert_eq!(source.next().await.unwrap(), blocks[11]);
    source.resume(None).await.unwrap();
    assert_eq!(source.next().await.unwrap(), blocks[0]);
    source.resume(Some((BlockNumber(0), blocks[0].parent))).await.unwrap();
    assert_eq!(source.next().await.unwrap(), blocks[0]);
    let other = BlockHash([1; 32]);
    let violation = source.resume(Some((blocks[10].number, other))).await.unwrap_err();
    assert!(matches!(violation, SourceError::FinalityViolation { number, sealed, .. } if number == blocks[10].number && sealed == other));
    assert!(matches!(source.resume(Some((BlockNumber(99), other))).await, Err(SourceError::Refused { .. })));
    source.resume(Some((blocks[34].number, blocks[34].hash))).await.unwrap();
    assert!(matches!(source.next().await, Err(SourceError::End { number: BlockNumber(35), .. })));
}

#[tokio::test]
async fn a_recorded_oracle_says_what_the_facts_up_to_a_block_say() {
    let life = Life::load().await;
    let oracle = RecordedSource::new(recording()).oracle().unwrap();
    let fact = life.acknowledged("some acknowledged, two cancelled")[0];
    let block = |number: u64| life.blocks.iter().find(|block| block.number.0 == number).unwrap();
    let at = |number: u64| oracle.assignment(block(number).hash, &fact.job, &fact.processor);
    assert_eq!(at(4).await.unwrap(), None);
    let attested = at(5).await.unwrap().unwrap();
    assert!(attested.acknowledged);
    assert_eq!((&attested.keys, Some(&attested.slot)), (&fact.keys, fact.slot.as_ref()));
    assert!(at(8).await.unwrap().is_some());
    assert_eq!(at(9).await.unwrap(), None, "the job was removed");
    oracle.check_finalized(BlockNumber(5), block(5).hash).await.unwrap();
    let refused = oracle.check_finalized(BlockNumber(6), block(5).hash).await.unwrap_err();
    assert!(matches!(refused, OracleError::NotFinalized { .. }));
}

#[tokio::test]
async fn a_recording_survives_a_crash_while_its_last_line_is_written_and_nothing_else() {
    let text = std::fs::read_to_string(fixture("lifecycle.jsonl")).unwrap();
    let read = |text: &str| Recording::read(text.as_bytes());
    assert_eq!(read(&text[..text.len() - 100]).unwrap().blocks.len(), 34);
    let lines: Vec<&str> = text.lines().collect();
    let without =
        |skipped: usize| lines.iter().enumerate().filter(|(i, _)| *i != skipped).map(|(_, line)| format!("{line}\n")).collect::<String>();
    for (skipped, reason) in [(0, "header"), (1, "runtime 2"), (10, "does not follow")] {
        let error = read(&without(skipped)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(read("").unwrap_err().to_string().contains("empty"));
    assert!(read("{\"header\":{\"format\":\"acurast-recording/9\",\"genesis\":\"0x00\"}}\n").is_err());
}

#[tokio::test]
async fn a_runtime_upgrade_is_followed_from_the_block_that_the_new_runtime_executed() {
    let expected = recorded().await;
    let mut upgraded = (*recording()).clone();
    let runtime = support::renamed("ReportedV2", "ReportedV3");
    upgraded.runtimes.insert(3, std::sync::Arc::new(runtime));
    for (index, block) in upgraded.blocks.iter_mut().enumerate().skip(7) {
        block.spec_version = 3;
        block.parent_spec_version = if index == 7 { 2 } else { 3 };
    }
    let blocks = support::all(&mut RecordedSource::new(std::sync::Arc::new(upgraded))).await;
    assert_eq!(blocks[..7], expected[..7]);
    assert_eq!(blocks[7].spec_version, Some(3));
    // The new name of the report is not known to this version: kept, with the outcome that it leaves alone.
    assert_eq!(names(&blocks[7].facts), ["quarantined", "unknown", "quarantined", "unknown", "quarantined", "unknown"]);
    assert_eq!(blocks[8].facts, expected[8].facts);
}

#[tokio::test]
async fn the_first_block_tells_the_time_of_the_chain() {
    let life = Life::load().await;
    assert_eq!(life.blocks[0].timestamp, Timestamp(1_795_000_002_000));
    assert_eq!(life.blocks[0].spec_version, Some(2));
}
