//! Seeing to it that a server has the statement that a message needs: Parse in the same write where
//! it lacks it, Close where it has too many.

use super::Engine;
use super::driver::Driver;
use crate::ids::{ClientId, ServerId};
use crate::prepared::{Standing, StatementId};
use crate::server::ledger::{Deliver, Sent, Which};
use crate::wire::build;

impl<D: Driver> Engine<D> {
    /// Makes sure that the server's unnamed statement is the client's. False: the message must
    /// wait.
    pub(super) fn have_unnamed(
        &mut self,
        id: ClientId,
        server: ServerId,
        before: &mut &[u8],
    ) -> bool {
        let (Some(client), Some(entry)) = (self.clients.get_mut(id), self.servers.get_mut(server))
        else {
            return false;
        };
        let session = &mut client.session;
        let ledger = &mut entry.server.ledger;
        if !session.batch_sets_unnamed && ledger.current_unit() <= session.repeat_unit {
            // So it does on a Parse that the server has been shown under another name.
            session.held = true;
            return false;
        }
        if !session.batch_sets_unnamed && session.unnamed != entry.server.unnamed {
            if ledger.client_units().next().is_some() {
                // What the unnamed statement is depends on batches not yet answered.
                session.held = true;
                return false;
            }
            session.batch_sets_unnamed = true;
            session.parsed = session.unnamed;
            self.to_server.extend_from_slice(std::mem::take(before));
            match session.unnamed {
                Some(statement) => {
                    self.statements.retain(statement);
                    self.pools[entry.pool.0 as usize].counters.server_parses += 1;
                    ledger.sent(Sent::Parse(Which::Unnamed(Some(statement))), Deliver::OnError);
                    self.statements.write_parse(&mut self.to_server, statement, b"");
                }
                None => {
                    // It must not meet another client's.
                    ledger.sent(Sent::Close(Which::Unnamed(None)), Deliver::OnError);
                    build::close_statement(&mut self.to_server, b"");
                }
            }
        }
        if let Some(statement) = session.unnamed {
            let effects = self.statements.effects(statement);
            session.pins = session.pins.and(effects.pins);
            session.batch_ending = session.batch_ending.and(effects.ending);
            entry.server.will_run(effects, &mut self.repeats);
        }
        true
    }

    /// Makes sure that the server has a shared statement. False: the message must wait. What comes
    /// `before` is written first where anything is written.
    pub(super) fn have_on_server(
        &mut self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
        before: &mut &[u8],
    ) -> bool {
        let Some(entry) = self.servers.get_mut(server) else { return false };
        let building = entry.server.ledger.building_unit();
        match entry.server.prepared.standing(statement, building) {
            Standing::There => return true,
            Standing::Unanswered => {
                self.hold_client(id);
                return false;
            }
            Standing::Stale => {
                self.to_server.extend_from_slice(std::mem::take(before));
                self.make_room(id, server);
                self.close_on_server(id, server, statement);
            }
            Standing::Absent => {
                self.to_server.extend_from_slice(std::mem::take(before));
                self.make_room(id, server);
            }
        }
        self.parse_on_server(id, server, statement, Which::Shared(statement), Deliver::OnError);
        true
    }

    pub(super) fn parse_on_server(
        &mut self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
        which: Which,
        deliver: Deliver,
    ) {
        let name = self.statements.server_name(statement);
        self.statements.write_parse(&mut self.to_server, statement, name.as_bytes());
        if self.note(id, server, Sent::Parse(which), deliver)
            && let Some(entry) = self.servers.get_mut(server)
        {
            let unit = entry.server.ledger.building_unit();
            let lease = entry.server.lease;
            entry.server.prepared.sent(&mut self.statements, statement, unit, lease);
            if entry.server.local {
                entry.server.prepared.is_local(statement);
            }
        }
    }

    pub(super) fn close_on_server(
        &mut self,
        id: ClientId,
        server: ServerId,
        statement: StatementId,
    ) {
        build::close_statement(
            &mut self.to_server,
            self.statements.server_name(statement).as_bytes(),
        );
        // The ledger holds a reference until it is answered: only then is the name free again.
        self.statements.retain(statement);
        self.note(id, server, Sent::Close(Which::Shared(statement)), Deliver::Swallow);
        if let Some(entry) = self.servers.get_mut(server) {
            entry.server.prepared.gone(&mut self.statements, statement);
        }
    }

    /// Closes what has not been used for longest where the server has as many as it may. Also in the
    /// middle of a batch: some clients begin each with something else. A Close that an error skips
    /// leaves the statement in the count.
    pub(super) fn make_room(&mut self, id: ClientId, server: ServerId) {
        let max = self.shared_max(server);
        let Some(entry) = self.servers.get_mut(server) else { return };
        for statement in entry.server.prepared.make_room(max) {
            build::close_statement(
                &mut self.to_server,
                self.statements.server_name(statement).as_bytes(),
            );
            self.note(id, server, Sent::Close(Which::Shared(statement)), Deliver::Swallow);
        }
    }

    /// Statements that clients share, per server.
    pub(super) fn shared_max(&self, server: ServerId) -> usize {
        self.servers
            .get(server)
            .map_or(0, |entry| self.pools[entry.pool.0 as usize].pool.limits().prepared as usize)
    }
}
