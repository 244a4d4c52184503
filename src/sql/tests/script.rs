//! Files as psql sends them.

use proptest::prelude::*;

use crate::sql::script::{Part, Script};
use crate::sql::{LexOptions, Span};

/// The messages of a file, blanks as one; `>connect` and `>include` for those.
fn parts(file: &str) -> Vec<String> {
    let mut script = Script::new(file.as_bytes().to_vec());
    let mut found = Vec::new();
    while let Some(part) = script.next_part(LexOptions::default()) {
        found.push(match part {
            Part::Message(span) => {
                let text = String::from_utf8_lossy(span.of(script.text())).into_owned();
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            }
            Part::Connect(_) => ">connect".to_owned(),
            Part::Include(_) => ">include".to_owned(),
            Part::Copy(_) => ">copy".to_owned(),
        });
    }
    assert_eq!(script.text().len(), file.len());
    found
}

fn check(file: &str, expected: &[&str]) {
    assert_eq!(parts(file), expected, "{file}");
}

#[test]
fn each_statement_is_a_message() {
    check("", &[]);
    check("-- nothing\n;;\n", &[]);
    check("select 1; select 2", &["select 1", "select 2"]);
    check("\u{feff}select 1;", &["select 1"]);
    check("select ';' /* ; */;select $$;$$;", &["select ';'", "select $$;$$"]);
    check(
        "create rule r as on insert to t do (select 1; select 2); x",
        &["create rule r as on insert to t do (select 1; select 2)", "x"],
    );
    check(
        "create function f() returns int begin atomic select 1; end; select 2",
        &["create function f() returns int begin atomic select 1; end", "select 2"],
    );
    check("select 'never closed; select 2", &["select 'never closed; select 2"]);
}

#[test]
fn what_psql_keeps_for_itself_is_left_out() {
    check("\\set ON_ERROR_STOP on\nselect 1;\n\\echo done; or not\n", &["select 1"]);
    check("\\restrict abc;'\nselect 1;\n\\unrestrict abc;'\n", &["select 1"]);
    check("\\echo it's\nselect 1;", &["select 1"]);
    check("\\! echo 'a' \\\\ select 0;\nselect 1;", &["select 1"]);
    check("select 1\n\\set x y\n+ 1;", &["select 1 + 1"]);
    check("\\if :x\nselect 1;\n\\else\nselect 2;\n\\endif", &["select 1", "select 2"]);
    check("select '\\x'; select e'\\';'", &["select '\\x'", "select e'\\';'"]);
}

#[test]
fn what_sends_a_statement_ends_it() {
    check("select 1 \\g\nselect 2 \\gx out.txt\nselect 3", &["select 1", "select 2", "select 3"]);
    check("select $1 \\bind 5 \\g\nselect 2;", &["select $1", "select 2"]);
    check("select 'create index'\n\\gexec\nselect 2;", &["select 'create index'", "select 2"]);
    check("\\g\nselect 1 \\r\nselect 2;", &["select 2"]);
    check("\\echo x \\\\ select 1;\nselect 2;", &["select 1", "select 2"]);
}

#[test]
fn statements_that_are_joined_are_one_message() {
    check(
        "begin\\; create table t () \\; commit; select 1",
        &["begin ; create table t () ; commit", "select 1"],
    );
}

#[test]
fn data_of_copy_is_no_sql() {
    let dump =
        "COPY public.t (a) FROM stdin;\nit's\t1\ncreate index i on t (a);\n\\N\n\\.\n\nselect 1;";
    check(dump, &["COPY public.t (a) FROM stdin", "select 1"]);
    check("copy t from stdin;\r\na\r\n\\.\r\nselect 1;", &["copy t from stdin", "select 1"]);
    check(
        "copy t from stdin; select 1;\nselect 0;\n\\.\nselect 2;",
        &["copy t from stdin", "select 1", "select 2"],
    );
    check("copy t from stdin;\nselect 0;\n", &["copy t from stdin", "select 0"]);
    check(
        "copy (select 1) from stdin;\nselect 1;\ncopy t from stdin;\n\\.\n",
        &["copy (select 1) from stdin", "select 1", "copy t from stdin"],
    );
    check("\\.\ncopy t from stdin;\nselect 1;", &["copy t from stdin", "select 1"]);
    check("copy t from '/x'; select 1;", &["copy t from '/x'", "select 1"]);
    check("copy t to stdout; select 1;", &["copy t to stdout", "select 1"]);
    check("\\copy t from stdin\nselect 0;\n\\.\nselect 1;", &[">copy", "select 1"]);
    check("\\copy t to 'file'\nselect 1;", &["select 1"]);
    check("\\copy t from 'file'\nselect 1;", &[">copy", "select 1"]);
}

#[test]
fn another_session_and_another_file_are_told_of() {
    check(
        "create database d;\n\\connect d\nselect 1;",
        &["create database d", ">connect", "select 1"],
    );
    check("\\i other.sql\n\\ir '../more sql'\nselect 1;", &[">include", ">include", "select 1"]);
}

#[test]
fn offsets_are_those_of_the_file() {
    let file = "\\set a b\nselect 1;\n copy t from stdin;\n1\n\\.\n  drop index i;";
    let mut script = Script::new(file.as_bytes().to_vec());
    let mut spans = Vec::new();
    while let Some(Part::Message(span)) = script.next_part(LexOptions::default()) {
        spans.push(&file[span.start..span.end]);
    }
    assert_eq!(spans, ["select 1", "copy t from stdin", "drop index i"]);
}

#[test]
fn each_message_is_read_as_the_session_is_by_then() {
    let mut script = Script::new(b"select '\\'; select 2;".to_vec());
    let escapes = LexOptions { standard_conforming_strings: false, ..LexOptions::default() };
    assert_eq!(script.next_part(escapes), Some(Part::Message(Span { start: 0, end: 21 })));
    let mut script = Script::new(b"select '\\'; select '\\';'".to_vec());
    assert_eq!(
        script.next_part(LexOptions::default()),
        Some(Part::Message(Span { start: 0, end: 10 }))
    );
    assert_eq!(script.next_part(escapes), Some(Part::Message(Span { start: 12, end: 24 })));
}

#[test]
fn any_bytes_come_to_an_end() {
    for file in [
        &b"\\"[..],
        b"\\\\",
        b"a\\",
        b"\\;\\;",
        b"\\\n\\\n",
        b"\xff\\\xfe",
        b"\\copy from stdin",
        b"'\\",
    ] {
        let mut script = Script::new(file.to_vec());
        let parts =
            std::iter::from_fn(|| script.next_part(LexOptions::default())).take(100).count();
        assert!(parts < 100, "{file:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever a file holds: reading it ends, messages come in order and apart, and blanking changes neither its length
    /// nor its lines.
    #[test]
    fn files_of_anything_are_read_to_their_end(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60),
        conforming in any::<bool>(),
    ) {
        let file = pieces.concat().into_bytes();
        let options = LexOptions { standard_conforming_strings: conforming, ..LexOptions::default() };
        let mut script = Script::new(file.clone());
        let mut behind = 0;
        let mut parts = 0;
        while let Some(part) = script.next_part(options) {
            if let Part::Message(Span { start, end }) = part {
                prop_assert!(behind <= start && start < end && end <= file.len());
                behind = end;
            }
            parts += 1;
            prop_assert!(parts <= file.len());
        }
        let lines = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
        prop_assert_eq!(script.text().len(), file.len());
        prop_assert_eq!(lines(script.text()), lines(&file));
    }
}

const PIECES: &[&str] = &[
    "\\",
    "\\;",
    "\\g",
    "\\.",
    "\n\\.\n",
    "\\i x",
    "\\c",
    "\\r",
    "\\copy t from stdin",
    "copy t from stdin",
    ";",
    "\n",
    " ",
    "'",
    "\"",
    "`",
    "$$",
    "--",
    "/*",
    "*/",
    "(",
    ")",
    "select",
    "begin atomic",
    "end",
    "create function",
    ":",
    "ä",
];
