//! Servers that go from one loop to another.
//!
//! Each pool has a home: the loop that dials for it and decides how many servers it may have. A
//! server is on one loop at a time, or owned by the message that carries it. It travels
//!
//! - when it comes free and a client on another loop has waited longer, see [`Board::heir`];
//! - when it is idle and a client on another loop asks for one ([`Mail::Give`]);
//! - back to its home when it has been idle for a while ([`Pool::idle_limit`]), or when its home
//!   calls it in to make room for another pool.
//!
//! A client that waits is never forgotten: it has asked a loop that had idle servers, or its home
//! has looked at the pool since it came, or no slot of the pool is free; then whoever has the next
//! free server sees it on the board.
//!
//! [`Board::heir`]: crate::pool::Board::heir
//! [`Pool::idle_limit`]: crate::pool::Pool::idle_limit

use std::sync::Arc;

use super::counting::LeaseClock;
use super::driver::{Driver, Token};
use super::mail::{Errand, Mail, Traveller};
use super::{Engine, Phase, ServerConn};
use crate::deadline::Deadline;
use crate::ids::{PoolId, ServerId};
use crate::pool::PoolSpec;
use crate::prepared::OnServer;
use crate::server::{Cancel, User};
use crate::session::TextEffects;
use crate::wire::Report;

impl<D: Driver> Engine<D> {
    /// Whether this loop dials for a pool.
    #[inline]
    pub(super) fn is_home(&self, id: PoolId) -> bool {
        let entry = &self.pools[id.0 as usize];
        !entry.pool.is_shared() || entry.spec.home() == self.seat
    }

    /// Clients of a pool wait here and no server is idle: others' are asked for, or new ones
    /// dialled.
    pub(super) fn seek(&mut self, id: PoolId) {
        let entry = &mut self.pools[id.0 as usize];
        if entry.pool.is_shared() && !entry.pool.gives_nothing() {
            let mut lacking =
                u32::try_from(entry.pool.waiting()).unwrap_or(u32::MAX).saturating_sub(entry.asked);
            let board = entry.pool.board().clone();
            for (other, idle) in board.stocks_beside(self.seat) {
                for _ in 0..idle.min(lacking) {
                    entry.asked += 1;
                    lacking -= 1;
                    let (pool, to) = (entry.spec.clone(), self.seat);
                    self.driver.post(other, Mail::Give { pool, to });
                }
            }
        }
        self.dial_if_wanted(id);
    }

    /// Clients of a pool may wait here with nobody on the way to serve them.
    pub(super) fn seek_if_waiting(&mut self, id: PoolId) {
        let pool = &self.pools[id.0 as usize].pool;
        if pool.waiting() > 0 && pool.idle_count() == 0 {
            self.seek(id);
        } else {
            self.dial_if_wanted(id);
        }
    }

    /// Has a pool's home look whether to dial.
    pub(super) fn tell_home(&mut self, id: PoolId) {
        let entry = &self.pools[id.0 as usize];
        let limits = entry.pool.limits();
        let most = limits.size.saturating_add(limits.reserve);
        if entry.pool.waiting() > 0 && entry.pool.slots().total() < most {
            self.call_home(id);
        }
    }

    fn call_home(&mut self, id: PoolId) {
        let entry = &self.pools[id.0 as usize];
        // One call is enough until it has been heard.
        if entry.pool.board().call() {
            let (home, spec) = (entry.spec.home(), entry.spec.clone());
            self.driver.post(home, Mail::LookAt(spec));
        }
    }

    /// Another loop calls: clients wait there, or a slot has come free.
    pub(super) fn look_at(&mut self, spec: &Arc<PoolSpec>) {
        // From here on another call is of use: whoever calls has written before what to look at.
        spec.board().heard();
        let id = self.pool_for(spec);
        if self.is_home(id) {
            return self.dial_if_wanted(id);
        }
        // A reload gave it another home meanwhile.
        self.call_home(id);
    }

    /// A slot of a pool has changed on a loop that is not its home.
    pub(super) fn slot_changed(&mut self, id: PoolId) {
        if self.is_home(id) {
            return self.dial_if_wanted(id);
        }
        self.call_home(id);
    }

    /// Another loop asks for an idle server.
    pub(super) fn asked_for_server(&mut self, spec: Arc<PoolSpec>, to: usize) {
        while let Some(&id) = self.pool_ids.get(&spec.id) {
            let Some((server, since, _)) = self.pool(id).pool.take_idle(|_| 0) else { break };
            if self.is_trusted(server, since) {
                return self.send_away(server, to, Errand::Asked);
            }
        }
        self.driver.post(to, Mail::NothingToGive(spec));
    }

    /// The loop that was asked had no idle server any more.
    pub(super) fn got_nothing(&mut self, spec: &Arc<PoolSpec>) {
        let Some(&id) = self.pool_ids.get(&spec.id) else { return };
        let entry = self.pool(id);
        entry.asked = entry.asked.saturating_sub(1);
        if entry.pool.waiting() > 0 {
            self.seek(id);
        }
    }

    /// Hands a clean server that nobody uses to another loop.
    pub(super) fn send_away(&mut self, id: ServerId, to: usize, errand: Errand) {
        let Some(mut entry) = self.servers.remove(id) else { return };
        debug_assert!(entry.server.ledger.is_settled() && entry.server.user == User::Nobody);
        // An order to cancel what it ran is for the server that it was here.
        entry.server.cancel = Cancel::None;
        let has_unnamed = entry.server.unnamed.is_some();
        self.statements.assign(&mut entry.server.unnamed, None);
        let prepared = entry.server.prepared.pack(&mut self.statements);
        let left = entry.conn.leave(&mut self.driver);
        let ServerConn { conn, server, pool, close_needed, place, renewals, .. } = entry;
        let of_pool = self.pool(pool);
        let spec = of_pool.spec.clone();
        if let Err(error) = left {
            tracing::error!(%error, "a server cannot be handed over; it is closed");
            of_pool.counters.servers_closed += 1;
            of_pool.pool.became_zombie();
            of_pool.pool.zombie_gone();
            conn.close(&mut self.driver);
            if errand == Errand::Asked {
                self.driver.post(to, Mail::NothingToGive(spec));
            }
            return self.slot_changed(pool);
        }
        of_pool.pool.departs(to);
        self.sent_away += 1;
        let traveller = Traveller {
            conn,
            server,
            prepared,
            has_unnamed,
            spec,
            close_needed,
            place,
            renewals,
            errand,
        };
        self.driver.post(to, Mail::Server(Box::new(traveller)));
    }

    /// A server has come from another loop.
    pub(super) fn server_came(&mut self, traveller: Traveller<D::Socket>) {
        let pool = self.pool_for(&traveller.spec);
        self.receive(pool, traveller);
        // Whatever became of it: no other is on its way for those who wait.
        self.seek_if_waiting(pool);
    }

    fn receive(&mut self, pool: PoolId, traveller: Traveller<D::Socket>) {
        let Traveller { conn, mut server, prepared, spec, close_needed, place, renewals, .. } =
            traveller;
        let entry = self.pool(pool);
        entry.pool.arrives();
        if traveller.errand == Errand::Asked {
            entry.asked = entry.asked.saturating_sub(1);
        }
        if place != spec.place() || spec.servers_are_gone() {
            // A reload came while it was on its way.
            server.retire_at = Deadline::after(self.now, Some(0));
        }
        // RECONNECT or KILL may have looked at this loop before it came, and at the other after.
        let close_needed = close_needed || renewals != spec.renewals();
        server.asked = None;
        server.prepared = OnServer::unpack(prepared, &mut self.statements);
        if traveller.has_unnamed {
            // One that no client of this loop knows.
            let strange = self.statements.intern(b"", b"travelled", || TextEffects::NOTHING);
            self.statements.assign(&mut server.unnamed, Some(strange));
            self.statements.release(strange);
        }
        let retire_at = server.retire_at;
        let clock = LeaseClock::default();
        let entry = ServerConn { conn, server, pool, clock, close_needed, place, renewals };
        let id = self.servers.insert_with(|_| entry);
        let Some(entry) = self.servers.get_mut(id) else { return };
        if let Err(error) = entry.conn.join(&mut self.driver, Token::Server(id)) {
            tracing::warn!(%error, "cannot watch a server's socket");
            return self.drop_server(id);
        }
        if self.phase == Phase::Stopped {
            return self.say_goodbye(id);
        }
        self.check_at(retire_at);
        self.read_server(id);
        if self.servers.get(id).is_some_and(|entry| entry.server.user == User::Nobody) {
            let idle_since = match traveller.errand {
                Errand::Asked | Errand::Free => self.now,
                Errand::Idle(since) => since,
            };
            self.hand_out(id, idle_since);
        }
    }

    /// No dial will succeed: clients that wait on this loop are told so.
    pub(super) fn refuse_waiters(&mut self, spec: &Arc<PoolSpec>, report: &Report) {
        if let Some(&id) = self.pool_ids.get(&spec.id) {
            self.fail_waiters(id, report);
        }
    }

    /// The home of a pool wants an idle server of it closed, to make room for another pool.
    pub(super) fn close_for_home(&mut self, spec: Arc<PoolSpec>) {
        if let Some(&id) = self.pool_ids.get(&spec.id)
            && let Some((server, _)) = self.pool(id).pool.longest_idle()
        {
            self.say_goodbye(server);
        }
        self.driver.post(spec.home(), Mail::ClosedForHome(spec));
    }

    /// The server that was to make room is gone, or was in use by then.
    pub(super) fn closed_for_home(&mut self, spec: &Arc<PoolSpec>) {
        let id = self.pool_for(spec);
        self.pool(id).closing_abroad = false;
        self.dial_if_wanted(id);
    }

    /// Idle servers that have been on this loop for a while without use go home.
    pub(super) fn send_idle_home(&mut self, id: PoolId) {
        if self.is_home(id) {
            return;
        }
        let now = self.now;
        let entry = &self.pools[id.0 as usize];
        let (home, limit) = (entry.spec.home(), entry.pool.idle_limit(false));
        let (mut next, mut unused) = (Deadline::NEVER, Vec::new());
        for (server, since) in entry.pool.idle_servers() {
            let until = Deadline::after(since, limit);
            if until.reached(now) {
                unused.push((server, since));
            } else {
                next = next.min(until);
            }
        }
        self.check_at(next);
        for (server, since) in unused {
            self.pool(id).pool.remove_idle(server);
            self.send_away(server, home, Errand::Idle(since));
        }
    }
}
