//! The rules of PROTOCOL §1, each with hand-made events.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_adapter_acurast::decode::decode;
use acurast_adapter_acurast::reads::At;
use acurast_adapter_acurast::runtime::Runtime;
use acurast_events::bytes::{Bytes, ProcessorId};
use acurast_events::source::{Amendment, Curve, ReportedOutcome, SourceEvent};
use acurast_events::units::Execution;
use parity_scale_codec::{Compact, Encode};
use proptest::prelude::*;
use support::{AssignmentBytes, PROCESSOR, RegistrationBytes, World, canary, event, events, job, mainnet, names, recording, renamed, text};

const MARKET: &str = "AcurastMarketplace";
const START: u64 = 1_000_000;

fn registration() -> RegistrationBytes {
    RegistrationBytes { start: START, executions: 4, interval: 1_000, duration: 100, competing: false }
}

fn assignment(acknowledged: bool) -> AssignmentBytes {
    let keys = if acknowledged { vec![(1, vec![3; 33])] } else { Vec::new() };
    AssignmentBytes { slot: 0, acknowledged, reports_expected: 4, keys, execution: None }
}

fn success(runtime: &Runtime, extrinsic: u32, number: u128) -> Vec<u8> {
    event(runtime, Some(extrinsic), MARKET, "ExecutionSuccess", &[&job(number).scale(), &text(b"hash")])
}

fn reported(runtime: &Runtime, extrinsic: u32, number: u128) -> Vec<u8> {
    event(runtime, Some(extrinsic), MARKET, "ReportedV2", &[&job(number).scale(), &PROCESSOR.0])
}

#[test]
fn the_first_forms_of_the_events_carry_what_storage_has_no_more() {
    let runtime = mainnet();
    let (id, value, acknowledged) = (job(1), registration().encode(), assignment(true).encode());
    let mut records = vec![event(&runtime, Some(1), "Acurast", "JobRegistrationStored", &[&value, &id.scale()])];
    let sources = [Compact(1_u32).encode(), PROCESSOR.0.to_vec(), 0_u64.encode()].concat();
    records.push(event(&runtime, Some(2), MARKET, "JobRegistrationMatched", &[&id.scale(), &sources]));
    records.push(event(&runtime, Some(3), MARKET, "JobExecutionMatched", &[&id.scale(), &3_u64.encode(), &sources]));
    records.push(event(&runtime, Some(4), MARKET, "JobRegistrationAssigned", &[&id.scale(), &PROCESSOR.0, &acknowledged]));
    records.push(success(&runtime, 5, 1));
    records.push(event(&runtime, Some(5), MARKET, "Reported", &[&id.scale(), &PROCESSOR.0, &acknowledged]));
    records.push(event(&runtime, Some(6), "Acurast", "AllowedSourcesUpdated", &[&id.scale(), &value, &[0]]));
    let decoded = World::default().decode(&runtime, START, events(&records));
    let [
        SourceEvent::Registered(registered),
        SourceEvent::Matched(matched),
        SourceEvent::Matched(execution),
        SourceEvent::Acknowledged(acknowledged),
        SourceEvent::Reported(report),
        SourceEvent::Amended(amended),
    ] = &decoded.facts[..]
    else {
        panic!("{:?}", decoded.facts)
    };
    assert_eq!(registered.registration.as_ref().unwrap().schedule.start.0, START);
    assert_eq!((&matched.registration, matched.execution), (&None, None));
    assert_eq!(execution.execution, Some(Execution(3)));
    assert_eq!(acknowledged.keys[0].curve, Curve::Secp256k1);
    assert_eq!(acknowledged.slot.as_ref().unwrap().processor, PROCESSOR);
    assert_eq!((report.outcome, &report.data), (ReportedOutcome::Success, &Bytes(b"hash".to_vec())));
    assert_eq!(amended.change, Amendment::AllowedSourcesUpdated);
}

#[test]
fn the_keys_of_the_state_after_the_block_win_over_those_in_the_event() {
    let runtime = mainnet();
    let mut world = World::default();
    let replaced = AssignmentBytes { keys: vec![(2, vec![8; 32])], ..assignment(true) };
    world.assignment(&runtime, At::Block, &job(1), &PROCESSOR, replaced.encode());
    let carried = assignment(true).encode();
    let record = event(&runtime, Some(4), MARKET, "JobRegistrationAssigned", &[&job(1).scale(), &PROCESSOR.0, &carried]);
    let decoded = world.decode(&runtime, START, events(&[record]));
    let [SourceEvent::Acknowledged(fact)] = &decoded.facts[..] else { panic!() };
    assert_eq!((fact.keys[0].curve, &fact.keys[0].bytes), (Curve::Ed25519, &Bytes(vec![8; 32])));
}

#[test]
fn an_outcome_belongs_to_the_report_of_its_job_in_its_extrinsic_only() {
    let runtime = mainnet();
    let records = [success(&runtime, 2, 1), reported(&runtime, 3, 1), reported(&runtime, 2, 2), reported(&runtime, 2, 1)];
    let decoded = World::default().decode(&runtime, START, events(&records));
    assert_eq!(names(&decoded.facts), ["quarantined", "quarantined", "reported"]);
    assert_eq!(decoded.counts.quarantined, 2);
    let [_, _, SourceEvent::Reported(report)] = &decoded.facts[..] else { panic!() };
    assert_eq!((report.meta.index, report.job.number), (3, 1));
}

#[test]
fn an_outcome_without_a_report_is_kept_at_its_place() {
    let runtime = mainnet();
    let records = [success(&runtime, 2, 1), success(&runtime, 2, 2), reported(&runtime, 2, 2)];
    let decoded = World::default().decode(&runtime, START, events(&records));
    assert_eq!(names(&decoded.facts), ["quarantined", "reported"]);
    let SourceEvent::QuarantinedEvent(kept) = &decoded.facts[0] else { panic!() };
    assert_eq!((kept.meta.index, kept.variant.as_str()), (0, "ExecutionSuccess"));
    assert!(kept.reason.contains("no ReportedV2"));
}

#[test]
fn a_second_report_in_a_block_skips_the_windows_that_are_closed() {
    let runtime = mainnet();
    let mut world = World::default();
    let long = RegistrationBytes { interval: 200_000, executions: 6, ..registration() };
    world.registration(&runtime, At::Block, &job(1), long.encode());
    let acknowledged = AssignmentBytes { reports_expected: 6, ..assignment(true) };
    world.assignment(&runtime, At::Block, &job(1), &PROCESSOR, acknowledged.encode());
    world.next_report_index(&runtime, At::Parent, &job(1), &PROCESSOR, 1);
    // In the fourth execution; the windows of the second and third are closed, so the first report is of the fourth.
    let now = START + 3 * 200_000 + 50;
    let records = [success(&runtime, 2, 1), reported(&runtime, 2, 1), success(&runtime, 3, 1), reported(&runtime, 3, 1)];
    let decoded = world.decode(&runtime, now, events(&records));
    let indexes: Vec<_> = decoded.facts.iter().map(|fact| if let SourceEvent::Reported(r) = fact { r.next_index } else { None }).collect();
    assert_eq!(indexes, [Some(Execution(1)), Some(Execution(4))]);
}

#[test]
fn the_counter_of_a_competing_match_starts_at_its_execution() {
    let runtime = mainnet();
    let mut world = World::default();
    world.registration(&runtime, At::Block, &job(1), RegistrationBytes { competing: true, ..registration() }.encode());
    let one = AssignmentBytes { execution: Some(2), reports_expected: 1, ..assignment(true) };
    world.assignment(&runtime, At::Block, &job(1), &PROCESSOR, one.encode());
    let records = [
        event(&runtime, Some(2), MARKET, "JobRegistrationAssignedV2", &[&job(1).scale(), &PROCESSOR.0]),
        success(&runtime, 2, 1),
        reported(&runtime, 2, 1),
    ];
    let decoded = world.decode(&runtime, START, events(&records));
    let [_, SourceEvent::Reported(report)] = &decoded.facts[..] else { panic!() };
    assert_eq!(report.next_index, Some(Execution(2)));
}

#[test]
fn executions_matched_in_one_block_are_told_apart_by_what_is_new_in_storage() {
    let runtime = mainnet();
    let mut world = World::default();
    let [old, one, two] = [1, 2, 3].map(|byte| ProcessorId([byte; 32]));
    let matched = |execution| AssignmentBytes { execution: Some(execution), ..assignment(false) }.encode();
    for at in [At::Parent, At::Block] {
        world.assignment(&runtime, at, &job(1), &old, matched(0));
    }
    world.assignment(&runtime, At::Block, &job(1), &one, matched(2));
    world.assignment(&runtime, At::Block, &job(1), &two, matched(1));
    let record = event(&runtime, Some(2), MARKET, "JobExecutionMatchedV2", &[&job(1).scale()]);
    let executions = |world: &mut World, count: usize| -> Vec<_> {
        let decoded = world.decode(&runtime, START, events(&vec![record.clone(); count]));
        decoded
            .facts
            .iter()
            .map(|fact| if let SourceEvent::Matched(m) = fact { (m.slots.len(), m.execution.map(|e| e.0)) } else { panic!() })
            .collect()
    };
    assert_eq!(executions(&mut world, 2), [(3, Some(1)), (3, Some(2))]);
    // One event for two new matches leaves a choice; the slots still say theirs.
    assert_eq!(executions(&mut world, 1), [(3, None)]);
}

#[test]
fn clean_up_events_of_a_newer_runtime_are_one_fact_per_job() {
    let runtime = canary();
    let jobs = [Compact(2_u32).encode(), job(1).scale(), job(2).scale()].concat();
    let records = [
        event(&runtime, Some(1), MARKET, "ProcessorAssignmentsCleanedUp", &[&PROCESSOR.0, &jobs]),
        event(&runtime, Some(1), MARKET, "JobAssignmentsCleanedUp", &[&job(3).scale()]),
    ];
    let decoded = World::default().decode(&runtime, START, events(&records));
    let numbers: Vec<_> = decoded.facts.iter().map(|fact| fact.job().unwrap().number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(decoded.facts.iter().all(|fact| matches!(fact, SourceEvent::Amended(a) if a.change == Amendment::CleanedUp)));
    assert_ne!(decoded.facts[0].meta().unwrap().id, decoded.facts[1].meta().unwrap().id);
}

#[test]
fn an_unknown_event_of_acurast_is_kept_and_a_foreign_one_is_counted() {
    let kept = renamed("V7MigrationStarted", "V8MigrationStarted");
    let decoded = World::default().decode(&kept, START, events(&[event(&kept, None, MARKET, "V8MigrationStarted", &[])]));
    let [SourceEvent::UnknownEvent(fact)] = &decoded.facts[..] else { panic!() };
    assert_eq!((fact.pallet.as_str(), fact.variant.as_str(), fact.meta.extrinsic), (MARKET, "V8MigrationStarted", None));
    assert_eq!(decoded.counts.unknown.values().sum::<u64>(), 1);

    let pallet = renamed("AcurastHyperdriveIbc", "AcurastHyperdriveIbd");
    let record = event(&pallet, None, "AcurastHyperdriveIbd", "MessageRemoved", &[&[4; 32]]);
    assert_eq!(names(&World::default().decode(&pallet, START, events(&[record])).facts), ["unknown"]);

    let foreign = renamed("OperationFunds", "OperationFundz");
    let record = event(&foreign, None, "OperationFundz", "Deposit", &[&1_u128.encode()]);
    let decoded = World::default().decode(&foreign, START, events(&[record]));
    assert!(decoded.facts.is_empty());
    assert_eq!(decoded.counts.unknown, [(("OperationFundz".to_owned(), "Deposit".to_owned()), 1)].into());
}

#[test]
fn events_of_no_consequence_are_counted_and_are_no_facts() {
    let runtime = mainnet();
    let records = vec![event(&runtime, Some(1), "AcurastProcessorManager", "ProcessorHeartbeat", &[&PROCESSOR.0]); 3];
    let decoded = World::default().decode(&runtime, START, events(&records));
    assert!(decoded.facts.is_empty() && decoded.counts.unknown.is_empty());
    assert_eq!(decoded.counts.ignored, [(("AcurastProcessorManager".to_owned(), "ProcessorHeartbeat".to_owned()), 3)].into());
}

#[test]
fn an_event_of_an_unknown_shape_is_quarantined_alone() {
    // A runtime that knows an origin which we don't.
    let runtime = renamed("AcurastCanary", "AcurastXanary");
    let foreign = [[7].as_slice(), &[1; 32], &1_u128.encode()].concat();
    let records = [
        event(&runtime, Some(1), "Acurast", "JobRegistrationStoredV2", &[&foreign]),
        event(&runtime, Some(2), "Acurast", "JobRegistrationStoredV2", &[&job(1).scale()]),
    ];
    let decoded = World::default().decode(&runtime, START, events(&records));
    assert_eq!(names(&decoded.facts), ["quarantined", "registered"]);
    let SourceEvent::QuarantinedEvent(kept) = &decoded.facts[0] else { panic!() };
    assert_eq!(kept.bytes.0, foreign);
    assert_eq!((kept.pallet.as_str(), kept.variant.as_str()), ("Acurast", "JobRegistrationStoredV2"));
}

#[test]
fn storage_that_does_not_decode_quarantines_the_event_that_needs_it() {
    let runtime = mainnet();
    let mut world = World::default();
    world.registration(&runtime, At::Block, &job(1), vec![1, 2, 3]);
    world.registration(&runtime, At::Block, &job(2), registration().encode());
    let stored = |number| event(&runtime, Some(1), "Acurast", "JobRegistrationStoredV2", &[&job(number).scale()]);
    let decoded = world.decode(&runtime, START, events(&[stored(1), stored(2)]));
    assert_eq!(names(&decoded.facts), ["quarantined", "registered"]);
    let SourceEvent::QuarantinedEvent(kept) = &decoded.facts[0] else { panic!() };
    assert!(kept.reason.contains("Acurast.StoredJobRegistration = 0x010203"), "{}", kept.reason);
}

#[test]
fn what_follows_an_undecodable_event_is_kept_with_it() {
    let runtime = mainnet();
    let good = event(&runtime, Some(1), "Acurast", "JobRegistrationStoredV2", &[&job(1).scale()]);
    let mut unknown_pallet = good.clone();
    unknown_pallet[5] = 250;
    let decoded = World::default().decode(&runtime, START, events(&[good.clone(), unknown_pallet.clone(), good.clone()]));
    assert_eq!(names(&decoded.facts), ["registered", "quarantined"]);
    let SourceEvent::QuarantinedEvent(kept) = &decoded.facts[1] else { panic!() };
    assert_eq!(kept.bytes.0, [unknown_pallet, good.clone()].concat());
    assert_eq!((kept.pallet.as_str(), kept.meta.index, kept.meta.extrinsic), ("250", 1, Some(1)));

    let truncated = &events(std::slice::from_ref(&good))[..20];
    assert_eq!(names(&World::default().decode(&runtime, START, truncated.to_vec()).facts), ["quarantined"]);
    let trailing = [events(&[good]), vec![1]].concat();
    assert_eq!(names(&World::default().decode(&runtime, START, trailing).facts), ["registered", "quarantined"]);
}

#[test]
fn a_removed_job_is_read_with_the_runtime_that_wrote_the_parent() {
    let (runtime, before) = (mainnet(), renamed("allow_only_verified_sources", "allow_only_unverified_sourc"));
    let mut world = World::default();
    world.registration(&runtime, At::Parent, &job(1), registration().encode());
    let record = event(&runtime, Some(1), "Acurast", "JobRegistrationRemoved", &[&job(1).scale()]);
    world.put(&runtime, At::Block, "System", "Events", &[], events(&[record]));
    world.put(&runtime, At::Block, "Timestamp", "Now", &[], START.encode());
    assert_eq!(names(&world.run(&runtime, &before, decode).unwrap().facts), ["removed"]);
    // Where the parent's runtime names a field otherwise, the value of the parent is not understood by the block's names.
    let other = renamed("max_start_delay", "max_start_delax");
    assert_eq!(names(&world.run(&runtime, &other, decode).unwrap().facts), ["quarantined"]);
    assert_eq!(names(&world.run(&other, &runtime, decode).unwrap().facts), ["removed"]);
}

#[test]
fn a_remark_whose_bytes_are_not_in_its_extrinsic_has_none() {
    let runtime = mainnet();
    let remarked = |extrinsic| event(&runtime, extrinsic, "System", "Remarked", &[&PROCESSOR.0, &[6; 32]]);
    let mut world = World::default();
    world.extrinsics.insert(1, b"\x00\x07\x0cabc".to_vec());
    let decoded = world.decode(&runtime, START, events(&[remarked(Some(1)), remarked(Some(2)), remarked(None)]));
    assert_eq!(names(&decoded.facts), ["remarked"; 3]);
    assert!(decoded.facts.iter().all(|fact| matches!(fact, SourceEvent::Remarked(r) if r.remark.is_none())));
}

#[test]
fn an_extrinsic_made_of_false_starts_does_not_hold_the_pipeline_up() {
    let runtime = mainnet();
    let call = runtime.call_index("System", "remark_with_event").unwrap();
    // Each start claims half a megabyte, so hashing all of them would take hours.
    let start = [call.as_slice(), &Compact(500_000_u32).encode()].concat();
    let mut world = World::default();
    world.extrinsics.insert(1, start.repeat(200_000));
    let record = event(&runtime, Some(1), "System", "Remarked", &[&PROCESSOR.0, &[6; 32]]);
    let begun = std::time::Instant::now();
    let decoded = world.decode(&runtime, START, events(&[record]));
    assert_eq!(names(&decoded.facts), ["remarked"]);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

/// The events of all recorded blocks.
fn recorded_events() -> Vec<Vec<u8>> {
    let recording = recording();
    let runtime = recording.runtimes.values().next().unwrap();
    let key = runtime.storage_key("System", "Events", &[]).unwrap();
    let need = acurast_adapter_acurast::reads::Need::Value(At::Block, key);
    let answers = recording.blocks.iter().filter_map(|block| block.answers.0.get(&need));
    answers
        .filter_map(|answer| if let acurast_adapter_acurast::reads::Answer::Value(value) = answer { value.clone() } else { None })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics_and_is_kept(bytes in proptest::collection::vec(any::<u8>(), 1..400)) {
        let decoded = World::default().decode(&mainnet(), START, bytes.clone());
        let nothing = bytes == [0];
        prop_assert!(nothing || !decoded.facts.is_empty() || !decoded.counts.ignored.is_empty() || !decoded.counts.unknown.is_empty());
    }

    #[test]
    fn a_damaged_block_never_panics_and_decodes_the_same_twice(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let blocks = recorded_events();
        let mut bytes = which.get(&blocks).clone();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let runtime = mainnet();
        let once = World::default().decode(&runtime, START, bytes.clone());
        prop_assert_eq!(once, World::default().decode(&runtime, START, bytes));
    }

    #[test]
    fn damaged_storage_never_panics(mut value in Just(registration().encode()), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let at = at.index(value.len());
        if cut { value.truncate(at) } else { value[at] = byte }
        let runtime = mainnet();
        let mut world = World::default();
        world.registration(&runtime, At::Block, &job(1), value);
        let record = event(&runtime, Some(1), "Acurast", "JobRegistrationStoredV2", &[&job(1).scale()]);
        let decoded = world.decode(&runtime, START, events(&[record]));
        prop_assert_eq!(decoded.facts.len(), 1);
    }
}
