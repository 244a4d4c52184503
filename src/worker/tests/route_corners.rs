//! Corners of routing: each of these went wrong once.

use super::super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use super::route::{check, said, told, world};
use crate::route::{Picture, PrimaryIs};
use crate::wire::Report;

/// A client of a database that takes no writes, beside one with two replicas.
fn alias(defaults: &str) -> (World, ClientEnd) {
    let more = format!(
        "[databases.app_ro]\nalias_of = \"app\"\n{defaults}\n\
         [databases.app_ro.routing]\nwrites = \"reject\"\n"
    );
    let mut world = World::with_replicas(2, 2, "").also(&more);
    let client = world.arriving_at("app_ro", "app", &[]);
    world.run();
    world.tags(client);
    (world, client)
}

fn unreadable(picture: &mut Picture) {
    picture.nodes.iter_mut().for_each(|node| node.readable = false);
}

fn named(name: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::wire::build::parse(&mut out, name, &[text, b"\0\0\0"].concat());
    out
}

fn bind_execute_of(name: &[u8]) -> Vec<u8> {
    let mut out = vec![b'B'];
    crate::wire::build::sized(&mut out, |out| {
        out.push(0);
        out.extend_from_slice(name);
        out.extend_from_slice(&[0; 7]);
    });
    out.push(b'E');
    crate::wire::build::sized(&mut out, |out| out.extend_from_slice(&[0; 5]));
    out
}

fn silence(world: &mut World, silent: bool) {
    for n in world.live_servers() {
        world.servers[n].silent = silent;
    }
}

fn kill_all(world: &mut World) {
    for n in world.live_servers() {
        world.kill_server(n, Some("going down"));
    }
    world.run();
}

#[test]
fn the_primary_serves_nothing_of_a_database_for_reads() {
    let (mut world, client) = alias("");
    check(&mut world, client, "select 2 as writes_after_all", "T<25006>I");
    world.fleet_changes("app", unreadable);
    check(&mut world, client, "select 1", "<57P03>I");
    check(&mut world, client, "BEGIN", "CT");
    check(&mut world, client, "select 1", "<57P03>E");
    check(&mut world, client, "ROLLBACK", "CI");
    assert!(world.ran_at("select 1").is_empty());
    assert!(!world.ran_at("select 2 as writes_after_all").contains(&0));
}

#[test]
fn a_replica_that_has_had_a_new_life_keeps_nobody_out() {
    let (mut world, client) = alias("");
    check(&mut world, client, "select 1", "DCI");
    let node = world.ran_at("select 1")[0];
    world.fleet_changes("app", |picture| picture.nodes[node].life += 7);
    check(&mut world, client, "select 2", "DCI");
    check(&mut world, client, "select nobody_knows()", "DCI");
}

#[test]
fn a_session_at_a_replica_does_not_stay_there_when_that_is_promoted() {
    let (mut world, client) = alias("pool_mode = \"session\"");
    check(&mut world, client, "select 1", "DCI");
    check(&mut world, client, "insert into t values (0)", "<25006>I");
    let node = world.ran_at("select 1")[0];
    assert_ne!(node, 0);
    world.fleet_changes("app", |picture| {
        picture.primary = PrimaryIs::Node(node);
        picture.nodes[node].readable = false;
        picture.nodes[node].in_recovery = Some(false);
    });
    world.send(client, &query("insert into t values (1)"));
    world.run();
    assert!(world.ran_at("insert into t values (1)").is_empty());
    assert!(world.is_closed(client), "its session is gone with the server");
}

#[test]
fn execute_and_calls_take_no_lock_at_a_replica() {
    let mut first = world("consistency = \"eventual\"");
    let client = first.client();
    check(&mut first, client, "PREPARE l AS select pg_advisory_lock(1)", "CI");
    check(&mut first, client, "BEGIN READ ONLY", "CT");
    check(&mut first, client, "select 1", "DCT");
    check(&mut first, client, "EXECUTE l", "<25006>E");
    check(&mut first, client, "ROLLBACK", "DCI");
    check(&mut first, client, "BEGIN READ ONLY", "CT");
    check(&mut first, client, "select 1", "DCT");
    // pg_advisory_lock(int8), called by its number.
    let call = [&[b'F', 0, 0, 0, 14][..], &2_880_i32.to_be_bytes(), &[0; 6]].concat();
    assert_eq!(told(&mut first, client, &call), "<25006>E");
    assert!(first.ran_at("EXECUTE l").is_empty());
    let (mut second, client) = alias("");
    check(&mut second, client, "PREPARE l AS select pg_advisory_lock(1)", "CI");
    check(&mut second, client, "EXECUTE l", "<25006>I");
    assert!(second.ran_at("EXECUTE l").is_empty());
}

#[test]
fn what_a_replica_reports_keeps_no_session_there() {
    let mut world = World::with_replicas(1, 1, "consistency = \"eventual\"");
    let client = world.client();
    check(&mut world, client, "select 0", "DCI");
    silence(&mut world, true);
    world.send(client, &query("select 1"));
    world.run();
    for n in world.live_servers() {
        if world.servers[n].node.is_some() {
            let mut out = Vec::new();
            crate::wire::build::parameter_status(&mut out, b"TimeZone", b"Europe/Berlin");
            world.server_sends(n, &out);
            world.answer_one(n);
        }
    }
    silence(&mut world, false);
    world.run();
    assert!(said(world.received(client)).ends_with("DCI"));
    check(&mut world, client, "insert into t values (1)", "DCI");
    check(&mut world, client, "select pg_advisory_lock(1)", "DCI");
    assert_eq!(world.ran_at("select pg_advisory_lock(1)"), [0]);
}

#[test]
fn what_is_sent_before_the_greeting_finds_its_own_way() {
    for text in ["insert into t values (1)", "select pg_advisory_lock(1)"] {
        let mut world = world("");
        let _ = world.spec("app", "app");
        world.fleet_changes("app", |picture| picture.primary = PrimaryIs::Nobody("gone".into()));
        world.unread = query(text);
        let client = world.arriving_client(&[("timezone", "UTC")]);
        world.run();
        assert!(world.ran_at(text).is_empty(), "{text}");
        assert!(!world.is_closed(client));
    }
}

#[test]
fn a_begin_that_fails_in_its_second_text_is_over() {
    let mut world = World::with_replicas(1, 1, "consistency = \"eventual\"");
    let client = world.client();
    check(&mut world, client, "select 0", "DCI");
    check(&mut world, client, "BEGIN READ ONLY", "CT");
    check(&mut world, client, "SET TRANSACTION READ ONLY", "CT");
    silence(&mut world, true);
    world.send(client, &query("select 1"));
    world.run();
    for n in world.live_servers() {
        if !world.servers[n].input.is_empty() {
            world.servers[n].status = crate::wire::TransactionStatus::InTransaction;
            world.front_fails(n, &Report::error(b"0A000", "not in recovery"));
        }
    }
    silence(&mut world, false);
    world.run();
    assert_eq!(said(world.received(client)), "<0A000>E");
    check(&mut world, client, "ROLLBACK", "CI");
    check(&mut world, client, "insert into t values (1)", "DCI");
}

#[test]
fn an_answer_of_our_own_is_told_once_though_the_read_is_run_twice() {
    let mut world = World::with_replicas(1, 1, "consistency = \"eventual\"");
    let (first, second) = (world.client(), world.client());
    let text: &[u8] = b"select 2 as writes_after_all";
    assert_eq!(told(&mut world, first, &[named(b"a", text), sync()].concat()), "1I");
    let batch = [named(b"b", text), bind_execute_of(b"b"), sync()].concat();
    assert_eq!(told(&mut world, second, &batch), "12DCI");
    assert_eq!(told(&mut world, second, &[bind_execute_of(b"b"), sync()].concat()), "2DCI");
}

#[test]
fn a_sync_behind_a_read_is_answered_too() {
    let mut world = world("");
    let client = world.client();
    world.fleet_changes("app", unreadable);
    check(&mut world, client, "select 0", "DCI");
    silence(&mut world, true);
    world.send(client, &[query("select 1"), sync()].concat());
    world.run();
    kill_all(&mut world);
    assert_eq!(said(world.received(client)).matches('I').count(), 2);
}

#[test]
fn what_is_kept_back_has_a_bound() {
    let mut world = World::with_replicas(1, 1, "consistency = \"eventual\"");
    let client = world.client();
    check(&mut world, client, "select 0", "DCI");
    silence(&mut world, true);
    world.send(client, &query("select 1"));
    world.run();
    let replica = world.live_servers().into_iter().find(|&n| world.servers[n].node.is_some());
    let mut notice = vec![b'N'];
    crate::wire::build::sized(&mut notice, |out| {
        out.extend_from_slice(b"SNOTICE\0C00000\0M");
        out.extend_from_slice(&[b'x'; 30_000]);
        out.extend_from_slice(&[0, 0]);
    });
    for _ in 0..5 {
        world.server_sends(replica.unwrap(), &notice);
        world.run();
    }
    assert!(world.received(client).len() > 60_000);
    world.answer_one(replica.unwrap());
    assert!(said(world.received(client)).ends_with("DCI"));
}

#[test]
fn a_commit_with_a_transaction_behind_it_is_seen_by_the_role() {
    let writes: [&[&str]; 2] = [
        &["insert into t values (1)", "BEGIN"],
        &["BEGIN", "insert into t values (1)", "COMMIT; BEGIN"],
    ];
    for texts in writes {
        let mut world = world("consistency = \"role\"");
        let (writer, reader) = (world.client(), world.client());
        world.probe("app", |_| {});
        let all: Vec<u8> = texts.iter().flat_map(|text| query(text)).collect();
        assert!(told(&mut world, writer, &all).ends_with('T'));
        check(&mut world, reader, "select 1", "DCI");
        assert_eq!(world.ran_at("select 1"), [0], "{texts:?}");
    }
}

#[test]
fn a_replica_that_lets_nobody_in_keeps_no_read() {
    let mut world = world("consistency = \"eventual\"");
    let client = world.client();
    let failure = crate::worker::mail::DialFailure {
        report: Report::fatal(b"53300", "sorry, too many clients already"),
        permanent: false,
    };
    world.dial_failures.push_back(failure);
    check(&mut world, client, "select 1", "DCI");
    assert_eq!(world.ran_at("select 1"), [0]);
    world.check_accounts();
}

#[test]
fn a_batch_of_the_alias_is_refused_like_one() {
    let (mut world, client) = alias("");
    let batch = [parse("insert into t values (1)"), bind_execute(), sync()].concat();
    assert_eq!(told(&mut world, client, &batch), "<25006>I");
    check(&mut world, client, "select 1", "DCI");
}
