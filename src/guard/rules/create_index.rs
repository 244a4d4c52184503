//! `index-create-blocking`: CREATE INDEX without CONCURRENTLY.
//!
//! It takes SHARE on the table for the whole build: nobody can insert, update or delete meanwhile, and whoever comes
//! later queues behind those who wait. On a partitioned table it does so on every partition, and CONCURRENTLY is not
//! allowed there; ON ONLY touches the catalog alone.

use super::super::case::{Case, Fault, Lift, Rule};
use super::super::words::{self, CREATE_IN_FRAMEWORKS, shown};
use crate::sql::commands::{Command, CreateIndex, Place};

pub(super) const RULE: Rule = Rule { name: "index-create-blocking", judge };

pub(super) const LOCK: &str = "SHARE lock on the table for as long as the build takes";

fn judge(case: &Case) -> Option<Fault> {
    let Command::CreateIndex(index) = case.command() else { return None };
    // A table of the schema that is being made: the server refuses any other. And code that makes tables under names
    // that it puts together may well index those; it is told of as opaque.
    if index.concurrently || case.found.place == Place::Element || case.makes_unnamed {
        return None;
    }
    let lift = if index.only { Lift::EmptyOrPartitioned } else { Lift::Empty };
    let questions = case.in_use([index.table.as_ref()], lift)?;
    let table = shown(index.table.as_ref(), "its table");
    let message = format!(
        "CREATE INDEX without CONCURRENTLY would block all writes to {table} until the index is built"
    );
    Some(Fault::new(message, LOCK, hint(case, index)).unless(questions))
}

fn hint(case: &Case, index: &CreateIndex) -> String {
    if let Some(table) = index.table.as_ref().filter(|table| case.is_partitioned(table)) {
        let table = words::written(table);
        return format!(
            "The table is partitioned: CREATE INDEX … ON ONLY {table} …, then CREATE INDEX CONCURRENTLY on each \
             partition, then ALTER INDEX … ATTACH PARTITION for each of these."
        );
    }
    let (text, statement) = (case.scene.text, case.found.span);
    let safe = words::with_concurrently(text, statement, index.insert_concurrently);
    let safe = safe.unwrap_or_else(|| match &index.table {
        Some(table) => format!("CREATE INDEX CONCURRENTLY … ON {} …", words::written(table)),
        None => "CREATE INDEX CONCURRENTLY …".to_owned(),
    });
    format!("Run this outside of a transaction block: {safe}; — {CREATE_IN_FRAMEWORKS}")
}
