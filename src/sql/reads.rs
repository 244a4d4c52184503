//! Lexical proof that a text only reads: what its statements are, and the names of everything that they call and read.
//!
//! Owns the kinds and the way from a text to one of them. What a name means, the catalog says (`route`); here stands only
//! that these are all the names: every function and every relation that Postgres' own parse tree would have is among
//! them. Some more may be, since some constructs look like calls. Linear in the text, with bounds on depth and names,
//! beyond which nothing is proven.
//!
//! Deliberately absent: what operators, casts and row security policies call. No text shows that.

mod found;
mod hint;
mod settings;
mod walk;
mod words;

use super::cursor::Cursor;
use super::facts::{self, CopyDirection, Explain, StatementKind};
use super::literal::Name;
use super::parameters::Target;
use super::split::Nesting;
use super::statements;
use super::transaction::TransactionControl;
use super::{Kind as TokenKind, LexOptions, Span};

pub use hint::Hint;
pub use settings::is_of_the_session;

use super::commands::ObjectName;
use found::Found;
use walk::{Mode, Walk};

/// What a text is to whoever chooses a server for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What all of its statements are.
    pub kind: Kind,
    /// Every function that may be called, as written. Constructs that look like calls may be among them. Complete where
    /// the kind is [`Kind::Read`], [`Kind::Cursor`] or [`Kind::Execute`].
    pub functions: Vec<ObjectName>,
    /// Every relation that may be read, as written, but for those names that can only be a CTE's. Complete as
    /// `functions` are.
    pub relations: Vec<ObjectName>,
    /// The last parts of names with points in them: `t.f` calls the function `f` of a row of `t`, where `t` has no such
    /// column. Complete as `functions` are.
    pub dotted: Vec<Name>,
    /// A parameter that is read and whose value may be the server's own; `current_setting` where the text does not show
    /// which.
    pub setting: Option<Name>,
    /// What a comment before the first token asks for.
    pub hint: Option<Hint>,
}

/// What a text is: the same kind for all of its statements, or else the most cautious that covers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each of its statements only reads, as far as the text shows.
    Read,
    /// Nothing but state of the session: SET, PREPARE, LISTEN and the like. So is a text without statements.
    Session,
    /// Nothing but transaction control, SET CONSTRAINTS included.
    Control,
    /// One FETCH, MOVE, CLOSE or DECLARE without HOLD; names are those of DECLARE's query, which only reads.
    Cursor,
    /// One EXECUTE, of this statement of SQL; names are those of its arguments.
    Execute(Name),
    /// For certain what a standby refuses, or what is to be done at the primary.
    Write(Why),
    /// Anything else: code, statements that are not known, flaws, mixtures, and what is beyond the limits.
    Unknown,
}

/// Why a text is a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// INSERT, UPDATE, DELETE, MERGE, also in WITH, in COPY and behind EXPLAIN ANALYZE.
    Dml,
    /// FOR UPDATE and its family.
    RowLocks,
    /// SELECT INTO.
    Into,
    /// DDL of any kind.
    Ddl,
    /// LOCK.
    Lock,
    /// COPY FROM, or TO a file or program of the server.
    Copy,
    /// NOTIFY.
    Notify,
    /// PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED.
    TwoPhase,
    /// VACUUM, ANALYZE, CHECKPOINT, LOAD.
    Maintenance,
    /// DECLARE … WITH HOLD.
    HoldCursor,
}

/// What `text` is, read with `options`. It stops at the first certain write.
pub fn reading(text: &[u8], options: LexOptions) -> Reading {
    let hint = hint::before(text, options);
    let whole = Span { start: 0, end: text.len() };
    let mut cursor = Cursor::new(text, whole, options);
    let mut found = Found::default();
    let mut kind: Option<Kind> = None;
    loop {
        while cursor.eat_symbol(b';') {}
        if cursor.at_end() {
            break;
        }
        let next = statement(&mut cursor, &mut found);
        kind = Some(match kind {
            None => next,
            Some(before) => before.and(next),
        });
        if matches!(kind, Some(Kind::Write(_))) {
            break;
        }
    }
    let mut kind = kind.unwrap_or(Kind::Session);
    let refused = cursor.flaw().is_some() || found.overflows();
    if refused && !matches!(kind, Kind::Write(_)) {
        kind = Kind::Unknown;
    }
    let Found { functions, relations, dotted, setting, .. } = found;
    Reading {
        kind,
        functions: functions.names,
        relations: relations.names,
        dotted: dotted.names,
        setting,
        hint,
    }
}

impl Kind {
    /// Both, one after the other in one text.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Write(why), _) | (_, Self::Write(why)) => Self::Write(why),
            (Self::Read, Self::Read) => Self::Read,
            (Self::Session, Self::Session) => Self::Session,
            (Self::Control, Self::Control) => Self::Control,
            (_, _) => Self::Unknown,
        }
    }
}

/// Reads one statement, up to its `;`. Behind a write the rest may be left unread.
fn statement(cursor: &mut Cursor, found: &mut Found) -> Kind {
    match first_word(cursor) {
        First::Query => Walk::new(cursor, found, Mode::Run).query(),
        First::Write => Kind::Write(Why::Dml),
        First::Other => {
            let span = rest_of_statement(cursor);
            other(Cursor::new(cursor.text(), span, cursor.options()), found)
        }
    }
}

/// How a statement begins.
enum First {
    /// SELECT, VALUES, TABLE, WITH or a parenthesis.
    Query,
    /// INSERT, UPDATE, DELETE, MERGE.
    Write,
    /// Anything else.
    Other,
}

fn first_word(cursor: &Cursor) -> First {
    match () {
        () if cursor.at_any(&["select", "with", "values", "table"]) => First::Query,
        () if cursor.at_symbol(b'(') => First::Query,
        () if cursor.at_any(&["insert", "update", "delete", "merge"]) => First::Write,
        () => First::Other,
    }
}

/// Eats a statement without looking at it, and gives its span.
fn rest_of_statement(cursor: &mut Cursor) -> Span {
    let start = cursor.offset();
    let mut nesting = Nesting::default();
    while let Some(token) = cursor.peek() {
        if token.kind == TokenKind::Symbol(b';') && nesting.is_open() {
            break;
        }
        nesting.step(token, cursor.text());
        cursor.bump();
    }
    Span { start, end: cursor.behind() }
}

/// What a statement is that begins with no word of a query; `cursor` has nothing but it.
fn other(mut cursor: Cursor, found: &mut Found) -> Kind {
    if cursor.at("explain") {
        return explained(cursor, found);
    }
    let read = facts::read_statement(cursor, 0);
    match read.kind {
        StatementKind::Transaction(control) => match control {
            TransactionControl::PrepareTransaction
            | TransactionControl::CommitPrepared
            | TransactionControl::RollbackPrepared => Kind::Write(Why::TwoPhase),
            // The snapshot is one of the primary's.
            TransactionControl::SetTransaction(modes) if modes.snapshot => Kind::Unknown,
            TransactionControl::Begin(_)
            | TransactionControl::Commit { .. }
            | TransactionControl::Rollback { .. }
            | TransactionControl::Savepoint(_)
            | TransactionControl::Release(_)
            | TransactionControl::RollbackTo(_)
            | TransactionControl::SetTransaction(_) => Kind::Control,
        },
        StatementKind::SetConstraints => Kind::Control,
        StatementKind::Set
        | StatementKind::Reset
        | StatementKind::Prepare { .. }
        | StatementKind::Deallocate { .. }
        | StatementKind::Discard(_)
        | StatementKind::Listen { .. }
        | StatementKind::Unlisten { .. } => Kind::Session,
        StatementKind::Show => {
            for used in read.parameters {
                found.reads(match used.target {
                    Target::Named(name) => name,
                    Target::All | Target::Param(_) | Target::Expression => Name::new(b"all"),
                });
            }
            Kind::Read
        }
        StatementKind::Notify { .. } => Kind::Write(Why::Notify),
        StatementKind::Load => Kind::Write(Why::Maintenance),
        StatementKind::Declare { hold, .. } => declared(cursor, hold, found),
        StatementKind::Fetch { .. } | StatementKind::Close { .. } => Kind::Cursor,
        StatementKind::Execute { name } => {
            cursor.bump();
            cursor.name();
            match Walk::new(&mut cursor, found, Mode::Run).expression() {
                Kind::Read => Kind::Execute(name),
                other => other,
            }
        }
        StatementKind::Copy(direction) => copied(cursor, direction, found),
        StatementKind::Create(_) => Kind::Write(Why::Ddl),
        StatementKind::Utility => Kind::Write(match () {
            () if cursor.at("lock") => Why::Lock,
            () if cursor.at_any(&["vacuum", "analyze", "analyse", "checkpoint"]) => {
                Why::Maintenance
            }
            // WAIT FOR is for the server that it is sent to.
            () if cursor.at("wait") => return Kind::Unknown,
            () => Why::Ddl,
        }),
        StatementKind::Insert
        | StatementKind::Update
        | StatementKind::Delete
        | StatementKind::Merge => Kind::Write(Why::Dml),
        StatementKind::Do
        | StatementKind::Call
        | StatementKind::Select
        | StatementKind::Unknown => Kind::Unknown,
    }
}

/// EXPLAIN. What is planned only, only reads.
fn explained(mut cursor: Cursor, found: &mut Found) -> Kind {
    let mode = match statements::explain(&mut cursor) {
        Explain::No | Explain::Plan => Mode::Plan,
        Explain::Analyze => Mode::Run,
    };
    match first_word(&cursor) {
        First::Query => return Walk::new(&mut cursor, found, mode).query(),
        First::Write if mode == Mode::Run => return Kind::Write(Why::Dml),
        First::Write => return Walk::new(&mut cursor, found, mode).query(),
        First::Other => {}
    }
    let plans = mode == Mode::Plan;
    let creates = cursor.at("create");
    if creates && !plans {
        return Kind::Write(Why::Ddl);
    }
    if creates || cursor.at("declare") && plans {
        // Up to the query of CREATE … AS or DECLARE … FOR.
        while !cursor.at_end() && !cursor.eat_any(&["as", "for"]) {
            cursor.bump();
        }
        if matches!(first_word(&cursor), First::Query) {
            return Walk::new(&mut cursor, found, mode).query();
        }
    }
    Kind::Unknown
}

/// DECLARE.
fn declared(mut cursor: Cursor, hold: bool, found: &mut Found) -> Kind {
    if hold {
        return Kind::Write(Why::HoldCursor);
    }
    // The name may be any word; what stands between CURSOR and the query is not.
    cursor.bump();
    cursor.name();
    while !cursor.at_end() && !cursor.eat("for") {
        cursor.bump();
    }
    match first_word(&cursor) {
        First::Query => match Walk::new(&mut cursor, found, Mode::Run).query() {
            Kind::Read => Kind::Cursor,
            other => other,
        },
        First::Write | First::Other => Kind::Unknown,
    }
}

/// COPY.
fn copied(mut cursor: Cursor, direction: CopyDirection, found: &mut Found) -> Kind {
    match direction {
        CopyDirection::ToClient => {}
        CopyDirection::FromClient | CopyDirection::OnServer => return Kind::Write(Why::Copy),
    }
    cursor.bump();
    // BINARY is reserved (type_func_name_keyword): no table's name.
    cursor.eat("binary");
    let Some(query) = cursor.parentheses() else {
        return Walk::new(&mut cursor, found, Mode::Run).table();
    };
    let mut query = Cursor::new(cursor.text(), query, cursor.options());
    match first_word(&query) {
        First::Query => Walk::new(&mut query, found, Mode::Run).query(),
        First::Write => Kind::Write(Why::Dml),
        First::Other => Kind::Unknown,
    }
}
