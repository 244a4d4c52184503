//! `domain-constraint` and `enum-value-order`: types whose change reaches tables.
//!
//! A constraint of a domain is checked against each table that has a column of it, under SHARE. ADD VALUE without BEFORE
//! or AFTER puts the value last, which is not always where it sorts.

use super::super::case::{Case, Fault, Rule};
use super::super::words::shown;
use crate::sql::commands::{Command, DomainAction, TypeAction};

pub(super) const DOMAIN: Rule = Rule { name: "domain-constraint", judge: domain };

fn domain(case: &Case) -> Option<Fault> {
    const HINT: &str = "ALTER DOMAIN … ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a transaction of its own; \
                        or CHECK constraints of the tables instead of a domain's.";
    match case.command() {
        Command::CreateDomain(made) if made.constrained => {
            let name = shown(made.name.as_ref(), "the domain");
            let message = format!(
                "a constraint of domain {name} can later only be changed by reading every table that uses it"
            );
            Some(Fault::new(message, "", HINT))
        }
        Command::AlterDomain(altered) => {
            let scans = match altered.action {
                DomainAction::AddConstraint { not_valid } => !not_valid,
                DomainAction::SetNotNull => true,
                DomainAction::Validate
                | DomainAction::Rename(_)
                | DomainAction::SetSchema(_)
                | DomainAction::Other => false,
            };
            let name = shown(altered.name.as_ref(), "the domain");
            let message = format!(
                "a constraint added to domain {name} would block writes to every table that uses it while their rows \
                 are checked"
            );
            scans.then(|| {
                Fault::new(message, "SHARE lock on every table that uses the domain", HINT)
            })
        }
        _ => None,
    }
}

pub(super) const ENUM: Rule = Rule { name: "enum-value-order", judge: enum_value };

fn enum_value(case: &Case) -> Option<Fault> {
    let Command::AlterType(altered) = case.command() else { return None };
    let TypeAction::AddValue { placed: false } = altered.action else { return None };
    let name = shown(altered.name.as_ref(), "the type");
    let message = format!("the new value of {name} sorts behind all others");
    Some(Fault::new(message, "", "ADD VALUE … BEFORE or AFTER another one says where it sorts."))
}
