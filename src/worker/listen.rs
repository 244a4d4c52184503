//! LISTEN: channels that the loop's clients listen to through the one connection that listens for
//! their pool.
//!
//! ```text
//!   LISTEN seen ──▶ it waits, without a server outside a transaction ──Mail::Listening──▶ sent
//!   committed ──▶ the session is told ──UNLISTEN committed, or gone──▶ the channel is let go
//! ```
//!
//! The client's own LISTEN runs on the server that it has, where it succeeds or fails as it does
//! without pgweir; before the server is given to anybody else, UNLISTEN * takes it back. By then
//! the connection has confirmed the channel, so nothing is missed that is notified after the
//! client's COMMIT. That answer comes behind all that was notified before, and what comes before the
//! COMMIT is sent does not count.
//!
//! A session is told between its transactions. A channel that its pool cannot listen to (Postgres
//! has no connection left) is listened to by the session's own server, which it keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::driver::Driver;
use super::from_client::Next;
use super::mail::{Listened, Notified, Order};
use super::{Engine, PoolEntry, Todo};
use crate::client::{Notification, State};
use crate::errors;
use crate::ids::{ClientId, PoolId, ServerId};
use crate::pool::PoolSpec;
use crate::server::User;
use crate::session::Steps;
use crate::sql::Name;
use crate::wire::{Report, TransactionStatus};

/// Bytes of notifications that one write takes.
const TOLD_AT_ONCE: usize = 64 * 1024;

/// A channel of a pool's on one loop.
#[derive(Debug)]
pub(super) struct Channel {
    /// Where the pool's servers were when it was first wanted.
    place: u64,
    /// Clients that listen, or are about to, each with the ticket of the order that it waits for.
    clients: BTreeMap<ClientId, Ticket>,
}

/// The number of an order to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ticket {
    Open(u64),
    Answered,
}

impl<D: Driver> Engine<D> {
    /// A text that listens is to be sent. It waits until the pool listens to all its channels.
    pub(super) fn listener_first(
        &mut self,
        id: ClientId,
        server: ServerId,
        steps: &Steps,
    ) -> Option<Next> {
        let client = self.clients.get_mut(id)?;
        let pool = client.pool;
        if !client.session.pins.is_none() {
            return None;
        }
        if client.session.listening.as_mut().is_some_and(|one| std::mem::take(&mut one.alone)) {
            // It keeps its server for this.
            let channels: Vec<Name> = steps.listens().cloned().collect();
            return self.listen_alone(id, &channels);
        }
        let channels: Vec<Name> = steps.listens().cloned().collect();
        let mut confirmed = true;
        for channel in &channels {
            confirmed &= self.keep_channel(id, pool, channel);
        }
        if !confirmed {
            let listening = self.clients.get_mut(id)?.session.listening.as_mut()?;
            listening.awaits = true;
            return Some(Next::Pause);
        }
        let spoken = self.servers.get(server)?.server.status_of(b"client_encoding");
        let heard = self.pools[pool.0 as usize].listener_encoding.as_deref();
        let same = match (spoken, heard) {
            (Some(spoken), Some(heard)) => spoken.eq_ignore_ascii_case(heard),
            (None, _) | (_, None) => true,
        };
        // Payloads would come in another encoding.
        if same { None } else { self.listen_alone(id, &channels) }
    }

    /// The same for what the unnamed portal does.
    pub(super) fn listener_first_for_portal(
        &mut self,
        id: ClientId,
        server: ServerId,
    ) -> Option<Next> {
        let steps = self.clients.get_mut(id)?.session.portal_steps.take()?;
        let listens = steps.listens().next().is_some();
        let next = if listens { self.listener_first(id, server, &steps) } else { None };
        if let Some(client) = self.clients.get_mut(id) {
            client.session.portal_steps = Some(steps);
        }
        next
    }

    /// These channels are let go, so that [`Engine::follow`] has the session keep its server.
    ///
    /// [`Engine::follow`]: super::Engine
    fn listen_alone(&mut self, id: ClientId, channels: &[Name]) -> Option<Next> {
        for channel in channels {
            let session = &self.clients.get(id)?.session;
            let told = session.listening.as_ref().is_some_and(|one| one.channels.contains(channel));
            if !told {
                self.let_go(id, channel);
            }
        }
        None
    }

    /// Has the pool listen for a client. Whether it does already.
    fn keep_channel(&mut self, id: ClientId, pool: PoolId, channel: &Name) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return true };
        let listening = client.session.listening.get_or_insert_default();
        listening.kept.insert(channel.clone());
        let entry = &mut self.pools[pool.0 as usize];
        let place = entry.place;
        let known = entry.channels.entry(channel.clone());
        let known = known.or_insert_with(|| Channel { place, clients: BTreeMap::new() });
        if let Some(ticket) = known.clients.get(&id) {
            return *ticket == Ticket::Answered;
        }
        self.listen_orders += 1;
        let (ticket, place) = (self.listen_orders, known.place);
        known.clients.insert(id, Ticket::Open(ticket));
        let (pool, channel) = (entry.spec.clone(), channel.clone());
        self.orders.push(Order::Listen { pool, place, channel, ticket });
        false
    }

    /// A client lets a channel go, and the loop with its last one.
    fn let_go(&mut self, id: ClientId, channel: &Name) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if let Some(listening) = &mut client.session.listening {
            listening.kept.remove(channel);
        }
        let entry = &mut self.pools[client.pool.0 as usize];
        let Some(known) = entry.channels.get_mut(channel) else { return };
        known.clients.remove(&id);
        if known.clients.is_empty()
            && let Some(known) = entry.channels.remove(channel)
        {
            let (pool, channel) = (entry.spec.clone(), channel.clone());
            self.orders.push(Order::Unlisten { pool, place: known.place, channel });
        }
    }

    /// A client listens to nothing any more: it leaves, or is being closed.
    pub(super) fn stop_listening(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        let Some(listening) = &client.session.listening else { return };
        for channel in listening.kept.clone() {
            self.let_go(id, &channel);
        }
        if let Some(client) = self.clients.get_mut(id) {
            client.session.listening = None;
        }
    }

    /// What has become of an order to listen.
    pub(super) fn listening(
        &mut self,
        spec: &Arc<PoolSpec>,
        channel: &Name,
        ticket: u64,
        listened: Option<Listened>,
    ) {
        let Some(&pool) = self.pool_ids.get(&spec.id) else { return };
        let entry = self.pool(pool);
        let Some(known) = entry.channels.get_mut(channel) else { return };
        let waits = |(_, open): &(&ClientId, &Ticket)| **open == Ticket::Open(ticket);
        let Some(id) = known.clients.iter().find(waits).map(|(&id, _)| id) else { return };
        if let Some(Listened { encoding }) = listened {
            known.clients.insert(id, Ticket::Answered);
            entry.listener_encoding = encoding;
        } else {
            self.let_go(id, channel);
            let client = self.clients.get_mut(id);
            if let Some(listening) = client.and_then(|client| client.session.listening.as_mut()) {
                listening.alone = listening.awaits;
            }
        }
        self.listen_if_confirmed(id, pool);
    }

    /// A client whose LISTEN waits may go on if all that it waits for is confirmed.
    fn listen_if_confirmed(&mut self, id: ClientId, pool: PoolId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(listening) = &mut client.session.listening else { return };
        let channels = &self.pools[pool.0 as usize].channels;
        let is_up = |channel| {
            let known = channels.get(channel).and_then(|known| known.clients.get(&id));
            known == Some(&Ticket::Answered)
        };
        if listening.awaits && (listening.alone || listening.kept.iter().all(is_up)) {
            listening.awaits = false;
            self.todo.push_back(Todo::Client(id));
        }
    }

    /// Somebody notified.
    pub(super) fn notified(&mut self, notified: &Notified) {
        let Some(&pool) = self.pool_ids.get(&notified.pool.id) else { return };
        let notification = &notified.notification;
        let known = self.pools[pool.0 as usize].channels.get(&notification.channel);
        let Some(known) = known.filter(|known| known.place == notified.place) else { return };
        let answered = known.clients.iter().filter(|(_, ticket)| **ticket == Ticket::Answered);
        let clients: Vec<ClientId> = answered.map(|(&id, _)| id).collect();
        let pid = self.company.tenants.sender(&notified.address, notification.pid, self.now);
        for id in clients {
            self.note_notification(id, notification, pid);
        }
    }

    fn note_notification(&mut self, id: ClientId, notification: &Arc<Notification>, pid: i32) {
        let may_commit = self.may_be_committing(id);
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(listening) = &mut client.session.listening else { return };
        if !may_commit && !listening.channels.contains(&notification.channel) {
            // Its LISTEN has not been committed: the COMMIT has not been sent.
            return;
        }
        if !listening.queue(notification, pid) {
            return self.end_client(id, Some(errors::too_many_notifications()));
        }
        self.tell(id);
    }

    /// Whether something is under way that may commit a LISTEN of a client's.
    fn may_be_committing(&self, id: ClientId) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let server = client.session.server().and_then(|server| self.servers.get(server));
        client.session.changes.is_some()
            && server.is_some_and(|entry| !entry.server.ledger.is_settled())
    }

    /// Tells a client what waits for it, if it is between two transactions.
    pub(super) fn tell(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        if client.session.listening.is_none() || client.session.greeting {
            return;
        }
        let begun = client.session.routed.as_ref().is_some_and(|routed| routed.begun.is_some());
        let between = match client.session.state {
            State::Idle | State::Waiting => !begun,
            State::Attached(server) => self.servers.get(server).is_some_and(|entry| {
                entry.server.user == User::Client(id)
                    && entry.server.status == TransactionStatus::Idle
                    && entry.server.ledger.is_settled()
                    && entry.conn.skip == 0
            }),
            State::Begun | State::Lost(_) | State::Closing => false,
        };
        if between {
            self.tell_now(id);
        }
    }

    /// A server has said ReadyForQuery, which its client has got: that is a place between two
    /// transactions, though more may have been sent.
    #[inline]
    pub(super) fn tell_at_ready(&mut self, server: ServerId) {
        let Some(entry) = self.servers.get(server) else { return };
        let User::Client(id) = entry.server.user else { return };
        let listens = self.clients.get(id).is_some_and(|client| client.session.listening.is_some());
        if listens && entry.server.status == TransactionStatus::Idle && entry.conn.skip == 0 {
            self.tell_now(id);
        }
    }

    fn tell_now(&mut self, id: ClientId) {
        let mut bytes = Vec::new();
        loop {
            let Some(client) = self.clients.get_mut(id) else { return };
            if client.conn.has_unsent() {
                return;
            }
            let Some(listening) = &mut client.session.listening else { return };
            let mut told = 0;
            while bytes.len() < TOLD_AT_ONCE
                && let Some((notification, pid)) = listening.take()
            {
                notification.write(&mut bytes, pid);
                told += 1;
            }
            if bytes.is_empty() {
                return;
            }
            let pool = client.pool;
            self.pool(pool).counters.notifications += told;
            self.count_sent(id, bytes.len());
            self.send_to_client(id, &bytes);
            bytes.clear();
        }
    }

    /// After a client's messages: what it listens to no longer is let go, and what waits is told.
    #[inline]
    pub(super) fn look_after_listening(&mut self, id: ClientId) {
        if self.clients.get(id).is_some_and(|client| client.session.listening.is_some()) {
            self.tell(id);
            self.let_unused_go(id);
        }
    }

    /// Channels are let go that no committed transaction has left, when no other can.
    fn let_unused_go(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        let Some(listening) = &client.session.listening else { return };
        let at_rest = match client.session.state {
            State::Idle => true,
            State::Attached(server) => {
                self.servers.get(server).is_some_and(|entry| entry.server.ledger.is_settled())
            }
            State::Begun | State::Waiting | State::Lost(_) | State::Closing => false,
        };
        if !at_rest
            || listening.awaits
            || client.session.changes.is_some()
            || !client.conn.stash.is_empty()
        {
            return;
        }
        let unused: Vec<Name> = listening
            .kept
            .iter()
            .filter(|channel| !listening.channels.contains(*channel))
            .cloned()
            .collect();
        for channel in &unused {
            self.let_go(id, channel);
        }
        if let Some(client) = self.clients.get_mut(id)
            && client.session.listening.as_ref().is_some_and(|listening| listening.is_over())
        {
            client.session.listening = None;
        }
    }

    /// The connection that listened for a pool is gone. Who relied on it is closed, as Postgres
    /// would have closed it; who was about to, asks again.
    pub(super) fn listener_lost(&mut self, spec: &Arc<PoolSpec>, place: u64, report: &Report) {
        let Some(&pool) = self.pool_ids.get(&spec.id) else { return };
        let lost: Vec<(ClientId, Name)> = self
            .pool(pool)
            .channels
            .iter()
            .filter(|(_, known)| known.place == place)
            .flat_map(|(channel, known)| {
                let answered = known.clients.iter().filter(|(_, open)| **open == Ticket::Answered);
                answered.map(|(&id, _)| (id, channel.clone()))
            })
            .collect();
        for (id, channel) in lost {
            self.let_go(id, &channel);
            let Some(client) = self.clients.get(id) else { continue };
            let Some(listening) = &client.session.listening else { continue };
            if listening.channels.contains(&channel) || !listening.awaits {
                self.end_client(id, Some(errors::listener_lost(report)));
            }
        }
    }

    /// A reload has moved a pool's servers: nobody listens at the new place.
    pub(super) fn listeners_moved(&mut self, pool: PoolId) {
        for id in self.clients.ids_where(|client| client.pool == pool) {
            self.close_if_listening(id);
        }
    }

    /// A client that listens is closed, for its pool's servers are others now. Whether it was.
    pub(super) fn close_if_listening(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let listens = client.session.listening.is_some();
        if listens {
            self.end_client(id, Some(errors::listener_moved()));
        }
        listens
    }
}

/// How many of a pool's clients on this loop listen, for those who operate pgweir.
pub(super) fn listening_clients(entry: &PoolEntry) -> usize {
    let all: BTreeSet<ClientId> =
        entry.channels.values().flat_map(|channel| channel.clients.keys().copied()).collect();
    all.len()
}
