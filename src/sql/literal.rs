//! Values of names and string constants: quotes, escapes and continuations taken out.
//!
//! Owns decoding. Deliberately absent: refusing. What the server would refuse (a bad `\u`, a byte sequence invalid
//! in its encoding) comes out as some value, since a refused text has no effect.

use std::borrow::Cow;
use std::fmt;

use super::{Encoding, Kind, LexOptions, Token};

/// Longest name in bytes (`NAMEDATALEN - 1`); the server cuts longer ones.
const NAME_MAX: usize = 63;

/// A name as the server compares it: unquoted, folded to lower case where it was not quoted, cut at 63 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// A name that is already as it should be.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// A parameter's name: the server compares these without regard to case.
    pub fn of_parameter(bytes: &[u8]) -> Self {
        Self(bytes.to_ascii_lowercase().into())
    }

    /// The bytes, in the client's encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

/// The name a word stands for; `escape` is the character of a following UESCAPE (backslash without one).
pub fn name(token: Token, text: &[u8], escape: u8) -> Name {
    let raw = token.span.of(text);
    let value = match token.kind {
        Kind::QuotedWord => undouble(inside(raw, 1, b'"'), b'"'),
        Kind::UnicodeWord => {
            Cow::Owned(unescape_unicode(&undouble(inside(raw, 3, b'"'), b'"'), escape))
        }
        _ => Cow::Owned(raw.to_ascii_lowercase()),
    };
    Name::new(clip(&value))
}

/// The value of a string constant, None for any other token. `escape` as in [`name`]; `options` as the text was lexed.
pub fn string<'a>(
    token: Token,
    text: &'a [u8],
    options: LexOptions,
    escape: u8,
) -> Option<Cow<'a, [u8]>> {
    let raw = token.span.of(text);
    match token.kind {
        Kind::String => Some(plain(inside(raw, 1, b'\''))),
        Kind::NationalString if options.standard_conforming_strings => {
            Some(plain(inside(raw, 2, b'\'')))
        }
        Kind::NationalString => Some(Cow::Owned(escaped(inside(raw, 2, b'\''), options.encoding))),
        Kind::EscapeString => {
            let prefix = 1 + usize::from(!raw.starts_with(b"'"));
            Some(Cow::Owned(escaped(inside(raw, prefix, b'\''), options.encoding)))
        }
        Kind::UnicodeString => {
            Some(Cow::Owned(unescape_unicode(&plain(inside(raw, 3, b'\'')), escape)))
        }
        Kind::DollarString => Some(Cow::Borrowed(dollar_body(raw))),
        _ => None,
    }
}

/// What lies between the tags of a dollar-quoted string.
fn dollar_body(raw: &[u8]) -> &[u8] {
    let tag = raw.iter().skip(1).take_while(|b| **b != b'$').count() + 2;
    let body = raw.get(tag..).unwrap_or_default();
    let closed = raw.get(..tag).is_some_and(|tag| body.ends_with(tag));
    let end = body.len() - if closed { tag } else { 0 };
    body.get(..end).unwrap_or_default()
}

/// `raw` without its first `prefix` bytes and its closing quote, where it has one.
fn inside(raw: &[u8], prefix: usize, quote: u8) -> &[u8] {
    let body = raw.get(prefix..).unwrap_or_default();
    body.strip_suffix(&[quote]).unwrap_or(body)
}

fn undouble(body: &[u8], quote: u8) -> Cow<'_, [u8]> {
    if !body.contains(&quote) {
        return Cow::Borrowed(body);
    }
    let mut out = Vec::with_capacity(body.len());
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        out.push(*byte);
        if *byte == quote {
            bytes.next();
        }
    }
    Cow::Owned(out)
}

/// The body of a string without escapes: doubled quotes are one, a single quote begins a continuation.
fn plain(body: &[u8]) -> Cow<'_, [u8]> {
    if !body.contains(&b'\'') {
        return Cow::Borrowed(body);
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\'' => rest = quote(rest, &mut out),
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// Behind a quote inside a string's body: a second quote is one character; anything else is the gap of a
/// continuation, which ends behind the next quote that no comment hides.
fn quote<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    if let Some(after) = rest.strip_prefix(b"'") {
        out.push(b'\'');
        return after;
    }
    let mut rest = rest;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\'' => break,
            b'-' => {
                let comment = rest.iter().take_while(|b| !matches!(b, b'\n' | b'\r')).count();
                rest = rest.get(comment..).unwrap_or_default();
            }
            _ => {}
        }
    }
    rest
}

fn escaped(body: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        match byte {
            b'\'' => rest = quote(after, &mut out),
            b'\\' => rest = escape_sequence(after, &mut out),
            _ => {
                let (char, after) = rest.split_at(encoding.char_len(rest).min(rest.len()));
                out.extend_from_slice(char);
                rest = after;
            }
        }
    }
    out
}

/// What follows a backslash in an escape string (`xeescape`, `xeoctesc`, `xehexesc`, `xeunicode`).
fn escape_sequence<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((byte, after)) = rest.split_first() else {
        out.push(b'\\');
        return rest;
    };
    let (digits, radix, from) = match byte {
        b'0'..=b'7' => (3, 8, rest),
        b'x' => (2, 16, after),
        b'u' => (4, 16, after),
        b'U' => (8, 16, after),
        _ => (0, 10, after),
    };
    let (value, len) = number(from, digits, radix);
    let after = if len > 0 { from.get(len..).unwrap_or_default() } else { after };
    match byte {
        b'u' | b'U' if len > 0 => push_char(value, out),
        _ if len > 0 => out.push(value.to_le_bytes()[0]),
        b'b' => out.push(0x08),
        b'f' => out.push(0x0C),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'v' => out.push(0x0B),
        _ => out.push(*byte),
    }
    after
}

/// The number at the front of `bytes`, of at most `limit` digits, and how many digits it has.
fn number(bytes: &[u8], limit: usize, radix: u32) -> (u32, usize) {
    let digits = bytes.iter().take(limit).map_while(|b| char::from(*b).to_digit(radix));
    digits.fold((0, 0), |(value, len), digit| (value.wrapping_mul(radix) | digit, len + 1))
}

fn push_char(value: u32, out: &mut Vec<u8>) {
    let char = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

/// `\XXXX`, `\+XXXXXX` and `\\` of `U&` constants (`str_udeescape`). Surrogate pairs come out as two replacement
/// characters: no name that matters here lies beyond ASCII.
fn unescape_unicode(body: &[u8], escape: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != escape {
            out.push(*byte);
            continue;
        }
        if let Some(after) = rest.strip_prefix(&[escape]) {
            out.push(escape);
            rest = after;
            continue;
        }
        let (from, digits) = match rest.strip_prefix(b"+") {
            Some(after) => (after, 6),
            None => (rest, 4),
        };
        let (value, len) = number(from, digits, 16);
        if len > 0 {
            push_char(value, &mut out);
            rest = from.get(len..).unwrap_or_default();
        }
    }
    out
}

/// At most 63 bytes, never the half of a UTF-8 character (`pg_mbcliplen`).
fn clip(name: &[u8]) -> &[u8] {
    let mut end = name.len().min(NAME_MAX);
    if end < name.len() {
        while end > 0 && name.get(end).is_some_and(|b| b & 0xC0 == 0x80) {
            end -= 1;
        }
    }
    name.get(..end).unwrap_or(name)
}
