//! Which files are meant, and what is in them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The name of standard input.
pub(super) const STDIN: &str = "-";

/// The file itself; of a folder every `*.sql` below it, in order of their names.
pub(super) fn below(path: &Path) -> io::Result<Vec<PathBuf>> {
    if super::is_stdin(path) || !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            // A link to a folder is not followed: it may lead back here.
            if entry.file_type()?.is_dir() && !is_hidden {
                folders.push(entry.path());
            } else if is_sql(&entry.path()) && fs::metadata(entry.path())?.is_file() {
                found.push(entry.path());
            }
        }
    }
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no *.sql below it"));
    }
    found.sort();
    Ok(found)
}

fn is_sql(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"))
}

/// A file's text.
pub(super) fn read(path: &Path, stdin: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if super::is_stdin(path) {
        stdin.read_to_end(&mut text)?;
    } else {
        text = fs::read(path)?;
    }
    let what = match () {
        () if text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF") => {
            "it is UTF-16 (PowerShell's `>` writes that): save it as UTF-8"
        }
        () if text.starts_with(b"PGDMP") => {
            "it is a dump in pg_dump's own format: `pg_restore -f - FILE` makes SQL of it"
        }
        () if text.contains(&0) => "it holds bytes that are no text",
        () => return Ok(text),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}
