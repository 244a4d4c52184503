//! REINDEX.
//!
//! Owns its head (ReindexStmt in `gram.y`): of several CONCURRENTLY the last counts, and the bare word behind the kind
//! comes after those in parentheses.

use super::option;
use super::reader::{ObjectName, Reader};
use super::{Command, Commands};

/// `REINDEX [(options)] {INDEX | TABLE | SCHEMA | DATABASE | SYSTEM} [CONCURRENTLY] [name]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reindex {
    /// CONCURRENTLY, as option or as word. False where its value is none that the server takes.
    pub concurrently: bool,
    /// What is rebuilt.
    pub kind: ReindexKind,
    /// Its name; None also for a database or system that is not named.
    pub name: Option<ObjectName>,
    /// Where ` CONCURRENTLY` goes in the text; None inside of code, where it could not stand, and for SYSTEM, which
    /// the server does not rebuild concurrently.
    pub insert_concurrently: Option<usize>,
}

/// What REINDEX rebuilds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReindexKind {
    /// One index.
    Index,
    /// All indexes of a table.
    Table,
    /// Those of a schema.
    Schema,
    /// Those of the database.
    Database,
    /// Those of the system's tables in the database.
    System,
    /// A word that we do not know.
    Unknown,
}

const KINDS: [(&str, ReindexKind); 5] = [
    ("index", ReindexKind::Index),
    ("table", ReindexKind::Table),
    ("schema", ReindexKind::Schema),
    ("database", ReindexKind::Database),
    ("system", ReindexKind::System),
];

/// Behind REINDEX.
pub(super) fn read(mut at: Reader, out: &mut Commands) {
    let mut concurrently = false;
    option::options(&mut at, |name, value| {
        if name == b"concurrently" {
            concurrently = value == Some(true);
        }
    });
    let found = KINDS.into_iter().find(|(word, _)| at.eat(word));
    let kind = found.map_or(ReindexKind::Unknown, |(_, kind)| kind);
    let insert_concurrently = match kind {
        ReindexKind::System | ReindexKind::Unknown => None,
        ReindexKind::Index | ReindexKind::Table | ReindexKind::Schema | ReindexKind::Database => {
            at.insertion()
        }
    };
    concurrently |= at.eat("concurrently");
    let name = at.object();
    let found = Reindex { concurrently, kind, name, insert_concurrently };
    out.add(&at, Command::Reindex(found));
}
