//! Cancel requests as the loop sees them: ordered, permitted, finished.
//!
//! A Postgres cancel request names a process, not a statement. So the loop says yes or no at the
//! last moment, when the connection is ready to write, and from then on sends nothing to the server
//! and lends it to nobody until the hall has seen the request's end (`reliability`: identity, hold,
//! proof of delivery, barrier).

use super::driver::Driver;
use super::mail::{CancelOutcome, Order};
use super::{CANCEL_AGAIN_MS, Engine, Todo};
use crate::client::State;
use crate::deadline::Deadline;
use crate::errors;
use crate::ids::{CancelId, ClientId, ServerId};
use crate::server::ledger::Running;
use crate::server::{Cancel, Stage, User};
use crate::session::Ending;
use crate::wire::TransactionStatus;

impl<D: Driver> Engine<D> {
    /// Orders the cancelling of what a server runs now, if it runs anything.
    pub(super) fn order_cancel(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        let server = &mut entry.server;
        let Some(target) = server.cancel_target.clone() else { return };
        if server.cancel != Cancel::None || !server.ledger.owes_replies() {
            return;
        }
        let cancel =
            CancelId { server: id, lease: server.lease, unit: server.ledger.current_unit() };
        server.cancel = Cancel::Ordered(cancel);
        self.orders.push(Order::Cancel { cancel, target });
    }

    /// Orders the cancelling of what a client that is gone left running: once, and again after a
    /// while, for Postgres ignores a cancel that finds it between two statements.
    pub(super) fn cancel_unwanted(&mut self, id: ServerId) {
        let now = self.now;
        let Some(entry) = self.servers.get_mut(id) else { return };
        let server = &mut entry.server;
        let unit = server.ledger.current_unit();
        if server.cancel != Cancel::None || unit >= server.unwanted.end {
            return;
        }
        let is_new = unit >= server.unwanted.start;
        if is_new || server.cancel_again_at.reached(now) {
            server.unwanted.start = unit + 1;
            server.cancel_again_at = Deadline::after(now, Some(CANCEL_AGAIN_MS));
            match server.ledger.running() {
                // COMMIT, or what is as good as that, is let run.
                Running::Ending => {}
                Running::Statements(statements)
                    if statements.ending.is_some_and(|ending| {
                        ending != Ending::No || server.status == TransactionStatus::Idle
                    }) =>
                {
                    self.look_before_cancel(id);
                }
                Running::Statements(_) | Running::Nothing => self.order_cancel(id),
            }
        }
        if let Some(entry) = self.servers.get(id) {
            self.check_at(entry.server.cancel_again_at);
        }
    }

    /// Postgres is asked whether what a client that is gone left running waits for a standby: then it
    /// has committed.
    fn look_before_cancel(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get(id) else { return };
        let server = &entry.server;
        let Some(target) = server.cancel_target.clone() else { return };
        let cancel =
            CancelId { server: id, lease: server.lease, unit: server.ledger.current_unit() };
        let pool = self.pools[entry.pool.0 as usize].spec.clone();
        self.orders.push(Order::Look { cancel, pool, target });
    }

    /// Postgres has said so of what a client that is gone left running; `None`: it could not be asked.
    pub(super) fn looked_at_unwanted(&mut self, cancel: CancelId, waits: Option<bool>) {
        let Some(entry) = self.servers.get(cancel.server) else { return };
        let server = &entry.server;
        let is_this = server.lease == cancel.lease
            && server.ledger.current_unit() == cancel.unit
            && cancel.unit < server.unwanted.end;
        if is_this && matches!(server.user, User::Cleaning(_)) && waits != Some(true) {
            self.order_cancel(cancel.server);
        }
    }

    /// A cancel connection is ready to write: is what it is for still running?
    pub(super) fn permit_cancel(&mut self, cancel: CancelId) -> bool {
        let Some(entry) = self.servers.get_mut(cancel.server) else { return false };
        let server = &mut entry.server;
        if server.cancel != Cancel::Ordered(cancel) {
            return false;
        }
        let current = server.ledger.owes_replies()
            && server.lease == cancel.lease
            && server.ledger.current_unit() == cancel.unit;
        if current {
            server.cancel = Cancel::Permitted(cancel);
        } else {
            server.cancel = Cancel::None;
            if let Some(strike) = &server.strike
                && strike.unit == server.ledger.current_unit()
                && matches!(strike.stage, Stage::Cancelled(_))
            {
                // It was in the way of the one for what runs now.
                self.order_cancel(cancel.server);
            }
            // What runs now may be the next that nobody wants.
            self.clean(cancel.server);
        }
        current
    }

    /// A cancel request has come to its end.
    pub(super) fn cancel_finished(&mut self, cancel: CancelId, outcome: CancelOutcome) {
        let Some(entry) = self.servers.get_mut(cancel.server) else { return };
        let server = &mut entry.server;
        match server.cancel {
            Cancel::Ordered(known) | Cancel::Permitted(known) if known == cancel => {}
            Cancel::None | Cancel::Ordered(_) | Cancel::Permitted(_) => return,
        }
        server.cancel = Cancel::None;
        self.pools[entry.pool.0 as usize].counters.count_cancel(outcome);
        match outcome {
            CancelOutcome::NotSent => {}
            CancelOutcome::Delivered => server.needs_barrier = true,
            // The signal may come at any time, whoever has the server then.
            CancelOutcome::Unknown => server.doomed = true,
        }
        if server.strike.is_some() {
            return self.strike_goes_on(cancel.server);
        }
        match server.user {
            User::Nobody | User::Preparing(_) | User::Asking(_) => {}
            User::Client(client) => {
                self.todo.push_back(Todo::Client(client));
                if server.ledger.is_settled() {
                    self.server_settled(cancel.server);
                }
            }
            User::Cleaning(_) => self.clean(cancel.server),
        }
    }

    /// A client asked, on a connection of its own, for its statement to be cancelled.
    pub(super) fn client_cancel(&mut self, id: ClientId) {
        if self.cancel_judgement(id) {
            return;
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        match client.session.state {
            State::Waiting if !client.session.greeting => {
                client.session.rest();
                self.leave_queue(id);
                self.fail_request(id, errors::cancelled_while_waiting());
            }
            State::Attached(server) => {
                match self.servers.get(server).map(|entry| entry.server.user) {
                    Some(User::Client(_)) => self.order_cancel(server),
                    Some(User::Preparing(_) | User::Asking(_)) => self.cancel_unsent(id, server),
                    Some(User::Nobody | User::Cleaning(_)) | None => {}
                }
            }
            State::Idle | State::Begun | State::Waiting | State::Lost(_) | State::Closing => {}
        }
    }
}
