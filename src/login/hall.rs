//! What all logins share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use super::door::ConsoleDoor;
use super::edition::Edition;
use super::pools::Pools;
use super::secrets::Revealed;
use super::tally::LoginTally;
use crate::cancel::CancelRegistry;
use crate::config::Config;
use crate::net::socket::Socket;
use crate::pool::PoolSpec;
use crate::session::ParamSets;
use crate::worker::mail::{Admission, LoopSettings, Mail};

/// Console sessions at a time, besides `max_client_connections`.
const CONSOLE_PLACES: u32 = 16;

/// A loop's mailbox.
pub trait Loop: Send + Sync {
    /// Puts a message into it and wakes the loop. Never blocks. Mail for a loop that has ended is
    /// dropped.
    fn send(&self, mail: Mail<Socket>);
}

/// What all logins share. One for the process.
pub struct Hall {
    edition: ArcSwap<Edition>,
    pub(super) params: Arc<ParamSets>,
    pub(super) pools: Arc<Pools>,
    registry: Arc<CancelRegistry>,
    loops: Vec<Arc<dyn Loop>>,
    admitted: Arc<AtomicU32>,
    /// Connections that may be logging in at a time; more wait to be accepted.
    pub(super) arrivals: Arc<Semaphore>,
    /// Its places, taken ones included.
    arrival_places: AtomicUsize,
    closing: AtomicBool,
    /// Where operators go, once there is one.
    door: OnceLock<Arc<dyn ConsoleDoor>>,
    /// Places of theirs that are taken.
    visitors: Arc<AtomicU32>,
    pub(super) tally: LoginTally,
    /// The port that clients connect to.
    port: AtomicU16,
    /// Sends when a reload has taken effect.
    reloads: watch::Sender<()>,
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hall")
            .field("loops", &self.loops.len())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

impl Hall {
    /// A hall that nobody has come to yet.
    #[must_use]
    pub fn new(
        edition: Edition,
        loops: Vec<Arc<dyn Loop>>,
        registry: Arc<CancelRegistry>,
        params: Arc<ParamSets>,
    ) -> Self {
        let places = arrival_places(&edition.config);
        Hall {
            edition: ArcSwap::new(Arc::new(edition)),
            params,
            pools: Arc::new(Pools::over(loops.len())),
            registry,
            loops,
            admitted: Arc::default(),
            arrivals: Arc::new(Semaphore::new(places)),
            arrival_places: AtomicUsize::new(places),
            closing: AtomicBool::new(false),
            door: OnceLock::new(),
            visitors: Arc::default(),
            tally: LoginTally::default(),
            port: AtomicU16::new(0),
            reloads: watch::Sender::new(()),
        }
    }

    /// What logins go by now.
    #[must_use]
    pub fn edition(&self) -> Arc<Edition> {
        self.edition.load_full()
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.edition.load().config.clone()
    }

    /// Logins that begin from now on go by `edition`, and so do all pools and loops. Called by one
    /// task at a time.
    pub fn follow(&self, edition: Edition) {
        let edition = Arc::new(edition);
        // First the edition, then the pools: a login that makes a pool looks at the edition after
        // that, so that either it or this sees the pool.
        self.edition.store(edition.clone());
        self.resize_arrivals(arrival_places(&edition.config));
        self.pools.follow(&edition);
        for mailbox in &self.loops {
            mailbox.send(Mail::Reload(LoopSettings::of(&edition.config.server)));
        }
        self.open_pools();
        self.reloads.send_replace(());
    }

    /// Changes whenever a reload has taken effect.
    pub fn reloads(&self) -> watch::Receiver<()> {
        self.reloads.subscribe()
    }

    fn resize_arrivals(&self, places: usize) {
        let before = self.arrival_places.load(Ordering::Relaxed);
        if places >= before {
            self.arrivals.add_permits(places - before);
            self.arrival_places.store(places, Ordering::Relaxed);
        } else {
            // Places that are taken now are not waited for: the next reload sees to them.
            let gone = self.arrivals.forget_permits(before - places);
            self.arrival_places.store(before - gone, Ordering::Relaxed);
        }
    }

    /// The port that clients connect to; 0 when they come through the Unix socket only.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// Clients connect to this port from now on.
    pub fn listens_at(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// Opens the console; once.
    pub fn open_console(&self, door: Arc<dyn ConsoleDoor>) {
        // A second one would be a second start of the same process.
        let _ = self.door.set(door);
    }

    /// Where operators go.
    pub(super) fn door(&self) -> Option<&Arc<dyn ConsoleDoor>> {
        self.door.get()
    }

    /// A place at the console. Those are apart from the clients', for it is needed most when the
    /// house is full.
    pub(super) fn admit_visitor(&self) -> Option<Admission> {
        Admission::take(&self.visitors, CONSOLE_PLACES)
    }

    /// Logins that were refused.
    #[must_use]
    pub fn tally(&self) -> &LoginTally {
        &self.tally
    }

    /// How many clients have a place, those that are logging in included.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// From now on every login is refused: the process ends.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether logins are refused because the process ends.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// The pools that logins have made.
    #[must_use]
    pub fn pools(&self) -> &Arc<Pools> {
        &self.pools
    }

    /// Opens ahead what `min_pool_size` asks for, where it is known what logs in: for the roles
    /// that the configuration names. Others follow at their first login.
    pub fn open_pools(&self) {
        let edition = self.edition();
        let config = &edition.config;
        for database in config.databases().filter(|database| !database.is_wildcard()) {
            let name = &database.name;
            let mut roles: Vec<String> =
                config.roles_of(name).into_iter().map(str::to_owned).collect();
            // A role without a table, for what holds for everybody.
            roles.extend(config.resolve(name, "").and_then(|any| any.server_role));
            roles.sort_unstable();
            roles.dedup();
            for role in roles {
                let Some(settings) = edition.settings(name, &role) else { continue };
                let known = edition.secrets.server_credential(&settings, Revealed::Nothing);
                let Some(credential) = known else { continue };
                let pool = self.pools.find_or_make(config, name, &role, settings);
                if pool.servers().limits().min > 0 {
                    pool.servers().set_credential(credential);
                    let servers = pool.servers();
                    if let Some(home) = self.loops.get(servers.home()) {
                        home.send(Mail::Open(servers));
                    }
                }
            }
        }
    }

    /// A place among `max_client_connections`; `None` when all are taken.
    pub(super) fn admit(&self) -> Option<Admission> {
        Admission::take(&self.admitted, self.edition.load().config.server.max_client_connections)
    }

    /// Passes a client's cancel request on, if its key is one of ours.
    pub(super) fn cancel(&self, pid: i32, secret: &[u8]) {
        let Some((home, client)) = self.registry.find(pid, secret) else {
            tracing::debug!(pid, "cancel request with a key that is not known");
            return;
        };
        if let Some(home) = self.loops.get(usize::from(home)) {
            home.send(Mail::ClientCancel(client));
        }
    }

    /// The loop that a new client of a pool goes to, and its number.
    pub(super) fn seat_for(&self, pool: &Arc<PoolSpec>) -> Option<(u16, &Arc<dyn Loop>)> {
        let seat = pool.servers().loop_for_client();
        Some((u16::try_from(seat).ok()?, self.loops.get(seat)?))
    }

    /// The keys of all clients.
    pub fn registry(&self) -> &Arc<CancelRegistry> {
        &self.registry
    }
}

/// Half as many again as may be logged in, so that a full house can still be told so.
fn arrival_places(config: &Config) -> usize {
    let clients = usize::try_from(config.server.max_client_connections).unwrap_or(usize::MAX);
    clients.saturating_add(clients / 2).clamp(64, 20_000)
}
