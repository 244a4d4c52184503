//! `column-set-not-null`, `column-required-no-default`, `column-volatile-default`, `column-type-change`: changes to
//! columns that read or write every row under ACCESS EXCLUSIVE.
//!
//! Deliberately absent: the types that a column had, and checks that exist. Both would have to be asked for.

use super::super::case::{Case, Fault, Lift, Rule};
use super::super::words::{shown, shown_name, written, written_name};
use crate::sql::commands::{
    AlterTable, Column, Command, DefaultValue, Generated, ObjectKind, TableAction,
};

const LOCK: &str = "ACCESS EXCLUSIVE lock on the table";

/// The table of the statement, where it is one.
fn altered<'a>(case: &Case<'a>) -> Option<&'a AlterTable> {
    match case.command() {
        Command::AlterTable(altered) if altered.kind == ObjectKind::Table => Some(altered),
        _ => None,
    }
}

fn on(altered: &AlterTable) -> String {
    altered.table.as_ref().map_or_else(|| "…".to_owned(), written)
}

pub(super) const SET_NOT_NULL: Rule = Rule { name: "column-set-not-null", judge: set_not_null };

fn set_not_null(case: &Case) -> Option<Fault> {
    let altered = altered(case)?;
    let column = altered.actions.iter().find_map(|action| match action {
        TableAction::SetNotNull(column) => Some(column.as_ref()),
        _ => None,
    })?;
    let questions = case.in_use([altered.table.as_ref()], Lift::Empty)?;
    let table = shown(altered.table.as_ref(), "the table");
    let name = shown_name(column, "the column");
    let message = format!(
        "SET NOT NULL on {name} would block all reads and writes of {table} while every row is checked, unless a valid \
         CHECK proves it"
    );
    let (on, column) = (on(altered), column.map_or_else(|| "…".to_owned(), written_name));
    let hint = format!(
        "Each by itself: ALTER TABLE {on} ADD CONSTRAINT name CHECK ({column} IS NOT NULL) NOT VALID; ALTER TABLE {on} \
         VALIDATE CONSTRAINT name; then SET NOT NULL reads no row; DROP CONSTRAINT name."
    );
    Some(Fault::new(message, LOCK, hint).unless(questions))
}

pub(super) const REQUIRED: Rule = Rule { name: "column-required-no-default", judge: required };

fn required(case: &Case) -> Option<Fault> {
    let altered = altered(case)?;
    let column = added(altered, |column| {
        let no_value = column.default.as_ref().is_none_or(|default| default.null);
        column.not_null && no_value && column.generated == Generated::No
    })?;
    let questions = case.in_use([altered.table.as_ref()], Lift::Empty)?;
    let name = shown_name(column.name.as_ref(), "the column");
    let table = shown(altered.table.as_ref(), "the table");
    let message = format!("adding {name} as NOT NULL without a default fails if {table} has rows");
    let hint = "Give it a default that is a constant (no row is written for that), or add it nullable, fill it in batches, \
                and make it NOT NULL then.";
    Some(Fault::new(message, LOCK, hint).unless(questions))
}

pub(super) const VOLATILE: Rule = Rule { name: "column-volatile-default", judge: volatile };

fn volatile(case: &Case) -> Option<Fault> {
    let altered = altered(case)?;
    let rewrites = |column: &Column| match column.generated {
        Generated::Serial | Generated::Identity | Generated::Stored => true,
        Generated::No | Generated::Virtual => column.default.as_ref().is_some_and(may_be_volatile),
    };
    let computed = altered.actions.iter().find_map(|action| match action {
        TableAction::SetExpression(column) => Some(column.as_ref()),
        TableAction::AddColumn(column) if rewrites(column) => Some(column.name.as_ref()),
        _ => None,
    })?;
    let questions = case.in_use([altered.table.as_ref()], Lift::Empty)?;
    let name = shown_name(computed, "the column");
    let table = shown(altered.table.as_ref(), "the table");
    let message = format!(
        "adding {name} with a value computed for each row would block all reads and writes of {table} while the table \
         is rewritten"
    );
    let hint = "Add the column without that value, ALTER COLUMN … SET DEFAULT for new rows, and fill the others in batches.";
    Some(
        Fault::new(message, "ACCESS EXCLUSIVE lock on the table for the whole rewrite", hint)
            .unless(questions),
    )
}

/// Functions of Postgres that give one value for a whole statement: the server asks them once.
const STEADY: &[&str] = &[
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "current_setting",
    "jsonb_build_object",
    "jsonb_build_array",
    "json_build_object",
    "json_build_array",
    "to_jsonb",
    "to_json",
    "make_interval",
    "make_date",
    "make_timestamp",
    "make_timestamptz",
    "lower",
    "upper",
    "coalesce",
    "concat",
    "md5",
    "date_trunc",
    "timezone",
    "to_timestamp",
    "date_part",
    "array_fill",
    "decode",
    "encode",
    "round",
    "abs",
    "nullif",
    "greatest",
    "least",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "varchar",
    "numeric",
    "char",
    "bit",
    "timestamp",
    "time",
    "interval",
    "extract",
    "cast",
    "row",
    "point",
    "box",
    "to_tsvector",
    "hstore",
];

fn may_be_volatile(default: &DefaultValue) -> bool {
    !default.calls.complete
        || default.calls.names.iter().any(|call| {
            let own = call.schema.as_ref().is_some_and(|schema| *schema != *"pg_catalog");
            own || !STEADY.iter().any(|steady| call.name == **steady)
        })
}

pub(super) const TYPE: Rule = Rule { name: "column-type-change", judge: type_change };

fn type_change(case: &Case) -> Option<Fault> {
    let altered = altered(case)?;
    let (column, to) = altered.actions.iter().find_map(|action| match action {
        TableAction::SetType { column, type_text, .. } => Some((column.as_ref(), type_text)),
        _ => None,
    })?;
    let questions = case.in_use([altered.table.as_ref()], Lift::Empty)?;
    let name = shown_name(column, "the column");
    let table = shown(altered.table.as_ref(), "the table");
    let to: String = to.chars().filter(|c| !c.is_control()).take(40).collect();
    let message = format!(
        "changing the type of {name} to {to} would block all reads and writes of {table} while the table is rewritten, \
         unless both types are stored alike"
    );
    let hint = "Add a column of the new type, keep it in step with a trigger, fill it in batches, then swap the names. \
                varchar to a longer one or to text rewrites nothing.";
    Some(
        Fault::new(message, "ACCESS EXCLUSIVE lock on the table for the whole rewrite", hint)
            .unless(questions),
    )
}

/// The first column that is added and is so.
fn added(altered: &AlterTable, is: impl Fn(&Column) -> bool) -> Option<&Column> {
    altered.actions.iter().find_map(|action| match action {
        TableAction::AddColumn(column) if is(column) => Some(&**column),
        _ => None,
    })
}
