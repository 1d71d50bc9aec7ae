//! One scenario: a world from a seed, its storm, at most one enumerated crash, the calm after it, and the checks.
//!
//! It runs in steps, so that all scenarios of a seed can share what comes before their crash: up to it they are one run.

use crate::check;
use crate::mutant::Mutant;
use crate::owned::Stop;
use crate::random::Random;
use crate::violation::Violation;
use crate::weather::{Plan, STORM_TICKS, blow, plan};
use crate::world::{Making, Moment, World};
use acurast_events::bytes::{RecordHash, SettlementId};
use std::sync::Arc;

/// Ticks within which a calm world has to come to its end; a stride counts as one.
const CALM_TICKS_MAX: usize = 700;

/// Orderly stops that may fail: the one that the crash is in.
const STOPS_MAX: usize = 3;

/// Which scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// The boundary of the crash, counted from 0; none: nothing crashes that the seed's own plan doesn't kill.
    pub crash: Option<u64>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// Boundaries passed.
    pub boundaries: u64,
    /// Enumerated crashes that happened.
    pub crashes: u64,
    /// Faults met, the crash not counted.
    pub faults: u64,
    /// Jobs.
    pub jobs: u64,
    /// Events in the jobs and lanes partitions.
    pub events: u64,
    /// Outputs that were delivered.
    pub delivered: u64,
    /// Transactions sent.
    pub sent: u64,
    /// Times that a process ended, crashes included.
    pub ended: u64,
    /// The last records of the jobs and lanes partitions that the process applied: each binds all before it.
    pub heads: Option<(RecordHash, RecordHash)>,
}

/// Runs a scenario to its end and checks it.
pub fn run(scenario: Scenario, mutant: Option<Mutant>, trace: bool) -> Outcome {
    let making = Making { seed: scenario.seed, crash: scenario.crash, mutant, trace };
    match Course::begin(making) {
        Ok(course) => course.end(),
        Err(stop) => Outcome { violations: vec![Violation::Defect(stop.to_string())], ..Outcome::default() },
    }
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In this tick of the storm.
    Storm(u64),
    /// In the calm, after so many orderly stops that failed and so many ticks since.
    Calm { stops: usize, ticks: usize },
    /// At its end; idle, or not.
    Over { idle: bool },
}

/// A scenario on its way.
pub struct Course {
    world: World,
    plan: Arc<Plan>,
    stage: Stage,
}

/// A scenario at one moment, from which it can go on again and again.
pub struct Fork {
    moment: Moment,
    plan: Arc<Plan>,
    stage: Stage,
}

impl Course {
    /// A scenario at its beginning.
    ///
    /// # Errors
    /// When its world can't even begin: a defect of the simulator.
    pub fn begin(making: Making) -> Result<Self, Stop> {
        let mut world = World::random(making)?;
        let items: Vec<SettlementId> = world.script.jobs.iter().filter_map(|job| job.settlement(0)).collect();
        let mut random = Random::new(making.seed, "weather");
        world.settings.caps.remote_signer = random.chance(300);
        let plan = Arc::new(plan(&mut random, &items));
        Ok(Self { world, plan, stage: Stage::Storm(0) })
    }

    /// Goes on by a tick, or a stride. False: it is at its end.
    pub fn step(&mut self) -> bool {
        self.stage = match self.stage {
            Stage::Storm(tick) => {
                for gust in self.plan.get(&tick).into_iter().flatten() {
                    blow(&mut self.world, gust);
                }
                self.world.tick();
                let next = tick + 1;
                // A defect ends a run: what follows from it says nothing more.
                if next < STORM_TICKS && self.world.env.violations.is_empty() { Stage::Storm(next) } else { calm(&mut self.world) }
            }
            Stage::Calm { stops, ticks } => settle(&mut self.world, stops, ticks),
            Stage::Over { idle } => Stage::Over { idle },
        };
        !matches!(self.stage, Stage::Over { .. })
    }

    /// Boundaries passed so far.
    pub fn passed(&self) -> u64 {
        self.world.env.boundaries.passed()
    }

    /// Runs it to its end, and checks it.
    pub fn end(mut self) -> Outcome {
        while self.step() {}
        judge(&mut self.world, self.stage)
    }

    /// The scenario as it stands.
    pub fn fork(&mut self) -> Fork {
        self.world.read_for_the_judge();
        Fork { moment: self.world.moment(), plan: self.plan.clone(), stage: self.stage }
    }
}

impl Fork {
    /// The scenario as it stood. Every other course of its seed is over with it.
    pub fn course(&self) -> Course {
        Course { world: self.moment.world(), plan: self.plan.clone(), stage: self.stage }
    }

    /// The scenario as it stood, that crashes at a boundary which it didn't pass yet.
    pub fn crashing(&self, boundary: u64) -> Course {
        let course = self.course();
        course.world.env.boundaries.crash_at(boundary);
        course
    }
}

/// Lets a world come to its end, and checks it.
pub fn finish(world: &mut World) -> Outcome {
    let mut stage = calm(world);
    while let Stage::Calm { stops, ticks } = stage {
        stage = settle(world, stops, ticks);
    }
    judge(world, stage)
}

fn calm(world: &mut World) -> Stage {
    world.env.tell(|| "CALM".into());
    world.calm();
    Stage::Calm { stops: 0, ticks: 0 }
}

/// A tick or stride of the calm; once nothing is left to do, an orderly stop.
fn settle(world: &mut World, stops: usize, ticks: usize) -> Stage {
    if (ticks == 0 && !world.env.violations.is_empty()) || ticks >= CALM_TICKS_MAX {
        return Stage::Over { idle: false };
    }
    if !world.settle() {
        return Stage::Calm { stops, ticks: ticks + 1 };
    }
    if world.stop().is_ok() {
        return Stage::Over { idle: true };
    }
    // The enumerated crash may be in the orderly stop itself: then it starts again, and stops again.
    if stops + 1 < STOPS_MAX { Stage::Calm { stops: stops + 1, ticks: 0 } } else { Stage::Over { idle: false } }
}

fn judge(world: &mut World, stage: Stage) -> Outcome {
    if world.env.violations.is_empty() {
        if stage == (Stage::Over { idle: true }) {
            check::check(world);
        } else {
            let open = check::open(world);
            world.env.blame(Violation::Stuck(open));
        }
    }
    let mut outcome = check::figures(world);
    outcome.violations = std::mem::take(&mut world.env.violations);
    outcome
}
