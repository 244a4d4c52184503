//! What is wrong with a configuration, and how it is shown: place, key path, excerpt, advice.

use super::Places;
use std::fmt;
use std::sync::Arc;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is taken, and probably not what was meant.
    Warning,
    /// It is taken; something about it is worth knowing.
    Note,
}

impl Severity {
    /// The word for it in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// A piece of a configuration file, with the line that it stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The line's text, with passwords replaced by `***`.
    pub excerpt: String,
    /// Where in `excerpt` the piece begins, in characters from 0.
    pub underline_start: usize,
    /// How many characters of `excerpt` it takes; at least 1.
    pub underline_len: usize,
}

/// One thing that is wrong with a configuration, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The path of the key that it is about, as in `databases.shop.pool_size`.
    pub key: Option<String>,
    /// Where it stands; `None` when it is about something absent.
    pub location: Option<Location>,
    /// A second place that has to do with it, and what it has to do with it.
    pub also: Option<(String, Location)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// An error found outside the file's text: in what it names, or when it is used. `key` is
    /// empty where it is about no single key.
    #[must_use]
    pub fn error(key: &str, message: impl Into<String>) -> Self {
        Problem {
            severity: Severity::Error,
            message: message.into(),
            key: (!key.is_empty()).then(|| key.to_owned()),
            location: None,
            also: None,
            help: None,
        }
    }

    /// Its place and message, for a list.
    #[must_use]
    pub fn in_one_line(&self) -> String {
        match &self.location {
            Some(Location { file, line, .. }) => format!("{file}:{line}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// The same, where its key stands.
    #[must_use]
    pub fn placed(mut self, places: &Places) -> Self {
        self.location = self.key.as_ref().and_then(|key| places.find(key));
        self
    }
}

impl From<Vec<Problem>> for ConfigProblems {
    fn from(problems: Vec<Problem>) -> Self {
        ConfigProblems { problems, unreadable: false }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.severity.as_str(), self.message)?;
        let lines = [self.location.as_ref(), self.also.as_ref().map(|(_, location)| location)];
        let width = lines.iter().flatten().map(|at| at.line.to_string().len()).max().unwrap_or(1);
        if let Some(location) = &self.location {
            write_excerpt(f, location, width, "")?;
        }
        if let Some((label, location)) = &self.also {
            write_excerpt(f, location, width, label)?;
        }
        if let Some(key) = &self.key {
            writeln!(f, "{:width$} = key: {key}", "")?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{:width$} = help: {help}", "")?;
        }
        Ok(())
    }
}

/// The excerpt as rustc draws it.
fn write_excerpt(
    f: &mut fmt::Formatter<'_>,
    at: &Location,
    width: usize,
    label: &str,
) -> fmt::Result {
    let Location { file, line, column, excerpt, underline_start, underline_len } = at;
    writeln!(f, "{:width$}--> {file}:{line}:{column}", "")?;
    writeln!(f, "{:width$} |", "")?;
    writeln!(f, "{line:width$} | {excerpt}")?;
    let underline = format!("{:underline_start$}{:^<underline_len$} {label}", "", "");
    writeln!(f, "{:width$} | {}", "", underline.trim_end())
}

/// Why a configuration cannot be used: every problem found in it.
#[derive(Clone, Debug)]
pub struct ConfigProblems {
    /// All of them, warnings and notes included, ordered by place. At least one is an error.
    pub problems: Vec<Problem>,
    /// Whether the file itself could not be read, so that nothing in it was looked at.
    pub unreadable: bool,
}

impl ConfigProblems {
    /// How many problems are of that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        f.write_str(&summary(&self.problems))
    }
}

impl std::error::Error for ConfigProblems {}

/// How many errors and warnings there are, in words.
pub fn summary(problems: &[Problem]) -> String {
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let plural =
        |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    format!(
        "{}, {}",
        plural(count(Severity::Error), "error"),
        plural(count(Severity::Warning), "warning")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32, excerpt: &str, len: usize) -> Location {
        Location {
            file: "pgweir.toml".into(),
            line,
            column,
            excerpt: excerpt.to_owned(),
            underline_start: column as usize - 1,
            underline_len: len,
        }
    }

    #[test]
    fn a_problem_is_drawn_as_rustc_does() {
        let problem = Problem {
            severity: Severity::Error,
            message: "unknown key `pool_sze` in [defaults]".to_owned(),
            key: Some("defaults.pool_sze".to_owned()),
            location: Some(at(5, 1, "pool_sze = 20", 8)),
            also: None,
            help: Some("did you mean `pool_size`?".to_owned()),
        };
        let expected = "\
error: unknown key `pool_sze` in [defaults]
 --> pgweir.toml:5:1
  |
5 | pool_sze = 20
  | ^^^^^^^^
  = key: defaults.pool_sze
  = help: did you mean `pool_size`?
";
        assert_eq!(problem.to_string(), expected);
    }

    #[test]
    fn two_places_share_one_margin() {
        let problem = Problem {
            severity: Severity::Error,
            message: "set twice".to_owned(),
            key: None,
            location: Some(at(120, 1, "a = 1", 1)),
            also: Some(("first set here".to_owned(), at(7, 1, "a = 2", 1))),
            help: None,
        };
        let expected = "\
error: set twice
   --> pgweir.toml:120:1
    |
120 | a = 1
    | ^
   --> pgweir.toml:7:1
    |
  7 | a = 2
    | ^ first set here
";
        assert_eq!(problem.to_string(), expected);
    }
}
