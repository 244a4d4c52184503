//! The reply ledger: what a server still owes, and to whom.
//!
//! Each frontend message that is sent pushes what is owed for it, each backend message settles the
//! front. Whether a COPY runs, whether the server skips to the next Sync, whether it is done with
//! everything: these are questions to the ledger, not flags beside it. Rules as `PostgresMain` and
//! `SocketBackend` in Postgres' postgres.c and `CopyGetData` in copyfromparse.c.

use std::collections::VecDeque;

use crate::prepared::StatementId;
use crate::session::Ending;
use crate::wire::TransactionStatus;
use crate::wire::backend::tag;

/// A message sent to a server, as far as its replies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A simple Query, and how it may end the transaction.
    Query(Ending),
    /// FunctionCall.
    FunctionCall,
    /// Parse; the statement when it is the unnamed one.
    Parse(Option<StatementId>),
    /// Bind.
    Bind,
    /// Describe of a statement: ParameterDescription, then RowDescription or NoData.
    DescribeStatement,
    /// Describe of a portal.
    DescribePortal,
    /// Execute.
    Execute,
    /// Close of a statement or portal; whether it closes the unnamed statement.
    Close {
        /// Whether the unnamed statement is what it closes.
        unnamed: bool,
    },
    /// Flush owes nothing and changes nothing.
    Flush,
    /// Sync, and how its batch may end the transaction.
    Sync(Ending),
    /// CopyDone or CopyFail.
    CopyEnd,
}

impl Sent {
    /// Messages after whose error the server skips to the next Sync.
    fn is_extended(self) -> bool {
        match self {
            Sent::Parse(_)
            | Sent::Bind
            | Sent::DescribeStatement
            | Sent::DescribePortal
            | Sent::Execute
            | Sent::Close { .. }
            | Sent::Flush => true,
            Sent::Query(_) | Sent::FunctionCall | Sent::Sync(_) | Sent::CopyEnd => false,
        }
    }

    /// Messages that are answered by a ReadyForQuery.
    fn ends_unit(self) -> bool {
        match self {
            Sent::Query(_) | Sent::FunctionCall | Sent::Sync(_) => true,
            Sent::Parse(_)
            | Sent::Bind
            | Sent::DescribeStatement
            | Sent::DescribePortal
            | Sent::Execute
            | Sent::Close { .. }
            | Sent::Flush
            | Sent::CopyEnd => false,
        }
    }
}

/// Who gets a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deliver {
    /// The client that holds the server.
    Client,
    /// Nobody when it succeeds, the client when it fails: pgweir inserted the message into the
    /// client's batch.
    OnError,
    /// Nobody: the message is pgweir's own.
    Swallow,
}

#[derive(Clone, Copy, Debug)]
struct Owed {
    sent: Sent,
    deliver: Deliver,
    /// Extended messages stood before it, without a Sync between.
    joins_batch: bool,
}

/// What a reply meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing that changes a state.
    Plain,
    /// The unnamed statement is now this one.
    UnnamedParsed(StatementId),
    /// The unnamed statement is gone.
    UnnamedClosed,
    /// An error; the rest of the batch is skipped where it was an extended one.
    Error,
    /// An error of a Parse that had thrown the unnamed statement away first.
    UnnamedFailed,
    /// ReadyForQuery after a batch or a function call.
    Ready(TransactionStatus),
    /// ReadyForQuery after a Query, which throws the unnamed statement away.
    QueryReady(TransactionStatus),
    /// The server waits for CopyData.
    CopyIn,
    /// A NoticeResponse, ParameterStatus or NotificationResponse: may come at any time.
    Asynchronous,
}

/// A reply: who gets it and what it meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who gets it.
    pub deliver: Deliver,
    /// What it meant.
    pub meaning: Meaning,
}

/// The server sent something that nothing asked for: the connection cannot be trusted any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desync {
    /// The tag that came.
    pub tag: u8,
    /// What stood at the front of the ledger.
    pub expected: Option<Sent>,
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

    /// Whether the server may stand in a transaction although it says that it is idle. Postgres 18 does after
    /// `Execute, Query, Sync`: the Query leaves the batch's implicit transaction open, and the Sync neither
    /// commits it nor rolls it back (`finish_xact_command`: nothing to do). The next statement fails with
    /// XX000, whoever sends it.
    #[must_use]
    pub fn is_half_ended(&self) -> bool {
        self.half_ended
    }

    /// Whether the server will end the connection over a message it got, once it has said so.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending
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
            open = owed.sent.is_extended();
        }
        last + u64::from(open)
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
                | Sent::Bind
                | Sent::DescribeStatement
                | Sent::DescribePortal
                | Sent::Execute
                | Sent::Close { .. }
                | Sent::Flush
                | Sent::CopyEnd => None,
            },
        )
    }

    /// From now on nobody waits for what is owed: its client is gone.
    pub fn swallow_all(&mut self) {
        for owed in &mut self.owed {
            owed.deliver = Deliver::Swallow;
        }
    }

    /// Notes a message that is being sent. Whether a reply to it is owed.
    #[inline]
    pub fn sent(&mut self, sent: Sent, deliver: Deliver) -> bool {
        if sent == Sent::Flush {
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
                | Sent::Bind
                | Sent::DescribeStatement
                | Sent::DescribePortal
                | Sent::Execute
                | Sent::Close { .. }
                | Sent::Flush => self.end_in_doubt(),
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
            | Sent::Bind
            | Sent::DescribeStatement
            | Sent::DescribePortal
            | Sent::Execute
            | Sent::Close { .. }
            | Sent::Flush => self.batch_open = true,
        }
        self.owed.push_back(Owed { sent, deliver, joins_batch });
        true
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
        mut dropped: impl FnMut(StatementId),
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
        let Some(&Owed { sent: front, deliver, joins_batch }) = self.owed.front() else {
            // Between units only an error may come: the server says why it ends the connection.
            return match reply {
                tag::ERROR_RESPONSE => {
                    Ok(Receipt { deliver: Deliver::Swallow, meaning: Meaning::Error })
                }
                // The COPY failed before a Sync was read that it would have ignored.
                tag::READY_FOR_QUERY if self.doubtful && self.skipping => match status {
                    Some(status) => {
                        self.skipping = false;
                        self.batch_open = false;
                        self.units_done += 1;
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
                }
                let deliver = match deliver {
                    Deliver::Client | Deliver::OnError => Deliver::Client,
                    Deliver::Swallow => Deliver::Swallow,
                };
                let meaning = match front {
                    Sent::Parse(Some(_)) => Meaning::UnnamedFailed,
                    _ => Meaning::Error,
                };
                Ok(Receipt { deliver, meaning })
            }
            (tag::PARSE_COMPLETE, Sent::Parse(unnamed)) => {
                self.pop();
                let meaning = unnamed.map_or(Meaning::Plain, Meaning::UnnamedParsed);
                Ok(Receipt { deliver, meaning })
            }
            (tag::BIND_COMPLETE, Sent::Bind) => {
                self.pop();
                plain
            }
            (tag::CLOSE_COMPLETE, Sent::Close { unnamed }) => {
                self.pop();
                let meaning = if unnamed { Meaning::UnnamedClosed } else { Meaning::Plain };
                Ok(Receipt { deliver, meaning })
            }
            (tag::PARAMETER_DESCRIPTION, Sent::DescribeStatement) => plain,
            (
                tag::ROW_DESCRIPTION | tag::NO_DATA,
                Sent::DescribeStatement | Sent::DescribePortal,
            ) => {
                self.pop();
                plain
            }
            (
                tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED,
                Sent::Execute,
            ) => {
                self.pop();
                plain
            }
            (tag::COMMAND_COMPLETE | tag::EMPTY_QUERY_RESPONSE, Sent::Query(_)) => plain,
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
                | Sent::Bind
                | Sent::DescribeStatement
                | Sent::DescribePortal
                | Sent::Execute
                | Sent::Close { .. }
                | Sent::Flush => {
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

    fn skip_to_sync(&mut self, dropped: &mut impl FnMut(StatementId)) {
        while let Some(&Owed { sent, .. }) = self.owed.front() {
            match sent {
                Sent::Sync(_) => return,
                Sent::Parse(Some(statement)) => dropped(statement),
                Sent::Query(_)
                | Sent::FunctionCall
                | Sent::Parse(None)
                | Sent::Bind
                | Sent::DescribeStatement
                | Sent::DescribePortal
                | Sent::Execute
                | Sent::Close { .. }
                | Sent::Flush
                | Sent::CopyEnd => {}
            }
            self.owed.pop_front();
        }
        self.skipping = true;
    }

    /// Statements of Parses that were never answered: their references must be given back when the
    /// server goes.
    pub fn unanswered_statements(&self) -> impl Iterator<Item = StatementId> + '_ {
        self.owed.iter().filter_map(|owed| match owed.sent {
            Sent::Parse(statement) => statement,
            Sent::Query(_)
            | Sent::FunctionCall
            | Sent::Bind
            | Sent::DescribeStatement
            | Sent::DescribePortal
            | Sent::Execute
            | Sent::Close { .. }
            | Sent::Flush
            | Sent::Sync(_)
            | Sent::CopyEnd => None,
        })
    }
}
