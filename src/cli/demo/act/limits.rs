//! Act 2: limits in time. What runs for too long is stopped, its session and its server go on, and
//! the role of the migrations is left alone.
//!
//! The limits are those of `config/demo.toml`, so this act takes its time whatever `--seconds` says.

use std::time::{Duration, Instant};

use super::{Claim, blocking};
use crate::cli::demo::client::{Answer, Client, ClientError};
use crate::cli::demo::error::DemoError;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::stage::{DATABASE, MIGRATOR, ROLE, Stage, WEB_LIMIT};
use crate::cluster::{ClusterError, Node};
use crate::wire::Report;

/// What the role of the application runs.
const TOO_SLOW: &str = "SELECT pg_sleep(60)";
/// What the role of the migrations runs meanwhile: longer than the other's limit.
const MIGRATION: &str = "SELECT pg_sleep(3)";
const MIGRATION_TAKES: Duration = Duration::from_secs(3);
/// What it runs while the application is idle in its transaction; it needs all of the table.
const DDL: &str = "ALTER TABLE visits ADD COLUMN note text";
/// Act 1 takes no such number.
const NONCE: &str = "-1";
/// How much later than its limit something may be stopped, on a busy machine.
const TOLERANCE: Duration = Duration::from_secs(1);

/// What the claims are judged by.
#[derive(Clone, Debug)]
struct Measured {
    /// What the statement that is too slow was answered with, and after how long.
    slow: (Result<(), Report>, Duration),
    /// The process that served the session before and after that.
    servers: [String; 2],
    /// How many statements of its role still run at Postgres.
    left_running: u64,
    /// What the migration's was answered with, and after how long.
    migration: (Result<(), Report>, Duration),
    /// When the migration got its lock, counted from the last word of the idle transaction.
    ddl: (Result<(), Report>, Duration),
    /// What the idle transaction's COMMIT was answered with.
    commit: Result<(), Report>,
    /// The rows of that transaction that are there.
    rows: u64,
}

pub(super) async fn play(
    number: usize,
    stage: &mut Stage,
    screen: &Screen,
) -> Result<Vec<Claim>, DemoError> {
    let began = Instant::now();
    screen.act(
        number,
        "LIMITS",
        format_args!(
            "the role {ROLE} has {} s for a statement, and to be idle in a transaction; the role \
             {MIGRATOR} has no limit",
            WEB_LIMIT.as_secs()
        ),
    );
    let broken = |error: ClientError| DemoError::Broken(format!("act {number}: {error}"));
    let mut web = Client::log_in(&stage.login()).await.map_err(broken)?;
    let mut migrator = Client::log_in(&stage.migration_login()).await.map_err(broken)?;

    let before = server_of(&mut web).await.map_err(broken)?;
    let slow = async {
        let outcome = timed(web.query(TOO_SLOW)).await?;
        let left_running = blocking(|| count_running(stage.cluster().primary()))?;
        Ok::<_, DemoError>((outcome, left_running))
    };
    let (slow, migration) = tokio::join!(slow, timed(migrator.query(MIGRATION)));
    let (slow, left_running) = slow?;
    let migration = migration?;
    let after = server_of(&mut web).await.map_err(broken)?;
    print(screen, ROLE, TOO_SLOW, &slow);
    print(screen, MIGRATOR, MIGRATION, &migration);

    web.query("BEGIN").await.map_err(broken)?;
    let insert = format!("INSERT INTO visits (nonce, service) VALUES ({NONCE}, 'idle')");
    web.query(&insert).await.map_err(broken)?;
    let ddl = timed(migrator.query(DDL)).await?;
    let commit = timed(web.query("COMMIT")).await?;
    print(screen, MIGRATOR, DDL, &ddl);
    print(screen, ROLE, "COMMIT of an idle transaction", &commit);
    let rows = blocking(|| count_rows(stage.cluster().primary()))?;
    web.leave().await;
    migrator.leave().await;
    stage.pgweir().check_alive()?;

    let servers = [before, after];
    let commit = commit.0;
    let measured = Measured { slow, servers, left_running, migration, ddl, commit, rows };
    let claims = judge(&measured);
    for claim in &claims {
        screen.claim(claim);
    }
    screen.line(&format!("    took {:.1} s", began.elapsed().as_secs_f64()));
    Ok(claims)
}

/// The process of the server that a session has just now.
async fn server_of(client: &mut Client) -> Result<String, ClientError> {
    let answer = client.query("SELECT pg_backend_pid()").await?;
    let pid = answer.rows.into_iter().flatten().flatten().next();
    pid.ok_or(ClientError::Protocol("pg_backend_pid() gave nothing"))
}

/// What a statement is answered with, and after how long. An error of Postgres or of pgweir is an
/// answer, too; anything else ends the demo.
pub(super) async fn timed(
    answer: impl Future<Output = Result<Answer, ClientError>>,
) -> Result<(Result<(), Report>, Duration), DemoError> {
    let began = Instant::now();
    let outcome = match answer.await {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(report)) => Err(*report),
        Err(error) => return Err(DemoError::Broken(error.to_string())),
    };
    Ok((outcome, began.elapsed()))
}

fn print(
    screen: &Screen,
    role: &str,
    text: &str,
    (outcome, took): &(Result<(), Report>, Duration),
) {
    let seconds = took.as_secs_f64();
    match outcome {
        Ok(()) => screen.figure(role, format_args!("{text}: done after {seconds:.2} s")),
        Err(report) => {
            let (code, words) = (report.sqlstate(), &report.message);
            screen.figure(role, format_args!("{text}: {code} after {seconds:.2} s"));
            screen.figure("", words);
            if let Some(detail) = &report.detail {
                screen.figure("", format_args!("DETAIL: {detail}"));
            }
        }
    }
}

/// The statements of the application's role that run, asked of Postgres itself.
fn count_running(primary: &Node) -> Result<u64, ClusterError> {
    let text = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}' AND state <> 'idle'"
    );
    count(primary, &text)
}

fn count_rows(primary: &Node) -> Result<u64, ClusterError> {
    count(primary, &format!("SELECT count(*) FROM visits WHERE nonce = {NONCE}"))
}

pub(super) fn count(node: &Node, text: &str) -> Result<u64, ClusterError> {
    let rows = node.sql(DATABASE, text)?;
    let count = rows.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok());
    count.ok_or_else(|| ClusterError::Protocol("count(*) gave no number".into()))
}

/// Whether an answer is an error of pgweir's that names this limit of its configuration.
fn is_of(outcome: &Result<(), Report>, sqlstate: &str, key: &str) -> bool {
    let Err(report) = outcome else { return false };
    let limit = format!("{key} is {}s (", WEB_LIMIT.as_secs());
    report.sqlstate() == sqlstate
        && report.detail.as_ref().is_some_and(|detail| detail.contains(&limit))
}

fn is_about(took: Duration, limit: Duration) -> bool {
    // Clocks are read on both sides, in milliseconds.
    (limit - Duration::from_millis(20)..=limit + TOLERANCE).contains(&took)
}

/// What was measured against what pgweir promises.
fn judge(measured: &Measured) -> Vec<Claim> {
    let Measured { slow, servers, left_running, migration, ddl, commit, rows } = measured;
    let limit = WEB_LIMIT.as_secs();
    let said = |outcome: &Result<(), Report>| match outcome {
        Ok(()) => "success".to_owned(),
        Err(report) => report.sqlstate().to_owned(),
    };
    let [before, after] = servers;
    vec![
        Claim::new(
            is_of(&slow.0, "57014", "statement_timeout") && is_about(slow.1, WEB_LIMIT),
            format!(
                "{ROLE}'s {TOO_SLOW} was stopped after {:.2} s of {limit} s, with {} and the line \
                 of the configuration",
                slow.1.as_secs_f64(),
                said(&slow.0)
            ),
        ),
        Claim::new(
            before == after,
            format!("its session went on, on the same server: process {before}, then {after}"),
        ),
        Claim::new(
            *left_running == 0,
            format!("{left_running} of its statements still ran at Postgres (pg_stat_activity)"),
        ),
        Claim::new(
            migration.0.is_ok() && migration.1 >= MIGRATION_TAKES && MIGRATION_TAKES > WEB_LIMIT,
            format!(
                "{MIGRATOR}'s {MIGRATION} ran meanwhile for {:.2} s, to its end ({})",
                migration.1.as_secs_f64(),
                said(&migration.0)
            ),
        ),
        Claim::new(
            ddl.0.is_ok() && is_about(ddl.1, WEB_LIMIT),
            format!(
                "a transaction that was idle lost its locks: ALTER TABLE got through after {:.2} s \
                 ({})",
                ddl.1.as_secs_f64(),
                said(&ddl.0)
            ),
        ),
        Claim::new(
            is_of(commit, "25P03", "idle_in_transaction_timeout") && *rows == 0,
            format!("its COMMIT was answered with {}; {rows} of its rows are there", said(commit)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClockLimit;
    use crate::errors;

    fn struck(limit: ClockLimit) -> Result<(), Report> {
        Err(errors::limit_struck(limit, 2_000, 2_001, "pgweir.toml:1"))
    }

    fn good() -> Measured {
        Measured {
            slow: (struck(ClockLimit::Statement), Duration::from_millis(2_103)),
            servers: ["17".into(), "17".into()],
            left_running: 0,
            migration: (Ok(()), Duration::from_millis(3_002)),
            ddl: (Ok(()), Duration::from_millis(1_998)),
            commit: struck(ClockLimit::IdleInTransaction),
            rows: 0,
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
        let postgres = || Err(Report::error(b"57014", "canceling statement due to user request"));
        check(|_| {}, &[]);
        check(|m| m.slow.0 = Ok(()), &[0]);
        check(|m| m.slow.0 = postgres(), &[0]);
        check(|m| m.slow.0 = struck(ClockLimit::Transaction), &[0]);
        check(|m| m.slow.1 = Duration::from_secs(60), &[0]);
        check(|m| m.slow.1 = Duration::from_secs(1), &[0]);
        check(|m| m.servers[1] = "18".into(), &[1]);
        check(|m| m.left_running = 1, &[2]);
        check(|m| m.migration.0 = struck(ClockLimit::Statement), &[3]);
        check(|m| m.migration.1 = Duration::from_secs(1), &[3]);
        check(|m| m.ddl.0 = postgres(), &[4]);
        check(|m| m.ddl.1 = Duration::from_secs(9), &[4]);
        check(|m| m.ddl.1 = Duration::ZERO, &[4]);
        check(|m| m.commit = Ok(()), &[5]);
        check(|m| m.commit = struck(ClockLimit::Statement), &[5]);
        check(|m| m.rows = 1, &[5]);
    }
}
