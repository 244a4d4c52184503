//! Runs a program straight to Postgres and through pgweir, and compares what it prints.

use std::fs;
use std::process::{Command, Stdio};

use pgweir::cluster::process::{Signal, bound_command, spawn, wait_for_exit};

use crate::difference;
use crate::harness::await_event::secs;
use crate::harness::files::Folder;
use crate::stage::{Entrance, Stage};

/// Plays both ways; panics unless both end well and print the same.
pub fn assert_same(stage: &Stage, command: impl Fn(&Entrance) -> Command) {
    let (straight, pooled) = outputs(stage, command);
    difference::assert_same_lines(&straight, &pooled);
}

/// What it prints straight to Postgres, and through pgweir; panics unless both end well.
pub fn outputs(stage: &Stage, command: impl Fn(&Entrance) -> Command) -> (String, String) {
    let straight =
        stage.straight(|entrance| run("straight to Postgres", entrance, command(entrance)));
    let pooled =
        stage.through_pgweir(|entrance| run("through pgweir", entrance, command(entrance)));
    (straight, pooled)
}

/// Its standard output; panics with everything it said unless it ends well within a minute.
pub fn run(way: &str, entrance: &Entrance, command: Command) -> String {
    // `bound_command` ends it with us; what the caller set is carried over.
    let mut bound = bound_command(command.get_program().as_ref(), None, Signal::Kill);
    entrance.lead(&mut bound);
    bound.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    let folder = Folder::new();
    let (out, err) = (folder.write("stdout", ""), folder.write("stderr", ""));
    let append = |path| fs::OpenOptions::new().append(true).open(path).unwrap();
    bound.env("PGWEIR_TEST_FOLDER", folder.path());
    bound.stdin(Stdio::null()).stdout(append(&out)).stderr(append(&err));
    let program = command.get_program().display().to_string();
    let mut child = spawn(bound).unwrap_or_else(|error| panic!("{program}: {error}"));
    let status = wait_for_exit(&mut child, secs(60)).unwrap();
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let said = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let (out, err) = (said(&out), said(&err));
    let ending = status.map_or("hung and was killed".to_owned(), |status| status.to_string());
    assert!(
        status.is_some_and(|status| status.success()),
        "{way} {program} failed: {ending}\n--- its output:\n{out}\n--- its errors:\n{err}"
    );
    // Shown by nextest when the test fails elsewhere, and by --no-capture.
    eprint!("--- {way}, {program}:\n{out}{err}");
    out
}
