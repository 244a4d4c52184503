//! Why a connection to Postgres could not be made, for the log and for clients.

use std::fmt;
use std::io;

use super::frame::ReadError;
use super::place::ServerAddress;
use crate::auth::scram::ScramClientError;
use crate::net::link::StartTlsError;
use crate::net::tls::TlsContextError;
use crate::wire::Report;
use crate::worker::mail::DialFailure;

/// Why a dial failed. `Display` and `source()` are for the operator's log: they name addresses.
/// What a client may read is [`DialError::failure`].
#[derive(Debug)]
pub enum DialError {
    /// The host's name could not be looked up.
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The address could not be connected to.
    Connect {
        /// The address.
        address: ServerAddress,
        /// Why.
        source: io::Error,
    },
    /// It took longer than `connect_timeout`.
    TimedOut {
        /// What was being done.
        doing: Step,
    },
    /// The files for TLS cannot be used.
    TlsFiles(TlsContextError),
    /// The server does not speak TLS, and `sslmode` insists.
    TlsNotOffered,
    /// The server answered the request for TLS with an error. Its text came unencrypted from
    /// whoever answered and is not shown to anybody (CVE-2024-10977).
    ErrorBeforeTls,
    /// TLS could not be started.
    Tls(StartTlsError),
    /// The connection failed or ended, or a message was too long.
    Read {
        /// What was being done.
        doing: Step,
        /// Why.
        source: ReadError,
    },
    /// Bytes could not be written.
    Write(io::Error),
    /// The server sent what the protocol does not allow at this place.
    Protocol(&'static str),
    /// The server refused with an error of its own.
    Server(Report),
    /// The server wants an authentication that pgweir does not know.
    Method(String),
    /// The server wants the password as it is over a connection that others can read.
    CleartextUnsafe,
    /// The server wants to see a secret, and pgweir has none for this role.
    NoCredential {
        /// The role on the server.
        role: String,
    },
    /// pgweir has a secret, but of a kind that does not serve for what the server wants.
    WrongCredential {
        /// The role on the server.
        role: String,
        /// What it has and what is wanted.
        why: &'static str,
    },
    /// SCRAM failed on pgweir's side: the server broke its rules, or did not prove itself.
    Scram(ScramClientError),
    /// A bug of ours ended the dial.
    Panicked,
}

/// What was being done when a dial failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Looking up the name and connecting.
    Connecting,
    /// Asking for TLS.
    Encrypting,
    /// Logging in.
    LoggingIn,
    /// Asking a question of pgweir's own.
    Asking,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Connecting => "connecting",
            Step::Encrypting => "starting TLS",
            Step::LoggingIn => "logging in",
            Step::Asking => "waiting for an answer",
        })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, .. } => write!(f, "cannot look up host \"{host}\""),
            Self::Connect { address, .. } => write!(f, "cannot connect to {address}"),
            Self::TimedOut { doing } => write!(f, "timed out while {doing}"),
            Self::TlsFiles(_) => {
                f.write_str("cannot use the certificates configured for the server")
            }
            Self::TlsNotOffered => {
                f.write_str("the server does not support TLS, but sslmode requires it")
            }
            Self::ErrorBeforeTls => {
                f.write_str("the server answered the request for TLS with an error")
            }
            Self::Tls(_) => f.write_str("TLS with the server failed"),
            Self::Read { doing, .. } => write!(f, "the connection failed while {doing}"),
            Self::Write(_) => f.write_str("the connection failed while writing"),
            Self::Protocol(what) => write!(f, "the server broke the protocol: {what}"),
            Self::Server(report) => {
                write!(f, "the server refused: {} ({})", report.message, report.sqlstate())
            }
            Self::Method(method) => {
                write!(f, "the server wants {method} authentication, which pgweir does not support")
            }
            Self::CleartextUnsafe => f.write_str(
                "the server wants the password in clear text over an unencrypted connection; \
                 set sslmode=require or change pg_hba.conf",
            ),
            Self::NoCredential { role } => write!(
                f,
                "the server wants a password for role \"{role}\" and pgweir knows none: set \
                 [roles.{role}].password, add the role to [auth].userlist, set server_role and \
                 server_password, or let clients log in with SCRAM so that their keys can be used",
            ),
            Self::WrongCredential { role, why } => {
                write!(f, "what pgweir knows of role \"{role}\" does not serve: {why}")
            }
            Self::Scram(_) => f.write_str("SCRAM authentication with the server failed"),
            Self::Panicked => f.write_str("a bug of pgweir's ended the dial"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { source, .. } | Self::Connect { source, .. } | Self::Write(source) => {
                Some(source)
            }
            Self::TlsFiles(source) => Some(source),
            Self::Tls(source) => Some(source),
            Self::Read { source, .. } => Some(source),
            Self::Scram(source) => Some(source),
            Self::TimedOut { .. }
            | Self::TlsNotOffered
            | Self::ErrorBeforeTls
            | Self::Protocol(_)
            | Self::Server(_)
            | Self::Method(_)
            | Self::CleartextUnsafe
            | Self::NoCredential { .. }
            | Self::WrongCredential { .. }
            | Self::Panicked => None,
        }
    }
}

impl DialError {
    /// What the loop is told, and what clients may read: no address, no secret.
    #[must_use]
    pub fn failure(&self) -> DialFailure {
        DialFailure { report: self.report(), permanent: self.is_permanent() }
    }

    /// Whether trying again will not help until somebody changes something.
    fn is_permanent(&self) -> bool {
        match self {
            Self::Server(report) => {
                report.sqlstate.starts_with(b"28")
                    || matches!(&report.sqlstate, b"3D000" | b"42501")
            }
            Self::Method(_)
            | Self::CleartextUnsafe
            | Self::NoCredential { .. }
            | Self::WrongCredential { .. }
            | Self::Scram(ScramClientError::OtherVerifier) => true,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::TlsFiles(_)
            | Self::TlsNotOffered
            | Self::ErrorBeforeTls
            | Self::Tls(_)
            | Self::Read { .. }
            | Self::Write(_)
            | Self::Protocol(_)
            | Self::Scram(_)
            | Self::Panicked => false,
        }
    }

    /// Whether the next host or address may do better. A server that knows us and says no speaks
    /// for all; one that is starting up or gone does not (libpq goes on after 57P03 as well).
    pub(super) fn next_may_do_better(&self) -> bool {
        match self {
            Self::Server(report) => report.sqlstate == *b"57P03",
            Self::NoCredential { .. } | Self::WrongCredential { .. } | Self::Panicked => false,
            _ => true,
        }
    }

    /// Whether the server's pg_hba.conf turned this kind of connection away.
    pub(super) fn is_hba_refusal(&self) -> bool {
        matches!(self, Self::Server(report) if report.sqlstate == *b"28000")
    }

    /// Whether nothing is known that would prove the role as the server wants it.
    pub fn lacks_credential(&self) -> bool {
        matches!(self, Self::NoCredential { .. } | Self::WrongCredential { .. })
    }

    /// Whether the server knows us and does not let us in, or not into this database.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Server(_)) && self.is_permanent()
    }

    /// Whether the server does not take what proves the role.
    pub(super) fn is_wrong_password(&self) -> bool {
        matches!(self, Self::Server(report) if report.sqlstate == *b"28P01")
    }

    fn report(&self) -> Report {
        let unreachable = |detail: &'static str| {
            Report::fatal(b"08001", "cannot connect to the database server").detail(detail)
        };
        let unprepared = |detail: &'static str| {
            Report::fatal(b"28000", "pgweir cannot log in to the database server as this role")
                .detail(detail)
        };
        match self {
            Self::Server(report) => report.clone(),
            Self::Resolve { .. } => unreachable("Its host name could not be looked up."),
            Self::Connect { source, .. } => unreachable(match source.kind() {
                io::ErrorKind::ConnectionRefused => "The connection was refused.",
                io::ErrorKind::NotFound => "Its Unix socket does not exist.",
                io::ErrorKind::PermissionDenied => "Permission was denied.",
                _ => "The connection could not be made.",
            }),
            Self::TimedOut { .. } => unreachable("It did not answer within connect_timeout."),
            Self::Read { .. } | Self::Write(_) => unreachable("The connection was lost."),
            Self::TlsNotOffered => unreachable("It does not support TLS, which sslmode requires."),
            Self::TlsFiles(_) | Self::ErrorBeforeTls | Self::Tls(_) => {
                unreachable("TLS could not be started.")
            }
            Self::Scram(ScramClientError::OtherVerifier) => {
                unprepared("The database server stores another password for it.")
            }
            Self::Protocol(_) | Self::Scram(_) => {
                Report::fatal(b"08P01", "the database server broke the protocol at login")
            }
            Self::Method(_) => {
                unprepared("The server wants a method that pgweir does not support.")
            }
            Self::CleartextUnsafe => {
                unprepared("The server wants the password in clear text, and there is no TLS.")
            }
            Self::NoCredential { .. } => unprepared("No password is configured for it.")
                .hint("Ask the operator: the role needs a password in pgweir's configuration."),
            Self::WrongCredential { why, .. } => unprepared(why)
                .hint("Ask the operator: the role needs a password in pgweir's configuration."),
            Self::Panicked => Report::fatal(b"XX000", "pgweir hit an internal error"),
        }
    }
}

/// An error with all its causes, for a line of the log.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Enums that only wrap their source say the same twice.
            if text != last {
                write!(f, ": {text}")?;
            }
            last = text;
            cause = error.source();
        }
        Ok(())
    }
}
