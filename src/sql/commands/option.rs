//! Options in parentheses: `(name [value], …)` of REINDEX, VACUUM and their like.
//!
//! Owns what they mean as booleans (`defGetBoolean`). A name in quotes counts as well as a bare one.

use super::super::Kind;
use super::reader::Reader;

/// Eats `(name [value], …)` when it is next and tells `each` of every option: its name, and its value as a boolean,
/// None where the server refuses the value.
pub(super) fn options(at: &mut Reader, mut each: impl FnMut(&[u8], Option<bool>)) -> bool {
    if !at.eat_symbol(b'(') {
        return false;
    }
    loop {
        let name = at.name();
        if name.is_none() {
            at.bump();
        }
        let value = boolean(at);
        if let Some(name) = name {
            each(name.as_bytes(), value);
        }
        if !at.eat_symbol(b',') {
            break;
        }
    }
    at.eat_symbol(b')')
}

/// Eats an option's value, up to the comma or the parenthesis; no value means true.
fn boolean(at: &mut Reader) -> Option<bool> {
    let mut tokens = 0;
    let mut negative = false;
    let mut value = Some(true);
    while let Some(token) = at.peek() {
        if matches!(token.kind, Kind::Symbol(b',' | b')')) {
            break;
        }
        if tokens == 0 && matches!(token.kind, Kind::Symbol(b'+' | b'-')) {
            negative |= token.kind == Kind::Symbol(b'-');
            at.bump();
            value = None;
            continue;
        }
        tokens += 1;
        let raw = token.span.of(at.text());
        value = match token.kind {
            kind if kind.is_string() => at.string().and_then(|text| word(&text)),
            kind if kind.is_word() => at.name().and_then(|name| word(name.as_bytes())),
            Kind::Integer => number(raw).filter(|on| !(*on && negative)),
            _ => None,
        };
        if !token.kind.is_string() && !token.kind.is_word() {
            at.skip();
        }
        if tokens > 1 {
            value = None;
        }
    }
    value
}

fn word(value: &[u8]) -> Option<bool> {
    let is = |known: &[u8]| known.eq_ignore_ascii_case(value);
    match () {
        () if is(b"true") || is(b"on") => Some(true),
        () if is(b"false") || is(b"off") => Some(false),
        () => None,
    }
}

/// What an integer means: only 0 and 1 mean something, in whatever base and however long they are written.
fn number(raw: &[u8]) -> Option<bool> {
    let digits = match raw {
        [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', digits @ ..] => digits,
        digits => digits,
    };
    let mut digits = digits.iter().filter(|byte| **byte != b'_');
    let last = digits.next_back()?;
    if digits.any(|byte| *byte != b'0') {
        return None;
    }
    match last {
        b'0' => Some(false),
        b'1' => Some(true),
        _ => None,
    }
}
