//! Statements and portals: named ones stay with their session, unnamed ones never meet another's.

use super::{assert_no_error, batch, tags};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::Frame;
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::RawClient;

fn sqlstate(frames: &[Frame]) -> Option<String> {
    frames.iter().find(|frame| frame.tag == b'E').and_then(Frame::sqlstate)
}

fn value(frames: &[Frame]) -> Option<String> {
    frames.iter().find_map(Frame::first_text)
}

fn send(client: &mut RawClient, messages: &[Vec<u8>]) -> Vec<Frame> {
    client.send(&messages.concat()).unwrap();
    client.until_ready()
}

fn run_unnamed(client: &mut RawClient) -> Vec<Frame> {
    send(client, &[message::bind("", "", &[]), message::execute("", 0), message::sync()])
}

#[test]
fn the_unnamed_statement_is_its_clients_though_servers_are_shared() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut clients: Vec<_> = (0..10).map(|_| front::client(&pgweir)).collect();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for (number, client) in clients.iter_mut().enumerate() {
        let sql = format!("select 'of {number}'");
        assert_eq!(tags(&send(client, &[message::parse("", sql, &[]), message::sync()])), "1Z");
    }
    for _ in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(value(&run_unnamed(client)), Some(format!("of {number}")));
        }
    }
    // Who has none gets none: neither a newcomer, nor whose Parse failed, nor who closed or overwrote it.
    let mut newcomer = front::client(&pgweir);
    assert_eq!(sqlstate(&run_unnamed(&mut newcomer)).as_deref(), Some("26000"));
    let describe = [message::describe(b'S', ""), message::sync()];
    assert_eq!(sqlstate(&send(&mut newcomer, &describe)).as_deref(), Some("26000"));
    send(&mut clients[0], &[message::parse("", "selec", &[]), message::sync()]);
    send(&mut clients[1], &[message::close(b'S', ""), message::sync()]);
    clients[2].ask("select 1");
    for client in &mut clients[..3] {
        assert_eq!(sqlstate(&run_unnamed(client)).as_deref(), Some("26000"));
    }
    assert_eq!(value(&run_unnamed(&mut clients[3])).as_deref(), Some("of 3"));
    drop((clients, newcomer));
    accounts.assert_settled(secs(10));
}

#[test]
fn an_unnamed_statement_keeps_the_types_that_its_client_gave() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let (mut numbers, mut texts) = (front::client(&pgweir), front::client(&pgweir));
    let sql = "select pg_typeof($1)";
    // int8 and text, by the same words.
    send(&mut numbers, &[message::parse("", sql, &[20]), message::sync()]);
    send(&mut texts, &[message::parse("", sql, &[25]), message::sync()]);
    let bind = [message::bind("", "", &[Some(b"7")]), message::execute("", 0), message::sync()];
    for _ in 0..3 {
        assert_eq!(value(&send(&mut numbers, &bind)).as_deref(), Some("bigint"));
        assert_eq!(value(&send(&mut texts, &bind)).as_deref(), Some("text"));
    }
}

#[test]
fn named_statements_stay_with_their_session_and_leave_with_it() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    send(&mut client, &[message::parse("mine", "select 'mine'", &[]), message::sync()]);
    let run = [message::bind("", "mine", &[]), message::execute("", 0), message::sync()];
    let mut other = front::client(&pgweir);
    for _ in 0..3 {
        assert_eq!(sqlstate(&send(&mut other, &run)).as_deref(), Some("26000"));
        assert_eq!(value(&send(&mut client, &run)).as_deref(), Some("mine"));
    }
    // The same name, another text.
    send(&mut other, &[message::parse("mine", "select 'others'", &[]), message::sync()]);
    assert_eq!(value(&send(&mut other, &run)).as_deref(), Some("others"));
    assert_eq!(value(&send(&mut client, &run)).as_deref(), Some("mine"));
    drop((client, other));
    let mut next = front::client(&pgweir);
    assert_eq!(sqlstate(&send(&mut next, &run)).as_deref(), Some("26000"));
    assert_no_error(&send(&mut next, &[message::parse("mine", "select 1", &[]), message::sync()]));
    drop(next);
    accounts.assert_settled(secs(10));
}

#[test]
fn portals_never_outlive_their_transaction_or_reach_another_client() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut other = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for name in ["", "mine"] {
        let mut client = front::client(&pgweir);
        let open = [
            message::parse("", "select n from generate_series(1, 9) n", &[]),
            message::bind(name, "", &[]),
            message::execute(name, 1),
            message::sync(),
        ];
        let more = [message::execute(name, 1), message::sync()];
        assert_eq!(tags(&send(&mut client, &open)), "12DsZ");
        assert_eq!(sqlstate(&send(&mut other, &more)).as_deref(), Some("34000"));
        assert_eq!(sqlstate(&send(&mut client, &more)).as_deref(), Some("34000"));
        // In a transaction it lives on, as does its server.
        client.ask("begin");
        send(&mut client, &open);
        other.send(&more.concat()).unwrap();
        assert_eq!(value(&send(&mut client, &more)).as_deref(), Some("2"));
        assert_eq!(value(&send(&mut client, &more)).as_deref(), Some("3"));
        client.ask("commit");
        assert_eq!(sqlstate(&other.until_ready()).as_deref(), Some("34000"));
        assert_eq!(sqlstate(&send(&mut client, &more)).as_deref(), Some("34000"));
    }
    drop(other);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_portal_that_waits_for_flush_keeps_its_server() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    let open = [
        message::parse("", "select n from generate_series(1, 9) n", &[]),
        message::bind("", "", &[]),
        message::execute("", 1),
        message::flush(),
    ];
    client.send(&open.concat()).unwrap();
    assert_eq!(value(&client.until(b's')).as_deref(), Some("1"));
    other.send(&batch("select 'other'", &[])).unwrap();
    client.send(&[message::execute("", 1), message::flush()].concat()).unwrap();
    assert_eq!(value(&client.until(b's')).as_deref(), Some("2"));
    client.send(&message::sync()).unwrap();
    client.until_ready();
    assert_eq!(value(&other.until_ready()).as_deref(), Some("other"));
}
