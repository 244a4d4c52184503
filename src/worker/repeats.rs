//! Unnamed statements that come again: the server keeps them under a name, and Parse and Bind of them
//! turn into a Bind of that.
//!
//! The client must get what its own Parse would have got now, errors and their places included. So
//! this is done only where the batch can be sent again as it was: it is all that its client has
//! sent, lies whole in the input, is one query, and finds the server at rest outside of a
//! transaction. A Bind that fails has run nothing. Inside a transaction an error of a statement that
//! is out of date could not be taken back, so there every Parse is the client's own.

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use crate::ids::{ClientId, ServerId};
use crate::prepared::{Standing, StatementId};
use crate::server::ledger::{Answer, Deliver, Sent, Which};
use crate::wire::TransactionStatus;
use crate::wire::build;
use crate::wire::frame::{self, HEADER_LEN};
use crate::wire::frontend::{BindNames, Named, tag};

impl<D: Driver> Engine<D> {
    /// Whether an unnamed statement may be one that the server keeps; `after` follows its Parse.
    pub(super) fn may_repeat(&mut self, id: ClientId, server: ServerId, after: &[u8]) -> bool {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get(server))
        else {
            return false;
        };
        let session = &mut client.session;
        let as_sent = std::mem::take(&mut session.as_sent_next) || session.pipelines;
        let limits = self.pools[entry.pool.0 as usize].pool.limits();
        !as_sent
            && limits.repeated
            && limits.prepared > 0
            && session.pins.is_none()
            && entry.server.status == TransactionStatus::Idle
            && !entry.server.local
            && entry.server.ledger.is_settled()
            && is_rest_of_one_query(after)
    }

    /// The statement that servers keep for this text, if any does, with one reference to it.
    pub(super) fn known_repeat(&mut self, id: ClientId, content: &[u8]) -> Option<StatementId> {
        let client = self.clients.get(id)?;
        self.statements.repeated(content, client.session.dialect())
    }

    /// Parse of an unnamed statement that is kept: left out where the server has it, under its name
    /// otherwise.
    pub(super) fn parse_repeated(
        &mut self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
        content: &[u8],
        (before, after): (&[u8], &[u8]),
    ) -> Next {
        let epoch = self.repeats.epoch(self.now);
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Next::End;
        };
        let session = &mut client.session;
        session.batch_sets_unnamed = true;
        session.parsed = None;
        session.batch_repeats = Some(statement);
        session.unnamed_does = None;
        session.repeat_unit = entry.server.ledger.building_unit();
        let prepared = &mut entry.server.prepared;
        let standing = prepared.standing(statement, session.repeat_unit);
        session.repeat_alone = standing == Standing::There && prepared.is_of(statement, epoch);
        if session.repeat_alone {
            session.repeat_parse_due = true;
            entry.server.replay.clear();
            build::parse(&mut entry.server.replay, b"", content);
            entry.server.replay.extend_from_slice(after);
            return Next::Drop;
        }
        self.to_server.extend_from_slice(before);
        self.make_room(id, server);
        match standing {
            Standing::Absent => {}
            Standing::There | Standing::Unanswered | Standing::Stale => {
                self.close_on_server(id, server, statement);
            }
        }
        self.parse_on_server(id, server, statement, Which::Repeated(statement), Deliver::Client);
        if let Some(entry) = self.servers.get_mut(server) {
            entry.server.prepared.set_epoch(statement, epoch);
        }
        Next::Drop
    }

    /// Notes the Bind of such a statement. Its client is told of the Parse and of the Bind together
    /// where both are this one message.
    pub(super) fn bind_repeated(
        &mut self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
        names: BindNames,
    ) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let session = &mut client.session;
        if names.portal.is_empty() {
            session.portal_does = None;
        }
        if std::mem::take(&mut session.repeat_parse_due) {
            self.note(id, server, Sent::Bind(Some(statement)), Deliver::OnError);
            self.note(id, server, Sent::Local(Answer::Repeated(statement)), Deliver::Client);
        } else {
            self.note(id, server, Sent::Bind(Some(statement)), Deliver::Client);
        }
    }

    /// Whether a batch is under way that may have to be sent again: nothing may overtake it. Its
    /// client sends without waiting, and has its own Parse from then on.
    pub(super) fn must_wait_for_repeat(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let session = &mut client.session;
        if !session.repeat_alone || session.batch_repeats.is_some() {
            return false;
        }
        let under_way = session
            .server()
            .and_then(|server| self.servers.get(server))
            .is_some_and(|entry| entry.server.ledger.current_unit() <= session.repeat_unit);
        session.pipelines |= under_way;
        session.repeat_alone = under_way;
        under_way
    }
}

/// Whether what follows a Parse of the unnamed statement is a Bind of it, what may follow that, and
/// Sync, and then nothing.
fn is_rest_of_one_query(mut after: &[u8]) -> bool {
    let mut bound = false;
    while let Ok(Some(header)) = frame::header(after, u32::MAX) {
        let Some((message, rest)) = after.split_at_checked(header.frame_len()) else {
            return false;
        };
        let body = &message[HEADER_LEN..];
        after = rest;
        match header.tag {
            tag::BIND if !bound => {
                bound = BindNames::read(body).is_some_and(|names| names.statement.is_empty());
                if !bound {
                    return false;
                }
            }
            tag::DESCRIBE | tag::CLOSE if bound => match Named::read(body) {
                Some(Named::Portal(_)) => {}
                Some(Named::Statement(_)) | None => return false,
            },
            tag::EXECUTE if bound => {}
            tag::FLUSH if bound && body.is_empty() => {}
            tag::SYNC if bound && body.is_empty() => return after.is_empty(),
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        build::sized(&mut out, |out| out.extend_from_slice(body));
        out
    }

    #[test]
    fn one_query_is_a_bind_and_what_belongs_to_it() {
        let bind = message(b'B', b"\0\0\0\0\0\0\0\0");
        let (portal, statement) = (message(b'D', b"P\0"), message(b'D', b"S\0"));
        let (execute, sync) = (message(b'E', b"\0\0\0\0\0"), message(b'S', b""));
        let check = |parts: &[&[u8]], expected: bool| {
            assert_eq!(is_rest_of_one_query(&parts.concat()), expected, "{parts:?}");
        };
        check(&[&bind, &portal, &execute, &sync], true);
        check(&[&bind, &execute, &message(b'C', b"P\0"), &message(b'H', b""), &sync], true);
        check(&[&bind, &statement, &execute, &sync], false);
        check(&[&statement, &bind, &execute, &sync], false);
        check(&[&bind, &execute, &bind, &execute, &sync], false);
        check(&[&bind, &execute], false);
        check(&[&bind, &execute, &sync[..4]], false);
        check(&[&bind, &execute, &sync, &sync], false);
        check(&[&message(b'B', b"\0named\0\0\0\0\0\0\0"), &execute, &sync], false);
        check(&[&sync], false);
        check(&[], false);
    }
}
