//! Reading one table: typed values, PgBouncer's spellings, and every key that nobody asked for.

use super::node::{Node, Table, Value, join};
use super::report::Report;
use super::source::{Origin, Place};
use super::value::FromNode;
use super::words::nearest;
use std::collections::BTreeSet;

/// PgBouncer's names for keys of ours: (ours, PgBouncer's).
const PGBOUNCER_SPELLINGS: &[(&str, &str)] = &[
    ("max_client_connections", "max_client_conn"),
    ("login_timeout", "client_login_timeout"),
    ("unix_socket", "unix_socket_dir"),
    ("pool_wait_timeout", "query_wait_timeout"),
    ("pool_size", "default_pool_size"),
    ("reserve_pool_size", "reserve_pool"),
    ("reserve_pool_wait", "reserve_pool_timeout"),
    ("connect_timeout", "server_connect_timeout"),
    ("statement_timeout", "query_timeout"),
    ("idle_in_transaction_timeout", "idle_transaction_timeout"),
    ("max_server_connections", "max_db_connections"),
    ("method", "auth_type"),
    ("userlist", "auth_file"),
    ("auth_query_role", "auth_user"),
    ("auth_query_database", "auth_dbname"),
    ("admins", "admin_users"),
    ("viewers", "stats_users"),
];

/// Our name for a key that may be PgBouncer's.
pub(super) fn ours(key: &str) -> &str {
    let spelling = PGBOUNCER_SPELLINGS.iter().find(|(_, foreign)| *foreign == key);
    spelling.map_or(key, |(ours, _)| ours)
}

/// A value that the file sets, and where.
#[derive(Clone, Debug)]
pub(super) struct Set<T> {
    pub value: T,
    pub place: Place,
    pub origin: Origin,
}

/// One table while it is read. Dropped without [`Section::finish`], unknown keys go unreported.
pub(super) struct Section<'a> {
    /// Its key path, as in `databases.shop`.
    pub path: String,
    /// Where its header or value stands.
    pub place: Place,
    table: &'a Table,
    pub report: &'a mut Report,
    /// Keys that somebody asked for, whether they were there or not.
    known: BTreeSet<String>,
}

impl<'a> Section<'a> {
    pub fn new(
        path: impl Into<String>,
        place: Place,
        table: &'a Table,
        report: &'a mut Report,
    ) -> Self {
        Section { path: path.into(), place, table, report, known: BTreeSet::new() }
    }

    /// The path of a key in it.
    pub fn key(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The value's node and the key's place, under its own name or PgBouncer's.
    pub fn node(&mut self, key: &str) -> Option<(&'a Node, Place)> {
        self.known.insert(key.to_owned());
        let table = self.table;
        let mut found = table.entries.get(key).map(|entry| (&entry.node, entry.key));
        for (_, foreign) in PGBOUNCER_SPELLINGS.iter().filter(|(ours, _)| *ours == key) {
            let Some(entry) = table.entries.get(*foreign) else { continue };
            self.known.insert((*foreign).to_owned());
            if let Some((_, first)) = found {
                let also =
                    self.report.sources.locate(first).map(|at| ("the same setting".to_owned(), at));
                let path = self.key(foreign);
                let message =
                    format!("`{foreign}` is PgBouncer's name for `{key}`, which is set too");
                self.report.error(entry.key, &path, message).also = also;
                continue;
            }
            let path = self.key(foreign);
            let message = format!("`{foreign}` is PgBouncer's name; here it is `{key}`");
            self.report.note_once(foreign, entry.key, &path, message);
            found = Some((&entry.node, entry.key));
        }
        found
    }

    /// The value under `key`, if it is there and well-formed; what is not is reported.
    pub fn optional<T: FromNode>(&mut self, key: &str) -> Option<Set<T>> {
        let (node, _) = self.node(key)?;
        let path = self.key(key);
        let value = T::from_node(node, &path, self.report)?;
        Some(Set { value, place: node.place, origin: self.report.sources.origin(node.place) })
    }

    /// Replaces `into` by the value under `key`, if it is there. The answer is where it stands.
    pub fn update<T: FromNode>(&mut self, key: &str, into: &mut T) -> Option<Place> {
        let Set { value, place, .. } = self.optional(key)?;
        *into = value;
        Some(place)
    }

    /// The table under `key`.
    pub fn table(&mut self, key: &str) -> Option<(&'a Table, Place)> {
        let (node, key_place) = self.node(key)?;
        let path = self.key(key);
        match &node.value {
            Value::Table(table) => Some((table, key_place)),
            other => {
                let message = format!("`{key}` is a table, not {}", other.kind());
                self.report.error(node.place, &path, message).help =
                    Some(format!("write [{path}] and its keys below"));
                None
            }
        }
    }

    /// Every key with a table below it, for tables whose keys are names of the user's.
    pub fn named_tables(&mut self) -> Vec<(&'a str, &'a Table, Place)> {
        let keys: Vec<&'a str> = self.table.entries.keys().map(String::as_str).collect();
        keys.into_iter()
            .filter_map(|name| {
                let (table, place) = self.table(name)?;
                Some((name, table, place))
            })
            .collect()
    }

    /// Every key that nobody asked for yet, with its place.
    pub fn remaining(&self) -> Vec<(&'a str, &'a Node, Place)> {
        let entries = self.table.entries.iter().filter(|(key, _)| !self.known.contains(*key));
        entries.map(|(key, entry)| (key.as_str(), &entry.node, entry.key)).collect()
    }

    /// Takes a key as known, so that [`Section::finish`] does not report it.
    pub fn accept(&mut self, key: &str) {
        self.known.insert(key.to_owned());
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        for (key, _, place) in self.remaining() {
            let place_name = if self.path.is_empty() {
                "at the top level".to_owned()
            } else {
                format!("in [{}]", self.path)
            };
            let path = self.key(key);
            let help = self.advice(key);
            self.report.error(place, &path, format!("unknown key `{key}` {place_name}")).help =
                help;
        }
    }

    /// What may have been meant by an unknown key.
    fn advice(&self, key: &str) -> Option<String> {
        let mut foreign = PGBOUNCER_SPELLINGS.iter().map(|(_, foreign)| *foreign);
        if let Some(meant) = nearest(key, self.known.iter().map(String::as_str)) {
            return Some(format!("did you mean `{meant}`?"));
        }
        if let Some(places) = super::keys::places_of(key) {
            return Some(format!("`{key}` stands in {places}"));
        }
        if key == "pgbouncer" || foreign.any(|known| known == key) {
            return Some("`pgweir import-pgbouncer` translates a pgbouncer.ini".to_owned());
        }
        let keys: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
        (keys.len() <= 12).then(|| format!("known here: {}", keys.join(", ")))
    }
}
