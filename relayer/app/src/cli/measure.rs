//! `measure ingest`: how fast this replica folds a topic, beside the least that any consumer could spend on it.
//!
//! Two programs take the same partitions from their first record to their end, in turns, so that neither has the machine at a
//! better time: a follower (read, accept, decode, fold, store), and the client library's bare consumer with the very same
//! writes to RocksDB, which were noted in a round before. Both have one consumer of the client library for each partition, made
//! anew, with the same settings, and something that works on each for itself: the follower a task as in a replica, the bare loop a
//! thread. So the ratio, which is that of the medians, shows what our own code costs, and nothing else.

use super::{CliError, ConfigArgs, say};
use crate::backend::Backend;
use crate::config::Config;
use crate::fold::fold_into;
use crate::storage::{Storage, fold_of};
use acurast_events::bytes::Genesis;
use acurast_events::topics::{Topic, TopicPartition};
use acurast_events::units::Offset;
use acurast_relayer_journal::{EventJournal, Frontier, PartitionReader};
use acurast_relayer_journal_kafka::{BareReader, KafkaConfig, KafkaJournal};
use acurast_relayer_store::{BareStore, Identity, Store};
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum MeasureCommand {
    /// How fast a follower folds `jobs.v1`, as a ratio to a bare consumer with the same writes. Of a journal on Kafka.
    Ingest(IngestArgs),
}

/// How to measure.
#[derive(Debug, Args)]
pub struct IngestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How often each of the two goes through the topic.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: MeasureCommand) -> Result<ExitCode, CliError> {
    match command {
        MeasureCommand::Ingest(args) => ingest(&args).await,
    }
}

/// One partition with what its fold writes.
struct Course {
    at: TopicPartition,
    /// Accepted records.
    records: u64,
    /// Bytes of each write, and the next offset when it is made.
    writes: Vec<(Offset, Vec<u8>)>,
    end: Offset,
}

async fn ingest(args: &IngestArgs) -> Result<ExitCode, CliError> {
    let config = Arc::new(Config::load(&args.config.config)?);
    let Backend::Kafka { journal, config: kafka } = Backend::open_read_only(&config)? else {
        return Err("measure ingest is of a journal on Kafka; this one is embedded".into());
    };
    let genesis = Storage::genesis(&config.data_dir)?.ok_or("the data directory has no identity yet; run the relayer once")?;
    let mut courses = Vec::new();
    for partition in 0..config.journal.partitions.get() {
        let at = Topic::Jobs.name(&config.journal.prefix).partition(partition);
        let end = journal.end(&at).await?;
        courses.push(noted(&config, genesis, journal.clone(), at, end).await?);
    }
    let records: u64 = courses.iter().map(|course| course.records).sum();
    if records == 0 {
        return Err("jobs.v1 is empty; there is nothing to measure".into());
    }
    let (mut folds, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        folds.push(folded(&config, genesis, &kafka, &courses).await?);
        bares.push(tokio::task::block_in_place(|| bare(&config, &kafka, &courses))?);
    }
    let (fold, bare) = (median(folds), median(bares));
    let rate = |took: Duration| f64::from(u32::try_from(records).unwrap_or(u32::MAX)) / took.as_secs_f64();
    let ratio = bare.as_secs_f64() / fold.as_secs_f64();
    if args.json {
        let figures = json!({
            "records": records, "rounds": args.rounds, "ingest_ratio": ratio,
            "fold_records_per_second": rate(fold), "bare_records_per_second": rate(bare),
        });
        say(format_args!("{figures}"))?;
    } else {
        say(format_args!(
            "{records} records of jobs.v1, {} rounds: folded {:.0} a second, bare consumer with the same writes {:.0} a second, ratio {ratio:.2}",
            args.rounds,
            rate(fold),
            rate(bare)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn fresh(config: &Config, genesis: Genesis) -> Result<(tempfile::TempDir, Store), CliError> {
    let folder = tempfile::tempdir_in(&config.data_dir)?;
    let identity = Identity { genesis, prefix: config.journal.prefix.clone() };
    let store = Store::open(folder.path(), &identity, crate::folds::SCHEMA)?;
    Ok((folder, store))
}

/// Folds one partition up to `end` into a store; returns how many records counted.
async fn fold(config: &Config, store: &Store, journal: Arc<dyn EventJournal>, at: &TopicPartition, end: Offset) -> Result<u64, CliError> {
    let mut fold = store.partition(at)?;
    let mut state = fold_of(config, &fold)?.ok_or_else(|| format!("{at} is folded by nobody"))?;
    let mut reader = PartitionReader::open(journal, at.clone(), Frontier::START).await?;
    let mut records = 0u64;
    while reader.next_offset() < end {
        let batch = reader.next_batch().await?;
        records = records.saturating_add(u64::try_from(batch.records.len())?);
        fold_into(&mut fold, state.as_mut(), batch.records)?;
    }
    Ok(records)
}

/// Folds a partition once and notes what that writes.
async fn noted(
    config: &Config,
    genesis: Genesis,
    journal: Arc<dyn EventJournal>,
    at: TopicPartition,
    end: Offset,
) -> Result<Course, CliError> {
    let (_folder, store) = fresh(config, genesis)?;
    let writes = Arc::new(Mutex::new(Vec::new()));
    let notes = writes.clone();
    store.note_writes(move |next, bytes| notes.lock().unwrap_or_else(PoisonError::into_inner).push((next, bytes.to_vec())));
    let records = fold(config, &store, journal, &at, end).await?;
    let writes = std::mem::take(&mut *writes.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Course { at, records, writes, end })
}

/// One round of the follower, with a client and a store of its own; a task for each partition, as in a replica.
async fn folded(config: &Arc<Config>, genesis: Genesis, kafka: &KafkaConfig, courses: &[Course]) -> Result<Duration, CliError> {
    let (_folder, store) = fresh(config, genesis)?;
    let store = Arc::new(store);
    let began = Instant::now();
    let journal: Arc<dyn EventJournal> = Arc::new(KafkaJournal::open(kafka, &config.journal.prefix)?);
    let mut tasks = JoinSet::new();
    for course in courses {
        let (config, store, journal, at, end) = (config.clone(), store.clone(), journal.clone(), course.at.clone(), course.end);
        tasks.spawn(async move { fold(&config, &store, journal, &at, end).await });
    }
    while let Some(records) = tasks.join_next().await {
        records??;
    }
    Ok(began.elapsed())
}

/// One round of the bare consumers.
fn bare(config: &Config, kafka: &KafkaConfig, courses: &[Course]) -> Result<Duration, CliError> {
    let folder = tempfile::tempdir_in(&config.data_dir)?;
    let store = BareStore::open(folder.path())?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = courses.iter().map(|course| scope.spawn(|| written(kafka, &store, course))).collect();
        for thread in threads {
            thread.join().map_err(|_| "a bare consumer's thread ended")??;
        }
        Ok::<_, CliError>(())
    })?;
    Ok(began.elapsed())
}

/// Polls one partition to its end and writes what its fold wrote.
fn written(kafka: &KafkaConfig, store: &BareStore, course: &Course) -> Result<(), CliError> {
    let mut writes = course.writes.iter().peekable();
    let mut next = Offset(0);
    if course.end == next {
        return Ok(());
    }
    let reader = BareReader::open(kafka, &course.at)?;
    while next < course.end {
        let (offset, _) = reader.next()?;
        next = offset.next();
        while let Some((_, bytes)) = writes.next_if(|(due, _)| *due <= next) {
            store.write(bytes)?;
        }
    }
    Ok(())
}
