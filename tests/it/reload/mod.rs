//! Reload: what takes effect when, what is refused, and that nobody is hurt by it.

mod column;
mod console;
mod load;
mod places;
mod routing;
mod secrets;
mod whole;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use pgweir::cluster::Cluster;

use crate::harness::pgweir_process::{Pgweir, binary, toml_string};
use crate::harness::raw::{Login, RawClient};

/// A configuration as dotted keys, so that one key is one line.
#[derive(Clone, Debug)]
struct Keys(BTreeMap<String, String>);

impl Keys {
    /// pgweir in front of this server: role `postgres` comes in without a password, to any database.
    fn of(cluster: &Cluster) -> Self {
        let keys = Keys(BTreeMap::new())
            .set("server.listen", "[\"{listen}\"]")
            .set("http.listen", "\"{http}\"")
            .set("auth.method", "\"trust\"")
            .set("defaults.reserve_pool_size", "0")
            .set("defaults.guard", "\"observe\"")
            .set("roles.postgres.password", "\"postgres\"");
        keys.set("databases.\"*\".primary", &primary(cluster, ""))
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.0.insert(key.to_owned(), value.to_owned());
        self
    }

    fn without(mut self, key: &str) -> Self {
        assert!(self.0.remove(key).is_some(), "{key} was not set");
        self
    }

    fn text(&self) -> String {
        self.0.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
    }

    fn start(&self) -> Pgweir {
        Pgweir::options().whole_config(&self.text()).start()
    }
}

/// A connection string for this server with more parameters, in quotes.
fn primary(cluster: &Cluster, more: &str) -> String {
    toml_string(&format!("postgres://{}?sslmode=disable{more}", cluster.primary().address()))
}

/// `pgweir reload` for the process with this configuration file.
fn run_reload(config: &Path) -> Output {
    let mut command = Command::new(binary());
    command.arg("reload").arg("-c").arg(config).output().expect("pgweir starts")
}

/// Writes the configuration and has it taken over; gives what was printed.
fn reload(pgweir: &mut Pgweir, keys: &Keys) -> String {
    pgweir.rewrite_config(|options| options.whole_config(&keys.text()));
    let output = run_reload(pgweir.config_path());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{complaint}\n{}", keys.text());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Has the configuration read again, which must be refused; gives the complaint.
fn refused(pgweir: &Pgweir) -> String {
    let output = run_reload(pgweir.config_path());
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn postgres() -> Login {
    Login::new("postgres", "postgres")
}

/// The outcome of a login: `in`, or the SQLSTATE of its refusal.
fn login_outcome(pgweir: &Pgweir, login: &Login) -> String {
    let frames = RawClient::try_login(&pgweir.address(), login).expect("pgweir accepts").1;
    let last = frames.last().expect("an answer");
    last.sqlstate().unwrap_or_else(|| "in".to_owned())
}
