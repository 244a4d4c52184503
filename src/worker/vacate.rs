//! Statements that want a database to themselves (DROP DATABASE and its like): pgweir's own idle
//! servers must not stand in their way.
//!
//! ```text
//!   seen ──▶ idle servers of the database are closed ──all gone, or 5 s──▶ sent ──answered──▶ over
//!            └────────────────────── nothing is dialled, its clients wait ──────────────────┘
//! ```
//!
//! Servers in use are left alone: there Postgres refuses the statement, as it would without
//! pgweir. One that comes free meanwhile is closed.

use super::driver::Driver;
use super::{Engine, Todo};
use crate::client::State;
use crate::config::Host;
use crate::deadline::{Deadline, Tick};
use crate::ids::{ClientId, PoolId};
use crate::sql::Name;

/// How long a statement waits for idle servers to be gone. Postgres itself waits 5 s for others
/// to leave (`CountOtherDBBackends`).
const VACATING_LIMIT_MS: u64 = 5_000;
/// How often it is looked whether a statement is over of which nothing else tells.
const LOOK_AGAIN_MS: u64 = 100;

/// A statement that wants a database to itself.
#[derive(Debug)]
pub(super) struct Vacating {
    client: ClientId,
    /// The database, by its name on the server.
    database: String,
    /// The server.
    hosts: Vec<Host>,
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
            vacating.client == client && vacating.database == database && !vacating.running
        };
        let place = match self.vacating.iter().position(known) {
            Some(place) => place,
            None => {
                let settings = self.pools[pool.0 as usize].spec.settings.load_full();
                let hosts = settings.database.primary.hosts.clone();
                let (database, since) = (database.to_owned(), self.now);
                self.vacating.push(Vacating { client, database, hosts, since, running: false });
                self.vacating.len() - 1
            }
        };
        let pools = self.pools_of(&self.vacating[place]);
        for &pool in &pools {
            for server in self.pool(pool).pool.idle_servers_where(|_, _| true) {
                self.say_goodbye(server);
            }
        }
        let late = Deadline::after(self.vacating[place].since, Some(VACATING_LIMIT_MS));
        let gone = pools.iter().all(|&pool| {
            let slots = self.pool(pool).pool.slots();
            slots.zombie == 0 && slots.connecting == 0
        });
        self.vacating[place].running = gone || late.reached(self.now);
        self.check_at(Deadline::after(self.now, Some(LOOK_AGAIN_MS)));
        self.vacating[place].running
    }

    fn pools_of(&self, vacating: &Vacating) -> Vec<PoolId> {
        let all = self.pool_ids.values().copied();
        let serves = |id: &PoolId| {
            self.pools[id.0 as usize].spec.serves(&vacating.database, &vacating.hosts)
        };
        all.filter(serves).collect()
    }

    /// Whether nothing may be dialled or kept idle for a pool: its database is being emptied.
    #[inline]
    pub(super) fn is_being_vacated(&self, id: PoolId) -> bool {
        !self.vacating.is_empty() && {
            let spec = &self.pools[id.0 as usize].spec;
            self.vacating.iter().any(|one| spec.serves(&one.database, &one.hosts))
        }
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
                State::Idle | State::Waiting | State::Lost(_) | State::Closing => true,
            };
            vacating.running && settled
        };
        let over: Vec<Vacating> = self.vacating.extract_if(.., |one| is_over(one)).collect();
        for vacating in over {
            for pool in self.pools_of(&vacating) {
                self.dial_if_wanted(pool);
            }
        }
        if !self.vacating.is_empty() {
            self.wake_vacating();
            self.check_at(Deadline::after(self.now, Some(LOOK_AGAIN_MS)));
        }
    }
}
