//! A world in memory for the loop: sockets that are byte queues, a clock that tests move, and a
//! small Postgres that answers.
//!
//! The `FakeServer` knows just enough of Postgres to be told apart: a query's text comes back as
//! its only row, transactions are followed, extended batches are skipped after errors.

mod fake;
mod fleet;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::Engine;
use super::driver::{Driver, Edge, Token};
use super::listing::Listing;
use super::mail::{
    Admission, Asked, CancelOutcome, DialFailure, Handed, Inspection, Listened, LoopSettings, Mail,
    NewClient, NewServer, Notified, Order, StandbyWait,
};
use crate::cancel::CancelRegistry;
use crate::client::Notification;
use crate::config::Config;
use crate::guard::Answer;
use crate::ids::{CancelId, ServerId};
use crate::net::socket::Ends;
use crate::pool::PoolSpec;
use crate::route::Topology;
use crate::session::{ParamSet, ParamSets};
use crate::sql::Name;
use crate::wire::{Report, build};
pub(super) use fake::FakeServer;

/// One socket: what lies in the kernel's buffers.
#[derive(Default)]
struct Pipe {
    to_engine: VecDeque<u8>,
    from_engine: Vec<u8>,
    /// Bytes that the peer has not read count against this.
    room: usize,
    peer_closed: bool,
    /// The engine writes no more.
    ended: bool,
    broken: bool,
    closed: bool,
    token: Option<Token>,
    /// The loop whose poller it is in.
    seat: usize,
    write_interest: bool,
    was_full: bool,
    edge: bool,
}

#[derive(Default)]
struct Net {
    pipes: Vec<Pipe>,
    now: u64,
    /// Counts everything that happens.
    events: u64,
    /// At most so many bytes are given or taken at once: splits messages anywhere.
    chunk: usize,
    /// What the loops have written to each other and not read.
    posted: Vec<VecDeque<Mail<usize>>>,
}

/// One loop's view of the network.
pub(super) struct SimDriver(Rc<RefCell<Net>>, usize);

impl Driver for SimDriver {
    type Socket = usize;

    fn add(&mut self, socket: &mut usize, token: Token) -> io::Result<()> {
        let pipe = &mut self.0.borrow_mut().pipes[*socket];
        pipe.token = Some(token);
        pipe.seat = self.1;
        pipe.edge = !pipe.to_engine.is_empty() || pipe.peer_closed;
        Ok(())
    }

    fn set_write_interest(&mut self, socket: &mut usize, _: Token, wanted: bool) -> io::Result<()> {
        self.0.borrow_mut().pipes[*socket].write_interest = wanted;
        Ok(())
    }

    fn end(&mut self, socket: &mut usize) {
        let mut net = self.0.borrow_mut();
        net.events += 1;
        net.pipes[*socket].ended = true;
    }

    fn release(&mut self, socket: &mut usize) -> io::Result<()> {
        let pipe = &mut self.0.borrow_mut().pipes[*socket];
        assert_eq!(pipe.seat, self.1, "a loop lets go of what is its own");
        pipe.token = None;
        Ok(())
    }

    fn post(&mut self, to: usize, mail: Mail<usize>) {
        let mut net = self.0.borrow_mut();
        net.events += 1;
        net.posted[to].push_back(mail);
    }

    fn close(&mut self, socket: usize) {
        let mut net = self.0.borrow_mut();
        net.events += 1;
        let pipe = &mut net.pipes[socket];
        pipe.closed = true;
        pipe.token = None;
    }

    fn read(&mut self, socket: &mut usize, into: &mut [u8]) -> io::Result<usize> {
        let mut net = self.0.borrow_mut();
        let chunk = net.chunk;
        net.events += 1;
        let pipe = &mut net.pipes[*socket];
        if pipe.broken {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if pipe.to_engine.is_empty() {
            return if pipe.peer_closed { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let len = into.len().min(pipe.to_engine.len()).min(chunk);
        for byte in &mut into[..len] {
            *byte = pipe.to_engine.pop_front().expect("counted");
        }
        // As if the rest arrived just now. A reader that had no room for it must come again by
        // itself.
        pipe.edge |= !pipe.to_engine.is_empty() && len < into.len();
        Ok(len)
    }

    fn write(&mut self, socket: &mut usize, bytes: &[u8]) -> io::Result<usize> {
        let mut net = self.0.borrow_mut();
        net.events += 1;
        let pipe = &mut net.pipes[*socket];
        if pipe.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let len = bytes.len().min(pipe.room.saturating_sub(pipe.from_engine.len()));
        if len == 0 {
            pipe.was_full = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        pipe.from_engine.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn wait(&mut self, _: Option<u64>, edges: &mut Vec<Edge>) -> io::Result<()> {
        let mut net = self.0.borrow_mut();
        for pipe in &mut net.pipes {
            let Some(token) = pipe.token.filter(|_| pipe.seat == self.1) else { continue };
            let room = pipe.from_engine.len() < pipe.room;
            let writable = pipe.write_interest && pipe.was_full && room;
            if !pipe.edge && !writable {
                continue;
            }
            edges.push(Edge {
                token,
                readable: pipe.edge,
                writable,
                hung_up: pipe.edge && (pipe.peer_closed || pipe.broken),
            });
            pipe.edge = false;
            pipe.was_full &= !writable;
        }
        Ok(())
    }

    fn micros(&self) -> u64 {
        self.0.borrow().now * 1_000
    }

    fn ends(&self, _: &usize) -> Ends {
        Ends::default()
    }
}

/// A client of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientEnd {
    pipe: usize,
    pub(super) pid: i32,
}

const SETTINGS: LoopSettings = LoopSettings { max_statement_size: 1 << 20, client_idle_ms: None };

const PRIMARY: &str = "postgres://127.0.0.1:1/app";

/// A configuration for role `app` in database `app` with these settings; without a reserve, unless
/// they name one.
fn file_of(settings: &str, primary: &str) -> String {
    let reserve = if settings.contains("reserve_pool_size") { "" } else { "reserve_pool_size = 0" };
    format!(
        "[defaults]\n{reserve}\n{settings}\n\
         [databases.app]\nprimary = \"{primary}\"\n[roles.app]\npassword = \"x\"\n"
    )
}

/// An order to listen.
#[derive(Clone, Debug)]
pub(super) struct Listen {
    pub(super) seat: usize,
    pub(super) pool: Arc<PoolSpec>,
    pub(super) place: u64,
    pub(super) channel: Name,
    pub(super) ticket: u64,
}

/// Where all servers are.
pub(super) const SERVER_ADDRESS: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5432);

/// The loop with everything around it.
pub(super) struct World {
    /// What the next client has sent ahead of its hand-over.
    pub(super) unread: Vec<u8>,
    pub(super) engines: Vec<Engine<SimDriver>>,
    /// Chooses which loop's turn it is and how much of its mail has come.
    dice: u64,
    net: Rc<RefCell<Net>>,
    pub(super) servers: Vec<FakeServer>,
    config: Config,
    specs: HashMap<(String, String), Arc<PoolSpec>>,
    sets: Arc<ParamSets>,
    registry: Arc<CancelRegistry>,
    admitted: Arc<AtomicU32>,
    /// What the next dials come to; empty: they succeed.
    pub(super) dial_failures: VecDeque<DialFailure>,
    /// Channels that the loops have asked for and not given up.
    pub(super) listens: Vec<Listen>,
    /// Nothing is confirmed by itself.
    pub(super) listens_held: bool,
    /// Orders to listen that wait for that, also those that have been taken back.
    pub(super) unanswered: Vec<Listen>,
    pub(super) dials_held: bool,
    /// With the loop that wants them and the place that they go to.
    pub(super) held_dials: Vec<(usize, Arc<PoolSpec>, u64)>,
    /// Pools that the loop has forgotten.
    pub(super) unused: Vec<Arc<PoolSpec>>,
    pub(super) cancels: Vec<(usize, CancelId)>,
    /// Questions whether a statement waits for a standby.
    pub(super) looks: Vec<(usize, CancelId)>,
    /// What the catalog has been asked and has not answered.
    pub(super) catalog_asked: Vec<(usize, Asked)>,
    /// Connections that were given up and whose processes Postgres is asked about.
    pub(super) zombies_asked: Vec<(usize, ServerId)>,
    /// Processes that are to be ended.
    pub(super) terminated: Vec<i32>,
    pub(super) dials: usize,
    /// The servers of its databases, by the table.
    topologies: HashMap<String, Arc<Topology>>,
    /// Servers say what is left of their sessions by what these have done.
    pub(super) servers_know: bool,
    /// Servers send BackendKeyData.
    pub(super) gives_cancel_keys: bool,
    /// Most processes that the simulated Postgres ever had.
    pub(super) most_backends: usize,
    text: String,
}

impl World {
    /// A pool of `size` servers with more settings for its `[defaults]`; without a reserve, unless
    /// they name one.
    pub(super) fn new(size: u32, settings: &str) -> Self {
        World::of(&file_of(&format!("pool_size = {size}\n{settings}"), PRIMARY))
    }

    /// A world with a configuration of its own.
    pub(super) fn of(text: &str) -> Self {
        World::over(1, text, 0)
    }

    /// A world with so many loops, whose turns come in an order of their own for each `seed`.
    pub(super) fn over(loops: usize, text: &str, seed: u64) -> Self {
        // Everything is judged; where a test is of something else, nothing of it shows.
        let text = &match text.contains("guard") {
            true => text.to_owned(),
            false => text.replace("[defaults]", "[defaults]\nguard = \"observe\""),
        };
        let loaded = Config::parse(text, "world.toml").unwrap_or_else(|p| panic!("{p}"));
        let posted = (0..loops).map(|_| VecDeque::new()).collect();
        let net = Rc::new(RefCell::new(Net { chunk: usize::MAX, posted, ..Net::default() }));
        let company = super::Company::of(loops);
        let sets = company.params.clone();
        World {
            engines: {
                let engine = |seat| {
                    let driver = SimDriver(net.clone(), seat);
                    Engine::new(driver, (seat, company.clone()), SETTINGS)
                };
                (0..loops).map(engine).collect()
            },
            dice: seed.wrapping_mul(2).wrapping_add(1),
            net,
            servers: Vec::new(),
            unread: Vec::new(),
            config: loaded.config,
            specs: HashMap::new(),
            sets,
            registry: Arc::default(),
            admitted: Arc::default(),
            dial_failures: VecDeque::new(),
            listens: Vec::new(),
            listens_held: false,
            unanswered: Vec::new(),
            dials_held: false,
            held_dials: Vec::new(),
            unused: Vec::new(),
            cancels: Vec::new(),
            looks: Vec::new(),
            catalog_asked: Vec::new(),
            zombies_asked: Vec::new(),
            terminated: Vec::new(),
            dials: 0,
            topologies: HashMap::new(),
            servers_know: false,
            gives_cancel_keys: true,
            most_backends: 0,
            text: text.to_owned(),
        }
    }

    /// The configuration is reloaded with these settings in `[defaults]`.
    pub(super) fn reload(&mut self, settings: &str) {
        self.reload_file(&file_of(settings, PRIMARY));
    }

    /// The configuration is reloaded, and the server is another one now.
    pub(super) fn move_server(&mut self, settings: &str) {
        self.reload_file(&file_of(settings, "postgres://127.0.0.2:1/app"));
    }

    /// The configuration is reloaded.
    pub(super) fn reload_file(&mut self, text: &str) {
        let loaded = Config::parse(text, "world.toml").unwrap_or_else(|p| panic!("{p}"));
        self.config = loaded.config;
        let specs: Vec<_> = self.specs.values().cloned().collect();
        for spec in specs {
            let settings = self.config.resolve(&spec.database, &spec.role);
            spec.keep(settings.is_some(), settings.is_some());
            if let Some(settings) = settings {
                let other = settings.server_role.clone().filter(|role| *role != spec.role);
                let owner = other.map(|role| self.spec(&spec.database, &role));
                spec.lead_to(owner);
                spec.follow(Arc::new(settings));
            }
        }
        for seat in 0..self.engines.len() {
            self.mail_to(seat, Mail::Reload(SETTINGS));
            // Each hears of it at a time of its own.
            if self.engines.len() > 1 {
                (0..self.throw(5)).for_each(|_| self.turn());
            }
        }
        self.run();
    }

    /// The configuration is reloaded with another `client_idle_timeout`.
    pub(super) fn set_client_idle(&mut self, client_idle_ms: Option<u64>) {
        self.mail(Mail::Reload(LoopSettings { client_idle_ms, ..SETTINGS }));
        self.run();
    }

    /// The same world with more in its configuration; nothing has happened in it yet.
    pub(super) fn also(self, more: &str) -> Self {
        World::of(&format!("{}{more}", self.text))
    }

    /// The pool of a role in a database.
    pub(super) fn spec(&mut self, database: &str, role: &str) -> Arc<PoolSpec> {
        let key = (database.to_owned(), role.to_owned());
        if let Some(known) = self.specs.get(&key) {
            return known.clone();
        }
        let settings = Arc::new(self.config.resolve(database, role).expect("a database"));
        let server_role = settings.server_role.clone().filter(|server_role| server_role != role);
        let id = u32::try_from(self.specs.len()).expect("few");
        let mut spec = PoolSpec::new(id, database.into(), role.into(), settings);
        spec = spec.over(self.engines.len());
        // There is no code, and nobody to ask.
        assert!(spec.code().is_to_be_read());
        spec.code().found(false);
        if let Some(server_role) = server_role {
            spec = spec.with_servers_of(self.spec(database, &server_role));
        }
        let spec = Arc::new(spec);
        self.specs.insert(key, spec.clone());
        self.give_fleet(&spec);
        spec
    }

    fn pipe(&mut self) -> usize {
        let mut net = self.net.borrow_mut();
        net.pipes.push(Pipe { room: 1 << 20, ..Pipe::default() });
        net.pipes.len() - 1
    }

    /// A client that logged in with these startup parameters, and its greeting read.
    pub(super) fn client_with(&mut self, params: &[(&str, &str)]) -> ClientEnd {
        let client = self.arriving_client(params);
        self.run();
        let greeting = self.tags(client);
        assert!(greeting.ends_with("KZ"), "greeting {greeting}");
        client
    }

    /// A client that logged in.
    pub(super) fn client(&mut self) -> ClientEnd {
        self.client_with(&[])
    }

    /// A client that has not been greeted yet.
    pub(super) fn arriving_client(&mut self, params: &[(&str, &str)]) -> ClientEnd {
        self.arriving_at("app", "app", params)
    }

    /// A client of a role in a database, greeted or not.
    pub(super) fn arriving_at(
        &mut self,
        database: &str,
        role: &str,
        params: &[(&str, &str)],
    ) -> ClientEnd {
        let pool = self.spec(database, role);
        let pipe = self.pipe();
        let seat = pool.servers().loop_for_client();
        let registration = self.registry.register(seat as u16, 4).expect("random bytes");
        let pid = registration.pid();
        let owned = params.iter().map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec()));
        let params = self.sets.intern(ParamSet::new(owned));
        let occupancy = pool.servers().board().occupy(seat);
        let new = NewClient {
            handed: Handed {
                socket: pipe,
                tls: None,
                undecrypted: vec![],
                unread: std::mem::take(&mut self.unread),
            },
            unsent: vec![],
            pool,
            params,
            registration,
            admission: Admission::take(&self.admitted, u32::MAX).expect("no limit"),
            occupancy,
        };
        self.mail_to(seat, Mail::Client(Box::new(new)));
        ClientEnd { pipe, pid }
    }

    pub(super) fn mail(&mut self, mail: Mail<usize>) {
        self.mail_to(0, mail);
    }

    pub(super) fn mail_to(&mut self, seat: usize, mail: Mail<usize>) {
        self.engines[seat].turn(|| vec![mail]).expect("the simulator does not break");
        self.serve_orders();
    }

    /// A number below `sides`.
    pub(super) fn throw(&mut self, sides: usize) -> usize {
        // An xorshift generator: good enough to shuffle.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice >> 11) as usize % sides
    }

    /// One loop has its turn, with some of the mail that the others have sent it.
    pub(super) fn turn(&mut self) {
        let loops = self.engines.len();
        let seat = self.throw(loops);
        let mail = {
            let waiting = self.net.borrow().posted[seat].len();
            let come = if loops == 1 { waiting } else { self.throw(waiting + 1) };
            self.net.borrow_mut().posted[seat].drain(..come).collect::<Vec<_>>()
        };
        if !mail.is_empty() {
            self.net.borrow_mut().events += 1;
        }
        self.engines[seat].turn(|| mail).expect("the simulator does not break");
        self.serve_orders();
    }

    fn is_quiet(&self) -> bool {
        let net = self.net.borrow();
        net.pipes.iter().all(|pipe| !pipe.edge || pipe.token.is_none())
            && net.posted.iter().all(VecDeque::is_empty)
            && self.engines.iter().all(|engine| engine.todo.is_empty() || engine.is_stopped())
    }

    /// Everything happens that can happen without time passing.
    pub(super) fn run(&mut self) {
        for _ in 0..10_000 {
            let before = self.net.borrow().events;
            for _ in 0..self.engines.len() {
                self.turn();
            }
            for n in 0..self.servers.len() {
                self.serve(n);
            }
            // Each loop's deadlines have had a chance.
            let rest = if self.is_quiet() && self.net.borrow().events == before {
                let mut rest = true;
                for seat in 0..self.engines.len() {
                    self.engines[seat].turn(Vec::new).expect("the simulator does not break");
                    self.serve_orders();
                }
                rest &= self.is_quiet() && self.net.borrow().events == before;
                rest
            } else {
                false
            };
            if rest {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Time passes; deadlines strike.
    pub(super) fn advance(&mut self, millis: u64) {
        self.net.borrow_mut().now += millis;
        self.run();
    }

    #[allow(dead_code, reason = "a word for tests that are still to come")]
    pub(super) fn now(&self) -> u64 {
        self.net.borrow().now
    }

    /// All reads are cut into pieces of at most this size.
    pub(super) fn cut_into(&mut self, chunk: usize) {
        self.net.borrow_mut().chunk = chunk;
    }

    pub(super) fn hold_dials(&mut self, hold: bool) {
        self.dials_held = hold;
        if !hold {
            for (seat, spec, place) in std::mem::take(&mut self.held_dials) {
                self.dial(seat, &spec, place);
            }
            self.run();
        }
    }

    fn serve_orders(&mut self) {
        for seat in 0..self.engines.len() {
            for order in self.engines[seat].take_orders() {
                match order {
                    Order::Dial(spec) if self.dials_held => {
                        let place = spec.place();
                        self.held_dials.push((seat, spec, place));
                    }
                    Order::Dial(spec) => self.dial(seat, &spec, spec.place()),
                    Order::Cancel { cancel, .. } => self.cancels.push((seat, cancel)),
                    Order::Look { cancel, .. } => self.looks.push((seat, cancel)),
                    Order::Catalog { asked, .. } => self.catalog_asked.push((seat, asked)),
                    Order::IsThere { server, .. } => self.zombies_asked.push((seat, server)),
                    Order::Terminate { target, .. } => self.terminated.push(target.pid),
                    Order::Listen { pool, place, channel, ticket } => {
                        let asked = Listen { seat, pool, place, channel, ticket };
                        self.listens.retain(|one| one.seat != seat || one.channel != asked.channel);
                        self.listens.push(asked.clone());
                        if self.listens_held {
                            self.unanswered.push(asked);
                        } else {
                            self.listen_answered(&asked, true);
                        }
                    }
                    Order::Unlisten { channel, .. } => {
                        self.listens.retain(|one| one.seat != seat || one.channel != channel);
                    }
                    Order::Vacate(vacancy) => {
                        vacancy.listeners.store(0, std::sync::atomic::Ordering::Release);
                    }
                    Order::Unused(spec) => self.unused.push(spec),
                    Order::Ended => {}
                    Order::Broken => unreachable!("said by the thread, of which there is none"),
                }
            }
        }
    }

    pub(super) fn dial(&mut self, seat: usize, spec: &Arc<PoolSpec>, place: u64) {
        self.dials += 1;
        if let Some(failure) = self.dial_failures.pop_front() {
            let failed = Mail::Dialled { pool: spec.clone(), outcome: Err(failure) };
            return self.mail_to(seat, failed);
        }
        let pipe = self.pipe();
        self.servers.push(FakeServer::new(pipe, spec));
        self.servers.last_mut().expect("just added").knows = self.servers_know;
        self.most_backends = self.most_backends.max(self.backends(None, None));
        let pid = i32::try_from(self.servers.len()).expect("few");
        let target = crate::cancel::registry::tests::any_target();
        let address = crate::dial::ServerAddress::Tcp(SERVER_ADDRESS);
        let target = crate::cancel::CancelTarget { pid, address, ..target };
        let new = NewServer {
            place,
            handed: Handed { socket: pipe, tls: None, undecrypted: vec![], unread: vec![] },
            statuses: vec![(b"TimeZone".to_vec(), b"UTC".to_vec())],
            cancel: self.gives_cancel_keys.then(|| Arc::new(target)),
            startup: spec.startup(),
        };
        self.mail_to(seat, Mail::Dialled { pool: spec.clone(), outcome: Ok(Box::new(new)) });
    }

    /// The connection that listens has confirmed a channel, or is not there.
    pub(super) fn listen_answered(&mut self, asked: &Listen, confirmed: bool) {
        let Listen { seat, pool, channel, ticket, .. } = asked.clone();
        let listened = confirmed.then_some(Listened { encoding: None });
        self.mail_to(seat, Mail::Listening { pool, channel, ticket, listened });
    }

    /// A notification comes from this process.
    pub(super) fn notify_from(&mut self, pid: i32, channel: &str, payload: &str) {
        let (channel, payload) = (Name::new(channel.as_bytes()), payload.as_bytes().into());
        let notification = Arc::new(Notification { pid, channel, payload });
        let wanted = |one: &&Listen| one.channel == notification.channel;
        for one in self.listens.iter().filter(wanted).cloned().collect::<Vec<_>>() {
            let notified = Arc::new(Notified {
                pool: one.pool,
                place: one.place,
                address: Arc::new(crate::dial::ServerAddress::Tcp(SERVER_ADDRESS)),
                notification: notification.clone(),
                in_flight: None,
            });
            self.mail_to(one.seat, Mail::Notified(notified));
        }
        self.run();
    }

    /// The connection that listens is gone.
    pub(super) fn listener_lost(&mut self) {
        for one in std::mem::take(&mut self.listens) {
            let report = Report::fatal(b"57P01", "gone");
            let Listen { seat, pool, place, .. } = one;
            self.mail_to(seat, Mail::ListenerLost { pool, place, report });
        }
        self.run();
    }

    /// The cancel connection for the oldest order is ready: is it permitted? A question that stands
    /// before any order is answered: nothing waits for a standby.
    pub(super) fn cancel_is_permitted(&mut self) -> (CancelId, bool) {
        if self.cancels.is_empty() {
            self.looked(Some(false));
        }
        let (seat, cancel) = self.cancels.remove(0);
        let (answer, mut question) = tokio::sync::oneshot::channel();
        self.mail_to(seat, Mail::CancelReady { cancel, answer });
        (cancel, question.try_recv().expect("answered at once"))
    }

    /// Postgres says whether the process that it was asked about first is there.
    pub(super) fn process_is_there(&mut self, yes: bool) {
        let (seat, server) = self.zombies_asked.remove(0);
        self.mail_to(seat, Mail::IsThere { server, yes });
        self.run();
    }

    /// The catalog answers what it was asked first.
    pub(super) fn catalog_answers(&mut self, answers: &[Answer]) {
        let (seat, asked) = self.catalog_asked.remove(0);
        self.mail_to(seat, Mail::Catalog(asked, answers.to_vec()));
        self.run();
    }

    /// Postgres says whether what it was asked about waits for a standby.
    pub(super) fn looked(&mut self, waits: Option<bool>) {
        let (seat, cancel) = self.looks.remove(0);
        let waits = waits.map(|waits| if waits { StandbyWait::Waits } else { StandbyWait::NotNow });
        self.mail_to(seat, Mail::Looked { cancel, waits });
        self.run();
    }

    pub(super) fn cancel_finished(&mut self, cancel: CancelId, outcome: CancelOutcome) {
        self.mail(Mail::CancelFinished { cancel, outcome });
        self.run();
    }

    pub(super) fn client_cancels(&mut self, client: ClientEnd) {
        let found = self.registry.find_pid(client.pid).expect("a key");
        self.mail(Mail::ClientCancel(found));
        self.run();
    }

    pub(super) fn drain_all(&mut self, limit_ms: Option<u64>) {
        for seat in 0..self.engines.len() {
            self.mail_to(seat, Mail::Drain { limit_ms });
        }
        self.run();
    }

    pub(super) fn drain(&mut self, limit_ms: Option<u64>) {
        self.mail(Mail::Drain { limit_ms });
        self.run();
    }

    /// A client's bytes arrive.
    pub(super) fn send(&mut self, client: ClientEnd, bytes: &[u8]) {
        let mut net = self.net.borrow_mut();
        let pipe = &mut net.pipes[client.pipe];
        pipe.to_engine.extend(bytes);
        pipe.edge = true;
    }

    /// A client sends a message and everything happens that follows; the tags of the replies.
    pub(super) fn ask(&mut self, client: ClientEnd, text: &str) -> String {
        self.send(client, &query(text));
        self.run();
        self.tags(client)
    }

    /// What a client has received, and forgets.
    pub(super) fn received(&mut self, client: ClientEnd) -> Vec<u8> {
        let mut net = self.net.borrow_mut();
        let pipe = &mut net.pipes[client.pipe];
        pipe.edge |= pipe.was_full;
        std::mem::take(&mut pipe.from_engine)
    }

    /// Whether a client has received anything that it has not read.
    pub(super) fn has_received(&self, client: ClientEnd) -> bool {
        !self.net.borrow().pipes[client.pipe].from_engine.is_empty()
    }

    /// Servers that are alive.
    pub(super) fn live_servers(&self) -> Vec<usize> {
        (0..self.servers.len()).filter(|&n| !self.servers[n].terminated).collect()
    }

    /// The tags of what a client has received; ReadyForQuery as its status in lower case for `T`
    /// and `E`.
    pub(super) fn tags(&mut self, client: ClientEnd) -> String {
        frames(&self.received(client)).into_iter().map(|(tag, _)| char::from(tag)).collect()
    }

    /// The frames that a client has received.
    pub(super) fn frames(&mut self, client: ClientEnd) -> Vec<(u8, Vec<u8>)> {
        frames(&self.received(client))
    }

    /// The errors that a client has received.
    pub(super) fn errors(&mut self, client: ClientEnd) -> Vec<Report> {
        let frames = self.frames(client).into_iter();
        frames.filter(|(tag, _)| *tag == b'E').map(|(_, body)| Report::from_server(&body)).collect()
    }

    /// A silent server answers the one message that it has begun with.
    pub(super) fn answer_one(&mut self, n: usize) {
        let server = &mut self.servers[n];
        let mut out = Vec::new();
        let rest = server.input.split_off(server.front_len().expect("a whole message"));
        server.answer(&mut out);
        server.input = rest;
        let mut net = self.net.borrow_mut();
        let pipe = &mut net.pipes[self.servers[n].pipe];
        pipe.to_engine.extend(out);
        pipe.edge = true;
        drop(net);
        self.run();
    }

    /// A silent server ends what it has begun with, with this error.
    pub(super) fn front_fails(&mut self, n: usize, report: &Report) {
        let mut out = Vec::new();
        self.servers[n].front_fails(report, &mut out);
        self.server_sends(n, &out);
        self.run();
    }

    /// A server sends bytes by itself.
    pub(super) fn server_sends(&mut self, n: usize, bytes: &[u8]) {
        let mut net = self.net.borrow_mut();
        let pipe = &mut net.pipes[self.servers[n].pipe];
        pipe.to_engine.extend(bytes);
        pipe.edge = true;
    }

    /// How many bytes of a server have not been read.
    pub(super) fn unread_of_server(&self, n: usize) -> usize {
        self.net.borrow().pipes[self.servers[n].pipe].to_engine.len()
    }

    /// How many bytes lie on a server's connection before whoever sends is blocked.
    pub(super) fn set_server_room(&mut self, n: usize, room: usize) {
        self.net.borrow_mut().pipes[self.servers[n].pipe].room = room;
    }

    /// A client hangs up without a word.
    pub(super) fn hang_up(&mut self, client: ClientEnd) {
        let mut net = self.net.borrow_mut();
        net.pipes[client.pipe].peer_closed = true;
        net.pipes[client.pipe].edge = true;
    }

    /// Whether pgweir has closed a client's connection.
    pub(super) fn is_closed(&self, client: ClientEnd) -> bool {
        self.net.borrow().pipes[client.pipe].closed
    }

    /// How many bytes a client lets lie before it blocks its sender.
    pub(super) fn set_room(&mut self, client: ClientEnd, room: usize) {
        self.net.borrow_mut().pipes[client.pipe].room = room;
    }

    /// A server ends its connection, with a FATAL if `word` is given.
    pub(super) fn kill_server(&mut self, n: usize, word: Option<&str>) {
        let mut bytes = Vec::new();
        if let Some(word) = word {
            Report::fatal(b"57P01", word.to_owned()).write(&mut bytes);
        }
        let mut net = self.net.borrow_mut();
        let pipe = &mut net.pipes[self.servers[n].pipe];
        pipe.to_engine.extend(bytes);
        pipe.peer_closed = true;
        pipe.edge = true;
        self.servers[n].terminated = true;
    }

    /// A server's connection breaks; the loop has not been told.
    pub(super) fn break_server_unseen(&mut self, n: usize) {
        self.net.borrow_mut().pipes[self.servers[n].pipe].broken = true;
        self.servers[n].terminated = true;
    }

    /// A server says something of its own accord.
    pub(super) fn server_says(&mut self, n: usize, bytes: &[u8]) {
        let mut net = self.net.borrow_mut();
        let pipe = &mut net.pipes[self.servers[n].pipe];
        pipe.to_engine.extend(bytes);
        pipe.edge = true;
    }

    pub(super) fn inspect(&mut self) -> Inspection {
        self.serve_orders();
        let pictures = (0..self.engines.len()).map(|seat| {
            let (answer, mut picture) = tokio::sync::oneshot::channel();
            let mail = || vec![Mail::Inspect(answer)];
            self.engines[seat].turn(mail).expect("the simulator does not break");
            picture.try_recv().expect("answered at once")
        });
        Inspection::add_up(pictures.collect::<Vec<_>>())
    }

    /// What the first loop lists.
    pub(super) fn list(&mut self) -> Listing {
        self.serve_orders();
        self.engines[0].list()
    }

    /// Whether any server has texts for the case that a limit strikes.
    pub(super) fn remembers_texts(&self) -> bool {
        self.engines
            .iter()
            .any(|engine| engine.servers.iter().any(|(_, entry)| entry.server.asked.is_some()))
    }

    /// `idle + leased + login + cancel + zombie = open`, and nothing else is open.
    pub(super) fn check_accounts(&mut self) {
        let picture = self.inspect();
        for pool in &picture.pools {
            let sum = pool.idle + pool.leased + pool.login + pool.cancel + pool.zombie;
            assert_eq!(sum + pool.moving, pool.open, "{pool:?}");
            let travel = self.net.borrow().posted.iter().any(|mail| !mail.is_empty());
            assert!(pool.moving == 0 || travel, "{pool:?}");
        }
        let alive = self.servers.iter().filter(|s| !self.net.borrow().pipes[s.pipe].closed).count();
        let open: usize = picture.pools.iter().map(|pool| pool.open - pool.login).sum();
        assert_eq!(open, alive, "{picture:?}");
    }

    /// Processes that the simulated Postgres has, for a database and role where they are given.
    pub(super) fn backends(&self, database: Option<&str>, role: Option<&str>) -> usize {
        let alive = |server: &&FakeServer| {
            database.is_none_or(|database| server.database == database)
                && role.is_none_or(|role| server.role == role)
                && !self.net.borrow().pipes[server.pipe].peer_closed
        };
        self.servers.iter().filter(alive).count()
    }

    /// After everyone has gone: nothing leased, nobody waits, no key, no statement is left.
    pub(super) fn check_quiet(&mut self) {
        self.check_accounts();
        let picture = self.inspect();
        assert_eq!(picture.clients, 0);
        for pool in &picture.pools {
            assert_eq!(
                (pool.leased, pool.waiting, pool.cancel, pool.clients),
                (0, 0, 0, 0),
                "{pool:?}"
            );
        }
        assert!(self.registry.is_empty());
        let known = self.servers.iter().filter(|s| s.unnamed.is_some() && !s.terminated).count();
        assert!(picture.statements <= known, "{} statements, {known} servers", picture.statements);
    }

    fn serve(&mut self, n: usize) {
        let server = &mut self.servers[n];
        let mut net = self.net.borrow_mut();
        let pipe = &mut net.pipes[server.pipe];
        if server.deaf {
            return;
        }
        if !pipe.from_engine.is_empty() {
            net.events += 1;
        }
        let pipe = &mut net.pipes[server.pipe];
        server.input.append(&mut pipe.from_engine);
        pipe.edge |= pipe.was_full;
        if server.silent {
            return;
        }
        let mut out = Vec::new();
        server.answer(&mut out);
        server.terminated |= pipe.ended;
        if server.terminated && !pipe.peer_closed {
            // Its process is gone.
            pipe.peer_closed = true;
            pipe.edge = true;
        }
        if !out.is_empty() && !server.terminated {
            pipe.to_engine.extend(out);
            pipe.edge = true;
        }
    }
}

/// Takes a byte stream apart; what is left over must be nothing.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((&tag, rest)) = bytes.split_first() {
        let len = u32::from_be_bytes(rest[..4].try_into().expect("a length")) as usize;
        frames.push((tag, rest[4..len].to_vec()));
        bytes = &rest[len..];
    }
    frames
}

pub(super) fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    build::query(&mut out, text.as_bytes());
    out
}

/// Parse of the unnamed statement.
pub(super) fn parse(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut content = text.as_bytes().to_vec();
    content.extend_from_slice(&[0, 0, 0]);
    build::parse(&mut out, b"", &content);
    out
}

/// Bind of the unnamed statement to the unnamed portal, and Execute.
pub(super) fn bind_execute() -> Vec<u8> {
    let mut out = vec![b'B'];
    build::sized(&mut out, |out| out.extend_from_slice(&[0; 8]));
    out.push(b'E');
    build::sized(&mut out, |out| out.extend_from_slice(&[0; 5]));
    out
}

pub(super) fn sync() -> Vec<u8> {
    let mut out = Vec::new();
    build::sync(&mut out);
    out
}
