//! Temporary tables: they outlive their transaction, and end in more ways than one.

use super::*;

#[test]
fn temporary_tables_are_the_sessions_own() {
    check_refused(&[
        (
            "create temp table t (a int)",
            "create index i on t (a)",
            "",
            "it outlives its transaction",
        ),
        (
            "create temporary table t as select 1 as a",
            "create index i on t (a)",
            "",
            "from a query",
        ),
        ("select 1 as a into temp t", "create index i on t (a)", "", "by SELECT INTO"),
        ("create local temp table t (a int)", "create index i on t (a)", "", "LOCAL says nothing"),
        (
            "create temp table t (a int)",
            "create index i on pg_temp.t (a)",
            "",
            "by the name of its schema",
        ),
        ("", "create index i on pg_temp.t (a)", "", "whatever it is, nobody else has it"),
        (
            "",
            "create index i on pg_temp_3.t (a)",
            "",
            "by the schema's own name; the server refuses others'",
        ),
        ("", "drop index pg_temp.i", "", "likewise"),
        (
            "create table pg_temp.t (a int)",
            "create index i on t (a)",
            "",
            "made by the name of its schema",
        ),
        (
            "begin | create temp table t (a int) | commit",
            "create index i on t (a)",
            "",
            "committed",
        ),
        (
            "create temp table t (a int) | create index i on t (a)",
            "drop index i",
            "",
            "an index of it",
        ),
        (
            "create temp table t (a int) | alter table t rename to u",
            "create index i on u (a)",
            "",
            "renamed",
        ),
        (
            "create temp table t (a int) | begin | set local search_path to s",
            "create index i on t (a)",
            "",
            "it comes before search_path",
        ),
        (
            "create temp table t (a int) | create table t (a int)",
            "create index i on t (a)",
            "",
            "it hides the other",
        ),
        (
            "create temp table t (a int) | begin | !drop table t | rollback",
            "create index i on t (a)",
            "",
            "still there",
        ),
        (
            "create temp table t (a int) | begin | drop table t | rollback",
            "create index i on t (a)",
            "",
            "there again",
        ),
        ("create temp table t (a int)", "create index i on public.t (a)", "create", "a namesake"),
        ("create temp table t (a int)", "create index i on u (a)", "create", "another one"),
        (
            "create temp table t (a int) | drop table t",
            "create index i on t (a)",
            "create",
            "dropped",
        ),
        (
            "create temp table t (a int) | drop table if exists pg_temp.t",
            "create index i on t (a)",
            "create",
            "dropped by the schema's name",
        ),
        (
            "create temp table p (a int) partition by list (a) | create temp table t partition of p default | drop table p",
            "create index i on t (a)",
            "create",
            "it has gone with its parent",
        ),
        (
            "create temp table p (a int) partition by list (a) | create temp table t (a int) | \
             alter table p attach partition t default | drop table p",
            "create index i on t (a)",
            "create",
            "so has one that was attached",
        ),
        (
            "create temp table t (a int) | discard temp",
            "create index i on t (a)",
            "create",
            "DISCARD TEMP drops it",
        ),
        (
            "create temp table t (a int) | discard all",
            "create index i on t (a)",
            "create",
            "so does DISCARD ALL",
        ),
        (
            "create temp table t (a int) | begin | discard temp",
            "create index i on t (a)",
            "create",
            "in a transaction",
        ),
        (
            "begin | create temp table t (a int) on commit drop | commit",
            "create index i on t (a)",
            "create",
            "it ended with its transaction",
        ),
        (
            "begin | create temp table t (a int) on commit drop",
            "create index i on t (a)",
            "",
            "until then it is there",
        ),
        (
            "begin | create temp table t (a int) on commit delete rows | commit",
            "create index i on t (a)",
            "",
            "only its rows are gone",
        ),
        (
            "begin | create temp table t (a int) | rollback",
            "create index i on t (a)",
            "create",
            "rolled back",
        ),
        ("!create temp table t (a int)", "create index i on t (a)", "create", "never made"),
        (
            "create temp table if not exists t (a int)",
            "create index i on t (a)",
            "create",
            "it may be taken for another",
        ),
        (
            "create temp table t (a int) | alter table t rename to u",
            "create index i on t (a)",
            "create",
            "the old name",
        ),
        (
            "create temp table t (a int) | begin | set search_path to public, pg_temp",
            "create index i on t (a)",
            "create",
            "public comes first now",
        ),
        (
            "create temp table t (a int) | begin | set search_path to public, \"pg_temp\"",
            "create index i on t (a)",
            "create",
            "in quotes",
        ),
        (
            "create temp table t (a int) | begin | set search_path to public, U&\"pg\\005ftemp\"",
            "create index i on t (a)",
            "create",
            "with an escape",
        ),
        (
            "create temp table t (a int) | begin | select set_config('search_path', x, true) from y",
            "create index i on t (a)",
            "create",
            "to what nobody knows",
        ),
        (
            "",
            "create temp table t (a int); commit; create index i on t (a)",
            "",
            "across a COMMIT within one string",
        ),
        (
            "!create temp table t (a int); commit",
            "create index i on t (a)",
            "create",
            "the string failed, and t with it",
        ),
    ]);
    let explicit = || {
        let mut session = Session::new(BuiltinPolicy::Default);
        session.search_path = Some(b"public, pg_temp");
        session
    };
    check_refused_by(
        explicit,
        &[
            (
                "create temp table t (a int)",
                "create index i on t (a)",
                "create",
                "public.t would come first",
            ),
            ("create temp table t (a int)", "create index i on pg_temp.t (a)", "", "said plainly"),
        ],
    );
}

#[test]
fn temporary_tables_end_with_their_server() {
    let mut session = Session::new(BuiltinPolicy::Default).before("create temp table t (a int)");
    assert_eq!(session.judge("create index i on t (a)").action(), Action::Off);
    session.history.temporary_tables_gone();
    assert!(session.history.is_empty());
    assert_eq!(session.judge("create index i on t (a)").action(), Action::Reject);
}
