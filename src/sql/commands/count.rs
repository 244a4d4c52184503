//! `SELECT count(*) FROM …` over whole tables.

use super::super::Kind;
use super::reader::Reader;
use super::{Command, Commands};

/// Words any of which makes a count less than that of whole tables.
const BOUNDS: &[&str] =
    &["where", "limit", "fetch", "group", "having", "union", "intersect", "except", "tablesample"];

/// Adds the finding, where the statement at `at` is such a query and nothing else.
pub(super) fn read(mut at: Reader, out: &mut Commands) {
    let whole = at;
    if !at.eat("select") {
        return;
    }
    if at.eat("pg_catalog") {
        at.eat_symbol(b'.');
    }
    if !at.eat("count") || !at.eat_symbol(b'(') {
        return;
    }
    let constant = at.peek().is_some_and(|token| token.kind == Kind::Integer);
    if !at.eat_symbol(b'*') {
        if !constant {
            return;
        }
        at.bump();
    }
    if !at.eat_symbol(b')') {
        return;
    }
    if at.eat("as") || !at.at("from") {
        at.name();
    }
    if !at.eat("from") {
        return;
    }
    let (table, _) = at.relation();
    if at.at_symbol(b'(') && table.is_some() {
        return; // A function.
    }
    while !at.at_end() {
        if at.at_any(BOUNDS) {
            return;
        }
        at.bump();
    }
    out.add(&whole, Command::UnboundedCount { table });
}
