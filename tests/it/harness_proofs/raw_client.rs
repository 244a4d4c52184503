//! The raw client and its messages mean to Postgres what they say.

use pgweir::cluster::Cluster;

use crate::harness::frame::{Frame, render_all};
use crate::harness::message;
use crate::harness::raw::{Address, Login, RawClient, Reply};

fn started() -> (Cluster, Address) {
    let cluster = Cluster::start().unwrap();
    let address = Address::Tcp(cluster.primary().address());
    (cluster, address)
}

fn login() -> Login {
    Login::new("postgres", "postgres")
}

#[test]
fn every_kind_of_message_is_understood() {
    let (_cluster, address) = started();
    let mut client = RawClient::login(&address, &login());
    let mut all = Vec::new();
    all.extend(message::query("SELECT 1 AS one; CREATE TABLE t (n int)"));
    all.extend(message::parse("s", "SELECT $1::int + $2", &[0, 23]));
    all.extend(message::describe(b'S', "s"));
    all.extend(message::bind_with("p", "s", &[0, 1], &[Some(b"40"), Some(&[0, 0, 0, 2])], &[]));
    all.extend(message::describe(b'P', "p"));
    all.extend(message::execute("p", 0));
    all.extend(message::close(b'P', "p"));
    all.extend(message::close(b'S', "s"));
    all.extend(message::flush());
    all.extend(message::sync());
    all.extend(message::query("COPY t FROM STDIN"));
    all.extend(message::copy_data("1\n2\n"));
    all.extend(message::copy_done());
    all.extend(message::query("COPY t FROM STDIN"));
    all.extend(message::copy_fail("changed my mind"));
    // 1299 is now(); 177 is int4pl(int4, int4).
    all.extend(message::function_call(177, &[0], &[Some(b"3"), Some(b"4")], 0));
    all.extend(message::terminate());
    client.send(&all).unwrap();
    let frames = client.until_closed();
    let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
    assert_eq!(tags, "TDCCZ1tT2TDC33ZGCZGEZVZ", "{}", render_all(&frames));
    assert!(render_all(&frames).contains("DataRow \"42\""));
    assert!(render_all(&frames).contains("changed my mind"));
    assert!(render_all(&frames).contains("FunctionCallResponse \"7\""));
}

#[test]
fn a_cancel_request_ends_the_running_statement() {
    let (_cluster, address) = started();
    let mut client = RawClient::connect(&address).unwrap();
    client.send(&login().packet()).unwrap();
    let frames = client.authenticate(&login()).unwrap();
    let (pid, key) = frames.iter().find_map(Frame::backend_key).unwrap();
    let pause = "SELECT pg_sleep(60)";
    client.send(&message::query(pause)).unwrap();
    let mut watcher = RawClient::login(&address, &login());
    let busy = format!("SELECT count(*) FROM pg_stat_activity WHERE query = '{pause}'");
    crate::harness::await_event::wait_until(
        "the statement runs",
        std::time::Duration::from_secs(5),
        || watcher.ask_value(&busy) == "1",
    );
    let mut cancel = RawClient::connect(&address).unwrap();
    cancel.send(&message::cancel_request(pid, &key)).unwrap();
    assert_eq!(cancel.reply().unwrap(), Reply::Closed(Vec::new()));
    let frames = client.until_ready();
    assert_eq!(frames.iter().find_map(Frame::sqlstate).as_deref(), Some("57014"));
}

#[test]
fn a_unix_socket_serves_as_well() {
    let cluster = Cluster::start().unwrap();
    let address = Address::Unix(cluster.primary().socket_path());
    assert_eq!(RawClient::login(&address, &login()).ask_value("SELECT 5"), "5");
}

#[test]
fn refusals_of_encryption_are_single_bytes() {
    let cluster = Cluster::start().unwrap();
    // Over TCP a Postgres built with GSSAPI may say yes to the first.
    let address = Address::Unix(cluster.primary().socket_path());
    let mut client = RawClient::connect(&address).unwrap();
    client.send(&message::gssenc_request()).unwrap();
    assert_eq!(client.byte().unwrap(), Some(b'N'));
    client.send(&message::ssl_request()).unwrap();
    assert_eq!(client.byte().unwrap(), Some(b'N'));
    client.send(&login().packet()).unwrap();
    assert_eq!(client.authenticate(&login()).unwrap().last().and_then(Frame::status), Some('I'));
}

#[test]
fn a_lying_length_ends_the_connection() {
    let (_cluster, address) = started();
    let mut client = RawClient::login(&address, &login());
    client.send(&message::lying(b'Q', 3, b"select 1\0")).unwrap();
    assert_eq!(client.until_closed(), []);
}

#[test]
fn a_half_closed_client_still_reads_its_answer() {
    let (_cluster, address) = started();
    let mut client = RawClient::login(&address, &login());
    client.send(&message::query("SELECT 9")).unwrap();
    client.half_close().unwrap();
    let frames = client.until_closed();
    assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("9"));
}

#[test]
fn a_silent_server_is_reported_at_the_deadline() {
    let (_cluster, address) = started();
    let mut client = RawClient::login(&address, &login());
    client.set_deadline(std::time::Duration::from_millis(50));
    assert_eq!(client.reply().unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn replies_are_printed_one_line_each() {
    let check = |tag: u8, body: &[u8], expected: &str| {
        assert_eq!(render_all(&[Frame { tag, body: body.to_vec() }]), format!("{expected}\n"));
    };
    check(b'Z', b"T", "ReadyForQuery T");
    check(b'1', b"", "ParseComplete");
    check(b'D', b"\0\x02\0\0\0\x02a\n\xff\xff\xff\xff", "DataRow \"a\\n\" NULL");
    check(b'C', b"SELECT 1\0", "CommandComplete \"SELECT 1\"");
    check(
        b'E',
        b"SERROR\0VERROR\0C42601\0Moops\0\0",
        "ErrorResponse S=\"ERROR\" C=\"42601\" M=\"oops\"",
    );
    check(b't', b"\0\x01\0\0\0\x17", "ParameterDescription [23]");
    check(
        b'T',
        b"\0\x01n\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
        "RowDescription n:23(table 0.0 size 4 mod -1 format 0)",
    );
    check(b'A', b"\0\0\0\x07news\0hello\0", "NotificationResponse pid 7 \"news\" \"hello\"");
    check(b'D', b"\0\x05", "DataRow (odd) \"\\x00\\x05\"");
    check(b'y', b"?", "message 'y' (odd) \"?\"");
}
