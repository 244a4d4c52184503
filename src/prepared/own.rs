//! What one server has prepared under clients' own names, for statements of SQL that speak of them.
//!
//! Whose it is does not matter: a name stands for a statement, and who means the same by it may use
//! it. Who means another one, or none, has it closed first.
//!
//! Deliberately absent: when anything is sent.

use std::collections::HashMap;

use super::{Packed, StatementId, Statements};

/// What a name means on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// Nothing.
    Nothing,
    /// This statement: it stands there, or was sent in the unit that is being built.
    Statement(StatementId),
    /// Something else than anybody's statement, or perhaps nothing: it is closed before its use.
    Unknown,
    /// That depends on an earlier unit which has not been answered.
    Unanswered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    /// The slot's statement.
    Statement,
    Unknown,
    /// It was closed or dropped in a unit that has not been answered.
    Gone,
}

#[derive(Debug)]
struct Slot {
    is: Is,
    /// What it means, or meant when that was last known.
    statement: Option<StatementId>,
    /// The unit that made it so, while that has not been answered.
    unit: Option<u64>,
    /// It was parsed in a transaction that had parameters of its own: nobody's afterwards.
    local: bool,
    used: u64,
}

/// The names of one server. Each that means a statement holds one reference to it.
#[derive(Debug, Default)]
pub struct OwnNames {
    slots: HashMap<Box<[u8]>, Slot, foldhash::fast::RandomState>,
    clock: u64,
}

/// Names on their way to another loop.
#[derive(Debug, Default)]
pub struct PackedNames(Vec<(Box<[u8]>, Option<Packed>)>);

impl OwnNames {
    /// Whether no name is known.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// What a name means for the unit that is being built; counts as a use of it.
    pub fn meant(&mut self, name: &[u8], building: u64) -> Meant {
        self.clock += 1;
        let Some(slot) = self.slots.get_mut(name) else { return Meant::Nothing };
        slot.used = self.clock;
        match (slot.unit, slot.is, slot.statement) {
            (Some(unit), _, _) if unit != building => Meant::Unanswered,
            (_, Is::Statement, Some(statement)) => Meant::Statement(statement),
            (_, Is::Statement | Is::Unknown, _) => Meant::Unknown,
            (_, Is::Gone, _) => Meant::Nothing,
        }
    }

    fn set(&mut self, statements: &mut Statements, name: &[u8], slot: Slot) {
        self.clock += 1;
        if let Some(new) = slot.statement {
            statements.retain(new);
        }
        let slot = Slot { used: self.clock, ..slot };
        if let Some(Slot { statement: Some(old), .. }) = self.slots.insert(name.into(), slot) {
            statements.release(old);
        }
    }

    /// A statement is being prepared under this name in unit `unit`; `local`: in a transaction that
    /// has parameters of its own.
    pub fn sent(
        &mut self,
        statements: &mut Statements,
        name: &[u8],
        statement: StatementId,
        (unit, local): (u64, bool),
    ) {
        let (is, statement) = (Is::Statement, Some(statement));
        self.set(statements, name, Slot { is, statement, unit: Some(unit), local, used: 0 });
    }

    /// A statement has been prepared under this name.
    pub fn prepared(
        &mut self,
        statements: &mut Statements,
        name: &[u8],
        statement: StatementId,
        local: bool,
    ) {
        let (is, statement) = (Is::Statement, Some(statement));
        self.set(statements, name, Slot { is, statement, unit: None, local, used: 0 });
    }

    /// A Close, or what drops it, is being sent in unit `unit`.
    pub fn closing(&mut self, statements: &mut Statements, name: &[u8], unit: u64) {
        let unit = Some(unit);
        self.set(
            statements,
            name,
            Slot { is: Is::Gone, statement: None, unit, local: false, used: 0 },
        );
    }

    /// Whatever stands there is no client's, or may be.
    pub fn doubt(&mut self, statements: &mut Statements, name: &[u8]) {
        let (is, unit) = (Is::Unknown, None);
        self.set(statements, name, Slot { is, statement: None, unit, local: false, used: 0 });
    }

    /// Nothing stands there any more.
    pub fn dropped(&mut self, statements: &mut Statements, name: &[u8]) {
        if let Some(Slot { statement: Some(old), .. }) = self.slots.remove(name) {
            statements.release(old);
        }
    }

    /// Of every name it is unknown what it means.
    pub fn doubt_all(&mut self) {
        for slot in self.slots.values_mut() {
            (slot.is, slot.unit) = (Is::Unknown, None);
        }
    }

    /// Something that was to prepare or close a statement failed, or was skipped.
    pub fn failed(&mut self) {
        for slot in self.slots.values_mut().filter(|slot| slot.unit.is_some()) {
            (slot.is, slot.unit) = (Is::Unknown, None);
        }
    }

    /// The same, of one unit; those that were sent behind it may succeed.
    pub fn failed_in(&mut self, unit: u64) {
        for slot in self.slots.values_mut().filter(|slot| slot.unit == Some(unit)) {
            (slot.is, slot.unit) = (Is::Unknown, None);
        }
    }

    /// As many units have been answered.
    pub fn answered(&mut self, units_done: u64) {
        self.slots.retain(|_, slot| {
            if slot.unit.is_none_or(|unit| unit > units_done) {
                return true;
            }
            slot.unit = None;
            slot.is != Is::Gone
        });
    }

    /// The transaction has ended, and with it the parameters that some were parsed under.
    pub fn transaction_ended(&mut self) {
        for slot in self.slots.values_mut().filter(|slot| slot.local) {
            slot.is = Is::Unknown;
        }
    }

    /// Everything was dropped but what has been prepared since [`OwnNames::doubt_all`].
    pub fn dropped_all(&mut self, statements: &mut Statements) {
        self.slots.retain(|_, slot| {
            let stays = slot.is != Is::Unknown;
            if !stays && let Some(old) = slot.statement {
                statements.release(old);
            }
            stays
        });
    }

    /// Every name is gone.
    pub fn clear(&mut self, statements: &mut Statements) {
        for (_, slot) in self.slots.drain() {
            slot.statement.into_iter().for_each(|old| statements.release(old));
        }
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.slots.keys().map(|name| &**name)
    }

    /// The names that have not been used for longest, beyond `max`.
    #[must_use]
    pub fn surplus(&self, max: usize) -> Vec<Box<[u8]>> {
        let Some(surplus) = self.slots.len().checked_sub(max).filter(|surplus| *surplus > 0) else {
            return Vec::new();
        };
        let mut by_use: Vec<_> = self.slots.iter().map(|(name, slot)| (slot.used, name)).collect();
        by_use.sort_unstable();
        by_use.into_iter().take(surplus).map(|(_, name)| name.clone()).collect()
    }

    /// Takes everything out, for another loop.
    pub fn pack(&mut self, statements: &mut Statements) -> PackedNames {
        let slots = self.slots.drain().map(|(name, slot)| {
            let known = slot.statement.filter(|_| slot.is == Is::Statement);
            let packed = known.and_then(|id| statements.pack(id));
            slot.statement.into_iter().for_each(|old| statements.release(old));
            (name, packed)
        });
        PackedNames(slots.collect())
    }

    /// What came from another loop.
    pub fn unpack(PackedNames(packed): PackedNames, statements: &mut Statements) -> Self {
        let mut names = OwnNames::default();
        for (name, packed) in packed {
            let statement = packed.map(|packed| statements.unpack(packed));
            let is = if statement.is_some() { Is::Statement } else { Is::Unknown };
            names.slots.insert(name, Slot { is, statement, unit: None, local: false, used: 0 });
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::TextEffects;

    fn two(statements: &mut Statements) -> [StatementId; 2] {
        ["a", "b"]
            .map(|text| statements.intern_sql(text.as_bytes(), b"", 0, || TextEffects::NOTHING))
    }

    #[test]
    fn what_failed_is_unknown_and_what_was_answered_stands() {
        let mut statements = Statements::default();
        let [a, b] = two(&mut statements);
        let mut own = OwnNames::default();
        own.sent(&mut statements, b"x", a, (1, false));
        assert_eq!(own.meant(b"x", 1), Meant::Statement(a));
        assert_eq!(own.meant(b"x", 2), Meant::Unanswered);
        own.answered(0);
        assert_eq!(own.meant(b"x", 2), Meant::Unanswered);
        own.answered(1);
        assert_eq!(own.meant(b"x", 2), Meant::Statement(a));
        own.closing(&mut statements, b"x", 2);
        own.sent(&mut statements, b"y", b, (2, false));
        assert_eq!(own.meant(b"x", 2), Meant::Nothing);
        own.sent(&mut statements, b"z", b, (3, false));
        own.failed_in(2);
        assert_eq!((own.meant(b"x", 3), own.meant(b"z", 3)), (Meant::Unknown, Meant::Statement(b)));
        own.failed();
        assert_eq!((own.meant(b"y", 3), own.meant(b"z", 3)), (Meant::Unknown, Meant::Unknown));
        own.dropped(&mut statements, b"z");
        own.closing(&mut statements, b"x", 3);
        own.answered(3);
        assert_eq!((own.meant(b"x", 4), own.len()), (Meant::Nothing, 1));
        own.clear(&mut statements);
        statements.release(a);
        statements.release(b);
        assert!(statements.is_empty(), "every reference was given back");
    }

    #[test]
    fn what_is_prepared_behind_deallocate_all_stays() {
        let mut statements = Statements::default();
        let [a, b] = two(&mut statements);
        let mut own = OwnNames::default();
        own.prepared(&mut statements, b"x", a, false);
        own.prepared(&mut statements, b"y", a, true);
        own.transaction_ended();
        assert_eq!(own.meant(b"y", 1), Meant::Unknown);
        own.doubt_all();
        own.sent(&mut statements, b"y", b, (1, false));
        own.dropped_all(&mut statements);
        assert_eq!((own.meant(b"x", 1), own.meant(b"y", 1)), (Meant::Nothing, Meant::Statement(b)));
        own.clear(&mut statements);
        statements.release(a);
        statements.release(b);
        assert!(statements.is_empty());
    }

    #[test]
    fn the_least_recently_used_are_the_surplus() {
        let mut statements = Statements::default();
        let [a, b] = two(&mut statements);
        let mut own = OwnNames::default();
        for name in [b"x", b"y", b"z"] {
            own.prepared(&mut statements, name, a, false);
        }
        own.meant(b"x", 1);
        assert!(own.surplus(3).is_empty());
        assert_eq!(own.surplus(1), [Box::from(&b"y"[..]), Box::from(&b"z"[..])]);
        own.clear(&mut statements);
        statements.release(a);
        statements.release(b);
        assert!(statements.is_empty());
    }
}
