//! Transaction commands.

use super::facts_of;
use crate::sql::{Isolation, Name, TransactionControl as T, TransactionModes as M};

fn name(name: &str) -> Name {
    Name::new(name.as_bytes())
}

fn check(cases: &[(&str, T)]) {
    for (text, expected) in cases {
        let facts = facts_of(text);
        assert_eq!(facts.transaction_control(), Some(expected), "{text}");
        assert!(!facts.is_plain(), "{text}");
        assert!(facts.pins().is_empty(), "{text}");
    }
}

#[test]
fn beginnings() {
    let none = M::default();
    let serializable = M { isolation: Some(Isolation::Serializable), ..none };
    check(&[
        ("BEGIN", T::Begin(none)),
        ("/* x */ begin ; ", T::Begin(none)),
        ("begin work", T::Begin(none)),
        ("BEGIN TRANSACTION READ ONLY", T::Begin(M { read_only: Some(true), ..none })),
        ("start transaction", T::Begin(none)),
        ("start transaction isolation level serializable", T::Begin(serializable)),
        (
            "begin isolation level repeatable read, read write not deferrable",
            T::Begin(M {
                isolation: Some(Isolation::RepeatableRead),
                read_only: Some(false),
                deferrable: Some(false),
                snapshot: false,
            }),
        ),
        ("begin read only, read write", T::Begin(M { read_only: Some(false), ..none })),
        ("set transaction deferrable", T::SetTransaction(M { deferrable: Some(true), ..none })),
        ("set local transaction read only", T::SetTransaction(M { read_only: Some(true), ..none })),
        ("SET TRANSACTION SNAPSHOT 'x-1'", T::SetTransaction(M { snapshot: true, ..none })),
    ]);
}

#[test]
fn endings() {
    check(&[
        ("COMMIT", T::Commit { chain: false }),
        ("end transaction", T::Commit { chain: false }),
        ("commit work and chain", T::Commit { chain: true }),
        ("commit and no chain", T::Commit { chain: false }),
        ("ROLLBACK;", T::Rollback { chain: false }),
        ("abort and chain", T::Rollback { chain: true }),
        ("rollback transaction", T::Rollback { chain: false }),
        ("rollback to a", T::RollbackTo(name("a"))),
        ("rollback work to savepoint \"A\"", T::RollbackTo(name("A"))),
        ("rollback to savepoint", T::RollbackTo(name("savepoint"))),
        ("savepoint AbC", T::Savepoint(name("abc"))),
        ("release savepoint x", T::Release(name("x"))),
        ("release x", T::Release(name("x"))),
        ("release savepoint", T::Release(name("savepoint"))),
        ("savepoint U&\"!0061\" uescape '!'", T::Savepoint(name("a"))),
        ("prepare transaction 'g'", T::PrepareTransaction),
        ("commit prepared 'g'", T::CommitPrepared),
        ("rollback prepared 'g'", T::RollbackPrepared),
    ]);
}

#[test]
fn what_the_grammar_refuses_is_no_transaction_command() {
    for text in [
        "commit x",
        "begin read",
        "begin read only,",
        "start",
        "savepoint",
        "rollback to",
        "abort to a",
        "end prepared 'x'",
        "commit and",
        "prepare transaction x",
        "set transaction",
        "rollback chain",
        "begin; commit",
        "\"commit\"",
        "savepoint and",
        "rollback to to",
        "explain begin",
        "commit /*",
        "",
    ] {
        assert_eq!(facts_of(text).transaction_control(), None, "{text}");
    }
}
