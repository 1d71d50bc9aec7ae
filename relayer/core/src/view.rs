//! What people and processors ask: how a job stands, and what became of an output.

use crate::account::Account;
use crate::job::{AssignmentKey, ExecutionState, Job, Settlement, Stage};
use crate::partition::Partition;
use acurast_events::amount::Amount;
use acurast_events::bytes::{AssignmentId, EscrowId, JobKey, PayloadHash, ProcessorId, SettlementId, TxHash};
use acurast_events::caip::{AccountId, ChainId};
use acurast_events::jobs::{BlockRef, DestinationRule, Fault, LedgerAccountKind, OpenedBy, Outcome, WaitReason};
use acurast_events::units::{Batch, Count, Execution, Millis, Timestamp};
use serde::Serialize;

/// What became of an output, as the API answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputStatus {
    /// The assignment is not known here (yet): 503. A closed job's is in the store.
    Unknown,
    /// Nothing is known against it: it can be submitted.
    Open,
    /// Accepted before: the same answer again.
    Accepted {
        /// What the processor reports if it has no transaction.
        settlement_id: SettlementId,
        /// The transaction, once it is included.
        tx: Option<TxHash>,
    },
    /// Another output was accepted, or the execution is over.
    Refused(String),
    /// The execution ended so long ago that only the store has it.
    Retired,
}

impl Partition {
    /// What is known of an output with this payload.
    pub fn output_status(&self, id: &AssignmentId, execution: Execution, hash: &PayloadHash) -> OutputStatus {
        let Some((job, key)) = self.assignment(id) else { return OutputStatus::Unknown };
        let Some(assignment) = job.assignments.get(&key) else { return OutputStatus::Unknown };
        if let Some(state) = job.execution(&key, execution) {
            return execution_status(state, execution, hash);
        }
        if !assignment.span().covers(execution) {
            return OutputStatus::Refused(format!("execution {execution} is not one of the assignment's"));
        }
        if execution < assignment.watched_from {
            return OutputStatus::Refused(format!("execution {execution} was over when this relayer started"));
        }
        match assignment.run_outcome(execution) {
            Some(outcome) => OutputStatus::Refused(format!("execution {execution} has its outcome: {outcome:?}")),
            None if job.has_ended(&key, execution) => OutputStatus::Retired,
            None => OutputStatus::Open,
        }
    }
}

/// What is known of an output with this payload, by the execution's state; also for states read from the store.
pub fn execution_status(state: &ExecutionState, execution: Execution, hash: &PayloadHash) -> OutputStatus {
    match (&state.output, &state.fulfillment, &state.ended) {
        (Some(accepted), Some(fulfillment), _) if accepted.payload_hash == *hash => {
            OutputStatus::Accepted { settlement_id: fulfillment.id, tx: tx_of(fulfillment) }
        }
        (Some(accepted), _, _) => {
            OutputStatus::Refused(format!("execution {execution} has another output: keccak {}", accepted.payload_hash))
        }
        (None, _, Some(ended)) => OutputStatus::Refused(format!("execution {execution} has its outcome: {:?}", ended.outcome)),
        (None, _, None) => OutputStatus::Open,
    }
}

fn tx_of(settlement: &Settlement) -> Option<TxHash> {
    match &settlement.stage {
        Stage::Planned { included } => included.as_ref().map(|(tx, _)| *tx),
        Stage::Final(effect) => effect.tx,
        Stage::Idle | Stage::Waiting { .. } | Stage::Dead { .. } => None,
    }
}

/// Where a settlement stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Not tried yet.
    Idle,
    /// Waits.
    Waiting,
    /// A lane has it.
    Planned,
    /// In a block, not final.
    Included,
    /// Final.
    Final,
    /// Ended without its effect.
    Dead,
}

/// A settlement for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettlementView {
    /// Its id.
    pub settlement_id: SettlementId,
    /// Where it stands.
    pub stage: StageName,
    /// Why it waits.
    pub waits: Option<WaitReason>,
    /// What the account must have free for it to go on.
    pub needs: Option<Amount>,
    /// The transaction.
    pub tx: Option<TxHash>,
    /// Its block.
    pub block: Option<BlockRef>,
    /// The root that proved it, or that it is.
    pub batch: Option<Batch>,
    /// Whether that root landed late.
    pub late_root: bool,
    /// Reserved now.
    pub reserved: Amount,
    /// Charged, without root share.
    pub charge: Amount,
    /// Root share charged with it.
    pub root_share: Amount,
    /// Its part of what the transaction cost the key.
    pub cost: Amount,
    /// Why it is dead.
    pub reason: Option<String>,
}

impl SettlementView {
    fn of(settlement: &Settlement) -> Self {
        let mut view = Self {
            settlement_id: settlement.id,
            stage: StageName::Idle,
            waits: settlement.waits(),
            needs: None,
            tx: tx_of(settlement),
            block: None,
            batch: None,
            late_root: false,
            reserved: settlement.reserved,
            charge: Amount::ZERO,
            root_share: Amount::ZERO,
            cost: Amount::ZERO,
            reason: None,
        };
        match &settlement.stage {
            Stage::Idle => {}
            Stage::Waiting { needs, .. } => {
                view.stage = StageName::Waiting;
                view.needs = Some(*needs).filter(|needs| *needs > Amount::ZERO);
            }
            Stage::Planned { included } => {
                view.stage = if included.is_some() { StageName::Included } else { StageName::Planned };
                view.block = included.as_ref().map(|(_, block)| block.clone());
            }
            Stage::Final(effect) => {
                view.stage = StageName::Final;
                view.block = Some(effect.block.clone());
                view.batch = effect.batch;
                view.late_root = effect.late_root;
                (view.charge, view.root_share, view.cost) = (effect.charge, effect.root_share, effect.cost);
            }
            Stage::Dead { reason, .. } => {
                view.stage = StageName::Dead;
                view.reason = Some(reason.clone());
            }
        }
        view
    }
}

/// An execution for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecutionView {
    /// Its index.
    pub execution: Execution,
    /// How many alike from it on, for a run of missed or cancelled ones.
    pub executions: Count,
    /// What was reported and when.
    pub reported: Option<ReportView>,
    /// keccak of the accepted output.
    pub payload_hash: Option<PayloadHash>,
    /// Its delivery.
    pub fulfillment: Option<SettlementView>,
    /// How many other payloads were signed for it.
    pub equivocations: usize,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Whose fault.
    pub fault: Option<Fault>,
    /// From the window's start to delivery or report.
    pub latency: Option<Millis>,
    /// Words for people.
    pub detail: String,
}

/// A report for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportView {
    /// Success or failure.
    pub outcome: acurast_events::source::ReportedOutcome,
    /// At which block.
    pub block: BlockRef,
}

/// An assignment for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssignmentView {
    /// The processor.
    pub processor: ProcessorId,
    /// Its slot.
    pub slot: u32,
    /// The one execution that it was matched for; absent: all.
    pub only: Option<Execution>,
    /// Its id; absent: it is only tracked.
    pub assignment_id: Option<AssignmentId>,
    /// When it acknowledged.
    pub acknowledged: BlockRef,
    /// The lane that it is bound to.
    pub lane: Option<AccountId>,
    /// Nothing is sent after this time.
    pub not_after: Option<Timestamp>,
    /// Its share of a root.
    pub root: Option<SettlementView>,
    /// How many executions it covers.
    pub executions: Count,
    /// How many have their outcome.
    pub ended: Count,
    /// Executions with a trace, and runs without; those that left memory are in the store.
    pub known: Vec<ExecutionView>,
}

/// An account for people, amounts in the smallest unit of `asset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Its id.
    pub escrow_id: EscrowId,
    /// What it holds.
    pub asset: acurast_events::caip::AssetId,
    /// What the consumer ever locked.
    pub locked: Amount,
    /// Free to be reserved.
    pub free: Amount,
    /// Reserved for all jobs.
    pub reserved: Amount,
    /// Charged for all jobs.
    pub spent: Amount,
    /// Paid back.
    pub refunded: Amount,
    /// Whether it closes.
    pub closing: bool,
}

impl AccountView {
    /// The account for people.
    pub fn of(account: &Account) -> Self {
        Self {
            escrow_id: account.escrow_id,
            asset: account.asset.clone(),
            locked: account.brought_in(),
            free: account.free(),
            reserved: account.reserved(),
            spent: account.spent(),
            refunded: account.refunded_amount(),
            closing: account.closing.is_some(),
        }
    }
}

/// A job for people: `GET /v1/jobs` and the CLI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobView {
    /// Its id, in text form.
    pub job: String,
    /// Its key.
    pub job_key: JobKey,
    /// The furthest of OPEN, MATCHED, ASSIGNED, DONE.
    pub state: &'static str,
    /// How it was first heard of.
    pub opened_by: OpenedBy,
    /// OPEN since.
    pub opened: BlockRef,
    /// MATCHED since.
    pub matched: Option<BlockRef>,
    /// ASSIGNED since.
    pub assigned: Option<BlockRef>,
    /// DONE since.
    pub done: Option<BlockRef>,
    /// Removed at.
    pub removed: Option<BlockRef>,
    /// Whether nothing more happens to it.
    pub closed: bool,
    /// Which rule chose the destination.
    pub rule: Option<DestinationRule>,
    /// The destination's chain; absent: the job is only tracked.
    pub chain: Option<ChainId>,
    /// The account that pays.
    pub escrow_id: Option<EscrowId>,
    /// Why it is only tracked.
    pub tracked_because: Option<String>,
    /// Its assignments.
    pub assignments: Vec<AssignmentView>,
    /// Reserved now.
    pub reserved: Amount,
    /// Reserved over its life.
    pub reserved_ever: Amount,
    /// Charged.
    pub spent: Amount,
    /// What its transactions cost the signing key.
    pub cost: Amount,
    /// What the operator gained.
    pub margin_gain: Amount,
    /// What the operator lost.
    pub margin_loss: Amount,
    /// Why things of it wait, without repetition.
    pub waits: Vec<WaitReason>,
    /// The account, where it is known.
    pub escrow: Option<AccountView>,
}

impl JobView {
    /// The job for people, with the account that pays for it where that is open.
    pub fn of(job: &Job, account: Option<&Account>) -> Self {
        let state = match (&job.done, &job.assigned, &job.matched) {
            (Some(_), _, _) => "DONE",
            (None, Some(_), _) => "ASSIGNED",
            (None, None, Some(_)) => "MATCHED",
            (None, None, None) => "OPEN",
        };
        let assignments: Vec<_> = job.assignments.keys().filter_map(|key| assignment_view(job, key)).collect();
        let roots = assignments.iter().filter_map(|assignment| assignment.root.as_ref());
        let deliveries = assignments.iter().flat_map(|assignment| &assignment.known).filter_map(|known| known.fulfillment.as_ref());
        let mut waits: Vec<_> = roots.chain(deliveries).filter_map(|settlement| settlement.waits).collect();
        waits.sort_unstable();
        waits.dedup();
        let book = acurast_events::jobs::Book::Signer;
        Self {
            job: job.id.to_string(),
            job_key: job.key,
            state,
            opened_by: job.opened_by,
            opened: job.opened.clone(),
            matched: job.matched.clone(),
            assigned: job.assigned.clone(),
            done: job.done.clone(),
            removed: job.removed.clone(),
            closed: job.closed,
            rule: job.rule,
            chain: job.destination.as_ref().map(|destination| destination.chain.clone()),
            escrow_id: job.destination.as_ref().map(|destination| destination.escrow_id),
            tracked_because: job.destination.is_none().then(|| job.untracked_reason.clone()),
            assignments,
            reserved: job.money.reserved,
            reserved_ever: job.money.reserved_ever,
            spent: job.money.spent,
            cost: job.money.cost,
            margin_gain: job.ledger.held(book, LedgerAccountKind::Margin, Some(job.key)),
            margin_loss: job.ledger.overdrawn(book, LedgerAccountKind::Margin, Some(job.key)),
            waits,
            escrow: account.map(AccountView::of),
        }
    }
}

impl Partition {
    /// An open job for people.
    pub fn view(&self, key: &JobKey) -> Option<JobView> {
        let job = self.job(key)?;
        let account = job.destination.as_ref().and_then(|destination| self.account(&destination.escrow_id));
        Some(JobView::of(job, account))
    }
}

fn assignment_view(job: &Job, key: &AssignmentKey) -> Option<AssignmentView> {
    let assignment = job.assignments.get(key)?;
    let settling = assignment.settling.as_ref();
    let runs = assignment.runs.iter().map(|(execution, run)| ExecutionView {
        execution: *execution,
        executions: run.count,
        reported: None,
        payload_hash: None,
        fulfillment: None,
        equivocations: 0,
        outcome: Some(run.outcome),
        fault: None,
        latency: None,
        detail: String::new(),
    });
    let mut known: Vec<_> = job.executions_of(key).map(|(execution, state)| execution_view(execution, state)).chain(runs).collect();
    known.sort_by_key(|view| view.execution);
    Some(AssignmentView {
        processor: key.processor,
        slot: assignment.slot.slot,
        only: key.only,
        assignment_id: settling.map(|settling| settling.id),
        acknowledged: assignment.block.clone(),
        lane: settling.and_then(|settling| settling.lane.clone()),
        not_after: settling.map(|settling| settling.not_after),
        root: settling.map(|settling| SettlementView::of(&settling.root)),
        executions: assignment.executions,
        ended: assignment.ended,
        known,
    })
}

fn execution_view(execution: Execution, state: &ExecutionState) -> ExecutionView {
    let ended = state.ended.as_ref();
    ExecutionView {
        execution,
        executions: Count(1),
        reported: state.report.as_ref().map(|report| ReportView { outcome: report.outcome, block: report.block.clone() }),
        payload_hash: state.output.as_ref().map(|output| output.payload_hash),
        fulfillment: state.fulfillment.as_ref().map(SettlementView::of),
        equivocations: state.equivocations.len(),
        outcome: ended.map(|ended| ended.outcome),
        fault: ended.map(|ended| ended.fault),
        latency: ended.and_then(|ended| ended.latency),
        detail: ended.map(|ended| ended.detail.clone()).unwrap_or_default(),
    }
}
