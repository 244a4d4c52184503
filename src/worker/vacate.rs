//! Statements that want a database to themselves (DROP DATABASE and its like): pgweir's own idle
//! servers must not stand in their way.
//!
//! ```text
//!   seen ──▶ idle servers of the database are closed ──all gone, or 5 s──▶ sent ──answered──▶ over
//!            └────────────────────── nothing is dialled, its clients wait ──────────────────┘
//! ```
//!
//! Servers in use are left alone: there Postgres refuses the statement, as it would without
//! pgweir. One that comes free meanwhile is closed. Every loop does so with its own and takes its bit
//! out of the [`Vacancy`] when nothing is left. Connections that listen there are closed as well, and made
//! again when the statement is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::driver::Driver;
use super::mail::{Mail, Order, Vacancy};
use super::{Engine, Todo};
use crate::client::State;
use crate::deadline::{Deadline, Tick};
use crate::ids::{ClientId, PoolId};
use crate::sql::Name;

/// How long a statement waits for idle servers to be gone. Postgres itself waits 5 s for others
/// to leave (`CountOtherDBBackends`).
const VACATING_LIMIT_MS: u64 = 5_000;
/// How often it is looked whether a statement is over of which nothing else tells.
const LOOK_AGAIN_MS: u64 = 100;
/// How often it is looked whether other loops have nothing left.
const LOOK_AT_OTHERS_MS: u64 = 5;

/// A statement that wants a database to itself.
#[derive(Debug)]
pub(super) struct Vacating {
    client: ClientId,
    vacancy: Arc<Vacancy>,
    since: Tick,
    /// It has been sent.
    running: bool,
}

impl<D: Driver> Engine<D> {
    /// Whether a client's statement may be sent: nothing of pgweir's is left in `database` but
    /// what clients use.
    pub(super) fn is_vacated_for(&mut self, client: ClientId, database: &Name) -> bool {
        let Some(pool) = self.clients.get(client).map(|client| client.pool) else { return true };
        let Ok(database) = std::str::from_utf8(database.as_bytes()) else { return true };
        let known = |vacating: &Vacating| {
            vacating.client == client && vacating.vacancy.database == database && !vacating.running
        };
        let place = match self.vacating.iter().position(known) {
            Some(place) => place,
            None => {
                let settings = self.pools[pool.0 as usize].spec.settings.load_full();
                let hosts = settings.database.primary.hosts.clone();
                let vacancy = self.announce_vacancy(database.to_owned(), hosts);
                let since = self.now;
                self.vacating.push(Vacating { client, vacancy, since, running: false });
                self.vacating.len() - 1
            }
        };
        let vacancy = self.vacating[place].vacancy.clone();
        let gone = self.clear_out(&vacancy)
            && vacancy.busy.load(Ordering::Acquire) == 0
            && vacancy.listeners.load(Ordering::Acquire) == 0;
        let late = Deadline::after(self.vacating[place].since, Some(VACATING_LIMIT_MS));
        let running = gone || late.reached(self.now);
        self.vacating[place].running = running;
        let again = if running { LOOK_AGAIN_MS } else { LOOK_AT_OTHERS_MS };
        self.check_at(Deadline::after(self.now, Some(again)));
        running
    }

    /// Tells all loops that a statement wants a database to itself.
    fn announce_vacancy(
        &mut self,
        database: String,
        hosts: Vec<crate::config::Host>,
    ) -> Arc<Vacancy> {
        let others: Vec<usize> = self.others().collect();
        let busy = others.iter().fold(0, |bits, other| bits | bit(*other));
        let (over, busy) = (AtomicBool::new(false), AtomicU64::new(busy));
        let listeners = AtomicUsize::new(1);
        let vacancy = Arc::new(Vacancy { database, hosts, over, busy, listeners });
        self.orders.push(Order::Vacate(vacancy.clone()));
        for other in others {
            self.driver.post(other, Mail::Vacate(vacancy.clone()));
        }
        vacancy
    }

    /// Closes the idle servers of a database. Whether this loop sees nothing of it any more but what
    /// clients use.
    fn clear_out(&mut self, vacancy: &Vacancy) -> bool {
        let mut gone = true;
        for pool in self.pools_of(vacancy) {
            for server in self.pool(pool).pool.idle_servers_where(|_, _| true) {
                self.say_goodbye(server);
            }
            gone &= self.pool(pool).pool.board().is_still();
        }
        gone
    }

    fn pools_of(&self, vacancy: &Vacancy) -> Vec<PoolId> {
        let all = self.pool_ids.values().copied();
        let serves =
            |id: &PoolId| self.pools[id.0 as usize].spec.serves(&vacancy.database, &vacancy.hosts);
        all.filter(serves).collect()
    }

    /// A statement on another loop wants a database to itself.
    pub(super) fn vacate_for_other(&mut self, vacancy: Arc<Vacancy>) {
        self.vacating_elsewhere.push(vacancy);
        self.clear_out_for_others();
    }

    fn clear_out_for_others(&mut self) {
        for vacancy in self.vacating_elsewhere.clone() {
            if self.clear_out(&vacancy) {
                vacancy.busy.fetch_and(!bit(self.seat), Ordering::AcqRel);
            } else {
                self.check_at(Deadline::after(self.now, Some(LOOK_AT_OTHERS_MS)));
            }
        }
    }

    /// A statement on another loop that wanted a database to itself is over.
    pub(super) fn vacated_elsewhere(&mut self) {
        let over = |vacancy: &mut Arc<Vacancy>| vacancy.over.load(Ordering::Acquire);
        for vacancy in self.vacating_elsewhere.extract_if(.., over).collect::<Vec<_>>() {
            for pool in self.pools_of(&vacancy) {
                self.seek_if_waiting(pool);
            }
        }
    }

    /// The other loops.
    fn others(&self) -> impl Iterator<Item = usize> + use<D> {
        let seat = self.seat;
        (0..self.company.loops).filter(move |other| *other != seat)
    }

    /// Whether nothing may be dialled or kept idle for a pool: its database is being emptied.
    #[inline]
    pub(super) fn is_being_vacated(&self, id: PoolId) -> bool {
        if self.vacating.is_empty() && self.vacating_elsewhere.is_empty() {
            return false;
        }
        let spec = &self.pools[id.0 as usize].spec;
        let own = self.vacating.iter().map(|vacating| &vacating.vacancy);
        let mut all = own.chain(&self.vacating_elsewhere);
        all.any(|vacancy| spec.serves(&vacancy.database, &vacancy.hosts))
    }

    /// Whether a client's next statement waits for a database to be empty: it keeps its server.
    #[inline]
    pub(super) fn waits_for_vacancy(&self, client: ClientId) -> bool {
        self.vacating.iter().any(|vacating| vacating.client == client && !vacating.running)
    }

    /// A server of some pool is gone: statements that wait for that look again.
    pub(super) fn wake_vacating(&mut self) {
        let waiting = self.vacating.iter().filter(|vacating| !vacating.running);
        self.todo.extend(waiting.map(|vacating| Todo::Client(vacating.client)));
    }

    /// Lets databases be used again whose statement is over.
    pub(super) fn check_vacating(&mut self) {
        let (clients, servers) = (&self.clients, &self.servers);
        let is_over = |vacating: &Vacating| {
            let Some(client) = clients.get(vacating.client) else { return true };
            let settled = match client.session.state {
                State::Attached(server) => {
                    servers.get(server).is_none_or(|entry| entry.server.ledger.is_settled())
                }
                State::Idle | State::Begun | State::Waiting | State::Lost(_) | State::Closing => {
                    true
                }
            };
            vacating.running && settled
        };
        let over: Vec<Vacating> = self.vacating.extract_if(.., |one| is_over(one)).collect();
        for vacating in over {
            vacating.vacancy.over.store(true, Ordering::Release);
            for other in self.others() {
                self.driver.post(other, Mail::Vacated);
            }
            for pool in self.pools_of(&vacating.vacancy) {
                self.seek_if_waiting(pool);
            }
        }
        if !self.vacating.is_empty() {
            self.wake_vacating();
            self.check_at(Deadline::after(self.now, Some(LOOK_AGAIN_MS)));
        }
        self.clear_out_for_others();
    }
}

/// A loop's bit in [`Vacancy::busy`].
fn bit(seat: usize) -> u64 {
    1 << seat
}
