//! pgweir answers as Postgres does: the same scripts, straight and through it, give the same
//! replies.

use pgweir::cluster::Cluster;

use crate::harness::diff::{Differential, Explained, Target, stored_scripts};
use crate::harness::pgweir_process::Pgweir;
use crate::harness::raw::Login;

fn differential(pool_mode: &str) {
    let cluster = Cluster::start().unwrap();
    let primary = cluster.primary();
    let url = format!("postgres://{}?sslmode=disable", primary.address());
    let pgweir = Pgweir::options()
        .database("*", &url)
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
}

#[test]
fn transaction_mode_answers_as_postgres_does() {
    differential("transaction");
}
