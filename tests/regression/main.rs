//! Postgres' own regression scripts, played by psql straight to Postgres and through pgweir in transaction mode, each
//! on a fresh copy of one server: the output must be the same, but for what `explained.txt` explains.
//!
//! `PGWEIR_REGRESSION_SCRIPTS="guc temp"` plays only these, `PGWEIR_REGRESSION_OUT=folder` keeps what psql wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

mod comparison;
#[allow(dead_code, reason = "what only the oracle's tests ask for")]
#[path = "../oracle/corpus.rs"]
mod corpus;
#[path = "../oracle/corpus_folder.rs"]
mod corpus_folder;
mod explained;
#[path = "../it/harness/mod.rs"]
mod harness;
mod rival;
mod scripts;
mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use comparison::{Difference, Expectation};
use explained::Explained;
use scripts::Corpus;
use stage::Stage;

/// Those that are about sessions, in `make test`.
const OF_SESSIONS: &[&str] = &[
    "advisory_lock",
    "async",
    "combocid",
    "copy",
    "copy2",
    "copydml",
    "copyselect",
    "create_role",
    "date",
    "guc",
    "interval",
    "largeobject",
    "namespace",
    "plancache",
    "plpgsql_cache",
    "plpgsql_transaction",
    "portals",
    "prepare",
    "prepared_xacts",
    "privileges",
    "roleattributes",
    "sequence",
    "temp",
    "transactions",
    "txid",
];

/// How often a script is played straight again to see what chance does in it.
const REPLAYS: usize = 3;

/// How many scripts are played at once.
const AT_ONCE: usize = 3;

#[test]
fn scripts_about_sessions_print_the_same() {
    play(|corpus| {
        corpus.names().into_iter().filter(|name| OF_SESSIONS.contains(&&**name)).collect()
    });
}

#[test]
#[ignore = "takes long: make test-regression"]
fn every_script_prints_the_same() {
    play(|corpus| match std::env::var("PGWEIR_REGRESSION_SCRIPTS") {
        Ok(names) => names.split_whitespace().map(str::to_owned).collect(),
        Err(_) => corpus.names(),
    });
}

/// What came of a script.
struct Outcome {
    differences: Vec<Difference>,
    left_over: Vec<String>,
    by_chance: usize,
    statements: usize,
    errors: usize,
    turns: u64,
}

fn play(choose: impl Fn(&Corpus) -> Vec<String>) {
    let Some(folder) = corpus_folder::corpus_folder() else { return };
    let began = Instant::now();
    let corpus = Corpus::at(folder);
    let names = choose(&corpus);
    assert!(!names.is_empty(), "no script");
    let stage = Stage::new(&corpus);
    let explained = Explained::stored();
    let outcomes = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = outcome(&corpus, &stage, &explained, name);
                    outcomes.lock().unwrap().insert(name.clone(), outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let sum = |of: fn(&Outcome) -> usize| outcomes.values().map(of).sum::<usize>();
    let (version, major) = stage.version();
    say(&format!(
        "regression: {} scripts, {} statements ({} errors) with Postgres {version}; the rival had the server {} times; \
         {} lines differ by chance; {} differences; {} s",
        outcomes.len(),
        sum(|outcome| outcome.statements),
        sum(|outcome| outcome.errors),
        outcomes.values().map(|outcome| outcome.turns).sum::<u64>(),
        sum(|outcome| outcome.by_chance),
        sum(|outcome| outcome.differences.len()),
        began.elapsed().as_secs()
    ));
    let found = outcomes.iter().map(|(name, outcome)| (name.clone(), outcome.differences.clone()));
    let verdict = explained.judge(major, &found.collect());
    for (reason, count) in &verdict.reasons {
        say(&format!("regression: {count} explained: {reason}"));
    }
    let mut faults = verdict.faults;
    for (name, outcome) in &outcomes {
        faults.extend(outcome.left_over.iter().map(|held| format!("[{name}] left over: {held}")));
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
}

fn outcome(corpus: &Corpus, stage: &Stage<'_>, explained: &Explained, name: &str) -> Outcome {
    let straight = stage.straight(name);
    let pooled = stage.through_pgweir(name);
    let mut expectation = Expectation::of(&straight, &straight);
    let mut differences = expectation.differences(&pooled.output);
    // Then it matters what differs by chance, and that may need some more throws of the dice.
    for _ in 0..REPLAYS {
        if explained.covers(stage.version().1, name, &differences) {
            break;
        }
        expectation = Expectation::of(&straight, &stage.straight(name));
        differences = expectation.differences(&pooled.output);
    }
    differences.extend(pooled.warnings);
    if let Some(folder) = std::env::var_os("PGWEIR_REGRESSION_OUT").map(PathBuf::from) {
        fs::write(folder.join(format!("{name}.straight")), &straight).unwrap();
        fs::write(folder.join(format!("{name}.pooled")), &pooled.output).unwrap();
        let lines: Vec<_> = differences.iter().map(|found| found.lines.join("\n")).collect();
        fs::write(folder.join(format!("{name}.differences")), lines.join("\n\n")).unwrap();
        say(&format!(
            "{name}: {} differences, {} left over, {} turns",
            differences.len(),
            pooled.left_over.len(),
            pooled.turns
        ));
    }
    let text = String::from_utf8_lossy(&corpus.script(name)).into_owned();
    Outcome {
        differences,
        left_over: pooled.left_over,
        by_chance: expectation.by_chance(),
        statements: corpus::statements(&text).len(),
        errors: straight.lines().filter(|line| line.starts_with("ERROR:")).count(),
        turns: pooled.turns,
    }
}

/// Says it past the harness' capture.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
