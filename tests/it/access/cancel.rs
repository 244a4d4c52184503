//! Cancel requests: the right statement, by the right key, over TCP and TLS.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pgweir::cluster::{AuthMethod, Cluster};

use super::{SECRET, ann, asking, in_front_of};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::certificates::Authority;
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, toml_string};
use crate::harness::raw::{Login, RawClient};
use crate::harness::tls;

/// How many statements with these words run at the server.
fn running(cluster: &Cluster, words: &str) -> usize {
    let question = format!(
        "select 1 from pg_stat_activity where state = 'active' and query like '%{words}%' \
         and pid <> pg_backend_pid()"
    );
    cluster.primary().sql("postgres", &question).unwrap().len()
}

/// A client and its key.
fn with_key(address: SocketAddr, login: &Login) -> (RawClient, (u32, Vec<u8>)) {
    let (client, frames) = RawClient::try_login(&address.into(), login).unwrap();
    let key = frames.iter().find_map(Frame::backend_key).expect("a key");
    (client, key)
}

/// Sends a cancel request as libpq does: then waits for the end of the stream.
fn cancel(address: SocketAddr, pid: u32, key: &[u8]) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::io::Write::write_all(&mut socket, &message::cancel_request(pid, key)).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "a cancel request is not answered");
}

fn assert_cancelled(client: &mut RawClient) {
    let frames = client.until_ready();
    let error = frames.iter().find_map(Frame::sqlstate);
    assert_eq!(error.as_deref(), Some("57014"), "{frames:?}");
    assert_eq!(client.ask_value("select 'on'"), "on");
}

#[test]
fn a_cancel_request_ends_the_statement_of_its_key_only() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let pgweir = in_front_of(&cluster).set("auth", "method = \"trust\"").start();
    for protocol in [message::PROTOCOL_3_0, message::PROTOCOL_3_2] {
        let login = Login::new("ann", "postgres").protocol(protocol);
        let (mut first, (pid, key)) = with_key(pgweir.listen(), &login);
        let (mut other, (other_pid, other_key)) = with_key(pgweir.listen(), &login);
        assert_eq!(key.len(), if protocol == message::PROTOCOL_3_0 { 4 } else { 32 });
        let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
        first.send(&message::query("select pg_sleep(60)")).unwrap();
        other.send(&message::query("select pg_sleep(60)")).unwrap();
        wait_until("both run", secs(10), || running(&cluster, "pg_sleep(60)") == 2);
        // Wrong keys are ignored: of another client, too long, too short, none.
        cancel(pgweir.listen(), pid, &other_key);
        cancel(pgweir.listen(), pid, &[&key[..], &[0]].concat());
        cancel(pgweir.listen(), pid, &key[..3]);
        cancel(pgweir.listen(), pid, &[]);
        cancel(pgweir.listen(), pid.wrapping_add(77), &key);
        assert_eq!(running(&cluster, "pg_sleep(60)"), 2);
        cancel(pgweir.listen(), pid, &key);
        assert_cancelled(&mut first);
        assert_eq!(running(&cluster, "pg_sleep(60)"), 1);
        // Nothing runs for this key any more.
        cancel(pgweir.listen(), pid, &key);
        assert_eq!(running(&cluster, "pg_sleep(60)"), 1);
        cancel(pgweir.listen(), other_pid, &other_key);
        assert_cancelled(&mut other);
        accounts.assert_settled(secs(10));
    }
}

#[test]
fn the_key_of_a_client_that_left_opens_nothing() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let options = in_front_of(&cluster).set("auth", "method = \"trust\"");
    let pgweir = options.set("defaults", "pool_size = 1").start();
    let login = Login::new("ann", "postgres");
    let (mut gone, (pid, key)) = with_key(pgweir.listen(), &login);
    gone.ask("select 1");
    gone.send(&message::terminate()).unwrap();
    gone.until_closed();
    let mut client = pgweir.client(&login);
    client.send(&message::query("select pg_sleep(0.5)")).unwrap();
    wait_until("it runs", secs(10), || running(&cluster, "pg_sleep(0.5)") == 1);
    cancel(pgweir.listen(), pid, &key);
    assert!(client.until_ready().iter().all(|frame| frame.sqlstate().is_none()));
}

#[test]
fn a_cancel_request_reaches_a_client_that_waits_for_a_server() {
    let cluster = asking(AuthMethod::Trust).start().unwrap();
    let options = in_front_of(&cluster).set("auth", "method = \"trust\"");
    let options = options.set("defaults", "pool_size = 1");
    let pgweir = options.set("defaults", "reserve_pool_size = 0").start();
    let login = Login::new("ann", "postgres");
    let mut holder = pgweir.client(&login);
    let (mut waiter, (pid, key)) = with_key(pgweir.listen(), &login);
    holder.ask("begin");
    waiter.send(&message::query("select 1")).unwrap();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    wait_until("it waits", secs(10), || accounts.state().pools.iter().any(|p| p.waiting == 1));
    cancel(pgweir.listen(), pid, &key);
    let frames = waiter.until_ready();
    assert_eq!(frames.iter().find_map(Frame::sqlstate).as_deref(), Some("57014"));
    holder.ask("commit");
    assert_eq!(waiter.ask_value("select 'on'"), "on");
}

#[test]
fn cancel_requests_work_over_tls_on_both_sides() {
    let authority = Authority::new();
    let own = authority.issue("both", &["localhost"]);
    let cluster = asking(AuthMethod::ScramSha256)
        .tls(&own.certificate, &own.key)
        .hba("hostnossl all ann 127.0.0.1/32 reject")
        .start()
        .unwrap();
    let url = format!(
        "host=localhost port={} sslmode=verify-full sslrootcert={}",
        cluster.primary().port(),
        authority.file().display()
    );
    let certificate = toml_string(own.certificate_file.to_str().unwrap());
    let key = toml_string(own.key_file.to_str().unwrap());
    let pgweir: Pgweir = Pgweir::options()
        .database("*", &url)
        .role("ann", SECRET)
        .set("server.tls", &format!("mode = \"require\"\ncertificate = {certificate}"))
        .set("server.tls", &format!("private_key = {key}"))
        .start();
    let mut client = tls::after_request(pgweir.listen(), &authority).unwrap();
    client.send(&ann().packet()).unwrap();
    let frames = client.authenticate(&ann()).unwrap();
    let (pid, key) = frames.iter().find_map(Frame::backend_key).expect("a key");
    client.send(&message::query("select pg_sleep(60)")).unwrap();
    wait_until("it runs", secs(10), || running(&cluster, "pg_sleep(60)") == 1);
    let mut canceller = tls::after_request(pgweir.listen(), &authority).unwrap();
    canceller.send(&message::cancel_request(pid, &key)).unwrap();
    assert!(canceller.until_closed().is_empty());
    assert_cancelled(&mut client);
    // As Postgres, and libpq before 17: without TLS as well.
    client.send(&message::query("select pg_sleep(60)")).unwrap();
    wait_until("it runs", secs(10), || running(&cluster, "pg_sleep(60)") == 1);
    cancel(pgweir.listen(), pid, &key);
    assert_cancelled(&mut client);
}
