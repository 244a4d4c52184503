//! From a server to its client: replies are settled against the ledger and passed on in runs.

use super::conn::{Filled, Rest, Scratch};
use super::counting::Meter;
use super::driver::{Driver, Edge, Token};
use super::pins;
use super::refusals::{
    Refusal, in_failed_transaction, in_the_clients_words, is_about_the_statement, is_in_our_words,
    refused,
};
use super::rerun::{decides, is_for_the_primary};
use super::struck::{Failed, words_for};
use super::timeouts::closes_client;
use super::{BYTES_PER_TURN, Client, Engine, Todo};
use crate::client::{Leaving, Session};
use crate::errors;
use crate::ids::{Arena, ClientId, ServerId};
use crate::prepared::{RowFormat, StatementId, Statements};
use crate::server::ledger::{Answer, Deliver, Meaning, OF_NAMES, Sent, Which};
use crate::server::{Server, User, asked};
use crate::session::{Ending, Pins, TextEffects};
use crate::wire::backend::{ErrorFields, error_fields, parameter_status, tag};
use crate::wire::frame::{self, HEADER_LEN, Header, LONGEST_REPLY};
use crate::wire::{Report, TransactionStatus, build, frontend};

/// Bytes of an ErrorResponse that are looked at: severity, SQLSTATE and message come first.
const ERROR_FRONT: usize = 4_096;

/// Bytes of a command tag that are looked at.
const LONGEST_TAG: usize = 64;

/// Bytes of a NotificationResponse up to the end of the channel's name.
const LONGEST_CHANNEL: usize = 4 + 64;

/// Most bytes of a ParameterStatus.
const LONGEST_PARAMETER_STATUS: usize = 64 * 1024;

/// Most bytes of a ParameterDescription or RowDescription that are looked at. The columns of a row
/// beyond that, some thousands, are taken for unchanged.
const LONGEST_DESCRIPTION: usize = 256 * 1024;

/// What the end of a chunk leaves to do.
#[derive(Default)]
struct Events {
    ready: bool,
    /// DDL has been committed, or rolled back.
    redefined: bool,
    error: Option<Report>,
    broken: bool,
    /// What a held message waited for may have come.
    resume: bool,
    /// The error that has just come answers what was sent in the place of a text that may not run:
    /// what its client is told.
    refused: Option<Report>,
    /// The statement that has just succeeded sets a limit of time to what its session may not have: the warning.
    refused_limit: Option<Report>,
    /// The error that has just come answers a Bind whose client waits for ParseComplete as well.
    parse_due: bool,
    /// The server would have ended the connection over a message that was to be answered here.
    kept_from_copy: Option<Answer>,
    /// A Describe of pgweir's own found a statement that cannot be used: nothing has been run, so a
    /// Sync and another Parse mend it.
    mend: bool,
    /// A unit has ended in a session that changes its parameters.
    parameters: bool,
    /// What the cancelled statement reads like.
    failed: Failed,
    /// Outside of transactions, at some moment.
    idle: bool,
    /// The transaction that has ended had set parameters of its own.
    set_locally: bool,
    /// The server is a replica and cannot serve the read: the primary is to.
    run_again: bool,
    /// The batch is to be sent again: its first statement could not be used.
    again: Option<(StatementId, Refusal)>,
    /// A limit in time has struck that closes its client: the reason. Nothing after it is told.
    last_words: Option<Report>,
}

impl<D: Driver> Engine<D> {
    /// Something happened on a server's socket.
    pub(super) fn server_edge(&mut self, id: ServerId, edge: Edge) {
        let Some(entry) = self.servers.get_mut(id) else { return self.look_at_zombie(id) };
        entry.conn.readable |= edge.readable;
        entry.conn.hung_up |= edge.hung_up;
        if edge.writable {
            match entry.conn.flush(&mut self.driver) {
                Ok(flushed) => {
                    if let Err(error) =
                        entry.conn.settle_interest(&mut self.driver, Token::Server(id))
                    {
                        return self.server_lost(id, Some(&error));
                    }
                    if flushed && let Some(client) = entry.server.client() {
                        self.todo.push_back(Todo::Client(client));
                    }
                }
                Err(error) => return self.server_lost(id, Some(&error)),
            }
        }
        self.read_server(id);
    }

    /// Reads what the socket has, up to the turn's share.
    pub(super) fn read_server(&mut self, id: ServerId) {
        let mut budget = BYTES_PER_TURN;
        loop {
            let Some(entry) = self.servers.get(id) else { return self.look_at_zombie(id) };
            let client_is_full = entry
                .server
                .client()
                .and_then(|client| self.clients.get(client))
                .is_some_and(|client| client.conn.has_unsent());
            if client_is_full || !entry.conn.readable {
                return;
            }
            let Some(entry) = self.servers.get_mut(id) else { return };
            let mut scratch = self.spare.pop().unwrap_or_else(Scratch::with_buffers);
            let filled = entry.conn.fill(&mut self.driver, &mut scratch);
            if let Filled::Bytes(input) = &filled {
                let bytes = scratch.bytes(input);
                budget = budget.saturating_sub(bytes.len());
                self.feed_server(id, bytes);
            }
            self.spare.push(scratch);
            match filled {
                Filled::Bytes(_) | Filled::Nothing => {}
                Filled::End => return self.server_lost(id, None),
                Filled::Broken(error) => return self.server_lost(id, Some(&error)),
            }
            if budget == 0 {
                self.todo.push_back(Todo::Server(id));
                return;
            }
        }
    }

    /// Takes a server's bytes apart and passes on what its client is owed.
    pub(super) fn feed_server(&mut self, id: ServerId, input: &[u8]) {
        let (mut run, mut pos) = (0, 0);
        let mut events = Events::default();
        // Used only where replies that nobody gets stand between others.
        let mut kept = Vec::new();
        // How much of it comes before the last words.
        let mut heard = None;
        let kept_back;
        let client = {
            let Some(entry) = self.servers.get_mut(id) else { return };
            kept_back = entry.server.undecided;
            // Only what was sent for the client itself is passed on.
            let client = match entry.server.user {
                User::Client(client) => Some(client),
                User::Preparing(_) | User::Asking(_) | User::Nobody | User::Cleaning(_) => None,
            };
            let needs = loop {
                if entry.conn.skip > 0 {
                    let len = (input.len() - pos).min(entry.conn.skip as usize);
                    entry.conn.skip -= u32::try_from(len).expect("at most skip, which is 32 bits");
                    pos += len;
                    if entry.conn.rest == Rest::Drop {
                        run = pos;
                    }
                    if entry.conn.skip > 0 {
                        break 0;
                    }
                }
                while let Some(answer) = entry.server.ledger.take_local() {
                    kept.extend_from_slice(&input[run..pos]);
                    run = pos;
                    let session = client.and_then(|client| self.clients.get_mut(client));
                    let session = session.map(|client| &mut client.session);
                    take_effect(entry, session, &mut self.statements, answer, &mut kept);
                }
                let front = &input[pos..];
                let header = match look(front) {
                    Ok(Some(header)) => header,
                    Ok(None) => break HEADER_LEN,
                    Err(_) => {
                        events.broken = true;
                        break 0;
                    }
                };
                let available = front.len().min(header.frame_len());
                if entry.server.undecided && client.is_some() && decides(header.tag) {
                    entry.server.undecided = false;
                }
                if let Some(client) = client
                    && passes(&mut entry.server, &mut self.clients, client, header.tag)
                {
                    let rest = header.frame_len() - available;
                    entry.conn.skip = u32::try_from(rest).expect("a body's length is 32 bits");
                    entry.conn.rest = Rest::Forward;
                    pos += available;
                    continue;
                }
                let wanted = bytes_wanted(header, &entry.server);
                if front.len() < wanted {
                    break wanted;
                }
                let body = &front[HEADER_LEN..available];
                let counters = &mut self.pools[entry.pool.0 as usize].counters;
                let deliver = Self::settle(
                    entry,
                    &mut self.clients,
                    &mut self.statements,
                    &mut Meter { counters, now_us: self.now_us },
                    header,
                    body,
                    &mut events,
                );
                let Some(deliver) = deliver else {
                    events.broken = true;
                    break 0;
                };
                let mut deliver = deliver;
                if header.tag == tag::NOTIFICATION_RESPONSE
                    && let Some(client) = client.and_then(|client| self.clients.get(client))
                {
                    deliver &= is_told_by_its_server(&client.session, body);
                }
                if header.tag == tag::NOTIFICATION_RESPONSE
                    && deliver
                    && let Some(client) = client.and_then(|client| self.clients.get(client))
                    && Some(notifier(body)) == entry.server.cancel_target.as_ref().map(|t| t.pid)
                {
                    // The session's own: it knows itself by the process id that pgweir gave it.
                    kept.extend_from_slice(&input[run..pos + HEADER_LEN]);
                    kept.extend_from_slice(&client.session.registration.pid().to_be_bytes());
                    run = pos + HEADER_LEN + 4;
                }
                if events.run_again {
                    // Nothing of what it has answered is told.
                    kept.clear();
                    run = pos;
                }
                let refused = events.refused.take().filter(|_| deliver);
                let renamed = match (header.tag, client.and_then(|id| self.clients.get(id))) {
                    _ if refused.is_some() => refused.map(|report| report.to_bytes().to_vec()),
                    (tag::ERROR_RESPONSE, Some(client)) if deliver => {
                        let error = ErrorFields::read(body);
                        let failed = std::mem::take(&mut events.failed);
                        match words_for(entry, &client.spec, self.now_us, &error, failed) {
                            Some((struck, report)) => {
                                if let Some(struck) = struck {
                                    let counters = &mut self.pools[entry.pool.0 as usize].counters;
                                    let limit = struck.exceeded.limit;
                                    counters.timeouts.count(1 << limit as u32);
                                    self.struck_lately.record(&client.spec, self.now_us, struck);
                                }
                                let bytes = report.to_bytes().to_vec();
                                if closes_client(&client.spec) {
                                    events.last_words.get_or_insert(report);
                                }
                                Some(bytes)
                            }
                            None => in_the_clients_words(
                                &client.session,
                                &self.statements,
                                header,
                                body,
                            ),
                        }
                    }
                    _ => None,
                };
                if let Some(warning) = events.refused_limit.take()
                    && deliver
                {
                    kept.extend_from_slice(&input[run..pos]);
                    warning.write(&mut kept);
                    run = pos;
                }
                if std::mem::take(&mut events.parse_due) && deliver {
                    kept.extend_from_slice(&input[run..pos]);
                    build::empty(&mut kept, tag::PARSE_COMPLETE);
                    run = pos;
                }
                let rest = header.frame_len() - available;
                entry.conn.skip = u32::try_from(rest).expect("a body's length is 32 bits");
                if deliver && client.is_some() && renamed.is_none() {
                    entry.conn.rest = Rest::Forward;
                } else if let Some(error) = renamed {
                    kept.extend_from_slice(&input[run..pos]);
                    if events.last_words.is_some() {
                        heard.get_or_insert(kept.len());
                    }
                    kept.extend_from_slice(&error);
                    entry.conn.rest = Rest::Drop;
                    run = pos + available;
                } else {
                    entry.conn.rest = Rest::Drop;
                    if client.is_some() {
                        kept.extend_from_slice(&input[run..pos]);
                    }
                    run = pos + available;
                }
                pos += available;
            };
            if pos < input.len() && !events.broken {
                entry.conn.put_back(&input[pos..], needs);
            }
            client
        };
        // Before the client can tell anybody.
        if std::mem::take(&mut events.redefined) {
            self.redefined(id);
        }
        if let Some(client) = client {
            if let Some(heard) = heard {
                kept.truncate(heard);
                run = pos;
            }
            if events.ready {
                self.mark(client, events.set_locally, events.idle);
            }
            if kept_back && self.has_kept_back(client, id, events.run_again) {
                kept.extend_from_slice(&input[run..pos]);
                run = pos;
                self.keep_back(client, id, &mut kept, events.run_again);
            }
            self.count_sent(client, kept.len() + pos - run);
            if kept.is_empty() {
                self.send_to_client(client, &input[run..pos]);
            } else {
                kept.extend_from_slice(&input[run..pos]);
                self.send_to_client(client, &kept);
            }
        }
        self.after_replies(id, events);
    }

    /// Settles one reply. Whether the client gets it; `None` when it is not allowed here.
    fn settle(
        entry: &mut super::ServerConn<D::Socket>,
        clients: &mut Arena<ClientId, Client<D::Socket>>,
        statements: &mut Statements,
        meter: &mut Meter<'_>,
        header: Header,
        body: &[u8],
        events: &mut Events,
    ) -> Option<bool> {
        let server = &mut entry.server;
        let status = match header.tag {
            tag::READY_FOR_QUERY => TransactionStatus::from_byte(*body.first()?),
            _ => None,
        };
        if header.tag == tag::ERROR_RESPONSE && ErrorFields::read(body).is_fatal() {
            // It says goodbye; the client hears of it in its own session's terms.
            server.farewell = Some(Report::from_server(body));
            return Some(false);
        }
        if header.tag == tag::ERROR_RESPONSE {
            events.refused = server.refusal(body).cloned();
            if entry.clock.is_limited() && ErrorFields::read(body).sqlstate == b"57014" {
                let asked = server.asked.as_deref();
                events.failed = Failed {
                    fingerprint: asked::running(&server.ledger, asked, statements),
                    maintenance: server.ledger.runs_maintenance(),
                };
            }
        }
        let mut changes_skipped = 0;
        let mut own_failed = header.tag == tag::ERROR_RESPONSE && server.ledger.front_is_inserted();
        let mut parse_due = None;
        let prepared = &mut server.prepared;
        let dropped = |sent: Sent, deliver: Deliver| {
            match sent {
                Sent::Parse(Which::Shared(id) | Which::Repeated(id)) => {
                    prepared.not_parsed(statements, id);
                }
                Sent::Local(Answer::Repeated(id)) => parse_due = Some(id),
                Sent::Close(Which::Shared(id)) => prepared.close_skipped(statements, id),
                _ => {}
            }
            if let Some(statement) = sent.held_statement() {
                statements.release(statement);
            }
            changes_skipped += usize::from(changes_a_name(sent, deliver));
            own_failed |= deliver != Deliver::Client || sent == Sent::Local(Answer::Renamed);
        };
        let first = server.ledger.is_at_first_of_only_unit();
        let only_asked = server.ledger.is_only_asked() && server.status == TransactionStatus::Idle;
        let does = server.ledger.front_does();
        let unit_failed = server.ledger.front_failed();
        let receipt = server.ledger.received(header.tag, status, dropped).ok()?;
        let mut for_client = match receipt.deliver {
            Deliver::Client => true,
            Deliver::OnError | Deliver::Swallow => false,
        };
        let mut session = match server.user {
            User::Client(client) => clients.get_mut(client).map(|client| &mut client.session),
            User::Preparing(_) | User::Asking(_) | User::Nobody | User::Cleaning(_) => None,
        };
        if header.tag == tag::COMMAND_COMPLETE
            && let Some(found) = &mut server.code_found
        {
            *found |= body == b"SELECT 1\0";
        }
        if own_failed {
            let own = &mut server.prepared.own;
            match server.user {
                // Each unit of an exchange of pgweir's own fails alone.
                User::Preparing(_) => own.failed_in(server.ledger.current_unit()),
                User::Client(_) | User::Asking(_) | User::Nobody | User::Cleaning(_) => {
                    own.failed();
                }
            }
        }
        if let Some(number) = does
            && matches!(header.tag, tag::COMMAND_COMPLETE | tag::PORTAL_SUSPENDED)
            && let Some(session) = session.as_mut()
        {
            if number < OF_NAMES
                && let Some(changes) = &mut session.changes
            {
                let in_transaction = server.status == TransactionStatus::InTransaction;
                let set = changes.succeeded(number, body, in_transaction);
                events.refused_limit = set.and_then(|(limit, asked)| {
                    let (holds, may) = session.belt.refuses(limit, asked)?;
                    Some(errors::limit_stays(limit, holds, may))
                });
            }
            if let Some(names) = &mut session.names {
                let own = &mut server.prepared.own;
                let reads = (session.params.dialect(), server.local);
                names.succeeded(statements, own, number, reads);
            }
        }
        if status.is_some() {
            if !server.prepared.own.is_empty() {
                server.prepared.own.answered(server.ledger.units_done());
            }
            if let Some(names) = session.as_mut().and_then(|s| s.names.as_deref_mut()) {
                names.ready(server.ledger.units_done());
            }
        }
        if let Some(status) = status
            && let Some(changes) = session.as_mut().and_then(|s| s.changes.as_deref_mut())
        {
            changes.ready(server.ledger.units_done(), status, unit_failed);
            events.parameters = true;
        }
        if changes_skipped > 0
            && let Some(names) = session.as_mut().and_then(|session| session.names.as_deref_mut())
        {
            names.undo(statements, changes_skipped);
        }
        if header.tag == tag::DATA_ROW && server.is_asked() {
            server.left = pins::left(body);
        }
        let mut session = session.filter(|_| receipt.deliver != Deliver::Swallow);
        match receipt.meaning {
            Meaning::Plain => {}
            // A held message ends the connection now, as it would without pgweir.
            Meaning::CopyIn => {
                events.resume = true;
                events.kept_from_copy = server.ledger.kept_from_copy();
            }
            Meaning::Asynchronous => {
                if header.tag == tag::PARAMETER_STATUS {
                    let (name, value) = parameter_status(body)?;
                    server.status_reported(name, value);
                }
                if let Some(strike) = &mut server.strike
                    && header.tag == tag::NOTICE_RESPONSE
                    && is_of_a_cut_wait(body)
                {
                    strike.unconfirmed = true;
                }
            }
            Meaning::Parsed(Which::Own) | Meaning::Closed(Which::Own | Which::Repeated(_)) => {}
            Meaning::Parsed(Which::Repeated(statement)) => {
                server.prepared.confirmed(statement);
                if let Some(session) = session {
                    statements.assign(&mut session.unnamed, Some(statement));
                }
            }
            Meaning::Parsed(Which::Unnamed(statement)) => {
                if server.local {
                    // Whoever meets it later must not take it for its own.
                    let local = statements.intern(b"", b"local", || TextEffects::NOTHING);
                    statements.assign(&mut server.unnamed, Some(local));
                    statements.release(local);
                } else {
                    statements.assign(&mut server.unnamed, statement);
                }
                if let Some(session) = session {
                    statements.assign(&mut session.unnamed, statement);
                }
                if let Some(statement) = statement {
                    // The reference that the ledger held.
                    statements.release(statement);
                }
            }
            Meaning::Parsed(Which::Shared(statement)) => {
                server.prepared.confirmed(statement);
                if receipt.deliver == Deliver::Client
                    && let Some(names) = session.and_then(|session| session.names.as_deref_mut())
                {
                    names.answered(statements);
                }
            }
            Meaning::Closed(Which::Unnamed(_)) => {
                statements.assign(&mut server.unnamed, None);
                if let Some(session) = session {
                    statements.assign(&mut session.unnamed, None);
                }
            }
            // The reference that the ledger held.
            Meaning::Closed(Which::Shared(statement)) => statements.release(statement),
            Meaning::ParameterTypes(statement) => {
                let shadowed =
                    session.as_ref().is_some_and(|session| session.pins.has(Pins::TEMPORARY));
                if body.len() == header.body_len as usize && !shadowed {
                    statements.described(statement, body);
                }
                if let Some(session) = session {
                    for_client &= !std::mem::take(&mut session.types_told);
                }
            }
            Meaning::Rows(statement) => {
                let rows = server.prepared.rows(statement).unwrap_or_else(|| match header.tag {
                    tag::ROW_DESCRIPTION => RowFormat::read(body),
                    _ => RowFormat::NONE,
                });
                server.prepared.told_rows(statement, rows);
                events.resume = true;
                if for_client
                    && let Some(names) = session.and_then(|session| session.names.as_deref_mut())
                {
                    names.told_rows(statement, rows);
                }
            }
            Meaning::Ready(status) => {
                guarded_is_ready(session.as_deref_mut(), server.status, status, unit_failed);
                let took_us = meter.answered(&mut entry.clock, &server.ledger, status);
                for_client &= !server.holds_ready_back(status);
                server.has_taken(took_us, status);
                events.set_locally |= server.local;
                events.idle |= status == TransactionStatus::Idle;
                events.redefined |= server.is_ready(status);
                events.ready = true;
                if let Some(session) = session {
                    session.types_told = false;
                }
            }
            Meaning::QueryReady(status) => {
                guarded_is_ready(session.as_deref_mut(), server.status, status, unit_failed);
                let took_us = meter.answered(&mut entry.clock, &server.ledger, status);
                for_client &= !server.holds_ready_back(status);
                server.has_taken(took_us, status);
                events.set_locally |= server.local;
                events.idle |= status == TransactionStatus::Idle;
                events.redefined |= server.is_ready(status);
                events.ready = true;
                statements.assign(&mut server.unnamed, None);
                if let Some(session) = session {
                    statements.assign(&mut session.unnamed, None);
                }
            }
            Meaning::Error(failed) => {
                // A message that was held for an answer meets this one.
                events.resume = true;
                if let Some(Sent::Parse(Which::Shared(id))) = failed
                    && !in_failed_transaction(body)
                {
                    statements.parse_failed(id);
                }
                if let Some(Sent::Bind(Some(id))) = failed
                    && is_in_our_words(body)
                {
                    statements.spoil(id);
                }
                let refused = match parse_due {
                    // Whatever else is wrong with it, its own Parse tells.
                    Some(id) => is_about_the_statement(body).then_some((id, Refusal::Repeated)),
                    None => refused(failed, body),
                };
                if only_asked && let Some((id, refusal)) = refused {
                    match refusal {
                        Refusal::Changed | Refusal::Meaningless | Refusal::Repeated => {
                            server.prepared.spoilt(id);
                        }
                        // Something that no text showed has dropped it, and others perhaps.
                        Refusal::Missing => server.prepared.doubt(),
                    }
                    events.mend = true;
                    for_client = false;
                } else if let Some((id, refusal)) = refused {
                    match refusal {
                        Refusal::Changed => statements.spoil(id),
                        Refusal::Repeated => server.prepared.spoilt(id),
                        Refusal::Meaningless => {
                            // Whoever prepares the text again has it read anew.
                            statements.spoil(id);
                            server.prepared.spoilt(id);
                        }
                        // Something that no text showed has dropped it, and others perhaps.
                        Refusal::Missing => server.prepared.doubt(),
                    }
                    let mends = refusal != Refusal::Meaningless;
                    if mends && first && session.is_some() && !server.replay.is_empty() {
                        server.ledger.swallow_all();
                        events.again = Some((id, refusal));
                        for_client = false;
                        parse_due = None;
                    }
                }
                if server.undecided && receipt.deliver != Deliver::Swallow {
                    let again = events.again.is_none()
                        && session.as_ref().is_some_and(|session| session.may_ask_the_primary())
                        && is_for_the_primary(&ErrorFields::read(body));
                    if again {
                        server.ledger.swallow_all();
                        events.run_again = true;
                        for_client = false;
                        parse_due = None;
                    }
                    server.undecided = again || events.again.is_some();
                }
                if let (Some(id), Some(session)) = (parse_due, session.as_mut()) {
                    // Its Parse was in order.
                    statements.assign(&mut session.unnamed, Some(id));
                    events.parse_due = true;
                }
                let unnamed_is_gone = matches!(failed, Some(Sent::Parse(Which::Unnamed(_))));
                if unnamed_is_gone {
                    // The server threw the one before away first.
                    statements.assign(&mut server.unnamed, None);
                }
                let unnamed_is_gone =
                    unnamed_is_gone || matches!(failed, Some(Sent::Parse(Which::Repeated(_))));
                if unnamed_is_gone && let Some(session) = session {
                    statements.assign(&mut session.unnamed, None);
                }
                if for_client {
                    let ours = events.refused.as_ref().map(|report| &report.sqlstate[..]);
                    let sqlstate = ours.unwrap_or(ErrorFields::read(body).sqlstate);
                    meter.counters.errors.count(sqlstate);
                } else {
                    if let User::Preparing(client) = server.user
                        && let Some(client) = clients.get_mut(client)
                        && let Some(standing) = &mut client.session.standing
                        && standing.is_under_way()
                    {
                        standing.failed(server.ledger.current_unit(), whole_error(header, body));
                    }
                    events.error = Some(Report::from_server(body));
                }
            }
        }
        Some(for_client)
    }

    /// DDL has been committed, or may have been.
    fn redefined(&mut self, id: ServerId) {
        self.repeats.redefined_if(true);
        let Some(entry) = self.servers.get(id) else { return };
        let pool = &self.pools[entry.pool.0 as usize];
        if entry.server.look_at_code {
            pool.spec.code().changed();
        }
        if let Some(shelf) = &pool.shelf {
            shelf.changed(entry.server.look_at_code);
        }
    }

    /// What follows from the replies of one chunk.
    fn after_replies(&mut self, id: ServerId, events: Events) {
        if events.broken {
            tracing::warn!("a server sent what the protocol does not allow; closing it");
            if let Some(entry) = self.servers.get_mut(id) {
                entry.server.farewell = Some(errors::server_protocol_violation());
            }
            return self.server_lost(id, None);
        }
        if let Some(answer) = events.kept_from_copy {
            return self.message_in_copy(id, answer);
        }
        if let Some(words) = events.last_words {
            // What the client has on the server is cleared away as for one that has gone.
            if let Some(client) = self.servers.get(id).and_then(|entry| entry.server.client()) {
                self.end_client(client, Some(words));
            }
        }
        if events.parameters {
            self.parameters_settled(id);
        }
        if events.ready {
            self.tell_at_ready(id);
            self.watch_time(id);
            self.watch_held_locks(id);
            if self.servers.get(id).is_some_and(|entry| entry.server.strike.is_some()) {
                self.strike_goes_on(id);
            }
        }
        let Some(entry) = self.servers.get_mut(id) else { return };
        if events.error.is_some() {
            entry.server.doomed |= entry.server.discarding;
            entry.server.own_error = events.error;
        }
        if events.ready && entry.server.ledger.is_settled() {
            entry.server.discarding = false;
        }
        if let Some((statement, refusal)) = events.again {
            self.send_again(id, statement, refusal);
        }
        if events.run_again {
            self.run_again(id);
        }
        let Some(entry) = self.servers.get_mut(id) else { return };
        if events.mend {
            let mut sync = Vec::new();
            build::sync(&mut sync);
            return self.send_own(id, Sent::Sync(Ending::No), &sync);
        }
        if let User::Cleaning(_) = entry.server.user {
            if entry.server.ledger.is_settled() {
                return self.server_settled(id);
            }
            return self.clean(id);
        }
        if events.resume
            && let Some(id) = entry.server.client()
            && self.clients.get(id).is_some_and(|client| client.session.held)
        {
            self.todo.push_back(Todo::Client(id));
        }
        let Some(entry) = self.servers.get_mut(id) else { return };
        if !events.ready {
            // The rest of a notice may have been what a free server waited for.
            let client = entry.server.client();
            if entry.server.ledger.is_settled() && client.is_some() {
                self.server_settled(id);
            } else if let Some(client) = client {
                // A COPY may have begun whose client is leaving.
                self.leave_when_settled(client);
            }
            return;
        }
        if entry.server.ledger.is_settled() {
            self.server_settled(id);
        }
        let Some(id) = self.servers.get(id).and_then(|entry| entry.server.client()) else { return };
        let Some(client) = self.clients.get(id) else { return };
        if client.session.held {
            self.todo.push_back(Todo::Client(id));
        } else if client.session.leaving != Leaving::No {
            self.leave_when_settled(id);
        }
    }

    /// A client sent a Parse or Close in a COPY that its server has not been shown: Postgres ends the
    /// session over it, and so it is here.
    fn message_in_copy(&mut self, server: ServerId, answer: Answer) {
        let message = match answer {
            Answer::ParseComplete => frontend::tag::PARSE,
            Answer::CloseComplete => frontend::tag::CLOSE,
            // Their Query or Execute is no COPY.
            Answer::Repeated(_)
            | Answer::Renamed
            | Answer::AllDeallocated
            | Answer::AllDiscarded => return,
        };
        let Some(client) = self.servers.get(server).and_then(|entry| entry.server.client()) else {
            return;
        };
        self.end_client(client, Some(errors::message_in_copy(message)));
    }

    /// Puts a batch back in front of what its client sent later: with the statement's new meaning,
    /// or prepared once more, it runs as soon as the server is ready.
    fn send_again(&mut self, server: ServerId, statement: StatementId, refusal: Refusal) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        let mut bytes = std::mem::take(&mut entry.server.replay);
        let Some(client) = entry.server.client().and_then(|id| self.clients.get_mut(id)) else {
            return;
        };
        let session = &mut client.session;
        if refusal == Refusal::Changed
            && let Some(names) = &mut session.names
            && let Some(new) = self.statements.intern_again(statement)
        {
            names.replace(&mut self.statements, statement, new);
            self.statements.release(new);
        }
        session.held = true;
        session.as_sent_next = refusal == Refusal::Repeated;
        // A Describe that fails has sent the parameters' types before.
        session.types_told = bytes.first() == Some(&frontend::tag::DESCRIBE);
        bytes.extend_from_slice(&std::mem::take(&mut client.conn.stash));
        client.conn.put_back(&bytes, 0);
    }

    /// Writes to a client; what it has no room for waits, and its server with it.
    pub(super) fn send_to_client(&mut self, id: ClientId, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        let written = client
            .conn
            .write(&mut self.driver, &mut self.sealed, bytes)
            .and_then(|_| client.conn.settle_interest(&mut self.driver, Token::Client(id)));
        if let Err(error) = written {
            self.client_unreachable(id, &error);
        }
    }
}

/// Settles a reply that its client gets as it is, and that means nothing else. `false`: `settle`
/// has to look at it.
#[inline]
fn passes<S>(
    server: &mut Server,
    clients: &mut Arena<ClientId, Client<S>>,
    client: ClientId,
    reply: u8,
) -> bool {
    let prepared = &server.prepared;
    server.ledger.passes(reply, |statement| {
        let Some(rows) = prepared.rows(statement) else { return false };
        let names = clients.get_mut(client).and_then(|client| client.session.names.as_deref_mut());
        names.is_none_or(|names| !names.told_rows(statement, rows))
    })
}

/// What a session has sent has been answered.
#[inline]
fn guarded_is_ready(
    session: Option<&mut Session>,
    before: TransactionStatus,
    status: TransactionStatus,
    failed: bool,
) {
    if let Some(session) = session
        && let Some(guarded) = &mut session.guarded
    {
        guarded.ready(before, status, failed);
        if guarded.is_blank() {
            session.guarded = None;
        }
    }
}

/// Whether a client's message changes what its names mean.
fn changes_a_name(sent: Sent, deliver: Deliver) -> bool {
    match sent {
        Sent::Parse(Which::Shared(_)) => deliver == Deliver::Client,
        Sent::Local(Answer::Repeated(_)) => false,
        Sent::Local(_) => true,
        _ => false,
    }
}

/// Writes an answer of our own that stands between a server's, and lets happen what it stands for.
pub(super) fn take_effect<S>(
    entry: &mut super::ServerConn<S>,
    session: Option<&mut Session>,
    statements: &mut Statements,
    answer: Answer,
    out: &mut Vec<u8>,
) {
    match answer {
        Answer::ParseComplete => build::empty(out, tag::PARSE_COMPLETE),
        Answer::CloseComplete => build::empty(out, tag::CLOSE_COMPLETE),
        Answer::Repeated(statement) => {
            build::empty(out, tag::PARSE_COMPLETE);
            build::empty(out, tag::BIND_COMPLETE);
            if let Some(session) = session {
                statements.assign(&mut session.unnamed, Some(statement));
            }
            return;
        }
        Answer::Renamed => {}
        Answer::AllDeallocated | Answer::AllDiscarded => {
            entry.server.prepared.dropped_all(statements);
        }
    }
    if answer == Answer::AllDiscarded {
        // Parameters that differ now are the server's own.
        entry.server.statuses_before = None;
    }
    let Some(session) = session else { return };
    if answer == Answer::AllDiscarded {
        session.discarding = None;
        if session.base.searches_temporary() {
            session.pins = session.pins.and(Pins::TEMPORARY);
        }
        session.pinned = session.pinned.take().filter(|_| !session.pins.is_none());
        if let Some(pinned) = &mut session.pinned {
            pinned.discarded(session.pins);
        }
        session.find_dialect();
    }
    if let Some(names) = &mut session.names {
        names.answered(statements);
    }
}

/// An ErrorResponse as it came, or of one that is not all here what a client reads of it.
fn whole_error(header: Header, body: &[u8]) -> Vec<u8> {
    let mut error = Vec::new();
    if body.len() == header.body_len as usize {
        error.push(header.tag);
        build::sized(&mut error, |out| out.extend_from_slice(body));
    } else {
        Report::from_server(body).write(&mut error);
    }
    error
}

fn look(front: &[u8]) -> Result<Option<Header>, frame::FrameError> {
    frame::header(front, LONGEST_REPLY)
}

/// Whether a session hears a notification from its server: one that keeps it does, unless its pool
/// tells it of the channel. Others get a server on which only a LISTEN that is followed was run.
fn is_told_by_its_server(session: &Session, body: &[u8]) -> bool {
    let channel = frame::split_i32(body).and_then(|(_, rest)| frame::split_cstr(rest));
    !session.pins.is_none() && channel.is_none_or(|(channel, _)| !session.is_told_of(channel))
}

/// The process that a NotificationResponse comes from.
fn notifier(body: &[u8]) -> i32 {
    frame::split_i32(body).map_or(0, |(pid, _)| pid)
}

/// Whether the next reply describes rows whose format is not known yet.
fn describes_unknown_rows(server: &Server) -> bool {
    match server.ledger.front() {
        Some(Sent::DescribeStatement(Some(id)) | Sent::DescribePortal(Some(id))) => {
            server.prepared.rows(id).is_none()
        }
        _ => false,
    }
}

/// Whether a notice says that a wait for a standby has been cancelled. Its words are in the language of the server, the
/// routine is not.
fn is_of_a_cut_wait(notice: &[u8]) -> bool {
    error_fields(notice).any(|field| field == (b'R', b"SyncRepWaitForLSN"))
}

/// How much of a message a decision reads.
fn bytes_wanted(header: Header, server: &Server) -> usize {
    let body = match header.tag {
        tag::ROW_DESCRIPTION if describes_unknown_rows(server) => LONGEST_DESCRIPTION,
        tag::READY_FOR_QUERY => 1,
        tag::COMMAND_COMPLETE
            if server.ledger.front_does().is_some() || server.code_found.is_some() =>
        {
            LONGEST_TAG
        }
        tag::NOTIFICATION_RESPONSE => LONGEST_CHANNEL,
        tag::DATA_ROW if server.is_asked() => pins::LONGEST_ANSWER,
        tag::ERROR_RESPONSE => ERROR_FRONT,
        tag::NOTICE_RESPONSE if server.strike.is_some() => ERROR_FRONT,
        tag::PARAMETER_STATUS => LONGEST_PARAMETER_STATUS,
        tag::PARAMETER_DESCRIPTION => LONGEST_DESCRIPTION,
        _ => 0,
    };
    HEADER_LEN + body.min(header.body_len as usize)
}
