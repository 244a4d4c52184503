//! Servers that stand still while pgweir itself asks something of them.

use std::time::Instant;

use pgweir::cluster::Cluster;
use pgweir::cluster::process::Signal;

use super::{error_of, front, limit};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::raw::Login;

#[test]
fn a_client_whose_server_stands_still_before_its_statement_gets_another_server() {
    let cluster = Cluster::start().unwrap();
    let pgweir = front(&cluster, &["web"]).set("roles.web", "pool_size = 2").start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]).server_database("app", "postgres");
    let mut first = pgweir.client(&Login::new("web", "app"));
    let mut client = pgweir.client(&Login::new("web", "app"));
    client.ask("set work_mem = '8MB'");
    let server: u32 = first.ask_value("select pg_backend_pid()").parse().unwrap();
    cluster.primary().signal_backend(server, Signal::Stop).unwrap();
    let began = Instant::now();
    client.send(&message::query("select current_setting('work_mem')")).unwrap();
    let frames = client.until_ready();
    let took = began.elapsed();
    assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("8MB"));
    assert!(took >= secs(5) && took < secs(10), "{took:?}");
    let state = accounts.state();
    let pool = state.pools.iter().find(|pool| pool.role == "web").unwrap();
    assert_eq!((pool.zombie, pool.open), (1, 2), "{pool:?}");
    cluster.primary().signal_backend(server, Signal::Cont).unwrap();
    assert_ne!(first.ask_value("select pg_backend_pid()"), server.to_string());
    drop((first, client));
    accounts.assert_settled(secs(20));
}

#[test]
fn in_a_transaction_the_client_is_told() {
    let cluster = Cluster::start().unwrap();
    let options = limit(front(&cluster, &["web"]), "web", "ddl_lock_timeout", "1s");
    let pgweir = options.start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]).server_database("app", "postgres");
    let mut client = pgweir.client(&Login::new("web", "app"));
    client.ask("begin");
    let server: u32 = client.ask_value("select pg_backend_pid()").parse().unwrap();
    cluster.primary().signal_backend(server, Signal::Stop).unwrap();
    let began = Instant::now();
    client.send(&message::query("alter table t add n int")).unwrap();
    let error = error_of(&client.until_ready());
    assert!(began.elapsed() < secs(10), "{:?}", began.elapsed());
    assert_eq!(error.sqlstate().as_deref(), Some("57P01"));
    client.ask("rollback");
    cluster.primary().signal_backend(server, Signal::Cont).unwrap();
    assert_ne!(client.ask_value("select pg_backend_pid()"), server.to_string());
    drop(client);
    accounts.assert_settled(secs(20));
}
