//! Messages of the login, both ways: what pgweir asks clients and answers servers.

use super::build::sized;
use super::frame::{split_cstr, split_i32};
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

/// An Authentication message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// Logged in.
    Ok,
    /// Wants the password as it is.
    CleartextPassword,
    /// Wants the password hashed with this salt.
    Md5Password([u8; 4]),
    /// Wants SASL; the mechanisms on offer.
    Sasl(Vec<&'a [u8]>),
    /// The next step of SASL.
    SaslContinue(&'a [u8]),
    /// The last step of SASL.
    SaslFinal(&'a [u8]),
    /// Something else: Kerberos, GSSAPI, SSPI.
    Other(i32),
}

impl<'a> Authentication<'a> {
    /// Reads a body; `None` when its layout is wrong.
    #[must_use]
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let (code, rest) = split_i32(body)?;
        match code {
            0 => rest.is_empty().then_some(Self::Ok),
            3 => rest.is_empty().then_some(Self::CleartextPassword),
            5 => Some(Self::Md5Password(rest.try_into().ok()?)),
            10 => mechanisms(rest).map(Self::Sasl),
            11 => Some(Self::SaslContinue(rest)),
            12 => Some(Self::SaslFinal(rest)),
            other => Some(Self::Other(other)),
        }
    }

    /// Appends the whole message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (code, rest): (i32, &[u8]) = match self {
            Self::Ok => (0, &[]),
            Self::CleartextPassword => (3, &[]),
            Self::Md5Password(salt) => (5, salt),
            Self::Sasl(_) => (10, &[]),
            Self::SaslContinue(data) => (11, data),
            Self::SaslFinal(data) => (12, data),
            Self::Other(code) => (*code, &[]),
        };
        out.push(backend::tag::AUTHENTICATION);
        sized(out, |out| {
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(rest);
            if let Self::Sasl(mechanisms) = self {
                for mechanism in mechanisms {
                    out.extend_from_slice(mechanism);
                    out.push(0);
                }
                out.push(0);
            }
        });
    }
}

fn mechanisms(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut names = Vec::new();
    loop {
        let (name, after) = split_cstr(rest)?;
        if name.is_empty() {
            return after.is_empty().then_some(names);
        }
        names.push(name);
        rest = after;
    }
}

/// PasswordMessage: a password, or the answer to an MD5 challenge.
pub fn password(out: &mut Vec<u8>, text: &[u8]) {
    out.push(frontend::tag::PASSWORD);
    sized(out, |out| {
        out.extend_from_slice(text);
        out.push(0);
    });
}

/// SASLInitialResponse.
pub fn sasl_initial_response(out: &mut Vec<u8>, mechanism: &[u8], data: &[u8]) {
    out.push(frontend::tag::PASSWORD);
    sized(out, |out| {
        out.extend_from_slice(mechanism);
        out.push(0);
        sized_data(out, data);
    });
}

/// A 32-bit length that does not count itself, and the bytes.
fn sized_data(out: &mut Vec<u8>, data: &[u8]) {
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(data);
}

/// SASLResponse.
pub fn sasl_response(out: &mut Vec<u8>, data: &[u8]) {
    out.push(frontend::tag::PASSWORD);
    sized(out, |out| out.extend_from_slice(data));
}

/// The text of a PasswordMessage: up to its NUL, which must be the last byte.
#[must_use]
pub fn read_password(body: &[u8]) -> Option<&[u8]> {
    let (text, rest) = split_cstr(body)?;
    rest.is_empty().then_some(text)
}

/// Mechanism and data of a SASLInitialResponse; `None` in place of the data when there is none.
#[must_use]
pub fn read_sasl_initial_response(body: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (mechanism, rest) = split_cstr(body)?;
    let (len, data) = split_i32(rest)?;
    match usize::try_from(len) {
        Ok(len) => (len == data.len()).then_some((mechanism, Some(data))),
        Err(_) => (len == -1 && data.is_empty()).then_some((mechanism, None)),
    }
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
    let (count, mut rest) = super::frame::split_u16(body)?;
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
        assert_eq!(built(|out| password(out, b"x")), b"p\0\0\0\x06x\0");
        assert_eq!(
            built(|out| sasl_initial_response(out, b"S", b"ab")),
            b"p\0\0\0\x0cS\0\0\0\0\x02ab"
        );
        assert_eq!(
            built(|out| bind_texts(out, &[b"a"])),
            b"B\0\0\0\x11\0\0\0\0\0\x01\0\0\0\x01a\0\0"
        );
        assert_eq!(built(|out| execute(out, 2)), b"E\0\0\0\x09\0\0\0\0\x02");
    }

    #[test]
    fn authentication_reads_back_as_it_was_written() {
        for message in [
            Authentication::Ok,
            Authentication::CleartextPassword,
            Authentication::Md5Password([1, 2, 3, 4]),
            Authentication::Sasl(vec![b"SCRAM-SHA-256-PLUS", b"SCRAM-SHA-256"]),
            Authentication::SaslContinue(b"r=1"),
            Authentication::SaslFinal(b"v=1"),
            Authentication::Other(7),
        ] {
            let bytes = built(|out| message.write(out));
            assert_eq!(Authentication::read(&bytes[5..]), Some(message));
        }
        for wrong in [&b""[..], b"\0\0\0\0x", b"\0\0\0\x05abc", b"\0\0\0\x0aX\0", b"\0\0\0\x0aX"] {
            assert_eq!(Authentication::read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_sasl_initial_response_must_be_exactly_as_long_as_it_says() {
        let read = read_sasl_initial_response;
        assert_eq!(read(b"S\0\0\0\0\x02ab"), Some((&b"S"[..], Some(&b"ab"[..]))));
        assert_eq!(read(b"S\0\xff\xff\xff\xff"), Some((&b"S"[..], None)));
        for wrong in [&b"S\0\0\0\0\x02a"[..], b"S\0\0\0\0\x02abc", b"S\0\xff\xff\xff\xfeab", b"S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        assert_eq!(read_password(b"x\0"), Some(&b"x"[..]));
        assert_eq!(read_password(b"x\0y\0"), None);
        assert_eq!(read_password(b"x"), None);
    }

    #[test]
    fn no_bytes_make_a_view_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = Authentication::read(&bytes);
            let _ = read_sasl_initial_response(&bytes);
            let _ = data_row(&bytes);
        });
        assert_eq!(
            data_row(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff"),
            Some(vec![Some(&b"a"[..]), None])
        );
    }
}
