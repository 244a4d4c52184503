//! ALTER TABLE, and what of it other relations take.
//!
//! Owns the list of actions (AlterTableStmt, RenameStmt and AlterObjectSchemaStmt in `gram.y`), as far as they differ
//! in their locks and their work.

use super::super::literal::Name;
use super::column::{self, Column};
use super::constraint::{self, Constraint};
use super::reader::{ObjectName, Reader};
use super::session::{self, ParameterOwner};
use super::{Command, Commands, ObjectKind, types};

/// `ALTER {TABLE | INDEX | VIEW | …} [IF EXISTS] [ONLY] name action, …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTable {
    /// What the statement calls it; TABLE fits for any relation.
    pub kind: ObjectKind,
    /// IF EXISTS.
    pub if_exists: bool,
    /// ONLY.
    pub only: bool,
    /// The relation; None also for ALL IN TABLESPACE.
    pub table: Option<ObjectName>,
    /// What is done to it, in order.
    pub actions: Vec<TableAction>,
    /// True when these are all the actions.
    pub complete: bool,
}

/// One action of ALTER TABLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableAction {
    /// ADD COLUMN.
    AddColumn(Box<Column>),
    /// DROP COLUMN.
    DropColumn {
        /// The column.
        column: Option<Name>,
        /// CASCADE.
        cascade: bool,
    },
    /// ADD of a table constraint.
    AddConstraint(Constraint),
    /// VALIDATE CONSTRAINT.
    ValidateConstraint(Option<Name>),
    /// DROP CONSTRAINT.
    DropConstraint(Option<Name>),
    /// SET NOT NULL.
    SetNotNull(Option<Name>),
    /// DROP NOT NULL.
    DropNotNull(Option<Name>),
    /// ALTER COLUMN … TYPE.
    SetType {
        /// The column.
        column: Option<Name>,
        /// The new type as in [`Column::type_text`].
        type_text: Box<str>,
        /// USING an expression.
        using: bool,
    },
    /// ALTER COLUMN … SET EXPRESSION: a stored one is computed anew for each row.
    SetExpression(Option<Name>),
    /// SET TABLESPACE.
    SetTablespace,
    /// SET LOGGED.
    SetLogged,
    /// SET UNLOGGED.
    SetUnlogged,
    /// SET ACCESS METHOD.
    SetAccessMethod,
    /// ATTACH PARTITION; for an index, of an index.
    Attach {
        /// The partition.
        partition: Option<ObjectName>,
    },
    /// DETACH PARTITION.
    Detach {
        /// The partition.
        partition: Option<ObjectName>,
        /// CONCURRENTLY.
        concurrently: bool,
        /// FINALIZE.
        finalize: bool,
    },
    /// MERGE PARTITIONS or SPLIT PARTITION (Postgres 19): rows move under ACCESS EXCLUSIVE.
    MovePartitions,
    /// RENAME [COLUMN] … TO.
    RenameColumn {
        /// Its name so far.
        from: Option<Name>,
        /// Its name from now on.
        to: Option<Name>,
    },
    /// RENAME CONSTRAINT.
    RenameConstraint,
    /// RENAME TO.
    Rename(Option<Name>),
    /// SET SCHEMA.
    SetSchema(Option<Name>),
    /// Anything else.
    Other,
}

/// More actions than this in one statement are not kept.
const ACTIONS_MAX: usize = 1_000;

/// Behind ALTER.
pub(super) fn read(mut at: Reader, out: &mut Commands) {
    const RELATIONS: [(&[&str], ObjectKind); 6] = [
        (&["table"], ObjectKind::Table),
        (&["foreign", "table"], ObjectKind::ForeignTable),
        (&["index"], ObjectKind::Index),
        (&["view"], ObjectKind::View),
        (&["materialized", "view"], ObjectKind::MaterializedView),
        (&["sequence"], ObjectKind::Sequence),
    ];
    if let Some((_, kind)) = RELATIONS.into_iter().find(|(words, _)| at.eat_all(words)) {
        return relation(at, kind, out);
    }
    match () {
        () if at.eat("type") => types::alter(at, out),
        () if at.eat("domain") => types::alter_domain(at, out),
        () if at.eat("schema") => {
            let name = at.column();
            renamed(at, ObjectKind::Schema, name, out);
        }
        () if at.eat("database") => {
            let name = at.column();
            if !session::stored_parameter(at, ParameterOwner::Database(name.clone()), out) {
                renamed(at, ObjectKind::Database, name, out);
            }
        }
        () if at.eat("system") => {
            if !session::stored_parameter(at, ParameterOwner::System, out) {
                out.add_unknown(&at);
            }
        }
        () if at.eat_any(&["role", "user"]) => role(at, out),
        () => out.add(&at, Command::OtherDdl),
    }
}

/// Behind the name of what is no relation.
fn renamed(mut at: Reader, kind: ObjectKind, name: Option<Name>, out: &mut Commands) {
    if at.eat_all(&["rename", "to"]) {
        let from = name.map(ObjectName::unqualified);
        let to = at.column();
        return out.add(&at, Command::Rename { kind, from, to });
    }
    out.add(&at, Command::OtherDdl);
}

/// Behind `ALTER {ROLE | USER}`.
fn role(mut at: Reader, out: &mut Commands) {
    let all = at.at("all");
    let named = at.unreserved_name();
    if named.is_none() {
        at.bump(); // ALL, CURRENT_USER and their like are reserved.
    }
    let owner = if all { ParameterOwner::AllRoles } else { ParameterOwner::Role(named.clone()) };
    if at.eat_all(&["in", "database"]) {
        at.name();
    }
    if !session::stored_parameter(at, owner, out) {
        renamed(at, ObjectKind::Other, named, out);
    }
}

/// Behind `ALTER {TABLE | INDEX | …}`.
fn relation(mut at: Reader, kind: ObjectKind, out: &mut Commands) {
    let mut found = AlterTable {
        kind,
        if_exists: false,
        only: false,
        table: None,
        actions: Vec::new(),
        complete: true,
    };
    if at.eat_all(&["all", "in", "tablespace"]) {
        // `name [OWNED BY roles] SET TABLESPACE name [NOWAIT]`
        found.actions.push(TableAction::SetTablespace);
        return out.add(&at, Command::AlterTable(found));
    }
    found.if_exists = at.if_exists();
    (found.table, found.only) = at.relation();
    loop {
        let action = action(&mut at);
        // What is left of an action that was not read to its end.
        while !at.at_end() && !at.at_symbol(b',') {
            at.skip();
        }
        if found.actions.len() < ACTIONS_MAX {
            found.actions.push(action);
        } else {
            found.complete = false;
        }
        if !at.eat_symbol(b',') {
            break;
        }
    }
    out.add(&at, Command::AlterTable(found));
}

/// Eats one action, as far as it is of interest.
fn action(at: &mut Reader) -> TableAction {
    match () {
        () if at.eat("add") => add(at),
        () if at.eat("drop") => drop(at),
        () if at.eat("alter") => alter_column(at),
        () if at.eat("set") => set(at),
        () if at.eat_all(&["validate", "constraint"]) => {
            TableAction::ValidateConstraint(at.column())
        }
        () if at.eat_all(&["attach", "partition"]) => {
            TableAction::Attach { partition: at.object() }
        }
        () if at.eat_all(&["detach", "partition"]) => {
            let partition = at.object();
            let concurrently = at.at("concurrently");
            TableAction::Detach { partition, concurrently, finalize: at.at("finalize") }
        }
        () if at.eat_all(&["merge", "partitions"]) || at.eat_all(&["split", "partition"]) => {
            TableAction::MovePartitions
        }
        () if at.eat("rename") => rename(at),
        () => TableAction::Other,
    }
}

/// Behind ADD: a constraint, or a column with or without its word.
fn add(at: &mut Reader) -> TableAction {
    if constraint::is_next(at) {
        return TableAction::AddConstraint(constraint::read(at));
    }
    at.eat("column"); // Reserved.
    let if_not_exists = at.if_not_exists();
    TableAction::AddColumn(Box::new(column::read(at, if_not_exists)))
}

/// Behind DROP.
fn drop(at: &mut Reader) -> TableAction {
    if at.eat("constraint") {
        at.if_exists();
        return TableAction::DropConstraint(at.column());
    }
    at.eat("column");
    at.if_exists();
    let column = at.column();
    TableAction::DropColumn { column, cascade: at.at("cascade") }
}

/// Behind ALTER: a column, or a constraint.
fn alter_column(at: &mut Reader) -> TableAction {
    if at.at("constraint") {
        return TableAction::Other;
    }
    at.eat("column");
    if at.peek().is_some_and(|token| token.kind == super::super::Kind::Integer) {
        at.bump(); // A column of an index has a number only.
        return TableAction::Other;
    }
    let column = at.column();
    match () {
        () if at.eat_all(&["set", "not", "null"]) => TableAction::SetNotNull(column),
        () if at.eat_all(&["drop", "not", "null"]) => TableAction::DropNotNull(column),
        () if at.eat_all(&["set", "expression"]) => TableAction::SetExpression(column),
        () if at.eat("type") || at.eat_all(&["set", "data", "type"]) => {
            let type_text = column::type_text(at);
            let mut using = false;
            while !at.at_item_end() {
                using |= at.at("using");
                at.skip();
            }
            TableAction::SetType { column, type_text, using }
        }
        () => TableAction::Other,
    }
}

/// Behind SET.
fn set(at: &mut Reader) -> TableAction {
    match () {
        () if at.eat("tablespace") => TableAction::SetTablespace,
        () if at.eat("logged") => TableAction::SetLogged,
        () if at.eat("unlogged") => TableAction::SetUnlogged,
        () if at.eat_all(&["access", "method"]) => TableAction::SetAccessMethod,
        () if at.eat("schema") => TableAction::SetSchema(at.column()),
        () => TableAction::Other,
    }
}

/// Behind RENAME.
fn rename(at: &mut Reader) -> TableAction {
    if at.eat("to") {
        return TableAction::Rename(at.column());
    }
    if at.eat("constraint") {
        return TableAction::RenameConstraint;
    }
    at.eat("column");
    let from = at.column();
    at.eat("to");
    TableAction::RenameColumn { from, to: at.column() }
}
