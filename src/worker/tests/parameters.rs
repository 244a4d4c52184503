//! Parameters that sessions set: each sees its own, as with a server of its own.

use super::super::world::{ClientEnd, FakeServer, World, bind_execute, parse, query, sync};
use super::rows;

const FILE: &str = "[defaults]\nreserve_pool_size = 0\npool_size = 2\n\
     [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n[roles.app]\npassword = \"x\"\n";

fn show(world: &mut World, client: ClientEnd, name: &str) -> String {
    world.send(client, &query(&format!("SHOW {name}")));
    world.run();
    rows(world, client).concat()
}

#[test]
fn what_a_session_sets_follows_it_and_reaches_nobody_else() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "SET work_mem = 5"), "CZ");
    for _ in 0..3 {
        assert_eq!(show(&mut world, a, "work_mem"), "5");
        assert_eq!(show(&mut world, b, "work_mem"), "");
    }
    assert_eq!(world.dials, 1, "nobody keeps the server");
    world.check_accounts();
}

#[test]
fn nothing_is_sent_when_nothing_differs() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    for client in [a, b] {
        world.ask(client, "SET work_mem = 5");
    }
    let before = world.servers[0].ran.len();
    for _ in 0..10 {
        world.ask(a, "select a");
        world.ask(b, "select b");
    }
    assert_eq!(world.servers[0].ran.len(), before + 20);
}

#[test]
fn reported_parameters_are_told_to_who_set_them() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "SET timezone = tokyo"), "SCZ");
    assert_eq!(world.ask(b, "select 1"), "DCZ");
    assert_eq!(world.ask(a, "select 1"), "DCZ");
    assert_eq!(show(&mut world, a, "timezone"), "tokyo");
    assert_eq!(world.dials, 1);
}

#[test]
fn an_error_in_the_same_string_takes_a_change_back() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "SET a = 1; ERROR"), "CEZ");
    assert_eq!(show(&mut world, b, "a"), "");
    assert_eq!(show(&mut world, a, "a"), "");
    assert_eq!(world.dials, 1);
}

#[test]
fn reset_goes_back_to_the_startup_packets_value() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client_with(&[("work_mem", "7MB")]), world.client());
    for text in ["RESET work_mem", "RESET ALL"] {
        world.ask(a, "SET work_mem = 5");
        assert_eq!(show(&mut world, a, "work_mem"), "5");
        world.ask(a, text);
        assert_eq!(show(&mut world, b, "work_mem"), "");
        assert_eq!(show(&mut world, a, "work_mem"), "7MB");
    }
    world.ask(a, "BEGIN");
    world.ask(a, "SET work_mem = 5");
    world.ask(a, "RESET work_mem");
    assert_eq!(show(&mut world, a, "work_mem"), "7MB", "in a transaction as well");
    world.ask(a, "COMMIT");
    assert_eq!(show(&mut world, a, "work_mem"), "7MB");
    assert_eq!(show(&mut world, b, "work_mem"), "");
    world.check_accounts();
}

#[test]
fn what_comes_behind_a_change_waits_for_its_answer() {
    let mut world = World::new(1, "");
    let a = world.client();
    world.ask(a, "select 1");
    world.servers[0].silent = true;
    world.send(a, &[query("SET a = 1"), query("select 2"), query("select 3")].concat());
    world.run();
    world.answer_one(0);
    assert_eq!(world.tags(a), "CZ");
    assert!(!world.servers[0].ran.contains(&"select 2".to_owned()));
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(a), "DCZDCZ");
    world.ask(a, "select 4");
    assert_eq!(show(&mut world, a, "a"), "1");
}

#[test]
fn a_client_that_vanishes_behind_its_change_leaves_nothing() {
    let mut world = World::new(1, "");
    let b = world.client();
    for text in ["SET a = 1", "BEGIN; SET a = 1", "SET a = 1; COMMIT"] {
        let gone = world.client();
        world.ask(gone, "select 1");
        world.servers[0].silent = true;
        world.send(gone, &query(text));
        world.run();
        world.hang_up(gone);
        world.run();
        world.advance(60_000);
        world.servers[0].silent = false;
        world.advance(60_000);
        assert_eq!(show(&mut world, b, "a"), "", "{text}");
    }
    world.check_accounts();
}

#[test]
fn everything_is_reset_before_another_client_where_the_settings_say_so() {
    let mut world = World::new(1, "reset_on_handover = \"always\"");
    let (a, b) = (world.client(), world.client_with(&[("b", "7")]));
    let resets = |world: &World| {
        world.servers[0].ran.iter().filter(|text| text.contains("RESET ALL")).count()
    };
    let before = resets(&world);
    for client in [a, a, b, b, a] {
        world.ask(client, "select 1");
    }
    assert_eq!(resets(&world), before + 3);
    assert_eq!((show(&mut world, a, "b"), show(&mut world, b, "b")), (String::new(), "7".into()));
}

#[test]
fn a_custom_parameters_value_is_its_sessions_own() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "SET app.tenant = 7");
    for _ in 0..3 {
        assert_eq!(show(&mut world, a, "app.tenant"), "7");
        assert_eq!(show(&mut world, b, "app.tenant"), "");
    }
    world.ask(b, "SET app.tenant = 8");
    for _ in 0..3 {
        assert_eq!(show(&mut world, a, "app.tenant"), "7");
        assert_eq!(show(&mut world, b, "app.tenant"), "8");
    }
    assert_eq!(world.dials, 1);
    world.check_accounts();
}

#[test]
fn an_idle_server_that_knows_nothing_of_others_is_preferred() {
    let mut world = World::new(2, "");
    let (a, b, c) = (world.client(), world.client(), world.client());
    world.ask(a, "BEGIN");
    world.ask(b, "SET app.tenant = 7");
    let ran = |world: &World, n: usize| world.servers[n].ran.len();
    world.ask(a, "COMMIT");
    world.ask(b, "select 1");
    // The one that was used last is b's; each goes on with the one that has what it is to have.
    for _ in 0..3 {
        let before = ran(&world, 1);
        world.ask(c, "select 1");
        assert_eq!(ran(&world, 1), before);
        world.ask(b, "select 1");
        assert_eq!(ran(&world, 1), before + 1, "{:?}", world.servers[1].ran);
    }
}

#[test]
fn a_custom_parameters_name_is_unknown_to_others_where_the_settings_say_so() {
    let mut world = World::new(1, "reset_on_handover = \"always\"");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "SET app.tenant = 7");
    assert_eq!(show(&mut world, a, "app.tenant"), "7");
    assert_eq!(world.dials, 1);
    world.ask(b, "select 1");
    assert_eq!(world.dials, 2, "the server that has heard of it was replaced");
    assert_eq!(show(&mut world, a, "app.tenant"), "7");
    world.ask(b, "SET app.tenant = 8");
    for _ in 0..3 {
        assert_eq!(show(&mut world, a, "app.tenant"), "7");
        assert_eq!(show(&mut world, b, "app.tenant"), "8");
    }
    world.check_accounts();
}

/// A run of messages for one client, which leaves no transaction open.
fn episode(world: &mut World) -> Vec<Vec<u8>> {
    const NAMES: [&str; 4] = ["a", "b", "app.x", "timezone"];
    let mut texts: Vec<String> = Vec::new();
    let mut block = false;
    for _ in 0..=world.throw(8) {
        let name = NAMES[world.throw(4)];
        let value = world.throw(5);
        let savepoint = ["s", "t"][world.throw(2)];
        texts.push(match world.throw(14) {
            0..=2 => format!("SET {name} = {value}"),
            3 => format!("SET {name} = {value}; ERROR"),
            4 => format!("SET {name} = {value}; SET b = 9"),
            5 => format!("RESET {name}"),
            6 => "RESET ALL".to_owned(),
            7 if !block => {
                block = true;
                "BEGIN".to_owned()
            }
            8 if block => {
                block = false;
                ["COMMIT", "ROLLBACK"][world.throw(2)].to_owned()
            }
            9 if block => format!("SAVEPOINT {savepoint}"),
            10 if block => format!("ROLLBACK TO {savepoint}"),
            11 if block => format!("RELEASE {savepoint}"),
            12 => "ERROR".to_owned(),
            _ => format!("SHOW {name}"),
        });
    }
    if block {
        texts.push(["COMMIT", "ROLLBACK"][world.throw(2)].to_owned());
    }
    texts.extend(NAMES.map(|name| format!("SHOW {name}")));
    let mut messages = Vec::new();
    for text in texts {
        messages.push(match world.throw(3) {
            0 if !text.contains(';') => [parse(&text), bind_execute(), sync()].concat(),
            // In the rest of its batch RESET shows the server's default. In a batch that has failed
            // a transaction would not end.
            1 if !text.contains(';') && !matches!(&text[..1], "R" | "C") => [
                parse("SHOW a"),
                bind_execute(),
                parse(&text),
                bind_execute(),
                parse("SHOW b"),
                bind_execute(),
                sync(),
            ]
            .concat(),
            _ => query(&text),
        });
    }
    messages
}

#[test]
fn whatever_sessions_do_each_is_answered_as_by_a_server_of_its_own() {
    for seed in 0..60 {
        let mut world = World::over(1 + seed as usize % 2, FILE, seed);
        let starts: [&[(&str, &str)]; 6] =
            [&[], &[], &[("a", "7")], &[("a", "7"), ("b", "8")], &[], &[("app.x", "1")]];
        let mut clients: Vec<_> = starts
            .iter()
            .map(|start| (world.client_with(start), FakeServer::alone(&mut world, start)))
            .collect();
        for round in 0..20 {
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
            world.advance(1);
            for ((client, _), expected) in clients.iter().zip(expected) {
                let received = world.received(*client);
                assert_eq!(
                    String::from_utf8_lossy(&received),
                    String::from_utf8_lossy(&expected),
                    "seed {seed}, round {round}"
                );
            }
        }
        world.check_accounts();
    }
}
