//! LISTEN for the clients of a pool: one connection to Postgres for all of them, on every loop.
//!
//! ```text
//!   a client wants a channel ──Order::Listen──▶ LISTEN ──confirmed──▶ Mail::Listening
//!   NotificationResponse ──Mail::Notified──▶ every loop that wants the channel
//!   a loop's last client lets go ──Order::Unlisten──▶ UNLISTEN; nobody left: the connection is closed
//! ```
//!
//! It stands beside the pool's servers: it is none of its slots, and no client ever gets it.
//! Deliberately absent: which client listens to what; the loops know that.

mod connection;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::dial::Dialler;
use crate::login::Loop;
use crate::pool::PoolSpec;
use crate::sql::Name;
use crate::worker::mail::Vacancy;
use connection::Connection;

/// What a connection is asked for.
#[derive(Debug)]
enum Ask {
    /// A loop's client wants a channel.
    Listen { seat: usize, channel: Name, ticket: u64 },
    /// None of a loop's clients wants a channel any more.
    Unlisten { seat: usize, channel: Name },
    /// A statement wants the database to itself: close, until that is over.
    Vacate(Arc<Vacancy>),
}

/// A pool and the place of its servers: after a reload has moved them, another connection listens.
type Key = (u32, u64);

/// The connections that listen. One for the process.
pub struct Listeners {
    dialler: Arc<Dialler>,
    loops: Vec<Arc<dyn Loop>>,
    running: Mutex<HashMap<Key, Running>>,
    vacancies: Mutex<Vec<Arc<Vacancy>>>,
}

struct Running {
    pool: Arc<PoolSpec>,
    asks: UnboundedSender<Ask>,
}

impl Listeners {
    /// None yet.
    #[must_use]
    pub fn new(dialler: Arc<Dialler>, loops: Vec<Arc<dyn Loop>>) -> Arc<Self> {
        let (running, vacancies) = (Mutex::default(), Mutex::default());
        Arc::new(Listeners { dialler, loops, running, vacancies })
    }

    /// A loop's client wants a channel of the servers at `place`. Answered by one
    /// [`Mail::Listening`](crate::worker::mail::Mail::Listening).
    pub fn listen(
        self: &Arc<Self>,
        seat: usize,
        (pool, place): (Arc<PoolSpec>, u64),
        channel: Name,
        ticket: u64,
    ) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let asks = running.entry((pool.id, place)).or_insert_with(|| {
            let (asks, receiver) = unbounded_channel();
            tokio::spawn(Connection::new(self.clone(), pool.clone(), place, receiver).run());
            Running { pool, asks }
        });
        // Whoever stops listening takes itself out under the lock first, so somebody hears this.
        let _ = asks.asks.send(Ask::Listen { seat, channel, ticket });
    }

    /// None of a loop's clients wants a channel any more.
    pub fn unlisten(&self, seat: usize, pool: &PoolSpec, place: u64, channel: Name) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = running.get(&(pool.id, place)) {
            let _ = one.asks.send(Ask::Unlisten { seat, channel });
        }
    }

    /// A statement wants a database to itself: connections there are closed until it is over.
    pub fn vacate(&self, vacancy: Arc<Vacancy>) {
        let mut vacancies = self.vacancies.lock().unwrap_or_else(PoisonError::into_inner);
        vacancies.retain(|vacancy| !vacancy.is_over());
        vacancies.push(vacancy.clone());
        drop(vacancies);
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let there =
            running.values().filter(|one| one.pool.serves(&vacancy.database, &vacancy.hosts));
        for one in there {
            vacancy.listeners.fetch_add(1, Ordering::AcqRel);
            if one.asks.send(Ask::Vacate(vacancy.clone())).is_err() {
                vacancy.listeners.fetch_sub(1, Ordering::AcqRel);
            }
        }
        // That this has been looked at.
        vacancy.listeners.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether a statement wants the database of a pool to itself now.
    fn is_vacated(&self, pool: &PoolSpec) -> bool {
        let vacancies = self.vacancies.lock().unwrap_or_else(PoisonError::into_inner);
        vacancies.iter().any(|one| !one.is_over() && pool.serves(&one.database, &one.hosts))
    }

    /// Takes a connection out, unless somebody has asked it for something meanwhile: that is
    /// returned.
    fn end(&self, key: Key, asks: &mut UnboundedReceiver<Ask>) -> Result<(), Ask> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match asks.try_recv() {
            Ok(ask) => Err(ask),
            Err(_) => {
                running.remove(&key);
                Ok(())
            }
        }
    }
}
