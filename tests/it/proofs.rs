//! Proofs of reads on a real primary and its streaming standby: the snapshot of a real catalog (`verdicts`), Postgres' own
//! functions (`functions`), and what a standby says to texts that are said to read (`standby`).

mod functions;
mod standby;
mod verdicts;

use pgweir::cluster::{Cluster, Node};
use pgweir::config::Target;
use pgweir::dial::{Dialler, Errand, Identity, read_snapshot};
use pgweir::route::{Catalog, Verdict, verdict};
use pgweir::sql::LexOptions;
use pgweir::sql::reads::reading;

use crate::harness::raw::{Address, Login, RawClient};

/// A primary with one standby. Role `plain` has no privileges but on the tables of `shop`.
fn cluster() -> Cluster {
    let cluster = Cluster::options().replicas(1).database("shop").start().expect("a Postgres");
    cluster.primary().sql("shop", "create role plain login").unwrap();
    cluster.wait_until_replayed().unwrap();
    cluster
}

/// The snapshot of `shop` as `plain` reads it.
fn snapshot(node: &Node, replica_safe: &[String]) -> Catalog {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("postgres://{}/shop?sslmode=disable", node.address());
    let target = Target::parse(&url).unwrap();
    let identity =
        Identity { role: "plain", database: "shop", credential: None, parameters: Vec::new() };
    runtime.block_on(async {
        let errand = Errand { target: &target, identity, limit: None };
        let connected = Dialler::default().dial(errand).await.unwrap();
        read_snapshot(connected, replica_safe).await.unwrap()
    })
}

/// `plain` at a server, with a bound on what a statement may take.
fn client(node: &Node) -> RawClient {
    let login = Login::new("plain", "shop").parameter("options", "-c statement_timeout=2s");
    RawClient::login(&Address::Tcp(node.address()), &login)
}

fn said(text: &str, catalog: &Catalog) -> &'static str {
    match verdict(&reading(text.as_bytes(), LexOptions::default()), Some(catalog)) {
        Verdict::Replica => "replica",
        Verdict::Primary(reason) => reason.label(),
    }
}
