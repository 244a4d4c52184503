//! The stage of a driver's test: a Postgres, pgweir in front of it, and the ways to each.

use std::path::{Path, PathBuf};
use std::process::Command;

use pgweir::cluster::{AuthMethod, Cluster};

use crate::harness::accounting::Accounting;
use crate::harness::await_event::secs;
use crate::harness::certificates::{Authority, Issued};
use crate::harness::pgweir_process::{Pgweir, toml_string};

/// Servers for the part of each script that shares them: fewer than the clients that come at once.
pub const CROWD_SERVERS: u32 = 2;

/// Servers for the other parts. Temporary tables and the like keep their session on one server until it leaves, and
/// pg_dump's three jobs and itself are in transactions at the same time.
pub const SESSION_SERVERS: u32 = 4;

/// The role of every script.
pub const ROLE: &str = "app";
/// Its password.
pub const PASSWORD: &str = "an 'app' has $ecrets: ü";
/// The database of every script, which is made anew before it plays again.
pub const DATABASE: &str = "app";
/// The same database under the name that pgweir gives `CROWD_SERVERS`.
const CROWD_DATABASE: &str = "app_crowd";
/// As pgweir and Postgres show themselves in TLS.
const HOST: &str = "127.0.0.1";

/// A Postgres that asks for SCRAM and speaks TLS, with a role and a database.
pub struct Stage {
    cluster: Cluster,
    authority: Authority,
    other_authority: Authority,
    shown: Issued,
}

impl Stage {
    /// A fresh one.
    pub fn new() -> Self {
        let (authority, other_authority) = (Authority::new(), Authority::new());
        let shown = authority.issue("postgres", &[HOST, "localhost"]);
        let cluster = Cluster::options()
            .auth(AuthMethod::ScramSha256)
            .tls(&shown.certificate, &shown.key)
            .role(ROLE, PASSWORD)
            .start()
            .unwrap();
        Self { cluster, authority, other_authority, shown }
    }

    /// Where the programs of Postgres lie.
    pub fn program(&self, name: &str) -> PathBuf {
        self.cluster.primary().binaries().program(name)
    }

    /// Plays straight to Postgres, in an empty database.
    pub fn straight<T>(&self, play: impl FnOnce(&Entrance) -> T) -> T {
        self.empty_database();
        play(&Entrance {
            port: self.cluster.primary().port(),
            crowd: Crowd { database: DATABASE, servers: None },
            authority: self.authority.file(),
            other_authority: self.other_authority.file(),
        })
    }

    /// Plays through pgweir, in an empty database. Afterwards nothing may be left over in pgweir.
    pub fn through_pgweir<T>(&self, play: impl FnOnce(&Entrance) -> T) -> T {
        self.empty_database();
        let pgweir = self.pgweir();
        pgweir.wait_for_log("HTTP on", secs(10));
        let primary = self.cluster.primary();
        let accounts = Accounting::of(&pgweir, &[primary])
            .server_database(CROWD_DATABASE, DATABASE)
            .memory_slack_kb(64 * 1024);
        let played = play(&Entrance {
            port: pgweir.listen().port(),
            crowd: Crowd { database: CROWD_DATABASE, servers: Some(CROWD_SERVERS) },
            authority: self.authority.file(),
            other_authority: self.other_authority.file(),
        });
        accounts.assert_settled(secs(10));
        played
    }

    fn empty_database(&self) {
        let mut sql = self.cluster.primary().open_sql("postgres").unwrap();
        sql.run(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).unwrap();
        sql.run(&format!("CREATE DATABASE {DATABASE} OWNER {ROLE}")).unwrap();
    }

    fn pgweir(&self) -> Pgweir {
        let address = self.cluster.primary().address();
        let root = self.authority.file();
        let crowd = format!("databases.{CROWD_DATABASE}");
        let file = |path: &Path| toml_string(path.to_str().unwrap());
        Pgweir::options()
            .database("*", &format!("postgres://{address}?sslmode=disable"))
            // The crowd's servers are reached over TLS, the others without.
            .database(
                CROWD_DATABASE,
                &format!(
                    "postgres://{address}/{DATABASE}?sslmode=verify-full&sslrootcert={}",
                    root.display()
                ),
            )
            .role(ROLE, PASSWORD)
            .set("server.tls", "mode = \"prefer\"")
            .set("server.tls", &format!("certificate = {}", file(&self.shown.certificate_file)))
            .set("server.tls", &format!("private_key = {}", file(&self.shown.key_file)))
            .set("defaults", "pool_mode = \"transaction\"")
            .set("defaults", &format!("pool_size = {SESSION_SERVERS}\nreserve_pool_size = 0"))
            .set(&crowd, &format!("pool_size = {CROWD_SERVERS}"))
            .start()
    }
}

struct Crowd {
    database: &'static str,
    servers: Option<u32>,
}

/// Where a script connects.
pub struct Entrance {
    /// On 127.0.0.1.
    pub port: u16,
    crowd: Crowd,
    /// A file with the authority that issued the certificate shown there.
    pub authority: PathBuf,
    other_authority: PathBuf,
}

impl Entrance {
    /// The database whose servers are few.
    pub fn crowd_database(&self) -> &'static str {
        self.crowd.database
    }

    /// How many those are; `None` straight to Postgres.
    pub fn crowd_servers(&self) -> Option<u32> {
        self.crowd.servers
    }

    /// Leads a program here, by the variables of libpq, and clears away those of whoever runs the tests.
    pub fn lead(&self, command: &mut Command) {
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command
            // Neither password files nor certificates of theirs.
            .env("HOME", "/nonexistent")
            .env("PGHOST", HOST)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", ROLE)
            .env("PGPASSWORD", PASSWORD)
            .env("PGDATABASE", DATABASE)
            .env("PGSSLMODE", "disable")
            .env("PGCONNECT_TIMEOUT", "20")
            .env("LC_ALL", "C.UTF-8")
            .env("PGWEIR_TEST_CROWD_DATABASE", self.crowd.database)
            .env("PGWEIR_TEST_AUTHORITY", &self.authority)
            .env("PGWEIR_TEST_OTHER_AUTHORITY", &self.other_authority);
        if let Some(servers) = self.crowd.servers {
            command.env("PGWEIR_TEST_CROWD_SERVERS", servers.to_string());
        }
    }
}
