//! `pgweir demo` as a process: however it ends, nothing of it stays. What it claims is judged by
//! its own unit tests, and by `make test`, which plays it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgweir::cluster::process::{Signal, signal};

/// A folder for the throw-away Postgres, which may run as another user; removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pgweir-demo-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        Self(path)
    }

    /// The clusters that lie in it.
    fn clusters(&self) -> Vec<PathBuf> {
        let bases = fs::read_dir(&self.0).expect("the folder").flatten();
        let entries = bases.flat_map(|base| fs::read_dir(base.path()).into_iter().flatten());
        let paths = entries.flatten().map(|entry| entry.path());
        let is_cluster = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("c-"))
        };
        paths.filter(is_cluster).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The processes that work in a folder, by their command lines.
fn processes_in(folder: &Path) -> Vec<String> {
    let name = folder.display().to_string();
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let commands = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let texts = commands.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    texts.filter(|text| text.contains(&name)).collect()
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    let folder = Folder::new("interrupted");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_pgweir"))
        .args(["demo", "--seconds", "600"])
        .env("PGWEIR_CLUSTER_DIR", &folder.0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("its output")).lines();
    // The traffic has begun: Postgres, its replica, pgweir and the clients are all there.
    assert!(lines.any(|line| line.expect("text").contains("SHARING")), "no act was played");
    assert_eq!(folder.clusters().len(), 1);
    assert!(processes_in(&folder.0).len() >= 3, "{:?}", processes_in(&folder.0));

    signal(demo.id(), Signal::Term).expect("a running demo");
    assert_eq!(demo.wait().expect("its end").code(), Some(2));
    assert_eq!(folder.clusters(), Vec::<PathBuf>::new());
    assert_eq!(processes_in(&folder.0), Vec::<String>::new());
}
