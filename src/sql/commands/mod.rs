//! What the statements of a text do to the objects of a database: the facts that the guard's rules judge.
//!
//! Owns the list of commands, in the order of the text, and the way to it; one file per family. As everywhere in
//! `sql` the beginnings of statements are known, not the grammar. Where a text breaks the grammar the server refuses
//! it whole; what is found then is never executed. A text of ordinary queries is told apart in one pass of the lexer,
//! without allocating ([`is_ordinary`]).
//!
//! Names come out as the server compares them, with their schema where one is written. `None` in a name's place means
//! that the text does not show it, so nothing may be concluded from it.
//!
//! Deliberately absent: whether a table was made in this transaction, what `search_path` means, what a verdict is.

mod alter;
mod assign;
mod code;
mod column;
mod constraint;
mod count;
mod create;
mod drop;
mod dynamic;
mod index;
mod levels;
mod maintenance;
mod option;
mod ordinary;
mod predicate;
mod query;
mod reader;
mod reindex;
mod relation;
mod routine;
mod session;
mod statement;
mod types;
mod whole;
mod write;

pub use alter::{AlterTable, TableAction};
pub use assign::Assigns;
pub use code::{Opaque, OpaqueReason};
pub use column::{Column, DefaultValue, Generated};
pub use constraint::{Constraint, ConstraintKind, UsingIndex};
pub use create::CreateSchema;
pub use drop::Drop;
pub use index::{CreateIndex, DropIndex};
pub use maintenance::{Cluster, LockMode, LockTable, Refresh, Repack, Truncate, Vacuum};
pub use ordinary::is_ordinary;
pub use query::Offset;
pub use reader::{ObjectList, ObjectName};
pub use reindex::{Reindex, ReindexKind};
pub use relation::{CreateTable, Persistence, TableForm};
pub use routine::CreateRoutine;
pub use session::{ParameterOwner, StoredParameter};
pub use types::{AlterDomain, AlterType, CreateDomain, DomainAction, TypeAction};
pub use write::{Condition, Write, WriteVerb};

use super::facts::Discard;
use super::{Flaw, LexOptions, Name, ParameterUse, Span, Statements, TransactionControl};
use reader::Reader;

/// The commands of one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commands {
    found: Vec<Found>,
    statements: usize,
    flaw: Option<Flaw>,
    beyond: Beyond,
    /// They are those of [`Commands::closely`].
    closely: bool,
}

/// One command and where it stands. A statement may have several (a DO block, a query with two faults) or none.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Which statement of the text it belongs to, from 0.
    pub statement: usize,
    /// That statement in the text, without its `;`.
    pub span: Span,
    /// How it stands in that statement.
    pub place: Place,
    /// What it is.
    pub command: Command,
}

impl Found {
    fn controls(&self) -> bool {
        matches!(self.command, Command::Transaction(_))
    }
}

/// How a command stands in its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the statement, or what EXPLAIN ANALYZE runs, or a part of the query.
    Plain,
    /// It is an element of CREATE SCHEMA: a name without a schema is of the new one, and the server refuses any other.
    Element,
    /// It is the body of PREPARE, and runs with each EXECUTE.
    Prepared,
    /// It stands in a DO block, or in a literal that the block executes.
    Code {
        /// It runs if the block succeeds: it stands in no IF, no loop, and no block with EXCEPTION.
        certain: bool,
    },
    /// It was put together from literals of a DO block: what the block makes of it is not certain. All its names are
    /// `None`.
    Assembled,
}

/// What a statement does, as far as rules have to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// CREATE INDEX.
    CreateIndex(CreateIndex),
    /// DROP INDEX.
    DropIndex(DropIndex),
    /// REINDEX.
    Reindex(Reindex),
    /// CREATE TABLE, FOREIGN TABLE, VIEW, MATERIALIZED VIEW, SEQUENCE; SELECT INTO.
    CreateTable(CreateTable),
    /// CREATE SCHEMA; its elements follow as commands of their own.
    CreateSchema(CreateSchema),
    /// CREATE FUNCTION or PROCEDURE.
    CreateRoutine(CreateRoutine),
    /// CREATE DOMAIN.
    CreateDomain(CreateDomain),
    /// DROP of anything but an index.
    Drop(Drop),
    /// ALTER TABLE, and the same of indexes, views, sequences and other relations.
    AlterTable(AlterTable),
    /// ALTER TYPE.
    AlterType(AlterType),
    /// ALTER DOMAIN.
    AlterDomain(AlterDomain),
    /// ALTER … RENAME TO of what is neither a relation nor a type.
    Rename {
        /// What gets the name.
        kind: ObjectKind,
        /// Its name so far.
        from: Option<ObjectName>,
        /// Its name from now on.
        to: Option<Name>,
    },
    /// CLUSTER.
    Cluster(Cluster),
    /// VACUUM.
    Vacuum(Vacuum),
    /// REPACK (Postgres 19).
    Repack(Repack),
    /// REFRESH MATERIALIZED VIEW.
    Refresh(Refresh),
    /// LOCK TABLE.
    LockTable(LockTable),
    /// TRUNCATE.
    Truncate(Truncate),
    /// ANALYZE.
    Analyze,
    /// UPDATE, DELETE or MERGE whose condition is missing or always true, anywhere in the statement.
    Write(Write),
    /// COPY with a program or a file of the server.
    ServerSideCopy {
        /// A program, not a file.
        program: bool,
    },
    /// A function that takes an advisory lock of the session is called.
    AdvisoryLock,
    /// A query whose only output is `count(*)`, without WHERE, GROUP BY or LIMIT anywhere in it.
    UnboundedCount {
        /// The first table behind FROM; None where that is a query.
        table: Option<ObjectName>,
    },
    /// OFFSET of a literal or a parameter.
    Offset(Offset),
    /// An IN list of at least [`IN_LIST_MIN`] elements.
    InList {
        /// How many.
        elements: usize,
    },
    /// A SELECT that sends every row of a table; only [closely](Commands::closely).
    WholeSelect {
        /// The first table behind FROM.
        table: ObjectName,
    },
    /// One column is given two values; only [closely](Commands::closely).
    AssignedTwice {
        /// The first that is.
        column: Name,
        /// Where.
        assigns: Assigns,
    },
    /// BEGIN, COMMIT and their family.
    Transaction(TransactionControl),
    /// SET, RESET or `set_config` of one parameter.
    Parameter(ParameterUse),
    /// ALTER ROLE, ALTER DATABASE or ALTER SYSTEM … SET.
    StoredParameter(StoredParameter),
    /// DISCARD.
    Discard(Discard),
    /// CALL.
    Call {
        /// The procedure.
        name: Option<ObjectName>,
    },
    /// Code whose statements the text does not show.
    Opaque(Opaque),
    /// Any other command that changes the catalog.
    OtherDdl,
    /// A statement that begins with no word we know, or where the words of a known one break off.
    Unknown {
        /// CREATE or DROP with INDEX behind it, or REINDEX, is among its words.
        names_index_ddl: bool,
    },
}

impl Command {
    /// True for CREATE INDEX, DROP INDEX and REINDEX that are not concurrent: they keep writers out, or readers too.
    /// An element of CREATE SCHEMA is one as well, though its table is new.
    pub fn is_blocking_index_ddl(&self) -> bool {
        match self {
            Self::CreateIndex(index) => !index.concurrently,
            Self::DropIndex(index) => !index.concurrently,
            Self::Reindex(reindex) => !reindex.concurrently,
            _ => false,
        }
    }

    /// True for what changes the catalog, TRUNCATE and rewrites of tables included.
    pub fn is_ddl(&self) -> bool {
        match self {
            Self::CreateIndex(_) | Self::DropIndex(_) | Self::Reindex(_) | Self::OtherDdl => true,
            Self::CreateTable(_) | Self::CreateSchema(_) | Self::CreateRoutine(_) => true,
            Self::CreateDomain(_) | Self::AlterDomain(_) | Self::AlterType(_) => true,
            Self::AlterTable(_) | Self::Drop(_) | Self::Rename { .. } | Self::Truncate(_) => true,
            Self::Cluster(_) | Self::Vacuum(_) | Self::Repack(_) | Self::Refresh(_) => true,
            Self::StoredParameter(_) => true,
            Self::LockTable(_) | Self::Analyze | Self::Write(_) | Self::AdvisoryLock => false,
            Self::ServerSideCopy { .. } | Self::UnboundedCount { .. } | Self::Offset(_) => false,
            Self::WholeSelect { .. } | Self::AssignedTwice { .. } => false,
            Self::InList { .. } | Self::Transaction(_) | Self::Parameter(_) => false,
            Self::Discard(_) | Self::Call { .. } | Self::Opaque(_) | Self::Unknown { .. } => false,
        }
    }

    /// True for what only a close look finds: see [`Commands::closely`].
    fn is_seen_closely(&self) -> bool {
        matches!(self, Self::WholeSelect { .. } | Self::AssignedTwice { .. })
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A table.
    Table,
    /// A foreign table.
    ForeignTable,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A sequence.
    Sequence,
    /// An index.
    Index,
    /// A schema.
    Schema,
    /// A database.
    Database,
    /// A type.
    Type,
    /// A domain.
    Domain,
    /// Everything that a role owns: DROP OWNED.
    Owned,
    /// Anything else.
    Other,
}

/// What is known of the commands that were too many to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// There are such commands.
    pub any: bool,
    /// CREATE INDEX that is not concurrent is among them.
    pub creates_index: bool,
    /// DROP INDEX that is not concurrent is among them.
    pub drops_index: bool,
    /// REINDEX that is not concurrent is among them.
    pub reindexes: bool,
}

impl Beyond {
    /// True when blocking index DDL is among them.
    pub fn is_blocking_index_ddl(self) -> bool {
        self.creates_index || self.drops_index || self.reindexes
    }

    fn note(&mut self, command: &Command) {
        self.any = true;
        let blocking = command.is_blocking_index_ddl();
        self.creates_index |= blocking && matches!(command, Command::CreateIndex(_));
        self.drops_index |= blocking && matches!(command, Command::DropIndex(_));
        self.reindexes |= blocking && matches!(command, Command::Reindex(_));
    }

    fn add(&mut self, other: Self) {
        self.any |= other.any;
        self.creates_index |= other.creates_index;
        self.drops_index |= other.drops_index;
        self.reindexes |= other.reindexes;
    }
}

/// The shortest IN list that is told of.
pub const IN_LIST_MIN: usize = 100;

/// More commands than this in one text are not kept: see [`Beyond`].
const FOUND_MAX: usize = 2_000;

/// How deep code inside code is read.
const DEPTH_MAX: usize = 4;

/// The commands of `text`, in order.
pub fn commands(text: &[u8], options: LexOptions) -> Commands {
    if is_ordinary(text, options) { Commands::default() } else { Commands::read(text, options) }
}

impl Commands {
    /// The commands of a text that is known not to be [ordinary](is_ordinary): else [`commands`] is the faster way.
    pub fn read(text: &[u8], options: LexOptions) -> Self {
        Self::default().of(text, options)
    }

    /// What can be said of ordinary texts as well, and of nothing else: each SELECT of a whole table and each column
    /// assigned twice. Apart from the commands, since every query has to be read token by token for these; whoever does
    /// not ask for them does not pay.
    pub fn closely(text: &[u8], options: LexOptions) -> Self {
        Self { closely: true, ..Self::default() }.of(text, options)
    }

    fn of(self, text: &[u8], options: LexOptions) -> Self {
        let mut out = self;
        let mut statements = Statements::new(text, options);
        for span in statements.by_ref() {
            let statement = out.statements;
            out.statements += 1;
            statement::read(Reader::new(text, span, options, statement), &mut out);
        }
        out.flaw = statements.flaw();
        out
    }

    /// The commands, in order, up to the two-thousandth.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// Number of statements, those without a command included; 0 for an ordinary text.
    pub fn statements(&self) -> usize {
        self.statements
    }

    /// Why the server refuses this text, if its scanner does.
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// What is known of the commands that were too many to keep.
    pub fn beyond(&self) -> Beyond {
        self.beyond
    }

    /// True when there is nothing to judge.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && !self.beyond.any
    }

    /// True when BEGIN, COMMIT or one of their family is among them.
    pub fn controls(&self) -> bool {
        self.found.iter().any(Found::controls)
    }

    /// True when there are such commands, and no others.
    pub fn only_controls(&self) -> bool {
        !self.is_empty() && !self.beyond.any && self.found.iter().all(Found::controls)
    }

    /// Nothing yet, for the same kind of look.
    fn alike(&self) -> Self {
        Self { closely: self.closely, ..Self::default() }
    }

    /// Adds a statement that cannot be read. A piece of a text need not begin like one.
    fn add_unknown(&mut self, reader: &Reader) {
        if reader.place == Place::Assembled || self.closely {
            return;
        }
        let names_index_ddl = code::names_index_ddl(reader.whole());
        self.add(reader, Command::Unknown { names_index_ddl });
    }

    /// Adds the commands of `other` that are `wanted`.
    fn append(&mut self, other: Self, wanted: impl Fn(&Command) -> bool) {
        let room = FOUND_MAX.saturating_sub(self.found.len());
        let mut others = other.found.into_iter().filter(|found| wanted(&found.command));
        self.found.extend(others.by_ref().take(room));
        for found in others {
            self.beyond.note(&found.command);
        }
        self.beyond.add(other.beyond);
    }

    /// Says of all that was found in a block what only the whole block shows: whether it is certain after all, and
    /// whether what is opaque may be index DDL.
    fn settle(&mut self, is_certain: bool, names_index_ddl: bool) {
        for found in &mut self.found {
            if let Place::Code { certain } = &mut found.place {
                *certain &= is_certain;
            }
            if let Command::Opaque(opaque) = &mut found.command {
                opaque.names_index_ddl |= names_index_ddl;
            }
        }
    }

    fn add(&mut self, reader: &Reader, command: Command) {
        if command.is_seen_closely() != self.closely {
            return;
        }
        if self.found.len() < FOUND_MAX {
            let (statement, span, place) = (reader.statement, reader.span, reader.place);
            self.found.push(Found { statement, span, place, command });
            return;
        }
        self.beyond.note(&command);
    }
}
