//! The way to the console: who may enter, and where they go. What happens there is `admin`'s.

use std::future::Future;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use super::authenticate::authenticate;
use super::claim::Claim;
use super::edition::Edition;
use super::hall::Hall;
use super::refusal::Refusal;
use super::visit::{Visit, no_access};
use crate::config::Config;
use crate::net::link::Link;
use crate::net::socket::{Peer, Stream};
use crate::session::ParamSet;
use crate::wire::Report;
use crate::wire::handshake::authentication_ok;
use crate::worker::mail::Admission;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// Everything.
    Admin,
    /// SHOW.
    Viewer,
}

/// An operator who has proved who it is.
#[derive(Debug)]
pub struct Visitor {
    /// The role.
    pub role: String,
    /// The console's name as the client gave it.
    pub database: String,
    /// What it may do.
    pub rank: Rank,
    /// What its startup packet sets.
    pub params: ParamSet,
    /// Bytes that it must be sent first: the end of the authentication.
    pub unsent: Vec<u8>,
    /// How it proved itself, for the log.
    pub method: &'static str,
    /// Its place.
    pub admission: Admission,
}

/// The console.
pub trait ConsoleDoor: Send + Sync {
    /// Serves an operator until it leaves.
    fn receive(
        &self,
        link: Link<Stream>,
        peer: Peer,
        visitor: Visitor,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Whether an operator has closed a database to new clients.
    fn is_disabled(&self, database: &str) -> bool;
}

/// Has an operator prove itself. No server is asked: the console must work when there is none.
pub(super) async fn visit_console<S: AsyncRead + AsyncWrite + Unpin>(
    hall: &Hall,
    edition: &Edition,
    link: &mut Link<S>,
    peer: Peer,
    claim: Claim,
) -> Result<Visit, Refusal> {
    let Some(admission) = hall.admit_visitor() else {
        return Err(Report::fatal(b"53300", "sorry, too many console sessions already").into());
    };
    let (rank, unsent, method) = if is_our_own_user(&claim.role, peer) {
        let mut unsent = claim.negotiation.clone();
        authentication_ok(&mut unsent);
        (Rank::Admin, unsent, "own user")
    } else {
        let tls = link.tls().is_some();
        let Some(method) = edition.method(&claim.database, &claim.role, peer, tls) else {
            return Err(no_access(&claim, tls));
        };
        let proof = authenticate(edition, link, peer, &claim, None, method).await?;
        // Only those who have proved who they are learn who may.
        let rank = rank(&edition.config, &claim.role).ok_or_else(|| {
            let message = format!("role \"{}\" may not use the console", claim.role);
            Report::fatal(b"28000", message)
                .hint("Roles that may stand in [admin] as admins or viewers.")
        })?;
        (rank, proof.unsent, proof.method)
    };
    let params = claim.params?;
    let Claim { role, database, .. } = claim;
    Ok(Visit::Console(Box::new(Visitor {
        role,
        database,
        rank,
        params,
        unsent,
        method,
        admission,
    })))
}

fn rank(config: &Config, role: &str) -> Option<Rank> {
    let admin = &config.admin;
    let among = |roles: &[String]| roles.iter().any(|known| known == role);
    if among(&admin.admins) {
        Some(Rank::Admin)
    } else if among(&admin.viewers) {
        Some(Rank::Viewer)
    } else {
        None
    }
}

/// As in PgBouncer: on the Unix socket, the system's user that pgweir runs as is an administrator
/// under the console's own name. It could end the process and read its configuration anyway.
fn is_our_own_user(role: &str, peer: Peer) -> bool {
    let name = matches!(role, "pgbouncer" | "pgweir");
    let Peer::Unix { uid: Some(uid) } = peer else { return false };
    name && uid == rustix::process::geteuid().as_raw()
}
