//! What texts do that have come before, so that a text which comes again is not read again.
//!
//! Two generations of a bounded size: what is asked for moves into the younger one, and when that is full it becomes
//! the older one, whose rest is forgotten. A text is taken in when it comes for the second time, so that texts with
//! values in them, which never come again, push nothing out: they cost their one look, a hash and two look-ups in
//! vain. Texts are kept by their hash and compared whole: of two with one hash, the later one is kept, and whoever
//! finds such texts gains nothing.
//!
//! Deliberately absent: what is made of the facts. They are about the text alone, and hold for whoever sends it.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::session::TextEffects;
use crate::session::facts;
use crate::sql::{Commands, LexOptions};

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
    /// What it does to objects; `None`: nothing that the guard judges. Transaction control alone is not kept: it is read
    /// again where it matters, by [`Known::all_commands`].
    pub commands: Option<Arc<Commands>>,
}

impl Known {
    /// Reads a text.
    #[must_use]
    #[inline]
    pub fn of(text: &[u8]) -> Self {
        let effects = facts::effects(text);
        Known { effects, commands: if effects.commands { commands(text) } else { None } }
    }

    /// What it does to objects and to its transaction. `text`: its own.
    #[must_use]
    pub fn all_commands(&self, text: &[u8]) -> Arc<Commands> {
        match &self.commands {
            Some(commands) => commands.clone(),
            None if self.effects.controls => commands(text).unwrap_or_default(),
            None => Arc::default(),
        }
    }
}

#[inline(never)]
fn commands(text: &[u8]) -> Option<Arc<Commands>> {
    let commands = Commands::read(text, LexOptions::default());
    (!commands.is_empty()).then(|| Arc::new(commands))
}

/// A text, and what is known of it.
#[derive(Debug)]
struct Kept {
    text: Box<[u8]>,
    known: Known,
}

/// Texts by their hashes.
type Generation = HashMap<u64, Kept, BuildHasherDefault<Hashed>>;

/// The hash of what is a hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The texts that one loop has read.
#[derive(Debug)]
pub struct Texts {
    young: Generation,
    old: Generation,
    /// Bytes of the younger ones.
    bytes: usize,
    /// A part of the hash of the last text in each place.
    seen: Box<[u32]>,
    /// Secret, so that nobody can choose texts that push each other out.
    hasher: RandomState,
}

impl Default for Texts {
    fn default() -> Self {
        Texts {
            young: Generation::default(),
            old: Generation::default(),
            bytes: 0,
            seen: vec![0; SEEN].into(),
            hasher: RandomState::default(),
        }
    }
}

impl Texts {
    /// What is known of a text.
    #[inline]
    pub fn look(&mut self, text: &[u8]) -> Known {
        let hash = self.hash(text);
        match self.young.get(&hash) {
            Some(kept) if *kept.text == *text => kept.known.clone(),
            Some(_) | None => self.look_further(text, hash),
        }
    }

    #[inline(never)]
    fn look_further(&mut self, text: &[u8], hash: u64) -> Known {
        if !self.old.is_empty()
            && let Some(kept) = self.old.remove(&hash)
            && *kept.text == *text
        {
            let known = kept.known.clone();
            self.keep(hash, kept);
            return known;
        }
        let known = Known::of(text);
        if text.len() <= LONGEST && self.has_come(hash) {
            self.keep(hash, Kept { text: text.into(), known: known.clone() });
        }
        known
    }

    /// A hash of the text, or of the beginning of one that is not kept anyway.
    fn hash(&self, text: &[u8]) -> u64 {
        let text = text.get(..LONGEST).unwrap_or(text);
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        hasher.finish()
    }

    /// Takes note of a text. Whether it has come before, as far as that is remembered.
    fn has_come(&mut self, hash: u64) -> bool {
        // Its lower half says where; 0 stands for none.
        let mark = (hash >> 32) as u32 | 1;
        std::mem::replace(&mut self.seen[hash as usize % SEEN], mark) == mark
    }

    fn keep(&mut self, hash: u64, kept: Kept) {
        // Names and lists of a command take about as much as it does itself.
        let commands = kept.known.commands.as_ref().map_or(0, |all| 2 * size_of_val(all.found()));
        let bytes = kept.text.len() + ENTRY_BYTES + commands;
        self.bytes += bytes;
        if self.bytes > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.bytes = bytes;
        }
        self.young.insert(hash, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql;
    use crate::sql::commands::{Command, Found};

    impl Texts {
        fn keeps(&self, text: &[u8]) -> bool {
            let hash = self.hash(text);
            let found = [&self.young, &self.old].into_iter().filter_map(|all| all.get(&hash));
            found.map(|kept| &kept.text).any(|kept| **kept == *text)
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
    fn texts_with_one_hash_are_told_apart() {
        let mut texts = Texts::default();
        let (select, drop): (&[u8], &[u8]) = (b"select 1", b"drop index i");
        let hash = texts.hash(select);
        for round in 0..2 {
            texts.keep(hash, Kept { text: drop.into(), known: Known::of(drop) });
            if round == 1 {
                texts.old = std::mem::take(&mut texts.young);
            }
            assert!(texts.look(select).commands.is_none(), "{round}");
        }
        assert!(texts.look(select).commands.is_none());
        assert!(texts.keeps(select));
    }

    #[test]
    fn what_is_known_is_what_the_guard_would_read() {
        for text in [
            "",
            "select 1",
            "select a from t where b in (1, 2) order by c limit 5",
            "select count(a) from t where b",
            "select count(*) from t",
            "update t set a = 1",
            "update t set a = 1 where b = 2",
            "begin",
            "begin isolation level serializable; savepoint a; release a; commit and chain;",
            "prepare transaction 'x'",
            "set transaction read only",
            "begin; drop index i; commit",
            "show x",
            "select nextval('s')",
            "drop index i; select 1",
        ] {
            let commands = sql::commands(text.as_bytes(), LexOptions::default());
            let known = Known::of(text.as_bytes());
            let all = known.all_commands(text.as_bytes());
            assert_eq!((all.found(), all.beyond()), (commands.found(), commands.beyond()));
            let controls = |one: &Found| matches!(one.command, Command::Transaction(_));
            let judged = !commands.found().iter().all(controls);
            assert_eq!(known.commands.is_some(), judged, "{text}");
        }
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
            let all = texts.young.values().chain(texts.old.values()).map(|kept| kept.text.len());
            assert!(all.sum::<usize>() <= 2 * GENERATION_BYTES);
        }
        assert!(texts.keeps(b"select 1"));
        let too_long = vec![b'x'; LONGEST + 1];
        texts.look(&too_long);
        texts.look(&too_long);
        assert!(!texts.keeps(&too_long));
    }
}
