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

/// The table and the key, as in [`super::keys::TABLES`], and the value that asks for what happens today, whatever is set.
/// `[defaults]` stands for every table that its keys may stand in.
pub const NOT_YET: &[(&str, &str, &str)] = &[
    ("[server]", "peers", "[]"),
    ("[defaults]", "replication", "refuse"),
    ("[defaults]", "cancel_reuse", "after_eof"),
    ("[guard.NAME]", "n-plus-one", "off"),
    ("[guard.NAME]", "slow-statement", "off"),
    ("[guard.NAME]", "request-storm", "off"),
    ("[http]", "dashboard", "false"),
    ("[log]", "slow_statement", "off"),
    ("[log]", "log_slow", "off"),
    ("[log]", "query_text", "off"),
    ("[log]", "rate_limit", "off"),
];

/// What happens today about a key of a table; `None`: what its value says.
fn today(table: &str, key: &str) -> Option<&'static str> {
    let found = NOT_YET.iter().find(|(t, k, _)| *t == table && *k == key);
    found.map(|(_, _, today)| *today)
}

/// Whether a value of `pgweir explain` is acted on: a setting of a client.
pub(super) fn is_acted_on(key: &str, shown: &str) -> bool {
    today("[defaults]", key).is_none_or(|value| value == shown)
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
        let what = match today(table_of(above), key) {
            None => continue,
            Some(value) if asks_for(&entry.node.value, value) => continue,
            Some("off" | "[]" | "false" | "0") => "does nothing yet".to_owned(),
            Some(value) => format!("does nothing yet: it is always {value}"),
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
fn table_of(above: &[&str]) -> &'static str {
    match above {
        ["server"] => "[server]",
        ["http"] => "[http]",
        ["log"] => "[log]",
        ["guard", _] => "[guard.NAME]",
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
