//! Builders for every message that a client sends, well-formed or deliberately not.
//!
//! Each gives the exact bytes; nothing is sent. Reference: "Message Formats" in Postgres' manual.

/// Protocol 3.0 in a startup packet.
pub const PROTOCOL_3_0: u32 = 0x0003_0000;
/// Protocol 3.2, of Postgres 18.
pub const PROTOCOL_3_2: u32 = 0x0003_0002;

/// A message: tag, length word, body.
pub fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    lying(tag, i32::try_from(body.len() + 4).expect("a test message below 2 GB"), body)
}

/// A message whose length word says `length`, whatever the body is.
pub fn lying(tag: u8, length: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A packet without a tag, as before login: length word, code, rest.
pub fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(rest.len() + 8).expect("a test packet below 4 GB");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

/// A StartupMessage.
pub fn startup(protocol: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut rest = Vec::new();
    for (name, value) in parameters {
        rest.extend(c_string(name));
        rest.extend(c_string(value));
    }
    rest.push(0);
    packet(protocol, &rest)
}

/// Asks whether TLS is spoken; the answer is one byte.
pub fn ssl_request() -> Vec<u8> {
    packet(80_877_103, &[])
}

/// Asks whether GSSAPI encryption is spoken; the answer is one byte.
pub fn gssenc_request() -> Vec<u8> {
    packet(80_877_104, &[])
}

/// A CancelRequest, with a key of any length.
pub fn cancel_request(pid: u32, key: &[u8]) -> Vec<u8> {
    let mut rest = pid.to_be_bytes().to_vec();
    rest.extend_from_slice(key);
    packet(80_877_102, &rest)
}

/// Query.
pub fn query(sql: impl AsRef<[u8]>) -> Vec<u8> {
    framed(b'Q', &c_string(sql))
}

/// Parse. `types` may be shorter than the statement's parameters.
pub fn parse(statement: impl AsRef<[u8]>, sql: impl AsRef<[u8]>, types: &[u32]) -> Vec<u8> {
    let mut body = c_string(statement);
    body.extend(c_string(sql));
    body.extend(count(types.len()));
    types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    framed(b'P', &body)
}

/// Bind with every parameter and result in text.
pub fn bind(
    portal: impl AsRef<[u8]>,
    statement: impl AsRef<[u8]>,
    parameters: &[Option<&[u8]>],
) -> Vec<u8> {
    bind_with(portal, statement, &[], parameters, &[])
}

/// Bind with format codes for parameters and results.
pub fn bind_with(
    portal: impl AsRef<[u8]>,
    statement: impl AsRef<[u8]>,
    parameter_formats: &[i16],
    parameters: &[Option<&[u8]>],
    result_formats: &[i16],
) -> Vec<u8> {
    let mut body = c_string(portal);
    body.extend(c_string(statement));
    body.extend(formats(parameter_formats));
    body.extend(values(parameters));
    body.extend(formats(result_formats));
    framed(b'B', &body)
}

/// Describe; `kind` is `b'S'` for a statement, `b'P'` for a portal.
pub fn describe(kind: u8, name: impl AsRef<[u8]>) -> Vec<u8> {
    framed(b'D', &kind_and_name(kind, name))
}

/// Execute; zero rows means all.
pub fn execute(portal: impl AsRef<[u8]>, max_rows: i32) -> Vec<u8> {
    let mut body = c_string(portal);
    body.extend(max_rows.to_be_bytes());
    framed(b'E', &body)
}

/// Close; `kind` as for [`describe`].
pub fn close(kind: u8, name: impl AsRef<[u8]>) -> Vec<u8> {
    framed(b'C', &kind_and_name(kind, name))
}

/// Sync.
pub fn sync() -> Vec<u8> {
    framed(b'S', &[])
}

/// Flush.
pub fn flush() -> Vec<u8> {
    framed(b'H', &[])
}

/// Terminate.
pub fn terminate() -> Vec<u8> {
    framed(b'X', &[])
}

/// CopyData.
pub fn copy_data(data: impl AsRef<[u8]>) -> Vec<u8> {
    framed(b'd', data.as_ref())
}

/// CopyDone.
pub fn copy_done() -> Vec<u8> {
    framed(b'c', &[])
}

/// CopyFail with its reason.
pub fn copy_fail(reason: impl AsRef<[u8]>) -> Vec<u8> {
    framed(b'f', &c_string(reason))
}

/// FunctionCall.
pub fn function_call(
    function: u32,
    argument_formats: &[i16],
    arguments: &[Option<&[u8]>],
    result_format: i16,
) -> Vec<u8> {
    let mut body = function.to_be_bytes().to_vec();
    body.extend(formats(argument_formats));
    body.extend(values(arguments));
    body.extend(result_format.to_be_bytes());
    framed(b'F', &body)
}

/// PasswordMessage: a cleartext password or an MD5 answer.
pub fn password(text: impl AsRef<[u8]>) -> Vec<u8> {
    framed(b'p', &c_string(text))
}

/// SASLInitialResponse.
pub fn sasl_initial_response(mechanism: &str, data: &[u8]) -> Vec<u8> {
    let mut body = c_string(mechanism);
    body.extend(i32::try_from(data.len()).expect("a short SASL message").to_be_bytes());
    body.extend_from_slice(data);
    framed(b'p', &body)
}

/// SASLResponse.
pub fn sasl_response(data: &[u8]) -> Vec<u8> {
    framed(b'p', data)
}

/// The bytes of a string with the NUL that ends it.
pub fn c_string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = text.as_ref().to_vec();
    bytes.push(0);
    bytes
}

fn kind_and_name(kind: u8, name: impl AsRef<[u8]>) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend(c_string(name));
    body
}

/// A count of 16 bits.
fn count(n: usize) -> [u8; 2] {
    u16::try_from(n).expect("at most 65,535 entries").to_be_bytes()
}

fn formats(codes: &[i16]) -> Vec<u8> {
    let mut bytes = count(codes.len()).to_vec();
    codes.iter().for_each(|code| bytes.extend(code.to_be_bytes()));
    bytes
}

fn values(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes = count(values.len()).to_vec();
    for value in values {
        match value {
            None => bytes.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                bytes.extend(i32::try_from(value.len()).expect("a short value").to_be_bytes());
                bytes.extend_from_slice(value);
            }
        }
    }
    bytes
}
