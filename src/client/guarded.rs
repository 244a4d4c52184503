//! What the guard knows of a session: what its transaction has done, and what it has been told.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use crate::guard::{Catalog, History};
use crate::prepared::StatementId;
use crate::wire::TransactionStatus;

/// Warnings that a client has had, of which it is told once: so many texts are remembered.
const WARNED_MAX: usize = 64;

/// What the guard knows of a session.
#[derive(Clone, Debug, Default)]
pub struct Guarded {
    /// What its transaction has done so far.
    pub history: History,
    /// A BEGIN has been sent since the last ReadyForQuery.
    pub begun: bool,
    /// What the catalog has said for the message that waits; none was asked.
    pub catalog: Option<Box<Catalog>>,
    /// The catalog is being asked: the number of the question.
    pub asking: Option<u64>,
    /// What the unnamed portal runs, where that has commands.
    pub portal: Option<StatementId>,
    /// Hashes of rule and text that it has been warned of.
    warned: Vec<u64>,
}

impl Guarded {
    /// Whether it is told of a rule and a text for the first time, as far as that is remembered.
    pub fn warns_first(&mut self, rule: &str, text: &[u8]) -> bool {
        let mark = BuildHasherDefault::<DefaultHasher>::default().hash_one((rule, text));
        let is_first = !self.warned.contains(&mark);
        if is_first {
            if self.warned.len() == WARNED_MAX {
                self.warned.remove(0);
            }
            self.warned.push(mark);
        }
        is_first
    }

    /// Whether nothing has to be kept.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let asks = self.catalog.is_some() || self.asking.is_some() || self.portal.is_some();
        !asks && !self.begun && self.history.is_empty() && self.warned.is_empty()
    }

    /// Whether the catalog is being asked for its next message.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// A ReadyForQuery came. `failed`: its unit has failed; `before`: what the one before said.
    pub fn ready(&mut self, before: TransactionStatus, status: TransactionStatus, failed: bool) {
        self.begun = false;
        match status {
            TransactionStatus::InTransaction => self.history.settled(),
            TransactionStatus::Failed => self.history.failed(),
            TransactionStatus::Idle => {
                let committed = !failed && before != TransactionStatus::Failed;
                self.history.transaction_ended(committed);
            }
        }
    }

    /// Its server is another's now.
    pub fn server_gone(&mut self) {
        self.begun = false;
        self.portal = None;
        self.history.transaction_ended(false);
        self.history.temporary_tables_gone();
    }
}
