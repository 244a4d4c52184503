//! Limits of time that servers keep: as dialled, as a session may change them, and those for maintenance and DDL.

use super::super::world::{ClientEnd, World, bind_execute, parse, query, sync};
use super::rows;
use crate::session::OwnLimits;
use crate::wire::Report;

const LIMITS: &str = "statement_timeout = \"15s\"\nlock_timeout = \"2s\"";

fn show(world: &mut World, client: ClientEnd, name: &str) -> String {
    world.send(client, &query(&format!("SHOW {name}")));
    world.run();
    rows(world, client).concat()
}

fn both(world: &mut World, client: ClientEnd) -> String {
    let statement = show(world, client, "statement_timeout");
    format!("{statement} {}", show(world, client, "lock_timeout"))
}

/// What the first server ran since this was asked last.
fn ran(world: &mut World) -> Vec<String> {
    std::mem::take(&mut world.servers[0].ran)
}

/// Runs a text and tells with which limits its server met it, its answer, and how many statements of pgweir's own came
/// before it.
fn limits_of(world: &mut World, client: ClientEnd, text: &str) -> (String, String, usize) {
    ran(world);
    world.servers[0].silent = true;
    world.send(client, &query(text));
    // Settings of pgweir's own are answered, what comes behind them waits.
    let mut own = 0;
    world.run();
    loop {
        let unread = String::from_utf8_lossy(&world.servers[0].input).into_owned();
        if unread.contains(text) {
            break;
        }
        world.answer_one(0);
        world.run();
        own += 1;
        assert!(own < 3, "{text} never comes");
    }
    let server = &world.servers[0];
    let limits = ["statement_timeout", "lock_timeout"].map(|name| server.parameter(name));
    world.servers[0].silent = false;
    world.run();
    (limits.join(" "), world.tags(client), own)
}

#[test]
fn servers_are_dialled_with_the_limits_and_nothing_is_sent_for_them() {
    let mut world = World::new(1, LIMITS);
    let (a, b) = (world.client(), world.client());
    assert_eq!(both(&mut world, a), "15000 2000");
    for client in [a, b, a] {
        world.ask(client, "select 1");
        world.ask(client, "BEGIN");
        world.ask(client, "COMMIT");
    }
    let ran = ran(&mut world);
    assert!(!ran.iter().any(|text| text.contains("set_config")), "{ran:?}");
    let mut off = World::new(1, "");
    let a = off.client();
    assert_eq!(both(&mut off, a), " ");
}

#[test]
fn limits_are_lowered_by_sessions_and_not_raised() {
    let mut world = World::new(1, LIMITS);
    let (a, b) = (world.client(), world.client());
    assert_eq!(world.ask(a, "SET statement_timeout = 5000"), "CZ");
    assert_eq!(world.ask(a, "SET lock_timeout = 100"), "CZ");
    assert_eq!(both(&mut world, a), "5000 100");
    assert_eq!(both(&mut world, b), "15000 2000");
    assert_eq!(both(&mut world, a), "5000 100");
    world.send(a, &query("SET statement_timeout = 0"));
    world.run();
    let frames = world.frames(a);
    assert_eq!(frames.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), b"NCZ");
    let warning = Report::from_server(&frames[0].1);
    assert_eq!(warning.sqlstate(), "01000");
    assert_eq!(warning.message, "statement_timeout stays at 15s, pgweir's limit");
    assert!(warning.detail.is_some_and(|detail| detail.contains("timeout_override = \"lower\"")));
    assert_eq!(world.ask(a, "SET lock_timeout = 60000"), "NCZ");
    assert_eq!(both(&mut world, a), "15000 2000");
    assert_eq!(world.ask(a, "RESET statement_timeout"), "CZ");
    assert_eq!(world.ask(a, "SET lock_timeout = 1000"), "CZ");
    assert_eq!(both(&mut world, a), "15000 1000");
    assert_eq!(world.ask(a, "DISCARD ALL"), "DCZ");
    assert_eq!(both(&mut world, a), "15000 2000");
    assert_eq!(world.dials, 1);
    world.check_accounts();
}

#[test]
fn what_a_session_sets_raised_in_a_batch_is_told_before_its_end() {
    let mut world = World::new(1, LIMITS);
    let a = world.client();
    let set = |value: &str| parse(&format!("SET statement_timeout = {value}"));
    world.send(a, &[set("0"), bind_execute(), sync()].concat());
    world.run();
    assert_eq!(world.tags(a), "12NCZ");
    assert_eq!(both(&mut world, a), "15000 2000");
    world.send(a, &[set("5000"), bind_execute(), sync()].concat());
    world.run();
    assert_eq!(world.tags(a), "12CZ");
    assert_eq!(both(&mut world, a), "5000 2000");
}

#[test]
fn transactions_and_savepoints_take_limits_back() {
    let mut world = World::new(1, LIMITS);
    let (a, b) = (world.client(), world.client());
    world.ask(a, "BEGIN");
    world.ask(a, "SET statement_timeout = 5000");
    world.ask(a, "SAVEPOINT s");
    assert_eq!(world.ask(a, "SET statement_timeout = 0"), "NCZ");
    assert_eq!(both(&mut world, a), "15000 2000");
    world.ask(a, "ROLLBACK TO s");
    assert_eq!(both(&mut world, a), "5000 2000");
    assert_eq!(world.ask(a, "SET lock_timeout = 0"), "NCZ");
    assert_eq!(both(&mut world, a), "5000 2000");
    world.ask(a, "ROLLBACK");
    assert_eq!(both(&mut world, a), "15000 2000");
    world.ask(a, "BEGIN");
    assert_eq!(world.ask(a, "SET statement_timeout = 0"), "NCZ");
    world.ask(a, "COMMIT");
    assert_eq!(both(&mut world, b), "15000 2000");
    assert_eq!(both(&mut world, a), "15000 2000");
    world.check_accounts();
}

#[test]
fn a_limit_is_not_raised_for_a_transaction_either() {
    let mut world = World::new(1, LIMITS);
    let a = world.client();
    world.ask(a, "BEGIN");
    assert_eq!(world.ask(a, "SET LOCAL statement_timeout = 0"), "NCZ");
    assert_eq!(both(&mut world, a), "15000 2000");
    assert_eq!(world.ask(a, "SET LOCAL statement_timeout = 3000"), "CZ");
    world.ask(a, "SAVEPOINT s");
    assert_eq!(world.ask(a, "SET LOCAL statement_timeout = 3600000; SAVEPOINT t"), "NCCZ");
    assert_eq!(both(&mut world, a), "15000 2000");
    world.ask(a, "ROLLBACK TO t");
    assert_eq!(both(&mut world, a), "15000 2000");
    world.ask(a, "ROLLBACK TO s");
    assert_eq!(both(&mut world, a), "3000 2000");
    world.ask(a, "COMMIT");
    assert_eq!(both(&mut world, a), "15000 2000");
    // Outside of a transaction it sets nothing.
    assert_eq!(world.ask(a, "SET LOCAL statement_timeout = 0"), "CZ");
    assert_eq!(both(&mut world, a), "15000 2000");
}

#[test]
fn what_clients_may_do_is_the_operators_to_say() {
    let mut never = World::new(1, &format!("{LIMITS}\ntimeout_override = \"never\""));
    let a = never.client();
    assert_eq!(never.ask(a, "SET statement_timeout = 5000"), "NCZ");
    assert_eq!(both(&mut never, a), "15000 2000");
    let mut any = World::new(1, &format!("{LIMITS}\ntimeout_override = \"any\""));
    let a = any.client();
    assert_eq!(any.ask(a, "SET statement_timeout = 0"), "CZ");
    assert_eq!(both(&mut any, a), "0 2000");
    let mut off = World::new(1, "timeout_override = \"never\"");
    let a = off.client();
    assert_eq!(off.ask(a, "SET statement_timeout = 0"), "CZ");
    assert_eq!(show(&mut off, a, "statement_timeout"), "0");
}

#[test]
fn a_startup_packet_raises_no_limit() {
    let mut world = World::new(1, LIMITS);
    let a = world.arriving_client(&[("statement_timeout", "0"), ("lock_timeout", "1s")]);
    world.run();
    let greeting = world.tags(a);
    assert!(greeting.ends_with("NKZ"), "{greeting}");
    assert_eq!(both(&mut world, a), "15000 1s");
    let b = world.arriving_client(&[("statement_timeout", "0"), ("lock_timeout", "1s")]);
    world.run();
    assert_eq!(world.tags(b), "SNKZ", "one whose greeting is known");
    world.ask(a, "SET statement_timeout = 4000");
    world.ask(a, "RESET statement_timeout");
    assert_eq!(both(&mut world, a), "15000 1s");
}

#[test]
fn maintenance_has_its_own_limit() {
    let mut world = World::new(1, &format!("{LIMITS}\nmaintenance_timeout = \"1h\""));
    let a = world.client();
    let of = |world: &mut World, text: &str| limits_of(world, a, text);
    assert_eq!(of(&mut world, "select 1"), ("15000 2000".into(), "DCZ".into(), 0));
    assert_eq!(of(&mut world, "VACUUM t"), ("3600000 2000".into(), "DCZ".into(), 1));
    assert_eq!(of(&mut world, "ANALYZE t").0, "3600000 2000");
    assert_eq!(of(&mut world, "select 2"), ("15000 2000".into(), "DCZ".into(), 1));
    assert_eq!(of(&mut world, "select 3"), ("15000 2000".into(), "DCZ".into(), 0));
    world.ask(a, "SET statement_timeout = 5000");
    assert_eq!(of(&mut world, "VACUUM t").0, "5000 2000", "what is lower stays");
    assert_eq!(world.ask(a, "SET statement_timeout = 0"), "NCZ");
    assert_eq!(of(&mut world, "VACUUM t").0, "3600000 2000");
    assert_eq!(of(&mut world, "select 4").0, "15000 2000");
    let mut off = World::new(1, LIMITS);
    let a = off.client();
    assert_eq!(limits_of(&mut off, a, "VACUUM t").0, "0 2000");
    let b = off.client();
    assert_eq!(limits_of(&mut off, b, "select 5").0, "15000 2000", "nobody inherits it");
    off.check_accounts();
}

#[test]
fn ddl_has_its_own_limit_of_locks() {
    let mut world = World::new(1, "statement_timeout = \"15s\"\nddl_lock_timeout = \"5s\"");
    let a = world.client();
    let alter = "alter table t add a int";
    assert_eq!(limits_of(&mut world, a, alter).0, "15000 5000");
    assert_eq!(limits_of(&mut world, a, "select 1").0, "15000 ");
    assert_eq!(limits_of(&mut world, a, "create index concurrently i on t (a)").0, "0 ");
    // In a transaction, and taken back with it.
    world.ask(a, "BEGIN");
    assert_eq!(limits_of(&mut world, a, alter), ("15000 5000".into(), "DCZ".into(), 1));
    assert_eq!(limits_of(&mut world, a, "select 2").0, "15000 ");
    world.ask(a, "SAVEPOINT s");
    assert_eq!(limits_of(&mut world, a, "drop table t").0, "15000 5000");
    world.ask(a, "ROLLBACK TO s");
    assert_eq!(both(&mut world, a), "15000 ");
    world.ask(a, "ROLLBACK");
    assert_eq!(both(&mut world, a), "15000 ");
    world.ask(a, "BEGIN");
    limits_of(&mut world, a, alter);
    world.ask(a, "COMMIT");
    assert_eq!(both(&mut world, a), "15000 ");
    world.check_accounts();
}

#[test]
fn ddl_in_a_batch_has_it_and_what_is_pipelined_behind_it_has_not() {
    let mut world = World::new(1, "ddl_lock_timeout = \"5s\"");
    let a = world.client();
    let (alter, show) = (parse("alter table t add a int"), parse("SHOW lock_timeout"));
    world.send(a, &[alter, bind_execute(), sync(), show, bind_execute(), sync()].concat());
    world.run();
    let frames = world.frames(a);
    let row = frames.iter().rfind(|(tag, _)| *tag == b'D').expect("a row");
    assert_eq!(&row.1[6..], b"", "{frames:?}");
    let ran = ran(&mut world);
    let at = |text: &str| ran.iter().position(|ran| ran.contains(text)).expect(text);
    assert!(at("5000") < at("alter table"), "{ran:?}");
    assert!(at("alter table") < at("RESET \"lock_timeout\""), "{ran:?}");
    assert!(at("RESET \"lock_timeout\"") < at("SHOW"), "{ran:?}");
    world.check_accounts();
}

#[test]
fn roles_that_share_servers_have_their_own_limits_there() {
    let file = "[defaults]\nreserve_pool_size = 0\npool_size = 1\nstatement_timeout = \"15s\"\n\
         [databases.app]\nprimary = \"postgres://127.0.0.1:1/app\"\nserver_role = \"app\"\n\
         [roles.app]\npassword = \"x\"\n[roles.web]\npassword = \"x\"\nstatement_timeout = \"3s\"\n\
         [roles.migrator]\npassword = \"x\"\nstatement_timeout = \"off\"\n";
    let mut world = World::of(file);
    let came = |world: &mut World, role: &str| {
        let client = world.arriving_at("app", role, &[]);
        world.run();
        world.tags(client);
        client
    };
    let app = came(&mut world, "app");
    let (web, migrator) = (came(&mut world, "web"), came(&mut world, "migrator"));
    for _ in 0..2 {
        assert_eq!(show(&mut world, app, "statement_timeout"), "15000");
        assert_eq!(show(&mut world, web, "statement_timeout"), "3000");
        assert_eq!(show(&mut world, migrator, "statement_timeout"), "0");
    }
    assert_eq!(world.ask(migrator, "SET statement_timeout = 3600000"), "CZ", "it is exempt");
    assert_eq!(show(&mut world, migrator, "statement_timeout"), "3600000");
    assert_eq!(world.ask(web, "SET statement_timeout = 10000"), "NCZ");
    assert_eq!(show(&mut world, web, "statement_timeout"), "3000");
    assert_eq!(world.dials, 1);
    world.check_accounts();
}

#[test]
fn a_reload_reaches_servers_that_were_dialled_before() {
    let size = "pool_size = 1\n";
    let mut world = World::new(1, LIMITS);
    let (a, b) = (world.client(), world.client());
    assert_eq!(both(&mut world, a), "15000 2000");
    world.ask(b, "BEGIN");
    world.reload(&format!("{size}statement_timeout = \"20s\"\nlock_timeout = \"1s\""));
    assert_eq!(both(&mut world, b), "15000 2000", "not within a transaction");
    world.ask(b, "COMMIT");
    assert_eq!(both(&mut world, b), "20000 1000");
    assert_eq!(both(&mut world, a), "20000 1000");
    world.reload(size);
    assert_eq!(both(&mut world, a), "0 0", "RESET would bring back what it was dialled with");
    world.reload(&format!("{size}{LIMITS}"));
    assert_eq!(both(&mut world, a), "15000 2000");
    assert_eq!(world.dials, 1);
    // One that is dialled without any is left as it is.
    world.reload(size);
    assert_eq!(both(&mut world, a), "0 0");
    world.kill_server(0, None);
    world.run();
    assert_eq!(both(&mut world, a), " ");
    assert!(!world.servers[1].ran.iter().any(|text| text.contains("set_config")));
    world.check_accounts();
}

#[test]
fn a_reload_reaches_a_session_that_keeps_its_server() {
    let mode = "pool_size = 1\npool_mode = \"session\"\n";
    let mut world = World::new(1, &format!("pool_mode = \"session\"\n{LIMITS}"));
    let a = world.client();
    assert_eq!(both(&mut world, a), "15000 2000");
    world.reload(&format!("{mode}statement_timeout = \"1s\""));
    world.ask(a, "select 1");
    assert_eq!(both(&mut world, a), "1000 0");
}

#[test]
fn what_alter_role_says_is_not_raised() {
    let mut world = World::new(1, LIMITS);
    let spec = world.spec("app", "app");
    let a = world.client();
    assert_eq!(both(&mut world, a), "15000 2000");
    assert!(spec.set_own_limits(OwnLimits { statement: Some(4_000), lock: Some(60_000) }));
    assert_eq!(both(&mut world, a), "4000 2000");
    assert_eq!(world.ask(a, "SET statement_timeout = 10000"), "NCZ");
    assert_eq!(both(&mut world, a), "4000 2000");
    world.kill_server(0, None);
    world.run();
    assert_eq!(world.ask(a, "select 1"), "DCZ");
    assert_eq!(world.servers[1].parameter("statement_timeout"), "4000");
    assert!(!world.servers[1].ran.iter().any(|text| text.contains("set_config")));
}

#[test]
fn servers_that_take_no_limits_at_startup_are_given_them() {
    let mut world = World::new(1, LIMITS);
    assert!(world.spec("app", "app").refuse_startup());
    let (a, b) = (world.client(), world.client());
    assert_eq!(both(&mut world, a), "15000 2000");
    assert_eq!(both(&mut world, b), "15000 2000");
    let given = ran(&mut world).iter().filter(|text| text.contains("set_config")).count();
    assert_eq!(given, 1, "once for each server");
}

/// A client whose transaction could not be given a limit for its DDL, with more sent behind it; the tags and errors of
/// what it gets.
fn limit_that_cannot_be_set(settings: &str) -> (World, ClientEnd) {
    let mut world = World::new(1, &format!("ddl_lock_timeout = \"5s\"\n{settings}"));
    let client = world.client();
    world.ask(client, "BEGIN");
    world.ask(client, "insert first");
    world.servers[0].silent = true;
    let all = [query("ALTER TABLE t ADD a int"), query("insert second"), query("COMMIT")];
    world.send(client, &all.concat());
    world.run();
    world.front_fails(0, &Report::error(b"57014", "canceling statement due to statement timeout"));
    world.servers[0].silent = false;
    world.run();
    (world, client)
}

#[test]
fn behind_limits_that_could_not_be_set_the_transaction_has_failed() {
    for settings in ["", "pool_mode = \"session\""] {
        let (mut world, client) = limit_that_cannot_be_set(settings);
        let frames = world.frames(client);
        let tags: String = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
        assert_eq!(tags, "EZEZCZ", "{settings}");
        let codes: Vec<_> = [0, 2].map(|n| Report::from_server(&frames[n].1)).into();
        assert_eq!([codes[0].sqlstate(), codes[1].sqlstate()], ["57014", "25P02"]);
        assert_eq!([&frames[1].1, &frames[3].1, &frames[5].1], [b"E", b"E", b"I"]);
        assert_eq!(frames[4].1, b"ROLLBACK\0");
        assert_eq!(ran(&mut world).last().unwrap(), "ROLLBACK");
        for text in ["BEGIN", "ALTER TABLE t ADD a int", "COMMIT"] {
            assert_eq!(world.ask(client, text), "DCZ", "{settings}");
        }
        assert_eq!(world.dials, 1);
        world.check_accounts();
    }
}

#[test]
fn a_session_with_tables_of_its_own_keeps_them_where_a_limit_cannot_be_set() {
    let mut world = World::new(1, "maintenance_timeout = \"1h\"\nstatement_timeout = \"15s\"");
    let client = world.client();
    world.ask(client, "select 1");
    world.servers[0].left = Some([true, false, false]);
    world.ask(client, "CREATE TEMP TABLE t ()");
    world.servers[0].silent = true;
    world.send(client, &[query("VACUUM x"), query("select next")].concat());
    world.run();
    world.front_fails(0, &Report::error(b"57014", "canceling statement due to user request"));
    world.servers[0].silent = false;
    world.run();
    let frames = world.frames(client);
    let tags: String = frames.iter().map(|(tag, _)| char::from(*tag)).collect();
    assert_eq!((tags.as_str(), frames[1].1.as_slice()), ("EZDCZ", b"I".as_slice()));
    let ran = ran(&mut world);
    assert!(!ran.iter().any(|text| text == "DISCARD ALL" || text == "VACUUM x"), "{ran:?}");
    assert_eq!(world.ask(client, "VACUUM x"), "DCZ");
    assert_eq!(world.dials, 1);
    world.check_accounts();
}
