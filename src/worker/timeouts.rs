//! pgweir's clock: what has been running, or silent, for too long, and what is done about it.
//!
//! When something may be late is a number in the loop's slabs; one check for all of them finds out
//! whether it is. A decision is carried out step by step (`server::Strike`); while it is, nothing is
//! sent to the server.
//!
//! Deliberately absent: the server's own `statement_timeout`, which strikes first where it can.

use super::conn::Rest;
use super::counting::LeaseClock;
use super::driver::Driver;
use super::listing::{Belt, Outcome};
use super::mail::Order;
use super::struck::Struck;
use super::{Engine, Todo};
use crate::client::{Leaving, Lost, State};
use crate::config::{ClockLimit, TimeoutAction};
use crate::deadline::{Deadline, Tick};
use crate::errors;
use crate::ids::{CancelId, ClientId, ServerId};
use crate::pool::PoolSpec;
use crate::server::ledger::{Deliver, Running, Sent};
use crate::server::{Cancel, Stage, Strike, User};
use crate::session::{Ending, Limit};
use crate::wire::{TransactionStatus, build};

/// How much later than a limit pgweir strikes, so that the server's own comes first.
pub(super) const GRACE_MS: u64 = 100;

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

/// What the clock says of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    /// Nothing, until then.
    Not(Deadline),
    /// The unit at the front, or the transaction around it; it may be committing.
    Running { limit: ClockLimit, limit_ms: u64, since_us: u64, may_commit: bool },
    /// The client is silent in its transaction.
    Silent { limit: ClockLimit, limit_ms: u64, since_us: u64 },
}

impl<D: Driver> Engine<D> {
    /// Looks at everything that may be late.
    pub(super) fn check_times(&mut self) {
        let watched = self.servers.ids_where(|entry| {
            let runs = entry.clock.transaction_us.is_some();
            entry.server.strike.is_some() || (runs && entry.clock.limits.shortest().is_some())
        });
        for id in watched {
            if self.servers.get(id).is_some_and(|entry| entry.server.strike.is_some()) {
                self.next_step(id);
            } else {
                self.check_time(id);
            }
        }
    }

    /// A unit has ended, or a client has gone quiet: something else can be late from now on.
    #[inline]
    pub(super) fn watch_time(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get(id) else { return };
        let clock = &entry.clock;
        if clock.query_us.is_none() && clock.silent_us.is_none() {
            return;
        }
        if let Some(limit) = clock.limits.shortest() {
            self.check_at(Deadline::after(self.now, Some(u64::from(limit) + GRACE_MS)));
        }
    }

    fn check_time(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        let User::Client(client) = entry.server.user else { return };
        let (clock, ledger) = (&mut entry.clock, &entry.server.ledger);
        // What has not come whole from its client does not run.
        let half_sent = ledger.owes_replies() && !ledger.copy_in() && ledger.only_last_may_run();
        let to_come = self.clients.get(client).map_or(0, |client| client.conn.skip);
        clock.half_sent = match to_come {
            0 => None,
            to_come if half_sent => {
                if clock.half_sent != Some(to_come) {
                    clock.silent_us = Some(self.now_us);
                }
                clock.query_us = Some(self.now_us);
                Some(to_come)
            }
            _ => None,
        };
        // A batch without Sync of which everything has been answered.
        if ledger.running() == Running::Nothing {
            clock.silent_us.get_or_insert(self.now_us);
            if self.clients.get(client).is_some_and(|client| client.session.waits_for_us()) {
                clock.silent_us = Some(self.now_us);
            }
        }
        let unit = ledger.current_unit();
        match self.late(id) {
            Late::Not(until) => self.check_at(until),
            Late::Running { limit, limit_ms, since_us, may_commit } => {
                let action =
                    self.clients.get(client).map(|c| c.spec.settings.load().timeout_action);
                let fingerprint = self.fingerprint_of(id);
                let strike = Strike {
                    limit,
                    limit_ms,
                    since_us,
                    unit,
                    stage: Stage::Looking,
                    next: Deadline::after(self.now, Some(LOOK_LIMIT_MS)),
                    ready_due: false,
                    told: false,
                    unconfirmed: false,
                    fingerprint,
                };
                if action == Some(TimeoutAction::Report) {
                    self.record_struck(id, strike.ended(Outcome::Reported));
                    if let Some(entry) = self.servers.get_mut(id)
                        && limit == ClockLimit::Transaction
                    {
                        entry.clock.limits.lift(limit);
                    }
                    return self.let_run(id, unit);
                }
                self.strike(id, strike, may_commit);
            }
            // A cancel request of the client's own could hit the ROLLBACK.
            Late::Silent { .. } if self.servers.get(id).is_some_and(|s| s.server.is_frozen()) => {
                self.check_at(Deadline::after(self.now, Some(GRACE_MS)));
            }
            Late::Silent { limit, limit_ms, since_us } => {
                let action =
                    self.clients.get(client).map(|c| c.spec.settings.load().timeout_action);
                let (belt, outcome) = (Belt::Pgweir, Outcome::RolledBack);
                let fingerprint = self.fingerprint_of(id);
                let struck = Struck { limit, limit_ms, since_us, belt, outcome, fingerprint };
                if action == Some(TimeoutAction::Report) {
                    self.record_struck(id, Struck { outcome: Outcome::Reported, ..struck });
                    if let Some(entry) = self.servers.get_mut(id) {
                        // Once is enough for a transaction.
                        entry.clock.limits.lift(limit);
                    }
                    return self.watch_time(id);
                }
                let report = self.words_of(id, limit, limit_ms, since_us);
                self.record_struck(id, struck);
                if action == Some(TimeoutAction::Close) {
                    return self.end_client(client, Some(report));
                }
                self.roll_back(id, client, Lost::unreported(report));
            }
        }
    }

    /// What the clock says of a server in a client's use.
    fn late(&self, id: ServerId) -> Late {
        let Some(entry) = self.servers.get(id) else { return Late::Not(Deadline::NEVER) };
        let (clock, server) = (&entry.clock, &entry.server);
        let limits = clock.limits;
        let after = |since_us: u64, limit: u64| {
            Deadline::after(Tick(since_us / 1_000), Some(limit.saturating_add(GRACE_MS)))
        };
        let running = server.ledger.running();
        let waits_for_client = running == Running::Nothing
            || (clock.half_sent.is_some() && server.status != TransactionStatus::Idle);
        if waits_for_client && let Some(since_us) = clock.silent_us {
            let idle = limits
                .get(ClockLimit::IdleInTransaction)
                .map(|ms| (ClockLimit::IdleInTransaction, ms, since_us));
            let all = limits.get(ClockLimit::Transaction).zip(clock.transaction_us);
            let all = all.map(|(ms, since_us)| (ClockLimit::Transaction, ms, since_us));
            let mut next = Deadline::NEVER;
            for (limit, limit_ms, since_us) in idle.into_iter().chain(all) {
                let limit_ms = u64::from(limit_ms);
                let deadline = Deadline::after(Tick(since_us / 1_000), Some(limit_ms));
                if deadline.reached(self.now) {
                    return Late::Silent { limit, limit_ms, since_us };
                }
                next = next.min(deadline);
            }
            return Late::Not(next);
        }
        let Running::Statements(statements) = running else {
            // What may be the commit is never cut.
            return Late::Not(Deadline::NEVER);
        };
        if clock.half_sent.is_some() {
            return Late::Not(Deadline::after(self.now, limits.shortest().map(u64::from)));
        }
        let unit = server.ledger.current_unit();
        if unit == clock.spared_unit {
            return Late::Not(Deadline::NEVER);
        }
        if let Some(look_again) = clock.look_again.filter(|again| *again > self.now) {
            return Late::Not(Deadline::after(look_again, Some(0)));
        }
        let client = server.client().and_then(|client| self.clients.get(client));
        let (limit, mut each) = limits.of_statements(statements.maintenance);
        if let Some(session) = client.map(|client| &client.session)
            && session.belt.may_be_anything()
            && !statements.maintenance
        {
            // What it has set stands in the place of the role's, or what ALTER ROLE has.
            let own = session.free_limit(Limit::Statement);
            let own = own.unwrap_or_else(|| session.belt.on_the_clock(each.unwrap_or(0)));
            each = (own != 0).then_some(own);
        }
        let mut next = Deadline::NEVER;
        let batch_ending = client.map_or(Ending::Commit, |client| client.session.batch_ending);
        let ending = statements.ending.unwrap_or(batch_ending);
        let is_idle = server.status == TransactionStatus::Idle;
        let may_commit = is_idle || ending != Ending::No;
        if let (Some(each), Some(since_us)) = (each, clock.query_us) {
            let limit_ms = u64::from(each);
            let since_then = statements.count.saturating_sub(clock.run_before).max(1);
            let count = if statements.once { 1 } else { since_then };
            let deadline = after(since_us, limit_ms.saturating_mul(u64::from(count)));
            if deadline.reached(self.now) {
                return Late::Running { limit, limit_ms, since_us, may_commit };
            }
            next = next.min(deadline);
        }
        // Maintenance by itself may take as long as that may.
        if let (Some(limit_ms), Some(since_us)) =
            (limits.get(ClockLimit::Transaction), clock.transaction_us)
            && ending == Ending::No
            && !(is_idle && statements.maintenance)
        {
            let (limit, limit_ms) = (ClockLimit::Transaction, u64::from(limit_ms));
            let deadline = after(since_us, limit_ms);
            if deadline.reached(self.now) {
                return Late::Running { limit, limit_ms, since_us, may_commit };
            }
            next = next.min(deadline);
        }
        Late::Not(next)
    }

    /// A unit may go on although it is late.
    fn let_run(&mut self, id: ServerId, unit: u64) {
        if let Some(entry) = self.servers.get_mut(id) {
            entry.clock.spared_unit = unit;
        }
    }

    /// A limit has struck what runs: from now on nothing is sent to its server until that is over.
    fn strike(&mut self, id: ServerId, strike: Strike, may_commit: bool) {
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
    fn next_step(&mut self, id: ServerId) {
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
        let words = self.words_of(id, strike.limit, strike.limit_ms, strike.since_us);
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
        if strike.limit == ClockLimit::Transaction && is_failed && entry.server.ledger.is_settled()
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
