//! What one server has prepared under names of pgweir's.

use std::collections::HashMap;

use super::own::PackedNames;
use super::{OwnNames, Packed, RowFormat, StatementId, Statements};

/// Where a statement stands on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not been prepared.
    Absent,
    /// It is there, or was sent in the batch that is being built, whose error would skip whatever
    /// uses it as well.
    There,
    /// It was sent in an earlier batch that has not been answered.
    Unanswered,
    /// It is there, or may be, and cannot be used any more: it must be closed first.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Confirmed,
    /// Sent in this unit.
    Sent(u64),
    Stale,
}

#[derive(Debug)]
struct Slot {
    state: State,
    used: u64,
    /// In which lease of the server it was parsed.
    lease: u64,
    /// It was parsed in a transaction that had parameters of its own: nobody's afterwards.
    local: bool,
    /// The Close before its Parse was skipped: if the Parse is as well, the server still has it.
    unclosed: bool,
    /// The epoch of its Parse; see [`Repeats`](super::Repeats).
    epoch: u64,
    /// What the server says its rows look like; it keeps to that or refuses to run it.
    rows: Option<RowFormat>,
}

/// The statements of one server. Each entry holds one reference to its statement.
#[derive(Debug, Default)]
pub struct OnServer {
    slots: HashMap<StatementId, Slot, foldhash::fast::RandomState>,
    clock: u64,
    /// Something that no text shows may have prepared or closed statements: whatever is not in
    /// `slots` is closed before it is prepared.
    uncertain: bool,
    /// Those that stand there under clients' own names.
    pub own: OwnNames,
}

/// What a server has prepared, on its way to another loop.
#[derive(Debug)]
pub struct PackedStatements {
    slots: Vec<(Packed, Slot)>,
    clock: u64,
    uncertain: bool,
    own: PackedNames,
}

impl OnServer {
    /// Takes everything out, for another loop.
    pub fn pack(&mut self, statements: &mut Statements) -> PackedStatements {
        let slots = self.slots.drain().filter_map(|(id, slot)| {
            let packed = statements.pack(id);
            statements.release(id);
            Some((packed?, slot))
        });
        let slots = slots.collect();
        let own = self.own.pack(statements);
        PackedStatements { slots, clock: self.clock, uncertain: self.uncertain, own }
    }

    /// What came from another loop.
    pub fn unpack(packed: PackedStatements, statements: &mut Statements) -> Self {
        let PackedStatements { slots, clock, uncertain, own } = packed;
        let slots = slots.into_iter().map(|(packed, slot)| (statements.unpack(packed), slot));
        let slots = slots.collect();
        OnServer { slots, clock, uncertain, own: OwnNames::unpack(own, statements) }
    }

    /// Where a statement stands for the unit that is being built; counts as a use of it.
    pub fn standing(&mut self, id: StatementId, building: u64) -> Standing {
        self.clock += 1;
        match self.slots.get_mut(&id) {
            None if self.uncertain => Standing::Stale,
            None => Standing::Absent,
            Some(slot) => {
                slot.used = self.clock;
                match slot.state {
                    State::Confirmed => Standing::There,
                    State::Sent(unit) if unit == building => Standing::There,
                    State::Sent(_) => Standing::Unanswered,
                    State::Stale => Standing::Stale,
                }
            }
        }
    }

    /// A Parse of it is being sent in this unit.
    pub fn sent(&mut self, statements: &mut Statements, id: StatementId, unit: u64, lease: u64) {
        self.clock += 1;
        let (state, used) = (State::Sent(unit), self.clock);
        let slot = Slot { state, used, lease, local: false, unclosed: false, epoch: 0, rows: None };
        if self.slots.insert(id, slot).is_none() {
            statements.retain(id);
        }
    }

    /// Its Parse was answered.
    pub fn confirmed(&mut self, id: StatementId) {
        if let Some(slot) = self.slots.get_mut(&id)
            && slot.state != State::Stale
        {
            slot.state = State::Confirmed;
        }
    }

    /// The row format of a statement, as far as the server has said.
    #[must_use]
    pub fn rows(&self, id: StatementId) -> Option<RowFormat> {
        self.slots.get(&id)?.rows
    }

    /// A client was told another row format than the server's. Where the server parsed the statement
    /// for somebody before this lease, the text is read anew: it may agree with the client then.
    pub fn differs(&mut self, id: StatementId, lease: u64) {
        if let Some(slot) = self.slots.get_mut(&id)
            && slot.lease != lease
        {
            slot.state = State::Stale;
        }
    }

    /// The server has said what the rows of a statement look like.
    pub fn told_rows(&mut self, id: StatementId, rows: RowFormat) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.rows = Some(rows);
        }
    }

    /// Its Parse failed or was skipped.
    pub fn not_parsed(&mut self, statements: &mut Statements, id: StatementId) {
        match self.slots.get_mut(&id) {
            Some(slot) if slot.unclosed => slot.state = State::Stale,
            Some(_) => self.gone(statements, id),
            None => {}
        }
    }

    /// A Close of it has been sent.
    pub fn gone(&mut self, statements: &mut Statements, id: StatementId) {
        if self.slots.remove(&id).is_some() {
            statements.release(id);
        }
    }

    /// The server says that it cannot be used any more.
    pub fn spoilt(&mut self, id: StatementId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.state = State::Stale;
        }
    }

    /// It is parsed under parameters that end with the transaction.
    pub fn is_local(&mut self, id: StatementId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.local = true;
        }
    }

    /// It is parsed in this epoch.
    pub fn set_epoch(&mut self, id: StatementId, epoch: u64) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.epoch = epoch;
        }
    }

    /// Whether it was parsed in this epoch.
    #[must_use]
    pub fn is_of(&self, id: StatementId, epoch: u64) -> bool {
        self.slots.get(&id).is_some_and(|slot| slot.epoch == epoch)
    }

    /// The transaction has ended, and with it the parameters that some were parsed under.
    pub fn transaction_ended(&mut self) {
        self.own.transaction_ended();
        for slot in self.slots.values_mut().filter(|slot| slot.local) {
            slot.state = State::Stale;
        }
    }

    /// Every statement is gone.
    pub fn clear(&mut self, statements: &mut Statements) {
        for (id, _) in self.slots.drain() {
            statements.release(id);
        }
        self.own.clear(statements);
        self.uncertain = false;
    }

    /// DEALLOCATE ALL or DISCARD ALL is being sent: what is used behind it is closed and prepared
    /// anew.
    pub fn dropping_all(&mut self) {
        self.own.doubt_all();
        for slot in self.slots.values_mut() {
            slot.state = State::Stale;
        }
    }

    /// DEALLOCATE ALL or DISCARD ALL has run.
    pub fn dropped_all(&mut self, statements: &mut Statements) {
        self.own.dropped_all(statements);
        self.slots.retain(|&id, slot| {
            let again = slot.state != State::Stale;
            if !again {
                statements.release(id);
            }
            again
        });
    }

    /// The server may have statements under names of pgweir's that are not in here, or not have some
    /// that are.
    pub fn doubt(&mut self) {
        for slot in self.slots.values_mut() {
            slot.state = State::Stale;
        }
        self.uncertain = true;
    }

    /// Whether the server may have statements that nobody here knows of.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    /// A Close was skipped: the server still has the statement, and it counts among those that it
    /// has.
    pub fn close_skipped(&mut self, statements: &mut Statements, id: StatementId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            // Its Parse stands behind the Close.
            slot.unclosed = true;
            return;
        }
        let (state, used) = (State::Stale, self.clock);
        let slot =
            Slot { state, used, lease: 0, local: false, unclosed: true, epoch: 0, rows: None };
        self.slots.insert(id, slot);
        statements.retain(id);
    }

    /// Takes out those that have not been used for the longest time when there are `max` or more,
    /// a sixteenth at a time. The references go to whoever sends the Closes.
    pub fn make_room(&mut self, max: usize) -> Vec<StatementId> {
        if self.slots.len() < max {
            return Vec::new();
        }
        let mut by_use: Vec<(u64, StatementId)> =
            self.slots.iter().map(|(id, slot)| (slot.used, *id)).collect();
        let surplus = by_use.len() - max + 1 + max / 16;
        let last = surplus.min(by_use.len()) - 1;
        by_use.select_nth_unstable_by_key(last, |(used, _)| *used);
        by_use.truncate(last + 1);
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, id) in &by_use {
            self.slots.remove(id);
        }
        by_use.into_iter().map(|(_, id)| id).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::TextEffects;

    fn some(statements: &mut Statements, count: usize) -> Vec<StatementId> {
        let content = |n: usize| format!("select {n}\0\0\0").into_bytes();
        (0..count).map(|n| statements.intern(&content(n), b"", || TextEffects::NOTHING)).collect()
    }

    #[test]
    fn a_statement_may_be_used_once_its_parse_is_answered_or_in_the_same_batch() {
        let mut statements = Statements::default();
        let id = some(&mut statements, 1)[0];
        let mut on_server = OnServer::default();
        assert_eq!(on_server.standing(id, 1), Standing::Absent);
        on_server.sent(&mut statements, id, 1, 1);
        assert_eq!(on_server.standing(id, 1), Standing::There);
        assert_eq!(on_server.standing(id, 2), Standing::Unanswered);
        on_server.confirmed(id);
        assert_eq!(on_server.standing(id, 2), Standing::There);
        on_server.spoilt(id);
        assert_eq!(on_server.standing(id, 2), Standing::Stale);
        on_server.doubt();
        assert_eq!(on_server.standing(id, 2), Standing::Stale);
        on_server.clear(&mut statements);
        statements.release(id);
        assert!(statements.is_empty());
    }

    #[test]
    fn what_may_still_be_there_counts_and_is_closed_first() {
        let mut statements = Statements::default();
        let ids = some(&mut statements, 3);
        let mut on_server = OnServer::default();
        for &id in &ids {
            on_server.sent(&mut statements, id, 1, 1);
            on_server.confirmed(id);
        }
        // A Close alone, and one before another Parse, behind an error.
        on_server.gone(&mut statements, ids[0]);
        on_server.gone(&mut statements, ids[1]);
        on_server.sent(&mut statements, ids[1], 2, 1);
        on_server.close_skipped(&mut statements, ids[0]);
        on_server.close_skipped(&mut statements, ids[1]);
        on_server.not_parsed(&mut statements, ids[1]);
        assert_eq!(on_server.len(), 3);
        assert_eq!(on_server.standing(ids[0], 3), Standing::Stale);
        assert_eq!(on_server.standing(ids[1], 3), Standing::Stale);
        // And the rest of them, when something has run that may have dropped some.
        on_server.doubt();
        assert_eq!(on_server.standing(ids[2], 3), Standing::Stale);
        assert_eq!(on_server.make_room(1), ids);
        ids.iter().for_each(|&id| statements.release(id));
        ids.into_iter().for_each(|id| statements.release(id));
        assert!(statements.is_empty());
    }

    #[test]
    fn what_is_prepared_behind_deallocate_all_stays() {
        let mut statements = Statements::default();
        let ids = some(&mut statements, 2);
        let mut on_server = OnServer::default();
        for &id in &ids {
            on_server.sent(&mut statements, id, 1, 1);
            on_server.confirmed(id);
        }
        on_server.dropping_all();
        assert_eq!(on_server.standing(ids[0], 1), Standing::Stale);
        on_server.gone(&mut statements, ids[0]);
        on_server.sent(&mut statements, ids[0], 1, 1);
        on_server.dropped_all(&mut statements);
        assert_eq!(on_server.standing(ids[0], 1), Standing::There);
        assert_eq!(on_server.standing(ids[1], 1), Standing::Absent);
        on_server.clear(&mut statements);
        ids.into_iter().for_each(|id| statements.release(id));
        assert!(statements.is_empty());
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let mut statements = Statements::default();
        let ids = some(&mut statements, 40);
        let mut on_server = OnServer::default();
        for &id in &ids {
            on_server.sent(&mut statements, id, 1, 1);
            on_server.confirmed(id);
        }
        assert!(on_server.make_room(41).is_empty());
        on_server.standing(ids[0], 2);
        assert_eq!(on_server.make_room(40), ids[1..4]);
        assert_eq!(on_server.make_room(1).len(), 37);
        assert!(on_server.is_empty());
    }
}
