//! What a session has done that verdicts on its next statement depend on.
//!
//! Owns the log of the open transaction and the temporary tables of the session. What is logged was sent; that it has
//! happened is known when the server answers. So a unit that fails takes its part of the log with it, and where the log
//! cannot be right any more, nothing is believed to be new: a doubt is never an exemption.
//!
//! Deliberately absent: objects that functions and procedures make or rename unseen.

mod apply;
mod event;
mod lookup;
mod made;

use super::context::Context;
use crate::sql::commands::{Commands, Found};
use event::Event;
pub(super) use event::{Scene, State};
pub(super) use lookup::Standing;
pub(super) use made::Made;

/// A session's history; nothing but a null pointer for nearly all sessions.
#[derive(Clone, Debug, Default)]
pub struct History(Option<Box<State>>);

impl History {
    /// True when nothing is known that a verdict could depend on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// True when rules mind any statement, also one whose text has no commands: ACCESS EXCLUSIVE is held.
    #[must_use]
    pub fn minds_ordinary(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.holds_exclusive())
    }

    /// True when the open transaction holds ACCESS EXCLUSIVE on something that others may want.
    #[must_use]
    pub fn holds_exclusive(&self) -> bool {
        self.minds_ordinary()
    }

    /// True when the open transaction has changed the catalog: if the client leaves now, that is lost.
    #[must_use]
    pub fn has_ddl(&self) -> bool {
        self.0.as_ref().is_some_and(|state| state.log.contains(&Event::Ddl))
    }

    /// A text is sent; `context` is that of its verdict.
    pub fn sent(&mut self, text: &[u8], commands: &Commands, context: &Context) {
        let leaves_nothing = |found: &Found| apply::leaves_nothing(&found.command);
        let beyond = commands.beyond().any;
        if self.is_empty() && commands.found().iter().all(leaves_nothing) && !beyond {
            return;
        }
        let mut state = self.0.take().unwrap_or_default();
        let mut scene = Scene::new(text, context);
        for found in commands.found() {
            state.apply(found, &mut scene);
        }
        if beyond {
            state.push(Event::Forgotten);
        }
        if !state.is_blank() {
            self.0 = Some(state);
        }
    }

    /// Something has run, or may, that is not followed: nothing is taken for new any more, until the transaction ends.
    pub fn lose(&mut self) {
        self.0.get_or_insert_default().lose();
    }

    /// The server is ready, in a transaction: all that was sent has happened.
    pub fn settled(&mut self) {
        if let Some(state) = &mut self.0 {
            state.settle();
        }
    }

    /// The server is ready, in a failed transaction: of what was sent since it was last ready, some has not happened.
    pub fn failed(&mut self) {
        if let Some(state) = &mut self.0 {
            state.fail();
        }
        self.drop_if_blank();
    }

    /// The server is ready, in no transaction. `committed`: the last one of what was sent has succeeded.
    pub fn transaction_ended(&mut self, committed: bool) {
        if let Some(state) = &mut self.0 {
            state.end(committed);
            state.confirm(committed);
        }
        self.drop_if_blank();
    }

    /// The session's temporary tables are gone: it has another server, or its own says so.
    pub fn temporary_tables_gone(&mut self) {
        if let Some(state) = &mut self.0 {
            state.temps.clear();
        }
        self.drop_if_blank();
    }

    fn drop_if_blank(&mut self) {
        if self.0.as_ref().is_some_and(|state| state.is_blank()) {
            self.0 = None;
        }
    }

    /// What is known.
    pub(super) fn state(&self) -> &State {
        self.0.as_deref().unwrap_or(State::BLANK)
    }
}
