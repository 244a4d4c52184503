//! What all logins share.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::door::ConsoleDoor;
use super::pools::Pools;
use super::secrets::{Revealed, Secrets, SecretsError};
use super::tally::LoginTally;
use crate::cancel::CancelRegistry;
use crate::config::{AuthMethod, Config, TlsMode};
use crate::dial::{Chain, Dialler};
use crate::net::socket::{Peer, Socket};
use crate::net::tls::{
    CertificateAndKey, ClientCertificates, ServerTlsContext, ServerTlsSettings, TlsContextError,
    TlsVersion,
};
use crate::pool::PoolSpec;
use crate::session::ParamSets;
use crate::worker::mail::{Admission, Mail};

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
    pub(super) config: Arc<Config>,
    /// TLS that clients can have.
    pub(super) tls: Option<ServerTlsContext>,
    pub(super) secrets: Secrets,
    pub(super) params: Arc<ParamSets>,
    pub(super) pools: Arc<Pools>,
    registry: Arc<CancelRegistry>,
    loops: Vec<Arc<dyn Loop>>,
    admitted: Arc<AtomicU32>,
    /// Connections that may be logging in at a time; more wait to be accepted.
    pub(super) arrivals: Arc<Semaphore>,
    closing: AtomicBool,
    /// Where operators go, once there is one.
    door: OnceLock<Arc<dyn ConsoleDoor>>,
    /// Places of theirs that are taken.
    visitors: Arc<AtomicU32>,
    pub(super) tally: LoginTally,
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hall")
            .field("loops", &self.loops.len())
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

/// Why the hall cannot be opened.
#[derive(Debug)]
pub enum HallError {
    /// The certificates for clients cannot be used.
    Tls(TlsContextError),
    /// The userlist cannot be used.
    Secrets(SecretsError),
}

impl fmt::Display for HallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HallError::Tls(error) => write!(f, "[server.tls]: {}", Chain(error)),
            HallError::Secrets(error) => write!(f, "[auth].userlist: {}", Chain(error)),
        }
    }
}

impl std::error::Error for HallError {}

impl Hall {
    /// Reads the certificates and secrets that the configuration names.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn open(
        config: Arc<Config>,
        loops: Vec<Arc<dyn Loop>>,
        registry: Arc<CancelRegistry>,
        params: Arc<ParamSets>,
        dialler: Arc<Dialler>,
    ) -> Result<Self, HallError> {
        let tls = client_tls(&config).transpose().map_err(HallError::Tls)?;
        let secrets = Secrets::open(config.clone(), dialler).map_err(HallError::Secrets)?;
        // Half as many again as may be logged in, so that a full house can still be told so.
        let clients = usize::try_from(config.server.max_client_connections).unwrap_or(usize::MAX);
        let arrivals = clients.saturating_add(clients / 2).clamp(64, 20_000);
        Ok(Hall {
            config,
            tls,
            secrets,
            params,
            pools: Arc::new(Pools::over(loops.len())),
            registry,
            loops,
            admitted: Arc::default(),
            arrivals: Arc::new(Semaphore::new(arrivals)),
            closing: AtomicBool::new(false),
            door: OnceLock::new(),
            visitors: Arc::default(),
            tally: LoginTally::default(),
        })
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config.clone()
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
        for database in self.config.databases().filter(|database| !database.is_wildcard()) {
            let name = &database.name;
            let mut roles: Vec<String> =
                self.config.roles_of(name).into_iter().map(str::to_owned).collect();
            // A role without a table, for what holds for everybody.
            roles.extend(self.config.resolve(name, "").and_then(|any| any.server_role));
            roles.sort_unstable();
            roles.dedup();
            for role in roles {
                let Some(settings) = self.config.resolve(name, &role).map(Arc::new) else {
                    continue;
                };
                let known = self.secrets.server_credential(&settings, Revealed::Nothing);
                let Some(credential) = known else { continue };
                let pool = self.pools.find_or_make(&self.config, name, &role, settings);
                if pool.servers().limits().min > 0 {
                    pool.servers().set_credential(credential);
                    if let Some(home) = self.loops.get(pool.servers().home()) {
                        home.send(Mail::Open(pool.servers().clone()));
                    }
                }
            }
        }
    }

    /// How long a login may take, TLS included.
    pub(super) fn login_limit(&self) -> Option<Duration> {
        self.config.server.login_timeout.as_duration()
    }

    /// TLS for a peer: none on Unix sockets, as in Postgres.
    pub(super) fn tls_for(&self, peer: Peer) -> Option<&ServerTlsContext> {
        match peer {
            Peer::Tcp(_) => self.tls.as_ref(),
            Peer::Unix { .. } => None,
        }
    }

    /// Whether clients over TCP must have TLS.
    pub(super) fn requires_tls(&self) -> bool {
        let mode = self.config.server.tls.as_ref().map(|tls| tls.mode);
        matches!(mode, Some(TlsMode::Require | TlsMode::VerifyFull))
    }

    /// A place among `max_client_connections`; `None` when all are taken.
    pub(super) fn admit(&self) -> Option<Admission> {
        Admission::take(&self.admitted, self.config.server.max_client_connections)
    }

    /// How a client may prove who it is; `None` when the access rules keep it out.
    pub(super) fn method(
        &self,
        database: &str,
        role: &str,
        peer: Peer,
        tls: bool,
    ) -> Option<AuthMethod> {
        let address: Option<IpAddr> = match peer {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix { .. } => None,
        };
        self.config.access_method(database, role, address, tls)
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

/// Reads the certificates for clients, where TLS is on.
fn client_tls(config: &Config) -> Option<Result<ServerTlsContext, TlsContextError>> {
    let tls = config.server.tls.as_ref()?;
    let client_certificates = match (tls.mode, &tls.client_ca) {
        (TlsMode::VerifyFull, Some(ca)) => ClientCertificates::Required(ca.clone()),
        (_, Some(ca)) => ClientCertificates::Optional(ca.clone()),
        (_, None) => ClientCertificates::NotAsked,
    };
    Some(ServerTlsContext::load(&ServerTlsSettings {
        identity: CertificateAndKey {
            certificate: tls.certificate.clone(),
            key: tls.private_key.clone(),
        },
        client_certificates,
        min_version: TlsVersion::default(),
    }))
}
