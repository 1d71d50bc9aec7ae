//! Typed views of the chain's storage around one block: registrations, matches, reputations, report counters.

use crate::chain_types::{RawAssignment, RawRegistration, RawReputation};
use crate::reads::{At, Missing, Reader};
use crate::runtime::{Runtime, RuntimeError};
use acurast_events::bytes::ProcessorId;
use acurast_events::job_id::{JobId, MultiOrigin};
use acurast_events::source::{BetaReputation, Registration};
use acurast_events::units::{Execution, Timestamp};
use scale_decode::DecodeAsType;

const ACURAST: &str = "Acurast";
const MARKETPLACE: &str = "AcurastMarketplace";
/// Length of a pallet's and entry's name hashes at the front of a storage key.
const PREFIX: usize = 32;
/// Length of the hash before a key part that is hashed with Blake2_128Concat.
const PART_HASH: usize = 16;

/// Why something can't be said of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// An answer is missing: another round.
    Missing,
    /// What is there does not decode: quarantine.
    Bad(String),
}

impl From<Missing> for Trouble {
    fn from(Missing: Missing) -> Self {
        Self::Missing
    }
}

impl From<RuntimeError> for Trouble {
    fn from(error: RuntimeError) -> Self {
        Self::Bad(error.to_string())
    }
}

/// The state before and after a block, as far as it is known.
pub(crate) struct State<'a> {
    pub(crate) reader: Reader<'a>,
    /// The runtime that executed the block.
    pub(crate) runtime: &'a Runtime,
    /// The runtime that executed its parent, and so wrote the parent's state.
    pub(crate) parent_runtime: &'a Runtime,
}

impl<'a> State<'a> {
    fn runtime(&self, at: At) -> &'a Runtime {
        match at {
            At::Block => self.runtime,
            At::Parent => self.parent_runtime,
        }
    }

    fn get<T: DecodeAsType>(&self, at: At, pallet: &'static str, entry: &'static str, parts: &[&[u8]]) -> Result<Option<T>, Trouble> {
        let runtime = self.runtime(at);
        let key = runtime.storage_key(pallet, entry, parts)?;
        Ok(self.reader.value(at, key)?.map(|bytes| runtime.storage_value(pallet, entry, bytes)).transpose()?)
    }

    fn list(&self, at: At, pallet: &'static str, entry: &'static str, parts: &[&[u8]]) -> Result<&'a [Vec<u8>], Trouble> {
        let prefix = self.runtime(at).storage_key(pallet, entry, parts)?;
        Ok(self.reader.keys(at, prefix)?)
    }

    /// `Timestamp.Now` after the block; the genesis block has none.
    pub(crate) fn timestamp(&self) -> Result<Timestamp, Trouble> {
        Ok(Timestamp(self.get::<u64>(At::Block, "Timestamp", "Now", &[])?.unwrap_or(0)))
    }

    /// The bytes of `System.Events`.
    pub(crate) fn events(&self) -> Result<&'a [u8], Trouble> {
        let key = self.runtime.storage_key("System", "Events", &[])?;
        Ok(self.reader.value(At::Block, key)?.unwrap_or_default())
    }

    /// The key under which a job's registration is stored; names the storage facts of the job.
    pub(crate) fn registration_key(&self, job: &JobId) -> Result<Vec<u8>, Trouble> {
        let (origin, number) = (job.origin.scale(), job.number.to_le_bytes());
        Ok(self.runtime.storage_key(ACURAST, "StoredJobRegistration", &[&origin, &number])?)
    }

    /// A job's budget in planck.
    pub(crate) fn budget(&self, at: At, job: &JobId) -> Result<Option<u128>, Trouble> {
        self.get(at, MARKETPLACE, "JobBudgets", &[&job.scale()])
    }

    /// A job's registration with its budget.
    pub(crate) fn registration(&self, at: At, job: &JobId) -> Result<Option<Registration>, Trouble> {
        let (origin, number) = (job.origin.scale(), job.number.to_le_bytes());
        let registration = self.get::<RawRegistration>(at, ACURAST, "StoredJobRegistration", &[&origin, &number]);
        let budget = self.budget(at, job);
        let (registration, budget) = (registration?, budget?);
        Ok(registration.map(|raw| raw.with_budget(budget)))
    }

    /// A processor's match for a job.
    pub(crate) fn assignment(&self, at: At, processor: &ProcessorId, job: &JobId) -> Result<Option<RawAssignment>, Trouble> {
        self.get(at, MARKETPLACE, "StoredMatches", &[&processor.0, &job.scale()])
    }

    /// All matches of a job, by slot and processor.
    pub(crate) fn assignments(&self, at: At, job: &JobId) -> Result<Vec<(ProcessorId, RawAssignment)>, Trouble> {
        let keys = self.list(at, MARKETPLACE, "AssignedProcessors", &[&job.scale()])?;
        let mut processors = Vec::new();
        for key in keys {
            processors.push(last_account(key).ok_or_else(|| bad_key("AssignedProcessors", key))?);
        }
        // Ask for all before the first missing one ends the round.
        let found: Vec<_> = processors.into_iter().map(|processor| (processor, self.assignment(at, &processor, job))).collect();
        let mut assignments = Vec::new();
        for (processor, assignment) in found {
            if let Some(assignment) = assignment? {
                assignments.push((processor, assignment));
            }
        }
        assignments.sort_by_key(|(processor, assignment)| (assignment.slot(*processor).slot, *processor));
        Ok(assignments)
    }

    /// `NextReportIndex` of a processor's match.
    pub(crate) fn next_report_index(&self, at: At, job: &JobId, processor: &ProcessorId) -> Result<Option<Execution>, Trouble> {
        Ok(self.get::<u64>(at, MARKETPLACE, "NextReportIndex", &[&job.scale(), &processor.0])?.map(Execution))
    }

    /// A processor's reputation after the block.
    pub(crate) fn reputation(&self, processor: &ProcessorId) -> Result<Option<BetaReputation>, Trouble> {
        Ok(self.get::<RawReputation>(At::Block, MARKETPLACE, "StoredReputation", &[&processor.0])?.map(Into::into))
    }

    /// The jobs whose registration is stored after the block; keys that name no job come back as they are.
    pub(crate) fn registered_jobs(&self) -> Result<Vec<Result<JobId, Vec<u8>>>, Trouble> {
        let keys = self.list(At::Block, ACURAST, "StoredJobRegistration", &[])?;
        Ok(keys.iter().map(|key| self.registered_job(key).ok_or_else(|| key.clone())).collect())
    }

    fn registered_job(&self, key: &[u8]) -> Option<JobId> {
        let mut rest = key.get(PREFIX.checked_add(PART_HASH)?..)?;
        let origin = MultiOrigin::take_scale(&mut rest).ok()?;
        let number = u128::from_le_bytes(rest.get(PART_HASH..)?.try_into().ok()?);
        let job = JobId { origin, number };
        // Another hasher would cut the key elsewhere: the job that was read must have this very key.
        (self.registration_key(&job).ok()?.as_slice() == key).then_some(job)
    }
}

/// The account at the end of a key whose last part is hashed with Blake2_128Concat.
fn last_account(key: &[u8]) -> Option<ProcessorId> {
    let (_, account) = key.split_last_chunk::<32>()?;
    Some(ProcessorId(*account))
}

fn bad_key(entry: &str, key: &[u8]) -> Trouble {
    Trouble::Bad(format!("key of AcurastMarketplace.{entry} is not understood: 0x{}", hex::encode(key)))
}
