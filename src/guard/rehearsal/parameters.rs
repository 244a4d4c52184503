//! Parameters of a rehearsed session that decide how its texts are read, what their names mean and which limits hold.
//!
//! Owns their values through transactions and savepoints, as the server keeps them. Deliberately absent: every other
//! parameter; what sets a parameter unseen.

use std::collections::BTreeMap;

use super::super::history::Scene;
use super::super::values;
use crate::session::belt;
use crate::sql::{Action, Name, ParameterUse, Scope, Target, TransactionControl};

/// The parameters that are kept.
const KEPT: [&[u8]; 9] = [
    b"client_encoding",
    b"default_transaction_isolation",
    b"default_transaction_read_only",
    b"lock_timeout",
    b"pgweir.route",
    b"role",
    b"search_path",
    b"standard_conforming_strings",
    b"statement_timeout",
];

/// More savepoints than this are not kept: rolling back to one beyond leaves the parameters as they are.
const SAVEPOINTS_MAX: usize = 5_000;

/// Values by name; one that is not there is what the session began with.
type Values = BTreeMap<&'static [u8], Box<[u8]>>;

/// What holds at one moment of a transaction.
#[derive(Clone, Debug, Default)]
struct Level {
    session: Values,
    /// SET LOCAL.
    local: Values,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// Those of the startup packet.
    start: Values,
    /// What holds if the transaction is rolled back.
    before: Values,
    now: Level,
    savepoints: Vec<(Name, Level)>,
}

impl Parameters {
    /// Those of a startup packet; names in any case.
    pub fn new(settings: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut start = Values::new();
        for (name, value) in settings {
            if let Some(name) = kept(&name.to_ascii_lowercase()) {
                start.insert(name, value.into());
            }
        }
        Self { start, ..Self::default() }
    }

    /// What a parameter is set to; None: nobody has said. A list is as it is written.
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let Level { session, local } = &self.now;
        let found = local.get(name).or_else(|| session.get(name)).or_else(|| self.start.get(name));
        found.map(|value| &**value)
    }

    /// A limit of time, in milliseconds; 0 for none, and for what cannot be read.
    #[must_use]
    pub fn millis(&self, name: &[u8]) -> Option<u32> {
        self.value(name).map(|value| belt::millis_of(value).unwrap_or(0))
    }

    /// A statement sets or resets one. `certain`: it runs.
    pub(super) fn apply(&mut self, used: &ParameterUse, certain: bool, scene: &Scene) {
        if !used.writes() || !certain || !used.certain {
            return;
        }
        let local = used.scope == Scope::Local;
        if local && !scene.in_block {
            return; // It ends with its own statement.
        }
        let name = match &used.target {
            Target::Named(name) => kept(name.as_bytes()),
            Target::All => {
                self.now = Level::default();
                return;
            }
            Target::Param(_) | Target::Expression => None,
        };
        let Some(name) = name else { return };
        let value = match &used.action {
            Action::Tokens(span) => {
                let written = || span.of(scene.text).to_vec();
                Some(values::value(&used.action, scene).unwrap_or_else(written))
            }
            Action::Value(value) => Some(value.to_vec()),
            Action::Default | Action::Null => None,
            Action::Read | Action::Current | Action::Param(_) | Action::Expression => return,
        };
        let Level { session, local: own } = &mut self.now;
        let start = self.start.get(name);
        let level = if local {
            own
        } else {
            own.remove(name);
            session
        };
        match (value, start) {
            (Some(value), _) => level.insert(name, value.into()),
            (None, Some(start)) if local => level.insert(name, start.clone()),
            (None, _) => level.remove(name),
        };
    }

    /// A transaction command succeeds.
    pub(super) fn control(&mut self, control: &TransactionControl) {
        match control {
            TransactionControl::Commit { .. } | TransactionControl::PrepareTransaction => {
                self.now.local.clear();
                self.before.clone_from(&self.now.session);
                self.savepoints.clear();
            }
            TransactionControl::Rollback { .. } => {
                self.now = Level { session: self.before.clone(), local: Values::new() };
                self.savepoints.clear();
            }
            TransactionControl::Savepoint(name) => {
                if self.savepoints.len() < SAVEPOINTS_MAX {
                    self.savepoints.push((name.clone(), self.now.clone()));
                }
            }
            TransactionControl::Release(name) => {
                let at = self.find(name).unwrap_or(self.savepoints.len());
                self.savepoints.truncate(at);
            }
            TransactionControl::RollbackTo(name) => {
                if let Some(at) = self.find(name) {
                    self.savepoints.truncate(at + 1);
                    self.now = self.savepoints[at].1.clone();
                }
            }
            TransactionControl::Begin(_)
            | TransactionControl::CommitPrepared
            | TransactionControl::RollbackPrepared
            | TransactionControl::SetTransaction(_) => {}
        }
    }

    pub(super) fn discard_all(&mut self) {
        let start = std::mem::take(&mut self.start);
        *self = Self { start, ..Self::default() };
    }

    fn find(&self, name: &Name) -> Option<usize> {
        self.savepoints.iter().rposition(|(known, _)| known == name)
    }
}

fn kept(name: &[u8]) -> Option<&'static [u8]> {
    KEPT.into_iter().find(|kept| *kept == name)
}

/// Whether a boolean value is true, as far as it can be read.
pub(super) fn is_on(value: &[u8]) -> bool {
    ![&b"off"[..], b"false", b"f", b"0", b"no", b"n"]
        .iter()
        .any(|off| off.eq_ignore_ascii_case(value))
}
