//! Pools that share a limit (`max_server_connections`): who may dial next, whose idle server makes
//! room, and who gives one up.
//!
//! **Max-min fair**: a pool has as many servers as it can use, or no other pool has more than one
//! above it. Nothing is computed in advance. Two rules lead there, each looking only at how many
//! servers the pools hold now: room goes to the poorest pool that wants some, and a server that
//! comes free in a pool which holds at least two more than the poorest goes to that one.
//!
//! Where there are more pools than servers, a pool that holds none gets its turn by age.
//!
//! Deliberately absent: which server, and how it is closed. A server that is given up counts until
//! it is known to be gone at Postgres, so the limit holds there as well.

use super::Pool;
use crate::deadline::{Deadline, Tick};

#[cfg(test)]
mod tests;

/// An idle server of a pool that holds no more than the asking one is left alone for so long:
/// its clients come back between two transactions, and closing it would only move the wait.
pub const IDLE_GRACE_MS: u64 = 250;
/// Among pools of which not each can have a server, one keeps it for so long.
pub const TURN_MS: u64 = 250;

/// How one pool stands, as far as the others must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Servers that it has or is dialling.
    pub held: u32,
    /// Servers that it gave up and that are not known to be gone.
    pub zombie: u32,
    /// Dials that it would start for clients that wait.
    pub needed: u32,
    /// Dials that it would start to keep servers warm.
    pub warm: u32,
    /// What it keeps warm.
    pub min: u32,
    /// Since when its longest idle server has been idle.
    pub idle_since: Option<Tick>,
    /// Since when its longest waiting client has waited.
    pub waiting_since: Option<Tick>,
}

impl Standing {
    /// How a pool stands now.
    #[must_use]
    pub fn of(pool: &Pool, now: Tick) -> Self {
        let wants = pool.wants(now);
        Standing {
            held: pool.slots().held(),
            zombie: pool.slots().zombie,
            needed: wants.needed,
            warm: wants.warm,
            min: pool.limits().min,
            idle_since: pool.idle_since(),
            waiting_since: pool.waiting_since(),
        }
    }
}

impl Standing {
    /// The same while nothing may be dialled for it.
    #[must_use]
    pub fn without_wants(self) -> Self {
        Standing { needed: 0, warm: 0, ..self }
    }
}

/// What is to be done next. Pools are named by their place in the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// This pool dials one server.
    Dial(usize),
    /// This pool closes the server that has been idle for longest.
    CloseIdle(usize),
    /// Nothing now. `starved`: a pool wants more than there is room for, or there are more than a
    /// new limit allows; `again`: time alone may
    /// change that then.
    Rest {
        /// Servers that come free are to be looked at.
        starved: bool,
        /// When to ask again.
        again: Deadline,
    },
}

/// What is to be done next under `limit`. Called until it rests.
#[must_use]
pub fn next_move(limit: u32, pools: &[Standing], now: Tick) -> Move {
    let used: u32 = pools.iter().map(|pool| pool.held + pool.zombie).sum();
    let held: u32 = pools.iter().map(|pool| pool.held).sum();
    if held > limit
        && let Some(richest) = richest_idle(pools, |_, pool| pool.idle_since.is_some())
    {
        // A reload made the limit smaller.
        return Move::CloseIdle(richest);
    }
    if used < limit {
        let next = poorest(pools, |pool| pool.needed).or_else(|| poorest(pools, |pool| pool.warm));
        if let Some(next) = next {
            return Move::Dial(next);
        }
    }
    let Some(starved) = unserved(limit, pools) else {
        // Those that are too many are closed as they come free.
        return Move::Rest { starved: held > limit, again: Deadline::NEVER };
    };
    let mut again = Deadline::NEVER;
    let victim = richest_idle(pools, |n, pool| {
        let Some(since) = pool.idle_since.filter(|_| n != starved.pool) else { return false };
        if pool.held >= starved.held + 2 {
            return true;
        }
        let empty_handed = starved.held == 0;
        if !empty_handed && pool.held <= pool.min {
            return false;
        }
        let mut ripe = Deadline::after(since, Some(IDLE_GRACE_MS));
        if let Some(waiting) = pools[starved.pool].waiting_since.filter(|_| empty_handed) {
            ripe = ripe.min(Deadline::after(waiting, Some(TURN_MS)));
        }
        if !ripe.reached(now) {
            again = again.min(ripe);
        }
        ripe.reached(now)
    });
    match victim {
        Some(victim) => Move::CloseIdle(victim),
        None => Move::Rest { starved: true, again },
    }
}

/// Whether a server that has just come free in pool `mine` is to be closed so that another pool
/// can dial.
#[must_use]
pub fn must_yield(limit: u32, pools: &[Standing], mine: usize, now: Tick) -> bool {
    let Some(own) = pools.get(mine) else { return false };
    let held: u32 = pools.iter().map(|pool| pool.held).sum();
    if held > limit && pools.iter().all(|pool| pool.held <= own.held) {
        return true;
    }
    let Some(starved) = unserved(limit, pools).filter(|starved| starved.pool != mine) else {
        return false;
    };
    if own.held >= starved.held + 2 {
        return true;
    }
    // It holds nothing and there are more pools than servers: by age, each in its turn.
    let Some(since) = pools[starved.pool].waiting_since.filter(|_| starved.held == 0) else {
        return false;
    };
    let older = own.waiting_since.is_none_or(|own| since < own);
    older && now.since(since) >= TURN_MS
}

/// A pool that gets nothing of the room there is, or that is coming.
#[derive(Clone, Copy, Debug)]
struct Starved {
    pool: usize,
    /// What it holds, its share of the room that is coming included.
    held: u32,
}

/// The poorest pool that still wants a server when the free room, and the room that zombies leave
/// behind, has been given out.
fn unserved(limit: u32, pools: &[Standing]) -> Option<Starved> {
    let needed: u32 = pools.iter().map(|pool| pool.needed).sum();
    let held: u32 = pools.iter().map(|pool| pool.held).sum();
    let room = limit.saturating_sub(held);
    if needed <= room {
        return None;
    }
    if room == 0 {
        return poorest(pools, |pool| pool.needed)
            .map(|pool| Starved { pool, held: pools[pool].held });
    }
    let mut left = pools.to_vec();
    for _ in 0..room {
        let next = poorest(&left, |pool| pool.needed)?;
        left[next].held += 1;
        left[next].needed -= 1;
    }
    let pool = poorest(&left, |pool| pool.needed)?;
    Some(Starved { pool, held: left[pool].held })
}

/// Among the pools that want something, the one that holds least; of several, the one whose
/// client has waited longest.
fn poorest(pools: &[Standing], wants: impl Fn(&Standing) -> u32) -> Option<usize> {
    let hungry = pools.iter().enumerate().filter(|(_, pool)| wants(pool) > 0);
    hungry
        .min_by_key(|(_, pool)| (pool.held, pool.waiting_since.map_or(u64::MAX, |since| since.0)))
        .map(|(n, _)| n)
}

/// Among the pools that `may` picks, the one that holds most; of several, the one whose server has
/// been idle for longest.
fn richest_idle(
    pools: &[Standing],
    mut may: impl FnMut(usize, &Standing) -> bool,
) -> Option<usize> {
    let mut idle: Option<(usize, &Standing)> = None;
    for (n, pool) in pools.iter().enumerate() {
        let better = |best: &Standing| (pool.held, best.idle_since) > (best.held, pool.idle_since);
        if may(n, pool) && idle.is_none_or(|(_, best)| better(best)) {
            idle = Some((n, pool));
        }
    }
    idle.map(|(n, _)| n)
}
