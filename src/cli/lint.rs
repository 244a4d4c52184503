//! `pgweir lint`: the guard's rules over files of migrations, so that what fails in production fails in review first.
//!
//! Owns reading files and printing findings; what a session of such statements would be told is `guard::rehearsal`'s to
//! say. Deliberately absent: a server, and what its catalog knows.

use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use super::terms::{Terms, Who};
use crate::guard::rehearsal::Parameters;
use crate::guard::{Rehearsal, Stage};
use crate::rules::Action;
use crate::sql::Span;
use crate::sql::script::{Part, Script};

mod files;
mod print;
#[cfg(test)]
mod tests;

use files::STDIN;
use print::Found;

/// How `pgweir lint` prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LintFormat {
    /// For people: file, line, rule, what would happen, what to write instead.
    #[default]
    Text,
    /// One JSON object a line for each finding.
    Json,
    /// Commands that GitHub Actions shows beside the lines.
    Github,
}

/// What is to be looked at, and on whose terms.
#[derive(Clone, Debug, Default)]
pub struct LintOptions {
    /// Files, folders, `-` for standard input.
    pub files: Vec<PathBuf>,
    /// A shipped policy, or one of the configuration's.
    pub policy: Option<String>,
    /// The configuration; None: built-in defaults.
    pub config: Option<PathBuf>,
    /// The database as clients name it.
    pub database: Option<String>,
    /// The role that runs the migrations.
    pub role: Option<String>,
    /// How to print it.
    pub format: LintFormat,
    /// Each file runs in one transaction.
    pub single_transaction: bool,
}

/// What `pgweir lint` found.
#[derive(Debug, Default)]
pub struct LintResult {
    /// 0: nothing is rejected. 1: something is. 2: usage, or a file cannot be read.
    pub exit_code: u8,
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub complaint: String,
}

/// Lints files, prints what was found, and gives the exit code.
pub fn lint(options: &LintOptions) -> u8 {
    let LintResult { exit_code, output, complaint } = examine(options, &mut io::stdin().lock());
    // Whoever closed the pipe has seen enough; the exit code still says what was found.
    let _ = io::stdout().lock().write_all(output.as_bytes());
    let _ = io::stderr().lock().write_all(complaint.as_bytes());
    exit_code
}

/// Lints files. Prints nothing.
pub fn examine(options: &LintOptions, stdin: &mut dyn Read) -> LintResult {
    let who = Who {
        database: options.database.as_deref(),
        role: options.role.as_deref(),
        policy: options.policy.as_deref(),
    };
    let refused =
        |exit_code, complaint| LintResult { exit_code, complaint, ..LintResult::default() };
    let terms = match Terms::load(options.config.as_deref()) {
        Ok(terms) => terms,
        Err((exit_code, complaint)) => return refused(exit_code, complaint),
    };
    let stage = match terms.hold(who) {
        Ok(held) => Stage::of(&held.settings),
        Err(complaint) => return refused(2, format!("{complaint}\n")),
    };
    let mut result = LintResult::default();
    let mut counts = Counts::default();
    let unreadable = |complaint: String, result: &mut LintResult| {
        result.exit_code = 2;
        result.complaint.push_str(&complaint);
        result.complaint.push('\n');
    };
    for path in &options.files {
        let files = files::below(path).unwrap_or_else(|error| {
            unreadable(format!("cannot read {}: {error}", path.display()), &mut result);
            Vec::new()
        });
        for file in files {
            match files::read(&file, stdin) {
                Ok(text) => {
                    counts.files += 1;
                    let run = Run { stage: &stage, options, file: &file, counts: &mut counts };
                    run.lint(text, &mut result);
                }
                Err(error) => {
                    unreadable(format!("cannot read {}: {error}", file.display()), &mut result);
                }
            }
        }
    }
    if options.format == LintFormat::Text && counts.files > 0 {
        result.output.push_str(&print::summary(&counts, &stage.policy.name));
    }
    if counts.rejected > 0 && result.exit_code == 0 {
        result.exit_code = 1;
    }
    result
}

/// How much was found.
#[derive(Debug, Default)]
struct Counts {
    files: usize,
    statements: usize,
    rejected: usize,
    warned: usize,
    logged: usize,
}

/// One file on its way.
struct Run<'a> {
    stage: &'a Stage,
    options: &'a LintOptions,
    file: &'a Path,
    counts: &'a mut Counts,
}

impl Run<'_> {
    fn lint(self, text: Vec<u8>, result: &mut LintResult) {
        let mut lines = Lines::default();
        let mut script = Script::new(text);
        let mut session = self.begin();
        while let Some(part) = script.next_part(session.options()) {
            let message = match part {
                Part::Message(message) => message,
                Part::Connect(_) => {
                    session = self.begin();
                    continue;
                }
                Part::Copy(_) => {
                    session.fills_unseen();
                    continue;
                }
                Part::Include(at) => {
                    session.fills_unseen();
                    let line = lines.of(at, script.text());
                    let file = print::name(self.file);
                    result.complaint.push_str(&format!(
                        "{file}:{line}: what \\i includes is not looked at: name that file as well\n"
                    ));
                    continue;
                }
            };
            let text = message.of(script.text());
            self.counts.statements += 1;
            for finding in session.play(text).findings {
                match finding.action {
                    Action::Off => continue,
                    Action::Log => self.counts.logged += 1,
                    Action::Warn => self.counts.warned += 1,
                    Action::Reject => self.counts.rejected += 1,
                }
                let Span { start, end } = finding.span;
                let span = Span { start: message.start + start, end: message.start + end };
                let found = Found {
                    file: self.file,
                    line: lines.of(span.start, script.text()),
                    statement: span.of(script.text()),
                    finding: &finding,
                };
                result.output.push_str(&found.printed(self.options.format));
            }
        }
    }

    /// A session that has just logged in.
    fn begin(&self) -> Rehearsal {
        let mut session = Rehearsal::new(self.stage.clone(), Parameters::default());
        if self.options.single_transaction {
            session.play(b"BEGIN");
        }
        session
    }
}

/// Counts lines; offsets mostly grow, so each line is counted once.
#[derive(Debug)]
struct Lines {
    at: usize,
    line: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self { at: 0, line: 1 }
    }
}

impl Lines {
    /// The line that an offset of `text` is in, from 1.
    fn of(&mut self, offset: usize, text: &[u8]) -> usize {
        if offset < self.at {
            *self = Self::default();
        }
        let more = Span { start: self.at, end: offset.min(text.len()) };
        self.line += more.of(text).iter().filter(|byte| **byte == b'\n').count();
        self.at = more.end;
        self.line
    }
}

/// Whether a file is standard input.
fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}
