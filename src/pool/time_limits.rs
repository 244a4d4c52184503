//! How long clients of a role may take: numbers that loops read at each transaction, kept apart from
//! the settings so that reading them costs next to nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::{ClockLimit, Effective, Timeout};

/// Every limit that there is, in the order in which they are kept.
const ALL: [ClockLimit; 4] = [
    ClockLimit::Statement,
    ClockLimit::Maintenance,
    ClockLimit::Transaction,
    ClockLimit::IdleInTransaction,
];

/// Limits in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// 0: none.
    each: [u32; 4],
    /// Of those that there are; 0: there is none.
    shortest: u32,
}

impl TimeLimits {
    /// Those of a role in a database.
    #[must_use]
    pub fn of(settings: &Effective) -> Self {
        let ms = |limit: ClockLimit| {
            let timeout: Timeout = match limit {
                ClockLimit::Statement => settings.statement_timeout,
                ClockLimit::Maintenance => settings.maintenance_timeout,
                ClockLimit::Transaction => settings.transaction_timeout,
                ClockLimit::IdleInTransaction => settings.idle_in_transaction_timeout,
            };
            timeout.as_millis().map_or(0, |ms| u32::try_from(ms).unwrap_or(u32::MAX))
        };
        TimeLimits::with(ALL.map(ms))
    }

    fn with(each: [u32; 4]) -> Self {
        let shortest = each.into_iter().filter(|ms| *ms != 0).min().unwrap_or(0);
        TimeLimits { each, shortest }
    }

    /// One of them, if it is there.
    #[must_use]
    pub fn get(&self, limit: ClockLimit) -> Option<u32> {
        let at = ALL.iter().position(|known| *known == limit)?;
        Some(self.each[at]).filter(|ms| *ms != 0)
    }

    /// Which one holds for statements, maintenance or not.
    #[must_use]
    pub fn of_statements(&self, maintenance: bool) -> (ClockLimit, Option<u32>) {
        let limit = if maintenance { ClockLimit::Maintenance } else { ClockLimit::Statement };
        (limit, self.get(limit))
    }

    /// From now on there is no such limit.
    pub fn lift(&mut self, limit: ClockLimit) {
        let mut each = self.each;
        for (place, known) in each.iter_mut().zip(ALL) {
            if known == limit {
                *place = 0;
            }
        }
        *self = TimeLimits::with(each);
    }

    /// The shortest of them: nothing is late before that.
    #[must_use]
    #[inline]
    pub fn shortest(&self) -> Option<u32> {
        (self.shortest != 0).then_some(self.shortest)
    }
}

/// The same where a reload changes them while loops read.
#[derive(Debug)]
pub(super) struct SharedTimeLimits {
    each: [AtomicU32; 4],
    shortest: AtomicU32,
}

impl SharedTimeLimits {
    pub(super) fn new(limits: TimeLimits) -> Self {
        let shared = SharedTimeLimits { each: Default::default(), shortest: AtomicU32::default() };
        shared.store(limits);
        shared
    }

    pub(super) fn store(&self, limits: TimeLimits) {
        for (place, limit) in self.each.iter().zip(limits.each) {
            place.store(limit, Ordering::Relaxed);
        }
        self.shortest.store(limits.shortest, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn load(&self) -> TimeLimits {
        let read = |place: &AtomicU32| place.load(Ordering::Relaxed);
        TimeLimits { each: self.each.each_ref().map(read), shortest: read(&self.shortest) }
    }
}
