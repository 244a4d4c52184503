//! Tables that the session has made itself: nobody waits for those, and only those.

use super::*;

#[test]
fn what_a_transaction_has_made_is_its_own() {
    check_refused(&[
        (
            "begin | create table t (a int)",
            "create index i on t (a)",
            "",
            "a table of this transaction",
        ),
        ("begin | create table s.t (a int)", "create index i on s.t (a)", "", "with its schema"),
        ("begin | create table t as select 1 as a", "create index i on t (a)", "", "from a query"),
        ("begin | select 1 as a into t", "create index i on t (a)", "", "by SELECT INTO"),
        ("begin | create table t (like x including all)", "create index i on t (a)", "", "by LIKE"),
        (
            "begin | create table t () inherits (x)",
            "create index i on t (a)",
            "",
            "a child has rows of its own only",
        ),
        (
            "begin | create table t partition of p for values in (1)",
            "create index i on t (a)",
            "",
            "a new partition",
        ),
        ("begin | create table t of ty", "create index i on t (a)", "", "of a type"),
        ("begin | create unlogged table t (a int)", "create index i on t (a)", "", "unlogged"),
        (
            "begin | create materialized view t as select 1 as a",
            "create unique index i on t (a)",
            "",
            "a view with rows",
        ),
        (
            "begin | create table t (a) as execute q",
            "create index i on t (a)",
            "",
            "from a prepared query",
        ),
        (
            "begin | explain analyze create table t as select 1 as a",
            "create index i on t (a)",
            "",
            "EXPLAIN ANALYZE runs it",
        ),
        (
            "begin | create table \"T\" (a int)",
            "create index i on \"T\" (a)",
            "",
            "quotes keep the case",
        ),
        (
            "begin | create table T (a int)",
            "create index i on U&\"\\0074\" (a)",
            "",
            "the same name in other letters",
        ),
        (
            "begin | create table t (a int) | select 1 | insert into t values (1)",
            "create index i on t (a)",
            "",
            "other statements between",
        ),
        (
            "begin | create table t (a int) | create index i on t (a)",
            "drop index i",
            "",
            "an index of it",
        ),
        (
            "begin | create table s.t (a int) | create index i on s.t (a)",
            "drop index s.i",
            "",
            "is in its schema",
        ),
        (
            "begin | create table t (a int) | create index i on t (a)",
            "reindex index i",
            "",
            "may be rebuilt as well",
        ),
        ("begin | create table t (a int)", "reindex table t", "", "and so may all of them"),
        ("begin | create schema s", "reindex schema s", "", "and all of a new schema"),
        (
            "begin | create schema s | create table if not exists s.t (a int)",
            "create index on s.t (a)",
            "",
            "in a new schema all is new",
        ),
        (
            "begin | create table t (a int) | alter table t rename to u",
            "create index i on u (a)",
            "",
            "under its new name",
        ),
        (
            "begin | create table t (a int) | alter table t set schema s",
            "create index i on s.t (a)",
            "",
            "in its new schema",
        ),
        (
            "begin | create table s.t (a int) | alter schema s rename to r",
            "create index i on r.t (a)",
            "",
            "in a schema with a new name",
        ),
        (
            "begin | create table p (a int) partition by list (a)",
            "create index i on p (a)",
            "",
            "a new parent has no rows",
        ),
        (
            "begin | create table p (a int) partition by list (a) | create table q partition of p for values in (1)",
            "create index i on p (a)",
            "",
            "nor have its new partitions",
        ),
        (
            "begin | create table p (a int) partition by list (a) | create table q (a int) | alter table p attach partition q for values in (1)",
            "create index i on p (a)",
            "",
            "nor has one attached, if it is new",
        ),
        ("", "create table t (a int); create index i on t (a)", "", "in one string"),
        (
            "",
            "create table t (a int); create index i on t (a); create table u (b int); create index j on u (b)",
            "",
            "one behind the other",
        ),
        (
            "",
            "create schema s create table t (a int) create index i on t (a)",
            "",
            "an element of CREATE SCHEMA",
        ),
        (
            "",
            "create schema s create index i on s.t (a) create table t (a int)",
            "",
            "the server sorts the elements",
        ),
        (
            "",
            "create schema authorization joe create table t (a int) create index i on t (a)",
            "",
            "the schema is named after the role",
        ),
        (
            "",
            "create table if not exists t (a int); create table u (a int); create index on u (a)",
            "",
            "another one beside",
        ),
        (
            "begin | create table t (a int) | create table t2 (a int) | alter table t rename to t3 | alter table t2 rename to t",
            "create index i on t (a)",
            "",
            "names swapped between new tables",
        ),
    ]);
}

#[test]
fn a_session_without_ddl_keeps_nothing() {
    let mut session = Session::new(BuiltinPolicy::Default);
    for text in [
        "select 1",
        "begin",
        "savepoint a",
        "update t set a = 1",
        "select pg_advisory_lock(1)",
        "rollback to a",
        "release a",
        "commit",
    ] {
        session.run(text);
        assert!(session.history.is_empty(), "{text}");
    }
    session.run("create table t (a int)");
    assert!(session.history.is_empty(), "it ends with its transaction");
    assert_eq!(size_of::<History>(), size_of::<usize>());
}
