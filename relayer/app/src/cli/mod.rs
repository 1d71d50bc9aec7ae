//! The command line. Commands that read a running relayer ask it by HTTP; when none runs they open journal and store for reading only.

mod checkpoint;
mod config;
mod dlq;
pub mod job;
mod journal;
mod measure;
mod record;
mod replay;
mod run;
mod topics;

pub use run::stop_on_signal;

use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes a line for the reader of this command. Whoever went away (`| head`) ends the command without an error; see `main`.
///
/// # Errors
/// When standard output can't be written.
pub fn say(line: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// Any error that ends a command; its text is for the operator.
pub type CliError = Box<dyn std::error::Error + Send + Sync>;

/// Event-sourced cross-chain relayer and settlement bridge of the Acurast network.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file (TOML).
    #[arg(long, env = "ACURAST_RELAYER_CONFIG", default_value = "relayer.toml")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relayer until it is stopped.
    Run(ConfigArgs),
    /// Run the relayer against the development network, with its workload, and show what became of every job.
    Demo(crate::demo::DemoArgs),
    /// Look at jobs.
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Look at dead letters, and have them tried again or resolved.
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Look at the journal.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// The journal's topics on Kafka.
    #[command(subcommand)]
    Topics(topics::TopicsCommand),
    /// Copies of the state outside of its volume.
    #[command(subcommand)]
    Checkpoint(checkpoint::CheckpointCommand),
    /// Fold the journal into an empty state and compare it with the stored one.
    Replay(replay::ReplayArgs),
    /// Measure this replica on its own journal.
    #[command(subcommand)]
    Measure(measure::MeasureCommand),
    /// Check and explain the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Record finalized blocks of an Acurast node, to be replayed without one.
    Record(record::RecordArgs),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, in words for the operator.
    pub async fn execute(self) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Run(args) => run::run(&args).await,
            Command::Demo(args) => crate::demo::run(&args).await,
            Command::Job(command) => job::run(command).await,
            Command::Dlq(command) => dlq::run(command).await,
            Command::Journal(command) => journal::run(command).await,
            Command::Topics(command) => topics::run(command).await,
            Command::Checkpoint(command) => checkpoint::run(command).await,
            Command::Replay(args) => replay::run(&args).await,
            Command::Measure(command) => measure::run(command).await,
            Command::Config(command) => config::run(command),
            Command::Record(args) => record::run(&args).await,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        super::Cli::command().debug_assert();
    }
}
