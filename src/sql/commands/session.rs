//! Commands of the session: transactions, parameters, COPY, CALL, and parameters that are kept with a role or database.
//!
//! Owns the way from the facts about sessions, which [`facts`](crate::sql::facts) reads, to commands.

use std::borrow::Cow;

use super::super::facts::{self, StatementFacts, StatementKind};
use super::super::literal::Name;
use super::super::{Action, CopyDirection, ParameterUse, parameters};
use super::reader::Reader;
use super::{Command, Commands};

/// `ALTER {ROLE | DATABASE | SYSTEM} … {SET | RESET} parameter`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredParameter {
    /// Whose sessions it is for.
    pub owner: ParameterOwner,
    /// Which parameter, and to what.
    pub used: ParameterUse,
}

/// Whose sessions a stored parameter is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterOwner {
    /// Those of a role; None where the name cannot be read, or is CURRENT_USER or one of its kind.
    Role(Option<Name>),
    /// Those of every role.
    AllRoles,
    /// Those of a database.
    Database(Option<Name>),
    /// Everybody's.
    System,
}

/// The facts of the statement at `at`.
pub(super) fn facts(at: &Reader) -> StatementFacts {
    facts::read_statement(at.cursor(), at.depth)
}

/// What begins with BEGIN, COMMIT, SET, RESET, DISCARD, or one of their family.
pub(super) fn read(at: Reader, out: &mut Commands) {
    let StatementFacts { kind, parameters, .. } = facts(&at);
    match kind {
        StatementKind::Transaction(control) => out.add(&at, Command::Transaction(control)),
        StatementKind::Discard(what) => out.add(&at, Command::Discard(what)),
        StatementKind::Unknown => return out.add_unknown(&at),
        _ => {}
    }
    uses(&at, parameters, out);
}

/// Adds the parameters that are written.
pub(super) fn uses(at: &Reader, parameters: Vec<ParameterUse>, out: &mut Commands) {
    for used in parameters.into_iter().filter(ParameterUse::writes) {
        out.add(at, Command::Parameter(owned(at, used)));
    }
}

/// A use whose value can be read without the text that it stands in, where that is not the client's.
fn owned(at: &Reader, mut used: ParameterUse) -> ParameterUse {
    if let (Action::Tokens(span), true) = (&used.action, at.depth > 0) {
        let mut value = at.part(*span, at.place);
        let token = value.peek();
        let text = match token {
            Some(token) if token.kind.is_string() => value.string().map(Cow::into_owned),
            Some(token) => {
                value.bump();
                Some(token.span.of(at.text()).to_vec())
            }
            None => None,
        };
        let whole = text.filter(|_| value.at_end());
        used.action = whole.map_or(Action::Expression, |text| Action::Value(text.into()));
    }
    used
}

/// COPY with a file or a program of the server.
pub(super) fn copy(at: Reader, out: &mut Commands) {
    if facts(&at).kind != StatementKind::Copy(CopyDirection::OnServer) {
        return;
    }
    let mut ahead = at;
    let mut behind_direction = false;
    while !ahead.at_end() {
        let program = behind_direction && ahead.at("program");
        if program || (behind_direction && ahead.peek().is_some_and(|next| next.kind.is_string())) {
            return out.add(&at, Command::ServerSideCopy { program });
        }
        behind_direction = ahead.at_any(&["from", "to"]);
        ahead.skip();
    }
}

/// Behind CALL.
pub(super) fn call(mut at: Reader, out: &mut Commands) {
    let name = at.object();
    out.add(&at, Command::Call { name });
}

/// Behind `ALTER {ROLE | USER | DATABASE | SYSTEM}`, where a SET or RESET follows; gives false where none does.
pub(super) fn stored_parameter(at: Reader, owner: ParameterOwner, out: &mut Commands) -> bool {
    let mut facts = StatementFacts {
        span: at.span,
        kind: StatementKind::Unknown,
        explain: Default::default(),
        effects: Default::default(),
        parameters: Vec::new(),
    };
    let kind = match () {
        () if at.at("set") => parameters::set(at.cursor(), &mut facts),
        () if at.at("reset") => parameters::reset(at.cursor(), &mut facts),
        () => return false,
    };
    if !matches!(kind, StatementKind::Set | StatementKind::Reset) {
        return false;
    }
    for used in facts.parameters {
        let used = owned(&at, used);
        out.add(&at, Command::StoredParameter(StoredParameter { owner: owner.clone(), used }));
    }
    true
}
