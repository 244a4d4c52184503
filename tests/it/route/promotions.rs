//! Promotions under load: writes are back soon, on the server that was promoted, by themselves; nobody is cut off between
//! transactions, and what was acknowledged exists.
//!
//! 2 promotions; as many as `PGWEIR_PROMOTIONS` says where it is set (`make test-route`: 10).

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pgweir::cluster::{Node, Shutdown};

use super::{in_front, login, wait_for_reads};
use crate::harness::await_event::{secs, wait_for};
use crate::harness::frame::Frame;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::{RawClient, Reply};

const WRITERS: u64 = 8;
const READERS: u64 = 4;

/// How long writes may be away after a promotion.
const BACK: Duration = Duration::from_secs(5);

/// What became of the load.
struct Load {
    stop: AtomicBool,
    acknowledged: Mutex<BTreeSet<u64>>,
    /// The moment of the last acknowledged write, and the port of the server that took it.
    last: Mutex<Option<(Instant, String)>>,
    refused: AtomicU64,
    reads: AtomicU64,
    reads_failed: AtomicU64,
}

impl Load {
    fn new() -> Self {
        Load {
            stop: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            last: Mutex::new(None),
            refused: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            reads_failed: AtomicU64::new(0),
        }
    }

    /// One session that writes until it is told to stop, on one connection all the time.
    fn write(&self, pgweir: &Pgweir, number: u64) {
        let mut client = pgweir.client(&login());
        client.set_deadline(secs(30));
        let mut next = number;
        while !self.stop.load(Ordering::Relaxed) {
            next += WRITERS;
            let frames = if next.is_multiple_of(3) {
                client.ask("BEGIN");
                let frames = client
                    .ask(&format!("INSERT INTO ids VALUES ({next}) RETURNING inet_server_port()"));
                let ended = client.ask("COMMIT");
                if ended.iter().any(|frame| frame.command_tag().as_deref() == Some("COMMIT")) {
                    frames
                } else {
                    ended
                }
            } else {
                client.ask(&format!("INSERT INTO ids VALUES ({next}) RETURNING inet_server_port()"))
            };
            match frames.iter().find_map(Frame::first_text) {
                Some(port) if frames.iter().all(|frame| frame.sqlstate().is_none()) => {
                    self.acknowledged.lock().unwrap().insert(next);
                    *self.last.lock().unwrap() = Some((Instant::now(), port));
                }
                _ => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }

    fn read(&self, pgweir: &Pgweir) {
        let mut client = pgweir.client(&login());
        client.set_deadline(secs(30));
        while !self.stop.load(Ordering::Relaxed) {
            let frames = client.ask("SELECT count(*) FROM ids");
            self.reads.fetch_add(1, Ordering::Relaxed);
            if let Some(error) = frames.iter().find(|frame| frame.sqlstate().is_some()) {
                self.reads_failed.fetch_add(1, Ordering::Relaxed);
                println!("a read failed: {}", crate::harness::frame::render(error));
            }
        }
    }

    /// Waits until a write is acknowledged by this server.
    fn wait_for_write_at(&self, node: &Node, since: Instant) -> Duration {
        let port = node.port().to_string();
        let at = wait_for("a write at the new primary", secs(30), || {
            let last = self.last.lock().unwrap().clone();
            last.filter(|(at, by)| *at > since && *by == port).map(|(at, _)| at)
        });
        at - since
    }
}

fn caught_up(primary: &Node, others: &[&Node]) {
    let written = primary.sql("shop", "SELECT pg_current_wal_flush_lsn()").unwrap();
    let written = written[0][0].clone().unwrap();
    for node in others {
        wait_for("a standby that follows", secs(30), || {
            let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
            let rows = node.sql("shop", &sql).ok()?;
            (rows[0][0].as_deref() == Some("t")).then_some(())
        });
    }
}

#[test]
fn writes_follow_each_promotion_and_nothing_acknowledged_is_lost() {
    let rounds: usize = std::env::var("PGWEIR_PROMOTIONS").map_or(2, |n| n.parse().unwrap());
    let cluster = super::quiet_fleet();
    let nodes = [cluster.primary(), cluster.replica(0), cluster.replica(1)];
    nodes[0].sql("shop", "CREATE TABLE ids (id bigint PRIMARY KEY)").unwrap();
    cluster.wait_until_replayed().unwrap();
    let pgweir = in_front(&cluster, &[]).start();
    wait_for_reads(&pgweir, &mut pgweir.client(&login()), "SELECT count(*) FROM ids");
    let load = Load::new();
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..WRITERS)
            .map(|n| {
                let (load, pgweir) = (&load, &pgweir);
                scope.spawn(move || load.write(pgweir, n))
            })
            .collect();
        for _ in 0..READERS {
            scope.spawn(|| load.read(&pgweir));
        }
        let mut primary = 0;
        for _ in 0..rounds {
            std::thread::sleep(Duration::from_millis(700));
            let (next, other) = ((primary + 1) % 3, (primary + 2) % 3);
            nodes[primary].stop(Shutdown::Fast).unwrap();
            nodes[next].promote().unwrap();
            let away = load.wait_for_write_at(nodes[next], Instant::now());
            longest = longest.max(away);
            nodes[other].follow(nodes[next]).unwrap();
            nodes[other].reload().unwrap();
            nodes[primary].follow(nodes[next]).unwrap();
            nodes[primary].start().unwrap();
            caught_up(nodes[next], &[nodes[other], nodes[primary]]);
            primary = next;
        }
        load.stop.store(true, Ordering::Relaxed);
        // A session that was cut off panics.
        for session in sessions {
            session.join().unwrap();
        }
        let rows = nodes[primary].sql("shop", "SELECT id FROM ids").unwrap();
        let there: BTreeSet<u64> =
            rows.into_iter().flatten().flatten().map(|id| id.parse().unwrap()).collect();
        let acknowledged = load.acknowledged.lock().unwrap();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        println!(
            "{rounds} promotions: writes back after {} ms at most; {} acknowledged, {} lost, {} refused; {} reads, {} failed",
            longest.as_millis(),
            acknowledged.len(),
            lost.len(),
            load.refused.load(Ordering::Relaxed),
            load.reads.load(Ordering::Relaxed),
            load.reads_failed.load(Ordering::Relaxed),
        );
        assert!(lost.is_empty(), "{lost:?}");
    });
    assert!(longest <= BACK, "{longest:?}");
    // At most those that were on their way for the second time, at a primary that was going.
    let most = READERS * u64::try_from(rounds).unwrap();
    assert!(load.reads_failed.into_inner() <= most);
}

#[test]
fn a_primary_that_was_not_fenced_gets_no_write_after_the_next_probe() {
    let cluster = super::quiet_fleet();
    let (old, new) = (cluster.primary(), cluster.replica(0));
    old.sql("shop", "CREATE TABLE ids (id bigint PRIMARY KEY)").unwrap();
    cluster.wait_until_replayed().unwrap();
    let pgweir = in_front(&cluster, &[]).start();
    wait_for_reads(&pgweir, &mut pgweir.client(&login()), "SELECT count(*) FROM ids");
    let load = Load::new();
    // A transaction that is open there all the time.
    let mut open = pgweir.client(&login());
    open.ask("BEGIN");
    open.ask("INSERT INTO ids VALUES (-1)");
    std::thread::scope(|scope| {
        for n in 0..WRITERS {
            let (load, pgweir) = (&load, &pgweir);
            scope.spawn(move || load.write(pgweir, n));
        }
        std::thread::sleep(Duration::from_millis(300));
        let highest = load.acknowledged.lock().unwrap().len();
        new.promote().unwrap();
        let promoted = Instant::now();
        // Nobody writes anywhere any more.
        let quiet_since = wait_for("nobody to write", secs(10), || {
            let (at, _) = load.last.lock().unwrap().clone()?;
            (at.elapsed() > Duration::from_millis(1_500)).then_some(at)
        });
        let stray = load.acknowledged.lock().unwrap().len() - highest;
        let for_how_long = quiet_since.saturating_duration_since(promoted);
        println!(
            "two primaries: {stray} writes to the old one from the promotion on, the last after {} ms",
            for_how_long.as_millis()
        );
        assert!(for_how_long < Duration::from_millis(1_000), "{for_how_long:?}");
        // Settled: one of them is gone.
        old.stop(Shutdown::Immediate).unwrap();
        let away = load.wait_for_write_at(new, Instant::now());
        assert!(away <= BACK, "{away:?}");
        load.stop.store(true, Ordering::Relaxed);
    });
    // It was told when it asked for its commit.
    let told = open.ask("COMMIT");
    assert!(told[0].sqlstate().is_some(), "{told:?}");
    assert_eq!(told.last().and_then(Frame::status), Some('I'));
    let rows = new.sql("shop", "SELECT count(*) FROM ids WHERE id = -1").unwrap();
    assert_eq!(rows[0][0].as_deref(), Some("0"));
    still_there(&mut open);
}

fn still_there(client: &mut RawClient) {
    client.send(&crate::harness::message::query("SELECT 1")).unwrap();
    assert!(matches!(client.reply().unwrap(), Reply::Frame(_)));
}
