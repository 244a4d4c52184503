//! The servers of each database that has several: which of them is the primary, how far the others are, who answers.
//!
//! ```text
//!   Pools ──regrouped──▶ Monitors ──▶ Watch, one for each topology ──▶ Node, one for each server
//!                                       │  ▲                             │
//!                     Topology::want ───┘  └──── outcomes of probes ─────┘
//!                                       ▼
//!                  Picture, PoolSpecs, Mail::Fleet, log
//! ```
//!
//! What follows from the outcomes is [`state`]'s, which is pure. Deliberately absent: which statement goes where
//! (`route`), and what the loops do about it (`worker`).

mod changes;
mod history;
mod names;
mod node;
mod probe;
mod state;
#[cfg(test)]
mod tests;
mod vacate;
mod watch;

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::dial::Dialler;
use crate::login::{Loop, Pools};
use crate::pool::PoolSpec;
use crate::route::Topology;
use names::Names;
pub use vacate::Vacancies;
use watch::Watch;

/// What every monitor uses.
#[derive(Clone)]
struct Means {
    pools: Arc<Pools>,
    dialler: Arc<Dialler>,
    loops: Vec<Arc<dyn Loop>>,
    vacancies: Arc<Vacancies>,
    names: Arc<Names>,
}

impl Means {
    /// Pools whose servers a topology has, in the order in which they were made.
    fn pools_of(&self, topology: &Arc<Topology>) -> Vec<Arc<PoolSpec>> {
        let has =
            |pool: &Arc<PoolSpec>| topology_of(pool).is_some_and(|own| Arc::ptr_eq(&own, topology));
        let mut pools: Vec<_> = self.pools.all().into_iter().filter(has).collect();
        pools.sort_by_key(|pool| pool.id);
        pools
    }
}

/// The servers that a pool has itself and uses.
fn topology_of(pool: &PoolSpec) -> Option<Arc<Topology>> {
    let fleet = pool.fleet().filter(|_| !pool.leads_elsewhere() && !pool.servers_are_gone());
    fleet.map(|fleet| fleet.topology.clone())
}

/// Watches the servers of every pool for as long as the process lives: a topology from its first pool to its last.
pub async fn watch_all(
    pools: Arc<Pools>,
    dialler: Arc<Dialler>,
    loops: Vec<Arc<dyn Loop>>,
    vacancies: Arc<Vacancies>,
) {
    let names = Arc::<Names>::default();
    tokio::spawn(names::follow(names.clone(), pools.clone(), loops.clone()));
    let means = Means { pools, dialler, loops, vacancies, names };
    let mut watched: Vec<(Arc<Topology>, AbortHandle)> = Vec::new();
    loop {
        let mut used: Vec<Arc<Topology>> = Vec::new();
        for topology in means.pools.all().iter().filter_map(|pool| topology_of(pool)) {
            if !used.iter().any(|known| Arc::ptr_eq(known, &topology)) {
                used.push(topology);
            }
        }
        watched.retain(|(topology, task)| {
            let stays = used.iter().any(|known| Arc::ptr_eq(known, topology));
            if !stays {
                task.abort();
            }
            stays
        });
        for topology in used {
            if !watched.iter().any(|(known, _)| Arc::ptr_eq(known, &topology)) {
                let watch = Watch::new(topology.clone(), means.clone());
                watched.push((topology, tokio::spawn(watch.run()).abort_handle()));
            }
        }
        means.pools.regrouped().await;
    }
}
