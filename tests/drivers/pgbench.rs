//! pgbench: its own tables and transactions, in each of its ways to send a query.

use std::process::Command;

use crate::comparison::run;
use crate::stage::{Entrance, Stage};

const CLIENTS: u32 = 8;
const TRANSACTIONS: u32 = 60;

/// Every batch of a pipeline, with values from the one before.
const PIPELINE: &str = "\\set id random(1, 1000)
\\startpipeline
begin;
update pgbench_accounts set abalance = abalance + 1 where aid = :id;
select abalance from pgbench_accounts where aid = :id;
insert into pgbench_history (tid, bid, aid, delta, mtime) values (1, 1, :id, 1, now());
end;
\\endpipeline
";

#[test]
fn pgbench_simple() {
    bench("simple");
}

#[test]
fn pgbench_extended() {
    bench("extended");
}

#[test]
fn pgbench_prepared() {
    bench("prepared");
}

#[test]
fn pgbench_connects_for_each_transaction() {
    let stage = Stage::new();
    stage.through_pgweir(|entrance| {
        initialise(&stage, entrance);
        let mut command = traffic(&stage, "simple", entrance.crowd_database());
        command.args(["--connect", "--transactions=15"]);
        let report = run("through pgweir", entrance, command);
        let all = CLIENTS * 15;
        assert!(report.contains(&format!("actually processed: {all}/{all}")), "{report}");
    });
}

#[test]
fn pgbench_pipeline() {
    let stage = Stage::new();
    let folder = crate::harness::files::Folder::new();
    let script = folder.write("pipeline.sql", PIPELINE);
    stage.through_pgweir(|entrance| {
        initialise(&stage, entrance);
        let mut command = traffic(&stage, "extended", entrance.crowd_database());
        command.arg("--file").arg(&script);
        assert_all_done(&run("through pgweir", entrance, command));
        let sums = "select count(*) = sum(delta), (select sum(abalance) from pgbench_accounts) = sum(delta) \
                    from pgbench_history";
        assert_eq!(ask(&stage, entrance, sums), "t|t");
    });
}

/// Initialises through pgweir, runs TPC-B, and does the sums.
fn bench(protocol: &str) {
    let stage = Stage::new();
    let play = |entrance: &Entrance| {
        initialise(&stage, entrance);
        let report = run("pgbench", entrance, traffic(&stage, protocol, entrance.crowd_database()));
        assert_all_done(&report);
        assert!(report.contains(&format!("query mode: {protocol}")), "{report}");
        let sums = "select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts) \
                    and sum(delta) = (select sum(bbalance) from pgbench_branches) \
                    and sum(delta) = (select sum(tbalance) from pgbench_tellers) from pgbench_history";
        assert_eq!(ask(&stage, entrance, sums), format!("{}|t", CLIENTS * TRANSACTIONS));
    };
    stage.straight(play);
    stage.through_pgweir(play);
}

fn initialise(stage: &Stage, entrance: &Entrance) {
    let mut command = Command::new(stage.program("pgbench"));
    command.args(["--initialize", "--init-steps=dtgvpf", "--quiet", "--scale=1"]);
    run("pgbench --initialize", entrance, command);
}

fn traffic(stage: &Stage, protocol: &str, database: &str) -> Command {
    let mut command = Command::new(stage.program("pgbench"));
    command.args(["--no-vacuum", "--protocol", protocol]);
    // A thread waits for each PREPARE of one client while others of its clients are in transactions:
    // with fewer threads than clients it would wait for a server that they hold.
    let jobs = if protocol == "prepared" { CLIENTS } else { 2 };
    command.args([
        format!("--jobs={jobs}"),
        format!("--client={CLIENTS}"),
        format!("--transactions={TRANSACTIONS}"),
    ]);
    command.env("PGDATABASE", database);
    command
}

fn assert_all_done(report: &str) {
    let all = CLIENTS * TRANSACTIONS;
    for line in [
        format!("number of transactions actually processed: {all}/{all}"),
        "number of failed transactions: 0 (0.000%)".into(),
    ] {
        assert!(report.contains(&line), "{line:?} is missing in\n{report}");
    }
}

fn ask(stage: &Stage, entrance: &Entrance, question: &str) -> String {
    let mut command = Command::new(stage.program("psql"));
    command.args(["-XAtqc", question]);
    run("psql", entrance, command).trim_end().to_owned()
}
