//! What happens outside the relayer, and when: jobs are registered, matched, acknowledged, reported and removed on Acurast;
//! consumers open, fill and close accounts; processors hand in outputs, some twice, some wrong.

use crate::assignments::{Assignments, OWNERS, asset, assignment, caps, escrow, keys, origin, owner, processor, settlement, target};
use crate::chain::GWEI;
use crate::random::Random;
use acurast_events::amount::Amount;
use acurast_events::bytes::{Bytes, EventId, SettlementId};
use acurast_events::ids::fulfillment_settlement_id;
use acurast_events::job_id::JobId;
use acurast_events::outputs::Output;
use acurast_events::source::{
    Acknowledged, BetaReputation, EscrowCloseRequested, EscrowOpened, EscrowRefunded, EscrowToppedUp, FactMeta, Matched, MatchedSlot,
    Registered, Registration, Removed, Reported, ReportedOutcome, Schedule, SourceEvent, Strategy,
};
use acurast_events::units::{Execution, Millis, Timestamp};
use std::collections::BTreeMap;

/// Most executions of a random job.
const EXECUTIONS_MAX: u64 = 2;
/// Locked in an account that never runs dry.
pub const PLENTY: u128 = 100_000_000_000 * GWEI;
const INTERVAL: u64 = 8_000;
const DURATION: u64 = 4_000;

/// A job as its consumer wants it.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its owner's number.
    pub owner: u8,
    /// What was registered.
    pub registration: Registration,
    /// Who runs it.
    pub slots: Vec<MatchedSlot>,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Happening {
    /// On Acurast.
    Acurast(SourceEvent),
    /// On the destination, by a consumer.
    Consumer(SourceEvent),
    /// A processor hands in an output.
    Output(Output),
}

/// What happens, by time.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Delivery ends so long after the last window, ms.
    pub deadline: u64,
    due: BTreeMap<(u64, usize), Happening>,
    added: usize,
}

/// The place of a fact is known when its block is written.
fn unplaced() -> FactMeta {
    FactMeta { id: EventId::ZERO, index: 0, extrinsic: None }
}

impl Script {
    /// Something happens at `at`; things of one moment keep their order.
    pub fn at(&mut self, at: u64, what: Happening) {
        self.due.insert((at, self.added), what);
        self.added += 1;
    }

    /// The next thing due at or before `now`.
    pub fn next(&mut self, now: u64) -> Option<Happening> {
        let entry = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<u64> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The job of an id.
    pub fn job(&self, id: &JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == *id)
    }

    /// `jobs` jobs of `executions` executions and one processor each that start at `start`, acknowledged at `now`, with money
    /// for all, at `max_fee` wei per gas at most; no outputs yet.
    pub fn plain(jobs: u8, executions: u64, now: u64, start: u64, deadline: u64, max_fee: u128) -> Self {
        let mut script = Self { deadline, ..Self::default() };
        for n in 1..=OWNERS {
            script.open(now, n, PLENTY, max_fee);
        }
        for n in 0..jobs {
            let job = job(u128::from(n) + 1, 1 + n % OWNERS, 1, executions, start, u64::from(n) + 1);
            script.assign(now, &job);
            script.jobs.push(job);
        }
        script
    }

    /// A script from a seed.
    pub fn random(random: &mut Random, assignments: &mut Assignments, now: u64) -> Self {
        let deadline = if random.chance(300) { random.between(20_000, 60_000) } else { 600_000 };
        let mut script = Self { deadline, ..Self::default() };
        for n in 1..=OWNERS {
            let scarce = random.chance(150);
            let amount = if scarce { u128::from(random.between(50_000, 400_000_000)) * GWEI } else { PLENTY };
            let max_fee = if random.chance(200) { random.between(15, 45) } else { 200 };
            script.open(now + random.below(8_000), n, amount, u128::from(max_fee) * GWEI);
            if scarce {
                script.top_up(now + random.between(15_000, 70_000), n, PLENTY);
            }
            if random.chance(60) {
                let at = now + random.between(10_000, 90_000);
                script.close(at, n, at + random.between(20_000, 200_000));
            }
        }
        for n in 0..if random.chance(150) { 6 } else { 5 } {
            let slots = if random.chance(200) { 2 } else { 1 };
            let acknowledged = now + random.between(1_000, 18_000);
            // Some are acknowledged so late that their time is almost over.
            let start = if random.chance(120) { now - random.between(60_000, 110_000) } else { acknowledged + random.between(0, 10_000) };
            let first = 10 * n + 1;
            let job = job(u128::from(n) + 1, 1 + (n % u64::from(OWNERS)) as u8, slots, random.between(1, EXECUTIONS_MAX), start, first);
            script.assign(acknowledged, &job);
            script.run(random, assignments, &job, acknowledged);
            if random.chance(60) {
                script.remove(acknowledged + random.between(1_000, 60_000), &job);
            }
            script.jobs.push(job);
        }
        script
    }

    /// Outputs and reports of a job's executions.
    fn run(&mut self, random: &mut Random, assignments: &mut Assignments, job: &Job, acknowledged: u64) {
        for slot in &job.slots {
            for execution in 0..job.registration.schedule.executions().0 {
                let start = job.registration.schedule.start.0 + execution * INTERVAL;
                let at = acknowledged.max(start) + random.between(500, DURATION);
                let id = assignment(&job.id, job.owner, &slot.processor);
                let execution = Execution(execution);
                if random.chance(100) {
                    // No output: a failure is reported, or nothing at all.
                    if random.chance(500) {
                        self.report(at + 1_000, job, slot, ReportedOutcome::Failure, b"out of memory".to_vec());
                    }
                    continue;
                }
                let length = random.between(1, 40);
                let payload: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
                let output = assignments.sign(id, &slot.processor, execution, payload);
                if random.chance(100) {
                    self.at(at + random.between(0, 9_000), Happening::Output(output.clone()));
                }
                if random.chance(50) {
                    let other = assignments.sign(id, &slot.processor, execution, b"something else".to_vec());
                    self.at(at + random.between(0, 9_000), Happening::Output(other));
                }
                if random.chance(50) {
                    let forged = Output { payload: Bytes(b"forged".to_vec()), ..output.clone() };
                    self.at(at.saturating_sub(200), Happening::Output(forged));
                }
                self.at(at, Happening::Output(output));
                if random.chance(700) {
                    let named = fulfillment_settlement_id(&id, execution).0.to_vec();
                    let data = if random.chance(700) { named } else { b"done".to_vec() };
                    self.report(at + random.between(500, 20_000), job, slot, ReportedOutcome::Success, data);
                }
            }
        }
    }

    /// A consumer opens his account.
    pub fn open(&mut self, at: u64, n: u8, amount: u128, max_fee: u128) {
        let Some(asset) = asset() else { return };
        let event = EscrowOpened {
            meta: unplaced(),
            settlement: settlement(),
            escrow_id: escrow(n),
            owner: owner(n),
            target: target(n),
            opener: Bytes(vec![n; 20]),
            caps: caps(max_fee),
            expiry: Timestamp(u64::MAX / 2),
            asset,
            amount: Amount(amount),
        };
        self.at(at, Happening::Consumer(event.into()));
    }

    /// He locks more.
    pub fn top_up(&mut self, at: u64, n: u8, amount: u128) {
        let event = EscrowToppedUp { meta: unplaced(), escrow_id: escrow(n), owner: owner(n), amount: Amount(amount) };
        self.at(at, Happening::Consumer(event.into()));
    }

    /// He asks to close, and takes back what is left later.
    pub fn close(&mut self, at: u64, n: u8, refund_at: u64) {
        let (escrow_id, owner) = (escrow(n), owner(n));
        let asked = EscrowCloseRequested { meta: unplaced(), escrow_id, owner, refundable_at: Timestamp(refund_at) };
        self.at(at, Happening::Consumer(asked.into()));
        let back = EscrowRefunded { meta: unplaced(), escrow_id, owner, to: Bytes(vec![n; 20]), amount: Amount::ZERO };
        self.at(refund_at, Happening::Consumer(back.into()));
    }

    /// The job is registered and matched, and all its processors acknowledge, within one block; the odd ones are matched at once.
    fn assign(&mut self, at: u64, job: &Job) {
        let registration = || Some(job.registration.clone());
        let registered = Registered { meta: unplaced(), job: job.id.clone(), registration: registration() };
        let matched =
            Matched { meta: unplaced(), job: job.id.clone(), registration: registration(), slots: job.slots.clone(), execution: None };
        let instant = job.id.number % 2 == 1;
        let (first, second): (SourceEvent, SourceEvent) =
            if instant { (matched.into(), registered.into()) } else { (registered.into(), matched.into()) };
        self.at(at, Happening::Acurast(first));
        self.at(at, Happening::Acurast(second));
        for slot in &job.slots {
            let acknowledged = Acknowledged {
                meta: unplaced(),
                job: job.id.clone(),
                processor: slot.processor,
                slot: Some(slot.clone()),
                keys: keys(&slot.processor),
                registration: registration(),
            };
            self.at(at, Happening::Acurast(acknowledged.into()));
        }
    }

    fn report(&mut self, at: u64, job: &Job, slot: &MatchedSlot, outcome: ReportedOutcome, data: Vec<u8>) {
        let reputation = Some(BetaReputation { r: Amount(11), s: Amount(1) });
        let event = Reported {
            meta: unplaced(),
            job: job.id.clone(),
            processor: slot.processor,
            outcome,
            data: Bytes(data),
            next_index: None,
            reputation,
        };
        self.at(at, Happening::Acurast(event.into()));
    }

    /// The job leaves Acurast.
    pub fn remove(&mut self, at: u64, job: &Job) {
        self.at(at, Happening::Acurast(Removed { meta: unplaced(), job: job.id.clone(), registration: None }.into()));
    }
}

/// A job of `slots` processors from `first` on.
fn job(number: u128, owner: u8, slots: u32, executions: u64, start: u64, first: u64) -> Job {
    let slot = |n: u32| MatchedSlot {
        processor: processor((first + u64::from(n)) as u8),
        slot: n,
        start_delay: Millis(0),
        fee_per_execution: Amount(5),
        execution: None,
    };
    let registration = Registration {
        script: Bytes(b"ipfs://script".to_vec()),
        schedule: Schedule {
            start: Timestamp(start),
            end: Timestamp(start + INTERVAL * executions),
            interval: Millis(INTERVAL),
            duration: Millis(DURATION),
            max_start_delay: Millis(5_000),
        },
        slots,
        strategy: Strategy::Single,
        reward: Amount(77),
        budget: None,
    };
    Job { id: JobId { origin: origin(owner), number }, owner, registration, slots: (0..slots).map(slot).collect() }
}

impl Job {
    /// The settlement of an execution of its first processor.
    pub fn settlement(&self, execution: u64) -> Option<SettlementId> {
        let slot = self.slots.first()?;
        Some(fulfillment_settlement_id(&assignment(&self.id, self.owner, &slot.processor), Execution(execution)))
    }
}
