//! `acurast-relayer`: the event-sourced cross-chain relayer and settlement bridge of the Acurast network.

mod api;
mod attester_memory;
mod backend;
mod chain_source;
mod checkpoints;
mod cli;
mod clock;
mod config;
mod demo;
mod dispatch;
mod endpoints;
mod fold;
mod folds;
mod ingest;
mod input_end;
mod known;
mod mandate;
mod membership;
mod metrics;
mod node;
mod owned;
mod paced;
mod publish;
mod query;
mod recall;
mod registry;
mod restore;
mod setback;
mod settle;
mod signers;
mod storage;
mod supervisor;
mod tally;
mod telemetry;
mod tenure;

use clap::Parser;
use std::process::ExitCode;

/// Records are allocated by the threads that fetch them and given back by those that fold them, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One TLS provider for the whole process, before anything connects.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("acurast-relayer: another TLS provider is installed; this is a defect, please report it");
        return ExitCode::FAILURE;
    }
    let command = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("acurast-relayer: no async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command.execute()) {
        Ok(code) => code,
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("acurast-relayer: {error}");
            ExitCode::FAILURE
        }
    }
}
