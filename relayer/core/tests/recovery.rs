//! What survives a crash, what leaves memory, and what derives from a record (R11, PROTOCOL §8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use acurast_events::amount::Amount;
use acurast_events::bytes::*;
use acurast_events::ids::payload_hash;
use acurast_events::jobs::{Fault, JobsEvent, Outcome};
use acurast_events::lanes::*;
use acurast_events::record::{InputRef, Record};
use acurast_events::source::ReportedOutcome;
use acurast_events::topics::{DEFAULT_PREFIX, Topic};
use acurast_events::units::*;
use acurast_events::wire::Message;
use acurast_relayer_core::view::execution_status;
use acurast_relayer_core::{Derived, EvolveError, Input, OutputStatus, Partition, Subject, Table, derive, rows};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use world::*;

/// Two jobs with a delivery each in one final slot.
fn two_in_one_slot(world: &mut World) -> (Input, InputRef) {
    let jobs = [job_id(1), job_id(2)];
    for job in &jobs {
        world.assigned(job, 1, 1);
        world.root_final(job, 1);
        world.output(job, 1, 0, b"result");
        world.at(START);
        world.report(job, 1, ReportedOutcome::Success, b"done");
    }
    let items: Vec<_> = jobs.iter().map(|job| item(world.fulfillment_id(job, 1, 0), ItemOutcome::Settled, 300, 50, 100)).collect();
    let charges = vec![AccountCharge { escrow_id: escrow(), items: Amount(600), root_shares: Amount(100) }];
    let event = world.slot_event(1, Purpose::Fulfill, items, charges);
    let reference = InputRef { topic: "lanes".into(), partition: 0, position: Offset(99), id: EventId([99; 32]) };
    (Input::Lane { lane: lane(), event: event.into() }, reference)
}

#[test]
fn a_crash_between_two_records_of_one_input_loses_and_repeats_nothing() {
    let mut world = World::funded();
    let (input, reference) = two_in_one_slot(&mut world);
    let none = BTreeSet::new();
    let first = world.partition.decide_next(&world.policy, &FakeRules, &input, Some(&reference), &none).unwrap().unwrap();
    world.partition.evolve(Timestamp(1), Some(&reference), &first.subject, &first.events).unwrap();
    let Subject::Job(key) = first.subject else { panic!("{first:?}") };
    assert!(world.partition.job(&key).is_none(), "closed by that very record");

    // Crash: only the first record is in the journal. The input is read again.
    let answered = BTreeSet::from([first.subject.clone()]);
    let second = world.partition.decide_next(&world.policy, &FakeRules, &input, Some(&reference), &answered).unwrap().unwrap();
    assert_ne!(second.subject, first.subject);
    assert!(!second.events.iter().any(|event| event.name() == "LedgerDiffers"), "the sums were compared in the first record");
    world.partition.evolve(Timestamp(1), Some(&reference), &second.subject, &second.events).unwrap();
    assert_eq!(world.partition.decide_next(&world.policy, &FakeRules, &input, Some(&reference), &answered).unwrap(), None);
    assert_eq!(world.free(), 1_000_000 - 700);
}

#[test]
fn a_fact_that_opened_a_closed_job_is_recognised_by_its_record() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.registered(&job, registration(1, 1));
    world.removed(&job);
    let (input, reference) = world.inputs[1].clone();
    let answered = BTreeSet::from([Subject::Job(key_of(&job))]);
    assert_eq!(world.partition.decide_next(&world.policy, &FakeRules, &input, reference.as_ref(), &answered).unwrap(), None);
}

#[test]
fn a_record_that_contradicts_the_state_changes_nothing() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 1);
    let subject = Subject::Job(key_of(&job));
    let before = format!("{:?}", world.job(&job));
    let planned = world.log.iter().flat_map(|logged| &logged.events).find(|event| event.name() == "LeafPlanned").unwrap().clone();
    let refused = world.partition.evolve(Timestamp(1), None, &subject, &[planned]);
    assert!(matches!(refused, Err(EvolveError::Contradiction { event: "LeafPlanned", .. })), "{refused:?}");
    let reserved = world.log.iter().flat_map(|logged| &logged.events).filter(|event| event.name() == "Posted").nth(1).unwrap().clone();
    let JobsEvent::Posted(mut posted) = reserved else { panic!() };
    posted.entries[0].amount = Amount(1_000_001);
    let refused = world.partition.evolve(Timestamp(1), None, &subject, &[posted.into()]);
    assert!(matches!(refused, Err(EvolveError::Ledger { .. })), "{refused:?}");
    assert_eq!(format!("{:?}", world.job(&job)), before);
}

#[test]
fn an_execution_can_not_end_twice() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 3);
    let events = world.seal(window_end(0));
    let ended = events.iter().find(|event| event.name() == "ExecutionEnded").unwrap().clone();
    assert!(world.partition.evolve(Timestamp(1), None, &Subject::Job(key_of(&job)), &[ended]).is_err());
}

#[test]
fn a_loaded_partition_goes_on_where_the_stored_one_was() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(SHARE);
    world.acknowledged(&job, registration(1, 3), slot(1, None));
    world.output(&job, 1, 0, b"waits for money");
    let stored = world.rows.iter().map(|((table, key), value)| (*table, key.clone(), value.clone()));
    world.partition = Partition::load(0, NonZeroU32::MIN, stored).unwrap();
    assert_eq!(names(&world.topped_up(MAX_CHARGE)), ["FulfillmentPlanned"]);
    assert_eq!(outcomes(&world.seal(window_end(1))), [(1, 1, 1, Outcome::Missed, Fault::Processor)]);
}

#[test]
fn a_row_of_another_version_is_refused_with_its_table_and_key() {
    let refused = Partition::load(0, NonZeroU32::MIN, [(Table::Accounts.id(), vec![1, 2], vec![9, 9])]).unwrap_err();
    assert_eq!((refused.table, refused.key.as_str()), (Table::Accounts.id(), "0102"));
}

#[test]
fn long_jobs_keep_their_newest_executions_in_memory_and_the_rest_in_the_store() {
    const MANY: u64 = 400;
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(10_000_000);
    world.assigned(&job, 1, MANY + 1);
    world.root_final(&job, 1);
    for execution in 0..MANY {
        world.output(&job, 1, execution, &execution.to_be_bytes());
        let id = world.fulfillment_id(&job, 1, execution);
        world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 10, 0, 5)]);
    }
    assert_eq!(world.job(&job).executions.len(), 256);
    assert_eq!(world.job(&job).executions_ended, Count(MANY));
    let (id, payload) = (world.assignment_id(&job, 1, None), 0u64.to_be_bytes());
    assert_eq!(world.partition.output_status(&id, Execution(0), &payload_hash(&payload)), OutputStatus::Retired);
    assert!(world.output(&job, 1, 0, &payload).is_empty(), "the store has its answer");

    let ended: Vec<_> = world.rows.iter().filter(|((table, _), _)| *table == Table::EndedExecutions.id()).collect();
    assert_eq!(ended.len() as u64, MANY - 256);
    let open = world.rows.keys().filter(|(table, _)| *table == Table::OpenExecutions.id()).count();
    assert_eq!(open, 256, "a start reads open work only");
    let (at, state) = rows::execution_of_row(&ended[0].0.1, ended[0].1).unwrap();
    let status = execution_status(&state, at.execution, &payload_hash(&payload));
    assert!(matches!(status, OutputStatus::Accepted { tx: Some(_), .. }), "{status:?}");
}

fn record(world: &World, sequence: usize) -> Record {
    let logged = &world.log[sequence];
    Record {
        term: Term(1),
        writer: WriterId([1; 16]),
        sequence: Sequence(sequence as u64),
        previous: RecordHash([0; 32]),
        at: Timestamp(123),
        input: logged.input.clone(),
        subject: logged.subject.to_bytes(),
        traceparent: None,
        events: logged.events.iter().map(|event| Bytes(event.encode())).collect(),
    }
}

fn derived(world: &World) -> Vec<Derived> {
    let at = Topic::Jobs.name(DEFAULT_PREFIX).partition(0);
    let of = |n: usize| {
        let record = record(world, n);
        let events = record.decode_events::<JobsEvent>().unwrap();
        derive(&at, &GENESIS, &RecordHash([n as u8; 32]), &record, &events)
    };
    (0..world.log.len()).flat_map(of).collect()
}

#[test]
fn a_delivery_gives_one_receipt_and_one_observation_with_what_it_cost() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 2);
    world.root_final(&job, 1);
    world.at(START + 500);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    world.slot_final(1, Purpose::Fulfill, vec![item(id, ItemOutcome::Settled, 700, 120, 650)]);
    world.seal(window_end(1));
    let all = derived(&world);
    let receipts: Vec<_> = all.iter().filter_map(|it| if let Derived::Receipt(receipt) = it { Some(receipt) } else { None }).collect();
    assert_eq!(receipts.iter().map(|receipt| receipt.outcome).collect::<Vec<_>>(), [Outcome::Fulfilled, Outcome::Missed]);
    let delivered = receipts[0];
    assert_eq!((delivered.charge, delivered.root_share, delivered.cost), (Amount(700), Amount(120), Amount(650)));
    assert_eq!((delivered.tx, delivered.attesters_needed, delivered.settlement_id), (Some(tx(1)), 1, Some(id)));
    let observed: Vec<_> = all.iter().filter_map(|it| if let Derived::Reputation(it) = it { Some(it) } else { None }).collect();
    assert_eq!((observed.len(), observed[0].latency, observed[0].weight), (2, Some(Millis(500)), Amount(77)));
    assert_eq!(all.iter().filter(|it| matches!(it, Derived::JobReceipt(_))).count(), 1);
}

#[test]
fn deriving_again_gives_the_same_messages_and_no_two_share_an_id() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 2, 3);
    world.root_final(&job, 1);
    world.output(&job, 1, 0, b"result");
    let id = world.fulfillment_id(&job, 1, 0);
    world.lane(IntentDead { settlement_id: id, reason: "past notAfter".into(), fault: Fault::Chain });
    world.seal(window_end(2));
    let all = derived(&world);
    assert_eq!(all, derived(&world));
    let ids: BTreeSet<_> = all
        .iter()
        .map(|it| match it {
            Derived::Receipt(it) => it.id,
            Derived::JobReceipt(it) => it.id,
            Derived::ReceiptReversed(it) => it.id,
            Derived::Reputation(it) => it.id,
            Derived::DeadLetter(it) => it.id,
        })
        .collect();
    assert_eq!(ids.len(), all.len());
    assert_eq!(all.iter().filter(|it| matches!(it, Derived::DeadLetter(letter) if letter.fault == Fault::Chain)).count(), 1);
}

#[test]
fn a_dead_letter_has_the_same_id_in_the_topic_and_in_the_store() {
    let (mut world, job) = (World::funded(), job_id(1));
    world.assigned(&job, 1, 2);
    world.root_final(&job, 1);
    for execution in 0..2 {
        world.output(&job, 1, execution, b"result");
        let id = world.fulfillment_id(&job, 1, execution);
        world.lane(IntentDead { settlement_id: id, reason: "returned too often".into(), fault: Fault::Unknown });
    }
    world.garbage(b"\xff", None);
    let of_topic = derived(&world).into_iter().filter_map(|it| if let Derived::DeadLetter(it) = it { Some(it.id) } else { None });
    let mut of_topic: Vec<_> = of_topic.collect();
    of_topic.sort_unstable();
    assert_eq!((of_topic.len(), of_topic), (3, world.open_letters()));
}

#[test]
fn competing_jobs_let_go_of_assignments_that_are_over() {
    let (mut world, job) = (World::new(), job_id(1));
    world.escrow_opened(10_000_000);
    let registration =
        acurast_events::source::Registration { strategy: acurast_events::source::Strategy::Competing, ..registration(1, 400) };
    for execution in 0..300 {
        world.acknowledged(&job, registration.clone(), slot(1, Some(execution)));
        let id = acurast_events::ids::root_settlement_id(&world.assignment_id(&job, 1, Some(execution)));
        world.slot_final(1, Purpose::Root, vec![item(id, ItemOutcome::Settled, 0, 0, 1)]);
        world.seal(window_end(execution));
    }
    assert!(world.job(&job).assignments.len() <= 257, "{}", world.job(&job).assignments.len());
    assert_eq!(world.job(&job).executions_ended, Count(300));
    assert_eq!(world.reserved(), 0);
}
