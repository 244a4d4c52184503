//! Limits in time: what strikes when, whom it must not hit, and what its client is told.

mod race;
mod spared;

use super::super::mail::CancelOutcome;
use super::super::timeouts::LOOK_LIMIT_MS;
use super::super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use super::{rows, sqlstates};
use crate::config::ClockLimit;
use crate::wire::{Report, Severity, TransactionStatus, build};

const HOUR_MS: u64 = 3_600_000;

fn cancelled() -> Report {
    Report::error(b"57014", "canceling statement due to user request")
}

/// A world with these limits, a client, and a server that goes quiet once it has been given this.
fn stuck(settings: &str, before: &[&str], text: &str) -> (World, ClientEnd) {
    let mut world = World::new(1, settings);
    let client = world.client();
    world.ask(client, "select first");
    for text in before {
        world.ask(client, text);
    }
    world.servers[0].silent = true;
    world.send(client, &query(text));
    world.run();
    (world, client)
}

/// A limit has struck in a transaction on a server that gave no cancel key.
pub(super) fn struck_without_cancel_key() -> (World, ClientEnd) {
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    world.gives_cancel_keys = false;
    let client = world.client();
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    world.send(client, &query("select slow"));
    world.run();
    world.advance(2_100);
    (world, client)
}

fn struck(world: &mut World, limit: ClockLimit) -> u64 {
    world.inspect().pools[0].counters.timeouts.of(1 << limit as u32)
}

/// The order to cancel is carried out, up to the server's error.
fn cancel(world: &mut World) {
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.front_fails(0, &cancelled());
    world.servers[0].silent = false;
    world.cancel_finished(cancel, CancelOutcome::Delivered);
}

#[test]
fn a_statement_over_its_limit_is_cancelled_and_session_and_server_go_on() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    world.advance(2_099);
    assert!(world.cancels.is_empty(), "the server's own limit comes first");
    world.advance(1);
    cancel(&mut world);
    let errors = world.errors(client);
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].sqlstate(), "57014");
    assert_eq!(errors[0].message, "canceling statement due to statement timeout");
    let detail = errors[0].detail.as_deref().unwrap();
    assert!(detail.contains("ran for 2100 ms; statement_timeout is 2s ("), "{detail}");
    assert!(errors[0].hint.is_some());
    assert_eq!(world.ask(client, "select more"), "EZ", "the transaction has failed");
    assert_eq!(world.ask(client, "ROLLBACK"), "DCZ");
    assert_eq!(world.ask(client, "select next"), "DCZ");
    assert_eq!((world.dials, struck(&mut world, ClockLimit::Statement)), (1, 1));
    world.check_accounts();
}

#[test]
fn what_may_be_committing_is_cancelled_only_if_it_does_not_wait_for_a_standby() {
    for text in ["insert x", "BEGIN; insert x; COMMIT"] {
        let (mut world, client) = stuck("statement_timeout = \"2s\"", &[], text);
        world.advance(6_100);
        assert!(world.cancels.is_empty(), "{text}");
        world.looked(Some(true));
        assert_eq!(world.tags(client), "");
        // It is looked at again, for the standby may have come and something else be slow.
        world.advance(1_000);
        world.looked(Some(true));
        world.advance(1_000);
        assert_eq!(world.looks.len(), 1);
        world.servers[0].silent = false;
        world.run();
        assert!(world.tags(client).ends_with("CZ"));
        world.looked(Some(false));
        assert!(world.cancels.is_empty(), "it is over");
        assert_eq!(world.ask(client, "select next"), "DCZ");
    }
    for answer in [Some(false), None] {
        let (mut world, client) = stuck("statement_timeout = \"2s\"", &[], "insert x");
        world.advance(2_100);
        world.looked(answer);
        cancel(&mut world);
        assert_eq!(sqlstates(&mut world, client), ["57014"]);
        assert_eq!(world.ask(client, "select next"), "DCZ");
    }
    // Nobody answers.
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &[], "insert x");
    world.advance(2_100);
    world.advance(LOOK_LIMIT_MS - 100);
    assert!(world.cancels.is_empty(), "the hall may still answer");
    world.advance(100);
    cancel(&mut world);
    assert_eq!(sqlstates(&mut world, client), ["57014"]);
}

#[test]
fn a_statement_that_ends_before_the_permit_is_not_hit_nor_is_the_next() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    world.advance(2_100);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(client), "DCZ");
    world.servers[0].silent = true;
    world.send(client, &query("select next"));
    world.run();
    assert!(world.servers[0].front_len().is_some(), "nothing holds it up");
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(!permitted);
    world.cancel_finished(cancel, CancelOutcome::NotSent);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(rows(&mut world, client), ["select next"]);
    assert_eq!(struck(&mut world, ClockLimit::Statement), 0);
    assert_eq!(world.inspect().pools[0].counters.timeouts_lost_race, 1);
}

#[test]
fn nothing_is_sent_after_the_decision_until_the_signal_is_known_to_have_passed() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    world.advance(2_100);
    // Decided, not permitted yet.
    world.send(client, &query("select next"));
    world.run();
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.answer_one(0);
    assert_eq!(world.tags(client), "DC", "in a transaction ReadyForQuery is held back");
    assert_eq!(world.servers[0].front_len(), None);
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    // The barrier is a Sync; its answer is the client's.
    assert_eq!(world.servers[0].input, sync());
    assert_eq!(world.tags(client), "");
    world.answer_one(0);
    assert_eq!(world.tags(client), "Z");
    assert_eq!(world.servers[0].input, query("select next"));
    world.servers[0].silent = false;
    world.run();
    assert_eq!(rows(&mut world, client), ["select next"]);
    assert_eq!(world.ask(client, "COMMIT"), "DCZ");
    world.check_accounts();
}

#[test]
fn whoever_waits_for_a_ready_for_query_that_is_held_back_is_told_when_the_server_is_lost() {
    for server_ends in [true, false] {
        let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
        world.advance(2_100);
        let (cancel, _) = world.cancel_is_permitted();
        world.answer_one(0);
        assert_eq!(world.tags(client), "DC");
        if server_ends {
            world.kill_server(0, None);
            world.run();
        } else {
            world.cancel_finished(cancel, CancelOutcome::Unknown);
        }
        let frames = world.frames(client);
        let tags: String = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
        assert_eq!((tags.as_str(), frames[1].1.as_slice()), ("EZ", b"E".as_slice()));
        assert_eq!(world.ask(client, "COMMIT"), "CZ", "told before, so a ROLLBACK");
        if !server_ends {
            world.advance(60_000);
            world.process_is_there(false);
        }
        assert_eq!(world.ask(client, "select next"), "DCZ");
    }
}

#[test]
fn a_limit_of_the_servers_own_that_expires_as_a_statement_ends_hits_nobodys_next() {
    // pgweir's limit; what the client sets; how long its statement takes; whether that may be over a limit.
    let cases = [
        ("150ms", None, 74, false),
        ("150ms", None, 75, true),
        ("10s", None, 99, false),
        ("10s", None, 100, true),
        ("off", None, 100, true),
        ("10s", Some("set statement_timeout = 20"), 9, false),
        ("10s", Some("set statement_timeout = 20"), 10, true),
        ("10s", Some("set lock_timeout = '20ms'"), 10, true),
        ("10s", Some("begin; set local statement_timeout = 20"), 1, true),
        ("off", Some("begin; set local statement_timeout = 20"), 1, true),
        ("off", Some("begin; set local lock_timeout = 20"), 1, true),
        ("off", Some("begin; set statement_timeout = 20"), 1, true),
        ("off", Some("begin; set local work_mem = '1MB'"), 99, false),
        ("off", Some("begin"), 99, false),
    ];
    for (limit, sets, takes_ms, expires) in cases {
        let mut world = World::new(1, &format!("statement_timeout = \"{limit}\""));
        let (client, next) = (world.client(), world.client());
        world.ask(client, "select first");
        let before: Vec<_> = sets.into_iter().collect();
        before.iter().for_each(|text| assert!(world.ask(client, text).ends_with('Z')));
        let ends =
            if before.iter().any(|text| text.starts_with("begin")) { "COMMIT" } else { "select x" };
        world.servers[0].silent = true;
        world.send(client, &query(ends));
        world.run();
        world.send(next, &query("select next"));
        world.advance(takes_ms);
        world.answer_one(0);
        assert!(world.tags(client).ends_with("CZ"), "it has ended well");
        if expires {
            assert_eq!(world.servers[0].input, sync(), "{limit} {sets:?} {takes_ms}");
            let late = Report::error(b"57014", "canceling statement due to statement timeout");
            world.front_fails(0, &late);
        }
        world.servers[0].silent = false;
        world.run();
        assert_eq!(rows(&mut world, next), ["select next"], "{limit} {sets:?} {takes_ms}");
        assert_eq!(world.dials, 1);
        world.check_accounts();
    }
}

#[test]
fn a_silent_client_whose_own_cancel_request_is_under_way_is_left_alone_until_that_has_ended() {
    let settings = "idle_in_transaction_timeout = \"2s\"\npool_mode = \"session\"";
    let (mut world, client) = stuck(settings, &["BEGIN"], "select slow");
    world.client_cancels(client);
    let (cancel, _) = world.cancel_is_permitted();
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(client), "DCZ");
    world.advance(3_000);
    assert_eq!(world.servers[0].ran.last().unwrap(), "select slow");
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.advance(100);
    assert_eq!(world.servers[0].ran.last().unwrap(), "ROLLBACK");
}

#[test]
fn a_signal_that_hits_the_barrier_is_told_as_what_it_is() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    world.advance(2_100);
    let (cancel, _) = world.cancel_is_permitted();
    world.answer_one(0);
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.tags(client);
    // Nothing else was sent, so Sync itself is what fails.
    let mut error_and_ready = Vec::new();
    cancelled().write(&mut error_and_ready);
    build::ready_for_query(&mut error_and_ready, TransactionStatus::Failed);
    world.servers[0].input.clear();
    world.servers[0].status = TransactionStatus::Failed;
    world.servers[0].silent = false;
    world.server_sends(0, &error_and_ready);
    world.run();
    let frames = world.frames(client);
    let tags: String = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
    assert_eq!((tags.as_str(), frames[1].1.as_slice()), ("EZ", b"E".as_slice()));
    assert_eq!(world.ask(client, "ROLLBACK"), "DCZ");
}

#[test]
fn a_server_that_does_not_react_is_given_up_step_by_step_and_its_slot_stays_counted() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    let other = world.client();
    world.send(other, &query("select other"));
    world.advance(2_100);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.advance(1_000);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted, "a second time");
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.advance(1_999);
    assert!(world.terminated.is_empty());
    world.advance(1);
    assert_eq!(world.terminated, [1]);
    assert_eq!(world.tags(client), "");
    world.advance(1_000);
    let errors = world.errors(client);
    assert_eq!(errors[0].sqlstate(), "57014");
    let detail = errors[0].detail.as_deref().unwrap();
    assert!(detail.ends_with("given up. Its transaction is rolled back."), "{detail}");
    assert_eq!(world.inspect().pools[0].zombie, 1);
    assert_eq!(world.tags(other), "", "the slot is not free");
    assert_eq!(world.ask(client, "COMMIT"), "CZ", "told before, so a ROLLBACK");
    world.kill_server(0, None);
    world.run();
    assert_eq!(world.tags(other), "DCZ");
    assert_eq!(struck(&mut world, ClockLimit::Statement), 1);
}

#[test]
fn a_connection_that_was_given_up_is_counted_until_its_process_is_known_to_be_gone() {
    let settings = "statement_timeout = \"2s\"\npool_wait_timeout = \"off\"";
    let (mut world, client) = stuck(settings, &["BEGIN"], "select slow");
    let other = world.client();
    world.send(other, &query("select other"));
    for millis in [2_100, 1_000, 2_000, 1_000] {
        world.advance(millis);
    }
    assert_eq!(sqlstates(&mut world, client), ["57014"]);
    world.advance(59_999);
    assert!(world.zombies_asked.is_empty());
    world.advance(1);
    world.process_is_there(true);
    assert_eq!(world.inspect().pools[0].zombie, 1);
    // The next time nobody can say.
    world.advance(10_000);
    assert_eq!(world.zombies_asked.len(), 1);
    world.zombies_asked.clear();
    world.advance(10_000);
    assert_eq!((world.inspect().pools[0].zombie, world.dials), (1, 1));
    world.process_is_there(false);
    assert_eq!((world.inspect().pools[0].zombie, world.dials), (0, 2));
}

#[test]
fn a_process_that_was_ended_has_not_left_its_client_without_the_reason() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &[], "insert x");
    world.advance(2_100);
    world.looked(Some(false));
    for _ in 0..2 {
        let (cancel, _) = world.cancel_is_permitted();
        world.cancel_finished(cancel, CancelOutcome::Delivered);
        world.advance(2_000);
    }
    world.advance(1_000);
    assert_eq!(world.terminated, [1]);
    world.kill_server(0, Some("terminating connection due to administrator command"));
    world.run();
    let errors = world.errors(client);
    assert_eq!((errors.len(), errors[0].sqlstate()), (1, "57014"));
    let detail = errors[0].detail.as_deref().unwrap();
    assert!(detail.ends_with("Whether it took effect is not known."), "{detail}");
    assert_eq!(world.ask(client, "select next"), "DCZ");
}

#[test]
fn a_batch_and_a_string_have_the_limit_once_for_each_statement() {
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    world.send(client, &query("select 1; select 2; select 3"));
    world.run();
    world.advance(6_099);
    assert!(world.cancels.is_empty());
    world.advance(1);
    assert_eq!(world.cancels.len(), 1);

    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    let batch = [parse("select 1"), bind_execute(), bind_execute(), sync()].concat();
    world.send(client, &batch);
    world.run();
    world.advance(4_099);
    assert!(world.cancels.is_empty());
    world.advance(1);
    assert_eq!(world.cancels.len(), 1);
}

#[test]
fn after_the_last_command_complete_nothing_is_cut() {
    let mut world = World::new(1, "statement_timeout = \"2s\"\ntransaction_timeout = \"3s\"");
    let client = world.client();
    world.ask(client, "select first");
    world.servers[0].silent = true;
    world.send(client, &[parse("insert"), bind_execute(), sync()].concat());
    world.run();
    for _ in 0..3 {
        world.answer_one(0);
    }
    assert_eq!(world.tags(client), "12DC");
    // Only the commit is to come.
    world.advance(HOUR_MS);
    assert!(world.cancels.is_empty() && world.looks.is_empty());
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(client), "Z");
}

#[test]
fn each_statement_has_its_own_time_and_a_pause_between_them_is_nobodys() {
    let mut world = World::new(1, "statement_timeout = \"2s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    for _ in 0..20 {
        world.advance(60_000);
        world.servers[0].silent = true;
        world.send(client, &query("select slow"));
        world.run();
        world.advance(2_050);
        world.servers[0].silent = false;
        world.run();
        assert_eq!(world.tags(client), "DCZ");
    }
    assert!(world.cancels.is_empty());
}

#[test]
fn rows_that_trickle_do_not_restart_the_clock() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    for _ in 0..4 {
        world.advance(500);
        world.server_sends(0, b"D\0\0\0\x06\0\0");
        world.run();
    }
    assert_eq!(world.tags(client), "DDDD");
    world.advance(100);
    assert_eq!(world.cancels.len(), 1);
}

#[test]
fn an_idle_transaction_is_rolled_back_at_once_and_the_next_message_is_told() {
    for (message, then) in [("COMMIT", "DCZ"), ("select more", "EZ")] {
        let mut world = World::new(1, "idle_in_transaction_timeout = \"30s\"");
        let (client, other) = (world.client(), world.client());
        world.ask(client, "BEGIN");
        world.ask(client, "insert x");
        world.advance(20_000);
        world.ask(client, "insert y");
        world.advance(29_999);
        assert_eq!(world.ask(other, "select other"), "");
        world.advance(1);
        assert_eq!(world.tags(other), "DCZ", "the server is free");
        assert_eq!(world.servers[0].ran.iter().filter(|text| *text == "ROLLBACK").count(), 1);
        assert_eq!(world.tags(client), "", "nothing is sent unasked");
        world.send(client, &query(message));
        world.run();
        let errors = world.errors(client);
        assert_eq!(errors[0].sqlstate(), "25P03", "{message}");
        let detail = errors[0].detail.as_deref().unwrap();
        assert!(detail.contains("30000 ms; idle_in_transaction_timeout is 30s ("), "{detail}");
        assert_eq!(world.ask(client, "select next"), then, "{message}");
        if message != "COMMIT" {
            assert_eq!(world.ask(client, "COMMIT"), "CZ");
        }
        assert_eq!(world.ask(client, "select last"), "DCZ");
        assert_eq!(struck(&mut world, ClockLimit::IdleInTransaction), 1);
        world.check_accounts();
    }
}

#[test]
fn a_client_that_says_nothing_in_an_open_batch_is_idle_too() {
    let mut world = World::new(1, "idle_in_transaction_timeout = \"30s\"");
    let client = world.client();
    world.send(client, &[parse("insert"), bind_execute(), b"H\0\0\0\x04".to_vec()].concat());
    world.run();
    assert_eq!(world.tags(client), "12DC");
    world.advance(31_000);
    world.advance(31_000);
    world.send(client, &[bind_execute(), sync()].concat());
    world.run();
    let frames = world.frames(client);
    let tags: String = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
    assert_eq!(tags, "EZ");
    assert_eq!(Report::from_server(&frames[0].1).sqlstate(), "25P03");
    assert_eq!(world.ask(client, "ROLLBACK"), "CZ");
    assert_eq!(world.ask(client, "select next"), "DCZ");
    world.check_accounts();
}

#[test]
fn a_session_that_needs_its_server_keeps_it_when_its_transaction_is_rolled_back() {
    let settings = "idle_in_transaction_timeout = \"30s\"\npool_mode = \"session\"";
    let mut world = World::new(1, settings);
    let client = world.client();
    world.ask(client, "CREATE TEMP TABLE t ()");
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.advance(30_000);
    assert_eq!(world.servers[0].ran.last().unwrap(), "ROLLBACK");
    world.send(client, &query("insert y"));
    world.run();
    assert_eq!(sqlstates(&mut world, client), ["25P03"]);
    assert_eq!(world.ask(client, "insert z"), "EZ");
    assert_eq!(world.ask(client, "ROLLBACK"), "CZ");
    assert_eq!(world.ask(client, "select next"), "DCZ");
    assert!(!world.servers[0].ran.contains(&"DISCARD ALL".to_owned()));
    assert_eq!(world.dials, 1);
}

#[test]
fn a_transaction_over_its_limit_is_rolled_back_whatever_it_does() {
    // It runs something.
    let (mut world, client) = stuck("transaction_timeout = \"10s\"", &["BEGIN"], "select slow");
    world.advance(10_100);
    cancel(&mut world);
    assert_eq!(sqlstates(&mut world, client), ["25P04"]);
    let other = world.client();
    assert_eq!(world.ask(other, "select other"), "DCZ", "the server is free");
    assert_eq!(world.ask(client, "select more"), "EZ");
    assert_eq!(world.ask(client, "ROLLBACK"), "CZ");
    assert_eq!(world.ask(client, "select next"), "DCZ");

    // It has been told, and goes on before the cancel request is known to have passed.
    let (mut world, client) = stuck("transaction_timeout = \"10s\"", &["BEGIN"], "select slow");
    world.advance(10_100);
    let (cancel, _) = world.cancel_is_permitted();
    world.front_fails(0, &cancelled());
    world.servers[0].silent = false;
    assert_eq!(sqlstates(&mut world, client), ["25P04"]);
    world.send(client, &query("ROLLBACK"));
    world.run();
    assert_eq!(world.tags(client), "");
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    assert_eq!(world.tags(client), "CZ");

    // It is idle between statements.
    let mut world = World::new(1, "transaction_timeout = \"10s\"");
    let client = world.client();
    world.ask(client, "BEGIN");
    for _ in 0..9 {
        world.advance(1_000);
        assert_eq!(world.ask(client, "insert"), "DCZ");
    }
    world.advance(1_000);
    world.send(client, &query("COMMIT"));
    world.run();
    assert_eq!(sqlstates(&mut world, client), ["25P04"], "never success for what is lost");
    assert_eq!(world.ask(client, "select next"), "DCZ");

    // A COMMIT that runs is left alone.
    let (mut world, client) = stuck("transaction_timeout = \"10s\"", &["BEGIN"], "COMMIT");
    world.advance(HOUR_MS);
    assert!(world.cancels.is_empty() && world.looks.is_empty());
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(client), "DCZ");
}

#[test]
fn who_has_no_limit_runs_for_hours() {
    let file = "[defaults]\nreserve_pool_size = 0\npool_size = 1\nstatement_timeout = \"1s\"\n\
                idle_in_transaction_timeout = \"1s\"\ntransaction_timeout = \"1s\"\n\
                [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n[roles.app]\n\
                password = \"x\"\nstatement_timeout = \"off\"\n\
                idle_in_transaction_timeout = \"off\"\ntransaction_timeout = \"off\"\n";
    let mut world = World::of(file);
    let client = world.client();
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    world.send(client, &query("select slow"));
    world.run();
    for _ in 0..24 {
        world.advance(HOUR_MS);
    }
    assert!(world.cancels.is_empty());
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(client), "DCZ");
    for _ in 0..24 {
        world.advance(HOUR_MS);
    }
    assert_eq!(world.ask(client, "COMMIT"), "DCZ");
}

#[test]
fn a_reload_counts_from_the_next_transaction_on() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    world.reload("pool_size = 1\nstatement_timeout = \"off\"");
    world.advance(2_100);
    cancel(&mut world);
    assert_eq!(sqlstates(&mut world, client), ["57014"]);
    world.ask(client, "ROLLBACK");
    world.servers[0].silent = true;
    world.send(client, &query("select slow"));
    world.run();
    world.advance(HOUR_MS);
    assert!(world.looks.is_empty() && world.cancels.is_empty());
}

#[test]
fn whoever_may_set_anything_lifts_the_limit() {
    for (mode, lifts) in [("any", true), ("lower", false), ("never", false)] {
        let settings = format!("statement_timeout = \"2s\"\ntimeout_override = \"{mode}\"");
        let set = ["SET statement_timeout = 0", "BEGIN"];
        let (mut world, _) = stuck(&settings, &set, "select slow");
        world.advance(10_000);
        assert_eq!(world.cancels.is_empty(), lifts, "{mode}");
    }
}

#[test]
fn what_is_only_reported_runs_on() {
    let settings = "statement_timeout = \"2s\"\ntimeout_action = \"report\"";
    let (mut world, client) = stuck(settings, &["BEGIN"], "select slow");
    world.advance(HOUR_MS);
    assert!(world.cancels.is_empty());
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(client), "DCZ");
}

#[test]
fn a_server_without_a_cancel_key_is_closed_instead() {
    let (mut world, client) = struck_without_cancel_key();
    assert_eq!(sqlstates(&mut world, client), ["57014"]);
    assert_eq!(world.ask(client, "ROLLBACK"), "CZ");
}

#[test]
fn a_client_that_leaves_while_its_statement_is_cancelled_leaves_a_clean_server() {
    let (mut world, client) = stuck("statement_timeout = \"2s\"", &["BEGIN"], "select slow");
    world.advance(2_100);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.hang_up(client);
    world.run();
    world.advance(1_100);
    world.front_fails(0, &cancelled());
    world.servers[0].silent = false;
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    let other = world.client();
    assert_eq!(world.ask(other, "select other"), "DCZ");
    world.check_accounts();
}

/// The tags that a client got, and the error among them.
fn last_words(world: &mut World, client: ClientEnd) -> (String, Report) {
    let frames = world.frames(client);
    let tags = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
    let error = frames.iter().find(|(tag, _)| *tag == b'E').expect("an error");
    (tags, Report::from_server(&error.1))
}

#[test]
fn a_limit_that_closes_ends_the_session_with_its_reason_and_the_server_serves_on() {
    let settings = "statement_timeout = \"2s\"\ntimeout_action = \"close\"";
    let (mut world, client) = stuck(settings, &["BEGIN"], "select slow");
    // What has been sent behind it is not told any more.
    world.send(client, &query("select next"));
    world.run();
    world.advance(2_100);
    assert!(!world.is_closed(client), "not before the server has answered");
    cancel(&mut world);
    let (tags, error) = last_words(&mut world, client);
    assert_eq!((tags.as_str(), error.sqlstate()), ("E", "57014"));
    assert_eq!(error.severity, Severity::Fatal);
    assert!(error.detail.unwrap().contains("statement_timeout is 2s ("));
    assert!(world.is_closed(client));
    let other = world.client();
    assert_eq!(world.ask(other, "select other"), "DCZ");
    assert_eq!((world.dials, struck(&mut world, ClockLimit::Statement)), (1, 1));
    world.check_accounts();
}

#[test]
fn a_limit_that_closes_tells_so_where_the_server_does_not_react_or_the_client_is_silent() {
    let settings = "statement_timeout = \"2s\"\ntimeout_action = \"close\"";
    let mut world = World::new(1, settings);
    world.gives_cancel_keys = false;
    let client = world.client();
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    world.send(client, &query("select slow"));
    world.run();
    world.advance(2_100);
    let (tags, error) = last_words(&mut world, client);
    assert_eq!((tags.as_str(), error.sqlstate(), error.severity), ("E", "57014", Severity::Fatal));
    assert!(error.detail.unwrap().contains("its connection was given up"));
    assert!(world.is_closed(client));

    let settings = "idle_in_transaction_timeout = \"2s\"\ntimeout_action = \"close\"";
    let mut world = World::new(1, settings);
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.advance(2_100);
    let (tags, error) = last_words(&mut world, client);
    assert_eq!((tags.as_str(), error.sqlstate(), error.severity), ("E", "25P03", Severity::Fatal));
    assert!(world.is_closed(client));
    let other = world.client();
    assert_eq!(world.ask(other, "select other"), "DCZ");
    assert_eq!(world.servers[0].ran.iter().filter(|text| *text == "ROLLBACK").count(), 1);
    world.check_accounts();
}
