//! What each command does to the log.

use super::super::locks;
use super::super::values;
use super::event::{Event, LockTimeout, Relation, Scene, State};
use super::lookup::Standing;
use crate::sql::commands::{
    AlterTable, Command, ConstraintKind, CreateIndex, CreateSchema, CreateTable, Drop, Found,
    LockMode, ObjectKind, ObjectName, Opaque, OpaqueReason, Persistence, Place, TableAction,
    TableForm,
};
use crate::sql::{Action, Discard, Name, ParameterUse, Target, TransactionControl};

/// Parameters that decide what a name without a schema means.
const PATH: [&[u8]; 3] = [b"search_path", b"role", b"session_authorization"];

/// True for commands that leave nothing in a history that is blank.
pub(super) fn leaves_nothing(command: &Command) -> bool {
    match command {
        Command::Transaction(_)
        | Command::Write(_)
        | Command::UnboundedCount { .. }
        | Command::Offset(_)
        | Command::InList { .. }
        | Command::WholeSelect { .. }
        | Command::AssignedTwice { .. }
        | Command::AdvisoryLock
        | Command::Analyze
        | Command::ServerSideCopy { .. }
        | Command::Unknown { .. }
        | Command::LockTable(_) => true,
        Command::CreateIndex(_)
        | Command::DropIndex(_)
        | Command::Reindex(_)
        | Command::CreateTable(_)
        | Command::CreateSchema(_)
        | Command::CreateRoutine(_)
        | Command::CreateDomain(_)
        | Command::Drop(_)
        | Command::AlterTable(_)
        | Command::AlterType(_)
        | Command::AlterDomain(_)
        | Command::Rename { .. }
        | Command::Cluster(_)
        | Command::Vacuum(_)
        | Command::Repack(_)
        | Command::Refresh(_)
        | Command::Truncate(_)
        | Command::Parameter(_)
        | Command::StoredParameter(_)
        | Command::Discard(_)
        | Command::Call { .. }
        | Command::Opaque(_)
        | Command::OtherDdl => false,
    }
}

impl State {
    /// Takes note of a command that is sent.
    pub(in super::super) fn apply(&mut self, found: &Found, scene: &mut Scene) {
        let certain = match found.place {
            Place::Plain | Place::Code { certain: true } => true,
            Place::Code { certain: false } | Place::Assembled => false,
            // Nothing runs now; and what CREATE SCHEMA holds is known by the schema.
            Place::Prepared | Place::Element => return,
        };
        if let Command::Transaction(control) = &found.command {
            if found.place == Place::Plain {
                self.control(control, scene);
            } else {
                self.push(Event::Forgotten);
            }
            return;
        }
        if scene.failed {
            return;
        }
        if found.command.is_ddl() {
            self.push_once(Event::Ddl);
        }
        self.lock(&found.command, scene);
        match &found.command {
            Command::CreateTable(made) => self.created(made, certain),
            Command::CreateIndex(made) if certain => self.created_index(made, scene),
            Command::CreateSchema(CreateSchema { if_not_exists: false, name: Some(name) })
                if certain =>
            {
                self.push(Event::SchemaCreated(name.clone()));
            }
            Command::DropIndex(drop) => self.gone(&drop.indexes.names, drop.indexes.complete),
            Command::Drop(drop) => self.dropped(drop),
            Command::AlterTable(altered) => self.altered(altered, scene),
            Command::Rename { kind: ObjectKind::Schema, from, to } => match (from, to) {
                (Some(from), Some(to)) => {
                    self.push(Event::SchemaLeft { from: from.name.clone(), to: Some(to.clone()) });
                }
                _ => self.push(Event::Forgotten),
            },
            Command::Parameter(used) => self.parameter(used, scene),
            Command::Discard(Discard::All) => {
                self.push(Event::PathChanged { temp: false });
                self.push(Event::TempGone);
            }
            Command::Discard(Discard::Temp) => self.push(Event::TempGone),
            Command::Call { .. } => self.ran_code(true, scene),
            Command::Opaque(Opaque { reason, .. }) => {
                // Dynamic SQL cannot end a transaction, other languages can.
                self.ran_code(!matches!(reason, OpaqueReason::Execute), scene);
            }
            Command::CreateIndex(_)
            | Command::CreateSchema(_)
            | Command::Reindex(_)
            | Command::CreateRoutine(_)
            | Command::CreateDomain(_)
            | Command::AlterType(_)
            | Command::AlterDomain(_)
            | Command::Rename { .. }
            | Command::Cluster(_)
            | Command::Vacuum(_)
            | Command::Repack(_)
            | Command::Refresh(_)
            | Command::LockTable(_)
            | Command::Truncate(_)
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
            | Command::StoredParameter(_)
            | Command::Discard(Discard::Plans | Discard::Sequences)
            | Command::OtherDdl
            | Command::Unknown { .. } => {}
        }
    }

    /// Takes note of a command of a text that is being judged: those behind it come later than anything that the catalog
    /// says now. Names that a COMMIT between them leaves to mean something else are not known.
    pub(in super::super) fn foresee(&mut self, found: &Found, scene: &mut Scene) {
        let names_change = self.is_lost() || self.log.iter().any(Event::changes_names);
        self.apply(found, scene);
        if let Command::Transaction(TransactionControl::Commit { .. }) = &found.command
            && names_change
        {
            self.push(Event::Forgotten);
        }
    }

    fn control(&mut self, control: &TransactionControl, scene: &mut Scene) {
        match control {
            TransactionControl::Commit { chain } | TransactionControl::Rollback { chain } => {
                let commits = matches!(control, TransactionControl::Commit { .. });
                self.leave(commits && !scene.failed);
                scene.in_block &= *chain;
                scene.failed = false;
            }
            TransactionControl::PrepareTransaction => {
                self.leave(false);
                scene.in_block = false;
                scene.failed = false;
            }
            TransactionControl::RollbackTo(name) => {
                self.rollback_to(name);
                scene.failed = false;
            }
            TransactionControl::Begin(_) if !scene.failed => scene.in_block = true,
            TransactionControl::Savepoint(name) if !scene.failed => self.savepoint(name.clone()),
            TransactionControl::Release(name) if !scene.failed => self.release(name),
            TransactionControl::Begin(_)
            | TransactionControl::Savepoint(_)
            | TransactionControl::Release(_)
            | TransactionControl::CommitPrepared
            | TransactionControl::RollbackPrepared
            | TransactionControl::SetTransaction(_) => {}
        }
    }

    /// Keeps that ACCESS EXCLUSIVE is taken, where it is on something that was there before.
    fn lock(&mut self, command: &Command, scene: &Scene) {
        let strong = |lock: &locks::Lock| {
            lock.mode == LockMode::AccessExclusive
                && lock.object.is_none_or(|object| self.is_existing(object, scene))
        };
        if locks::of(command).iter().any(strong) {
            self.push_once(Event::Exclusive);
        }
    }

    fn created(&mut self, made: &CreateTable, certain: bool) {
        if !certain || made.if_not_exists || made.or_replace {
            return; // It may have existed before.
        }
        let Some(name) = &made.name else { return };
        let temporary = made.persistence == Persistence::Temporary || name.is_temporary();
        let name =
            if temporary { ObjectName::unqualified(name.name.clone()) } else { name.clone() };
        self.push(Event::Created(Relation {
            name,
            temporary,
            partitioned: made.partitioned,
            on_commit_drop: made.on_commit_drop,
            depends: !matches!(made.form, TableForm::Columns | TableForm::Query)
                || !made.inherits.names.is_empty()
                || !made.inherits.complete,
            index_of: None,
        }));
    }

    /// An index of a table that is new is new itself.
    fn created_index(&mut self, made: &CreateIndex, scene: &Scene) {
        let (Some(name), Some(table), false) = (&made.name, &made.table, made.if_not_exists) else {
            return;
        };
        if let Standing::New { temporary, partitioned, .. } = self.standing(table, scene) {
            let schema = table.schema.clone().filter(|_| !temporary);
            let name = ObjectName { database: None, schema, name: name.clone() };
            let (on_commit_drop, index_of) = (false, Some(table.name.clone()));
            let depends = false;
            let made = Relation { name, temporary, partitioned, on_commit_drop, depends, index_of };
            self.push(Event::Created(made));
        }
    }

    fn gone(&mut self, names: &[ObjectName], complete: bool) {
        for name in names {
            self.push(Event::Gone(name.clone()));
        }
        if !complete {
            self.push(Event::Forgotten);
        }
    }

    fn has_dependents(&self) -> bool {
        let in_log = |event: &Event| matches!(event, Event::Created(made) if made.depends);
        self.log.iter().any(in_log)
    }

    fn dropped(&mut self, drop: &Drop) {
        if !matches!(drop.kind, ObjectKind::Index | ObjectKind::Database) && self.has_dependents() {
            // It may have been the parent, or the type, of one of them.
            self.push(Event::Forgotten);
            self.push(Event::TempGone);
        }
        match drop.kind {
            ObjectKind::Table
            | ObjectKind::ForeignTable
            | ObjectKind::View
            | ObjectKind::MaterializedView
            | ObjectKind::Sequence
            | ObjectKind::Index => self.gone(&drop.names.names, drop.names.complete),
            ObjectKind::Schema => {
                for name in &drop.names.names {
                    self.push(Event::SchemaLeft { from: name.name.clone(), to: None });
                }
                if !drop.names.complete {
                    self.push(Event::Forgotten);
                }
            }
            ObjectKind::Owned => self.push(Event::Forgotten),
            ObjectKind::Database | ObjectKind::Type | ObjectKind::Domain | ObjectKind::Other => {}
        }
    }

    fn altered(&mut self, altered: &AlterTable, scene: &Scene) {
        let Some(table) = &altered.table else {
            // ALL IN TABLESPACE moves and renames nothing; what is put together may.
            if altered.actions != [TableAction::SetTablespace] {
                self.push(Event::Forgotten);
            }
            return;
        };
        if altered.kind == ObjectKind::Table && self.is_existing(table, scene) {
            self.push(Event::Altered(table.clone()));
        }
        for action in &altered.actions {
            match action {
                TableAction::Rename(Some(to)) => {
                    self.push(Event::Renamed { from: table.clone(), to: to.clone() });
                }
                TableAction::SetSchema(Some(schema)) => {
                    self.push(Event::Moved { from: table.clone(), schema: schema.clone() });
                }
                TableAction::Rename(None) | TableAction::SetSchema(None) => {
                    self.push(Event::Forgotten);
                }
                TableAction::Attach { partition } if altered.kind != ObjectKind::Index => {
                    let reaches = partition.as_ref().is_none_or(|partition| {
                        match self.standing(partition, scene) {
                            Standing::New { reaches_existing, .. } => reaches_existing,
                            Standing::Before(_) | Standing::Unclear => true,
                        }
                    });
                    if reaches && !self.is_existing(table, scene) {
                        self.push(Event::AttachedExisting);
                    }
                    if let Some(partition) = partition
                        && let Standing::New { temporary: true, .. } =
                            self.standing(partition, scene)
                    {
                        // From now on it goes with its parent.
                        self.push(Event::Gone(partition.clone()));
                    }
                }
                TableAction::AddConstraint(constraint)
                    if constraint.not_valid && constraint.kind != ConstraintKind::Unknown =>
                {
                    let constraint = constraint.name.clone();
                    self.push(Event::NotValid { table: table.clone(), constraint });
                }
                TableAction::Attach { .. }
                | TableAction::AddConstraint(_)
                | TableAction::AddColumn(_)
                | TableAction::DropColumn { .. }
                | TableAction::ValidateConstraint(_)
                | TableAction::DropConstraint(_)
                | TableAction::SetNotNull(_)
                | TableAction::DropNotNull(_)
                | TableAction::SetType { .. }
                | TableAction::SetExpression(_)
                | TableAction::SetTablespace
                | TableAction::SetLogged
                | TableAction::SetUnlogged
                | TableAction::SetAccessMethod
                | TableAction::Detach { .. }
                | TableAction::MovePartitions
                | TableAction::RenameColumn { .. }
                | TableAction::RenameConstraint
                | TableAction::Other => {}
            }
        }
    }

    fn parameter(&mut self, used: &ParameterUse, scene: &Scene) {
        if PATH.iter().any(|name| used.target.may_be(name)) {
            let temp = match (&used.target, &used.action) {
                (_, Action::Default | Action::Null | Action::Current | Action::Read) => false,
                (Target::Named(name), action) if *name == *"search_path" => {
                    values::names_temp(action, scene)
                }
                (Target::Named(_) | Target::All, _) => false,
                (Target::Param(_) | Target::Expression, _) => true,
            };
            self.push(Event::PathChanged { temp });
        }
        let limit = match &used.target {
            Target::Named(name) if *name == *"lock_timeout" => values::millis(&used.action, scene)
                .map_or(
                    if matches!(used.action, Action::Default | Action::Null) {
                        LockTimeout::Default
                    } else {
                        LockTimeout::Unknown
                    },
                    LockTimeout::Set,
                ),
            Target::All => LockTimeout::Default,
            Target::Named(_) | Target::Param(_) | Target::Expression => return,
        };
        self.push(Event::LockTimeout(limit));
    }

    /// Code may rename; where no block is open it may also commit.
    fn ran_code(&mut self, commits: bool, scene: &Scene) {
        self.push(if commits && !scene.in_block { Event::Forgotten } else { Event::Opaque });
    }

    /// True where an object is not known to be new.
    pub(in super::super) fn is_existing(&self, name: &ObjectName, scene: &Scene) -> bool {
        !matches!(self.standing(name, scene), Standing::New { .. })
    }

    /// True where a schema is new.
    pub(in super::super) fn made_schema(&self, name: &Name) -> bool {
        let mut left = false;
        for event in self.log.iter().rev() {
            match event {
                Event::SchemaCreated(made) if made == name => return !left && !self.is_lost(),
                Event::SchemaLeft { .. } | Event::Moved { .. } | Event::Forgotten => left = true,
                _ => {}
            }
        }
        false
    }
}
