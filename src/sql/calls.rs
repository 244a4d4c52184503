//! Calls inside of queries: functions that touch the session, wherever an expression may stand; SELECT INTO.
//!
//! Owns the walk over a statement's tokens and the reading of `set_config`'s arguments. A name counts as a call when
//! a parenthesis follows, whatever schema stands before it: rather once too often. Deliberately absent: functions of
//! the user's own, and views, operators and casts that hide a call.

use super::cursor::Cursor;
use super::effects::EffectSet;
use super::facts::{StatementFacts, StatementKind};
use super::literal::Name;
use super::names::{self, Suspect};
use super::parameters::{Action, ParameterUse, Scope, Target};
use super::{Kind, Token};

/// More uses of parameters than this in one statement are not kept one by one.
const USES_MAX: usize = 256;

/// More tokens than this make an argument an expression. The bound keeps calls nested in calls linear.
const ARGUMENT_TOKENS_MAX: usize = 32;

/// Adds what the calls behind `cursor` do, and gives back `kind`.
pub(super) fn query(
    cursor: Cursor,
    kind: StatementKind,
    out: &mut StatementFacts,
) -> StatementKind {
    let mut walk = Walk {
        cursor,
        whole: cursor,
        selects: kind == StatementKind::Select,
        depth: 0,
        item_start: false,
        behind_schema: false,
        simple: None,
    };
    // INSERT of its own in WITH; anywhere else in a SELECT it is a name: SELECT 1 AS insert INTO t.
    let mut after_insert = false;
    let mut opened = false;
    while let Some(token) = walk.cursor.peek() {
        let insert_before = std::mem::take(&mut after_insert);
        let was_opened = std::mem::replace(&mut opened, token.kind == Kind::Symbol(b'('));
        if !token.kind.is_word() {
            walk.symbol(token);
            walk.cursor.bump();
            walk.behind_schema = false;
            continue;
        }
        match walk.word(token) {
            None => {}
            Some(Suspect::Insert | Suspect::Merge) => after_insert = was_opened,
            Some(Suspect::Into) if insert_before || !walk.selects => {}
            Some(Suspect::Into) => select_into(walk.cursor, out),
            Some(Suspect::SetConfig) if out.parameters.len() >= USES_MAX => {
                out.effects.add(EffectSet::SET_UNTRACKED);
            }
            Some(Suspect::SetConfig) => walk.set_config(out),
            Some(Suspect::CurrentSetting) => walk.current_setting(out),
            Some(Suspect::TempSchema) => out.effects.add(EffectSet::TEMP),
            Some(Suspect::Settings) if walk.updates() => out.effects.add(EffectSet::SET_UNTRACKED),
            Some(Suspect::Settings) => {}
            Some(Suspect::Prepared) => out.effects.add(EffectSet::SEES_PREPARED),
            Some(Suspect::Call(effects)) => out.effects.add(effects),
            Some(Suspect::Clause(_)) => {}
        }
    }
    kind
}

/// Behind INTO of a SELECT.
fn select_into(mut cursor: Cursor, out: &mut StatementFacts) {
    out.effects.add(EffectSet::DDL);
    cursor.eat_any(&["local", "global"]);
    if cursor.at_any(&["temp", "temporary"]) {
        out.effects.add(EffectSet::TEMP);
    }
}

/// A walk over the tokens of one statement.
struct Walk<'a> {
    cursor: Cursor<'a>,
    /// Where the walk began.
    whole: Cursor<'a>,
    /// The statement is a SELECT.
    selects: bool,
    /// Open parentheses and brackets.
    depth: usize,
    /// At the beginning of an item of the outermost select list.
    item_start: bool,
    /// SCHEMA or INTO has just been eaten: a schema may be named alone, as that of CREATE EXTENSION or
    /// IMPORT FOREIGN SCHEMA is.
    behind_schema: bool,
    /// Whether the outermost SELECT yields one row for certain; None until somebody asks.
    simple: Option<bool>,
}

impl Walk<'_> {
    fn symbol(&mut self, token: Token) {
        match token.kind {
            Kind::Symbol(b'(' | b'[') => self.depth += 1,
            Kind::Symbol(b')' | b']') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.item_start = self.depth == 0 && token.kind == Kind::Symbol(b',');
    }

    /// Whether an UPDATE stands before this place: that of the statement, or one behind WITH.
    fn updates(&self) -> bool {
        let mut before = self.whole;
        while let Some(token) = before.peek()
            && token.span.start < self.cursor.offset()
        {
            if before.is(token, "update") {
                return true;
            }
            before.bump();
        }
        false
    }

    /// Eats a word and says what it means here. What follows it is still to come.
    fn word(&mut self, token: Token) -> Option<Suspect> {
        let text = self.cursor.text();
        let raw = token.span.of(text);
        let suspect = if token.kind == Kind::UnicodeWord {
            let name = self.cursor.name()?;
            names::suspect(name.as_bytes())
        } else {
            self.cursor.bump();
            let quoted = token.kind == Kind::QuotedWord;
            names::suspect(if quoted { raw.get(1..raw.len() - 1).unwrap_or(raw) } else { raw })
        };
        let keyword = token.kind == Kind::Word;
        let schema_alone = std::mem::take(&mut self.behind_schema) && !self.selects;
        self.behind_schema =
            keyword && (raw.eq_ignore_ascii_case(b"schema") || raw.eq_ignore_ascii_case(b"into"));
        let found = suspect.filter(|suspect| match suspect {
            Suspect::Insert | Suspect::Merge | Suspect::Into => keyword,
            Suspect::Clause(_) => false,
            Suspect::Settings | Suspect::Prepared => true,
            Suspect::TempSchema => schema_alone || self.cursor.at_symbol(b'.'),
            Suspect::SetConfig | Suspect::CurrentSetting | Suspect::Call(_) => {
                self.cursor.at_symbol(b'(')
            }
        });
        if !matches!(found, Some(Suspect::SetConfig)) {
            self.item_start = self.starts_item(token, raw);
        }
        found
    }

    /// True when an item of the select list begins behind `token`, or goes on beginning: a schema stands before it.
    fn starts_item(&mut self, token: Token, raw: &[u8]) -> bool {
        let select = token.span.start == self.whole.offset() && self.selects;
        let qualifies = self.item_start && self.cursor.at_symbol(b'.') && is_catalog(raw);
        if qualifies {
            self.cursor.bump();
        }
        select || qualifies
    }

    /// Reads `set_config`'s arguments; the walk itself goes on at the first of them.
    fn set_config(&mut self, out: &mut StatementFacts) {
        let mut ahead = self.cursor;
        ahead.bump();
        let name = argument(&mut ahead, b",");
        let value = argument(&mut ahead, b",");
        let local = argument(&mut ahead, b")");
        let starts = std::mem::take(&mut self.item_start);
        let certain = starts && is_item_end(&ahead) && self.is_simple();
        let action = match value {
            Argument::Literal(value) => Action::Value(value),
            Argument::Param(number) => Action::Param(number),
            Argument::Null => Action::Null,
            Argument::Boolean(_) | Argument::Expression => Action::Expression,
        };
        let scope = match local.boolean() {
            Some(true) => Scope::Local,
            Some(false) => Scope::Session,
            None => match local {
                Argument::Param(number) => Scope::Param(number),
                _ => Scope::Expression,
            },
        };
        out.uses(ParameterUse { target: target(name), action, scope, certain }, self.cursor.text());
    }

    fn current_setting(&mut self, out: &mut StatementFacts) {
        let mut ahead = self.cursor;
        ahead.bump();
        let target = target(argument(&mut ahead, b",)"));
        out.effects.add(EffectSet::READS_PARAMETER);
        let used =
            ParameterUse { target, action: Action::Read, scope: Scope::Session, certain: true };
        if out.parameters.len() < USES_MAX {
            out.parameters.push(used);
        } else {
            out.effects.add(EffectSet::OPAQUE);
        }
    }

    /// True when the statement is `SELECT items` without any clause that could drop or repeat its one row.
    fn is_simple(&mut self) -> bool {
        if let Some(known) = self.simple {
            return known;
        }
        let known = self.selects && self.whole.at("select") && has_no_clause(self.whole);
        self.simple = Some(known);
        known
    }
}

fn has_no_clause(mut cursor: Cursor) -> bool {
    const CLAUSES: &[&str] = &[
        "from",
        "where",
        "group",
        "having",
        "window",
        "union",
        "intersect",
        "except",
        "order",
        "limit",
        "offset",
        "fetch",
        "for",
        "into",
        "distinct",
    ];
    while !cursor.at_end() {
        if cursor.parentheses().is_some() {
            continue;
        }
        if cursor.at_any(CLAUSES) {
            return false;
        }
        cursor.bump();
    }
    true
}

fn is_catalog(raw: &[u8]) -> bool {
    raw.eq_ignore_ascii_case(b"pg_catalog") || raw == b"\"pg_catalog\""
}

/// True where an item of a select list ends: at a comma, a name for the column, a cast, or the end.
fn is_item_end(cursor: &Cursor) -> bool {
    cursor.peek().is_none_or(|token| {
        let cast = token.kind == Kind::TypeCast;
        let plain_word =
            token.kind.is_word() && !cursor.at_any(&["and", "or", "is", "in", "between", "like"]);
        cast || plain_word || token.kind == Kind::Symbol(b',')
    })
}

/// One argument of a call, as far as a text can tell.
enum Argument {
    Literal(Box<[u8]>),
    Boolean(bool),
    Param(u32),
    Null,
    Expression,
}

impl Argument {
    /// What the argument means as a boolean (`parse_bool`, which also takes unambiguous beginnings).
    fn boolean(&self) -> Option<bool> {
        let Self::Literal(text) = self else {
            let Self::Boolean(value) = self else { return None };
            return Some(*value);
        };
        let is = |words: [&[u8]; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
        if is([b"true", b"t", b"on", b"1"]) || is([b"yes", b"y", b"tr", b"tru"]) {
            Some(true)
        } else if is([b"false", b"f", b"off", b"0"]) || is([b"no", b"n", b"fa", b"fals"]) {
            Some(false)
        } else {
            None
        }
    }
}

/// Eats one argument and the symbol behind it, which must be one of `ends` (a comma, the closing parenthesis).
fn argument(cursor: &mut Cursor, ends: &[u8]) -> Argument {
    let Some(first) = cursor.peek() else { return Argument::Expression };
    let raw = first.span.of(cursor.text());
    let found = match first.kind {
        kind if kind.is_string() => match cursor.string() {
            Some(value) => Argument::Literal(value.into_owned().into_boxed_slice()),
            None => Argument::Expression,
        },
        Kind::Param => param_number(raw).map_or(Argument::Expression, Argument::Param),
        Kind::Word if raw.eq_ignore_ascii_case(b"null") => Argument::Null,
        Kind::Word if raw.eq_ignore_ascii_case(b"true") => Argument::Boolean(true),
        Kind::Word if raw.eq_ignore_ascii_case(b"false") => Argument::Boolean(false),
        _ => Argument::Expression,
    };
    if !first.kind.is_string() {
        cursor.bump();
    }
    while cursor.peek().is_some_and(|token| token.kind == Kind::TypeCast) {
        cursor.bump();
        cursor.name();
    }
    if ends.iter().any(|end| cursor.eat_symbol(*end)) {
        return found;
    }
    skip_argument(cursor, first);
    let _ended = ends.iter().any(|end| cursor.eat_symbol(*end));
    Argument::Expression
}

/// Goes to the comma or parenthesis that ends an argument whose first token has been eaten; gives up after
/// [`ARGUMENT_TOKENS_MAX`].
fn skip_argument(cursor: &mut Cursor, first: Token) {
    let mut depth = usize::from(matches!(first.kind, Kind::Symbol(b'(' | b'[')));
    for _ in 0..ARGUMENT_TOKENS_MAX {
        let Some(token) = cursor.peek() else { return };
        match token.kind {
            Kind::Symbol(b'(' | b'[') => depth += 1,
            Kind::Symbol(b')' | b',') if depth == 0 => return,
            Kind::Symbol(b')' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        cursor.bump();
    }
}

/// The parameter that an argument names.
fn target(name: Argument) -> Target {
    match name {
        Argument::Literal(name) => Target::Named(Name::of_parameter(&name)),
        Argument::Param(number) => Target::Param(number),
        Argument::Null | Argument::Boolean(_) | Argument::Expression => Target::Expression,
    }
}

/// The number of `$1`.
fn param_number(raw: &[u8]) -> Option<u32> {
    std::str::from_utf8(raw.get(1..)?).ok()?.parse().ok()
}

/// Whether `set_config` at `cursor` (before its parenthesis) is local for certain; for code, where nothing else about
/// it can be told.
pub(super) fn is_local(mut cursor: Cursor) -> bool {
    cursor.bump();
    argument(&mut cursor, b",");
    argument(&mut cursor, b",");
    argument(&mut cursor, b")").boolean() == Some(true)
}
