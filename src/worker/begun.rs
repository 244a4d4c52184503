//! Transactions that have begun and have no server yet, where a database has replicas.
//!
//! BEGIN is answered here; what comes first in the transaction decides who gets it. Then BEGIN goes ahead of that, in an
//! exchange of pgweir's own, so that nothing runs outside of its transaction if it should fail.

use super::Engine;
use super::driver::Driver;
use super::from_client::Next;
use super::route::Way;
use crate::client::request::{Extent, extent};
use crate::client::{Begun, Lone, Lost, Sending, State, Touch, Wish};
use crate::config::Reads;
use crate::ids::{ClientId, ServerId};
use crate::route::{Choice, Policy, Why};
use crate::server::User;
use crate::session::facts;
use crate::sql::TransactionControl;
use crate::wire::frame::Header;
use crate::wire::frontend::tag;
use crate::wire::{TransactionStatus, build};

impl<D: Driver> Engine<D> {
    /// A request of a client outside of transactions that is transaction control and nothing else. Where it is BEGIN, the
    /// client has a transaction without a server, and has been told so.
    pub(super) fn begins(&mut self, id: ClientId, request: &[u8]) -> Option<Next> {
        let lone = self.lone(id, request)?;
        let TransactionControl::Begin(modes) = lone.control else { return None };
        let begun = Box::new(Begun::new(&lone.text, modes));
        self.answer_lone(id, &lone, request, TransactionStatus::InTransaction);
        let session = &mut self.clients.get_mut(id)?.session;
        session.routed.as_mut()?.begun = Some(begun);
        session.rest();
        Some(Next::Answered(request.len()))
    }

    fn lone<'a>(&self, id: ClientId, request: &'a [u8]) -> Option<Lone<'a>> {
        let session = &self.clients.get(id)?.session;
        Lone::of(request, |name| {
            let named = || session.names.as_ref()?.get(name);
            let statement = if name.is_empty() { session.unnamed } else { named() }?;
            if self.statements.is_sql(statement) {
                return None;
            }
            Some(self.statements.text(statement).to_vec())
        })
    }

    fn answer_lone(
        &mut self,
        id: ClientId,
        lone: &Lone<'_>,
        request: &[u8],
        status: TransactionStatus,
    ) {
        lone.answer(request, status, &mut self.to_client);
        let Some(client) = self.clients.get_mut(id) else { return };
        let session = &mut client.session;
        match lone.prepares {
            Some(content) => {
                let under = session.params.dialect();
                let statement =
                    self.statements.intern(content, under, || facts::effects(&lone.text));
                self.statements.assign(&mut session.unnamed, Some(statement));
                self.statements.release(statement);
            }
            // A Query throws the unnamed statement away.
            None if request.first() == Some(&tag::QUERY) => {
                self.statements.assign(&mut session.unnamed, None);
            }
            None => {}
        }
    }

    /// A message of a client whose transaction has no server: answered, or the server that it is now to have.
    pub(super) fn goes_on_begun(
        &mut self,
        id: ClientId,
        header: Header,
        front: &[u8],
    ) -> Result<ServerId, Next> {
        let len = match extent(front) {
            Extent::Whole(len) => Some(len),
            Extent::Unfinished(there) => return Err(Next::More(there + 1)),
            Extent::Open => None,
        };
        let request = &front[..len.unwrap_or(0)];
        if len.is_some()
            && let Some(next) = self.answer_begun(id, request)
        {
            return Err(next);
        }
        let way = self.way_of_begun(id, request);
        let pool = self.take_way(id, header, way, request)?;
        match self.check_out(id, pool) {
            Some(server) if self.is_preparing(server) => Err(Next::Pause),
            Some(server) => Ok(server),
            None => Err(Next::Pause),
        }
    }

    /// What a transaction without a server can be told without one.
    fn answer_begun(&mut self, id: ClientId, request: &[u8]) -> Option<Next> {
        if request.first() == Some(&tag::SYNC) {
            build::ready_for_query(&mut self.to_client, TransactionStatus::InTransaction);
            return Some(Next::Answered(request.len()));
        }
        let lone = self.lone(id, request)?;
        let status = match lone.control {
            TransactionControl::Commit { chain: false }
            | TransactionControl::Rollback { chain: false } => TransactionStatus::Idle,
            TransactionControl::SetTransaction(modes) => {
                let routed = self.clients.get_mut(id)?.session.routed.as_mut()?;
                if !routed.begun.as_mut()?.set(&lone.text, modes) {
                    return None;
                }
                TransactionStatus::InTransaction
            }
            TransactionControl::Begin(_)
            | TransactionControl::Commit { chain: true }
            | TransactionControl::Rollback { chain: true }
            | TransactionControl::Savepoint(_)
            | TransactionControl::Release(_)
            | TransactionControl::RollbackTo(_)
            | TransactionControl::PrepareTransaction
            | TransactionControl::CommitPrepared
            | TransactionControl::RollbackPrepared => return None,
        };
        self.answer_lone(id, &lone, request, status);
        if status == TransactionStatus::Idle {
            let session = &mut self.clients.get_mut(id)?.session;
            session.routed.as_mut()?.begun = None;
            session.rest();
            // Before anything else is said.
            self.flush_answers(id);
            self.look_after_listening(id);
            self.let_go_if_dismissed(id);
        }
        Some(Next::Answered(request.len()))
    }

    /// Which way a transaction goes that begins with this request; an empty one has no end.
    fn way_of_begun(&mut self, id: ClientId, request: &[u8]) -> Way {
        let primary = |why| Way::Primary(why, Touch::Write);
        let Some(client) = self.clients.get_mut(id) else { return primary(Why::Transaction) };
        let policy = client.spec.policy();
        let session = &mut client.session;
        let Some(routed) = &mut session.routed else { return primary(Why::Transaction) };
        let terms = routed.terms(&session.params);
        let Some(begun) = &routed.begun else { return primary(Why::Transaction) };
        let read_only = begun.read_only().unwrap_or(terms.read_only);
        let isolated = !begun.reads_committed().unwrap_or(!terms.isolated);
        if policy.rejects_writes {
            return self.all_to_reader(id, policy);
        }
        if policy.reads == Reads::Primary || std::mem::take(&mut routed.to_primary) {
            return primary(Why::Configured);
        }
        if terms.route == Some(Wish::Primary) {
            return primary(Why::WantsPrimary);
        }
        if !read_only {
            return primary(Why::Transaction);
        }
        if isolated && !policy.all_to_replicas {
            return primary(Why::Isolation);
        }
        if request.is_empty() {
            return primary(Why::OpenBatch);
        }
        if !self.may_begin_reading(id, request, policy) {
            return primary(Why::Unproven);
        }
        self.transaction_to_reader(id, policy)
    }

    fn transaction_to_reader(&mut self, id: ClientId, policy: Policy) -> Way {
        match self.choose(id, policy) {
            Choice::Node(node) => Way::Reader(node, Why::ReadOnly, Sending::Transaction),
            Choice::NoneFresh if self.may_wait(id, policy) => Way::Waits,
            Choice::NoneFresh => Way::Primary(Why::NotFresh, Touch::Read),
            Choice::NoneReadable if policy.fails_without_replica => self.no_replica(id),
            Choice::NoneReadable => Way::Primary(Why::NoReplica, Touch::Read),
        }
    }

    /// A client has got the server for its transaction, which begins there before anything else.
    #[inline]
    pub(super) fn begins_first(&mut self, id: ClientId, server: ServerId) -> Option<Next> {
        let routed = self.clients.get(id)?.session.routed.as_ref()?;
        let text = routed.begun.as_ref()?.statement();
        let entry = self.servers.get_mut(server)?;
        entry.server.user = User::Preparing(id);
        self.send_own_query(server, &text);
        Some(Next::Pause)
    }

    /// A server has answered to what was sent ahead of its client's message: it may have been BEGIN.
    pub(super) fn has_begun(&mut self, id: ServerId, client_id: ClientId) {
        let (Some(entry), Some(client)) = (self.servers.get(id), self.clients.get_mut(client_id))
        else {
            return;
        };
        if entry.server.status == TransactionStatus::InTransaction
            && let Some(routed) = &mut client.session.routed
        {
            routed.begun = None;
        }
    }

    /// A request in a transaction without a server fails: the transaction has failed, and the client is told with the
    /// request.
    pub(super) fn fail_begun(
        &mut self,
        id: ClientId,
        report: crate::wire::Report,
    ) -> Option<crate::wire::Report> {
        let Some(client) = self.clients.get_mut(id) else { return Some(report) };
        let begun = client.session.routed.as_mut().and_then(|routed| routed.begun.take());
        if begun.is_none() {
            return Some(report);
        }
        client.session.state = State::Lost(Box::new(Lost::unreported(report)));
        self.todo.push_back(super::Todo::Client(id));
        None
    }
}
