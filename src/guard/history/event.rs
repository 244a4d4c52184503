//! The log of a transaction: its events, its savepoints, and the end of either.

use super::super::context::Context;
use crate::sql::commands::ObjectName;
use crate::sql::{LexOptions, Name, names_temp_schema};
use crate::wire::TransactionStatus;

/// More events than this in one transaction are not kept: from then on nothing is believed to be new. Each verdict walks
/// over them.
const LOG_MAX: usize = 5_000;

/// More savepoints than this at a time are not kept, likewise.
const SAVEPOINTS_MAX: usize = 5_000;

/// More temporary tables than this are not kept; those beyond are judged like any others.
const TEMPS_MAX: usize = 1_000;

/// Something that a statement has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Event {
    /// A relation was made; names as written.
    Created(Relation),
    /// A schema was made: whatever is in it is new.
    SchemaCreated(Name),
    /// A schema has another name, or None and all that was in it is gone.
    SchemaLeft { from: Name, to: Option<Name> },
    /// A relation was dropped, or may have been.
    Gone(ObjectName),
    /// A relation has another name, or may have.
    Renamed { from: ObjectName, to: Name },
    /// A relation is in another schema, or may be.
    Moved { from: ObjectName, schema: Name },
    /// A name without a schema may mean something else from here on; with `temp`, even before temporary tables.
    PathChanged { temp: bool },
    /// All temporary tables are gone.
    TempGone,
    /// Names may mean anything.
    Forgotten,
    /// Code ran that the text does not show.
    Opaque,
    /// A table that existed before is a partition of a new one.
    AttachedExisting,
    /// A constraint was added NOT VALID.
    NotValid { table: ObjectName, constraint: Option<Name> },
    /// An existing table was altered.
    Altered(ObjectName),
    /// DDL took ACCESS EXCLUSIVE on something that is not new. At most once in the log.
    Exclusive,
    /// The catalog was changed. At most once in the log.
    Ddl,
    /// `lock_timeout` is this from here on.
    LockTimeout(LockTimeout),
}

impl Event {
    /// True when a name may mean another relation afterwards, beside one that is new.
    pub(super) fn changes_names(&self) -> bool {
        match self {
            Event::SchemaLeft { .. }
            | Event::Gone(_)
            | Event::Renamed { .. }
            | Event::Moved { .. }
            | Event::PathChanged { .. }
            | Event::TempGone
            | Event::Forgotten
            | Event::Opaque => true,
            Event::Created(_)
            | Event::SchemaCreated(_)
            | Event::AttachedExisting
            | Event::NotValid { .. }
            | Event::Altered(_)
            | Event::Exclusive
            | Event::Ddl
            | Event::LockTimeout(_) => false,
        }
    }
}

/// A relation that a transaction has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Relation {
    /// Its name, with the schema where one was written. Without a schema where it is temporary.
    pub(in super::super) name: ObjectName,
    /// It is in the session's temporary schema.
    pub(in super::super) temporary: bool,
    /// It is a partitioned table.
    pub(in super::super) partitioned: bool,
    /// It ends with its transaction.
    pub(in super::super) on_commit_drop: bool,
    /// It goes with something else that is dropped: it is a partition or a child, or of a type.
    pub(in super::super) depends: bool,
    /// It is an index, of a table of this name.
    pub(in super::super) index_of: Option<Name>,
}

/// What a transaction has made of `lock_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum LockTimeout {
    /// Milliseconds; 0 is none.
    Set(u32),
    /// The session's default.
    Default,
    /// It cannot be read.
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Savepoint {
    pub(super) name: Name,
    /// Length of the log when it was set.
    pub(super) at: usize,
}

/// A temporary table of an earlier transaction.
#[derive(Clone, Debug)]
pub(super) struct Temp {
    pub(super) name: Name,
    /// The server has said that its transaction was committed.
    pub(super) confirmed: bool,
}

/// See [`super::History`].
#[derive(Clone, Debug, Default)]
pub(in super::super) struct State {
    pub(super) log: Vec<Event>,
    /// Those that were set since the log's first event.
    pub(super) savepoints: Vec<Savepoint>,
    pub(super) temps: Vec<Temp>,
    /// Length of the log, and number of savepoints, that the server has confirmed.
    settled: (usize, usize),
    /// Since then a savepoint was released or rolled back to, or the transaction ended.
    unwound: bool,
    /// Too much has happened: until the transaction ends nothing is believed to be new.
    lost: bool,
}

impl State {
    /// Nothing.
    pub(super) const BLANK: &'static Self = &Self {
        log: Vec::new(),
        savepoints: Vec::new(),
        temps: Vec::new(),
        settled: (0, 0),
        unwound: false,
        lost: false,
    };

    pub(super) fn is_blank(&self) -> bool {
        self.log.is_empty() && self.temps.is_empty() && !self.lost && !self.unwound
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// How many events there are.
    pub(in super::super) fn length(&self) -> usize {
        self.log.len()
    }

    /// Nothing is known any more.
    pub(in super::super) fn forget(&mut self) {
        self.push(Event::Forgotten);
    }

    /// Nothing is believed to be new until the transaction ends, nor what it leaves.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.temps.clear();
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.log.len() < LOG_MAX {
            self.log.push(event);
        } else {
            self.lost = true;
        }
    }

    /// Adds an event of which one in the log is enough.
    pub(super) fn push_once(&mut self, event: Event) {
        if !self.log.contains(&event) {
            self.push(event);
        }
    }

    pub(super) fn savepoint(&mut self, name: Name) {
        if self.log.is_empty() {
            return; // Rolling back to one that is not known undoes everything.
        }
        if self.savepoints.len() < SAVEPOINTS_MAX {
            self.savepoints.push(Savepoint { name, at: self.log.len() });
        } else {
            self.lost = true;
        }
    }

    fn find(&self, name: &Name) -> Option<usize> {
        self.savepoints.iter().rposition(|savepoint| savepoint.name == *name)
    }

    /// Ends a savepoint and those after it. One that is not known is older than all that are.
    pub(super) fn release(&mut self, name: &Name) {
        self.savepoints.truncate(self.find(name).unwrap_or(0));
        self.unwound = true;
    }

    pub(super) fn rollback_to(&mut self, name: &Name) {
        let (kept, at) = match self.find(name) {
            Some(found) => (found + 1, self.savepoints.get(found).map_or(0, |it| it.at)),
            None => (0, 0),
        };
        self.savepoints.truncate(kept);
        self.log.truncate(at);
        self.unwound = true;
    }

    /// The transaction is over. What temporary tables it leaves is not confirmed yet.
    pub(super) fn end(&mut self, committed: bool) {
        if committed && self.lost {
            // Some of them may be gone.
            self.temps.clear();
        } else if committed {
            self.keep_temps();
        }
        self.log.clear();
        self.savepoints.clear();
        self.settled = (0, 0);
        self.unwound = false;
        self.lost = false;
    }

    /// Takes over into `temps` what the log does to temporary tables.
    fn keep_temps(&mut self) {
        for event in &self.log {
            let gone = |temps: &mut Vec<Temp>, name: &ObjectName| {
                temps.retain(|temp| temp.name != name.name);
            };
            match event {
                Event::Created(made) if made.temporary && !made.on_commit_drop && !made.depends => {
                    if self.temps.len() < TEMPS_MAX {
                        let name = made.name.name.clone();
                        self.temps.push(Temp { name, confirmed: false });
                    }
                }
                Event::Gone(name) | Event::Moved { from: name, .. } => gone(&mut self.temps, name),
                Event::Renamed { from, to } => {
                    let named = |temp: &Temp| temp.name == from.name;
                    let temporary = from.schema.is_none() || from.is_temporary();
                    match self.temps.iter().position(named).filter(|_| temporary) {
                        Some(at) => {
                            if let Some(temp) = self.temps.get_mut(at) {
                                *temp = Temp { name: to.clone(), confirmed: false };
                            }
                        }
                        None => gone(&mut self.temps, &ObjectName::unqualified(to.clone())),
                    }
                }
                Event::TempGone | Event::Forgotten => self.temps.clear(),
                Event::Created(_)
                | Event::SchemaCreated(_)
                | Event::SchemaLeft { .. }
                | Event::PathChanged { .. }
                | Event::Opaque
                | Event::AttachedExisting
                | Event::NotValid { .. }
                | Event::Altered(_)
                | Event::Exclusive
                | Event::Ddl
                | Event::LockTimeout(_) => {}
            }
        }
    }

    /// All that was sent has happened.
    pub(super) fn settle(&mut self) {
        self.settled = (self.log.len(), self.savepoints.len());
        self.unwound = false;
        // Not what a COMMIT would leave that was sent since.
    }

    /// What is not confirmed may not have happened. Where savepoints were among it, or the transaction's end, the log
    /// may be that of another moment.
    pub(super) fn fail(&mut self) {
        if std::mem::take(&mut self.unwound) {
            self.lost = true;
        }
        let (log, savepoints) = self.settled;
        self.log.truncate(log);
        self.savepoints.truncate(savepoints);
        self.settled = (self.log.len(), self.savepoints.len());
        self.confirm(false);
    }

    /// A statement that ends the transaction is sent; whether it is run is not known yet.
    pub(super) fn leave(&mut self, commits: bool) {
        let unwound = self.unwound || !self.log.is_empty() || self.lost;
        self.end(commits);
        self.unwound = unwound;
    }

    /// Says of temporary tables that have survived a COMMIT whether it has happened.
    pub(super) fn confirm(&mut self, happened: bool) {
        self.temps.retain(|temp| temp.confirmed || happened);
        for temp in &mut self.temps {
            temp.confirmed = true;
        }
    }

    /// True when DDL of this transaction holds ACCESS EXCLUSIVE.
    pub(in super::super) fn holds_exclusive(&self) -> bool {
        self.log.contains(&Event::Exclusive)
    }
}

/// What a statement finds when it runs, beside the log.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Scene<'a> {
    pub(in super::super) text: &'a [u8],
    pub(in super::super) options: LexOptions,
    /// A transaction block is open.
    pub(in super::super) in_block: bool,
    /// The transaction has failed: only its end runs.
    pub(in super::super) failed: bool,
    /// Names without a schema are looked for among temporary tables first.
    pub(in super::super) temp_first: bool,
}

impl<'a> Scene<'a> {
    pub(in super::super) fn new(text: &'a [u8], context: &Context<'_>) -> Self {
        Self {
            text,
            options: context.options,
            in_block: context.status != TransactionStatus::Idle,
            failed: context.status == TransactionStatus::Failed,
            temp_first: !context.search_path.is_some_and(names_temp_schema),
        }
    }
}
