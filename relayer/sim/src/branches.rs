//! All crash points of a seed, sharing what comes before the crash.
//!
//! ```text
//! no crash  ──┬──────┬───┬────────▶ end
//!             │      │   └─ crash 2 ─▶ end
//!             │      └─ crash 1 ─▶ end
//!             └─ crash 0 ─▶ end
//! ```
//!
//! A scenario is the same run as the one without a crash until its boundary is passed. So that run is made once more, a
//! [`Fork`](crate::scenario::Fork) is taken before each step in which it passes boundaries, and each of these is crashed at
//! from there. Half of the work is saved, and every outcome is the one of [`run`](crate::scenario::run).

use crate::mutant::Mutant;
use crate::owned::Stop;
use crate::scenario::{Course, Outcome, Scenario};
use crate::violation::Violation;
use crate::world::Making;
use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A seed's run without a crash.
pub struct Trunk {
    making: Making,
    /// Boundaries passed after each step.
    marks: Vec<u64>,
    /// What came of it.
    pub outcome: Outcome,
}

impl Trunk {
    /// Runs a seed without a crash.
    pub fn run(seed: u64, mutant: Option<Mutant>) -> Self {
        let making = Making { seed, mutant, ..Making::default() };
        let mut marks = Vec::new();
        let outcome = guarded(|| {
            let mut course = Course::begin(making)?;
            while course.step() {
                marks.push(course.passed());
            }
            marks.push(course.passed());
            Ok(course.end())
        });
        Self { making, marks, outcome }
    }

    /// Crashes at every boundary, each in a scenario of its own, and hands over what came of each, until it is told to stop.
    ///
    /// # Errors
    /// When the run can't even begin: a defect of the simulator.
    pub fn crashes(&self, each: &mut dyn FnMut(Scenario, Outcome) -> ControlFlow<()>) -> Result<(), Stop> {
        let mut course = Course::begin(self.making)?;
        let mut passed = 0;
        for mark in &self.marks {
            if *mark > passed {
                let fork = course.fork();
                for boundary in passed..*mark {
                    let outcome = guarded(|| Ok(fork.crashing(boundary).end()));
                    let scenario = Scenario { seed: self.making.seed, crash: Some(boundary) };
                    if each(scenario, outcome).is_break() {
                        return Ok(());
                    }
                }
                course = fork.course();
                passed = *mark;
            }
            course.step();
        }
        Ok(())
    }
}

/// An outcome also of what panics, so that the report names the scenario.
pub fn guarded(run: impl FnOnce() -> Result<Outcome, Stop>) -> Outcome {
    let defect = |reason: String| Outcome { violations: vec![Violation::Defect(reason)], ..Outcome::default() };
    // Nothing of a world that panicked is looked at again: the next one comes from its beginning or from a fork.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(stop)) => defect(stop.to_string()),
        Err(panic) => defect(format!("panicked: {}", words(&*panic))),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
