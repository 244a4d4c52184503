//! The guard where statements are bound and run: since their Parse, the session may have come to stand elsewhere.
//!
//! A statement is judged again by its Bind, and by the Execute of its portal, with the text that it was prepared with. What
//! a session has prepared under names that only its server knows is remembered for that.
//!
//! Deliberately absent: Query, Parse, and what a verdict leads to (`guard`).

use std::sync::Arc;

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use super::guard::{Case, is_passing};
use super::refuse::Stands;
use super::statements::portal_hash;
use crate::guard::{self, Catalog, History};
use crate::ids::{ClientId, ServerId};
use crate::prepared::StatementId;
use crate::session::TextEffects;
use crate::sql::LexOptions;
use crate::sql::commands::{Command, Commands, Found};
use crate::wire::frame::split_cstr;
use crate::wire::frontend::{BindNames, BindValues};

impl<D: Driver> Engine<D> {
    /// Judges a Bind: since the Parse, the session may have come to stand elsewhere.
    #[inline]
    pub(super) fn guard_bind(
        &mut self,
        (id, server): (ClientId, ServerId),
        statement: Option<StatementId>,
        names: BindNames,
        values: (&[u8], bool),
        before: &[u8],
    ) -> Option<Next> {
        let client = self.clients.get(id)?;
        let has_commands =
            statement.is_some_and(|statement| self.statements.effects(statement).commands);
        if !has_commands && client.session.guarded.is_none() || !client.spec.is_guarded() {
            return None;
        }
        let case = Case { id, server: Some(server), stands: Stands::Bind, before, text: b"" };
        self.guard_bound(case, statement, names, values)
    }

    #[inline(never)]
    fn guard_bound(
        &mut self,
        case: Case<'_>,
        statement: Option<StatementId>,
        names: BindNames,
        values: (&[u8], bool),
    ) -> Option<Next> {
        let portal = portal_hash(names.portal);
        if let Some(guarded) = &mut self.clients.get_mut(case.id)?.session.guarded {
            guarded.unbinds(portal);
        }
        let content = self.statements.content(statement?);
        let text: Arc<[u8]> = content.split(|byte| *byte == 0).next().unwrap_or_default().into();
        self.guard_bound_text(case, portal, &text, values)
    }

    fn guard_bound_text(
        &mut self,
        case: Case<'_>,
        portal: u64,
        text: &Arc<[u8]>,
        (values, whole): (&[u8], bool),
    ) -> Option<Next> {
        let options = self.servers.get(case.server?)?.server.reads();
        let found = self.commands_of(text, options);
        let case = Case { text, ..case };
        let offset = if whole { largest_offset(&found, values) } else { None };
        let next = self.judge_bound(case, &found, options, offset);
        if next.is_none() && !found.is_empty() {
            let guarded = self.clients.get_mut(case.id)?.session.guarded.get_or_insert_default();
            if !guarded.binds(portal, text)
                && found.found().iter().any(|found| !is_passing(&found.command))
            {
                // When it runs is not followed: nothing is taken for new any more.
                guarded.history = History::default();
            }
        }
        next
    }

    /// A statement is prepared under a name that only its server knows: its text is kept, to be judged where it is bound.
    /// Where it cannot be kept, nothing may be new to it.
    #[inline]
    pub(super) fn guard_parse_of_own(
        &mut self,
        case: Case<'_>,
        name: &[u8],
        effects: &TextEffects,
    ) -> Option<Next> {
        if !effects.commands {
            return None;
        }
        let found = self.commands_of(case.text, LexOptions::default());
        let controls = |found: &Found| matches!(found.command, Command::Transaction(_));
        let guarded = self.clients.get_mut(case.id)?.session.guarded.get_or_insert_default();
        if guarded.names(name, case.text) || found.found().iter().all(controls) {
            return None;
        }
        guarded.history = History::default();
        guarded.asks(0, case.text);
        guarded.answered(0, Catalog::default(), self.now);
        self.guard_parse(case, effects)
    }

    /// Judges a Bind of a statement that only its server knows by name.
    #[inline]
    pub(super) fn guard_bind_of_own(
        &mut self,
        (id, server): (ClientId, ServerId),
        names: BindNames,
        values: (&[u8], bool),
        before: &[u8],
    ) -> Option<Next> {
        let client = self.clients.get_mut(id)?;
        let guarded = client.session.guarded.as_mut()?;
        let portal = portal_hash(names.portal);
        guarded.unbinds(portal);
        let texts = guarded.named(names.statement);
        if !client.spec.is_guarded() {
            return None;
        }
        let case = Case { id, server: Some(server), stands: Stands::Bind, before, text: b"" };
        texts.iter().find_map(|text| self.guard_bound_text(case, portal, text, values))
    }

    /// Judges an Execute: since the Bind, other portals may have run. `portal`: its name.
    #[inline]
    pub(super) fn guard_execute(
        &mut self,
        id: ClientId,
        server: ServerId,
        portal: &[u8],
        before: &[u8],
    ) -> Option<Next> {
        let guarded = self.clients.get(id)?.session.guarded.as_ref()?;
        if !guarded.has_portals() {
            return None;
        }
        let texts = guarded.portal(portal_hash(portal));
        let options = self.servers.get(server)?.server.reads();
        let stands = Stands::Execute;
        texts.iter().find_map(|text| {
            let found = self.commands_of(text, options);
            let case = Case { id, server: Some(server), stands, before, text };
            self.judge_text(case, &found, options)
        })
    }

    /// An Execute has been noted.
    #[inline]
    pub(super) fn record_execute(&mut self, id: ClientId, server: ServerId, body: &[u8]) {
        let Some(client) = self.clients.get(id) else { return };
        if let Some(guarded) = &client.session.guarded
            && guarded.has_portals()
            && let Some((portal, _)) = split_cstr(body)
        {
            for text in guarded.portal(portal_hash(portal)) {
                self.record_text(id, server, &text);
            }
        }
    }
}

/// The largest OFFSET that values of a Bind give.
fn largest_offset(commands: &Commands, bind: &[u8]) -> Option<u64> {
    let mut wanted = guard::offset_parameters(commands).peekable();
    wanted.peek()?;
    let values = BindValues::read(bind)?;
    wanted.filter_map(|number| u64::try_from(values.integer(number)?).ok()).max()
}
