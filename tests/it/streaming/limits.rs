//! Back-pressure: whoever does not read stops whoever writes, and hinders nobody else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pgweir::cluster::Cluster;

use super::{LINE, Lines, Peak, send_lines};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_for, wait_until};
use crate::harness::front;
use crate::harness::message;
use crate::harness::nonce::Nonce;
use crate::harness::pgweir_process::Pgweir;
use crate::harness::proxy::FaultProxy;

/// More than the sockets' own buffers take between two programs and pgweir.
const BUFFERS: usize = 48_000_000;

/// Others get their answers meanwhile.
fn assert_others_are_served(pgweir: &Pgweir) {
    let plan = Nonce::new(pgweir.listen(), front::login()).clients(20).rounds(20);
    plan.limit(secs(30)).run().assert_all_ok(400);
}

/// Waits until a count stands still, and gives it.
fn wait_for_standstill(what: &str, count: impl Fn() -> usize) -> usize {
    let mut last = (count(), Instant::now());
    wait_for(what, secs(20), || {
        let now = count();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (now > 0 && last.1.elapsed() > Duration::from_millis(300)).then_some(now)
    })
}

fn waits_for(cluster: &Cluster, event: &str) -> bool {
    let question =
        format!("select 1 from pg_stat_activity where datname = 'shop' and wait_event = '{event}'");
    !cluster.primary().sql("postgres", &question).unwrap().is_empty()
}

#[test]
fn a_client_that_does_not_read_stops_its_server_and_nobody_else() {
    let cluster = front::shop();
    let pgweir = front::pool_of(2, cluster.primary().address()).start();
    let peak = Peak::of(&pgweir);
    assert_others_are_served(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut slow = front::client(&pgweir);
    let count = 200_000;
    let rows = "select lpad(n::text, 999, '0') || E'\\n' from generate_series";
    slow.send(&message::query(format!("{rows}(1, {count}) n"))).unwrap();
    wait_until("its server stops", secs(10), || waits_for(&cluster, "ClientWrite"));
    assert_others_are_served(&pgweir);
    wait_until("its server still waits", secs(10), || waits_for(&cluster, "ClientWrite"));
    peak.assert_flat();
    // Then it reads after all, and nothing is missing.
    slow.until(b'T');
    let mut lines = Lines::default();
    for _ in 0..count {
        let mut front = 6;
        let row = slow.skim(|bytes| {
            let skipped = front.min(bytes.len());
            front -= skipped;
            lines.check(&bytes[skipped..]);
        });
        assert_eq!(row.unwrap(), Some((b'D', 6 + LINE)));
    }
    lines.assert_whole(count);
    assert_eq!(slow.until_ready().len(), 2);
    peak.assert_flat();
    drop(slow);
    accounts.assert_settled(secs(10));
}

#[test]
fn many_clients_that_do_not_read_need_no_more_than_their_sockets() {
    let cluster = front::shop();
    let pgweir = front::pool_of(20, cluster.primary().address()).start();
    let peak = Peak::of(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut slow: Vec<_> = (0..19).map(|_| front::client(&pgweir)).collect();
    for client in &mut slow {
        let rows = "select repeat('x', 100000) from generate_series(1, 1000000)";
        client.send(&message::query(rows)).unwrap();
    }
    let question = "select 1 from pg_stat_activity where wait_event = 'ClientWrite'";
    let stopped = || cluster.primary().sql("postgres", question).unwrap().len();
    wait_until("all their servers stop", secs(20), || stopped() == 19);
    peak.assert_flat();
    assert_others_are_served(&pgweir);
    drop(slow);
    accounts.assert_settled(secs(20));
}

#[test]
fn a_server_that_does_not_read_stops_its_client_and_nobody_else() {
    let cluster = front::shop();
    let proxy = FaultProxy::to(cluster.primary().address());
    let pgweir = front::pool_of(2, proxy.address()).start();
    let peak = Peak::of(&pgweir);
    assert_others_are_served(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    cluster.primary().sql("shop", "create unlogged table lines (text text)").unwrap();
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(60));
    client.send(&message::query("copy lines from stdin")).unwrap();
    client.until(b'G');
    // No other connection gets so far.
    proxy.to_server(|flow| flow.stall_after(1_000_000));
    let (count, sent) = (200_000, AtomicUsize::new(0));
    let mut writer = client.writer().unwrap();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            send_lines(count, |piece| {
                writer.send(&message::copy_data(piece))?;
                sent.fetch_add(piece.len(), Ordering::Relaxed);
                Ok(())
            })
        });
        let so_far = wait_for_standstill("the client stops", || sent.load(Ordering::Relaxed));
        assert!(so_far < BUFFERS, "{so_far} bytes were taken from the client");
        peak.assert_flat();
        assert_others_are_served(&pgweir);
        proxy.heal();
        assert_eq!(sending.join().unwrap().unwrap(), count * LINE);
    });
    client.send(&message::copy_done()).unwrap();
    let frames = client.until_ready();
    assert_eq!(frames[0].command_tag(), Some(format!("COPY {count}")), "{frames:?}");
    peak.assert_flat();
    drop((client, writer));
    accounts.assert_settled(secs(10));
}

#[test]
fn requests_and_replies_stream_past_each_other() {
    let cluster = front::shop();
    let pgweir = front::pool_of(1, cluster.primary().address()).start();
    let peak = Peak::of(&pgweir);
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]);
    let mut client = front::client(&pgweir);
    client.set_deadline(secs(60));
    let value = "v".repeat(64 * 1024);
    let batch = [
        message::parse("", "select $1::text || $1::text", &[]),
        message::bind("", "", &[Some(value.as_bytes())]),
        message::execute("", 0),
        message::sync(),
    ]
    .concat();
    let batches = 1_000;
    let mut writer = client.writer().unwrap();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| (0..batches).try_for_each(|_| writer.send(&batch)));
        for _ in 0..batches {
            let mut tags = Vec::new();
            while tags.last() != Some(&b'Z') {
                let (tag, length) = client.skim(|_| {}).unwrap().expect("a reply");
                assert!(tag != b'D' || length == 6 + 2 * value.len(), "{length}");
                tags.push(tag);
            }
            assert_eq!(tags, b"12DCZ");
        }
        sending.join().unwrap().unwrap();
    });
    peak.assert_flat();
    drop((client, writer));
    accounts.assert_settled(secs(10));
}
