//! Reading everything that a configuration names: one way for start, reload and `pgweir check`,
//! so that they agree.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, ConfigProblems, Problem};
use crate::dial::{Chain, Dialler, TlsContexts};
use crate::login::Edition;

/// A configuration with all that it names.
#[derive(Debug)]
pub struct Prepared {
    /// For logins.
    pub edition: Edition,
    /// For dials.
    pub contexts: TlsContexts,
    /// What is worth knowing about it.
    pub warnings: Vec<Problem>,
}

/// Reads a configuration, its certificates and its userlist. `before` is what it is to replace.
/// Blocks while it reads.
///
/// # Errors
/// Every problem: those of the text, or else those of the files that it names.
pub fn prepare(
    path: &Path,
    dialler: Arc<Dialler>,
    before: Option<&Edition>,
) -> Result<Prepared, ConfigProblems> {
    let loaded = Config::load(path)?;
    let config = Arc::new(loaded.config);
    let edition = Edition::open(config.clone(), dialler, before);
    let contexts = TlsContexts::for_config(&config);
    match (edition, contexts) {
        (Ok(edition), Ok(contexts)) => {
            Ok(Prepared { edition, contexts, warnings: loaded.warnings })
        }
        (edition, contexts) => {
            let edition = edition.err().into_iter().flatten();
            let of_clients = edition.map(|error| Problem::error(error.key(), error.to_string()));
            let contexts = contexts.err().into_iter().flatten();
            let of_servers = contexts.map(|(database, error)| {
                Problem::error(&format!("databases.{database}"), Chain(&error).to_string())
            });
            let mut problems: Vec<Problem> = of_clients.chain(of_servers).collect();
            problems.extend(loaded.warnings);
            Err(problems.into())
        }
    }
}
