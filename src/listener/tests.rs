use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use tokio::time::timeout;

use super::*;

fn pool() -> Arc<PoolSpec> {
    let config = "[databases.shop]\nprimary = \"postgres://127.0.0.1:1/shop\"\n";
    let config = crate::config::Config::parse(config, "test.toml").unwrap().config;
    let settings = Arc::new(config.resolve("shop", "app").unwrap());
    Arc::new(PoolSpec::new(1, "shop".to_owned(), "app".to_owned(), settings))
}

/// A statement that wants the pool's database.
fn vacancy(pool: &PoolSpec) -> Arc<Vacancy> {
    Arc::new(Vacancy {
        database: "shop".to_owned(),
        hosts: pool.settings.load().database.primary.hosts.clone(),
        over: AtomicBool::new(false),
        busy: AtomicU64::new(0),
        listeners: AtomicUsize::new(1),
    })
}

#[tokio::test]
async fn who_waits_for_one_statement_holds_up_no_other() {
    let listeners = Listeners::new(Arc::new(Dialler::default()), Vec::new());
    let pool = pool();
    listeners.vacate(vacancy(&pool));
    listeners.listen(0, (pool.clone(), pool.place()), Name::new(b"news"), 1);
    // The connection is not dialled as long as this goes on.
    tokio::task::yield_now().await;
    let next = vacancy(&pool);
    listeners.vacate(next.clone());
    let told = async {
        while next.listeners.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), told).await.expect("nobody listens there");
    assert!(!next.is_over() && listeners.is_vacated(&pool));
}
