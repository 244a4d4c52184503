//! What the guard notes of what runs: the history of its session, which verdicts on later texts depend on.
//!
//! Noted is what has been sent; that it has happened shows where the server answers. Deliberately absent: what a command
//! does to a history (`guard::History`).

use std::sync::Arc;

use super::Engine;
use super::driver::Driver;
use super::guard::context;
use super::statements::portal_hash;
use crate::guard::{self, Catalog};
use crate::ids::{ClientId, ServerId};
use crate::session::TextEffects;
use crate::sql::LexOptions;
use crate::sql::commands::Commands;
use crate::wire::frame::split_cstr;

impl<D: Driver> Engine<D> {
    /// A Query has been noted: what its text does is part of the session's history. `effects` and `commands`: what that
    /// is, read under the usual options, the latter where it is at hand.
    #[inline]
    pub(super) fn record_query(
        &mut self,
        (id, server): (ClientId, ServerId),
        text: &[u8],
        effects: &TextEffects,
        commands: Option<Arc<Commands>>,
    ) {
        let reads = self.servers.get(server).map(|entry| entry.server.reads());
        if effects.commands
            || effects.controls && self.has_history(id)
            || reads != Some(LexOptions::default())
        {
            self.record_text(id, server, text, commands);
        }
    }

    /// Whether a transaction's end may change what is known of a session.
    #[inline]
    fn has_history(&self, id: ClientId) -> bool {
        let guarded = self.clients.get(id).and_then(|client| client.session.guarded.as_ref());
        guarded.is_some_and(|guarded| !guarded.history.is_empty())
    }

    /// A text has been noted that runs. `commands`: what it does, as in [`Self::record_query`].
    #[inline(never)]
    pub(super) fn record_text(
        &mut self,
        id: ClientId,
        server: ServerId,
        text: &[u8],
        commands: Option<Arc<Commands>>,
    ) {
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get(server)) else {
            return;
        };
        if !client.spec.is_guarded() {
            return;
        }
        let options = entry.server.reads();
        let found = match commands {
            Some(commands) if options == LexOptions::default() => commands,
            Some(_) | None => self.commands_of(text, options),
        };
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get(server))
        else {
            return;
        };
        let nothing = client.session.guarded.as_ref().is_none_or(|g| g.history.is_empty())
            && guard::stands_alone(&found);
        if nothing {
            return;
        }
        let settings = client.spec.settings.load_full();
        let mut guarded = client.session.guarded.take().unwrap_or_default();
        let origin = settings.policy_origin();
        let server = Some(&entry.server);
        let context =
            context(&client.session, server, Catalog::EMPTY, (&settings, &origin), options);
        guarded.history.sent(text, &found, &context);
        if !guarded.is_blank() {
            client.session.guarded = Some(guarded);
        }
    }

    /// An Execute has been noted.
    #[inline]
    pub(super) fn record_execute(&mut self, id: ClientId, server: ServerId, body: &[u8]) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let session = &mut client.session;
        if let Some(guarded) = &mut session.guarded
            && guarded.follows_controls()
            && let Some((portal, _)) = split_cstr(body)
        {
            let texts = guarded.portal(portal_hash(portal));
            let is_unnamed = portal.is_empty();
            let controls =
                if is_unnamed { session.unnamed_controls } else { session.portal_controls };
            if texts.is_empty() && controls && !guarded.history.is_empty() {
                guarded.history.lose();
            }
            for text in texts {
                self.record_text(id, server, &text, None);
            }
        }
    }
}
