//! Numbers for statements, the same on all loops: a server that goes to another loop takes its
//! statements with it, under the names that it knows.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Key;

/// The numbers in use. Asked when a loop first prepares a statement under a name, and when it
/// forgets one; never for a statement that is known.
#[derive(Debug, Default)]
pub struct Numbers {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    /// The number of each text, and how many tables have it.
    by_key: HashMap<Key, (u64, u32), foldhash::fast::RandomState>,
}

impl Numbers {
    /// A number that nothing has had.
    pub(super) fn next(&self) -> u64 {
        let mut inner = self.lock();
        inner.last += 1;
        inner.last
    }

    /// The number of a statement.
    pub(super) fn take(&self, key: &Key) -> u64 {
        let mut inner = self.lock();
        if let Some((number, tables)) = inner.by_key.get_mut(key) {
            *tables += 1;
            return *number;
        }
        inner.last += 1;
        let number = inner.last;
        inner.by_key.insert(key.clone(), (number, 1));
        number
    }

    /// Takes a number that a statement has already, for one more table. Not done unless it is the
    /// one that whoever prepares the statement from now on will get.
    pub(super) fn adopt(&self, key: &Key, number: u64) -> bool {
        let mut inner = self.lock();
        match inner.by_key.get_mut(key) {
            Some((current, tables)) if *current == number => {
                *tables += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether a number is the one that whoever prepares the statement from now on will get.
    pub(super) fn is_current(&self, key: &Key, number: u64) -> bool {
        self.lock().by_key.get(key).is_some_and(|(current, _)| *current == number)
    }

    /// A table has forgotten a statement.
    pub(super) fn give_back(&self, key: &Key, number: u64) {
        let mut inner = self.lock();
        if let Some((current, tables)) = inner.by_key.get_mut(key)
            && *current == number
        {
            *tables -= 1;
            if *tables == 0 {
                inner.by_key.remove(key);
            }
        }
    }

    /// Whoever prepares this statement from now on gets another number.
    pub(super) fn spoil(&self, key: &Key, number: u64) {
        let mut inner = self.lock();
        if inner.by_key.get(key).is_some_and(|(current, _)| *current == number) {
            inner.by_key.remove(key);
        }
    }

    /// Whether no number is in use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().by_key.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
