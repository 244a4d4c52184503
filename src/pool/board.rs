//! What the event loops know of each other's part of one pool: where its server connections stand,
//! who waits where and since when, and where servers are idle.
//!
//! The slots are the pool's one ledger. A loop writes its own seat only and reads the others':
//!
//! ```text
//!   a client queues:      queue of this seat is written, then idle servers of the others are read
//!   a server comes free:  stock of this seat is written, then queues of the others are read
//! ```
//!
//! A full fence stands between the write and the reads, so that of a client that queues on one loop
//! and a server that comes free on another at the same moment at least one sees the other: nobody
//! waits beside an idle server.
//!
//! Deliberately absent: which client, which server, and how a server travels.

use std::sync::Arc;

use crate::deadline::Tick;
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence};

use Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

/// How much longer a client must have waited on another loop than the one at the front of this
/// loop's queue before a server goes to that loop. It keeps servers from travelling at every turn.
pub const PATIENCE_MS: u64 = 20;

/// Where the server connections of a pool stand; their sum is what is open at Postgres, or is
/// being opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Being dialled or logging in.
    pub connecting: u32,
    /// Logged in: idle, leased, being cleaned, held back by a cancel request, or on the way from
    /// one loop to another.
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

/// Bits of one count among a pool's slots.
const COUNT_BITS: u32 = 21;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const CONNECTING: u64 = 1;
const OPEN: u64 = 1 << COUNT_BITS;
const ZOMBIE: u64 = 1 << (2 * COUNT_BITS);

/// So many of something, the first of it since a moment; in one word, so that it is read whole.
#[derive(Debug, Default)]
struct Line(AtomicU64);

/// Bits of the count in a [`Line`]; the others are milliseconds, good for 500 years.
const LINE_BITS: u32 = 20;
const LINE_MASK: u64 = (1 << LINE_BITS) - 1;

impl Line {
    fn write(&self, count: usize, since: Tick) {
        let count = (count as u64).min(LINE_MASK);
        let word = if count == 0 { 0 } else { since.0 << LINE_BITS | count };
        // Only this loop writes it, so what it reads here is what it wrote last.
        if self.0.load(Relaxed) != word {
            self.0.store(word, Release);
            fence(SeqCst);
        }
    }

    fn read(&self) -> (u32, Tick) {
        let word = self.0.load(Acquire);
        (u32::try_from(word & LINE_MASK).unwrap_or(u32::MAX), Tick(word >> LINE_BITS))
    }
}

/// One loop's part. On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Seat {
    /// Clients that wait.
    queue: Line,
    /// Idle servers.
    stock: Line,
    /// Servers on the loop.
    servers: AtomicU32,
    /// Servers on their way to the loop.
    inbound: AtomicU32,
    /// Clients of the loop, those included that are on their way to it.
    clients: AtomicU32,
}

/// One pool as all loops see it.
#[derive(Debug)]
pub struct Board {
    slots: AtomicU64,
    seats: Box<[Seat]>,
    /// What its home has found out about pools that it shares a limit with: [`STARVED`],
    /// [`CALLED_IN`].
    room: AtomicU32,
    /// The home has been called and has not looked yet.
    called: AtomicU32,
}

/// Another pool wants a place: idle servers are of interest to the home.
const STARVED: u32 = 1;
/// This pool is to give one up: servers that come free go to the home.
const CALLED_IN: u32 = 2;

impl Board {
    /// A pool without servers and clients over so many loops.
    #[must_use]
    pub fn new(loops: usize) -> Self {
        Board {
            slots: AtomicU64::default(),
            seats: (0..loops.max(1)).map(|_| Seat::default()).collect(),
            room: AtomicU32::default(),
            called: AtomicU32::default(),
        }
    }

    /// Over how many loops it is.
    #[must_use]
    pub fn loops(&self) -> usize {
        self.seats.len()
    }

    /// Where its server connections stand.
    #[must_use]
    #[inline]
    pub fn slots(&self) -> Slots {
        let word = self.slots.load(Acquire);
        let count = |unit: u64| u32::try_from((word / unit) & COUNT_MASK).unwrap_or(u32::MAX);
        Slots { connecting: count(CONNECTING), open: count(OPEN), zombie: count(ZOMBIE) }
    }

    /// A dial begins.
    pub fn dial_started(&self) {
        self.slots.fetch_add(CONNECTING, AcqRel);
    }

    /// A dial failed.
    pub fn dial_failed(&self) {
        self.slots.fetch_sub(CONNECTING, AcqRel);
        fence(SeqCst);
    }

    /// A dial succeeded: a server has come to this loop.
    pub fn dial_succeeded(&self, seat: usize) {
        self.slots.fetch_add(OPEN - CONNECTING, AcqRel);
        self.seats[seat].servers.fetch_add(1, AcqRel);
    }

    /// A server of this loop was given up, but its backend may still run.
    pub fn became_zombie(&self, seat: usize) {
        self.slots.fetch_add(ZOMBIE - OPEN, AcqRel);
        self.seats[seat].servers.fetch_sub(1, AcqRel);
    }

    /// A zombie is known to be gone.
    pub fn zombie_gone(&self) {
        self.slots.fetch_sub(ZOMBIE, AcqRel);
        fence(SeqCst);
    }

    /// A server leaves one loop for another.
    pub fn departed(&self, from: usize, to: usize) {
        self.seats[to].inbound.fetch_add(1, AcqRel);
        self.seats[from].servers.fetch_sub(1, AcqRel);
    }

    /// A server has come to this loop from another.
    pub fn arrived(&self, seat: usize) {
        self.seats[seat].servers.fetch_add(1, AcqRel);
        self.seats[seat].inbound.fetch_sub(1, AcqRel);
        fence(SeqCst);
    }

    /// A client is given to a loop, and counts there until the answer is dropped.
    #[must_use]
    pub fn occupy(self: &Arc<Self>, seat: usize) -> Occupancy {
        self.seats[seat].clients.fetch_add(1, AcqRel);
        Occupancy { board: self.clone(), seat }
    }

    /// How many clients there are on all loops.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.seats.iter().map(|seat| seat.clients.load(Acquire)).sum()
    }

    /// Of so many loops from `home` on, that one at least, the one with the fewest clients.
    #[must_use]
    pub fn emptiest(&self, home: usize, loops: usize) -> usize {
        let all = self.seats.len();
        let seats = (0..loops.clamp(1, all)).map(|nth| (home + nth) % all);
        seats.min_by_key(|seat| self.seats[*seat].clients.load(Acquire)).unwrap_or(home)
    }

    /// So many clients wait on a loop, the first of them since then.
    #[inline]
    pub fn show_queue(&self, seat: usize, waiting: usize, since: Tick) {
        self.seats[seat].queue.write(waiting, since);
    }

    /// So many servers are idle on a loop, the first of them since then.
    #[inline]
    pub fn show_stock(&self, seat: usize, idle: usize, since: Tick) {
        self.seats[seat].stock.write(idle, since);
    }

    /// How many clients wait on all loops.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.seats.iter().map(|seat| seat.queue.read().0).sum()
    }

    /// Since when the clients at the fronts of the other loops' queues have waited.
    pub fn fronts_beside(&self, seat: usize) -> impl Iterator<Item = Tick> + '_ {
        let others = self.seats.iter().enumerate().filter(move |(other, _)| *other != seat);
        let queues = others.map(|(_, seat)| seat.queue.read());
        queues.filter(|(waiting, _)| *waiting > 0).map(|(_, since)| since)
    }

    /// How many servers are idle on other loops, and on which.
    pub fn stocks_beside(&self, seat: usize) -> impl Iterator<Item = (usize, u32)> + '_ {
        let others = self.seats.iter().enumerate().filter(move |(other, _)| *other != seat);
        others.map(|(other, seat)| (other, seat.stock.read().0)).filter(|(_, idle)| *idle > 0)
    }

    /// Servers that waiting clients will have without a dial: those that are idle, and those that
    /// travel.
    #[must_use]
    pub fn to_be_had(&self) -> u32 {
        self.seats.iter().map(|seat| seat.stock.read().0 + seat.inbound.load(Acquire)).sum()
    }

    /// The loop whose idle server has been idle for longest, and since when.
    #[must_use]
    pub fn longest_idle(&self) -> Option<(usize, Tick)> {
        let stocks = self.seats.iter().enumerate().map(|(n, seat)| (n, seat.stock.read()));
        let idle = stocks.filter(|(_, (idle, _))| *idle > 0).map(|(n, (_, since))| (n, since));
        idle.min_by_key(|(_, since)| *since)
    }

    /// Whether no server is idle and none is on its way to or from Postgres or between loops.
    #[must_use]
    pub fn is_still(&self) -> bool {
        let slots = self.slots();
        slots.connecting == 0 && slots.zombie == 0 && self.to_be_had() == 0
    }

    /// Which other loop a server that has come free on `seat` is to go to; `None`: it stays.
    /// `front`: since when the client at the front of this loop's own queue has waited.
    #[must_use]
    pub fn heir(&self, seat: usize, front: Option<Tick>) -> Option<usize> {
        let mut heir: Option<(usize, Tick)> = None;
        for (other, theirs) in self.seats.iter().enumerate() {
            if other == seat {
                continue;
            }
            let (waiting, since) = theirs.queue.read();
            let unserved = waiting > theirs.inbound.load(Acquire);
            if unserved && heir.is_none_or(|(_, best)| since < best) {
                heir = Some((other, since));
            }
        }
        let (other, since) = heir?;
        let Some(front) = front else { return Some(other) };
        let has = |seat: usize| {
            self.seats[seat].servers.load(Acquire) + self.seats[seat].inbound.load(Acquire)
        };
        // Who has two fewer has been short of its share for a while.
        let patience = if has(other) + 2 <= has(seat) { 0 } else { PATIENCE_MS };
        (since.plus(patience) < front || (patience == 0 && since <= front)).then_some(other)
    }

    /// The home is to look at the pool. Whether it has to be told: it has not been called already.
    #[must_use]
    pub fn call(&self) -> bool {
        self.called.swap(1, AcqRel) == 0
    }

    /// The home looks at the pool now.
    pub fn heard(&self) {
        self.called.swap(0, AcqRel);
        fence(SeqCst);
    }

    /// Another pool wants a place, or none does; and servers of this pool that come free are to go
    /// home for that.
    pub fn show_room(&self, starved: bool, called_in: bool) {
        let bits = if starved { STARVED } else { 0 } | if called_in { CALLED_IN } else { 0 };
        self.room.store(bits, Release);
    }

    /// Whether another pool wants a place.
    #[must_use]
    #[inline]
    pub fn is_starved(&self) -> bool {
        self.room.load(Acquire) & STARVED != 0
    }

    /// Whether servers that come free are to go to the pool's home.
    #[must_use]
    #[inline]
    pub fn is_called_in(&self) -> bool {
        self.room.load(Acquire) & CALLED_IN != 0
    }
}

/// One client of a pool on one loop.
#[derive(Debug)]
pub struct Occupancy {
    board: Arc<Board>,
    seat: usize,
}

impl Occupancy {
    /// Whether it is that loop.
    #[must_use]
    pub fn is_on(&self, seat: usize) -> bool {
        self.seat == seat
    }
}

impl Drop for Occupancy {
    fn drop(&mut self) {
        self.board.seats[self.seat].clients.fetch_sub(1, AcqRel);
    }
}
