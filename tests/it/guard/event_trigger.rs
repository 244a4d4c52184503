//! The event trigger for Postgres (`config/guard-event-trigger.sql`): what it refuses, what it lets through, for whom.

use pgweir::cluster::{Cluster, ClusterError};

use super::live;
use crate::harness::front;
use crate::harness::raw::{Login, RawClient};

fn script() -> String {
    let path = format!("{}/config/guard-event-trigger.sql", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn shop_with_trigger() -> Cluster {
    let cluster = live::shop();
    cluster.primary().sql("shop", &script()).unwrap();
    cluster
}

/// In a transaction that is undone.
fn tried(client: &mut RawClient, statements: &[&str]) -> Result<(), String> {
    client.ask("begin");
    let mut outcome = Ok(());
    for sql in statements {
        let error = client.ask(sql).into_iter().find(|frame| frame.tag == b'E');
        if let Some(error) = error {
            let sqlstate = error.sqlstate().unwrap();
            outcome = Err(format!("{sqlstate} {}", error.field(b'M').unwrap()));
        }
    }
    client.ask("rollback");
    outcome
}

/// Statements, the last of which is refused.
#[rustfmt::skip]
const REFUSED: &[&[&str]] = &[
    &["do $$ begin create index i on orders (email); end $$"],
    &["do $$ begin execute 'create ' || 'index i on orders (email)'; end $$"],
    &["do $$ declare q text; begin select 'drop ' || 'index ' || indexname into q from pg_indexes where indexname = 'orders_email'; execute q; end $$"],
    &["create function f() returns void language plpgsql as $$ begin create unique index on orders (id); end $$", "select f()"],
    &["create function f() returns void language plpgsql as $$ begin create index if not exists i on public.orders using btree (email) where id > 3; end $$", "select f()"],
    &["create function f() returns void language sql as $$ create index i on orders (email) $$", "select f()"],
    &["create function f() returns void language plpgsql as $$ begin drop index orders_email; end $$", "create function g() returns void language plpgsql as $$ begin perform f(); end $$", "select g()"],
    &["create function f() returns int language plpgsql as $$ begin drop index if exists orders_email, orders_note; return 1; end $$", "insert into log select f()"],
    &["create procedure p() language plpgsql as $$ begin drop index orders_email cascade; end $$", "call p()"],
    &["create function f() returns trigger language plpgsql as $$ begin create index i on orders (email); return new; end $$", "create trigger g before insert on log for each row execute function f()", "insert into log values ('x')"],
    // The table is another one than it seems.
    &["do $$ begin alter table orders rename to o; create index i on o (email); end $$"],
    &["do $$ begin alter table orders add b int; create index i on orders (b); end $$"],
    &["do $$ begin create temp table t (a int); execute 'create index on t (a); create index on orders (email)'; end $$"],
    &["do $$ begin create temp table \"only\" (a int); create index on only (orders) (email); end $$"],
    &["do $$ begin create temp table t (a int); create index t_a on t (a); drop index t_a,\n orders_email; end $$"],
    &["do $$ begin create temp table orders (a int); create index i on public.orders (email); end $$"],
    &["do $$ begin create temp table orders_email (a int); drop index public.orders_email; end $$"],
    &["do $$ begin create index i on events (day); end $$"],
    &["do $$ begin create index i on only orders (email); end $$"],
    &["do $$ begin create table e (like events) partition by range (day); alter table events detach partition events_1; alter table e attach partition events_1 for values from (0) to (100); create index on e (day); end $$"],
    // In doubt.
    &["do $$ begin create temp table t (a int); create index /* x */ on t (a); end $$"],
];

/// REINDEX has an event from 17 on.
#[rustfmt::skip]
const REFUSED_SINCE_17: &[&[&str]] = &[
    &["do $$ begin reindex table orders; end $$"],
    &["do $$ begin reindex (verbose) index orders_email; end $$"],
    &["create function f() returns void language sql as $$ reindex table orders $$", "select f()"],
];

#[rustfmt::skip]
const RUN: &[&[&str]] = &[
    // Not in code.
    &["create index i on orders (email)"],
    &["drop index orders_email"],
    &["reindex table orders"],
    &["create table n (a int); create index on n (a); create index on orders (email)"],
    // Tables that make their own indexes.
    &["do $$ begin create table n (a int primary key, b int unique, exclude using btree (b with =)); end $$"],
    &["do $$ begin create table n (like orders including all); end $$"],
    &["do $$ begin create table events_3 partition of events for values from (200) to (300); end $$"],
    &["do $$ begin create schema s create table n (a int unique) create index i on n (a); end $$"],
    &["do $$ begin alter table orders add unique (id, email); end $$"],
    &["do $$ begin drop table customers; end $$"],
    &["do $$ begin refresh materialized view sales; end $$"],
    // Nobody else's.
    &["do $$ begin create temp table t as select 1 as a; create index on t (a); create unique index t_a on t using btree (a) where a > 0; drop index t_a; end $$"],
    &["do $$ begin create table n as select 1 as a; create index n_a on n (a); drop index if exists n_a; end $$"],
    &["do $$ begin create table n as select 1 as a; alter table n add b int; alter table n rename to m; create index on m (b); end $$"],
    &["do $$ begin begin create table n as select 1 as a; create index on n (a); exception when division_by_zero then null; end; end $$"],
    &["savepoint a", "create table n as select 1 as a", "release a", "do $$ begin execute format('create index %I on %I (a)', 'i', 'n'); reindex table n; end $$"],
    &["do $$ begin create materialized view m as select 1 as a; create unique index on m (a); end $$"],
    &["do $$ begin create index on nothing_sold (at); drop index nothing_sold_at; reindex table nothing_sold; end $$"],
    &["do $$ begin create index on plans (day); end $$"],
    &["do $$ begin create index on only events (day); end $$"],
    &["do $$ begin drop index if exists nothing_there; end $$"],
    &["create function f() returns void language plpgsql as $$ begin create temp table \"Q t\" (a int); create index on \"Q t\" (a); end $$", "select f()"],
];

#[test]
fn the_event_trigger_refuses_index_ddl_in_code_on_live_tables_only() {
    let cluster = shop_with_trigger();
    let major = cluster.primary().binaries().major();
    let mut client = RawClient::login(&cluster.primary().address().into(), &front::login());
    let mut wrong = Vec::new();
    let of_major: &[&[&str]] = if major >= 17 { REFUSED_SINCE_17 } else { &[] };
    for statements in REFUSED.iter().chain(of_major) {
        let outcome = tried(&mut client, statements);
        let refused = outcome.as_ref().is_err_and(|error| {
            error.starts_with("42501 ")
                && error.contains(" refused inside of code: it would block its table")
        });
        if !refused {
            wrong.push(format!("{statements:?} should be refused: {outcome:?}"));
        }
    }
    for statements in RUN {
        let outcome = tried(&mut client, statements);
        if outcome.is_err() {
            wrong.push(format!("{statements:?} should run: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    // Without it all of them run, but for what is told to be wrong anyway.
    cluster.primary().sql("shop", "drop schema pgweir_guard cascade").unwrap();
    let left = cluster.primary().sql("shop", "select evtname from pg_event_trigger").unwrap();
    assert!(left.is_empty(), "{left:?}");
    for statements in REFUSED.iter().chain(REFUSED_SINCE_17) {
        assert_eq!(tried(&mut client, statements), Ok(()), "{statements:?}");
    }
}

#[test]
fn concurrent_builds_run_beside_the_event_trigger() {
    let cluster = shop_with_trigger();
    let mut client = RawClient::login(&cluster.primary().address().into(), &front::login());
    for sql in [
        "create index concurrently i on orders (email)",
        "reindex index concurrently i",
        "reindex (concurrently) table orders",
        "drop index concurrently i",
        "create extension if not exists plpgsql",
        "alter extension plpgsql update",
    ] {
        let frames = client.ask(sql);
        assert!(frames.iter().all(|frame| frame.tag != b'E'), "{sql}: {frames:?}");
    }
}

/// It is code that pgweir cannot read, and the guard has warned of.
#[test]
fn what_pgweir_cannot_read_the_event_trigger_refuses() {
    let cluster = shop_with_trigger();
    let pgweir = live::guarded(&cluster, 1).start();
    let mut client = front::client(&pgweir);
    let make = "create function f() returns void language plpgsql as $$ begin create index i on orders (email); end $$";
    assert!(client.ask(make).iter().all(|frame| frame.tag != b'E'));
    for sql in ["select f()", "do $$ begin perform f(); end $$", "explain analyze select f()"] {
        let frames = client.ask(sql);
        let error = frames.iter().find(|frame| frame.tag == b'E').expect("an error");
        assert_eq!(error.sqlstate().as_deref(), Some("42501"), "{sql}");
        assert!(error.field(b'D').unwrap().contains("pgweir_guard"), "{error:?}");
    }
    assert_eq!(client.ask_value("select count(*) from pg_class where relname = 'i'"), "0");
}

#[test]
fn members_of_its_role_are_exempt_and_nobody_by_set_role() {
    let cluster = shop_with_trigger();
    let roles = "create role app login; create role deploy; create role migrator login; create role dba superuser login; \
                 grant pgweir_guard_exempt to deploy; grant deploy to migrator; grant migrator to app with admin option; \
                 revoke migrator from app; grant create on schema public to public; \
                 create table theirs as select 1 as a; grant deploy to dba; revoke deploy from dba; \
                 create role owners; alter table theirs owner to owners; grant owners to app, migrator";
    cluster.primary().sql("shop", roles).unwrap();
    let attempt = |role: &str, statements: &[&str]| {
        let address = cluster.primary().address().into();
        let mut client = RawClient::login(&address, &Login::new(role, "shop"));
        tried(&mut client, statements)
    };
    let build = "do $$ begin create index on theirs (a); end $$";
    assert_eq!(attempt("migrator", &[build]), Ok(()));
    assert_eq!(
        attempt("migrator", &["set role owners", build]),
        Ok(()),
        "who has logged in counts"
    );
    assert!(attempt("app", &[build]).unwrap_err().starts_with("42501 CREATE INDEX refused"));
    // Superusers are no members unless they were made so.
    assert!(attempt("dba", &[build]).unwrap_err().starts_with("42501 CREATE INDEX refused"));
    let as_migrator = ["set role migrator", build];
    assert!(attempt("dba", &as_migrator).unwrap_err().starts_with("42501 CREATE INDEX refused"));
    let becoming = ["set session_replication_role = replica", build];
    assert_eq!(attempt("dba", &becoming), Ok(()), "superusers can turn it off");
}

#[test]
fn it_is_installed_again_over_itself_and_for_each_database() {
    let cluster = shop_with_trigger();
    let primary = cluster.primary();
    primary.sql("shop", &script()).unwrap();
    primary.sql("postgres", &script()).unwrap();
    let build = "create table t as select 1 as a; do $$ begin create index on t (a); end $$";
    primary.sql("postgres", build).unwrap();
    let later = primary.sql("postgres", "do $$ begin create index on t (a); end $$");
    let Err(ClusterError::Refused { sqlstate, .. }) = later else { panic!("{later:?}") };
    assert_eq!(sqlstate, "42501");
    let triggers = primary.sql("shop", "select count(*) from pg_event_trigger").unwrap();
    let expected = if primary.binaries().major() >= 17 { "2" } else { "1" };
    assert_eq!(triggers[0][0].as_deref(), Some(expected));
}
