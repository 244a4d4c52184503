//! Statements that end around their limit: whatever the cancel request hits, it is no other.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use pgweir::cluster::Cluster;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::proxy::{FaultProxy, Flow, Only};
use crate::harness::raw::Login;

const POOLS: usize = 20;

/// Who enforces the limit.
#[derive(Clone, Copy, PartialEq)]
enum Belt {
    /// The server, first.
    Servers,
    /// pgweir alone: what it puts into startup packets reaches servers under another name.
    Pgweirs,
}

/// `statement_timeout` of the pools; pgweir's clock strikes 100 ms later. No statement that is to be left
/// alone comes near to what strikes first.
fn limit_ms(belt: Belt) -> u64 {
    match belt {
        Belt::Servers => 400,
        Belt::Pgweirs => 300,
    }
}

/// Rounds of all pools together, for each protocol and belt: 400 unless the environment says otherwise.
fn rounds() -> u32 {
    let all = std::env::var("PGWEIR_TIMEOUT_ROUNDS").map_or(400, |n| n.parse().unwrap());
    all / u32::try_from(POOLS).unwrap()
}

/// Small random numbers; each pool has its own seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % limit
    }
}

/// What all pools saw.
#[derive(Default)]
struct Seen {
    cancelled: AtomicU32,
    finished: AtomicU32,
    others: AtomicU32,
    /// Batches of the same client that were on the wire behind one that ran too long.
    behind: AtomicU32,
    /// Of those, the ones that were hit.
    behind_hit: AtomicU32,
    /// Statements of the same transaction that Postgres hit with the limit of the one before.
    left_over: AtomicU32,
}

impl Seen {
    fn count(&self, what: &AtomicU32) {
        what.fetch_add(1, Ordering::Relaxed);
    }
}

fn batch(text: &str) -> Vec<u8> {
    let messages = [
        message::parse("", text, &[]),
        message::bind("", "", &[]),
        message::execute("", 0),
        message::sync(),
    ];
    messages.concat()
}

/// What names the limit in startup packets names nothing there.
fn without_belt(flow: Flow) -> Flow {
    flow.swap(b"statement_timeout", b"pgweir.statement_")
}

fn one_server_pools(cluster: &Cluster, proxy: &FaultProxy, belt: Belt) -> Pgweir {
    let url = format!("postgres://{}?sslmode=disable", proxy.address());
    let mut options: PgweirOptions = Pgweir::options()
        .database("*", &url)
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 1")
        .set("defaults", "reserve_pool_size = 0")
        .set("defaults", &format!("statement_timeout = \"{}ms\"", limit_ms(belt)));
    for n in 0..POOLS {
        cluster.primary().sql("postgres", &format!("create role racer_{n} login")).unwrap();
        options = options.role(&format!("racer_{n}"), "x");
    }
    options.start()
}

/// Runs statements of about the limit, in a transaction or not; between two of them one that nobody
/// may hit, at once.
fn race(pgweir: &Pgweir, role: &str, seed: u64, (extended, belt): (bool, Belt), seen: &Seen) {
    let mut client = pgweir.client(&Login::new(role, "postgres"));
    let mut dice = Dice(seed);
    for round in 0..rounds() {
        let runs_us = match belt {
            Belt::Servers => limit_ms(belt) * 1_000 - 3_000 + dice.below(6_000),
            Belt::Pgweirs => limit_ms(belt) * 1_000 + 85_000 + dice.below(40_000),
        };
        let runs = Duration::from_micros(runs_us);
        let text = format!("select pg_sleep({:.6}), '{role}-{round}'", runs.as_secs_f64());
        let in_transaction = dice.below(2) == 0;
        if in_transaction {
            client.ask("begin");
        }
        let request = if extended { batch(&text) } else { message::query(&text) };
        // What is on the wire already cannot be called back: such a batch may be hit.
        let is_pipelined = extended && dice.below(2) == 0;
        let nonce = format!("{role}-{round}-behind");
        let behind = if is_pipelined { batch(&format!("select '{nonce}'")) } else { Vec::new() };
        client.send(&[request, behind].concat()).unwrap();
        let frames = client.until_ready();
        let status = frames.last().and_then(Frame::status);
        let was_cut = match frames.iter().find_map(Frame::sqlstate).as_deref() {
            Some("57014") => true,
            None => false,
            Some(other) => panic!("{role} round {round}: {other}"),
        };
        let open = if was_cut { 'E' } else { 'T' };
        assert_eq!(status, Some(if in_transaction { open } else { 'I' }), "{role} {round}");
        seen.count(if was_cut { &seen.cancelled } else { &seen.finished });
        if is_pipelined {
            seen.count(&seen.behind);
            let frames = client.until_ready();
            match frames.iter().find_map(Frame::sqlstate).as_deref() {
                Some("25P02") if was_cut && in_transaction => {}
                Some("57014") => seen.count(&seen.behind_hit),
                None => assert_eq!(frames.iter().find_map(Frame::first_text), Some(nonce)),
                Some(other) => panic!("{role} round {round}, behind: {other}"),
            }
        } else if !was_cut {
            let nonce = format!("{role}-{round}-next");
            let frames = client.ask(&format!("select '{nonce}'"));
            match frames.iter().find_map(Frame::sqlstate).as_deref() {
                // Postgres leaves its own limit to what comes next where it expires at a statement's very
                // end; within a transaction that is so with pgweir, too.
                Some("57014") if belt == Belt::Servers && in_transaction => {
                    seen.count(&seen.left_over);
                }
                _ => assert_eq!(frames.iter().find_map(Frame::first_text), Some(nonce)),
            }
        }
        if in_transaction {
            let end = client.ask("rollback");
            assert_eq!(end[0].command_tag().as_deref(), Some("ROLLBACK"), "{role} {round}");
        }
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
        assert_eq!(client.ask_value(&text), nonce, "a statement that is within its limit");
        seen.count(&seen.others);
        round += 1;
    }
}

fn statements_that_end_around_their_limit_hit_no_other(extended: bool, belt: Belt) {
    let cluster = Cluster::start().unwrap();
    let proxy = FaultProxy::to(cluster.primary().address());
    if belt == Belt::Pgweirs {
        proxy.to_server(without_belt);
    }
    let pgweir = one_server_pools(&cluster, &proxy, belt);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let (seen, done) = (Seen::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let pools: Vec<_> = (0..POOLS)
            .map(|n| {
                let (pgweir, seen) = (&pgweir, &seen);
                scope.spawn(move || {
                    let role = format!("racer_{n}");
                    let over = AtomicBool::new(false);
                    std::thread::scope(|pool| {
                        pool.spawn(|| run_undisturbed(pgweir, &role, &over, seen));
                        let racer =
                            pool.spawn(|| race(pgweir, &role, n as u64, (extended, belt), seen));
                        let outcome = racer.join();
                        over.store(true, Ordering::Relaxed);
                        outcome.unwrap();
                    });
                })
            })
            .collect();
        scope.spawn(|| {
            let mut dice = Dice(99);
            while !done.load(Ordering::Relaxed) {
                let delay = Duration::from_micros(dice.below(5_000));
                proxy.to_server(|flow| {
                    let flow = flow.only(Only::Cancels).delay(delay);
                    if belt == Belt::Pgweirs { without_belt(flow) } else { flow }
                });
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let outcomes: Vec<_> = pools.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    });
    let (cancelled, finished) = (seen.cancelled.into_inner(), seen.finished.into_inner());
    let others = seen.others.into_inner();
    println!(
        "{} with {} belt: {cancelled} cancelled, {finished} had ended before, {others} others untouched; \
         {} of {} batches on the wire behind a late one were hit; in {} transactions Postgres hit the next",
        if extended { "batches" } else { "queries" },
        if belt == Belt::Servers { "the server's" } else { "pgweir's" },
        seen.behind_hit.into_inner(),
        seen.behind.into_inner(),
        seen.left_over.into_inner(),
    );
    assert_eq!(cancelled + finished, rounds() * u32::try_from(POOLS).unwrap());
    // Both sides of the race were seen, or nothing was proved.
    assert!(cancelled > finished / 20 && finished > cancelled / 20, "{cancelled} {finished}");
    accounts.assert_settled(secs(20));
}

#[test]
fn statements_in_a_query_that_end_around_their_limit_hit_no_other() {
    statements_that_end_around_their_limit_hit_no_other(false, Belt::Pgweirs);
    statements_that_end_around_their_limit_hit_no_other(false, Belt::Servers);
}

#[test]
fn statements_in_a_batch_that_end_around_their_limit_hit_no_other() {
    statements_that_end_around_their_limit_hit_no_other(true, Belt::Pgweirs);
    statements_that_end_around_their_limit_hit_no_other(true, Belt::Servers);
}
