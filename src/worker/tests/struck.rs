//! What is told of limits in time that have struck: to SHOW TIMEOUTS, with the text that ran.

use super::super::listing::{Belt, Outcome, TimeoutLine};
use super::super::mail::CancelOutcome;
use super::super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use super::sqlstates;
use super::timeouts::struck_without_cancel_key;
use crate::config::ClockLimit;
use crate::sql::Fingerprint;
use crate::wire::{Report, handshake};

fn server_has_cancelled() -> Report {
    Report::error(b"57014", "canceling statement due to statement timeout")
}

/// A client in a transaction whose server goes quiet and is given this.
fn stuck(settings: &str, message: &[u8]) -> (World, ClientEnd) {
    let mut world = World::new(1, settings);
    let client = world.client();
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    world.send(client, message);
    world.run();
    (world, client)
}

fn of(text: &str) -> Option<Fingerprint> {
    Some(Fingerprint::of(text.as_bytes()))
}

/// What SHOW TIMEOUTS has, in short.
fn lines(world: &mut World) -> Vec<(Outcome, Belt, Option<Fingerprint>)> {
    let lines = world.list().timeouts;
    lines.iter().map(|line| (line.outcome, line.belt, line.fingerprint)).collect()
}

/// pgweir's order to cancel is carried out.
fn cancel(world: &mut World) {
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.front_fails(0, &Report::error(b"57014", "canceling statement due to user request"));
    world.servers[0].silent = false;
    world.cancel_finished(cancel, CancelOutcome::Delivered);
}

#[test]
fn what_pgweir_has_cancelled_is_remembered_once_with_its_text() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &query("select slow, 17"));
    world.advance(2_100);
    assert_eq!(lines(&mut world), [], "the outcome is not known yet");
    cancel(&mut world);
    assert_eq!(sqlstates(&mut world, client), ["57014"]);
    world.advance(500);
    let listed = world.list().timeouts;
    let expected = TimeoutLine {
        database: listed[0].database.clone(),
        role: listed[0].role.clone(),
        age_ms: 500,
        limit: ClockLimit::Statement,
        limit_ms: 2_000,
        elapsed_ms: 2_100,
        belt: Belt::Pgweir,
        outcome: Outcome::Cancelled,
        fingerprint: of("SELECT slow, 4"),
    };
    assert_eq!(listed, [expected]);
    assert!(!listed[0].database.is_empty() && !listed[0].role.is_empty());
}

#[test]
fn what_the_server_has_cancelled_is_remembered_too() {
    let batch = |text: &str| [parse(text), bind_execute(), sync()].concat();
    for (message, text) in [
        (query("select slow"), "select slow"),
        (batch("select slow"), "select slow"),
        ([query("select 1"), batch("select other")].concat(), "select 1"),
    ] {
        let (mut world, client) = stuck("statement_timeout = \"2s\"", &message);
        world.advance(2_001);
        world.front_fails(0, &server_has_cancelled());
        world.servers[0].silent = false;
        world.run();
        assert_eq!(sqlstates(&mut world, client)[0], "57014");
        assert_eq!(lines(&mut world), [(Outcome::Cancelled, Belt::Server, of(text))], "{text}");
    }
}

#[test]
fn of_a_batch_it_is_the_text_that_runs() {
    let first = [parse("select first"), bind_execute()].concat();
    let message = [first, parse("select second"), bind_execute(), sync()].concat();
    let (mut world, _) = stuck("statement_timeout = \"1s\"", &message);
    // The first three, and the second Parse and Bind.
    for _ in 0..5 {
        world.answer_one(0);
    }
    world.advance(2_100);
    cancel(&mut world);
    assert_eq!(lines(&mut world), [(Outcome::Cancelled, Belt::Pgweir, of("select second"))]);
}

#[test]
fn every_end_has_its_word() {
    // It ended before the permit.
    let (mut world, _) = stuck("statement_timeout = \"2s\"", &query("select slow"));
    world.advance(2_100);
    world.servers[0].silent = false;
    world.run();
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(!permitted);
    world.cancel_finished(cancel, CancelOutcome::NotSent);
    assert_eq!(lines(&mut world), [(Outcome::LostRace, Belt::Pgweir, of("select slow"))]);

    // Its client is silent.
    let mut world = World::new(1, "idle_in_transaction_timeout = \"30s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.advance(30_000);
    assert_eq!(lines(&mut world), [(Outcome::RolledBack, Belt::Pgweir, of("insert x"))]);

    // It is only told.
    let settings = "statement_timeout = \"2s\"\ntimeout_action = \"report\"";
    let (mut world, _) = stuck(settings, &query("select slow"));
    world.advance(2_100);
    world.advance(10_000);
    assert_eq!(lines(&mut world), [(Outcome::Reported, Belt::Pgweir, of("select slow"))]);

    // It waits for a standby, however often it is looked at; then it does not.
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "select first");
    world.servers[0].silent = true;
    world.send(client, &query("insert x"));
    world.run();
    world.advance(2_100);
    for _ in 0..3 {
        world.looked(Some(true));
        world.advance(1_000);
    }
    let waits = (Outcome::WaitsForStandby, Belt::Pgweir, of("insert x"));
    assert_eq!(lines(&mut world), [waits]);
    world.looked(Some(false));
    self::cancel(&mut world);
    assert_eq!(lines(&mut world)[0].0, Outcome::Cancelled);
    assert_eq!(lines(&mut world).len(), 2);

    // Nobody could say, and it did wait: it has committed, and says so.
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "select first");
    world.servers[0].silent = true;
    world.send(client, &query("insert x"));
    world.run();
    world.advance(2_100);
    world.looked(None);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    let mut warning =
        b"SWARNUNG\0VWARNING\0C01000\0MWarten abgebrochen\0Fsyncrep.c\0L300\0".to_vec();
    warning.extend_from_slice(b"RSyncRepWaitForLSN\0\0");
    let mut notice = Vec::new();
    handshake::message(&mut notice, b'N', &warning);
    world.server_says(0, &notice);
    world.servers[0].silent = false;
    world.run();
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    assert_eq!(world.tags(client), "NDCZ");
    assert_eq!(lines(&mut world), [(Outcome::Unconfirmed, Belt::Pgweir, of("insert x"))]);

    // The server cannot be cancelled and is lost.
    let (mut world, _) = struck_without_cancel_key();
    assert_eq!(lines(&mut world), [(Outcome::GivenUp, Belt::Pgweir, of("select slow"))]);
}

#[test]
fn a_loop_remembers_a_hundred_and_no_more() {
    let mut world = World::new(1, "idle_in_transaction_timeout = \"1s\"");
    let client = world.client();
    for number in 0..130 {
        world.ask(client, "BEGIN");
        let table = if number < 30 { "insert old" } else { "insert new" };
        world.ask(client, table);
        world.advance(1_100);
        world.send(client, &query("COMMIT"));
        world.run();
        assert_eq!(sqlstates(&mut world, client), ["25P03"]);
    }
    let lines = world.list().timeouts;
    assert_eq!(lines.len(), 100);
    assert!(lines.iter().all(|line| line.fingerprint == of("insert new")));
    assert!(lines.is_sorted_by_key(|line| line.age_ms), "the newest come first");
}

#[test]
fn without_limits_nothing_is_kept() {
    let mut world = World::new(1, "");
    let client = world.client();
    world.ask(client, "select 1");
    world.send(client, &[parse("select 2"), bind_execute(), sync()].concat());
    world.run();
    assert!(!world.remembers_texts());
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "select 1");
    assert!(world.remembers_texts());
}

#[test]
fn what_comes_while_a_transaction_is_cancelled_is_answered_when_that_is_over() {
    let (mut world, client) = stuck("transaction_timeout = \"2s\"", &query("select slow"));
    world.advance(2_100);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.front_fails(0, &Report::error(b"57014", "canceling statement due to user request"));
    world.servers[0].silent = false;
    world.run();
    assert_eq!(sqlstates(&mut world, client), ["25P04"]);
    world.send(client, &query("select next"));
    world.run();
    assert_eq!(world.tags(client), "", "the signal is on its way");
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.run();
    assert_eq!(sqlstates(&mut world, client), ["25P02"]);
    assert_eq!(world.ask(client, "ROLLBACK"), "CZ");
}
