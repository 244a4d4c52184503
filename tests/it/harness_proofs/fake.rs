//! The fake server plays its script, on cue, and remembers.

use std::time::Duration;

use crate::harness::await_event::{secs, wait_until};
use crate::harness::fake::{FakePostgres, Received, echo};
use crate::harness::frame::{Frame, render_all};
use crate::harness::gate::Gate;
use crate::harness::message;
use crate::harness::raw::{Login, RawClient, Reply};
use crate::harness::reply;

fn login() -> Login {
    Login::new("someone", "somewhere").parameter("application_name", "a test")
}

#[test]
fn a_client_logs_in_and_gets_the_scripted_bytes() {
    let fake = FakePostgres::start(|session| {
        session.accept_login();
        session.expect(b'Q');
        session.send(&reply::one_value("n", "42"));
        session.until_end();
    });
    let mut client = RawClient::login(&fake.address().into(), &login());
    assert_eq!(client.ask_value("select 42"), "42");
    drop(client);
    fake.wait_for("the end", secs(5), |got| matches!(got.last(), Some((0, Received::End(_)))));
    assert_eq!(fake.messages_of(0), [Frame { tag: b'Q', body: b"select 42\0".to_vec() }]);
}

#[test]
fn an_answer_is_held_until_its_cue() {
    let cue = Gate::new();
    let held = cue.clone();
    let fake = FakePostgres::start(move |session| {
        session.accept_login();
        session.expect(b'Q');
        held.pass();
        session.send(&reply::one_value("n", "1"));
        session.until_end();
    });
    let mut client = RawClient::login(&fake.address().into(), &login());
    client.send(&message::query("select 1")).unwrap();
    cue.wait_for_waiting(1, secs(5));
    client.set_deadline(Duration::from_millis(50));
    assert!(client.reply().is_err());
    cue.open();
    client.set_deadline(secs(5));
    assert_eq!(client.until_ready().len(), 4);
}

#[test]
fn startup_parameters_and_refused_encryption_are_seen() {
    let fake = FakePostgres::start(|session| {
        let parameters = session.startup().expect("a startup packet");
        assert_eq!(parameters["application_name"], "a test");
        session.send(&reply::fatal("28000", "not you"));
    });
    let mut client = RawClient::connect(&fake.address().into()).unwrap();
    client.send(&message::ssl_request()).unwrap();
    assert_eq!(client.byte().unwrap(), Some(b'N'));
    client.send(&login().packet()).unwrap();
    let last = client.until_closed();
    assert_eq!(last[0].sqlstate().as_deref(), Some("28000"));
}

#[test]
fn a_cancel_request_is_recorded() {
    let fake = FakePostgres::start(|session| assert!(session.startup().is_none()));
    let mut client = RawClient::connect(&fake.address().into()).unwrap();
    client.send(&message::cancel_request(7, b"key!")).unwrap();
    assert!(matches!(client.reply().unwrap(), Reply::Closed(_)));
    let packet = (0, Received::Packet(80_877_102, b"\0\0\0\x07key!".to_vec()));
    assert_eq!(fake.received(), [packet]);
}

#[test]
fn a_message_cut_short_is_recorded_as_such() {
    let fake = FakePostgres::start(|session| {
        session.accept_login();
        session.until_end();
    });
    let mut client = RawClient::login(&fake.address().into(), &login());
    client.send(b"Q\0\0\0\x20sel").unwrap();
    drop(client);
    let cut = Received::End(b"Q\0\0\0\x20sel".to_vec());
    fake.wait_for("the rest", secs(5), |got| got.last() == Some(&(0, cut.clone())));
}

#[test]
fn a_script_that_fails_is_reported() {
    let fake = FakePostgres::start(|session| {
        session.accept_login();
        session.expect(b'P');
    });
    let mut client = RawClient::login(&fake.address().into(), &login());
    client.send(&message::query("not a Parse")).unwrap();
    assert!(matches!(client.reply().unwrap(), Reply::Closed(_)));
    wait_until("the script ends", secs(5), || fake.running() == 0);
    let failures = fake.take_failures();
    assert!(failures[0].contains("'P'"), "{failures:?}");
}

#[test]
fn every_reply_that_can_be_built_can_be_read() {
    let fake = FakePostgres::start(|session| {
        session.accept_login();
        for bytes in [
            reply::notice("n"),
            reply::parameter_status("a", "b"),
            reply::notification(3, "c", "p"),
            reply::parameter_description(&[23, 25]),
            reply::bare(b'1'),
            reply::copy_response(b'G', 2),
            reply::data_row(&[None, Some(b"x")]),
            reply::error("XX000", "e"),
            reply::authentication(5, b"salt"),
        ] {
            session.send(&bytes);
        }
    });
    let mut client = RawClient::login(&fake.address().into(), &login());
    let shown = render_all(&client.until_closed());
    assert!(!shown.contains("(odd)"), "{shown}");
    assert!(shown.contains("DataRow NULL \"x\""), "{shown}");
    assert_eq!(shown.lines().count(), 9);
}

#[test]
fn the_echo_answers_both_protocols() {
    let fake = FakePostgres::start(echo);
    let mut client = RawClient::login(&fake.address().into(), &login());
    assert_eq!(client.ask_value("select 'simple'"), "simple");
    let mut batch = message::parse("", "select $1", &[25]);
    batch.extend(message::bind("", "", &[Some(b"extended")]));
    batch.extend(message::execute("", 0));
    batch.extend(message::sync());
    client.send(&batch).unwrap();
    let frames = client.until_ready();
    assert_eq!(frames.iter().find_map(Frame::first_text).as_deref(), Some("extended"));
}
