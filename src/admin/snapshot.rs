//! A picture of the whole process: what the loops say of themselves, added up. The console, the
//! metrics and `/api/state` all read it, so that they never disagree.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::login::Loop;
use crate::metrics::Counters;
use crate::worker::mail::{Inspection, Listing, LoopFigures, Mail, PoolInspection};

/// How often the loops are asked for a picture in which no server is between two places.
const TRIES: usize = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

/// How long a loop may take to describe itself.
const LIMIT: Duration = Duration::from_secs(2);

/// A loop did not describe itself in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event loop does not answer")
    }
}

impl std::error::Error for NoAnswer {}

/// What there is, and what has been counted.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Logged-in clients.
    pub clients: usize,
    /// Different statement texts that are known.
    pub statements: usize,
    /// Every pool once, whatever loops it is on, ordered by database and role.
    pub pools: Vec<PoolInspection>,
    /// The event loops.
    pub loops: Vec<LoopFigures>,
}

impl Snapshot {
    /// Asks every loop. Cancel safe: the answers are dropped.
    ///
    /// # Errors
    /// A loop does not answer.
    pub async fn take(loops: &[Arc<dyn Loop>]) -> Result<Self, NoAnswer> {
        let mut all = Inspection::default();
        for _ in 0..TRIES {
            all = Inspection::add_up(ask(loops, Mail::Inspect).await?);
            if all.is_sharp() {
                break;
            }
            // A server passed from one loop to another, or a slot changed, between two of them.
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        let Inspection { clients, pools, statements, loops } = all;
        Ok(Snapshot { clients, statements, pools, loops })
    }

    /// What was counted for each database, in order of their names.
    #[must_use]
    pub fn by_database(&self) -> BTreeMap<&str, Counters> {
        let mut all: BTreeMap<&str, Counters> = BTreeMap::new();
        for pool in &self.pools {
            all.entry(&pool.database).or_default().add(&pool.counters);
        }
        all
    }
}

/// Every connection of every loop.
///
/// # Errors
/// A loop does not answer.
pub async fn list(loops: &[Arc<dyn Loop>]) -> Result<Listing, NoAnswer> {
    let mut all = Listing::default();
    for listing in ask(loops, Mail::List).await? {
        all.clients.extend(listing.clients);
        all.servers.extend(listing.servers);
        all.timeouts.extend(listing.timeouts);
        all.found.extend(listing.found);
    }
    Ok(all)
}

/// Sends every loop a question and waits for all the answers.
///
/// # Errors
/// A loop does not answer.
pub async fn ask<T>(
    loops: &[Arc<dyn Loop>],
    question: impl Fn(oneshot::Sender<T>) -> Mail<crate::net::socket::Socket>,
) -> Result<Vec<T>, NoAnswer> {
    let mut receivers = Vec::new();
    for mailbox in loops {
        let (sender, receiver) = oneshot::channel();
        mailbox.send(question(sender));
        receivers.push(receiver);
    }
    let mut answers = Vec::new();
    for receiver in receivers {
        match timeout(LIMIT, receiver).await {
            Ok(Ok(answer)) => answers.push(answer),
            Ok(Err(_)) | Err(_) => return Err(NoAnswer),
        }
    }
    Ok(answers)
}
