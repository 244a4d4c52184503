//! `statement-after-exclusive-lock` and `alter-table-repeated`: transactions that hold a strong lock for longer than
//! they need to.

use super::super::case::{Case, Fault, Rule};
use super::super::words::{shown, written};
use crate::sql::commands::{Command, ObjectKind, Place};

pub(super) const AFTER_EXCLUSIVE: Rule =
    Rule { name: "statement-after-exclusive-lock", judge: after_exclusive };

fn after_exclusive(case: &Case) -> Option<Fault> {
    let takes_no_time = matches!(
        case.command(),
        Command::Transaction(_)
            | Command::Parameter(_)
            | Command::Discard(_)
            | Command::Unknown { .. }
    );
    // What stands in the same block is one statement for the client.
    let own = case.found.place != Place::Plain;
    (!takes_no_time && !own && case.state.holds_exclusive()).then(after)
}

/// What is said to any statement behind one that took ACCESS EXCLUSIVE.
pub(super) fn after() -> Fault {
    let message = "the transaction holds ACCESS EXCLUSIVE from earlier DDL, and keeps all others waiting through this \
                   statement as well";
    let hint = "Do the DDL last, or commit after it.";
    Fault::new(message.to_owned(), "ACCESS EXCLUSIVE lock held until COMMIT", hint)
}

/// What is said to a client that keeps others waiting without asking for anything.
pub(super) fn silence() -> Fault {
    let message = "the client is silent while its transaction holds ACCESS EXCLUSIVE, and all others wait for it";
    let hint = "Commit right behind the DDL; idle_in_transaction_timeout ends the silence of those who do not.";
    Fault::new(message.to_owned(), "ACCESS EXCLUSIVE lock held until COMMIT", hint)
}

/// What is said to a client that has left its DDL uncommitted.
pub(super) fn departure() -> Fault {
    let message =
        "the client has gone without COMMIT, so the DDL of its transaction has been rolled back";
    let hint = "End the transaction with COMMIT; does the migration tool commit?";
    Fault::new(message.to_owned(), "", hint)
}

pub(super) const REPEATED: Rule = Rule { name: "alter-table-repeated", judge: repeated };

fn repeated(case: &Case) -> Option<Fault> {
    let Command::AlterTable(altered) = case.command() else { return None };
    let table = altered.table.as_ref().filter(|_| altered.kind == ObjectKind::Table)?;
    // Told once a table and transaction.
    if case.state.times_altered(table) != 1 || !case.is_existing(table) {
        return None;
    }
    let shown = shown(Some(table), "the table");
    let message = format!(
        "{shown} is altered a second time in one transaction, and may be locked or rewritten twice"
    );
    let hint = format!("One statement takes several actions: ALTER TABLE {} …, …;", written(table));
    Some(Fault::new(message, "", hint))
}
