//! `config check|explain|schema`.

use super::{CliError, ConfigArgs, say};
use crate::config::Config;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read it, and say whether it makes sense.
    Check(ConfigArgs),
    /// Show every value as it is in force, defaults and environment included; secrets stay references.
    Explain(ConfigArgs),
    /// Print the JSON schema of the file, with the meaning of every key.
    Schema,
}

pub(super) fn run(command: ConfigCommand) -> Result<ExitCode, CliError> {
    match command {
        ConfigCommand::Check(args) => {
            let config = Config::load(&args.config)?;
            say(format_args!("{}: ok, {} destination(s), {} route(s)", args.config.display(), config.evm.len(), config.routes.len()))?;
            for evm in &config.evm {
                for lane in &evm.lanes {
                    say(format_args!(
                        "{}: lane {} in partition {} signs with {}",
                        evm.chain,
                        lane.number,
                        lane.partition,
                        lane.signer.describe()
                    ))?;
                }
                for attester in &evm.attesters {
                    say(format_args!("{}: an attester signs with {}", evm.chain, attester.describe()))?;
                }
            }
        }
        ConfigCommand::Explain(args) => say(format_args!("{}", serde_json::to_string_pretty(&Config::load(&args.config)?)?))?,
        ConfigCommand::Schema => say(format_args!("{}", serde_json::to_string_pretty(&schemars::schema_for!(Config))?))?,
    }
    Ok(ExitCode::SUCCESS)
}
