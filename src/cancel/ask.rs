//! What only another connection can find out about a server process, or do to it.
//!
//! These connections are pgweir's own beside the pools', made only when a limit in time has struck. They go
//! where the server's own goes, never to where its pool leads now. There is one for each role, database and
//! address: it asks about all processes that anybody wants to know of in one question, so that nobody waits
//! for a connection while others have theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};

use super::CancelTarget;
use super::desk::{Desk, Want, Wish};
use crate::dial::ServerAddress;
use crate::pool::PoolSpec;
use crate::worker::mail::StandbyWait;

/// Logins under way at once; more wait.
const LOGINS: usize = 64;

/// Asks about server processes. One for the process.
#[derive(Debug)]
pub struct Asker {
    desks: Mutex<HashMap<Place, UnboundedSender<Wish>>>,
    pub(super) logins: Semaphore,
}

/// What one connection can be asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    address: ServerAddress,
    /// The name on its certificate; `None`: without TLS.
    tls: Option<String>,
    pub(super) role: String,
    database: String,
}

impl Place {
    fn of(target: &CancelTarget) -> Self {
        Place {
            address: target.address.clone(),
            tls: target.tls.as_ref().map(|tls| tls.host.clone()),
            role: target.account.role.clone(),
            database: target.account.database.clone(),
        }
    }
}

impl Default for Asker {
    fn default() -> Self {
        Asker { desks: Mutex::default(), logins: Semaphore::new(LOGINS) }
    }
}

impl Asker {
    /// Whether what a process runs waits for a standby; `None`: nobody could say.
    ///
    /// Cancel safe.
    pub async fn standby_wait(
        self: &Arc<Self>,
        pool: Arc<PoolSpec>,
        target: Arc<CancelTarget>,
    ) -> Option<StandbyWait> {
        let (answer, answered) = oneshot::channel();
        self.wish(Wish { pool, target, want: Want::Look(answer) });
        answered.await.ok()?.wait
    }

    /// Whether there is such a process; `None`: nobody could say.
    ///
    /// Cancel safe.
    pub async fn is_there(
        self: &Arc<Self>,
        pool: Arc<PoolSpec>,
        target: Arc<CancelTarget>,
    ) -> Option<bool> {
        let (answer, answered) = oneshot::channel();
        self.wish(Wish { pool, target, want: Want::Look(answer) });
        Some(answered.await.ok()?.is_there)
    }

    /// Ends a process. Whether it was there to be ended; `None`: nobody could do it.
    ///
    /// Cancel safe: it is ended all the same.
    pub async fn terminate(
        self: &Arc<Self>,
        pool: Arc<PoolSpec>,
        target: Arc<CancelTarget>,
    ) -> Option<bool> {
        let pid = target.pid;
        let (answer, answered) = oneshot::channel();
        self.wish(Wish { pool, target, want: Want::End(answer) });
        let ended = answered.await.ok();
        match ended {
            Some(true) => tracing::warn!(
                pid,
                "asked Postgres to end a process that did not react to being cancelled"
            ),
            Some(false) => {
                tracing::warn!(pid, "a process that did not react to being cancelled is not there");
            }
            None => {
                tracing::warn!(
                    pid,
                    "a process does not react to being cancelled, and nobody ends it"
                );
            }
        }
        ended
    }

    /// Puts a wish before the desk that it is for.
    fn wish(self: &Arc<Self>, wish: Wish) {
        let place = Place::of(&wish.target);
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        let wish = match desks.get(&place) {
            Some(desk) => match desk.send(wish) {
                Ok(()) => return,
                // Its task has panicked.
                Err(back) => back.0,
            },
            None => wish,
        };
        let (desk, wishes) = unbounded_channel();
        let _ = desk.send(wish);
        desks.insert(place.clone(), desk);
        tokio::spawn(Desk::new(self.clone(), place, wishes).serve());
    }

    /// A desk wants to close. Not while there are wishes.
    pub(super) fn close(&self, place: &Place, wishes: &UnboundedReceiver<Wish>) -> bool {
        // Whoever wishes holds the lock.
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        if wishes.is_empty() {
            desks.remove(place);
        }
        wishes.is_empty()
    }
}

#[cfg(test)]
mod tests;
