//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), both sides, as Postgres speaks
//! them (`auth-scram.c`, `fe-auth-scram.c`).
//!
//! Here is what both sides share: stored verifiers, keys, the attributes of messages.
//! Deliberately absent: SASL authorization identities and extensions, which Postgres has not.

mod client;
mod server;

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::random;
use super::secret::{Key, Secret};

pub use client::{
    ClientBinding, ClientStep, PassThrough, SaltedPasswordRequest, ScramClient, ScramClientError,
    ScramCredentials,
};
pub use server::{MockSecret, ScramKeys, ScramServer, ScramServerError, ServerStep};

/// The mechanism without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How often the password is hashed in new verifiers (Postgres' `scram_iterations`).
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not 0");

/// Bytes of salt in new verifiers (`SCRAM_DEFAULT_SALT_LEN`).
const SALT_LEN: usize = 16;
/// Bytes of a nonce before base64 (`SCRAM_RAW_NONCE_LEN`).
const NONCE_LEN: usize = 18;
/// The only channel binding type that Postgres has (RFC 5929 section 4).
const BINDING_HEADER: &[u8] = b"p=tls-server-end-point,,";

/// What a client proves that it has: HMAC(SaltedPassword, "Client Key").
///
/// As good as the password for logging in to every server with the same verifier.
#[derive(Clone, Debug)]
pub struct ClientKey(Key);

/// What a server proves that it has: HMAC(SaltedPassword, "Server Key").
#[derive(Clone, Debug)]
pub struct ServerKey(Key);

/// The password after PBKDF2: what makes SCRAM slow, and the thing to keep instead of computing
/// it again. Belongs to one salt and number of iterations.
#[derive(Clone, Debug)]
pub struct SaltedPassword(Key);

impl SaltedPassword {
    /// RFC 5802's `Hi(Normalize(password), salt, iterations)`. Slow on purpose: about a
    /// millisecond for 4,096 iterations, a fraction of a second for a million.
    pub fn derive(password: &Secret, salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut key = [0; Key::LEN];
        let password = normalize(password);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.expose(), &mut key);
        Self(Key::new(key))
    }

    fn client_key(&self) -> ClientKey {
        ClientKey(hmac(&self.0, &[b"Client Key"]))
    }

    fn server_key(&self) -> ServerKey {
        ServerKey(hmac(&self.0, &[b"Server Key"]))
    }
}

impl ClientKey {
    fn stored_key(&self) -> Key {
        Key::read(digest::digest(&digest::SHA256, self.0.expose()).as_ref())
            .expect("SHA-256 has 32 bytes")
    }

    /// ClientProof: this key, hidden behind the signature of the exchange.
    fn proof(&self, auth_message: &[&[u8]]) -> Key {
        xor(&self.0, &hmac(&self.stored_key(), auth_message))
    }
}

impl ServerKey {
    fn signature(&self, auth_message: &[&[u8]]) -> Key {
        hmac(&self.0, auth_message)
    }
}

/// What a server stores in place of a password:
/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
#[derive(Clone)]
pub struct ScramVerifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: ServerKey,
}

impl ScramVerifier {
    pub(super) const PREFIX: &[u8] = b"SCRAM-SHA-256$";

    /// Reads the form of `pg_authid.rolpassword` (Postgres' `parse_scram_secret`).
    pub fn parse(stored: &[u8]) -> Option<Self> {
        let text = str::from_utf8(stored.strip_prefix(Self::PREFIX)?).ok()?;
        let (parameters, keys) = text.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        if !iterations.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let key = |text: &str| Key::read(&BASE64.decode(text).ok()?);
        Some(Self {
            iterations: iterations.parse().ok()?,
            salt: BASE64.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: ServerKey(key(server_key)?),
        })
    }

    /// The verifier of a password, with a new random salt. Slow: see [`SaltedPassword::derive`].
    pub fn generate(password: &Secret, iterations: NonZeroU32) -> Self {
        Self::from_password(password, random::<SALT_LEN>().to_vec(), iterations)
    }

    /// The verifier of a password with a given salt.
    pub fn from_password(password: &Secret, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let salted = SaltedPassword::derive(password, &salt, iterations);
        let stored_key = salted.client_key().stored_key();
        Self { iterations, salt, stored_key, server_key: salted.server_key() }
    }

    /// The form of `pg_authid.rolpassword`. Secret: weak passwords can be guessed from it.
    pub fn to_stored(&self) -> Secret {
        let mut text = Self::PREFIX.to_vec();
        let encoded = |bytes: &[u8]| BASE64.encode(bytes).into_bytes();
        for part in [
            self.iterations.to_string().as_bytes(),
            b":",
            &encoded(&self.salt),
            b"$",
            &encoded(self.stored_key.expose()),
            b":",
            &encoded(self.server_key.0.expose()),
        ] {
            text.extend_from_slice(part);
        }
        Secret::new(text)
    }

    /// How often the password was hashed.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// What it was hashed with.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether this is the very same verifier: the password has not been set anew.
    pub fn same_as(&self, other: &Self) -> bool {
        self.iterations == other.iterations
            && self.salt == other.salt
            && self.stored_key.matches(other.stored_key.expose())
            && self.server_key.0.matches(other.server_key.0.expose())
    }

    /// Whether a kept ClientKey still logs in where this verifier is stored.
    pub fn accepts(&self, key: &ClientKey) -> bool {
        self.stored_key.matches(key.stored_key().expose())
    }

    /// Whether this password is the one (Postgres' `scram_verify_plain_password`). Slow.
    pub fn verify_cleartext(&self, password: &[u8]) -> bool {
        let salted = SaltedPassword::derive(&Secret::new(password), &self.salt, self.iterations);
        self.server_key.0.matches(salted.server_key().0.expose())
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// SASLprep (RFC 4013) where it can be applied, else the bytes as they are: Postgres takes
/// passwords that are not UTF-8 or hold forbidden characters (`pg_be_scram_build_secret`).
fn normalize(password: &Secret) -> Secret {
    let bytes = password.expose();
    match str::from_utf8(bytes).ok().map(stringprep::saslprep) {
        Some(Ok(prepared)) if !prepared.is_empty() => Secret::new(prepared.as_bytes()),
        Some(Ok(_) | Err(_)) | None => password.clone(),
    }
}

/// HMAC-SHA-256 over the parts as one.
fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
    for part in parts {
        context.update(part);
    }
    Key::read(context.sign().as_ref()).expect("HMAC-SHA-256 has 32 bytes")
}

fn xor(one: &Key, other: &Key) -> Key {
    let mut bytes = *one.expose();
    for (byte, mask) in bytes.iter_mut().zip(other.expose()) {
        *byte ^= mask;
    }
    Key::new(bytes)
}

/// Random, printable, without comma.
fn new_nonce() -> Vec<u8> {
    BASE64.encode(random::<NONCE_LEN>()).into_bytes()
}

/// RFC 5802's `printable`: visible ASCII but the comma (`is_scram_printable`).
fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|&byte| matches!(byte, 0x21..=0x7e) && byte != b',')
}

/// The attributes of a SCRAM message, `a=value,b=value`, read from the front.
///
/// Errors are the DETAIL lines of Postgres' "malformed SCRAM message".
struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of the next attribute, which must be `name` (`read_attr_value`).
    fn value(&mut self, name: u8) -> Result<&'a [u8], &'static str> {
        match self.any()? {
            (found, value) if found == name => Ok(value),
            _ => Err("An attribute was expected but another one found."),
        }
    }

    /// The next attribute, whatever its name (`read_any_attr`).
    fn any(&mut self) -> Result<(u8, &'a [u8]), &'static str> {
        let (name, rest) = match self.0 {
            [] => return Err("Attribute expected, but found end of string."),
            [name, b'=', rest @ ..] if name.is_ascii_alphabetic() => (*name, rest),
            [name, ..] if name.is_ascii_alphabetic() => {
                return Err("Expected character \"=\" for attribute.");
            }
            _ => return Err("Attribute expected, but found invalid character."),
        };
        let end = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
        let (value, rest) = rest.split_at(end);
        self.0 = rest.strip_prefix(b",").unwrap_or(rest);
        Ok((name, value))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
