//! Code on a server that sets parameters: which texts may define such code, and the question to the
//! catalog.
//!
//! Deliberately absent: asking it.

use crate::sql::{Cursor, EffectSet, LexOptions, StatementFacts, StatementKind};

/// One row when there is code, in a language whose source the catalog has, outside of Postgres' own
/// schemas, that has a SET or RESET at the beginning of a statement or of a string, or calls
/// `set_config` otherwise than for the transaction (its oid, which never changes, stands in the
/// trees of SQL-standard bodies; Postgres before 14 has none).
///
/// Everything is qualified: the role's `search_path` may begin with anything.
pub const CODE_THAT_SETS: &str = r"
SELECT 1
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
WHERE l.lanname OPERATOR(pg_catalog.<>) 'internal' AND l.lanname OPERATOR(pg_catalog.<>) 'c'
  AND p.pronamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace
  AND p.pronamespace OPERATOR(pg_catalog.<>) 'information_schema'::pg_catalog.regnamespace
  AND (
    pg_catalog.regexp_replace(
      pg_catalog.regexp_replace(p.prosrc, '--[^\n]*|/\*.*?\*/', ' ', 'g'),
      'set_config\s*\([^;()]*,\s*true\s*\)', ' ', 'gi')
    OPERATOR(pg_catalog.~*)
    '(^|[;''$>]|\m(begin|then|else|loop)\M)\s*(set\M(?!\s+(local|constraints|transaction)\M)|reset\M)|\mset_config\M'
    OR pg_catalog.strpos(
      pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.->>) 'prosqlbody', ':funcid 2078 ')
      OPERATOR(pg_catalog.>) 0
  )
LIMIT 1";

/// Whether a statement may define code that sets parameters.
pub(super) fn may_be_defined(statement: &StatementFacts, text: &[u8]) -> bool {
    if statement.kind == StatementKind::Unknown {
        // Postgres refuses it.
        return false;
    }
    if statement.effects.has(EffectSet::OPAQUE.with(EffectSet::UNKNOWN)) {
        return true;
    }
    if !statement.effects.has(EffectSet::DDL) {
        return false;
    }
    match statement.kind {
        StatementKind::Create(_) | StatementKind::Utility => {
            let mut cursor = Cursor::new(text, statement.span, LexOptions::default());
            let known = [&b"function"[..], b"procedure", b"extension", b"schema"];
            for _ in 0..4 {
                let Some(token) = cursor.peek() else { return false };
                let word = token.span.of(text);
                if known.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                    return true;
                }
                cursor.bump();
            }
            false
        }
        // Code that creates code.
        _ => statement.effects.has(EffectSet::CODE),
    }
}
