//! Whatever happens in whatever order, the books balance, each execution ends once, and a replay gives the same bytes.
//!
//! A model lane answers what was planned, at random: included, orphaned, settled, failed, reverted, skipped, dead. A model operator
//! requeues and resolves dead letters, also ones that don't exist, and says things twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use acurast_events::amount::Amount;
use acurast_events::bytes::*;
use acurast_events::job_id::JobId;
use acurast_events::jobs::{Book, Fault, JobsEvent, LedgerAccountKind};
use acurast_events::lanes::*;
use acurast_events::source::{AssignmentRevoked, ReportedOutcome};
use acurast_events::units::*;
use acurast_relayer_core::{Input, Partition, Subject, Table};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use world::operator::command_id;
use world::*;

const EXECUTIONS: u64 = 4;

#[derive(Debug, Clone)]
enum Step {
    Register(u8),
    Match(u8),
    Acknowledge(u8, u8),
    Output(u8, u8, u64, u8),
    Report(u8, u8, bool, bool),
    Remove(u8),
    Seal(u64),
    Open(u128),
    TopUp(u128),
    Close,
    Refund,
    Revoke(u8, u8),
    Include(usize),
    Orphan(usize),
    Settle(usize, u8, u128, u128),
    SettleAll(u128),
    Die(usize),
    Requeue(usize),
    Resolve(usize),
    SameCommand(usize),
    Garbage(u8, u8, u64, bool),
    NoOp(u128),
}

fn step() -> impl Strategy<Value = Step> {
    let (job, processor) = (0u8..3, 1u8..3);
    prop_oneof![
        3 => job.clone().prop_map(Step::Register),
        2 => job.clone().prop_map(Step::Match),
        6 => (job.clone(), processor.clone()).prop_map(|(j, p)| Step::Acknowledge(j, p)),
        9 => (job.clone(), processor.clone(), 0..EXECUTIONS + 1, 0u8..2).prop_map(|(j, p, e, b)| Step::Output(j, p, e, b)),
        5 => (job.clone(), processor.clone(), any::<bool>(), any::<bool>()).prop_map(|(j, p, ok, named)| Step::Report(j, p, ok, named)),
        1 => job.clone().prop_map(Step::Remove),
        4 => (0..2 * INTERVAL).prop_map(Step::Seal),
        3 => (0u128..8_000).prop_map(Step::Open),
        4 => (1u128..3_000).prop_map(Step::TopUp),
        1 => Just(Step::Close),
        1 => Just(Step::Refund),
        1 => (job, processor).prop_map(|(j, p)| Step::Revoke(j, p)),
        4 => any::<prop::sample::Index>().prop_map(|i| Step::Include(i.index(64))),
        2 => any::<prop::sample::Index>().prop_map(|i| Step::Orphan(i.index(64))),
        9 => (any::<prop::sample::Index>(), 0u8..5, 0u128..=MAX_CHARGE, 0u128..=SHARE)
            .prop_map(|(i, outcome, charge, cost)| Step::Settle(i.index(64), outcome, charge, cost)),
        2 => (0u128..=MAX_CHARGE).prop_map(Step::SettleAll),
        3 => any::<prop::sample::Index>().prop_map(|i| Step::Die(i.index(64))),
        1 => (0u128..100).prop_map(Step::NoOp),
        4 => any::<prop::sample::Index>().prop_map(|i| Step::Requeue(i.index(64))),
        1 => any::<prop::sample::Index>().prop_map(|i| Step::Resolve(i.index(64))),
        1 => any::<prop::sample::Index>().prop_map(|i| Step::SameCommand(i.index(64))),
        1 => (0u8..3, 1u8..3, 0..EXECUTIONS, any::<bool>()).prop_map(|(j, p, e, reads)| Step::Garbage(j, p, e, reads)),
    ]
}

/// What the model lane has and what the model contract moved.
#[derive(Default)]
struct Model {
    planned: Vec<(SettlementId, bool)>,
    posted: BTreeSet<AssignmentId>,
    share_paid: BTreeSet<AssignmentId>,
    assignment_of: BTreeMap<SettlementId, AssignmentId>,
    ended: BTreeSet<(AssignmentId, u64)>,
    watched: BTreeMap<AssignmentId, u64>,
    settled: BTreeSet<SettlementId>,
    commands: u64,
    locked: u128,
    charged: u128,
    refunded: u128,
    paid: u128,
}

impl Model {
    fn take(&mut self, events: &[JobsEvent]) {
        for event in events {
            match event {
                JobsEvent::AssignmentStarted(it) => {
                    self.watched.extend(it.assignment_id.map(|id| (id, it.executions.0)));
                }
                JobsEvent::LeafPlanned(it) => {
                    self.assignment_of.insert(it.settlement_id, it.assignment_id);
                    self.planned.push((it.settlement_id, true));
                }
                JobsEvent::FulfillmentPlanned(it) => {
                    self.assignment_of.insert(it.settlement_id, it.assignment_id);
                    assert!(!self.ended.contains(&(it.assignment_id, it.execution.0)), "planned after its outcome: {it:?}");
                    self.planned.push((it.settlement_id, false));
                }
                JobsEvent::ExecutionEnded(it) => {
                    for execution in it.execution.0..it.execution.0 + it.executions.0 {
                        assert!(self.ended.insert((it.assignment_id, execution)), "an execution ended twice: {it:?}");
                    }
                }
                JobsEvent::SettlementFinal(it) => assert!(self.settled.insert(it.settlement_id), "settled twice: {it:?}"),
                JobsEvent::LedgerDiffers(it) => panic!("an honest contract raised an alarm: {it:?}"),
                _ => {}
            }
        }
    }

    fn balance(&self) -> u128 {
        self.locked - self.charged - self.refunded
    }

    fn pick(&self, index: usize) -> Option<(SettlementId, bool)> {
        (!self.planned.is_empty()).then(|| self.planned[index % self.planned.len()])
    }
}

/// A job that was closed: its chain says nothing of it any more.
fn is_over(world: &World, n: u8) -> bool {
    let key = key_of(&job_id(u128::from(n)));
    world.partition.job(&key).is_none() && world.log.iter().any(|logged| logged.subject == Subject::Job(key))
}

fn known(world: &World, job: &JobId, n: u8) -> bool {
    let key = acurast_relayer_core::job::AssignmentKey { processor: processor(n), only: None };
    let job = world.partition.job(&key_of(job));
    job.and_then(|job| job.assignments.get(&key)).is_some_and(|assignment| assignment.settling.is_some())
}

/// Does one step, if it makes sense now.
fn act(world: &mut World, model: &mut Model, step: &Step) -> Vec<JobsEvent> {
    let job = |n: &u8| job_id(u128::from(*n));
    let registration = registration(2, EXECUTIONS);
    let has_account = world.partition.account(&escrow()).is_some();
    match step {
        Step::Register(j) | Step::Match(j) | Step::Acknowledge(j, _) if is_over(world, *j) => vec![],
        Step::Register(j) => world.registered(&job(j), registration),
        Step::Match(j) => world.matched(&job(j), registration, vec![slot(1, None), slot(2, None)]),
        Step::Acknowledge(j, n) => world.acknowledged(&job(j), registration, slot(*n, None)),
        Step::Output(j, n, execution, payload) if known(world, &job(j), *n) => world.output(&job(j), *n, *execution, &[*payload]),
        Step::Report(j, n, success, named) => {
            let outcome = if *success { ReportedOutcome::Success } else { ReportedOutcome::Failure };
            let execution = (world.now.saturating_sub(START) / INTERVAL).min(EXECUTIONS - 1);
            let name = (*named && known(world, &job(j), *n)).then(|| world.fulfillment_id(&job(j), *n, execution).0.to_vec());
            world.report(&job(j), *n, outcome, &name.unwrap_or_else(|| b"something else".to_vec()))
        }
        Step::Remove(j) => world.removed(&job(j)),
        Step::Seal(after) => world.seal(world.now + after),
        Step::Open(amount) if !has_account => {
            model.locked += amount;
            world.escrow_opened(*amount)
        }
        Step::TopUp(amount) if has_account && model.refunded == 0 => {
            model.locked += amount;
            world.topped_up(*amount)
        }
        Step::Close if has_account => world.close_requested(),
        Step::Refund if has_account && model.refunded == 0 && world.partition.account(&escrow()).unwrap().closing.is_some() => {
            let amount = model.balance();
            model.refunded += amount;
            world.refunded(amount)
        }
        Step::Revoke(j, n) if known(world, &job(j), *n) => {
            let (meta, assignment_id) = (world.meta(), world.assignment_id(&job(j), *n, None));
            world.dest_fact(AssignmentRevoked { meta, escrow_id: escrow(), owner: owner(), assignment_id })
        }
        Step::Include(index) => match model.pick(*index) {
            Some((id, _)) => world.included(1, vec![id]),
            None => vec![],
        },
        Step::Orphan(index) => match model.pick(*index) {
            Some((id, _)) => world.lane(AttemptOrphaned { slot: Slot(0), tx: tx(1), items: vec![id] }),
            None => vec![],
        },
        Step::Settle(index, outcome, charge, cost) => settle(world, model, *index, *outcome, *charge, *cost),
        Step::SettleAll(charge) => settle_all(world, model, *charge),
        Step::Die(index) => match model.pick(*index) {
            Some((id, _)) => {
                model.planned.retain(|(planned, _)| *planned != id);
                world.lane(IntentDead { settlement_id: id, reason: "given up".into(), fault: Fault::Chain })
            }
            None => vec![],
        },
        Step::Requeue(index) | Step::Resolve(index) => {
            let open = world.open_letters();
            // Now and then one that nobody knows.
            let letter = open.get(index % (open.len() + 1)).copied().unwrap_or(EventId([7; 32]));
            model.commands += 1;
            let requeue = matches!(step, Step::Requeue(_));
            let events = if requeue { world.requeue(model.commands, letter) } else { world.resolve(model.commands, letter) };
            let ended = world.result(&command_id(model.commands)).unwrap().fate.is_some();
            assert_eq!(ended, !world.open_letters().contains(&letter) && open.contains(&letter), "a letter ends by what was done");
            events
        }
        Step::SameCommand(index) if model.commands > 0 => {
            let letter = world.open_letters().first().copied().unwrap_or(EventId([7; 32]));
            let events = world.requeue(1 + *index as u64 % model.commands, letter);
            assert!(events.is_empty(), "a command that was decided changes nothing: {events:?}");
            events
        }
        Step::Garbage(j, n, execution, reads) => {
            let means = (*reads && known(world, &job(j), *n)).then(|| world.signed(&job(j), *n, *execution, b"late"));
            world.garbage(&[0xff, *j, *n], means)
        }
        Step::NoOp(cost) => {
            model.paid += cost;
            let mut event = world.slot_event(9, Purpose::NoOp, vec![], vec![]);
            event.cost = Amount(*cost);
            world.lane(event)
        }
        _ => vec![],
    }
}

/// The lane finalizes a slot; the contract pays out of what it holds and never after it was emptied.
fn settle(world: &mut World, model: &mut Model, index: usize, outcome: u8, charge: u128, cost: u128) -> Vec<JobsEvent> {
    let Some((id, is_root)) = model.pick(index) else { return vec![] };
    let outcome = match outcome {
        0 | 1 => ItemOutcome::Settled,
        2 if !is_root => ItemOutcome::SettledFailed,
        2 | 3 => ItemOutcome::NoEffect,
        _ => ItemOutcome::Skipped,
    };
    let takes_effect = matches!(outcome, ItemOutcome::Settled | ItemOutcome::SettledFailed);
    let (mut charged, mut share) = (0, 0);
    let assignment = model.assignment_of[&id];
    if takes_effect && is_root {
        model.posted.insert(assignment);
    }
    if takes_effect && !is_root {
        // The contract knows no leaf of a root that was never posted.
        if !model.posted.contains(&assignment) {
            return vec![];
        }
        charged = charge;
        share = if model.share_paid.contains(&assignment) { 0 } else { cost.min(SHARE) };
        if model.balance() < charged + share {
            return vec![];
        }
        model.share_paid.insert(assignment);
    }
    if takes_effect {
        model.planned.retain(|(planned, _)| *planned != id);
    }
    model.charged += charged + share;
    model.paid += cost;
    world.slot_final(2, Purpose::Fulfill, vec![item(id, outcome, charged, share, cost)])
}

/// All deliveries that can be, in one transaction.
fn settle_all(world: &mut World, model: &mut Model, charge: u128) -> Vec<JobsEvent> {
    let mut items = Vec::new();
    for (id, is_root) in std::mem::take(&mut model.planned) {
        let assignment = model.assignment_of[&id];
        let share = if model.share_paid.contains(&assignment) { 0 } else { 17 };
        if is_root || !model.posted.contains(&assignment) || model.balance() < charge + share {
            model.planned.push((id, is_root));
            continue;
        }
        model.share_paid.insert(assignment);
        model.charged += charge + share;
        model.paid += 3;
        items.push(item(id, ItemOutcome::Settled, charge, share, 3));
    }
    if items.is_empty() { vec![] } else { world.slot_final(3, Purpose::Fulfill, items) }
}

fn check_books(world: &World, model: &Model) {
    let mut spent_by_items = 0;
    let (mut cost, mut margin_gain, mut margin_loss) = (0, 0, 0);
    for job in world.partition.jobs() {
        job.ledger.check().unwrap();
        let settlements = job.settlements.values().filter_map(|place| job.settlement(place));
        let reserved: u128 = settlements.map(|settlement| settlement.reserved.0).sum();
        assert_eq!(reserved, job.money.reserved.0, "what is reserved per settlement is what is reserved for the job");
        if let Some(account) = world.partition.account(&escrow()) {
            assert_eq!(account.reserved_for(job.key), job.money.reserved);
        }
        assert!(job.money.spent <= job.money.reserved_ever, "no job spends more than it reserved");
        spent_by_items += job.money.spent.0;
    }
    for logged in &world.log {
        for event in &logged.events {
            let JobsEvent::Posted(posted) = event else { continue };
            for entry in posted.entries.iter().filter(|entry| entry.book == Book::Signer) {
                match (entry.credit.kind, entry.debit.kind) {
                    (_, LedgerAccountKind::SignerCost) => cost += entry.amount.0,
                    (_, LedgerAccountKind::Margin) => margin_gain += entry.amount.0,
                    _ => margin_loss += entry.amount.0,
                }
            }
        }
    }
    assert_eq!(cost + margin_gain - margin_loss, model.charged, "cost + margin = charge");
    assert_eq!(cost, model.paid, "every mined attempt is in the signer book");
    if let Some(account) = world.partition.account(&escrow()) {
        account.ledger.check().unwrap();
        let balance = account.free().0 + account.reserved().0 - account.owed.0;
        assert_eq!(balance, model.balance(), "ledger and contract agree to the unit");
        assert_eq!(account.spent().0, model.charged);
        assert!(account.spent() <= account.brought_in() && spent_by_items <= account.spent().0);
        assert_eq!(account.brought_in().0, model.locked);
    }
}

/// Everything that can still happen happens, so that every job comes to its end.
fn finish(world: &mut World, model: &mut Model) {
    for _ in 0..3 {
        let events = world.seal(window_end(EXECUTIONS) + 2 * DEADLINE + world.now);
        model.take(&events);
        while let Some((id, _)) = model.pick(0) {
            model.planned.retain(|(planned, _)| *planned != id);
            let events = world.lane(IntentDead { settlement_id: id, reason: "the end".into(), fault: Fault::Chain });
            model.take(&events);
        }
    }
}

fn rows_after(log: &[Logged], batch: usize) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
    let mut partition = empty_partition();
    let mut rows = BTreeMap::new();
    let mut take = |partition: &mut Partition| {
        for (table, key, value) in partition.changes().unwrap() {
            match value {
                Some(value) => rows.insert((table, key), value),
                None => rows.remove(&(table, key)),
            };
        }
    };
    for records in log.chunks(batch) {
        for record in records {
            partition.evolve(record.at, record.input.as_ref(), &record.subject, &record.events).unwrap();
        }
        take(&mut partition);
    }
    take(&mut partition);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn any_interleaving_keeps_the_books_ends_each_execution_once_and_replays_to_the_same_bytes(
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let (mut world, mut model) = (World::new(), Model::default());
        for step in &steps {
            let events = act(&mut world, &mut model, step);
            model.take(&events);
            check_books(&world, &model);
        }

        // Re-delivery of any input decides nothing new, even without what the shell remembers.
        let inputs = world.inputs.clone();
        for (input, reference) in &inputs {
            let is_closed = |key: &JobKey| world.partition.job(key).is_none();
            let about_open = world.log.iter().filter(|logged| logged.input == *reference)
                .all(|logged| !matches!(&logged.subject, Subject::Job(key) if is_closed(key)));
            if about_open && may_be_repeated(&world, input) {
                let input = &match input {
                    Input::Control(control) => Input::Control(Box::new(world.looked_up(control.command.clone()))),
                    other => other.clone(),
                };
                let next = world.partition.decide_next(&world.policy, &FakeRules, input, reference.as_ref(), &BTreeSet::new()).unwrap();
                prop_assert_eq!(next, None, "{:?}", input);
            }
        }

        // A restart from the rows gives the state that goes on as if nothing had happened.
        let stored = world.rows.iter().map(|((table, key), value)| (*table, key.clone(), value.clone()));
        let mut loaded = Partition::load(0, NonZeroU32::MIN, stored).unwrap();
        prop_assert_eq!(format!("{:?}", loaded.jobs().collect::<Vec<_>>()), format!("{:?}", world.partition.jobs().collect::<Vec<_>>()));
        prop_assert_eq!(loaded.next_wake(), world.partition.next_wake());
        std::mem::swap(&mut world.partition, &mut loaded);

        finish(&mut world, &mut model);
        check_books(&world, &model);
        for (assignment, executions) in &model.watched {
            for execution in 0..*executions {
                prop_assert!(model.ended.contains(&(*assignment, execution)), "execution {execution} of {assignment} has no outcome");
            }
        }
        prop_assert_eq!(world.partition.jobs().count(), 0, "every job closes");
        let open = [Table::OpenJobs.id(), Table::OpenExecutions.id()];
        prop_assert!(!world.rows.keys().any(|(table, _)| open.contains(table)), "nothing that is over is read at a start");
        if world.partition.account(&escrow()).is_some() {
            prop_assert_eq!(world.reserved(), 0, "nothing stays reserved");
        }

        prop_assert_eq!(&rows_after(&world.log, 1), &world.rows);
        prop_assert_eq!(&rows_after(&world.log, 7), &world.rows);
    }
}

/// Facts about a job that is closed by now would open it anew: the shell recognises those by their records (R11).
fn may_be_repeated(world: &World, input: &Input) -> bool {
    match input {
        Input::Fact { event, .. } => event.job().is_none_or(|job| world.partition.job(&key_of(job)).is_some()),
        Input::Seal { .. } | Input::Output(_) | Input::Control(_) | Input::Unreadable(_) | Input::Lane { .. } | Input::Ready => true,
    }
}
