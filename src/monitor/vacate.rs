//! Statements that want a database to themselves: probes leave it for as long.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::config::Host;
use crate::worker::mail::Vacancy;

/// Where connections that probe are, and which databases are wanted.
#[derive(Debug, Default)]
pub struct Vacancies(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    wanted: Vec<Arc<Vacancy>>,
    places: Vec<Place>,
    numbers: u64,
}

#[derive(Debug)]
struct Place {
    number: u64,
    database: String,
    host: Host,
    leave: UnboundedSender<Arc<Vacancy>>,
}

fn is_for(vacancy: &Vacancy, database: &str, host: &Host) -> bool {
    vacancy.database == database && vacancy.hosts.contains(host)
}

impl Vacancies {
    /// A statement wants a database to itself. Each connection there counts among the vacancy's listeners until it is
    /// gone.
    pub fn vacate(&self, vacancy: &Arc<Vacancy>) {
        let mut known = self.known();
        known.wanted.retain(|vacancy| !vacancy.is_over());
        known.wanted.push(vacancy.clone());
        for place in known.places.iter().filter(|p| is_for(vacancy, &p.database, &p.host)) {
            vacancy.listeners.fetch_add(1, Ordering::AcqRel);
            if place.leave.send(vacancy.clone()).is_err() {
                vacancy.listeners.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// A connection to a database is to be made; `None`: not now, somebody wants it to itself.
    pub(super) fn enter(self: &Arc<Self>, database: &str, host: &Host) -> Option<Presence> {
        let mut known = self.known();
        if known.wanted.iter().any(|one| !one.is_over() && is_for(one, database, host)) {
            return None;
        }
        let (leave, asks) = unbounded_channel();
        known.numbers += 1;
        let number = known.numbers;
        known.places.push(Place {
            number,
            database: database.to_owned(),
            host: host.clone(),
            leave,
        });
        Some(Presence { vacancies: self.clone(), number, asks, waiting: Vec::new() })
    }

    /// Never locked across an await.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, made or being made. Dropped when it is gone: then whoever waits for that is told.
#[derive(Debug)]
pub(super) struct Presence {
    vacancies: Arc<Vacancies>,
    number: u64,
    asks: UnboundedReceiver<Arc<Vacancy>>,
    /// Those who wait for it to be gone.
    waiting: Vec<Arc<Vacancy>>,
}

impl Presence {
    /// Waits until a statement wants the database to itself. Cancel safe.
    pub(super) async fn is_to_leave(&mut self) {
        match self.asks.recv().await {
            Some(vacancy) => self.waiting.push(vacancy),
            // The other end is held for as long as this is there.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.vacancies.known().places.retain(|place| place.number != self.number);
        while let Ok(vacancy) = self.asks.try_recv() {
            self.waiting.push(vacancy);
        }
        for vacancy in &self.waiting {
            vacancy.listeners.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

    use super::*;
    use crate::config::Target;

    fn host(text: &str) -> Host {
        Target::parse(text).unwrap().hosts.remove(0)
    }

    #[tokio::test]
    async fn a_statement_waits_until_the_probe_is_gone_and_keeps_others_out() {
        let vacancies = Arc::new(Vacancies::default());
        let mut there = vacancies.enter("shop", &host("host=a")).unwrap();
        let _elsewhere = vacancies.enter("shop", &host("host=b")).unwrap();
        let _other = vacancies.enter("postgres", &host("host=a")).unwrap();
        let vacancy = Arc::new(Vacancy {
            database: "shop".to_owned(),
            hosts: vec![host("host=a")],
            over: AtomicBool::new(false),
            busy: AtomicU64::new(0),
            listeners: AtomicUsize::new(1),
        });
        vacancies.vacate(&vacancy);
        assert_eq!(vacancy.listeners.load(Ordering::Acquire), 2);
        there.is_to_leave().await;
        assert!(vacancies.enter("shop", &host("host=a")).is_none());
        drop(there);
        assert_eq!(vacancy.listeners.load(Ordering::Acquire), 1);
        vacancy.over.store(true, Ordering::Release);
        assert!(vacancies.enter("shop", &host("host=a")).is_some());
    }
}
