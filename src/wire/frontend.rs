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
            let _ = Named::read(&bytes);
            let _ = ExecuteView::read(&bytes);
        });
    }
}
