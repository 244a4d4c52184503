//! Statements that Postgres refuses while anybody else is connected to a database, and which
//! database that is.
//!
//! Deliberately absent: statements after the first. All of these refuse a transaction block, and a
//! text of several statements is one.

use super::cursor::Cursor;
use super::literal::Name;
use super::{LexOptions, Lexer, Statements};

/// The template of CREATE DATABASE that names none.
const DEFAULT_TEMPLATE: &[u8] = b"template1";

/// The database that must have no other sessions for the text to succeed: that of DROP DATABASE,
/// of ALTER DATABASE … RENAME TO or SET TABLESPACE, and the template of CREATE DATABASE.
///
/// Nearly every text is told by its first letter, the others by their first two words.
#[must_use]
pub fn vacated(text: &[u8], options: LexOptions) -> Option<Name> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace())?;
    // A comment may stand before it.
    if !matches!(first.to_ascii_lowercase(), b'd' | b'a' | b'c' | b'/' | b'-' | b';') {
        return None;
    }
    let mut lexer = Lexer::new(text, options).skip_while(|token| token.span.of(text) == b";");
    let mut next_is = |words: &[&str]| {
        let token = lexer.next()?;
        words.iter().position(|word| token.span.of(text).eq_ignore_ascii_case(word.as_bytes()))
    };
    let verb = next_is(&["drop", "alter", "create"])?;
    next_is(&["database"])?;
    let span = Statements::new(text, options).next()?;
    let mut cursor = Cursor::new(text, span, options);
    cursor.bump();
    cursor.bump();
    match verb {
        0 => {
            cursor.eat_all(&["if", "exists"]);
            cursor.name()
        }
        1 => {
            let name = cursor.name()?;
            let exclusive = cursor.at("rename") || cursor.eat_all(&["set", "tablespace"]);
            exclusive.then_some(name)
        }
        _ => template(cursor),
    }
}

/// `name [WITH] [TEMPLATE [=] {name | 'name' | DEFAULT}] …`
fn template(mut cursor: Cursor) -> Option<Name> {
    cursor.name()?;
    cursor.eat("with");
    while !cursor.at_end() {
        let wanted = cursor.eat("template");
        if !wanted && !cursor.eat_all(&["connection", "limit"]) {
            cursor.bump();
        }
        cursor.eat_symbol(b'=');
        if !wanted {
            cursor.eat_symbol(b'-');
            cursor.bump();
            continue;
        }
        if cursor.at("default") {
            break;
        }
        let quoted = cursor.string().map(|name| Name::new(&name));
        return quoted.or_else(|| cursor.name());
    }
    Some(Name::new(DEFAULT_TEMPLATE))
}
