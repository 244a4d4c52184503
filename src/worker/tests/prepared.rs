//! Statements that SQL prepares: each session finds its own on any server, and nobody else's.

use super::super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use super::{rows, sqlstates};

fn asks(world: &mut World, client: ClientEnd, text: &str) -> Vec<String> {
    world.send(client, &query(text));
    world.run();
    rows(world, client)
}

fn code(world: &mut World, client: ClientEnd, text: &str) -> Vec<String> {
    world.send(client, &query(text));
    world.run();
    sqlstates(world, client)
}

#[test]
fn one_name_means_to_each_session_what_it_has_prepared() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "PREPARE p AS of a"), "CZ");
    assert_eq!(code(&mut world, b, "EXECUTE p"), ["26000"]);
    assert_eq!(code(&mut world, b, "DEALLOCATE p"), ["26000"]);
    assert_eq!(world.ask(b, "PREPARE p AS of b"), "CZ");
    for _ in 0..3 {
        assert_eq!(asks(&mut world, a, "EXECUTE p"), ["of a"]);
        assert_eq!(asks(&mut world, b, "select 1; EXECUTE p"), ["select 1", "of b"]);
    }
    assert_eq!(code(&mut world, a, "PREPARE p AS other"), ["42P05"]);
    assert_eq!(world.ask(b, "DEALLOCATE p"), "CZ");
    assert_eq!(code(&mut world, b, "EXECUTE p"), ["26000"]);
    assert_eq!(asks(&mut world, a, "EXECUTE p"), ["of a"]);
    assert_eq!(world.ask(a, "DEALLOCATE ALL"), "CZ");
    assert_eq!(code(&mut world, a, "EXECUTE p"), ["26000"]);
    assert_eq!(world.dials, 1, "nobody keeps the server");
    world.check_accounts();
}

#[test]
fn the_same_in_batches() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    let run = |text: &str| [parse(text), bind_execute(), sync()].concat();
    for (client, text) in [(a, "PREPARE p AS of a"), (b, "PREPARE p AS of b")] {
        world.send(client, &run(text));
        world.run();
        assert_eq!(world.tags(client), "12CZ");
    }
    for _ in 0..3 {
        for (client, text) in [(a, "of a"), (b, "of b")] {
            world.send(client, &run("EXECUTE p"));
            world.run();
            assert_eq!(rows(&mut world, client), [text]);
        }
    }
    // An error before it in the batch: it was never prepared.
    let failing = [parse("ERROR"), bind_execute(), parse("PREPARE q AS x"), bind_execute(), sync()];
    world.send(a, &failing.concat());
    world.run();
    assert_eq!(world.tags(a), "12EZ");
    assert_eq!(code(&mut world, a, "EXECUTE q"), ["26000"]);
    assert_eq!(world.dials, 1);
    world.check_accounts();
}

#[test]
fn nothing_is_sent_where_the_statement_is_the_same() {
    let mut world = World::new(1, "");
    let (a, b, c) = (world.client(), world.client(), world.client());
    for client in [a, b] {
        world.ask(client, "PREPARE p AS same");
    }
    let before = world.servers[0].ran.len();
    for _ in 0..10 {
        assert_eq!(asks(&mut world, a, "EXECUTE p"), ["same"]);
        assert_eq!(asks(&mut world, b, "EXECUTE p"), ["same"]);
        world.ask(c, "select c");
    }
    assert_eq!(world.servers[0].ran.len(), before + 30, "{:?}", &world.servers[0].ran[before..]);
    assert!(world.servers[0].named.contains_key("p"));
}

#[test]
fn a_client_that_vanishes_behind_its_prepare_leaves_nothing_to_others() {
    let mut world = World::new(1, "");
    let b = world.client();
    for text in ["PREPARE p AS gone", "BEGIN; PREPARE p AS gone", "PREPARE p AS gone; select 1"] {
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
        assert_eq!(code(&mut world, b, "EXECUTE p"), ["26000"], "{text}");
        assert_eq!(world.ask(b, "PREPARE p AS mine"), "CZ", "{text}");
        assert_eq!(asks(&mut world, b, "EXECUTE p"), ["mine"], "{text}");
        assert_eq!(world.ask(b, "DEALLOCATE p"), "CZ", "{text}");
    }
    world.check_accounts();
}

#[test]
fn a_transaction_does_not_go_on_elsewhere_when_its_server_dies_over_a_statement() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "PREPARE p AS of a");
    world.ask(b, "PREPARE p AS of b");
    world.ask(a, "BEGIN");
    world.servers[0].silent = true;
    world.send(a, &query("EXECUTE p"));
    world.run();
    world.kill_server(0, None);
    world.run();
    assert_eq!(world.tags(a), "EZ");
    assert_eq!(code(&mut world, a, "select 1"), ["25P02"]);
    world.ask(a, "ROLLBACK");
    assert_eq!(asks(&mut world, a, "EXECUTE p"), ["of a"]);
    // Outside of a transaction nobody notices.
    assert_eq!(asks(&mut world, b, "EXECUTE p"), ["of b"]);
    let last = world.servers.len() - 1;
    world.servers[last].silent = true;
    world.send(a, &query("EXECUTE p"));
    world.run();
    world.kill_server(last, None);
    world.run();
    assert_eq!(rows(&mut world, a), ["of a"]);
    world.check_accounts();
}

#[test]
fn what_was_prepared_while_the_catalog_changed_is_prepared_anew() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "PREPARE p AS same");
    world.ask(b, "alter table t add column n int");
    world.ask(b, "PREPARE p AS same");
    let before = world.servers[0].ran.len();
    assert_eq!(asks(&mut world, b, "EXECUTE p"), ["same"]);
    assert_eq!(world.servers[0].ran.len(), before + 1);
    // Its own is an older one.
    assert_eq!(asks(&mut world, a, "EXECUTE p"), ["same"]);
    assert_eq!(world.servers[0].ran.len(), before + 3);
}

#[test]
fn an_earlier_answer_says_nothing_of_a_batch_that_is_still_being_sent() {
    let mut world = World::new(1, "");
    let (a, b) = (world.client(), world.client());
    world.ask(a, "PREPARE p AS of a");
    world.ask(b, "PREPARE p AS of b");
    world.ask(a, "BEGIN");
    world.servers[0].silent = true;
    world.send(a, &query("ERROR"));
    world.run();
    // What it names is prepared in the batch, which fails, for the transaction has.
    world.send(a, &[parse("bad"), parse("EXECUTE p")].concat());
    world.run();
    world.answer_one(0);
    world.run();
    world.servers[0].silent = false;
    world.send(a, &[bind_execute(), sync()].concat());
    world.run();
    world.ask(a, "ROLLBACK");
    world.tags(a);
    assert_eq!(asks(&mut world, a, "EXECUTE p"), ["of a"]);
    assert_eq!(asks(&mut world, b, "EXECUTE p"), ["of b"]);
    world.check_accounts();
}
