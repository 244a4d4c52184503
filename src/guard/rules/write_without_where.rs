//! `write-without-where`: UPDATE, DELETE or MERGE whose condition keeps no row out.
//!
//! One forgotten line, or `OR 1 = 1`, and every row of the table is another one, or none.

use super::super::case::{Case, Fault, Rule};
use super::super::words::shown;
use crate::sql::commands::{Command, Condition, WriteVerb};

pub(super) const RULE: Rule = Rule { name: "write-without-where", judge };

fn judge(case: &Case) -> Option<Fault> {
    let Command::Write(write) = case.command() else { return None };
    if !case.any_existing([write.table.as_ref()]) {
        return None;
    }
    let (verb, does) = match write.verb {
        WriteVerb::Update => ("UPDATE", "change"),
        WriteVerb::Delete => ("DELETE", "delete"),
        WriteVerb::Merge => ("MERGE", "change or delete"),
    };
    let why = match write.condition {
        Condition::Missing => "without a condition",
        Condition::AlwaysTrue => "with a condition that is always true",
    };
    let table = shown(write.table.as_ref(), "the table");
    let message = format!("{verb} {why} would {does} every row of {table}");
    let hint = "Say which rows with WHERE, in batches where they are many. If all are meant, say so by a condition on a \
                column: WHERE id IS NOT NULL.";
    Some(Fault::new(message, "", hint))
}
