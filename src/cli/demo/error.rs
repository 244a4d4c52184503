//! Why the demo could not run, or not to its end.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::cluster::ClusterError;

/// What stopped the demo. A claim that does not hold is no such thing.
#[derive(Debug)]
pub enum DemoError {
    /// The throw-away Postgres.
    Cluster(ClusterError),
    /// pgweir ended, or never listened.
    Pgweir {
        /// What happened.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// A file, a thread or a process could not be used.
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A part of the demo itself broke.
    Broken(String),
    /// A signal asked us to end.
    Interrupted,
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(ClusterError::NoPostgres { .. }) => {
                f.write_str("it needs Postgres' server programs, and there are none.")?;
                match install_command(&path_folders(), is_root()) {
                    Some(command) => write!(f, " Install them:\n\n    {command}\n"),
                    None => f.write_str(" Install Postgres 14 or newer."),
                }?;
                f.write_str("\nOr name the folder that holds initdb and postgres in PGWEIR_PG_BIN.")
            }
            Self::Cluster(error) => error.fmt(f),
            Self::Pgweir { what, log } => write!(f, "{what}. The end of its log:\n{log}"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::Broken(what) => f.write_str(what),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for DemoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cluster(error) => Some(error),
            Self::Io { source, .. } => Some(source),
            Self::Pgweir { .. } | Self::Broken(_) | Self::Interrupted => None,
        }
    }
}

impl From<ClusterError> for DemoError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(error)
    }
}

fn path_folders() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The one command that installs Postgres' server here, by the package manager that is there.
fn install_command(path: &[PathBuf], root: bool) -> Option<String> {
    let has = |name: &str| path.iter().any(|folder: &PathBuf| is_program(&folder.join(name)));
    let known = [
        ("apt-get", "apt-get install -y postgresql"),
        ("dnf", "dnf install -y postgresql-server"),
        ("zypper", "zypper install -y postgresql-server"),
        ("apk", "apk add postgresql"),
        ("pacman", "pacman -S --noconfirm postgresql"),
    ];
    let (_, command) = known.into_iter().find(|(program, _)| has(program))?;
    Some(if root { command.to_owned() } else { format!("sudo {command}") })
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_install_command_is_that_of_the_package_manager_at_hand() {
        let folder = std::env::temp_dir().join(format!("pgweir-demo-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = [folder.clone()];
        assert_eq!(install_command(&path, true), None);
        std::fs::write(folder.join("apk"), "").unwrap();
        assert_eq!(install_command(&path, true).as_deref(), Some("apk add postgresql"));
        std::fs::write(folder.join("apt-get"), "").unwrap();
        assert_eq!(
            install_command(&path, false).as_deref(),
            Some("sudo apt-get install -y postgresql")
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
