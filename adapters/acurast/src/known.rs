//! What the facts so far say is open: the side of a reconciliation that is compared with storage (R8).
//!
//! A fold of the facts, small enough to keep for every open job: its matches and whether they are acknowledged. Storage
//! drops a match silently after its last report, so a match that only we know is no difference; everything else is.

use crate::snapshot::{Snapshot, StoredJob};
use acurast_events::bytes::ProcessorId;
use acurast_events::job_id::JobId;
use acurast_events::source::{FoundSlot, SourceEvent};
use std::collections::BTreeMap;

/// The open jobs, by the facts so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownJobs {
    /// Whether each match is acknowledged, by job and processor.
    jobs: BTreeMap<JobId, BTreeMap<ProcessorId, bool>>,
}

impl KnownJobs {
    /// The processors that a job is matched with, and whether each has acknowledged; nothing for an unknown job.
    pub fn processors(&self, job: &JobId) -> Option<&BTreeMap<ProcessorId, bool>> {
        self.jobs.get(job)
    }

    /// Puts back what [`Self::processors`] gave.
    pub fn restore(&mut self, job: JobId, processors: BTreeMap<ProcessorId, bool>) {
        self.jobs.insert(job, processors);
    }

    /// How many jobs are open.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no job is open.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether the job is open.
    pub fn contains(&self, job: &JobId) -> bool {
        self.jobs.contains_key(job)
    }

    /// Takes a fact in; facts must come in their order.
    pub fn apply(&mut self, fact: &SourceEvent) {
        match fact {
            SourceEvent::Registered(fact) => {
                self.jobs.entry(fact.job.clone()).or_default();
            }
            SourceEvent::Matched(fact) => {
                let matches = self.jobs.entry(fact.job.clone()).or_default();
                for slot in &fact.slots {
                    matches.entry(slot.processor).or_insert(false);
                }
            }
            SourceEvent::Acknowledged(fact) => {
                self.jobs.entry(fact.job.clone()).or_default().insert(fact.processor, true);
            }
            SourceEvent::Removed(fact) => {
                self.jobs.remove(&fact.job);
            }
            SourceEvent::Found(fact) => self.replace(&fact.job, &fact.slots),
            SourceEvent::Reconciled(fact) => match &fact.registration {
                Some(_) => self.replace(&fact.job, &fact.slots),
                None => {
                    self.jobs.remove(&fact.job);
                }
            },
            SourceEvent::Progress(_)
            | SourceEvent::StateDigest(_)
            | SourceEvent::BlockSealed(_)
            | SourceEvent::Reported(_)
            | SourceEvent::Amended(_)
            | SourceEvent::Remarked(_)
            | SourceEvent::UnknownEvent(_)
            | SourceEvent::QuarantinedEvent(_)
            | SourceEvent::TargetBound(_)
            | SourceEvent::EscrowOpened(_)
            | SourceEvent::EscrowToppedUp(_)
            | SourceEvent::EscrowCloseRequested(_)
            | SourceEvent::EscrowRefunded(_)
            | SourceEvent::AssignmentRevoked(_) => {}
        }
    }

    fn replace(&mut self, job: &JobId, slots: &[FoundSlot]) {
        self.jobs.insert(job.clone(), slots.iter().map(|slot| (slot.slot.processor, slot.acknowledged)).collect());
    }

    /// The jobs of which storage says something else, with what it says; nothing: the job is gone.
    ///
    /// A job whose storage does not decode is left alone: that it can't be read does not make it gone.
    pub(crate) fn differences<'s>(&self, snapshot: &'s Snapshot) -> Vec<(JobId, Option<&'s StoredJob>)> {
        let differs = |job: &JobId, stored: &StoredJob| {
            let Some(known) = self.jobs.get(job) else { return true };
            stored.slots.iter().any(|slot| known.get(&slot.slot.processor).is_none_or(|acknowledged| slot.acknowledged && !acknowledged))
        };
        let unreadable = |job: &JobId| snapshot.undecodable.iter().any(|(_, undecodable, _)| undecodable.as_ref() == Some(job));
        let there = snapshot.jobs.iter().filter(|(job, stored)| differs(job, stored)).map(|(job, stored)| (job.clone(), Some(stored)));
        let gone = self.jobs.keys().filter(|job| !snapshot.jobs.contains_key(*job) && !unreadable(job)).map(|job| (job.clone(), None));
        let mut differences: Vec<_> = there.chain(gone).collect();
        differences.sort_by(|(one, _), (other, _)| one.cmp(other));
        differences
    }
}
