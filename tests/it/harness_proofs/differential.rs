//! The differential runner finds nothing between Postgres and itself, and finds what was altered.

use std::collections::BTreeSet;

use pgweir::cluster::Cluster;

use crate::harness::diff::{
    Differential, Explained, Outcome, Script, Target, parse_scripts, stored_scripts,
};
use crate::harness::proxy::FaultProxy;
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
    let explained = Explained::stored(15);
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

const SMALL: &str = r#"
=== small/one
Q "select 'abc'"
---
=== small/two
P "" "select $1::text"
B "" "" ["abc"]
E "" 0
S
---
Q "select 'unhurt'"
---
=== small/three
Q "select 'quite another'"
---
"#;

fn small() -> Vec<Script> {
    parse_scripts(SMALL).unwrap()
}

/// Plays the small scripts directly and through a proxy that hurts.
fn through(hurt: impl Fn(&FaultProxy)) -> Outcome {
    let cluster = Cluster::start().unwrap();
    let proxy = FaultProxy::to(cluster.primary().address());
    hurt(&proxy);
    let target = Target::new("the proxy", proxy.address(), Login::new("diff", "postgres"));
    Differential::new(cluster.primary(), direct(&cluster), target).seed(7).run(&small())
}

#[test]
fn a_proxy_that_alters_nothing_makes_no_difference() {
    let outcome = through(|proxy| {
        proxy.to_client(|flow| flow.pieces(1));
        proxy.to_server(|flow| flow.pieces(3));
    });
    outcome.assert_explained(&Explained::nothing());
}

#[test]
fn altered_bytes_of_the_server_are_found_and_shown() {
    let outcome = through(|proxy| proxy.to_client(|flow| flow.swap(b"abc", b"abd")));
    // Whole and split, each time.
    assert_eq!(outcome.differences.len(), 6);
    let shown = outcome.complaints(&Explained::nothing());
    for line in ["small/one (whole)", "  - DataRow \"abc\"", "  + DataRow \"abd\"", "(split 2)"] {
        assert!(shown.contains(line), "{line} in\n{shown}");
    }
    assert!(!shown.contains("small/three"), "{shown}");
}

#[test]
fn altered_bytes_of_the_client_are_found() {
    let outcome = through(|proxy| proxy.to_server(|flow| flow.swap(b"unhurt", b"killed")));
    let shown = outcome.complaints(&Explained::nothing());
    assert!(shown.contains("+ DataRow \"killed\""), "{shown}");
}

#[test]
fn a_lost_reply_is_found() {
    let outcome = through(|proxy| proxy.to_client(|flow| flow.cut_after(480)));
    let shown = outcome.complaints(&Explained::nothing());
    assert!(shown.contains("+ (closed"), "{shown}");
}

#[test]
#[should_panic(expected = "small/one (whole)")]
fn an_unexplained_difference_fails_the_test() {
    through(|proxy| proxy.to_client(|flow| flow.swap(b"abc", b"abd")))
        .assert_explained(&Explained::parse("small/two it is only half of it", 15).unwrap());
}

#[test]
fn explained_differences_must_be_exact() {
    let outcome = through(|proxy| proxy.to_client(|flow| flow.swap(b"abc", b"abd")));
    let exact =
        Explained::parse("small/one swapped\nsmall/two swapped\n# a comment\n", 15).unwrap();
    outcome.assert_explained(&exact);
    let stale = Explained::parse("small/one a\nsmall/two b\nsmall/three c", 15).unwrap();
    let complaint = outcome.complaints(&stale);
    assert_eq!(complaint, "small/three is explained but does not differ any more\n");
    assert!(Explained::parse("small/one", 15).unwrap_err().contains("without a reason"));
    assert!(Explained::parse("a b\na c", 15).unwrap_err().contains("twice"));
    let known = BTreeSet::from(["small/one".to_owned()]);
    assert_eq!(exact.unknown(&known).collect::<Vec<_>>(), ["small/two"]);
}

#[test]
fn a_difference_is_explained_for_the_major_versions_that_it_names() {
    let list = "a [-17] old\n?b [18-] new\nc [15-16] between\nd everywhere\na [18-] otherwise";
    for (major, covered) in [(14, "ad"), (15, "acd"), (16, "acd"), (17, "ad"), (18, "abd")] {
        let explained = Explained::parse(list, major).unwrap();
        let found = ["a", "b", "c", "d"].into_iter().filter(|name| explained.covers(name));
        assert_eq!(found.collect::<String>(), covered, "{major}");
        // An entry for another major version must name a script too.
        let known = ["a", "c", "d"].map(str::to_owned).into();
        assert_eq!(explained.unknown(&known).collect::<Vec<_>>(), ["b"]);
    }
    for odd in ["a [17] x", "a [18-17] x", "a [18- x", "a [x-] y", "a [-17]"] {
        assert!(Explained::parse(odd, 15).is_err(), "{odd}");
    }
    assert!(Explained::parse("a [-15] b\na [15-] c", 15).unwrap_err().contains("twice"));
}

#[test]
fn a_script_that_postgres_never_answers_is_called_broken() {
    let cluster = Cluster::start().unwrap();
    let stuck = parse_scripts("=== stuck/x\nQ \"select 1\"\n--- Z 2\n").unwrap();
    let outcome =
        Differential::new(cluster.primary(), direct(&cluster), direct(&cluster)).run(&stuck);
    let complaints = outcome.complaints(&Explained::nothing());
    assert!(complaints.contains("broken script: stuck/x: stuck"), "{complaints}");
}

#[test]
fn what_is_wrong_in_a_script_is_told_with_its_line() {
    let check = |text: &str, expected: &str| {
        let error = parse_scripts(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    check("Q \"x\"", "line 1: a step before the first ===");
    check("=== a\n\nW \"x\"\n---", "line 3 (a): nobody knows the message \"W\"");
    check("=== a\nQ \"x\n---", "line 2 (a): a string without its end");
    check("=== a\nQ \"x\"", "messages after the last ---");
    check("=== a\nH\n---", "nothing is owed here");
    check("=== a\nQ \"x\"\n--- Y", "nobody knows how to await");
    check("=== a\nQ \"\\q\"\n---", "an unknown escape");
    check("=== a\nB p s [1 2\n---", "a list without its end");
    check("=== two words\n", "no name for a script");
}
