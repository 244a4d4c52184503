//! Pool sizes, limits in time, and policies: each value alone, then together as they hold for a client.

use super::super::Config;
use super::super::node::join;
use super::super::report::Report;
use super::super::section::Set;
use super::super::settings::{Layer, Settings};
use super::super::source::Place;
use super::super::words::{PoolMode, nearest};
use std::collections::BTreeSet;

pub(super) fn check(config: &Config, report: &mut Report) {
    check_layer(config, "defaults", &config.defaults, report);
    for (name, table) in &config.tables {
        let path = join("databases", name);
        check_layer(config, &path, &table.layer, report);
        for (role, table) in &table.roles {
            check_layer(config, &join(&format!("{path}.roles"), role), &table.layer, report);
        }
    }
    for (role, table) in &config.roles {
        check_layer(config, &join("roles", role), &table.layer, report);
    }
    let mut together = Together { report, told: BTreeSet::new() };
    for database in config.databases() {
        // The empty name is every role without a table of its own.
        for role in std::iter::once("").chain(config.roles_of(&database.name)) {
            together.check(config, &database.name, role);
        }
    }
}

/// What is wrong whatever the other layers say.
fn check_layer(config: &Config, path: &str, layer: &Layer, report: &mut Report) {
    if let Some(set) = layer.pool_size.as_ref().filter(|set| set.value == 0) {
        let message = "a pool of size 0 serves nobody";
        report.error(set.place, &join(path, "pool_size"), message).help =
            Some("to keep clients out, write an [[access]] rule".to_owned());
    }
    if let Some(set) = layer.guard.as_ref().filter(|set| !config.policies.contains_key(&set.value))
    {
        let known: Vec<_> = config.policies.keys().map(String::as_str).collect();
        let help = match nearest(&set.value, known.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("there are {}", known.join(", ")),
        };
        let message = format!("there is no guard policy `{}`", set.value);
        report.error(set.place, &join(path, "guard"), message).help = Some(help);
    }
    if let Some(set) = layer.server_role.as_ref().filter(|set| set.value.as_deref() == Some("")) {
        report.error(set.place, &join(path, "server_role"), "the role's name is empty");
    }
}

/// Values of one client that contradict each other. Each place is told of once.
struct Together<'r> {
    report: &'r mut Report,
    told: BTreeSet<(Place, &'static str)>,
}

/// The place of a setting in the most specific layer that has it.
macro_rules! place_of {
    ($layers:expr, $($key:ident),+) => {
        [$(newest(&$layers, |layer| layer.$key.as_ref())),+].into_iter().flatten().max_by_key(|(rank, _)| *rank).map(|(_, place)| place)
    };
}

/// The rank and place of a value in the most specific layer that sets it.
fn newest<'l, T: 'l>(
    layers: &[&'l Layer],
    pick: impl Fn(&'l Layer) -> Option<&'l Set<T>>,
) -> Option<(usize, Place)> {
    layers
        .iter()
        .enumerate()
        .rev()
        .find_map(|(rank, layer)| pick(layer).map(|set| (rank, set.place)))
}

impl Together<'_> {
    fn check(&mut self, config: &Config, database: &str, role: &str) {
        let layers = config.layers(database, role);
        let mut values = Settings::default();
        for layer in &layers {
            layer.apply(&mut values);
        }
        let whose = if role.is_empty() {
            format!("in database `{database}`")
        } else {
            format!("for role `{role}` in database `{database}`")
        };
        let Settings { pool_size, min_pool_size, max_server_connections: cap, .. } = values;

        if min_pool_size > pool_size && pool_size > 0 {
            let message = format!(
                "`min_pool_size` is {min_pool_size}, above `pool_size`, which is {pool_size} {whose}"
            );
            self.error("min_pool_size", place_of!(layers, min_pool_size, pool_size), message);
        }
        if cap > 0 && pool_size > cap {
            let message = format!(
                "`pool_size` is {pool_size} {whose}, but `max_server_connections` is {cap}"
            );
            self.warn("pool_size", place_of!(layers, pool_size, max_server_connections), message);
        }
        let waits = (values.reserve_pool_wait.as_millis(), values.pool_wait_timeout.as_millis());
        if let (Some(reserve), Some(limit)) = waits
            && values.reserve_pool_size > 0
            && reserve >= limit
        {
            let message = format!(
                "the reserve is never used {whose}: clients give up after {}, before `reserve_pool_wait`, {}",
                values.pool_wait_timeout, values.reserve_pool_wait
            );
            self.warn(
                "reserve_pool_wait",
                place_of!(layers, reserve_pool_wait, pool_wait_timeout),
                message,
            );
        }
        for (key, lock, place) in [
            (
                "lock_timeout",
                values.lock_timeout,
                place_of!(layers, lock_timeout, statement_timeout),
            ),
            (
                "ddl_lock_timeout",
                values.ddl_lock_timeout,
                place_of!(layers, ddl_lock_timeout, statement_timeout),
            ),
        ] {
            if let (Some(lock), Some(limit)) =
                (lock.as_millis(), values.statement_timeout.as_millis())
                && lock >= limit
            {
                let message = format!(
                    "`{key}` never strikes {whose}: `statement_timeout` is {}",
                    values.statement_timeout
                );
                self.warn(key, place, message);
            }
        }
        if values.server_password.is_some() && values.server_role.is_none() {
            let message = format!("`server_password` does nothing {whose} without `server_role`");
            self.warn("server_password", place_of!(layers, server_password), message);
        }
        if role.contains("migrat")
            && values.pool_mode == PoolMode::Transaction
            && !values.statement_timeout.is_off()
        {
            let message = format!(
                "migrations may be cut off {whose}: statements end after {} and sessions are pooled",
                values.statement_timeout
            );
            let place = config.roles.get(role).map(|table| table.place);
            self.warn("statement_timeout", place, message);
        }
    }

    fn error(&mut self, key: &'static str, place: Option<Place>, message: String) {
        if let Some(place) = place.filter(|place| self.told.insert((*place, key))) {
            self.report.error(place, key, message);
        }
    }

    fn warn(&mut self, key: &'static str, place: Option<Place>, message: String) {
        if let Some(place) = place.filter(|place| self.told.insert((*place, key))) {
            self.report.warn(place, key, message);
        }
    }
}
