//! Bounds of pools: what is opened, kept, shared and given back.

use super::super::mail::Mail;
use super::super::world::{ClientEnd, World, query};
use super::{refused, sqlstates};

/// Two roles on one server of `limit` connections.
fn shared(limit: u32, more: &str) -> World {
    World::of(&format!(
        "[defaults]\npool_size = 10\nreserve_pool_size = 0\npool_wait_timeout = \"off\"\n{more}\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\nmax_server_connections = {limit}\n\
         [databases.other]\nalias_of = \"app\"\n\
         [roles.a]\npassword = \"x\"\n[roles.b]\npassword = \"x\"\n"
    ))
}

fn clients(world: &mut World, role: &str, count: usize) -> Vec<ClientEnd> {
    (0..count).map(|_| world.arriving_at("app", role, &[])).collect()
}

/// Lets every client that has been answered ask again: BEGIN and COMMIT in turn, for as many
/// rounds.
fn churn(world: &mut World, clients: &[ClientEnd], rounds: usize) {
    let mut open = vec![false; clients.len()];
    for &client in clients {
        world.received(client);
        world.send(client, &query("BEGIN"));
    }
    for _ in 0..rounds {
        world.run();
        for (n, &client) in clients.iter().enumerate() {
            if world.tags(client).ends_with('Z') {
                open[n] = !open[n];
                world.send(client, &query(if open[n] { "COMMIT" } else { "BEGIN" }));
            }
        }
        world.advance(10);
        world.check_accounts();
    }
}

#[test]
fn two_crowds_get_half_of_the_servers_each_whoever_came_first() {
    for limit in [2, 4, 7] {
        let mut world = shared(limit, "");
        let mut all = clients(&mut world, "a", 20);
        world.run();
        churn(&mut world, &all, 10);
        assert_eq!(world.backends(None, Some("a")), limit as usize, "alone it may have all");
        all.extend(clients(&mut world, "b", 20));
        world.run();
        churn(&mut world, &all, 40);
        let (a, b) = (world.backends(None, Some("a")), world.backends(None, Some("b")));
        assert_eq!(a + b, limit as usize);
        assert!(a.abs_diff(b) <= 1, "{a} and {b} of {limit}");
        assert_eq!(world.most_backends, limit as usize);
    }
}

#[test]
fn a_small_demand_is_met_whole_beside_a_crowd() {
    let mut world = shared(8, "");
    let mut all = clients(&mut world, "a", 30);
    world.run();
    churn(&mut world, &all, 5);
    all.extend(clients(&mut world, "b", 2));
    churn(&mut world, &all, 30);
    assert_eq!(world.backends(None, Some("b")), 2);
    assert_eq!(world.backends(None, Some("a")), 6);
}

#[test]
fn an_idle_server_of_another_role_makes_room_at_once_for_one_that_has_none() {
    let mut world = shared(2, "");
    let a = clients(&mut world, "a", 2);
    world.run();
    for &client in &a {
        world.ask(client, "BEGIN");
    }
    for &client in &a {
        world.ask(client, "COMMIT");
    }
    assert_eq!(world.backends(None, Some("a")), 2);
    let b = world.arriving_at("app", "b", &[]);
    world.run();
    assert!(world.tags(b).ends_with("KZ"));
    assert_eq!((world.backends(None, Some("a")), world.backends(None, Some("b"))), (1, 1));
    assert_eq!(world.most_backends, 2);
    world.check_accounts();
}

#[test]
fn the_place_of_a_server_is_free_only_when_postgres_has_let_it_go() {
    let mut world = shared(1, "");
    let a = clients(&mut world, "a", 1)[0];
    assert!(world.ask(a, "select 1").ends_with('Z'));
    world.servers[0].silent = true;
    let b = world.arriving_at("app", "b", &[]);
    world.run();
    world.advance(1_000);
    assert_eq!(world.tags(b), "", "the old server still is at Postgres");
    let pools = world.inspect().pools;
    assert_eq!(pools.iter().map(|pool| pool.zombie).sum::<usize>(), 1);
    assert_eq!(pools.iter().map(|pool| pool.open).sum::<usize>(), 1);
    world.servers[0].silent = false;
    world.run();
    assert!(world.tags(b).ends_with("KZ"));
    assert_eq!(world.most_backends, 1);
    world.check_accounts();
}

#[test]
fn a_server_whose_end_does_not_come_keeps_its_place_until_its_process_is_known_to_be_gone() {
    let mut world = shared(1, "");
    let a = clients(&mut world, "a", 1)[0];
    world.ask(a, "select 1");
    world.servers[0].silent = true;
    let b = world.arriving_at("app", "b", &[]);
    world.advance(300);
    world.advance(9_999);
    assert_eq!(world.tags(b), "");
    world.advance(1);
    assert_eq!(world.tags(b), "");
    world.process_is_there(false);
    assert!(world.tags(b).ends_with("KZ"));
}

#[test]
fn without_a_cancel_key_such_a_server_does_not_keep_its_place_for_ever() {
    let mut world = shared(1, "");
    world.gives_cancel_keys = false;
    let a = clients(&mut world, "a", 1)[0];
    world.ask(a, "select 1");
    world.servers[0].silent = true;
    let b = world.arriving_at("app", "b", &[]);
    world.advance(300);
    world.advance(10_000);
    assert!(world.tags(b).ends_with("KZ"));
}

#[test]
fn with_more_roles_than_servers_each_gets_its_turn() {
    let roles: String = (0..6).map(|n| format!("[roles.r{n}]\npassword = \"x\"\n")).collect();
    let mut world = shared(2, "").also(&roles);
    let all: Vec<_> = (0..6).flat_map(|n| clients(&mut world, &format!("r{n}"), 3)).collect();
    world.run();
    let mut answered = vec![0; all.len()];
    for _ in 0..1_000 {
        for (n, &client) in all.iter().enumerate() {
            if world.tags(client).ends_with('Z') {
                answered[n] += 1;
                world.send(client, &query("select 1"));
            }
        }
        world.advance(5);
    }
    assert!(answered.iter().all(|&count| count > 5), "{answered:?}");
    assert_eq!(world.most_backends, 2);
    world.check_accounts();
}

#[test]
fn an_alias_shares_the_limit_of_its_database() {
    let mut world = shared(1, "");
    let a = world.arriving_at("app", "a", &[]);
    world.run();
    world.ask(a, "BEGIN");
    let other = world.arriving_at("other", "a", &[]);
    world.advance(1_000);
    assert_eq!(world.tags(other), "");
    world.ask(a, "COMMIT");
    world.advance(300);
    assert!(world.tags(other).ends_with("KZ"));
    assert_eq!(world.most_backends, 1);
}

#[test]
fn a_role_whose_logins_fail_takes_nothing_from_the_others() {
    let mut world = shared(2, "");
    let a = clients(&mut world, "a", 4);
    world.run();
    churn(&mut world, &a, 5);
    world.dial_failures = (0..10_000).map(|_| refused()).collect();
    let b = clients(&mut world, "b", 4);
    for _ in 0..20 {
        world.advance(100);
        world.check_accounts();
    }
    world.dial_failures.clear();
    let mut all = a;
    all.extend(b);
    for _ in 0..20 {
        world.advance(100);
        for &client in &all {
            world.received(client);
            world.send(client, &query("COMMIT"));
        }
    }
    assert_eq!((world.backends(None, Some("a")), world.backends(None, Some("b"))), (1, 1));
}

#[test]
fn the_reserve_helps_those_who_wait_and_goes_when_nobody_does() {
    let mut world = World::new(1, "reserve_pool_size = 1\nreserve_pool_wait = \"3s\"");
    let (a, b, c) = (world.client(), world.client(), world.client());
    world.ask(a, "BEGIN");
    world.send(b, &query("BEGIN"));
    world.run();
    world.advance(100);
    world.send(c, &query("select c"));
    world.advance(2_899);
    assert_eq!(world.tags(b), "");
    world.advance(1);
    assert_eq!(world.tags(b), "DCZ");
    world.advance(1_000);
    assert_eq!(world.tags(c), "", "the reserve is used up");
    assert_eq!(world.backends(None, None), 2);
    world.check_accounts();
    assert_eq!(world.ask(b, "COMMIT"), "DCZ");
    assert_eq!(world.tags(c), "DCZ");
    assert_eq!(world.backends(None, None), 1, "the reserve is given back");
    assert_eq!(world.ask(a, "COMMIT"), "DCZ");
    assert_eq!(world.backends(None, None), 1);
    world.check_accounts();
}

#[test]
fn the_minimum_is_opened_ahead_and_opened_again_after_a_loss() {
    let mut world = World::new(5, "min_pool_size = 3\nserver_idle_timeout = \"1min\"");
    let spec = world.spec("app", "app");
    world.mail(Mail::Open(spec));
    world.run();
    assert_eq!(world.backends(None, None), 3);
    let all: Vec<_> = (0..5).map(|_| world.client()).collect();
    for &client in &all {
        world.ask(client, "BEGIN");
    }
    for &client in &all {
        world.ask(client, "COMMIT");
    }
    assert_eq!(world.backends(None, None), 5);
    world.advance(60_000);
    assert_eq!(world.backends(None, None), 3, "what is beyond the minimum goes");
    world.dial_failures = (0..2).map(|_| refused()).collect();
    let live: Vec<_> = (0..5).filter(|&n| !world.servers[n].terminated).collect();
    for n in live {
        world.kill_server(n, Some("terminated"));
    }
    world.run();
    assert!(world.backends(None, None) < 3);
    world.advance(100);
    assert_eq!(world.backends(None, None), 3);
    world.check_accounts();
}

#[test]
fn nothing_is_opened_ahead_while_what_logs_in_is_not_known() {
    let mut world = World::new(5, "min_pool_size = 3");
    world.dial_failures = (0..3).map(|_| refused()).collect();
    let client = world.arriving_client(&[]);
    world.run();
    world.hang_up(client);
    world.run();
    world.dial_failures.clear();
    world.advance(100_000);
    assert_eq!(world.backends(None, None), 0);
    let _client = world.client();
    assert_eq!(world.backends(None, None), 3);
}

#[test]
fn old_servers_are_replaced_though_they_are_the_minimum() {
    let mut world = World::new(5, "min_pool_size = 2\nserver_lifetime = \"1h\"");
    let _client = world.client();
    assert_eq!((world.backends(None, None), world.dials), (2, 2));
    for _ in 0..7 {
        world.advance(600_000);
    }
    assert_eq!((world.backends(None, None), world.dials), (2, 4));
}

#[test]
fn roles_with_one_server_role_share_its_pool() {
    let mut world = World::of(
        "[defaults]\npool_size = 9\nreserve_pool_size = 0\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\nserver_role = \"app\"\n\
         server_password = \"x\"\n[databases.app.roles.app]\npool_size = 2\n\
         [roles.a]\npassword = \"x\"\n[roles.b]\npassword = \"x\"\npool_mode = \"session\"\n",
    );
    let a = world.arriving_at("app", "a", &[]);
    let b = world.arriving_at("app", "b", &[]);
    let c = world.arriving_at("app", "c", &[]);
    world.run();
    for client in [a, b, c] {
        assert!(world.tags(client).ends_with("KZ"));
    }
    assert_eq!(world.ask(b, "select 1"), "DCZ", "keeps its server");
    assert_eq!(world.ask(a, "BEGIN"), "DCZ");
    assert_eq!(world.ask(c, "select 1"), "", "the server role's pool is full");
    assert_eq!(world.backends(None, Some("app")), 2);
    assert_eq!(world.ask(a, "COMMIT"), "DCZ");
    assert_eq!(world.tags(c), "DCZ");
    let pools = world.inspect().pools;
    assert_eq!(pools.len(), 1);
    assert_eq!((pools[0].role.as_str(), pools[0].clients), ("app", 3));
    assert_eq!(pools[0].pinned, 1);
    world.check_accounts();
}

#[test]
fn at_a_shared_pool_each_waits_as_long_as_its_own_role_says() {
    let file = |patience: &str| {
        format!(
            "[defaults]\npool_size = 1\nreserve_pool_size = 0\npool_wait_timeout = \"1min\"\n\
             [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\nserver_role = \"app\"\n\
             server_password = \"x\"\n[roles.hasty]\npassword = \"x\"\n\
             pool_wait_timeout = \"{patience}\"\n"
        )
    };
    let mut world = World::of(&file("1s"));
    let [holder, patient, hasty] = ["a", "b", "hasty"].map(|role| {
        let client = world.arriving_at("app", role, &[]);
        world.run();
        assert!(world.tags(client).ends_with("KZ"));
        client
    });
    assert_eq!(world.ask(holder, "BEGIN"), "DCZ");
    assert_eq!(world.ask(patient, "select 1"), "");
    assert_eq!(world.ask(hasty, "select 2"), "");
    world.advance(1_000);
    let told = "Waited 1000 ms (pool_wait_timeout) for one of 1 server connections; \
                1 other client waits, for 1000 ms so far.";
    assert_eq!(world.errors(hasty)[0].detail.as_deref(), Some(told));
    assert_eq!(world.tags(patient), "");
    // A reload holds for those who wait, too.
    assert_eq!(world.ask(hasty, "select 3"), "");
    world.reload_file(&file("100ms"));
    world.advance(100);
    assert!(world.errors(hasty)[0].detail.as_ref().unwrap().contains("Waited 100 ms"));
    world.advance(58_900);
    assert_eq!(world.errors(patient).len(), 1);
    assert_eq!(world.ask(holder, "COMMIT"), "DCZ");
    world.check_accounts();
}

#[test]
fn a_smaller_size_after_a_reload_is_reached_as_servers_come_free() {
    let mut world = World::new(3, "reserve_pool_size = 0");
    let all: Vec<_> = (0..3).map(|_| world.client()).collect();
    for &client in &all {
        world.ask(client, "BEGIN");
    }
    world.ask(all[0], "COMMIT");
    let spec = world.spec("app", "app");
    let mut settings = (**spec.settings.load()).clone();
    settings.pool_size = 1;
    spec.settings.store(std::sync::Arc::new(settings));
    world.mail(Mail::LimitsChanged);
    world.run();
    assert_eq!(world.backends(None, None), 2, "servers in use are left alone");
    world.ask(all[1], "COMMIT");
    assert_eq!(world.backends(None, None), 1);
    world.ask(all[2], "COMMIT");
    assert_eq!(world.backends(None, None), 1);
    assert!(sqlstates(&mut world, all[0]).is_empty());
    world.check_accounts();
}

#[test]
fn an_unused_pool_of_a_database_without_a_table_is_forgotten() {
    let text = "[defaults]\nserver_idle_timeout = \"1min\"\nmin_pool_size = 1\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n\
         [databases.\"*\"]\nprimary = \"postgres://127.0.0.1:1\"\nmax_server_connections = 3\n\
         [roles.app]\npassword = \"x\"\n";
    let mut world = World::of(text);
    let named = world.client();
    let leave = |world: &mut World, database: &str| {
        let client = world.arriving_at(database, "app", &[]);
        world.run();
        assert!(world.tags(client).ends_with("KZ"));
        world.hang_up(client);
        world.run();
    };
    for database in ["x", "y"] {
        leave(&mut world, database);
    }
    world.hang_up(named);
    world.advance(59_999);
    assert_eq!(world.inspect().pools.len(), 3);
    leave(&mut world, "y");
    world.advance(1);
    let left = |world: &mut World| -> Vec<String> {
        world.inspect().pools.into_iter().map(|pool| pool.database).collect()
    };
    assert_eq!(left(&mut world), ["app", "y"]);
    world.advance(60_000);
    assert_eq!(left(&mut world), ["app"]);
    assert_eq!(world.unused.iter().map(|spec| &spec.database).collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!((world.backends(Some("x"), None), world.backends(Some("y"), None)), (0, 0));
    world.check_quiet();
    // Its place is used again, and it comes back as new.
    leave(&mut world, "z");
    leave(&mut world, "x");
    assert_eq!(world.inspect().pools.len(), 3);
    world.check_accounts();
}

#[test]
fn a_client_that_waits_in_vain_learns_which_limit_it_was() {
    let mut world = World::of(
        "[defaults]\npool_size = 2\nreserve_pool_size = 0\npool_wait_timeout = \"1s\"\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\nmax_server_connections = 3\n\
         [roles.a]\npassword = \"x\"\n[roles.b]\npassword = \"x\"\n",
    );
    let a = clients(&mut world, "a", 3);
    let b = clients(&mut world, "b", 2);
    world.run();
    for &client in a.iter().chain(&b) {
        world.received(client);
    }
    world.ask(b[0], "BEGIN");
    for &client in &a[..2] {
        assert_eq!(world.ask(client, "BEGIN"), "DCZ");
    }
    world.send(a[2], &query("select 1"));
    world.send(b[1], &query("select 1"));
    world.run();
    world.advance(1_000);
    let mut detail = |client| world.errors(client)[0].detail.clone().unwrap().into_owned();
    assert!(detail(a[2]).contains("one of 2 server connections"));
    assert!(detail(b[1]).contains("3 server connections that all roles"));
}
