//! Prepared statements on their way to a server: a client's names become pgweir's, and what the
//! server lacks is prepared in the same write.
//!
//! Deliberately absent: what was answered; `from_server` settles that.

use std::hash::BuildHasher;

use super::Engine;
use super::driver::Driver;
use super::from_client::{Next, Replayable};
use super::from_server::take_effect;
use super::guard::Case;
use super::refuse::Stands;
use super::stand::Way;
use crate::client::Session;
use crate::ids::{ClientId, ServerId};
use crate::prepared::{Names, PREFIX, RowFormat, Standing, StatementId};
use crate::server::ledger::{Answer, Deliver, Sent, Which};
use crate::session::facts;
use crate::session::{Pins, TextEffects, Timing};
use crate::wire::frame::{self, HEADER_LEN, Header};
use crate::wire::frontend::{BindNames, Named, ParseView, tag};
use crate::wire::{TransactionStatus, build};

/// Whether a client knows the format of the rows that it would get.
enum Rows {
    AsTold,
    Changed,
    Unknown,
}

/// A name that no statement has. A Bind of it fails where and as a Bind must fail whose rows would
/// look otherwise than its client was told; the error is put into those words.
pub(super) const CHANGED: &[u8] = b"_pgweir_changed";

/// Stands before a name of a client's own that could be taken for one of pgweir's.
pub(super) const DISGUISE: &[u8] = b"_pgweir_:";

impl<D: Driver> Engine<D> {
    /// Parse of the unnamed statement.
    pub(super) fn parse_unnamed(
        &mut self,
        id: ClientId,
        server: ServerId,
        parse: ParseView,
        content: &[u8],
        before: &[u8],
        after: &[u8],
    ) -> Next {
        let mut may_repeat = self.may_repeat(id, server, after);
        let known = if may_repeat { self.known_repeat(id, content) } else { None };
        if let Some(statement) = known
            && self.guards(id, &self.statements.effects(statement))
        {
            self.statements.release(statement);
            may_repeat = false;
        } else if let Some(statement) = known {
            // It is one query.
            if let Some(next) = self.limits_first(id, server, tag::PARSE, &TextEffects::NOTHING) {
                self.statements.release(statement);
                return next;
            }
            let next = self.parse_repeated(id, server, statement, content, (before, after));
            self.statements.release(statement);
            return next;
        }
        let Some(client) = self.clients.get(id) else { return Next::End };
        let under = client.session.dialect();
        let statement = self.statements.intern(content, under, || facts::effects(parse.query));
        let effects = self.statements.effects(statement);
        let stands = Stands::Parse { unnamed: true };
        let case = Case { id, server: Some(server), stands, before, text: parse.query };
        if let Some(next) = self
            .guard_parse(case, &effects)
            .or_else(|| self.limits_first(id, server, tag::PARSE, &effects))
        {
            self.statements.release(statement);
            return next;
        }
        let may_repeat = may_repeat && !self.guards(id, &effects);
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        let under = session.dialect();
        if may_repeat
            && effects.is_one_query
            && self.repeats.again(content, under, self.now)
            && !self.statements.is_full()
        {
            let repeated = self.statements.repeat(content, under, effects);
            let next = self.parse_repeated(id, server, repeated, content, (before, after));
            self.statements.release(repeated);
            self.statements.release(statement);
            return next;
        }
        if effects.pins.has(Pins::BACKEND_STATE) && entry.server.must_forget_sequences() {
            self.statements.release(statement);
            return self.forget_sequences(id, server);
        }
        entry.server.will_run(effects, &mut self.repeats);
        session.batch_ending = session.batch_ending.and(effects.ending);
        session.batch_sets_unnamed = true;
        session.batch_repeats = None;
        session.unnamed_does = None;
        session.parsed = None;
        if effects.uses_names {
            let next = self.parse_using_names(id, server, parse, statement, before);
            self.statements.release(statement);
            return next;
        }
        session.pins = session.pins.and(effects.pins);
        session.parsed = Some(statement);
        self.note(id, server, Sent::Parse(Which::Unnamed(Some(statement))), Deliver::Client);
        Next::Forward
    }

    /// Parse of a named statement.
    pub(super) fn parse_named(
        &mut self,
        id: ClientId,
        server: ServerId,
        parse: ParseView,
        body: &[u8],
        mut before: &[u8],
    ) -> Next {
        let shares = self.shared_max(server) > 0 && !self.statements.is_full();
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        let name = parse.statement;
        let content = &body[name.len() + 1..];
        let building = entry.server.ledger.building_unit();
        let known = match &session.names {
            Some(names) if names.must_wait(building) => return hold(session),
            Some(names) => names.get(name),
            None => None,
        };
        if known.is_none()
            // The server converts a name that is not ASCII, or refuses it. A session that keeps its
            // server anyway shares nothing, for what it has set may change what its texts mean;
            // unless it may come free again, which a name of its own would stand in the way of.
            && (!name.is_ascii()
                || !session.pins.without(Pins::ASKABLE).is_none()
                || !shares
                || session.names.as_ref().is_some_and(|names| names.is_full()))
        {
            return self.parse_own(id, server, parse, content, before);
        }
        let under = session.dialect();
        let statement = self.statements.intern(content, under, || facts::effects(parse.query));
        let effects = self.statements.effects(statement);
        let stands = Stands::Parse { unnamed: false };
        let case = Case { id, server: Some(server), stands, before, text: parse.query };
        if let Some(next) = self
            .guard_parse(case, &effects)
            .or_else(|| self.limits_first(id, server, tag::PARSE, &effects))
        {
            self.statements.release(statement);
            return next;
        }
        if effects.uses_names
            && known.is_none()
            && let Some(next) = self.parse_named_using_names(id, server, parse, content, before)
        {
            self.statements.release(statement);
            return next;
        }
        let Some(entry) = self.servers.get(server) else { return Next::End };
        if effects.pins.has(Pins::BACKEND_STATE) && entry.server.must_forget_sequences() {
            self.statements.release(statement);
            return self.forget_sequences(id, server);
        }
        if effects.uses_names
            && let used = facts::named_use(parse.query)
            && let Err(next) = self.stand_ahead(id, server, &used, &mut before)
        {
            self.statements.release(statement);
            return next;
        }
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        session.pins = session.pins.and(effects.pins);
        session.batch_ending = session.batch_ending.and(effects.ending);
        entry.server.may_redefine(effects, &mut self.repeats);
        let next = match known {
            Some(known) => self.parse_again(id, server, (name, known), content, before),
            None => self.parse_shared(id, server, name, statement, before),
        };
        self.statements.release(statement);
        next
    }

    /// Parse of a name that the server alone knows; its client keeps the server.
    pub(super) fn parse_own(
        &mut self,
        id: ClientId,
        server: ServerId,
        parse: ParseView,
        content: &[u8],
        mut before: &[u8],
    ) -> Next {
        let effects = facts::effects(parse.query);
        let stands = Stands::Parse { unnamed: false };
        let case = Case { id, server: Some(server), stands, before, text: parse.query };
        if let Some(next) = self
            .guard_parse(case, &effects)
            .or_else(|| self.guard_parse_of_own(case, parse.statement, &effects))
            .or_else(|| self.limits_first(id, server, tag::PARSE, &effects))
        {
            return next;
        }
        let stands = if effects.uses_names {
            self.stand_once_for_all(id, server, parse, &mut before)
        } else {
            self.expel(id, server, parse.statement, &mut before)
        };
        if let Err(next) = stands {
            return next;
        }
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        session.pins = session.pins.and(effects.pins).and(effects.sets).and(Pins::NAMED_STATEMENT);
        session.batch_ending = session.batch_ending.and(effects.ending);
        // When it runs is not followed.
        entry.server.will_run(effects, &mut self.repeats);
        let disguised = disguised(session, parse.statement);
        self.note(id, server, Sent::Parse(Which::Own), Deliver::Client);
        let Some(name) = disguised else { return Next::Forward };
        self.to_server.extend_from_slice(before);
        build::parse(&mut self.to_server, &name, content);
        Next::Drop
    }

    /// Parse of a name that is in use: the server compares the text first and then says so, of the
    /// name that it knows.
    fn parse_again(
        &mut self,
        id: ClientId,
        server: ServerId,
        (name, known): (&[u8], StatementId),
        content: &[u8],
        mut before: &[u8],
    ) -> Next {
        self.uses_name(id, name, known);
        if self.statements.is_sql(known) {
            if let Err(next) = self.stand_by_name(id, server, name, &mut before) {
                return next;
            }
            self.note(id, server, Sent::Parse(Which::Own), Deliver::Client);
            return Next::Forward;
        }
        if !self.have_on_server(id, server, known, &mut before) {
            return Next::Pause;
        }
        self.to_server.extend_from_slice(before);
        build::parse(&mut self.to_server, self.statements.server_name(known).as_bytes(), content);
        self.note(id, server, Sent::Parse(Which::Own), Deliver::Client);
        Next::Drop
    }

    /// Parse of a new name: sent on where the server lacks the statement, else answered here.
    fn parse_shared(
        &mut self,
        id: ClientId,
        server: ServerId,
        name: &[u8],
        statement: StatementId,
        before: &[u8],
    ) -> Next {
        let Some(entry) = self.servers.get_mut(server) else { return Next::End };
        let ledger = &entry.server.ledger;
        let building = ledger.building_unit();
        // In a failed transaction Postgres refuses a Parse; where the transaction has parameters of
        // its own, the text may mean something else than on the server.
        let may_answer = ledger.is_up_to_date()
            && entry.server.status != TransactionStatus::Failed
            && !entry.server.local;
        match entry.server.prepared.standing(statement, building) {
            Standing::There if may_answer => {
                self.change_name(id, name, Some(statement), building);
                self.answer(id, server, Answer::ParseComplete);
                return Next::Drop;
            }
            Standing::Unanswered => return self.hold_client(id),
            Standing::There | Standing::Stale => {
                self.to_server.extend_from_slice(before);
                self.make_room(id, server);
                self.close_on_server(id, server, statement);
            }
            Standing::Absent => {
                self.to_server.extend_from_slice(before);
                self.make_room(id, server);
            }
        }
        self.parse_on_server(id, server, statement, Which::Shared(statement), Deliver::Client);
        self.change_name(id, name, Some(statement), building);
        Next::Drop
    }

    /// Bind: of a shared statement under the server's name for it.
    pub(super) fn bind(
        &mut self,
        id: ClientId,
        server: ServerId,
        header: Header,
        body: &[u8],
        (mut before, after): (&[u8], &[u8]),
    ) -> Next {
        let (Some(names), Some(client), Some(entry)) =
            (BindNames::read(body), self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let values = (body, body.len() == header.body_len as usize);
        let session = &mut client.session;
        session.bound = None;
        if names.portal.is_empty() {
            session.portal_steps = None;
            session.portal_timing = Timing::Plain;
            session.unnamed_controls = false;
            let portal = portal_hash(names.portal);
            session.guarded.iter_mut().for_each(|guarded| guarded.unbinds(portal));
        }
        if names.statement.is_empty()
            && let Some(statement) = session.batch_repeats
        {
            self.bind_repeated(id, server, statement, names);
            let name = self.statements.server_name(statement);
            return self.write_bind(header, names, name.as_bytes(), before);
        }
        if names.statement.is_empty() {
            return self.bind_unnamed(id, server, names, values, before);
        }
        if names.portal.is_empty() {
            session.portal_does = None;
        }
        let building = entry.server.ledger.building_unit();
        let statement = match &session.names {
            Some(known) if known.must_wait(building) => return hold(session),
            Some(known) => known.get(names.statement),
            None => None,
        };
        let Some(statement) = statement else {
            let disguised = disguised(session, names.statement);
            if let Some(next) = self.guard_bind_of_own((id, server), names, values, before) {
                return next;
            }
            if let Err(next) = self.expel(id, server, names.statement, &mut before) {
                return next;
            }
            self.note(id, server, Sent::Bind(None), Deliver::Client);
            return match disguised {
                Some(name) => self.write_bind(header, names, &name, before),
                None => Next::Forward,
            };
        };
        let effects = self.statements.effects(statement);
        let place = (id, server);
        let runs = (Some(statement), &effects);
        if let Some(next) = self.guard_bind(place, runs, names, values, before) {
            return next;
        }
        if let Some(next) = self.limits_first(id, server, tag::BIND, &effects) {
            return next;
        }
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        if self.statements.is_sql(statement) || effects.uses_names {
            return self.bind_by_name(id, server, (header, names, values), statement, before);
        }
        // It may have been unpinned since the statement was prepared.
        session.pins = session.pins.and(effects.pins);
        session.bound = Some((portal_hash(names.portal), statement));
        session.batch_ending = session.batch_ending.and(effects.ending);
        entry.server.will_run(effects, &mut self.repeats);
        self.uses_name(id, names.statement, statement);
        self.replay_from_here = self.may_replay(id, server, statement);
        if let Rows::Changed = self.rows_are_known(id, server, statement, (names.portal, after))
            && let Some(entry) = self.servers.get_mut(server)
        {
            entry.server.prepared.differs(statement, entry.server.lease);
        }
        if !self.have_on_server(id, server, statement, &mut before) {
            return Next::Pause;
        }
        let server_name = self.statements.server_name(statement);
        let name = match self.rows_are_known(id, server, statement, (names.portal, after)) {
            Rows::AsTold => server_name.as_bytes(),
            Rows::Changed => CHANGED,
            Rows::Unknown => {
                self.ask_for_rows(id, server, statement, before);
                return self.hold_client(id);
            }
        };
        self.follow_bind(id, server, names, values, Some(statement));
        self.note(id, server, Sent::Bind(Some(statement)), Deliver::Client);
        self.write_bind(header, names, name, before)
    }

    /// Bind of a statement that is used under its client's name for it, or that uses others.
    fn bind_by_name(
        &mut self,
        id: ClientId,
        server: ServerId,
        (header, names, values): (Header, BindNames, (&[u8], bool)),
        statement: StatementId,
        mut before: &[u8],
    ) -> Next {
        self.uses_name(id, names.statement, statement);
        if self.statements.is_sql(statement) {
            if let Err(next) = self.stand_by_name(id, server, names.statement, &mut before) {
                return next;
            }
            if names.portal.is_empty()
                && let Some(client) = self.clients.get_mut(id)
            {
                client.session.portal_steps = None;
            }
            self.runs_prepared(id, server, self.statements.effects(statement));
            self.note(id, server, Sent::Bind(None), Deliver::Client);
            return Next::Forward;
        }
        if let Err(next) = self.stand_for_text(id, server, statement, &mut before) {
            return next;
        }
        if !self.have_on_server(id, server, statement, &mut before) {
            return Next::Pause;
        }
        self.follow_bind(id, server, names, values, Some(statement));
        self.note(id, server, Sent::Bind(None), Deliver::Client);
        let name = self.statements.server_name(statement);
        self.write_bind(header, names, name.as_bytes(), before)
    }

    /// Sees to it that the server has what the text of a statement names.
    fn stand_for_text(
        &mut self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
        before: &mut &[u8],
    ) -> Result<(), Next> {
        let used = facts::named_use(self.statements.text(statement));
        self.stand_for(id, server, &used, Way::Batch, before)
    }

    /// Writes the beginning of a Bind with another name for the statement.
    pub(super) fn write_bind(
        &mut self,
        header: Header,
        names: BindNames,
        name: &[u8],
        before: &[u8],
    ) -> Next {
        let named = names.portal.len() + names.statement.len() + 2;
        let body_len = header.body_len as usize - names.statement.len() + name.len();
        let frame_len = u32::try_from(body_len + 4).unwrap_or(u32::MAX);
        self.to_server.extend_from_slice(before);
        self.to_server.push(tag::BIND);
        self.to_server.extend_from_slice(&frame_len.to_be_bytes());
        self.to_server.extend_from_slice(names.portal);
        self.to_server.push(0);
        self.to_server.extend_from_slice(name);
        self.to_server.push(0);
        Next::ForwardFrom(HEADER_LEN + named)
    }

    /// Errors that name the statement speak of this name.
    fn uses_name(&mut self, id: ClientId, name: &[u8], statement: StatementId) {
        if let Some(names) = self.clients.get_mut(id).and_then(|c| c.session.names.as_mut()) {
            names.uses(name, statement);
        }
    }

    /// Whether a batch that begins with this statement may be sent again if the server refuses it:
    /// nothing is under way, no transaction is open, and the server has it from before.
    fn may_replay(&mut self, id: ClientId, server: ServerId, statement: StatementId) -> Replayable {
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get_mut(server))
        else {
            return Replayable::No;
        };
        entry.server.replay.clear();
        let may = entry.server.ledger.owes_nothing_since_ready()
            && entry.server.status == TransactionStatus::Idle
            && entry.server.prepared.standing(statement, 0) == Standing::There;
        let told = client.session.names.as_ref().and_then(|names| names.rows(statement));
        match (may, told) {
            (false, _) => Replayable::No,
            (true, Some(_)) => Replayable::IfDescribed,
            (true, None) => Replayable::Yes,
        }
    }

    /// Whether the rows that this server would send look as the client has been told. A client that
    /// asks again, right behind the Bind of this portal, or never did, takes them as they come.
    fn rows_are_known(
        &self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
        (portal, after): (&[u8], &[u8]),
    ) -> Rows {
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get(server)) else {
            return Rows::AsTold;
        };
        let told = client.session.names.as_ref().and_then(|names| names.rows(statement));
        let Some(told) = told.filter(|told| *told != RowFormat::NONE) else {
            return Rows::AsTold;
        };
        let can_tell =
            entry.server.ledger.is_up_to_date() && entry.server.status != TransactionStatus::Failed;
        match entry.server.prepared.rows(statement) {
            Some(rows) if rows == told => Rows::AsTold,
            _ if !can_tell || describes(after, portal) => Rows::AsTold,
            Some(_) => Rows::Changed,
            None => Rows::Unknown,
        }
    }

    /// Asks the server what the rows of a statement look like. The client's Bind waits for that.
    fn ask_for_rows(
        &mut self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
        before: &[u8],
    ) {
        self.to_server.extend_from_slice(before);
        build::describe_statement(
            &mut self.to_server,
            self.statements.server_name(statement).as_bytes(),
        );
        self.note(id, server, Sent::DescribeStatement(Some(statement)), Deliver::OnError);
        build::empty(&mut self.to_server, tag::FLUSH);
        self.note(id, server, Sent::Flush, Deliver::OnError);
    }

    /// Whether the unnamed statement may be one that sets parameters, depending on a batch that has
    /// not been answered.
    fn unnamed_may_set(&self, id: ClientId, server: ServerId) -> bool {
        let (Some(client), Some(entry)) = (self.clients.get(id), self.servers.get(server)) else {
            return false;
        };
        let session = &client.session;
        if session.batch_sets_unnamed || entry.server.ledger.is_up_to_date() {
            return false;
        }
        [session.parsed, session.unnamed].into_iter().flatten().any(|statement| {
            let effects = self.statements.effects(statement);
            !effects.sets.is_none()
                || effects.unlistens
                || (effects.controls && session.changes.is_some())
        })
    }

    fn bind_unnamed(
        &mut self,
        id: ClientId,
        server: ServerId,
        names: BindNames,
        values: (&[u8], bool),
        mut before: &[u8],
    ) -> Next {
        if self.unnamed_may_set(id, server) {
            return self.hold_client(id);
        }
        let session = self.clients.get(id).map(|client| &client.session);
        let runs = session.and_then(|session| {
            if session.batch_sets_unnamed { session.parsed } else { session.unnamed }
        });
        let effects = runs.map_or(TextEffects::NOTHING, |runs| self.statements.effects(runs));
        let runs = (runs, &effects);
        if let Some(next) = self.guard_bind((id, server), runs, names, values, before) {
            return next;
        }
        // One that this batch has parsed was looked at then, and nothing can come before it now.
        let session = self.clients.get(id).map(|client| &client.session);
        let unnamed = session.filter(|session| !session.batch_sets_unnamed);
        if let Some(unnamed) = unnamed.and_then(|session| session.unnamed) {
            let effects = self.statements.effects(unnamed);
            if let Some(next) = self.limits_first(id, server, tag::BIND, &effects) {
                return next;
            }
        }
        if !self.have_unnamed(id, server, &mut before) {
            return Next::Pause;
        }
        if let Some(session) = self.clients.get(id).map(|client| &client.session) {
            let parsed = if session.batch_sets_unnamed { session.parsed } else { session.unnamed };
            self.follow_bind(id, server, names, values, parsed);
        }
        let Some(client) = self.clients.get_mut(id) else { return Next::End };
        if client.session.unnamed_does.is_some() {
            return self.bind_using_names(id, server, names, before);
        }
        if names.portal.is_empty() {
            client.session.portal_does = None;
        }
        self.note(id, server, Sent::Bind(None), Deliver::Client);
        Next::Forward
    }

    /// Describe of a statement.
    pub(super) fn describe_statement(
        &mut self,
        id: ClientId,
        server: ServerId,
        name: &[u8],
        mut before: &[u8],
    ) -> Next {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        if name.is_empty() {
            let does = client.session.unnamed_does.clone();
            let parsed_here = client.session.batch_sets_unnamed;
            if let Some(does) = does {
                if let Err(next) = self.stand_for(id, server, &does, Way::Batch, &mut before) {
                    return next;
                }
                // What it returns was looked up when it was parsed, perhaps for somebody else.
                if !parsed_here && let Some(entry) = self.servers.get_mut(server) {
                    self.statements.assign(&mut entry.server.unnamed, None);
                }
            }
            if !self.have_unnamed(id, server, &mut before) {
                return Next::Pause;
            }
            self.note(id, server, Sent::DescribeStatement(None), Deliver::Client);
            return Next::Forward;
        }
        let building = entry.server.ledger.building_unit();
        let statement = match &client.session.names {
            Some(names) if names.must_wait(building) => return hold(&mut client.session),
            Some(names) => names.get(name),
            None => None,
        };
        let Some(statement) = statement else {
            let disguised = disguised(&client.session, name);
            if let Err(next) = self.expel(id, server, name, &mut before) {
                return next;
            }
            self.note(id, server, Sent::DescribeStatement(None), Deliver::Client);
            let Some(name) = disguised else { return Next::Forward };
            self.to_server.extend_from_slice(before);
            build::describe_statement(&mut self.to_server, &name);
            return Next::Drop;
        };
        self.uses_name(id, name, statement);
        if self.statements.is_sql(statement) {
            if let Err(next) = self.stand_by_name(id, server, name, &mut before) {
                return next;
            }
            self.note(id, server, Sent::DescribeStatement(None), Deliver::Client);
            return Next::Forward;
        }
        let uses_names = self.statements.effects(statement).uses_names;
        if uses_names {
            if let Err(next) = self.stand_for_text(id, server, statement, &mut before) {
                return next;
            }
            // What it returns was looked up when it was parsed, perhaps for somebody else.
            if let Some(entry) = self.servers.get_mut(server) {
                entry.server.prepared.spoilt(statement);
            }
        } else {
            self.replay_from_here = self.may_replay(id, server, statement);
        }
        if !self.have_on_server(id, server, statement, &mut before) {
            return Next::Pause;
        }
        self.to_server.extend_from_slice(before);
        build::describe_statement(
            &mut self.to_server,
            self.statements.server_name(statement).as_bytes(),
        );
        // What an EXECUTE describes is another statement's, each client's own.
        let described = Some(statement).filter(|_| !uses_names);
        self.note(id, server, Sent::DescribeStatement(described), Deliver::Client);
        Next::Drop
    }

    /// Close of a statement: the server keeps a shared one.
    pub(super) fn close_statement(
        &mut self,
        id: ClientId,
        server: ServerId,
        name: &[u8],
        before: &[u8],
    ) -> Next {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        if name.is_empty() {
            session.batch_sets_unnamed = true;
            session.batch_repeats = None;
            session.unnamed_does = None;
            session.parsed = None;
            self.note(id, server, Sent::Close(Which::Unnamed(None)), Deliver::Client);
            return Next::Forward;
        }
        let building = entry.server.ledger.building_unit();
        match &session.names {
            Some(names) if names.must_wait(building) => return hold(session),
            Some(names) if names.get(name).is_some() => {}
            Some(_) | None => {
                let disguised = disguised(session, name);
                let mut before = before;
                if let Err(next) = self.expel(id, server, name, &mut before) {
                    return next;
                }
                self.note(id, server, Sent::Close(Which::Own), Deliver::Client);
                let Some(name) = disguised else { return Next::Forward };
                self.to_server.extend_from_slice(before);
                build::close_statement(&mut self.to_server, &name);
                return Next::Drop;
            }
        }
        self.change_name(id, name, None, building);
        self.answer(id, server, Answer::CloseComplete);
        Next::Drop
    }

    /// Answers a message in the server's place: now, or when what was sent before it has been
    /// answered.
    fn answer(&mut self, id: ClientId, server: ServerId, answer: Answer) {
        self.note(id, server, Sent::Local(answer), Deliver::Client);
        // Before the server has taken a byte, the request may still have to go to another.
        if self.servers.get(server).is_some_and(|entry| entry.conn.taken) {
            self.give_answers(id, server);
        }
    }

    /// Gives the answers of pgweir's own whose turn it is.
    pub(super) fn give_answers(&mut self, id: ClientId, server: ServerId) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        if entry.conn.skip > 0 || entry.server.undecided {
            // The end of a reply is still on its way to the client, or nobody knows whose answers it is to get: then
            // these come with the server's.
            return;
        }
        while let Some(answer) = entry.server.ledger.take_local() {
            let session = self.clients.get_mut(id).map(|client| &mut client.session);
            take_effect(entry, session, &mut self.statements, answer, &mut self.to_client);
        }
    }

    pub(super) fn change_name(
        &mut self,
        id: ClientId,
        name: &[u8],
        statement: Option<StatementId>,
        unit: u64,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let names = client.session.names.get_or_insert_with(Box::<Names>::default);
        names.change(&mut self.statements, name, statement, unit);
    }

    pub(super) fn hold_client(&mut self, id: ClientId) -> Next {
        match self.clients.get_mut(id) {
            Some(client) => hold(&mut client.session),
            None => Next::End,
        }
    }
}

/// The name under which a server knows a client's own statement, where that is not what the client
/// says: pgweir's names are out of its reach.
fn disguised(session: &Session, name: &[u8]) -> Option<Vec<u8>> {
    let like_ours = name.starts_with(PREFIX) && !session.pins.has(Pins::SESSION_MODE);
    like_ours.then(|| [DISGUISE, name].concat())
}

/// A portal's name as a number.
pub(super) fn portal_hash(name: &[u8]) -> u64 {
    foldhash::fast::FixedState::default().hash_one(name)
}

/// Whether the next message is a Describe of this portal.
fn describes(next: &[u8], portal: &[u8]) -> bool {
    let Ok(Some(header)) = frame::header(next, u32::MAX) else { return false };
    header.tag == tag::DESCRIBE
        && next.get(HEADER_LEN..header.frame_len()).and_then(Named::read)
            == Some(Named::Portal(portal))
}

/// The message waits until every earlier batch has been answered.
pub(super) fn hold(session: &mut Session) -> Next {
    session.held = true;
    Next::Pause
}
