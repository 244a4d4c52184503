//! What is done about a limit of pgweir's clock that has struck: step by step (`server::Strike`), and
//! while it is, nothing is sent to the server.
//!
//! Deliberately absent: when one strikes (`late`), and the server's own `statement_timeout`.

use super::conn::Rest;
use super::counting::LeaseClock;
use super::driver::Driver;
use super::listing::Outcome;
use super::mail::Order;
use super::{Engine, Todo};
use crate::client::{Leaving, Lost, State};
use crate::config::{ClockLimit, TimeoutAction};
use crate::deadline::Deadline;
use crate::errors;
use crate::ids::{CancelId, ClientId, ServerId};
use crate::pool::PoolSpec;
use crate::server::ledger::{Deliver, Sent};
use crate::server::{Cancel, Stage, Strike, User};
use crate::session::Ending;
use crate::wire::{TransactionStatus, build};

/// How long the answer may take whether a statement waits for a standby. The hall gives one sooner, be it that
/// nobody can say (`cancel::Asker`).
pub(super) const LOOK_LIMIT_MS: u64 = 10_000;
/// How soon a statement that waits for a standby is looked at again.
const LOOK_AGAIN_MS: u64 = 1_000;
/// How long after the first cancel request the second is sent.
const FIRST_CANCEL_MS: u64 = 1_000;
/// How long after the second cancel request the server process is ended.
const SECOND_CANCEL_MS: u64 = 2_000;
/// How long after that the connection is given up.
const TERMINATE_MS: u64 = 1_000;

impl<D: Driver> Engine<D> {
    /// A limit has struck what runs: from now on nothing is sent to its server until that is over.
    pub(super) fn strike(&mut self, id: ServerId, strike: Strike, may_commit: bool) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        let server = &mut entry.server;
        let cancel = CancelId { server: id, lease: server.lease, unit: strike.unit };
        self.check_at(strike.next);
        let Some(entry) = self.servers.get_mut(id) else { return };
        let server = &mut entry.server;
        let can_be_cancelled = server.cancel_target.is_some();
        let stage = if can_be_cancelled { strike.stage } else { Stage::Terminated };
        server.strike = Some(Box::new(Strike { stage, ..strike }));
        match &server.cancel_target {
            Some(target) if may_commit => {
                let pool = self.pools[entry.pool.0 as usize].spec.clone();
                self.orders.push(Order::Look { cancel, pool, target: target.clone() });
            }
            Some(_) => self.cancel_struck(id, 1),
            // It cannot be cancelled: some poolers and proxies give no key.
            None => self.server_lost(id, None),
        }
    }

    /// Postgres has said whether a statement waits for a standby; `None`: it could not be asked.
    pub(super) fn looked(&mut self, cancel: CancelId, waits: Option<bool>) {
        let Some(entry) = self.servers.get_mut(cancel.server) else { return };
        let server = &mut entry.server;
        let Some(strike) = &server.strike else {
            return self.looked_at_unwanted(cancel, waits);
        };
        if strike.stage != Stage::Looking
            || strike.unit != cancel.unit
            || server.lease != cancel.lease
        {
            return;
        }
        if waits == Some(true) {
            // It has committed here: to cut it would only hide that the standby has not.
            let again = self.now.plus(LOOK_AGAIN_MS);
            entry.clock.look_again = Some(again);
            let waits = strike.ended(Outcome::WaitsForStandby);
            // Told once, however often it is looked at.
            let is_new =
                std::mem::replace(&mut entry.clock.waiting_unit, strike.unit) != strike.unit;
            self.check_at(Deadline::after(again, Some(0)));
            if is_new {
                self.record_struck(cancel.server, waits);
            }
            return self.strike_is_over(cancel.server);
        }
        self.cancel_struck(cancel.server, 1);
    }

    fn cancel_struck(&mut self, id: ServerId, number: u8) {
        let limit = if number == 1 { FIRST_CANCEL_MS } else { SECOND_CANCEL_MS };
        let next = Deadline::after(self.now, Some(limit));
        if let Some(entry) = self.servers.get_mut(id)
            && let Some(strike) = &mut entry.server.strike
        {
            strike.stage = Stage::Cancelled(number);
            strike.next = next;
        }
        self.check_at(next);
        self.order_cancel(id);
    }

    /// What was done has not helped in time.
    pub(super) fn next_step(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        let Some(strike) = &mut entry.server.strike else { return };
        if !strike.next.reached(self.now) {
            let next = strike.next;
            return self.check_at(next);
        }
        let waits_for_client = match entry.server.user {
            User::Client(client) => self.clients.get(client).is_some_and(|c| c.conn.has_unsent()),
            User::Nobody | User::Preparing(_) | User::Asking(_) | User::Cleaning(_) => false,
        };
        if waits_for_client && matches!(strike.stage, Stage::Cancelled(_) | Stage::Barrier) {
            // It does not look at signals while it writes: it waits for its client, as pgweir does.
            strike.next = Deadline::after(self.now, Some(FIRST_CANCEL_MS));
            let next = strike.next;
            return self.check_at(next);
        }
        match strike.stage {
            Stage::Looking => self.cancel_struck(id, 1),
            Stage::Cancelled(1) => self.cancel_struck(id, 2),
            Stage::Cancelled(_) => {
                strike.stage = Stage::Terminated;
                strike.next = Deadline::after(self.now, Some(TERMINATE_MS));
                let next = strike.next;
                // Whatever becomes of it, nobody else gets the server.
                entry.server.doomed = true;
                if let Some(target) = &entry.server.cancel_target {
                    let pool = self.pools[entry.pool.0 as usize].spec.clone();
                    self.orders.push(Order::Terminate { pool, target: target.clone() });
                }
                self.check_at(next);
            }
            // The server does not react: its client is answered, its slot stays counted.
            Stage::Terminated | Stage::Barrier => self.server_lost(id, None),
        }
    }

    /// A server is gone while a limit is being enforced on it: its client is told of that.
    pub(super) fn lost_to_a_limit(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        let Some(strike) = entry.server.strike.take() else { return };
        if strike.ready_due {
            // As if the barrier had been sent: whoever waits for its answer is told.
            entry.server.ledger.sent(Sent::Sync(Ending::No), Deliver::Client);
        }
        let unit_is_over = entry.server.ledger.current_unit() > strike.unit;
        if strike.stage == Stage::Looking || unit_is_over || entry.server.ledger.front_failed() {
            return;
        }
        let outcome_is_known = entry.server.status != TransactionStatus::Idle;
        let Some(words) = self.words_of(id, strike.exceeded) else { return };
        let words = errors::limit_struck_in_vain(words, outcome_is_known);
        let Some(entry) = self.servers.get_mut(id) else { return };
        if let Some(client) = entry.server.client().and_then(|id| self.clients.get_mut(id))
            && closes_client(&client.spec)
        {
            client.session.leaving = Leaving::AfterReplies(Some(Box::new(words)));
        } else {
            entry.server.farewell = Some(words);
        }
        self.record_struck(id, strike.ended(Outcome::GivenUp));
    }

    /// A ReadyForQuery came while a limit was being enforced, or a cancel request ended.
    pub(super) fn strike_goes_on(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        let server = &mut entry.server;
        let Some(strike) = &mut server.strike else { return };
        if strike.stage == Stage::Barrier {
            if server.ledger.is_settled() {
                self.strike_is_over(id);
            }
            return;
        }
        if server.ledger.current_unit() <= strike.unit && server.ledger.owes_replies() {
            let was_cancelled = matches!(strike.stage, Stage::Cancelled(_));
            if was_cancelled && server.ledger.copy_in() && !server.is_cancelling() {
                self.end_copy(id);
            }
            return;
        }
        match server.cancel {
            // The permit will be refused: what it is for has ended.
            Cancel::None | Cancel::Ordered(_) => {}
            Cancel::Permitted(_) => return,
        }
        if strike.stage == Stage::Terminated {
            return;
        }
        if server.needs_barrier && server.ledger.is_settled() && !server.doomed {
            let deliver = if strike.ready_due { Deliver::Client } else { Deliver::Swallow };
            strike.stage = Stage::Barrier;
            strike.ready_due = false;
            strike.next = Deadline::after(self.now, Some(SECOND_CANCEL_MS));
            let next = strike.next;
            server.needs_barrier = false;
            self.check_at(next);
            return self.send_barrier(id, deliver);
        }
        self.strike_is_over(id);
    }

    fn send_barrier(&mut self, id: ServerId, deliver: Deliver) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        entry.server.ledger.sent(Sent::Sync(Ending::No), deliver);
        let mut message = Vec::new();
        build::sync(&mut message);
        if let Err(error) = self.send_to_server(id, &message) {
            self.server_lost(id, Some(&error));
        }
    }

    /// A server that waits for CopyData of its client does not look at signals: it is told that
    /// there are no more. What its client sends yet is ignored.
    fn end_copy(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        let client = entry.server.client().and_then(|client| self.clients.get(client));
        if client.is_none_or(|client| client.conn.skip > 0) {
            // It is in the middle of a CopyData.
            return;
        }
        entry.server.ledger.sent(Sent::CopyEnd, Deliver::Swallow);
        let mut message = Vec::new();
        build::copy_fail(&mut message, "a limit in time has struck");
        if let Err(error) = self.send_to_server(id, &message) {
            self.server_lost(id, Some(&error));
        }
    }

    /// The server serves on.
    fn strike_is_over(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        if entry.server.doomed {
            let client = entry.server.client().and_then(|client| self.clients.get(client));
            let is_pinned = client.is_some_and(|client| !client.session.pins.is_none());
            if is_pinned || entry.server.status != TransactionStatus::Idle {
                // A signal may come at any time, and its client would stay here.
                return self.server_lost(id, None);
            }
        }
        let Some(strike) = entry.server.strike.take() else { return };
        let User::Client(client) = entry.server.user else { return };
        if strike.ready_due {
            let mut ready = Vec::new();
            build::ready_for_query(&mut ready, entry.server.status);
            self.send_to_client(client, &ready);
        }
        if !strike.told && strike.stage != Stage::Looking {
            let unconfirmed = strike.unconfirmed;
            let outcome = if unconfirmed { Outcome::Unconfirmed } else { Outcome::LostRace };
            self.record_struck(id, strike.ended(outcome));
        }
        let Some(entry) = self.servers.get(id) else { return };
        let is_failed = entry.server.status == TransactionStatus::Failed;
        // What it has sent meanwhile waits, and no edge comes for that again.
        self.todo.push_back(Todo::Client(client));
        if strike.exceeded.limit == ClockLimit::Transaction
            && is_failed
            && entry.server.ledger.is_settled()
        {
            return self.roll_back(id, client, Lost::reported());
        }
        self.watch_time(id);
        if self.servers.get(id).is_some_and(|entry| entry.server.ledger.is_settled()) {
            self.server_settled(id);
        }
    }

    /// Ends the transaction of a client on its server. The client has a failed one until it says
    /// that it knows; a session that needs its server keeps it.
    pub(super) fn roll_back(&mut self, id: ServerId, client_id: ClientId, mut lost: Lost) {
        let (Some(entry), Some(client)) =
            (self.servers.get_mut(id), self.clients.get_mut(client_id))
        else {
            return;
        };
        let half_sent = client.conn.skip > 0 && client.conn.rest == Rest::Forward;
        if half_sent || entry.server.doomed {
            // Closing it rolls back whatever it is in the middle of.
            entry.server.farewell = lost.take_report();
            return self.server_lost(id, None);
        }
        client.active_at = self.now;
        client.session.changes = None;
        if let Some(guarded) = &mut client.session.guarded {
            guarded.history.transaction_ended(false);
        }
        client.session.held = false;
        // It has been told of an error in its batch, and hears nothing more up to its Sync.
        client.session.skip_to_sync |= entry.server.ledger.is_skipping();
        entry.server.touched = Vec::new();
        if client.session.pins.is_none() {
            client.session.state = State::Lost(Box::new(lost));
            return self.start_cleaning(id);
        }
        lost.keep(id);
        client.session.state = State::Lost(Box::new(lost));
        entry.clock = LeaseClock::default();
        if entry.server.ledger.batch_is_open() {
            self.abort_batch(id);
        }
        self.send_own_query(id, b"ROLLBACK");
    }
}

/// Whether a limit that strikes closes the session.
pub(super) fn closes_client(spec: &PoolSpec) -> bool {
    spec.settings.load().timeout_action == TimeoutAction::Close
}
