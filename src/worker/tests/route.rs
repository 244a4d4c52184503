//! Which server a request goes to, and what becomes of reads that a replica could not serve.

use super::super::world::{ClientEnd, World, bind_execute, frames, parse, query, sync};
use crate::route::Why;
use crate::wire::Report;

pub(super) fn world(routing: &str) -> World {
    World::with_replicas(2, 2, routing)
}

pub(super) fn told(world: &mut World, client: ClientEnd, bytes: &[u8]) -> String {
    world.send(client, bytes);
    world.run();
    said(world.received(client))
}

/// Tags; ReadyForQuery as its status, errors by their SQLSTATE.
pub(super) fn said(bytes: Vec<u8>) -> String {
    let mut said = String::new();
    for (tag, body) in frames(&bytes) {
        match tag {
            b'Z' => said.push(char::from(body[0])),
            b'E' => {
                said.push('<');
                said.push_str(Report::from_server(&body).sqlstate());
                said.push('>');
            }
            tag => said.push(char::from(tag)),
        }
    }
    said
}

#[track_caller]
pub(super) fn check(world: &mut World, client: ClientEnd, text: &str, expected: &str) {
    assert_eq!(told(world, client, &query(text)), expected, "{text}");
}

#[test]
fn proven_reads_go_to_replicas_and_all_else_to_the_primary() {
    let mut world = world("");
    for (text, at_primary) in [
        ("select 1", false),
        ("select 2; select 3", false),
        ("select now()", false),
        ("/* pgweir: primary */ select 4", true),
        ("select nobody_knows()", true),
        ("select pg_advisory_xact_lock(1)", true),
        ("insert into t values (1)", true),
        ("select 5 for update", true),
        ("select 6; insert into t values (1)", true),
    ] {
        let fresh = world.client();
        world.send(fresh, &query(text));
        world.run();
        let first = text.split("; ").next().expect("one");
        let at = world.ran_at(first);
        assert_eq!(at.len(), 1, "{text}");
        assert_eq!(at[0] == 0, at_primary, "{text}");
    }
    world.check_accounts();
}

#[test]
fn after_a_write_the_session_reads_what_it_has_written() {
    let mut world = world("");
    let (client, other) = (world.client(), world.client());
    world.probe("app", |_| {});
    world.probe("app", |_| {});
    check(&mut world, client, "insert into t values (1)", "DCI");
    check(&mut world, client, "select 1", "DCI");
    assert_eq!(world.ran_at("select 1"), [0]);
    // Others have written nothing.
    check(&mut world, other, "select 2", "DCI");
    assert_ne!(world.ran_at("select 2"), [0]);
    // The replicas have replayed what the primary had said before the write, and not more.
    world.probe("app", |_| {});
    check(&mut world, client, "select 3", "DCI");
    assert_eq!(world.ran_at("select 3"), [0]);
    world.probe("app", |_| {});
    world.probe("app", |_| {});
    check(&mut world, client, "select 4", "DCI");
    assert_ne!(world.ran_at("select 4"), [0]);
    world.check_accounts();
}

#[test]
fn no_read_is_older_than_the_one_before() {
    let mut world = world("");
    let client = world.client();
    world.probe("app", |_| {});
    check(&mut world, client, "select 0", "DCI");
    let first = world.ran_at("select 0")[0];
    // As long as nobody knows how far that one was, it alone is as far.
    for n in 1..20 {
        check(&mut world, client, &format!("select {n}"), "DCI");
        assert_eq!(world.ran_at(&format!("select {n}")), [first]);
    }
    // The other one stays behind.
    for _ in 0..3 {
        world.probe("app", |picture| {
            let behind = picture.nodes[3 - first].positions[0];
            picture.nodes[3 - first].positions = [behind].into();
        });
    }
    for n in 20..40 {
        check(&mut world, client, &format!("select {n}"), "DCI");
        assert_eq!(world.ran_at(&format!("select {n}")), [first]);
    }
    // Its life is over; what it had shown, the other one may not have.
    world.fleet_changes("app", |picture| {
        picture.nodes[first].life += 1;
        picture.nodes[first].readable = false;
    });
    check(&mut world, client, "select 40", "DCI");
    assert_eq!(world.ran_at("select 40"), [0]);
}

#[test]
fn eventual_reads_ask_for_nothing() {
    let mut world = world("consistency = \"eventual\"");
    let client = world.client();
    check(&mut world, client, "insert into t values (1)", "DCI");
    check(&mut world, client, "select 1", "DCI");
    assert_ne!(world.ran_at("select 1"), [0]);
}

#[test]
fn another_sessions_write_counts_for_the_role() {
    for (routing, at_primary) in
        [("consistency = \"role\"", true), ("consistency = \"database\"", true), ("", false)]
    {
        let mut world = world(routing);
        let (writer, reader) = (world.client(), world.client());
        world.probe("app", |_| {});
        check(&mut world, writer, "insert into t values (1)", "DCI");
        check(&mut world, reader, "select 1", "DCI");
        assert_eq!(world.ran_at("select 1") == [0], at_primary, "{routing}");
    }
}

#[test]
fn a_read_that_a_replica_refuses_is_run_once_more_on_the_primary() {
    let mut world = world("");
    let client = world.client();
    let text = "select 1 as writes_after_all";
    check(&mut world, client, text, "DCI");
    let at = world.ran_at(text);
    assert_eq!(at.len(), 2);
    assert!(at.contains(&0) && at.iter().any(|node| *node != 0));
    // It is remembered, also with other literals.
    let other = world.client();
    check(&mut world, other, text, "DCI");
    check(&mut world, other, "select 2 as writes_after_all", "DCI");
    assert_eq!(world.ran_at(text).len(), 3);
    assert_eq!(world.ran_at("select 2 as writes_after_all"), [0]);
    world.check_accounts();
}

#[test]
fn so_is_a_batch_and_its_statements_have_their_names_afterwards() {
    let mut world = world("");
    let client = world.client();
    let text = "select 1 as writes_after_all";
    let batch = [parse(text), bind_execute(), sync()].concat();
    assert_eq!(told(&mut world, client, &batch), "12DCI");
    assert_eq!(world.ran_at(text).len(), 2);
    let mut named = Vec::new();
    crate::wire::build::parse(&mut named, b"s", b"select 2 as writes_after_all\0\0\0");
    let bind = |name: &[u8]| {
        let mut out = vec![b'B'];
        crate::wire::build::sized(&mut out, |out| {
            out.push(0);
            out.extend_from_slice(name);
            out.extend_from_slice(&[0; 7]);
        });
        out.push(b'E');
        crate::wire::build::sized(&mut out, |out| out.extend_from_slice(&[0; 5]));
        out
    };
    let mut world = World::with_replicas(2, 2, "");
    let client = world.client();
    assert_eq!(told(&mut world, client, &[&named[..], &bind(b"s"), &sync()].concat()), "12DCI");
    assert_eq!(told(&mut world, client, &[&bind(b"s")[..], &sync()].concat()), "2DCI");
    assert_eq!(told(&mut world, client, &[&named[..], &sync()].concat()), "<XX001>I");
    world.check_accounts();
}

#[test]
fn what_comes_behind_a_read_finds_its_own_way() {
    let mut world = world("");
    let client = world.client();
    let pipeline = [
        query("select 1"),
        query("insert into t values (1)"),
        query("select 2"),
        query("insert into t values (2)"),
    ]
    .concat();
    assert_eq!(told(&mut world, client, &pipeline), "DCIDCIDCIDCI");
    assert_ne!(world.ran_at("select 1"), [0]);
    for text in ["insert into t values (1)", "select 2", "insert into t values (2)"] {
        assert_eq!(world.ran_at(text), [0], "{text}");
    }
    world.check_accounts();
}

#[test]
fn a_batch_goes_as_a_whole_once_it_is_there() {
    for chunk in [usize::MAX, 7, 1] {
        let mut world = world("consistency = \"eventual\"");
        let client = world.client();
        world.cut_into(chunk);
        let reads = [parse("select 1"), bind_execute(), parse("select 2"), bind_execute(), sync()];
        assert_eq!(told(&mut world, client, &reads.concat()), "12DC12DCI");
        let (one, two) = (world.ran_at("select 1"), world.ran_at("select 2"));
        assert!(one == two && one != [0], "{one:?} {two:?}");
        let mixed = [
            parse("select 3"),
            bind_execute(),
            parse("insert into t values (1)"),
            bind_execute(),
            sync(),
        ];
        assert_eq!(told(&mut world, client, &mixed.concat()), "12DC12DCI");
        assert_eq!(world.ran_at("select 3"), [0]);
        // Nobody sees the end of this one.
        let open = [parse("select 4"), bind_execute(), vec![b'H', 0, 0, 0, 4]].concat();
        assert_eq!(told(&mut world, client, &open), "12DC");
        assert_eq!(told(&mut world, client, &sync()), "I");
        assert_eq!(world.ran_at("select 4"), [0]);
        world.check_accounts();
    }
}

#[test]
fn a_transaction_takes_a_server_with_its_first_statement() {
    let mut world = world("");
    let client = world.client();
    let dials = world.dials;
    check(&mut world, client, "BEGIN", "CT");
    check(&mut world, client, "COMMIT", "CI");
    check(&mut world, client, "START TRANSACTION READ ONLY", "CT");
    check(&mut world, client, "ROLLBACK", "CI");
    let batch = [parse("BEGIN"), bind_execute(), sync()].concat();
    assert_eq!(told(&mut world, client, &batch), "12CT");
    assert_eq!(told(&mut world, client, &sync()), "T");
    check(&mut world, client, "END", "CI");
    assert_eq!(world.dials, dials);
    check(&mut world, client, "BEGIN", "CT");
    check(&mut world, client, "select 1", "DCT");
    check(&mut world, client, "insert into t values (1)", "DCT");
    check(&mut world, client, "COMMIT", "DCI");
    for text in ["BEGIN", "select 1", "insert into t values (1)", "COMMIT"] {
        assert_eq!(world.ran_at(text), [0], "{text}");
    }
    world.check_accounts();
}

#[test]
fn a_transaction_that_only_reads_goes_to_a_replica() {
    let mut world = world("consistency = \"eventual\"");
    let client = world.client();
    for begin in ["BEGIN READ ONLY", "BEGIN; SET TRANSACTION READ ONLY"] {
        for text in begin.split("; ") {
            check(&mut world, client, text, "CT");
        }
        let name = format!("select {}", begin.len());
        check(&mut world, client, &name, "DCT");
        check(&mut world, client, "insert into t values (1)", "T<25006>E");
        check(&mut world, client, "ROLLBACK", "DCI");
        assert_ne!(world.ran_at(&name), [0]);
    }
    for begin in ["BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "BEGIN READ WRITE", "BEGIN"] {
        check(&mut world, client, begin, "CT");
        let name = format!("select '{begin}'");
        check(&mut world, client, &name, "DCT");
        check(&mut world, client, "ROLLBACK", "DCI");
        assert_eq!(world.ran_at(&name), [0], "{begin}");
    }
    // Its first statement is not proven.
    check(&mut world, client, "BEGIN READ ONLY", "CT");
    check(&mut world, client, "select nobody_knows()", "DCT");
    check(&mut world, client, "COMMIT", "DCI");
    assert_eq!(world.ran_at("select nobody_knows()"), [0]);
    world.check_accounts();
}

#[test]
fn what_means_something_else_on_a_replica_is_refused_there() {
    let mut world = world("consistency = \"eventual\"");
    let client = world.client();
    check(&mut world, client, "BEGIN READ ONLY", "CT");
    check(&mut world, client, "select 1", "DCT");
    check(&mut world, client, "select pg_advisory_lock(1)", "<25006>E");
    check(&mut world, client, "ROLLBACK", "DCI");
    check(&mut world, client, "BEGIN READ ONLY", "CT");
    check(&mut world, client, "select 2", "DCT");
    let batch = [parse("select pg_backend_pid()"), bind_execute(), sync()].concat();
    assert_eq!(told(&mut world, client, &batch), "<25006>E");
    check(&mut world, client, "ROLLBACK", "DCI");
    assert!(world.ran_at("select pg_advisory_lock(1)").is_empty());
    // At the primary it means what it means.
    check(&mut world, client, "BEGIN READ ONLY", "CT");
    check(&mut world, client, "/* pgweir: primary */ select 3", "DCT");
    check(&mut world, client, "select pg_backend_pid()", "DCT");
    check(&mut world, client, "COMMIT", "DCI");
    assert_eq!(world.ran_at("select pg_backend_pid()"), [0]);
    world.check_accounts();
}

#[test]
fn a_statement_of_sql_goes_where_its_text_may() {
    let mut world = world("consistency = \"eventual\"");
    let client = world.client();
    check(&mut world, client, "PREPARE r AS select 7", "CI");
    check(&mut world, client, "PREPARE w AS insert into t values (1)", "CI");
    for _ in 0..2 {
        check(&mut world, client, "EXECUTE r", "DCI");
        check(&mut world, client, "EXECUTE w", "DCI");
    }
    assert!(world.ran_at("EXECUTE r").iter().all(|node| *node != 0));
    assert_eq!(world.ran_at("EXECUTE w"), [0, 0]);
    world.check_accounts();
}

#[test]
fn a_pipeline_that_begins_without_a_server_is_answered_in_order() {
    let mut world = world("");
    let client = world.client();
    let all = ["BEGIN", "select 1", "COMMIT", "select 2", "BEGIN", "COMMIT"];
    let all: Vec<u8> = all.iter().flat_map(|text| query(text)).collect();
    assert_eq!(told(&mut world, client, &all), "CTDCTDCIDCIDCTDCI");
    world.check_accounts();
}

#[test]
fn a_replica_that_goes_away_takes_no_read_along() {
    let mut world = world("consistency = \"eventual\"");
    let client = world.client();
    check(&mut world, client, "select 1", "DCI");
    let node = world.ran_at("select 1")[0];
    for n in world.live_servers() {
        if world.servers[n].node.is_some() {
            world.servers[n].silent = true;
        }
    }
    world.fleet_changes("app", |picture| picture.nodes[3 - node].readable = false);
    world.send(client, &query("select 2"));
    world.run();
    assert_eq!(world.tags(client), "");
    world.fleet_changes("app", |picture| {
        picture.nodes[node].readable = false;
        picture.nodes[node].health = crate::route::Health::Down("no answer".into());
    });
    assert_eq!(said(world.received(client)), "DCI");
    assert_eq!(world.ran_at("select 2"), [0]);
    // The same where the connection breaks.
    world.fleet_changes("app", |picture| {
        for node in &mut picture.nodes[1..] {
            node.readable = true;
            node.health = crate::route::Health::Up;
        }
    });
    world.send(client, &query("select 3"));
    for n in world.live_servers() {
        if world.servers[n].node.is_some() {
            world.servers[n].silent = true;
        }
    }
    world.run();
    for n in world.live_servers() {
        if world.servers[n].node.is_some() {
            world.kill_server(n, Some("going down"));
        }
    }
    world.run();
    assert_eq!(said(world.received(client)), "DCI");
    world.check_accounts();
}

#[test]
fn what_may_have_been_committed_is_looked_for_at_the_primary() {
    let mut world = world("");
    for (n, (write, expected)) in [
        ("insert into t values (1)", "<08006>I"),
        ("begin; insert into t values (2); commit", "<08007>I"),
    ]
    .into_iter()
    .enumerate()
    {
        let client = world.client();
        let read = |number: usize| format!("select {n}{number}");
        world.probe("app", |_| {});
        check(&mut world, client, &read(0), "DCI");
        assert_ne!(world.ran_at(&read(0)), [0]);
        for server in world.live_servers() {
            world.servers[server].silent = world.servers[server].node.is_none_or(|node| node == 0);
        }
        world.send(client, &query(write));
        world.run();
        for server in world.live_servers() {
            if world.servers[server].silent {
                world.kill_server(server, None);
            }
        }
        world.run();
        assert_eq!(said(world.received(client)), expected, "{write}");
        check(&mut world, client, &read(1), "DCI");
        assert_eq!(world.ran_at(&read(1)), [0], "{write}");
    }
    world.check_accounts();
}

#[test]
fn a_read_that_the_primary_was_to_serve_waits_for_the_next_one() {
    let mut world = world("");
    let client = world.client();
    world.fleet_changes("app", |picture| {
        picture.nodes.iter_mut().for_each(|node| node.readable = false);
    });
    for pipelined in [false, true] {
        check(&mut world, client, "select 0", "DCI");
        for n in world.live_servers() {
            world.servers[n].silent = true;
        }
        world.send(client, &query("select 1"));
        if pipelined {
            world.send(client, &query("insert into t values (1)"));
        }
        world.run();
        assert_eq!(world.tags(client), "");
        for n in world.live_servers() {
            world.kill_server(n, Some("going down"));
        }
        world.run();
        // With a write behind it, nobody knows what has been run.
        let expected = if pipelined { "<57P01>I<57P01>I" } else { "DCI" };
        assert_eq!(said(world.received(client)), expected);
    }
    world.check_accounts();
}

#[test]
fn nothing_of_a_transaction_is_run_again_by_itself() {
    let mut world = world("");
    let client = world.client();
    world.probe("app", |_| {});
    check(&mut world, client, "insert into t values (1)", "DCI");
    // No replica has that yet.
    check(&mut world, client, "BEGIN READ ONLY", "CT");
    for n in world.live_servers() {
        world.servers[n].silent = world.servers[n].node.is_none();
    }
    world.send(client, &query("select 1"));
    world.run();
    for n in world.live_servers().into_iter().filter(|&n| n < 64) {
        if world.servers[n].node.is_none() {
            world.servers[n].silent = false;
        }
    }
    world.run();
    assert_eq!(said(world.received(client)), "DCT");
    for n in world.live_servers() {
        world.servers[n].silent = world.servers[n].node.is_none();
    }
    world.send(client, &query("select 2"));
    world.run();
    for n in world.live_servers() {
        if world.servers[n].node.is_none() {
            world.kill_server(n, Some("going down"));
        }
    }
    world.run();
    assert_eq!(said(world.received(client)), "<57P01>E");
    check(&mut world, client, "ROLLBACK", "CI");
    assert!(world.ran_at("select 2").is_empty());
}

#[test]
fn a_transaction_without_a_server_ends_before_its_client_is_let_go() {
    let mut world = world("");
    let client = world.client();
    check(&mut world, client, "BEGIN", "CT");
    world.drain(Some(60_000));
    assert!(!world.is_closed(client));
    check(&mut world, client, "COMMIT", "CI<57P01>");
}

#[test]
fn a_transaction_that_no_replica_can_serve_has_failed() {
    let mut world = world("when_no_replica = \"error\"");
    let client = world.client();
    world.fleet_changes("app", |picture| {
        picture.nodes.iter_mut().for_each(|node| node.readable = false);
    });
    check(&mut world, client, "BEGIN READ ONLY", "CT");
    check(&mut world, client, "select 1", "<57P03>E");
    check(&mut world, client, "select 2", "<25P02>E");
    check(&mut world, client, "COMMIT", "CI");
    check(&mut world, client, "insert into t values (1)", "DCI");
}

#[test]
fn a_transaction_that_has_begun_goes_on_when_its_replicas_go() {
    let mut world = world("");
    let client = world.client();
    check(&mut world, client, "BEGIN", "CT");
    world.spec("app", "app").set_fleet(None);
    world.reload_file(&World::fleet_file(2, 0, ""));
    check(&mut world, client, "select 1", "DCT");
    assert_eq!(world.ran_at("BEGIN"), [0]);
    check(&mut world, client, "COMMIT", "DCI");
    check(&mut world, client, "BEGIN", "DCT");
    check(&mut world, client, "ROLLBACK", "DCI");
}

#[test]
fn without_replicas_reads_go_to_the_primary_or_fail() {
    let gone = |picture: &mut crate::route::Picture| {
        picture.nodes.iter_mut().for_each(|node| node.readable = false);
    };
    let mut first = world("");
    let client = first.client();
    first.fleet_changes("app", gone);
    check(&mut first, client, "select 1", "DCI");
    assert_eq!(first.ran_at("select 1"), [0]);
    let mut second = world("when_no_replica = \"error\"");
    let client = second.client();
    second.fleet_changes("app", gone);
    check(&mut second, client, "select 1", "<57P03>I");
    check(&mut second, client, "insert into t values (1)", "DCI");
    assert_eq!(
        told(&mut second, client, &[parse("select 1"), bind_execute(), sync()].concat()),
        "<57P03>I"
    );
}

#[test]
fn without_a_primary_writes_wait_and_go_to_the_new_one() {
    use crate::route::PrimaryIs;
    let mut world = world("");
    let (client, in_transaction, reader) = (world.client(), world.client(), world.client());
    check(&mut world, client, "insert into t values (1)", "DCI");
    check(&mut world, in_transaction, "BEGIN", "CT");
    check(&mut world, in_transaction, "insert into t values (2)", "DCT");
    world.fleet_changes("app", |picture| picture.primary = PrimaryIs::Nobody("gone".into()));
    // What was under way there is lost.
    check(&mut world, in_transaction, "COMMIT", "<57P03>I");
    world.send(client, &query("insert into t values (3)"));
    world.run();
    assert_eq!(world.tags(client), "");
    check(&mut world, reader, "select 1", "DCI");
    world.fleet_changes("app", |picture| {
        picture.primary = PrimaryIs::Node(2);
        picture.nodes[2].readable = false;
        picture.nodes[2].in_recovery = Some(false);
    });
    assert_eq!(said(world.received(client)), "DCI");
    let at = world
        .servers
        .iter()
        .find(|server| server.ran.iter().any(|ran| ran == "insert into t values (3)"));
    assert_eq!(at.map(|server| server.host.as_str()), Some("127.0.0.1:3"));
    world.check_accounts();
}

#[test]
fn who_waits_for_a_primary_is_told_why_when_it_takes_too_long() {
    use crate::route::PrimaryIs;
    let mut world = world("");
    let client = world.client();
    world.fleet_changes("app", |picture| {
        picture.primary = PrimaryIs::Several(vec![0, 1]);
    });
    world.send(client, &query("insert into t values (1)"));
    world.run();
    world.advance(10_001);
    assert_eq!(said(world.received(client)), "<57P03>I");
    check(&mut world, client, "BEGIN", "CT");
    world.send(client, &query("insert into t values (1)"));
    world.run();
    world.advance(10_001);
    assert_eq!(said(world.received(client)), "<57P03>E");
    check(&mut world, client, "ROLLBACK", "CI");
    assert!(world.ran_at("insert into t values (1)").is_empty());
}

#[test]
fn a_read_may_wait_for_a_replica() {
    let mut world = world("replica_wait = \"50ms\"");
    let client = world.client();
    world.probe("app", |_| {});
    check(&mut world, client, "insert into t values (1)", "DCI");
    world.send(client, &query("select 1"));
    world.run();
    assert_eq!(world.tags(client), "");
    world.probe("app", |_| {});
    world.probe("app", |_| {});
    world.advance(5);
    assert_eq!(said(world.received(client)), "DCI");
    assert_ne!(world.ran_at("select 1"), [0]);
    check(&mut world, client, "insert into t values (2)", "DCI");
    world.send(client, &query("select 2"));
    world.run();
    for _ in 0..30 {
        world.advance(2);
    }
    assert_eq!(said(world.received(client)), "DCI");
    assert_eq!(world.ran_at("select 2"), [0]);
}

#[test]
fn a_database_for_reads_takes_no_writes() {
    let routing = "[databases.app_ro]\nalias_of = \"app\"\n\
                   [databases.app_ro.routing]\nwrites = \"reject\"\n";
    let mut world = World::with_replicas(2, 2, "").also(routing);
    let arriving = world.arriving_at("app_ro", "app", &[]);
    world.run();
    world.tags(arriving);
    let client = arriving;
    check(&mut world, client, "insert into t values (1)", "<25006>I");
    check(&mut world, client, "select nobody_knows()", "DCI");
    check(&mut world, client, "BEGIN", "CT");
    check(&mut world, client, "select 1", "DCT");
    check(&mut world, client, "COMMIT", "DCI");
    assert!(world.servers.iter().all(|server| {
        server.node.is_some() || server.ran.iter().all(|ran| !ran.contains("nobody"))
    }));
    assert_ne!(world.ran_at("select 1"), [0]);
    world.check_accounts();
    // A function that is called by its number, by which the servers of this world know none.
    for server in world.live_servers() {
        world.servers[server].silent = true;
    }
    let call = [&b"F\0\0\0\x0e"[..], &1_598_i32.to_be_bytes(), &[0; 6]].concat();
    world.send(client, &call);
    world.run();
    let pools = world.inspect().pools;
    let ways = |why: Why| pools.iter().map(|pool| pool.counters.ways.of(why.bit())).sum::<u64>();
    assert_eq!((ways(Why::Configured), ways(Why::ReadOnly)), (0, 3));
}

#[test]
fn a_session_or_role_chooses_for_itself() {
    let mut world = world("consistency = \"eventual\"");
    let client = world.client_with(&[("pgweir.route", "primary")]);
    check(&mut world, client, "select 1", "DCI");
    assert_eq!(world.ran_at("select 1"), [0]);
    let client = world.client_with(&[("pgweir.route", "replica")]);
    check(&mut world, client, "select nobody_knows()", "DCI");
    assert_ne!(world.ran_at("select nobody_knows()"), [0]);
    check(&mut world, client, "insert into t values (1)", "DCI");
    let isolated = world.client_with(&[("default_transaction_isolation", "serializable")]);
    check(&mut world, isolated, "select 2", "DCI");
    assert_eq!(world.ran_at("select 2"), [0]);
}
