//! What a session would keep from one transaction to the next, told from its texts alone, each taken to succeed.
//!
//! For `pgweir explain`, where no server answers: it says what is passed on, followed or pinned as the loops would.
//! Deliberately absent: Bind values; what only a server can say, as that a lock has been given up.

use std::collections::BTreeMap;

use super::changes;
use super::facts::{self, NameStep, Pins, TextEffects};
use crate::sql::{self, LexOptions, Scope, Target, TransactionControl};
use crate::wire::TransactionStatus;

/// What one text does to that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Why it would pin its session.
    pub pins: Pins,
    /// Why the session is pinned before it.
    pub before: Pins,
    /// What of it is followed, in words.
    pub followed: Vec<&'static str>,
    /// What is followed depends on Bind values.
    pub by_values: bool,
}

/// A session's texts so far.
#[derive(Clone, Debug, Default)]
pub struct KeptSoFar {
    pins: Pins,
    /// What is left of the pins if the transaction is rolled back.
    settled: Pins,
    /// What statements of SQL do when they are run.
    prepared: BTreeMap<Box<[u8]>, Pins>,
}

impl KeptSoFar {
    /// What a text would do that comes next.
    #[must_use]
    pub fn look(&self, text: &[u8], effects: &TextEffects) -> Kept {
        let mut kept = Kept { pins: effects.pins, before: self.pins, ..Kept::default() };
        if effects.uses_names {
            self.look_at_names(text, &mut kept);
        }
        if !effects.sets.is_none() {
            if changes::steps(text, None).is_some() {
                let words = [(Pins::PARAMETER, "SET"), (Pins::LISTEN, "LISTEN")];
                let words = words.into_iter().filter(|(pin, _)| effects.sets.has(*pin));
                kept.followed.extend(words.map(|(_, word)| word));
            } else if depends_on_values(text) {
                kept.followed.push("SET");
                kept.by_values = true;
            } else {
                kept.pins = kept.pins.and(effects.sets);
            }
        }
        if effects.unlistens && !kept.followed.contains(&"DISCARD ALL") {
            kept.followed.push("UNLISTEN");
        }
        kept
    }

    fn look_at_names(&self, text: &[u8], kept: &mut Kept) {
        for (_, step) in facts::named_use(text).steps {
            let word = match step {
                NameStep::Prepare { name, .. } if !name.is_ascii() => {
                    kept.pins = kept.pins.and(Pins::SQL_PREPARE);
                    continue;
                }
                NameStep::Prepare { .. } => "PREPARE",
                NameStep::Execute(name) => {
                    let does = self.prepared.get(&name).copied().unwrap_or_default();
                    kept.pins = kept.pins.and(does);
                    "EXECUTE"
                }
                NameStep::Deallocate(_) | NameStep::DeallocateAll => "DEALLOCATE",
                NameStep::DiscardAll => "DISCARD ALL",
            };
            if !kept.followed.contains(&word) {
                kept.followed.push(word);
            }
        }
    }

    /// The text has run, and left its session in a transaction or not.
    pub fn ran(&mut self, text: &[u8], effects: &TextEffects, status: TransactionStatus) {
        self.pins = self.pins.and(self.look(text, effects).pins);
        if effects.uses_names {
            for (_, step) in facts::named_use(text).steps {
                match step {
                    NameStep::Prepare { name, effects, .. } => {
                        self.prepared.insert(name, effects.pins.and(effects.sets));
                    }
                    NameStep::Deallocate(name) => drop(self.prepared.remove(&name)),
                    NameStep::DeallocateAll => self.prepared.clear(),
                    NameStep::DiscardAll => {
                        self.prepared.clear();
                        self.pins = self.pins.after_discard();
                    }
                    NameStep::Execute(_) => {}
                }
            }
        }
        let facts = sql::facts(text, LexOptions::default());
        if let Some(TransactionControl::Rollback { .. }) = facts.transaction_control() {
            // Locks of the session outlive it.
            let undone = Pins::TEMPORARY.and(Pins::HELD_CURSOR).without(self.settled);
            self.pins = self.pins.without(undone);
        }
        if status == TransactionStatus::Idle {
            self.settled = self.pins;
        }
    }
}

/// Whether a text sets parameters by values that come with its Bind.
fn depends_on_values(text: &[u8]) -> bool {
    let facts = sql::facts(text, LexOptions::default());
    let mut used = facts.statements().iter().flat_map(|statement| &statement.parameters);
    used.any(|used| {
        matches!(used.target, Target::Param(_))
            || matches!(used.action, sql::Action::Param(_))
            || matches!(used.scope, Scope::Param(_))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::facts::effects;

    /// What a text does behind others, in words; ` | ` parts messages.
    fn kept(messages: &str) -> String {
        let mut session = KeptSoFar::default();
        let messages: Vec<_> = messages.split(" | ").collect();
        let (last, before) = messages.split_last().unwrap();
        let mut status = TransactionStatus::Idle;
        for text in before {
            status = match *text {
                "begin" => TransactionStatus::InTransaction,
                "commit" | "rollback" => TransactionStatus::Idle,
                _ => status,
            };
            session.ran(text.as_bytes(), &effects(text.as_bytes()), status);
        }
        let Kept { pins, before, followed, by_values } =
            session.look(last.as_bytes(), &effects(last.as_bytes()));
        let values = if by_values { "?" } else { "" };
        format!("{}{values}/{}/{}", followed.join(" "), pins.in_words(), before.in_words())
    }

    #[test]
    fn texts_are_passed_followed_or_pinned() {
        for (messages, expected) in [
            ("select 1", "//"),
            ("begin", "//"),
            ("set local x.y = 1", "//"),
            ("set timezone = 'UTC'", "SET//"),
            ("select set_config('a.b', 'c', false)", "SET//"),
            ("select set_config('a.b', $1, false)", "SET?//"),
            ("set standard_conforming_strings = off", "/SET/"),
            ("listen c", "LISTEN//"),
            ("unlisten *", "UNLISTEN//"),
            ("prepare p as select 1", "PREPARE//"),
            ("prepare p as select 1 | execute p", "EXECUTE//"),
            ("prepare p as select pg_advisory_lock(1) | execute p", "EXECUTE/advisory lock/"),
            ("deallocate p", "DEALLOCATE//"),
            ("create temp table t (a int)", "/temporary object/"),
            ("load 'x'", "/LOAD/"),
            ("do $$ begin execute x; end $$", "/hidden code/"),
            ("create temp table t (a int) | select 1", "//temporary object"),
            ("create temp table t (a int) | discard all", "DISCARD ALL//temporary object"),
            ("create temp table t (a int) | discard all | select 1", "//"),
            ("begin | create temp table t (a int) | rollback | select 1", "//"),
            ("begin | select pg_advisory_lock(1) | rollback | select 1", "//advisory lock"),
            ("create temp table t (a int) | begin | rollback | select 1", "//temporary object"),
        ] {
            assert_eq!(kept(messages), expected, "{messages}");
        }
    }
}
