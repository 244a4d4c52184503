//! A number for texts that ask for the same with other values.
//!
//! Constants, parameters, comments, blanks and the case of unquoted names do not count, nor how many
//! values a list has: elements of `IN (…)`, `ARRAY[…]` and rows of `VALUES` that read alike one after
//! the other count once. The number is the same in every process and on every machine.
//!
//! Owns what counts. Invariants: one pass with a bounded look ahead, no allocation, no recursion, no
//! text panics. Deliberately absent: a grammar; where a word could be two things, it is taken for
//! the more frequent one, which costs at most that two texts get two numbers, or one.

#![deny(clippy::indexing_slicing)]

use std::fmt;

use super::{Kind, LexOptions, Lexer, Token};

/// Bytes of a text that are read; what comes later does not count.
pub const LONGEST_READ: usize = 4_096;

/// Lists within lists that are folded; deeper ones are taken as they are written.
const DEEPEST: usize = 32;

/// A text's number; written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Fingerprint {
    /// That of a text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let text = text.get(..LONGEST_READ).unwrap_or(text);
        let mut lexer = Lexer::new(text, LexOptions::default());
        let mut folding = Folding::default();
        while let Some(token) = lexer.next() {
            folding.take(text, token, lexer);
        }
        Fingerprint(folding.end())
    }
}

/// FNV-1a, 64 bits: the same for ever, and good enough for what nobody gains by forging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest(u64);

impl Digest {
    const EMPTY: Digest = Digest(0xcbf2_9ce4_8422_2325);

    fn put(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// Puts a piece, so that where it ends counts.
    fn piece(&mut self, bytes: impl Iterator<Item = u8>) {
        bytes.for_each(|byte| self.put(byte));
        // No token has it.
        self.put(0);
    }

    /// Spreads what the last bytes have changed over all digits.
    fn finish(self) -> u64 {
        let mut spread = self.0;
        spread = (spread ^ (spread >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        spread = (spread ^ (spread >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        spread ^ (spread >> 33)
    }
}

/// What the token before means for the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// An operand cannot have ended here: a sign belongs to the number behind it.
    #[default]
    Open,
    /// `IN`.
    In,
    /// `ARRAY`.
    Array,
    /// `VALUES`.
    Values,
    /// `IS`, `NOT`: what follows is no value.
    Is,
    /// A point: what follows is part of a name.
    Point,
    /// Anything else.
    Other,
}

/// A list whose elements are counted once where they read alike.
#[derive(Clone, Copy, Debug)]
struct List {
    /// What was read before it, and its elements so far.
    outer: Digest,
    last: Option<Digest>,
    /// How deep in brackets the text between its elements is.
    depth: u32,
    /// Its elements are bracketed themselves, and nothing is around them: rows of VALUES.
    rows: bool,
}

impl List {
    /// An element has ended.
    fn element(&mut self, element: Digest) {
        if element != Digest::EMPTY && self.last != Some(element) {
            self.outer.piece(element.0.to_be_bytes().into_iter());
            self.last = Some(element);
        }
    }
}

/// A text as far as it has been read.
#[derive(Debug)]
struct Folding {
    /// What has been read since the innermost list's element began.
    digest: Digest,
    lists: [Option<List>; DEEPEST],
    /// How many of them are open.
    open: usize,
    depth: u32,
    before: Before,
    /// A semicolon has been read: it counts if something follows.
    separated: bool,
}

impl Default for Folding {
    fn default() -> Self {
        Folding {
            digest: Digest::EMPTY,
            lists: [None; DEEPEST],
            open: 0,
            depth: 0,
            before: Before::Open,
            separated: false,
        }
    }
}

impl Folding {
    /// Reads a token; `behind` is what follows it.
    fn take(&mut self, text: &[u8], token: Token, behind: Lexer<'_>) {
        if token.kind == Kind::Symbol(b';') {
            self.end_rows();
            self.separated = self.digest != Digest::EMPTY;
            self.before = Before::Open;
            return;
        }
        if std::mem::take(&mut self.separated) {
            self.digest.piece(b";".iter().copied());
        }
        let word = token.span.of(text);
        match token.kind {
            Kind::Symbol(b',') if self.is_between_rows() => return,
            Kind::Symbol(b'(') if self.is_between_rows() => {
                self.digest = Digest::EMPTY;
                self.enter(b'(');
                return;
            }
            _ => self.end_rows(),
        }
        match token.kind {
            Kind::Symbol(b',') if self.is_between_elements() => {
                self.end_element();
                self.before = Before::Open;
            }
            Kind::Symbol(open @ (b'(' | b'[')) => self.open(open),
            Kind::Symbol(close @ (b')' | b']')) => self.close(close),
            Kind::Symbol(sign @ (b'+' | b'-')) => {
                let mut behind = behind;
                let is_signed = self.before != Before::Other
                    && behind
                        .next()
                        .is_some_and(|next| matches!(next.kind, Kind::Integer | Kind::Decimal));
                if !is_signed {
                    self.digest.piece(std::iter::once(sign));
                    self.before = Before::Open;
                }
            }
            Kind::Word => self.word(word),
            Kind::String
            | Kind::EscapeString
            | Kind::UnicodeString
            | Kind::NationalString
            | Kind::BitString
            | Kind::HexString
            | Kind::DollarString
            | Kind::Integer
            | Kind::Decimal
            | Kind::Param => self.constant(),
            Kind::NotEquals => self.put(b"<>", Before::Open),
            Kind::Symbol(b'.') => self.put(b".", Before::Point),
            Kind::QuotedWord | Kind::UnicodeWord | Kind::Stray(_) => self.put(word, Before::Other),
            Kind::Operator
            | Kind::TypeCast
            | Kind::DotDot
            | Kind::ColonEquals
            | Kind::EqualsGreater
            | Kind::LessEquals
            | Kind::GreaterEquals
            | Kind::Symbol(_) => self.put(word, Before::Open),
            // The lexer leaves them out.
            Kind::Space | Kind::LineComment | Kind::BlockComment => {}
        }
    }

    fn put(&mut self, piece: &[u8], before: Before) {
        self.digest.piece(piece.iter().copied());
        self.before = before;
    }

    fn constant(&mut self) {
        self.put(b"?", Before::Other);
    }

    fn word(&mut self, word: &[u8]) {
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        let in_name = self.before == Before::Point;
        let is_value = ["null", "true", "false"].into_iter().any(is);
        if is_value && !in_name && self.before != Before::Is {
            return self.constant();
        }
        self.digest.piece(word.iter().map(u8::to_ascii_lowercase));
        self.before = if in_name {
            Before::Other
        } else if is("in") {
            Before::In
        } else if is("array") {
            Before::Array
        } else if is("values") {
            Before::Values
        } else if is("is") || is("not") {
            Before::Is
        } else if BEFORE_OPERANDS.iter().copied().any(is) {
            Before::Open
        } else {
            Before::Other
        };
    }

    fn list(&mut self) -> Option<&mut List> {
        self.lists.get_mut(self.open.checked_sub(1)?)?.as_mut()
    }

    fn is_at_list(&self, rows: bool) -> bool {
        let list = self.open.checked_sub(1).and_then(|last| self.lists.get(last)?.as_ref());
        list.is_some_and(|list| list.rows == rows && list.depth == self.depth)
    }

    fn is_between_elements(&self) -> bool {
        self.is_at_list(false)
    }

    fn is_between_rows(&self) -> bool {
        self.is_at_list(true)
    }

    fn end_element(&mut self) {
        let element = std::mem::replace(&mut self.digest, Digest::EMPTY);
        if let Some(list) = self.list() {
            list.element(element);
        }
    }

    /// The innermost list has ended.
    fn leave(&mut self) {
        let Some(last) = self.open.checked_sub(1) else { return };
        if let Some(list) = self.lists.get_mut(last).and_then(Option::take) {
            self.digest = list.outer;
        }
        self.open = last;
    }

    /// What follows the last row is no row.
    fn end_rows(&mut self) {
        if self.is_between_rows() {
            self.leave();
            self.before = Before::Other;
        }
    }

    /// A bracket that is part of what it stands in.
    fn enter(&mut self, bracket: u8) {
        self.depth = self.depth.saturating_add(1);
        self.put(&[bracket], Before::Open);
    }

    fn open(&mut self, bracket: u8) {
        let rows = match (self.before, bracket) {
            (Before::In, b'(') | (Before::Array, b'[') => false,
            (Before::Values, b'(') => true,
            _ => return self.enter(bracket),
        };
        let Some(place) = self.lists.get_mut(self.open) else { return self.enter(bracket) };
        if !rows {
            self.digest.piece(std::iter::once(bracket));
            self.depth = self.depth.saturating_add(1);
        }
        let outer = std::mem::replace(&mut self.digest, Digest::EMPTY);
        *place = Some(List { outer, last: None, depth: self.depth, rows });
        self.open += 1;
        self.before = Before::Open;
        if rows {
            self.enter(bracket);
        }
    }

    fn close(&mut self, bracket: u8) {
        if self.is_between_elements() {
            self.end_element();
            self.leave();
        }
        self.depth = self.depth.saturating_sub(1);
        self.put(&[bracket], Before::Other);
        if self.is_between_rows() {
            self.end_element();
        }
    }

    /// The text is over; lists that were not closed, for it was cut off, end here.
    fn end(mut self) -> u64 {
        while let Some(&list) = self.list().as_deref() {
            // A torn element behind a whole one says nothing.
            if list.last.is_none() {
                self.end_element();
            }
            self.leave();
        }
        self.digest.finish()
    }
}

/// Words behind which a sign belongs to the number that follows.
const BEFORE_OPERANDS: &[&str] = &[
    "select",
    "where",
    "and",
    "or",
    "limit",
    "offset",
    "then",
    "else",
    "when",
    "case",
    "between",
    "by",
    "having",
    "on",
    "return",
    "returning",
    "like",
    "ilike",
    "distinct",
    "default",
    "all",
    "any",
    "some",
    "to",
    "from",
];
