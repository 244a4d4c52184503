//! Clients that say nothing in a transaction: what counts as silence, and what becomes of them once they have been rolled
//! back.

use super::super::world::{World, bind_execute, parse, query, sync};
use super::{rows, sqlstates};
use crate::wire::{Report, build};

const IDLE: &str = "idle_in_transaction_timeout = \"30s\"";
const FLUSH: &[u8] = b"H\0\0\0\x04";

#[test]
fn a_session_that_was_rolled_back_keeps_its_server_no_longer_than_pin_timeout() {
    let mut world = World::new(1, &format!("{IDLE}\npin_timeout = \"20s\""));
    let client = world.client();
    world.ask(client, "select currval('s')");
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    let other = world.client();
    world.advance(25_000);
    world.advance(5_000);
    assert_eq!(world.servers[0].ran.last().unwrap(), "ROLLBACK");
    world.advance(19_999);
    assert!(!world.is_closed(client), "the time counts from the rollback");
    world.send(other, &query("select other"));
    world.run();
    assert_eq!(world.tags(other), "");
    world.advance(20);
    assert_eq!(sqlstates(&mut world, client), ["57P05"]);
    assert_eq!(rows(&mut world, other), ["select other"]);
    world.check_accounts();
}

#[test]
fn it_is_asked_nothing_before_it_has_been_told() {
    let mut world = World::new(1, IDLE);
    let (client, other) = (world.client(), world.client());
    world.servers[0].left = Some([true, false, false]);
    world.ask(client, "CREATE TEMP TABLE t ()");
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    let asked = |world: &World| {
        world.servers[0].ran.iter().filter(|text| text.starts_with("/* pgweir")).count()
    };
    let before = asked(&world);
    world.servers[0].left = Some([false; 3]);
    world.advance(31_000);
    world.send(other, &query("select other"));
    world.advance(1_000);
    assert_eq!(asked(&world), before);
    assert_eq!(world.ask(client, "COMMIT"), "EZ");
    world.advance(1_000);
    assert_eq!((asked(&world), rows(&mut world, other)), (before + 1, vec!["select other".into()]));
}

#[test]
fn a_session_that_was_rolled_back_gives_its_server_up_as_it_leaves() {
    for says_goodbye in [true, false] {
        let mut world = World::new(1, &format!("{IDLE}\npool_mode = \"session\""));
        let client = world.client();
        world.ask(client, "BEGIN");
        world.advance(31_000);
        if says_goodbye {
            world.send(client, &build::TERMINATE);
        } else {
            world.hang_up(client);
        }
        world.run();
        assert!(world.is_closed(client));
        world.check_quiet();
        let other = world.client();
        assert_eq!(world.ask(other, "select other"), "DCZ");
        assert_eq!(world.dials, 1);
    }
}

#[test]
fn who_was_rolled_back_and_stays_silent_is_idle() {
    for mode in ["transaction", "session"] {
        let mut world = World::new(1, &format!("{IDLE}\npool_mode = \"{mode}\""));
        world.set_client_idle(Some(60_000));
        let client = world.client();
        world.ask(client, "BEGIN");
        world.advance(30_000);
        world.advance(59_000);
        assert!(!world.is_closed(client), "{mode}");
        world.advance(2_000);
        assert_eq!(sqlstates(&mut world, client), ["57P05"], "{mode}");
        world.check_quiet();
    }
}

#[test]
fn whose_message_waits_for_the_pool_to_listen_is_not_silent() {
    let limits = format!("{IDLE}\ntransaction_timeout = \"1h\"");
    let mut world = World::new(1, &limits);
    world.listens_held = true;
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.send(client, &query("LISTEN a"));
    world.run();
    for _ in 0..10 {
        world.advance(31_000);
    }
    let asked = world.unanswered.remove(0);
    world.listen_answered(&asked, true);
    world.run();
    assert_eq!(rows(&mut world, client), ["LISTEN a"]);
    // From here on it is.
    world.advance(29_000);
    assert!(!world.servers[0].ran.iter().any(|text| text == "ROLLBACK"));
    world.advance(1_100);
    assert!(world.servers[0].ran.iter().any(|text| text == "ROLLBACK"));
    assert_eq!(world.ask(client, "COMMIT"), "EZ");
}

#[test]
fn a_batch_that_failed_before_the_silence_is_told_nothing_more() {
    for mode in ["transaction", "session"] {
        let mut world = World::new(1, &format!("{IDLE}\npool_mode = \"{mode}\""));
        let client = world.client();
        world.ask(client, "BEGIN");
        world.servers[0].silent = true;
        world.send(client, &[parse("select 1"), FLUSH.to_vec()].concat());
        world.run();
        world.front_fails(0, &Report::error(b"42601", "no"));
        world.servers[0].silent = false;
        world.run();
        assert_eq!(world.tags(client), "E");
        world.advance(31_000);
        world.advance(31_000);
        assert_eq!(world.servers[0].ran.last().unwrap(), "ROLLBACK", "{mode}");
        let mut close = vec![b'C'];
        build::sized(&mut close, |out| out.extend_from_slice(b"S\0"));
        world.send(client, &[close, bind_execute(), sync()].concat());
        world.run();
        assert_eq!(world.frames(client), [(b'Z', b"E".to_vec())], "{mode}");
        assert_eq!(world.ask(client, "select next"), "EZ", "{mode}");
        assert_eq!(world.ask(client, "ROLLBACK"), "CZ", "{mode}");
        assert_eq!(world.ask(client, "select next"), "DCZ", "{mode}");
        world.check_accounts();
    }
}
