//! The rules, one file each, or one for a family of small ones; the list of them stands here once.

mod columns;
mod concurrently;
mod constraint_builds_index;
mod constraint_without_not_valid;
mod create_index;
mod drop_index;
mod drops;
mod duplicate_column;
mod encoding;
mod lock_timeout;
mod locks_of_sessions;
mod partitions;
mod queries;
mod reindex;
mod rename;
mod rewrite;
mod server_side_program;
mod timeout_override;
mod transaction;
mod types;
mod unread;
mod validate_in_same_transaction;
mod write_without_where;

use super::case::{Fault, Rule};

pub(super) use unread::beyond;

/// Every rule that a statement and its session decide.
pub(super) const RULES: &[Rule] = &[
    create_index::RULE,
    drop_index::RULE,
    reindex::RULE,
    constraint_builds_index::RULE,
    partitions::ATTACH,
    partitions::DETACH,
    constraint_without_not_valid::RULE,
    validate_in_same_transaction::RULE,
    columns::SET_NOT_NULL,
    columns::REQUIRED,
    columns::VOLATILE,
    columns::TYPE,
    rewrite::COMMAND,
    rewrite::REFRESH,
    partitions::CREATE,
    types::DOMAIN,
    lock_timeout::RULE,
    transaction::AFTER_EXCLUSIVE,
    transaction::REPEATED,
    concurrently::IN_TRANSACTION,
    concurrently::UNDER_TIMEOUT,
    locks_of_sessions::LOCK_TABLE,
    locks_of_sessions::ADVISORY,
    write_without_where::RULE,
    drops::TRUNCATE,
    drops::TABLE,
    drops::COLUMN,
    drops::DATABASE,
    drops::SCHEMA,
    rename::RULE,
    drops::NOT_NULL,
    types::ENUM,
    server_side_program::RULE,
    duplicate_column::RULE,
    queries::COUNT,
    queries::OFFSET,
    queries::LIST,
    queries::WHOLE,
    timeout_override::RULE,
    unread::OPAQUE,
    unread::UNPARSABLE,
    encoding::RULE,
];

/// The rules that texts are looked at [closely](crate::sql::Commands::closely) for.
pub(super) const CLOSE_RULES: [&str; 2] = [duplicate_column::RULE.name, queries::WHOLE.name];

/// The rules of index DDL.
pub(super) const INDEX_RULES: [&str; 3] =
    [create_index::RULE.name, drop_index::RULE.name, reindex::RULE.name];

/// What is said to a client that is silent while its DDL holds locks.
pub(super) fn silence() -> (&'static str, Fault) {
    ("idle-after-exclusive-lock", transaction::silence())
}

/// What is said to a client that goes without committing its DDL.
pub(super) fn departure() -> (&'static str, Fault) {
    ("uncommitted-ddl", transaction::departure())
}

/// What is said to a fast-path call of a function.
pub(super) fn call() -> (&'static str, Fault) {
    (unread::OPAQUE.name, unread::call())
}

/// What is said to any statement behind one that took ACCESS EXCLUSIVE.
pub(super) fn after_exclusive() -> (&'static str, Fault) {
    (transaction::AFTER_EXCLUSIVE.name, transaction::after())
}

/// What is said to an OFFSET.
pub(super) fn offset_of(value: u64) -> Option<(&'static str, Fault)> {
    Some((queries::OFFSET.name, queries::offset_of(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Rules that need the time or other statements.
    const ELSEWHERE: [&str; 5] = [
        "idle-after-exclusive-lock",
        "n-plus-one",
        "request-storm",
        "slow-statement",
        "uncommitted-ddl",
    ];

    #[test]
    fn every_rule_is_judged_once_or_is_for_somebody_else() {
        let judged: Vec<_> = RULES.iter().map(|rule| rule.name).chain(ELSEWHERE).collect();
        let known: BTreeSet<_> = crate::rules::RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(judged.iter().copied().collect::<BTreeSet<_>>(), known);
        assert_eq!(judged.len(), known.len());
    }

    #[test]
    fn every_rule_has_its_page() {
        let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guard");
        for rule in RULES {
            let page = std::fs::read_to_string(pages.join(format!("{}.md", rule.name)));
            let page = page.unwrap_or_else(|error| panic!("{}: {error}", rule.name));
            assert!(page.starts_with(&format!("# {}\n", rule.name)), "{}", rule.name);
        }
    }
}
