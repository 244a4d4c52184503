//! Whether two runs are as they should be.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::suite::{Driver, Parts, Run};

/// The tests of `explained.txt` that concern a run.
#[derive(Debug)]
pub struct Explained(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    test: String,
    /// Whether it fails only sometimes.
    by_chance: bool,
}

impl Explained {
    /// Those of this driver in these parts.
    pub fn stored(driver: Driver, parts: &Parts) -> Self {
        Self::read(include_str!("explained.txt"), driver, parts)
    }

    fn read(text: &str, driver: Driver, parts: &Parts) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entry = |line: &str| {
            let (test, rest) =
                line.split_once(' ').unwrap_or_else(|| panic!("no reason in: {line}"));
            let by_chance = test.starts_with('?');
            let test = test.trim_start_matches('?').to_owned();
            let only = ["psycopg2", "psycopg3"].into_iter().find_map(|name| {
                rest.strip_prefix(&format!("[{name}] ")).map(|reason| (name, reason))
            });
            let (concerned, reason) =
                only.map_or((true, rest), |(name, reason)| (name == driver.name(), reason));
            assert!(!reason.trim().is_empty(), "no reason in: {line}");
            (concerned && parts.contain(&test)).then_some(Entry { test, by_chance })
        };
        Self(lines.filter_map(entry).collect())
    }
}

/// What two runs come to.
#[derive(Debug)]
pub struct Verdict<'a> {
    straight: &'a Run,
    pooled: &'a Run,
    /// Tests with other outcomes through pgweir, unless they failed straight, with both outcomes.
    unexplained: Vec<(&'a str, &'a str, &'a str)>,
    explained: usize,
    /// Explained tests that do not differ.
    stale: Vec<String>,
}

const ABSENT: &str = "not run";
const FAILED: &str = "failed";

impl<'a> Verdict<'a> {
    /// Compares every test of either.
    pub fn of(straight: &'a Run, pooled: &'a Run, explained: &Explained) -> Self {
        let both = straight.outcomes.keys().chain(pooled.outcomes.keys());
        let tests: std::collections::BTreeSet<&String> = both.collect();
        let outcome =
            |run: &'a Run, test: &str| run.outcomes.get(test).map_or(ABSENT, String::as_str);
        let mut different: BTreeMap<&str, (&str, &str)> = tests
            .into_iter()
            .map(|test| (test.as_str(), (outcome(straight, test), outcome(pooled, test))))
            .filter(|(_, (straight, pooled))| straight != pooled && *straight != FAILED)
            .collect();
        let found = different.len();
        let stale = explained
            .0
            .iter()
            .filter(|entry| different.remove(entry.test.as_str()).is_none() && !entry.by_chance);
        let stale = stale.map(|entry| entry.test.clone()).collect();
        Self {
            straight,
            pooled,
            explained: found - different.len(),
            unexplained: different.into_iter().map(|(test, (a, b))| (test, a, b)).collect(),
            stale,
        }
    }

    /// Panics unless all is explained, enough was tested, and nobody else complains.
    pub fn assert_good(&self, at_least: u64, complaints: Vec<String>) {
        let wrong = self.wrong(at_least, complaints);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn wrong(&self, at_least: u64, complaints: Vec<String>) -> Vec<String> {
        let mut wrong = complaints;
        for (test, straight, pooled) in &self.unexplained {
            wrong.push(format!("{test}: straight {straight}, through pgweir {pooled}"));
            wrong.extend(report_of(&self.pooled.output, test));
        }
        wrong.extend(
            self.stale.iter().map(|test| format!("{test}: explained, but does not differ")),
        );
        let used = self.pooled.with_database;
        if used < at_least {
            wrong.push(format!("only {used} tests use a database, {at_least} should"));
        }
        // More than a few that fail straight say that the stage is not what Django expects.
        let failed = self.straight.outcomes.values().filter(|outcome| *outcome == FAILED).count();
        if failed > self.straight.outcomes.len() / 100 {
            wrong.push(format!("{failed} tests fail straight to Postgres"));
        }
        wrong
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of which use a database:", self.pooled.with_database)?;
        for (way, run) in [("straight", self.straight), ("through pgweir", self.pooled)] {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for outcome in run.outcomes.values() {
                *counts.entry(outcome).or_default() += 1;
            }
            let counts: Vec<_> =
                counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            let (all, seconds) = (run.outcomes.len(), run.took.as_secs());
            writeln!(f, "  {way:14} {all} tests in {seconds} s: {}", counts.join(", "))?;
        }
        for (test, _) in self.straight.outcomes.iter().filter(|(_, outcome)| *outcome == FAILED) {
            writeln!(f, "  fails straight to Postgres: {test}")?;
        }
        let (explained, unexplained) = (self.explained, self.unexplained.len());
        write!(
            f,
            "  other outcomes through pgweir: {explained} explained, {unexplained} unexplained"
        )
    }
}

/// What Django printed about a test that failed.
fn report_of(output: &str, test: &str) -> Option<String> {
    let mut reports =
        output.split("\n======================================================================\n");
    let report = reports.find(|report| {
        report.lines().next().is_some_and(|line| line.contains(&format!("({test})")))
    })?;
    Some(report.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"))
}

/// pgweir's warnings and errors, each text once with how often it came.
pub fn complaints(log: &str) -> String {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in log.lines() {
        let Ok(entry) = serde_json::from_str::<Value>(line) else {
            *counts.entry(("no JSON".into(), line.into())).or_default() += 1;
            continue;
        };
        let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        if word("level") != "INFO" {
            *counts.entry((word("level"), word("message"))).or_default() += 1;
        }
    }
    let lines = counts.iter().map(|((level, text), count)| format!("  {count} x {level} {text}"));
    ["pgweir's log:".to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

#[test]
fn only_what_is_worse_and_not_explained_is_held_against_pgweir() {
    let run = |outcomes: &[(&str, &str)]| {
        Run {
        outcomes: outcomes.iter().map(|(test, what)| ((*test).to_owned(), (*what).to_owned())).collect(),
        with_database: 9,
        took: std::time::Duration::ZERO,
        output: "\n======================================================================\nFAIL: b (backends.b)\nwhy".into(),
    }
    };
    let straight = run(&[
        ("backends.a", "passed"),
        ("backends.b", "passed"),
        ("backends.c", "failed"),
        ("backends.d", "passed"),
        ("backends.e", "passed"),
        ("backends.f", "passed"),
    ]);
    let pooled = run(&[
        ("backends.a", "passed"),
        ("backends.b", "failed"),
        ("backends.c", "failed"),
        ("backends.d", "failed"),
        ("backends.e", "skipped"),
    ]);
    let text = "# why\n\nbackends.d it counts connections\nbackends.a [psycopg3] stale\n?backends.c chance\n\
                elsewhere.a not in these parts\nbackends.a [psycopg2] another driver's\n";
    let explained = Explained::read(text, Driver::Psycopg3, &Parts::of_make_test());
    let verdict = Verdict::of(&straight, &pooled, &explained);
    assert_eq!(
        verdict.unexplained,
        [
            ("backends.b", "passed", "failed"),
            ("backends.e", "passed", "skipped"),
            ("backends.f", "passed", "not run"),
        ]
    );
    assert_eq!(
        (verdict.explained, verdict.stale.as_slice()),
        (1, ["backends.a".to_owned()].as_slice())
    );
    let same = Verdict::of(&straight, &straight, &Explained(Vec::new()));
    let failed_straight = "1 tests fail straight to Postgres";
    assert_eq!(same.wrong(9, Vec::new()), [failed_straight]);
    assert_eq!(same.wrong(9, vec!["neighbours".to_owned()]), ["neighbours", failed_straight]);
    assert_eq!(
        report_of(&pooled.output, "backends.b").unwrap(),
        "    FAIL: b (backends.b)\n    why"
    );
}
