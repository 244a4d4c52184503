//! How many connections each Postgres may get: what `max_connections` there must hold.

use super::Config;
use super::database::DatabaseConfig;
use super::settings::Effective;
use super::target::Host;
use std::collections::BTreeSet;

/// The connections of one database, aliases included, to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// Where the server is.
    pub server: String,
    /// The database's name in the configuration; `*` for any other.
    pub database: String,
    /// Kept open whether used or not, once their roles have logged in.
    pub min: u64,
    /// At most so many for the roles that have tables of their own, reserve included.
    pub max: u64,
    /// `max_server_connections`, if set: `max` is not above it.
    pub cap: Option<u32>,
    /// How many more each role without a table of its own may bring; 0 where the cap is reached before.
    pub each_other_role: u64,
}

impl Config {
    /// The connections to every server, ordered by server, then by database. Any server of a database that has several
    /// may be its primary one day.
    pub fn budget(&self) -> Vec<BudgetRow> {
        let mut rows = Vec::new();
        for database in self.databases().filter(|database| database.alias_of.is_none()) {
            let replicas = database.replicas.iter().flat_map(|replica| &replica.target.hosts);
            let hosts: BTreeSet<&Host> = database.primary.hosts.iter().chain(replicas).collect();
            rows.extend(hosts.into_iter().map(|host| self.budget_row(database, host)));
        }
        rows.sort_by(|a, b| (&a.server, &a.database).cmp(&(&b.server, &b.database)));
        rows
    }

    fn budget_row(&self, database: &DatabaseConfig, host: &Host) -> BudgetRow {
        let aliases =
            self.databases().filter(|other| other.alias_of.as_ref() == Some(&database.name));
        let names: Vec<&str> = std::iter::once(database.name.as_str())
            .chain(aliases.map(|alias| alias.name.as_str()))
            .collect();
        let (mut min, mut max, mut each_other_role, mut cap) = (0, 0, 0, 0);
        for name in &names {
            // Roles with one `server_role` share the pool of that role.
            let anybody = self.resolve(name, "");
            let everybodys = anybody.as_ref().and_then(|effective| effective.server_role.clone());
            let pool_of = |role: &str| {
                let server_role = self.resolve(name, role)?.server_role;
                Some(server_role.unwrap_or_else(|| role.to_owned()))
            };
            let mut pools: BTreeSet<String> =
                self.roles_of(name).into_iter().filter_map(pool_of).collect();
            pools.extend(everybodys.clone());
            for pool in &pools {
                let Some(effective) = self.resolve(name, pool) else { continue };
                min += u64::from(effective.min_pool_size);
                max += pool_max(&effective);
            }
            // The empty name has no table, so these are everybody else's values.
            if let Some(effective) = anybody {
                each_other_role += if everybodys.is_none() { pool_max(&effective) } else { 0 };
                cap = cap.max(effective.max_server_connections);
            }
        }
        let cap = (cap > 0).then_some(cap);
        if let Some(cap) = cap {
            each_other_role = each_other_role.min(u64::from(cap).saturating_sub(max));
            max = max.min(u64::from(cap));
            min = min.min(u64::from(cap));
        }
        BudgetRow {
            server: host.to_string(),
            database: database.name.clone(),
            min,
            max,
            cap,
            each_other_role,
        }
    }
}

fn pool_max(effective: &Effective) -> u64 {
    u64::from(effective.pool_size) + u64::from(effective.reserve_pool_size)
}
