//! Where requests go: replicas that come by a reload, and words about them that change.

use pgweir::cluster::Cluster;

use super::{Keys, postgres, reload};
use crate::console::Table;
use crate::harness::await_event::{secs, wait_until};
use crate::harness::frame::Frame;
use crate::harness::http;
use crate::harness::pgweir_process::{Pgweir, toml_string};
use crate::harness::raw::Login;

#[test]
fn where_requests_go_follows() {
    let cluster = Cluster::options().replicas(1).start().expect("a primary and a replica");
    cluster.primary().sql("postgres", "create table t (n int)").expect("a table");
    cluster.wait_until_replayed().expect("a replica that follows");
    let alone = Keys::of(&cluster).set("admin.admins", "[\"postgres\"]");
    let mut pgweir = alone.start();
    let mut client = pgweir.client(&postgres());
    client.ask("select n from t");
    assert_eq!(routed(&pgweir, "reason="), 0, "one server needs no routing");

    let replica = format!("postgres://{}?sslmode=disable", cluster.replica(0).address());
    let with_replica =
        alone.set("databases.\"*\".replicas", &format!("[{}]", toml_string(&replica)));
    reload(&mut pgweir, &with_replica);
    wait_until("a read at the replica that has come", secs(20), || {
        let before = routed(&pgweir, "reason=\"read\"");
        client.ask("select n from t");
        routed(&pgweir, "reason=\"read\"") > before
    });

    let mut configured = 0;
    for key in ["databases.\"*\".routing.reads", "roles.postgres.route"] {
        reload(&mut pgweir, &with_replica.clone().set(key, "\"primary\""));
        client.ask("select n from t");
        configured += 1;
        assert_eq!(routed(&pgweir, "reason=\"configured\""), configured, "{key}");
    }

    // The console counts as the metrics do.
    let mut console = pgweir.client(&Login::new("postgres", "pgbouncer"));
    let table = Table::of(&console.ask("SHOW ROUTE"));
    let row = ["postgres", "postgres", "primary", "configured", "2"];
    let row = row.map(|value| Some(value.to_owned()));
    assert!(table.rows.iter().any(|shown| *shown == row), "{:?}", table.rows);

    let read_only = with_replica.clone().set("databases.\"*\".routing.writes", "\"reject\"");
    reload(&mut pgweir, &read_only);
    let refused = client.ask("insert into t values (1)");
    assert_eq!(refused.iter().find_map(Frame::sqlstate).as_deref(), Some("25006"));
    reload(&mut pgweir, &with_replica);
    let taken = client.ask("insert into t values (1)");
    assert_eq!(taken.iter().find_map(Frame::sqlstate), None);
}

/// Requests whose labels have this among them.
fn routed(pgweir: &Pgweir, label: &str) -> u64 {
    let page = http::get(pgweir.http(), "/metrics");
    let is_one =
        |line: &&str| line.starts_with("pgweir_requests_routed_total{") && line.contains(label);
    let counts = page.lines().filter(is_one).filter_map(|line| line.rsplit(' ').next());
    counts.filter_map(|count| count.parse::<u64>().ok()).sum()
}
