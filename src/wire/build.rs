//! Small messages that pgweir writes on behalf of a client or a server.

use super::{TransactionStatus, backend, frontend};

/// Writes a length word and what `body` appends; the length counts itself.
///
/// Bodies built here are far below 2^31 bytes: texts of ours, or one that a client already sent
/// within the message limit.
pub fn sized(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let len = u32::try_from(out.len() - start).expect("a message of ours is below 4 GB");
    if let Some(word) = out.get_mut(start..start + 4) {
        word.copy_from_slice(&len.to_be_bytes());
    }
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut Vec<u8>, status: TransactionStatus) {
    out.extend_from_slice(&[backend::tag::READY_FOR_QUERY, 0, 0, 0, 5, status.byte()]);
}

/// CommandComplete with its tag.
pub fn command_complete(out: &mut Vec<u8>, command_tag: &str) {
    out.push(backend::tag::COMMAND_COMPLETE);
    sized(out, |out| {
        out.extend_from_slice(command_tag.as_bytes());
        out.push(0);
    });
}

/// ParameterStatus.
pub fn parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(backend::tag::PARAMETER_STATUS);
    sized(out, |out| {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    });
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut Vec<u8>, pid: i32, secret: &[u8]) {
    out.push(backend::tag::BACKEND_KEY_DATA);
    sized(out, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(secret);
    });
}

/// A message that is only a tag and an empty body.
pub fn empty(out: &mut Vec<u8>, tag: u8) {
    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
}

/// ParameterDescription of a statement without parameters.
pub fn parameter_description(out: &mut Vec<u8>) {
    out.push(backend::tag::PARAMETER_DESCRIPTION);
    sized(out, |out| out.extend_from_slice(&[0, 0]));
}

/// NotificationResponse.
pub fn notification(out: &mut Vec<u8>, pid: i32, channel: &[u8], payload: &[u8]) {
    out.push(backend::tag::NOTIFICATION_RESPONSE);
    sized(out, |out| {
        out.extend_from_slice(&pid.to_be_bytes());
        for text in [channel, payload] {
            out.extend_from_slice(text);
            out.push(0);
        }
    });
}

/// Query.
pub fn query(out: &mut Vec<u8>, text: &[u8]) {
    out.push(frontend::tag::QUERY);
    sized(out, |out| {
        out.extend_from_slice(text);
        out.push(0);
    });
}

/// Sync.
pub fn sync(out: &mut Vec<u8>) {
    empty(out, frontend::tag::SYNC);
}

/// Terminate.
pub const TERMINATE: [u8; 5] = [frontend::tag::TERMINATE, 0, 0, 0, 4];

/// CopyFail.
pub fn copy_fail(out: &mut Vec<u8>, reason: &str) {
    out.push(frontend::tag::COPY_FAIL);
    sized(out, |out| {
        out.extend_from_slice(reason.as_bytes());
        out.push(0);
    });
}

/// Close of a prepared statement.
pub fn close_statement(out: &mut Vec<u8>, name: &[u8]) {
    close(out, b'S', name);
}

/// Close of a portal.
pub fn close_portal(out: &mut Vec<u8>, name: &[u8]) {
    close(out, b'P', name);
}

fn close(out: &mut Vec<u8>, kind: u8, name: &[u8]) {
    out.push(frontend::tag::CLOSE);
    sized(out, |out| {
        out.push(kind);
        out.extend_from_slice(name);
        out.push(0);
    });
}

/// Describe of a prepared statement.
pub fn describe_statement(out: &mut Vec<u8>, name: &[u8]) {
    out.push(frontend::tag::DESCRIBE);
    sized(out, |out| {
        out.push(b'S');
        out.extend_from_slice(name);
        out.push(0);
    });
}

/// Parse, from a name and the rest of its body (text, NUL, types) as a client sent it.
pub fn parse(out: &mut Vec<u8>, name: &[u8], text_and_types: &[u8]) {
    out.push(frontend::tag::PARSE);
    sized(out, |out| {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(text_and_types);
    });
}

/// CancelRequest for a server's process and secret.
#[must_use]
pub fn cancel_request(pid: i32, secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    sized(&mut out, |out| {
        out.extend_from_slice(&super::startup::CANCEL_REQUEST_CODE.to_be_bytes());
        out.extend_from_slice(&pid.to_be_bytes());
        out.extend_from_slice(secret);
    });
    out
}

/// A name in quotes.
pub fn quoted_name(out: &mut Vec<u8>, name: &[u8]) {
    out.push(b'"');
    for &byte in name {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// A string literal that means `text` whatever `standard_conforming_strings` says.
pub fn literal(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(b" E'");
    for &byte in text {
        match byte {
            b'\'' => out.extend_from_slice(b"''"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_bytes_that_the_protocol_gives() {
        let built = |build: fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            build(&mut out);
            out
        };
        assert_eq!(built(|out| query(out, b"x")), b"Q\0\0\0\x06x\0");
        assert_eq!(built(sync), b"S\0\0\0\x04");
        assert_eq!(built(|out| command_complete(out, "ROLLBACK")), b"C\0\0\0\x0dROLLBACK\0");
        assert_eq!(built(|out| close_statement(out, b"")), b"C\0\0\0\x06S\0");
        assert_eq!(built(|out| close_portal(out, b"p")), b"C\0\0\0\x07Pp\0");
        assert_eq!(
            built(|out| backend_key_data(out, 7, &[1, 2, 3, 4])),
            b"K\0\0\0\x0c\0\0\0\x07\x01\x02\x03\x04"
        );
        assert_eq!(built(|out| literal(out, b"a'b\\c")), b" E'a''b\\\\c'");
        assert_eq!(
            cancel_request(7, &[1, 2, 3, 4]),
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04"
        );
    }
}
