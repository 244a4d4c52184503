//! What the acts play on: a throw-away Postgres, and pgweir in front of it as a process of its own.
//!
//! Dropping the stage stops everything and removes every file. Should the demo be killed, the
//! children get a signal from the system, and the files are cleared away by the next demo.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::client::Login;
use super::error::DemoError;
use crate::cluster::process::{Signal, bound_command, signal, spawn, wait_for_exit};
use crate::cluster::{AuthMethod, Cluster, Port};

/// The configuration that pgweir is run with, but for its ports.
const CONFIG: &str = include_str!("../../../config/demo.toml");
/// The role, password and database of `config/demo.toml`.
pub const ROLE: &str = "web";
/// See [`ROLE`].
pub const PASSWORD: &str = "demo";
/// See [`ROLE`].
pub const DATABASE: &str = "shop";
/// The same database there, with its replica.
pub const SPREAD_DATABASE: &str = "shop_with_replica";
/// pgweir's console, where [`ROLE`] may look.
const CONSOLE: &str = "pgbouncer";
/// The role of the migrations there, with the same password.
pub const MIGRATOR: &str = "migrator";
/// The `statement_timeout` and `idle_in_transaction_timeout` of [`ROLE`] there.
pub const WEB_LIMIT: Duration = Duration::from_secs(2);
/// The `pool_size` of [`ROLE`] there.
pub const POOL_SIZE: u64 = 20;

/// How long pgweir may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Everything that was started.
#[derive(Debug)]
pub struct Stage {
    // Dropped first, before the Postgres that it talks to and the folder that it lies in.
    pgweir: Pgweir,
    cluster: Cluster,
}

impl Stage {
    /// Starts Postgres. Blocks for seconds.
    pub fn start_postgres() -> Result<Cluster, DemoError> {
        let cluster = Cluster::options()
            .replicas(1)
            .auth(AuthMethod::ScramSha256)
            .role(ROLE, PASSWORD)
            .role(MIGRATOR, PASSWORD)
            .database(DATABASE)
            .start()?;
        cluster.primary().sql(
            DATABASE,
            "CREATE TABLE visits (nonce bigint PRIMARY KEY, service text NOT NULL,
                                  at timestamptz NOT NULL DEFAULT clock_timestamp());
             ALTER TABLE visits OWNER TO migrator;
             GRANT SELECT, INSERT ON visits TO web;
             GRANT CREATE ON SCHEMA public TO migrator",
        )?;
        Ok(cluster)
    }

    /// Starts pgweir in front of it. Blocks until it listens.
    pub fn start_pgweir(cluster: Cluster) -> Result<Self, DemoError> {
        let pgweir = Pgweir::start(&cluster)?;
        Ok(Self { pgweir, cluster })
    }

    /// The Postgres.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// pgweir.
    pub fn pgweir(&mut self) -> &mut Pgweir {
        &mut self.pgweir
    }

    /// A login of the application's role through pgweir.
    pub fn login(&self) -> Login {
        login_at(self.pgweir.address())
    }

    /// The same to the database with its replica.
    pub fn spread_login(&self) -> Login {
        Login { database: SPREAD_DATABASE, ..self.login() }
    }

    /// The same to pgweir's console.
    pub fn console_login(&self) -> Login {
        Login { database: CONSOLE, ..self.login() }
    }

    /// The same of the migrations' role.
    pub fn migration_login(&self) -> Login {
        Login { role: MIGRATOR, ..self.login() }
    }

    /// The same straight at the primary.
    pub fn direct_login(&self) -> Login {
        login_at(self.cluster.primary().address())
    }

    /// The configuration that pgweir runs with.
    pub fn config(&self) -> &Path {
        &self.pgweir.config
    }

    /// What psql is started with to try it: the database that finds its primary, wherever the acts have left it.
    pub fn psql_line(&self) -> String {
        let port = self.pgweir.address().port();
        format!(
            "psql \"host=127.0.0.1 port={port} user={ROLE} password={PASSWORD} dbname={SPREAD_DATABASE}\""
        )
    }
}

fn login_at(address: SocketAddr) -> Login {
    let application_name = String::new();
    Login { address, role: ROLE, password: PASSWORD, database: DATABASE, application_name }
}

/// A `pgweir run` of this very executable.
#[derive(Debug)]
pub struct Pgweir {
    child: Child,
    config: PathBuf,
    log: PathBuf,
    port: Port,
}

impl Pgweir {
    fn start(cluster: &Cluster) -> Result<Self, DemoError> {
        let port = Port::reserve()?;
        let folder = cluster.folder().join("pgweir");
        let (config, log) = (folder.join("pgweir.toml"), folder.join("log"));
        let servers = [cluster.primary().port(), cluster.replica(0).port()];
        let text = filled_in_config(port.number(), servers);
        // Only for us: it holds a password, if only the demo's.
        fs::create_dir(&folder)
            .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)))
            .and_then(|()| fs::write(&config, text))
            .and_then(|()| fs::set_permissions(&config, fs::Permissions::from_mode(0o600)))
            .map_err(|source| DemoError::Io { doing: "writing pgweir's configuration", source })?;
        let output = File::create(&log)
            .map_err(|source| DemoError::Io { doing: "creating pgweir's log", source })?;
        let program = std::env::current_exe()
            .map_err(|source| DemoError::Io { doing: "finding pgweir's own program", source })?;
        let mut command = bound_command(&program, None, Signal::Int);
        command.arg("run").arg("--config").arg(&config);
        // Of its own group, so that Ctrl-C reaches only the demo, which then ends all in order.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).process_group(0);
        let child =
            spawn(command).map_err(|source| DemoError::Io { doing: "starting pgweir", source })?;
        let mut pgweir = Self { child, config, log, port };
        pgweir.wait_until_it_listens()?;
        Ok(pgweir)
    }

    fn wait_until_it_listens(&mut self) -> Result<(), DemoError> {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address()).is_err() {
            self.check_alive()?;
            if Instant::now() >= end {
                return Err(self.failure("pgweir did not listen in time".into()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// An error with its log when the process has ended.
    pub fn check_alive(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(format!("pgweir ended by itself ({status})"))),
            Err(source) => Err(DemoError::Io { doing: "looking at pgweir", source }),
        }
    }

    fn failure(&self, what: String) -> DemoError {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let log = lines[lines.len().saturating_sub(20)..].join("\n");
        DemoError::Pgweir { what, log }
    }

    /// Where applications connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()))
    }
}

impl Drop for Pgweir {
    fn drop(&mut self) {
        // Its clients are gone by now: nothing is left to finish.
        let _ = signal(self.child.id(), Signal::Int);
        if !matches!(wait_for_exit(&mut self.child, PATIENCE), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// `config/demo.toml` with what the demo has chosen in place of its defaults.
fn filled_in_config(port: u16, [primary, replica]: [u16; 2]) -> String {
    CONFIG
        .replace("${PGWEIR_DEMO_PORT:-6432}", &port.to_string())
        .replace("${PGWEIR_DEMO_PRIMARY_PORT:-5432}", &primary.to_string())
        .replace("${PGWEIR_DEMO_REPLICA_PORT:-5433}", &replica.to_string())
        .replace("${PGWEIR_DEMO_PASSWORD:-demo}", PASSWORD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Timeout};

    #[test]
    fn the_demos_configuration_is_free_of_problems_and_says_what_the_demo_counts_on() {
        let loaded = Config::parse(CONFIG, "demo.toml").unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let rows = loaded.config.budget();
        let row = rows.iter().find(|row| row.database == DATABASE).unwrap();
        let pool_size = |role| loaded.config.resolve(DATABASE, role).unwrap().pool_size;
        assert_eq!(row.max, u64::from(pool_size(ROLE) + pool_size(MIGRATOR)));
        assert_eq!(u64::from(pool_size(ROLE)), POOL_SIZE);
        let limits = |role| {
            let effective = loaded.config.resolve(DATABASE, role).unwrap();
            let all = [effective.statement_timeout, effective.idle_in_transaction_timeout];
            all.map(Timeout::as_duration)
        };
        assert_eq!(limits(ROLE), [Some(WEB_LIMIT); 2]);
        assert_eq!(limits(MIGRATOR), [None; 2]);
    }

    #[test]
    fn the_ports_are_filled_in() {
        let text = filled_in_config(7001, [7002, 7003]);
        assert!(text.contains("listen = [\"127.0.0.1:7001\"]"), "{text}");
        assert!(text.contains("primary = \"postgres://127.0.0.1:7002/shop\""), "{text}");
        assert!(text.contains("replicas = [\"postgres://127.0.0.1:7003/shop\"]"), "{text}");
        assert!(!text.contains("PGWEIR_DEMO"), "{text}");
        assert!(Config::parse(&text, "demo.toml").is_ok());
    }
}
