//! Statements of SQL that a text does not name and might see: they are there if they can be, and
//! left out if not.

use super::super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use super::{rows, sqlstates};
use crate::wire::{TransactionStatus, build};

const SEES: &str = "select name from pg_prepared_statements";

fn asks(world: &mut World, client: ClientEnd, text: &str) -> Vec<String> {
    world.send(client, &query(text));
    world.run();
    rows(world, client)
}

/// A client with `p`, `q` and `r`, of which `q` cannot be prepared any more, and none is on the
/// server: it has another client's.
fn one_of_three_is_gone(world: &mut World) -> (ClientEnd, ClientEnd) {
    let (a, b) = (world.client(), world.client());
    for name in ["p", "q", "r"] {
        assert_eq!(world.ask(a, &format!("PREPARE {name} AS of {name}")), "CZ");
    }
    for server in &mut world.servers {
        server.gone = vec!["of q".to_owned()];
    }
    displace(world, b);
    (a, b)
}

fn displace(world: &mut World, other: ClientEnd) {
    assert_eq!(asks(world, other, SEES), [""]);
}

/// A Parse and Bind of a statement with a name, and Execute.
fn parse_named(name: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    build::parse(&mut out, name.as_bytes(), &[text.as_bytes(), &[0; 3]].concat());
    out
}

fn bind_execute_named(name: &str) -> Vec<u8> {
    let mut out = vec![b'B'];
    build::sized(&mut out, |out| {
        out.extend_from_slice(&[b"\0", name.as_bytes(), &[0; 7]].concat());
    });
    out.push(b'E');
    build::sized(&mut out, |out| out.extend_from_slice(&[0; 5]));
    out
}

/// Errors that clients have been told, as `/metrics` counts them.
fn told(world: &mut World) -> u64 {
    let picture = world.inspect();
    picture.pools[0].counters.errors.sorted().iter().map(|(_, count)| count).sum()
}

#[test]
fn a_statement_that_cannot_be_prepared_any_more_is_left_out() {
    let mut world = World::new(1, "");
    let (a, b) = one_of_three_is_gone(&mut world);
    for _ in 0..3 {
        let before = world.servers[0].ran.len();
        world.send(a, &query(SEES));
        world.run();
        assert_eq!(world.tags(a), "DCZ");
        assert_eq!(world.servers[0].ran.len(), before + 4, "each is tried once");
        assert_eq!(asks(&mut world, a, SEES), ["p r"]);
        assert_eq!(world.servers[0].ran.len(), before + 6, "only one is tried again");
        displace(&mut world, b);
    }
    assert_eq!(told(&mut world), 0);
    // It is looked at again for each text: the table may have come back.
    world.servers[0].gone.clear();
    assert_eq!(asks(&mut world, a, SEES), ["p q r"]);
    let before = world.servers[0].ran.len();
    assert_eq!(asks(&mut world, a, SEES), ["p q r"]);
    assert_eq!(world.servers[0].ran.len(), before + 1, "all are there");
    assert_eq!(asks(&mut world, a, "EXECUTE q"), ["of q"]);
    assert_eq!(world.dials, 1, "nobody keeps the server");
    world.check_accounts();
}

#[test]
fn who_names_it_is_told_why() {
    let mut world = World::new(1, "");
    let (a, b) = one_of_three_is_gone(&mut world);
    for text in ["EXECUTE q", "select name from pg_prepared_statements; EXECUTE q"] {
        world.send(a, &query(text));
        world.run();
        assert_eq!(sqlstates(&mut world, a), ["42P01"], "{text}");
        displace(&mut world, b);
    }
    assert_eq!(told(&mut world), 2);
    for text in ["EXECUTE p; select name from pg_prepared_statements; EXECUTE q", "EXECUTE q"] {
        world.ask(a, "BEGIN");
        world.ask(a, "SAVEPOINT _pgweir_sql");
        world.send(a, &query(text));
        world.run();
        assert_eq!(sqlstates(&mut world, a), ["42P01"], "{text}");
        world.send(a, &query("select 1"));
        world.run();
        assert_eq!(sqlstates(&mut world, a), ["25P02"], "{text}");
        world.ask(a, "ROLLBACK");
        displace(&mut world, b);
    }
    // Nothing of that is left for the next message.
    assert_eq!(asks(&mut world, a, SEES), ["p r"]);
    assert_eq!(asks(&mut world, a, "select name from pg_prepared_statements; EXECUTE p").len(), 2);
    world.check_accounts();
}

#[test]
fn a_transaction_does_not_fail_over_it() {
    let mut world = World::new(1, "");
    let (a, b) = one_of_three_is_gone(&mut world);
    for text in ["BEGIN", "SET x = 1", "SAVEPOINT _pgweir_sql", "SET x = 2"] {
        world.ask(a, text);
    }
    for _ in 0..2 {
        assert_eq!(asks(&mut world, a, SEES), ["p r"]);
    }
    assert_eq!(asks(&mut world, a, "SHOW x"), ["2"]);
    // The one of this name is still the client's.
    assert_eq!(world.ask(a, "ROLLBACK TO _pgweir_sql"), "CZ");
    assert_eq!(asks(&mut world, a, "SHOW x"), ["1"]);
    assert_eq!(world.ask(a, "RELEASE _pgweir_sql"), "CZ");
    assert_eq!(world.ask(a, "ROLLBACK TO _pgweir_sql"), "EZ");
    world.send(a, &query(SEES));
    world.run();
    assert_eq!(sqlstates(&mut world, a), ["25P02"]);
    world.ask(a, "ROLLBACK");
    assert_eq!(asks(&mut world, a, SEES), ["p r"]);
    displace(&mut world, b);
    assert_eq!(asks(&mut world, a, "EXECUTE p"), ["of p"]);
    world.check_accounts();
}

#[test]
fn batches_do_not_fail_over_it() {
    let mut world = World::new(1, "");
    let (a, b) = one_of_three_is_gone(&mut world);
    let whole = [parse(SEES), bind_execute(), sync()].concat();
    let named = [parse_named("n", SEES), bind_execute_named("n"), sync()].concat();
    let again = [bind_execute_named("n"), sync()].concat();
    let seen_late = [parse("select 1"), bind_execute(), whole.clone()].concat();
    for begin in [None, Some("BEGIN")] {
        let batches = [
            (&whole, "12DCZ"),
            (&named, "12DCZ"),
            (&again, "2DCZ"),
            (&again, "2DCZ"),
            (&seen_late, "12DC12DCZ"),
            (&seen_late, "12DC12DCZ"),
        ];
        for (batch, tags) in batches {
            if let Some(begin) = begin {
                world.ask(a, begin);
            }
            world.send(a, batch);
            world.run();
            let frames = world.frames(a);
            let found: String = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
            assert_eq!(found, tags, "{begin:?}");
            let last = frames.iter().rfind(|(tag, _)| *tag == b'D');
            assert_eq!(last.map(|(_, body)| &body[6..]), Some(&b"p r"[..]), "{begin:?}");
            if begin.is_some() {
                world.ask(a, "ROLLBACK");
            }
            displace(&mut world, b);
        }
        let mut close = vec![b'C'];
        build::sized(&mut close, |out| out.extend_from_slice(b"Sn\0"));
        world.send(a, &[close, sync()].concat());
        world.run();
        assert_eq!(world.tags(a), "3Z");
    }
    assert_eq!(world.dials, 1);
    world.check_accounts();
}

#[test]
fn what_is_pipelined_behind_it_waits() {
    let mut world = World::new(1, "");
    let (a, b) = one_of_three_is_gone(&mut world);
    let batch = [parse(SEES), bind_execute(), sync()].concat();
    let all = [query("select 1"), batch, query(SEES), query("EXECUTE q"), query("select 2")];
    world.send(a, &all.concat());
    world.run();
    assert_eq!(world.tags(a), "DCZ12DCZDCZEZDCZ");
    displace(&mut world, b);
    let mut terminate = query(SEES);
    terminate.extend_from_slice(&build::TERMINATE);
    world.send(a, &terminate);
    world.run();
    assert_eq!(world.tags(a), "DCZ");
    displace(&mut world, b);
    world.hang_up(b);
    world.run();
    world.check_quiet();
}

#[test]
fn a_server_that_dies_over_it_is_replaced_or_told() {
    let mut world = World::new(1, "");
    let (a, b) = one_of_three_is_gone(&mut world);
    world.servers[0].silent = true;
    world.send(a, &query(SEES));
    world.run();
    // Some of the exchange has been answered.
    (0..12).for_each(|_| world.answer_one(0));
    world.kill_server(0, None);
    world.run();
    assert_eq!(rows(&mut world, a), ["p q r"], "nothing is gone for the new one");
    world.servers[1].gone = vec!["of q".to_owned()];
    displace(&mut world, b);
    world.ask(a, "BEGIN");
    world.servers[1].silent = true;
    world.send(a, &query(SEES));
    world.run();
    while world.servers[1].status != TransactionStatus::Failed {
        world.answer_one(1);
    }
    world.kill_server(1, None);
    world.run();
    assert_eq!(world.tags(a), "EZ");
    world.send(a, &query("select 1"));
    world.run();
    assert_eq!(sqlstates(&mut world, a), ["25P02"]);
    world.ask(a, "ROLLBACK");
    assert_eq!(asks(&mut world, a, SEES), ["p q r"]);
    world.check_accounts();
}

#[test]
fn a_client_that_goes_meanwhile_leaves_nothing() {
    for begin in [None, Some("BEGIN")] {
        let mut world = World::new(1, "");
        let (a, b) = one_of_three_is_gone(&mut world);
        if let Some(begin) = begin {
            world.ask(a, begin);
        }
        world.servers[0].silent = true;
        world.send(a, &query(SEES));
        world.run();
        world.answer_one(0);
        world.hang_up(a);
        world.run();
        world.advance(60_000);
        world.servers[0].silent = false;
        world.advance(60_000);
        assert_eq!(asks(&mut world, b, SEES), [""]);
        world.hang_up(b);
        world.run();
        world.check_quiet();
    }
}
