//! What is remembered of messages on their way to a server, where a limit in time is in force for its
//! client: enough to say of what runs what it reads like.

use super::Engine;
use super::driver::Driver;
use super::statements::portal_hash;
use crate::ids::{ClientId, ServerId};
use crate::wire::frame::split_cstr;
use crate::wire::frontend::BindNames;

/// What an unnamed portal goes by.
const UNNAMED: u64 = 0;

impl<D: Driver> Engine<D> {
    /// A Query has been noted.
    #[inline]
    pub(super) fn remember_query(&mut self, server: ServerId, text: &[u8]) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        if entry.clock.is_limited() {
            let server = &mut entry.server;
            let asked = server.asked.get_or_insert_default();
            asked.query(server.lease, &server.ledger, text);
        }
    }

    /// A Bind has been noted, or waits.
    #[inline]
    pub(super) fn remember_bind(&mut self, id: ClientId, server: ServerId, names: BindNames) {
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get_mut(server))
        else {
            return;
        };
        if !entry.clock.is_limited() {
            return;
        }
        let session = &client.session;
        let statement = if !names.statement.is_empty() {
            let known = || session.names.as_ref().and_then(|known| known.get(names.statement));
            session.bound.map(|(_, statement)| statement).or_else(known)
        } else if session.batch_sets_unnamed {
            session.batch_repeats.or(session.parsed)
        } else {
            session.unnamed
        };
        let mark = statement.and_then(|statement| self.statements.mark(statement));
        let server = &mut entry.server;
        let asked = server.asked.get_or_insert_default();
        asked.bind(server.lease, &server.ledger, key(names.portal), mark);
    }

    /// An Execute has been noted.
    #[inline]
    pub(super) fn remember_execute(&mut self, server: ServerId, body: &[u8]) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        if entry.clock.is_limited() {
            let portal = split_cstr(body).map_or(&b""[..], |(portal, _)| portal);
            let server = &mut entry.server;
            let asked = server.asked.get_or_insert_default();
            asked.execute(server.lease, &server.ledger, key(portal));
        }
    }
}

fn key(portal: &[u8]) -> u64 {
    if portal.is_empty() { UNNAMED } else { portal_hash(portal) }
}
