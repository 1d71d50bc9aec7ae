//! A world: one relayer (or two), one Acurast, one destination, one journal, and a clock that moves when it is told to.
//!
//! ```text
//! tick: what happens outside ─ blocks ─ facts into the source topics ─ processes work until idle ─ time moves on
//! ```
//!
//! Everything follows from the seed and the crash point: there is no thread, no wall clock, and no order that isn't chosen here.

mod moment;
mod processes;

pub use moment::Moment;

use crate::assignments::{self, Assignments, GENESIS, acurast};
use crate::boundary::Boundaries;
use crate::chain::{Chain, GWEI, Node, chain_id, contract::NOOP_GAS};
use crate::check::audit::Audit;
use crate::clock::{MachineClock, WorldClock};
use crate::env::{Auditor, Env, Met, Trouble};
use crate::ingest::Ingest;
use crate::journal::finish;
use crate::mutant::Mutant;
use crate::owned::Stop;
use crate::process::{Machine, Memory, Process, Settings, at};
use crate::random::Random;
use crate::script::{Happening, Script};
use crate::violation::Violation;
use acurast_adapter_api::Capabilities;
use acurast_events::amount::Amount;
use acurast_events::bytes::BlockHash;
use acurast_events::ids::{fulfillment_settlement_id, sha256};
use acurast_events::jobs::{BlockRef, JobsEvent};
use acurast_events::lanes::LanesEvent;
use acurast_events::outputs::{Output, OutputSubmitted};
use acurast_events::source::SourceEvent;
use acurast_events::topics::{DEFAULT_PREFIX, Topic};
use acurast_events::units::{BlockNumber, Execution, Gas, Millis, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_journal::{Attributes, EventJournal, FaultRates, NewRecord, SimulatedJournal};
use acurast_relayer_lane::{FeePolicy, LanePolicy};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

/// When worlds begin, ms since the Unix epoch.
pub const BEGIN: u64 = 1_000_000_000;
/// A tick, ms: one block of the destination.
pub const TICK: u64 = 1_000;
/// Between two blocks of Acurast, ms.
const ACURAST_BLOCK: u64 = 6_000;
/// Strides of a world in which an operator would have to act, ms.
const FOUL_STRIDE: u64 = 5_000;
/// A quiet destination's seals are this many blocks apart.
const QUIET_SEALS: usize = 16;
/// Attempts of the API to hand an output to the journal.
const SUBMITS_MAX: usize = 64;
/// A process that was lost starts again after this time, ms.
const RESTART: u64 = 1_000;
/// A process that was stopped by force and lost its term meanwhile stands down within this time of its waking, ms.
const STAND_DOWN: u64 = 30_000;

/// A process that was stopped like by SIGSTOP.
#[derive(Clone)]
struct Frozen {
    process: Process,
    machine: usize,
    wakes: u64,
}

/// A process that woke up again beside its successor.
#[derive(Clone)]
struct Woken {
    process: Process,
    machine: usize,
    since: u64,
}

/// A world. Its copies share clocks, crash points and log: only a [`Moment`] brings one to life again.
#[derive(Clone)]
pub struct World {
    /// All but the processes.
    pub env: Env,
    /// What happens outside.
    pub script: Script,
    /// The configuration.
    pub settings: Settings,
    /// The log.
    pub log: Arc<SimulatedJournal>,
    /// The process that runs, if one does.
    pub process: Option<Process>,
    /// How often a process ended, for whatever reason.
    pub ended: u64,
    /// Events in the jobs and lanes partitions, once they were counted.
    pub events: u64,
    /// How often it crashed where it was told to.
    pub crashes: u64,
    /// The lane's key was used by somebody else, or finality broke: an operator has to act.
    pub foul: bool,
    /// Items that somebody else delivered while a transaction of ours may have carried them.
    pub foreign_deliveries: u64,
    /// What the judge read of the journal so far.
    pub(crate) audit: Audit,
    machines: Vec<Machine>,
    machine: usize,
    frozen: Option<Frozen>,
    woken: Option<Woken>,
    start_at: u64,
    memory: Option<Memory>,
    acurast: Ingest,
    destination: Ingest,
    acurast_facts: Vec<SourceEvent>,
    acurast_number: u64,
    acurast_at: u64,
    destination_next: usize,
    random: Random,
    started: u64,
}

/// The lane's choices in worlds: as in production, but quick.
pub fn lane_policy() -> LanePolicy {
    LanePolicy {
        root_leaves_max: 8,
        root_age_max: Millis(2_000),
        batch_items_max: 4,
        batch_age_max: Millis(500),
        expiry_margin: Millis(3_000),
        backoff_min: Millis(500),
        backoff_max: Millis(4_000),
        quiet_view_every: Millis(2_000),
        fee: FeePolicy {
            bump_after: Millis(5_000),
            rebroadcast_after: Millis(3_000),
            max_fee_cap: Amount(300 * GWEI),
            priority_cap: Amount(50 * GWEI),
            ..FeePolicy::default()
        },
        ..LanePolicy::default()
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        slots_in_flight_max: 4,
        transaction_gas_max: Gas(10_000_000),
        transaction_bytes_max: 100_000,
        items_max: 16,
        attempt_ttl: None,
        block_time: Millis(TICK),
        replacement_permille_min: 1_125,
        noop_gas: Gas(NOOP_GAS),
        remote_signer: false,
        attesters_needed: 1,
        attesters: 1,
    }
}

/// How a world is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Making {
    /// From which seed.
    pub seed: u64,
    /// The boundary at which the process crashes.
    pub crash: Option<u64>,
    /// What is wrong with the relayer, on purpose.
    pub mutant: Option<Mutant>,
    /// Whether to tell what happens.
    pub trace: bool,
}

impl World {
    /// A world with a script from its seed.
    ///
    /// # Errors
    /// When it can't even begin: a defect of the simulator.
    pub fn random(making: Making) -> Result<Self, Stop> {
        let mut assignments = Assignments::default();
        let script = Script::random(&mut Random::new(making.seed, "script"), &mut assignments, BEGIN);
        Self::new(making, script, assignments)
    }

    /// A world in which `jobs` jobs of `executions` executions were acknowledged, which start in ten seconds.
    ///
    /// # Errors
    /// When it can't even begin: a defect of the simulator.
    pub fn plain(making: Making, jobs: u8, executions: u64) -> Result<Self, Stop> {
        let script = Script::plain(jobs, executions, BEGIN, BEGIN + 10_000, 600_000, 200 * GWEI);
        Self::new(making, script, Assignments::default())
    }

    /// A world with this script.
    ///
    /// # Errors
    /// When it can't even begin: a defect of the simulator.
    pub fn new(making: Making, script: Script, assignments: Assignments) -> Result<Self, Stop> {
        let Making { seed, crash, mutant, trace } = making;
        let defect = |what: &str| Stop::Defect(what.to_owned());
        let lane = assignments::lane_id().ok_or_else(|| defect("the lane has no id"))?;
        let asset = assignments::asset().ok_or_else(|| defect("the asset has no id"))?;
        let clock = Arc::new(WorldClock::new(BEGIN));
        let log = Arc::new(SimulatedJournal::new(seed, FaultRates::default()).without_attributes());
        for topic in [
            Topic::Source(acurast()),
            Topic::Source(chain_id()),
            Topic::Jobs,
            Topic::Lanes,
            Topic::Outputs,
            Topic::Receipts,
            Topic::Reputation,
            Topic::DeadLetters,
        ] {
            finish(log.create(&topic.name(DEFAULT_PREFIX), NonZeroU32::MIN))?.map_err(|error| Stop::Defect(error.to_string()))?;
        }
        let ingest = |chain: acurast_events::caip::ChainId, genesis, stream| {
            let machine = Arc::new(MachineClock::new(clock.clone()));
            Ingest::new(chain.clone(), genesis, at(Topic::Source(chain)), log.clone(), machine, Random::new(seed, stream))
        };
        let settings = Settings {
            policy: assignments::policy(&lane, &asset, script.deadline),
            lane_policy: lane_policy(),
            caps: capabilities(),
            identity: assignments::identity(lane),
        };
        let destination_genesis = acurast_events::bytes::Genesis([3; 32]);
        let env = Env {
            chain: Chain::new(BEGIN),
            assignments,
            trouble: Trouble::default(),
            random: Random::new(seed, "trouble"),
            boundaries: Arc::new(Boundaries::new(crash)),
            auditor: Auditor::new(log.clone(), at(Topic::Lanes)),
            mutant,
            highest: acurast_events::units::Slot(0),
            not_found: BTreeSet::new(),
            violations: Vec::new(),
            met: Met::default(),
            trace,
            clock: clock.clone(),
        };
        let machine = || Machine::new(Arc::new(MachineClock::new(clock.clone())));
        Ok(Self {
            acurast: ingest(acurast(), GENESIS, "acurast"),
            destination: ingest(chain_id(), destination_genesis, "destination"),
            machines: vec![machine(), machine()],
            audit: Audit::new(settings.identity.clone()),
            env,
            script,
            settings,
            log,
            process: None,
            ended: 0,
            events: 0,
            crashes: 0,
            foul: false,
            foreign_deliveries: 0,
            machine: 0,
            frozen: None,
            woken: None,
            start_at: BEGIN,
            memory: None,
            acurast_facts: Vec::new(),
            acurast_number: 0,
            acurast_at: BEGIN,
            destination_next: 0,
            random: Random::new(seed, "world"),
            started: 0,
        })
    }

    /// The time.
    pub fn now(&self) -> u64 {
        self.env.clock.now()
    }

    /// A block later.
    pub fn tick(&mut self) {
        self.advance(TICK);
    }

    /// So many blocks later.
    pub fn ticks(&mut self, count: u64) {
        for _ in 0..count {
            self.tick();
        }
    }

    /// Time moves on by `ms`, and everybody works.
    pub fn advance(&mut self, ms: u64) {
        let now = self.now() + ms;
        self.env.clock.move_to(now);
        self.happen(now);
        self.env.chain.mine(now);
        self.tell_acurast(now);
        self.tell_destination();
        self.wake(now);
        if self.process.is_none() && self.start_at <= now {
            self.start();
        }
        self.work();
    }

    /// True: nothing is left to do. Else time moves on, by a stride where only time is waited for.
    pub fn settle(&mut self) -> bool {
        if self.is_idle() && self.script.next_at().is_none() {
            return true;
        }
        // A quarantined lane may hold what nobody mines any more, until its time is over.
        let stride = if self.foul { FOUL_STRIDE } else { self.stride() };
        self.advance(stride);
        false
    }

    /// Whether every job is closed, every intent over, and nothing under way.
    pub fn is_idle(&mut self) -> bool {
        let quiet = self.env.chain.is_quiet() && self.acurast_facts.is_empty() && self.frozen.is_none() && self.woken.is_none();
        let foul = self.foul;
        let Some(process) = self.process.as_mut().filter(|_| quiet) else { return false };
        let lane = foul || process.dispatch.next_wake().is_none();
        process.settle.partition.jobs().next().is_none() && lane && process.dispatch.running() == 0
    }

    /// How far time can move without anything happening meanwhile.
    fn stride(&mut self) -> u64 {
        let now = self.now();
        let busy = self.env.chain.pooled() > 0 || !self.env.chain.is_quiet() || self.frozen.is_some() || self.woken.is_some();
        let Some(process) = self.process.as_mut().filter(|_| !busy) else { return TICK };
        if process.dispatch.next_answer().is_some() || !process.dispatch.lane.status().open_slots.is_empty() {
            return TICK;
        }
        let lane = process.dispatch.next_wake().map(|wake| wake.0);
        let jobs = process.settle.partition.next_wake().map(|wake| wake.0);
        [lane, jobs, self.script.next_at()].into_iter().flatten().min().map_or(TICK, |next| next.saturating_sub(now).max(TICK))
    }

    // ------------------------------------------------------------------------------------ outside the relayer

    fn happen(&mut self, now: u64) {
        while let Some(happening) = self.script.next(now) {
            match happening {
                Happening::Acurast(fact) => self.acurast_facts.push(fact),
                Happening::Consumer(event) => self.env.chain.consume(event),
                Happening::Output(output) => self.submit(output),
            }
        }
    }

    /// The API hands an output to the journal until it is sure that it is there.
    pub fn submit(&mut self, output: Output) {
        let job = self.env.assignments.known.get(&output.assignment_id).and_then(|assigned| self.script.job(&assigned.job));
        let owner = job.map_or(1, |job| job.owner);
        let value = OutputSubmitted { owner: assignments::owner(owner), output, at: Timestamp(self.now()) }.encode();
        for _ in 0..SUBMITS_MAX {
            let record = NewRecord { key: Vec::new(), value: value.clone(), attributes: Attributes::default() };
            if let Ok(Ok(_)) = finish(self.log.append(&at(Topic::Outputs), vec![record])) {
                return;
            }
        }
        self.env.blame(Violation::Journal("an output could not be handed in".into()));
    }

    /// The first processor of a plain world's job hands in the output of an execution.
    pub fn hand_in(&mut self, job: usize, execution: u64) {
        let Some((id, slot)) = self.script.jobs.get(job).and_then(|job| {
            let slot = job.slots.first()?;
            Some((assignments::assignment(&job.id, job.owner, &slot.processor), slot.processor))
        }) else {
            return;
        };
        let payload = vec![job as u8, execution as u8];
        let output = self.env.assignments.sign(id, &slot, Execution(execution), payload);
        self.env.tell(|| format!("output {}", fulfillment_settlement_id(&id, Execution(execution))));
        self.submit(output);
    }

    fn tell_acurast(&mut self, now: u64) {
        if self.acurast_facts.is_empty() && now < self.acurast_at + ACURAST_BLOCK {
            return;
        }
        let facts = std::mem::take(&mut self.acurast_facts);
        for fact in &facts {
            if let SourceEvent::Acknowledged(fact) = fact
                && let (Some(job), Some(slot)) = (self.script.job(&fact.job), &fact.slot)
            {
                let (job, owner, registration) = (job.id.clone(), job.owner, job.registration.clone());
                self.env.assignments.acknowledge(&job, owner, &registration, slot, self.script.deadline);
            }
        }
        let hash = |number: u64| BlockHash(sha256(&[b"acurast", &number.to_be_bytes()]));
        let parent = hash(self.acurast_number);
        self.acurast_number += 1;
        self.acurast_at = now;
        let number = self.acurast_number;
        let block = BlockRef { chain: acurast(), number: BlockNumber(number), hash: hash(number), timestamp: Timestamp(now) };
        self.note_ingest(|world| world.acurast.write(&block, parent, &facts));
    }

    fn tell_destination(&mut self) {
        let from = self.destination_next;
        let due: Vec<(BlockRef, Vec<SourceEvent>)> =
            self.env.chain.final_facts(from).map(|(block, facts)| (block.clone(), facts.to_vec())).collect();
        for (offset, (block, facts)) in due.into_iter().enumerate() {
            let height = from + offset;
            self.destination_next = height + 1;
            if !facts.is_empty() || height.is_multiple_of(QUIET_SEALS) {
                let parent = self.env.chain.parent(height);
                self.note_ingest(|world| world.destination.write(&block, parent, &facts));
            }
        }
    }

    fn note_ingest(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Stop>) {
        if let Err(error) = write(self) {
            self.env.blame(Violation::Journal(error.to_string()));
        }
    }

    /// The ingest loops lose their process.
    pub fn crash_ingest(&mut self) {
        self.acurast.crash();
        self.destination.crash();
        self.env.met.machine += 1;
    }

    /// Everything works again, and the clocks are right.
    pub fn calm(&mut self) {
        let chain = &mut self.env.chain;
        (chain.base_fee, chain.lose_answers, chain.funds) = (8 * GWEI, 0, 10u128.pow(21));
        chain.customs = crate::chain::Customs::default();
        chain.poison.clear();
        chain.hidden_poison.clear();
        chain.reject.clear();
        self.env.trouble = Trouble::default();
        self.machines.iter().for_each(|machine| machine.clock.set_skew(0));
        self.log.set_rates(FaultRates::default());
        self.log.land();
    }

    /// Stops the process in order, so that everything that it knows is written.
    ///
    /// # Errors
    /// Why it ended before.
    pub fn stop(&mut self) -> Result<(), Stop> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        self.env.boundaries.reset();
        match process.stop() {
            Ok(()) => {
                self.process = Some(process);
                Ok(())
            }
            Err(stop) => {
                self.bury(process, &stop);
                Err(stop)
            }
        }
    }

    /// All events of the lane, read from the journal.
    pub fn lane_events(&self) -> Vec<LanesEvent> {
        self.audited().map(|audit| audit.lane_events().cloned().collect()).unwrap_or_default()
    }

    /// All events of the jobs partition, read from the journal.
    pub fn job_events(&self) -> Vec<JobsEvent> {
        self.audited().map(|audit| audit.job_events().cloned().collect()).unwrap_or_default()
    }

    fn audited(&self) -> Result<Audit, Stop> {
        let mut audit = self.audit.clone();
        audit.read_on(&self.log).map(|()| audit)
    }

    /// Reads the journal for the judge as far as it goes now. What is wrong with it is told at the end.
    pub(crate) fn read_for_the_judge(&mut self) {
        drop(self.audit.read_on(&self.log));
    }

    /// Which node answers beside the honest one.
    pub fn set_node(&mut self, node: Option<Node>, permille: u64) {
        (self.env.trouble.node, self.env.trouble.other_node) = (node, permille);
    }
}
