//! Every key by the table that it stands in: for advice about misplaced keys and for the documentation's test.

use super::database::RoutingConfig;
use super::settings::{Settings, setting_places};

/// The tables with keys of their own, `[defaults]` and its relatives aside.
pub const TABLES: &[(&str, &[&str])] = &[
    ("the top level", &["config_version", "include"]),
    (
        "[server]",
        &[
            "listen",
            "unix_socket",
            "max_client_connections",
            "login_timeout",
            "client_idle_timeout",
            "drain_timeout",
            "max_statement_size",
            "workers",
            "peers",
        ],
    ),
    ("[server.tls]", &["mode", "certificate", "private_key", "client_ca"]),
    (
        "[auth]",
        &[
            "method",
            "userlist",
            "auth_query",
            "auth_query_role",
            "auth_query_database",
            "cache_ttl",
        ],
    ),
    ("[[access]]", &["database", "role", "from", "tls", "method"]),
    ("[databases.X]", &["alias_of", "primary", "replicas"]),
    ("[databases.X.routing]", RoutingConfig::KEYS),
    ("[guard.NAME]", &["base", "hint_url", "partitioned_tables"]),
    ("[admin]", &["database", "admins", "viewers", "stats_period"]),
    ("[http]", &["listen", "dashboard", "pgbouncer_metrics"]),
    ("[log]", &["level", "format", "slow_statement", "log_slow", "query_text", "rate_limit"]),
];

/// The tables in which `key` may stand.
pub(super) fn places_of(key: &str) -> Option<String> {
    if let Some(places) = setting_places(key) {
        return Some(places.to_owned());
    }
    let found: Vec<_> =
        TABLES.iter().filter(|(_, keys)| keys.contains(&key)).map(|(table, _)| *table).collect();
    (!found.is_empty()).then(|| found.join(" or "))
}

/// Every key that the configuration knows, once.
pub fn all() -> std::collections::BTreeSet<&'static str> {
    TABLES.iter().flat_map(|(_, keys)| keys.iter()).chain(Settings::KEYS).copied().collect()
}
