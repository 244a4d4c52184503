//! Dialling: a connection to Postgres from nothing until it is logged in.
//!
//! Hosts and addresses are tried in order under one time limit, with libpq's meaning of `sslmode`.
//! Deliberately absent: pools, and everything after the first ReadyForQuery.

mod account;
mod catalog;
mod commits;
pub mod error;
pub mod frame;
mod limits;
mod login;
mod place;
mod question;
mod relations;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::cancel::CancelTarget;
use crate::config::{Host, SslMode, Target};
use crate::net::link::Link;
use crate::net::socket::{Socket, Stream};
use crate::pool::PoolSpec;
use crate::session::Startup;
use crate::worker::mail::{DialFailure, Handed, NewServer};

pub use account::{Account, log_in_beside};
pub use error::{Chain, DialError, Step};
pub use login::{Identity, LoggedIn, log_in};
pub use place::{ServerAddress, ServerTls};
pub use question::{AnswerError, Row, ask, ask_rows, leave};
pub use relations::ask_relation;
pub use snapshot::read_snapshot;
pub use trust::TlsContexts;

/// Unread bytes that a server may have sent before it is asked: an error of the largest size.
const SERVER_UNREAD_LIMIT: usize = 96 * 1024;

/// What to dial and who to be there.
#[derive(Debug)]
pub struct Errand<'a> {
    /// Where.
    pub target: &'a Target,
    /// Who.
    pub identity: Identity<'a>,
    /// How long all attempts together may take; `None`: for ever.
    pub limit: Option<Duration>,
}

/// A connection that is logged in, still in the hall.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub link: Link<Stream>,
    /// What the server said at login.
    pub login: LoggedIn,
    /// The address that answered.
    pub address: ServerAddress,
    /// TLS, when it is on.
    pub tls: Option<ServerTls>,
}

/// A connection for a pool.
struct Reached {
    connected: Connected,
    /// Who it is logged in as.
    account: Account,
    /// What [`PoolSpec::place`] was when the dial began.
    place: u64,
}

/// One way to try an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Plain,
    TlsIfOffered,
    Tls,
}

/// What `sslmode` means (libpq 34.19.3): Unix sockets never have TLS.
fn attempts(mode: SslMode, is_unix: bool) -> &'static [Attempt] {
    match mode {
        _ if is_unix => &[Attempt::Plain],
        SslMode::Disable => &[Attempt::Plain],
        SslMode::Allow => &[Attempt::Plain, Attempt::Tls],
        SslMode::Prefer => &[Attempt::TlsIfOffered, Attempt::Plain],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Attempt::Tls],
    }
}

/// Whether the next way to try the same address may do better than this one did.
fn calls_for_next_attempt(attempt: Attempt, error: &DialError) -> bool {
    match attempt {
        // The server takes such clients only with TLS (`allow`), or only without (`prefer`).
        Attempt::Plain | Attempt::TlsIfOffered if error.is_hba_refusal() => true,
        Attempt::TlsIfOffered => {
            use crate::net::link::StartTlsError::{AlreadyTls, NoAlpn, UnencryptedData};
            // Somebody who injects bytes must not talk us out of TLS.
            matches!(error, DialError::Tls(why)
                if !matches!(why, UnencryptedData | AlreadyTls | NoAlpn))
        }
        Attempt::Plain | Attempt::Tls => false,
    }
}

/// Dials servers. One for the process.
#[derive(Debug, Default)]
pub struct Dialler {
    contexts: ArcSwap<TlsContexts>,
}

impl Dialler {
    /// Takes over certificates that were read again. Dials under way go on with those they have.
    pub fn use_contexts(&self, contexts: TlsContexts) {
        self.contexts.store(Arc::new(contexts));
    }

    /// Dials for a pool: the primary of its database, as its server role.
    ///
    /// Cancel safe: dropping it closes what was opened.
    ///
    /// # Errors
    /// What the loop and its clients are to know. The whole story is logged here.
    pub async fn dial_for(&self, pool: &PoolSpec) -> Result<NewServer<Socket>, DialFailure> {
        let server = async {
            let (reached, startup) = self.connect_with_limits(pool).await?;
            let Reached { connected, account, place } = reached;
            let (connected, startup) = limits::look_at_limits(pool, connected, startup).await?;
            let connected = catalog::look_at_code(pool, connected).await?;
            let connected = commits::look_at_commits(pool, connected).await?;
            if let ServerAddress::Tcp(address) = &connected.address {
                pool.addresses().dialled(address.ip());
            }
            Reached { connected, account, place }.into_server(startup)
        };
        server.await.map_err(|error| failure(pool, &error))
    }

    /// With the pool's limits of time in the startup packet, unless the server takes none there.
    ///
    /// Cancel safe: dropping it closes what was opened.
    async fn connect_with_limits(&self, pool: &PoolSpec) -> Result<(Reached, Startup), DialError> {
        let startup = pool.startup();
        match self.connect(pool, startup).await {
            Err(error) if !startup.is_none() && limits::is_about_limits(&error) => {
                limits::startup_refused(pool, &Chain(&error).to_string());
                let reached = self.connect(pool, Startup::default()).await?;
                Ok((reached, Startup::default()))
            }
            reached => reached.map(|reached| (reached, startup)),
        }
    }

    /// The same for a connection that stays in the hall, with the place that it leads to.
    ///
    /// Cancel safe: dropping it closes what was opened.
    ///
    /// # Errors
    /// As [`Dialler::dial_for`].
    pub async fn connect_for(&self, pool: &PoolSpec) -> Result<(Connected, u64), DialFailure> {
        // It runs nothing that takes time.
        let reached = self.connect(pool, Startup::default()).await;
        let reached = reached.map_err(|error| failure(pool, &error))?;
        Ok((reached.connected, reached.place))
    }

    async fn connect(&self, pool: &PoolSpec, startup: Startup) -> Result<Reached, DialError> {
        // Before the settings: when a reload comes in between, the server counts as an old one.
        let place = pool.place();
        let settings = pool.settings.load_full();
        let account = Account::of(pool, &settings);
        let limits = limits::values(startup);
        let errand = Errand {
            target: &settings.database.primary,
            identity: account.identity(&limits),
            limit: settings.connect_timeout.as_duration(),
        };
        let connected = self.dial(errand).await?;
        Ok(Reached { connected, account, place })
    }

    /// Dials, trying each host and each of its addresses until one serves.
    ///
    /// Cancel safe: dropping it closes what was opened.
    ///
    /// # Errors
    /// No address served; the error is that of the one that came furthest.
    pub async fn dial(&self, errand: Errand<'_>) -> Result<Connected, DialError> {
        let deadline = errand.limit.map(|limit| Instant::now() + limit);
        let context =
            self.contexts.load().for_target(errand.target).map_err(DialError::TlsFiles)?;
        let mut failed: Option<DialError> = None;
        let hosts = &errand.target.hosts;
        for (n, host) in hosts.iter().enumerate() {
            let hosts_left = hosts.len() - n - 1;
            let share = share_of(deadline, hosts_left + 1);
            let addresses = match within(share, Step::Connecting, resolve(host)).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            };
            let tls = context
                .as_ref()
                .map(|context| ServerTls { context: context.clone(), host: host_name(host) });
            for (m, address) in addresses.iter().enumerate() {
                let share = share_of(deadline, hosts_left + addresses.len() - m);
                match try_address(&errand, address, tls.as_ref(), share).await {
                    Ok(connected) => return Ok(connected),
                    Err(error) if !error.next_may_do_better() => return Err(error),
                    Err(error) => {
                        tracing::debug!(%address, "dial failed: {}", Chain(&error));
                        // What a server said tells more than that another could not be reached.
                        if failed.is_none() || matches!(error, DialError::Server(_)) {
                            failed = Some(error);
                        }
                    }
                }
            }
        }
        Err(failed.unwrap_or(DialError::TimedOut { doing: Step::Connecting }))
    }
}

/// What the pool's loop is told of a dial that failed; the log has the whole story.
fn failure(pool: &PoolSpec, error: &DialError) -> DialFailure {
    tracing::warn!(
        database = pool.database,
        role = pool.role,
        server_role = pool.server_role(),
        "cannot log in to the server: {}",
        Chain(error)
    );
    error.failure()
}

/// What the operator put into the connection string for the server's process.
fn target_parameters(target: &Target) -> impl Iterator<Item = (&'static str, &str)> {
    let options = target.options.as_deref().map(|options| ("options", options));
    let name = target.application_name.as_deref().map(|name| ("application_name", name));
    options.into_iter().chain(name)
}

/// An equal share of the time left for each of `count` attempts, so that one black hole does not
/// use up the time of those behind it. `None`: no limit.
fn share_of(deadline: Option<Instant>, count: usize) -> Option<Instant> {
    let deadline = deadline?;
    let now = Instant::now();
    let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    Some(now + deadline.saturating_duration_since(now) / count)
}

/// Does `what` until `deadline`. Cancel safe where `what` is.
async fn within<T>(
    deadline: Option<Instant>,
    doing: Step,
    what: impl Future<Output = Result<T, DialError>>,
) -> Result<T, DialError> {
    match deadline {
        None => what.await,
        Some(deadline) => match tokio::time::timeout_at(deadline, what).await {
            Ok(done) => done,
            Err(_) => Err(DialError::TimedOut { doing }),
        },
    }
}

/// Cancel safe: dropping it closes what was opened.
async fn try_address(
    errand: &Errand<'_>,
    address: &ServerAddress,
    tls: Option<&ServerTls>,
    deadline: Option<Instant>,
) -> Result<Connected, DialError> {
    let is_unix = matches!(address, ServerAddress::Unix(_));
    let ways = attempts(errand.target.sslmode, is_unix);
    let mut result = Err(DialError::TimedOut { doing: Step::Connecting });
    for &attempt in ways {
        result = try_once(&errand.identity, address, tls, attempt, deadline).await;
        match &result {
            Err(error) if calls_for_next_attempt(attempt, error) => {
                tracing::debug!(%address, ?attempt, "trying the other way: {}", Chain(error));
            }
            Ok(_) | Err(_) => break,
        }
    }
    result
}

async fn try_once(
    identity: &Identity<'_>,
    address: &ServerAddress,
    tls: Option<&ServerTls>,
    attempt: Attempt,
    deadline: Option<Instant>,
) -> Result<Connected, DialError> {
    let connect = async {
        let stream = address.connect().await;
        stream.map_err(|source| DialError::Connect { address: address.clone(), source })
    };
    let stream = within(deadline, Step::Connecting, connect).await?;
    let mut link = Link::new(stream).with_unread_limit(SERVER_UNREAD_LIMIT);
    let mut secured = None;
    if attempt != Attempt::Plain
        && let Some(tls) = tls
    {
        if within(deadline, Step::Encrypting, tls.start(&mut link)).await? {
            secured = Some(tls.clone());
        } else if attempt == Attempt::Tls {
            return Err(DialError::TlsNotOffered);
        }
    }
    let private = secured.is_some() || address.is_local();
    let login = log_in(&mut link, identity, private);
    let login = within(deadline, Step::LoggingIn, login).await?;
    Ok(Connected { link, login, address: address.clone(), tls: secured })
}

/// The addresses of a host, in the resolver's order. Cancel safe.
async fn resolve(host: &Host) -> Result<Vec<ServerAddress>, DialError> {
    match host {
        Host::Unix { dir, port } => {
            Ok(vec![ServerAddress::Unix(format!("{dir}/.s.PGSQL.{port}").into())])
        }
        Host::Tcp { name, port } => {
            let failed = |source| DialError::Resolve { host: name.clone(), source };
            let found = tokio::net::lookup_host((name.as_str(), *port)).await.map_err(failed)?;
            let addresses: Vec<_> = found.map(ServerAddress::Tcp).collect();
            if addresses.is_empty() {
                return Err(failed(std::io::ErrorKind::AddrNotAvailable.into()));
            }
            Ok(addresses)
        }
    }
}

/// The name that a certificate is held against.
fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp { name, .. } => name.clone(),
        Host::Unix { dir, .. } => dir.clone(),
    }
}

impl Reached {
    /// Hands the connection over to a loop.
    fn into_server(self, startup: Startup) -> Result<NewServer<Socket>, DialError> {
        let Reached { connected, account, place } = self;
        let Connected { link, login, address, tls } = connected;
        let parts = link.into_parts();
        let socket = parts.io.into_socket().map_err(DialError::Write)?;
        let since = Instant::now();
        let cancel = login.key.map(|(pid, secret)| {
            Arc::new(CancelTarget { address, tls, pid, secret, since, account })
        });
        Ok(NewServer {
            handed: Handed {
                socket,
                tls: parts.tls,
                undecrypted: parts.undecrypted,
                unread: parts.unread,
            },
            statuses: login.statuses,
            cancel,
            place,
            startup,
        })
    }
}
