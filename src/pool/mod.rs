//! The ledger of servers of one (database, role, server): who is idle, who waits, how many may be.
//!
//! Deliberately absent: message bytes, SQL, sockets, and other pools ([`share`] weighs pools that
//! share a limit). It only counts and chooses; the loop dials, closes and writes.

use std::collections::VecDeque;

use crate::deadline::{Deadline, Tick};
use crate::ids::{ClientId, ServerId};

mod dials;
pub mod share;
pub mod spec;
#[cfg(test)]
mod tests;

use dials::Health;
pub use dials::Wants;
pub use spec::PoolSpec;

/// What a pool may use. Durations in milliseconds; `None`: no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most server connections at a time, those that are being dialled included.
    pub size: u32,
    /// So many are kept open though nobody uses them.
    pub min: u32,
    /// So many more than `size` for clients that have waited for `reserve_wait_ms`.
    pub reserve: u32,
    /// How long a client waits before the reserve is for it; `None`: not at all.
    pub reserve_wait_ms: Option<u64>,
    /// A server older than this is closed when nobody uses it.
    pub lifetime_ms: Option<u64>,
    /// A server idle for longer than this is closed.
    pub idle_ms: Option<u64>,
    /// Prepared statements that clients share, per server; 0: none are shared.
    pub prepared: u32,
    /// Unnamed statements that come again are among them.
    pub repeated: bool,
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

    /// Those that the pool has for its clients, now or soon: all but zombies.
    #[must_use]
    pub fn held(self) -> u32 {
        self.connecting + self.open
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    client: ClientId,
    since: Tick,
    /// How long it waits: what holds for its own role, whoever else uses the pool. `None`: for
    /// ever.
    wait_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Idle {
    server: ServerId,
    since: Tick,
}

/// Whether servers are given out.
#[derive(Clone, Copy, Debug)]
enum Hold {
    /// They are. Nobody's wait is counted from before `since`: until then all had to wait.
    Open { since: Tick },
    /// An administrator holds every client in the queue, for as long as it takes.
    Paused,
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
    /// Clients of different roles may have waited with different patience since the queue was
    /// last empty; then whoever is late may stand anywhere in it.
    mixed: bool,
    health: Health,
    /// What logs in is known, so that servers may be dialled though no client asks for one.
    may_warm: bool,
    hold: Hold,
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
            mixed: false,
            health: Health::Good,
            may_warm: false,
            hold: Hold::Open { since: Tick(0) },
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

    /// An idle server for a client, with the moment since when it has been idle; `None` when the
    /// client must queue: there is none, or others came before.
    #[must_use]
    #[inline]
    pub fn check_out(&mut self) -> Option<(ServerId, Tick)> {
        if self.waiting() > 0 || self.is_paused() {
            return None;
        }
        self.take_idle()
    }

    /// An idle server, whoever waits.
    #[must_use]
    pub fn take_idle(&mut self) -> Option<(ServerId, Tick)> {
        self.idle.pop().map(|idle| (idle.server, idle.since))
    }

    /// Puts a client at the end of the queue, where it waits for `wait_ms` at most. When that will
    /// be over.
    pub fn enqueue(&mut self, client: ClientId, now: Tick, wait_ms: Option<u64>) -> Deadline {
        let waiter = Waiter { client, since: now, wait_ms };
        self.notice_patience(wait_ms);
        self.waiters.push_back(waiter);
        self.expiry(waiter)
    }

    /// Puts a client back to the front: the server that was free does not suit it.
    pub fn enqueue_first(&mut self, client: ClientId, since: Tick, wait_ms: Option<u64>) {
        self.notice_patience(wait_ms);
        self.waiters.push_front(Waiter { client, since, wait_ms });
    }

    fn notice_patience(&mut self, wait_ms: Option<u64>) {
        match self.waiters.back() {
            Some(other) => self.mixed |= other.wait_ms != wait_ms,
            None => self.mixed = false,
        }
    }

    /// Those who wait are to wait as long as `patience` says now.
    pub fn refresh_patience(&mut self, patience: impl Fn(ClientId) -> Option<u64>) {
        for waiter in &mut self.waiters {
            waiter.wait_ms = patience(waiter.client);
        }
        self.mixed =
            self.waiters.iter().any(|w| Some(w.wait_ms) != self.waiters.front().map(|f| f.wait_ms));
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

    /// Takes the clients that have waited too long, each with its limit in milliseconds.
    pub fn expired_waiters(
        &mut self,
        now: Tick,
        alive: impl Fn(ClientId) -> bool,
    ) -> Vec<(ClientId, u64)> {
        let mut expired = Vec::new();
        let mut at = 0;
        while let Some(&waiter) = self.waiters.get(at) {
            if !alive(waiter.client) {
                self.waiters.remove(at);
                self.stale_waiters -= 1;
            } else if self.expiry(waiter).reached(now) {
                expired.push((waiter.client, waiter.wait_ms.unwrap_or_default()));
                self.waiters.remove(at);
            } else if self.mixed {
                at += 1;
            } else {
                // Those behind came later and wait as long.
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

    /// When the next client will have waited too long.
    #[must_use]
    pub fn next_expiry(&self) -> Deadline {
        let looked_at = if self.mixed { self.waiters.len() } else { 1 };
        let deadlines = self.waiters.iter().take(looked_at).map(|waiter| self.expiry(*waiter));
        deadlines.min().unwrap_or(Deadline::NEVER)
    }

    fn expiry(&self, waiter: Waiter) -> Deadline {
        match self.hold {
            Hold::Open { since } => Deadline::after(waiter.since.max(since), waiter.wait_ms),
            Hold::Paused => Deadline::NEVER,
        }
    }

    /// The clients that wait and since when; those that have left may be among them.
    pub fn waiters(&self) -> impl Iterator<Item = (ClientId, Tick)> + '_ {
        self.waiters.iter().map(|waiter| (waiter.client, waiter.since))
    }

    /// From now on no server is given out and none is dialled; whoever waits, waits on.
    pub fn pause(&mut self) {
        self.hold = Hold::Paused;
    }

    /// Servers are given out again. Those who wait have all their time again.
    pub fn resume(&mut self, now: Tick) {
        self.hold = Hold::Open { since: now };
    }

    /// Whether no server is given out.
    #[must_use]
    #[inline]
    pub fn is_paused(&self) -> bool {
        matches!(self.hold, Hold::Paused)
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

    /// How many are open beyond what is allowed: after a reload made the pool smaller, and when
    /// nobody waits who would be served from the reserve.
    #[must_use]
    #[inline]
    pub fn surplus(&self) -> u32 {
        let allowed = if self.waiting() > 0 {
            self.limits.size.saturating_add(self.limits.reserve)
        } else {
            self.limits.size
        };
        self.slots.held().saturating_sub(allowed)
    }

    /// How many of the idle servers may go when nobody has needed them for long.
    #[must_use]
    pub fn beyond_min(&self) -> u32 {
        self.slots.held().saturating_sub(self.limits.min)
    }

    /// The server that has been idle for longest, and since when.
    #[must_use]
    pub fn longest_idle(&self) -> Option<(ServerId, Tick)> {
        self.idle.first().map(|idle| (idle.server, idle.since))
    }

    /// Dials are worth trying again: they go to another place now.
    pub fn forget_failure(&mut self) {
        self.health = Health::Good;
    }

    /// Takes over new limits. What that calls for is done by the loop: surplus servers are closed
    /// as they come free, and missing ones dialled.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
}
