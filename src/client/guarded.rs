//! What the guard knows of a session: what its transaction has done, and what it has been told.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use crate::guard::{Catalog, History, Judgement};
use crate::prepared::StatementId;
use crate::wire::TransactionStatus;

/// Warnings that a client has had, of which it is told once: so many texts are remembered.
const WARNED_MAX: usize = 64;

/// What the guard knows of a session.
#[derive(Clone, Debug, Default)]
pub struct Guarded {
    /// What its transaction has done so far.
    pub history: History,
    /// What the unnamed portal runs, where that has commands.
    pub portal: Option<StatementId>,
    catalog: Asking,
    /// What was found last, and counted; until the next ReadyForQuery.
    told: Option<u64>,
    /// Rules and texts that it has been warned of.
    warned: Vec<u64>,
    /// How long its transaction holds locks is being looked at.
    watched: bool,
}

/// Whether the catalog is asked about a text.
#[derive(Clone, Debug, Default)]
enum Asking {
    #[default]
    No,
    /// It is being asked.
    Asked { ticket: u64, text: u64 },
    /// It has answered.
    Answered { text: u64, catalog: Box<Catalog> },
}

impl Guarded {
    /// Whether findings are told of for the first time since the server was last ready, as a message may be judged
    /// more than once before it is sent.
    pub fn tells_first(&mut self, found: &Judgement, text: &[u8]) -> bool {
        let rules: Vec<_> =
            found.findings.iter().map(|found| (found.rule, found.action as u8)).collect();
        let told = Some(mark((rules, text)));
        let is_first = self.told != told;
        self.told = told;
        is_first
    }

    /// Whether it is warned of a rule and a text for the first time, as far as that is remembered.
    pub fn warns_first(&mut self, rule: &str, text: &[u8]) -> bool {
        let mark = mark((rule, text));
        let is_first = !self.warned.contains(&mark);
        if is_first {
            if self.warned.len() == WARNED_MAX {
                self.warned.remove(0);
            }
            self.warned.push(mark);
        }
        is_first
    }

    /// Whether nobody looks yet how long its transaction holds locks; from now on somebody does.
    pub fn is_first_watch(&mut self) -> bool {
        !std::mem::replace(&mut self.watched, true)
    }

    /// Whether nothing has to be kept.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let asks = !matches!(self.catalog, Asking::No);
        let told = self.told.is_some() || !self.warned.is_empty();
        !asks && !told && self.portal.is_none() && self.history.is_empty()
    }

    /// The catalog is asked about a text.
    pub fn asks(&mut self, ticket: u64, text: &[u8]) {
        self.catalog = Asking::Asked { ticket, text: mark(text) };
    }

    /// Whether the catalog is being asked for its next message.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        matches!(self.catalog, Asking::Asked { .. })
    }

    /// The catalog has answered; false where nobody waits for this any more.
    pub fn answered(&mut self, ticket: u64, catalog: Catalog) -> bool {
        match self.catalog {
            Asking::Asked { ticket: asked, text } if asked == ticket => {
                self.catalog = Asking::Answered { text, catalog: Box::new(catalog) };
                true
            }
            Asking::No | Asking::Asked { .. } | Asking::Answered { .. } => false,
        }
    }

    /// What the catalog has said for a text; None where it was not asked.
    #[must_use]
    pub fn answers_for(&self, text: &[u8]) -> Option<&Catalog> {
        match &self.catalog {
            Asking::Answered { text: asked, catalog } if *asked == mark(text) => Some(catalog),
            Asking::No | Asking::Asked { .. } | Asking::Answered { .. } => None,
        }
    }

    /// A ReadyForQuery came. `failed`: its unit has failed; `before`: what the one before said.
    pub fn ready(&mut self, before: TransactionStatus, status: TransactionStatus, failed: bool) {
        self.told = None;
        self.forget_answers();
        match status {
            TransactionStatus::InTransaction => self.history.settled(),
            TransactionStatus::Failed => self.history.failed(),
            TransactionStatus::Idle => {
                self.watched = false;
                let committed = !failed && before != TransactionStatus::Failed;
                self.history.transaction_ended(committed);
            }
        }
    }

    /// It gets a server, and has left nothing on it.
    pub fn leases(&mut self) {
        self.portal = None;
        self.history.transaction_ended(false);
        self.history.temporary_tables_gone();
    }

    /// What was said may not be so any more. What is being asked is for a message that has not been sent.
    fn forget_answers(&mut self) {
        if let Asking::Answered { .. } = self.catalog {
            self.catalog = Asking::No;
        }
    }
}

fn mark(what: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(what)
}
