//! Words that verdicts share: names as messages and statements have them, and statements made safe.

use crate::sql::commands::ObjectName;
use crate::sql::{Cursor, LexOptions, Name, Span};

/// Longest statement that a hint repeats.
const STATEMENT_MAX: usize = 400;

/// How each framework builds an index without blocking writes.
pub(super) const CREATE_IN_FRAMEWORKS: &str = "Django: AddIndexConcurrently in a migration with atomic = False. \
     Rails: algorithm: :concurrently with disable_ddl_transaction!. \
     Alembic: postgresql_concurrently=True in an autocommit_block().";

/// How each drops one.
pub(super) const DROP_IN_FRAMEWORKS: &str = "Django: RemoveIndexConcurrently in a migration with atomic = False. \
     Rails: remove_index with algorithm: :concurrently and disable_ddl_transaction!. \
     Alembic: postgresql_concurrently=True in an autocommit_block().";

/// How each runs a statement outside of a transaction.
pub(super) const OUTSIDE_IN_FRAMEWORKS: &str = "Django: atomic = False in the migration. \
     Rails: disable_ddl_transaction!. Alembic: autocommit_block().";

/// A name as a message has it: in quotes, as Postgres writes them.
pub(super) fn shown(object: Option<&ObjectName>, otherwise: &str) -> String {
    let Some(object) = object else { return otherwise.to_owned() };
    let mut out = String::from("\"");
    if let Some(schema) = &object.schema {
        out.push_str(&plain(schema.as_bytes()));
        out.push('.');
    }
    out.push_str(&plain(object.name.as_bytes()));
    out.push('"');
    out
}

/// The same of a name that has no schema.
pub(super) fn shown_name(name: Option<&Name>, otherwise: &str) -> String {
    name.map_or_else(|| otherwise.to_owned(), |name| format!("\"{}\"", plain(name.as_bytes())))
}

fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A name as a statement has it: with quotes where it needs them.
pub(super) fn written(object: &ObjectName) -> String {
    let mut out = String::new();
    for part in object.schema.iter().chain([&object.name]) {
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(&written_name(part));
    }
    out
}

/// The same of one part.
pub(super) fn written_name(name: &Name) -> String {
    let bytes = name.as_bytes();
    let mut at = Cursor::new(bytes, Span { start: 0, end: bytes.len() }, LexOptions::default());
    let bare = at.unreserved_name().as_ref() == Some(name) && at.at_end();
    let text = plain(bytes);
    if bare { text } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// The statement with CONCURRENTLY where it goes; None where it is too long to be repeated.
pub(super) fn with_concurrently(text: &[u8], statement: Span, at: Option<usize>) -> Option<String> {
    let at = at?;
    if statement.len() > STATEMENT_MAX {
        return None;
    }
    let before = Span { start: statement.start, end: at };
    let behind = Span { start: at, end: statement.end };
    let (before, behind) = (before.of(text), behind.of(text));
    let before = std::str::from_utf8(before).ok()?.trim_start();
    Some(format!("{before} CONCURRENTLY{}", std::str::from_utf8(behind).ok()?.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_quotes_where_a_statement_needs_them() {
        let written = |name: &str| written_name(&Name::new(name.as_bytes()));
        assert_eq!(written("orders"), "orders");
        assert_eq!(written("order"), "\"order\"");
        assert_eq!(written("Orders"), "\"Orders\"");
        assert_eq!(written("a\"b"), "\"a\"\"b\"");
        assert_eq!(written("a b"), "\"a b\"");
        assert_eq!(written(""), "\"\"");
    }
}
