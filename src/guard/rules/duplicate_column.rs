//! `duplicate-column-assignment`: one column that a statement gives two values.
//!
//! The server refuses such a statement, but not before it runs it: in a function or a DO block that may be long after it
//! was written.

use super::super::case::{Case, Fault, Rule};
use super::super::words::shown_name;
use crate::sql::commands::{Assigns, Command};

pub(super) const RULE: Rule = Rule { name: "duplicate-column-assignment", judge };

fn judge(case: &Case) -> Option<Fault> {
    let Command::AssignedTwice { column, assigns } = case.command() else { return None };
    let column = shown_name(Some(column), "a column");
    let (message, refusal) = match assigns {
        Assigns::Set => (format!("SET assigns column {column} twice"), "42601"),
        Assigns::Columns => (format!("INSERT names column {column} twice"), "42701"),
    };
    let hint = format!(
        "Keep one of the two. The server refuses it with {refusal} when it comes to run it."
    );
    Some(Fault::new(message, "", hint))
}
