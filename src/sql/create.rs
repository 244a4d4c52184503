//! CREATE: what is temporary, what executes a prepared statement, what only stores text.
//!
//! Owns the split between creations that evaluate expressions now and those that keep them for later. Deliberately
//! absent: a view over a temporary table, which is temporary by that; the session that sees the table is pinned
//! already.

use super::calls;
use super::cursor::Cursor;
use super::effects::EffectSet;
use super::facts::{Create, StatementFacts, StatementKind};
use super::statements;

/// Objects whose definition is stored and not run.
const STORED: &[&str] = &[
    "aggregate",
    "cast",
    "constraint",
    "domain",
    "event",
    "function",
    "operator",
    "policy",
    "procedure",
    "recursive",
    "rule",
    "trigger",
    "type",
    "view",
];

/// Any CREATE.
pub(super) fn read(cursor: Cursor, out: &mut StatementFacts) -> StatementKind {
    out.effects.add(EffectSet::DDL);
    if statements::refuses_block(cursor, b"create") {
        out.effects.add(EffectSet::NO_BLOCK);
    }
    let mut head = cursor;
    head.bump();
    head.eat_all(&["or", "replace"]);
    let temporary = temporary(&mut head);
    let schema = head.at("schema");
    let stored = head.at_any(STORED);
    let mut create = Create { temporary, ..Create::default() };
    read_rest(head, schema, &mut create, out);
    if create.temporary {
        out.effects.add(EffectSet::TEMP);
    }
    if create.executes.is_some() {
        out.effects.add(EffectSet::EXECUTE);
    }
    if stored {
        // Nothing of the definition runs now, but its name may lie in the temporary schema.
        let before = out.effects;
        let parameters = out.parameters.len();
        calls::query(cursor, StatementKind::Utility, out);
        out.effects = before.with(out.effects.both(EffectSet::TEMP));
        out.parameters.truncate(parameters);
    } else {
        calls::query(cursor, StatementKind::Utility, out);
        if !runs_query(head) {
            // A column's DEFAULT nextval(…) names a sequence without moving it.
            let sequences = EffectSet::SEQUENCE_MOVE.with(EffectSet::SEQUENCE_READ);
            out.effects = out.effects.without(sequences);
        }
    }
    StatementKind::Create(create)
}

/// Eats `[GLOBAL | LOCAL] {TEMP | TEMPORARY}`.
fn temporary(head: &mut Cursor) -> bool {
    let mut trial = *head;
    trial.eat_any(&["global", "local"]);
    let found = trial.eat_any(&["temp", "temporary"]);
    if found {
        *head = trial;
    }
    found
}

/// ON COMMIT DROP and AS EXECUTE outside of parentheses; in CREATE SCHEMA also the elements.
fn read_rest(mut cursor: Cursor, schema: bool, create: &mut Create, out: &mut StatementFacts) {
    while !cursor.at_end() {
        if cursor.parentheses().is_some() {
            continue;
        }
        if cursor.eat_all(&["on", "commit", "drop"]) {
            create.on_commit_drop = true;
        } else if cursor.eat_all(&["as", "execute"]) {
            create.executes = cursor.name();
        } else if schema && cursor.eat("create") {
            if temporary(&mut cursor) {
                out.effects.add(EffectSet::TEMP);
            }
        } else {
            cursor.bump();
        }
    }
}

/// True when the creation runs a query: AS outside of parentheses.
fn runs_query(mut cursor: Cursor) -> bool {
    while !cursor.at_end() {
        if cursor.parentheses().is_some() {
            continue;
        }
        if cursor.eat("as") {
            return true;
        }
        cursor.bump();
    }
    false
}
