//! Servers that are terminated or crash: idle, running something, idle in a transaction, pinned.

use std::time::Instant;

use pgweir::cluster::process::Signal;

use super::{
    kept, only_error, status, tags, terminate_backends, unnamed, wait_for_running, with_table,
};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_for, wait_until};
use crate::harness::front;
use crate::harness::message;
use crate::harness::nonce::Nonce;

#[test]
fn idle_servers_that_are_terminated_are_not_noticed_by_any_client() {
    let cluster = front::shop();
    let pgweir = front::pool_of(5, cluster.primary().address()).start();
    let plan = Nonce::new(pgweir.listen(), front::login()).clients(50).rounds(5);
    plan.run().assert_all_ok(250);
    let mut clients: Vec<_> = (0..20).map(|_| front::client(&pgweir)).collect();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for round in 0..20 {
        assert!(terminate_backends(&cluster) > 0);
        for (number, client) in clients.iter_mut().enumerate() {
            let asked = format!("{round}:{number}");
            assert_eq!(client.ask_value(&format!("select '{asked}'")), asked);
        }
    }
    drop(clients);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_statement_whose_server_is_terminated_gets_one_error_and_its_session_goes_on() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut client = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let sleep = "select pg_sleep(60)";
    let batch = [unnamed(sleep), message::sync()].concat();
    let ahead = [batch.clone(), message::query("select 1"), batch.clone()].concat();
    for (request, units) in [
        (message::query(sleep), 1),
        (message::query(format!("select 1; {sleep}")), 1),
        (batch, 1),
        // What was sent ahead fails with it, each with its own end.
        (ahead, 3),
    ] {
        client.send(&request).unwrap();
        wait_for_running(&cluster, "pg_sleep(60)");
        assert_eq!(terminate_backends(&cluster), 1);
        for unit in 0..units {
            let mut frames = client.until_ready();
            // What Postgres had to say before it goes out only when its buffer does.
            frames.retain(|frame| matches!(frame.tag, b'E' | b'Z'));
            let shown = format!("unit {unit} of {units}: {frames:?}");
            assert_eq!(tags(&frames), "EZ", "{shown}");
            assert_eq!(
                (only_error(&frames).as_str(), status(&frames)),
                ("57P01", Some('I')),
                "{shown}"
            );
            assert_eq!(frames[0].field(b'S').as_deref(), Some("ERROR"), "{shown}");
        }
        assert_eq!(client.ask_value("select 'on'"), "on");
    }
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_batch_without_sync_whose_server_is_terminated_is_skipped_to_its_sync() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut client = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    client.send(&[unnamed("select pg_sleep(60)"), message::flush()].concat()).unwrap();
    wait_for_running(&cluster, "pg_sleep(60)");
    assert_eq!(terminate_backends(&cluster), 1);
    assert_eq!(client.until(b'E').last().unwrap().sqlstate().as_deref(), Some("57P01"));
    client.send(&[unnamed("select 1"), message::sync()].concat()).unwrap();
    assert_eq!(tags(&client.until_ready()), "Z");
    client.send(&[unnamed("select 'on'"), message::sync()].concat()).unwrap();
    assert_eq!(tags(&client.until_ready()), "12DCZ");
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_lost_transaction_is_told_by_the_next_message_whatever_that_is() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut client = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let batch = |sql: &str| [unnamed(sql), message::sync()].concat();
    let insert = "insert into kept values (2)";
    for (next, answer, after) in [
        (message::query(insert), "EZ", 'E'),
        (batch(insert), "EZ", 'E'),
        (message::query("commit"), "EZ", 'I'),
        (message::query("rollback"), "CZ", 'I'),
        (batch("rollback"), "12CZ", 'I'),
        (message::query("savepoint a"), "EZ", 'E'),
        (message::query("select 1; commit"), "EZ", 'E'),
    ] {
        client.ask("begin");
        client.ask("insert into kept values (1)");
        assert_eq!(terminate_backends(&cluster), 1);
        client.send(&next).unwrap();
        let frames = client.until_ready();
        let shown = format!("{answer} {after}: {frames:?}");
        assert_eq!((tags(&frames).as_str(), status(&frames)), (answer, Some(after)), "{shown}");
        if answer == "EZ" {
            assert_eq!(only_error(&frames), "57P01", "{shown}");
            assert_eq!(frames[0].field(b'S').as_deref(), Some("ERROR"));
        }
        if after == 'E' {
            // Told once; then it is a failed transaction like any other.
            assert_eq!(only_error(&client.ask(insert)), "25P02");
            assert_eq!(client.ask("commit")[0].command_tag().as_deref(), Some("ROLLBACK"));
        }
        assert_eq!(client.ask_value("select count(*) from kept"), "0");
    }
    // COMMIT in a batch.
    client.ask("begin");
    assert_eq!(terminate_backends(&cluster), 1);
    client.send(&batch("commit")).unwrap();
    let frames = client.until_ready();
    assert_eq!((only_error(&frames).as_str(), status(&frames)), ("57P01", Some('I')));
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn nothing_is_said_to_a_client_whose_transaction_was_lost_before_it_asks() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    client.ask("begin");
    assert_eq!(terminate_backends(&cluster), 1);
    // Its place is free for others, at once.
    let began = Instant::now();
    assert_eq!(other.ask_value("select 'mine'"), "mine");
    assert!(began.elapsed() < secs(5));
    client.set_deadline(std::time::Duration::from_millis(200));
    assert!(client.reply().is_err(), "something was said unasked");
}

#[test]
fn a_crash_of_the_server_is_told_in_its_own_words_or_as_a_lost_connection() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let (mut runs, mut idles, mut rests) =
        (front::client(&pgweir), front::client(&pgweir), front::client(&pgweir));
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    idles.ask("begin");
    runs.send(&message::query("select pg_sleep(60)")).unwrap();
    wait_for_running(&cluster, "pg_sleep(60)");
    let question = "select pid from pg_stat_activity where query like '%pg_sleep(60)%' \
                    and pid <> pg_backend_pid()";
    let pid = cluster.primary().sql("postgres", question).unwrap()[0][0].clone().unwrap();
    cluster.primary().signal_backend(pid.parse().unwrap(), Signal::Kill).unwrap();
    let error = only_error(&runs.until_ready());
    assert!(["08006", "57P02"].contains(&error.as_str()), "{error}");
    // All other backends are ended as well; whether the news or the question comes first is open.
    let lost = || Some(idles.ask("select 1")).filter(|frames| status(frames) != Some('T'));
    let error = only_error(&wait_for("the loss", secs(10), lost));
    assert!(["08006", "57P01"].contains(&error.as_str()), "{error}");
    idles.ask("rollback");
    for client in [&mut runs, &mut idles, &mut rests] {
        assert_eq!(client.ask_value("select 'on'"), "on");
    }
    drop((runs, idles, rests));
    accounts.assert_settled(secs(20));
}

#[test]
fn a_commit_that_is_not_answered_is_told_as_unknown() {
    // It waits for a standby that does not exist, as if the answer were on its way.
    let absent = "synchronous_standby_names = 'nobody'";
    let cluster = front::shop_options().conf(absent).start().unwrap();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut client = front::client(&pgweir);
    client.ask("begin; set local synchronous_commit = on");
    client.ask("insert into kept values (1)");
    client.send(&message::query("commit")).unwrap();
    let waits = "select 1 from pg_stat_activity where wait_event = 'SyncRep'";
    wait_until("it commits", secs(10), || {
        !cluster.primary().sql("postgres", waits).unwrap().is_empty()
    });
    assert_eq!(terminate_backends(&cluster), 1);
    let frames = client.until_ready();
    assert_eq!((only_error(&frames).as_str(), status(&frames)), ("08007", Some('I')));
    assert_eq!(kept(&cluster), ["1"]);
}

#[test]
fn a_pinned_session_whose_server_is_terminated_ends_and_says_why() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    client.ask("create temp table mine (n int)");
    assert_eq!(terminate_backends(&cluster), 1);
    let frames = client.until_closed();
    assert_eq!(only_error(&frames), "57P01");
    assert_eq!(frames[0].field(b'S').as_deref(), Some("FATAL"));
    assert_eq!(front::client(&pgweir).ask_value("select 'next'"), "next");
    accounts.assert_settled(secs(10));
}
