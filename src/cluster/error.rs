//! What can go wrong while a throw-away Postgres is found, built or run.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a cluster could not be started, or did not do what was asked of it.
#[derive(Debug)]
pub enum ClusterError {
    /// No folder holds both `initdb` and `postgres`.
    NoPostgres {
        /// The major version that was asked for; `None` when any would do.
        major: Option<u32>,
        /// Every folder that was looked into.
        searched: Vec<PathBuf>,
    },
    /// `PGWEIR_PG_MAJOR` is no major version.
    NotAMajor {
        /// What it is.
        text: String,
    },
    /// A program of Postgres (or the system) ended with a failure.
    Program {
        /// The program, as it was started.
        program: String,
        /// What it wrote to standard error.
        output: String,
    },
    /// Postgres started but did not become ready, or ended at once.
    NotReady {
        /// What was awaited.
        awaited: String,
        /// The last lines of its log.
        log: String,
    },
    /// Postgres answered a statement of ours with an error.
    Refused {
        /// The five characters of the error's SQLSTATE.
        sqlstate: String,
        /// The server's message.
        message: String,
        /// The statement.
        statement: String,
    },
    /// The server sent bytes that this small client does not understand.
    Protocol(String),
    /// A file, a socket or a process could not be used.
    Io {
        /// What was being done.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPostgres { major, searched } => {
                match major {
                    Some(major) => write!(f, "no Postgres {major} found")?,
                    None => write!(f, "no Postgres found")?,
                }
                write!(f, " (looked for initdb and postgres in")?;
                for folder in searched {
                    write!(f, " {}", folder.display())?;
                }
                let package = major.map_or("postgresql".to_owned(), |m| format!("postgresql-{m}"));
                write!(
                    f,
                    "). Install it (Debian and Ubuntu: apt-get install {package}) or name the \
                     folder of its programs in PGWEIR_PG_BIN"
                )
            }
            Self::NotAMajor { text } => {
                write!(f, "PGWEIR_PG_MAJOR is {text:?}: write a major version, such as 17")
            }
            Self::Program { program, output } => write!(f, "{program} failed: {}", output.trim()),
            Self::NotReady { awaited, log } => {
                write!(f, "Postgres did not get there: {awaited}. The end of its log:\n{log}")
            }
            Self::Refused { sqlstate, message, statement } => {
                write!(f, "Postgres refused {statement:?}: {sqlstate} {message}")
            }
            Self::Protocol(what) => write!(f, "unexpected answer from Postgres: {what}"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for ClusterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::NoPostgres { .. }
            | Self::NotAMajor { .. }
            | Self::Program { .. }
            | Self::NotReady { .. }
            | Self::Refused { .. }
            | Self::Protocol(_) => None,
        }
    }
}

/// Adds to an `io::Error` what was being done.
pub(super) trait Doing<T> {
    /// Names the deed in the error.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ClusterError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, ClusterError> {
        self.map_err(|source| ClusterError::Io { doing: what(), source })
    }
}
