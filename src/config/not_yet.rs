//! Keys that are read and checked, and that nothing acts on yet.
//!
//! Whoever sets one is told: by `pgweir check`, in the log of a start, and by each reload. A key
//! leaves the list in the commit that makes it work; `docs/configuration.md` has the same list.

use super::Config;
use super::node::{Table, Value, join};
use super::problem::{Location, Problem, Severity};
use super::section::{Set, ours};
use super::source::SourceMap;
use super::timeout::Timeout;
use super::words::TargetSessionAttrs;

/// What pgweir does today about a key of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Today {
    /// Nothing that any value of it asks for.
    Nothing,
    /// What this value asks for, whatever is set.
    Always(&'static str),
}

use Today::{Always, Nothing};

/// The table and the key, as in [`super::keys::TABLES`], and what happens today. `[defaults]`
/// stands for every table that its keys may stand in.
pub const NOT_YET: &[(&str, &str, Today)] = &[
    ("[server]", "peers", Always("[]")),
    ("[defaults]", "replication", Always("refuse")),
    ("[defaults]", "route", Always("primary")),
    ("[defaults]", "cancel_reuse", Always("after_eof")),
    ("[databases.X]", "replicas", Always("[]")),
    ("[databases.X.routing]", "reads", Always("primary")),
    ("[databases.X.routing]", "writes", Always("primary")),
    ("[databases.X.routing]", "strategy", Nothing),
    ("[databases.X.routing]", "consistency", Nothing),
    ("[databases.X.routing]", "max_lag", Nothing),
    ("[databases.X.routing]", "lag_interval", Nothing),
    ("[databases.X.routing]", "replica_wait", Always("off")),
    ("[databases.X.routing]", "when_no_replica", Always("primary")),
    ("[databases.X.routing]", "replica_safe_functions", Nothing),
    ("[guard.NAME]", "n-plus-one", Always("off")),
    ("[guard.NAME]", "slow-statement", Always("off")),
    ("[guard.NAME]", "request-storm", Always("off")),
    ("[http]", "dashboard", Always("false")),
    ("[log]", "slow_statement", Always("off")),
    ("[log]", "log_slow", Always("off")),
    ("[log]", "query_text", Always("off")),
    ("[log]", "rate_limit", Always("off")),
];

/// What happens today about a key of a table; `None`: what its value says.
fn today(table: &str, key: &str) -> Option<Today> {
    let found = NOT_YET.iter().find(|(t, k, _)| *t == table && *k == key);
    found.map(|(_, _, today)| *today)
}

/// Whether a value of `pgweir explain` is acted on: a setting of a client, or `routing.KEY`.
pub(super) fn is_acted_on(key: &str, shown: &str) -> bool {
    let today = match key.strip_prefix("routing.") {
        Some(key) => today("[databases.X.routing]", key),
        None if key.starts_with("replicas[") => today("[databases.X]", "replicas"),
        None => today("[defaults]", key),
    };
    match today {
        None => true,
        Some(Nothing) => false,
        Some(Always(value)) => value == shown,
    }
}

/// Every key that is set to something that does not happen yet.
pub(super) fn find(root: &Table, config: &Config, sources: &SourceMap) -> Vec<Problem> {
    let mut found = Vec::new();
    add(root, "", &mut Vec::new(), sources, &mut found);
    for (name, table) in &config.tables {
        let Some(Set { value: target, place, .. }) = &table.primary else { continue };
        let key = join(&join("databases", name), "primary");
        let has_several = target.hosts.len() > 1 || !table.replicas.is_empty();
        // Of several servers the primary is found: what most ask for, and all that there is.
        let is_found = match target.target_session_attrs {
            TargetSessionAttrs::Any => true,
            TargetSessionAttrs::ReadWrite | TargetSessionAttrs::Primary => has_several,
            TargetSessionAttrs::ReadOnly
            | TargetSessionAttrs::Standby
            | TargetSessionAttrs::PreferStandby => false,
        };
        if !is_found {
            let what = "has target_session_attrs, which does nothing yet";
            found.push(warning(&key, what, sources.locate(*place)));
        }
    }
    found.sort_by_key(|problem| {
        let at = problem.location.as_ref();
        at.map(|at| (sources.names().iter().position(|name| *name == at.file), at.line, at.column))
    });
    found
}

fn add<'t>(
    table: &'t Table,
    path: &str,
    above: &mut Vec<&'t str>,
    sources: &SourceMap,
    found: &mut Vec<Problem>,
) {
    for (name, entry) in &table.entries {
        let path = join(path, name);
        if let Value::Table(inner) = &entry.node.value {
            above.push(name);
            add(inner, &path, above, sources, found);
            above.pop();
            continue;
        }
        let key = ours(name);
        let what = match today(table_of(above, key), key) {
            None => continue,
            Some(Always(value)) if asks_for(&entry.node.value, value) => continue,
            Some(Always("off" | "[]" | "false" | "0") | Nothing) => "does nothing yet".to_owned(),
            Some(Always(value)) => format!("does nothing yet: it is always {value}"),
        };
        found.push(warning(&path, &what, sources.locate(entry.key)));
    }
}

fn warning(key: &str, what: &str, location: Option<Location>) -> Problem {
    Problem {
        severity: Severity::Warning,
        message: format!("`{key}` {what}"),
        location,
        key: Some(key.to_owned()),
        also: None,
        help: None,
    }
}

/// The table's name in [`NOT_YET`].
fn table_of(above: &[&str], key: &str) -> &'static str {
    match above {
        ["server"] => "[server]",
        ["http"] => "[http]",
        ["log"] => "[log]",
        ["guard", _] => "[guard.NAME]",
        ["databases", _] if key == "replicas" => "[databases.X]",
        ["databases", _, "routing"] => "[databases.X.routing]",
        ["defaults"] | ["roles" | "databases", ..] => "[defaults]",
        _ => "",
    }
}

/// Whether a value of a file asks for what `today` is in the words of this list.
fn asks_for(value: &Value, today: &str) -> bool {
    match value {
        Value::String { text, .. } => {
            text == today || (today == "off" && Timeout::parse(text) == Ok(Timeout::Off))
        }
        Value::Integer(number) => number.to_string() == today || (today == "off" && *number == 0),
        Value::Boolean(value) => value.to_string() == today,
        Value::Array(items) => items.is_empty() && today == "[]",
        Value::Float(_) | Value::Datetime | Value::Table(_) | Value::Broken => false,
    }
}
