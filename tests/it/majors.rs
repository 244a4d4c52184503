//! What only some major versions of Postgres do. Each test runs on all of them, and knows what the others do instead.

use pgweir::cluster::ClusterError;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::Frame;
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::RawClient;

/// Without Sync.
fn unnamed(sql: &str) -> Vec<u8> {
    [message::parse("", sql, &[]), message::bind("", "", &[]), message::execute("", 0)].concat()
}

fn tags(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}

/// Postgres 18 says `I` to the Sync, is in a transaction all the same, and fails the next statement
/// with XX000.
#[test]
fn a_query_in_the_middle_of_a_batch_is_nobody_elses_harm() {
    let cluster = front::shop();
    cluster.primary().sql("shop", "create table kept (n int)").unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let middles = [
        message::query("select 2"),
        message::query("select 2; select 3"),
        // pi()
        message::function_call(1610, &[], &[], 0),
    ];
    for middle in middles {
        let mut first = front::client(&pgweir);
        let batch = unnamed("insert into kept values (1)");
        first.send(&[batch, middle, message::sync()].concat()).unwrap();
        for _ in 0..2 {
            let frames = first.until_ready();
            assert!(!tags(&frames).contains('E'), "{frames:?}");
        }
        // A function that is called by its oid may leave anything: the session keeps its server.
        first.send(&message::terminate()).unwrap();
        let mut second = front::client(&pgweir);
        assert_eq!(second.ask_value("select 'mine'"), "mine");
        assert_eq!(second.ask_value("select 'again'"), "again");
        drop((first, second));
    }
    accounts.assert_settled(secs(10));
}

/// From 17 on. pgweir's clients share connections: it fires for each of those.
#[test]
fn a_login_event_trigger_fires_once_for_each_server_connection() {
    let cluster = front::shop();
    let primary = cluster.primary();
    let prepare = "create table logins (pid int); \
                   create function note() returns event_trigger language plpgsql as $$ begin \
                   raise notice 'noted'; insert into logins values (pg_backend_pid()); end $$";
    primary.sql("shop", prepare).unwrap();
    let created =
        primary.sql("shop", "create event trigger on_login on login execute function note()");
    if primary.binaries().major() < 17 {
        let Err(ClusterError::Refused { message, .. }) = created else { panic!("{created:?}") };
        assert_eq!(message, "unrecognized event name \"login\"");
        return;
    }
    primary.sql("shop", "alter event trigger on_login enable always").unwrap();
    let pgweir = front::pool_of(1, primary.address()).start();
    let accounts = Accounting::of(&pgweir, &[primary]);
    for _ in 0..5 {
        let (mut client, greeting) =
            RawClient::try_login(&pgweir.address(), &front::login()).unwrap();
        assert!(!tags(&greeting).contains('N'), "a notice of another login: {greeting:?}");
        assert_eq!(tags(&client.ask("select 1")), "TDCZ");
        let own = "select count(*) from logins where pid = pg_backend_pid()";
        assert_eq!(client.ask_value(own), "1");
    }
    accounts.assert_settled(secs(10));
}

/// 18 reports `search_path` whenever it changes, also when pgweir changes it for the next client.
#[test]
fn clients_with_search_paths_of_their_own_share_a_server_unawares() {
    let cluster = front::shop();
    for schema in ["red", "blue"] {
        let sql =
            format!("create schema {schema}; create table {schema}.word as select '{schema}' as w");
        cluster.primary().sql("shop", &sql).unwrap();
    }
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let reports = cluster.primary().binaries().major() >= 18;
    let mut clients = Vec::new();
    for schema in ["red", "blue"] {
        let login = front::login().parameter("search_path", schema);
        let (client, greeting) = RawClient::try_login(&pgweir.address(), &login).unwrap();
        let reported = greeting.iter().find_map(|frame| {
            frame.body.strip_prefix(b"search_path\0").filter(|_| frame.tag == b'S')
        });
        let expected = format!("{schema}\0");
        assert_eq!(reported, reports.then_some(expected.as_bytes()));
        clients.push((client, schema));
    }
    for _ in 0..3 {
        for (client, schema) in &mut clients {
            let frames = client.ask("select w from word");
            assert_eq!(tags(&frames), "TDCZ");
            assert_eq!(frames[1].first_text().as_deref(), Some(*schema));
            // Changed and changed back: the client hears of both, of nothing else.
            client.ask("begin; set local search_path = 'pg_catalog'");
            let frames = client.ask("commit");
            assert!(frames.iter().filter(|frame| frame.tag == b'S').count() <= 1, "{frames:?}");
        }
    }
}
