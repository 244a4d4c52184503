//! The reply ledger: what a server still owes, and to whom.
//!
//! Each frontend message that is sent pushes what is owed for it, each backend message settles the
//! front. Whether a COPY runs, whether the server skips to the next Sync, whether it is done with
//! everything: these are questions to the ledger, not flags beside it. Rules as `PostgresMain` and
//! `SocketBackend` in Postgres' postgres.c and `CopyGetData` in copyfromparse.c.

use std::collections::VecDeque;

mod running;

pub use super::owed::{Answer, Deliver, Desync, Meaning, Receipt, Sent, Which};
pub use running::{Running, Statements};

use crate::prepared::StatementId;
use crate::session::{Ending, Timing};
use crate::wire::TransactionStatus;
use crate::wire::backend::tag;

/// Numbers from here on are those of texts that change what names of statements mean, and nothing
/// else that is numbered.
pub const OF_NAMES: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Owed {
    sent: Sent,
    deliver: Deliver,
    /// Extended messages stood before it, without a Sync between.
    joins_batch: bool,
    /// A number that its sender gave to what it does; 0: none.
    does: u32,
    /// It stands in the place of a text that may not run: the number of the refusal; 0: it does not.
    refusal: u16,
    /// Statements in its text.
    statements: u16,
    /// How what it runs stands to limits of time.
    timing: Timing,
}

/// Replies owed by one server, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    owed: VecDeque<Owed>,
    /// The server is in copy-in mode and has not been sent CopyDone or CopyFail.
    copy_in: bool,
    /// An error in an extended batch was reported and its Sync has not been sent.
    skipping: bool,
    /// Extended messages were sent after the last Sync.
    batch_open: bool,
    /// An ErrorResponse was delivered for the unit at the front.
    front_failed: bool,
    /// Sync was sent while a COPY IN ran: whether it counts is not knowable if that COPY fails.
    sync_in_copy: bool,
    doubtful: bool,
    /// The server got a message in a COPY that makes it end the connection.
    ending: bool,
    /// A Query or FunctionCall in the middle of a batch left a transaction open.
    joined: bool,
    /// Sync ended such a batch.
    half_ended: bool,
    units_done: u64,
    units_sent: u64,
    /// Replies received for the unit at the front.
    replies: u64,
    /// Statements of the unit at the front that have been run to their end.
    run: u32,
    /// Of those of its batch, the ones of maintenance.
    maintained: u32,
    /// One of its batch has set a limit of time.
    limit_set: bool,
}

impl Ledger {
    /// Nothing is owed, nothing half done: the server stands between two units of work.
    #[must_use]
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.owed.is_empty() && !self.batch_open && !self.copy_in && !self.skipping
    }

    /// Whether any reply is owed.
    #[must_use]
    pub fn owes_replies(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Whether extended messages were sent that no Sync has closed.
    #[must_use]
    pub fn batch_is_open(&self) -> bool {
        self.batch_open
    }

    /// Whether the server waits for CopyData.
    #[must_use]
    pub fn copy_in(&self) -> bool {
        self.copy_in
    }

    /// Whether the server skips everything up to a Sync that has not been sent.
    #[must_use]
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// Whether the server runs no statement that comes now: it throws it away, or ends the connection over it.
    #[must_use]
    #[inline]
    pub fn runs_nothing(&self) -> bool {
        self.skipping || self.copy_in
    }

    /// Whether an error of the unit at the front has been delivered already.
    #[must_use]
    pub fn front_failed(&self) -> bool {
        self.front_failed
    }

    /// Whether the replies could no longer be told apart: the server must not be used again.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Whether the server may stand in a transaction although it says that it is idle. Postgres 18
    /// does after `Execute, Query, Sync`: the Query leaves the batch's implicit transaction open, and
    /// the Sync neither commits it nor rolls it back (`finish_xact_command`: nothing to do). The next
    /// statement fails with XX000, whoever sends it.
    #[must_use]
    pub fn is_half_ended(&self) -> bool {
        self.half_ended
    }

    /// Whether the transaction that the server is in may be no block, for a Query in the middle of
    /// a batch left it open: it takes no savepoints then.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// Whether the server will end the connection over a message it got, once it has said so.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// A message in a COPY over which the server would have ended the connection, had it got it: it
    /// was to be answered here.
    #[must_use]
    pub fn kept_from_copy(&self) -> Option<Answer> {
        match self.owed.get(1) {
            Some(Owed { sent: Sent::Local(answer), .. })
                if self.copy_in && !answer.is_consequence() =>
            {
                Some(*answer)
            }
            Some(_) | None => None,
        }
    }

    /// Number of the unit (Query, FunctionCall or batch) that runs now or comes next.
    #[must_use]
    pub fn current_unit(&self) -> u64 {
        self.units_done + 1
    }

    /// Number of the last unit of which anything is owed; of the last one done when nothing is. With
    /// `half_sent`, the last message does not count: the server never gets the rest of it.
    #[must_use]
    pub fn last_unit(&self, half_sent: bool) -> u64 {
        let whole = self.owed.len().saturating_sub(usize::from(half_sent));
        let (mut last, mut open) = (self.units_done, false);
        for owed in self.owed.range(..whole) {
            last += u64::from(owed.sent.ends_unit());
            if !owed.sent.is_consequence() {
                open = owed.sent.is_extended();
            }
        }
        last + u64::from(open)
    }

    /// Number of the unit that the next message belongs to.
    #[must_use]
    #[inline]
    pub fn building_unit(&self) -> u64 {
        self.units_sent + 1
    }

    /// Whether every unit before the one being built has been answered: what the server's last
    /// ReadyForQuery said is what the next message meets, unless its own batch fails before it.
    #[must_use]
    #[inline]
    pub fn is_up_to_date(&self) -> bool {
        self.units_done == self.units_sent
    }

    /// Whether the server has been sent no message since the last ReadyForQuery that is still to be
    /// answered, nor one whose failure would skip what comes next.
    #[must_use]
    pub fn owes_nothing_since_ready(&self) -> bool {
        let nothing_to_come = self.owed.iter().all(|owed| matches!(owed.sent, Sent::Local(_)));
        nothing_to_come && self.replies == 0 && !self.copy_in && !self.skipping
    }

    /// What the next reply answers.
    #[must_use]
    pub fn front(&self) -> Option<Sent> {
        self.owed.front().map(|owed| owed.sent)
    }

    /// Whether the unit at the front is all that was sent, and its first message has not been
    /// answered.
    #[must_use]
    pub fn is_at_first_of_only_unit(&self) -> bool {
        self.units_sent == self.units_done + 1 && !self.batch_open && self.replies == 0
    }

    /// Whether all that was sent since the last ReadyForQuery is a Describe of pgweir's own.
    #[must_use]
    pub fn is_only_asked(&self) -> bool {
        let asked = matches!(
            self.owed.front(),
            Some(Owed { sent: Sent::DescribeStatement(Some(_)), deliver: Deliver::OnError, .. })
        );
        asked && self.owed.len() == 1 && self.replies == 0 && self.is_up_to_date()
    }

    /// The answer of pgweir's own whose turn it is, if it is one's turn.
    #[inline]
    pub fn take_local(&mut self) -> Option<Answer> {
        let Some(&Owed { sent: Sent::Local(answer), .. }) = self.owed.front() else { return None };
        self.pop();
        // It is no reply of the server's.
        self.replies -= 1;
        Some(answer)
    }

    /// How many messages wait for an answer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// For each unit that the client still waits for, how it may end the transaction.
    pub fn client_units(&self) -> impl Iterator<Item = Ending> + '_ {
        self.owed.iter().filter(|owed| owed.deliver == Deliver::Client).filter_map(
            |owed| match owed.sent {
                Sent::Query(ending) | Sent::Sync(ending) => Some(ending),
                Sent::FunctionCall => Some(Ending::No),
                Sent::Parse(_)
                | Sent::Bind(_)
                | Sent::DescribeStatement(_)
                | Sent::DescribePortal(_)
                | Sent::Execute
                | Sent::Close(_)
                | Sent::Flush
                | Sent::CopyEnd
                | Sent::Local(_) => None,
            },
        )
    }

    /// From now on nobody waits for what is owed: its client is gone.
    pub fn swallow_all(&mut self) {
        self.owed.retain(|owed| match owed.sent {
            // What these stand for happens to the server.
            Sent::Local(answer) => answer.is_about_the_server(),
            _ => true,
        });
        for owed in &mut self.owed {
            owed.deliver = Deliver::Swallow;
        }
    }

    /// Notes a message that is being sent. Whether a reply to it is owed.
    #[inline]
    pub fn sent(&mut self, sent: Sent, deliver: Deliver) -> bool {
        if matches!(sent, Sent::Flush) {
            return false;
        }
        if self.copy_in {
            match sent {
                // Read and ignored in copy-in mode.
                Sent::Sync(_) => {
                    self.sync_in_copy = true;
                    return false;
                }
                Sent::CopyEnd => {
                    self.copy_in = false;
                    return false;
                }
                // Anything else makes the server end the connection.
                Sent::Query(_)
                | Sent::FunctionCall
                | Sent::Parse(_)
                | Sent::Bind(_)
                | Sent::DescribeStatement(_)
                | Sent::DescribePortal(_)
                | Sent::Execute
                | Sent::Close(_)
                | Sent::Flush
                | Sent::Local(_) => self.end_in_doubt(),
            }
        }
        let joins_batch = self.batch_open;
        match sent {
            Sent::Sync(_) => {
                self.skipping = false;
                self.batch_open = false;
            }
            Sent::CopyEnd if self.owed.is_empty() => return false,
            _ if self.skipping => return false,
            // These end the implicit transaction of the messages before them, as Sync does.
            Sent::Query(_) | Sent::FunctionCall => self.batch_open = false,
            Sent::CopyEnd => {}
            Sent::Parse(_)
            | Sent::Bind(_)
            | Sent::DescribeStatement(_)
            | Sent::DescribePortal(_)
            | Sent::Execute
            | Sent::Close(_)
            | Sent::Flush
            | Sent::Local(Answer::ParseComplete | Answer::CloseComplete | Answer::Repeated(_)) => {
                self.batch_open = true;
            }
            Sent::Local(Answer::Renamed | Answer::AllDeallocated | Answer::AllDiscarded) => {}
        }
        self.units_sent += u64::from(sent.ends_unit());
        self.owed.push_back(Owed {
            sent,
            deliver,
            joins_batch,
            does: 0,
            refusal: 0,
            statements: 1,
            timing: Timing::Plain,
        });
        true
    }

    /// Gives the message that was noted last a number, by which its answers are known.
    pub fn number_last(&mut self, does: u32) {
        if let Some(last) = self.owed.back_mut() {
            last.does = does;
        }
    }

    /// The same, unless it has one. The number that it has then.
    pub fn number_last_once(&mut self, does: u32) -> u32 {
        let Some(last) = self.owed.back_mut() else { return does };
        if last.does == 0 {
            last.does = does;
        }
        last.does
    }

    /// What the message that was noted last runs stands like this to limits of time.
    pub fn time_last(&mut self, timing: Timing) {
        if let Some(last) = self.owed.back_mut() {
            last.timing = timing;
        }
    }

    /// The text of the message that was noted last has so many statements.
    pub fn count_last(&mut self, statements: u16) {
        if let Some(last) = self.owed.back_mut() {
            last.statements = statements;
        }
    }

    /// Whether the next reply answers a message of pgweir's own.
    #[must_use]
    pub fn front_is_inserted(&self) -> bool {
        self.owed.front().is_some_and(|owed| owed.deliver != Deliver::Client)
    }

    /// The number of the message that the next reply answers.
    #[must_use]
    #[inline]
    pub fn front_does(&self) -> Option<u32> {
        self.owed.front().map(|owed| owed.does).filter(|does| *does != 0)
    }

    /// The message that was noted last stands in the place of one that is refused.
    pub fn refuse_last(&mut self, refusal: u16) {
        if let Some(last) = self.owed.back_mut() {
            last.refusal = refusal;
        }
    }

    /// The number of the refusal that the next reply answers, if it answers one.
    #[must_use]
    pub fn front_refusal(&self) -> Option<u16> {
        self.owed.front().map(|owed| owed.refusal).filter(|refusal| *refusal != 0)
    }

    /// Whether any refusal waits for its answer.
    #[must_use]
    pub fn owes_refusals(&self) -> bool {
        self.owed.iter().any(|owed| owed.refusal != 0)
    }

    /// How many units have been answered.
    #[must_use]
    pub fn units_done(&self) -> u64 {
        self.units_done
    }

    /// Settles the front with a reply that means nothing but its place and goes to the client as it
    /// is, as most replies do; `known` tells of a statement whether the row format that its Describe
    /// is answered with is. `false`: nothing is settled, and `received` says what the reply means.
    #[inline]
    pub fn passes(&mut self, reply: u8, mut known: impl FnMut(StatementId) -> bool) -> bool {
        let Some(&Owed { sent, deliver: Deliver::Client, does: 0, timing: Timing::Plain, .. }) =
            self.owed.front()
        else {
            return false;
        };
        match (reply, sent) {
            (tag::DATA_ROW | tag::COPY_DATA, Sent::Query(_) | Sent::Execute) => true,
            (tag::ROW_DESCRIPTION, Sent::Query(_)) => true,
            (tag::COMMAND_COMPLETE, Sent::Query(_)) => {
                self.run += 1;
                true
            }
            (tag::COMMAND_COMPLETE, Sent::Execute) => {
                self.run += 1;
                self.pop();
                true
            }
            (tag::BIND_COMPLETE, Sent::Bind(_)) => {
                self.pop();
                true
            }
            (
                tag::ROW_DESCRIPTION | tag::NO_DATA,
                Sent::DescribeStatement(statement) | Sent::DescribePortal(statement),
            ) if statement.is_none_or(&mut known) => {
                self.pop();
                true
            }
            _ => false,
        }
    }

    /// Settles the front with a reply. `status` is the byte of a ReadyForQuery.
    ///
    /// # Errors
    /// The reply is not one that the front can have.
    #[inline]
    pub fn received(
        &mut self,
        reply: u8,
        status: Option<TransactionStatus>,
        mut dropped: impl FnMut(Sent, Deliver),
    ) -> Result<Receipt, Desync> {
        if matches!(
            reply,
            tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS | tag::NOTIFICATION_RESPONSE
        ) {
            let deliver = match self.owed.front() {
                Some(Owed { deliver: Deliver::Swallow, .. }) => Deliver::Swallow,
                Some(_) | None => Deliver::Client,
            };
            return Ok(Receipt { deliver, meaning: Meaning::Asynchronous });
        }
        let Some(&Owed { sent: front, deliver, joins_batch, timing, .. }) = self.owed.front()
        else {
            // Between units only an error may come: the server says why it ends the connection.
            return match reply {
                tag::ERROR_RESPONSE => {
                    Ok(Receipt { deliver: Deliver::Swallow, meaning: Meaning::Error(None) })
                }
                // The COPY failed before a Sync was read that it would have ignored.
                tag::READY_FOR_QUERY if self.doubtful && self.skipping => match status {
                    Some(status) => {
                        self.skipping = false;
                        self.batch_open = false;
                        self.units_done += 1;
                        self.units_sent += 1;
                        self.replies = 0;
                        self.run = 0;
                        Ok(Receipt { deliver: Deliver::Client, meaning: Meaning::Ready(status) })
                    }
                    None => Err(Desync { tag: reply, expected: None }),
                },
                _ => Err(Desync { tag: reply, expected: None }),
            };
        };
        let plain = Ok(Receipt { deliver, meaning: Meaning::Plain });
        let desync = Err(Desync { tag: reply, expected: Some(front) });
        match (reply, front) {
            (tag::READY_FOR_QUERY, _) if front.ends_unit() => {
                let Some(status) = status else { return desync };
                self.pop();
                self.copy_in = false;
                self.front_failed = false;
                self.units_done += 1;
                self.replies = 0;
                self.run = 0;
                self.maintained = 0;
                self.limit_set = false;
                self.follow_batch(front, joins_batch, status);
                let meaning = match front {
                    Sent::Query(_) => Meaning::QueryReady(status),
                    _ => Meaning::Ready(status),
                };
                Ok(Receipt { deliver, meaning })
            }
            (tag::ERROR_RESPONSE, _) => {
                self.doubtful |= self.sync_in_copy;
                self.copy_in = false;
                self.front_failed = true;
                if front.is_extended() {
                    self.skip_to_sync(&mut dropped);
                } else if let Some(&Owed { sent: sent @ Sent::Local(answer), deliver, .. }) =
                    self.owed.get(1)
                    && answer.is_consequence()
                {
                    self.owed.remove(1);
                    dropped(sent, deliver);
                }
                let deliver = match deliver {
                    Deliver::Client | Deliver::OnError => Deliver::Client,
                    Deliver::Swallow => Deliver::Swallow,
                };
                let meaning = Meaning::Error(Some(front));
                Ok(Receipt { deliver, meaning })
            }
            (tag::PARSE_COMPLETE, Sent::Parse(which)) => {
                self.pop();
                Ok(Receipt { deliver, meaning: Meaning::Parsed(which) })
            }
            (tag::BIND_COMPLETE, Sent::Bind(_)) => {
                self.pop();
                plain
            }
            (tag::CLOSE_COMPLETE, Sent::Close(which)) => {
                self.pop();
                Ok(Receipt { deliver, meaning: Meaning::Closed(which) })
            }
            (tag::PARAMETER_DESCRIPTION, Sent::DescribeStatement(shared)) => {
                let meaning = shared.map_or(Meaning::Plain, Meaning::ParameterTypes);
                Ok(Receipt { deliver, meaning })
            }
            (
                tag::ROW_DESCRIPTION | tag::NO_DATA,
                Sent::DescribeStatement(shared) | Sent::DescribePortal(shared),
            ) => {
                self.pop();
                let meaning = shared.map_or(Meaning::Plain, Meaning::Rows);
                Ok(Receipt { deliver, meaning })
            }
            (
                tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED,
                Sent::Execute,
            ) => {
                self.run += 1;
                self.maintained += u32::from(timing == Timing::Maintenance);
                self.limit_set |= timing == Timing::SetsLimit;
                self.pop();
                plain
            }
            (tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE, Sent::Query(_)) => {
                self.run += 1;
                plain
            }
            (tag::ROW_DESCRIPTION, Sent::Query(_)) => plain,
            (
                tag::DATA_ROW | tag::COPY_OUT_RESPONSE | tag::COPY_DATA | tag::COPY_DONE,
                Sent::Query(_) | Sent::Execute,
            ) => plain,
            (tag::COPY_IN_RESPONSE | tag::COPY_BOTH_RESPONSE, Sent::Query(_) | Sent::Execute) => {
                self.enter_copy_in();
                Ok(Receipt { deliver, meaning: Meaning::CopyIn })
            }
            (tag::FUNCTION_CALL_RESPONSE, Sent::FunctionCall) => plain,
            _ => desync,
        }
    }

    /// What a ReadyForQuery says about the implicit transaction of a batch that the front stood in.
    fn follow_batch(&mut self, front: Sent, joins_batch: bool, status: TransactionStatus) {
        if matches!(front, Sent::Sync(_)) {
            self.half_ended |= self.joined && status == TransactionStatus::Idle;
            self.joined = false;
        } else {
            let open = status == TransactionStatus::InTransaction;
            self.joined = open && (self.joined || joins_batch);
        }
    }

    fn pop(&mut self) {
        self.owed.pop_front();
        // What has been answered to its end was no COPY that failed.
        self.sync_in_copy = false;
        self.replies += 1;
        // Outside copy-in mode the server reads and ignores these.
        while matches!(self.owed.front(), Some(Owed { sent: Sent::CopyEnd, .. })) {
            self.owed.pop_front();
        }
    }

    /// The server reads everything up to CopyDone or CopyFail as part of the COPY; a Sync that was
    /// sent early is ignored there.
    fn enter_copy_in(&mut self) {
        self.copy_in = true;
        while let Some(&Owed { sent, .. }) = self.owed.get(1) {
            match sent {
                Sent::Sync(_) => {
                    self.owed.remove(1);
                    self.units_sent -= 1;
                    self.sync_in_copy = true;
                    // The batch that this Sync should have closed is still open, unless something
                    // behind it closes it.
                    let mut later = self.owed.iter().skip(1);
                    self.batch_open |= !later.any(|owed| owed.sent.ends_unit());
                }
                Sent::CopyEnd => {
                    self.owed.remove(1);
                    self.copy_in = false;
                    return;
                }
                Sent::Query(_)
                | Sent::FunctionCall
                | Sent::Parse(_)
                | Sent::Bind(_)
                | Sent::DescribeStatement(_)
                | Sent::DescribePortal(_)
                | Sent::Execute
                | Sent::Close(_)
                | Sent::Flush
                | Sent::Local(_) => {
                    self.end_in_doubt();
                    return;
                }
            }
        }
    }

    fn end_in_doubt(&mut self) {
        self.doubtful = true;
        self.ending = true;
    }

    fn skip_to_sync(&mut self, dropped: &mut impl FnMut(Sent, Deliver)) {
        while let Some(&Owed { sent, deliver, .. }) = self.owed.front() {
            match sent {
                Sent::Sync(_) => return,
                // The server throws them away with the rest.
                Sent::Query(_) | Sent::FunctionCall => self.units_sent -= 1,
                Sent::Parse(_)
                | Sent::Bind(_)
                | Sent::DescribeStatement(_)
                | Sent::DescribePortal(_)
                | Sent::Execute
                | Sent::Close(_)
                | Sent::Flush
                | Sent::CopyEnd
                | Sent::Local(_) => {}
            }
            dropped(sent, deliver);
            self.owed.pop_front();
        }
        self.skipping = true;
    }

    /// Statements whose references the ledger holds: they must be given back when the server goes.
    pub fn held_statements(&self) -> impl Iterator<Item = StatementId> + '_ {
        self.owed.iter().filter_map(|owed| owed.sent.held_statement())
    }
}
