//! Texts that may not run: an error in their place, and whatever a syntax error there would do.
//!
//! Where the client holds a server, a text that Postgres cannot read goes in the place of its own,
//! and Postgres' error is put into our words: the transaction fails, a batch is skipped up to its
//! Sync, what stood before in it is rolled back, and nothing of a text of several statements runs,
//! all by the server's own doing. Where the client holds none and has begun nothing, there is
//! nothing to undo, and the answer is given here. In a failed transaction Postgres says that it has
//! failed, as to anything else.
//!
//! Deliberately absent: why. Whoever refuses brings the report.

use super::Engine;
use super::driver::Driver;
use super::from_client::{Next, is_large_object_function};
use crate::errors;
use crate::ids::{ClientId, ServerId};
use crate::server::ledger::{Deliver, Sent, Which};
use crate::session::facts::{self, TextEffects};
use crate::session::{Ending, Pins};
use crate::wire::frame::{HEADER_LEN, Header};
use crate::wire::frontend::{ParseView, query_text, tag};
use crate::wire::{Report, TransactionStatus, build};

/// Nothing that Postgres could read.
const BROKEN: &[u8] = b"pgweir_refused";

/// Something that a failed transaction refuses.
const ANYTHING: &[u8] = b"SELECT";

/// The name of what is never prepared.
const NOBODY: &[u8] = b"_pgweir_refused";

/// The message of a text that may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// A Query, or a FunctionCall.
    Query,
    /// A Parse.
    Parse {
        /// Of the unnamed statement.
        unnamed: bool,
    },
    /// A Bind.
    Bind,
    /// An Execute.
    Execute,
}

impl Stands {
    /// `None` for messages without a text.
    pub(super) fn of(message: &[u8]) -> Option<Self> {
        match message.first()? {
            &tag::QUERY | &tag::FUNCTION_CALL => Some(Stands::Query),
            &tag::PARSE => Some(Stands::Parse { unnamed: message.get(HEADER_LEN) == Some(&0) }),
            &tag::BIND => Some(Stands::Bind),
            _ => None,
        }
    }

    fn tag(self) -> u8 {
        match self {
            Stands::Query => tag::QUERY,
            Stands::Parse { .. } => tag::PARSE,
            Stands::Bind => tag::BIND,
            Stands::Execute => tag::EXECUTE,
        }
    }
}

/// A text that may not run.
pub(super) struct Refused {
    pub(super) report: Report,
    /// It begins, ends or shapes a transaction.
    pub(super) controls: bool,
}

impl<D: Driver> Engine<D> {
    /// Answers a message of a client that holds no server, if it may not run.
    pub(super) fn refuse_here(
        &mut self,
        id: ClientId,
        header: Header,
        message: &[u8],
    ) -> Option<Next> {
        let refused = self.refused(header, message)?;
        self.answer_refused(id, Stands::of(message)?, refused)
    }

    /// Refuses a message, here or there.
    pub(super) fn refuse(
        &mut self,
        id: ClientId,
        server: Option<ServerId>,
        stands: Stands,
        before: &[u8],
        refused: Refused,
    ) -> Option<Next> {
        match server {
            Some(server) => self.replace_refused(id, server, stands, before, refused),
            None => self.answer_refused(id, stands, refused),
        }
    }

    fn answer_refused(
        &mut self,
        id: ClientId,
        stands: Stands,
        Refused { report, .. }: Refused,
    ) -> Option<Next> {
        let client = self.clients.get_mut(id)?;
        if matches!(stands, Stands::Query | Stands::Parse { unnamed: true }) {
            // Postgres throws it away before it reads the text.
            client.session.unnamed_does = None;
            client.session.parsed = None;
            self.statements.assign(&mut client.session.unnamed, None);
        }
        self.pools[client.pool.0 as usize].counters.errors.count(&report.sqlstate);
        client.session.refuse = Some(Box::new(report));
        Some(self.refuse_message(id, stands.tag()))
    }

    /// Sends something else in the place of a message that may not run.
    pub(super) fn refuse_there(
        &mut self,
        id: ClientId,
        server: ServerId,
        header: Header,
        message: &[u8],
        before: &[u8],
    ) -> Option<Next> {
        let refused = self.refused(header, message)?;
        self.replace_refused(id, server, Stands::of(message)?, before, refused)
    }

    fn replace_refused(
        &mut self,
        id: ClientId,
        server: ServerId,
        stands: Stands,
        before: &[u8],
        Refused { report, controls }: Refused,
    ) -> Option<Next> {
        let (client, entry) = (self.clients.get_mut(id)?, self.servers.get(server)?);
        let ledger = &entry.server.ledger;
        if ledger.runs_nothing() {
            return None;
        }
        if !ledger.is_up_to_date() {
            return Some(self.hold_client(id));
        }
        let failed = entry.server.status == TransactionStatus::Failed
            && !ledger.batch_is_open()
            && !controls;
        let text = if failed { ANYTHING } else { BROKEN };
        let session = &mut client.session;
        session.portal_steps = None;
        session.parsed = None;
        self.to_server.extend_from_slice(before);
        let sent = match stands {
            // No error of a Bind or Execute could be told from others: a Parse that fails stands for it.
            Stands::Bind | Stands::Execute => {
                build::parse(&mut self.to_server, NOBODY, &[text, b"\0\0\0"].concat());
                session.bound = None;
                Sent::Parse(Which::Own)
            }
            Stands::Parse { unnamed } => {
                let name = if unnamed { &b""[..] } else { NOBODY };
                build::parse(&mut self.to_server, name, &[text, b"\0\0\0"].concat());
                if unnamed {
                    session.batch_sets_unnamed = true;
                    session.batch_repeats = None;
                    session.unnamed_does = None;
                }
                Sent::Parse(if unnamed { Which::Unnamed(None) } else { Which::Own })
            }
            Stands::Query => {
                build::query(&mut self.to_server, text);
                session.batch_sets_unnamed = false;
                session.batch_ending = Ending::No;
                session.bound = None;
                session.unnamed_does = None;
                session.portal_does = None;
                Sent::Query(Ending::No)
            }
        };
        if self.note(id, server, sent, Deliver::Client)
            && !failed
            && let Some(entry) = self.servers.get_mut(server)
        {
            entry.server.refuse_last(report);
        }
        Some(Next::Drop)
    }

    /// Why a message may not run, if it may not.
    fn refused(&self, header: Header, message: &[u8]) -> Option<Refused> {
        let body = message.get(HEADER_LEN..)?;
        let text = match header.tag {
            tag::QUERY => query_text(body),
            tag::PARSE => ParseView::read(body).map(|parse| parse.query),
            tag::FUNCTION_CALL if !is_large_object_function(body) => {
                return Some(Refused { report: report(Pins::FUNCTION_CALL), controls: false });
            }
            _ => return None,
        };
        let too_long = header.body_len as usize > self.max_statement_size;
        let effects = match text {
            _ if too_long => TextEffects::UNREAD,
            Some(text) => facts::effects(text),
            // Postgres refuses it.
            None => return None,
        };
        if effects.pins.is_none() {
            return None;
        }
        Some(Refused { report: report(effects.pins), controls: effects.controls })
    }
}

/// What the client reads of a statement that would have pinned its session.
fn report(pins: Pins) -> Report {
    const INSTEAD: [(Pins, &str); 8] = [
        (
            Pins::TEMPORARY,
            "Use a common table expression (WITH), an array parameter or an ordinary table",
        ),
        (
            Pins::ADVISORY_LOCK,
            "Use pg_advisory_xact_lock() or pg_try_advisory_xact_lock(), whose locks end with the \
             transaction",
        ),
        (
            Pins::PARAMETER,
            "Use SET LOCAL, or SET with a constant outside of functions and DO blocks",
        ),
        (Pins::HELD_CURSOR, "Declare the cursor without WITH HOLD and read it in its transaction"),
        (Pins::SQL_PREPARE, "Use prepared statements of the protocol, as drivers do"),
        (Pins::BACKEND_STATE, "Use INSERT … RETURNING in place of lastval() and currval()"),
        (Pins::HIDDEN_CODE, "Use statements whose text is seen here"),
        (Pins::UNREAD_TEXT, "Send the values as parameters or with COPY"),
    ];
    let instead = INSTEAD.iter().find(|(reason, _)| pins.has(*reason));
    let session = "connect through a database alias with pool_mode = \"session\".";
    let hint = match instead {
        Some((_, instead)) => format!("{instead}, or {session}"),
        None => format!("Where it is needed, {session}"),
    };
    errors::session_state_refused(&pins.in_words()).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_its_reason_and_a_way_out() {
        for &reason in Pins::ALL {
            let report = report(reason);
            assert!(report.message.ends_with(&reason.in_words()), "{report:?}");
            let hint = report.hint.unwrap_or_default();
            assert!(
                hint.ends_with("connect through a database alias with pool_mode = \"session\".")
            );
        }
        let hint = report(Pins::ADVISORY_LOCK).hint.unwrap_or_default();
        assert!(hint.starts_with("Use pg_advisory_xact_lock()"), "{hint}");
    }
}
