//! `unbounded-count`, `large-offset`, `big-in-list`, `select-without-limit`: queries that cost more than they look.

use super::super::case::{Case, Fault, Rule};
use super::super::words::shown;
use crate::sql::commands::{Command, Offset};

/// An OFFSET above this is told of.
const OFFSET_MAX: u64 = 10_000;

/// So is a list with more elements than this.
const ELEMENTS_MAX: usize = 1_000;

pub(super) const COUNT: Rule = Rule { name: "unbounded-count", judge: count };

fn count(case: &Case) -> Option<Fault> {
    let Command::UnboundedCount { table } = case.command() else { return None };
    if table.as_ref().is_some_and(|table| !case.is_existing(table)) {
        return None;
    }
    let table = shown(table.as_ref(), "its query");
    let message = format!("count(*) without a condition reads every row of {table}");
    let hint = "Pages can do with one row more than they show, or with an estimate: reltuples of pg_class. Django: a \
                Paginator whose count is cached or estimated.";
    Some(Fault::new(message, "", hint))
}

pub(super) const OFFSET: Rule = Rule { name: "large-offset", judge: offset };

fn offset(case: &Case) -> Option<Fault> {
    match case.command() {
        Command::Offset(Offset::Literal(value)) => offset_of(*value),
        _ => None,
    }
}

/// What is said to an OFFSET of this value.
pub(super) fn offset_of(value: u64) -> Option<Fault> {
    let message = format!("OFFSET above {OFFSET_MAX} reads all the rows that it skips");
    let hint =
        "Go on from the last row shown: WHERE (sort columns) > (its values) ORDER BY … LIMIT ….";
    (value > OFFSET_MAX).then(|| Fault::new(message, "", hint))
}

pub(super) const LIST: Rule = Rule { name: "big-in-list", judge: list };

fn list(case: &Case) -> Option<Fault> {
    let Command::InList { elements } = case.command() else { return None };
    let message = format!("an IN list of {elements} elements is parsed and planned anew each time");
    let hint = "Use = ANY ($1) with an array, or a join with unnest($1) or a temporary table.";
    (*elements > ELEMENTS_MAX).then(|| Fault::new(message, "", hint))
}

pub(super) const WHOLE: Rule = Rule { name: "select-without-limit", judge: whole };

fn whole(case: &Case) -> Option<Fault> {
    let Command::WholeSelect { table } = case.command() else { return None };
    if !case.is_existing(table) {
        return None;
    }
    let table = shown(Some(table), "the table");
    let message = format!("SELECT without WHERE or LIMIT sends every row of {table}");
    let hint = "Use LIMIT with ORDER BY, or WHERE. If all are meant, a cursor fetches them in pieces (Django: iterator()), and \
                COPY … TO STDOUT sends them fastest.";
    Some(Fault::new(message, "", hint))
}
