//! The ledger of servers of one (database, role, server): who is idle, who waits, how many may be.
//!
//! Deliberately absent: message bytes, SQL, sockets, and other pools ([`share`] weighs pools that
//! share a limit). It only counts and chooses; the loop dials, closes and writes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::deadline::{Deadline, Tick};
use crate::ids::{ClientId, ServerId};

mod addresses;
pub mod board;
#[cfg(test)]
mod board_tests;
mod code;
mod dials;
mod fleet;
mod listener;
pub mod share;
pub mod spec;
#[cfg(test)]
mod tests;
mod time_limits;

pub use addresses::Addresses;
pub use board::{Board, Slots};
pub use code::Code;
use dials::Health;
pub use dials::Wants;
pub use fleet::Fleet;
pub use listener::{ListenerLine, ListenerStanding};
pub use spec::PoolSpec;
pub use time_limits::TimeLimits;

/// How long a server stays idle at most on a loop that is not its pool's home.
const IDLE_ABROAD_MS: u64 = 5_000;

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
    /// Every parameter is reset before another client gets a server.
    pub resets: bool,
    /// So it is where code of the database may set some.
    pub resets_for_code: bool,
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

/// Servers and waiting clients of one (database, role, server) on one loop.
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    /// The pool on all loops together.
    board: Arc<Board>,
    /// This loop's place on the board.
    seat: usize,
    /// There are other loops.
    shared: bool,
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
    /// Nobody is known to take its writes: servers are neither given out nor dialled, and who waits does so for as long
    /// as ever.
    headless: bool,
}

impl Pool {
    /// An empty pool that no other loop has to do with.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Pool::at(limits, Arc::new(Board::new(1)), 0)
    }

    /// One loop's part of a pool.
    #[must_use]
    pub fn at(limits: Limits, board: Arc<Board>, seat: usize) -> Self {
        Pool {
            limits,
            shared: board.loops() > 1,
            board,
            seat,
            idle: Vec::new(),
            waiters: VecDeque::new(),
            stale_waiters: 0,
            mixed: false,
            health: Health::Good,
            may_warm: false,
            hold: Hold::Open { since: Tick(0) },
            headless: false,
        }
    }

    /// What it may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where its server connections stand, on all loops together.
    #[must_use]
    #[inline]
    pub fn slots(&self) -> Slots {
        self.board.slots()
    }

    /// The pool on all loops together.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Whether there are other loops.
    #[must_use]
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// How many clients wait, on all loops together.
    #[must_use]
    #[inline]
    pub fn waiting_anywhere(&self) -> usize {
        if self.shared { self.board.waiting() as usize } else { self.waiting() }
    }

    /// The other loop that a server which has come free here is to go to.
    #[must_use]
    #[inline]
    pub fn heir(&self) -> Option<usize> {
        if !self.shared {
            return None;
        }
        let front = if self.waiting() > 0 { self.oldest_wait() } else { None };
        self.board.heir(self.seat, front)
    }

    /// Since when the client that waits longest on any other loop has.
    #[must_use]
    #[inline]
    pub fn front_elsewhere(&self) -> Option<Tick> {
        if self.shared { self.board.fronts_beside(self.seat).min() } else { None }
    }

    /// Since when the client that waits longest on any loop has.
    #[must_use]
    pub fn oldest_wait_anywhere(&self) -> Option<Tick> {
        let here = if self.waiting() > 0 { self.oldest_wait() } else { None };
        here.into_iter().chain(self.front_elsewhere()).min()
    }

    #[inline]
    fn show_queue(&self) {
        if self.shared {
            // Nobody needs to hurry for clients that are held.
            let waiting = if self.gives_nothing() { 0 } else { self.waiting() };
            let since = self.waiters.front().map_or(Tick(0), |front| front.since);
            self.board.show_queue(self.seat, waiting, since);
        }
    }

    #[inline]
    fn show_stock(&self) {
        if self.shared {
            let since = self.idle.first().map_or(Tick(0), |idle| idle.since);
            self.board.show_stock(self.seat, self.idle.len(), since);
        }
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

    /// Whether a client must queue although a server may be idle: others came before, or the pool is
    /// paused.
    #[must_use]
    #[inline]
    pub fn must_queue(&self) -> bool {
        self.waiting() > 0 || self.gives_nothing()
    }

    /// The idle server with the least `rank`, of several the one used last; since when it has been
    /// idle; its rank.
    #[inline]
    pub fn take_idle<R: Ord + Default>(
        &mut self,
        mut rank: impl FnMut(ServerId) -> R,
    ) -> Option<(ServerId, Tick, R)> {
        let least = R::default();
        let last = self.idle.len().checked_sub(1)?;
        let mut best = (rank(self.idle[last].server), last);
        for place in (0..last).rev() {
            if best.0 == least {
                break;
            }
            let rank = rank(self.idle[place].server);
            if rank < best.0 {
                best = (rank, place);
            }
        }
        let (rank, place) = best;
        let taken = if place == last { self.idle.pop()? } else { self.idle.remove(place) };
        self.show_stock();
        Some((taken.server, taken.since, rank))
    }

    /// Puts a client at the end of the queue, where it waits for `wait_ms` at most. When that will
    /// be over.
    pub fn enqueue(&mut self, client: ClientId, now: Tick, wait_ms: Option<u64>) -> Deadline {
        let waiter = Waiter { client, since: now, wait_ms };
        self.notice_patience(wait_ms);
        self.waiters.push_back(waiter);
        self.show_queue();
        self.expiry(waiter)
    }

    /// Puts a client back to the front: the server that was free does not suit it.
    pub fn enqueue_first(&mut self, client: ClientId, since: Tick, wait_ms: Option<u64>) {
        self.notice_patience(wait_ms);
        self.waiters.push_front(Waiter { client, since, wait_ms });
        self.show_queue();
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
        let mut next = None;
        while let Some(waiter) = self.waiters.pop_front() {
            if alive(waiter.client) {
                next = Some((waiter.client, waiter.since));
                break;
            }
            self.stale_waiters -= 1;
        }
        if next.is_some() && self.stale_waiters > 0 {
            self.drop_stale_front(alive);
        }
        self.show_queue();
        next
    }

    /// The front of the queue is a client that waits: its age is what others go by.
    fn drop_stale_front(&mut self, alive: impl Fn(ClientId) -> bool) {
        while let Some(front) = self.waiters.front()
            && !alive(front.client)
        {
            self.waiters.pop_front();
            self.stale_waiters -= 1;
        }
    }

    /// A client that waited has left; its entry is skipped when its turn comes.
    pub fn waiter_left(&mut self, alive: impl Fn(ClientId) -> bool) {
        self.stale_waiters += 1;
        if self.stale_waiters > 64 && self.stale_waiters * 2 > self.waiters.len() {
            self.waiters.retain(|waiter| alive(waiter.client));
            self.stale_waiters = 0;
        } else {
            self.drop_stale_front(alive);
        }
        self.show_queue();
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
        self.show_queue();
        expired
    }

    /// Takes every waiting client: the pool cannot serve them.
    pub fn take_waiters(&mut self, alive: impl Fn(ClientId) -> bool) -> Vec<ClientId> {
        self.stale_waiters = 0;
        let all = self.waiters.drain(..).map(|waiter| waiter.client);
        let waiting = all.filter(|&client| alive(client)).collect();
        self.show_queue();
        waiting
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
        self.show_queue();
    }

    /// Servers are given out again. Those who wait have all their time again.
    pub fn resume(&mut self, now: Tick) {
        self.hold = Hold::Open { since: now };
        self.show_queue();
    }

    /// Whether no server is given out.
    #[must_use]
    #[inline]
    pub fn is_paused(&self) -> bool {
        matches!(self.hold, Hold::Paused)
    }

    /// Whether no server is given out, whoever says so.
    #[must_use]
    #[inline]
    pub fn gives_nothing(&self) -> bool {
        self.is_paused() || self.headless
    }

    /// Nobody is known to take its writes, or somebody is again. Whether that is news.
    pub fn set_headless(&mut self, headless: bool) -> bool {
        let before = std::mem::replace(&mut self.headless, headless);
        self.show_queue();
        before != headless
    }

    /// Puts a clean server back.
    #[inline]
    pub fn check_in(&mut self, server: ServerId, since: Tick) {
        let idle = Idle { server, since };
        match self.idle.last() {
            // It has been idle elsewhere.
            Some(last) if last.since > since => {
                let place = self.idle.partition_point(|other| other.since <= since);
                self.idle.insert(place, idle);
            }
            Some(_) | None => self.idle.push(idle),
        }
        self.show_stock();
    }

    /// The idle servers, and since when.
    pub fn idle_servers(&self) -> impl Iterator<Item = (ServerId, Tick)> + '_ {
        self.idle.iter().map(|idle| (idle.server, idle.since))
    }

    /// How long a server stays idle on this loop; afterwards it is closed at `home`, and sent home
    /// from elsewhere.
    #[must_use]
    pub fn idle_limit(&self, home: bool) -> Option<u64> {
        let limit = self.limits.idle_ms;
        if home { limit } else { Some(limit.unwrap_or(u64::MAX).min(IDLE_ABROAD_MS)) }
    }

    /// Takes a server out of the idle list: it is being closed. Whether it was there.
    pub fn remove_idle(&mut self, server: ServerId) -> bool {
        let before = self.idle.len();
        self.idle.retain(|idle| idle.server != server);
        self.show_stock();
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

    /// A server was given up, but its backend may still run.
    pub fn became_zombie(&mut self) {
        self.board.became_zombie(self.seat);
    }

    /// A zombie is known to be gone.
    pub fn zombie_gone(&mut self) {
        self.board.zombie_gone();
    }

    /// A server leaves for another loop.
    pub fn departs(&mut self, to: usize) {
        self.board.departed(self.seat, to);
    }

    /// A server has come from another loop.
    pub fn arrives(&mut self) {
        self.board.arrived(self.seat);
    }

    /// How many are open beyond what is allowed: after a reload made the pool smaller, and when
    /// nobody waits who would be served from the reserve.
    #[must_use]
    #[inline]
    pub fn surplus(&self) -> u32 {
        let allowed = if self.waiting_anywhere() > 0 {
            self.limits.size.saturating_add(self.limits.reserve)
        } else {
            self.limits.size
        };
        self.slots().held().saturating_sub(allowed)
    }

    /// How many of the idle servers may go when nobody has needed them for long.
    #[must_use]
    pub fn beyond_min(&self) -> u32 {
        self.slots().held().saturating_sub(self.limits.min)
    }

    /// The server that has been idle for longest, and since when.
    #[must_use]
    pub fn longest_idle(&self) -> Option<(ServerId, Tick)> {
        self.idle.first().map(|idle| (idle.server, idle.since))
    }

    /// Since when the server that has been idle for longest has been, on any loop.
    #[must_use]
    pub fn idle_since(&self) -> Option<Tick> {
        if self.shared {
            return self.board.longest_idle().map(|(_, since)| since);
        }
        self.longest_idle().map(|(_, since)| since)
    }

    /// Since when the client that waits longest has, on any loop.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Tick> {
        self.oldest_wait().into_iter().chain(self.front_elsewhere()).min()
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
