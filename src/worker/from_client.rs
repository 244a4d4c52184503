//! From a client to a server: what comes in is looked at message by message and passed on in runs.

use super::conn::{Filled, Input, Rest, Scratch};
use super::driver::{Driver, Edge, Token};
use super::late::GRACE_MS;
use super::pins;
use super::statements::portal_hash;
use super::{BYTES_PER_TURN, Engine};
use crate::client::lost::After;
use crate::client::{Leaving, State};
use crate::deadline::Deadline;
use crate::errors;
use crate::ids::{ClientId, ServerId};
use crate::server::User;
use crate::server::ledger::{Deliver, Sent, Which};
use crate::session::changes;
use crate::session::facts::{self, TextEffects};
use crate::session::{Ending, Pins, Timing};
use crate::sql;
use crate::wire::frame::{self, HEADER_LEN, Header, LONGEST_REQUEST};
use crate::wire::frontend::{BindNames, Named, ParseView, query_text, tag};
use crate::wire::{TransactionStatus, build};

/// Postgres' `PQ_SMALL_MESSAGE_LIMIT`: messages of a few words, the length word included.
const SMALL_MESSAGE: u32 = 10_000;

/// Bytes of a Bind that are looked at for its names; longer names are looked at whole.
const BIND_FRONT: usize = 256;

/// What a look at the front of the input says.
enum Look {
    /// A message of which enough is there to decide.
    Message(Header),
    /// The beginning of a message; so many bytes are needed before it is worth a look.
    Partial(usize),
    /// Something that Postgres would not read any further than.
    Broken(Option<u8>),
}

/// What becomes of a message.
pub(super) enum Next {
    /// It is passed on as it is.
    Forward,
    /// It is passed on without its first bytes, which have been written anew.
    ForwardFrom(usize),
    /// Nobody gets it, or it has been written anew.
    Drop,
    /// It has been answered, with all that its request has behind it: so many bytes.
    Answered(usize),
    /// The input from here on waits: for a server, for replies, for room.
    Pause,
    /// The input from here on waits for more: so many bytes are worth another look.
    More(usize),
    /// The session is over; nothing more is read.
    End,
}

/// Whether the batch that a message begins may be sent again if it fails for a reason that another
/// Parse mends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replayable {
    /// No.
    No,
    /// If it asks for the format of its rows: its client knows another.
    IfDescribed,
    /// Yes: its client knows none.
    Yes,
}

/// The batch that may have to be sent again: only one that lies whole in the input and does nothing
/// but use statements.
#[derive(Clone, Copy)]
enum Replay {
    No,
    From { start: usize, fit: bool },
    Whole,
}

impl Replay {
    /// With one message more.
    fn with(self, message: u8, whole: bool) -> Self {
        let Replay::From { start, fit } = self else { return self };
        match message {
            _ if !whole => Replay::No,
            tag::DESCRIBE => Replay::From { start, fit: true },
            tag::BIND | tag::EXECUTE | tag::FLUSH => Replay::From { start, fit },
            tag::SYNC if fit => Replay::Whole,
            _ => Replay::No,
        }
    }
}

impl<D: Driver> Engine<D> {
    /// Something happened on a client's socket.
    pub(super) fn client_edge(&mut self, id: ClientId, edge: Edge) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.conn.readable |= edge.readable;
        client.conn.hung_up |= edge.hung_up;
        client.active_at = self.now;
        if edge.writable && !self.flush_client(id) {
            return;
        }
        self.read_client(id);
    }

    /// Goes on with what a client sent before, then with its socket.
    pub(super) fn resume_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.session.held = false;
        if !client.conn.stash.is_empty() && !self.is_paused(id) {
            let Some(client) = self.clients.get_mut(id) else { return };
            let stash = std::mem::take(&mut client.conn.stash);
            self.feed_client(id, &stash);
        }
        self.read_client(id);
        if self.clients.get(id).is_some_and(|client| client.session.cancel_due) {
            self.cancel_if_due(id);
        }
    }

    /// Reads what the socket has, up to the turn's share.
    fn read_client(&mut self, id: ClientId) {
        let mut budget = BYTES_PER_TURN;
        loop {
            if self.is_paused(id) {
                self.look_for_the_end(id);
                return;
            }
            let Some(client) = self.clients.get_mut(id) else { return };
            if !client.conn.readable {
                return;
            }
            let mut scratch = self.spare.pop().unwrap_or_else(Scratch::with_buffers);
            let filled = client.conn.fill(&mut self.driver, &mut scratch);
            if let Filled::Bytes(input) = &filled {
                let bytes = scratch.bytes(input);
                budget = budget.saturating_sub(bytes.len());
                self.feed_client(id, bytes);
            }
            self.spare.push(scratch);
            match filled {
                Filled::Bytes(_) | Filled::Nothing => {}
                Filled::End => return self.client_vanished(id, None),
                Filled::Broken(error) => return self.client_vanished(id, Some(&error)),
            }
            if budget == 0 {
                self.todo.push_back(super::Todo::Client(id));
                return;
            }
        }
    }

    /// Whether nothing may be taken from a client now.
    fn is_paused(&self, id: ClientId) -> bool {
        let Some(client) = self.clients.get(id) else { return true };
        let session = &client.session;
        if session.leaving != Leaving::No || session.held || session.awaits_listener() {
            return true;
        }
        match client.session.state {
            State::Waiting | State::Closing => true,
            State::Idle | State::Begun | State::Lost(_) => client.conn.has_unsent(),
            State::Attached(server) => self.servers.get(server).is_none_or(|entry| {
                entry.conn.has_unsent() || entry.server.is_frozen() || self.is_preparing(server)
            }),
        }
    }

    /// Whether a server is being given its client's parameters, or asked what still pins it.
    pub(super) fn is_preparing(&self, server: ServerId) -> bool {
        self.servers.get(server).is_some_and(|entry| match entry.server.user {
            User::Preparing(_) | User::Asking(_) => true,
            User::Nobody | User::Client(_) | User::Cleaning(_) => false,
        })
    }

    /// A client that hung up while nothing may be taken from it.
    fn look_for_the_end(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if !client.conn.hung_up || !client.conn.readable || client.session.leaving != Leaving::No {
            return;
        }
        match client.session.state {
            // Who waits for the end of its login may only have closed its own end, and is answered.
            State::Waiting if client.session.greeting => {}
            State::Waiting => self.look_for_the_end_of_a_waiter(id),
            // Its end lies behind messages that its server may never take.
            State::Attached(_) if client.session.gone_at == Deadline::NEVER => self.count_down(id),
            State::Attached(_) | State::Idle | State::Begun | State::Lost(_) | State::Closing => {}
        }
    }

    /// A client that queues for a server and hangs up is dropped from the queue, unless it is served
    /// within a second, or the last thing it sent is Terminate: then what it sent before that is
    /// still to be run. What it has sent is in its socket already, so this reads no more than that
    /// holds.
    fn look_for_the_end_of_a_waiter(&mut self, id: ClientId) {
        loop {
            let Some(client) = self.clients.get_mut(id) else { return };
            let mut scratch = self.spare.pop().unwrap_or_else(Scratch::with_buffers);
            let filled = client.conn.fill(&mut self.driver, &mut scratch);
            let (mut ended, mut error) = (false, None);
            match filled {
                Filled::Bytes(Input::Own(bytes)) => client.conn.stash = bytes,
                Filled::Bytes(input) => client.conn.put_back(scratch.bytes(&input), 0),
                Filled::Nothing => {}
                Filled::End if client.conn.stash.ends_with(&build::TERMINATE) => {
                    client.conn.readable = false;
                }
                Filled::End => ended = true,
                Filled::Broken(broken) => error = Some(broken),
            }
            let more = client.conn.readable;
            self.spare.push(scratch);
            if ended || error.is_some() {
                return self.client_vanished(id, error.as_ref());
            }
            if !more {
                return;
            }
        }
    }

    /// Takes a client's bytes apart. Whole messages are dealt with; what must wait is put back.
    fn feed_client(&mut self, id: ClientId, input: &[u8]) {
        // Everything before `run` has been dealt with; `run..pos` is to be passed on as it is.
        let (mut run, mut pos) = (0, 0);
        // Where the message stands for which the server in use was taken, if that was in here.
        let mut lease_start = None;
        let mut replay = Replay::No;
        self.to_server.clear();
        if let Some(client) = self.clients.get_mut(id) {
            client.session.gone_at = Deadline::NEVER;
        }
        let put_back_needs = loop {
            let Some(client) = self.clients.get_mut(id) else { return };
            if client.conn.skip > 0 {
                let len = (input.len() - pos).min(client.conn.skip as usize);
                client.conn.skip -= u32::try_from(len).expect("at most skip, which is 32 bits");
                pos += len;
                if client.conn.rest == Rest::Drop {
                    run = pos;
                }
                if client.conn.skip > 0 {
                    break 0;
                }
            }
            if pos == input.len() {
                break 0;
            }
            let header = match look(&input[pos..], self.max_statement_size) {
                Look::Message(header) => header,
                Look::Partial(needs) => break needs,
                Look::Broken(unknown_tag) => {
                    let report = unknown_tag.map(|tag| Box::new(errors::unknown_message_type(tag)));
                    client.session.leaving = Leaving::AfterReplies(report);
                    break 0;
                }
            };
            let had_server = client.session.server().is_some();
            let available = (input.len() - pos).min(header.frame_len());
            let put_together = self.to_server.len();
            self.replay_from_here = Replayable::No;
            let next = self.judge(id, header, &input[pos..], &input[run..pos]);
            match self.replay_from_here {
                Replayable::No => {}
                Replayable::IfDescribed => replay = Replay::From { start: pos, fit: false },
                Replayable::Yes => replay = Replay::From { start: pos, fit: true },
            }
            if self.to_server.len() != put_together {
                // An insertion has taken the run before it along.
                run = pos;
            }
            let Some(client) = self.clients.get_mut(id) else { return };
            if !had_server && client.session.server().is_some() {
                lease_start = Some(pos);
            }
            match next {
                Next::Pause | Next::End => break 0,
                Next::More(needs) => break needs,
                Next::ForwardFrom(offset) => run = pos + offset,
                Next::Forward | Next::Drop => {}
                Next::Answered(len) => {
                    debug_assert!(run == pos, "nothing goes to a server before it");
                    pos += len;
                    run = pos;
                    continue;
                }
            }
            let rest = header.frame_len() - available;
            if let Some(routed) = &mut client.session.routed {
                routed.passes(header.tag, header.frame_len());
            }
            if let Replay::From { start, .. } = replay {
                replay = replay.with(header.tag, rest == 0);
                if let Replay::Whole = replay
                    && let Some(server) = client.session.server()
                    && let Some(entry) = self.servers.get_mut(server)
                {
                    entry.server.replay.extend_from_slice(&input[start..pos + available]);
                }
            }
            if matches!(next, Next::Drop) {
                debug_assert!(run == pos || client.session.server().is_some());
                if run < pos {
                    self.to_server.extend_from_slice(&input[run..pos]);
                }
                run = pos + available;
            }
            pos += available;
            client.conn.skip = u32::try_from(rest).expect("a body's length is 32 bits");
            client.conn.rest = match next {
                Next::Drop => Rest::Drop,
                Next::Forward
                | Next::ForwardFrom(_)
                | Next::Pause
                | Next::More(_)
                | Next::Answered(_)
                | Next::End => Rest::Forward,
            };
        };
        self.pass_on(id, input, run..pos, put_back_needs, lease_start);
    }

    /// Sends what a feed decided to send, and puts back what must wait.
    fn pass_on(
        &mut self,
        id: ClientId,
        input: &[u8],
        run: std::ops::Range<usize>,
        needs: usize,
        lease_start: Option<usize>,
    ) {
        self.flush_answers(id);
        let Some(client) = self.clients.get_mut(id) else {
            self.to_server.clear();
            return;
        };
        let over = client.session.leaving != Leaving::No;
        if run.end < input.len() && !over {
            client.conn.put_back(&input[run.end..], needs);
        }
        if let Some(server) = client.session.server() {
            let sent = if self.to_server.is_empty() {
                let passed_on = run.len();
                self.send_to_server(server, &input[run]).map(|()| passed_on)
            } else {
                let mut bytes = std::mem::take(&mut self.to_server);
                bytes.extend_from_slice(&input[run]);
                let sent = self.send_to_server(server, &bytes).map(|()| bytes.len());
                bytes.clear();
                self.to_server = bytes;
                sent
            };
            match sent {
                Ok(sent) => self.count_received(id, sent),
                Err(error) => {
                    let start = lease_start.filter(|_| !over);
                    if let Some(start) = start
                        && self.first_send_failed(id, server, &input[start..])
                    {
                        return;
                    }
                    return self.server_lost(server, Some(&error));
                }
            }
        }
        self.to_server.clear();
        if let Some(server) = self.clients.get(id).and_then(|client| client.session.server()) {
            self.give_answers(id, server);
            self.flush_answers(id);
        }
        if over {
            return self.leave_when_settled(id);
        }
        self.settle_after_feed(id);
        self.look_after_listening(id);
    }

    /// A server may have become free without a reply: when the rest of a message that it ignores
    /// has been passed on.
    fn settle_after_feed(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id) else { return };
        if let Some(server) = client.session.server()
            && let Some(entry) = self.servers.get(server)
            && entry.server.ledger.is_settled()
        {
            self.server_settled(server);
        }
    }

    /// Sends the answers of our own that a feed produced.
    pub(super) fn flush_answers(&mut self, id: ClientId) {
        if self.to_client.is_empty() {
            return;
        }
        let mut answers = std::mem::take(&mut self.to_client);
        self.send_to_client(id, &answers);
        answers.clear();
        self.to_client = answers;
    }

    /// Decides about one message. `front` begins with it and has all that came behind it; `before` are the bytes of
    /// this feed that go to the server before it and have not been put into `to_server` yet.
    fn judge(&mut self, id: ClientId, header: Header, front: &[u8], before: &[u8]) -> Next {
        let (message, after) = front.split_at(front.len().min(header.frame_len()));
        if self.must_wait_for_repeat(id) {
            return self.hold_client(id);
        }
        let Some(client) = self.clients.get_mut(id) else { return Next::End };
        if header.tag == tag::TERMINATE {
            client.session.leaving = Leaving::AfterReplies(None);
            return Next::End;
        }
        if client.session.skip_to_sync {
            return self.skip_until_sync(id, header.tag);
        }
        let refuses = client.session.refuses_state();
        let is_guarded = client.spec.is_guarded();
        let server = match client.session.state {
            State::Attached(_) if client.session.refuse.is_some() => {
                return self.refuse_message(id, header.tag);
            }
            State::Attached(server) => server,
            State::Idle => {
                if client.session.refuse.is_some() {
                    return self.refuse_message(id, header.tag);
                }
                match header.tag {
                    // Postgres ignores them outside COPY, and has nothing to flush.
                    tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => return Next::Drop,
                    tag::FLUSH if header.body_len == 0 => return Next::Drop,
                    _ => {}
                }
                if refuses && let Some(next) = self.refuse_here(id, header, message) {
                    return next;
                }
                if is_guarded && let Some(next) = self.guard_here(id, header, message) {
                    return next;
                }
                let pool = match self.route(id, header, front) {
                    Ok(pool) => pool,
                    Err(next) => return next,
                };
                match self.check_out(id, pool) {
                    Some(server) if self.is_preparing(server) => return Next::Pause,
                    Some(server) => server,
                    None => return Next::Pause,
                }
            }
            State::Begun => match self.goes_on_begun(id, header, front) {
                Ok(server) => server,
                Err(next) => return next,
            },
            State::Lost(_) => return self.answer_lost(id, header, message),
            State::Waiting | State::Closing => return Next::Pause,
        };
        if let Some(next) = self.begins_first(id, server) {
            return next;
        }
        if let Some(next) = self
            .stays_on_way(id, server, header, front)
            .or_else(|| self.is_for_one_server((id, server), (header, message), before))
        {
            return next;
        }
        if refuses && let Some(next) = self.refuse_there(id, server, header, message, before) {
            return next;
        }
        self.judge_attached(id, server, header, message, before, after)
    }

    /// Decides about one message of a client that holds a server, and notes what is owed for it.
    fn judge_attached(
        &mut self,
        id: ClientId,
        server: ServerId,
        header: Header,
        message: &[u8],
        before: &[u8],
        after: &[u8],
    ) -> Next {
        // Before the text is looked up: it would count as having come before.
        if let Some(next) = self.parameters_first(id, server, header.tag) {
            return next;
        }
        let body = &message[HEADER_LEN..];
        let parse = if header.tag == tag::PARSE { ParseView::read(body) } else { None };
        let text = match header.tag {
            tag::QUERY => query_text(body),
            _ => parse.map(|parse| parse.query),
        };
        // A longer text is not read, even where all of it happens to be here: its client waited.
        let is_text = matches!(header.tag, tag::QUERY | tag::PARSE);
        let too_long = is_text && header.body_len as usize > self.max_statement_size;
        let whole = message.len() == header.frame_len() && !too_long;
        let known = match text {
            Some(text) if header.tag == tag::QUERY && whole => Some(self.texts.look(text)),
            Some(_) | None => None,
        };
        let of_query = text.zip(known.as_ref());
        if let Some(next) = self.guard_first((id, server), (header, message), before, of_query) {
            return next;
        }
        if let Some(database) = text.and_then(|text| sql::vacated(text, sql::LexOptions::default()))
            && !self.is_vacated_for(id, &database)
        {
            if let Some(client) = self.clients.get_mut(id) {
                client.session.held = true;
            }
            return Next::Pause;
        }
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        let ledger = &mut entry.server.ledger;
        let (mut statements, mut timing) = (1, Timing::Plain);
        let sent = match header.tag {
            // Whatever it is, a server that skips throws it away, and one that waits for CopyData
            // ends the connection over it.
            tag::PARSE if ledger.runs_nothing() => Sent::Parse(Which::Own),
            tag::BIND if ledger.runs_nothing() => Sent::Bind(None),
            message if is_skipped(message) && ledger.runs_nothing() => Sent::Execute,
            tag::QUERY => {
                let text = text.filter(|_| whole);
                let effects = match &known {
                    Some(known) => known.effects,
                    None if whole => TextEffects::NOTHING,
                    None => TextEffects::UNREAD,
                };
                if let Some(next) = self.limits_first(id, server, header.tag, &effects) {
                    return next;
                }
                let Some(entry) = self.servers.get(server) else { return Next::End };
                if effects.pins.has(Pins::BACKEND_STATE) && entry.server.must_forget_sequences() {
                    return self.forget_sequences(id, server);
                }
                if effects.sets.has(Pins::LISTEN)
                    && let Some(steps) = text.and_then(|text| changes::steps(text, None))
                    && let Some(next) = self.listener_first(id, server, &steps)
                {
                    return next;
                }
                let (Some(client), Some(entry)) =
                    (self.clients.get_mut(id), self.servers.get_mut(server))
                else {
                    return Next::End;
                };
                let session = &mut client.session;
                if effects.uses_names
                    && let Some(text) = text
                {
                    return self.query_using_names(id, server, text, effects, before);
                }
                (statements, timing) = (effects.statements, effects.timing);
                session.pins = session.pins.and(effects.pins);
                session.batch_sets_unnamed = false;
                let ending = std::mem::take(&mut session.batch_ending).and(effects.ending);
                session.bound = None;
                entry.server.will_run(effects, &mut self.repeats);
                match text {
                    Some(text) => self.follow_query(id, server, text, effects),
                    // It may do anything.
                    None => session.stop_following(Pins::UNREAD_TEXT),
                }
                Sent::Query(ending)
            }
            tag::PARSE if !whole => {
                session.stop_following(Pins::UNREAD_TEXT);
                session.batch_ending = Ending::Commit;
                session.batch_sets_unnamed = true;
                session.unnamed_does = None;
                session.parsed = None;
                entry.server.local = true;
                entry.server.redefines = true;
                self.repeats.redefined_if(true);
                Sent::Parse(Which::Own)
            }
            tag::PARSE => match parse {
                Some(parse) if parse.statement.is_empty() => {
                    return self.parse_unnamed(id, server, parse, &body[1..], before, after);
                }
                Some(parse) => return self.parse_named(id, server, parse, body, before),
                // Postgres refuses it with an error and goes on.
                None => Sent::Parse(Which::Own),
            },
            tag::BIND => match BindNames::read(body) {
                Some(names) => {
                    let next = self.bind(id, server, header, body, (before, after));
                    self.remember_bind(id, server, names);
                    return next;
                }
                None => Sent::Bind(None),
            },
            tag::DESCRIBE => match Named::read(body) {
                Some(Named::Statement(name)) => {
                    return self.describe_statement(id, server, name, before);
                }
                Some(Named::Portal(name)) => {
                    let bound = session.bound.filter(|(portal, _)| *portal == portal_hash(name));
                    Sent::DescribePortal(bound.map(|(_, statement)| statement))
                }
                None => Sent::DescribeStatement(None),
            },
            tag::CLOSE => match Named::read(body) {
                Some(Named::Statement(name)) => {
                    return self.close_statement(id, server, name, before);
                }
                Some(Named::Portal(_)) | None => Sent::Close(Which::Own),
            },
            tag::EXECUTE => {
                if session.guarded.is_some()
                    && let Some((portal, _)) = frame::split_cstr(body)
                    && let Some(next) = self.guard_execute(id, server, portal, before)
                {
                    return next;
                }
                let Some(client) = self.clients.get_mut(id) else { return Next::End };
                let session = &mut client.session;
                let unnamed = body.first() == Some(&0);
                if unnamed && session.portal_does.is_some() {
                    let next = self.execute_using_names(id, server, before);
                    if !matches!(next, Next::Pause | Next::End) {
                        self.remember_execute(server, body);
                    }
                    return next;
                }
                if unnamed && session.portal_steps.is_some() {
                    if let Some(next) = self.listener_first_for_portal(id, server) {
                        return next;
                    }
                    self.follow_portal(id, server);
                }
                if unnamed && let Some(client) = self.clients.get(id) {
                    timing = client.session.portal_timing;
                }
                Sent::Execute
            }
            tag::FLUSH if header.body_len == 0 => Sent::Flush,
            // Answered with an error, as an Execute would be.
            tag::FLUSH => Sent::Execute,
            tag::SYNC => {
                session.batch_sets_unnamed = false;
                session.batch_repeats = None;
                session.bound = None;
                Sent::Sync(std::mem::take(&mut session.batch_ending))
            }
            tag::FUNCTION_CALL => {
                let plain = TextEffects::NOTHING;
                if let Some(next) = self.limits_first(id, server, header.tag, &plain) {
                    return next;
                }
                let Some(client) = self.clients.get_mut(id) else { return Next::End };
                let session = &mut client.session;
                if !is_large_object_function(body) {
                    session.pins = session.pins.and(Pins::FUNCTION_CALL);
                }
                session.batch_sets_unnamed = false;
                Sent::FunctionCall
            }
            tag::COPY_DONE | tag::COPY_FAIL => Sent::CopyEnd,
            _ => return Next::Forward,
        };
        let owed = self.note(id, server, sent, Deliver::Client);
        if owed
            && (statements > 1 || timing != Timing::Plain)
            && let Some(entry) = self.servers.get_mut(server)
        {
            entry.server.ledger.count_last(statements);
            entry.server.ledger.time_last(timing);
        }
        match sent {
            Sent::Query(_) if owed => {
                let text = text.unwrap_or(body);
                self.remember_query(server, text);
                let (effects, commands) = known
                    .map_or((TextEffects::NOTHING, None), |known| (known.effects, known.commands));
                self.record_query((id, server), text, &effects, commands);
            }
            Sent::Execute if owed && header.tag == tag::EXECUTE => {
                self.remember_execute(server, body);
                self.record_execute(id, server, body);
            }
            _ => {}
        }
        Next::Forward
    }

    /// Notes a message that is being sent for a client. Whether a reply to it is owed.
    pub(super) fn note(
        &mut self,
        id: ClientId,
        server: ServerId,
        sent: Sent,
        deliver: Deliver,
    ) -> bool {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return false;
        };
        if !client.session.pins.is_none() {
            let pool = &mut self.pools[entry.pool.0 as usize];
            pool.reads_sequences |= client.session.pins.has(Pins::BACKEND_STATE);
            pins::pin(client, &mut entry.server, &mut pool.counters, self.now);
        }
        let owed = entry.server.ledger.sent(sent, deliver);
        if let Some(changes) = &mut client.session.changes
            && matches!(sent, Sent::Query(_) | Sent::Execute)
            && deliver == Deliver::Client
            && let Some(number) = changes.take_number()
            && owed
        {
            entry.server.ledger.number_last(number);
        }
        // What is inserted into its batch is part of the client's statement.
        if owed && deliver != Deliver::Swallow {
            let spec = &client.spec;
            if let Some(limit) =
                entry.clock.asked(self.now_us, &entry.server.ledger, || spec.time_limits())
            {
                let late = Deadline::after(self.now, Some(u64::from(limit) + GRACE_MS));
                self.next_check = self.next_check.min(late);
            }
            client.asked_s = u32::try_from(self.now_us / 1_000_000).unwrap_or(u32::MAX);
        }
        if !owed && let Some(statement) = sent.held_statement() {
            self.statements.release(statement);
        }
        self.pools[entry.pool.0 as usize].counters.count_sent(sent, deliver);
        owed
    }

    /// After an error of our own in a batch: nothing counts until Sync.
    fn skip_until_sync(&mut self, id: ClientId, message: u8) -> Next {
        let Some(client) = self.clients.get_mut(id) else { return Next::End };
        if message == tag::SYNC {
            client.session.skip_to_sync = false;
            let status = match &client.session.state {
                State::Lost(lost) => lost.status(),
                State::Begun => TransactionStatus::InTransaction,
                State::Idle | State::Waiting | State::Attached(_) | State::Closing => {
                    TransactionStatus::Idle
                }
            };
            if matches!(client.session.state, State::Lost(_)) && status == TransactionStatus::Idle {
                client.session.found();
            }
            build::ready_for_query(&mut self.to_client, status);
        }
        Next::Drop
    }

    /// Answers one message with an error instead of running it.
    pub(super) fn refuse_message(&mut self, id: ClientId, message: u8) -> Next {
        let Some(client) = self.clients.get_mut(id) else { return Next::End };
        let Some(report) = client.session.refuse.take() else { return Next::Drop };
        report.write(&mut self.to_client);
        match message {
            tag::QUERY | tag::FUNCTION_CALL | tag::SYNC => {
                build::ready_for_query(&mut self.to_client, TransactionStatus::Idle);
            }
            _ => client.session.skip_to_sync = true,
        }
        Next::Drop
    }

    /// A message of a client whose transaction lost its server.
    fn answer_lost(&mut self, id: ClientId, header: Header, message: &[u8]) -> Next {
        let Some(client) = self.clients.get_mut(id) else { return Next::End };
        let State::Lost(lost) = &mut client.session.state else { return Next::Drop };
        let body = &message[HEADER_LEN..];
        let before = self.to_client.len();
        let after = lost.answer(header.tag, body, facts::control, &mut self.to_client);
        let counters = &mut self.pools[client.pool.0 as usize].counters;
        counters.count_answers(&self.to_client[before..]);
        match after {
            After::StillLost => Next::Drop,
            After::SkipToSync => {
                client.session.skip_to_sync = true;
                Next::Drop
            }
            After::Idle => {
                client.session.found();
                Next::Drop
            }
            After::IdleRunIt => {
                client.session.found();
                self.judge(id, header, message, b"")
            }
        }
    }

    /// Writes to a server; what it has no room for waits, and its client with it.
    pub(super) fn send_to_server(&mut self, id: ServerId, bytes: &[u8]) -> std::io::Result<()> {
        let Some(entry) = self.servers.get_mut(id) else { return Ok(()) };
        entry.conn.write(&mut self.driver, &mut self.sealed, bytes)?;
        entry.conn.settle_interest(&mut self.driver, Token::Server(id))
    }
}

/// Messages that a server that skips to the next Sync throws away.
fn is_skipped(message: u8) -> bool {
    matches!(
        message,
        tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::CLOSE
            | tag::QUERY
            | tag::FUNCTION_CALL
    )
}

/// Reads the header at the front and says whether enough of the message is there.
fn look(input: &[u8], max_statement_size: usize) -> Look {
    let Some(&first) = input.first() else { return Look::Partial(0) };
    let limit = match first {
        tag::QUERY | tag::PARSE | tag::BIND | tag::FUNCTION_CALL | tag::COPY_DATA => {
            LONGEST_REQUEST
        }
        tag::CLOSE
        | tag::DESCRIBE
        | tag::EXECUTE
        | tag::FLUSH
        | tag::SYNC
        | tag::TERMINATE
        | tag::COPY_DONE
        | tag::COPY_FAIL => SMALL_MESSAGE,
        unknown => return Look::Broken(Some(unknown)),
    };
    let header = match frame::header(input, limit) {
        Ok(Some(header)) => header,
        Ok(None) => return Look::Partial(HEADER_LEN),
        // Postgres says so in its log and closes the connection without a word.
        Err(_) => return Look::Broken(None),
    };
    let frame_len = header.frame_len();
    let wanted = match first {
        tag::QUERY | tag::PARSE if header.body_len as usize > max_statement_size => HEADER_LEN,
        tag::COPY_DATA | tag::COPY_FAIL => HEADER_LEN,
        tag::FUNCTION_CALL => frame_len.min(HEADER_LEN + 4),
        tag::BIND => {
            let front = frame_len.min(HEADER_LEN + BIND_FRONT);
            let names_there = input.len() >= front
                && BindNames::read(&input[HEADER_LEN..input.len().min(frame_len)]).is_some();
            if names_there { front } else { frame_len }
        }
        _ => frame_len,
    };
    if input.len() < wanted { Look::Partial(wanted) } else { Look::Message(header) }
}

/// Whether a FunctionCall names one of the large-object functions that libpq's `lo_*` use: what
/// they open lives in the transaction.
pub(super) fn is_large_object_function(body: &[u8]) -> bool {
    // pg_proc.dat: lo_open, lo_close, loread, lowrite, lo_lseek, lo_creat, lo_create, lo_tell,
    // lo_truncate, lo_unlink and the 64-bit forms.
    const OIDS: [i32; 13] = [952, 953, 954, 955, 956, 957, 715, 958, 1004, 964, 3170, 3171, 3172];
    frame::split_i32(body).is_some_and(|(oid, _)| OIDS.contains(&oid))
}
