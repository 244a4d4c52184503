//! `timeout-override`: a client raises its own limits, or stored ones, above those of its role.
//!
//! pgweir's own clock holds whatever a client sets; the server's setting need not. Deliberately absent: values that the
//! text does not show.

use super::super::case::{Case, Fault, Rule};
use super::super::context::Limits;
use super::super::values;
use crate::sql::commands::Command;
use crate::sql::{Action, ParameterUse, Target};

pub(super) const RULE: Rule = Rule { name: "timeout-override", judge };

fn judge(case: &Case) -> Option<Fault> {
    let (used, whose): (&ParameterUse, _) = match case.command() {
        Command::Parameter(used) => (used, "its session"),
        Command::StoredParameter(stored) => (&stored.used, "later sessions"),
        _ => return None,
    };
    let Target::Named(name) = &used.target else { return None };
    let (name, limit_ms) = limit_of(name.as_bytes(), case.context.limits)?;
    let raises = match &used.action {
        Action::Value(_) | Action::Tokens(_) => {
            // A value that is not read is taken for none: the server may understand it.
            let set_ms = values::millis(&used.action, case.scene);
            set_ms.is_none_or(|set_ms| set_ms == 0 || set_ms > limit_ms)
        }
        Action::Read
        | Action::Default
        | Action::Current
        | Action::Null
        | Action::Param(_)
        | Action::Expression => false,
    };
    let message =
        format!("the client raises {name} of {whose} above {limit_ms} ms, the limit of its role");
    let hint = "Work that takes longer needs a role, or a database alias, with a limit of its own.";
    raises.then(|| Fault::new(message, "", hint))
}

/// The limit on a parameter, where there is one.
fn limit_of(parameter: &[u8], limits: Limits) -> Option<(&'static str, u32)> {
    let found = match parameter {
        b"statement_timeout" => ("statement_timeout", limits.statement_ms),
        b"lock_timeout" => ("lock_timeout", limits.lock_ms),
        b"idle_in_transaction_session_timeout" => {
            ("idle_in_transaction_session_timeout", limits.idle_in_transaction_ms)
        }
        b"transaction_timeout" => ("transaction_timeout", limits.transaction_ms),
        _ => return None,
    };
    (found.1 != 0).then_some(found)
}
