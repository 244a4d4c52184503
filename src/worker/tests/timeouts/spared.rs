//! Whom and what pgweir's clock spares, and what it does not: commits, pauses, maintenance, slow readers,
//! half messages, and texts that would lift their own limit.

use super::super::super::mail::CancelOutcome;
use super::super::super::world::{World, bind_execute, parse, query, sync};
use super::{cancelled, stuck};
use crate::session::OwnLimits;
use crate::wire::{Report, build};

const FLUSH: &[u8] = b"H\0\0\0\x04";

#[test]
fn a_commit_alone_is_never_cut() {
    let (mut world, _) = stuck("statement_timeout = \"2s\"", &["BEGIN", "insert x"], "COMMIT");
    world.advance(2_100);
    let looks = world.looks.len();
    world.advance(1_000);
    assert_eq!((looks, world.cancels.len()), (0, 0), "looks, cancels");
}

#[test]
fn a_pause_in_an_open_batch_is_no_statements_time() {
    let mut world = World::new(2, "statement_timeout = \"2s\"");
    let (client, other) = (world.client(), world.client());
    world.ask(client, "BEGIN");
    world.send(client, &[parse("select 1"), bind_execute(), FLUSH.to_vec()].concat());
    world.run();
    assert_eq!(world.tags(client), "12DC");
    world.advance(58_000);
    // Somebody else's business makes the loop look soon.
    world.ask(other, "select other");
    world.advance(2_000);
    world.servers[0].silent = true;
    world.send(client, &[bind_execute(), FLUSH.to_vec()].concat());
    world.run();
    world.advance(200);
    assert!(world.cancels.is_empty(), "cut 200 ms after it began, under a limit of 2 s");
}

#[test]
fn a_statement_behind_a_pause_in_an_open_batch_is_looked_at() {
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    world.send(client, &[parse("select 1"), bind_execute(), FLUSH.to_vec()].concat());
    world.run();
    world.advance(60_000);
    world.advance(60_000);
    world.servers[0].silent = true;
    world.send(client, &[bind_execute(), FLUSH.to_vec()].concat());
    world.run();
    world.advance(3_600_000);
    assert_eq!(world.cancels.len(), 1);
}

#[test]
fn nothing_follows_a_cancel_request_that_may_have_got_lost_in_a_transaction() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    world.advance(2_100);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.cancel_finished(cancel, CancelOutcome::Unknown);
    world.answer_one(0);
    world.send(client, &query("insert next"));
    world.run();
    assert_eq!(
        world.servers[0].front_len(),
        None,
        "the signal may hit this: {:?}",
        world.tags(client)
    );
}

#[test]
fn nothing_follows_a_cancel_request_that_may_have_got_lost_in_session_mode() {
    let settings = "statement_timeout = \"2s\"\npool_mode = \"session\"";
    let (mut world, client) = stuck(settings, &[], "select slow");
    world.advance(2_100);
    world.looked(Some(false));
    let (cancel, _) = world.cancel_is_permitted();
    world.cancel_finished(cancel, CancelOutcome::Unknown);
    world.answer_one(0);
    world.servers[0].silent = false;
    for n in 0..5 {
        world.advance(60_000);
        world.ask(client, &format!("insert {n}"));
    }
    let after = world.servers[0].ran.iter().filter(|text| text.starts_with("insert")).count();
    assert_eq!(after, 0, "run on a server that a signal may hit at any time");
}

#[test]
fn what_is_only_reported_is_reported_once() {
    let mut world = World::new(2, "transaction_timeout = \"1s\"\ntimeout_action = \"report\"");
    let (client, other) = (world.client(), world.client());
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.advance(1_000);
    for _ in 0..50 {
        world.ask(other, "BEGIN");
        world.advance(100);
        world.ask(other, "COMMIT");
        world.advance(100);
    }
    assert_eq!(world.list().timeouts.len(), 1);
}

#[test]
fn a_commit_that_was_given_up_is_not_called_rolled_back() {
    let settings = "statement_timeout = \"2s\"\ntimeout_action = \"close\"";
    let (mut world, client) = stuck(settings, &["BEGIN", "insert x"], "COMMIT");
    for millis in [2_100, 1_000, 1_000, 2_000, 1_000] {
        world.advance(millis);
    }
    let errors = world.errors(client);
    let detail = errors.first().and_then(|error| error.detail.clone()).unwrap_or_default();
    assert!(!detail.contains("rolled back"), "{errors:?}");
}

#[test]
fn each_of_two_pipelined_vacuums_has_the_limit_of_maintenance() {
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.servers[0].silent = true;
    world.send(client, &[query("VACUUM a"), query("VACUUM b")].concat());
    world.run();
    world.answer_one(0);
    world.advance(2_100);
    assert!(world.looks.is_empty(), "it is about to be cut at statement_timeout");
}

#[test]
fn a_commit_that_was_parsed_in_another_batch_is_never_cut_by_transaction_timeout() {
    let mut world = World::new(1, "transaction_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.send(client, &[parse("COMMIT"), sync()].concat());
    world.run();
    world.tags(client);
    world.servers[0].silent = true;
    world.send(client, &[bind_execute(), sync()].concat());
    world.run();
    world.advance(2_100);
    assert_eq!((world.looks.len(), world.cancels.len()), (0, 0), "looks, cancels");
}

#[test]
fn half_a_bind_is_no_way_to_hold_a_transaction_for_ever() {
    let mut world =
        World::new(1, "idle_in_transaction_timeout = \"30s\"\nstatement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.send(client, &[parse("select $1"), sync()].concat());
    world.run();
    let mut half = vec![b'B'];
    half.extend_from_slice(&1_000_000_u32.to_be_bytes());
    half.extend_from_slice(&[0; 1_000]);
    world.send(client, &half);
    world.run();
    for _ in 0..60 {
        world.advance(60_000);
    }
    let gone = world.servers[0].terminated || world.inspect().pools[0].leased == 0;
    assert!(gone, "an hour of silence");
}

#[test]
fn a_transactions_limit_does_not_cut_maintenance() {
    let (mut world, _) = stuck("transaction_timeout = \"2s\"", &[], "VACUUM t");
    world.advance(2_100);
    assert!(world.looks.is_empty() && world.cancels.is_empty());
}

#[test]
fn where_anything_may_be_set_what_alter_role_says_is_no_higher_than_the_clock() {
    let mut world = World::new(1, "statement_timeout = \"2s\"\ntimeout_override = \"any\"");
    let spec = world.spec("app", "app");
    assert!(spec.set_own_limits(OwnLimits { statement: Some(60_000), lock: None }));
    let client = world.client();
    world.ask(client, "select first");
    assert_eq!(world.servers[0].parameter("statement_timeout"), "60000");
    world.servers[0].silent = true;
    world.send(client, &query("select slow"));
    world.run();
    world.advance(2_100);
    assert!(world.looks.is_empty(), "the server's limit is 60 s, the clock's 2 s");
}

#[test]
fn a_string_that_lifts_the_servers_limit_has_pgweirs_once() {
    let text = format!("SET statement_timeout = 0; select slow;{}", "select 1;".repeat(60_000));
    let (mut world, _) = stuck("statement_timeout = \"15s\"", &["BEGIN"], &text);
    world.advance(24 * 3_600_000);
    assert_eq!(world.cancels.len(), 1, "a day later");
}

#[test]
fn a_text_with_analyze_in_it_is_no_free_pass() {
    let (mut world, _) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow; analyze t");
    world.advance(24 * 3_600_000);
    assert_eq!(world.cancels.len(), 1, "a day later");
}

#[test]
fn a_client_that_reads_slowly_is_told_what_struck_and_keeps_its_session() {
    let settings = "statement_timeout = \"2s\"";
    let (mut world, client) = stuck(settings, &["BEGIN"], "select slow");
    world.set_room(client, 1_000);
    let mut rows = Vec::new();
    for _ in 0..5 {
        rows.push(b'D');
        build::sized(&mut rows, |out| {
            out.extend_from_slice(&[0, 1]);
            out.extend_from_slice(&600_u32.to_be_bytes());
            out.extend_from_slice(&[b'x'; 600]);
        });
    }
    // What a read takes ends in the middle of a row, as it does.
    rows.truncate(rows.len() - 100);
    world.server_sends(0, &rows);
    world.run();
    world.advance(2_100);
    // The server writes and does not look at signals.
    for millis in [0, 1_000, 2_000] {
        world.advance(millis);
        if !world.cancels.is_empty() {
            let (cancel, _) = world.cancel_is_permitted();
            world.cancel_finished(cancel, CancelOutcome::Delivered);
        }
    }
    world.advance(1_000);
    let mut got = Vec::new();
    world.set_room(client, 1 << 20);
    for _ in 0..20 {
        got.extend(world.received(client));
        world.run();
    }
    assert!(!world.is_closed(client), "terminated {:?}, {} bytes", world.terminated, got.len());
}

#[test]
fn a_batch_with_a_commit_before_a_query_is_never_cut() {
    let mut world = World::new(1, "transaction_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.servers[0].silent = true;
    world.send(client, &[parse("COMMIT"), bind_execute(), query("select 1")].concat());
    world.run();
    world.advance(2_100);
    assert_eq!((world.looks.len(), world.cancels.len()), (0, 0), "looks, cancels");
}

#[test]
fn one_users_cancel_request_does_not_stand_in_for_pgweirs() {
    // The client cancels unit 1; unit 2 runs too long; the refused order of the client's is in the way.
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    world.send(client, &query("select one"));
    world.run();
    world.client_cancels(client);
    world.answer_one(0);
    world.send(client, &query("select two"));
    world.run();
    world.advance(2_100);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(!permitted);
    world.cancel_finished(cancel, CancelOutcome::NotSent);
    assert_eq!(world.cancels.len(), 1, "pgweir's own request");
}

#[test]
fn what_runs_behind_a_rollback_in_its_string_commits_by_itself() {
    let (mut world, _) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "ROLLBACK; insert x");
    world.advance(4_200);
    assert_eq!((world.looks.len(), world.cancels.len()), (1, 0), "looks, cancels");
}

#[test]
fn what_a_session_lowers_itself_is_its_own_in_a_string_too() {
    let mut world = World::new(1, "statement_timeout = \"15s\"");
    let client = world.client();
    world.ask(client, "SET statement_timeout = '10s'");
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    world.send(client, &query("select 1; select 2"));
    world.run();
    // Nine seconds for the first, ten for the second.
    world.advance(19_000);
    world.front_fails(0, &cancelled());
    let errors = world.errors(client);
    assert_eq!(errors[0].detail, None);
}

#[test]
fn a_server_that_speaks_another_language() {
    let (mut world, client) =
        stuck("statement_timeout = \"2s\"\ntimeout_action = \"report\"", &["BEGIN"], "select slow");
    world.advance(60_000);
    world.front_fails(0, &Report::error(b"57014", "storniere Anfrage wegen Benutzeraufforderung"));
    let errors = world.errors(client);
    assert_eq!(errors[0].message, "storniere Anfrage wegen Benutzeraufforderung");
}
