//! Locks that commands take on relations, as far as rules have to tell: SHARE and stronger.
//!
//! Owns the table, after chapter 13.3 of the manual and the source (`AlterTableGetLockLevel`); the strongest mode of a
//! statement. Deliberately absent: locks on what is being made, and those of triggers, rules and policies.

use crate::sql::commands::{
    AlterTable, Command, ConstraintKind, LockMode, ObjectKind, ObjectName, TableAction, TableForm,
};

/// One lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lock<'a> {
    pub(super) mode: LockMode,
    /// On what; None where the text does not say.
    pub(super) object: Option<&'a ObjectName>,
}

/// The locks of SHARE and stronger that a command takes.
pub(super) fn of(command: &Command) -> Vec<Lock<'_>> {
    match command {
        Command::CreateIndex(index) if !index.concurrently => {
            one(LockMode::Share, index.table.as_ref())
        }
        // The index stands for its table.
        Command::DropIndex(index) if !index.concurrently => {
            each(LockMode::AccessExclusive, &index.indexes.names, index.indexes.complete)
        }
        Command::Reindex(reindex) if !reindex.concurrently => {
            one(LockMode::Share, reindex.name.as_ref())
        }
        Command::CreateTable(made) => {
            let mut locks: Vec<Lock> =
                each(LockMode::ShareRowExclusive, &made.references.names, made.references.complete);
            // What a table refers to may be itself.
            locks.retain(|lock| lock.object.is_none() || lock.object != made.name.as_ref());
            if let TableForm::PartitionOf(parent) = &made.form {
                locks.push(Lock { mode: LockMode::AccessExclusive, object: parent.as_ref() });
            }
            locks
        }
        Command::Drop(drop) => match drop.kind {
            ObjectKind::Table
            | ObjectKind::ForeignTable
            | ObjectKind::View
            | ObjectKind::MaterializedView => {
                each(LockMode::AccessExclusive, &drop.names.names, drop.names.complete)
            }
            ObjectKind::Owned => one(LockMode::AccessExclusive, None),
            ObjectKind::Schema if drop.cascade => one(LockMode::AccessExclusive, None),
            ObjectKind::Schema
            | ObjectKind::Sequence
            | ObjectKind::Index
            | ObjectKind::Database
            | ObjectKind::Type
            | ObjectKind::Domain
            | ObjectKind::Other => Vec::new(),
        },
        Command::AlterTable(altered) => of_alter(altered),
        Command::Cluster(cluster) => one(LockMode::AccessExclusive, cluster.table.as_ref()),
        Command::Vacuum(vacuum) if vacuum.full => {
            let complete = vacuum.tables.complete && !vacuum.tables.names.is_empty();
            each(LockMode::AccessExclusive, &vacuum.tables.names, complete)
        }
        Command::Repack(repack) => one(LockMode::AccessExclusive, repack.table.as_ref()),
        Command::Refresh(refresh) => {
            let mode =
                if refresh.concurrently { LockMode::Exclusive } else { LockMode::AccessExclusive };
            one(mode, refresh.view.as_ref())
        }
        Command::Truncate(truncate) => {
            each(LockMode::AccessExclusive, &truncate.tables.names, truncate.tables.complete)
        }
        Command::CreateIndex(_)
        | Command::DropIndex(_)
        | Command::Reindex(_)
        | Command::CreateSchema(_)
        | Command::CreateRoutine(_)
        | Command::CreateDomain(_)
        | Command::AlterType(_)
        | Command::AlterDomain(_)
        | Command::Rename { .. }
        | Command::Vacuum(_)
        | Command::LockTable(_)
        | Command::Analyze
        | Command::Write(_)
        | Command::ServerSideCopy { .. }
        | Command::AdvisoryLock
        | Command::UnboundedCount { .. }
        | Command::Offset(_)
        | Command::InList { .. }
        | Command::WholeSelect { .. }
        | Command::AssignedTwice { .. }
        | Command::Transaction(_)
        | Command::Parameter(_)
        | Command::StoredParameter(_)
        | Command::Discard(_)
        | Command::Call { .. }
        | Command::Opaque(_)
        | Command::OtherDdl
        | Command::Unknown { .. } => Vec::new(),
    }
}

fn one(mode: LockMode, object: Option<&ObjectName>) -> Vec<Lock<'_>> {
    vec![Lock { mode, object }]
}

fn each(mode: LockMode, objects: &[ObjectName], complete: bool) -> Vec<Lock<'_>> {
    let known = objects.iter().map(Some);
    let unknown = (!complete).then_some(None);
    known.chain(unknown).map(|object| Lock { mode, object }).collect()
}

fn of_alter(altered: &AlterTable) -> Vec<Lock<'_>> {
    let relation = match altered.kind {
        ObjectKind::Table
        | ObjectKind::ForeignTable
        | ObjectKind::View
        | ObjectKind::MaterializedView => true,
        ObjectKind::Sequence
        | ObjectKind::Index
        | ObjectKind::Schema
        | ObjectKind::Database
        | ObjectKind::Type
        | ObjectKind::Domain
        | ObjectKind::Owned
        | ObjectKind::Other => false,
    };
    if !relation {
        return Vec::new();
    }
    let mut locks = Vec::new();
    let mut add = |mode, object| locks.push(Lock { mode, object });
    let table = altered.table.as_ref();
    for action in &altered.actions {
        match action {
            TableAction::ValidateConstraint(_) => {}
            TableAction::AddConstraint(constraint) => match &constraint.kind {
                ConstraintKind::ForeignKey(to) => {
                    add(LockMode::ShareRowExclusive, table);
                    add(LockMode::ShareRowExclusive, to.as_ref());
                }
                ConstraintKind::Check
                | ConstraintKind::NotNull(_)
                | ConstraintKind::Unique(_)
                | ConstraintKind::PrimaryKey(_)
                | ConstraintKind::Exclude
                | ConstraintKind::Unknown => add(LockMode::AccessExclusive, table),
            },
            TableAction::AddColumn(column) => {
                add(LockMode::AccessExclusive, table);
                if let Some(to) = &column.references {
                    add(LockMode::ShareRowExclusive, to.as_ref());
                }
            }
            // The parent is locked weakly.
            TableAction::Attach { partition } => {
                add(LockMode::AccessExclusive, partition.as_ref());
            }
            TableAction::Detach { concurrently, finalize, .. } => {
                if !concurrently && !finalize {
                    add(LockMode::AccessExclusive, table);
                }
            }
            TableAction::DropColumn { .. }
            | TableAction::DropConstraint(_)
            | TableAction::SetNotNull(_)
            | TableAction::DropNotNull(_)
            | TableAction::SetType { .. }
            | TableAction::SetExpression(_)
            | TableAction::SetTablespace
            | TableAction::SetLogged
            | TableAction::SetUnlogged
            | TableAction::SetAccessMethod
            | TableAction::MovePartitions
            | TableAction::RenameColumn { .. }
            | TableAction::RenameConstraint
            | TableAction::Rename(_)
            | TableAction::SetSchema(_)
            | TableAction::Other => add(LockMode::AccessExclusive, table),
        }
    }
    locks
}

/// A mode as Postgres writes it.
pub(super) fn word(mode: LockMode) -> &'static str {
    match mode {
        LockMode::AccessShare => "ACCESS SHARE",
        LockMode::RowShare => "ROW SHARE",
        LockMode::RowExclusive => "ROW EXCLUSIVE",
        LockMode::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
        LockMode::Share => "SHARE",
        LockMode::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
        LockMode::Exclusive => "EXCLUSIVE",
        LockMode::AccessExclusive => "ACCESS EXCLUSIVE",
    }
}
