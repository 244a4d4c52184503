//! Every effective value with the line that it comes from.

use super::Config;
use super::database::RoutingConfig;
use super::not_yet::is_acted_on;
use super::resolve::names_other_role;
use super::settings::{Explained, Layer, Settings};
use super::source::Origin;
use super::target::Target;
use super::value::Show;

impl Config {
    /// Where the value of `key` for a role in a database comes from: a setting, or `routing.KEY`.
    ///
    /// `None` when there is no such database or key.
    pub fn origin(&self, database: &str, role: &str, key: &str) -> Option<Origin> {
        self.find_database(database)?;
        if let Some(key) = key.strip_prefix("routing.") {
            let tables = self.tables_of(database);
            let set = tables.iter().rev().find_map(|(_, table)| table.routing.origin(key));
            return RoutingConfig::KEYS
                .contains(&key)
                .then(|| set.cloned().unwrap_or(Origin::BuiltIn));
        }
        let layers = self.layers(database, role);
        let set = match key {
            "password" => self.password_origin(database, role, &layers),
            "server_password" if names_other_role(&layers) => {
                let named = layers.iter().rev().find_map(|layer| layer.server_role.as_ref());
                let named = named.and_then(|set| set.value.as_ref());
                named.and_then(|role| self.roles.get(role)?.layer.origin("password"))
            }
            _ => layers.iter().rev().find_map(|layer| layer.origin(key)),
        };
        Settings::KEYS.contains(&key).then(|| set.cloned().unwrap_or(Origin::BuiltIn))
    }

    /// Whoever is the user of the connection string may log in with the password there.
    fn password_origin<'a>(
        &'a self,
        database: &str,
        role: &str,
        layers: &[&'a Layer],
    ) -> Option<&'a Origin> {
        let set = layers.iter().rev().find_map(|layer| layer.origin("password"));
        let (_, base) = *self.tables_of(database).first()?;
        let primary = base.primary.as_ref().filter(|primary| {
            primary.value.user.as_deref() == Some(role) && primary.value.password.is_some()
        });
        set.or_else(|| primary.map(|primary| &primary.origin))
    }

    /// Every setting for a role in a database with its origin, secrets as `***`; `None` when there is no such
    /// database. A role without tables of its own, `""` for instance, stands for every such role.
    pub fn explain(&self, database: &str, role: &str) -> Option<Vec<Explained>> {
        let (found, settings) = self.settings_of(database, role)?;
        let routing =
            found.routing.shown().into_iter().map(|(key, value)| (format!("routing.{key}"), value));
        let all =
            settings.shown().into_iter().map(|(key, value)| (key.to_owned(), value)).chain(routing);
        let explained = all.map(|(key, value)| {
            let origin = self.origin(database, role, &key).unwrap_or(Origin::BuiltIn);
            let acted_on = is_acted_on(&key, &value);
            Explained { key, value, origin, acted_on }
        });
        Some(explained.collect())
    }

    /// Where a database is, with origins: `alias_of`, `primary`, `replicas`; `None` when there is no such database.
    pub fn explain_database(&self, database: &str) -> Option<Vec<Explained>> {
        self.find_database(database)?;
        let tables = self.tables_of(database);
        let ((_, base), (_, own)) = (tables.first()?, tables.last()?);
        let one = |key: &str, value: String, origin: Origin| Explained {
            key: key.to_owned(),
            acted_on: is_acted_on(key, &value),
            value,
            origin,
        };
        let mut all = Vec::new();
        if let Some(alias) = &own.alias_of {
            all.push(one("alias_of", alias.value.clone(), alias.origin.clone()));
        }
        if let Some(primary) = &base.primary {
            all.push(one("primary", primary.value.show(), primary.origin.clone()));
        }
        for (index, replica) in base.replicas.iter().enumerate() {
            let origin = replica.origin.clone();
            all.push(one(&format!("replicas[{index}]"), replica.target.show(), origin));
        }
        Some(all)
    }
}

/// What decides where connections go, without the password.
impl Show for Target {
    fn show(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        let mut text = hosts.join(",");
        for (name, value) in
            [("dbname", &self.dbname), ("user", &self.user), ("options", &self.options)]
        {
            if let Some(value) = value {
                text.push_str(&format!(" {name}={value}"));
            }
        }
        text.push_str(&format!(" sslmode={}", self.sslmode.show()));
        text
    }
}
