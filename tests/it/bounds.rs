//! Bounds on a real Postgres: what `pg_stat_activity` shows is never above what the configuration
//! allows, and what there is is shared.

mod databases;
mod shares;

use pgweir::cluster::{Cluster, ClusterOptions};

use crate::harness::accounting::activity;
use crate::harness::pgweir_process::{Pgweir, PgweirOptions};
use crate::harness::raw::Login;

/// A Postgres with database `shop` and three roles that may do everything there.
fn server() -> ClusterOptions {
    let options = Cluster::options().database("shop");
    ["ann", "bob", "cid"].into_iter().fold(options, |options, role| options.role(role, role))
}

/// pgweir in front of it; whoever comes is let in.
fn in_front_of(cluster: &Cluster) -> PgweirOptions {
    let url = format!("postgres://{}/shop?sslmode=disable", cluster.primary().address());
    let options = ["ann", "bob", "cid"]
        .into_iter()
        .fold(Pgweir::options(), |options, role| options.role(role, role));
    options
        .database("shop", &url)
        .set("auth", "method = \"trust\"")
        .set("defaults", "reserve_pool_size = 0")
        .set("defaults", "pool_wait_timeout = \"60s\"")
}

fn login(role: &str) -> Login {
    Login::new(role, "shop")
}

/// Sessions that a role has in the shop.
fn sessions(cluster: &Cluster, role: &str) -> u64 {
    activity(cluster.primary(), "shop", role)
}
