//! The side that lets clients in. Messages, checks and their order are those of Postgres'
//! `auth-scram.c`, so that clients meet the server they know.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::hmac;
use base64::Engine;

use super::{
    Attributes, BASE64, BINDING_HEADER, ClientKey, DEFAULT_ITERATIONS, SALT_LEN, SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS, ScramVerifier, ServerKey, is_printable, new_nonce,
};
use crate::auth::random;
use crate::auth::request::{self, SASL, SASL_CONTINUE, SASL_FINAL};
use crate::auth::secret::{Key, SecretKind};

/// The longest message of a client that we read. libpq's are under 200 bytes.
const MESSAGE_LIMIT: usize = 16 * 1024;

/// How roles that do not exist are played: the same salt for the same role as long as the
/// process lives, so that asking twice tells nothing (Postgres' mock authentication nonce).
#[derive(Clone, Debug)]
pub struct MockSecret {
    key: Key,
    iterations: NonZeroU32,
    kind: SecretKind,
}

impl Default for MockSecret {
    fn default() -> Self {
        Self::new()
    }
}

impl MockSecret {
    /// A random one. Make one for the process, and clone it for what a reload makes anew.
    pub fn new() -> Self {
        Self { key: Key::new(random()), iterations: DEFAULT_ITERATIONS, kind: SecretKind::Scram }
    }

    /// Plays verifiers with this number of iterations: take the number that most roles have.
    pub fn with_iterations(self, iterations: NonZeroU32) -> Self {
        Self { iterations, ..self }
    }

    /// Plays a secret of this kind: take the one that most roles have, or those who are asked
    /// otherwise stand out.
    pub fn with_kind(self, kind: SecretKind) -> Self {
        Self { kind, ..self }
    }

    /// What is played.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// A verifier that looks like the user's and accepts nothing.
    pub(in crate::auth) fn verifier(&self, user: &[u8]) -> ScramVerifier {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.expose());
        let mut salt = hmac::sign(&key, user).as_ref().to_vec();
        salt.truncate(SALT_LEN);
        let [stored_key, server_key] = [Key::new(random()), Key::new(random())];
        let server_key = ServerKey(server_key);
        ScramVerifier { iterations: self.iterations, salt, stored_key, server_key }
    }
}

/// What a successful exchange leaves: enough to log in as this role to every server that stores
/// the same verifier, and to check such a server.
#[derive(Clone, Debug)]
pub struct ScramKeys {
    /// Recovered from the client's proof.
    pub client_key: ClientKey,
    /// From the verifier.
    pub server_key: ServerKey,
}

/// What to do after a client's message.
#[derive(Debug)]
pub enum ServerStep {
    /// Send this body as `R` and wait for the next `p`.
    Continue(Vec<u8>),
    /// The client is who it says. Send this body as `R`, then AuthenticationOk.
    Done {
        /// AuthenticationSASLFinal: our own proof.
        last: Vec<u8>,
        /// What pass-through needs.
        keys: ScramKeys,
    },
}

/// Why a client was not let in. The exchange is over after any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramServerError {
    /// Wrong password or unknown role: nobody can tell which.
    WrongProof,
    /// A SASLInitialResponse that is none.
    InvalidMessage,
    /// A mechanism that was not offered.
    InvalidMechanism,
    /// Not SCRAM; the text is Postgres' DETAIL.
    Malformed(&'static str),
    /// The client can bind to the TLS channel and was made to believe that we cannot: somebody
    /// is between us.
    Downgrade,
    /// The client is bound to another TLS channel than ours: somebody is between us.
    BindingMismatch,
    /// A type of channel binding that we have not.
    UnsupportedBinding,
    /// A channel binding attribute that does not fit the first message.
    UnexpectedBinding,
    /// An authorization identity.
    AuthorizationIdentity,
    /// A mandatory extension.
    Extension,
    /// A nonce with bytes that may not be in one.
    UnprintableNonce,
    /// Not the nonce of this exchange.
    NonceMismatch,
    /// A message after the end of the exchange.
    Over,
}

impl ScramServerError {
    /// The SQLSTATE that Postgres gives it.
    pub fn sqlstate(self) -> &'static str {
        match self {
            Self::WrongProof => "28P01",
            Self::Downgrade | Self::BindingMismatch => "28000",
            Self::AuthorizationIdentity | Self::Extension => "0A000",
            Self::InvalidMessage
            | Self::InvalidMechanism
            | Self::Malformed(_)
            | Self::UnsupportedBinding
            | Self::UnexpectedBinding
            | Self::UnprintableNonce
            | Self::NonceMismatch
            | Self::Over => "08P01",
        }
    }

    /// More for the client's eyes, as Postgres gives it.
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Self::Malformed(detail) => Some(detail),
            Self::Downgrade => Some(
                "The client supports SCRAM channel binding but thinks the server does not.  \
                 However, this server does support channel binding.",
            ),
            Self::NonceMismatch => Some("Nonce does not match."),
            Self::WrongProof
            | Self::InvalidMessage
            | Self::InvalidMechanism
            | Self::BindingMismatch
            | Self::UnsupportedBinding
            | Self::UnexpectedBinding
            | Self::AuthorizationIdentity
            | Self::Extension
            | Self::UnprintableNonce
            | Self::Over => None,
        }
    }
}

/// The message for the client, Postgres' words.
impl fmt::Display for ScramServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongProof => "password authentication failed",
            Self::InvalidMessage => "invalid SASLInitialResponse message",
            Self::InvalidMechanism => "client selected an invalid SASL authentication mechanism",
            Self::Malformed(_) => "malformed SCRAM message",
            Self::Downgrade => "SCRAM channel binding negotiation error",
            Self::BindingMismatch => "SCRAM channel binding check failed",
            Self::UnsupportedBinding => "unsupported SCRAM channel-binding type",
            Self::UnexpectedBinding => {
                "unexpected SCRAM channel-binding attribute in client-final-message"
            }
            Self::AuthorizationIdentity => {
                "client uses authorization identity, but it is not supported"
            }
            Self::Extension => "client requires an unsupported SCRAM extension",
            Self::UnprintableNonce => "non-printable characters in SCRAM nonce",
            Self::NonceMismatch => "invalid SCRAM response",
            Self::Over => "SCRAM exchange is over",
        })
    }
}

impl std::error::Error for ScramServerError {}

/// One client's exchange.
///
/// ```text
///   Offered ──SASLInitialResponse──▶ Challenged ──SASLResponse──▶ Over
///      └─(without data)─▶ Chosen ──SASLResponse──┘
/// ```
///
/// Any error leads to `Over`.
#[derive(Debug)]
pub struct ScramServer {
    verifier: ScramVerifier,
    /// The verifier is not of this world; nothing gets in, even by luck.
    mock: bool,
    binding: Option<Vec<u8>>,
    nonce: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// AuthenticationSASL is to be sent or was.
    Offered,
    /// A mechanism was chosen, without data.
    Chosen {
        plus: bool,
    },
    /// We sent the salt.
    Challenged(Box<Challenge>),
    Over,
}

/// What the last message is checked against.
#[derive(Debug)]
struct Challenge {
    flag: BindingFlag,
    client_first_bare: Vec<u8>,
    server_first: Vec<u8>,
    nonce: Vec<u8>,
}

/// The gs2-cbind-flag of RFC 5802.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BindingFlag {
    /// `n`: the client has no channel binding.
    No,
    /// `y`: it has, and thinks that we have not.
    Yes,
    /// `p`: it binds.
    Bound,
}

impl ScramServer {
    /// For a role with this verifier. `binding` is what [`tls_server_end_point`] says of our
    /// certificate, where the connection is encrypted and the certificate has it; then
    /// SCRAM-SHA-256-PLUS is offered as well.
    ///
    /// [`tls_server_end_point`]: crate::auth::certificate::tls_server_end_point
    pub fn new(verifier: ScramVerifier, binding: Option<Vec<u8>>) -> Self {
        Self { verifier, mock: false, binding, nonce: new_nonce(), state: State::Offered }
    }

    /// For a role that does not exist or has no verifier: the same messages, and failure at
    /// the end.
    pub fn mock(secret: &MockSecret, user: &[u8], binding: Option<Vec<u8>>) -> Self {
        Self { mock: true, ..Self::new(secret.verifier(user), binding) }
    }

    #[cfg(test)]
    pub(super) fn with_nonce(self, nonce: &[u8]) -> Self {
        Self { nonce: nonce.to_vec(), ..self }
    }

    /// The body of AuthenticationSASL: the mechanisms, best first.
    pub fn offer(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let plus = self.binding.is_some().then_some(SCRAM_SHA_256_PLUS);
        for name in plus.into_iter().chain([SCRAM_SHA_256]) {
            names.extend_from_slice(name.as_bytes());
            names.push(0);
        }
        names.push(0);
        request::body(SASL, &names)
    }

    /// Takes the body of a `p` message, SASLInitialResponse or SASLResponse.
    pub fn on_message(&mut self, body: &[u8]) -> Result<ServerStep, ScramServerError> {
        if body.len() > MESSAGE_LIMIT {
            self.state = State::Over;
            return Err(ScramServerError::Malformed("The message is too long."));
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Offered => {
                let (plus, data) = self.read_initial(body)?;
                match data {
                    Some(data) => self.on_first(plus, data),
                    None => {
                        self.state = State::Chosen { plus };
                        Ok(ServerStep::Continue(request::body(SASL_CONTINUE, b"")))
                    }
                }
            }
            State::Chosen { plus } => self.on_first(plus, body),
            State::Challenged(challenge) => self.on_final(&challenge, body),
            State::Over => Err(ScramServerError::Over),
        }
    }

    /// SASLInitialResponse: mechanism, NUL, length (-1: none) and data (`CheckSASLAuth`).
    fn read_initial<'a>(
        &self,
        body: &'a [u8],
    ) -> Result<(bool, Option<&'a [u8]>), ScramServerError> {
        let end = body.iter().position(|&byte| byte == 0);
        let (mechanism, rest) = end
            .and_then(|end| Some((body.get(..end)?, body.get(end + 1..)?)))
            .ok_or(ScramServerError::InvalidMessage)?;
        let plus = match &self.binding {
            Some(_) if mechanism == SCRAM_SHA_256_PLUS.as_bytes() => true,
            _ if mechanism == SCRAM_SHA_256.as_bytes() => false,
            _ => return Err(ScramServerError::InvalidMechanism),
        };
        let (len, data) = rest.split_first_chunk().ok_or(ScramServerError::InvalidMessage)?;
        match (i32::from_be_bytes(*len), data) {
            (-1, []) => Ok((plus, None)),
            (len, data) if usize::try_from(len) == Ok(data.len()) => Ok((plus, Some(data))),
            _ => Err(ScramServerError::InvalidMessage),
        }
    }

    /// `read_client_first_message`, and the answer to it.
    fn on_first(&mut self, plus: bool, message: &[u8]) -> Result<ServerStep, ScramServerError> {
        check_text(message)?;
        let (flag, rest) = self.read_binding_flag(plus, message)?;
        let client_first_bare = match rest {
            [b'a', ..] => return Err(ScramServerError::AuthorizationIdentity),
            [b',', bare @ ..] => bare,
            _ => return malformed("Unexpected attribute in client-first-message."),
        };
        if client_first_bare.first() == Some(&b'm') {
            return Err(ScramServerError::Extension);
        }
        let mut attributes = Attributes(client_first_bare);
        // The role is the one of the startup packet, whatever this says.
        attributes.value(b'n').or_else(malformed)?;
        let client_nonce = attributes.value(b'r').or_else(malformed)?;
        if !is_printable(client_nonce) {
            return Err(ScramServerError::UnprintableNonce);
        }
        while !attributes.is_empty() {
            attributes.any().or_else(malformed)?;
        }
        let nonce = [client_nonce, &self.nonce].concat();
        let salt = BASE64.encode(&self.verifier.salt);
        let tail = format!(",s={salt},i={}", self.verifier.iterations);
        let server_first = [b"r=", nonce.as_slice(), tail.as_bytes()].concat();
        let answer = request::body(SASL_CONTINUE, &server_first);
        let client_first_bare = client_first_bare.to_vec();
        let challenge = Challenge { flag, client_first_bare, server_first, nonce };
        self.state = State::Challenged(Box::new(challenge));
        Ok(ServerStep::Continue(answer))
    }

    /// The gs2 header up to its second comma.
    fn read_binding_flag<'a>(
        &self,
        plus: bool,
        message: &'a [u8],
    ) -> Result<(BindingFlag, &'a [u8]), ScramServerError> {
        match message {
            [b'n' | b'y', ..] if plus => malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include \
                 channel binding data.",
            ),
            [b'y', ..] if self.binding.is_some() => Err(ScramServerError::Downgrade),
            [b'n', b',', rest @ ..] => Ok((BindingFlag::No, rest)),
            [b'y', b',', rest @ ..] => Ok((BindingFlag::Yes, rest)),
            [b'n' | b'y', ..] => malformed("Comma expected, but found another character."),
            [b'p', ..] if !plus => malformed(
                "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM \
                 message includes channel binding data.",
            ),
            [b'p', ..] => {
                let mut attributes = Attributes(message);
                match attributes.value(b'p').or_else(malformed)? {
                    b"tls-server-end-point" => Ok((BindingFlag::Bound, attributes.0)),
                    _ => Err(ScramServerError::UnsupportedBinding),
                }
            }
            _ => malformed("Unexpected channel-binding flag."),
        }
    }

    /// `read_client_final_message` and the verdict.
    fn on_final(
        &self,
        challenge: &Challenge,
        message: &[u8],
    ) -> Result<ServerStep, ScramServerError> {
        check_text(message)?;
        let mut attributes = Attributes(message);
        self.check_binding(challenge.flag, attributes.value(b'c').or_else(malformed)?)?;
        let nonce = attributes.value(b'r').or_else(malformed)?;
        let (proof, without_proof) = loop {
            let before = message.len() - attributes.0.len();
            let (name, value) = attributes.any().or_else(malformed)?;
            if name == b'p' {
                // The comma before the proof does not belong to what is signed.
                break (value, message.get(..before.saturating_sub(1)).unwrap_or_default());
            }
        };
        let Some(proof) = BASE64.decode(proof).ok().and_then(|proof| Key::read(&proof)) else {
            return malformed("Malformed proof in client-final-message.");
        };
        if !attributes.is_empty() {
            return malformed("Garbage found at the end of client-final-message.");
        }
        if nonce != challenge.nonce {
            return Err(ScramServerError::NonceMismatch);
        }
        let auth_message = [
            challenge.client_first_bare.as_slice(),
            b",",
            &challenge.server_first,
            b",",
            without_proof,
        ];
        let signature = super::hmac(&self.verifier.stored_key, &auth_message);
        let client_key = ClientKey(super::xor(&proof, &signature));
        // Both sides of the `&` are computed in any case.
        if !(self.verifier.accepts(&client_key) & !self.mock) {
            return Err(ScramServerError::WrongProof);
        }
        let signature = self.verifier.server_key.signature(&auth_message);
        let last = format!("v={}", BASE64.encode(signature.expose()));
        let keys = ScramKeys { client_key, server_key: self.verifier.server_key.clone() };
        Ok(ServerStep::Done { last: request::body(SASL_FINAL, last.as_bytes()), keys })
    }

    fn check_binding(&self, flag: BindingFlag, attribute: &[u8]) -> Result<(), ScramServerError> {
        let (expected, error) = match (flag, &self.binding) {
            (BindingFlag::No, _) => (b"biws".to_vec(), ScramServerError::UnexpectedBinding),
            (BindingFlag::Yes, _) => (b"eSws".to_vec(), ScramServerError::UnexpectedBinding),
            (BindingFlag::Bound, data) => {
                let data = data.as_deref().unwrap_or_default();
                let expected = BASE64.encode([BINDING_HEADER, data].concat());
                (expected.into_bytes(), ScramServerError::BindingMismatch)
            }
        };
        if attribute == expected { Ok(()) } else { Err(error) }
    }
}

/// SCRAM messages are strings: never empty, no NUL.
fn check_text(message: &[u8]) -> Result<(), ScramServerError> {
    if message.is_empty() {
        return malformed("The message is empty.");
    }
    if message.contains(&0) {
        return malformed("Message length does not match input length.");
    }
    Ok(())
}

fn malformed<T>(detail: &'static str) -> Result<T, ScramServerError> {
    Err(ScramServerError::Malformed(detail))
}
