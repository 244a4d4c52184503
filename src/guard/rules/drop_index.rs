//! `index-drop-blocking`: DROP INDEX without CONCURRENTLY.
//!
//! It takes ACCESS EXCLUSIVE on the index and on its table. The drop itself is short; waiting for that lock behind one
//! long query is not, and meanwhile every other query on the table waits behind the DROP.

use super::super::case::{Case, Fault, Lift, Rule};
use super::super::words::{self, DROP_IN_FRAMEWORKS, shown};
use crate::sql::commands::{Command, DropIndex, Place};

pub(super) const RULE: Rule = Rule { name: "index-drop-blocking", judge };

pub(super) const LOCK: &str = "ACCESS EXCLUSIVE lock on the index and on its table";

/// More indexes than this are not written out in a hint.
const WRITTEN_MAX: usize = 4;

fn judge(case: &Case) -> Option<Fault> {
    let Command::DropIndex(drop) = case.command() else { return None };
    if drop.concurrently || case.found.place == Place::Element || case.makes_unnamed {
        return None;
    }
    let names = &drop.indexes;
    let unread = (!names.complete).then_some(None);
    let questions = case.in_use(names.names.iter().map(Some).chain(unread), Lift::Empty)?;
    let index = shown(names.names.first(), "the index");
    let others = if names.names.len() > 1 { " and others" } else { "" };
    let message = format!(
        "DROP INDEX without CONCURRENTLY would block all reads and writes of the table of {index}{others}, and queue \
         them behind every query that still runs there"
    );
    Some(Fault::new(message, LOCK, hint(case, drop)).unless(questions))
}

fn hint(case: &Case, drop: &DropIndex) -> String {
    let (text, statement) = (case.scene.text, case.found.span);
    let names = &drop.indexes.names;
    let partitioned = names.iter().any(|name| case.is_partitioned(name));
    if partitioned {
        return "The index of a partitioned table cannot be dropped concurrently: set a short lock_timeout, retry, and run \
                it as a role whose guard policy allows it."
            .to_owned();
    }
    let single = names.len() == 1 && !drop.cascade;
    let whole = words::with_concurrently(text, statement, drop.insert_concurrently);
    let if_exists = if drop.if_exists { "IF EXISTS " } else { "" };
    let safe = match whole {
        Some(whole) if single => whole,
        // One index at a time, and no CASCADE.
        _ if !names.is_empty() && names.len() <= WRITTEN_MAX => {
            let one = |name| format!("DROP INDEX CONCURRENTLY {if_exists}{}", words::written(name));
            names.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        _ => "DROP INDEX CONCURRENTLY …, one index at a time".to_owned(),
    };
    let each = if names.len() > 1 { ", each by itself" } else { "" };
    format!("Run this outside of a transaction block{each}: {safe}; — {DROP_IN_FRAMEWORKS}")
}
