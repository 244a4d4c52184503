//! Code: what is certain, what is opaque, what looks like a statement and is none.

use super::super::commands::{Command, CreateRoutine, Opaque, OpaqueReason, Place};
use super::super::{Action, LexOptions, Target, commands};

/// The commands of `text` by their kinds, `?` behind those that are not certain to run, `~` behind those put together.
fn kinds(text: &str) -> String {
    let found = commands(text.as_bytes(), LexOptions::default());
    let words = found.found().iter().map(|found| {
        let kind = match &found.command {
            Command::Opaque(Opaque { reason, names_index_ddl }) => {
                let reason = match reason {
                    OpaqueReason::Execute => "execute".to_owned(),
                    OpaqueReason::Language(name) => format!("language {name:?}").replace('"', ""),
                    OpaqueReason::TooDeep => "deep".to_owned(),
                };
                format!("opaque {reason}{}", if *names_index_ddl { " index" } else { "" })
            }
            Command::CreateRoutine(CreateRoutine { ddl, index_ddl, opaque, .. }) => {
                let flags = [(*ddl, " ddl"), (*index_ddl, " index"), (*opaque, " opaque")];
                let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name);
                format!("routine{}", flags.collect::<String>())
            }
            other => {
                let printed = format!("{other:?}");
                printed.split(['(', ' ']).next().unwrap_or_default().to_owned()
            }
        };
        let mark = match found.place {
            Place::Plain | Place::Element | Place::Prepared => "!",
            Place::Code { certain: true } => "",
            Place::Code { certain: false } => "?",
            Place::Assembled => "~",
        };
        kind + mark
    });
    words.collect::<Vec<_>>().join(", ")
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&kinds(text), expected, "{text}");
    }
}

#[test]
fn what_is_certain_to_run() {
    check(&[
        ("do $$ begin create table t (a int); drop table t; end $$", "CreateTable, Drop"),
        ("do $$ begin if a then drop table t; end if; drop table u; end $$", "Drop?, Drop"),
        (
            "do $$ begin for i in 1..2 loop drop table t; end loop; drop table u; end $$",
            "Drop?, Drop",
        ),
        ("do $$ begin while a loop loop drop table t; end loop; end loop; end $$", "Drop?"),
        (
            "do $$ begin case a when 1 then drop table t; else drop table u; end case; end $$",
            "Drop?, Drop?",
        ),
        ("do $$ begin if a then return; end if; drop table t; end $$", "Drop?"),
        (
            "do $$ begin drop table t; exception when others then drop table u; end $$",
            "Drop?, Drop?",
        ),
        (
            "do $$ begin loop exit when a; drop table t; end loop; drop table u; end $$",
            "Drop?, Drop?",
        ),
        ("do $$ begin begin drop table t; end; end $$", "Drop"),
        ("do $$ <<l>> begin if a then null; elsif b then drop table t; end if; end $$", "Drop?"),
        ("do $$ begin create table t (a int); rollback; end $$", "CreateTable, Transaction"),
        ("do $$ begin execute 'do ''begin if a then drop table t; end if; end'''; end $$", "Drop?"),
    ]);
}

#[test]
fn what_is_opaque() {
    check(&[
        ("do $$ begin execute a; end $$", "opaque execute"),
        ("do $$ begin execute 'drop table ' || a; end $$", "Drop~, opaque execute"),
        ("do $$ begin execute 'drop index ' || a; end $$", "DropIndex~, opaque execute index"),
        ("do $$ begin execute 'analyze t' using a; end $$", "Analyze"),
        ("do $$ begin execute 'select 1' into a; end $$", ""),
        ("do $$ begin return query execute a; end $$", "opaque execute?"),
        ("do $$ begin open c for execute a; end $$", "opaque execute"),
        (
            "do $$ declare a text := 'drop ' || 'index i'; begin execute a; end $$",
            "opaque execute index, Drop~",
        ),
        (
            "do $$ begin a := 'create index i on t (a)'; execute a; end $$",
            "opaque execute index, CreateIndex~",
        ),
        ("do $$ begin a := 'create index i on t (a)'; end $$", ""),
        (
            "do $$ begin execute format('alter table %I add unique (a)', a); end $$",
            "AlterTable~, opaque execute",
        ),
        ("do language sql 'drop table t; select 1'", "Drop"),
        ("do language plperl 'x'", "opaque language plperl!"),
        (
            "do language plperl 'REINDEX; create unique index'",
            "opaque language plperl index!, CreateIndex~, Reindex~",
        ),
        ("do language \"PlPgSQL\" 'x'", "opaque language PlPgSQL!"),
        ("call p(1)", "Call!"),
    ]);
}

#[test]
fn what_is_no_statement() {
    check(&[
        ("do $$ declare lock int; comment text := 'x'; update int; begin null; end $$", ""),
        ("do $$ begin comment := 'drop index i'; lock = 1; set.a := 2; copy[1] := 3; end $$", ""),
        ("do $$ begin raise exception 'drop table t'; end $$", ""),
        ("do $$ begin select a into b from c; insert into t values (1); end $$", ""),
        ("do $$ begin /* drop table t; */ -- ; drop table t;\n null; end $$", ""),
        ("do $$ begin perform 'drop table t'; end $$", ""),
        ("do $$ begin grant execute on function f to r; end $$", "OtherDdl"),
        ("do $$ begin create trigger x after insert on t execute function f(); end $$", "OtherDdl"),
    ]);
}

#[test]
fn queries_in_code() {
    check(&[
        ("do $$ begin delete from t; perform pg_advisory_lock(1); end $$", "Write, AdvisoryLock"),
        ("do $$ begin delete from t where a = 1; end $$", ""),
    ]);
}

#[test]
fn routines_are_looked_into() {
    check(&[
        ("create function f() returns int language sql as 'select 1'", "routine!"),
        ("create function f() returns int return 1", "routine!"),
        ("create function f() returns int begin atomic select 1; end", "routine!"),
        ("create function f() returns int as 'x', 'drop index i' language c", "routine!"),
        (
            "create or replace procedure p() language plpgsql as $$ begin drop table t; end $$",
            "routine ddl!",
        ),
        (
            "create function f() returns void as 'create index i on t (a)' language sql",
            "routine ddl index!",
        ),
        (
            "create function f() returns void as 'begin execute a; end' language plpgsql",
            "routine opaque!",
        ),
        (
            "create function f(a text default 'drop table t') returns void language sql as ''",
            "routine!",
        ),
    ]);
}

#[test]
fn code_inside_code_ends_somewhere() {
    let mut text = "drop index i".to_owned();
    for _ in 0..8 {
        text = format!("do '{}'", format!("begin {text}; end").replace('\'', "''"));
    }
    assert_eq!(kinds(&text), "opaque deep index");
}

#[test]
fn parameters_in_code_can_be_read_without_its_text() {
    let text = "do $$ begin set statement_timeout = '5s'; end $$";
    let found = commands(text.as_bytes(), LexOptions::default());
    let Some(Command::Parameter(used)) = found.found().first().map(|found| &found.command) else {
        panic!("{found:?}");
    };
    assert!(matches!(&used.target, Target::Named(name) if *name == *"statement_timeout"));
    assert_eq!(used.action, Action::Value(b"5s"[..].into()));
}

#[test]
fn commands_too_many_to_keep_are_told_by_their_heads() {
    let many = "drop table t;".repeat(2_000);
    let found = commands(many.as_bytes(), LexOptions::default());
    assert!(found.found().len() == 2_000 && !found.beyond().any);
    let more = format!("{many} create index i on t (a); drop index concurrently i");
    let beyond = commands(more.as_bytes(), LexOptions::default()).beyond();
    assert!(beyond.any && beyond.creates_index && !beyond.drops_index && !beyond.reindexes);
    let block = format!("do $$ begin {many} reindex table t; end $$");
    assert!(commands(block.as_bytes(), LexOptions::default()).beyond().reindexes);
}

#[test]
fn long_lists_say_that_they_are_not_complete() {
    let names = vec!["t"; 1_001].join(", ");
    let text = format!("drop table {names}");
    let found = commands(text.as_bytes(), LexOptions::default());
    let Some(Command::Drop(drop)) = found.found().first().map(|found| &found.command) else {
        panic!("{found:?}");
    };
    assert!(drop.names.names.len() == 1_000 && !drop.names.complete);
}
