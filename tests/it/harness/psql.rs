//! psql: what libpq makes of pgweir.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use pgweir::cluster::Node;

/// One call of psql.
#[derive(Debug)]
#[must_use]
pub struct Psql {
    command: Command,
    conninfo: String,
}

impl Psql {
    /// To this address, as this role. The psql of this server's installation, or where that has none, another one
    /// of this machine: what is tried is libpq against pgweir.
    pub fn of(node: &Node, address: SocketAddr, role: &str, database: &str) -> Self {
        let program = node.binaries().client_program("psql");
        let mut command = Command::new(program.expect("a psql, of any version"));
        let inherited = std::env::vars_os().map(|(name, _)| name);
        let of_libpq = inherited.filter(|name| name.as_encoded_bytes().starts_with(b"PG"));
        for name in of_libpq {
            command.env_remove(name);
        }
        // Neither password files nor certificates of whoever runs the tests.
        command.env("HOME", node.data_folder().join("nobody")).stdin(Stdio::null());
        let conninfo = format!(
            "host=localhost hostaddr={} port={} user={role} dbname={database} connect_timeout=20",
            address.ip(),
            address.port()
        );
        Self { command, conninfo }
    }

    /// With a password.
    pub fn password(mut self, password: &str) -> Self {
        self.command.env("PGPASSWORD", password);
        self
    }

    /// With a further connection parameter.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.conninfo += &format!(" {name}='{value}'");
        self
    }

    /// As [`Psql::with`], with a file.
    pub fn with_file(self, name: &str, file: &Path) -> Self {
        self.with(name, file.to_str().expect("a path in UTF-8"))
    }

    /// Runs SQL; its rows without decoration, or everything that psql complained about.
    pub fn ask(mut self, sql: &str) -> Result<String, String> {
        let output = self
            .command
            .args(["-XAtq", "-v", "VERBOSITY=verbose", "-c", sql, "-d"])
            .arg(&self.conninfo)
            .output()
            .expect("psql starts");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}
