//! A small client of the demo: logs in, runs statements by the simple and the extended protocol.
//!
//! Deliberately absent: TLS, COPY, named statements, binary formats, and any belief about whom it talks to: the same
//! client is used straight at Postgres and through pgweir.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::auth::request::AuthenticationRequest;
use crate::auth::scram::{ClientBinding, ClientStep, ScramClient, ScramCredentials};
use crate::auth::secret::Secret;
use crate::wire::backend::tag;
use crate::wire::frame::{self, HEADER_LEN};
use crate::wire::{Report, build, frontend, handshake};

/// The longest message that the demo expects.
const MESSAGE_LIMIT: u32 = 1024 * 1024;
/// How long any one answer may take before that counts as a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who logs in where.
#[derive(Clone, Debug)]
pub struct Login {
    /// Postgres, or pgweir.
    pub address: SocketAddr,
    /// The role.
    pub role: &'static str,
    /// Its password.
    pub password: &'static str,
    /// The database.
    pub database: &'static str,
    /// What the client calls itself: a parameter of the session.
    pub application_name: String,
}

/// Why a client did not get its answer.
#[derive(Debug)]
pub enum ClientError {
    /// The server answered with an error.
    Refused(Box<Report>),
    /// The connection failed.
    Io(io::Error),
    /// The server sent something that does not belong there.
    Protocol(&'static str),
    /// No answer within half a minute.
    Silence,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(report) => {
                write!(f, "{} {}", String::from_utf8_lossy(&report.sqlstate), report.message)?;
                report.detail.as_ref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
            }
            Self::Io(error) => error.fmt(f),
            Self::Protocol(what) => write!(f, "unexpected answer: {what}"),
            Self::Silence => write!(f, "no answer within {} s", PATIENCE.as_secs()),
        }
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The answer to one request.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its rows.
    pub rows: Vec<Vec<Option<String>>>,
    /// The last command tag.
    pub command: String,
}

impl Answer {
    /// The first row.
    pub fn row(&self) -> Option<&[Option<String>]> {
        self.rows.first().map(Vec::as_slice)
    }
}

/// A logged-in session.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    taken: usize,
}

impl Client {
    /// Connects and logs in.
    pub async fn log_in(login: &Login) -> Result<Self, ClientError> {
        timeout(PATIENCE, Self::log_in_without_limit(login))
            .await
            .map_err(|_| ClientError::Silence)?
    }

    async fn log_in_without_limit(login: &Login) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(login.address).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { stream, read: Vec::with_capacity(1024), taken: 0 };
        let parameters = [
            ("user", login.role),
            ("database", login.database),
            ("application_name", &login.application_name),
        ];
        client.stream.write_all(&handshake::startup_message(parameters)).await?;
        let password = ScramCredentials::Password(Secret::new(login.password));
        let mut scram = ScramClient::new(password, ClientBinding::Unencrypted);
        loop {
            let (kind, body) = client.message().await?;
            match kind {
                tag::AUTHENTICATION
                    if AuthenticationRequest::parse(&body) != Some(AuthenticationRequest::Ok) =>
                {
                    let answer = answer_scram(&mut scram, &body)?;
                    client.stream.write_all(&answer).await?;
                }
                tag::ERROR_RESPONSE => return Err(refused(&body)),
                tag::READY_FOR_QUERY => return Ok(client),
                // AuthenticationOk, ParameterStatus, BackendKeyData.
                _ => {}
            }
        }
    }

    /// Runs a statement with parameters by the extended protocol, as drivers do: Parse, Bind,
    /// Execute and Sync of the unnamed statement in one write.
    pub async fn execute(&mut self, text: &str, values: &[&str]) -> Result<Answer, ClientError> {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let mut out = Vec::with_capacity(256);
        // The text, its NUL, and no parameter types.
        build::parse(&mut out, b"", &[text.as_bytes(), &[0, 0, 0]].concat());
        handshake::bind_texts(&mut out, &values);
        handshake::execute(&mut out, 0);
        build::sync(&mut out);
        self.request(&out).await
    }

    /// Runs a simple query.
    pub async fn query(&mut self, text: &str) -> Result<Answer, ClientError> {
        let mut out = Vec::with_capacity(128);
        build::query(&mut out, text.as_bytes());
        self.request(&out).await
    }

    /// Says goodbye.
    pub async fn leave(mut self) {
        // Whoever is gone already needs no goodbye.
        let _ = self.stream.write_all(&build::TERMINATE).await;
    }

    /// Sends messages and reads up to ReadyForQuery.
    async fn request(&mut self, messages: &[u8]) -> Result<Answer, ClientError> {
        timeout(PATIENCE, async {
            self.stream.write_all(messages).await?;
            self.answer().await
        })
        .await
        .map_err(|_| ClientError::Silence)?
    }

    async fn answer(&mut self) -> Result<Answer, ClientError> {
        let mut answer = Answer::default();
        let mut error = None;
        loop {
            let (kind, body) = match self.message().await {
                Ok(message) => message,
                // A FATAL error is followed by the end of the connection.
                Err(closed) => return Err(error.unwrap_or(closed)),
            };
            match kind {
                tag::DATA_ROW => answer.rows.push(texts(&body)?),
                tag::COMMAND_COMPLETE => {
                    let text = body.strip_suffix(&[0]).unwrap_or(&body);
                    answer.command = String::from_utf8_lossy(text).into_owned();
                }
                tag::ERROR_RESPONSE => error = Some(refused(&body)),
                tag::READY_FOR_QUERY => return error.map_or(Ok(answer), Err),
                _ => {}
            }
        }
    }

    /// The next message's tag and body.
    async fn message(&mut self) -> Result<(u8, Vec<u8>), ClientError> {
        loop {
            let unread = self.read.get(self.taken..).unwrap_or_default();
            let header = frame::header(unread, MESSAGE_LIMIT)
                .map_err(|_| ClientError::Protocol("a message of an impossible length"))?;
            if let Some(header) = header
                && let Some(body) = unread.get(HEADER_LEN..header.frame_len())
            {
                let body = body.to_vec();
                self.taken += header.frame_len();
                return Ok((header.tag, body));
            }
            self.read.drain(..self.taken);
            self.taken = 0;
            if self.stream.read_buf(&mut self.read).await? == 0 {
                let closed = io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed");
                return Err(ClientError::Io(closed));
            }
        }
    }
}

fn refused(body: &[u8]) -> ClientError {
    ClientError::Refused(Box::new(Report::from_server(body)))
}

/// The next message of the client's login; empty when the server is not owed one.
fn answer_scram(scram: &mut ScramClient, request: &[u8]) -> Result<Vec<u8>, ClientError> {
    let wrong = |_| ClientError::Protocol("an authentication request that is no SCRAM-SHA-256");
    let body = match scram.on_message(request).map_err(wrong)? {
        ClientStep::Send(body) => body,
        ClientStep::NeedsSaltedPassword(request) => {
            scram.on_salted_password(&request.derive()).map_err(wrong)?
        }
        ClientStep::Verified | ClientStep::Accepted => return Ok(Vec::new()),
    };
    let mut out = Vec::with_capacity(256);
    handshake::message(&mut out, frontend::tag::PASSWORD, &body);
    Ok(out)
}

fn texts(body: &[u8]) -> Result<Vec<Option<String>>, ClientError> {
    let columns = handshake::data_row(body).ok_or(ClientError::Protocol("a broken DataRow"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(columns.into_iter().map(|column| column.map(text)).collect())
}
