//! The first packet of a connection: it has a length word but no tag.
//!
//! Layout and limits as `ProcessStartupPacket` in Postgres' backend_startup.c.

use std::fmt;

use super::frame::split_cstr;

/// Code of SSLRequest.
pub const SSL_REQUEST_CODE: u32 = 80_877_103;
/// Code of GSSENCRequest.
pub const GSSENC_REQUEST_CODE: u32 = 80_877_104;
/// Code of CancelRequest.
pub const CANCEL_REQUEST_CODE: u32 = 80_877_102;
/// Postgres' `MAX_STARTUP_PACKET_LENGTH`: the length word counts itself.
pub const MAX_STARTUP_PACKET: u32 = 10_000;
/// Newest minor version of protocol 3 that pgweir speaks.
pub const NEWEST_MINOR: u16 = 2;

/// A parameter's name and value.
pub type Setting = (Vec<u8>, Vec<u8>);

/// What the first packet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstPacket {
    /// Wants TLS.
    SslRequest,
    /// Wants GSSAPI encryption.
    GssEncRequest,
    /// Wants a running statement of another session cancelled.
    CancelRequest {
        /// Process id as BackendKeyData gave it.
        pid: i32,
        /// Secret as BackendKeyData gave it: 1 to 256 bytes.
        secret: Vec<u8>,
    },
    /// Wants to log in.
    Startup(StartupPacket),
}

/// A StartupMessage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartupPacket {
    /// Minor version that the client asks for; the major one is 3.
    pub minor: u16,
    /// Parameters in the order sent, names and values without their NULs.
    pub parameters: Vec<Setting>,
}

impl StartupPacket {
    /// The last value of a parameter, as Postgres takes it.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters
            .iter()
            .rev()
            .find(|(key, _)| key == name.as_bytes())
            .map(|(_, value)| value.as_slice())
    }
}

/// Why a first packet cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupError {
    /// The length word is below 8 or over [`MAX_STARTUP_PACKET`].
    Length(u32),
    /// A major version other than 3.
    Version {
        /// Major version asked for.
        major: u16,
        /// Minor version asked for.
        minor: u16,
    },
    /// A CancelRequest of a wrong size.
    CancelLength,
    /// Names and values do not pair up, or the final NUL is missing.
    Layout,
}

impl fmt::Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartupError::Length(_) => write!(f, "invalid length of startup packet"),
            StartupError::Version { major, minor } => write!(
                f,
                "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}"
            ),
            StartupError::CancelLength => write!(f, "invalid length of cancel request"),
            StartupError::Layout => {
                write!(f, "invalid startup packet layout: expected terminator as last byte")
            }
        }
    }
}

impl std::error::Error for StartupError {}

/// Bytes of the whole first packet, once its length word is there.
///
/// # Errors
/// The length is outside what a first packet may have.
pub fn packet_len(bytes: &[u8]) -> Result<Option<usize>, StartupError> {
    let Some((&word, _)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_be_bytes(word);
    if !(8..=MAX_STARTUP_PACKET).contains(&len) {
        return Err(StartupError::Length(len));
    }
    Ok(Some(len as usize))
}

/// Reads a whole first packet, length word included.
///
/// # Errors
/// Its layout or version is not one that can be served.
pub fn read(packet: &[u8]) -> Result<FirstPacket, StartupError> {
    let Some((code, body)) = packet.get(4..).and_then(|rest| rest.split_first_chunk::<4>()) else {
        return Err(StartupError::Length(0));
    };
    match u32::from_be_bytes(*code) {
        SSL_REQUEST_CODE => Ok(FirstPacket::SslRequest),
        GSSENC_REQUEST_CODE => Ok(FirstPacket::GssEncRequest),
        CANCEL_REQUEST_CODE => match body.split_first_chunk::<4>() {
            Some((&pid, secret)) if !secret.is_empty() && secret.len() <= 256 => {
                Ok(FirstPacket::CancelRequest {
                    pid: i32::from_be_bytes(pid),
                    secret: secret.to_vec(),
                })
            }
            _ => Err(StartupError::CancelLength),
        },
        version => {
            let [a, b, c, d] = version.to_be_bytes();
            let (major, minor) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            if major != 3 {
                return Err(StartupError::Version { major, minor });
            }
            Ok(FirstPacket::Startup(StartupPacket { minor, parameters: parameters(body)? }))
        }
    }
}

/// Pairs of strings up to an empty name, which must be the last byte.
fn parameters(mut body: &[u8]) -> Result<Vec<Setting>, StartupError> {
    let mut pairs = Vec::new();
    loop {
        let (name, rest) = split_cstr(body).ok_or(StartupError::Layout)?;
        if name.is_empty() {
            return if rest.is_empty() { Ok(pairs) } else { Err(StartupError::Layout) };
        }
        let (value, rest) = split_cstr(rest).ok_or(StartupError::Layout)?;
        pairs.push((name.to_vec(), value.to_vec()));
        body = rest;
    }
}

/// What the `options` startup parameter asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionsError {
    /// A switch that is not `-c name=value` or `--name=value`.
    Switch(String),
    /// A setting without `=`.
    NoValue(String),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionsError::Switch(switch) => {
                write!(f, "unsupported command-line argument in startup options: {switch}")
            }
            OptionsError::NoValue(name) => write!(f, "-c {name} requires a value"),
        }
    }
}

impl std::error::Error for OptionsError {}

/// Splits `options` into settings, as `pg_split_opts` and `process_postgres_switches` do: blanks
/// separate arguments, a backslash takes the next byte as it is; `-` and `_` are the same in the
/// name of a `--long-option`.
///
/// # Errors
/// Something other than a setting is asked for.
pub fn options(text: &[u8]) -> Result<Vec<Setting>, OptionsError> {
    let mut settings = Vec::new();
    let mut arguments = split_arguments(text).into_iter();
    while let Some(argument) = arguments.next() {
        let shown = || String::from_utf8_lossy(&argument).into_owned();
        let setting = if argument == b"-c" {
            arguments.next().ok_or_else(|| OptionsError::Switch(shown()))?
        } else if let Some(rest) = argument.strip_prefix(b"-c").or(argument.strip_prefix(b"--")) {
            rest.to_vec()
        } else {
            return Err(OptionsError::Switch(shown()));
        };
        let Some(equals) = setting.iter().position(|&byte| byte == b'=') else {
            return Err(OptionsError::NoValue(String::from_utf8_lossy(&setting).into_owned()));
        };
        let (name, value) = setting.split_at(equals);
        let name = name.iter().map(|&byte| if byte == b'-' { b'_' } else { byte }).collect();
        settings.push((name, value.get(1..).unwrap_or_default().to_vec()));
    }
    Ok(settings)
}

fn split_arguments(text: &[u8]) -> Vec<Vec<u8>> {
    let mut arguments = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte.is_ascii_whitespace() || byte == 0x0b {
            arguments.extend(current.take());
            continue;
        }
        let current = current.get_or_insert_default();
        if byte == b'\\' {
            current.extend(bytes.next());
        } else {
            current.push(byte);
        }
    }
    arguments.extend(current);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, body: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(8 + body.len()).unwrap().to_be_bytes().to_vec();
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn first_packets_are_told_apart() {
        let v3 = 3 << 16;
        assert_eq!(read(&packet(SSL_REQUEST_CODE, b"")), Ok(FirstPacket::SslRequest));
        assert_eq!(read(&packet(GSSENC_REQUEST_CODE, b"")), Ok(FirstPacket::GssEncRequest));
        assert_eq!(
            read(&packet(CANCEL_REQUEST_CODE, &[0, 0, 0, 9, 1, 2, 3, 4])),
            Ok(FirstPacket::CancelRequest { pid: 9, secret: vec![1, 2, 3, 4] })
        );
        assert_eq!(
            read(&packet(CANCEL_REQUEST_CODE, &[0, 0, 0, 9])),
            Err(StartupError::CancelLength)
        );
        let Ok(FirstPacket::Startup(startup)) = read(&packet(v3 | 9999, b"user\0a\0user\0b\0\0"))
        else {
            panic!("a startup packet")
        };
        assert_eq!(startup.minor, 9999);
        assert_eq!(startup.parameter("user"), Some(&b"b"[..]));
        for broken in [&b"user\0a\0"[..], b"user\0", b"", b"user\0a\0\0x", b"user"] {
            assert_eq!(read(&packet(v3, broken)), Err(StartupError::Layout), "{broken:?}");
        }
        assert_eq!(
            read(&packet(2 << 16, b"\0")),
            Err(StartupError::Version { major: 2, minor: 0 })
        );
    }

    #[test]
    fn a_length_outside_the_limits_is_refused_from_its_first_four_bytes() {
        assert_eq!(packet_len(&[0, 0]), Ok(None));
        for len in [0_u32, 7, 10_001, u32::MAX, 0x8000_0000] {
            assert_eq!(packet_len(&len.to_be_bytes()), Err(StartupError::Length(len)));
        }
        assert_eq!(packet_len(&10_000_u32.to_be_bytes()), Ok(Some(10_000)));
    }

    #[test]
    fn options_are_split_as_postgres_splits_them() {
        let read = |text: &str| options(text.as_bytes());
        let pair = |a: &str, b: &str| (a.as_bytes().to_vec(), b.as_bytes().to_vec());
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(
            read("-c a=1 -cb=2  --c-d=x\\ y\\\\z"),
            Ok(vec![pair("a", "1"), pair("b", "2"), pair("c_d", "x y\\z")])
        );
        assert_eq!(read("-c a="), Ok(vec![pair("a", "")]));
        assert_eq!(read("-c a"), Err(OptionsError::NoValue("a".into())));
        assert_eq!(read("-c="), Ok(vec![pair("", "")]));
        assert_eq!(read("-c"), Err(OptionsError::Switch("-c".into())));
        assert_eq!(read("-B 100"), Err(OptionsError::Switch("-B".into())));
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        proptest::proptest!(|(bytes: Vec<u8>)| {
            let _ = packet_len(&bytes);
            let _ = read(&bytes);
            let _ = options(&bytes);
        });
    }
}
