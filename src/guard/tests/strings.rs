//! Strings of several statements: one refused statement refuses them all, wherever it stands.

use super::*;

#[test]
fn every_statement_is_judged() {
    check_refused(&[
        ("", "select 1; create index i on t (a)", "create", "the last one"),
        ("", "create index i on t (a); select 1", "create", "the first one"),
        ("", "select 1; drop index i; select 2", "drop", "one in the middle"),
        ("", "select ';'; drop index i", "drop", "a semicolon in a literal ends nothing"),
        ("", "select \";\" from x; drop index i", "drop", "nor in a name"),
        ("", "select 1 /* ; */; drop index i", "drop", "nor in a comment"),
        ("", "select 1;;; drop index i;;", "drop", "empty statements count for nothing"),
        ("", "begin; create index i on t (a); commit", "create", "with its own block"),
        (
            "",
            "set statement_timeout = 0; create index i on t (a)",
            "create",
            "what migrations say first",
        ),
        (
            "",
            "create index concurrently i on t (a); create index j on t (b)",
            "create",
            "a safe one before it",
        ),
        (
            "",
            "create index i on t (a); drop index j; reindex table t",
            "create drop reindex",
            "each by its rule",
        ),
        (
            "",
            "create table t (a int); create index i on t (a); create index j on u (a)",
            "create",
            "one of two is not new",
        ),
        (
            "",
            "create rule r as on insert to t do (select 1; select 2); drop index i",
            "drop",
            "a rule's statements stand in parentheses",
        ),
        (
            "",
            "create function f() returns int begin atomic select 1; select 2; end; drop index i",
            "drop",
            "a body of the SQL standard",
        ),
        (
            "",
            "create procedure p() begin atomic select case when true then 1 end; end; drop index i",
            "drop",
            "CASE ends with END as well",
        ),
        ("", "prepare q as select 1; drop index i", "drop", "behind PREPARE"),
        ("", "copy t from stdin; drop index i", "drop", "behind COPY"),
        ("", "do $$ begin null; end $$; drop index i", "drop", "behind a DO"),
        ("", "select 1 where 'a' = $$;$$; drop index i", "drop", "a semicolon between dollars"),
        (
            "",
            "nonsense; drop index i",
            "drop",
            "the server refuses the whole string, but who knows which server",
        ),
        ("", "drop index i; nonsense here", "drop", "likewise"),
        ("", "drop index i; select 'unclosed", "drop", "a literal without an end"),
        ("", "declare c cursor for select 1; drop index i", "drop", "behind a cursor"),
        (
            "",
            "select 1 as \"create\"; select 2 as \"index\"",
            "",
            "words of two statements are not one",
        ),
        (
            "",
            "create table a (b int); select 1; insert into a values (1); select count(*) from a where b = 1",
            "",
            "an ordinary string",
        ),
    ]);
}

#[test]
fn more_statements_than_are_kept() {
    let session = Session::new(BuiltinPolicy::Default);
    let many = "truncate t;".repeat(3_000);
    let judged = |last: &str| rules(&session.judge(&format!("{many}{last}")), Action::Reject);
    assert_eq!(judged("create index i on t (a)"), "index-create-blocking");
    assert_eq!(judged("drop index i"), "index-drop-blocking");
    assert_eq!(judged("reindex table t"), "reindex-blocking");
    assert_eq!(judged("create index concurrently i on t (a)"), "");
    assert!(session.judge(&many).findings.len() <= 101, "a bounded number of findings");
    let harmless = session.judge(&"analyze;".repeat(3_000));
    assert_eq!(rules(&harmless, Action::Log), "unparsable-statement");
}

#[test]
fn a_refusal_is_told_however_many_findings_there_are() {
    let session = Session::new(BuiltinPolicy::Default);
    let text = format!("{}drop index i", "truncate t;".repeat(1_000));
    let judgement = session.judge(&text);
    assert_eq!(judgement.refusal().map(|finding| finding.rule), Some("index-drop-blocking"));
    assert!(judgement.findings.len() <= 101);
}

#[test]
fn what_is_not_known_is_no_way_past_the_index_rules() {
    check_refused(&[
        ("", "create or replace index i on t (a)", "unparsable-statement", "no such statement yet"),
        ("", "create global index i on t (a)", "unparsable-statement", "nor this one"),
        ("", "frobnicate t", "", "nothing of index DDL in it"),
        (
            "",
            "\u{feff}create index i on t (a)",
            "",
            "a byte order mark is part of a word; no server takes it",
        ),
        (
            "",
            "create\u{a0}index i on t (a)",
            "",
            "a no-break space is no blank; no server takes it",
        ),
        ("", "execute immediate 'create index i on t (a)'", "", "another database's SQL"),
        ("", "(create index i on t (a))", "", "no statement in parentheses"),
    ]);
}
