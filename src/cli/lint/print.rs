//! Findings as people, programs and GitHub read them.

use std::path::Path;

use super::super::github::{data, property};
use super::super::json;
use super::{Counts, LintFormat, is_stdin};
use crate::guard::Finding;
use crate::rules::Action;

/// Longest statement that is repeated; a DO block or a long INSERT need not be.
const STATEMENT_MAX: usize = 2_000;

/// A finding and its place.
pub(super) struct Found<'a> {
    pub(super) file: &'a Path,
    pub(super) line: usize,
    pub(super) statement: &'a [u8],
    pub(super) finding: &'a Finding,
}

/// A file's name as people read it.
pub(super) fn name(file: &Path) -> String {
    if is_stdin(file) { "<stdin>".to_owned() } else { file.display().to_string() }
}

impl Found<'_> {
    pub(super) fn printed(&self, format: LintFormat) -> String {
        match format {
            LintFormat::Text => self.text(),
            LintFormat::Json => self.json(),
            LintFormat::Github => self.github(),
        }
    }

    fn text(&self) -> String {
        let Finding { action, rule, message, hint, .. } = self.finding;
        let (name, line) = (name(self.file), self.line);
        let hint = if hint.is_empty() { String::new() } else { format!("    hint: {hint}\n") };
        format!("{name}:{line}: {action} {rule}: {message}\n{hint}")
    }

    fn json(&self) -> String {
        let Finding { action, rule, message, hint, .. } = self.finding;
        let hint = Some(hint.as_str()).filter(|hint| !hint.is_empty());
        format!(
            "{{\"file\":{},\"line\":{},\"statement\":{},\"action\":{},\"rule\":{},\"message\":{},\"hint\":{}}}\n",
            json::string(&self.file.display().to_string()),
            self.line,
            json::string(&shortened(self.statement)),
            json::string(action.as_str()),
            json::string(rule),
            json::string(message),
            json::optional(hint),
        )
    }

    fn github(&self) -> String {
        let Finding { action, rule, message, hint, .. } = self.finding;
        let command = match action {
            Action::Reject => "error",
            Action::Warn => "warning",
            Action::Log | Action::Off => "notice",
        };
        let place = if is_stdin(self.file) {
            String::new()
        } else {
            format!("file={},line={},", property(&self.file.display().to_string()), self.line)
        };
        let hint = if hint.is_empty() { String::new() } else { format!("\n{hint}") };
        let title = property(&format!("pgweir {rule}"));
        format!("::{command} {place}title={title}::{}\n", data(&format!("{message}{hint}")))
    }
}

/// A statement that is not too long to be repeated, or its beginning.
fn shortened(statement: &[u8]) -> String {
    let text = String::from_utf8_lossy(statement);
    match text.char_indices().nth(STATEMENT_MAX) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

/// The last line.
pub(super) fn summary(counts: &Counts, policy: &str) -> String {
    let Counts { files, statements, rejected, warned, logged } = counts;
    let of =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let parts = [(*rejected, "rejected"), (*warned, "warned of"), (*logged, "logged")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let found: Vec<_> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    let found = if found.is_empty() { "nothing found".to_owned() } else { found.join(", ") };
    format!(
        "{}, {}, policy \"{policy}\": {found}\n",
        of(*files, "file"),
        of(*statements, "statement")
    )
}
