//! What queries hold that a rule asks for, and that the words which tell ordinary texts apart miss none of it.

use super::super::commands::{Command, Condition, Offset, Place, WriteVerb, is_ordinary};
use super::super::{LexOptions, commands, plain};

/// The findings of `text`, each in a few words.
fn found(text: &str) -> String {
    let found = commands(text.as_bytes(), LexOptions::default());
    let words = found.found().iter().map(|found| {
        let place = match found.place {
            Place::Plain => "",
            Place::Prepared => "prepared ",
            Place::Element | Place::Code { .. } | Place::Assembled => "code ",
        };
        let what = match &found.command {
            Command::Write(write) => format!(
                "{} {} {}",
                match write.condition {
                    Condition::Missing => "whole",
                    Condition::AlwaysTrue => "always",
                },
                match write.verb {
                    WriteVerb::Update => "update",
                    WriteVerb::Delete => "delete",
                    WriteVerb::Merge => "merge",
                },
                write.table.as_ref().map_or_else(|| "?".to_owned(), |table| format!("{table:?}"))
            ),
            Command::UnboundedCount { table } => {
                let table = table.as_ref();
                format!("count {}", table.map_or_else(|| "?".to_owned(), |t| format!("{t:?}")))
            }
            Command::Offset(Offset::Literal(rows)) => format!("offset {rows}"),
            Command::Offset(Offset::Param(number)) => format!("offset ${number}"),
            Command::InList { elements } => format!("in {elements}"),
            Command::AdvisoryLock => "advisory".to_owned(),
            Command::CreateTable(table) => format!("into {:?}", table.name),
            Command::Parameter(used) => format!("set {:?}", used.target),
            Command::ServerSideCopy { program } => {
                if *program { "program" } else { "file" }.to_owned()
            }
            Command::Unknown { names_index_ddl } => format!("unknown {names_index_ddl}"),
            other => format!("{other:?}"),
        };
        format!("{place}{what}").replace('"', "")
    });
    words.collect::<Vec<_>>().join(", ")
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&found(text), expected, "{text}");
    }
}

#[test]
fn writes_whose_condition_keeps_no_row_out() {
    check(&[
        ("delete from t", "whole delete t"),
        ("DELETE FROM ONLY s.t *", "whole delete s.t"),
        ("delete from t using u returning *", "whole delete t"),
        ("update t set a = 1", "whole update t"),
        ("update t as x set a = (select 1 from u where b)", "whole update t"),
        ("update t set a = array[1] from u", "whole update t"),
        ("with x as (delete from t returning *) select * from x", "whole delete t"),
        ("with x as (update t set a = 1 where b) delete from u", "whole delete u"),
        ("with x as (delete from t) update u set a = 1 where b", "whole delete t"),
        (
            "delete from t; update u set a = 1 where b; delete from v",
            "whole delete t, whole delete v",
        ),
        ("explain analyze delete from t", "whole delete t"),
        ("explain delete from t", ""),
        ("prepare p as delete from t", "prepared whole delete t"),
        ("copy (delete from t returning *) to stdout", "whole delete t"),
        ("delete from t where true", "always delete t"),
        ("delete from t where (1 = 1)", "always delete t"),
        ("delete from t where a = 1 or true", "always delete t"),
        ("delete from t where 1 = 1 or a = $1", "always delete t"),
        ("delete from t where 't'::bool", "always delete t"),
        ("update t set a = 1 where not false returning a", "always update t"),
        ("update t set a = 1 where 1 <> 0", "always update t"),
        ("merge into t using s on true when matched then delete", "always merge t"),
        ("merge into t using s on 1=1 when matched and x then update set a = 1", "always merge t"),
        ("delete from t where false", ""),
        ("delete from t where 1 = 0", ""),
        ("delete from t where null", ""),
        ("delete from t where a", ""),
        ("delete from t where (a = 1) or (b = 2 or b = 3)", ""),
        ("delete from t where $1", ""),
        ("delete from t where exists (select 1 from u)", ""),
        ("delete from t where current of c", ""),
        ("delete from t where 1 = 1 and a = 5", ""),
        ("update t set a = case when b then 1 end where c is not null", ""),
        ("merge into t using s on true when not matched then insert values (1)", ""),
        ("merge into t using s on t.a = s.a when matched then delete", ""),
        ("select a from t for update", ""),
        ("select a from t for no key update of t", ""),
        ("insert into t values (1) on conflict (a) do update set a = 1", ""),
        ("select 1 as delete from t", ""),
        ("select (1) delete from t", ""),
        ("select x.update from x", ""),
        ("copy delete from stdin", ""),
        ("copy update from stdin", ""),
    ]);
}

#[test]
fn queries_that_cost() {
    check(&[
        ("select count(*) from t", "count t"),
        ("SELECT COUNT(*) AS \"__count\" FROM \"shop_order\"", "count shop_order"),
        ("select count(1) n from s.t x join u on x.a = u.a", "count s.t"),
        ("select pg_catalog.count(*) from t order by 1", "count t"),
        ("select count(*) from (select 1 from t) x", "count ?"),
        ("select count(*) from t where a", ""),
        ("select count(*) from (select 1 from t limit 10) x", ""),
        ("select count(*) from t group by a", ""),
        ("select count(*), a from t", ""),
        ("select count(a) from t", ""),
        ("select count(*) from generate_series(1, 5)", ""),
        ("select count(*) from t union select 1", ""),
        ("select * from t limit 5 offset 20000", "offset 20000"),
        ("select * from t offset 20_000 rows fetch next 5 rows only", "offset 20000"),
        ("select * from t offset $2", "offset $2"),
        ("select * from t offset 99999999999999999999", "offset 18446744073709551615"),
        ("select (select 1 offset 5) as offset", "offset 5"),
        ("select * from t offset a + 1", ""),
        ("select pg_advisory_lock(1)", "advisory"),
        ("select pg_catalog.\"pg_try_advisory_lock_shared\"(1, 2)", "advisory"),
        ("select U&\"pg!005fadvisory_lock\" uescape '!' (1)", "advisory"),
        ("select pg_advisory_xact_lock(1), pg_advisory_unlock(1)", ""),
        ("select set_config('Statement_Timeout', '0', false)", "set Named(statement_timeout)"),
        ("select a into t from u", "into Some(t)"),
        ("with x as (select 1) select * into temp s.t from x", "into Some(s.t)"),
        ("select 1 as into, x.into from t", ""),
        ("select 1 as insert into t from u", "into Some(t)"),
        ("select 1 insert into t from u", "into Some(t)"),
        ("select (1) merge into t from u", "into Some(t)"),
        ("select insert into t from u", "into Some(t)"),
        ("with x as (insert into u values (1)) select 1 insert into t from x", "into Some(t)"),
        ("with x as (insert into u select 1) insert into t select 1", ""),
        ("with x as (select 1) insert into t select 1", ""),
        ("with recursive x as (select 1) search depth first by a set b insert into t select 1", ""),
        ("with x as (select 1) merge into t using u on a when not matched then do nothing", ""),
        ("insert into t select 1", ""),
        ("copy t from program 'cat'", "program"),
        ("copy (select 1) to '/tmp/x'", "file"),
        ("copy t (a) from stdin", ""),
        ("flood t", "unknown false"),
        ("create global index i on t (a)", "unknown true"),
        ("create or change unique index i on t (a)", "unknown true"),
    ]);
}

#[test]
fn long_lists() {
    let list = |count: usize| vec!["1"; count].join(", ");
    assert_eq!(found(&format!("select 1 from t where a in ({})", list(99))), "");
    assert_eq!(found(&format!("select 1 from t where a in ({})", list(100))), "in 100");
    assert_eq!(found(&format!("delete from t where a not in ({})", list(1001))), "in 1001");
    let nested = format!("select 1 where f({}) in (1, 2)", list(300));
    assert_eq!(found(&nested), "");
    assert_eq!(found(&format!("insert into t values ({})", list(2000))), "");
}

#[test]
fn ordinary_texts_need_no_second_look() {
    for text in [
        "",
        ";;",
        "select 1",
        "SELECT \"a\".\"id\" FROM \"a\" WHERE \"a\".\"id\" IN ($1, $2) LIMIT 21",
        "(select 1) union (select count(a) from t)",
        "insert into t (a) values ($1) on conflict (a) do update set a = 1 returning a",
        "update \"t\" set \"a\" = $1, b = now() where (\"t\".\"id\" = $2)",
        "update t set a = 1 where id = 5 and b in (1, 2)",
        "delete from t where id = any($1)",
        "with x as (select 1) select * from x for update skip locked",
        "values (1), (2); select 2",
    ] {
        assert!(is_ordinary(text.as_bytes(), LexOptions::default()), "{text}");
    }
    // Where the first look says so, there is no other.
    let told = |text: &str| {
        plain(text.as_bytes(), LexOptions::default()).is_some_and(|found| found.ordinary)
    };
    for text in [
        "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;",
        "UPDATE pgbench_accounts SET abalance = abalance + -7 WHERE aid = 1;",
        "INSERT INTO pgbench_history (tid, mtime) VALUES (1, CURRENT_TIMESTAMP);",
        "select \"where\", \"a\"[1] from t where (b or not c) and d in ('x', $2) order by e limit 5",
        "update t set a = array[1, 2] where ((t.b = 1 or \"c\" = 2)) returning d",
        "delete from t where id = 5; delete from u where id in (select id from t)",
        "insert into t (a) values ($1) on conflict (a) do update set a = 1 returning a",
        "with x as (select 1) select * from x for no key update skip locked",
        "(select a from t) union (select b from u) order by 1",
        "/* of a driver */ select 1",
        "with x as (select 1) insert into t (a) select 1 from x",
        "with x (a, b) as (values (1, 2)), y as (select 1) insert into t values (1)",
        "",
        ";;",
    ] {
        assert!(told(text), "{text}");
    }
    for text in [
        "update t set a = 1",
        "update t set \"where\" = 1",
        "update t \"where\" set a = 1",
        "delete from t \"where\" using u",
        "update t set a = (select 1 where b)",
        "update t set a[(1) where b] = 1",
        "delete from t where true",
        "delete from t where 1 = 1",
        "delete from t where (not a)",
        "delete from t where a or (true)",
        "delete from t; delete from t where a",
        "select 1 for \"a\" update",
        "with x as (delete from t where a) select 1",
        "select a offset 5",
        "select count(*) from t",
        "select set_config('a', 'b', true)",
        "select \"pg_advisory_lock\"(1)",
        "select a into t from u",
        "select a \"insert\" into t from u",
        "select 1 as insert into t from u",
        "select 1 insert into t from u",
        "select f(1) insert into t from u",
        "with x as (insert into u values (1)) select 1 merge into t from x",
        "select 1; select (a) insert into t from u",
        "merge into t using u on a when matched then delete",
        "select 1)",
        "select 1]",
        "table t",
        "show x",
        "select 'a",
    ] {
        assert!(!told(text), "{text}");
    }
    let list = |count: usize| format!("select a in ({})", vec!["1"; count].join(","));
    for (count, expected) in [(99, true), (100, false)] {
        assert_eq!(told(&list(count)), expected, "{count}");
    }
    for text in [
        "select 1 'a",
        "select /*",
        "show x",
        "begin",
        "delete from t",
        "select 1; drop t",
        "select 1 as insert into t",
        "select f(1) merge into t",
    ] {
        assert!(!is_ordinary(text.as_bytes(), LexOptions::default()), "{text}");
    }
}
