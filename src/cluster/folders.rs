//! Where clusters and templates lie, and how those of a dead process are cleared away.
//!
//! ```text
//! <temporary folder>/pgweir-clusters-<uid>/
//!     template-<version>-<hash>/     a data folder fresh from initdb, never started
//!     c-<pid>-<n>/                   one cluster, with owner.lock held by its process
//!     ports/<number>                 locked while a port is in use
//! ```

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::{ClusterError, Doing};
use super::process::{Account, own_uid};

/// The folder that everything of ours lies in: below `$PGWEIR_CLUSTER_DIR`, else below the
/// system's temporary folder. Others may look into it, for Postgres may run as another user.
pub(super) fn base() -> Result<PathBuf, ClusterError> {
    let parent = std::env::var_os("PGWEIR_CLUSTER_DIR").map(PathBuf::from);
    let parent = parent.unwrap_or_else(std::env::temp_dir);
    let base = parent.join(format!("pgweir-clusters-{}", own_uid()));
    fs::create_dir_all(&base).doing(|| format!("creating {}", base.display()))?;
    let found = fs::symlink_metadata(&base).doing(|| format!("looking at {}", base.display()))?;
    if !found.is_dir() || (found.uid() != own_uid() && own_uid() != u32::MAX) {
        return Err(ClusterError::Io {
            doing: format!("using {}", base.display()),
            source: std::io::Error::other("it belongs to another user"),
        });
    }
    set_mode(&base, 0o755)?;
    Ok(base)
}

/// A folder for one cluster, removed when this value is dropped.
#[derive(Debug)]
pub(super) struct ClusterFolder {
    path: PathBuf,
    _owner: File,
}

impl ClusterFolder {
    pub(super) fn create() -> Result<Self, ClusterError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static SWEPT: Once = Once::new();
        let base = base()?;
        // Held while a folder exists without its owner's lock, so that nobody sweeps it away.
        let sweeping = lock(&base.join("sweep.lock"))?;
        SWEPT.call_once(|| sweep(&base));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("c-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).doing(|| format!("creating {}", path.display()))?;
        set_mode(&path, 0o755)?;
        let owner = lock(&path.join("owner.lock"))?;
        drop(sweeping);
        Ok(Self { path, _owner: owner })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ClusterFolder {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next process.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the clusters of processes that are gone. A failure only leaves rubbish behind.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with("c-") || still_runs(&path) {
            continue;
        }
        let abandoned = match File::open(path.join("owner.lock")) {
            Ok(file) => match file.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
            },
            Err(_) => true,
        };
        if abandoned {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Whether a Postgres still works in one of the cluster's data folders: it may take a moment to
/// end after its parent.
fn still_runs(cluster: &Path) -> bool {
    let Ok(nodes) = fs::read_dir(cluster) else { return false };
    nodes.flatten().any(|node| {
        let file = node.path().join("data/postmaster.pid");
        let Ok(text) = fs::read_to_string(file) else { return false };
        let pid = text.lines().next().unwrap_or_default();
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let folder = cluster.as_os_str().as_encoded_bytes();
        command.windows(folder.len()).any(|window| window == folder)
    })
}

/// Takes an exclusive lock on a file, waiting for it. Ends when the value is dropped.
pub(super) fn lock(path: &Path) -> Result<File, ClusterError> {
    let file = File::create(path).doing(|| format!("creating {}", path.display()))?;
    file.lock().doing(|| format!("locking {}", path.display()))?;
    Ok(file)
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), ClusterError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .doing(|| format!("setting the mode of {}", path.display()))
}

/// Creates a folder that only Postgres (and root) may enter.
pub(super) fn create_private(path: &Path, owner: Option<Account>) -> Result<(), ClusterError> {
    fs::create_dir_all(path).doing(|| format!("creating {}", path.display()))?;
    set_mode(path, 0o700)?;
    give_to(path, owner)
}

/// Writes a file that only Postgres (and root) may read.
pub(super) fn write_private(
    path: &Path,
    content: &str,
    owner: Option<Account>,
) -> Result<(), ClusterError> {
    fs::write(path, content).doing(|| format!("writing {}", path.display()))?;
    set_mode(path, 0o600)?;
    give_to(path, owner)
}

fn give_to(path: &Path, owner: Option<Account>) -> Result<(), ClusterError> {
    let Some(owner) = owner else { return Ok(()) };
    chown(path, Some(owner.uid), Some(owner.gid))
        .doing(|| format!("giving {} to Postgres' account", path.display()))
}
