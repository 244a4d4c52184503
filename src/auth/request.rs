//! What a server asks for during a login: the bodies of `R` messages
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).

use super::scram::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS};

pub(super) const OK: i32 = 0;
pub(super) const CLEARTEXT_PASSWORD: i32 = 3;
pub(super) const MD5_PASSWORD: i32 = 5;
pub(super) const SASL: i32 = 10;
pub(super) const SASL_CONTINUE: i32 = 11;
pub(super) const SASL_FINAL: i32 = 12;

/// One `R` message of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationRequest<'a> {
    /// AuthenticationOk: we are in.
    Ok,
    /// AuthenticationCleartextPassword.
    CleartextPassword,
    /// AuthenticationMD5Password with its salt.
    Md5Password([u8; 4]),
    /// AuthenticationSASL with the mechanisms it offers.
    Sasl(SaslMechanisms),
    /// AuthenticationSASLContinue with its data.
    SaslContinue(&'a [u8]),
    /// AuthenticationSASLFinal with its data.
    SaslFinal(&'a [u8]),
    /// A request that we cannot answer: Kerberos (2), GSSAPI (7, 8), SSPI (9) or unknown.
    Unsupported(i32),
}

/// The SASL mechanisms of an offer that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SaslMechanisms {
    /// SCRAM-SHA-256.
    pub scram: bool,
    /// SCRAM-SHA-256-PLUS: with channel binding.
    pub scram_plus: bool,
}

impl<'a> AuthenticationRequest<'a> {
    /// `None` where the body is not what its code says.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (code, data) = body.split_first_chunk::<4>()?;
        match i32::from_be_bytes(*code) {
            OK => data.is_empty().then_some(Self::Ok),
            CLEARTEXT_PASSWORD => data.is_empty().then_some(Self::CleartextPassword),
            MD5_PASSWORD => data.try_into().ok().map(Self::Md5Password),
            SASL => SaslMechanisms::parse(data).map(Self::Sasl),
            SASL_CONTINUE => Some(Self::SaslContinue(data)),
            SASL_FINAL => Some(Self::SaslFinal(data)),
            code => Some(Self::Unsupported(code)),
        }
    }
}

impl SaslMechanisms {
    /// Names, each ended by a NUL, and another NUL at the end.
    fn parse(data: &[u8]) -> Option<Self> {
        let names = data.strip_suffix(&[0])?;
        let mut mechanisms = Self::default();
        for name in names.split(|&byte| byte == 0) {
            mechanisms.scram |= name == SCRAM_SHA_256.as_bytes();
            mechanisms.scram_plus |= name == SCRAM_SHA_256_PLUS.as_bytes();
        }
        Some(mechanisms)
    }
}

/// The body of an `R` message.
pub(super) fn body(code: i32, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32, data: &[u8], expected: Option<AuthenticationRequest<'_>>) {
        assert_eq!(AuthenticationRequest::parse(&body(code, data)), expected);
    }

    #[test]
    fn requests_are_told_apart() {
        let mechanisms = |scram, scram_plus| {
            Some(AuthenticationRequest::Sasl(SaslMechanisms { scram, scram_plus }))
        };
        check(0, b"", Some(AuthenticationRequest::Ok));
        check(0, b"x", None);
        check(3, b"", Some(AuthenticationRequest::CleartextPassword));
        check(5, b"salt", Some(AuthenticationRequest::Md5Password(*b"salt")));
        check(5, b"sal", None);
        check(5, b"salty", None);
        check(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", mechanisms(true, true));
        check(10, b"SCRAM-SHA-256\0\0", mechanisms(true, false));
        check(10, b"OAUTHBEARER\0\0", mechanisms(false, false));
        check(10, b"\0", mechanisms(false, false));
        check(10, b"", None);
        check(10, b"SCRAM-SHA-256", None);
        check(11, b"r=", Some(AuthenticationRequest::SaslContinue(b"r=")));
        check(12, b"v=", Some(AuthenticationRequest::SaslFinal(b"v=")));
        check(7, b"", Some(AuthenticationRequest::Unsupported(7)));
        check(-1, b"any", Some(AuthenticationRequest::Unsupported(-1)));
        assert_eq!(AuthenticationRequest::parse(b"\0\0\0"), None);
    }
}
