//! Counting on the way of a statement: additions to plain integers, times from the turn's one
//! reading of the clock.

use super::Engine;
use super::driver::Driver;
use super::mail::CancelOutcome;
use crate::deadline::Tick;
use crate::ids::ClientId;
use crate::metrics::Counters;
use crate::pool::TimeLimits;
use crate::server::ledger::{Answer, Deliver, Ledger, Sent};
use crate::wire::TransactionStatus;
use crate::wire::backend::{ErrorFields, tag};
use crate::wire::frame::{HEADER_LEN, LONGEST_REPLY, header};

/// When what a client runs on its server began, in microseconds, and how long it may take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LeaseClock {
    /// Since when the unit at the front has been with the server.
    pub(super) query_us: Option<u64>,
    pub(super) transaction_us: Option<u64>,
    /// Since when the server has nothing to do and its client says nothing, in a transaction.
    pub(super) silent_us: Option<u64>,
    /// What held for the client when its transaction began.
    pub(super) limits: TimeLimits,
    /// Statements of the open batch that had been run when its client paused.
    pub(super) run_before: u32,
    /// Of the last message, which is all that may run, so many bytes are still to come.
    pub(super) half_sent: Option<u32>,
    /// A unit that waits for a standby, which has been told; 0: none.
    pub(super) waiting_unit: u64,
    /// A unit that is let run although it is late; 0: none.
    pub(super) spared_unit: u64,
    /// When to look again at one that waits for a standby.
    pub(super) look_again: Option<Tick>,
}

impl LeaseClock {
    /// A limit is in force.
    #[inline]
    pub(super) fn is_limited(&self) -> bool {
        self.limits.shortest().is_some()
    }

    /// A message that is owed a reply goes to the server. After how many milliseconds it is to be
    /// looked whether anything is late, if this is the first of a unit.
    #[inline]
    pub(super) fn asked(
        &mut self,
        now_us: u64,
        ledger: &Ledger,
        limits: impl FnOnce() -> TimeLimits,
    ) -> Option<u32> {
        self.silent_us = None;
        if self.transaction_us.is_none() {
            self.transaction_us = Some(now_us);
            self.limits = limits();
        }
        if self.query_us.is_some() {
            if ledger.len() != 1 {
                return None;
            }
            // All of the batch so far had been answered: the pause was no statement's.
            self.run_before = ledger.statements_run();
        }
        self.query_us = Some(now_us);
        self.limits.shortest()
    }
}

/// What a pool's replies are counted with.
pub(super) struct Meter<'a> {
    pub(super) counters: &'a mut Counters,
    pub(super) now_us: u64,
}

impl Meter<'_> {
    /// A ReadyForQuery came. How long its unit took, in microseconds; 0 for those of pgweir's own, which
    /// find no clock running.
    #[inline]
    pub(super) fn answered(
        &mut self,
        clock: &mut LeaseClock,
        ledger: &Ledger,
        status: TransactionStatus,
    ) -> u64 {
        // What was sent behind it runs from now on.
        let next = (!ledger.owes_nothing_since_ready()).then_some(self.now_us);
        let mut took_us = 0;
        if let Some(since) = clock.query_us {
            took_us = self.now_us - since;
            self.counters.queries.observe(took_us);
            clock.query_us = next;
            clock.run_before = 0;
        }
        if status != TransactionStatus::Idle {
            clock.silent_us = next.is_none().then_some(self.now_us);
        } else if let Some(since) = clock.transaction_us {
            self.counters.transactions.observe(self.now_us - since);
            clock.transaction_us = next;
        }
        took_us
    }
}

impl Counters {
    /// A message goes to a server, or is answered here: a client's, or one that pgweir inserts.
    #[inline]
    pub(super) fn count_sent(&mut self, sent: Sent, deliver: Deliver) {
        let clients = u64::from(deliver == Deliver::Client);
        match sent {
            Sent::Parse(_) => {
                self.client_parses += clients;
                self.server_parses += 1;
            }
            Sent::Local(Answer::ParseComplete) => self.client_parses += clients,
            Sent::Local(Answer::Repeated(_)) => {
                self.client_parses += clients;
                self.binds += clients;
            }
            Sent::Bind(_) => self.binds += clients,
            Sent::Query(_)
            | Sent::DescribeStatement(_)
            | Sent::DescribePortal(_)
            | Sent::Execute
            | Sent::Close(_)
            | Sent::Flush
            | Sent::Sync(_)
            | Sent::FunctionCall
            | Sent::CopyEnd
            | Sent::Local(
                Answer::CloseComplete
                | Answer::Renamed
                | Answer::AllDeallocated
                | Answer::AllDiscarded,
            ) => {}
        }
    }

    /// Messages of our own for a client: errors among them are counted.
    pub(super) fn count_answers(&mut self, mut answers: &[u8]) {
        while let Ok(Some(header)) = header(answers, LONGEST_REPLY) {
            let Some((message, rest)) = answers.split_at_checked(header.frame_len()) else {
                return;
            };
            if header.tag == tag::ERROR_RESPONSE {
                self.errors.count(ErrorFields::read(&message[HEADER_LEN..]).sqlstate);
            }
            answers = rest;
        }
    }

    /// A cancel request came to its end.
    pub(super) fn count_cancel(&mut self, outcome: CancelOutcome) {
        match outcome {
            CancelOutcome::NotSent => self.cancels_not_sent += 1,
            CancelOutcome::Delivered => self.cancels_delivered += 1,
            CancelOutcome::Unknown => self.cancels_unknown += 1,
        }
    }
}

impl<D: Driver> Engine<D> {
    /// Bytes of a client went to its server.
    #[inline]
    pub(super) fn count_received(&mut self, id: ClientId, bytes: usize) {
        if let Some(client) = self.clients.get(id) {
            self.pools[client.pool.0 as usize].counters.bytes_received += bytes as u64;
        }
    }

    /// Bytes of a server go to its client.
    #[inline]
    pub(super) fn count_sent(&mut self, id: ClientId, bytes: usize) {
        if let Some(client) = self.clients.get(id) {
            self.pools[client.pool.0 as usize].counters.bytes_sent += bytes as u64;
        }
    }

    /// The loop's clock in whole seconds: enough for what only operators read.
    pub(super) fn seconds(&self) -> u32 {
        u32::try_from(self.now_us / 1_000_000).unwrap_or(u32::MAX)
    }
}
