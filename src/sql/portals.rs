//! SQL cursors: DECLARE, FETCH, MOVE, CLOSE.
//!
//! Owns their forms. Deliberately absent: portals of the extended protocol, which are messages, not SQL.

use super::Kind;
use super::calls;
use super::cursor::Cursor;
use super::effects::EffectSet;
use super::facts::{StatementFacts, StatementKind};

/// What begins with DECLARE, FETCH, MOVE or CLOSE.
pub(super) fn read(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    if cursor.eat("declare") {
        return declare(cursor, out);
    }
    let close = cursor.at("close");
    let all = close && cursor.peek_second().is_some_and(|token| cursor.is(token, "all"));
    // The name is the last word: `FETCH [direction] [FROM | IN] name`.
    cursor.bump();
    let mut last = None;
    while let Some(token) = cursor.peek() {
        last = cursor.name();
        if !token.kind.is_word() {
            cursor.bump();
        }
    }
    let Some(name) = last else { return StatementKind::Unknown };
    out.effects.add(EffectSet::CURSOR);
    match (close, all) {
        (true, true) => StatementKind::Close { cursor: None },
        (true, false) => StatementKind::Close { cursor: Some(name) },
        (false, _) => StatementKind::Fetch { cursor: name },
    }
}

/// `name [options] CURSOR [{WITH | WITHOUT} HOLD] FOR query`
fn declare(mut cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    let Some(name) = cursor.name() else { return StatementKind::Unknown };
    while !cursor.at("cursor") {
        match cursor.bump() {
            Some(token) if token.kind == Kind::Word => {}
            Some(_) | None => return StatementKind::Unknown,
        }
    }
    cursor.bump();
    let hold = cursor.eat_all(&["with", "hold"]);
    out.effects.add(if hold { EffectSet::HOLD_CURSOR } else { EffectSet::CURSOR });
    calls::query(cursor, StatementKind::Declare { cursor: name, hold }, out)
}
