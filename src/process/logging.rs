//! The log: lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

use crate::config::{LogConfig, LogFormat};

/// What decides which lines are written, so that a reload can replace it.
pub(super) struct LogLevel {
    replace: Box<dyn Fn(EnvFilter) + Send + Sync>,
}

impl LogLevel {
    /// The filter of a configuration.
    ///
    /// # Errors
    /// `level` is no filter.
    pub(super) fn parse(config: &LogConfig) -> Result<EnvFilter, String> {
        EnvFilter::try_new(&config.level)
            .map_err(|error| format!("[log].level = \"{}\": {error}", config.level))
    }

    /// Lines from now on go by this filter.
    pub(super) fn set(&self, filter: EnvFilter) {
        (self.replace)(filter);
    }

    fn of<S: 'static>(handle: Handle<EnvFilter, S>) -> Self {
        // Fails when the log has gone, and with it everything that could be filtered.
        LogLevel { replace: Box::new(move |filter| drop(handle.reload(filter))) }
    }
}

/// Starts the log as the configuration says.
///
/// # Errors
/// `level` is no filter.
pub(super) fn start(config: &LogConfig) -> Result<LogLevel, String> {
    let filter = LogLevel::parse(config)?;
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
    let level = if json {
        let log = log.json().flatten_event(true).with_ansi(false).with_filter_reloading();
        let level = LogLevel::of(log.reload_handle());
        let _ = log.try_init();
        level
    } else {
        let log = log.with_ansi(terminal).with_filter_reloading();
        let level = LogLevel::of(log.reload_handle());
        let _ = log.try_init();
        level
    };
    Ok(level)
}
