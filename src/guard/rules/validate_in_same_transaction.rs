//! `validate-in-same-transaction`: VALIDATE CONSTRAINT where the constraint was added in the same transaction.
//!
//! The lock that ADD took is held until the end, the scan of VALIDATE included: nothing is won by NOT VALID.

use super::super::case::{Case, Fault, Rule};
use super::super::words::shown;
use crate::sql::commands::{AlterTable, Command, TableAction};

pub(super) const RULE: Rule = Rule { name: "validate-in-same-transaction", judge };

fn judge(case: &Case) -> Option<Fault> {
    let Command::AlterTable(altered) = case.command() else { return None };
    let table = altered.table.as_ref()?;
    let validates = |action: &TableAction| match action {
        TableAction::ValidateConstraint(Some(name)) => {
            case.state.added_not_valid(table, name) || adds(altered, name)
        }
        _ => false,
    };
    if !altered.actions.iter().any(validates) || !case.is_existing(table) {
        return None;
    }
    let table = shown(Some(table), "the table");
    let message = format!(
        "VALIDATE CONSTRAINT in the transaction that added the constraint would keep the strong lock on {table} while \
         every row is checked"
    );
    let hint = "Commit after ADD CONSTRAINT … NOT VALID, and validate in a transaction of its own.";
    Some(Fault::new(message, "the lock of ADD CONSTRAINT is held through the scan", hint))
}

/// True where the statement itself adds the constraint NOT VALID.
fn adds(altered: &AlterTable, name: &crate::sql::Name) -> bool {
    altered.actions.iter().any(|action| match action {
        TableAction::AddConstraint(added) => added.not_valid && added.name.as_ref() == Some(name),
        _ => false,
    })
}
