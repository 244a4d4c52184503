//! Prepared statements by content: one entry for each text, its parameter types and the parameters
//! that it is read under, shared by everyone who knows it; what one client calls them, and what one
//! server has of them.
//!
//! Deliberately absent: when a Parse is sent, and to whom.

use std::collections::HashMap;
use std::sync::Arc;

use crate::session::TextEffects;
use crate::wire::build;
use crate::wire::frame::split_cstr;

mod names;
mod numbers;
mod on_server;
mod own;
mod repeats;
mod rows;
mod texts;

pub use names::{Names, Step, kept};
pub use numbers::Numbers;
pub use on_server::{OnServer, PackedStatements, Standing};
pub use own::{Meant, OwnNames};
pub use repeats::Repeats;
pub use rows::RowFormat;
pub use texts::{Known, Texts};

/// What statements are told apart by: everything behind the name in a Parse message (text, NUL,
/// count and oids of the types), then the session's parameters. The first part says itself where it
/// ends.
type Key = Arc<[u8]>;

/// Bytes of texts that one loop's table may hold.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Stands behind the parameters in the key of a statement that servers keep for unnamed ones. No
/// parameter has an empty name.
const UNNAMED: &[u8] = b"\0";

/// Stands in place of the types' count behind a text that is itself the PREPARE: no Parse has it.
const BY_SQL: [u8; 2] = [0xFF; 2];

/// What an entry costs beside its key.
const ENTRY_BYTES: usize = 128;

/// A statement's content in the table of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatementId(u32);

/// How the names begin that servers know statements by.
pub const PREFIX: &[u8] = b"_pgweir_";

/// Digits of the largest number.
const LONGEST_NAME: usize = PREFIX.len() + 20;

/// A statement's name on servers.
#[derive(Clone, Copy, Debug)]
pub struct ServerName {
    bytes: [u8; LONGEST_NAME],
    start: usize,
}

impl ServerName {
    fn of(number: u64) -> Self {
        let mut name = ServerName { bytes: [0; LONGEST_NAME], start: LONGEST_NAME };
        let mut rest = number;
        loop {
            name.start -= 1;
            name.bytes[name.start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        name.start -= PREFIX.len();
        name.bytes[name.start..name.start + PREFIX.len()].copy_from_slice(PREFIX);
        name
    }

    /// The number in a name of ours.
    fn number(name: &[u8]) -> Option<u64> {
        std::str::from_utf8(name.strip_prefix(PREFIX)?).ok()?.parse().ok()
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

fn put_together<'a>(scratch: &'a mut Vec<u8>, parts: &[&[u8]]) -> &'a [u8] {
    scratch.clear();
    parts.iter().for_each(|part| scratch.extend_from_slice(part));
    scratch
}

/// A statement as it was at some time: its place may be another's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    id: StatementId,
    serial: u32,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// Tells it apart from others that had its place.
    serial: u32,
    content_len: usize,
    effects: TextEffects,
    /// See [`Statements::sql_text`].
    by_sql: bool,
    references: u32,
    /// Parameter types as a server has described them, where the client left some open.
    described: Option<Box<[u8]>>,
    /// What servers know it by, once one does.
    number: Option<u64>,
    /// See [`Statements::note`].
    note: Option<(u64, u8)>,
}

/// A statement on its way to another loop.
#[derive(Debug)]
struct Packed {
    key: Key,
    content_len: usize,
    effects: TextEffects,
    described: Option<Box<[u8]>>,
    number: u64,
    /// Whoever prepares its text gets this one.
    current: bool,
}

/// The statements of one loop, counted by reference; one that nobody knows any more is forgotten.
#[derive(Debug, Default)]
pub struct Statements {
    by_key: HashMap<Key, StatementId, foldhash::fast::RandomState>,
    entries: slab::Slab<Entry>,
    by_number: HashMap<u64, StatementId, foldhash::fast::RandomState>,
    numbers: Arc<Numbers>,
    bytes: usize,
    /// Of the entry made last.
    serial: u32,
    /// Where keys of more than one part are put together.
    scratch: Vec<u8>,
}

impl Statements {
    /// An empty table whose statements bear the numbers that they have in all tables.
    #[must_use]
    pub fn numbered(numbers: Arc<Numbers>) -> Self {
        Statements { numbers, ..Statements::default() }
    }

    /// Finds or enters a statement and takes one reference to it. Statements with equal content are
    /// the same only under the same parameters: the search path decides what the names in the text
    /// mean, the time zone what a literal does, the encoding what each byte does. `under` is
    /// [`ParamSet::dialect`](crate::session::ParamSet::dialect).
    ///
    /// `effects` reads what its text does; it is asked for a new entry only.
    pub fn intern(
        &mut self,
        content: &[u8],
        under: &[u8],
        effects: impl FnOnce() -> TextEffects,
    ) -> StatementId {
        let mut scratch = std::mem::take(&mut self.scratch);
        let key =
            if under.is_empty() { content } else { put_together(&mut scratch, &[content, under]) };
        let id = match self.by_key.get(key) {
            Some(&id) => {
                self.retain(id);
                id
            }
            None => self.enter(key.into(), content.len(), effects()),
        };
        self.scratch = scratch;
        id
    }

    /// Finds the statement that servers keep for unnamed ones with this content, and takes one
    /// reference to it. It is none that has a name among clients: what one of those has learned, of
    /// its parameters' types for one, does not hold for a text that is to be read anew.
    pub fn repeated(&mut self, content: &[u8], under: &[u8]) -> Option<StatementId> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let key = put_together(&mut scratch, &[content, under, UNNAMED]);
        let id = self.by_key.get(key).copied();
        self.scratch = scratch;
        id.inspect(|&id| self.retain(id))
    }

    /// As [`Statements::repeated`], entered where it is not known.
    pub fn repeat(&mut self, content: &[u8], under: &[u8], effects: TextEffects) -> StatementId {
        self.repeated(content, under).unwrap_or_else(|| {
            let key = [content, under, UNNAMED].concat();
            self.enter(key.into(), content.len(), effects)
        })
    }

    /// As [`Statements::intern`], of a statement that is prepared by running a text of SQL. `epoch`
    /// tells apart what was prepared before and behind a change of the catalog.
    pub fn intern_sql(
        &mut self,
        text: &[u8],
        under: &[u8],
        epoch: u32,
        effects: impl FnOnce() -> TextEffects,
    ) -> StatementId {
        let content = [text, b"\0", &BY_SQL, &epoch.to_be_bytes()].concat();
        self.intern(&content, under, effects)
    }

    /// The text that prepares a statement when it is run, where it is one of SQL.
    #[must_use]
    pub fn sql_text(&self, id: StatementId) -> Option<&[u8]> {
        let entry = self.entries.get(id.0 as usize).filter(|entry| entry.by_sql)?;
        split_cstr(&entry.key).map(|(text, _)| text)
    }

    fn enter(&mut self, key: Key, content_len: usize, effects: TextEffects) -> StatementId {
        self.bytes += key.len() + ENTRY_BYTES;
        let by_sql = split_cstr(&key).is_some_and(|(_, types)| types.starts_with(&BY_SQL));
        self.serial = self.serial.wrapping_add(1);
        let entry = Entry {
            key: key.clone(),
            serial: self.serial,
            content_len,
            effects,
            by_sql,
            references: 1,
            described: None,
            number: None,
            note: None,
        };
        let index = u32::try_from(self.entries.insert(entry)).expect("fewer than 2^32 statements");
        self.by_key.insert(key, StatementId(index));
        StatementId(index)
    }

    /// What servers call it.
    #[must_use]
    pub fn server_name(&mut self, id: StatementId) -> ServerName {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else { return ServerName::of(0) };
        let number = *entry.number.get_or_insert_with(|| {
            let current = self.by_key.get(&entry.key) == Some(&id);
            let number = if current { self.numbers.take(&entry.key) } else { self.numbers.next() };
            self.by_number.insert(number, id);
            number
        });
        ServerName::of(number)
    }

    /// The statement that servers call `name`, if it is a name of ours.
    #[must_use]
    pub fn called(&self, name: &[u8]) -> Option<StatementId> {
        self.by_number.get(&ServerName::number(name)?).copied()
    }

    /// A statement for another loop, with the number that servers know it by.
    fn pack(&mut self, id: StatementId) -> Option<Packed> {
        let name = self.server_name(id);
        let number = ServerName::number(name.as_bytes())?;
        let entry = self.entries.get(id.0 as usize)?;
        let Entry { key, content_len, effects, described, .. } = entry;
        // Held while it is under way, so that nobody else gets it.
        let current = self.by_key.get(key) == Some(&id) && self.numbers.adopt(key, number);
        let (key, described) = (key.clone(), described.clone());
        let (content_len, effects) = (*content_len, *effects);
        Some(Packed { key, content_len, effects, described, number, current })
    }

    /// Enters a statement of another loop's under its number, and takes one reference to it.
    fn unpack(&mut self, packed: Packed) -> StatementId {
        let Packed { key, content_len, effects, described, number, current } = packed;
        if let Some(&known) = self.by_number.get(&number) {
            if current {
                self.numbers.give_back(&key, number);
            }
            self.retain(known);
            return known;
        }
        let current = current && self.numbers.is_current(&key, number);
        let id = match self.by_key.get(&key) {
            // It has no number yet.
            Some(&known) if current && self.entries[known.0 as usize].number.is_none() => {
                self.retain(known);
                known
            }
            other => {
                let before = other.copied();
                let id = self.enter(key.clone(), content_len, effects);
                // It has the place under its text if everyone gets it who prepares that from now on.
                match before {
                    Some(before) if !current => drop(self.by_key.insert(key, before)),
                    None if !current => drop(self.by_key.remove(&key)),
                    Some(_) | None => {}
                }
                id
            }
        };
        self.entries[id.0 as usize].number = Some(number);
        self.by_number.insert(number, id);
        if let Some(types) = described {
            self.described(id, &types);
        }
        id
    }

    /// Whether another statement would be one too many: whoever brings it keeps it on a server of
    /// its own.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// A statement's result type has changed under those who know it: whoever prepares the same
    /// text from now on gets another entry.
    pub fn spoil(&mut self, id: StatementId) {
        if let Some(entry) = self.entries.get(id.0 as usize)
            && self.by_key.get(&entry.key) == Some(&id)
        {
            if let Some(number) = entry.number {
                self.numbers.spoil(&entry.key, number);
            }
            self.by_key.remove(&entry.key);
        }
    }

    /// A statement could not be parsed. Where types were described for it, they may be the reason:
    /// whoever prepares the same text from now on gets another entry, as written.
    pub fn parse_failed(&mut self, id: StatementId) {
        if self.entries.get(id.0 as usize).is_some_and(|entry| entry.described.is_some()) {
            self.spoil(id);
        }
    }

    /// The entry that a new Parse of the same statement gets, with one reference to it. Parameters
    /// keep the types that were described: clients may send values in binary.
    pub fn intern_again(&mut self, id: StatementId) -> Option<StatementId> {
        let entry = self.entries.get(id.0 as usize)?;
        let (key, content_len, effects) = (entry.key.clone(), entry.content_len, entry.effects);
        let described = entry.described.clone();
        if let Some(&known) = self.by_key.get(&key) {
            self.retain(known);
            return Some(known);
        }
        let new = self.enter(key, content_len, effects);
        if let Some(types) = described {
            self.described(new, &types);
        }
        Some(new)
    }

    /// The entry of the same statement under other parameters, with one reference to it.
    pub fn intern_under(&mut self, id: StatementId, under: &[u8]) -> Option<StatementId> {
        let entry = self.entries.get(id.0 as usize)?;
        let content = entry.key[..entry.content_len].to_vec();
        let (effects, described) = (entry.effects, entry.described.clone());
        let new = self.intern(&content, under, || effects);
        if let Some(types) = described {
            self.described(new, &types);
        }
        Some(new)
    }

    /// A server has said what the parameters' types are: count and oids, as in a Parse.
    pub fn described(&mut self, id: StatementId, types: &[u8]) {
        let Some(entry) = self.entries.get_mut(id.0 as usize) else { return };
        let content = &entry.key[..entry.content_len];
        let given = split_cstr(content).map_or(&b""[..], |(_, types)| types);
        if entry.described.is_none() && given != types {
            self.bytes += types.len();
            entry.described = Some(types.into());
        }
    }

    /// Whether it is prepared by running a text of SQL.
    #[must_use]
    #[inline]
    pub fn is_sql(&self, id: StatementId) -> bool {
        self.entries.get(id.0 as usize).is_some_and(|entry| entry.by_sql)
    }

    /// Writes the Parse that gives a server this statement under `name`: with the parameter types
    /// that were described elsewhere, so that values in binary mean the same everywhere.
    pub fn write_parse(&self, out: &mut Vec<u8>, id: StatementId, name: &[u8]) {
        let content = self.content(id);
        match (self.entries.get(id.0 as usize).and_then(|e| e.described.as_deref()), content) {
            (Some(types), content) => {
                let text = split_cstr(content).map_or(content, |(text, _)| text);
                build::parse(out, name, &[text, b"\0", types].concat());
            }
            (None, content) => build::parse(out, name, content),
        }
    }

    /// Takes one more reference.
    pub fn retain(&mut self, id: StatementId) {
        if let Some(entry) = self.entries.get_mut(id.0 as usize) {
            entry.references += 1;
        }
    }

    /// Gives one reference back.
    pub fn release(&mut self, id: StatementId) {
        let index = id.0 as usize;
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.references -= 1;
        if entry.references == 0 {
            let entry = self.entries.remove(index);
            let described = entry.described.map_or(0, |types| types.len());
            self.bytes = self.bytes.saturating_sub(entry.key.len() + ENTRY_BYTES + described);
            if self.by_key.get(&entry.key) == Some(&id) {
                self.by_key.remove(&entry.key);
            }
            if let Some(number) = entry.number {
                self.by_number.remove(&number);
                self.numbers.give_back(&entry.key, number);
            }
        }
    }

    /// Gives `old` back and takes a reference to `new`, as an assignment would.
    pub fn assign(&mut self, place: &mut Option<StatementId>, new: Option<StatementId>) {
        if *place == new {
            return;
        }
        if let Some(new) = new {
            self.retain(new);
        }
        if let Some(old) = std::mem::replace(place, new) {
            self.release(old);
        }
    }

    /// What was noted of a statement, if that was with this number.
    #[must_use]
    #[inline]
    pub fn noted(&self, id: StatementId, number: u64) -> Option<u8> {
        let (known, note) = self.entries.get(id.0 as usize)?.note?;
        (known == number).then_some(note)
    }

    /// Notes something of a statement: one thing, which holds as long as nothing else is noted.
    pub fn note(&mut self, id: StatementId, number: u64, note: u8) {
        if let Some(entry) = self.entries.get_mut(id.0 as usize) {
            entry.note = Some((number, note));
        }
    }

    /// Text, NUL and types.
    #[must_use]
    pub fn content(&self, id: StatementId) -> &[u8] {
        self.entries.get(id.0 as usize).map_or(b"", |entry| &entry.key[..entry.content_len])
    }

    /// Its text.
    #[must_use]
    pub fn text(&self, id: StatementId) -> &[u8] {
        self.content(id).split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Something to find a statement by later, without a reference to it.
    #[must_use]
    #[inline]
    pub fn mark(&self, id: StatementId) -> Option<Mark> {
        let entry = self.entries.get(id.0 as usize)?;
        Some(Mark { id, serial: entry.serial })
    }

    /// [`Statements::text`] of what was marked, unless it is gone.
    #[must_use]
    pub fn marked(&self, mark: Mark) -> Option<&[u8]> {
        let entry = self.entries.get(mark.id.0 as usize)?;
        (entry.serial == mark.serial).then(|| self.text(mark.id))
    }

    /// What its text does.
    #[must_use]
    pub fn effects(&self, id: StatementId) -> TextEffects {
        self.entries.get(id.0 as usize).map_or(TextEffects::NOTHING, |entry| entry.effects)
    }

    /// How many different statements are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::Ending;

    fn effects(commits: bool) -> TextEffects {
        let ending = if commits { Ending::Commit } else { Ending::No };
        TextEffects { ending, ..TextEffects::NOTHING }
    }

    #[test]
    fn a_statement_lives_as_long_as_somebody_refers_to_it() {
        let mut statements = Statements::default();
        let a = statements.intern(b"select 1\0\0\0", b"", || effects(false));
        let b = statements.intern(b"select 1\0\0\0", b"", || unreachable!("known already"));
        assert_eq!(a, b);
        let other = statements.intern(b"commit\0\0\0", b"", || effects(true));
        assert_eq!(statements.effects(other), effects(true));
        assert_eq!(statements.effects(a), effects(false));
        let mut place = None;
        statements.assign(&mut place, Some(a));
        statements.release(a);
        statements.release(b);
        assert_eq!(statements.content(a), b"select 1\0\0\0");
        statements.assign(&mut place, Some(other));
        assert_eq!(statements.len(), 1);
        statements.assign(&mut place, None);
        statements.release(other);
        assert!(statements.is_empty());
    }

    #[test]
    fn parameters_tell_statements_apart() {
        let mut statements = Statements::default();
        let mut under =
            |path: &[u8]| statements.intern(b"select 1\0\0\0", path, || TextEffects::NOTHING);
        let (a, b, c) = (under(b""), under(b"tenant"), under(b"tenant"));
        assert!(a != b && b == c);
        assert_eq!(statements.content(b), b"select 1\0\0\0");
        [a, b, c].into_iter().for_each(|id| statements.release(id));
        assert!(statements.is_empty());
        assert_eq!(statements.bytes, 0);
    }

    #[test]
    fn what_is_kept_for_unnamed_statements_is_nobody_elses() {
        let mut statements = Statements::default();
        let content = b"select $1\0\0\0";
        let named = statements.intern(content, b"a\0b\0", || TextEffects::NOTHING);
        assert_eq!(statements.repeated(content, b"a\0b\0"), None);
        let unnamed = statements.repeat(content, b"a\0b\0", TextEffects::NOTHING);
        assert_ne!(named, unnamed);
        assert_eq!(statements.content(unnamed), content);
        assert_eq!(statements.repeated(content, b"a\0b\0"), Some(unnamed));
        assert_eq!(statements.repeated(content, b""), None);
        [named, unnamed, unnamed].into_iter().for_each(|id| statements.release(id));
        assert!(statements.is_empty());
        assert_eq!(statements.bytes, 0);
    }

    #[test]
    fn described_types_go_with_the_statement() {
        let mut statements = Statements::default();
        let id = statements.intern(b"select $1\0\0\0", b"", || TextEffects::NOTHING);
        let mut out = Vec::new();
        statements.write_parse(&mut out, id, b"x");
        assert_eq!(out, b"P\0\0\0\x12x\0select $1\0\0\0");
        statements.described(id, b"\0\x01\0\0\0\x17");
        out.clear();
        statements.write_parse(&mut out, id, b"x");
        assert_eq!(out, b"P\0\0\0\x16x\0select $1\0\0\x01\0\0\0\x17");
        statements.release(id);
        assert_eq!(statements.bytes, 0);
    }

    #[test]
    fn server_names_are_read_back() {
        for number in [0, 7, 10, u64::MAX] {
            let name = ServerName::of(number);
            assert_eq!(name.as_bytes(), format!("_pgweir_{number}").as_bytes());
            assert_eq!(ServerName::number(name.as_bytes()), Some(number));
        }
        assert_eq!(ServerName::number(b"_pgweir_"), None);
        assert_eq!(ServerName::number(b"mine"), None);
    }

    fn enter(statements: &mut Statements, text: &str) -> StatementId {
        statements.intern(format!("{text}\0\0\0").as_bytes(), b"", || TextEffects::NOTHING)
    }

    fn name(statements: &mut Statements, id: StatementId) -> Vec<u8> {
        statements.server_name(id).as_bytes().to_vec()
    }

    #[test]
    fn a_statement_has_one_name_on_all_loops() {
        let numbers = Arc::new(Numbers::default());
        let mut here = Statements::numbered(numbers.clone());
        let mut there = Statements::numbered(numbers.clone());
        let a = enter(&mut here, "select 1");
        let other = enter(&mut there, "select 2");
        let b = enter(&mut there, "select 1");
        assert_ne!(name(&mut here, a), name(&mut there, other));
        assert_eq!(name(&mut here, a), name(&mut there, b));
        assert_eq!(there.called(&name(&mut here, a)), Some(b));
        // One that is prepared anew is another one, everywhere from now on.
        let old = name(&mut here, a);
        here.spoil(a);
        let again = enter(&mut here, "select 1");
        let new = name(&mut here, again);
        assert_ne!(new, old);
        assert_eq!(name(&mut there, b), old);
        let packed = here.pack(again).unwrap();
        let arrived = there.unpack(packed);
        assert_ne!(arrived, b);
        assert_eq!(name(&mut there, arrived), new);
        for id in [a, again] {
            here.release(id);
        }
        for id in [other, b, arrived] {
            there.release(id);
        }
        assert!(here.is_empty() && there.is_empty() && numbers.is_empty());
        assert_eq!((here.bytes, there.bytes), (0, 0));
    }

    #[test]
    fn a_statement_of_another_loop_is_found_by_its_text() {
        let numbers = Arc::new(Numbers::default());
        let mut here = Statements::numbered(numbers.clone());
        let mut there = Statements::numbered(numbers.clone());
        let a = enter(&mut here, "select $1");
        here.described(a, b"\0\x01\0\0\0\x17");
        let known = enter(&mut there, "select $1");
        let packed = here.pack(a).unwrap();
        here.release(a);
        assert!(here.is_empty());
        assert_eq!(there.unpack(packed), known);
        assert_eq!(enter(&mut there, "select $1"), known);
        let mut out = Vec::new();
        there.write_parse(&mut out, known, b"x");
        assert!(out.ends_with(b"\0\x01\0\0\0\x17"));
        for _ in 0..3 {
            there.release(known);
        }
        assert!(there.is_empty() && numbers.is_empty());
        assert_eq!(there.bytes, 0);
    }

    #[test]
    fn two_loops_that_read_a_text_anew_do_not_give_two_statements_one_name() {
        let numbers = Arc::new(Numbers::default());
        let mut here = Statements::numbered(numbers.clone());
        let mut there = Statements::numbered(numbers.clone());
        let (a, b) = (enter(&mut here, "select 1"), enter(&mut there, "select 1"));
        assert_eq!(name(&mut here, a), name(&mut there, b));
        here.spoil(a);
        let again = here.intern_again(a).unwrap();
        name(&mut here, again);
        let packed = here.pack(again).unwrap();
        let arrived = there.unpack(packed);
        there.spoil(b);
        let there_again = there.intern_again(b).unwrap();
        assert!(
            there_again == arrived || name(&mut there, there_again) != name(&mut there, arrived)
        );
        [a, again].into_iter().for_each(|id| here.release(id));
        [b, arrived, there_again].into_iter().for_each(|id| there.release(id));
        assert!(here.is_empty() && there.is_empty() && numbers.is_empty());
    }

    /// What can happen to one text on three loops.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Enter(usize),
        Spoil(usize),
        Again(usize, bool),
        Release(usize),
        Pack(usize, usize, bool),
        Unpack(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_usize).prop_map(Step::Enter),
            any::<usize>().prop_map(Step::Spoil),
            (any::<usize>(), any::<bool>()).prop_map(|(n, name)| Step::Again(n, name)),
            any::<usize>().prop_map(Step::Release),
            (any::<usize>(), 1..3_usize, any::<bool>())
                .prop_map(|(n, on, go)| Step::Pack(n, on, go)),
            any::<usize>().prop_map(Step::Unpack),
        ]
    }

    proptest! {
        #[test]
        fn no_two_statements_of_a_loop_have_one_name(
            steps in proptest::collection::vec(step(), 1..60),
        ) {
            let numbers = Arc::new(Numbers::default());
            let mut loops: Vec<_> = (0..3).map(|_| Statements::numbered(numbers.clone())).collect();
            let mut held: Vec<(usize, StatementId)> = Vec::new();
            let mut under_way: Vec<(usize, Packed)> = Vec::new();
            for step in steps {
                let some = |n: usize| (!held.is_empty()).then(|| n % held.len());
                match step {
                    Step::Enter(at) => {
                        let id = enter(&mut loops[at], "select 1");
                        name(&mut loops[at], id);
                        held.push((at, id));
                    }
                    Step::Spoil(n) => {
                        if let Some((at, id)) = some(n).map(|n| held[n]) {
                            loops[at].spoil(id);
                        }
                    }
                    Step::Again(n, named) => {
                        if let Some((at, id)) = some(n).map(|n| held[n]) {
                            let new = loops[at].intern_again(id).unwrap();
                            if named {
                                name(&mut loops[at], new);
                            }
                            held.push((at, new));
                        }
                    }
                    Step::Release(n) => {
                        if let Some(n) = some(n) {
                            let (at, id) = held.swap_remove(n);
                            loops[at].release(id);
                        }
                    }
                    Step::Pack(n, on, gone) => {
                        if let Some(n) = some(n) {
                            let (at, id) = held[n];
                            under_way.push(((at + on) % 3, loops[at].pack(id).unwrap()));
                            if gone {
                                held.swap_remove(n);
                                loops[at].release(id);
                            }
                        }
                    }
                    Step::Unpack(n) => {
                        if !under_way.is_empty() {
                            let (to, packed) = under_way.swap_remove(n % under_way.len());
                            held.push((to, loops[to].unpack(packed)));
                        }
                    }
                }
                for statements in &loops {
                    let given: Vec<u64> =
                        statements.entries.iter().filter_map(|(_, entry)| entry.number).collect();
                    let different: std::collections::HashSet<_> = given.iter().collect();
                    prop_assert_eq!(different.len(), given.len());
                    prop_assert_eq!(statements.by_number.len(), given.len());
                }
            }
            for (at, id) in held {
                loops[at].release(id);
            }
            for (to, packed) in under_way {
                let id = loops[to].unpack(packed);
                loops[to].release(id);
            }
            prop_assert!(loops.iter().all(|of| of.is_empty() && of.by_key.is_empty()));
            prop_assert!(numbers.is_empty());
        }
    }
}
