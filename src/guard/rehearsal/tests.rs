//! Sessions that nobody runs. Messages are parted by ` | `; the last one is judged.

use super::super::Limits;
use super::*;
use crate::rules::{Action, BuiltinPolicy};

fn stage(policy: BuiltinPolicy) -> Stage {
    Stage {
        policy: Arc::new(GuardPolicy::builtin(policy)),
        shared_server: true,
        maintenance_timeout_ms: 0,
        lock_timeout_ms: 0,
        limits: Limits::default(),
    }
}

/// The rules that reject the last message, or what `least` is.
fn found_by(policy: BuiltinPolicy, least: Action, messages: &str) -> String {
    let mut session = Rehearsal::new(stage(policy), Parameters::default());
    let mut last = Judgement::default();
    for message in messages.split(" | ") {
        last = session.play(message.as_bytes());
    }
    let found = last.findings.iter().filter(|finding| finding.action >= least);
    let mut rules: Vec<_> = found.map(|finding| finding.rule).collect();
    rules.dedup();
    rules.join(" ")
}

fn check(cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (messages, expected, why) in cases {
        let found = found_by(BuiltinPolicy::Default, Action::Reject, messages);
        let found = found
            .replace("index-create-blocking", "create")
            .replace("index-drop-blocking", "drop")
            .replace("reindex-blocking", "reindex");
        if found != *expected {
            wrong.push(format!("{messages}: {found:?}, not {expected:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn transactions_are_followed() {
    check(&[
        ("create index i on t (a)", "create", "a table that was there"),
        ("begin | create table t (a int) | create index i on t (a)", "", "of the same transaction"),
        (
            "begin | create table t (a int) | rollback | create index i on t (a)",
            "create",
            "it is gone",
        ),
        (
            "begin | savepoint s | create table t (a int) | rollback to s | create index i on t (a)",
            "create",
            "so it is here",
        ),
        (
            "begin | create table t (a int) | savepoint s | rollback to s | create index i on t (a)",
            "",
            "it was there before",
        ),
        ("create temp table t (a int) | create index i on t (a)", "", "the session's own"),
        (
            "begin | create index concurrently i on t (a)",
            "",
            "only a warning; the server refuses it",
        ),
    ]);
}

#[test]
fn a_table_that_the_session_has_made_is_empty_until_it_is_filled() {
    check(&[
        ("create table t (a int) | create index i on t (a)", "", "empty"),
        ("create table public.t (a int) | create index i on public.t (a)", "", "empty"),
        ("begin | create table t (a int) | commit | create index i on t (a)", "", "as committed"),
        (
            "begin; create table t (a int); commit | create index i on t (a)",
            "create",
            "not followed that far",
        ),
        ("create table t (a int) | create index i on s.t (a)", "create", "it may be another one"),
        ("create table s.t (a int) | create index i on t (a)", "create", "it may be another one"),
        (
            "create table if not exists t (a int) | create index i on t (a)",
            "create",
            "it may have been there",
        ),
        (
            "drop table if exists t | create table t (a int) | create index i on t (a)",
            "",
            "a new one",
        ),
        (
            "create table t (a int) | drop table t | create index i on t (a)",
            "create",
            "whatever that is",
        ),
        (
            "create table t (a int) | alter table t rename to u | create index i on u (a)",
            "",
            "the same",
        ),
        (
            "create table t (a int) | alter table t rename to u | create index i on t (a)",
            "create",
            "another",
        ),
        (
            "create table t (a int) | set search_path to s | create index i on t (a)",
            "create",
            "another, perhaps",
        ),
        (
            "create table t (a int) | begin | set local search_path to s | create table t (a int) | commit | create index i on t (a)",
            "create",
            "which of them is not followed",
        ),
        (
            "begin | create table t (a int) | create index i on t (a) | commit | drop index i",
            "",
            "an index of it",
        ),
        (
            "begin | set local search_path to s | create table t (a int) | commit | create index i on t (a)",
            "create",
            "it is not s.t any more",
        ),
        ("create table t (a int) | reindex table t", "", "nothing to build"),
        (
            "create schema s | create table s.t (a int) | create index i on s.t (a)",
            "",
            "a new schema",
        ),
        // filled
        (
            "create table t (a int) | insert into t values (1) | create index i on t (a)",
            "create",
            "rows",
        ),
        (
            "create table t (a int) | insert into public.t values (1) | create index i on t (a)",
            "create",
            "rows",
        ),
        (
            "create table t (a int) | insert into u values (1) | create index i on t (a)",
            "",
            "of another table",
        ),
        (
            "create table t (a int) | insert into u select f() | create index i on t (a)",
            "create",
            "whatever f does",
        ),
        ("create table t (a int) | copy t from stdin | create index i on t (a)", "create", "rows"),
        (
            "create table t (a int) | copy t (a) from '/x' | create index i on t (a)",
            "create",
            "rows",
        ),
        ("create table t (a int) | copy t to stdout | create index i on t (a)", "", "read only"),
        (
            "create table t (a int) | copy (select f() from t) to stdout | create index i on t (a)",
            "",
            "f cannot be followed into COPY",
        ),
        ("create table t as select * from u | create index i on t (a)", "create", "filled at once"),
        ("select * into t from u | create index i on t (a)", "create", "filled at once"),
        (
            "create materialized view t as select * from u | create index i on t (a)",
            "create",
            "filled at once",
        ),
        (
            "create table t (a int) | do $$ begin perform 1; end $$ | create index i on t (a)",
            "create",
            "code",
        ),
        ("create table t (a int) | call p() | create index i on t (a)", "create", "code"),
        ("create table t (a int) | select f() | create index i on t (a)", "create", "code"),
        (
            "create table t (a int) | select setval('s', 1), pg_catalog.set_config('x.y', '', false) | create index i on t (a)",
            "",
            "harmless",
        ),
        (
            "create table t (a int) | with x as (insert into t values (1)) select 1 | create index i on t (a)",
            "create",
            "rows",
        ),
        (
            "create table t (a int) | merge into t using u on true when not matched then do nothing | create index i on t (a)",
            "create",
            "rows",
        ),
        (
            "create table t (a int) | explain analyze insert into t values (1) | create index i on t (a)",
            "create",
            "rows",
        ),
        (
            "create table t (a int) | insert into t values (1) | alter table t rename to u | create index i on u (a)",
            "create",
            "rows",
        ),
        (
            "begin | create table t (a int) | create index i on t (a) | commit | insert into t values (1) | drop index i",
            "drop",
            "of a table with rows",
        ),
        (
            "create table t (a int) | create trigger g after insert on u execute function f() | insert into u values (1) | create index i on t (a)",
            "create",
            "perhaps by the trigger",
        ),
        // partitions
        (
            "create table p (a int) partition by list (a) | create index i on p (a)",
            "",
            "no partition",
        ),
        (
            "create table p (a int) partition by list (a) | create table c partition of p default | insert into p values (1) | create index i on c (a)",
            "create",
            "rows",
        ),
        (
            "create table p (a int) partition by list (a) | alter table p attach partition live default | create index i on p (a)",
            "create",
            "its partition has rows",
        ),
    ]);
}

#[test]
fn parameters_are_followed() {
    let options = |messages: &str| {
        let mut session = Rehearsal::new(stage(BuiltinPolicy::Off), Parameters::default());
        messages.split(" | ").for_each(|message| drop(session.play(message.as_bytes())));
        session.options()
    };
    let conforming = |messages: &str| options(messages).standard_conforming_strings;
    assert!(conforming("select 1"));
    assert!(!conforming("set standard_conforming_strings = off"));
    assert!(!conforming("select set_config('standard_conforming_strings', 'off', false)"));
    assert!(conforming("set standard_conforming_strings = off | reset all"));
    assert!(conforming("set standard_conforming_strings = off | discard all"));
    assert!(conforming("begin | set standard_conforming_strings = off | rollback"));
    assert!(!conforming("begin | set standard_conforming_strings = off | commit"));
    assert!(!conforming("begin | set local standard_conforming_strings = off"));
    assert!(conforming("begin | set local standard_conforming_strings = off | commit"));
    assert!(conforming("set local standard_conforming_strings = off"));
    let back = "begin | savepoint s | set standard_conforming_strings = off | rollback to s";
    assert!(conforming(back));
    assert_eq!(options("set client_encoding to sjis").encoding, Encoding::Sjis);
    assert_eq!(options("set names 'BIG5'").encoding, Encoding::TwoByte);
    let begun = |name: &str, value: &str| {
        let start = [(name.as_bytes().to_vec(), value.as_bytes().to_vec())];
        Rehearsal::new(stage(BuiltinPolicy::Default), Parameters::new(start))
    };
    assert!(!begun("Standard_Conforming_Strings", "off").options().standard_conforming_strings);
    let mut session = begun("lock_timeout", "2s");
    assert_eq!(session.parameters().millis(b"lock_timeout"), Some(2_000));
    session.play(b"set lock_timeout = 5");
    assert_eq!(session.parameters().millis(b"lock_timeout"), Some(5));
    session.play(b"reset lock_timeout");
    assert_eq!(session.parameters().millis(b"lock_timeout"), Some(2_000));
}

#[test]
fn a_lock_timeout_of_the_session_counts() {
    let warned = |messages: &str| {
        found_by(BuiltinPolicy::Default, Action::Warn, messages)
            .contains("ddl-without-lock-timeout")
    };
    assert!(warned("alter table t add b int"));
    assert!(!warned("set lock_timeout = '2s' | alter table t add b int"));
    assert!(!warned("begin | set local lock_timeout = '2s' | alter table t add b int"));
    assert!(warned("begin | set local lock_timeout = '2s' | commit | alter table t add b int"));
    assert!(
        !warned("create table t (a int) | alter table t add b int"),
        "nobody else knows it yet"
    );
    assert!(warned("create table if not exists t (a int) | alter table t add b int"));
    assert!(warned("set lock_timeout = '2s' | set lock_timeout = 0 | alter table t add b int"));
}

#[test]
fn a_temporary_schema_late_in_the_search_path_is_looked_at_late() {
    let path = "set search_path = public, pg_temp | create temp table t (a int)";
    check(&[(&format!("{path} | create index i on t (a)"), "create", "public.t comes first")]);
}
