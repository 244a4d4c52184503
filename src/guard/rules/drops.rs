//! `truncate`, `drop-table`, `drop-column`, `drop-database`, `drop-schema-cascade`, `drop-not-null`: what is gone
//! afterwards, and what running applications still expect.

use super::super::case::{Case, Fault, Rule};
use super::super::words::{shown, shown_name};
use crate::sql::commands::{Command, Drop, ObjectKind, ObjectList, ObjectName, TableAction};

const LOCK: &str = "ACCESS EXCLUSIVE lock on the table";

/// The names of a list, and None where it has more that cannot be read.
fn all(list: &ObjectList) -> impl Iterator<Item = Option<&ObjectName>> {
    let unread = (!list.complete).then_some(None);
    list.names.iter().map(Some).chain(unread)
}

pub(super) const TRUNCATE: Rule = Rule { name: "truncate", judge: truncate };

fn truncate(case: &Case) -> Option<Fault> {
    let Command::Truncate(truncate) = case.command() else { return None };
    if !case.any_existing(all(&truncate.tables)) {
        return None;
    }
    let table = shown(truncate.tables.names.first(), "the table");
    let others = if truncate.cascade { ", and of every table that refers to it" } else { "" };
    let message = format!("TRUNCATE would delete every row of {table}{others}");
    Some(Fault::new(message, LOCK, "DELETE in batches lets others read and write meanwhile."))
}

/// What is dropped, where it is of this kind and was there before.
fn dropped<'a>(case: &Case<'a>, is: impl Fn(ObjectKind) -> bool) -> Option<&'a Drop> {
    match case.command() {
        Command::Drop(drop) if is(drop.kind) => Some(drop),
        _ => None,
    }
}

pub(super) const TABLE: Rule = Rule { name: "drop-table", judge: table };

fn table(case: &Case) -> Option<Fault> {
    let drop = dropped(case, |kind| {
        matches!(kind, ObjectKind::Table | ObjectKind::ForeignTable | ObjectKind::Owned)
    })?;
    if drop.kind == ObjectKind::Owned {
        let message = "DROP OWNED would drop every table that the role owns".to_owned();
        return Some(Fault::new(message, LOCK, "Drop by name what is meant."));
    }
    if !case.any_existing(all(&drop.names)) {
        return None;
    }
    let table = shown(drop.names.names.first(), "the table");
    let message = format!("DROP TABLE would delete {table} and all its rows");
    let hint = "Rename it first, and drop it when nothing has asked for it for a while.";
    Some(Fault::new(message, LOCK, hint))
}

pub(super) const COLUMN: Rule = Rule { name: "drop-column", judge: column };

fn column(case: &Case) -> Option<Fault> {
    let Command::AlterTable(altered) = case.command() else { return None };
    let column = altered.actions.iter().find_map(|action| match action {
        TableAction::DropColumn { column, .. } => Some(column.as_ref()),
        _ => None,
    })?;
    if !case.any_existing([altered.table.as_ref()]) {
        return None;
    }
    let (name, table) =
        (shown_name(column, "the column"), shown(altered.table.as_ref(), "the table"));
    let message = format!(
        "DROP COLUMN would delete {name} of {table}, which running applications may still use"
    );
    let hint = "Deploy code that no longer names it first. Rails: ignored_columns. Django: SeparateDatabaseAndState.";
    Some(Fault::new(message, LOCK, hint))
}

pub(super) const DATABASE: Rule = Rule { name: "drop-database", judge: database };

fn database(case: &Case) -> Option<Fault> {
    let drop = dropped(case, |kind| kind == ObjectKind::Database)?;
    let name = shown(drop.names.names.first(), "the database");
    Some(Fault::new(format!("DROP DATABASE would delete {name}"), "", "Is this the right server?"))
}

pub(super) const SCHEMA: Rule = Rule { name: "drop-schema-cascade", judge: schema };

fn schema(case: &Case) -> Option<Fault> {
    let drop = dropped(case, |kind| kind == ObjectKind::Schema)?;
    let made = |name: &ObjectName| case.state.made_schema(&name.name);
    if !drop.cascade || drop.names.complete && drop.names.names.iter().all(made) {
        return None;
    }
    let name = shown(drop.names.names.first(), "the schema");
    let message = format!("DROP SCHEMA … CASCADE would delete everything in {name}");
    let hint = "Without CASCADE the server says what is still in it.";
    Some(Fault::new(message, "ACCESS EXCLUSIVE lock on each table in it", hint))
}

pub(super) const NOT_NULL: Rule = Rule { name: "drop-not-null", judge: not_null };

fn not_null(case: &Case) -> Option<Fault> {
    let Command::AlterTable(altered) = case.command() else { return None };
    let column = altered.actions.iter().find_map(|action| match action {
        TableAction::DropNotNull(column) => Some(column.as_ref()),
        _ => None,
    })?;
    if !case.any_existing([altered.table.as_ref()]) {
        return None;
    }
    let name = shown_name(column, "the column");
    let message =
        format!("DROP NOT NULL lets NULL into {name}, which running applications may not expect");
    Some(Fault::new(message, LOCK, "Deploy code that can read NULL first."))
}
