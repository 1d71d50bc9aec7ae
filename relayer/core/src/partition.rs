//! One partition of `jobs.v1` in memory: its open jobs, accounts and lane books, and the indices over them.
//!
//! The state is a pure fold of the partition's records ([`Partition::evolve`]); indices follow from it and are never
//! stored. What the fold changed is handed to the store as rows ([`Partition::changes`]) and comes back by
//! [`Partition::load`], so that a start costs O(open work).

use crate::account::{Account, LaneBook};
use crate::fold::{EvolveError, Scope};
use crate::heard::Heard;
use crate::input::Subject;
use crate::job::{AssignmentKey, Job, Settlement, SettlementPlace, Ticket};
use crate::letters::DirtyLetters;
use crate::rows::{Dirty, Meta};
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, EscrowId, JobKey, OwnerKey, SettlementId};
use acurast_events::caip::{AccountId, ChainId};
use acurast_events::jobs::JobsEvent;
use acurast_events::partition::partition_of;
use acurast_events::record::InputRef;
use acurast_events::units::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// A settlement that waits for money in its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) job: JobKey,
    pub(crate) place: SettlementPlace,
    pub(crate) needs: Amount,
}

/// What of a job stands in the indices.
#[derive(Debug, Default)]
struct Indexed {
    wake: Option<Timestamp>,
    assignments: Vec<AssignmentId>,
    settlements: Vec<SettlementId>,
    waiters: Vec<(EscrowId, Ticket, Waiter)>,
}

/// One partition of `jobs.v1`.
#[derive(Debug, Clone)]
pub struct Partition {
    index: u32,
    partitions: NonZeroU32,
    records: u64,
    heard: Heard,
    jobs: BTreeMap<JobKey, Job>,
    accounts: BTreeMap<EscrowId, Account>,
    lanes: BTreeMap<AccountId, LaneBook>,
    wakes: BTreeSet<(Timestamp, JobKey)>,
    expiries: BTreeSet<(ChainId, Timestamp, EscrowId)>,
    assignments: BTreeMap<AssignmentId, (JobKey, AssignmentKey)>,
    settlements: BTreeMap<SettlementId, JobKey>,
    queues: BTreeMap<EscrowId, BTreeMap<Ticket, Waiter>>,
    ready: BTreeSet<EscrowId>,
    dirty: Dirty,
}

impl Partition {
    /// An empty partition, number `index` of `partitions`.
    pub fn new(index: u32, partitions: NonZeroU32) -> Self {
        Self {
            index,
            partitions,
            records: 0,
            heard: Heard::default(),
            jobs: BTreeMap::new(),
            accounts: BTreeMap::new(),
            lanes: BTreeMap::new(),
            wakes: BTreeSet::new(),
            expiries: BTreeSet::new(),
            assignments: BTreeMap::new(),
            settlements: BTreeMap::new(),
            queues: BTreeMap::new(),
            ready: BTreeSet::new(),
            dirty: Dirty::default(),
        }
    }

    /// Folds one record that was read back, stamped `at`. `input` is the record's input, none for a record that answers none.
    ///
    /// # Errors
    /// When the events contradict the state. Nothing was changed; the owner stops, because its log and its code disagree.
    pub fn evolve(&mut self, at: Timestamp, input: Option<&InputRef>, subject: &Subject, events: &[JobsEvent]) -> Result<(), EvolveError> {
        let mut scope = Scope::new(self, subject.clone());
        for event in events {
            scope.apply(event)?;
        }
        let Scope { mut job, mut account, mut lane, .. } = scope;
        if let Some(input) = input {
            match subject {
                Subject::Job(_) => job.iter_mut().for_each(|job| job.heard.note(input)),
                Subject::Account(_) => account.iter_mut().for_each(|account| account.heard.note(input)),
                Subject::Lane(_) => lane.iter_mut().for_each(|lane| lane.heard.note(input)),
                Subject::Partition => self.heard.note(input),
            }
        }
        self.records = self.records.saturating_add(1);
        self.dirty.letters.note(at, input, subject, events);
        if let Some(lane) = lane {
            self.dirty.lane(&lane.lane);
            self.lanes.insert(lane.lane.clone(), lane);
        }
        if let Some(account) = account {
            self.put_account(account);
        }
        if let Some(job) = job {
            self.put_job(job);
        }
        Ok(())
    }

    fn put_account(&mut self, account: Account) {
        let id = account.escrow_id;
        self.dirty.account(id);
        if account.closing.is_none() {
            self.expiries.insert((account.chain.clone(), account.expiry, id));
        } else {
            self.expiries.remove(&(account.chain.clone(), account.expiry, id));
        }
        self.accounts.insert(id, account);
        self.judge_queue(&id);
    }

    pub(crate) fn put_job(&mut self, mut job: Job) {
        let key = job.key;
        if let Some(before) = self.jobs.remove(&key) {
            self.unindex(&key, &indexed(&before));
        }
        let touched = std::mem::take(&mut job.touched);
        let retired = std::mem::take(&mut job.retired);
        self.dirty.job(key, touched, retired);
        if job.closed {
            self.dirty.close(job);
            return;
        }
        let entries = indexed(&job);
        self.jobs.insert(key, job);
        self.index_job(key, entries);
    }

    fn index_job(&mut self, key: JobKey, entries: Indexed) {
        if let Some(at) = entries.wake {
            self.wakes.insert((at, key));
        }
        for id in entries.assignments {
            if let Some(place) = self.jobs.get(&key).and_then(|job| assignment_place(job, &id)) {
                self.assignments.insert(id, (key, place));
            }
        }
        for id in entries.settlements {
            self.settlements.insert(id, key);
        }
        for (escrow, ticket, waiter) in entries.waiters {
            self.queues.entry(escrow).or_default().insert(ticket, waiter);
            self.judge_queue(&escrow);
        }
    }

    fn unindex(&mut self, key: &JobKey, entries: &Indexed) {
        if let Some(at) = entries.wake {
            self.wakes.remove(&(at, *key));
        }
        for id in &entries.assignments {
            self.assignments.remove(id);
        }
        for id in &entries.settlements {
            self.settlements.remove(id);
        }
        for (escrow, ticket, _) in &entries.waiters {
            if let Some(queue) = self.queues.get_mut(escrow) {
                queue.remove(ticket);
                if queue.is_empty() {
                    self.queues.remove(escrow);
                }
            }
            self.judge_queue(escrow);
        }
    }

    /// Notes whether the first in an account's queue can go on.
    fn judge_queue(&mut self, id: &EscrowId) {
        let head = self.queue_head(id);
        let can = head.zip(self.accounts.get(id)).is_some_and(|(head, account)| account.closing.is_some() || account.free() >= head.needs);
        if can {
            self.ready.insert(*id);
        } else {
            self.ready.remove(id);
        }
    }

    /// The first settlement that waits for money in an account.
    pub(crate) fn queue_head(&self, id: &EscrowId) -> Option<Waiter> {
        self.queues.get(id)?.values().next().copied()
    }

    /// Those that wait for money in an account, first come first.
    pub(crate) fn queue(&self, id: &EscrowId) -> impl Iterator<Item = (&Ticket, &Waiter)> {
        self.queues.get(id).into_iter().flatten()
    }

    /// Accounts whose first in the queue can go on.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &EscrowId> {
        self.ready.iter()
    }

    /// Jobs with something due at or before `at`, in order of time.
    pub(crate) fn due(&self, at: Timestamp) -> impl Iterator<Item = &JobKey> {
        self.wakes.range(..=(at, JobKey([0xff; 32]))).map(|(_, key)| key)
    }

    /// Accounts of a chain that expire at or before `at` and don't close yet.
    pub(crate) fn expiring(&self, chain: &ChainId, at: Timestamp) -> impl Iterator<Item = &EscrowId> {
        let from = (chain.clone(), Timestamp(0), EscrowId::ZERO);
        let to = (chain.clone(), at, EscrowId([0xff; 32]));
        self.expiries.range(from..=to).map(|(_, _, id)| id)
    }

    /// Whether records of this key belong here.
    pub fn owns(&self, owner: &OwnerKey) -> bool {
        partition_of(&owner.0, self.partitions) == self.index
    }

    /// Whether this partition keeps the book of what the lane costs without any job: one of all partitions does.
    pub(crate) fn owns_lane(&self, lane: &AccountId) -> bool {
        partition_of(lane.as_str().as_bytes(), self.partitions) == self.index
    }

    /// The number of records folded. Progress records say nothing about jobs and are not folded.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// An open job.
    pub fn job(&self, key: &JobKey) -> Option<&Job> {
        self.jobs.get(key)
    }

    /// All open jobs.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// An account.
    pub fn account(&self, id: &EscrowId) -> Option<&Account> {
        self.accounts.get(id)
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// What a lane cost without any job, if this partition keeps its book.
    pub fn lane(&self, lane: &AccountId) -> Option<&LaneBook> {
        self.lanes.get(lane)
    }

    /// All lanes whose book this partition keeps.
    pub fn lanes(&self) -> impl Iterator<Item = &LaneBook> {
        self.lanes.values()
    }

    /// The open job and the assignment that an id names.
    pub fn assignment(&self, id: &AssignmentId) -> Option<(&Job, AssignmentKey)> {
        let (job, key) = self.assignments.get(id)?;
        Some((self.jobs.get(job)?, *key))
    }

    /// The open job that a planned settlement belongs to.
    pub fn settlement(&self, id: &SettlementId) -> Option<&Job> {
        self.jobs.get(self.settlements.get(id)?)
    }

    /// The next time of the Acurast chain at which a job changes by itself. Its seals are the clock; this tells how far
    /// the next work is.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// What the partition itself answered of its inputs.
    pub(crate) fn heard(&self) -> &Heard {
        &self.heard
    }

    pub(crate) fn dirty_letters(&self) -> &DirtyLetters {
        &self.dirty.letters
    }

    pub(crate) fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    pub(crate) fn restore(&mut self, meta: Meta, jobs: Vec<Job>, accounts: Vec<Account>, lanes: Vec<LaneBook>) {
        (self.records, self.heard) = (meta.records, meta.heard);
        for lane in lanes {
            self.lanes.insert(lane.lane.clone(), lane);
        }
        for account in accounts {
            self.put_account(account);
        }
        for job in jobs {
            self.put_job(job);
        }
        self.dirty = Dirty::default();
    }
}

fn assignment_place(job: &Job, id: &AssignmentId) -> Option<AssignmentKey> {
    let found = job.assignments.iter().find(|(_, assignment)| assignment.settling.as_ref().is_some_and(|settling| settling.id == *id));
    found.map(|(key, _)| *key)
}

fn indexed(job: &Job) -> Indexed {
    let mut entries = Indexed { wake: job.next_wake(), settlements: job.settlements.keys().copied().collect(), ..Indexed::default() };
    let escrow = job.destination.as_ref().map(|destination| destination.escrow_id);
    let mut wait = |place: SettlementPlace, settlement: &Settlement| {
        if let Some((escrow, (ticket, needs))) = escrow.zip(settlement.queued()) {
            entries.waiters.push((escrow, ticket, Waiter { job: job.key, place, needs }));
        }
    };
    for (key, state) in &job.executions {
        if let Some(fulfillment) = &state.fulfillment {
            wait(SettlementPlace { assignment: key.assignment, execution: Some(key.execution) }, fulfillment);
        }
    }
    for (key, assignment) in &job.assignments {
        if let Some(settling) = &assignment.settling {
            wait(SettlementPlace { assignment: *key, execution: None }, &settling.root);
            entries.assignments.push(settling.id);
        }
    }
    entries
}
