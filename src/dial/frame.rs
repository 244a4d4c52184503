//! Whole messages off a [`Link`], under a limit for each kind.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::net::link::Link;
use crate::wire::frame::{FrameError, HEADER_LEN, header};

/// A message: its type byte and what follows the length word.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Type byte.
    pub tag: u8,
    /// Bytes after the length word.
    pub body: Vec<u8>,
}

impl fmt::Debug for Message {
    // The body may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, {} bytes)", char::from(self.tag), self.body.len())
    }
}

/// Why there is no message.
#[derive(Debug)]
pub enum ReadError {
    /// The peer closed the connection.
    Closed,
    /// Its length cannot be believed, or it is over the limit.
    Frame(FrameError),
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Closed => f.write_str("the connection was closed"),
            ReadError::Frame(error) => error.fmt(f),
            ReadError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Closed => None,
            ReadError::Frame(error) => Some(error),
            ReadError::Io(error) => Some(error),
        }
    }
}

/// The next message; `limit` says for each type byte how large the length word may be.
///
/// Cancel safe: a message is taken out of the link only when it is whole.
///
/// # Errors
/// The connection ended or failed, or the message is too long.
pub async fn next_message<S: AsyncRead + AsyncWrite + Unpin>(
    link: &mut Link<S>,
    limit: impl Fn(u8) -> u32,
) -> Result<Message, ReadError> {
    loop {
        let unread = link.unread();
        if let Some(&tag) = unread.first()
            && let Some(header) = header(unread, limit(tag)).map_err(ReadError::Frame)?
            && let Some(body) = unread.get(HEADER_LEN..header.frame_len())
        {
            let message = Message { tag, body: body.to_vec() };
            link.consume(header.frame_len());
            return Ok(message);
        }
        if link.fill().await.map_err(ReadError::Io)? == 0 {
            return Err(ReadError::Closed);
        }
    }
}
