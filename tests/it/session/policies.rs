//! What operators decide about sessions that would keep their servers: `session_state`, `pin_timeout`.

use super::{ADVISORY, TEMPORARY, assert_no_error, batch};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::Frame;
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::RawClient;

/// What a syntax error would look like in the place of `{}`, and what is refused there.
const UNREADABLE: &str = "create tempest table refused (n int)";
const REFUSED: &str = "create temp table refused (n int)";

/// Messages with `{}` for the text, one request each.
fn scripts() -> Vec<Vec<Vec<u8>>> {
    let q = |sql: &str| message::query(sql);
    let run = || [message::bind("", "", &[]), message::execute("", 0)].concat();
    let p = |name: &str, sql: &str| message::parse(name, sql, &[]);
    let all = |parts: &[Vec<u8>]| parts.concat();
    vec![
        vec![q("{}"), q("select 1")],
        vec![q("select 1; {}; select 2"), q("select 3")],
        vec![q("insert into kept values (1); {}"), q("select count(*) from kept")],
        vec![q("begin"), q("{}"), q("select 1"), q("commit"), q("select 2")],
        vec![q("begin"), q("savepoint a"), q("{}"), q("rollback to a"), q("select 1"), q("commit")],
        vec![q("begin"), q("select 1/0"), q("rollback; {}"), q("select 1"), q("rollback")],
        vec![q("begin; {}"), q("select 1")],
        // A pipeline of simple queries.
        vec![all(&[
            q("begin"),
            q("insert into kept values (2)"),
            q("{}"),
            q("commit"),
            q("select 1"),
        ])],
        // Batches.
        vec![all(&[p("", "{}"), run(), message::sync()]), q("select 1")],
        vec![
            all(&[p("named", "{}"), message::sync()]),
            all(&[p("named", "select 5"), message::sync()]),
        ],
        vec![all(&[
            p("", "insert into kept values (3)"),
            run(),
            p("", "{}"),
            run(),
            p("", "select 1"),
            run(),
            message::sync(),
            q("select count(*) from kept"),
        ])],
        vec![
            all(&[
                p("", "begin"),
                run(),
                p("", "insert into kept values (4)"),
                run(),
                message::sync(),
            ]),
            all(&[p("", "{}"), message::describe(b'S', ""), run(), message::sync()]),
            all(&[p("", "commit"), run(), message::sync()]),
            q("select count(*) from kept"),
        ],
        vec![
            all(&[p("", "select 1/0"), run(), p("", "{}"), run(), message::sync()]),
            q("select 1"),
        ],
        vec![all(&[p("", "select 1"), run(), q("{}"), message::sync()]), q("select 1")],
        // The unnamed statement is gone afterwards.
        vec![all(&[p("", "select 6"), message::sync()]), q("{}"), all(&[run(), message::sync()])],
        vec![
            all(&[p("", "select 6"), message::sync()]),
            all(&[p("", "{}"), message::sync()]),
            all(&[run(), message::sync()]),
        ],
        vec![
            all(&[p("", "select 6"), message::sync()]),
            all(&[p("other", "{}"), message::sync()]),
            all(&[run(), message::sync()]),
        ],
    ]
}

/// The same messages with a text in the place of `{}`.
fn with_text(messages: &[u8], text: &str) -> Vec<u8> {
    let mut rest = messages;
    let mut out = Vec::new();
    while let Some((&tag, after)) = rest.split_first() {
        let len = u32::from_be_bytes(after[..4].try_into().unwrap()) as usize;
        let body = &after[4..len];
        let body = match body.windows(2).position(|two| two == b"{}") {
            Some(at) => [&body[..at], text.as_bytes(), &body[at + 2..]].concat(),
            None => body.to_vec(),
        };
        out.extend(message::framed(tag, &body));
        rest = &after[len..];
    }
    out
}

/// What comes back, up to as many ReadyForQuery as there are Query and Sync messages.
fn play(client: &mut RawClient, request: &[u8]) -> Vec<Frame> {
    client.send(request).unwrap();
    // Something of its own at the end says that everything before has been answered.
    client.send(&message::query("select 'the end'")).unwrap();
    let mut frames = Vec::new();
    loop {
        frames.extend(client.until_ready());
        if frames.iter().rev().find_map(Frame::first_text).as_deref() == Some("the end")
            || frames.iter().rev().take(2).any(|f| f.sqlstate().as_deref() == Some("25P02"))
        {
            return frames;
        }
    }
}

fn shown(frames: &[Frame], refusal: &str) -> Vec<String> {
    let one = |frame: &Frame| match (frame.tag, frame.sqlstate()) {
        (b'E', Some(code)) if code == refusal => "refused".to_owned(),
        (b'E', Some(code)) => format!("{code} {}", frame.field(b'M').unwrap_or_default()),
        (b'Z', _) => format!("ready {:?}", frame.status()),
        (b'C', _) => frame.command_tag().unwrap_or_default(),
        (b'D', _) => format!("{:?}", frame.texts()),
        (tag, _) => char::from(tag).to_string(),
    };
    frames.iter().map(one).collect()
}

#[test]
fn a_refused_statement_does_what_a_syntax_error_would_do_in_its_place() {
    let cluster = front::shop();
    let pool = front::pool_of(2, cluster.primary().address());
    let pgweir = pool.set("defaults", "session_state = \"refuse\"").start();
    cluster.primary().sql("shop", "create table kept (n int)").unwrap();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for (number, script) in scripts().iter().enumerate() {
        cluster.primary().sql("shop", "truncate kept").unwrap();
        let mut direct = RawClient::login(&cluster.primary().address().into(), &front::login());
        let expected: Vec<_> = script
            .iter()
            .map(|request| shown(&play(&mut direct, &with_text(request, UNREADABLE)), "42601"))
            .collect();
        let kept = cluster.primary().sql("shop", "select count(*) from kept").unwrap();
        cluster.primary().sql("shop", "truncate kept").unwrap();
        let mut client = front::client(&pgweir);
        let found: Vec<_> = script
            .iter()
            .map(|request| shown(&play(&mut client, &with_text(request, REFUSED)), "0A000"))
            .collect();
        assert_eq!(found, expected, "script {number}");
        assert_eq!(cluster.primary().sql("shop", "select count(*) from kept").unwrap(), kept);
        let refusals = found.iter().flatten().filter(|line| *line == "refused").count();
        assert!(refusals > 0 || number == 12, "script {number} refuses something");
    }
    accounts.assert_settled(secs(10));
}

#[test]
fn refusals_say_what_to_write_instead() {
    let cluster = front::shop();
    let pool = front::pool_of(1, cluster.primary().address());
    let pgweir = pool.set("defaults", "session_state = \"refuse\"").start();
    let mut client = front::client(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for (sql, reason, instead) in [
        ("create temp table t (n int)", "temporary object", "common table expression"),
        ("select 1 into temp t", "temporary object", "common table expression"),
        ("select pg_advisory_lock(1)", "advisory lock", "pg_advisory_xact_lock()"),
        ("declare c cursor with hold for select 1", "WITH HOLD cursor", "without WITH HOLD"),
        ("load 'auto_explain'", "LOAD", "pool_mode"),
        ("select setseed(0.5)", "setseed", "pool_mode"),
        ("do $$ begin set work_mem = '7MB'; end $$", "SET", "SET LOCAL"),
        ("select lastval()", "backend state", "RETURNING"),
    ] {
        for request in [message::query(sql), batch(sql, &[])] {
            client.send(&request).unwrap();
            let frames = client.until_ready();
            let error = frames.iter().find(|frame| frame.tag == b'E').expect("an error");
            assert_eq!(error.sqlstate().as_deref(), Some("0A000"), "{sql}");
            assert_eq!(error.field(b'M'), Some(format!("session state is refused: {reason}")));
            let hint = error.field(b'H').unwrap_or_default();
            assert!(hint.contains(instead), "{sql}: {hint}");
            assert!(error.field(b'D').is_some_and(|detail| detail.contains("session_state")));
        }
    }
    for sql in [
        "set work_mem = '7MB'",
        "select pg_advisory_xact_lock(1)",
        "begin; declare c cursor for select 1; commit",
        "discard all",
        "select 1",
    ] {
        assert_no_error(&client.ask(sql));
    }
    drop(client);
    accounts.assert_settled(secs(10));
}

#[test]
fn what_is_ignored_stays_on_its_server() {
    let cluster = front::shop();
    let pool = front::pool_of(1, cluster.primary().address());
    let pgweir = pool.set("defaults", "session_state = \"ignore\"").start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    assert_no_error(&client.ask("create temp table mine (n int)"));
    assert_no_error(&client.ask("select pg_advisory_lock(7)"));
    // As with PgBouncer: it is not the session's but the server's.
    assert_eq!(other.ask_value(TEMPORARY), "1");
    assert_eq!(other.ask_value(ADVISORY), "1");
    // What is followed is followed.
    client.ask("set work_mem = '7MB'");
    assert_eq!(other.ask_value("show work_mem"), "4MB");
    assert_eq!(client.ask_value("show work_mem"), "7MB");
}

#[test]
fn a_pin_without_use_ends_and_its_server_is_clean_and_shared() {
    let cluster = front::shop();
    let pool = front::pool_of(1, cluster.primary().address());
    let pgweir = pool.set("defaults", "pin_timeout = \"300ms\"").start();
    let (mut client, mut other) = (front::client(&pgweir), front::client(&pgweir));
    let pid = other.ask_value("select pg_backend_pid()");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    client.ask("select pg_advisory_lock(7)");
    client.ask("create temp table mine (n int)");
    // It waits until then.
    assert_eq!(other.ask_value(ADVISORY), "0");
    assert_eq!(other.ask_value(TEMPORARY), "0");
    assert_eq!(other.ask_value("select pg_backend_pid()"), pid);
    let last = client.until_closed();
    let error = last.iter().find(|frame| frame.tag == b'E').expect("its last words");
    assert_eq!(error.sqlstate().as_deref(), Some("57P05"));
    assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
    let detail = error.field(b'D').unwrap_or_default();
    assert!(detail.contains("temporary object, advisory lock"), "{detail}");
    assert!(detail.contains("300 ms (pin_timeout)"), "{detail}");
    // Whoever keeps nothing may be idle.
    assert_eq!(other.ask_value("select 1"), "1");
    drop(other);
    accounts.assert_settled(secs(10));
}
