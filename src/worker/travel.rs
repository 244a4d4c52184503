//! Servers that go from one loop to another.
//!
//! Each pool has a home: the loop that dials for it and decides how many servers it may have. A
//! server is on one loop at a time, or owned by the message that carries it. It travels
//!
//! - when it comes free and a client on another loop has waited longer, see [`Board::heir`];
//! - when it is idle and a client on another loop asks for one ([`Mail::Give`]);
//! - back to its home when it has been idle for [`IDLE_ABROAD_MS`], or when its home calls it in to
//!   make room for another pool.
//!
//! A client that waits is never forgotten: it has asked a loop that had idle servers, or its home
//! has looked at the pool since it came, or no slot of the pool is free; then whoever has the next
//! free server sees it on the board.
//!
//! [`Board::heir`]: crate::pool::Board::heir

use std::sync::Arc;

use super::conn::Conn;
use super::counting::LeaseClock;
use super::driver::{Driver, Token};
use super::mail::{Mail, Traveller};
use super::{Engine, Phase, ServerConn};
use crate::deadline::Deadline;
use crate::ids::{PoolId, ServerId};
use crate::pool::PoolSpec;
use crate::prepared::OnServer;
use crate::server::User;
use crate::wire::Report;

/// How long a server stays idle on a loop that is not its pool's home.
pub(super) const IDLE_ABROAD_MS: u64 = 5_000;

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
        if entry.pool.is_shared() && !entry.pool.is_paused() {
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

    /// Has a pool's home look whether to dial.
    pub(super) fn tell_home(&mut self, id: PoolId) {
        let entry = &self.pools[id.0 as usize];
        let limits = entry.pool.limits();
        let most = limits.size.saturating_add(limits.reserve);
        if entry.pool.waiting() > 0 && entry.pool.slots().total() < most {
            let (home, spec) = (entry.spec.home(), entry.spec.clone());
            self.driver.post(home, Mail::LookAt(spec));
        }
    }

    /// A slot of a pool has changed on a loop that is not its home.
    pub(super) fn slot_changed(&mut self, id: PoolId) {
        if self.is_home(id) {
            return self.dial_if_wanted(id);
        }
        let entry = &self.pools[id.0 as usize];
        let (home, spec) = (entry.spec.home(), entry.spec.clone());
        self.driver.post(home, Mail::LookAt(spec));
    }

    /// Another loop asks for an idle server.
    pub(super) fn asked_for_server(&mut self, spec: Arc<PoolSpec>, to: usize) {
        while let Some(&id) = self.pool_ids.get(&spec.id) {
            let Some((server, since)) = self.pool(id).pool.take_idle() else { break };
            if self.is_trusted(server, since) {
                return self.send_away(server, to, true);
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

    /// Hands a clean server that nobody uses to another loop. `asked`: that loop has asked for it.
    pub(super) fn send_away(&mut self, id: ServerId, to: usize, asked: bool) {
        let Some(mut entry) = self.servers.remove(id) else { return };
        self.sent_away += 1;
        debug_assert!(entry.server.ledger.is_settled() && entry.server.user == User::Nobody);
        self.statements.assign(&mut entry.server.unnamed, None);
        let prepared = entry.server.prepared.pack(&mut self.statements);
        let pool = &mut self.pools[entry.pool.0 as usize];
        let spec = pool.spec.clone();
        pool.pool.departs(to);
        match entry.conn.hand_over(&mut self.driver) {
            Ok(handed) => {
                let ServerConn { server, close_needed, place, .. } = entry;
                let traveller =
                    Traveller { handed, server, prepared, spec, close_needed, place, asked };
                self.driver.post(to, Mail::Server(Box::new(traveller)));
            }
            Err(error) => {
                tracing::error!(%error, "a server cannot be handed over; it is closed");
                pool.pool.arrives();
                pool.pool.became_zombie();
                pool.pool.zombie_gone();
                self.slot_changed(entry.pool);
            }
        }
    }

    /// A server has come from another loop.
    pub(super) fn server_came(&mut self, traveller: Traveller<D::Socket>) {
        let Traveller { handed, mut server, prepared, spec, close_needed, place, asked } =
            traveller;
        if place != spec.place() || spec.servers_are_gone() {
            // A reload came while it was on its way.
            server.retire_at = Deadline::after(self.now, Some(0));
        }
        let pool = self.pool_for(&spec);
        let entry = self.pool(pool);
        entry.pool.arrives();
        if asked {
            entry.asked = entry.asked.saturating_sub(1);
        }
        server.prepared = OnServer::unpack(prepared, &mut self.statements);
        let retire_at = server.retire_at;
        let conn = Conn::new(handed);
        let clock = LeaseClock::default();
        let entry = ServerConn { conn, server, pool, clock, close_needed, place };
        let id = self.servers.insert_with(|_| entry);
        let Some(entry) = self.servers.get_mut(id) else { return };
        if let Err(error) = entry.conn.register(&mut self.driver, Token::Server(id)) {
            tracing::warn!(%error, "cannot watch a server's socket");
            return self.drop_server(id);
        }
        if self.phase == Phase::Stopped {
            return self.say_goodbye(id);
        }
        self.check_at(retire_at);
        // What was read ahead is looked at first: no edge comes for it.
        self.read_server(id);
        if self.servers.get(id).is_some_and(|entry| entry.server.user == User::Nobody) {
            self.hand_out(id);
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
        let home = self.pools[id.0 as usize].spec.home();
        let mut next = Deadline::NEVER;
        let unused = self.pools[id.0 as usize].pool.idle_servers_where(|_, since| {
            let until = Deadline::after(since, Some(IDLE_ABROAD_MS));
            if !until.reached(now) {
                next = next.min(until);
            }
            until.reached(now)
        });
        self.check_at(next);
        for server in unused {
            self.pool(id).pool.remove_idle(server);
            self.send_away(server, home, false);
        }
    }
}
