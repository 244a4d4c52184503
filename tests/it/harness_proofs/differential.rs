//! The differential runner finds nothing between Postgres and itself, and finds what was altered.

use std::collections::BTreeSet;

use pgweir::cluster::Cluster;

use crate::harness::diff::{Differential, Explained, Target, stored_scripts};
use crate::harness::raw::{Address, Login};

fn direct(cluster: &Cluster) -> Target {
    Target::new("Postgres", cluster.primary().address(), Login::new("diff", "postgres"))
}

#[test]
fn all_scripts_give_equal_replies_from_postgres_and_postgres() {
    let cluster = Cluster::start().unwrap();
    let scripts = stored_scripts();
    let socket = Address::Unix(cluster.primary().socket_path());
    let through = Target::new("its socket", socket, Login::new("diff", "postgres"));
    let outcome = Differential::new(cluster.primary(), direct(&cluster), through).run(&scripts);
    assert!(!outcome.played.is_empty());
    outcome.assert_explained(&Explained::nothing());
}

#[test]
fn the_list_of_explained_differences_names_scripts_that_exist() {
    let known: BTreeSet<String> = stored_scripts().into_iter().map(|script| script.name).collect();
    let explained = Explained::stored();
    assert_eq!(explained.unknown(&known).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn there_are_scripts_of_every_family() {
    let scripts = stored_scripts();
    for family in [
        "simple",
        "transaction",
        "savepoint",
        "session",
        "extended",
        "pipeline",
        "copy",
        "function-call",
        "encoding",
        "malformed",
        "startup",
    ] {
        let count = scripts.iter().filter(|s| s.name.starts_with(&format!("{family}/"))).count();
        println!("{family}: {count}");
        assert!(count >= 10, "only {count} scripts of {family}");
    }
    println!("all: {}", scripts.len());
    assert!(scripts.len() >= 300, "only {} scripts", scripts.len());
}
