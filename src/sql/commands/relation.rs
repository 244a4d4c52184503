//! Statements that make a relation: CREATE TABLE in its forms, views, sequences, SELECT INTO.
//!
//! Owns the heads and what behind them touches other tables: PARTITION OF, INHERITS, REFERENCES.

use super::super::Kind;
use super::reader::{ObjectList, ObjectName, Reader};
use super::{Command, Commands, ObjectKind};

/// A relation that comes into being.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTable {
    /// What it is: a table, foreign table, view, materialized view or sequence.
    pub kind: ObjectKind,
    /// How long it lives.
    pub persistence: Persistence,
    /// IF NOT EXISTS: it may have existed before.
    pub if_not_exists: bool,
    /// OR REPLACE: it may have existed before.
    pub or_replace: bool,
    /// Its name.
    pub name: Option<ObjectName>,
    /// Where its columns come from.
    pub form: TableForm,
    /// PARTITION BY: it is a partitioned parent.
    pub partitioned: bool,
    /// INHERITS.
    pub inherits: ObjectList,
    /// Tables behind REFERENCES: they are locked with SHARE ROW EXCLUSIVE.
    pub references: ObjectList,
    /// ON COMMIT DROP.
    pub on_commit_drop: bool,
}

/// How long a relation lives, as far as its text says. A name in the schema `pg_temp` is temporary as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Until it is dropped.
    Permanent,
    /// TEMP, TEMPORARY: until the session ends.
    Temporary,
    /// UNLOGGED.
    Unlogged,
}

/// Where a relation's columns come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableForm {
    /// They are listed; LIKE and INHERITS may bring more. So it is for sequences.
    Columns,
    /// OF a type.
    OfType,
    /// PARTITION OF this parent, which is locked with ACCESS EXCLUSIVE.
    PartitionOf(Option<ObjectName>),
    /// A query: AS, AS EXECUTE, SELECT INTO, views.
    Query,
}

/// Eats `[GLOBAL | LOCAL] {TEMP | TEMPORARY}` or UNLOGGED (OptTemp).
pub(super) fn persistence(at: &mut Reader) -> Persistence {
    let mut trial = *at;
    trial.eat_any(&["global", "local"]);
    if trial.eat_any(&["temp", "temporary"]) {
        *at = trial;
        return Persistence::Temporary;
    }
    if at.eat("unlogged") { Persistence::Unlogged } else { Persistence::Permanent }
}

/// Behind `CREATE [OR REPLACE] […] {TABLE | VIEW | …}`, before IF NOT EXISTS and the name.
pub(super) fn create(
    mut at: Reader,
    kind: ObjectKind,
    persistence: Persistence,
    or_replace: bool,
    out: &mut Commands,
) {
    let if_not_exists = at.if_not_exists();
    let name = at.object();
    let mut found = CreateTable {
        kind,
        persistence,
        if_not_exists,
        or_replace,
        name,
        form: TableForm::Columns,
        partitioned: false,
        inherits: ObjectList { complete: true, ..ObjectList::default() },
        references: ObjectList { complete: true, ..ObjectList::default() },
        on_commit_drop: false,
    };
    match kind {
        ObjectKind::View | ObjectKind::MaterializedView => found.form = TableForm::Query,
        ObjectKind::Table | ObjectKind::ForeignTable => table(&mut at, &mut found),
        _ => {}
    }
    out.add(&at, Command::CreateTable(found));
}

/// Behind the name of a table.
fn table(at: &mut Reader, found: &mut CreateTable) {
    if at.eat_all(&["partition", "of"]) {
        found.form = TableForm::PartitionOf(at.object());
    } else if at.eat("of") {
        at.object();
        found.form = TableForm::OfType;
    }
    // What stands in the first parentheses are columns and constraints, or the columns of a query.
    if at.at_symbol(b'(') {
        references(at, found);
    }
    while !at.at_end() {
        if at.eat_all(&["partition", "by"]) {
            found.partitioned = true;
        } else if at.eat_all(&["on", "commit", "drop"]) {
            found.on_commit_drop = true;
        } else if at.eat("inherits") {
            at.eat_symbol(b'(');
            found.inherits = at.objects();
        } else if at.eat("as") {
            found.form = TableForm::Query;
            return;
        } else {
            at.skip();
        }
    }
}

/// Eats the parentheses of columns and constraints, and keeps what stands behind REFERENCES.
fn references(at: &mut Reader, found: &mut CreateTable) {
    let mut depth = 0_usize;
    loop {
        // A reserved word: no name, unless a point stands before it, and no column's or table's part does here.
        if at.eat("references") {
            match at.object() {
                Some(name) if found.references.names.len() < super::reader::NAMES_MAX => {
                    found.references.names.push(name);
                }
                Some(_) | None => found.references.complete = false,
            }
            continue;
        }
        let Some(token) = at.bump() else { return };
        match token.kind {
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// Behind INTO of a SELECT (OptTempTableName).
pub(super) fn select_into(mut at: Reader, out: &mut Commands) {
    let persistence = persistence(&mut at);
    at.eat("table");
    let name = at.object();
    let found = CreateTable {
        kind: ObjectKind::Table,
        persistence,
        if_not_exists: false,
        or_replace: false,
        name,
        form: TableForm::Query,
        partitioned: false,
        inherits: ObjectList { complete: true, ..ObjectList::default() },
        references: ObjectList { complete: true, ..ObjectList::default() },
        on_commit_drop: false,
    };
    out.add(&at, Command::CreateTable(found));
}
