//! The nonce clients count right, in great numbers, and notice an answer that is not theirs.

use pgweir::cluster::{AuthMethod, Cluster};

use crate::harness::await_event::secs;
use crate::harness::fake::{FakePostgres, echo};
use crate::harness::nonce::{Asks, Nonce};
use crate::harness::proxy::FaultProxy;
use crate::harness::raw::Login;
use crate::harness::reply;

#[test]
fn every_answer_of_postgres_is_its_clients_own() {
    let cluster =
        Cluster::options().auth(AuthMethod::ScramSha256).role("app", "secret").start().unwrap();
    let login = Login::new("app", "postgres").password("secret");
    let counts = Nonce::new(cluster.primary().address(), login).clients(20).rounds(50).run();
    counts.assert_all_ok(1000);
}

#[test]
fn two_thousand_clients_at_once_are_served() {
    let fake = FakePostgres::start(echo);
    let login = Login::new("app", "db");
    let plan = Nonce::new(fake.address(), login).clients(2000).rounds(3).rows(1);
    plan.run().assert_all_ok(6000);
    assert_eq!(fake.connections(), 2000);
}

#[test]
fn a_foreign_answer_is_noticed() {
    let fake = FakePostgres::start(|session| {
        session.accept_login();
        session.set_deadline(secs(60));
        while session.message().is_some_and(|frame| frame.tag == b'Q') {
            session.send(&reply::one_value("nonce", "999:0"));
        }
    });
    let login = Login::new("app", "db");
    let plan = Nonce::new(fake.address(), login).clients(3).rounds(2).rows(1).asks(Asks::Simple);
    let counts = plan.run();
    assert_eq!((counts.ok, counts.foreign), (0, 6));
    assert!(counts.examples[0].contains("999:0"), "{counts:?}");
}

#[test]
fn missing_rows_are_noticed() {
    let fake = FakePostgres::start(echo);
    let plan = Nonce::new(fake.address(), Login::new("app", "db")).rows(2).clients(1).rounds(30);
    let counts = plan.run();
    assert!(counts.foreign > 0 && counts.ok > 0, "{counts:?}");
}

#[test]
fn killed_clients_come_back_and_harm_nobody() {
    let cluster = Cluster::start().unwrap();
    let plan = Nonce::new(cluster.primary().address(), Login::new("postgres", "postgres"));
    let counts = plan.clients(20).rounds(50).kills_in_thousand(100).run();
    assert!(counts.killed > 20, "{counts:?}");
    counts.assert_all_ok(1000 - counts.killed);
}

#[test]
fn errors_and_lost_connections_are_told_apart() {
    let cluster = Cluster::start().unwrap();
    let login = Login::new("nobody_here", "postgres");
    let refused = Nonce::new(cluster.primary().address(), login).clients(2).rounds(1).run();
    assert_eq!(refused.errors.get("28000"), Some(&2), "{refused:?}");

    let proxy = FaultProxy::to(cluster.primary().address());
    proxy.to_client(|flow| flow.cut_after(450));
    let login = Login::new("postgres", "postgres");
    let cut = Nonce::new(proxy.address(), login.clone()).clients(2).rounds(5).run();
    assert!(cut.lost.keys().any(|what| what.contains("Eof") || what.contains("Reset")), "{cut:?}");
    cut.assert_none_foreign();

    proxy.to_client(|flow| flow.stall_after(0));
    let plan = Nonce::new(proxy.address(), login).clients(1).rounds(1);
    let silent = plan.limit(std::time::Duration::from_millis(100)).run();
    assert_eq!(silent.lost.get("login: silence"), Some(&1), "{silent:?}");
}
