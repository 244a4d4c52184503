//! Sessions that keep their server: for as long as the server says that there is a reason, and not
//! for ever.

use super::super::world::{ClientEnd, FakeServer, World, bind_execute, parse, query, sync};
use super::{rows, sqlstates};
use crate::session::Pins;

const LOCK: &str = "select pg_advisory_lock(1)";
const UNLOCK: &str = "select pg_advisory_unlock(1)";
const TEMP: &str = "create temp table t (a int)";

const NOTHING: Option<[bool; 3]> = Some([false; 3]);
const TABLES: Option<[bool; 3]> = Some([true, false, false]);
const LOCKS: Option<[bool; 3]> = Some([false, true, false]);

fn questions(world: &World) -> usize {
    let all = world.servers.iter().flat_map(|server| &server.ran);
    all.filter(|text| text.starts_with("/* pgweir")).count()
}

fn discards(world: &World) -> usize {
    let all = world.servers.iter().flat_map(|server| &server.ran);
    all.filter(|text| *text == "DISCARD ALL").count()
}

fn pinned(world: &mut World) -> usize {
    world.inspect().pools.iter().map(|pool| pool.pinned).sum()
}

/// A client that has run this, and whose server then says that this is left.
fn pinned_client(world: &mut World, text: &str, left: Option<[bool; 3]>) -> ClientEnd {
    let client = world.client();
    world.ask(client, "select 1");
    world.servers[0].left = left;
    assert_eq!(world.ask(client, text), "DCZ");
    client
}

#[test]
fn a_server_is_shared_again_when_nothing_is_left() {
    for (text, left, release) in [
        (LOCK, LOCKS, UNLOCK),
        (TEMP, TABLES, "drop table t"),
        (TEMP, TABLES, "discard temp"),
        ("declare c cursor with hold for select 1", Some([false, false, true]), "close c"),
    ] {
        let mut world = World::new(1, "");
        let client = pinned_client(&mut world, text, left);
        let other = world.client();
        assert_eq!((world.ask(other, "select 2"), pinned(&mut world)), (String::new(), 1));
        world.servers[0].left = NOTHING;
        assert_eq!(world.ask(client, release), "DCZ", "{text}");
        assert_eq!(rows(&mut world, other), ["select 2"], "{text}");
        assert_eq!((questions(&world), discards(&world), world.dials), (2, 0, 1), "{text}");
        assert_eq!(pinned(&mut world), 0);
        world.check_accounts();
    }
}

#[test]
fn what_failed_or_ended_with_its_transaction_does_not_pin() {
    let mut world = World::new(1, "");
    let (client, other) = (world.client(), world.client());
    assert_eq!(world.ask(client, "BEGIN"), "DCZ");
    assert_eq!(world.ask(client, "create temp table t (a int) on commit drop"), "DCZ");
    assert_eq!(questions(&world), 0, "not in the transaction");
    assert_eq!(world.ask(client, "COMMIT"), "DCZ");
    assert_eq!(questions(&world), 1);
    assert_eq!(world.ask(other, "select 2"), "DCZ");
    world.ask(client, &format!("{TEMP}; ERROR"));
    assert_eq!(world.ask(other, "select 2"), "DCZ");
    assert_eq!((discards(&world), world.dials), (0, 1));
}

#[test]
fn only_the_reasons_that_are_gone_are_taken_back() {
    let mut world = World::new(1, "");
    let client = pinned_client(&mut world, TEMP, TABLES);
    world.servers[0].left = Some([true, true, false]);
    world.ask(client, LOCK);
    world.servers[0].left = TABLES;
    world.ask(client, UNLOCK);
    let picture = world.inspect();
    let of = |pins: Pins| picture.pools[0].pinned_for.of(pins.bits());
    assert_eq!((of(Pins::TEMPORARY), of(Pins::ADVISORY_LOCK)), (1, 0));
    let last = world.servers[0].ran.last().expect("a question").clone();
    assert!(last.contains("pg_depend") && last.contains("pg_locks"), "{last}");
    // A reason that comes again counts again.
    world.ask(client, LOCK);
    assert_eq!(world.inspect().pools[0].counters.pins.of(Pins::ADVISORY_LOCK.bits()), 2);
}

#[test]
fn a_session_with_another_reason_is_not_asked() {
    let mut world = World::new(1, "");
    let client = pinned_client(&mut world, "LOAD 'x'", NOTHING);
    world.ask(client, LOCK);
    world.ask(client, UNLOCK);
    world.advance(100_000);
    assert_eq!((questions(&world), pinned(&mut world)), (0, 1));
}

#[test]
fn a_message_that_comes_during_the_question_waits_for_the_answer() {
    let mut world = World::new(1, "");
    let client = pinned_client(&mut world, LOCK, LOCKS);
    world.servers[0].silent = true;
    world.send(client, &query(UNLOCK));
    world.run();
    world.answer_one(0);
    assert_eq!(world.tags(client), "DCZ");
    world.send(client, &query("select 2"));
    world.run();
    // The question is on its way; nothing follows it.
    assert_eq!(world.servers[0].ran.last().unwrap(), UNLOCK);
    world.servers[0].left = NOTHING;
    world.answer_one(0);
    assert_eq!(world.tags(client), "");
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(client), "DCZ");
    assert_eq!((pinned(&mut world), discards(&world)), (0, 0));
    world.check_accounts();
}

#[test]
fn a_question_without_an_answer_leaves_the_session_pinned_and_is_put_again() {
    let mut world = World::new(1, "");
    let client = pinned_client(&mut world, LOCK, None);
    assert_eq!((questions(&world), pinned(&mut world)), (1, 1));
    assert_eq!(world.ask(client, "select 2"), "DCZ");
    assert_eq!(questions(&world), 1);
    world.advance(2_000);
    assert_eq!((questions(&world), pinned(&mut world)), (2, 1));
    world.servers[0].left = NOTHING;
    world.advance(4_000);
    assert_eq!((questions(&world), pinned(&mut world)), (3, 0));
    world.check_accounts();
}

#[test]
fn nothing_is_asked_while_nothing_has_run() {
    let mut world = World::new(1, "pin_timeout = \"off\"");
    let client = pinned_client(&mut world, LOCK, LOCKS);
    for _ in 0..20 {
        world.advance(60_000);
    }
    assert_eq!(questions(&world), 1);
    // A function of the user's may have done what no text shows.
    world.servers[0].left = NOTHING;
    world.ask(client, "select my_unlock()");
    assert_eq!((questions(&world), pinned(&mut world)), (2, 0));
}

#[test]
fn while_others_wait_it_is_asked_sooner() {
    let mut world = World::new(1, "");
    let client = pinned_client(&mut world, LOCK, LOCKS);
    world.ask(client, "select my_unlock()");
    assert_eq!(questions(&world), 1, "not so soon after the last one");
    world.servers[0].left = NOTHING;
    let other = world.client();
    world.ask(other, "select 2");
    world.advance(100);
    assert_eq!(rows(&mut world, other), ["select 2"]);
}

#[test]
fn a_server_that_goes_during_the_question_ends_the_session() {
    let mut world = World::new(1, "");
    let client = pinned_client(&mut world, LOCK, LOCKS);
    world.servers[0].silent = true;
    world.send(client, &query(UNLOCK));
    world.run();
    world.answer_one(0);
    world.tags(client);
    world.kill_server(0, Some("gone"));
    world.run();
    assert_eq!(sqlstates(&mut world, client), ["57P01"]);
    world.check_quiet();
}

#[test]
fn a_client_that_goes_during_the_question_leaves_a_clean_server() {
    for says_goodbye in [true, false] {
        let mut world = World::new(1, "");
        let client = pinned_client(&mut world, LOCK, LOCKS);
        world.servers[0].silent = true;
        world.send(client, &query(UNLOCK));
        world.run();
        world.answer_one(0);
        world.tags(client);
        if says_goodbye {
            world.send(client, b"X\0\0\0\x04");
        }
        world.hang_up(client);
        world.run();
        world.advance(2_000);
        world.servers[0].silent = false;
        world.advance(10);
        assert!(world.cancels.is_empty(), "nobody's statement runs");
        let other = world.client();
        assert_eq!(world.ask(other, "select 2"), "DCZ");
        world.hang_up(other);
        world.run();
        world.check_quiet();
    }
}

#[test]
fn a_drain_lets_the_question_be_answered() {
    let mut world = World::new(1, "");
    let client = pinned_client(&mut world, LOCK, LOCKS);
    world.servers[0].silent = true;
    world.send(client, &query(UNLOCK));
    world.run();
    world.answer_one(0);
    world.tags(client);
    world.drain(None);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(sqlstates(&mut world, client), ["57P01"]);
    world.check_quiet();
}

#[test]
fn a_pinned_session_that_is_idle_for_too_long_ends_and_its_server_is_shared() {
    let mut world = World::new(1, "pin_timeout = \"10s\"");
    let client = pinned_client(&mut world, "LOAD 'x'", NOTHING);
    let other = world.client();
    world.advance(9_000);
    world.ask(client, "select 2");
    world.advance(9_900);
    assert!(!world.is_closed(client));
    world.advance(200);
    let errors = world.errors(client);
    assert_eq!(errors[0].sqlstate(), "57P05");
    let detail = errors[0].detail.as_deref().unwrap_or_default();
    assert!(detail.contains("LOAD") && detail.contains("10000 ms (pin_timeout)"), "{detail}");
    assert!(world.is_closed(client));
    assert_eq!(world.ask(other, "select 3"), "DCZ");
    world.advance(100_000);
    assert!(!world.is_closed(other), "it keeps nothing");
}

#[test]
fn neither_a_transaction_nor_a_running_statement_is_an_idle_pin() {
    let mut world = World::new(1, "pin_timeout = \"10s\"");
    let client = pinned_client(&mut world, "LOAD 'x'", NOTHING);
    world.ask(client, "BEGIN");
    world.advance(60_000);
    assert_eq!(world.ask(client, "COMMIT"), "DCZ");
    world.servers[0].silent = true;
    world.send(client, &query("select slow"));
    world.run();
    world.advance(60_000);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(client), "DCZ");
    world.advance(9_000);
    assert!(!world.is_closed(client));
    world.advance(2_000);
    assert!(world.is_closed(client));
}

#[test]
fn the_limit_of_idle_pins_follows_a_reload_and_spares_session_mode() {
    let mut world = World::new(1, "pin_timeout = \"off\"");
    let client = pinned_client(&mut world, "LOAD 'x'", NOTHING);
    world.advance(1_000_000);
    assert!(!world.is_closed(client));
    world.reload("pool_size = 1\npin_timeout = \"5s\"");
    assert!(world.is_closed(client), "it has been idle for longer already");
    let mut world = World::new(1, "pool_mode = \"session\"\npin_timeout = \"5s\"");
    let client = pinned_client(&mut world, "LOAD 'x'", NOTHING);
    world.advance(1_000_000);
    assert!(!world.is_closed(client));
}

#[test]
fn a_search_path_of_temporary_objects_pins() {
    let mut world = World::new(2, "");
    let starts = world.client_with(&[("search_path", "pg_temp")]);
    assert_eq!(pinned(&mut world), 1);
    assert_eq!(world.ask(starts, "create table t (a int)"), "DCZ");
    world.advance(10_000);
    world.ask(starts, "select 1");
    assert_eq!(pinned(&mut world), 1, "whatever the server says");
    let sets = world.client();
    world.ask(sets, "SET search_path = pg_temp");
    assert_eq!(pinned(&mut world), 2);
    world.ask(sets, "SET search_path = public");
    world.advance(10_000);
    world.ask(sets, "select 1");
    assert_eq!(pinned(&mut world), 1);
    world.check_accounts();
}

#[test]
fn what_another_client_had_from_a_sequence_is_forgotten_before_it_could_be_read() {
    for extended in [false, true] {
        let mut world = World::new(1, "");
        let (client, other) = (world.client(), world.client());
        let read = |world: &mut World| {
            let text = "select lastval()";
            let request = match extended {
                false => query(text),
                true => [parse(text), bind_execute(), sync()].concat(),
            };
            world.send(client, &request);
            world.run();
            assert_eq!(world.tags(client), if extended { "12DCZ" } else { "DCZ" });
        };
        let forgets = |world: &World| {
            let ran = world.servers[0].ran.iter();
            ran.filter(|text| text.starts_with("DISCARD SEQUENCES")).count()
        };
        world.ask(other, "select nextval('s')");
        read(&mut world);
        let last = world.servers[0].ran.iter().rev().take(2).collect::<Vec<_>>();
        assert_eq!(last, ["select lastval()", "DISCARD SEQUENCES;"]);
        read(&mut world);
        assert_eq!((forgets(&world), pinned(&mut world)), (1, 1));
        // What it has done in its own transaction is its own.
        let mut world = World::new(1, "");
        let (client, other) = (world.client(), world.client());
        for (who, text) in [
            (other, "select nextval('s')"),
            (client, "BEGIN"),
            (client, "insert into t values (1)"),
            (client, "select currval('s')"),
        ] {
            world.ask(who, text);
        }
        assert_eq!(forgets(&world), 0);
        // And what nobody has touched since.
        let mut world = World::new(1, "");
        let client = world.client();
        world.ask(client, "insert into t values (1)");
        world.ask(client, "select lastval()");
        assert_eq!(forgets(&world), 0);
    }
}

/// A run of messages for one client, which in the end holds nothing.
fn episode(world: &mut World) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    let mut block = false;
    for _ in 0..=world.throw(8) {
        texts.push(match world.throw(11) {
            0..=1 => LOCK,
            2 => UNLOCK,
            3 => "select pg_advisory_unlock_all()",
            4..=5 => TEMP,
            6 => "drop table t",
            7 => "create temp table t (a int); ERROR",
            8 if !block => {
                block = true;
                "BEGIN"
            }
            8 | 9 if block => {
                block = false;
                ["COMMIT", "ROLLBACK"][world.throw(2)]
            }
            _ => "ERROR",
        });
        texts.push("HOLDS");
    }
    if block {
        texts.push(["COMMIT", "ROLLBACK"][world.throw(2)]);
    }
    texts.extend(["HOLDS", "select pg_advisory_unlock_all()", "DISCARD TEMP", "HOLDS"]);
    let extended = |text: &str| [parse(text), bind_execute(), sync()].concat();
    let as_batch = |world: &mut World, text: &str| !text.contains(';') && world.throw(2) == 0;
    let messages = texts.into_iter();
    messages.map(|text| if as_batch(world, text) { extended(text) } else { query(text) }).collect()
}

#[test]
fn whatever_sessions_hold_each_finds_its_own_and_nobody_elses() {
    const FILE: &str = "[defaults]\nreserve_pool_size = 0\npool_size = 2\npool_wait_timeout = \"off\"\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n[roles.app]\npassword = \"x\"\n";
    for seed in 0..40 {
        let mut world = World::over(1 + seed as usize % 2, FILE, seed);
        world.servers_know = true;
        let mut clients: Vec<_> =
            (0..5).map(|_| (world.client(), FakeServer::alone(&mut world, &[]))).collect();
        for round in 0..15 {
            let mut expected = Vec::new();
            for (client, direct) in &mut clients {
                let episode = episode(&mut world);
                expected.push(direct.answers_to(&episode.concat()));
                if world.throw(2) == 0 {
                    // All at once.
                    world.send(*client, &episode.concat());
                } else {
                    for message in episode {
                        world.send(*client, &message);
                        world.turn();
                    }
                }
            }
            world.run();
            for _ in 0..20 {
                world.advance(110);
            }
            for ((client, _), expected) in clients.iter().zip(expected) {
                let received = world.received(*client);
                assert_eq!(
                    String::from_utf8_lossy(&received),
                    String::from_utf8_lossy(&expected),
                    "seed {seed}, round {round}"
                );
            }
            assert_eq!(pinned(&mut world), 0, "seed {seed}, round {round}");
        }
        assert!(questions(&world) > 0);
        assert_eq!(discards(&world), 0, "nothing was left to be thrown away");
        world.check_accounts();
    }
}
