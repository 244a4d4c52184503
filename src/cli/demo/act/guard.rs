//! Act 3: the guard. Index DDL that would block a live table never reaches it, what is sent instead runs, and a new
//! table may have its index at once.
//!
//! Straight at Postgres the same statement is run first, in a transaction that is rolled back, and its lock read from
//! `pg_locks`: what is refused here is what was seen there.

use std::time::Instant;

use super::limits::{count, timed};
use super::{Claim, blocking};
use crate::cli::demo::client::{Client, ClientError};
use crate::cli::demo::error::DemoError;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::stage::{DATABASE, MIGRATOR, Stage};
use crate::cluster::{ClusterError, Node};
use crate::wire::Report;

const TABLE: &str = "CREATE TABLE orders AS SELECT g AS id, g % 100 AS customer FROM generate_series(1, 100000) AS g";
const INDEX: &str = "CREATE INDEX orders_customer ON orders (customer)";
/// The same, where a search for words would not find it.
const DISGUISED: &str = "/* CONCURRENTLY */ create\n  index orders_customer on orders (customer)";
const IN_CODE: &str =
    "DO $$ BEGIN EXECUTE 'CREATE INDEX orders_customer ON orders (customer)'; END $$";
/// What a migration does to a table of its own.
const NEW: [&str; 4] = [
    "BEGIN",
    "CREATE TABLE refunds (id bigint PRIMARY KEY, of bigint)",
    "CREATE INDEX refunds_of ON refunds (of)",
    "COMMIT",
];
/// The beginning of the statement in the hint.
const SAFE: &str = "CREATE INDEX CONCURRENTLY ";

/// What the claims are judged by.
#[derive(Clone, Debug)]
struct Measured {
    /// The lock on the table that Postgres' own run of the statement held.
    lock: String,
    /// What each spelling was answered with.
    refused: Vec<Result<(), Report>>,
    /// Indexes that the table had after that.
    indexes: u64,
    /// The statement of the hint, and what it was answered with.
    safe: (String, Result<(), Report>),
    /// Valid indexes that the table has in the end.
    valid: u64,
    /// What the new table's statements were answered with.
    new: Vec<Result<(), Report>>,
}

pub(super) async fn play(
    number: usize,
    stage: &mut Stage,
    screen: &Screen,
) -> Result<Vec<Claim>, DemoError> {
    let began = Instant::now();
    screen.act(
        number,
        "GUARD",
        format_args!(
            "the role {MIGRATOR} changes the schema of a live table under guard = \"default\""
        ),
    );
    let broken = |error: ClientError| DemoError::Broken(format!("act {number}: {error}"));
    let mut migrator = Client::log_in(&stage.migration_login()).await.map_err(broken)?;
    migrator.query(TABLE).await.map_err(broken)?;

    let lock = blocking(|| lock_of(stage.cluster().primary()))?;
    screen.figure("Postgres", format_args!("{INDEX}: takes {lock} on the table (rolled back)"));
    let mut refused = Vec::new();
    for text in [INDEX, DISGUISED, IN_CODE] {
        let (outcome, _) = timed(migrator.query(text)).await?;
        print(screen, text, &outcome);
        refused.push(outcome);
    }
    let indexes = blocking(|| count_indexes(stage.cluster().primary(), "true"))?;

    let hint = refused.first().and_then(|outcome| outcome.as_ref().err()?.hint.clone());
    let text = hint.as_deref().and_then(statement_of).unwrap_or_default().to_owned();
    let (outcome, _) = timed(migrator.query(&text)).await?;
    print(screen, &text, &outcome);
    let valid = blocking(|| count_indexes(stage.cluster().primary(), "i.indisvalid"))?;
    let mut new = Vec::new();
    for text in NEW {
        let (outcome, _) = timed(migrator.query(text)).await?;
        print(screen, text, &outcome);
        new.push(outcome);
    }
    migrator.leave().await;
    stage.pgweir().check_alive()?;

    let measured = Measured { lock, refused, indexes, safe: (text, outcome), valid, new };
    let claims = judge(&measured);
    for claim in &claims {
        screen.claim(claim);
    }
    screen.line(&format!("    took {:.1} s", began.elapsed().as_secs_f64()));
    Ok(claims)
}

fn print(screen: &Screen, text: &str, outcome: &Result<(), Report>) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match outcome {
        Ok(()) => screen.figure(MIGRATOR, format_args!("{text}: done")),
        Err(report) => {
            screen.figure(MIGRATOR, format_args!("{text}: {}", report.sqlstate()));
            screen.figure("", &report.message);
            if let Some(statement) = report.hint.as_deref().and_then(statement_of) {
                screen.figure("", format_args!("HINT: {statement}"));
            }
        }
    }
}

/// The statement that a hint says to send instead.
fn statement_of(hint: &str) -> Option<&str> {
    let rest = &hint[hint.find(SAFE)?..];
    rest.split_inclusive(';').next()
}

/// The lock on the table that the statement takes at Postgres itself.
fn lock_of(primary: &Node) -> Result<String, ClusterError> {
    let mut session = primary.open_sql(DATABASE)?;
    session.run("BEGIN")?;
    session.run(INDEX)?;
    let rows = session.run(
        "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'orders'::regclass \
         AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')",
    )?;
    session.run("ROLLBACK")?;
    Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
}

fn count_indexes(primary: &Node, which: &str) -> Result<u64, ClusterError> {
    let text = format!(
        "SELECT count(*) FROM pg_index i WHERE i.indrelid = 'orders'::regclass AND {which}"
    );
    count(primary, &text)
}

/// What was measured against what pgweir promises.
fn judge(measured: &Measured) -> Vec<Claim> {
    let Measured { lock, refused, indexes, safe, valid, new } = measured;
    let is_refusal = |outcome: &Result<(), Report>| {
        outcome.as_ref().err().is_some_and(|report| report.sqlstate() == "42501")
    };
    let refusals = refused.iter().filter(|outcome| is_refusal(outcome)).count();
    vec![
        Claim::new(
            lock == "ShareLock",
            format!(
                "straight at Postgres, {INDEX} holds {lock}: no writer gets through until it is done"
            ),
        ),
        Claim::new(
            refusals == refused.len() && !refused.is_empty() && *indexes == 0,
            format!(
                "through pgweir {refusals} of {} spellings of it were refused with 42501; the table had {indexes} \
                 indexes",
                refused.len()
            ),
        ),
        Claim::new(
            safe.1.is_ok() && *valid == 1,
            format!("the statement of the hint ran as it stands: {} ({valid} valid index)", safe.0),
        ),
        Claim::new(
            new.iter().all(Result::is_ok) && !new.is_empty(),
            "a table made in the same transaction got its index: nobody can wait for it".to_owned(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors;

    fn refusal() -> Result<(), Report> {
        Err(errors::guard_refused("index-create-blocking", "CREATE INDEX would block"))
    }

    fn good() -> Measured {
        Measured {
            lock: "ShareLock".into(),
            refused: vec![refusal(), refusal(), refusal()],
            indexes: 0,
            safe: ("CREATE INDEX CONCURRENTLY i ON t (a);".into(), Ok(())),
            valid: 1,
            new: vec![Ok(()); 4],
        }
    }

    /// The numbers of the claims that do not hold once `spoil` has been at the measurement.
    #[track_caller]
    fn check(spoil: impl FnOnce(&mut Measured), expected: &[usize]) {
        let mut measured = good();
        spoil(&mut measured);
        let claims = judge(&measured);
        let failed: Vec<usize> = (0..claims.len()).filter(|at| !claims[*at].held).collect();
        assert_eq!(failed, expected, "{claims:#?}");
    }

    #[test]
    fn each_claim_fails_by_what_it_is_about() {
        check(|_| {}, &[]);
        check(|m| m.lock = String::new(), &[0]);
        check(|m| m.refused[2] = Ok(()), &[1]);
        check(|m| m.refused[0] = Err(Report::error(b"42601", "syntax error")), &[1]);
        check(|m| m.indexes = 1, &[1]);
        check(|m| m.safe.1 = refusal(), &[2]);
        check(|m| m.valid = 0, &[2]);
        check(|m| m.new[2] = refusal(), &[3]);
    }

    #[test]
    fn the_statement_is_taken_out_of_the_hint() {
        let hint =
            "Run this: CREATE INDEX CONCURRENTLY i ON t (a); — Django: AddIndexConcurrently.";
        assert_eq!(statement_of(hint), Some("CREATE INDEX CONCURRENTLY i ON t (a);"));
        assert_eq!(statement_of("Nothing to paste."), None);
    }
}
