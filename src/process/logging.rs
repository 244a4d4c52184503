//! The log: lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts the log as the configuration says.
///
/// # Errors
/// `level` is no filter.
pub(super) fn start(config: &LogConfig) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|error| format!("[log].level = \"{}\": {error}", config.level))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start in one process (tests) leaves the first one in place.
    let _ = if json {
        log.json().flatten_event(true).with_ansi(false).try_init().map_err(drop)
    } else {
        log.with_ansi(terminal).try_init().map_err(drop)
    };
    Ok(())
}
