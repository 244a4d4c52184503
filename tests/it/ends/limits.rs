//! Limits in time: of waiting for a server, of a server's idleness and age.

use std::time::Instant;

use super::{only_error, status, unnamed};
use crate::harness::accounting::{Accounting, activity};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::front;
use crate::harness::message;
use crate::harness::nonce::Nonce;

#[test]
fn a_client_that_waits_too_long_is_told_and_its_session_goes_on() {
    let cluster = front::shop();
    let options = front::pool_of(1, cluster.primary().address());
    let pgweir = options.set("defaults", "pool_wait_timeout = \"500ms\"").start();
    let (mut holder, mut waiter) = (front::client(&pgweir), front::client(&pgweir));
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    holder.ask("begin");
    let batch = [unnamed("select 1"), message::sync()].concat();
    for request in [message::query("select 1"), batch, message::query("begin")] {
        let began = Instant::now();
        waiter.send(&request).unwrap();
        let frames = waiter.until_ready();
        assert_eq!((only_error(&frames).as_str(), status(&frames)), ("53300", Some('I')));
        assert_eq!(frames[0].field(b'S').as_deref(), Some("ERROR"));
        let detail = frames[0].field(b'D').expect("a detail");
        assert!(detail.contains("500 ms") && detail.contains("one of 1 "), "{detail}");
        assert!(began.elapsed() < secs(3));
    }
    holder.ask("commit");
    assert_eq!(waiter.ask_value("select 'on'"), "on");
    drop((holder, waiter));
    accounts.assert_settled(secs(10));
}

#[test]
fn a_pipeline_that_waits_too_long_fails_one_request_after_the_other() {
    let cluster = front::shop();
    let options = front::pool_of(1, cluster.primary().address());
    let pgweir = options.set("defaults", "pool_wait_timeout = \"300ms\"").start();
    let (mut holder, mut waiter) = (front::client(&pgweir), front::client(&pgweir));
    holder.ask("begin");
    waiter.send(&message::query("select 1").repeat(3)).unwrap();
    for _ in 0..3 {
        assert_eq!(only_error(&waiter.until_ready()), "53300");
    }
    holder.ask("commit");
    assert_eq!(waiter.ask_value("select 'on'"), "on");
}

#[test]
fn servers_that_nobody_needs_are_closed() {
    let cluster = front::shop();
    let options = front::pool_of(5, cluster.primary().address());
    let pgweir = options.set("defaults", "server_idle_timeout = \"500ms\"").start();
    let mut client = front::client(&pgweir);
    let plan = Nonce::new(pgweir.listen(), front::login()).clients(20).rounds(20);
    plan.run().assert_all_ok(400);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    // The one that it holds is not idle, however long it says nothing.
    client.ask("begin");
    let server = client.ask_value("select pg_backend_pid()");
    let there = || activity(cluster.primary(), "shop", "postgres");
    wait_until("the others are closed", secs(10), || there() == 1);
    assert_eq!(client.ask_value("select pg_backend_pid()"), server);
    client.ask("commit");
    wait_until("it is closed too", secs(10), || there() == 0);
    assert_eq!(client.ask_value("select 'on'"), "on");
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn old_servers_are_replaced_but_not_under_a_transaction() {
    let cluster = front::shop();
    let options = front::pool_of(2, cluster.primary().address());
    let pgweir = options.set("defaults", "server_lifetime = \"1s\"").start();
    let (mut holder, mut client) = (front::client(&pgweir), front::client(&pgweir));
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    holder.ask("begin");
    let held = holder.ask_value("select pg_backend_pid()");
    let first = client.ask_value("select pg_backend_pid()");
    wait_until("another server", secs(10), || client.ask_value("select pg_backend_pid()") != first);
    assert_eq!(holder.ask_value("select pg_backend_pid()"), held);
    holder.ask("commit");
    wait_until("its server is gone", secs(10), || {
        let question = format!("select 1 from pg_stat_activity where pid = {held}");
        cluster.primary().sql("postgres", &question).unwrap().is_empty()
    });
    // While they are replaced all the time, nobody fails.
    let plan = Nonce::new(pgweir.listen(), front::login()).clients(10).rounds(2_000);
    plan.limit(secs(60)).run().assert_all_ok(20_000);
    drop((holder, client));
    accounts.assert_settled(secs(10));
}
