//! SET, RESET and SHOW: which parameter, to what, for how long.
//!
//! Owns their forms (VariableSetStmt in `gram.y`) and the type of a parameter's use. Deliberately absent: what a
//! value means, what a parameter's default is, and that SET SESSION AUTHORIZATION also ends SET ROLE.

use super::cursor::Cursor;
use super::effects::EffectSet;
use super::facts::{StatementFacts, StatementKind};
use super::literal::Name;
use super::names::names_temp_schema;
use super::transaction::{self, TransactionModes};
use super::{Kind, Span};

/// One use of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterUse {
    /// Which parameter.
    pub target: Target,
    /// What happens to it.
    pub action: Action,
    /// For how long.
    pub scope: Scope,
    /// True when it happens exactly once if the statement succeeds, and in the order of the text; false for a
    /// `set_config` that a row, a CASE or a WHERE decides about.
    pub certain: bool,
}

/// Which parameter is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one; lower case, as `pg_settings` does not always spell it: the server compares without case.
    Named(Name),
    /// Every one: RESET ALL, SHOW ALL.
    All,
    /// The one a Bind value names (`$1` is 1).
    Param(u32),
    /// An expression says.
    Expression,
}

impl Target {
    /// True when `parameter` (lower case) is, or may be, meant.
    pub fn may_be(&self, parameter: &[u8]) -> bool {
        match self {
            Self::Named(name) => name.as_bytes() == parameter,
            Self::All | Self::Param(_) | Self::Expression => true,
        }
    }
}

/// What happens to a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Its value is read.
    Read,
    /// It goes back to the session's default: RESET, SET … TO DEFAULT, SET TIME ZONE LOCAL, SET NAMES alone.
    Default,
    /// It keeps what it has, but for the new scope: SET … FROM CURRENT.
    Current,
    /// It is set to what these tokens say: everything behind TO or `=`, as written.
    Tokens(Span),
    /// It is set to this value: a literal of `set_config`, or what a fixed form of SET means.
    Value(Box<[u8]>),
    /// It is set to a Bind value (`$1` is 1).
    Param(u32),
    /// It is set to NULL by `set_config`, which is its default.
    Null,
    /// It is set to what an expression says.
    Expression,
}

/// How long a parameter stays set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Until the session ends.
    Session,
    /// Until the transaction ends.
    Local,
    /// A Bind value says whether it is local (`$1` is 1).
    Param(u32),
    /// An expression says.
    Expression,
}

impl ParameterUse {
    /// True unless it only reads.
    pub fn writes(&self) -> bool {
        self.action != Action::Read
    }

    /// A use that SET, RESET or SHOW spells out.
    fn plain(name: &str, action: Action, scope: Scope) -> Self {
        Self::named(Name::new(name.as_bytes()), action, scope)
    }

    fn named(name: Name, action: Action, scope: Scope) -> Self {
        Self { target: Target::Named(name), action, scope, certain: true }
    }

    /// True when a session can follow this from the text and its Bind values.
    fn is_tracked(&self) -> bool {
        let known = !matches!(self.target, Target::Expression) && self.action != Action::Expression;
        self.certain && known && self.scope != Scope::Expression
    }
}

impl StatementFacts {
    /// Keeps one use and its effects.
    pub(super) fn uses(&mut self, used: ParameterUse, text: &[u8]) {
        self.effects.add(match (&used.action, used.scope) {
            (Action::Read, _) => EffectSet::READS_PARAMETER,
            (_, Scope::Local) => EffectSet::SET_LOCAL,
            _ if used.is_tracked() => EffectSet::SET,
            _ => EffectSet::SET_UNTRACKED,
        });
        let value = match &used.action {
            Action::Tokens(span) => span.of(text),
            Action::Value(value) => value,
            _ => &[],
        };
        let searched = used.target.may_be(b"search_path") && used.writes();
        if searched && (names_temp_schema(value) || has_escapes(value)) {
            self.effects.add(EffectSet::TEMP);
        }
        self.parameters.push(used);
    }
}

/// True for tokens in which a name may be spelled with escapes.
fn has_escapes(value: &[u8]) -> bool {
    value.contains(&b'\\') || value.windows(7).any(|part| part.eq_ignore_ascii_case(b"uescape"))
}

/// SET in all its forms.
pub(super) fn set(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    cursor.bump();
    if cursor.at("constraints") && !behind_name(cursor) {
        return StatementKind::SetConstraints;
    }
    let scope = scope(&mut cursor);
    if cursor.at("transaction") && !behind_name(cursor) {
        cursor.bump();
        return transaction::set(cursor).map_or(StatementKind::Unknown, StatementKind::Transaction);
    }
    let text = cursor.text();
    if cursor.eat_all(&["session", "characteristics", "as", "transaction"]) {
        let Some(modes) = transaction::modes(&mut cursor) else { return StatementKind::Unknown };
        for used in characteristics(modes, scope) {
            out.uses(used, text);
        }
        return StatementKind::Set;
    }
    let Some((name, action)) = special(&mut cursor).or_else(|| generic(&mut cursor)) else {
        return StatementKind::Unknown;
    };
    out.uses(ParameterUse::named(name, action, scope), text);
    StatementKind::Set
}

/// True when the word at `cursor` is a parameter's name, whatever else it may mean: `SET role TO x`.
fn behind_name(cursor: Cursor) -> bool {
    cursor.peek_second().is_some_and(|token| {
        matches!(token.kind, Kind::Symbol(b'=' | b'.'))
            || cursor.is(token, "to")
            || cursor.is(token, "from")
    })
}

/// Eats LOCAL, or SESSION where that is the scope.
fn scope(cursor: &mut Cursor) -> Scope {
    if behind_name(*cursor) {
        return Scope::Session;
    }
    if cursor.eat("local") {
        return Scope::Local;
    }
    let mut trial = *cursor;
    let characteristics = |at: &Cursor| at.at("characteristics") && !behind_name(*at);
    if trial.eat("session") && !trial.at("authorization") && !characteristics(&trial) {
        *cursor = trial;
    }
    Scope::Session
}

/// What SET SESSION CHARACTERISTICS sets.
fn characteristics(modes: TransactionModes, scope: Scope) -> impl Iterator<Item = ParameterUse> {
    let switch = |on: bool| if on { "on" } else { "off" };
    let found = [
        ("default_transaction_isolation", modes.isolation.map(transaction::Isolation::name)),
        ("default_transaction_read_only", modes.read_only.map(switch)),
        ("default_transaction_deferrable", modes.deferrable.map(switch)),
    ];
    found.into_iter().filter_map(move |(name, value)| {
        let action = Action::Value(value?.as_bytes().into());
        Some(ParameterUse::plain(name, action, scope))
    })
}

/// The forms of SET that have words of their own.
fn special(cursor: &mut Cursor) -> Option<(Name, Action)> {
    const FORMS: [(&[&str], &str); 6] = [
        (&["time", "zone"], "timezone"),
        (&["schema"], "search_path"),
        (&["names"], "client_encoding"),
        (&["role"], "role"),
        (&["session", "authorization"], "session_authorization"),
        (&["xml", "option"], "xmloption"),
    ];
    if behind_name(*cursor) {
        return None;
    }
    let (_, name) = FORMS.into_iter().find(|(words, _)| cursor.eat_all(words))?;
    let action = match name {
        "client_encoding" if cursor.at_end() => Action::Default,
        "timezone" if cursor.at("local") => Action::Default,
        _ => value(*cursor)?,
    };
    Some((Name::new(name.as_bytes()), action))
}

/// `name {TO | =} value`, `name FROM CURRENT`
fn generic(cursor: &mut Cursor) -> Option<(Name, Action)> {
    let name = parameter_name(cursor)?;
    if cursor.eat_all(&["from", "current"]) {
        return cursor.at_end().then_some((name, Action::Current));
    }
    if !cursor.eat("to") {
        cursor.eat_symbol(b'=').then_some(())?;
    }
    Some((name, value(*cursor)?))
}

/// `name` or `prefix.name`
fn parameter_name(cursor: &mut Cursor) -> Option<Name> {
    let mut name = cursor.name()?.as_bytes().to_vec();
    while cursor.eat_symbol(b'.') {
        name.push(b'.');
        name.extend_from_slice(cursor.name()?.as_bytes());
    }
    Some(Name::of_parameter(&name))
}

/// Everything up to the end of the statement.
fn value(mut cursor: Cursor) -> Option<Action> {
    let start = cursor.peek()?.span.start;
    let default = cursor.at("default");
    cursor.bump();
    if default && cursor.at_end() {
        return Some(Action::Default);
    }
    Some(Action::Tokens(Span { start, end: cursor.text().len() }))
}

/// RESET in all its forms.
pub(super) fn reset(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    cursor.bump();
    let Some(target) = target(&mut cursor) else { return StatementKind::Unknown };
    let used =
        ParameterUse { target, action: Action::Default, scope: Scope::Session, certain: true };
    out.uses(used, cursor.text());
    StatementKind::Reset
}

/// SHOW in all its forms.
pub(super) fn show(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    cursor.bump();
    let Some(target) = target(&mut cursor) else { return StatementKind::Unknown };
    let used = ParameterUse { target, action: Action::Read, scope: Scope::Session, certain: true };
    out.uses(used, cursor.text());
    StatementKind::Show
}

/// What follows RESET or SHOW.
fn target(cursor: &mut Cursor) -> Option<Target> {
    const FORMS: [(&[&str], &str); 3] = [
        (&["time", "zone"], "timezone"),
        (&["transaction", "isolation", "level"], "transaction_isolation"),
        (&["session", "authorization"], "session_authorization"),
    ];
    let found = if cursor.eat("all") {
        Target::All
    } else if let Some((_, name)) = FORMS.into_iter().find(|(words, _)| cursor.eat_all(words)) {
        Target::Named(Name::new(name.as_bytes()))
    } else {
        Target::Named(parameter_name(cursor)?)
    };
    cursor.at_end().then_some(found)
}
