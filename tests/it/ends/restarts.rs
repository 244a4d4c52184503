//! Postgres stops, starts again, or is not there at all.

use std::time::{Duration, Instant};

use pgweir::cluster::Shutdown;

use super::{only_error, status, with_table};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::RawClient;

#[test]
fn clients_that_are_idle_stay_through_a_restart_and_go_on() {
    let cluster = front::shop();
    with_table(&cluster);
    let pgweir = front::pool_of(3, cluster.primary().address()).start();
    let mut clients: Vec<_> = (0..20).map(|_| front::client(&pgweir)).collect();
    let mut busy = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        busy.ask("begin; insert into kept values (1)");
        cluster.primary().stop(how).unwrap();
        cluster.primary().start().unwrap();
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.ask_value(&format!("select {number}")), number.to_string());
        }
        let frames = busy.ask("commit");
        assert_eq!((only_error(&frames).as_str(), status(&frames)), ("57P01", Some('I')));
        assert_eq!(busy.ask_value("select count(*) from kept"), "0");
    }
    drop((clients, busy));
    accounts.assert_settled(secs(10));
}

#[test]
fn requests_that_come_while_postgres_is_down_wait_for_it() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let mut clients: Vec<_> = (0..10).map(|_| front::client(&pgweir)).collect();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    cluster.primary().stop(Shutdown::Fast).unwrap();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&message::query(format!("select {number}"))).unwrap();
    }
    let waiting = || accounts.state().pools.iter().map(|pool| pool.waiting).sum::<u64>();
    wait_until("all wait", secs(5), || waiting() == 10);
    // One more, that logs in meanwhile: what it is greeted with is known.
    let mut late = front::client(&pgweir);
    cluster.primary().start().unwrap();
    for (number, client) in clients.iter_mut().enumerate() {
        let frames = client.until_ready();
        assert_eq!(frames[1].first_text(), Some(number.to_string()), "{frames:?}");
    }
    assert_eq!(late.ask_value("select 'late'"), "late");
    drop((clients, late));
    accounts.assert_settled(secs(10));
}

#[test]
fn a_login_while_postgres_is_down_waits_and_then_says_why() {
    let cluster = front::shop();
    let options = front::pool_of(2, cluster.primary().address());
    let pgweir = options.set("defaults", "pool_wait_timeout = \"1s\"").start();
    cluster.primary().stop(Shutdown::Fast).unwrap();
    for _ in 0..2 {
        let began = Instant::now();
        let (_, frames) = RawClient::try_login(&pgweir.address(), &front::login()).unwrap();
        let waited = began.elapsed();
        let error = frames.last().unwrap();
        assert_eq!(error.sqlstate().as_deref(), Some("57P03"), "{error:?}");
        assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
        let detail = error.field(b'D').expect("a cause");
        assert!(detail.contains("refused"), "{detail}");
        assert!(!detail.contains(&cluster.primary().port().to_string()), "{detail}");
        assert!(waited >= secs(1) && waited < secs(8), "{waited:?}");
    }
}

#[test]
fn a_login_that_comes_while_postgres_starts_is_let_in() {
    let cluster = front::shop();
    let options = front::pool_of(2, cluster.primary().address());
    let pgweir = options.set("defaults", "pool_wait_timeout = \"20s\"").start();
    cluster.primary().stop(Shutdown::Fast).unwrap();
    std::thread::scope(|scope| {
        let login = scope.spawn(|| front::client(&pgweir).ask_value("select 'in'"));
        cluster.primary().start().unwrap();
        assert_eq!(login.join().unwrap(), "in");
    });
}

#[test]
fn a_session_goes_on_after_it_was_told_that_postgres_is_down() {
    let cluster = front::shop();
    let options = front::pool_of(2, cluster.primary().address());
    let pgweir = options.set("defaults", "pool_wait_timeout = \"1500ms\"").start();
    let mut client = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    cluster.primary().stop(Shutdown::Fast).unwrap();
    let batch = [super::unnamed("select 1"), message::sync()].concat();
    for request in [message::query("select 1"), batch] {
        client.send(&request).unwrap();
        let frames = client.until_ready();
        assert_eq!((only_error(&frames).as_str(), status(&frames)), ("57P03", Some('I')));
        assert_eq!(frames[0].field(b'S').as_deref(), Some("ERROR"));
    }
    cluster.primary().start().unwrap();
    assert_eq!(client.ask_value("select 'on'"), "on");
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_postgres_that_stands_still_is_waited_for_and_then_given_up() {
    let cluster = front::shop();
    let options = front::pool_of(1, cluster.primary().address());
    let pgweir =
        options.set("defaults", "pool_wait_timeout = \"2s\"\nconnect_timeout = \"500ms\"").start();
    cluster.primary().pause().unwrap();
    let began = Instant::now();
    let (_, frames) = RawClient::try_login(&pgweir.address(), &front::login()).unwrap();
    let waited = began.elapsed();
    cluster.primary().resume().unwrap();
    let error = frames.last().unwrap();
    assert_eq!(error.sqlstate().as_deref(), Some("57P03"), "{error:?}");
    assert!(waited < Duration::from_millis(4_500), "{waited:?}");
    assert_eq!(front::client(&pgweir).ask_value("select 'on'"), "on");
}
