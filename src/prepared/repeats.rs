//! Which unnamed statements come again, and for how long what a server has made of one may stand for
//! a Parse of now.

use std::hash::{BuildHasher, Hasher};

use crate::deadline::Tick;

/// Texts that are remembered.
const SIGHTS: usize = 4_096;

/// A text counts as seen for one epoch more than the one that it came in.
const SEEN_EPOCHS: u64 = 1;

/// How long an epoch is at most: what somebody does to the catalog behind pgweir's back shows to
/// unnamed statements after this time.
pub const EPOCH_MS: u64 = 1_000;

/// One text: a hash of it, and the epoch that it came in.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    hash: u64,
    epoch: u64,
}

/// The unnamed statements that one loop has seen lately.
///
/// A statement that a server has kept means what it meant when it was parsed: which of several
/// functions or tables of one name, and which types where the client gave none. Postgres reads an
/// unnamed one anew each time. So a kept one stands for it within one epoch only, and DDL ends the
/// epoch.
#[derive(Debug)]
pub struct Repeats {
    sights: Box<[Sight]>,
    /// Secret, so that nobody can choose texts that push each other out.
    hasher: foldhash::fast::RandomState,
    epoch: u64,
    since: Tick,
}

impl Default for Repeats {
    fn default() -> Self {
        Repeats {
            sights: vec![Sight::default(); SIGHTS].into(),
            hasher: foldhash::fast::RandomState::default(),
            epoch: SEEN_EPOCHS + 1,
            since: Tick::default(),
        }
    }
}

impl Repeats {
    /// The number of the epoch.
    pub fn epoch(&mut self, now: Tick) -> u64 {
        if now.since(self.since) >= EPOCH_MS {
            self.since = now;
            self.epoch += 1;
        }
        self.epoch
    }

    /// The catalog has changed, or is about to, if that is so.
    pub fn redefined_if(&mut self, redefined: bool) {
        self.epoch += u64::from(redefined);
    }

    /// Takes note of a text under these parameters. Whether it came before, in this epoch or the
    /// last.
    pub fn again(&mut self, content: &[u8], under: &[u8], now: Tick) -> bool {
        let epoch = self.epoch(now);
        let mut hasher = self.hasher.build_hasher();
        hasher.write(content);
        hasher.write(under);
        let hash = hasher.finish();
        let sight = &mut self.sights[hash as usize % SIGHTS];
        let again = sight.hash == hash && sight.epoch + SEEN_EPOCHS >= epoch;
        *sight = Sight { hash, epoch };
        again
    }
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
        assert!(second > first);
        assert!(repeats.epoch(Tick(EPOCH_MS)) > second);
    }
}
