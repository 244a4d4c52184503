//! Where statements begin and end.

use crate::sql::{LexOptions, Statements};

fn check(text: &str, expected: &[&str]) {
    let statements = Statements::new(text.as_bytes(), LexOptions::default());
    let found: Vec<_> = statements.map(|span| &text[span.start..span.end]).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn semicolons_split() {
    check("", &[]);
    check(" ; ;; -- x\n /* ; */", &[]);
    check(" select 1 ; -- c\n select 2;", &["select 1", "select 2"]);
    check("select ';', \";\", $$;$$ /*;*/ ; select 2", &["select ';', \";\", $$;$$", "select 2"]);
}

#[test]
fn parentheses_hide_semicolons() {
    check(
        "create rule r as on insert to t do (select 1; select 2); x",
        &["create rule r as on insert to t do (select 1; select 2)", "x"],
    );
    check("a ) ; b", &["a )", "b"]);
}

#[test]
fn bodies_of_routines_hide_semicolons() {
    let function = "create or replace function f() returns int begin atomic select 1; select case when true then 1 end; end";
    check(&format!("{function}; select 2"), &[function, "select 2"]);
    let procedure =
        "CREATE PROCEDURE p(a int) LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (a); ; END";
    check(&format!("{procedure};select 2"), &[procedure, "select 2"]);
    let empty = "create function f() returns int begin atomic end";
    check(&format!("{empty};select 2"), &[empty, "select 2"]);
    // END as a column's name, BEGIN ATOMIC as a column and its name.
    let names =
        "create function f() returns int begin atomic select 1 end; select begin atomic; end";
    check(&format!("{names};select 2"), &[names, "select 2"]);
    let nested = "create function f() returns int begin atomic create function g() returns int begin atomic select 1; end; select 2; end";
    check(&format!("{nested};select 3"), &[nested, "select 3"]);
}

#[test]
fn begin_atomic_elsewhere_hides_nothing() {
    check("select begin atomic; select 2", &["select begin atomic", "select 2"]);
    check("begin atomic; drop table t; end", &["begin atomic", "drop table t", "end"]);
    check(
        "create view v as select begin atomic; end",
        &["create view v as select begin atomic", "end"],
    );
    check(
        "create table function (begin int); begin; x",
        &["create table function (begin int)", "begin", "x"],
    );
    check(
        "create function f(a begin, b atomic) as 'x'; y",
        &["create function f(a begin, b atomic) as 'x'", "y"],
    );
    check(
        "create function f() returns \"begin\" atomic; y",
        &["create function f() returns \"begin\" atomic", "y"],
    );
}
