//! `constraint-without-not-valid`: FOREIGN KEY, CHECK or NOT NULL that reads the whole table while it is locked.
//!
//! A foreign key takes SHARE ROW EXCLUSIVE on both tables for the time of its scan, a check ACCESS EXCLUSIVE on its own.
//! NOT VALID leaves the scan to VALIDATE CONSTRAINT, which lets reads and writes through.

use super::super::case::{Case, Fault, Lift, Rule};
use super::super::words::{shown, written};
use crate::sql::commands::{Command, ConstraintKind, TableAction};

pub(super) const RULE: Rule = Rule { name: "constraint-without-not-valid", judge };

fn judge(case: &Case) -> Option<Fault> {
    let Command::AlterTable(altered) = case.command() else { return None };
    let what = altered.actions.iter().find_map(scanned_for)?;
    let questions = case.in_use([altered.table.as_ref()], Lift::Empty)?;
    let table = shown(altered.table.as_ref(), "the table");
    let (message, lock) = if what == FOREIGN_KEY {
        let message = format!(
            "adding {what} without NOT VALID would block writes to {table}, and to the table it refers to, while \
             every row is checked"
        );
        (message, "SHARE ROW EXCLUSIVE lock on both tables for the whole scan")
    } else {
        let message = format!(
            "adding {what} without NOT VALID would block all reads and writes of {table} while every row is checked"
        );
        (message, "ACCESS EXCLUSIVE lock on the table for the whole scan")
    };
    let on = altered.table.as_ref().map_or_else(|| "…".to_owned(), written);
    let hint = format!(
        "ALTER TABLE {on} ADD CONSTRAINT name … NOT VALID; and in a transaction of its own ALTER TABLE {on} VALIDATE \
         CONSTRAINT name; Django: AddConstraintNotValid and ValidateConstraint. Rails: validate: false, then \
         validate_foreign_key. Alembic: postgresql_not_valid=True."
    );
    Some(Fault::new(message, lock, hint).unless(questions))
}

const FOREIGN_KEY: &str = "a FOREIGN KEY";

/// The constraint for which an action reads all rows.
fn scanned_for(action: &TableAction) -> Option<&'static str> {
    match action {
        TableAction::AddConstraint(constraint)
            if !constraint.not_valid && !constraint.not_enforced =>
        {
            match constraint.kind {
                ConstraintKind::ForeignKey(_) => Some(FOREIGN_KEY),
                ConstraintKind::Check => Some("a CHECK constraint"),
                ConstraintKind::NotNull(_) => Some("a NOT NULL constraint"),
                ConstraintKind::Unique(_)
                | ConstraintKind::PrimaryKey(_)
                | ConstraintKind::Exclude
                | ConstraintKind::Unknown => None,
            }
        }
        TableAction::AddColumn(column) if column.check => Some("a column with a CHECK constraint"),
        // The server skips the check where every row has NULL (transformAlterTableStmt).
        TableAction::AddColumn(column)
            if column.references.is_some()
                && column.default.as_ref().is_some_and(|default| !default.null) =>
        {
            Some(FOREIGN_KEY)
        }
        _ => None,
    }
}
