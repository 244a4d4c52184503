//! What pgweir must survive: crowds, kills, restarts, garbage, cuts at every byte. Whatever happens,
//! every answer is its own client's and the accounts hold afterwards.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgweir::cluster::Cluster;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::diff::Random;
use crate::harness::http;
use crate::harness::message;
use crate::harness::nonce::{Asks, Nonce};
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::proxy::FaultProxy;
use crate::harness::raw::{Login, RawClient, Reply};

fn login() -> Login {
    Login::new("postgres", "postgres")
}

fn pool_of(size: u32, cluster: &Cluster) -> Pgweir {
    options_of(size, cluster).start()
}

fn options_of(size: u32, cluster: &Cluster) -> PgweirOptions {
    Pgweir::options()
        .database("*", &format!("postgres://{}?sslmode=disable", cluster.primary().address()))
        .role("postgres", "postgres")
        .set("auth", "method = \"trust\"")
        .set("defaults", &format!("pool_size = {size}\nreserve_pool_size = 0"))
        .set("defaults", "pool_wait_timeout = \"60s\"")
}

/// A warmed-up pgweir and its accounts at rest.
fn warm<'a>(pgweir: &Pgweir, cluster: &'a Cluster) -> Accounting<'a> {
    let plan = Nonce::new(pgweir.listen(), login()).clients(50).rounds(5);
    plan.run().assert_all_ok(250);
    Accounting::of(pgweir, &[cluster.primary()])
}

#[test]
fn two_thousand_clients_share_five_servers_and_each_gets_its_own_answers() {
    let cluster = Cluster::start().unwrap();
    let pgweir = pool_of(5, &cluster);
    let accounts = warm(&pgweir, &cluster).memory_slack_kb(16 * 1024);
    for asks in [Asks::Simple, Asks::Extended] {
        let plan = Nonce::new(pgweir.listen(), login()).clients(2_000).rounds(10).asks(asks);
        plan.limit(secs(120)).run().assert_all_ok(20_000);
        let servers =
            crate::harness::accounting::activity(cluster.primary(), "postgres", "postgres");
        assert!(servers <= 6, "{servers} connections at the server");
    }
    accounts.assert_settled(secs(10));
}

/// A figure of each event loop.
fn of_loops(pgweir: &Pgweir, name: &str) -> Vec<f64> {
    let page = http::get(pgweir.http(), "/metrics");
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{loop=")));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
}

#[test]
fn two_loops_share_a_crowd_and_its_servers() {
    let cluster = Cluster::start().unwrap();
    let pgweir = options_of(5, &cluster).set("server", "workers = 2").start();
    let accounts = warm(&pgweir, &cluster).memory_slack_kb(32 * 1024);
    let done = AtomicBool::new(false);
    let before = of_loops(&pgweir, "pgweir_loop_transactions_total");
    let (counts, samples) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut sql = cluster.primary().open_sql("postgres").unwrap();
            let count = "select count(*) from pg_stat_activity \
                         where backend_type = 'client backend' and pid <> pg_backend_pid()";
            let mut samples = 0;
            while !done.load(Ordering::Relaxed) {
                let open = sql.run(count).unwrap()[0][0].clone().unwrap();
                assert!(open.parse::<u32>().unwrap() <= 5, "{open} servers");
                accounts.assert_balanced();
                samples += 1;
                std::thread::park_timeout(Duration::from_millis(10));
            }
            samples
        });
        let plan = Nonce::new(pgweir.listen(), login()).clients(2_000).rounds(15);
        let counts = plan.asks(Asks::Every).together().limit(secs(120)).run();
        done.store(true, Ordering::Relaxed);
        (counts, sampler.join().unwrap())
    });
    assert!(samples > 50, "only {samples} samples");
    let overtaken = counts.overtaken_us();
    let after = of_loops(&pgweir, "pgweir_loop_transactions_total");
    let ran: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let share = ran[0] / (ran[0] + ran[1]);
    let sent: f64 = of_loops(&pgweir, "pgweir_loop_servers_sent_total").iter().sum();
    let by_policy = of_loops(&pgweir, "pgweir_loop_overtaken_seconds_max");
    println!(
        "{samples} samples, loop 0 ran {:.1} %, {sent} servers travelled, overtaken by {:.1} ms as \
         clients see it, by {by_policy:?} s as the loops do",
        share * 100.0,
        overtaken as f64 / 1e3
    );
    counts.assert_all_ok(30_000);
    assert!((0.4..=0.6).contains(&share), "{ran:?}");
    assert!(by_policy.iter().all(|&most| most <= 0.05), "{by_policy:?}");
    accounts.assert_settled(secs(10));
}

#[test]
fn clients_killed_at_random_harm_nobody() {
    let cluster = Cluster::start().unwrap();
    let pgweir = pool_of(5, &cluster);
    let accounts = warm(&pgweir, &cluster);
    let plan = Nonce::new(pgweir.listen(), login()).clients(200).rounds(50);
    let counts = plan.kills_in_thousand(50).limit(secs(120)).run();
    assert!(counts.killed > 200, "{counts:?}");
    counts.assert_all_ok(10_000 - counts.killed);
    accounts.assert_settled(secs(10));
}

#[test]
fn backends_terminated_at_random_under_load_cost_only_their_own_statement() {
    let cluster = Cluster::start().unwrap();
    let pgweir = pool_of(5, &cluster);
    let accounts = warm(&pgweir, &cluster);
    let done = AtomicBool::new(false);
    let (counts, killed) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut sql = cluster.primary().open_sql("postgres").unwrap();
            let mut killed = 0;
            while !done.load(Ordering::Relaxed) {
                let rows = sql
                    .run(
                        "select pg_terminate_backend(pid) from pg_stat_activity \
                         where backend_type = 'client backend' and pid <> pg_backend_pid() \
                         order by random() limit 1",
                    )
                    .unwrap();
                killed += rows.len();
                accounts.assert_balanced();
                std::thread::park_timeout(Duration::from_millis(20));
            }
            killed
        });
        let plan = Nonce::new(pgweir.listen(), login()).clients(100).rounds(200);
        let counts = plan.limit(secs(120)).run();
        done.store(true, Ordering::Relaxed);
        (counts, killer.join().unwrap())
    });
    assert!(killed > 20, "only {killed} were terminated");
    counts.assert_none_foreign();
    assert!(counts.lost.is_empty(), "sessions were lost: {counts:?}");
    let known = ["57P01", "08006"];
    assert!(counts.errors.keys().all(|code| known.contains(&code.as_str())), "{counts:?}");
    let failed: u64 = counts.errors.values().sum();
    assert!(failed <= killed as u64, "{failed} failures for {killed} kills: {counts:?}");
    accounts.assert_settled(secs(10));
}

#[test]
fn a_restart_of_postgres_under_load_is_survived_by_every_session() {
    let cluster = Cluster::start().unwrap();
    let pgweir = pool_of(5, &cluster);
    let accounts = warm(&pgweir, &cluster);
    let counts = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let plan = Nonce::new(pgweir.listen(), login()).clients(100).rounds(300);
            plan.limit(secs(120)).run()
        });
        for _ in 0..3 {
            std::thread::park_timeout(Duration::from_millis(700));
            cluster.primary().restart().unwrap();
        }
        load.join().unwrap()
    });
    counts.assert_none_foreign();
    assert!(counts.lost.is_empty(), "sessions were lost: {counts:?}");
    let failed: u64 = counts.errors.values().sum();
    // At most what was running on the five servers at each restart.
    assert!(failed <= 3 * 5, "{counts:?}");
    assert_eq!(counts.ok + failed, 30_000, "{counts:?}");
    accounts.assert_settled(secs(20));
}

/// One kind of garbage, told apart by its seed: login phase or session phase, random bytes, true
/// frames with random bodies, lying lengths, cut and half-closed.
fn garbage(seed: u64, pgweir: &Pgweir) {
    let mut random = Random::new(seed);
    let mut bytes = |limit: usize| -> Vec<u8> {
        let len = random.below(limit) + 1;
        (0..len).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
    };
    let body = bytes(200);
    let tags = b"QPBEDCHSFdcfpX\0RZ!";
    let tag = tags[usize::from(bytes(1)[0]) % tags.len()];
    let packet = match seed % 7 {
        0 => body.clone(),
        1 => message::packet(196_608, &body),
        2 => message::packet(80_877_102 + (u32::from(body[0]) % 4), &body),
        _ => Vec::new(),
    };
    if !packet.is_empty() {
        if let Ok(mut stream) = TcpStream::connect(pgweir.listen()) {
            // It may be closed on us at any byte; that is the point.
            let _ = stream.write_all(&packet);
        }
        return;
    }
    let mut client = pgweir.client(&login());
    let bytes = match seed % 7 {
        3 => message::framed(tag, &body),
        4 => message::lying(tag, i32::from_be_bytes([body[0], 0, 1, 2]), &body),
        5 => [message::parse("", "select $1", &[]), message::framed(tag, &body)].concat(),
        _ => [message::query("begin"), message::framed(tag, &body), message::sync()].concat(),
    };
    let _ = client.send(&bytes);
    if seed.is_multiple_of(2) {
        let _ = client.half_close();
    }
}

#[test]
fn garbage_of_ten_thousand_kinds_leaves_nothing_behind() {
    let cluster = Cluster::start().unwrap();
    let pgweir = pool_of(5, &cluster);
    let accounts = warm(&pgweir, &cluster);
    std::thread::scope(|scope| {
        for part in 0..4 {
            let pgweir = &pgweir;
            scope.spawn(move || {
                for n in 0..2_500 {
                    garbage(n * 4 + part, pgweir);
                }
            });
        }
        let plan = Nonce::new(pgweir.listen(), login()).clients(10).rounds(200);
        plan.limit(secs(120)).run().assert_all_ok(2_000);
    });
    accounts.assert_settled(secs(10));
    let plan = Nonce::new(pgweir.listen(), login()).clients(50).rounds(10);
    plan.run().assert_all_ok(500);
}

#[test]
fn bytes_that_come_one_by_one_both_ways_make_no_difference() {
    let cluster = Cluster::start().unwrap();
    let to_server = FaultProxy::to(cluster.primary().address());
    to_server.to_server(|flow| flow.pieces(1));
    to_server.to_client(|flow| flow.pieces(1));
    let pgweir = Pgweir::options()
        .database("*", &format!("postgres://{}?sslmode=disable", to_server.address()))
        .role("postgres", "postgres")
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 3")
        .start();
    let to_pgweir = FaultProxy::to(pgweir.listen());
    to_pgweir.to_server(|flow| flow.pieces(1));
    to_pgweir.to_client(|flow| flow.pieces(1));
    let plan = Nonce::new(to_pgweir.address(), login()).clients(10).rounds(10);
    plan.limit(secs(120)).run().assert_all_ok(100);
}

/// Forty messages of every kind, in one write.
fn forty_messages() -> Vec<u8> {
    let unnamed = |sql: &str| {
        [
            message::parse("", sql, &[]),
            message::bind("", "", &[]),
            message::describe(b'P', ""),
            message::execute("", 0),
        ]
        .concat()
    };
    [
        message::query("begin"),
        message::query("create temp table cut (n int) on commit drop"),
        message::query("copy cut from stdin"),
        message::copy_data("1\n"),
        message::copy_data("2\n"),
        message::copy_done(),
        message::query("select * from cut"),
        message::query("commit"),
        unnamed("select 1"),
        message::sync(),
        unnamed("select 2"),
        message::flush(),
        unnamed("select 3"),
        message::sync(),
        message::query("select 1; select 2"),
        message::query(""),
        unnamed("selec"),
        message::sync(),
        message::query("begin"),
        unnamed("select 1/0"),
        message::sync(),
        message::query("rollback"),
        message::query("copy (select generate_series(1, 5)) to stdout"),
        message::function_call(177, &[], &[Some(b"3"), Some(b"4")], 0),
        message::close(b'P', ""),
        message::sync(),
        message::query("select 'last'"),
        message::terminate(),
    ]
    .concat()
}

#[test]
fn a_script_cut_at_every_byte_leaves_clean_servers() {
    let cluster = Cluster::start().unwrap();
    let pgweir = pool_of(2, &cluster);
    let accounts = warm(&pgweir, &cluster);
    let script = forty_messages();
    for cut in 0..=script.len() {
        let mut client = pgweir.client(&login());
        client.send(&script[..cut]).unwrap();
        drop(client);
        if cut % 50 == 0 {
            accounts.assert_balanced();
            let mut next = pgweir.client(&login());
            assert_eq!(next.ask_value("select 'mine'"), "mine", "after a cut at byte {cut}");
        }
    }
    accounts.assert_settled(secs(20));
    let plan = Nonce::new(pgweir.listen(), login()).clients(20).rounds(20);
    plan.run().assert_all_ok(400);
}

#[test]
fn a_server_cut_at_every_byte_of_its_replies_fails_only_what_it_was_running() {
    let cluster = Cluster::start().unwrap();
    let proxy = FaultProxy::to(cluster.primary().address());
    let pgweir = Pgweir::options()
        .database("*", &format!("postgres://{}?sslmode=disable", proxy.address()))
        .role("postgres", "postgres")
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 1")
        .set("defaults", "pool_wait_timeout = \"5s\"")
        .start();
    // The login of one server connection takes about 400 bytes; cuts fall into it and behind it.
    for cut in (300..900).step_by(7) {
        proxy.to_client(|flow| flow.cut_after(cut));
        proxy.cut_all();
        if let Ok((mut client, _)) = RawClient::try_login(&pgweir.address(), &login()) {
            client.send(&message::query("select 'cut'")).unwrap();
            loop {
                match client.reply().expect("an answer, an error or an end; not silence") {
                    Reply::Frame(frame) if frame.tag == b'Z' => break,
                    Reply::Frame(_) => {}
                    Reply::Closed(_) => break,
                }
            }
        }
        proxy.heal();
    }
    proxy.heal();
    let plan = Nonce::new(pgweir.listen(), login()).clients(10).rounds(10);
    plan.limit(secs(60)).run().assert_all_ok(100);
}
