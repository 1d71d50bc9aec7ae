//! What each event of a block says, one function per kind of fact (PROTOCOL §1).
//!
//! Life-cycle events of both forms are told apart by name. The second form carries ids only, so the details come from the
//! state after the block, or, where the block removed them, from the state before it. What is in neither was created and
//! removed within the block: the fact goes out without it ("details lost") and the stream goes on.

use crate::chain_types::{RawAssignment, RawExecutionMatch, RawJobId, RawMatch, RawRegistration, job_id};
use crate::decode::{BlockInput, Verdict};
use crate::pallets::without_fact;
use crate::reads::At;
use crate::records::EventRecord;
use crate::remarks::find_remark;
use crate::reports::{Outcome, Outcomes, index_after_report};
use crate::state::{State, Trouble};
use acurast_events::bytes::{Bytes, MerkleNode, ProcessorId};
use acurast_events::job_id::JobId;
use acurast_events::source::{
    Acknowledged, Amended, Amendment, Matched, MatchedSlot, Registered, Registration, Remarked, Removed, Reported, ReportedOutcome,
    SourceEvent,
};
use acurast_events::units::{Execution, Timestamp};
use scale_decode::{DecodeAsFields, DecodeAsType};
use std::collections::BTreeMap;

type Result<T> = std::result::Result<T, Trouble>;

/// The facts of one block, event by event in their order.
pub(crate) struct BlockFacts<'a, 'r> {
    input: &'a BlockInput<'a>,
    state: &'a State<'a>,
    now: Timestamp,
    outcomes: Outcomes<&'r EventRecord<'r>>,
    /// Acknowledgements so far, with the counter that each sets up.
    acknowledged: BTreeMap<(JobId, ProcessorId), Execution>,
    /// Reports so far, by match.
    reports: BTreeMap<(JobId, ProcessorId), u32>,
    /// JobExecutionMatchedV2 events of a job: in the block, and so far.
    execution_matches: BTreeMap<JobId, (usize, usize)>,
}

impl<'a, 'r> BlockFacts<'a, 'r> {
    pub(crate) fn new(input: &'a BlockInput<'a>, state: &'a State<'a>, now: Timestamp, records: &'r [EventRecord<'r>]) -> Self {
        let mut facts = Self {
            input,
            state,
            now,
            outcomes: Outcomes::default(),
            acknowledged: BTreeMap::new(),
            reports: BTreeMap::new(),
            execution_matches: BTreeMap::new(),
        };
        for record in records.iter().filter(|record| (record.pallet, record.variant) == ("AcurastMarketplace", "JobExecutionMatchedV2")) {
            // One that does not decode is quarantined when its turn comes.
            if let Ok(job) = facts.job(record) {
                let (total, _) = facts.execution_matches.entry(job).or_default();
                *total = total.saturating_add(1);
            }
        }
        facts
    }

    /// What this event is; events must come in their order.
    pub(crate) fn verdict(&mut self, record: &'r EventRecord<'r>) -> Result<Verdict> {
        let facts = match (record.pallet, record.variant) {
            ("Acurast", "JobRegistrationStored") => {
                let (registration, job): (RawRegistration, RawJobId) = self.fields(record)?;
                self.registered(record, job_id(job), Some(registration))?
            }
            ("Acurast", "JobRegistrationStoredV2") => self.registered(record, self.job(record)?, None)?,
            ("Acurast", "JobRegistrationRemoved") => self.removed(record, self.job(record)?)?,
            ("Acurast", "AllowedSourcesUpdated") => {
                // The registration and the list that it carries are of no concern.
                vec![self.amended(record, 0, job_id(self.first_field(record)?), Amendment::AllowedSourcesUpdated)]
            }
            ("Acurast", "AllowedSourcesUpdatedV2") => self.amendment(record, Amendment::AllowedSourcesUpdated)?,
            ("AcurastMarketplace", "JobRegistrationMatched") => {
                let (matched,): (RawMatch,) = self.fields(record)?;
                self.matched(record, job_id(matched.job_id), None)?
            }
            ("AcurastMarketplace", "JobRegistrationMatchedV2") => self.matched(record, self.job(record)?, None)?,
            ("AcurastMarketplace", "JobExecutionMatched") => {
                let (matched,): (RawExecutionMatch,) = self.fields(record)?;
                self.matched(record, job_id(matched.job_id), Some(Execution(matched.execution_index)))?
            }
            ("AcurastMarketplace", "JobExecutionMatchedV2") => {
                let job = self.job(record)?;
                let execution = self.execution_matched(&job)?;
                self.matched(record, job, execution)?
            }
            ("AcurastMarketplace", "JobRegistrationAssigned") => {
                let (job, processor, assignment): (RawJobId, [u8; 32], RawAssignment) = self.fields(record)?;
                self.acknowledged(record, job_id(job), ProcessorId(processor), Some(assignment))?
            }
            ("AcurastMarketplace", "JobRegistrationAssignedV2") => {
                let (job, processor): (RawJobId, [u8; 32]) = self.fields(record)?;
                self.acknowledged(record, job_id(job), ProcessorId(processor), None)?
            }
            ("AcurastMarketplace", "ExecutionSuccess") => return self.outcome(record, ReportedOutcome::Success),
            ("AcurastMarketplace", "ExecutionFailure") => return self.outcome(record, ReportedOutcome::Failure),
            ("AcurastMarketplace", "Reported") => {
                let (job, processor, _assignment): (RawJobId, [u8; 32], RawAssignment) = self.fields(record)?;
                self.reported(record, job_id(job), ProcessorId(processor))?
            }
            ("AcurastMarketplace", "ReportedV2") => {
                let (job, processor): (RawJobId, [u8; 32]) = self.fields(record)?;
                self.reported(record, job_id(job), ProcessorId(processor))?
            }
            ("AcurastMarketplace", "JobFinalized") => self.amendment(record, Amendment::Finalized)?,
            ("AcurastMarketplace", "JobScriptEdited") => self.amendment(record, Amendment::ScriptEdited)?,
            ("AcurastMarketplace", "JobBecameImmutable") => self.amendment(record, Amendment::BecameImmutable)?,
            ("AcurastMarketplace", "JobAssignmentsCleanedUp") => self.amendment(record, Amendment::CleanedUp)?,
            ("AcurastMarketplace", "EditorTransferred") => {
                let (job, _editor): (RawJobId, [u8; 32]) = self.fields(record)?;
                vec![self.amended(record, 0, job_id(job), Amendment::EditorTransferred)]
            }
            ("AcurastMarketplace", "ProcessorAssignmentsCleanedUp") => {
                let (_processor, jobs): ([u8; 32], Vec<RawJobId>) = self.fields(record)?;
                (0..).zip(jobs).map(|(n, job)| self.amended(record, n, job_id(job), Amendment::CleanedUp)).collect()
            }
            ("System", "Remarked") => {
                let (sender, hash): ([u8; 32], [u8; 32]) = self.fields(record)?;
                self.remarked(record, &sender, MerkleNode(hash))?
            }
            (pallet, variant) => return Ok(without_fact(pallet, variant)),
        };
        Ok(Verdict::Facts(facts))
    }

    fn fields<T: DecodeAsFields>(&self, record: &EventRecord<'_>) -> Result<T> {
        Ok(self.input.runtime.event_fields(record.pallet_index, record.variant_index, record.fields)?)
    }

    fn first_field<T: DecodeAsType>(&self, record: &EventRecord<'_>) -> Result<T> {
        Ok(self.input.runtime.event_first_field(record.pallet_index, record.variant_index, record.fields)?)
    }

    /// The job of an event that carries nothing else.
    fn job(&self, record: &EventRecord<'_>) -> Result<JobId> {
        let (job,): (RawJobId,) = self.fields(record)?;
        Ok(job_id(job))
    }

    /// The job's registration after the block, or before it when the block removed it.
    fn registration(&self, job: &JobId) -> Result<Option<Registration>> {
        match self.state.registration(At::Block, job)? {
            Some(registration) => Ok(Some(registration)),
            None => self.state.registration(At::Parent, job),
        }
    }

    fn registered(&self, record: &EventRecord<'_>, job: JobId, carried: Option<RawRegistration>) -> Result<Vec<SourceEvent>> {
        let registration = match carried {
            Some(carried) => Some(carried.with_budget(self.state.budget(At::Block, &job)?)),
            // The event says that the job is new: the state before the block has nothing of it.
            None => self.state.registration(At::Block, &job)?,
        };
        Ok(vec![SourceEvent::Registered(Registered { meta: self.input.meta_of(record, 0), job, registration })])
    }

    fn matched(&self, record: &EventRecord<'_>, job: JobId, execution: Option<Execution>) -> Result<Vec<SourceEvent>> {
        let (registration, slots) = (self.registration(&job), self.slots(At::Block, &job));
        let (registration, slots) = (registration?, slots?);
        Ok(vec![SourceEvent::Matched(Matched { meta: self.input.meta_of(record, 0), job, registration, slots, execution })])
    }

    fn slots(&self, at: At, job: &JobId) -> Result<Vec<MatchedSlot>> {
        Ok(self.state.assignments(at, job)?.iter().map(|(processor, assignment)| assignment.slot(*processor)).collect())
    }

    /// The execution of the next JobExecutionMatchedV2 of this job, which does not say it: the matches that the state after
    /// the block has and the state before it has not. Nothing when that leaves a choice; the slots still name theirs.
    fn execution_matched(&mut self, job: &JobId) -> Result<Option<Execution>> {
        let (total, nth) = self.execution_matches.get_mut(job).map_or((0, 0), |(total, seen)| {
            let nth = *seen;
            *seen = seen.saturating_add(1);
            (*total, nth)
        });
        let (after, before) = (self.slots(At::Block, job), self.slots(At::Parent, job));
        let (after, before) = (after?, before?);
        let is_old = |slot: &MatchedSlot| before.iter().any(|old| old.processor == slot.processor && old.execution == slot.execution);
        let mut executions: Vec<_> = after.iter().filter(|slot| !is_old(slot)).filter_map(|slot| slot.execution).collect();
        executions.sort_unstable();
        executions.dedup();
        Ok(if executions.len() == total { executions.get(nth).copied() } else { None })
    }

    fn acknowledged(
        &mut self,
        record: &EventRecord<'_>,
        job: JobId,
        processor: ProcessorId,
        carried: Option<RawAssignment>,
    ) -> Result<Vec<SourceEvent>> {
        let (registration, after) = (self.registration(&job), self.state.assignment(At::Block, &processor, &job));
        let (registration, after) = (registration?, after?);
        // The keys of the state after the block count; a match from before it has not been acknowledged and has none.
        let assignment = match after.or(carried) {
            Some(assignment) => Some(assignment),
            None => self.state.assignment(At::Parent, &processor, &job)?,
        };
        // The pallet starts the counter here: a report in this very block finds it in no state before the block.
        let first = assignment.as_ref().and_then(RawAssignment::execution).unwrap_or(Execution(0));
        self.acknowledged.insert((job.clone(), processor), first);
        Ok(vec![SourceEvent::Acknowledged(Acknowledged {
            meta: self.input.meta_of(record, 0),
            job,
            processor,
            slot: assignment.as_ref().map(|assignment| assignment.slot(processor)),
            keys: assignment.as_ref().map(RawAssignment::keys).unwrap_or_default(),
            registration,
        })])
    }

    fn outcome(&mut self, record: &'r EventRecord<'r>, outcome: ReportedOutcome) -> Result<Verdict> {
        let (job, data): (RawJobId, Vec<u8>) = self.fields(record)?;
        self.outcomes.push(Outcome { extrinsic: record.extrinsic, job: job_id(job), outcome, data, record });
        Ok(Verdict::Held)
    }

    fn reported(&mut self, record: &EventRecord<'_>, job: JobId, processor: ProcessorId) -> Result<Vec<SourceEvent>> {
        let outcome = self
            .outcomes
            .claim(record.extrinsic, &job)
            .ok_or_else(|| Trouble::Bad("no ExecutionSuccess or ExecutionFailure of the job precedes it in its extrinsic".into()))?;
        let earlier = self.reports.entry((job.clone(), processor)).or_default();
        let count = *earlier;
        *earlier = earlier.saturating_add(1);
        let (next_index, reputation) = (self.report_index(&job, &processor, count), self.state.reputation(&processor));
        let (next_index, reputation) = (next_index?, reputation?);
        Ok(vec![SourceEvent::Reported(Reported {
            meta: self.input.meta_of(record, 0),
            job,
            processor,
            outcome: outcome.outcome,
            data: Bytes(outcome.data),
            next_index,
            reputation,
        })])
    }

    /// `NextReportIndex` before a report that `earlier` reports of the same match precede in the block.
    fn report_index(&self, job: &JobId, processor: &ProcessorId, earlier: u32) -> Result<Option<Execution>> {
        let before = self.state.next_report_index(At::Parent, job, processor)?;
        let mut index = before.or_else(|| self.acknowledged.get(&(job.clone(), *processor)).copied());
        if earlier == 0 {
            return Ok(index);
        }
        let assignment = match self.state.assignment(At::Block, processor, job)? {
            Some(assignment) => Some(assignment),
            None => self.state.assignment(At::Parent, processor, job)?,
        };
        let (Some(assignment), Some(registration)) = (assignment, self.registration(job)?) else { return Ok(None) };
        let delay = assignment.slot(*processor).start_delay;
        for _ in 0..earlier {
            index = index_after_report(index, &registration.schedule, &assignment, delay, self.now);
        }
        Ok(index)
    }

    fn removed(&self, record: &EventRecord<'_>, job: JobId) -> Result<Vec<SourceEvent>> {
        let registration = self.state.registration(At::Parent, &job)?;
        Ok(vec![SourceEvent::Removed(Removed { meta: self.input.meta_of(record, 0), job, registration })])
    }

    fn amendment(&self, record: &EventRecord<'_>, change: Amendment) -> Result<Vec<SourceEvent>> {
        Ok(vec![self.amended(record, 0, self.job(record)?, change)])
    }

    fn amended(&self, record: &EventRecord<'_>, n: u32, job: JobId, change: Amendment) -> SourceEvent {
        SourceEvent::Amended(Amended { meta: self.input.meta_of(record, n), job, change })
    }

    fn remarked(&self, record: &EventRecord<'_>, sender: &[u8], hash: MerkleNode) -> Result<Vec<SourceEvent>> {
        let extrinsic = match record.extrinsic {
            Some(index) => self.state.reader.extrinsic(index)?,
            // Made by the block itself, such as a scheduled call: there is no extrinsic to read.
            None => None,
        };
        Ok(vec![SourceEvent::Remarked(Remarked {
            meta: self.input.meta_of(record, 0),
            sender: Bytes(sender.to_vec()),
            hash,
            remark: extrinsic.and_then(|bytes| find_remark(self.input.runtime, bytes, &hash)),
        })])
    }

    /// Outcomes that no report followed: kept, because a report without its processor can't be told to anyone.
    pub(crate) fn unclaimed_outcomes(self) -> Vec<SourceEvent> {
        let input = self.input;
        let quarantine = |outcome: Outcome<&EventRecord<'_>>| {
            input.quarantine(outcome.record, "no ReportedV2 of the job follows in its extrinsic".into())
        };
        self.outcomes.unclaimed().into_iter().map(quarantine).collect()
    }
}
