//! The state of one job: who was matched, who acknowledged, what each execution came to, what is on its way.
//!
//! ```text
//! job         OPEN → MATCHED → ASSIGNED → DONE        (DONE: last report of every slot, time, or removal)
//! settlement  Idle → Waiting(reason) ⇄ … → Planned ⇄ included → Final | Dead (a dead letter; may be planned anew)
//! execution   untouched ─ output accepted ─▶ fulfilled | failed at its destination | failed, undelivered at notAfter
//!                       ├ failure reported ─▶ reported_failure
//!                       ├ success reported, no output at notAfter ─▶ no_output | unverifiable
//!                       ├ window over ─▶ missed
//!                       └ removed ─▶ cancelled
//! ```
//!
//! A job can have millions of executions, so untouched ones take no memory: `cursor` is the first of them, what ended
//! without a trace is kept as runs, and only the newest ended executions stay in memory (older ones are in the store).

use crate::heard::Heard;
use crate::ledger::Ledger;
pub use crate::settlement::{FinalEffect, Settlement, SettlementPlace, Stage, Ticket};
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, Bytes, JobKey, OwnerKey, PayloadHash, ProcessorId, SettlementId, SignerKey};
use acurast_events::caip::AccountId;
use acurast_events::job_id::JobId;
use acurast_events::jobs::{BlockRef, Destination, DestinationRule, Fault, OpenedBy, Outcome};
use acurast_events::leaves::KeyType;
use acurast_events::schedule::Span;
use acurast_events::source::{BetaReputation, MatchedSlot, Registration, ReportedOutcome};
use acurast_events::units::{Count, Execution, Millis, Offset, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many ended executions of an assignment stay in memory, so that the same output again gets the same answer.
pub(crate) const ENDED_KEPT: usize = 256;
/// How many assignments of a competing job stay in memory after they ended.
pub(crate) const ASSIGNMENTS_KEPT: usize = 256;
/// How many runs of missed or cancelled executions an assignment remembers.
const RUNS_KEPT: usize = 64;
/// How many different payloads of one execution are observed as equivocation.
pub const EQUIVOCATIONS_MAX: usize = 8;

/// Names an assignment within its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssignmentKey {
    /// The processor.
    pub processor: ProcessorId,
    /// The one execution that it was matched for; absent: all.
    pub only: Option<Execution>,
}

/// Names an execution of an assignment within its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExecutionKey {
    /// The assignment.
    pub assignment: AssignmentKey,
    /// The execution.
    pub execution: Execution,
}

/// What makes an assignment one that is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settling {
    /// Its id.
    pub id: AssignmentId,
    /// Kind of the key that signs its outputs.
    pub key_type: KeyType,
    /// That key.
    pub signer_key: SignerKey,
    /// Nothing is sent after this time.
    pub not_after: Timestamp,
    /// Its share of a root.
    pub root: Settlement,
    /// The lane that it is bound to, once planned.
    pub lane: Option<AccountId>,
    /// Whether the account's opener revoked it.
    pub revoked: bool,
}

/// Consecutive executions that ended alike without a trace of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// How many.
    pub count: Count,
    /// How they ended.
    pub outcome: Outcome,
}

/// A processor that acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The match.
    pub slot: MatchedSlot,
    /// First execution that it covers.
    pub first: Execution,
    /// How many it covers; none for a malformed schedule.
    pub executions: Count,
    /// First execution that is watched.
    pub watched_from: Execution,
    /// When it was acknowledged.
    pub block: BlockRef,
    /// The pallet's running report index, as we count it.
    pub next_index: Execution,
    /// Whether its last report came.
    pub reported_last: bool,
    /// What settles it; absent: it is only tracked.
    pub settling: Option<Settling>,
    /// First execution without a trace: neither report nor output nor outcome.
    pub cursor: Execution,
    /// How many watched executions have their outcome.
    pub ended: Count,
    /// The newest runs of missed or cancelled executions.
    pub runs: BTreeMap<Execution, Run>,
}

impl Assignment {
    /// First execution after its last.
    pub fn end(&self) -> Execution {
        Execution(self.first.0.saturating_add(self.executions.0))
    }

    /// The executions that it covers.
    pub fn span(&self) -> Span {
        Span { first: self.first, count: self.executions }
    }

    /// Whether every watched execution has its outcome; always so for one that is only tracked.
    pub fn is_complete(&self) -> bool {
        self.settling.is_none() || self.ended.0 >= self.end().0.saturating_sub(self.watched_from.0)
    }

    /// How a run that covers `execution` ended, where it is still remembered.
    pub fn run_outcome(&self, execution: Execution) -> Option<Outcome> {
        let (first, run) = self.runs.range(..=execution).next_back()?;
        (execution.0.saturating_sub(first.0) < run.count.0).then_some(run.outcome)
    }

    pub(crate) fn add_run(&mut self, first: Execution, run: Run) {
        self.runs.insert(first, run);
        if let Some((before, earlier)) = self.runs.range(..first).next_back().map(|(at, run)| (*at, *run))
            && before.0.saturating_add(earlier.count.0) == first.0
            && earlier.outcome == run.outcome
        {
            self.runs.remove(&first);
            let count = Count(earlier.count.0.saturating_add(run.count.0));
            self.runs.insert(before, Run { count, outcome: run.outcome });
        }
        while self.runs.len() > RUNS_KEPT {
            self.runs.pop_first();
        }
    }
}

/// What a processor reported of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Success or failure.
    pub outcome: ReportedOutcome,
    /// Whether it named the settlement or its transaction.
    pub named: bool,
    /// When.
    pub block: BlockRef,
    /// The processor's on-chain reputation after it.
    pub reputation: Option<BetaReputation>,
}

/// The accepted output of an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedOutput {
    /// keccak of the payload.
    pub payload_hash: PayloadHash,
    /// Payload and signature, until they are handed to a lane; the journal has them for ever.
    pub pending: Option<PendingOutput>,
    /// Where in `outputs.v1` it stands, to be read again when it is delivered anew; absent: an older version accepted it.
    pub offset: Option<Offset>,
}

/// What is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingOutput {
    /// What the target gets.
    pub payload: Bytes,
    /// The processor's signature.
    pub signature: Bytes,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Whose fault.
    pub fault: Fault,
    /// From the window's start to delivery or report.
    pub latency: Option<Millis>,
    /// Words for people.
    pub detail: String,
}

/// An execution that left a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionState {
    /// The first report.
    pub report: Option<Report>,
    /// The accepted output.
    pub output: Option<AcceptedOutput>,
    /// Its delivery, once an output was accepted.
    pub fulfillment: Option<Settlement>,
    /// Hashes of other payloads that the processor signed for it.
    pub equivocations: Vec<PayloadHash>,
    /// How it ended.
    pub ended: Option<Ended>,
}

/// What a job cost and paid, besides the ledger's postings: a running sum for views, checked against them by tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobMoney {
    /// Reserved now.
    pub reserved: Amount,
    /// Ever reserved.
    pub reserved_ever: Amount,
    /// Charged by the contract.
    pub spent: Amount,
    /// What its transactions cost the signing key.
    pub cost: Amount,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its key.
    pub key: JobKey,
    /// Its owner.
    pub owner: OwnerKey,
    /// Its registration; absent: details lost.
    pub registration: Option<Registration>,
    /// How it was first heard of.
    pub opened_by: OpenedBy,
    /// OPEN since.
    pub opened: BlockRef,
    /// MATCHED since.
    pub matched: Option<BlockRef>,
    /// ASSIGNED since.
    pub assigned: Option<BlockRef>,
    /// Removed from Acurast at.
    pub removed: Option<BlockRef>,
    /// DONE since.
    pub done: Option<BlockRef>,
    /// Closed: nothing more happens here.
    pub closed: bool,
    /// Which rule chose the destination.
    pub rule: Option<DestinationRule>,
    /// Where it settles; absent: it is only tracked.
    pub destination: Option<Destination>,
    /// Why it is only tracked.
    pub untracked_reason: String,
    /// Matches without an acknowledgement.
    pub matches: BTreeMap<AssignmentKey, MatchedSlot>,
    /// Acknowledged matches.
    pub assignments: BTreeMap<AssignmentKey, Assignment>,
    /// How many assignments were begun, those that left memory included.
    pub acknowledged: Count,
    /// How many assignments got their last report, those that left memory included.
    pub reported_last: Count,
    /// The largest start delay of the acknowledged slots.
    pub start_delay_max: Option<Millis>,
    /// How many executions got an outcome.
    pub executions_ended: Count,
    /// Settlements that a lane may still speak of.
    pub settlements: BTreeMap<SettlementId, SettlementPlace>,
    /// Running sums.
    pub money: JobMoney,
    /// Its part of the signer book.
    pub ledger: Ledger,
    pub(crate) heard: Heard,
    /// Executions with a trace; rows of their own in the store.
    #[serde(skip)]
    pub executions: BTreeMap<ExecutionKey, ExecutionState>,
    /// Executions whose rows have to be written.
    #[serde(skip)]
    pub(crate) touched: BTreeSet<ExecutionKey>,
    /// Executions and assignments that leave memory with this change.
    #[serde(skip)]
    pub(crate) retired: Retired,
}

/// What leaves memory and stays in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Retired {
    pub(crate) executions: Vec<(ExecutionKey, ExecutionState)>,
    pub(crate) assignments: Vec<(AssignmentKey, Assignment)>,
}

impl Job {
    /// The executions of one assignment that left a trace and are in memory.
    pub fn executions_of(&self, assignment: &AssignmentKey) -> impl DoubleEndedIterator<Item = (Execution, &ExecutionState)> {
        let from = ExecutionKey { assignment: *assignment, execution: Execution(0) };
        let to = ExecutionKey { assignment: *assignment, execution: Execution(u64::MAX) };
        self.executions.range(from..=to).map(|(key, state)| (key.execution, state))
    }

    /// The state of one execution, if it left a trace and is in memory.
    pub fn execution(&self, assignment: &AssignmentKey, execution: Execution) -> Option<&ExecutionState> {
        self.executions.get(&ExecutionKey { assignment: *assignment, execution })
    }

    /// The settlement at a place.
    pub fn settlement(&self, place: &SettlementPlace) -> Option<&Settlement> {
        match place.execution {
            None => self.assignments.get(&place.assignment)?.settling.as_ref().map(|settling| &settling.root),
            Some(execution) => self.execution(&place.assignment, execution)?.fulfillment.as_ref(),
        }
    }

    pub(crate) fn settlement_mut(&mut self, place: &SettlementPlace) -> Option<&mut Settlement> {
        match place.execution {
            None => self.assignments.get_mut(&place.assignment)?.settling.as_mut().map(|settling| &mut settling.root),
            Some(execution) => {
                let key = ExecutionKey { assignment: place.assignment, execution };
                self.touched.insert(key);
                self.executions.get_mut(&key)?.fulfillment.as_mut()
            }
        }
    }

    /// Moves the cursor over executions that have a trace.
    pub(crate) fn advance_cursor(&mut self, assignment: &AssignmentKey) {
        let Some(mut cursor) = self.assignments.get(assignment).map(|assignment| assignment.cursor) else { return };
        while self.executions.contains_key(&ExecutionKey { assignment: *assignment, execution: cursor }) {
            cursor = cursor.next();
        }
        if let Some(assignment) = self.assignments.get_mut(assignment) {
            assignment.cursor = cursor;
        }
    }

    /// The runs of executions without a trace from the cursor up to `limit` (exclusive).
    pub(crate) fn untouched(&self, key: &AssignmentKey, limit: Execution) -> Vec<(Execution, Count)> {
        let Some(assignment) = self.assignments.get(key) else { return Vec::new() };
        let limit = limit.min(assignment.end());
        let (mut runs, mut from) = (Vec::new(), assignment.cursor);
        let start = ExecutionKey { assignment: *key, execution: from };
        let end = ExecutionKey { assignment: *key, execution: Execution(u64::MAX) };
        for (touched, _) in self.executions.range(start..=end) {
            if touched.execution >= limit {
                break;
            }
            if from < touched.execution {
                runs.push((from, Count(touched.execution.0.saturating_sub(from.0))));
            }
            from = touched.execution.next();
        }
        if from < limit {
            runs.push((from, Count(limit.0.saturating_sub(from.0))));
        }
        runs
    }

    /// Whether an execution has its outcome: in memory, as a run, or retired to the store.
    pub fn has_ended(&self, key: &AssignmentKey, execution: Execution) -> bool {
        match self.execution(key, execution) {
            Some(state) => state.ended.is_some(),
            None => self.assignments.get(key).is_some_and(|assignment| execution < assignment.cursor),
        }
    }

    /// Whether an execution with a trace still waits for something that only `not_after` ends: an output, or its planning.
    pub(crate) fn ends_at_not_after(state: &ExecutionState) -> bool {
        state.ended.is_none() && !state.fulfillment.as_ref().is_some_and(Settlement::is_planned)
    }

    /// When DONE by time; nothing without a registration, or past the end of time.
    pub fn done_at(&self) -> Option<Timestamp> {
        let schedule = &self.registration.as_ref()?.schedule;
        schedule.done_at(self.start_delay_max.unwrap_or(schedule.max_start_delay))
    }

    /// The next time of the Acurast chain at which something happens by itself.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.closed {
            return None;
        }
        let schedule = &self.registration.as_ref()?.schedule;
        let assignments = self.assignments.iter().flat_map(|(key, assignment)| {
            let settling = assignment.settling.as_ref();
            let window = settling.and_then(|_| {
                (assignment.cursor < assignment.end())
                    .then(|| schedule.window_end(assignment.cursor, assignment.slot.start_delay))
                    .flatten()
            });
            let waits = settling.filter(|_| self.executions_of(key).any(|(_, state)| Self::ends_at_not_after(state)));
            [window, waits.map(|settling| settling.not_after)]
        });
        let done = if self.done.is_none() { self.done_at() } else { None };
        assignments.chain([done]).flatten().min()
    }

    /// Whether DONE, all outcomes are known, and no lane has anything of it.
    pub(crate) fn can_close(&self) -> bool {
        let settled = |settlement: Option<&Settlement>| !settlement.is_some_and(Settlement::is_planned);
        self.done.is_some()
            && self
                .assignments
                .values()
                .all(|assignment| assignment.is_complete() && settled(assignment.settling.as_ref().map(|settling| &settling.root)))
            && self.executions.values().all(|state| settled(state.fulfillment.as_ref()))
    }

    /// Lets go of the oldest ended executions and assignments beyond what is kept in memory.
    pub(crate) fn retire(&mut self, key: &AssignmentKey) {
        let ended: Vec<Execution> = self
            .executions_of(key)
            .filter(|(_, state)| state.ended.is_some() && state.fulfillment.as_ref().is_none_or(Settlement::is_over))
            .map(|(execution, _)| execution)
            .collect();
        let cursor = self.assignments.get(key).map_or(Execution(0), |assignment| assignment.cursor);
        let over = ended.len().saturating_sub(ENDED_KEPT);
        for execution in ended.into_iter().take(over).filter(|execution| *execution < cursor) {
            self.retire_execution(ExecutionKey { assignment: *key, execution });
        }
        if self.assignments.len() > ASSIGNMENTS_KEPT {
            let over = self.assignments.iter().filter(|(key, assignment)| {
                let idle = |settling: &Settling| !settling.root.is_planned() && settling.root.reserved == Amount::ZERO;
                key.only.is_some() && assignment.is_complete() && assignment.settling.as_ref().is_none_or(idle)
            });
            if let Some(key) = over.min_by_key(|(key, assignment)| (assignment.block.number, key.only)).map(|(key, _)| *key) {
                let executions: Vec<_> = self.executions_of(&key).map(|(execution, _)| execution).collect();
                for execution in executions {
                    self.retire_execution(ExecutionKey { assignment: key, execution });
                }
                if let Some(assignment) = self.assignments.remove(&key) {
                    if let Some(settling) = &assignment.settling {
                        self.settlements.remove(&settling.root.id);
                    }
                    self.retired.assignments.push((key, assignment));
                }
            }
        }
    }

    fn retire_execution(&mut self, key: ExecutionKey) {
        if let Some(state) = self.executions.remove(&key) {
            if let Some(fulfillment) = &state.fulfillment {
                self.settlements.remove(&fulfillment.id);
            }
            self.touched.remove(&key);
            self.retired.executions.push((key, state));
        }
    }
}
