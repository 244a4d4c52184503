//! Averages as PgBouncer takes them: from the start of the last whole period until now, so over
//! one to two periods.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::metrics::Counters;

/// Counts of each database at a moment.
type Totals = BTreeMap<String, Counters>;

/// The counts at the ends of the last two periods.
#[derive(Debug)]
pub struct Averages {
    marks: Mutex<[Mark; 2]>,
}

#[derive(Clone, Debug)]
struct Mark {
    at: Instant,
    totals: Totals,
}

/// What averages are taken from.
#[derive(Clone, Debug, Default)]
pub struct Since {
    /// The counts then.
    pub totals: Totals,
    /// How long ago that was, in seconds; never zero.
    pub seconds: f64,
}

impl Averages {
    /// From now on.
    pub fn start() -> Self {
        let mark = Mark { at: Instant::now(), totals: Totals::new() };
        Averages { marks: Mutex::new([mark.clone(), mark]) }
    }

    /// A period has ended with these counts.
    pub fn turn(&self, totals: Totals) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let [_, newer] = marks.clone();
        *marks = [newer, Mark { at: Instant::now(), totals }];
    }

    /// The start of the time over which averages are taken now.
    pub fn since(&self) -> Since {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let [older, _] = &*marks;
        Since { totals: older.totals.clone(), seconds: older.at.elapsed().as_secs_f64().max(0.001) }
    }
}
