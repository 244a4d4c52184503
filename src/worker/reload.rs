//! A reload: what it changes for pools, their servers and their clients.
//!
//! Most values are read where they are needed. What was copied, or has to happen at once, is here.

use super::driver::Driver;
use super::idle::Idleness;
use super::mail::LoopSettings;
use super::{Engine, Phase, Todo};
use crate::client::State;
use crate::deadline::Deadline;
use crate::errors;
use crate::ids::{ClientId, PoolId};
use crate::wire::Report;

impl<D: Driver> Engine<D> {
    /// Takes over what the pools' specifications say now.
    pub(super) fn reload(&mut self, settings: LoopSettings) {
        self.max_statement_size = settings.max_statement_size;
        self.idleness = Idleness::of(settings.client_idle_ms);
        self.check_idle_clients();
        self.look_at_pins(Deadline::after(self.now, Some(0)));
        self.pools_follow();
        let mut some_gone = false;
        for id in self.clients.ids_where(|_| true) {
            let Some(client) = self.clients.get(id) else { continue };
            if client.spec.clients_are_gone() {
                some_gone = true;
            } else {
                self.find_pool_again(id);
                self.follow_fleet(id);
            }
        }
        self.some_gone = some_gone;
        self.dismiss_clients();
        for id in self.all_pools() {
            self.check_waiters(id);
            self.check_idle_servers(id);
            self.dial_if_wanted(id);
        }
    }

    fn pools_follow(&mut self) {
        for id in self.all_pools() {
            self.find_fleet(id);
            self.pool_follows(id);
        }
        self.refresh_limits();
    }

    /// Takes over what one pool's specification says.
    pub(super) fn pool_follows(&mut self, id: PoolId) {
        {
            let seat = self.seat;
            let entry = &self.pools[id.0 as usize];
            let (spec, before) = (entry.spec.clone(), entry.pool.limits().lifetime_ms);
            let entry = self.pool(id);
            let moved = entry.place != spec.place();
            entry.place = spec.place();
            // Its home may be another loop now.
            entry.closing_abroad = false;
            if moved {
                // Another server may report other values, and be there where the old one was not.
                entry.greetings.clear();
                entry.pool.forget_failure();
                if spec.home() == seat {
                    spec.set_failure(None);
                }
                self.listeners_moved(id);
                self.change_node(id);
            }
            if spec.servers_are_gone() {
                self.pool(id).pool.forbid_warming();
            } else if spec.credential().is_some() {
                self.pool(id).pool.allow_warming();
            }
            self.refresh_lifetimes(id, spec.limits().lifetime_ms != before);
        }
    }

    /// Sees to it that servers of another place, or without anybody to serve, are closed as they
    /// come free, and others at the end of their lives, which may have become another one.
    fn refresh_lifetimes(&mut self, id: PoolId, aged: bool) {
        let spec = self.pools[id.0 as usize].spec.clone();
        let lifetime_ms = spec.limits().lifetime_ms;
        for server in self.servers.ids_where(|_| true) {
            let Some(entry) = self.servers.get(server).filter(|entry| entry.pool == id) else {
                continue;
            };
            let misplaced = spec.servers_are_gone() || entry.place != spec.place();
            let retire_at = if misplaced {
                Deadline::after(self.now, Some(0))
            } else if aged {
                self.retirement(lifetime_ms, entry.server.since)
            } else {
                continue;
            };
            if let Some(entry) = self.servers.get_mut(server) {
                entry.server.retire_at = retire_at;
                // Operators may wait for these with WAIT_CLOSE, as after RECONNECT.
                entry.close_needed |= misplaced;
            }
            self.check_at(retire_at);
        }
    }

    /// A client whose role has the servers of another pool now goes there for its next server.
    fn find_pool_again(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        let (before, spec) = (client.pool, client.spec.servers());
        let pool = self.pool_for(&spec);
        if pool == before || self.close_if_listening(id) {
            return;
        }
        let waited =
            self.clients.get(id).is_some_and(|c| matches!(c.session.state, State::Waiting));
        if waited {
            self.leave_queue(id);
        }
        let now = self.now;
        let entry = self.pool(before);
        entry.clients -= 1;
        entry.unused_since = now;
        self.pool(pool).clients += 1;
        let Some(client) = self.clients.get_mut(id) else { return };
        client.pool = pool;
        client.at = pool;
        client.session.belt_version = (u64::MAX, u64::MAX);
        client.occupancy = spec.board().occupy(self.seat);
        let greeting = client.session.greeting;
        if waited && greeting {
            self.greet(id, b"");
        } else if waited {
            self.todo.push_back(Todo::Client(id));
        }
    }

    /// Clients whose database or role the configuration has no longer go at the end of their
    /// transactions.
    fn dismiss_clients(&mut self) {
        if !self.some_gone {
            return;
        }
        for id in self.clients.ids_where(|client| client.spec.clients_are_gone()) {
            let Some(client) = self.clients.get(id) else { continue };
            match client.session.state {
                State::Idle | State::Waiting => {
                    self.end_client(id, Some(errors::configuration_gone()));
                }
                State::Attached(_) | State::Begun | State::Lost(_) => self.let_go_if_dismissed(id),
                State::Closing => {}
            }
        }
    }

    /// Why a client may not stay beyond its transaction; `None`: it may.
    pub(super) fn dismissal(&self, id: ClientId) -> Option<Report> {
        let client = self.clients.get(id)?;
        match self.phase {
            Phase::Draining(_) | Phase::Stopped => Some(errors::shutting_down()),
            Phase::Running if client.spec.clients_are_gone() => Some(errors::configuration_gone()),
            Phase::Running => None,
        }
    }
}

#[cfg(test)]
mod tests;
