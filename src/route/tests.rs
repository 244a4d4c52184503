//! Texts and what becomes of them in a database of which everything is known.

use super::catalog::{Catalog, Function, FunctionRow, RelationRow, Rows, UsesRow};
use super::{Reason, Verdict, detail, detail_without_catalog, differs_on_standby, verdict};
use crate::sql::reads::{Reading, reading};
use crate::sql::{LexOptions, Name};

/// Of users, by `schema.name`: tables and their like.
const RELATIONS: &[(u32, &str, &str)] = &[
    (20_001, "public.t", "rp"),
    (20_002, "public.u", "rp"),
    (20_003, "public.parted", "pp"),
    (20_004, "public.part", "rp"),
    (20_005, "public.sums", "mp"),
    (20_006, "public.quick", "ru"),
    (20_007, "pg_temp_3.mine", "rt"),
    (20_008, "public.far", "fp"),
    (20_009, "public.seq", "Sp"),
    (20_010, "public.twice", "rp"),
    (20_011, "other.twice", "ru"),
    (20_012, "public.v", "vp"),
    (20_013, "public.v_of_v", "vp"),
    (20_014, "public.v_draws", "vp"),
    (20_015, "public.v_of_draws", "vp"),
    (20_016, "public.v_locks", "vp"),
    (20_017, "public.v_of_quick", "vp"),
    (20_018, "public.v_activity", "vp"),
    (20_019, "public.v_own", "vp"),
    (20_020, "public.parent", "pp"),
    (20_021, "public.child_far", "fp"),
    (20_022, "public.grandparent", "pp"),
    (20_023, "public.policed", "rp"),
    (20_024, "public.v_random", "vp"),
    (20_025, "public.loop_a", "vp"),
    (20_026, "public.loop_b", "vp"),
    (1_259, "pg_catalog.pg_class", "rp"),
    (12_001, "pg_catalog.pg_locks", "vp"),
    (12_002, "pg_catalog.pg_stat_activity", "vp"),
    (12_003, "information_schema.tables", "vp"),
];

const FUNCTIONS: &[(u32, &str, Function)] = &[
    (30_001, "public.stable", Function::Stable),
    (30_002, "public.writes", Function::Volatile),
    (30_003, "public.overloaded", Function::Stable),
    (30_004, "public.overloaded", Function::Volatile),
    (30_005, "public.two", Function::Stable),
    (30_006, "other.two", Function::Volatile),
    (30_007, "shop.price_of", Function::Volatile),
    (30_008, "public.vouched", Function::Volatile),
    (30_009, "public.uuid_generate_v4", Function::VolatileInC),
    (30_010, "public.hides_lock", Function::Differs),
    (30_011, "public.initcap", Function::Volatile),
    (30_012, "public.of_row", Function::Volatile),
    (1_574, "pg_catalog.nextval", Function::Volatile),
    (1_598, "pg_catalog.random", Function::VolatileInC),
    (2_170, "pg_catalog.lo_get", Function::VolatileInC),
];

fn name(text: &str) -> Name {
    Name::new(text.as_bytes())
}

fn catalog() -> Catalog {
    let split = |full: &str| {
        let (schema, bare) = full.split_once('.').expect("a schema");
        (name(schema), name(bare))
    };
    let relations = RELATIONS.iter().map(|(oid, full, kind)| {
        let (schema, name) = split(full);
        let [kind, persistence] = kind.as_bytes() else { panic!("{full}") };
        RelationRow { oid: *oid, schema, name, kind: *kind, persistence: *persistence }
    });
    let functions = FUNCTIONS.iter().map(|(oid, full, standing)| {
        let (schema, name) = split(full);
        let takes_row = name == *"of_row";
        FunctionRow { oid: *oid, schema, name, standing: *standing, takes_row }
    });
    let uses = |relation, functions: &[u32], of_postgres: &[&str], relations: &[u32]| UsesRow {
        relation,
        functions: functions.to_vec(),
        of_postgres: of_postgres.iter().map(|one| name(one)).collect(),
        relations: relations.to_vec(),
    };
    let rows = Rows {
        functions: functions.collect(),
        relations: relations.collect(),
        uses: vec![
            uses(20_003, &[], &[], &[20_004]),
            uses(20_012, &[30_001], &["lower", "now"], &[20_001, 1_259]),
            uses(20_013, &[], &[], &[20_012, 12_003]),
            uses(20_014, &[], &["nextval"], &[]),
            uses(20_015, &[], &[], &[20_014, 20_001]),
            uses(20_016, &[], &["pg_try_advisory_lock"], &[20_001]),
            uses(20_017, &[], &[], &[20_006]),
            uses(20_018, &[], &[], &[12_002]),
            uses(20_019, &[30_002], &[], &[]),
            uses(20_020, &[], &[], &[20_021]),
            uses(20_022, &[], &[], &[20_020]),
            uses(20_023, &[], &["pg_backend_pid"], &[]),
            uses(20_024, &[], &["random"], &[]),
            uses(20_025, &[], &[], &[20_026]),
            uses(20_026, &[30_002], &[], &[20_025]),
        ],
    };
    Catalog::new(rows, &["shop.price_of".to_owned(), "vouched".to_owned()])
}

fn read(text: &str) -> Reading {
    reading(text.as_bytes(), LexOptions::default())
}

fn said(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Replica => "replica",
        Verdict::Primary(reason) => reason.label(),
    }
}

/// Each text with where it goes or why not.
fn check(cases: &[(&str, &[&str])]) {
    let catalog = catalog();
    for (expected, texts) in cases {
        for text in *texts {
            let reading = read(text);
            assert_eq!(said(verdict(&reading, Some(&catalog))), *expected, "{text}: {reading:?}");
            assert_eq!(detail(&reading, Some(&catalog)).verdict, verdict(&reading, Some(&catalog)));
        }
    }
}

/// The rows of the table that routing was designed from, in its order.
#[test]
fn statements_by_their_kinds() {
    check(&[
        (
            "replica",
            &[
                "select * from t where a = 1 order by b limit 3",
                "values (1, 2)",
                "table t",
                "select now(), current_date, lower(b), count(*) over () from public.t join u using (a)",
                "select * from t for read only",
                "with x as (select * from t) select * from x",
            ],
        ),
        (
            "row-locks",
            &[
                "select * from t for update",
                "select * from t for no key update",
                "select * from t for share",
                "select * from t for key share",
                "select * from (select * from t for update) x",
                "with x as (select * from t for no key update) select * from x",
                "explain analyze select * from t for update",
                "declare c cursor for select * from t for update",
            ],
        ),
        (
            "write",
            &[
                "select 1 into x",
                "select 1 as a into x union select 2",
                "create table x as select 1",
                "create index on t (a)",
                "comment on table t is 'x'",
                "grant select on t to public",
                "insert into t values (1)",
                "update t set a = 1",
                "delete from t",
                "merge into t using u on t.a = u.a when matched then delete",
                "with x as (insert into t values (1) returning *) select * from x",
                "copy (delete from t returning a) to stdout",
            ],
        ),
        ("replica", &["explain select * from t", "explain insert into t values (1)"]),
        (
            "replica",
            &["explain analyze select 1 from t", "explain (analyze, analyze off) delete from t"],
        ),
        ("write", &["explain analyze delete from t", "explain analyze create table x as select 1"]),
        ("replica", &["copy t to stdout", "copy (select * from t) to stdout"]),
        ("write", &["copy t from stdin", "copy t to '/x'", "copy t to program 'cat'"]),
        ("unknown", &["call writes()", "do 'begin end'"]),
        ("execute", &["execute x", "execute x(now())"]),
        ("replica", &["declare c cursor for select 1 from t", "fetch c", "move c", "close c"]),
        ("write", &["declare c cursor with hold for select 1"]),
        ("transaction", &["begin", "set transaction read only", "savepoint a", "commit"]),
        ("write", &["prepare transaction 'x'", "commit prepared 'x'", "rollback prepared 'x'"]),
        ("session", &["listen x", "unlisten x"]),
        ("write", &["notify x"]),
        (
            "write",
            &[
                "lock table t",
                "truncate t",
                "vacuum",
                "analyze",
                "reindex table t",
                "checkpoint",
                "load 'x'",
            ],
        ),
        ("session", &["set a = 1", "reset a", "discard all", "deallocate all"]),
        ("replica", &["show search_path", "show transaction isolation level"]),
        ("setting", &["show transaction_read_only", "show in_hot_standby", "show all"]),
        ("function-of-primary", &["select pg_is_in_recovery()"]),
        ("replica", &["select 1; select 2 from t"]),
        ("write", &["select 1; insert into t values (1)", "insert into t values (1); select 1"]),
        ("unknown", &["select 1; set a = 1", "select 'x", "frobnicate the bar"]),
    ]);
}

#[test]
fn functions_by_what_they_are() {
    check(&[
        (
            "function-of-primary",
            &[
                "select nextval('s')",
                "select NEXTVAL('s')",
                "select \"nextval\"('s')",
                "select pg_catalog.nextval('s')",
                "select setval('s', 1)",
                "select currval('s')",
                "select lastval()",
                "select txid_current()",
                "select pg_current_xact_id()",
                "select lo_create(0), 1",
                "select lo_unlink(1)",
                "select lo_from_bytea(0, '')",
                "select lo_put(1, 0, '')",
                "select lo_import('x')",
                "select pg_notify('a', 'b')",
                "select pg_advisory_lock(1)",
                "select pg_try_advisory_xact_lock(1)",
                "select pg_advisory_unlock_all()",
                "select set_config('a', 'b', false)",
                "select pg_export_snapshot()",
                "select pg_current_wal_lsn()",
                "select pg_switch_wal()",
                "select pg_create_restore_point('x')",
                "select pg_logical_emit_message(true, '', '')",
                "select pg_drop_replication_slot('x')",
                "select pg_create_logical_replication_slot('x', 'y')",
                "select pg_backend_pid()",
                "select pg_cancel_backend(1)",
                "select pg_terminate_backend(1)",
                "select pg_reload_conf()",
                "select pg_stat_reset()",
                "select pg_stat_reset_shared('x')",
                "select inet_server_addr()",
                "select inet_server_port()",
                "select dblink_exec('x', 'y')",
                "select * from dblink('x', 'y') as t(a int)",
                "select query_to_xml('x', true, true, '')",
                "select cursor_to_xml('x', 1, true, true, '')",
                "select ts_stat('x')",
                "select ts_rewrite('a'::tsquery, 'x')",
                "select pg_last_wal_replay_lsn()",
                "select pg_last_wal_receive_lsn()",
                "select 1 from t where exists (select 1 from pg_try_advisory_lock(1))",
                "explain analyze select nextval('s')",
                "copy (select nextval('s')) to stdout",
                "declare c cursor for select pg_backend_pid()",
            ],
        ),
        (
            "replica",
            &[
                "select random(), clock_timestamp(), gen_random_uuid(), timeofday(), pg_sleep(0)",
                "select uuid_generate_v4()",
                "select stable(1), public.stable(2)",
                "select public.two(1)",
                "select shop.price_of(1), price_of(1), vouched(1), public.vouched(1)",
                "select json_value('1', '$'), coalesce(a, 1), extract(epoch from now()) from t",
                "select current_setting('app.tenant'), current_user, session_user, version()",
                "select pg_catalog.initcap(b) from t",
                "select information_schema._pg_expandarray(array[1])",
                "select pg_relation_size('t'), pg_get_viewdef('v'), has_table_privilege('t', 'select')",
                "select a from t where b operator(pg_catalog.~) '^(x)$' collate pg_catalog.default",
            ],
        ),
        (
            "function",
            &[
                "select writes()",
                "select overloaded(1)",
                "select two(1)",
                "select other.two(1)",
                "select hides_lock()",
                "select initcap('a')",
                "select lo_get(1)",
                "select t.of_row from t",
                "select (t).of_row from t",
            ],
        ),
        (
            "function-unknown",
            &["select nobody_knows(1)", "select public.lowr('a')", "select public.upper('a')"],
        ),
        (
            "setting",
            &["select current_setting('transaction_read_only')", "select current_setting($1)"],
        ),
    ]);
}

#[test]
fn relations_by_what_they_are() {
    check(&[
        (
            "replica",
            &[
                "select * from t",
                "select * from parted",
                "select * from part",
                "select * from sums",
                "select * from public.twice",
                "select * from v",
                "select * from v_of_v",
                "select * from v_random",
                "select * from pg_class",
                "select * from pg_catalog.pg_class c, information_schema.tables",
                "copy public.t to stdout",
            ],
        ),
        (
            "relation",
            &[
                "select * from quick",
                "select * from mine",
                "select * from far",
                "select last_value from seq",
                "select * from twice",
                "select * from other.twice",
                "select * from v_draws",
                "select * from v_of_draws",
                "select * from v_locks",
                "select * from v_of_quick",
                "select * from v_activity",
                "select * from v_own",
                "select * from parent",
                "select * from grandparent",
                "select * from policed",
                "select * from loop_a",
                "select * from loop_b",
                "select 1 from t where exists (select 1 from u join quick using (a))",
                "table quick",
                "copy quick to stdout",
            ],
        ),
        (
            "relation-of-server",
            &[
                "select * from pg_stat_activity",
                "select * from pg_catalog.pg_locks",
                "select * from pg_settings",
                "select * from pg_prepared_statements",
                "select * from pg_cursors",
                "select * from pg_replication_slots",
                "select * from pg_statio_user_tables",
            ],
        ),
        (
            "relation-unknown",
            &["select * from nowhere", "select * from other.t", "table pg_temp.x"],
        ),
    ]);
}

#[test]
fn without_a_catalog_only_texts_without_names_are_proven() {
    for (text, expected) in [
        ("select 1", "replica"),
        ("select a.b from (values (1)) a(b)", "replica"),
        ("select * from t", "catalog-missing"),
        ("select now()", "catalog-missing"),
        ("select pg_backend_pid()", "function-of-primary"),
        ("insert into t values (1)", "write"),
    ] {
        assert_eq!(said(verdict(&read(text), None)), expected, "{text}");
    }
    for (text, expected) in [
        ("select * from t, pg_class where lower(a) = 'x'", "replica"),
        ("select * from pg_locks", "relation-of-server"),
        ("select * from pg_temp.t", "relation"),
        ("select f(1)", "function-unknown"),
        ("select nextval('s')", "function-of-primary"),
    ] {
        assert_eq!(said(detail_without_catalog(&read(text)).verdict), expected, "{text}");
    }
}

#[test]
fn what_decides_is_named() {
    let catalog = catalog();
    for (text, expected) in [
        ("select * from t", "it only reads, and what it names can be served by a replica"),
        ("select other.two(1)", "other.two is a function that may write"),
        ("select * from quick", "quick is unlogged: a replica has no rows of it"),
        ("show in_hot_standby", "in_hot_standby is a parameter that each server has of its own"),
        ("select t.of_row from t", "of_row may be a function of a row that may write"),
        ("delete from t", "it writes"),
    ] {
        assert_eq!(detail(&read(text), Some(&catalog)).to_string(), expected);
    }
}

#[test]
fn what_would_run_at_a_standby_and_mean_something_else_is_told() {
    for (text, expected) in [
        ("select pg_try_advisory_lock(1)", Some("pg_try_advisory_lock")),
        ("select nextval('s')", None),
        ("select * from pg_stat_activity", Some("pg_stat_activity")),
        ("show transaction_read_only", Some("transaction_read_only")),
        ("select * from t, far where writes()", None),
        ("execute x(pg_backend_pid())", Some("pg_backend_pid")),
    ] {
        let reading = read(text);
        let found = differs_on_standby(&reading);
        let found = found.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
        assert_eq!(found.as_deref(), expected, "{text}");
    }
}

#[test]
fn every_catalog_has_a_number_of_its_own() {
    assert_ne!(catalog().version(), catalog().version());
    let labels: std::collections::HashSet<_> = Reason::ALL.iter().map(|one| one.label()).collect();
    assert_eq!(labels.len(), Reason::ALL.len());
}
