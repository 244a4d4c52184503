use super::super::mail::DialFailure;
use super::super::world::{ClientEnd, World, query};
use crate::wire::Report;

/// Without the database that the clients are in.
const ANOTHER: &str = "[databases.another]\nprimary = \"postgres://127.0.0.1:1/another\"\n";

fn sqlstates(world: &mut World, client: ClientEnd) -> Vec<String> {
    world.errors(client).iter().map(|report| report.sqlstate().to_owned()).collect()
}

/// Which servers are still there.
fn alive(world: &World) -> Vec<usize> {
    (0..world.servers.len()).filter(|&n| !world.servers[n].terminated).collect()
}

#[test]
fn a_larger_pool_serves_those_who_wait_at_once() {
    let mut world = World::new(1, "");
    let clients: Vec<_> = (0..3).map(|_| world.client()).collect();
    assert_eq!(world.ask(clients[0], "BEGIN"), "DCZ");
    for client in &clients[1..] {
        assert_eq!(world.ask(*client, "BEGIN"), "");
    }
    world.reload("pool_size = 2");
    assert_eq!(world.tags(clients[1]), "DCZ");
    assert_eq!(world.tags(clients[2]), "");
    world.reload("pool_size = 3");
    assert_eq!(world.tags(clients[2]), "DCZ");
    world.check_accounts();
}

#[test]
fn a_smaller_pool_closes_servers_as_they_come_free() {
    let mut world = World::new(3, "");
    let clients: Vec<_> = (0..3).map(|_| world.client()).collect();
    for &client in &clients {
        assert_eq!(world.ask(client, "BEGIN"), "DCZ");
    }
    assert_eq!(world.ask(clients[2], "COMMIT"), "DCZ");
    world.reload("pool_size = 1");
    assert_eq!(alive(&world).len(), 2, "the idle one goes, those in transactions stay");
    assert_eq!(world.ask(clients[0], "COMMIT"), "DCZ");
    assert_eq!(alive(&world).len(), 1);
    assert_eq!(world.ask(clients[1], "COMMIT"), "DCZ");
    assert_eq!(alive(&world).len(), 1);
    assert_eq!(world.dials, 3);
    for client in clients {
        assert_eq!(world.ask(client, "select 1"), "DCZ");
    }
    assert_eq!(world.dials, 3);
    world.check_accounts();
}

#[test]
fn a_reload_that_changes_nothing_touches_no_server() {
    let mut world = World::new(2, "");
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "BEGIN"), "DCZ");
    assert_eq!(world.ask(b, "select 1"), "DCZ");
    for _ in 0..10 {
        world.reload("pool_size = 2");
    }
    assert_eq!((alive(&world).len(), world.dials), (2, 2));
    assert_eq!(world.ask(a, "COMMIT"), "DCZ");
    world.check_accounts();
}

#[test]
fn servers_of_another_place_are_closed_as_they_come_free() {
    let mut world = World::new(2, "");
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "BEGIN"), "DCZ");
    assert_eq!(world.ask(b, "select 1"), "DCZ");
    world.move_server("pool_size = 2");
    assert_eq!(alive(&world), [0], "the idle one is closed, the other one has a transaction");
    assert_eq!(world.ask(b, "select 2"), "DCZ");
    assert_eq!(world.servers[2].ran.last().map(String::as_str), Some("select 2"));
    assert_eq!(world.ask(a, "select 3"), "DCZ");
    assert_eq!(world.servers[0].ran.last().map(String::as_str), Some("select 3"));
    assert_eq!(world.ask(a, "COMMIT"), "DCZ");
    assert_eq!(alive(&world), [2]);
    assert_eq!(world.ask(a, "select 4"), "DCZ");
    assert_eq!(world.servers[2].ran.last().map(String::as_str), Some("select 4"));
    world.check_accounts();
}

#[test]
fn a_pinned_session_keeps_its_server_until_it_leaves() {
    let mut world = World::new(2, "");
    let pinned = world.client();
    assert_eq!(world.ask(pinned, "LOAD 'c'"), "DCZ");
    world.move_server("pool_size = 2");
    assert_eq!(world.ask(pinned, "select 1"), "DCZ");
    assert_eq!(alive(&world), [0]);
    world.hang_up(pinned);
    world.run();
    assert_eq!(alive(&world), [] as [usize; 0]);
    world.check_quiet();
}

#[test]
fn a_server_dialled_at_the_old_place_serves_nobody() {
    let mut world = World::new(1, "");
    world.hold_dials(true);
    let client = world.arriving_client(&[]);
    world.run();
    world.move_server("pool_size = 1");
    world.hold_dials(false);
    assert!(world.tags(client).ends_with("KZ"));
    assert_eq!(world.ask(client, "select 1"), "DCZ");
    assert_eq!(alive(&world), [1]);
    assert!(world.servers[0].ran.is_empty(), "{:?}", world.servers[0].ran);
    world.check_accounts();
}

#[test]
fn a_new_address_is_tried_at_once_where_the_old_one_failed() {
    let mut world = World::new(1, "pool_wait_timeout = \"60s\"");
    let failure = DialFailure { report: Report::error(b"08001", "refused"), permanent: false };
    world.dial_failures.extend(std::iter::repeat_n(failure, 6));
    let client = world.arriving_client(&[]);
    world.run();
    // The pauses have grown to a second by now.
    for _ in 0..5 {
        world.advance(1_500);
    }
    assert!(world.dial_failures.is_empty());
    let dials = world.dials;
    world.run();
    assert_eq!(world.dials, dials, "it pauses");
    world.move_server("pool_size = 1");
    assert!(world.tags(client).ends_with("KZ"));
    world.check_accounts();
}

#[test]
fn the_wait_for_a_server_follows_in_both_directions() {
    let mut world = World::new(1, "pool_wait_timeout = \"10s\"");
    let (holder, waiter) = (world.client(), world.client());
    assert_eq!(world.ask(holder, "BEGIN"), "DCZ");
    assert_eq!(world.ask(waiter, "select 1"), "");
    world.advance(5_000);
    world.reload("pool_size = 1\npool_wait_timeout = \"4s\"");
    assert_eq!(sqlstates(&mut world, waiter), ["53300"]);
    assert_eq!(world.ask(waiter, "select 2"), "");
    world.advance(3_000);
    world.reload("pool_size = 1\npool_wait_timeout = \"20s\"");
    world.advance(15_000);
    assert_eq!(world.ask(holder, "COMMIT"), "DCZ");
    assert_eq!(world.tags(waiter), "DCZ");
}

#[test]
fn lifetimes_follow() {
    let mut world = World::new(1, "server_lifetime = \"1h\"\nserver_idle_timeout = \"off\"");
    let client = world.client();
    world.advance(60_000);
    let reload = |world: &mut World, lifetime: &str, idle: &str| {
        let settings =
            format!("server_lifetime = \"{lifetime}\"\nserver_idle_timeout = \"{idle}\"");
        world.reload(&format!("pool_size = 1\n{settings}"));
    };
    reload(&mut world, "2min", "off");
    assert_eq!(alive(&world), [0]);
    world.advance(61_000);
    assert_eq!(alive(&world), [] as [usize; 0], "two minutes old");
    assert_eq!(world.ask(client, "select 1"), "DCZ");
    assert_eq!(alive(&world), [1]);
    // A longer life holds for those that live.
    reload(&mut world, "1h", "off");
    world.advance(600_000);
    assert_eq!(alive(&world), [1]);
    reload(&mut world, "1h", "11min");
    assert_eq!(alive(&world), [1]);
    world.advance(60_001);
    assert_eq!(alive(&world), [] as [usize; 0]);
    world.check_accounts();
}

#[test]
fn pool_mode_is_for_those_who_come_later() {
    let mut world = World::new(5, "");
    let before = world.client();
    world.reload("pool_size = 5\npool_mode = \"session\"");
    let after = world.client();
    assert_eq!(world.ask(before, "select 1"), "DCZ");
    assert_eq!(world.ask(after, "select 1"), "DCZ");
    assert_eq!(world.inspect().pools[0].leased, 1, "only the later one keeps its server");
    world.reload("pool_size = 5");
    assert_eq!(world.ask(after, "select 1"), "DCZ");
    assert_eq!(world.inspect().pools[0].leased, 1);
}

#[test]
fn clients_of_a_database_that_is_gone_leave_after_their_transactions() {
    let mut world = World::new(4, "");
    let (idle, busy, pinned) = (world.client(), world.client(), world.client());
    assert_eq!(world.ask(busy, "BEGIN"), "DCZ");
    assert_eq!(world.ask(pinned, "LOAD 'c'"), "DCZ");
    world.reload_file(ANOTHER);
    for client in [idle, pinned] {
        assert_eq!(sqlstates(&mut world, client), ["57P01"]);
        assert!(world.is_closed(client));
    }
    assert!(!world.is_closed(busy));
    assert_eq!(world.ask(busy, "select 1"), "DCZ");
    let late = world.arriving_client(&[]);
    world.run();
    assert_eq!(sqlstates(&mut world, late), ["57P01"]);
    assert!(world.is_closed(late));
    world.send(busy, &query("COMMIT"));
    world.run();
    let frames = world.frames(busy);
    let tags: String = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
    assert_eq!(tags, "DCZE", "first the answer, then the goodbye");
    let (_, body) = frames.last().cloned().unwrap_or_default();
    let report = Report::from_server(&body);
    assert_eq!(report.sqlstate(), "57P01");
    assert!(report.message.contains("no longer configured"), "{}", report.message);
    assert_eq!(alive(&world), [] as [usize; 0]);
    world.check_quiet();
}

#[test]
fn a_database_that_comes_back_serves_again() {
    let mut world = World::new(1, "");
    let client = world.client();
    world.reload_file(ANOTHER);
    assert!(world.is_closed(client));
    world.reload("pool_size = 1");
    let client = world.client();
    assert_eq!(world.ask(client, "select 1"), "DCZ");
    world.check_accounts();
}

/// One server for each role; `web` logs in as itself, or as `app` does.
fn roles(server_role: &str) -> String {
    format!(
        "[defaults]\npool_size = 1\nreserve_pool_size = 0\n[databases.app]\n\
         primary = \"postgres://127.0.0.1:1/app\"\n[roles.web]\npassword = \"x\"\n{server_role}\n\
         [roles.app]\npassword = \"x\"\n"
    )
}

/// The open servers of a role's pool.
fn open(world: &mut World, role: &str) -> usize {
    let picture = world.inspect();
    picture.pools.iter().filter(|pool| pool.role == role).map(|pool| pool.open).sum()
}

#[test]
fn sessions_move_to_the_servers_of_another_role_and_back() {
    let mut world = World::of(&roles(""));
    let greeted = |world: &mut World| {
        let client = world.arriving_at("app", "web", &[]);
        world.run();
        assert!(world.tags(client).ends_with("KZ"));
        client
    };
    let (idle, busy) = (greeted(&mut world), greeted(&mut world));
    assert_eq!(world.ask(busy, "BEGIN"), "DCZ");
    let waiting = greeted(&mut world);
    assert_eq!(world.ask(waiting, "select 1"), "");
    world.reload_file(&roles("server_role = \"app\""));
    assert_eq!(world.tags(waiting), "DCZ", "it need not wait for its own role's server");
    assert_eq!((open(&mut world, "web"), open(&mut world, "app")), (1, 1));
    assert_eq!(world.ask(idle, "select 2"), "DCZ");
    assert_eq!(world.servers[1].ran, ["select 1", "select 2"]);
    assert_eq!(world.ask(busy, "COMMIT"), "DCZ");
    assert_eq!(open(&mut world, "web"), 0, "nobody uses it any more");
    assert_eq!(world.ask(busy, "select 3"), "DCZ");
    assert_eq!(world.servers[1].ran.last().map(String::as_str), Some("select 3"));
    world.reload_file(&roles(""));
    assert_eq!(world.ask(busy, "select 4"), "DCZ");
    assert_eq!(world.servers[2].ran, ["select 4"]);
    for client in [idle, busy, waiting] {
        world.hang_up(client);
    }
    world.run();
    world.check_quiet();
}

#[test]
fn a_new_cap_on_the_server_is_kept_at_once_and_moves_with_it() {
    let mut world = World::new(3, "");
    let clients: Vec<_> = (0..3).map(|_| world.client()).collect();
    for &client in &clients {
        assert_eq!(world.ask(client, "BEGIN"), "DCZ");
    }
    world.move_server("pool_size = 3\nmax_server_connections = 1");
    for &client in &clients {
        assert_eq!(world.ask(client, "COMMIT"), "DCZ");
    }
    assert_eq!(alive(&world), [] as [usize; 0]);
    assert_eq!(world.ask(clients[0], "BEGIN"), "DCZ");
    assert_eq!(world.ask(clients[1], "BEGIN"), "");
    assert_eq!(alive(&world), [3]);
    assert_eq!(world.ask(clients[0], "COMMIT"), "DCZ");
    assert_eq!(world.tags(clients[1]), "DCZ");
    world.check_accounts();
}
