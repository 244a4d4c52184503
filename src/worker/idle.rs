//! `client_idle_timeout`: clients that say nothing outside a transaction.
//!
//! Nothing is armed on the way of a statement: it only notes the time. One scan looks for those
//! who have been idle for too long, and for when the next one could be.

use super::Engine;
use super::driver::Driver;
use crate::client::{Leaving, State};
use crate::deadline::{Deadline, Tick};
use crate::errors;
use crate::ids::ClientId;
use crate::wire::TransactionStatus;

/// The limit, and when to look again.
///
/// Invariant: no client is idle for longer than the limit before `scan_at`, but for the pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idleness {
    /// `None`: clients may be idle for ever.
    limit_ms: Option<u64>,
    scan_at: Deadline,
}

impl Idleness {
    pub(super) fn of(limit_ms: Option<u64>) -> Self {
        // Looks at once, and finds out when it is due.
        let scan_at =
            limit_ms.map_or(Deadline::NEVER, |_| Deadline::after(Tick::default(), Some(0)));
        Idleness { limit_ms, scan_at }
    }

    /// Scans are at least so far apart: with many clients each has another moment.
    fn pause_ms(self) -> u64 {
        self.limit_ms.map_or(0, |limit| (limit / 16).clamp(1, 1_000))
    }
}

impl<D: Driver> Engine<D> {
    /// There is a client that may become idle.
    pub(super) fn watch_idleness(&mut self) {
        self.check_at(self.idleness.scan_at);
    }

    /// Tells clients that have been idle for too long, and closes them.
    pub(super) fn check_idle_clients(&mut self) {
        let Idleness { limit_ms: Some(limit), scan_at } = self.idleness else { return };
        if self.clients.is_empty() {
            return;
        }
        if !scan_at.reached(self.now) {
            return self.check_at(scan_at);
        }
        let mut next = Deadline::after(self.now, Some(limit));
        let mut late = Vec::new();
        for (id, client) in self.clients.iter() {
            if !self.is_idle(id) {
                continue;
            }
            let deadline = Deadline::after(client.active_at, Some(limit));
            if deadline.reached(self.now) {
                late.push(id);
            } else {
                next = next.min(deadline);
            }
        }
        for id in late {
            self.end_client(id, Some(errors::client_idle(limit)));
        }
        let earliest = Deadline::after(self.now, Some(self.idleness.pause_ms()));
        self.idleness.scan_at = next.max(earliest);
        self.check_at(self.idleness.scan_at);
    }

    /// Whether a client has no transaction and is owed nothing; a pinned session may be idle too.
    pub(super) fn is_idle(&self, id: ClientId) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let is_free = |server| {
            self.servers.get(server).is_some_and(|entry| {
                let server = &entry.server;
                server.ledger.is_settled() && server.status == TransactionStatus::Idle
            })
        };
        let between = match &client.session.state {
            State::Idle => true,
            State::Attached(server) => is_free(*server),
            // Its transaction is over, though it does not know.
            State::Lost(lost) => lost.kept().is_none_or(is_free),
            State::Begun | State::Waiting | State::Closing => false,
        };
        between && client.session.leaving == Leaving::No && client.conn.stash.is_empty()
    }
}

#[cfg(test)]
mod tests;
