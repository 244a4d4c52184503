//! What texts are to whoever chooses a server, and the names that they have.

use super::super::LexOptions;
use super::super::commands::ObjectName;
use super::super::reads::{Hint, Kind, Reading, Why, reading};

fn read(text: &str) -> Reading {
    reading(text.as_bytes(), LexOptions::default())
}

fn kind(text: &str) -> String {
    match read(text).kind {
        Kind::Execute(name) => format!("Execute {}", String::from_utf8_lossy(name.as_bytes())),
        Kind::Write(why) => format!("{why:?}"),
        kind => format!("{kind:?}"),
    }
}

fn kinds(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&kind(text), expected, "{text}");
    }
}

fn listed(names: &[ObjectName]) -> String {
    let one = |name: &ObjectName| format!("{name:?}").replace('"', "");
    names.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Text, functions, relations.
fn names(cases: &[(&str, &str, &str)]) {
    for (text, functions, relations) in cases {
        let found = read(text);
        assert_eq!(found.kind, Kind::Read, "{text}");
        assert_eq!(&listed(&found.functions), functions, "functions of {text}");
        assert_eq!(&listed(&found.relations), relations, "relations of {text}");
    }
}

#[test]
fn queries_read_unless_something_in_them_writes() {
    kinds(&[
        ("select 1", "Read"),
        ("SELECT 1;", "Read"),
        ("select 1; select 2", "Read"),
        ("values (1)", "Read"),
        ("table t", "Read"),
        ("(select 1) union (select 2)", "Read"),
        ("with a as (select 1) select * from a", "Read"),
        ("with a as (select 1) (select * from a)", "Read"),
        ("select 1 from t for read only", "Read"),
        ("select a as \"update\", t.update, \"delete\" from t", "Read"),
        ("select 1 as into, t.into, 2 as insert from t", "Read"),
        ("select substring('abc' from 1 for 2)", "Read"),
        ("/* x */ -- y\n (((select 1)))", "Read"),
        ("insert into t values (1)", "Dml"),
        ("/* SELECT 1 */ insert into t values (1)", "Dml"),
        ("update t set a = 1", "Dml"),
        ("delete from t", "Dml"),
        ("merge into t using u on true when matched then delete", "Dml"),
        ("with a as (delete from t returning *) select * from a", "Dml"),
        ("with a as (select 1) insert into t select * from a", "Dml"),
        ("with a as (select 1) update t set a = 1", "Dml"),
        (
            "with a as (with b as (with c as (update t set a = 1 returning 1) select 1) select 1) select 1",
            "Dml",
        ),
        ("select * from t for update", "RowLocks"),
        ("select * from t for no key update", "RowLocks"),
        ("select * from t for share", "RowLocks"),
        ("select * from t for key share of t nowait", "RowLocks"),
        ("(select * from t) for update", "RowLocks"),
        ("select * from (select * from t for share) x", "RowLocks"),
        ("select 1 where exists (select 1 from t FOR UPDATE SKIP LOCKED)", "RowLocks"),
        ("with a as (select * from t for no key update) select * from a", "RowLocks"),
        ("select 1 into t", "Into"),
        ("select 1 into temp t union select 2", "Into"),
        ("(select 1 into t)", "Into"),
        ("select 1; insert into t values (1)", "Dml"),
        ("select treat('s'::regclass as nextval)", "Unknown"),
        ("select (1", "Unknown"),
        ("select 1)", "Unknown"),
        ("select (1; 2)", "Unknown"),
        ("select 'a", "Unknown"),
    ]);
}

#[test]
fn statements_of_other_kinds() {
    kinds(&[
        ("", "Session"),
        (" ;; -- ping", "Session"),
        ("set a = 1", "Session"),
        ("set local a = 1; reset b", "Session"),
        ("prepare a as delete from t", "Session"),
        ("deallocate all", "Session"),
        ("discard all", "Session"),
        ("listen a", "Session"),
        ("unlisten *", "Session"),
        ("set a = 1; select 1", "Unknown"),
        ("begin", "Control"),
        ("commit; begin read only", "Control"),
        ("set transaction read only", "Control"),
        ("set constraints all deferred", "Control"),
        ("set transaction snapshot 'x'", "Unknown"),
        ("savepoint a", "Control"),
        ("begin; select 1; commit", "Unknown"),
        ("begin; insert into t values (1); commit", "Dml"),
        ("prepare transaction 'x'", "TwoPhase"),
        ("commit prepared 'x'", "TwoPhase"),
        ("rollback prepared 'x'", "TwoPhase"),
        ("declare a cursor for select 1", "Cursor"),
        ("declare \"for\" no scroll cursor without hold for select f(1) from t", "Cursor"),
        ("declare a cursor for select * from t for update", "RowLocks"),
        ("declare a cursor with hold for select 1", "HoldCursor"),
        ("fetch 10 from a", "Cursor"),
        ("move a", "Cursor"),
        ("close all", "Cursor"),
        ("execute A", "Execute a"),
        ("execute \"B\"(f(1))", "Execute B"),
        ("execute a; select 1", "Unknown"),
        ("explain insert into t values (1)", "Read"),
        ("explain select * from t for update", "Read"),
        ("explain select 1 into t", "Read"),
        ("explain (analyze false, verbose) update t set a = 1", "Read"),
        ("explain (analyze, analyze off) delete from t", "Read"),
        ("explain (analyze off, analyze) delete from t", "Dml"),
        ("explain (\"analyze\") delete from t", "Dml"),
        ("explain (verbose, U&\"an\\0061lyze\" on) delete from t", "Dml"),
        ("explain (\"ANALYZE\") delete from t", "Read"),
        ("explain (analyze 'off') delete from t", "Read"),
        ("explain (analyze 'no') delete from t", "Dml"),
        ("explain analyze select 1", "Read"),
        ("explain analyze select 1 from t for update", "RowLocks"),
        ("explain analyze with a as (delete from t returning 1) select 1", "Dml"),
        ("explain analyse verbose insert into t values (1)", "Dml"),
        ("explain create table t as select f(1)", "Read"),
        ("explain analyze create table t as select 1", "Ddl"),
        ("explain declare a cursor for select 1", "Read"),
        ("explain execute a", "Unknown"),
        ("explain refresh materialized view v", "Unknown"),
        ("explain", "Unknown"),
        ("copy t to stdout", "Read"),
        ("copy s.t (a, b) to stdout with (format csv)", "Read"),
        ("copy (select * from t) to stdout", "Read"),
        ("copy (values (1)) to stdin", "Read"),
        ("copy (select 1 from t for update) to stdout", "RowLocks"),
        ("copy (insert into t values (1) returning a) to stdout", "Dml"),
        ("copy t from stdin", "Copy"),
        ("copy t to '/f'", "Copy"),
        ("copy (select 1) to program 'cat'", "Copy"),
        ("show search_path", "Read"),
        ("call f()", "Unknown"),
        ("do 'begin end'", "Unknown"),
        ("lock t", "Lock"),
        ("notify a", "Notify"),
        ("vacuum", "Maintenance"),
        ("analyze t", "Maintenance"),
        ("checkpoint", "Maintenance"),
        ("load 'x'", "Maintenance"),
        ("wait for lsn '0/1'", "Unknown"),
        ("create table t (a int)", "Ddl"),
        ("truncate t", "Ddl"),
        ("comment on table t is 'x'", "Ddl"),
        ("grant select on t to public", "Ddl"),
        ("refresh materialized view v", "Ddl"),
        ("alter system set a = 1", "Ddl"),
        ("reindex table t", "Ddl"),
        ("frobnicate", "Unknown"),
    ]);
}

#[test]
fn relations_are_those_of_from_clauses() {
    names(&[
        ("select a from t", "", "t"),
        ("select a from s.t, \"T\" as x, only u", "", "s.t T u"),
        ("select from db.s.t", "", "s.t"),
        ("select 1 from a join b on a.x = b.x left join c using (x) natural join d", "", "a b c d"),
        ("select 1 from (a join b on true) cross join (select 1 from c) d, e", "", "a b c e"),
        ("select 1 from only (a) where b = any (select c from d)", "", "a d"),
        (
            "select extract(epoch from a), substring(b from 2), trim(both 'x' from c) from t",
            "substring",
            "t",
        ),
        (
            "select 1 from t order by f(1) offset g(2) fetch first (h(3)) rows only",
            "f g first h",
            "t",
        ),
        ("select a is distinct from b, c is not distinct from d from t", "", "t"),
        ("select a distinct from t", "", "t"),
        ("select 1 from t values (a), u rows (b), v", "", "t u v"),
        ("select 1 from t within group by f(a), g(b)", "f g", "t"),
        ("select h(1) within group (order by f(a)) from t, u", "h f", "t u"),
        ("select a as from from t", "", "t"),
        ("table s.t union all table u order by 1", "", "s.t u"),
        ("select 1 union table t", "", "t"),
        ("select a table, b * f(c) from t", "f", "t"),
        ("select * from t * , u", "", "t u"),
        ("with t as (select 1 from t), u as (select 1 from t) select 1 from t, u, v", "", "t v"),
        ("with recursive t as (select 1 union select 1 from t) select 1 from t, s.t", "", "s.t"),
        ("with t (a) as materialized (select 1) select 1 from t", "", ""),
        ("select 1 from (with t as (select 1) select 1 from t) x, t", "", "t"),
        (
            "with recursive t as (select 1 as a) search depth first by a, b set c, u as (select 1) select 1 from t, u, b",
            "",
            "b",
        ),
        ("explain with t as (select 1) insert into t select 1 from t", "", "t"),
        ("explain update only a set b = 1 from c where d in (select 1 from e)", "", "a c e"),
        ("explain delete from a using b where true returning f(c)", "f", "a b"),
        ("copy t (a) to stdout", "", "t"),
        ("copy (select f(a) from t) to stdout", "f", "t"),
    ]);
}

#[test]
fn functions_are_names_before_parentheses() {
    names(&[
        ("select f(a), s.g(b), \"H\"(c), d.s.i()", "f s.g H s.i", ""),
        ("select U&\"n!0065xtval\" uescape '!' ('s'), \"nextval\"('s')", "nextval", ""),
        ("select f /* x */ (1) from t where g(a) group by h(b)", "f g h", "t"),
        ("select a in (1), exists (select 1), coalesce(b, c), cast(d as numeric(10, 2))", "", ""),
        ("select a::numeric(10, 2), b::s.point(3), c::character varying(3)", "varying", ""),
        ("select 1 from f(a), lateral g(b) x, rows from (h(1), i(2) as (a int)) y", "f g h i", ""),
        ("select 1 from t x(a, b), (values (1)) v(a), f(1) with ordinality w(a, b)", "f", "t"),
        ("select 1 from t as x(a, b) join u y(c) on f(a) = c", "f", "t u"),
        ("select 1 from t tablesample bernoulli (10) repeatable (f(1))", "f", "t"),
        ("select distinct on (a) f(b) from t", "f", "t"),
        (
            "select count(*) filter (where f(a)) over (partition by g(b)) from t",
            "count filter f over g",
            "t",
        ),
        ("select a, b from t where left(a, 1) = 'x'", "left", "t"),
        ("with a(b) as (select f(1)) select * from a", "f", ""),
        ("select a[f(1)], array[g(2)], (h(3)).x", "f g h", ""),
        ("select 1 from a join b on c = array[d, f(e)]", "f", "a b"),
    ]);
    let found = read("select t.f, (t).g, s.t.h, u.*, t.F, i from t, u");
    let dotted: Vec<_> =
        found.dotted.iter().map(|name| String::from_utf8_lossy(name.as_bytes())).collect();
    assert_eq!(dotted, ["f", "g", "t", "h"]);
}

#[test]
fn parameters_of_the_server_are_told() {
    let cases = [
        ("show search_path", None),
        ("show time zone", None),
        ("show app.tenant", None),
        ("show all", Some("all")),
        ("show in_hot_standby", Some("in_hot_standby")),
        ("select current_setting('app.tenant', true)", None),
        ("select current_setting('TimeZone')", None),
        ("select current_setting('Transaction_Read_Only')", Some("transaction_read_only")),
        ("select pg_catalog.current_setting($1)", Some("current_setting")),
        ("select current_setting('a.' || 'b')", Some("current_setting")),
    ];
    for (text, expected) in cases {
        let found = read(text);
        let setting =
            found.setting.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
        assert_eq!((found.kind, setting.as_deref()), (Kind::Read, expected), "{text}");
    }
}

#[test]
fn hints_stand_before_the_text() {
    let cases = [
        ("/* pgweir: primary */ select 1", Some(Hint::Primary)),
        ("/*PGWEIR:Replica*/select 1", Some(Hint::Replica)),
        (" -- x\n--pgweir: primary\nselect 1", Some(Hint::Primary)),
        ("/* pgweir: replica */ /* pgweir: primary */ select 1", Some(Hint::Primary)),
        ("/* pgweir: anywhere */ select 1", None),
        ("/* pgweir: primary", None),
        ("select /* pgweir: primary */ 1", None),
        ("; /* pgweir: primary */ select 1", None),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).hint, expected, "{text}");
    }
}

#[test]
fn beyond_the_limits_nothing_is_proven() {
    let deep = |depth: usize| format!("select {}1{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(kind(&deep(60)), "Read");
    assert_eq!(kind(&deep(64)), "Unknown");
    assert_eq!(kind(&deep(1_000_000)), "Unknown");
    let calls = |count: usize| {
        let calls: Vec<_> = (0..count).map(|n| format!("f{n}()")).collect();
        format!("select {}", calls.join(", "))
    };
    assert_eq!(kind(&calls(256)), "Read");
    assert_eq!(kind(&calls(257)), "Unknown");
    assert_eq!(read(&calls(257)).functions.len(), 256);
    let many = format!("select 1 from {}", vec!["t"; 100_000].join(", "));
    assert_eq!(read(&many).relations.len(), 1);
    assert_eq!(read(&many).kind, Kind::Read);
    assert_eq!(kind(&"select 1;".repeat(100_000)), "Read");
    assert_eq!(read("select 1; delete from t").kind, Kind::Write(Why::Dml));
}
