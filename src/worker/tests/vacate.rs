//! Statements that want a database to themselves.

use super::super::world::{ClientEnd, FakeServer, World, bind_execute, parse, query, sync};

fn world() -> World {
    World::of(
        "[defaults]\nreserve_pool_size = 0\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\n\
         [databases.shop]\nprimary = \"postgres://127.0.0.1:1/store\"\nmin_pool_size = 1\n\
         [databases.elsewhere]\nprimary = \"postgres://127.0.0.2:1/store\"\n\
         [roles.app]\npassword = \"x\"\n",
    )
}

fn client(world: &mut World, database: &str) -> ClientEnd {
    let client = world.arriving_at(database, "app", &[]);
    world.run();
    assert!(world.tags(client).ends_with("KZ"));
    client
}

fn ran(world: &World, text: &str) -> bool {
    world.servers.iter().any(|server| server.ran.iter().any(|ran| ran == text))
}

#[test]
fn idle_servers_of_the_database_are_gone_before_the_statement_is_sent() {
    let mut world = world();
    let (dba, shop) = (client(&mut world, "app"), client(&mut world, "shop"));
    let elsewhere = client(&mut world, "elsewhere");
    for text in [query("drop database store"), [parse("drop database store"), sync()].concat()] {
        let old = |server: &FakeServer| server.database == "shop" && !server.terminated;
        let old = world.servers.iter().position(old).unwrap();
        world.servers[old].silent = true;
        world.send(dba, &text);
        world.run();
        assert_eq!(world.tags(dba), "", "the old server may still be there");
        world.servers[old].silent = false;
        world.run();
        assert!(world.tags(dba).ends_with('Z'));
    }
    assert!(ran(&world, "drop database store"));
    assert_eq!(world.backends(Some("elsewhere"), None), 1);
    assert_eq!(world.ask(shop, "select 1"), "DCZ", "afterwards it is dialled again");
    assert_eq!(world.ask(elsewhere, "select 1"), "DCZ");
    world.check_accounts();
}

#[test]
fn while_the_statement_runs_its_database_is_not_dialled() {
    let mut world = world();
    let (dba, shop) = (client(&mut world, "app"), client(&mut world, "shop"));
    world.servers[0].silent = true;
    world.send(dba, &query("alter database store rename to y"));
    world.run();
    assert_eq!(world.backends(Some("shop"), None), 0);
    world.send(shop, &query("select 1"));
    world.advance(1_000);
    assert_eq!(world.tags(shop), "");
    assert_eq!(world.backends(Some("shop"), None), 0, "not even the minimum is kept");
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(dba), "DCZ");
    assert_eq!(world.tags(shop), "DCZ");
    world.check_accounts();
}

#[test]
fn servers_in_use_are_left_alone_and_close_as_they_come_free() {
    let mut world = world();
    let (dba, shop) = (client(&mut world, "app"), client(&mut world, "shop"));
    world.ask(shop, "BEGIN");
    world.servers[0].silent = true;
    world.send(dba, &query("create database copy template store"));
    world.run();
    assert_eq!(world.ask(shop, "select 1"), "DCZ");
    assert_eq!(world.ask(shop, "COMMIT"), "DCZ");
    assert_eq!(world.backends(Some("shop"), None), 0);
    world.servers[0].silent = false;
    world.run();
    assert_eq!(world.tags(dba), "DCZ");
}

#[test]
fn a_statement_that_cannot_have_the_database_is_sent_after_a_while() {
    let mut world = world();
    let (dba, _shop) = (client(&mut world, "app"), client(&mut world, "shop"));
    let old = world.servers.iter().position(|server| server.database == "shop").unwrap();
    world.servers[old].silent = true;
    world.send(dba, &query("drop database store"));
    world.run();
    world.advance(4_900);
    assert_eq!(world.tags(dba), "");
    world.advance(100);
    assert_eq!(world.tags(dba), "DCZ");
}

#[test]
fn a_database_is_free_again_when_whoever_wanted_it_has_gone() {
    let mut world = world();
    let (dba, shop) = (client(&mut world, "app"), client(&mut world, "shop"));
    world.servers[0].silent = true;
    world.send(dba, &query("drop database store"));
    world.run();
    world.send(shop, &query("select 1"));
    world.run();
    assert_eq!(world.tags(shop), "");
    world.kill_server(0, None);
    world.run();
    world.advance(100);
    assert_eq!(world.tags(shop), "DCZ");
    assert_eq!(world.ask(dba, "select 1"), "EZ".to_owned() + "DCZ");
    world.send(dba, &[parse("select 1"), bind_execute(), sync()].concat());
    world.run();
    world.check_accounts();
}
