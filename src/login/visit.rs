//! One connection from its first byte to its hand-over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};

use super::authenticate::authenticate;
use super::claim::Claim;
pub use super::door::Visitor;
use super::door::visit_console;
use super::edition::Edition;
use super::hall::Hall;
use super::negotiate::{Request, negotiate};
use super::refusal::Refusal;
use crate::config::Effective;
use crate::net::link::Link;
use crate::net::socket::Peer;
use crate::pool::PoolSpec;
use crate::session::ParamSet;
use crate::wire::Report;
use crate::worker::mail::Admission;

/// What a connection turned out to be.
#[derive(Debug)]
pub enum Visit {
    /// A client that has proved who it is.
    Session(Box<Proved>),
    /// An operator who has done so.
    Console(Box<Visitor>),
    /// A cancel request, passed on.
    Cancel,
}

/// A client that has proved who it is, before its hand-over.
#[derive(Debug)]
pub struct Proved {
    /// Its pool.
    pub pool: Arc<PoolSpec>,
    /// What its startup packet sets.
    pub params: Arc<ParamSet>,
    /// Bytes that it must be sent first: the end of the authentication.
    pub unsent: Vec<u8>,
    /// Minor version of protocol 3.
    pub minor: u16,
    /// Its place.
    pub admission: Admission,
    /// How it proved itself, for the log.
    pub method: &'static str,
}

/// How far a login came, to be looked at from outside when its time is up.
#[derive(Debug, Default)]
pub struct Progress {
    named: AtomicBool,
}

impl Progress {
    /// Whether the client has said who it is, so that it understands an ErrorResponse.
    pub fn is_named(&self) -> bool {
        self.named.load(Ordering::Relaxed)
    }
}

/// Serves one connection until it is proved or refused. The caller bounds its time.
///
/// Not cancel safe: tell the client why and close the link.
///
/// # Errors
/// Why the connection does not become a session.
pub async fn visit<S: AsyncRead + AsyncWrite + Unpin>(
    hall: &Hall,
    edition: Arc<Edition>,
    link: &mut Link<S>,
    peer: Peer,
    progress: &Progress,
) -> Result<Visit, Refusal> {
    let packet = match negotiate(link, edition.tls_for(peer)).await? {
        Request::Cancel { pid, secret } => {
            hall.cancel(pid, &secret);
            return Ok(Visit::Cancel);
        }
        Request::Startup(packet) => packet,
    };
    progress.named.store(true, Ordering::Relaxed);
    let tls = link.tls().is_some();
    if edition.requires_tls() && !tls && matches!(peer, Peer::Tcp(_)) {
        return Err(Report::fatal(b"28000", "this server takes connections with TLS only")
            .hint("Connect with sslmode=require or stronger.")
            .into());
    }
    if hall.is_closing() {
        return Err(Report::fatal(b"57P03", "the database system is shutting down").into());
    }
    let claim = Claim::read(&packet)?;
    if edition.config.admin.serves(&claim.database) && hall.door().is_some() {
        return visit_console(hall, &edition, link, peer, claim).await;
    }
    let Some(admission) = hall.admit() else {
        return Err(Report::fatal(b"53300", "sorry, too many clients already").into());
    };
    let Some(method) = edition.method(&claim.database, &claim.role, peer, tls) else {
        return Err(no_access(&claim, tls));
    };
    let settings = edition.settings(&claim.database, &claim.role);
    let proof = authenticate(&edition, link, peer, &claim, settings.as_deref(), method).await?;
    // Only those who have proved who they are learn which databases there are.
    let params = claim.params?;
    if settings.is_some() && hall.door().is_some_and(|door| door.is_disabled(&claim.database)) {
        let message = format!("database \"{}\" is disabled", claim.database);
        return Err(Report::fatal(b"57P03", message).into());
    }
    let (pool, edition) = find_pool(hall, edition, (&claim.database, &claim.role), settings)?;
    let settings = pool.settings.load_full();
    if let Some(credential) = edition.secrets.server_credential(&settings, proof.revealed) {
        pool.set_credential(credential);
    }
    Ok(Visit::Session(Box::new(Proved {
        pool,
        params: hall.params.intern(params),
        unsent: proof.unsent,
        minor: claim.minor,
        admission,
        method: proof.method,
    })))
}

/// The pool of a client that has proved itself, and the edition that the pool follows: a newer one
/// when there was a reload in between.
fn find_pool(
    hall: &Hall,
    mut edition: Arc<Edition>,
    (database, role): (&str, &str),
    mut settings: Option<Arc<Effective>>,
) -> Result<(Arc<PoolSpec>, Arc<Edition>), Report> {
    let absent = || Report::fatal(b"3D000", format!("database \"{database}\" does not exist"));
    let mut reloaded = false;
    loop {
        let found = settings.ok_or_else(absent)?;
        let pool = hall.pools.find_or_make(&edition.config, database, role, found);
        if reloaded {
            // The reload may have looked at the pools before this one was made.
            hall.pools.follow_one(&edition, &pool);
        }
        let newest = hall.edition();
        if Arc::ptr_eq(&newest, &edition) {
            return Ok((pool, edition));
        }
        reloaded = true;
        edition = newest;
        settings = edition.settings(database, role);
    }
}

/// As Postgres words it for pg_hba.conf.
pub(super) fn no_access(claim: &Claim, tls: bool) -> Refusal {
    let encryption = if tls { "TLS encryption" } else { "no encryption" };
    let message = format!(
        "no [[access]] rule for this address, user \"{}\", database \"{}\", {encryption}",
        claim.role, claim.database
    );
    Report::fatal(b"28000", message).into()
}
