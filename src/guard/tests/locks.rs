//! Locks and transactions: what is held for longer than it need be, under `strict`.

use super::*;

#[test]
fn waiting_for_a_lock_without_end() {
    let endless = || {
        let mut session = Session::new(BuiltinPolicy::Strict);
        session.lock_timeout_ms = 0;
        session
    };
    let rule = "ddl-without-lock-timeout";
    check_found_by(
        endless,
        &[
            ("", "alter table t add b int", rule, "ACCESS EXCLUSIVE"),
            ("", "alter table t alter a set default 1", rule, "also for the catalog alone"),
            ("", "drop view v", rule, "of a view"),
            ("", "create table t (a int references x)", rule, "SHARE ROW EXCLUSIVE on x"),
            ("", "create table t (a int references t)", "", "it refers to itself"),
            ("", "create table t (a int)", "", "nobody has it"),
            ("", "alter table t validate constraint c", "", "a weak lock"),
            ("", "vacuum t", "", "likewise"),
            ("", "create index concurrently i on t (a)", "", "likewise"),
            ("", "alter sequence s restart", "", "no table"),
            ("", "create function f() returns int language sql as 'select 1'", "", "none at all"),
            ("", "select 1 from t where a for update", "", "no DDL"),
            ("begin | create table t (a int)", "alter table t add b int", "", "a new table"),
            (
                "begin | create table x (a int)",
                "create table t (a int references x)",
                "",
                "both new",
            ),
            (
                "begin | set local lock_timeout = '2s'",
                "alter table t add b int",
                "",
                "set for the transaction",
            ),
            ("", "set lock_timeout = '2s'; alter table t add b int", "", "set in the string"),
            (
                "begin | select set_config('lock_timeout', '500', true)",
                "alter table t add b int",
                "",
                "by a function",
            ),
            ("begin | set local lock_timeout = 0", "alter table t add b int", rule, "set to none"),
            (
                "begin | set lock_timeout = '2s' | reset lock_timeout",
                "alter table t add b int",
                rule,
                "and back",
            ),
            (
                "begin | savepoint a | set lock_timeout = '2s'",
                "alter table t add b int",
                "",
                "a setting is history enough",
            ),
            (
                "begin | create table x (a int) | savepoint a | set lock_timeout = '2s' | rollback to a",
                "alter table t add b int",
                rule,
                "rolled back",
            ),
            (
                "begin | select set_config('lock_timeout', x, true) from y",
                "alter table t add b int",
                "",
                "to what nobody knows",
            ),
        ],
    );
}

#[test]
fn transactions_that_hold_a_strong_lock() {
    let rule = "statement-after-exclusive-lock";
    check_found(&[
        (
            "begin | alter table t add b int",
            "update u set a = 1 where id = 2",
            rule,
            "others wait meanwhile",
        ),
        ("begin | alter table t add b int", "select 1", rule, "for anything"),
        ("begin | alter table t add b int", "commit", "", "this is its end"),
        ("begin | alter table t add b int", "set local x.y = 1", "", "this takes no time"),
        ("begin | alter table t add b int", "alter table u add b int", rule, "another table"),
        (
            "begin | alter table t add b int",
            "alter table t add c int",
            "statement-after-exclusive-lock alter-table-repeated",
            "the same one",
        ),
        (
            "begin | alter table t add b int | alter table t add c int",
            "alter table t add d int",
            rule,
            "told once of each table",
        ),
        ("begin | alter table t add b int | commit | begin", "select 1", "", "a new transaction"),
        (
            "begin | create table x (a int) | savepoint a | alter table t add b int | rollback to a",
            "select 1",
            "",
            "the lock is gone",
        ),
        (
            "begin | create table t (a int) | alter table t add b int",
            "select 1",
            "",
            "a new table is nobody's lock",
        ),
        ("alter table t add b int", "select 1", "", "it has committed by itself"),
        ("begin | alter table t validate constraint c", "select 1", "", "a weak lock"),
        ("begin | drop index concurrently i", "select 1", "", "likewise"),
        ("begin | lock table t", "select 1 from t where a", "", "who locks by name knows why"),
        (
            "",
            "alter table t add b int; alter table t add c int",
            "statement-after-exclusive-lock alter-table-repeated",
            "in one string",
        ),
        (
            "begin | alter table s.t add b int",
            "alter table t add c int",
            "statement-after-exclusive-lock alter-table-repeated",
            "perhaps the same",
        ),
        ("begin | alter table s.t add b int", "alter table r.t add c int", rule, "not the same"),
    ]);
}

#[test]
fn concurrently_where_it_does_not_work() {
    let rule = "concurrently-in-transaction";
    check_found(&[
        ("begin", "create index concurrently i on t (a)", rule, "in a block"),
        ("begin", "drop index concurrently i", rule, "likewise"),
        ("begin", "reindex table concurrently t", rule, "likewise"),
        ("begin", "alter table p detach partition t concurrently", rule, "likewise"),
        ("begin", "refresh materialized view concurrently v", "", "this one may"),
        ("", "select 1; create index concurrently i on t (a)", rule, "in a string of several"),
        ("", "create index concurrently i on t (a);", "", "a semicolon makes no second one"),
        ("", "begin; create index concurrently i on t (a); commit", rule, "with its own block"),
        ("", "do $$ begin create index concurrently i on t (a); end $$", rule, "in code"),
        ("begin | commit", "create index concurrently i on t (a)", "", "behind a block"),
        ("", "create index concurrently i on t (a)", "", "as it should be"),
    ]);
    let limited = || {
        let mut session = Session::new(BuiltinPolicy::Strict);
        session.maintenance_timeout_ms = 15_000;
        session
    };
    let rule = "concurrent-index-under-timeout";
    check_found_by(
        limited,
        &[
            ("", "create index concurrently i on t (a)", rule, "it may be cut"),
            ("", "reindex (concurrently) table t", rule, "likewise"),
            ("", "drop index concurrently i", "", "it builds nothing"),
            ("", "create table t (a int)", "", "nor does this"),
        ],
    );
}

#[test]
fn locks_by_name() {
    let rule = "lock-table";
    check_found(&[
        ("begin", "lock table t", rule, "ACCESS EXCLUSIVE where nothing is said"),
        ("begin", "lock t in share mode", rule, "writers wait"),
        ("begin", "lock table a, b in exclusive mode nowait", rule, "two"),
        (
            "begin",
            "lock table t in share update exclusive mode",
            rule,
            "stronger than writers take",
        ),
        ("begin", "lock table t in row exclusive mode", "", "as writers take it"),
        ("begin", "lock table t in access share mode", "", "as readers take it"),
        ("begin | create table t (a int)", "lock table t", "", "a new table"),
        ("begin | create table t (a int)", "lock table t, u", rule, "another one beside"),
    ]);
    let rule = "advisory-lock-in-transaction-pooling";
    check_found(&[
        ("", "select pg_advisory_lock(1)", rule, "the session's"),
        ("", "select pg_try_advisory_lock(1, 2)", rule, "tried"),
        ("", "select pg_catalog.pg_advisory_lock_shared(1)", rule, "shared, with its schema"),
        ("", "select pg_advisory_xact_lock(1)", "", "the transaction's"),
        ("", "select pg_advisory_unlock(1)", "", "given back"),
        ("", "select 'pg_advisory_lock(1)'", "", "a literal"),
    ]);
    let own_server = || {
        let mut session = Session::new(BuiltinPolicy::Strict);
        session.shared_server = false;
        session
    };
    check_found_by(
        own_server,
        &[("", "select pg_advisory_lock(1)", "", "the server is the session's own")],
    );
}
