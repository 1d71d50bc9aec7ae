//! Everything at once, from a seed: faults, reorgs, evictions, spikes, lost answers, poison, pauses and crashes. Whatever
//! happens, every effect exists once, slots have no holes, every intent ends, and a replay gives the same rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::arithmetic_side_effects)]

mod support;

use acurast_events::amount::Amount;
use acurast_events::ids::fulfillment_settlement_id;
use acurast_events::jobs::JobsEvent;
use acurast_events::units::Execution;
use support::shell::{Seeded, Shell};
use support::{GWEI, START, assignment, leaf, output};

const STORM_TICKS: u64 = 80;
/// Storms of one run; `SEEDS=n` runs others as many, `SEED=n` that one.
const SEEDS: u64 = 300;

fn jobs(random: &mut Seeded) -> Vec<JobsEvent> {
    // Some intents end in time only if all goes well; most have all the time there is.
    let until = |random: &mut Seeded| START + if random.below(6) == 0 { 30_000 + random.below(60_000) } else { 10_000_000 };
    let mut jobs = Vec::new();
    for n in 1..=4 {
        let not_after = until(random);
        jobs.push(JobsEvent::LeafPlanned(leaf(n, not_after)));
        for execution in 0..1 + random.below(3) {
            let mut output = output(n, execution, not_after);
            if random.below(4) == 0 {
                output.caps.max_fee_per_gas = Amount((12 + random.below(20) as u128) * GWEI);
            }
            jobs.push(JobsEvent::FulfillmentPlanned(output));
        }
    }
    jobs
}

fn weather(shell: &mut Shell, random: &mut Seeded) {
    let item = fulfillment_settlement_id(&assignment(1 + random.below(4) as u8), Execution(random.below(3)));
    match random.below(40) {
        0 => shell.chain.evict(),
        1 => shell.chain.reorg(1 + random.below(3) as usize, random.below(2) == 0),
        2 => shell.chain.base_fee = (5 + random.below(40) as u128) * GWEI,
        3 => shell.chain.mine_priority_min = random.below(3) as u128 * GWEI,
        4 => shell.chain.lose_answers = random.below(3) as u32,
        5 => shell.chain.paused = !shell.chain.paused,
        6 => shell.chain.stalled = !shell.chain.stalled,
        7 => shell.chain.pool_min_fee = random.below(25) as u128 * GWEI,
        8 | 16..=18 => shell.crash_at = Some(shell.boundaries + random.below(6)),
        9 => shell.attesters_down = !shell.attesters_down,
        10 => shell.chain.forgetful = !shell.chain.forgetful,
        11 => drop(shell.chain.poison.insert(item, random.below(2) == 0)),
        12 => drop(shell.chain.hidden_poison.insert(item)),
        13 => drop(shell.chain.reject.insert(item)),
        14 => shell.chain.replacement_permille = 1_100 + random.below(300) as u128,
        15 => shell.faults = random.below(12),
        _ => {}
    }
}

fn calm(shell: &mut Shell) {
    let chain = &mut shell.chain;
    (chain.base_fee, chain.mine_priority_min, chain.pool_min_fee, chain.lose_answers) = (8 * GWEI, 0, 0, 0);
    (chain.paused, chain.stalled, chain.forgetful) = (false, false, false);
    chain.poison.clear();
    chain.hidden_poison.clear();
    chain.reject.clear();
    (shell.attesters_down, shell.crash_at, shell.faults) = (false, None, 0);
}

fn run(seed: u64) -> Shell {
    let mut random = Seeded::new(seed);
    let mut shell = Shell::new(seed, jobs(&mut random));
    for _ in 0..STORM_TICKS {
        weather(&mut shell, &mut random);
        shell.tick();
    }
    calm(&mut shell);
    shell.ticks(150);
    shell
}

#[test]
fn no_storm_loses_doubles_or_jams_anything() {
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{name} is not a number")));
    let only = number("SEED");
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let (mut settled, mut crashes, mut slots) = (0, 0, 0);
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let result = std::panic::catch_unwind(|| {
            let shell = run(seed);
            if only.is_some() {
                shell.dump();
            }
            shell.assert_sound();
            shell
        });
        let shell = result.unwrap_or_else(|_| panic!("SEED={seed} cargo test -p acurast-relayer-lane --test storm"));
        settled += shell.chain.settled().len();
        crashes += shell.crashes;
        slots += shell.finals().len();
    }
    println!("{settled} outputs settled in {slots} slots, {crashes} crashes");
    assert!(only.is_some() || (settled as u64 > seeds * 4 && crashes > seeds), "the storms are too mild: {settled}, {crashes}");
}
