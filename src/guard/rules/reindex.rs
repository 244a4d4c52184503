//! `reindex-blocking`: REINDEX without CONCURRENTLY.
//!
//! It takes SHARE on the table and ACCESS EXCLUSIVE on each index while that is built: writers wait, and so do queries
//! whose plans look at the index.

use super::super::case::{Case, Fault, Lift, Rule};
use super::super::words::{self, OUTSIDE_IN_FRAMEWORKS, shown};
use crate::sql::commands::{Command, Place, Reindex, ReindexKind};

pub(super) const RULE: Rule = Rule { name: "reindex-blocking", judge };

pub(super) const LOCK: &str =
    "SHARE lock on the table and ACCESS EXCLUSIVE on the index while it is built";

fn judge(case: &Case) -> Option<Fault> {
    let Command::Reindex(reindex) = case.command() else { return None };
    if reindex.concurrently || case.found.place == Place::Element || case.makes_unnamed {
        return None;
    }
    let name = reindex.name.as_ref();
    let (what, questions) = match reindex.kind {
        ReindexKind::Index => {
            let index = shown(name, "the index");
            (format!("writes to the table of {index}"), case.in_use([name], Lift::Empty)?)
        }
        ReindexKind::Table => {
            (format!("writes to {}", shown(name, "the table")), case.in_use([name], Lift::Empty)?)
        }
        ReindexKind::Schema => {
            if name.is_some_and(|name| case.state.made_schema(&name.name)) {
                return None;
            }
            let schema = words::shown_name(name.map(|name| &name.name), "the schema");
            (format!("writes to each table of schema {schema} in turn"), Vec::new())
        }
        ReindexKind::Database => {
            ("writes to each table of the database in turn".to_owned(), Vec::new())
        }
        ReindexKind::System => ("use of each system catalog in turn".to_owned(), Vec::new()),
        ReindexKind::Unknown => ("writes to its table".to_owned(), Vec::new()),
    };
    let until = match reindex.kind {
        ReindexKind::Index => ", and queries that use the index, until it is rebuilt",
        ReindexKind::System => " until its indexes are rebuilt",
        ReindexKind::Table | ReindexKind::Schema | ReindexKind::Database | ReindexKind::Unknown => {
            ", and queries that use its indexes, until these are rebuilt"
        }
    };
    let message = format!("REINDEX without CONCURRENTLY would block {what}{until}");
    Some(Fault::new(message, LOCK, hint(case, reindex)).unless(questions))
}

fn hint(case: &Case, reindex: &Reindex) -> String {
    if reindex.kind == ReindexKind::System {
        return "System catalogs cannot be rebuilt concurrently: do it in a maintenance window, as a role whose guard policy \
                allows it."
            .to_owned();
    }
    let (text, statement) = (case.scene.text, case.found.span);
    let safe = words::with_concurrently(text, statement, reindex.insert_concurrently);
    let safe = safe.unwrap_or_else(|| "REINDEX … CONCURRENTLY …".to_owned());
    format!("Run this outside of a transaction block: {safe}; — {OUTSIDE_IN_FRAMEWORKS}")
}
