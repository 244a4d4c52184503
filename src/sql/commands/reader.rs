//! A reader's place in one statement, and how that statement stands in its text.
//!
//! Owns names of objects: their parts, and whether they can be believed.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::super::cursor::Cursor;
use super::super::literal::Name;
use super::super::{LexOptions, Span};
use super::Place;

/// The name of an object, as far as it is written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ObjectName {
    /// The database, where one is written; the server refuses any but the current one.
    pub database: Option<Name>,
    /// The schema, where one is written.
    pub schema: Option<Name>,
    /// The name itself.
    pub name: Name,
}

impl ObjectName {
    /// A name without a schema.
    pub fn unqualified(name: Name) -> Self {
        Self { database: None, schema: None, name }
    }

    /// True for a name in the session's own temporary schema, by its alias or by its real name (`pg_temp_3`).
    pub fn is_temporary(&self) -> bool {
        let Some(schema) = &self.schema else { return false };
        let Some(rest) = schema.as_bytes().strip_prefix(b"pg_temp") else { return false };
        rest.is_empty() || rest.strip_prefix(b"_").is_some_and(|n| n.iter().all(u8::is_ascii_digit))
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.database, &self.schema].into_iter().flatten() {
            write!(f, "{part:?}.")?;
        }
        write!(f, "{:?}", self.name)
    }
}

/// A list of names with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectList {
    /// The names, in order.
    pub names: Vec<ObjectName>,
    /// True when these are all that the statement has: none was unreadable, and they were not too many to keep.
    pub complete: bool,
}

/// More names than this in one list are not kept.
pub(super) const NAMES_MAX: usize = 1_000;

/// A cursor that knows what it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    /// The statement's number in its text.
    pub(super) statement: usize,
    /// The statement in its text, whatever code inside of it is being read.
    pub(super) span: Span,
    /// How what is read stands in the statement.
    pub(super) place: Place,
    /// How many literals around it have been opened.
    pub(super) depth: usize,
    /// Where the part began that is read.
    start: usize,
}

impl<'a> Deref for Reader<'a> {
    type Target = Cursor<'a>;

    fn deref(&self) -> &Cursor<'a> {
        &self.cursor
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cursor
    }
}

impl<'a> Reader<'a> {
    /// At the beginning of the statement `span` of `text`.
    pub(super) fn new(text: &'a [u8], span: Span, options: LexOptions, statement: usize) -> Self {
        let cursor = Cursor::new(text, span, options);
        Self { cursor, statement, span, place: Place::Plain, depth: 0, start: span.start }
    }

    /// At the beginning of a part of the same text.
    pub(super) fn part(&self, part: Span, place: Place) -> Self {
        let cursor = Cursor::new(self.text(), part, self.options());
        Self { cursor, place, start: part.start, ..*self }
    }

    /// At the beginning of `part` of a text that was found inside of this one; one level deeper.
    pub(super) fn inside<'b>(&self, text: &'b [u8], part: Span, place: Place) -> Reader<'b> {
        Reader {
            cursor: Cursor::new(text, part, self.options()),
            statement: self.statement,
            span: self.span,
            place,
            depth: self.depth + 1,
            start: part.start,
        }
    }

    /// The place as a bare cursor.
    pub(super) fn cursor(&self) -> Cursor<'a> {
        self.cursor
    }

    /// The part that is read, from its beginning.
    pub(super) fn whole(&self) -> &'a [u8] {
        self.text().get(self.start..).unwrap_or_default()
    }

    /// What is left of the statement.
    pub(super) fn rest(&self) -> Span {
        Span { start: self.offset(), end: self.text().len() }
    }

    /// Where a word could be put in behind what has been eaten: an offset in the text that the client sent.
    pub(super) fn insertion(&self) -> Option<usize> {
        (self.depth == 0 && self.place == Place::Plain).then_some(self.behind())
    }

    /// Eats a name that the grammar takes for one (ColId) and gives it, where it can be believed.
    pub(super) fn column(&mut self) -> Option<Name> {
        let name = self.unreserved_name()?;
        (self.place != Place::Assembled).then_some(name)
    }

    /// Eats `name`, `schema.name` or `database.schema.name`.
    pub(super) fn object(&mut self) -> Option<ObjectName> {
        let first = self.unreserved_name()?;
        let mut parts = [Some(first), None, None];
        let mut count = 1;
        let mut whole = true;
        while self.eat_symbol(b'.') {
            // Behind a point any word is a name.
            let part = self.name();
            whole &= part.is_some();
            match parts.get_mut(count) {
                Some(place) => *place = part,
                None => whole = false,
            }
            count += 1;
        }
        if !whole || self.place == Place::Assembled {
            return None;
        }
        let (database, schema, name) = match parts {
            [Some(name), None, _] => (None, None, name),
            [schema, Some(name), None] => (None, schema, name),
            [database, schema, Some(name)] => (database, schema, name),
            [None, None, None] => return None,
        };
        Some(ObjectName { database, schema, name })
    }

    /// Eats `[ONLY] name [*]` or `ONLY (name)` (relation_expr); says whether ONLY was there.
    pub(super) fn relation(&mut self) -> (Option<ObjectName>, bool) {
        let only = self.eat("only");
        let parenthesis = only && self.eat_symbol(b'(');
        let name = self.object();
        if parenthesis {
            self.eat_symbol(b')');
        } else {
            self.eat_star();
        }
        (name, only)
    }

    /// Eats a `*`, also where an operator begins with it: `t *;`.
    pub(super) fn eat_star(&mut self) -> bool {
        self.eat_symbol(b'*')
    }

    /// Eats names with commas between, each read by `one`.
    pub(super) fn list(&mut self, one: impl Fn(&mut Self) -> Option<ObjectName>) -> ObjectList {
        let mut list = ObjectList { names: Vec::new(), complete: true };
        loop {
            match one(self) {
                Some(name) if list.names.len() < NAMES_MAX => list.names.push(name),
                Some(_) | None => list.complete = false,
            }
            if !self.eat_symbol(b',') {
                return list;
            }
        }
    }

    /// Eats names with commas between.
    pub(super) fn objects(&mut self) -> ObjectList {
        self.list(Self::object)
    }

    /// Eats IF EXISTS.
    pub(super) fn if_exists(&mut self) -> bool {
        self.eat_all(&["if", "exists"])
    }

    /// Eats IF NOT EXISTS.
    pub(super) fn if_not_exists(&mut self) -> bool {
        self.eat_all(&["if", "not", "exists"])
    }

    /// Eats one token, or a whole group in parentheses or brackets.
    pub(super) fn skip(&mut self) {
        if self.parentheses().is_none() {
            self.bump();
        }
    }

    /// True where an item of a list ends: before a comma or a closing parenthesis, or at the end.
    pub(super) fn at_item_end(&self) -> bool {
        self.at_end() || self.at_symbol(b',') || self.at_symbol(b')')
    }
}
