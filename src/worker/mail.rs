//! What the login hall and the loops say to each other.
//!
//! The hall hands logged-in sockets over and reports what became of dials and cancel requests; a
//! loop orders dials and cancel requests. Every answer carries the id it is for, and ids have
//! generations: an answer for something that is gone is dropped.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::OwnedSemaphorePermit;

use crate::cancel::{CancelTarget, Registration};
use crate::client::Notification;
use crate::config::{Host, ServerConfig};
use crate::deadline::Tick;
use crate::dial::ServerAddress;
use crate::guard::{Answer, Question};
use crate::ids::{ClientId, ServerId};
use crate::metrics::{Counters, ReasonCounts};

pub use crate::ids::CancelId;
use crate::net::tls::TlsSession;
use crate::pool::PoolSpec;
use crate::pool::board::Occupancy;
use crate::prepared::PackedStatements;
use crate::route::Topology;
use crate::server::Server;
use crate::session::{ParamSet, Startup};
use crate::sql::Name;
use crate::wire::Report;

use super::conn::Conn;
pub use super::listing::Listing;

/// A socket with everything that was read ahead of its hand-over.
#[derive(Debug)]
pub struct Handed<S> {
    /// The socket, nonblocking.
    pub socket: S,
    /// TLS, when it is on.
    pub tls: Option<Box<TlsSession>>,
    /// Bytes from the socket that TLS has not decrypted yet. No edge comes for them.
    pub undecrypted: Vec<u8>,
    /// Plain bytes that nobody has looked at yet. No edge comes for them.
    pub unread: Vec<u8>,
}

/// A client that has proved who it is. AuthenticationOk has been sent or stands in `unsent`;
/// ParameterStatus, BackendKeyData and ReadyForQuery have not.
#[derive(Debug)]
pub struct NewClient<S> {
    /// The connection.
    pub handed: Handed<S>,
    /// Plain bytes that must be sent before anything else.
    pub unsent: Vec<u8>,
    /// Who it is and what it may use.
    pub pool: Arc<PoolSpec>,
    /// What its startup packet sets.
    pub params: Arc<ParamSet>,
    /// Its process id and secret for cancel requests; leaves the registry when dropped.
    pub registration: Registration,
    /// Whether a slot of `max_client_connections` is given back when it goes; see [`Admission`].
    pub admission: Admission,
    /// It counts among the clients of its pool on its loop.
    pub occupancy: Occupancy,
}

/// One client's place among `max_client_connections`, given back on drop.
#[derive(Debug)]
pub struct Admission {
    count: Arc<std::sync::atomic::AtomicU32>,
}

impl Admission {
    /// Takes a place unless `limit` are taken.
    #[must_use]
    pub fn take(count: &Arc<std::sync::atomic::AtomicU32>, limit: u32) -> Option<Self> {
        use std::sync::atomic::Ordering::Relaxed;
        count
            .fetch_update(Relaxed, Relaxed, |taken| (taken < limit).then_some(taken + 1))
            .ok()
            .map(|_| Admission { count: count.clone() })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A logged-in connection to Postgres: its first ReadyForQuery has been read.
#[derive(Debug)]
pub struct NewServer<S> {
    /// The connection.
    pub handed: Handed<S>,
    /// ParameterStatus values that it reported, in order.
    pub statuses: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where and with which key its statements are cancelled; `None` when the server sent no
    /// BackendKeyData.
    pub cancel: Option<Arc<CancelTarget>>,
    /// What [`PoolSpec::place`] was when the dial began.
    pub place: u64,
    /// The limits of time that its startup packet set.
    pub startup: Startup,
}

/// A server on its way from one loop to another: clean, and used by nobody.
#[derive(Debug)]
pub struct Traveller<S> {
    /// The connection.
    pub(super) conn: Conn<S>,
    /// Its protocol side, without its statements.
    pub(super) server: Server,
    /// Those.
    pub(super) prepared: PackedStatements,
    /// It has an unnamed statement.
    pub(super) has_unnamed: bool,
    /// Whose it is.
    pub(super) spec: Arc<PoolSpec>,
    /// It is closed when it is given back.
    pub(super) close_needed: bool,
    /// What [`PoolSpec::place`] was when it was dialled.
    pub(super) place: u64,
    /// What [`PoolSpec::renewals`] was when it was dialled.
    pub(super) renewals: u64,
    /// Why it travels.
    pub(super) errand: Errand,
}

/// Why a server goes to another loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// That loop asked for it.
    Asked,
    /// It came free, and somebody waits there; or its home is to close it.
    Free,
    /// Nobody has needed it since then: it goes home.
    Idle(Tick),
}

/// Why a dial failed.
#[derive(Clone, Debug)]
pub struct DialFailure {
    /// What a client may read of it: no address, no secret. Carries the server's own SQLSTATE
    /// where the server answered.
    pub report: Report,
    /// Trying again will not help (28xxx, 3D000): clients of a pool without servers are told at
    /// once.
    pub permanent: bool,
}

/// What holds for all clients of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopSettings {
    /// The longest Query or Parse text, in bytes.
    pub max_statement_size: usize,
    /// How long a client may be idle outside a transaction; `None`: for ever.
    pub client_idle_ms: Option<u64>,
}

impl LoopSettings {
    /// Those of a configuration.
    #[must_use]
    pub fn of(server: &ServerConfig) -> Self {
        LoopSettings {
            max_statement_size: server.max_statement_size,
            client_idle_ms: server.client_idle_timeout.as_millis(),
        }
    }
}

/// From the hall, or from the console, to a loop.
#[derive(Debug)]
pub enum Mail<S> {
    /// A client logged in.
    Client(Box<NewClient<S>>),
    /// A dial ended.
    Dialled {
        /// The pool that ordered it.
        pool: Arc<PoolSpec>,
        /// What became of it.
        outcome: Result<Box<NewServer<S>>, DialFailure>,
    },
    /// A cancel connection is ready to write: may it, still? The loop answers through `answer`;
    /// when it says yes, the server is frozen until `CancelFinished`.
    CancelReady {
        /// The order that this is about.
        cancel: CancelId,
        /// Yes or no.
        answer: tokio::sync::oneshot::Sender<bool>,
    },
    /// A cancel request ended. Sent once for each order, also where the permit was refused.
    CancelFinished {
        /// The order that this is about.
        cancel: CancelId,
        /// What is known of the signal.
        outcome: CancelOutcome,
    },
    /// The answer to [`Order::Look`].
    Looked {
        /// The statement.
        cancel: CancelId,
        /// Whether it waits for a standby; `None`: nobody could say.
        waits: Option<StandbyWait>,
    },
    /// The answer to [`Order::IsThere`], where Postgres could be asked.
    IsThere {
        /// The connection.
        server: ServerId,
        /// Whether its process is there.
        yes: bool,
    },
    /// The answer to [`Order::Catalog`], as far as there is one: to the first questions.
    Catalog(Asked, Vec<Answer>),
    /// A client's own CancelRequest, its key checked.
    ClientCancel(ClientId),
    /// What logs in to a pool is known: its `min_pool_size` is opened and kept open.
    Open(Arc<PoolSpec>),
    /// The settings of pools have changed: their limits are read anew.
    LimitsChanged,
    /// A server from another loop.
    Server(Box<Traveller<S>>),
    /// Another loop's clients wait: an idle server of the pool is to go there. Answered by
    /// [`Mail::Server`] or [`Mail::NothingToGive`].
    Give {
        /// The pool.
        pool: Arc<PoolSpec>,
        /// The loop that asks.
        to: usize,
    },
    /// The answer of a loop that had no idle server any more.
    NothingToGive(Arc<PoolSpec>),
    /// To a pool's home: clients wait elsewhere, or a slot has come free.
    LookAt(Arc<PoolSpec>),
    /// From a pool's home: dialling is hopeless, so whoever waits is told.
    Refused(Arc<PoolSpec>, Report),
    /// From a pool's home: an idle server is to make room for another pool; answered by
    /// [`Mail::ClosedForHome`].
    CloseForHome(Arc<PoolSpec>),
    /// The answer, whether there was one or not.
    ClosedForHome(Arc<PoolSpec>),
    /// A statement on another loop wants a database to itself.
    Vacate(Arc<Vacancy>),
    /// It is over.
    Vacated,
    /// The answer to [`Order::Listen`], which comes behind all that was notified before the order. It
    /// may be of a wish that was taken back.
    Listening {
        /// The pool.
        pool: Arc<PoolSpec>,
        /// The channel.
        channel: Name,
        /// The order's.
        ticket: u64,
        /// `None`: nobody listens.
        listened: Option<Listened>,
    },
    /// Somebody notified.
    Notified(Arc<Notified>),
    /// The connection that listened is gone.
    ListenerLost {
        /// Whose it was.
        pool: Arc<PoolSpec>,
        /// Where it led to.
        place: u64,
        /// Why.
        report: Report,
    },
    /// Asks for a picture of the loop's state.
    Inspect(tokio::sync::oneshot::Sender<Inspection>),
    /// The configuration was reloaded; what holds for pools stands in their specifications.
    Reload(LoopSettings),
    /// Roles or health of these servers have changed: their picture and the specifications of their pools say how.
    Fleet(Arc<Topology>),
    /// The name of a pool's server leads to these addresses no more: servers there are replaced.
    AddressesGone {
        /// The pool.
        pool: Arc<PoolSpec>,
        /// The addresses.
        gone: Arc<[IpAddr]>,
    },
    /// Asks for every connection of the loop.
    List(tokio::sync::oneshot::Sender<Listing>),
    /// An administrator's order; answered with how many connections or pools it met.
    Control(Control, tokio::sync::oneshot::Sender<usize>),
    /// Finish transactions, send 57P01 to idle clients, then stop; at the latest after `limit_ms`.
    Drain {
        /// `None`: wait for ever.
        limit_ms: Option<u64>,
    },
    /// Close everything now and stop.
    Stop,
}

/// A database that a statement wants to itself.
#[derive(Debug)]
pub struct Vacancy {
    /// The database, by its name on the server.
    pub database: String,
    /// The server.
    pub hosts: Vec<Host>,
    /// The statement is over.
    pub over: AtomicBool,
    /// Loops that still have something there, as bits. The loop of the statement has none.
    pub busy: AtomicU64,
    /// Connections there that still listen, and one more until that has been looked at.
    pub listeners: AtomicUsize,
}

impl Vacancy {
    /// Whether the statement is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// A channel is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listened {
    /// The connection's `client_encoding`, where the server reports it.
    pub encoding: Option<Arc<[u8]>>,
}

/// A notification for a loop's clients.
#[derive(Debug)]
pub struct Notified {
    /// The pool that listens.
    pub pool: Arc<PoolSpec>,
    /// The place of its servers then.
    pub place: u64,
    /// The server's address.
    pub address: Arc<ServerAddress>,
    /// What came.
    pub notification: Arc<Notification>,
    /// It counts among those that no loop has looked at.
    pub in_flight: Option<OwnedSemaphorePermit>,
}

/// Databases whose clients are held: no server is given out for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Those of every database.
    pub all: bool,
    /// Those of these databases, as clients name them.
    pub databases: BTreeSet<String>,
}

impl Holds {
    /// Whether a database's clients are held.
    #[must_use]
    pub fn hold(&self, database: &str) -> bool {
        self.all || self.databases.contains(database)
    }
}

/// Which databases an order is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every one.
    All,
    /// One, as clients name it.
    Database(String),
}

impl Scope {
    /// Whether it is about this database.
    #[must_use]
    pub fn covers(&self, database: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Database(name) => name == database,
        }
    }
}

/// What an administrator orders.
#[derive(Clone, Debug)]
pub enum Control {
    /// Hold the clients of these databases, and let all others go on. Idle servers of the held
    /// ones are closed at once, the others when they are given back.
    Hold(Arc<Holds>),
    /// Close every client and every server.
    Kill(Scope),
    /// Close the client with this process id.
    KillClient(i32),
    /// Close every server as soon as nobody uses it; new ones are dialled as they are needed.
    Reconnect(Scope),
}

/// What is known of a cancel request's signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The permit was refused, or nothing was written: no signal was sent.
    NotSent,
    /// The server closed the cancel connection cleanly: the signal has been sent.
    Delivered,
    /// Written, but no clean end seen: the signal may still come.
    Unknown,
}

/// What a client's next statement waits to know of the catalog.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The client.
    pub client: ClientId,
    /// Tells the answer from those to earlier orders.
    pub ticket: u64,
    /// What is asked.
    pub questions: Vec<Question>,
    /// The session's `search_path`; `None`: the server's own.
    pub search_path: Option<Vec<u8>>,
    /// The `client_encoding` that names are written in.
    pub encoding: Option<Vec<u8>>,
    /// The session's `role`.
    pub role: Option<Vec<u8>>,
    /// The session's `search_path` is the one above: nothing can have changed it unseen.
    pub path_is_known: bool,
    /// The session has sent something that the server has not done yet.
    pub is_early: bool,
}

/// What Postgres says of a statement that may be committing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandbyWait {
    /// It has committed and waits for a standby to confirm.
    Waits,
    /// It does not at this moment.
    NotNow,
    /// It cannot: there are no synchronous standbys.
    Never,
}

/// From a loop to the hall.
#[derive(Debug)]
pub enum Order {
    /// Connect to the pool's server and log in; answered by one [`Mail::Dialled`].
    Dial(Arc<PoolSpec>),
    /// Cancel what a server runs; answered by [`Mail::CancelReady`] when the connection is up, and
    /// by one [`Mail::CancelFinished`].
    Cancel {
        /// The statement.
        cancel: CancelId,
        /// Where to send it.
        target: Arc<CancelTarget>,
    },
    /// Ask Postgres whether what a server runs waits for a standby: it has committed then, and is not
    /// to be cancelled. Answered by one [`Mail::Looked`].
    Look {
        /// The statement.
        cancel: CancelId,
        /// Whose server it is.
        pool: Arc<PoolSpec>,
        /// Its process, and where that is.
        target: Arc<CancelTarget>,
    },
    /// Ask Postgres whether the process of a connection that was given up is still there.
    IsThere {
        /// The connection.
        server: ServerId,
        /// Whose it was.
        pool: Arc<PoolSpec>,
        /// Its process, and where that is.
        target: Arc<CancelTarget>,
    },
    /// Ask the catalog what relations are, for a verdict of the guard. Answered by one [`Mail::Catalog`].
    Catalog {
        /// Whose database it is.
        pool: Arc<PoolSpec>,
        /// What, and for whom.
        asked: Asked,
    },
    /// End a server process that does not react to being cancelled.
    Terminate {
        /// Whose server it is.
        pool: Arc<PoolSpec>,
        /// Its process, and where that is.
        target: Arc<CancelTarget>,
    },
    /// A client of this loop wants a channel. Answered by one [`Mail::Listening`], unless it is taken
    /// back before.
    Listen {
        /// Its pool.
        pool: Arc<PoolSpec>,
        /// What [`PoolSpec::place`] is.
        place: u64,
        /// The channel.
        channel: Name,
        /// Tells the answer from those to earlier orders.
        ticket: u64,
    },
    /// No client of this loop wants a channel any more.
    Unlisten {
        /// Their pool.
        pool: Arc<PoolSpec>,
        /// As it stood in the order to listen.
        place: u64,
        /// The channel.
        channel: Name,
    },
    /// A statement wants a database to itself: nobody may listen there until it is over.
    Vacate(Arc<Vacancy>),
    /// A pool that nobody uses any more has been forgotten by the loop.
    Unused(Arc<PoolSpec>),
    /// The loop has ended, as it was told to.
    Ended,
    /// The loop broke: nothing that it carried can go on.
    Broken,
}

/// A picture of one loop.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// Clients on the loop.
    pub clients: usize,
    /// Its pools.
    pub pools: Vec<PoolInspection>,
    /// Different statement texts that are known.
    pub statements: usize,
    /// The loops themselves, by their numbers.
    pub loops: Vec<LoopFigures>,
}

/// What one loop carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopFigures {
    /// Its number, from 0.
    pub seat: usize,
    /// Its clients.
    pub clients: usize,
    /// Servers that are on it.
    pub servers: usize,
    /// Transactions that ended on it, in the pools that it has.
    pub transactions: u64,
    /// Servers that it handed to other loops.
    pub sent_away: u64,
    /// How much longer than a client that was served, a client on another loop had waited, at most;
    /// in milliseconds.
    pub overtaken_ms: u64,
}

impl Inspection {
    /// The pictures of all loops as one: each pool once, ordered by database and role.
    #[must_use]
    pub fn add_up(of_loops: Vec<Inspection>) -> Self {
        let mut all = Inspection::default();
        let mut pools: BTreeMap<_, PoolInspection> = BTreeMap::new();
        for inspection in of_loops {
            let Inspection { clients, pools: of_loop, statements, loops } = inspection;
            all.loops.extend(loops);
            all.clients += clients;
            all.statements += statements;
            for pool in of_loop {
                let key = (pool.database.clone(), pool.role.clone(), pool.id);
                match pools.entry(key) {
                    Entry::Vacant(place) => drop(place.insert(pool)),
                    Entry::Occupied(mut known) => known.get_mut().add(&pool),
                }
            }
        }
        all.pools = pools.into_values().collect();
        for pool in &mut all.pools {
            pool.moving = pool.open.saturating_sub(pool.placed());
        }
        all
    }

    /// Whether the pictures were taken while no server passed from one place to another.
    #[must_use]
    pub fn is_sharp(&self) -> bool {
        self.pools.iter().all(|pool| pool.placed() == pool.open)
    }
}

/// A picture of one pool on one loop. Added up, `idle + leased + login + cancel + zombie + moving =
/// open`, unless the loops were asked while slots changed ([`Inspection::is_sharp`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolInspection {
    /// Database as clients name it.
    pub database: String,
    /// Role as clients name it.
    pub role: String,
    /// Server as the configuration names it.
    pub server: String,
    /// Servers that nobody uses.
    pub idle: usize,
    /// Servers that a client holds, or that are being cleaned.
    pub leased: usize,
    /// Servers being dialled.
    pub login: usize,
    /// Servers held back until a cancel request has ended.
    pub cancel: usize,
    /// Servers given up whose backends may still run.
    pub zombie: usize,
    /// Servers on their way from one loop to another.
    pub moving: usize,
    /// All of these, by the pool's ledger. Told by its home.
    pub open: usize,
    /// Clients that wait for a server.
    pub waiting: usize,
    /// Clients of the pool.
    pub clients: usize,
    /// Sessions that hold a server beyond their transactions.
    pub pinned: usize,
    /// The same for each reason that they have.
    pub pinned_for: ReasonCounts,
    /// Connections that listen for its clients, beside its servers. Told by its home.
    pub listeners: usize,
    /// Channels that they listen to. Told by its home.
    pub channels: usize,
    /// Clients that they listen for.
    pub listening: usize,
    /// The pool's number in this process.
    pub id: u32,
    /// Of `leased`: those that are being cleaned.
    pub cleaning: usize,
    /// Of `cancel`: those that have answered everything and wait for the cancel request only.
    pub being_canceled: usize,
    /// Clients that hold a server.
    pub attached: usize,
    /// Cancel requests that are still connecting.
    pub cancel_ordered: usize,
    /// Servers that will be closed when they are given back (`RECONNECT`).
    pub close_needed: usize,
    /// How long the client at the front has waited, in milliseconds.
    pub oldest_wait_ms: u64,
    /// How many servers it may have.
    pub size: u32,
    /// Its clients keep their servers until they leave.
    pub session_mode: bool,
    /// No server is given out.
    pub paused: bool,
    /// Everything counted since the loop started.
    pub counters: Counters,
}

impl PoolInspection {
    /// How many server connections are in some place.
    fn placed(&self) -> usize {
        self.idle + self.leased + self.login + self.cancel + self.zombie
    }

    /// Adds what another loop says of the same pool.
    fn add(&mut self, other: &PoolInspection) {
        self.idle += other.idle;
        self.leased += other.leased;
        self.login += other.login;
        self.cancel += other.cancel;
        self.zombie += other.zombie;
        self.open += other.open;
        self.waiting += other.waiting;
        self.clients += other.clients;
        self.pinned += other.pinned;
        self.pinned_for.add(&other.pinned_for);
        self.listeners += other.listeners;
        self.channels += other.channels;
        self.listening += other.listening;
        self.cleaning += other.cleaning;
        self.being_canceled += other.being_canceled;
        self.attached += other.attached;
        self.cancel_ordered += other.cancel_ordered;
        self.close_needed += other.close_needed;
        self.oldest_wait_ms = self.oldest_wait_ms.max(other.oldest_wait_ms);
        self.paused |= other.paused;
        self.counters.add(&other.counters);
    }
}
