//! `pgweir explain`: where a statement would run, primary or replica, behind others of the same session.
//!
//! Owns what of the session counts: its transaction, what pins it, statements of SQL that it has prepared. Deliberately
//! absent: how far replicas are, and whether there is one that answers.

use super::super::terms::Held;
use super::catalog::Inquirer;
use super::statement::Decision;
use crate::config::{PoolMode, Reads, Route};
use crate::guard::Rehearsal;
use crate::route::{self, Detail, Reason, Verdict};
use crate::session::Kept;
use crate::sql::reads::{Hint, Kind, Reading, reading};
use crate::sql::{
    Isolation, LexOptions, StatementKind, TransactionControl, TransactionModes, facts,
};
use crate::wire::TransactionStatus;

/// A statement and the session that it comes in.
pub(super) struct Asked<'a> {
    pub(super) held: &'a Held,
    pub(super) inquirer: Option<&'a Inquirer>,
    pub(super) session: &'a Rehearsal,
    pub(super) kept: &'a Kept,
    /// What the session has sent before.
    pub(super) before: &'a [String],
    pub(super) text: &'a [u8],
}

const PRIMARY: &str = "primary";
const REPLICA: &str = "replica";

impl Asked<'_> {
    /// Where it would run, and why.
    ///
    /// # Errors
    /// The catalog was to be asked and could not be: what to say.
    pub(super) fn route(&self) -> Result<Decision, String> {
        let (what, why) = match self.settled() {
            Some(settled) => settled,
            None => self.judged()?,
        };
        let catalog = match self.inquirer {
            Some(_) => "the catalog was asked where a verdict depends on it",
            None => {
                "the catalog was not asked: relations that the text names are taken for ordinary tables"
            }
        };
        Ok(Decision { what, why: format!("{why}; {catalog}") })
    }

    /// What the configuration or the session decides, whatever the text is.
    fn settled(&self) -> Option<(&'static str, String)> {
        let settings = &self.held.settings;
        let primary = |why: &str| Some((PRIMARY, why.to_owned()));
        match (settings.route, settings.database.routing.reads) {
            _ if !self.held.may_have_replicas() => return primary("the database has no replicas"),
            (Route::Primary, _) => return primary("route is \"primary\""),
            (Route::Replica, _) => {
                return Some((REPLICA, "route is \"replica\": everything goes there".to_owned()));
            }
            (Route::Auto, Reads::Primary) => return primary("reads is \"primary\""),
            (Route::Auto, Reads::Replica | Reads::PreferReplica) => {}
        }
        if settings.pool_mode == PoolMode::Session {
            return primary("pool_mode is \"session\": the session has one server");
        }
        if !self.kept.before.is_none() {
            return primary("the session keeps its server since an earlier statement");
        }
        let wish = self.session.parameters().value(b"pgweir.route");
        if wish.is_some_and(|wish| wish.eq_ignore_ascii_case(b"primary")) {
            return primary("the session has set pgweir.route to primary");
        }
        if self.read(self.text).hint == Some(Hint::Primary) {
            return primary("a comment before it asks for that");
        }
        None
    }

    /// What the text decides, in its transaction.
    fn judged(&self) -> Result<(&'static str, String), String> {
        let ours = self.detail(self.text)?;
        if self.session.status() == TransactionStatus::Idle {
            return Ok(in_words(&ours));
        }
        let Some((modes, texts)) = self.transaction() else {
            return Ok((PRIMARY, "the open transaction is at the primary".to_owned()));
        };
        let snapshot =
            matches!(modes.isolation, Some(Isolation::Serializable | Isolation::RepeatableRead));
        if modes.read_only != Some(true) || snapshot {
            let why = "the open transaction is at the primary, for it is not READ ONLY and READ COMMITTED";
            return Ok((PRIMARY, why.to_owned()));
        }
        for text in texts {
            match self.read(text.as_bytes()).kind {
                Kind::Session | Kind::Control => continue,
                Kind::Read | Kind::Cursor | Kind::Execute(_) | Kind::Write(_) | Kind::Unknown => {}
            }
            let first = self.detail(text.as_bytes())?;
            if first.verdict != Verdict::Replica {
                let why = format!(
                    "the open transaction is at the primary since its first statement: {first}"
                );
                return Ok((PRIMARY, why));
            }
            let why = match route::differs_on_standby(&self.read(self.text)) {
                Some(name) => format!(
                    "the open transaction is at a replica, where this is refused: {} means something else there",
                    String::from_utf8_lossy(name.as_bytes())
                ),
                None => {
                    "the open transaction is READ ONLY, and at a replica since its first statement"
                        .to_owned()
                }
            };
            return Ok((REPLICA, why));
        }
        Ok(in_words(&ours))
    }

    /// The modes of the open transaction, and what has been sent in it.
    fn transaction(&self) -> Option<(TransactionModes, &[String])> {
        let control = |text: &String| {
            facts(text.as_bytes(), self.session.options()).transaction_control().cloned()
        };
        let begins = |text: &String| matches!(control(text), Some(TransactionControl::Begin(_)));
        let at = self.before.iter().rposition(begins)?;
        let (begin, texts) = self.before.get(at..)?.split_first()?;
        let Some(TransactionControl::Begin(mut modes)) = control(begin) else { return None };
        for text in texts {
            if let Some(TransactionControl::SetTransaction(more)) = control(text) {
                modes.read_only = more.read_only.or(modes.read_only);
                modes.isolation = more.isolation.or(modes.isolation);
            }
        }
        Some((modes, texts))
    }

    fn read(&self, text: &[u8]) -> Reading {
        reading(text, self.session.options())
    }

    /// The verdict about a text; about what it runs, where that was prepared before.
    fn detail(&self, text: &[u8]) -> Result<Detail, String> {
        let read = self.read(text);
        let Kind::Execute(name) = &read.kind else { return self.detail_of(&read) };
        let Some(body) = self.prepared(name) else { return self.detail_of(&read) };
        let of_body = self.detail_of(&body)?;
        if of_body.verdict != Verdict::Replica {
            return Ok(of_body);
        }
        self.detail_of(&Reading { kind: Kind::Read, ..read })
    }

    fn detail_of(&self, read: &Reading) -> Result<Detail, String> {
        let detail = route::detail(read, None);
        if detail.verdict != Verdict::Primary(Reason::CatalogMissing) {
            return Ok(detail);
        }
        match self.inquirer {
            Some(inquirer) => {
                Ok(route::detail(read, Some(&*inquirer.catalog(&self.held.settings)?)))
            }
            None => Ok(route::detail_without_catalog(read)),
        }
    }

    /// What the session has prepared last under this name.
    fn prepared(&self, wanted: &crate::sql::Name) -> Option<Reading> {
        let options: LexOptions = self.session.options();
        self.before.iter().rev().find_map(|text| {
            let text = text.as_bytes();
            facts(text, options).statements().iter().rev().find_map(|statement| {
                match &statement.kind {
                    StatementKind::Prepare { name, body } if name == wanted => {
                        Some(reading(body.of(text), options))
                    }
                    _ => None,
                }
            })
        })
    }
}

fn in_words(detail: &Detail) -> (&'static str, String) {
    match detail.verdict {
        Verdict::Replica => (REPLICA, detail.to_string()),
        Verdict::Primary(reason) => (PRIMARY, format!("{}: {detail}", reason.label())),
    }
}
