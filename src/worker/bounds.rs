//! Bounds: how many servers pools open, what makes room for whom, and servers that were given up
//! but may still be there.
//!
//! The core decides (`pool`, `pool::share`); this carries it out.

use super::conn::{Conn, Scratch};
use super::driver::Driver;
use super::mail::{Mail, Order};
use super::{Engine, Phase, PoolEntry, Todo};
use crate::cancel::CancelTarget;
use crate::deadline::{Deadline, Tick};
use crate::ids::{PoolId, ServerId};
use crate::pool::PoolSpec;
use crate::pool::share::{self, Move, Standing};
use std::sync::Arc;

/// How long a server that was told to end while it ran nothing may take to be gone.
const GOODBYE_LIMIT_MS: u64 = 10_000;
/// The same for one that was given up in the middle of something.
const ABANDONED_LIMIT_MS: u64 = 60_000;
/// How soon Postgres is asked again about a process that is still there, or that it could not be
/// asked about.
const ASK_AGAIN_MS: u64 = 10_000;

/// How often the home of pools looks who of them is to give a server up on another loop.
const LOOK_AT_SHARES_MS: u64 = 50;

/// How long an unused pool is remembered where idle servers are kept for ever.
const FORGET_AFTER_MS: u64 = 3_600_000;
/// How soon it is looked again whether the last connection of an unused pool is gone.
const FORGET_AGAIN_MS: u64 = 100;

/// A server's connections under one `max_server_connections`.
#[derive(Debug)]
pub(super) struct Node {
    key: String,
    /// 0: none.
    limit: u32,
    pools: Vec<PoolId>,
    /// A pool waits for room. Never false while one does.
    starved: bool,
}

/// A connection that pgweir has given up, until its end has been seen.
pub(super) struct Zombie<S> {
    conn: Conn<S>,
    pool: PoolId,
    /// Its process, which Postgres can be asked about.
    target: Option<Arc<CancelTarget>>,
    until: Deadline,
}

impl<S> Zombie<S> {
    /// Whose it was.
    pub(super) fn pool(&self) -> PoolId {
        self.pool
    }
}

impl<D: Driver> Engine<D> {
    /// The node of a pool that is being made.
    pub(super) fn join_node(&mut self, key: String, pool: PoolId) -> usize {
        let known = self.nodes.iter().find(|(_, node)| node.key == key).map(|(node, _)| node);
        let node = known.unwrap_or_else(|| {
            let pools = Vec::new();
            self.nodes.insert(Node { key, limit: 0, pools, starved: false })
        });
        self.nodes[node].pools.push(pool);
        node
    }

    /// A pool's servers are elsewhere now, under another limit.
    pub(super) fn change_node(&mut self, id: PoolId) {
        let entry = &self.pools[id.0 as usize];
        let (before, key) = (entry.node, entry.spec.node_key());
        if self.nodes[before].key == key {
            return;
        }
        self.leave_node(before, id);
        let node = self.join_node(key, id);
        self.pool(id).node = node;
        self.pool(id).pool.board().show_room(false, false);
    }

    fn leave_node(&mut self, node: usize, pool: PoolId) {
        let pools = &mut self.nodes[node].pools;
        pools.retain(|&other| other != pool);
        if pools.is_empty() {
            self.nodes.remove(node);
        } else {
            self.refresh_node(node);
        }
    }

    /// Reads a node's limit anew from its pools: aliases of a database may name their own; the
    /// largest counts.
    pub(super) fn refresh_node(&mut self, node: usize) {
        let pools = &self.pools;
        let limits =
            self.nodes[node].pools.iter().map(|pool| pools[pool.0 as usize].spec.node_limit());
        let limit = limits.max().unwrap_or(0);
        self.nodes[node].limit = limit;
        if limit == 0 && self.nodes[node].starved {
            // Nobody is in anybody's way any more.
            self.nodes[node].starved = false;
            for pool in &self.nodes[node].pools {
                self.pools[pool.0 as usize].pool.board().show_room(false, false);
            }
        }
    }

    /// Has a pool keep its servers warm before its first client comes.
    pub(super) fn open_pool(&mut self, spec: &Arc<PoolSpec>) {
        let id = self.pool_for(&spec.servers());
        self.pool(id).pool.allow_warming();
        self.dial_if_wanted(id);
    }

    /// What a pool and others may have together; 0: no limit.
    pub(super) fn shared_limit(&self, id: PoolId) -> u32 {
        self.nodes[self.pools[id.0 as usize].node].limit
    }

    /// Takes over what the settings of all pools say now.
    pub(super) fn refresh_limits(&mut self) {
        let clients = &self.clients;
        let patience = |client| clients.get(client).and_then(|client| client.spec.wait_ms());
        for entry in self.pools.iter_mut().map(|(_, entry)| entry) {
            entry.pool.set_limits(entry.spec.limits());
            entry.pool.refresh_patience(patience);
        }
        let nodes: Vec<usize> = self.nodes.iter().map(|(node, _)| node).collect();
        for node in nodes {
            self.refresh_node(node);
        }
        // Everything that time decides may be due at another time now.
        self.check_at(Deadline::after(self.now, Some(0)));
    }

    /// Orders the dials that a pool needs, as far as its node has room.
    pub(super) fn dial_if_wanted(&mut self, id: PoolId) {
        let now = self.now;
        if self.phase == Phase::Stopped || self.is_being_vacated(id) {
            return;
        }
        if !self.is_home(id) {
            return self.tell_home(id);
        }
        let entry = &self.pools[id.0 as usize];
        if let Some(next) = entry.pool.next_dial(now) {
            self.check_at(Deadline::after(next, Some(0)));
        }
        let entry = &self.pools[id.0 as usize];
        let (node, wants) = (entry.node, entry.pool.wants(now));
        if self.nodes[node].limit > 0 {
            return self.balance(node);
        }
        for _ in 0..wants.total() {
            self.dial(id);
        }
    }

    fn dial(&mut self, id: PoolId) {
        let entry = &mut self.pools[id.0 as usize];
        entry.pool.dial_started();
        self.orders.push(Order::Dial(entry.spec.clone()));
    }

    /// Gives a node's room to those who are to have it, and makes room where that is fair.
    fn balance(&mut self, node: usize) {
        loop {
            let standings = self.standings(node);
            let next = share::next_move(self.nodes[node].limit, &standings, self.now);
            self.standings = standings;
            match next {
                Move::Dial(n) => self.dial(self.nodes[node].pools[n]),
                Move::CloseIdle(n) => {
                    let pool = self.nodes[node].pools[n];
                    self.nodes[node].starved = true;
                    if !self.close_longest_idle(pool) {
                        return;
                    }
                }
                Move::Rest { starved, again } => {
                    self.nodes[node].starved = starved;
                    self.call_in_servers(node);
                    return self.check_at(again);
                }
            }
        }
    }

    /// Closes the server of a pool that has been idle for longest, on whatever loop it is. Whether
    /// there was one.
    fn close_longest_idle(&mut self, id: PoolId) -> bool {
        let seat = self.seat;
        let entry = self.pool(id);
        let abroad = entry.pool.is_shared().then(|| entry.pool.board().longest_idle()).flatten();
        if let Some((other, _)) = abroad.filter(|(other, _)| *other != seat) {
            entry.closing_abroad = true;
            let spec = entry.spec.clone();
            self.driver.post(other, Mail::CloseForHome(spec));
            return true;
        }
        let Some((server, _)) = entry.pool.longest_idle() else { return false };
        self.say_goodbye(server);
        true
    }

    /// Has servers of pools that must give some up brought home when they come free on other loops.
    fn call_in_servers(&mut self, node: usize) {
        let shared = |id: &PoolId| self.pools[id.0 as usize].pool.is_shared();
        if !self.nodes[node].pools.iter().any(shared) {
            return;
        }
        let standings = self.standings(node);
        let Node { limit, starved, ref pools, .. } = self.nodes[node];
        let again = starved.then_some(LOOK_AT_SHARES_MS);
        for (n, pool) in pools.iter().enumerate() {
            let yields = starved && share::must_yield(limit, &standings, n, self.now);
            self.pools[pool.0 as usize].pool.board().show_room(starved, yields);
        }
        self.standings = standings;
        // Whose turn it is depends on the time as well.
        self.check_at(Deadline::after(self.now, again));
    }

    /// How the pools of a node stand; in a buffer that is to be put back.
    fn standings(&mut self, node: usize) -> Vec<Standing> {
        let mut standings = std::mem::take(&mut self.standings);
        standings.clear();
        let pools = &self.pools;
        for &id in &self.nodes[node].pools {
            let entry = &pools[id.0 as usize];
            let mut standing = Standing::of(&entry.pool, self.now);
            if entry.closing_abroad {
                // As good as done.
                standing.idle_since = None;
                standing.held = standing.held.saturating_sub(1);
                standing.zombie += 1;
            }
            let dials = !self.is_being_vacated(id) && self.is_home(id);
            standings.push(if dials { standing } else { standing.without_wants() });
        }
        standings
    }

    /// Whether a server that has come free is to be closed: its pool has too many, or another one
    /// is to have its place.
    #[inline]
    pub(super) fn must_give_up(&mut self, id: PoolId) -> bool {
        let entry = &self.pools[id.0 as usize];
        // On other loops than its home's a surplus is no matter: see `goes_home`.
        let surplus = entry.pool.surplus() > 0 && self.is_home(id);
        if surplus || entry.pool.gives_nothing() || self.is_being_vacated(id) {
            return true;
        }
        self.nodes[entry.node].starved && self.must_yield(id)
    }

    fn must_yield(&mut self, id: PoolId) -> bool {
        let node = self.pools[id.0 as usize].node;
        let mine = self.nodes[node].pools.iter().position(|&pool| pool == id);
        let standings = self.standings(node);
        let limit = self.nodes[node].limit;
        let yields = mine.is_some_and(|mine| share::must_yield(limit, &standings, mine, self.now));
        self.standings = standings;
        yields
    }

    /// A server has become idle: another pool may want its place.
    #[inline]
    pub(super) fn make_room_if_wanted(&mut self, id: PoolId) {
        let entry = &self.pools[id.0 as usize];
        let node = entry.node;
        if self.nodes[node].starved {
            self.balance(node);
        } else if entry.pool.is_shared() && !self.is_home(id) && entry.pool.board().is_starved() {
            self.slot_changed(id);
        }
    }

    /// Idle servers that are too old, or that nobody has needed for too long, are closed.
    pub(super) fn check_idle_servers(&mut self, id: PoolId) {
        let now = self.now;
        let home = self.is_home(id);
        let servers = &self.servers;
        let PoolEntry { pool, .. } = &mut self.pools[id.0 as usize];
        let idle_ms = pool.limits().idle_ms;
        // Elsewhere they go home before it comes to that.
        let (mut surplus, mut beyond_min) =
            if home { (pool.surplus(), pool.beyond_min()) } else { (0, 0) };
        let mut next = Deadline::NEVER;
        let expired = pool.idle_servers_where(|server, since: Tick| {
            let unused = Deadline::after(since, idle_ms);
            let retire = servers.get(server).map_or(Deadline::NEVER, |s| s.server.retire_at);
            let unused_and_spare = beyond_min > 0 && unused.reached(now);
            let close = surplus > 0 || retire.reached(now) || unused_and_spare;
            if close {
                surplus = surplus.saturating_sub(1);
                beyond_min = beyond_min.saturating_sub(1);
            } else {
                let unused = if unused.reached(now) { Deadline::NEVER } else { unused };
                next = next.min(retire).min(unused);
            }
            close
        });
        self.check_at(next);
        for server in expired {
            self.pool(id).pool.remove_idle(server);
            self.say_goodbye(server);
        }
    }

    /// A pool of a database that is not configured by name is forgotten when it has had no client
    /// for as long as an idle server is kept.
    pub(super) fn forget_if_unused(&mut self, id: PoolId) {
        let entry = &self.pools[id.0 as usize];
        if entry.clients > 0
            || entry.asked > 0
            || !entry.spec.is_evictable()
            || self.phase == Phase::Stopped
        {
            return;
        }
        let limit = entry.pool.limits().idle_ms.unwrap_or(FORGET_AFTER_MS);
        if entry.pool.board().clients() > 0 {
            // On other loops.
            let now = self.now;
            self.pool(id).unused_since = now;
            return self.check_at(Deadline::after(now, Some(limit)));
        }
        let until = Deadline::after(entry.unused_since, Some(limit));
        if !until.reached(self.now) {
            return self.check_at(until);
        }
        let entry = &mut self.pools[id.0 as usize];
        entry.pool.forbid_warming();
        for server in entry.pool.idle_servers_where(|_, _| true) {
            self.say_goodbye(server);
        }
        let entry = &self.pools[id.0 as usize];
        let left = if self.is_home(id) {
            entry.pool.slots().total() > 0
        } else {
            self.servers.iter().any(|(_, entry)| entry.pool == id)
                || self.zombies.values().any(|zombie| zombie.pool == id)
        };
        if left {
            // A dial is under way, or a zombie, whose end comes back here.
            return self.check_at(Deadline::after(self.now, Some(FORGET_AGAIN_MS)));
        }
        let entry = self.pools.remove(id.0 as usize);
        self.pool_ids.remove(&entry.spec.id);
        self.leave_node(entry.node, id);
        // The hall lets go of it when the last loop has.
        self.orders.push(Order::Unused(entry.spec));
    }

    /// Ends a connection and keeps its slot until the server's own end has been seen: only then
    /// is its place at Postgres free.
    pub(super) fn bury(
        &mut self,
        id: ServerId,
        mut conn: Conn<D::Socket>,
        pool: PoolId,
        (at_rest, target): (bool, Option<Arc<CancelTarget>>),
    ) {
        conn.end(&mut self.driver);
        self.pools[pool.0 as usize].pool.became_zombie();
        let limit = if at_rest { GOODBYE_LIMIT_MS } else { ABANDONED_LIMIT_MS };
        let until = Deadline::after(self.now, Some(limit));
        self.check_at(until);
        self.zombies.insert(id, Zombie { conn, pool, target, until });
        // Its end may be there already. Looked at later: whoever closes a server goes on with its
        // pool, and what follows from a free place must not come between.
        self.todo.push_back(Todo::Server(id));
    }

    /// Looks whether a connection that was given up has come to its end.
    pub(super) fn look_at_zombie(&mut self, id: ServerId) {
        let Some(zombie) = self.zombies.get_mut(&id) else { return };
        let mut scratch = self.spare.pop().unwrap_or_else(Scratch::with_buffers);
        let ended = zombie.conn.has_ended(&mut self.driver, &mut scratch);
        self.spare.push(scratch);
        match ended {
            Some(true) => self.zombie_gone(id),
            Some(false) => {}
            None => self.todo.push_back(Todo::Server(id)),
        }
    }

    fn zombie_gone(&mut self, id: ServerId) {
        let Some(Zombie { conn, pool, .. }) = self.zombies.remove(&id) else { return };
        conn.close(&mut self.driver);
        self.pools[pool.0 as usize].pool.zombie_gone();
        self.slot_changed(pool);
        self.wake_vacating();
        self.forget_if_unused(pool);
    }

    /// Postgres has said whether the process of a connection whose end does not come is still there.
    pub(super) fn zombie_seen(&mut self, id: ServerId, is_there: bool) {
        if is_there {
            tracing::warn!("a server that was given up is still there, and counted");
        } else {
            self.zombie_gone(id);
        }
    }

    /// Connections whose end does not come: Postgres is asked whether their processes are gone.
    pub(super) fn check_zombies(&mut self) {
        let now = self.now;
        let late: Vec<ServerId> = self
            .zombies
            .iter()
            .filter(|(_, zombie)| zombie.until.reached(now))
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            let again = Deadline::after(now, Some(ASK_AGAIN_MS));
            let Some(zombie) = self.zombies.get_mut(&id) else { continue };
            let Some(target) = zombie.target.clone() else {
                tracing::warn!("a server that was given up does not end; it is no longer counted");
                self.zombie_gone(id);
                continue;
            };
            zombie.until = again;
            let pool = self.pools[zombie.pool.0 as usize].spec.clone();
            self.orders.push(Order::IsThere { server: id, pool, target });
        }
        if let Some(next) = self.zombies.values().map(|zombie| zombie.until).min() {
            self.check_at(next);
        }
    }
}
