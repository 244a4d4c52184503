//! Limits that strike what Postgres itself would not end at once, and texts that would lift them: the same
//! as without pgweir.

use std::time::Duration;

use pgweir::cluster::Cluster;

use super::{front, limit};
use crate::harness::await_event::secs;
use crate::harness::message;
use crate::harness::raw::{Login, RawClient, Reply};

/// What comes up to ReadyForQuery, or to the end.
fn seen(client: &mut RawClient) -> String {
    let mut rows = 0;
    let mut out = String::new();
    loop {
        match client.reply() {
            Ok(Reply::Frame(frame)) if frame.tag == b'D' => rows += 1,
            Ok(Reply::Frame(frame)) => {
                out.push(char::from(frame.tag));
                if let (b'E', Some(code)) = (frame.tag, frame.sqlstate()) {
                    out.push_str(&code);
                }
                if frame.tag == b'Z' {
                    break;
                }
            }
            other => {
                out.push_str(&format!("{other:?}"));
                break;
            }
        }
    }
    format!("{} rows, {out}", if rows > 0 { "some" } else { "no" })
}

/// The same played straight to Postgres, whose role has the limit, and through pgweir, gives the same.
fn same_as_without_pgweir(play: impl Fn(&mut RawClient) -> String) {
    let cluster = Cluster::start().unwrap();
    let pgweir = limit(front(&cluster, &["web"]), "web", "statement_timeout", "2s").start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    let through = play(&mut client);
    cluster.primary().sql("postgres", "alter role web set statement_timeout = '2s'").unwrap();
    let address = cluster.primary().address().into();
    let straight = play(&mut RawClient::login(&address, &Login::new("web", "postgres")));
    assert!(straight.contains("57014"), "{straight}");
    assert_eq!(through, straight);
}

fn slow_reader(client: &mut RawClient) -> String {
    let text = "select repeat('x', 1000) from generate_series(1, 50000)";
    client.send(&message::query(text)).unwrap();
    std::thread::sleep(secs(9));
    let first = seen(client);
    format!("{first}; {:?}", client.send(&message::query("select 1")).map(|()| seen(client)))
}

fn stalled_copy(client: &mut RawClient) -> String {
    client.ask("create temp table t (n int)");
    client.send(&message::query("copy t from stdin")).unwrap();
    client.until(b'G');
    client.send(&message::copy_data("1\n")).unwrap();
    std::thread::sleep(secs(9));
    let sent = client.send(&[message::copy_data("2\n"), message::copy_done()].concat());
    let first = format!("{sent:?} {}", seen(client));
    format!("{first}; {:?}", client.send(&message::query("select 1")).map(|()| seen(client)))
}

#[test]
fn a_client_that_reads_slowly_gets_its_error_and_keeps_its_session() {
    same_as_without_pgweir(slow_reader);
}

#[test]
fn a_copy_whose_client_is_silent_ends_with_an_error_and_keeps_its_session() {
    same_as_without_pgweir(stalled_copy);
}

#[test]
fn a_commit_is_not_cut_where_postgres_cannot_be_asked() {
    // Nothing is ever confirmed.
    let cluster = Cluster::options().conf("synchronous_standby_names = 'nobody'").start().unwrap();
    let primary = cluster.primary();
    primary.sql("postgres", "create table t (n int)").unwrap();
    primary.sql("postgres", "grant all on t to public").unwrap();
    let options = front(&cluster, &["web"]);
    primary.sql("postgres", "alter role web set synchronous_commit = on").unwrap();
    cluster.primary().sql("postgres", "alter role web connection limit 1").unwrap();
    let pgweir = limit(options, "web", "statement_timeout", "500ms").start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    client.ask("begin");
    client.ask("insert into t values (1)");
    client.send(&message::query("commit")).unwrap();
    std::thread::sleep(secs(4));
    client.set_deadline(Duration::from_millis(100));
    let seen = seen(&mut client);
    assert!(!seen.contains('Z'), "it was cut: {seen}");
}

#[test]
fn nobody_lifts_a_limit_of_a_second() {
    let cluster = Cluster::start().unwrap();
    let pgweir = limit(front(&cluster, &["web"]), "web", "statement_timeout", "1s").start();
    let sleep = "select pg_sleep(8), 'slept'";
    let padded = format!("set statement_timeout = 0; {sleep};{}", "select 1;".repeat(100));
    let analyze = format!("analyze pg_class; {sleep}");
    let batch = |text: &str| {
        [message::parse("", text, &[]), message::bind("", "", &[]), message::execute("", 0)]
            .concat()
    };
    let unrun = [message::parse("", "vacuum", &[]), batch(sleep), message::sync()].concat();
    let mut lifted = Vec::new();
    for (name, request) in [
        ("SET and more statements behind", message::query(padded)),
        ("ANALYZE before", message::query(analyze)),
        ("a Parse of VACUUM that is not run", unrun),
    ] {
        let mut client = pgweir.client(&Login::new("web", "app"));
        client.set_deadline(secs(30));
        client.send(&request).unwrap();
        if !seen(&mut client).contains("57014") {
            lifted.push(name);
        }
    }
    let mut client = pgweir.client(&Login::new("web", "app"));
    client.set_deadline(secs(30));
    let set = batch("set statement_timeout = 0");
    client.send(&[set, message::flush()].concat()).unwrap();
    client.until(b'C');
    std::thread::sleep(secs(3));
    client.send(&[batch(sleep), message::sync()].concat()).unwrap();
    if !seen(&mut client).contains("57014") {
        lifted.push("SET in an open batch, and a pause");
    }
    assert!(lifted.is_empty(), "{lifted:?}");
}
