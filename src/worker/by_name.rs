//! Texts that speak of prepared statements by name: PREPARE, EXECUTE, DEALLOCATE, DISCARD ALL. In
//! Postgres their names and those of the protocol are the same. Here the protocol's are pgweir's to
//! translate, so before a text runs, the names in it mean on the server what they mean to its client
//! (`stand`), and what the text does to them is the server's to say.

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use super::parameters::give_up;
use super::stand::{Need, Way};
use crate::ids::{ClientId, ServerId};
use crate::prepared::{PREFIX, StatementId, Step};
use crate::server::ledger::{Answer, Deliver, OF_NAMES, Sent, Which};
use crate::session::Pins;
use crate::session::facts::{self, NameStep, NamedUse, TextEffects};
use crate::wire::build;
use crate::wire::frontend::{BindNames, ParseView};

impl<D: Driver> Engine<D> {
    /// A Query whose text uses names.
    pub(super) fn query_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        text: &[u8],
        effects: TextEffects,
        mut before: &[u8],
    ) -> Next {
        if self.must_wait_for_names(id, server) {
            return self.hold_client(id);
        }
        if let Some(next) = self.answer_stand_failed(id, server) {
            return next;
        }
        let used = facts::named_use(text);
        if let Err(next) = self.stand_for(id, server, &used, Way::Query, &mut before) {
            return next;
        }
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        let building = entry.server.ledger.building_unit();
        session.standing = None;
        session.pins = session.pins.and(effects.pins);
        session.batch_sets_unnamed = false;
        let ending = std::mem::take(&mut session.batch_ending).and(effects.ending);
        session.bound = None;
        session.portal_does = None;
        session.unnamed_does = None;
        entry.server.will_run(effects, &mut self.repeats);
        self.follow_query(id, server, text, effects);
        let query = Sent::Query(ending);
        match used.only() {
            Some(NameStep::DeallocateAll) => {
                self.note(id, server, query, Deliver::Client);
                self.drop_all(id, server, Answer::AllDeallocated, building);
            }
            Some(NameStep::DiscardAll) => {
                self.follow_discard(id, server);
                self.note(id, server, query, Deliver::Client);
                self.drop_all(id, server, Answer::AllDiscarded, building);
            }
            Some(_) | None => self.note_with_steps(id, server, (query, effects), used),
        }
        self.remember_query(server, text);
        self.record_query((id, server), text, &effects, None);
        Next::Forward
    }

    /// Notes a Query, and what each of its statements does to names.
    fn note_with_steps(
        &mut self,
        id: ClientId,
        server: ServerId,
        (query, effects): (Sent, TextEffects),
        used: NamedUse,
    ) {
        let mut steps = Vec::new();
        let pinned = self.clients.get(id).is_some_and(|client| !client.session.pins.is_none());
        for (number, step) in used.steps {
            match step {
                NameStep::Prepare { name, text, effects } => {
                    if self.may_follow(id, server, &name) {
                        self.doubt_unless_pinned(id, server, &name);
                        steps.push((number, Step::Prepare(name, text, effects)));
                    }
                }
                NameStep::Deallocate(name) if name.starts_with(PREFIX) => self.doubt(server),
                NameStep::Deallocate(name) => {
                    self.doubt_unless_pinned(id, server, &name);
                    steps.push((number, Step::Deallocate(name)));
                }
                NameStep::DeallocateAll => {
                    self.doubt(server);
                    if !pinned && let Some(entry) = self.servers.get_mut(server) {
                        entry.server.prepared.own.doubt_all();
                    }
                    steps.push((number, Step::DeallocateAll));
                }
                // In a string of several, DISCARD ALL is refused.
                NameStep::Execute(_) | NameStep::DiscardAll => {}
            }
        }
        let epoch = self.repeats.redefinitions();
        let owed = self.note(id, server, query, Deliver::Client);
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        if !owed {
            return;
        }
        entry.server.ledger.count_last(effects.statements);
        entry.server.ledger.time_last(effects.timing);
        if steps.is_empty() {
            return;
        }
        // The Query is the end of its unit.
        let unit = entry.server.ledger.building_unit() - 1;
        let number = OF_NAMES | u32::try_from(unit % u64::from(OF_NAMES)).unwrap_or(0);
        let number = entry.server.ledger.number_last_once(number);
        client.session.names.get_or_insert_default().sending(number, unit, epoch, steps);
    }

    /// A Parse of the unnamed statement whose text uses names.
    pub(super) fn parse_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        parse: ParseView,
        statement: StatementId,
        mut before: &[u8],
    ) -> Next {
        if self.must_wait_for_names(id, server) {
            return self.hold_client(id);
        }
        let used = facts::named_use(parse.query);
        // What an EXECUTE returns is looked up when it is parsed, for Describe.
        if let Some(NameStep::Execute(_)) = used.only()
            && let Err(next) = self.stand_for(id, server, &used, Way::Batch, &mut before)
        {
            return next;
        }
        if let Err(next) = self.stand_ahead(id, server, &used, &mut before) {
            return next;
        }
        let effects = self.statements.effects(statement);
        let Some(client) = self.clients.get_mut(id) else { return Next::End };
        let session = &mut client.session;
        session.pins = session.pins.and(effects.pins).and(effects.sets);
        session.unnamed_does = Some(Box::new(used));
        self.statements.retain(statement);
        self.note(id, server, Sent::Parse(Which::Unnamed(Some(statement))), Deliver::Client);
        Next::Forward
    }

    /// A Parse begins a batch whose statements perhaps see any name: what can be put there only in
    /// an exchange of its own is put there now, for behind it there is no room.
    pub(super) fn stand_ahead(
        &mut self,
        id: ClientId,
        server: ServerId,
        used: &NamedUse,
        before: &mut &[u8],
    ) -> Result<(), Next> {
        let Some(entry) = self.servers.get(server) else { return Err(Next::End) };
        if entry.server.ledger.batch_is_open() || !(used.sees_all || used.unclear) {
            return Ok(());
        }
        let sees = NamedUse { sees_all: true, ..NamedUse::default() };
        self.stand_for(id, server, &sees, Way::Batch, before)
    }

    /// A Parse of a named statement whose text uses names: it is shared like others where all that
    /// it does is to run what it names. Else it stays on its server.
    pub(super) fn parse_named_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        parse: ParseView,
        content: &[u8],
        before: &[u8],
    ) -> Option<Next> {
        let used = facts::named_use(parse.query);
        let only_runs = |(_, step): &(usize, NameStep)| matches!(step, NameStep::Execute(_));
        if !used.unclear && used.steps.iter().all(only_runs) {
            return None;
        }
        Some(self.parse_own(id, server, parse, content, before))
    }

    /// A statement that only its server will know uses names, whenever that is: from here on all of
    /// its client's are the server's own.
    pub(super) fn stand_once_for_all(
        &mut self,
        id: ClientId,
        server: ServerId,
        parse: ParseView,
        before: &mut &[u8],
    ) -> Result<(), Next> {
        if self.must_wait_for_names(id, server) {
            return Err(self.hold_client(id));
        }
        let used = NamedUse { sees_all: true, ..facts::named_use(parse.query) };
        let only_runs = |(_, step): &(usize, NameStep)| matches!(step, NameStep::Execute(_));
        let changes = used.unclear || !used.steps.iter().all(only_runs);
        self.stand_for(id, server, &used, Way::Batch, before)?;
        if let Some(client) = self.clients.get_mut(id) {
            client.session.pins = client.session.pins.and(Pins::SQL_PREPARE);
        }
        self.doubt_if(server, changes);
        Ok(())
    }

    /// A Bind of an unnamed statement that uses names.
    pub(super) fn bind_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        names: BindNames,
        mut before: &[u8],
    ) -> Next {
        if self.must_wait_for_names(id, server) {
            return self.hold_client(id);
        }
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get(server))
        else {
            return Next::End;
        };
        let building = entry.server.ledger.building_unit();
        let session = &mut client.session;
        let Some(does) = session.unnamed_does.clone() else { return Next::Forward };
        if names.portal.is_empty() {
            session.portal_does = None;
        }
        match does.only() {
            // These do something when they run.
            Some(NameStep::Prepare { .. } | NameStep::Deallocate(_) | NameStep::DeallocateAll)
            | Some(NameStep::DiscardAll)
                if names.portal.is_empty() =>
            {
                session.portal_does = Some(does);
            }
            Some(NameStep::Execute(_)) => {
                if let Err(next) = self.stand_for(id, server, &does, Way::Batch, &mut before) {
                    return next;
                }
            }
            // When a named portal runs is not followed: as if it did at once.
            Some(NameStep::Deallocate(name))
                if self.meant_by(id, name).is_some_and(|known| !self.statements.is_sql(known)) =>
            {
                if let Err(next) = self.stand_for(id, server, &does, Way::Batch, &mut before) {
                    return next;
                }
                self.note(id, server, Sent::Bind(None), Deliver::Client);
                self.change_name(id, name, None, building);
                self.note(id, server, Sent::Local(Answer::Renamed), Deliver::Client);
                self.doubt_own(server, name);
                return Next::Forward;
            }
            Some(_) | None => {
                if !does.steps.is_empty() || does.unclear {
                    if let Some(client) = self.clients.get_mut(id) {
                        client.session.pins = client.session.pins.and(Pins::SQL_PREPARE);
                    }
                    self.doubt(server);
                }
                let everything = NamedUse { sees_all: true, ..(*does).clone() };
                if let Err(next) = self.stand_for(id, server, &everything, Way::Batch, &mut before)
                {
                    return next;
                }
            }
        }
        self.note(id, server, Sent::Bind(None), Deliver::Client);
        Next::Forward
    }

    /// An Execute of an unnamed portal that makes or drops statements.
    pub(super) fn execute_using_names(
        &mut self,
        id: ClientId,
        server: ServerId,
        mut before: &[u8],
    ) -> Next {
        if self.must_wait_for_names(id, server) {
            return self.hold_client(id);
        }
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get(server)) else {
            return Next::End;
        };
        let building = entry.server.ledger.building_unit();
        let Some(does) = client.session.portal_does.clone() else { return Next::Forward };
        if let Err(next) = self.stand_for(id, server, &does, Way::Batch, &mut before) {
            return next;
        }
        match does.only() {
            Some(NameStep::Prepare { name, text, effects }) => {
                let is_new = self.meant_by(id, name).is_none();
                let follow = self.may_follow(id, server, name) && is_new;
                self.note(id, server, Sent::Execute, Deliver::Client);
                if follow {
                    self.prepares(id, server, (name, text), *effects, building);
                }
            }
            Some(NameStep::Deallocate(name)) => {
                let is_known = self.meant_by(id, name).is_some();
                self.note(id, server, Sent::Execute, Deliver::Client);
                self.doubt_if(server, name.starts_with(PREFIX));
                if is_known {
                    if let Some(entry) = self.servers.get_mut(server) {
                        entry.server.prepared.own.closing(&mut self.statements, name, building);
                    }
                    self.change_name(id, name, None, building);
                    self.note(id, server, Sent::Local(Answer::Renamed), Deliver::Client);
                }
            }
            Some(NameStep::DeallocateAll) => {
                self.note(id, server, Sent::Execute, Deliver::Client);
                self.drop_all(id, server, Answer::AllDeallocated, building);
            }
            Some(NameStep::DiscardAll) => {
                self.follow_discard(id, server);
                self.note(id, server, Sent::Execute, Deliver::Client);
                self.drop_all(id, server, Answer::AllDiscarded, building);
                self.record_text(id, server, b"DISCARD ALL", None);
            }
            Some(NameStep::Execute(_)) | None => {
                self.note(id, server, Sent::Execute, Deliver::Client);
            }
        }
        Next::Forward
    }

    /// The message before prepares a statement, for the client and under its name on the server.
    fn prepares(
        &mut self,
        id: ClientId,
        server: ServerId,
        (name, text): (&[u8], &[u8]),
        effects: TextEffects,
        building: u64,
    ) {
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get_mut(server))
        else {
            return;
        };
        let under = client.session.params.dialect();
        let epoch = self.repeats.redefinitions();
        let statement = self.statements.intern_sql(text, under, epoch, || effects);
        let local = entry.server.local;
        let own = &mut entry.server.prepared.own;
        own.sent(&mut self.statements, name, statement, (building, local));
        self.change_name(id, name, Some(statement), building);
        self.statements.release(statement);
        self.note(id, server, Sent::Local(Answer::Renamed), Deliver::Client);
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

    /// Whether what a client's names mean depends on an earlier unit that has not been answered.
    fn must_wait_for_names(&self, id: ClientId, server: ServerId) -> bool {
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get(server)) else {
            return false;
        };
        let building = entry.server.ledger.building_unit();
        client.session.names.as_ref().is_some_and(|names| names.must_wait(building))
    }

    /// Whether a PREPARE in plain sight is the client's wherever it is. Else its session keeps its
    /// server, which then knows alone what the name means.
    fn may_follow(&mut self, id: ClientId, server: ServerId, name: &[u8]) -> bool {
        let full = self.shared_max(server) == 0 || self.statements.is_full();
        let Some(client) = self.clients.get_mut(id) else { return false };
        let session = &mut client.session;
        if session.pins.has(Pins::SESSION_MODE) {
            return false;
        }
        // The server converts a name that is not ASCII, or refuses it. What it alone knows of its
        // client's names stays its own.
        let may = !full
            && !session.pins_at_stake().has(Pins::NAMED_STATEMENT.and(Pins::SQL_PREPARE))
            && name.is_ascii()
            && !name.starts_with(PREFIX)
            && !session.names.as_ref().is_some_and(|names| names.is_full());
        if !may {
            session.pins = session.pins.and(Pins::SQL_PREPARE);
            self.doubt_if(server, name.starts_with(PREFIX));
        }
        may
    }

    /// Sees to it that what a text names means on the server what it means to the client. `Err`: what
    /// becomes of the message instead.
    pub(super) fn stand_for(
        &mut self,
        id: ClientId,
        server: ServerId,
        used: &NamedUse,
        way: Way,
        before: &mut &[u8],
    ) -> Result<(), Next> {
        let Some(client) = self.clients.get(id) else { return Err(Next::End) };
        let in_session_mode = client.session.pins.has(Pins::SESSION_MODE);
        let mut everything = used.sees_all || used.unclear || in_session_mode;
        let of_name = if everything { Need::Statement } else { Need::Name };
        let mut wants: Vec<(Box<[u8]>, Need)> = Vec::new();
        let mut runs = Vec::new();
        for (at, (_, step)) in used.steps.iter().enumerate() {
            let (name, need) = match step {
                NameStep::Prepare { name, .. } | NameStep::Deallocate(name) => (name, of_name),
                NameStep::Execute(name) => (name, Need::Statement),
                NameStep::DeallocateAll | NameStep::DiscardAll => continue,
            };
            if let NameStep::Execute(_) = step {
                let in_text = used.steps[..at].iter().rev().find_map(|(_, step)| match step {
                    NameStep::Prepare { name: made, effects, .. } if made == name => Some(*effects),
                    _ => None,
                });
                let known = self.meant_by(id, name).map(|id| self.statements.effects(id));
                runs.extend(in_text.into_iter().chain(known));
            }
            if !wants.iter().any(|(wanted, _)| wanted == name) {
                wants.push((name.clone(), need));
            }
        }
        everything |= runs.iter().any(|effects| effects.uses_names);
        if everything
            && let Some(names) = self.clients.get(id).and_then(|c| c.session.names.as_ref())
        {
            // Those of the protocol are there as far as they are needed, under pgweir's names.
            for (name, _) in names.all().filter(|(_, known)| self.statements.is_sql(*known)) {
                if !wants.iter().any(|(wanted, _)| **wanted == *name) {
                    wants.push((name.into(), Need::IfPossible));
                }
            }
        }
        self.stand(id, server, &wants, everything, way, before)?;
        runs.into_iter().for_each(|effects| self.runs_prepared(id, server, effects));
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Err(Next::End);
        };
        if used.unclear {
            client.session.pins = client.session.pins.and(Pins::SQL_PREPARE);
            entry.server.prepared.doubt();
        }
        Ok(())
    }

    /// A prepared statement is about to run that its own Parse did not account for.
    pub(super) fn runs_prepared(&mut self, id: ClientId, server: ServerId, effects: TextEffects) {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        client.session.pins = client.session.pins.and(effects.pins);
        if !effects.sets.is_none() {
            give_up(&mut client.session, effects.sets);
        }
        entry.server.will_run(effects, &mut self.repeats);
    }

    /// The statement that a name of the client's means.
    fn meant_by(&self, id: ClientId, name: &[u8]) -> Option<StatementId> {
        self.clients.get(id)?.session.names.as_ref()?.get(name)
    }

    /// A Query is about to change what a name means on the server, perhaps. If its client goes before
    /// that is known, nobody knows; a server that is reset then keeps its other names.
    fn doubt_unless_pinned(&mut self, id: ClientId, server: ServerId, name: &[u8]) {
        if self.clients.get(id).is_some_and(|client| client.session.pins.is_none()) {
            self.doubt_own(server, name);
        }
    }

    fn doubt_own(&mut self, server: ServerId, name: &[u8]) {
        if let Some(entry) = self.servers.get_mut(server) {
            entry.server.prepared.own.doubt(&mut self.statements, name);
        }
    }

    fn doubt(&mut self, server: ServerId) {
        self.doubt_if(server, true);
    }

    /// What the server has prepared under pgweir's names may be gone afterwards.
    fn doubt_if(&mut self, server: ServerId, drops: bool) {
        if drops && let Some(entry) = self.servers.get_mut(server) {
            entry.server.prepared.doubt();
        }
    }

    /// A statement that a message needs could not be prepared on its server: the message is answered
    /// with that error, as Postgres does when it looks at the statement again.
    fn answer_stand_failed(&mut self, id: ClientId, server: ServerId) -> Option<Next> {
        let (client, entry) = (self.clients.get_mut(id)?, self.servers.get(server)?);
        let building = entry.server.ledger.building_unit();
        let standing = client.session.standing.as_mut()?;
        let error = standing.take_error().filter(|_| standing.is_for(server, building))?;
        client.session.standing = None;
        let start = self.to_client.len();
        self.to_client.extend_from_slice(&error);
        build::ready_for_query(&mut self.to_client, entry.server.status);
        let counters = &mut self.pools[entry.pool.0 as usize].counters;
        counters.count_answers(&self.to_client[start..]);
        Some(Next::Drop)
    }
}
