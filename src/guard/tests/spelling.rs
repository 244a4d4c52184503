//! One statement, however it is spelled: what the server builds is refused, and what only looks like it is not.

use super::*;

#[test]
fn spellings_of_blocking_index_ddl_are_refused() {
    check_refused(&[
        ("", "create index i on t (a)", "create", "the plain form"),
        ("", "CREATE INDEX ON t (a)", "create", "without a name"),
        ("", "cReAtE iNdEx i oN t (a)", "create", "keywords have no case"),
        ("", "create unique index i on t (a)", "create", "UNIQUE is between the words"),
        (
            "",
            "CREATE/**/INDEX/**/i/**/ON/**/t/**/(a)",
            "create",
            "comments part words as blanks do",
        ),
        ("", "/* a /* nested */ comment */ create index i on t (a)", "create", "comments nest"),
        (
            "",
            "-- create table t\ncreate index i on t (a)",
            "create",
            "a line comment ends at the newline",
        ),
        ("", "--\rcreate index i on t (a)", "create", "a bare CR ends a line comment too"),
        ("", "create\x0bindex\x0ci\ton\r\nt (a)", "create", "VT, FF, tab and CRLF are blanks"),
        ("", "\n\n  create index i on t (a)  ;  ", "create", "blanks around and a semicolon"),
        ("", ";;create index i on t (a)", "create", "empty statements before it"),
        ("", "create index \"CONCURRENTLY\" on t (a)", "create", "in quotes it is a name"),
        ("", "create index concurrently_i on t (a)", "create", "a name that begins like the word"),
        ("", "create index i /* concurrently */ on t (a)", "create", "the word is in a comment"),
        (
            "",
            "create index i -- concurrently\n on t (a)",
            "create",
            "the word is in a line comment",
        ),
        (
            "",
            "create index i on t (a) where b = 'concurrently'",
            "create",
            "the word is in a literal",
        ),
        (
            "",
            "create index i on t (concurrently)",
            "create",
            "the word is a column, wherever that parses",
        ),
        (
            "",
            "create index i on concurrently (a)",
            "create",
            "the word is the table, wherever that parses",
        ),
        (
            "",
            "create index i on t using btree (a) tablespace \"concurrently\"",
            "create",
            "the word is a tablespace",
        ),
        (
            "",
            "create index U&\"c\\006fncurrently\" on t (a)",
            "create",
            "a keyword cannot be escaped",
        ),
        ("", "create index i on U&\"\\0074\" (a)", "create", "the table is spelled with an escape"),
        (
            "",
            "create index i on U&\"!0074\" uescape '!' (a)",
            "create",
            "the same with its own escape",
        ),
        ("", "create index i on \"t\"(a)", "create", "the table in quotes"),
        ("", "create index i on public.t (a)", "create", "with a schema"),
        ("", "create index i on db.public.t (a)", "create", "with a database"),
        ("", "create index i on only t (a)", "create", "ONLY changes nothing on a plain table"),
        ("", "create index i on only (t) (a)", "create", "the same in parentheses"),
        ("", "create index i on t * (a)", "create", "the old star"),
        ("", "create index if not exists i on t (a)", "create", "it may not exist"),
        (
            "",
            "create index i on t (lower(a)) include (b) where c > 0",
            "create",
            "every clause behind it",
        ),
        (
            "",
            "create index i on t using gin (to_tsvector('english', a))",
            "create",
            "another method, an expression",
        ),
        ("", "create index i on t ((a->>'x'))", "create", "an operator in an expression"),
        ("", "create index i on t (a) with (fillfactor = 70)", "create", "storage parameters"),
        (
            "",
            "create unique index i on t (a) nulls not distinct",
            "create",
            "a clause of Postgres 15",
        ),
        ("", "drop index i", "drop", "the plain form"),
        ("", "DROP\nINDEX\ni", "drop", "newlines"),
        ("", "drop index if exists i", "drop", "it may exist"),
        ("", "drop index \"concurrently\"", "drop", "in quotes it is a name"),
        ("", "drop index a, b.c cascade", "drop", "several, with CASCADE"),
        ("", "drop index i restrict", "drop", "RESTRICT is the default"),
        ("", "drop/*concurrently*/index i", "drop", "the word is in a comment"),
        ("", "reindex table t", "reindex", "of a table"),
        ("", "reindex index i", "reindex", "of an index"),
        ("", "reindex schema public", "reindex", "of a schema"),
        ("", "reindex database shop", "reindex", "of a database"),
        ("", "reindex database", "reindex", "of this one, from Postgres 16 on"),
        ("", "reindex system shop", "reindex", "of the catalogs, which has no concurrent form"),
        ("", "reindex (verbose) table t", "reindex", "another option"),
        ("", "reindex (concurrently false) table t", "reindex", "the option says no"),
        ("", "reindex (concurrently off) table t", "reindex", "in another word"),
        ("", "reindex (concurrently 0) table t", "reindex", "as a number"),
        (
            "",
            "reindex (concurrently, concurrently false) table t",
            "reindex",
            "the last option counts",
        ),
        ("", "reindex table \"concurrently\"", "reindex", "in quotes it is the table"),
        (
            "",
            "reindex (tablespace concurrently) table t",
            "reindex",
            "the word is an option's value",
        ),
    ]);
}

#[test]
fn concurrent_index_ddl_and_what_only_looks_like_the_other_runs() {
    check_refused(&[
        ("", "create index concurrently i on t (a)", "", "the safe form"),
        ("", "create unique index concurrently on t (a)", "", "unique and without a name"),
        (
            "",
            "CREATE INDEX/**/CONCURRENTLY/**/IF NOT EXISTS i ON t (a)",
            "",
            "comments part its words, too",
        ),
        ("", "create index concurrently \"index\" on t (a)", "", "the name is a keyword in quotes"),
        ("", "create index concurrently i on only t (a)", "", "ONLY is the server's business then"),
        ("", "drop index concurrently i", "", "the safe form"),
        ("", "drop index concurrently if exists s.i", "", "with a schema"),
        ("", "reindex table concurrently t", "", "the safe form"),
        ("", "reindex (concurrently) index i", "", "as an option"),
        ("", "reindex (verbose, concurrently true) table t", "", "among others"),
        ("", "reindex (concurrently false, concurrently on) table t", "", "the last option counts"),
        (
            "",
            "reindex (concurrently false) table concurrently t",
            "",
            "the word comes behind the options",
        ),
        ("", "reindex (\"concurrently\" 'on') table t", "", "an option's name may be in quotes"),
        ("", "select 'create index i on t (a)'", "", "in a literal"),
        ("", "select $$create index i on t (a)$$", "", "in a literal with dollars"),
        ("", "select $q$ $$ create index i on t (a) $$ $q$", "", "dollars in dollars"),
        (
            "",
            "select E'\\'; create index i on t (a); --'",
            "",
            "a backslash hides the quote in E''",
        ),
        ("", "select U&'\\0027; create index i on t (a)'", "", "an escape is not a quote"),
        ("", "select \"create index i on t (a)\" from x", "", "in a name"),
        ("", "/* create index i on t (a) */ select 1", "", "in a comment"),
        (
            "",
            "/* /* */ create index i on t (a) */ select 1",
            "",
            "in a comment that goes on behind a nested one",
        ),
        ("", "select 1 -- ; create index i on t (a)", "", "in a line comment"),
        ("", "insert into log (message) values ('DROP INDEX i')", "", "a message of a log"),
        ("", "comment on index i is 'drop index i'", "", "what a comment says"),
        ("", "alter index i rename to j", "", "it builds nothing"),
        ("", "alter index i set (fillfactor = 70)", "", "nor does this"),
        ("", "create table \"index\" (\"create\" int)", "", "names that are keywords"),
        ("", "create view v as select 1 as \"create index\"", "", "a column named so"),
        ("", "explain create index i on t (a)", "", "the grammar has no such EXPLAIN"),
        ("", "create statistics s on a, b from t", "", "CREATE of something near"),
        ("", "drop table \"drop index\"", "", "a table named so"),
        ("", "select reindex from t", "", "a column named so"),
    ]);
}

#[test]
fn a_literal_ends_where_the_server_says() {
    let off = || {
        let mut session = Session::new(BuiltinPolicy::Default);
        session.options.standard_conforming_strings = false;
        session
    };
    check_refused_by(
        off,
        &[
            ("", "select '\\'; create index i on t (a); --'", "", "the backslash hides the quote"),
            (
                "",
                "select '\\\\'; create index i on t (a)",
                "create",
                "the backslash is hidden itself",
            ),
            (
                "",
                "select 'a''\\''; drop index i",
                "drop",
                "doubled quotes and backslashes together",
            ),
        ],
    );
    check_refused(&[
        (
            "",
            "select '\\'; create index i on t (a); --'",
            "create",
            "a backslash is only a backslash",
        ),
        ("", "select E'\\\\'; create index i on t (a)", "create", "in E'' one hides the other"),
        (
            "",
            "select 'a'\n'b'; drop index i",
            "drop",
            "a literal goes on behind a newline, and ends",
        ),
        (
            "",
            "select 'a' -- '\n'; drop index i; --'",
            "",
            "the rest of a literal that goes on behind a comment",
        ),
        ("", "select $a$ $b$ $a$; drop index i", "drop", "another tag does not end it"),
        ("", "select $1; drop index i", "drop", "a parameter is no tag"),
        (
            "",
            "select a$b$; drop index i; select 1 as x$b$",
            "drop",
            "a dollar within a name is no tag",
        ),
        ("", "select N'x'; drop index i", "drop", "a national literal"),
        ("", "select B'0', X'ff'; drop index i", "drop", "bits"),
        (
            "set standard_conforming_strings = off",
            "select '\\'; drop index i; --'",
            "drop",
            "how texts are read is for the session to say, not for the guard to guess",
        ),
    ]);
}

#[test]
fn characters_whose_second_byte_looks_like_ascii() {
    use crate::sql::Encoding;
    let judged = |encoding, text: &[u8]| {
        let mut session = Session::new(BuiltinPolicy::Default);
        session.options.encoding = encoding;
        let commands = commands(text, session.options);
        rules(&judge(text, &commands, &session.history, &session.context()), Action::Reject)
    };
    let create = "index-create-blocking";
    // 0x95 0x5C is one character of SJIS, whose second byte is a backslash elsewhere.
    let hidden = b"select E'\x95\x5c'; create index i on t (a)";
    assert_eq!(judged(Encoding::Sjis, hidden), create, "the quote ends the literal");
    assert_eq!(judged(Encoding::AsciiSafe, hidden), "", "the backslash hides the quote");
    let swallowed = b"select E'\x95\x5c\\'; create index i on t (a); --'";
    assert_eq!(judged(Encoding::Sjis, swallowed), "", "the backslash behind it is one");
    assert_eq!(judged(Encoding::TwoByte, hidden), create, "BIG5 and GBK likewise");
    assert_eq!(
        judged(Encoding::Gb18030, b"create index i on \x81\x30\x81\x30 (a)"),
        create,
        "four bytes"
    );
}
