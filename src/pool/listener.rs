//! The connection that listens for a pool's clients, as those who operate pgweir see it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A connection that listens.
#[derive(Clone, Debug)]
pub struct ListenerLine {
    /// The process id of its backend; 0 when it did not say.
    pub pid: i32,
    /// The server's address; none on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// When it logged in.
    pub since: Instant,
    /// The version of TLS.
    pub tls: Option<&'static str>,
}

/// How it stands. Written by the hall.
#[derive(Debug, Default)]
pub struct ListenerStanding {
    connections: AtomicUsize,
    channels: AtomicUsize,
    line: Mutex<Option<ListenerLine>>,
}

impl ListenerStanding {
    /// A connection is being made.
    pub fn opened(&self) {
        self.connections.fetch_add(1, Ordering::AcqRel);
    }

    /// It has logged in.
    pub fn logged_in(&self, line: ListenerLine) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }

    /// It is gone.
    pub fn closed(&self) {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.connections.fetch_sub(1, Ordering::AcqRel);
    }

    /// So many channels are listened to.
    pub fn set_channels(&self, channels: usize) {
        self.channels.store(channels, Ordering::Relaxed);
    }

    /// Connections: one, or two while a reload moves the pool's servers.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Channels that are listened to.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.load(Ordering::Relaxed)
    }

    /// The connection that is up.
    #[must_use]
    pub fn line(&self) -> Option<ListenerLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
