//! The connection that carries a CancelRequest to Postgres, and the wait for its end.
//!
//! Postgres signals the backend before it closes this connection, so its clean end is the proof
//! that the signal was sent; nothing else is (`processCancelRequest`, and reliability of every
//! pooler that did not wait). Deliberately absent: whether the cancel is still wanted, which only
//! the loop that owns the server knows, and says at the last moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::CancelTarget;
use crate::dial::{Chain, DialError, Step};
use crate::net::link::Link;
use crate::net::socket::{Socket, Stream};
use crate::wire::build::cancel_request;
use crate::worker::mail::{CancelId, CancelOutcome, Mail};

/// Cancel connections open at once; more wait. A storm of cancels must not become a storm of
/// connections.
const OPEN_CANCELS: usize = 64;
/// How long connecting may take, TLS included.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long the loop may take to answer.
const PERMIT_LIMIT: Duration = Duration::from_secs(5);
/// How long the server may take to close the connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// Sends cancel requests. One for the process.
#[derive(Debug)]
pub struct Canceller {
    open: Semaphore,
}

impl Default for Canceller {
    fn default() -> Self {
        Self { open: Semaphore::new(OPEN_CANCELS) }
    }
}

impl Canceller {
    /// Carries out one order. `send` reaches the loop that gave it: a `CancelReady` when the
    /// connection is up, and exactly one `CancelFinished`, also when this is dropped or panics.
    ///
    /// Cancel safe in so far as the loop always gets its answer.
    pub async fn carry_out(
        &self,
        cancel: CancelId,
        target: Arc<CancelTarget>,
        send: impl Fn(Mail<Socket>),
    ) {
        let mut result = Answer { cancel, outcome: CancelOutcome::NotSent, send: &send };
        let Ok(_open) = self.open.acquire().await else { return };
        let mut link = match timeout(CONNECT_LIMIT, connect(&target)).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => {
                tracing::warn!(address = %target.address, "cannot cancel: {}", Chain(&error));
                return;
            }
            Err(_) => {
                let error = DialError::TimedOut { doing: Step::Connecting };
                tracing::warn!(address = %target.address, "cannot cancel: {error}");
                return;
            }
        };
        let (answer, permit) = oneshot::channel();
        send(Mail::CancelReady { cancel, answer });
        // No answer is a no: the loop is gone, or so late that the moment has passed. It may have
        // said yes in the meantime and wait for the end, which it is told either way.
        if !matches!(timeout(PERMIT_LIMIT, permit).await, Ok(Ok(true))) {
            return;
        }
        // From the first byte on the signal may come.
        result.outcome = CancelOutcome::Unknown;
        let request = cancel_request(target.pid, &target.secret);
        let delivered = timeout(CLOSE_LIMIT, deliver(&mut link, &request)).await;
        match delivered {
            Ok(Ok(())) => result.outcome = CancelOutcome::Delivered,
            Ok(Err(why)) => {
                tracing::warn!(address = %target.address, "cancel request has no clean end: {why}");
            }
            Err(_) => {
                tracing::warn!(
                    address = %target.address,
                    "the server did not close a cancel connection within {CLOSE_LIMIT:?}"
                );
            }
        }
    }
}

/// Tells the loop how the order ended, when it is dropped.
struct Answer<'a, F: Fn(Mail<Socket>)> {
    cancel: CancelId,
    outcome: CancelOutcome,
    send: &'a F,
}

impl<F: Fn(Mail<Socket>)> Drop for Answer<'_, F> {
    fn drop(&mut self) {
        (self.send)(Mail::CancelFinished { cancel: self.cancel, outcome: self.outcome });
    }
}

/// To the very address that the server's own connection goes to, with TLS where that has TLS.
async fn connect(target: &CancelTarget) -> Result<Link<Stream>, DialError> {
    let stream = target
        .address
        .connect()
        .await
        .map_err(|source| DialError::Connect { address: target.address.clone(), source })?;
    let mut link = Link::new(stream);
    if let Some(tls) = &target.tls
        && !tls.start(&mut link).await?
    {
        return Err(DialError::TlsNotOffered);
    }
    Ok(link)
}

/// Writes the request and waits for the end of the stream; anything else is no proof.
async fn deliver(link: &mut Link<Stream>, request: &[u8]) -> std::io::Result<()> {
    link.write_all(request).await?;
    match link.fill().await? {
        0 => Ok(()),
        _ => Err(std::io::Error::other("the server answered it")),
    }
}
