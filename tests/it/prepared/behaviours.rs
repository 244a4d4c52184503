//! What has gone wrong with prepared statements in poolers, one test each: most play the same
//! messages to Postgres and to pgweir.

use pgweir::cluster::Cluster;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::{Frame, render_all};
use crate::harness::front::{client, login, pool_of, shop};
use crate::harness::message::{
    bind, bind_with, close, describe, execute, flush, parse, query, sync, terminate,
};
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Login, RawClient};

/// Replies as far as a client looks at them.
pub(super) fn told(frames: &[Frame]) -> Vec<String> {
    let line = |frame: &Frame| match frame.tag {
        b'E' | b'N' => {
            format!("E {:?} {:?}", frame.sqlstate(), frame.field(b'M').unwrap_or_default())
        }
        b'Z' => format!("Z {:?}", frame.status()),
        b'D' | b'T' | b't' | b'C' => format!("{frame:?}"),
        tag => char::from(tag).to_string(),
    };
    frames.iter().filter(|frame| frame.tag != b'S').map(line).collect()
}

/// One session with Postgres, one through pgweir.
pub(super) struct Pair {
    pub(super) direct: RawClient,
    pub(super) through: RawClient,
}

impl Pair {
    pub(super) fn new(cluster: &Cluster, pgweir: &Pgweir) -> Self {
        let direct = RawClient::login(&cluster.primary().address().into(), &login());
        Self { direct, through: client(pgweir) }
    }

    /// Both are asked the same and must say the same. Each slice ends with a ReadyForQuery.
    pub(super) fn ask(&mut self, messages: &[Vec<u8>]) -> Vec<String> {
        let ready = messages.iter().filter(|m| matches!(m[0], b'S' | b'Q')).count();
        let ask = |client: &mut RawClient| {
            client.send(&messages.concat()).unwrap();
            told(&(0..ready).flat_map(|_| client.until_ready()).collect::<Vec<_>>())
        };
        let (direct, through) = (ask(&mut self.direct), ask(&mut self.through));
        assert_eq!(direct, through, "Postgres on the left, pgweir on the right");
        through
    }
}

fn run(portal: &str) -> Vec<u8> {
    execute(portal, 0)
}

/// Runs a statement, and gives the first value or the SQLSTATE.
fn value(client: &mut RawClient, statement: &str, parameters: &[Option<&[u8]>]) -> String {
    let messages = [bind("", statement, parameters), run(""), sync()];
    client.send(&messages.concat()).unwrap();
    let frames = client.until_ready();
    let found = frames.iter().find_map(|f| f.first_text().or_else(|| f.sqlstate()));
    found.unwrap_or_else(|| panic!("neither value nor error:\n{}", render_all(&frames)))
}

fn prepare(client: &mut RawClient, name: &str, sql: &str, types: &[u32]) {
    client.send(&[parse(name, sql, types), sync()].concat()).unwrap();
    let frames = client.until_ready();
    assert_eq!(frames[0].tag, b'1', "{}", render_all(&frames));
}

/// Statements that a server has by names of pgweir's.
fn there(client: &mut RawClient) -> u64 {
    let sql = r"select count(*) from pg_prepared_statements where name like '\_pgweir\_%'";
    client.ask_value(sql).parse().unwrap()
}

#[test]
fn fifty_clients_mean_different_statements_by_one_name() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut clients: Vec<RawClient> = (0..50).map(|_| client(&pgweir)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        prepare(client, "s", &format!("select {n} + $1::int4"), &[]);
    }
    for round in 0..40 {
        for (n, client) in clients.iter_mut().enumerate() {
            let round_text = round.to_string();
            let got = value(client, "s", &[Some(round_text.as_bytes())]);
            assert_eq!(got, (n + round).to_string());
        }
    }
}

#[test]
fn a_pipeline_of_more_statements_than_a_server_keeps_loses_none() {
    let cluster = shop();
    let pgweir = pool_of(1, cluster.primary().address())
        .set("defaults", "max_prepared_statements = 2")
        .start();
    let mut pair = Pair::new(&cluster, &pgweir);
    for failing in [3, 7, 99] {
        let mut messages = Vec::new();
        for n in 0..10 {
            let sql = if n == failing { "select 1/0".into() } else { format!("select {n}") };
            messages.push(close(b'S', format!("s{n}")));
            messages.push(parse(format!("s{n}"), sql, &[]));
        }
        messages.push(sync());
        pair.ask(&messages);
        let uses = (0..10).flat_map(|n| [bind("", format!("s{n}"), &[]), run("")]);
        pair.ask(&uses.chain([sync()]).collect::<Vec<_>>());
    }
    pair.through.ask("select 1");
    let mut other = client(&pgweir);
    prepare(&mut other, "x", "select 'x'", &[]);
    assert!(there(&mut other) <= 2);
}

#[test]
fn a_parse_that_failed_left_nothing_behind() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    let use_it = [bind("", "s", &[]), run(""), sync()];
    let make_it = parse("s", "select * from later", &[]);
    pair.ask(&[&[make_it.clone()][..], &use_it].concat());
    pair.ask(&use_it);
    pair.ask(&[parse("s", "selec", &[]), bind("", "s", &[]), sync()]);
    cluster.primary().open_sql("shop").unwrap().run("create table later as select 5 as n").unwrap();
    let lines = pair.ask(&[&[make_it][..], &use_it].concat());
    assert!(lines.iter().any(|line| line.contains("\"5\"")), "{lines:?}");
    pair.ask(&use_it);
}

#[test]
fn closing_a_portal_or_an_unknown_name_closes_no_statement() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    pair.ask(&[parse("a", "select 1", &[]), sync()]);
    pair.ask(&[close(b'P', "a"), bind("a", "a", &[]), run("a"), close(b'P', "a"), sync()]);
    pair.ask(&[close(b'S', "never"), close(b'P', "never"), sync()]);
    pair.ask(&[bind("", "a", &[]), run(""), close(b'S', "a"), sync()]);
    pair.ask(&[close(b'S', "a"), bind("", "a", &[]), sync()]);
}

#[test]
fn an_unnamed_statement_is_read_anew_after_ddl_as_in_postgres() {
    let cluster = shop();
    let mut sql = cluster.primary().open_sql("shop").unwrap();
    sql.run("create table t as select 1 as n").unwrap();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    pair.ask(&[parse("", "select * from t", &[]), describe(b'S', ""), sync()]);
    pair.ask(&[bind("", "", &[]), run(""), sync()]);
    sql.run("alter table t alter column n type text using 'one'").unwrap();
    let made = parse("", "select * from t", &[]);
    pair.ask(&[made, bind("", "", &[]), describe(b'P', ""), run(""), sync()]);
}

#[test]
fn after_ddl_each_client_fails_at_most_once_and_nobody_needs_a_restart() {
    let cluster = shop();
    let mut sql = cluster.primary().open_sql("shop").unwrap();
    sql.run("create table t as select 1 as n").unwrap();
    let pgweir = pool_of(3, cluster.primary().address()).start();
    let mut clients: Vec<RawClient> = (0..20).map(|_| client(&pgweir)).collect();
    let make = [parse("s", "select * from t", &[]), describe(b'S', "s"), sync()].concat();
    for client in &mut clients {
        client.send(&make).unwrap();
        assert_eq!(client.until_ready()[0].tag, b'1');
        assert_eq!(value(client, "s", &[]), "1");
    }
    for (change, expected) in [("text using 'one'", "one"), ("int8 using 8", "8")] {
        sql.run(&format!("alter table t alter column n type {change}")).unwrap();
        for client in &mut clients {
            assert_eq!(value(client, "s", &[]), "0A000", "it was told another format");
            client.send(&[close(b'S', "s"), make.clone()].concat()).unwrap();
            assert_eq!(client.until_ready()[1].tag, b'1');
            for _ in 0..4 {
                assert_eq!(value(client, "s", &[]), expected);
            }
        }
    }
    // Who asks each time, or never did, notices nothing.
    let (mut asks, mut never) = (client(&pgweir), client(&pgweir));
    prepare(&mut asks, "s", "select * from t", &[]);
    prepare(&mut never, "s", "select * from t", &[]);
    assert_eq!(value(&mut never, "s", &[]), "8");
    sql.run("alter table t alter column n type int4 using 4").unwrap();
    assert_eq!(value(&mut never, "s", &[]), "4");
    let again = [bind("", "s", &[]), describe(b'P', ""), run(""), sync()].concat();
    asks.send(&again).unwrap();
    assert_eq!(asks.until_ready().iter().find_map(Frame::first_text).as_deref(), Some("4"));
}

#[test]
fn types_that_ddl_made_wrong_do_not_stick_to_the_text() {
    let cluster = shop();
    let mut sql = cluster.primary().open_sql("shop").unwrap();
    sql.run("create table t as select 1 as n").unwrap();
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let text = "select count(*) from t where n = $1";
    let make = [close(b'S', "s"), parse("s", text, &[]), describe(b'S', "s"), sync()].concat();
    let (mut one, mut two) = (client(&pgweir), client(&pgweir));
    one.send(&make).unwrap();
    one.until_ready();
    assert_eq!(value(&mut one, "s", &[Some(b"1")]), "1");
    sql.run("alter table t alter column n type text using 'one'").unwrap();
    // As in Postgres: the statement knows its parameter as a number.
    assert_eq!(value(&mut one, "s", &[Some(b"1")]), "42883");
    one.send(&make).unwrap();
    one.until_ready();
    assert_eq!(value(&mut one, "s", &[Some(b"one")]), "1");
    two.send(&make).unwrap();
    two.until_ready();
    assert_eq!(value(&mut two, "s", &[Some(b"one")]), "1");
}

#[test]
fn sql_and_the_protocol_share_their_names_as_in_postgres() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let sequences: [&[&str]; 8] = [
        &["prepare x as select 1", "discard all", "deallocate x", "execute x"],
        &["prepare x as select 1", "deallocate all", "prepare x as select 2", "execute x"],
        &["select 1; prepare p as select 3", "execute p", "deallocate p", "execute p"],
        &["prepare p as select 1; prepare p as select 2", "execute p"],
        &["begin", "prepare p as select 1", "rollback", "execute p", "deallocate prepare all"],
        &["execute a", "deallocate a", "execute a"],
        &["explain (costs off) execute a", "prepare a as select 5", "execute a"],
        &["begin", "deallocate a", "rollback", "execute a", "discard all", "execute a"],
    ];
    for sequence in sequences {
        let mut pair = Pair::new(&cluster, &pgweir);
        pair.ask(&[parse("a", "select 'a'", &[]), bind("", "a", &[]), run(""), sync()]);
        for sql in sequence {
            pair.ask(&[query(sql)]);
            pair.ask(&[bind("", "a", &[]), run(""), sync()]);
        }
    }
}

#[test]
fn deallocate_by_the_extended_protocol_counts_when_it_is_run() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    let use_it = [bind("", "a", &[]), run(""), sync()];
    let make = parse("a", "select 'a'", &[]);
    pair.ask(&[make.clone(), sync()]);
    pair.ask(&[parse("", "deallocate a", &[]), bind("", "", &[]), sync()]);
    pair.ask(&use_it);
    pair.ask(&[parse("", "deallocate a", &[]), bind("", "", &[]), run(""), run(""), sync()]);
    pair.ask(&use_it);
    pair.ask(&[parse("", "deallocate a", &[]), bind("", "", &[]), run(""), sync()]);
    let again = [make.clone(), bind("p", "a", &[]), run("p")];
    for all in ["deallocate all", "discard all"] {
        pair.ask(&[make.clone(), sync()]);
        let drop = [parse("", all, &[]), bind("", "", &[]), run("")];
        pair.ask(&[&drop[..1], &drop[1..], &[sync()]].concat());
        pair.ask(&use_it);
        // In one pipeline: what comes behind it stays.
        pair.ask(&[query("deallocate all"), make.clone(), sync(), query("select 1")]);
        pair.ask(&use_it);
        pair.ask(&[query("deallocate all"), again[0].clone(), again[1].clone(), sync()]);
        pair.ask(&[query("deallocate all")]);
    }
}

#[test]
fn statements_without_number_cost_neither_pgweir_nor_the_server_memory() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address())
        .set("defaults", "max_prepared_statements = 50")
        .start();
    let mut clients: Vec<RawClient> = (0..10).map(|_| client(&pgweir)).collect();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for round in 0..100 {
        for (n, client) in clients.iter_mut().enumerate() {
            let mut bytes = Vec::new();
            for part in 0..10 {
                let sql = format!("select '{n}.{round}.{part}', '{}'", "x".repeat(200));
                bytes.extend(close(b'S', "s"));
                bytes.extend(parse("s", sql, &[]));
                bytes.extend(bind("", "s", &[]));
                bytes.extend(run(""));
                bytes.extend(sync());
            }
            client.send(&bytes).unwrap();
            for part in 0..10 {
                let got = client.until_ready().iter().find_map(Frame::first_text);
                assert_eq!(got.unwrap(), format!("{n}.{round}.{part}"));
            }
        }
    }
    for client in &mut clients {
        assert!(there(client) <= 50);
        client.send(&terminate()).unwrap();
    }
    drop(clients);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_client_with_too_many_names_keeps_its_server_for_them() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut client = client(&pgweir);
    let name = |n: usize| format!("{n:060}");
    for batch in 0..60 {
        let parses = (0..1_000).flat_map(|n| parse(name(batch * 1_000 + n), "select 1", &[]));
        client.send(&parses.chain(sync()).collect::<Vec<_>>()).unwrap();
        assert!(client.until_ready().iter().all(|frame| matches!(frame.tag, b'1' | b'Z')));
    }
    let own = r"select count(*) from pg_prepared_statements where name not like '\_pgweir\_%'";
    let own: usize = client.ask_value(own).parse().unwrap();
    assert!(own > 1_000 && own < 30_000, "{own} stand on the server under the client's names");
    for n in [0, 30_000, 59_999] {
        assert_eq!(value(&mut client, &name(n), &[]), "1");
    }
}

#[test]
fn equal_texts_that_mean_different_things_are_different_statements() {
    let cluster = shop();
    let mut sql = cluster.primary().open_sql("shop").unwrap();
    sql.run("create schema one; create schema two").unwrap();
    sql.run("create table one.t as select 'one' as n; create table two.t as select 2 as n")
        .unwrap();
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let check = |settings: [(&str, &str); 2], text: &str, expected: [&str; 2]| {
        let login = |(name, value): (&str, &str)| pgweir.client(&login().parameter(name, value));
        let mut clients = settings.map(login);
        for name in ["s", ""] {
            for client in &mut clients {
                prepare(client, name, text, &[]);
            }
            for _ in 0..2 {
                for (client, expected) in clients.iter_mut().zip(expected) {
                    assert_eq!(value(client, name, &[]), expected, "{text} as {name:?}");
                }
            }
        }
    };
    check([("search_path", "one"), ("search_path", "two")], "select * from t", ["one", "2"]);
    check(
        [("options", "-c search_path=one"), ("search_path", "two")],
        "select n from t",
        ["one", "2"],
    );
    check(
        [("TimeZone", "UTC"), ("TimeZone", "Asia/Tokyo")],
        "select extract(epoch from timestamptz '1970-01-01 09:00')::int",
        ["32400", "0"],
    );
    check(
        [("client_encoding", "UTF8"), ("client_encoding", "LATIN1")],
        "select length('\u{e9}')",
        ["1", "2"],
    );
    check(
        [("DateStyle", "ISO, DMY"), ("DateStyle", "ISO, MDY")],
        "select date '02/03/2020' - date '2020-01-01'",
        ["61", "33"],
    );
    let (mut number, mut text) = (client(&pgweir), client(&pgweir));
    for _ in 0..2 {
        for (client, oid, expected) in [(&mut number, 23, "integer"), (&mut text, 25, "text")] {
            client.send(&close(b'S', "s")).unwrap();
            prepare_again(client, "s", "select pg_typeof($1)::text", oid);
            assert_eq!(value(client, "s", &[Some(b"1")]), expected);
        }
    }
}

fn prepare_again(client: &mut RawClient, name: &str, sql: &str, oid: u32) {
    client.send(&[parse(name, sql, &[oid]), sync()].concat()).unwrap();
    assert_eq!(client.until_ready()[1].tag, b'1');
}

#[test]
fn what_a_transaction_sets_for_itself_changes_nobody_elses_statements() {
    let cluster = shop();
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let text = "select extract(epoch from timestamptz '1970-01-01 09:00')::int";
    for name in ["s", ""] {
        let (mut one, mut two) = (client(&pgweir), client(&pgweir));
        prepare(&mut two, name, text, &[]);
        let there = value(&mut two, name, &[]);
        one.ask("begin");
        one.ask("set local timezone = 'Asia/Tokyo'");
        prepare(&mut one, name, text, &[]);
        assert_eq!(value(&mut one, name, &[]), "0", "as the transaction has it");
        one.ask("commit");
        assert_eq!(value(&mut two, name, &[]), there);
        let mut three = client(&pgweir);
        prepare(&mut three, name, text, &[]);
        assert_eq!(value(&mut three, name, &[]), there);
    }
    // For the session: its own statements, on its own server.
    let mut one = client(&pgweir);
    one.ask("set timezone = 'Asia/Tokyo'");
    prepare(&mut one, "s", text, &[]);
    assert_eq!(value(&mut one, "s", &[]), "0");
}

#[test]
fn names_of_any_kind_work_as_in_postgres() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    // Describe and Close may have 10,000 bytes in Postgres, Parse and Bind what they like.
    let (long, longest) = ("n".repeat(9_900), "n".repeat(64 * 1024));
    let mut pair = Pair::new(&cluster, &pgweir);
    pair.ask(&[parse(&longest, "select 1", &[]), bind("", &longest, &[]), run(""), sync()]);
    let names: [&[u8]; 7] = [
        long.as_bytes(),
        &[b'x'; 63],
        &[b'x'; 64],
        "n\u{e4}me".as_bytes(),
        b"bad \xff name",
        b"with \"quotes\" and $1",
        b"_pgweir_0",
    ];
    for name in names {
        let mut pair = Pair::new(&cluster, &pgweir);
        pair.ask(&[bind("", name, &[]), sync()]);
        pair.ask(&[parse(name, "select $1::text", &[]), sync()]);
        pair.ask(&[describe(b'S', name), sync()]);
        pair.ask(&[bind("", name, &[Some(b"x")]), run(""), sync()]);
        if name.len() <= 63 {
            // Errors speak of longer names as far as Postgres keeps them.
            pair.ask(&[bind("", name, &[]), sync()]);
            pair.ask(&[parse(name, "select 2", &[]), sync()]);
        }
        pair.ask(&[close(b'S', name), bind("", name, &[]), sync()]);
        let twin = &name[..name.len().min(63)];
        pair.ask(&[parse(name, "select 3", &[]), bind("", twin, &[]), run(""), sync()]);
    }
}

#[test]
fn pgweirs_own_names_are_out_of_clients_reach() {
    let cluster = shop();
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let (mut owner, mut guest) = (client(&pgweir), client(&pgweir));
    prepare(&mut owner, "s", "select 'secret'", &[]);
    let mut sql = client(&pgweir);
    let name = sql.ask_value("select name from pg_prepared_statements");
    assert!(name.starts_with("_pgweir_"), "{name}");
    assert_eq!(value(&mut guest, &name, &[]), "26000");
    guest.send(&[describe(b'S', &name), sync()].concat()).unwrap();
    assert_eq!(guest.until_ready()[0].sqlstate().as_deref(), Some("26000"));
    guest.send(&[close(b'S', &name), sync()].concat()).unwrap();
    assert_eq!(guest.until_ready()[0].tag, b'3');
    owner.ask("begin");
    assert_eq!(value(&mut owner, "s", &[]), "secret");
    owner.ask("commit");
    // In SQL it can be dropped; then it is prepared anew.
    guest.ask(&format!("deallocate {name}"));
    owner.ask("begin");
    assert_eq!(value(&mut owner, "s", &[]), "secret");
}

#[test]
fn discard_all_in_a_loop_confuses_nobody() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let (mut one, mut two) = (client(&pgweir), client(&pgweir));
    prepare(&mut two, "t", "select 'two'", &[]);
    for round in 0..50 {
        prepare(&mut one, "s", "select 'one'", &[]);
        assert_eq!(value(&mut one, "s", &[]), "one");
        assert_eq!(value(&mut two, "t", &[]), "two");
        if round % 3 == 0 {
            one.ask("set work_mem = '5MB'");
        }
        one.ask("discard all");
        assert_eq!(value(&mut two, "t", &[]), "two");
        assert_eq!(value(&mut one, "s", &[]), "26000");
    }
}

#[test]
fn parameters_and_a_large_parse_reach_a_fresh_server_in_one_piece() {
    let cluster = shop();
    let pgweir = pool_of(1, cluster.primary().address()).start();
    for zone in ["Asia/Tokyo", "UTC", "Europe/Paris"] {
        let mut client = pgweir.client(&login().parameter("TimeZone", zone));
        let long = "x".repeat(300_000);
        let sql = format!("select current_setting('timezone'), '{long}'");
        client.send(&[parse("s", sql, &[]), bind("", "s", &[]), run(""), sync()].concat()).unwrap();
        let frames = client.until_ready();
        assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some(zone));
    }
}

#[test]
fn statements_for_one_use_and_flushes_keep_their_order() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    for round in 0..20 {
        let name = format!("once_{}", round % 3);
        let sql = format!("select $1::int4 + {}", round % 5);
        pair.ask(&[
            parse(&name, &sql, &[]),
            describe(b'S', &name),
            flush(),
            bind_with("p", &name, &[1], &[Some(&round_bytes(round))], &[1]),
            run("p"),
            close(b'P', "p"),
            close(b'S', &name),
            sync(),
        ]);
    }
    // COPY inside a batch, both ways, by shared statements.
    cluster.primary().open_sql("shop").unwrap().run("create table c as select 1 as n").unwrap();
    pair.ask(&[parse("out", "copy c to stdout", &[]), bind("", "out", &[]), run(""), sync()]);
    pair.ask(&[bind("", "out", &[]), run(""), close(b'S', "out"), sync(), query("select 1")]);
}

fn round_bytes(round: i32) -> [u8; 4] {
    round.to_be_bytes()
}

#[test]
fn session_mode_passes_names_as_they_are() {
    let cluster = shop();
    let pgweir =
        pool_of(2, cluster.primary().address()).set("defaults", "pool_mode = \"session\"").start();
    let mut pair = Pair::new(&cluster, &pgweir);
    pair.ask(&[parse("mine", "select 1", &[]), parse("_pgweir_0", "select 2", &[]), sync()]);
    pair.ask(&[query("select name from pg_prepared_statements order by 1")]);
    pair.ask(&[query("execute mine"), query("execute _pgweir_0"), query("deallocate mine")]);
    pair.ask(&[bind("", "mine", &[]), sync()]);
}

#[test]
fn limits_of_zero_share_nothing() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address())
        .set("defaults", "max_prepared_statements = 0")
        .start();
    let mut client = pgweir.client(&Login::new("postgres", "shop"));
    prepare(&mut client, "mine", "select 1", &[]);
    assert_eq!(client.ask_value("select name from pg_prepared_statements"), "mine");
    assert_eq!(value(&mut client, "mine", &[]), "1");
}

/// A text that may have dropped statements makes none of them lost to the count.
#[test]
fn code_that_may_have_dropped_statements_makes_a_server_keep_no_more() {
    let cluster = shop();
    let pgweir = pool_of(1, cluster.primary().address())
        .set("defaults", "max_prepared_statements = 5")
        .start();
    let mut client = client(&pgweir);
    for round in 0..40 {
        let name = format!("n{}", round % 8);
        let sql = format!("select {round}::int4");
        client.send(&[close(b'S', &name), parse(&name, sql, &[]), sync()].concat()).unwrap();
        client.until_ready();
        let older = format!("n{}", (round + 3) % 8);
        let batch = [parse("", "selec", &[]), bind("", &older, &[]), run(""), sync()];
        client.send(&batch.concat()).unwrap();
        client.until_ready();
        client.ask("select 1/0; deallocate all");
        let count = there(&mut client);
        assert!(count <= 5, "{count} in round {round}");
    }
}

#[test]
fn a_parse_that_is_answered_here_ends_a_copy_as_in_postgres() {
    let cluster = shop();
    cluster.primary().open_sql("shop").unwrap().run("create table c (n int)").unwrap();
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    pair.ask(&[parse("known", "select 1", &[]), sync()]);
    let copy = [parse("", "copy c from stdin", &[]), bind("", "", &[]), run("")];
    let batch = [&copy[..], &[parse("again", "select 1", &[]), sync()]].concat().concat();
    let ask = |client: &mut RawClient| {
        client.send(&batch).unwrap();
        told(&client.until_closed())
    };
    let (direct, through) = (ask(&mut pair.direct), ask(&mut pair.through));
    // Postgres says in one error more that it closes the connection.
    assert_eq!(direct[..direct.len() - 1], through, "Postgres on the left, pgweir on the right");
    assert!(through.last().is_some_and(|line| line.contains("during COPY")), "{through:?}");
    let mut other = client(&pgweir);
    assert_eq!(other.ask_value("select count(*) from c"), "0");
}
