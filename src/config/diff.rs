//! What differs between two configurations, and when a difference takes effect.

use super::Config;
use super::node::{Table, Value, join};
use super::secret::Secret;
use std::collections::BTreeMap;
use std::fmt;

/// When a changed value takes effect after a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// For everybody: at the next statement outside a transaction, or the next time it is needed.
    Reload,
    /// For clients that log in from then on; those that are there keep what they have.
    NewSessions,
    /// For logins that begin from then on.
    NewLogins,
    /// For TLS handshakes that begin from then on.
    NewHandshakes,
    /// For new connections to Postgres.
    NewServers,
    /// Not before a restart.
    Restart,
}

impl Effect {
    /// When a key takes effect that stands in this table: `[server.tls]`, `[defaults]` and so on.
    #[must_use]
    pub fn of(table: &str, key: &str) -> Self {
        match (table, key) {
            ("[server]", "unix_socket" | "workers") | ("[log]", "format") => Effect::Restart,
            ("[server.tls]", _) => Effect::NewHandshakes,
            ("[auth]", "cache_ttl") | ("[admin]", "stats_period") => Effect::Reload,
            ("[auth]" | "[[access]]" | "[admin]", _) => Effect::NewLogins,
            ("[server]" | "[http]" | "[log]" | "[guard.NAME]" | "the top level", _) => {
                Effect::Reload
            }
            (_, "pool_mode" | "session_state" | "replication") => Effect::NewSessions,
            (_, "connect_timeout" | "server_role" | "server_password" | "primary" | "alias_of") => {
                Effect::NewServers
            }
            (_, "password") => Effect::NewLogins,
            _ => Effect::Reload,
        }
    }

    /// In the words of `docs/configuration.md`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Effect::Reload => "yes",
            Effect::NewSessions => "new sessions",
            Effect::NewLogins => "new logins",
            Effect::NewHandshakes => "next handshake",
            Effect::NewServers => "new servers",
            Effect::Restart => "restart",
        }
    }
}

/// One value that the files set differently than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path, as in `databases.shop.pool_size`.
    pub key: String,
    /// What it was; `None`: not set, or not to be shown.
    pub before: Option<String>,
    /// What it is; `None`: not set, or not to be shown.
    pub now: Option<String>,
    /// When it takes effect.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        match (&self.before, &self.now) {
            (Some(before), Some(now)) => write!(f, ": {before} -> {now}")?,
            (None, Some(now)) => write!(f, " = {now}")?,
            (Some(_), None) | (None, None) => {}
        }
        match self.effect {
            Effect::Reload => Ok(()),
            Effect::Restart => f.write_str(" (not before a restart)"),
            later => write!(f, " ({})", later.as_str()),
        }
    }
}

/// What the files set, by key path. Nothing in it may be printed without a look at `shown`.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    values: BTreeMap<String, WrittenValue>,
}

#[derive(Clone, Debug)]
struct WrittenValue {
    text: Secret,
    shown: bool,
    effect: Effect,
}

impl Written {
    /// Everything below the top level of merged files.
    pub fn of(root: &Table) -> Self {
        let mut written = Written::default();
        written.add(root, "", &mut Vec::new());
        written
    }

    fn add<'t>(&mut self, table: &'t Table, path: &str, above: &mut Vec<&'t str>) {
        for (key, entry) in &table.entries {
            let path = join(path, key);
            if let Value::Table(inner) = &entry.node.value {
                above.push(key);
                self.add(inner, &path, above);
                above.pop();
                continue;
            }
            let effect = Effect::of(table_name(above, key), key);
            let shown = is_harmless(key) && is_plain(&entry.node.value);
            let text = Secret::new(text(&entry.node.value));
            self.values.insert(path, WrittenValue { text, shown, effect });
        }
    }
}

/// The table as `Effect::of` knows it, from the names that lead to it.
fn table_name(above: &[&str], key: &str) -> &'static str {
    match above {
        [] if key == "access" => "[[access]]",
        [] => "the top level",
        ["server"] => "[server]",
        ["server", "tls"] => "[server.tls]",
        ["auth"] => "[auth]",
        ["admin"] => "[admin]",
        ["http"] => "[http]",
        ["log"] => "[log]",
        ["guard", ..] => "[guard.NAME]",
        _ => "[defaults]",
    }
}

/// Keys whose values hold no secret, whoever writes them.
fn is_harmless(key: &str) -> bool {
    !matches!(key, "password" | "server_password" | "primary" | "replicas" | "url" | "auth_query")
}

/// Values that stand in the file itself, and are short.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => true,
        Value::String { text, outside } => !outside && text.len() <= 80,
        Value::Array(items) => items.len() <= 8 && items.iter().all(|item| is_plain(&item.value)),
        Value::Datetime | Value::Table(_) | Value::Broken => false,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String { text, .. } => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Datetime => "a date".to_owned(),
        Value::Broken => String::new(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| text(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let entries = table.entries.iter();
            let entries: Vec<_> = entries
                .map(|(key, entry)| format!("{key} = {}", text(&entry.node.value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

impl Config {
    /// Every value that the files set differently than those of `before` did, by key path.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let (now, before) = (&self.written.values, &before.written.values);
        let keys: std::collections::BTreeSet<&String> = now.keys().chain(before.keys()).collect();
        let mut changes = Vec::new();
        for key in keys {
            let (before, now) = (before.get(key), now.get(key));
            let exposed =
                |value: Option<&'_ WrittenValue>| value.map(|value| value.text.expose().to_owned());
            if exposed(before) == exposed(now) {
                continue;
            }
            let shown = [before, now].into_iter().flatten().all(|value| value.shown);
            let show = |value: Option<&WrittenValue>| exposed(value).filter(|_| shown);
            let effect = now.or(before).map_or(Effect::Reload, |value| value.effect);
            changes.push(Change { key: key.clone(), before: show(before), now: show(now), effect });
        }
        changes
    }

    /// The keys whose values a process that was started with `started` cannot take over.
    #[must_use]
    pub fn keys_for_restart(&self, started: &Self) -> Vec<&'static str> {
        let differs = [
            // The Unix socket is named after the first port.
            (
                "server.unix_socket",
                self.server.unix_socket_path() != started.server.unix_socket_path(),
            ),
            ("server.workers", self.server.workers != started.server.workers),
            ("log.format", self.log.format != started.log.format),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }

    /// Takes over what [`Config::keys_for_restart`] tells of, so that everybody who looks sees
    /// what is in force.
    pub fn keep_until_restart(&mut self, started: &Self) {
        self.server.unix_socket.clone_from(&started.server.unix_socket);
        self.server.workers = started.server.workers;
        self.log.format = started.log.format;
    }
}
