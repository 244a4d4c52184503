//! The guard's rules by name: one table of names, groups and shipped actions.
//!
//! Both `config` (which refuses an unknown name) and `guard` (which judges) read it.
//! How a rule judges a statement is deliberately absent: that is `guard`'s, one file a rule.

/// What happens when a rule finds a statement. Ordered from harmless to strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The rule is not asked.
    Off,
    /// Counted and logged; the client sees nothing.
    Log,
    /// As `Log`, and the client reads a NOTICE once for each text.
    Warn,
    /// The statement is refused with 42501.
    Reject,
}

impl Action {
    /// Every action, in order.
    pub const ALL: [Action; 4] = [Action::Off, Action::Log, Action::Warn, Action::Reject];

    /// The word for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Off => "off",
            Action::Log => "log",
            Action::Warn => "warn",
            Action::Reject => "reject",
        }
    }

    /// The action that a configuration's word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a rule protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Index commands that lock the table for the whole build.
    IndexDdl,
    /// Commands that build an index, rewrite or scan a table without saying so.
    ImplicitScan,
    /// Locks held longer, or queued for longer, than they need be.
    LockHygiene,
    /// Data that is gone afterwards.
    DataSafety,
    /// What a statement costs, and attempts to leave the limits.
    QueryCost,
}

/// One rule's row in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleEntry {
    /// Its name in the configuration, in messages and in metrics.
    pub name: &'static str,
    /// What it protects.
    pub group: Group,
    /// Its action under the shipped policy `default`.
    pub default: Action,
    /// Its action under the shipped policy `strict`.
    pub strict: Action,
    /// Its action under the shipped policy `restore` (pg_restore, schema loads).
    pub restore: Action,
    /// What it looks for, in a few words.
    pub summary: &'static str,
}

/// A policy that ships with pgweir.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BuiltinPolicy {
    /// Nothing is judged.
    Off,
    /// Everything `default` looks at is logged, nothing reaches the client.
    Observe,
    /// The three index rules reject, the others warn or log.
    Default,
    /// Also rejects implicit index builds, long locks and lost data.
    Strict,
    /// For pg_restore and schema loads: hardly anything is judged.
    Restore,
}

impl BuiltinPolicy {
    /// Every shipped policy.
    pub const ALL: [BuiltinPolicy; 5] = [
        BuiltinPolicy::Off,
        BuiltinPolicy::Observe,
        BuiltinPolicy::Default,
        BuiltinPolicy::Strict,
        BuiltinPolicy::Restore,
    ];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            BuiltinPolicy::Off => "off",
            BuiltinPolicy::Observe => "observe",
            BuiltinPolicy::Default => "default",
            BuiltinPolicy::Strict => "strict",
            BuiltinPolicy::Restore => "restore",
        }
    }

    /// The shipped policy of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }

    /// What it does when `rule` finds a statement.
    pub fn action(self, rule: &RuleEntry) -> Action {
        match self {
            BuiltinPolicy::Off => Action::Off,
            BuiltinPolicy::Observe => rule.default.min(Action::Log),
            BuiltinPolicy::Default => rule.default,
            BuiltinPolicy::Strict => rule.strict,
            BuiltinPolicy::Restore => rule.restore,
        }
    }
}

/// The row of that name.
pub fn find(name: &str) -> Option<&'static RuleEntry> {
    RULES.iter().find(|rule| rule.name == name)
}

const fn rule(
    group: Group,
    name: &'static str,
    [default, strict, restore]: [Action; 3],
    summary: &'static str,
) -> RuleEntry {
    RuleEntry { name, group, default, strict, restore, summary }
}

/// Every rule. Columns: group, name, [default, strict, restore], what it looks for.
#[rustfmt::skip]
pub const RULES: &[RuleEntry] = {
    use Action::{Log, Off, Reject, Warn};
    use Group::{DataSafety, ImplicitScan, IndexDdl, LockHygiene, QueryCost};
    &[
        rule(IndexDdl, "index-create-blocking", [Reject, Reject, Off], "CREATE INDEX without CONCURRENTLY"),
        rule(IndexDdl, "index-drop-blocking", [Reject, Reject, Off], "DROP INDEX without CONCURRENTLY"),
        rule(IndexDdl, "reindex-blocking", [Reject, Reject, Off], "REINDEX without CONCURRENTLY"),

        rule(ImplicitScan, "constraint-builds-index", [Warn, Reject, Off], "ADD UNIQUE, PRIMARY KEY or EXCLUDE without USING INDEX"),
        rule(ImplicitScan, "attach-partition-scan", [Warn, Reject, Off], "ATTACH PARTITION of an existing table"),
        rule(ImplicitScan, "detach-partition-blocking", [Warn, Reject, Off], "DETACH PARTITION without CONCURRENTLY"),
        rule(ImplicitScan, "constraint-without-not-valid", [Warn, Reject, Off], "FOREIGN KEY or CHECK added without NOT VALID"),
        rule(ImplicitScan, "validate-in-same-transaction", [Warn, Reject, Off], "VALIDATE in the transaction that added the constraint"),
        rule(ImplicitScan, "column-set-not-null", [Warn, Reject, Off], "SET NOT NULL, which scans the table under a lock"),
        rule(ImplicitScan, "column-required-no-default", [Warn, Reject, Off], "ADD COLUMN NOT NULL without a default"),
        rule(ImplicitScan, "column-volatile-default", [Warn, Reject, Off], "ADD COLUMN with a default that rewrites the table"),
        rule(ImplicitScan, "column-type-change", [Warn, Reject, Off], "ALTER COLUMN TYPE that rewrites the table"),
        rule(ImplicitScan, "table-rewrite-command", [Warn, Reject, Off], "CLUSTER, VACUUM FULL, REPACK, SET TABLESPACE or LOGGED"),
        rule(ImplicitScan, "matview-refresh-blocking", [Warn, Reject, Off], "REFRESH MATERIALIZED VIEW without CONCURRENTLY"),
        rule(ImplicitScan, "create-partition-locks-parent", [Log, Warn, Off], "CREATE TABLE PARTITION OF locks the parent"),
        rule(ImplicitScan, "domain-constraint", [Warn, Reject, Off], "a domain with a constraint"),

        rule(LockHygiene, "ddl-without-lock-timeout", [Warn, Reject, Off], "DDL that may queue for a lock for ever"),
        rule(LockHygiene, "statement-after-exclusive-lock", [Warn, Warn, Off], "more statements while ACCESS EXCLUSIVE is held"),
        rule(LockHygiene, "alter-table-repeated", [Log, Log, Off], "several ALTER TABLE on one table in one transaction"),
        rule(LockHygiene, "concurrently-in-transaction", [Warn, Reject, Off], "CONCURRENTLY inside a transaction block"),
        rule(LockHygiene, "concurrent-index-under-timeout", [Warn, Warn, Off], "a concurrent build that a timeout may cut"),
        rule(LockHygiene, "lock-table", [Warn, Reject, Off], "LOCK TABLE stronger than ROW EXCLUSIVE"),
        rule(LockHygiene, "idle-after-exclusive-lock", [Log, Log, Off], "a client idles while its DDL holds a lock"),
        rule(LockHygiene, "uncommitted-ddl", [Log, Log, Off], "a disconnect with DDL in an open transaction"),
        rule(LockHygiene, "advisory-lock-in-transaction-pooling", [Warn, Warn, Off], "a session advisory lock under transaction pooling"),

        rule(DataSafety, "write-without-where", [Warn, Reject, Off], "UPDATE or DELETE without a condition"),
        rule(DataSafety, "truncate", [Warn, Reject, Off], "TRUNCATE"),
        rule(DataSafety, "drop-table", [Warn, Reject, Off], "DROP TABLE"),
        rule(DataSafety, "drop-column", [Warn, Reject, Off], "DROP COLUMN"),
        rule(DataSafety, "drop-database", [Warn, Reject, Warn], "DROP DATABASE"),
        rule(DataSafety, "drop-schema-cascade", [Warn, Reject, Off], "DROP SCHEMA CASCADE"),
        rule(DataSafety, "rename-object", [Warn, Reject, Off], "a table, column, enum value or schema gets another name"),
        rule(DataSafety, "drop-not-null", [Off, Warn, Off], "DROP NOT NULL"),
        rule(DataSafety, "enum-value-order", [Off, Warn, Off], "ADD VALUE without BEFORE or AFTER"),
        rule(DataSafety, "server-side-program", [Warn, Reject, Warn], "COPY with PROGRAM or a file of the server"),
        rule(DataSafety, "duplicate-column-assignment", [Off, Warn, Off], "one column assigned twice"),

        rule(QueryCost, "unbounded-count", [Log, Warn, Off], "count(*) over whole tables"),
        rule(QueryCost, "large-offset", [Log, Warn, Off], "OFFSET above 10,000"),
        rule(QueryCost, "select-without-limit", [Off, Log, Off], "SELECT without WHERE or LIMIT"),
        rule(QueryCost, "big-in-list", [Log, Warn, Off], "more than 1,000 elements in an IN list"),
        rule(QueryCost, "n-plus-one", [Log, Warn, Off], "one statement over 20 times in a transaction or a second"),
        rule(QueryCost, "slow-statement", [Log, Log, Off], "a statement slower than log.slow_statement"),
        rule(QueryCost, "request-storm", [Log, Warn, Off], "one statement above a rate from one client address"),
        rule(QueryCost, "timeout-override", [Warn, Reject, Off], "a client raises its own limits"),
        rule(QueryCost, "opaque-code", [Warn, Warn, Off], "code whose statements the text does not show"),
        rule(QueryCost, "unparsable-statement", [Log, Warn, Off], "text beyond the lexer's limits"),
        rule(QueryCost, "unsafe-client-encoding", [Warn, Reject, Warn], "an encoding whose second bytes may look like ASCII"),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_written_like_names() {
        let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
        }
    }

    #[test]
    fn the_default_policy_rejects_the_three_index_rules_and_nothing_else() {
        let rejecting: Vec<_> = RULES
            .iter()
            .filter(|rule| BuiltinPolicy::Default.action(rule) == Action::Reject)
            .map(|rule| rule.name)
            .collect();
        assert_eq!(rejecting, ["index-create-blocking", "index-drop-blocking", "reindex-blocking"]);
    }

    #[test]
    fn observe_never_reaches_the_client_and_strict_is_never_milder_than_default() {
        for rule in RULES {
            assert!(BuiltinPolicy::Observe.action(rule) <= Action::Log, "{}", rule.name);
            assert!(rule.strict >= rule.default, "{}", rule.name);
        }
    }
}
