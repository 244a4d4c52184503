//! The lexer: bytes in, tokens out, as `src/backend/parser/scan.l` of Postgres 18 cuts them.
//!
//! Owns token boundaries. Invariants: it never panics, it looks at each byte a bounded number of times, it allocates
//! nothing, and what [`Lexer::tile`] returns covers the text without gap or overlap.
//!
//! Deliberately absent: keywords, values of literals (see `literal`), a limit on the size of a text.

#![deny(clippy::indexing_slicing)]

use super::{Flaw, Kind, LexOptions, Span, Token};

/// Reads the tokens of one text; iterating yields what the server's parser would see, without blanks and comments.
///
/// Copying it is how a reader looks ahead: a copy goes its own way.
#[derive(Clone, Copy, Debug)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    options: LexOptions,
    flaw: Option<Flaw>,
    /// Below this offset an operator's tail is known to be `+` and `-` only, each a token of its own. Without this a
    /// row of a million `+` would be looked at a million times.
    signs_until: usize,
}

impl<'a> Lexer<'a> {
    /// A lexer at the start of `text`.
    pub fn new(text: &'a [u8], options: LexOptions) -> Self {
        Self { text, at: 0, options, flaw: None, signs_until: 0 }
    }

    /// A lexer for a part of `text`, whose tokens keep their offsets in the whole. The part must begin and end
    /// between two tokens.
    pub fn within(text: &'a [u8], part: Span, options: LexOptions) -> Self {
        let text = text.get(..part.end).unwrap_or(text);
        Self { at: part.start.min(text.len()), ..Self::new(text, options) }
    }

    /// The text up to the end of what is being read.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// How the text is read.
    pub fn options(&self) -> LexOptions {
        self.options
    }

    /// Offset of the next byte to be read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The first reason found so far why the server refuses this text.
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// The next token, blanks and comments included: these tile the text.
    pub fn tile(&mut self) -> Option<Token> {
        let first = self.byte(self.at)?;
        let start = self.at;
        let (kind, end) = self.cut(first);
        // Every arm of `cut` moves at least one byte; this keeps the promise even if one did not.
        self.at = end.clamp(start + 1, self.text.len());
        Some(Token { kind, span: Span { start, end: self.at } })
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.text.get(at..).unwrap_or_default()
    }

    /// Offset of the first byte at or after `at` that fails `keep`.
    fn run(&self, at: usize, keep: impl Fn(u8) -> bool) -> usize {
        at + self.rest(at).iter().take_while(|b| keep(**b)).count()
    }

    fn note(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }

    fn unterminated(&mut self, flaw: Flaw) -> usize {
        self.note(flaw);
        self.text.len()
    }

    /// Kind and end of the token at `self.at`, whose first byte is `first`.
    #[inline]
    fn cut(&mut self, first: u8) -> (Kind, usize) {
        let (at, second) = (self.at, self.byte(self.at + 1));
        match first {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C => (Kind::Space, self.run(at + 1, is_space)),
            b'e' | b'E' if second == Some(b'\'') => {
                (Kind::EscapeString, self.escape_string(at + 2))
            }
            b'b' | b'B' if second == Some(b'\'') => (Kind::BitString, self.bit_string(at + 2)),
            b'x' | b'X' if second == Some(b'\'') => (Kind::HexString, self.bit_string(at + 2)),
            b'n' | b'N' if second == Some(b'\'') => {
                (Kind::NationalString, self.plain_string(at + 2).1)
            }
            b'u' | b'U' if second == Some(b'&') => self.unicode(at),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => (Kind::Word, self.word_end(at)),
            b'0'..=b'9' => self.number(at),
            b'.' if second.is_some_and(|b| b.is_ascii_digit()) => self.number(at),
            b'.' if second == Some(b'.') => (Kind::DotDot, at + 2),
            b'\'' => self.plain_string(at + 1),
            b'"' => (Kind::QuotedWord, self.quoted_word(at + 1)),
            b'$' => self.dollar(at),
            b':' if second == Some(b':') => (Kind::TypeCast, at + 2),
            b':' if second == Some(b'=') => (Kind::ColonEquals, at + 2),
            b',' | b'(' | b')' | b'[' | b']' | b'.' | b';' | b':' => (Kind::Symbol(first), at + 1),
            b'-' if second == Some(b'-') => {
                (Kind::LineComment, self.run(at + 2, |b| !is_newline(b)))
            }
            b'/' if second == Some(b'*') => (Kind::BlockComment, self.block_comment(at + 2)),
            _ if is_operator_byte(first) => self.operator(at),
            _ => (Kind::Stray(first), at + 1),
        }
    }

    /// End of the identifier that starts at `at`.
    fn word_end(&self, at: usize) -> usize {
        if self.options.encoding == super::Encoding::AsciiSafe {
            return self.run(at, is_word_byte);
        }
        // A character may end in a byte that looks like something else: walk by characters instead.
        let mut end = at;
        while self.byte(end).is_some_and(is_word_byte) {
            end += self.options.encoding.char_len(self.rest(end));
        }
        end
    }

    /// `/* … */`, nested; `at` is behind the first opening.
    fn block_comment(&mut self, mut at: usize) -> usize {
        let mut depth = 1_usize;
        while let Some(byte) = self.byte(at) {
            match (byte, self.byte(at + 1)) {
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return at;
                    }
                }
                (b'/', Some(b'*')) => {
                    depth += 1;
                    at += 2;
                }
                _ => at = self.run(at + 1, |b| b != b'*' && b != b'/'),
            }
        }
        self.unterminated(Flaw::UnterminatedComment)
    }

    /// A string whose backslashes mean what `standard_conforming_strings` says; `at` is behind the quote.
    fn plain_string(&mut self, at: usize) -> (Kind, usize) {
        if self.options.standard_conforming_strings {
            (Kind::String, self.standard_string(at))
        } else {
            (Kind::EscapeString, self.escape_string(at))
        }
    }

    fn standard_string(&mut self, mut at: usize) -> usize {
        loop {
            at = self.run(at, |b| b != b'\'');
            match (self.byte(at), self.byte(at + 1)) {
                (None, _) => return self.unterminated(Flaw::UnterminatedString),
                (Some(_), Some(b'\'')) => at += 2,
                (Some(_), _) => match self.continuation(at + 1) {
                    Some(next) => at = next,
                    None => return at + 1,
                },
            }
        }
    }

    fn escape_string(&mut self, mut at: usize) -> usize {
        loop {
            at = self.escape_run(at);
            match (self.byte(at), self.byte(at + 1)) {
                (None, _) => return self.unterminated(Flaw::UnterminatedString),
                (Some(b'\\'), _) => at += 1 + self.options.encoding.char_len(self.rest(at + 1)),
                (Some(_), Some(b'\'')) => at += 2,
                (Some(_), _) => match self.continuation(at + 1) {
                    Some(next) => at = next,
                    None => return at + 1,
                },
            }
        }
    }

    /// Offset of the next quote or backslash that is not the tail of a multibyte character.
    fn escape_run(&self, mut at: usize) -> usize {
        if self.options.encoding == super::Encoding::AsciiSafe {
            return self.run(at, |b| b != b'\'' && b != b'\\');
        }
        while self.byte(at).is_some_and(|b| b != b'\'' && b != b'\\') {
            at += self.options.encoding.char_len(self.rest(at));
        }
        at
    }

    /// `B'…'` and `X'…'`: no doubled quotes, but continued over newlines.
    fn bit_string(&mut self, mut at: usize) -> usize {
        loop {
            at = self.run(at, |b| b != b'\'');
            if at >= self.text.len() {
                return self.unterminated(Flaw::UnterminatedString);
            }
            match self.continuation(at + 1) {
                Some(next) => at = next,
                None => return at + 1,
            }
        }
    }

    /// Where a string goes on whose quote closed before `at`: behind the next quote, if only blanks and `--`
    /// comments with at least one newline lie between ({quotecontinue}).
    fn continuation(&self, mut at: usize) -> Option<usize> {
        let mut newline = false;
        loop {
            match (self.byte(at)?, self.byte(at + 1)) {
                (b'\'', _) if newline => return Some(at + 1),
                (byte, _) if is_space(byte) => {
                    newline |= is_newline(byte);
                    at += 1;
                }
                (b'-', Some(b'-')) => at = self.run(at + 2, |b| !is_newline(b)),
                _ => return None,
            }
        }
    }

    /// `"…"`; `at` is behind the opening quote.
    fn quoted_word(&mut self, start: usize) -> usize {
        let mut at = start;
        loop {
            at = self.run(at, |b| b != b'"');
            match (self.byte(at), self.byte(at + 1)) {
                (None, _) => return self.unterminated(Flaw::UnterminatedIdentifier),
                (Some(_), Some(b'"')) => at += 2,
                (Some(_), _) => break,
            }
        }
        if at == start {
            self.note(Flaw::EmptyIdentifier);
        }
        at + 1
    }

    /// What begins with `U&`.
    fn unicode(&mut self, at: usize) -> (Kind, usize) {
        match self.byte(at + 2) {
            Some(b'"') => (Kind::UnicodeWord, self.quoted_word(at + 3)),
            Some(b'\'') => {
                if !self.options.standard_conforming_strings {
                    self.note(Flaw::UnicodeStringRefused);
                }
                (Kind::UnicodeString, self.standard_string(at + 3))
            }
            Some(_) | None => (Kind::Word, at + 1),
        }
    }

    /// What begins with `$`: a parameter, a dollar-quoted string, or a stray `$`.
    fn dollar(&mut self, at: usize) -> (Kind, usize) {
        if self.byte(at + 1).is_some_and(|b| b.is_ascii_digit()) {
            let end = self.run(at + 1, |b| b.is_ascii_digit());
            return (Kind::Param, self.check_junk(end));
        }
        let tag_end = match self.byte(at + 1) {
            Some(byte) if is_tag_start(byte) => self.tag_end(at + 1),
            Some(_) | None => at + 1,
        };
        if self.byte(tag_end) != Some(b'$') {
            return (Kind::Stray(b'$'), at + 1);
        }
        let delimiter = self.text.get(at..=tag_end).unwrap_or_default();
        let mut from = tag_end + 1;
        loop {
            from = self.run(from, |b| b != b'$');
            if from >= self.text.len() {
                return (Kind::DollarString, self.unterminated(Flaw::UnterminatedDollarString));
            }
            // A tag holds no `$`, so two attempts never compare the same bytes: this stays linear.
            if self.rest(from).starts_with(delimiter) {
                return (Kind::DollarString, from + delimiter.len());
            }
            from += 1;
        }
    }

    fn tag_end(&self, mut at: usize) -> usize {
        while self.byte(at).is_some_and(|b| is_tag_start(b) || b.is_ascii_digit()) {
            at += self.options.encoding.char_len(self.rest(at));
        }
        at
    }

    /// A number; `at` is at its first digit, or at a point before a digit.
    fn number(&mut self, at: usize) -> (Kind, usize) {
        if let Some(end) = self.prefixed_integer(at) {
            return (Kind::Integer, end);
        }
        let mut kind = Kind::Integer;
        let mut end = self.digits(at, |b| b.is_ascii_digit());
        let point = self.byte(end) == Some(b'.');
        if point && self.byte(end + 1) == Some(b'.') && end > at {
            return (Kind::Integer, end); // `1..10` is a range of PL/pgSQL ({numericfail}).
        }
        if point {
            kind = Kind::Decimal;
            end = self.digits(end + 1, |b| b.is_ascii_digit());
        }
        if matches!(self.byte(end), Some(b'e' | b'E')) {
            let signed = matches!(self.byte(end + 1), Some(b'+' | b'-'));
            let power = end + 1 + usize::from(signed);
            let power_end = self.digits(power, |b| b.is_ascii_digit());
            if power_end > power {
                kind = Kind::Decimal;
                end = power_end;
            }
        }
        // `1e5$` and `1_0$` read as a 1 with the junk `e5$` and `_0$` ({integer_junk}).
        let tail = self.text.get(at..end).unwrap_or_default().iter().rev();
        let mut tail = tail.take_while(|b| is_word_byte(**b));
        if self.byte(end) == Some(b'$') && tail.any(|b| !b.is_ascii_digit()) {
            self.note(Flaw::NumberJunk);
        }
        (kind, self.check_junk(end))
    }

    /// `0x1F`, `0o17`, `0b1`, unless junk follows: then the zero alone is the number.
    fn prefixed_integer(&self, at: usize) -> Option<usize> {
        if self.byte(at) != Some(b'0') {
            return None;
        }
        let is_digit: fn(u8) -> bool = match self.byte(at + 1)? {
            b'x' | b'X' => |b| b.is_ascii_hexdigit(),
            b'o' | b'O' => |b| matches!(b, b'0'..=b'7'),
            b'b' | b'B' => |b| matches!(b, b'0' | b'1'),
            _ => return None,
        };
        let digits = at + 2 + usize::from(self.byte(at + 2) == Some(b'_'));
        let end = self.digits(digits, is_digit);
        let junk = self.byte(end).is_some_and(is_word_byte);
        (end > digits && !junk).then_some(end)
    }

    /// End of `digit (_? digit)*` at `at`; `at` itself when there is no digit.
    fn digits(&self, at: usize, is_digit: fn(u8) -> bool) -> usize {
        let mut end = self.run(at, is_digit);
        while end > at && self.byte(end) == Some(b'_') && self.byte(end + 1).is_some_and(is_digit) {
            end = self.run(end + 1, is_digit);
        }
        end
    }

    /// Notes letters glued to the number that ends at `end`, and leaves them to be a word of their own.
    fn check_junk(&mut self, end: usize) -> usize {
        if self.byte(end).is_some_and(is_tag_start) {
            self.note(Flaw::NumberJunk);
        }
        end
    }

    /// An operator: the longest run of operator bytes, cut at a comment start, its trailing `+` and `-` given back
    /// unless it holds a byte that no operator of the SQL standard has.
    fn operator(&mut self, at: usize) -> (Kind, usize) {
        if at < self.signs_until {
            return (self.operator_kind(at, at + 1), at + 1);
        }
        let mut end = at + 1;
        while let Some(byte) = self.byte(end).filter(|b| is_operator_byte(*b)) {
            if matches!((byte, self.byte(end + 1)), (b'-', Some(b'-')) | (b'/', Some(b'*'))) {
                break;
            }
            end += 1;
        }
        let run = self.text.get(at..end).unwrap_or_default();
        let signs = run.iter().rev().take_while(|b| matches!(b, b'+' | b'-')).count();
        if signs > 0 && !run.iter().any(|b| is_beyond_standard(*b)) {
            self.signs_until = end;
            end = (end - signs).max(at + 1);
        }
        if end - at >= 64 {
            self.note(Flaw::OperatorTooLong);
        }
        (self.operator_kind(at, end), end)
    }

    fn operator_kind(&self, at: usize, end: usize) -> Kind {
        match self.text.get(at..end).unwrap_or_default() {
            [byte @ (b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'<' | b'>' | b'=')] => {
                Kind::Symbol(*byte)
            }
            b"=>" => Kind::EqualsGreater,
            b"<=" => Kind::LessEquals,
            b">=" => Kind::GreaterEquals,
            b"<>" | b"!=" => Kind::NotEquals,
            _ => Kind::Operator,
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.next_here()
    }
}

impl Lexer<'_> {
    /// [`Self::next`], copied into its caller: for the one loop that nearly every text goes through, and no other.
    #[inline(always)]
    pub(super) fn next_here(&mut self) -> Option<Token> {
        // Most tokens need no more than a look at their first byte: they are read here, without the long way round.
        loop {
            let rest = self.rest(self.at);
            let blanks = rest.iter().position(|b| class(*b) != Class::Blank)?;
            self.at += blanks;
            let (first, rest) = rest.get(blanks..)?.split_first()?;
            let Some((kind, len)) = self.short_cut(*first, rest) else {
                let token = self.tile()?;
                if token.kind.is_trivia() {
                    continue;
                }
                return Some(token);
            };
            let start = self.at;
            self.at = start + len;
            return Some(Token { kind, span: Span { start, end: self.at } });
        }
    }

    /// Kind and length of the token that begins with `first`, where that is easily said: it must be what
    /// [`Self::cut`] says.
    #[inline]
    fn short_cut(&self, first: u8, rest: &[u8]) -> Option<(Kind, usize)> {
        match class(first) {
            Class::Prefix if matches!(rest.first(), Some(b'\'' | b'&')) => None,
            Class::Letter | Class::Prefix
                if self.options.encoding == super::Encoding::AsciiSafe =>
            {
                let more = rest.iter().position(|b| !is_word_byte(*b)).unwrap_or(rest.len());
                Some((Kind::Word, 1 + more))
            }
            Class::Single => Some((Kind::Symbol(first), 1)),
            Class::Point if !matches!(rest.first(), Some(b'.' | b'0'..=b'9')) => {
                Some((Kind::Symbol(b'.'), 1))
            }
            Class::Digit => {
                let more = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
                let ends = rest.get(more).is_none_or(|b| *b != b'.' && !is_word_byte(*b));
                ends.then_some((Kind::Integer, 1 + more))
            }
            Class::Quote => {
                let name = rest.iter().position(|b| *b == b'"')?;
                let ends = name > 0 && rest.get(name + 1) != Some(&b'"');
                ends.then_some((Kind::QuotedWord, name + 2))
            }
            Class::Blank | Class::Letter | Class::Prefix | Class::Point | Class::Other => None,
        }
    }
}

/// What a first byte says by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// {space}
    Blank,
    /// The first byte of a word.
    Letter,
    /// The first byte of a word, or of a string.
    Prefix,
    /// The first byte of a number.
    Digit,
    /// `"`
    Quote,
    /// `.`
    Point,
    /// A token of its own, whatever follows.
    Single,
    /// Anything else.
    Other,
}

#[inline]
fn class(byte: u8) -> Class {
    #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
    CLASSES[byte as usize]
}

const CLASSES: [Class; 256] = classes();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn classes() -> [Class; 256] {
    let mut table = [Class::Other; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = match at as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C => Class::Blank,
            b'b' | b'B' | b'e' | b'E' | b'n' | b'N' | b'u' | b'U' | b'x' | b'X' => Class::Prefix,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'"' => Class::Quote,
            b'.' => Class::Point,
            b',' | b'(' | b')' | b'[' | b']' | b';' => Class::Single,
            _ => Class::Other,
        };
        at += 1;
    }
    table
}

/// {space}; servers before 16 do not know the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// {ident_cont}
#[inline]
pub(super) fn is_word_byte(byte: u8) -> bool {
    #[allow(clippy::indexing_slicing, reason = "a byte is below 256")]
    WORD_BYTES[byte as usize]
}

const WORD_BYTES: [bool; 256] = word_bytes();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn word_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        table[at] =
            matches!(at as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x80..);
        at += 1;
    }
    table
}

/// {dolq_start}, which is also {ident_start}
fn is_tag_start(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80..)
}

/// {op_chars}
fn is_operator_byte(byte: u8) -> bool {
    matches!(byte, b'+' | b'-' | b'*' | b'/' | b'<' | b'>' | b'=') || is_beyond_standard(byte)
}

/// Operator bytes that occur in no operator of the SQL standard.
fn is_beyond_standard(byte: u8) -> bool {
    matches!(byte, b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%')
}
