//! The scripts of Postgres' own regression suite, as psql is to play them.
//!
//! The corpus may be the suite itself (`src/test/regress/sql` of Postgres' sources, its data beside it), or a copy of
//! it that was made readable for parsers of SQL: psql's commands and the data of COPY stand in comments there, and
//! `\gset` too. Those come back out of their comments here. What such a copy has lost stays lost, for both sides:
//! texts that are wrong on purpose, and the values of psql's variables.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of scripts.
pub struct Corpus {
    folder: PathBuf,
    is_original: bool,
}

impl Corpus {
    /// The scripts in this folder.
    pub fn at(folder: PathBuf) -> Self {
        let setup = fs::read_to_string(folder.join("test_setup.sql")).expect("test_setup.sql");
        let is_original = setup.lines().any(|line| line.starts_with('\\'));
        Self { folder, is_original }
    }

    /// The names of all scripts but the one that sets up the others.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).expect("the corpus can be listed");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let of_sql = paths.filter(|path| path.extension().is_some_and(|found| found == "sql"));
        let stems = of_sql.map(|path| path.file_stem().unwrap_or_default().to_owned());
        let mut names: Vec<_> = stems.filter_map(|stem| stem.into_string().ok()).collect();
        names.retain(|name| name != "test_setup");
        names.sort();
        names
    }

    /// What psql is to read.
    pub fn script(&self, name: &str) -> Vec<u8> {
        let path = self.folder.join(format!("{name}.sql"));
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match String::from_utf8(bytes) {
            Ok(text) if !self.is_original => restored(&text).into_bytes(),
            Ok(text) => text.into_bytes(),
            Err(other) => other.into_bytes(),
        }
    }

    /// The suite's folder with `data`, as `PG_ABS_SRCDIR`.
    pub fn sources(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }
}

/// With psql's commands and the data of COPY out of their comments.
fn restored(text: &str) -> String {
    let mut whole = String::new();
    let mut data = Data::None;
    for line in text.lines() {
        let hidden = line.strip_prefix("-- ");
        let line = match (data, hidden) {
            (Data::OfCopy, Some(hidden)) => {
                if ends_data(hidden) {
                    data = Data::None;
                }
                hidden.to_owned()
            }
            (Data::OfCopies, Some(hidden)) => hidden.to_owned(),
            (_, Some(hidden)) if hidden.starts_with('\\') || hidden.contains("\\;") => {
                data = Data::None;
                hidden.to_owned()
            }
            (_, Some(_) | None) => {
                data = Data::None;
                line.to_owned()
            }
        };
        let lower = line.to_ascii_lowercase();
        if lower.contains("from stdin\\;") {
            data = Data::OfCopies;
        } else if (lower.starts_with("copy ") || lower.starts_with("\\copy"))
            && (lower.contains("from stdin") || lower.contains("from stdout"))
        {
            data = Data::OfCopy;
        }
        whole.push_str(&with_gset(&line));
        whole.push('\n');
    }
    whole
}

/// What the lines behind a COPY are.
#[derive(Clone, Copy)]
enum Data {
    None,
    /// Data of one COPY, or, where that COPY is to fail, the text up to the next statement.
    OfCopy,
    /// Data of several in one text.
    OfCopies,
}

fn ends_data(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    line == "\\."
        || line.starts_with("--")
        || ["copy", "begin", "rollback", "select"].iter().any(|word| lower.starts_with(word))
}

/// `select 1 as a /* \gset */;` as `select 1 as a \gset`.
fn with_gset(line: &str) -> String {
    for command in ["\\gset", "\\gx"] {
        if let Some((before, rest)) = line.split_once(&format!("/* {command}"))
            && let Some((options, _)) = rest.split_once(" */;")
        {
            return format!("{before}{command}{options}");
        }
    }
    line.to_owned()
}

#[test]
fn what_stood_in_comments_comes_back() {
    let check = |copy: &str, original: &str| assert_eq!(restored(copy), original, "{copy}");
    check("-- a comment\nselect 1;\n", "-- a comment\nselect 1;\n");
    check("-- \\d a\n", "\\d a\n");
    check(
        "copy a from stdin;\n-- 1\t\\N\n-- \\.\n\n-- a comment\n",
        "copy a from stdin;\n1\t\\N\n\\.\n\n-- a comment\n",
    );
    // These fail, and no data follow.
    check(
        "copy a from stdin;\n-- \n-- -- again\ncopy a from stdin (x);\ncopy b from stdin;\n-- \n-- select 1;\n-- 2\n",
        "copy a from stdin;\n\n-- again\ncopy a from stdin (x);\ncopy b from stdin;\n\nselect 1;\n-- 2\n",
    );
    check("-- \\copy a from stdin\n-- 1\n-- \\.\n-- 2\n", "\\copy a from stdin\n1\n\\.\n-- 2\n");
    check("select 1 as a /* \\gset b_ */;\n", "select 1 as a \\gset b_\n");
    check("select 1 as a /* \\gx */;\n", "select 1 as a \\gx\n");
    check("-- select 1\\; select 2;\n", "select 1\\; select 2;\n");
    check(
        "-- copy a from stdin\\; select 1;\n-- 1\n-- \\.\nselect 2;\n-- 3\n",
        "copy a from stdin\\; select 1;\n1\n\\.\nselect 2;\n-- 3\n",
    );
}
