//! A transaction that has begun and has no server yet: what it is to read decides which one it gets.
//!
//! BEGIN and what shapes the transaction are answered here as Postgres would, and sent when the first statement comes.
//! A transaction that ends before that has taken no server.

use std::borrow::Cow;

use super::request::{Part, parts};
use crate::sql::{self, Isolation, LexOptions, Lexer, TransactionControl, TransactionModes};
use crate::wire::backend::tag as backend;
use crate::wire::frame::{HEADER_LEN, LONGEST_REQUEST, header, split_cstr, split_u16};
use crate::wire::frontend::{Named, tag};
use crate::wire::{TransactionStatus, build};

/// A text, and the content of the unnamed statement that it prepares.
type Text<'a> = (Cow<'a, [u8]>, Option<&'a [u8]>);

/// Texts that may shape one transaction before its first statement.
const MOST_TEXTS: usize = 16;

/// A transaction without a server.
#[derive(Clone, Debug)]
pub struct Begun {
    /// What is sent before its first statement: BEGIN, and SET TRANSACTION.
    texts: Vec<Box<[u8]>>,
    modes: TransactionModes,
}

/// A request that is one transaction command and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lone<'a> {
    /// The command.
    pub control: TransactionControl,
    /// Its text.
    pub text: Cow<'a, [u8]>,
    /// The content of the unnamed statement that the request prepares: the text, NUL and types.
    pub prepares: Option<&'a [u8]>,
}

impl Begun {
    /// One that begins with this.
    #[must_use]
    pub fn new(text: &[u8], modes: TransactionModes) -> Self {
        Begun { texts: vec![text.into()], modes }
    }

    /// SET TRANSACTION. Whether there is room for it.
    pub fn set(&mut self, text: &[u8], modes: TransactionModes) -> bool {
        if self.texts.len() >= MOST_TEXTS || modes.snapshot {
            return false;
        }
        self.texts.push(text.into());
        self.modes.isolation = modes.isolation.or(self.modes.isolation);
        self.modes.read_only = modes.read_only.or(self.modes.read_only);
        true
    }

    /// READ ONLY or READ WRITE, where it says so.
    #[must_use]
    pub fn read_only(&self) -> Option<bool> {
        self.modes.read_only
    }

    /// Whether each of its statements sees what was committed before it; `None`: as the session's parameters say.
    #[must_use]
    pub fn reads_committed(&self) -> Option<bool> {
        self.modes.isolation.map(|level| match level {
            Isolation::ReadUncommitted | Isolation::ReadCommitted => true,
            Isolation::RepeatableRead | Isolation::Serializable => false,
        })
    }

    /// What is to be sent, as one text.
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        // A comment at the end of one reaches to the end of its line.
        self.texts.join(&b"\n;"[..])
    }
}

impl<'a> Lone<'a> {
    /// The command that a whole request is. `text_of` tells the text of a statement that the client has prepared.
    pub fn of(request: &'a [u8], text_of: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Self> {
        let (mut found, mut executed): (Option<Text<'a>>, bool) = (None, false);
        for (message, part) in messages(request).zip(parts(request)) {
            match part {
                Part::Text(text, None) => {
                    found = Some((Cow::Borrowed(text), None));
                    executed = true;
                }
                // What it prepares is known when the server has seen it.
                Part::Text(text, Some(b"")) if found.is_none() => {
                    found = Some((Cow::Borrowed(text), message.get(HEADER_LEN + 1..)));
                }
                Part::Bind(statement, b"") if !executed && takes_nothing(message) => match found {
                    Some(_) if statement.is_empty() => {}
                    Some(_) => return None,
                    None => found = Some((Cow::Owned(text_of(statement)?), None)),
                },
                Part::Describes(b"") if found.is_some() => {}
                Part::Executes(b"") if found.is_some() && !executed => executed = true,
                Part::Nothing if matches!(message.first(), Some(&tag::SYNC)) => {}
                Part::Nothing if describes_portal(message) && found.is_some() => {}
                Part::Text(..)
                | Part::Bind(..)
                | Part::Describes(_)
                | Part::Executes(_)
                | Part::Nothing
                | Part::Broken => return None,
            }
        }
        let (text, prepares) = found.filter(|_| executed)?;
        let facts = sql::facts(&text, LexOptions::default());
        let control = facts.transaction_control()?.clone();
        Some(Lone { control, text, prepares })
    }

    /// Writes what Postgres would answer to the request, which ends in this state.
    pub fn answer(&self, request: &[u8], status: TransactionStatus, out: &mut Vec<u8>) {
        for message in messages(request) {
            match message.first() {
                Some(&tag::QUERY) => {
                    build::command_complete(out, self.command_tag());
                    build::ready_for_query(out, status);
                }
                Some(&tag::PARSE) => build::empty(out, backend::PARSE_COMPLETE),
                Some(&tag::BIND) => build::empty(out, backend::BIND_COMPLETE),
                Some(&tag::DESCRIBE) => {
                    if !describes_portal(message) {
                        out.extend_from_slice(&[backend::PARAMETER_DESCRIPTION, 0, 0, 0, 6, 0, 0]);
                    }
                    build::empty(out, backend::NO_DATA);
                }
                Some(&tag::EXECUTE) => build::command_complete(out, self.command_tag()),
                Some(&tag::SYNC) => build::ready_for_query(out, status),
                Some(_) | None => {}
            }
        }
    }

    fn command_tag(&self) -> &'static str {
        match self.control {
            TransactionControl::Begin(_) => {
                let mut lexer = Lexer::new(&self.text, LexOptions::default());
                let first = lexer.next().map(|token| token.span.of(&self.text));
                if first.is_some_and(|word| word.eq_ignore_ascii_case(b"start")) {
                    "START TRANSACTION"
                } else {
                    "BEGIN"
                }
            }
            TransactionControl::Commit { .. } => "COMMIT",
            TransactionControl::Rollback { .. } => "ROLLBACK",
            TransactionControl::SetTransaction(_) => "SET",
            TransactionControl::Savepoint(_) => "SAVEPOINT",
            TransactionControl::Release(_) => "RELEASE",
            TransactionControl::RollbackTo(_)
            | TransactionControl::PrepareTransaction
            | TransactionControl::CommitPrepared
            | TransactionControl::RollbackPrepared => "ROLLBACK",
        }
    }
}

fn messages(request: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = request;
    std::iter::from_fn(move || {
        let next = header(rest, LONGEST_REQUEST).ok().flatten()?;
        let (message, behind) = rest.split_at_checked(next.frame_len())?;
        rest = behind;
        Some(message)
    })
}

/// Whether a Bind has no parameters and asks for no formats: what Postgres would say of others is its own to say.
fn takes_nothing(bind: &[u8]) -> bool {
    let values = || {
        let (_, rest) = split_cstr(bind.get(HEADER_LEN..)?)?;
        let (_, rest) = split_cstr(rest)?;
        let (formats, rest) = split_u16(rest)?;
        let (values, _) = split_u16(rest)?;
        Some((formats, values))
    };
    values() == Some((0, 0))
}

fn describes_portal(message: &[u8]) -> bool {
    message.first() == Some(&tag::DESCRIBE)
        && matches!(message.get(HEADER_LEN..).and_then(Named::read), Some(Named::Portal(b"")))
}
