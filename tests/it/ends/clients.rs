//! Clients that go while something runs for them, or while they wait for it to.

use super::{WAYS_TO_GO, running, unnamed, wait_for_none_running, wait_for_running, with_table};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::front;
use crate::harness::message;
use crate::harness::nonce::Nonce;
use crate::harness::raw::{RawClient, Reply};

#[test]
fn the_statement_of_a_client_that_went_is_cancelled_and_its_server_used_again() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let server = front::client(&pgweir).ask_value("select pg_backend_pid()");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let sleep = "select pg_sleep(60)";
    let extended = [unnamed(sleep), message::sync()].concat();
    for request in [message::query(sleep), extended, [unnamed(sleep), message::flush()].concat()] {
        for going in WAYS_TO_GO {
            let mut client = front::client(&pgweir);
            client.send(&request).unwrap();
            wait_for_running(&cluster, "pg_sleep(60)");
            let half = going.go(client);
            wait_for_none_running(&cluster, "pg_sleep(60)");
            let mut next = front::client(&pgweir);
            assert_eq!(next.ask_value("select pg_backend_pid()"), server, "{going:?}");
            drop((half, next));
            accounts.assert_settled(secs(10));
        }
    }
}

#[test]
fn everything_that_a_client_had_sent_ahead_is_cancelled_when_it_went() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let queries = message::query("select pg_sleep(60)").repeat(5);
    let batches = [unnamed("select pg_sleep(60)"), message::sync()].concat().repeat(5);
    for requests in [queries, batches] {
        for going in WAYS_TO_GO {
            let mut client = front::client(&pgweir);
            client.send(&requests).unwrap();
            wait_for_running(&cluster, "pg_sleep(60)");
            let half = going.go(client);
            assert_eq!(front::client(&pgweir).ask_value("select 'next'"), "next", "{going:?}");
            assert_eq!(running(&cluster, "pg_sleep(60)"), 0, "{going:?}");
            drop(half);
            accounts.assert_settled(secs(10));
        }
    }
}

#[test]
fn a_client_that_went_is_noticed_though_its_server_takes_no_more() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    client.send(&message::query("select pg_sleep(60)")).unwrap();
    wait_for_running(&cluster, "pg_sleep(60)");
    let more = message::query(format!("select '{}'", "x".repeat(100_000)));
    client.fill_up(&more).unwrap();
    // A close would stand behind all of that in the client's own machine, as it would without pgweir.
    client.reset().unwrap();
    wait_for_none_running(&cluster, "pg_sleep(60)");
    assert_eq!(front::client(&pgweir).ask_value("select 'next'"), "next");
    accounts.assert_settled(secs(10));
}

#[test]
fn a_client_that_went_is_noticed_though_its_next_message_must_wait() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut other = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for going in WAYS_TO_GO {
        let mut client = front::client(&pgweir);
        client.send(&[message::parse("", "select 'mine'", &[]), message::sync()].concat()).unwrap();
        client.until_ready();
        // The server has another unnamed statement now, so that a Bind depends on what went before.
        other
            .send(&[message::parse("", "select 'others'", &[]), message::sync()].concat())
            .unwrap();
        other.until_ready();
        let sleep = message::query("select pg_sleep(60)");
        let bind = [message::bind("", "", &[]), message::execute("", 0), message::sync()].concat();
        client.send(&[sleep, bind].concat()).unwrap();
        wait_for_running(&cluster, "pg_sleep(60)");
        let half = going.go(client);
        wait_for_none_running(&cluster, "pg_sleep(60)");
        assert_eq!(other.ask_value("select 'next'"), "next", "{going:?}");
        drop(half);
    }
    drop(other);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_client_that_went_while_it_queued_is_not_served() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let waiting = || accounts.state().pools.iter().map(|pool| pool.waiting).sum::<u64>();
    let insert = "insert into kept values (1)";
    let padded = format!("{insert} -- {}", "x".repeat(200_000));
    let extended = [unnamed(insert), message::sync()].concat();
    for request in [message::query(insert), extended, message::query(padded)] {
        for going in WAYS_TO_GO {
            let (mut holder, mut waiter) = (front::client(&pgweir), front::client(&pgweir));
            holder.ask("begin");
            waiter.send(&request).unwrap();
            wait_until("it waits", secs(5), || waiting() == 1);
            let half = going.go(waiter);
            wait_until("it is gone", secs(5), || waiting() == 0);
            holder.ask("commit");
            assert_eq!(front::client(&pgweir).ask_value("select count(*) from kept"), "0");
            drop((half, holder));
            accounts.assert_settled(secs(10));
        }
    }
}

#[test]
fn clients_that_go_from_the_queue_leave_their_places_to_others() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut holder = front::client(&pgweir);
    holder.ask("begin");
    let mut waiters: Vec<_> = (0..200).map(|_| front::client(&pgweir)).collect();
    for (number, waiter) in waiters.iter_mut().enumerate() {
        waiter.send(&message::query(format!("select {number}"))).unwrap();
    }
    let mut stay = Vec::new();
    for (number, waiter) in waiters.into_iter().enumerate() {
        match number % 4 {
            3 => stay.push((number, waiter)),
            way => drop(WAYS_TO_GO[way].go(waiter)),
        }
    }
    holder.ask("commit");
    for (number, mut waiter) in stay {
        let rows = waiter.until_ready();
        assert_eq!(rows[1].first_text(), Some(number.to_string()));
    }
    drop(holder);
    accounts.assert_settled(secs(10));
}

/// Asks for a result that is never read to its end, and reads a little of it.
fn begin_to_read(client: &mut RawClient) {
    let rows = "select repeat('x', 10000) from generate_series(1, 1000000)";
    client.send(&message::query(rows)).unwrap();
    client.until(b'D');
}

#[test]
fn a_client_that_goes_while_a_result_streams_to_it_ends_its_statement() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    Nonce::new(pgweir.listen(), front::login()).clients(10).rounds(5).run().assert_all_ok(50);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for going in WAYS_TO_GO {
        for stopped in [false, true] {
            let mut client = front::client(&pgweir);
            begin_to_read(&mut client);
            if stopped {
                let waits = "select 1 from pg_stat_activity where wait_event = 'ClientWrite'";
                let waits = || !cluster.primary().sql("postgres", waits).unwrap().is_empty();
                wait_until("its server stops", secs(10), waits);
            }
            let half = going.go(client);
            wait_for_none_running(&cluster, "generate_series");
            drop(half);
            accounts.assert_settled(secs(10));
        }
    }
    Nonce::new(pgweir.listen(), front::login()).clients(10).rounds(20).run().assert_all_ok(200);
}

#[test]
fn a_client_that_closed_its_own_end_gets_a_long_result_whole() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    // Over three seconds, some rows all the time.
    let rows = "select repeat('x', 1000), pg_sleep(0.003) from generate_series(1, 1000)";
    client.send(&message::query(rows)).unwrap();
    client.half_close().unwrap();
    let mut count = 0;
    let last = loop {
        match client.reply().unwrap() {
            Reply::Frame(frame) if frame.tag == b'Z' => break client.reply().unwrap(),
            Reply::Frame(frame) => count += usize::from(frame.tag == b'D'),
            Reply::Closed(rest) => panic!("closed after {count} rows and {} bytes", rest.len()),
        }
    };
    assert_eq!((count, last), (1_000, Reply::Closed(Vec::new())));
    accounts.assert_settled(secs(10));
}
