//! One scenario: a world from a seed, its storm, at most one enumerated crash, the calm after it, and the checks.

use crate::check;
use crate::mutant::Mutant;
use crate::owned::Stop;
use crate::random::Random;
use crate::violation::Violation;
use crate::weather::{STORM_TICKS, blow, plan};
use crate::world::{Making, World};
use acurast_events::bytes::SettlementId;

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
#[derive(Debug, Clone, Default)]
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
}

/// Runs a scenario to its end and checks it.
pub fn run(scenario: Scenario, mutant: Option<Mutant>, trace: bool) -> Outcome {
    let making = Making { seed: scenario.seed, crash: scenario.crash, mutant, trace };
    match World::random(making) {
        Ok(mut world) => storm(&mut world, scenario.seed),
        Err(stop) => Outcome { violations: vec![defect(&stop)], ..Outcome::default() },
    }
}

fn defect(stop: &Stop) -> Violation {
    Violation::Defect(stop.to_string())
}

fn storm(world: &mut World, seed: u64) -> Outcome {
    let items: Vec<SettlementId> = world.script.jobs.iter().filter_map(|job| job.settlement(0)).collect();
    let mut random = Random::new(seed, "weather");
    world.settings.caps.remote_signer = random.chance(300);
    let plan = plan(&mut random, &items);
    for tick in 0..STORM_TICKS {
        for gust in plan.get(&tick).into_iter().flatten() {
            blow(world, gust);
        }
        world.tick();
        // A defect ends a run: what follows from it says nothing more.
        if !world.env.violations.is_empty() {
            break;
        }
    }
    finish(world)
}

/// Lets a world come to its end, and checks it.
pub fn finish(world: &mut World) -> Outcome {
    world.env.tell(|| "CALM".into());
    world.calm();
    let mut idle = false;
    for _ in 0..STOPS_MAX {
        idle = world.env.violations.is_empty() && world.settle_down(CALM_TICKS_MAX);
        // The enumerated crash may be in the orderly stop itself: then it starts again, and stops again.
        if !idle || world.stop().is_ok() {
            break;
        }
        idle = false;
    }
    if world.env.violations.is_empty() {
        if idle {
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
