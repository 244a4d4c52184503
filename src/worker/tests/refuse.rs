//! `session_state = "refuse"` and `"ignore"`.

use super::super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use super::{rows, sqlstates};

const TEMP: &str = "create temp table t (a int)";

fn strict() -> World {
    World::new(1, "session_state = \"refuse\"")
}

fn ran(world: &World, text: &str) -> bool {
    world.servers.iter().any(|server| server.ran.iter().any(|ran| ran.contains(text)))
}

/// Sends this and gives the tags and SQLSTATEs of what comes back.
fn outcome(world: &mut World, client: ClientEnd, bytes: &[u8]) -> (String, Vec<String>) {
    world.send(client, bytes);
    world.run();
    let frames = world.frames(client);
    let errors = frames.iter().filter(|(tag, _)| *tag == b'E');
    let errors = errors.map(|(_, body)| crate::wire::Report::from_server(body));
    let errors = errors.map(|report| report.sqlstate().to_owned()).collect();
    let status = |tag: u8, body: &[u8]| if tag == b'Z' { body[0] } else { tag };
    let tags = frames.iter().map(|(tag, body)| char::from(status(*tag, body))).collect();
    (tags, errors)
}

fn expect(found: (String, Vec<String>), tags: &str, errors: &[&str]) {
    assert_eq!(
        (found.0.as_str(), found.1.iter().map(String::as_str).collect()),
        (tags, errors.to_vec())
    );
}

#[test]
fn without_a_server_the_answer_is_given_here() {
    let mut world = strict();
    let client = world.client();
    world.ask(client, "select 1");
    let before = world.servers[0].ran.len();
    expect(outcome(&mut world, client, &query(TEMP)), "EI", &["0A000"]);
    let batch = [parse(TEMP), bind_execute(), sync()].concat();
    expect(outcome(&mut world, client, &batch), "EI", &["0A000"]);
    let several = query(&format!("select 2; {TEMP}"));
    expect(outcome(&mut world, client, &several), "EI", &["0A000"]);
    assert_eq!(world.servers[0].ran.len(), before, "the server has heard nothing of it");
    assert_eq!(world.ask(client, "select 2"), "DCZ");
    world.check_accounts();
}

#[test]
fn the_unnamed_statement_goes_as_at_any_text_that_cannot_be_read() {
    let mut world = strict();
    let client = world.client();
    for refused in [query(TEMP), [parse(TEMP), sync()].concat()] {
        let prepare = [parse("select 7"), sync()].concat();
        expect(outcome(&mut world, client, &prepare), "1I", &[]);
        outcome(&mut world, client, &refused);
        let run = [bind_execute(), sync()].concat();
        expect(outcome(&mut world, client, &run), "EI", &["XX001"]);
    }
}

#[test]
fn in_a_transaction_it_fails_the_transaction() {
    let mut world = strict();
    let client = world.client();
    expect(outcome(&mut world, client, &query("BEGIN")), "DCT", &[]);
    expect(outcome(&mut world, client, &query(TEMP)), "EE", &["0A000"]);
    expect(outcome(&mut world, client, &query(TEMP)), "EE", &["25P02"]);
    expect(outcome(&mut world, client, &query("select 1")), "EE", &["25P02"]);
    // A text that cannot be read is not begun with.
    let both = query(&format!("ROLLBACK; {TEMP}"));
    expect(outcome(&mut world, client, &both), "EE", &["0A000"]);
    expect(outcome(&mut world, client, &query("ROLLBACK")), "DCI", &[]);
    assert!(!ran(&world, "temp table"));
    world.check_accounts();
}

#[test]
fn in_a_batch_what_follows_is_skipped() {
    let mut world = strict();
    let client = world.client();
    let batch = [
        parse("select 1"),
        bind_execute(),
        parse(TEMP),
        bind_execute(),
        parse("select 2"),
        bind_execute(),
        sync(),
    ]
    .concat();
    expect(outcome(&mut world, client, &batch), "12DCEI", &["0A000"]);
    assert!(!ran(&world, "select 2") && !ran(&world, "temp table"));
    // Behind an error it is skipped like everything else.
    let batch = [parse("bad"), parse(TEMP), bind_execute(), sync()].concat();
    expect(outcome(&mut world, client, &batch), "EI", &["XX001"]);
    world.check_accounts();
}

#[test]
fn in_a_pipeline_it_waits_for_what_it_depends_on() {
    let mut world = strict();
    let client = world.client();
    let pipeline = ["BEGIN", TEMP, "select 1", "ROLLBACK"].map(query).concat();
    expect(outcome(&mut world, client, &pipeline), "DCTEEEEDCI", &["0A000", "25P02"]);
    let pipeline = ["BEGIN", "ERROR", TEMP, "ROLLBACK"].map(query).concat();
    expect(outcome(&mut world, client, &pipeline), "DCTEEEEDCI", &["XX001", "25P02"]);
    assert!(!ran(&world, "temp table"));
}

#[test]
fn what_keeps_nothing_beyond_its_transaction_runs() {
    let mut world = strict();
    let client = world.client();
    for text in ["SET a = 1", "select pg_advisory_xact_lock(1)", "DISCARD ALL", "SHOW a"] {
        world.send(client, &query(text));
        world.run();
        assert_eq!(sqlstates(&mut world, client), [""; 0], "{text}");
    }
    let mut world = World::new(1, "session_state = \"refuse\"\npool_mode = \"session\"");
    let client = world.client();
    assert_eq!(world.ask(client, TEMP), "DCZ", "it has a server of its own");
}

#[test]
fn what_is_ignored_keeps_no_server_and_is_left_there() {
    let mut world = World::new(1, "session_state = \"ignore\"");
    let (client, other) = (world.client(), world.client());
    for text in [TEMP, "LOAD 'x'", "select pg_advisory_lock(1)", "select setseed(1)"] {
        assert_eq!(world.ask(client, text), "DCZ");
        world.send(other, &query("select 2"));
        world.run();
        assert_eq!(rows(&mut world, other), ["select 2"], "{text}");
    }
    let ran = &world.servers[0].ran;
    assert!(!ran.iter().any(|text| text.contains("pgweir") || text == "DISCARD ALL"), "{ran:?}");
    assert_eq!(world.dials, 1);
    world.check_accounts();
}
