//! Logs: one line per event on standard error, with the spans' job, lane and chain; JSON for machines, text for people.

use crate::config::LogFormat;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("logging with filter {filter:?} can't be set up: {reason}; see `acurast-relayer config explain`")]
pub struct TelemetryError {
    filter: String,
    reason: String,
}

/// Installs the process's log subscriber.
///
/// # Errors
/// When the filter does not parse.
pub fn init(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let parsed = EnvFilter::try_new(filter).map_err(|error| TelemetryError { filter: filter.to_owned(), reason: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    let installed = match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    installed.map_err(|error| TelemetryError { filter: filter.to_owned(), reason: error.to_string() })
}

/// Installs a log subscriber that writes text lines to a file, for commands that need the terminal themselves.
///
/// # Errors
/// When the file can't be made or the filter does not parse.
pub fn init_file(filter: &str, path: &Path) -> Result<(), TelemetryError> {
    let failed = |reason: String| TelemetryError { filter: filter.to_owned(), reason };
    let parsed = EnvFilter::try_new(filter).map_err(|error| failed(error.to_string()))?;
    let file = std::fs::File::create(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_ansi(false).with_writer(Mutex::new(file));
    builder.try_init().map_err(|error| failed(error.to_string()))
}
