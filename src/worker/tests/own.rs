//! Exchanges of pgweir's own that a client waits for: servers that do not answer, and clients that do not want to wait.

use super::super::mail::CancelOutcome;
use super::super::world::{ClientEnd, World, query, sync};
use super::{rows, sqlstates};
use crate::wire::{Report, build};

const DDL: &str = "ALTER TABLE t ADD a int";

/// A client that waits for its parameters, which its server is not setting.
fn being_prepared(size: u32, settings: &str) -> (World, ClientEnd) {
    let mut world = World::new(size, settings);
    let (client, other) = (world.client(), world.client_with(&[("work_mem", "8MB")]));
    world.ask(client, "select first");
    world.servers[0].silent = true;
    world.send(other, &query("select other"));
    world.run();
    assert_ne!(world.servers[0].front_len(), None);
    assert_eq!(world.tags(other), "");
    (world, other)
}

/// A client whose DDL waits, in a transaction, for a limit that its server is not setting.
fn ddl_that_waits(settings: &str) -> (World, ClientEnd) {
    let mut world = World::new(1, &format!("ddl_lock_timeout = \"5s\"\n{settings}"));
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "insert x");
    world.servers[0].silent = true;
    world.send(client, &query(DDL));
    world.run();
    assert_ne!(world.servers[0].input, query(DDL));
    (world, client)
}

#[test]
fn a_client_whose_server_goes_quiet_while_it_is_prepared_gets_another_server() {
    let (mut world, client) = being_prepared(2, "");
    world.advance(4_999);
    assert_eq!(world.tags(client), "");
    world.advance(1);
    assert_eq!(rows(&mut world, client), ["select other"]);
    assert_eq!((world.dials, world.inspect().pools[0].zombie), (2, 1), "the slot is accounted for");
    world.check_accounts();
    world.advance(60_000);
    world.process_is_there(false);
    assert_eq!(world.inspect().pools[0].zombie, 0);
    world.check_accounts();
}

#[test]
fn nor_does_it_wait_for_ever_where_there_is_no_other() {
    let (mut world, client) = being_prepared(1, "");
    world.advance(5_000);
    assert_eq!(world.tags(client), "", "in the queue");
    world.advance(10_000);
    assert_eq!(sqlstates(&mut world, client), ["53300"]);
    world.advance(60_000);
    world.process_is_there(false);
    assert_eq!(world.ask(client, "select next"), "DCZ");
}

#[test]
fn it_is_told_if_none_of_several_servers_answers() {
    let (mut world, client) = being_prepared(9, "");
    for n in 1..4 {
        world.dials_held = true;
        world.advance(5_000);
        world.dials_held = false;
        let (seat, spec, place) = world.held_dials.remove(0);
        world.dial(seat, &spec, place);
        world.servers[n].silent = true;
        world.run();
        assert_eq!(world.tags(client), "", "{n}");
    }
    world.advance(5_000);
    let errors = world.errors(client);
    assert_eq!((errors.len(), errors[0].sqlstate()), (1, "57P01"));
    assert!(!world.is_closed(client));
    assert_eq!(world.dials, 4);
}

#[test]
fn an_answer_in_time_is_all_that_is_wanted() {
    let (mut world, client) = being_prepared(1, "");
    world.advance(4_000);
    world.answer_one(0);
    // What it runs now may take as long as it likes.
    world.advance(3_600_000);
    assert_eq!(world.tags(client), "");
    world.answer_one(0);
    assert_eq!(rows(&mut world, client), ["select other"]);
    let (mut world, client) = ddl_that_waits("");
    world.answer_one(0);
    world.advance(3_600_000);
    world.answer_one(0);
    assert_eq!(world.tags(client), "DCZ");
    assert_eq!(world.dials, 1);
    world.check_accounts();
}

#[test]
fn a_session_whose_server_goes_quiet_while_it_is_asked_what_pins_it_is_told() {
    let mut world = World::new(1, "");
    let client = world.client();
    world.send(client, &query("CREATE TEMP TABLE t ()"));
    world.servers[0].silent = true;
    world.run();
    world.answer_one(0);
    assert_eq!(world.tags(client), "DCZ");
    world.send(client, &query("select next"));
    world.run();
    world.advance(4_999);
    assert!(!world.is_closed(client));
    world.advance(1);
    let errors = world.errors(client);
    assert_eq!((errors.len(), errors[0].sqlstate()), (1, "57P01"));
    let detail = errors[0].detail.as_deref().unwrap();
    assert_eq!(detail, "the server did not answer pgweir in time");
    assert!(world.is_closed(client), "its tables are gone");
    assert_eq!(world.inspect().pools[0].zombie, 1);
    world.check_accounts();
}

#[test]
fn in_a_transaction_the_server_is_lost_and_with_it_the_transaction() {
    let (mut world, client) = ddl_that_waits("");
    world.send(client, &[query("insert second"), query("COMMIT")].concat());
    world.advance(5_000);
    let frames = world.frames(client);
    let tags: String = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
    assert_eq!(tags, "EZEZCZ");
    let report = Report::from_server(&frames[0].1);
    assert_eq!(report.sqlstate(), "57P01");
    assert_eq!(report.detail.as_deref(), Some("the server did not answer pgweir in time"));
    assert_eq!(Report::from_server(&frames[2].1).sqlstate(), "25P02");
    assert_eq!([&frames[1].1, &frames[3].1, &frames[5].1], [b"E", b"E", b"I"]);
    assert_eq!(frames[4].1, b"ROLLBACK\0");
    assert!(!world.servers[0].ran.iter().any(|text| text == "insert second"));
    world.check_accounts();
}

#[test]
fn a_rollback_of_pgweirs_own_is_waited_for_no_longer() {
    let settings = "idle_in_transaction_timeout = \"30s\"\npool_mode = \"session\"";
    let mut world = World::new(1, settings);
    let client = world.client();
    world.ask(client, "BEGIN");
    world.servers[0].silent = true;
    world.advance(31_000);
    assert_eq!(world.ask(client, "COMMIT"), "EZ");
    world.send(client, &query("select next"));
    world.advance(5_000);
    assert_eq!(sqlstates(&mut world, client), ["57P01"]);
    assert!(world.is_closed(client));
}

#[test]
fn a_statement_that_waits_for_parameters_is_cancelled_without_a_server() {
    let (mut world, client) = being_prepared(2, "");
    world.client_cancels(client);
    let errors = world.errors(client);
    assert_eq!((errors.len(), errors[0].sqlstate()), (1, "57014"));
    assert_eq!(errors[0].message, "canceling statement due to user request");
    assert!(world.cancels.is_empty(), "there is nothing of its");
    assert_eq!(world.ask(client, "select next"), "DCZ");
    assert_eq!(world.dials, 2, "whether the first has its parameters is not known");
    world.check_accounts();
}

#[test]
fn a_statement_that_waits_for_limits_in_a_transaction_is_cancelled_when_it_runs() {
    let (mut world, client) = ddl_that_waits("");
    world.client_cancels(client);
    assert!(world.cancels.is_empty());
    world.answer_one(0);
    assert_eq!(world.servers[0].input, query(DDL));
    let (cancel, permitted) = world.cancel_is_permitted();
    assert!(permitted);
    world.front_fails(0, &Report::error(b"57014", "canceling statement due to user request"));
    world.servers[0].silent = false;
    world.cancel_finished(cancel, CancelOutcome::Delivered);
    assert_eq!(sqlstates(&mut world, client), ["57014"]);
    assert_eq!(world.ask(client, "ROLLBACK"), "DCZ");
    for text in ["BEGIN", DDL, "COMMIT"] {
        assert_eq!(world.ask(client, text), "DCZ");
    }
    assert!(world.cancels.is_empty(), "it was for that one statement");
    world.check_accounts();
}

#[test]
fn a_cancel_request_that_comes_while_a_session_is_asked_what_pins_it_hits_what_waits_or_nothing() {
    for waits in [true, false] {
        let mut world = World::new(1, "");
        let client = world.client();
        world.send(client, &query("CREATE TEMP TABLE t ()"));
        world.servers[0].silent = true;
        world.servers[0].left = Some([true, false, false]);
        world.run();
        world.answer_one(0);
        world.tags(client);
        if waits {
            world.send(client, &query("select next"));
            world.run();
        }
        world.client_cancels(client);
        world.answer_one(0);
        assert_eq!(world.cancels.len(), usize::from(waits));
        world.send(client, &query("select more"));
        world.run();
        assert_eq!(world.cancels.len(), usize::from(waits));
    }
}

/// A session that knows the rows of its statement `p`, on a server that has not been asked about them and does not
/// answer.
fn rows_asked_for(settings: &str) -> (World, ClientEnd) {
    let mut world = World::new(3, settings);
    let (client, other) = (world.client(), world.client());
    let mut prepare = Vec::new();
    build::parse(&mut prepare, b"p", b"select 1\0\0\0");
    build::describe_statement(&mut prepare, b"p");
    world.servers[0].silent = true;
    world.send(client, &[prepare, sync()].concat());
    world.run();
    let mut answer = b"1\0\0\0\x04t\0\0\0\x06\0\0T".to_vec();
    build::sized(&mut answer, |out| {
        out.extend_from_slice(b"\0\x01a\0");
        out.extend_from_slice(&[0; 18]);
    });
    answer.extend_from_slice(b"Z\0\0\0\x05I");
    world.servers[0].input.clear();
    world.servers[0].silent = false;
    world.server_sends(0, &answer);
    world.run();
    assert_eq!(world.tags(client), "1tTZ");
    world.ask(other, "BEGIN");
    world.ask(client, "select first");
    world.servers[1].silent = true;
    let mut bind = vec![b'B'];
    build::sized(&mut bind, |out| out.extend_from_slice(b"\0p\0\0\0\0\0\0\0"));
    bind.push(b'E');
    build::sized(&mut bind, |out| out.extend_from_slice(&[0; 5]));
    world.send(client, &[bind, sync()].concat());
    world.run();
    let input = &world.servers[1].input;
    assert!(input.ends_with(b"H\0\0\0\x04"), "it is asked, and nothing follows: {input:?}");
    (world, client)
}

#[test]
fn the_time_in_which_a_server_is_asked_about_rows_is_the_statements() {
    let (mut world, client) = rows_asked_for("statement_timeout = \"2s\"");
    world.advance(2_100);
    world.looked(Some(false));
    for millis in [1_000, 2_000, 1_000] {
        world.advance(millis);
    }
    assert_eq!(sqlstates(&mut world, client), ["57014"]);
    assert_eq!(world.ask(client, "select next"), "DCZ");
    let (mut world, client) = rows_asked_for("");
    // It may be waiting for a lock.
    world.advance(3_600_000);
    assert!(!world.has_received(client));
    world.client_cancels(client);
    assert!(world.cancel_is_permitted().1);
}

/// A client whose EXECUTE waits for its own statement of that name, on a server that had another's and does not answer.
fn statement_that_is_put_back(size: u32, settings: &str) -> (World, ClientEnd) {
    let mut world = World::new(size, settings);
    let (client, other) = (world.client(), world.client());
    for (client, text) in [(client, "PREPARE p AS mine"), (other, "PREPARE p AS another")] {
        assert_eq!(world.ask(client, text), "CZ");
    }
    world.servers[0].silent = true;
    world.send(client, &query("EXECUTE p"));
    world.run();
    assert_ne!(world.servers[0].front_len(), None);
    (world, client)
}

#[test]
fn a_statement_that_is_prepared_again_may_take_as_long_as_its_limit_and_pgweirs_own() {
    let (mut world, client) = statement_that_is_put_back(2, "statement_timeout = \"2s\"");
    world.advance(6_999);
    assert!(!world.has_received(client));
    world.advance(1);
    assert_eq!(rows(&mut world, client), ["mine"]);
    assert_eq!((world.dials, world.inspect().pools[0].zombie), (2, 1));
    let (mut world, client) = statement_that_is_put_back(2, "");
    // It may be waiting for a lock.
    world.advance(3_600_000);
    assert!(!world.has_received(client));
    world.client_cancels(client);
    assert_eq!(sqlstates(&mut world, client), ["57014"]);
    assert!(world.cancel_is_permitted().1, "nobody else gets the server while that runs");
    assert_eq!(world.ask(client, "EXECUTE p"), "DCZ");
    assert_eq!(world.dials, 2);
    world.check_accounts();
}

#[test]
fn what_could_not_be_served_long_ago_is_forgotten() {
    let mut world = World::new(1, "");
    let client = world.client();
    for _ in 0..10 {
        assert_eq!(world.ask(client, "select 1"), "DCZ");
        world.break_server_unseen(world.servers.len() - 1);
        world.servers.last_mut().unwrap().terminated = true;
    }
}
