//! pgweir in front of one server, as most tests want it: role `postgres` comes in without a password, to
//! database `shop`, in transaction mode.

use std::net::SocketAddr;

use pgweir::cluster::{Cluster, ClusterOptions};

use super::pgweir_process::{Pgweir, PgweirOptions};
use super::raw::{Login, RawClient};

/// A Postgres with database `shop`. What a test does in database `postgres` is not in the accounts.
pub fn shop() -> Cluster {
    shop_options().start().expect("a Postgres")
}

/// As [`shop`], before it starts.
pub fn shop_options() -> ClusterOptions {
    Cluster::options().database("shop")
}

/// pgweir with a pool of so many servers at this address.
pub fn pool_of(size: u32, server: SocketAddr) -> PgweirOptions {
    Pgweir::options()
        .database("*", &format!("postgres://{server}?sslmode=disable"))
        .role("postgres", "postgres")
        .set("auth", "method = \"trust\"")
        .set("defaults", &format!("pool_size = {size}\nreserve_pool_size = 0"))
}

/// Who comes.
pub fn login() -> Login {
    Login::new("postgres", "shop")
}

/// A client of the shop.
pub fn client(pgweir: &Pgweir) -> RawClient {
    pgweir.client(&login())
}
