//! What a loop needs from the outside: bytes, readiness, time. `mio` gives them for real sockets,
//! the simulator in tests.

use std::io;

use super::mail::Mail;
use crate::ids::{ClientId, Key, ServerId};
use crate::net::socket::Ends;

/// Which connection an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// An application's connection.
    Client(ClientId),
    /// A connection to Postgres.
    Server(ServerId),
}

/// The token that wakes a loop for its mailbox.
pub const WAKE: usize = usize::MAX;

impl Token {
    /// The token as the poller carries it: kind, generation, index.
    #[must_use]
    pub fn encode(self) -> usize {
        let (kind, key) = match self {
            Token::Client(ClientId(key)) => (0, key),
            Token::Server(ServerId(key)) => (1_u64, key),
        };
        let word = kind << 63 | u64::from(key.generation) << 32 | u64::from(key.index);
        usize::try_from(word).expect("pgweir runs on 64-bit systems")
    }

    /// Reads what [`Token::encode`] made.
    #[must_use]
    pub fn decode(word: usize) -> Self {
        let word = word as u64;
        let index = u32::try_from(word & 0xffff_ffff).expect("masked to 32 bits");
        let generation = u32::try_from(word >> 32 & 0x7fff_ffff).expect("masked to 31 bits");
        let key = Key { index, generation };
        if word >> 63 == 0 { Token::Client(ClientId(key)) } else { Token::Server(ServerId(key)) }
    }
}

/// An edge: something changed on a connection.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// The connection.
    pub token: Token,
    /// There is something to read, or the end of it.
    pub readable: bool,
    /// There is room to write again.
    pub writable: bool,
    /// The peer will send nothing more, or the connection broke.
    pub hung_up: bool,
}

/// Bytes, readiness and time.
pub trait Driver: Sized {
    /// A nonblocking byte stream.
    type Socket;

    /// Registers a socket, edge-triggered, for reading.
    ///
    /// # Errors
    /// The poller refuses it.
    fn add(&mut self, socket: &mut Self::Socket, token: Token) -> io::Result<()>;

    /// Changes whether edges for writing are wanted too.
    ///
    /// # Errors
    /// The poller refuses it.
    fn set_write_interest(
        &mut self,
        socket: &mut Self::Socket,
        token: Token,
        wanted: bool,
    ) -> io::Result<()>;

    /// Tells the peer that nothing more will be written; its end may still be waited for.
    fn end(&mut self, socket: &mut Self::Socket);

    /// Takes a socket out of the poller and closes it.
    fn close(&mut self, socket: Self::Socket);

    /// Takes a socket out of the poller: it goes to another loop.
    ///
    /// # Errors
    /// The poller does not let it go.
    fn release(&mut self, socket: &mut Self::Socket) -> io::Result<()>;

    /// Reads what is there; 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, anything else when the connection broke.
    fn read(&mut self, socket: &mut Self::Socket, into: &mut [u8]) -> io::Result<usize>;

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, anything else when the connection broke.
    fn write(&mut self, socket: &mut Self::Socket, bytes: &[u8]) -> io::Result<usize>;

    /// Waits for edges, mail or `timeout_ms` (`None`: no limit) and appends the edges.
    ///
    /// # Errors
    /// The poller broke; the loop cannot go on.
    fn wait(&mut self, timeout_ms: Option<u64>, edges: &mut Vec<Edge>) -> io::Result<()>;

    /// Microseconds that passed since the process started. The one reading of the clock in a turn.
    fn micros(&self) -> u64;

    /// Puts a message into another loop's mailbox.
    fn post(&mut self, to: usize, mail: Mail<Self::Socket>);

    /// The addresses of a socket, for those who operate pgweir.
    fn ends(&self, socket: &Self::Socket) -> Ends;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_poller() {
        for (index, generation) in [(0, 1), (u32::MAX, 0x7fff_ffff), (7, 0)] {
            let key = Key { index, generation };
            for token in [Token::Client(ClientId(key)), Token::Server(ServerId(key))] {
                assert_eq!(Token::decode(token.encode()), token);
            }
        }
    }
}
