//! CREATE INDEX and DROP INDEX.
//!
//! Owns their heads (IndexStmt and DropStmt in `gram.y`) and the place where CONCURRENTLY would go.
//! CONCURRENTLY counts by where it stands: it cannot be a name there unless it is quoted.

use super::super::literal::Name;
use super::reader::{ObjectList, ObjectName, Reader};
use super::{Command, Commands};

/// `CREATE [UNIQUE] INDEX [CONCURRENTLY] [[IF NOT EXISTS] name] ON [ONLY] table …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateIndex {
    /// UNIQUE.
    pub unique: bool,
    /// CONCURRENTLY.
    pub concurrently: bool,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// The index's name, where one is given and can be read; its schema is the table's.
    pub name: Option<Name>,
    /// The table.
    pub table: Option<ObjectName>,
    /// ON ONLY.
    pub only: bool,
    /// Where ` CONCURRENTLY` goes in the text; None inside of code, where it could not stand.
    pub insert_concurrently: Option<usize>,
}

/// `DROP INDEX [CONCURRENTLY] [IF EXISTS] name, … [CASCADE | RESTRICT]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIndex {
    /// CONCURRENTLY.
    pub concurrently: bool,
    /// IF EXISTS.
    pub if_exists: bool,
    /// CASCADE; the server refuses it together with CONCURRENTLY.
    pub cascade: bool,
    /// The indexes.
    pub indexes: ObjectList,
    /// Where ` CONCURRENTLY` goes in the text; None inside of code, where it could not stand.
    pub insert_concurrently: Option<usize>,
}

/// Behind `CREATE [UNIQUE] INDEX`.
pub(super) fn create(mut at: Reader, unique: bool, out: &mut Commands) {
    let insert_concurrently = at.insertion();
    let concurrently = at.eat("concurrently");
    let if_not_exists = at.if_not_exists();
    let name = at.column();
    let named = at.eat("on");
    let (table, only) = if named { at.relation() } else { (None, false) };
    let found =
        CreateIndex { unique, concurrently, if_not_exists, name, table, only, insert_concurrently };
    out.add(&at, Command::CreateIndex(found));
}

/// Behind `DROP INDEX`.
pub(super) fn drop(mut at: Reader, out: &mut Commands) {
    let insert_concurrently = at.insertion();
    let concurrently = at.eat("concurrently");
    let if_exists = at.if_exists();
    let indexes = at.objects();
    let cascade = at.at("cascade");
    let found = DropIndex { concurrently, if_exists, cascade, indexes, insert_concurrently };
    out.add(&at, Command::DropIndex(found));
}
