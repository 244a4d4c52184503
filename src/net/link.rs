//! A connection during its login: a stream, plain or TLS, with the bytes that are read and not
//! yet used.
//!
//! Generic over the stream, so that tests need no socket. When the login is over,
//! [`Link::into_parts`] takes it apart for the data plane, which drives the [`TlsSession`] with
//! buffers of its own. Deliberately absent: messages, timeouts, and who the peer is.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::tls::{ALPN, ClientTlsContext, ServerTlsContext, TlsError, TlsSession};

/// How much is asked of the stream at once.
const READ_LEN: usize = 4 * 1024;
/// The most plain bytes a link keeps unread, unless told otherwise.
const UNREAD_LIMIT: usize = 64 * 1024;

/// Why a connection could not be switched to TLS.
#[derive(Debug)]
pub enum StartTlsError {
    /// Bytes came unencrypted together with the request for TLS, or with its answer. Somebody
    /// between us and the peer may have put them there (CVE-2021-23214, CVE-2021-23222).
    UnencryptedData,
    /// The connection speaks TLS already.
    AlreadyTls,
    /// TLS without a request for it, and the client did not name the protocol (ALPN), as
    /// Postgres demands: the bytes might be meant for another service (the ALPACA attack).
    NoAlpn,
    /// The peer closed the connection during the handshake.
    Closed,
    /// The handshake failed.
    Tls(TlsError),
    /// The stream failed.
    Io(io::Error),
}

impl fmt::Display for StartTlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnencryptedData => f.write_str("received unencrypted data at the start of TLS"),
            Self::AlreadyTls => f.write_str("the connection is encrypted already"),
            Self::NoAlpn => f.write_str(
                "received direct SSL connection request without ALPN protocol negotiation extension",
            ),
            Self::Closed => f.write_str("the connection was closed during the TLS handshake"),
            Self::Tls(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartTlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::UnencryptedData | Self::AlreadyTls | Self::NoAlpn | Self::Closed => None,
        }
    }
}

impl From<TlsError> for StartTlsError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<io::Error> for StartTlsError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A stream with what was read from it and not used, and what is to be written to it.
#[derive(Debug)]
pub struct Link<S> {
    io: S,
    tls: Option<Box<TlsSession>>,
    /// Bytes as they came, an unfinished record. Always empty without TLS.
    undecrypted: Vec<u8>,
    /// Plain bytes that the owner has not consumed.
    unread: Vec<u8>,
    /// Bytes as they go, that the stream has not taken yet.
    unsent: Vec<u8>,
    unread_limit: usize,
}

/// A [`Link`] taken apart.
#[derive(Debug)]
pub struct LinkParts<S> {
    /// The stream.
    pub io: S,
    /// The TLS connection over it.
    pub tls: Option<Box<TlsSession>>,
    /// Received bytes that TLS has not consumed; they go before whatever is read next.
    pub undecrypted: Vec<u8>,
    /// Plain bytes received and not yet consumed. The new owner must process them before it
    /// waits: no readiness event will come for them.
    pub unread: Vec<u8>,
    /// Bytes, encrypted where TLS is on, that must be written before anything else. Empty after
    /// [`Link::flush`].
    pub unsent: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// A plain connection of which nothing was read.
    pub fn new(io: S) -> Self {
        Self {
            io,
            tls: None,
            undecrypted: Vec::new(),
            unread: Vec::new(),
            unsent: Vec::new(),
            unread_limit: UNREAD_LIMIT,
        }
    }

    /// Sets how many plain bytes may wait unread, in place of 64 KB. A peer that sends more
    /// before it is asked to makes [`Self::fill`] fail. One record (16 KB) may come on top.
    pub fn with_unread_limit(mut self, bytes: usize) -> Self {
        self.unread_limit = bytes;
        self
    }

    /// Plain bytes received and not yet consumed.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Drops `len` bytes from the front of [`Self::unread`], or all that there are.
    pub fn consume(&mut self, len: usize) {
        self.unread.drain(..len.min(self.unread.len()));
    }

    /// The stream itself, for its socket options and addresses.
    pub fn io(&self) -> &S {
        &self.io
    }

    /// The TLS connection, once started.
    pub fn tls(&self) -> Option<&TlsSession> {
        self.tls.as_deref()
    }

    /// Reads more into [`Self::unread`] and says how many plain bytes came; 0 is the end of the
    /// stream (also when a TLS peer leaves without close_notify: messages carry their length, so
    /// a cut is noticed where it matters). Writes first what is still to be written.
    ///
    /// Cancel safe: whatever was read or is still to be written stays in the link.
    pub async fn fill(&mut self) -> io::Result<usize> {
        if self.unread.len() >= self.unread_limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer sent more than it may before it was answered",
            ));
        }
        let before = self.unread.len();
        loop {
            self.flush().await?;
            match &self.tls {
                None => {
                    self.unread.reserve(READ_LEN);
                    return self.io.read_buf(&mut self.unread).await;
                }
                Some(tls) if tls.peer_closed() => return Ok(0),
                Some(_) => {}
            }
            self.undecrypted.reserve(READ_LEN);
            if self.io.read_buf(&mut self.undecrypted).await? == 0 {
                return Ok(0);
            }
            let closed = self.decrypt().map_err(io::Error::other)?;
            let came = self.unread.len() - before;
            if closed || came > 0 {
                return Ok(came);
            }
        }
    }

    /// Writes all of `bytes`, encrypted where TLS is on.
    ///
    /// Cancel safe in so far as nothing is written twice or in halves: what the stream has not
    /// taken is written by the next call of any method that writes, or left to
    /// [`LinkParts::unsent`].
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.unsent.extend_from_slice(bytes),
            Some(tls) => tls.send(bytes, &mut self.unsent).map_err(io::Error::other)?,
        }
        self.flush().await
    }

    /// Writes what earlier calls could not. Cancel safe.
    pub async fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let written = self.io.write(&self.unsent).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.unsent.drain(..written);
        }
        self.io.flush().await
    }

    /// Says goodbye (close_notify where TLS is on) and closes the writing side. Cancel safe.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.close_notify(&mut self.unsent).map_err(io::Error::other)?;
        }
        self.flush().await?;
        self.io.shutdown().await
    }

    /// Begins TLS with a client. `direct`: the client did not ask, the bytes in
    /// [`Self::unread`] are its ClientHello. Otherwise the request is consumed and `S` is
    /// written before this call, and nothing may be unread.
    ///
    /// Not cancel safe: give the link up.
    pub async fn start_tls_server(
        &mut self,
        context: &ServerTlsContext,
        direct: bool,
    ) -> Result<(), StartTlsError> {
        if self.tls.is_some() {
            return Err(StartTlsError::AlreadyTls);
        }
        if direct {
            self.undecrypted = std::mem::take(&mut self.unread);
        }
        self.handshake(context.session()?).await?;
        let alpn = self.tls().and_then(TlsSession::alpn_protocol);
        if direct && alpn != Some(ALPN) {
            return Err(StartTlsError::NoAlpn);
        }
        Ok(())
    }

    /// Begins TLS with a server that has answered `S`, which is consumed before this call.
    ///
    /// Not cancel safe: give the link up.
    pub async fn start_tls_client(
        &mut self,
        context: &ClientTlsContext,
        host: &str,
    ) -> Result<(), StartTlsError> {
        if self.tls.is_some() {
            return Err(StartTlsError::AlreadyTls);
        }
        self.handshake(context.session(host)?).await
    }

    async fn handshake(&mut self, session: TlsSession) -> Result<(), StartTlsError> {
        if !self.unread.is_empty() {
            return Err(StartTlsError::UnencryptedData);
        }
        self.tls = Some(Box::new(session));
        loop {
            let decrypted = self.decrypt();
            let flushed = self.flush().await;
            let closed = decrypted?;
            flushed?;
            if !self.tls().is_some_and(TlsSession::handshaking) {
                return Ok(());
            }
            self.undecrypted.reserve(READ_LEN);
            if closed || self.io.read_buf(&mut self.undecrypted).await? == 0 {
                return Err(StartTlsError::Closed);
            }
        }
    }

    /// Decrypts what was read; says whether the peer has closed.
    fn decrypt(&mut self) -> Result<bool, TlsError> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let consumed = tls.receive(&mut self.undecrypted, &mut self.unread, &mut self.unsent)?;
        self.undecrypted.drain(..consumed.bytes);
        Ok(consumed.closed)
    }

    /// Takes the link apart, for an owner that drives the TLS connection itself. Call
    /// [`Self::flush`] before. Buffers that are empty cost nothing.
    pub fn into_parts(self) -> LinkParts<S> {
        let unless_empty = |buffer: Vec<u8>| if buffer.is_empty() { Vec::new() } else { buffer };
        LinkParts {
            io: self.io,
            tls: self.tls,
            undecrypted: unless_empty(self.undecrypted),
            unread: unless_empty(self.unread),
            unsent: unless_empty(self.unsent),
        }
    }
}

#[cfg(test)]
mod tests;
