//! `record`: finalized blocks of an Acurast node, with all that decoding them needs, into a file.

use super::{CliError, say};
use acurast_adapter_acurast::{NodeUrl, record};
use acurast_events::units::BlockNumber;
use clap::Args;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to record.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// WebSocket URL of the node; blocks older than its pruning need an archive node.
    #[arg(long)]
    url: String,
    /// First block.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Last block; without it, up to the finalized head.
    #[arg(long)]
    last: Option<u64>,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
}

pub(super) async fn run(args: &RecordArgs) -> Result<ExitCode, CliError> {
    let url = NodeUrl::parse(&args.url)?;
    let out = BufWriter::new(File::create(&args.out).map_err(|error| format!("{}: {error}", args.out.display()))?);
    let bar = indicatif::ProgressBar::new_spinner();
    let summary = record(&url, BlockNumber(args.first), args.last.map(BlockNumber), out, |block| {
        bar.set_message(format!("block {}", block.number));
        bar.tick();
    })
    .await?;
    bar.finish_and_clear();
    say(format_args!(
        "{}: blocks {} to {} of genesis {}, {} facts",
        args.out.display(),
        summary.first,
        summary.last,
        summary.genesis,
        summary.facts
    ))?;
    Ok(ExitCode::SUCCESS)
}
