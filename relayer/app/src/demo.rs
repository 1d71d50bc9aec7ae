//! `demo`: the relayer against a development network that stands, while its workload plays consumers and processors; ends with
//! what became of every job.

mod table;

use crate::cli::{CliError, job, say, stop_on_signal};
use crate::config::Config;
use crate::node::Node;
use crate::storage::Storage;
use crate::supervisor::StopReason;
use crate::telemetry;
use acurast_events::derived::{ReceiptsEvent, ReputationObserved};
use acurast_events::topics::Topic;
use acurast_events::units::Offset;
use acurast_events::wire::Message;
use acurast_relayer_journal::{EventJournal, LogRecord, ReadLimits};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use tokio_util::sync::CancellationToken;

/// Where the world of the demo is.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder with `relayer.toml` and `world.json`; log, journal and manifest go there too.
    #[arg(long)]
    dir: PathBuf,
    /// Folder of the development network's programs.
    #[arg(long, default_value = "deploy/devnet")]
    devnet: PathBuf,
}

/// Runs the demo.
///
/// # Errors
/// What went wrong, in words for people.
pub async fn run(args: &DemoArgs) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.dir.join("relayer.toml"))?;
    let log = args.dir.join("relayer.log");
    telemetry::init_file(&config.log.filter, &log)?;
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    let node = Node::start(&config, stop.clone()).await?;
    let relayer = tokio::spawn(node.run());
    say(format_args!("the relayer runs in this process; its log is {}", log.display()))?;

    let base = format!("http://{}", config.api.listen);
    let worked = work(args, &base, &stop).await;
    let jobs = job::ask(&base).await.ok().flatten().unwrap_or_default();
    stop.cancel();
    let ended: Result<(), StopReason> = relayer.await?;
    ended?;
    let published = Published::read(&config).await?;
    say(format_args!("\n{}", table::render(&manifest(&args.dir)?, &jobs, &published)))?;
    say(format_args!("{}", table::LEGEND))?;
    let status = worked?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The workload to its end; its lines are the demo's progress.
async fn work(args: &DemoArgs, base: &str, stop: &CancellationToken) -> Result<ExitStatus, CliError> {
    let mut workload = tokio::process::Command::new("node")
        .arg(args.devnet.join("workload.mjs"))
        .args(["run", "--relayer", base, "--out"])
        .arg(&args.dir)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the workload can't be started: {error}; is Node.js installed?"))?;
    tokio::select! {
        status = workload.wait() => Ok(status?),
        () = stop.cancelled() => {
            workload.kill().await?;
            Err("stopped".into())
        }
    }
}

fn manifest(dir: &Path) -> Result<serde_json::Value, CliError> {
    let path = dir.join("manifest.json");
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// How many receipts and reputation events each job has on the derived topics; an id counts once, however often it was published.
#[derive(Debug, Default)]
pub struct Published {
    receipts: BTreeMap<String, usize>,
    reputation: BTreeMap<String, usize>,
}

impl Published {
    async fn read(config: &Config) -> Result<Self, CliError> {
        let journal = Storage::journal_read_only(config)?;
        let mut ids = std::collections::BTreeSet::new();
        let mut published = Self::default();
        for record in topic(journal.as_ref(), config, &Topic::Receipts).await? {
            if let ReceiptsEvent::Receipt(receipt) = ReceiptsEvent::decode(&record.value)?
                && ids.insert(receipt.id)
            {
                *published.receipts.entry(receipt.job_key.to_string()).or_default() += 1;
            }
        }
        for record in topic(journal.as_ref(), config, &Topic::Reputation).await? {
            let observed = ReputationObserved::decode(&record.value)?;
            if ids.insert(observed.id) {
                *published.reputation.entry(observed.job_key.to_string()).or_default() += 1;
            }
        }
        Ok(published)
    }
}

async fn topic(journal: &dyn EventJournal, config: &Config, topic: &Topic) -> Result<Vec<LogRecord>, CliError> {
    let name = topic.name(&config.journal.prefix);
    let mut records = Vec::new();
    for partition in 0..config.journal.partitions.get() {
        let mut next = Offset(0);
        loop {
            let batch = journal.read(&name.partition(partition), next, ReadLimits::default()).await?;
            let Some(last) = batch.records.last() else { break };
            next = last.offset.next();
            records.extend(batch.records);
        }
    }
    Ok(records)
}
