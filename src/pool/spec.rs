//! Who uses a pool and how its servers are reached.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

use super::time_limits::SharedTimeLimits;
use super::{Addresses, Board, Code, Fleet, ListenerStanding, TimeLimits};
use crate::auth::ServerCredential;
use crate::config::{Effective, Timeout, TimeoutAction, TimeoutOverride};
use crate::route::marks::LastWrite;
use crate::route::{Policy, SharedPolicy};
use crate::session::{Belt, MaySet, OwnLimits, PerLimit, Startup};
use crate::wire::Report;

/// Servers that a pool has for each loop that its clients are on.
const SERVERS_PER_LOOP: usize = 2;

/// No policy judges texts.
const UNGUARDED: u8 = 0;
/// A policy judges texts that have commands.
const GUARDED: u8 = 1;
/// A policy judges every text.
const GUARDED_CLOSELY: u8 = 2;

fn guard_of(settings: &Effective) -> u8 {
    match &settings.policy {
        policy if policy.is_off() => UNGUARDED,
        policy if crate::guard::looks_closely(policy) => GUARDED_CLOSELY,
        _ => GUARDED,
    }
}

/// One (database, role): made by the login hall at the first login, shared by everyone after it.
#[derive(Debug)]
pub struct PoolSpec {
    /// Number of the pool in this process; never used twice.
    pub id: u32,
    /// Database as clients name it.
    pub database: String,
    /// Role as clients name it.
    pub role: String,
    /// The settings in force; a reload replaces them.
    pub settings: ArcSwap<Effective>,
    /// Of those, how long its clients may take.
    time_limits: SharedTimeLimits,
    /// What logs in to Postgres: set at start from the configuration, or by a client's login that
    /// revealed it (SCRAM pass-through). One for the pool and its readers.
    credential: Arc<Mutex<Option<ServerCredential>>>,
    /// The other servers of its database, where there are some.
    fleet: ArcSwapOption<Fleet>,
    /// It is for reads of one server of a fleet: its place there.
    reader_of: Option<usize>,
    /// Held while it takes over what a reload or a change of the primary says.
    following: Mutex<()>,
    /// Why there is no primary to lead to.
    headless: ArcSwapOption<Report>,
    /// The pool whose servers it uses; `None`: servers of its own.
    shared: ArcSwapOption<PoolSpec>,
    /// What the loops know of each other's part of it.
    board: Arc<Board>,
    /// The loop that dials its servers.
    home: AtomicUsize,
    /// How often an administrator wanted all its servers replaced.
    renewals: AtomicU64,
    /// Why the last dial failed, while none has succeeded since. For the loops that do not dial.
    failure: Mutex<Option<Report>>,
    /// Counts the places that its servers have been at.
    place: AtomicU64,
    /// What is known of code in its database.
    code: Arc<Code>,
    /// Where its servers have been dialled.
    addresses: Addresses,
    /// The connection that listens for its clients.
    listener: ListenerStanding,
    /// What is known of how its servers take limits of time.
    limits_there: Mutex<LimitsThere>,
    /// Counts what changes the limits of its clients.
    belt_version: AtomicU64,
    /// How its clients' texts are judged.
    guard: AtomicU8,
    /// Where its clients' statements go.
    policy: SharedPolicy,
    /// What its clients have written last.
    written: LastWrite,
    /// Its servers acknowledge commits when they have been flushed, where sessions do not say otherwise.
    flushes: AtomicBool,
    /// Its clients may not stay.
    clients_gone: AtomicBool,
    /// Its servers serve nobody any more.
    servers_gone: AtomicBool,
}

/// How the servers of a pool take limits of time.
#[derive(Clone, Copy, Debug, Default)]
struct LimitsThere {
    /// What ALTER ROLE or ALTER DATABASE has set.
    own: OwnLimits,
    /// They refuse them in a startup packet: another pooler stands before them.
    refused: bool,
}

impl PoolSpec {
    /// A pool's description.
    #[must_use]
    pub fn new(id: u32, database: String, role: String, settings: Arc<Effective>) -> Self {
        PoolSpec {
            id,
            database,
            role,
            time_limits: SharedTimeLimits::new(TimeLimits::of(&settings)),
            guard: AtomicU8::new(guard_of(&settings)),
            policy: SharedPolicy::new(Policy::of(&settings)),
            written: LastWrite::default(),
            flushes: AtomicBool::new(false),
            settings: ArcSwap::new(settings),
            credential: Arc::default(),
            fleet: ArcSwapOption::empty(),
            reader_of: None,
            following: Mutex::default(),
            headless: ArcSwapOption::empty(),
            shared: ArcSwapOption::empty(),
            board: Arc::new(Board::new(1)),
            home: AtomicUsize::new(0),
            renewals: AtomicU64::new(0),
            failure: Mutex::new(None),
            place: AtomicU64::new(0),
            code: Arc::default(),
            addresses: Addresses::default(),
            listener: ListenerStanding::default(),
            limits_there: Mutex::default(),
            belt_version: AtomicU64::new(0),
            clients_gone: AtomicBool::new(false),
            servers_gone: AtomicBool::new(false),
        }
    }

    /// The same over so many loops. All pools that can share a limit have the same home.
    #[must_use]
    pub fn over(self, loops: usize) -> Self {
        let spec = PoolSpec { board: Arc::new(Board::new(loops)), ..self };
        spec.find_home();
        spec
    }

    /// The same with what is known of code in its database.
    #[must_use]
    pub fn with_code(self, code: Arc<Code>) -> Self {
        PoolSpec { code, ..self }
    }

    /// What is known of code in its database.
    #[must_use]
    pub fn code(&self) -> &Arc<Code> {
        &self.code
    }

    /// A pool for reads of one server beside those of this pool's: with servers of its own, which are logged in to
    /// alike.
    #[must_use]
    pub fn reader(&self, id: u32, node: usize, settings: Arc<Effective>) -> Self {
        let reader = PoolSpec::new(id, self.database.clone(), self.role.clone(), settings);
        let reader = PoolSpec {
            credential: self.credential.clone(),
            reader_of: Some(node),
            ..reader.with_code(self.code.clone()).over(self.board.loops())
        };
        reader.keep(!self.clients_are_gone(), !self.servers_are_gone());
        reader
    }

    /// Its place in the fleet, where it is for reads of one server; `None`: it is the primary's.
    #[must_use]
    #[inline]
    pub fn reader_of(&self) -> Option<usize> {
        self.reader_of
    }

    /// The servers of its database and the pools for reads of each, where there are several. Those of the pool whose
    /// servers it uses.
    #[must_use]
    #[inline]
    pub fn fleet(&self) -> Option<Arc<Fleet>> {
        match &*self.shared.load() {
            Some(owner) => owner.fleet.load_full(),
            None => self.fleet.load_full(),
        }
    }

    /// Its database has these servers from now on; `None`: one. Pools for reads that are not among them serve nobody any
    /// more.
    pub fn set_fleet(&self, fleet: Option<Arc<Fleet>>) {
        let before = self.fleet.swap(fleet.clone());
        let stays = |reader: &Arc<PoolSpec>| {
            fleet.iter().flat_map(|fleet| &fleet.readers).any(|other| Arc::ptr_eq(other, reader))
        };
        let readers = before.iter().flat_map(|fleet| &fleet.readers);
        readers.filter(|reader| !stays(reader)).for_each(|reader| reader.keep(false, false));
    }

    /// Why nobody is known to take its writes: then its servers serve nobody and none is dialled.
    #[must_use]
    #[inline]
    pub fn headless(&self) -> Option<Report> {
        self.headless.load().as_deref().cloned()
    }

    /// Nobody is known to take its writes, or somebody is again.
    pub fn set_headless(&self, why: Option<Report>) {
        self.headless.store(why.map(Arc::new));
    }

    fn find_home(&self) {
        let table = self.settings.load().database.table.clone();
        let hash = foldhash::fast::FixedState::default().hash_one(table);
        let home = usize::try_from(hash % self.board.loops() as u64).unwrap_or(0);
        self.home.store(home, Ordering::Release);
    }

    /// What the loops know of each other's part of it.
    #[must_use]
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Where its servers have been dialled.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The connection that listens for its clients.
    #[must_use]
    pub fn listener(&self) -> &ListenerStanding {
        &self.listener
    }

    /// The loop that dials its servers and decides how many there are.
    #[must_use]
    pub fn home(&self) -> usize {
        self.home.load(Ordering::Acquire)
    }

    /// The loop for a new client: of as many as the pool has servers for, its home first among them,
    /// the one with the fewest of its clients. With fewer servers for each they would travel more
    /// than they work.
    #[must_use]
    pub fn loop_for_client(&self) -> usize {
        let loops = self.limits().size as usize / SERVERS_PER_LOOP;
        self.board.emptiest(self.home(), loops)
    }

    /// Why the last dial failed, while none has succeeded since.
    #[must_use]
    pub fn failure(&self) -> Option<Report> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A dial failed, or one succeeded.
    pub fn set_failure(&self, failure: Option<Report>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// The same with the servers of another pool: of one `server_role`, whoever the client is.
    #[must_use]
    pub fn with_servers_of(self, owner: Arc<PoolSpec>) -> Self {
        self.shared.store(Some(owner));
        self
    }

    /// The pool whose servers it uses: itself, unless a `server_role` is shared.
    #[must_use]
    pub fn servers(self: &Arc<Self>) -> Arc<PoolSpec> {
        self.shared.load_full().unwrap_or_else(|| self.clone())
    }

    /// Whether its servers are those of `owner`, which is another pool.
    #[must_use]
    pub fn leads_to(&self, owner: &Arc<PoolSpec>) -> bool {
        self.shared.load().as_ref().is_some_and(|shared| Arc::ptr_eq(shared, owner))
    }

    /// Whether its servers are those of another pool.
    #[must_use]
    pub fn leads_elsewhere(&self) -> bool {
        self.shared.load().is_some()
    }

    /// Uses the servers of another pool from now on; `None`: its own.
    pub fn lead_to(&self, owner: Option<Arc<PoolSpec>>) {
        self.shared.store(owner);
    }

    /// To be held from when it is found out what the pool is to go by until it does: whoever comes last then knows the
    /// newest. Never across an await.
    pub fn following(&self) -> MutexGuard<'_, ()> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what a reload says.
    pub fn follow(&self, settings: Arc<Effective>) {
        let before = self.settings.swap(settings.clone());
        self.time_limits.store(TimeLimits::of(&settings));
        self.guard.store(guard_of(&settings), Ordering::Relaxed);
        self.policy.store(Policy::of(&settings));
        if !settings.has_servers_of(&before) {
            // After the swap: see `place`.
            self.place.fetch_add(1, Ordering::Release);
            self.code.changed();
            *self.limits_there() = LimitsThere::default();
        }
        self.belt_version.fetch_add(1, Ordering::Release);
        self.find_home();
    }

    /// All its servers are to be replaced: those that travel between loops as well.
    pub fn renew(&self) {
        self.renewals.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was wanted.
    #[must_use]
    pub fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Acquire)
    }

    /// Who may stay after a reload: its clients, and its servers.
    pub fn keep(&self, clients: bool, servers: bool) {
        self.clients_gone.store(!clients, Ordering::Release);
        self.servers_gone.store(!servers, Ordering::Release);
        for reader in self.fleet.load().iter().flat_map(|fleet| &fleet.readers) {
            reader.keep(clients, servers);
        }
    }

    /// The number of the place where its servers are: another one whenever a reload changed where
    /// they are or who logs in there. Whoever loads it before the settings never takes an old
    /// place for a new one.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.place.load(Ordering::Acquire)
    }

    /// Whether a reload took the database or role of its clients away.
    #[must_use]
    pub fn clients_are_gone(&self) -> bool {
        self.clients_gone.load(Ordering::Acquire)
    }

    /// Whether a reload left its servers without anybody to serve.
    #[must_use]
    pub fn servers_are_gone(&self) -> bool {
        self.servers_gone.load(Ordering::Acquire)
    }

    /// What `max_server_connections` is shared under: one table of the configuration, one server.
    #[must_use]
    pub fn node_key(&self) -> String {
        let settings = self.settings.load();
        let hosts = &settings.database.primary.hosts;
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        format!("{} {}", settings.database.table, hosts.join(","))
    }

    /// How many servers all pools of its node may have together; 0: as many as they like.
    #[must_use]
    pub fn node_limit(&self) -> u32 {
        self.settings.load().max_server_connections
    }

    /// Whether it may be forgotten when nobody uses it: its database is not configured by name, or
    /// no longer.
    #[must_use]
    pub fn is_evictable(&self) -> bool {
        self.servers_are_gone() || self.settings.load().database.is_wildcard()
    }

    /// Whether a server can be the one that `database` lies on: for statements that want no other
    /// session there.
    #[must_use]
    pub fn serves(&self, database: &str, hosts: &[crate::config::Host]) -> bool {
        let settings = self.settings.load();
        let own = &settings.database;
        own.server_database == database && own.primary.hosts == hosts
    }

    /// What logs in to Postgres now. Never locked across an await or beside another lock.
    #[must_use]
    pub fn credential(&self) -> Option<ServerCredential> {
        if let Some(owner) = self.shared.load_full() {
            return owner.credential();
        }
        self.credential.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what a login revealed.
    pub fn set_credential(&self, credential: ServerCredential) {
        if let Some(owner) = self.shared.load_full() {
            return owner.set_credential(credential);
        }
        *self.credential.lock().unwrap_or_else(PoisonError::into_inner) = Some(credential);
        // Its servers may have waited for somebody who can ask them.
        if let Some(fleet) = self.fleet.load().as_ref() {
            fleet.topology.want();
        }
    }

    /// The role that pgweir logs in to Postgres as.
    #[must_use]
    pub fn server_role(&self) -> String {
        self.settings.load().server_role.clone().unwrap_or_else(|| self.role.clone())
    }

    /// What the pool may use.
    #[must_use]
    pub fn limits(&self) -> super::Limits {
        let settings = self.settings.load();
        super::Limits {
            size: settings.pool_size,
            min: if self.servers_are_gone() { 0 } else { settings.min_pool_size },
            reserve: settings.reserve_pool_size,
            reserve_wait_ms: settings.reserve_pool_wait.as_millis(),
            lifetime_ms: settings.server_lifetime.as_millis(),
            idle_ms: settings.server_idle_timeout.as_millis(),
            prepared: settings.max_prepared_statements,
            repeated: settings.unnamed_statements == crate::config::UnnamedStatements::Shared,
            resets: settings.reset_on_handover == crate::config::ResetOnHandover::Always,
            resets_for_code: settings.reset_on_handover == crate::config::ResetOnHandover::UserCode,
        }
    }

    /// Whether its clients' texts are judged by a policy of the guard.
    #[must_use]
    #[inline]
    pub fn is_guarded(&self) -> bool {
        self.guard.load(Ordering::Relaxed) != UNGUARDED
    }

    /// Whether the policy judges texts that have no commands, too.
    #[must_use]
    #[inline]
    pub fn looks_closely(&self) -> bool {
        self.guard.load(Ordering::Relaxed) == GUARDED_CLOSELY
    }

    /// Where its clients' statements go.
    #[must_use]
    #[inline]
    pub fn policy(&self) -> Policy {
        self.policy.load()
    }

    /// Its servers say whether they acknowledge commits when these have been flushed.
    pub fn set_flushes(&self, flushes: bool) {
        self.flushes.store(flushes, Ordering::Relaxed);
    }

    /// Whether a commit may be acknowledged before it is flushed, where its session does not say otherwise.
    #[must_use]
    #[inline]
    pub fn commits_asynchronously(&self) -> bool {
        !self.flushes.load(Ordering::Relaxed)
    }

    /// A write of one of its clients was acknowledged; see [`LastWrite::note`].
    #[inline]
    pub fn wrote(&self, begun: u64, to_the_end: bool) {
        self.written.note(begun, to_the_end);
    }

    /// What its clients have written last; see [`LastWrite::get`].
    #[must_use]
    pub fn written(&self) -> (u64, bool) {
        self.written.get()
    }

    /// How long its clients may take.
    #[must_use]
    #[inline]
    pub fn time_limits(&self) -> TimeLimits {
        self.time_limits.load()
    }

    /// How long its clients wait for a server, whoever's that is; `None`: for ever.
    #[must_use]
    pub fn wait_ms(&self) -> Option<u64> {
        self.settings.load().pool_wait_timeout.as_millis()
    }

    /// The limits of time that the servers of its clients are to keep.
    #[must_use]
    pub fn belt(&self) -> Belt {
        let settings = self.settings.load();
        let owner = self.shared.load();
        let own = owner.as_ref().map_or_else(|| self.limits_there().own, |o| o.limits_there().own);
        belt_of(&settings, own)
    }

    /// Changes with what [`PoolSpec::belt`] says, together with that of the pool whose servers its clients have.
    #[must_use]
    #[inline]
    pub fn belt_version(&self) -> u64 {
        self.belt_version.load(Ordering::Acquire)
    }

    /// What the startup packets of its servers set.
    #[must_use]
    pub fn startup(&self) -> Startup {
        let refused = self.limits_there().refused;
        if refused { Startup::default() } else { self.belt().startup() }
    }

    /// Its servers do not take limits in a startup packet. Whether that is news.
    pub fn refuse_startup(&self) -> bool {
        !std::mem::replace(&mut self.limits_there().refused, true)
    }

    /// What ALTER ROLE or ALTER DATABASE has set for its servers. Whether that is news.
    pub fn set_own_limits(&self, own: OwnLimits) -> bool {
        let before = std::mem::replace(&mut self.limits_there().own, own);
        if before != own {
            self.belt_version.fetch_add(1, Ordering::Release);
        }
        before != own
    }

    /// Never locked across an await or beside another lock.
    fn limits_there(&self) -> MutexGuard<'_, LimitsThere> {
        self.limits_there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client keeps its server until it leaves.
    #[must_use]
    pub fn is_session_mode(&self) -> bool {
        self.settings.load().pool_mode == crate::config::PoolMode::Session
    }

    /// The server as the configuration names it, for those who operate pgweir.
    #[must_use]
    pub fn server_name(&self) -> String {
        self.settings
            .load()
            .database
            .primary
            .hosts
            .first()
            .map_or_else(String::new, ToString::to_string)
    }
}

/// The limits of time that servers keep for a role with these settings, whose own are those.
#[must_use]
pub fn belt_of(settings: &Effective, own: OwnLimits) -> Belt {
    let millis = |limit: Timeout| u32::try_from(limit.as_millis().unwrap_or(0)).unwrap_or(u32::MAX);
    // A statement that is only reported, or whose session is to end, may not be ended by the server.
    let cancels = settings.timeout_action == TimeoutAction::Cancel;
    let of_statements = |limit| if cancels { millis(limit) } else { 0 };
    let limits = PerLimit {
        statement: of_statements(settings.statement_timeout),
        lock: millis(settings.lock_timeout),
    };
    let instead = PerLimit {
        statement: of_statements(settings.maintenance_timeout),
        lock: millis(settings.ddl_lock_timeout),
    };
    let may = match settings.timeout_override {
        TimeoutOverride::Never => MaySet::Nothing,
        TimeoutOverride::Lower => MaySet::Lower,
        TimeoutOverride::Any => MaySet::Anything,
    };
    Belt::new(limits, instead, own, may)
}
