//! Who has which server: taking one, making it fit its client, giving it back clean.

use super::conn::Conn;
use super::counting::LeaseClock;
use super::driver::{Driver, Token};
use super::mail::{DialFailure, Errand, Mail, NewServer};
use super::own::OWN_LIMIT_MS;
use super::parameters::wanted_there;
use super::pins;
use super::{CLEANING_LIMIT_MS, Client, Engine, ServerConn, Todo};
use crate::client::{Lease, Leaving, Lost, State};
use crate::deadline::{Deadline, Tick};
use crate::errors::{self, Queue};
use crate::ids::{ClientId, PoolId, ServerId};
use crate::pool::PoolSpec;
use crate::server::ledger::{Deliver, Sent};
use crate::server::{Cancel, CleanStep, Server, User};
use crate::session::params::is_custom;
use crate::session::{CODE_THAT_SETS, Ending, Limit, ParamSet, Pins};
use crate::wire::{Report, TransactionStatus, build, frontend};
use std::sync::Arc;

/// A server that was idle for longer than this is looked at before it is given away: it may have
/// been closed in the meantime.
const TRUSTED_IDLE_MS: u64 = 100;

/// What takes every parameter back to the server's default; RESET ALL leaves the role as it is.
const RESET_EVERYTHING: &[u8] = b"RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL;";

/// What makes a server forget what `lastval` and `currval` would tell of the client before.
pub(super) const FORGET_SEQUENCES: &[u8] = b"DISCARD SEQUENCES;";

/// Greetings that a pool remembers.
const GREETINGS_KEPT: usize = 1_024;

/// How well a server suits a client.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Suits {
    /// It has the client's parameters.
    #[default]
    Well,
    /// It can be given them, and nothing of others is seen.
    AfterSetting,
    /// It knows custom parameters that the client does not, with empty values.
    Badly,
}

fn suits<S>(server: &Server, client: &Client<S>) -> Suits {
    let params = &client.session.params;
    if Arc::ptr_eq(&server.applied, &client.session.wanted) {
        return Suits::Well;
    }
    let all_known = server.placeholders.iter().all(|name| params.setting(name).is_some());
    if all_known { Suits::AfterSetting } else { Suits::Badly }
}

/// What a session has without the parameter whose name a server refuses (42602), if that is what the
/// server says: Postgres takes parameters away whose prefix a library reserves when it is loaded.
fn without_refused(params: &ParamSet, report: &Report) -> Option<ParamSet> {
    if report.sqlstate != *b"42602" {
        return None;
    }
    let name = report.message.split('"').nth(1)?.as_bytes().to_ascii_lowercase();
    let is_there = is_custom(&name) && params.setting(&name).is_some();
    is_there.then(|| params.without(&name))
}

const OWN_QUERY: Sent = Sent::Query(Ending::No);
const OWN_SYNC: Sent = Sent::Sync(Ending::No);

impl<D: Driver> Engine<D> {
    /// A server of a pool for a client, or a place in the queue.
    pub(super) fn check_out(&mut self, id: ClientId, pool: PoolId) -> Option<ServerId> {
        self.clients.get_mut(id)?.at = pool;
        let mut offer = match self.pool(pool).pool.must_queue() {
            true => None,
            false => self.take_idle(pool, id),
        };
        while let Some((server, idle_since, suits)) = offer {
            if suits == Suits::Badly && self.pool(pool).pool.limits().resets {
                self.say_goodbye(server);
            } else if self.is_trusted(server, idle_since) {
                self.pool(pool).counters.waits.observe(0);
                self.lease(server, id);
                // None when it died over the first words; the client has been dealt with.
                return self.clients.get(id)?.session.server();
            }
            offer = self.take_idle(pool, id);
        }
        let now = self.now;
        let wait_ms = self.clients.get(id)?.spec.wait_ms();
        let give_up = self.pool(pool).pool.enqueue(id, now, wait_ms);
        self.check_at(give_up);
        if let Some(client) = self.clients.get_mut(id) {
            client.session.state = State::Waiting;
        }
        self.seek(pool);
        self.pins_are_in_the_way();
        None
    }

    /// Whether an idle server is still there, as far as can be seen from here.
    pub(super) fn is_trusted(&mut self, server: ServerId, idle_since: Tick) -> bool {
        self.now.since(idle_since) <= TRUSTED_IDLE_MS || self.is_still_there(server)
    }

    /// The idle server that suits a client best.
    fn take_idle(&mut self, pool: PoolId, id: ClientId) -> Option<(ServerId, Tick, Suits)> {
        let (servers, client) = (&self.servers, self.clients.get(id)?);
        let suits = |server| servers.get(server).map_or(Suits::Well, |s| suits(&s.server, client));
        self.pools[pool.0 as usize].pool.take_idle(suits)
    }

    /// Whether a client may have a server: any, unless no trace of others may be seen.
    fn fits(&self, server: ServerId, client: ClientId) -> bool {
        let (Some(entry), Some(client)) = (self.servers.get(server), self.clients.get(client))
        else {
            return true;
        };
        suits(&entry.server, client) != Suits::Badly
            || !self.pools[entry.pool.0 as usize].pool.limits().resets
    }

    /// Looks whether an idle server has closed its connection or said something.
    fn is_still_there(&mut self, id: ServerId) -> bool {
        if let Some(entry) = self.servers.get_mut(id) {
            entry.conn.readable = true;
        }
        self.read_server(id);
        self.servers.get(id).is_some()
    }

    /// Makes a client a server's user, and sets its parameters where the server has others.
    pub(super) fn lease(&mut self, server_id: ServerId, client_id: ClientId) {
        self.follow_limits(client_id);
        let (Some(entry), Some(client)) =
            (self.servers.get_mut(server_id), self.clients.get_mut(client_id))
        else {
            return;
        };
        client.session.state = State::Attached(server_id);
        if let Some(guarded) = &mut client.session.guarded {
            guarded.leases();
        }
        client.session.batch_sets_unnamed = false;
        client.session.batch_repeats = None;
        client.session.repeat_parse_due = false;
        client.session.repeat_unit = 0;
        client.session.batch_ending = Ending::No;
        entry.conn.taken = false;
        entry.server.cancel = Cancel::None;
        entry.server.lease += 1;
        entry.server.statuses_before = None;
        entry.server.touched = Vec::new();
        entry.server.sets_limit = false;
        client.session.changes = None;
        client.session.portal_steps = None;
        client.session.portal_controls = false;
        entry.clock = LeaseClock::default();
        entry.server.may_release = false;
        entry.server.undecided = client.session.reads_once();
        let before = entry.server.last_client.replace((self.seat, client_id));
        let had_another = before.is_some_and(|before| before != (self.seat, client_id));
        entry.server.first_unit = entry.server.ledger.building_unit();
        let pool = &self.pools[entry.pool.0 as usize];
        let limits = pool.pool.limits();
        let resets = limits.resets || (limits.resets_for_code && pool.spec.code().may_set());
        let resets = resets && had_another;
        let forgets = pool.reads_sequences && had_another;
        entry.server.recalls_another = had_another && !forgets;
        if had_another || before.is_none() {
            entry.server.tenant.changes(client.session.registration.pid(), self.now);
        }
        if Arc::ptr_eq(&entry.server.applied, &client.session.wanted) && !resets && !forgets {
            entry.server.user = User::Client(client_id);
            return;
        }
        let wanted = wanted_there(&mut client.session, &entry.server, &self.company.params);
        let before = if resets { &entry.server.dialled } else { &entry.server.applied };
        let settings = wanted.statement_from(before).unwrap_or_default();
        let forgetting = if forgets { FORGET_SEQUENCES } else { b"" };
        let reset = if resets { RESET_EVERYTHING } else { b"" };
        let text = [reset, forgetting, &settings].concat();
        if text.is_empty() {
            entry.server.applied = wanted;
            entry.server.user = User::Client(client_id);
            return;
        }
        entry.server.coming = Some(wanted);
        for name in client.session.params.custom_names() {
            entry.server.hears_of(name);
        }
        entry.server.user = User::Preparing(client_id);
        self.send_own_query(server_id, &text);
    }

    /// Sends a Query of pgweir's own; its replies reach nobody.
    pub(super) fn send_own_query(&mut self, id: ServerId, text: &[u8]) {
        let mut message = Vec::with_capacity(text.len() + 6);
        build::query(&mut message, text);
        self.send_own(id, OWN_QUERY, &message);
    }

    pub(super) fn send_own(&mut self, id: ServerId, sent: Sent, message: &[u8]) {
        let Some(entry) = self.servers.get_mut(id) else { return };
        entry.server.ledger.sent(sent, Deliver::Swallow);
        entry.server.own_error = None;
        if let Err(error) = self.send_to_server(id, message) {
            return self.server_lost(id, Some(&error));
        }
        self.expect_answer(id, Some(OWN_LIMIT_MS));
    }

    /// Everything that was sent to a server has been answered.
    pub(super) fn server_settled(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get(id) else { return };
        if !entry.conn.stash.is_empty() || entry.conn.skip > 0 {
            return;
        }
        match entry.server.user {
            User::Nobody => {}
            User::Preparing(client) => self.prepared(id, client),
            User::Asking(client) => self.told_what_is_left(id, client),
            User::Client(client) => self.client_settled(id, client),
            User::Cleaning(_) => self.clean(id),
        }
    }

    /// The client's parameters have been set, or could not be.
    fn prepared(&mut self, id: ServerId, client_id: ClientId) {
        let (Some(entry), Some(client)) =
            (self.servers.get_mut(id), self.clients.get_mut(client_id))
        else {
            return;
        };
        if client.session.standing.as_mut().is_some_and(|standing| standing.end()) {
            entry.server.user = User::Client(client_id);
            entry.server.own_error = None;
            // The message that waits looks what has become of it.
            return self.resume_client(client_id);
        }
        if let Some(report) = entry.server.own_error.take() {
            return self.not_prepared(id, client_id, report);
        }
        self.has_begun(id, client_id);
        let (Some(entry), Some(client)) =
            (self.servers.get_mut(id), self.clients.get_mut(client_id))
        else {
            return;
        };
        entry.server.user = User::Client(client_id);
        if let Some(changes) = &mut client.session.changes {
            changes.agree();
        } else {
            if let Some(coming) = entry.server.coming.take() {
                entry.server.applied = coming;
            }
            entry.server.statuses_before = None;
        }
        let greets = client.session.greeting;
        if greets {
            self.greeting_learned(id, client_id);
        }
        let Some(client) = self.clients.get(client_id) else { return };
        // Whoever greets a client, what it says first finds its own way.
        let finds_way = greets && client.session.routed.is_some();
        if client.conn.stash.is_empty() || finds_way {
            self.client_settled(id, client_id);
        } else {
            self.resume_client(client_id);
        }
    }

    /// The client's parameters could not be set: the message that waits for that fails with it.
    fn not_prepared(&mut self, id: ServerId, client_id: ClientId, report: Report) {
        let (Some(entry), Some(client)) =
            (self.servers.get_mut(id), self.clients.get_mut(client_id))
        else {
            return;
        };
        let session = &mut client.session;
        entry.server.coming = None;
        let is_idle = entry.server.status == TransactionStatus::Idle;
        if is_idle && let Some(params) = without_refused(&session.params, &report) {
            // The parameter is gone for every session: a library has reserved its prefix.
            entry.server.user = User::Client(client_id);
            session.changes = None;
            self.set_params(client_id, &params);
            return self.resume_client(client_id);
        }
        if entry.server.status != TransactionStatus::Idle {
            // What waits behind it must not run by itself.
            if let Some(routed) = &mut session.routed {
                routed.begun = None;
            }
            entry.server.user = User::Client(client_id);
            self.todo.push_back(Todo::Client(client_id));
            return self.roll_back(id, client_id, Lost::unreported(report));
        }
        if session.pinned.is_some() {
            entry.server.user = User::Client(client_id);
            session.refuse = Some(Box::new(report));
            return self.resume_client(client_id);
        }
        session.rest();
        session.changes = None;
        // A limit that the session before had set cut it short.
        let cut_short = report.sqlstate == *b"57014" && !session.greeting;
        entry.server.doomed |= cut_short;
        self.start_cleaning(id);
        if cut_short {
            return self.ask_again(client_id, Some(report));
        }
        self.fail_request(client_id, report);
    }

    /// A client's server has answered everything: does the client keep it?
    fn client_settled(&mut self, id: ServerId, client_id: ClientId) {
        let (Some(entry), Some(client)) =
            (self.servers.get_mut(id), self.clients.get_mut(client_id))
        else {
            return;
        };
        client.active_at = self.now;
        client.session.retries = 0;
        if client.session.leaving != Leaving::No {
            return self.leave_when_settled(client_id);
        }
        if entry.server.is_frozen() || client.conn.skip > 0 {
            return;
        }
        if let State::Lost(_) = client.session.state {
            // It may be silent for as long as any that keeps its server.
            return self.watch_pin(client_id, id);
        }
        if entry.server.status != TransactionStatus::Idle {
            return;
        }
        if entry.server.statuses_differ() {
            // Something that its text does not show set a parameter.
            client.session.pins = client.session.pins.and(Pins::PARAMETER);
        }
        if client.session.guarded.as_ref().is_some_and(|guarded| guarded.is_asking())
            || self.waits_for_vacancy(client_id)
        {
            return;
        }
        let (Some(entry), Some(client)) =
            (self.servers.get_mut(id), self.clients.get_mut(client_id))
        else {
            return;
        };
        if client.session.visits_replica() && !client.session.pins.is_none() {
            // What reads leave behind at a replica is no reason to stay there.
            client.session.pins = Pins::NONE;
            entry.server.statuses_before = None;
            entry.server.needs_reset = true;
        }
        if !client.session.pins.is_none() {
            let counters = &mut self.pools[entry.pool.0 as usize].counters;
            pins::pin(client, &mut entry.server, counters, self.now);
        }
        if !client.session.pins.is_none() {
            self.follow_limits(client_id);
            self.look_after_listening(client_id);
            self.let_go_if_dismissed(client_id);
            return self.watch_pin(client_id, id);
        }
        self.take_server_back(id, client_id);
    }

    /// The client needs its server no longer.
    pub(super) fn take_server_back(&mut self, id: ServerId, client_id: ClientId) {
        let (Some(entry), Some(client)) =
            (self.servers.get_mut(id), self.clients.get_mut(client_id))
        else {
            return;
        };
        client.session.changes = None;
        if let Some(routed) = &mut client.session.routed {
            routed.lease = Lease::None;
        }
        entry.server.undecided = false;
        entry.server.needs_reset |= entry.server.sets_open;
        client.session.rest();
        entry.server.user = User::Nobody;
        if !self.vacating.is_empty() {
            self.check_vacating();
        }
        let Some(entry) = self.servers.get(id) else { return };
        if entry.server.clean_step() == CleanStep::Done {
            self.give_back(id);
        } else {
            self.start_cleaning(id);
        }
        let Some(client) = self.clients.get(client_id) else { return };
        if !client.conn.stash.is_empty() || client.conn.readable {
            self.todo.push_back(Todo::Client(client_id));
        }
        self.look_after_listening(client_id);
        self.let_go_if_dismissed(client_id);
    }

    /// Nobody uses the server any more, but it is not clean.
    pub(super) fn start_cleaning(&mut self, id: ServerId) {
        let deadline = Deadline::after(self.now, Some(CLEANING_LIMIT_MS));
        if let Some(entry) = self.servers.get_mut(id) {
            entry.server.needs_reset |= entry.server.sets_open;
            entry.server.user = User::Cleaning(deadline);
            entry.server.strike = None;
            entry.server.ledger.swallow_all();
        }
        self.check_at(deadline);
        self.clean(id);
    }

    /// The next step towards a clean server.
    pub(super) fn clean(&mut self, id: ServerId) {
        loop {
            let Some(entry) = self.servers.get_mut(id) else { return };
            if !matches!(entry.server.user, User::Cleaning(_)) {
                return;
            }
            match entry.server.clean_step() {
                CleanStep::Wait => return self.cancel_unwanted(id),
                CleanStep::FailCopy => {
                    let mut message = Vec::new();
                    build::copy_fail(&mut message, "the client is gone");
                    self.send_own(id, Sent::CopyEnd, &message);
                }
                CleanStep::AbortBatch => self.abort_batch(id),
                CleanStep::Sync => {
                    let mut message = Vec::new();
                    build::sync(&mut message);
                    self.send_own(id, OWN_SYNC, &message);
                }
                CleanStep::Rollback => self.send_own_query(id, b"ROLLBACK"),
                CleanStep::DiscardAll if !entry.server.placeholders.is_empty() => {
                    // DISCARD ALL leaves a trace of these.
                    entry.server.doomed = true;
                }
                CleanStep::DiscardAll => {
                    entry.server.prepared.clear(&mut self.statements);
                    entry.server.needs_reset = false;
                    entry.server.listens = false;
                    entry.server.sets_open = false;
                    entry.server.discarding = true;
                    entry.server.applied = entry.server.dialled.clone();
                    self.send_own_query(id, b"DISCARD ALL");
                    return;
                }
                CleanStep::Unlisten => {
                    entry.server.listens = false;
                    // If it fails, the server is not used again.
                    entry.server.discarding = true;
                    self.send_own_query(id, b"UNLISTEN *");
                    return;
                }
                CleanStep::Barrier => {
                    entry.server.needs_barrier = false;
                    let mut message = Vec::new();
                    build::sync(&mut message);
                    self.send_own(id, OWN_SYNC, &message);
                    return;
                }
                CleanStep::LookAtCode => {
                    entry.server.look_at_code = false;
                    let pool = &self.pools[entry.pool.0 as usize];
                    let asks = pool.pool.limits().resets_for_code;
                    if asks && pool.spec.code().is_to_be_read() {
                        entry.server.code_found = Some(false);
                        self.send_own_query(id, CODE_THAT_SETS.as_bytes());
                        return;
                    }
                }
                CleanStep::Done => {
                    if let Some(found) = entry.server.code_found.take() {
                        let failed = entry.server.own_error.take().is_some();
                        self.pools[entry.pool.0 as usize].spec.code().found(found || failed);
                    }
                    entry.server.user = User::Nobody;
                    return self.give_back(id);
                }
                CleanStep::Close => {
                    self.say_goodbye(id);
                    return;
                }
            }
        }
    }

    /// Ends a batch that its client left open. Sync alone would commit what it did; Postgres throws
    /// it away when a client leaves. An Execute of a portal that does not exist fails the batch.
    pub(super) fn abort_batch(&mut self, id: ServerId) {
        let mut message = vec![frontend::tag::EXECUTE];
        build::sized(&mut message, |out| {
            out.extend_from_slice(b"pgweir_abandoned\0\0\0\0\0");
        });
        self.send_own(id, Sent::Execute, &message);
        let mut message = Vec::new();
        build::sync(&mut message);
        self.send_own(id, OWN_SYNC, &message);
    }

    /// A clean server goes to the client that waits longest, else back to the pool.
    pub(super) fn give_back(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get(id) else { return };
        let entry = &self.pools[entry.pool.0 as usize];
        if entry.pool.is_shared() && entry.spec.home() != self.seat {
            // Its home is to close it, for another pool or because the pool has too many.
            let home = entry.spec.home();
            if entry.pool.board().is_called_in() || entry.pool.surplus() > 0 {
                return self.send_away(id, home, Errand::Free);
            }
        }
        self.hand_out(id, self.now);
    }

    /// The same for one that has just come to this loop, and has been idle since then if nobody
    /// needs it.
    pub(super) fn hand_out(&mut self, id: ServerId, idle_since: Tick) {
        let Some(entry) = self.servers.get(id) else { return };
        let pool = entry.pool;
        let (retire_at, close_needed) = (entry.server.retire_at, entry.close_needed);
        let too_old = close_needed || retire_at.reached(self.now);
        if too_old || self.must_give_up(pool) {
            return self.say_goodbye(id);
        }
        if let Some(heir) = self.pools[pool.0 as usize].pool.heir() {
            return self.send_away(id, heir, Errand::Free);
        }
        let clients = &self.clients;
        let waits =
            |client| clients.get(client).is_some_and(|c| matches!(c.session.state, State::Waiting));
        let Some((client, since)) = self.pools[pool.0 as usize].pool.next_waiter(waits) else {
            return self.lay_idle(id, pool, retire_at, idle_since);
        };
        if self.fits(id, client) {
            let waited_ms = self.now.since(since);
            self.pool(pool).counters.waits.observe(waited_ms * 1_000);
            let elsewhere = self.pools[pool.0 as usize].pool.front_elsewhere();
            let overtaken_ms = elsewhere.map_or(0, |front| since.since(front));
            self.overtaken_ms = self.overtaken_ms.max(overtaken_ms);
            self.lease(id, client);
            self.greet_if_known(id, client);
            self.todo.push_back(Todo::Client(client));
        } else {
            let wait_ms = self.clients.get(client).and_then(|client| client.spec.wait_ms());
            self.pool(pool).pool.enqueue_first(client, since, wait_ms);
            self.say_goodbye(id);
            if self.pools[pool.0 as usize].pool.is_shared() {
                self.seek_if_waiting(pool);
            }
        }
    }

    /// Nobody waits for a server that has come free.
    fn lay_idle(&mut self, id: ServerId, pool_id: PoolId, retire_at: Deadline, since: Tick) {
        let home = self.is_home(pool_id);
        let pool = &mut self.pool(pool_id).pool;
        pool.check_in(id, since);
        if let Some(heir) = pool.heir() {
            // Somebody has come to another loop's queue since it was looked at.
            pool.remove_idle(id);
            return self.send_away(id, heir, Errand::Free);
        }
        let idle_until = Deadline::after(since, pool.idle_limit(home)).min(retire_at);
        self.check_at(idle_until);
        self.make_room_if_wanted(pool_id);
    }

    /// A dial ended.
    pub(super) fn dialled(
        &mut self,
        spec: &Arc<PoolSpec>,
        outcome: Result<Box<NewServer<D::Socket>>, DialFailure>,
    ) {
        let pool = self.pool_for(spec);
        match outcome {
            Ok(new) => self.server_arrived(pool, *new),
            Err(failure) => self.dial_failed(pool, failure),
        }
    }

    fn server_arrived(&mut self, pool: PoolId, new: NewServer<D::Socket>) {
        let spec = &self.pools[pool.0 as usize].spec;
        let retire_at = if new.place == spec.place() && !spec.servers_are_gone() {
            let lifetime_ms = self.pools[pool.0 as usize].pool.limits().lifetime_ms;
            self.retirement(lifetime_ms, self.now)
        } else {
            // A reload came while it was dialled.
            Deadline::after(self.now, Some(0))
        };
        self.pool(pool).pool.dial_succeeded();
        self.pool(pool).spec.set_failure(None);
        self.check_at(retire_at);
        let dialled = self.company.params.intern(new.startup.params());
        let server = Server::new(new.statuses, new.cancel, dialled, self.now, retire_at);
        self.pool(pool).counters.servers_opened += 1;
        let entry = ServerConn {
            conn: Conn::new(new.handed),
            server,
            pool,
            place: new.place,
            renewals: self.pools[pool.0 as usize].spec.renewals(),
            clock: LeaseClock::default(),
            close_needed: false,
        };
        if let Some(target) = &entry.server.cancel_target {
            self.company.tenants.enter(target, &entry.server.tenant);
        }
        let id = self.servers.insert_with(|_| entry);
        let Some(entry) = self.servers.get_mut(id) else { return };
        if let Err(error) = entry.conn.register(&mut self.driver, Token::Server(id)) {
            tracing::warn!(%error, "cannot watch a server's socket");
            return self.drop_server(id);
        }
        // Bytes that came with the login are looked at first.
        self.read_server(id);
        self.give_back(id);
        // More may be wanted that nobody waits for.
        self.dial_if_wanted(pool);
    }

    /// When a server that logged in at `since` is to be replaced: up to a tenth earlier than its
    /// lifetime, so that servers that were dialled together do not all go together.
    pub(super) fn retirement(&mut self, lifetime_ms: Option<u64>, since: Tick) -> Deadline {
        self.jitter = self.jitter.wrapping_mul(167).wrapping_add(71);
        let jitter = u64::from(self.jitter);
        Deadline::after(since, lifetime_ms.map(|ms| ms - ms / 10 * jitter / 256))
    }

    fn dial_failed(&mut self, pool: PoolId, failure: DialFailure) {
        self.jitter = self.jitter.wrapping_mul(167).wrapping_add(71);
        let (now, jitter) = (self.now, self.jitter);
        let entry = &mut self.pools[pool.0 as usize];
        entry.counters.dials_failed += 1;
        entry.pool.dial_failed(failure.report.clone(), now, jitter);
        entry.spec.set_failure(Some(failure.report.clone()));
        let hopeless = failure.permanent && entry.pool.slots().open == 0;
        self.readers_go_to_primary(pool);
        let entry = &mut self.pools[pool.0 as usize];
        if hopeless {
            let loops = entry.pool.board().loops();
            let spec = entry.spec.clone();
            for other in (0..loops).filter(|other| *other != self.seat) {
                let refused = Mail::Refused(spec.clone(), failure.report.clone());
                self.driver.post(other, refused);
            }
            self.fail_waiters(pool, &failure.report);
        }
        self.dial_if_wanted(pool);
        self.wake_vacating();
    }

    /// Every client that waits here is told that it waits for nothing.
    pub(super) fn fail_waiters(&mut self, pool: PoolId, report: &Report) {
        let clients = &self.clients;
        let waits =
            |client| clients.get(client).is_some_and(|c| matches!(c.session.state, State::Waiting));
        for client in self.pools[pool.0 as usize].pool.take_waiters(waits) {
            self.no_longer_waiting(client);
            self.fail_request(client, report.clone());
        }
    }

    fn no_longer_waiting(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            client.session.rest();
        }
    }

    /// Clients that have waited too long are told so.
    pub(super) fn check_waiters(&mut self, id: PoolId) {
        let now = self.now;
        let shared_limit = self.shared_limit(id);
        let clients = &self.clients;
        let entry = &mut self.pools[id.0 as usize];
        let waits =
            |client| clients.get(client).is_some_and(|c| matches!(c.session.state, State::Waiting));
        let expired = entry.pool.expired_waiters(now, waits);
        let size = entry.pool.limits().size;
        let queue = Queue {
            waiting: entry.pool.waiting_anywhere().max(entry.pool.waiting()),
            longest_ms: entry.pool.oldest_wait_anywhere().map_or(0, |since| now.since(since)),
        };
        // Nothing is looked up while nobody has waited too long.
        let failure = (!expired.is_empty()).then(|| entry.spec.failure()).flatten();
        let failure = failure.map(|cause| errors::server_unavailable(&cause));
        let headless = if expired.is_empty() { None } else { entry.spec.headless() };
        let failure = headless.or(failure);
        let others_have_it = shared_limit > 0 && entry.pool.slots().total() < size;
        let report = |waited_ms| match &failure {
            Some(report) => report.clone(),
            None if others_have_it => errors::shared_limit_timeout(waited_ms, shared_limit, queue),
            None => errors::pool_wait_timeout(waited_ms, size, queue),
        };
        entry.counters.wait_timeouts += expired.len() as u64;
        let next_expiry = entry.pool.next_expiry();
        self.check_at(next_expiry);
        for (client, waited_ms) in expired {
            self.no_longer_waiting(client);
            self.fail_request(client, report(waited_ms));
        }
    }

    /// Greets a client that has logged in: at once when a server has already answered to the same
    /// startup parameters, else as soon as one has.
    pub(super) fn greet(&mut self, id: ClientId, unsent: &[u8]) {
        let Some(client) = self.clients.get(id) else { return };
        let known = self.pools[client.pool.0 as usize]
            .greetings
            .get(&Arc::as_ptr(&client.session.params).addr())
            .map(|(_, statuses)| statuses.clone());
        if let Some(report) = self.dismissal(id) {
            self.send_to_client(id, unsent);
            return self.end_client(id, Some(report));
        }
        if let Some(statuses) = known {
            self.send_greeting(id, unsent, &statuses);
            return self.resume_client(id);
        }
        let pool = self.pool_for_greeting(id, client.pool);
        self.send_to_client(id, unsent);
        if let Some(server) = self.check_out(id, pool) {
            self.greet_if_known(server, id);
        }
    }

    /// A server that needed no preparation answers for a client that waits for its greeting.
    fn greet_if_known(&mut self, server: ServerId, id: ClientId) {
        let ready = self.servers.get(server).is_some_and(|entry| match entry.server.user {
            User::Client(_) => true,
            User::Nobody | User::Preparing(_) | User::Asking(_) | User::Cleaning(_) => false,
        });
        if ready && self.clients.get(id).is_some_and(|client| client.session.greeting) {
            self.greeting_learned(server, id);
            self.todo.push_back(Todo::Client(id));
            self.server_settled(server);
        }
    }

    /// A server has the client's parameters: what it reports is what the client is told, and
    /// everyone after it who starts with the same.
    fn greeting_learned(&mut self, server: ServerId, id: ClientId) {
        let (Some(entry), Some(client)) = (self.servers.get(server), self.clients.get(id)) else {
            return;
        };
        let mut bytes = Vec::new();
        let of_replica = self.pools[entry.pool.0 as usize].spec.reader_of().is_some();
        for (name, value) in &entry.server.statuses {
            // The session is one of the primary's, whoever greets it.
            let hides = of_replica && name == b"in_hot_standby";
            build::parameter_status(&mut bytes, name, if hides { b"off" } else { value });
        }
        let statuses: Arc<[u8]> = bytes.into();
        let params: Arc<ParamSet> = client.session.params.clone();
        let pool = &mut self.pools[entry.pool.0 as usize];
        if pool.greetings.len() >= GREETINGS_KEPT {
            pool.greetings.clear();
        }
        pool.greetings.insert(Arc::as_ptr(&params).addr(), (params, statuses.clone()));
        self.send_greeting(id, b"", &statuses);
    }

    fn send_greeting(&mut self, id: ClientId, unsent: &[u8], statuses: &[u8]) {
        let Some(client) = self.clients.get_mut(id) else { return };
        client.session.greeting = false;
        let mut bytes = Vec::with_capacity(unsent.len() + statuses.len() + 64);
        bytes.extend_from_slice(unsent);
        bytes.extend_from_slice(statuses);
        for limit in Limit::ALL {
            let session = &client.session;
            let asked = session.base.limit(limit);
            let refused = asked.and_then(|asked| session.belt.refuses(limit, asked));
            if let Some((holds, may)) = refused {
                errors::limit_stays(limit, holds, may).write(&mut bytes);
            }
        }
        let registration = &client.session.registration;
        registration.with_secret(|secret| {
            build::backend_key_data(&mut bytes, registration.pid(), secret);
        });
        build::ready_for_query(&mut bytes, TransactionStatus::Idle);
        self.send_to_client(id, &bytes);
    }

    /// Answers a client's waiting request with an error.
    pub(super) fn fail_request(&mut self, id: ClientId, report: Report) {
        let Some(client) = self.clients.get_mut(id) else { return };
        if client.session.greeting {
            return self.end_client(id, Some(report));
        }
        client.active_at = self.now;
        let report = report.with_severity(crate::wire::Severity::Error);
        let Some(report) = self.fail_begun(id, report) else { return };
        let Some(client) = self.clients.get_mut(id) else { return };
        self.pools[client.pool.0 as usize].counters.errors.count(&report.sqlstate);
        client.session.refuse = Some(Box::new(report));
        self.todo.push_back(Todo::Client(id));
    }
}
