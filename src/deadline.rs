//! Time as values: the core is handed `now` and never reads a clock.

/// A moment on the process's monotonic clock, in milliseconds since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// Milliseconds that passed since `earlier`; zero when `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment moved `millis` into the future.
    #[must_use]
    pub fn plus(self, millis: u64) -> Tick {
        Tick(self.0.saturating_add(millis))
    }
}

/// The moment at which something is too late. `NEVER` stands for "no limit"; it is not a large
/// duration, so nothing is ever computed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(u64);

impl Deadline {
    /// No limit.
    pub const NEVER: Deadline = Deadline(u64::MAX);

    /// `limit_ms` after `now`; no limit when `limit_ms` is `None`.
    #[must_use]
    pub fn after(now: Tick, limit_ms: Option<u64>) -> Deadline {
        match limit_ms {
            Some(limit) => Deadline(now.0.saturating_add(limit).min(u64::MAX - 1)),
            None => Deadline::NEVER,
        }
    }

    /// Whether `now` has reached it.
    #[must_use]
    pub fn reached(self, now: Tick) -> bool {
        self != Deadline::NEVER && now.0 >= self.0
    }

    /// The moment itself, `None` for `NEVER`.
    #[must_use]
    pub fn tick(self) -> Option<Tick> {
        (self != Deadline::NEVER).then_some(Tick(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_never_reached_and_a_huge_one_is_not_taken_for_it() {
        assert!(!Deadline::NEVER.reached(Tick(u64::MAX)));
        assert_eq!(Deadline::after(Tick(5), None), Deadline::NEVER);
        let huge = Deadline::after(Tick(5), Some(u64::MAX));
        assert_ne!(huge, Deadline::NEVER);
        assert!(!huge.reached(Tick(1 << 60)));
    }

    #[test]
    fn a_deadline_is_reached_at_its_moment() {
        let deadline = Deadline::after(Tick(100), Some(50));
        assert!(!deadline.reached(Tick(149)));
        assert!(deadline.reached(Tick(150)));
        assert_eq!(deadline.tick(), Some(Tick(150)));
    }
}
