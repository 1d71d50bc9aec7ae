//! The journal as the judge takes it: every raw byte of the jobs and lanes partitions from the first on, by the readers' rule
//! and nothing of a process, decoded and folded anew.
//!
//! It can read on from where it stood, so that scenarios which share their beginning share its audit too.

use crate::owned::Stop;
use crate::process::at;
use crate::store::{Rows, change};
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::{LaneOpened, LanesEvent};
use acurast_events::topics::Topic;
use acurast_events::wire::Message;
use acurast_relayer_core::{Partition, Subject};
use acurast_relayer_journal::{Acceptance, AcceptedRecord, FollowError, Frontier, SimulatedJournal, Verdict};
use acurast_relayer_lane::Lane;
use std::num::NonZeroU32;
use std::sync::Arc;

/// An accepted record with its events.
#[derive(Debug)]
pub(crate) struct Told<E> {
    /// The record.
    pub(crate) record: AcceptedRecord,
    /// What it tells.
    pub(crate) events: Vec<E>,
}

impl<E> Told<E> {
    /// Whether it changes the state; a Progress is none of it.
    fn counts(&self) -> bool {
        !self.record.record.subject.0.is_empty()
    }
}

/// One partition, as far as it was read.
struct Read<E> {
    acceptance: Acceptance,
    told: Vec<Arc<Told<E>>>,
}

impl<E> Clone for Read<E> {
    fn clone(&self) -> Self {
        Self { acceptance: self.acceptance.clone(), told: self.told.clone() }
    }
}

impl<E: Message> Read<E> {
    fn new(topic: Topic) -> Self {
        Self { acceptance: Acceptance::resume(at(topic), Frontier::START), told: Vec::new() }
    }

    /// Reads to the log's end, and folds what is new.
    fn on(&mut self, log: &SimulatedJournal, mut fold: impl FnMut(&Told<E>)) -> Result<(), Stop> {
        let raw = log.raw(self.acceptance.partition(), self.acceptance.next_offset()).map_err(FollowError::from)?;
        for raw in raw {
            let Verdict::Accepted(record) = self.acceptance.offer(&raw).map_err(FollowError::from)? else { continue };
            let events = record.record.decode_events::<E>().map_err(|error| Stop::Defect(error.to_string()))?;
            let told = Told { record: *record, events };
            fold(&told);
            self.told.push(Arc::new(told));
        }
        Ok(())
    }
}

/// The journal, as far as it was read.
#[derive(Clone)]
pub(crate) struct Audit {
    jobs: Read<JobsEvent>,
    lanes: Read<LanesEvent>,
    partition: Result<Partition, String>,
    lane: Result<Lane, String>,
    failed: Option<Stop>,
}

impl Audit {
    /// Nothing was read yet.
    pub(crate) fn new(identity: LaneOpened) -> Self {
        Self {
            jobs: Read::new(Topic::Jobs),
            lanes: Read::new(Topic::Lanes),
            partition: Ok(Partition::new(0, NonZeroU32::MIN)),
            lane: Ok(Lane::new(identity)),
            failed: None,
        }
    }

    /// Reads on to the log's end.
    ///
    /// # Errors
    /// What is wrong with the log; it is told again ever after.
    pub(crate) fn read_on(&mut self, log: &SimulatedJournal) -> Result<(), Stop> {
        if self.failed.is_none() {
            let Self { jobs, lanes, partition, lane, .. } = self;
            let jobs = jobs.on(log, |told| fold(partition, |partition| fold_jobs(partition, told)));
            let lanes = lanes.on(log, |told| fold(lane, |lane| fold_lane(lane, told)));
            self.failed = jobs.and(lanes).err();
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// All records of the jobs partition, in order.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Told<JobsEvent>> {
        self.jobs.told.iter().map(|told| &**told)
    }

    /// All records of the lane.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Told<LanesEvent>> {
        self.lanes.told.iter().map(|told| &**told)
    }

    /// All events of the jobs partition, in order.
    pub(crate) fn job_events(&self) -> impl Iterator<Item = &JobsEvent> {
        self.jobs().flat_map(|told| &told.events)
    }

    /// All events of the lane, in order.
    pub(crate) fn lane_events(&self) -> impl Iterator<Item = &LanesEvent> {
        self.lanes().flat_map(|told| &told.events)
    }

    /// The rows of the jobs partition, folded from its first record.
    pub(crate) fn jobs_rows(&mut self) -> Result<Rows, String> {
        let partition = self.partition.as_mut().map_err(|error| error.clone())?;
        Ok(rows(partition.changes().map_err(|error| error.to_string())?))
    }

    /// The rows of the lane, folded from its first record.
    pub(crate) fn lane_rows(&mut self) -> Result<Rows, String> {
        let lane = self.lane.as_mut().map_err(|error| error.clone())?;
        Ok(rows(lane.changes().map_err(|error| error.to_string())?))
    }
}

/// Folds into what folded so far.
fn fold<S>(state: &mut Result<S, String>, fold: impl FnOnce(&mut S) -> Result<(), String>) {
    if let Ok(so_far) = state
        && let Err(error) = fold(so_far)
    {
        *state = Err(error);
    }
}

fn fold_jobs(partition: &mut Partition, told: &Told<JobsEvent>) -> Result<(), String> {
    if !told.counts() {
        return Ok(());
    }
    let record = &told.record.record;
    let subject = Subject::from_bytes(&record.subject).map_err(|error| error.to_string())?;
    partition.evolve(record.at, record.input.as_ref(), &subject, &told.events).map_err(|error| error.to_string())
}

fn fold_lane(lane: &mut Lane, told: &Told<LanesEvent>) -> Result<(), String> {
    if !told.counts() {
        return Ok(());
    }
    lane.evolve(told.record.record.at, &told.events).map_err(|error| error.to_string())
}

fn rows(changes: Vec<acurast_relayer_store::Row>) -> Rows {
    let mut rows = Rows::new();
    change(&mut rows, changes);
    rows
}
