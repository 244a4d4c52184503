//! The texts that a configuration is made of: places in them, and excerpts that show no secret.

use super::problem::Location;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A piece of one of the files, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which file of the [`SourceMap`].
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

impl Place {
    pub fn new(file: usize, span: Range<usize>) -> Self {
        Place { file, start: span.start, end: span.end }
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    BuiltIn,
    /// A line of a file.
    File {
        /// The file, as it was named.
        file: Arc<str>,
        /// From 1.
        line: u32,
    },
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::BuiltIn => f.write_str("built in"),
            Origin::File { file, line } => write!(f, "{file}:{line}"),
        }
    }
}

/// The files, in the order in which they were read.
#[derive(Debug, Default)]
pub(super) struct SourceMap {
    files: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Where each line begins. Never empty: the first begins at 0.
    lines: Vec<usize>,
}

impl Source {
    /// The number of the line that holds a byte, from 1.
    fn line_of(&self, offset: usize) -> u32 {
        to_u32(self.lines.partition_point(|start| *start <= offset))
    }
}

impl SourceMap {
    /// Adds a file; the answer is its number in every [`Place`].
    pub fn add(&mut self, name: &str, text: &str) -> usize {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        self.files.push(Source { name: name.into(), text: text.into(), lines });
        self.files.len() - 1
    }

    /// A file's text.
    #[cfg(test)]
    pub fn text(&self, file: usize) -> Arc<str> {
        self.files[file].text.clone()
    }

    /// What stands at a place, as written.
    pub fn slice(&self, place: Place) -> &str {
        let text = self.files.get(place.file).map_or("", |source| &source.text);
        text.get(place.start..place.end.min(text.len())).unwrap_or("")
    }

    /// Where `piece` stands inside `place`; the whole place if it does not.
    pub fn find_in(&self, place: Place, piece: &str) -> Place {
        match self.slice(place).find(piece) {
            Some(at) => {
                Place { start: place.start + at, end: place.start + at + piece.len(), ..place }
            }
            None => place,
        }
    }

    /// A file's path.
    pub fn path(&self, file: usize) -> PathBuf {
        self.files.get(file).map_or_else(PathBuf::new, |source| PathBuf::from(&*source.name))
    }

    /// The directory of a file, where its relative paths begin.
    pub fn directory(&self, file: usize) -> PathBuf {
        let name = self.files.get(file).map_or("", |source| &source.name);
        Path::new(name).parent().map(Path::to_path_buf).unwrap_or_default()
    }

    /// The names of the files, in the order in which they were read.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.files.iter().map(|source| source.name.clone()).collect()
    }

    /// The line of a place and every line after it.
    pub fn lines_from(&self, place: Place) -> Vec<&str> {
        let text = self.files.get(place.file).map_or("", |source| &source.text);
        let start = floor_boundary(text, place.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        text[line_start..].lines().collect()
    }

    /// The file and line of a place.
    pub fn origin(&self, place: Place) -> Origin {
        let Some(source) = self.files.get(place.file) else { return Origin::BuiltIn };
        Origin::File { file: source.name.clone(), line: source.line_of(place.start) }
    }

    /// The place with its line, for a message.
    pub fn locate(&self, place: Place) -> Option<Location> {
        let source = self.files.get(place.file)?;
        let text: &str = &source.text;
        let start = floor_boundary(text, place.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = &text[line_start..line_end];
        let end = floor_boundary(text, place.end.clamp(start, line_end));
        let column = line.get(..start - line_start).map_or(0, |before| before.chars().count());

        let clean = Redacted::of(line);
        let from = clean.column(start - line_start);
        let to = clean.column(end - line_start);
        let (excerpt, from, to) = clip(&clean.text, from, to);
        Some(Location {
            file: source.name.clone(),
            line: source.line_of(line_start),
            column: to_u32(column + 1),
            excerpt,
            underline_start: from,
            underline_len: to.saturating_sub(from).max(1),
        })
    }
}

fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The nearest character boundary at or before `index`.
fn floor_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// The longest excerpt, in characters.
const EXCERPT: usize = 140;

/// At most [`EXCERPT`] characters around `from..to`, without control characters.
fn clip(line: &str, from: usize, to: usize) -> (String, usize, usize) {
    let skip = if to.max(from) < EXCERPT { 0 } else { from.saturating_sub(20) };
    let shown = line.chars().skip(skip).take(EXCERPT);
    let excerpt: String = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
    let len = excerpt.chars().count();
    let excerpt = excerpt.trim_end().to_owned();
    (excerpt, (from - skip).min(len), (to.max(from) - skip).min(len))
}

/// A line with its secrets replaced, and how columns moved thereby.
struct Redacted {
    text: String,
    /// For each replaced piece: where it was, in bytes of the original line.
    cuts: Vec<Range<usize>>,
    /// For each replaced piece: the characters before it in `text`.
    starts: Vec<usize>,
    original: String,
}

const STARS: &str = "***";

impl Redacted {
    fn of(line: &str) -> Self {
        let mut cuts = url_passwords(line);
        if let Some(cut) = secret_value(line) {
            cuts.retain(|other| other.end <= cut.start || other.start >= cut.end);
            cuts.push(cut);
        }
        cuts.sort_by_key(|cut| cut.start);
        let mut text = String::new();
        let mut starts = Vec::new();
        let mut from = 0;
        for cut in &cuts {
            text.push_str(&line[from..cut.start]);
            starts.push(text.chars().count());
            text.push_str(STARS);
            from = cut.end;
        }
        text.push_str(&line[from..]);
        Redacted { text, cuts, starts, original: line.to_owned() }
    }

    /// The character in `text` for a byte offset of the original line.
    fn column(&self, offset: usize) -> usize {
        let mut from = 0;
        let mut base = 0;
        for (cut, start) in self.cuts.iter().zip(&self.starts) {
            if offset <= cut.start {
                break;
            }
            if offset < cut.end {
                return *start;
            }
            from = cut.end;
            base = start + STARS.len();
        }
        base + self.original.get(from..offset).map_or(0, |between| between.chars().count())
    }
}

/// Where the passwords of URLs stand: `//user:password@`.
fn url_passwords(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(slashes) = line[from..].find("://") {
        let start = from + slashes + 3;
        let end = line[start..].find(['"', '\'', ' ']).map_or(line.len(), |end| start + end);
        let authority = &line[start..end];
        if let Some(at) = authority.rfind('@') {
            found.extend(authority[..at].find(':').map(|colon| start + colon + 1..start + at));
        } else if let Some(colon) = authority.find(':') {
            // Without an `@`, what is no port may be a password whose host got lost.
            let port_end =
                authority[colon..].find(['/', '?', ',']).map_or(authority.len(), |len| colon + len);
            let port = &authority[colon + 1..port_end];
            let is_port = port.bytes().all(|b| b.is_ascii_digit()) || authority.starts_with('[');
            found.extend((!is_port).then_some(start + colon + 1..start + port_end));
        }
        from = end;
    }
    // References name a secret without holding it.
    found.retain(|cut| !line[cut.clone()].starts_with("${"));
    found
}

/// The value of a key that holds a secret, or of `password=` in a keyword string.
fn secret_value(line: &str) -> Option<Range<usize>> {
    let lower = line.to_ascii_lowercase();
    let word =
        ["passw", "pasw", "secret", "pwd"].iter().filter_map(|word| lower.find(word)).min()?;
    let equals = word + lower[word..].find('=')?;
    let value = &line[equals + 1..];
    if value.trim().is_empty() {
        return None;
    }
    let start = equals + 1 + (value.len() - value.trim_start().len());
    let end = equals + 1 + value.trim_end().len();
    let whole = &line[start..end];
    let value = whole.trim_start_matches(['"', '\'']);
    // References name a secret without holding it; numbers, lists and `true` are mistakes worth
    // seeing. Other words without quotes may be a secret whose quotes were forgotten.
    let is_word = whole.contains(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-' | '[' | ']'));
    let harmless = value.is_empty()
        || value.starts_with("${")
        || !is_word
        || matches!(whole, "true" | "false");
    (!harmless).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(line: &str, expected: &str) {
        assert_eq!(Redacted::of(line).text, expected);
    }

    #[test]
    fn excerpts_hold_no_secrets() {
        check("pool_size = 5", "pool_size = 5");
        check("password = \"hunter2\"", "password = ***");
        check("pasword = 'hunter2'", "pasword = ***");
        check("password = hunter2", "password = ***");
        check("password = 5432", "password = 5432");
        check("password = true", "password = true");
        check("password = ", "password = ");
        check("password =", "password =");
        check("password = \"${WEB}\"", "password = \"${WEB}\"");
        check("primary = \"postgres://u:hunter2@h/d\"", "primary = \"postgres://u:***@h/d\"");
        check(
            "a = [\"postgres://u:x@h\", \"postgres://v:y@h\"]",
            "a = [\"postgres://u:***@h\", \"postgres://v:***@h\"]",
        );
        check("primary = \"postgres://u:hunter2\"", "primary = \"postgres://u:***\"");
        check("primary = \"postgres://[::1]:5432/d\"", "primary = \"postgres://[::1]:5432/d\"");
        check("primary = \"host=h password=hunter2\"", "primary = \"host=h password=***");
        check(
            "primary = \"postgres://h/d?sslmode=prefer\"",
            "primary = \"postgres://h/d?sslmode=prefer\"",
        );
    }

    #[test]
    fn places_have_lines_and_columns() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.toml", "one = 1\nprimary = \"postgres://u:hunter2@h/d?x=1\" \n");
        let start = sources.text(file).find("x=1").unwrap();
        let at = sources.locate(Place::new(file, start..start + 3)).unwrap();
        assert_eq!((at.line, at.column), (2, 37));
        assert_eq!(at.excerpt, "primary = \"postgres://u:***@h/d?x=1\"");
        assert_eq!(&at.excerpt[at.underline_start..at.underline_start + at.underline_len], "x=1");
        assert_eq!(sources.origin(Place::new(file, start..start)).to_string(), "a.toml:2");
    }

    #[test]
    fn a_long_line_is_cut_around_its_place() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.toml", &format!("{}xyz{}", "a".repeat(500), "b".repeat(500)));
        let at = sources.locate(Place::new(file, 500..503)).unwrap();
        assert_eq!(at.column, 501);
        assert_eq!(&at.excerpt[at.underline_start..at.underline_start + at.underline_len], "xyz");
    }

    proptest! {
        #[test]
        fn any_place_of_any_text_can_be_shown(text in "(\\PC|\n|://|:|@|password = \"){0,40}", start in 0..100usize, len in 0..100usize) {
            let mut sources = SourceMap::default();
            let file = sources.add("a.toml", &text);
            let place = Place::new(file, start..start + len);
            let _ = sources.locate(place);
            let _ = sources.origin(place);
            let _ = sources.slice(place);
        }
    }
}
