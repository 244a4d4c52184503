//! `concurrently-in-transaction` and `concurrent-index-under-timeout`: the safe way, where it does not work out.
//!
//! The server refuses CONCURRENTLY in a transaction block (25001), in a string of several statements and in functions. A
//! concurrent build that a timeout cuts leaves an invalid index behind, which every write has to keep up.

use super::super::case::{Case, Fault, Rule};
use super::super::words::OUTSIDE_IN_FRAMEWORKS;
use crate::sql::commands::{Command, Place, TableAction};

pub(super) const IN_TRANSACTION: Rule =
    Rule { name: "concurrently-in-transaction", judge: in_transaction };

/// What is done concurrently, where the server wants no transaction for it.
fn concurrent(command: &Command) -> Option<&'static str> {
    match command {
        Command::CreateIndex(index) if index.concurrently => Some("CREATE INDEX CONCURRENTLY"),
        Command::DropIndex(index) if index.concurrently => Some("DROP INDEX CONCURRENTLY"),
        Command::Reindex(reindex) if reindex.concurrently => Some("REINDEX CONCURRENTLY"),
        Command::Repack(repack) if repack.concurrently => Some("REPACK (CONCURRENTLY)"),
        Command::AlterTable(altered) => {
            let detaches = |action: &TableAction| {
                matches!(action, TableAction::Detach { concurrently: true, .. })
            };
            altered.actions.iter().any(detaches).then_some("DETACH PARTITION CONCURRENTLY")
        }
        _ => None,
    }
}

fn in_transaction(case: &Case) -> Option<Fault> {
    let what = concurrent(case.command())?;
    if !case.is_in_transaction() || case.found.place == Place::Assembled {
        return None;
    }
    let message = if case.is_in_code() {
        format!("{what} cannot run in a DO block: the server refuses it there")
    } else {
        format!(
            "{what} cannot run in a transaction block or with other statements in one string: the server refuses it there"
        )
    };
    let hint = format!("Send it by itself, outside of a transaction. {OUTSIDE_IN_FRAMEWORKS}");
    Some(Fault::new(message, "", hint))
}

pub(super) const UNDER_TIMEOUT: Rule =
    Rule { name: "concurrent-index-under-timeout", judge: under_timeout };

fn under_timeout(case: &Case) -> Option<Fault> {
    let builds = match case.command() {
        Command::CreateIndex(index) => index.concurrently,
        Command::Reindex(reindex) => reindex.concurrently,
        _ => false,
    };
    let limit_ms = case.context.maintenance_timeout_ms;
    if !builds || limit_ms == 0 || case.is_in_transaction() {
        return None;
    }
    let message = format!(
        "a concurrent build that takes longer than {limit_ms} ms is cut off and leaves an invalid index"
    );
    let hint = "Set maintenance_timeout = \"off\" for this role or database. What was cut off is dropped with DROP INDEX \
                CONCURRENTLY and built again.";
    Some(Fault::new(message, "", hint))
}
