//! Where a server really is: the address that answered, and TLS as its connection has it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::error::{DialError, Step};
use super::frame::ReadError;
use crate::net::link::Link;
use crate::net::options::set_tcp_options;
use crate::net::socket::{Stream, is_loopback};
use crate::net::tls::ClientTlsContext;
use crate::wire::handshake::ssl_request;

/// One address of a server, after names were looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// The path of a Unix socket; an `@` in front is the abstract namespace.
    Unix(PathBuf),
}

impl ServerAddress {
    /// Whether nothing sent there leaves this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            ServerAddress::Tcp(address) => is_loopback(address.ip()),
            ServerAddress::Unix(_) => true,
        }
    }

    /// Connects, with the options that every connection of ours has.
    ///
    /// Cancel safe: dropping it closes the socket.
    ///
    /// # Errors
    /// The system's.
    pub async fn connect(&self) -> io::Result<Stream> {
        match self {
            ServerAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                set_tcp_options(&stream)?;
                Ok(Stream::Tcp(stream))
            }
            // tokio takes a path that starts with a NUL byte for an abstract name.
            ServerAddress::Unix(path) => {
                let abstract_name = path.to_str().and_then(|text| text.strip_prefix('@'));
                let stream = match abstract_name {
                    Some(name) => UnixStream::connect(format!("\0{name}")).await?,
                    None => UnixStream::connect(path).await?,
                };
                Ok(Stream::Unix(stream))
            }
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerAddress::Tcp(address) => address.fmt(f),
            ServerAddress::Unix(path) => path.display().fmt(f),
        }
    }
}

/// TLS towards a server: whom to trust, and the name that its certificate is held against.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Trust, and our own certificate.
    pub context: ClientTlsContext,
    /// The host as the configuration names it.
    pub host: String,
}

impl ServerTls {
    /// Asks the server for TLS and starts it; `false` when the server has none.
    ///
    /// Not cancel safe: give the link up.
    ///
    /// # Errors
    /// The server answered with something else, or the handshake failed.
    pub async fn start<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        link: &mut Link<S>,
    ) -> Result<bool, DialError> {
        let lost = |source| DialError::Read { doing: Step::Encrypting, source };
        link.write_all(&ssl_request()).await.map_err(DialError::Write)?;
        while link.unread().is_empty() {
            if link.fill().await.map_err(|error| lost(ReadError::Io(error)))? == 0 {
                return Err(lost(ReadError::Closed));
            }
        }
        let answer = link.unread().first().copied();
        match answer {
            Some(b'S') => {
                link.consume(1);
                // Refuses when anything came behind the `S` (CVE-2021-23222).
                link.start_tls_client(&self.context, &self.host).await.map_err(DialError::Tls)?;
                Ok(true)
            }
            Some(b'N') => {
                link.consume(1);
                if !link.unread().is_empty() {
                    return Err(DialError::Protocol("bytes behind its answer to the TLS request"));
                }
                Ok(false)
            }
            Some(b'E') => Err(DialError::ErrorBeforeTls),
            _ => Err(DialError::Protocol("an answer to the TLS request that is none")),
        }
    }
}
