//! CLUSTER, VACUUM, REPACK, REFRESH, LOCK, TRUNCATE.
//!
//! Owns what of them decides the lock: FULL, CONCURRENTLY, the mode, CASCADE.

use super::option;
use super::reader::{ObjectList, ObjectName, Reader};
use super::{Command, Commands};

/// `CLUSTER [(options)] [VERBOSE] [table [USING index]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The table; None also for all that were clustered before.
    pub table: Option<ObjectName>,
}

/// `VACUUM [(options)] [FULL] [FREEZE] [VERBOSE] [ANALYZE] [table, …]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vacuum {
    /// FULL: the table is written anew under ACCESS EXCLUSIVE.
    pub full: bool,
    /// The tables; none for all.
    pub tables: ObjectList,
}

/// `REPACK [(options)] [table [USING INDEX …]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repack {
    /// CONCURRENTLY.
    pub concurrently: bool,
    /// The table; None also for all.
    pub table: Option<ObjectName>,
}

/// `REFRESH MATERIALIZED VIEW [CONCURRENTLY] name [WITH [NO] DATA]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// CONCURRENTLY.
    pub concurrently: bool,
    /// The view.
    pub view: Option<ObjectName>,
    /// Where ` CONCURRENTLY` goes in the text; None inside of code.
    pub insert_concurrently: Option<usize>,
}

/// `LOCK [TABLE] name, … [IN mode MODE] [NOWAIT]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockTable {
    /// The tables.
    pub tables: ObjectList,
    /// How strongly.
    pub mode: LockMode,
    /// NOWAIT.
    pub nowait: bool,
}

/// The modes of a table's lock, from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// ACCESS SHARE: SELECT.
    AccessShare,
    /// ROW SHARE: SELECT FOR UPDATE.
    RowShare,
    /// ROW EXCLUSIVE: INSERT, UPDATE, DELETE.
    RowExclusive,
    /// SHARE UPDATE EXCLUSIVE: VACUUM, CREATE INDEX CONCURRENTLY.
    ShareUpdateExclusive,
    /// SHARE: CREATE INDEX.
    Share,
    /// SHARE ROW EXCLUSIVE: ADD FOREIGN KEY.
    ShareRowExclusive,
    /// EXCLUSIVE: REFRESH MATERIALIZED VIEW CONCURRENTLY.
    Exclusive,
    /// ACCESS EXCLUSIVE: most of ALTER TABLE; also LOCK without a mode.
    AccessExclusive,
}

/// `TRUNCATE [TABLE] name, … [RESTART IDENTITY] [CASCADE]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// The tables.
    pub tables: ObjectList,
    /// CASCADE.
    pub cascade: bool,
}

/// Behind CLUSTER.
pub(super) fn cluster(mut at: Reader, out: &mut Commands) {
    option::options(&mut at, |_, _| {});
    at.eat("verbose");
    let name = at.object();
    // Before Postgres 8.3 it was `CLUSTER index ON table`, and the grammar still takes it.
    let table = if at.eat("on") { at.object() } else { name };
    out.add(&at, Command::Cluster(Cluster { table }));
}

/// Behind VACUUM.
pub(super) fn vacuum(mut at: Reader, out: &mut Commands) {
    let mut full = false;
    option::options(&mut at, |name, value| {
        if name == b"full" {
            full = value != Some(false);
        }
    });
    full |= at.eat("full");
    at.eat("freeze");
    at.eat("verbose");
    at.eat_any(&["analyze", "analyse"]);
    let tables = if at.at_end() {
        ObjectList { names: Vec::new(), complete: true }
    } else {
        at.list(|at| {
            let (name, _) = at.relation();
            at.parentheses();
            name
        })
    };
    out.add(&at, Command::Vacuum(Vacuum { full, tables }));
}

/// Behind REPACK.
pub(super) fn repack(mut at: Reader, out: &mut Commands) {
    let mut concurrently = false;
    option::options(&mut at, |name, value| {
        if name == b"concurrently" {
            concurrently = value == Some(true);
        }
    });
    let (table, _) = at.relation();
    out.add(&at, Command::Repack(Repack { concurrently, table }));
}

/// Behind REFRESH.
pub(super) fn refresh(mut at: Reader, out: &mut Commands) {
    at.eat_all(&["materialized", "view"]);
    let insert_concurrently = at.insertion();
    let concurrently = at.eat("concurrently");
    let view = at.object();
    out.add(&at, Command::Refresh(Refresh { concurrently, view, insert_concurrently }));
}

/// Behind LOCK.
pub(super) fn lock(mut at: Reader, out: &mut Commands) {
    const MODES: [(&[&str], LockMode); 8] = [
        (&["access", "share"], LockMode::AccessShare),
        (&["row", "share"], LockMode::RowShare),
        (&["row", "exclusive"], LockMode::RowExclusive),
        (&["share", "update", "exclusive"], LockMode::ShareUpdateExclusive),
        (&["share", "row", "exclusive"], LockMode::ShareRowExclusive),
        (&["share"], LockMode::Share),
        (&["exclusive"], LockMode::Exclusive),
        (&["access", "exclusive"], LockMode::AccessExclusive),
    ];
    at.eat("table");
    let tables = at.list(|at| at.relation().0);
    let named = at.eat("in");
    let found = MODES.into_iter().filter(|_| named).find(|(words, _)| at.eat_all(words));
    let mode = found.map_or(LockMode::AccessExclusive, |(_, mode)| mode);
    at.eat("mode");
    let nowait = at.at("nowait");
    out.add(&at, Command::LockTable(LockTable { tables, mode, nowait }));
}

/// Behind TRUNCATE.
pub(super) fn truncate(mut at: Reader, out: &mut Commands) {
    at.eat("table");
    let tables = at.list(|at| at.relation().0);
    let mut cascade = false;
    while !at.at_end() {
        cascade |= at.at("cascade");
        at.bump();
    }
    out.add(&at, Command::Truncate(Truncate { tables, cascade }));
}
