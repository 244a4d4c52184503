//! Problems as they are found, with the texts that they point into.

use super::problem::{Problem, Severity};
use super::source::{Place, SourceMap};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Collects every problem instead of stopping at the first.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub sources: SourceMap,
    pub problems: Vec<Problem>,
    /// Every path that the files name, by key path; under `file`, those of `${file:…}`.
    pub paths: Vec<(String, PathBuf, Place)>,
    /// Foreign spellings that a note was written for.
    noted: BTreeSet<String>,
}

/// The longest message, in characters.
const LONGEST: usize = 500;

/// A text of bearable length, in one line.
fn shortened(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let len = one_line.chars().count();
    if len <= LONGEST {
        return one_line;
    }
    let part =
        |skip: usize, take: usize| one_line.chars().skip(skip).take(take).collect::<String>();
    // What is wrong stands before the value or behind it.
    format!("{} … {}", part(0, LONGEST - 150), part(len - 150, 150))
}

impl Report {
    fn add(
        &mut self,
        severity: Severity,
        place: Option<Place>,
        key: &str,
        message: String,
    ) -> &mut Problem {
        let location = place.and_then(|place| self.sources.locate(place));
        let key = (!key.is_empty()).then(|| key.to_owned());
        let index = self.problems.len();
        self.problems.push(Problem { severity, message, key, location, also: None, help: None });
        &mut self.problems[index]
    }

    /// An error at a place. The answer takes a `help`.
    pub fn error(&mut self, place: Place, key: &str, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, Some(place), key, message.into())
    }

    /// An error about something that stands nowhere.
    pub fn error_without_place(&mut self, key: &str, message: impl Into<String>) -> &mut Problem {
        self.add(Severity::Error, None, key, message.into())
    }

    /// A warning at a place, or about something that stands nowhere.
    pub fn warn(
        &mut self,
        place: impl Into<Option<Place>>,
        key: &str,
        message: impl Into<String>,
    ) -> &mut Problem {
        self.add(Severity::Warning, place.into(), key, message.into())
    }

    /// A note, only once for each `subject`.
    pub fn note_once(
        &mut self,
        subject: &str,
        place: Place,
        key: &str,
        message: impl Into<String>,
    ) {
        if self.noted.insert(subject.to_owned()) {
            self.add(Severity::Note, Some(place), key, message.into());
        }
    }

    /// Takes secrets out of what is said, and makes long texts short: a forgotten quote makes a
    /// value of half a file.
    pub fn hide(&mut self, secrets: &BTreeSet<String>) {
        let tidy = |text: &mut String| {
            for secret in secrets {
                if text.contains(secret) {
                    *text = text.replace(secret, "***");
                }
            }
            *text = shortened(text);
        };
        for problem in &mut self.problems {
            tidy(&mut problem.message);
            problem.help.as_mut().map(tidy);
        }
    }

    /// Whether the configuration is refused.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Every problem, in the order of the files and lines.
    pub fn into_sorted(self) -> Vec<Problem> {
        self.into_sorted_with_sources().0
    }

    /// The same, and the texts.
    pub fn into_sorted_with_sources(mut self) -> (Vec<Problem>, SourceMap) {
        let order = self.sources.names();
        self.problems.sort_by_key(|problem| {
            let place = problem.location.as_ref().map(|at| {
                (
                    order.iter().position(|name| *name == at.file),
                    at.line,
                    at.column,
                    problem.severity,
                )
            });
            // What has no place comes last.
            (place.is_none(), place)
        });
        self.problems.dedup();
        (self.problems, self.sources)
    }
}
