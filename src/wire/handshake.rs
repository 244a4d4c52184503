//! Messages of the login, both ways: what pgweir asks clients and answers servers.

use super::build::sized;
use super::frame::{split_i32, split_u16};
use super::startup::SSL_REQUEST_CODE;
use super::{backend, frontend};

/// SSLRequest.
#[must_use]
pub fn ssl_request() -> [u8; 8] {
    let [a, b, c, d] = SSL_REQUEST_CODE.to_be_bytes();
    [0, 0, 0, 8, a, b, c, d]
}

/// StartupMessage of protocol 3.0. Invariant for the caller: no name is empty, no text has a NUL.
#[must_use]
pub fn startup_message<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    sized(&mut out, |out| {
        out.extend_from_slice(&(3_u32 << 16).to_be_bytes());
        for (name, value) in parameters {
            for text in [name, value] {
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
        }
        out.push(0);
    });
    out
}

/// NegotiateProtocolVersion: protocol 3.`minor` is spoken, and these parameters are not known.
///
/// The version is written whole, as Postgres does (`SendNegotiateProtocolVersion`) and libpq reads
/// it; the manual speaks of the minor version only.
pub fn negotiate_protocol_version(out: &mut Vec<u8>, minor: u16, unknown: &[&[u8]]) {
    out.push(backend::tag::NEGOTIATE_PROTOCOL_VERSION);
    sized(out, |out| {
        out.extend_from_slice(&(3_u32 << 16 | u32::from(minor)).to_be_bytes());
        let count = u32::try_from(unknown.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for name in unknown {
            out.extend_from_slice(name);
            out.push(0);
        }
    });
}

/// A message with a body that somebody else has built.
pub fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    sized(out, |out| out.extend_from_slice(body));
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut Vec<u8>) {
    message(out, backend::tag::AUTHENTICATION, &[0; 4]);
}

/// A 32-bit length that does not count itself, and the bytes.
fn sized_data(out: &mut Vec<u8>, data: &[u8]) {
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(data);
}

/// Bind of the unnamed statement to the unnamed portal: text parameters, results as text.
pub fn bind_texts(out: &mut Vec<u8>, values: &[&[u8]]) {
    out.push(frontend::tag::BIND);
    sized(out, |out| {
        // Portal, statement, no parameter formats: all are text.
        out.extend_from_slice(&[0, 0, 0, 0]);
        let count = u16::try_from(values.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&count.to_be_bytes());
        for value in values {
            sized_data(out, value);
        }
        out.extend_from_slice(&[0, 0]);
    });
}

/// Bind of a named statement without parameters to the unnamed portal: results as text.
pub fn bind_named(out: &mut Vec<u8>, statement: &[u8]) {
    out.push(frontend::tag::BIND);
    sized(out, |out| {
        out.push(0);
        out.extend_from_slice(statement);
        // The name's end; no parameter formats, no parameters, no result formats.
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0]);
    });
}

/// Execute of the unnamed portal, at most `rows` rows; 0 is all.
pub fn execute(out: &mut Vec<u8>, rows: u32) {
    out.push(frontend::tag::EXECUTE);
    sized(out, |out| {
        out.push(0);
        out.extend_from_slice(&rows.to_be_bytes());
    });
}

/// The columns of a DataRow; `None` inside for NULL, `None` at all when the layout is wrong.
#[must_use]
pub fn data_row(body: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (count, mut rest) = split_u16(body)?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let (len, after) = split_i32(rest)?;
        match usize::try_from(len) {
            Ok(len) => {
                let (value, after) = after.split_at_checked(len)?;
                columns.push(Some(value));
                rest = after;
            }
            Err(_) if len == -1 => {
                columns.push(None);
                rest = after;
            }
            Err(_) => return None,
        }
    }
    rest.is_empty().then_some(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        build(&mut out);
        out
    }

    #[test]
    fn messages_have_the_bytes_that_the_protocol_gives() {
        assert_eq!(ssl_request(), [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]);
        assert_eq!(
            startup_message([("user", "a"), ("database", "b")]),
            b"\0\0\0\x1b\0\x03\0\0user\0a\0database\0b\0\0"
        );
        assert_eq!(
            built(|out| negotiate_protocol_version(out, 2, &[b"_pq_.x"])),
            b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0"
        );
        assert_eq!(built(|out| message(out, b'p', b"x\0")), b"p\0\0\0\x06x\0");
        assert_eq!(built(authentication_ok), b"R\0\0\0\x08\0\0\0\0");
        assert_eq!(
            built(|out| bind_texts(out, &[b"a"])),
            b"B\0\0\0\x11\0\0\0\0\0\x01\0\0\0\x01a\0\0"
        );
        assert_eq!(built(|out| execute(out, 2)), b"E\0\0\0\x09\0\0\0\0\x02");
    }

    #[test]
    fn no_bytes_make_a_view_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = data_row(&bytes);
        });
        assert_eq!(
            data_row(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff"),
            Some(vec![Some(&b"a"[..]), None])
        );
    }
}
