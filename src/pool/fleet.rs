//! The servers of a database that has several, and the pools that lead to them.
//!
//! A pool (database, role) is the primary's, wherever that is: a promotion is for it what a reload is that moves its
//! servers. Beside it there is a pool for reads of each server.
//!
//! Deliberately absent: which of them is the primary (`monitor`), and which gets a read (`route`).

use std::sync::Arc;

use super::PoolSpec;
use crate::config::{DatabaseConfig, Effective};
use crate::errors;
use crate::route::{Health, Node, NodePicture, Picture, PrimaryIs, Topology};
use crate::wire::Report;

/// The servers of a pool's database.
#[derive(Debug)]
pub struct Fleet {
    /// What they are and how they stand.
    pub topology: Arc<Topology>,
    /// For each of them, the pool for reads of it.
    pub readers: Box<[Arc<PoolSpec>]>,
}

impl Fleet {
    /// The fleet of a pool, which keeps the readers that it has of the same servers. `new_id` gives numbers to the
    /// others.
    #[must_use]
    pub fn new(
        topology: Arc<Topology>,
        pool: &PoolSpec,
        settings: &Effective,
        new_id: impl Fn() -> u32,
    ) -> Self {
        let before = pool.fleet();
        let known = |place: usize, node: &Node| {
            let before = before.as_ref()?;
            let same = before.topology.nodes.get(place)?.target.reaches_as(&node.target);
            before.readers.get(place).filter(|_| same).cloned()
        };
        let reader = |(place, node): (usize, &Node)| {
            let made = || Arc::new(pool.reader(new_id(), place, at(node, settings)));
            known(place, node).unwrap_or_else(made)
        };
        let readers = topology.nodes.iter().enumerate().map(reader).collect();
        Fleet { topology, readers }
    }

    /// The picture has changed: has a pool and its readers go by it, if it still has this fleet.
    pub fn look_again(&self, pool: &PoolSpec) {
        let _one_at_a_time = pool.following();
        let is_own = |fleet: &Arc<Fleet>| Arc::ptr_eq(&fleet.topology, &self.topology);
        if pool.fleet().is_some_and(|fleet| is_own(&fleet)) {
            self.follow(pool, &pool.settings.load_full());
        }
    }

    /// Has a pool of this fleet and its readers go by these settings: it leads to the server that is the primary now,
    /// or stays where it is while nobody knows. Under [`PoolSpec::following`].
    pub fn follow(&self, pool: &PoolSpec, settings: &Effective) {
        let picture = self.topology.picture();
        let now = &pool.settings.load().database.primary;
        let is_here = |node: &&Node| node.target.reaches_as(now);
        let place = match &picture.primary {
            PrimaryIs::Node(node) => self.topology.nodes.get(*node),
            PrimaryIs::Nobody(_) | PrimaryIs::Several(_) => {
                self.topology.nodes.iter().find(is_here)
            }
        };
        pool.follow(place.map_or_else(|| Arc::new(settings.clone()), |node| at(node, settings)));
        pool.set_headless(headless(&picture));
        for ((node, reader), stands) in
            self.topology.nodes.iter().zip(&self.readers).zip(&picture.nodes)
        {
            let mut own = Effective::clone(&at(node, settings));
            own.min_pool_size = if is_warm(stands) { settings.min_pool_size } else { 0 };
            reader.follow(Arc::new(own));
        }
    }
}

/// Whether servers of a node are kept open though nobody uses them.
fn is_warm(node: &NodePicture) -> bool {
    node.health == Health::Up && node.in_recovery == Some(true)
}

/// The same settings at another server.
fn at(node: &Node, settings: &Effective) -> Arc<Effective> {
    let database = DatabaseConfig::clone(&settings.database);
    let database = Arc::new(DatabaseConfig { primary: node.target.clone(), ..database });
    Arc::new(Effective { database, ..settings.clone() })
}

/// What clients are told that have waited for a primary for too long.
fn headless(picture: &Picture) -> Option<Report> {
    match &picture.primary {
        PrimaryIs::Node(_) => None,
        PrimaryIs::Nobody(_) => Some(errors::no_primary()),
        PrimaryIs::Several(_) => Some(errors::several_primaries()),
    }
}
