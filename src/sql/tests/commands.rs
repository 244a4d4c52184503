//! Commands as words: what stands in a text, in order.

use super::super::commands::{Command, CreateIndex, Found, Place};
use super::super::{LexOptions, commands};

/// Every command of `text`.
fn found(text: &str) -> Vec<Found> {
    commands(text.as_bytes(), LexOptions::default()).found().to_vec()
}

/// `create t`, `drop a b`, `reindex t` for index DDL that blocks, `… concurrently` for what does not, with the place
/// before it where that is not plain; in order. Any other command is left out.
fn index_ddl(text: &str) -> String {
    let mut words = Vec::new();
    for Found { place, command, .. } in found(text) {
        let (verb, names, concurrently) = match command {
            Command::CreateIndex(CreateIndex { table, concurrently, .. }) => {
                ("create", vec![table], concurrently)
            }
            Command::DropIndex(drop) => {
                let names = drop.indexes.names.into_iter().map(Some).collect();
                ("drop", names, drop.concurrently)
            }
            Command::Reindex(reindex) => ("reindex", vec![reindex.name], reindex.concurrently),
            _ => continue,
        };
        let place = match place {
            Place::Plain => "",
            Place::Element => "element ",
            Place::Prepared => "prepared ",
            Place::Code { certain: true } => "code ",
            Place::Code { certain: false } => "maybe ",
            Place::Assembled => "assembled ",
        };
        let name =
            |name: Option<_>| name.map_or_else(|| "?".to_owned(), |name| format!("{name:?}"));
        let names: Vec<_> = names.into_iter().map(name).collect();
        let concurrently = if concurrently { " concurrently" } else { "" };
        words.push(format!("{place}{verb} {}{concurrently}", names.join(" ").replace('"', "")));
    }
    words.join(", ")
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&index_ddl(text), expected, "{text}");
    }
}

#[test]
fn index_ddl_by_its_words() {
    check(&[
        ("create index on t (a)", "create t"),
        ("CREATE UNIQUE INDEX/**/CONCURRENTLY i ON ONLY S.\"T\" (a)", "create s.T concurrently"),
        ("create index concurrently on t (a)", "create t concurrently"),
        ("create index concurrently if not exists i on only (t) (a)", "create t concurrently"),
        ("create index \"concurrently\" on a.b.c (x)", "create a.b.c"),
        ("create index concurrentlyx on t (a)", "create t"),
        ("create index if on t (a)", "create t"),
        ("create index i on U&\"\\0074\" (a)", "create t"),
        ("create index i on U&\"!0074!0031\" uescape '!' (a)", "create t1"),
        ("create index i on t where a = 'concurrently'", "create t"),
        ("select 1; create index i on t (a); select 2", "create t"),
        ("drop index a", "drop a"),
        ("drop index if exists a, b.c cascade", "drop a b.c"),
        ("drop index concurrently a", "drop a concurrently"),
        ("drop index \"concurrently\"", "drop concurrently"),
        ("reindex table t", "reindex t"),
        ("reindex (concurrently) table s.t", "reindex s.t concurrently"),
        ("reindex (concurrently, concurrently off) table t", "reindex t"),
        ("reindex (concurrently off, \"concurrently\" 'ON') table t", "reindex t concurrently"),
        ("reindex (concurrently +0x1) table t", "reindex t concurrently"),
        ("reindex (concurrently -0) table t", "reindex t"),
        ("reindex (concurrently maybe) table t", "reindex t"),
        ("reindex (concurrently off) table concurrently t", "reindex t concurrently"),
        ("reindex (verbose) database concurrently", "reindex ? concurrently"),
        ("reindex system", "reindex ?"),
        ("explain create index i on t (a)", ""),
        ("create table t (a int); create index on t (a)", "create t"),
        (
            "create schema s create table t (a int) create index i on t (a) grant select on t to x",
            "element create t",
        ),
        (
            "create schema s create view v as select 1 as create create index i on t (a)",
            "element create t",
        ),
    ]);
}

#[test]
fn index_ddl_in_code() {
    check(&[
        ("do $$ begin create index i on t (a); end $$", "code create t"),
        ("do 'begin drop index i; end'", "code drop i"),
        ("do E'begin\\nreindex table t; end' language plpgsql", "code reindex t"),
        (
            "do $$ begin if x then create index i on t (a); end if; drop index j; end $$",
            "maybe create t, code drop j",
        ),
        ("do $$ begin drop index i; exception when others then null; end $$", "maybe drop i"),
        ("do $$ begin execute 'create index i on t (a)'; end $$", "code create t"),
        ("do $$ begin execute $q$drop index i$q$; end $$", "code drop i"),
        ("do $$ begin execute 'do ''begin drop index i; end'''; end $$", "code drop i"),
        ("do $$ begin execute format('create index on %I (a)', 't'); end $$", "assembled create ?"),
        (
            "do $$ begin execute 'create ' || 'index i on ' || t || ' (a)'; end $$",
            "assembled create ?",
        ),
        ("do $$ declare v text := 'drop index i'; begin execute v; end $$", "assembled drop "),
        ("do $$ declare v text := 'drop index i'; begin raise notice '%', v; end $$", ""),
        ("do $$ begin raise notice 'drop index i'; execute v; end $$", ""),
        (
            "do $$ begin for r in execute 'create index i on t (a)' loop end loop; end $$",
            "maybe create t",
        ),
        (
            "do language plpython3u $$ plpy.execute(\"create index i on t (a)\") $$",
            "assembled create ?",
        ),
        ("do $$ begin execute 'select ''create index i on t (a)'''; end $$", ""),
        ("create function f() returns void language plpgsql as 'begin drop index i; end'", ""),
    ]);
}
