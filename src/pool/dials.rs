//! How many servers a pool would dial now: for clients that wait, from the reserve, and to keep
//! some warm; with pauses while dialling fails.

use super::Pool;
use crate::deadline::{Deadline, Tick};
use crate::wire::Report;

/// First pause after a failed dial.
pub(super) const FIRST_PAUSE_MS: u64 = 50;
/// Longest pause between two failed dials while clients wait.
pub(super) const LONGEST_PAUSE_MS: u64 = 1_000;
/// Longest pause between two failed dials that nobody waits for.
const LONGEST_IDLE_PAUSE_MS: u64 = 30_000;
/// Dials at a time that nobody waits for.
const WARMING_AT_A_TIME: u32 = 2;

/// Whether dialling is worth trying.
#[derive(Clone, Debug)]
pub(super) enum Health {
    /// The last dial succeeded, or none has been tried.
    Good,
    /// The last dial failed: one login at a time, with pauses, until one succeeds.
    Failing {
        cause: Report,
        failed_at: Tick,
        pause_ms: u64,
        /// 0 to 255: spreads the next tries of many pools over a quarter of the pause.
        jitter: u8,
    },
}

/// How many dials a pool would start now if nothing but its own limits counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// For clients that wait.
    pub needed: u32,
    /// So that `min` are open.
    pub warm: u32,
}

impl Wants {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u32 {
        self.needed + self.warm
    }
}

impl Pool {
    /// Why the last dial failed, while none has succeeded since.
    #[must_use]
    pub fn failure(&self) -> Option<&Report> {
        match &self.health {
            Health::Good => None,
            Health::Failing { cause, .. } => Some(cause),
        }
    }

    /// What logs in is known: `min` servers are kept open from now on.
    pub fn allow_warming(&mut self) {
        self.may_warm = true;
    }

    /// Nobody uses the pool any more: nothing is kept open for its own sake.
    pub fn forbid_warming(&mut self) {
        self.may_warm = false;
    }

    /// How many dials it would start now.
    #[must_use]
    pub fn wants(&self, now: Tick) -> Wants {
        if self.gives_nothing() {
            return Wants::default();
        }
        let limits = &self.limits;
        let slots = self.slots();
        let room = limits.size.saturating_sub(slots.total());
        let waiting = u32::try_from(self.waiting_anywhere()).unwrap_or(u32::MAX);
        let coming = if self.shared { self.board.to_be_had() } else { 0 };
        let missing = waiting.saturating_sub(slots.connecting).saturating_sub(coming);
        let mut needed = missing.min(room);
        if missing > needed && limits.reserve > 0 {
            let reserve_room = limits
                .size
                .saturating_add(limits.reserve)
                .saturating_sub(slots.total().saturating_add(needed));
            let served = slots.connecting.saturating_add(needed);
            let overdue = self.overdue(now).saturating_sub(served);
            needed += overdue.min(reserve_room).min(missing - needed);
        }
        let warm = self.missing_warm().saturating_sub(needed).min(room.saturating_sub(needed));
        let wants = Wants {
            needed,
            warm: warm.min(WARMING_AT_A_TIME.saturating_sub(slots.connecting + needed)),
        };
        match self.next_try() {
            None => wants,
            Some(next_try) if slots.connecting == 0 && now >= next_try => {
                Wants { needed: wants.needed.min(1), warm: wants.warm.min(1 - wants.needed.min(1)) }
            }
            Some(_) => Wants::default(),
        }
    }

    /// Clients for which the reserve is meant; no more than the reserve can serve are counted.
    fn overdue(&self, now: Tick) -> u32 {
        let reserve = self.limits.reserve as usize;
        let since = |waiter: &&super::Waiter| self.reserve_from(waiter.since).reached(now);
        let live = self.waiters.iter().take(reserve + self.stale_waiters).take_while(since);
        let own = live.count().min(self.waiting());
        // Of other loops only the fronts of the queues are known: one at a time.
        let overdue = |since: &Tick| self.reserve_from(*since).reached(now);
        let others = self.fronts_elsewhere().filter(overdue).count();
        u32::try_from(own + others).unwrap_or(u32::MAX)
    }

    /// Since when the clients at the fronts of the other loops' queues have waited.
    fn fronts_elsewhere(&self) -> impl Iterator<Item = Tick> + '_ {
        self.shared.then(|| self.board.fronts_beside(self.seat)).into_iter().flatten()
    }

    /// When a client that waits since then may use the reserve.
    fn reserve_from(&self, since: Tick) -> Deadline {
        Deadline::after(since, Some(self.limits.reserve_wait_ms.unwrap_or(0)))
    }

    fn missing_warm(&self) -> u32 {
        let min = if self.may_warm { self.limits.min.min(self.limits.size) } else { 0 };
        min.saturating_sub(self.slots().held())
    }

    /// When dialling may be tried again; `None`: at any time.
    fn next_try(&self) -> Option<Tick> {
        match &self.health {
            Health::Good => None,
            Health::Failing { failed_at, pause_ms, jitter, .. } => {
                let longest = if self.waiting_anywhere() > 0 {
                    LONGEST_PAUSE_MS
                } else {
                    LONGEST_IDLE_PAUSE_MS
                };
                let pause_ms = (*pause_ms).min(longest);
                Some(failed_at.plus(pause_ms + pause_ms * u64::from(*jitter) / 1024))
            }
        }
    }

    /// When the pool may want a dial only because time has passed.
    #[must_use]
    pub fn next_dial(&self, now: Tick) -> Option<Tick> {
        if self.gives_nothing() {
            return None;
        }
        let waits = self.waiting_anywhere() > 0;
        if let Some(next_try) = self.next_try() {
            let wanted = waits || self.missing_warm() > 0;
            return (wanted && self.slots().connecting == 0).then_some(next_try);
        }
        if !waits || self.limits.reserve == 0 {
            return None;
        }
        // The first client whose turn for the reserve has not come yet. Those before it are
        // served, or the reserve is used up.
        let most = self.limits.reserve as usize + self.stale_waiters + 1;
        let own = self.waiters.iter().take(most).map(|waiter| waiter.since);
        let turns = own.chain(self.fronts_elsewhere()).map(|since| self.reserve_from(since));
        turns.filter(|turn| !turn.reached(now)).min().and_then(Deadline::tick)
    }

    /// Counts a dial that is being started.
    pub fn dial_started(&mut self) {
        self.board.dial_started();
    }

    /// A dial succeeded.
    pub fn dial_succeeded(&mut self) {
        self.board.dial_succeeded(self.seat);
        self.health = Health::Good;
        self.may_warm = true;
    }

    /// A dial failed. `jitter` is 0 to 255 and spreads the next tries of many pools.
    pub fn dial_failed(&mut self, cause: Report, now: Tick, jitter: u8) {
        self.board.dial_failed();
        let pause_ms = match (&self.health, self.next_try()) {
            (Health::Failing { pause_ms, .. }, Some(next_try)) if now < next_try => {
                // Dials that were under way together fail together: one failure, one step.
                *pause_ms
            }
            (Health::Failing { pause_ms, .. }, _) => (pause_ms * 2).min(LONGEST_IDLE_PAUSE_MS),
            (Health::Good, _) => FIRST_PAUSE_MS,
        };
        self.health = Health::Failing { cause, failed_at: now, pause_ms, jitter };
    }
}
