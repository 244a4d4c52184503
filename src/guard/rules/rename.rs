//! `rename-object`: a table, column, value or schema gets another name.
//!
//! Code that runs knows the old one, code to come the new one: for the time of a deployment one of the two fails.

use super::super::case::{Case, Fault, Rule};
use super::super::words::{shown, shown_name};
use crate::sql::commands::{
    AlterTable, Command, DomainAction, ObjectKind, ObjectName, TableAction, TypeAction,
};

pub(super) const RULE: Rule = Rule { name: "rename-object", judge };

fn judge(case: &Case) -> Option<Fault> {
    let renamed = match case.command() {
        Command::AlterTable(altered) => of_table(case, altered)?,
        Command::AlterType(altered) => {
            let name = shown(altered.name.as_ref(), "the type");
            match altered.action {
                TypeAction::RenameValue => format!("a value of type {name}"),
                TypeAction::RenameAttribute => format!("an attribute of type {name}"),
                TypeAction::Rename(_) | TypeAction::SetSchema(_) => format!("type {name}"),
                TypeAction::AddValue { .. } | TypeAction::Attributes | TypeAction::Other => {
                    return None;
                }
            }
        }
        Command::AlterDomain(altered) => match altered.action {
            DomainAction::Rename(_) | DomainAction::SetSchema(_) => {
                format!("domain {}", shown(altered.name.as_ref(), ""))
            }
            DomainAction::AddConstraint { .. }
            | DomainAction::SetNotNull
            | DomainAction::Validate
            | DomainAction::Other => return None,
        },
        Command::Rename { kind, from, .. } => of_other(case, *kind, from.as_ref())?,
        _ => return None,
    };
    let message = format!("running applications would no longer find {renamed} under its old name");
    let hint = "Add what has the new name, write to both, move the readers, then drop the old one. A view under the old \
                name bridges the renaming of a table.";
    Some(Fault::new(message, "", hint))
}

fn of_table(case: &Case, altered: &AlterTable) -> Option<String> {
    let queried = match altered.kind {
        ObjectKind::Table
        | ObjectKind::ForeignTable
        | ObjectKind::View
        | ObjectKind::MaterializedView => true,
        ObjectKind::Sequence
        | ObjectKind::Index
        | ObjectKind::Schema
        | ObjectKind::Database
        | ObjectKind::Type
        | ObjectKind::Domain
        | ObjectKind::Owned
        | ObjectKind::Other => false,
    };
    if !queried || !case.any_existing([altered.table.as_ref()]) {
        return None;
    }
    let table = shown(altered.table.as_ref(), "the table");
    altered.actions.iter().find_map(|action| match action {
        TableAction::Rename(_) | TableAction::SetSchema(_) => Some(table.clone()),
        TableAction::RenameColumn { from, .. } => {
            Some(format!("column {} of {table}", shown_name(from.as_ref(), "")))
        }
        _ => None,
    })
}

fn of_other(case: &Case, kind: ObjectKind, from: Option<&ObjectName>) -> Option<String> {
    let what = match kind {
        ObjectKind::Schema if from.is_some_and(|from| case.state.made_schema(&from.name)) => {
            return None;
        }
        ObjectKind::Schema => "schema",
        ObjectKind::Database => "database",
        ObjectKind::Table
        | ObjectKind::ForeignTable
        | ObjectKind::View
        | ObjectKind::MaterializedView
        | ObjectKind::Sequence
        | ObjectKind::Index
        | ObjectKind::Type
        | ObjectKind::Domain
        | ObjectKind::Owned
        | ObjectKind::Other => return None,
    };
    Some(format!("{what} {}", shown(from, "")))
}
