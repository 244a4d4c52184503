//! Table constraints, as ALTER TABLE … ADD takes them.
//!
//! Owns what decides the lock and the work: the kind, USING INDEX, NOT VALID (TableConstraint in `gram.y`).

use super::super::literal::Name;
use super::reader::{ObjectName, Reader};

/// A constraint of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Its name, where one is given and can be read.
    pub name: Option<Name>,
    /// What it is.
    pub kind: ConstraintKind,
    /// NOT VALID.
    pub not_valid: bool,
    /// NOT ENFORCED (Postgres 18).
    pub not_enforced: bool,
}

/// What a constraint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstraintKind {
    /// CHECK.
    Check,
    /// NOT NULL of a column (Postgres 18).
    NotNull(Option<Name>),
    /// UNIQUE; the index of USING INDEX, which is then not built.
    Unique(UsingIndex),
    /// PRIMARY KEY; likewise.
    PrimaryKey(UsingIndex),
    /// EXCLUDE.
    Exclude,
    /// FOREIGN KEY, and the table that it refers to.
    ForeignKey(Option<ObjectName>),
    /// None that we know.
    Unknown,
}

/// Whether a constraint takes an index that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsingIndex {
    /// It builds its own.
    Builds,
    /// USING INDEX of this name.
    Existing(Option<Name>),
}

/// True before a table constraint.
pub(super) fn is_next(at: &Reader) -> bool {
    const RESERVED: &[&str] = &["constraint", "check", "unique", "primary", "foreign", "not"];
    if at.at("exclude") {
        // Not reserved: a column may have this name.
        let parenthesis = |token: super::super::Token| {
            token.kind == super::super::Kind::Symbol(b'(') || at.is(token, "using")
        };
        return at.peek_second().is_some_and(parenthesis);
    }
    at.at_any(RESERVED)
}

/// Eats a table constraint, up to the comma or the parenthesis behind it.
pub(super) fn read(at: &mut Reader) -> Constraint {
    let name = if at.eat("constraint") { at.column() } else { None };
    let kind = if at.eat("check") {
        ConstraintKind::Check
    } else if at.eat_all(&["not", "null"]) {
        ConstraintKind::NotNull(at.column())
    } else if at.eat("unique") {
        ConstraintKind::Unique(using_index(at))
    } else if at.eat_all(&["primary", "key"]) {
        ConstraintKind::PrimaryKey(using_index(at))
    } else if at.eat("exclude") {
        ConstraintKind::Exclude
    } else if at.eat_all(&["foreign", "key"]) {
        at.parentheses();
        at.eat("references");
        ConstraintKind::ForeignKey(at.object())
    } else {
        ConstraintKind::Unknown
    };
    let (mut not_valid, mut not_enforced) = (false, false);
    while !at.at_item_end() {
        if at.eat_all(&["not", "valid"]) {
            not_valid = true;
        } else if at.eat_all(&["not", "enforced"]) {
            not_enforced = true;
        } else {
            at.skip();
        }
    }
    Constraint { name, kind, not_valid, not_enforced }
}

/// Eats `USING INDEX name` when it is next. `USING INDEX TABLESPACE name` comes behind the columns and is no such
/// thing.
fn using_index(at: &mut Reader) -> UsingIndex {
    if at.eat_all(&["using", "index"]) {
        UsingIndex::Existing(at.column())
    } else {
        UsingIndex::Builds
    }
}
