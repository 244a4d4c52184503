//! What became of texts that have come before: whether each is proven to be a read.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

use super::shape;
use super::{Catalog, Verdict, differs_on_standby, verdict, verdict_of_names};
use crate::sql::LexOptions;
use crate::sql::Name;
use crate::sql::reads::{Hint, Kind, Reading, reading};
use crate::sql::{StatementFacts, StatementKind, facts};

/// Verdicts that one loop remembers.
const KEPT: usize = 4_096;

/// What routing knows of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// All of it is proven to read and nothing else: any node may serve it.
    Read,
    /// It touches no data: SET and its like.
    Session,
    /// Transaction control and nothing else.
    Control,
    /// It writes, or locks: no replica would take it.
    Write,
    /// It may read and may do more.
    Unproven,
    /// It runs a statement of SQL's PREPARE, which decides.
    Executes,
    /// It may read and may do more, and a standby would run it and do something else.
    OfServer,
    /// Its comment wants the primary.
    WantsPrimary,
    /// It is not known to write, and its comment wants a replica.
    WantsReplica,
}

impl Ruling {
    const ALL: [Ruling; 9] = [
        Ruling::Read,
        Ruling::Session,
        Ruling::Control,
        Ruling::Write,
        Ruling::Unproven,
        Ruling::Executes,
        Ruling::OfServer,
        Ruling::WantsPrimary,
        Ruling::WantsReplica,
    ];

    /// The one that was noted by its number.
    #[must_use]
    #[inline]
    pub fn noted(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Ruling::Unproven)
    }
}

/// What a text is that is read under the usual options. `catalog`: what its names mean; `None`: nobody knows.
#[must_use]
pub fn ruling(text: &[u8], catalog: Option<&Catalog>) -> Ruling {
    let reading = reading(text, LexOptions::default());
    ruling_where(
        &reading,
        || verdict(&reading, catalog) == Verdict::Replica,
        || verdict_of_names(&reading, catalog) == Verdict::Replica,
    )
}

/// The same of a text that has been read, where somebody else says whether a replica can serve it, and whether it can serve
/// its names.
#[must_use]
pub fn ruling_where(
    reading: &Reading,
    serves: impl Fn() -> bool,
    serves_names: impl Fn() -> bool,
) -> Ruling {
    let wants = |hint| reading.hint == Some(hint);
    match reading.kind {
        Kind::Control => Ruling::Control,
        Kind::Session => Ruling::Session,
        Kind::Write(_) => Ruling::Write,
        Kind::Read | Kind::Cursor | Kind::Execute(_) | Kind::Unknown if wants(Hint::Primary) => {
            Ruling::WantsPrimary
        }
        Kind::Execute(_) if serves_names() => Ruling::Executes,
        Kind::Read | Kind::Cursor if serves() => Ruling::Read,
        _ if differs_on_standby(reading).is_some() => Ruling::OfServer,
        Kind::Read | Kind::Cursor | Kind::Execute(_) | Kind::Unknown if wants(Hint::Replica) => {
            Ruling::WantsReplica
        }
        Kind::Read | Kind::Cursor | Kind::Execute(_) | Kind::Unknown => Ruling::Unproven,
    }
}

/// The statement that a text runs with EXECUTE.
#[must_use]
pub fn executed(text: &[u8]) -> Option<Name> {
    match reading(text, LexOptions::default()).kind {
        Kind::Execute(name) => Some(name),
        Kind::Read
        | Kind::Session
        | Kind::Control
        | Kind::Cursor
        | Kind::Write(_)
        | Kind::Unknown => None,
    }
}

/// The statement that a PREPARE prepares; of another text, that itself.
#[must_use]
pub fn prepared(text: &[u8]) -> &[u8] {
    let facts = facts(text, LexOptions::default());
    match facts.statements() {
        [StatementFacts { kind: StatementKind::Prepare { body, .. }, .. }] => body.of(text),
        _ => text,
    }
}

/// What of a text a standby would run without an error, and do something else.
#[must_use]
pub fn of_server(text: &[u8]) -> Option<String> {
    let reading = reading(text, LexOptions::default());
    let name = differs_on_standby(&reading)?;
    Some(String::from_utf8_lossy(name.as_bytes()).into_owned())
}

/// The verdicts that were found last, each in the place that its text's hash gives it.
#[derive(Debug)]
pub struct Verdicts {
    /// Empty until the first one.
    places: Vec<Option<(u64, Ruling)>>,
    /// Secret, so that nobody can choose texts with one hash.
    hasher: RandomState,
    seed: u64,
}

impl Default for Verdicts {
    fn default() -> Self {
        let hasher = RandomState::default();
        Verdicts { places: Vec::new(), seed: hasher.hash_one(0_u64), hasher }
    }
}

impl Verdicts {
    /// What a text and what it was judged by are remembered under.
    #[must_use]
    #[inline]
    pub fn key(&self, text: &[u8], judged_by: u64) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text);
        hasher.write_u64(judged_by);
        hasher.finish()
    }

    /// The same of a text that may have literals of its own: texts of one shape are ruled alike.
    #[must_use]
    pub fn key_of_shape(&self, text: &[u8], judged_by: u64) -> u64 {
        match shape::hash(text, self.seed ^ judged_by.rotate_left(32)) {
            Some(hash) => hash,
            None => self.key(text, judged_by),
        }
    }

    /// What was found.
    #[must_use]
    #[inline]
    pub fn get(&self, key: u64) -> Option<Ruling> {
        let (found, ruling) = (*self.places.get(place(key))?)?;
        (found == key).then_some(ruling)
    }

    /// Remembers it.
    pub fn put(&mut self, key: u64, ruling: Ruling) {
        if self.places.is_empty() {
            self.places = vec![None; KEPT];
        }
        self.places[place(key)] = Some((key, ruling));
    }
}

fn place(key: u64) -> usize {
    usize::try_from(key % KEPT as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ruling_comes_back_from_its_number() {
        for ruling in Ruling::ALL {
            assert_eq!(Ruling::noted(ruling as u8), ruling);
        }
    }

    #[test]
    fn a_text_is_ruled_by_what_it_is_and_by_its_comment() {
        let catalog = Catalog::new(crate::route::catalog::Rows::default(), &[]);
        let check = |text: &str, expected: Ruling| {
            assert_eq!(ruling(text.as_bytes(), Some(&catalog)), expected, "{text}");
        };
        check("select 1", Ruling::Read);
        check("set a = 1", Ruling::Session);
        check("begin", Ruling::Control);
        check("insert into t values (1)", Ruling::Write);
        check("select nobody_knows()", Ruling::Unproven);
        check("select pg_advisory_lock(1)", Ruling::OfServer);
        check("execute r", Ruling::Executes);
        check("execute r(nobody_knows())", Ruling::Unproven);
        check("/* pgweir: primary */ select 1", Ruling::WantsPrimary);
        check("/* pgweir: replica */ select nobody_knows()", Ruling::WantsReplica);
        check("/* pgweir: replica */ select pg_advisory_lock(1)", Ruling::OfServer);
        check("/* pgweir: replica */ delete from t", Ruling::Write);
        assert_eq!(executed(b"execute r"), Some(Name::new(b"r")));
        assert_eq!(prepared(b"prepare r (int) as select $1"), b"select $1");
    }

    #[test]
    fn what_was_found_holds_for_what_it_was_judged_by() {
        let mut verdicts = Verdicts::default();
        let key = verdicts.key(b"select 1", 7);
        assert_eq!(verdicts.get(key), None);
        verdicts.put(key, Ruling::Read);
        assert_eq!(verdicts.get(key), Some(Ruling::Read));
        assert_eq!(verdicts.get(verdicts.key(b"select 1", 8)), None);
        assert_eq!(verdicts.get(verdicts.key(b"select 2", 7)), None);
        for n in 0..100_000_u64 {
            let key = verdicts.key(&n.to_be_bytes(), 1);
            verdicts.put(key, Ruling::Unproven);
        }
        assert_eq!(verdicts.places.len(), KEPT);
    }
}
