//! The ledger of servers of one (database, role, server): who is idle, who waits, how many may be.
//!
//! Deliberately absent: message bytes, SQL, sockets. It only counts and chooses; the loop dials,
//! closes and writes.

use std::collections::VecDeque;

use crate::deadline::{Deadline, Tick};
use crate::ids::{ClientId, ServerId};
use crate::wire::Report;

pub mod spec;
#[cfg(test)]
mod tests;

pub use spec::PoolSpec;

/// What a pool may use. Durations in milliseconds; `None`: no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most server connections at a time, those that are being dialled included.
    pub size: u32,
    /// How long a client waits for a server.
    pub wait_ms: Option<u64>,
    /// A server older than this is closed when nobody uses it.
    pub lifetime_ms: Option<u64>,
    /// A server idle for longer than this is closed.
    pub idle_ms: Option<u64>,
    /// Prepared statements that clients share, per server; 0: none are shared.
    pub prepared: u32,
}

/// Where the server connections of a pool stand; their sum is what is open at Postgres, or is
/// being opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Being dialled or logging in.
    pub connecting: u32,
    /// Logged in: idle, leased, being cleaned, or held back by a cancel request.
    pub open: u32,
    /// Given up by pgweir, but not known to be gone at Postgres.
    pub zombie: u32,
}

impl Slots {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u32 {
        self.connecting + self.open + self.zombie
    }
}

/// First pause after a failed dial.
const FIRST_PAUSE_MS: u64 = 50;
/// Longest pause between two failed dials.
const LONGEST_PAUSE_MS: u64 = 1_000;

/// Whether dialling is worth trying.
#[derive(Clone, Debug)]
enum Health {
    /// The last dial succeeded, or none has been tried.
    Good,
    /// The last dial failed: one login at a time, with pauses, until one succeeds.
    Failing { cause: Report, pause_ms: u64, next_try: Tick },
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    client: ClientId,
    since: Tick,
}

#[derive(Clone, Copy, Debug)]
struct Idle {
    server: ServerId,
    since: Tick,
}

/// Servers and waiting clients of one (database, role, server).
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    slots: Slots,
    /// The one used last is taken first, so that a pool shrinks to what it needs.
    idle: Vec<Idle>,
    waiters: VecDeque<Waiter>,
    /// Entries of `waiters` whose clients left.
    stale_waiters: usize,
    health: Health,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Pool {
            limits,
            slots: Slots::default(),
            idle: Vec::new(),
            waiters: VecDeque::new(),
            stale_waiters: 0,
            health: Health::Good,
        }
    }

    /// What it may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where its server connections stand.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.slots
    }

    /// How many servers are idle.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.idle.len()
    }

    /// How many clients wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters.len() - self.stale_waiters
    }

    /// Why the last dial failed, while none has succeeded since.
    #[must_use]
    pub fn failure(&self) -> Option<&Report> {
        match &self.health {
            Health::Good => None,
            Health::Failing { cause, .. } => Some(cause),
        }
    }

    /// An idle server for a client, with the moment since when it has been idle; `None` when the
    /// client must queue: there is none, or others came before.
    #[must_use]
    #[inline]
    pub fn check_out(&mut self) -> Option<(ServerId, Tick)> {
        if self.waiting() > 0 {
            return None;
        }
        self.take_idle()
    }

    /// An idle server, whoever waits.
    #[must_use]
    pub fn take_idle(&mut self) -> Option<(ServerId, Tick)> {
        self.idle.pop().map(|idle| (idle.server, idle.since))
    }

    /// Puts a client at the end of the queue.
    pub fn enqueue(&mut self, client: ClientId, now: Tick) {
        self.waiters.push_back(Waiter { client, since: now });
    }

    /// Puts a client back to the front: the server that was free does not suit it.
    pub fn enqueue_first(&mut self, client: ClientId, since: Tick) {
        self.waiters.push_front(Waiter { client, since });
    }

    /// Takes the client that waits longest, with the moment since when; `alive` tells whether an
    /// entry's client still waits.
    #[inline]
    pub fn next_waiter(&mut self, alive: impl Fn(ClientId) -> bool) -> Option<(ClientId, Tick)> {
        while let Some(waiter) = self.waiters.pop_front() {
            if alive(waiter.client) {
                return Some((waiter.client, waiter.since));
            }
            self.stale_waiters -= 1;
        }
        None
    }

    /// A client that waited has left; its entry is skipped when its turn comes.
    pub fn waiter_left(&mut self, alive: impl Fn(ClientId) -> bool) {
        self.stale_waiters += 1;
        if self.stale_waiters > 64 && self.stale_waiters * 2 > self.waiters.len() {
            self.waiters.retain(|waiter| alive(waiter.client));
            self.stale_waiters = 0;
        }
    }

    /// Takes the clients that have waited too long.
    pub fn expired_waiters(
        &mut self,
        now: Tick,
        alive: impl Fn(ClientId) -> bool,
    ) -> Vec<ClientId> {
        let mut expired = Vec::new();
        while let Some(front) = self.waiters.front() {
            if !alive(front.client) {
                self.waiters.pop_front();
                self.stale_waiters -= 1;
            } else if Deadline::after(front.since, self.limits.wait_ms).reached(now) {
                expired.push(front.client);
                self.waiters.pop_front();
            } else {
                break;
            }
        }
        expired
    }

    /// Takes every waiting client: the pool cannot serve them.
    pub fn take_waiters(&mut self, alive: impl Fn(ClientId) -> bool) -> Vec<ClientId> {
        self.stale_waiters = 0;
        self.waiters.drain(..).map(|waiter| waiter.client).filter(|&client| alive(client)).collect()
    }

    /// Since when the client at the front has waited.
    #[must_use]
    pub fn oldest_wait(&self) -> Option<Tick> {
        self.waiters.front().map(|waiter| waiter.since)
    }

    /// Puts a clean server back.
    #[inline]
    pub fn check_in(&mut self, server: ServerId, now: Tick) {
        self.idle.push(Idle { server, since: now });
    }

    /// Takes a server out of the idle list: it is being closed. Whether it was there.
    pub fn remove_idle(&mut self, server: ServerId) -> bool {
        let before = self.idle.len();
        self.idle.retain(|idle| idle.server != server);
        self.idle.len() != before
    }

    /// Idle servers that `expired` picks, oldest first, given the moment since when each was idle.
    #[must_use]
    pub fn idle_servers_where(
        &self,
        mut expired: impl FnMut(ServerId, Tick) -> bool,
    ) -> Vec<ServerId> {
        self.idle
            .iter()
            .filter(|idle| expired(idle.server, idle.since))
            .map(|idle| idle.server)
            .collect()
    }

    /// How many dials to start now. Counts them as connecting.
    #[must_use]
    pub fn dials_wanted(&mut self, now: Tick) -> u32 {
        let room = self.limits.size.saturating_sub(self.slots.total());
        let wanted = u32::try_from(self.waiting()).unwrap_or(u32::MAX);
        let missing = wanted.saturating_sub(self.slots.connecting).min(room);
        let dials = match &self.health {
            Health::Good => missing,
            Health::Failing { next_try, .. } => {
                let probe = self.slots.connecting == 0 && now >= *next_try;
                missing.min(u32::from(probe))
            }
        };
        self.slots.connecting += dials;
        dials
    }

    /// When a dial that is wanted may be tried again; `None` when nothing is being waited for.
    #[must_use]
    pub fn next_dial(&self) -> Option<Tick> {
        match &self.health {
            Health::Failing { next_try, .. }
                if self.waiting() > 0 && self.slots.connecting == 0 =>
            {
                Some(*next_try)
            }
            Health::Failing { .. } | Health::Good => None,
        }
    }

    /// A dial succeeded.
    pub fn dial_succeeded(&mut self) {
        self.slots.connecting -= 1;
        self.slots.open += 1;
        self.health = Health::Good;
    }

    /// A dial failed. `jitter` is 0 to 255 and spreads the next tries of many pools.
    pub fn dial_failed(&mut self, cause: Report, now: Tick, jitter: u8) {
        self.slots.connecting -= 1;
        let pause_ms = match &self.health {
            Health::Good => FIRST_PAUSE_MS,
            // Dials that were under way together fail together: one failure, one step.
            Health::Failing { pause_ms, next_try, .. } if now < *next_try => *pause_ms,
            Health::Failing { pause_ms, .. } => (pause_ms * 2).min(LONGEST_PAUSE_MS),
        };
        let spread = pause_ms * u64::from(jitter) / 1024;
        self.health = Health::Failing { cause, pause_ms, next_try: now.plus(pause_ms + spread) };
    }

    /// A logged-in server is gone.
    pub fn closed(&mut self) {
        self.slots.open -= 1;
    }

    /// A logged-in server was given up, but its backend may still run.
    pub fn became_zombie(&mut self) {
        self.slots.open -= 1;
        self.slots.zombie += 1;
    }

    /// A zombie is known to be gone.
    pub fn zombie_gone(&mut self) {
        self.slots.zombie -= 1;
    }

    /// How many are open beyond what is allowed, after a reload made the pool smaller.
    #[must_use]
    pub fn surplus(&self) -> u32 {
        self.slots.total().saturating_sub(self.limits.size)
    }

    /// Takes over new limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
}
