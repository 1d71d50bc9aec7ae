//! `job list|show`: asks a running relayer; opens the store for reading only when none runs.

use super::{CliError, ConfigArgs, say};
use crate::config::Config;
use crate::storage::Storage;
use acurast_events::bytes::JobKey;
use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use serde_json::Value;
use std::process::ExitCode;

/// Which jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// All jobs, open and closed.
    List(JobArgs),
    /// One job with everything that is known of it.
    Show {
        /// Its job_key (0x…) or text id (origin:0x…/number).
        id: String,
        #[command(flatten)]
        args: JobArgs,
    },
}

/// Where and how.
#[derive(Debug, Args)]
pub struct JobArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: JobCommand) -> Result<ExitCode, CliError> {
    match command {
        JobCommand::List(args) => {
            let jobs = load(&Config::load(&args.config.config)?).await?;
            if args.json {
                say(format_args!("{}", serde_json::to_string_pretty(&jobs)?))?;
            } else {
                say(format_args!("{}", overview(&jobs)))?;
            }
        }
        JobCommand::Show { id, args } => {
            let jobs = load(&Config::load(&args.config.config)?).await?;
            let wanted = id.parse::<JobKey>().map(|key| key.to_string());
            let named = |job: &&Value| wanted.as_ref().map_or_else(|_| job["job"] == id.as_str(), |key| job["job_key"] == key.as_str());
            let job = jobs.iter().find(named).ok_or_else(|| format!("no job {id}; `acurast-relayer job list` shows all"))?;
            say(format_args!("{}", serde_json::to_string_pretty(job)?))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All jobs: from the relayer that runs, else from the store.
pub(crate) async fn load(config: &Config) -> Result<Vec<Value>, CliError> {
    match ask(&format!("http://{}", config.api.listen)).await? {
        Some(jobs) => Ok(jobs),
        None => Storage::jobs_read_only(config)?.into_iter().map(|(_, job)| Ok(serde_json::to_value(job)?)).collect(),
    }
}

/// All jobs of the relayer at `base`; nothing when none listens there.
pub(crate) async fn ask(base: &str) -> Result<Option<Vec<Value>>, CliError> {
    let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(10)).build()?;
    let mut jobs = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let url = after.as_ref().map_or_else(|| format!("{base}/v1/jobs"), |after| format!("{base}/v1/jobs?after={after}"));
        let answer = match client.get(url).send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut page: Value = answer.error_for_status()?.json().await?;
        if let Some(found) = page["jobs"].as_array_mut() {
            jobs.append(found);
        }
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => return Ok(Some(jobs)),
        }
    }
}

fn overview(jobs: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["job", "state", "executions", "reserved", "spent", "waits for"]);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for job in jobs {
        table.add_row([
            text(&job["job"]),
            text(&job["state"]),
            job["executions"].as_array().map_or(0, Vec::len).to_string(),
            text(&job["reserved"]),
            text(&job["spent"]),
            job["waits"].as_array().map(|waits| waits.iter().map(text).collect::<Vec<_>>().join(", ")).unwrap_or_default(),
        ]);
    }
    table
}
