//! The fault proxy does what each of its settings says.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use pgweir::cluster::Cluster;

use crate::harness::await_event::{secs, wait_until};
use crate::harness::fake::{FakePostgres, echo};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::proxy::{FaultProxy, Only};
use crate::harness::raw::{Login, RawClient, Reply};

fn login() -> Login {
    Login::new("someone", "somewhere")
}

/// A proxy before an echoing server; `'x'` in a Query comes back.
fn proxied() -> (FakePostgres, FaultProxy) {
    let fake = FakePostgres::start(echo);
    let proxy = FaultProxy::to(fake.address());
    (fake, proxy)
}

fn client(proxy: &FaultProxy) -> RawClient {
    RawClient::login(&proxy.address().into(), &login())
}

#[test]
fn without_faults_it_is_not_noticed() {
    let cluster = Cluster::start().unwrap();
    let proxy = FaultProxy::to(cluster.primary().address());
    let mut client = RawClient::login(&proxy.address().into(), &Login::new("postgres", "postgres"));
    assert_eq!(client.ask_value("SELECT repeat('x', 1000000)").len(), 1_000_000);
    drop(client);
    wait_until("the connection ends", secs(5), || proxy.open_connections() == 0);
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn single_bytes_arrive_one_by_one() {
    let (_fake, proxy) = proxied();
    proxy.to_client(|flow| flow.pieces(1));
    proxy.to_server(|flow| flow.pieces(1));
    let mut client = client(&proxy);
    assert_eq!(client.ask_value("select 'whole'"), "whole");
}

#[test]
fn a_delay_is_felt_and_ends_when_healed() {
    let (_fake, proxy) = proxied();
    let mut client = client(&proxy);
    proxy.to_client(|flow| flow.delay(Duration::from_millis(80)));
    let asked = Instant::now();
    client.ask("select 'x'");
    assert!(asked.elapsed() >= Duration::from_millis(80));
    proxy.heal();
    client.ask("select 'x'");
}

#[test]
fn a_cut_lets_exactly_so_many_bytes_through() {
    let (_fake, proxy) = proxied();
    proxy.to_client(|flow| flow.cut_after(7));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    std::io::Write::write_all(&mut stream, &login().packet()).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), 7);
}

#[test]
fn a_reset_is_a_reset() {
    let (_fake, proxy) = proxied();
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    std::io::Write::write_all(&mut stream, &login().packet()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1);
    proxy.reset_all();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    wait_until("the connection is forgotten", secs(5), || proxy.open_connections() == 0);
}

#[test]
fn a_reset_after_some_bytes_comes_after_them() {
    let (_fake, proxy) = proxied();
    proxy.to_server(|flow| flow.reset_after(10));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    std::io::Write::write_all(&mut stream, &login().packet()).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.passed(), (10, 0));
}

#[test]
fn a_half_close_ends_one_direction_only() {
    let (fake, proxy) = proxied();
    let mut client = client(&proxy);
    let sent = login().packet().len() as u64;
    let query = message::query("select 'x'");
    proxy.to_server(|flow| flow.half_close_after(sent + query.len() as u64));
    client.send(&query).unwrap();
    // The server got the whole question, then the end; its answer still comes back.
    assert_eq!(client.until_ready().iter().find_map(Frame::first_text).as_deref(), Some("x"));
    wait_until("the server sees the end", secs(5), || fake.running() == 0);
}

#[test]
fn a_stall_holds_everything_until_healed() {
    let (_fake, proxy) = proxied();
    let mut client = client(&proxy);
    proxy.to_client(|flow| flow.stall_after(0));
    client.send(&message::query("select 'late'")).unwrap();
    client.set_deadline(Duration::from_millis(100));
    assert_eq!(client.reply().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    client.set_deadline(secs(10));
    proxy.heal();
    assert_eq!(client.until_ready().iter().find_map(Frame::first_text).as_deref(), Some("late"));
}

#[test]
fn a_refusing_proxy_refuses_and_heals_on_the_same_port() {
    let (_fake, proxy) = proxied();
    let mut open = client(&proxy);
    proxy.refuse();
    let error = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(open.ask_value("select 'still open'"), "still open");
    proxy.heal();
    assert_eq!(client(&proxy).ask_value("select 'new'"), "new");
}

#[test]
fn cutting_all_ends_every_connection() {
    let (_fake, proxy) = proxied();
    let mut clients: Vec<RawClient> = (0..5).map(|_| client(&proxy)).collect();
    assert_eq!(proxy.open_connections(), 5);
    proxy.cut_all();
    for client in &mut clients {
        assert!(matches!(client.reply().unwrap(), Reply::Closed(_)));
    }
    wait_until("all are forgotten", secs(5), || proxy.open_connections() == 0);
}

#[test]
fn a_fault_may_be_about_cancel_requests_only() {
    let (fake, proxy) = proxied();
    proxy.to_server(|flow| flow.only(Only::Cancels).stall_after(0));
    assert_eq!(client(&proxy).ask_value("select 'x'"), "x");
    let mut cancel = RawClient::connect(&proxy.address().into()).unwrap();
    cancel.send(&message::cancel_request(1, b"1234")).unwrap();
    cancel.set_deadline(Duration::from_millis(100));
    assert_eq!(cancel.reply().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    proxy.heal();
    cancel.set_deadline(secs(5));
    assert!(matches!(cancel.reply().unwrap(), Reply::Closed(_)));
    assert!(fake.take_failures().is_empty());
}

#[test]
fn what_clients_send_can_be_read_and_altered() {
    let (_fake, proxy) = proxied();
    proxy.record();
    proxy.to_client(|flow| flow.swap(b"abc", b"xyz"));
    assert_eq!(client(&proxy).ask_value("select 'abc'"), "xyz");
    let seen = proxy.seen_from_clients();
    assert!(seen.windows(3).any(|part| part == b"abc"));
}

#[test]
fn a_server_that_is_not_there_closes_the_client() {
    let proxy = {
        let fake = FakePostgres::start(echo);
        FaultProxy::to(fake.address())
    };
    let mut client = RawClient::connect(&proxy.address().into()).unwrap();
    client.set_deadline(secs(5));
    assert!(matches!(client.reply().unwrap(), Reply::Closed(_)));
}
