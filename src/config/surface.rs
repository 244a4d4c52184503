//! `[admin]`, `[http]` and `[log]`: how operators see into pgweir.

use super::defaults::DEFAULT_HTTP_LISTEN;
use super::section::Section;
use super::server::ListenAddress;
use super::size::Rate;
use super::timeout::Timeout;
use super::words::{LogFormat, QueryText};

/// The port of metrics, probes and dashboard where none is given.
const DEFAULT_HTTP_PORT: u16 = 9127;

/// The console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// The database's name under which clients reach it; `pgweir` always works too.
    /// Default: `pgbouncer`. Reloadable.
    pub database: String,
    /// Roles that may do everything there. Default: none. Reloadable.
    pub admins: Vec<String>,
    /// Roles that may SHOW. Default: none. Reloadable.
    pub viewers: Vec<String>,
    /// How often averages begin anew; they are taken over one to two of these. Not `off`.
    /// Default: 60s. Not reloadable.
    pub stats_period: Timeout,
}

impl AdminConfig {
    /// Whether a client that asks for this database gets the console.
    pub fn serves(&self, database: &str) -> bool {
        database == self.database || database == "pgweir"
    }

    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut admin = AdminConfig::default();
        let place = section.update("database", &mut admin.database);
        section.update("admins", &mut admin.admins);
        section.update("viewers", &mut admin.viewers);
        let period_place = section.update("stats_period", &mut admin.stats_period);
        if let Some(place) = period_place.filter(|_| admin.stats_period == Timeout::Off) {
            let path = section.key("stats_period");
            section.report.error(place, &path, "averages need a period");
        }
        if let Some(place) = place.filter(|_| admin.database.is_empty() || admin.database == "*") {
            let path = section.key("database");
            section.report.error(place, &path, "the console needs a name of its own");
        }
        section.finish();
        admin
    }
}

/// Metrics, probes and the dashboard, on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens; `"off"` or no `[http]`: nowhere. Default: `127.0.0.1:9127` where `[http]` stands.
    /// Reloadable.
    pub listen: Option<ListenAddress>,
    /// Whether `/` shows the dashboard. Default: true. Reloadable.
    pub dashboard: bool,
    /// Whether `/metrics` also has PgBouncer's names. Default: false. Reloadable.
    pub pgbouncer_metrics: bool,
}

impl HttpConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut http = HttpConfig::default();
        let listen = section.optional::<String>("listen");
        section.update("dashboard", &mut http.dashboard);
        section.update("pgbouncer_metrics", &mut http.pgbouncer_metrics);

        let text = listen.as_ref().map_or(DEFAULT_HTTP_LISTEN, |set| set.value.as_str());
        if text != "off" {
            match ListenAddress::parse(text, DEFAULT_HTTP_PORT) {
                Ok(address) => http.listen = Some(address),
                Err(message) => {
                    let path = section.key("listen");
                    let place = listen.as_ref().map_or(section.place, |set| set.place);
                    section.report.error(place, &path, message);
                }
            }
        }
        if let (Some(set), Some(address)) = (&listen, &http.listen)
            && http.dashboard
            && !address.is_loopback()
        {
            let path = section.key("listen");
            let message =
                "everybody who reaches this address sees the dashboard, which asks for no password";
            section.report.warn(set.place, &path, message).help =
                Some("listen at 127.0.0.1, or set `dashboard = false`".to_owned());
        }
        section.finish();
        http
    }
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or a filter by module as in
    /// `info,pgweir::pool=debug`. Default: `info`. Reloadable.
    pub level: String,
    /// How lines look. Default: `auto`. Not reloadable.
    pub format: LogFormat,
    /// Statements slower than this are counted and listed as slow. `off`: none. Default: 30ms. Reloadable.
    pub slow_statement: Timeout,
    /// Statements slower than this are logged. `off`: none. Default: 1s. Reloadable.
    pub log_slow: Timeout,
    /// How much of a statement's text goes into the log. Default: `normalized`. Reloadable.
    pub query_text: QueryText,
    /// Identical messages beyond this are counted, not printed. `off`: all are printed.
    /// Default: 20/s. Reloadable.
    pub rate_limit: Rate,
}

impl LogConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let mut log = LogConfig::default();
        let level_place = section.update("level", &mut log.level);
        section.update("format", &mut log.format);
        section.update("slow_statement", &mut log.slow_statement);
        section.update("log_slow", &mut log.log_slow);
        section.update("query_text", &mut log.query_text);
        section.update("rate_limit", &mut log.rate_limit);
        if let Some(place) = level_place.filter(|_| !is_level_filter(&log.level)) {
            let path = section.key("level");
            section
                .report
                .error(place, &path, "not a level: error, warn, info, debug, trace, off")
                .help = Some("for one module: \"info,pgweir::pool=debug\"".to_owned());
        }
        section.finish();
        log
    }
}

/// Whether `text` is a level, or a comma list of levels and `module=level`.
fn is_level_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    text.split(',').all(|part| {
        let (module, level) = part.trim().rsplit_once('=').unwrap_or(("pgweir", part.trim()));
        let module_ok = !module.is_empty()
            && module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        module_ok && LEVELS.contains(&level)
    })
}

#[cfg(test)]
mod tests {
    use super::is_level_filter;

    #[test]
    fn levels_and_filters() {
        for text in ["info", "debug", "info,pgweir::pool=debug", "warn, pgweir=trace"] {
            assert!(is_level_filter(text), "{text}");
        }
        for text in ["", "loud", "info,", "=debug", "pgweir=loud"] {
            assert!(!is_level_filter(text), "{text}");
        }
    }
}
