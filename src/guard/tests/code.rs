//! Code in a text: DO blocks in PL/pgSQL and other languages, routines, prepared statements.

use super::*;

#[test]
fn index_ddl_in_code_is_index_ddl() {
    check_refused(&[
        ("", "do $$ begin create index i on t (a); end $$", "create", "static SQL"),
        ("", "do 'begin drop index i; end'", "drop", "a plain literal"),
        ("", "do E'begin\\ndrop index i;\\nend'", "drop", "a literal with escapes"),
        ("", "do U&'begin drop \\0069ndex i; end'", "drop", "one with other escapes"),
        ("", "do 'begin drop '\n'index i; end'", "drop", "one that goes on behind a newline"),
        (
            "",
            "do language plpgsql $$ begin reindex table t; end $$",
            "reindex",
            "the language first",
        ),
        (
            "",
            "do $$ begin reindex table t; end $$ language plpgsql",
            "reindex",
            "the language last",
        ),
        ("", "DO $x$ BEGIN CREATE UNIQUE INDEX i ON t (a); END $x$", "create", "another tag"),
        (
            "",
            "do $$ begin if not exists (select 1 from pg_class where relname = 'i') then create index i on t (a); end if; end $$",
            "create",
            "what makes migrations repeatable makes nothing safe",
        ),
        (
            "",
            "do $$ begin begin drop index i; exception when others then null; end; end $$",
            "drop",
            "it may be undone, and blocks until then",
        ),
        (
            "",
            "do $$ begin for r in select 1 loop drop index i; end loop; end $$",
            "drop",
            "in a loop",
        ),
        (
            "",
            "do $$ declare x int; begin execute 'create index i on t (a)'; end $$",
            "create",
            "EXECUTE of a literal",
        ),
        ("", "do $$ begin execute $q$drop index i$q$; end $$", "drop", "dollars in dollars"),
        (
            "",
            "do $$ begin execute 'drop index if exists ' || quote_ident(n); end $$",
            "drop",
            "put together",
        ),
        (
            "",
            "do $$ begin execute format('create index %I on %I (a)', n, t); end $$",
            "create",
            "by format",
        ),
        (
            "",
            "do $$ begin execute format('create index on %s (a)', 't'); end $$",
            "create",
            "whatever the parts are",
        ),
        (
            "",
            "do $$ begin execute 'create ' || 'unique ' || 'index i on t (a)'; end $$",
            "create",
            "from pieces",
        ),
        (
            "",
            "do $$ begin execute concat('reindex table ', t); end $$",
            "reindex",
            "by another function",
        ),
        (
            "",
            "do $$ declare q text := 'drop index i'; begin execute q; end $$",
            "drop",
            "by way of a variable",
        ),
        (
            "",
            "do $$ declare q text; begin q := 'create index i on t (a)'; execute q; end $$",
            "create",
            "assigned later",
        ),
        (
            "",
            "do $$ begin perform 1; execute 'select 1; drop index i'; end $$",
            "drop",
            "the second statement of a literal",
        ),
        (
            "",
            "do $$ begin execute 'do ''begin drop index i; end'''; end $$",
            "drop",
            "code in code",
        ),
        (
            "",
            "do $$ begin for r in execute 'create index i on t (a)' loop null; end loop; end $$",
            "create",
            "EXECUTE of a loop",
        ),
        (
            "",
            "do language plpython3u $$ plpy.execute('create index i on t (a)') $$",
            "create",
            "another language, by its words",
        ),
        ("", "do language plperl $$ spi_exec_query(q(DROP INDEX i)) $$", "drop", "another one"),
        (
            "",
            "do $$ begin create temp table x (a int); create index i on t (a); end $$",
            "create",
            "the other table",
        ),
        (
            "",
            "do $$ begin create table if not exists t (a int); create index i on t (a); end $$",
            "create",
            "it may have been there",
        ),
        (
            "",
            "do $$ begin if x then create table t (a int); end if; create index i on t (a); end $$",
            "create",
            "the table may not be made",
        ),
        ("", "do $$ << l >> begin drop index i; end $$", "drop", "behind a label"),
        ("", "do $$ begin /* x */ drop index i; end $$", "drop", "behind a comment"),
        ("", "do $$ begin -- x\n drop index i; end $$", "drop", "behind a line comment"),
        (
            "begin | do $$ begin alter table t rename to u; alter table live rename to t; end $$",
            "create index i on t (a)",
            "create",
            "names swapped in code",
        ),
        (
            "begin | create table t (a int) | do $$ begin drop table t; end $$",
            "create index i on t (a)",
            "create",
            "dropped in code",
        ),
        (
            "begin | create table t (a int) | do $$ begin if x then drop table t; end if; end $$",
            "create index i on t (a)",
            "create",
            "perhaps",
        ),
        (
            "begin | create table t (a int) | do $$ begin execute format('alter table %I rename to t', x); end $$",
            "create index i on t (a)",
            "create",
            "renamed under a name put together",
        ),
        (
            "create temp table t (a int) | do $$ begin drop table t; end $$",
            "create index i on t (a)",
            "create",
            "a temporary one",
        ),
        (
            "",
            "create table t (a int); do $$ begin commit; end $$; create index i on t (a)",
            "create",
            "code may commit",
        ),
        (
            "begin | do $$ begin if x then create table t (a int); end if; end $$",
            "create index i on t (a)",
            "create",
            "made perhaps",
        ),
    ]);
}

#[test]
fn code_without_index_ddl_on_live_tables_runs() {
    check_refused(&[
        ("", "do $$ begin raise notice 'drop index i'; end $$", "", "it only says so"),
        ("", "do $$ begin null; end $$", "", "nothing"),
        (
            "",
            "do $$ begin create type mood as enum ('x'); exception when duplicate_object then null; end $$",
            "",
            "what migrations have DO for",
        ),
        (
            "",
            "do $$ begin if not exists (select 1 from pg_roles where rolname = 'x') then create role x; end if; end $$",
            "",
            "likewise",
        ),
        (
            "",
            "do $$ begin create table t (a int); create index i on t (a); end $$",
            "",
            "both in the block",
        ),
        (
            "",
            "do $$ begin create temp table x (a int); create index on x (a); end $$",
            "",
            "a temporary one",
        ),
        (
            "begin | do $$ begin create table t (a int); end $$",
            "create index i on t (a)",
            "",
            "made by the block",
        ),
        (
            "begin | create table t (a int) | do $$ begin perform setval('s', 1); end $$",
            "create index i on t (a)",
            "",
            "code between",
        ),
        (
            "begin | create table t (a int) | do $$ begin execute 'select 1'; end $$",
            "create index i on t (a)",
            "",
            "with EXECUTE of what is known",
        ),
        (
            "begin | create table t (a int)",
            "do $$ begin create index i on t (a); end $$",
            "",
            "a table of before the block",
        ),
        (
            "",
            "do $$ begin for n in 1..9 loop execute format('create table m_%s partition of m for values in (%s)', n, n); execute format('create index on m_%s (a)', n); end loop; end $$",
            "",
            "new partitions with their indexes: told of as opaque",
        ),
        (
            "",
            "do $$ begin execute 'grant select on ' || t || ' to x'; end $$",
            "",
            "dynamic SQL without index DDL",
        ),
        (
            "",
            "create function f() returns void language plpgsql as $$ begin drop index i; end $$",
            "",
            "nothing runs now",
        ),
        ("", "create procedure p() language sql as 'select 1'", "", "nor here"),
        (
            "",
            "create function f() returns trigger language plpgsql as $$ begin return new; end $$",
            "",
            "a trigger's",
        ),
        ("", "prepare q as select 'drop index i'", "", "a literal of a query"),
        ("", "do $$ declare index int; begin index := 1; end $$", "", "a variable of that name"),
        ("", "do $$ begin /* drop index i; */ null; end $$", "", "in a comment of the body"),
        (
            "",
            "do $$ begin insert into log values ('create index i on t (a)'); end $$",
            "",
            "a literal that is not run",
        ),
    ]);
}

#[test]
fn code_that_cannot_be_read_is_told_of() {
    check_found(&[
        ("", "do $$ begin execute q; end $$", "opaque-code", "EXECUTE of a variable"),
        ("", "do language plpython3u $$ pass $$", "opaque-code", "another language"),
        (
            "",
            "do language plpython3u $$ plpy.execute('drop ' + 'index i') $$",
            "opaque-code index-drop-blocking",
            "its words, whatever stands between them",
        ),
        ("", "call p(1)", "opaque-code", "a procedure"),
        (
            "",
            "create function f() returns void language plpgsql as $$ begin create index i on t (a); end $$",
            "opaque-code",
            "DDL wherever it is called",
        ),
        (
            "",
            "create function f() returns void language plpgsql as $$ begin alter table t add b int; end $$",
            "opaque-code",
            "any DDL",
        ),
        (
            "",
            "create function f() returns int language sql as 'select 1'",
            "",
            "nothing of the kind",
        ),
        (
            "",
            "create function f() returns int language c as 'x', 'create index'",
            "",
            "a symbol of a library",
        ),
        ("", "do $$ begin perform f(); end $$", "", "functions are called everywhere"),
    ]);
    let mut nested = "drop index i".to_owned();
    for _ in 0..8 {
        nested = format!("do '{}'", format!("begin {nested}; end").replace('\'', "''"));
    }
    let judged = Session::new(BuiltinPolicy::Default).judge(&nested);
    assert_eq!(
        judged.action(),
        Action::Reject,
        "deeper than is read is no way past the index rules"
    );
}
