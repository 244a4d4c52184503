//! What the client reads.

use super::*;
use crate::guard::Finding;

fn refusal(text: &str) -> Finding {
    let session = Session::new(BuiltinPolicy::Default);
    session.judge(text).refusal().unwrap().clone()
}

#[test]
fn a_refusal_says_what_why_and_what_instead() {
    let finding = refusal("select 1; CREATE UNIQUE INDEX i ON shop.\"Orders\" (a) WHERE b = 'x' ;");
    assert_eq!((finding.statement, finding.rule), (1, "index-create-blocking"));
    let report = finding.report();
    assert_eq!(report.sqlstate(), "42501");
    assert_eq!(
        report.message,
        "statement refused by query guard: CREATE INDEX without CONCURRENTLY would block all writes to \
         \"shop.Orders\" until the index is built"
    );
    assert_eq!(
        report.detail.as_deref(),
        Some(
            "Rule index-create-blocking: SHARE lock on the table for as long as the build takes. Guard policy \
             \"default\" rejects it (built in)."
        )
    );
    let hint = report.hint.as_deref().unwrap();
    let safe = "CREATE UNIQUE INDEX CONCURRENTLY i ON shop.\"Orders\" (a) WHERE b = 'x';";
    assert!(hint.contains(safe), "{hint}");
    for way in [
        "AddIndexConcurrently",
        "atomic = False",
        "algorithm: :concurrently",
        "disable_ddl_transaction!",
        "postgresql_concurrently=True",
        "autocommit_block",
    ] {
        assert!(hint.contains(way), "{way}");
    }
    assert_eq!(report.routine, "guard:index-create-blocking");
}

#[test]
fn a_warning_is_no_error() {
    let judgement = Session::new(BuiltinPolicy::Default).judge("drop table t");
    let warning = judgement.warnings().next().unwrap().report();
    assert_eq!(warning.severity.word(), "NOTICE");
    assert_eq!(warning.message, "query guard: DROP TABLE would delete \"t\" and all its rows");
    assert_eq!(warning.routine, "guard:drop-table");
    assert!(judgement.refusal().is_none());
}

#[test]
fn locks_have_the_article_that_fits() {
    for (text, beginning) in [
        ("alter table t add a int", "an ACCESS EXCLUSIVE lock on \"t\" without"),
        ("create index i on t (a)", "a SHARE lock on \"t\" without"),
        ("refresh materialized view concurrently v", "an EXCLUSIVE lock on \"v\" without"),
    ] {
        let mut session = Session::new(BuiltinPolicy::Strict);
        session.lock_timeout_ms = 0;
        let judgement = session.judge(text);
        let told = |finding: &&Finding| finding.rule == "ddl-without-lock-timeout";
        let found = judgement.findings.iter().find(told).expect("it may wait for ever");
        assert!(found.message.starts_with(beginning), "{}", found.message);
    }
}

#[test]
fn hints_hold_the_safe_statement() {
    let cases = [
        ("drop index i", "DROP INDEX"),
        ("create index on t (a)", "create index CONCURRENTLY on t (a);"),
        ("drop index if exists s.i", "drop index CONCURRENTLY if exists s.i;"),
        ("drop index a, \"B\"", "DROP INDEX CONCURRENTLY a; DROP INDEX CONCURRENTLY \"B\";"),
        ("drop index if exists i cascade", "DROP INDEX CONCURRENTLY IF EXISTS i;"),
        ("reindex table t", "reindex table CONCURRENTLY t;"),
        (
            "reindex (verbose, concurrently off) index i",
            "reindex (verbose, concurrently off) index CONCURRENTLY i;",
        ),
        ("reindex system shop", "maintenance window"),
        ("do $$ begin create index i on t (a); end $$", "CREATE INDEX CONCURRENTLY … ON t …"),
        ("do $$ begin drop index i; end $$", "DROP INDEX CONCURRENTLY i;"),
    ];
    for (text, safe) in cases {
        let hint = refusal(text).hint;
        assert!(hint.to_lowercase().contains(&safe.to_lowercase()), "{text}: {hint}");
        // What is to be pasted is not refused in its turn.
        let (_, pasted) = hint.split_once(": ").unwrap_or_default();
        let (pasted, _) = pasted.split_once("; — ").unwrap_or_default();
        let judged = Session::new(BuiltinPolicy::Default).judge(pasted);
        assert_eq!(judged.refusal(), None, "{pasted}");
    }
}

#[test]
fn words_are_bounded_and_hold_no_literals() {
    let long = format!("create index i on t (a) where b in ({})", vec!["'secret'"; 200].join(","));
    let finding = refusal(&long);
    assert!(finding.hint.len() < 700 && !finding.hint.contains("secret"), "{}", finding.hint);
    let many = format!("drop index {}", vec!["i"; 900].join(","));
    assert!(refusal(&many).hint.len() < 700);
    let name = "x".repeat(5_000);
    let finding = refusal(&format!("create index i on \"a\nb{name}\" (a)"));
    assert!(finding.message.len() < 300 && !finding.message.contains('\n'), "{}", finding.message);
    let judged = Session::new(BuiltinPolicy::Strict).judge("update t set a = 'secret'");
    assert!(judged.findings.iter().all(|it| !format!("{it:?}").contains("secret")));
}

#[test]
fn the_lines_of_the_configuration_are_named() {
    let file = "[server]\nlisten = '127.0.0.1:6432'\n[databases.a]\nprimary = 'postgres://h/a'\n[guard.ours]\nindex-create-blocking = 'reject'\n\
                hint_url = 'https://wiki/indexes'\n";
    let loaded = crate::config::Config::parse(file, "pgweir.toml").unwrap();
    let policy = loaded.config.policies.get("ours").expect("the file has it").clone();
    let mut session = Session::new(BuiltinPolicy::Default);
    session.policy = (*policy).clone();
    let context = Context { origin: "pgweir.toml:7", ..session.context() };
    let text = b"create index i on t (a)";
    let commands = commands(text, session.options);
    let judgement = judge(text, &commands, &session.history, &context);
    let finding = judgement.refusal().unwrap();
    assert!(
        finding.detail.ends_with(
            "Guard policy \"ours\" rejects it (pgweir.toml:6; policy set at pgweir.toml:7)."
        ),
        "{}",
        finding.detail
    );
    assert!(finding.hint.ends_with(" See https://wiki/indexes"), "{}", finding.hint);
}

#[test]
fn any_bytes_give_a_verdict() {
    use proptest::prelude::*;
    let words = prop::sample::select(vec![
        "create ",
        "index ",
        "concurrently ",
        "on ",
        "t ",
        "(a) ",
        ";",
        "drop ",
        "reindex ",
        "table ",
        "begin ",
        "commit ",
        "rollback to a ",
        "savepoint a ",
        "release a ",
        "alter ",
        "rename to u ",
        "set search_path to s ",
        "do $$ begin ",
        "end $$ ",
        "execute ",
        "'",
        "\"",
        "if not exists ",
        "temp ",
        "schema s ",
        "partition of p ",
        "only ",
        "\\",
        "\u{e9}",
    ]);
    let mut runner = proptest::test_runner::TestRunner::default();
    let messages = prop::collection::vec(prop::collection::vec(words, 0..12), 1..8);
    runner
        .run(&messages, |messages| {
            let mut session = Session::new(BuiltinPolicy::Strict);
            for message in messages {
                let text = message.concat();
                let judgement = session.judge(&text);
                for finding in &judgement.findings {
                    prop_assert!(finding.action != Action::Off && finding.span.end <= text.len());
                }
                session.run(&text);
            }
            Ok(())
        })
        .unwrap();
}
