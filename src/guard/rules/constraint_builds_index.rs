//! `constraint-builds-index`: ADD UNIQUE, PRIMARY KEY or EXCLUDE that build their index.
//!
//! The index is built under ACCESS EXCLUSIVE: not even reads get through meanwhile. USING INDEX takes one that was built
//! concurrently. EXCLUDE has no such way.

use super::super::case::{Case, Fault, Lift, Rule};
use super::super::words::{shown, written};
use crate::sql::commands::{Command, ConstraintKind, ObjectKind, TableAction, UsingIndex};

pub(super) const RULE: Rule = Rule { name: "constraint-builds-index", judge };

fn judge(case: &Case) -> Option<Fault> {
    let Command::AlterTable(altered) = case.command() else { return None };
    if altered.kind != ObjectKind::Table {
        return None;
    }
    let what = altered.actions.iter().find_map(built_by)?;
    let questions = case.in_use([altered.table.as_ref()], Lift::Empty)?;
    let table = shown(altered.table.as_ref(), "the table");
    let message = format!(
        "adding {what} would block all reads and writes of {table} while its index is built"
    );
    let on = altered.table.as_ref().map_or_else(|| "…".to_owned(), written);
    let hint = if what == EXCLUDE {
        "EXCLUDE cannot take an index that exists: add it to a table that is new or empty, or in a maintenance window."
            .to_owned()
    } else {
        format!(
            "CREATE UNIQUE INDEX CONCURRENTLY … ON {on} (…); then ALTER TABLE {on} ADD CONSTRAINT … UNIQUE USING INDEX …, \
             or PRIMARY KEY USING INDEX. A new column is added without it first."
        )
    };
    Some(
        Fault::new(message, "ACCESS EXCLUSIVE lock on the table for the whole build", hint)
            .unless(questions),
    )
}

const EXCLUDE: &str = "an EXCLUDE constraint";

/// What an action builds an index for.
fn built_by(action: &TableAction) -> Option<&'static str> {
    match action {
        TableAction::AddConstraint(constraint) => match &constraint.kind {
            ConstraintKind::Unique(UsingIndex::Builds) => Some("a UNIQUE constraint"),
            ConstraintKind::PrimaryKey(UsingIndex::Builds) => Some("a PRIMARY KEY"),
            ConstraintKind::Exclude => Some(EXCLUDE),
            ConstraintKind::Unique(UsingIndex::Existing(_))
            | ConstraintKind::PrimaryKey(UsingIndex::Existing(_))
            | ConstraintKind::Check
            | ConstraintKind::NotNull(_)
            | ConstraintKind::ForeignKey(_)
            | ConstraintKind::Unknown => None,
        },
        TableAction::AddColumn(column) if column.primary_key => Some("a PRIMARY KEY column"),
        TableAction::AddColumn(column) if column.unique => Some("a UNIQUE column"),
        _ => None,
    }
}
