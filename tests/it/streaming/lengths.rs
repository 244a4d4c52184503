//! Lengths that Postgres does not take are not taken either, by the same limits.

use std::time::Duration;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::fake::FakePostgres;
use crate::harness::frame::render_all;
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::{Address, RawClient, Reply};
use crate::harness::reply;

use super::Peak;

/// The longest message that Postgres takes, its length word included: two below 1 GB.
const LONGEST: i32 = 0x3fff_fffe;

/// Every message that a client may send in a session, and the longest that Postgres takes of it.
const MESSAGES: [(u8, i32); 12] = [
    (b'Q', LONGEST),
    (b'P', LONGEST),
    (b'B', LONGEST),
    (b'F', LONGEST),
    (b'd', LONGEST),
    (b'E', 10_000),
    (b'D', 10_000),
    (b'C', 10_000),
    (b'H', 10_000),
    (b'S', 10_000),
    (b'c', 10_000),
    (b'f', 10_000),
];

/// What comes of a message that begins like this: all that is said until the connection ends, or nothing and
/// an open connection after `patience` (`None`).
fn outcome(address: &Address, tag: u8, length: i32, patience: Duration) -> Option<String> {
    let mut client = RawClient::login(address, &front::login());
    client.send(&message::lying(tag, length, b"")).unwrap();
    let mut frames = Vec::new();
    client.set_deadline(patience);
    loop {
        match client.reply() {
            Ok(Reply::Frame(frame)) => frames.push(frame),
            Ok(Reply::Closed(rest)) => {
                assert!(rest.is_empty(), "{rest:?}");
                return Some(render_all(&frames));
            }
            Err(_) if frames.is_empty() => return None,
            Err(error) => panic!("{error} behind {frames:?}"),
        }
    }
}

#[test]
fn a_length_that_postgres_refuses_ends_the_session_in_the_same_words() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let peak = Peak::of(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let direct = cluster.primary().address().into();
    let mut longest_taken = 0;
    for (tag, longest) in MESSAGES {
        for length in [i32::MIN, -1, 0, 3, longest, longest + 1, LONGEST + 1, i32::MAX] {
            let patience = if length == longest { Duration::from_millis(200) } else { secs(20) };
            let expected = outcome(&direct, tag, length, patience);
            let found = outcome(&pgweir.address(), tag, length, patience);
            assert_eq!(found, expected, "length {length} of {:?}", tag as char);
            longest_taken += usize::from(expected.is_none());
        }
    }
    // The table has Postgres' limits: the longest is taken, one more is not.
    assert_eq!(longest_taken, MESSAGES.len());
    peak.assert_flat();
    accounts.assert_settled(secs(10));
}

#[test]
fn a_message_of_over_1_gb_in_a_transaction_rolls_it_back() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let mut client = front::client(&pgweir);
    client.ask("create table kept (n int)");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    client.ask("begin; insert into kept values (1)");
    client.send(&message::lying(b'B', LONGEST + 1, b"\0\0")).unwrap();
    assert_eq!(client.until_closed(), []);
    let mut next = front::client(&pgweir);
    assert_eq!(next.ask_value("select count(*) from kept"), "0");
    accounts.assert_settled(secs(10));
}

#[test]
fn a_reply_of_over_1_gb_closes_the_server_and_the_session_goes_on() {
    let fake = FakePostgres::start(|session| {
        if session.accept_login() {
            while let Some(frame) = session.message() {
                match (frame.tag, frame.body.as_slice()) {
                    (b'Q', b"select too much\0") => {
                        session.send(&reply::row_description(&["n"]));
                        session.send(&message::lying(b'D', LONGEST + 5, b"\0\x01"));
                    }
                    (b'Q', _) => session.send(&reply::one_value("n", "1")),
                    _ => {}
                }
            }
        }
    });
    // It would not know what to say to a question about its catalog.
    let options = front::pool_of(1, fake.address());
    let pgweir = options.set("defaults", "reset_on_handover = \"seen\"").start();
    let mut client = front::client(&pgweir);
    let peak = Peak::now(&pgweir);
    for _ in 0..2 {
        let frames = client.ask("select too much");
        let error = frames.iter().find(|frame| frame.tag == b'E').expect("an error");
        assert_eq!(error.sqlstate().as_deref(), Some("08P01"), "{frames:?}");
        assert_eq!(client.ask_value("select 1"), "1");
    }
    assert!(fake.connections() >= 3, "the server was used again");
    peak.assert_flat();
}
