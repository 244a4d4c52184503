//! The verdict: whether a text may run at a replica, and if not, why.

use std::fmt;

use super::catalog::{Catalog, Relation};
use super::{functions, relations};
use crate::sql::Name;
use crate::sql::commands::ObjectName;
use crate::sql::reads::{Kind, Reading, Why};

/// Where a text may run, as far as it and the catalog say. Hints are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A replica can serve it, as the primary would.
    Replica,
    /// It is for the primary.
    Primary(Reason),
}

/// Why a text is for the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It writes, or does what is to be done there.
    Write,
    /// It locks rows.
    RowLocks,
    /// It is about the session's state, which has no server of its own.
    Session,
    /// It is about the transaction.
    Transaction,
    /// It runs a statement of SQL's PREPARE: that one decides.
    Execute,
    /// Nothing is known about it: code, statements that we do not know, mixtures, texts beyond the limits.
    Unknown,
    /// It calls a function that may write.
    Function,
    /// It calls a function that the catalog does not have.
    FunctionUnknown,
    /// It calls a function that belongs to the primary, or means something else elsewhere.
    FunctionOfPrimary,
    /// It reads a relation that a replica cannot serve.
    Relation,
    /// It reads a relation that the catalog does not have.
    RelationUnknown,
    /// It reads a relation that shows what one server has of its own.
    RelationOfServer,
    /// It reads a parameter that each server has of its own.
    Setting,
    /// It has names, and there is no catalog to ask.
    CatalogMissing,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::Write,
        Self::RowLocks,
        Self::Session,
        Self::Transaction,
        Self::Execute,
        Self::Unknown,
        Self::Function,
        Self::FunctionUnknown,
        Self::FunctionOfPrimary,
        Self::Relation,
        Self::RelationUnknown,
        Self::RelationOfServer,
        Self::Setting,
        Self::CatalogMissing,
    ];

    /// For metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::RowLocks => "row-locks",
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Execute => "execute",
            Self::Unknown => "unknown",
            Self::Function => "function",
            Self::FunctionUnknown => "function-unknown",
            Self::FunctionOfPrimary => "function-of-primary",
            Self::Relation => "relation",
            Self::RelationUnknown => "relation-unknown",
            Self::RelationOfServer => "relation-of-server",
            Self::Setting => "setting",
            Self::CatalogMissing => "catalog-missing",
        }
    }
}

/// What of a text decides about it, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The verdict.
    pub verdict: Verdict,
    /// The function, relation or parameter that decides.
    pub name: Option<ObjectName>,
    words: &'static str,
}

/// Where `reading` may run. `catalog`: None until it has been read.
///
/// A cursor is servable when the query behind its DECLARE is: it runs where its transaction does.
pub fn verdict(reading: &Reading, catalog: Option<&Catalog>) -> Verdict {
    of_bar(judge(reading, &Known::of(catalog)))
}

/// The same of the names alone, whatever kind of text they stand in: for the arguments of an EXECUTE.
pub fn verdict_of_names(reading: &Reading, catalog: Option<&Catalog>) -> Verdict {
    of_bar(judge_names(reading, &Known::of(catalog)))
}

fn of_bar(bar: Option<Bar>) -> Verdict {
    bar.map_or(Verdict::Replica, |bar| Verdict::Primary(bar.reason))
}

/// The verdict with what decides.
pub fn detail(reading: &Reading, catalog: Option<&Catalog>) -> Detail {
    in_words(judge(reading, &Known::of(catalog)))
}

/// The same where there is no catalog to ask: relations are taken for ordinary tables, and functions with no
/// [known](functions::is_harmless) name are unknown.
pub fn detail_without_catalog(reading: &Reading) -> Detail {
    in_words(judge(reading, &Known::Assumed))
}

/// What of a text would run at a standby without an error and mean something else there: a function, relation or
/// parameter. To be refused in a transaction that is at a replica. Where the kind is [`Kind::Unknown`], something may
/// have been missed.
pub fn differs_on_standby(reading: &Reading) -> Option<&Name> {
    let function = reading
        .functions
        .iter()
        .find(|function| functions::means_something_else(function.name.as_bytes()));
    let relation =
        || reading.relations.iter().find(|one| relations::is_of_one_server(one.name.as_bytes()));
    function.or_else(relation).map(|one| &one.name).or(reading.setting.as_ref())
}

/// What is known of names.
enum Known<'a> {
    Nothing,
    /// Relations are taken for tables.
    Assumed,
    Catalog(&'a Catalog),
}

impl<'a> Known<'a> {
    fn of(catalog: Option<&'a Catalog>) -> Self {
        catalog.map_or(Self::Nothing, Self::Catalog)
    }
}

/// What keeps a text from a replica.
struct Bar<'a> {
    reason: Reason,
    name: Option<&'a ObjectName>,
    /// A name that is that of a parameter, or of a function called by a point.
    part: Option<&'a Name>,
    words: &'static str,
}

impl<'a> Bar<'a> {
    fn of(reason: Reason, words: &'static str) -> Self {
        Self { reason, name: None, part: None, words }
    }

    fn by(reason: Reason, name: &'a ObjectName, words: &'static str) -> Self {
        Self { name: Some(name), ..Self::of(reason, words) }
    }

    fn by_part(reason: Reason, part: &'a Name, words: &'static str) -> Self {
        Self { part: Some(part), ..Self::of(reason, words) }
    }
}

fn in_words(bar: Option<Bar>) -> Detail {
    let Some(Bar { reason, name, part, words }) = bar else {
        let words = "it only reads, and what it names can be served by a replica";
        return Detail { verdict: Verdict::Replica, name: None, words };
    };
    let part = part.map(|part| ObjectName::unqualified(part.clone()));
    Detail { verdict: Verdict::Primary(reason), name: name.cloned().or(part), words }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ObjectName { schema, name, .. }) = &self.name {
            if let Some(schema) = schema {
                write!(f, "{}.", String::from_utf8_lossy(schema.as_bytes()))?;
            }
            write!(f, "{} ", String::from_utf8_lossy(name.as_bytes()))?;
        }
        f.write_str(self.words)
    }
}

fn judge<'a>(reading: &'a Reading, known: &Known) -> Option<Bar<'a>> {
    let bar = |reason, words| Some(Bar::of(reason, words));
    match &reading.kind {
        Kind::Read | Kind::Cursor => judge_names(reading, known),
        Kind::Session => bar(Reason::Session, "it is about the session, not about data"),
        Kind::Control => bar(Reason::Transaction, "it is about the transaction, not about data"),
        Kind::Execute(_) => {
            bar(Reason::Execute, "it runs a prepared statement, and that one decides")
        }
        Kind::Write(Why::RowLocks) => bar(Reason::RowLocks, "it locks rows"),
        Kind::Write(why) => bar(Reason::Write, write_in_words(*why)),
        Kind::Unknown => bar(Reason::Unknown, "it is not proven to read only"),
    }
}

fn write_in_words(why: Why) -> &'static str {
    match why {
        Why::Dml => "it writes",
        Why::RowLocks => "it locks rows",
        Why::Into => "SELECT INTO makes a table",
        Why::Ddl => "it changes the catalog",
        Why::Lock => "it locks a table",
        Why::Copy => "COPY writes, or uses a file of the server",
        Why::Notify => "NOTIFY writes",
        Why::TwoPhase => "two-phase commits are the primary's",
        Why::Maintenance => "it is maintenance, or for one server",
        Why::HoldCursor => "a cursor WITH HOLD outlives its transaction",
    }
}

fn judge_names<'a>(reading: &'a Reading, known: &Known) -> Option<Bar<'a>> {
    if let Some(setting) = &reading.setting {
        let words = "is a parameter that each server has of its own";
        return Some(Bar::by_part(Reason::Setting, setting, words));
    }
    let function = reading.functions.iter().find_map(|name| judge_function(name, known));
    function
        .or_else(|| reading.relations.iter().find_map(|name| judge_relation(name, known)))
        .or_else(|| reading.dotted.iter().find_map(|name| judge_dotted(name, known)))
}

fn judge_function<'a>(function: &'a ObjectName, known: &Known) -> Option<Bar<'a>> {
    let name = function.name.as_bytes();
    let bar = |reason, words| Some(Bar::by(reason, function, words));
    if functions::fixed(name).is_some() {
        return bar(Reason::FunctionOfPrimary, "belongs to the primary");
    }
    let schema = function.schema.as_ref();
    let of_postgres = schema.is_none_or(|schema| {
        [&b"pg_catalog"[..], b"information_schema"].contains(&schema.as_bytes())
    });
    let harmless = of_postgres
        && (functions::is_harmless(name) || schema.is_none() && functions::is_construct(name));
    let in_catalog = match known {
        Known::Nothing => {
            return bar(Reason::CatalogMissing, "is a function, and the catalog has not been read");
        }
        Known::Assumed => None,
        Known::Catalog(catalog) => catalog.function(schema, &function.name),
    };
    match in_catalog {
        Some(true) => None,
        Some(false) => bar(Reason::Function, "is a function that may write"),
        None if harmless => None,
        None => bar(Reason::FunctionUnknown, "is a function that is not known"),
    }
}

fn judge_relation<'a>(relation: &'a ObjectName, known: &Known) -> Option<Bar<'a>> {
    let bar = |reason, words| Some(Bar::by(reason, relation, words));
    if relations::is_of_one_server(relation.name.as_bytes()) {
        return bar(Reason::RelationOfServer, "shows what one server has of its own");
    }
    let found = match known {
        Known::Nothing => {
            return bar(Reason::CatalogMissing, "is a relation, and the catalog has not been read");
        }
        Known::Assumed if relation.is_temporary() => Some(Relation::Temporary),
        Known::Assumed => return None,
        Known::Catalog(catalog) => catalog.relation(relation.schema.as_ref(), &relation.name),
    };
    let Some(standing) = found else {
        return bar(Reason::RelationUnknown, "is a relation that is not known");
    };
    let words = match standing {
        Relation::Servable => return None,
        Relation::OfOneServer => {
            return bar(Reason::RelationOfServer, "shows what one server has of its own");
        }
        Relation::Unlogged => "is unlogged: a replica has no rows of it",
        Relation::Temporary => "is temporary: it is one session's",
        Relation::Foreign => "is a foreign table",
        Relation::Sequence => "is a sequence",
        Relation::Calls => "calls a function that may write or belongs to the primary",
        Relation::ReadsSuch => "reads what a replica cannot serve",
        Relation::Unknown => "is of a kind that is not known",
    };
    bar(Reason::Relation, words)
}

/// `t.name` may call a function of that name.
fn judge_dotted<'a>(name: &'a Name, known: &Known) -> Option<Bar<'a>> {
    match known {
        Known::Nothing | Known::Assumed => None,
        Known::Catalog(catalog) if catalog.may_call_of_row(name) => {
            Some(Bar::by_part(Reason::Function, name, "may be a function of a row that may write"))
        }
        Known::Catalog(_) => None,
    }
}
