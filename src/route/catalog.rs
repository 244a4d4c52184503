//! A snapshot of one database's catalog: what the names of functions and relations may mean, at worst.
//!
//! Owns the way from rows of the catalog to what names mean. Deliberately absent: `search_path`. A name without a schema
//! means the worst of all that have it, so that no setting of a session can make it mean less. Names are compared as
//! bytes of UTF-8: beyond ASCII those of a client with another encoding are unknown, which means the primary.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use super::functions;
use crate::sql::Name;

/// Functions below this number came with initdb (`FirstNormalObjectId`).
pub const FIRST_OF_USERS: u32 = 16_384;

/// What a snapshot is made from.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Functions that are not Postgres' own, and those of its own that are volatile.
    pub functions: Vec<FunctionRow>,
    /// Everything that a FROM clause can name, system relations included.
    pub relations: Vec<RelationRow>,
    /// What views and row security policies use.
    pub uses: Vec<UsesRow>,
}

/// One function, or one overload of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRow {
    /// Its number.
    pub oid: u32,
    /// Its schema.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// What the catalog says of it.
    pub standing: Function,
    /// It takes one row as its argument, so that `row.name` calls it.
    pub takes_row: bool,
}

/// What the catalog says of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// Stable or immutable: it promises not to write.
    Stable,
    /// Volatile, written in C.
    VolatileInC,
    /// Volatile.
    Volatile,
    /// Its source names what means something else on a standby.
    Differs,
}

/// One relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationRow {
    /// Its number.
    pub oid: u32,
    /// Its schema.
    pub schema: Name,
    /// Its name.
    pub name: Name,
    /// Its `relkind`.
    pub kind: u8,
    /// Its `relpersistence`.
    pub persistence: u8,
}

/// What a relation uses when it is read: the functions and relations of a view's query and of policies, the children
/// of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsesRow {
    /// Its number.
    pub relation: u32,
    /// Functions of users, by their numbers.
    pub functions: Vec<u32>,
    /// Functions of Postgres, by their names.
    pub of_postgres: Vec<Name>,
    /// Relations, by their numbers.
    pub relations: Vec<u32>,
}

/// Whether a relation can be read at a standby as at the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relation {
    /// It can.
    #[default]
    Servable,
    /// Unlogged: a standby refuses it.
    Unlogged,
    /// Temporary: it is one session's.
    Temporary,
    /// Foreign: its server may mind who asks.
    Foreign,
    /// A sequence: a standby may be ahead of it.
    Sequence,
    /// It shows what one server has of its own.
    OfOneServer,
    /// A view, or a table with policies, that calls a function which may write or means something else there.
    Calls,
    /// Something below it cannot be read so: a view's table, a partition.
    ReadsSuch,
    /// It is of a kind that nothing is known about.
    Unknown,
}

/// What names of functions and relations mean in one database. Cheap to ask; made anew when anything changes.
#[derive(Clone, Debug)]
pub struct Catalog {
    version: u64,
    functions: HashMap<Name, Vec<(Name, bool)>>,
    relations: HashMap<Name, Vec<(Name, Relation)>>,
    /// Unsafe functions that `row.name` would call.
    of_rows: HashSet<Name>,
}

impl Catalog {
    /// From the rows of a database; `replica_safe` are the functions that the operator vouches for, as `name` or
    /// `schema.name`.
    pub fn new(rows: Rows, replica_safe: &[String]) -> Self {
        static VERSIONS: AtomicU64 = AtomicU64::new(1);
        let version = VERSIONS.fetch_add(1, Ordering::Relaxed);
        let Rows { functions, relations, uses } = rows;
        let mut catalog = Self {
            version,
            functions: HashMap::new(),
            relations: HashMap::new(),
            of_rows: HashSet::new(),
        };
        let mut unsafe_functions = HashSet::new();
        for row in functions {
            let safe = is_safe(&row, replica_safe);
            if !safe {
                unsafe_functions.insert(row.oid);
                if row.takes_row {
                    catalog.of_rows.insert(row.name.clone());
                }
            }
            let all = catalog.functions.entry(row.name).or_default();
            match all.iter_mut().find(|(schema, _)| *schema == row.schema) {
                Some((_, others)) => *others &= safe,
                None => all.push((row.schema, safe)),
            }
        }
        let standings = standings(&relations, &uses, &unsafe_functions);
        for (row, standing) in relations.into_iter().zip(standings) {
            catalog.relations.entry(row.name).or_default().push((row.schema, standing));
        }
        catalog
    }

    /// A number that no other snapshot of this process has: what was concluded from one holds as long as its number
    /// does.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether every function of this name, in this schema or in any, may run at a standby; None where there is none
    /// but what Postgres may have itself.
    pub fn function(&self, schema: Option<&Name>, name: &Name) -> Option<bool> {
        let mut found = self.functions.get(name)?.iter().filter(|one| is_in(&one.0, schema));
        let first = found.next()?.1;
        Some(first && found.all(|(_, safe)| *safe))
    }

    /// What a relation of this name is, in this schema or, at worst, in any; None where there is none.
    pub fn relation(&self, schema: Option<&Name>, name: &Name) -> Option<Relation> {
        let found = self.relations.get(name)?.iter().filter(|one| is_in(&one.0, schema));
        let servable = |worst: Relation| worst == Relation::Servable;
        found.map(|(_, standing)| *standing).reduce(|a, b| if servable(a) { b } else { a })
    }

    /// True when `row.name` may call a function that is not to run at a standby.
    pub fn may_call_of_row(&self, name: &Name) -> bool {
        !self.of_rows.is_empty() && self.of_rows.contains(name)
    }
}

fn is_in(schema: &Name, wanted: Option<&Name>) -> bool {
    wanted.is_none_or(|wanted| wanted == schema)
}

/// Whether a function may run at a standby.
fn is_safe(row: &FunctionRow, replica_safe: &[String]) -> bool {
    let name = row.name.as_bytes();
    if functions::fixed(name).is_some() {
        return false;
    }
    let vouched = |known: &String| match known.split_once('.') {
        Some((schema, known)) => known.as_bytes() == name && row.schema == *schema,
        None => known.as_bytes() == name,
    };
    let of_postgres = row.oid < FIRST_OF_USERS;
    if replica_safe.iter().any(vouched) {
        return true;
    }
    match row.standing {
        Function::Stable => true,
        Function::VolatileInC if functions::is_harmless_in_c(name) => true,
        Function::Volatile | Function::VolatileInC => of_postgres && functions::is_harmless(name),
        Function::Differs => false,
    }
}

/// What becomes of each relation, with all that it uses.
fn standings(
    relations: &[RelationRow],
    uses: &[UsesRow],
    unsafe_functions: &HashSet<u32>,
) -> Vec<Relation> {
    let places: HashMap<u32, usize> =
        relations.iter().enumerate().map(|(at, row)| (row.oid, at)).collect();
    let mut standings: Vec<_> = relations.iter().map(own_standing).collect();
    // Who reads each of them.
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); relations.len()];
    for row in uses {
        let Some(&reader) = places.get(&row.relation) else { continue };
        let calls = row.functions.iter().any(|oid| unsafe_functions.contains(oid))
            || row.of_postgres.iter().any(|name| !is_safe_in_view(name.as_bytes()));
        let Some(standing) = standings.get_mut(reader) else { continue };
        if calls && *standing == Relation::Servable {
            *standing = Relation::Calls;
        }
        for oid in &row.relations {
            match places.get(oid).and_then(|used| readers.get_mut(*used)) {
                Some(all) => all.push(reader),
                // Something that no FROM clause can name, or that came into being meanwhile.
                None if *standing == Relation::Servable => *standing = Relation::ReadsSuch,
                None => {}
            }
        }
    }
    let is_bad = |standing: &Relation| *standing != Relation::Servable;
    let mut bad: Vec<usize> = (0..standings.len()).filter(|at| is_bad(&standings[*at])).collect();
    while let Some(at) = bad.pop() {
        for reader in std::mem::take(&mut readers[at]) {
            if standings[reader] == Relation::Servable {
                standings[reader] = Relation::ReadsSuch;
                bad.push(reader);
            }
        }
    }
    standings
}

/// Functions of Postgres' own in a view: nothing about their arguments is known.
fn is_safe_in_view(name: &[u8]) -> bool {
    functions::fixed(name).is_none()
        && (functions::is_harmless(name) || functions::is_construct(name))
}

fn own_standing(row: &RelationRow) -> Relation {
    let of_postgres = row.oid < FIRST_OF_USERS;
    match (row.persistence, row.kind) {
        _ if super::relations::is_of_one_server(row.name.as_bytes()) => Relation::OfOneServer,
        (b't', _) => Relation::Temporary,
        (b'u', _) => Relation::Unlogged,
        (b'p', b'r' | b'p' | b'm') => Relation::Servable,
        // Those of Postgres have been told above; those of users by what they use.
        (b'p', b'v') => Relation::Servable,
        (_, b'f') => Relation::Foreign,
        (_, b'S') => Relation::Sequence,
        (b'p', b't') if of_postgres => Relation::Servable,
        (_, _) => Relation::Unknown,
    }
}
