//! Everything else that touches the session, and what does not.

use super::{check, effects_of, facts_of};
use crate::sql::{CopyDirection, Discard, Explain, PinReason, StatementKind as K};

#[test]
fn plain_texts_are_plain_and_cost_no_list() {
    for text in [
        "",
        ";;",
        "select 1",
        "SELECT * FROM t WHERE a = $1 FOR UPDATE",
        "(select 1) union (select 2); values (1); table t",
        "with x as (insert into t values (1) returning *) select * from x",
        "insert into t select * from u; update t set a = 1; delete from t",
        "merge into t using u on a = b when matched then delete",
        "select 'set_config(', \"nextval\", currval, $$pg_advisory_lock(1)$$ -- lastval()",
        "select set_configx(1), x.into_temp",
        "select pg_temp from t",
    ] {
        let facts = facts_of(text);
        assert!(facts.is_plain() && facts.pins().is_empty(), "{text}");
        if !text.contains("nextval") && !text.contains("pg_temp") {
            assert!(facts.statements().is_empty(), "{text}");
        }
    }
    assert_eq!(facts_of("select 1;; select 2;").count(), 2);
}

#[test]
fn temporary_objects() {
    check(&[
        ("create temp table t (a int)", "TEMP DDL"),
        ("CREATE LOCAL TEMPORARY TABLE t AS SELECT 1", "TEMP DDL"),
        ("create or replace temp recursive view v as select 1", "TEMP DDL"),
        ("create global temp sequence s", "TEMP DDL"),
        ("create table pg_temp.t (a int)", "TEMP DDL"),
        ("create function pg_temp.f() returns int language sql as 'select 1'", "TEMP DDL"),
        ("create table U&\"pg_t\\0065mp\".t (a int)", "TEMP DDL"),
        ("create table \"pg_temp_3\" . t (a int)", "TEMP DDL"),
        ("insert into pg_temp.t values (1)", "TEMP"),
        ("CREATE GLOBAL TEMPORARY TABLE IF NOT EXISTS t (a int)", "TEMP DDL"),
        ("create or replace local temp view v as select 1", "TEMP DDL"),
        ("create/**/temp\nview v as select 1", "TEMP DDL"),
        ("create recursive view pg_temp.v (a) as select 1", "TEMP DDL"),
        ("create temp table t partition of pg_temp.p default", "TEMP DDL"),
        ("create table if not exists PG_TEMP.t (a int)", "TEMP DDL"),
        ("create foreign table pg_temp.t (a int) server s", "TEMP DDL"),
        ("create type pg_temp.t as enum ('a')", "TEMP DDL"),
        ("create domain \"pg_temp\".t as int", "TEMP DDL"),
        ("create aggregate pg_temp.f(int) (sfunc = int4pl, stype = int)", "TEMP DDL"),
        ("create operator pg_temp.+ (leftarg = int, function = f)", "TEMP DDL"),
        ("create procedure pg_temp . p() language sql as ''", "TEMP DDL"),
        ("create collation pg_temp.c from \"C\"", "TEMP DDL"),
        ("create sequence U&\"pg!005ftemp\" uescape '!' . s", "TEMP DDL"),
        ("create extension e schema pg_temp_3", "TEMP DDL"),
        ("import foreign schema s from server s into pg_temp", "TEMP DDL"),
        ("set search_path = pg_temp", "SET TEMP"),
        ("set local search_path to \"$user\", 'pg_temp'", "SET_LOCAL TEMP"),
        ("set schema 'pg_temp'", "SET TEMP"),
        ("select set_config('search_path', 'pg_temp, public', true)", "SET_LOCAL TEMP"),
        ("do $$ begin execute 'create local temp table t (a int)'; end $$", "TEMP DDL CODE"),
        ("table temp", ""),
        ("comment on schema s is 'pg_temp'", "DDL"),
        ("select 1 into temp t", "TEMP DDL"),
        ("select 1 INTO LOCAL TEMPORARY TABLE t", "TEMP DDL"),
        ("with x as (select 1) select * into temp t from x", "TEMP DDL"),
        ("(select 1 into temp t)", "TEMP DDL"),
        ("select 1 into pg_temp.t", "TEMP DDL"),
        ("select 1 into t", "DDL"),
        ("select 1 as insert into t from u", "DDL"),
        ("select insert into temp t from u", "TEMP DDL"),
        ("select f(1) merge into t from u", "DDL"),
        ("with x as (insert into u values (1)) select 1 insert into temp t from x", "TEMP DDL"),
        ("with x as (insert into u values (1)) select 1", ""),
        ("with x as (select 1) insert into u select 1", ""),
        ("select * from temp, temporary", ""),
        ("create table temp (a int)", "DDL"),
        ("create table t as select 1", "DDL"),
        ("create schema s create temp table t (a int)", "TEMP DDL"),
        ("explain analyze create temp table t as select 1", "TEMP DDL"),
        ("explain create temp table t as select 1", ""),
    ]);
    let facts = facts_of("create temp table t (a int) on commit drop");
    let K::Create(create) = &facts.statements()[0].kind else { panic!("no CREATE") };
    assert!(create.temporary && create.on_commit_drop);
}

#[test]
fn an_update_of_pg_settings_sets_a_parameter() {
    check(&[
        ("update pg_settings set setting = '1' where name = 'work_mem'", "SET_UNTRACKED"),
        ("update only \"pg_catalog\".\"pg_settings\" set setting = 1", "SET_UNTRACKED"),
        ("with u as (select 1) update pg_settings set setting = 1", "SET_UNTRACKED"),
        ("explain analyze update pg_settings set setting = 1", "SET_UNTRACKED"),
        ("do $$ begin update pg_settings set setting = 1; end $$", "SET_UNTRACKED CODE"),
        ("select * from pg_settings", ""),
        ("select * from pg_settings for update", ""),
        ("update t set a = 1", ""),
    ]);
}

#[test]
fn locks_and_other_calls() {
    check(&[
        ("select pg_advisory_lock(1)", "ADVISORY_LOCK"),
        ("select PG_TRY_ADVISORY_LOCK_SHARED (1, 2)", "ADVISORY_LOCK"),
        ("select pg_catalog.\"pg_try_advisory_lock\"(1)", "ADVISORY_LOCK"),
        ("select U&\"pg\\005fadvisory_lock\"(1)", "ADVISORY_LOCK"),
        ("select/**/pg_advisory_lock/**/\n(1)", "ADVISORY_LOCK"),
        ("select 1 where pg_advisory_lock_shared(1) is null", "ADVISORY_LOCK"),
        ("values (pg_try_advisory_lock(1, 2))", "ADVISORY_LOCK"),
        ("select * from \"pg_catalog\".pg_advisory_lock(1) as l", "ADVISORY_LOCK"),
        ("select * from rows from (pg_advisory_lock(1), f(2)) as l", "ADVISORY_LOCK"),
        ("select f(1, g(pg_advisory_lock(key => 1)))", "ADVISORY_LOCK"),
        ("update t set a = 1 returning pg_advisory_lock(a)", "ADVISORY_LOCK"),
        (
            "merge into t using u on pg_try_advisory_lock(a) when matched then delete",
            "ADVISORY_LOCK",
        ),
        ("copy t from stdin where pg_try_advisory_lock(a)", "ADVISORY_LOCK COPY"),
        ("call p(pg_advisory_lock(1))", "ADVISORY_LOCK CODE NO_BLOCK"),
        ("declare c cursor for select pg_advisory_lock(1)", "ADVISORY_LOCK CURSOR"),
        ("create materialized view v as select pg_advisory_lock(1)", "ADVISORY_LOCK DDL"),
        ("explain analyze execute p(pg_advisory_lock(1))", "EXECUTE ADVISORY_LOCK"),
        ("do $$ begin execute 'select pg_advisory_lock($1)' using 1; end $$", "ADVISORY_LOCK CODE"),
        ("create function f(a int default pg_advisory_lock(1)) returns int", "DDL"),
        ("select U&\"set!0073eed\" uescape '!' (0.5)", "SETSEED"),
        ("select \"pg_catalog\" . \"setseed\"(0.5)", "SETSEED"),
        ("do $$ begin perform setseed(0.5); end $$", "SETSEED CODE"),
        ("select pg_advisory_unlock_all()", "ADVISORY_UNLOCK"),
        ("select pg_advisory_xact_lock(1)", "ADVISORY_XACT_LOCK"),
        ("select pg_try_advisory_xact_lock_shared(1)", "ADVISORY_XACT_LOCK"),
        ("select setseed(0.5)", "SETSEED"),
        ("insert into t values (nextval('s'))", "SEQUENCE_MOVE"),
        ("select currval('s'), lastval()", "SEQUENCE_READ"),
        ("select dblink_connect('a', 'b')", "DBLINK"),
        ("select pg_export_snapshot()", "EXPORT_SNAPSHOT"),
        ("select lo_open(1, 2)", "LARGE_OBJECT"),
        ("select pg_notify('a', 'b')", "NOTIFY"),
        ("select query_to_xml('select 1', true, true, '')", "OPAQUE"),
        ("create table t (a int default nextval('s'))", "DDL"),
        ("create table t as select nextval('s')", "SEQUENCE_MOVE DDL"),
        ("create view v as select setseed(1)", "DDL"),
        ("create function f() returns int begin atomic select setseed(1); end", "DDL"),
        ("alter table t alter a type int using setseed(1)", "SETSEED DDL"),
        ("explain select setseed(1)", ""),
        ("explain analyze select setseed(1)", "SETSEED"),
        ("copy (select setseed(1)) to stdout", "SETSEED COPY"),
    ]);
}

#[test]
fn commands() {
    check(&[
        ("prepare p as select setseed(1)", "PREPARE"),
        ("prepare p (int, text) as select 1", "PREPARE"),
        ("prepare transaction as select 1", "PREPARE"),
        ("execute p(setseed(1))", "EXECUTE SETSEED"),
        ("explain execute p", "EXECUTE"),
        ("create table t as execute p", "EXECUTE DDL"),
        ("deallocate p", "DEALLOCATE"),
        ("discard all", "DISCARD NO_BLOCK"),
        ("discard temporary", "DISCARD"),
        ("listen c", "LISTEN"),
        ("unlisten *", "UNLISTEN"),
        ("notify c, 'x'", "NOTIFY"),
        ("load 'x'", "LOAD"),
        ("declare c cursor for select 1", "CURSOR"),
        ("declare c binary insensitive no scroll cursor with hold for select 1", "HOLD_CURSOR"),
        ("declare c cursor without hold for select 1", "CURSOR"),
        ("fetch 5 from c", "CURSOR"),
        ("call p()", "CODE NO_BLOCK"),
        ("vacuum t", "NO_BLOCK"),
        ("create index concurrently i on t (a)", "DDL NO_BLOCK"),
        ("create database d", "DDL NO_BLOCK"),
        ("drop index concurrently i", "DDL NO_BLOCK"),
        ("lock table t", ""),
        ("nonsense", "UNKNOWN"),
        ("'x'", "UNKNOWN"),
        ("\"select\" 1", "UNKNOWN"),
        ("repack t", "DDL NO_BLOCK"),
        ("select 1; listen c; load 'x'", "LISTEN LOAD"),
    ]);
}

#[test]
fn kinds_carry_their_names() {
    let kind = |text: &str| facts_of(text).statements()[0].kind.clone();
    let name = |name: &str| crate::sql::Name::new(name.as_bytes());
    let text = "prepare \"P\" (int) as select 1";
    let K::Prepare { name: prepared, body } = kind(text) else { panic!("no PREPARE") };
    assert_eq!((prepared, &text[body.start..body.end]), (name("P"), "select 1"));
    assert_eq!(kind("execute P (1)"), K::Execute { name: name("p") });
    assert_eq!(kind("deallocate prepare all"), K::Deallocate { name: None });
    assert_eq!(kind("deallocate prepare"), K::Deallocate { name: Some(name("prepare")) });
    assert_eq!(kind("deallocate \"all\""), K::Deallocate { name: Some(name("all")) });
    assert_eq!(kind("discard temp"), K::Discard(Discard::Temp));
    assert_eq!(kind("unlisten *"), K::Unlisten { channel: None });
    assert_eq!(kind("listen \"A b\""), K::Listen { channel: name("A b") });
    assert_eq!(kind("fetch backward 3 in c"), K::Fetch { cursor: name("c") });
    assert_eq!(kind("move c"), K::Fetch { cursor: name("c") });
    assert_eq!(kind("close all"), K::Close { cursor: None });
    assert_eq!(kind("close c"), K::Close { cursor: Some(name("c")) });
    assert_eq!(kind("copy t (a) from stdin"), K::Copy(CopyDirection::FromClient));
    assert_eq!(kind("copy (select a from b) to stdout with csv"), K::Copy(CopyDirection::ToClient));
    assert_eq!(kind("copy t from program 'x'"), K::Copy(CopyDirection::OnServer));
    assert_eq!(kind("copy t to 'f'"), K::Copy(CopyDirection::OnServer));
    assert_eq!(
        kind("with a as (select 1), insert as (select 2) update t set lastval = lastval()"),
        K::Update
    );
    assert_eq!(kind("create table t as execute p").clone(), {
        K::Create(crate::sql::Create { executes: Some(name("p")), ..Default::default() })
    });
}

#[test]
fn the_number_of_kept_statements_is_bounded() {
    let plain = facts_of(&format!("set x = 1;{}", "select 1;".repeat(20_000)));
    assert_eq!((plain.count(), plain.statements().len()), (20_001, 10_000));
    assert!(plain.pins().is_empty());
    let hidden = facts_of(&format!("{}set x = 1", "select 1;".repeat(20_000)));
    assert!(hidden.pins().contains(PinReason::Unknown) && hidden.reads_or_sets(b"role"));
}

#[test]
fn explain_says_whether_it_runs() {
    for (text, expected) in [
        ("explain select lastval()", Explain::Plan),
        ("explain analyze verbose select lastval()", Explain::Analyze),
        ("explain verbose select lastval()", Explain::Plan),
        ("explain (analyze) select lastval()", Explain::Analyze),
        ("explain (costs off, analyze 'false') select lastval()", Explain::Plan),
        ("explain (analyze false, analyse on, verbose) select lastval()", Explain::Analyze),
        ("explain (analyze on, analyze 0) select lastval()", Explain::Plan),
        ("explain (select lastval())", Explain::Plan),
        ("explain ((values (lastval())))", Explain::Plan),
        ("explain analyze (select lastval())", Explain::Analyze),
    ] {
        let facts = facts_of(text);
        let statement = &facts.statements()[0];
        assert_eq!((statement.explain, &statement.kind), (expected, &K::Select), "{text}");
        assert_eq!(effects_of(text).is_empty(), expected == Explain::Plan, "{text}");
    }
}

#[test]
fn reasons_to_pin() {
    for (text, expected) in [
        ("create temp table t (a int)", vec![PinReason::TempTable]),
        ("select pg_try_advisory_lock(1)", vec![PinReason::AdvisoryLock]),
        ("declare c cursor with hold for select 1", vec![PinReason::HoldCursor]),
        ("select set_config(a, b, false) from t", vec![PinReason::Set]),
        ("load 'x'; select setseed(1)", vec![PinReason::Load, PinReason::SetSeed]),
        ("select dblink_connect('x')", vec![PinReason::Dblink]),
        ("frobnicate", vec![PinReason::Unknown]),
        ("do $$ begin listen c; end $$; prepare p as select 1", vec![PinReason::Listen]),
        ("set x = 1; prepare p as select 1; listen c; begin; call p()", vec![]),
    ] {
        assert_eq!(facts_of(text).pins().iter().collect::<Vec<_>>(), expected, "{text}");
    }
    assert_eq!(
        PinReason::ALL.map(PinReason::name).join(", "),
        "temp table, advisory lock, WITH HOLD cursor, SET, PREPARE, LISTEN, LOAD, setseed, dblink, unknown"
    );
}
