//! Reads go where they are fresh, writes go to the primary: on a real primary and two streaming replicas.

mod faults;
mod pairs;
mod promotions;
mod statements;
mod ways;

use pgweir::cluster::Cluster;

use crate::harness::await_event::{secs, wait_for};
use crate::harness::http;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::{Login, RawClient};

/// A primary and two replicas with database `shop`, where every statement is logged that a server gets.
fn fleet() -> Cluster {
    Cluster::options()
        .database("shop")
        .replicas(2)
        .log_statements()
        .conf("log_line_prefix = ''")
        .conf("max_wal_senders = 10")
        .start()
        .unwrap()
}

/// pgweir in front of it, with these lines for the database's routing.
fn in_front(cluster: &Cluster, routing: &[&str]) -> PgweirOptions {
    let url = |node: &pgweir::cluster::Node| {
        format!("postgres://{}/shop?sslmode=disable", node.address())
    };
    let mut options = Pgweir::options()
        .database("shop", &url(cluster.primary()))
        .role("postgres", "postgres")
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 10\nreserve_pool_size = 0");
    for replica in cluster.replicas() {
        options = options.replica("shop", &url(replica));
    }
    for line in routing {
        options = options.set("databases.shop.routing", line);
    }
    options
}

fn login() -> Login {
    Login::new("postgres", "shop")
}

/// Waits until reads go to replicas: the servers have been asked, and the catalog has been read.
fn wait_for_reads(pgweir: &Pgweir, client: &mut RawClient, text: &str) {
    wait_for("a read at a replica", secs(20), || {
        let before = ways(pgweir, "read");
        client.ask(text);
        (ways(pgweir, "read") > before).then_some(())
    });
}

/// How many requests went where they went for this reason.
fn ways(pgweir: &Pgweir, reason: &str) -> u64 {
    let page = http::get(pgweir.http(), "/metrics");
    let of_reason = format!("reason=\"{reason}\"");
    page.lines()
        .filter(|line| {
            line.starts_with("pgweir_requests_routed_total{") && line.contains(&of_reason)
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// A figure of the pool, added up.
fn figure(pgweir: &Pgweir, name: &str) -> u64 {
    let page = http::get(pgweir.http(), "/metrics");
    let begins = format!("{name}{{");
    page.lines()
        .filter(|line| line.starts_with(&begins))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// As [`fleet`], without a word in the logs for each statement.
fn quiet_fleet() -> Cluster {
    Cluster::options()
        .database("shop")
        .replicas(2)
        .conf("max_wal_senders = 10")
        .conf("synchronous_commit = on")
        .start()
        .unwrap()
}
