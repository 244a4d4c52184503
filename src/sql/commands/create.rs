//! CREATE: which family it belongs to, and the elements of CREATE SCHEMA.
//!
//! Owns the words between CREATE and the object's kind. A kind that we do not know may be one of a newer server.

use super::super::literal::Name;
use super::super::{Kind, Span};
use super::reader::Reader;
use super::relation::{self, Persistence};
use super::{Command, Commands, ObjectKind, Place, index, routine, types};

/// `CREATE SCHEMA [IF NOT EXISTS] [name] [AUTHORIZATION role] element …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSchema {
    /// IF NOT EXISTS; the server refuses elements then.
    pub if_not_exists: bool,
    /// Its name; None also where it is named after the role.
    pub name: Option<Name>,
}

/// Objects that hold no rows and no index, by their first word.
const OTHERS: &[&str] = &[
    "access",
    "aggregate",
    "cast",
    "collation",
    "constraint",
    "conversion",
    "database",
    "default",
    "event",
    "extension",
    "foreign",
    "group",
    "language",
    "operator",
    "policy",
    "procedural",
    "property",
    "publication",
    "role",
    "rule",
    "server",
    "statistics",
    "subscription",
    "tablespace",
    "text",
    "transform",
    "trigger",
    "trusted",
    "type",
    "user",
];

/// Behind CREATE.
pub(super) fn read(mut at: Reader, out: &mut Commands) {
    let unique = at.eat("unique");
    if at.eat("index") {
        return index::create(at, unique, out);
    }
    let or_replace = at.eat_all(&["or", "replace"]);
    let persistence = relation::persistence(&mut at);
    at.eat("recursive");
    const RELATIONS: [(&[&str], ObjectKind); 5] = [
        (&["table"], ObjectKind::Table),
        (&["foreign", "table"], ObjectKind::ForeignTable),
        (&["view"], ObjectKind::View),
        (&["materialized", "view"], ObjectKind::MaterializedView),
        (&["sequence"], ObjectKind::Sequence),
    ];
    if let Some((_, kind)) = RELATIONS.into_iter().find(|(words, _)| at.eat_all(words)) {
        return relation::create(at, kind, persistence, or_replace, out);
    }
    match () {
        () if at.eat("schema") => schema(at, out),
        () if at.eat("function") => routine::create(at, false, out),
        () if at.eat("procedure") => routine::create(at, true, out),
        () if at.eat("domain") => types::create_domain(at, out),
        () if at.at_any(OTHERS) && persistence == Persistence::Permanent => {
            out.add(&at, Command::OtherDdl);
        }
        () => out.add_unknown(&at),
    }
}

/// Behind `CREATE SCHEMA`.
fn schema(mut at: Reader, out: &mut Commands) {
    let if_not_exists = at.if_not_exists();
    let name = if at.at("authorization") { None } else { at.column() };
    if at.eat("authorization") {
        at.name();
    }
    out.add(&at, Command::CreateSchema(CreateSchema { if_not_exists, name }));
    let place = match at.place {
        Place::Assembled => Place::Assembled,
        Place::Plain | Place::Element | Place::Prepared | Place::Code { .. } => Place::Element,
    };
    let mut element: Option<usize> = None;
    let mut label = false;
    let mut end = at.behind();
    loop {
        let next = at.peek();
        // Both are reserved words: at depth 0 only a label (`AS create`) is not the next element.
        let begins = next.is_some() && !label && at.at_any(&["create", "grant"]);
        if (begins || next.is_none())
            && let Some(start) = element.take()
        {
            let mut part = at.part(Span { start, end }, place);
            if part.eat("create") {
                read_element(part, out);
            }
        }
        let Some(token) = next else { return };
        if begins {
            element = Some(token.span.start);
        }
        label = at.at("as") || token.kind == Kind::Symbol(b'.');
        at.skip();
        end = at.behind();
    }
}

/// Behind CREATE of an element: as [`read`], but the server takes no schema inside of a schema.
fn read_element(at: Reader, out: &mut Commands) {
    if at.at("schema") {
        return out.add_unknown(&at);
    }
    read(at, out);
}
