//! Every pool's description, one for each (database, role) that has logged in.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dashmap::DashMap;
use tokio::sync::Notify;

use super::edition::Edition;
use super::secrets::Revealed;
use crate::config::{Config, DatabaseConfig, Effective};
use crate::pool::{Code, Fleet, PoolSpec};
use crate::route::Topology;

#[cfg(test)]
mod tests;

/// All pools of this process. Only authenticated clients make one, so their number is bounded by
/// the databases and roles that exist.
#[derive(Debug, Default)]
pub struct Pools {
    known: DashMap<(String, String), Arc<PoolSpec>>,
    next_id: AtomicU32,
    /// What is known of code, by the database on its servers.
    codes: DashMap<String, Arc<Code>>,
    /// The servers of databases that have several.
    topologies: Mutex<Vec<Weak<Topology>>>,
    /// Wakes whoever looks after those: pools have come, gone, or got other servers.
    regrouped: Notify,
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
        let code = self.code_of(&settings);
        let make = || {
            let spec = PoolSpec::new(
                self.new_id(),
                database.to_owned(),
                role.to_owned(),
                settings.clone(),
            );
            let spec = spec.over(self.loops).with_code(code);
            let spec = Arc::new(match owner {
                Some(owner) => spec.with_servers_of(owner),
                None => spec,
            });
            self.equip(config, &spec, &settings);
            spec
        };
        let pool = self.known.entry(key).or_insert_with(make).clone();
        if let Some(fleet) = pool.fleet().filter(|_| !pool.leads_elsewhere()) {
            // Its servers may have changed their roles before anybody could find it.
            fleet.look_again(&pool);
            self.regrouped.notify_one();
        }
        pool
    }

    fn new_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// What is known of code in a database, for all its pools.
    fn code_of(&self, settings: &Effective) -> Arc<Code> {
        let place = settings.database.place();
        self.codes.entry(place).or_default().clone()
    }

    /// The servers of a database, which all its pools share; `None`: it has one.
    fn topology_of(&self, config: &Config, database: &DatabaseConfig) -> Option<Arc<Topology>> {
        let found = Topology::of(database)?;
        let mut known = self.topologies.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|topology| topology.strong_count() > 0);
        let all: Vec<_> = known.iter().filter_map(Weak::upgrade).collect();
        if let Some(same) = all.iter().find(|topology| topology.is_as(&found)) {
            return Some(same.clone());
        }
        // An alias may have limits of its own for the same servers.
        let of_table = config.resolve(&found.table, "").filter(|_| database.alias_of.is_some());
        let of_table = of_table.and_then(|settings| Topology::of(&settings.database));
        let found = match of_table {
            Some(of_table) if !found.is_as(&of_table) => found.named(&database.name),
            Some(_) | None => found,
        };
        let before = all.iter().rev().find(|topology| topology.name == found.name);
        let found = Arc::new(match before {
            Some(before) => found.after(before),
            None => found,
        });
        known.push(Arc::downgrade(&found));
        Some(found)
    }

    /// Gives a pool the servers that its settings name, and has it go by these settings.
    fn equip(&self, config: &Config, pool: &PoolSpec, settings: &Arc<Effective>) {
        // Who has another pool's servers has that one's fleet.
        let own = || self.topology_of(config, &settings.database);
        let topology = if pool.leads_elsewhere() { None } else { own() };
        let _one_at_a_time = pool.following();
        let Some(topology) = topology else {
            pool.set_fleet(None);
            pool.set_headless(None);
            return pool.follow(settings.clone());
        };
        let before = pool.fleet().filter(|fleet| Arc::ptr_eq(&fleet.topology, &topology));
        let fleet = before.unwrap_or_else(|| {
            let made = Arc::new(Fleet::new(topology, pool, settings, || self.new_id()));
            pool.set_fleet(Some(made.clone()));
            made
        });
        fleet.follow(pool, settings);
    }

    /// Waits until pools have come, gone, or got other servers. Cancel safe.
    pub async fn regrouped(&self) {
        self.regrouped.notified().await;
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
        self.codes.retain(|_, code| Arc::strong_count(code) > 1);
        self.regrouped.notify_one();
    }

    /// Has every pool follow what an edition says.
    pub(super) fn follow(&self, edition: &Edition) {
        // First who uses whose servers, which may make pools; then what holds for each.
        self.all().iter().for_each(|pool| self.link(edition, pool));
        let all = self.sorted();
        all.iter().for_each(|pool| self.settle(edition, pool, &all));
        self.regrouped.notify_one();
    }

    /// The same for one pool that the others' following may have missed.
    pub(super) fn follow_one(&self, edition: &Edition, pool: &Arc<PoolSpec>) {
        self.link(edition, pool);
        self.settle(edition, pool, &self.sorted());
        self.regrouped.notify_one();
    }

    /// Leads a pool to the servers that it is to use.
    fn link(&self, edition: &Edition, pool: &Arc<PoolSpec>) {
        let settings = edition.settings(&pool.database, &pool.role);
        let owner = settings.and_then(|settings| owner_settings(&edition.config, &settings));
        pool.lead_to(owner.map(|owner| {
            let name = owner.role.clone();
            self.find_or_make(&edition.config, &pool.database, &name, Arc::new(owner))
        }));
    }

    /// Has a pool take over what an edition says, when it is known who uses its servers.
    fn settle(&self, edition: &Edition, pool: &Arc<PoolSpec>, all: &[Arc<PoolSpec>]) {
        let Some(own) = edition.settings(&pool.database, &pool.role) else {
            return pool.keep(false, false);
        };
        let leader = all.iter().find(|other| other.leads_to(pool));
        let stay = edition.lets_in(&own);
        pool.keep(stay, leader.is_some() || (stay && !pool.leads_elsewhere()));
        let as_owner = leader.and_then(|leader| {
            let settings = edition.settings(&leader.database, &leader.role)?;
            owner_settings(&edition.config, &settings).map(Arc::new)
        });
        let settings = as_owner.unwrap_or(own);
        // Where the configuration has none, what a client's login revealed stays.
        if let Some(known) = edition.secrets.server_credential(&settings, Revealed::Nothing) {
            pool.set_credential(known);
        }
        self.equip(&edition.config, pool, &settings);
    }

    /// Every pool, in an order that does not change.
    fn sorted(&self) -> Vec<Arc<PoolSpec>> {
        let mut all = self.all();
        all.sort_by(|a, b| (&a.database, &a.role).cmp(&(&b.database, &b.role)));
        all
    }

    /// The servers of every database that has several, as far as pools use them, ordered by name.
    pub fn topologies(&self) -> Vec<Arc<Topology>> {
        let mut all: Vec<Arc<Topology>> = Vec::new();
        for fleet in self.known.iter().filter_map(|entry| entry.value().fleet()) {
            if !all.iter().any(|known| known.name == fleet.topology.name) {
                all.push(fleet.topology.clone());
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
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
