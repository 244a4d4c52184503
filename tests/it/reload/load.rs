//! Reloads while clients ask: every answer is its own client's, and nothing is left over.

use std::sync::atomic::{AtomicBool, Ordering};

use pgweir::cluster::Cluster;

use super::{Keys, postgres, primary, reload};
use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::nonce::{Counts, Nonce};
use crate::harness::pgweir_process::Pgweir;

const RELOADS: usize = 50;

/// Runs load without end, a plan after the other, while `keys` makes the configuration of each of
/// 50 reloads; gives what came of the load and how many answers were expected.
fn reload_under_load(pgweir: &mut Pgweir, mut keys: impl FnMut(usize) -> Keys) -> (Counts, u64) {
    let done = AtomicBool::new(false);
    let listen = pgweir.listen();
    let (clients, rounds) = (60, 40);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut all, mut expected) = (Counts::default(), 0);
            while !done.load(Ordering::Relaxed) || expected == 0 {
                let plan = Nonce::new(listen, postgres()).clients(clients).rounds(rounds);
                let counts = plan.limit(secs(120)).seed(expected + 1).run();
                expected += (clients * rounds) as u64;
                all.ok += counts.ok;
                all.foreign += counts.foreign;
                all.errors.extend(counts.errors);
                all.lost.extend(counts.lost);
                all.examples.extend(counts.examples);
            }
            (all, expected)
        });
        for number in 0..RELOADS {
            reload(pgweir, &keys(number));
        }
        done.store(true, Ordering::Relaxed);
        load.join().unwrap()
    })
}

fn warm<'a>(pgweir: &Pgweir, cluster: &'a Cluster) -> Accounting<'a> {
    let plan = Nonce::new(pgweir.listen(), postgres()).clients(60).rounds(5);
    plan.run().assert_all_ok(300);
    Accounting::of(pgweir, &[cluster.primary()])
}

#[test]
fn fifty_reloads_of_sizes_and_limits_cost_no_client_anything() {
    let cluster = Cluster::start().unwrap();
    let base = Keys::of(&cluster).set("defaults.pool_size", "5");
    let mut pgweir = base.start();
    let process = pgweir.pid();
    let accounts = warm(&pgweir, &cluster);
    let (counts, expected) = reload_under_load(&mut pgweir, |number| {
        let keys = base
            .clone()
            .set("defaults.pool_size", ["1", "8", "3"][number % 3])
            .set("defaults.pool_wait_timeout", ["\"60s\"", "\"off\""][number % 2])
            .set("defaults.server_lifetime", ["\"1h\"", "\"20ms\""][number % 2])
            .set("log.level", ["\"info\"", "\"warn\""][number % 2])
            .set("server.max_client_connections", ["5000", "400"][number % 2]);
        match number % 2 {
            0 => keys.set("databases.other.primary", "\"postgres://127.0.0.1:1/other\""),
            _ => keys,
        }
    });
    counts.assert_all_ok(expected);
    assert_eq!(pgweir.pid(), process);
    reload(&mut pgweir, &base);
    accounts.assert_settled(secs(10));
}

#[test]
fn fifty_moves_of_the_server_cost_no_client_anything() {
    let cluster = Cluster::start().unwrap();
    let base = Keys::of(&cluster).set("defaults.pool_size", "5");
    let base = base.set("defaults.pool_wait_timeout", "\"60s\"");
    let mut pgweir = base.start();
    let accounts = warm(&pgweir, &cluster);
    // The same server under other words: every server connection is replaced each time.
    let (counts, expected) = reload_under_load(&mut pgweir, |number| {
        let named = primary(&cluster, &format!("&application_name=reload_{number}"));
        base.clone().set("databases.\"*\".primary", &named)
    });
    counts.assert_all_ok(expected);
    accounts.assert_settled(secs(10));
    let names = "select distinct application_name from pg_stat_activity \
                 where application_name like 'reload%'";
    let names = cluster.primary().sql("postgres", names).unwrap();
    let last = format!("reload_{}", RELOADS - 1);
    let mut others = names.iter().filter(|row| row[0].as_deref() != Some(last.as_str()));
    assert!(others.next().is_none(), "servers of earlier configurations are left: {names:?}");
}
