//! Pictures of the loop. Every number that anybody is shown comes from here.

use super::driver::Driver;
use super::listen::listening_clients;
use super::listing::{ClientLine, ClientStanding, Listing, PinLine, ServerLine, ServerStanding};
use super::mail::{Inspection, LoopFigures, PoolInspection};
use super::{Engine, PoolEntry, ServerConn};
use crate::client::State;
use crate::ids::{ClientId, Key, PoolId, ServerId};
use crate::net::socket::Ends;
use crate::pool::Slots;
use crate::server::{Cancel, User};
use crate::session::ParamSet;

/// Handles of connections that listen begin here, above those of servers: a generation has 31 bits.
const LISTENER_HANDLES: u64 = 1 << 63;

impl<D: Driver> Engine<D> {
    /// How many of everything there are.
    pub(super) fn inspect(&self) -> Inspection {
        // By place; the places of pools that are gone are left out in the end.
        let places = self.pools.iter().next_back().map_or(0, |(place, _)| place + 1);
        let mut pools = vec![PoolInspection::default(); places];
        for (place, entry) in &self.pools {
            pools[place] = self.inspect_pool(entry);
        }
        for (_, entry) in self.servers.iter() {
            let pool = &mut pools[entry.pool.0 as usize];
            match (entry.server.cancel, entry.server.user) {
                (Cancel::Permitted(_), _) => {
                    pool.cancel += 1;
                    pool.being_canceled += usize::from(entry.server.ledger.is_settled());
                }
                (Cancel::None | Cancel::Ordered(_), User::Nobody) => pool.idle += 1,
                (Cancel::None | Cancel::Ordered(_), User::Cleaning(_)) => {
                    pool.leased += 1;
                    pool.cleaning += 1;
                }
                (
                    Cancel::None | Cancel::Ordered(_),
                    User::Client(_) | User::Preparing(_) | User::Asking(_),
                ) => pool.leased += 1,
            }
            pool.cancel_ordered += usize::from(matches!(entry.server.cancel, Cancel::Ordered(_)));
            pool.close_needed += usize::from(entry.close_needed);
        }
        for (_, client) in self.clients.iter() {
            let holds_server = client.session.server().is_some();
            let pool = &mut pools[client.pool.0 as usize];
            if !client.session.pins.is_none() && holds_server {
                pool.pinned += 1;
                pool.pinned_for.count(client.session.pins.bits());
            }
            pool.attached += usize::from(holds_server);
        }
        for zombie in self.zombies.values() {
            pools[zombie.pool().0 as usize].zombie += 1;
        }
        let pools = pools.into_iter().enumerate();
        let pools = pools.filter(|(place, _)| self.pools.contains(*place)).map(|(_, pool)| pool);
        Inspection {
            clients: self.clients.len(),
            pools: pools.collect(),
            statements: self.statements.len(),
            loops: vec![LoopFigures {
                seat: self.seat,
                clients: self.clients.len(),
                servers: self.servers.len(),
                transactions: self
                    .pools
                    .iter()
                    .map(|(_, entry)| entry.counters.transactions.count())
                    .sum(),
                sent_away: self.sent_away,
                overtaken_ms: self.overtaken_ms,
            }],
        }
    }

    fn inspect_pool(&self, entry: &PoolEntry) -> PoolInspection {
        let home = !entry.pool.is_shared() || entry.spec.home() == self.seat;
        let slots = if home { entry.pool.slots() } else { Slots::default() };
        let oldest = entry.pool.waiters().find(|(client, _)| self.waits(*client));
        PoolInspection {
            id: entry.spec.id,
            database: entry.spec.database.clone(),
            role: entry.spec.role.clone(),
            server: entry.spec.server_name(),
            login: slots.connecting as usize,
            open: slots.total() as usize,
            waiting: entry.pool.waiting(),
            oldest_wait_ms: oldest.map_or(0, |(_, since)| self.now.since(since)),
            clients: entry.clients,
            size: entry.pool.limits().size,
            session_mode: entry.spec.is_session_mode(),
            paused: entry.pool.is_paused(),
            listeners: if home { entry.spec.listener().connections() } else { 0 },
            channels: if home { entry.spec.listener().channels() } else { 0 },
            listening: listening_clients(entry),
            counters: entry.counters.clone(),
            ..PoolInspection::default()
        }
    }

    fn waits(&self, client: ClientId) -> bool {
        self.clients.get(client).is_some_and(|c| matches!(c.session.state, State::Waiting))
    }

    /// Every connection.
    pub(super) fn list(&self) -> Listing {
        let mut listing = Listing {
            clients: self
                .clients
                .iter()
                .map(|(id, _)| id)
                .filter_map(|id| self.client_line(id))
                .collect(),
            servers: self.servers.iter().map(|(id, entry)| self.server_line(id, entry)).collect(),
            timeouts: self.struck_lately.lines(self.now_us).collect(),
            found: self.found_lately.lines(self.now_us).collect(),
        };
        listing.servers.extend(self.listener_lines());
        // How long each waits stands in the queues.
        let mut waits = std::collections::HashMap::new();
        for (_, entry) in &self.pools {
            waits.extend(entry.pool.waiters().map(|(client, since)| (handle(client.0), since)));
        }
        for client in &mut listing.clients {
            if client.standing == ClientStanding::Waiting
                && let Some(since) = waits.get(&client.handle)
            {
                client.waiting_ms = self.now.since(*since);
            }
        }
        listing
    }

    /// Connections that listen for the pools that have their home here.
    fn listener_lines(&self) -> impl Iterator<Item = ServerLine> {
        let homes = self
            .pools
            .iter()
            .map(|(_, entry)| entry)
            .filter(|entry| !entry.pool.is_shared() || entry.spec.home() == self.seat);
        homes.filter_map(|entry| {
            let line = entry.spec.listener().line()?;
            let age_s = line.since.elapsed().as_secs();
            Some(ServerLine {
                id: line.pid,
                handle: LISTENER_HANDLES | u64::from(entry.spec.id),
                link: None,
                pool: entry.spec.clone(),
                standing: ServerStanding::Listening,
                ends: Ends { peer: line.peer, local: None },
                age_s,
                quiet_s: age_s,
                close_needed: false,
                pid: line.pid,
                tls: line.tls,
                application_name: "pgweir listener".to_owned(),
            })
        })
    }

    fn client_line(&self, id: ClientId) -> Option<ClientLine> {
        let client = self.clients.get(id)?;
        let (standing, link) = match client.session.state {
            State::Attached(server) => (ClientStanding::Active, Some(handle(server.0))),
            State::Waiting => (ClientStanding::Waiting, None),
            State::Idle | State::Begun | State::Lost(_) | State::Closing => {
                (ClientStanding::Idle, None)
            }
        };
        let now_s = u64::from(self.seconds());
        Some(ClientLine {
            id: client.session.registration.pid(),
            handle: handle(id.0),
            link,
            pool: client.spec.clone(),
            standing,
            ends: client.conn.ends(&self.driver),
            age_s: now_s.saturating_sub(u64::from(client.since_s)),
            quiet_s: now_s.saturating_sub(u64::from(client.asked_s)),
            waiting_ms: 0,
            closing: matches!(client.session.state, State::Closing),
            tls: client.conn.tls_version(),
            application_name: application_name(&client.session.params),
            pin: self.pin_line(id),
        })
    }

    fn pin_line(&self, id: ClientId) -> Option<PinLine> {
        let client = self.clients.get(id)?;
        let pinned = client.session.pinned.as_ref().filter(|_| !client.session.pins.is_none())?;
        let server = self.servers.get(client.session.server()?)?;
        Some(PinLine {
            pins: client.session.pins,
            server_pid: server.server.cancel_target.as_ref().map_or(0, |target| target.pid),
            age_s: self.now.since(pinned.since) / 1_000,
            idle_s: self.is_idle(id).then(|| self.now.since(client.active_at) / 1_000),
        })
    }

    fn server_line(&self, id: ServerId, entry: &ServerConn<D::Socket>) -> ServerLine {
        let server = &entry.server;
        let standing = match (server.cancel, server.user) {
            (Cancel::Permitted(_), _) if server.ledger.is_settled() => {
                ServerStanding::BeingCanceled
            }
            (_, User::Nobody) => ServerStanding::Idle,
            (_, User::Client(_) | User::Preparing(_) | User::Asking(_)) => ServerStanding::Active,
            (_, User::Cleaning(_)) => ServerStanding::Cleaning,
        };
        let age_s = self.now.since(server.since) / 1_000;
        let link = server.client();
        let quiet_s = match link.and_then(|client| self.clients.get(client)) {
            Some(client) => u64::from(self.seconds().saturating_sub(client.asked_s)).min(age_s),
            None => age_s,
        };
        ServerLine {
            id: i32::try_from(id.0.generation).unwrap_or(i32::MAX),
            handle: handle(id.0),
            link: link.map(|client| handle(client.0)),
            pool: self.spec_of(entry.pool),
            standing,
            ends: entry.conn.ends(&self.driver),
            age_s,
            quiet_s,
            close_needed: entry.close_needed,
            pid: server.cancel_target.as_ref().map_or(0, |target| target.pid),
            tls: entry.conn.tls_version(),
            application_name: application_name(&server.applied),
        }
    }

    fn spec_of(&self, pool: PoolId) -> std::sync::Arc<crate::pool::PoolSpec> {
        self.pools[pool.0 as usize].spec.clone()
    }
}

fn handle(key: Key) -> u64 {
    u64::from(key.generation) << 32 | u64::from(key.index)
}

fn application_name(params: &ParamSet) -> String {
    let name = params.get("application_name").unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}
