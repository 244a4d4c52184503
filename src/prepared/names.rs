//! The named statements of one client, as its messages leave them.
//!
//! Names count from the moment their message is sent, for the rest of its batch builds on them: an
//! error skips both. What an error skipped is undone; what depends on an earlier batch that has not
//! been answered must wait.

use std::collections::{HashMap, VecDeque};

use super::{OwnNames, RowFormat, StatementId, Statements};
use crate::session::TextEffects;

/// Bytes of names and entries that one client may hold without keeping a server for them.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an entry costs beside its name.
const ENTRY_BYTES: usize = 96;

/// A message that changes what names mean, not answered yet.
#[derive(Debug)]
struct Change {
    what: What,
    unit: u64,
}

#[derive(Debug)]
enum What {
    /// One name; what it meant before.
    One(Box<[u8]>, Option<StatementId>),
    /// DEALLOCATE ALL; what all names meant before.
    All(Meanings),
}

/// What a statement in a text does to one name, or to all, once it has succeeded.
#[derive(Debug)]
pub enum Step {
    /// It prepares one; the text does so again elsewhere, and the effects are those of running what
    /// is prepared.
    Prepare(Box<[u8]>, Box<[u8]>, TextEffects),
    /// It drops one.
    Deallocate(Box<[u8]>),
    /// It drops all.
    DeallocateAll,
}

/// A text that was sent and has not been answered to its end.
#[derive(Debug)]
struct SentText {
    number: u32,
    unit: u64,
    /// Each with the number of its statement.
    steps: Vec<(usize, Step)>,
    succeeded: usize,
    epoch: u32,
}

/// Postgres keeps so many bytes of a name (`NAMEDATALEN` less one) and forgets the rest.
const KEPT_OF_NAME: usize = 63;

/// What a client knows of a statement that it has names for.
#[derive(Debug, Default)]
struct Known {
    names: usize,
    rows: Option<RowFormat>,
    /// Of several names, the one that it used last: errors speak of that.
    used: Option<Box<[u8]>>,
}

/// The named statements of one client. Each name holds one reference to its statement.
#[derive(Debug, Default)]
pub struct Names {
    known: Meanings,
    statements: HashMap<StatementId, Known, foldhash::fast::RandomState>,
    unanswered: VecDeque<Change>,
    /// Texts of SQL; what they do counts once it has succeeded.
    texts: VecDeque<SentText>,
    bytes: usize,
}

impl Names {
    /// What a name means.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<StatementId> {
        self.known.get(kept(name)).copied()
    }

    /// The row format that the client was last told for a statement.
    #[must_use]
    pub fn rows(&self, statement: StatementId) -> Option<RowFormat> {
        self.statements.get(&statement)?.rows
    }

    /// The client is being told a statement's row format. Whether it was told another before, or
    /// none.
    pub fn told_rows(&mut self, statement: StatementId, rows: RowFormat) -> bool {
        let Some(known) = self.statements.get_mut(&statement) else { return false };
        known.rows.replace(rows) != Some(rows)
    }

    /// Every statement that has a name.
    #[must_use]
    pub fn meant(&self) -> Vec<StatementId> {
        self.statements.keys().copied().collect()
    }

    /// As [`Names::replace`], where `new` is the same text under other parameters: what the client
    /// was told of its rows holds.
    pub fn moves(&mut self, statements: &mut Statements, old: StatementId, new: StatementId) {
        let rows = self.rows(old);
        self.replace(statements, old, new);
        if let (Some(rows), Some(known)) = (rows, self.statements.get_mut(&new)) {
            known.rows.get_or_insert(rows);
        }
    }

    /// Every name that means `old` means `new` from now on.
    pub fn replace(&mut self, statements: &mut Statements, old: StatementId, new: StatementId) {
        let names: Vec<Box<[u8]>> = self
            .known
            .iter()
            .filter(|(_, statement)| **statement == old)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            statements.retain(new);
            if let Some(old) = self.put(&name, Some(new)) {
                statements.release(old);
            }
        }
    }

    /// The client uses a statement by this name.
    pub fn uses(&mut self, name: &[u8], statement: StatementId) {
        if let Some(known) = self.statements.get_mut(&statement)
            && known.names > 1
            && known.used.as_deref() != Some(name)
        {
            known.used = Some(name.into());
        }
    }

    /// The name by which the client used this statement last, or the only one that means it or
    /// meant it before a message that has not been answered.
    #[must_use]
    pub fn name_of(&self, statement: StatementId) -> Option<&[u8]> {
        let used = self.statements.get(&statement).and_then(|known| known.used.as_deref());
        used.filter(|name| self.get(name) == Some(statement))
            .or_else(|| name_in(&self.known, statement))
            .or_else(|| {
                self.unanswered.iter().find_map(|change| match &change.what {
                    What::One(name, before) => (*before == Some(statement)).then_some(&**name),
                    What::All(before) => name_in(before, statement),
                })
            })
    }

    /// Whether another name would be one too many.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// Whether what a name means depends on a unit of work before `building` that has not been
    /// answered.
    #[must_use]
    pub fn must_wait(&self, building: u64) -> bool {
        self.unanswered.front().is_some_and(|change| change.unit < building)
            || self.texts.front().is_some_and(|text| text.unit < building)
    }

    /// Every name, and what it means.
    pub fn all(&self) -> impl Iterator<Item = (&[u8], StatementId)> {
        self.known.iter().map(|(name, statement)| (&**name, *statement))
    }

    /// A text is being sent in unit `unit` whose statements do this to names when they succeed. Its
    /// answers bring `number` back. `epoch` is that of [`Statements::intern_sql`].
    pub fn sending(&mut self, number: u32, unit: u64, epoch: u32, steps: Vec<(usize, Step)>) {
        self.texts.push_back(SentText { number, unit, steps, succeeded: 0, epoch });
    }

    /// A statement of text `number` has succeeded: for its client, whose texts are read `under`
    /// these parameters, and on its server. `local`: the transaction has parameters of its own.
    pub fn succeeded(
        &mut self,
        statements: &mut Statements,
        own: &mut OwnNames,
        number: u32,
        (under, local): (&[u8], bool),
    ) {
        let Some(text) = self.texts.iter_mut().find(|text| text.number == number) else { return };
        let statement = text.succeeded;
        let epoch = text.epoch;
        text.succeeded += 1;
        let of_it = text.steps.extract_if(.., |(number, _)| *number == statement);
        for (_, step) in of_it.collect::<Vec<_>>() {
            match step {
                Step::Prepare(name, text, effects) => {
                    let name = kept(&name);
                    let new = statements.intern_sql(&text, under, epoch, || effects);
                    if let Some(before) = self.put(name, Some(new)) {
                        statements.release(before);
                    }
                    // The reference that was taken with it is the name's.
                    own.prepared(statements, name, new, local);
                }
                Step::Deallocate(name) => {
                    let name = kept(&name);
                    if let Some(before) = self.put(name, None) {
                        statements.release(before);
                    }
                    own.dropped(statements, name);
                }
                Step::DeallocateAll => {
                    for (_, before) in std::mem::take(&mut self.known) {
                        statements.release(before);
                    }
                    self.statements = HashMap::default();
                    self.bytes = 0;
                    own.clear(statements);
                }
            }
        }
    }

    /// A name whose statement was prepared by what is to be sent again: it means nothing.
    pub fn forget(&mut self, statements: &mut Statements, name: &[u8]) {
        if let Some(before) = self.put(kept(name), None) {
            statements.release(before);
        }
    }

    /// As many units have been answered.
    #[inline]
    pub fn ready(&mut self, units_done: u64) {
        while self.texts.front().is_some_and(|text| text.unit <= units_done) {
            self.texts.pop_front();
        }
    }

    /// A message of unit `unit` that is being sent changes what a name means.
    pub fn change(
        &mut self,
        statements: &mut Statements,
        name: &[u8],
        new: Option<StatementId>,
        unit: u64,
    ) {
        let name = kept(name);
        if let Some(new) = new {
            statements.retain(new);
        }
        let before = self.put(name, new);
        self.unanswered.push_back(Change { what: What::One(name.into(), before), unit });
    }

    /// A message of unit `unit` that is being sent drops every name.
    pub fn drop_all(&mut self, unit: u64) {
        let known = std::mem::take(&mut self.known);
        self.statements = HashMap::default();
        self.bytes = 0;
        self.unanswered.push_back(Change { what: What::All(known), unit });
    }

    fn put(&mut self, name: &[u8], new: Option<StatementId>) -> Option<StatementId> {
        let before = match new {
            Some(new) => self.known.insert(name.into(), new),
            None => self.known.remove(name),
        };
        if let Some(new) = new {
            self.statements.entry(new).or_default().names += 1;
        }
        if let Some(before) = before
            && let Some(known) = self.statements.get_mut(&before)
        {
            known.names -= 1;
            if known.names == 0 {
                self.statements.remove(&before);
            }
        }
        let size = name.len() + ENTRY_BYTES;
        match (before, new) {
            (None, Some(_)) => self.bytes += size,
            (Some(_), None) => self.bytes = self.bytes.saturating_sub(size),
            (None, None) | (Some(_), Some(_)) => {}
        }
        before
    }

    /// The oldest change has been answered: it holds.
    pub fn answered(&mut self, statements: &mut Statements) {
        match self.unanswered.pop_front().map(|change| change.what) {
            Some(What::One(_, before)) => {
                before.into_iter().for_each(|before| statements.release(before));
            }
            Some(What::All(before)) => {
                before.into_values().for_each(|before| statements.release(before));
            }
            None => {}
        }
    }

    /// The oldest changes were skipped after an error: they never happened.
    pub fn undo(&mut self, statements: &mut Statements, count: usize) {
        let skipped: Vec<Change> =
            self.unanswered.drain(..count.min(self.unanswered.len())).collect();
        for change in skipped.into_iter().rev() {
            match change.what {
                What::One(name, before) => {
                    if let Some(undone) = self.put(&name, before) {
                        statements.release(undone);
                    }
                }
                // Later changes have been undone: no name is known now.
                What::All(before) => {
                    for (name, before) in before {
                        self.put(&name, Some(before));
                    }
                }
            }
        }
    }

    /// The server is gone that should have answered.
    pub fn undo_all(&mut self, statements: &mut Statements) {
        self.texts.clear();
        self.undo(statements, self.unanswered.len());
    }

    /// Every name is gone, for the session has come to its end.
    pub fn clear(&mut self, statements: &mut Statements) {
        while !self.unanswered.is_empty() {
            self.answered(statements);
        }
        for (_, statement) in self.known.drain() {
            statements.release(statement);
        }
        self.known.shrink_to_fit();
        self.statements = HashMap::default();
        self.bytes = 0;
    }
}

type Meanings = HashMap<Box<[u8]>, StatementId, foldhash::fast::RandomState>;

fn name_in(known: &Meanings, statement: StatementId) -> Option<&[u8]> {
    known.iter().find(|(_, known)| **known == statement).map(|(name, _)| &**name)
}

/// A name as far as Postgres keeps it.
#[must_use]
pub fn kept(name: &[u8]) -> &[u8] {
    name.get(..KEPT_OF_NAME).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::TextEffects;

    fn statement(statements: &mut Statements, text: &str) -> StatementId {
        let content = format!("{text}\0\0\0");
        statements.intern(content.as_bytes(), b"", || TextEffects::NOTHING)
    }

    #[test]
    fn what_an_error_skipped_never_happened() {
        let mut statements = Statements::default();
        let mut names = Names::default();
        let (a, b) = (statement(&mut statements, "a"), statement(&mut statements, "b"));
        names.change(&mut statements, b"x", Some(a), 1);
        names.answered(&mut statements);
        names.change(&mut statements, b"x", None, 2);
        names.change(&mut statements, b"x", Some(b), 2);
        names.change(&mut statements, b"y", Some(b), 2);
        assert_eq!((names.get(b"x"), names.get(b"y")), (Some(b), Some(b)));
        assert!(names.must_wait(3) && !names.must_wait(2));
        names.answered(&mut statements);
        // The Close was answered, the first Parse was not.
        names.undo(&mut statements, 2);
        assert_eq!((names.get(b"x"), names.get(b"y")), (None, None));
        statements.release(a);
        statements.release(b);
        assert!(statements.is_empty(), "every reference was given back");
    }

    #[test]
    fn the_end_gives_every_reference_back() {
        let mut statements = Statements::default();
        let mut names = Names::default();
        let a = statement(&mut statements, "a");
        for n in 0..100_u8 {
            names.change(&mut statements, &[n], Some(a), 1);
        }
        for n in 0..50_u8 {
            names.change(&mut statements, &[n], None, 1);
        }
        (0..150).for_each(|_| names.answered(&mut statements));
        assert_eq!(names.name_of(a).map(<[u8]>::len), Some(1));
        names.clear(&mut statements);
        assert_eq!((names.get(&[70]), names.bytes), (None, 0));
        statements.release(a);
        assert!(statements.is_empty());
    }

    #[test]
    fn all_names_are_dropped_at_once_and_come_back_when_that_failed() {
        let mut statements = Statements::default();
        let mut names = Names::default();
        let (a, b) = (statement(&mut statements, "a"), statement(&mut statements, "b"));
        names.change(&mut statements, b"x", Some(a), 1);
        names.change(&mut statements, b"y", Some(b), 1);
        let bytes = names.bytes;
        for skipped in [true, false] {
            names.drop_all(2);
            names.change(&mut statements, b"x", Some(b), 2);
            assert_eq!((names.get(b"x"), names.get(b"y")), (Some(b), None));
            assert!(names.must_wait(3));
            if skipped {
                names.answered(&mut statements);
                names.answered(&mut statements);
                names.undo(&mut statements, 2);
                assert_eq!((names.get(b"x"), names.get(b"y")), (Some(a), Some(b)));
                assert_eq!(names.bytes, bytes);
            } else {
                names.answered(&mut statements);
                names.answered(&mut statements);
                assert_eq!((names.get(b"x"), names.get(b"y")), (Some(b), None));
            }
        }
        names.clear(&mut statements);
        statements.release(a);
        statements.release(b);
        assert!(statements.is_empty());
    }

    #[test]
    fn an_error_speaks_of_the_name_that_was_used() {
        let mut statements = Statements::default();
        let mut names = Names::default();
        let a = statement(&mut statements, "a");
        for name in [b"x", b"y", b"z"] {
            names.change(&mut statements, name, Some(a), 1);
        }
        for name in [b"y", b"x", b"z"] {
            names.uses(name, a);
            assert_eq!(names.name_of(a), Some(&name[..]));
        }
        names.change(&mut statements, b"z", None, 1);
        assert!(names.name_of(a).is_some_and(|name| name != b"z"));
    }
}
