//! A throw-away Postgres: one primary, any number of streaming replicas, gone when dropped.
//!
//! `pgweir demo` shows itself on one; the tests run against them. Each cluster is a cold copy of
//! a template that `initdb` made once, listens on free loopback ports and on a Unix socket of its
//! own, runs as an ordinary account even when we are root, and ends with this process.
//!
//! ```no_run
//! let cluster = pgweir::cluster::Cluster::options().replicas(1).database("shop").start()?;
//! let rows = cluster.replica(0).sql("shop", "SELECT pg_is_in_recovery()")?;
//! assert_eq!(rows[0][0].as_deref(), Some("t"));
//! # Ok::<(), pgweir::cluster::ClusterError>(())
//! ```
//!
//! Deliberately absent: anything durable (`fsync` is off), fixed ports, and a choice of the
//! superuser's name.

mod binaries;
mod error;
mod folders;
mod node;
mod options;
mod port;
pub mod process;
mod sql;
mod template;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

pub use binaries::Binaries;
pub use error::ClusterError;
pub use node::{Node, Shutdown};
pub use options::{AuthMethod, ClusterOptions, quote_identifier, quote_literal};
pub use port::Port;
pub use sql::{Row, SqlConnection};

/// A running primary with its replicas. Dropping it stops the servers and removes their data.
#[derive(Debug)]
pub struct Cluster {
    // Invariant: the first is the server that started as primary. Dropped before the folder.
    nodes: Vec<Node>,
    folder: folders::ClusterFolder,
}

impl Cluster {
    /// A primary without replicas, reachable without a password.
    pub fn start() -> Result<Self, ClusterError> {
        Self::options().start()
    }

    /// What it should look like; ends with [`ClusterOptions::start`].
    pub fn options() -> ClusterOptions {
        ClusterOptions::new()
    }

    /// The server that started as primary, also after a replica was promoted.
    pub fn primary(&self) -> &Node {
        &self.nodes[0]
    }

    /// The replica with this number, from 0. Panics when there are fewer.
    pub fn replica(&self, number: usize) -> &Node {
        &self.nodes[number + 1]
    }

    /// All servers that started as replicas.
    pub fn replicas(&self) -> &[Node] {
        &self.nodes[1..]
    }

    /// Where everything of this cluster lies. Removed with it, whatever stands in it by then.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until each running replica has replayed what the primary has written by now.
    pub fn wait_until_replayed(&self) -> Result<(), ClusterError> {
        if self.replicas().is_empty() {
            return Ok(());
        }
        let mut primary = self.primary().open_sql("postgres")?;
        let written = first_value(primary.run("SELECT pg_current_wal_insert_lsn()")?);
        // With synchronous_commit off the last records may still sit in memory: write them out.
        primary.run("SET synchronous_commit = on; SELECT pg_logical_emit_message(true, '', '')")?;
        let question = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        for replica in self.replicas().iter().filter(|node| node.pid().is_some()) {
            let mut sql = replica.open_sql("postgres")?;
            let end = Instant::now() + Duration::from_secs(30);
            while first_value(sql.run(&question)?) != "t" {
                if Instant::now() >= end {
                    let awaited = format!("replay up to {written}");
                    return Err(ClusterError::NotReady { awaited, log: replica.log() });
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }
}

fn first_value(rows: Vec<Row>) -> String {
    rows.into_iter().flatten().flatten().next().unwrap_or_default()
}
