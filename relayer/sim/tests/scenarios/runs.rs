//! Random worlds: every crash point of some seeds, the same run twice, and bugs that must be noticed.

use acurast_relayer_sim::branches::Trunk;
use acurast_relayer_sim::campaign::{Campaign, catch};
use acurast_relayer_sim::mutant::Mutant;
use acurast_relayer_sim::probe;
use acurast_relayer_sim::scenario::{Scenario, run};
use std::ops::{ControlFlow, RangeInclusive};
use std::time::Duration;

/// Seeds within which a bug has to be noticed.
const MUTANT_SEEDS: RangeInclusive<u64> = 1..=300;

#[test]
fn a_crash_at_any_boundary_of_any_seed_loses_and_doubles_nothing() {
    let campaign = Campaign { seed: 1, scenarios: 600, time: Duration::ZERO, workers: 2 };
    let tally = campaign.run(&|_| {});
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    assert!(tally.scenarios >= 600 && tally.delivered > 5 * tally.scenarios && tally.faults > tally.scenarios, "{tally:?}");
    assert!(tally.compared >= tally.seeds, "{tally:?}");
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in 100..110 {
        for crash in [None, Some(77)] {
            let once = run(Scenario { seed, crash }, None, false);
            let again = run(Scenario { seed, crash }, None, false);
            assert_eq!(format!("{once:?}"), format!("{again:?}"));
        }
    }
}

#[test]
fn a_scenario_that_begins_at_a_fork_ends_as_it_does_from_its_beginning() {
    let calm = (200..208).map(|seed| (seed, None));
    let broken = [(33, Mutant::StaleTermSends), (4, Mutant::ApplyBeforeReadBack), (8, Mutant::SlotFromPending)];
    let mut compared = 0;
    for (seed, mutant) in calm.chain(broken.map(|(seed, mutant)| (seed, Some(mutant)))) {
        let trunk = Trunk::run(seed, mutant);
        assert_eq!(trunk.outcome, run(Scenario { seed, crash: None }, mutant, false));
        let crashed = trunk.crashes(&mut |scenario, outcome| {
            if scenario.crash.is_some_and(|crash| crash % 17 == seed % 17) {
                assert_eq!(outcome, run(scenario, mutant, false), "{scenario:?} {mutant:?}");
                compared += 1;
            }
            ControlFlow::Continue(())
        });
        assert_eq!(crashed, Ok(()));
    }
    assert!(compared > 200, "only {compared} scenarios were compared");
}

#[test]
fn the_named_probes_end_well_without_a_bug() {
    assert_eq!(probe::noticed(None), None);
}

#[test]
fn every_deliberate_bug_is_noticed() {
    for mutant in Mutant::ALL {
        let caught = catch(mutant, MUTANT_SEEDS);
        assert!(caught.is_some(), "{mutant:?} was not noticed by any probe or seed in {MUTANT_SEEDS:?}");
    }
}
