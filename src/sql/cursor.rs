//! A reader's place in one statement: one token of look-ahead, words and names eaten by what they are.
//!
//! Owns nothing but the place. Copying it is how a recogniser tries something. Deliberately absent: any list of
//! words.

use std::borrow::Cow;

use super::literal::{self, Name};
use super::names;
use super::{Flaw, Kind, LexOptions, Lexer, Span, Token};

/// A place between two tokens of one statement.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    /// End of the token before this place.
    behind: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first token of `part`, which must begin and end between two tokens.
    pub fn new(text: &'a [u8], part: Span, options: LexOptions) -> Self {
        let mut lexer = Lexer::within(text, part, options);
        let ahead = lexer.next();
        Self { lexer, ahead, behind: part.start }
    }

    /// The whole text; spans count in it.
    pub fn text(&self) -> &'a [u8] {
        self.lexer.text()
    }

    /// How the text is read.
    pub fn options(&self) -> LexOptions {
        self.lexer.options()
    }

    /// The first reason found so far why the server refuses the text.
    pub fn flaw(&self) -> Option<Flaw> {
        self.lexer.flaw()
    }

    /// The token behind this place.
    pub fn peek(&self) -> Option<Token> {
        self.ahead
    }

    /// The token after that one.
    pub fn peek_second(&self) -> Option<Token> {
        self.lexer.clone().next()
    }

    /// Offset of the next token, or of the end.
    pub fn offset(&self) -> usize {
        self.ahead.map_or(self.text().len(), |token| token.span.start)
    }

    /// End of the last token eaten; the start of the part before the first.
    pub fn behind(&self) -> usize {
        self.behind
    }

    /// True behind the last token.
    pub fn at_end(&self) -> bool {
        self.ahead.is_none()
    }

    /// Eats one token.
    pub fn bump(&mut self) -> Option<Token> {
        let token = self.ahead?;
        self.behind = token.span.end;
        self.ahead = self.lexer.next();
        Some(token)
    }

    /// True before the unquoted word `word` (lower case), in any case.
    pub fn at(&self, word: &str) -> bool {
        self.ahead.is_some_and(|token| self.is(token, word))
    }

    /// True when `token` is the unquoted word `word`.
    pub fn is(&self, token: Token, word: &str) -> bool {
        token.kind == Kind::Word && token.span.of(self.text()).eq_ignore_ascii_case(word.as_bytes())
    }

    /// True before one of `words`.
    pub fn at_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.at(word))
    }

    /// True before the symbol `byte`.
    pub fn at_symbol(&self, byte: u8) -> bool {
        self.ahead.is_some_and(|token| token.kind == Kind::Symbol(byte))
    }

    /// Eats `word` when it is next.
    pub fn eat(&mut self, word: &str) -> bool {
        let found = self.at(word);
        if found {
            self.bump();
        }
        found
    }

    /// Eats one of `words` when it is next.
    pub fn eat_any(&mut self, words: &[&str]) -> bool {
        let found = self.at_any(words);
        if found {
            self.bump();
        }
        found
    }

    /// Eats all of `words` when they are next, or none.
    pub fn eat_all(&mut self, words: &[&str]) -> bool {
        let mut trial = *self;
        let found = words.iter().all(|word| trial.eat(word));
        if found {
            *self = trial;
        }
        found
    }

    /// Eats the symbol `byte` when it is next.
    pub fn eat_symbol(&mut self, byte: u8) -> bool {
        let found = self.at_symbol(byte);
        if found {
            self.bump();
        }
        found
    }

    /// Eats a name, quoted or not, with its UESCAPE; reserved words count as names here.
    pub fn name(&mut self) -> Option<Name> {
        let (token, escape) = self.word()?;
        Some(literal::name(token, self.text(), escape))
    }

    /// The same, and gives what [`literal::name`] makes the name from.
    pub(super) fn word(&mut self) -> Option<(Token, u8)> {
        let token = self.ahead.filter(|token| token.kind.is_word())?;
        self.bump();
        Some((token, if token.kind == Kind::UnicodeWord { self.escape() } else { b'\\' }))
    }

    /// Eats a name that the grammar takes for one: as [`Self::name`], but no reserved word.
    pub fn unreserved_name(&mut self) -> Option<Name> {
        let token = self.ahead?;
        if token.kind == Kind::Word && names::is_reserved(token.span.of(self.text())) {
            return None;
        }
        self.name()
    }

    /// Eats a string constant, with its UESCAPE.
    pub fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        let token = self.ahead.filter(|token| token.kind.is_string())?;
        self.bump();
        let escape = if token.kind == Kind::UnicodeString { self.escape() } else { b'\\' };
        literal::string(token, self.text(), self.options(), escape)
    }

    /// Eats `UESCAPE 'c'` when it is next and says what the escape character is.
    fn escape(&mut self) -> u8 {
        let mut trial = *self;
        let value = if trial.eat("uescape") { trial.string() } else { None };
        let Some(&[escape]) = value.as_deref() else { return b'\\' };
        *self = trial;
        escape
    }

    /// Eats a parenthesised group when one is next, and gives the span of what lies inside.
    pub fn parentheses(&mut self) -> Option<Span> {
        if !self.eat_symbol(b'(') {
            return None;
        }
        let start = self.offset();
        let mut depth = 1_usize;
        while let Some(token) = self.bump() {
            match token.kind {
                Kind::Symbol(b'(') => depth += 1,
                Kind::Symbol(b')') if depth == 1 => {
                    return Some(Span { start, end: token.span.start.max(start) });
                }
                Kind::Symbol(b')') => depth -= 1,
                _ => {}
            }
        }
        Some(Span { start, end: self.behind.max(start) })
    }
}
