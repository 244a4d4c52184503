//! ALTER TYPE, CREATE DOMAIN, ALTER DOMAIN.
//!
//! Owns values of enums, renames, and constraints of domains, for which the server reads every table that uses them.

use super::super::literal::Name;
use super::reader::{ObjectName, Reader};
use super::{Command, Commands};

/// `ALTER TYPE name action`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterType {
    /// The type.
    pub name: Option<ObjectName>,
    /// What happens to it.
    pub action: TypeAction,
}

/// What ALTER TYPE does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeAction {
    /// ADD VALUE.
    AddValue {
        /// BEFORE or AFTER another one.
        placed: bool,
    },
    /// RENAME VALUE.
    RenameValue,
    /// RENAME ATTRIBUTE.
    RenameAttribute,
    /// RENAME TO.
    Rename(Option<Name>),
    /// ADD, DROP or ALTER ATTRIBUTE: tables of that type follow.
    Attributes,
    /// SET SCHEMA.
    SetSchema(Option<Name>),
    /// Anything else.
    Other,
}

/// `CREATE DOMAIN name [AS] type constraints`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateDomain {
    /// The domain.
    pub name: Option<ObjectName>,
    /// CHECK or NOT NULL is among its constraints.
    pub constrained: bool,
}

/// `ALTER DOMAIN name action`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterDomain {
    /// The domain.
    pub name: Option<ObjectName>,
    /// What happens to it.
    pub action: DomainAction,
}

/// What ALTER DOMAIN does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainAction {
    /// ADD of a constraint.
    AddConstraint {
        /// NOT VALID.
        not_valid: bool,
    },
    /// SET NOT NULL.
    SetNotNull,
    /// VALIDATE CONSTRAINT.
    Validate,
    /// RENAME TO.
    Rename(Option<Name>),
    /// SET SCHEMA.
    SetSchema(Option<Name>),
    /// Anything else.
    Other,
}

/// Behind `ALTER TYPE`.
pub(super) fn alter(mut at: Reader, out: &mut Commands) {
    let name = at.object();
    let action = match () {
        () if at.eat_all(&["add", "value"]) => {
            at.if_not_exists();
            at.string();
            TypeAction::AddValue { placed: at.at_any(&["before", "after"]) }
        }
        () if at.eat_all(&["rename", "value"]) => TypeAction::RenameValue,
        () if at.eat_all(&["rename", "attribute"]) => TypeAction::RenameAttribute,
        () if at.eat_all(&["rename", "to"]) => TypeAction::Rename(at.column()),
        () if at.eat_all(&["set", "schema"]) => TypeAction::SetSchema(at.column()),
        () if at.at_any(&["add", "drop", "alter"]) => TypeAction::Attributes,
        () => TypeAction::Other,
    };
    out.add(&at, Command::AlterType(AlterType { name, action }));
}

/// Behind `CREATE DOMAIN`.
pub(super) fn create_domain(mut at: Reader, out: &mut Commands) {
    let name = at.object();
    let mut constrained = false;
    while !at.at_end() {
        if at.at("check") || at.eat_all(&["not", "null"]) {
            constrained = true;
        }
        at.skip();
    }
    out.add(&at, Command::CreateDomain(CreateDomain { name, constrained }));
}

/// Behind `ALTER DOMAIN`.
pub(super) fn alter_domain(mut at: Reader, out: &mut Commands) {
    let name = at.object();
    let action = match () {
        () if at.eat("add") => {
            let mut not_valid = false;
            while !at.at_end() {
                not_valid |= at.eat_all(&["not", "valid"]);
                at.skip();
            }
            DomainAction::AddConstraint { not_valid }
        }
        () if at.eat_all(&["set", "not", "null"]) => DomainAction::SetNotNull,
        () if at.eat_all(&["validate", "constraint"]) => DomainAction::Validate,
        () if at.eat_all(&["rename", "to"]) => DomainAction::Rename(at.column()),
        () if at.eat_all(&["set", "schema"]) => DomainAction::SetSchema(at.column()),
        () => DomainAction::Other,
    };
    out.add(&at, Command::AlterDomain(AlterDomain { name, action }));
}
