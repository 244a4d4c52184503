//! Cancel requests that race with the end of their statements: they hit what they were meant for,
//! or nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pgweir::cluster::Cluster;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::{Login, RawClient};

const POOLS: usize = 20;

/// Rounds of each pool, 20,000 together unless the environment says otherwise.
fn rounds() -> u32 {
    let all = std::env::var("PGWEIR_CANCELS").map_or(20_000, |n| n.parse().unwrap());
    all / u32::try_from(POOLS).unwrap()
}

/// A generator of small delays; each pool has its own seed.
struct Delays(u64);

impl Delays {
    fn next(&mut self, below_us: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        Duration::from_micros((self.0 >> 33) % below_us)
    }
}

fn one_server_pools(cluster: &Cluster) -> Pgweir {
    let url = format!("postgres://{}?sslmode=disable", cluster.primary().address());
    let mut options: PgweirOptions = Pgweir::options()
        .database("*", &url)
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 1")
        .set("defaults", "reserve_pool_size = 0");
    for n in 0..POOLS {
        cluster.primary().sql("postgres", &format!("create role canceller_{n} login")).unwrap();
        options = options.role(&format!("canceller_{n}"), "x");
    }
    options.start()
}

/// Asks to cancel, and waits until pgweir has closed the connection, as libpq does.
fn cancel(address: SocketAddr, pid: u32, key: &[u8]) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(secs(20))).unwrap();
    socket.write_all(&message::cancel_request(pid, key)).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "a cancel request is not answered");
}

/// What one pool saw.
#[derive(Default)]
struct Seen {
    cancelled: AtomicU32,
    finished: AtomicU32,
    others: AtomicU32,
}

/// Sends statements of 0 to 4 ms and cancels each 0 to 5 ms later; between two of them runs one
/// that nobody cancels.
fn cancel_again_and_again(pgweir: &Pgweir, role: &str, seed: u64, extended: bool, seen: &Seen) {
    let login = Login::new(role, "postgres").protocol(message::PROTOCOL_3_2);
    let (mut client, frames) = RawClient::try_login(&pgweir.address(), &login).unwrap();
    let (pid, key) = frames.iter().find_map(Frame::backend_key).expect("a key");
    let mut delays = Delays(seed);
    for round in 0..rounds() {
        let runs = delays.next(4_000).as_secs_f64();
        let text = format!("select pg_sleep({runs:.6}), '{role}-{round}' as nonce");
        let request = if extended {
            [
                message::parse("", &text, &[]),
                message::bind("", "", &[]),
                message::execute("", 0),
                message::sync(),
            ]
            .concat()
        } else {
            message::query(&text)
        };
        client.send(&request).unwrap();
        std::thread::sleep(delays.next(5_000));
        cancel(pgweir.listen(), pid, &key);
        let frames = client.until_ready();
        match frames.iter().find_map(Frame::sqlstate).as_deref() {
            Some("57014") => seen.cancelled.fetch_add(1, Ordering::Relaxed),
            None => seen.finished.fetch_add(1, Ordering::Relaxed),
            Some(other) => panic!("{role} round {round}: {other}"),
        };
        // The request was dealt with before its connection was closed: this is not hit.
        let nonce = format!("{role}-after-{round}");
        assert_eq!(client.ask_value(&format!("select '{nonce}'")), nonce);
    }
}

/// Runs statements on the same server, of which none may be hit.
fn run_undisturbed(pgweir: &Pgweir, role: &str, over: &AtomicBool, seen: &Seen) {
    let mut client = pgweir.client(&Login::new(role, "postgres"));
    let mut round = 0_u32;
    while !over.load(Ordering::Relaxed) {
        let nonce = format!("{role}-other-{round}");
        let text = format!("select '{nonce}' from pg_sleep(0.0005)");
        assert_eq!(client.ask_value(&text), nonce, "a statement that nobody cancelled");
        seen.others.fetch_add(1, Ordering::Relaxed);
        round += 1;
    }
}

#[test]
fn cancels_that_race_with_the_end_of_their_statement_hit_no_other() {
    let cluster = Cluster::start().unwrap();
    let pgweir = one_server_pools(&cluster);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let seen = Seen::default();
    std::thread::scope(|scope| {
        for n in 0..POOLS {
            let (pgweir, seen) = (&pgweir, &seen);
            scope.spawn(move || {
                let role = format!("canceller_{n}");
                let over = AtomicBool::new(false);
                std::thread::scope(|pool| {
                    pool.spawn(|| run_undisturbed(pgweir, &role, &over, seen));
                    let cancels = pool.spawn(|| {
                        cancel_again_and_again(pgweir, &role, n as u64, n % 2 == 0, seen);
                    });
                    let outcome = cancels.join();
                    over.store(true, Ordering::Relaxed);
                    outcome.unwrap();
                });
            });
        }
    });
    let (cancelled, finished) = (seen.cancelled.into_inner(), seen.finished.into_inner());
    let others = seen.others.into_inner();
    println!("{cancelled} cancelled, {finished} had ended before, {others} others untouched");
    assert_eq!(cancelled + finished, rounds() * u32::try_from(POOLS).unwrap());
    // Both sides of the race were seen, or nothing was proved.
    assert!(cancelled > finished / 20 && finished > cancelled / 20);
    assert!(others > 1_000);
    accounts.assert_settled(secs(20));
}
