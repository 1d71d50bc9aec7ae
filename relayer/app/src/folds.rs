//! The three kinds of authoritative partition as folds: sources, jobs, lanes.

use crate::owned::Fold;
use acurast_adapter_acurast::KnownJobs;
use acurast_events::bytes::{BlockHash, ProcessorId};
use acurast_events::job_id::JobId;
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::LanesEvent;
use acurast_events::source::{BlockSealed, SourceEvent};
use acurast_events::units::{BlockNumber, Term};
use acurast_relayer_core::{Partition, Subject};
use acurast_relayer_journal::AcceptedRecord;
use acurast_relayer_lane::Lane;
use acurast_relayer_store::{PartitionView, Row};
use std::collections::{BTreeMap, BTreeSet};

/// Version of the rows that these folds write; raised when one of them changes, and stores are folded anew.
pub const SCHEMA: u32 = 3;

const TABLE_SEAL: u8 = 1;
const TABLE_KNOWN: u8 = 2;

/// A source topic: the last sealed block, and the jobs that its facts so far know of.
#[derive(Debug, Default)]
pub struct SourceFold {
    last: Option<(BlockNumber, BlockHash)>,
    known: KnownJobs,
    term: Term,
    open: Vec<SourceEvent>,
    touched: BTreeSet<JobId>,
    sealed: bool,
}

impl SourceFold {
    /// The fold as it was stored.
    ///
    /// # Errors
    /// When a row is of another version.
    pub fn load(view: &PartitionView) -> Result<Self, String> {
        let mut fold = Self::default();
        for row in view.all_rows() {
            let (table, key, value) = row.map_err(|error| error.to_string())?;
            match table {
                TABLE_SEAL => fold.last = Some(postcard::from_bytes(&value).map_err(|error| error.to_string())?),
                TABLE_KNOWN => {
                    let job = JobId::from_scale(&key).map_err(|error| error.to_string())?;
                    let processors: BTreeMap<ProcessorId, bool> = postcard::from_bytes(&value).map_err(|error| error.to_string())?;
                    fold.known.restore(job, processors);
                }
                other => return Err(format!("a source has no table {other}")),
            }
        }
        Ok(fold)
    }

    /// The last sealed block.
    pub fn last(&self) -> Option<(BlockNumber, BlockHash)> {
        self.last
    }

    /// The jobs that are known.
    pub fn known(&self) -> &KnownJobs {
        &self.known
    }
}

impl Fold for SourceFold {
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String> {
        if record.record.term != self.term {
            // Facts that no seal of their term follows count as never seen.
            self.term = record.record.term;
            self.open.clear();
        }
        for event in record.record.decode_events::<SourceEvent>().map_err(|error| error.to_string())? {
            match event {
                SourceEvent::BlockSealed(BlockSealed { number, hash, .. }) => {
                    self.last = Some((number, hash));
                    self.sealed = true;
                    for fact in self.open.drain(..) {
                        self.known.apply(&fact);
                        self.touched.extend(fact.job().cloned());
                    }
                }
                SourceEvent::Progress(_) => {}
                fact => self.open.push(fact),
            }
        }
        Ok(())
    }

    fn rows(&mut self) -> Result<Vec<Row>, String> {
        let encode = |error: postcard::Error| error.to_string();
        let mut rows = Vec::new();
        if std::mem::take(&mut self.sealed)
            && let Some(last) = &self.last
        {
            rows.push((TABLE_SEAL, Vec::new(), Some(postcard::to_stdvec(last).map_err(encode)?)));
        }
        for job in std::mem::take(&mut self.touched) {
            let value = self.known.processors(&job).map(postcard::to_stdvec).transpose().map_err(encode)?;
            rows.push((TABLE_KNOWN, job.scale(), value));
        }
        Ok(rows)
    }
}

impl Fold for Partition {
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String> {
        let events = record.record.decode_events::<JobsEvent>().map_err(|error| error.to_string())?;
        let subject = Subject::from_bytes(&record.record.subject).map_err(|error| error.to_string())?;
        self.evolve(record.record.at, record.record.input.as_ref(), &subject, &events).map_err(|error| error.to_string())
    }

    fn rows(&mut self) -> Result<Vec<Row>, String> {
        self.changes().map_err(|error| error.to_string())
    }
}

/// A lane's partition; the lane itself is known from its first event.
#[derive(Default)]
pub struct LaneFold(pub Option<Lane>);

impl Fold for LaneFold {
    fn fold(&mut self, record: &AcceptedRecord) -> Result<(), String> {
        let events = record.record.decode_events::<LanesEvent>().map_err(|error| error.to_string())?;
        if self.0.is_none()
            && let Some(LanesEvent::LaneOpened(opened)) = events.first()
        {
            self.0 = Some(Lane::new(opened.clone()));
        }
        let lane = self.0.as_mut().ok_or("the partition does not begin with LaneOpened")?;
        lane.evolve(record.record.at, &events).map_err(|error| error.to_string())
    }

    fn rows(&mut self) -> Result<Vec<Row>, String> {
        self.0.as_mut().map_or(Ok(Vec::new()), |lane| lane.changes().map_err(|error| error.to_string()))
    }
}
