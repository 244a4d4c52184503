//! The rules, one file each, or one for a family of small ones; the list of them stands here once.

mod create_index;

use super::case::{Fault, Rule};
use crate::sql::commands::Commands;

/// Every rule that a statement and its session decide.
pub(super) const RULES: &[Rule] = &[create_index::RULE];

/// The rules of index DDL.
pub(super) const INDEX_RULES: [&str; 3] =
    ["index-create-blocking", "index-drop-blocking", "reindex-blocking"];

/// True for rules that index DDL may hide behind.
pub(super) fn may_be_index_ddl(rule: &Rule) -> bool {
    matches!(rule.name, "opaque-code" | "unparsable-statement")
}

/// Judges what was too much to be kept.
pub(super) fn beyond(_: &Commands, _: &mut impl FnMut(&'static str, Fault)) {}

/// What is said to any statement behind one that took ACCESS EXCLUSIVE.
pub(super) fn after_exclusive() -> (&'static str, Fault) {
    ("statement-after-exclusive-lock", Fault::default())
}

/// What is said to an OFFSET.
pub(super) fn offset_of(_: u64) -> Option<(&'static str, Fault)> {
    None
}
