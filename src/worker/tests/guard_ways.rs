//! Ways around the guard, and other faults beside it, each of which was open once.

use super::super::world::{ClientEnd, World, bind_execute, frames, parse, query, sync};
use crate::guard::Answer;
use crate::wire::{Report, build};

const INDEX: &str = "create index i on t (a)";
const TEMP: &str = "create temp table t (a int)";
const FULL: Answer = Answer::Relation { partitioned: false, empty: false };
const EMPTY: Answer = Answer::Relation { partitioned: false, empty: true };

fn world() -> World {
    World::new(1, "guard = \"default\"")
}

fn in_session_mode() -> World {
    World::new(1, "guard = \"default\"\npool_mode = \"session\"")
}

fn named(name: &str, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    build::parse(&mut out, name.as_bytes(), &[text.as_bytes(), b"\0\0\0"].concat());
    out
}

fn bind(portal: &str, statement: &str) -> Vec<u8> {
    let mut out = vec![b'B'];
    let body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0\0\0\0\0"].concat();
    build::sized(&mut out, |out| out.extend_from_slice(&body));
    out
}

fn execute(portal: &str) -> Vec<u8> {
    let mut out = vec![b'E'];
    let body = [portal.as_bytes(), b"\0\0\0\0\0"].concat();
    build::sized(&mut out, |out| out.extend_from_slice(&body));
    out
}

fn flush() -> Vec<u8> {
    vec![b'H', 0, 0, 0, 4]
}

/// The SQLSTATEs of errors; the catalog, where it is asked, says this of everything.
fn errors(world: &mut World, client: ClientEnd, bytes: &[u8], says: Answer) -> Vec<String> {
    world.send(client, bytes);
    world.run();
    while let Some((_, asked)) = world.catalog_asked.first() {
        let answers = vec![says; asked.questions.len()];
        world.catalog_answers(&answers);
    }
    let frames = frames(&world.received(client));
    let errors = frames.iter().filter(|(tag, _)| *tag == b'E');
    errors.map(|(_, body)| Report::from_server(body).sqlstate().to_owned()).collect()
}

/// How often a text has been run.
fn runs(world: &World, text: &str) -> usize {
    let servers = world.servers.iter();
    servers.flat_map(|server| &server.ran).filter(|ran| ran.contains(text)).count()
}

fn counted(world: &mut World, rule: &str) -> u64 {
    let pools = world.inspect().pools;
    let found = pools.iter().flat_map(|pool| pool.counters.guard.sorted());
    found.filter(|((known, _), _)| *known == rule).map(|(_, count)| count).sum()
}

#[track_caller]
fn refuses(world: &mut World, client: ClientEnd, bytes: &[u8], says: Answer) {
    let before = runs(world, "create index");
    let errors = errors(world, client, bytes, says);
    assert_eq!((runs(world, "create index") - before, errors), (0, vec!["42501".to_owned()]));
}

#[track_caller]
fn runs_well(world: &mut World, client: ClientEnd, bytes: &[u8]) {
    assert_eq!(errors(world, client, bytes, FULL), [""; 0]);
}

#[test]
fn a_statement_of_the_server_s_own_is_judged_where_it_is_bound() {
    // In session mode every named statement is one of those.
    let mut world = in_session_mode();
    let client = world.client();
    for text in ["BEGIN", "create table t (a int)"] {
        runs_well(&mut world, client, &query(text));
    }
    runs_well(&mut world, client, &[named("s", INDEX), sync()].concat());
    runs_well(&mut world, client, &query("COMMIT"));
    refuses(&mut world, client, &[bind("", "s"), execute(""), sync()].concat(), FULL);
}

#[test]
fn a_statement_of_the_server_s_own_is_judged_by_a_policy_that_came_later() {
    let mut world = World::new(1, "guard = \"off\"\npool_mode = \"session\"");
    let client = world.client();
    runs_well(&mut world, client, &[named("s", INDEX), sync()].concat());
    world.reload("guard = \"default\"\npool_mode = \"session\"");
    refuses(&mut world, client, &[bind("", "s"), execute(""), sync()].concat(), FULL);
}

#[test]
fn what_a_statement_of_the_server_s_own_does_is_history() {
    let mut world = in_session_mode();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query(TEMP));
    let drop = [named("s", "drop table t"), bind("", "s"), execute(""), sync()];
    runs_well(&mut world, client, &drop.concat());
    // Another table of that name.
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn a_rollback_by_way_of_a_named_portal_is_history() {
    let mut world = world();
    let client = world.client();
    for text in ["BEGIN", "SAVEPOINT s", TEMP] {
        runs_well(&mut world, client, &query(text));
    }
    let back = [parse("ROLLBACK TO s"), bind("p", ""), execute("p"), sync()].concat();
    runs_well(&mut world, client, &back);
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn a_named_portal_runs_what_was_allowed_when_it_was_bound() {
    let mut world = world();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query(TEMP));
    let batch = [
        named("s", INDEX),
        bind("p", "s"),
        parse("drop table t"),
        bind_execute(),
        execute("p"),
        sync(),
    ];
    refuses(&mut world, client, &batch.concat(), FULL);
}

#[test]
fn what_a_named_portal_does_when_it_runs_is_history() {
    let mut world = world();
    let client = world.client();
    let batch = [
        named("d", "drop table t"),
        bind("p", "d"),
        parse(TEMP),
        bind_execute(),
        execute("p"),
        parse(INDEX),
        bind_execute(),
        sync(),
    ];
    refuses(&mut world, client, &batch.concat(), FULL);
}

#[test]
fn a_portal_that_was_replaced_has_not_run() {
    let mut world = world();
    let client = world.client();
    // The name is not ASCII: a statement of the server's own, and the unnamed portal is its now.
    let batch =
        [parse(TEMP), bind("", ""), named("é", "select 1"), bind("", "é"), execute(""), sync()];
    runs_well(&mut world, client, &batch.concat());
    assert_eq!(runs(&world, TEMP), 0);
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn a_portal_outlives_its_statement() {
    let mut world = world();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query(TEMP));
    // Each Parse throws the statement before away; its place is the next one's.
    for piece in [
        [parse("drop table t"), bind("", "")].concat(),
        parse("select 11"),
        parse("select 12"),
        parse("select 13"),
    ] {
        runs_well(&mut world, client, &[piece, flush()].concat());
    }
    runs_well(&mut world, client, &[execute(""), sync()].concat());
    assert_eq!(runs(&world, "drop table t"), 1);
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn control_that_was_bound_before_there_was_anything_to_end_is_history() {
    // Nothing is noted of it where it is bound; where it runs, what was made since is not known any more.
    for session in [world as fn() -> World, in_session_mode] {
        for (back, portal) in
            [("ROLLBACK TO s", "p"), ("ROLLBACK TO s", ""), ("ROLLBACK", "p"), ("ROLLBACK", "")]
        {
            let made = [named("made", TEMP), bind("m", "made")].concat();
            let back = [named("back", back), bind(portal, "back")].concat();
            for bound in [[&back[..], &made], [&made, &back]] {
                let mut world = session();
                let client = world.client();
                runs_well(&mut world, client, &query("BEGIN"));
                runs_well(&mut world, client, &query("SAVEPOINT s"));
                let batch = [bound.concat(), execute("m"), execute(portal), sync()];
                runs_well(&mut world, client, &batch.concat());
                assert_eq!(runs(&world, TEMP), 1);
                refuses(&mut world, client, &query(INDEX), FULL);
            }
        }
    }
}

#[test]
fn control_that_was_bound_before_a_query_made_something_is_history() {
    for session in [world as fn() -> World, in_session_mode] {
        for back in ["ROLLBACK TO s", "RELEASE s", "COMMIT"] {
            let mut world = session();
            let client = world.client();
            runs_well(&mut world, client, &query("BEGIN"));
            runs_well(&mut world, client, &query("SAVEPOINT s"));
            runs_well(&mut world, client, &[named("b", back), bind("p", "b"), sync()].concat());
            runs_well(&mut world, client, &query("create table t (a int)"));
            let end = [execute("p"), flush()].concat();
            runs_well(&mut world, client, &end);
            refuses(&mut world, client, &[parse(INDEX), bind_execute(), sync()].concat(), FULL);
        }
    }
}

#[test]
fn what_is_made_behind_control_that_has_run_is_new() {
    // As drivers do it: each statement is bound right before it runs.
    for session in [world as fn() -> World, in_session_mode] {
        let mut world = session();
        let client = world.client();
        for name in ["", "s"] {
            let run = |text: &str| {
                let name = if name.is_empty() { name } else { text };
                [named(name, text), bind("", name), execute(""), sync()].concat()
            };
            let texts = [
                "BEGIN",
                "SAVEPOINT s",
                "create table t (a int)",
                "create index i on t (a)",
                "SAVEPOINT u",
                "ROLLBACK TO u",
                "create index j on t (a)",
                "COMMIT",
            ];
            for text in texts {
                runs_well(&mut world, client, &run(text));
            }
            // In one batch as well.
            let batch: Vec<u8> = texts
                .iter()
                .flat_map(|text| [parse(text), bind_execute()].concat())
                .chain(sync())
                .collect();
            runs_well(&mut world, client, &batch);
            refuses(&mut world, client, &run(INDEX), FULL);
        }
    }
}

#[test]
fn a_portal_of_a_query_does_not_end_what_is_known() {
    let mut world = world();
    let client = world.client();
    runs_well(&mut world, client, &[parse("BEGIN"), bind_execute(), sync()].concat());
    runs_well(&mut world, client, &query("create table t (a int)"));
    let rows = [named("q", "select 1"), bind("p", "q"), execute("p"), sync()].concat();
    runs_well(&mut world, client, &rows);
    let rows = [bind("", "q"), execute(""), sync()].concat();
    runs_well(&mut world, client, &rows);
    runs_well(&mut world, client, &query(INDEX));
}

#[test]
fn control_by_query_ends_what_a_temporary_table_was() {
    let mut world = in_session_mode();
    let client = world.client();
    for text in ["BEGIN", TEMP, "COMMIT", "BEGIN", "SAVEPOINT s", "drop table t"] {
        runs_well(&mut world, client, &query(text));
    }
    runs_well(&mut world, client, &query("ROLLBACK TO s"));
    runs_well(&mut world, client, &query(INDEX));
    runs_well(&mut world, client, &query("drop table t"));
    runs_well(&mut world, client, &query("COMMIT"));
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn a_portal_beyond_those_that_are_followed_makes_all_unknown() {
    for last in ["drop table t", "ROLLBACK TO s"] {
        let mut world = world();
        let client = world.client();
        runs_well(&mut world, client, &query("BEGIN"));
        runs_well(&mut world, client, &query("SAVEPOINT s"));
        let mut batch = named("a", "analyze");
        for portal in 1..=8 {
            batch.extend(bind(&format!("p{portal}"), "a"));
        }
        batch.extend([named("l", last), bind("last", "l"), sync()].concat());
        runs_well(&mut world, client, &batch);
        runs_well(&mut world, client, &query(TEMP));
        runs_well(&mut world, client, &[execute("last"), sync()].concat());
        refuses(&mut world, client, &query(INDEX), FULL);
    }
}

#[test]
fn a_text_that_is_too_long_to_be_followed_makes_all_unknown() {
    let mut world = world();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query(TEMP));
    let drop = format!("drop table t /* {} */", "x".repeat(70_000));
    runs_well(&mut world, client, &[parse(&drop), bind_execute(), sync()].concat());
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn a_portal_that_is_not_followed_is_judged_for_whenever_it_runs() {
    let mut world = world();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query(TEMP));
    let mut batch = named("a", "analyze");
    for portal in 1..=8 {
        batch.extend(bind(&format!("p{portal}"), "a"));
    }
    runs_well(&mut world, client, &[batch, sync()].concat());
    // What the catalog says now need not be so when it runs.
    let index = [named("i", INDEX), bind("last", "i"), execute("last"), sync()].concat();
    refuses(&mut world, client, &index, Answer::Missing);
}

#[test]
fn statements_of_the_server_s_own_beyond_those_remembered_make_all_unknown() {
    let mut world = in_session_mode();
    let client = world.client();
    let long = "x".repeat(60_000);
    for n in 0..4 {
        let text = format!("analyze /* {n} {long} */");
        runs_well(&mut world, client, &[named(&format!("a{n}"), &text), sync()].concat());
    }
    let drop = format!("drop table t /* {long} */");
    runs_well(&mut world, client, &[named("d", &drop), sync()].concat());
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query(TEMP));
    runs_well(&mut world, client, &[bind("", "d"), execute(""), sync()].concat());
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn discard_all_of_the_extended_protocol_is_history() {
    let mut world = in_session_mode();
    let client = world.client();
    runs_well(&mut world, client, &query(TEMP));
    runs_well(&mut world, client, &[parse("DISCARD ALL"), bind_execute(), sync()].concat());
    assert_eq!(runs(&world, "DISCARD ALL"), 1);
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn the_catalog_says_nothing_of_what_a_text_will_have_committed_by_then() {
    // Each is one string. What the catalog is asked before it runs is not what the index meets.
    for text in [
        "alter table t rename to u; commit; create index i on u (a)",
        "begin; alter table t rename to u; commit; create index i on u (a)",
        "set search_path = live; commit; create index i on t (a)",
    ] {
        let mut world = world();
        let client = world.client();
        refuses(&mut world, client, &query(text), Answer::Missing);
    }
    let mut world = world();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query("alter table t rename to u"));
    refuses(&mut world, client, &query("commit; create index i on u (a)"), Answer::Missing);
}

#[test]
fn the_catalog_is_told_where_the_search_path_is_not_known() {
    for set in [
        "do $$ begin perform set_config('search_path', 'live', false); end $$",
        "do $$ begin set search_path = live; end $$",
        "select set_config('search_path', v, false) from settings",
    ] {
        let mut world = world();
        let client = world.client();
        world.send(client, &query(INDEX));
        world.run();
        assert!(world.catalog_asked[0].1.path_is_known);
        world.catalog_answers(&[FULL]);
        world.received(client);
        runs_well(&mut world, client, &query(set));
        world.send(client, &query(INDEX));
        world.run();
        assert!(!world.catalog_asked[0].1.path_is_known, "{set}");
    }
}

#[test]
fn commands_beyond_the_two_thousandth_wait_as_well() {
    let mut world = world();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    errors(&mut world, client, &query("ERROR"), FULL);
    let text = format!("{}{INDEX}", "delete from x; ".repeat(2_000));
    let bytes = [query("ROLLBACK"), query(&text)].concat();
    refuses(&mut world, client, &bytes, FULL);
}

#[test]
fn commands_beyond_the_two_thousandth_are_history() {
    let mut world = world();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query(TEMP));
    let text = format!("{}drop table t", "delete from x; ".repeat(2_000));
    runs_well(&mut world, client, &query(&text));
    refuses(&mut world, client, &query(INDEX), FULL);
    let mut world = self::world();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    let text = format!("{}alter table t rename to u", "delete from x; ".repeat(2_000));
    runs_well(&mut world, client, &query(&text));
    refuses(&mut world, client, &query("create index i on u (a)"), Answer::Missing);
}

#[test]
fn behind_the_end_of_a_failed_transaction_a_batch_goes_on() {
    for (set_up, back) in [("BEGIN", "ROLLBACK"), ("BEGIN; SAVEPOINT s", "ROLLBACK TO s")] {
        let mut world = world();
        let client = world.client();
        runs_well(&mut world, client, &query(set_up));
        errors(&mut world, client, &query("ERROR"), FULL);
        let batch = [parse(back), bind_execute(), parse(INDEX), bind_execute(), sync()].concat();
        refuses(&mut world, client, &batch, FULL);
    }
}

#[test]
fn what_goes_on_behind_the_end_of_a_failed_transaction_is_history() {
    let mut world = world();
    let client = world.client();
    for text in ["BEGIN", TEMP, "SAVEPOINT s"] {
        runs_well(&mut world, client, &query(text));
    }
    errors(&mut world, client, &query("ERROR"), FULL);
    let drop = [parse("drop table t"), bind_execute(), sync()].concat();
    let batch = [parse("ROLLBACK TO s"), bind_execute(), drop].concat();
    runs_well(&mut world, client, &batch);
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn a_partition_goes_with_its_parent() {
    for texts in [
        &[
            "create temp table p (a int) partition by range (a)",
            "create temp table t partition of p default",
            "drop table p",
        ][..],
        &[
            "create temp table p (a int)",
            "create temp table t () inherits (p)",
            "drop table p cascade",
        ],
        &["create type p as (a int)", "create temp table t of p", "drop type p cascade"],
    ] {
        let mut world = world();
        let client = world.client();
        runs_well(&mut world, client, &query("BEGIN"));
        for text in texts {
            runs_well(&mut world, client, &query(text));
        }
        refuses(&mut world, client, &query(INDEX), FULL);
    }
}

#[test]
fn a_temporary_table_is_there_when_its_commit_has_been_answered() {
    let mut world = in_session_mode();
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    world.servers[0].silent = true;
    world.send(client, &[query(TEMP), query("COMMIT")].concat());
    world.run();
    world.answer_one(0);
    // A deferred constraint.
    world.servers[0].input.clear();
    world.servers[0].status = crate::wire::TransactionStatus::Idle;
    let mut failed = Vec::new();
    Report::error(b"23503", "deferred").write(&mut failed);
    build::ready_for_query(&mut failed, crate::wire::TransactionStatus::Idle);
    world.server_sends(0, &failed);
    world.servers[0].silent = false;
    world.run();
    let tags: String = world.frames(client).iter().map(|(tag, _)| char::from(*tag)).collect();
    assert_eq!(tags, "DCZEZ");
    refuses(&mut world, client, &query(INDEX), FULL);
}

#[test]
fn an_answer_of_the_catalog_does_not_keep() {
    let mut world = World::new(1, "guard = \"default\"\npool_wait_timeout = \"1h\"");
    let (holder, client) = (world.client(), world.client());
    runs_well(&mut world, holder, &query("BEGIN"));
    world.send(client, &query(INDEX));
    world.run();
    world.catalog_answers(&[EMPTY]);
    // It waits for a server; meanwhile the table is filled.
    world.advance(600_000);
    world.send(holder, &query("COMMIT"));
    world.run();
    assert_eq!((runs(&world, INDEX), world.catalog_asked.len()), (0, 1));
}

#[test]
fn silence_is_told_of_once_after_many_transactions() {
    let mut world = world();
    let client = world.client();
    for _ in 0..20 {
        for text in ["BEGIN", "alter table t add b int", "COMMIT"] {
            runs_well(&mut world, client, &query(text));
        }
    }
    runs_well(&mut world, client, &query("BEGIN"));
    runs_well(&mut world, client, &query("alter table t add b int"));
    world.advance(5_500);
    assert_eq!(counted(&mut world, "idle-after-exclusive-lock"), 1);
}

#[test]
fn what_is_refused_in_a_pipeline_is_counted_once() {
    let mut world = World::new(1, "guard = \"strict\"");
    let client = world.client();
    runs_well(&mut world, client, &query("BEGIN"));
    let bytes = [query("select 1"), query("delete from t")].concat();
    assert_eq!(errors(&mut world, client, &bytes, FULL), ["42501"]);
    assert_eq!(counted(&mut world, "write-without-where"), 1);
}

#[test]
fn a_warning_does_not_stand_within_another_message() {
    let mut world = in_session_mode();
    let client = world.client();
    runs_well(&mut world, client, &query("LISTEN c"));
    // The front of a long notification is there.
    let mut notification = vec![b'A'];
    build::sized(&mut notification, |out| {
        out.extend_from_slice(&7_i32.to_be_bytes());
        out.extend_from_slice(b"c\0");
        out.resize(out.len() + 4_000, b'x');
        out.push(0);
    });
    let (front, rest) = notification.split_at(1_000);
    world.server_sends(0, front);
    world.run();
    world.servers[0].silent = true;
    world.send(client, &query("drop table t"));
    world.run();
    world.server_sends(0, rest);
    world.run();
    let received = world.received(client);
    assert!(received.windows(notification.len()).any(|piece| piece == notification));
}

#[test]
fn a_client_whose_server_goes_while_the_catalog_is_asked_is_served() {
    for begin in ["BEGIN", "select 1"] {
        let mut world = world();
        let client = world.client();
        runs_well(&mut world, client, &query(begin));
        world.send(client, &query(&format!("/* x */ {INDEX}")));
        world.run();
        assert_eq!(world.catalog_asked.len(), 1);
        world.kill_server(0, Some("gone"));
        world.run();
        world.advance(100);
        world.catalog_answers(&[FULL]);
        world.advance(100);
        while !world.catalog_asked.is_empty() {
            world.catalog_answers(&[FULL]);
        }
        let got: String =
            frames(&world.received(client)).iter().map(|(tag, _)| char::from(*tag)).collect();
        assert!(got.ends_with("EZ"), "{begin}: {got}");
    }
}
