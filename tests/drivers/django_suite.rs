//! Django's own tests, straight to Postgres and through pgweir in transaction mode: what becomes of each test must
//! be the same. Through pgweir its sessions share their servers with others, who change what they can.
//!
//! `django_suite/apps.txt` names the parts that are run, `django_suite/explained.txt` the tests that cannot do behind
//! a pooler what they do without.

mod neighbours;
mod suite;
mod verdict;

use pgweir::cluster::{AuthMethod, Cluster};

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::pgweir_process::Pgweir;
use neighbours::Neighbours;
use suite::{Driver, Parts, databases};
use verdict::{Explained, Verdict};

/// A superuser, for the tests make databases and extensions.
const ROLE: &str = "app";
const PASSWORD: &str = "app's";
/// Servers for each database: as many as a test's own sessions need, and fewer than there are neighbours.
const SERVERS: u32 = 3;

#[test]
fn django_suite_short() {
    compare(Driver::Psycopg3, &Parts::of_make_test(), 500);
}

#[test]
#[ignore = "make test-django"]
fn django_suite_whole_psycopg2() {
    compare(Driver::Psycopg2, &Parts::all(), 6_000);
}

#[test]
#[ignore = "make test-django"]
fn django_suite_whole_psycopg3() {
    compare(Driver::Psycopg3, &Parts::all(), 6_000);
}

/// Runs both ways; panics when something other than what is explained differs, when fewer tests than these used a
/// database, when a neighbour saw what was not its own, or when anything is left over in pgweir.
fn compare(driver: Driver, parts: &Parts, at_least: u64) {
    let cluster =
        Cluster::options().auth(AuthMethod::ScramSha256).role(ROLE, PASSWORD).start().unwrap();
    let primary = cluster.primary();
    primary.sql("postgres", &format!("ALTER ROLE {ROLE} SUPERUSER")).unwrap();
    let straight = suite::run("straight", driver, parts, primary.port());

    let pgweir = Pgweir::options()
        .database("*", &format!("postgres://{}?sslmode=disable", primary.address()))
        .role(ROLE, PASSWORD)
        .set("server", "workers = 2")
        .set("defaults", "pool_mode = \"transaction\"")
        .set("defaults", &format!("pool_size = {SERVERS}\nreserve_pool_size = 0"))
        .start();
    pgweir.wait_for_log("HTTP on", secs(10));
    let accounts = Accounting::of(&pgweir, &[primary]).memory_slack_kb(64 * 1024);
    let neighbours = Neighbours::move_in(&pgweir, &databases());
    let pooled = suite::run("pooled", driver, parts, pgweir.listen().port());
    let diary = neighbours.leave();
    println!("{diary}");
    accounts.assert_settled(secs(20));
    println!("{}", verdict::complaints(&pgweir.log()));

    let verdict = Verdict::of(&straight, &pooled, &Explained::stored(driver, parts));
    println!("Django's tests with {}, {verdict}", driver.name());
    verdict.assert_good(at_least, diary.complaints());
}
