//! Jobs as they are in storage at one block: for the first start (`Found`) and for reconciliation (`Reconciled`, R8).

use crate::decode::{BlockInput, DecodeError, Decoded, EventCounts};
use crate::known::KnownJobs;
use crate::reads::{At, Pass};
use crate::state::{State, Trouble};
use acurast_events::bytes::{Bytes, ProcessorId};
use acurast_events::ids::storage_fact_id;
use acurast_events::job_id::JobId;
use acurast_events::source::{FactMeta, Found, FoundSlot, QuarantinedEvent, Reconciled, Registration, SourceEvent};
use acurast_events::units::Timestamp;
use std::collections::BTreeMap;

/// A job in storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJob {
    /// Its registration.
    pub registration: Registration,
    /// Its matches, by slot and processor.
    pub slots: Vec<FoundSlot>,
}

/// All jobs in storage after a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The block's timestamp.
    pub timestamp: Timestamp,
    /// The jobs.
    pub jobs: BTreeMap<JobId, StoredJob>,
    /// Storage keys of jobs that did not decode, with the job where the key names one, and why.
    pub undecodable: Vec<(Vec<u8>, Option<JobId>, String)>,
}

/// Reads all jobs in storage as far as the answers reach.
///
/// # Errors
/// When the runtime's storage of registrations is not understood at all.
pub fn snapshot(input: &BlockInput<'_>) -> Result<Pass<Snapshot>, DecodeError> {
    let state = input.state();
    let (timestamp, registered) = (state.timestamp(), state.registered_jobs());
    let (timestamp, registered) = match (timestamp, registered) {
        (Ok(timestamp), Ok(registered)) => (timestamp, registered),
        (Err(Trouble::Bad(reason)), _) | (_, Err(Trouble::Bad(reason))) => return Err(input.error(reason)),
        (Err(Trouble::Missing), _) | (_, Err(Trouble::Missing)) => return Ok(Pass::Needs(state.reader.missing())),
    };
    let mut found = Snapshot { timestamp, ..Snapshot::default() };
    for entry in registered {
        let job = match entry {
            Ok(job) => job,
            Err(key) => {
                found.undecodable.push((key, None, "the storage key names no job".into()));
                continue;
            }
        };
        match stored_job(&state, &job) {
            Ok(Some(stored)) => {
                found.jobs.insert(job, stored);
            }
            Ok(None) | Err(Trouble::Missing) => {}
            Err(Trouble::Bad(reason)) => {
                let key = state.registration_key(&job).unwrap_or_default();
                found.undecodable.push((key, Some(job), reason));
            }
        }
    }
    let needs = state.reader.missing();
    Ok(if needs.is_empty() { Pass::Done(found) } else { Pass::Needs(needs) })
}

fn stored_job(state: &State<'_>, job: &JobId) -> Result<Option<StoredJob>, Trouble> {
    let (registration, assignments) = (state.registration(At::Block, job), state.assignments(At::Block, job));
    let (registration, assignments) = (registration?, assignments?);
    let indexes: Vec<_> = assignments.iter().map(|(processor, _)| state.next_report_index(At::Block, job, processor)).collect();
    let mut slots = Vec::new();
    for ((processor, assignment), next_index) in assignments.iter().zip(indexes) {
        slots.push(FoundSlot {
            slot: assignment.slot(*processor),
            acknowledged: assignment.acknowledged(),
            keys: assignment.keys(),
            next_index: next_index?,
        });
    }
    Ok(registration.map(|registration| StoredJob { registration, slots }))
}

/// One match in storage, as an attester reads it.
pub(crate) fn stored_assignment(
    input: &BlockInput<'_>,
    job: &JobId,
    processor: &ProcessorId,
) -> Result<Pass<Option<(Registration, FoundSlot)>>, DecodeError> {
    let state = input.state();
    let (registration, assignment) = (state.registration(At::Block, job), state.assignment(At::Block, processor, job));
    let next_index = state.next_report_index(At::Block, job, processor);
    let (registration, assignment, next_index) = match (registration, assignment, next_index) {
        (Ok(registration), Ok(assignment), Ok(next_index)) => (registration, assignment, next_index),
        (Err(Trouble::Bad(reason)), ..) | (_, Err(Trouble::Bad(reason)), _) | (_, _, Err(Trouble::Bad(reason))) => {
            return Err(input.error(reason));
        }
        _ => return Ok(Pass::Needs(state.reader.missing())),
    };
    Ok(Pass::Done(registration.zip(assignment).map(|(registration, assignment)| {
        let slot =
            FoundSlot { slot: assignment.slot(*processor), acknowledged: assignment.acknowledged(), keys: assignment.keys(), next_index };
        (registration, slot)
    })))
}

/// The facts of a first start at a block: its jobs as `Found`, in the order of their ids.
///
/// # Errors
/// As [`snapshot`].
pub fn found(input: &BlockInput<'_>) -> Result<Pass<Decoded>, DecodeError> {
    let snapshot = match snapshot(input)? {
        Pass::Needs(needs) => return Ok(Pass::Needs(needs)),
        Pass::Done(snapshot) => snapshot,
    };
    let mut list = StorageFacts { input, facts: Vec::new() };
    for (job, stored) in snapshot.jobs {
        list.push(&job, |meta| {
            SourceEvent::Found(Found { meta, job: job.clone(), registration: stored.registration, slots: stored.slots })
        })?;
    }
    for (key, job, reason) in &snapshot.undecodable {
        list.quarantine(key, job.as_ref(), reason);
    }
    let quarantined = u64::try_from(snapshot.undecodable.len()).unwrap_or(u64::MAX);
    let counts = EventCounts { quarantined, ..EventCounts::default() };
    Ok(Pass::Done(Decoded { timestamp: snapshot.timestamp, facts: list.facts, counts }))
}

/// Where storage after the block differs from what is known after it, as facts.
///
/// # Errors
/// As [`snapshot`].
pub fn reconciled(input: &BlockInput<'_>, known: &KnownJobs) -> Result<Pass<Vec<SourceEvent>>, DecodeError> {
    let snapshot = match snapshot(input)? {
        Pass::Needs(needs) => return Ok(Pass::Needs(needs)),
        Pass::Done(snapshot) => snapshot,
    };
    let mut list = StorageFacts { input, facts: Vec::new() };
    for (job, stored) in known.differences(&snapshot) {
        list.push(&job, |meta| {
            let registration = stored.map(|stored| stored.registration.clone());
            let slots = stored.map(|stored| stored.slots.clone()).unwrap_or_default();
            SourceEvent::Reconciled(Reconciled { meta, job: job.clone(), registration, slots })
        })?;
    }
    Ok(Pass::Done(list.facts))
}

/// A list of storage facts, each named by the storage key of its job's registration.
struct StorageFacts<'a> {
    input: &'a BlockInput<'a>,
    facts: Vec<SourceEvent>,
}

impl StorageFacts<'_> {
    fn meta(&self, key: &[u8]) -> FactMeta {
        FactMeta {
            id: storage_fact_id(&self.input.genesis, &self.input.hash, self.input.number, key),
            index: u32::try_from(self.facts.len()).unwrap_or(u32::MAX),
            extrinsic: None,
        }
    }

    fn push(&mut self, job: &JobId, fact: impl FnOnce(FactMeta) -> SourceEvent) -> Result<(), DecodeError> {
        let key = self.input.state().registration_key(job).map_err(|trouble| match trouble {
            Trouble::Bad(reason) => self.input.error(reason),
            Trouble::Missing => self.input.error("a storage key needs no answers".into()),
        })?;
        let fact = fact(self.meta(&key));
        self.facts.push(fact);
        Ok(())
    }

    fn quarantine(&mut self, key: &[u8], job: Option<&JobId>, reason: &str) {
        let fact = SourceEvent::QuarantinedEvent(QuarantinedEvent {
            meta: self.meta(key),
            pallet: "Acurast".into(),
            variant: "StoredJobRegistration".into(),
            bytes: Bytes(key.to_vec()),
            reason: job.map_or_else(|| reason.to_owned(), |job| format!("{job}: {reason}")),
        });
        self.facts.push(fact);
    }
}
