//! The configuration: its file's shape, its checks, and the values that hold for each client.
//!
//! A file is parsed, its references are resolved, included files are merged into it, and every table is read into a
//! typed struct. Problems are collected on the way, each with its place, and shown all together. What comes out is a
//! [`Config`] that never changes; a reload makes another.
//!
//! Pools, sessions, sockets and global variables are deliberately absent.

mod auth;
mod budget;
mod checks;
mod database;
mod defaults;
mod diff;
mod explain;
mod guard;
mod include;
mod interpolate;
pub mod keys;
mod layer;
mod limit;
mod load;
mod node;
pub mod not_yet;
mod places;
mod problem;
mod report;
mod resolve;
mod secret;
mod section;
mod server;
mod settings;
mod size;
mod source;
mod surface;
pub mod target;
#[cfg(test)]
mod tests;
mod timeout;
mod value;
mod views;
mod words;

pub use auth::{AccessRule, AuthConfig, Network};
pub use budget::BudgetRow;
pub use database::{DatabaseConfig, ReplicaConfig, RoutingConfig};
pub use defaults::{DEFAULT_AUTH_QUERY, DEFAULT_LISTEN_PORT};
pub use diff::{Change, Effect};
pub use guard::GuardPolicy;
pub use limit::ClockLimit;
pub use places::Places;
pub use problem::{ConfigProblems, Location, Problem, Severity, summary};
pub use secret::Secret;
pub use server::{ClientTls, ListenAddress, MOST_LOOPS, ServerConfig};
pub use settings::{Effective, Explained, Settings};
pub use size::{Rate, parse_size, show_size};
pub use source::Origin;
pub use surface::{AdminConfig, HttpConfig, LogConfig};
pub use target::{Host, Target, TargetError};
pub use timeout::{DurationError, Timeout};
pub use views::RoleSizes;
pub use words::{
    AuthMethod, CancelReuse, Consistency, LogFormat, PoolMode, QueryText, Reads, Replication,
    ResetOnHandover, Route, SessionStateMode, SslMode, Strategy, TargetSessionAttrs, TimeoutAction,
    TimeoutOverride, TlsMode, UnnamedStatements, WhenNoReplica, Word, Writes, nearest,
};

use database::DatabaseTable;
use settings::Layer;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A configuration that was checked and can be used.
///
/// Invariants: every `guard` names a policy of `policies`; every alias leads to a database; no pool size is 0.
#[derive(Debug)]
pub struct Config {
    /// How clients reach pgweir.
    pub server: ServerConfig,
    /// How they prove who they are.
    pub auth: AuthConfig,
    /// Who may come from where; `None`: everybody from everywhere. An empty list refuses everybody.
    pub access: Option<Vec<AccessRule>>,
    /// The console.
    pub admin: AdminConfig,
    /// Metrics, probes, dashboard.
    pub http: HttpConfig,
    /// The log.
    pub log: LogConfig,
    /// The guard's policies by name, the shipped ones included.
    pub policies: BTreeMap<String, Arc<GuardPolicy>>,
    /// The files that it was read from, the main one first.
    pub files: Vec<Arc<str>>,
    /// What the files set, to tell what a reload changes.
    written: diff::Written,
    defaults: Layer,
    tables: BTreeMap<String, DatabaseTable>,
    settled: BTreeMap<String, Arc<DatabaseConfig>>,
    roles: BTreeMap<String, database::RoleTable>,
}

/// A configuration and what is worth knowing about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings and notes, ordered by place.
    pub warnings: Vec<Problem>,
    /// A warning for each key that is set and that nothing acts on yet, ordered by place.
    pub not_yet: Vec<Problem>,
    /// Where its keys stand.
    pub places: Places,
}

impl Config {
    /// Every configured database, aliases included; `[databases."*"]` under the name `*`.
    pub fn databases(&self) -> impl Iterator<Item = &Arc<DatabaseConfig>> {
        self.settled.values()
    }

    /// Every role that has a table of its own, in `[roles]` or in this database, in order.
    pub fn roles_of(&self, database: &str) -> Vec<&str> {
        let own = self.tables.get(database).map(|table| table.roles.keys());
        let base = self.settled.get(database).and_then(|found| found.alias_of.as_ref());
        let base = base.and_then(|base| self.tables.get(base)).map(|table| table.roles.keys());
        let all =
            self.roles.keys().chain(own.into_iter().flatten()).chain(base.into_iter().flatten());
        let unique: std::collections::BTreeSet<&str> = all.map(String::as_str).collect();
        unique.into_iter().collect()
    }

    /// Every password and verifier that clients may prove to know: of roles, and in connection strings.
    pub fn passwords(&self) -> impl Iterator<Item = &Secret> {
        let tables = self.tables.values();
        let narrower = tables.clone().flat_map(|table| table.roles.values());
        let roles = self.roles.values().chain(narrower);
        let strings = tables.filter_map(|table| table.primary.as_ref()?.value.password.as_ref());
        roles.filter_map(|role| role.layer.password.as_ref()?.value.as_ref()).chain(strings)
    }

    /// The password or verifier in `[roles.Y]`.
    pub fn role_password(&self, role: &str) -> Option<&Secret> {
        self.roles.get(role)?.layer.password.as_ref()?.value.as_ref()
    }

    /// How a client may prove who it is; `None` when the access rules keep it out.
    ///
    /// `peer` is `None` for the Unix socket.
    pub fn access_method(
        &self,
        database: &str,
        role: &str,
        peer: Option<IpAddr>,
        tls: bool,
    ) -> Option<AuthMethod> {
        let Some(rules) = &self.access else { return Some(self.auth.method) };
        let rule = rules.iter().find(|rule| rule.matches(database, role, peer, tls))?;
        Some(rule.method.unwrap_or(self.auth.method))
    }

    /// Every method that clients of a role may prove themselves by in a database, wherever they come from.
    pub fn access_methods(&self, database: &str, role: &str) -> impl Iterator<Item = AuthMethod> {
        let everywhere = self.access.is_none().then_some(self.auth.method);
        let rules = self.access.iter().flatten().filter(move |rule| rule.names(database, role));
        everywhere.into_iter().chain(rules.map(|rule| rule.method.unwrap_or(self.auth.method)))
    }
}
