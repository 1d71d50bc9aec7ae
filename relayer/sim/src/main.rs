//! `acurast-relayer-sim`: runs scenarios by the hundred thousand, or one of them with a trace.

use acurast_relayer_sim::campaign::{Campaign, Failure, catch};
use acurast_relayer_sim::mutant::Mutant;
use acurast_relayer_sim::report::Report;
use acurast_relayer_sim::scenario::{Scenario, run};
use clap::Parser;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A quarter of a simulated step is taking and giving back memory: small pieces, from one thread each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `make sim` claims: a run of fewer scenarios writes a report of another name.
const CLAIMED: u64 = 100_000;
/// Seeds within which every mutant has to be noticed: always the same, so that the report can name what notices it.
const MUTANT_SEEDS: RangeInclusive<u64> = 1..=300;
/// Most characters of a violation that is told for a mutant.
const WORDS_MAX: usize = 160;
/// Progress is told every so many scenarios.
const TELL_EVERY: u64 = 10_000;

/// Simulates the relayer under faults, crashing it at every journal and broadcast boundary.
#[derive(Debug, Parser)]
#[command(name = "acurast-relayer-sim", version)]
struct Arguments {
    /// At least so many scenarios, each a seed and one crash point; with fewer than 100,000 the report is `sim-short.json`.
    #[arg(long, default_value_t = CLAIMED)]
    scenarios: u64,
    /// The first seed; with `--crash` or `--trace`, the only one.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs one scenario: the crash happens at this boundary of the seed.
    #[arg(long)]
    crash: Option<u64>,
    /// Runs on for so many hours.
    #[arg(long, default_value_t = 0.0)]
    hours: f64,
    /// Runs one scenario and tells everything that happens in it.
    #[arg(long)]
    trace: bool,
    /// Breaks the simulated relayer on purpose, to see a scenario notice it; with `--crash` or `--trace` only.
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Where the report goes.
    #[arg(long, env = "ACURAST_REPORTS", default_value = "target/reports")]
    reports: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace || arguments.crash.is_some() {
        return one(&arguments);
    }
    match campaign(&arguments) {
        Ok(report) => {
            println!("{}", report.table());
            println!("{}", closing(&report));
            if report.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("the report can't be written to {}: {error}; nothing is claimed", arguments.reports.display());
            ExitCode::FAILURE
        }
    }
}

fn one(arguments: &Arguments) -> ExitCode {
    let scenario = Scenario { seed: arguments.seed.unwrap_or(0), crash: arguments.crash };
    let outcome = run(scenario, arguments.mutant, arguments.trace);
    println!("{scenario:?}: {} boundaries, {} events, {} delivered", outcome.boundaries, outcome.events, outcome.delivered);
    for violation in &outcome.violations {
        println!("  ✗ {violation}");
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The line that a run ends with.
fn closing(report: &Report) -> String {
    let figure = |name: &str| report.figures.get(name).map_or_else(|| "no".to_owned(), Value::to_string);
    format!(
        "{} {}: {} scenarios, {} violations, {} of {} mutants caught, {} failures, {:.1} s",
        report.target,
        if report.holds { "HOLDS" } else { "DOES NOT HOLD" },
        figure("scenarios"),
        figure("violations"),
        figure("mutants_caught"),
        figure("mutants"),
        report.failures.len(),
        report.seconds,
    )
}

/// The command that repeats a failing scenario.
fn command(failure: &Failure) -> String {
    let crash = failure.scenario.crash.map_or(String::new(), |crash| format!(" CRASH={crash}"));
    let words = failure.violations.first().map_or("", String::as_str);
    format!("SEED={}{crash} TRACE=1 make sim: {words}", failure.scenario.seed)
}

fn campaign(arguments: &Arguments) -> std::io::Result<Report> {
    let (started, begun) = (SystemTime::now(), Instant::now());
    let target = match arguments {
        Arguments { hours, .. } if *hours > 0.0 => "soak",
        Arguments { scenarios, .. } if *scenarios < CLAIMED => "sim-short",
        Arguments { .. } => "sim",
    };
    // Whatever becomes of this run, an earlier one's report doesn't speak for it.
    Report::remove(target, &arguments.reports)?;
    let seed = arguments.seed.unwrap_or(1);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("seeds from {seed} on, at least {} scenarios, {workers} workers", arguments.scenarios);
    let campaign = Campaign {
        seed,
        scenarios: arguments.scenarios,
        time: Duration::try_from_secs_f64(arguments.hours * 3_600.0).unwrap_or_default(),
        workers: workers as u64,
    };
    let told = AtomicU64::new(0);
    let tally = campaign.run(&|done| {
        let mark = done / TELL_EVERY;
        if told.fetch_max(mark, Ordering::Relaxed) < mark {
            println!("{:>8} scenarios, {:.0} s", done, begun.elapsed().as_secs_f64());
        }
    });
    let simulated = begun.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
    let mut failures: Vec<String> = tally.failures.iter().map(command).collect();
    if tally.scenarios < arguments.scenarios {
        failures.push(format!("only {} of {} scenarios were run", tally.scenarios, arguments.scenarios));
    }
    let mut caught = 0;
    for mutant in Mutant::ALL {
        match catch(mutant, MUTANT_SEEDS) {
            Some((place, violation)) => {
                caught += 1;
                let words: String = violation.to_string().chars().take(WORDS_MAX).collect();
                println!("{mutant:?} is noticed by {place}: {words}");
            }
            None => failures.push(format!("{mutant:?} was not noticed by any probe or seed in {MUTANT_SEEDS:?}")),
        }
    }
    let seconds = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let mean = |sum: u64| sum.checked_div(tally.scenarios).unwrap_or(0);
    let figures: BTreeMap<String, Value> = [
        ("scenarios", json!(tally.scenarios)),
        ("violations", json!(tally.violations)),
        ("seed", json!(seed)),
        ("seeds", json!(tally.seeds)),
        ("mean_events", json!(mean(tally.events))),
        ("mean_faults", json!(mean(tally.faults))),
        ("mean_process_ends", json!(mean(tally.ended))),
        ("outputs_delivered", json!(tally.delivered)),
        ("transactions_sent", json!(tally.sent)),
        ("runs_without_a_crash", json!(tally.void + tally.seeds)),
        ("mutants", json!(Mutant::ALL.len())),
        ("mutants_caught", json!(caught)),
        ("compared_with_whole_runs", json!(tally.compared)),
        ("scenarios_per_second", json!((tally.scenarios as f64 / simulated).round())),
        ("seconds", json!(seconds)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let report = Report::new(target, started, seconds, figures, failures);
    report.write(&arguments.reports)?;
    Ok(report)
}
