//! `max_server_connections`, `min_pool_size`, `reserve_pool_size`, `server_role`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::accounting::Accounting;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::message;
use crate::harness::nonce::Nonce;
use crate::harness::raw::RawClient;

use super::{in_front_of, login, server, sessions};

#[test]
fn two_crowds_share_the_limit_while_backends_die_and_postgres_never_sees_more() {
    const LIMIT: u64 = 6;
    let cluster = server().start().unwrap();
    let pgweir = in_front_of(&cluster)
        .set("databases.shop", &format!("max_server_connections = {LIMIT}"))
        .start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]).memory_slack_kb(32 * 1024);
    let done = AtomicBool::new(false);
    let (even, both) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut sql = cluster.primary().open_sql("postgres").unwrap();
            let (mut samples, mut even, mut both) = (0, 0, 0);
            while !done.load(Ordering::Relaxed) {
                let rows = sql
                    .run(
                        "select count(*), count(*) filter (where usename = 'ann'), \
                         count(*) filter (where usename = 'bob') from pg_stat_activity \
                         where datname = 'shop' and backend_type = 'client backend'",
                    )
                    .unwrap();
                let count = |n: usize| rows[0][n].as_deref().unwrap().parse::<u64>().unwrap();
                assert!(count(0) <= LIMIT, "{} sessions", count(0));
                both += u64::from(count(0) == LIMIT && count(1) > 0 && count(2) > 0);
                even += u64::from(count(1) == LIMIT / 2 && count(2) == LIMIT / 2);
                samples += 1;
                if samples % 20 == 0 {
                    sql.run(
                        "select pg_terminate_backend(pid) from pg_stat_activity \
                         where datname = 'shop' and state = 'idle' limit 1",
                    )
                    .unwrap();
                }
                accounts.assert_balanced();
                std::thread::park_timeout(Duration::from_millis(5));
            }
            (even, both)
        });
        let crowds: Vec<_> = ["ann", "bob"]
            .into_iter()
            .map(|role| {
                let plan = Nonce::new(pgweir.listen(), login(role)).clients(60).rounds(60);
                scope.spawn(move || plan.limit(secs(120)).run())
            })
            .collect();
        for crowd in crowds {
            crowd.join().unwrap().assert_none_foreign();
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(even * 2 > both, "three each in {even} of {both} looks at both at the limit");
    accounts.assert_settled(secs(10));
}

#[test]
fn an_idle_server_of_another_role_makes_room() {
    let cluster = server().start().unwrap();
    let pgweir = in_front_of(&cluster).set("databases.shop", "max_server_connections = 1").start();
    for role in ["ann", "bob", "cid", "ann"] {
        assert_eq!(pgweir.client(&login(role)).ask_value("select current_user"), role);
    }
    let all: u64 = ["ann", "bob", "cid"].into_iter().map(|role| sessions(&cluster, role)).sum();
    assert_eq!(all, 1);
    Accounting::of(&pgweir, &[cluster.primary()]).assert_settled(secs(10));
}

#[test]
fn the_minimum_is_open_before_the_first_client_and_after_a_restart_of_postgres() {
    let cluster = server().start().unwrap();
    let pgweir = in_front_of(&cluster).set("roles.ann", "min_pool_size = 3").start();
    let three = || sessions(&cluster, "ann") == 3;
    wait_until("three servers are open", secs(10), three);
    cluster.primary().restart().unwrap();
    wait_until("three servers are open again", secs(20), three);
    assert_eq!(sessions(&cluster, "bob"), 0);
    Accounting::of(&pgweir, &[cluster.primary()]).assert_settled(secs(10));
}

#[test]
fn the_reserve_serves_who_has_waited_and_is_given_back() {
    let cluster = server().start().unwrap();
    let pgweir = in_front_of(&cluster)
        .set("roles.ann", "pool_size = 1\nreserve_pool_size = 1\nreserve_pool_wait = \"200ms\"")
        .start();
    let (mut holder, mut waiter) = (pgweir.client(&login("ann")), pgweir.client(&login("ann")));
    holder.ask("begin");
    assert_eq!(waiter.ask_value("select 1"), "1");
    wait_until("the reserve is given back", secs(5), || sessions(&cluster, "ann") == 1);
    holder.ask("commit");
    Accounting::of(&pgweir, &[cluster.primary()]).assert_settled(secs(10));
}

#[test]
fn roles_share_the_servers_of_one_server_role() {
    let cluster = server().start().unwrap();
    let pgweir =
        in_front_of(&cluster).set("databases.shop", "server_role = \"cid\"\npool_size = 2").start();
    let accounts = Accounting::of(&pgweir, &[cluster.primary()]).memory_slack_kb(32 * 1024);
    std::thread::scope(|scope| {
        for role in ["ann", "bob", "cid"] {
            let plan = Nonce::new(pgweir.listen(), login(role)).clients(20).rounds(20);
            scope.spawn(move || plan.run().assert_all_ok(400));
        }
    });
    let open: Vec<u64> = ["ann", "bob", "cid"].map(|role| sessions(&cluster, role)).into();
    assert_eq!(open, [0, 0, 2]);
    accounts.assert_settled(secs(10));
}

#[test]
fn a_full_house_refuses_politely_and_still_cancels() {
    let cluster = server().start().unwrap();
    let pgweir = in_front_of(&cluster).set("server", "max_client_connections = 1").start();
    let (mut client, frames) = RawClient::try_login(&pgweir.address(), &login("ann")).unwrap();
    let key = frames.iter().find(|frame| frame.tag == b'K').unwrap().body.clone();
    client.send(&message::query("select pg_sleep(60)")).unwrap();
    let refused = RawClient::try_login(&pgweir.address(), &login("bob"));
    let last = refused.unwrap().1.pop().unwrap();
    assert_eq!(last.sqlstate().as_deref(), Some("53300"));
    let pid = u32::from_be_bytes(key[..4].try_into().unwrap());
    let question = "select 1 from pg_stat_activity where state = 'active' and query like '%sleep(60)' \
                    and pid <> pg_backend_pid()";
    let running = || !cluster.primary().sql("postgres", question).unwrap().is_empty();
    wait_until("it runs", secs(10), running);
    let mut canceller = RawClient::connect(&pgweir.address()).unwrap();
    canceller.send(&message::cancel_request(pid, &key[4..])).unwrap();
    canceller.until_closed();
    let answer = client.until_ready();
    assert_eq!(answer.iter().find_map(Frame::sqlstate).as_deref(), Some("57014"));
}
