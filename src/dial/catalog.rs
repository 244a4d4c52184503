//! What is asked of a database over a connection that has just logged in to it.

use std::time::Duration;

use tokio::time::timeout;

use super::Connected;
use super::error::{DialError, Step};
use super::question::{AnswerError, ask};
use crate::pool::PoolSpec;
use crate::session::CODE_THAT_SETS;

/// How long the catalog may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Reads whether the pool's database has code that sets parameters, where that is to be known and is
/// not. Where it cannot be read, such code is taken to be there.
///
/// Cancel safe: dropping it closes the connection, and the next one asks.
///
/// # Errors
/// The connection failed over it.
pub(super) async fn look_at_code(
    pool: &PoolSpec,
    mut connected: Connected,
) -> Result<Connected, DialError> {
    if !pool.limits().resets_for_code || !pool.code().is_to_be_read() {
        return Ok(connected);
    }
    let mut reading = Reading { pool, found: None };
    let answer = timeout(ANSWER_TIME, ask(&mut connected, CODE_THAT_SETS, &[])).await;
    let (found, connected) = match answer {
        Ok(Ok(rows)) => (Ok(!rows.is_empty()), Ok(connected)),
        Ok(Err(AnswerError::Refused(report))) => (Err(report.message.to_string()), Ok(connected)),
        Ok(Err(AnswerError::Dial(error))) => (Err(error.to_string()), Err(error)),
        Err(_) => {
            let late = DialError::TimedOut { doing: Step::Asking };
            (Err("no answer in time".to_owned()), Err(late))
        }
    };
    if let Err(why) = &found {
        tracing::warn!(
            database = pool.database,
            "cannot look for functions that set parameters, so every server is reset before \
             another client has it: {why}"
        );
    }
    reading.found = Some(found.unwrap_or(true));
    connected
}

/// While the catalog is read nobody else does. Dropped before it was read: the next one does.
struct Reading<'a> {
    pool: &'a PoolSpec,
    found: Option<bool>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.pool.code().found(self.found.unwrap_or(true));
        if self.found.is_none() {
            self.pool.code().changed();
        }
    }
}
