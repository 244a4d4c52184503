//! What PL/pgSQL's EXECUTE is given: one literal, or texts put together from literals and what is not known.
//!
//! Owns the putting together. Operands joined by `||` make one piece, in which a placeholder name stands for what the
//! text does not show; each argument of a call (`format('…', …)`) is a piece of its own.

use super::super::Kind;
use super::code::{self, OpaqueReason};
use super::reader::Reader;
use super::{Commands, Place};

/// A name in place of an operand that is not a literal.
const PLACEHOLDER: &[u8] = b"\"?\"";

/// How deep parentheses are told apart; deeper ones run together.
const PARENTHESES_MAX: usize = 32;

/// Eats the expression behind EXECUTE and adds the commands of its texts. True when they are not all that it may run.
pub(super) fn read(at: &mut Reader, place: Place, out: &mut Commands) -> bool {
    let mut pieces = Pieces { open: vec![Piece::default()], tokens: 0 };
    let mut lone = None;
    let mut words = Vec::new();
    while let Some(token) = at.peek() {
        let outside = pieces.open.len() == 1;
        let over = token.kind == Kind::Symbol(b';')
            || outside && at.at_any(&["using", "into", "loop", "then"]);
        if over {
            break;
        }
        pieces.tokens += 1;
        if let Some(literal) = at.string() {
            words.extend_from_slice(&literal);
            words.push(b' ');
            pieces.literal(&literal);
            lone = Some(literal);
            continue;
        }
        match token.kind {
            Kind::Symbol(b'(') => pieces.open(),
            Kind::Symbol(b')') => pieces.close(at, out),
            Kind::Symbol(b',') => pieces.finish(at, out),
            Kind::Operator if token.span.of(at.text()) == b"||" => pieces.joined(),
            _ => pieces.other(),
        }
        at.bump();
    }
    if let Some(literal) = lone.filter(|_| pieces.tokens == 1) {
        code::texts(at, &literal, place, out);
        return false;
    }
    while !pieces.open.is_empty() {
        pieces.finish(at, out);
        pieces.open.pop();
    }
    code::opaque(at, OpaqueReason::Execute, code::names_index_ddl(&words), out);
    true
}

/// Texts that are being put together, one for each open parenthesis.
struct Pieces {
    open: Vec<Piece>,
    tokens: usize,
}

/// One text.
#[derive(Default)]
struct Piece {
    text: Vec<u8>,
    /// The last operand was not a literal.
    unknown: bool,
    /// A literal is in it.
    literal: bool,
}

impl Pieces {
    fn literal(&mut self, literal: &[u8]) {
        if let Some(piece) = self.open.last_mut() {
            piece.text.extend_from_slice(literal);
            piece.literal = true;
            piece.unknown = false;
        }
    }

    /// At anything that is no literal and joins nothing.
    fn other(&mut self) {
        if let Some(piece) = self.open.last_mut()
            && !std::mem::replace(&mut piece.unknown, true)
        {
            piece.text.extend_from_slice(PLACEHOLDER);
        }
    }

    /// At `||`.
    fn joined(&mut self) {
        if let Some(piece) = self.open.last_mut() {
            piece.unknown = false;
        }
    }

    fn open(&mut self) {
        if self.open.len() < PARENTHESES_MAX {
            self.open.push(Piece::default());
        }
    }

    fn close(&mut self, at: &Reader, out: &mut Commands) {
        self.finish(at, out);
        if self.open.len() > 1 {
            self.open.pop();
        }
        self.other();
    }

    /// Where a piece ends: reads it, if there is anything in it to be read.
    fn finish(&mut self, at: &Reader, out: &mut Commands) {
        let piece = self.open.last_mut().map(std::mem::take).unwrap_or_default();
        if piece.literal {
            code::texts(at, &piece.text, Place::Assembled, out);
        }
    }
}
