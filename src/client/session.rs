//! Where a client session stands.

use std::sync::Arc;

use crate::cancel::Registration;
use crate::client::{Guarded, Lease, Listening, Lost, Pinned, Routed, Sending, Standing};
use crate::config::SessionStateMode;
use crate::deadline::Deadline;
use crate::ids::ServerId;
use crate::prepared::{Names, StatementId};
use crate::session::{
    Belt, Changes, Ending, Limit, NamedUse, ParamSet, ParamSets, Pins, Steps, Timing,
};
use crate::sql::{Name, Upkeep};
use crate::wire::Report;

/// Where a client session stands between two messages.
///
/// ```text
///   Idle ──message──▶ Waiting ──server──▶ Attached ──Ready(I)──▶ Idle
///                        │                   │
///                        │                   └──server lost in a transaction──▶ Lost ──▶ Idle
///                        └──pool_wait_timeout──▶ Idle   (an ErrorResponse was sent)
///   Idle ──BEGIN, where there are replicas──▶ Begun ──its first statement──▶ Waiting
/// ```
#[derive(Debug)]
pub enum State {
    /// Holds no server; the next message that needs one takes one.
    Idle,
    /// In a transaction that has no server yet; what is to be sent before its first statement stands in
    /// [`Routed::begun`].
    Begun,
    /// Queued for a server; the messages that wait stand in the connection's stash.
    Waiting,
    /// Holds a server: while replies are owed, a transaction is open, or the session is pinned.
    Attached(ServerId),
    /// Its server went away inside a transaction: the transaction is failed, without a server.
    Lost(Box<Lost>),
    /// Nothing more is read; it is closed once everything has been written.
    Closing,
}

/// Whether and how a session comes to its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaving {
    /// It goes on.
    No,
    /// Terminate was read, or something after which Postgres reads no further: what was sent
    /// before runs to its end, then the report, if any, is sent, and the connection closed.
    AfterReplies(Option<Box<Report>>),
}

/// A client session.
#[derive(Debug)]
pub struct Session {
    /// Where it stands.
    pub state: State,
    /// What its startup packet set.
    pub base: Arc<ParamSet>,
    /// The parameters that it has: `base`, and what committed transactions made of it.
    pub params: Arc<ParamSet>,
    /// Its role's limits of time, as far as servers keep them.
    pub belt: Belt,
    /// Which limits those are: [`PoolSpec::belt_version`](crate::pool::PoolSpec::belt_version) of its role's own pool, and
    /// of that whose servers it has.
    pub belt_version: (u64, u64),
    /// Which of them its last text wanted.
    pub upkeep: Upkeep,
    /// What its server is to have for that: `params` under the limits.
    pub wanted: Arc<ParamSet>,
    /// `wanted` has something for the server that it met last alone; see [`Belt::covering`].
    pub wanted_covers: bool,
    /// A DISCARD ALL has been sent that has not succeeded yet: the pins from before it.
    pub discarding: Option<Pins>,
    /// What its transaction has changed of them.
    pub changes: Option<Box<Changes>>,
    /// What it listens to through its pool; none for most.
    pub listening: Option<Box<Listening>>,
    /// The unnamed statement that this batch has parsed; the batch or `unnamed` keeps it alive.
    pub parsed: Option<StatementId>,
    /// What the unnamed portal does to parameters.
    pub portal_steps: Option<Box<Steps>>,
    /// How what the unnamed portal runs stands to limits of time.
    pub portal_timing: Timing,
    /// A portal with a name may shape the transaction: when it runs is not followed.
    pub portal_controls: bool,
    /// The unnamed portal shapes the transaction, and the guard does not follow it: there was nothing to end.
    pub unnamed_controls: bool,
    /// What the guard knows of it; none for most.
    pub guarded: Option<Box<Guarded>>,
    /// What routing knows of it; none where its database has one server.
    pub routed: Option<Box<Routed>>,
    /// Its key for cancel requests.
    pub registration: Registration,
    /// It has not been sent ParameterStatus, BackendKeyData and ReadyForQuery yet.
    pub greeting: bool,
    /// Its coming end.
    pub leaving: Leaving,
    /// Why it keeps its server beyond its transactions.
    pub pins: Pins,
    /// Since when, and what else is known of that; none while nothing pins.
    pub pinned: Option<Box<Pinned>>,
    /// What happens where a statement would pin it.
    pub state_mode: SessionStateMode,
    /// A batch was answered with an error of ours: everything is dropped up to the next Sync.
    pub skip_to_sync: bool,
    /// The next message is answered with this instead of being run.
    pub refuse: Option<Box<Report>>,
    /// The unnamed statement, as the client's last confirmed Parse left it.
    pub unnamed: Option<StatementId>,
    /// Its named statements; none for most.
    pub names: Option<Box<Names>>,
    /// Statements that its server is being given, or was, for its next message to find.
    pub standing: Option<Box<Standing>>,
    /// What the unnamed statement that was sent last, and the unnamed portal made of it, do to
    /// named statements.
    pub unnamed_does: Option<Box<NamedUse>>,
    /// As `unnamed_does`, for the unnamed portal.
    pub portal_does: Option<Box<NamedUse>>,
    /// Of the last Bind in this batch: a hash of the portal's name, and the shared statement that a
    /// Describe of that portal is about.
    pub bound: Option<(u64, StatementId)>,
    /// A batch is sent again whose parameter types the client has been told already.
    pub types_told: bool,
    /// In the current batch a message was sent that decides what the unnamed statement is.
    pub batch_sets_unnamed: bool,
    /// The unnamed statement of the current batch is this one of the server's.
    pub batch_repeats: Option<StatementId>,
    /// The server had it, and its Parse has not been answered.
    pub repeat_parse_due: bool,
    /// The last unit in which the unnamed statement was one of the server's, by its server's count.
    pub repeat_unit: u64,
    /// Nothing may follow `repeat_unit` before that is done, for it may have to be sent again.
    pub repeat_alone: bool,
    /// The next Parse goes to the server as it is.
    pub as_sent_next: bool,
    /// It sends batches without waiting for the one before.
    pub pipelines: bool,
    /// How the current batch may end the transaction.
    pub batch_ending: Ending,
    /// How often its request found a dead server and was put back into the queue.
    pub retries: u8,
    /// A message must wait until every earlier batch has been answered.
    pub held: bool,
    /// Its connection has been closed at the other end without Terminate: it is taken for gone
    /// then, unless bytes move until then.
    pub gone_at: Deadline,
    /// Its own cancel request came while its server was not ready for its message: that is cancelled when it
    /// has been sent.
    pub cancel_due: bool,
}

impl Session {
    /// A session that has proved who it is and has not been greeted.
    #[must_use]
    pub fn new(params: Arc<ParamSet>, registration: Registration) -> Self {
        Session {
            state: State::Idle,
            base: params.clone(),
            belt: Belt::default(),
            belt_version: (u64::MAX, u64::MAX),
            upkeep: Upkeep::default(),
            wanted: params.clone(),
            wanted_covers: false,
            params,
            discarding: None,
            changes: None,
            listening: None,
            parsed: None,
            portal_steps: None,
            portal_timing: Timing::Plain,
            portal_controls: false,
            unnamed_controls: false,
            guarded: None,
            routed: None,
            registration,
            greeting: true,
            leaving: Leaving::No,
            pins: Pins::default(),
            pinned: None,
            state_mode: SessionStateMode::Track,
            skip_to_sync: false,
            refuse: None,
            unnamed: None,
            names: None,
            standing: None,
            unnamed_does: None,
            portal_does: None,
            bound: None,
            types_told: false,
            batch_sets_unnamed: false,
            batch_repeats: None,
            repeat_parse_due: false,
            repeat_unit: 0,
            repeat_alone: false,
            as_sent_next: false,
            pipelines: false,
            batch_ending: Ending::No,
            retries: 0,
            held: false,
            gone_at: Deadline::NEVER,
            cancel_due: false,
        }
    }

    /// Its parameters, its limits or the kind of its text have changed: finds what its server is to have.
    pub fn find_wanted(&mut self, sets: &ParamSets) {
        let over = self.belt.over(&self.params, self.upkeep);
        self.wanted = over.map_or_else(|| self.params.clone(), |over| sets.intern(over));
        self.wanted_covers = false;
    }

    /// The limit of time that the session itself has set, by SET or in its startup packet, in milliseconds; 0: none.
    /// Whether it may is not looked at.
    #[must_use]
    pub fn own_limit(&self, limit: Limit) -> Option<u32> {
        match &self.changes {
            Some(changes) => changes.own_limit(limit),
            None => self.params.limit(limit),
        }
    }

    /// The same where it may be anything.
    #[must_use]
    pub fn free_limit(&self, limit: Limit) -> Option<u32> {
        self.belt.may_be_anything().then(|| self.own_limit(limit)).flatten()
    }

    /// What it does to its parameters is not followed any more: it keeps its server.
    pub fn stop_following(&mut self, pins: Pins) {
        // Whether a DISCARD ALL that is under way succeeds is not followed either.
        self.pins = self.pins_at_stake().and(pins);
        self.changes = None;
        self.portal_steps = None;
    }

    /// What pins it, and what does if the DISCARD ALL that is under way fails.
    #[must_use]
    pub fn pins_at_stake(&self) -> Pins {
        self.pins.and(self.discarding.unwrap_or(Pins::NONE))
    }

    /// What its texts are read under: the parameters that change the meaning of texts, and, while it
    /// may have temporary objects, that these are its own.
    #[must_use]
    pub fn dialect(&self) -> &[u8] {
        let own = self.pinned.as_ref().and_then(|pinned| pinned.dialect.as_deref());
        own.unwrap_or_else(|| self.params.dialect())
    }

    /// Its parameters have changed, or whether it may have temporary objects.
    pub fn find_dialect(&mut self) {
        let pid = self.registration.pid();
        let Some(pinned) = &mut self.pinned else { return };
        // No parameter has an empty name.
        pinned.dialect = self
            .pins
            .has(Pins::TEMPORARY)
            .then(|| [self.params.dialect(), b"\0\0", &pid.to_be_bytes()].concat().into());
    }

    /// Whether a message of its waits until its pool listens.
    #[must_use]
    #[inline]
    pub fn awaits_listener(&self) -> bool {
        self.listening.as_ref().is_some_and(|listening| listening.awaits)
    }

    /// Whether it has sent a message that waits for something of pgweir's: it is not silent.
    #[must_use]
    pub fn waits_for_us(&self) -> bool {
        self.held || self.awaits_listener()
    }

    /// Whether its pool tells it of this channel.
    #[must_use]
    pub fn is_told_of(&self, channel: &[u8]) -> bool {
        let told = |listening: &Listening| listening.channels.contains(&Name::new(channel));
        self.listening.as_deref().is_some_and(told)
    }

    /// Whether statements are refused that would have it keep its server.
    #[must_use]
    #[inline]
    pub fn refuses_state(&self) -> bool {
        match self.state_mode {
            SessionStateMode::Track | SessionStateMode::Ignore => false,
            SessionStateMode::Refuse => !self.pins.has(Pins::SESSION_MODE),
        }
    }

    /// Whether it has a server for one read, which another server may run if that one cannot.
    #[must_use]
    #[inline]
    pub fn reads_once(&self) -> bool {
        self.routed.as_deref().is_some_and(|routed| !routed.request.is_empty())
    }

    /// Whether the primary may run what a replica refuses to run for it.
    #[must_use]
    pub fn may_ask_the_primary(&self) -> bool {
        let never = self.routed.as_deref().is_some_and(|routed| routed.never_primary);
        !never && self.may_run_again() && self.is_at_replica_once()
    }

    /// Whether it has a server of a replica for no longer than its transaction.
    #[must_use]
    #[inline]
    pub fn visits_replica(&self) -> bool {
        let visits =
            |routed: &Routed| matches!(routed.lease, Lease::Reader { .. }) && !routed.never_primary;
        self.routed.as_deref().is_some_and(visits)
    }

    /// Whether it has a server of a replica for one request.
    #[must_use]
    #[inline]
    pub fn is_at_replica_once(&self) -> bool {
        let at_replica =
            |routed: &Routed| matches!(routed.lease, Lease::Reader { what: Sending::Request, .. });
        self.routed.as_deref().is_some_and(at_replica)
    }

    /// Whether all that a replica was to run for it can be run again.
    #[must_use]
    pub fn may_run_again(&self) -> bool {
        let whole = |routed: &Routed| routed.left == 0 && !routed.request.is_empty();
        self.leaving == Leaving::No && self.routed.as_deref().is_some_and(whole)
    }

    /// It has no server, and waits for none.
    pub fn rest(&mut self) {
        let begun = self.routed.as_ref().is_some_and(|routed| routed.begun.is_some());
        self.state = if begun { State::Begun } else { State::Idle };
    }

    /// A transaction that was lost is over.
    pub fn found(&mut self) {
        self.state = match self.server() {
            Some(kept) => State::Attached(kept),
            None => State::Idle,
        };
    }

    /// The server that it holds.
    #[must_use]
    #[inline]
    pub fn server(&self) -> Option<ServerId> {
        match self.state {
            State::Attached(server) => Some(server),
            State::Lost(ref lost) => lost.kept(),
            State::Idle | State::Begun | State::Waiting | State::Closing => None,
        }
    }
}
