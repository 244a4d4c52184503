//! How long clients of a role may take: numbers that loops read at each transaction, kept apart from
//! the settings so that reading them costs next to nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::{ClockLimit, Effective, Timeout};

/// Limits in milliseconds; `None`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// For each statement.
    pub statement: Option<u32>,
    /// For statements of maintenance, in the place of `statement`.
    pub maintenance: Option<u32>,
    /// From the first statement of a transaction to its end.
    pub transaction: Option<u32>,
    /// For the silence of a client in an open transaction.
    pub idle_in_transaction: Option<u32>,
}

impl TimeLimits {
    /// Those of a role in a database.
    #[must_use]
    pub fn of(settings: &Effective) -> Self {
        let ms = |timeout: Timeout| timeout.as_millis().and_then(|ms| u32::try_from(ms).ok());
        TimeLimits {
            statement: ms(settings.statement_timeout),
            maintenance: ms(settings.maintenance_timeout),
            transaction: ms(settings.transaction_timeout),
            idle_in_transaction: ms(settings.idle_in_transaction_timeout),
        }
    }

    /// The limit for statements, maintenance or not, and which one that is.
    #[must_use]
    pub fn of_statements(&self, maintenance: bool) -> (ClockLimit, Option<u32>) {
        if maintenance {
            (ClockLimit::Maintenance, self.maintenance)
        } else {
            (ClockLimit::Statement, self.statement)
        }
    }

    /// From now on there is no such limit.
    pub fn lift(&mut self, limit: ClockLimit) {
        match limit {
            ClockLimit::Statement => self.statement = None,
            ClockLimit::Maintenance => self.maintenance = None,
            ClockLimit::Transaction => self.transaction = None,
            ClockLimit::IdleInTransaction => self.idle_in_transaction = None,
        }
    }

    /// The shortest of them: nothing is late before that.
    #[must_use]
    #[inline]
    pub fn shortest(&self) -> Option<u32> {
        let all = [self.statement, self.maintenance, self.transaction, self.idle_in_transaction];
        all.into_iter().flatten().min()
    }
}

/// The same where a reload changes them while loops read.
#[derive(Debug)]
pub(super) struct SharedTimeLimits {
    /// 0: none.
    each: [AtomicU32; 4],
}

impl SharedTimeLimits {
    pub(super) fn new(limits: TimeLimits) -> Self {
        let shared = SharedTimeLimits { each: Default::default() };
        shared.store(limits);
        shared
    }

    pub(super) fn store(&self, limits: TimeLimits) {
        let TimeLimits { statement, maintenance, transaction, idle_in_transaction } = limits;
        let all = [statement, maintenance, transaction, idle_in_transaction];
        for (place, limit) in self.each.iter().zip(all) {
            place.store(limit.unwrap_or(0), Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn load(&self) -> TimeLimits {
        let [statement, maintenance, transaction, idle_in_transaction] =
            self.each.each_ref().map(|place| match place.load(Ordering::Relaxed) {
                0 => None,
                limit => Some(limit),
            });
        TimeLimits { statement, maintenance, transaction, idle_in_transaction }
    }
}
