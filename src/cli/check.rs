//! `pgweir check`: every problem of a configuration, and how many connections each Postgres gets.

use super::github::{data, property};
use super::json;
use crate::config::{BudgetRow, Config, Location, Problem, Severity, summary};
use crate::process::prepare::{Prepared, prepare};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

/// How `pgweir check` prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum CheckFormat {
    /// For people: excerpts, advice, a table.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// Commands that GitHub Actions shows beside the lines.
    Github,
}

/// What `pgweir check` found.
#[derive(Debug)]
pub struct CheckResult {
    /// 0: fine. 1: errors, or warnings under `strict`. 2: the file could not be read.
    pub exit_code: i32,
    /// What it prints.
    pub output: String,
}

/// Checks a file, prints what was found, and answers with the exit code.
pub fn check(path: &Path, format: CheckFormat, strict: bool) -> i32 {
    let CheckResult { exit_code, output } = examine(path, format, strict);
    // Whoever closed the pipe has seen enough; the exit code still says what was found.
    let _ = std::io::stdout().lock().write_all(output.as_bytes());
    exit_code
}

/// Checks a file. Prints nothing.
pub fn examine(path: &Path, format: CheckFormat, strict: bool) -> CheckResult {
    let (mut problems, not_yet, budget, unreadable) = match prepare(path, Arc::default(), None) {
        Ok(Prepared { edition, warnings: mut problems, not_yet, .. }) => {
            problems.extend(open_files_warning(&edition.config));
            (problems, not_yet, edition.config.budget(), false)
        }
        Err(refused) => (refused.problems, Vec::new(), Vec::new(), refused.unreadable),
    };
    problems.sort_by_key(|problem| problem.location.is_none());
    let all = || problems.iter().chain(&not_yet);
    let has = |severity| all().any(|problem| problem.severity == severity);
    let exit_code = match () {
        () if unreadable => 2,
        () if has(Severity::Error) || (strict && has(Severity::Warning)) => 1,
        () => 0,
    };
    let output = match format {
        CheckFormat::Text => text(path, &problems, &not_yet, &budget),
        CheckFormat::Json => as_json(all(), &budget, exit_code == 0),
        CheckFormat::Github => github(all()),
    };
    CheckResult { exit_code, output }
}

/// Every client and every server takes a file descriptor; the process's hard limit is the end of it.
fn open_files_warning(config: &Config) -> Option<Problem> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    let hard: u64 = line.split_whitespace().nth(4)?.parse().ok()?;
    let servers: u64 = config.budget().iter().map(|row| row.max).sum();
    let needed = u64::from(config.server.max_client_connections) + servers;
    (needed > hard).then(|| Problem {
        severity: Severity::Warning,
        message: format!(
            "up to {needed} connections, but a process here may open {hard} files only"
        ),
        key: Some("server.max_client_connections".to_owned()),
        location: None,
        also: None,
        help: Some(
            "raise the limit (`ulimit -Hn`, LimitNOFILE= of systemd), or lower the number"
                .to_owned(),
        ),
    })
}

fn text(path: &Path, problems: &[Problem], not_yet: &[Problem], budget: &[BudgetRow]) -> String {
    let mut out = String::new();
    for problem in problems {
        let _ = writeln!(out, "{problem}");
    }
    if !not_yet.is_empty() {
        out.push_str("Read and checked, but this version does not act on it:\n");
        for problem in not_yet {
            let _ = writeln!(out, "  {}", problem.in_one_line());
        }
        out.push('\n');
    }
    let mut found = if problems.is_empty() { "ok".to_owned() } else { summary(problems) };
    match not_yet.len() {
        0 => {}
        1 => found.push_str(", 1 key without effect"),
        n => found.push_str(&format!(", {n} keys without effect")),
    }
    let _ = writeln!(out, "{}: {found}", path.display());
    if !budget.is_empty() {
        out.push('\n');
        out.push_str(&budget_table(budget));
    }
    out
}

/// The budget as aligned columns, with a total for a server of several databases.
fn budget_table(budget: &[BudgetRow]) -> String {
    let mut rows =
        vec![["server", "database", "min", "max", "cap", "each other role"].map(str::to_owned)];
    for (index, row) in budget.iter().enumerate() {
        let same = |other: &&BudgetRow| other.server == row.server;
        let first = index == 0 || budget[index - 1].server != row.server;
        let server = if first { row.server.clone() } else { String::new() };
        let cap = row.cap.map_or_else(|| "-".to_owned(), |cap| cap.to_string());
        let more = if row.each_other_role == 0 {
            "-".to_owned()
        } else {
            format!("+{}", row.each_other_role)
        };
        let database =
            if row.database == "*" { "* (each)".to_owned() } else { row.database.clone() };
        rows.push([server, database, row.min.to_string(), row.max.to_string(), cap, more]);
        let last = budget.get(index + 1).is_none_or(|next| next.server != row.server);
        if last && !first {
            let (mins, maxes): (Vec<u64>, Vec<u64>) =
                budget.iter().filter(same).map(|row| (row.min, row.max)).unzip();
            let [min, max] = [mins, maxes].map(|counts| counts.iter().sum::<u64>().to_string());
            rows.push([String::new(), "total".to_owned(), min, max, String::new(), String::new()]);
        }
    }
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut out =
        "Connections to each server, for the roles that have tables of their own:\n".to_owned();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Names to the left, numbers to the right.
            let _ = if column < 2 {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        let _ = writeln!(out, "  {}", line.trim_end());
    }
    out
}

fn as_json<'a>(
    problems: impl Iterator<Item = &'a Problem>,
    budget: &[BudgetRow],
    ok: bool,
) -> String {
    let problems: Vec<String> = problems.map(problem_json).collect();
    let budget: Vec<String> = budget.iter().map(budget_json).collect();
    format!(
        "{{\"ok\":{ok},\"problems\":[{}],\"budget\":[{}]}}\n",
        problems.join(","),
        budget.join(",")
    )
}

fn problem_json(problem: &Problem) -> String {
    let Problem { severity, message, key, location, also: _, help } = problem;
    let (file, line, column) = match location {
        Some(Location { file, line, column, .. }) => {
            (json::string(file), line.to_string(), column.to_string())
        }
        None => ("null".to_owned(), "null".to_owned(), "null".to_owned()),
    };
    format!(
        "{{\"severity\":{},\"message\":{},\"key\":{},\"file\":{file},\"line\":{line},\"column\":{column},\"help\":{}}}",
        json::string(severity.as_str()),
        json::string(message),
        json::optional(key.as_deref()),
        json::optional(help.as_deref()),
    )
}

fn budget_json(row: &BudgetRow) -> String {
    let BudgetRow { server, database, min, max, cap, each_other_role } = row;
    let cap = cap.map_or_else(|| "null".to_owned(), |cap| cap.to_string());
    format!(
        "{{\"server\":{},\"database\":{},\"min\":{min},\"max\":{max},\"cap\":{cap},\"each_other_role\":{each_other_role}}}",
        json::string(server),
        json::string(database),
    )
}

fn github<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    let mut out = String::new();
    for problem in problems {
        let command = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let place = problem.location.as_ref().map_or_else(String::new, |at| {
            format!("file={},line={},col={},", property(&at.file), at.line, at.column)
        });
        let help = problem.help.as_ref().map_or_else(String::new, |help| format!("\n{help}"));
        let _ = writeln!(
            out,
            "::{command} {place}title=pgweir check::{}",
            data(&format!("{}{help}", problem.message))
        );
    }
    out
}

#[cfg(test)]
mod tests;
