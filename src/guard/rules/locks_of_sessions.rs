//! `lock-table` and `advisory-lock-in-transaction-pooling`: locks that a client asks for by name.

use super::super::case::{Case, Fault, Rule};
use super::super::words::shown;
use crate::sql::commands::{Command, LockMode};

pub(super) const LOCK_TABLE: Rule = Rule { name: "lock-table", judge: lock_table };

fn lock_table(case: &Case) -> Option<Fault> {
    let Command::LockTable(lock) = case.command() else { return None };
    let unread = (!lock.tables.complete).then_some(None);
    let tables = lock.tables.names.iter().map(Some).chain(unread);
    if lock.mode <= LockMode::RowExclusive || !case.any_existing(tables) {
        return None;
    }
    let table = shown(lock.tables.names.first(), "the table");
    let mode = super::super::locks::word(lock.mode);
    let blocked = match lock.mode {
        LockMode::AccessExclusive => "all reads and writes",
        LockMode::ShareUpdateExclusive => "maintenance",
        LockMode::Share | LockMode::ShareRowExclusive | LockMode::Exclusive => "all writes",
        LockMode::AccessShare | LockMode::RowShare | LockMode::RowExclusive => "nothing",
    };
    let message =
        format!("LOCK TABLE in {mode} mode would block {blocked} of {table} until COMMIT");
    let hint = "SELECT … FOR UPDATE locks rows; pg_advisory_xact_lock() locks what has no row.";
    Some(Fault::new(message, "the lock is held until COMMIT", hint))
}

pub(super) const ADVISORY: Rule =
    Rule { name: "advisory-lock-in-transaction-pooling", judge: advisory };

fn advisory(case: &Case) -> Option<Fault> {
    if *case.command() != Command::AdvisoryLock || !case.context.shared_server {
        return None;
    }
    let message =
        "an advisory lock of the session keeps its server from other clients until it is released"
            .to_owned();
    let hint = "pg_advisory_xact_lock() ends with the transaction; or pool_mode = \"session\" for roles that migrate. \
                Rails: advisory_locks: false for its connection.";
    Some(Fault::new(message, "", hint))
}
