//! Act 4: a replica. Reads go there, and never show a session less than it has written; neither the replica nor the
//! primary is missed for long.
//!
//! The database is the same as before under a second name, with the replica beside it. Which server ran a write is told by
//! the write itself (`inet_server_port()`), where reads went by SHOW ROUTE. In the end the old primary is down: what comes
//! after this act has the promoted replica.

mod visitor;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use self::visitor::{Crowd, Visits};
use super::{Claim, blocking};
use crate::cli::demo::client::{Client, ClientError};
use crate::cli::demo::error::DemoError;
use crate::cli::demo::screen::{Screen, thousands};
use crate::cli::demo::stage::{DATABASE, SPREAD_DATABASE, Stage};
use crate::cluster::{ClusterError, Node, Shutdown};

/// Clients that read, pause, and write now and then.
const CLIENTS: u32 = 100;
/// Of so many steps of a client one is a write, which is read back at once.
const READS_TO_A_WRITE: u32 = 20;
/// How long they are watched before anything happens to a server.
const LENGTH: Duration = Duration::from_secs(3);
/// Writes of a session while the replica stands still, each read back at once and three times more.
const WRITES_WHILE_STILL: u32 = 40;
/// How long it may take until reads are at the replica, once it is there.
const PATIENCE: Duration = Duration::from_secs(20);
/// Within this a promotion is to be followed.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);

/// What the claims are judged by.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// What clients saw while nothing happened.
    calm: Visits,
    /// Reads of theirs that went to the replica.
    offloaded: u64,
    still: Still,
    /// What clients saw while the replica was down.
    without_replica: Visits,
    /// When reads were there again, counted from its start.
    replica_back: Duration,
    /// What clients saw while the primary was stopped and the replica promoted.
    failover: Visits,
    /// The first write at the new primary, counted from pg_promote and from the stop of the old one.
    writes_back: Option<(Duration, Duration)>,
    /// Acknowledged rows that the new primary does not have.
    missing: usize,
}

/// A session that writes and reads while the replica replays nothing.
#[derive(Clone, Debug, Default)]
struct Still {
    reads: u64,
    /// Reads that did not show what the session had written.
    stale: u64,
    /// What a session that has written nothing saw of the first write.
    other_saw: u64,
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
        "REPLICAS",
        format_args!(
            "{CLIENTS} clients of the database {SPREAD_DATABASE}, which is {DATABASE} with its replica; one step of {READS_TO_A_WRITE} is a write"
        ),
    );
    let broken = |error: ClientError| DemoError::Broken(format!("act {number}: {error}"));
    let mut console = Client::log_in(&stage.console_login()).await.map_err(broken)?;
    let mut probe = Client::log_in(&stage.spread_login()).await.map_err(broken)?;
    let mut measured = Measured::default();
    wait_for_reads(&mut console, &mut probe).await?;

    let before = ways(&mut console).await.map_err(broken)?;
    let crowd = Crowd::enter(stage.spread_login(), CLIENTS, 1, READS_TO_A_WRITE).await?;
    sleep(length.min(LENGTH)).await;
    measured.calm = crowd.leave().await?;
    let ways = since(&before, ways(&mut console).await.map_err(broken)?);
    measured.offloaded = offloaded(&ways);
    print_visits(screen, "both are up", &measured.calm);
    for ((target, reason), requests) in &ways {
        screen.figure("", format_args!("SHOW ROUTE: {target}, {reason}: {}", thousands(*requests)));
    }

    measured.still = stand_still(stage, &mut probe).await?;
    wait_for_reads(&mut console, &mut probe).await?;

    let crowd = Crowd::enter(stage.spread_login(), CLIENTS, 2, u32::MAX).await?;
    sleep(Duration::from_millis(300)).await;
    blocking(|| stage.cluster().replica(0).stop(Shutdown::Fast))?;
    sleep(Duration::from_millis(700)).await;
    blocking(|| stage.cluster().replica(0).start())?;
    let started = Instant::now();
    wait_for_reads(&mut console, &mut probe).await?;
    measured.replica_back = started.elapsed();
    measured.without_replica = crowd.leave().await?;
    print_visits(screen, "the replica is stopped", &measured.without_replica);

    let crowd = Crowd::enter(stage.spread_login(), CLIENTS, 3, 2).await?;
    sleep(Duration::from_millis(300)).await;
    let stopped = Instant::now();
    blocking(|| stage.cluster().primary().stop(Shutdown::Fast))?;
    let promoted = Instant::now();
    blocking(|| stage.cluster().replica(0).promote())?;
    screen.figure(
        "",
        format_args!("pg_promote() itself took {:.2} s", promoted.elapsed().as_secs_f64()),
    );
    let new_primary = stage.cluster().replica(0).port();
    crowd.wait_for_a_write_at(new_primary, FOLLOWED_WITHIN * 2).await;
    sleep(Duration::from_millis(300)).await;
    measured.failover = crowd.leave().await?;
    print_visits(screen, "the primary is stopped", &measured.failover);
    let back = measured.failover.first_write_at(new_primary);
    measured.writes_back = back.map(|at| (at - promoted, at - stopped));
    measured.missing = blocking(|| count_missing(stage.cluster().replica(0), &measured.failover))?;

    probe.leave().await;
    console.leave().await;
    stage.pgweir().check_alive()?;
    let claims = judge(&measured);
    for claim in &claims {
        screen.claim(claim);
    }
    screen.line(&format!("    took {:.1} s", began.elapsed().as_secs_f64()));
    Ok(claims)
}

/// Requests of the database by target and reason, as the console shows them.
type Ways = BTreeMap<(String, String), u64>;

async fn ways(console: &mut Client) -> Result<Ways, ClientError> {
    let answer = console.query("SHOW ROUTE").await?;
    let count = |row: Vec<Option<String>>| {
        let [database, _, target, reason, requests] = <[_; 5]>::try_from(row).ok()?;
        let is_ours = database? == SPREAD_DATABASE;
        Some(((target?, reason?), requests?.parse::<u64>().ok()?)).filter(|_| is_ours)
    };
    Ok(answer.rows.into_iter().filter_map(count).collect())
}

/// What has come since.
fn since(before: &Ways, mut now: Ways) -> Ways {
    for (way, requests) in &mut now {
        *requests = requests.saturating_sub(before.get(way).copied().unwrap_or(0));
    }
    now.retain(|_, requests| *requests > 0);
    now
}

/// Those that went to a replica.
fn offloaded(ways: &Ways) -> u64 {
    ways.iter().filter(|((target, _), _)| target == "replica").map(|(_, requests)| requests).sum()
}

/// Waits until a read of this session goes to the replica.
async fn wait_for_reads(console: &mut Client, reader: &mut Client) -> Result<(), DemoError> {
    let broken = |error: ClientError| DemoError::Broken(error.to_string());
    let end = Instant::now() + PATIENCE;
    loop {
        let before = offloaded(&ways(console).await.map_err(broken)?);
        reader.query("SELECT count(*) FROM visits WHERE nonce = 0").await.map_err(broken)?;
        if offloaded(&ways(console).await.map_err(broken)?) > before {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(DemoError::Broken("no read went to the replica".into()));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// A session writes and reads while the replica replays nothing. `other` has written nothing.
async fn stand_still(stage: &Stage, other: &mut Client) -> Result<Still, DemoError> {
    let broken = |error: ClientError| DemoError::Broken(format!("with replay paused: {error}"));
    let mut writer = Client::log_in(&stage.spread_login()).await.map_err(broken)?;
    let replica = stage.cluster().replica(0);
    blocking(|| pause_replay(replica))?;
    let mut still = Still::default();
    for round in 1..=WRITES_WHILE_STILL {
        let nonce = -1_000 - i64::from(round);
        let insert = format!("INSERT INTO visits (nonce, service) VALUES ({nonce}, 'still')");
        let count = format!("SELECT count(*) FROM visits WHERE nonce = {nonce}");
        writer.query(&insert).await.map_err(broken)?;
        for _ in 0..4 {
            still.reads += 1;
            still.stale += u64::from(number_in(writer.query(&count).await.map_err(broken)?) != 1);
        }
        if round == 1 {
            still.other_saw = number_in(other.query(&count).await.map_err(broken)?);
        }
    }
    blocking(|| replica.sql("postgres", "SELECT pg_wal_replay_resume()"))?;
    writer.leave().await;
    Ok(still)
}

fn number_in(answer: crate::cli::demo::client::Answer) -> u64 {
    let value = answer.row().and_then(|row| row.first()?.as_deref()?.parse().ok());
    value.unwrap_or(u64::MAX)
}

/// Stops replay, and waits until it has stopped.
fn pause_replay(replica: &Node) -> Result<(), ClusterError> {
    let mut session = replica.open_sql("postgres")?;
    session.run("SELECT pg_wal_replay_pause()")?;
    let end = Instant::now() + PATIENCE;
    while session.run("SELECT pg_get_wal_replay_pause_state()")? != [[Some("paused".to_owned())]] {
        if Instant::now() >= end {
            return Err(ClusterError::Protocol("replay does not pause".into()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Acknowledged rows that this server does not have.
fn count_missing(node: &Node, visits: &Visits) -> Result<usize, ClusterError> {
    let rows = node.sql(DATABASE, "SELECT nonce FROM visits")?;
    let there: BTreeSet<i64> =
        rows.into_iter().flatten().flatten().filter_map(|nonce| nonce.parse().ok()).collect();
    Ok(visits.writes.iter().filter(|write| !there.contains(&write.nonce)).count())
}

fn print_visits(screen: &Screen, when: &str, visits: &Visits) {
    screen.figure(
        when,
        format_args!(
            "{} reads, {} writes; the slowest read took {:.0} ms",
            thousands(visits.reads),
            thousands(visits.writes.len() as u64),
            visits.slowest_read.as_secs_f64() * 1_000.0
        ),
    );
    for (text, count) in visits.failures.iter().take(3) {
        screen.figure("", format_args!("{count} answered: {text}"));
    }
}

/// What was measured against what pgweir promises.
fn judge(measured: &Measured) -> Vec<Claim> {
    let Measured { calm, offloaded, still, without_replica, replica_back, failover, .. } = measured;
    let share = *offloaded as f64 * 100.0 / calm.reads.max(1) as f64;
    let is_well = |visits: &Visits| {
        visits.reads > 0 && visits.stale == 0 && visits.failures.is_empty() && visits.cut == 0
    };
    let (after_promotion, after_stop) = measured.writes_back.unwrap_or_default();
    let interrupted: u32 = failover.failures.values().sum();
    vec![
        Claim::new(
            is_well(calm) && *offloaded > calm.reads / 2,
            format!(
                "{} of {} reads went to the replica (SHOW ROUTE), {share:.0} %; {} did not show what their session had \
                 written",
                thousands(*offloaded),
                thousands(calm.reads),
                calm.stale
            ),
        ),
        Claim::new(
            still.reads > 0 && still.stale == 0 && still.other_saw == 0,
            format!(
                "the replica's replay was paused: {} of {} reads of a session's own writes were stale; a session that \
                 wrote nothing read the replica and saw {} of them",
                still.stale, still.reads, still.other_saw
            ),
        ),
        Claim::new(
            is_well(without_replica),
            format!(
                "the replica was stopped under {CLIENTS} readers: {} of {} reads failed",
                without_replica.failures.values().sum::<u32>() + without_replica.cut,
                thousands(without_replica.reads)
            ),
        ),
        Claim::new(
            *replica_back < PATIENCE,
            format!("it got reads again {:.1} s after it was back", replica_back.as_secs_f64()),
        ),
        Claim::new(
            measured.writes_back.is_some() && after_promotion <= FOLLOWED_WITHIN,
            format!(
                "the primary was stopped and the replica promoted: writes were back {:.2} s after pg_promote(), {:.2} s \
                 after the stop",
                after_promotion.as_secs_f64(),
                after_stop.as_secs_f64()
            ),
        ),
        Claim::new(
            failover.cut == 0 && interrupted <= CLIENTS && failover.stale == 0,
            format!(
                "{} of {CLIENTS} clients lost their connection; {interrupted} statements that were under way were told \
                 so",
                failover.cut
            ),
        ),
        Claim::new(
            !failover.writes.is_empty() && measured.missing == 0,
            format!(
                "{} of {} acknowledged rows are missing on the new primary",
                measured.missing,
                thousands(failover.writes.len() as u64)
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::visitor::Write;
    use super::*;

    fn visits(reads: u64) -> Visits {
        let write = Write { nonce: 1, port: 2, acknowledged: Instant::now() };
        Visits { reads, writes: vec![write], ..Visits::default() }
    }

    fn good() -> Measured {
        Measured {
            calm: visits(1_000),
            offloaded: 900,
            still: Still { reads: 160, stale: 0, other_saw: 0 },
            without_replica: visits(500),
            replica_back: Duration::from_millis(900),
            failover: visits(300),
            writes_back: Some((Duration::from_millis(400), Duration::from_millis(900))),
            missing: 0,
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
        let fail = |visits: &mut Visits, count| {
            visits.failures.insert("x".into(), count);
        };
        check(|_| {}, &[]);
        check(|m| m.offloaded = 500, &[0]);
        check(|m| m.calm.stale = 1, &[0]);
        check(|m| fail(&mut m.calm, 1), &[0]);
        check(|m| m.still.stale = 1, &[1]);
        check(|m| m.still.other_saw = 1, &[1]);
        check(|m| fail(&mut m.without_replica, 1), &[2]);
        check(|m| m.without_replica.cut = 1, &[2]);
        check(|m| m.without_replica.reads = 0, &[2]);
        check(|m| m.replica_back = PATIENCE, &[3]);
        check(|m| m.writes_back = None, &[4]);
        check(|m| m.writes_back = Some((Duration::from_secs(6), Duration::from_secs(7))), &[4]);
        check(|m| m.failover.cut = 1, &[5]);
        check(|m| m.failover.stale = 1, &[5]);
        check(|m| fail(&mut m.failover, CLIENTS), &[]);
        check(|m| fail(&mut m.failover, CLIENTS + 1), &[5]);
        check(|m| m.missing = 1, &[6]);
        check(|m| m.failover.writes.clear(), &[6]);
    }
}
