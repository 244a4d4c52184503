//! Every pool's description, one for each (database, role) that has logged in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;

use crate::config::{Config, Effective};
use crate::pool::PoolSpec;

#[cfg(test)]
mod tests;

/// All pools of this process. Only authenticated clients make one, so their number is bounded by
/// the databases and roles that exist.
#[derive(Debug, Default)]
pub struct Pools {
    known: DashMap<(String, String), Arc<PoolSpec>>,
    next_id: AtomicU32,
    /// Over how many loops they are; 0 stands for one.
    loops: usize,
}

impl Pools {
    /// None yet, over `loops` loops.
    pub fn over(loops: usize) -> Self {
        Pools { loops, ..Pools::default() }
    }

    /// The pool of a database and role; made from `settings` at its first login. Roles with one
    /// `server_role` share that role's servers.
    pub fn find_or_make(
        &self,
        config: &Config,
        database: &str,
        role: &str,
        settings: Arc<Effective>,
    ) -> Arc<PoolSpec> {
        let key = (database.to_owned(), role.to_owned());
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let owner = owner_settings(config, &settings).map(|owner| {
            let name = owner.role.clone();
            self.find_or_make(config, database, &name, Arc::new(owner))
        });
        let make = || {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let spec = PoolSpec::new(id, database.to_owned(), role.to_owned(), settings);
            let spec = spec.over(self.loops);
            Arc::new(match owner {
                Some(owner) => spec.with_servers_of(owner),
                None => spec,
            })
        };
        self.known.entry(key).or_insert_with(make).clone()
    }

    /// Forgets a pool that its loop has forgotten, unless somebody has found it since.
    pub fn forget(&self, pool: &Arc<PoolSpec>) {
        // Those that only lead to it; whoever is logging in to one of them holds it.
        self.known.retain(|_, other| !other.leads_to(pool) || Arc::strong_count(other) > 1);
        let key = (pool.database.clone(), pool.role.clone());
        // One reference is the map's, one the caller's. Under the lock of its entry nobody can
        // find it and take another.
        let unused = |_: &_, known: &Arc<PoolSpec>| {
            Arc::ptr_eq(known, pool) && Arc::strong_count(known) == 2
        };
        self.known.remove_if(&key, unused);
    }

    /// Every pool there is.
    pub fn all(&self) -> Vec<Arc<PoolSpec>> {
        self.known.iter().map(|entry| entry.value().clone()).collect()
    }
}

/// What holds for the pool of a client's `server_role`: what the tables say of that very role, so
/// that it does not depend on who logs in first. `None` when the client's role is that role.
fn owner_settings(config: &Config, settings: &Effective) -> Option<Effective> {
    let server_role = settings.server_role.as_ref().filter(|name| **name != settings.role)?;
    let mut owner = config.resolve(&settings.database.name, server_role)?;
    owner.server_role = None;
    owner.server_password.clone_from(&settings.server_password);
    Some(owner)
}
