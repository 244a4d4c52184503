//! Every kind of change, in every way to make it.

use super::{ADVISORY, Kind, TEMPORARY, TIME_ZONE, WORK_MEM, assert_no_error, batch, kind};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::Frame;
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::{Address, RawClient};

const PREPARED: &str = "select count(*) from pg_prepared_statements where name = 'mine'";
const CURSORS: &str = "select count(*) from pg_cursors where name = 'mine'";
const PLACEHOLDER: &str = "select coalesce(nullif(current_setting('app.mine', true), ''), 'none')";

const KINDS: [Kind; 27] = [
    kind("set work_mem = '7MB'", WORK_MEM, "4MB"),
    kind("set session work_mem to '7MB'", WORK_MEM, "4MB"),
    kind("SeT \"work_mem\" = 7168", WORK_MEM, "4MB"),
    kind("select set_config('work_mem', '7MB', false)", WORK_MEM, "4MB"),
    kind("select pg_catalog . set_config('work_mem', '7MB', 1 = 2)", WORK_MEM, "4MB"),
    kind("set time zone 'Asia/Tokyo'", TIME_ZONE, "UTC"),
    kind("set names 'LATIN1'", "select current_setting('client_encoding')", "UTF8"),
    kind(
        "set search_path = pg_catalog",
        "select current_setting('search_path')",
        "\"$user\", public",
    ),
    kind("set role pg_monitor", "select current_user", "postgres"),
    kind("set session authorization pg_monitor", "select session_user", "postgres"),
    kind(
        "set session characteristics as transaction isolation level serializable",
        "select current_setting('default_transaction_isolation')",
        "read committed",
    ),
    kind("set app.mine = '7'", PLACEHOLDER, "none"),
    kind("select set_config('app.mine', '7', false)", PLACEHOLDER, "none"),
    kind("prepare mine as select 1", PREPARED, "0"),
    kind("listen mine", "select count(*) from pg_listening_channels()", "0"),
    kind("create temp table mine (n int)", TEMPORARY, "0"),
    kind("create temporary view mine as select 1", TEMPORARY, "0"),
    kind("create temp sequence mine", TEMPORARY, "0"),
    kind("create table pg_temp.mine as select 1", TEMPORARY, "0"),
    kind("select 1 as n into temp mine", TEMPORARY, "0"),
    kind("select pg_advisory_lock(7)", ADVISORY, "0"),
    kind("select pg_advisory_lock_shared(7, 8)", ADVISORY, "0"),
    kind("select 1 where pg_catalog.pg_try_advisory_lock(7)", ADVISORY, "0"),
    kind("with l as (select pg_advisory_lock(7)) select * from l", ADVISORY, "0"),
    kind("declare mine cursor with hold for select 1", CURSORS, "0"),
    kind("declare mine scroll cursor with hold for select generate_series(1, 9)", CURSORS, "0"),
    kind(
        "load 'auto_explain'",
        "select coalesce(current_setting('auto_explain.log_timing', true), 'none')",
        "none",
    ),
];

/// How a statement is sent: as itself, in a batch, in strings and transactions that succeed and fail.
const WAYS: [&[&str]; 12] = [
    &["{}"],
    &["batch {}"],
    &["select 1; {}; select 2"],
    &["/* it is */ {} -- mine"],
    &["begin", "{}", "commit"],
    &["begin", "batch {}", "commit"],
    &["begin; {}; commit"],
    &["begin", "savepoint a", "{}", "release a", "commit"],
    &["begin", "savepoint a", "{}", "rollback to a", "commit"],
    &["begin", "{}", "select 1/0", "rollback"],
    &["begin", "{}", "rollback and chain", "commit"],
    &["{}; select 1/0"],
];

fn play(client: &mut RawClient, way: &[&str], sql: &str) {
    for step in way {
        let step = step.replace("{}", sql);
        let request = match step.strip_prefix("batch ") {
            Some(sql) => batch(sql, &[]),
            None => message::query(&step),
        };
        client.send(&request).unwrap();
        client.until_ready();
    }
}

/// What a session of Postgres' own sees after it has done this.
fn expected(direct: &Address, way: &[&str], kind: &Kind) -> String {
    let mut client = RawClient::login(direct, &front::login());
    play(&mut client, way, kind.sql);
    let value = client.ask_value(kind.probe);
    // Its locks are gone when it is.
    client.send(&message::terminate()).unwrap();
    client.until_closed();
    value
}

#[test]
fn whatever_a_session_changes_is_its_own_and_gone_when_it_is() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let direct = cluster.primary().address().into();
    let (mut one, mut two) = (front::client(&pgweir), front::client(&pgweir));
    one.ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut changed = 0;
    for kind in &KINDS {
        for (number, way) in WAYS.iter().enumerate() {
            let expected = expected(&direct, way, kind);
            changed += usize::from(expected != kind.clean);
            let mut client = front::client(&pgweir);
            play(&mut client, way, kind.sql);
            for _ in 0..2 {
                let shown = format!("{} by {way:?}", kind.sql);
                kind.assert_clean(&mut one, &shown);
                assert_eq!(client.ask_value(kind.probe), expected, "{shown}");
                kind.assert_clean(&mut two, &shown);
            }
            if number % 2 == 0 {
                client.send(&message::terminate()).unwrap();
                client.until_closed();
            } else {
                drop(client);
            }
            // Both servers of the pool.
            one.ask("begin");
            two.ask("begin");
            kind.assert_clean(&mut one, "afterwards");
            kind.assert_clean(&mut two, "afterwards");
            one.ask("commit");
            two.ask("commit");
        }
    }
    // Most of them change something, in Postgres itself.
    assert!(changed > KINDS.len() * 8, "{changed}");
    drop((one, two));
    accounts.assert_settled(secs(10));
}

/// The same, less plainly said.
const DISGUISES: [Kind; 23] = [
    kind("select \"set_config\"('work_mem', '7MB', false)", WORK_MEM, "4MB"),
    kind("select U&\"set\\005fconfig\"('work_mem', '7MB', false)", WORK_MEM, "4MB"),
    kind("select set_config/* */ -- \n ('work_mem', '7MB', false)", WORK_MEM, "4MB"),
    kind("select * from set_config('work_mem', '7MB', false)", WORK_MEM, "4MB"),
    kind("select 1 from rows from (set_config('work_mem', '7MB', false)) r", WORK_MEM, "4MB"),
    kind("values (set_config('work_mem', '7MB', false))", WORK_MEM, "4MB"),
    kind("explain analyze select set_config('work_mem', '7MB', random() > 2)", WORK_MEM, "4MB"),
    kind("copy (select set_config('work_mem', '7MB', false)) to stdout", WORK_MEM, "4MB"),
    kind(
        "begin; declare c cursor for select set_config('work_mem', '7MB', false); fetch c; commit",
        WORK_MEM,
        "4MB",
    ),
    kind("update pg_settings set setting = '7168' where name = 'work_mem'", WORK_MEM, "4MB"),
    kind(
        "update \"pg_catalog\".\"pg_settings\" s set setting = 7168 where s.name = 'work_mem'",
        WORK_MEM,
        "4MB",
    ),
    kind(
        "with u as (select 1) update only pg_settings set setting = '7168' where name = 'work_mem'",
        WORK_MEM,
        "4MB",
    ),
    kind("explain analyze create temp table mine as select 1", TEMPORARY, "0"),
    kind("create table if not exists pg_temp.mine (n int)", TEMPORARY, "0"),
    kind("create or replace temp view mine as select 1", TEMPORARY, "0"),
    kind("create local temporary table mine (n int)", TEMPORARY, "0"),
    kind(
        "begin; set local search_path = pg_temp; create table mine (n int); commit",
        TEMPORARY,
        "0",
    ),
    kind("select 1 as n into local temp mine", TEMPORARY, "0"),
    kind("with a as (select 1 as n) select n into temporary table mine from a", TEMPORARY, "0"),
    kind("select case when true then pg_advisory_lock(7) end", ADVISORY, "0"),
    kind("select 1 from generate_series(1, 3) n order by pg_try_advisory_lock(n)", ADVISORY, "0"),
    kind("prepare mine as select 1; execute mine", PREPARED, "0"),
    // Beyond the reach of DISCARD ALL.
    kind(
        "select pg_create_physical_replication_slot('mine', true, true)",
        "select count(*) from pg_replication_slots where active_pid = pg_backend_pid()",
        "0",
    ),
];

#[test]
fn a_change_in_disguise_is_its_sessions_own_as_well() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut seen = Vec::new();
    for kind in &DISGUISES {
        let mut client = front::client(&pgweir);
        assert_no_error(&client.ask(kind.sql));
        assert_ne!(client.ask_value(kind.probe), kind.clean, "{}", kind.sql);
        client.send(&message::terminate()).unwrap();
        client.until_closed();
        if front::client(&pgweir).ask_value(kind.probe) != kind.clean {
            seen.push(kind.sql);
            // For the next one.
            cluster.primary().sql("postgres", END_ALL).unwrap();
        }
    }
    assert!(seen.is_empty(), "the next client saw what these did:\n{}", seen.join("\n"));
    accounts.assert_settled(secs(10));
}

const END_ALL: &str =
    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = 'shop'";

#[test]
fn values_that_are_bound_set_parameters_of_their_own_session_only() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let all: [Option<&[u8]>; 3] = [Some(b"work_mem"), Some(b"7MB"), Some(b"false")];
    let requests = [
        batch("select set_config($1, $2, $3)", &all),
        batch("select set_config('work_mem', $1, $2)", &all[1..]),
        batch("select set_config('work_mem', '7MB', $1)", &all[2..]),
        batch("select set_config('work_mem', $1, false) from generate_series(1, 3)", &all[1..2]),
        // Parsed in one batch, run in another.
        [
            message::parse("", "select set_config($1, $2, $3)", &[]),
            message::sync(),
            message::bind("", "", &all),
            message::execute("", 0),
            message::sync(),
        ]
        .concat(),
    ];
    for request in requests {
        let mut client = front::client(&pgweir);
        client.send(&request).unwrap();
        assert_no_error(&client.until_ready());
        if request.windows(5).filter(|five| five == b"S\0\0\0\x04").count() > 1 {
            assert_no_error(&client.until_ready());
        }
        assert_eq!(client.ask_value(WORK_MEM), "7MB");
        client.send(&message::terminate()).unwrap();
        assert_eq!(front::client(&pgweir).ask_value(WORK_MEM), "4MB");
    }
    accounts.assert_settled(secs(10));
}

#[test]
fn what_ends_with_its_transaction_keeps_no_server() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut other = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    for sql in [
        "begin; set local work_mem = '7MB'; commit",
        "select set_config('work_mem', '7MB', true)",
        "begin; set transaction isolation level serializable; commit",
        "select pg_advisory_xact_lock(7)",
        "begin; declare mine cursor for select 1; commit",
        "begin; create temp table mine (n int) on commit drop; rollback",
    ] {
        assert_no_error(&client.ask(sql));
        if !sql.contains("temp") {
            assert_eq!(other.ask_value(WORK_MEM), "4MB", "{sql}");
            assert_eq!(other.ask_value(ADVISORY), "0", "{sql}");
        }
    }
    drop(client);
    assert_eq!(other.ask_value(TIME_ZONE), "UTC");
    drop(other);
    accounts.assert_settled(secs(10));
}

#[test]
fn what_is_sent_behind_discard_all_at_once_is_kept() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let discards = [message::query("discard all"), batch("discard all", &[])];
    for discard in discards {
        for kind in [
            kind("set work_mem = '7MB'", WORK_MEM, "4MB"),
            kind("create temp table mine (n int)", TEMPORARY, "0"),
            kind("select pg_advisory_lock(7)", ADVISORY, "0"),
        ] {
            let mut client = front::client(&pgweir);
            client.ask("create temp table other (n int)");
            client.send(&[discard.clone(), message::query(kind.sql)].concat()).unwrap();
            assert_no_error(&client.until_ready());
            assert_no_error(&client.until_ready());
            let mut next = front::client(&pgweir);
            next.send(&message::query(kind.probe)).unwrap();
            assert_ne!(client.ask_value(kind.probe), kind.clean, "{}", kind.sql);
            client.send(&message::terminate()).unwrap();
            let frames = next.until_ready();
            assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some(kind.clean));
            drop((client, next));
            accounts.assert_settled(secs(10));
        }
    }
}

#[test]
fn a_discard_that_fails_keeps_what_was_there() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    assert_no_error(&client.ask("create temp table mine (n int)"));
    assert_no_error(&client.ask("begin"));
    let frames = client.ask("discard all");
    assert_eq!(frames[0].sqlstate().as_deref(), Some("25001"));
    client.ask("rollback");
    let mut next = front::client(&pgweir);
    next.send(&message::query(TEMPORARY)).unwrap();
    assert_eq!(client.ask_value(TEMPORARY), "1");
    client.send(&message::terminate()).unwrap();
    let frames = next.until_ready();
    assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("0"));
    drop((client, next));
    accounts.assert_settled(secs(10));
}
