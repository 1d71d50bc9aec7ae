//! Crashes at every record boundary and at every broadcast boundary, enumerated: each effect once, no holes, every intent
//! ended, replay equal (R16's base).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::shell::Shell;
use support::{START, workload};

const FAR: u64 = START + 10_000_000;

/// One run of a seed: faults, an eviction, a reorg and a fee spike at moments that follow from it.
fn run(seed: u64, crash_at: Option<u64>) -> Shell {
    let mut shell = Shell::new(seed, workload(3, FAR));
    shell.faults = if seed.is_multiple_of(2) { 0 } else { 9 };
    shell.crash_at = crash_at;
    let mut moments = support::shell::Seeded::new(seed + 77);
    let (evict, reorg, spike) = (moments.below(20), 4 + moments.below(20), moments.below(20));
    let depth = 1 + moments.below(3) as usize;
    for tick in 0..90 {
        if tick == evict {
            shell.chain.evict();
        }
        if tick == reorg {
            shell.chain.reorg(depth, seed.is_multiple_of(3));
        }
        if tick == spike {
            shell.chain.base_fee *= 3;
        }
        if tick == spike + 8 {
            shell.chain.base_fee /= 3;
        }
        if seed % 5 == 1 && tick == spike + 2 {
            shell.chain.lose_answers = 2;
        }
        shell.tick();
    }
    shell
}

#[test]
fn a_crash_at_any_boundary_loses_and_doubles_nothing() {
    let mut crashes = 0;
    for seed in 0..16 {
        let calm = run(seed, None);
        calm.assert_sound();
        assert_eq!(calm.chain.settled().len(), 6, "seed {seed}: outputs were given up");
        for boundary in 0..calm.boundaries {
            let shell = run(seed, Some(boundary));
            assert_eq!(shell.crashes, 1, "seed {seed}: boundary {boundary} was not reached");
            shell.assert_sound();
            assert_eq!(shell.chain.settled().len(), 6, "seed {seed}, crash at boundary {boundary}: outputs were given up");
            crashes += 1;
        }
    }
    println!("{crashes} crash points");
    assert!(crashes > 700, "only {crashes} crash points");
}
