//! Programs that prepare by name.

use std::process::{Command, Stdio};

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::front::{client, pool_of, shop};

#[test]
fn pgbench_with_prepared_statements_runs_clean() {
    let cluster = shop();
    let node = cluster.primary();
    let pgweir = pool_of(5, node.address()).start();
    let pgbench = |port: u16, arguments: &[&str]| {
        let mut command = Command::new(node.binaries().program("pgbench"));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()]);
        let output = command.args(arguments).arg("shop").stdin(Stdio::null()).output();
        let output = output.expect("pgbench, of the same installation as the server");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = said(&output.stdout) + &said(&output.stderr);
        assert!(output.status.success() && !all.contains("ERROR"), "{all}");
        all
    };
    pgbench(node.port(), &["-i", "-q", "-s", "2"]);
    client(&pgweir).ask("select 1");
    let accounts = Accounting::of(&pgweir, &[node]);
    for script in ["tpcb-like", "select-only"] {
        // A thread waits for each PREPARE of one client while others of its clients are in
        // transactions: with fewer threads than clients it would wait for a server that they hold.
        let run = ["-n", "-M", "prepared", "-c", "32", "-j", "32", "-t", "100", "-b", script];
        let said = pgbench(pgweir.listen().port(), &run);
        assert!(said.contains("number of transactions actually processed: 3200/3200"), "{said}");
    }
    accounts.assert_settled(secs(10));
}
