//! `dlq list|show|requeue|resolve`: dead letters, and what an operator does about them.
//!
//! Looking asks a running relayer, or reads the store when none runs. A command goes through the relayer's admin interface where a
//! token for it is configured; on Kafka, without one, it is appended to `control.v1` here, and `jobs.v1` is followed until the
//! record that decides it. The embedded journal has one writer, the relayer.

use super::{CliError, ConfigArgs, say};
use crate::api::admin::{self, Action, CommandRequest, answer, fresh_command_id};
use crate::backend::Backend;
use crate::config::{Config, JournalKind};
use crate::settle::control::{letter_view, letters};
use crate::storage::Storage;
use acurast_events::bytes::EventId;
use acurast_events::control::CommandVia;
use acurast_events::jobs::JobsEvent;
use acurast_events::topics::{Topic, TopicPartition};
use acurast_events::units::{Offset, Timestamp};
use acurast_events::wire::Message;
use acurast_relayer_core::{CommandResult, LetterFate};
use acurast_relayer_journal::{AcceptedRecord, Attributes, Frontier, NewRecord, PartitionReader};
use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table, presets::UTF8_BORDERS_ONLY};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// How long a command that was appended here may go without being decided.
const DECIDED_WITHIN: Duration = Duration::from_secs(60);
/// How often a command whose answer was lost is sent again, with its id.
const SENDS_MAX: u32 = 3;

/// What to do about dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Those that are open.
    List {
        #[command(flatten)]
        config: ConfigArgs,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
        /// Also those that were requeued or resolved.
        #[arg(long)]
        all: bool,
    },
    /// One with everything that is known of it.
    Show {
        /// Its id (0x…).
        id: EventId,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Have what failed tried again: an output or a proof that a lane gave up, or a record that could not be read.
    Requeue(Order),
    /// Say that it was looked into and nothing more is to be done.
    Resolve(Order),
}

/// A command about dead letters.
#[derive(Debug, Args)]
pub struct Order {
    /// Their ids (0x…).
    #[arg(required = true)]
    ids: Vec<EventId>,
    /// Why; it stands in the journal for ever.
    #[arg(long)]
    why: String,
    /// Who wants it; the user of this shell when absent.
    #[arg(long)]
    who: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(command: DlqCommand) -> Result<ExitCode, CliError> {
    match command {
        DlqCommand::List { config, json, all } => {
            let found = load(&Config::load(&config.config)?, all).await?;
            if json {
                say(format_args!("{}", serde_json::to_string_pretty(&found)?))?;
            } else {
                say(format_args!("{}", overview(&found)))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        DlqCommand::Show { id, config } => {
            let letter = find(&Config::load(&config.config)?, &id).await?;
            say(format_args!("{}", serde_json::to_string_pretty(&letter)?))?;
            Ok(ExitCode::SUCCESS)
        }
        DlqCommand::Requeue(order) => give(Action::Requeue, &order).await,
        DlqCommand::Resolve(order) => give(Action::Resolve, &order).await,
    }
}

async fn give(command: Action, order: &Order) -> Result<ExitCode, CliError> {
    let config = Config::load(&order.config.config)?;
    let who = match &order.who {
        Some(who) => who.clone(),
        None => user().ok_or("no user name is known here; say --who")?,
    };
    let mut all_done = true;
    for id in &order.ids {
        let request = CommandRequest { command, dead_letter: *id, who: who.clone(), why: order.why.clone(), id: Some(fresh_command_id()) };
        let decided = order_one(&config, &request).await?;
        let text = |name: &str| decided[name].as_str().unwrap_or_default().to_owned();
        match decided["reason"].as_str() {
            None => say(format_args!("{id}: {} by command {}", text("result"), text("command")))?,
            Some(reason) => {
                all_done = false;
                say(format_args!("{id}: refused: {reason} (command {})", text("command")))?;
            }
        }
    }
    Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The user of this shell, as it says.
fn user() -> Option<String> {
    ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.trim().is_empty())
}

/// What became of a command, as the admin interface says it.
async fn order_one(config: &Config, request: &CommandRequest) -> Result<Value, CliError> {
    if let Some(token) = &config.admin.token {
        let token = admin::text(token)?;
        if let Some(answer) = ask_admin(&format!("http://{}", config.admin.listen), &token, request).await? {
            return Ok(answer);
        }
    }
    match config.journal.kind {
        JournalKind::Kafka => append(config, request).await,
        JournalKind::Embedded if config.admin.token.is_some() => {
            Err(format!("no relayer answers at {}; start it: it alone writes the embedded journal", config.admin.listen).into())
        }
        JournalKind::Embedded => Err("the embedded journal is written by the running relayer alone: set [admin] token, which starts its \
                                      admin interface, and restart it"
            .into()),
    }
}

/// The admin interface's answer; nothing when none listens there.
async fn ask_admin(base: &str, token: &str, request: &CommandRequest) -> Result<Option<Value>, CliError> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let mut last = Value::Null;
    for _ in 0..SENDS_MAX {
        let answer = match client.post(format!("{base}/v1/commands")).bearer_auth(token).json(request).send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let status = answer.status();
        last = answer.json().await.unwrap_or(Value::Null);
        match status {
            // Done, or refused by a record of its own.
            StatusCode::OK => return Ok(Some(last)),
            StatusCode::CONFLICT if last["result"].is_string() => return Ok(Some(last)),
            StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_secs(1)).await,
            status => return Err(format!("{status}: {}", last["error"].as_str().unwrap_or("no reason given")).into()),
        }
    }
    Err(format!("the relayer did not decide it: {}", last["error"].as_str().unwrap_or("no reason given")).into())
}

/// Appends the command to the brokers' `control.v1`, and follows the jobs partition until the record that decides it.
async fn append(config: &Config, request: &CommandRequest) -> Result<Value, CliError> {
    let letter = find(config, &request.dead_letter).await?;
    let partition =
        letter["partition"].as_u64().and_then(|number| u32::try_from(number).ok()).ok_or("the dead letter names no partition")?;
    let id = request.id.unwrap_or_else(fresh_command_id);
    let command = request.record(partition, id, CommandVia::Cli, Timestamp(crate::clock::now_ms()));
    let journal = Backend::open(config)?.journal();
    let prefix = &config.journal.prefix;
    let (control, jobs) = (Topic::Control.name(prefix).partition(partition), Topic::Jobs.name(prefix).partition(partition));
    let mut reader = PartitionReader::open(journal.clone(), jobs.clone(), local_frontier(config, &jobs)).await?;
    let record = NewRecord { key: command.key(), value: command.encode(), attributes: Attributes::default() };
    let offset = journal.append(&control, vec![record]).await?.last().copied().ok_or("the journal gave no position")?;
    let stored = || format!("command {id} is stored at offset {offset} of {control}");
    loop {
        let batch = reader.next_batch().await?;
        if let Some(result) = batch.records.iter().find_map(|record| decided(record, &control, offset)) {
            return Ok(answer(id, &result?));
        }
        if batch.caught_up && tokio::time::timeout(DECIDED_WITHIN, reader.wait()).await.is_err() {
            return Err(format!("{}, and nobody decided it yet; is a relayer running?", stored()).into());
        }
    }
}

/// Where this host's fold of the partition stands; the log's start where there is none.
fn local_frontier(config: &Config, at: &TopicPartition) -> Frontier {
    let fold = Storage::store_read_only(&config.data_dir).ok().and_then(|store| store.view(at).ok()?.applied().ok());
    fold.map_or(Frontier::START, |applied| applied.frontier)
}

/// What the record says of the command at this place, if it is the one that decides it.
fn decided(record: &AcceptedRecord, control: &TopicPartition, offset: Offset) -> Option<Result<CommandResult, CliError>> {
    let input = record.record.input.as_ref()?;
    if input.topic != control.topic.as_str() || input.partition != control.partition || input.position != offset {
        return None;
    }
    let events = match record.record.decode_events::<JobsEvent>() {
        Ok(events) => events,
        Err(error) => return Some(Err(error.into())),
    };
    let at = record.record.at;
    events.into_iter().find_map(|event| {
        let (fate, refused, given) = match event {
            JobsEvent::DeadLetterRequeued(it) => (Some(LetterFate::Requeued), None, it.given),
            JobsEvent::DeadLetterResolved(it) => (Some(LetterFate::Resolved), None, it.given),
            JobsEvent::CommandRefused(it) => (None, Some(it.reason), it.given),
            _ => return None,
        };
        Some(Ok(CommandResult { fate, refused, given, at }))
    })
}

/// One dead letter: from the relayer that runs, else from the store.
async fn find(config: &Config, id: &EventId) -> Result<Value, CliError> {
    let missing = || format!("no dead letter {id}; `acurast-relayer dlq list --all` shows all");
    match get(&format!("http://{}/v1/dead-letters/{id}", config.api.listen)).await? {
        Some((StatusCode::NOT_FOUND, _)) => Err(missing().into()),
        Some((status, letter)) if status.is_success() => Ok(letter),
        Some((status, body)) => Err(format!("{status}: {body}").into()),
        None => {
            for view in stored(config)? {
                if let Some(letter) = letter_view(&view, id)? {
                    return Ok(serde_json::to_value(letter)?);
                }
            }
            Err(missing().into())
        }
    }
}

/// All dead letters, oldest first: from the relayer that runs, else from the store.
async fn load(config: &Config, all: bool) -> Result<Vec<Value>, CliError> {
    let base = format!("http://{}/v1/dead-letters?all={all}", config.api.listen);
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let url = after.as_ref().map_or_else(|| base.clone(), |after| format!("{base}&after={after}"));
        let Some((status, mut page)) = get(&url).await? else {
            for view in stored(config)? {
                for letter in letters(&view, all, None, usize::MAX)? {
                    found.push(serde_json::to_value(letter)?);
                }
            }
            break;
        };
        if !status.is_success() {
            return Err(format!("{status}: {page}").into());
        }
        if let Some(letters) = page["dead_letters"].as_array_mut() {
            found.append(letters);
        }
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    found.sort_by_key(|letter| letter["at"].as_str().and_then(|at| at.parse::<u64>().ok()).unwrap_or(u64::MAX));
    Ok(found)
}

/// The folds of the jobs partitions on this host.
fn stored(config: &Config) -> Result<Vec<acurast_relayer_store::PartitionView>, CliError> {
    let store = Storage::store_read_only(&config.data_dir)?;
    let jobs = Topic::Jobs.name(&config.journal.prefix);
    Ok(store.partitions().into_iter().filter(|at| at.topic == jobs).map(|at| store.view(&at)).collect::<Result<_, _>>()?)
}

/// The answer to a question; nothing when no relayer listens there.
async fn get(url: &str) -> Result<Option<(StatusCode, Value)>, CliError> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    match client.get(url).send().await {
        Ok(answer) => {
            let status = answer.status();
            Ok(Some((status, answer.json().await.unwrap_or_else(|_| json!({})))))
        }
        Err(error) if error.is_connect() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn overview(letters: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["dead letter", "state", "kind", "fault", "about", "reason"]);
    for letter in letters {
        table.add_row(["dead_letter", "state", "kind", "fault", "about", "reason"].map(|name| letter[name].as_str().unwrap_or_default()));
    }
    table
}
