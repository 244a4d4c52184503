//! Pinned sessions and the others: who keeps a server, and for how long.

use super::WORK_MEM;
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::front;
use crate::harness::message;
use crate::harness::nonce::Nonce;

#[test]
fn beside_a_pinned_session_the_others_share_what_is_left() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let plan = Nonce::new(pgweir.listen(), front::login()).clients(20).rounds(50);
    plan.clone().run().assert_all_ok(1_000);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut pinned = front::client(&pgweir);
    pinned.ask("do $$ begin set work_mem = '7MB'; end $$");
    let server = pinned.ask_value("select pg_backend_pid()");
    plan.run().assert_all_ok(1_000);
    assert_eq!(pinned.ask_value("select pg_backend_pid()"), server);
    assert_eq!(pinned.ask_value(WORK_MEM), "7MB");
    let mut other = front::client(&pgweir);
    assert_ne!(other.ask_value("select pg_backend_pid()"), server);
    drop((pinned, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn when_all_servers_are_pinned_the_others_wait_and_are_told() {
    let cluster = front::shop();
    let options = front::pool_of(2, cluster.primary().address());
    let pgweir = options.set("defaults", "pool_wait_timeout = \"500ms\"").start();
    let (mut one, mut two) = (front::client(&pgweir), front::client(&pgweir));
    let mut other = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    one.ask("do $$ begin set work_mem = '7MB'; end $$");
    two.ask("do $$ begin set work_mem = '8MB'; end $$");
    let frames = other.ask("select 1");
    assert_eq!(frames[0].sqlstate().as_deref(), Some("53300"), "{frames:?}");
    assert_eq!(one.ask_value(WORK_MEM), "7MB");
    assert_eq!(two.ask_value(WORK_MEM), "8MB");
    other.send(&message::query(WORK_MEM)).unwrap();
    let waiting = || accounts.state().pools.iter().map(|pool| pool.waiting).sum::<u64>();
    wait_until("it waits", secs(5), || waiting() == 1);
    // Given to the one that waits, but not as it was left.
    drop(one);
    let frames = other.until_ready();
    assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("4MB"));
    drop((two, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn a_session_that_vanishes_in_the_middle_of_what_pins_it_leaves_nothing() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for sql in [
        "set work_mem = '7MB'; select pg_sleep(60)",
        "begin; set work_mem = '7MB'; commit; select pg_sleep(60)",
        "select pg_advisory_lock(7), pg_sleep(60)",
        "create temp table mine as select 1; select pg_sleep(60)",
    ] {
        let mut client = front::client(&pgweir);
        client.send(&message::query(sql)).unwrap();
        let running = "select 1 from pg_stat_activity where state = 'active' and datname = 'shop'";
        let running = || !cluster.primary().sql("postgres", running).unwrap().is_empty();
        wait_until("it runs", secs(5), running);
        drop(client);
        let mut next = front::client(&pgweir);
        assert_eq!(next.ask_value(WORK_MEM), "4MB", "{sql}");
        assert_eq!(next.ask_value(super::ADVISORY), "0", "{sql}");
        assert_eq!(next.ask_value(super::TEMPORARY), "0", "{sql}");
        drop(next);
        accounts.assert_settled(secs(10));
    }
}

#[test]
fn what_another_had_from_a_sequence_is_not_told() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut other = front::client(&pgweir);
    other.ask("create sequence s; create table t (n int default nextval('s'))");
    let insert = "insert into t default values";
    for sql in ["select lastval()", "select currval('s')"] {
        for way in ["simple", "unnamed", "named"] {
            let mut client = front::client(&pgweir);
            other.ask(insert);
            let request = match way {
                "simple" => message::query(sql),
                "unnamed" => super::batch(sql, &[]),
                _ => [
                    message::parse("named", sql, &[]),
                    message::bind("", "named", &[]),
                    message::execute("", 0),
                    message::sync(),
                ]
                .concat(),
            };
            client.send(&request).unwrap();
            let frames = client.until_ready();
            let error = frames.iter().find(|frame| frame.tag == b'E').expect("nothing to tell");
            assert_eq!(error.sqlstate().as_deref(), Some("55000"), "{sql}, {way}");
            assert!(error.field(b'H').is_some_and(|hint| hint.contains("RETURNING")), "{error:?}");
            // From here on the server is its own.
            client.ask(insert);
            let last = cluster.primary().sql("shop", "select max(n) from t").unwrap();
            assert_eq!(Some(client.ask_value(sql)), last[0][0]);
        }
    }
    let mut client = front::client(&pgweir);
    client.ask("begin");
    client.ask(insert);
    let last = client.ask_value("select max(n) from t");
    assert_eq!(client.ask_value("select lastval()"), last);
    client.ask("commit");
}
