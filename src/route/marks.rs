//! What a session has written and seen, so that no later read shows less.

use std::sync::atomic::{AtomicU64, Ordering};

/// Marks of a session. They hold numbers of probes rather than positions: which position that is, is found when
/// somebody asks, and by then nobody has waited for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// One more than the number of the last probe that had been begun when its last write was acknowledged; 0: it has
    /// written nothing.
    written: u64,
    /// That write, or one before it that is not known to be flushed, counts by the end of the log.
    to_the_end: bool,
    /// The node that it last read from and its life then, one more than the last probe that had been begun when
    /// that read ended; 0: it has read nothing.
    seen: (u32, u32, u64),
    /// That was the primary, and somebody may have been acknowledged before his commit was flushed.
    seen_to_the_end: bool,
}

impl Marks {
    /// A write was acknowledged when this was the last probe that had been begun. `to_the_end`: it may not have been
    /// flushed.
    pub fn wrote(&mut self, begun: u64, to_the_end: bool) {
        self.to_the_end = to_the_end;
        self.written = self.written.max(begun + 1);
    }

    /// A read of a node, in this life of it, ended when this was the last probe that had been begun. `to_the_end`: it
    /// may have seen what was not flushed.
    pub fn saw(&mut self, (node, life): (usize, u32), begun: u64, to_the_end: bool) {
        self.seen = (u32::try_from(node).unwrap_or(u32::MAX), life, begun + 1);
        self.seen_to_the_end = to_the_end;
    }

    /// What it has read last is not held against other nodes.
    pub fn forget_seen(&mut self) {
        self.seen = Default::default();
    }

    /// These, and a write of somebody else's that counts as its own: one more than the last probe that had been begun
    /// then; 0: there is none.
    #[must_use]
    pub fn with_write(mut self, written: u64, to_the_end: bool) -> Self {
        if written > self.written {
            self.written = written;
        }
        self.to_the_end |= to_the_end && written > 0;
        self
    }

    /// The last write: the last probe before it, and whether it counts by the end of the log.
    #[must_use]
    pub fn written(&self) -> Option<(u64, bool)> {
        Some((self.written.checked_sub(1)?, self.to_the_end))
    }

    /// The last read: the node and its life, the last probe before it, whether it counts by the end of the log.
    #[must_use]
    pub fn seen(&self) -> Option<((usize, u32), u64, bool)> {
        let (node, life, probe) = self.seen;
        Some(((node as usize, life), probe.checked_sub(1)?, self.seen_to_the_end))
    }
}

/// The last write of several sessions, on whatever loop.
#[derive(Debug, Default)]
pub struct LastWrite(AtomicU64);

impl LastWrite {
    /// A write was acknowledged when this was the last probe that had been begun. `to_the_end`: it may not have been
    /// flushed.
    #[inline]
    pub fn note(&self, begun: u64, to_the_end: bool) {
        let word = (begun + 1) << 1 | u64::from(to_the_end);
        // Most of what comes behind a write has the same probe before it.
        if self.0.load(Ordering::Acquire) < word {
            self.0.fetch_max(word, Ordering::AcqRel);
        }
    }

    /// One more than the last probe that had been begun then, 0 for none; and whether it counts by the end of the log.
    #[must_use]
    pub fn get(&self) -> (u64, bool) {
        let word = self.0.load(Ordering::Acquire);
        (word >> 1, word & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_marked_at_first_and_the_first_probe_is_one_too() {
        let mut marks = Marks::default();
        assert_eq!((marks.written(), marks.seen()), (None, None));
        marks.wrote(0, false);
        marks.saw((2, 1), 0, true);
        assert_eq!(marks.written(), Some((0, false)));
        assert_eq!(marks.seen(), Some(((2, 1), 0, true)));
        marks.wrote(7, true);
        assert_eq!(marks.written(), Some((7, true)));
        assert_eq!(marks.with_write(5, false).written(), Some((7, true)));
        marks.wrote(8, false);
        assert_eq!(marks.with_write(12, true).written(), Some((11, true)));
    }
}
