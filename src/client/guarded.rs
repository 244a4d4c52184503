//! What the guard knows of a session: what its transaction has done, and what it has been told.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

use crate::deadline::Tick;
use crate::guard::{Catalog, History, Judgement};
use crate::wire::TransactionStatus;

/// Warnings that a client has had, of which it is told once: so many texts are remembered.
const WARNED_MAX: usize = 64;

/// So long what the catalog has said is believed, in milliseconds.
const FRESH_MS: u64 = 5_000;

/// Portals of texts with commands that are followed at a time, and the longest of their texts.
const PORTALS_MAX: usize = 8;
const PORTAL_TEXT_MAX: usize = 64 * 1024;

/// Bytes of names and texts of statements that only the server knows.
const OWN_BYTES_MAX: usize = 256 * 1024;

/// What the guard knows of a session.
#[derive(Clone, Debug, Default)]
pub struct Guarded {
    /// What its transaction has done so far.
    pub history: History,
    portals: Vec<Portal>,
    own: Vec<Own>,
    catalog: Asking,
    /// What was found last, and counted; until the next ReadyForQuery.
    told: Option<u64>,
    /// Rules and texts that it has been warned of.
    warned: Vec<u64>,
    /// How long its transaction holds locks is being looked at.
    watched: bool,
}

/// A portal whose text has commands: it is judged again when it runs.
#[derive(Clone, Debug)]
struct Portal {
    /// Of its name.
    hash: u64,
    text: Arc<[u8]>,
}

/// A statement with commands that only its server knows by name.
#[derive(Clone, Debug)]
struct Own {
    name: Box<[u8]>,
    text: Arc<[u8]>,
}

/// Whether the catalog is asked about a text.
#[derive(Clone, Debug, Default)]
enum Asking {
    #[default]
    No,
    /// It is being asked.
    Asked { ticket: u64, text: u64 },
    /// It has answered.
    Answered { text: u64, at: Tick, catalog: Box<Catalog> },
    /// The client has cancelled it.
    Cancelled { text: u64 },
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
        !asks && !told && self.portals.is_empty() && self.own.is_empty() && self.history.is_empty()
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
    pub fn answered(&mut self, ticket: u64, catalog: Catalog, at: Tick) -> bool {
        match self.catalog {
            Asking::Asked { ticket: asked, text } if asked == ticket => {
                self.catalog = Asking::Answered { text, at, catalog: Box::new(catalog) };
                true
            }
            Asking::No
            | Asking::Asked { .. }
            | Asking::Answered { .. }
            | Asking::Cancelled { .. } => false,
        }
    }

    /// What the catalog has said for a text a moment ago; None where it was not asked.
    #[must_use]
    pub fn answers_for(&self, text: &[u8], now: Tick) -> Option<&Catalog> {
        match &self.catalog {
            Asking::Answered { text: asked, at, catalog }
                if *asked == mark(text) && now.since(*at) <= FRESH_MS =>
            {
                Some(catalog)
            }
            Asking::No
            | Asking::Asked { .. }
            | Asking::Answered { .. }
            | Asking::Cancelled { .. } => None,
        }
    }

    /// The client cancels the statement for which the catalog is being asked. Whether it is.
    pub fn cancel(&mut self) -> bool {
        let Asking::Asked { text, .. } = self.catalog else { return false };
        self.catalog = Asking::Cancelled { text };
        true
    }

    /// Whether the client has cancelled a text; told once.
    pub fn takes_cancel(&mut self, text: &[u8]) -> bool {
        let is_cancelled =
            matches!(self.catalog, Asking::Cancelled { text: asked } if asked == mark(text));
        if is_cancelled {
            self.catalog = Asking::No;
        }
        is_cancelled
    }

    /// A portal is bound to another text.
    pub fn unbinds(&mut self, hash: u64) {
        self.portals.retain(|portal| portal.hash != hash);
    }

    /// A portal has been bound to a text with commands. False where that cannot be remembered.
    pub fn binds(&mut self, hash: u64, text: &Arc<[u8]>) -> bool {
        let fits = self.portals.len() < PORTALS_MAX && text.len() <= PORTAL_TEXT_MAX;
        if fits {
            self.portals.push(Portal { hash, text: text.clone() });
        }
        fits
    }

    /// What a portal runs, where that has commands.
    #[must_use]
    pub fn portal(&self, hash: u64) -> Vec<Arc<[u8]>> {
        let bound = self.portals.iter().filter(|portal| portal.hash == hash);
        bound.map(|portal| portal.text.clone()).collect()
    }

    /// Whether any portal of a text with commands is bound.
    #[must_use]
    #[inline]
    pub fn has_portals(&self) -> bool {
        !self.portals.is_empty()
    }

    /// A statement with commands gets a name that only its server knows. False where that cannot be remembered. Whether
    /// the name is free is the server's to say, so it may mean any text that it was given.
    pub fn names(&mut self, name: &[u8], text: &[u8]) -> bool {
        if self.own.iter().any(|own| *own.name == *name && *own.text == *text) {
            return true;
        }
        let held: usize = self.own.iter().map(|own| own.name.len() + own.text.len()).sum();
        let fits = held + name.len() + text.len() <= OWN_BYTES_MAX;
        if fits {
            self.own.push(Own { name: name.into(), text: text.into() });
        }
        fits
    }

    /// What a name that only the server knows may mean, where that has commands.
    #[must_use]
    pub fn named(&self, name: &[u8]) -> Vec<Arc<[u8]>> {
        let named = self.own.iter().filter(|own| *own.name == *name);
        named.map(|own| own.text.clone()).collect()
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
                self.portals.clear();
                let committed = !failed && before != TransactionStatus::Failed;
                self.history.transaction_ended(committed);
            }
        }
    }

    /// It gets a server, and has left nothing on it.
    pub fn leases(&mut self) {
        self.watched = false;
        self.portals.clear();
        self.own.clear();
        self.history.transaction_ended(false);
        self.history.temporary_tables_gone();
    }

    /// What was said may not be so any more. What is being asked is for a message that has not been sent.
    fn forget_answers(&mut self) {
        if !self.is_asking() {
            self.catalog = Asking::No;
        }
    }
}

fn mark(what: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(what)
}
