//! What only another connection can find out about a server process, or do to it.
//!
//! These connections are pgweir's own beside the pools', a few at a time and for one question each:
//! they are made only when a limit in time has struck.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::dial::{Dialler, Row, ask, leave};
use crate::pool::PoolSpec;

/// Such connections open at once; more wait.
const OPEN: usize = 8;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(5);

/// `SyncRep`: the backend has committed and waits for a standby to confirm (`syncrep.c`).
const WAITS: &str = "SELECT wait_event FROM pg_catalog.pg_stat_activity WHERE pid = $1::integer";
/// A process of another role with the same number is another one.
const IS_THERE: &str = "SELECT 1 FROM pg_catalog.pg_stat_activity \
                        WHERE pid = $1::integer AND usename = current_user";
/// Anybody may do this to a process of their own role.
const TERMINATE: &str = "SELECT pg_catalog.pg_terminate_backend($1::integer)";

/// Asks about server processes. One for the process.
#[derive(Debug)]
pub struct Asker {
    dialler: Arc<Dialler>,
    open: Semaphore,
}

impl Asker {
    /// One that dials with this.
    #[must_use]
    pub fn new(dialler: Arc<Dialler>) -> Self {
        Asker { dialler, open: Semaphore::new(OPEN) }
    }

    /// Whether a process waits for a standby; `None`: nobody could say.
    ///
    /// Cancel safe: dropping it closes what was opened.
    pub async fn waits_for_standby(&self, pool: &PoolSpec, pid: i32) -> Option<bool> {
        let rows = self.ask(pool, WAITS, pid).await?;
        Some(rows == [[Some(b"SyncRep".to_vec())]])
    }

    /// Whether there is such a process; `None`: nobody could say.
    ///
    /// Cancel safe: dropping it closes what was opened.
    pub async fn is_there(&self, pool: &PoolSpec, pid: i32) -> Option<bool> {
        Some(!self.ask(pool, IS_THERE, pid).await?.is_empty())
    }

    /// Ends a process.
    pub async fn terminate(&self, pool: &PoolSpec, pid: i32) {
        if self.ask(pool, TERMINATE, pid).await.is_some() {
            tracing::warn!(
                pid,
                "asked Postgres to end a process that did not react to being cancelled"
            );
        }
    }

    async fn ask(&self, pool: &PoolSpec, text: &str, pid: i32) -> Option<Vec<Row>> {
        let asking = async {
            let _open = self.open.acquire().await.ok()?;
            // The dialler has logged why not.
            let (mut connected, _) = Box::pin(self.dialler.connect_for(pool)).await.ok()?;
            let answer = ask(&mut connected, text, &[pid.to_string().as_bytes()]).await;
            leave(connected).await;
            match answer {
                Ok(rows) => Some(rows),
                Err(error) => {
                    tracing::warn!(pid, "cannot ask Postgres about a process: {error}");
                    None
                }
            }
        };
        timeout(LIMIT, asking).await.ok().flatten()
    }
}
