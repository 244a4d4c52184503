//! A connected socket, TCP or Unix: as the hall holds it (tokio) and as a loop holds it (mio).

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket on a loop: nonblocking, registered with that loop's poll.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(mio::net::TcpStream),
    /// A Unix socket.
    Unix(mio::net::UnixStream),
}

/// Does the same with either kind of socket.
macro_rules! either {
    ($socket:expr, $inner:ident => $what:expr) => {
        match $socket {
            Self::Tcp($inner) => $what,
            Self::Unix($inner) => $what,
        }
    };
}

impl Socket {
    /// Closes one or both directions.
    ///
    /// # Errors
    /// The system's, such as "not connected".
    pub fn shutdown(&self, how: std::net::Shutdown) -> io::Result<()> {
        either!(self, socket => socket.shutdown(how))
    }
}

/// The two addresses of a TCP connection; none of a Unix socket, or of one that is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The other side's.
    pub peer: Option<SocketAddr>,
    /// Ours.
    pub local: Option<SocketAddr>,
}

impl Socket {
    /// The addresses, asked of the system.
    #[must_use]
    pub fn ends(&self) -> Ends {
        match self {
            Self::Tcp(socket) => {
                Ends { peer: socket.peer_addr().ok(), local: socket.local_addr().ok() }
            }
            Self::Unix(_) => Ends::default(),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => socket.read(into))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.write(bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, socket => socket.write_vectored(pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        either!(self, socket => socket.register(registry, token, what))
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        either!(self, socket => socket.reregister(registry, token, what))
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        either!(self, socket => socket.deregister(registry))
    }
}

/// A socket in the hall.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(tokio::net::TcpStream),
    /// A Unix socket.
    Unix(tokio::net::UnixStream),
}

impl Stream {
    /// Takes the socket away from tokio, for a loop.
    ///
    /// # Errors
    /// The socket could not be taken out of tokio's poll.
    pub fn into_socket(self) -> io::Result<Socket> {
        // Both stay nonblocking on the way, which is what mio demands.
        Ok(match self {
            Self::Tcp(stream) => Socket::Tcp(mio::net::TcpStream::from_std(stream.into_std()?)),
            Self::Unix(stream) => Socket::Unix(mio::net::UnixStream::from_std(stream.into_std()?)),
        })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(context, into))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A process on this machine, through a Unix socket.
    Unix {
        /// The user that it runs as, where the system says so.
        uid: Option<u32>,
    },
}

impl Peer {
    /// Whether the connection never leaves this machine.
    #[must_use]
    pub fn is_local(self) -> bool {
        match self {
            Peer::Unix { .. } => true,
            Peer::Tcp(address) => is_loopback(address.ip()),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix { uid: None } => f.write_str("unix"),
            Peer::Unix { uid: Some(uid) } => write!(f, "unix:{uid}"),
        }
    }
}

/// Whether an address is this machine's loopback, also when written as IPv4 in IPv6.
#[must_use]
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
