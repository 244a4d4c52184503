//! SHOW CONFIG: settings under PgBouncer's names, in its units (whole seconds), as tools expect.
//! `pgweir check` and the file show them in pgweir's own words.

use super::databases::mode_name;
use super::{Sight, TEXT};
use crate::admin::table::{Column, Row};
use crate::config::{Config, Settings, Timeout};

pub(super) const CONFIG: &[Column] =
    &[("key", TEXT), ("value", TEXT), ("default", TEXT), ("changeable", TEXT)];

/// Whether a reload takes a setting over.
type Changeable = bool;

/// Name, value and whether a reload takes it over, in order of the names.
fn entries(config: &Config, settings: &Settings) -> Vec<(&'static str, String, Changeable)> {
    let server = &config.server;
    let auth = &config.auth;
    let text = |path: Option<&std::path::PathBuf>| {
        path.map_or_else(String::new, |path| path.display().to_string())
    };
    let tls = server.tls.as_ref();
    let hosts: Vec<&str> = server.listen.iter().map(|address| address.host.as_str()).collect();
    let port = server.listen.first().map_or(0, |address| address.port);
    let tls_mode = tls.map_or_else(|| "disable".to_owned(), |tls| tls.mode.as_str().to_owned());
    vec![
        ("admin_users", config.admin.admins.join(","), true),
        ("auth_dbname", auth.auth_query_database.clone(), true),
        ("auth_file", text(auth.userlist.as_ref()), true),
        ("auth_query", auth.auth_query.clone().unwrap_or_default(), true),
        ("auth_type", auth.method.as_str().to_owned(), true),
        ("auth_user", auth.auth_query_role.clone().unwrap_or_default(), true),
        ("client_idle_timeout", seconds(server.client_idle_timeout), true),
        ("client_login_timeout", seconds(server.login_timeout), true),
        ("client_tls_ca_file", text(tls.and_then(|tls| tls.client_ca.as_ref())), true),
        ("client_tls_cert_file", text(tls.map(|tls| &tls.certificate)), true),
        ("client_tls_key_file", text(tls.map(|tls| &tls.private_key)), true),
        ("client_tls_sslmode", tls_mode, true),
        ("conffile", config.files.first().map(ToString::to_string).unwrap_or_default(), false),
        ("default_pool_size", settings.pool_size.to_string(), true),
        ("idle_transaction_timeout", seconds(settings.idle_in_transaction_timeout), true),
        ("listen_addr", hosts.join(","), true),
        ("listen_port", port.to_string(), true),
        ("max_client_conn", server.max_client_connections.to_string(), true),
        ("max_db_client_connections", "0".to_owned(), true),
        ("max_db_connections", settings.max_server_connections.to_string(), true),
        ("max_packet_size", "2147483647".to_owned(), false),
        ("max_prepared_statements", settings.max_prepared_statements.to_string(), true),
        ("max_user_client_connections", "0".to_owned(), true),
        ("max_user_connections", "0".to_owned(), true),
        ("min_pool_size", settings.min_pool_size.to_string(), true),
        ("pool_mode", mode_name(settings.pool_mode).to_owned(), true),
        ("query_timeout", seconds(settings.statement_timeout), true),
        ("query_wait_timeout", seconds(settings.pool_wait_timeout), true),
        ("reserve_pool_size", settings.reserve_pool_size.to_string(), true),
        ("reserve_pool_timeout", seconds(settings.reserve_pool_wait), true),
        ("server_connect_timeout", seconds(settings.connect_timeout), true),
        ("server_idle_timeout", seconds(settings.server_idle_timeout), true),
        ("server_lifetime", seconds(settings.server_lifetime), true),
        ("server_reset_query", "DISCARD ALL".to_owned(), false),
        ("stats_period", seconds(config.admin.stats_period), true),
        ("stats_users", config.admin.viewers.join(","), true),
        ("transaction_timeout", seconds(settings.transaction_timeout), true),
        ("unix_socket_dir", text(server.unix_socket.as_ref()), false),
    ]
}

/// As PgBouncer writes durations: in seconds, 0 for none.
fn seconds(timeout: Timeout) -> String {
    let millis = timeout.as_millis().unwrap_or_default();
    if millis.is_multiple_of(1_000) {
        (millis / 1_000).to_string()
    } else {
        (millis as f64 / 1e3).to_string()
    }
}

/// Whether `SET key` means a setting of the pooler. Those that Postgres has as well are left to
/// drivers, who send them to every server.
pub fn is_own_setting(key: &str) -> bool {
    NAMES.contains(&key)
}

const NAMES: [&str; 37] = [
    "admin_users",
    "auth_dbname",
    "auth_file",
    "auth_query",
    "auth_type",
    "auth_user",
    "client_idle_timeout",
    "client_login_timeout",
    "client_tls_ca_file",
    "client_tls_cert_file",
    "client_tls_key_file",
    "client_tls_sslmode",
    "conffile",
    "default_pool_size",
    "idle_transaction_timeout",
    "listen_addr",
    "listen_port",
    "max_client_conn",
    "max_db_client_connections",
    "max_db_connections",
    "max_packet_size",
    "max_prepared_statements",
    "max_user_client_connections",
    "max_user_connections",
    "min_pool_size",
    "pool_mode",
    "query_timeout",
    "query_wait_timeout",
    "reserve_pool_size",
    "reserve_pool_timeout",
    "server_connect_timeout",
    "server_idle_timeout",
    "server_lifetime",
    "server_reset_query",
    "stats_period",
    "stats_users",
    "unix_socket_dir",
];

pub(super) fn config(sight: &Sight<'_>) -> Vec<Row> {
    let now = entries(sight.config, &sight.config.default_settings());
    let built_in = Config::built_in();
    let before = entries(&built_in, &Settings::default());
    let row = |((key, value, changeable), (_, default, _)): ((_, String, _), (_, String, _))| {
        let changeable: Changeable = changeable;
        let key: &str = key;
        vec![key.into(), value.into(), default.into(), if changeable { "yes" } else { "no" }.into()]
    };
    now.into_iter().zip(before).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stand_in_order_and_can_be_named() {
        let entries = entries(&Config::built_in(), &Settings::default());
        let shown: Vec<&str> = entries.iter().map(|(name, _, _)| *name).collect();
        assert!(shown.is_sorted());
        let own: Vec<&str> =
            shown.into_iter().filter(|name| *name != "transaction_timeout").collect();
        assert_eq!(own, NAMES);
    }
}
