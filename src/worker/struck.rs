//! Limits in time that have struck: what is told of them, to their clients, to the log and to SHOW
//! TIMEOUTS.
//!
//! Deliberately absent: whether and when one strikes, and what is done then.

use std::collections::VecDeque;

use super::driver::Driver;
use super::listing::{Belt, Outcome, TimeoutLine};
use super::{Engine, ServerConn};
use crate::errors;
use crate::ids::ServerId;
use crate::pool::PoolSpec;
use crate::server::{Exceeded, Stage, Strike, asked};
use crate::session::Limit;
use crate::sql::Fingerprint;
use crate::wire::Report;
use crate::wire::backend::ErrorFields;

/// What Postgres says where somebody cancelled a statement.
const CANCELLED_BY_USER: &[u8] = b"canceling statement due to user request";

/// How many of them a loop remembers.
const REMEMBERED: usize = 100;

/// A limit that has struck, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Struck {
    pub(super) exceeded: Exceeded,
    pub(super) belt: Belt,
    pub(super) outcome: Outcome,
    pub(super) fingerprint: Option<Fingerprint>,
}

/// What has failed with a 57014.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failed {
    pub(super) fingerprint: Option<Fingerprint>,
    /// It is maintenance, and has that limit.
    pub(super) maintenance: bool,
}

/// The last ones of a loop, the oldest first.
#[derive(Debug, Default)]
pub(super) struct StruckLately(VecDeque<(u64, TimeoutLine)>);

impl StruckLately {
    /// Writes one to the log, and remembers it.
    pub(super) fn record(&mut self, spec: &PoolSpec, now_us: u64, struck: Struck) {
        let Struck { exceeded, belt, outcome, fingerprint } = struck;
        let Exceeded { limit, limit_ms, .. } = exceeded;
        let line = TimeoutLine {
            database: spec.database.clone(),
            role: spec.role.clone(),
            age_ms: 0,
            limit,
            limit_ms,
            elapsed_ms: exceeded.took_ms(now_us),
            belt,
            outcome,
            fingerprint,
        };
        tracing::warn!(
            database = %line.database,
            role = %line.role,
            fingerprint = line.fingerprint.map(tracing::field::display),
            limit = limit.key(),
            limit_ms,
            elapsed_ms = line.elapsed_ms,
            outcome = outcome.word(),
            by = belt.word(),
            "a limit in time has struck"
        );
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((now_us, line));
    }

    /// All of them, the newest first.
    pub(super) fn lines(&self, now_us: u64) -> impl Iterator<Item = TimeoutLine> + '_ {
        self.0.iter().rev().map(move |(at_us, line)| TimeoutLine {
            age_ms: now_us.saturating_sub(*at_us) / 1_000,
            ..line.clone()
        })
    }
}

impl Strike {
    /// What is to be recorded of it when it has come to this end.
    pub(super) fn ended(&self, outcome: Outcome) -> Struck {
        let &Strike { exceeded, fingerprint, .. } = self;
        Struck { exceeded, belt: Belt::Pgweir, outcome, fingerprint }
    }
}

impl<D: Driver> Engine<D> {
    /// A limit has struck on a client's server.
    pub(super) fn record_struck(&mut self, id: ServerId, struck: Struck) {
        let Some(entry) = self.servers.get(id) else { return };
        let counters = &mut self.pools[entry.pool.0 as usize].counters;
        match struck.outcome {
            Outcome::Cancelled | Outcome::Unconfirmed | Outcome::RolledBack | Outcome::GivenUp => {
                counters.timeouts.count(1 << struck.exceeded.limit as u32);
            }
            Outcome::LostRace => counters.timeouts_lost_race += 1,
            Outcome::WaitsForStandby | Outcome::Reported => {}
        }
        let client = entry.server.client().and_then(|client| self.clients.get(client));
        if let Some(client) = client {
            self.struck_lately.record(&client.spec, self.now_us, struck);
        }
    }

    /// The fingerprint of what a client's server is at, or of what it ran last.
    pub(super) fn fingerprint_of(&self, id: ServerId) -> Option<Fingerprint> {
        let server = &self.servers.get(id)?.server;
        let asked = server.asked.as_deref();
        if server.ledger.is_empty() {
            return asked?.last(server.lease, &self.statements);
        }
        asked::running(&server.ledger, asked, &self.statements)
    }

    /// What the client of a server is told of a limit.
    pub(super) fn words_of(&self, id: ServerId, exceeded: Exceeded) -> Option<Report> {
        let client = self.servers.get(id)?.server.client()?;
        Some(words(&self.clients.get(client)?.spec, exceeded, self.now_us))
    }
}

/// What a client is told in the place of a 57014 that a limit of pgweir's has brought about, by a cancel
/// request or by the server's own `statement_timeout`; and what is to be recorded of it, unless that has
/// been.
pub(super) fn words_for<S>(
    entry: &mut ServerConn<S>,
    spec: &PoolSpec,
    now_us: u64,
    error: &ErrorFields<'_>,
    failed: Failed,
) -> Option<(Option<Struck>, Report)> {
    if error.sqlstate != b"57014" {
        return None;
    }
    let (clock, server) = (&entry.clock, &mut entry.server);
    let unit = server.ledger.current_unit();
    let (struck, is_new) = match &mut server.strike {
        Some(strike)
            if strike.stage == Stage::Barrier
                || (strike.stage != Stage::Looking && strike.unit == unit) =>
        {
            let is_new = !std::mem::replace(&mut strike.told, true);
            (strike.ended(Outcome::Cancelled), is_new)
        }
        Some(_) | None => {
            let (limit, limit_ms) = clock.limits.of_statements(failed.maintenance);
            let since_us = clock.query_us?;
            // A session may have a lower one of its own, and somebody may have cancelled it.
            let is_ours = limit_ms.is_some() && server.applied.limit(Limit::Statement) == limit_ms;
            let limit_ms = u64::from(limit_ms?);
            let late = now_us.saturating_sub(since_us) >= limit_ms * 1_000;
            if !is_ours || !late || error.message == CANCELLED_BY_USER {
                return None;
            }
            let (belt, outcome) = (Belt::Server, Outcome::Cancelled);
            let fingerprint = failed.fingerprint;
            let exceeded = Exceeded { limit, limit_ms, since_us };
            (Struck { exceeded, belt, outcome, fingerprint }, true)
        }
    };
    Some((is_new.then_some(struck), words(spec, struck.exceeded, now_us)))
}

fn words(spec: &PoolSpec, exceeded: Exceeded, now_us: u64) -> Report {
    let Exceeded { limit, limit_ms, .. } = exceeded;
    let from = spec.settings.load().origin_of(limit.key());
    errors::limit_struck(limit, limit_ms, exceeded.took_ms(now_us), &from)
}
