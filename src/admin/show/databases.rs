//! SHOW DATABASES and SHOW USERS.

use std::collections::BTreeSet;

use super::{INT4, Sight, TEXT};
use crate::admin::table::{Column, Row, Value};
use crate::config::{Effective, Host, PoolMode};

pub(super) const DATABASES: &[Column] = &[
    ("name", TEXT),
    ("host", TEXT),
    ("port", INT4),
    ("database", TEXT),
    ("force_user", TEXT),
    ("pool_size", INT4),
    ("min_pool_size", INT4),
    ("reserve_pool_size", INT4),
    ("server_lifetime", INT4),
    ("pool_mode", TEXT),
    ("load_balance_hosts", TEXT),
    ("max_connections", INT4),
    ("current_connections", INT4),
    ("max_client_connections", INT4),
    ("current_client_connections", INT4),
    ("paused", INT4),
    ("disabled", INT4),
];

pub(super) const USERS: &[Column] = &[
    ("name", TEXT),
    ("pool_size", TEXT),
    ("reserve_pool_size", TEXT),
    ("pool_mode", TEXT),
    ("max_user_connections", INT4),
    ("current_connections", INT4),
    ("max_user_client_connections", INT4),
    ("current_client_connections", INT4),
];

/// The databases that have names: the configured ones, and those that `[databases."*"]` has served.
pub(super) fn names(sight: &Sight<'_>) -> BTreeSet<String> {
    let configured = sight.config.databases().map(|database| database.name.clone());
    let used = sight.snapshot.pools.iter().map(|pool| pool.database.clone());
    configured.filter(|name| name != "*").chain(used).collect()
}

/// The roles that have names: in the configuration, and those that have logged in.
pub(super) fn roles(sight: &Sight<'_>) -> BTreeSet<String> {
    let admin = &sight.config.admin;
    let listed = admin.admins.iter().chain(&admin.viewers).cloned();
    let tables = sight.config.role_names().map(str::to_owned);
    let used = sight.snapshot.pools.iter().map(|pool| pool.role.clone());
    let sessions = sight.sessions.iter().map(|session| session.role.clone());
    tables.chain(listed).chain(used).chain(sessions).collect()
}

pub(super) fn databases(sight: &Sight<'_>) -> Vec<Row> {
    let mut rows: Vec<Row> = names(sight).iter().map(|name| database(sight, name)).collect();
    let console = sight.config.admin.database.as_str();
    let mut own: Row = vec![console.into(), Value::Null, u32::from(sight.port).into()];
    own.extend([console.into(), console.into(), 0_u32.into(), 0_u32.into(), 0_u32.into()]);
    own.extend([0_u32.into(), "statement".into(), Value::Null, 0_u32.into(), 0_u32.into()]);
    own.extend([0_u32.into(), sight.sessions.len().into(), 0_u32.into(), 0_u32.into()]);
    rows.push(own);
    rows
}

fn database(sight: &Sight<'_>, name: &str) -> Row {
    let of_it = || sight.snapshot.pools.iter().filter(|pool| pool.database == name);
    let open: usize = of_it().map(|pool| pool.open).sum();
    let clients: usize = of_it().map(|pool| pool.clients).sum();
    // The values for a role that nothing is set for.
    let settings = sight.config.resolve(name, "");
    let settings = settings.as_ref();
    let (host, port) = settings.and_then(place).unzip();
    let number = |of: fn(&Effective) -> u32| Value::from(settings.map_or(0, of));
    let lifetime = settings.and_then(|settings| settings.server_lifetime.as_duration());
    let default_mode = sight.config.default_settings().pool_mode;
    let mode = settings.map(|s| s.pool_mode).filter(|mode| *mode != default_mode);
    vec![
        name.into(),
        host.into(),
        port.map(u32::from).into(),
        settings.map(|settings| settings.database.server_database.clone()).into(),
        settings.and_then(|settings| settings.server_role.clone()).into(),
        number(|settings| settings.pool_size),
        number(|settings| settings.min_pool_size),
        number(|settings| settings.reserve_pool_size),
        lifetime.map_or(0, |lifetime| lifetime.as_secs()).into(),
        mode.map(mode_name).into(),
        Value::Null,
        number(|settings| settings.max_server_connections),
        open.into(),
        0_u32.into(),
        clients.into(),
        sight.holds.hold(name).into(),
        sight.gates.is_disabled(name).into(),
    ]
}

/// The first place where the primary may be.
fn place(settings: &Effective) -> Option<(String, u16)> {
    settings.database.primary.hosts.first().map(|host| match host {
        Host::Tcp { name, port } | Host::Unix { dir: name, port } => (name.clone(), *port),
    })
}

/// The port of the first place, where the configuration still names it.
pub(super) fn port_of(settings: &Effective) -> Option<u16> {
    place(settings).map(|(_, port)| port)
}

pub(super) fn mode_name(mode: PoolMode) -> &'static str {
    match mode {
        PoolMode::Transaction => "transaction",
        PoolMode::Session => "session",
    }
}

pub(super) fn users(sight: &Sight<'_>) -> Vec<Row> {
    let row = |role: String| {
        let of_it = || sight.snapshot.pools.iter().filter(|pool| pool.role == role);
        let own = sight.sessions.iter().filter(|session| session.role == role).count();
        let open: usize = of_it().map(|pool| pool.open).sum();
        let clients: usize = of_it().map(|pool| pool.clients).sum();
        let sizes = sight.config.role_sizes(&role);
        let text = |size: Option<u32>| size.map_or_else(String::new, |size| size.to_string());
        vec![
            role.as_str().into(),
            text(sizes.pool_size).into(),
            text(sizes.reserve_pool_size).into(),
            sizes.pool_mode.map(mode_name).into(),
            0_u32.into(),
            open.into(),
            0_u32.into(),
            (clients + own).into(),
        ]
    };
    roles(sight).into_iter().map(row).collect()
}
