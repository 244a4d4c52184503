//! Verdicts and their words.

use super::catalog::Question;
use crate::errors;
use crate::rules::Action;
use crate::sql::Span;
use crate::wire::Report;

/// What a policy says to a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// What rules have found, in the order of the text.
    pub findings: Vec<Finding>,
    /// What the catalog would have to say for nothing to be refused any more. Empty where its answers would change
    /// nothing, and where they are there already.
    pub questions: Vec<Question>,
}

/// What one rule says to one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// What the policy does about it; never [`Action::Off`].
    pub action: Action,
    /// The statement's number in its text, from 0.
    pub statement: usize,
    /// The statement in its text.
    pub span: Span,
    /// What would happen, without a full stop. No literals of the text.
    pub message: String,
    /// The rule, the lock, and the lines of the configuration that say so.
    pub detail: String,
    /// What to write instead. May hold DDL of the text.
    pub hint: String,
}

impl Judgement {
    /// The strictest action found; `Off` where nothing was.
    #[must_use]
    pub fn action(&self) -> Action {
        self.findings.iter().map(|finding| finding.action).max().unwrap_or(Action::Off)
    }

    /// The first finding for which the text is refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.action == Action::Reject)
    }

    /// Findings that the client is warned of.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.action == Action::Warn)
    }
}

impl Finding {
    /// What the client reads: an error where the statement is refused, else a warning.
    #[must_use]
    pub fn report(&self) -> Report {
        let report = if self.action == Action::Reject {
            errors::guard_refused(self.rule, &self.message)
        } else {
            errors::guard_warned(self.rule, &self.message)
        };
        report.detail(self.detail.clone()).hint(self.hint.clone())
    }
}
