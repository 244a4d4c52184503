//! What clients send: tags, and borrowed views of the messages a decision reads.

use super::frame::{split_cstr, split_i32, split_u16};

/// Type bytes of frontend messages
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
pub mod tag {
    #![allow(missing_docs)]
    pub const BIND: u8 = b'B';
    pub const CLOSE: u8 = b'C';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const FLUSH: u8 = b'H';
    pub const FUNCTION_CALL: u8 = b'F';
    pub const PARSE: u8 = b'P';
    pub const PASSWORD: u8 = b'p';
    pub const QUERY: u8 = b'Q';
    pub const SYNC: u8 = b'S';
    pub const TERMINATE: u8 = b'X';
}

/// The text of a Query: the body without its final NUL. `None` when there is none or more than
/// one, which Postgres refuses as 08P01.
#[must_use]
pub fn query_text(body: &[u8]) -> Option<&[u8]> {
    let (&last, text) = body.split_last()?;
    (last == 0 && !text.contains(&0)).then_some(text)
}

/// `Parse`, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseView<'a> {
    /// Name of the statement; empty for the unnamed one.
    pub statement: &'a [u8],
    /// The SQL text, in the client's encoding.
    pub query: &'a [u8],
    /// Everything after the text: a count and that many type oids.
    pub types: &'a [u8],
}

impl<'a> ParseView<'a> {
    /// Reads a whole body; leftover or missing bytes give `None`, as in Postgres.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (statement, rest) = split_cstr(body)?;
        let (query, types) = split_cstr(rest)?;
        let (count, oids) = split_u16(types)?;
        (oids.len() == usize::from(count) * 4).then_some(ParseView { statement, query, types })
    }
}

/// The two names at the front of `Bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindNames<'a> {
    /// Name of the portal to make; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Name of the statement; empty for the unnamed one.
    pub statement: &'a [u8],
}

impl<'a> BindNames<'a> {
    /// Reads the front of a body, which may stop anywhere behind the names.
    #[must_use]
    pub fn read(front: &'a [u8]) -> Option<Self> {
        let (portal, rest) = split_cstr(front)?;
        let (statement, _) = split_cstr(rest)?;
        Some(BindNames { portal, statement })
    }
}

/// The values of a `Bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindValues<'a> {
    formats: &'a [u8],
    values: Vec<Option<&'a [u8]>>,
}

impl<'a> BindValues<'a> {
    /// Reads a whole body up to the last value; what follows is not looked at.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (_, rest) = split_cstr(body)?;
        let (_, rest) = split_cstr(rest)?;
        let (count, rest) = split_u16(rest)?;
        let (formats, rest) = rest.split_at_checked(usize::from(count) * 2)?;
        let (count, mut rest) = split_u16(rest)?;
        let mut values = Vec::new();
        for _ in 0..count {
            let (len, after) = split_i32(rest)?;
            let value = match usize::try_from(len) {
                Ok(len) => {
                    let (value, after) = after.split_at_checked(len)?;
                    rest = after;
                    Some(value)
                }
                Err(_) => {
                    rest = after;
                    None
                }
            };
            values.push(value);
        }
        Some(BindValues { formats, values })
    }

    /// The value of `$number`, a text; the inner `None` is NULL.
    #[must_use]
    pub fn value(&self, number: u32) -> Option<Option<&'a [u8]>> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.values.get(at).copied()
    }

    /// The value of `$number`, an integer.
    #[must_use]
    pub fn integer(&self, number: u32) -> Option<i64> {
        let value = self.value(number)??;
        if self.is_binary(number) {
            return match *value {
                [a, b] => Some(i16::from_be_bytes([a, b]).into()),
                [a, b, c, d] => Some(i32::from_be_bytes([a, b, c, d]).into()),
                _ => value.try_into().map(i64::from_be_bytes).ok(),
            };
        }
        std::str::from_utf8(value).ok()?.trim_ascii().parse().ok()
    }

    /// Whether the value of `$number` is in the binary format.
    fn is_binary(&self, number: u32) -> bool {
        let at = if self.formats.len() == 2 { 0 } else { number as usize - 1 };
        self.formats.get(at * 2..at * 2 + 2).unwrap_or(&[0, 0]) != [0, 0]
    }

    /// The value of `$number`, a boolean.
    #[must_use]
    pub fn boolean(&self, number: u32) -> Option<bool> {
        let value = self.value(number)??;
        if self.is_binary(number) {
            return match value {
                [0] => Some(false),
                [1] => Some(true),
                _ => None,
            };
        }
        let is = |words: [&[u8]; 5]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
        if is([b"t", b"true", b"1", b"on", b"yes"]) {
            Some(true)
        } else if is([b"f", b"false", b"0", b"off", b"no"]) {
            Some(false)
        } else {
            None
        }
    }
}

/// What `Describe` and `Close` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// `S`: a prepared statement.
    Statement(&'a [u8]),
    /// `P`: a portal.
    Portal(&'a [u8]),
}

impl<'a> Named<'a> {
    /// Reads a whole body; `None` when it is not one of the two or carries more.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (&kind, rest) = body.split_first()?;
        let (name, rest) = split_cstr(rest)?;
        match (kind, rest.is_empty()) {
            (b'S', true) => Some(Named::Statement(name)),
            (b'P', true) => Some(Named::Portal(name)),
            _ => None,
        }
    }
}

/// `Execute`, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecuteView<'a> {
    /// Name of the portal.
    pub portal: &'a [u8],
    /// Rows wanted; zero or less: all.
    pub max_rows: i32,
}

impl<'a> ExecuteView<'a> {
    /// Reads a whole body.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (portal, rest) = split_cstr(body)?;
        let (max_rows, rest) = split_i32(rest)?;
        rest.is_empty().then_some(ExecuteView { portal, max_rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_read_exactly_their_body() {
        assert_eq!(query_text(b"select 1\0"), Some(&b"select 1"[..]));
        assert_eq!(query_text(b"select 1"), None);
        assert_eq!(query_text(b"a\0b\0"), None);
        assert_eq!(query_text(b""), None);
        let parse = ParseView::read(b"s\0select $1\0\0\x01\0\0\0\x17").unwrap();
        assert_eq!((parse.statement, parse.query), (&b"s"[..], &b"select $1"[..]));
        assert_eq!(ParseView::read(b"s\0select $1\0\0\x02\0\0\0\x17"), None);
        assert_eq!(ParseView::read(b"s\0select 1\0\0\0x"), None);
        let names = BindNames::read(b"p\0s\0rest").unwrap();
        assert_eq!((names.portal, names.statement), (&b"p"[..], &b"s"[..]));
        assert_eq!(BindNames::read(b"p\0s"), None);
        assert_eq!(Named::read(b"Sx\0"), Some(Named::Statement(b"x")));
        assert_eq!(Named::read(b"P\0"), Some(Named::Portal(b"")));
        assert_eq!(Named::read(b"Qx\0"), None);
        assert_eq!(Named::read(b"Sx\0y"), None);
        let body = b"\0s\0\0\x02\0\0\0\x01\0\x03\0\0\0\x02ab\0\0\0\x01\x01\xff\xff\xff\xff\0\0";
        let values = BindValues::read(body).unwrap();
        assert_eq!(values.value(1), Some(Some(&b"ab"[..])));
        assert_eq!((values.boolean(1), values.boolean(2)), (None, Some(true)));
        assert_eq!((values.value(3), values.value(4), values.value(0)), (Some(None), None, None));
        assert_eq!(BindValues::read(&body[..20]), None);
        let execute = ExecuteView::read(b"\0\0\0\0\x05").unwrap();
        assert_eq!((execute.portal, execute.max_rows), (&b""[..], 5));
        assert_eq!(ExecuteView::read(b"\0\0\0\0"), None);
    }

    #[test]
    fn no_bytes_make_a_view_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = query_text(&bytes);
            let _ = ParseView::read(&bytes);
            let _ = BindNames::read(&bytes);
            let _ = BindValues::read(&bytes).map(|values| (values.value(1), values.boolean(1)));
            let _ = Named::read(&bytes);
            let _ = ExecuteView::read(&bytes);
        });
    }
}
