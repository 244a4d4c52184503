//! Exchanges of pgweir's own that a client waits for: it is given its parameters or limits, its server is asked
//! what still pins it, its transaction is rolled back. A server that does not answer is given up.
//!
//! Until when it may take is a number in the slab. Nothing is taken back when the answer comes: the number of the
//! unit tells.
//!
//! Deliberately absent: messages that pgweir puts into a client's batch. They are part of its statement, and so is
//! their time.

use super::Engine;
use super::driver::Driver;
use crate::client::State;
use crate::config::ClockLimit;
use crate::deadline::Deadline;
use crate::errors;
use crate::ids::{ClientId, ServerId};
use crate::server::{Server, User};

/// How long a server may take to answer what needs nothing but its own memory and catalogs.
pub(super) const OWN_LIMIT_MS: u64 = 5_000;

impl<D: Driver> Engine<D> {
    /// What has been sent to a server of a client's is to be answered in time; `None`: whenever.
    pub(super) fn expect_answer(&mut self, id: ServerId, limit_ms: Option<u64>) {
        let until = Deadline::after(self.now, limit_ms);
        let Some(entry) = self.servers.get_mut(id) else { return };
        let server = &mut entry.server;
        if server.client().is_none() {
            return;
        }
        server.own_unit = server.ledger.building_unit() - 1;
        server.own_until = until;
        self.check_at(until);
    }

    /// The same for what prepares texts of the client's: it may wait for locks, as the client's own message would, so
    /// the client's own limit holds, once for each, and pgweir's behind it.
    pub(super) fn expect_statements(&mut self, id: ServerId, count: usize) {
        let Some(entry) = self.servers.get(id) else { return };
        let client = entry.server.client().and_then(|client| self.clients.get(client));
        let each = client.and_then(|client| client.spec.time_limits().get(ClockLimit::Statement));
        let all = each.map(|each| u64::from(each).saturating_mul(count as u64));
        self.expect_answer(id, all.map(|all| all.saturating_add(OWN_LIMIT_MS)));
    }

    /// Gives up servers that have not answered in time.
    pub(super) fn check_answers(&mut self) {
        for id in self.servers.ids_where(|entry| entry.server.own_until != Deadline::NEVER) {
            let Some(entry) = self.servers.get_mut(id) else { continue };
            let server = &mut entry.server;
            if !server.owes_own() {
                server.own_until = Deadline::NEVER;
            } else if !server.own_until.reached(self.now) {
                let until = server.own_until;
                self.check_at(until);
            } else {
                server.farewell = Some(errors::server_silent());
                self.server_lost(id, None);
            }
        }
    }

    /// A client asks for its statement to be cancelled, which has not been sent: its server is not ready for it yet.
    pub(super) fn cancel_unsent(&mut self, id: ClientId, server_id: ServerId) {
        let at_rest = self.is_at_rest(server_id);
        let (Some(client), Some(entry)) =
            (self.clients.get_mut(id), self.servers.get_mut(server_id))
        else {
            return;
        };
        let session = &mut client.session;
        let stands = session.standing.as_ref().is_some_and(|standing| standing.is_under_way());
        if session.greeting {
            return;
        }
        if !at_rest {
            if stands {
                // It may wait for locks, and the error is the statement's.
                return self.order_cancel(server_id);
            }
            session.cancel_due = true;
            return;
        }
        session.rest();
        session.standing = None;
        let Server { ledger, doomed, unwanted, .. } = &mut entry.server;
        // It has the client's parameters, or has not got so far: nobody will have looked.
        *doomed = true;
        if stands {
            *unwanted = ledger.current_unit()..ledger.building_unit();
        }
        self.start_cleaning(server_id);
        self.fail_request(id, errors::cancelled_while_waiting());
    }

    /// The statement has been sent that a client wanted to be cancelled before that.
    pub(super) fn cancel_if_due(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let server = match client.session.state {
            State::Attached(server) => Some(server),
            State::Idle | State::Begun | State::Waiting | State::Lost(_) | State::Closing => None,
        };
        let entry = server.and_then(|server| self.servers.get(server));
        if entry.is_some_and(|entry| entry.server.user != User::Client(id)) {
            // Something else has to be done first.
            return;
        }
        client.session.cancel_due = false;
        if let Some(server) = server {
            self.order_cancel(server);
        }
    }
}
