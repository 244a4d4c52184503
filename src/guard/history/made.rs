//! What earlier transactions of a session have made and left empty, where no catalog can be asked.
//!
//! Owns the log of what was committed, and which of it somebody has put rows into. Only sessions that are rehearsed have
//! one: for those that run, the catalog says how it is.

use std::collections::{BTreeMap, BTreeSet};

use super::super::catalog::Answer;
use super::History;
use super::event::{Event, Scene, State};
use super::lookup::Standing;
use crate::sql::commands::ObjectName;
use crate::sql::{LexOptions, Name};

/// More events than this are not kept: from then on nothing is known to be empty.
const LOG_MAX: usize = 20_000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Made {
    committed: State,
    /// Names in it that something has been given: others need no walk over it.
    given: BTreeSet<Name>,
    /// Tables with rows, by their names without schema.
    filled: BTreeSet<Name>,
    /// Any table may have rows.
    all_filled: bool,
    /// Each index's table.
    indexes: BTreeMap<Name, Name>,
    /// Rows of one table may be, or lead to, rows of another: partitions, triggers, rules.
    spreads: bool,
}

impl Made {
    /// A transaction is committed that has done what `history` has.
    pub(in super::super) fn commit(&mut self, history: &History) {
        let log = &history.state().log;
        for event in log {
            match event {
                Event::Created(made) => {
                    if let Some(table) = &made.index_of {
                        self.indexes.insert(made.name.name.clone(), table.clone());
                    }
                    self.given.insert(made.name.name.clone());
                    self.spreads |= made.partitioned;
                    if made.temporary {
                        continue; // The session's own for as long as it is there, as the history knows.
                    }
                }
                Event::Renamed { from, to } => {
                    self.given.insert(to.clone());
                    if self.filled.contains(&from.name) {
                        self.filled.insert(to.clone());
                    }
                    if let Some(table) = self.indexes.get(&from.name).cloned() {
                        self.indexes.insert(to.clone(), table);
                    }
                }
                Event::Altered(_)
                | Event::NotValid { .. }
                | Event::Exclusive
                | Event::Ddl
                | Event::LockTimeout(_) => continue,
                Event::SchemaCreated(schema) | Event::SchemaLeft { to: Some(schema), .. } => {
                    self.given.insert(schema.clone());
                }
                Event::SchemaLeft { to: None, .. }
                | Event::Gone(_)
                | Event::Moved { .. }
                | Event::PathChanged { .. }
                | Event::TempGone
                | Event::Forgotten
                | Event::Opaque
                | Event::AttachedExisting => {}
            }
            if self.committed.log.len() == LOG_MAX {
                self.forget();
            }
            self.committed.log.push(event.clone());
        }
        // SET LOCAL has ended, so names mean what they meant before it.
        if log.iter().any(|event| matches!(event, Event::PathChanged { .. })) {
            self.committed.log.push(Event::PathChanged { temp: false });
        }
    }

    /// Nothing that was made so far is known any more.
    pub(in super::super) fn forget(&mut self) {
        self.committed.log.clear();
        self.committed.log.push(Event::Forgotten);
    }

    /// Rows may be in a table of this name now; None: in any.
    pub(in super::super) fn fill(&mut self, table: Option<&Name>) {
        match table {
            Some(table) if !self.spreads => {
                self.filled.insert(table.clone());
            }
            Some(_) | None => self.all_filled = true,
        }
    }

    /// From now on who fills one table may fill others.
    pub(in super::super) fn may_trigger(&mut self) {
        self.spreads = true;
    }

    /// What the catalog would say of something that this session has made.
    pub(in super::super) fn answer(&self, object: &ObjectName) -> Option<Answer> {
        let table = self.indexes.get(&object.name).unwrap_or(&object.name);
        if self.all_filled || self.filled.contains(table) {
            return None;
        }
        match self.standing(object) {
            Standing::New { partitioned, reaches_existing, .. } => {
                // Of a partitioned table it is known that its partitions are empty as long as nothing is filled.
                let empty = !reaches_existing && (!partitioned || self.filled.is_empty());
                Some(Answer::Relation { partitioned, empty })
            }
            Standing::Before(_) | Standing::Unclear => None,
        }
    }

    /// True for something that this session has made, whatever is in it by now.
    pub(in super::super) fn has(&self, object: &ObjectName) -> bool {
        matches!(self.standing(object), Standing::New { .. })
    }

    fn standing(&self, object: &ObjectName) -> Standing {
        let schema = object.schema.iter();
        if !schema.chain([&object.name]).any(|name| self.given.contains(name)) {
            return Standing::Unclear;
        }
        let options = LexOptions::default();
        let scene = Scene { text: b"", options, in_block: false, failed: false, temp_first: true };
        self.committed.standing(object, &scene)
    }
}
