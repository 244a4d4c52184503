//! Transaction commands, read to their last token.
//!
//! Owns their exact forms: a failed transaction is emulated from this, so `COMMIT nonsense` must not pass for COMMIT
//! (TransactionStmt in `gram.y`). Deliberately absent: whether a transaction is open.

use super::cursor::Cursor;
use super::effects::EffectSet;
use super::literal::Name;

/// One transaction command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionControl {
    /// BEGIN, START TRANSACTION.
    Begin(TransactionModes),
    /// COMMIT, END.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK, ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT name.
    Savepoint(Name),
    /// RELEASE name.
    Release(Name),
    /// ROLLBACK TO name.
    RollbackTo(Name),
    /// PREPARE TRANSACTION: the transaction leaves the session.
    PrepareTransaction,
    /// COMMIT PREPARED, outside of any transaction.
    CommitPrepared,
    /// ROLLBACK PREPARED, outside of any transaction.
    RollbackPrepared,
    /// SET TRANSACTION.
    SetTransaction(TransactionModes),
}

impl TransactionControl {
    pub(super) fn effects(&self) -> EffectSet {
        match self {
            Self::CommitPrepared | Self::RollbackPrepared => {
                EffectSet::TRANSACTION.with(EffectSet::NO_BLOCK)
            }
            Self::Begin(_)
            | Self::Commit { .. }
            | Self::Rollback { .. }
            | Self::Savepoint(_)
            | Self::Release(_)
            | Self::RollbackTo(_)
            | Self::PrepareTransaction
            | Self::SetTransaction(_) => EffectSet::TRANSACTION,
        }
    }
}

/// Modes written at BEGIN, START TRANSACTION or SET TRANSACTION; None where the text is silent. The last one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// ISOLATION LEVEL.
    pub isolation: Option<Isolation>,
    /// READ ONLY (true) or READ WRITE.
    pub read_only: Option<bool>,
    /// DEFERRABLE (true) or NOT DEFERRABLE.
    pub deferrable: Option<bool>,
    /// SET TRANSACTION SNAPSHOT.
    pub snapshot: bool,
}

/// An isolation level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// READ UNCOMMITTED, which Postgres treats as READ COMMITTED.
    ReadUncommitted,
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

impl Isolation {
    /// The value of `transaction_isolation` for this level.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read uncommitted",
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

/// BEGIN or START TRANSACTION.
pub(super) fn begin(mut cursor: Cursor) -> Option<TransactionControl> {
    if cursor.eat("start") {
        cursor.eat("transaction").then_some(())?;
    } else {
        cursor.eat("begin");
        cursor.eat_any(&["work", "transaction"]);
    }
    let modes = if cursor.at_end() { TransactionModes::default() } else { modes(&mut cursor)? };
    finished(cursor, TransactionControl::Begin(modes))
}

/// What begins with COMMIT, END, ROLLBACK or ABORT.
pub(super) fn end(mut cursor: Cursor) -> Option<TransactionControl> {
    let commits = cursor.at_any(&["commit", "end"]);
    let long_form = cursor.at_any(&["commit", "rollback"]);
    cursor.bump();
    if long_form && cursor.eat("prepared") {
        cursor.string()?;
        return finished(
            cursor,
            if commits {
                TransactionControl::CommitPrepared
            } else {
                TransactionControl::RollbackPrepared
            },
        );
    }
    cursor.eat_any(&["work", "transaction"]);
    if long_form && !commits && cursor.eat("to") {
        let name = savepoint_name(&mut cursor)?;
        return finished(cursor, TransactionControl::RollbackTo(name));
    }
    let chain = cursor.eat_all(&["and", "chain"]);
    if !chain {
        cursor.eat_all(&["and", "no", "chain"]);
    }
    finished(
        cursor,
        if commits {
            TransactionControl::Commit { chain }
        } else {
            TransactionControl::Rollback { chain }
        },
    )
}

/// SAVEPOINT or RELEASE.
pub(super) fn savepoint(mut cursor: Cursor) -> Option<TransactionControl> {
    if cursor.eat("release") {
        let name = savepoint_name(&mut cursor)?;
        return finished(cursor, TransactionControl::Release(name));
    }
    cursor.bump();
    let name = cursor.unreserved_name()?;
    finished(cursor, TransactionControl::Savepoint(name))
}

/// PREPARE TRANSACTION; None for any other PREPARE.
pub(super) fn prepare(mut cursor: Cursor) -> Option<TransactionControl> {
    cursor.eat_all(&["prepare", "transaction"]).then_some(())?;
    cursor.string()?;
    finished(cursor, TransactionControl::PrepareTransaction)
}

/// What follows SET TRANSACTION.
pub(super) fn set(mut cursor: Cursor) -> Option<TransactionControl> {
    let modes = if cursor.eat("snapshot") {
        cursor.string()?;
        TransactionModes { snapshot: true, ..TransactionModes::default() }
    } else {
        modes(&mut cursor)?
    };
    finished(cursor, TransactionControl::SetTransaction(modes))
}

/// One mode or more, with or without commas between them.
pub(super) fn modes(cursor: &mut Cursor) -> Option<TransactionModes> {
    let mut modes = TransactionModes::default();
    loop {
        mode(cursor, &mut modes)?;
        let comma = cursor.eat_symbol(b',');
        if cursor.at_end() {
            return (!comma).then_some(modes);
        }
    }
}

fn mode(cursor: &mut Cursor, modes: &mut TransactionModes) -> Option<()> {
    if cursor.eat_all(&["isolation", "level"]) {
        modes.isolation = Some(isolation(cursor)?);
    } else if cursor.eat_all(&["read", "only"]) {
        modes.read_only = Some(true);
    } else if cursor.eat_all(&["read", "write"]) {
        modes.read_only = Some(false);
    } else if cursor.eat("deferrable") {
        modes.deferrable = Some(true);
    } else if cursor.eat_all(&["not", "deferrable"]) {
        modes.deferrable = Some(false);
    } else {
        return None;
    }
    Some(())
}

fn isolation(cursor: &mut Cursor) -> Option<Isolation> {
    const LEVELS: [(&[&str], Isolation); 4] = [
        (&["read", "uncommitted"], Isolation::ReadUncommitted),
        (&["read", "committed"], Isolation::ReadCommitted),
        (&["repeatable", "read"], Isolation::RepeatableRead),
        (&["serializable"], Isolation::Serializable),
    ];
    LEVELS.into_iter().find(|(words, _)| cursor.eat_all(words)).map(|(_, level)| level)
}

/// `[SAVEPOINT] name`; SAVEPOINT alone is the name.
fn savepoint_name(cursor: &mut Cursor) -> Option<Name> {
    if cursor.peek_second().is_some_and(|token| token.kind.is_word()) {
        cursor.eat("savepoint");
    }
    cursor.unreserved_name()
}

/// `control`, if nothing is left.
fn finished(cursor: Cursor, control: TransactionControl) -> Option<TransactionControl> {
    cursor.at_end().then_some(control)
}
