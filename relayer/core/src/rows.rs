//! The folded state as rows for a store: one per job, execution, account and lane, so that a change writes little.
//!
//! A closed job, and an execution that left memory, move to tables of their own; loading reads open work only.
//! Same records, same rows, however the records were batched.

use crate::account::Account;
use crate::heard::Heard;
use crate::job::{Assignment, AssignmentKey, ExecutionKey, ExecutionState, Job, Retired};
use crate::letters::{CommandResult, DirtyLetters, Letter, LetterEnd};
use crate::partition::Partition;
use acurast_events::bytes::{EscrowId, JobKey, ProcessorId};
use acurast_events::caip::AccountId;
use acurast_events::units::Execution;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// Tables of a jobs partition in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Counters of the partition; one row with an empty key.
    Meta,
    /// Open jobs by job_key.
    OpenJobs,
    /// Executions of open jobs by job_key ‖ processor ‖ only u64 ‖ execution u64 (`only` is 2⁶⁴ − 1 for all).
    OpenExecutions,
    /// Escrow accounts by id.
    Accounts,
    /// Lane books by lane.
    Lanes,
    /// Closed jobs by job_key.
    ClosedJobs,
    /// Executions that left memory, keyed like open ones.
    EndedExecutions,
    /// Assignments that left memory by job_key ‖ processor ‖ only.
    EndedAssignments,
    /// Where the executions of an assignment that left memory stand: assignment_id to the front of their keys.
    EndedAssignmentIds,
    /// Dead letters by id, as they were opened.
    Letters,
    /// Ids of dead letters that are open; no value.
    OpenLetters,
    /// How dead letters ended, by their id.
    LetterEnds,
    /// What operators' commands came to, by the command's id.
    Commands,
}

impl Table {
    /// The table's number in the store.
    pub fn id(self) -> u8 {
        match self {
            Self::Meta => 1,
            Self::OpenJobs => 2,
            Self::OpenExecutions => 3,
            Self::Accounts => 4,
            Self::Lanes => 5,
            Self::ClosedJobs => 6,
            Self::EndedExecutions => 7,
            Self::EndedAssignments => 8,
            Self::EndedAssignmentIds => 9,
            Self::Letters => 10,
            Self::OpenLetters => 11,
            Self::LetterEnds => 12,
            Self::Commands => 13,
        }
    }

    /// The tables that [`Partition::load`] needs.
    pub const OPEN: [Self; 5] = [Self::Meta, Self::OpenJobs, Self::OpenExecutions, Self::Accounts, Self::Lanes];
}

/// One changed row: table, key, and the value or its removal.
pub type Row = (u8, Vec<u8>, Option<Vec<u8>>);

/// A row that can't be read or written: another version wrote it; fold the partition anew from the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {key} of table {table}: {reason}; fold the partition anew from the journal")]
pub struct RowError {
    /// The table's number.
    pub table: u8,
    /// The key, in hexadecimal.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

/// What there is once per partition.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) records: u64,
    pub(crate) heard: Heard,
}

/// What changed since the rows were last taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dirty {
    jobs: BTreeSet<JobKey>,
    executions: BTreeSet<(JobKey, ExecutionKey)>,
    accounts: BTreeSet<EscrowId>,
    lanes: BTreeSet<AccountId>,
    ended: BTreeMap<(JobKey, ExecutionKey), ExecutionState>,
    ended_assignments: BTreeMap<(JobKey, AssignmentKey), Assignment>,
    closed: BTreeMap<JobKey, Job>,
    pub(crate) letters: DirtyLetters,
}

impl Dirty {
    pub(crate) fn job(&mut self, key: JobKey, touched: BTreeSet<ExecutionKey>, retired: Retired) {
        self.jobs.insert(key);
        self.executions.extend(touched.into_iter().map(|execution| (key, execution)));
        for (execution, state) in retired.executions {
            self.executions.remove(&(key, execution));
            self.ended.insert((key, execution), state);
        }
        self.ended_assignments.extend(retired.assignments.into_iter().map(|(assignment, state)| ((key, assignment), state)));
    }

    /// A closed job takes all that it still had in memory along.
    pub(crate) fn close(&mut self, mut job: Job) {
        self.jobs.remove(&job.key);
        for (execution, state) in std::mem::take(&mut job.executions) {
            self.executions.remove(&(job.key, execution));
            self.ended.insert((job.key, execution), state);
        }
        self.closed.insert(job.key, job);
    }

    pub(crate) fn account(&mut self, id: EscrowId) {
        self.accounts.insert(id);
    }

    pub(crate) fn lane(&mut self, lane: &AccountId) {
        self.lanes.insert(lane.clone());
    }
}

fn encode(table: Table, key: &[u8], value: &impl Serialize) -> Result<Vec<u8>, RowError> {
    postcard::to_stdvec(value).map_err(|error| row_error(table, key, error.to_string()))
}

fn row_error(table: Table, key: &[u8], reason: String) -> RowError {
    let key = key.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    RowError { table: table.id(), key, reason }
}

fn decode<T: DeserializeOwned>(table: Table, key: &[u8], value: &[u8]) -> Result<T, RowError> {
    match postcard::take_from_bytes(value) {
        Ok((decoded, [])) => Ok(decoded),
        Ok(_) => Err(row_error(table, key, "bytes left over".into())),
        Err(error) => Err(row_error(table, key, error.to_string())),
    }
}

fn assignment_bytes(job: &JobKey, key: &AssignmentKey) -> Vec<u8> {
    let only = key.only.unwrap_or(Execution::ALL);
    [&job.0[..], &key.processor.0, &only.0.to_be_bytes()].concat()
}

/// The store's key of an execution.
pub fn execution_row_key(job: &JobKey, key: &ExecutionKey) -> Vec<u8> {
    let mut bytes = assignment_bytes(job, &key.assignment);
    bytes.extend_from_slice(&key.execution.0.to_be_bytes());
    bytes
}

/// The store's key of an execution of an assignment that left memory; `front` is its row of [`Table::EndedAssignmentIds`].
pub fn ended_execution_row_key(front: &[u8], execution: Execution) -> Vec<u8> {
    [front, &execution.0.to_be_bytes()].concat()
}

/// The job and execution of a store key.
fn execution_of(table: Table, key: &[u8]) -> Result<(JobKey, ExecutionKey), RowError> {
    let parse = || {
        let (job, rest) = key.split_first_chunk::<32>()?;
        let (processor, rest) = rest.split_first_chunk::<32>()?;
        let (only, rest) = rest.split_first_chunk::<8>()?;
        let execution = Execution(u64::from_be_bytes(rest.try_into().ok()?));
        let only = Execution(u64::from_be_bytes(*only));
        let assignment = AssignmentKey { processor: ProcessorId(*processor), only: (only != Execution::ALL).then_some(only) };
        Some((JobKey(*job), ExecutionKey { assignment, execution }))
    };
    parse().ok_or_else(|| row_error(table, key, "malformed key".into()))
}

/// The job of a row of [`Table::OpenJobs`] or [`Table::ClosedJobs`], with the executions of `executions` rows, for views.
///
/// # Errors
/// When a row was written by another version.
pub fn job_of_rows<'r>(job: (&[u8], &[u8]), executions: impl IntoIterator<Item = (&'r [u8], &'r [u8])>) -> Result<Job, RowError> {
    let mut decoded: Job = decode(Table::ClosedJobs, job.0, job.1)?;
    for (key, value) in executions {
        let (_, at) = execution_of(Table::EndedExecutions, key)?;
        decoded.executions.insert(at, decode(Table::EndedExecutions, key, value)?);
    }
    Ok(decoded)
}

/// The execution of a row of [`Table::OpenExecutions`] or [`Table::EndedExecutions`].
///
/// # Errors
/// When the row was written by another version.
pub fn execution_of_row(key: &[u8], value: &[u8]) -> Result<(ExecutionKey, ExecutionState), RowError> {
    let (_, at) = execution_of(Table::EndedExecutions, key)?;
    Ok((at, decode(Table::EndedExecutions, key, value)?))
}

/// The account of a row of [`Table::Accounts`].
///
/// # Errors
/// When the row was written by another version.
pub fn account_of_row(key: &[u8], value: &[u8]) -> Result<Account, RowError> {
    decode(Table::Accounts, key, value)
}

/// The dead letter of a row of [`Table::Letters`].
///
/// # Errors
/// When the row was written by another version.
pub fn letter_of_row(key: &[u8], value: &[u8]) -> Result<Letter, RowError> {
    decode(Table::Letters, key, value)
}

/// The end of a dead letter of a row of [`Table::LetterEnds`].
///
/// # Errors
/// When the row was written by another version.
pub fn letter_end_of_row(key: &[u8], value: &[u8]) -> Result<LetterEnd, RowError> {
    decode(Table::LetterEnds, key, value)
}

/// The result of a row of [`Table::Commands`].
///
/// # Errors
/// When the row was written by another version.
pub fn command_of_row(key: &[u8], value: &[u8]) -> Result<CommandResult, RowError> {
    decode(Table::Commands, key, value)
}

impl Partition {
    /// Rows that changed since the last call, in order of table and key.
    ///
    /// # Errors
    /// When a value can't be encoded, which only a defect of this crate can cause.
    pub fn changes(&mut self) -> Result<Vec<Row>, RowError> {
        let meta = Meta { records: self.records(), heard: self.heard().clone() };
        let dirty = self.take_dirty();
        let mut rows: BTreeMap<(u8, Vec<u8>), Option<Vec<u8>>> = BTreeMap::new();
        let mut put = |table: Table, key: Vec<u8>, value: Option<Vec<u8>>| rows.insert((table.id(), key), value);

        put(Table::Meta, Vec::new(), Some(encode(Table::Meta, &[], &meta)?));
        for key in &dirty.jobs {
            if let Some(job) = self.job(key) {
                put(Table::OpenJobs, key.0.to_vec(), Some(encode(Table::OpenJobs, &key.0, job)?));
            }
        }
        for (job, at) in &dirty.executions {
            if let Some(state) = self.job(job).and_then(|job| job.executions.get(at)) {
                let key = execution_row_key(job, at);
                let value = encode(Table::OpenExecutions, &key, state)?;
                put(Table::OpenExecutions, key, Some(value));
            }
        }
        for id in &dirty.accounts {
            if let Some(account) = self.account(id) {
                put(Table::Accounts, id.0.to_vec(), Some(encode(Table::Accounts, &id.0, account)?));
            }
        }
        for id in &dirty.lanes {
            if let Some(lane) = self.lane(id) {
                let key = id.as_str().as_bytes().to_vec();
                let value = encode(Table::Lanes, &key, lane)?;
                put(Table::Lanes, key, Some(value));
            }
        }
        for ((job, at), state) in &dirty.ended {
            let key = execution_row_key(job, at);
            put(Table::OpenExecutions, key.clone(), None);
            let value = encode(Table::EndedExecutions, &key, state)?;
            put(Table::EndedExecutions, key, Some(value));
        }
        for ((job, at), state) in &dirty.ended_assignments {
            let key = assignment_bytes(job, at);
            let value = encode(Table::EndedAssignments, &key, state)?;
            if let Some(settling) = &state.settling {
                put(Table::EndedAssignmentIds, settling.id.0.to_vec(), Some(key.clone()));
            }
            put(Table::EndedAssignments, key, Some(value));
        }
        for (key, job) in &dirty.closed {
            put(Table::OpenJobs, key.0.to_vec(), None);
            put(Table::ClosedJobs, key.0.to_vec(), Some(encode(Table::ClosedJobs, &key.0, job)?));
            for (at, assignment) in &job.assignments {
                if let Some(settling) = &assignment.settling {
                    put(Table::EndedAssignmentIds, settling.id.0.to_vec(), Some(assignment_bytes(key, at)));
                }
            }
        }
        for (id, letter) in &dirty.letters.opened {
            put(Table::Letters, id.0.to_vec(), Some(encode(Table::Letters, &id.0, letter)?));
            put(Table::OpenLetters, id.0.to_vec(), Some(Vec::new()));
        }
        for (id, end) in &dirty.letters.ended {
            put(Table::LetterEnds, id.0.to_vec(), Some(encode(Table::LetterEnds, &id.0, end)?));
            put(Table::OpenLetters, id.0.to_vec(), None);
        }
        for (id, result) in &dirty.letters.commands {
            put(Table::Commands, id.0.to_vec(), Some(encode(Table::Commands, &id.0, result)?));
        }
        Ok(rows.into_iter().map(|((table, key), value)| (table, key, value)).collect())
    }

    /// The partition of stored rows, those of [`Table::OPEN`] in any order; others are passed over.
    ///
    /// # Errors
    /// When a row was written by another version, or an execution has no job.
    pub fn load(index: u32, partitions: NonZeroU32, rows: impl IntoIterator<Item = (u8, Vec<u8>, Vec<u8>)>) -> Result<Self, RowError> {
        let (mut meta, mut accounts, mut lanes) = (Meta::default(), Vec::new(), Vec::new());
        let mut jobs: BTreeMap<JobKey, Job> = BTreeMap::new();
        let mut executions: Vec<(JobKey, ExecutionKey, ExecutionState)> = Vec::new();
        for (table, key, value) in rows {
            let Some(table) = Table::OPEN.into_iter().find(|open| open.id() == table) else { continue };
            match table {
                Table::Meta => meta = decode(table, &key, &value)?,
                Table::OpenJobs => {
                    let job: Job = decode(table, &key, &value)?;
                    jobs.insert(job.key, job);
                }
                Table::OpenExecutions => {
                    let (job, at) = execution_of(table, &key)?;
                    executions.push((job, at, decode(table, &key, &value)?));
                }
                Table::Accounts => accounts.push(decode(table, &key, &value)?),
                Table::Lanes => lanes.push(decode(table, &key, &value)?),
                Table::ClosedJobs
                | Table::EndedExecutions
                | Table::EndedAssignments
                | Table::EndedAssignmentIds
                | Table::Letters
                | Table::OpenLetters
                | Table::LetterEnds
                | Table::Commands => {}
            }
        }
        for (job, at, state) in executions {
            let orphan = || row_error(Table::OpenExecutions, &execution_row_key(&job, &at), "its job has no row".into());
            jobs.get_mut(&job).ok_or_else(orphan)?.executions.insert(at, state);
        }
        let mut partition = Self::new(index, partitions);
        partition.restore(meta, jobs.into_values().collect(), accounts, lanes);
        Ok(partition)
    }
}
