//! Jobs found in storage: the first start, and reconciliation (R8).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_adapter_acurast::KnownJobs;
use acurast_adapter_acurast::reads::At;
use acurast_adapter_acurast::runtime::Runtime;
use acurast_adapter_acurast::snapshot::{found, reconciled};
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::source::SourceEvent;
use acurast_events::units::Execution;
use parity_scale_codec::Encode;
use support::{AssignmentBytes, PROCESSOR, RegistrationBytes, World, job, mainnet, names, recorded};

fn tezos() -> JobId {
    JobId { origin: MultiOrigin::Tezos(vec![2; 22]), number: 9 }
}

/// Two jobs, one matched and acknowledged.
fn world(runtime: &Runtime) -> World {
    let mut world = World::default();
    world.put(runtime, At::Block, "Timestamp", "Now", &[], 5_u64.encode());
    let registration = RegistrationBytes { start: 10, executions: 2, interval: 5, duration: 1, competing: false }.encode();
    world.registration(runtime, At::Block, &job(1), registration.clone());
    world.registration(runtime, At::Block, &tezos(), registration);
    let assignment = AssignmentBytes { slot: 0, acknowledged: true, reports_expected: 2, keys: vec![(1, vec![3; 33])], execution: None };
    world.assignment(runtime, At::Block, &tezos(), &PROCESSOR, assignment.encode());
    world.next_report_index(runtime, At::Block, &tezos(), &PROCESSOR, 1);
    world
}

#[test]
fn a_first_start_finds_the_open_jobs_with_their_slots_keys_and_counters() {
    let runtime = mainnet();
    let decoded = world(&runtime).run(&runtime, &runtime, found).unwrap();
    let [SourceEvent::Found(open), SourceEvent::Found(matched)] = &decoded.facts[..] else { panic!("{:?}", decoded.facts) };
    assert_eq!((&open.job, open.slots.len(), open.registration.budget.unwrap().0), (&job(1), 0, 77));
    assert_eq!((&matched.job, matched.slots.len()), (&tezos(), 1));
    let slot = &matched.slots[0];
    assert_eq!((slot.acknowledged, slot.keys.len(), slot.next_index), (true, 1, Some(Execution(1))));
    assert_ne!(open.meta.id, matched.meta.id);
    assert_eq!((open.meta.index, matched.meta.index), (0, 1));
}

#[test]
fn a_job_that_does_not_decode_is_kept_and_does_not_hide_the_others() {
    let runtime = mainnet();
    let mut world = world(&runtime);
    world.registration(&runtime, At::Block, &job(2), vec![0xff]);
    let decoded = world.run(&runtime, &runtime, found).unwrap();
    assert_eq!(names(&decoded.facts), ["found", "found", "quarantined"]);
    assert_eq!(decoded.counts.quarantined, 1);
    let SourceEvent::QuarantinedEvent(kept) = &decoded.facts[2] else { panic!() };
    assert!(kept.reason.starts_with(&job(2).to_string()), "{}", kept.reason);
}

#[test]
fn reconciliation_names_what_the_facts_missed_and_nothing_when_they_agree() {
    let runtime = mainnet();
    let world = world(&runtime);
    let differences = |known: &KnownJobs| world.run(&runtime, &runtime, |input| reconciled(input, known)).unwrap();
    let mut known = KnownJobs::default();
    let facts = differences(&known);
    assert_eq!(names(&facts), ["reconciled"; 2]);
    for fact in &facts {
        known.apply(fact);
    }
    assert_eq!(known.len(), 2);
    assert_eq!(differences(&known), []);

    // A job that is gone from storage without a fact of its removal.
    let SourceEvent::Reconciled(mut gone) = facts[0].clone() else { panic!() };
    gone.job = job(3);
    known.apply(&SourceEvent::Reconciled(gone));
    let facts = differences(&known);
    let [SourceEvent::Reconciled(fact)] = &facts[..] else { panic!() };
    assert_eq!((&fact.job, &fact.registration), (&job(3), &None));
    known.apply(&facts[0]);
    assert!(!known.contains(&job(3)));
    assert_eq!(differences(&known), []);
}

#[test]
fn an_acknowledgement_that_the_facts_missed_is_a_difference_and_a_silently_removed_match_is_none() {
    let runtime = mainnet();
    let mut world = world(&runtime);
    let run = |world: &World, known: &KnownJobs| world.run(&runtime, &runtime, |input| reconciled(input, known)).unwrap();
    let mut known = KnownJobs::default();
    let all = run(&world, &known);
    let SourceEvent::Reconciled(mut unacknowledged) = all[1].clone() else { panic!() };
    unacknowledged.slots[0].acknowledged = false;
    known.apply(&all[0]);
    known.apply(&SourceEvent::Reconciled(unacknowledged));
    let [SourceEvent::Reconciled(missed)] = &run(&world, &known)[..] else { panic!() };
    assert_eq!((&missed.job, missed.slots[0].acknowledged), (&tezos(), true));
    known.apply(&all[1]);
    // The last report of a slot removes its match without an event.
    world.values.retain(|(_, key), _| !key.starts_with(&runtime.storage_key("AcurastMarketplace", "AssignedProcessors", &[]).unwrap()));
    assert_eq!(run(&world, &known), []);
}

#[test]
fn a_job_that_can_not_be_read_is_not_taken_for_gone() {
    let runtime = mainnet();
    let mut world = world(&runtime);
    let mut known = KnownJobs::default();
    for fact in world.run(&runtime, &runtime, |input| reconciled(input, &known)).unwrap() {
        known.apply(&fact);
    }
    world.registration(&runtime, At::Block, &job(1), vec![0xff]);
    assert_eq!(world.run(&runtime, &runtime, |input| reconciled(input, &known)).unwrap(), []);
}

#[tokio::test]
async fn the_open_jobs_of_the_recording_are_those_that_were_never_removed() {
    let mut known = KnownJobs::default();
    for fact in recorded().await.iter().flat_map(|block| &block.facts) {
        known.apply(fact);
    }
    let open: Vec<u128> = (1..=11).filter(|number| recorded_origin(*number).into_iter().any(|job| known.contains(&job))).collect();
    // Six and nine had all their reports, ten and eleven go on; the twelfth is the job of an Ethereum owner.
    assert_eq!((open, known.len()), (vec![6, 9, 10, 11], 5));
}

fn recorded_origin(number: u128) -> [JobId; 2] {
    let owners = [
        "acurast:0x967565a72ebaf286e32c4fa2bff58394bb727afb3c2b10f0a628d4f56d890075",
        "acurast:0x704777d761b5faa7901c4ced996cd88a2a6fbdb97106cf402b820f893bd6f83c",
    ];
    owners.map(|owner| format!("{owner}/{number}").parse().unwrap())
}
