//! Which limits of time are for a statement: work that keeps tables in order and may take as long as it takes, and DDL
//! that others queue behind.
//!
//! Owns the two lists. Deliberately absent: the limits, and which locks are free.

use super::cursor::Cursor;
use super::effects::EffectSet;
use super::facts::{StatementFacts, StatementKind};
use super::statements::option_value;
use super::{Kind, LexOptions};

/// What a statement is, as far as its limits differ from those of queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Builds or drops an index CONCURRENTLY, validates a constraint, VACUUM, ANALYZE, REPACK: cutting it short costs
    /// more than waiting. Only in plain sight, for a DO block around it does other work too.
    pub maintenance: bool,
    /// DDL that takes a lock of SHARE or stronger on a relation that others may use: while it waits for somebody who
    /// reads or writes there, all who come later wait behind it. What is CONCURRENTLY, VALIDATE, COMMENT or GRANT is
    /// not among them, for whoever waits behind their locks is of their own kind; and a CONCURRENTLY that gives up
    /// waiting leaves an invalid index.
    pub ddl: bool,
}

impl Upkeep {
    const NONE: Self = Self { maintenance: false, ddl: false };
    const DDL: Self = Self { maintenance: false, ddl: true };
    const MAINTENANCE: Self = Self { maintenance: true, ddl: false };

    /// Adds what another statement of the same text is.
    pub fn add(&mut self, other: Self) {
        self.maintenance |= other.maintenance;
        self.ddl |= other.ddl;
    }

    /// DDL unless it is CONCURRENTLY.
    fn ddl_unless(concurrently: bool) -> Self {
        Self { maintenance: false, ddl: !concurrently }
    }
}

/// What the statement of `text` is.
pub fn upkeep(statement: &StatementFacts, text: &[u8], options: LexOptions) -> Upkeep {
    match statement.kind {
        StatementKind::Utility | StatementKind::Create(_) => {}
        // Code is not read that closely: DDL on others' objects is taken for the strong kind.
        StatementKind::Do => {
            let shared = statement.effects.has(EffectSet::DDL);
            return Upkeep {
                ddl: shared && !statement.effects.has(EffectSet::TEMP),
                ..Upkeep::NONE
            };
        }
        _ => return Upkeep::NONE,
    }
    let mut cursor = Cursor::new(text, statement.span, options);
    let at = |cursor: &mut Cursor, word| cursor.eat(word);
    match () {
        () if at(&mut cursor, "create") => create(cursor),
        () if at(&mut cursor, "alter") => alter(cursor),
        () if at(&mut cursor, "drop") => drop(cursor),
        () if at(&mut cursor, "vacuum") => {
            let full = has_option(&mut cursor, "full");
            Upkeep { ddl: full || cursor.at("full"), ..Upkeep::MAINTENANCE }
        }
        () if cursor.at_any(&["analyze", "analyse"]) => Upkeep::MAINTENANCE,
        () if at(&mut cursor, "repack") => {
            Upkeep { ddl: !has_option(&mut cursor, "concurrently"), ..Upkeep::MAINTENANCE }
        }
        () if at(&mut cursor, "reindex") => {
            let optional = has_option(&mut cursor, "concurrently");
            cursor.bump();
            let concurrently = optional || cursor.at("concurrently");
            Upkeep { maintenance: concurrently, ddl: !concurrently }
        }
        () if at(&mut cursor, "refresh") => {
            cursor.eat_all(&["materialized", "view"]);
            Upkeep::ddl_unless(cursor.at("concurrently"))
        }
        () if cursor.at_any(&["truncate", "cluster"]) => Upkeep::DDL,
        () if cursor.eat_all(&["reassign", "owned"]) => Upkeep::DDL,
        () => Upkeep::NONE,
    }
}

/// Eats `(option [value], …)` when it is next and says whether `wanted` is on: the last one counts.
fn has_option(cursor: &mut Cursor, wanted: &str) -> bool {
    let mut found = false;
    if !cursor.eat_symbol(b'(') {
        return found;
    }
    while !cursor.at_end() {
        // A name in quotes counts as well as a bare one (utility_option_name in `gram.y`).
        let name = cursor.name();
        let named = name.as_ref().is_some_and(|name| *name == *wanted);
        if name.is_none() {
            cursor.bump();
        }
        let on = option_value(cursor);
        if named {
            found = on;
        }
        if !cursor.eat_symbol(b',') {
            break;
        }
    }
    cursor.eat_symbol(b')');
    found
}

/// Behind CREATE. What is new is nobody else's; what it is put on, or takes the place of, is.
fn create(mut cursor: Cursor) -> Upkeep {
    if cursor.eat_all(&["or", "replace"]) {
        cursor.eat_any(&["temp", "temporary"]);
        cursor.eat("constraint");
        let replaces = cursor.at_any(&["view", "recursive", "rule", "trigger"]);
        return Upkeep { ddl: replaces, ..Upkeep::NONE };
    }
    cursor.eat("unique");
    if cursor.eat("index") {
        let concurrently = cursor.at("concurrently");
        return Upkeep { maintenance: concurrently, ddl: !concurrently };
    }
    if cursor.at_any(&["trigger", "constraint", "rule", "policy"]) {
        return Upkeep::DDL;
    }
    let schema = cursor.at("schema");
    cursor.eat_any(&["global", "local"]);
    cursor.eat_any(&["temp", "temporary", "unlogged", "foreign"]);
    if !schema && !cursor.at("table") {
        return Upkeep::NONE;
    }
    while let Some(token) = cursor.bump() {
        let on_another = cursor.is(token, "references")
            || (cursor.is(token, "partition") && cursor.at("of"))
            || (schema && (cursor.is(token, "index") || cursor.is(token, "trigger")));
        if on_another {
            return Upkeep::DDL;
        }
    }
    Upkeep::NONE
}

/// Behind ALTER.
fn alter(mut cursor: Cursor) -> Upkeep {
    if cursor.eat("domain") {
        cursor.name();
        while cursor.eat_symbol(b'.') {
            cursor.name();
        }
        return Upkeep { maintenance: cursor.at("validate"), ddl: true };
    }
    if cursor.at_any(&["type", "extension", "trigger", "rule", "policy"]) {
        return Upkeep::DDL;
    }
    let relation = cursor.eat_any(&["table", "index", "view", "sequence"])
        || cursor.eat_all(&["materialized", "view"])
        || cursor.eat_all(&["foreign", "table"]);
    if !relation {
        return Upkeep::NONE;
    }
    cursor.eat_all(&["if", "exists"]);
    cursor.eat("only");
    let in_parentheses = cursor.eat_symbol(b'(');
    cursor.name();
    while cursor.eat_symbol(b'.') {
        cursor.name();
    }
    if in_parentheses {
        cursor.eat_symbol(b')');
    }
    if cursor.peek().is_some_and(|token| token.span.of(cursor.text()) == b"*") {
        cursor.bump();
    }
    commands(cursor)
}

/// The commands of ALTER TABLE, with commas between.
fn commands(mut cursor: Cursor) -> Upkeep {
    let mut found = Upkeep::NONE;
    while !cursor.at_end() {
        if cursor.eat_all(&["validate", "constraint"]) {
            found.maintenance = true;
        } else if cursor.eat_all(&["detach", "partition"]) {
            found.ddl |= !to_the_comma(cursor, |at| at.at("concurrently"));
        } else {
            found.ddl = true;
        }
        while !cursor.at_end() && !cursor.eat_symbol(b',') {
            if cursor.parentheses().is_none() {
                cursor.bump();
            }
        }
    }
    found
}

/// Whether `is` holds anywhere before the next comma.
fn to_the_comma(mut cursor: Cursor, is: impl Fn(&Cursor) -> bool) -> bool {
    while let Some(token) = cursor.peek() {
        if token.kind == Kind::Symbol(b',') {
            return false;
        }
        if is(&cursor) {
            return true;
        }
        cursor.bump();
    }
    false
}

/// Behind DROP.
fn drop(mut cursor: Cursor) -> Upkeep {
    if cursor.eat("index") {
        let concurrently = cursor.at("concurrently");
        return Upkeep { maintenance: concurrently, ddl: !concurrently };
    }
    // OWNED and EXTENSION take with them what depends on them inside.
    const RELATIONS: &[&str] = &[
        "table",
        "view",
        "materialized",
        "sequence",
        "trigger",
        "rule",
        "policy",
        "owned",
        "extension",
    ];
    if cursor.at_any(RELATIONS) || cursor.eat_all(&["foreign", "table"]) {
        return Upkeep::DDL;
    }
    while let Some(token) = cursor.bump() {
        // Columns of a type, views on a function, tables of a schema.
        if cursor.is(token, "cascade") {
            return Upkeep::DDL;
        }
    }
    Upkeep::NONE
}
