//! Unnamed statements that come again: servers keep them, and clients cannot tell.

use std::time::Instant;

use pgweir::cluster::{Cluster, SqlConnection};

use super::behaviours::{Pair, told};
use crate::harness::front::{client, login, pool_of, shop};
use crate::harness::http;
use crate::harness::message::{bind, bind_with, describe, execute, parse, query, sync};
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::RawClient;

/// One query as libpq's PQexecParams sends it.
fn exec(sql: &str, types: &[u32], parameters: &[Option<&[u8]>]) -> Vec<Vec<u8>> {
    let (parse, bind) = (parse("", sql, types), bind("", "", parameters));
    vec![parse, bind, describe(b'P', ""), execute("", 0), sync()]
}

fn value(client: &mut RawClient, sql: &str, types: &[u32], parameter: Option<&[u8]>) -> String {
    let parameters: Vec<_> = parameter.map(Some).into_iter().collect();
    client.send(&exec(sql, types, &parameters).concat()).unwrap();
    let frames = client.until_ready();
    frames.iter().find_map(|f| f.first_text().or_else(|| f.sqlstate())).unwrap()
}

/// How many Parse messages clients have sent, and how many servers have been sent.
fn parses(pgweir: &Pgweir) -> (u64, u64) {
    let page = http::get(pgweir.http(), "/metrics");
    let count = |name: &str| -> u64 {
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    (count("pgweir_client_parses_total"), count("pgweir_server_parses_total"))
}

fn sql(cluster: &Cluster, texts: &[&str]) -> SqlConnection {
    let mut sql = cluster.primary().open_sql("shop").unwrap();
    for text in texts {
        sql.run(text).unwrap();
    }
    sql
}

#[test]
fn each_server_parses_a_text_that_comes_again_once_a_second() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut clients: Vec<RawClient> = (0..10).map(|_| client(&pgweir)).collect();
    let began = Instant::now();
    let mut runs = 0;
    for round in 0..60 {
        let messages = exec("select $1::int4 + 1", &[], &[Some(round.to_string().as_bytes())]);
        // All at once, so that both servers have something to do.
        for client in &mut clients {
            client.send(&messages.concat()).unwrap();
        }
        for client in &mut clients {
            let frames = client.until_ready();
            let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
            assert_eq!(tags, "12TDCZ");
            assert_eq!(frames[3].first_text().unwrap(), (round + 1).to_string());
            runs += 1;
        }
    }
    let (from_clients, to_servers) = parses(&pgweir);
    assert_eq!(from_clients, runs);
    // The first sight, and the first use on each server in each second.
    let most = 1 + 2 * (began.elapsed().as_secs() + 2);
    assert!(to_servers <= most, "{to_servers} of {from_clients}, {most} are enough");
    let kept = "select statement from pg_prepared_statements";
    assert_eq!(clients[0].ask_value(kept), "select $1::int4 + 1");
}

#[test]
fn as_sent_means_as_sent() {
    let cluster = shop();
    let pgweir = pool_of(1, cluster.primary().address())
        .set("defaults", "unnamed_statements = \"as_sent\"")
        .start();
    let mut client = client(&pgweir);
    for _ in 0..10 {
        assert_eq!(value(&mut client, "select 5", &[], None), "5");
    }
    assert_eq!(parses(&pgweir), (10, 10));
    assert_eq!(client.ask_value("select count(*) from pg_prepared_statements"), "0");
}

#[test]
fn a_text_that_comes_once_leaves_nothing_on_a_server() {
    let cluster = shop();
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let mut client = client(&pgweir);
    for n in 0..1_000 {
        assert_eq!(value(&mut client, &format!("select {n}"), &[], None), n.to_string());
    }
    assert_eq!(client.ask_value("select count(*) from pg_prepared_statements"), "0");
}

/// DDL of others, in and out of transactions: every answer is what a Parse of now gets.
#[test]
fn ddl_shows_at_once_and_where_postgres_shows_it() {
    let cluster = shop();
    let mut sql = sql(
        &cluster,
        &[
            "create table t (n int, word text)",
            "insert into t values (1, 'a')",
            "create table sink (n int)",
        ],
    );
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    let batches = [
        exec("select * from t", &[], &[]),
        exec("select count(*) from t where n = $1", &[], &[Some(b"1")]),
        exec("select count(*) from t where n = $1", &[], &[Some(b"5000000000")]),
        exec("select count(*) from t where n = $1", &[], &[Some(b"not a number")]),
        exec("select word from t where word = $1", &[25], &[Some(b"a")]),
        exec("insert into sink values ($1)", &[], &[Some(b"2")]),
        exec("delete from t where n::text = $1", &[], &[Some(b"none")]),
        exec("select 1/n from t", &[], &[]),
        // One parameter too many.
        exec("select n from t", &[], &[Some(b"1")]),
        exec("update t set word = $1 where n is not null returning *", &[], &[Some(b"a")]),
    ];
    // In a transaction one of the two would wait for the other's rows.
    let in_transactions = &batches[..batches.len() - 1];
    let changes = [
        "alter table t add column extra int default 7",
        "alter table t alter column n type bigint",
        "alter table t alter column n type text using n::text",
        "alter table t alter column n type int using n::int",
        "alter table t drop column extra",
        "alter table sink alter column n type text",
        "alter table t rename column word to words",
        "alter table t rename column words to word",
        "drop table t",
        "create table t as select 1 as n, 'a'::text as word",
    ];
    for change in changes {
        // Each often enough for it to be kept; then with the change between.
        for batch in batches.iter().cycle().take(3 * batches.len()) {
            pair.ask(batch);
        }
        sql.run(change).unwrap();
        for batch in &batches {
            pair.ask(batch);
            pair.ask(batch);
        }
        for batch in in_transactions {
            pair.ask(&[query("begin"), query("select 1")]);
            pair.ask(batch);
            pair.ask(batch);
            pair.ask(&[query("rollback")]);
        }
    }
    let (from_clients, to_servers) = parses(&pgweir);
    assert!(to_servers < from_clients, "nothing was kept: {to_servers} of {from_clients}");
}

/// What no error would show: another function, another table, another type for a parameter.
#[test]
fn ddl_through_pgweir_counts_where_no_error_would_tell() {
    let cluster = shop();
    let mut sql = sql(
        &cluster,
        &[
            "create schema near; create schema far",
            "create table far.t as select 'far'::text as place, date '2024-01-02' as day",
            "create function far.f(numeric) returns text language sql immutable as $$ select 'numeric' $$",
        ],
    );
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let at = login().parameter("search_path", "near,far");
    let mut asking: Vec<RawClient> = (0..4).map(|_| pgweir.client(&at)).collect();
    let mut ddl = client(&pgweir);
    let mut ask_all = |text: &str, parameter: Option<&[u8]>, expected: &str| {
        for _ in 0..5 {
            for client in &mut asking {
                assert_eq!(value(client, text, &[], parameter), expected, "{text}");
            }
        }
    };
    ask_all("select place from t", None, "far");
    ask_all("select f(1)", None, "numeric");
    ask_all("select count(*) from far.t where day < $1", Some(b"2024-01-02 10:00"), "0");
    ddl.ask("create table near.t as select 'near'::text as place");
    ask_all("select place from t", None, "near");
    ddl.ask("begin; create function far.f(int) returns text language sql as $$ select 'int' $$");
    ask_all("select f(1)", None, "numeric");
    ddl.ask("commit");
    ask_all("select f(1)", None, "int");
    ddl.ask("alter table far.t alter column day type timestamptz");
    ask_all("select count(*) from far.t where day < $1", Some(b"2024-01-02 10:00"), "1");
    sql.run("drop table near.t").unwrap();
    ask_all("select place from t", None, "far");
}

#[test]
fn equal_texts_under_other_types_or_parameters_are_others() {
    let cluster = shop();
    drop(sql(
        &cluster,
        &[
            "create table public.t as select 'public' as n",
            "create schema one",
            "create table one.t as select 1 as n",
        ],
    ));
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let mut elsewhere = pgweir.client(&login().parameter("search_path", "one"));
    let mut here = client(&pgweir);
    for _ in 0..5 {
        assert_eq!(value(&mut here, "select n from t", &[], None), "public");
        assert_eq!(value(&mut elsewhere, "select n from t", &[], None), "1");
        for (oid, expected) in [(23, "integer"), (25, "text"), (1043, "character varying")] {
            let text = "select pg_typeof($1)::text";
            assert_eq!(value(&mut here, text, &[oid], Some(b"1")), expected);
        }
        // A setting of its own: it keeps its server and its Parse.
        let mut own = client(&pgweir);
        own.ask("set search_path = one");
        assert_eq!(value(&mut own, "select n from t", &[], None), "1");
    }
}

/// A named statement with the same text knows its parameters' types; an unnamed one learns them anew.
#[test]
fn what_a_named_statement_has_learned_is_not_the_unnamed_ones() {
    let cluster = shop();
    let mut sql = sql(&cluster, &["create table t as select 1 as n"]);
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    let text = "select n, $1 = n as same from t";
    pair.ask(&[parse("s", text, &[]), describe(b'S', "s"), sync()]);
    for _ in 0..4 {
        pair.ask(&exec(text, &[], &[Some(b"1")]));
    }
    sql.run("alter table t alter column n type text using 'one'").unwrap();
    pair.ask(&exec(text, &[], &[Some(b"one")]));
    pair.ask(&[bind("", "s", &[Some(b"1")]), execute("", 0), sync()]);
}

/// Whatever else a client does with the unnamed statement.
#[test]
fn the_unnamed_statement_is_the_clients_between_repeats() {
    let cluster = shop();
    let pgweir = pool_of(1, cluster.primary().address()).start();
    let mut pair = Pair::new(&cluster, &pgweir);
    let mut other = client(&pgweir);
    let again = [bind("", "", &[Some(b"4")]), execute("", 0), sync()];
    for _ in 0..4 {
        pair.ask(&exec("select $1::int4", &[], &[Some(b"3")]));
        pair.ask(&again);
        pair.ask(&[describe(b'S', ""), sync()]);
        value(&mut other, "select 'of another'", &[], None);
        pair.ask(&again);
        pair.ask(&exec("select $1::int4 / 0", &[], &[Some(b"3")]));
        pair.ask(&again);
        pair.ask(&[parse("", "selec", &[]), sync()]);
        pair.ask(&again);
        pair.ask(&exec("select $1::int4", &[], &[Some(b"no number")]));
        pair.ask(&again);
        pair.ask(&exec("select $1::int4", &[], &[]));
        pair.ask(&again);
        pair.ask(&exec("selec", &[], &[]));
        pair.ask(&again);
        pair.ask(&exec("select $1::int4", &[], &[Some(b"3")]));
        pair.ask(&[query("select 1")]);
        pair.ask(&again);
    }
    // Formats are each Bind's own.
    for formats in [&[][..], &[1], &[0], &[1]] {
        let bind = bind_with("", "", &[], &[Some(b"7")], formats);
        let parse = parse("", "select $1::int4", &[]);
        pair.ask(&[parse, bind, describe(b'P', ""), execute("", 0), sync()]);
    }
}

/// A batch that may have to be sent again is not overtaken by what its client sends behind it.
#[test]
fn a_client_that_does_not_wait_is_answered_in_order() {
    let cluster = shop();
    let mut sql = sql(&cluster, &["create table t as select 1 as n"]);
    let pgweir = pool_of(1, cluster.primary().address()).start();
    for round in 0..4 {
        let mut pair = Pair::new(&cluster, &pgweir);
        for _ in 0..3 {
            pair.ask(&exec("select * from t", &[], &[]));
        }
        sql.run(["alter table t add m int", "alter table t drop m"][round % 2]).unwrap();
        // The first holds both up until the other has been sent.
        sql.run("begin").unwrap();
        sql.run("lock table t").unwrap();
        let mut answers = Vec::new();
        for client in [&mut pair.direct, &mut pair.through] {
            client.send(&exec("select * from t", &[], &[]).concat()).unwrap();
            client
                .send(&[exec("select 2", &[], &[]).concat(), query("select 3")].concat())
                .unwrap();
        }
        sql.run("commit").unwrap();
        for client in [&mut pair.direct, &mut pair.through] {
            answers.push(told(&(0..3).flat_map(|_| client.until_ready()).collect::<Vec<_>>()));
        }
        assert_eq!(answers[0], answers[1], "Postgres on the left, pgweir on the right");
    }
}
