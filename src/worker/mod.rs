//! One event loop: it owns logged-in clients and servers, and carries out what the core decides.
//!
//! Price of a statement on its way through: two reads, two writes, a share of one wait; no
//! allocation, no lock, no clock reading but one per turn. Bytes that are passed on unchanged go
//! from the scratch buffer that they were read into straight to the other socket.
//!
//! Deliberately absent: policy. Which message may be sent, what a reply means, when a server is
//! clean, who is served next: `client`, `server` and `pool` say that.

mod addresses;
mod begun;
mod bounds;
mod by_name;
mod cancels;
mod conn;
mod control;
mod counting;
pub mod driver;
mod ends;
mod fleet;
mod found;
mod from_client;
mod from_server;
mod guard;
mod guard_bound;
mod guard_notes;
mod held_locks;
mod idle;
mod inspect;
mod late;
mod lease;
mod listen;
pub mod listing;
pub mod mail;
mod mailbox;
mod mio_driver;
mod own;
mod parameters;
mod pins;
mod provide;
mod refusals;
mod refuse;
mod reload;
mod remember;
mod repeats;
mod rerun;
mod route;
mod stand;
mod statements;
mod struck;
mod tenants;
#[cfg(test)]
mod tests;
mod timeouts;
mod travel;
mod vacate;
#[cfg(test)]
mod world;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use slab::Slab;

use crate::client::{Leaving, Session, State};
use crate::deadline::{Deadline, Tick};
use crate::errors;
use crate::ids::{Arena, ClientId, PoolId, ServerId};
use crate::metrics::Counters;
use crate::pool::board::Occupancy;
use crate::pool::share::Standing;
use crate::pool::{Fleet, Pool, PoolSpec};
use crate::prepared::{Numbers, Repeats, Statements, Texts};
use crate::route::{Shelf, Verdicts};
use crate::server::{Server, User};
use crate::session::{ParamSet, ParamSets, Pins};
use crate::sql::Name;
use bounds::{Node, Zombie};
use conn::{Conn, Scratch};
use counting::LeaseClock;
use driver::{Driver, Edge, Token};
use found::FoundLately;
use idle::Idleness;
use listen::Channel;
use mail::{Admission, Holds, LoopSettings, Mail, NewClient, Order, Vacancy};
use pins::PinWatch;
use rerun::RefusedReads;
use struck::StruckLately;
use tenants::Tenants;
use vacate::Vacating;

pub use mailbox::{LoopHandle, Loops, Start, spawn};

/// Bytes that one connection may move in a turn before others get theirs.
const BYTES_PER_TURN: usize = 256 * 1024;

/// Things to do that a turn takes on before it looks for edges again.
const TODOS_PER_TURN: usize = 1_000;

/// How long a server may take to be made clean before it is closed.
const CLEANING_LIMIT_MS: u64 = 5_000;

/// How long after a cancel request for what nobody wants another one is sent, if it still runs.
const CANCEL_AGAIN_MS: u64 = 500;

/// How long a client that is being closed may take to read its last bytes.
const CLOSING_LIMIT_MS: u64 = 5_000;

/// How long statements of a client that closed its end of the connection go on while nothing moves
/// between it and its server.
const HALF_CLOSED_LIMIT_MS: u64 = 1_000;

/// Panics in connections' turns within a minute after which the process gives up.
const PANICS_PER_MINUTE: u32 = 10;

struct Client<S> {
    conn: Conn<S>,
    session: Session,
    /// Its role in its database.
    spec: Arc<PoolSpec>,
    /// The pool whose servers it uses.
    pool: PoolId,
    /// The one that it has its server of now, or waits for one: that, or one for reads beside it.
    at: PoolId,
    /// When it last sent something, or was last answered in full.
    active_at: Tick,
    /// When it logged in and when it last asked for something, in seconds of the loop's clock.
    since_s: u32,
    asked_s: u32,
    _admission: Admission,
    occupancy: Occupancy,
}

struct ServerConn<S> {
    conn: Conn<S>,
    server: Server,
    pool: PoolId,
    /// What [`PoolSpec::place`] was when it was dialled.
    place: u64,
    /// What [`PoolSpec::renewals`] was when it was dialled.
    renewals: u64,
    clock: LeaseClock,
    /// It is closed when it is given back: an administrator wants new connections.
    close_needed: bool,
}

struct PoolEntry {
    spec: Arc<PoolSpec>,
    pool: Pool,
    /// What it shares `max_server_connections` with.
    node: usize,
    /// What [`PoolSpec::place`] was when this loop last looked.
    place: u64,
    /// ParameterStatus messages of the greeting, for each set of startup parameters that a server
    /// has answered. Keyed by the address of the interned set, which the entry keeps alive.
    greetings: HashMap<usize, (Arc<ParamSet>, Arc<[u8]>)>,
    clients: usize,
    /// Servers that other loops have been asked for.
    asked: u32,
    /// Another loop has been told to close an idle server.
    closing_abroad: bool,
    /// When its last client left.
    unused_since: Tick,
    counters: Counters,
    /// A text on this loop has read what its session last had from a sequence: servers forget that
    /// before somebody else has them.
    reads_sequences: bool,
    /// Channels that its clients on this loop listen to.
    channels: HashMap<Name, Channel>,
    /// `client_encoding` of the connection that listens.
    listener_encoding: Option<Arc<[u8]>>,
    /// The servers of its database, where there are several.
    fleet: Option<Arc<Fleet>>,
    /// The pools for reads of each of them.
    readers: Box<[PoolId]>,
    /// What is known of its database, where there are several servers.
    shelf: Option<Arc<Shelf>>,
}

/// Bytes that one client and one server take in the loop's slabs, buffers apart.
#[must_use]
pub fn sizes() -> [usize; 2] {
    type Socket = crate::net::socket::Socket;
    [size_of::<Client<Socket>>(), size_of::<ServerConn<Socket>>()]
}

/// Something to do before the loop waits again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Todo {
    /// A client may go on: its server can take bytes, or it was given one.
    Client(ClientId),
    /// A server may be read again: its client took the bytes that waited.
    Server(ServerId),
}

/// How the loop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Clients are let go at the end of their transactions, at the deadline all of them.
    Draining(Deadline),
    Stopped,
}

/// What the loops of a process share.
#[derive(Debug)]
pub struct Company {
    /// How many there are.
    loops: usize,
    /// How many of them have no clients left while the process ends.
    emptied: AtomicUsize,
    /// What servers call the statements.
    numbers: Arc<Numbers>,
    /// DDL that any loop has seen.
    redefinitions: Arc<AtomicU32>,
    /// The parameters that sessions and servers have.
    pub params: Arc<ParamSets>,
    /// Whose server has which process id.
    tenants: Arc<Tenants>,
}

impl Company {
    /// What `loops` loops share.
    #[must_use]
    pub fn of(loops: usize) -> Arc<Self> {
        Arc::new(Company {
            loops,
            emptied: AtomicUsize::new(0),
            numbers: Arc::default(),
            redefinitions: Arc::default(),
            params: Arc::default(),
            tenants: Arc::default(),
        })
    }
}

/// One event loop over a [`Driver`].
pub struct Engine<D: Driver> {
    driver: D,
    clients: Arena<ClientId, Client<D::Socket>>,
    servers: Arena<ServerId, ServerConn<D::Socket>>,
    /// A place is used again only when nothing refers to it any more.
    pools: Slab<PoolEntry>,
    pool_ids: HashMap<u32, PoolId>,
    nodes: Slab<Node>,
    /// A buffer for how the pools of a node stand.
    standings: Vec<Standing>,
    zombies: HashMap<ServerId, Zombie<D::Socket>>,
    /// Statements that want a database to themselves.
    vacating: Vec<Vacating>,
    /// Databases that statements on other loops want to themselves.
    vacating_elsewhere: Vec<Arc<Vacancy>>,
    statements: Statements,
    /// What texts do that came as Query.
    texts: Texts,
    /// Unnamed statements that come again.
    repeats: Repeats,
    /// This loop's number, from 0.
    seat: usize,
    /// What all loops share.
    company: Arc<Company>,
    /// Servers that went to other loops.
    sent_away: u64,
    /// Orders to listen that were given.
    listen_orders: u64,
    /// How much longer than one that was served here, a client on another loop had waited, at most.
    overtaken_ms: u64,
    /// This loop has counted itself among those without clients.
    emptied: bool,
    /// Scratch buffers that are not in use: one, and another for each read inside a read.
    spare: Vec<Scratch>,
    /// Encrypted bytes on their way out.
    sealed: Vec<u8>,
    /// Bytes for a server that are put together from several places.
    to_server: Vec<u8>,
    /// Answers of our own for a client.
    to_client: Vec<u8>,
    /// Whether the message just judged begins a batch that may have to be sent again.
    replay_from_here: from_client::Replayable,
    todo: VecDeque<Todo>,
    edges: Vec<Edge>,
    orders: Vec<Order>,
    /// Clients in `State::Closing` and when they are dropped at the latest.
    closing: VecDeque<(ClientId, Deadline)>,
    /// Clients that closed their end while statements run, and when they are taken for gone. An
    /// entry counts as long as the session has the same deadline.
    half_closed: VecDeque<(ClientId, Deadline)>,
    now: Tick,
    /// The same moment in microseconds, for what is measured.
    now_us: u64,
    /// Databases whose clients are held.
    holds: Arc<Holds>,
    /// No deadline lies before this.
    next_check: Deadline,
    phase: Phase,
    /// A reload took the database or role of some pool away.
    some_gone: bool,
    max_statement_size: usize,
    idleness: Idleness,
    /// Limits in time that have struck.
    struck_lately: StruckLately,
    /// What rules of the guard have found.
    found_lately: FoundLately,
    /// Clients whose transactions hold locks that others may want, and when to look at them.
    held_locks: HashMap<ClientId, Deadline>,
    /// Questions to the catalog that were ordered.
    catalog_questions: u64,
    /// What texts are for routing.
    verdicts: Verdicts,
    /// Texts that replicas could not serve.
    refused_reads: RefusedReads,
    /// Reads that wait for a replica to catch up.
    fresh_waits: Vec<ClientId>,
    /// The last number that was drawn.
    random: u64,
    /// When to look at pinned sessions.
    pin_watch: PinWatch,
    panics: u32,
    panics_since: Tick,
    jitter: u8,
}

impl<D: Driver> Engine<D> {
    /// The loop with the number `seat`, without connections.
    pub fn new(driver: D, (seat, company): (usize, Arc<Company>), settings: LoopSettings) -> Self {
        let now_us = driver.micros();
        let now = Tick(now_us / 1_000);
        Engine {
            driver,
            clients: Arena::of_loop(seat, company.loops),
            servers: Arena::of_loop(seat, company.loops),
            pools: Slab::new(),
            pool_ids: HashMap::new(),
            nodes: Slab::new(),
            standings: Vec::new(),
            zombies: HashMap::new(),
            vacating: Vec::new(),
            vacating_elsewhere: Vec::new(),
            statements: Statements::numbered(company.numbers.clone()),
            texts: Texts::default(),
            repeats: Repeats::beside(company.redefinitions.clone()),
            seat,
            company,
            sent_away: 0,
            listen_orders: 0,
            overtaken_ms: 0,
            emptied: false,
            spare: Vec::new(),
            sealed: Vec::new(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            replay_from_here: from_client::Replayable::No,
            todo: VecDeque::new(),
            edges: Vec::new(),
            orders: Vec::new(),
            closing: VecDeque::new(),
            half_closed: VecDeque::new(),
            now,
            now_us,
            holds: Arc::default(),
            next_check: Deadline::NEVER,
            phase: Phase::Running,
            some_gone: false,
            max_statement_size: settings.max_statement_size,
            idleness: Idleness::of(settings.client_idle_ms),
            struck_lately: StruckLately::default(),
            found_lately: FoundLately::default(),
            held_locks: HashMap::new(),
            catalog_questions: 0,
            verdicts: Verdicts::default(),
            refused_reads: RefusedReads::default(),
            fresh_waits: Vec::new(),
            random: 0x9e37_79b9_7f4a_7c15 ^ (seat as u64 + 1),
            pin_watch: PinWatch::default(),
            panics: 0,
            panics_since: now,
            jitter: 0,
        }
    }

    /// Whether the loop has come to its end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// What the loop wants from the hall.
    pub fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// Waits for edges and deals with them. `mail` empties the mailbox; it is called after the
    /// wait, so that whatever woke the loop is in it.
    ///
    /// # Errors
    /// The poller broke; the loop cannot go on.
    pub fn turn(&mut self, mail: impl FnOnce() -> Vec<Mail<D::Socket>>) -> io::Result<()> {
        let timeout_ms = if self.todo.is_empty() {
            self.next_check.tick().map(|tick| tick.since(self.now))
        } else {
            Some(0)
        };
        let mut edges = std::mem::take(&mut self.edges);
        edges.clear();
        self.driver.wait(timeout_ms, &mut edges)?;
        self.now_us = self.driver.micros();
        self.now = Tick(self.now_us / 1_000);
        for item in mail() {
            self.deliver(item);
        }
        // Servers first: one that has just closed must not be given to a client of this turn.
        for edge in &edges {
            if let Token::Server(id) = edge.token {
                self.guarded(edge.token, |engine| engine.server_edge(id, *edge));
            }
        }
        for edge in &edges {
            if let Token::Client(id) = edge.token {
                self.guarded(edge.token, |engine| engine.client_edge(id, *edge));
            }
        }
        self.edges = edges;
        // Bounded, so that edges get their turn.
        for _ in 0..TODOS_PER_TURN {
            match self.todo.pop_front() {
                Some(Todo::Client(id)) => {
                    self.guarded(Token::Client(id), |engine| engine.resume_client(id));
                }
                Some(Todo::Server(id)) => {
                    self.guarded(Token::Server(id), |engine| engine.read_server(id));
                }
                None => break,
            }
        }
        if self.next_check.reached(self.now) {
            self.check_deadlines();
        }
        Ok(())
    }

    /// Runs one connection's turn; a panic in it closes that connection and its peer only.
    fn guarded(&mut self, token: Token, turn: impl FnOnce(&mut Self)) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| turn(self)));
        if outcome.is_ok() {
            return;
        }
        if self.now.since(self.panics_since) > 60_000 {
            self.panics_since = self.now;
            self.panics = 0;
        }
        self.panics += 1;
        tracing::error!(?token, panics = self.panics, "a connection's turn panicked; closing it");
        assert!(self.panics <= PANICS_PER_MINUTE, "too many internal errors in a minute");
        // Buffers may have been taken out when it happened.
        self.to_server = Vec::new();
        self.to_client = Vec::new();
        let (client, server) = match token {
            Token::Client(client) => {
                (Some(client), self.clients.get(client).and_then(|c| c.session.server()))
            }
            Token::Server(server) => {
                (self.servers.get(server).and_then(|s| s.server.client()), Some(server))
            }
        };
        if let Some(entry) = client.and_then(|client| self.clients.get_mut(client)) {
            entry.session.rest();
        }
        if let Some(server) = server {
            self.drop_server(server);
        }
        if let Some(client) = client {
            self.end_client(client, Some(errors::internal()));
        }
    }

    fn deliver(&mut self, mail: Mail<D::Socket>) {
        match mail {
            Mail::Client(client) => self.client_arrived(*client),
            Mail::Dialled { pool, outcome } => self.dialled(&pool, outcome),
            Mail::CancelReady { cancel, answer } => {
                let permitted = self.permit_cancel(cancel);
                if answer.send(permitted).is_err() && permitted {
                    // The hall gave up in between: nothing was written.
                    self.cancel_finished(cancel, mail::CancelOutcome::NotSent);
                }
            }
            Mail::CancelFinished { cancel, outcome } => self.cancel_finished(cancel, outcome),
            Mail::Catalog(asked, answers) => self.catalog_answered(asked, &answers),
            Mail::ClientCancel(client) => self.client_cancel(client),
            Mail::IsThere { server, yes } => self.zombie_seen(server, yes),
            Mail::Looked { cancel, waits } => {
                self.looked(cancel, waits.map(|waits| waits == mail::StandbyWait::Waits));
            }
            Mail::Open(spec) => self.open_pool(&spec),
            Mail::Server(traveller) => self.server_came(*traveller),
            Mail::Give { pool, to } => self.asked_for_server(pool, to),
            Mail::NothingToGive(spec) => self.got_nothing(&spec),
            Mail::LookAt(spec) => self.look_at(&spec),
            Mail::Refused(spec, report) => self.refuse_waiters(&spec, &report),
            Mail::CloseForHome(spec) => self.close_for_home(spec),
            Mail::ClosedForHome(spec) => self.closed_for_home(&spec),
            Mail::Vacate(vacancy) => self.vacate_for_other(vacancy),
            Mail::Vacated => self.vacated_elsewhere(),
            Mail::Listening { pool, channel, ticket, listened } => {
                self.listening(&pool, &channel, ticket, listened);
            }
            Mail::Notified(notified) => self.notified(&notified),
            Mail::ListenerLost { pool, place, report } => {
                self.listener_lost(&pool, place, &report);
            }
            Mail::LimitsChanged => self.refresh_limits(),
            Mail::Inspect(answer) => {
                // Whoever asked may have gone; then nobody needs the picture.
                let _ = answer.send(self.inspect());
            }
            Mail::Reload(settings) => self.reload(settings),
            Mail::AddressesGone { pool, gone } => self.addresses_gone(&pool, &gone),
            Mail::Fleet(topology) => self.fleet_changed(&topology),
            Mail::List(answer) => {
                let _ = answer.send(self.list());
            }
            Mail::Control(control, answer) => {
                let met = self.control(control);
                let _ = answer.send(met);
            }
            Mail::Drain { limit_ms } => self.drain(limit_ms),
            Mail::Stop => self.stop(),
        }
    }

    fn client_arrived(&mut self, new: NewClient<D::Socket>) {
        let NewClient { handed, unsent, pool: spec, params, registration, admission, occupancy } =
            new;
        let pool = self.pool_for(&spec.servers());
        let mut session = Session::new(params, registration);
        if spec.is_session_mode() {
            session.pins = Pins::SESSION_MODE;
        }
        if session.params.searches_temporary() {
            session.pins = session.pins.and(Pins::TEMPORARY);
        }
        session.state_mode = spec.settings.load().session_state;
        session.belt = spec.belt();
        session.find_wanted(&self.company.params);
        let now_s = self.seconds();
        let client = Client {
            conn: Conn::new(handed),
            session,
            spec,
            pool,
            at: pool,
            active_at: self.now,
            since_s: now_s,
            asked_s: now_s,
            _admission: admission,
            occupancy,
        };
        self.watch_idleness();
        let id = self.clients.insert_with(|_| client);
        let entry = self.pool(pool);
        entry.clients += 1;
        entry.counters.logins += 1;
        let Some(client) = self.clients.get_mut(id) else { return };
        client.session.registration.bind(id);
        self.follow_fleet(id);
        let Some(client) = self.clients.get_mut(id) else { return };
        if let Err(error) = client.conn.register(&mut self.driver, Token::Client(id)) {
            tracing::warn!(%error, "cannot watch a client's socket");
            self.remove_client(id);
            return;
        }
        self.guarded(Token::Client(id), |engine| engine.greet(id, &unsent));
    }

    /// The pool of a specification, made at its first use.
    fn pool_for(&mut self, spec: &Arc<PoolSpec>) -> PoolId {
        if let Some(&pool) = self.pool_ids.get(&spec.id) {
            return pool;
        }
        let place = self.pools.vacant_key();
        let id = PoolId(u32::try_from(place).expect("fewer than 2^32 pools"));
        let node = self.join_node(spec.node_key(), id);
        let mut pool = Pool::at(spec.limits(), spec.board().clone(), self.seat);
        if self.holds.hold(&spec.database) {
            pool.pause();
        }
        self.pools.insert(PoolEntry {
            spec: spec.clone(),
            pool,
            node,
            place: spec.place(),
            greetings: HashMap::new(),
            clients: 0,
            asked: 0,
            closing_abroad: false,
            unused_since: self.now,
            counters: Counters::default(),
            reads_sequences: false,
            channels: HashMap::new(),
            listener_encoding: None,
            fleet: None,
            readers: [].into(),
            shelf: None,
        });
        self.find_fleet(id);
        self.refresh_node(node);
        if spec.credential().is_some() {
            self.pool(id).pool.allow_warming();
        }
        self.pool_ids.insert(spec.id, id);
        id
    }

    fn all_pools(&self) -> Vec<PoolId> {
        self.pool_ids.values().copied().collect()
    }

    fn pool(&mut self, id: PoolId) -> &mut PoolEntry {
        &mut self.pools[id.0 as usize]
    }

    /// Makes sure that deadlines are checked at `deadline` at the latest.
    #[inline]
    fn check_at(&mut self, deadline: Deadline) {
        if deadline < self.next_check {
            self.next_check = deadline;
        }
    }

    fn check_deadlines(&mut self) {
        self.next_check = Deadline::NEVER;
        self.check_zombies();
        self.check_times();
        self.check_answers();
        self.check_vacating();
        for id in self.all_pools() {
            self.check_waiters(id);
            self.check_idle_servers(id);
            self.send_idle_home(id);
            self.seek_if_waiting(id);
            self.forget_if_unused(id);
        }
        let late = self.servers.ids_where(|entry| match entry.server.user {
            User::Cleaning(_) => true,
            User::Nobody | User::Client(_) | User::Preparing(_) | User::Asking(_) => false,
        });
        for id in late {
            let Some(entry) = self.servers.get(id) else { continue };
            let User::Cleaning(deadline) = entry.server.user else { continue };
            if deadline.reached(self.now) {
                tracing::warn!("a server could not be made clean in time and is closed");
                self.drop_server(id);
            } else {
                self.check_at(deadline);
                self.cancel_unwanted(id);
            }
        }
        while let Some(&(id, deadline)) = self.closing.front() {
            if self.clients.get(id).is_some() && !deadline.reached(self.now) {
                self.check_at(deadline);
                break;
            }
            self.closing.pop_front();
            self.remove_client(id);
        }
        self.check_half_closed();
        self.check_fresh_waits();
        self.check_held_locks();
        self.check_idle_clients();
        self.check_pins();
        if let Phase::Draining(deadline) = self.phase {
            if deadline.reached(self.now) {
                self.stop();
            } else {
                self.check_at(deadline);
            }
        }
    }

    fn drain(&mut self, limit_ms: Option<u64>) {
        let deadline = Deadline::after(self.now, limit_ms);
        self.phase = Phase::Draining(deadline);
        self.check_at(deadline);
        for id in self.clients.ids_where(|_| true) {
            let Some(client) = self.clients.get_mut(id) else { continue };
            match client.session.state {
                State::Idle | State::Waiting => {
                    self.end_client(id, Some(errors::shutting_down()));
                }
                State::Attached(_) | State::Begun | State::Lost(_) => {
                    self.let_go_if_dismissed(id);
                }
                State::Closing => {}
            }
        }
        self.stop_if_drained();
    }

    /// While draining, or when a reload took its database away: a client between two transactions
    /// is told to reconnect.
    fn let_go_if_dismissed(&mut self, id: ClientId) {
        if self.phase == Phase::Running && !self.some_gone {
            return;
        }
        let Some(report) = self.dismissal(id) else { return };
        let Some(client) = self.clients.get(id) else { return };
        let between = match &client.session.state {
            State::Idle => true,
            State::Attached(server) => self.servers.get(*server).is_some_and(|entry| {
                entry.server.ledger.is_settled()
                    && entry.server.status == crate::wire::TransactionStatus::Idle
            }),
            State::Begun | State::Waiting | State::Lost(_) | State::Closing => false,
        };
        if between && client.session.leaving == Leaving::No {
            self.end_client(id, Some(report));
        }
    }

    fn stop_if_drained(&mut self) {
        if !matches!(self.phase, Phase::Draining(_)) || !self.clients.is_empty() || self.emptied {
            return;
        }
        // Until the last loop has no clients, those of others may need servers that are dialled
        // here.
        self.emptied = true;
        let loops = self.company.loops;
        if self.company.emptied.fetch_add(1, Ordering::AcqRel) + 1 < loops {
            return;
        }
        for other in (0..loops).filter(|other| *other != self.seat) {
            self.driver.post(other, Mail::Stop);
        }
        self.stop();
    }

    /// Closes everything.
    fn stop(&mut self) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.phase = Phase::Stopped;
        for id in self.clients.ids_where(|_| true) {
            self.end_client(id, Some(errors::shutting_down()));
            self.remove_client(id);
        }
        for id in self.servers.ids_where(|_| true) {
            self.say_goodbye(id);
        }
        self.orders.push(Order::Ended);
    }
}
