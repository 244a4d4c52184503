//! Seeing to it that names of clients' own mean on a server what they mean to its client: closing
//! what others have left there, preparing what is missing.
//!
//! In an open batch that is inserted into it, so that an error skips or reports it as if the
//! client's own message had failed. Before a Query it is an exchange of pgweir's own.
//!
//! What a text does not name and only might see, as a query on `pg_prepared_statements` does, fails
//! nothing: what cannot be prepared any more, for its table is gone, is left out. So each of these
//! stands in a unit of its own in an exchange before the message, in a transaction behind a
//! savepoint; in a batch that is open already, in code that catches its error.
//!
//! Deliberately absent: what texts say of names.

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use crate::client::Standing;
use crate::ids::{ClientId, ServerId};
use crate::prepared::{Meant, PREFIX, StatementId, kept};
use crate::server::User;
use crate::server::ledger::{Deliver, Sent, Which};
use crate::session::{Ending, Pins};
use crate::wire::frontend::tag;
use crate::wire::{TransactionStatus, build};

/// The statement, and the portal, that run a text of SQL which prepares another.
const MAKER: &[u8] = b"_pgweir_sql";

/// What is done in the client's transaction to prepare something that it can do without, and undone
/// whether that succeeds or not: what is prepared stays prepared.
const SAVEPOINT: &[u8] = b"SAVEPOINT _pgweir_sql";
const ROLLBACK_TO: &[u8] = b"ROLLBACK TO _pgweir_sql";
const RELEASE: &[u8] = b"RELEASE _pgweir_sql";

/// What a text needs of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// That something is called so, if anything is.
    Name,
    /// What it means.
    Statement,
    /// The same, if that can be prepared: the text does not name it, and runs without.
    IfPossible,
}

/// How the message is sent that is to find the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As a Query.
    Query,
    /// In a batch.
    Batch,
}

/// What is to stand under a name.
enum Put {
    Nothing,
    StandIn,
    Statement(StatementId),
    /// The same, if it can be prepared.
    IfPossible(StatementId),
}

/// A name, whether what stands there is closed, and what is put there.
type Todo = (Box<[u8]>, bool, Put);

impl<D: Driver> Engine<D> {
    /// Sees to it that these names mean on the server what they mean to the client, and with
    /// `everything` that no other name means anything. `Err`: the message must wait.
    pub(super) fn stand(
        &mut self,
        id: ClientId,
        server: ServerId,
        wants: &[(Box<[u8]>, Need)],
        everything: bool,
        way: Way,
        before: &mut &[u8],
    ) -> Result<(), Next> {
        let max = self.shared_max(server);
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return Err(Next::End);
        };
        let names = client.session.names.as_deref();
        let prepared = &mut entry.server.prepared;
        if names.is_none() && prepared.own.is_empty() {
            return Ok(());
        }
        let ledger = &entry.server.ledger;
        let building = ledger.building_unit();
        let failed = ledger.is_up_to_date() && entry.server.status == TransactionStatus::Failed;
        let standing = client.session.standing.as_ref();
        let standing = standing.filter(|standing| standing.is_for(server, building));
        let leaves_out = |name: &[u8]| {
            let cannot_be = standing.is_some_and(|standing| standing.leaves_out(name));
            cannot_be || failed || (ledger.is_joined() && !ledger.batch_is_open())
        };
        let uncertain = prepared.is_uncertain();
        let mut todo: Vec<Todo> = Vec::new();
        for (name, need) in wants.iter().filter(|(name, _)| !name.starts_with(PREFIX)) {
            let name = kept(name);
            let wanted = names.and_then(|names| names.get(name));
            let put = match (wanted, need) {
                (None, _) => Put::Nothing,
                (Some(_), Need::Name) => Put::StandIn,
                // Nothing can be prepared then: in a batch, that is what the client is told.
                (Some(_), Need::Statement) if failed && way == Way::Query => Put::Nothing,
                (Some(wanted), Need::Statement) => Put::Statement(wanted),
                (Some(_), Need::IfPossible) if leaves_out(name) => Put::Nothing,
                (Some(wanted), Need::IfPossible) => Put::IfPossible(wanted),
            };
            let close = match prepared.own.meant(name, building) {
                Meant::Unanswered => return Err(self.hold_client(id)),
                Meant::Statement(stands) if wanted == Some(stands) => continue,
                Meant::Nothing if wanted.is_none() => continue,
                Meant::Nothing => uncertain,
                Meant::Statement(_) | Meant::Unknown => true,
            };
            todo.push((name.into(), close, put));
        }
        let is_wanted = |name: &[u8]| wants.iter().any(|(wanted, _)| kept(wanted) == name);
        let unwanted: Vec<Box<[u8]>> = if everything {
            prepared.own.names().map(Box::from).collect()
        } else if client.session.pins_at_stake().has(Pins::SQL_PREPARE) {
            Vec::new()
        } else {
            prepared.own.surplus(max)
        };
        for name in unwanted.into_iter().filter(|name| !is_wanted(name)) {
            match prepared.own.meant(&name, building) {
                Meant::Unanswered => return Err(self.hold_client(id)),
                Meant::Nothing => {}
                Meant::Statement(_) | Meant::Unknown => todo.push((name, true, Put::Nothing)),
            }
        }
        if todo.is_empty() {
            return Ok(());
        }
        let alone = way == Way::Query && !ledger.batch_is_open();
        let is_needed = |(.., put): &Todo| matches!(put, Put::Statement(_));
        let is_possible = |(.., put): &Todo| matches!(put, Put::IfPossible(_));
        let first = alone && todo.iter().any(is_needed);
        let tries = !ledger.batch_is_open() && todo.iter().any(is_possible);
        if (first || tries) && !ledger.is_settled() {
            return Err(self.hold_client(id));
        }
        // What is left for later is looked at again when the message's turn comes again.
        if first {
            todo.retain(|todo| !is_possible(todo));
            return Err(self.stand_first(id, server, todo));
        }
        if tries {
            todo.retain(is_possible);
            return Err(self.try_first(id, server, todo));
        }
        let mut bytes = Vec::new();
        let deliver = if alone { Deliver::Swallow } else { Deliver::OnError };
        for (name, close, put) in todo {
            self.put(id, server, &name, (close, put), deliver, &mut bytes);
        }
        if alone {
            self.end_unit(id, server, &mut bytes);
        }
        self.to_server.extend_from_slice(std::mem::take(before));
        self.to_server.extend_from_slice(&bytes);
        Ok(())
    }

    /// An exchange of pgweir's own, before the message that waits for it, and fails with it.
    fn stand_first(&mut self, id: ClientId, server: ServerId, todo: Vec<Todo>) -> Next {
        let count = todo.len();
        let mut bytes = Vec::new();
        for (name, close, put) in todo {
            self.put(id, server, &name, (close, put), Deliver::Swallow, &mut bytes);
        }
        self.send_first(id, server, (bytes, count), Vec::new())
    }

    /// The same of what the message can do without: each in a unit of its own, that fails alone.
    fn try_first(&mut self, id: ClientId, server: ServerId, todo: Vec<Todo>) -> Next {
        let Some(entry) = self.servers.get(server) else { return Next::End };
        let in_transaction = entry.server.status == TransactionStatus::InTransaction;
        let mut unit = entry.server.ledger.building_unit();
        let mut bytes = Vec::new();
        let mut tries = Vec::new();
        for (name, close, put) in todo {
            if !tries.is_empty() {
                self.end_unit(id, server, &mut bytes);
                unit += 1;
            }
            if in_transaction {
                let text = if tries.is_empty() { SAVEPOINT } else { ROLLBACK_TO };
                self.run_beside(id, server, text, Deliver::Swallow, &mut bytes);
            }
            let put = match put {
                Put::IfPossible(statement) => Put::Statement(statement),
                Put::Nothing | Put::StandIn | Put::Statement(_) => put,
            };
            self.put(id, server, &name, (close, put), Deliver::Swallow, &mut bytes);
            tries.push((unit, name));
        }
        if in_transaction {
            self.end_unit(id, server, &mut bytes);
            self.run_beside(id, server, ROLLBACK_TO, Deliver::Swallow, &mut bytes);
            self.run_beside(id, server, RELEASE, Deliver::Swallow, &mut bytes);
        }
        let count = tries.len();
        self.send_first(id, server, (bytes, count), tries)
    }

    fn end_unit(&mut self, id: ClientId, server: ServerId, out: &mut Vec<u8>) {
        build::sync(out);
        self.note(id, server, Sent::Sync(Ending::No), Deliver::Swallow);
    }

    /// Sends an exchange of pgweir's own, for so many statements, with the Sync that ends it.
    fn send_first(
        &mut self,
        id: ClientId,
        server: ServerId,
        (mut bytes, count): (Vec<u8>, usize),
        tries: Vec<(u64, Box<[u8]>)>,
    ) -> Next {
        build::sync(&mut bytes);
        if let (Some(client), Some(entry)) =
            (self.clients.get_mut(id), self.servers.get_mut(server))
        {
            let message = (server, entry.server.ledger.building_unit() + 1);
            client.session.standing = Some(Box::new(Standing::before(message, tries)));
            entry.server.user = User::Preparing(id);
        }
        self.send_own(server, Sent::Sync(Ending::No), &bytes);
        self.expect_statements(server, count);
        Next::Pause
    }

    /// Writes what makes a name mean this.
    fn put(
        &mut self,
        id: ClientId,
        server: ServerId,
        name: &[u8],
        (close, put): (bool, Put),
        deliver: Deliver,
        out: &mut Vec<u8>,
    ) {
        let Some(entry) = self.servers.get_mut(server) else { return };
        let unit = entry.server.ledger.building_unit();
        let local = entry.server.local;
        if close {
            build::close_statement(out, name);
            entry.server.prepared.own.closing(&mut self.statements, name, unit);
            self.note(id, server, Sent::Close(Which::Own), Deliver::Swallow);
        }
        let Some(entry) = self.servers.get_mut(server) else { return };
        let own = &mut entry.server.prepared.own;
        match put {
            Put::Nothing => {}
            Put::StandIn => {
                own.doubt(&mut self.statements, name);
                build::parse(out, name, b"\0\0\0");
                self.note(id, server, Sent::Parse(Which::Own), deliver);
            }
            Put::Statement(statement) => {
                own.sent(&mut self.statements, name, statement, (unit, local));
                let Some(text) = self.statements.sql_text(statement) else {
                    self.statements.write_parse(out, statement, name);
                    self.note(id, server, Sent::Parse(Which::Own), deliver);
                    return;
                };
                let text = text.to_vec();
                self.run_beside(id, server, &text, deliver, out);
            }
            Put::IfPossible(statement) => {
                // Whether it has been is not known.
                own.doubt(&mut self.statements, name);
                let text = self.statements.sql_text(statement).map(if_possible);
                self.run_beside(id, server, &text.unwrap_or_default(), deliver, out);
            }
        }
    }

    /// Writes what runs a text in the protocol, beside all that the client has there.
    fn run_beside(
        &mut self,
        id: ClientId,
        server: ServerId,
        text: &[u8],
        deliver: Deliver,
        out: &mut Vec<u8>,
    ) {
        // What an error has left of the last one goes first.
        build::close_statement(out, MAKER);
        build::parse(out, MAKER, &[text, b"\0\0\0"].concat());
        build::close_portal(out, MAKER);
        out.push(tag::BIND);
        build::sized(out, |out| {
            out.extend_from_slice(&[MAKER, b"\0", MAKER, &[0; 7]].concat());
        });
        out.push(tag::EXECUTE);
        build::sized(out, |out| out.extend_from_slice(&[MAKER, &[0; 5]].concat()));
        build::close_portal(out, MAKER);
        build::close_statement(out, MAKER);
        let (close, parse) = (Sent::Close(Which::Own), Sent::Parse(Which::Own));
        for sent in [close, parse, close, Sent::Bind(None), Sent::Execute, close, close] {
            let deliver = if sent == close { Deliver::Swallow } else { deliver };
            self.note(id, server, sent, deliver);
        }
    }

    /// What stands under a name that no statement of the client's has is closed: the client's own
    /// message that names it is about to be sent as it is.
    pub(super) fn expel(
        &mut self,
        id: ClientId,
        server: ServerId,
        name: &[u8],
        before: &mut &[u8],
    ) -> Result<(), Next> {
        if self.servers.get(server).is_none_or(|entry| entry.server.prepared.own.is_empty()) {
            return Ok(());
        }
        self.stand(id, server, &[(name.into(), Need::Name)], false, Way::Batch, before)
    }

    /// A statement that was prepared by SQL is about to be used by a message of the protocol's, which
    /// names it as the client does.
    pub(super) fn stand_by_name(
        &mut self,
        id: ClientId,
        server: ServerId,
        name: &[u8],
        before: &mut &[u8],
    ) -> Result<(), Next> {
        self.stand(id, server, &[(name.into(), Need::Statement)], false, Way::Batch, before)
    }
}

/// Code that runs a text of SQL, and goes on where that fails.
fn if_possible(text: &[u8]) -> Vec<u8> {
    let mut code = b"BEGIN EXECUTE".to_vec();
    build::literal(&mut code, text);
    code.extend_from_slice(b"; EXCEPTION WHEN OTHERS THEN NULL; END");
    let mut whole = b"DO LANGUAGE plpgsql".to_vec();
    build::literal(&mut whole, &code);
    whole
}
