//! One logged-in connection to Postgres: what it owes, what it knows, whether it is clean.
//!
//! Deliberately absent: clients' rules, pools, sockets.

pub mod asked;
pub mod ledger;
mod owed;
mod strike;
mod tenant;

use std::ops::Range;
use std::sync::Arc;

use crate::cancel::CancelTarget;
use crate::deadline::{Deadline, Tick};
use crate::ids::{CancelId, ClientId};
use crate::prepared::{OnServer, Repeats, StatementId};
use crate::session::changes::is_on;
use crate::session::params::is_custom;
use crate::session::{ParamSet, Pins, TextEffects};
use crate::sql::{Encoding, LexOptions};
use crate::wire::backend::ErrorFields;
use crate::wire::{Report, TransactionStatus};
pub use asked::Asked;
use ledger::Ledger;
pub use strike::{Exceeded, Stage, Strike};
pub use tenant::Tenant;

#[cfg(test)]
mod tests;

/// The shortest limit of time that Postgres has, in microseconds.
const SHORTEST_LIMIT_US: u64 = 1_000;

/// From here on a limit that pgweir does not know of may have expired: one of postgresql.conf, or of ALTER
/// ROLE where pgweir itself has none.
const UNKNOWN_LIMIT_US: u64 = 100_000;

/// Who uses a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Nobody; it stands in its pool.
    Nobody,
    /// A client.
    Client(ClientId),
    /// A client whose parameters are being set on it first.
    Preparing(ClientId),
    /// A client, of which it is being asked what still pins it.
    Asking(ClientId),
    /// pgweir, to make it clean after its client left; closed at the deadline.
    Cleaning(Deadline),
}

/// A cancel request that this server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// None.
    None,
    /// Ordered; nothing has been written, and nothing is held up by it.
    Ordered(CancelId),
    /// The permit was given: until the outcome is known, no statement may be sent and nobody else
    /// may have the server.
    Permitted(CancelId),
}

/// One step towards a clean server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanStep {
    /// Replies are owed, or a cancel request is on its way: wait.
    Wait,
    /// End the COPY that its client left open.
    FailCopy,
    /// Abort and close the batch that its client left open.
    AbortBatch,
    /// Close the batch that failed.
    Sync,
    /// Roll the transaction back.
    Rollback,
    /// Forget everything that the session set.
    DiscardAll,
    /// End listening.
    Unlisten,
    /// A Sync of our own, so that a cancel signal that came late hits nothing.
    Barrier,
    /// Ask whether its database has code that sets parameters.
    LookAtCode,
    /// It is clean.
    Done,
    /// It cannot be made clean.
    Close,
}

/// The protocol side of a server connection.
#[derive(Debug)]
pub struct Server {
    /// Who uses it.
    pub user: User,
    /// What it owes.
    pub ledger: Ledger,
    /// What its last ReadyForQuery said.
    pub status: TransactionStatus,
    /// How often it has been leased: part of a cancel request's identity.
    pub lease: u64,
    /// The client that had it last, and its loop: ids are a loop's own.
    pub last_client: Option<(usize, ClientId)>,
    /// Another client had it before: what it remembers of sequences is that one's.
    pub recalls_another: bool,
    /// The number of the first unit of this lease.
    pub first_unit: u64,
    /// A cancel request for it.
    pub cancel: Cancel,
    /// A limit in time that has struck.
    pub strike: Option<Box<Strike>>,
    /// What it has been asked to run, where a limit in time holds for that.
    pub asked: Option<Box<Asked>>,
    /// Where its statements are cancelled.
    pub cancel_target: Option<Arc<CancelTarget>>,
    /// The parameters that its startup packet set: what RESET goes back to.
    pub dialled: Arc<ParamSet>,
    /// The parameters that it has, those included.
    pub applied: Arc<ParamSet>,
    /// The parameters that it is being given.
    pub coming: Option<Arc<ParamSet>>,
    /// ParameterStatus values as it last reported them.
    pub statuses: Vec<(Vec<u8>, Vec<u8>)>,
    /// How it reads texts, as these say.
    reads: LexOptions,
    /// One of `statuses` has changed; the values when all changes were last accounted for.
    pub statuses_before: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    /// The unnamed statement.
    pub unnamed: Option<StatementId>,
    /// The statements that clients share.
    pub prepared: OnServer,
    /// The transaction has set parameters of its own, or may have: what is parsed in it may mean
    /// something else afterwards.
    pub local: bool,
    /// DDL was sent to it whose transaction has not ended.
    pub redefines: bool,
    /// Of that, something that may be code which sets parameters.
    pub defines_code: bool,
    /// Such was committed: the catalog is to be read before anyone else has it.
    pub look_at_code: bool,
    /// The catalog is being read for such code, and has some.
    pub code_found: Option<bool>,
    /// The client's batch that runs, to be sent again if its first statement cannot be used any
    /// more; empty when that may not be.
    pub replay: Vec<u8>,
    /// It runs a read, and has not shown yet that it can: what it answers is kept back until then.
    pub undecided: bool,
    /// Changes of its parameters were sent to it of which it is not known what became.
    pub sets_open: bool,
    /// Parameters that texts of the open transaction set, and what goes with them.
    pub touched: Vec<Box<[u8]>>,
    /// Parameters with a dot in their names that it has heard of. RESET leaves them known, and so
    /// does DISCARD ALL.
    pub placeholders: Vec<Box<[u8]>>,
    /// It must not be used again.
    pub doomed: bool,
    /// The last message that was sent to it has no end: nothing may follow.
    pub half_sent: bool,
    /// Units of work whose client is gone. From the start of the range on they are still to be
    /// cancelled, one after the other.
    pub unwanted: Range<u64>,
    /// When what is still running of them is cancelled again.
    pub cancel_again_at: Deadline,
    /// DISCARD ALL must run before anyone else uses it.
    pub needs_reset: bool,
    /// LISTEN was sent to it: UNLISTEN must run before anyone else uses it.
    pub listens: bool,
    /// Who uses it, for those who are told of its process id.
    pub tenant: Arc<Tenant>,
    /// DISCARD ALL is running; if it fails, the server is not used again.
    pub discarding: bool,
    /// A cancel signal was delivered after which no statement has been started and ended; or a limit
    /// of the server's own may have expired when a statement was as good as over.
    pub needs_barrier: bool,
    /// A text was sent in this lease that sets a limit of time in a way that is not followed.
    pub sets_limit: bool,
    /// Why the server says that it ends the connection.
    pub farewell: Option<Report>,
    /// An exchange of pgweir's own failed with this.
    pub own_error: Option<Report>,
    /// The last unit of pgweir's own that its client waits for, or would; see [`Server::owes_own`].
    pub own_unit: u64,
    /// When that must have been answered.
    pub own_until: Deadline,
    /// What clients are told in the place of the server's errors where a text of theirs was
    /// refused, in the order of the numbers that the ledger has.
    pub refusals: Vec<Report>,
    /// A text was sent that may give up what pins its session.
    pub may_release: bool,
    /// What it says still pins its session, of the reasons that it is asked about.
    pub left: Option<Pins>,
    /// When it logged in.
    pub since: Tick,
    /// Not used again after this.
    pub retire_at: Deadline,
}

impl Server {
    /// A server that has just logged in.
    #[must_use]
    pub fn new(
        statuses: Vec<(Vec<u8>, Vec<u8>)>,
        cancel_target: Option<Arc<CancelTarget>>,
        dialled: Arc<ParamSet>,
        since: Tick,
        retire_at: Deadline,
    ) -> Self {
        let known = |reads, (name, value): &(Vec<u8>, Vec<u8>)| reads_with(reads, name, value);
        let reads = statuses.iter().fold(LexOptions::default(), known);
        Server {
            user: User::Nobody,
            ledger: Ledger::default(),
            status: TransactionStatus::Idle,
            lease: 0,
            last_client: None,
            recalls_another: false,
            first_unit: 1,
            cancel: Cancel::None,
            strike: None,
            asked: None,
            cancel_target,
            applied: dialled.clone(),
            dialled,
            coming: None,
            statuses,
            reads,
            statuses_before: None,
            unnamed: None,
            prepared: OnServer::default(),
            local: false,
            redefines: false,
            defines_code: false,
            look_at_code: false,
            code_found: None,
            replay: Vec::new(),
            undecided: false,
            sets_open: false,
            touched: Vec::new(),
            placeholders: Vec::new(),
            doomed: false,
            half_sent: false,
            unwanted: 0..0,
            cancel_again_at: Deadline::NEVER,
            needs_reset: false,
            listens: false,
            tenant: Arc::default(),
            discarding: false,
            needs_barrier: false,
            sets_limit: false,
            farewell: None,
            own_error: None,
            own_unit: 0,
            own_until: Deadline::NEVER,
            refusals: Vec::new(),
            may_release: false,
            left: None,
            since,
            retire_at,
        }
    }

    /// The client that it works for.
    #[must_use]
    #[inline]
    pub fn client(&self) -> Option<ClientId> {
        match self.user {
            User::Client(client) | User::Preparing(client) | User::Asking(client) => Some(client),
            User::Nobody | User::Cleaning(_) => None,
        }
    }

    /// Whether it is being asked what still pins its client.
    #[must_use]
    #[inline]
    pub fn is_asked(&self) -> bool {
        matches!(self.user, User::Asking(_))
    }

    /// Whether it has not answered what pgweir has sent it for its client.
    #[must_use]
    pub fn owes_own(&self) -> bool {
        self.client().is_some() && self.ledger.current_unit() <= self.own_unit
    }

    /// Whether statements may be sent to it now.
    #[must_use]
    #[inline]
    pub fn is_frozen(&self) -> bool {
        matches!(self.cancel, Cancel::Permitted(_)) || self.strike.is_some()
    }

    /// Whether a cancel request of whoever is on its way to it.
    #[must_use]
    pub fn is_cancelling(&self) -> bool {
        matches!(self.cancel, Cancel::Permitted(_))
    }

    /// Whether the ReadyForQuery that has just ended a unit is kept from its client for now: a
    /// signal that comes late could still abort the transaction that it speaks of.
    #[inline]
    pub fn holds_ready_back(&mut self, status: TransactionStatus) -> bool {
        let Some(strike) = &mut self.strike else { return false };
        // A signal may come where a request is under way, has been delivered, or may have got lost.
        let signalled =
            matches!(self.cancel, Cancel::Permitted(_)) || self.needs_barrier || self.doomed;
        strike.ready_due = signalled
            && strike.stage != Stage::Barrier
            && status == TransactionStatus::InTransaction
            && strike.unit == self.ledger.units_done()
            && self.ledger.is_settled();
        strike.ready_due
    }

    /// A unit of a client's has ended after so long. Postgres leaves a `statement_timeout` or
    /// `lock_timeout` that expires between a statement's last look at interrupts and its end to
    /// whatever is sent next: `get_timeout_active` is false by then, so `disable_statement_timeout`
    /// (postgres.c) does not clear it, and ProcessInterrupts raises it when the next message has been
    /// read. That must not be another client's.
    #[inline]
    pub fn has_taken(&mut self, took_us: u64, status: TransactionStatus) {
        if took_us >= SHORTEST_LIMIT_US && status == TransactionStatus::Idle {
            self.needs_barrier |= self.may_have_expired(took_us);
        }
    }

    /// Whether a limit of the server's own may have expired in so long. The margin is for clocks that
    /// are read once for many messages.
    #[inline]
    fn may_have_expired(&self, took_us: u64) -> bool {
        let limit_us = u64::from(self.applied.shortest_limit()) * 1_000;
        let is_near = limit_us != 0 && took_us.saturating_mul(2) >= limit_us;
        took_us >= UNKNOWN_LIMIT_US || is_near || self.sets_open || self.sets_limit
    }

    /// What to do next so that it becomes clean. The one place that says what "clean" means: last
    /// ReadyForQuery `I`, every owed reply received, no open batch or COPY, no cancel request under
    /// way, nothing left behind by a session.
    #[must_use]
    pub fn clean_step(&self) -> CleanStep {
        if self.ledger.is_doubtful() || self.farewell.is_some() {
            return CleanStep::Close;
        }
        if self.doomed || self.half_sent {
            // Closing does not end what runs: Postgres notices when it writes. It is cancelled
            // first.
            let unit = self.ledger.current_unit();
            let wait = if self.half_sent {
                // What comes before half a message may have been answered into a buffer that only
                // a Sync empties: of the last unit only the cancel is waited for.
                let to_be_cancelled = self.unwanted.contains(&unit) || self.cancel != Cancel::None;
                unit + 1 < self.unwanted.end || to_be_cancelled
            } else {
                unit < self.unwanted.end && self.ledger.owes_replies()
            };
            return if wait { CleanStep::Wait } else { CleanStep::Close };
        }
        match self.cancel {
            Cancel::None | Cancel::Ordered(_) => {}
            Cancel::Permitted(_) => return CleanStep::Wait,
        }
        if self.ledger.copy_in() {
            return CleanStep::FailCopy;
        }
        if self.ledger.is_skipping() {
            return CleanStep::Sync;
        }
        if self.ledger.batch_is_open() {
            return CleanStep::AbortBatch;
        }
        if self.ledger.owes_replies() {
            return CleanStep::Wait;
        }
        if self.status != TransactionStatus::Idle {
            return CleanStep::Rollback;
        }
        if self.ledger.is_half_ended() {
            return CleanStep::Close;
        }
        if self.needs_barrier {
            return CleanStep::Barrier;
        }
        if self.needs_reset {
            return CleanStep::DiscardAll;
        }
        if self.listens {
            return CleanStep::Unlisten;
        }
        if self.look_at_code {
            return CleanStep::LookAtCode;
        }
        CleanStep::Done
    }

    /// Whether its client, which has sent nothing yet, would be told of another's sequences by
    /// `lastval` and `currval`.
    #[must_use]
    pub fn must_forget_sequences(&self) -> bool {
        self.recalls_another
            && self.ledger.is_settled()
            && self.ledger.building_unit() == self.first_unit
    }

    /// The message that was noted last stands in the place of one that is refused with this.
    pub fn refuse_last(&mut self, report: Report) {
        if !self.ledger.owes_refusals() {
            self.refusals.clear();
        }
        self.refusals.push(report);
        // One that has no number any more is told in the server's words.
        self.ledger.refuse_last(u16::try_from(self.refusals.len()).unwrap_or(0));
    }

    /// What a client is told in the place of this error: that its text may not run, where the error
    /// is the one that what was sent instead is made for.
    #[must_use]
    pub fn refusal(&self, error: &[u8]) -> Option<&Report> {
        let number = usize::from(self.ledger.front_refusal()?);
        let is_ours = ErrorFields::read(error).sqlstate == b"42601";
        self.refusals.get(number - 1).filter(|_| is_ours)
    }

    /// Takes note of a text that is about to run, whatever becomes of it.
    #[inline]
    pub fn will_run(&mut self, effects: TextEffects, repeats: &mut Repeats) {
        self.local |= effects.sets_locally;
        self.may_release |= effects.may_release;
        if effects.notifies {
            self.tenant.notifies();
        }
        self.may_redefine(effects, repeats);
    }

    /// Takes note of a text that changes the catalog when it runs, if it does.
    #[inline]
    pub fn may_redefine(&mut self, effects: TextEffects, repeats: &mut Repeats) {
        self.redefines |= effects.redefines;
        self.defines_code |= effects.defines_code;
        repeats.redefined_if(effects.redefines);
    }

    /// Takes note of a ReadyForQuery. Whether it ends a transaction that contained DDL.
    #[must_use]
    pub fn is_ready(&mut self, status: TransactionStatus) -> bool {
        self.status = status;
        let idle = status == TransactionStatus::Idle && self.ledger.is_up_to_date();
        if !idle || self.ledger.batch_is_open() {
            return false;
        }
        if self.local {
            self.local = false;
            self.prepared.transaction_ended();
        }
        self.look_at_code |= std::mem::take(&mut self.defines_code);
        std::mem::take(&mut self.redefines)
    }

    /// How it reads texts now.
    #[must_use]
    #[inline]
    pub fn reads(&self) -> LexOptions {
        self.reads
    }

    /// Takes note of a ParameterStatus.
    pub fn status_reported(&mut self, name: &[u8], value: &[u8]) {
        self.reads = reads_with(self.reads, name, value);
        match self.statuses.iter().position(|(known, _)| known == name) {
            Some(at) if self.statuses[at].1 == value => {}
            // It has been promoted: no session has set that.
            Some(at) if name == b"in_hot_standby" => {
                for statuses in [Some(&mut self.statuses), self.statuses_before.as_mut()] {
                    let known = statuses.and_then(|all| all.get_mut(at));
                    known.into_iter().for_each(|(_, known)| *known = value.to_vec());
                }
            }
            Some(at) => {
                if self.statuses_before.is_none() {
                    self.statuses_before = Some(self.statuses.clone());
                }
                self.statuses[at].1 = value.to_vec();
            }
            None => {
                let new = (name.to_vec(), value.to_vec());
                // What was never reported before is no change.
                self.statuses_before.iter_mut().for_each(|before| before.push(new.clone()));
                self.statuses.push(new);
            }
        }
    }

    /// Whether reported parameters have changed although no text has set them.
    #[must_use]
    pub fn statuses_differ(&self) -> bool {
        self.statuses_before.as_ref().is_some_and(|before| *before != self.statuses)
    }

    /// The transaction whose texts set parameters has ended: what is reported of those is accounted
    /// for.
    pub fn statuses_settled(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let Some(before) = &mut self.statuses_before else { return };
        for (name, value) in &self.statuses {
            if !touched.iter().any(|touched| touched.eq_ignore_ascii_case(name)) {
                continue;
            }
            if let Some((_, was)) = before.iter_mut().find(|(known, _)| known == name) {
                was.clone_from(value);
            }
        }
        if *before == self.statuses {
            self.statuses_before = None;
        }
    }

    /// A text is sent that sets a parameter, whatever becomes of it.
    pub fn touches(&mut self, name: &[u8]) {
        // These are reported when the role changes.
        let with_it: &[&[u8]] = match name {
            b"session_authorization" | b"role" => &[b"is_superuser", b"session_authorization"],
            _ => &[],
        };
        for name in with_it.iter().copied().chain([name]) {
            if !self.touched.iter().any(|touched| **touched == *name) {
                self.touched.push(name.into());
            }
        }
        if is_custom(name) {
            self.hears_of(name);
        }
    }

    /// From now on it knows this custom parameter.
    pub fn hears_of(&mut self, name: &[u8]) {
        if !self.placeholders.iter().any(|known| **known == *name) {
            self.placeholders.push(name.into());
        }
    }

    /// What it last reported of a parameter.
    #[must_use]
    pub fn status_of(&self, name: &[u8]) -> Option<&[u8]> {
        let found = self.statuses.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }
}

/// How texts are read once a parameter has this value.
fn reads_with(reads: LexOptions, name: &[u8], value: &[u8]) -> LexOptions {
    match name {
        b"standard_conforming_strings" => {
            LexOptions { standard_conforming_strings: is_on(value), ..reads }
        }
        b"client_encoding" => LexOptions { encoding: Encoding::from_name(value), ..reads },
        _ => reads,
    }
}
