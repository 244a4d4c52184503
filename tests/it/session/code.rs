//! Changes that code on the server makes: DO blocks, functions, procedures, triggers.

use super::{ADVISORY, Kind, TEMPORARY, TIME_ZONE, WORK_MEM, assert_no_error, kind};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::front;
use crate::harness::message;
use crate::harness::raw::Login;

/// Bodies of DO blocks whose text shows, or may hide, what they change.
const BLOCKS: [Kind; 13] = [
    kind("set work_mem = '7MB';", WORK_MEM, "4MB"),
    kind("perform set_config('work_mem', '7MB', false);", WORK_MEM, "4MB"),
    kind("execute 'set work_mem = ''7MB''';", WORK_MEM, "4MB"),
    kind("execute 'set ' || 'work_mem = ''7MB''';", WORK_MEM, "4MB"),
    kind("execute format('set %I = %L', 'work' || '_mem', '7MB');", WORK_MEM, "4MB"),
    kind(
        "execute convert_from(decode('c2V0IHdvcmtfbWVtPSc3TUIn', 'base64'), 'UTF8');",
        WORK_MEM,
        "4MB",
    ),
    kind("if true then set work_mem = '7MB'; end if;", WORK_MEM, "4MB"),
    kind("execute 'do ''begin set work_mem = 7168; end''';", WORK_MEM, "4MB"),
    kind("create temp table mine (n int);", TEMPORARY, "0"),
    kind("execute 'create ' || 'temp table mine (n int)';", TEMPORARY, "0"),
    kind("perform pg_advisory_lock(7);", ADVISORY, "0"),
    kind("execute 'select pg_adv' || 'isory_lock(7)';", ADVISORY, "0"),
    kind("begin set work_mem = '7MB'; exception when others then null; end;", WORK_MEM, "4MB"),
];

#[test]
fn what_a_do_block_changes_is_its_sessions_own() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for block in &BLOCKS {
        let mut client = front::client(&pgweir);
        assert_no_error(&client.ask(&format!("do $body$ begin {} end $body$", block.sql)));
        assert_ne!(client.ask_value(block.probe), block.clean, "{}", block.sql);
        // Should another client get its server meanwhile, it waits, or sees it.
        let mut next = front::client(&pgweir);
        next.send(&message::query(block.probe)).unwrap();
        assert_ne!(client.ask_value(block.probe), block.clean, "{}", block.sql);
        client.send(&message::terminate()).unwrap();
        let frames = next.until_ready();
        assert_eq!(frames[1].first_text().as_deref(), Some(block.clean), "{}", block.sql);
        drop((client, next));
        accounts.assert_settled(secs(10));
    }
}

#[test]
fn sql_that_a_text_runs_as_data_is_its_sessions_own() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for sql in [
        "select query_to_xml('select set_config(''work_mem'', ''7MB'', false)', true, true, '')",
        "select query_to_xml('select set_' || 'config(''work_mem'', ''7MB'', false)', true, true, '')",
    ] {
        let mut client = front::client(&pgweir);
        assert_no_error(&client.ask(sql));
        assert_eq!(client.ask_value(WORK_MEM), "7MB", "{sql}");
        client.send(&message::terminate()).unwrap();
        client.until_closed();
        assert_eq!(front::client(&pgweir).ask_value(WORK_MEM), "4MB", "{sql}");
    }
    accounts.assert_settled(secs(10));
}

#[test]
fn hidden_code_is_noticed_also_where_the_session_has_set_that_parameter_itself() {
    let cluster = front::shop();
    let code = "create function f() returns text language sql \
                as $$ select set_config('TimeZone', 'Asia/Tokyo', false) $$";
    cluster.primary().sql("shop", code).unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    assert_no_error(&client.ask("set timezone = 'Europe/Berlin'"));
    assert_no_error(&client.ask("begin; set timezone = 'Europe/Rome'; commit"));
    assert_no_error(&client.ask("select f()"));
    let mut next = front::client(&pgweir);
    next.send(&message::query(TIME_ZONE)).unwrap();
    assert_eq!(client.ask_value(TIME_ZONE), "Asia/Tokyo");
    client.send(&message::terminate()).unwrap();
    let frames = next.until_ready();
    assert_eq!(frames[1].first_text().as_deref(), Some("UTC"));
    drop((client, next));
    accounts.assert_settled(secs(10));
}

#[test]
fn a_reported_parameter_that_hidden_code_sets_is_its_sessions_own() {
    let cluster = front::shop();
    let code = "create function f() returns int language sql \
                as $$ select set_config('TimeZone', 'Asia/Tokyo', false); select 1 $$; \
                create procedure p() language plpgsql as $$ begin set timezone = 'Asia/Tokyo'; end $$; \
                create table t (n int); \
                create function tf() returns trigger language plpgsql \
                as $$ begin set timezone = 'Asia/Tokyo'; return new; end $$; \
                create trigger tt before insert on t for each row execute function tf(); \
                create view v as select f() as n";
    cluster.primary().sql("shop", code).unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    front::client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    for sql in ["select f()", "call p()", "insert into t values (1)", "select * from v"] {
        for in_transaction in [false, true] {
            let mut client = front::client(&pgweir);
            if in_transaction {
                client.ask("begin");
            }
            assert_no_error(&client.ask(sql));
            if in_transaction {
                client.ask("commit");
            }
            let mut next = front::client(&pgweir);
            next.send(&message::query(TIME_ZONE)).unwrap();
            assert_eq!(client.ask_value(TIME_ZONE), "Asia/Tokyo", "{sql}");
            client.send(&message::terminate()).unwrap();
            let frames = next.until_ready();
            assert_eq!(frames[1].first_text().as_deref(), Some("UTC"), "{sql}");
        }
    }
    accounts.assert_settled(secs(10));
}

/// Bodies of functions that set a parameter for the session, and how they are made.
const SETTERS: [(&str, &str); 14] = [
    ("plpgsql", "begin set work_mem = '7MB'; end"),
    ("plpgsql", "begin perform 1; -- done\n  SET SESSION work_mem TO '7MB'; end"),
    ("plpgsql", "begin /* first */ set work_mem = '7MB'; end"),
    ("plpgsql", "begin if true then set work_mem = '7MB'; end if; end"),
    ("plpgsql", "begin perform set_config('work_mem', '7MB', false); end"),
    ("plpgsql", "begin perform pg_catalog.set_config ('work_mem', '7MB', 1 > 2); end"),
    ("plpgsql", "begin execute 'set work_mem = ''7MB'''; end"),
    ("plpgsql", "begin execute format('set %I = %L', 'work_mem', '7MB'); end"),
    ("plpgsql", "begin loop set work_mem = '7MB'; exit; end loop; end"),
    ("plpgsql", "begin reset work_mem; end"),
    ("plpgsql", "begin set role pg_monitor; end"),
    ("sql", "select set_config('work_mem', '7MB', false)"),
    ("sql", "set work_mem = '7MB'"),
    ("sql", "select 1; set work_mem = '7MB'"),
];

/// Bodies that set nothing, or for their transaction only.
const OTHERS: [(&str, &str); 8] = [
    ("plpgsql", "begin update t set n = 1; end"),
    ("plpgsql", "begin insert into t values (1) on conflict do nothing; update t\nset n = 2; end"),
    ("plpgsql", "begin set local work_mem = '7MB'; end"),
    ("plpgsql", "begin set constraints all deferred; end"),
    ("plpgsql", "begin perform set_config('work_mem', '7MB', true); end"),
    ("plpgsql", "begin perform 1; -- set work_mem = '7MB'\n end"),
    ("sql", "update t set n = 1"),
    ("sql", "select current_setting('work_mem')"),
];

#[test]
fn code_that_sets_parameters_is_told_from_other_code() {
    let cluster = front::shop();
    let mut sql = cluster.primary().open_sql("shop").unwrap();
    sql.run("create table t (n int)").unwrap();
    let question = pgweir::session::CODE_THAT_SETS;
    let mut is_found = |language: &str, body: &str| {
        let made = format!("create procedure f() language {language} as $body$ {body} $body$");
        sql.run(&made).unwrap_or_else(|error| panic!("{body}: {error}"));
        let found = !sql.run(question).unwrap().is_empty();
        sql.run("drop procedure f()").unwrap();
        found
    };
    for (language, body) in SETTERS {
        assert!(is_found(language, body), "{body}");
    }
    for (language, body) in OTHERS {
        assert!(!is_found(language, body), "{body}");
    }
    // SQL-standard bodies have no source.
    let body = "create function g() returns text begin atomic \
                select set_config('work_mem', '7MB', false); end";
    sql.run(body).unwrap();
    assert!(!sql.run(question).unwrap().is_empty());
    // The role's search path changes nothing.
    sql.run("drop function g()").unwrap();
    sql.run("create schema odd").unwrap();
    sql.run("set search_path = odd, pg_catalog").unwrap();
    let shadow = "create function odd.regexp_replace(text, text, text, text) returns text \
                  language sql as $$ select 'set_' || 'config'::text $$";
    sql.run(shadow).unwrap();
    assert!(sql.run(question).unwrap().is_empty());
}

#[test]
fn what_functions_of_the_database_set_is_reset_before_the_next_client() {
    let cluster = front::shop();
    let before = "create function f() returns void language plpgsql \
                  as $$ begin set work_mem = '7MB'; end $$";
    cluster.primary().sql("shop", before).unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let (mut one, mut other) = (front::client(&pgweir), front::client(&pgweir));
    for _ in 0..3 {
        assert_no_error(&one.ask("select f()"));
        assert_eq!(other.ask_value(WORK_MEM), "4MB");
    }
    drop((one, other));
    accounts.assert_settled(secs(10));
}

#[test]
fn functions_that_are_made_while_pgweir_runs_are_noticed() {
    let cluster = front::shop();
    cluster.primary().sql("shop", "create role web login").unwrap();
    let pgweir = front::pool_of(1, cluster.primary().address()).role("web", "web").start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let web = || pgweir.client(&Login::new("web", "shop"));
    let (mut one, mut other, mut migration) = (web(), web(), front::client(&pgweir));
    one.ask("select 1");
    for (made, call) in [("function f() returns void", "select f()"), ("procedure p()", "call p()")]
    {
        migration.ask("begin");
        assert_no_error(&migration.ask(&format!(
            "create {made} language plpgsql as $$ begin set work_mem = '7MB'; end $$"
        )));
        migration.ask("commit");
        for _ in 0..3 {
            assert_no_error(&one.ask(call));
            assert_eq!(other.ask_value(WORK_MEM), "4MB", "{made}");
        }
        migration.ask("drop function if exists f; drop procedure if exists p");
    }
    drop((one, other, migration));
    accounts.assert_settled(secs(10));
}
