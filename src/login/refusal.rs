//! How a login ends when it does not succeed: what the client is told, what the log says, and a
//! close that lets the client read it.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::dial::frame::ReadError;
use crate::net::link::{Link, StartTlsError};
use crate::wire::Report;
use crate::wire::startup::StartupError;

/// Why a connection did not become a session.
#[derive(Debug)]
pub enum Refusal {
    /// The client closed the connection.
    Left,
    /// The client's first bytes are not of this protocol; it is told nothing.
    Garbage(StartupError),
    /// It began TLS at once, and there is none for it.
    DirectTlsUnavailable,
    /// TLS could not be started.
    Tls(StartTlsError),
    /// The connection failed.
    Io(io::Error),
    /// The client is told why.
    Told {
        /// What it is told.
        report: Box<Report>,
        /// What only the log says.
        reason: Option<String>,
    },
}

impl From<Report> for Refusal {
    fn from(report: Report) -> Self {
        Refusal::Told { report: Box::new(report), reason: None }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Refusal::Left,
            ReadError::Io(error) => Refusal::Io(error),
            ReadError::Frame(error) => Report::fatal(b"08P01", error.to_string()).into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client closed the connection before it was logged in"),
            Self::Garbage(error) => write!(f, "not a Postgres client: {error}"),
            Self::DirectTlsUnavailable => f.write_str("the client began TLS, and there is none"),
            Self::Tls(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Told { report, reason } => {
                f.write_str(&report.message)?;
                match reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Refusal {
    /// The same with a reason for the log only.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Self {
        match self {
            Refusal::Told { report, .. } => Refusal::Told { report, reason: Some(why.into()) },
            other => other,
        }
    }

    /// What the client is told, if anything.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            Refusal::Told { report, .. } => Some(report),
            _ => None,
        }
    }
}

/// How long a client may take to read why it was refused.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);
/// How much it may still send meanwhile.
const GOODBYE_BYTES: usize = 64 * 1024;

/// Says `report`, if any, and closes so that the client can read it: closing a socket with
/// unread bytes resets the connection, and a reset throws away what the client has not read.
///
/// Cancel safe: it only ever ends the connection.
pub async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    report: Option<&Report>,
) {
    let goodbye = async {
        if let Some(report) = report {
            link.write_all(&report.to_bytes()).await?;
        }
        link.shutdown().await?;
        let mut drained = 0;
        while drained < GOODBYE_BYTES {
            link.consume(usize::MAX);
            match link.fill().await? {
                0 => break,
                n => drained += n,
            }
        }
        io::Result::Ok(())
    };
    // A client that does not listen has nobody else to tell.
    let _ = timeout(GOODBYE_LIMIT, goodbye).await;
}
