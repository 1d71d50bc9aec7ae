//! `run`: the relayer, until a signal or an error ends it.

use super::{CliError, ConfigArgs};
use crate::config::Config;
use crate::node::Node;
use crate::telemetry;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Runs the relayer; a signal ends it in order.
pub(super) async fn run(args: &ConfigArgs) -> Result<ExitCode, CliError> {
    let config = Config::load(&args.config)?;
    telemetry::init(&config.log.filter, config.log.format)?;
    let stop = CancellationToken::new();
    let node = Node::start(&config, stop.clone()).await?;
    tokio::spawn(stop_on_signal(stop));
    node.run().await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Cancels `stop` at the first interrupt or termination signal.
pub async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        tracing::error!("signals can't be watched; stop the process by its parent");
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping; a second signal ends the process at once, which loses nothing");
    stop.cancel();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    std::process::exit(130);
}
