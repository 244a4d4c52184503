//! Logging in to Postgres over a connection that is up, TLS and all.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use super::error::{DialError, Step};
use super::frame::{Message, next_message};
use crate::auth::ServerCredential;
use crate::auth::certificate::tls_server_end_point;
use crate::auth::password::{Md5Hash, cleartext_answer};
use crate::auth::request::AuthenticationRequest;
use crate::auth::scram::{
    ClientBinding, ClientStep, SaltedPassword, SaltedPasswordRequest, ScramClient, ScramCredentials,
};
use crate::net::link::Link;
use crate::wire::backend::{self, tag};
use crate::wire::handshake;
use crate::wire::{Report, TransactionStatus, frontend};

/// Length word of an authentication or greeting message at most.
const MESSAGE_LIMIT: u32 = 16 * 1024;
/// Length word of an error or notice at most.
const REPORT_LIMIT: u32 = 64 * 1024;
/// Messages until ReadyForQuery; a server that sends more keeps us busy on purpose.
const MESSAGES_LIMIT: usize = 1_000;

/// Who logs in, and where to.
#[derive(Debug)]
pub struct Identity<'a> {
    /// The role on the server.
    pub role: &'a str,
    /// The database on the server.
    pub database: &'a str,
    /// What proves the role, if anything is known.
    pub credential: Option<ServerCredential>,
    /// Further parameters of the startup packet.
    pub parameters: Vec<(&'a str, &'a str)>,
}

/// What the server said at login.
#[derive(Debug)]
pub struct LoggedIn {
    /// ParameterStatus values in order.
    pub statuses: Vec<(Vec<u8>, Vec<u8>)>,
    /// BackendKeyData.
    pub key: Option<(i32, Vec<u8>)>,
}

/// Logs in: from the StartupMessage to the first ReadyForQuery. `private`: nobody else can read
/// the connection.
///
/// Not cancel safe: give the link up.
///
/// # Errors
/// The server refused, broke the protocol, or wants what we do not have.
pub async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    identity: &Identity<'_>,
    private: bool,
) -> Result<LoggedIn, DialError> {
    let named = [("user", identity.role), ("database", identity.database)];
    let parameters = named.into_iter().chain(identity.parameters.iter().copied());
    let packet = handshake::startup_message(parameters);
    link.write_all(&packet).await.map_err(DialError::Write)?;
    authenticate(link, identity, private).await?;
    greeting(link).await
}

/// The next message, notices left out and errors turned into one.
async fn next<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>) -> Result<Message, DialError> {
    let limit = |kind| match kind {
        tag::ERROR_RESPONSE | tag::NOTICE_RESPONSE => REPORT_LIMIT,
        _ => MESSAGE_LIMIT,
    };
    for _ in 0..MESSAGES_LIMIT {
        let message = next_message(link, limit)
            .await
            .map_err(|source| DialError::Read { doing: Step::LoggingIn, source })?;
        match message.tag {
            tag::ERROR_RESPONSE => {
                return Err(DialError::Server(Report::from_server(&message.body)));
            }
            // Postgres 19 warns of MD5 passwords here.
            tag::NOTICE_RESPONSE => {
                let notice = Report::from_server(&message.body);
                tracing::debug!("the server says at login: {}", notice.message);
            }
            _ => return Ok(message),
        }
    }
    Err(DialError::Protocol("too many notices at login"))
}

/// From the StartupMessage to AuthenticationOk.
///
/// The server chooses one method. One that asks a second time, or lets us in before it has proved
/// itself where the method has it do so, is not the server that we mean.
async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    identity: &Identity<'_>,
    private: bool,
) -> Result<(), DialError> {
    let body = next_request(link).await?;
    let answer = match read_request(&body)? {
        AuthenticationRequest::Ok => return Ok(()),
        AuthenticationRequest::CleartextPassword => cleartext(identity, private)?,
        AuthenticationRequest::Md5Password(salt) => md5(identity, salt)?,
        AuthenticationRequest::Sasl(_) => return scram(link, identity, &body).await,
        AuthenticationRequest::SaslContinue(_) | AuthenticationRequest::SaslFinal(_) => {
            return Err(DialError::Protocol("SASL that was not begun"));
        }
        AuthenticationRequest::Unsupported(code) => return Err(DialError::Method(method(code))),
    };
    send_password(link, &answer).await?;
    match read_request(&next_request(link).await?)? {
        AuthenticationRequest::Ok => Ok(()),
        _ => Err(DialError::Protocol("a second request for authentication")),
    }
}

/// The body of the next message, which must be an authentication request.
async fn next_request<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
) -> Result<Vec<u8>, DialError> {
    let message = next(link).await?;
    match message.tag {
        tag::AUTHENTICATION => Ok(message.body),
        tag::NEGOTIATE_PROTOCOL_VERSION => {
            Err(DialError::Protocol("it does not speak version 3.0"))
        }
        _ => Err(DialError::Protocol("no authentication request where one is due")),
    }
}

fn read_request(body: &[u8]) -> Result<AuthenticationRequest<'_>, DialError> {
    AuthenticationRequest::parse(body)
        .ok_or(DialError::Protocol("an authentication request that is none"))
}

async fn send_password<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    body: &[u8],
) -> Result<(), DialError> {
    let mut message = Vec::with_capacity(body.len() + 5);
    handshake::message(&mut message, frontend::tag::PASSWORD, body);
    link.write_all(&message).await.map_err(DialError::Write)
}

/// The manual's names of the methods that are not ours.
fn method(code: i32) -> String {
    match code {
        2 => "Kerberos".to_owned(),
        7 | 8 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        code => format!("unknown ({code})"),
    }
}

fn cleartext(identity: &Identity<'_>, private: bool) -> Result<Vec<u8>, DialError> {
    if !private {
        return Err(DialError::CleartextUnsafe);
    }
    let why = "The server wants the password itself, and only a hash or keys are known.";
    match identity.credential()? {
        ServerCredential::Password(password) => cleartext_answer(password)
            .ok_or_else(|| identity.wrong("The password has a NUL byte in it.")),
        ServerCredential::Md5(_) | ServerCredential::PassThrough(_) => Err(identity.wrong(why)),
    }
}

fn md5(identity: &Identity<'_>, salt: [u8; 4]) -> Result<Vec<u8>, DialError> {
    match identity.credential()? {
        ServerCredential::Password(password) => {
            Ok(Md5Hash::of(password.expose(), identity.role.as_bytes()).answer(salt))
        }
        ServerCredential::Md5(hash) => Ok(hash.answer(salt)),
        ServerCredential::PassThrough(_) => Err(identity
            .wrong("The server wants MD5, and only the SCRAM keys of a client's login are known.")),
    }
}

/// SCRAM, from AuthenticationSASL (`offer` is its body) to AuthenticationOk.
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    identity: &Identity<'_>,
    offer: &[u8],
) -> Result<(), DialError> {
    let credentials = match identity.credential()?.clone() {
        ServerCredential::Password(password) => ScramCredentials::Password(password),
        ServerCredential::PassThrough(keys) => ScramCredentials::PassThrough(keys),
        ServerCredential::Md5(_) => {
            return Err(identity.wrong("The server wants SCRAM, and only an MD5 hash is known."));
        }
    };
    let mut exchange = ScramClient::new(credentials, binding(link));
    let mut step = exchange.on_message(offer).map_err(DialError::Scram)?;
    loop {
        match step {
            ClientStep::Send(body) => send_password(link, &body).await?,
            ClientStep::NeedsSaltedPassword(request) => {
                let salted = derive(request).await?;
                let body = exchange.on_salted_password(&salted).map_err(DialError::Scram)?;
                send_password(link, &body).await?;
            }
            ClientStep::Verified => {}
            ClientStep::Accepted => return Ok(()),
        }
        let body = next_request(link).await?;
        step = exchange.on_message(&body).map_err(DialError::Scram)?;
    }
}

/// What ties SCRAM to the TLS connection that it runs in.
fn binding<S: AsyncRead + AsyncWrite + Unpin>(link: &Link<S>) -> ClientBinding {
    match link.tls() {
        None => ClientBinding::Unencrypted,
        Some(tls) => tls
            .peer_certificate()
            .and_then(tls_server_end_point)
            .map_or(ClientBinding::Unavailable, ClientBinding::Preferred),
    }
}

/// Passwords hashed at a time, process-wide: a server may ask for a million iterations.
static HASHING: Semaphore = Semaphore::const_new(4);

async fn derive(request: SaltedPasswordRequest) -> Result<SaltedPassword, DialError> {
    let _place = HASHING.acquire().await;
    tokio::task::spawn_blocking(move || request.derive()).await.map_err(|_| DialError::Panicked)
}

impl Identity<'_> {
    fn credential(&self) -> Result<&ServerCredential, DialError> {
        let unknown = || DialError::NoCredential { role: self.role.to_owned() };
        self.credential.as_ref().ok_or_else(unknown)
    }

    fn wrong(&self, why: &'static str) -> DialError {
        DialError::WrongCredential { role: self.role.to_owned(), why }
    }
}

/// From AuthenticationOk to the first ReadyForQuery.
async fn greeting<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
) -> Result<LoggedIn, DialError> {
    let mut logged_in = LoggedIn { statuses: Vec::new(), key: None };
    for _ in 0..MESSAGES_LIMIT {
        let message = next(link).await?;
        match message.tag {
            tag::PARAMETER_STATUS => {
                let (name, value) = backend::parameter_status(&message.body)
                    .ok_or(DialError::Protocol("a ParameterStatus that is none"))?;
                logged_in.statuses.push((name.to_vec(), value.to_vec()));
            }
            tag::BACKEND_KEY_DATA => {
                let (pid, secret) = backend::backend_key_data(&message.body)
                    .ok_or(DialError::Protocol("a BackendKeyData that is none"))?;
                logged_in.key = Some((pid, secret.to_vec()));
            }
            tag::READY_FOR_QUERY => {
                let idle = [TransactionStatus::Idle.byte()];
                return if message.body == idle {
                    Ok(logged_in)
                } else {
                    Err(DialError::Protocol("a session that begins inside a transaction"))
                };
            }
            _ => return Err(DialError::Protocol("a message out of place at login")),
        }
    }
    Err(DialError::Protocol("too many messages at login"))
}
