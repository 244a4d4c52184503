//! Whether a server acknowledges commits before they are flushed: where its database has replicas, that decides from
//! which position on a session's write is seen.

use std::time::Duration;

use tokio::time::timeout;

use super::Connected;
use super::error::{DialError, Step};
use super::question::{AnswerError, ask};
use crate::client::routed::is_asynchronous;
use crate::pool::PoolSpec;

/// How long the question may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);

const HOW: &str = "SELECT pg_catalog.current_setting('synchronous_commit')";

/// Asks, for a pool that writes to one of several servers.
///
/// Cancel safe: dropping it closes the connection.
///
/// # Errors
/// The connection failed over it.
pub(super) async fn look_at_commits(
    pool: &PoolSpec,
    mut connected: Connected,
) -> Result<Connected, DialError> {
    if pool.fleet().is_none() || pool.reader_of().is_some() {
        return Ok(connected);
    }
    let how = match timeout(ANSWER_TIME, ask(&mut connected, HOW, &[])).await {
        Ok(Ok(rows)) => rows.into_iter().flatten().flatten().next(),
        // It stays unknown, and commits are taken not to be flushed.
        Ok(Err(AnswerError::Refused(_))) => None,
        Ok(Err(AnswerError::Dial(error))) => return Err(error),
        Err(_) => return Err(DialError::TimedOut { doing: Step::Asking }),
    };
    let flushes = how.is_some_and(|how| !is_asynchronous(&how));
    pool.set_flushes(flushes);
    if !flushes && let Some(fleet) = pool.fleet() {
        fleet.topology.is_asynchronous_now();
    }
    Ok(connected)
}
