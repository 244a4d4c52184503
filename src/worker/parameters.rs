//! Parameters that sessions set: what their texts say is followed, and counts when the server has
//! confirmed it.
//!
//! What a text would change is noted when it is sent, under a number that its answers bring back.
//! Nothing follows such a text before it has been answered, but the rest of its batch: what comes
//! later depends on what became of it.

use std::sync::Arc;

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use super::statements::hold;
use crate::client::Session;
use crate::ids::{ClientId, ServerId};
use crate::server::{Server, User};
use crate::session::changes::{self, Sides, is_ascii_based, is_on};
use crate::session::{Changes, ParamSet, ParamSets, Pins, Steps, TextEffects};
use crate::sql::{Upkeep, names_temp_schema};
use crate::wire::TransactionStatus;
use crate::wire::frontend::{BindNames, BindValues, tag};

impl<D: Driver> Engine<D> {
    /// A message of a client that holds a server must wait: for what became of changes that it
    /// depends on, or until the server has what its client is to have.
    #[inline]
    pub(super) fn parameters_first(
        &mut self,
        id: ClientId,
        server: ServerId,
        message: u8,
    ) -> Option<Next> {
        let (client, entry) = (self.clients.get(id)?, self.servers.get(server)?);
        let session = &client.session;
        if session.changes.is_none() && Arc::ptr_eq(&entry.server.applied, &session.wanted) {
            return None;
        }
        self.different_parameters_first(id, server, message)
    }

    /// The same where there may be something to be done.
    #[inline(never)]
    fn different_parameters_first(
        &mut self,
        id: ClientId,
        server: ServerId,
        message: u8,
    ) -> Option<Next> {
        let (client, entry) = (self.clients.get_mut(id)?, self.servers.get_mut(server)?);
        let session = &mut client.session;
        let ledger = &entry.server.ledger;
        let ends_nothing = matches!(
            message,
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::FLUSH | tag::SYNC
        );
        if ends_nothing || ledger.runs_nothing() {
            return None;
        }
        let building = ledger.building_unit();
        if session.changes.as_ref().is_some_and(|changes| changes.must_wait(building)) {
            return Some(hold(session));
        }
        if ledger.batch_is_open() {
            return None;
        }
        let text = match &mut session.changes {
            Some(changes) => changes.catch_up(&session.belt, session.upkeep)?,
            None => {
                let wanted = wanted_there(session, &entry.server, &self.company.params);
                let text = wanted.statement_from(&entry.server.applied)?;
                entry.server.coming = Some(wanted);
                text
            }
        };
        let may_be_given = entry.server.ledger.is_settled();
        if !may_be_given || entry.server.status == TransactionStatus::Failed {
            entry.server.coming = None;
            return (!may_be_given).then(|| hold(session));
        }
        entry.server.user = User::Preparing(id);
        self.send_own_query(server, &text);
        Some(Next::Pause)
    }

    /// A text that is about to be sent must wait until its server has the limits of time for texts of its kind:
    /// maintenance, DDL or neither.
    #[inline]
    pub(super) fn limits_first(
        &mut self,
        id: ClientId,
        server: ServerId,
        message: u8,
        effects: &TextEffects,
    ) -> Option<Next> {
        let session = &self.clients.get(id)?.session;
        let upkeep = session.belt.upkeep(effects);
        if upkeep == session.upkeep {
            return None;
        }
        self.change_limits(id, server, message, upkeep)
    }

    fn change_limits(
        &mut self,
        id: ClientId,
        server: ServerId,
        message: u8,
        upkeep: Upkeep,
    ) -> Option<Next> {
        let (client, entry) = (self.clients.get_mut(id)?, self.servers.get_mut(server)?);
        let session = &mut client.session;
        let ledger = &entry.server.ledger;
        // In an open batch nothing can be put before it any more.
        let too_late = ledger.batch_is_open() || ledger.runs_nothing();
        if too_late || entry.server.status == TransactionStatus::Failed {
            return None;
        }
        if !ledger.is_settled() {
            return Some(hold(session));
        }
        if entry.server.status != TransactionStatus::Idle {
            // A rollback takes it back.
            changes_of(session, &entry.server);
        }
        session.upkeep = upkeep;
        session.find_wanted(&self.company.params);
        self.parameters_first(id, server, message)
    }

    /// Takes over the limits that a client's role has now, where they have changed, and those for plain texts. Not
    /// within its transactions.
    #[inline]
    pub(super) fn follow_limits(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let owner = &self.pools[client.pool.0 as usize].spec;
        let session = &mut client.session;
        let version = (client.spec.belt_version(), owner.belt_version());
        if session.belt_version == version && session.upkeep == Upkeep::default() {
            return;
        }
        session.belt = client.spec.belt();
        session.belt_version = version;
        session.upkeep = Upkeep::default();
        session.find_wanted(&self.company.params);
    }

    /// Follows what a Query does, which is noted next.
    pub(super) fn follow_query(
        &mut self,
        id: ClientId,
        server: ServerId,
        text: &[u8],
        effects: TextEffects,
    ) {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        entry.server.sets_limit |= effects.sets_limit_locally;
        client.session.portal_steps = None;
        client.session.parsed = None;
        let unlistens = effects.unlistens && client.session.listening.is_some();
        let sets_limit = effects.sets_limit_locally && client.session.belt.is_on();
        let sets = !effects.sets.is_none() || sets_limit;
        if !sets && !unlistens && client.session.changes.is_none() {
            return;
        }
        let steps = changes::steps(text, None);
        self.follow(id, server, steps, effects.sets);
    }

    /// Looks what a portal will do that a Bind makes of a statement.
    pub(super) fn follow_bind(
        &mut self,
        id: ClientId,
        server: ServerId,
        names: BindNames,
        (body, whole): (&[u8], bool),
        statement: Option<crate::prepared::StatementId>,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let session = &mut client.session;
        let is_unnamed = names.portal.is_empty();
        if is_unnamed {
            session.portal_steps = None;
        }
        let Some(statement) = statement else { return };
        let effects = self.statements.effects(statement);
        if is_unnamed {
            session.portal_timing = effects.timing;
        }
        if effects.sets_limit_locally
            && let Some(entry) = self.servers.get_mut(server)
        {
            entry.server.sets_limit = true;
        }
        if (effects.sets_locally || !effects.sets.is_none()) && names_temp_schema(body) {
            // It may be the search path that a value is for, and the next table be a temporary one.
            session.pins = session.pins.and(Pins::TEMPORARY);
        }
        let unlistens = effects.unlistens && session.listening.is_some();
        let sets_limit = effects.sets_limit_locally && session.belt.is_on();
        if effects.sets.is_none() && !effects.controls && !unlistens && !sets_limit {
            return;
        }
        if !is_unnamed {
            session.portal_controls |= effects.controls;
            if !effects.sets.is_none() || unlistens || session.changes.is_some() {
                give_up(session, effects.sets);
            }
            return;
        }
        let text = self.statements.text(statement);
        let values = if whole { BindValues::read(body) } else { None };
        match changes::steps(text, values.as_ref()) {
            Some(steps) if !steps.is_empty() => session.portal_steps = Some(Box::new(steps)),
            Some(_) => {}
            None => self.follow(id, server, None, effects.sets),
        }
    }

    /// Follows what the unnamed portal does, whose Execute is noted next.
    pub(super) fn follow_portal(&mut self, id: ClientId, server: ServerId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(steps) = client.session.portal_steps.take() else { return };
        let sets = if steps.change_parameters() { Pins::PARAMETER } else { Pins::NONE };
        let changes = steps.change_parameters() || steps.change_channels();
        if changes || steps.set_limits_locally() || client.session.changes.is_some() {
            self.follow(id, server, Some(*steps), sets);
        }
    }

    /// Follows a DISCARD ALL, which is noted next. What comes before it in its session holds again if
    /// it fails; what comes after it, in the same batch too, holds in any case.
    pub(super) fn follow_discard(&mut self, id: ClientId, server: ServerId) {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        let session = &mut client.session;
        if session.discarding.is_some() {
            session.pins = session.pins.and(Pins::DISCARD);
        } else {
            session.discarding = Some(session.pins);
            session.pins = session.pins.after_discard();
        }
        let changes = changes_of(session, &entry.server);
        changes.sending(Steps::discard_all(), entry.server.ledger.building_unit());
        entry.server.sets_open = true;
    }

    /// Follows these steps; where they cannot be followed, the session keeps its server.
    fn follow(&mut self, id: ClientId, server: ServerId, steps: Option<Steps>, sets: Pins) {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        let session = &mut client.session;
        let server = &mut entry.server;
        let Some(mut steps) = steps.filter(|_| reads_as_we_do(server) || sets.is_none()) else {
            return give_up(session, sets);
        };
        if steps.listens().next().is_some() {
            let is_kept = |channel| {
                session.listening.as_ref().is_some_and(|listening| listening.kept.contains(channel))
            };
            if session.pins.is_none() && !session.portal_controls && steps.listens().all(is_kept) {
                server.listens = true;
            } else {
                // Its server itself tells it.
                session.pins = session.pins.and(Pins::LISTEN);
                steps = steps.without_listens();
            }
        }
        if steps.is_empty() {
            return;
        }
        if steps.change_parameters() {
            if session.portal_controls {
                return give_up(session, sets);
            }
            // What is parsed from here on means what it means under the new parameters.
            server.local = true;
            server.sets_open = true;
            for name in steps.names() {
                server.touches(name);
            }
            if steps.reset_all() {
                let names = session.params.names().chain(server.applied.names());
                let names: Vec<Box<[u8]>> = names.map(Box::from).collect();
                names.iter().for_each(|name| server.touches(name));
            }
        }
        let changes = changes_of(session, server);
        if !changes.has_room_for(&steps) {
            return give_up(session, sets);
        }
        changes.sending(steps, server.ledger.building_unit());
    }

    /// A ReadyForQuery says what has become of changes.
    pub(super) fn parameters_settled(&mut self, server: ServerId) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        let User::Client(id) = entry.server.user else { return };
        let Some(client) = self.clients.get_mut(id) else { return };
        let session = &mut client.session;
        let Some(changes) = &session.changes else { return };
        if changes.is_done()
            && let Some(pins) = session.discarding.take()
        {
            // It failed.
            session.pins = session.pins.and(pins);
        }
        let committed = changes.committed().clone();
        let idle = entry.server.status == TransactionStatus::Idle;
        if idle && changes.is_done() {
            session.changes = None;
            entry.server.sets_open = false;
            entry.server.statuses_settled();
        }
        if *committed.server != *entry.server.applied {
            entry.server.applied = self.company.params.intern((*committed.server).clone());
        }
        if let Some(listening) = &mut session.listening {
            listening.channels = committed.channels;
        }
        if *committed.client != *session.params {
            self.set_params(id, &committed.client);
        }
    }

    /// A session has other parameters from now on. Its statements are read under them: under the
    /// same ones as everybody else's who has the same statement.
    pub(super) fn set_params(&mut self, id: ClientId, params: &ParamSet) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let session = &mut client.session;
        let before = session.params.clone();
        session.params = self.company.params.intern(params.clone());
        session.find_wanted(&self.company.params);
        if session.params.searches_temporary() {
            session.pins = session.pins.and(Pins::TEMPORARY);
        }
        if before.dialect() != session.params.dialect() {
            session.find_dialect();
            self.read_texts_anew(id);
        }
    }

    /// A session's statements are read under what its [`dialect`](crate::client::Session::dialect)
    /// is now.
    pub(super) fn read_texts_anew(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let session = &mut client.session;
        let under: &[u8] = &Box::<[u8]>::from(session.dialect());
        if let Some(names) = &mut session.names {
            for old in names.meant() {
                if let Some(new) = self.statements.intern_under(old, under) {
                    names.moves(&mut self.statements, old, new);
                    self.statements.release(new);
                }
            }
        }
        if let Some(old) = session.unnamed
            && let Some(new) = self.statements.intern_under(old, under)
        {
            if session.parsed == Some(old) {
                session.parsed = Some(new);
            }
            self.statements.assign(&mut session.unnamed, Some(new));
            self.statements.release(new);
        }
    }
}

/// What a server is to have for a session outside of a transaction.
pub(super) fn wanted_there(
    session: &mut Session,
    server: &Server,
    sets: &ParamSets,
) -> Arc<ParamSet> {
    if session.wanted_covers {
        session.find_wanted(sets);
    }
    let wanted = session.belt.covering(session.wanted.clone(), &server.dialled);
    if !Arc::ptr_eq(&wanted, &session.wanted) {
        session.wanted = sets.intern((*wanted).clone());
        session.wanted_covers = true;
    }
    session.wanted.clone()
}

/// The changes of the session's transaction, from now on if there were none.
fn changes_of<'a>(session: &'a mut Session, server: &Server) -> &'a mut Changes {
    let (base, params, listening) = (&session.base, &session.params, &session.listening);
    session.changes.get_or_insert_with(|| {
        let channels = listening.as_ref().map(|listening| listening.channels.clone());
        let channels = channels.unwrap_or_default();
        let now = Sides::new(params.clone(), server.applied.clone(), channels);
        Box::new(Changes::new(base.clone(), server.dialled.clone(), now))
    })
}

/// The session keeps its server until it ends, or discards everything.
pub(super) fn give_up(session: &mut Session, sets: Pins) {
    let open = if session.changes.is_some() { Pins::PARAMETER } else { Pins::NONE };
    // Where nobody can say what is done, it is a parameter that may have been set.
    let any = if sets.is_none() { Pins::PARAMETER } else { sets };
    session.stop_following(open.and(any));
}

/// Whether the server reads texts as pgweir does: strings with backslashes, bytes that begin a
/// character.
fn reads_as_we_do(server: &Server) -> bool {
    server.status_of(b"standard_conforming_strings").is_none_or(is_on)
        && server.status_of(b"client_encoding").is_none_or(is_ascii_based)
}
