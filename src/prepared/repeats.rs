//! Which unnamed statements come again, and for how long what a server has made of one may stand for
//! a Parse of now.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::deadline::Tick;

/// Texts that are remembered.
const SIGHTS: usize = 4_096;

/// A text counts as seen for one period more than the one that it came in.
const SEEN_PERIODS: u64 = 1;

/// How long a period is, and so an epoch at most: what somebody does to the catalog behind pgweir's
/// back shows to unnamed statements after this time.
pub const EPOCH_MS: u64 = 1_000;

/// One text: a hash of it, and the period that it came in.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    hash: u64,
    period: u64,
}

/// The unnamed statements that one loop has seen lately.
///
/// A statement that a server has kept means what it meant when it was parsed: which of several
/// functions or tables of one name, and which types where the client gave none. Postgres reads an
/// unnamed one anew each time. So a kept one stands for it within one epoch only, and DDL ends the
/// epoch, on all loops.
#[derive(Debug)]
pub struct Repeats {
    sights: Box<[Sight]>,
    /// Secret, so that nobody can choose texts that push each other out.
    hasher: foldhash::fast::RandomState,
    /// DDL that any loop has seen.
    redefinitions: Arc<AtomicU32>,
}

impl Default for Repeats {
    fn default() -> Self {
        Repeats {
            sights: vec![Sight::default(); SIGHTS].into(),
            hasher: foldhash::fast::RandomState::default(),
            redefinitions: Arc::default(),
        }
    }
}

impl Repeats {
    /// None yet. `redefinitions` counts the DDL that any loop has seen.
    #[must_use]
    pub fn beside(redefinitions: Arc<AtomicU32>) -> Self {
        Repeats { redefinitions, ..Repeats::default() }
    }

    /// The number of the epoch, the same on all loops.
    #[must_use]
    pub fn epoch(&self, now: Tick) -> u64 {
        period(now) << 32 | u64::from(self.redefinitions())
    }

    /// How much DDL any loop has seen.
    #[must_use]
    pub fn redefinitions(&self) -> u32 {
        self.redefinitions.load(Ordering::Acquire)
    }

    /// The catalog has changed, or is about to, if that is so.
    pub fn redefined_if(&mut self, redefined: bool) {
        if redefined {
            self.redefinitions.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes note of a text under these parameters. Whether it came before, in this period or the
    /// last.
    pub fn again(&mut self, content: &[u8], under: &[u8], now: Tick) -> bool {
        let period = period(now);
        let mut hasher = self.hasher.build_hasher();
        hasher.write(content);
        hasher.write(under);
        let hash = hasher.finish();
        let sight = &mut self.sights[hash as usize % SIGHTS];
        let again = sight.hash == hash && sight.period + SEEN_PERIODS >= period;
        *sight = Sight { hash, period };
        again
    }
}

/// The number of the period. Nothing was seen before the first.
fn period(now: Tick) -> u64 {
    now.0 / EPOCH_MS + SEEN_PERIODS + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_again_when_it_came_lately_under_the_same_parameters() {
        let mut repeats = Repeats::default();
        let mut again = |text: &[u8], under: &[u8], ms| repeats.again(text, under, Tick(ms));
        assert!(!again(b"a", b"", 0));
        assert!(again(b"a", b"", 0));
        assert!(!again(b"a", b"x", 10));
        assert!(!again(b"b", b"", 10));
        assert!(again(b"b", b"", EPOCH_MS));
        assert!(!again(b"a", b"", 3 * EPOCH_MS));
    }

    #[test]
    fn epochs_end_with_time_and_with_ddl() {
        let mut repeats = Repeats::default();
        let first = repeats.epoch(Tick(0));
        assert_eq!(repeats.epoch(Tick(EPOCH_MS - 1)), first);
        repeats.redefined_if(false);
        assert_eq!(repeats.epoch(Tick(EPOCH_MS - 1)), first);
        repeats.redefined_if(true);
        let second = repeats.epoch(Tick(EPOCH_MS - 1));
        assert_ne!(second, first);
        assert_ne!(repeats.epoch(Tick(EPOCH_MS)), second);
    }

    #[test]
    fn ddl_ends_the_epoch_of_all_loops() {
        let redefinitions = Arc::new(AtomicU32::default());
        let mut here = Repeats::beside(redefinitions.clone());
        let there = Repeats::beside(redefinitions);
        let before = there.epoch(Tick(5));
        assert_eq!(here.epoch(Tick(5)), before);
        here.redefined_if(true);
        assert_ne!(there.epoch(Tick(5)), before);
        assert_eq!(there.epoch(Tick(5)), here.epoch(Tick(5)));
    }
}
