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
    /// There are more of them than are remembered.
    own_beyond: bool,
    catalog: Asking,
    /// What was found last, and counted; until the next ReadyForQuery.
    told: Option<u64>,
    /// Rules and texts that it has been warned of.
    warned: Vec<u64>,
    /// How long its transaction holds locks is being looked at.
    watched: bool,
}

/// A portal whose text has commands, or that shapes a transaction with a history: it is judged again when it runs.
#[derive(Clone, Debug)]
struct Portal {
    /// Of its name.
    hash: u64,
    text: Arc<[u8]>,
}

/// A statement with commands that only its server knows by name.
#[derive(Clone, Debug)]
pub struct Own {
    name: Box<[u8]>,
    /// Its text.
    pub text: Arc<[u8]>,
    /// It is transaction control and nothing else.
    pub only_controls: bool,
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
        let own = self.own_beyond || !self.own.is_empty();
        !asks && !told && !own && self.portals.is_empty() && self.history.is_empty()
    }

    /// A text is judged now that runs when nobody follows it: nothing is new to it, nor to what runs beside it, and the
    /// catalog is not asked, for what it says now need not be so by then.
    pub fn judges_for_later(&mut self, text: &[u8], now: Tick) {
        self.history.lose();
        self.catalog = Asking::Answered { text: mark(text), at: now, catalog: Box::default() };
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

    /// Whether it can be remembered that a portal is bound to a text.
    #[must_use]
    pub fn may_bind(&self, text: &[u8]) -> bool {
        self.portals.len() < PORTALS_MAX && text.len() <= PORTAL_TEXT_MAX
    }

    /// A portal has been bound to a text with commands.
    pub fn binds(&mut self, hash: u64, text: &Arc<[u8]>) {
        self.portals.push(Portal { hash, text: text.clone() });
    }

    /// What a portal runs, where that has commands.
    #[must_use]
    pub fn portal(&self, hash: u64) -> Vec<Arc<[u8]>> {
        let bound = self.portals.iter().filter(|portal| portal.hash == hash);
        bound.map(|portal| portal.text.clone()).collect()
    }

    /// Whether transaction control matters: there is something that it may end, or a portal may make it.
    #[must_use]
    #[inline]
    pub fn follows_controls(&self) -> bool {
        self.has_portals() || !self.history.is_empty()
    }

    /// Whether any portal of a text with commands is bound.
    #[must_use]
    #[inline]
    pub fn has_portals(&self) -> bool {
        !self.portals.is_empty()
    }

    /// A statement with commands gets a name that only its server knows. False where that cannot be remembered. Whether
    /// the name is free is the server's to say, so it may mean any text that it was given.
    pub fn names(&mut self, name: &[u8], text: &[u8], only_controls: bool) -> bool {
        if self.own.iter().any(|own| *own.name == *name && *own.text == *text) {
            return true;
        }
        let held: usize = self.own.iter().map(|own| own.name.len() + own.text.len()).sum();
        let fits = held + name.len() + text.len() <= OWN_BYTES_MAX;
        if fits {
            self.own.push(Own { name: name.into(), text: text.into(), only_controls });
        }
        self.own_beyond |= !fits;
        fits
    }

    /// Whether statements that only the server knows have commands and are not remembered.
    #[must_use]
    pub fn forgets_names(&self) -> bool {
        self.own_beyond
    }

    /// What a name that only the server knows may mean, where that has commands.
    pub fn named(&self, name: &[u8]) -> impl Iterator<Item = &Own> {
        self.own.iter().filter(move |own| *own.name == *name)
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
        self.own_beyond = false;
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
