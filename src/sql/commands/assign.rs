//! A column that one statement gives two values: in SET, or in the list of columns of INSERT.
//!
//! Owns both lists (`set_clause_list` and `insert_column_list` in `gram.y`). As on the server, two elements of an array
//! or two fields of a column may be set, but not one of them and the whole.

use std::collections::BTreeMap;

use super::super::{Kind, Name};
use super::reader::Reader;
use super::{Command, Commands};

/// Where a column is named twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigns {
    /// SET of UPDATE, ON CONFLICT DO UPDATE or MERGE.
    Set,
    /// The columns of INSERT.
    Columns,
}

/// More columns than this are not compared: no table has as many.
const COLUMNS_MAX: usize = 2_000;

/// Reads lists of one statement.
#[derive(Debug)]
pub(super) struct Assignments {
    /// Tokens that may still be spent on lists. Only a text that breaks the grammar has a list inside of another; the
    /// bound keeps it linear.
    budget: usize,
}

impl Assignments {
    /// For a statement of so many bytes, which has no more tokens.
    pub(super) fn new(bytes: usize) -> Self {
        Self { budget: bytes }
    }

    /// Behind UPDATE that begins a statement.
    pub(super) fn update(&mut self, mut at: Reader, out: &mut Commands) {
        at.relation();
        if at.eat("as") || !at.at("set") {
            at.name();
        }
        self.set(at, out);
    }

    /// Before SET.
    pub(super) fn set(&mut self, mut at: Reader, out: &mut Commands) {
        let whole = at;
        if !at.eat("set") {
            return;
        }
        let mut seen = Seen::default();
        loop {
            let complete = if at.eat_symbol(b'(') {
                self.targets(&mut at, &mut seen)
            } else {
                self.target(&mut at, &mut seen)
            };
            if complete.is_none() || !at.eat_symbol(b'=') || !self.value(&mut at) {
                break;
            }
        }
        seen.tell(&whole, Assigns::Set, out);
    }

    /// Behind the table of INSERT.
    pub(super) fn insert(&mut self, mut at: Reader, out: &mut Commands) {
        let whole = at;
        if at.eat("as") {
            at.name();
        }
        let mut seen = Seen::default();
        // What is no list of columns is a query.
        if at.eat_symbol(b'(') && self.targets(&mut at, &mut seen).is_some() {
            seen.tell(&whole, Assigns::Columns, out);
        }
    }

    /// Eats names with commas between, and the parenthesis behind them.
    fn targets(&mut self, at: &mut Reader, seen: &mut Seen) -> Option<()> {
        loop {
            self.target(at, seen)?;
            if !at.eat_symbol(b',') {
                return at.eat_symbol(b')').then_some(());
            }
        }
    }

    /// Eats a column, perhaps with an element or a field of it.
    fn target(&mut self, at: &mut Reader, seen: &mut Seen) -> Option<()> {
        let column = at.column()?;
        self.spend()?;
        let mut whole = true;
        loop {
            if at.eat_symbol(b'.') {
                at.name()?;
            } else if at.at_symbol(b'[') {
                self.element(at)?;
            } else {
                break;
            }
            self.spend()?;
            whole = false;
        }
        seen.add(column, whole);
        Some(())
    }

    /// Eats a subscript.
    fn element(&mut self, at: &mut Reader) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.spend()?;
            match at.bump()?.kind {
                Kind::Symbol(b'[' | b'(') => depth += 1,
                Kind::Symbol(b']' | b')') if depth == 1 => return Some(()),
                Kind::Symbol(b']' | b')') => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
    }

    /// Eats what is assigned. True behind a comma, where the next assignment stands.
    fn value(&mut self, at: &mut Reader) -> bool {
        const ENDS: &[&str] = &["from", "where", "returning", "when"];
        let (mut depth, mut cases) = (0_usize, 0_usize);
        // IS DISTINCT FROM
        let mut distinct = false;
        while let Some(token) = at.peek() {
            if self.spend().is_none() {
                return false;
            }
            let outside = depth == 0 && cases == 0;
            match token.kind {
                Kind::Symbol(b'(' | b'[') => depth += 1,
                Kind::Symbol(b')' | b']') if depth == 0 => return false,
                Kind::Symbol(b')' | b']') => depth -= 1,
                Kind::Symbol(b',') if outside => return at.bump().is_some(),
                Kind::Word if depth == 0 && at.at("case") => cases += 1,
                Kind::Word if depth == 0 && at.at("end") => cases = cases.saturating_sub(1),
                Kind::Word if outside && !distinct && at.at_any(ENDS) => return false,
                _ => {}
            }
            distinct = at.at("distinct");
            at.bump();
        }
        false
    }

    fn spend(&mut self) -> Option<()> {
        self.budget = self.budget.checked_sub(1)?;
        Some(())
    }
}

/// The columns of one list so far.
#[derive(Debug, Default)]
struct Seen {
    /// Whether each is assigned as a whole.
    columns: BTreeMap<Name, bool>,
    twice: Option<Name>,
}

impl Seen {
    fn add(&mut self, column: Name, whole: bool) {
        if self.twice.is_some() || self.columns.len() >= COLUMNS_MAX {
            return;
        }
        match self.columns.get(&column) {
            Some(before) if *before || whole => self.twice = Some(column),
            Some(_) => {}
            None => {
                self.columns.insert(column, whole);
            }
        }
    }

    fn tell(self, at: &Reader, assigns: Assigns, out: &mut Commands) {
        if let Some(column) = self.twice {
            out.add(at, Command::AssignedTwice { column, assigns });
        }
    }
}
