//! `topics plan|apply|verify`: the journal's topics on Kafka. Nothing else creates one.

use super::{CliError, ConfigArgs, say};
use crate::backend::{brokers, topics};
use crate::config::{Config, JournalKind};
use crate::storage::Storage;
use acurast_events::caip::ChainId;
use acurast_relayer_journal_kafka::{KafkaJournal, TopicState};
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with the topics.
#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// Show every topic as it must be, and what `apply` would do.
    Plan(ConfigArgs),
    /// Create missing topics and set their configuration. May be repeated.
    Apply(ConfigArgs),
    /// Fail unless every topic is as it must be.
    Verify(ConfigArgs),
}

pub(super) async fn run(command: TopicsCommand) -> Result<ExitCode, CliError> {
    let (TopicsCommand::Plan(args) | TopicsCommand::Apply(args) | TopicsCommand::Verify(args)) = &command;
    let config = Config::load(&args.config)?;
    if config.journal.kind == JournalKind::Embedded {
        say(format_args!("the embedded journal makes its topics by itself; set journal.kind = \"kafka\" for topics on brokers"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let journal = KafkaJournal::open(brokers(&config)?, &config.journal.prefix)?;
    let wanted = topics(&config, &sources(&config)?);
    if matches!(command, TopicsCommand::Apply(_)) {
        let plan = journal.plan(&wanted).await?;
        journal.apply(&plan).await?;
    }
    let plan = journal.plan(&wanted).await?;
    for planned in &plan {
        say(format_args!("{planned}"))?;
    }
    let differs = plan.iter().any(|planned| planned.state != TopicState::AsPlanned);
    let shows_only = matches!(command, TopicsCommand::Plan(_));
    Ok(if differs && !shows_only { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The chains that facts come from: Acurast, by its genesis, and every destination with a contract.
fn sources(config: &Config) -> Result<Vec<ChainId>, CliError> {
    let genesis = match (config.acurast.genesis, Storage::genesis(&config.data_dir)?) {
        (Some(genesis), _) | (None, Some(genesis)) => genesis,
        (None, None) => return Err("the name of Acurast's source topic has its genesis hash: set acurast.genesis".into()),
    };
    let mut sources = vec![ChainId::substrate(&genesis)];
    sources.extend(config.evm.iter().map(|evm| evm.chain.clone()));
    sources.dedup();
    Ok(sources)
}
