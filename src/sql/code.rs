//! DO blocks: what the code inside may do.
//!
//! Owns the reading of PL/pgSQL as a row of statements: a statement begins behind `;`, BEGIN, THEN, ELSE or LOOP.
//! What is found may or may not run, so parameters set here cannot be followed, and what else is found is marked
//! MAYBE. Deliberately absent: PL/pgSQL's grammar, other languages, and functions that the code calls.

use super::calls;
use super::cursor::Cursor;
use super::effects::EffectSet;
use super::facts::{self, StatementFacts, StatementKind};
use super::names::{self, Suspect};
use super::{Kind, LexOptions, Span};

/// `DO [LANGUAGE name] 'code' [LANGUAGE name]`
pub(super) fn anonymous_block(
    mut cursor: Cursor,
    out: &mut StatementFacts,
    depth: usize,
) -> StatementKind {
    cursor.bump();
    let options = cursor.options();
    let mut language = None;
    let mut body = None;
    while let Some(token) = cursor.peek() {
        if cursor.eat("language") {
            language = cursor
                .name()
                .or_else(|| cursor.string().map(|name| super::Name::of_parameter(&name)));
        } else if token.kind.is_string() {
            body = cursor.string();
        } else {
            return StatementKind::Unknown;
        }
    }
    let Some(body) = body else {
        // The grammar takes a DO without code; the server then refuses it.
        return if language.is_some() { StatementKind::Do } else { StatementKind::Unknown };
    };
    out.effects.add(EffectSet::CODE);
    if language.is_none_or(|language| language == *"plpgsql") {
        out.effects.add(effects(&body, options, depth + 1));
    } else {
        out.effects.add(EffectSet::OPAQUE.with(EffectSet::NO_BLOCK));
    }
    StatementKind::Do
}

/// Words behind which a statement may begin.
const STARTERS: &[&str] = &["begin", "declare", "then", "else", "loop"];

/// What a PL/pgSQL body may do.
fn effects(body: &[u8], options: LexOptions, depth: usize) -> EffectSet {
    if depth > facts::DEPTH_MAX {
        return EffectSet::UNKNOWN.with(EffectSet::OPAQUE);
    }
    let mut found = EffectSet::NONE;
    let mut cursor = Cursor::new(body, Span { start: 0, end: body.len() }, options);
    let mut at_start = true;
    while let Some(token) = cursor.peek() {
        let raw = token.span.of(body);
        if !token.kind.is_word() {
            at_start = token.kind == Kind::Symbol(b';') || raw == b">>";
            cursor.bump();
            continue;
        }
        if at_start && token.kind == Kind::Word {
            found.add(statement(cursor, depth));
        }
        at_start = STARTERS.iter().any(|word| cursor.is(token, word));
        found.add(call(&mut cursor));
    }
    in_code(found)
}

/// Eats one word or name and says what it does if it is a call.
fn call(cursor: &mut Cursor) -> EffectSet {
    let Some(name) = cursor.name() else { return EffectSet::NONE };
    match names::suspect(name.as_bytes()) {
        Some(Suspect::Settings) => EffectSet::SET_UNTRACKED,
        Some(Suspect::Prepared) => EffectSet::SEES_PREPARED,
        Some(Suspect::TempSchema) if cursor.at_symbol(b'.') => EffectSet::TEMP,
        Some(Suspect::SetConfig) if cursor.at_symbol(b'(') => {
            if calls::is_local(*cursor) {
                EffectSet::SET_LOCAL
            } else {
                EffectSet::SET_UNTRACKED
            }
        }
        Some(Suspect::CurrentSetting) if cursor.at_symbol(b'(') => EffectSet::READS_PARAMETER,
        Some(Suspect::Call(effects)) if cursor.at_symbol(b'(') => effects,
        Some(_) | None => EffectSet::NONE,
    }
}

/// What the statement at `cursor` does by its first words; the calls in it are found by the walk itself.
fn statement(mut cursor: Cursor, depth: usize) -> EffectSet {
    const SIMPLE: &[(&str, EffectSet)] = &[
        ("reset", EffectSet::SET_UNTRACKED),
        ("listen", EffectSet::LISTEN),
        ("unlisten", EffectSet::UNLISTEN),
        ("notify", EffectSet::NOTIFY),
        ("load", EffectSet::LOAD),
        ("prepare", EffectSet::PREPARE),
        ("deallocate", EffectSet::DEALLOCATE),
        ("discard", EffectSet::DISCARD),
        ("commit", EffectSet::TRANSACTION.with(EffectSet::NO_BLOCK)),
        ("rollback", EffectSet::TRANSACTION.with(EffectSet::NO_BLOCK)),
        ("call", EffectSet::OPAQUE.with(EffectSet::NO_BLOCK)),
        ("alter", EffectSet::DDL),
        ("drop", EffectSet::DDL),
        ("comment", EffectSet::DDL),
        ("grant", EffectSet::DDL),
        ("revoke", EffectSet::DDL),
        ("truncate", EffectSet::DDL),
    ];
    if let Some((_, effects)) = SIMPLE.iter().find(|(word, _)| cursor.eat(word)) {
        return *effects;
    }
    if cursor.eat("set") {
        return match () {
            () if cursor.at("local") => EffectSet::SET_LOCAL,
            () if cursor.at_any(&["transaction", "constraints"]) => EffectSet::NONE,
            () => EffectSet::SET_UNTRACKED,
        };
    }
    if cursor.eat("create") {
        cursor.eat_all(&["or", "replace"]);
        cursor.eat_any(&["global", "local"]);
        let temporary = cursor.at_any(&["temp", "temporary"]);
        return EffectSet::DDL.with(if temporary { EffectSet::TEMP } else { EffectSet::NONE });
    }
    if cursor.eat("execute") {
        return dynamic(cursor, depth);
    }
    if cursor.eat("do") {
        return cursor
            .string()
            .map_or(EffectSet::OPAQUE, |body| effects(&body, cursor.options(), depth + 1));
    }
    EffectSet::NONE
}

/// PL/pgSQL's EXECUTE: literals are looked into; whatever is not one literal alone is opaque.
fn dynamic(mut cursor: Cursor, depth: usize) -> EffectSet {
    let mut found = EffectSet::NONE;
    let mut literals = 0;
    let mut other = 0;
    while let Some(token) = cursor.peek() {
        if token.kind == Kind::Symbol(b';')
            || cursor.at_any(&["using", "into"])
            || cursor.at_any(STARTERS)
        {
            break;
        }
        match cursor.string() {
            Some(literal) => {
                literals += 1;
                let inner = facts::effects_within(&literal, cursor.options(), depth + 1);
                // A piece of a text need not begin like a statement.
                let piece = !inner.has(EffectSet::OPAQUE);
                found.add(if piece { inner.without(EffectSet::UNKNOWN) } else { inner });
            }
            None => {
                other += 1;
                cursor.bump();
            }
        }
    }
    if literals != 1 || other != 0 {
        found.add(EffectSet::OPAQUE);
    }
    found
}

/// The same effects, where nobody can say whether they happened.
fn in_code(mut effects: EffectSet) -> EffectSet {
    if effects.has(EffectSet::SET) {
        effects = effects.without(EffectSet::SET).with(EffectSet::SET_UNTRACKED);
    }
    let followed = EffectSet::PREPARE
        .with(EffectSet::DEALLOCATE)
        .with(EffectSet::LISTEN)
        .with(EffectSet::UNLISTEN)
        .with(EffectSet::DISCARD);
    if effects.has(followed) {
        effects.add(EffectSet::MAYBE);
    }
    if effects.has(EffectSet::EXECUTE) {
        effects = effects.without(EffectSet::EXECUTE).with(EffectSet::SEES_PREPARED);
    }
    effects
}
