//! A limit in time that has struck: what is being done about the server, step by step.
//!
//! ```text
//!   Looking ──not waiting for a standby──▶ Cancelled(1) ─1 s─▶ Cancelled(2) ─2 s─▶ Terminated ─1 s─▶ closed
//!      │                                        │                   │
//!      └──waits for a standby: called off       └──its unit is over─┴──▶ Barrier ──▶ over
//! ```
//!
//! From the decision on nothing is sent to the server until the strike is over, so that a signal
//! which comes late finds nothing that was sent after it.

use crate::config::ClockLimit;
use crate::deadline::Deadline;
use crate::sql::Fingerprint;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Postgres is being asked whether the statement waits for a standby.
    Looking,
    /// So many cancel requests have been ordered.
    Cancelled(u8),
    /// Postgres has been asked to end the process.
    Terminated,
    /// The unit is over, and a Sync of pgweir's own has been sent behind the signal.
    Barrier,
}

/// A limit, and when began what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which one.
    pub limit: ClockLimit,
    /// The limit in milliseconds.
    pub limit_ms: u64,
    /// When began what it measures, in microseconds of the loop's clock.
    pub since_us: u64,
}

impl Exceeded {
    /// How long it has been, in milliseconds.
    #[must_use]
    pub fn took_ms(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.since_us) / 1_000
    }
}

/// A limit that has struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Which one.
    pub exceeded: Exceeded,
    /// The unit of work that ran too long.
    pub unit: u64,
    /// How far it has come.
    pub stage: Stage,
    /// When the next step is due.
    pub next: Deadline,
    /// The unit ended without an error in an open transaction: its ReadyForQuery is held back, for
    /// a signal that comes late would abort that.
    pub ready_due: bool,
    /// The client has been told that the limit struck.
    pub told: bool,
    /// It has ended a wait for a standby: the server has said that what ran is committed there only.
    pub unconfirmed: bool,
    /// What ran, where that is known.
    pub fingerprint: Option<Fingerprint>,
}
