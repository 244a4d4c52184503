//! What texts do that have come before, so that a text which comes again is not read again.
//!
//! Two generations of a bounded size: what is asked for moves into the younger one, and when that is full it becomes
//! the older one, whose rest is forgotten. A text is taken in when it comes for the second time, so that texts with
//! values in them, which never come again, push nothing out. Texts are compared whole: whoever chooses texts with equal
//! hashes gains nothing.
//!
//! Deliberately absent: what is made of the facts. They are about the text alone, and hold for whoever sends it.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::session::TextEffects;
use crate::session::facts;
use crate::sql::{self, Commands, LexOptions};

/// Bytes that one generation may hold.
const GENERATION_BYTES: usize = 4 * 1024 * 1024;

/// Longer texts are read each time they come.
const LONGEST: usize = 16 * 1024;

/// What an entry costs beside its text.
const ENTRY_BYTES: usize = 160;

/// Texts of which it is remembered that they have come once.
const SEEN: usize = 4_096;

/// What is known of a text that is read under the usual options.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it does to its session.
    pub effects: TextEffects,
    /// What it does to objects; `None`: nothing that the guard judges.
    pub commands: Option<Arc<Commands>>,
}

impl Known {
    /// Reads a text.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        let commands = sql::commands(text, LexOptions::default());
        let commands = (!commands.is_empty()).then(|| Arc::new(commands));
        Known { effects: facts::effects(text), commands }
    }
}

/// The texts that one loop has read.
#[derive(Debug)]
pub struct Texts {
    young: HashMap<Box<[u8]>, Known, RandomState>,
    old: HashMap<Box<[u8]>, Known, RandomState>,
    /// Bytes of the younger ones.
    bytes: usize,
    seen: Box<[u32]>,
    hasher: RandomState,
}

impl Default for Texts {
    fn default() -> Self {
        let hasher = RandomState::default();
        Texts {
            young: HashMap::with_hasher(hasher.clone()),
            old: HashMap::with_hasher(hasher.clone()),
            bytes: 0,
            seen: vec![0; SEEN].into(),
            hasher,
        }
    }
}

impl Texts {
    /// What is known of a text.
    #[inline]
    pub fn look(&mut self, text: &[u8]) -> Known {
        if let Some(known) = self.young.get(text) {
            return known.clone();
        }
        self.look_further(text)
    }

    #[inline(never)]
    fn look_further(&mut self, text: &[u8]) -> Known {
        if text.len() > LONGEST {
            return Known::of(text);
        }
        if let Some((text, known)) = self.old.remove_entry(text) {
            self.keep(text, known.clone());
            return known;
        }
        let known = Known::of(text);
        if self.is_known(text) {
            self.keep(text.into(), known.clone());
        }
        known
    }

    /// Whether a text has come before, as far as that is remembered.
    fn is_known(&mut self, text: &[u8]) -> bool {
        let hash = self.hasher.hash_one(text);
        let halves = hash.to_ne_bytes();
        let (place, mark) = halves.split_at(4);
        let number = |half: &[u8]| half.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let (place, mark) = (number(place) as usize % SEEN, number(mark) | 1);
        std::mem::replace(&mut self.seen[place], mark) == mark
    }

    fn keep(&mut self, text: Box<[u8]>, known: Known) {
        // Names and lists of a command take about as much as it does itself.
        let commands = known.commands.as_ref().map_or(0, |all| 2 * size_of_val(all.found()));
        let bytes = text.len() + ENTRY_BYTES + commands;
        self.bytes += bytes;
        if self.bytes > GENERATION_BYTES {
            let empty = HashMap::with_hasher(self.hasher.clone());
            self.old = std::mem::replace(&mut self.young, empty);
            self.bytes = bytes;
        }
        self.young.insert(text, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Texts {
        fn keeps(&self, text: &[u8]) -> bool {
            self.young.contains_key(text) || self.old.contains_key(text)
        }
    }

    #[test]
    fn a_text_is_kept_when_it_comes_again() {
        let mut texts = Texts::default();
        let create: &[u8] = b"create index i on t (a)";
        for (round, kept) in [(1, false), (2, true), (3, true)] {
            let known = texts.look(create);
            assert_eq!(known.commands.unwrap().found().len(), 1, "{round}");
            assert_eq!(texts.keeps(create), kept, "{round}");
        }
        assert!(texts.look(b"select 1").commands.is_none());
    }

    #[test]
    fn texts_that_never_come_again_push_nothing_out() {
        let mut texts = Texts::default();
        texts.look(b"select 1");
        texts.look(b"select 1");
        for n in 0..100_000 {
            texts.look(format!("select {n} from t").as_bytes());
        }
        assert!(texts.keeps(b"select 1"));
        assert!(texts.young.len() < 100);
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut texts = Texts::default();
        let long = "x".repeat(8_000);
        for n in 0..2_000 {
            let text = format!("select {n}, '{long}'");
            texts.look(text.as_bytes());
            texts.look(text.as_bytes());
            texts.look(b"select 1");
            let all = texts.young.keys().chain(texts.old.keys()).map(|text| text.len());
            assert!(all.sum::<usize>() <= 2 * GENERATION_BYTES);
        }
        assert!(texts.keeps(b"select 1"));
        let too_long = vec![b'x'; LONGEST + 1];
        texts.look(&too_long);
        texts.look(&too_long);
        assert!(!texts.keeps(&too_long));
    }
}
