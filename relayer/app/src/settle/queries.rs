//! Answers to questions, between batches: from memory for open jobs, from the store for closed ones. Owner and followers of a
//! partition answer alike, each from what it read back of the journal.

use super::SettleError;
use crate::query::{AcceptedAnswer, OutputVerdict, Query};
use crate::storage;
use acurast_adapter_api::UsableKey;
use acurast_events::bytes::{JobKey, PayloadHash, SettlementId, TxHash};
use acurast_events::ids::payload_hash;
use acurast_events::outputs::Output;
use acurast_relayer_core::job::{AssignmentKey, EQUIVOCATIONS_MAX, ExecutionKey, Job};
use acurast_relayer_core::rows::{ended_execution_row_key, execution_of_row, execution_row_key};
use acurast_relayer_core::view::execution_status;
use acurast_relayer_core::{JobView, OutputStatus, Partition, Policy, Rules, Table};
use acurast_relayer_store::PartitionView;

fn accepted(settlement_id: SettlementId, payload_hash: PayloadHash, tx: Option<TxHash>) -> AcceptedAnswer {
    let status = if tx.is_some() { "included" } else { "accepted" };
    AcceptedAnswer { settlement_id, payload_hash, status, transaction_hash: tx }
}

/// What answers are made from.
pub(super) struct Answers<'a> {
    pub(super) partition: &'a Partition,
    pub(super) view: &'a PartitionView,
    pub(super) policy: &'a Policy,
    pub(super) rules: &'a crate::registry::ChainRules,
}

impl Answers<'_> {
    /// Answers one question. A questioner who went away is no error.
    pub(super) fn answer(&self, query: Query) -> Result<(), SettleError> {
        match query {
            Query::Ping(reply) => drop(reply.send(())),
            Query::Check(output, reply) => drop(reply.send(self.verdict(&output)?)),
            Query::Job(key, reply) => drop(reply.send(self.job(&key)?)),
            Query::Jobs(after, limit, reply) => drop(reply.send(self.jobs(after, limit)?)),
            Query::Letters { all, after, limit, reply } => drop(reply.send(self.letters(all, after.as_ref(), limit)?)),
            Query::Letter(id, reply) => drop(reply.send(self.letter_view(&id)?)),
            Query::Command(id, reply) => drop(reply.send(self.command(&id)?)),
        }
        Ok(())
    }

    fn job(&self, key: &JobKey) -> Result<Option<JobView>, SettleError> {
        match self.partition.view(key) {
            Some(view) => Ok(Some(view)),
            None => storage::closed_job(self.view, key).map_err(|error| SettleError::Version(error.to_string())),
        }
    }

    /// Open and closed jobs after a key, at most `limit` and one more, in order of their keys.
    fn jobs(&self, after: Option<JobKey>, limit: usize) -> Result<Vec<(JobKey, JobView)>, SettleError> {
        let most = limit.saturating_add(1);
        let mut keys: Vec<JobKey> =
            self.partition.jobs().map(|job| job.key).filter(|key| after.is_none_or(|after| *key > after)).take(most).collect();
        keys.extend(storage::closed_keys(self.view, after, most).map_err(|error| SettleError::Version(error.to_string()))?);
        keys.sort_unstable();
        keys.truncate(most);
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(view) = self.job(&key)? {
                found.push((key, view));
            }
        }
        Ok(found)
    }

    fn verdict(&self, output: &Output) -> Result<OutputVerdict, SettleError> {
        let hash = payload_hash(&output.payload.0);
        let Some((job, key)) = self.partition.assignment(&output.assignment_id) else { return self.ended_verdict(output, &hash) };
        if let Err(reason) = self.check_signature(job, &key, output) {
            return Ok(OutputVerdict::BadSignature(reason));
        }
        let status = match self.partition.output_status(&output.assignment_id, output.execution, &hash) {
            OutputStatus::Retired => self.retired_status(job, key, output, &hash)?,
            status => status,
        };
        Ok(match status {
            OutputStatus::Unknown | OutputStatus::Retired => OutputVerdict::UnknownAssignment,
            OutputStatus::Open => self.open_verdict(job, output),
            OutputStatus::Accepted { settlement_id, tx } => OutputVerdict::Accepted(accepted(settlement_id, hash, tx)),
            OutputStatus::Refused(reason) => {
                // One that would be recorded as an equivocation is stored as evidence; a known one, or one too many, is not.
                let is_news = job.execution(&key, output.execution).is_some_and(|state| {
                    let known = state.equivocations.contains(&hash) || state.equivocations.len() >= EQUIVOCATIONS_MAX;
                    state.output.is_some() && !known
                });
                if is_news { OutputVerdict::Differs { owner: job.owner, reason } } else { OutputVerdict::Refused { reason } }
            }
        })
    }

    /// What the store says of an assignment that left memory: the same answer as ever for an output that was accepted.
    fn ended_verdict(&self, output: &Output, hash: &PayloadHash) -> Result<OutputVerdict, SettleError> {
        let store = self.view;
        let Some(front) = store.get(Table::EndedAssignmentIds.id(), output.assignment_id.as_bytes())? else {
            return Ok(OutputVerdict::UnknownAssignment);
        };
        let row_key = ended_execution_row_key(&front, output.execution);
        let Some(row) = store.get(Table::EndedExecutions.id(), &row_key)? else {
            return Ok(OutputVerdict::Refused { reason: format!("execution {} is over", output.execution) });
        };
        let (_, state) = execution_of_row(&row_key, &row).map_err(|error| SettleError::Version(error.to_string()))?;
        Ok(match execution_status(&state, output.execution, hash) {
            OutputStatus::Accepted { settlement_id, tx } => OutputVerdict::Accepted(accepted(settlement_id, *hash, tx)),
            OutputStatus::Refused(reason) => OutputVerdict::Refused { reason },
            OutputStatus::Open | OutputStatus::Unknown | OutputStatus::Retired => {
                OutputVerdict::Refused { reason: format!("execution {} is over", output.execution) }
            }
        })
    }

    fn open_verdict(&self, job: &Job, output: &Output) -> OutputVerdict {
        let account = job.destination.as_ref().and_then(|destination| self.partition.account(&destination.escrow_id));
        let cap = account.map_or(self.policy.payload_bytes_max, |account| account.caps.max_payload.min(self.policy.payload_bytes_max));
        if u32::try_from(output.payload.0.len()).is_ok_and(|length| length <= cap) {
            OutputVerdict::Takes { owner: job.owner }
        } else {
            OutputVerdict::Refused { reason: format!("the output has {} bytes, {cap} are allowed", output.payload.0.len()) }
        }
    }

    /// What the store says of an execution that ended so long ago that memory forgot it.
    fn retired_status(
        &self,
        job: &Job,
        assignment: AssignmentKey,
        output: &Output,
        hash: &PayloadHash,
    ) -> Result<OutputStatus, SettleError> {
        let at = ExecutionKey { assignment, execution: output.execution };
        let row_key = execution_row_key(&job.key, &at);
        let Some(row) = self.view.get(Table::EndedExecutions.id(), &row_key)? else { return Ok(OutputStatus::Retired) };
        let (_, state) = execution_of_row(&row_key, &row).map_err(|error| SettleError::Version(error.to_string()))?;
        Ok(execution_status(&state, output.execution, hash))
    }

    fn check_signature(&self, job: &Job, key: &AssignmentKey, output: &Output) -> Result<(), String> {
        let settling =
            job.assignments.get(key).and_then(|assignment| assignment.settling.as_ref()).ok_or("the assignment is not settled")?;
        let destination = job.destination.as_ref().ok_or("the job is not settled")?;
        let rules = self.rules.destination(&destination.chain).ok_or("the destination is not served")?;
        let usable = UsableKey { key_type: settling.key_type, signer_key: settling.signer_key };
        rules.verify_output(&destination.settlement, &usable, output).map_err(|refusal| refusal.to_string())
    }
}
