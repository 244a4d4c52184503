//! On whose terms a statement is looked at that nobody runs: a role's in a database, of a configuration or built in.

use std::path::Path;
use std::sync::Arc;

use super::explain::Inquirer;
use crate::config::{Config, DatabaseConfig, Effective, GuardPolicy, Origin, Target, nearest};
use crate::dial::Dialler;
use crate::process::prepare::prepare;
use crate::rules::BuiltinPolicy;

/// A configuration, or the lack of one.
pub(super) struct Terms {
    config: Option<Arc<Config>>,
    /// Who asks the catalog.
    inquirer: Option<Inquirer>,
}

/// Whose values are asked for, as far as anybody has said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Who<'a> {
    /// The database as clients name it.
    pub(super) database: Option<&'a str>,
    /// The role; None: any without tables of its own.
    pub(super) role: Option<&'a str>,
    /// The guard's policy in place of the role's.
    pub(super) policy: Option<&'a str>,
}

/// What holds.
pub(super) struct Held {
    pub(super) settings: Effective,
    /// Where each value comes from; of a key.
    origins: Vec<(String, Origin)>,
}

impl Held {
    /// Where the value of a key comes from.
    pub(super) fn origin(&self, key: &str) -> String {
        let known = self.origins.iter().find(|(known, _)| known == key);
        known.map_or(&Origin::BuiltIn, |(_, origin)| origin).to_string()
    }
}

impl Terms {
    /// Reads a configuration, if there is one. Whoever lints need not have its secrets.
    ///
    /// # Errors
    /// The exit code and what to say.
    pub(super) fn load(config: Option<&Path>) -> Result<Self, (u8, String)> {
        let Some(path) = config else { return Ok(Self { config: None, inquirer: None }) };
        match Config::load_elsewhere(path) {
            Ok(loaded) => Ok(Self { config: Some(Arc::new(loaded.config)), inquirer: None }),
            Err(problems) => Err((2, format!("{problems}\n"))),
        }
    }

    /// The same with all that the configuration names, so that its servers can be asked.
    ///
    /// # Errors
    /// What to say.
    pub(super) fn connecting(config: &Path) -> Result<Self, String> {
        let dialler = Arc::new(Dialler::default());
        let prepared = prepare(config, dialler.clone(), None);
        let prepared = prepared.map_err(|problems| format!("{problems}\n"))?;
        let config = Some(prepared.edition.config.clone());
        Ok(Self { config, inquirer: Some(Inquirer::new(prepared, dialler)?) })
    }

    /// Who asks the catalog, if that is wanted.
    pub(super) fn inquirer(&self) -> Option<&Inquirer> {
        self.inquirer.as_ref()
    }

    /// What holds for `who`.
    ///
    /// # Errors
    /// There is no such database or policy, or more than one may be meant: what to say.
    pub(super) fn hold(&self, who: Who<'_>) -> Result<Held, String> {
        let role = who.role.unwrap_or_default();
        let mut held = match (&self.config, self.database(who)?) {
            (Some(config), Some(database)) => {
                let found = config.resolve(&database, role).zip(config.explain(&database, role));
                let (settings, explained) = found
                    .ok_or_else(|| format!("the configuration has no database \"{database}\""))?;
                let origins = explained.into_iter().map(|one| (one.key, one.origin)).collect();
                Held { settings, origins }
            }
            (_, database) => {
                let database = database.or_else(|| who.database.map(str::to_owned));
                let name = database.unwrap_or_default();
                let database = Arc::new(DatabaseConfig::new(&name, Target::at(Vec::new())));
                Held { settings: Effective::with_defaults(database, role), origins: Vec::new() }
            }
        };
        if let Some(policy) = who.policy {
            held.settings.policy = self.policy(policy)?;
            held.settings.guard = policy.to_owned();
        }
        Ok(held)
    }

    /// The database that is meant; None: that does not matter.
    fn database(&self, who: Who<'_>) -> Result<Option<String>, String> {
        let Some(config) = &self.config else { return Ok(None) };
        let known: Vec<_> = config.databases().map(|database| database.name.as_str()).collect();
        match (who.database, &known[..]) {
            (Some(name), _) if config.resolve(name, "").is_some() => Ok(Some(name.to_owned())),
            (Some(name), _) => {
                let meant = nearest(name, known.iter().copied());
                let advice = meant.map_or_else(
                    || format!("there are {}", known.join(", ")),
                    |meant| format!("did you mean \"{meant}\"?"),
                );
                Err(format!("the configuration has no database \"{name}\"; {advice}"))
            }
            (None, [only]) if *only != "*" => Ok(Some((*only).to_owned())),
            (None, _) if who.policy.is_some() => Ok(None),
            (None, _) => Err(format!(
                "whose policy and limits? name a database (--database; there are {}) or a policy (--policy)",
                known.join(", ")
            )),
        }
    }

    fn policy(&self, name: &str) -> Result<Arc<GuardPolicy>, String> {
        let own = self.config.as_ref().and_then(|config| config.policies.get(name).cloned());
        let shipped = || Some(Arc::new(GuardPolicy::builtin(BuiltinPolicy::parse(name)?)));
        own.or_else(shipped).ok_or_else(|| {
            let shipped = BuiltinPolicy::ALL.map(BuiltinPolicy::name);
            let own = self.config.iter().flat_map(|config| config.policies.keys());
            let mut known: Vec<_> = own.map(String::as_str).chain(shipped).collect();
            known.sort_unstable();
            known.dedup();
            format!("there is no policy \"{name}\"; there are {}", known.join(", "))
        })
    }
}
