//! One run of Django's tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use pgweir::cluster::process::{Signal, bound_command, spawn, wait_for_exit};
use serde_json::Value;

use super::{PASSWORD, ROLE};
use crate::harness::files::Folder;

/// Django's processes; each has a copy of both databases.
const PROCESSES: usize = 2;
/// A run that takes longer hangs: many times what it takes on an idle machine with two cores.
const RUN_LIMIT: Duration = Duration::from_secs(45 * 60);

/// The databases that the tests run in, once Django has made them.
pub fn databases() -> Vec<String> {
    let copies = |name: &str| {
        (1..=PROCESSES).map(move |copy| format!("test_{name}_{copy}")).collect::<Vec<_>>()
    };
    [copies("django"), copies("other")].concat()
}

/// What Django talks to Postgres with.
#[derive(Debug, Clone, Copy)]
pub enum Driver {
    /// psycopg 2.
    Psycopg2,
    /// psycopg 3, with server-side binding.
    Psycopg3,
}

impl Driver {
    /// As the files of this test call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Psycopg2 => "psycopg2",
            Self::Psycopg3 => "psycopg3",
        }
    }
}

/// Folders of Django's tests.
#[derive(Debug)]
pub struct Parts(Vec<String>);

impl Parts {
    /// All that `apps.txt` lists.
    pub fn all() -> Self {
        Self::chosen(|line| Some(line.strip_prefix('+').unwrap_or(line)))
    }

    /// Those that it marks for `make test`.
    pub fn of_make_test() -> Self {
        Self::chosen(|line| line.strip_prefix('+'))
    }

    fn chosen(choose: impl Fn(&str) -> Option<&str>) -> Self {
        let list = include_str!("apps.txt").lines().filter(|line| !line.starts_with('#'));
        Self(list.filter_map(choose).map(str::to_owned).collect())
    }

    /// Whether a test is in one of them.
    pub fn contain(&self, test: &str) -> bool {
        test.split('.').next().is_some_and(|part| self.0.iter().any(|known| known == part))
    }
}

/// What became of one run's tests.
#[derive(Debug)]
pub struct Run {
    /// By the test's id.
    pub outcomes: BTreeMap<String, String>,
    /// How many of them use a database.
    pub with_database: u64,
    /// How long it took, databases included.
    pub took: Duration,
    /// All that Django printed.
    pub output: String,
}

/// Runs them against this port; panics with what Django printed unless it comes to its end.
pub fn run(way: &str, driver: Driver, parts: &Parts, port: u16) -> Run {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = repository.join("target/drivers/python/bin/python");
    let tests = repository.join("target/drivers/django/tests");
    for file in [&python, &tests.join("runtests.py")] {
        assert!(file.exists(), "no {}: run .ci/setup test", file.display());
    }
    let folder = Folder::new();
    let (out, outcomes) = (folder.write("out", ""), folder.path().join("outcomes.json"));
    let append = || fs::OpenOptions::new().append(true).open(&out).unwrap();
    let mut command = bound_command(&python, None, Signal::Kill);
    for (name, _) in std::env::vars_os() {
        let name_bytes = name.as_encoded_bytes();
        if name_bytes.starts_with(b"PG") || name_bytes.starts_with(b"DJANGO") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(&tests)
        .args(["runtests.py", "--settings", "suite_settings", "--noinput"])
        .args(["--parallel", &PROCESSES.to_string()])
        .args(&parts.0)
        .env("PYTHONPATH", repository.join("tests/drivers/django_suite"))
        // Neither password files nor certificates of whoever runs this.
        .env("HOME", "/nonexistent")
        .env("TMPDIR", folder.path())
        .env("LC_ALL", "C.UTF-8")
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", ROLE)
        .env("PGPASSWORD", PASSWORD)
        .env("PGWEIR_TEST_DRIVER", driver.name())
        .env("PGWEIR_TEST_OUTCOMES", &outcomes)
        .stdin(Stdio::null())
        .stdout(append())
        .stderr(append());
    let began = Instant::now();
    let mut child = spawn(command).unwrap_or_else(|error| panic!("{}: {error}", python.display()));
    let status = wait_for_exit(&mut child, RUN_LIMIT).unwrap();
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let took = began.elapsed();
    let output = String::from_utf8_lossy(&fs::read(&out).unwrap()).into_owned();
    keep(way, driver, &output);
    // Its exit code tells of failed tests, which the outcomes do better.
    let report = fs::read_to_string(&outcomes).ok().filter(|_| status.is_some());
    let Some(report) = report else {
        let ending = status.map_or("hung and was killed".to_owned(), |status| status.to_string());
        panic!("{way}, Django's tests did not come to their end: {ending}\n{output}");
    };
    let report: Value = serde_json::from_str(&report).unwrap();
    Run {
        outcomes: serde_json::from_value(report["outcomes"].clone()).unwrap(),
        with_database: report["with_database"].as_u64().unwrap(),
        took,
        output,
    }
}

/// Leaves what Django printed where it can be read afterwards.
fn keep(way: &str, driver: Driver, output: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join(format!("django-{}-{way}.log", driver.name())), output).unwrap();
}
