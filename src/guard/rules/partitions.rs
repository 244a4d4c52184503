//! `attach-partition-scan`, `detach-partition-blocking`, `create-partition-locks-parent`: what partitions do to tables
//! that are in use.
//!
//! ATTACH locks the new partition with ACCESS EXCLUSIVE, reads all of it unless a CHECK proves its bounds, and builds the
//! indexes that it lacks. DETACH without CONCURRENTLY, and PARTITION OF, take ACCESS EXCLUSIVE on the parent.

use super::super::case::{Case, Fault, Lift, Rule};
use super::super::words::{shown, written};
use crate::sql::commands::{Command, ObjectKind, TableAction, TableForm};

pub(super) const ATTACH: Rule = Rule { name: "attach-partition-scan", judge: attach };

fn attach(case: &Case) -> Option<Fault> {
    let Command::AlterTable(altered) = case.command() else { return None };
    if altered.kind == ObjectKind::Index {
        return None; // The catalog alone is touched.
    }
    let partition = altered.actions.iter().find_map(|action| match action {
        TableAction::Attach { partition } => Some(partition.as_ref()),
        _ => None,
    })?;
    let questions = case.in_use([partition], Lift::Empty)?;
    let shown = shown(partition, "the partition");
    let message = format!(
        "ATTACH PARTITION would block all use of {shown} while it is read, and while indexes that it lacks are built"
    );
    let on = partition.map_or_else(|| "…".to_owned(), written);
    let hint = format!(
        "First, each by itself: ALTER TABLE {on} ADD CONSTRAINT name CHECK (its bounds) NOT VALID; VALIDATE CONSTRAINT; \
         CREATE INDEX CONCURRENTLY for each index of the parent. Then ATTACH reads and builds nothing: run it as a role \
         whose guard policy allows it."
    );
    Some(Fault::new(message, "ACCESS EXCLUSIVE lock on the partition", hint).unless(questions))
}

pub(super) const DETACH: Rule = Rule { name: "detach-partition-blocking", judge: detach };

fn detach(case: &Case) -> Option<Fault> {
    let Command::AlterTable(altered) = case.command() else { return None };
    let blocks = |action: &TableAction| {
        matches!(action, TableAction::Detach { concurrently: false, finalize: false, .. })
    };
    if !altered.actions.iter().any(blocks) || !case.any_existing([altered.table.as_ref()]) {
        return None;
    }
    let table = shown(altered.table.as_ref(), "the parent");
    let message = format!(
        "DETACH PARTITION without CONCURRENTLY would block all reads and writes of {table}"
    );
    let on = altered.table.as_ref().map_or_else(|| "…".to_owned(), written);
    let hint = format!(
        "Outside of a transaction block: ALTER TABLE {on} DETACH PARTITION … CONCURRENTLY;"
    );
    Some(Fault::new(message, "ACCESS EXCLUSIVE lock on the parent", hint))
}

pub(super) const CREATE: Rule = Rule { name: "create-partition-locks-parent", judge: create };

fn create(case: &Case) -> Option<Fault> {
    let Command::CreateTable(made) = case.command() else { return None };
    let TableForm::PartitionOf(parent) = &made.form else { return None };
    if !case.any_existing([parent.as_ref()]) {
        return None;
    }
    let shown = shown(parent.as_ref(), "the parent");
    let message = format!(
        "CREATE TABLE … PARTITION OF would block all reads and writes of {shown} for a moment"
    );
    let on = parent.as_ref().map_or_else(|| "…".to_owned(), written);
    let hint = format!(
        "CREATE TABLE … (LIKE {on} INCLUDING ALL), add a CHECK of its bounds, then ALTER TABLE {on} ATTACH PARTITION …: \
         that lets reads and writes through."
    );
    Some(Fault::new(message, "ACCESS EXCLUSIVE lock on the parent", hint))
}
