//! Queries: writes without a condition, SELECT INTO, large offsets and lists, advisory locks, whole counts.
//!
//! Owns the walk over a query's tokens. Parentheses are counted, not descended into.

use super::super::Kind;
use super::super::Token;
use super::assign::Assignments;
use super::levels::Selects;
use super::reader::Reader;
use super::write::{WriteVerb, Writes};
use super::{Command, Commands, IN_LIST_MIN, Place, count, relation, session};

/// What stands behind OFFSET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// A number.
    Literal(u64),
    /// A parameter: `$1` is 1.
    Param(u32),
}

/// Adds the commands of the query at `at`.
pub(super) fn read(at: Reader, out: &mut Commands) {
    count::read(at, out);
    let mut walk = Walk {
        at,
        depth: 0,
        lists: Vec::new(),
        writes: Writes::new(),
        before: None,
        selects: Selects::default(),
        behind_insert: false,
        assignments: Assignments::new(at.rest().len()),
    };
    let mut sets_parameters = false;
    while let Some(token) = walk.at.peek() {
        match token.kind {
            Kind::Word | Kind::QuotedWord | Kind::UnicodeWord => {
                sets_parameters |= walk.word(token, out);
                continue;
            }
            Kind::Symbol(b'(' | b'[') => {
                walk.depth += 1;
                walk.selects.open(walk.depth);
            }
            Kind::Symbol(b')' | b']') => walk.close(out),
            Kind::Symbol(b',') => walk.comma(),
            _ => {}
        }
        walk.step(token);
    }
    walk.writes.end(&at, 0, out);
    if sets_parameters {
        session::uses(&at, session::facts(&at).parameters, out);
    }
}

/// An IN list that is open.
#[derive(Debug)]
struct List {
    /// The depth of its elements.
    depth: usize,
    commas: usize,
}

/// More open lists than this are not counted.
const LISTS_MAX: usize = 64;

/// A walk over the tokens of a query.
struct Walk<'a> {
    at: Reader<'a>,
    depth: usize,
    lists: Vec<List>,
    writes: Writes,
    before: Option<Token>,
    selects: Selects,
    /// Behind INSERT or MERGE: INTO is theirs.
    behind_insert: bool,
    assignments: Assignments,
}

impl Walk<'_> {
    /// Eats one token.
    fn step(&mut self, token: Token) {
        self.before = Some(token);
        self.behind_insert = false;
        self.at.bump();
    }

    /// True when the token before is this word.
    fn behind(&self, word: &str) -> bool {
        self.before.is_some_and(|token| self.at.is(token, word))
    }

    /// True where a keyword would be a label or a part of a name.
    fn in_name(&self) -> bool {
        self.behind("as") || self.before.is_some_and(|token| token.kind == Kind::Symbol(b'.'))
    }

    /// True where a statement may begin: at the start, in parentheses, behind those of WITH.
    fn at_statement(&self) -> bool {
        self.before.is_none_or(|token| match token.kind {
            Kind::Symbol(b'(') => true,
            // Behind those of an expression stands its label.
            Kind::Symbol(b')') => !self.selects.has(self.depth),
            _ => false,
        })
    }

    /// Eats one word. True for `set_config`.
    fn word(&mut self, token: Token, out: &mut Commands) -> bool {
        let at = self.at;
        let name = token.kind != Kind::Word || self.in_name();
        let (depth, begins) = (self.depth, self.at_statement());
        let behind_insert = self.behind_insert;
        let follows = self.before;
        if token.kind == Kind::UnicodeWord {
            self.before = Some(token);
            self.behind_insert = false;
            self.at.name(); // With its UESCAPE.
        } else {
            self.step(token);
        }
        if self.at.at_symbol(b'(') {
            let called = Called::of(at);
            if called == Some(Called::AdvisoryLock) {
                out.add(&at, Command::AdvisoryLock);
            }
            if called == Some(Called::SetConfig) {
                return true;
            }
        }
        if name {
            return false;
        }
        if out.closely {
            self.assignments(at, begins, follows, out);
        }
        if at.at_any(&["insert", "merge"]) {
            self.behind_insert = !self.selects.has(depth);
        }
        match () {
            () if at.at("select") => self.selects.begin(depth),
            () if at.at("into") && !behind_insert => self.into(out),
            () if at.at("where") => self.writes.condition(self.at, depth),
            () if at.at("on") && self.writes.in_merge(depth) => {
                self.writes.condition(self.at, depth);
            }
            () if begins && at.at("update") => {
                if self.at.peek().is_some_and(|next| next.kind.is_word()) {
                    self.writes.begin(self.at, WriteVerb::Update, depth, out);
                }
            }
            () if begins && at.at("delete") && self.at.at("from") => {
                let mut behind = self.at;
                behind.bump();
                self.writes.begin(behind, WriteVerb::Delete, depth, out);
            }
            () if begins && at.at("merge") && self.at.at("into") => {
                let mut behind = self.at;
                behind.bump();
                self.writes.begin(behind, WriteVerb::Merge, depth, out);
            }
            () if at.at("then") && self.writes.in_merge(depth) => {
                if self.at.at_any(&["update", "delete"]) {
                    self.writes.merge_writes();
                }
            }
            () if at.at("offset") => self.offset(out),
            () if at.at("in") && self.at.at_symbol(b'(') && self.lists.len() < LISTS_MAX => {
                self.lists.push(List { depth: depth + 1, commas: 0 });
            }
            () => {}
        }
        false
    }

    /// Behind the word `at`, which stands behind `follows`: where it is followed by columns that are assigned, reads them.
    fn assignments(
        &mut self,
        at: Reader,
        begins: bool,
        follows: Option<Token>,
        out: &mut Commands,
    ) {
        let behind = |word| follows.is_some_and(|token| at.is(token, word));
        match () {
            () if begins && at.at("update") => self.assignments.update(self.at, out),
            () if at.at("update") && (behind("do") || behind("then")) => {
                self.assignments.set(self.at, out);
            }
            () if at.at("insert") && behind("then") => self.assignments.insert(self.at, out),
            () if at.at("into") && behind("insert") && !self.selects.has(self.depth) => {
                let mut table = self.at;
                table.object();
                self.assignments.insert(table, out);
            }
            () => {}
        }
    }

    /// Behind INTO, where it is not that of INSERT or MERGE.
    fn into(&mut self, out: &mut Commands) {
        // In PL/pgSQL the INTO of a SELECT names variables.
        if matches!(self.at.place, Place::Plain | Place::Prepared) {
            relation::select_into(self.at, out);
        }
    }

    /// Behind OFFSET.
    fn offset(&mut self, out: &mut Commands) {
        let Some(token) = self.at.peek() else { return };
        let raw = token.span.of(self.at.text());
        let found = match token.kind {
            Kind::Integer => Some(Offset::Literal(saturating(raw))),
            Kind::Param => {
                u32::try_from(saturating(raw.get(1..).unwrap_or_default())).ok().map(Offset::Param)
            }
            _ => None,
        };
        if let Some(found) = found {
            out.add(&self.at, Command::Offset(found));
        }
    }

    fn comma(&mut self) {
        if let Some(list) = self.lists.last_mut()
            && list.depth == self.depth
        {
            list.commas += 1;
        }
    }

    /// At a closing parenthesis or bracket.
    fn close(&mut self, out: &mut Commands) {
        while let Some(list) = self.lists.pop_if(|list| list.depth >= self.depth) {
            if list.commas + 1 >= IN_LIST_MIN {
                out.add(&self.at, Command::InList { elements: list.commas + 1 });
            }
        }
        if self.depth > 0 {
            self.writes.end(&self.at, self.depth, out);
            self.depth -= 1;
        }
    }
}

/// A number as written; underscores count for nothing, and what is too large or in another base is as large as can be.
fn saturating(raw: &[u8]) -> u64 {
    let mut value = 0_u64;
    for byte in raw.iter().filter(|byte| **byte != b'_') {
        if !byte.is_ascii_digit() {
            return u64::MAX;
        }
        value = value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    }
    value
}

/// A function that rules ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    AdvisoryLock,
    SetConfig,
}

impl Called {
    /// What is called at `at`, where a parenthesis follows the name.
    fn of(mut at: Reader) -> Option<Self> {
        // Nearly every name is shorter than the shortest of these.
        at.peek().filter(|token| token.span.len() >= b"set_config".len())?;
        match at.name()?.as_bytes() {
            b"pg_advisory_lock"
            | b"pg_advisory_lock_shared"
            | b"pg_try_advisory_lock"
            | b"pg_try_advisory_lock_shared" => Some(Self::AdvisoryLock),
            b"set_config" => Some(Self::SetConfig),
            _ => None,
        }
    }
}
