//! From the tables of the file to the values of one client, and back to where each came from.
//!
//! Precedence: built-in < `[defaults]` < `[databases.X]` < `[roles.Y]` < `[databases.X.roles.Y]`. An alias is a door
//! built for a purpose, so what it sets itself stands above all that it inherits.

use super::database::{DatabaseConfig, DatabaseTable, RoutingConfig};
use super::limit::ClockLimit;
use super::node::join;
use super::report::Report;
use super::settings::{Effective, Layer, Settings};
use super::words::nearest;
use super::{Config, GuardPolicy};
use crate::rules::BuiltinPolicy;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name that stands for every database not named otherwise.
pub(super) const ANY_DATABASE: &str = "*";

/// Puts every database together: aliases with what they are aliases of. What does not fit is reported.
pub(super) fn settle_databases(
    tables: &BTreeMap<String, DatabaseTable>,
    report: &mut Report,
) -> BTreeMap<String, Arc<DatabaseConfig>> {
    let mut settled = BTreeMap::new();
    for (name, table) in tables {
        let path = join("databases", name);
        if table.is_alias {
            check_alias(&path, table, report);
        } else if table.primary_place.is_none() {
            let message = format!("the database `{name}` has no `primary`");
            report.error(table.place, &path, message).help =
                Some("write primary = \"postgres://host:5432/database\", or alias_of = \"another database\"".to_owned());
        }
        let chain = match alias_chain(tables, name) {
            Ok(chain) => chain,
            Err(broken) => {
                broken.report(&path, name, tables, report);
                continue;
            }
        };
        if let Some(database) = settle_one(name, &chain) {
            settled.insert(name.clone(), Arc::new(database));
        }
    }
    settled
}

/// An alias has nothing of its own that says where the database is.
fn check_alias(path: &str, table: &DatabaseTable, report: &mut Report) {
    for (key, place) in [("primary", table.primary_place), ("replicas", table.replicas_place)] {
        if let Some(place) = place {
            let message =
                format!("an alias takes its `{key}` from the database that it is an alias of");
            report.error(place, &join(path, key), message).help =
                Some("remove it, or `alias_of`".to_owned());
        }
    }
}

/// Why an alias leads nowhere.
pub(super) enum BrokenAlias {
    Unknown(String),
    Circle,
}

impl BrokenAlias {
    fn report(
        self,
        path: &str,
        name: &str,
        tables: &BTreeMap<String, DatabaseTable>,
        report: &mut Report,
    ) {
        let Some(set) = tables.get(name).and_then(|table| table.alias_of.as_ref()) else { return };
        let path = join(path, "alias_of");
        match self {
            // An alias of a broken alias is not at fault itself.
            BrokenAlias::Unknown(target) if target == set.value => {
                let known = tables.keys().map(String::as_str).filter(|known| *known != name);
                let help =
                    nearest(&target, known).map(|meant| format!("did you mean \"{meant}\"?"));
                report.error(set.place, &path, format!("there is no database `{target}`")).help =
                    help;
            }
            BrokenAlias::Unknown(_) => {}
            BrokenAlias::Circle => {
                report.error(set.place, &path, "the aliases lead in a circle");
            }
        }
    }
}

/// The tables from the real database to `name` itself.
pub(super) fn alias_chain<'a>(
    tables: &'a BTreeMap<String, DatabaseTable>,
    name: &str,
) -> Result<Vec<(&'a str, &'a DatabaseTable)>, BrokenAlias> {
    let mut chain: Vec<(&str, &DatabaseTable)> = Vec::new();
    let mut current = name;
    loop {
        let Some((key, table)) = tables.get_key_value(current) else {
            return Err(BrokenAlias::Unknown(current.to_owned()));
        };
        if chain.iter().any(|(seen, _)| seen == key) {
            return Err(BrokenAlias::Circle);
        }
        chain.push((key, table));
        match &table.alias_of {
            Some(next) if next.value == ANY_DATABASE => {
                return Err(BrokenAlias::Unknown(next.value.clone()));
            }
            Some(next) => current = &next.value,
            None => {
                chain.reverse();
                return Ok(chain);
            }
        }
    }
}

fn settle_one(name: &str, chain: &[(&str, &DatabaseTable)]) -> Option<DatabaseConfig> {
    let (base_name, base) = chain.first()?;
    let mut routing = RoutingConfig::default();
    for (_, table) in chain {
        table.routing.apply(&mut routing);
    }
    let mut database = DatabaseConfig::new(base_name, base.primary.as_ref()?.value.clone());
    name.clone_into(&mut database.name);
    database.alias_of = (chain.len() > 1).then(|| (*base_name).to_owned());
    database.replicas = base.replicas.iter().map(|replica| replica.settle(&routing)).collect();
    database.routing = routing;
    Some(database)
}

/// Whether the most specific `server_role` stands above every `server_password`, which then belongs to another role.
pub(super) fn names_other_role(layers: &[&Layer]) -> bool {
    let last = |has: fn(&Layer) -> bool| layers.iter().rposition(|layer| has(layer));
    last(|layer| layer.server_role.is_some()) > last(|layer| layer.server_password.is_some())
}

impl Config {
    /// Every value for a role in a database; `None` when there is no such database.
    ///
    /// A name that no table has is served by `[databases."*"]`, by its own name on the server. The console's names are
    /// no databases.
    pub fn resolve(&self, database: &str, role: &str) -> Option<Effective> {
        let (found, settings) = self.settings_of(database, role)?;
        let policy = self.policies.get(&settings.guard).cloned();
        // The checks refuse a name without a policy, so the second half is never taken.
        let policy =
            policy.unwrap_or_else(|| Arc::new(GuardPolicy::builtin(BuiltinPolicy::Default)));
        let limits = ClockLimit::ALL.map(ClockLimit::key).into_iter().chain(["guard"]);
        let origins = limits.filter_map(|key| Some((key, self.origin(database, role, key)?)));
        let limit_origins = origins.collect();
        Some(Effective { limit_origins, ..Effective::new(found, role, policy, settings) })
    }

    /// A database and the settings for a role in it, from all tables that speak of them.
    pub(super) fn settings_of(
        &self,
        database: &str,
        role: &str,
    ) -> Option<(Arc<DatabaseConfig>, Settings)> {
        let found = self.find_database(database)?;
        let layers = self.layers(database, role);
        let mut settings = Settings::default();
        for layer in &layers {
            layer.apply(&mut settings);
        }
        self.settle_secrets(&mut settings, &layers, &found, role);
        Some((found, settings))
    }

    /// Pairs roles with passwords: a password goes with the role beside it, not with one that a narrower table names.
    pub(super) fn settle_secrets(
        &self,
        settings: &mut Settings,
        layers: &[&Layer],
        database: &DatabaseConfig,
        role: &str,
    ) {
        if names_other_role(layers) {
            let own = settings.server_role.as_ref().and_then(|role| self.roles.get(role));
            settings.server_password =
                own.and_then(|role| role.layer.password.as_ref()).and_then(|set| set.value.clone());
        }
        // Whoever may log in at the server with the string's user and password may log in here with them.
        if settings.password.is_none() && database.primary.user.as_deref() == Some(role) {
            settings.password.clone_from(&database.primary.password);
        }
    }

    /// The database of that name, or what `[databases."*"]` makes of it.
    pub(super) fn find_database(&self, name: &str) -> Option<Arc<DatabaseConfig>> {
        if self.admin.serves(name) || name.is_empty() {
            return None;
        }
        if let Some(found) = self.settled.get(name).filter(|_| name != ANY_DATABASE) {
            return Some(found.clone());
        }
        // A configured database that could not be settled never gets this far: its errors refuse the file.
        let any = self.settled.get(ANY_DATABASE)?;
        let server_database = any.primary.dbname.clone().unwrap_or_else(|| name.to_owned());
        Some(Arc::new(DatabaseConfig {
            name: name.to_owned(),
            server_database,
            table: ANY_DATABASE.to_owned(),
            ..DatabaseConfig::clone(any)
        }))
    }

    /// The tables of a database, from the real one to that of its own name.
    pub(super) fn tables_of(&self, database: &str) -> Vec<(&str, &DatabaseTable)> {
        let table = if self.tables.contains_key(database) { database } else { ANY_DATABASE };
        alias_chain(&self.tables, table).unwrap_or_default()
    }

    /// The layers that hold for a role in a database, the most specific last.
    pub(super) fn layers(&self, database: &str, role: &str) -> Vec<&Layer> {
        let chain = self.tables_of(database);
        let mut layers = vec![&self.defaults];
        for (index, (_, table)) in chain.iter().enumerate() {
            layers.push(&table.layer);
            if index == 0 {
                layers.extend(self.roles.get(role).map(|role| &role.layer));
            }
            layers.extend(table.roles.get(role).map(|role| &role.layer));
        }
        layers
    }
}
