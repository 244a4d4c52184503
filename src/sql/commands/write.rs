//! UPDATE, DELETE and MERGE of whole tables, wherever in a statement they stand.
//!
//! Owns their heads and which of them is open at a place; conditions are read by `predicate`.

use super::predicate;
use super::reader::{ObjectName, Reader};
use super::{Command, Commands};

/// A write whose condition keeps no row out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What it does.
    pub verb: WriteVerb,
    /// The table.
    pub table: Option<ObjectName>,
    /// What is wrong with its condition.
    pub condition: Condition,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteVerb {
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE that updates or deletes what it matches.
    Merge,
}

/// What is wrong with the condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is none.
    Missing,
    /// It is true for every row: `WHERE true`, `WHERE id = 5 OR 1 = 1`.
    AlwaysTrue,
}

/// The writes that are open at a place of a statement, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Writes {
    open: Vec<Open>,
    /// Tokens that may still be spent on conditions. Only a text that breaks the grammar has so many conditions that
    /// each is inside of another; the bound keeps it linear.
    budget: usize,
}

#[derive(Debug)]
struct Open {
    depth: usize,
    verb: WriteVerb,
    table: Option<ObjectName>,
    /// None until a condition was seen.
    condition: Option<predicate::Meaning>,
    /// A MERGE that only inserts writes over nothing.
    harmless: bool,
}

/// More open writes than this are not kept: the grammar allows two.
const OPEN_MAX: usize = 16;

/// See [`Writes::budget`].
const BUDGET: usize = 1_000_000;

impl Writes {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), budget: BUDGET }
    }

    /// Behind UPDATE, `DELETE FROM` or `MERGE INTO` at `depth`.
    pub(super) fn begin(
        &mut self,
        mut at: Reader,
        verb: WriteVerb,
        depth: usize,
        out: &mut Commands,
    ) {
        self.end(&at, depth, out);
        if self.open.len() < OPEN_MAX {
            let (table, _) = at.relation();
            let harmless = verb == WriteVerb::Merge;
            self.open.push(Open { depth, verb, table, condition: None, harmless });
        }
    }

    /// Behind WHERE, or ON of a MERGE, at `depth`.
    pub(super) fn condition(&mut self, at: Reader, depth: usize) {
        if let Some(write) = self.open.last_mut()
            && write.depth == depth
            && write.condition.is_none()
        {
            write.condition = Some(predicate::read(at, &mut self.budget));
        }
    }

    /// True directly inside of a MERGE.
    pub(super) fn in_merge(&self, depth: usize) -> bool {
        self.open.last().is_some_and(|open| open.verb == WriteVerb::Merge && open.depth == depth)
    }

    /// At `THEN {UPDATE | DELETE}` of a MERGE.
    pub(super) fn merge_writes(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.harmless = false;
        }
    }

    /// Where a depth ends: writes as deep as `depth`, and deeper, are complete.
    pub(super) fn end(&mut self, at: &Reader, depth: usize, out: &mut Commands) {
        while let Some(write) = self.open.pop_if(|write| write.depth >= depth) {
            let condition = match write.condition {
                None if write.verb == WriteVerb::Merge => continue,
                None => Condition::Missing,
                Some(predicate::Meaning::AlwaysTrue) => Condition::AlwaysTrue,
                Some(predicate::Meaning::Other) => continue,
            };
            if !write.harmless {
                let found = Write { verb: write.verb, table: write.table, condition };
                out.add(at, Command::Write(found));
            }
        }
    }
}
