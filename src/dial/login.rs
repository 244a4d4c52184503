//! Logging in to Postgres over a connection that is up, TLS and all.

use tokio::io::{AsyncRead, AsyncWrite};

use super::error::{DialError, Step};
use super::frame::{Message, next_message};
use crate::auth::ServerCredential;
use crate::net::link::Link;
use crate::wire::backend::{self, tag};
use crate::wire::handshake::{self, Authentication};
use crate::wire::{Report, TransactionStatus};

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
async fn next<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
) -> Result<Message, DialError> {
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
async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    identity: &Identity<'_>,
    private: bool,
) -> Result<(), DialError> {
    let _ = (identity, private);
    let message = next(link).await?;
    if message.tag != tag::AUTHENTICATION { return Err(DialError::Protocol("x")); }
    match Authentication::read(&message.body) { Some(Authentication::Ok) => Ok(()), _ => Err(DialError::Protocol("y")) }
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
