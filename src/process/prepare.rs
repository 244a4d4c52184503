//! Reading everything that a configuration names: one way for start, reload and `pgweir check`,
//! so that they agree.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, ConfigProblems, Loaded, Places, Problem};
use crate::dial::{Chain, Dialler, TlsContexts};
use crate::login::Edition;

/// What a configuration is to replace.
#[derive(Clone, Copy, Debug)]
pub struct InForce<'a> {
    /// What logins go by now.
    pub edition: &'a Edition,
    /// The configuration that the process was started with.
    pub started: &'a Config,
}

/// A configuration with all that it names.
#[derive(Debug)]
pub struct Prepared {
    /// For logins.
    pub edition: Edition,
    /// For dials.
    pub contexts: TlsContexts,
    /// What is worth knowing about it.
    pub warnings: Vec<Problem>,
    /// A warning for each key that is set and that nothing acts on yet.
    pub not_yet: Vec<Problem>,
    /// Keys whose values the process cannot take over; it keeps those of its start.
    pub need_restart: Vec<&'static str>,
    /// Where its keys stand.
    pub places: Places,
}

/// Reads a configuration, its certificates and its userlist. `before` is what it is to replace.
/// Blocks while it reads.
///
/// # Errors
/// Every problem: those of the text, or else those of the files that it names.
pub fn prepare(
    path: &Path,
    dialler: Arc<Dialler>,
    before: Option<InForce<'_>>,
) -> Result<Prepared, ConfigProblems> {
    let Loaded { mut config, warnings, not_yet, places } = Config::load(path)?;
    let mut need_restart = Vec::new();
    if let Some(InForce { started, .. }) = before {
        need_restart = config.keys_for_restart(started);
        config.keep_until_restart(started);
    }
    let config = Arc::new(config);
    let edition = Edition::open(config.clone(), dialler, before.map(|before| before.edition));
    let contexts = TlsContexts::for_config(&config);
    match (edition, contexts) {
        (Ok(edition), Ok(contexts)) => {
            Ok(Prepared { edition, contexts, warnings, not_yet, need_restart, places })
        }
        (edition, contexts) => {
            let edition = edition.err().into_iter().flatten();
            let of_clients = edition.map(|error| Problem::error(error.key(), error.to_string()));
            let contexts = contexts.err().into_iter().flatten();
            let of_servers = contexts.map(|(database, error)| {
                Problem::error(&format!("databases.{database}"), Chain(&error).to_string())
            });
            let all = of_clients.chain(of_servers);
            let mut problems: Vec<Problem> = all.map(|problem| problem.placed(&places)).collect();
            problems.extend(warnings);
            Err(problems.into())
        }
    }
}
