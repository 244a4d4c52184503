//! The side that logs in to Postgres, distrusting it: what the server sends is bounded, and the
//! server must prove that it knows the verifier.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use base64::Engine;

use super::{
    Attributes, BASE64, BINDING_HEADER, ClientKey, SCRAM_SHA_256, SCRAM_SHA_256_PLUS,
    SaltedPassword, ScramKeys, ScramVerifier, ServerKey, is_printable, new_nonce,
};
use crate::auth::request::{AuthenticationRequest, SaslMechanisms};
use crate::auth::secret::{Key, Secret};

/// How often a server may make us hash a password. Fewer is a server that wants to guess it,
/// more one that wants our time.
const ITERATIONS: RangeInclusive<u32> = 4_096..=1_000_000;
/// The longest salt and nonce, in bytes, that we take from a server.
const SALT_LIMIT: usize = 1024;
const NONCE_LIMIT: usize = 1024;
/// The longest message of a server: twice what nonce and salt can need.
const MESSAGE_LIMIT: usize = 8 * 1024;
/// How much of a server's error text is kept.
const ERROR_TEXT_LIMIT: usize = 100;

/// What proves who we are.
#[derive(Clone, Debug)]
pub enum ScramCredentials {
    /// The role's password.
    Password(Secret),
    /// What a client's own login has left behind.
    PassThrough(PassThrough),
}

/// Keys of a client that logged in here, good for every server with the same verifier.
#[derive(Clone, Debug)]
pub struct PassThrough {
    keys: ScramKeys,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl PassThrough {
    /// `verifier` is the one that the client's login was checked against, and the one that the
    /// server must be found to have.
    pub fn new(keys: ScramKeys, verifier: &ScramVerifier) -> Self {
        Self { keys, salt: verifier.salt.clone(), iterations: verifier.iterations }
    }
}

/// Whether the exchange is tied to the TLS connection it runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientBinding {
    /// There is no TLS.
    Unencrypted,
    /// There is, but the server's certificate has no hash to bind to, or binding is switched
    /// off.
    Unavailable,
    /// The hash of the server's certificate; used if the server offers it.
    Preferred(Vec<u8>),
    /// The hash of the server's certificate; a server that does not offer binding is not
    /// logged in to (libpq's `channel_binding=require`).
    Required(Vec<u8>),
}

/// What to do after a server's message.
#[derive(Debug)]
pub enum ClientStep {
    /// Send this body as `p` and wait for the next `R`.
    Send(Vec<u8>),
    /// Compute the salted password, best not on an async thread, or take it from a cache, then
    /// call [`ScramClient::on_salted_password`].
    NeedsSaltedPassword(SaltedPasswordRequest),
    /// The server has proved itself; AuthenticationOk must follow.
    Verified,
    /// AuthenticationOk came.
    Accepted,
}

/// The slow part of a login by password.
#[derive(Clone, Debug)]
pub struct SaltedPasswordRequest {
    /// The password.
    pub password: Secret,
    /// What to hash it with.
    pub salt: Vec<u8>,
    /// How often, at most a million.
    pub iterations: NonZeroU32,
}

impl SaltedPasswordRequest {
    /// Computes it: a millisecond to a fraction of a second.
    pub fn derive(&self) -> SaltedPassword {
        SaltedPassword::derive(&self.password, &self.salt, self.iterations)
    }
}

/// Why a login failed. The connection must be closed after any of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScramClientError {
    /// The server offers neither SCRAM-SHA-256 nor its PLUS form.
    NoMechanism,
    /// Channel binding is required and the server does not offer it.
    BindingNotOffered,
    /// The server offers channel binding on a connection that is not encrypted.
    BindingWithoutTls,
    /// A message that is no SCRAM, or not in its turn.
    Malformed(&'static str),
    /// A nonce that does not begin with ours, adds nothing, or is too long.
    Nonce,
    /// A salt that is empty, too long, or not base64.
    Salt,
    /// Iterations outside of what we accept.
    Iterations(Option<u32>),
    /// Pass-through: the server's verifier is not the one that the client logged in against.
    OtherVerifier,
    /// The server refused, with SCRAM's own error word.
    Refused(String),
    /// The server does not know our verifier: it is not the server we mean.
    ServerSignature,
    /// The server let us in without having proved itself.
    NotProved,
}

impl fmt::Display for ScramClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMechanism => f.write_str("server offers no SASL mechanism that we have"),
            Self::BindingNotOffered => {
                f.write_str("channel binding is required, but the server does not offer it")
            }
            Self::BindingWithoutTls => f.write_str(
                "server offered SCRAM-SHA-256-PLUS authentication over a non-SSL connection",
            ),
            Self::Malformed(what) => write!(f, "malformed SCRAM message: {what}"),
            Self::Nonce => f.write_str("invalid SCRAM response (nonce mismatch)"),
            Self::Salt => f.write_str("malformed SCRAM message (invalid salt)"),
            Self::Iterations(Some(count)) => write!(
                f,
                "server asks for {count} SCRAM iterations, accepted are {} to {}",
                ITERATIONS.start(),
                ITERATIONS.end()
            ),
            Self::Iterations(None) => {
                f.write_str("malformed SCRAM message (invalid iteration count)")
            }
            Self::OtherVerifier => f.write_str(
                "the server stores another SCRAM verifier for this role than the one that the \
                 client logged in with",
            ),
            Self::Refused(word) => write!(f, "server refused the SCRAM exchange: {word}"),
            Self::ServerSignature => f.write_str("incorrect server signature"),
            Self::NotProved => {
                f.write_str("server accepted the login without having proved its identity")
            }
        }
    }
}

impl std::error::Error for ScramClientError {}

/// One login to a server.
///
/// ```text
///   Started ──SASL──▶ Greeted ──SASLContinue──▶ Answered ──SASLFinal──▶ Verified ──Ok──▶ Over
///                        └──▶ Salting ──(salted password)──┘
/// ```
///
/// Any error leads to `Over`.
#[derive(Debug)]
pub struct ScramClient {
    credentials: ScramCredentials,
    binding: ClientBinding,
    nonce: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Started,
    /// client-first-message is sent.
    Greeted {
        header: Vec<u8>,
    },
    /// The salted password is being computed.
    Salting(Challenge),
    /// client-final-message is sent.
    Answered {
        server_signature: Key,
    },
    Verified,
    Over,
}

/// The server's challenge and what is to be signed with it.
#[derive(Debug)]
struct Challenge {
    client_first_bare: Vec<u8>,
    server_first: Vec<u8>,
    without_proof: Vec<u8>,
}

impl ScramClient {
    /// A login that has not begun.
    pub fn new(credentials: ScramCredentials, binding: ClientBinding) -> Self {
        Self { credentials, binding, nonce: new_nonce(), state: State::Started }
    }

    #[cfg(test)]
    pub(super) fn with_nonce(self, nonce: &[u8]) -> Self {
        Self { nonce: nonce.to_vec(), ..self }
    }

    /// Takes the body of an `R` message, beginning with AuthenticationSASL.
    pub fn on_message(&mut self, body: &[u8]) -> Result<ClientStep, ScramClientError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let request = AuthenticationRequest::parse(body)
            .filter(|_| body.len() <= MESSAGE_LIMIT)
            .ok_or(ScramClientError::Malformed("not an authentication request"))?;
        match (state, request) {
            (State::Started, AuthenticationRequest::Sasl(offer)) => self.greet(offer),
            (State::Greeted { header }, AuthenticationRequest::SaslContinue(data)) => {
                self.on_server_first(&header, data)
            }
            (State::Answered { server_signature }, AuthenticationRequest::SaslFinal(data)) => {
                check_server_final(&server_signature, data)?;
                self.state = State::Verified;
                Ok(ClientStep::Verified)
            }
            (State::Verified, AuthenticationRequest::Ok) => Ok(ClientStep::Accepted),
            (_, AuthenticationRequest::Ok) => Err(ScramClientError::NotProved),
            (
                State::Started
                | State::Greeted { .. }
                | State::Salting(_)
                | State::Answered { .. }
                | State::Verified
                | State::Over,
                _,
            ) => Err(ScramClientError::Malformed("out of turn")),
        }
    }

    /// Goes on after [`ClientStep::NeedsSaltedPassword`]; returns the body to send as `p`.
    pub fn on_salted_password(
        &mut self,
        salted: &SaltedPassword,
    ) -> Result<Vec<u8>, ScramClientError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Salting(challenge) => {
                Ok(self.answer(&challenge, &salted.client_key(), &salted.server_key()))
            }
            State::Started
            | State::Greeted { .. }
            | State::Answered { .. }
            | State::Verified
            | State::Over => Err(ScramClientError::Malformed("no challenge to answer")),
        }
    }

    /// client-first-message in SASLInitialResponse.
    fn greet(&mut self, offer: SaslMechanisms) -> Result<ClientStep, ScramClientError> {
        let (mechanism, header) = self.choose(offer)?;
        // The server takes the name from the startup packet and ignores this one.
        let message = [header, b"n=,r=", &self.nonce].concat();
        let len = i32::try_from(message.len())
            .map_err(|_| ScramClientError::Malformed("nonce of ours is too long"))?;
        self.state = State::Greeted { header: header.to_vec() };
        let parts = [mechanism.as_bytes(), &[0], &len.to_be_bytes(), &message];
        Ok(ClientStep::Send(parts.concat()))
    }

    /// The mechanism and its gs2 header (`pg_SASL_init`, `build_client_first_message`).
    fn choose(
        &self,
        offer: SaslMechanisms,
    ) -> Result<(&'static str, &'static [u8]), ScramClientError> {
        let plain = |header: &'static [u8]| {
            offer.scram.then_some((SCRAM_SHA_256, header)).ok_or(ScramClientError::NoMechanism)
        };
        match &self.binding {
            ClientBinding::Unencrypted if offer.scram_plus => {
                Err(ScramClientError::BindingWithoutTls)
            }
            ClientBinding::Unencrypted | ClientBinding::Unavailable => plain(b"n,,"),
            ClientBinding::Preferred(_) | ClientBinding::Required(_) if offer.scram_plus => {
                Ok((SCRAM_SHA_256_PLUS, BINDING_HEADER))
            }
            // We could bind and say so: should the server have offered it to somebody between
            // us, it will notice.
            ClientBinding::Preferred(_) => plain(b"y,,"),
            ClientBinding::Required(_) => Err(ScramClientError::BindingNotOffered),
        }
    }

    /// server-first-message, and the answer where the keys are at hand.
    fn on_server_first(
        &mut self,
        header: &[u8],
        message: &[u8],
    ) -> Result<ClientStep, ScramClientError> {
        let ServerFirst { nonce, salt, iterations } = ServerFirst::read(message, &self.nonce)?;
        let bound_to: &[u8] = match &self.binding {
            ClientBinding::Preferred(data) | ClientBinding::Required(data)
                if header == BINDING_HEADER =>
            {
                data
            }
            ClientBinding::Unencrypted
            | ClientBinding::Unavailable
            | ClientBinding::Preferred(_)
            | ClientBinding::Required(_) => b"",
        };
        let binding = BASE64.encode([header, bound_to].concat());
        let challenge = Challenge {
            client_first_bare: [b"n=,r=", self.nonce.as_slice()].concat(),
            server_first: message.to_vec(),
            without_proof: [b"c=", binding.as_bytes(), b",r=", nonce].concat(),
        };
        match &self.credentials {
            ScramCredentials::PassThrough(ours) => {
                if ours.salt != salt || ours.iterations != iterations {
                    return Err(ScramClientError::OtherVerifier);
                }
                let ScramKeys { client_key, server_key } = ours.keys.clone();
                Ok(ClientStep::Send(self.answer(&challenge, &client_key, &server_key)))
            }
            ScramCredentials::Password(password) => {
                if !ITERATIONS.contains(&iterations.get()) {
                    return Err(ScramClientError::Iterations(Some(iterations.get())));
                }
                let password = password.clone();
                self.state = State::Salting(challenge);
                let request = SaltedPasswordRequest { password, salt, iterations };
                Ok(ClientStep::NeedsSaltedPassword(request))
            }
        }
    }

    /// client-final-message, and what the server must answer.
    fn answer(
        &mut self,
        challenge: &Challenge,
        client_key: &ClientKey,
        server_key: &ServerKey,
    ) -> Vec<u8> {
        let auth_message: [&[u8]; 5] = [
            &challenge.client_first_bare,
            b",",
            &challenge.server_first,
            b",",
            &challenge.without_proof,
        ];
        let proof = BASE64.encode(client_key.proof(&auth_message).expose());
        self.state = State::Answered { server_signature: server_key.signature(&auth_message) };
        [challenge.without_proof.as_slice(), b",p=", proof.as_bytes()].concat()
    }
}

/// server-first-message (`read_server_first_message`), within our bounds.
struct ServerFirst<'a> {
    nonce: &'a [u8],
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl<'a> ServerFirst<'a> {
    fn read(message: &'a [u8], our_nonce: &[u8]) -> Result<Self, ScramClientError> {
        let mut attributes = Attributes(message);
        let nonce = attributes.value(b'r').map_err(ScramClientError::Malformed)?;
        let extends_ours = nonce.len() > our_nonce.len() && nonce.starts_with(our_nonce);
        if !extends_ours || nonce.len() > NONCE_LIMIT || !is_printable(nonce) {
            return Err(ScramClientError::Nonce);
        }
        let salt = attributes.value(b's').map_err(ScramClientError::Malformed)?;
        // Four characters carry three bytes.
        let salt = Some(salt).filter(|salt| salt.len() <= SALT_LIMIT.div_ceil(3) * 4);
        let salt = salt.and_then(|salt| BASE64.decode(salt).ok());
        let Some(salt) = salt.filter(|salt| (1..=SALT_LIMIT).contains(&salt.len())) else {
            return Err(ScramClientError::Salt);
        };
        let iterations = attributes.value(b'i').map_err(ScramClientError::Malformed)?;
        let iterations = read_iterations(iterations).ok_or(ScramClientError::Iterations(None))?;
        if !attributes.is_empty() {
            return Err(ScramClientError::Malformed("garbage at end of server-first-message"));
        }
        Ok(Self { nonce, salt, iterations })
    }
}

/// Digits only, and no zero.
fn read_iterations(text: &[u8]) -> Option<NonZeroU32> {
    let text = str::from_utf8(text).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// server-final-message (`read_server_final_message`, `verify_server_signature`).
fn check_server_final(expected: &Key, message: &[u8]) -> Result<(), ScramClientError> {
    let mut attributes = Attributes(message);
    let (name, value) = attributes.any().map_err(ScramClientError::Malformed)?;
    match name {
        b'e' => {
            let visible = value.iter().filter(|byte| matches!(byte, 0x20..=0x7e));
            let word = visible.take(ERROR_TEXT_LIMIT).map(|&byte| char::from(byte)).collect();
            Err(ScramClientError::Refused(word))
        }
        b'v' if !attributes.is_empty() => {
            Err(ScramClientError::Malformed("garbage at end of server-final-message"))
        }
        b'v' => match BASE64.decode(value) {
            Ok(signature) if expected.matches(&signature) => Ok(()),
            Ok(_) | Err(_) => Err(ScramClientError::ServerSignature),
        },
        _ => Err(ScramClientError::Malformed("no server signature")),
    }
}
