//! Where a request of a client without a server goes: to the primary, or to a node that may be read.
//!
//! A request is judged as a whole, so a batch is waited for up to its Sync; what it needs is decided by its texts
//! alone, and remembered by them. Doubt goes to the primary.
//!
//! Deliberately absent: what proves a read (`route`), and what becomes of one that a replica could not serve (`rerun`).

use super::driver::Driver;
use super::from_client::Next;

use super::from_client::is_large_object_function;
use super::refuse::{Refused, Stands};
use super::{Engine, PoolEntry};
use crate::client::request::{Extent, Part, extent, look, parts};
use crate::client::{Lease, Sending, Touch, Wish};
use crate::config::{Consistency, Reads, Strategy};
use crate::deadline::Deadline;
use crate::errors;
use crate::ids::{ClientId, PoolId, ServerId};
use crate::prepared::StatementId;
use crate::route::verdicts::{executed, of_server, prepared};
use crate::route::{Choice, Policy, PrimaryIs, Ruling, Why};
use crate::session::Pins;

use crate::wire::Report;

use crate::wire::frame::{HEADER_LEN, Header};
use crate::wire::frontend::{BindNames, ParseView, query_text, tag};

/// How soon a read that waits for a replica looks again.
const LOOK_AGAIN_MS: u64 = 2;

/// Messages of a batch that are looked at; a longer one goes to the primary.
const MOST_PARTS: usize = 256;

/// What a whole request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// Every text of it is proven to read.
    Reads,
    /// Its client says that it may go to a replica, and it is not known to write.
    MayRead,
    /// It touches no data.
    Harmless,
    /// Transaction control and nothing else.
    Controls,
    /// Something else.
    Other(Why),
}

impl Nature {
    fn of(ruling: Ruling) -> Self {
        match ruling {
            Ruling::Read => Nature::Reads,
            Ruling::Session => Nature::Harmless,
            Ruling::Control => Nature::Controls,
            Ruling::Write => Nature::Other(Why::Write),
            Ruling::Unproven => Nature::Other(Why::Unproven),
            // Of a statement that is not known.
            Ruling::Executes => Nature::Other(Why::Unproven),
            Ruling::OfServer => Nature::Other(Why::OfServer),
            Ruling::WantsPrimary => Nature::Other(Why::WantsPrimary),
            Ruling::WantsReplica => Nature::MayRead,
        }
    }

    /// Both in one request.
    fn and(self, other: Nature) -> Nature {
        match (self, other) {
            (one, other) if one == other => one,
            (Nature::Other(Why::Write), _) | (_, Nature::Other(Why::Write)) => {
                Nature::Other(Why::Write)
            }
            (Nature::Other(why), _) | (_, Nature::Other(why)) => Nature::Other(why),
            (Nature::Reads, Nature::MayRead) | (Nature::MayRead, Nature::Reads) => Nature::MayRead,
            (Nature::Controls, _) | (_, Nature::Controls) => Nature::Other(Why::Transaction),
            (Nature::Harmless, _) | (_, Nature::Harmless) => Nature::Other(Why::Session),
            (Nature::Reads | Nature::MayRead, Nature::Reads | Nature::MayRead) => Nature::MayRead,
        }
    }
}

/// Where a request goes.
pub(super) enum Way {
    Primary(Why, Touch),
    Reader(usize, Why, Sending),
    /// More of it must be there.
    Unfinished(usize),
    /// A replica may catch up.
    Waits,
    Refused(Report),
    /// It has been answered.
    Told(Next),
}

impl<D: Driver> Engine<D> {
    /// The pool that a client's request is to have a server of. `front`: the request, and what came behind it.
    #[inline]
    pub(super) fn route(
        &mut self,
        id: ClientId,
        header: Header,
        front: &[u8],
    ) -> Result<PoolId, Next> {
        let Some(client) = self.clients.get(id) else { return Err(Next::End) };
        if client.session.routed.is_none() {
            return Ok(client.pool);
        }
        let (way, len) = self.way(id, header, front);
        self.take_way(id, header, way, &front[..len])
    }

    /// Notes which way a client's request goes. `request` is empty where its end has not been seen.
    pub(super) fn take_way(
        &mut self,
        id: ClientId,
        header: Header,
        way: Way,
        request: &[u8],
    ) -> Result<PoolId, Next> {
        let Some(client) = self.clients.get_mut(id) else { return Err(Next::End) };
        let Some(routed) = &mut client.session.routed else { return Ok(client.pool) };
        let pool = &mut self.pools[client.pool.0 as usize];
        routed.left = request.len();
        if matches!(way, Way::Primary(..) | Way::Reader(..) | Way::Refused(_)) {
            routed.waits = None;
            routed.replies.clear();
        }
        match way {
            Way::Primary(why, touch) => {
                routed.lease = Lease::Primary(touch);
                routed.request.clear();
                // Of a transaction nothing is run again by itself.
                if touch == Touch::Read && routed.begun.is_none() {
                    routed.request.extend_from_slice(request);
                }
                pool.counters.ways.count_one(why as usize);
                Ok(client.pool)
            }
            Way::Reader(node, why, what) => {
                let Some(&reader) = pool.readers.get(node) else { return Ok(client.pool) };
                routed.lease = Lease::Reader { node, life: pool.life_of(node), what };
                routed.request.clear();
                if what == Sending::Request {
                    routed.request.extend_from_slice(request);
                }
                pool.counters.ways.count_one(why as usize);
                Ok(reader)
            }
            Way::Unfinished(needs) => Err(Next::More(needs)),
            Way::Waits => {
                let since = routed.waits.map_or(self.now, |(since, _)| since);
                client.session.held = true;
                let limit = u64::from(client.spec.policy().wait_ms);
                let look_at = self.now.plus(LOOK_AGAIN_MS).min(since.plus(limit));
                self.fresh_waits.push(id);
                self.check_at(Deadline::after(look_at, Some(0)));
                Err(Next::Pause)
            }
            Way::Refused(report) => {
                // Of a transaction that has begun it is the end.
                let Some(report) = self.fail_begun(id, report) else { return Err(Next::Pause) };
                let Some(client) = self.clients.get_mut(id) else { return Err(Next::End) };
                client.session.refuse = Some(Box::new(report));
                Err(self.refuse_message(id, header.tag))
            }
            Way::Told(next) => Err(next),
        }
    }

    /// The way of the request at the front, and how long that is; 0: its end is not there.
    fn way(&mut self, id: ClientId, header: Header, front: &[u8]) -> (Way, usize) {
        let primary = |why| (Way::Primary(why, Touch::Write), 0);
        let Some(client) = self.clients.get_mut(id) else { return primary(Why::Configured) };
        let policy = client.spec.policy();
        let session = &mut client.session;
        if self.pools[client.pool.0 as usize].fleet.is_none() {
            // A reload has left one server.
            session.routed = None;
        }
        let Some(routed) = &mut session.routed else { return primary(Why::Configured) };
        let terms = routed.terms(&session.params);
        routed.never_primary = policy.rejects_writes;
        if std::mem::take(&mut routed.to_primary) && !policy.rejects_writes {
            return primary(Why::Again);
        }
        let is_text = matches!(header.tag, tag::QUERY | tag::PARSE);
        if is_text && header.body_len as usize > self.max_statement_size && !policy.rejects_writes {
            return primary(Why::OpenBatch);
        }
        let is_call = header.tag == tag::FUNCTION_CALL && !policy.rejects_writes;
        if policy.reads == Reads::Primary || is_call {
            return primary(Why::Configured);
        }
        if !session.pins.is_none() {
            // It keeps the server that it gets.
            return match policy.rejects_writes {
                true => (self.all_to_reader(id, policy), 0),
                false => primary(Why::Session),
            };
        }
        if terms.route == Some(Wish::Primary) && !policy.rejects_writes {
            return primary(Why::WantsPrimary);
        }
        if terms.isolated && !policy.all_to_replicas {
            return primary(Why::Isolation);
        }
        let (extent, simple) = look(front);
        let len = match extent {
            Extent::Whole(len) => len,
            Extent::Unfinished(there) => return (Way::Unfinished(there + 1), 0),
            Extent::Open if policy.rejects_writes => {
                return (self.all_to_reader(id, policy), 0);
            }
            Extent::Open => return primary(Why::OpenBatch),
        };
        let nature = match terms.usual {
            true => self.nature(id, &front[..len], simple),
            false => Nature::Other(Why::Unproven),
        };
        let wants_replica = terms.route == Some(Wish::Replica);
        let way = match nature {
            Nature::Other(Why::Write) if policy.rejects_writes => {
                Way::Refused(errors::writes_rejected(&self.database_of(id)))
            }
            Nature::Reads => self.way_to_reader(id, policy, Why::Read),
            Nature::MayRead => self.way_to_reader(id, policy, Why::WantsReplica),
            Nature::Other(Why::Unproven) if wants_replica => {
                self.way_to_reader(id, policy, Why::WantsReplica)
            }
            Nature::Other(Why::Unproven) if policy.all_to_replicas && !policy.rejects_writes => {
                self.way_to_reader(id, policy, Why::ReadOnly)
            }
            Nature::Controls if let Some(next) = self.begins(id, &front[..len]) => Way::Told(next),
            Nature::Harmless | Nature::Controls | Nature::Other(_) if policy.rejects_writes => {
                self.all_to_reader(id, policy)
            }
            Nature::Harmless => Way::Primary(Why::Session, Touch::Nothing),
            Nature::Controls => Way::Primary(Why::Transaction, Touch::Write),
            Nature::Other(why) => Way::Primary(why, Touch::Write),
        };
        (way, len)
    }

    /// Whether a transaction that only reads may begin with this request at a replica.
    pub(super) fn may_begin_reading(
        &mut self,
        id: ClientId,
        request: &[u8],
        policy: Policy,
    ) -> bool {
        let Some(client) = self.clients.get_mut(id) else { return false };
        let session = &mut client.session;
        let terms = session.routed.as_mut().map(|routed| routed.terms(&session.params));
        let wants_replica = terms.is_some_and(|terms| terms.route == Some(Wish::Replica));
        if !terms.is_some_and(|terms| terms.usual) {
            return policy.all_to_replicas;
        }
        match self.nature(id, request, false) {
            Nature::Reads | Nature::MayRead | Nature::Harmless | Nature::Controls => true,
            Nature::Other(Why::Unproven) => policy.all_to_replicas || wants_replica,
            Nature::Other(_) => false,
        }
    }

    /// What all the texts of a whole request are. `simple`: the first message says it all.
    fn nature(&mut self, id: ClientId, request: &[u8], simple: bool) -> Nature {
        let messages = if simple { 1 } else { MOST_PARTS + 1 };
        let mut nature: Option<Nature> = None;
        // Statements that the batch itself has parsed: they have been judged.
        let mut parsed: Vec<&[u8]> = Vec::new();
        for (n, part) in parts(request).take(messages).enumerate() {
            if n >= MOST_PARTS {
                return Nature::Other(Why::OpenBatch);
            }
            let next = match part {
                Part::Text(text, name) => {
                    parsed.extend(name);
                    Some(Nature::of(match self.ruling(id, text, name.is_none()) {
                        Ruling::Executes => self.ruling_of_executed(id, text),
                        ruling => ruling,
                    }))
                }
                Part::Bind(name, _) | Part::Describes(name) if parsed.contains(&name) => None,
                Part::Bind(name, _) | Part::Describes(name) => {
                    Some(match self.statement_called(id, name) {
                        Some(statement) => Nature::of(self.ruling_of(id, statement)),
                        None => Nature::Other(Why::Unproven),
                    })
                }
                Part::Executes(_) | Part::Nothing => None,
                Part::Broken => Some(Nature::Other(Why::Unproven)),
            };
            nature = match (nature, next) {
                (Some(one), Some(other)) => Some(one.and(other)),
                (one, other) => one.or(other),
            };
        }
        nature.unwrap_or(Nature::Harmless)
    }

    /// What a client's name means; an empty one is that of the unnamed statement.
    fn statement_called(&self, id: ClientId, name: &[u8]) -> Option<StatementId> {
        let session = &self.clients.get(id)?.session;
        if name.is_empty() { session.unnamed } else { session.names.as_ref()?.get(name) }
    }

    /// What routing knows of a text. `alone`: it stands in a Query, and so may have been put together anew.
    fn ruling(&mut self, id: ClientId, text: &[u8], alone: bool) -> Ruling {
        let Some(client) = self.clients.get(id) else { return Ruling::Unproven };
        let entry = &self.pools[client.pool.0 as usize];
        let judged_by = entry.judged_by();
        let key = match alone {
            true => self.verdicts.key_of_shape(text, judged_by),
            false => self.verdicts.key(text, judged_by),
        };
        if let Some(ruling) = self.verdicts.get(key) {
            return ruling;
        }
        let refused = self.refused_reads.has(text, self.now);
        let ruling = if refused { Ruling::Unproven } else { entry.judge_for_routing(text) };
        self.verdicts.put(key, ruling);
        ruling
    }

    fn ruling_of(&mut self, id: ClientId, statement: StatementId) -> Ruling {
        let Some(client) = self.clients.get(id) else { return Ruling::Unproven };
        let entry = &self.pools[client.pool.0 as usize];
        let judged_by = entry.judged_by();
        if let Some(noted) = self.statements.noted(statement, judged_by) {
            return Ruling::noted(noted);
        }
        let text = self.statements.text(statement);
        let text = if self.statements.is_sql(statement) { prepared(text) } else { text };
        let refused = self.refused_reads.has(text, self.now);
        let ruling = if refused { Ruling::Unproven } else { entry.judge_for_routing(text) };
        self.statements.note(statement, judged_by, ruling as u8);
        ruling
    }

    /// What the statement is that a text runs with EXECUTE.
    fn ruling_of_executed(&mut self, id: ClientId, text: &[u8]) -> Ruling {
        let statement = executed(text).and_then(|name| self.statement_called(id, name.as_bytes()));
        statement.map_or(Ruling::Unproven, |statement| self.ruling_of(id, statement))
    }

    /// A text that would run on the replica that its client's transaction is on, and do something else than on the
    /// primary.
    #[inline]
    pub(super) fn is_for_one_server(
        &mut self,
        (id, server): (ClientId, ServerId),
        (header, message): (Header, &[u8]),
        before: &[u8],
    ) -> Option<Next> {
        let client = self.clients.get(id)?;
        let routed = client.session.routed.as_ref()?;
        let stays = matches!(routed.lease, Lease::Reader { what: Sending::Transaction, .. });
        if !stays && !client.spec.policy().rejects_writes {
            return None;
        }
        self.refuse_for_one_server((id, server), (header, message), before)
    }

    #[inline(never)]
    fn refuse_for_one_server(
        &mut self,
        (id, server): (ClientId, ServerId),
        (header, message): (Header, &[u8]),
        before: &[u8],
    ) -> Option<Next> {
        let body = message.get(HEADER_LEN..)?;
        let (name, stands) = match header.tag {
            tag::BIND => {
                let names = BindNames::read(body)?;
                let statement = self.statement_called(id, names.statement)?;
                let text = self.statements.text(statement).to_vec();
                let ruling = match self.ruling_of(id, statement) {
                    Ruling::Executes => self.ruling_of_executed(id, &text),
                    ruling => ruling,
                };
                if ruling != Ruling::OfServer {
                    return None;
                }
                (of_server(prepared(&text)).unwrap_or_else(|| "EXECUTE".to_owned()), Stands::Bind)
            }
            // What it does is not seen, and the commonest of them lock.
            tag::FUNCTION_CALL if !is_large_object_function(body) => {
                ("a function call of the protocol".to_owned(), Stands::Query)
            }
            tag::QUERY | tag::PARSE if message.len() < header.frame_len() => {
                ("a text that is too long to be read".to_owned(), Stands::of(message)?)
            }
            tag::QUERY | tag::PARSE => {
                let text = match header.tag {
                    tag::QUERY => query_text(body)?,
                    _ => ParseView::read(body)?.query,
                };
                let ruling = match self.ruling(id, text, header.tag == tag::QUERY) {
                    Ruling::Executes => self.ruling_of_executed(id, text),
                    ruling => ruling,
                };
                if ruling == Ruling::Write && self.clients.get(id)?.spec.policy().rejects_writes {
                    let report = errors::writes_rejected(&self.database_of(id));
                    let refused = Refused { report, controls: false };
                    return self.refuse(id, Some(server), Stands::of(message)?, before, refused);
                }
                if ruling != Ruling::OfServer {
                    return None;
                }
                (of_server(text).unwrap_or_else(|| "EXECUTE".to_owned()), Stands::of(message)?)
            }
            _ => return None,
        };
        let refused = Refused { report: errors::of_one_server(&name), controls: false };
        self.refuse(id, Some(server), stands, before, refused)
    }

    /// A node for what may be read from one, or what happens without one.
    pub(super) fn way_to_reader(&mut self, id: ClientId, policy: Policy, why: Why) -> Way {
        let touch = if why == Why::Read { Touch::Read } else { Touch::Write };
        match self.choose(id, policy) {
            Choice::Node(node) => Way::Reader(node, why, Sending::Request),
            Choice::NoneFresh if self.may_wait(id, policy) => Way::Waits,
            Choice::NoneFresh | Choice::NoneReadable if policy.rejects_writes => {
                self.no_replica(id)
            }
            Choice::NoneFresh => Way::Primary(Why::NotFresh, touch),
            Choice::NoneReadable if policy.fails_without_replica => self.no_replica(id),
            Choice::NoneReadable => Way::Primary(Why::NoReplica, touch),
        }
    }

    /// A node for what a database that takes no writes is asked: all of it goes to one node, up to the end of its
    /// transaction, and never to the primary.
    pub(super) fn all_to_reader(&mut self, id: ClientId, policy: Policy) -> Way {
        match self.choose(id, policy) {
            Choice::Node(node) => Way::Reader(node, Why::ReadOnly, Sending::Transaction),
            Choice::NoneFresh if self.may_wait(id, policy) => Way::Waits,
            Choice::NoneFresh | Choice::NoneReadable => self.no_replica(id),
        }
    }

    pub(super) fn no_replica(&self, id: ClientId) -> Way {
        let why = self.clients.get(id).and_then(|client| {
            let fleet = self.pools[client.pool.0 as usize].fleet.as_ref()?;
            let picture = fleet.topology.picture();
            let node = picture.nodes.iter().find(|node| !node.why.is_empty())?;
            Some(node.why.to_string())
        });
        Way::Refused(errors::no_replica(&self.database_of(id), why.as_deref()))
    }

    fn database_of(&self, id: ClientId) -> String {
        self.clients.get(id).map_or_else(String::new, |client| client.spec.database.clone())
    }

    /// Whether a read may still wait for a replica.
    pub(super) fn may_wait(&self, id: ClientId, policy: Policy) -> bool {
        let Some(client) = self.clients.get(id) else { return false };
        let waits = client.session.routed.as_ref().and_then(|routed| routed.waits);
        policy.wait_ms > 0
            && waits.is_none_or(|(since, _)| self.now.since(since) < u64::from(policy.wait_ms))
    }

    /// The node that a client may read from.
    pub(super) fn choose(&mut self, id: ClientId, policy: Policy) -> Choice {
        let Some(client) = self.clients.get(id) else { return Choice::NoneReadable };
        self.pools[client.pool.0 as usize].look_at_fleet();
        let entry = &self.pools[client.pool.0 as usize];
        if policy.rejects_writes
            && let Some(client) = self.clients.get_mut(id)
            && let Some(routed) = &mut client.session.routed
            && let Some(((seen, life), ..)) = routed.marks.seen()
            && entry.life_of(seen) != life
        {
            // There is no primary that would know what that life has shown: it is not held against the others.
            routed.marks.forget_seen();
        }
        let Some(client) = self.clients.get(id) else { return Choice::NoneReadable };
        let (Some(fleet), Some(routed)) = (&entry.fleet, &client.session.routed) else {
            return Choice::NoneReadable;
        };
        let topology = &fleet.topology;
        let marks = match policy.consistency {
            _ if let Some((_, marks)) = routed.waits => marks,
            Consistency::Session => routed.marks,
            Consistency::Role => {
                let (written, to_the_end) = client.spec.written();
                routed.marks.with_write(written, to_the_end)
            }
            Consistency::Database => {
                let (written, to_the_end) = topology.written();
                routed.marks.with_write(written, to_the_end)
            }
            Consistency::Eventual => crate::route::Marks::default(),
        };
        let weight = |node: usize| topology.nodes[node].weight;
        let busy = |node: usize| match policy.strategy {
            Strategy::LeastBusy => {
                let pool = &self.pools[entry.readers[node].0 as usize].pool;
                let idle = u32::try_from(pool.idle_count()).unwrap_or(u32::MAX);
                let working = pool.slots().open.saturating_sub(idle);
                let waiting = u32::try_from(pool.waiting()).unwrap_or(u32::MAX);
                working.saturating_add(waiting).saturating_mul(1_000) / weight(node)
            }
            Strategy::RoundRobin | Strategy::Random => 0,
        };
        let random = match policy.strategy {
            Strategy::LeastBusy | Strategy::Random => {
                // Marsaglia's xorshift: nothing depends on nobody being able to guess it.
                let mut next = self.random;
                next ^= next << 13;
                next ^= next >> 7;
                next ^= next << 17;
                next
            }
            // In steps of one share.
            Strategy::RoundRobin => self.random.wrapping_add(1_000),
        };
        let choice = entry.picture.choose(&marks, weight, busy, random);
        self.random = random;
        if choice == Choice::NoneFresh {
            topology.want();
            let now = self.now;
            let client = self.clients.get_mut(id);
            if let Some(routed) = client.and_then(|client| client.session.routed.as_mut())
                && policy.wait_ms > 0
            {
                routed.waits.get_or_insert((now, marks));
            }
        }
        choice
    }

    /// Before a message of a client that holds a server is looked at: whether that may have it.
    #[inline]
    pub(super) fn stays_on_way(
        &mut self,
        id: ClientId,
        server: ServerId,
        header: Header,
        front: &[u8],
    ) -> Option<Next> {
        let routed = self.clients.get_mut(id)?.session.routed.as_mut()?;
        let within = routed.left >= header.frame_len();
        match &mut routed.lease {
            _ if within => None,
            Lease::Primary(_) if header.tag == tag::FLUSH => None,
            Lease::Primary(_) if header.tag == tag::SYNC => {
                self.decided(id, server);
                None
            }
            Lease::Primary(touch) => {
                *touch = Touch::Write;
                self.decided(id, server);
                None
            }
            Lease::Reader { .. } => self.waits_for_its_turn(id, server, front),
            lease @ Lease::None => {
                *lease = Lease::Primary(Touch::Write);
                None
            }
        }
    }

    /// What comes behind a request to a replica waits until that has been answered: then it is known whether the
    /// transaction goes on there, or the next request finds its own way.
    #[inline(never)]
    fn waits_for_its_turn(&mut self, id: ClientId, server: ServerId, front: &[u8]) -> Option<Next> {
        let settled = self.servers.get(server).is_none_or(|entry| entry.server.ledger.is_settled());
        let session = &mut self.clients.get_mut(id)?.session;
        if !settled {
            session.held = true;
            return Some(Next::Pause);
        }
        session.routed.as_mut()?.left = match extent(front) {
            Extent::Whole(len) => len,
            // Up to its Sync.
            Extent::Unfinished(_) | Extent::Open => usize::MAX,
        };
        None
    }

    /// A client's server says that it is ready: what the client has written or seen is marked, before the client can
    /// tell anybody. `set_locally`: the transaction has set parameters of its own; `idle`: it has ended.
    #[inline]
    pub(super) fn mark(&mut self, id: ClientId, set_locally: bool, idle: bool) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.session.routed.is_some() {
            self.pools[client.pool.0 as usize].look_at_fleet();
        }
        let Some(routed) = &mut client.session.routed else { return };
        let policy = client.spec.policy();
        let shares = matches!(policy.consistency, Consistency::Role | Consistency::Database);
        // In a transaction nothing has been committed, but by a text that has begun another one.
        let may_have_committed = shares && routed.lease == Lease::Primary(Touch::Write);
        if !idle && !may_have_committed {
            return;
        }
        let entry = &self.pools[client.pool.0 as usize];
        let Some(fleet) = &entry.fleet else { return };
        let topology = &fleet.topology;
        match routed.lease {
            Lease::None | Lease::Primary(Touch::Nothing) => {}
            Lease::Reader { node, life, .. } => {
                routed.marks.saw((node, life), topology.begun(), false);
            }
            Lease::Primary(touch) => {
                let told = routed.terms(&client.session.params).asynchronous;
                let own = told.unwrap_or_else(|| entry.spec.commits_asynchronously())
                    || set_locally
                    || client.session.pins.has(Pins::PARAMETER);
                if own && touch == Touch::Write {
                    topology.is_asynchronous_now();
                }
                let to_the_end = own || topology.is_asynchronous();
                let begun = topology.begun();
                let at = match entry.picture.primary {
                    PrimaryIs::Node(node) => Some((node, entry.life_of(node))),
                    PrimaryIs::Nobody(_) | PrimaryIs::Several(_) => None,
                };
                match (touch, at) {
                    (Touch::Read, Some(at)) => routed.marks.saw(at, begun, to_the_end),
                    (Touch::Nothing | Touch::Read | Touch::Write, _) => {
                        routed.marks.wrote(begun, to_the_end);
                        if let Some(at) = at {
                            routed.marks.saw(at, begun, to_the_end);
                        }
                        topology.wrote(begun, to_the_end);
                        client.spec.wrote(begun, to_the_end);
                    }
                }
            }
        }
    }

    /// A client's server is gone before it was ready: what was under way may have been committed, whoever is told what.
    pub(super) fn mark_unknown(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else { return };
        let Some(routed) = &mut client.session.routed else { return };
        let Some(fleet) = &self.pools[client.pool.0 as usize].fleet else { return };
        if routed.lease == Lease::Primary(Touch::Write) {
            let begun = fleet.topology.begun();
            // Nobody knows whether it has been flushed either.
            routed.marks.wrote(begun, true);
            fleet.topology.wrote(begun, true);
            client.spec.wrote(begun, true);
        }
    }

    /// Reads that wait for a replica look again.
    pub(super) fn check_fresh_waits(&mut self) {
        for id in std::mem::take(&mut self.fresh_waits) {
            let waits = |client: &super::Client<D::Socket>| {
                client.session.held
                    && client.session.routed.as_ref().is_some_and(|r| r.waits.is_some())
            };
            if self.clients.get(id).is_some_and(waits) {
                self.todo.push_back(super::Todo::Client(id));
            }
        }
    }
}

impl PoolEntry {
    /// Takes the picture of its fleet over, if there is a new one.
    #[inline]
    fn look_at_fleet(&mut self) {
        if let Some(fleet) = &self.fleet
            && fleet.topology.shown() != self.picture.version
        {
            self.picture = fleet.topology.picture().clone();
        }
    }

    /// In which life a node of its fleet is.
    fn life_of(&self, node: usize) -> u32 {
        self.picture.nodes.get(node).map_or(0, |node| node.life)
    }
}
