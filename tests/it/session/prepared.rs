//! Statements that SQL prepares: who makes one keeps no server for it, finds it wherever it is sent, and nobody else
//! does.

use std::thread;

use super::parameters::Dice;
use super::{assert_no_error, batch};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::{Frame, render};
use crate::harness::front;
use crate::harness::message::{bind, close, describe, execute, parse, query, sync};
use crate::harness::raw::{Address, RawClient};

const CLIENTS: u64 = 12;
const ROUNDS: u64 = 80;

/// The names are everybody's, and in two spellings.
const NAMES: [&str; 3] = ["p", "q", "\"P q\""];

/// A name as the protocol says it.
fn plain(name: &str) -> String {
    name.trim_matches('"').to_owned()
}

/// A statement that makes, uses or drops statements, or fails.
fn statement(dice: &mut Dice, who: u64) -> String {
    let name = dice.of(&NAMES);
    let n = dice.throw(4);
    match dice.throw(26) {
        0 | 1 => format!("prepare {name} as select 'of {who}', {n}"),
        2 => format!("prepare {name} (int) as select $1 + {who}"),
        3 => format!("prepare {name} (numeric, text) as select $1 * {who}, $2 || '{n}'"),
        4 => format!("prepare {name} as select n + {who} as m from numbers where n < $1"),
        5 => format!("prepare {name} as select nope{who}"),
        6 => format!("prepare {name} as insert into mine_{who} values ($1) returning n"),
        7..=9 => format!("execute {name}"),
        10..=12 => format!("execute {name}({n})"),
        13 => format!("execute {name}({n}, 'x')"),
        14 => format!("explain (costs off) execute {name}"),
        15 => format!("explain (costs off) create table t as execute {name}"),
        16..=18 => format!("deallocate {name}"),
        19 => dice.of(&["deallocate all", "discard all", "discard plans"]),
        20 => dice.of(&["discard sequences", "discard plans", "deallocate prepare all"]),
        21 => format!("prepare {name} as selec"),
        22 => "select 1/0".to_owned(),
        23 => format!("execute {name}(1/0)"),
        24 => {
            let view = "select count(*) from pg_prepared_statements";
            format!("{view} where from_sql and name = '{}'", plain(&name))
        }
        _ => "select 1".to_owned(),
    }
}

/// One request, answered by one ReadyForQuery.
fn request(dice: &mut Dice, who: u64) -> Vec<u8> {
    let name = plain(&dice.of(&NAMES));
    match dice.throw(12) {
        0 | 1 => {
            let count = 2 + dice.throw(3);
            let all: Vec<String> = (0..count).map(|_| statement(dice, who)).collect();
            query(all.join("; "))
        }
        2..=4 => batch(&statement(dice, who), &[]),
        5 => [parse("", statement(dice, who), &[]), describe(b'S', ""), sync()].concat(),
        6 => [parse(&name, format!("select '{name} by protocol', {who}"), &[]), sync()].concat(),
        7 => [describe(b'S', &name), bind("", &name, &[]), execute("", 0), sync()].concat(),
        8 => [bind("", &name, &[Some(b"3")]), describe(b'P', ""), execute("", 0), sync()].concat(),
        9 => [close(b'S', &name), sync()].concat(),
        10 => {
            // Several in one batch.
            let mut all = Vec::new();
            for _ in 0..=dice.throw(3) {
                all.push(parse("", statement(dice, who), &[]));
                all.push(bind("", "", &[]));
                all.push(execute("", 0));
                if dice.throw(3) == 0 {
                    all.extend([bind("", &name, &[]), execute("", 0)]);
                }
            }
            all.push(sync());
            all.concat()
        }
        _ => query(statement(dice, who)),
    }
}

/// Requests that leave no transaction open.
fn run(dice: &mut Dice, who: u64) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    let block = dice.throw(3) == 0;
    if block {
        requests.push(query("begin"));
    }
    for _ in 0..=dice.throw(5) {
        if block && dice.throw(3) == 0 {
            requests.push(query(dice.of(&["savepoint a", "rollback to a"])));
        }
        requests.push(request(dice, who));
    }
    if block {
        requests.push(query(dice.of(&["commit", "rollback"])));
    }
    requests.extend(NAMES.map(|name| query(format!("execute {name}"))));
    requests
}

fn answers(client: &mut RawClient, requests: &[Vec<u8>], at_once: bool) -> Vec<String> {
    let mut all = Vec::new();
    if at_once {
        client.send(&requests.concat()).unwrap();
    }
    let mut failed = false;
    for request in requests {
        if !at_once {
            client.send(request).unwrap();
        }
        let frames = client.until_ready();
        let fails = frames.last().and_then(Frame::status) == Some('E');
        if failed && fails {
            // Which of several reasons there are for an error is told otherwise here and there.
            all.push("in a failed transaction".to_owned());
        } else {
            all.extend(frames.iter().map(render));
        }
        failed = fails;
    }
    all
}

#[test]
fn twelve_sessions_on_two_servers_each_run_their_own_statements() {
    let cluster = front::shop();
    let tables: String =
        (0..CLIENTS).map(|who| format!("create table mine_{who} (n int);")).collect();
    let numbers = "create table numbers as select n from generate_series(1, 5) n;";
    cluster.primary().sql("shop", &format!("{numbers} {tables}")).unwrap();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let direct: Address = cluster.primary().address().into();
    thread::scope(|scope| {
        for who in 0..CLIENTS {
            let (pgweir, direct) = (&pgweir, direct.clone());
            scope.spawn(move || {
                let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (who + 1));
                let mut direct = RawClient::login(&direct, &front::login());
                let mut pooled = front::client(pgweir);
                for round in 0..ROUNDS {
                    let requests = run(&mut dice, who);
                    let at_once = dice.throw(2) == 0;
                    let expected = answers(&mut direct, &requests, false);
                    let received = answers(&mut pooled, &requests, at_once);
                    let sent = requests.iter().map(|r| String::from_utf8_lossy(r).into_owned());
                    assert_eq!(
                        received,
                        expected,
                        "client {who}, round {round}, pgweir's on the left: {:?}",
                        sent.collect::<Vec<_>>()
                    );
                }
            });
        }
    });
    accounts.assert_settled(secs(30));
}

#[test]
fn who_prepares_in_sql_keeps_no_server() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut other = front::client(&pgweir);
    let other_server = other.ask_value("select pg_backend_pid()");
    assert_no_error(&other.ask("prepare mine as select 'others'"));
    for request in [
        query("prepare mine as select 'own'"),
        query("select 1; prepare mine as select 'own'"),
        query("begin; prepare mine as select 'own'; rollback"),
        query("prepare mine as select 'own'; discard plans; select 1/0"),
        batch("prepare mine as select 'own'", &[]),
        [parse("mine", "select 'own'", &[]), sync()].concat(),
    ] {
        let mut client = front::client(&pgweir);
        assert_eq!(client.ask("execute mine")[0].sqlstate().as_deref(), Some("26000"));
        client.send(&request).unwrap();
        client.until_ready();
        for _ in 0..3 {
            assert_eq!(other.ask_value("execute mine"), "others");
            assert_eq!(client.ask_value("execute mine"), "own");
            client.send(&[bind("", "mine", &[]), execute("", 0), sync()].concat()).unwrap();
            let frames = client.until_ready();
            assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("own"));
        }
        // A statement that a driver prepares because it comes often.
        client.send(&[parse("often", "execute mine", &[]), sync()].concat()).unwrap();
        client.until_ready();
        for _ in 0..2 {
            assert_eq!(other.ask_value("execute mine"), "others");
            let often = [describe(b'S', "often"), bind("", "often", &[]), execute("", 0), sync()];
            client.send(&often.concat()).unwrap();
            let frames = client.until_ready();
            assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("own"));
        }
        assert_eq!(client.ask_value("select pg_backend_pid()"), other_server);
        assert_no_error(&client.ask("deallocate mine"));
        assert_eq!(client.ask("execute mine")[0].sqlstate().as_deref(), Some("26000"));
    }
    drop(other);
    accounts.assert_settled(secs(10));
}

#[test]
fn what_a_prepared_statement_does_to_its_session_counts_when_it_runs() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let locks = "select count(*) from pg_locks where locktype = 'advisory'";
    for run in [
        query("execute l"),
        query("prepare k as select pg_advisory_lock(8); execute k"),
        batch("execute l", &[]),
        [bind("", "l", &[]), execute("", 0), sync()].concat(),
    ] {
        let mut client = front::client(&pgweir);
        let mut other = front::client(&pgweir);
        assert_no_error(&client.ask("prepare l as select pg_advisory_lock(7)"));
        assert_eq!(other.ask_value(locks), "0");
        client.send(&run).unwrap();
        assert_no_error(&client.until_ready());
        assert_eq!(client.ask_value(locks), "1");
        other.send(&query(locks)).unwrap();
        drop(client);
        let frames = other.until_ready();
        assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("0"));
    }
    accounts.assert_settled(secs(10));
}

#[test]
fn a_statement_that_cannot_be_prepared_again_fails_as_in_postgres() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let mut owner = RawClient::login(&cluster.primary().address().into(), &front::login());
    let direct: Address = cluster.primary().address().into();
    let mut direct = RawClient::login(&direct, &front::login());
    let mut pooled = front::client(&pgweir);
    let (mut one, mut two) = (front::client(&pgweir), front::client(&pgweir));
    for fail in ["execute p", "select 1; execute p", "begin; select 1", "execute p"] {
        assert_no_error(&owner.ask("create table if not exists t (n int)"));
        for client in [&mut direct, &mut pooled] {
            client.ask("rollback; deallocate all");
            assert_no_error(&client.ask("select 'ä'; prepare p as select n from t; execute p"));
        }
        assert_no_error(&owner.ask("drop table t"));
        // Others' statements stand there, on both servers.
        for client in [&mut one, &mut two] {
            client.ask("deallocate all; begin; prepare p as select 'others'");
        }
        for client in [&mut one, &mut two] {
            assert_no_error(&client.ask("commit"));
        }
        if fail.starts_with("select 1") {
            // What runs before it in the same string does not: all of it is looked at first.
            let frames = pooled.ask(fail);
            assert_eq!(frames[0].sqlstate().as_deref(), Some("42P01"), "{frames:?}");
            continue;
        }
        for sql in [fail, "execute p", "commit", "select 1"] {
            let said: Vec<Vec<String>> = [&mut direct, &mut pooled]
                .map(|client| client.ask(sql).iter().map(render).collect())
                .into();
            assert_eq!(said[0], said[1], "{sql}, Postgres on the left");
        }
    }
}

#[test]
fn code_in_sight_finds_the_statements_of_its_session() {
    let cluster = front::shop();
    cluster.primary().sql("shop", "create table sink (word text)").unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut own = front::client(&pgweir);
    let mut other = front::client(&pgweir);
    let mut third = front::client(&pgweir);
    assert_no_error(&own.ask("prepare mine as insert into sink values ('own')"));
    assert_no_error(&other.ask("prepare mine as insert into sink values ('others')"));
    let code = "do $$ begin execute 'execute mine'; end $$";
    assert_no_error(&own.ask(code));
    assert_no_error(&other.ask(code));
    assert_no_error(&own.ask(code));
    assert_eq!(third.ask(code)[0].sqlstate().as_deref(), Some("26000"));
    assert_eq!(third.ask_value("select count(*) from pg_prepared_statements where from_sql"), "0");
    assert_eq!(own.ask_value("select string_agg(word, ' ') from sink"), "own others own");
    // What code prepares, it prepares on its server.
    assert_no_error(&own.ask("do $$ begin execute 'prepare other as select 7'; end $$"));
    drop((other, third));
    assert_eq!(own.ask_value("execute other"), "7");
    assert_no_error(&own.ask("execute mine"));
    assert_no_error(&own.ask("discard all"));
    assert_eq!(own.ask("execute other")[0].sqlstate().as_deref(), Some("26000"));
    drop(own);
    accounts.assert_settled(secs(10));
}

/// Messages that see any statement of their session's, in each way that they can be sent.
fn ways_to_see(text: &str) -> Vec<Vec<Vec<u8>>> {
    let run = |text: &str| [parse("", text, &[]), bind("", "", &[]), execute("", 0)].concat();
    let named = [parse("n", text, &[]), bind("", "n", &[]), execute("", 0), sync()].concat();
    let again = [bind("", "n", &[]), describe(b'P', ""), execute("", 0), sync()].concat();
    let cursor = "declare c cursor for select generate_series(1, 3)";
    let block = |within: Vec<Vec<u8>>| {
        let begin = vec![query("begin"), query("insert into sink values ('kept')")];
        [begin, within, vec![query("commit")]].concat()
    };
    vec![
        vec![query(text)],
        vec![query(format!("select 1; {text}"))],
        vec![batch(text, &[]), query("select 2")],
        vec![named.clone(), again.clone(), again.clone(), [close(b'S', "n"), sync()].concat()],
        vec![[parse("n", text, &[]), sync()].concat(), again, [close(b'S', "n"), sync()].concat()],
        // Something else stands before it in the batch.
        vec![[run("select 1"), run(text), sync()].concat()],
        vec![
            [run("begin"), run(text), run("insert into sink values ('kept')"), sync()].concat(),
            query("commit"),
        ],
        vec![[parse("", "select 1", &[]), query(text)].concat(), sync()],
        block(vec![query(text), batch(text, &[]), query("select 2")]),
        block(vec![[run("select 1"), run(text), sync()].concat(), query("select 2")]),
        block(vec![query(cursor), query("fetch c"), query(text), query("fetch c")]),
        block(vec![
            query("savepoint _pgweir_sql"),
            query("insert into sink values ('lost')"),
            query(text),
            query("rollback to _pgweir_sql; release _pgweir_sql"),
            query("savepoint a"),
            query("select 1/0"),
            query(text),
            query("rollback to a"),
            query(text),
        ]),
        vec![query("begin isolation level serializable read only"), query(text), query("commit")],
    ]
}

#[test]
fn what_cannot_be_prepared_again_fails_nobody_who_does_not_name_it() {
    let cluster = front::shop();
    cluster.primary().sql("shop", "create table sink (word text)").unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut owner = RawClient::login(&cluster.primary().address().into(), &front::login());
    let mut direct = RawClient::login(&cluster.primary().address().into(), &front::login());
    let mut pooled = front::client(&pgweir);
    let mut other = front::client(&pgweir);
    let all = "select count(*) from pg_prepared_statements where from_sql";
    assert_no_error(&owner.ask("create table t (n int)"));
    for client in [&mut direct, &mut pooled] {
        assert_no_error(&client.ask("prepare gone as select n from t"));
        let awkward = r"prepare p as select 'ä it''s \', E'\\', $$'$$, $1::int";
        assert_no_error(&client.ask(awkward));
        assert_no_error(&client.ask("prepare r (text) as select $1"));
    }
    assert_no_error(&owner.ask("drop table t"));
    let sees = "select name, statement, parameter_types, from_sql from pg_prepared_statements \
                where from_sql and name <> 'gone' order by 1";
    let runs = "do $$ begin execute 'execute p(1)'; execute 'execute r(2)'; end $$";
    let mut compared = 0;
    for text in [sees, runs] {
        for requests in ways_to_see(text) {
            for at_once in [false, true] {
                assert_eq!(other.ask_value(all), "0");
                let expected = answers(&mut direct, &requests, false);
                let received = answers(&mut pooled, &requests, at_once);
                let sent: Vec<_> = requests.iter().map(|r| String::from_utf8_lossy(r)).collect();
                assert_eq!(received, expected, "pgweir's on the left: {sent:?}");
                compared += expected.iter().filter(|line| line.contains("prepare p")).count();
            }
        }
    }
    assert_eq!(compared, 34);
    let lost = "select count(*) from sink where word = 'lost'";
    assert_eq!(owner.ask_value(lost), "0");
    assert_eq!(pooled.ask_value(all), "2");
    assert_no_error(&owner.ask("create table t (n int)"));
    assert_eq!(pooled.ask_value(all), "3");
    assert_no_error(&pooled.ask("execute gone"));
    drop((owner, direct, pooled, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn a_discard_that_fails_in_a_batch_leaves_a_pinned_sessions_statements() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    // It keeps its server for good, which then has its named statements to itself.
    assert_no_error(&client.ask("select setseed(0.5)"));
    client.send(&[parse("p", "select 'own'", &[]), sync()].concat()).unwrap();
    assert_no_error(&client.until_ready());
    let one = |sql: &str| [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat();
    let failing = [one("select 1"), one("discard all"), one("prepare p as select 2"), sync()];
    client.send(&failing.concat()).unwrap();
    let frames = client.until_ready();
    assert_eq!(frames.iter().find_map(Frame::sqlstate).as_deref(), Some("25001"), "{frames:?}");
    assert_eq!(client.ask_value("execute p"), "own");
    let frames = client.ask("prepare p as select 3");
    assert_eq!(frames[0].sqlstate().as_deref(), Some("42P05"), "{frames:?}");
    assert_eq!(client.ask_value("execute p"), "own");
    drop(client);
    accounts.assert_settled(secs(10));
}
