//! `checkpoint list|verify|take`: the copies of the state outside of its volume.

use super::{CliError, ConfigArgs, say};
use crate::checkpoints::Checkpoints;
use crate::config::{CheckpointsConfig, Config};
use crate::folds::SCHEMA;
use crate::storage::{Storage, identity_of};
use crate::tally::Tally;
use acurast_relayer_store::checkpoint::{Manifest, candidates, fetch, verify};
use acurast_relayer_store::{Identity, Store};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub enum CheckpointCommand {
    /// Show the checkpoints that are kept, the newest first.
    List(ConfigArgs),
    /// Bring checkpoints into a temporary directory and check files, rows and digests; exit code 1 when one isn't whole.
    Verify(VerifyArgs),
    /// Take a checkpoint of the state and keep it. Only while no relayer runs on the data directory; a running one takes
    /// them by itself.
    Take(ConfigArgs),
}

/// Which checkpoints.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Name of one, as `list` shows it; the newest when absent.
    name: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

pub(super) async fn run(command: CheckpointCommand) -> Result<ExitCode, CliError> {
    match command {
        CheckpointCommand::List(args) => list(&Config::load(&args.config)?).await,
        CheckpointCommand::Verify(args) => check(&Config::load(&args.config.config)?, args.name.as_deref(), args.all).await,
        CheckpointCommand::Take(args) => take(&Config::load(&args.config)?).await,
    }
}

fn section(config: &Config) -> Result<&CheckpointsConfig, CliError> {
    Ok(config.checkpoints.as_ref().ok_or("the configuration has no [checkpoints]; see docs/operations.md")?)
}

/// What the checkpoints must be of: as the data directory says, or the configuration where there is none.
fn wanted(config: &Config) -> Result<Identity, CliError> {
    let genesis = Storage::genesis(&config.data_dir)?.or(config.acurast.genesis);
    let genesis = genesis.ok_or("neither the data directory nor acurast.genesis says which Acurast chain this is")?;
    Ok(Identity { genesis, prefix: config.journal.prefix.clone() })
}

async fn list(config: &Config) -> Result<ExitCode, CliError> {
    let place = section(config)?.open()?;
    let names = place.names().await?;
    say(format_args!("{}: {} checkpoint(s)", place.describe(), names.len()))?;
    for name in names.into_iter().rev() {
        match Manifest::parse(&place.manifest(&name).await?) {
            Ok(manifest) => {
                let (files, bytes) = (manifest.files.len(), manifest.bytes());
                say(format_args!("{name}: schema {}, {files} files, {bytes} bytes", manifest.schema))?;
                for partition in &manifest.partitions {
                    let (topic, at) = (&partition.topic, partition.partition);
                    say(format_args!("  {topic}/{at} up to sequence {}, digest {}", partition.next_sequence, partition.digest))?;
                }
            }
            Err(reason) => say(format_args!("{name}: can't be read: {reason}"))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(config: &Config, name: Option<&str>, all: bool) -> Result<ExitCode, CliError> {
    let (place, identity) = (section(config)?.open()?, wanted(config)?);
    let (fit, unfit) = candidates(place.as_ref(), &identity, SCHEMA).await?;
    let mut broken = 0usize;
    let mut checked = 0usize;
    for checkpoint in unfit.iter().filter(|checkpoint| name.map_or(all, |name| checkpoint.name == name)) {
        say(format_args!("{}: doesn't fit: {}", checkpoint.name, checkpoint.reason))?;
        broken = broken.saturating_add(1);
    }
    let chosen = fit.iter().filter(|checkpoint| name.is_none_or(|name| checkpoint.name == name)).take(if all { usize::MAX } else { 1 });
    for checkpoint in chosen {
        // Beside the state: temporary directories of a system are often too small.
        let folder = tempfile::Builder::new().prefix("checkpoint.checking").tempdir_in(&config.data_dir)?;
        let (into, manifest) = (folder.path().join("state"), &checkpoint.manifest);
        let tally = Tally::bytes("reading a checkpoint", manifest.bytes());
        let found = fetch(place.as_ref(), manifest, &into, &|count| tally.add(count)).await;
        tally.done();
        checked = checked.saturating_add(1);
        match found.and_then(|()| verify(&into, &identity, SCHEMA, manifest)) {
            Ok(()) => say(format_args!("{}: whole, {} partitions", checkpoint.name, manifest.partitions.len()))?,
            Err(error) => {
                say(format_args!("{}: NOT WHOLE: {error}", checkpoint.name))?;
                broken = broken.saturating_add(1);
            }
        }
    }
    if checked == 0 && broken == 0 {
        return Err(format!("{}: no such checkpoint", place.describe()).into());
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn take(config: &Config) -> Result<ExitCode, CliError> {
    let section = section(config)?;
    let identity = identity_of(&config.data_dir)?;
    // Reading first: to open a state of another version for writing would empty it.
    drop(Storage::store_read_only(&config.data_dir)?);
    let store = Store::open(&config.data_dir.join("state"), &identity, SCHEMA)?;
    let shipped = Checkpoints::new(section, &config.data_dir, store)?.once().await?;
    say(format_args!("{}: {} new files, {} bytes, {} older removed", shipped.name, shipped.files, shipped.bytes, shipped.pruned))?;
    Ok(ExitCode::SUCCESS)
}
