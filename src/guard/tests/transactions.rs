//! Savepoints and failures: what is new, and whether a block is open, as the server would say it.

use super::*;

#[test]
fn savepoints_take_back_what_came_behind_them() {
    check_refused(&[
        (
            "begin | savepoint a | create table t (a int) | rollback to a",
            "create index i on t (a)",
            "create",
            "t is gone",
        ),
        (
            "begin | create table t (a int) | savepoint a | rollback to a",
            "create index i on t (a)",
            "",
            "t is older",
        ),
        (
            "begin | create table t (a int) | savepoint a | create table u (a int) | rollback to a",
            "create index i on u (a)",
            "create",
            "u is younger",
        ),
        (
            "begin | create table t (a int) | savepoint a | drop table t | rollback to a",
            "create index i on t (a)",
            "",
            "the drop is undone",
        ),
        (
            "begin | create table t (a int) | savepoint a | alter table t rename to u | rollback to a",
            "create index i on t (a)",
            "",
            "the new name is undone",
        ),
        (
            "begin | create table t (a int) | savepoint a | alter table t rename to u | rollback to a",
            "create index i on u (a)",
            "create",
            "u is what it was",
        ),
        (
            "begin | create table t (a int) | savepoint a | set search_path to s | rollback to a",
            "create index i on t (a)",
            "",
            "search_path is what it was",
        ),
        (
            "begin | create table x (a int) | savepoint a | create table t (a int) | release a",
            "create index i on t (a)",
            "",
            "released, it stays",
        ),
        (
            "begin | create table x (a int) | savepoint a | savepoint b | create table t (a int) | release b | rollback to a",
            "create index i on t (a)",
            "create",
            "the outer one takes it back",
        ),
        (
            "begin | create table x (a int) | savepoint a | create table t (a int) | savepoint a | release a | rollback to a",
            "create index i on t (a)",
            "create",
            "of two of one name the older is left",
        ),
        (
            "begin | create table x (a int) | savepoint a | create table t (a int) | savepoint a | rollback to a",
            "create index i on t (a)",
            "",
            "the younger one counts",
        ),
        (
            "begin | create table x (a int) | savepoint a | create table t (a int) | rollback to a | create table t (a int)",
            "create index i on t (a)",
            "",
            "made again",
        ),
        (
            "begin | create table x (a int) | savepoint a | create table t (a int) | rollback to savepoint a",
            "create index i on t (a)",
            "create",
            "with its long form",
        ),
        (
            "begin | create table x (a int) | savepoint \"A\" | create table t (a int) | savepoint a | rollback to \"A\"",
            "create index i on t (a)",
            "create",
            "names differ in case",
        ),
        (
            "begin | savepoint a | create table t (a int) | savepoint b | release a | savepoint a | rollback to a",
            "create index i on t (a)",
            "",
            "a new one of the name",
        ),
        (
            "begin | savepoint b | savepoint a | create table t (a int) | savepoint b | release a | rollback to b",
            "create index i on t (a)",
            "create",
            "RELEASE ended the younger b",
        ),
        (
            "begin",
            "savepoint a; create table t (a int); rollback to a; create index i on t (a)",
            "create",
            "in one string",
        ),
        (
            "begin",
            "create table t (a int); savepoint a; drop table t; rollback to a; create index i on t (a)",
            "",
            "in one string the other way",
        ),
        (
            "begin | savepoint a | create table t (a int)",
            "rollback to a; create index i on t (a)",
            "create",
            "the string begins by undoing",
        ),
        (
            "begin | create table t (a int) | savepoint a | create temp table u (a int) | rollback to a",
            "create index i on u (a)",
            "create",
            "temporary ones as well",
        ),
    ]);
}

#[test]
fn a_failure_leaves_nothing_that_did_not_happen() {
    check_refused(&[
        (
            "begin | savepoint a | !create table t (a int) | rollback to a",
            "create index i on t (a)",
            "create",
            "t was there before",
        ),
        (
            "begin | create table x (a int) | savepoint a | !create table t (a int) | savepoint a | rollback to a",
            "create index i on t (a)",
            "create",
            "the second savepoint was never set",
        ),
        (
            "begin | create table x (a int) | savepoint a | !create table t (a int); savepoint a | rollback to a",
            "create index i on t (a)",
            "create",
            "nor was this one",
        ),
        (
            "begin | create table t (a int) | savepoint a | !insert into t values (1) | rollback to a",
            "create index i on t (a)",
            "",
            "what every ORM does with a duplicate",
        ),
        (
            "begin | create table t (a int) | savepoint a | !insert into t values (1) | rollback to a | release a",
            "create index i on t (a)",
            "",
            "and releases it",
        ),
        (
            "begin | create table t (a int) | savepoint a | !drop table t | rollback to a",
            "create index i on t (a)",
            "",
            "the drop failed",
        ),
        (
            "begin | create table t (a int) | savepoint a | !select 1/0; commit | rollback to a",
            "create index i on t (a)",
            "create",
            "whether COMMIT ran is past finding out here",
        ),
        (
            "begin | alter table live rename to t2 | savepoint a | !select 1/0; commit | rollback to a",
            "create index i on t2 (a)",
            "create",
            "t2 is live",
        ),
        (
            "begin | !select 1/0 | commit | begin",
            "create index i on t (a)",
            "create",
            "a failed transaction made nothing",
        ),
        (
            "begin | create table t (a int) | !select 1/0 | commit",
            "create index i on t (a)",
            "create",
            "COMMIT of a failed one is ROLLBACK",
        ),
        (
            "begin | create temp table t (a int) | !select 1/0 | commit",
            "create index i on t (a)",
            "create",
            "temporary ones go with it",
        ),
        (
            "!create table t (a int); create table u (a int)",
            "create index i on u (a)",
            "create",
            "nothing of the string happened",
        ),
        (
            "begin | !select 1/0",
            "create index i on t (a)",
            "",
            "the server refuses everything now, with its own words",
        ),
        (
            "begin | !select 1/0",
            "rollback; create index i on t (a)",
            "create",
            "but not behind a ROLLBACK",
        ),
        ("begin | !select 1/0", "commit; drop index i", "drop", "or a COMMIT"),
        (
            "begin | savepoint a | !select 1/0",
            "rollback to a; drop index i",
            "drop",
            "or back at a savepoint",
        ),
    ]);
}

#[test]
fn more_than_can_be_kept_is_an_exemption_for_nobody() {
    let mut session = Session::new(BuiltinPolicy::Default).before("begin | create table t (a int)");
    assert_eq!(session.judge("create index i on t (a)").action(), Action::Off);
    for at in 0..5_001 {
        session.run(&format!("create table t{at} (a int)"));
    }
    assert_eq!(session.judge("create index i on t (a)").action(), Action::Reject);
    session.run("commit");
    assert!(session.history.is_empty());
    let mut session = Session::new(BuiltinPolicy::Default).before("begin | create table t (a int)");
    let many = "savepoint a;".repeat(1_000);
    for _ in 0..6 {
        session.run(&many);
    }
    assert_eq!(session.judge("create index i on t (a)").action(), Action::Reject);
}

#[test]
fn an_open_transaction_says_what_it_would_lose() {
    let session = Session::new(BuiltinPolicy::Default).before("begin | alter table t add b int");
    assert!(session.history.has_ddl() && session.history.holds_exclusive());
    let session = Session::new(BuiltinPolicy::Default).before("begin | create table t (a int)");
    assert!(session.history.has_ddl() && !session.history.holds_exclusive());
    let session = session.before("commit");
    assert!(!session.history.has_ddl());
}
