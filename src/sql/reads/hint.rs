//! What a comment in front of a text asks for: `/* pgweir: primary */`.

use super::super::{Kind, LexOptions, Lexer};

/// Where a text asks to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// At the primary.
    Primary,
    /// At a replica.
    Replica,
}

/// The hint in the comments before the first token. Where there are several, the primary counts.
pub(super) fn before(text: &[u8], options: LexOptions) -> Option<Hint> {
    if text.first().is_none_or(u8::is_ascii_alphabetic) {
        return None;
    }
    let mut lexer = Lexer::new(text, options);
    let mut found = None;
    while let Some(token) = lexer.tile() {
        let raw = token.span.of(text);
        let body = match token.kind {
            Kind::Space => continue,
            Kind::LineComment => raw.get(2..),
            Kind::BlockComment => raw.get(2..raw.len().saturating_sub(2)),
            _ => return found,
        };
        match body.and_then(read) {
            Some(Hint::Primary) => return Some(Hint::Primary),
            Some(Hint::Replica) => found = Some(Hint::Replica),
            None => {}
        }
    }
    found
}

fn read(body: &[u8]) -> Option<Hint> {
    const MARK: &[u8] = b"pgweir:";
    let (mark, target) = body.trim_ascii().split_at_checked(MARK.len())?;
    let is = |word: &[u8]| target.trim_ascii().eq_ignore_ascii_case(word);
    match () {
        () if !mark.eq_ignore_ascii_case(MARK) => None,
        () if is(b"primary") => Some(Hint::Primary),
        () if is(b"replica") => Some(Hint::Replica),
        () => None,
    }
}
