//! What must hold after every run. The chain is asked for effects and money; the journal is read again from its first byte by
//! a reader of its own, and folded anew. Nothing here looks at the shell's state but for the digest that it claims to have.

pub(crate) mod audit;
mod books;
mod effects;
mod receipts;

use crate::assignments::GENESIS;
use crate::owned::Owned;
use crate::scenario::Outcome;
use crate::store::{MemoryStore, Rows, digest};
use crate::violation::Violation;
use crate::world::World;
use acurast_relayer_journal::AcceptedRecord;
use audit::Audit;

/// Records whose answered inputs a fold may remember after an orderly stop.
const ANSWERED_MAX: usize = 64;

/// Checks a world that came to its end and was stopped in order.
pub fn check(world: &mut World) {
    let mut audit = std::mem::replace(&mut world.audit, Audit::new(world.settings.identity.clone()));
    if let Err(stop) = audit.read_on(&world.log) {
        world.env.blame(Violation::Journal(stop.to_string()));
        return;
    }
    world.events = (audit.job_events().count() + audit.lane_events().count()) as u64;
    let mut found = Vec::new();
    effects::check(world, &audit, &mut found);
    books::check(world, &audit, &mut found);
    receipts::check(world, &audit, &mut found);
    replay(world, &mut audit, &mut found);
    found.into_iter().for_each(|violation| world.env.blame(violation));
}

/// A replay from the first record gives the state that the process has, and that state is small.
fn replay(world: &World, audit: &mut Audit, found: &mut Vec<Violation>) {
    let Some(process) = &world.process else {
        found.push(Violation::NotTerminal("no process runs".into()));
        return;
    };
    let (lane, jobs) = (audit.lane_rows(), audit.jobs_rows());
    fold_equals(&process.dispatch.owned.store, lane, audit.lanes().last().map(|told| &told.record), found);
    fold_equals(&process.settle.owned.store, jobs, audit.jobs().last().map(|told| &told.record), found);
    let status = process.dispatch.lane.status();
    if !world.foul && (!status.open_slots.is_empty() || status.fulfillments_open > 0 || status.roots_open > 0) {
        found.push(Violation::Memory(format!("the idle lane holds {status:?}")));
    }
    if process.dispatch.running() > 0 {
        found.push(Violation::Memory(format!("{} actions run for nothing", process.dispatch.running())));
    }
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
        heads: world.process.as_ref().map(|process| {
            let head = |owned: &Owned| owned.store.frontier().hash;
            (head(&process.settle.owned), head(&process.dispatch.owned))
        }),
    }
}

/// The genesis that ids of jobs are made with.
pub(crate) const JOBS_GENESIS: acurast_events::bytes::Genesis = GENESIS;
