//! SHUTDOWN and SIGTERM.

use std::io::ErrorKind;

use pgweir::cluster::Cluster;
use pgweir::cluster::process::Signal;

use super::{SOON, app, console, in_front_of, show, tag_of};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::RawClient;

/// The SQLSTATE and message that end a session.
fn farewell(client: &mut RawClient) -> (String, String) {
    let last = client.until_closed().pop().expect("last words");
    (last.sqlstate().unwrap(), last.field(b'M').unwrap())
}

fn terminated() -> (String, String) {
    ("57P01".into(), "terminating connection due to administrator command".into())
}

fn accepts(pgweir: &Pgweir) -> bool {
    match RawClient::connect(&pgweir.address()) {
        Ok(_) => true,
        Err(error) => {
            // Reset, where it stood in the queue of a listener that has just been closed.
            let kinds = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
            assert!(kinds.contains(&error.kind()), "{error}");
            false
        }
    }
}

#[test]
fn sigterm_ends_idle_clients_at_once_and_transactions_when_they_are_over() {
    let cluster = Cluster::start().expect("a Postgres");
    let mut pgweir = in_front_of(&cluster).start();
    let (mut busy, mut idle) = (pgweir.client(&app()), pgweir.client(&app()));
    busy.ask("BEGIN");
    pgweir.signal(Signal::Term);
    assert_eq!(farewell(&mut idle), terminated());
    wait_until("the listener's end", SOON, || !accepts(&pgweir));
    assert_eq!(busy.ask_value("SELECT 3"), "3");
    let frames = {
        busy.send(&message::query("COMMIT")).unwrap();
        busy.until_closed()
    };
    let committed = frames.iter().find_map(Frame::command_tag);
    assert_eq!(committed.as_deref(), Some("COMMIT"));
    assert_eq!(frames.last().unwrap().sqlstate().as_deref(), Some("57P01"));
    assert!(pgweir.wait_for_end(SOON).success());
}

#[test]
fn sigterm_waits_no_longer_than_drain_timeout() {
    let cluster = Cluster::start().expect("a Postgres");
    let mut pgweir = in_front_of(&cluster).set("server", "drain_timeout = \"300ms\"").start();
    let mut busy = pgweir.client(&app());
    busy.ask("BEGIN");
    pgweir.signal(Signal::Term);
    assert_eq!(farewell(&mut busy), terminated());
    assert!(pgweir.wait_for_end(SOON).success());
}

#[test]
fn shutdown_is_answered_and_ends_everything() {
    let cluster = Cluster::start().expect("a Postgres");
    let mut pgweir = in_front_of(&cluster).start();
    let mut busy = pgweir.client(&app());
    busy.ask("BEGIN");
    assert_eq!(tag_of(&mut console(&pgweir), "SHUTDOWN"), "SHUTDOWN");
    assert_eq!(farewell(&mut busy), terminated());
    assert!(pgweir.wait_for_end(SOON).success());
}

#[test]
fn shutdown_may_wait_for_servers() {
    let cluster = Cluster::start().expect("a Postgres");
    let mut pgweir = in_front_of(&cluster).start();
    let (mut busy, mut idle) = (pgweir.client(&app()), pgweir.client(&app()));
    busy.ask("BEGIN");
    let mut console = console(&pgweir);
    assert_eq!(tag_of(&mut console, "SHUTDOWN WAIT_FOR_SERVERS"), "SHUTDOWN");
    assert_eq!(farewell(&mut idle), terminated());
    assert_eq!(show(&mut console, "STATE").rows.len(), 3);
    busy.ask("COMMIT");
    assert_eq!(farewell(&mut busy), terminated());
    assert!(pgweir.wait_for_end(SOON).success());
}

#[test]
fn shutdown_may_wait_for_clients() {
    let cluster = Cluster::start().expect("a Postgres");
    let mut pgweir = in_front_of(&cluster).start();
    let mut client = pgweir.client(&app());
    let mut console = console(&pgweir);
    assert_eq!(tag_of(&mut console, "SHUTDOWN WAIT_FOR_CLIENTS"), "SHUTDOWN");
    wait_until("the listener's end", SOON, || !accepts(&pgweir));
    for _ in 0..3 {
        assert_eq!(client.ask_value("SELECT 5"), "5");
    }
    drop(client);
    assert!(pgweir.wait_for_end(secs(10)).success());
}
