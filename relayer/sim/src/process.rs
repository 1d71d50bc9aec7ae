//! A process of the relayer, settle and dispatch, and the machine that it runs on: what is gone with the process, and what stays.

use crate::assignments::{GENESIS, acurast};
use crate::boundary::Boundaries;
use crate::chain::chain_id;
use crate::clock::MachineClock;
use crate::dispatch::Dispatch;
use crate::env::Env;
use crate::journal::{ProcessJournal, finish};
use crate::mutant::Mutant;
use crate::owned::{Means, Owned, Stop};
use crate::random::Random;
use crate::settle::{LaneFollower, Publisher, Settle, SourceFollower};
use crate::store::MemoryStore;
use acurast_adapter_api::Capabilities;
use acurast_events::bytes::WriterId;
use acurast_events::caip::ChainId;
use acurast_events::lanes::LaneOpened;
use acurast_events::topics::{DEFAULT_PREFIX, Topic, TopicPartition};
use acurast_relayer_core::{Partition, Policy};
use acurast_relayer_journal::{EventJournal, InputReader, PartitionReader, SealedBlocks, SimulatedJournal};
use acurast_relayer_lane::{Lane, LanePolicy};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// How long after reading back a record of its own a process may send.
const LEASE: Duration = Duration::from_millis(5_000);
/// Most turns at one moment; more means that the loops wake each other for ever.
const TURNS_MAX: usize = 200;

/// The one partition of a topic.
pub fn at(topic: Topic) -> TopicPartition {
    topic.name(DEFAULT_PREFIX).partition(0)
}

/// What the operator configured; the same on every machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of settle.
    pub policy: Policy,
    /// Of the lane.
    pub lane_policy: LanePolicy,
    /// The chain's limits.
    pub caps: Capabilities,
    /// The lane.
    pub identity: LaneOpened,
}

/// What survives a process: its database and its clock.
#[derive(Clone)]
pub struct Machine {
    /// The fold of the jobs partition.
    pub jobs: MemoryStore,
    /// The fold of the lane's.
    pub lane: MemoryStore,
    /// Its clocks.
    pub clock: Arc<MachineClock>,
    /// The folds as they were when they were last synced: a loss of power goes back to them.
    pub synced: (MemoryStore, MemoryStore),
}

impl Machine {
    /// A machine without data.
    pub fn new(clock: Arc<MachineClock>) -> Self {
        let (jobs, lane) = (MemoryStore::new(at(Topic::Jobs)), MemoryStore::new(at(Topic::Lanes)));
        Self { synced: (jobs.clone(), lane.clone()), jobs, lane, clock }
    }

    /// Takes the folds of a process that is gone.
    pub fn keep(&mut self, process: Process) {
        self.jobs = process.settle.owned.store;
        self.lane = process.dispatch.owned.store;
    }

    /// The last unsynced commits are gone.
    pub fn lose_power(&mut self) {
        (self.jobs, self.lane) = self.synced.clone();
    }

    /// The database is gone: everything is folded from the journal.
    pub fn lose_disk(&mut self) {
        (self.jobs, self.lane) = (MemoryStore::new(at(Topic::Jobs)), MemoryStore::new(at(Topic::Lanes)));
    }
}

/// What a process starts with.
pub struct Start<'a> {
    /// The configuration.
    pub settings: &'a Settings,
    /// The log.
    pub log: Arc<SimulatedJournal>,
    /// The crash points.
    pub boundaries: Arc<Boundaries>,
    /// Counts processes.
    pub number: u64,
    /// What is wrong with it, on purpose.
    pub mutant: Option<Mutant>,
    /// Its own draws.
    pub random: Random,
    /// What a process that was lost still held in memory, which only a bug goes on with.
    pub memory: Option<Memory>,
}

/// The cores of a process.
#[derive(Clone)]
pub struct Memory {
    /// The lane.
    pub lane: Lane,
    /// The jobs partition.
    pub partition: Partition,
}

/// A process of the relayer.
#[derive(Clone)]
pub struct Process {
    /// Settle.
    pub settle: Settle,
    /// Dispatch.
    pub dispatch: Dispatch,
}

impl Process {
    /// Opens, takes both partitions over, and catches up with what was not published.
    ///
    /// # Errors
    /// Why it ended already.
    pub fn start(mut start: Start<'_>, machine: &mut Machine) -> Result<Self, Stop> {
        let journal: Arc<dyn EventJournal> = Arc::new(ProcessJournal::new(start.log.clone(), start.boundaries.clone()));
        let means = Means {
            journal: journal.clone(),
            boundaries: start.boundaries.clone(),
            clock: machine.clock.clone(),
            lease: LEASE,
            mutant: start.mutant,
            log: start.log.clone(),
        };
        let dispatch = Self::dispatch(&mut start, &means, machine)?;
        let settle = Self::settle(&mut start, means, machine)?;
        Ok(Self { settle, dispatch })
    }

    fn dispatch(start: &mut Start<'_>, means: &Means, machine: &mut Machine) -> Result<Dispatch, Stop> {
        let settings = start.settings;
        let rows = machine.lane.rows();
        let rows = rows.iter().map(|((table, key), value)| (*table, &key[..], &value[..]));
        let mut lane = Lane::load(settings.identity.clone(), rows).map_err(|error| Stop::Defect(error.to_string()))?;
        let writer = writer_id(&mut start.random);
        let owned = match &start.memory {
            None => Owned::take_over(means.clone(), &mut machine.lane, writer, &mut lane)?,
            Some(memory) => {
                lane = memory.lane.clone();
                Owned::take_over(means.clone(), &mut machine.lane, writer, &mut lane)?
            }
        };
        let jobs_at = at(Topic::Jobs);
        let jobs = open(&means.journal, &owned, jobs_at.clone())?;
        let next = owned.input_next(&jobs_at);
        let random = Random::new(start.random.draw(), "dispatch");
        let mut policy = settings.lane_policy.clone();
        if start.mutant == Some(Mutant::LadderWithoutCap) {
            let unbounded = acurast_events::amount::Amount(u128::MAX);
            (policy.fee.max_fee_cap, policy.fee.priority_cap, policy.fee.estimate_permille_max) = (unbounded, unbounded, u32::MAX);
        }
        Ok(Dispatch::new(lane, policy, settings.caps.clone(), owned, jobs, next, random))
    }

    fn settle(start: &mut Start<'_>, means: Means, machine: &mut Machine) -> Result<Settle, Stop> {
        let rows = machine.jobs.rows().iter().map(|((table, key), value)| (*table, key.clone(), value.clone()));
        let mut partition = Partition::load(0, NonZeroU32::MIN, rows).map_err(|error| Stop::Defect(error.to_string()))?;
        if let Some(memory) = start.memory.take() {
            partition = memory.partition;
        }
        let journal = means.journal.clone();
        let mut owned = Owned::take_over(means, &mut machine.jobs, writer_id(&mut start.random), &mut partition)?;
        let mut sources = Vec::new();
        for chain in [acurast(), chain_id()] {
            sources.push(source(&journal, &owned, chain)?);
        }
        let lane_at = at(Topic::Lanes);
        let lane = LaneFollower {
            lane: start.settings.identity.lane.clone(),
            reader: open(&journal, &owned, lane_at.clone())?,
            next: owned.input_next(&lane_at),
        };
        let outputs_at = at(Topic::Outputs);
        let next = owned.input_next(&outputs_at);
        let outputs = finish(InputReader::open(journal.clone(), outputs_at, next))?.map_err(|error| Stop::Lost(error.to_string()))?;
        let publisher = Publisher { journal, genesis: GENESIS, at: at(Topic::Jobs), process: start.number };
        if !owned.is_published() {
            // Only after a crash between a record and its publication.
            publisher.catch_up(&mut owned)?;
        }
        owned.derives();
        let policy = start.settings.policy.clone();
        Ok(Settle { partition, policy, owned, sources, lane, outputs, publisher })
    }

    /// Works until there is nothing to do at this moment. `hold`: what dispatch starts in its last turn is not run.
    ///
    /// # Errors
    /// Why it ended.
    pub fn work(&mut self, env: &mut Env, hold: bool) -> Result<(), Stop> {
        for _ in 0..TURNS_MAX {
            let mut worked = self.settle.cycle(env)?;
            worked |= self.dispatch.turn(env, hold)?;
            if !worked || hold {
                return Ok(());
            }
        }
        Err(Stop::Defect("the loops wake each other for ever".into()))
    }

    /// An orderly stop.
    ///
    /// # Errors
    /// Why it ended before.
    pub fn stop(&mut self) -> Result<(), Stop> {
        self.dispatch.stop()?;
        self.settle.stop()
    }

    /// What it holds in memory.
    pub fn memory(self) -> Memory {
        Memory { lane: self.dispatch.lane, partition: self.settle.partition }
    }
}

fn writer_id(random: &mut Random) -> WriterId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random.draw().to_be_bytes());
    id[8..].copy_from_slice(&random.draw().to_be_bytes());
    WriterId(id)
}

fn open(journal: &Arc<dyn EventJournal>, owned: &Owned, at: TopicPartition) -> Result<PartitionReader, Stop> {
    let frontier = owned.store.input_frontier(&at);
    Ok(finish(PartitionReader::open(journal.clone(), at, frontier))??)
}

fn source(journal: &Arc<dyn EventJournal>, owned: &Owned, chain: ChainId) -> Result<SourceFollower, Stop> {
    let at = at(Topic::Source(chain.clone()));
    let next = owned.input_next(&at);
    let reader = open(journal, owned, at.clone())?;
    let blocks = SealedBlocks::new(at, reader.frontier());
    Ok(SourceFollower { chain, reader, blocks, next })
}
