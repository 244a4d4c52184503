//! A catalog with everything in it that makes a name mean more than it says, and a standby that has the last word.

use pgweir::cluster::Cluster;

use super::{client, cluster, said, snapshot};

const SCHEMA: &str = r#"
create schema other; grant usage on schema other to plain;
create table t (a int primary key, b text); insert into t values (1, 'x'), (2, 'y');
create table u (a int, c text); insert into u values (1, 'z');
create unlogged table quick (a int);
create table twice (a int); create unlogged table other.twice (a int);
create sequence seq;
create materialized view sums as select count(*) as n from t;
create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;
create foreign table far (a int) server nowhere;
create table parted (a int) partition by list (a); create table part partition of parted default;
create table parted_quick (a int) partition by list (a); create unlogged table quick_part partition of parted_quick default;
create table parted_far (a int) partition by list (a); create foreign table far_part partition of parted_far default server nowhere;
create table top (a int) partition by list (a);
create table middle partition of top for values in (1) partition by list (a);
create unlogged table bottom partition of middle default;
create table ancestor (a int); create unlogged table heir () inherits (ancestor);
create table policed (a int); alter table policed enable row level security;
create policy p on policed using (a = pg_backend_pid());
create table fenced (a int); alter table fenced enable row level security;
create policy p on fenced using (a::text = current_setting('app.tenant', true));

create function stable(int) returns int stable language sql as 'select $1';
create function writes() returns int language plpgsql as 'begin insert into t values (3); return 1; end';
create function overloaded(int) returns int immutable language sql as 'select 1';
create function overloaded(text) returns int volatile language sql as 'select 1';
create function two() returns int stable language sql as 'select 1';
create function other.two() returns int volatile language sql as 'select 1';
create function other.only() returns int stable language sql as 'select 1';
create function vouched() returns int volatile language sql as 'select 1';
create function hides_lock() returns bool stable language plpgsql as 'begin return pg_try_advisory_lock(1); end';
create function of_row(t) returns int volatile language sql as 'select 1';
create function lies() returns bigint stable language plpgsql as $$ begin return nextval('seq'); end $$;
create function adds(int, int) returns int volatile language sql as 'select $1 + $2';
create aggregate total (int) (sfunc = adds, stype = int, initcond = 0);
create aggregate fine (int) (sfunc = int4pl, stype = int, initcond = 0);
create function eq(t, int) returns bool volatile language sql as 'select true';
create operator === (leftarg = t, rightarg = int, function = eq);

create view v as select a, lower(b) as b, now() as n from t where a in (select a from u);
create view v_of_v as select v.a, pg_class.relname from v, pg_class;
create view v_random as select random() as r, a from t;
create view v_draws as select nextval('seq') as n;
create view v_of_draws as select n from v_draws, t;
create view v_locks as select a from t where pg_try_advisory_lock(a);
create view v_of_locks as select * from (select * from v_locks) x;
create view v_quick as select * from quick;
create view v_of_parted as select * from parted_quick;
create view v_activity as select * from pg_stat_activity;
create view v_calls as select writes();
create view v_in_where as select a from t where exists (select 1 from (values (writes())) x(y) where y = t.a);
create view v_total as select total(a) from t;
create view v_fine as select fine(a), count(*) filter (where a > 1), rank() over (order by a) from t group by a;
create view v_operator as select t === 1 as x from t;
create view v_far as select * from far;
create view v_seq as select last_value from seq;
grant all on all tables in schema public, other to plain; grant all on all sequences in schema public to plain;
"#;

/// What a standby is to serve.
const SERVED: &[&str] = &[
    "select 1",
    "select * from t",
    "select t.*, u.c as d from public.t join u using (a) where t.b like 'x%' order by 1 limit 5",
    "table t",
    "values (1), (2)",
    "with x as (select * from t), t as (select 1 as a) select * from x, t",
    "with recursive r as (select 1 as n union all select n + 1 from r where n < 5) select * from r",
    "select count(*) over (partition by a), count(*) filter (where a > 1) over () from t group by a",
    "select * from t for read only",
    "select * from parted",
    "select * from part",
    "select * from sums",
    "select * from public.twice",
    "select * from fenced",
    "select * from v",
    "select * from v_of_v limit 3",
    "select * from v_random",
    "select * from v_fine",
    "select stable(1), public.stable(2), other.only(), public.two()",
    "select fine(a) from t",
    "select vouched()",
    "select random(), clock_timestamp(), gen_random_uuid(), now(), current_user, version()",
    "select current_setting('app.tenant', true), current_setting('search_path')",
    "select a from t where b operator(pg_catalog.~) '^(x)$' collate pg_catalog.default",
    "select relname from pg_class where relkind = 'r' limit 3",
    "select table_name from information_schema.tables limit 3",
    "select extract(epoch from now()), substring('abc' from 2 for 1), trim(both 'x' from 'xax'), position('a' in 'ba')",
    "select * from generate_series(1, 3) with ordinality as g(n, o), lateral (select g.n) x",
    "select (array[1, 2])[1], (row(1, 2)).f1, cast('1.5' as numeric(3, 1)), '1'::character varying(3)",
    "explain select * from t",
    "explain insert into t values (9)",
    "explain update t set a = 1 where b = 'x'",
    "explain select * from t for update",
    "explain analyze select * from t",
    "explain (analyze, analyze off) delete from t",
    "copy t to stdout",
    "copy (select * from t) to stdout with (format csv)",
    "show search_path",
    "show transaction isolation level",
    "select 1; select * from t",
    "/* x */ -- y\n (select 1)",
];

/// What is for the primary, and why.
const KEPT: &[(&str, &[&str])] = &[
    (
        "relation",
        &[
            "select * from quick",
            "select * from twice",
            "select * from other.twice",
            "select last_value from seq",
            "select * from far",
            "select * from parted_quick",
            "select * from parted_far",
            "select * from top",
            "select * from middle",
            "select * from ancestor",
            "select * from policed",
            "select * from v_draws",
            "select * from v_of_draws",
            "select * from v_locks",
            "select * from v_of_locks",
            "select * from v_quick",
            "select * from v_of_parted",
            "select * from v_activity",
            "select * from v_calls",
            "select * from v_in_where",
            "select * from v_total",
            "select * from v_operator",
            "select * from v_far",
            "select * from v_seq",
            "copy quick to stdout",
            "explain select * from quick",
        ],
    ),
    (
        "function",
        &[
            "select writes()",
            "select overloaded(1)",
            "select two()",
            "select other.two()",
            "select hides_lock()",
            "select t.of_row from t",
            "select of_row(t) from t",
            "select total(a) from t",
        ],
    ),
    ("function-unknown", &["select nobody()", "select other.stable(1)"]),
    ("relation-unknown", &["select * from nobody", "select * from other.t"]),
    ("relation-of-server", &["select * from pg_stat_activity", "select * from pg_locks"]),
    (
        "function-of-primary",
        &["select pg_advisory_lock(1)", "select nextval('seq')", "select pg_is_in_recovery()"],
    ),
    ("row-locks", &["select * from t for update", "select * from t for key share"]),
    ("write", &["insert into t values (5)", "select 1 into x", "lock table t", "notify x"]),
    ("setting", &["show transaction_read_only", "select current_setting('transaction_read_only')"]),
];

fn shop() -> Cluster {
    let cluster = cluster();
    cluster.primary().sql("shop", SCHEMA).unwrap();
    cluster.wait_until_replayed().unwrap();
    cluster
}

#[test]
fn names_mean_what_the_catalog_says_and_a_standby_serves_what_is_proven() {
    let cluster = shop();
    let catalog = snapshot(cluster.primary(), &["vouched".to_owned()]);
    let mut standby = client(cluster.replica(0));
    for text in SERVED {
        assert_eq!(said(text, &catalog), "replica", "{text}");
        let frames = standby.ask(text);
        let refused = frames.iter().find(|frame| frame.tag == b'E');
        assert!(refused.is_none(), "{text}: {refused:?}");
    }
    for (reason, texts) in KEPT {
        for text in *texts {
            assert_eq!(said(text, &catalog), *reason, "{text}");
        }
    }
    // A standby says the same of itself.
    let of_standby = snapshot(cluster.replica(0), &["vouched".to_owned()]);
    assert_ne!(of_standby.version(), catalog.version());
    for text in SERVED {
        assert_eq!(said(text, &of_standby), "replica", "{text}");
    }
}

/// What no catalog shows: for this there is one more try at the primary.
#[test]
fn a_function_that_lies_about_itself_is_refused_by_the_standby() {
    let cluster = shop();
    let catalog = snapshot(cluster.primary(), &[]);
    let mut standby = client(cluster.replica(0));
    assert_eq!(said("select lies()", &catalog), "replica");
    let frames = standby.ask("select lies()");
    assert!(frames.iter().any(|frame| frame.sqlstate().as_deref() == Some("25006")), "{frames:?}");
}

#[test]
fn what_comes_into_being_is_unknown_until_the_catalog_is_read_again() {
    let cluster = shop();
    let before = snapshot(cluster.primary(), &[]);
    cluster.primary().sql("shop", "create view late as select * from quick").unwrap();
    assert_eq!(said("select * from late", &before), "relation-unknown");
    assert_eq!(said("select * from late", &snapshot(cluster.primary(), &[])), "relation");
    // Nobody needs to be trusted with it.
    assert_eq!(said("select vouched()", &before), "function");
}
