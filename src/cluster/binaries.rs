//! Finding Postgres' programs, in any major version.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{ClusterError, Doing};

/// The folder of one Postgres installation's programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    version: String,
    major: u32,
}

impl Binaries {
    /// The first installation found in `$PGWEIR_PG_BIN` (a folder, or several separated by
    /// colons), what `pg_config` names, the distribution's versioned folders from the highest
    /// major version down, and `PATH`. Where `$PGWEIR_PG_MAJOR` names a major version, the first
    /// of that one: no other takes its place.
    pub fn find() -> Result<Self, ClusterError> {
        if let Some(wanted) = env::var_os("PGWEIR_PG_MAJOR") {
            return Self::find_major(parse_major(&wanted)?);
        }
        let searched = candidate_folders();
        let found = searched.iter().find_map(|folder| Self::at(folder).ok());
        found.ok_or(ClusterError::NoPostgres { major: None, searched })
    }

    /// As [`Binaries::find`], of this major version.
    pub fn find_major(major: u32) -> Result<Self, ClusterError> {
        let searched = candidate_folders();
        let found = searched
            .iter()
            .filter_map(|folder| Self::at(folder).ok())
            .find(|binaries| binaries.major == major);
        found.ok_or(ClusterError::NoPostgres { major: Some(major), searched })
    }

    /// One installation per major version, in the order of the search.
    pub fn all() -> Vec<Self> {
        let mut majors = BTreeSet::new();
        candidate_folders()
            .iter()
            .filter_map(|folder| Self::at(folder).ok())
            .filter(|binaries| majors.insert(binaries.major))
            .collect()
    }

    /// The installation whose programs lie in `folder`.
    pub fn at(folder: &Path) -> Result<Self, ClusterError> {
        let missing = || ClusterError::NoPostgres { major: None, searched: vec![folder.into()] };
        if !folder.join("initdb").is_file() || !folder.join("postgres").is_file() {
            return Err(missing());
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .output()
            .doing(|| format!("asking {}/postgres for its version", folder.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let (version, major) = parse_version(&text).ok_or_else(missing)?;
        Ok(Self { folder: folder.into(), version, major })
    }

    /// The major version: 15 for 15.18.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The version as Postgres prints it, such as `15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder that holds the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one program, such as `psql`. Small installations have only the server's.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A client program such as `psql`: this installation's, or else the first of another one,
    /// whose version may differ. `None` when there is none on this machine.
    pub fn client_program(&self, name: &str) -> Option<PathBuf> {
        let others = candidate_folders();
        let mut paths = std::iter::once(&self.folder).chain(&others).map(|f| f.join(name));
        paths.find(|path| path.is_file())
    }
}

/// Reads `$PGWEIR_PG_MAJOR`.
pub(super) fn parse_major(text: &OsStr) -> Result<u32, ClusterError> {
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| ClusterError::NotAMajor { text: text.to_string_lossy().into_owned() })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)` into version and major version.
pub(super) fn parse_version(text: &str) -> Option<(String, u32)> {
    let version = text.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((version.to_owned(), digits.parse().ok()?))
}

fn candidate_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut add = |folder: PathBuf| {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    };
    if let Some(named) = env::var_os("PGWEIR_PG_BIN") {
        env::split_paths(&named).for_each(&mut add);
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() && !folder.is_empty() {
            add(folder.into());
        }
    }
    versioned_folders().into_iter().for_each(&mut add);
    if let Some(path) = env::var_os("PATH") {
        env::split_paths(&path).for_each(&mut add);
    }
    folders
}

/// The folders that distributions keep side by side, the highest major version first: Debian's
/// `/usr/lib/postgresql/15/bin` and Red Hat's `/usr/pgsql-15/bin`.
fn versioned_folders() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(major) = name.strip_prefix(prefix).and_then(|rest| rest.parse().ok()) else {
                continue;
            };
            found.push((major, entry.path().join("bin")));
        }
    }
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, folder)| folder).collect()
}
