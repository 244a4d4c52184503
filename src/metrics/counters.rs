//! Counts of one pool on one loop: they only ever grow.

/// Upper bounds of the histograms' buckets, in microseconds; one more bucket takes the rest.
pub const LADDER_US: [u64; 12] = [
    100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000,
    30_000_000,
];

/// How many durations fell between which bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// For each bound of [`LADDER_US`] those above the bound before it; then those above the last.
    pub buckets: [u64; LADDER_US.len() + 1],
    /// All durations together, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// Counts one duration.
    #[inline]
    pub fn observe(&mut self, duration_us: u64) {
        let bucket = LADDER_US.partition_point(|&bound| bound < duration_us);
        self.buckets[bucket] += 1;
        self.sum_us += duration_us;
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_us += other.sum_us;
    }
}

/// The first two characters of an SQLSTATE.
pub type SqlClass = [u8; 2];

/// Errors by class. Few classes occur, so a list is searched from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorClasses(Vec<(SqlClass, u64)>);

impl ErrorClasses {
    /// Counts an error with this SQLSTATE. Allocates when a class occurs for the first time.
    pub fn count(&mut self, sqlstate: &[u8]) {
        let class = match sqlstate {
            [a, b, ..] if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() => [*a, *b],
            _ => *b"XX",
        };
        self.add_to(class, 1);
    }

    fn add_to(&mut self, class: SqlClass, count: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == class) {
            Some((_, errors)) => *errors += count,
            None => self.0.push((class, count)),
        }
    }

    /// Every class with its count, sorted.
    #[must_use]
    pub fn sorted(&self) -> Vec<(SqlClass, u64)> {
        let mut all = self.0.clone();
        all.sort_unstable();
        all
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &ErrorClasses) {
        for &(class, count) in &other.0 {
            self.add_to(class, count);
        }
    }
}

/// How often each of up to 32 reasons occurred, by the bit that stands for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonCounts([u64; 32]);

impl ReasonCounts {
    /// Counts each reason whose bit is set.
    pub fn count(&mut self, bits: u32) {
        for (bit, count) in self.0.iter_mut().enumerate() {
            *count += u64::from(bits >> bit & 1);
        }
    }

    /// Counts the reason with this bit's number.
    #[inline]
    pub fn count_one(&mut self, bit: usize) {
        if let Some(count) = self.0.get_mut(bit) {
            *count += 1;
        }
    }

    /// How often those occurred whose bits are set.
    #[must_use]
    pub fn of(&self, bits: u32) -> u64 {
        let counted = self.0.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
        counted.map(|(_, count)| count).sum()
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &ReasonCounts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// How often rules of the guard found something, by rule and what was done. Few occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts(Vec<((&'static str, &'static str), u64)>);

impl RuleCounts {
    /// Counts one. Allocates when a rule and action occur for the first time.
    pub fn count(&mut self, rule: &'static str, action: &'static str) {
        self.add_to((rule, action), 1);
    }

    fn add_to(&mut self, what: (&'static str, &'static str), count: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, found)) => *found += count,
            None => self.0.push((what, count)),
        }
    }

    /// Every rule and action with its count, sorted.
    #[must_use]
    pub fn sorted(&self) -> Vec<((&'static str, &'static str), u64)> {
        let mut all = self.0.clone();
        all.sort_unstable();
        all
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &RuleCounts) {
        for &(what, count) in &other.0 {
            self.add_to(what, count);
        }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        /// Everything that is counted of a pool. All of it grows only.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: $type,)+
        }

        impl Counters {
            /// Adds another's counts, so that several loops or pools are told as one.
            pub fn add(&mut self, other: &Counters) {
                $(Add::add(&mut self.$name, &other.$name);)+
            }
        }
    };
}

/// Adding up counts of any kind.
trait Add {
    fn add(&mut self, other: &Self);
}

impl Add for u64 {
    fn add(&mut self, other: &u64) {
        *self += other;
    }
}

impl Add for Histogram {
    fn add(&mut self, other: &Histogram) {
        Histogram::add(self, other);
    }
}

impl Add for ReasonCounts {
    fn add(&mut self, other: &ReasonCounts) {
        ReasonCounts::add(self, other);
    }
}

impl Add for ErrorClasses {
    fn add(&mut self, other: &ErrorClasses) {
        ErrorClasses::add(self, other);
    }
}

impl Add for RuleCounts {
    fn add(&mut self, other: &RuleCounts) {
        RuleCounts::add(self, other);
    }
}

counters! {
    /// Clients that logged in.
    logins: u64,
    /// Notifications that clients were told of by the connection that listens.
    notifications: u64,
    /// Transactions that ended, those of one statement included; from the first message that
    /// needs a server to the ReadyForQuery that says `I`.
    transactions: Histogram,
    /// Requests answered by a ReadyForQuery: a Query, or a batch up to its Sync.
    queries: Histogram,
    /// Servers given to clients, with the time that each client waited, in whole milliseconds.
    waits: Histogram,
    /// Clients that gave up waiting after `pool_wait_timeout`.
    wait_timeouts: u64,
    /// Bytes passed on from clients to servers.
    bytes_received: u64,
    /// Bytes passed on from servers to clients.
    bytes_sent: u64,
    /// Parse messages of clients.
    client_parses: u64,
    /// Parse messages sent to servers, pgweir's own included.
    server_parses: u64,
    /// Bind messages of clients.
    binds: u64,
    /// Errors that clients were told.
    errors: ErrorClasses,
    /// Reasons for which sessions came to keep their servers beyond their transactions.
    pins: ReasonCounts,
    /// Connections to Postgres that logged in.
    servers_opened: u64,
    /// Connections to Postgres that were closed, by either side.
    servers_closed: u64,
    /// Dials that did not end with a login.
    dials_failed: u64,
    /// What rules of the guard have found.
    guard: RuleCounts,
    /// Where requests went and why, by [`crate::route::Why`].
    ways: ReasonCounts,
    /// Reads that a replica could not serve and the primary ran.
    reruns: u64,
    /// Limits in time that struck, by [`crate::config::ClockLimit`].
    timeouts: ReasonCounts,
    /// Statements that ended before the cancel request for their limit had an effect.
    timeouts_lost_race: u64,
    /// Cancel requests whose signal has been sent.
    cancels_delivered: u64,
    /// Cancel requests that came to nothing: the statement was over first, or no connection could
    /// be had.
    cancels_not_sent: u64,
    /// Cancel requests of which it is not known whether the signal was sent.
    cancels_unknown: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_at_or_below_their_bound() {
        let mut histogram = Histogram::default();
        for duration in [0, 100, 101, 30_000_000, 30_000_001] {
            histogram.observe(duration);
        }
        assert_eq!(histogram.buckets[0], 2);
        assert_eq!(histogram.buckets[1], 1);
        assert_eq!(histogram.buckets[11], 1);
        assert_eq!(histogram.buckets[12], 1);
        assert_eq!((histogram.count(), histogram.sum_us), (5, 60_000_202));
    }

    #[test]
    fn adding_up_forgets_nothing() {
        let mut one = Counters { logins: 2, ..Counters::default() };
        one.queries.observe(50);
        one.errors.count(b"42P01");
        let mut two = Counters { logins: 3, binds: 1, ..Counters::default() };
        two.queries.observe(5_000);
        two.errors.count(b"42601");
        two.errors.count(b"");
        two.pins.count(0b101);
        one.pins.count(0b100);
        one.add(&two);
        assert_eq!((one.logins, one.binds, one.queries.count()), (5, 1, 2));
        assert_eq!([0b1, 0b10, 0b100, 0b101].map(|bits| one.pins.of(bits)), [1, 0, 2, 3]);
        assert_eq!(one.errors.sorted(), [(*b"42", 2), (*b"XX", 1)]);
    }
}
