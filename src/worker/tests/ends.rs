//! Clients that vanish, close their own end or say goodbye, and the servers that they leave behind.

use super::super::mail::CancelOutcome;
use super::super::world::{World, bind_execute, parse, query};
use super::rows;
use crate::wire::TransactionStatus;

#[test]
fn a_client_that_vanishes_while_it_queues_is_not_served() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "BEGIN");
    world.send(b, &query("insert b"));
    world.run();
    world.hang_up(b);
    world.run();
    world.advance(1_000);
    assert!(world.is_closed(b));
    world.ask(a, "COMMIT");
    assert!(!world.servers[0].ran.contains(&"insert b".to_owned()));
    assert_eq!(world.inspect().pools[0].idle, 1);
}

#[test]
fn a_client_that_closes_its_end_while_it_queues_is_answered_if_its_turn_is_soon() {
    for text in ["insert b".to_owned(), format!("insert {}", "x".repeat(300_000))] {
        let mut world = World::new(1, "");
        let (a, b) = (world.client(), world.client());
        world.ask(a, "BEGIN");
        world.send(b, &query(&text));
        world.run();
        world.hang_up(b);
        world.run();
        world.advance(900);
        world.ask(a, "COMMIT");
        assert_eq!(world.tags(b), "DCZ");
        assert!(world.is_closed(b));
        world.send(a, b"X\0\0\0\x04");
        world.run();
        world.check_quiet();
    }
}

#[test]
fn a_client_that_vanishes_leaves_a_clean_server_behind() {
    let states: [&[u8]; 7] = [
        &query("BEGIN"),
        &[query("BEGIN"), query("error")].concat(),
        &parse("select 1"),
        &[parse("insert"), bind_execute()].concat(),
        &query("COPY t FROM STDIN"),
        &[query("COPY t FROM STDIN"), b"d\0\0\0\x06x\n".to_vec()].concat(),
        &[bind_execute()].concat(),
    ];
    for state in states {
        let mut world = World::new(1, "");
        let client = world.client();
        world.send(client, state);
        world.run();
        world.hang_up(client);
        world.run();
        assert_eq!(world.servers[0].status, TransactionStatus::Idle);
        assert!(!world.servers[0].terminated, "{}", String::from_utf8_lossy(state));
        let next = world.client();
        assert_eq!(world.ask(next, "select 1"), "DCZ");
        world.send(next, b"X\0\0\0\x04");
        world.run();
        world.check_quiet();
    }
}

#[test]
fn a_client_that_closes_its_own_end_gets_its_answers() {
    let mut world = World::new(1, "");
    let client = world.client();
    world.send(client, &[query("select 1"), query("select 2")].concat());
    world.hang_up(client);
    world.run();
    assert_eq!(world.tags(client), "DCZDCZ");
    assert!(world.is_closed(client));
    world.check_quiet();
}

#[test]
fn a_client_that_vanishes_inside_a_message_takes_its_server_along() {
    let mut world = World::new(1, "");
    let client = world.client();
    let mut half_bind = bind_execute();
    half_bind.truncate(5 + 8);
    half_bind[3..5].copy_from_slice(&[0xff, 0xff]);
    half_bind.resize(1_000, 0);
    world.send(client, &[parse("select 1"), half_bind].concat());
    world.run();
    world.hang_up(client);
    world.run();
    world.check_quiet();
    let next = world.client();
    assert_eq!(world.ask(next, "select 1"), "DCZ");
    assert_eq!(world.dials, 2);
}

#[test]
fn what_a_vanished_client_left_running_is_cancelled_before_the_server_is_reused() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.servers[0].silent = true;
    world.send(a, &query("select pg_sleep(60)"));
    world.run();
    world.hang_up(a);
    world.run();
    world.advance(999);
    assert!(world.cancels.is_empty(), "it may only have closed its own end");
    world.advance(1);
    world.send(b, &query("select b"));
    world.run();
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    assert_eq!(world.inspect().pools[0].cancel, 1);
    // The statement ends by itself while the signal is still on its way.
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(b), "");
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    assert_eq!(rows(&mut world, b), ["select b"]);
    world.check_accounts();
}

#[test]
fn what_a_vanished_client_left_waiting_for_a_standby_is_let_wait() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.send(a, &query("insert x"));
    world.run();
    world.hang_up(a);
    world.run();
    world.advance(1_000);
    for _ in 0..3 {
        assert!(world.cancels.is_empty());
        world.looked(Some(true));
        assert!(world.cancels.is_empty(), "it has committed");
        world.advance(500);
    }
    world.looked(None);
    assert_eq!(world.cancels.len(), 1, "it may just as well be stuck");
}

#[test]
fn the_commit_of_a_vanished_client_is_not_cancelled() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.ask(a, "BEGIN");
    world.ask(a, "insert x");
    world.servers[0].silent = true;
    world.send(a, &query("COMMIT"));
    world.run();
    world.hang_up(a);
    world.run();
    world.advance(1_000);
    world.advance(2_000);
    assert_eq!((world.looks.len(), world.cancels.len()), (0, 0));
    world.answer_one(0);
    world.servers[0].silent = false;
    world.run();
    let b = world.client();
    assert_eq!(world.ask(b, "select b"), "DCZ");
    assert_eq!(world.dials, 1);
}

#[test]
fn everything_that_a_vanished_client_had_sent_ahead_is_cancelled_bit_by_bit() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.send(a, &query("select pg_sleep(60)").repeat(3));
    world.run();
    world.hang_up(a);
    world.run();
    world.advance(1_000);
    for _ in 0..2 {
        let (cancel, permitted) = world.cancel_is_permitted();
        assert!(permitted);
        world.cancel_finished(cancel, CancelOutcome::Delivered);
        assert!(world.cancels.is_empty(), "one for each");
        world.answer_one(0);
    }
    // Postgres ignores a signal that finds it between two statements.
    let (cancel, _) = world.cancel_is_permitted();
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.advance(499);
    assert!(world.cancels.is_empty());
    world.advance(1);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.servers[0].silent = false;
    world.run();
    world.advance(5_000);
    assert!(world.cancels.is_empty(), "our own statements are not cancelled");
    assert!(!world.servers[0].terminated);
    world.check_quiet();
}

#[test]
fn a_batch_without_sync_whose_client_vanished_is_cancelled() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.send(a, &[parse("select pg_sleep(60)"), bind_execute()].concat());
    world.run();
    world.hang_up(a);
    world.run();
    assert!(world.cancel_is_permitted().1);
}

#[test]
fn what_ran_before_half_a_message_is_cancelled_and_the_half_is_never_completed() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.set_server_room(0, 1 << 30);
    // Longer than what is looked at whole; fewer bytes are missing than a Terminate has.
    let mut half = query(&format!("half {}", "x".repeat(1 << 20)));
    half.truncate(half.len() - 2);
    world.send(a, &[query("select pg_sleep(60)"), half].concat());
    world.run();
    world.hang_up(a);
    world.run();
    world.advance(1_000);
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    assert_eq!(world.inspect().pools[0].open, 1);
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    let pool = world.inspect().pools.remove(0);
    assert_eq!((pool.leased, pool.zombie), (0, 1), "given up, its end has not been seen");
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.inspect().pools[0].open, 0);
    assert!(!world.servers[0].ran.iter().any(|text| text.starts_with("half")));
    world.check_quiet();
}

#[test]
fn a_copy_that_begins_only_after_its_client_vanished_is_ended() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.send(a, &query("COPY t FROM STDIN"));
    world.run();
    world.hang_up(a);
    world.run();
    world.advance(1_000);
    let (cancel, _) = world.cancel_is_permitted();
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.inspect().pools[0].idle, 1);
    assert!(!world.servers[0].terminated);
    world.check_quiet();
}

#[test]
fn half_a_message_in_a_batch_closes_the_server_as_soon_as_that_was_cancelled() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    let mut half = bind_execute();
    half[3..5].copy_from_slice(&[0xff, 0xff]);
    half.resize(1_000, 0);
    world.send(a, &[parse("select 1"), half].concat());
    world.run();
    world.hang_up(a);
    world.run();
    // The answer to Parse may stand in the server's buffer for good.
    assert_eq!(world.inspect().pools[0].open, 1);
    let (cancel, _) = world.cancel_is_permitted();
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    let pool = world.inspect().pools.remove(0);
    assert_eq!((pool.leased, pool.cancel, pool.zombie), (0, 0, 1));
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.inspect().pools[0].open, 0);
}

#[test]
fn a_copy_that_begins_behind_terminate_is_ended() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.send(a, &[query("COPY t FROM STDIN"), b"X\0\0\0\x04".to_vec()].concat());
    world.run();
    assert!(world.is_closed(a));
    assert_eq!(world.inspect().pools[0].idle, 1);
    world.check_quiet();
}

#[test]
fn a_client_that_hangs_up_is_noticed_though_its_server_takes_no_more() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.send(a, &query("select pg_sleep(60)"));
    world.run();
    world.servers[0].deaf = true;
    world.set_server_room(0, 10);
    world.cut_into(1_000);
    world.send(a, &query("select 1").repeat(1_000));
    world.run();
    world.hang_up(a);
    world.run();
    world.advance(999);
    assert!(world.cancels.is_empty());
    world.advance(1);
    assert!(world.cancel_is_permitted().1);
}

#[test]
fn a_server_that_waited_for_a_vanished_reader_is_read_to_its_end() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.set_room(a, 10);
    world.send(a, &query("select much"));
    world.run();
    let mut row = vec![b'D'];
    row.extend_from_slice(&1_004_u32.to_be_bytes());
    row.resize(1_005, b'x');
    world.server_sends(0, &row.repeat(200));
    world.run();
    world.hang_up(a);
    world.run();
    assert!(world.unread_of_server(0) > 100_000, "nobody reads");
    world.advance(1_000);
    assert_eq!(world.unread_of_server(0), 0);
    let (cancel, _) = world.cancel_is_permitted();
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.inspect().pools[0].idle, 1);
    world.check_quiet();
}

#[test]
fn a_client_that_closed_its_own_end_is_there_as_long_as_it_reads() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.servers[0].silent = true;
    world.send(a, &query("select slowly"));
    world.run();
    world.hang_up(a);
    world.run();
    for _ in 0..5 {
        world.advance(900);
        world.server_sends(0, b"D\0\0\0\x0b\0\x01\0\0\0\x01x");
        world.run();
        assert_eq!(world.tags(a), "D");
        assert!(world.cancels.is_empty());
    }
    world.advance(1_000);
    world.advance(1_000);
    world.looked(Some(false));
    assert_eq!(world.cancels.len(), 1);
}
