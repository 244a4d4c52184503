//! Accepting connections, and the hand-over of those that have become sessions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::hall::Hall;
use super::refusal::{Refusal, say_goodbye};
use super::shown::Shown;
use super::visit::{Progress, Proved, Visit, visit};
use crate::cancel::registry::LONG_SECRET;
use crate::dial::Chain;
use crate::net::link::Link;
use crate::net::listen::Listener;
use crate::net::socket::{Peer, Stream};
use crate::wire::Report;
use crate::worker::mail::{Handed, Mail, NewClient};

/// Plain bytes that a client may have sent before it is logged in.
pub(super) const CLIENT_UNREAD_LIMIT: usize = 16 * 1024;

/// How long nothing is accepted after the system ran out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often it is logged that the system is out of something.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Minor version of protocol 3 from which on cancel keys may be long.
const LONG_KEYS_MINOR: u16 = 2;

/// Whether connections are accepted: the receiver of a `watch`, false when no more are.
pub type Listening = watch::Receiver<bool>;

/// Accepts connections until `listening` turns false, then closes the listening socket.
pub async fn accept_from(listener: Listener, hall: Arc<Hall>, mut listening: Listening) {
    let mut complained: Option<Instant> = None;
    loop {
        let next = async {
            // More connections than can log in at a time wait in the system's queue.
            let place = hall.arrivals.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = listening.wait_for(|listening| !*listening) => return,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, peer))) => {
                let hall = hall.clone();
                tokio::spawn(async move {
                    // On the heap: a handshake's state is large, and most of a login is waiting.
                    Box::pin(receive(&hall, stream, peer)).await;
                    drop(place);
                });
            }
            (_, Err(error)) if is_about_one_connection(&error) => {}
            (_, Err(error)) => {
                if complained.is_none_or(|last| last.elapsed() > COMPLAINT_INTERVAL) {
                    tracing::error!(%listener, "cannot accept connections: {error}; trying again");
                    complained = Some(Instant::now());
                }
                sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), Ok(_)) => return,
        }
    }
}

/// Errors of accept() that only say that this one connection is gone already (accept(2)).
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable, NotConnected, TimedOut, WouldBlock,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | TimedOut
            | WouldBlock
    )
}

/// One connection from accept to hand-over or goodbye.
pub async fn receive(hall: &Hall, stream: Stream, peer: Peer) {
    let mut link = Link::new(stream).with_unread_limit(CLIENT_UNREAD_LIMIT);
    match enter(hall, &mut link, peer).await {
        Some(Visit::Session(proved)) => hand_over(hall, link, peer, *proved),
        Some(Visit::Console(visitor)) => {
            if let Some(door) = hall.door() {
                door.receive(link, peer, *visitor).await;
            }
        }
        Some(Visit::Cancel) | None => {}
    }
}

/// As [`enter`], for those that want to become sessions.
#[cfg(test)]
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    hall: &Hall,
    link: &mut Link<S>,
    peer: Peer,
) -> Option<Box<Proved>> {
    match enter(hall, link, peer).await {
        Some(Visit::Session(proved)) => Some(proved),
        Some(Visit::Console(_) | Visit::Cancel) | None => None,
    }
}

/// Serves a connection until it is proved, or gone (`None`), within `login_timeout`.
pub(super) async fn enter<S: AsyncRead + AsyncWrite + Unpin>(
    hall: &Hall,
    link: &mut Link<S>,
    peer: Peer,
) -> Option<Visit> {
    let progress = Progress::default();
    let edition = hall.edition();
    let limit = edition.login_limit();
    let visiting = visit(hall, edition, link, peer, &progress);
    let visited = match limit {
        None => Some(visiting.await),
        Some(limit) => timeout(limit, visiting).await.ok(),
    };
    match visited {
        Some(Ok(proved @ (Visit::Session(_) | Visit::Console(_)))) => return Some(proved),
        // libpq waits for the end of the stream.
        Some(Ok(Visit::Cancel)) => say_goodbye(link, None).await,
        Some(Err(refusal)) => {
            hall.tally.refused(&refusal);
            log_refusal(peer, &refusal);
            say_goodbye(link, refusal.report()).await;
        }
        None => {
            tracing::info!(%peer, "login took longer than login_timeout");
            hall.tally.too_slow();
            let report = Report::fatal(b"57014", "canceling authentication due to timeout");
            let report = progress.is_named().then_some(&report);
            say_goodbye(link, report).await;
        }
    }
    None
}

fn log_refusal(peer: Peer, refusal: &Refusal) {
    match refusal {
        Refusal::Told { report, .. } => {
            tracing::info!(%peer, sqlstate = report.sqlstate(), "login refused: {refusal}");
        }
        Refusal::Tls(error) => tracing::info!(%peer, "no TLS with a client: {}", Chain(error)),
        // Port scanners and health checks: nothing that an operator can act on.
        Refusal::Left | Refusal::Garbage(_) | Refusal::DirectTlsUnavailable | Refusal::Io(_) => {
            tracing::debug!(%peer, "{refusal}");
        }
    }
}

/// Gives a client to its loop. From here on the hall has nothing to do with it.
fn hand_over(hall: &Hall, link: Link<Stream>, peer: Peer, proved: Proved) {
    let Some((home, mailbox)) = hall.seat_for(&proved.pool) else { return };
    let secret_len = if proved.minor >= LONG_KEYS_MINOR { LONG_SECRET } else { 4 };
    let registration = match hall.registry().register(home, secret_len) {
        Ok(registration) => registration,
        Err(error) => {
            tracing::error!(%peer, "cannot draw a cancel key: {error}");
            return;
        }
    };
    let tls = link.tls().map_or("off", |tls| tls.version().unwrap_or("on"));
    tracing::info!(
        %peer,
        database = %Shown(&proved.pool.database),
        role = %Shown(&proved.pool.role),
        tls,
        method = proved.method,
        pid = registration.pid(),
        "client logged in"
    );
    let parts = link.into_parts();
    debug_assert!(parts.unsent.is_empty(), "every answer of the login was flushed");
    let socket = match parts.io.into_socket() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%peer, "cannot hand a client over: {error}");
            return;
        }
    };
    let occupancy = proved.pool.servers().board().occupy(usize::from(home));
    mailbox.send(Mail::Client(Box::new(NewClient {
        handed: Handed {
            socket,
            tls: parts.tls,
            undecrypted: parts.undecrypted,
            unread: parts.unread,
        },
        unsent: proved.unsent,
        pool: proved.pool,
        params: proved.params,
        registration,
        admission: proved.admission,
        occupancy,
    })));
}
