//! DO blocks.

use super::{check, effects_of};

#[test]
fn code_is_looked_into() {
    check(&[
        ("do $$ begin perform 1; end $$", "CODE"),
        ("do language plpgsql 'begin set x = ''1''; end'", "SET_UNTRACKED CODE"),
        ("do E'begin\\nset\\x20local x = 1; end' language 'plpgsql'", "SET_LOCAL CODE"),
        ("do $$ begin if a then reset x; end if; end $$", "SET_UNTRACKED CODE"),
        ("do $$ begin create temp table t (a int); end $$", "TEMP DDL CODE"),
        ("do $$ begin create table pg_temp.t (a int); end $$", "TEMP DDL CODE"),
        ("do $$ begin perform pg_advisory_lock(1); end $$", "ADVISORY_LOCK CODE"),
        ("do $$ begin perform set_config('a', 'b', true); end $$", "SET_LOCAL CODE"),
        ("do $$ begin perform set_config('a', 'b', false); end $$", "SET_UNTRACKED CODE"),
        ("do $$ begin listen c; prepare p as select 1; end $$", "PREPARE LISTEN CODE MAYBE"),
        ("do $$ begin commit; end $$", "TRANSACTION CODE NO_BLOCK"),
        ("do $$ declare r record; begin select 1 into r; update t set a = 1; end $$", "CODE"),
        ("do $$ begin execute 'set x = 1'; end $$", "SET_UNTRACKED CODE"),
        ("do $$ begin execute 'create temp ' || x; end $$", "TEMP DDL CODE OPAQUE"),
        (
            "do $$ begin execute format('create index %I on t (a)', n) using a; end $$",
            "DDL CODE OPAQUE",
        ),
        ("do $$ begin execute x; end $$", "CODE OPAQUE"),
        ("do language plpython3u $$ x $$", "CODE OPAQUE NO_BLOCK"),
        ("do $$ begin do 'begin load ''x''; end'; end $$", "LOAD CODE"),
        ("do language plpgsql", ""),
        ("do", "UNKNOWN"),
        ("do x", "UNKNOWN"),
    ]);
}

#[test]
fn depth_is_bounded() {
    let mut text = "select setseed(1)".to_owned();
    for _ in 0..3 {
        text = format!("do 'begin execute ''{}''; end'", text.replace('\'', "''''"));
    }
    assert!(effects_of(&text).contains("UNKNOWN"), "{}", effects_of(&text));
    let mut text = "begin load 'x'; end".to_owned();
    for _ in 0..12 {
        text = format!("begin do '{}'; end", text.replace('\'', "''"));
    }
    assert!(effects_of(&format!("do '{}'", text.replace('\'', "''"))).contains("UNKNOWN"));
}
