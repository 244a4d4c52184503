//! Where the SQL of Postgres' own regression suite lies.

use std::io::Write;
use std::path::PathBuf;

/// Where the scripts lie, or None after saying loudly that they do not.
pub fn corpus_folder() -> Option<PathBuf> {
    let named = std::env::var_os("PGWEIR_SQL_CORPUS").map(PathBuf::from);
    let beside =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/postgres-regression");
    let inside = named.as_ref().map(|named| named.join("postgres-regression"));
    let found = [inside, named, Some(beside)].into_iter().flatten().find(|path| path.is_dir());
    if found.is_none() {
        // Not `eprintln!`: the test harness would swallow it.
        let _ = writeln!(
            std::io::stderr(),
            "NOT RUN: the SQL corpus (some 50,000 statements) is neither at PGWEIR_SQL_CORPUS nor beside the crate"
        );
    }
    found
}
