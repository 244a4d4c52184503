//! `pgweir explain --connect`: the guard's verdict with what a real catalog says.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::front;
use crate::harness::pgweir_process::{Pgweir, binary};

fn explain(pgweir: &Pgweir, more: &[&str], input: &str) -> Output {
    let mut command = Command::new(binary());
    command.arg("explain").arg("-c").arg(pgweir.config_path()).arg("--connect").args(more);
    let command = command.args(["--database", "shop", "--role", "postgres"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_catalog_is_asked_where_it_may_take_a_refusal_back() {
    let cluster = front::shop();
    let tables = "create table filled as select 1 as a; create table empty (a int); create schema s; \
                  create table s.there as select 1 as a; create table parent (a int) partition by list (a); \
                  create table part partition of parent default; insert into parent values (1)";
    cluster.primary().sql("shop", tables).unwrap();
    let limits = "lock_timeout = \"2s\"\nguard = \"default\"";
    let pgweir = front::pool_of(1, cluster.primary().address()).set("defaults", limits).start();
    let cases = [
        ("create index i on filled (a)", "", "reject"),
        ("create index i on empty (a)", "", "allow"),
        ("create index i on nowhere (a)", "", "allow"),
        ("create index i on parent (a)", "", "reject"),
        ("create index i on only parent (a)", "", "allow"),
        // Which table is meant is for the session's search_path to say.
        ("create index i on there (a)", "", "reject"),
        ("create index i on there (a)", "set search_path = s, public", "reject"),
        ("create index i on filled (a)", "create table filled (a int)", "allow"),
    ];
    let line = |(sql, context, _): &(&str, &str, &str)| {
        let context: Vec<_> = Some(*context).filter(|text| !text.is_empty()).into_iter().collect();
        json!({"sql": sql, "context": context}).to_string()
    };
    let input: Vec<String> = cases.iter().map(line).collect();
    let output = explain(&pgweir, &["--jsonl", "-"], &input.join("\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), cases.len());
    for ((sql, context, expected), answer) in cases.iter().zip(&answers) {
        assert_eq!(answer["guard"]["action"], *expected, "{context:?} {sql}: {answer}");
        assert!(answer["route"]["reason"].as_str().unwrap().contains("the catalog was asked"));
    }
    let parent = answers[3]["guard"]["hint"].as_str().unwrap();
    assert!(parent.contains("The table is partitioned"), "{parent}");
    drop(cluster);
    let output = explain(&pgweir, &["--sql", "create index i on filled (a)"], "");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("cannot ask the catalog of shop"), "{said}");
}

#[test]
fn the_route_is_what_the_catalog_says() {
    let cluster = front::shop();
    let objects = "create table t (a int); create unlogged table quick (a int); \
                   create view v as select * from t; create view draws as select nextval('s') as n from quick; \
                   create function writes() returns int language sql as 'select 1'; \
                   create function reads() returns int stable language sql as 'select 1'; \
                   create function vouched() returns int language sql as 'select 1'";
    let primary = cluster.primary();
    primary.sql("shop", "create sequence s").unwrap();
    primary.sql("shop", objects).unwrap();
    let url = format!("postgres://{}/shop?sslmode=disable", primary.address());
    let pgweir = Pgweir::options()
        .database("shop", &url)
        .replica("shop", "postgres://127.0.0.1:1/shop?sslmode=disable")
        .role("postgres", "postgres")
        .set("databases.shop.routing", "replica_safe_functions = [\"vouched\"]")
        .start();
    let cases = [
        ("select * from t", "replica", "only reads"),
        ("select * from v where a = reads() + vouched()", "replica", "only reads"),
        ("select 1", "replica", "only reads"),
        ("select * from quick", "primary", "relation: quick is unlogged"),
        ("select * from draws", "primary", "relation: draws calls"),
        ("select writes()", "primary", "function: writes is a function that may write"),
        ("select * from nowhere", "primary", "relation-unknown: nowhere"),
        ("delete from t", "primary", "write: "),
    ];
    let line = |(sql, _, _): &(&str, &str, &str)| json!({"sql": sql}).to_string();
    let input: Vec<String> = cases.iter().map(line).collect();
    let output = explain(&pgweir, &["--jsonl", "-"], &input.join("\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), cases.len());
    for ((sql, target, reason), answer) in cases.iter().zip(answers.lines()) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(answer["route"]["target"], *target, "{sql}: {answer}");
        assert!(answer["route"]["reason"].as_str().unwrap().contains(reason), "{sql}: {answer}");
    }
    drop(cluster);
    // What has no names needs no catalog.
    let output = explain(&pgweir, &["--sql", "select 1", "--format", "json"], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = explain(&pgweir, &["--sql", "select * from t"], "");
    assert_eq!(output.status.code(), Some(2));
}
