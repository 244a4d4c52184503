//! `include`: which files it names, and how their tables become one.

use super::node::{Entry, Table, Value, join};
use super::report::Report;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The files that a pattern names, sorted; `*` and `?` stand for any characters of one name.
///
/// A pattern without them names one file, which must be there.
pub(super) fn matching_files(base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let full = base.join(pattern);
    if !pattern.contains(['*', '?']) {
        std::fs::metadata(&full)?;
        return Ok(vec![full]);
    }
    let mut paths = vec![PathBuf::new()];
    for component in full.components() {
        let name = component.as_os_str().to_string_lossy();
        let is_pattern = matches!(component, Component::Normal(_)) && name.contains(['*', '?']);
        let mut next = Vec::new();
        for path in paths {
            if is_pattern {
                next.extend(matching_names(&path, &name)?);
            } else {
                next.push(path.join(component));
            }
        }
        paths = next;
    }
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// The entries of a directory whose names match. A directory that is not there has none.
fn matching_names(directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = match std::fs::read_dir(here) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        // As in a shell: hidden files, and what Kubernetes keeps beside a mounted ConfigMap, do not match.
        if !name.starts_with('.') && matches(pattern, &name) {
            found.push(directory.join(name.as_ref()));
        }
    }
    Ok(found)
}

/// Whether `name` fits `pattern`. Takes time in the product of their lengths at worst.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stood, and what it had swallowed by then.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, swallowed)) => {
                    *swallowed += 1;
                    (p, n) = (*at + 1, *swallowed);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Adds the tables of another file. What both files set is an error that names both places.
pub(super) fn merge(into: &mut Table, from: Table, path: &str, report: &mut Report) {
    for (name, entry) in from.entries {
        let path = join(path, &name);
        let Some(first) = into.entries.get_mut(&name) else {
            into.entries.insert(name, entry);
            continue;
        };
        match (&mut first.node.value, entry.node.value) {
            (Value::Table(into), Value::Table(from)) => merge(into, from, &path, report),
            // Rules are tried in the order of the files.
            (Value::Array(into), Value::Array(from)) if path == "access" => into.extend(from),
            _ => report_twice(first, entry.key, &path, report),
        }
    }
}

fn report_twice(first: &Entry, second: super::source::Place, path: &str, report: &mut Report) {
    let also = report.sources.locate(first.key).map(|at| ("first set here".to_owned(), at));
    let problem = report.error(second, path, format!("`{path}` is set in two files"));
    problem.also = also;
    problem.help =
        Some("which of them counts is not left to the order of file names: remove one".to_owned());
}

#[cfg(test)]
mod tests {
    use super::matches;

    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }

    #[test]
    fn patterns() {
        check("*.toml", "a.toml", true);
        check("*.toml", ".toml", true);
        check("*.toml", "a.toml.bak", false);
        check("a?c", "abc", true);
        check("a?c", "ac", false);
        check("*", "", true);
        check("*a*b*", "xxaxxbxx", true);
        check("*a*b", "aab", true);
        check("*a*b", "aba", false);
        check("plain", "plain", true);
        check("", "a", false);
        check(&"*a".repeat(30), &"a".repeat(29), false);
    }
}
