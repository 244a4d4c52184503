//! Reads that a replica could not serve: once more, on the primary, as long as their client has been told nothing.
//!
//! What such a server answers is kept back until it shows that it can: its first row, or the end. Up to there nothing
//! has reached the client, and a read that is run again has done no harm.

use super::Engine;
use super::driver::Driver;
use crate::client::request::{Part, parts};
use crate::deadline::Tick;
use crate::ids::{ClientId, ServerId};
use crate::route::Ruling;
use crate::wire::backend::{ErrorFields, tag};

/// Bytes that are kept back at most; beyond them they are the client's, whatever becomes of the read.
const MOST_KEPT_BACK: usize = 64 * 1024;

/// How often a request that has lost its servers looks for another.
const RETRIES: u8 = 3;

/// Whether a reply shows that a server can serve what it was asked.
#[inline]
pub(super) fn decides(reply: u8) -> bool {
    matches!(
        reply,
        tag::DATA_ROW
            | tag::COMMAND_COMPLETE
            | tag::EMPTY_QUERY_RESPONSE
            | tag::PORTAL_SUSPENDED
            | tag::COPY_OUT_RESPONSE
            | tag::COPY_IN_RESPONSE
            | tag::COPY_BOTH_RESPONSE
            | tag::READY_FOR_QUERY
    )
}

/// Whether the primary may serve what a replica refuses with this: it writes after all (25006), it needs what the
/// replica has not replayed yet, recovery stood in its way (40001), or replicas do no such thing (0A000, 55000). Where the
/// primary refuses it as well, its client hears that.
pub(super) fn is_for_the_primary(error: &ErrorFields<'_>) -> bool {
    matches!(
        error.sqlstate,
        b"25006"
            | b"42P01"
            | b"42703"
            | b"42704"
            | b"42883"
            | b"3F000"
            | b"40001"
            | b"0A000"
            | b"55000"
    )
}

impl<D: Driver> Engine<D> {
    /// A replica has refused what its client has been told nothing of: the primary gets it.
    pub(super) fn run_again(&mut self, server: ServerId) {
        let Some(id) = self.servers.get(server).and_then(|entry| entry.server.client()) else {
            return;
        };
        self.put_request_back(id);
    }

    /// Whether something that a server has answered waits, or is to wait.
    #[inline]
    pub(super) fn has_kept_back(&self, id: ClientId, server: ServerId, run_again: bool) -> bool {
        let undecided = self.servers.get(server).is_some_and(|entry| entry.server.undecided);
        let routed = self.clients.get(id).and_then(|client| client.session.routed.as_ref());
        run_again || undecided || routed.is_some_and(|routed| !routed.replies.is_empty())
    }

    /// What a server has answered that has not shown yet that it can serve a read waits; what it had answered before
    /// comes first once it has. `answers`: what its client would get now.
    pub(super) fn keep_back(
        &mut self,
        id: ClientId,
        server: ServerId,
        answers: &mut Vec<u8>,
        run_again: bool,
    ) {
        let undecided = self.servers.get(server).is_some_and(|entry| entry.server.undecided);
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(routed) = &mut client.session.routed else { return };
        if run_again {
            routed.replies.clear();
        } else if undecided && routed.replies.len() + answers.len() > MOST_KEPT_BACK {
            let mut all = std::mem::take(&mut routed.replies);
            all.append(answers);
            *answers = all;
            routed.request.clear();
            if let Some(entry) = self.servers.get_mut(server) {
                entry.server.undecided = false;
            }
        } else if undecided {
            routed.replies.append(answers);
        } else if !routed.replies.is_empty() {
            let mut all = std::mem::take(&mut routed.replies);
            all.append(answers);
            *answers = all;
        }
    }

    /// Something else is sent behind a read: what the server answers is its client's from here on.
    pub(super) fn decided(&mut self, id: ClientId, server: ServerId) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        if !std::mem::take(&mut entry.server.undecided) {
            return;
        }
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(routed) = &mut client.session.routed else { return };
        routed.request.clear();
        let replies = std::mem::take(&mut routed.replies);
        self.send_to_client(id, &replies);
    }

    /// The server of a client is gone that was to serve a read. Whether another one can.
    pub(super) fn run_elsewhere(&mut self, server: ServerId, id: ClientId) -> bool {
        let (Some(entry), Some(client)) = (self.servers.get(server), self.clients.get(id)) else {
            return false;
        };
        let session = &client.session;
        let undecided = entry.server.undecided && session.may_run_again();
        if !undecided || session.retries >= RETRIES {
            return false;
        }
        self.drop_server(server);
        let Some(client) = self.clients.get_mut(id) else { return true };
        client.session.rest();
        client.session.retries += 1;
        client.session.changes = None;
        client.session.standing = None;
        if let Some(names) = &mut client.session.names {
            names.undo_all(&mut self.statements);
        }
        self.put_request_back(id);
        self.todo.push_back(super::Todo::Client(id));
        true
    }

    /// A request that a replica was to serve stands at the front of its client's input again, and goes to the primary.
    fn put_request_back(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let session = &mut client.session;
        let Some(routed) = &mut session.routed else { return };
        let mut bytes = std::mem::take(&mut routed.request);
        routed.replies = Vec::new();
        routed.to_primary = !routed.never_primary;
        if let Some(names) = &mut session.names {
            // What the replica has parsed is there under pgweir's own names; the client knows of nothing.
            for part in parts(&bytes) {
                if let Part::Text(_, Some(name)) = part
                    && !name.is_empty()
                {
                    names.forget(&mut self.statements, name);
                }
            }
        }
        session.held = true;
        session.types_told = false;
        let entry = &mut self.pools[client.pool.0 as usize];
        entry.counters.reruns += 1;
        let judged_by = entry.judged_by();
        for part in parts(&bytes) {
            match part {
                Part::Text(text, _) => {
                    for key in [
                        self.verdicts.key(text, judged_by),
                        self.verdicts.key_of_shape(text, judged_by),
                    ] {
                        self.verdicts.put(key, Ruling::Unproven);
                    }
                    self.refused_reads.add(text, self.now);
                }
                Part::Bind(name, _) => {
                    let named = || session.names.as_ref()?.get(name);
                    let statement = if name.is_empty() { session.unnamed } else { named() };
                    if let Some(statement) = statement {
                        self.statements.note(statement, judged_by, Ruling::Unproven as u8);
                        self.refused_reads.add(self.statements.text(statement), self.now);
                    }
                }
                Part::Describes(_) | Part::Executes(_) | Part::Nothing | Part::Broken => {}
            }
        }
        bytes.extend_from_slice(&std::mem::take(&mut client.conn.stash));
        client.conn.put_back(&bytes, 0);
    }
}

/// Texts that a replica could not serve, by what they are without their literals.
#[derive(Debug, Default)]
pub(super) struct RefusedReads(std::collections::HashMap<crate::sql::Fingerprint, Tick>);

/// How long such texts stay with the primary: a replica may have been behind a migration.
const REMEMBERED_MS: u64 = 60_000;

/// As many are remembered.
const MOST: usize = 4_096;

impl RefusedReads {
    fn add(&mut self, text: &[u8], now: Tick) {
        if self.0.len() >= MOST {
            self.0.retain(|_, until| *until > now);
            if self.0.len() >= MOST {
                self.0.clear();
            }
        }
        self.0.insert(crate::sql::Fingerprint::of(text), now.plus(REMEMBERED_MS));
    }

    /// Whether a text is one of them.
    pub(super) fn has(&self, text: &[u8], now: Tick) -> bool {
        !self.0.is_empty()
            && self.0.get(&crate::sql::Fingerprint::of(text)).is_some_and(|until| *until > now)
    }
}
