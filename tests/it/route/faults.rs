//! A replica that stands still, vanishes, restarts or lags: reads move away and come back, and none takes much longer than
//! the deadline of a probe because of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pgweir::cluster::{Cluster, Shutdown};

use super::{login, wait_for_reads, ways};
use crate::console::Table;
use crate::harness::await_event::{secs, wait_for};
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::proxy::FaultProxy;
use crate::harness::raw::Login;

const READERS: usize = 6;

/// The deadline of a probe and what the contract adds to it, and what a machine with much else to do takes.
const SLOWEST: Duration = Duration::from_millis(1_000 + 100 + 400);

fn options(cluster: &Cluster, replicas: &[SocketAddr]) -> PgweirOptions {
    let url = |address: SocketAddr| format!("postgres://{address}/shop?sslmode=disable");
    let options = Pgweir::options()
        .database("shop", &url(cluster.primary().address()))
        .role("postgres", "postgres")
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 10\nreserve_pool_size = 0");
    replicas.iter().fold(options, |options, address| options.replica("shop", &url(*address)))
}

/// Sessions that read all the time.
struct Readers {
    stop: AtomicBool,
    reads: AtomicU64,
    failed: AtomicU64,
    slowest_us: AtomicU64,
}

impl Readers {
    fn run(&self, pgweir: &Pgweir) {
        let mut client = pgweir.client(&login());
        while !self.stop.load(Ordering::Relaxed) {
            let began = Instant::now();
            let frames = client.ask("SELECT a FROM t");
            let took = u64::try_from(began.elapsed().as_micros()).unwrap();
            self.slowest_us.fetch_max(took, Ordering::Relaxed);
            self.reads.fetch_add(1, Ordering::Relaxed);
            let wrong = frames.iter().any(|frame| frame.sqlstate().is_some());
            self.failed.fetch_add(u64::from(wrong), Ordering::Relaxed);
        }
    }
}

/// Reads all the time while `fault` happens to the first of two replicas; what it took.
fn with_readers(pgweir: &Pgweir, what: &str, fault: impl FnOnce()) {
    let readers = Readers {
        stop: AtomicBool::new(false),
        reads: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        slowest_us: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| readers.run(pgweir));
        }
        std::thread::sleep(Duration::from_millis(300));
        fault();
        readers.stop.store(true, Ordering::Relaxed);
    });
    let slowest = Duration::from_micros(readers.slowest_us.into_inner());
    println!(
        "{what}: {} reads, the slowest took {} ms",
        readers.reads.into_inner(),
        slowest.as_millis()
    );
    assert_eq!(readers.failed.into_inner(), 0, "{what}");
    assert!(slowest <= SLOWEST, "{what}: {slowest:?}");
}

/// Waits until the replica gets no reads, and, after `heal`, until it gets some again.
fn gone_and_back(pgweir: &Pgweir, replica: SocketAddr, heal: impl FnOnce()) {
    let mut console = pgweir.client(&Login::new("dba", "pgbouncer"));
    let port = format!(":{}", replica.port());
    let mut reads = |wanted: &str| {
        wait_for("the replica's reads", secs(40), || {
            let table = Table::of(&console.ask("SHOW REPLICAS"));
            let row = table.rows.iter().find(|row| table.at(row, "node").ends_with(&port))?;
            (table.at(row, "reads") == wanted).then_some(())
        });
    };
    reads("0");
    std::thread::sleep(Duration::from_millis(500));
    heal();
    reads("1");
}

fn prepared() -> Cluster {
    let cluster = super::quiet_fleet();
    cluster.primary().sql("shop", "CREATE TABLE t AS SELECT 1 AS a").unwrap();
    cluster.wait_until_replayed().unwrap();
    cluster
}

#[test]
fn a_replica_that_stands_still_holds_nobody_up() {
    let cluster = prepared();
    let replicas: Vec<_> = cluster.replicas().iter().map(pgweir::cluster::Node::address).collect();
    let pgweir = options(&cluster, &replicas).set("admin", "admins = [\"dba\"]").start();
    wait_for_reads(&pgweir, &mut pgweir.client(&login()), "SELECT a FROM t");
    with_readers(&pgweir, "stands still", || {
        cluster.replica(0).pause().unwrap();
        gone_and_back(&pgweir, replicas[0], || cluster.replica(0).resume().unwrap());
    });
    with_readers(&pgweir, "crashes", || {
        cluster.replica(0).kill();
        gone_and_back(&pgweir, replicas[0], || cluster.replica(0).start().unwrap());
    });
    with_readers(&pgweir, "restarts", || {
        cluster.replica(0).stop(Shutdown::Fast).unwrap();
        gone_and_back(&pgweir, replicas[0], || cluster.replica(0).start().unwrap());
    });
    with_readers(&pgweir, "lags", || {
        cluster.replica(0).sql("shop", "SELECT pg_wal_replay_pause()").unwrap();
        let mut writer = pgweir.client(&login());
        writer.ask("INSERT INTO t VALUES (2)");
        gone_and_back(&pgweir, replicas[0], || {
            cluster.replica(0).sql("shop", "SELECT pg_wal_replay_resume()").unwrap();
        });
    });
    assert!(ways(&pgweir, "read") > 1_000);
}

#[test]
fn a_replica_whose_packets_vanish_holds_nobody_up() {
    let cluster = prepared();
    let proxy = FaultProxy::to(cluster.replica(0).address());
    let replicas = [proxy.address(), cluster.replica(1).address()];
    let pgweir = options(&cluster, &replicas).set("admin", "admins = [\"dba\"]").start();
    wait_for_reads(&pgweir, &mut pgweir.client(&login()), "SELECT a FROM t");
    with_readers(&pgweir, "black hole", || {
        proxy.to_server(|flow| flow.stall_after(0));
        proxy.to_client(|flow| flow.stall_after(0));
        gone_and_back(&pgweir, proxy.address(), || proxy.heal());
    });
}
