//! A client's login by password, whatever the method: which exchange a method and a stored
//! secret make together, and the exchange itself.
//!
//! A role that does not exist goes through the same messages as one that does, and fails at the
//! end like a wrong password. Deliberately absent: which method applies to whom, certificates
//! and `trust`, ErrorResponse.

use std::fmt;

use super::password::{Md5Server, PasswordMessageError, read_password_message};
use super::request::{self, CLEARTEXT_PASSWORD, MD5_PASSWORD};
use super::scram::{
    DEFAULT_ITERATIONS, MockSecret, SaltedPassword, ScramKeys, ScramServer, ScramServerError,
    ServerStep,
};
use super::secret::{Secret, SecretKind, StoredSecret};

/// The longest PasswordMessage read, as for SCRAM: nothing larger before login.
const MESSAGE_LIMIT: usize = 16 * 1024;

/// How a rule wants clients to prove themselves (`pg_hba.conf`'s words).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordMethod {
    /// `password`: in clear text.
    Cleartext,
    /// `md5`: MD5, or SCRAM where the role has a SCRAM verifier.
    Md5,
    /// `scram-sha-256`: SCRAM or nothing.
    ScramSha256,
}

/// What to do after a client's message.
#[derive(Debug)]
pub enum LoginStep {
    /// Send this body as `R` and wait for the next `p`.
    Continue(Vec<u8>),
    /// The client is who it says: send `last`, if any, as `R`, then AuthenticationOk.
    Accepted {
        /// AuthenticationSASLFinal.
        last: Option<Vec<u8>>,
        /// What pass-through needs, after SCRAM.
        keys: Option<ScramKeys>,
    },
    /// A password came in clear text and must be hashed to be checked: call
    /// [`CleartextCheck::verify`], best not on an async thread, and accept or refuse.
    NeedsCheck(CleartextCheck),
}

/// Why a client was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginError {
    /// Wrong password or unknown role: `password authentication failed for user`, 28P01.
    WrongPassword,
    /// An empty password: libpq sends it where it has none.
    EmptyPassword,
    /// A PasswordMessage that is none.
    InvalidPasswordMessage,
    /// SCRAM failed for another reason than the password.
    Scram(ScramServerError),
    /// A message after the end of the exchange.
    Over,
}

impl LoginError {
    /// The SQLSTATE that Postgres gives it.
    pub fn sqlstate(self) -> &'static str {
        match self {
            Self::WrongPassword | Self::EmptyPassword => "28P01",
            Self::InvalidPasswordMessage | Self::Over => "08P01",
            Self::Scram(error) => error.sqlstate(),
        }
    }

    /// More for the client's eyes.
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Self::Scram(error) => error.detail(),
            Self::WrongPassword
            | Self::EmptyPassword
            | Self::InvalidPasswordMessage
            | Self::Over => None,
        }
    }
}

/// The message for the client, Postgres' words; for a wrong password the caller adds the role.
impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPassword => f.write_str("password authentication failed"),
            Self::EmptyPassword => f.write_str("empty password returned by client"),
            Self::InvalidPasswordMessage => f.write_str("invalid password packet size"),
            Self::Scram(error) => error.fmt(f),
            Self::Over => f.write_str("authentication is over"),
        }
    }
}

impl std::error::Error for LoginError {}

impl From<ScramServerError> for LoginError {
    fn from(error: ScramServerError) -> Self {
        match error {
            ScramServerError::WrongProof => Self::WrongPassword,
            error => Self::Scram(error),
        }
    }
}

/// A password in clear text and what it must be. Computing costs what SCRAM's iterations cost.
#[derive(Debug)]
pub struct CleartextCheck {
    user: Vec<u8>,
    password: Secret,
    stored: StoredSecret,
    mock: bool,
}

impl CleartextCheck {
    /// Whether the password is right.
    pub fn verify(&self) -> bool {
        if let StoredSecret::Plain(_) | StoredSecret::Md5(_) = self.stored {
            // Takes the time that a verifier takes, and that an unknown role is given.
            let _ = SaltedPassword::derive(&self.password, &self.user, DEFAULT_ITERATIONS);
        }
        self.stored.verify_cleartext(&self.user, self.password.expose()) & !self.mock
    }
}

/// One client's login by password.
#[derive(Debug)]
pub struct PasswordExchange {
    user: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Cleartext { stored: StoredSecret, mock: bool },
    Md5(Md5Server),
    Scram(Box<ScramServer>),
    Over,
}

impl PasswordExchange {
    /// `secret` is `None` where there is no such role or it has no password. `binding` as for
    /// [`ScramServer::new`].
    ///
    /// A plain password under SCRAM is turned into a verifier here, once for all its clones; call
    /// [`PlainPassword::verifier`](super::secret::PlainPassword::verifier) before to have it done.
    pub fn new(
        method: PasswordMethod,
        user: &[u8],
        secret: Option<&StoredSecret>,
        unknown: &MockSecret,
        binding: Option<Vec<u8>>,
    ) -> Self {
        let kind = secret.map_or_else(|| unknown.kind(), StoredSecret::kind);
        let state = match (method, kind) {
            (PasswordMethod::Cleartext, _) => State::Cleartext {
                mock: secret.is_none(),
                stored: secret
                    .cloned()
                    .unwrap_or_else(|| StoredSecret::Scram(unknown.verifier(user))),
            },
            // As Postgres' CheckPWChallengeAuth: those who have a verifier use it.
            (PasswordMethod::Md5, SecretKind::Md5 | SecretKind::Plain) => {
                State::Md5(Md5Server::new(user, secret))
            }
            (PasswordMethod::Md5 | PasswordMethod::ScramSha256, _) => {
                State::Scram(Box::new(scram(user, secret, unknown, binding)))
            }
        };
        Self { user: user.to_vec(), state }
    }

    /// The body of the first `R` message.
    pub fn request(&self) -> Vec<u8> {
        match &self.state {
            State::Cleartext { .. } | State::Over => request::body(CLEARTEXT_PASSWORD, b""),
            State::Md5(server) => request::body(MD5_PASSWORD, &server.salt()),
            State::Scram(server) => server.offer(),
        }
    }

    /// Takes the body of a `p` message.
    pub fn on_message(&mut self, body: &[u8]) -> Result<LoginStep, LoginError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Cleartext { stored, mock } => {
                let password = Secret::new(read_password(body)?);
                let user = std::mem::take(&mut self.user);
                Ok(LoginStep::NeedsCheck(CleartextCheck { user, password, stored, mock }))
            }
            State::Md5(server) => {
                if !server.verify(read_password(body)?) {
                    return Err(LoginError::WrongPassword);
                }
                Ok(LoginStep::Accepted { last: None, keys: None })
            }
            State::Scram(mut server) => match server.on_message(body)? {
                ServerStep::Continue(body) => {
                    self.state = State::Scram(server);
                    Ok(LoginStep::Continue(body))
                }
                ServerStep::Done { last, keys } => {
                    Ok(LoginStep::Accepted { last: Some(last), keys: Some(keys) })
                }
            },
            State::Over => Err(LoginError::Over),
        }
    }
}

/// SCRAM needs a verifier; an MD5 hash cannot make one.
fn scram(
    user: &[u8],
    secret: Option<&StoredSecret>,
    unknown: &MockSecret,
    binding: Option<Vec<u8>>,
) -> ScramServer {
    match secret {
        Some(StoredSecret::Scram(verifier)) => ScramServer::new(verifier.clone(), binding),
        Some(StoredSecret::Plain(known)) => ScramServer::new(known.verifier().clone(), binding),
        Some(StoredSecret::Md5(_)) | None => ScramServer::mock(unknown, user, binding),
    }
}

fn read_password(body: &[u8]) -> Result<&[u8], LoginError> {
    if body.len() > MESSAGE_LIMIT {
        return Err(LoginError::InvalidPasswordMessage);
    }
    read_password_message(body).map_err(|error| match error {
        PasswordMessageError::InvalidSize => LoginError::InvalidPasswordMessage,
        PasswordMessageError::Empty => LoginError::EmptyPassword,
    })
}

#[cfg(test)]
mod tests;
