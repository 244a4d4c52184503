//! Writes that wait for a synchronous standby.

use std::time::{Duration, Instant};

use pgweir::cluster::Cluster;

use super::limit;
use crate::console::{console, show};
use crate::harness::await_event::{secs, wait_until};
use crate::harness::message;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::proxy::FaultProxy;
use crate::harness::raw::Login;

/// How many writes wait.
const WRITES: usize = 60;

/// A cluster whose writes wait for ever; pgweir reaches it through a proxy.
fn without_standby() -> (Cluster, FaultProxy, PgweirOptions) {
    let cluster = Cluster::options().conf("synchronous_standby_names = 'nobody'").start().unwrap();
    let primary = cluster.primary();
    primary.sql("postgres", "create table t (n int)").unwrap();
    primary.sql("postgres", "grant all on t to public").unwrap();
    primary.sql("postgres", "create role web login").unwrap();
    primary.sql("postgres", "alter role web set synchronous_commit = on").unwrap();
    let proxy = FaultProxy::to(primary.address());
    let url = format!("postgres://{}/postgres?sslmode=disable", proxy.address());
    let options = Pgweir::options()
        .database("app", &url)
        .set("auth", "method = \"trust\"")
        .set("defaults", &format!("pool_size = {WRITES}"))
        .set("defaults", "reserve_pool_size = 0")
        .role("web", "x");
    (cluster, proxy, options)
}

#[test]
fn many_writes_that_wait_for_a_standby_are_not_cut_where_each_question_takes_its_time() {
    let (cluster, proxy, options) = without_standby();
    let primary = cluster.primary();
    let pgweir = limit(options, "web", "statement_timeout", "4s").start();
    let mut clients: Vec<_> =
        (0..WRITES).map(|_| pgweir.client(&Login::new("web", "app"))).collect();
    for client in &mut clients {
        client.send(&message::query("insert into t values (1)")).unwrap();
    }
    let count = |what: &str| -> usize {
        let text =
            format!("select count(*) from pg_stat_activity where usename = 'web' and {what}");
        let rows = primary.sql("postgres", &text).unwrap();
        rows[0][0].as_deref().unwrap().parse().unwrap()
    };
    let waiting = || count("wait_event = 'SyncRep'");
    wait_until("all of them wait", secs(30), || waiting() == WRITES);
    proxy.to_server(|flow| flow.delay(Duration::from_millis(200)));
    let struck =
        || pgweir.log().lines().filter(|line| line.contains("waits_for_standby")).count() == WRITES;
    wait_until("all of them are found to wait", secs(30), struck);
    let (began, mut inquiries) = (Instant::now(), 0);
    while began.elapsed() < secs(4) {
        inquiries = inquiries.max(count("application_name = 'pgweir inquiry'"));
        assert_eq!(waiting(), WRITES, "some were cut");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(inquiries, 1, "one connection asks about all");
    primary.add_conf("synchronous_standby_names = ''").unwrap();
    primary.reload().unwrap();
    for client in &mut clients {
        let tags: String = client.until_ready().iter().map(|frame| char::from(frame.tag)).collect();
        assert_eq!(tags, "CZ");
    }
    wait_until("nobody asks any more", secs(20), || {
        count("application_name = 'pgweir inquiry'") == 0
    });
}

#[test]
fn a_write_whose_wait_was_cut_as_nobody_could_say_is_told_as_what_it_is() {
    let (cluster, _proxy, options) = without_standby();
    let options = options.set("admin", "admins = [\"dba\"]");
    let pgweir = limit(options, "web", "statement_timeout", "500ms").start();
    let mut client = pgweir.client(&Login::new("web", "app"));
    client.ask("select 1");
    // No room for a connection that asks.
    cluster.primary().sql("postgres", "alter role web connection limit 1").unwrap();
    let frames = client.ask("insert into t values (1)");
    let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
    assert_eq!(tags, "NCZ");
    // The signal has to be known to have passed first.
    pgweir.wait_for_log("unconfirmed", secs(10));
    let table = show(&mut console(&pgweir), "TIMEOUTS");
    assert_eq!(table.value(&[("user", "web")], "outcome"), "unconfirmed");
    assert!(pgweir.log().contains("too many connections for role"));
}
