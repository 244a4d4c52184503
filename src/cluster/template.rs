//! One `initdb` per version and options; every node afterwards is a cold copy of it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::binaries::Binaries;
use super::error::{ClusterError, Doing};
use super::folders;
use super::process::{Account, Signal, bound_command, spawn};

/// Changes when what a template holds changes.
const FORMAT: u32 = 1;

/// The data folder to copy from, built when it is not there yet.
pub(super) fn data_folder(
    binaries: &Binaries,
    initdb_options: &[String],
) -> Result<PathBuf, ClusterError> {
    let account = Account::for_postgres();
    let mut hasher = DefaultHasher::new();
    (FORMAT, binaries.folder(), initdb_options, account).hash(&mut hasher);
    let base = folders::base()?;
    let name = format!("template-{}-{:016x}", binaries.version(), hasher.finish());
    let template = base.join(&name);
    let data = template.join("data");
    if data.is_dir() {
        return Ok(data);
    }
    let _building = folders::lock(&base.join(format!("{name}.lock")))?;
    if data.is_dir() {
        return Ok(data);
    }
    let unfinished = base.join(format!("{name}.building"));
    let _ = fs::remove_dir_all(&unfinished);
    folders::create_private(&unfinished, account)?;
    initdb(binaries, &unfinished, initdb_options, account)?;
    fs::rename(&unfinished, &template).doing(|| format!("naming {}", template.display()))?;
    Ok(data)
}

fn initdb(
    binaries: &Binaries,
    folder: &Path,
    options: &[String],
    account: Option<Account>,
) -> Result<(), ClusterError> {
    let mut command = bound_command(&binaries.program("initdb"), account, Signal::Kill);
    command
        .arg("--pgdata")
        .arg(folder.join("data"))
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
        .args(["--wal-segsize=1", "--no-sync", "--no-instructions"])
        .args(options);
    clean_environment(&mut command, folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = spawn(command).doing(|| "starting initdb".into())?;
    let output = child.wait_with_output().doing(|| "waiting for initdb".into())?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ClusterError::Program { program: "initdb".into(), output })
}

/// Copies a data folder that no server uses.
pub(super) fn copy(template: &Path, to: &Path) -> Result<(), ClusterError> {
    let output = Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(template)
        .arg(to)
        .output()
        .doing(|| "starting cp".into())?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ClusterError::Program { program: "cp".into(), output })
}

/// Gives a program of Postgres a home that it may read, English messages, and none of the
/// caller's `PG…` variables.
pub(super) fn clean_environment(command: &mut Command, home: &Path) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home).env("LC_ALL", "C").env("TZ", "UTC").current_dir(home);
}
