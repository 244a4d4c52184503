use super::super::{LexOptions, upkeep};
use super::facts_of;

/// What the statements of a text are together: `m` for maintenance, `d` for DDL.
fn kinds_of(text: &str) -> String {
    let facts = facts_of(text);
    let each = |statement| upkeep(statement, text.as_bytes(), LexOptions::default());
    let all: Vec<_> = facts.statements().iter().map(each).collect();
    let maintenance = if all.iter().any(|found| found.maintenance) { "m" } else { "" };
    let ddl = if all.iter().any(|found| found.ddl) { "d" } else { "" };
    format!("{maintenance}{ddl}")
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&kinds_of(text), expected, "{text}");
    }
}

#[test]
fn maintenance_is_what_costs_more_to_cut_than_to_wait_for() {
    check(&[
        ("create index concurrently i on t (a)", "m"),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY t (a)", "m"),
        ("/* x */ create /* y */ index -- z\n concurrently on t (a)", "m"),
        ("drop index concurrently if exists i", "m"),
        ("reindex index concurrently i", "m"),
        ("REINDEX TABLE CONCURRENTLY t", "m"),
        ("reindex (verbose, concurrently) table t", "m"),
        ("reindex (concurrently false, concurrently) schema s", "m"),
        ("reindex (concurrently off) database concurrently d", "m"),
        ("reindex (concurrently, tablespace x) index i", "m"),
        ("reindex (\"concurrently\") table t", "m"),
        ("reindex (u&\"!0063oncurrently\" uescape '!' on) table t", "m"),
        ("reindex (\"Concurrently\") table t", "d"),
        ("vacuum (\"full\") t", "md"),
        ("repack (\"concurrently\") t", "m"),
        ("alter table t validate constraint c", "m"),
        ("alter table if exists only s.t * validate constraint c, validate constraint d", "m"),
        ("alter foreign table t validate constraint c", "m"),
        ("alter table only (t) validate constraint c", "m"),
        ("vacuum", "m"),
        ("vacuum (analyze, full off) t", "m"),
        ("VACUUM VERBOSE ANALYZE t", "m"),
        ("analyze", "m"),
        ("analyse verbose t (a, b)", "m"),
        ("repack (concurrently) t", "m"),
        ("select 1; analyze t; select 2", "m"),
    ]);
}

#[test]
fn ddl_is_what_others_queue_behind() {
    check(&[
        ("create index i on t (a)", "d"),
        ("create unique index concurrentlyx on t (a)", "d"),
        ("create index \"concurrently\" on t (a)", "d"),
        ("drop index i, j", "d"),
        ("reindex table t", "d"),
        ("reindex (concurrently, concurrently '0') table t", "d"),
        ("reindex (verbose) system", "d"),
        ("alter table t add column a int", "d"),
        ("alter table t add constraint c check (a > 0) not valid", "d"),
        ("alter table validate rename to \"constraint\"", "d"),
        ("alter table t attach partition p for values in (1, 2)", "d"),
        ("alter table t detach partition p", "d"),
        ("alter index i attach partition j", "d"),
        ("alter view v rename to w", "d"),
        ("alter materialized view v set schema s", "d"),
        ("alter sequence s restart", "d"),
        ("alter type t add attribute a int cascade", "d"),
        ("alter domain d add check (value > 0)", "d"),
        ("alter trigger a on t rename to b", "d"),
        ("drop table t", "d"),
        ("drop view v", "d"),
        ("drop foreign table t", "d"),
        ("drop function f() cascade", "d"),
        ("drop schema s cascade", "d"),
        ("drop owned by r", "d"),
        ("truncate t", "d"),
        ("cluster t using i", "d"),
        ("refresh materialized view v", "d"),
        ("reassign owned by a to b", "d"),
        ("create trigger a before insert on t execute function f()", "d"),
        ("create or replace constraint trigger a after insert on t execute function f()", "d"),
        ("create rule r as on insert to t do nothing", "d"),
        ("create policy p on t", "d"),
        ("create or replace temp view v as select 1", "d"),
        ("create table t (a int references u)", "d"),
        ("create table t partition of u default", "d"),
        ("create schema s create table t (a int) create index i on t (a)", "d"),
        ("select 1; alter table t add a int; select 2", "d"),
        ("do $$ begin execute 'alter table t add a int'; end $$", "d"),
        ("do $$ begin drop table t; end $$", "d"),
    ]);
}

#[test]
fn some_is_both() {
    check(&[
        ("vacuum full t", "md"),
        ("vacuum (freeze, full) t", "md"),
        ("repack t using index i", "md"),
        ("alter table t validate constraint c, add a int", "md"),
        ("alter domain s.d validate constraint c", "md"),
        ("truncate t; analyze t", "md"),
    ]);
}

#[test]
fn other_statements_are_neither() {
    check(&[
        ("select 1", ""),
        ("select 'vacuum'; select concurrently", ""),
        ("explain analyze select 1", ""),
        ("create table t (a int, b text default 'references x')", ""),
        ("create table t as select 1", ""),
        ("create temp table t (a int) on commit drop", ""),
        ("create table t (partition int)", ""),
        ("create view v as select 1", ""),
        ("create materialized view v as select 1", ""),
        ("create function f() returns int language sql as 'vacuum'", ""),
        ("create or replace function f() returns int language sql as 'drop table t'", ""),
        ("create sequence s", ""),
        ("create statistics s on a, b from t", ""),
        ("create event trigger e on ddl_command_start execute function f()", ""),
        ("alter role a set statement_timeout = 1", ""),
        ("alter system set vacuum_cost_limit = 1", ""),
        ("alter table t detach partition p concurrently", ""),
        ("refresh materialized view concurrently v", ""),
        ("drop function f()", ""),
        ("drop schema s", ""),
        ("drop role a", ""),
        ("comment on table t is 'vacuum'", ""),
        ("grant select on t to a", ""),
        ("lock table t", ""),
        ("do $$ begin analyze t; end $$", ""),
        ("do $$ begin create temp table t (a int); end $$", ""),
        ("begin; set local lock_timeout = 1; commit", ""),
    ]);
}
