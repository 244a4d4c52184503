//! A session that keeps its server gives it back as soon as Postgres says that nothing is left of why.

use super::{ADVISORY, TEMPORARY, assert_no_error, batch};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::front;
use crate::harness::message;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::RawClient;

const PID: &str = "select pg_backend_pid()";

fn leased(accounts: &Accounting) -> u64 {
    accounts.state().pools.iter().map(|pool| pool.leased).sum()
}

/// Sends a question that has to wait for the only server.
fn queue(other: &mut RawClient, accounts: &Accounting, sql: &str) {
    other.send(&message::query(sql)).unwrap();
    let waiting = || accounts.state().pools.iter().map(|pool| pool.waiting).sum::<u64>();
    wait_until("it waits", secs(5), || waiting() == 1);
}

fn value(frames: &[Frame]) -> String {
    frames.iter().find_map(Frame::first_text).unwrap_or_else(|| panic!("{frames:?}"))
}

/// What pins, a use of it, and how it is given up.
const KINDS: [[&str; 3]; 14] = [
    ["create temp table mine (n int)", "insert into mine values (1)", "drop table mine"],
    ["create temp table mine as select 1 as n", "select * from mine", "DROP TABLE pg_temp.mine"],
    ["create temporary view mine as select 1 as n", "select * from mine", "drop view mine"],
    ["create temp sequence mine", "select nextval('mine')", "drop sequence mine"],
    ["create table pg_temp.mine (n int)", "insert into mine values (1)", "discard temp"],
    ["select 1 as n into temp mine", "select * from mine", "drop table mine"],
    [
        "create function pg_temp.mine() returns int language sql as 'select 7'",
        "select pg_temp.mine()",
        "drop function pg_temp.mine()",
    ],
    [
        "create type pg_temp.mine as enum ('a')",
        "select 'a'::pg_temp.mine",
        "drop type pg_temp.mine",
    ],
    ["create domain pg_temp.mine as int", "select 1::pg_temp.mine", "drop domain pg_temp.mine"],
    ["select pg_advisory_lock(7)", "select 1", "select pg_advisory_unlock(7)"],
    [
        "select pg_catalog.pg_try_advisory_lock_shared(7, 8)",
        "select 1",
        "select pg_advisory_unlock_shared(7, 8)",
    ],
    ["select U&\"pg\\005fadvisory_lock\"(7)", "select 1", "select pg_advisory_unlock_all()"],
    [
        "declare mine cursor with hold for select generate_series(1, 3)",
        "fetch 1 from mine",
        "close mine",
    ],
    ["declare mine cursor with hold for select 1", "fetch 1 from mine", "close all"],
];

#[test]
fn each_kind_frees_the_server_when_it_is_given_up() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut other = front::client(&pgweir);
    let pid = other.ask_value(PID);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for extended in [false, true] {
        let run = |client: &mut RawClient, sql: &str| {
            let request = if extended { batch(sql, &[]) } else { message::query(sql) };
            client.send(&request).unwrap();
            assert_no_error(&client.until_ready());
        };
        for [create, usage, release] in KINDS {
            let mut client = front::client(&pgweir);
            run(&mut client, create);
            run(&mut client, usage);
            assert_eq!(client.ask_value(PID), pid);
            assert_eq!(leased(&accounts), 1, "{create}");
            queue(&mut other, &accounts, PID);
            run(&mut client, usage);
            run(&mut client, release);
            assert_eq!(value(&other.until_ready()), pid, "{create}: not made anew");
            // It is shared, statement by statement.
            for _ in 0..3 {
                assert_eq!(client.ask_value(TEMPORARY), "0");
                assert_eq!(other.ask_value(ADVISORY), "0");
            }
            wait_until("it is shared", secs(5), || leased(&accounts) == 0);
        }
    }
    drop(other);
    accounts.assert_settled(secs(10));
}

#[test]
fn what_failed_or_went_with_its_transaction_pins_no_longer_than_that() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    let pid = other.ask_value(PID);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for steps in [
        &["begin", "create temp table mine (n int) on commit drop", "commit"][..],
        &["begin; create temp table mine (n int) on commit drop; commit"],
        &["begin", "create temp table mine (n int)", "rollback"],
        &["begin", "savepoint a", "create temp table mine (n int)", "rollback to a", "commit"],
        &["create temp table mine (n int); select 1/0"],
        &["create temp table mine (n nosuchtype)"],
        &["begin", "declare mine cursor with hold for select 1", "rollback"],
        &["select pg_advisory_lock('x')"],
        &["select pg_advisory_lock(7), pg_advisory_unlock(7)"],
        &["select pg_try_advisory_lock(7) where false"],
    ] {
        for step in steps {
            client.ask(step);
        }
        other.ask("begin");
        assert_eq!(other.ask_value(PID), pid, "{steps:?}");
        other.ask("commit");
    }
    wait_until("it is shared", secs(5), || leased(&accounts) == 0);
    // A rollback does not release these.
    for step in ["begin", "select pg_advisory_lock(7)", "rollback"] {
        client.ask(step);
    }
    assert_eq!((client.ask_value(ADVISORY), leased(&accounts)), ("1".to_owned(), 1));
    drop((client, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn locks_are_counted_by_postgres() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    client.ask("select pg_advisory_lock(7)");
    client.ask("select pg_advisory_lock(7)");
    client.ask("select pg_advisory_lock(8)");
    queue(&mut other, &accounts, ADVISORY);
    for (release, left) in [("7", "2"), ("8", "1")] {
        client.ask(&format!("select pg_advisory_unlock({release})"));
        assert_eq!(client.ask_value(ADVISORY), left);
        assert_eq!(leased(&accounts), 1);
    }
    client.ask("select pg_advisory_unlock(7)");
    assert_eq!(value(&other.until_ready()), "0");
    drop((client, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn what_no_text_shows_is_found_out_after_a_while() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    client.ask(
        "create function give_up() returns void language sql as 'select pg_advisory_unlock_all()'",
    );
    client.ask("select pg_advisory_lock(7)");
    client.ask("select give_up()");
    // It would wait for ten seconds otherwise, and be refused then.
    assert_eq!(value(&other.ask(ADVISORY)), "0");
}

#[test]
fn settings_of_the_session_mislead_nobody() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut other = front::client(&pgweir);
    for sql in [
        "create schema evil",
        "create table evil.pg_locks (locktype text, pid int)",
        "create table evil.pg_depend (refclassid oid, refobjid oid)",
        "create table evil.pg_cursors (is_holdable bool)",
        "create function evil.pg_backend_pid() returns int language sql as 'select 0'",
        "create function evil.pg_my_temp_schema() returns oid language sql as 'select 0::oid'",
        "create function evil.no(text, text) returns bool language sql as 'select false'",
        "create operator evil.= (leftarg = text, rightarg = text, function = evil.no)",
        "grant usage on schema evil to public",
    ] {
        assert_no_error(&other.ask(sql));
    }
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for settings in [
        "set search_path = evil, pg_catalog",
        "set default_transaction_isolation = serializable; set default_transaction_read_only = on",
        "set role pg_monitor",
        "set quote_all_identifiers = on; set transform_null_equals = on; set xmloption = document",
        "set client_encoding = 'LATIN1'; set bytea_output = escape; set row_security = off",
    ] {
        let mut client = front::client(&pgweir);
        assert_no_error(&client.ask(settings));
        assert_no_error(&client.ask("select pg_catalog.pg_advisory_lock(7)"));
        assert_no_error(&client.ask("declare mine cursor with hold for select 1"));
        assert_eq!(leased(&accounts), 1, "{settings}");
        assert_no_error(&client.ask("close mine"));
        assert_eq!(leased(&accounts), 1, "{settings}");
        assert_no_error(&client.ask("select pg_catalog.pg_advisory_unlock(7)"));
        wait_until(settings, secs(5), || leased(&accounts) == 0);
        assert_eq!(other.ask_value(ADVISORY), "0");
    }
    // Where Postgres cannot say, the session stays where it is.
    let mut client = front::client(&pgweir);
    assert_no_error(&other.ask("revoke execute on function pg_lock_status() from public"));
    assert_no_error(&client.ask("select pg_advisory_lock(7)"));
    assert_no_error(&client.ask("set role pg_read_all_settings"));
    assert_no_error(&client.ask("select pg_advisory_unlock(7)"));
    assert_eq!(leased(&accounts), 1);
    assert_eq!(client.ask_value("select 5"), "5");
    drop((client, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn a_prepared_statement_pins_each_time_that_it_runs() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    other.ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for name in ["", "named"] {
        for sql in ["select pg_advisory_lock(7)", "create temp table mine (n int)"] {
            let prepare = [message::close(b'S', name), message::parse(name, sql, &[])];
            send(&mut client, &[prepare.concat(), message::sync()]);
            for _ in 0..3 {
                wait_until("it is shared", secs(5), || leased(&accounts) == 0);
                // Another has the server in between.
                assert_eq!(other.ask_value(ADVISORY), "0");
                let run = [message::bind("", name, &[]), message::execute("", 0), message::sync()];
                send(&mut client, &run);
                assert_eq!(leased(&accounts), 1, "{sql}");
                // Not by simple queries, which throw the unnamed statement away.
                let release = "select pg_advisory_unlock_all()";
                for sql in [release, "drop table if exists mine"] {
                    let parse = message::parse("r", sql, &[]);
                    let run = [message::bind("", "r", &[]), message::execute("", 0)].concat();
                    let close = message::close(b'S', "r");
                    send(&mut client, &[parse, run, close, message::sync()]);
                }
            }
        }
    }
    drop((client, other));
    accounts.assert_settled(secs(10));
}

fn send(client: &mut RawClient, messages: &[Vec<u8>]) -> Vec<Frame> {
    client.send(&messages.concat()).unwrap();
    let frames = client.until_ready();
    assert_no_error(&frames);
    frames
}

fn run_named(client: &mut RawClient, name: &str) -> String {
    let run = [message::bind("", name, &[]), message::execute("", 0), message::sync()];
    value(&send(client, &run))
}

/// The type oid of a statement's only parameter.
fn parameter_type(client: &mut RawClient, name: &str) -> u32 {
    let frames = send(client, &[message::describe(b'S', name), message::sync()]);
    let described = frames.iter().find(|frame| frame.tag == b't').expect("its parameters");
    u32::from_be_bytes(described.body[2..6].try_into().unwrap())
}

#[test]
fn statements_mean_temporary_objects_while_there_are_any_and_to_their_session_only() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    client.ask("create table shadowed as select 'permanent' as t, 1 as n");
    let text = "select t from shadowed";
    let typed = "select t from shadowed where n = $1";
    let prepare =
        |name: &str, sql: &str| [message::parse(name, sql, &[]), message::sync()].concat();
    send(&mut client, &[prepare("before", text)]);
    assert_eq!(run_named(&mut client, "before"), "permanent");
    client.ask("create temp table shadowed as select 'temporary' as t, 'x'::text as n");
    send(&mut client, &[prepare("during", text)]);
    send(&mut client, &[prepare("typed", typed)]);
    assert_eq!(run_named(&mut client, "during"), "temporary");
    assert_eq!(parameter_type(&mut client, "typed"), 25);
    for _ in 0..3 {
        send(&mut other, &[prepare("", text)]);
        assert_eq!(run_named(&mut other, ""), "permanent");
    }
    send(&mut other, &[prepare("of other", text)]);
    assert_eq!(run_named(&mut other, "of other"), "permanent");
    client.ask("drop table shadowed");
    wait_until("it is shared", secs(5), || leased(&accounts) == 0);
    // On both servers.
    for _ in 0..2 {
        client.ask("begin");
        other.ask("begin");
        for name in ["before", "during"] {
            assert_eq!(run_named(&mut client, name), "permanent");
        }
        assert_eq!(run_named(&mut other, "of other"), "permanent");
        send(&mut other, &[message::close(b'S', "typed"), prepare("typed", typed)]);
        assert_eq!(parameter_type(&mut other, "typed"), 23);
        client.ask("commit");
        other.ask("commit");
    }
    drop((client, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn a_crowd_that_pins_and_unpins_shares_its_servers() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let plays = |pgweir: &Pgweir, number: usize| {
        let mut client = front::client(pgweir);
        for round in 0..20 {
            let [create, usage, release] = KINDS[(number + round) % KINDS.len()];
            // Each has a lock of its own, or they would wait for each other.
            let own = |sql: &str| sql.replace("(7", &format!("({}", 1_000 + number));
            for sql in [create, usage, release] {
                assert_no_error(&client.ask(&own(sql)));
            }
            assert_eq!(client.ask_value(TEMPORARY), "0");
        }
    };
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn({
                    let pgweir = &pgweir;
                    move || plays(pgweir, number)
                })
            })
            .collect();
        players.into_iter().for_each(|player| player.join().unwrap());
    });
    accounts.assert_settled(secs(10));
}
