//! LISTEN in transaction mode: one connection listens for all clients of a pool, none of them keeps
//! a server, and nothing is missed.

use std::thread;
use std::time::Instant;

use pgweir::cluster::{Cluster, Node};

use crate::harness::accounting::{Accounting, activity};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::front::{self, client, pool_of, shop};
use crate::harness::message;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{Login, RawClient};

const LISTENERS: &str = "select count(*) from pg_stat_activity \
                         where application_name = 'pgweir listener'";

/// Connections that listen, as Postgres sees them.
fn listeners(node: &Node) -> u64 {
    let rows = node.sql("postgres", LISTENERS).unwrap();
    rows[0][0].as_deref().and_then(|count| count.parse().ok()).unwrap()
}

/// A NotificationResponse: process id, channel, payload.
fn notification(frame: &Frame) -> (u32, String, String) {
    assert_eq!(frame.tag, b'A', "{frame:?}");
    let pid = u32::from_be_bytes(frame.body[..4].try_into().unwrap());
    let mut texts = frame.body[4..].split(|byte| *byte == 0);
    let mut text = || String::from_utf8(texts.next().unwrap().to_vec()).unwrap();
    (pid, text(), text())
}

/// The next notification, as `channel:payload`.
#[track_caller]
fn told(client: &mut RawClient) -> String {
    let (_, channel, payload) = notification(&client.frame());
    format!("{channel}:{payload}")
}

#[track_caller]
fn ask(client: &mut RawClient, sql: &str) {
    let frames = client.ask(sql);
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{sql}: {frames:?}");
}

/// What the process says of its pools: connections that listen, and pinned sessions.
fn state(accounts: &Accounting<'_>) -> (u64, u64) {
    let pools = accounts.state().pools;
    (pools.iter().map(|p| p.listeners).sum(), pools.iter().map(|p| p.pinned).sum())
}

fn two_loops(cluster: &Cluster) -> Pgweir {
    pool_of(4, cluster.primary().address()).set("server", "workers = 2").start()
}

#[test]
fn many_clients_on_few_servers_hear_what_they_listen_to() {
    let cluster = shop();
    let pgweir = two_loops(&cluster);
    let mut speaker = client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut clients: Vec<_> = (0..24).map(|_| client(&pgweir)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        ask(client, "listen everybody");
        ask(client, &format!("listen group_{}", n % 3));
        ask(client, &format!("listen only_{n}"));
        ask(client, "select 1");
    }
    assert_eq!(listeners(cluster.primary()), 1);
    assert_eq!(state(&accounts), (1, 0), "nobody keeps a server");
    let mut outside = cluster.primary().open_sql("shop").unwrap();
    for round in 0..20 {
        let mut notify = |channel: &str| {
            let text = format!("notify {channel}, '{round}'");
            if round % 2 == 0 {
                outside.run(&text).unwrap();
            } else {
                ask(&mut speaker, &text);
            }
        };
        notify("everybody");
        (0..3).for_each(|n| notify(&format!("group_{n}")));
        (0..24).for_each(|n| notify(&format!("only_{n}")));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        for round in 0..20 {
            assert_eq!(told(client), format!("everybody:{round}"));
            assert_eq!(told(client), format!("group_{}:{round}", n % 3));
            assert_eq!(told(client), format!("only_{n}:{round}"));
        }
    }
    drop((clients, speaker, outside));
    wait_until("nobody listens", secs(10), || listeners(cluster.primary()) == 0);
    accounts.assert_settled(secs(10));
}

#[test]
fn what_is_notified_right_after_the_commit_is_never_missed() {
    const ROUNDS: usize = 500;
    let cluster = shop();
    let pgweir = two_loops(&cluster);
    let mut listener = client(&pgweir);
    let mut speaker = client(&pgweir);
    let mut outside = cluster.primary().open_sql("shop").unwrap();
    // Others take the servers away in between.
    let busy = thread::spawn({
        let mut other = client(&pgweir);
        move || (0..ROUNDS).for_each(|_| ask(&mut other, "select 1"))
    });
    for round in 0..ROUNDS {
        let channel = format!("c{round}");
        match round % 4 {
            0 => ask(&mut listener, &format!("listen {channel}")),
            1 => ask(&mut listener, &format!("begin; listen {channel}; commit")),
            2 => {
                ask(&mut listener, "begin");
                ask(&mut listener, &format!("listen {channel}"));
                ask(&mut listener, "commit");
            }
            _ => {
                let text = format!("listen {channel}");
                let batch = [
                    message::parse("", &text, &[]),
                    message::bind("", "", &[]),
                    message::execute("", 0),
                    message::sync(),
                ];
                listener.send(&batch.concat()).unwrap();
                listener.until_ready();
            }
        }
        let notify = format!("notify {channel}, 'x'");
        if round % 2 == 0 {
            drop(outside.run(&notify).unwrap());
        } else {
            ask(&mut speaker, &notify);
        }
        assert_eq!(told(&mut listener), format!("{channel}:x"));
        if round % 3 == 0 {
            ask(&mut listener, "unlisten *");
        }
    }
    busy.join().unwrap();
}

#[test]
fn a_channel_is_of_its_database() {
    let cluster = Cluster::options().database("shop").database("store").start().unwrap();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut clients: Vec<_> =
        ["shop", "store"].map(|db| pgweir.client(&Login::new("postgres", db))).into();
    for client in &mut clients {
        ask(client, "listen news");
    }
    assert_eq!(listeners(cluster.primary()), 2);
    for database in ["shop", "store"] {
        cluster.primary().sql(database, &format!("notify news, 'of {database}'")).unwrap();
    }
    for (client, database) in clients.iter_mut().zip(["shop", "store"]) {
        assert_eq!(told(client), format!("news:of {database}"));
        ask(client, "unlisten news");
        assert!(!client.has_unread());
    }
    wait_until("nobody listens", secs(10), || listeners(cluster.primary()) == 0);
}

#[test]
fn listen_follows_transactions_and_statements_of_every_kind() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut client = client(&pgweir);
    let mut outside = cluster.primary().open_sql("shop").unwrap();
    let send = |client: &mut RawClient, messages: &[Vec<u8>]| {
        client.send(&messages.concat()).unwrap();
        let frames = client.until_ready();
        assert!(frames.iter().all(|frame| frame.tag != b'E'), "{frames:?}");
    };
    let run = [message::bind("", "named", &[]), message::execute("", 0), message::sync()];
    send(&mut client, &[message::parse("named", "listen of_name", &[]), message::sync()]);
    send(&mut client, &run);
    for text in [
        "begin; listen gone; rollback",
        "begin; listen kept; savepoint s; listen gone; rollback to s; commit",
        "listen \"A b\"; listen \"quo\"\"te\"",
        "listen Folded",
    ] {
        ask(&mut client, text);
    }
    let failed = client.ask("listen gone; select 1/0");
    assert!(failed.iter().any(|frame| frame.tag == b'E'));
    let long = "x".repeat(70);
    ask(&mut client, &format!("listen {long}"));
    for channel in ["gone", "of_name", "kept", "\"A b\"", "\"quo\"\"te\"", "folded", &long[..63]] {
        outside.run(&format!("notify {channel}")).unwrap();
    }
    let heard: Vec<_> = (0..6).map(|_| told(&mut client)).collect();
    let expected = ["of_name", "kept", "A b", "quo\"te", "folded", &long[..63]];
    assert_eq!(heard, expected.map(|channel| format!("{channel}:")));
    // In a failed transaction Postgres refuses it, as always.
    client.ask("begin; select 1/0");
    let refused = client.ask("listen late");
    assert_eq!(refused.iter().find_map(Frame::sqlstate).as_deref(), Some("25P02"));
    ask(&mut client, "rollback");
    ask(&mut client, "discard all");
    wait_until("nobody listens", secs(10), || listeners(cluster.primary()) == 0);
}

#[test]
fn within_a_transaction_nothing_is_told() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut client = client(&pgweir);
    ask(&mut client, "listen news");
    ask(&mut client, "begin");
    cluster.primary().sql("shop", "notify news, 'one'").unwrap();
    ask(&mut client, "notify news, 'own'");
    // It has come by then.
    let mut other = front::client(&pgweir);
    ask(&mut other, "listen news");
    cluster.primary().sql("shop", "notify news, 'two'").unwrap();
    assert_eq!(told(&mut other), "news:two");
    let frames = client.ask("select 1");
    assert!(frames.iter().all(|frame| frame.tag != b'A'), "{frames:?}");
    let frames = client.ask("commit");
    assert!(frames.iter().all(|frame| frame.tag != b'A'), "{frames:?}");
    let heard: Vec<_> = (0..3).map(|_| told(&mut client)).collect();
    assert_eq!(heard, ["news:one", "news:two", "news:own"]);
}

#[test]
fn a_listener_that_is_terminated_ends_those_who_listen_and_nobody_else() {
    let cluster = shop();
    let pgweir = two_loops(&cluster);
    let mut other = client(&pgweir);
    ask(&mut other, "select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut clients: Vec<_> = (0..4).map(|_| client(&pgweir)).collect();
    clients.iter_mut().for_each(|client| ask(client, "listen news"));
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity \
                     where application_name = 'pgweir listener'";
    cluster.primary().sql("postgres", terminate).unwrap();
    for client in &mut clients {
        let frames = client.until_closed();
        assert_eq!(frames[0].sqlstate().as_deref(), Some("57P01"), "{frames:?}");
    }
    ask(&mut other, "listen news");
    ask(&mut other, "notify news, 'again'");
    assert_eq!(told(&mut other), "news:again");
    drop((clients, other));
    wait_until("nobody listens", secs(10), || listeners(cluster.primary()) == 0);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_database_can_be_copied_and_dropped_while_somebody_listens_there() {
    let cluster = shop();
    let pgweir = two_loops(&cluster);
    let mut dba = pgweir.client(&Login::new("postgres", "postgres"));
    let mut listener = client(&pgweir);
    ask(&mut listener, "listen news");
    ask(&mut dba, "create database copy template shop");
    wait_until("it listens again", secs(10), || listeners(cluster.primary()) == 1);
    // LISTEN has been confirmed when a new client's is answered.
    let mut second = client(&pgweir);
    ask(&mut second, "listen more");
    cluster.primary().sql("shop", "notify news, 'after'").unwrap();
    assert_eq!(told(&mut listener), "news:after");
    ask(&mut dba, "drop database shop");
    let frames = listener.until_closed();
    assert_eq!(frames[0].sqlstate().as_deref(), Some("57P01"), "{frames:?}");
    assert_eq!(activity(cluster.primary(), "shop", "postgres"), 0);
}

#[test]
fn whoever_listens_holds_up_none_of_several_copies_in_a_row() {
    let cluster = shop();
    let pgweir = two_loops(&cluster);
    let mut dba = pgweir.client(&Login::new("postgres", "postgres"));
    let mut listener = client(&pgweir);
    ask(&mut listener, "listen news");
    let began = Instant::now();
    for n in 0..5 {
        ask(&mut dba, &format!("create database copy_{n} template shop"));
    }
    // After 5 s a statement no longer waits for a connection to be closed: here it has not been dialled again.
    assert!(began.elapsed() < secs(10), "five copies in {:?}", began.elapsed());
    ask(&mut client(&pgweir), "listen more");
    cluster.primary().sql("shop", "notify news, 'after'").unwrap();
    assert_eq!(told(&mut listener), "news:after");
}

#[test]
fn where_nobody_can_listen_for_it_a_session_keeps_its_server() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).start();
    let mut first = client(&pgweir);
    ask(&mut first, "listen other_encoding_comes_later");
    // Payloads would come in the encoding of the connection that listens.
    let mut latin = client(&pgweir);
    ask(&mut latin, "set client_encoding = 'LATIN1'");
    ask(&mut latin, "listen news");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    assert_eq!(state(&accounts), (1, 1));
    cluster.primary().sql("shop", "notify news, 'gr\u{fc}n'").unwrap();
    let frame = latin.frame();
    assert!(frame.body.ends_with(b"gr\xfcn\0"), "{frame:?}");
}

#[test]
fn the_console_and_the_metrics_show_who_listens() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address()).set("admin", "admins = [\"postgres\"]");
    let pgweir = pgweir.start();
    let mut client = client(&pgweir);
    ask(&mut client, "listen news");
    ask(&mut client, "listen more");
    cluster.primary().sql("shop", "notify news").unwrap();
    assert_eq!(told(&mut client), "news:");
    let page = crate::harness::http::get(pgweir.http(), "/metrics");
    for (name, value) in [
        ("listener_connections", 1),
        ("listener_channels", 2),
        ("listener_clients", 1),
        ("listener_notifications_total", 1),
    ] {
        let line = page.lines().find(|line| {
            line.starts_with(&format!("pgweir_{name}{{")) && line.contains("database=\"shop\"")
        });
        assert!(line.is_some_and(|line| line.ends_with(&format!(" {value}"))), "{name}: {line:?}");
    }
    let mut console = pgweir.client(&Login::new("postgres", "pgweir"));
    let rows: Vec<_> = console.ask("SHOW SERVERS").iter().map(Frame::texts).collect();
    let listening: Vec<_> =
        rows.iter().filter(|row| row.iter().any(|text| text == "pgweir listener")).collect();
    assert_eq!(listening.len(), 1, "{rows:?}");
    assert!(listening[0].iter().any(|text| text == "listening"), "{listening:?}");
}

#[test]
fn a_restart_of_postgres_ends_those_who_listen_and_they_can_come_back() {
    let cluster = shop();
    let pgweir = two_loops(&cluster);
    let (mut listener, mut other) = (client(&pgweir), client(&pgweir));
    ask(&mut listener, "listen news");
    ask(&mut other, "select 1");
    cluster.primary().restart().unwrap();
    let frames = listener.until_closed();
    assert_eq!(frames[0].sqlstate().as_deref(), Some("57P01"), "{frames:?}");
    for mut client in [other, client(&pgweir)] {
        ask(&mut client, "listen news");
        cluster.primary().sql("shop", "notify news, 'again'").unwrap();
        assert_eq!(told(&mut client), "news:again");
    }
}

#[test]
fn roles_with_one_server_role_have_one_connection_that_listens() {
    let cluster = shop();
    let pgweir = pool_of(2, cluster.primary().address())
        .set("defaults", "server_role = \"postgres\"")
        .role("ann", "x")
        .role("ben", "x")
        .start();
    let mut clients: Vec<_> =
        ["ann", "ben"].map(|role| pgweir.client(&Login::new(role, "shop"))).into();
    clients.iter_mut().for_each(|client| ask(client, "listen news"));
    assert_eq!(listeners(cluster.primary()), 1);
    cluster.primary().sql("shop", "notify news, 'both'").unwrap();
    clients.iter_mut().for_each(|client| assert_eq!(told(client), "news:both"));
}

#[test]
fn when_pgweir_ends_nobody_listens_any_more() {
    let cluster = shop();
    let mut pgweir = two_loops(&cluster);
    let mut listener = client(&pgweir);
    ask(&mut listener, "listen news");
    assert!(pgweir.stop(secs(10)).success());
    let frames = listener.until_closed();
    assert_eq!(frames[0].sqlstate().as_deref(), Some("57P01"), "{frames:?}");
    wait_until("nobody listens", secs(10), || listeners(cluster.primary()) == 0);
}
