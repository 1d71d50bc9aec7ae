//! What must hold after every run. The chain is asked for effects and money; the journal is read again from its first byte by
//! a reader of its own, and folded anew. Nothing here looks at the shell's state but for the digest that it claims to have.

mod books;
mod effects;
mod receipts;

use crate::assignments::GENESIS;
use crate::journal::finish;
use crate::owned::Stop;
use crate::process::at;
use crate::scenario::Outcome;
use crate::store::{MemoryStore, Rows, change, digest};
use crate::violation::Violation;
use crate::world::World;
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::LanesEvent;
use acurast_events::topics::{Topic, TopicPartition};
use acurast_events::wire::Message;
use acurast_relayer_core::{Partition, Subject};
use acurast_relayer_journal::{AcceptedRecord, EventJournal, Frontier, PartitionReader};
use acurast_relayer_lane::Lane;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Records whose answered inputs a fold may remember after an orderly stop.
const ANSWERED_MAX: usize = 64;

/// A partition as it was read again: accepted records with their events.
pub(crate) type Told<E> = Vec<(AcceptedRecord, Vec<E>)>;

/// The journal as it was read again.
pub(crate) struct Journal {
    /// The jobs partition.
    pub(crate) jobs: Told<JobsEvent>,
    /// The lane's.
    pub(crate) lanes: Told<LanesEvent>,
}

impl Journal {
    /// All events of the jobs partition, in order.
    pub(crate) fn job_events(&self) -> impl Iterator<Item = &JobsEvent> {
        self.jobs.iter().flat_map(|(_, events)| events)
    }

    /// All events of the lane, in order.
    pub(crate) fn lane_events(&self) -> impl Iterator<Item = &LanesEvent> {
        self.lanes.iter().flat_map(|(_, events)| events)
    }
}

/// All accepted records of a partition, from the start.
fn read<E: Message>(world: &World, at: &TopicPartition) -> Result<Told<E>, Stop> {
    let journal: Arc<dyn EventJournal> = world.log.clone();
    let mut reader = finish(PartitionReader::open(journal, at.clone(), Frontier::START))??;
    let mut told = Vec::new();
    loop {
        let batch = finish(reader.next_batch())??;
        for record in batch.records {
            let events = record.record.decode_events::<E>().map_err(|error| Stop::Defect(error.to_string()))?;
            told.push((record, events));
        }
        if batch.caught_up {
            return Ok(told);
        }
    }
}

pub(crate) fn journal(world: &World) -> Result<Journal, Stop> {
    Ok(Journal { jobs: read(world, &at(Topic::Jobs))?, lanes: read(world, &at(Topic::Lanes))? })
}

/// Checks a world that came to its end and was stopped in order.
pub fn check(world: &mut World) {
    let journal = match journal(world) {
        Ok(journal) => journal,
        Err(stop) => {
            world.env.blame(Violation::Journal(stop.to_string()));
            return;
        }
    };
    world.events = (journal.job_events().count() + journal.lane_events().count()) as u64;
    let mut found = Vec::new();
    effects::check(world, &journal, &mut found);
    books::check(world, &journal, &mut found);
    receipts::check(world, &journal, &mut found);
    replay(world, &journal, &mut found);
    found.into_iter().for_each(|violation| world.env.blame(violation));
}

/// A replay from the first record gives the state that the process has, and that state is small.
fn replay(world: &World, journal: &Journal, found: &mut Vec<Violation>) {
    let Some(process) = &world.process else {
        found.push(Violation::NotTerminal("no process runs".into()));
        return;
    };
    let lane = replayed_lane(world, journal);
    fold_equals(&process.dispatch.owned.store, lane, journal.lanes.last().map(|(record, _)| record), found);
    let jobs = replayed_jobs(journal);
    fold_equals(&process.settle.owned.store, jobs, journal.jobs.last().map(|(record, _)| record), found);
    let status = process.dispatch.lane.status();
    if !world.foul && (!status.open_slots.is_empty() || status.fulfillments_open > 0 || status.roots_open > 0) {
        found.push(Violation::Memory(format!("the idle lane holds {status:?}")));
    }
    if process.dispatch.running() > 0 {
        found.push(Violation::Memory(format!("{} actions run for nothing", process.dispatch.running())));
    }
}

/// The rows of the lane, folded from its first record.
fn replayed_lane(world: &World, journal: &Journal) -> Result<Rows, String> {
    let mut lane = Lane::new(world.settings.identity.clone());
    for (record, events) in journal.lanes.iter().filter(|(record, _)| !record.record.subject.0.is_empty()) {
        lane.evolve(record.record.at, events).map_err(|error| error.to_string())?;
    }
    let mut rows = Rows::new();
    change(&mut rows, lane.changes().map_err(|error| error.to_string())?);
    Ok(rows)
}

/// The rows of the jobs partition, folded from its first record.
fn replayed_jobs(journal: &Journal) -> Result<Rows, String> {
    let mut partition = Partition::new(0, NonZeroU32::MIN);
    for (record, events) in journal.jobs.iter().filter(|(record, _)| !record.record.subject.0.is_empty()) {
        let subject = Subject::from_bytes(&record.record.subject).map_err(|error| error.to_string())?;
        partition.evolve(record.record.at, record.record.input.as_ref(), &subject, events).map_err(|error| error.to_string())?;
    }
    let mut rows = Rows::new();
    change(&mut rows, partition.changes().map_err(|error| error.to_string())?);
    Ok(rows)
}

/// The process's fold is the replay's, at the log's end, and remembers little beside.
fn fold_equals(store: &MemoryStore, replayed: Result<Rows, String>, last: Option<&AcceptedRecord>, found: &mut Vec<Violation>) {
    let partition = store.partition().to_string();
    match replayed {
        // Equal rows have one digest; of others it names both states.
        Ok(rows) if rows == *store.rows() => {}
        Ok(rows) => {
            let (live, replayed) = (digest(store.rows()).to_string(), digest(&rows).to_string());
            found.push(Violation::Digest { partition: partition.clone(), live, replayed });
        }
        Err(reason) => found.push(Violation::Journal(format!("{partition} does not fold: {reason}"))),
    }
    if last.map(AcceptedRecord::frontier).is_some_and(|last| last != store.frontier()) {
        found.push(Violation::Journal(format!("{partition}: the fold is not at the log's end")));
    }
    if store.answered_count() > ANSWERED_MAX {
        found.push(Violation::Memory(format!("{partition}: {} answered inputs are remembered", store.answered_count())));
    }
}

/// What is still open, in words.
pub fn open(world: &mut World) -> String {
    let Some(process) = &mut world.process else { return "no process runs".into() };
    let jobs: Vec<String> = process.settle.partition.jobs().map(|job| job.id.to_string()).collect();
    let (wake, running) = (process.dispatch.next_wake(), process.dispatch.running());
    format!("jobs {jobs:?}; lane {:?}; wake {wake:?}; {running} actions run", process.dispatch.lane.status())
}

/// What a run was like.
pub fn figures(world: &World) -> Outcome {
    Outcome {
        violations: Vec::new(),
        boundaries: world.env.boundaries.passed(),
        crashes: world.crashes,
        faults: world.env.met.total(),
        jobs: world.script.jobs.len() as u64,
        events: world.events,
        delivered: world.env.chain.contract().deliveries.len() as u64,
        sent: world.env.chain.broadcasts,
        ended: world.ended,
    }
}

/// The genesis that ids of jobs are made with.
pub(crate) const JOBS_GENESIS: acurast_events::bytes::Genesis = GENESIS;
