//! What a client has asked its server to run, as far as it has not been answered, and what it asked
//! last: kept only where a limit in time holds, for it is looked at only when one strikes.
//!
//! Texts of Query are copied up to the length that a fingerprint reads; of prepared statements only
//! the place in their table is kept. Nothing is allocated once the buffers have grown.
//!
//! Deliberately absent: texts of statements that the server alone knows.

use super::ledger::{Ledger, Sent, Which};
use crate::prepared::{Mark, Statements};
use crate::sql::{Fingerprint, LONGEST_READ};

/// Bytes of texts that are kept for one server.
const TEXTS_MAX: usize = 4 * LONGEST_READ;

/// Different things to run that are kept for one server.
const RUNS_MAX: usize = 64;

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// In the table of prepared statements.
    Statement(Mark),
    /// Among the texts.
    Text { start: usize, end: usize },
}

/// Some statements of one unit that have the same text.
#[derive(Clone, Copy, Debug)]
struct Run {
    unit: u64,
    /// The numbers of the first and the last of them among those of the unit, from 0.
    first: u32,
    last: u32,
    what: What,
}

/// What one server has been asked to run.
#[derive(Debug, Default)]
pub struct Asked {
    /// Whose they are: the server's lease.
    lease: u64,
    texts: Vec<u8>,
    runs: Vec<Run>,
    /// The last Bind: its portal's key, and the statement if that is known.
    bound: Option<(u64, Option<Mark>)>,
    /// The unit that the last Execute belongs to, and how many it had before.
    unit: u64,
    executes: u32,
}

impl Asked {
    /// Nothing of what came before is looked at any more if it was another client's, or if all of
    /// it has been answered.
    fn begin(&mut self, lease: u64, ledger: &Ledger) {
        let done = ledger.current_unit();
        if self.lease != lease {
            self.bound = None;
        } else if self.runs.last().is_some_and(|run| run.unit >= done) {
            return;
        }
        self.lease = lease;
        self.texts.clear();
        self.runs.clear();
    }

    /// A Query has been noted.
    pub fn query(&mut self, lease: u64, ledger: &Ledger, text: &[u8]) {
        self.begin(lease, ledger);
        let text = text.get(..LONGEST_READ).unwrap_or(text);
        let start = self.texts.len();
        if start + text.len() > TEXTS_MAX || self.runs.len() == RUNS_MAX {
            return;
        }
        self.texts.extend_from_slice(text);
        let what = What::Text { start, end: self.texts.len() };
        // The Query is the end of its unit.
        let unit = ledger.building_unit() - 1;
        self.runs.push(Run { unit, first: 0, last: u32::MAX, what });
    }

    /// A Bind has been noted that makes this portal.
    pub fn bind(&mut self, lease: u64, ledger: &Ledger, portal: u64, statement: Option<Mark>) {
        if self.lease != lease {
            self.begin(lease, ledger);
        }
        self.bound = Some((portal, statement));
    }

    /// An Execute of a portal has been noted.
    pub fn execute(&mut self, lease: u64, ledger: &Ledger, portal: u64) {
        self.begin(lease, ledger);
        let unit = ledger.building_unit();
        self.executes = if self.unit == unit { self.executes + 1 } else { 0 };
        self.unit = unit;
        let number = self.executes;
        // A portal of earlier days: what it runs is not known.
        let Some((_, Some(mark))) = self.bound.filter(|(bound, _)| *bound == portal) else {
            return;
        };
        let what = What::Statement(mark);
        if let Some(run) = self.runs.last_mut()
            && run.unit == unit
            && run.last.wrapping_add(1) == number
            && run.what == what
        {
            run.last = number;
        } else if self.runs.len() < RUNS_MAX {
            self.runs.push(Run { unit, first: number, last: number, what });
        }
    }

    fn fingerprint(&self, what: What, statements: &Statements) -> Option<Fingerprint> {
        match what {
            What::Text { start, end } => self.texts.get(start..end).map(Fingerprint::of),
            What::Statement(mark) => statements.marked(mark).map(Fingerprint::of),
        }
    }

    /// What the unit at the front is at; `ledger` says how far that is.
    #[must_use]
    pub fn running(&self, ledger: &Ledger, statements: &Statements) -> Option<Fingerprint> {
        let (unit, number) = (ledger.current_unit(), ledger.statements_run());
        let mut runs = self.runs.iter();
        let run = runs.find(|run| run.unit == unit && (run.first..=run.last).contains(&number))?;
        self.fingerprint(run.what, statements)
    }

    /// What this lease asked last.
    #[must_use]
    pub fn last(&self, lease: u64, statements: &Statements) -> Option<Fingerprint> {
        let run = self.runs.last().filter(|_| self.lease == lease)?;
        self.fingerprint(run.what, statements)
    }
}

/// The fingerprint of what a server is at.
#[must_use]
pub fn running(
    ledger: &Ledger,
    asked: Option<&Asked>,
    statements: &Statements,
) -> Option<Fingerprint> {
    let statement = match ledger.front()? {
        Sent::Parse(Which::Unnamed(statement)) => statement,
        Sent::Parse(Which::Shared(statement) | Which::Repeated(statement)) => Some(statement),
        Sent::Bind(statement)
        | Sent::DescribeStatement(statement)
        | Sent::DescribePortal(statement) => statement,
        // The statement in question is one that the server alone knows.
        Sent::Parse(Which::Own) => return None,
        Sent::Query(_)
        | Sent::FunctionCall
        | Sent::Execute
        | Sent::Close(_)
        | Sent::Flush
        | Sent::Sync(_)
        | Sent::CopyEnd
        | Sent::Local(_) => None,
    };
    match statement {
        Some(statement) => Some(Fingerprint::of(statements.text(statement))),
        None => asked?.running(ledger, statements),
    }
}
