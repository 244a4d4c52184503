//! Prepared statements by content: one entry for each text and its parameter types, shared by
//! everyone who knows it.
//!
//! Deliberately absent: when a Parse is sent, and to whom; names of clients and servers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::session::TextEffects;

/// Everything behind the name in a Parse message: text, NUL, count and oids of the types.
type Content = Arc<[u8]>;

/// A statement's content in the table of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatementId(u32);

#[derive(Debug)]
struct Entry {
    content: Content,
    effects: TextEffects,
    references: u32,
}

/// The statements of one loop, counted by reference; one that nobody knows any more is forgotten.
#[derive(Debug, Default)]
pub struct Statements {
    by_content: HashMap<Content, StatementId, foldhash::fast::RandomState>,
    entries: slab::Slab<Entry>,
}

impl Statements {
    /// Finds or enters a statement and takes one reference to it.
    ///
    /// `effects` reads what its text does; it is asked for a new entry only.
    pub fn intern(&mut self, content: &[u8], effects: impl FnOnce() -> TextEffects) -> StatementId {
        if let Some(&id) = self.by_content.get(content) {
            self.retain(id);
            return id;
        }
        let content: Content = content.into();
        let entry = Entry { content: content.clone(), effects: effects(), references: 1 };
        let index = u32::try_from(self.entries.insert(entry)).expect("fewer than 2^32 statements");
        self.by_content.insert(content, StatementId(index));
        StatementId(index)
    }

    /// Takes one more reference.
    pub fn retain(&mut self, id: StatementId) {
        if let Some(entry) = self.entries.get_mut(id.0 as usize) {
            entry.references += 1;
        }
    }

    /// Gives one reference back.
    pub fn release(&mut self, id: StatementId) {
        let index = id.0 as usize;
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.references -= 1;
        if entry.references == 0 {
            let entry = self.entries.remove(index);
            self.by_content.remove(&entry.content);
        }
    }

    /// Gives `old` back and takes a reference to `new`, as an assignment would.
    pub fn assign(&mut self, place: &mut Option<StatementId>, new: Option<StatementId>) {
        if *place == new {
            return;
        }
        if let Some(new) = new {
            self.retain(new);
        }
        if let Some(old) = std::mem::replace(place, new) {
            self.release(old);
        }
    }

    /// Text, NUL and types.
    #[must_use]
    pub fn content(&self, id: StatementId) -> &[u8] {
        self.entries.get(id.0 as usize).map_or(b"", |entry| &entry.content)
    }

    /// What its text does.
    #[must_use]
    pub fn effects(&self, id: StatementId) -> Option<TextEffects> {
        self.entries.get(id.0 as usize).map(|entry| entry.effects)
    }

    /// How many different statements are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Ending, Pins};

    fn effects(commits: bool) -> TextEffects {
        let ending = if commits { Ending::Commit } else { Ending::No };
        TextEffects { pins: Pins::NONE, ending }
    }

    #[test]
    fn a_statement_lives_as_long_as_somebody_refers_to_it() {
        let mut statements = Statements::default();
        let a = statements.intern(b"select 1\0\0\0", || effects(false));
        let b = statements.intern(b"select 1\0\0\0", || unreachable!("known already"));
        assert_eq!(a, b);
        let other = statements.intern(b"commit\0\0\0", || effects(true));
        assert_eq!(statements.effects(other), Some(effects(true)));
        assert_eq!(statements.effects(a), Some(effects(false)));
        let mut place = None;
        statements.assign(&mut place, Some(a));
        statements.release(a);
        statements.release(b);
        assert_eq!(statements.content(a), b"select 1\0\0\0");
        statements.assign(&mut place, Some(other));
        assert_eq!(statements.len(), 1);
        statements.assign(&mut place, None);
        statements.release(other);
        assert!(statements.is_empty());
    }
}
