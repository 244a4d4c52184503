//! Sessions that keep their server: noted and told when it begins, ended when the server says that
//! nothing is left of why, or when they have been idle for too long.
//!
//! Deliberately absent: what pins (`session::facts`), and when there is reason to ask
//! (`client::pinned`).

use super::driver::Driver;
use super::from_client::Next;
use super::lease::FORGET_SEQUENCES;
use super::{Client, Engine, Todo};
use crate::client::{Pinned, State};
use crate::config::SessionStateMode;
use crate::deadline::{Deadline, Tick};
use crate::errors;
use crate::ids::{ClientId, ServerId};
use crate::metrics::Counters;
use crate::server::{Server, User};
use crate::session::Pins;
use crate::wire::frame;

/// What the server is asked, for each reason that it can be asked about. Everything is named with
/// its schema: the session may have put anything into its `search_path`.
///
/// Whatever lies in a schema depends on it, so `pg_depend` knows all that a session has in its
/// temporary one; 2615 is `pg_namespace` itself. `pg_locks` does not tell session's locks from
/// transactions' ones, but there is no transaction when this is asked.
const QUESTIONS: [(Pins, &str); 3] = [
    (
        Pins::TEMPORARY,
        "EXISTS (SELECT FROM pg_catalog.pg_depend AS d \
         WHERE d.refclassid OPERATOR(pg_catalog.=) 2615::pg_catalog.oid \
         AND d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())",
    ),
    (
        Pins::ADVISORY_LOCK,
        "EXISTS (SELECT FROM pg_catalog.pg_locks AS l \
         WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory'::pg_catalog.text \
         AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())",
    ),
    (Pins::HELD_CURSOR, "EXISTS (SELECT FROM pg_catalog.pg_cursors AS c WHERE c.is_holdable)"),
];

/// What pins a session though `session_state = "ignore"`: a statement under a name that only one
/// server knows could not be used otherwise.
const WHATEVER_THE_MODE: Pins = Pins::SESSION_MODE.and(Pins::NAMED_STATEMENT);

/// Bytes of the answer, a row of three booleans.
pub(super) const LONGEST_ANSWER: usize = 64;

/// Sessions are not looked through more often than this, however many clients wait.
const LOOK_PAUSE_MS: u64 = 20;

/// When to look at pinned sessions.
///
/// Invariant: none of them is to be asked or ended before `at`, but for the pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct PinWatch {
    at: Deadline,
    looked_at: Tick,
}

impl Default for PinWatch {
    fn default() -> Self {
        PinWatch { at: Deadline::NEVER, looked_at: Tick(0) }
    }
}

/// A message is sent, or a server has come to rest, while something pins the session: who operates
/// pgweir is told of what is new.
pub(super) fn pin<S>(
    client: &mut Client<S>,
    server: &mut Server,
    counters: &mut Counters,
    now: Tick,
) {
    let session = &mut client.session;
    match session.state_mode {
        SessionStateMode::Track | SessionStateMode::Refuse => {}
        SessionStateMode::Ignore => {
            session.pins = session.pins.both(WHATEVER_THE_MODE);
            if session.pins.is_none() {
                return;
            }
        }
    }
    let pins = session.pins;
    server.needs_reset = true;
    server.doomed |= pins.has(Pins::BEYOND_DISCARD);
    let is_first = session.pinned.is_none();
    let pinned = session.pinned.get_or_insert_with(|| Box::new(Pinned::new(now)));
    let new = pinned.runs(pins);
    if new.is_none() {
        return;
    }
    if new.has(Pins::TEMPORARY) {
        session.find_dialect();
    }
    if pins.has(Pins::SESSION_MODE) {
        // It keeps its server whatever it does.
        return;
    }
    counters.pins.count(new.bits());
    let id = client.session.registration.pid();
    let (database, role) = (&client.spec.database, &client.spec.role);
    let reasons = new.in_words();
    if is_first {
        tracing::debug!(id, %database, %role, reasons, "session keeps its server");
    } else {
        tracing::debug!(id, %database, %role, reasons, "session has more to keep its server for");
    }
}

impl<D: Driver> Engine<D> {
    /// A pinned session is at rest: asks its server now, or sees to it that this or the end of the
    /// session's patience is not missed.
    pub(super) fn watch_pin(&mut self, id: ClientId, server: ServerId) {
        if !self.is_idle(id) {
            // It is looked at again when it comes to rest.
            return;
        }
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        let at_hand = entry.server.user == User::Client(id)
            && !entry.server.is_frozen()
            && entry.conn.skip == 0
            && entry.conn.stash.is_empty()
            && client.conn.skip == 0;
        let session = &mut client.session;
        let may_end = at_hand && !session.pins.has(Pins::SESSION_MODE);
        let Some(pinned) = session.pinned.as_mut().filter(|_| may_end) else { return };
        let limit_ms = client.spec.settings.load().pin_timeout.as_millis();
        let expires = Deadline::after(client.active_at, limit_ms);
        if let (true, Some(limit_ms)) = (expires.reached(self.now), limit_ms) {
            let reasons = session.pins.in_words();
            return self.end_client(id, Some(errors::pin_idle(limit_ms, &reasons)));
        }
        if matches!(session.state, State::Lost(_)) {
            // It is to be told of that before anything else.
            return self.look_at_pins(expires);
        }
        if std::mem::take(&mut entry.server.may_release) {
            pinned.may_be_over();
        }
        let pressed = self.pools[entry.pool.0 as usize].pool.waiting_anywhere() > 0;
        let ask_at = pinned.ask_at(session.pins, pressed);
        if ask_at.reached(self.now) {
            return self.ask_what_is_left(id, server);
        }
        self.look_at_pins(ask_at.min(expires));
    }

    /// A text reads what its session last had from a sequence, and its server was another's until
    /// now: the server forgets that one's first, and Postgres says that there is nothing to be read.
    pub(super) fn forget_sequences(&mut self, id: ClientId, server: ServerId) -> Next {
        if let Some(entry) = self.servers.get_mut(server) {
            entry.server.recalls_another = false;
            entry.server.user = User::Preparing(id);
            self.send_own_query(server, FORGET_SEQUENCES);
        }
        Next::Pause
    }

    fn ask_what_is_left(&mut self, id: ClientId, server: ServerId) {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        let Some(pinned) = &mut client.session.pinned else { return };
        pinned.asked(self.now);
        entry.server.left = None;
        entry.server.user = User::Asking(id);
        let text = question(client.session.pins);
        self.send_own_query(server, text.as_bytes());
    }

    /// The server has said what still pins its session, or could not.
    pub(super) fn told_what_is_left(&mut self, server: ServerId, id: ClientId) {
        let now = self.now;
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        let session = &mut client.session;
        entry.server.user = User::Client(id);
        let failed = entry.server.own_error.take().is_some();
        let left = entry.server.left.take().filter(|_| !failed);
        if let Some(pinned) = &mut session.pinned
            && left.is_none()
        {
            pinned.failed(now);
        }
        if let Some(mut left) = left {
            if session.params.searches_temporary() {
                // What it creates next may be temporary, though its text does not say so.
                left = left.and(Pins::TEMPORARY);
            }
            self.keep_pins(id, server, left);
        }
        self.todo.push_back(Todo::Client(id));
        let Some(client) = self.clients.get(id) else { return };
        if client.session.pins.is_none() {
            return self.take_server_back(server, id);
        }
        // No message of the client's follows behind which it would be told of what came meanwhile.
        self.tell(id);
        self.let_go_if_dismissed(id);
        self.watch_pin(id, server);
    }

    /// Of the reasons that the server was asked about, these are left.
    fn keep_pins(&mut self, id: ClientId, server: ServerId, left: Pins) {
        let now = self.now;
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        let session = &mut client.session;
        let gone = session.pins.without(left).both(Pins::ASKABLE);
        session.pins = session.pins.without(gone);
        let pins = session.pins;
        if let Some(pinned) = &mut session.pinned {
            pinned.answered(pins, now);
        }
        if gone.has(Pins::TEMPORARY) {
            // What was parsed while names meant temporary objects is read anew, here and elsewhere.
            session.find_dialect();
            entry.server.prepared.dropping_all();
            self.read_texts_anew(id);
        }
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return;
        };
        if pins.is_none() {
            client.session.pinned = None;
            // It is as if it had never been pinned: the schema of temporary objects, which stays,
            // is empty.
            entry.server.needs_reset = false;
            let (database, role) = (&client.spec.database, &client.spec.role);
            let (id, reasons) = (client.session.registration.pid(), gone.in_words());
            tracing::debug!(id, %database, %role, reasons, "session gives its server back");
        }
    }

    /// Clients wait for a server: pinned sessions that may not need theirs are asked sooner.
    pub(super) fn pins_are_in_the_way(&mut self) {
        if self.pin_watch.at != Deadline::NEVER {
            self.look_at_pins(Deadline::after(self.now, Some(0)));
        }
    }

    /// Looks at every pinned session by `deadline`.
    pub(super) fn look_at_pins(&mut self, deadline: Deadline) {
        let earliest = Deadline::after(self.pin_watch.looked_at, Some(LOOK_PAUSE_MS));
        self.pin_watch.at = self.pin_watch.at.min(deadline.max(earliest));
        self.check_at(self.pin_watch.at);
    }

    /// Asks for or ends what is due.
    pub(super) fn check_pins(&mut self) {
        if !self.pin_watch.at.reached(self.now) {
            return self.check_at(self.pin_watch.at);
        }
        self.pin_watch = PinWatch { at: Deadline::NEVER, looked_at: self.now };
        let held = self.servers.ids_where(|entry| match entry.server.user {
            User::Client(_) => true,
            User::Nobody | User::Preparing(_) | User::Asking(_) | User::Cleaning(_) => false,
        });
        for server in held {
            let Some(client) = self.servers.get(server).and_then(|entry| entry.server.client())
            else {
                continue;
            };
            if self.clients.get(client).is_some_and(|client| !client.session.pins.is_none()) {
                self.watch_pin(client, server);
            }
        }
    }
}

/// The question that is about these reasons: one row with a boolean for each that there is.
fn question(pins: Pins) -> String {
    let mut text = "/* pgweir: what is left of this session */ SELECT ".to_owned();
    for (n, (reason, exists)) in QUESTIONS.iter().enumerate() {
        text.push_str(if n == 0 { "" } else { ", " });
        text.push_str(if pins.has(*reason) { exists } else { "false" });
    }
    text
}

/// The reasons that an answer says are left; `None`: it is none.
pub(super) fn left(row: &[u8]) -> Option<Pins> {
    let (count, mut rest) = row.split_first_chunk::<2>()?;
    if usize::from(u16::from_be_bytes(*count)) != QUESTIONS.len() {
        return None;
    }
    let mut left = Pins::NONE;
    for (reason, _) in QUESTIONS {
        let (1, after) = frame::split_i32(rest)? else { return None };
        let (value, after) = after.split_first()?;
        match value {
            b't' => left = left.and(reason),
            b'f' => {}
            _ => return None,
        }
        rest = after;
    }
    rest.is_empty().then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_read_as_it_is_and_nothing_else_is_one() {
        let row = |values: &[&[u8]]| {
            let mut out = (values.len() as u16).to_be_bytes().to_vec();
            for value in values {
                out.extend_from_slice(&(value.len() as u32).to_be_bytes());
                out.extend_from_slice(value);
            }
            out
        };
        assert_eq!(left(&row(&[b"f", b"f", b"f"])), Some(Pins::NONE));
        assert_eq!(left(&row(&[b"t", b"f", b"t"])), Some(Pins::TEMPORARY.and(Pins::HELD_CURSOR)));
        assert_eq!(left(&row(&[b"f", b"t", b"f"])), Some(Pins::ADVISORY_LOCK));
        for wrong in [
            row(&[b"f", b"f"]),
            row(&[b"f", b"f", b"x"]),
            row(&[b"f", b"f", b"false"]),
            row(&[b"f", b"f", b"f", b"f"]),
            [row(&[b"f", b"f", b"f"]), vec![0]].concat(),
            b"\0\x03\xff\xff\xff\xff".to_vec(),
            vec![],
        ] {
            assert_eq!(left(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_what_pins_is_asked_about() {
        let text = question(Pins::TEMPORARY.and(Pins::HELD_CURSOR));
        assert!(text.contains("pg_my_temp_schema") && text.contains("pg_cursors"), "{text}");
        assert!(!text.contains("pg_locks"), "{text}");
        for (reason, _) in QUESTIONS {
            assert!(Pins::ASKABLE.has(reason));
        }
    }
}
