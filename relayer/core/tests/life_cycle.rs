//! Every path of a job's life on Acurast (PROTOCOL §1, §5), told one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use acurast_events::bytes::*;
use acurast_events::jobs::{DestinationRule, Fault, JobsEvent, OpenedBy, Outcome};
use acurast_events::source::*;
use acurast_events::units::*;
use world::*;

fn reported(events: &[JobsEvent]) -> (u64, bool) {
    events
        .iter()
        .find_map(|event| if let JobsEvent::ExecutionReported(it) = event { Some((it.execution.0, it.named)) } else { None })
        .unwrap()
}

#[test]
fn a_job_goes_from_open_to_assigned() {
    let (mut world, job) = (World::funded(), job_id(1));
    let registration = registration(2, 1);
    assert_eq!(names(&world.registered(&job, registration.clone())), ["JobOpened", "DestinationChosen"]);
    let slots = vec![slot(1, None), slot(2, None)];
    assert_eq!(names(&world.matched(&job, registration.clone(), slots)), ["JobMatched"]);
    assert_eq!(names(&world.acknowledged(&job, registration.clone(), slot(1, None))), ["AssignmentStarted", "LeafPlanned"]);
    assert!(world.job(&job).assigned.is_none());
    assert_eq!(names(&world.acknowledged(&job, registration, slot(2, None))), ["AssignmentStarted", "JobAssigned", "LeafPlanned"]);
    assert_eq!(world.reserved(), 2 * SHARE);
}

#[test]
fn a_match_before_the_registration_opens_the_job_and_the_registration_adds_nothing() {
    let (mut world, job) = (World::funded(), job_id(1));
    let registration = registration(1, 1);
    let events = world.matched(&job, registration.clone(), vec![slot(1, None)]);
    assert_eq!(names(&events), ["JobOpened", "DestinationChosen", "JobMatched"]);
    assert!(world.registered(&job, registration).is_empty());
    assert_eq!(world.job(&job).opened_by, OpenedBy::Matched);
}

#[test]
fn an_acknowledgement_alone_opens_a_job_that_never_said_open() {
    let (mut world, job) = (World::funded(), job_id(1));
    let events = world.acknowledged(&job, registration(1, 1), slot(1, None));
    assert_eq!(names(&events), ["JobOpened", "DestinationChosen", "JobMatched", "AssignmentStarted", "JobAssigned", "LeafPlanned"]);
    assert_eq!(world.job(&job).opened_by, OpenedBy::Acknowledged);
}

#[test]
fn a_job_of_ethereum_origin_settles_on_its_own_chain_for_the_address_that_owns_it() {
    let mut world = World::new();
    let origin = acurast_events::job_id::MultiOrigin::Ethereum20([0x42; 20]);
    let job = acurast_events::job_id::JobId { origin: origin.clone(), number: 3 };
    let events = world.matched(&job, registration(1, 1), vec![slot(1, None)]);
    let chosen = events.iter().find_map(|event| if let JobsEvent::DestinationChosen(it) = event { Some(it) } else { None }).unwrap();
    let destination = chosen.destination.as_ref().unwrap();
    let address = Bytes(vec![0x42; 20]);
    let owner = acurast_events::ids::owner_key(&GENESIS, &origin);
    assert_eq!((chosen.rule, &destination.target), (DestinationRule::Origin, &address));
    assert_eq!(destination.escrow_id, EscrowId(acurast_events::ids::keccak(&[&address.0, &address.0, &owner.0, &[0; 32]])));
}

#[test]
fn a_job_without_any_rule_is_tracked_to_its_end_and_never_settled() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.policy.operator_routes.clear();
    world.assigned(&job, 1, 2);
    assert_eq!(world.job(&job).rule, Some(DestinationRule::Unsettled));
    assert_eq!(world.reserved(), 0);
    world.at(START);
    assert_eq!(names(&world.report(&job, 1, ReportedOutcome::Success, b"op")), ["ExecutionReported"]);
    assert!(world.seal(window_end(0)).is_empty());
    assert_eq!(names(&world.seal(window_end(1))), ["JobDone", "JobClosed"]);
    assert!(!world.is_open(&job));
}

#[test]
fn slots_that_never_acknowledge_hold_nobody_up() {
    let (mut world, job) = (World::funded(), job_id(1));
    let registration = registration(3, 1);
    world.registered(&job, registration.clone());
    world.matched(&job, registration.clone(), vec![slot(1, None), slot(2, None), slot(3, None)]);
    assert_eq!(names(&world.acknowledged(&job, registration, slot(2, None))), ["AssignmentStarted", "LeafPlanned"]);
    assert_eq!(names(&world.output(&job, 2, 0, b"result")), ["OutputAccepted", "FulfillmentPlanned"]);
    assert_eq!(world.job(&job).matches.len(), 2);
    assert_eq!(names(&world.seal(window_end(0))), ["JobDone"]);
}

#[test]
fn a_second_acknowledgement_with_other_keys_changes_nothing() {
    let (mut world, job) = (World::funded(), job_id(1));
    let registration = world.assigned(&job, 1, 1);
    let meta = world.meta();
    let other = vec![PublicKey { curve: Curve::Secp256k1, bytes: Bytes(vec![0xbb; 33]) }];
    let fact = Acknowledged {
        meta,
        job: job.clone(),
        processor: processor(1),
        slot: Some(slot(1, None)),
        keys: other,
        registration: Some(registration),
    };
    assert!(world.fact(fact).is_empty());
    assert_eq!(names(&world.output(&job, 1, 0, b"signed with the first key"))[0], "OutputAccepted");
}

#[test]
fn a_processor_without_a_usable_key_is_tracked() {
    let (mut world, job) = (World::funded(), job_id(1));
    let registration = registration(1, 1);
    let meta = world.meta();
    let keys = vec![PublicKey { curve: Curve::Ed25519, bytes: Bytes(vec![1; 32]) }];
    let events = world.fact(Acknowledged {
        meta,
        job: job.clone(),
        processor: processor(1),
        slot: Some(slot(1, None)),
        keys,
        registration: Some(registration),
    });
    assert!(names(&events).contains(&"NoUsableKey"));
    assert_eq!(world.reserved(), 0);
    assert_eq!(names(&world.seal(window_end(0))), ["JobDone", "JobClosed"]);
}

#[test]
fn a_job_that_is_never_matched_is_done_at_its_largest_start_delay() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.registered(&job, registration(1, 2));
    assert!(world.seal(window_end(1) + 4_999).is_empty());
    assert_eq!(names(&world.seal(window_end(1) + 5_000)), ["JobDone", "JobClosed"]);
}

#[test]
fn several_executions_end_each_in_its_own_way() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 3);
    world.root_final(&job, 1);
    world.at(START);
    world.output(&job, 1, 0, b"zero");
    let id = world.fulfillment_id(&job, 1, 0);
    let events = world.slot_final(
        1,
        acurast_events::lanes::Purpose::Fulfill,
        vec![item(id, acurast_events::lanes::ItemOutcome::Settled, 400, 90, 300)],
    );
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Fulfilled, Fault::Nobody)]);
    world.report(&job, 1, ReportedOutcome::Success, &id.0);
    world.at(START + INTERVAL);
    let events = world.report(&job, 1, ReportedOutcome::Failure, b"script threw");
    assert_eq!(outcomes(&events), [(1, 1, 1, Outcome::ReportedFailure, Fault::Unknown)]);
    let events = world.seal(window_end(2));
    assert_eq!(outcomes(&events), [(1, 2, 1, Outcome::Missed, Fault::Processor)]);
    assert_eq!(names(&events), ["ExecutionEnded", "JobDone", "JobClosed"]);
    assert_eq!((world.reserved(), world.free()), (0, 1_000_000 - 490));
}

#[test]
fn competing_processors_are_assigned_execution_by_execution() {
    let (mut world, job) = (World::funded(), job_id(1));
    let registration = Registration { strategy: Strategy::Competing, ..registration(1, 2) };
    world.registered(&job, registration.clone());
    for (n, execution) in [(1, 0), (2, 1)] {
        world.matched(&job, registration.clone(), vec![slot(n, Some(execution))]);
        let events = world.acknowledged(&job, registration.clone(), slot(n, Some(execution)));
        let leaf = events.iter().find_map(|event| if let JobsEvent::LeafPlanned(it) = event { Some(it) } else { None }).unwrap();
        assert_eq!((leaf.first_execution, leaf.executions), (Execution(execution), Count(1)));
    }
    assert_ne!(world.assignment_id(&job, 1, Some(0)), world.assignment_id(&job, 2, Some(1)));
    world.at(START + 5);
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Failure, b"no")), (0, false));
    world.at(START + INTERVAL + 5);
    let events = world.report(&job, 2, ReportedOutcome::Failure, b"no");
    assert_eq!(reported(&events), (1, false));
    assert!(names(&events).contains(&"JobDone"), "the last report of every execution's slot came");
}

#[test]
fn one_processor_matched_for_two_executions_reports_for_the_newer() {
    let (mut world, job) = (World::funded(), job_id(1));
    let registration = Registration { strategy: Strategy::Competing, ..registration(1, 2) };
    for execution in [0, 1] {
        world.acknowledged(&job, registration.clone(), slot(1, Some(execution)));
    }
    world.at(START + INTERVAL);
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Failure, b"no")), (1, false));
}

#[test]
fn a_competing_processor_can_name_an_older_execution() {
    let (mut world, job) = (World::funded(), job_id(1));
    let registration = Registration { strategy: Strategy::Competing, ..registration(1, 3) };
    for execution in [0, 2] {
        world.acknowledged(&job, registration.clone(), slot(1, Some(execution)));
    }
    world.at(START + 2 * INTERVAL);
    let older = acurast_events::ids::fulfillment_settlement_id(&world.assignment_id(&job, 1, Some(0)), Execution(0));
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Success, &older.0)), (0, true));
}

#[test]
fn a_report_without_a_name_belongs_to_the_running_index() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 5);
    world.at(START);
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Success, b"0xop")), (0, false));
    // Early for execution 1, whose window is still to come: the running index all the same.
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Success, b"0xop")), (1, false));
    // Two windows later: what lies between was missed on chain.
    world.at(START + 4 * INTERVAL);
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Success, b"0xop")), (4, false));
}

#[test]
fn a_report_that_names_a_settlement_belongs_to_its_execution() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 5);
    world.at(START + 3 * INTERVAL);
    let hex = world.fulfillment_id(&job, 1, 2).to_string();
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Success, hex.as_bytes())), (2, true));
    // The pallet knows nothing of names and counts on by its own rule.
    let key = acurast_relayer_core::job::AssignmentKey { processor: processor(1), only: None };
    assert_eq!(world.job(&job).assignments[&key].next_index, Execution(4));
}

#[test]
fn a_report_that_names_our_transaction_belongs_to_an_execution_that_it_delivered() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 4);
    world.at(START + 3 * INTERVAL);
    world.output(&job, 1, 1, b"one");
    world.output(&job, 1, 2, b"two");
    let ids = vec![world.fulfillment_id(&job, 1, 1), world.fulfillment_id(&job, 1, 2)];
    assert_eq!(names(&world.included(9, ids)), ["SettlementIncluded", "SettlementIncluded"]);
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Success, &tx(9).0)), (1, true));
    assert_eq!(reported(&world.report(&job, 1, ReportedOutcome::Success, &tx(9).0)), (2, true));
}

#[test]
fn storage_wins_where_our_count_of_the_report_index_differs() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 5);
    world.at(START + INTERVAL);
    let (meta, data) = (world.meta(), Bytes(b"op".to_vec()));
    let fact = Reported {
        meta,
        job: job.clone(),
        processor: processor(1),
        outcome: ReportedOutcome::Success,
        data,
        next_index: Some(Execution(1)),
        reputation: None,
    };
    let events = world.fact(fact);
    assert_eq!(names(&events), ["ReportIndexDiffers", "ExecutionReported"]);
    assert_eq!(reported(&events), (1, false));
}

#[test]
fn a_window_that_passes_without_output_or_report_is_missed_once() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 2, 2);
    assert!(world.seal(window_end(0) - 1).is_empty());
    let missed = |n| (n, 0, 1, Outcome::Missed, Fault::Processor);
    assert_eq!(outcomes(&world.seal(window_end(0))), [missed(1), missed(2)]);
    assert!(world.seal(window_end(0) + 1).is_empty());
}

#[test]
fn many_missed_executions_take_one_event() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 6_000_000);
    world.output(&job, 1, 3_000_000, b"from the far future");
    let events = world.seal(window_end(5_999_999));
    let missed = |first, count| (1, first, count, Outcome::Missed, Fault::Processor);
    assert_eq!(outcomes(&events), [missed(0, 3_000_000), missed(3_000_001, 2_999_999)]);
    assert_eq!(world.job(&job).executions_ended, Count(5_999_999));
}

#[test]
fn a_report_after_missed_is_an_observation() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"keeps the job open");
    let mut other = World::funded();
    other.assigned(&job, 1, 2);
    other.seal(window_end(0));
    let events = other.report(&job, 1, ReportedOutcome::Success, b"late");
    assert_eq!(names(&events), ["ExecutionReported"]);
    assert!(outcomes(&events).is_empty());
    assert_eq!(other.job(&job).executions_ended, Count(1));
}

#[test]
fn a_report_after_done_still_decides_an_open_execution() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.at(START);
    world.report(&job, 1, ReportedOutcome::Success, b"op");
    assert!(world.job(&job).done.is_some(), "the last report of the only slot");
    let events = world.seal(window_end(0) + DEADLINE);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::Unverifiable, Fault::Unknown)]);
}

#[test]
fn done_by_the_last_report_of_every_slot() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 2, 1);
    world.at(START);
    assert_eq!(names(&world.report(&job, 1, ReportedOutcome::Success, b"op")), ["ExecutionReported"]);
    assert_eq!(names(&world.report(&job, 2, ReportedOutcome::Success, b"op")), ["ExecutionReported", "JobDone"]);
}

#[test]
fn success_reported_by_settlement_id_without_an_output_is_the_processors_fault() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.at(START);
    let id = world.fulfillment_id(&job, 1, 0);
    world.report(&job, 1, ReportedOutcome::Success, &id.0);
    assert!(outcomes(&world.seal(window_end(0))).is_empty(), "reported, so not missed");
    assert!(world.seal(window_end(0) + DEADLINE - 1).is_empty());
    let events = world.seal(window_end(0) + DEADLINE);
    assert_eq!(outcomes(&events), [(1, 0, 1, Outcome::NoOutput, Fault::Processor)]);
}

#[test]
fn a_job_cancelled_before_its_match_is_over_at_once() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.registered(&job, registration(1, 1));
    assert_eq!(names(&world.removed(&job)), ["JobRemoved", "JobDone", "JobClosed"]);
    assert!(world.removed(&job).is_empty());
}

#[test]
fn a_job_cancelled_before_an_acknowledgement_is_over_at_once() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.registered(&job, registration(1, 1));
    world.matched(&job, registration(1, 1), vec![slot(1, None)]);
    assert_eq!(names(&world.removed(&job)), ["JobRemoved", "JobDone", "JobClosed"]);
}

#[test]
fn a_job_cancelled_between_executions_loses_those_to_come_and_keeps_its_output() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 4);
    world.output(&job, 1, 1, b"on its way");
    let events = world.removed(&job);
    let cancelled = |first, count| (1, first, count, Outcome::Cancelled, Fault::Nobody);
    assert_eq!(outcomes(&events), [cancelled(0, 1), cancelled(2, 2)]);
    assert_eq!(names(&events), ["JobRemoved", "ExecutionEnded", "ExecutionEnded", "JobDone"]);
    world.root_final(&job, 1);
    let id = world.fulfillment_id(&job, 1, 1);
    let events =
        world.slot_final(1, acurast_events::lanes::Purpose::Fulfill, vec![item(id, acurast_events::lanes::ItemOutcome::Settled, 1, 1, 1)]);
    assert_eq!(outcomes(&events), [(1, 1, 1, Outcome::Fulfilled, Fault::Nobody)]);
    assert!(!world.is_open(&job));
}

#[test]
fn an_acknowledgement_after_the_removal_is_ignored() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    world.output(&job, 1, 0, b"keeps the job open");
    world.removed(&job);
    assert!(world.acknowledged(&job, registration(1, 1), slot(2, None)).is_empty());
}

#[test]
fn a_job_created_and_removed_within_one_block_is_tracked_with_its_details_lost() {
    let (mut world, job) = (World::funded(), job_id(1));
    let meta = world.meta();
    let events = world.fact(Registered { meta, job: job.clone(), registration: None });
    let JobsEvent::DestinationChosen(chosen) = &events[1] else { panic!("{events:?}") };
    assert!(chosen.destination.is_none() && chosen.reason.contains("details lost"));
    let meta = world.meta();
    let slots = Vec::new();
    assert!(world.fact(Matched { meta, job: job.clone(), registration: None, slots, execution: None }).is_empty());
    assert_eq!(names(&world.removed(&job)), ["JobRemoved", "JobDone", "JobClosed"]);
}

fn found(world: &World, job: &acurast_events::job_id::JobId, executions: u64, next: u64) -> Found {
    let found = FoundSlot { slot: slot(1, None), acknowledged: true, keys: keys(processor(1)), next_index: Some(Execution(next)) };
    let waiting = FoundSlot { slot: slot(2, None), acknowledged: false, keys: vec![], next_index: None };
    Found { meta: world.meta(), job: job.clone(), registration: registration(2, executions), slots: vec![found, waiting] }
}

#[test]
fn a_job_found_at_the_first_start_is_watched_from_its_open_window_on() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.at(window_end(2));
    let fact = found(&world, &job, 10, 1);
    let events = world.fact(fact);
    let started = events.iter().find_map(|event| if let JobsEvent::AssignmentStarted(it) = event { Some(it) } else { None }).unwrap();
    assert_eq!((started.first_execution, started.executions, started.watched_from), (Execution(0), Count(10), Execution(3)));
    assert_eq!(world.job(&job).matches.len(), 1);
    let refused = world.output(&job, 1, 1, b"before our time");
    assert_eq!(names(&refused), ["OutputRefused"]);
    assert_eq!(outcomes(&world.seal(window_end(3))), [(1, 3, 1, Outcome::Missed, Fault::Processor)]);
}

#[test]
fn a_job_found_after_a_report_does_not_count_that_execution_as_missed() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.at(START + 1);
    let fact = found(&world, &job, 2, 1);
    world.fact(fact);
    assert!(outcomes(&world.seal(window_end(0))).is_empty());
}

#[test]
fn reconciliation_makes_up_for_what_was_not_heard() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.registered(&job, registration(2, 10));
    let Found { meta, job: id, registration, slots } = found(&world, &job, 10, 0);
    let events = world.fact(Reconciled { meta, job: id.clone(), registration: Some(registration), slots });
    assert_eq!(names(&events), ["JobMatched", "AssignmentStarted", "LeafPlanned"]);
    let meta = world.meta();
    let events = world.fact(Reconciled { meta, job: id, registration: None, slots: vec![] });
    assert_eq!(names(&events)[0], "JobRemoved");
}

#[test]
fn reconciliation_does_not_reopen_a_job_whose_time_is_over() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.at(window_end(9) + 10_000);
    let Found { meta, job: id, registration, slots } = found(&world, &job, 10, 0);
    assert!(world.fact(Reconciled { meta, job: id, registration: Some(registration), slots }).is_empty());
    assert!(!world.is_open(&job));
}

#[test]
fn what_concerns_no_owner_or_changes_nothing_is_passed_over() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    let meta = world.meta();
    let remark =
        Remarked { meta: meta.clone(), sender: Bytes(vec![1; 32]), hash: MerkleNode([0; 32]), remark: Some(Bytes(b"ACUS".to_vec())) };
    assert!(world.fact(remark).is_empty());
    assert!(world.fact(Amended { meta: meta.clone(), job, change: Amendment::ScriptEdited }).is_empty());
    assert!(world.fact(UnknownEvent { meta, pallet: "P".into(), variant: "V".into(), fields: Bytes(vec![]) }).is_empty());
}

#[test]
fn a_malformed_schedule_is_tracked() {
    let (mut world, job) = (World::funded(), job_id(1));
    let mut registration = registration(1, 1);
    registration.schedule.interval = Millis(0);
    let events = world.acknowledged(&job, registration, slot(1, None));
    assert_eq!(names(&events), ["JobOpened", "DestinationChosen", "JobMatched", "AssignmentStarted", "JobAssigned"]);
    assert!(names(&world.seal(START + INTERVAL)).contains(&"JobClosed"));
}
