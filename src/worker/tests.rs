mod bounds;
mod ends;
mod fairness;
mod guard;
mod guard_ways;
mod limits;
mod listen;
mod loops;
mod own;
mod parameters;
mod pins;
mod prepared;
mod refuse;
mod route;
mod route_corners;
mod silence;
mod standing;
mod struck;
mod timeouts;
mod vacate;

use super::mail::{CancelOutcome, DialFailure};
use super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use crate::wire::Report;

fn refused() -> DialFailure {
    DialFailure { report: Report::error(b"08001", "connection refused"), permanent: false }
}

/// The texts of the rows that a client has received.
fn rows(world: &mut World, client: ClientEnd) -> Vec<String> {
    let frames = world.frames(client).into_iter();
    frames
        .filter(|(tag, _)| *tag == b'D')
        .map(|(_, body)| String::from_utf8(body[6..].to_vec()).unwrap())
        .collect()
}

fn sqlstates(world: &mut World, client: ClientEnd) -> Vec<String> {
    world.errors(client).iter().map(|report| report.sqlstate().to_owned()).collect()
}

#[test]
fn clients_share_one_server_between_their_transactions() {
    let mut world = World::new(1, "");
    let clients: Vec<_> = (0..10).map(|_| world.client()).collect();
    for round in 0..3 {
        for (n, &client) in clients.iter().enumerate() {
            world.send(client, &query(&format!("select {n}:{round}")));
        }
        world.run();
        for (n, &client) in clients.iter().enumerate() {
            assert_eq!(rows(&mut world, client), [format!("select {n}:{round}")]);
        }
    }
    assert_eq!(world.dials, 1);
    world.check_accounts();
}

#[test]
fn a_transaction_keeps_its_server_until_it_ends() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "BEGIN"), "DCZ");
    assert_eq!(world.ask(b, "select b"), "");
    assert_eq!(world.ask(a, "select a"), "DCZ");
    assert_eq!(world.ask(a, "COMMIT"), "DCZ");
    assert_eq!(rows(&mut world, b), ["select b"]);
}

#[test]
fn startup_parameters_follow_the_client_and_reach_nobody_else() {
    let mut world = World::new(1, "");
    let tokyo = world.client_with(&[("TimeZone", "Asia/Tokyo"), ("search_path", "a, b")]);
    let plain = world.client();
    for _ in 0..3 {
        world.ask(tokyo, "SHOW timezone");
        world.ask(plain, "SHOW timezone");
    }
    world.send(tokyo, &query("SHOW search_path"));
    world.run();
    assert_eq!(rows(&mut world, tokyo), ["a, b"]);
    world.send(plain, &query("SHOW timezone"));
    world.run();
    assert_eq!(rows(&mut world, plain), [""]);
    world.check_accounts();
}

#[test]
fn a_startup_parameter_that_the_server_refuses_ends_the_login() {
    let mut world = World::new(1, "");
    let client = world.arriving_client(&[("nonsense", "1")]);
    world.run();
    assert_eq!(sqlstates(&mut world, client), ["XX001"]);
    assert!(world.is_closed(client));
    world.check_quiet();
}

#[test]
fn a_waiting_client_is_refused_after_pool_wait_timeout_and_goes_on() {
    let mut world = World::new(1, "pool_wait_timeout = \"5s\"");
    let (holder, waiter) = (world.client(), world.client());
    world.ask(holder, "BEGIN");
    world.send(waiter, &[parse("select 1"), bind_execute(), sync()].concat());
    world.run();
    world.advance(4_999);
    assert_eq!(world.tags(waiter), "");
    world.advance(1);
    let tags: Vec<_> = world.frames(waiter);
    assert_eq!(tags.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), b"EZ");
    assert_eq!(Report::from_server(&tags[0].1).sqlstate(), "53300");
    world.ask(holder, "COMMIT");
    assert_eq!(world.ask(waiter, "select 2"), "DCZ");
    world.check_accounts();
}

#[test]
fn while_postgres_is_down_logins_wait_and_then_learn_why() {
    let mut world = World::new(2, "pool_wait_timeout = \"2s\"");
    world.dial_failures = (0..1_000).map(|_| refused()).collect();
    let client = world.arriving_client(&[]);
    world.run();
    for _ in 0..20 {
        assert!(!world.is_closed(client));
        world.advance(100);
    }
    let errors = world.errors(client);
    assert_eq!(errors[0].sqlstate(), "57P03");
    assert!(errors[0].detail.as_deref().unwrap().contains("connection refused"));
    assert!(world.is_closed(client));
    assert!(world.dials < 20, "{} dials", world.dials);
    world.dial_failures.clear();
    let client = world.arriving_client(&[]);
    world.advance(1_500);
    assert!(world.tags(client).ends_with("KZ"));
    world.check_accounts();
}

#[test]
fn a_database_that_does_not_exist_is_told_at_once_in_the_servers_words() {
    let mut world = World::new(2, "");
    let report = Report::fatal(b"3D000", "database \"x\" does not exist");
    world.dial_failures.push_back(DialFailure { report, permanent: true });
    let client = world.arriving_client(&[]);
    world.run();
    let errors = world.errors(client);
    assert_eq!(errors[0].sqlstate(), "3D000");
    assert!(world.is_closed(client));
}

#[test]
fn a_batch_without_sync_keeps_its_server() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.send(a, &[parse("select a"), bind_execute()].concat());
    world.run();
    assert_eq!(world.tags(a), "12DC");
    assert_eq!(world.ask(b, "select b"), "");
    world.send(a, &sync());
    world.run();
    assert_eq!(world.tags(a), "Z");
    assert_eq!(world.tags(b), "DCZ");
}

#[test]
fn the_unnamed_statement_follows_its_client_and_is_never_anothers() {
    let mut world = World::new(1, "");
    let (a, b, c) = (world.client(), world.client(), world.client());
    for (client, text) in [(a, "select a"), (b, "select b")] {
        world.send(client, &[parse(text), sync()].concat());
        world.run();
        assert_eq!(world.tags(client), "1Z");
    }
    for _ in 0..3 {
        for (client, text) in [(a, "select a"), (b, "select b")] {
            world.send(client, &[bind_execute(), sync()].concat());
            world.run();
            assert_eq!(rows(&mut world, client), [text]);
        }
    }
    world.send(c, &[bind_execute(), sync()].concat());
    world.run();
    assert_eq!(world.tags(c), "EZ");
    // A Query throws it away, as in Postgres.
    world.ask(a, "select x");
    world.send(a, &[bind_execute(), sync()].concat());
    world.run();
    assert_eq!(world.tags(a), "EZ");
    world.check_accounts();
}

#[test]
fn a_bind_that_depends_on_a_batch_not_yet_answered_waits_for_it() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.send(b, &[parse("select secret of b"), sync()].concat());
    world.run();
    // The first batch fails before its Parse: the second must not meet the statement of `b`.
    let first = [bind_execute(), parse("select a"), sync()].concat();
    world.send(a, &[first, bind_execute(), sync()].concat());
    world.run();
    assert!(!String::from_utf8_lossy(&world.received(a)).contains("secret"));
    world.send(a, &[parse("bad"), sync(), bind_execute(), sync()].concat());
    world.run();
    assert!(!String::from_utf8_lossy(&world.received(a)).contains("secret"));
    assert_eq!(world.ask(a, "select 1"), "DCZ");
}

#[test]
fn query_and_terminate_in_one_packet_runs_the_query() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.send(a, &[query("insert"), b"X\0\0\0\x04".to_vec()].concat());
    world.run();
    assert!(world.servers[0].ran.contains(&"insert".to_owned()));
    assert!(world.is_closed(a));
    // The same while it has to queue, with the connection closed behind it.
    let c = world.client();
    world.ask(b, "BEGIN");
    world.send(c, &[query("insert c"), b"X\0\0\0\x04".to_vec()].concat());
    world.hang_up(c);
    world.run();
    world.ask(b, "COMMIT");
    assert!(world.servers[0].ran.contains(&"insert c".to_owned()));
    world.send(b, b"X\0\0\0\x04");
    world.run();
    world.check_quiet();
}

#[test]
fn flush_behind_a_query_keeps_no_server() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    let mut flush = vec![b'H'];
    flush.extend_from_slice(&4_u32.to_be_bytes());
    world.send(a, &[query("select a"), flush].concat());
    world.run();
    assert_eq!(world.tags(a), "DCZ");
    assert_eq!(world.ask(b, "select b"), "DCZ");
}

#[test]
fn parameters_of_a_client_that_vanished_while_they_were_set_reach_nobody() {
    let mut world = World::new(1, "");
    let plain = world.client();
    let tokyo = world.arriving_client(&[("TimeZone", "Asia/Tokyo")]);
    world.servers[0].silent = true;
    world.run();
    world.hang_up(tokyo);
    world.run();
    world.advance(2_000);
    assert!(world.cancels.is_empty(), "nothing of the client's ran");
    world.servers[0].silent = false;
    world.run();
    world.send(plain, &query("SHOW timezone"));
    world.run();
    assert_eq!(rows(&mut world, plain), [""]);
    world.check_accounts();
}

#[test]
fn a_pinned_client_with_a_custom_startup_parameter_leaves_no_trace_of_it() {
    let mut world = World::new(1, "reset_on_handover = \"always\"");
    let tenant = world.client_with(&[("app.tenant", "7")]);
    world.ask(tenant, "CREATE TEMP TABLE t (n int)");
    world.send(tenant, b"X\0\0\0\x04");
    world.run();
    let plain = world.client();
    assert_eq!(world.ask(plain, "select 1"), "DCZ");
    assert_eq!(world.dials, 2);
    world.check_accounts();
}

#[test]
fn a_large_request_of_a_client_that_left_the_queue_is_not_run() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "BEGIN");
    world.send(b, &query(&format!("insert {}", "x".repeat(300_000))));
    world.run();
    world.hang_up(b);
    world.run();
    world.advance(1_000);
    assert!(world.is_closed(b));
    // Unless it said Terminate: then it wants it to be run.
    let c = world.client();
    world.send(
        c,
        &[query(&format!("keep {}", "x".repeat(300_000))), b"X\0\0\0\x04".to_vec()].concat(),
    );
    world.hang_up(c);
    world.run();
    world.ask(a, "COMMIT");
    let ran = |word: &str| world.servers[0].ran.iter().any(|text| text.starts_with(word));
    assert!(!ran("insert") && ran("keep"));
}

#[test]
fn a_text_that_is_too_long_is_not_read_though_all_of_it_came_while_its_client_waited() {
    for waits in [false, true] {
        let mut world = World::new(2, "");
        let (a, b) = (world.client(), world.client());
        world.ask(a, if waits { "BEGIN" } else { "select 1" });
        let other = world.client();
        world.ask(other, if waits { "BEGIN" } else { "select 1" });
        world.send(b, &query(&format!("select {}", "x".repeat(1_200_000))));
        world.run();
        world.ask(a, "COMMIT");
        assert_eq!(world.inspect().pools[0].pinned, 1, "waits: {waits}");
        world.check_accounts();
    }
}

#[test]
fn a_cancel_that_comes_too_late_is_not_sent() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.servers[0].silent = true;
    world.send(a, &query("select a"));
    world.run();
    world.client_cancels(a);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(a), "DCZ");
    world.servers[0].silent = true;
    world.send(b, &query("select b"));
    world.run();
    let (_, permitted) = world.cancel_is_permitted();
    assert!(!permitted);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(rows(&mut world, b), ["select b"]);
}

#[test]
fn nothing_is_sent_to_a_server_while_a_cancel_signal_is_under_way() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.ask(a, "BEGIN");
    world.servers[0].silent = true;
    world.send(a, &query("select slow"));
    world.run();
    world.client_cancels(a);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(a), "DCZ");
    assert_eq!(world.ask(a, "select next"), "");
    assert!(!world.servers[0].ran.contains(&"select next".to_owned()));
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    assert_eq!(world.tags(a), "DCZ");
}

#[test]
fn after_a_cancel_of_unknown_outcome_the_server_is_not_used_again() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.send(a, &query("select slow"));
    world.run();
    world.client_cancels(a);
    let (cancel, _) = world.cancel_is_permitted();
    world.cancel_finished(cancel, CancelOutcome::Unknown);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(a), "DCZ");
    assert_eq!(world.inspect().pools[0].open, 0);
    assert_eq!(world.ask(a, "select 2"), "DCZ");
}

#[test]
fn a_client_that_queues_is_cancelled_without_a_server() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "BEGIN");
    world.send(b, &query("select b"));
    world.run();
    world.client_cancels(b);
    assert_eq!(sqlstates(&mut world, b), ["57014"]);
    world.ask(a, "COMMIT");
    assert!(!world.servers[0].ran.contains(&"select b".to_owned()));
    assert_eq!(world.ask(b, "select b2"), "DCZ");
}

#[test]
fn an_idle_server_that_dies_is_not_noticed_by_anyone() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.kill_server(0, Some("terminating connection due to administrator command"));
    assert_eq!(world.ask(a, "select 1"), "DCZ");
    // Dead, and the loop has not heard of it: the first write fails, nothing has been run.
    world.break_server_unseen(1);
    assert_eq!(world.ask(a, "select 2"), "DCZ");
    assert_eq!(world.dials, 3);
    world.check_accounts();
}

#[test]
fn a_statement_whose_server_dies_fails_and_the_session_goes_on() {
    for (word, sqlstate) in [(Some("administrator"), "57P01"), (None, "08006")] {
        let mut world = World::new(1, "");
        let a = world.client();
        world.servers[0].silent = true;
        world.send(a, &query("insert"));
        world.run();
        world.kill_server(0, word);
        world.run();
        let frames = world.frames(a);
        assert_eq!(frames.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), b"EZ");
        let report = Report::from_server(&frames[0].1);
        assert_eq!(report.sqlstate(), sqlstate);
        assert_eq!(report.severity, crate::wire::Severity::Error);
        assert_eq!(frames[1].1, b"I");
        assert_eq!(world.ask(a, "select 2"), "DCZ");
        world.check_accounts();
    }
}

#[test]
fn a_batch_whose_server_dies_is_skipped_to_its_sync() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.send(a, &[parse("x"), bind_execute()].concat());
    world.run();
    world.kill_server(0, None);
    world.run();
    assert_eq!(world.tags(a), "E");
    world.send(a, &[parse("y"), bind_execute(), sync(), query("select 2")].concat());
    world.run();
    assert_eq!(world.tags(a), "ZDCZ");
    world.check_accounts();
}

#[test]
fn a_pinned_session_whose_server_dies_is_closed() {
    let mut world = World::new(1, "pool_mode = \"session\"");
    let a = world.client();
    world.ask(a, "select 1");
    world.kill_server(0, None);
    world.run();
    assert_eq!(sqlstates(&mut world, a), ["57P01"]);
    assert!(world.is_closed(a));
    world.check_quiet();
}

#[test]
fn session_mode_keeps_the_server_and_returns_it_discarded() {
    let mut world = World::new(1, "pool_mode = \"session\"");
    let a = world.client();
    world.ask(a, "select 1");
    let b = world.client();
    assert_eq!(world.ask(b, "select b"), "");
    world.send(a, b"X\0\0\0\x04");
    world.run();
    assert!(world.servers[0].ran.contains(&"DISCARD ALL".to_owned()));
    assert_eq!(world.tags(b), "DCZ");
}

#[test]
fn a_lost_transaction_reports_once_and_commit_never_succeeds() {
    let lose = |statements: &[&str]| {
        let mut world = World::new(1, "");
        let a = world.client();
        world.ask(a, "BEGIN");
        world.kill_server(0, None);
        world.run();
        assert_eq!(world.tags(a), "", "nothing is sent unasked");
        let mut replies = Vec::new();
        for statement in statements {
            world.send(a, &query(statement));
            world.run();
            for (tag, body) in world.frames(a) {
                replies.push(match tag {
                    b'E' => Report::from_server(&body).sqlstate().to_owned(),
                    b'Z' => char::from(body[0]).to_string(),
                    b'C' => String::from_utf8_lossy(&body[..body.len() - 1]).into_owned(),
                    _ => continue,
                });
            }
        }
        replies.join(" ")
    };
    assert_eq!(lose(&["COMMIT", "select 1"]), "57P01 I SELECT I");
    assert_eq!(lose(&["ROLLBACK", "select 1"]), "ROLLBACK I SELECT I");
    assert_eq!(
        lose(&["update", "update", "COMMIT", "select 1"]),
        "57P01 E 25P02 E ROLLBACK I SELECT I"
    );
    assert_eq!(lose(&["update", "ROLLBACK TO a", "ROLLBACK"]), "57P01 E 25P02 E ROLLBACK I");
}

#[test]
fn a_commit_without_an_answer_has_an_unknown_outcome() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.ask(a, "BEGIN");
    world.servers[0].silent = true;
    world.send(a, &query("COMMIT"));
    world.run();
    world.kill_server(0, Some("restart"));
    world.run();
    let frames = world.frames(a);
    assert_eq!(Report::from_server(&frames[0].1).sqlstate(), "08007");
    assert_eq!(frames[1].1, b"I");
}

#[test]
fn a_client_that_does_not_read_stops_its_server_from_being_read() {
    let mut world = World::new(2, "");
    let (slow, other) = (world.client(), world.client());
    world.set_room(slow, 10);
    let long = "x".repeat(100_000);
    world.send(slow, &query(&format!("select {long}")));
    world.run();
    assert_eq!(world.ask(other, "select 1"), "DCZ");
    world.set_room(slow, usize::MAX);
    let mut got = world.received(slow);
    world.run();
    got.extend(world.received(slow));
    world.run();
    got.extend(world.received(slow));
    assert_eq!(got.iter().filter(|&&b| b == b'x').count(), 100_000);
    world.check_accounts();
}

#[test]
fn messages_of_the_server_itself_do_not_reach_strangers() {
    let mut world = World::new(1, "");
    let a = world.client();
    let mut notice = Vec::new();
    Report::new(crate::wire::Severity::Notice, b"00000", "hello").write(&mut notice);
    world.server_says(0, &notice);
    world.run();
    assert_eq!(world.tags(a), "");
    assert_eq!(world.ask(a, "select 1"), "DCZ");
    // Half a notice behind ReadyForQuery: the server is free when the other half has come.
    world.servers[0].silent = true;
    world.send(a, &query("select 2"));
    world.run();
    world.servers[0].silent = false;
    world.server_says(0, b"");
    world.run();
    assert_eq!(world.tags(a), "DCZ");
    world.check_accounts();
}

#[test]
fn nonsense_from_a_server_closes_it_and_fails_the_statement() {
    let nonsense: [&[u8]; 4] = [b"Z\0\0\0\x05I", b"?\0\0\0\x04", b"C\0\0\0\x01", b"1\0\0\0\x04"];
    for bytes in nonsense {
        let mut world = World::new(1, "");
        let a = world.client();
        world.servers[0].silent = true;
        world.server_says(0, bytes);
        world.send(a, &query("select 1"));
        world.run();
        world.servers.iter_mut().for_each(|server| server.silent = false);
        world.run();
        world.tags(a);
        assert_eq!(world.ask(a, "select 2"), "DCZ", "{bytes:?}");
        world.check_accounts();
    }
}

#[test]
fn unknown_messages_end_the_session_after_what_came_before_them() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.send(a, &[query("select 1"), b"!\0\0\0\x04".to_vec()].concat());
    world.run();
    assert_eq!(world.tags(a), "DCZE");
    assert!(world.is_closed(a));
    let b = world.client();
    world.send(b, &[query("select 1"), b"Q\0\0\0\x01".to_vec()].concat());
    world.run();
    assert_eq!(world.tags(b), "DCZ");
    assert!(world.is_closed(b));
    world.check_quiet();
}

#[test]
fn copy_messages_outside_a_copy_are_ignored() {
    let mut world = World::new(1, "");
    let a = world.client();
    let late =
        [b"d\0\0\0\x06x\n".to_vec(), b"c\0\0\0\x04".to_vec(), b"H\0\0\0\x04".to_vec()].concat();
    world.send(a, &[late, query("select 1")].concat());
    world.run();
    assert_eq!(world.tags(a), "DCZ");
    assert_eq!(world.ask(a, "COPY t FROM STDIN"), "G");
    world.send(a, &[b"d\0\0\0\x06x\n".to_vec(), b"c\0\0\0\x04".to_vec()].concat());
    world.run();
    assert_eq!(world.tags(a), "CZ");
    world.check_accounts();
}

#[test]
fn draining_lets_transactions_end() {
    let mut world = World::new(2, "");
    let (idle, busy) = (world.client(), world.client());
    world.ask(busy, "BEGIN");
    world.drain(Some(10_000));
    assert_eq!(sqlstates(&mut world, idle), ["57P01"]);
    assert_eq!(world.ask(busy, "select 1"), "DCZ");
    assert_eq!(world.ask(busy, "COMMIT"), "DCZE");
    assert!(world.engines[0].is_stopped());
}

#[test]
fn draining_ends_at_its_limit() {
    let mut world = World::new(2, "");
    let busy = world.client();
    world.ask(busy, "BEGIN");
    world.drain(Some(10_000));
    world.advance(9_999);
    assert!(!world.engines[0].is_stopped());
    world.advance(1);
    assert!(world.engines[0].is_stopped() && world.is_closed(busy));
}

#[test]
fn old_and_unused_servers_are_closed() {
    let mut world = World::new(3, "server_idle_timeout = \"10s\"\nserver_lifetime = \"1h\"");
    let clients: Vec<_> = (0..3).map(|_| world.client()).collect();
    for &client in &clients {
        world.ask(client, "BEGIN");
    }
    for &client in &clients {
        world.ask(client, "COMMIT");
    }
    assert_eq!(world.inspect().pools[0].idle, 3);
    world.advance(5_000);
    world.ask(clients[0], "select 1");
    world.advance(5_001);
    assert_eq!(world.inspect().pools[0].open, 1);
    world.ask(clients[0], "select 1");
    for _ in 0..720 {
        world.advance(5_000);
        world.ask(clients[0], "select 1");
    }
    assert_eq!(world.inspect().pools[0].open, 1);
    assert_eq!(world.dials, 4, "one was replaced for its age");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

    /// Many clients with random scripts on few servers, every read cut at random: each gets its own
    /// answers in its own order, and nothing is left over.
    #[test]
    fn every_answer_is_its_own_clients(
        size in 1_u32..4,
        chunk in 1_usize..80,
        scripts in proptest::collection::vec(proptest::collection::vec(0_u8..7, 1..12), 1..12),
    ) {
        let mut world = World::new(size, "pool_wait_timeout = \"off\"");
        world.cut_into(chunk);
        let clients: Vec<_> = scripts.iter().map(|_| world.client()).collect();
        let mut expected = vec![Vec::new(); clients.len()];
        for step in 0..12 {
            for (n, script) in scripts.iter().enumerate() {
                let Some(&kind) = script.get(step) else { continue };
                let text = format!("select {n}:{step}");
                let bytes = match kind {
                    0 | 1 => query(&text),
                    2 => [parse(&text), bind_execute(), sync()].concat(),
                    3 => [query(&text), query(&format!("{text}b"))].concat(),
                    4 => [parse(&text), bind_execute(), bind_execute(), sync()].concat(),
                    5 => [parse("bad"), bind_execute(), sync(), query(&text)].concat(),
                    _ => [query("BEGIN"), query(&text), query("COMMIT")].concat(),
                };
                expected[n].push(text.clone());
                match kind {
                    3 => expected[n].push(format!("{text}b")),
                    4 => expected[n].push(text),
                    _ => {}
                }
                world.send(clients[n], &bytes);
            }
        }
        world.run();
        for (n, &client) in clients.iter().enumerate() {
            let mut got = rows(&mut world, client);
            got.retain(|row| row != "BEGIN" && row != "COMMIT");
            proptest::prop_assert_eq!(&got, &expected[n]);
        }
        world.check_accounts();
        for &client in &clients {
            world.hang_up(client);
        }
        world.run();
        world.check_quiet();
    }

    /// Clients hang up and servers die at any moment: the accounts hold, and a new client is
    /// served.
    #[test]
    fn accounts_hold_whatever_dies(
        events in proptest::collection::vec((0_u8..8, 0_usize..6), 1..60),
        chunk in 1_usize..40,
    ) {
        let mut world = World::new(2, "");
        world.cut_into(chunk);
        let mut clients: Vec<_> = (0..6).map(|_| world.client()).collect();
        for (kind, n) in events {
            match kind {
                0 => world.send(clients[n], &query("BEGIN")),
                1 => world.send(clients[n], &[parse("select 1"), bind_execute()].concat()),
                2 => world.send(clients[n], &sync()),
                3 => world.send(clients[n], &query("COMMIT")),
                4 => world.send(clients[n], &query("COPY t FROM STDIN")[..4]),
                5 => {
                    world.hang_up(clients[n]);
                    world.run();
                    clients[n] = world.arriving_client(&[("a", "1")]);
                }
                6 => {
                    let alive = world.servers.iter().position(|server| !server.terminated);
                    if let Some(server) = alive {
                        world.kill_server(server, None);
                    }
                }
                _ => world.advance(1),
            }
            world.engines[0].turn(Vec::new).unwrap();
            world.check_accounts();
        }
        world.run();
        for client in clients {
            world.hang_up(client);
        }
        world.run();
        world.advance(10_000);
        world.check_quiet();
        let last = world.client();
        proptest::prop_assert_eq!(world.ask(last, "select 1"), "DCZ");
    }
}
