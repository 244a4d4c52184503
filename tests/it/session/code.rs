//! Changes that code on the server makes: DO blocks, functions, procedures, triggers.

use super::{ADVISORY, Kind, TEMPORARY, TIME_ZONE, WORK_MEM, assert_no_error, kind};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::front;
use crate::harness::message;

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
