//! What a name means at the end of a log: whether it is something that the transaction itself has made.
//!
//! Owns the walk back through the log, on which the name becomes what it was before each event. Where an event may have
//! been about the name and may not, nothing is known.

use super::super::context::Context;
use super::event::{Event, LockTimeout, Relation, Scene, State};
use crate::sql::Name;
use crate::sql::commands::ObjectName;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// This transaction has made it, or this session where it is temporary: nobody else can want it.
    New {
        /// It is in the session's temporary schema.
        temporary: bool,
        /// It is known to be a partitioned table.
        partitioned: bool,
        /// A table that existed before is a partition of it.
        reaches_existing: bool,
    },
    /// It is what had this name before the transaction.
    Before(ObjectName),
    /// It cannot be said.
    Unclear,
}

/// A name on its way back.
struct Walk {
    name: ObjectName,
    /// Nothing has changed what a name without a schema means since the event at hand.
    path_holds: bool,
    /// Temporary tables are still found before others.
    temp_first: bool,
    /// Temporary tables of before are gone.
    temp_gone: bool,
    /// An existing table has been attached to a new one since.
    attached: bool,
    /// Code has run since.
    opaque: bool,
}

impl Walk {
    /// True when the name is looked for among temporary tables.
    fn may_be_temporary(&self) -> bool {
        self.name.is_temporary() || self.name.schema.is_none() && self.temp_first
    }

    /// True when `other` is the very name, in the same words.
    fn is(&self, other: &ObjectName) -> bool {
        self.name.name == other.name
            && (self.name.schema == other.schema
                || self.name.is_temporary() && other.is_temporary())
            && (other.schema.is_some() || self.path_holds)
    }

    /// True when `other` may mean the same.
    fn may_be(&self, other: &ObjectName) -> bool {
        same(&self.name, other)
    }

    fn is_made(&self, made: &Relation) -> bool {
        if made.temporary {
            return made.name.name == self.name.name && self.may_be_temporary();
        }
        self.is(&made.name)
    }
}

/// True when two names may mean the same.
fn same(a: &ObjectName, b: &ObjectName) -> bool {
    let temporary = a.is_temporary() && b.is_temporary();
    let schemas = a.schema == b.schema || a.schema.is_none() || b.schema.is_none();
    a.name == b.name && (schemas || temporary)
}

impl State {
    /// What `name` means now.
    pub(in super::super) fn standing(&self, name: &ObjectName, scene: &Scene) -> Standing {
        let mut walk = Walk {
            name: name.clone(),
            path_holds: true,
            temp_first: scene.temp_first,
            temp_gone: false,
            attached: false,
            opaque: false,
        };
        if name.is_temporary() {
            // Nobody else's, whatever it is: the server refuses other sessions' temporary tables.
            let (temporary, partitioned, reaches_existing) = (true, false, false);
            return Standing::New { temporary, partitioned, reaches_existing };
        }
        if self.is_lost() {
            return Standing::Unclear;
        }
        for event in self.log.iter().rev() {
            if let Some(found) = walk.back(event) {
                return found;
            }
        }
        let kept = |walk: &Walk| self.temps.iter().any(|temp| temp.name == walk.name.name);
        if !walk.temp_gone && walk.may_be_temporary() && kept(&walk) {
            let (temporary, partitioned, reaches_existing) = (true, false, false);
            return Standing::New { temporary, partitioned, reaches_existing };
        }
        let path_known = walk.name.schema.is_some() || walk.path_holds;
        if path_known && !walk.opaque { Standing::Before(walk.name) } else { Standing::Unclear }
    }

    /// How often the open transaction has altered a table that it has not made.
    pub(in super::super) fn times_altered(&self, table: &ObjectName) -> usize {
        let same = |event: &&Event| matches!(event, Event::Altered(other) if same(table, other));
        self.log.iter().filter(same).count()
    }

    /// True when the open transaction has added this constraint NOT VALID.
    pub(in super::super) fn added_not_valid(&self, table: &ObjectName, constraint: &Name) -> bool {
        self.log.iter().any(|event| match event {
            Event::NotValid { table: other, constraint: Some(name) } => {
                name == constraint && same(table, other)
            }
            _ => false,
        })
    }

    /// `lock_timeout` as the open transaction has left it; None where it cannot be read.
    pub(in super::super) fn lock_timeout_ms(&self, context: &Context) -> Option<u32> {
        let set = self.log.iter().rev().find_map(|event| match event {
            Event::LockTimeout(set) => Some(*set),
            _ => None,
        });
        match set {
            None => Some(context.lock_timeout_ms),
            Some(LockTimeout::Set(ms)) => Some(ms),
            Some(LockTimeout::Default) => Some(context.limits.lock_ms),
            Some(LockTimeout::Unknown) => None,
        }
    }
}

impl Walk {
    /// Takes the name back to before `event`; Some where that decides.
    fn back(&mut self, event: &Event) -> Option<Standing> {
        match event {
            Event::Created(made) if self.is_made(made) => Some(Standing::New {
                temporary: made.temporary,
                partitioned: made.partitioned,
                reaches_existing: made.partitioned && self.attached,
            }),
            Event::SchemaCreated(schema) if self.name.schema.as_ref() == Some(schema) => {
                Some(Standing::New {
                    temporary: false,
                    partitioned: false,
                    reaches_existing: self.attached,
                })
            }
            Event::SchemaLeft { from, to } => self.back_before_schema(from, to.as_ref()),
            Event::Gone(gone) if self.may_be(gone) => Some(Standing::Unclear),
            Event::Renamed { from, to } => self.back_before_rename(from, to),
            Event::Moved { from, schema } => self.back_before_move(from, schema),
            Event::PathChanged { temp } => {
                self.path_holds = false;
                self.temp_first &= !temp;
                None
            }
            Event::TempGone => {
                self.temp_first = false;
                self.temp_gone = true;
                None
            }
            Event::Forgotten => Some(Standing::Unclear),
            Event::Opaque => {
                self.opaque = true;
                None
            }
            Event::AttachedExisting => {
                self.attached = true;
                None
            }
            Event::Created(_)
            | Event::SchemaCreated(_)
            | Event::Gone(_)
            | Event::NotValid { .. }
            | Event::Altered(_)
            | Event::Exclusive
            | Event::Ddl
            | Event::LockTimeout(_) => None,
        }
    }

    fn back_before_schema(&mut self, from: &Name, to: Option<&Name>) -> Option<Standing> {
        match &self.name.schema {
            Some(schema) if Some(schema) == to => {
                self.name.schema = Some(from.clone());
                None
            }
            Some(schema) => (schema == from).then_some(Standing::Unclear),
            None => {
                // Another schema may be the first of the path that has the name.
                self.path_holds = false;
                None
            }
        }
    }

    fn back_before_rename(&mut self, from: &ObjectName, to: &Name) -> Option<Standing> {
        let after = ObjectName { name: to.clone(), ..from.clone() };
        if self.is(&after) {
            self.name = from.clone();
            return None;
        }
        (self.may_be(&after) || self.may_be(from)).then_some(Standing::Unclear)
    }

    fn back_before_move(&mut self, from: &ObjectName, schema: &Name) -> Option<Standing> {
        let after = ObjectName { schema: Some(schema.clone()), ..from.clone() };
        if self.name.schema.is_some() && self.is(&after) {
            self.name = from.clone();
            return None;
        }
        (self.may_be(&after) || self.may_be(from)).then_some(Standing::Unclear)
    }
}
