//! `journal tail|verify`: the journal as subscribers see it, and whether it is whole.

use super::{CliError, ConfigArgs, say};
use crate::config::Config;
use crate::storage::Storage;
use acurast_events::bytes::Bytes;
use acurast_events::topics::{Topic, TopicKind, TopicName, TopicPartition};
use acurast_events::units::Offset;
use acurast_events::view::{ViewError, value_json};
use acurast_relayer_journal::{EventJournal, Frontier, LogRecord, PartitionReader, ReadError, ReadLimits};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Print records of one topic, or of all, from an offset on.
    Tail(TailArgs),
    /// Check every chain of records from its first one, as any reader would.
    Verify(ConfigArgs),
}

/// What to print.
#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Full topic name, such as `acurast.jobs.v1`; all topics when absent.
    #[arg(long)]
    topic: Option<String>,
    /// First offset of each partition.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// One JSON object a line with decoded events.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// One JSON object a line with the stored bytes in hexadecimal, for readers of their own.
    #[arg(long)]
    raw: bool,
}

pub(super) async fn run(command: JournalCommand) -> Result<ExitCode, CliError> {
    match command {
        JournalCommand::Tail(args) => tail(&args).await,
        JournalCommand::Verify(args) => verify(&args).await,
    }
}

async fn partitions(journal: &dyn EventJournal, only: Option<&str>) -> Result<Vec<TopicPartition>, CliError> {
    let topics = journal.topics().await?;
    if let Some(only) = only
        && !topics.contains_key(&TopicName::new(only))
    {
        let known: Vec<_> = topics.keys().map(TopicName::as_str).collect();
        return Err(format!("no topic {only}; there are {}", known.join(", ")).into());
    }
    let chosen = topics.into_iter().filter(|(name, _)| only.is_none_or(|only| name.as_str() == only));
    Ok(chosen.flat_map(|(name, count)| (0..count.get()).map(move |partition| name.partition(partition))).collect())
}

async fn tail(args: &TailArgs) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.config.config)?;
    let journal = Storage::journal_read_only(&config)?;
    let mut out = std::io::stdout().lock();
    for at in partitions(journal.as_ref(), args.topic.as_deref()).await? {
        let mut next = Offset(args.from);
        loop {
            let batch = match journal.read(&at, next, ReadLimits::default()).await {
                // Derived topics may have been shortened by the brokers; what is left is shown.
                Err(ReadError::Truncated { begins, .. }) if next < begins => {
                    eprintln!("{at}: the records before offset {begins} are gone");
                    next = begins;
                    continue;
                }
                read => read?,
            };
            let Some(last) = batch.records.last() else { break };
            next = last.offset.next();
            for record in &batch.records {
                writeln!(out, "{}", line(&config.journal.prefix, &at, record, args)?)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(prefix: &str, at: &TopicPartition, record: &LogRecord, args: &TailArgs) -> Result<String, CliError> {
    let place = (at.topic.as_str(), at.partition, record.offset.0);
    if args.raw {
        let texts = record.attributes.iter().map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned().into()));
        let headers: serde_json::Map<_, _> = texts.collect();
        let raw = json!({
            "topic": place.0, "partition": place.1, "offset": place.2,
            "key": Bytes(record.key.clone()), "value": Bytes(record.value.clone()), "headers": headers,
        });
        return Ok(raw.to_string());
    }
    let topic = Topic::parse(prefix, at.topic.as_str()).ok_or_else(|| format!("{} is no topic of this relayer", at.topic))?;
    let value = match value_json(&topic, &record.value) {
        Ok(value) => value,
        // Anybody may have appended it: it is shown as what it is, and so is what comes after it.
        Err(error @ (ViewError::Value { .. } | ViewError::NoSchema(_))) => {
            json!({ "undecodable": error.to_string(), "bytes": Bytes(record.value.clone()) }).to_string()
        }
        Err(error @ ViewError::Json(_)) => return Err(error.into()),
    };
    if args.json {
        let value: serde_json::Value = serde_json::from_str(&value)?;
        return Ok(json!({ "topic": place.0, "partition": place.1, "offset": place.2, "record": value }).to_string());
    }
    Ok(format!("{}/{}@{} {value}", place.0, place.1, place.2))
}

async fn verify(args: &ConfigArgs) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.config)?;
    let journal = Storage::journal_read_only(&config)?;
    let mut broken = false;
    for at in partitions(journal.as_ref(), None).await? {
        let authoritative =
            Topic::parse(&config.journal.prefix, at.topic.as_str()).is_some_and(|topic| topic.kind() == TopicKind::Authoritative);
        if !authoritative {
            say(format_args!("{at}: {} records, no chain", journal.end(&at).await?))?;
            continue;
        }
        match walk(journal.clone(), &at).await {
            Ok(report) => say(format_args!("{at}: {report}"))?,
            Err(error) => {
                broken = true;
                say(format_args!("{at}: BROKEN: {error}"))?;
            }
        }
    }
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn walk(journal: Arc<dyn EventJournal>, at: &TopicPartition) -> Result<String, CliError> {
    let mut reader = PartitionReader::open(journal, at.clone(), Frontier::START).await?;
    let mut accepted = 0u64;
    loop {
        let batch = reader.next_batch().await?;
        accepted = accepted.saturating_add(u64::try_from(batch.records.len())?);
        if batch.caught_up {
            break;
        }
    }
    let skipped: u64 = reader.skipped().values().sum();
    Ok(format!("{accepted} records accepted, {skipped} skipped, last hash {}", reader.frontier().hash))
}
