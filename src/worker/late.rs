//! pgweir's clock: what has been running, or silent, for too long.
//!
//! When something may be late is a number in the loop's slabs; one check for all of them finds out
//! whether it is.
//!
//! Deliberately absent: what is done about it (`timeouts`), and the server's own `statement_timeout`,
//! which strikes first where it can.

use super::driver::Driver;
use super::listing::{Belt, Outcome};
use super::struck::Struck;
use super::timeouts::LOOK_LIMIT_MS;
use super::{Client, Engine};
use crate::client::Lost;
use crate::config::{ClockLimit, TimeoutAction};
use crate::deadline::{Deadline, Tick};
use crate::ids::{ClientId, ServerId};
use crate::server::ledger::Running;
use crate::server::{Exceeded, Stage, Strike, User};
use crate::session::{Ending, Limit};
use crate::wire::TransactionStatus;

/// How much later than a limit pgweir strikes, so that the server's own comes first.
pub(super) const GRACE_MS: u64 = 100;

/// What the clock says of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    /// Nothing, until then.
    Not(Deadline),
    /// The unit at the front, or the transaction around it; it may be committing.
    Running { exceeded: Exceeded, may_commit: bool },
    /// The client is silent in its transaction.
    Silent(Exceeded),
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
            let waits_for_us = |client: &Client<_>| client.session.waits_for_us();
            match self.clients.get(client).is_some_and(waits_for_us) {
                true => clock.silent_us = Some(self.now_us),
                false => clock.silent_us = clock.silent_us.or(Some(self.now_us)),
            }
        }
        match self.late(id) {
            Late::Not(until) => self.check_at(until),
            Late::Running { exceeded, may_commit } => self.runs_too_long(id, exceeded, may_commit),
            Late::Silent(exceeded) => self.is_silent_too_long(id, client, exceeded),
        }
    }

    fn runs_too_long(&mut self, id: ServerId, exceeded: Exceeded, may_commit: bool) {
        let fingerprint = self.fingerprint_of(id);
        let action = self.timeout_action(id);
        let Some(entry) = self.servers.get_mut(id) else { return };
        let unit = entry.server.ledger.current_unit();
        let strike = Strike {
            exceeded,
            unit,
            stage: Stage::Looking,
            next: Deadline::after(self.now, Some(LOOK_LIMIT_MS)),
            ready_due: false,
            told: false,
            unconfirmed: false,
            fingerprint,
        };
        if action != Some(TimeoutAction::Report) {
            return self.strike(id, strike, may_commit);
        }
        entry.clock.spared_unit = unit;
        if exceeded.limit == ClockLimit::Transaction {
            // Once is enough for a transaction.
            entry.clock.limits.lift(exceeded.limit);
        }
        self.record_struck(id, strike.ended(Outcome::Reported));
    }

    fn is_silent_too_long(&mut self, id: ServerId, client: ClientId, exceeded: Exceeded) {
        let fingerprint = self.fingerprint_of(id);
        let action = self.timeout_action(id);
        let Some(entry) = self.servers.get_mut(id) else { return };
        if entry.server.is_frozen() {
            // A cancel request of the client's own could hit the ROLLBACK.
            return self.check_at(Deadline::after(self.now, Some(GRACE_MS)));
        }
        let (belt, outcome) = (Belt::Pgweir, Outcome::RolledBack);
        let struck = Struck { exceeded, belt, outcome, fingerprint };
        if action == Some(TimeoutAction::Report) {
            // Once is enough for a transaction.
            entry.clock.limits.lift(exceeded.limit);
            self.record_struck(id, Struck { outcome: Outcome::Reported, ..struck });
            return self.watch_time(id);
        }
        let Some(report) = self.words_of(id, exceeded) else { return };
        self.record_struck(id, struck);
        if action == Some(TimeoutAction::Close) {
            return self.end_client(client, Some(report));
        }
        self.roll_back(id, client, Lost::unreported(report));
    }

    fn timeout_action(&self, id: ServerId) -> Option<TimeoutAction> {
        let client = self.servers.get(id)?.server.client()?;
        Some(self.clients.get(client)?.spec.settings.load().timeout_action)
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
            let mut next = Deadline::NEVER;
            let idle = (ClockLimit::IdleInTransaction, Some(since_us));
            for (limit, since_us) in [idle, (ClockLimit::Transaction, clock.transaction_us)] {
                let (Some(limit_ms), Some(since_us)) = (limits.get(limit), since_us) else {
                    continue;
                };
                let limit_ms = u64::from(limit_ms);
                let deadline = Deadline::after(Tick(since_us / 1_000), Some(limit_ms));
                if deadline.reached(self.now) {
                    return Late::Silent(Exceeded { limit, limit_ms, since_us });
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
                let exceeded = Exceeded { limit, limit_ms, since_us };
                return Late::Running { exceeded, may_commit };
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
                let exceeded = Exceeded { limit, limit_ms, since_us };
                return Late::Running { exceeded, may_commit };
            }
            next = next.min(deadline);
        }
        Late::Not(next)
    }
}
