//! A transaction whose server is gone.
//!
//! The one state in which pgweir answers statements itself: the transaction is failed, as after
//! any error, until the client ends it. What was lost is reported once. A COMMIT that has not seen
//! the report gets it as its error, never the tag ROLLBACK: object-relational mappers take that for
//! success.

use crate::ids::ServerId;
use crate::session::facts::Control;
use crate::wire::backend::tag as backend;
use crate::wire::frontend::{Named, ParseView, query_text, tag};
use crate::wire::{Report, TransactionStatus, build};

/// Where such a transaction stands.
#[derive(Debug)]
pub struct Lost {
    /// What happened, until the client has been told.
    report: Option<Report>,
    /// In the current batch: the unnamed statement, if it is one that ends the transaction.
    statement: Option<Control>,
    /// In the current batch: the unnamed portal, likewise.
    portal: Option<Control>,
    /// The transaction was ended in this batch; its Sync finds the session idle.
    ended: bool,
    /// The server is there and only its transaction has been rolled back: the session needs it.
    kept: Option<ServerId>,
}

/// What became of the session after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The transaction is still failed.
    StillLost,
    /// The rest of the batch is to be skipped.
    SkipToSync,
    /// The transaction is over, and the message has been answered.
    Idle,
    /// The transaction is over, and the message must be run as if it came now.
    IdleRunIt,
}

impl Lost {
    /// The client has not been told yet.
    #[must_use]
    pub fn unreported(report: Report) -> Self {
        Lost { report: Some(report), statement: None, portal: None, ended: false, kept: None }
    }

    /// The client has been told by the answer to what it had sent.
    #[must_use]
    pub fn reported() -> Self {
        Lost { report: None, statement: None, portal: None, ended: false, kept: None }
    }

    /// The session keeps its server; only the transaction is lost.
    pub fn keep(&mut self, server: ServerId) {
        self.kept = Some(server);
    }

    /// The server that the session keeps.
    #[must_use]
    pub fn kept(&self) -> Option<ServerId> {
        self.kept
    }

    /// What the client has not been told yet.
    pub fn take_report(&mut self) -> Option<Report> {
        self.report.take()
    }

    /// The status for a ReadyForQuery that ends a batch now.
    #[must_use]
    pub fn status(&self) -> TransactionStatus {
        if self.ended { TransactionStatus::Idle } else { TransactionStatus::Failed }
    }

    /// Answers one whole message. `control` reads the transaction control of a text that is one
    /// statement, or of the first of several.
    pub fn answer(
        &mut self,
        message: u8,
        body: &[u8],
        control: impl Fn(&[u8]) -> Option<(Control, bool)>,
        out: &mut Vec<u8>,
    ) -> After {
        match message {
            tag::QUERY => match query_text(body).and_then(control) {
                Some((ending @ (Control::Commit | Control::Rollback), alone)) => {
                    if let (Control::Commit, Some(report)) = (ending, self.report.take()) {
                        report.write(out);
                        build::ready_for_query(out, TransactionStatus::Idle);
                        return After::Idle;
                    }
                    if !alone {
                        return After::IdleRunIt;
                    }
                    build::command_complete(out, "ROLLBACK");
                    build::ready_for_query(out, TransactionStatus::Idle);
                    After::Idle
                }
                Some((Control::Begin | Control::Other, _)) | None => {
                    self.refusal().write(out);
                    build::ready_for_query(out, TransactionStatus::Failed);
                    After::StillLost
                }
            },
            tag::PARSE => {
                let parsed = ParseView::read(body).filter(|parse| parse.statement.is_empty());
                match parsed.and_then(|parse| control(parse.query)) {
                    Some((ending @ (Control::Commit | Control::Rollback), true)) => {
                        self.statement = Some(ending);
                        build::empty(out, backend::PARSE_COMPLETE);
                        After::StillLost
                    }
                    Some(_) | None => self.refuse_batch(out),
                }
            }
            tag::BIND if self.statement.is_some() => {
                self.portal = self.statement;
                build::empty(out, backend::BIND_COMPLETE);
                After::StillLost
            }
            tag::DESCRIBE if self.statement.is_some() => {
                if let Some(Named::Statement(_)) = Named::read(body) {
                    out.extend_from_slice(&[backend::PARAMETER_DESCRIPTION, 0, 0, 0, 6, 0, 0]);
                }
                build::empty(out, backend::NO_DATA);
                After::StillLost
            }
            tag::EXECUTE => match (self.portal.take(), self.report.take()) {
                (Some(Control::Commit), Some(report)) => {
                    self.ended = true;
                    report.write(out);
                    After::SkipToSync
                }
                (Some(_), _) => {
                    self.ended = true;
                    build::command_complete(out, "ROLLBACK");
                    After::StillLost
                }
                (None, report) => {
                    self.report = report;
                    self.refuse_batch(out)
                }
            },
            tag::CLOSE => {
                build::empty(out, backend::CLOSE_COMPLETE);
                After::StillLost
            }
            tag::SYNC => {
                build::ready_for_query(out, self.status());
                self.statement = None;
                self.portal = None;
                if self.ended { After::Idle } else { After::StillLost }
            }
            tag::FUNCTION_CALL => {
                self.refusal().write(out);
                build::ready_for_query(out, TransactionStatus::Failed);
                After::StillLost
            }
            tag::FLUSH | tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => After::StillLost,
            _ => self.refuse_batch(out),
        }
    }

    fn refuse_batch(&mut self, out: &mut Vec<u8>) -> After {
        self.refusal().write(out);
        After::SkipToSync
    }

    fn refusal(&mut self) -> Report {
        self.report.take().unwrap_or_else(crate::errors::failed_transaction)
    }
}
