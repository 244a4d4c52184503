//! Every pool's description, one for each (database, role) that has logged in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;

use crate::config::Effective;
use crate::pool::PoolSpec;

/// All pools of this process. Only authenticated clients make one, so their number is bounded by
/// the databases and roles that exist.
#[derive(Debug, Default)]
pub struct Pools {
    known: DashMap<(String, String), Arc<PoolSpec>>,
    next_id: AtomicU32,
}

impl Pools {
    /// The pool of a database and role; made from `settings` at its first login.
    pub fn find_or_make(
        &self,
        database: &str,
        role: &str,
        settings: Arc<Effective>,
    ) -> Arc<PoolSpec> {
        let key = (database.to_owned(), role.to_owned());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let make = || {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            Arc::new(PoolSpec::new(id, database.to_owned(), role.to_owned(), settings))
        };
        self.known.entry(key).or_insert_with(make).clone()
    }

    /// Every pool there is.
    pub fn all(&self) -> Vec<Arc<PoolSpec>> {
        self.known.iter().map(|entry| entry.value().clone()).collect()
    }
}
