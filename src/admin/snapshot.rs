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
use crate::worker::mail::{Inspection, Listing, Mail, PoolInspection};

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
}

impl Snapshot {
    /// Asks every loop. Cancel safe: the answers are dropped.
    ///
    /// # Errors
    /// A loop does not answer.
    pub async fn take(loops: &[Arc<dyn Loop>]) -> Result<Self, NoAnswer> {
        let mut snapshot = Snapshot::default();
        let mut pools = BTreeMap::new();
        for inspection in ask(loops, Mail::Inspect).await? {
            let Inspection { clients, pools: of_loop, statements } = inspection;
            snapshot.clients += clients;
            snapshot.statements += statements;
            for pool in of_loop {
                let key = (pool.database.clone(), pool.role.clone(), pool.id);
                match pools.entry(key) {
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(pool);
                    }
                    std::collections::btree_map::Entry::Occupied(mut known) => {
                        add(known.get_mut(), &pool);
                    }
                }
            }
        }
        snapshot.pools = pools.into_values().collect();
        Ok(snapshot)
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

/// Adds what another loop says of the same pool.
fn add(pool: &mut PoolInspection, other: &PoolInspection) {
    pool.idle += other.idle;
    pool.leased += other.leased;
    pool.login += other.login;
    pool.cancel += other.cancel;
    pool.zombie += other.zombie;
    pool.open += other.open;
    pool.waiting += other.waiting;
    pool.clients += other.clients;
    pool.pinned += other.pinned;
    pool.cleaning += other.cleaning;
    pool.being_canceled += other.being_canceled;
    pool.attached += other.attached;
    pool.cancel_ordered += other.cancel_ordered;
    pool.close_needed += other.close_needed;
    pool.oldest_wait_ms = pool.oldest_wait_ms.max(other.oldest_wait_ms);
    pool.paused |= other.paused;
    pool.counters.add(&other.counters);
}
