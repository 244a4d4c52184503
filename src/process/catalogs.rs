//! Keeping what is known of the names in databases that have replicas: read when the first client has come, when DDL has
//! been seen, and now and then, for not all DDL passes here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::dial::Dialler;
use crate::login::Pools;
use crate::pool::PoolSpec;
use crate::route::Shelf;

/// How often it is looked which of them is to be read.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How old they become.
const READ_EVERY: Duration = Duration::from_secs(15);

/// Where nothing has been seen to change, reading takes this part of the time at most, however large a catalog is.
const SHARE: u32 = 50;

/// The same where DDL is seen all the time.
const SHARE_OF_CHANGES: u32 = 10;

/// When one that could not be read is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// When a catalog is to be read.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// In any case.
    at: Instant,
    /// When DDL has been seen.
    when_changed: Instant,
}

/// A catalog that is kept.
struct Kept {
    shelf: Arc<Shelf>,
    due: Arc<Mutex<Due>>,
}

/// Keeps them as long as the process runs.
pub async fn keep(pools: Arc<Pools>, dialler: Arc<Dialler>) {
    let mut kept: HashMap<usize, Kept> = HashMap::new();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let now = Instant::now();
        let all = by_database(&pools);
        kept.retain(|address, _| all.contains_key(address));
        for (address, (shelf, pool)) in all {
            let one = kept.entry(address).or_insert_with(|| Kept {
                shelf,
                due: Arc::new(Mutex::new(Due { at: now, when_changed: now })),
            });
            let due = *one.due.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = now >= due.at || (now >= due.when_changed && one.shelf.is_stale());
            if is_due && one.shelf.claim() {
                tokio::spawn(read(dialler.clone(), pool, one.shelf.clone(), one.due.clone()));
            }
        }
    }
}

/// A pool for each database that has several servers and a primary among them, by the address of its shelf.
fn by_database(pools: &Pools) -> HashMap<usize, (Arc<Shelf>, Arc<PoolSpec>)> {
    let mut found = HashMap::new();
    let mut all = pools.all();
    // Those first of which it is known what logs in.
    all.sort_by_key(|pool| (pool.credential().is_none(), pool.id));
    for pool in all {
        let owner = pool.servers();
        let Some(fleet) = owner.fleet().filter(|_| owner.headless().is_none()) else { continue };
        let shelf = fleet.topology.shelf(&owner.settings.load().database.server_database);
        let address = Arc::as_ptr(&shelf).addr();
        found.entry(address).or_insert((shelf, owner));
    }
    found
}

async fn read(dialler: Arc<Dialler>, pool: Arc<PoolSpec>, shelf: Arc<Shelf>, due: Arc<Mutex<Due>>) {
    let began = Instant::now();
    let was_known = shelf.version() != 0;
    let read = dialler.read_catalog(&pool).await;
    let (now, took) = (Instant::now(), began.elapsed());
    let next = match &read {
        Ok(_) => Due {
            at: now + READ_EVERY.max(took * SHARE),
            when_changed: now + took * SHARE_OF_CHANGES,
        },
        Err(_) => Due { at: now + TRY_AGAIN, when_changed: now + TRY_AGAIN },
    };
    if let Err(why) = &read {
        let (database, role) = (&pool.database, &pool.role);
        let what = "the catalog cannot be read, so only reads that name nothing go to replicas";
        // Once for each time that it is lost.
        if was_known {
            tracing::warn!(%database, %role, "{what}: {why}");
        } else {
            tracing::debug!(%database, %role, "{what}: {why}");
        }
    }
    *due.lock().unwrap_or_else(PoisonError::into_inner) = next;
    shelf.put(read.ok());
}
