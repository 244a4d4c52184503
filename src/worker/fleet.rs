//! The servers of a database that has several: what becomes of clients when another one is the primary, or when one is
//! not to be read any more.

use std::sync::Arc;

use super::driver::Driver;
use super::{Engine, PoolEntry, Todo};
use crate::client::{Routed, State};
use crate::errors;
use crate::ids::{ClientId, PoolId};
use crate::route::{Ruling, Topology, ruling};

impl<D: Driver> Engine<D> {
    /// Finds the servers of a pool's database, and the pools for reads of them.
    pub(super) fn find_fleet(&mut self, id: PoolId) {
        let spec = self.pools[id.0 as usize].spec.clone();
        if spec.reader_of().is_some() {
            return;
        }
        let fleet = spec.fleet();
        let readers = fleet.iter().flat_map(|fleet| &fleet.readers);
        let readers = readers.map(|reader| self.pool_for(reader)).collect();
        let database = spec.settings.load().database.server_database.clone();
        let entry = self.pool(id);
        entry.shelf = fleet.as_ref().map(|fleet| fleet.topology.shelf(&database));
        entry.readers = readers;
        entry.fleet = fleet;
        entry.pool.set_headless(spec.headless().is_some());
    }

    /// A client's sessions know of routing where their database has several servers.
    pub(super) fn follow_fleet(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let has_fleet = self.pools[client.pool.0 as usize].fleet.is_some();
        let has_server = client.session.server().is_some();
        match (&client.session.routed, has_fleet) {
            (None, true) => client.session.routed = Some(Box::<Routed>::default()),
            // Its BEGIN is still to be sent.
            (Some(routed), false) if !has_server && routed.begun.is_none() => {
                client.session.routed = None;
            }
            (Some(_), _) | (None, false) => {}
        }
    }

    /// Roles or health of these servers have changed, and the specifications with them.
    pub(super) fn fleet_changed(&mut self, topology: &Arc<Topology>) {
        for id in self.all_pools() {
            let entry = &self.pools[id.0 as usize];
            let theirs =
                entry.spec.fleet().is_some_and(|fleet| Arc::ptr_eq(&fleet.topology, topology));
            if theirs && entry.spec.reader_of().is_none() {
                self.primary_may_have_changed(id);
                self.readers_may_have_changed(id);
            }
        }
    }

    /// The pool of a primary leads elsewhere, or nowhere.
    fn primary_may_have_changed(&mut self, id: PoolId) {
        let spec = self.pools[id.0 as usize].spec.clone();
        self.find_fleet(id);
        let headless = spec.headless();
        let entry = &self.pools[id.0 as usize];
        if entry.place != spec.place() {
            self.pool_follows(id);
        }
        // Whatever is under way at a server that is not the primary any more must not be committed there.
        let place = spec.place();
        let astray = self
            .servers
            .ids_where(|entry| entry.pool == id && (headless.is_some() || entry.place != place));
        for server in astray {
            let Some(entry) = self.servers.get_mut(server) else { continue };
            match entry.server.client() {
                Some(_) => {
                    let why = headless.clone().unwrap_or_else(errors::primary_moved);
                    entry.server.farewell = Some(why);
                    self.server_lost(server, None);
                }
                None => self.say_goodbye(server),
            }
        }
        if headless.is_none() {
            self.seek_if_waiting(id);
        }
    }

    /// Nodes that are read come and go.
    fn readers_may_have_changed(&mut self, id: PoolId) {
        let entry = &self.pools[id.0 as usize];
        let Some(fleet) = entry.fleet.clone() else { return };
        let readers = entry.readers.clone();
        let picture = fleet.topology.picture();
        for (node, reader) in picture.nodes.iter().zip(readers) {
            let spec = &self.pools[reader.0 as usize].spec;
            if self.pools[reader.0 as usize].place != spec.place() {
                self.pool_follows(reader);
            }
            if node.readable {
                // It answers: whatever failed there before is worth another try.
                self.pool(reader).pool.forget_failure();
                self.seek_if_waiting(reader);
            } else {
                self.queue_elsewhere(reader);
            }
            if node.health.is_down() {
                self.give_node_up(reader, &node.why);
            } else if node.in_recovery == Some(false) {
                self.leave_primary(reader);
            }
        }
    }

    /// A node that was read has become a primary, which would take what a replica refuses: whoever has more there than
    /// one read is not to go on.
    fn leave_primary(&mut self, id: PoolId) {
        for server in self.servers.ids_where(|entry| entry.pool == id) {
            let Some(entry) = self.servers.get_mut(server) else { continue };
            let client = entry.server.client().and_then(|client| self.clients.get(client));
            if client.is_some_and(|client| !client.session.is_at_replica_once()) {
                entry.server.farewell = Some(errors::primary_moved());
                self.server_lost(server, None);
            }
        }
    }

    /// Who waits for a server of this pool asks again where to go.
    fn queue_elsewhere(&mut self, id: PoolId) {
        let clients = &self.clients;
        let waits =
            |client| clients.get(client).is_some_and(|c| matches!(c.session.state, State::Waiting));
        for client in self.pools[id.0 as usize].pool.take_waiters(waits) {
            let Some(entry) = self.clients.get_mut(client) else { continue };
            entry.session.rest();
            if entry.session.greeting {
                self.greet(client, b"");
            } else {
                self.todo.push_back(Todo::Client(client));
            }
        }
    }

    /// A replica lets nobody in just now: who waits for it goes to the primary.
    pub(super) fn readers_go_to_primary(&mut self, id: PoolId) {
        if self.pools[id.0 as usize].spec.reader_of().is_none() {
            return;
        }
        let waiting: Vec<ClientId> =
            self.pools[id.0 as usize].pool.waiters().map(|(client, _)| client).collect();
        for client in waiting {
            let Some(entry) = self.clients.get_mut(client).filter(|entry| entry.at == id) else {
                continue;
            };
            let waits = matches!(entry.session.state, State::Waiting);
            let Some(routed) = entry.session.routed.as_mut().filter(|_| waits) else { continue };
            if routed.never_primary || entry.session.greeting {
                continue;
            }
            routed.to_primary = true;
            self.leave_queue(client);
            self.todo.push_back(Todo::Client(client));
        }
    }

    /// A node does not answer: nobody waits for it any longer.
    fn give_node_up(&mut self, id: PoolId, why: &str) {
        for server in self.servers.ids_where(|entry| entry.pool == id) {
            let Some(entry) = self.servers.get_mut(server) else { continue };
            if entry.server.client().is_some() {
                entry.server.farewell = Some(errors::replica_silent(why));
                self.server_lost(server, None);
            } else {
                self.drop_server(server);
            }
        }
    }

    /// The pool whose server greets a client: another than the primary's only where there is no primary, or where that
    /// is to serve nothing.
    pub(super) fn pool_for_greeting(&self, id: ClientId, pool: PoolId) -> PoolId {
        let entry = &self.pools[pool.0 as usize];
        let rejects = |client: &super::Client<D::Socket>| client.spec.policy().rejects_writes;
        let elsewhere =
            entry.spec.headless().is_some() || self.clients.get(id).is_some_and(rejects);
        let Some(fleet) = entry.fleet.as_ref().filter(|_| elsewhere) else {
            return pool;
        };
        let picture = fleet.topology.picture();
        let readable = picture.nodes.iter().position(|node| node.readable);
        readable.and_then(|node| entry.readers.get(node).copied()).unwrap_or(pool)
    }
}

impl PoolEntry {
    /// What texts of its clients are judged by, for routing.
    #[inline]
    pub(super) fn judged_by(&self) -> u64 {
        self.shelf.as_ref().map_or(0, |shelf| shelf.version())
    }

    /// What a text is, for routing.
    pub(super) fn judge_for_routing(&self, text: &[u8]) -> Ruling {
        let catalog = self.shelf.as_ref().and_then(|shelf| shelf.catalog());
        ruling(text, catalog.as_deref())
    }
}
