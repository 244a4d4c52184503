//! Builders for every message that a server sends, for the scripted fake.

use super::message::{c_string, framed};

/// AuthenticationOk.
pub fn authentication_ok() -> Vec<u8> {
    authentication(0, &[])
}

/// Any Authentication message: 3 cleartext, 5 MD5, 10 SASL, 11 and 12 its continuation and end.
pub fn authentication(code: u32, rest: &[u8]) -> Vec<u8> {
    let mut body = code.to_be_bytes().to_vec();
    body.extend_from_slice(rest);
    framed(b'R', &body)
}

/// ParameterStatus.
pub fn parameter_status(name: &str, value: &str) -> Vec<u8> {
    let mut body = c_string(name);
    body.extend(c_string(value));
    framed(b'S', &body)
}

/// BackendKeyData.
pub fn backend_key_data(pid: u32, key: &[u8]) -> Vec<u8> {
    let mut body = pid.to_be_bytes().to_vec();
    body.extend_from_slice(key);
    framed(b'K', &body)
}

/// ReadyForQuery with `I`, `T` or `E`.
pub fn ready(status: u8) -> Vec<u8> {
    framed(b'Z', &[status])
}

/// RowDescription of text columns (type 25).
pub fn row_description(columns: &[&str]) -> Vec<u8> {
    let count = u16::try_from(columns.len()).expect("few columns");
    let mut body = count.to_be_bytes().to_vec();
    for column in columns {
        body.extend(c_string(column));
        // Table 0, attribute 0, type text, size −1, modifier −1, text format.
        body.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    }
    framed(b'T', &body)
}

/// DataRow; `None` is NULL.
pub fn data_row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let count = u16::try_from(values.len()).expect("few columns");
    let mut body = count.to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("a short value"));
        body.extend(length.to_be_bytes());
        body.extend_from_slice(value.unwrap_or_default());
    }
    framed(b'D', &body)
}

/// CommandComplete.
pub fn command_complete(tag: &str) -> Vec<u8> {
    framed(b'C', &c_string(tag))
}

/// ErrorResponse with severity ERROR.
pub fn error(sqlstate: &str, message: &str) -> Vec<u8> {
    fields(b'E', &[(b'S', "ERROR"), (b'V', "ERROR"), (b'C', sqlstate), (b'M', message)])
}

/// ErrorResponse with severity FATAL; the server closes after it.
pub fn fatal(sqlstate: &str, message: &str) -> Vec<u8> {
    fields(b'E', &[(b'S', "FATAL"), (b'V', "FATAL"), (b'C', sqlstate), (b'M', message)])
}

/// NoticeResponse.
pub fn notice(message: &str) -> Vec<u8> {
    fields(b'N', &[(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "00000"), (b'M', message)])
}

/// ErrorResponse (`E`) or NoticeResponse (`N`) with any fields.
pub fn fields(tag: u8, fields: &[(u8, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (letter, value) in fields {
        body.push(*letter);
        body.extend(c_string(value));
    }
    body.push(0);
    framed(tag, &body)
}

/// NotificationResponse.
pub fn notification(pid: u32, channel: &str, payload: &str) -> Vec<u8> {
    let mut body = pid.to_be_bytes().to_vec();
    body.extend(c_string(channel));
    body.extend(c_string(payload));
    framed(b'A', &body)
}

/// A message without a body: `1` ParseComplete, `2` BindComplete, `3` CloseComplete, `n` NoData,
/// `s` PortalSuspended, `I` EmptyQueryResponse, `c` CopyDone.
pub fn bare(tag: u8) -> Vec<u8> {
    framed(tag, &[])
}

/// ParameterDescription.
pub fn parameter_description(types: &[u32]) -> Vec<u8> {
    let mut body = u16::try_from(types.len()).expect("few parameters").to_be_bytes().to_vec();
    types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    framed(b't', &body)
}

/// CopyInResponse (`G`), CopyOutResponse (`H`) or CopyBothResponse (`W`) in text.
pub fn copy_response(tag: u8, columns: u16) -> Vec<u8> {
    let mut body = vec![0];
    body.extend(columns.to_be_bytes());
    body.extend(std::iter::repeat_n(0, 2 * usize::from(columns)));
    framed(tag, &body)
}

/// The whole answer to a Query of one text value, with ReadyForQuery.
pub fn one_value(column: &str, value: &str) -> Vec<u8> {
    let mut bytes = row_description(&[column]);
    bytes.extend(data_row(&[Some(value.as_bytes())]));
    bytes.extend(command_complete("SELECT 1"));
    bytes.extend(ready(b'I'));
    bytes
}
