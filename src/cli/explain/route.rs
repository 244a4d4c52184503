//! Where a statement of a rehearsed session would run, and why: what `worker::route` decides, from texts alone.
//!
//! Deliberately absent: how far replicas are. What is said to go to one goes there when one has all that the session has
//! written and seen.

use std::collections::BTreeMap;

use super::super::terms::Held;
use super::catalog::Inquirer;
use super::statement::Decision;
use crate::client::Wish;
use crate::config::Reads;
use crate::guard::Rehearsal;
use crate::route::verdicts::prepared;
use crate::route::{
    Detail, Policy, Reason, Ruling, Topology, Verdict, detail, detail_without_catalog,
    differs_on_standby, ruling_where,
};
use crate::session::changes::is_on;
use crate::session::facts::{NameStep, TextEffects, named_use};
use crate::sql::reads::{Kind, Reading, reading};
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

/// Why a text runs where its comment says.
const WISHED: &str = "a comment before it asks for that";

/// Why what goes to a database without writes runs there.
const EVERYTHING: &str = "writes are rejected in this database, and all else goes there";

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
    /// Who asks what names mean.
    pub(super) inquirer: Option<&'a Inquirer>,
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
    /// A text runs, and this is the state of its session's transaction behind it.
    ///
    /// # Errors
    /// The catalog was to be asked and could not be: what to say.
    pub(super) fn ran(
        &mut self,
        text: &[u8],
        does: &TextEffects,
        who: &Circumstances<'_>,
        after: TransactionStatus,
    ) -> Result<(), String> {
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
            (_, _, _) => Some(Course::At(self.way(text, who)?.0)),
        };
        Ok(())
    }

    /// Where a text would run that comes next, and why.
    ///
    /// # Errors
    /// The catalog was to be asked and could not be: what to say.
    pub(super) fn look(&self, text: &[u8], who: &Circumstances<'_>) -> Result<Decision, String> {
        let database = &who.held.settings.database;
        let (place, why) = self.way(text, who)?;
        let catalog = match who.inquirer {
            Some(_) => "the catalog was asked where a verdict depends on it",
            None => {
                "the catalog was not asked: relations that the text names are taken for ordinary tables"
            }
        };
        // Without a configuration nobody has said what servers there are.
        let has_several = database.primary.hosts.is_empty() || Topology::of(database).is_some();
        let (what, why) = if has_several {
            (place.word(), why)
        } else {
            let why = format!("the database has no replicas; with one, {}: {why}", place.word());
            (Place::Primary.word(), why)
        };
        Ok(Decision { what, why: format!("{why}; {catalog}") })
    }

    fn way(&self, text: &[u8], who: &Circumstances<'_>) -> Result<(Place, String), String> {
        let primary = |why: &str| Ok((Place::Primary, why.to_owned()));
        let policy = Policy::of(&who.held.settings);
        if policy.reads == Reads::Primary {
            return Ok((Place::Primary, who.who_says_primary()));
        }
        let (ruling, why) = self.nature(text, who)?;
        match self.course {
            Some(Course::At(place)) => return Ok((place, within(place, text, ruling))),
            Some(Course::Undecided(_)) if needs_no_server(text) => {
                return primary("pgweir answers it: the transaction has no server yet");
            }
            Some(Course::Undecided(modes)) => {
                return Ok(of_begun(modes, ruling, &why, policy, who));
            }
            None => {}
        }
        if policy.rejects_writes {
            let why = match ruling {
                Ruling::Write => "writes are rejected in this database: refused with 25006",
                _ => EVERYTHING,
            };
            return Ok((Place::Replica, why.to_owned()));
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
        Ok(match ruling {
            Ruling::Read => (Place::Replica, why),
            Ruling::WantsReplica => (Place::Replica, WISHED.to_owned()),
            Ruling::Unproven | Ruling::Executes if who.wish() == Some(Wish::Replica) => {
                (Place::Replica, format!("pgweir.route is set to replica, though {why}"))
            }
            Ruling::Unproven | Ruling::Executes if policy.all_to_replicas => {
                (Place::Replica, format!("route is \"replica\" ({})", who.held.origin("route")))
            }
            Ruling::WantsPrimary => (Place::Primary, WISHED.to_owned()),
            Ruling::Control if is_begin(text) => {
                let what = "pgweir answers it, and what comes first in the transaction decides";
                (Place::Primary, format!("{why}; {what}"))
            }
            Ruling::Control
            | Ruling::Session
            | Ruling::Write
            | Ruling::Unproven
            | Ruling::Executes
            | Ruling::OfServer => (Place::Primary, why),
        })
    }

    /// What a text is, and what of it decides.
    fn nature(&self, text: &[u8], who: &Circumstances<'_>) -> Result<(Ruling, String), String> {
        let found = reading(text, LexOptions::default());
        if let Kind::Execute(name) = &found.kind
            && let Some(prepared) = self.prepared.get(name.as_bytes())
            && found.hint.is_none()
        {
            let of_prepared = nature_of(&reading(prepared, LexOptions::default()), who)?;
            if of_prepared.0 != Ruling::Read {
                return Ok(of_prepared);
            }
            // Its arguments may still call something.
            return nature_of(&Reading { kind: Kind::Read, ..found }, who);
        }
        nature_of(&found, who)
    }
}

fn nature_of(found: &Reading, who: &Circumstances<'_>) -> Result<(Ruling, String), String> {
    let mut why: Detail = detail(found, None);
    if why.verdict == Verdict::Primary(Reason::CatalogMissing) {
        why = match who.inquirer {
            Some(inquirer) => detail(found, Some(&*inquirer.catalog(&who.held.settings)?)),
            None => detail_without_catalog(found),
        };
    }
    let serves = || why.verdict == Verdict::Replica;
    // An EXECUTE of what nobody has prepared here.
    let ruling = ruling_where(found, serves, || false);
    let words = match why.verdict {
        Verdict::Replica => why.to_string(),
        Verdict::Primary(reason) => format!("{}: {why}", reason.label()),
    };
    Ok((ruling, words))
}

/// In a transaction that has its server.
fn within(place: Place, text: &[u8], ruling: Ruling) -> String {
    let found = reading(text, LexOptions::default());
    let differs = differs_on_standby(&found);
    match (place, differs) {
        (Place::Replica, _) if ruling == Ruling::Write => {
            "the open transaction is at a replica and only reads: refused with 25006".to_owned()
        }
        (Place::Replica, Some(name)) if ruling == Ruling::OfServer => format!(
            "the open transaction is at a replica, where this is refused: {} means something else there",
            String::from_utf8_lossy(name.as_bytes())
        ),
        (Place::Replica | Place::Primary, _) => {
            let place = place.word();
            format!("the open transaction is at the {place} since its first statement")
        }
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
        return (Place::Replica, EVERYTHING.to_owned());
    }
    if who.wish() == Some(Wish::Primary) {
        return primary("pgweir.route is set to primary");
    }
    if !modes.read_only.unwrap_or_else(|| who.is_read_only()) {
        return primary("the open transaction is at the primary, for it is not READ ONLY");
    }
    if isolated && !policy.all_to_replicas {
        return primary("the open transaction is at the primary, for it is not READ COMMITTED");
    }
    let vouched = policy.all_to_replicas || who.wish() == Some(Wish::Replica);
    match ruling {
        Ruling::Read | Ruling::WantsReplica | Ruling::Session | Ruling::Control => {
            (Place::Replica, format!("the open transaction is READ ONLY, and {why}"))
        }
        Ruling::Unproven | Ruling::Executes if vouched => (
            Place::Replica,
            "the open transaction is READ ONLY, and replicas are wanted".to_owned(),
        ),
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
