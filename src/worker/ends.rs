//! Ends: clients that leave or vanish, servers that go away.

use std::io;

use super::driver::{Driver, Token};
use super::{CLOSING_LIMIT_MS, Engine, HALF_CLOSED_LIMIT_MS, Todo};
use crate::client::{Leaving, Lost, State};
use crate::deadline::Deadline;
use crate::errors;
use crate::ids::{ClientId, ServerId};
use crate::server::{Cancel, Server, User};
use crate::session::Ending;
use crate::wire::{Report, Severity, TransactionStatus, build};

use super::conn::{Filled, Rest, Scratch};

/// How often a request that found a dead server is put back into the queue.
const RETRIES: u8 = 3;

impl<D: Driver> Engine<D> {
    /// A client's socket has room again. Whether the client is still there.
    pub(super) fn flush_client(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let flushed = client.conn.flush(&mut self.driver).and_then(|flushed| {
            client.conn.settle_interest(&mut self.driver, Token::Client(id))?;
            Ok(flushed)
        });
        match flushed {
            Ok(false) => true,
            Ok(true) if matches!(client.session.state, State::Closing) => {
                self.remove_client(id);
                false
            }
            Ok(true) => {
                if let Some(server) = client.session.server() {
                    self.todo.push_back(Todo::Server(server));
                }
                self.todo.push_back(Todo::Client(id));
                self.tell(id);
                true
            }
            Err(error) => {
                self.client_unreachable(id, &error);
                false
            }
        }
    }

    /// A client closed its connection, or the connection broke, without Terminate.
    pub(super) fn client_vanished(&mut self, id: ClientId, error: Option<&io::Error>) {
        let Some(client) = self.clients.get(id) else { return };
        if client.session.leaving != Leaving::No {
            return;
        }
        match error {
            Some(error) => {
                tracing::debug!(?id, %error, "client connection broke");
                self.abandon(id, true);
            }
            None => {
                tracing::debug!(?id, "client closed its connection without Terminate");
                self.half_closed(id);
            }
        }
    }

    /// The end of a client's stream: it may still read, as Postgres would let it, so what it sent
    /// before gets a moment to be answered. Whether anyone is there shows only by writing.
    fn half_closed(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        match client.session.state {
            State::Attached(_) => {
                client.session.leaving = Leaving::AfterReplies(None);
                self.count_down(id);
                self.leave_when_settled(id);
            }
            State::Idle | State::Begun | State::Lost(_) => self.end_client(id, None),
            // Its turn for a server may be about to come.
            State::Waiting if client.session.gone_at == Deadline::NEVER => self.count_down(id),
            State::Waiting => {}
            State::Closing => self.abandon(id, true),
        }
    }

    /// Takes a client for gone in a while, unless bytes move.
    pub(super) fn count_down(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let deadline = Deadline::after(self.now, Some(HALF_CLOSED_LIMIT_MS));
        client.session.gone_at = deadline;
        client.conn.taken = false;
        self.half_closed.push_back((id, deadline));
        self.check_at(deadline);
    }

    /// Clients that closed their end and whose statements still run are taken for gone, unless they
    /// read what they get.
    pub(super) fn check_half_closed(&mut self) {
        while let Some(&(id, deadline)) = self.half_closed.front() {
            let client = self.clients.get(id).filter(|client| {
                client.session.gone_at == deadline
                    && matches!(client.session.state, State::Attached(_) | State::Waiting)
            });
            if client.is_some() && !deadline.reached(self.now) {
                self.check_at(deadline);
                return;
            }
            self.half_closed.pop_front();
            match client.map(|client| client.conn.taken) {
                None => {}
                Some(true) => self.count_down(id),
                Some(false) => self.abandon(id, true),
            }
        }
    }

    /// Nothing can be written to a client any more.
    pub(super) fn client_unreachable(&mut self, id: ClientId, error: &io::Error) {
        let Some(client) = self.clients.get(id) else { return };
        tracing::debug!(?id, %error, "cannot write to a client");
        // After Terminate what it sent before still runs to its end, as it would without pgweir.
        let said_goodbye =
            client.session.leaving != Leaving::No && client.session.gone_at == Deadline::NEVER;
        self.abandon(id, !said_goodbye);
    }

    /// Drops a client; its server, if it has one, is made clean.
    fn abandon(&mut self, id: ClientId, cancel: bool) {
        let Some(client) = self.clients.get(id) else { return };
        let server = client.session.server();
        let mid_message = client.conn.skip > 0 && client.conn.rest == Rest::Forward;
        self.remove_client(id);
        if let Some(server) = server {
            self.disown(server, mid_message, cancel);
        }
    }

    /// A server's client is gone: what it still runs for it is cancelled, if that is wanted, and
    /// the server made clean or closed. `mid_message`: the rest of a message never comes.
    fn disown(&mut self, server: ServerId, mid_message: bool, cancel: bool) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        let Server { user, ledger, half_sent, unwanted, doomed, .. } = &mut entry.server;
        *half_sent = mid_message;
        if let User::Preparing(_) = user {
            // It has the client's parameters, or has not got so far: nobody will have looked.
            *doomed = true;
        } else if let User::Asking(_) = user {
            // It answers a question of pgweir's, and nobody's statement is to be cancelled.
        } else if cancel {
            *unwanted = ledger.current_unit()..ledger.last_unit(mid_message) + 1;
        }
        // It may have waited for the client to read; no edge comes for what it has sent since.
        self.todo.push_back(Todo::Server(server));
        self.start_cleaning(server);
    }

    /// A client that said Terminate goes as soon as what it sent before has been answered.
    pub(super) fn leave_when_settled(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let report = match &client.session.leaving {
            Leaving::No => return,
            Leaving::AfterReplies(report) => report.clone(),
        };
        if let State::Attached(server) = client.session.state
            && let Some(entry) = self.servers.get(server)
        {
            // Replies of a batch without Sync never come, and a COPY would wait for its data.
            let ledger = &entry.server.ledger;
            let hopeless = ledger.copy_in() && !ledger.is_doubtful();
            // Where replies cannot be told apart, those that are owed may be of the client's units.
            let in_doubt = ledger.is_ending() || (ledger.is_doubtful() && ledger.owes_replies());
            let expected = ledger.client_units().next().is_some() || in_doubt;
            let wait = expected && !hopeless;
            if wait || matches!(entry.server.user, User::Preparing(_)) {
                return;
            }
        }
        self.end_client(id, report.map(|report| *report));
    }

    /// Sends a client its last words and closes it; its server is made clean.
    pub(super) fn end_client(&mut self, id: ClientId, report: Option<Report>) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if matches!(client.session.state, State::Closing) {
            return;
        }
        let mid_message = client.conn.skip > 0 && client.conn.rest == Rest::Forward;
        self.stop_listening(id);
        let Some(client) = self.clients.get(id) else { return };
        if matches!(client.session.state, State::Waiting) {
            self.leave_queue(id);
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        let server = client.session.server();
        let before = std::mem::replace(&mut client.session.state, State::Closing);
        if let Some(server) = server {
            // Of one whose transaction was lost nothing runs but the ROLLBACK.
            let runs = matches!(before, State::Attached(_));
            self.disown(server, mid_message, runs);
        }
        if let Some(report) = report {
            if let Some(client) = self.clients.get(id) {
                self.pools[client.pool.0 as usize].counters.errors.count(&report.sqlstate);
            }
            let mut bytes = Vec::new();
            report.with_severity(Severity::Fatal).write(&mut bytes);
            self.send_to_client(id, &bytes);
            self.drain_input(id);
        }
        match self.clients.get(id) {
            Some(client) if client.conn.has_unsent() => {
                let deadline = Deadline::after(self.now, Some(CLOSING_LIMIT_MS));
                self.closing.push_back((id, deadline));
                self.check_at(deadline);
            }
            Some(_) => self.remove_client(id),
            None => {}
        }
    }

    /// Reads away what a client has sent: closing a socket with unread bytes resets the
    /// connection, and the reset can overtake the last words.
    fn drain_input(&mut self, id: ClientId) {
        for _ in 0..16 {
            let Some(client) = self.clients.get_mut(id) else { return };
            client.conn.stash = Vec::new();
            let mut scratch = self.spare.pop().unwrap_or_else(Scratch::with_buffers);
            let filled = client.conn.fill(&mut self.driver, &mut scratch);
            let more = matches!(filled, Filled::Bytes(_)) && client.conn.readable;
            self.spare.push(scratch);
            if !more {
                return;
            }
        }
    }

    /// Takes a client out of its pool's queue.
    pub(super) fn leave_queue(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let pool = client.at;
        if matches!(client.session.state, State::Waiting) {
            client.session.rest();
        }
        let clients = &self.clients;
        self.pools[pool.0 as usize].pool.waiter_left(|client| {
            clients.get(client).is_some_and(|c| matches!(c.session.state, State::Waiting))
        });
    }

    /// Forgets a client and closes its socket.
    pub(super) fn remove_client(&mut self, id: ClientId) {
        if self.clients.get(id).is_some_and(|c| matches!(c.session.state, State::Waiting)) {
            self.leave_queue(id);
        }
        self.stop_listening(id);
        let Some(mut client) = self.clients.remove(id) else { return };
        self.note_lost_ddl(&client.session, &client.spec, client.pool);
        self.statements.assign(&mut client.session.unnamed, None);
        if let Some(names) = &mut client.session.names {
            names.clear(&mut self.statements);
        }
        client.conn.close(&mut self.driver);
        drop(client.occupancy);
        let entry = &mut self.pools[client.pool.0 as usize];
        entry.clients -= 1;
        if entry.clients == 0 {
            entry.unused_since = self.now;
            self.forget_if_unused(client.pool);
        }
        self.stop_if_drained();
    }

    /// The first bytes for a server were not taken: it was dead when it was lent out. Nothing has
    /// been run, so the request goes to another. Whether that was possible.
    pub(super) fn first_send_failed(
        &mut self,
        id: ClientId,
        server: ServerId,
        request: &[u8],
    ) -> bool {
        if self.servers.get(server).is_none_or(|entry| entry.conn.taken) {
            return false;
        }
        let Some(client) = self.clients.get_mut(id) else { return false };
        if client.session.retries >= RETRIES {
            return false;
        }
        client.session.retries += 1;
        client.session.rest();
        client.session.changes = None;
        if let Some(names) = &mut client.session.names {
            names.undo_all(&mut self.statements);
        }
        client.conn.skip = 0;
        client.conn.stash = Vec::new();
        client.conn.put_back(request, 0);
        self.to_server.clear();
        self.drop_server(server);
        self.todo.push_back(Todo::Client(id));
        true
    }

    /// A server's connection has come to its end.
    pub(super) fn server_lost(&mut self, id: ServerId, error: Option<&io::Error>) {
        let at_rest = self.is_at_rest(id);
        if let Some(entry) = self.servers.get_mut(id)
            && (entry.server.strike.is_some() || entry.server.cancel != Cancel::None)
        {
            // What was to be cut short is not begun anew elsewhere.
            entry.server.undecided = false;
        }
        self.lost_to_a_limit(id);
        let Some(entry) = self.servers.get_mut(id) else { return };
        let farewell = entry.server.farewell.take();
        let reason = farewell.as_ref().map(|report| report.message.to_string());
        let spec = &self.pools[entry.pool.0 as usize].spec;
        let (database, role) = (&spec.database, &spec.role);
        let error = error.map(tracing::field::display);
        match entry.server.user {
            User::Nobody => {
                tracing::info!(%database, %role, reason, error, "idle server closed its connection");
                self.drop_server(id);
            }
            User::Cleaning(_) => self.drop_server(id),
            User::Preparing(client) if at_rest => {
                tracing::warn!(%database, %role, reason, error, "server closed its connection before it was used");
                self.drop_server(id);
                self.ask_again(client, farewell);
            }
            User::Client(client) | User::Preparing(client) | User::Asking(client) => {
                tracing::warn!(%database, %role, reason, error, "server closed its connection in use");
                self.client_lost_server(id, client, farewell);
            }
        }
    }

    /// Whether any other server would do for a server's client as well.
    pub(super) fn is_at_rest(&self, id: ServerId) -> bool {
        let Some(entry) = self.servers.get(id) else { return true };
        let client = entry.server.client().and_then(|client| self.clients.get(client));
        entry.server.status == TransactionStatus::Idle
            && client.is_none_or(|client| client.session.pins.is_none())
    }

    /// A request of which nothing has been sent looks for another server.
    pub(super) fn ask_again(&mut self, id: ClientId, farewell: Option<Report>) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.session.rest();
        client.session.standing = None;
        if client.session.retries >= RETRIES {
            return self.fail_request(id, farewell.unwrap_or_else(errors::server_lost));
        }
        client.session.retries += 1;
        if client.session.greeting {
            self.greet(id, b"");
        } else {
            self.todo.push_back(Todo::Client(id));
        }
    }

    /// The server of a client is gone: what is owed is answered with errors, and the session goes
    /// on where it can.
    fn client_lost_server(&mut self, server: ServerId, id: ClientId, farewell: Option<Report>) {
        if self.run_elsewhere(server, id) {
            return;
        }
        if let Some(routed) =
            self.clients.get_mut(id).and_then(|client| client.session.routed.as_mut())
        {
            routed.replies = Vec::new();
            routed.request.clear();
        }
        self.mark_unknown(id);
        let Some(entry) = self.servers.get(server) else { return };
        let ledger = &entry.server.ledger;
        let units: Vec<Ending> = ledger.client_units().collect();
        let front_failed = ledger.front_failed();
        let open_batch = ledger.batch_is_open() || ledger.is_skipping();
        let told_in_batch = ledger.is_skipping() || (units.is_empty() && front_failed);
        let in_transaction = entry.server.status != TransactionStatus::Idle;
        let half_reply = entry.conn.skip > 0 && entry.conn.rest == Rest::Forward;
        self.drop_server(server);
        let Some(client) = self.clients.get_mut(id) else { return };
        client.session.rest();
        client.session.held = false;
        client.session.changes = None;
        client.session.standing = None;
        if let Some(names) = &mut client.session.names {
            names.undo_all(&mut self.statements);
        }
        if half_reply {
            // The client waits for the rest of a message that nobody has.
            return self.remove_client(id);
        }
        if let Some(report) = &farewell
            && report.sqlstate == *b"08P01"
            && report.severity == Severity::Fatal
        {
            // Said by the server itself: it was the client's own message that the server could not
            // read any further than.
            return self.end_client(id, farewell);
        }
        if let Leaving::AfterReplies(report) = &mut client.session.leaving {
            let report = report.take();
            return self.end_client(id, report.map(|report| *report));
        }
        if !client.session.pins.is_none() {
            return self.end_client(id, Some(errors::session_lost(farewell)));
        }
        if client.conn.skip > 0 {
            client.conn.rest = Rest::Drop;
        }
        client.active_at = self.now;
        let lost = || {
            farewell
                .clone()
                .map_or_else(errors::server_lost, |report| report.with_severity(Severity::Error))
        };
        let mut bytes = Vec::new();
        let mut failed = in_transaction;
        for (n, &ending) in units.iter().enumerate() {
            let told = n == 0 && front_failed;
            match ending {
                Ending::Rollback if failed && !told && !open_batch => {
                    build::command_complete(&mut bytes, "ROLLBACK");
                }
                Ending::Commit if !told => errors::commit_unknown().write(&mut bytes),
                Ending::No | Ending::Rollback | Ending::Commit => {
                    if !told {
                        lost().write(&mut bytes);
                    }
                }
            }
            failed &= ending == Ending::No;
            let status = if failed { TransactionStatus::Failed } else { TransactionStatus::Idle };
            build::ready_for_query(&mut bytes, status);
        }
        if open_batch {
            if !told_in_batch {
                lost().write(&mut bytes);
            }
            client.session.skip_to_sync = true;
        }
        if failed {
            let told = !units.is_empty() || open_batch;
            let lost = if told {
                Lost::reported()
            } else {
                Lost::unreported(errors::transaction_lost(farewell))
            };
            client.session.state = State::Lost(Box::new(lost));
            if let Some(guarded) = &mut client.session.guarded {
                guarded.history.transaction_ended(false);
            }
        }
        self.pools[client.pool.0 as usize].counters.count_answers(&bytes);
        self.send_to_client(id, &bytes);
        self.todo.push_back(Todo::Client(id));
    }

    /// Closes a server with Terminate.
    pub(super) fn say_goodbye(&mut self, id: ServerId) {
        if self.servers.get(id).is_some_and(|entry| !entry.server.half_sent) {
            // It is being closed anyway; a server that cannot hear the goodbye is closed all the
            // same.
            let _ = self.send_to_server(id, &build::TERMINATE);
        }
        self.drop_server(id);
    }

    /// Gives a server up. Its slot is free when it is known to be gone at Postgres.
    pub(super) fn drop_server(&mut self, id: ServerId) {
        let Some(mut entry) = self.servers.remove(id) else { return };
        for statement in entry.server.ledger.held_statements() {
            self.statements.release(statement);
        }
        if let Some(target) = &entry.server.cancel_target {
            self.company.tenants.leave(target, &entry.server.tenant);
        }
        self.repeats.redefined_if(entry.server.redefines);
        let code = self.pools[entry.pool.0 as usize].spec.code();
        if entry.server.code_found.is_some() {
            code.found(true);
            code.changed();
        }
        if entry.server.defines_code {
            code.changed();
        }
        entry.server.prepared.clear(&mut self.statements);
        self.statements.assign(&mut entry.server.unnamed, None);
        self.pools[entry.pool.0 as usize].counters.servers_closed += 1;
        if entry.server.user == User::Nobody {
            self.pools[entry.pool.0 as usize].pool.remove_idle(id);
        }
        let at_rest = entry.server.ledger.is_settled();
        self.bury(id, entry.conn, entry.pool, (at_rest, entry.server.cancel_target));
    }
}
