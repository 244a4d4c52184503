//! Where a statement of a rehearsed session would run, and why: what `worker::route` decides, from texts alone.
//!
//! Deliberately absent: how far replicas are. What is said to go to one goes there when one has all that the session has
//! written and seen.

use std::collections::BTreeMap;

use super::super::terms::Held;
use crate::client::Wish;
use crate::config::Reads;
use crate::guard::Rehearsal;
use crate::route::verdicts::prepared;
use crate::route::{
    Catalog, Detail, Policy, Ruling, Topology, Verdict, detail, detail_without_catalog,
    differs_on_standby, ruling_where, verdict_of_names,
};
use crate::session::changes::is_on;
use crate::session::facts::{NameStep, TextEffects, named_use};
use crate::sql::reads::{Kind, reading};
use crate::sql::{self, Isolation, LexOptions, TransactionControl, TransactionModes};
use crate::wire::TransactionStatus;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Primary,
    Replica,
}

impl Place {
    pub(super) fn word(self) -> &'static str {
        match self {
            Place::Primary => "primary",
            Place::Replica => "replica",
        }
    }
}

/// A transaction that is open.
#[derive(Clone, Copy, Debug)]
enum Course {
    /// It has no server yet.
    Undecided(TransactionModes),
    At(Place),
}

/// What of a session's texts so far decides where the next one runs.
#[derive(Debug, Default)]
pub(super) struct Journey {
    course: Option<Course>,
    /// Statements of SQL, by their names.
    prepared: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

/// Who asks about a text.
pub(super) struct Circumstances<'a> {
    pub(super) held: &'a Held,
    pub(super) session: &'a Rehearsal,
    /// The session keeps its server since before.
    pub(super) is_pinned: bool,
    /// What names mean; `None`: nobody was asked.
    pub(super) catalog: Option<&'a Catalog>,
}

impl Circumstances<'_> {
    fn wish(&self) -> Option<Wish> {
        self.session.parameters().value(b"pgweir.route").and_then(Wish::read)
    }

    fn is_read_only(&self) -> bool {
        self.session.parameters().value(b"default_transaction_read_only").is_some_and(is_on)
    }

    fn is_isolated(&self) -> bool {
        let level = self.session.parameters().value(b"default_transaction_isolation");
        level.is_some_and(|level| {
            !level.eq_ignore_ascii_case(b"read committed")
                && !level.eq_ignore_ascii_case(b"read uncommitted")
        })
    }

    /// Where the configuration says that nothing goes to replicas.
    fn who_says_primary(&self) -> String {
        let held = self.held;
        let key = match held.settings.database.routing.reads {
            Reads::Primary => "routing.reads",
            Reads::Replica | Reads::PreferReplica => "route",
        };
        format!("{key} is \"primary\" ({})", held.origin(key))
    }
}

impl Journey {
    /// A text runs, in this state of its session's transaction and with that one behind it.
    pub(super) fn ran(
        &mut self,
        text: &[u8],
        does: &TextEffects,
        who: &Circumstances<'_>,
        after: TransactionStatus,
    ) {
        if does.uses_names {
            for (_, step) in named_use(text).steps {
                match step {
                    NameStep::Prepare { name, text, .. } => {
                        self.prepared.insert(name, prepared(&text).into());
                    }
                    NameStep::Deallocate(name) => drop(self.prepared.remove(&name)),
                    NameStep::DeallocateAll | NameStep::DiscardAll => self.prepared.clear(),
                    NameStep::Execute(_) => {}
                }
            }
        }
        self.course = match (after, self.course, control(text)) {
            (TransactionStatus::Idle, _, _) => None,
            (_, None, Some(TransactionControl::Begin(modes))) => Some(Course::Undecided(modes)),
            (_, Some(Course::Undecided(modes)), Some(TransactionControl::SetTransaction(more))) => {
                Some(Course::Undecided(TransactionModes {
                    isolation: more.isolation.or(modes.isolation),
                    read_only: more.read_only.or(modes.read_only),
                    ..modes
                }))
            }
            (_, Some(Course::At(place)), _) => Some(Course::At(place)),
            (_, _, _) => Some(Course::At(self.way(text, who).0)),
        };
    }

    /// Where a text would run that comes next, and why.
    pub(super) fn look(&self, text: &[u8], who: &Circumstances<'_>) -> (Place, String) {
        let database = &who.held.settings.database;
        let nobody_said = database.primary.hosts.is_empty();
        let (place, why) = self.way(text, who);
        let told = match who.catalog {
            Some(_) => "",
            None => {
                "; the catalog was not asked: relations that the text names are taken for ordinary tables"
            }
        };
        if nobody_said {
            return (place, format!("where there are replicas: {why}{told}"));
        }
        if Topology::of(database).is_none() {
            let name = &database.name;
            let elsewhere = place.word();
            let why = format!("database {name} has one server; with replicas, {elsewhere}: {why}");
            return (Place::Primary, format!("{why}{told}"));
        }
        (place, format!("{why}{told}"))
    }

    fn way(&self, text: &[u8], who: &Circumstances<'_>) -> (Place, String) {
        let policy = Policy::of(&who.held.settings);
        let primary = |why: &str| (Place::Primary, why.to_owned());
        if policy.reads == Reads::Primary {
            return (Place::Primary, who.who_says_primary());
        }
        let (ruling, why) = self.nature(text, who);
        match self.course {
            Some(Course::At(place)) => return (place, within(place, text, ruling)),
            Some(Course::Undecided(_)) if needs_no_server(text) => {
                return primary("pgweir answers it: the transaction has no server yet");
            }
            Some(Course::Undecided(modes)) => return of_begun(modes, ruling, &why, policy, who),
            None => {}
        }
        if policy.rejects_writes {
            return match ruling {
                Ruling::Write => primary("it is refused with 25006: writes are rejected here"),
                _ => (Place::Replica, "writes are rejected here, and all else goes there".into()),
            };
        }
        if who.is_pinned {
            return primary("the session keeps its server, which is one of the primary's");
        }
        if who.wish() == Some(Wish::Primary) {
            return primary("pgweir.route is set to primary");
        }
        if who.is_isolated() && !policy.all_to_replicas {
            return primary("transactions of this isolation level belong to the primary");
        }
        if who.session.options() != LexOptions::default() {
            return primary("texts of this encoding or quoting are not read for it");
        }
        match ruling {
            Ruling::Read => (Place::Replica, why),
            Ruling::WantsReplica => (Place::Replica, "its comment says so".into()),
            Ruling::Unproven | Ruling::Executes if who.wish() == Some(Wish::Replica) => {
                (Place::Replica, format!("pgweir.route is set to replica, though {why}"))
            }
            Ruling::Unproven | Ruling::Executes if policy.all_to_replicas => {
                (Place::Replica, format!("route is \"replica\" ({})", who.held.origin("route")))
            }
            Ruling::WantsPrimary => primary("its comment says so"),
            Ruling::Control if is_begin(text) => primary(
                "pgweir answers it: what comes first in the transaction decides where that goes",
            ),
            Ruling::Control
            | Ruling::Session
            | Ruling::Write
            | Ruling::Unproven
            | Ruling::Executes
            | Ruling::OfServer => (Place::Primary, why),
        }
    }

    /// What a text is, and what of it decides.
    fn nature(&self, text: &[u8], who: &Circumstances<'_>) -> (Ruling, String) {
        let found = reading(text, LexOptions::default());
        if let Kind::Execute(name) = &found.kind
            && let Some(prepared) = self.prepared.get(name.as_bytes())
            && found.hint.is_none()
        {
            let (ruling, why) = nature_of(prepared, who);
            return (ruling, format!("of the statement that it runs: {why}"));
        }
        nature_of(text, who)
    }
}

fn nature_of(text: &[u8], who: &Circumstances<'_>) -> (Ruling, String) {
    let found = reading(text, LexOptions::default());
    let detail: Detail = match who.catalog {
        Some(catalog) => detail(&found, Some(catalog)),
        None => detail_without_catalog(&found),
    };
    let serves = || detail.verdict == Verdict::Replica;
    let no_names = found.functions.is_empty() && found.relations.is_empty();
    let serves_names = || match who.catalog {
        Some(catalog) => verdict_of_names(&found, Some(catalog)) == Verdict::Replica,
        None => no_names,
    };
    (ruling_where(&found, serves, serves_names), detail.to_string())
}

/// In a transaction that has its server.
fn within(place: Place, text: &[u8], ruling: Ruling) -> String {
    let found = reading(text, LexOptions::default());
    match (place, ruling) {
        (Place::Primary, _) => "its transaction is there".to_owned(),
        (Place::Replica, Ruling::Write) => {
            "its transaction is there and only reads: refused with 25006".to_owned()
        }
        (Place::Replica, Ruling::OfServer) => {
            let name = differs_on_standby(&found)
                .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
            let name = name.unwrap_or_default();
            format!(
                "its transaction is there, where {name} means something else: refused with 25006"
            )
        }
        (Place::Replica, _) => "its transaction is there".to_owned(),
    }
}

/// The first text of a transaction that has begun with these modes.
fn of_begun(
    modes: TransactionModes,
    ruling: Ruling,
    why: &str,
    policy: Policy,
    who: &Circumstances<'_>,
) -> (Place, String) {
    let primary = |why: &str| (Place::Primary, why.to_owned());
    let isolated = match modes.isolation {
        None => who.is_isolated(),
        Some(Isolation::ReadUncommitted | Isolation::ReadCommitted) => false,
        Some(Isolation::RepeatableRead | Isolation::Serializable) => true,
    };
    if policy.rejects_writes {
        return (Place::Replica, "writes are rejected here, and all else goes there".to_owned());
    }
    if who.wish() == Some(Wish::Primary) {
        return primary("pgweir.route is set to primary");
    }
    if !modes.read_only.unwrap_or_else(|| who.is_read_only()) {
        return primary("its transaction is not READ ONLY");
    }
    if isolated && !policy.all_to_replicas {
        return primary("transactions of this isolation level belong to the primary");
    }
    let vouched = policy.all_to_replicas || who.wish() == Some(Wish::Replica);
    match ruling {
        Ruling::Read | Ruling::WantsReplica | Ruling::Session | Ruling::Control => {
            (Place::Replica, format!("its transaction is READ ONLY, and {why}"))
        }
        Ruling::Unproven | Ruling::Executes if vouched => {
            (Place::Replica, "its transaction is READ ONLY, and replicas are wanted".to_owned())
        }
        Ruling::Unproven
        | Ruling::Executes
        | Ruling::Write
        | Ruling::OfServer
        | Ruling::WantsPrimary => (Place::Primary, why.to_owned()),
    }
}

/// The transaction command that a text is, and nothing else.
fn control(text: &[u8]) -> Option<TransactionControl> {
    sql::facts(text, LexOptions::default()).transaction_control().cloned()
}

/// Whether a transaction without a server is told what this does without one.
fn needs_no_server(text: &[u8]) -> bool {
    match control(text) {
        Some(
            TransactionControl::Commit { chain: false }
            | TransactionControl::Rollback { chain: false }
            | TransactionControl::SetTransaction(_),
        ) => true,
        Some(_) | None => false,
    }
}

fn is_begin(text: &[u8]) -> bool {
    matches!(control(text), Some(TransactionControl::Begin(_)))
}
