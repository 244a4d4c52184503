//! What travelling servers must not bring along, and what ends for all loops together.

use super::super::world::{World, bind_execute, parse, query, sync};

const POOL: &str = "[defaults]\nreserve_pool_size = 0\npool_size = 4\n\
     [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n[roles.app]\npassword = \"x\"\n";

#[test]
fn an_unnamed_statement_of_another_loops_client_is_nobodys() {
    for seed in 0..20 {
        let mut world = World::over(2, POOL, seed);
        let (a, b) = (world.client(), world.client());
        world.send(a, &[parse("select secret"), sync()].concat());
        world.run();
        assert_eq!(world.tags(a), "1Z");
        world.send(b, &[bind_execute(), sync()].concat());
        world.run();
        assert_eq!(world.tags(b), "EZ", "seed {seed}");
        assert_eq!(world.servers.len(), 1, "the other loop asks for the idle server");
        assert!(!world.servers[0].ran.contains(&"select secret".to_owned()));
        world.check_accounts();
    }
}

#[test]
fn what_was_not_taken_yet_travels_along() {
    for seed in 0..20 {
        let mut world = World::over(2, POOL, seed);
        let (a, b) = (world.client(), world.client());
        world.ask(a, "select 1");
        // The server takes no byte beyond the query: the Flush behind it waits for room.
        let (text, flush) = (query("select 2"), b"H\0\0\0\x04".to_vec());
        world.set_server_room(0, text.len());
        world.send(a, &[text, flush].concat());
        world.run();
        world.set_server_room(0, 1 << 20);
        world.run();
        assert_eq!(world.tags(a), "DCZ");
        assert_eq!(world.ask(b, "select 3"), "DCZ", "seed {seed}");
        world.check_accounts();
    }
}

#[test]
fn the_process_ends_when_the_last_loop_has_no_clients_left() {
    for seed in 0..20 {
        let mut world = World::over(2, POOL, seed);
        let (a, b) = (world.client(), world.client());
        world.ask(a, "BEGIN");
        world.drain_all(None);
        assert!(world.is_closed(b));
        assert!(world.engines.iter().all(|engine| !engine.is_stopped()), "{seed}");
        assert_eq!(world.ask(a, "select 1"), "DCZ");
        world.ask(a, "COMMIT");
        assert!(world.is_closed(a));
        assert!(world.engines.iter().all(super::super::Engine::is_stopped), "{seed}");
    }
}

/// Any database, with a pool of four servers, and one with a table of its own and a limit.
fn file(own: &str) -> String {
    format!(
        "[defaults]\nreserve_pool_size = 0\npool_size = 4\npool_wait_timeout = \"off\"\n\
         [databases.\"*\"]\nprimary = \"postgres://127.0.0.1:1\"\n{own}\
         [roles.app]\npassword = \"x\"\n"
    )
}

#[test]
fn a_pool_whose_home_changes_with_a_reload_keeps_its_limits_and_serves_everyone() {
    let own = "[databases.shop]\nprimary = \"postgres://127.0.0.1:1/shop\"\n\
               max_server_connections = 3\n";
    let mut moved = 0;
    for seed in 0..40 {
        let mut world = World::over(2, &file(""), seed);
        let spec = world.spec("shop", "app");
        let before = spec.home();
        let ends: Vec<_> = (0..8).map(|_| world.arriving_at("shop", "app", &[])).collect();
        world.run();
        for &end in &ends {
            world.send(end, &query("BEGIN"));
            world.turn();
        }
        world.reload_file(&file(own));
        moved += usize::from(spec.home() != before);
        for round in 0..20 {
            world.advance(50);
            for &end in &ends {
                if world.tags(end).ends_with('Z') {
                    let text = if round % 2 == 0 { "COMMIT" } else { "BEGIN" };
                    world.send(end, &query(text));
                }
            }
            world.run();
            world.check_accounts();
            let open = world.backends(None, None);
            assert!(open <= if round < 2 { 4 } else { 3 }, "seed {seed}, round {round}: {open}");
        }
        for &end in &ends {
            world.send(end, b"X\0\0\0\x04");
        }
        world.advance(5_000);
        world.check_accounts();
        assert!(ends.iter().all(|&end| world.is_closed(end)), "seed {seed}");
    }
    assert!(moved > 0, "the home is another one");
}
