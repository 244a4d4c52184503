//! What rules of the guard find without a statement: a client that is silent while its DDL holds locks, or that goes
//! and leaves its DDL uncommitted.

use super::Engine;
use super::driver::Driver;
use super::guard::context;
use crate::client::{Guarded, Session};
use crate::deadline::Deadline;
use crate::guard::{self, Catalog, Context, Judgement};
use crate::ids::{PoolId, ServerId};
use crate::pool::PoolSpec;
use crate::sql::{Fingerprint, LexOptions};

/// So long a client may be silent while others wait for what its DDL has locked.
const SILENT_MS: u64 = 5_000;

impl<D: Driver> Engine<D> {
    /// A server is ready whose client may hold locks.
    #[inline]
    pub(super) fn watch_held_locks(&mut self, server: ServerId) {
        let client = self.servers.get(server).and_then(|entry| entry.server.client());
        let Some(id) = client else { return };
        if let Some(client) = self.clients.get_mut(id)
            && let Some(guarded) = &mut client.session.guarded
            && guarded.history.holds_exclusive()
            && guarded.is_first_watch()
        {
            let deadline = Deadline::after(self.now, Some(SILENT_MS));
            // It may stand there for a transaction before.
            self.held_locks.entry(id).or_insert(deadline);
            self.check_at(deadline);
        }
    }

    /// Tells of those that have been silent for too long.
    pub(super) fn check_held_locks(&mut self) {
        for (id, deadline) in std::mem::take(&mut self.held_locks) {
            let Some(client) = self.clients.get(id) else { continue };
            let holds = |guarded: &Guarded| guarded.history.holds_exclusive();
            if !client.session.guarded.as_deref().is_some_and(holds) {
                continue;
            }
            let asks = client.session.server().and_then(|server| self.servers.get(server));
            let asks = asks.is_none_or(|entry| entry.server.ledger.owes_replies());
            let due = match deadline.reached(self.now) {
                _ if asks => Deadline::after(self.now, Some(SILENT_MS)),
                true => Deadline::after(client.active_at, Some(SILENT_MS)),
                false => deadline,
            };
            if due.reached(self.now) {
                let (spec, pool) = (client.spec.clone(), client.pool);
                let found = judged(&spec, &client.session, guard::judge_silence);
                self.note_found(&spec, pool, &found);
            } else {
                self.held_locks.insert(id, due);
                self.check_at(due);
            }
        }
    }

    /// A client has gone.
    pub(super) fn note_lost_ddl(&mut self, session: &Session, spec: &PoolSpec, pool: PoolId) {
        if session.guarded.as_ref().is_some_and(|guarded| guarded.history.has_ddl()) {
            let found = judged(spec, session, guard::judge_departure);
            self.note_found(spec, pool, &found);
        }
    }

    fn note_found(&mut self, spec: &PoolSpec, pool: PoolId, found: &Judgement) {
        let counters = &mut self.pools[pool.0 as usize].counters;
        for finding in &found.findings {
            counters.guard.count(finding.rule, finding.action.as_str());
            self.found_lately.record(spec, self.now_us, finding, Fingerprint::of(b""));
        }
    }
}

fn judged(spec: &PoolSpec, session: &Session, judge: fn(&Context<'_>) -> Judgement) -> Judgement {
    let settings = spec.settings.load_full();
    let origin = settings.policy_origin();
    let options = LexOptions::default();
    judge(&context(session, None, Catalog::EMPTY, (&settings, &origin), options))
}
