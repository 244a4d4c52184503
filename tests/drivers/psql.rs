//! psql, pg_dump and pg_restore.

use std::path::Path;
use std::process::Command;

use crate::comparison::{assert_same, run};
use crate::difference::assert_same_lines;
use crate::harness::files::Folder;
use crate::stage::{Entrance, Stage};

#[test]
fn psql() {
    let stage = Stage::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/psql/session.sql");
    assert_same(&stage, |_| {
        let mut command = psql_of(&stage);
        command.arg("-f").arg(&script);
        command
    });
}

#[test]
fn psql_single_transaction_stops_at_an_error() {
    let stage = Stage::new();
    assert_same(&stage, |_| {
        let mut command = Command::new("sh");
        let script = "\"$0\" -X -1 -c 'create table a (a int)' -c 'select 1/0' -c 'select 2' 2>&1; echo \"exit code $?\"; \
                      \"$0\" -X -c \"select to_regclass('a') is null\"; \
                      PGPASSWORD=wrong \"$0\" -X -c 'select 1' 2>&1 | sed 's/.*failed: //'";
        command.args(["-c", script]).arg(stage.program("psql"));
        command
    });
}

#[test]
fn pg_dump_and_pg_restore() {
    let stage = Stage::new();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/psql/schema.sql");
    let play = |entrance: &Entrance| {
        let folder = Folder::new();
        let archive = folder.path().join("archive");
        let mut fill = psql_of(&stage);
        fill.args(["-v", "ON_ERROR_STOP=1", "-f"]).arg(&schema);
        run("psql", entrance, fill);
        let before = dumped(&stage, entrance);
        let mut dump = Command::new(stage.program("pg_dump"));
        dump.args(["--format=directory", "--jobs=3", "--file"]).arg(&archive);
        run("pg_dump", entrance, dump);
        let mut clear = psql_of(&stage);
        clear.args(["-c", "drop schema shop cascade"]);
        run("psql", entrance, clear);
        let mut restore = Command::new(stage.program("pg_restore"));
        restore.args(["--exit-on-error", "--jobs=3", "--dbname=app"]).arg(&archive);
        run("pg_restore", entrance, restore);
        let after = dumped(&stage, entrance);
        assert_same_lines(&before, &after);
        after
    };
    let straight = stage.straight(play);
    let pooled = stage.through_pgweir(play);
    assert!(straight.contains("COPY shop.item"), "{straight}");
    assert_same_lines(&straight, &pooled);
}

fn dumped(stage: &Stage, entrance: &Entrance) -> String {
    let text = run("pg_dump", entrance, Command::new(stage.program("pg_dump")));
    // Newer ones lock psql's commands with a random word.
    let same = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines().filter(same).map(|line| format!("{line}\n")).collect()
}

fn psql_of(stage: &Stage) -> Command {
    let mut command = Command::new("sh");
    // Errors and notices stand between the results, without the numbers of this run.
    let script = "\"$0\" -X \"$@\" 2>&1 | sed -E 's/PID [0-9]+/PID n/; s/port \"[0-9]+\"/port/; s/Time: .*/Time/'";
    command.args(["-c", script]).arg(stage.program("psql"));
    command
}
