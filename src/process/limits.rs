//! What the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// File descriptors for listening sockets, polls, files of the log, HTTP, and libraries.
const OWN_FILES: u64 = 64;

/// Raises the soft limit of open files to the hard one and says what it is.
pub(super) fn raise_open_files(config: &Config) {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum {
        let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::warn!("cannot raise the limit of open files: {error}");
        }
    }
    match (getrlimit(Resource::Nofile).current, open_files_needed(config)) {
        (Some(limit), needed) => tracing::info!(limit, needed, "open files"),
        (None, needed) => tracing::info!(needed, "open files are unlimited"),
    }
    warn_of_few_files(config);
}

/// Says when the limit of open files does not cover what a configuration allows.
pub(super) fn warn_of_few_files(config: &Config) {
    let needed = open_files_needed(config);
    // `None` is "unlimited".
    if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "the limit of open files is too low for max_client_connections and the configured \
             pools: raise it (ulimit -n, LimitNOFILE), or connections will fail when it is reached"
        );
    }
}

/// Clients, and the servers that the configuration allows; roles that it does not name come on
/// top.
fn open_files_needed(config: &Config) -> u64 {
    let servers: u64 = config.budget().iter().map(|row| row.max).sum();
    u64::from(config.server.max_client_connections) + servers + OWN_FILES
}

/// Keeps secrets out of core files.
pub(super) fn forbid_core_files() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!("cannot forbid core files, which would hold secrets: {error}");
    }
}

/// Says once that root is more than pgweir needs.
pub(super) fn warn_of_root() {
    if rustix::process::geteuid().is_root() {
        tracing::warn!("running as root, which pgweir does not need: give it a user of its own");
    }
}
