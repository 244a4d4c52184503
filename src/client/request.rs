//! A request: what a client sends before it waits for an answer, one Query or one batch up to its Sync.
//!
//! Deliberately absent: what its texts mean.

use crate::wire::frame::{HEADER_LEN, LONGEST_REQUEST, header};
use crate::wire::frontend::{BindNames, Named, ParseView, query_text, tag};

/// A batch that is longer than this is not waited for: it may never lie whole in the input.
pub const LONGEST_BATCH: usize = 32 * 1024;

/// How much of a request is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it: so many bytes.
    Whole(usize),
    /// Not its end; so many bytes and at least one more are worth another look.
    Unfinished(usize),
    /// Nobody knows where it will end: a Flush, a message that belongs into no batch, one batch too long.
    Open,
}

/// What a message of a request has to do with statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A text that is run as it comes, or parsed under a name, which may be empty.
    Text(&'a [u8], Option<&'a [u8]>),
    /// A Bind of this statement to a portal.
    Bind(&'a [u8], &'a [u8]),
    /// A Describe of this statement.
    Describes(&'a [u8]),
    /// An Execute of this portal.
    Executes(&'a [u8]),
    /// What says nothing of statements: Close, Describe of a portal, Sync.
    Nothing,
    /// What cannot be read.
    Broken,
}

/// How far the request at the front of `input` goes.
#[must_use]
pub fn extent(input: &[u8]) -> Extent {
    look(input).0
}

/// The same, and whether its first message says all that there is to say of statements: what comes behind it runs what it
/// has prepared or bound.
#[must_use]
pub fn look(input: &[u8]) -> (Extent, bool) {
    let mut simple = true;
    let extent = walk(input, &mut simple);
    (extent, simple)
}

/// Whether a message behind the first one of a batch, `first`, is about nothing but what that has prepared or bound
/// without a name.
#[inline]
fn follows(first: u8, message: u8, body: &[u8]) -> bool {
    match message {
        tag::SYNC => true,
        tag::EXECUTE => body.first() == Some(&0),
        tag::DESCRIBE => body == b"P\0",
        tag::BIND => first == tag::PARSE && body.starts_with(b"\0\0"),
        _ => false,
    }
}

fn walk(input: &[u8], simple: &mut bool) -> Extent {
    let mut pos = 0;
    let first = input.first().copied().unwrap_or_default();
    // Of a Parse with a name, Binds are to be looked at.
    *simple = !(first == tag::PARSE && input.get(HEADER_LEN) != Some(&0));
    loop {
        let Ok(next) = header(&input[pos..], LONGEST_REQUEST) else { return Extent::Open };
        let Some(next) = next else { break };
        let end = pos + next.frame_len();
        if pos > 0 && *simple {
            let body = input.get(pos + HEADER_LEN..end);
            *simple = body.is_some_and(|body| follows(first, next.tag, body));
        }
        match next.tag {
            tag::QUERY if pos == 0 && end <= input.len() => return Extent::Whole(end),
            tag::QUERY if pos == 0 => return Extent::Open,
            tag::PARSE | tag::BIND | tag::DESCRIBE | tag::EXECUTE | tag::CLOSE => {}
            tag::SYNC if end <= input.len() => return Extent::Whole(end),
            tag::SYNC => break,
            _ => return Extent::Open,
        }
        if end > LONGEST_BATCH {
            return Extent::Open;
        }
        if end >= input.len() {
            break;
        }
        pos = end;
    }
    Extent::Unfinished(input.len())
}

/// The messages of a whole request.
pub fn parts(request: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut rest = request;
    std::iter::from_fn(move || {
        let next = header(rest, LONGEST_REQUEST).ok().flatten()?;
        let (message, behind) = rest.split_at_checked(next.frame_len())?;
        rest = behind;
        Some(part(next.tag, &message[HEADER_LEN..]))
    })
}

fn part(message: u8, body: &[u8]) -> Part<'_> {
    let part = match message {
        tag::QUERY => query_text(body).map(|text| Part::Text(text, None)),
        tag::PARSE => {
            ParseView::read(body).map(|parse| Part::Text(parse.query, Some(parse.statement)))
        }
        tag::BIND => BindNames::read(body).map(|names| Part::Bind(names.statement, names.portal)),
        tag::DESCRIBE => Named::read(body).map(|named| match named {
            Named::Statement(name) => Part::Describes(name),
            Named::Portal(_) => Part::Nothing,
        }),
        tag::EXECUTE => body.iter().position(|byte| *byte == 0).map(|n| Part::Executes(&body[..n])),
        _ => Some(Part::Nothing),
    };
    part.unwrap_or(Part::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build;

    fn batch() -> Vec<u8> {
        let mut bytes = Vec::new();
        build::parse(&mut bytes, b"s", b"select 1\0\0\0");
        bytes.extend_from_slice(b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0");
        bytes.extend_from_slice(b"D\0\0\0\x07Ss\0");
        bytes.extend_from_slice(b"E\0\0\0\x09\0\0\0\0\0");
        build::sync(&mut bytes);
        bytes
    }

    #[test]
    fn a_batch_ends_with_its_sync() {
        let bytes = batch();
        let whole = Extent::Whole(bytes.len());
        assert_eq!(extent(&bytes), whole);
        assert_eq!(extent(&[&bytes[..], &bytes].concat()), whole);
        for end in 1..bytes.len() {
            assert_eq!(extent(&bytes[..end]), Extent::Unfinished(end), "{end}");
        }
        // Its Parse has a name.
        assert_eq!(look(&bytes), (whole, false));
        let parts: Vec<Part<'_>> = parts(&bytes).collect();
        let expected = [
            Part::Text(b"select 1", Some(b"s")),
            Part::Bind(b"s", b""),
            Part::Describes(b"s"),
            Part::Executes(b""),
            Part::Nothing,
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_simple_batch_is_about_one_statement() {
        let batch = |messages: &[&[u8]]| {
            let mut bytes = messages.concat();
            build::sync(&mut bytes);
            look(&bytes).1
        };
        let mut unnamed = Vec::new();
        build::parse(&mut unnamed, b"", b"select 1\0\0\0");
        let bind: &[u8] = b"B\0\0\0\x0c\0\0\0\0\0\0\0\0";
        let named: &[u8] = b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0";
        let (portal, execute): (&[u8], &[u8]) = (b"D\0\0\0\x06P\0", b"E\0\0\0\x09\0\0\0\0\0");
        assert!(batch(&[&unnamed, bind, portal, execute]));
        assert!(batch(&[named, portal, execute]));
        assert!(batch(&[bind, execute]));
        assert!(!batch(&[&unnamed, named, execute]));
        assert!(!batch(&[named, execute, named, execute]));
        assert!(!batch(&[named, execute, &unnamed]));
        assert!(!batch(&[named, b"D\0\0\0\x07Ss\0"]));
    }

    #[test]
    fn a_query_stands_alone_and_what_never_ends_is_open() {
        let mut query = Vec::new();
        build::query(&mut query, b"select 1");
        let len = query.len();
        query.extend_from_slice(&batch());
        assert_eq!(extent(&query), Extent::Whole(len));
        assert_eq!(parts(&query[..len]).collect::<Vec<_>>(), [Part::Text(b"select 1", None)]);
        let flush = b"H\0\0\0\x04";
        assert_eq!(extent(&[&batch()[..20], flush].concat()), Extent::Open);
        assert_eq!(extent(&[&batch()[..batch().len() - 5], flush].concat()), Extent::Open);
        // A Query inside of a batch.
        assert_eq!(extent(&[&batch()[..batch().len() - 5], &query].concat()), Extent::Open);
        let mut long = Vec::new();
        build::parse(&mut long, b"", &[b'x'; 40_000]);
        assert_eq!(extent(&long), Extent::Open);
        assert_eq!(extent(&long[..100]), Extent::Open);
    }
}
