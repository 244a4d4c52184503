//! Which tables the statements of a rehearsed session may put rows into.
//!
//! Owns the first words of statements that certainly fill nothing, and of those that fill one table. Everything else may
//! fill any.

use super::super::history::Made;
use crate::sql::commands::{Command, Commands, ObjectKind, TableAction, TableForm};
use crate::sql::{Cursor, Kind, LexOptions, Name, Span, Statements};

/// First words of statements that put no rows into tables that are there.
const FILLS_NOTHING: [&str; 38] = [
    "abort",
    "alter",
    "analyse",
    "analyze",
    "begin",
    "checkpoint",
    "close",
    "cluster",
    "comment",
    "commit",
    "create",
    "deallocate",
    "declare",
    "delete",
    "discard",
    "drop",
    "end",
    "fetch",
    "grant",
    "import",
    "listen",
    "lock",
    "move",
    "notify",
    "prepare",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "set",
    "show",
    "start",
    "truncate",
];

/// Functions that queries of migrations call and that put no rows anywhere. Those of `pg_catalog` by that name, too.
const CALLS_HARMLESS: [&str; 14] = [
    "set_config",
    "setval",
    "nextval",
    "currval",
    "lastval",
    "current_setting",
    "now",
    "count",
    "max",
    "min",
    "coalesce",
    "pg_get_serial_sequence",
    "in",
    "values",
];

/// Takes note of what a message may have filled.
pub(super) fn note(text: &[u8], commands: &Commands, options: LexOptions, made: &mut Made) {
    for found in commands.found() {
        match &found.command {
            Command::CreateTable(table) if table.form == TableForm::Query => match table.kind {
                ObjectKind::View => {}
                _ => made.fill(table.name.as_ref().map(|name| &name.name)),
            },
            Command::Refresh(refresh) => made.fill(refresh.view.as_ref().map(|name| &name.name)),
            // What it brings along may have rows.
            Command::AlterTable(altered)
                if altered.actions.iter().any(|a| matches!(a, TableAction::Attach { .. })) =>
            {
                made.fill(None);
            }
            // What it defines may fill others when somebody writes to one.
            Command::CreateRoutine(_) | Command::OtherDdl => made.may_trigger(),
            _ => {}
        }
    }
    for span in Statements::new(text, options) {
        statement(text, span, options, made);
    }
}

fn statement(text: &[u8], span: Span, options: LexOptions, made: &mut Made) {
    let mut at = Cursor::new(text, span, options);
    if at.at_any(&FILLS_NOTHING) || at.at("vacuum") || at.at("unlisten") || at.at("repack") {
        return;
    }
    if at.at_any(&["select", "values", "table", "update"]) || at.at_symbol(b'(') {
        if !calls_only_harmless(at) {
            made.fill(None);
        }
        return;
    }
    if at.eat_all(&["insert", "into"]) {
        let target = table(&mut at);
        at.parentheses();
        made.fill(target.as_ref().filter(|_| calls_only_harmless(at)));
        return;
    }
    if at.eat("copy") {
        let query = at.at_symbol(b'(');
        let target = table(&mut at);
        at.parentheses();
        if !query && !at.at("to") {
            made.fill(target.as_ref());
        }
        return;
    }
    made.fill(None);
}

/// The last part of a table's name.
fn table(at: &mut Cursor) -> Option<Name> {
    let mut name = at.name()?;
    while at.eat_symbol(b'.') {
        name = at.name()?;
    }
    Some(name)
}

/// Whether no function is called, in what is left of a statement, that may do anything.
fn calls_only_harmless(mut at: Cursor) -> bool {
    let mut before = None;
    while let Some(token) = at.bump() {
        // What a WITH may hold is a statement of its own.
        if ["insert", "merge"].iter().any(|word| at.is(token, word)) {
            return false;
        }
        if token.kind.is_word() && at.at_symbol(b'(') {
            let word = token.span.of(at.text());
            let known = token.kind == Kind::Word
                && CALLS_HARMLESS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
            if !known && before != Some(&b"pg_catalog"[..]) {
                return false;
            }
        }
        if token.kind != Kind::Symbol(b'.') {
            before = Some(token.span.of(at.text()));
        }
    }
    true
}
