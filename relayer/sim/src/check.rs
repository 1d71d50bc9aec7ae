//! What must hold after every run. The chain is asked for effects and money; the journal is read again from its first byte by
//! a reader of its own, and folded anew. Nothing here looks at the shell's state but for the digest that it claims to have.

mod books;
mod effects;
mod receipts;

use crate::assignments::GENESIS;
use crate::journal::finish;
use crate::owned::{Fold, Stop};
use crate::process::at;
use crate::scenario::Outcome;
use crate::store::{Rows, change, digest};
use crate::violation::Violation;
use crate::world::World;
use acurast_events::jobs::JobsEvent;
use acurast_events::lanes::LanesEvent;
use acurast_events::topics::{Topic, TopicPartition};
use acurast_relayer_core::Partition;
use acurast_relayer_journal::{AcceptedRecord, EventJournal, Frontier, PartitionReader};
use acurast_relayer_lane::Lane;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Records whose answered inputs a fold may remember after an orderly stop.
const ANSWERED_MAX: usize = 64;

/// The journal as it was read again.
pub(crate) struct Journal {
    /// Accepted records of the jobs partition.
    pub(crate) jobs: Vec<AcceptedRecord>,
    /// Their events.
    pub(crate) job_events: Vec<JobsEvent>,
    /// Accepted records of the lane's.
    pub(crate) lanes: Vec<AcceptedRecord>,
    /// Their events.
    pub(crate) lane_events: Vec<LanesEvent>,
}

/// All accepted records of a partition, from the start.
fn read(world: &World, at: &TopicPartition) -> Result<Vec<AcceptedRecord>, Stop> {
    let journal: Arc<dyn EventJournal> = world.log.clone();
    let mut reader = finish(PartitionReader::open(journal, at.clone(), Frontier::START))??;
    let mut records = Vec::new();
    loop {
        let batch = finish(reader.next_batch())??;
        records.extend(batch.records);
        if batch.caught_up {
            return Ok(records);
        }
    }
}

fn journal(world: &World) -> Result<Journal, Stop> {
    let decode = |error: acurast_events::wire::WireError| Stop::Defect(error.to_string());
    let (jobs, lanes) = (read(world, &at(Topic::Jobs))?, read(world, &at(Topic::Lanes))?);
    let (mut job_events, mut lane_events) = (Vec::new(), Vec::new());
    for record in &jobs {
        job_events.extend(record.record.decode_events::<JobsEvent>().map_err(decode)?);
    }
    for record in &lanes {
        lane_events.extend(record.record.decode_events::<LanesEvent>().map_err(decode)?);
    }
    Ok(Journal { jobs, job_events, lanes, lane_events })
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
    let mut lane = Lane::new(world.settings.identity.clone());
    let mut partition = Partition::new(0, NonZeroU32::MIN);
    let folds: [(&mut dyn Fold, &[AcceptedRecord], &crate::store::MemoryStore); 2] = [
        (&mut lane, &journal.lanes, &process.dispatch.owned.store),
        (&mut partition, &journal.jobs, &process.settle.owned.store),
    ];
    for (fold, records, store) in folds {
        let partition = store.partition().to_string();
        match refold(fold, records) {
            Ok(rows) => {
                let (live, replayed) = (digest(store.rows()).to_string(), digest(&rows).to_string());
                if live != replayed {
                    found.push(Violation::Digest { partition: partition.clone(), live, replayed });
                }
            }
            Err(reason) => found.push(Violation::Journal(format!("{partition} does not fold: {reason}"))),
        }
        if records.last().map(AcceptedRecord::frontier).is_some_and(|last| last != store.frontier()) {
            found.push(Violation::Journal(format!("{partition}: the fold is not at the log's end")));
        }
        if store.answered_count() > ANSWERED_MAX {
            found.push(Violation::Memory(format!("{partition}: {} answered inputs are remembered", store.answered_count())));
        }
    }
    let status = process.dispatch.lane.status();
    if !world.foul && (!status.open_slots.is_empty() || status.fulfillments_open > 0 || status.roots_open > 0) {
        found.push(Violation::Memory(format!("the idle lane holds {status:?}")));
    }
    if process.dispatch.running() > 0 {
        found.push(Violation::Memory(format!("{} actions run for nothing", process.dispatch.running())));
    }
}

fn refold(fold: &mut dyn Fold, records: &[AcceptedRecord]) -> Result<Rows, String> {
    let mut rows = Rows::new();
    for record in records.iter().filter(|record| !record.record.subject.0.is_empty()) {
        fold.fold(record)?;
    }
    change(&mut rows, fold.rows()?);
    Ok(rows)
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
    let events = journal(world).map_or(0, |journal| journal.job_events.len() + journal.lane_events.len());
    Outcome {
        violations: Vec::new(),
        boundaries: world.env.boundaries.passed(),
        crashes: world.crashes,
        faults: world.env.met.total(),
        jobs: world.script.jobs.len() as u64,
        events: events as u64,
        delivered: world.env.chain.contract().deliveries.len() as u64,
        sent: world.env.chain.broadcasts,
        ended: world.ended,
    }
}

/// The genesis that ids of jobs are made with.
pub(crate) const JOBS_GENESIS: acurast_events::bytes::Genesis = GENESIS;
