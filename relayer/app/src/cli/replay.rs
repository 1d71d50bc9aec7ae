//! `replay`: folds every authoritative partition from its first record into an empty state, and compares the digests.

use super::{CliError, ConfigArgs, say};
use crate::config::Config;
use crate::storage::{Storage, refold};
use clap::Args;
use std::process::ExitCode;

/// What to replay.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &ReplayArgs) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.config.config)?;
    let journal = Storage::journal_read_only(&config)?;
    let mut equal = true;
    for replayed in refold(&config, journal).await? {
        equal &= replayed.equal();
        if args.json {
            say(format_args!("{}", serde_json::to_string(&replayed)?))?;
        } else {
            say(format_args!("{replayed}"))?;
        }
    }
    if equal {
        say(format_args!("{}", if args.json { "{\"digests_equal\":true}" } else { "all digests equal" }))?;
        Ok(ExitCode::SUCCESS)
    } else {
        say(format_args!(
            "{}",
            if args.json { "{\"digests_equal\":false}" } else { "DIGESTS DIFFER: the stored state is not the fold of the journal" }
        ))?;
        Ok(ExitCode::FAILURE)
    }
}
