//! What the catalog is asked, and what its answers change.

use super::super::{Answer, Question};
use super::*;

/// The names that a verdict asks for.
fn asked(before: &str, text: &str) -> Vec<String> {
    let judgement = Session::new(BuiltinPolicy::Default).before(before).judge(text);
    let name = |question: &Question| String::from_utf8(question.name()).unwrap();
    judgement.questions.iter().map(name).collect()
}

/// What is refused when every question is answered so.
fn refused(before: &str, text: &str, answer: Answer) -> bool {
    let mut session = Session::new(BuiltinPolicy::Default).before(before);
    let first = session.judge(text);
    assert!(!first.questions.is_empty(), "{text} asks nothing");
    for question in first.questions {
        session.catalog.tell(question, answer);
    }
    let judgement = session.judge(text);
    assert!(judgement.questions.is_empty(), "{text} asks twice");
    judgement.action() == Action::Reject
}

const PLAIN: Answer = Answer::Relation { partitioned: false, empty: false };
const EMPTY: Answer = Answer::Relation { partitioned: false, empty: true };
const PARTITIONED: Answer = Answer::Relation { partitioned: true, empty: false };
const EMPTY_PARENT: Answer = Answer::Relation { partitioned: true, empty: true };

#[test]
fn answers_that_take_a_refusal_back() {
    let table = [
        ("create index i on t (a)", EMPTY, false),
        ("create index i on t (a)", PLAIN, true),
        ("create index i on t (a)", PARTITIONED, true),
        ("create index i on t (a)", EMPTY_PARENT, false),
        ("create index i on t (a)", Answer::Missing, false),
        ("create index i on t (a)", Answer::Unknown, true),
        ("create index i on only t (a)", PARTITIONED, false),
        ("create index i on only t (a)", PLAIN, true),
        ("create index i on only t (a)", EMPTY, false),
        ("drop index i", EMPTY, false),
        ("drop index i", PLAIN, true),
        ("drop index i", PARTITIONED, true),
        ("drop index if exists i", Answer::Missing, false),
        ("drop index i, j", EMPTY, false),
        ("reindex table t", EMPTY, false),
        ("reindex table t", PARTITIONED, true),
        ("reindex index i", EMPTY, false),
        ("do $$ begin create index i on t (a); end $$", EMPTY, false),
        (
            "do $$ begin if x then create table t (a int); create index i on t (a); end if; end $$",
            Answer::Missing,
            false,
        ),
        ("create table if not exists t (a int); create index i on t (a)", Answer::Missing, false),
        ("create table if not exists t (a int); create index i on t (a)", PLAIN, true),
    ];
    for (text, answer, expected) in table {
        assert_eq!(refused("", text, answer), expected, "{text}: {answer:?}");
    }
}

#[test]
fn what_is_asked() {
    assert_eq!(asked("", "create index i on t (a)"), ["\"t\""]);
    assert_eq!(asked("", "create index i on S.\"T\" (a)"), ["\"s\".\"T\""]);
    assert_eq!(asked("", "drop index i, s.j"), ["\"i\"", "\"s\".\"j\""]);
    assert_eq!(asked("", "create index i on t (a); create index j on t (b)"), ["\"t\""], "once");
    assert_eq!(
        asked("", "create index i on t (a); reindex database d"),
        [""; 0],
        "it is refused anyway"
    );
    assert_eq!(asked("", "create table t (a int); create index i on t (a)"), [""; 0]);
    assert_eq!(
        asked("", "alter table t add unique (a)"),
        [""; 0],
        "a warning is not worth a question"
    );
    assert_eq!(
        asked("", "do $$ begin execute format('create index on %I (a)', t); end $$"),
        [""; 0],
        "no name"
    );
}

#[test]
fn no_text_asks_without_end() {
    let text = |indexes: usize| {
        let one = |at| format!("create index on t{at} (a)");
        (0..indexes).map(one).collect::<Vec<_>>().join(";")
    };
    assert_eq!(asked("", &text(64)).len(), 64);
    assert_eq!(asked("", &text(65)), [""; 0]);
    assert_eq!(Session::new(BuiltinPolicy::Default).judge(&text(65)).action(), Action::Reject);
}

#[test]
fn a_name_that_has_changed_is_asked_for_by_its_old_one() {
    // The catalog as others see it knows the new name only when the transaction has committed: "missing" would be no
    // answer at all.
    let renamed = "begin | alter table live rename to t2";
    assert_eq!(asked(renamed, "create index i on t2 (a)"), ["\"live\""]);
    assert!(refused(renamed, "create index i on t2 (a)", PLAIN));
    assert_eq!(
        asked("begin | alter table live set schema s", "create index i on s.live (a)"),
        ["\"live\""]
    );
    assert_eq!(
        asked("begin | alter schema a rename to b", "create index i on b.t (a)"),
        ["\"a\".\"t\""]
    );
    // Where it is not known what a name means, nothing is asked.
    for before in [
        "begin | set search_path to s",
        "begin | alter table x.t set schema s",
        "begin | do $$ begin execute q; end $$",
        "begin | call p()",
        "begin | drop table t",
        "begin | alter table t rename to u",
    ] {
        assert_eq!(asked(before, "create index i on t (a)"), [""; 0], "{before}");
        let judgement =
            Session::new(BuiltinPolicy::Default).before(before).judge("create index i on t (a)");
        assert_eq!(judgement.action(), Action::Reject, "{before}");
    }
}

#[test]
fn tables_that_the_policy_lists_as_partitioned() {
    let listed = || {
        let mut session = Session::new(BuiltinPolicy::Default);
        session.policy.partitioned_tables = vec!["events".to_owned(), "s.logs".to_owned()];
        session
    };
    check_refused_by(
        listed,
        &[
            ("", "create index i on only events (a)", "", "the catalog alone is touched"),
            ("", "create index i on only public.events (a)", "", "in whatever schema"),
            ("", "create index i on only s.logs (a)", "", "with its schema"),
            ("", "create index i on only logs (a)", "create", "it may be another one"),
            ("", "create index i on events (a)", "create", "every partition is built"),
            ("", "create index i on only t (a)", "create", "not listed"),
            (
                "begin | alter table t rename to events",
                "create index i on only events (a)",
                "create",
                "t is not listed",
            ),
        ],
    );
}

#[test]
fn the_strict_policy_asks_for_scans_too() {
    let mut session = Session::new(BuiltinPolicy::Strict);
    for text in [
        "alter table t add unique (a)",
        "alter table t add check (a > 0)",
        "alter table t alter a set not null",
        "alter table t alter a type bigint",
        "cluster t",
        "refresh materialized view t",
        "alter table p attach partition t default",
    ] {
        let judgement = session.judge(text);
        assert_eq!(judgement.action(), Action::Reject, "{text}");
        assert_eq!(judgement.questions.len(), 1, "{text}");
    }
    let question = session.judge("cluster t").questions.remove(0);
    session.catalog.tell(question, EMPTY);
    assert_eq!(session.judge("alter table t add unique (a)").action(), Action::Off);
}
