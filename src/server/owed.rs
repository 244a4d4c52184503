//! What is sent to a server, who gets the replies, and what replies mean.
//!
//! Deliberately absent: the order of things; that is the ledger's.

use crate::prepared::StatementId;
use crate::session::Ending;
use crate::wire::TransactionStatus;

/// A message sent to a server, as far as its replies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A simple Query, and how it may end the transaction.
    Query(Ending),
    /// FunctionCall.
    FunctionCall,
    /// Parse.
    Parse(Which),
    /// Bind, of a shared statement where one is given.
    Bind(Option<StatementId>),
    /// Describe of a statement, shared where one is given: ParameterDescription, then
    /// RowDescription or NoData.
    DescribeStatement(Option<StatementId>),
    /// Describe of a portal, made of a shared statement where one is given.
    DescribePortal(Option<StatementId>),
    /// Execute.
    Execute,
    /// Close of a portal, or of a statement.
    Close(Which),
    /// Flush owes nothing and changes nothing.
    Flush,
    /// Sync, and how its batch may end the transaction.
    Sync(Ending),
    /// CopyDone or CopyFail.
    CopyEnd,
    /// Nothing was sent: pgweir gives this answer when its turn has come.
    Local(Answer),
}

/// Which statement a Parse makes, or a Close closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One that only its server and its client know, or none.
    Own,
    /// The unnamed one. A Parse says what it becomes; the ledger holds a reference to that.
    Unnamed(Option<StatementId>),
    /// One that clients share, under pgweir's name. A Close holds a reference to it.
    Shared(StatementId),
    /// The unnamed one of its client, which the server keeps under pgweir's name.
    Repeated(StatementId),
}

/// Answers that pgweir gives in a server's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The server has the statement already.
    ParseComplete,
    /// The server keeps the statement for others.
    CloseComplete,
    /// The server had the unnamed statement under a name, and its Bind succeeded: a Parse that
    /// fails would have come before it.
    Repeated(StatementId),
    /// None, behind an Execute that changes what a name means: PREPARE, DEALLOCATE.
    Renamed,
    /// None, behind a Query or Execute of DEALLOCATE ALL.
    AllDeallocated,
    /// None, behind a Query or Execute of DISCARD ALL.
    AllDiscarded,
}

impl Answer {
    /// Whether it belongs to the message before it, and falls with that.
    pub(super) fn is_consequence(self) -> bool {
        match self {
            Answer::ParseComplete | Answer::CloseComplete | Answer::Repeated(_) => false,
            Answer::Renamed | Answer::AllDeallocated | Answer::AllDiscarded => true,
        }
    }

    /// Whether it says something of the server, whoever holds it.
    pub(super) fn is_about_the_server(self) -> bool {
        match self {
            Answer::ParseComplete
            | Answer::CloseComplete
            | Answer::Repeated(_)
            | Answer::Renamed => false,
            Answer::AllDeallocated | Answer::AllDiscarded => true,
        }
    }
}

impl Sent {
    /// Messages after whose error the server skips to the next Sync.
    pub(super) fn is_extended(self) -> bool {
        match self {
            Sent::Parse(_)
            | Sent::Bind(_)
            | Sent::DescribeStatement(_)
            | Sent::DescribePortal(_)
            | Sent::Execute
            | Sent::Close(_)
            | Sent::Flush
            | Sent::Local(_) => true,
            Sent::Query(_) | Sent::FunctionCall | Sent::Sync(_) | Sent::CopyEnd => false,
        }
    }

    /// An answer of pgweir's own that belongs to the message before it.
    pub(super) fn is_consequence(self) -> bool {
        matches!(self, Sent::Local(answer) if answer.is_consequence())
    }

    /// The statement to which the message holds a reference until it is answered.
    #[must_use]
    pub fn held_statement(self) -> Option<StatementId> {
        match self {
            Sent::Parse(Which::Unnamed(statement)) => statement,
            Sent::Close(Which::Shared(statement)) => Some(statement),
            Sent::Parse(Which::Own | Which::Shared(_) | Which::Repeated(_))
            | Sent::Close(Which::Own | Which::Unnamed(_) | Which::Repeated(_))
            | Sent::Query(_)
            | Sent::FunctionCall
            | Sent::Bind(_)
            | Sent::DescribeStatement(_)
            | Sent::DescribePortal(_)
            | Sent::Execute
            | Sent::Flush
            | Sent::Sync(_)
            | Sent::CopyEnd
            | Sent::Local(_) => None,
        }
    }

    /// Messages that are answered by a ReadyForQuery.
    pub(super) fn ends_unit(self) -> bool {
        match self {
            Sent::Query(_) | Sent::FunctionCall | Sent::Sync(_) => true,
            Sent::Parse(_)
            | Sent::Bind(_)
            | Sent::DescribeStatement(_)
            | Sent::DescribePortal(_)
            | Sent::Execute
            | Sent::Close(_)
            | Sent::Flush
            | Sent::CopyEnd
            | Sent::Local(_) => false,
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

/// What a reply meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing that changes a state.
    Plain,
    /// A Parse was done.
    Parsed(Which),
    /// A Close was done.
    Closed(Which),
    /// The parameter types of a shared statement.
    ParameterTypes(StatementId),
    /// The row format of a shared statement.
    Rows(StatementId),
    /// An error, and what it answers; the rest of the batch is skipped where it was an extended
    /// one.
    Error(Option<Sent>),
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
