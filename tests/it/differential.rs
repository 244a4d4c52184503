//! pgweir answers as Postgres does: the same scripts, straight and through it, give the same
//! replies.

use pgweir::cluster::{Cluster, Node};

use crate::harness::diff::{Differential, Explained, Target, stored_scripts};
use crate::harness::http;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::Login;

fn differential(pool_mode: &str, replicas: usize) {
    let cluster = Cluster::options().replicas(replicas).start().unwrap();
    let primary = cluster.primary();
    if replicas > 0 {
        // What the scripts find there has been put there straight: replicas have it as soon as it is acknowledged.
        primary.add_conf("synchronous_standby_names = '*'").unwrap();
        primary.add_conf("synchronous_commit = remote_apply").unwrap();
        primary.reload().unwrap();
    }
    let url = |node: &Node| format!("postgres://{}?sslmode=disable", node.address());
    let replica = |options: PgweirOptions, node: &Node| options.replica("*", &url(node));
    let options = Pgweir::options().database("*", &url(primary));
    let options = cluster.replicas().iter().fold(options, replica);
    let options = match replicas {
        0 => options,
        // As many reads as can be.
        _ => options.set("databases.\"*\".routing", "replica_wait = \"100ms\""),
    };
    let pgweir = options
        .role("postgres", "postgres")
        .set("auth", "method = \"trust\"")
        .set("defaults", "pool_size = 4")
        .set("defaults", &format!("pool_mode = \"{pool_mode}\""))
        .start();
    let login = || Login::new("diff", "postgres");
    let direct = Target::new("Postgres", primary.address(), login());
    let through = Target::new("pgweir", pgweir.address(), login());
    let outcome = Differential::new(primary, direct, through).run(&stored_scripts());
    assert!(!outcome.played.is_empty());
    outcome.assert_explained(&Explained::stored(primary.binaries().major()));
    if replicas > 0 {
        let read = "reason=\"read\"";
        let page = http::get(pgweir.http(), "/metrics");
        let reads = page.lines().filter(|line| line.contains(read));
        let reads: u64 =
            reads.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
        println!("{} scripts, {reads} requests at replicas", outcome.played.len());
        assert!(reads > 0);
    }
}

#[test]
fn transaction_mode_answers_as_postgres_does() {
    differential("transaction", 0);
}

#[test]
fn with_replicas_it_answers_as_postgres_does() {
    differential("transaction", 1);
}
