//! What holds for every text.

use proptest::prelude::*;

use crate::sql::commands::{Commands, is_ordinary};
use crate::sql::reads::{Kind, reading};
use crate::sql::{EffectSet, Encoding, LexOptions, Lexer, Statements, commands, facts, plain};

fn options() -> impl Strategy<Value = LexOptions> {
    let encoding = prop_oneof![
        Just(Encoding::AsciiSafe),
        Just(Encoding::Sjis),
        Just(Encoding::TwoByte),
        Just(Encoding::Gb18030),
        Just(Encoding::Johab),
    ];
    (any::<bool>(), encoding).prop_map(|(standard_conforming_strings, encoding)| LexOptions {
        standard_conforming_strings,
        encoding,
    })
}

/// Bytes that look like SQL more often than chance would have it.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(PIECES.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Queries, or nearly: every token that a look at queries tells apart.
fn query() -> impl Strategy<Value = String> {
    let token = prop::sample::select(TOKENS.split(' ').collect::<Vec<_>>());
    let begins = prop::sample::select(BEGINNINGS.to_vec());
    let rest = prop::collection::vec(token, 0..6).prop_map(|tokens| tokens.join(" "));
    let list = prop_oneof![9 => Just(0_usize), 1 => 90..110_usize];
    let statement = (begins, rest, list)
        .prop_map(|(begins, rest, commas)| format!("{begins} {rest}{}", ",".repeat(commas)));
    prop::collection::vec(statement, 1..3).prop_map(|statements| statements.join(";"))
}

const BEGINNINGS: &[&str] = &[
    "",
    "select a from t",
    "SELECT a FROM t WHERE a",
    "insert into t",
    "update t set a = 1",
    "update t set a[",
    "Update t set a = 1 where",
    "delete from t",
    "delete from t where b",
    "with x as (",
    "values (",
    "(select",
    "((update t",
    "merge into t",
    "table t",
];

const TOKENS: &str = "a b.c \"where\" \"or\" \"for\" \"insert\" \"into\" \"set_config\" \"pg_advisory_lock\" U&\"a\" \
    ( ) [ ] ; , = * . + :: 1 1.5 '1' 'a $1 /*x*/ --x\n where or WHERE OR wHere and not NOT null true false in IN \
    do for key no update delete insert into merge count COUNT offset set_config pg_advisory_lock \
    pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_x nextval pg_temp_3 select values with";

const PIECES: &[&str] = &[
    " ",
    "\n",
    "'",
    "''",
    "\"",
    "$",
    "$$",
    "$a$",
    "/*",
    "*/",
    "--",
    "\\",
    ";",
    "(",
    ")",
    "[",
    ",",
    ".",
    "..",
    ":",
    "=",
    "+",
    "-",
    "@",
    "<",
    ">",
    "1",
    "0x",
    "1e",
    "_",
    "e'",
    "U&'",
    "U&\"",
    "uescape '!'",
    "b'",
    "N'",
    "select ",
    "set ",
    "local ",
    "x ",
    "set_config(",
    "'a'",
    "true",
    "begin ",
    "atomic ",
    "end ",
    "create ",
    "function ",
    "or ",
    "replace ",
    "temp ",
    "table ",
    "into ",
    "do ",
    "execute ",
    "prepare ",
    "as ",
    "explain ",
    "analyze ",
    "with ",
    "insert ",
    "copy ",
    "from ",
    "stdin ",
    "declare ",
    "cursor ",
    "hold ",
    "pg_temp",
    "pg_temp.",
    "é",
    "nextval(",
    "\"setseed\"(",
    "(select ",
    "; select ",
    "; insert into t ",
    "index ",
    "unique ",
    "concurrently ",
    "only ",
    "drop ",
    "reindex ",
    "schema ",
    "alter ",
    "add ",
    "column ",
    "default ",
    "not ",
    "null ",
    "delete ",
    "update ",
    "merge ",
    "where ",
    "offset ",
    "count(*",
    "in (",
    "||",
    "then ",
    "if ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn tokens_tile_the_text(text in text(), options in options()) {
        let mut lexer = Lexer::new(&text, options);
        let mut at = 0;
        while let Some(token) = lexer.tile() {
            prop_assert_eq!(token.span.start, at);
            prop_assert!(token.span.end > at);
            at = token.span.end;
        }
        prop_assert_eq!(at, text.len());
    }

    #[test]
    fn facts_of_anything(text in text(), options in options()) {
        let found = facts(&text, options);
        prop_assert_eq!(found.count(), Statements::new(&text, options).count());
        prop_assert!(found.statements().is_empty() || found.statements().len() == found.count());
    }

    #[test]
    fn what_only_reads_does_nothing_to_its_session(text in text(), options in options()) {
        let read = reading(&text, options);
        if read.kind == Kind::Read && read.functions.is_empty() {
            let harmless = EffectSet::COPY.with(EffectSet::READS_PARAMETER).with(EffectSet::SEES_PREPARED);
            let found = facts(&text, options);
            // The temporary schema is a relation's, and among the names.
            let left = found.effects().without(harmless).without(EffectSet::TEMP);
            prop_assert!(left.is_empty(), "{:?} of {:?}", left, String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn commands_of_anything(text in text(), options in options()) {
        let found = commands(&text, options);
        prop_assert!(found.found().iter().all(|one| one.statement < found.statements()));
        let close = Commands::closely(&text, options);
        prop_assert!(close.found().iter().all(|one| one.statement < close.statements()));
        if is_ordinary(&text, options) {
            let longer = [b"analyze;", &text[..]].concat();
            prop_assert_eq!(commands(&longer, options).found().len(), 1);
        } else {
            prop_assert_eq!(found.statements(), Statements::new(&text, options).count());
        }
    }

    #[test]
    fn the_first_look_says_ordinary_only_where_the_closer_look_does(text in text(), options in options()) {
        prop_assert!(plain(&text, options).is_none_or(|found| !found.ordinary || is_ordinary(&text, options)));
    }

    #[test]
    fn the_short_way_says_plain_only_where_the_long_way_does(text in text(), options in options()) {
        if facts(&text, options).statements().is_empty() {
            let prefixed = [b"set x = 1;", &text[..]].concat();
            for statement in facts(&prefixed, options).statements().iter().skip(1) {
                prop_assert!(statement.effects.is_empty(), "{:?}", statement);
            }
        }
    }

    #[test]
    fn statements_hold_every_token_but_semicolons(text in text(), options in options()) {
        let mut covered = 0;
        for span in Statements::new(&text, options) {
            prop_assert!(span.start >= covered && span.end > span.start);
            let between = Lexer::within(&text, crate::sql::Span { start: covered, end: span.start }, options);
            for token in between {
                prop_assert_eq!(token.span.of(&text), b";");
            }
            covered = span.end;
        }
    }

    #[test]
    fn statements_of_a_concatenation(parts in prop::collection::vec(statement(), 0..8)) {
        let text = parts.join("; ");
        let found: Vec<_> = Statements::new(text.as_bytes(), LexOptions::default())
            .map(|span| text[span.start..span.end].to_owned())
            .collect();
        let expected: Vec<_> = parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
        prop_assert_eq!(found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn the_first_look_says_ordinary_of_queries_only_where_the_closer_look_does(text in query()) {
        let (text, options) = (text.as_bytes(), LexOptions::default());
        prop_assert!(plain(text, options).is_none_or(|found| !found.ordinary || is_ordinary(text, options)));
    }
}

/// Much of what could make a careless reader slow or deep. A quadratic reader would take hours.
#[test]
fn hostile_texts_take_linear_time() {
    let pieces = [
        "+",
        "-+",
        "(",
        ")",
        "[",
        "'",
        "''",
        "'a'\n",
        "\"",
        "$",
        "$a",
        "$a$",
        "$1",
        "/*",
        "*/",
        "--",
        "\\",
        ";",
        "a;",
        "0x",
        "1e",
        "1_",
        "U&\"",
        "E'\\",
        "set_config(",
        "set_config('a'::",
        "case when ",
        "select ",
        "with a as (",
        "into temp ",
        "on commit ",
        "do 'begin ",
        "execute else ",
        "begin atomic ",
        "create function begin atomic ",
        "explain ",
        "prepare a as ",
        "::",
        "create index ",
        "create schema s ",
        "create table t (a references ",
        "drop table a,",
        "alter table t add a default case ",
        "add column a default 1,",
        "not null ",
        "update t set ",
        "a = 1, ",
        "a = (update t set ",
        ") insert into t (",
        "sum(a) over (",
        "from t where true ",
        "from t, ",
        "delete from t where ",
        "(delete from t where ",
        "delete from t where a or ",
        "merge into t using s on ",
        "in (",
        "count(",
        "a.b.",
        "f() over (",
        "from a as b join ",
        "with a as (select 1), b as (",
        "begin select ",
        "then select ",
        "then drop ",
        "execute 'a' || (",
        "'drop table t'",
        "format('drop ",
        "if loop ",
        "\"a\".",
    ];
    for piece in pieces {
        for start in [
            "",
            "select ",
            "set x = ",
            "create table ",
            "create function f() ",
            "do $$ begin execute ",
            "do $$ begin ",
            "with ",
            "alter table t add a int default ",
            "create schema s ",
            "delete from t where ",
            "update t set ",
            "with a as (select 1) select b from t ",
            "do language x '",
        ] {
            let text = format!("{start}{}", piece.repeat(30_000 / piece.len()));
            for options in [
                LexOptions::default(),
                LexOptions { standard_conforming_strings: false, encoding: Encoding::Sjis },
            ] {
                let _ = facts(text.as_bytes(), options);
                let _ = reading(text.as_bytes(), options);
                let _ = commands(text.as_bytes(), options);
                let _ = Commands::closely(text.as_bytes(), options);
            }
        }
    }
}

fn statement() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "select 1".to_owned(),
        " ".to_owned(),
        "select ';'".to_owned(),
        "create function f() returns int begin atomic select 1; select 1 end; end".to_owned(),
        "create rule r as on insert to t do (select 1; select 2)".to_owned(),
        "do $$ begin; end $$".to_owned(),
        "begin".to_owned(),
        "end".to_owned(),
    ])
}
