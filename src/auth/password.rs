//! Passwords in one message: MD5 and clear text, both sides.
//!
//! MD5 is kept because Postgres and its clients have it; it is weak, and whoever holds a stored
//! hash can log in with it. Deliberately absent: choosing it over SCRAM.

use std::fmt;

use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::random;
use super::secret::{Secret, StoredSecret};

const HEX_LEN: usize = 32;
const PREFIX: &[u8] = b"md5";

/// MD5 of password and role name in hexadecimal: what Postgres stores after `md5`, and as good
/// as the password itself.
#[derive(Clone)]
pub struct Md5Hash(Zeroizing<[u8; HEX_LEN]>);

impl Md5Hash {
    /// The hash of a password. The role's name is its salt.
    pub fn of(password: &[u8], user: &[u8]) -> Self {
        Self(Zeroizing::new(hex(password, user)))
    }

    /// Reads `md5` and 32 lower-case hexadecimal digits (Postgres' `get_password_type`).
    pub fn parse(stored: &[u8]) -> Option<Self> {
        let digits: [u8; HEX_LEN] = stored.strip_prefix(PREFIX)?.try_into().ok()?;
        let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        lower.then(|| Self(Zeroizing::new(digits)))
    }

    /// A hash that no password has been asked for, to check unknown roles against.
    fn mock() -> Self {
        Self::of(&random::<16>(), &random::<16>())
    }

    /// Whether both are the same, in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        Secret::new(*self.0).matches(other.0.as_slice())
    }

    /// The body of the PasswordMessage that answers AuthenticationMD5Password: `md5`, the hash
    /// of this hash and the salt, NUL.
    pub fn answer(&self, salt: [u8; 4]) -> Vec<u8> {
        [PREFIX, &hex(self.0.as_slice(), &salt), &[0]].concat()
    }
}

impl fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// MD5 of both, one after the other, in hexadecimal.
fn hex(first: &[u8], second: &[u8]) -> [u8; HEX_LEN] {
    let digest = Md5::new().chain_update(first).chain_update(second).finalize();
    let mut digits = [0; HEX_LEN];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    digits
}

/// The body of the PasswordMessage that answers AuthenticationCleartextPassword. `None` for a
/// password with a NUL byte in it, which the message cannot carry.
pub fn cleartext_answer(password: &Secret) -> Option<Vec<u8>> {
    let password = password.expose();
    (!password.contains(&0)).then(|| [password, &[0]].concat())
}

/// The password in the body of a PasswordMessage, checked as Postgres' `recv_password_packet`
/// does: one string, ended by NUL, nothing after it, and not empty.
pub fn read_password_message(body: &[u8]) -> Result<&[u8], PasswordMessageError> {
    match body.split_last() {
        Some((0, password)) if !password.contains(&0) => {
            if password.is_empty() {
                Err(PasswordMessageError::Empty)
            } else {
                Ok(password)
            }
        }
        Some(_) | None => Err(PasswordMessageError::InvalidSize),
    }
}

/// What is wrong with a PasswordMessage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordMessageError {
    /// It is not one string.
    InvalidSize,
    /// The password is empty: some clients send that to ask for the password.
    Empty,
}

/// The server's side of AuthenticationMD5Password.
#[derive(Debug)]
pub struct Md5Server {
    expected: Md5Hash,
    salt: [u8; 4],
}

impl Md5Server {
    /// For a role whose hash or password is known. `None`: the role is not, or has neither; no
    /// answer will be right.
    pub fn new(user: &[u8], secret: Option<&StoredSecret>) -> Self {
        let expected = match secret {
            Some(StoredSecret::Md5(hash)) => hash.clone(),
            Some(StoredSecret::Plain(known)) => Md5Hash::of(known.password().expose(), user),
            Some(StoredSecret::Scram(_)) | None => Md5Hash::mock(),
        };
        Self { expected, salt: random() }
    }

    /// The salt sent with the request.
    pub fn salt(&self) -> [u8; 4] {
        self.salt
    }

    /// Whether the password of a PasswordMessage is the right answer.
    pub fn verify(&self, answer: &[u8]) -> bool {
        let expected = self.expected.answer(self.salt);
        let expected = expected.strip_suffix(&[0]).unwrap_or(&expected);
        Secret::new(expected).matches(answer)
    }
}

#[cfg(test)]
mod tests;
