//! The scripts in Python and JavaScript, and where `.ci/setup test` puts what they need.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::comparison::assert_same;
use crate::stage::Stage;

#[test]
fn psycopg2() {
    python("python/psycopg2_script.py");
}

#[test]
fn psycopg3_sync() {
    python("python/psycopg3_sync.py");
}

#[test]
fn psycopg3_async() {
    python("python/psycopg3_async.py");
}

#[test]
fn asyncpg() {
    python("python/asyncpg_script.py");
}

#[test]
fn django() {
    python("django/play.py");
}

#[test]
fn node_postgres() {
    node("node/pg.mjs");
}

#[test]
fn postgres_js() {
    node("node/postgres.mjs");
}

fn python(script: &str) {
    let interpreter = repository().join("target/drivers/python/bin/python");
    assert_installed(&interpreter);
    assert_same(&Stage::new(), |_| {
        let mut command = Command::new(&interpreter);
        // -B: nothing is written beside the scripts.
        command.args(["-B", "-X", "dev"]).arg(here().join(script));
        command.env("PYTHONPATH", here().join("python"));
        command
    });
}

fn node(script: &str) {
    assert_installed(&here().join("node/node_modules/.installed"));
    assert_same(&Stage::new(), |_| {
        let mut command = Command::new("node");
        command.arg(here().join(script));
        command
    });
}

fn assert_installed(file: &Path) {
    assert!(file.exists(), "no {}: run .ci/setup test", file.display());
}

fn repository() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn here() -> PathBuf {
    repository().join("tests/drivers")
}
