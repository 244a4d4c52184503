//! Statements of SQL that speak of prepared statements by name: PREPARE, EXECUTE, DEALLOCATE and
//! DISCARD. In Postgres their names and those of the protocol are the same; here the protocol's are
//! pgweir's to translate, so a text that uses one needs it to stand on the server as the client
//! says.
//!
//! DEALLOCATE of a shared statement runs on a stand-in, for the server keeps the statement for
//! others: so it succeeds, fails and is answered as the client's own would be.

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use super::statements::hold;
use crate::ids::{ClientId, ServerId};
use crate::prepared::{PREFIX, StatementId};
use crate::server::ledger::{Answer, Deliver, Sent, Which};
use crate::session::facts::{self, TextEffects};
use crate::session::{Ending, NamedUse, Pins};
use crate::wire::build;
use crate::wire::frontend::{BindNames, ParseView};

/// The stand-in: a statement without a text.
pub(super) const STAND_IN: &[u8] = b"_pgweir_dropped";
const DEALLOCATE_IT: &[u8] = b"DEALLOCATE _pgweir_dropped";

impl<D: Driver> Engine<D> {
    /// A Query whose text uses names.
    pub(super) fn query_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        text: &[u8],
        effects: TextEffects,
        before: &[u8],
    ) -> Next {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        let ledger = &entry.server.ledger;
        let building = ledger.building_unit();
        if session.names.as_ref().is_some_and(|names| names.must_wait(building)) {
            return hold(session);
        }
        session.batch_sets_unnamed = false;
        session.batch_ending = Ending::No;
        session.bound = None;
        session.portal_does = None;
        session.unnamed_does = None;
        let batch_is_open = ledger.batch_is_open();
        entry.server.will_run(effects, &mut self.repeats);
        self.follow_query(id, server, text, effects);
        let query = Sent::Query(effects.ending);
        match facts::named_use(text) {
            NamedUse::Deallocate(name) => {
                if self.shared(id, &name).is_none() {
                    self.doubt_if(server, name.starts_with(PREFIX));
                    self.note(id, server, query, Deliver::Client);
                    return Next::Forward;
                }
                self.to_server.extend_from_slice(before);
                self.put_stand_in(id, server, true);
                build::query(&mut self.to_server, DEALLOCATE_IT);
                self.note(id, server, query, Deliver::Client);
                self.change_name(id, &name, None, building);
                self.note(id, server, Sent::Local(Answer::Deallocated), Deliver::Client);
                Next::Drop
            }
            NamedUse::DeallocateAll => {
                self.note(id, server, query, Deliver::Client);
                self.drop_all(id, server, Answer::AllDeallocated, building);
                Next::Forward
            }
            NamedUse::DiscardAll => {
                self.follow_discard(id, server);
                self.note(id, server, query, Deliver::Client);
                self.drop_all(id, server, Answer::AllDiscarded, building);
                Next::Forward
            }
            NamedUse::Several { names, drops } => {
                let shared = self.all_shared(id, &names);
                session_pins(&mut self.clients, id, effects.pins, !shared.is_empty());
                if !shared.is_empty() && batch_is_open {
                    // A Sync would end what the client has begun.
                    self.to_server.extend_from_slice(before);
                    self.hand_over(id, server, &shared, building, Deliver::OnError);
                } else if !shared.is_empty() {
                    self.to_server.extend_from_slice(before);
                    self.hand_over(id, server, &shared, building, Deliver::Swallow);
                    // An error up to here must not skip the client's text.
                    build::sync(&mut self.to_server);
                    self.note(id, server, Sent::Sync(Ending::No), Deliver::Swallow);
                }
                self.doubt_if(server, drops || any_of_ours(&names));
                self.note(id, server, query, Deliver::Client);
                Next::Forward
            }
        }
    }

    /// A Parse of the unnamed statement whose text uses names.
    pub(super) fn parse_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        parse: ParseView,
        content: &[u8],
        before: &[u8],
    ) -> Next {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        let building = entry.server.ledger.building_unit();
        if session.names.as_ref().is_some_and(|names| names.must_wait(building)) {
            return hold(session);
        }
        let used = facts::named_use(parse.query);
        let own_names = !session.pins.is_none();
        let under: Box<[u8]> = session.dialect().into();
        let substitute = [DEALLOCATE_IT, b"\0\0\0"].concat();
        let mut sent = content;
        match &used {
            NamedUse::Deallocate(name) => {
                // What the name means shows when it runs, but what the server has prepared under
                // its own names is out of a stand-in's reach.
                if self.shared(id, name).is_some() || !own_names {
                    sent = &substitute;
                    self.set_unnamed_does(id, used);
                } else {
                    self.doubt_if(server, name.starts_with(PREFIX));
                }
            }
            NamedUse::DeallocateAll | NamedUse::DiscardAll => self.set_unnamed_does(id, used),
            NamedUse::Several { names, drops } => {
                let effects = facts::effects(parse.query);
                let pins = effects.pins.and(effects.sets);
                let shared = self.all_shared(id, names);
                session_pins(&mut self.clients, id, pins, !shared.is_empty());
                if !shared.is_empty() {
                    self.to_server.extend_from_slice(before);
                    self.hand_over(id, server, &shared, building, Deliver::OnError);
                }
                self.doubt_if(server, *drops || any_of_ours(names));
            }
        }
        let statement = self.statements.intern(sent, &under, || {
            facts::effects(sent.split_last_chunk::<3>().map_or(sent, |(text, _)| text))
        });
        let which = Which::Unnamed(Some(statement));
        if sent.as_ptr() == content.as_ptr() {
            self.note(id, server, Sent::Parse(which), Deliver::Client);
            return Next::Forward;
        }
        self.to_server.extend_from_slice(before);
        build::parse(&mut self.to_server, b"", sent);
        self.note(id, server, Sent::Parse(which), Deliver::Client);
        Next::Drop
    }

    /// A Parse of a named statement whose text uses names: it stays on its server.
    pub(super) fn parse_own_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        parse: ParseView,
        content: &[u8],
        mut before: &[u8],
    ) -> Next {
        let Some(entry) = self.servers.get(server) else { return Next::End };
        let building = entry.server.ledger.building_unit();
        match facts::named_use(parse.query) {
            NamedUse::Deallocate(name) => {
                self.hand_over_shared(id, server, &[name], building, &mut before);
            }
            NamedUse::Several { names, drops } => {
                self.hand_over_shared(id, server, &names, building, &mut before);
                self.doubt_if(server, drops);
            }
            NamedUse::DeallocateAll | NamedUse::DiscardAll => self.doubt_if(server, true),
        }
        self.parse_own(id, server, parse, content, before)
    }

    /// A Bind of an unnamed statement that uses names.
    pub(super) fn bind_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        names: BindNames,
        before: &[u8],
    ) -> Next {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        let building = entry.server.ledger.building_unit();
        if session.names.as_ref().is_some_and(|names| names.must_wait(building)) {
            return hold(session);
        }
        let does = session.unnamed_does.clone();
        if names.portal.is_empty() {
            session.portal_does = does;
            self.note(id, server, Sent::Bind(None), Deliver::Client);
            return Next::Forward;
        }
        // When a named portal runs is not followed: as if it did at once.
        match does.as_deref() {
            Some(NamedUse::Deallocate(name)) => {
                self.to_server.extend_from_slice(before);
                self.put_stand_in(id, server, self.shared(id, name).is_some());
                self.note(id, server, Sent::Bind(None), Deliver::Client);
                if self.shared(id, name).is_some() {
                    self.change_name(id, name, None, building);
                    self.note(id, server, Sent::Local(Answer::Deallocated), Deliver::Client);
                }
                return Next::Forward;
            }
            Some(NamedUse::DeallocateAll) => self.doubt_if(server, true),
            Some(NamedUse::DiscardAll) => {
                session.pins = session.pins.and(Pins::DISCARD);
                self.doubt_if(server, true);
            }
            Some(NamedUse::Several { .. }) | None => {}
        }
        self.note(id, server, Sent::Bind(None), Deliver::Client);
        Next::Forward
    }

    /// An Execute of an unnamed portal that drops statements.
    pub(super) fn execute_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        before: &[u8],
    ) -> Next {
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get(server)) else {
            return Next::End;
        };
        let building = entry.server.ledger.building_unit();
        if client.session.names.as_ref().is_some_and(|names| names.must_wait(building)) {
            return self.hold_client(id);
        }
        let does = client.session.portal_does.clone();
        match does.as_deref() {
            Some(NamedUse::Deallocate(name)) => {
                let shared = self.shared(id, name).is_some();
                self.to_server.extend_from_slice(before);
                self.put_stand_in(id, server, shared);
                self.note(id, server, Sent::Execute, Deliver::Client);
                if shared {
                    self.change_name(id, name, None, building);
                    self.note(id, server, Sent::Local(Answer::Deallocated), Deliver::Client);
                }
            }
            Some(NamedUse::DeallocateAll) => {
                self.note(id, server, Sent::Execute, Deliver::Client);
                self.drop_all(id, server, Answer::AllDeallocated, building);
            }
            Some(NamedUse::DiscardAll) => {
                self.follow_discard(id, server);
                self.note(id, server, Sent::Execute, Deliver::Client);
                self.drop_all(id, server, Answer::AllDiscarded, building);
            }
            Some(NamedUse::Several { .. }) | None => {
                self.note(id, server, Sent::Execute, Deliver::Client);
            }
        }
        Next::Forward
    }

    /// Every name of the client's, and every statement of the server's, is dropped by the message
    /// before.
    fn drop_all(&mut self, id: ClientId, server: ServerId, answer: Answer, building: u64) {
        if let Some(client) = self.clients.get_mut(id) {
            client.session.names.get_or_insert_default().drop_all(building);
        }
        if let Some(entry) = self.servers.get_mut(server) {
            entry.server.prepared.dropping_all();
        }
        self.note(id, server, Sent::Local(answer), Deliver::Client);
    }

    fn set_unnamed_does(&mut self, id: ClientId, used: NamedUse) {
        if let Some(client) = self.clients.get_mut(id) {
            client.session.unnamed_does = Some(Box::new(used));
        }
    }

    /// The shared statement that a name of the client's means.
    fn shared(&self, id: ClientId, name: &[u8]) -> Option<StatementId> {
        self.clients.get(id)?.session.names.as_ref()?.get(name)
    }

    fn all_shared(&self, id: ClientId, names: &[Box<[u8]>]) -> Vec<(Box<[u8]>, StatementId)> {
        let mut found: Vec<(Box<[u8]>, StatementId)> = Vec::new();
        for name in names {
            if let Some(statement) = self.shared(id, name)
                && !found.iter().any(|(known, _)| known == name)
            {
                found.push((name.clone(), statement));
            }
        }
        found
    }

    fn hand_over_shared(
        &mut self,
        id: ClientId,
        server: ServerId,
        names: &[Box<[u8]>],
        building: u64,
        before: &mut &[u8],
    ) {
        let shared = self.all_shared(id, names);
        if !shared.is_empty() {
            self.to_server.extend_from_slice(std::mem::take(before));
            self.hand_over(id, server, &shared, building, Deliver::OnError);
        }
    }

    /// Prepares statements under the client's own names, which from then on are the server's.
    fn hand_over(
        &mut self,
        id: ClientId,
        server: ServerId,
        shared: &[(Box<[u8]>, StatementId)],
        building: u64,
        deliver: Deliver,
    ) {
        for (name, statement) in shared {
            self.statements.write_parse(&mut self.to_server, *statement, name);
            self.note(id, server, Sent::Parse(Which::Own), deliver);
            self.change_name(id, name, None, building);
            self.note(id, server, Sent::Local(Answer::Deallocated), Deliver::Client);
        }
    }

    /// Makes sure that the stand-in can be dropped, or that it cannot.
    fn put_stand_in(&mut self, id: ClientId, server: ServerId, there: bool) {
        build::close_statement(&mut self.to_server, STAND_IN);
        self.note(id, server, Sent::Close(Which::Own), Deliver::Swallow);
        if there {
            build::parse(&mut self.to_server, STAND_IN, b"\0\0\0");
            self.note(id, server, Sent::Parse(Which::Own), Deliver::Swallow);
        }
    }

    /// What the server has prepared may be gone afterwards.
    fn doubt_if(&mut self, server: ServerId, drops: bool) {
        if drops && let Some(entry) = self.servers.get_mut(server) {
            entry.server.prepared.doubt();
        }
    }
}

/// Whether one of these names is pgweir's: what it means on the server is out of reach afterwards.
fn any_of_ours(names: &[Box<[u8]>]) -> bool {
    names.iter().any(|name| name.starts_with(PREFIX))
}

/// The session keeps its server for what a text does, and where a name of its own stands there.
fn session_pins<S>(
    clients: &mut crate::ids::Arena<ClientId, super::Client<S>>,
    id: ClientId,
    pins: Pins,
    handed_over: bool,
) {
    let Some(client) = clients.get_mut(id) else { return };
    let session = &mut client.session;
    session.pins = session.pins.and(pins);
    if handed_over {
        session.pins = session.pins.and(Pins::SQL_PREPARE);
    }
}
