//! Many scenarios: seeds one after the other, each first without a crash to count its boundaries, then with one at each.
//!
//! Scenarios of one seed share what comes before their crash ([`crate::branches`]); one of each seed, and each that breaks a
//! promise, is run again from its beginning, and has to end alike.
//!
//! Workers take disjoint seeds and share nothing; each simulation is single-threaded. So the order in which scenarios run
//! never matters, and each can be repeated alone by (seed, crash).

use crate::branches::{Trunk, guarded};
use crate::mutant::Mutant;
use crate::probe;
use crate::random::Random;
use crate::scenario::{Outcome, Scenario, run};
use crate::violation::Violation;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Failing scenarios kept; more say nothing new.
const FAILURES_MAX: usize = 20;
/// Least jobs of a scenario.
const JOBS_MIN: u64 = 5;

/// How much is run.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first seed.
    pub seed: u64,
    /// At least so many scenarios.
    pub scenarios: u64,
    /// And on until so much time is over.
    pub time: Duration,
    /// How many workers.
    pub workers: u64,
}

/// A scenario that broke a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Which.
    pub scenario: Scenario,
    /// What it broke, in words.
    pub violations: Vec<String>,
}

/// What came of all of them.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Scenarios: a seed of at least five jobs, at least one fault, and one crash that happened.
    pub scenarios: u64,
    /// Those that broke a promise.
    pub violations: u64,
    /// Seeds.
    pub seeds: u64,
    /// Runs in all, those that count boundaries included.
    pub runs: u64,
    /// Scenarios that were run again from their beginning, for comparison.
    pub compared: u64,
    /// Events of the jobs and lanes partitions, over all scenarios.
    pub events: u64,
    /// Outputs delivered.
    pub delivered: u64,
    /// Transactions sent.
    pub sent: u64,
    /// Faults besides the crash.
    pub faults: u64,
    /// Times that a process ended.
    pub ended: u64,
    /// Runs that are no scenario: too few jobs or faults, or a crash point that wasn't reached.
    pub void: u64,
    /// The first that failed.
    pub failures: Vec<Failure>,
}

impl Tally {
    fn add(&mut self, scenario: Scenario, outcome: &Outcome) {
        self.runs += 1;
        if !outcome.violations.is_empty() {
            self.violations += 1;
            if self.failures.len() < FAILURES_MAX {
                let violations = outcome.violations.iter().map(ToString::to_string).collect();
                self.failures.push(Failure { scenario, violations });
            }
        }
        if scenario.crash.is_none() {
            return;
        }
        if outcome.crashes == 0 || outcome.jobs < JOBS_MIN || outcome.faults == 0 {
            self.void += 1;
            return;
        }
        self.scenarios += 1;
        self.events += outcome.events;
        self.delivered += outcome.delivered;
        self.sent += outcome.sent;
        self.faults += outcome.faults;
        self.ended += outcome.ended;
    }

    fn merge(&mut self, other: Self) {
        self.scenarios += other.scenarios;
        self.violations += other.violations;
        self.seeds += other.seeds;
        self.runs += other.runs;
        self.compared += other.compared;
        self.events += other.events;
        self.delivered += other.delivered;
        self.sent += other.sent;
        self.faults += other.faults;
        self.ended += other.ended;
        self.void += other.void;
        self.failures.extend(other.failures);
    }
}

impl Campaign {
    /// Runs it; `progress` hears of scenarios done now and then.
    pub fn run(&self, progress: &(dyn Fn(u64) + Sync)) -> Tally {
        let begun = Instant::now();
        let (next, done, stop) = (AtomicU64::new(self.seed), AtomicU64::new(0), AtomicBool::new(false));
        let work = || {
            let mut tally = Tally::default();
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                let before = tally.scenarios;
                one_seed(seed, &mut tally);
                let all = done.fetch_add(tally.scenarios - before, Ordering::Relaxed) + tally.scenarios - before;
                progress(all);
                if (all >= self.scenarios && begun.elapsed() >= self.time) || tally.failures.len() >= FAILURES_MAX {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            tally
        };
        let mut sum = Tally::default();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.workers.max(1)).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                match worker.join() {
                    Ok(tally) => sum.merge(tally),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        sum.failures.sort_by_key(|failure| (failure.scenario.seed, failure.scenario.crash));
        sum.failures.truncate(FAILURES_MAX);
        sum
    }
}

/// All crash points of a seed, each once.
fn one_seed(seed: u64, tally: &mut Tally) {
    let trunk = Trunk::run(seed, None);
    tally.seeds += 1;
    tally.add(Scenario { seed, crash: None }, &trunk.outcome);
    if !trunk.outcome.violations.is_empty() {
        return;
    }
    let compared = Random::new(seed, "compared").below(trunk.outcome.boundaries);
    let crashed = trunk.crashes(&mut |scenario, mut outcome| {
        if scenario.crash == Some(compared) || !outcome.violations.is_empty() {
            tally.compared += 1;
            compare(scenario, &mut outcome);
        }
        tally.add(scenario, &outcome);
        if tally.failures.len() < FAILURES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    if let Err(stop) = crashed {
        let outcome = Outcome { violations: vec![Violation::Defect(stop.to_string())], ..Outcome::default() };
        tally.add(Scenario { seed, crash: None }, &outcome);
    }
}

/// What a fork gave is what the scenario gives from its beginning, as its command runs it.
fn compare(scenario: Scenario, outcome: &mut Outcome) {
    let whole = guarded(|| Ok(run(scenario, None, false)));
    if whole != *outcome {
        outcome.violations.push(Violation::Unrepeated(format!("{whole:?}")));
    }
}

/// What notices a bug: a named probe, or the first of `seeds` seeds whose run without a crash does; and what it notices.
pub fn catch(mutant: Mutant, seeds: RangeInclusive<u64>) -> Option<(String, Violation)> {
    if let Some((name, violation)) = probe::noticed(Some(mutant)) {
        return Some((format!("\"{name}\""), violation));
    }
    seeds.into_iter().find_map(|seed| {
        let outcome = guarded(|| Ok(run(Scenario { seed, crash: None }, Some(mutant), false)));
        outcome.violations.into_iter().next().map(|violation| (format!("seed {seed}"), violation))
    })
}
