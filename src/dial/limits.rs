//! Limits of time in the startup packet: whether the server takes them, and what ALTER ROLE and ALTER DATABASE have set
//! there.
//!
//! Deliberately absent: limits that end the session when they expire. Those are never set on a server.

use std::time::Duration;

use tokio::time::timeout;

use super::Connected;
use super::error::{DialError, Step};
use super::question::{AnswerError, Row, ask};
use crate::config::Timeout;
use crate::pool::PoolSpec;
use crate::session::belt::millis_of;
use crate::session::{Limit, OwnLimits, Startup};

/// How long the question may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// The limits that the connection has, and those that ALTER ROLE or ALTER DATABASE has set for it: for the role in the
/// database first, then for the role, the database, and all roles (`process_settings` in postinit.c).
///
/// Everything is qualified: the role's `search_path` may begin with anything.
const LIMITS_THERE: &str = "\
SELECT pg_catalog.current_setting('statement_timeout'), pg_catalog.current_setting('lock_timeout'), \
  pg_catalog.min(s.value) FILTER (WHERE s.name OPERATOR(pg_catalog.=) 'statement_timeout'), \
  pg_catalog.min(s.value) FILTER (WHERE s.name OPERATOR(pg_catalog.=) 'lock_timeout') \
FROM (SELECT DISTINCT ON (1) pg_catalog.split_part(c.setting, '=', 1) AS name, \
    pg_catalog.split_part(c.setting, '=', 2) AS value \
  FROM pg_catalog.pg_db_role_setting AS d, pg_catalog.unnest(d.setconfig) AS c(setting) \
  WHERE (d.setdatabase OPERATOR(pg_catalog.=) 0 OR d.setdatabase OPERATOR(pg_catalog.=) \
      (SELECT oid FROM pg_catalog.pg_database \
       WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())) \
    AND (d.setrole OPERATOR(pg_catalog.=) 0 OR d.setrole OPERATOR(pg_catalog.=) \
      (SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) session_user)) \
  ORDER BY 1, d.setrole OPERATOR(pg_catalog.=) 0, d.setdatabase OPERATOR(pg_catalog.=) 0) AS s";

/// The limits that are there, as a startup packet has them.
pub(super) fn values(startup: Startup) -> Vec<(Limit, String)> {
    let there = |limit: &Limit| startup.get(*limit) != 0;
    let value = |limit: Limit| (limit, startup.get(limit).to_string());
    Limit::ALL.into_iter().filter(there).map(value).collect()
}

/// Whether a server refused a login over the limits in its startup packet. Other poolers and proxies do.
pub(super) fn is_about_limits(error: &DialError) -> bool {
    const CODES: [&[u8; 5]; 5] = [b"08P01", b"0A000", b"22023", b"42501", b"42704"];
    let DialError::Server(report) = error else { return false };
    let named = Limit::ALL.into_iter().any(|limit| report.message.contains(limit.name()));
    named && CODES.contains(&&report.sqlstate)
}

/// A server does not take limits in its startup packet: they are not sent to it any more.
pub(super) fn startup_refused(pool: &PoolSpec, why: &str) {
    if pool.refuse_startup() {
        tracing::warn!(
            database = pool.database,
            role = pool.role,
            server_role = pool.server_role(),
            "the server takes no statement_timeout and lock_timeout in a startup packet; they are set \
             for each session instead: {why}"
        );
    }
}

/// Asks which limits a connection has that was dialled with `startup`. Those that it has not taken are left out of what
/// comes back; what ALTER ROLE and ALTER DATABASE say is noted for the pool.
///
/// Cancel safe: dropping it closes the connection.
///
/// # Errors
/// The connection failed over it.
pub(super) async fn look_at_limits(
    pool: &PoolSpec,
    mut connected: Connected,
    startup: Startup,
) -> Result<(Connected, Startup), DialError> {
    if !pool.belt().is_on() {
        return Ok((connected, startup));
    }
    let why = match timeout(ANSWER_TIME, ask(&mut connected, LIMITS_THERE, &[])).await {
        Ok(Ok(rows)) => match rows.first() {
            Some(row) => return Ok((connected, take_over(pool, row, startup))),
            None => "no row".to_owned(),
        },
        Ok(Err(AnswerError::Refused(report))) => report.message.to_string(),
        Ok(Err(AnswerError::Dial(error))) => return Err(error),
        Err(_) => return Err(DialError::TimedOut { doing: Step::Asking }),
    };
    tracing::warn!(
        database = pool.database,
        "cannot read what ALTER ROLE and ALTER DATABASE say of timeouts: {why}"
    );
    Ok((connected, startup))
}

fn take_over(pool: &PoolSpec, row: &Row, startup: Startup) -> Startup {
    let column = |n: usize| row.get(n)?.as_deref().and_then(millis_of);
    let mut taken = startup;
    for (n, limit) in Limit::ALL.into_iter().enumerate() {
        if startup.get(limit) != 0 && column(n) != Some(startup.get(limit)) {
            taken.set(limit, 0);
            startup_refused(pool, &format!("{} is not what was sent", limit.name()));
        }
    }
    let own = OwnLimits { statement: column(2), lock: column(3) };
    if pool.set_own_limits(own) {
        let belt = pool.belt();
        for limit in Limit::ALL {
            let own = own.get(limit);
            let told = own.and_then(|own| Some((own, belt.refuses(limit, own)?.0)));
            if let Some((own, holds)) = told {
                tracing::warn!(
                    database = pool.database,
                    server_role = pool.server_role(),
                    "ALTER ROLE or ALTER DATABASE has set {} to {}; pgweir's limit of {} holds",
                    limit.name(),
                    Timeout::from_millis(own.into()),
                    Timeout::from_millis(holds.into()),
                );
            }
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Report;

    #[test]
    fn refusals_that_name_a_limit_are_about_limits() {
        let about = |code: &[u8; 5], message: &'static str| {
            is_about_limits(&DialError::Server(Report::fatal(code, message)))
        };
        assert!(about(b"08P01", "unsupported startup parameter: statement_timeout"));
        assert!(about(b"42704", "unrecognized configuration parameter \"lock_timeout\""));
        assert!(!about(b"08P01", "unsupported startup parameter: application_name"));
        assert!(!about(b"28P01", "password authentication failed for user \"statement_timeout\""));
        assert!(!is_about_limits(&DialError::TlsNotOffered));
    }
}
