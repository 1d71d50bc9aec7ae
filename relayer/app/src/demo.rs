//! `demo`: the relayer against the development network.

use crate::cli::CliError;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the world of the demo is.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder with `relayer.toml` and `world.json`.
    #[arg(long)]
    dir: PathBuf,
}

/// Runs the demo.
///
/// # Errors
/// What went wrong.
pub async fn run(args: &DemoArgs) -> Result<ExitCode, CliError> {
    Err(format!("{}", args.dir.display()).into())
}
