//! Act 1: hundreds of clients on twenty server connections, and the same clients straight at
//! Postgres.
//!
//! Straight at Postgres comes first, before pgweir has opened any connection, so that its clients
//! have all of `max_connections` for themselves.

use std::time::{Duration, Instant};

use super::{Claim, blocking};
use crate::cli::demo::error::DemoError;
use crate::cli::demo::load::{Load, Tally};
use crate::cli::demo::sampler::{Sampler, Samples};
use crate::cli::demo::screen::{Screen, thousands};
use crate::cli::demo::stage::{DATABASE, POOL_SIZE, Stage};
use crate::cluster::{ClusterError, Node};

/// Four times what Postgres lets in as it ships.
const CLIENTS: u32 = 400;
/// Ten transactions a second for each client, less the time that they take.
const MEAN_PAUSE: Duration = Duration::from_millis(100);
/// The run straight at Postgres is no longer than this.
const DIRECT_LENGTH: Duration = Duration::from_secs(5);

/// What the claims are judged by.
#[derive(Clone, Debug, Default)]
struct Measured {
    direct: Tally,
    pooled: Tally,
    servers: Samples,
    rows_on_primary: u64,
    rows_on_replica: u64,
}

pub(super) async fn play(
    number: usize,
    stage: &mut Stage,
    screen: &Screen,
    length: Duration,
) -> Result<Vec<Claim>, DemoError> {
    let began = Instant::now();
    screen.act(
        number,
        "SHARING",
        format_args!(
            "{CLIENTS} clients; each runs a transaction (BEGIN, INSERT, SELECT, COMMIT), then \
             pauses {} ms",
            MEAN_PAUSE.as_millis()
        ),
    );
    let load = |login, length, number| Load {
        login,
        clients: CLIENTS,
        length,
        mean_pause: MEAN_PAUSE,
        number,
    };

    let direct = load(stage.direct_login(), length.min(DIRECT_LENGTH), 1).run().await?;
    print_direct(screen, &direct);

    let sampler = blocking(|| Sampler::start(stage.cluster().primary()))?;
    let pooled = load(stage.login(), length, 2).run().await?;
    let servers = blocking(|| sampler.finish())?;
    stage.pgweir().check_alive()?;
    print_pooled(screen, &pooled, servers);

    let (rows_on_primary, rows_on_replica) = blocking(|| count_rows(stage))?;
    let measured = Measured { direct, pooled, servers, rows_on_primary, rows_on_replica };
    let claims = judge(&measured);
    for claim in &claims {
        screen.claim(claim);
    }
    screen.line(&format!("    took {:.1} s", began.elapsed().as_secs_f64()));
    Ok(claims)
}

fn print_direct(screen: &Screen, tally: &Tally) {
    screen.figure("straight at Postgres", Outcome(tally));
    print_failures(screen, tally);
    screen.figure("", Speed(tally));
}

fn print_pooled(screen: &Screen, tally: &Tally, servers: Samples) {
    screen.figure("through pgweir", Outcome(tally));
    screen.figure("", format_args!("{} server connections at most", servers.most));
    print_failures(screen, tally);
    screen.figure("", Speed(tally));
}

fn print_failures(screen: &Screen, tally: &Tally) {
    for (message, count) in &tally.refused {
        screen.figure("", format_args!("{count} refused: \"{message}\""));
    }
    for (message, count) in tally.failures.iter().take(5) {
        screen.figure("", format_args!("{count} failed: {message}"));
    }
}

/// Who was let in.
struct Outcome<'a>(&'a Tally);

impl std::fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { let_in, logins_took, .. } = self.0;
        let seconds = logins_took.as_secs_f64();
        write!(f, "{let_in} clients let in; logins took {seconds:.1} s together")
    }
}

/// How fast it went.
struct Speed<'a>(&'a Tally);

impl std::fmt::Display for Speed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} transactions/s over {:.1} s; one takes {:.1} ms (p50), {:.1} ms (p99)",
            thousands(self.0.rate().round() as u64),
            self.0.took.as_secs_f64(),
            self.0.percentile_ms(50),
            self.0.percentile_ms(99)
        )
    }
}

/// What was measured against what pgweir promises.
fn judge(measured: &Measured) -> Vec<Claim> {
    let Measured { direct, pooled, servers, rows_on_primary, rows_on_replica } = measured;
    let refused = direct.refused_count();
    let served = pooled.let_in.saturating_sub(pooled.unserved);
    let failed = pooled.failure_count() + pooled.refused_count();
    let acknowledged = direct.transactions() + pooled.transactions();
    // A client that failed may have lost the answer to its COMMIT.
    let unknown = u64::from(direct.failure_count() + pooled.failure_count());
    let stored = |rows: u64| (acknowledged..=acknowledged + unknown).contains(&rows);
    vec![
        Claim::new(
            refused > 0 && refused + direct.let_in == CLIENTS && direct.failures.is_empty(),
            format!("Postgres by itself refused {refused} of {CLIENTS} clients"),
        ),
        Claim::new(
            served == CLIENTS && failed == 0,
            format!("pgweir served {served} of {CLIENTS} clients, {failed} failed"),
        ),
        Claim::new(
            pooled.transactions() > 0 && pooled.foreign == 0 && direct.foreign == 0,
            format!(
                "{} foreign answers in {} transactions; each checked its row and its \
                 application_name twice",
                pooled.foreign,
                thousands(pooled.transactions())
            ),
        ),
        Claim::new(
            servers.count > 0 && (1..=POOL_SIZE).contains(&servers.most),
            format!(
                "at most {} server connections, of {POOL_SIZE} allowed (pg_stat_activity, asked {} times)",
                servers.most,
                thousands(servers.count)
            ),
        ),
        Claim::new(
            stored(*rows_on_primary) && rows_on_replica == rows_on_primary,
            format!(
                "{} transactions acknowledged; rows on the primary: {}, on the replica: {}",
                thousands(acknowledged),
                thousands(*rows_on_primary),
                thousands(*rows_on_replica)
            ),
        ),
    ]
}

fn count_rows(stage: &Stage) -> Result<(u64, u64), ClusterError> {
    let cluster = stage.cluster();
    cluster.wait_until_replayed()?;
    Ok((count_visits(cluster.primary())?, count_visits(cluster.replica(0))?))
}

fn count_visits(node: &Node) -> Result<u64, ClusterError> {
    let rows = node.sql(DATABASE, "SELECT count(*) FROM visits")?;
    let count = rows.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok());
    count.ok_or_else(|| ClusterError::Protocol("count(*) gave no number".into()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn tally(let_in: u32, transactions: usize) -> Tally {
        let times = vec![Duration::from_millis(2); transactions];
        Tally { let_in, times, took: Duration::from_secs(1), ..Tally::default() }
    }

    fn one(text: &str) -> BTreeMap<String, u32> {
        BTreeMap::from([(text.to_owned(), 1)])
    }

    fn good() -> Measured {
        let mut direct = tally(97, 300);
        direct.refused.insert("sorry, too many clients already".into(), 303);
        Measured {
            direct,
            pooled: tally(400, 700),
            servers: Samples { most: 20, count: 50 },
            rows_on_primary: 1000,
            rows_on_replica: 1000,
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
        check(|m| m.direct.refused.clear(), &[0]);
        check(|m| m.direct.let_in = 96, &[0]);
        check(|m| m.pooled.let_in = 399, &[1]);
        check(|m| m.pooled.unserved = 1, &[1]);
        check(|m| m.pooled.refused = one("sorry"), &[1]);
        check(|m| m.pooled.failures = one("connection closed"), &[1]);
        check(|m| m.pooled.foreign = 1, &[2]);
        check(|m| m.direct.foreign = 1, &[2]);
        check(|m| m.servers.most = 21, &[3]);
        check(|m| m.servers.most = 0, &[3]);
        check(|m| m.servers.count = 0, &[3]);
        check(|m| m.rows_on_replica = 999, &[4]);
    }

    #[test]
    fn rows_may_only_be_missing_or_too_many_where_an_answer_was_lost() {
        let rows =
            |m: &mut Measured, count| (m.rows_on_primary, m.rows_on_replica) = (count, count);
        check(|m| rows(m, 999), &[4]);
        check(|m| rows(m, 1001), &[4]);
        let with_a_failure = |m: &mut Measured, count| {
            m.pooled.failures = one("connection closed");
            rows(m, count);
        };
        check(|m| with_a_failure(m, 1001), &[1]);
        check(|m| with_a_failure(m, 1002), &[1, 4]);
        check(|m| with_a_failure(m, 999), &[1, 4]);
    }

    #[test]
    fn a_demo_without_a_transaction_proves_nothing() {
        check(
            |m| {
                m.pooled = tally(400, 0);
                m.pooled.unserved = 400;
                (m.rows_on_primary, m.rows_on_replica) = (300, 300);
            },
            &[1, 2],
        );
    }
}
