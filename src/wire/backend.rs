//! What servers send: tags, and borrowed views of the messages a decision reads.

use super::frame::{split_cstr, split_i32};

/// Type bytes of backend messages
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
pub mod tag {
    #![allow(missing_docs)]
    pub const AUTHENTICATION: u8 = b'R';
    pub const BACKEND_KEY_DATA: u8 = b'K';
    pub const BIND_COMPLETE: u8 = b'2';
    pub const CLOSE_COMPLETE: u8 = b'3';
    pub const COMMAND_COMPLETE: u8 = b'C';
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_IN_RESPONSE: u8 = b'G';
    pub const COPY_OUT_RESPONSE: u8 = b'H';
    pub const DATA_ROW: u8 = b'D';
    pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
    pub const ERROR_RESPONSE: u8 = b'E';
    pub const FUNCTION_CALL_RESPONSE: u8 = b'V';
    pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
    pub const NOTICE_RESPONSE: u8 = b'N';
    pub const NOTIFICATION_RESPONSE: u8 = b'A';
    pub const NO_DATA: u8 = b'n';
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    pub const PARAMETER_STATUS: u8 = b'S';
    pub const PARSE_COMPLETE: u8 = b'1';
    pub const PORTAL_SUSPENDED: u8 = b's';
    pub const READY_FOR_QUERY: u8 = b'Z';
    pub const ROW_DESCRIPTION: u8 = b'T';
}

/// The fields of an ErrorResponse or NoticeResponse that decide anything. Postgres writes them in
/// this order (`send_message_to_frontend` in elog.c), so the front of a body is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// Severity that is never translated (`V`, since 9.6), else `S`.
    pub severity: &'a [u8],
    /// SQLSTATE; empty when absent.
    pub sqlstate: &'a [u8],
    /// Primary message; empty when absent or cut off.
    pub message: &'a [u8],
}

impl<'a> ErrorFields<'a> {
    /// Reads the fields that lie whole in `front`.
    #[must_use]
    pub fn read(mut front: &'a [u8]) -> Self {
        let mut fields = ErrorFields::default();
        while let Some((&kind, rest)) = front.split_first() {
            let Some((value, rest)) = split_cstr(rest) else { break };
            match kind {
                0 => break,
                b'S' if fields.severity.is_empty() => fields.severity = value,
                b'V' => fields.severity = value,
                b'C' => fields.sqlstate = value,
                b'M' => fields.message = value,
                _ => {}
            }
            front = rest;
        }
        fields
    }

    /// Whether the server ends the connection after this.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.severity == b"FATAL" || self.severity == b"PANIC"
    }
}

/// Every field of an ErrorResponse with its type byte; stops at the first that is cut off.
pub fn error_fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (&kind, after) = rest.split_first()?;
        if kind == 0 {
            return None;
        }
        let (value, after) = split_cstr(after)?;
        rest = after;
        Some((kind, value))
    })
}

/// Name and value of a ParameterStatus.
#[must_use]
pub fn parameter_status(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = split_cstr(body)?;
    let (value, rest) = split_cstr(rest)?;
    rest.is_empty().then_some((name, value))
}

/// Process id and secret of a BackendKeyData; the secret has four bytes in protocol 3.0 and up to
/// 256 in 3.2.
#[must_use]
pub fn backend_key_data(body: &[u8]) -> Option<(i32, &[u8])> {
    let (pid, secret) = split_i32(body)?;
    (!secret.is_empty() && secret.len() <= 256).then_some((pid, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_fields_prefer_the_untranslated_severity() {
        let body = b"SFEHLER\0VERROR\0C57014\0Mcanceling\0\0";
        let fields = ErrorFields::read(body);
        assert_eq!(fields.severity, b"ERROR");
        assert_eq!(fields.sqlstate, b"57014");
        assert_eq!(fields.message, b"canceling");
        assert!(!fields.is_fatal());
        assert!(ErrorFields::read(b"SFATAL\0C57P01\0").is_fatal());
        assert_eq!(
            ErrorFields::read(b"SERROR\0C570"),
            ErrorFields { severity: b"ERROR", ..Default::default() }
        );
        assert_eq!(error_fields(body).count(), 4);
    }

    #[test]
    fn no_bytes_make_a_view_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = ErrorFields::read(&bytes);
            let _ = error_fields(&bytes).count();
            let _ = parameter_status(&bytes);
            let _ = backend_key_data(&bytes);
        });
    }
}
