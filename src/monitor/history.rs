//! Where the primary was when: how far behind a replica is in time.
//!
//! A standby's own clock of its last replayed transaction grows while the primary is idle; this does not.

use std::collections::VecDeque;

use crate::deadline::Tick;

/// Entries at most.
const CAPACITY: usize = 2_048;
/// Older entries stand as far apart as this part of their age.
const GRAIN: u64 = 64;
/// Nothing older is kept: who is further behind is at least so far.
const KEPT_MS: u64 = 3_600_000;

/// Positions of a primary with the moments at which it was first seen there.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// Both rise.
    entries: VecDeque<(Tick, u64)>,
}

impl History {
    /// The primary was seen here.
    pub(super) fn saw(&mut self, now: Tick, lsn: u64) {
        // After a crash without its last writes it may be further back.
        while self.entries.back().is_some_and(|(_, last)| *last > lsn) {
            self.entries.pop_back();
        }
        if self.entries.back().is_some_and(|(_, last)| *last == lsn) {
            return;
        }
        self.entries.push_back((now, lsn));
        if self.entries.len() > CAPACITY {
            self.thin_out(now);
        }
    }

    /// The last position.
    pub(super) fn head(&self) -> Option<u64> {
        self.entries.back().map(|(_, lsn)| *lsn)
    }

    /// For how long the primary has been seen ahead of `lsn`, to one interval between two looks.
    pub(super) fn lag_ms(&self, now: Tick, lsn: u64) -> Option<u64> {
        self.head()?;
        let ahead = self.entries.partition_point(|(_, seen)| *seen <= lsn);
        Some(self.entries.get(ahead).map_or(0, |(since, _)| now.since(*since)))
    }

    /// Merges neighbours that stand too near to each other for their age. Two become one that has the earlier time and
    /// the later position: a lag is never found to be less than it is.
    fn thin_out(&mut self, now: Tick) {
        let mut kept: VecDeque<(Tick, u64)> = VecDeque::with_capacity(CAPACITY);
        for (at, lsn) in self.entries.drain(..) {
            match kept.back_mut() {
                Some((since, last)) if at.since(*since) < now.since(*since) / GRAIN => *last = lsn,
                Some(_) | None => kept.push_back((at, lsn)),
            }
        }
        while kept.len() > CAPACITY / 2
            || kept.front().is_some_and(|(at, _)| now.since(*at) > KEPT_MS)
        {
            kept.pop_front();
        }
        self.entries = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_how_long_the_primary_has_been_ahead() {
        let mut history = History::default();
        assert_eq!(history.lag_ms(Tick(5), 0), None);
        for (at, lsn) in [(0, 10), (100, 10), (200, 20), (300, 30), (3_600_000, 30)] {
            history.saw(Tick(at), lsn);
        }
        let lag = |now, lsn| history.lag_ms(Tick(now), lsn).unwrap();
        assert_eq!(lag(400, 10), 200);
        assert_eq!(lag(400, 19), 200);
        assert_eq!(lag(400, 20), 100);
        assert_eq!(lag(9_000_000, 30), 0, "an idle primary");
        assert_eq!(lag(9_000_000, 31), 0);
        assert_eq!(lag(400, 5), 400);
    }

    #[test]
    fn a_primary_that_lost_its_last_writes_begins_there_again() {
        let mut history = History::default();
        for (at, lsn) in [(0, 10), (100, 20), (200, 30), (300, 15), (400, 16)] {
            history.saw(Tick(at), lsn);
        }
        assert_eq!(history.head(), Some(16));
        assert_eq!(history.lag_ms(Tick(500), 12), Some(200));
    }

    #[test]
    fn a_day_of_a_busy_primary_takes_little_and_no_lag_looks_smaller_than_it_is() {
        let mut history = History::default();
        let mut now = 0;
        for lsn in 0..2_000_000_u64 {
            now = lsn * 5;
            history.saw(Tick(now), lsn);
            assert!(history.entries.len() <= CAPACITY);
        }
        for behind in [0, 1, 7, 100, 1_000, 10_000, 100_000, 500_000] {
            let real = behind * 5;
            let found = history.lag_ms(Tick(now), 2_000_000 - 1 - behind).unwrap();
            // First seen ahead one look later.
            assert!(found + 5 >= real, "{behind}: {found}");
            assert!(found <= real + real / 32 + 5, "{behind}: {found}");
        }
    }
}
