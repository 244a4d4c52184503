//! Statements of a text, cut where the server cuts them.
//!
//! Owns the meaning of `;`. Two things hide one: parentheses (`CREATE RULE … DO (a; b)`) and the body of a function
//! in the SQL standard's form, `BEGIN ATOMIC … END`. The grammar puts that END directly after a `;` or after ATOMIC,
//! where a CASE's END never stands, so no expression has to be understood. Everything else about a `;` inside
//! parentheses is a syntax error, and then nothing of the text runs.
//!
//! Deliberately absent: psql's meta-commands and COPY data, which are never part of a message (`script`).

use super::{Flaw, Kind, LexOptions, Lexer, Span, Token};

/// The statements of a text, first to last; empty ones are left out, as the server does.
#[derive(Clone, Copy, Debug)]
pub struct Statements<'a> {
    lexer: Lexer<'a>,
}

impl<'a> Statements<'a> {
    /// Reads `text` from its start.
    pub fn new(text: &'a [u8], options: LexOptions) -> Self {
        Self { lexer: Lexer::new(text, options) }
    }

    /// The first reason found so far why the server refuses this text; complete after the last statement.
    pub fn flaw(&self) -> Option<Flaw> {
        self.lexer.flaw()
    }
}

impl Iterator for Statements<'_> {
    /// From the first token of a statement to the end of its last, without the `;`.
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let mut span: Option<Span> = None;
        let mut nesting = Nesting::default();
        loop {
            let Some(token) = self.lexer.next() else { return span };
            match span {
                None if token.kind == Kind::Symbol(b';') => continue,
                None => span = Some(token.span),
                Some(_) if token.kind == Kind::Symbol(b';') && nesting.is_open() => return span,
                Some(found) => span = Some(Span { start: found.start, end: token.span.end }),
            }
            nesting.step(token, self.lexer.text());
        }
    }
}

/// What has been opened since the statement began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nesting {
    parentheses: usize,
    /// Open `BEGIN ATOMIC` bodies.
    bodies: usize,
    /// How far the current statement, or the current statement of the innermost body, looks like
    /// `CREATE [OR REPLACE] FUNCTION … BEGIN ATOMIC`.
    routine: Routine,
}

/// See [`Nesting::routine`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Routine {
    /// At the first word of a statement.
    #[default]
    Start,
    /// CREATE, OR or REPLACE was the last word.
    Create,
    /// FUNCTION or PROCEDURE was seen.
    Header,
    /// In a header, right behind BEGIN.
    Begin,
    /// Not the creation of a routine, or behind its body.
    Other,
}

impl Nesting {
    /// True where a `;` ends the statement.
    pub(super) fn is_open(self) -> bool {
        self.parentheses == 0 && self.bodies == 0
    }

    #[inline]
    pub(super) fn step(&mut self, token: Token, text: &[u8]) {
        match token.kind {
            Kind::Symbol(b'(') => self.parentheses += 1,
            Kind::Symbol(b')') => self.parentheses = self.parentheses.saturating_sub(1),
            Kind::Symbol(b';') if self.parentheses == 0 => return self.routine = Routine::Start,
            Kind::Word if self.parentheses == 0 && self.routine != Routine::Other => {
                return self.word(token.span.of(text));
            }
            _ => {}
        }
        self.routine = match self.routine {
            Routine::Header | Routine::Begin => Routine::Header,
            Routine::Start | Routine::Create | Routine::Other => Routine::Other,
        };
    }

    fn word(&mut self, word: &[u8]) {
        let is = |wanted: &[u8]| word.eq_ignore_ascii_case(wanted);
        self.routine = match self.routine {
            Routine::Start if is(b"create") => Routine::Create,
            Routine::Start if self.bodies > 0 && is(b"end") => {
                self.bodies -= 1;
                Routine::Other
            }
            Routine::Create if is(b"or") || is(b"replace") => Routine::Create,
            Routine::Create if is(b"function") || is(b"procedure") => Routine::Header,
            Routine::Header | Routine::Begin if is(b"begin") => Routine::Begin,
            Routine::Begin if is(b"atomic") => {
                self.bodies += 1;
                Routine::Start
            }
            Routine::Header | Routine::Begin => Routine::Header,
            Routine::Start | Routine::Create | Routine::Other => Routine::Other,
        };
    }
}
