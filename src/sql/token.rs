//! Words of the lexer: spans, token kinds, what can be wrong with a text, and how to read it.
//!
//! Owns the vocabulary only. Deliberately absent: keywords. The lexer does not know which words Postgres reserves;
//! recognisers compare words where they stand.

/// A piece of a text, as byte offsets; `start <= end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes this span names; empty where the span lies outside of `text`.
    pub fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// Length in bytes.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// True for a span of no bytes.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// What a token is; the names of `src/backend/parser/scan.l` are in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Blanks, newlines. Only [`super::Lexer::tile`] returns it.
    Space,
    /// `-- …` up to, not including, the newline. Only [`super::Lexer::tile`] returns it.
    LineComment,
    /// `/* … */`, nested. Only [`super::Lexer::tile`] returns it.
    BlockComment,
    /// An unquoted identifier or a keyword.
    Word,
    /// `"…"` [IDENT].
    QuotedWord,
    /// `U&"…"`; a following `UESCAPE 'c'` is two tokens of its own [UIDENT].
    UnicodeWord,
    /// `'…'` whose backslashes are ordinary [SCONST].
    String,
    /// `E'…'`, or `'…'` with `standard_conforming_strings` off: backslashes escape [SCONST].
    EscapeString,
    /// `U&'…'`; a following `UESCAPE 'c'` is two tokens of its own [USCONST].
    UnicodeString,
    /// `N'…'`; the server sees the word NCHAR and then a string.
    NationalString,
    /// `B'…'` [BCONST].
    BitString,
    /// `X'…'` [XCONST].
    HexString,
    /// `$tag$…$tag$` [SCONST].
    DollarString,
    /// Digits only, underscores and the 0x, 0o, 0b forms included; of any size [ICONST or FCONST].
    Integer,
    /// A number with a point or an exponent [FCONST].
    Decimal,
    /// `$1` [PARAM].
    Param,
    /// Any operator that is not one of the symbols below [Op].
    Operator,
    /// `::`
    TypeCast,
    /// `..`
    DotDot,
    /// `:=`
    ColonEquals,
    /// `=>`
    EqualsGreater,
    /// `<=`
    LessEquals,
    /// `>=`
    GreaterEquals,
    /// `<>` or `!=`
    NotEquals,
    /// One of `, ( ) [ ] . ; : + - * / % ^ < > =` standing alone.
    Symbol(u8),
    /// A byte that starts no token of SQL; the server's grammar refuses it.
    Stray(u8),
}

impl Kind {
    /// True for what the server's parser never sees.
    pub fn is_trivia(self) -> bool {
        matches!(self, Kind::Space | Kind::LineComment | Kind::BlockComment)
    }

    /// True for a plain, escape, Unicode, national or dollar-quoted string: everything a string constant can be.
    pub fn is_string(self) -> bool {
        matches!(
            self,
            Kind::String
                | Kind::EscapeString
                | Kind::UnicodeString
                | Kind::NationalString
                | Kind::DollarString
        )
    }

    /// True for what can be a name: a word, quoted or not.
    pub fn is_word(self) -> bool {
        matches!(self, Kind::Word | Kind::QuotedWord | Kind::UnicodeWord)
    }
}

/// One token: its kind and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
}

/// Why the server's scanner refuses a text; the text then runs not at all.
///
/// Deliberately absent: faults of a literal's value (a bad `\u` escape, an invalid byte sequence), which move no
/// token boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// `/*` without its end.
    UnterminatedComment,
    /// A string without its closing quote, bit and hexadecimal strings included.
    UnterminatedString,
    /// `$tag$` without its end.
    UnterminatedDollarString,
    /// `"` without its end.
    UnterminatedIdentifier,
    /// `""` as a name.
    EmptyIdentifier,
    /// Letters glued to a number or parameter, `0x` without digits, `1e+`. Servers before 15 read two tokens, and so
    /// does the lexer.
    NumberJunk,
    /// An operator of 64 bytes or more.
    OperatorTooLong,
    /// `U&'…'` while `standard_conforming_strings` is off.
    UnicodeStringRefused,
}

/// How the text is to be read: what the server knows and the text does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexOptions {
    /// The server's `standard_conforming_strings`; default true.
    pub standard_conforming_strings: bool,
    /// The client's encoding; default [`super::Encoding::AsciiSafe`].
    pub encoding: super::Encoding,
}

impl Default for LexOptions {
    fn default() -> Self {
        Self { standard_conforming_strings: true, encoding: super::Encoding::AsciiSafe }
    }
}
