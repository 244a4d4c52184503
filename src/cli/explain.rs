//! `pgweir explain`: every value that holds for a role in a database, and the line that set it; or what would be done with
//! a statement.

use super::json;
use crate::config::{Config, Explained, Origin, nearest};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

mod asked;
mod catalog;
mod lines;
mod route;
mod statement;
#[cfg(test)]
mod statement_tests;

pub use asked::{Statements, answer, explain_statements};
pub(super) use catalog::Inquirer;

/// How `pgweir explain` prints what holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ExplainFormat {
    /// For people: a table.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Whose values are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The database as a client names it.
    pub database: &'a str,
    /// The role; `None`: any role without tables of its own.
    pub role: Option<&'a str>,
}

/// What `pgweir explain` answers.
#[derive(Debug)]
pub struct Answer {
    /// 0: fine. 1: the configuration is broken, or has no such database. 2: it could not be read.
    pub exit_code: u8,
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub complaint: String,
}

/// Explains a file, prints the answer, and gives the exit code.
pub fn explain(path: &Path, question: Question<'_>, format: ExplainFormat) -> u8 {
    let Answer { exit_code, output, complaint } = examine(path, question, format);
    // Whoever closed the pipe has seen enough; the exit code still says what was found.
    let _ = std::io::stdout().lock().write_all(output.as_bytes());
    let _ = std::io::stderr().lock().write_all(complaint.as_bytes());
    exit_code
}

/// Explains a file. Prints nothing.
pub fn examine(path: &Path, question: Question<'_>, format: ExplainFormat) -> Answer {
    let refused = |exit_code, complaint| Answer { exit_code, output: String::new(), complaint };
    let config = match Config::load(path) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            let exit_code = if problems.unreadable { 2 } else { 1 };
            return refused(exit_code, format!("{problems}\n"));
        }
    };
    let Some(groups) = groups(&config, question) else {
        return refused(1, no_database(&config, question.database));
    };
    let output = match format {
        ExplainFormat::Text => text(question, &groups),
        ExplainFormat::Json => as_json(question, &groups),
    };
    Answer { exit_code: 0, output, complaint: String::new() }
}

/// Behind the origin of a value that nothing acts on yet.
const NOT_YET: &str = "  (does nothing yet)";

/// Values under a common heading.
struct Group {
    heading: String,
    values: Vec<Explained>,
}

fn groups(config: &Config, Question { database, role }: Question<'_>) -> Option<Vec<Group>> {
    let role = role.unwrap_or_default();
    let (routing, settings) = config
        .explain(database, role)?
        .into_iter()
        .partition(|value: &Explained| value.key.starts_with("routing."));
    let policy = config.resolve(database, role)?.policy;
    let rules = policy.rules.iter().map(|(rule, action)| Explained {
        key: format!("guard.{rule}"),
        value: action.to_string(),
        origin: policy.origin(rule),
        acted_on: false,
    });
    let group = |heading: &str, values| Group { heading: heading.to_owned(), values };
    Some(vec![
        group("database", config.explain_database(database)?),
        group("settings", settings),
        group("routing", routing),
        group(&format!("guard \"{}\"", policy.name), rules.collect()),
    ])
}

fn no_database(config: &Config, name: &str) -> String {
    if config.admin.serves(name) {
        return format!("\"{name}\" is pgweir's console, not a database\n");
    }
    if name == "*" {
        return "\"*\" is no name: ask for a database that no other table has\n".to_owned();
    }
    let known: Vec<_> = config.databases().map(|database| database.name.as_str()).collect();
    let meant = nearest(name, known.iter().copied());
    let advice = meant.map_or_else(
        || format!("there are {}", known.join(", ")),
        |meant| format!("did you mean \"{meant}\"?"),
    );
    format!("the configuration has no database \"{name}\"; {advice}\n")
}

fn text(Question { database, role }: Question<'_>, groups: &[Group]) -> String {
    let role = role.map_or_else(
        || "any role without tables of its own".to_owned(),
        |role| format!("role \"{role}\""),
    );
    let mut out = format!("database \"{database}\", {role}\n");
    let all = || groups.iter().flat_map(|group| &group.values);
    let width = |of: fn(&Explained) -> &str| all().map(|value| of(value).chars().count()).max();
    // One long list must not push every origin out of sight.
    let keys = width(|value| &value.key).unwrap_or(0);
    let values = width(|value| &value.value).unwrap_or(0).min(48);
    for Group { heading, values: explained } in groups {
        let _ = writeln!(out, "\n{heading}");
        for Explained { key, value, origin, acted_on } in explained {
            let origin = match origin {
                Origin::BuiltIn => "default".to_owned(),
                Origin::File { .. } => origin.to_string(),
            };
            let yet = if *acted_on { "" } else { NOT_YET };
            let _ = writeln!(out, "  {key:keys$}  {value:values$}  {origin}{yet}");
        }
    }
    out
}

fn as_json(Question { database, role }: Question<'_>, groups: &[Group]) -> String {
    let values: Vec<String> =
        groups.iter().flat_map(|group| &group.values).map(value_json).collect();
    format!(
        "{{\"database\":{},\"role\":{},\"values\":[{}]}}\n",
        json::string(database),
        json::optional(role),
        values.join(",")
    )
}

fn value_json(Explained { key, value, origin, acted_on }: &Explained) -> String {
    let (file, line) = match origin {
        Origin::BuiltIn => ("null".to_owned(), "null".to_owned()),
        Origin::File { file, line } => (json::string(file), line.to_string()),
    };
    format!(
        "{{\"key\":{},\"value\":{},\"file\":{file},\"line\":{line},\"acted_on\":{acted_on}}}",
        json::string(key),
        json::string(value)
    )
}

#[cfg(test)]
mod tests;
