//! Data that would be gone, queries that cost, limits that are lifted, under `strict`.

use super::*;

#[test]
fn writes_without_a_condition() {
    let rule = "write-without-where";
    check_found(&[
        ("", "update t set a = 1", rule, "every row"),
        ("", "delete from t", rule, "every row"),
        ("", "delete from only s.t as x", rule, "with all that may stand there"),
        ("", "update t set a = 1 where true", rule, "no condition either"),
        ("", "delete from t where id = 1 or 1 = 1", rule, "what an injection adds"),
        ("", "with x as (delete from t returning *) select * from x", rule, "in a CTE"),
        ("", "explain analyze delete from t", rule, "EXPLAIN ANALYZE runs it"),
        ("", "prepare q as delete from t", rule, "each EXECUTE of it"),
        ("", "do $$ begin delete from t; end $$", rule, "in code"),
        ("", "update t set a = 1 where id = 2", "", "one row"),
        ("", "delete from t where false", "", "none"),
        ("", "delete from t using u where t.id = u.id", "", "a join"),
        ("", "delete from t where current of c", "", "a cursor's row"),
        ("", "explain delete from t", "", "only planned"),
        ("", "insert into t values (1) on conflict (a) do update set b = 1", "", "one row"),
        ("", "select 'delete from t'", "", "a literal"),
        ("create temp table t (a int)", "delete from t", "", "the session's own"),
        (
            "begin | create table t as select 1 as a",
            "update t set a = 2",
            "",
            "new rows of its own",
        ),
    ]);
}

#[test]
fn what_is_gone_afterwards() {
    check_found(&[
        ("", "truncate t", "truncate", "every row"),
        ("", "truncate table only t, u cascade", "truncate", "of more than one"),
        ("begin | create table t (a int)", "truncate t", "", "a new table"),
        ("", "drop table t", "drop-table", "a table"),
        ("", "drop table if exists a, b cascade", "drop-table", "two"),
        ("", "drop foreign table t", "drop-table", "a foreign one"),
        ("", "drop owned by x", "drop-table", "all of a role's"),
        ("begin | create table t (a int)", "drop table t", "", "a new one"),
        ("create temp table t (a int)", "drop table t", "", "a temporary one"),
        ("", "drop view v", "", "its query is in the code that made it"),
        ("", "drop sequence s", "", "a number"),
        ("", "drop database d", "drop-database", "a database"),
        ("", "drop database if exists d with (force)", "drop-database", "with its sessions"),
        ("", "drop schema s cascade", "drop-schema-cascade", "all in it"),
        ("", "drop schema s", "", "the server refuses it unless it is empty"),
        ("begin | create schema s", "drop schema s cascade", "", "a new one"),
        ("", "drop function f()", "", "code"),
        ("", "drop trigger g on t", "", "code"),
        ("", "copy t from program 'curl x'", "server-side-program", "a program"),
        ("", "copy t to '/tmp/x'", "server-side-program", "a file"),
        ("", "copy t from stdin", "", "the client's data"),
        ("", "copy (select 1) to stdout", "", "likewise"),
        (
            "",
            "copy (delete from t returning *) to stdout",
            "write-without-where",
            "a write inside of COPY",
        ),
    ]);
}

#[test]
fn queries_that_cost() {
    let many = |elements: usize| {
        let list = vec!["1"; elements].join(",");
        format!("select a from t where a in ({list})")
    };
    check_found(&[
        ("", "select count(*) from t", "unbounded-count", "every row"),
        ("", "select count(*) as \"__count\" from \"t\"", "unbounded-count", "as Django counts"),
        ("", "select count(*) from t where a = 1", "", "with a condition"),
        ("", "select count(*) from (select 1 from t limit 100) x", "", "bounded"),
        ("", "select count(*), a from t group by a", "", "by groups"),
        ("begin | create table t (a int)", "select count(*) from t", "", "a new table"),
        ("", "select a from t limit 10 offset 10001", "large-offset", "too far"),
        ("", "select a from t offset 20000 limit 10", "large-offset", "the other order"),
        (
            "",
            "select a from t where b offset 10_001 rows",
            "large-offset",
            "with an underscore and ROWS",
        ),
        ("", "select a from t limit 10 offset 10000", "", "just so"),
        ("", "select a from t limit 10 offset $1", "", "the Bind value says"),
        ("", &many(1_001), "big-in-list", "too many"),
        ("", &many(1_000), "", "just so"),
        ("", "select a from t where a in (select b from u)", "", "a query"),
    ]);
}

#[test]
fn selects_of_whole_tables() {
    let rule = "select-without-limit";
    check_found(&[
        ("", "select * from t", rule, "every row"),
        (
            "",
            "SELECT t.a, u.b FROM only s.t LEFT JOIN u ON (t.id = u.t_id) ORDER BY 1",
            rule,
            "a join",
        ),
        ("", "table t", rule, "the same in short"),
        ("", "with x as (select 1) select a from t, x y", "", "a query beside it may be small"),
        ("", "with x as (select b from u where c) select a from t", rule, "behind WITH"),
        ("", "select a from t where 1 = 1", rule, "a condition that is none"),
        ("", "select a from t where true order by a limit all", rule, "a limit that is none"),
        ("", "select a from t offset 5", rule, "all but five"),
        ("", "select a from t for update", rule, "all of them locked"),
        ("", "select a, (select max(b) from u) from t", rule, "an aggregate of another query"),
        ("", "select a, sum(b) filter (where c) over (order by d) from t", rule, "a window"),
        ("", "select a as limit, t.fetch from t", rule, "names"),
        ("", "select a is distinct from b from t", rule, "another FROM"),
        ("", "prepare p as select a from t", rule, "each EXECUTE of it"),
        ("", "begin; select a from t", rule, "in a string"),
        (
            "",
            "delete from t; select a from u",
            "write-without-where select-without-limit",
            "in their order",
        ),
        ("", "select a from t where b = 1", "", "with a condition"),
        ("", "select a from t limit 5", "", "with a limit"),
        ("", "select a from t fetch first row only", "", "as the standard says it"),
        ("", "(select a from t)", "", "what is in parentheses is not read"),
        ("", "select a from t union select b from u", "", "nor are sets"),
        ("", "select distinct a from t", "", "perhaps a few"),
        ("", "select a from t group by a", "", "likewise"),
        ("", "select max(a), coalesce(sum(b), 0) from t", "", "one row"),
        ("", "select pg_catalog.\"count\"(a) from t", "", "one row"),
        ("", "select a from t tablesample system (1)", "", "a sample"),
        ("", "select a from f(1)", "", "a function"),
        (
            "",
            "select a from t join (u join (select 1) x on true) on true",
            "",
            "a query deeper down",
        ),
        (
            "",
            "prepare p (int) as select count(*) from t left join u on (t.a = u.b and exists (select 1 from x where $1 = x.a))",
            "",
            "one row",
        ),
        ("", "select a from rows from (f(1))", "", "functions"),
        ("", "select a from (select 1) x", "", "a query"),
        ("", "select a from t join unnest($1) u (id) on t.id = u.id", "", "rows that are listed"),
        ("", "select a from t join (values (1)) v (b) on a = b", "", "likewise"),
        ("", "with t as (select 1) select * from t", "", "a query's name"),
        ("", "select * from pg_class", "", "a catalog"),
        ("", "select * from information_schema.tables", "", "a catalog"),
        ("", "select 1", "", "no table"),
        ("", "select a into x from t", "", "no row is sent"),
        ("", "create table x as select a from t", "", "likewise"),
        ("", "insert into x select a from t", "", "likewise"),
        ("", "explain analyze select a from t", "", "likewise"),
        ("", "copy (select a from t) to stdout", "", "who exports wants all"),
        ("", "declare c cursor for select a from t", "", "fetched in pieces"),
        ("", "do $$ begin perform a from t; end $$", "", "in code"),
        ("begin | create table t (a int)", "select * from t", "", "a new table"),
        ("create temp table t (a int)", "select * from t", "", "the session's own"),
        ("", "create table t (a int); select * from t", "", "new in the string"),
        ("", "rollback; select a from t", rule, "behind what was undone"),
    ]);
}

#[test]
fn columns_that_are_assigned_twice() {
    let rule = "duplicate-column-assignment";
    check_found(&[
        ("", "update t set a = 1, b = 2, a = 3 where c", rule, "twice"),
        ("", "UPDATE only s.t AS x SET A = (1, 2), \"a\" = 3 WHERE c", rule, "folded"),
        ("", "update t x set u&\"!0061\" uescape '!' = 1, a = 2 where c", rule, "escaped"),
        ("", "update t set (a, b) = (1, 2), b = 3 where c", rule, "in a row"),
        ("", "update t set (a, b, a) = (select 1, 2, 3) where c", rule, "in one row"),
        ("", "update t set a = 1, a[1] = 2 where c", rule, "the whole and an element"),
        ("", "update t set a.x = 1, a = 2 where c", rule, "a field and the whole"),
        ("", "update t set a = case when b then 1 else 2 end, a = 2 where c", rule, "behind CASE"),
        ("", "update t set a = b is distinct from c, a = 2 where c", rule, "behind another FROM"),
        ("", "insert into t (a, b, A) values (1, 2, 3)", rule, "in INSERT"),
        ("", "insert into s.t as x (a, a) select 1, 2", rule, "from a query"),
        (
            "",
            "insert into t values (1) on conflict (a) do update set b = 1, b = 2",
            rule,
            "on conflict",
        ),
        (
            "",
            "merge into t using s on t.a = s.a when matched then update set b = 1, b = 2 \
             when not matched then insert (a) values (1)",
            rule,
            "in MERGE",
        ),
        (
            "",
            "merge into t using s on t.a = s.a when not matched then insert (a, a) values (1, 2)",
            rule,
            "in MERGE's INSERT",
        ),
        (
            "",
            "with x as (insert into t (a, a) values (1, 2) returning a) select a from x",
            rule,
            "in WITH",
        ),
        ("", "with x as (select 1) update t set a = 1, a = 2 where c", rule, "behind WITH"),
        ("", "prepare p as update t set a = 1, a = 2 where c", rule, "prepared"),
        ("", "do $$ begin update t set a = 1, a = 2 where c; end $$", rule, "in code"),
        (
            "",
            "create function f() returns void language plpgsql as 'begin update t set a = 1, a = 2 where c; end'",
            rule,
            "in a function",
        ),
        ("", "update t set a = 1, \"A\" = 2 where c", "", "two names"),
        ("", "update t set a[1] = 1, a[2] = 2 where c", "", "two elements"),
        ("", "update t set a.x = 1, a.y = 2 where c", "", "two fields"),
        ("", "insert into t (a[1], a[2]) values (1, 2)", "", "two elements"),
        ("", "update t set a = f(b, b), b = array[a, a] where (a, a) = (1, 1)", "", "values"),
        ("", "update t set a = 1 from u where a = 2 returning a, a", "", "other lists"),
        ("", "insert into t select a, a from u where b", "", "no list of columns"),
        ("", "insert into t (select a, a from u where b)", "", "a query in parentheses"),
        ("", "insert into t (values (1), (1))", "", "values in parentheses"),
        ("", "insert into t (a) values (1), (1) on conflict (a) do nothing", "", "rows"),
        ("", "select a for update from t where b", "", "no UPDATE"),
        (
            "",
            "merge into t using s on t.a = s.a when matched and b then update set c = 1 \
             when matched then update set c = 2",
            "",
            "one of two",
        ),
    ]);
}

#[test]
fn policies_without_these_rules_look_at_no_ordinary_text() {
    for (policy, closely) in [
        (BuiltinPolicy::Strict, true),
        (BuiltinPolicy::Default, false),
        (BuiltinPolicy::Observe, false),
        (BuiltinPolicy::Restore, false),
        (BuiltinPolicy::Off, false),
    ] {
        assert_eq!(looks_closely(&GuardPolicy::builtin(policy)), closely, "{policy:?}");
    }
    let mut session = Session::new(BuiltinPolicy::Default);
    assert!(session.judge("select * from t").findings.is_empty());
    session.policy.rules.insert("select-without-limit", Action::Reject);
    let judgement = session.judge("select * from t; update t set a = 1, a = 2 where b");
    let refusal = judgement.refusal().expect("a whole table");
    assert_eq!(refusal.message, "SELECT without WHERE or LIMIT sends every row of \"t\"");
    assert_eq!(judgement.findings.len(), 1);
}

#[test]
fn an_offset_that_is_bound() {
    let session = Session::new(BuiltinPolicy::Strict);
    let text = b"select a from t limit $1 offset $2";
    let commands = commands(text, session.options);
    assert_eq!(super::super::offset_parameters(&commands).collect::<Vec<_>>(), [2]);
    let found = |value| super::super::bound_offset(value, text, &session.context());
    assert_eq!(found(10_000), None);
    assert_eq!(found(10_001).map(|finding| finding.rule), Some("large-offset"));
    let off = Session::new(BuiltinPolicy::Off);
    assert_eq!(super::super::bound_offset(10_001, text, &off.context()), None);
}

#[test]
fn limits_that_a_client_lifts() {
    let limited = || {
        let mut session = Session::new(BuiltinPolicy::Strict);
        session.limits = Limits {
            statement_ms: 15_000,
            lock_ms: 2_000,
            idle_in_transaction_ms: 60_000,
            transaction_ms: 0,
        };
        session
    };
    let rule = "timeout-override";
    check_found_by(
        limited,
        &[
            ("", "set statement_timeout = 0", rule, "none"),
            ("", "set statement_timeout to '1min'", rule, "more"),
            ("", "set local statement_timeout = '16s'", rule, "for a transaction"),
            ("", "set statement_timeout = '15s'", "", "as much"),
            ("", "set statement_timeout = 1000", "", "less"),
            ("", "set statement_timeout to default", "", "the role's own"),
            ("", "reset statement_timeout", "", "likewise"),
            ("", "set \"Statement_Timeout\" = 0", rule, "parameters have no case"),
            ("", "set statement_timeout = 0x0", rule, "a spelling that is not read"),
            ("", "select set_config('statement_timeout', '0', false)", rule, "by a function"),
            ("", "select set_config('statement_timeout', '1s', false)", "", "less, by a function"),
            ("", "set lock_timeout = '5s'", rule, "another limit"),
            ("", "set idle_in_transaction_session_timeout = 0", rule, "another one"),
            ("", "set transaction_timeout = 0", "", "where there is no limit, none is lifted"),
            ("", "alter role x set statement_timeout = 0", rule, "for later sessions"),
            ("", "alter database d set statement_timeout = '1h'", rule, "of everybody"),
            ("", "alter system set statement_timeout = 0", rule, "of the whole server"),
            ("", "alter role x reset statement_timeout", "", "back to the server's"),
            ("", "set work_mem = '1GB'", "", "no limit of time"),
            ("", "show statement_timeout", "", "it only reads"),
            ("", "do $$ begin set statement_timeout = 0; end $$", rule, "in code"),
        ],
    );
    check_found(&[("", "set statement_timeout = 0", "", "a role without limits lifts none")]);
}

#[test]
fn encodings() {
    let rule = "unsafe-client-encoding";
    check_found(&[
        ("", "set client_encoding = 'SJIS'", rule, "a second byte may be a backslash"),
        ("", "set client_encoding to big5", rule, "a word"),
        ("", "set names 'gbk'", rule, "another form"),
        ("", "select set_config('client_encoding', 'JOHAB', false)", rule, "by a function"),
        ("", "set client_encoding = 'Shift_JIS_2004'", rule, "with its signs"),
        ("", "set client_encoding = 'UTF8'", "", "every byte is what it looks like"),
        ("", "set client_encoding = 'latin1'", "", "likewise"),
        ("", "set client_encoding = 'EUC_JP'", "", "high bytes only"),
        ("", "set names", "", "the server's own"),
    ]);
    let sjis = || {
        let mut session = Session::new(BuiltinPolicy::Strict);
        session.options.encoding = crate::sql::Encoding::Sjis;
        session
    };
    check_found_by(
        sjis,
        &[
            ("", "create table \u{8868} (a int)", rule, "DDL with bytes that could be misread"),
            ("", "create table t (a int)", "", "nothing in it could"),
            ("", "update t set a = '\u{8868}' where b = 1", "", "no DDL"),
        ],
    );
}

#[test]
fn what_other_policies_say() {
    let judged = |policy, text: &str| {
        let judgement = Session::new(policy).judge(text);
        (judgement.action(), rules(&judgement, Action::Log))
    };
    let create = "create index i on t (a)";
    let rule = "index-create-blocking".to_owned();
    assert_eq!(judged(BuiltinPolicy::Strict, create), (Action::Reject, rule.clone()));
    assert_eq!(judged(BuiltinPolicy::Default, create), (Action::Reject, rule.clone()));
    assert_eq!(judged(BuiltinPolicy::Observe, create), (Action::Log, rule));
    assert_eq!(judged(BuiltinPolicy::Restore, create), (Action::Off, String::new()));
    assert_eq!(judged(BuiltinPolicy::Off, create), (Action::Off, String::new()));
    for text in ["create or replace index i on t (a)", "drop table t", "call p()"] {
        assert_eq!(judged(BuiltinPolicy::Off, text).0, Action::Off, "{text}");
        assert!(judged(BuiltinPolicy::Observe, text).0 <= Action::Log, "{text}");
        assert_eq!(judged(BuiltinPolicy::Restore, text).0, Action::Off, "{text}");
    }
    assert_eq!(judged(BuiltinPolicy::Default, "drop table t").0, Action::Warn);
    assert_eq!(judged(BuiltinPolicy::Restore, "drop database d").0, Action::Warn);
    assert_eq!(judged(BuiltinPolicy::Default, "alter table t add unique (a)").0, Action::Warn);
}
