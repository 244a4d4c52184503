//! The guard where statements are bound and run: since their Parse, the session may have come to stand elsewhere.
//!
//! A statement is judged again by its Bind, and by the Execute of its portal, with the text that it was prepared with. What
//! a session has prepared under names that only its server knows is remembered for that.
//!
//! BEGIN, COMMIT and their family, which come with every transaction, are followed only where the session has a history
//! that they could end. A portal of theirs that was bound before it had one says so by a flag alone: where it runs after
//! all, nothing is taken for new any more.
//!
//! Deliberately absent: Query, Parse, and what a verdict leads to (`guard`); what is noted of what runs (`guard_notes`).

use std::sync::Arc;

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use super::guard::Case;
use super::refuse::Stands;
use super::statements::portal_hash;
use crate::client::Guarded;
use crate::guard;
use crate::ids::{ClientId, ServerId};
use crate::prepared::StatementId;
use crate::session::TextEffects;
use crate::sql::commands::Commands;
use crate::wire::frontend::{BindNames, BindValues};

impl<D: Driver> Engine<D> {
    /// Judges a Bind: since the Parse, the session may have come to stand elsewhere. `effects`: what the statement does.
    #[inline]
    pub(super) fn guard_bind(
        &mut self,
        (id, server): (ClientId, ServerId),
        (statement, effects): (Option<StatementId>, &TextEffects),
        names: BindNames,
        values: (&[u8], bool),
        before: &[u8],
    ) -> Option<Next> {
        let session = &mut self.clients.get_mut(id)?.session;
        if !effects.commands {
            let Some(guarded) = &session.guarded else {
                session.unnamed_controls |= effects.controls && names.portal.is_empty();
                return None;
            };
            if effects.controls && !guarded.follows_controls() {
                session.unnamed_controls |= names.portal.is_empty();
                return None;
            }
        }
        let case = Case { id, server: Some(server), stands: Stands::Bind, before, text: b"" };
        self.guard_bound(case, (statement, effects), names, values)
    }

    #[inline(never)]
    fn guard_bound(
        &mut self,
        case: Case<'_>,
        (statement, effects): (Option<StatementId>, &TextEffects),
        names: BindNames,
        values: (&[u8], bool),
    ) -> Option<Next> {
        let client = self.clients.get_mut(case.id)?;
        let mut minds_ordinary = client.spec.looks_closely();
        if let Some(guarded) = &mut client.session.guarded {
            guarded.unbinds(portal_hash(names.portal));
            minds_ordinary |= guarded.history.minds_ordinary();
        }
        let minds = effects.commands || effects.controls || minds_ordinary;
        if !minds || !client.spec.is_guarded() {
            return None;
        }
        let text = Arc::from(self.statements.text(statement?));
        self.guard_bound_text(case, names.portal, &text, values)
    }

    fn guard_bound_text(
        &mut self,
        case: Case<'_>,
        portal: &[u8],
        text: &Arc<[u8]>,
        (values, whole): (&[u8], bool),
    ) -> Option<Next> {
        let options = self.servers.get(case.server?)?.server.reads();
        let found = self.commands_of(text, options);
        let case = Case { text, ..case };
        let matters = found.controls() || !guard::stands_alone(&found);
        let guarded = &mut self.clients.get_mut(case.id)?.session.guarded;
        let none = Guarded::default();
        let is_followed = guarded.as_deref().unwrap_or(&none).may_bind(text);
        if matters && !is_followed && !portal.is_empty() {
            // When it runs is not known. The unnamed portal runs at once.
            guarded.get_or_insert_default().judges_for_later(text, self.now);
        }
        let offset = if whole { largest_offset(&found, values) } else { None };
        let next = self.judge_text(case, &found, options, offset);
        if next.is_none() && !found.is_empty() {
            let guarded = self.clients.get_mut(case.id)?.session.guarded.get_or_insert_default();
            if is_followed {
                guarded.binds(portal_hash(portal), text);
            } else if matters {
                guarded.history.lose();
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
        if !effects.commands && !effects.controls {
            return None;
        }
        let only_controls = !effects.commands;
        let guarded = self.clients.get_mut(case.id)?.session.guarded.get_or_insert_default();
        if guarded.names(name, case.text, only_controls) || only_controls {
            return None;
        }
        guarded.judges_for_later(case.text, self.now);
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
        let session = &mut client.session;
        let guarded = session.guarded.as_mut()?;
        guarded.unbinds(portal_hash(names.portal));
        if !client.spec.is_guarded() {
            return None;
        }
        let follows_controls = guarded.follows_controls();
        let (mut texts, mut is_known) = (Vec::new(), false);
        for own in guarded.named(names.statement) {
            is_known = true;
            if !own.only_controls || follows_controls {
                texts.push(own.text.clone());
            } else if names.portal.is_empty() {
                session.unnamed_controls = true;
            } else {
                session.portal_controls = true;
            }
        }
        if !is_known && guarded.forgets_names() {
            guarded.history.lose();
        }
        let case = Case { id, server: Some(server), stands: Stands::Bind, before, text: b"" };
        texts.iter().find_map(|text| self.guard_bound_text(case, names.portal, text, values))
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
            self.judge_text(case, &found, options, None)
        })
    }
}

/// The largest OFFSET that values of a Bind give.
fn largest_offset(commands: &Commands, bind: &[u8]) -> Option<u64> {
    let mut wanted = guard::offset_parameters(commands).peekable();
    wanted.peek()?;
    let values = BindValues::read(bind)?;
    wanted.filter_map(|number| u64::try_from(values.integer(number)?).ok()).max()
}
