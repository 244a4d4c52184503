//! Real sockets under `mio`.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Events, Interest, Poll, Waker};

use super::driver::{Driver, Edge, Token, WAKE};
use super::mail::Mail;
use super::mailbox::Loops;
use crate::net::socket::{Ends, Socket};

/// Edges taken from the poller at a time.
const EVENTS: usize = 1_024;

/// A poller and a clock.
pub(super) struct MioDriver {
    poll: Poll,
    events: Events,
    started: Instant,
    /// Kept for as long as the loop lives: a waker dropped right after `wake` loses the wake.
    waker: Arc<Waker>,
    /// All loops, this one included.
    loops: Arc<Loops>,
}

impl MioDriver {
    /// `started`: since when all loops count.
    pub(super) fn new(loops: Arc<Loops>, started: Instant) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(WAKE))?);
        Ok(MioDriver { poll, events: Events::with_capacity(EVENTS), started, waker, loops })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }
}

impl Driver for MioDriver {
    type Socket = Socket;

    fn add(&mut self, socket: &mut Socket, token: Token) -> io::Result<()> {
        socket.register(self.poll.registry(), mio::Token(token.encode()), Interest::READABLE)
    }

    fn set_write_interest(
        &mut self,
        socket: &mut Socket,
        token: Token,
        wanted: bool,
    ) -> io::Result<()> {
        let interest =
            if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        socket.reregister(self.poll.registry(), mio::Token(token.encode()), interest)
    }

    fn end(&mut self, socket: &mut Socket) {
        // It fails when the connection is gone, which reading from it shows as well.
        let _ = socket.shutdown(std::net::Shutdown::Write);
    }

    fn close(&mut self, socket: Socket) {
        // Closing the file descriptor takes it out of the poller.
        drop(socket);
    }

    fn release(&mut self, socket: &mut Socket) -> io::Result<()> {
        socket.deregister(self.poll.registry())
    }

    fn post(&mut self, to: usize, mail: Mail<Socket>) {
        self.loops.send(to, mail);
    }

    fn read(&mut self, socket: &mut Socket, into: &mut [u8]) -> io::Result<usize> {
        socket.read(into)
    }

    fn write(&mut self, socket: &mut Socket, bytes: &[u8]) -> io::Result<usize> {
        socket.write(bytes)
    }

    fn wait(&mut self, timeout_ms: Option<u64>, edges: &mut Vec<Edge>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout_ms.map(Duration::from_millis)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        edges.extend(self.events.iter().filter(|event| event.token().0 != WAKE).map(|event| {
            Edge {
                token: Token::decode(event.token().0),
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                writable: event.is_writable(),
                hung_up: event.is_read_closed() || event.is_error(),
            }
        }));
        Ok(())
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn ends(&self, socket: &Socket) -> Ends {
        socket.ends()
    }
}
