//! `table-rewrite-command` and `matview-refresh-blocking`: commands whose whole business is to write a table anew.
//!
//! CLUSTER, VACUUM FULL, REPACK, SET TABLESPACE, SET LOGGED and UNLOGGED, SET ACCESS METHOD and the moving of partitions
//! hold ACCESS EXCLUSIVE while they copy. So does REFRESH without CONCURRENTLY.

use super::super::case::{Case, Fault, Lift, Rule};
use super::super::words::{self, shown, written};
use crate::sql::commands::{AlterTable, Command, ObjectKind, ObjectName, TableAction};

pub(super) const COMMAND: Rule = Rule { name: "table-rewrite-command", judge: command };

fn command(case: &Case) -> Option<Fault> {
    let (what, tables): (_, Vec<Option<&ObjectName>>) = match case.command() {
        Command::Cluster(cluster) => ("CLUSTER", vec![cluster.table.as_ref()]),
        Command::Repack(repack) if !repack.concurrently => {
            ("REPACK without CONCURRENTLY", vec![repack.table.as_ref()])
        }
        Command::Vacuum(vacuum) if vacuum.full => {
            let all = vacuum.tables.names.is_empty() || !vacuum.tables.complete;
            let unread = all.then_some(None);
            ("VACUUM FULL", vacuum.tables.names.iter().map(Some).chain(unread).collect())
        }
        Command::AlterTable(altered) => (rewritten_by(altered)?, vec![altered.table.as_ref()]),
        _ => return None,
    };
    let questions = case.in_use(tables.iter().copied(), Lift::Empty)?;
    let table = shown(tables.first().copied().flatten(), "each table");
    let message =
        format!("{what} would block all reads and writes of {table} while it is rewritten");
    let hint = "pg_repack and pg_squeeze do it while the table is in use; from Postgres 19 on REPACK (CONCURRENTLY) does.";
    Some(
        Fault::new(message, "ACCESS EXCLUSIVE lock on the table for the whole rewrite", hint)
            .unless(questions),
    )
}

fn rewritten_by(altered: &AlterTable) -> Option<&'static str> {
    let relation = altered.kind != ObjectKind::Sequence && altered.kind != ObjectKind::View;
    altered.actions.iter().filter(|_| relation).find_map(|action| match action {
        TableAction::SetTablespace => Some("SET TABLESPACE"),
        TableAction::SetLogged => Some("SET LOGGED"),
        TableAction::SetUnlogged => Some("SET UNLOGGED"),
        TableAction::SetAccessMethod => Some("SET ACCESS METHOD"),
        TableAction::MovePartitions => Some("MERGE PARTITIONS or SPLIT PARTITION"),
        _ => None,
    })
}

pub(super) const REFRESH: Rule = Rule { name: "matview-refresh-blocking", judge: refresh };

fn refresh(case: &Case) -> Option<Fault> {
    let Command::Refresh(refresh) = case.command() else { return None };
    if refresh.concurrently {
        return None;
    }
    let questions = case.in_use([refresh.view.as_ref()], Lift::Empty)?;
    let view = shown(refresh.view.as_ref(), "the view");
    let message = format!(
        "REFRESH MATERIALIZED VIEW without CONCURRENTLY would block all reads of {view} until its query is done"
    );
    let (text, statement) = (case.scene.text, case.found.span);
    let safe = words::with_concurrently(text, statement, refresh.insert_concurrently);
    let on = refresh.view.as_ref().map_or_else(|| "…".to_owned(), written);
    let safe = safe.unwrap_or_else(|| format!("REFRESH MATERIALIZED VIEW CONCURRENTLY {on}"));
    let hint = format!("It needs a unique index on the view, then: {safe};");
    Some(
        Fault::new(message, "ACCESS EXCLUSIVE lock on the view while its query runs", hint)
            .unless(questions),
    )
}
