//! Secrets as types that cannot be printed or compared by accident, and the forms in which
//! Postgres and PgBouncer store them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::password::Md5Hash;
use super::scram::{DEFAULT_ITERATIONS, ScramVerifier};

/// A password or another text that nobody may see. Overwritten when dropped.
///
/// Not necessarily UTF-8: Postgres takes passwords as bytes.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; copies elsewhere are the caller's.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves. Every use of this word is a place to look at twice.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing in it. An empty password never lets anybody in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is `other`, in a time that tells nothing but the length.
    pub fn matches(&self, other: &[u8]) -> bool {
        verify_slices_are_equal(&self.0, other).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret of the size of a SHA-256 hash. Overwritten when dropped.
#[derive(Clone)]
pub(super) struct Key(Zeroizing<[u8; Self::LEN]>);

impl Key {
    pub(super) const LEN: usize = 32;

    pub(super) fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::new)
    }

    pub(super) fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    pub(super) fn matches(&self, other: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_slice(), other).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is known of a role's password, as in `pg_authid.rolpassword`, in the second column of a
/// `userlist.txt`, or in our own configuration.
#[derive(Clone, Debug)]
pub enum StoredSecret {
    /// The password itself.
    Plain(PlainPassword),
    /// `md5` and the hash of password and role name.
    Md5(Md5Hash),
    /// `SCRAM-SHA-256$…`.
    Scram(ScramVerifier),
}

/// In which form a role's password is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// [`StoredSecret::Plain`].
    Plain,
    /// [`StoredSecret::Md5`].
    Md5,
    /// [`StoredSecret::Scram`].
    Scram,
}

/// A password known in plain text, with the SCRAM verifier that is made of it once. Clones share
/// the verifier.
#[derive(Clone, Debug)]
pub struct PlainPassword {
    password: Secret,
    verifier: Arc<OnceLock<ScramVerifier>>,
}

impl PlainPassword {
    /// `None` for an empty password, which lets nobody in.
    pub fn new(password: Secret) -> Option<Self> {
        (!password.is_empty()).then(|| Self { password, verifier: Arc::default() })
    }

    /// The password: to log in to a server with. Never empty.
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// The verifier that clients are checked against. Slow the first time.
    pub fn verifier(&self) -> &ScramVerifier {
        self.verifier.get_or_init(|| ScramVerifier::generate(&self.password, DEFAULT_ITERATIONS))
    }
}

/// Why a stored secret cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredSecretError {
    /// Nothing is stored: the role cannot log in by password.
    Empty,
    /// It begins like a SCRAM verifier and is none. Postgres would take it for a password in
    /// plain text; nobody means that.
    MalformedVerifier,
}

impl fmt::Display for StoredSecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the secret is empty",
            Self::MalformedVerifier => "the secret begins with SCRAM-SHA-256$ but is no verifier",
        })
    }
}

impl std::error::Error for StoredSecretError {}

impl StoredSecret {
    /// Its form.
    pub fn kind(&self) -> SecretKind {
        match self {
            Self::Plain(_) => SecretKind::Plain,
            Self::Md5(_) => SecretKind::Md5,
            Self::Scram(_) => SecretKind::Scram,
        }
    }

    /// Tells the forms apart as Postgres does (`get_password_type`): `md5` with 32 lower-case
    /// hexadecimal digits, a SCRAM verifier, or else the password itself.
    pub fn parse(stored: &[u8]) -> Result<Self, StoredSecretError> {
        if let Some(hash) = Md5Hash::parse(stored) {
            return Ok(Self::Md5(hash));
        }
        if stored.starts_with(ScramVerifier::PREFIX) {
            let verifier = ScramVerifier::parse(stored);
            return verifier.map(Self::Scram).ok_or(StoredSecretError::MalformedVerifier);
        }
        PlainPassword::new(Secret::new(stored)).map(Self::Plain).ok_or(StoredSecretError::Empty)
    }

    /// Whether a password sent in clear text is the right one for `user`, against any form, as
    /// Postgres does (`plain_crypt_verify`).
    ///
    /// Price: for a SCRAM verifier, its iterations of PBKDF2; a blocking thread is the place.
    pub fn verify_cleartext(&self, user: &[u8], password: &[u8]) -> bool {
        if password.is_empty() {
            return false;
        }
        match self {
            Self::Plain(known) => known.password.matches(password),
            Self::Md5(hash) => hash.matches(&Md5Hash::of(password, user)),
            Self::Scram(verifier) => verifier.verify_cleartext(password),
        }
    }
}

#[cfg(test)]
mod tests;
