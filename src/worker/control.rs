//! An administrator's orders.

use std::sync::Arc;

use super::Engine;
use super::conn::Rest;
use super::driver::Driver;
use super::mail::{Control, Holds, Scope};
use crate::errors;
use crate::ids::{ClientId, PoolId, ServerId};
use crate::wire::Report;

impl<D: Driver> Engine<D> {
    /// Carries an order out. How many connections or pools it met.
    pub(super) fn control(&mut self, control: Control) -> usize {
        match control {
            Control::Hold(holds) => self.hold(holds),
            Control::Kill(scope) => self.kill(&scope),
            Control::KillClient(id) => self.kill_client_called(id),
            Control::Reconnect(scope) => self.reconnect(&scope),
        }
    }

    /// Pauses the pools that `holds` says and lets the others go on.
    fn hold(&mut self, holds: Arc<Holds>) -> usize {
        self.holds = holds;
        let mut changed = 0;
        for id in self.pools_in(&Scope::All) {
            let now = self.now;
            let held = self.holds.hold(&self.pools[id.0 as usize].spec.database);
            let pool = &mut self.pool(id).pool;
            match (pool.is_paused(), held) {
                (false, true) => {
                    pool.pause();
                    self.close_idle_servers(id);
                }
                (true, false) => {
                    pool.resume(now);
                    self.seek_if_waiting(id);
                    let next_expiry = self.pool(id).pool.next_expiry();
                    self.check_at(next_expiry);
                }
                (true, true) | (false, false) => continue,
            }
            changed += 1;
        }
        changed
    }

    /// Closes every client and server, whatever they do. Clients are told before.
    fn kill(&mut self, scope: &Scope) -> usize {
        let pools = self.pools_in(scope);
        let clients = self.clients.ids_where(|client| pools.contains(&client.pool));
        let servers = self.servers.ids_where(|entry| pools.contains(&entry.pool));
        let met = clients.len() + servers.len();
        let words: Vec<_> = clients.iter().map(|&id| (id, self.last_words(id))).collect();
        // Servers first: then no client's server is made clean for nothing.
        for id in servers {
            self.let_go_of(id);
            self.say_goodbye(id);
        }
        for (id, words) in words {
            self.end_client(id, words);
        }
        met
    }

    /// Takes a server away from its client, so that it can be closed under it.
    fn let_go_of(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        let client = entry.server.client().and_then(|client| self.clients.get_mut(client));
        let Some(client) = client else { return };
        // A Terminate must not complete a message of which the end is missing.
        entry.server.half_sent = client.conn.skip > 0 && client.conn.rest == Rest::Forward;
        client.session.rest();
    }

    /// What a client is told; nothing when it is in the middle of a message.
    fn last_words(&self, id: ClientId) -> Option<Report> {
        let server = self.clients.get(id).and_then(|client| client.session.server());
        let conn = server.and_then(|server| self.servers.get(server)).map(|entry| &entry.conn);
        let in_message = conn.is_some_and(|conn| conn.skip > 0 && conn.rest == Rest::Forward);
        (!in_message).then(errors::killed)
    }

    fn kill_client_called(&mut self, pid: i32) -> usize {
        let found = self.clients.ids_where(|client| client.session.registration.pid() == pid);
        for &id in &found {
            // What it runs is cancelled, as if it had vanished.
            let words = self.last_words(id);
            self.end_client(id, words);
        }
        found.len()
    }

    /// Has every server replaced as soon as nobody uses it.
    fn reconnect(&mut self, scope: &Scope) -> usize {
        let pools = self.pools_in(scope);
        for id in self.servers.ids_where(|entry| pools.contains(&entry.pool)) {
            if let Some(entry) = self.servers.get_mut(id) {
                entry.close_needed = true;
            }
        }
        for &id in &pools {
            self.close_idle_servers(id);
        }
        pools.len()
    }

    fn close_idle_servers(&mut self, id: PoolId) {
        for server in self.pool(id).pool.idle_servers_where(|_, _| true) {
            self.say_goodbye(server);
        }
    }

    fn pools_in(&self, scope: &Scope) -> Vec<PoolId> {
        let covered = self.pools.iter().filter(|(_, entry)| scope.covers(&entry.spec.database));
        covered.filter_map(|(place, _)| u32::try_from(place).ok().map(PoolId)).collect()
    }
}
