//! A session sees what it has written, and never goes back in time, whatever becomes of the replicas' replay.
//!
//! 6,000 pairs of a write and a read; as many as `PGWEIR_PAIRS` says where it is set (`make test-route`: 1,000,000).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pgweir::cluster::Cluster;

use super::{figure, in_front, login, wait_for_reads, ways};
use crate::harness::diff::Random;

const CLIENTS: usize = 8;

fn pairs() -> usize {
    std::env::var("PGWEIR_PAIRS").map_or(6_000, |n| n.parse().unwrap())
}

fn cluster() -> Cluster {
    let cluster = Cluster::options()
        .database("shop")
        .replicas(2)
        .conf("max_wal_senders = 10")
        .start()
        .unwrap();
    cluster
        .primary()
        .sql(
            "shop",
            "CREATE TABLE counters (id int PRIMARY KEY, n bigint NOT NULL); \
             INSERT INTO counters SELECT i, 0 FROM generate_series(0, 99) i",
        )
        .unwrap();
    cluster.wait_until_replayed().unwrap();
    cluster
}

/// Pauses and resumes the replicas' replay at random until it is told to stop; then lets all of them go on.
fn disturb(cluster: &Cluster, stop: &AtomicBool) {
    let mut random = Random::new(7);
    let mut sql: Vec<_> =
        cluster.replicas().iter().map(|node| node.open_sql("shop").unwrap()).collect();
    while !stop.load(Ordering::Relaxed) {
        let chosen = random.below(2);
        let word = if random.below(3) == 0 { "pause" } else { "resume" };
        sql[chosen].run(&format!("SELECT pg_wal_replay_{word}()")).unwrap();
        std::thread::sleep(Duration::from_millis(random.below(120) as u64));
    }
    for one in &mut sql {
        one.run("SELECT pg_wal_replay_resume()").unwrap();
    }
}

/// What became of the pairs.
#[derive(Default)]
struct Seen {
    stale: AtomicU64,
    back: AtomicU64,
    reads: AtomicU64,
}

#[test]
fn a_session_sees_its_own_writes_and_never_less_than_before() {
    let cluster = cluster();
    let pgweir = in_front(
        &cluster,
        &["lag_interval = \"20ms\"", "replica_wait = \"30ms\"", "max_lag = \"off\""],
    )
    .start();
    wait_for_reads(&pgweir, &mut pgweir.client(&login()), "SELECT n FROM counters WHERE id = 1");
    let (stop, seen) = (AtomicBool::new(false), Seen::default());
    std::thread::scope(|scope| {
        scope.spawn(|| disturb(&cluster, &stop));
        let sessions: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (pgweir, seen) = (&pgweir, &seen);
                scope.spawn(move || {
                    let mut random = Random::new(number as u64 + 11);
                    let mut client = pgweir.client(&login());
                    // The highest value of each counter that this session has seen or written.
                    let mut floor = [0_u64; 100];
                    for pair in 0..pairs() / CLIENTS {
                        if pair % 500 == 0 {
                            let word = if random.below(2) == 0 { "on" } else { "off" };
                            client.ask(&format!("SET synchronous_commit = {word}"));
                        }
                        // Each session writes counters of its own, and reads all.
                        let own = number + CLIENTS * random.below(12);
                        let value = client.ask_value(&format!(
                            "UPDATE counters SET n = n + 1 WHERE id = {own} RETURNING n"
                        ));
                        floor[own] = value.parse().unwrap();
                        for _ in 0..1 + random.below(3) {
                            let any = if random.below(2) == 0 { own } else { random.below(96) };
                            let value: u64 = client
                                .ask_value(&format!("SELECT n FROM counters WHERE id = {any}"))
                                .parse()
                                .unwrap();
                            seen.reads.fetch_add(1, Ordering::Relaxed);
                            if value < floor[any] {
                                let which = if any == own { &seen.stale } else { &seen.back };
                                which.fetch_add(1, Ordering::Relaxed);
                            }
                            floor[any] = floor[any].max(value);
                        }
                    }
                })
            })
            .collect();
        for session in sessions {
            session.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (stale, back) = (seen.stale.into_inner(), seen.back.into_inner());
    println!(
        "{} pairs, {} reads, {} of them at replicas, {} not fresh: {stale} own writes not seen, {back} steps back",
        pairs(),
        seen.reads.into_inner(),
        ways(&pgweir, "read"),
        ways(&pgweir, "not_fresh"),
    );
    assert_eq!((stale, back), (0, 0));
    assert!(ways(&pgweir, "read") > pairs() as u64 / 100, "replicas were read");
    assert_eq!(figure(&pgweir, "pgweir_reads_rerun_total"), 0);
}

#[test]
fn a_role_sees_what_any_of_its_sessions_has_written() {
    let cluster = cluster();
    let routing = [
        "consistency = \"role\"",
        "lag_interval = \"20ms\"",
        "replica_wait = \"30ms\"",
        "max_lag = \"off\"",
    ];
    let pgweir = in_front(&cluster, &routing).start();
    wait_for_reads(&pgweir, &mut pgweir.client(&login()), "SELECT n FROM counters WHERE id = 1");
    let (stop, stale) = (AtomicBool::new(false), AtomicU64::new(0));
    // What has been acknowledged, of each counter.
    let acknowledged: Vec<Mutex<u64>> = (0..CLIENTS).map(|_| Mutex::new(0)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| disturb(&cluster, &stop));
        let sessions: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (pgweir, acknowledged, stale) = (&pgweir, &acknowledged, &stale);
                scope.spawn(move || {
                    let mut random = Random::new(number as u64 + 23);
                    let (mut writer, mut reader) =
                        (pgweir.client(&login()), pgweir.client(&login()));
                    for _ in 0..pairs() / CLIENTS {
                        let value = writer.ask_value(&format!(
                            "UPDATE counters SET n = n + 1 WHERE id = {number} RETURNING n"
                        ));
                        *acknowledged[number].lock().unwrap() = value.parse().unwrap();
                        let any = random.below(CLIENTS);
                        let least = *acknowledged[any].lock().unwrap();
                        let value: u64 = reader
                            .ask_value(&format!("SELECT n FROM counters WHERE id = {any}"))
                            .parse()
                            .unwrap();
                        stale.fetch_add(u64::from(value < least), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for session in sessions {
            session.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let stale = stale.into_inner();
    println!(
        "{} pairs across connections, {} reads at replicas: {stale} not seen",
        pairs(),
        ways(&pgweir, "read")
    );
    assert_eq!(stale, 0);
}
