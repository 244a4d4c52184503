//! Facts about a text: what each of its statements is and does to the session.
//!
//! Owns the types of the facts and the way from a text to them: a look that says "plain" for nearly every text
//! (`plain`), and behind it the recognisers, one file per family. The recognisers know the beginnings of
//! statements, not the grammar; where a text breaks the grammar the server refuses it, and no fact comes true.
//!
//! Deliberately absent: context. Whether a transaction is open, what a Bind carries and whether a statement
//! succeeded is `session`'s to know.

use super::calls;
use super::code;
use super::create;
use super::cursor::Cursor;
use super::effects::{EffectSet, PinReasons};
use super::literal::Name;
use super::parameters::{self, ParameterUse};
use super::plain::{Plain, plain};
use super::portals;
use super::statements;
use super::transaction::{self, TransactionControl};
use super::{Flaw, Kind, LexOptions, Span, Statements};

/// What is known about one text. Cheap to make and to keep when the text is plain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextFacts {
    effects: EffectSet,
    count: usize,
    statements: Kept,
    /// What the statements beyond [`STATEMENTS_MAX`] do.
    beyond: EffectSet,
    flaw: Option<Flaw>,
}

/// The statements of a text that is more than plain; one alone (BEGIN, COMMIT, SET) needs no allocation.
#[derive(Clone, Debug, Default, PartialEq)]
enum Kept {
    #[default]
    None,
    One(StatementFacts),
    Many(Vec<StatementFacts>),
}

/// What is known about one statement.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementFacts {
    /// Where it stands in the text, without its `;`.
    pub span: Span,
    /// What it is; for EXPLAIN, what it explains.
    pub kind: StatementKind,
    /// Whether it stands behind EXPLAIN.
    pub explain: Explain,
    /// What it does, or may do. Without ANALYZE an EXPLAIN does nothing.
    pub effects: EffectSet,
    /// Parameters it sets or reads, in the order of the text. Those inside DO blocks are only in `effects`.
    pub parameters: Vec<ParameterUse>,
}

/// How a statement is wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    /// Not at all: it runs.
    #[default]
    No,
    /// EXPLAIN: it is planned only.
    Plan,
    /// EXPLAIN ANALYZE: it runs.
    Analyze,
}

/// What a statement is, as far as sessions have to tell statements apart.
#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    /// SELECT, VALUES, TABLE, also behind WITH and in parentheses; SELECT INTO, which has the effect DDL.
    Select,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE.
    Merge,
    /// BEGIN, COMMIT and their family.
    Transaction(TransactionControl),
    /// SET of parameters; which ones is in `parameters`.
    Set,
    /// RESET.
    Reset,
    /// SHOW.
    Show,
    /// SET CONSTRAINTS.
    SetConstraints,
    /// PREPARE; the effects of `body` come with each EXECUTE, and are not in `effects`.
    Prepare {
        /// The statement's name.
        name: Name,
        /// The prepared statement itself, in the text.
        body: Span,
    },
    /// EXECUTE.
    Execute {
        /// The statement's name.
        name: Name,
    },
    /// DEALLOCATE.
    Deallocate {
        /// The statement's name; None for ALL.
        name: Option<Name>,
    },
    /// DISCARD.
    Discard(Discard),
    /// LISTEN.
    Listen {
        /// The channel.
        channel: Name,
    },
    /// UNLISTEN.
    Unlisten {
        /// The channel; None for `*`.
        channel: Option<Name>,
    },
    /// NOTIFY.
    Notify {
        /// The channel.
        channel: Name,
    },
    /// LOAD.
    Load,
    /// DECLARE … CURSOR.
    Declare {
        /// The cursor's name.
        cursor: Name,
        /// WITH HOLD.
        hold: bool,
    },
    /// FETCH or MOVE.
    Fetch {
        /// The cursor's name.
        cursor: Name,
    },
    /// CLOSE.
    Close {
        /// The cursor's name; None for ALL.
        cursor: Option<Name>,
    },
    /// COPY.
    Copy(CopyDirection),
    /// DO; what its body may do is in `effects`.
    Do,
    /// CALL.
    Call,
    /// CREATE of anything.
    Create(Create),
    /// Any other command that we know by its first word.
    Utility,
    /// A first word we do not know, or a known one whose form is not the grammar's.
    Unknown,
}

impl StatementKind {
    /// True for what EXPLAIN takes (ExplainableStmt in `gram.y`; REFRESH is among the utilities).
    fn is_explainable(&self) -> bool {
        match self {
            Self::Select | Self::Insert | Self::Update | Self::Delete | Self::Merge => true,
            Self::Execute { .. } | Self::Declare { .. } | Self::Create(_) | Self::Utility => true,
            Self::Transaction(_) | Self::Set | Self::Reset | Self::Show | Self::SetConstraints => {
                false
            }
            Self::Prepare { .. } | Self::Deallocate { .. } | Self::Discard(_) => false,
            Self::Listen { .. } | Self::Unlisten { .. } | Self::Notify { .. } | Self::Load => false,
            Self::Fetch { .. } | Self::Close { .. } | Self::Copy(_) => false,
            Self::Do | Self::Call | Self::Unknown => false,
        }
    }
}

/// What DISCARD throws away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Everything.
    All,
    /// Cached plans.
    Plans,
    /// The memory of sequences.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// Which way COPY goes and who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    /// FROM STDIN: the client sends.
    FromClient,
    /// TO STDOUT: the client receives.
    ToClient,
    /// A file or a program on the server.
    OnServer,
}

/// What is known about a CREATE.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Create {
    /// TEMP or TEMPORARY stands before the object's kind.
    pub temporary: bool,
    /// ON COMMIT DROP: a temporary table is gone with its transaction.
    pub on_commit_drop: bool,
    /// The prepared statement of CREATE TABLE … AS EXECUTE.
    pub executes: Option<Name>,
}

/// How deep texts inside texts are read: a DO block's EXECUTE of a literal with a DO block, and so on.
pub(super) const DEPTH_MAX: usize = 4;

/// More statements than this in one text are not kept one by one; where one of the rest is more than plain, the text
/// has the effect UNKNOWN. The bound keeps a text of a million tiny statements from becoming a hundred megabytes.
const STATEMENTS_MAX: usize = 10_000;

/// Everything this room knows about a text. Linear in its length; recursion is bounded by the nesting of quoted code
/// that is looked into, never by the nesting of SQL.
pub fn facts(text: &[u8], options: LexOptions) -> TextFacts {
    if let Some(Plain { count, .. }) = plain(text, options) {
        return TextFacts { count, ..TextFacts::default() };
    }
    TextFacts::read(text, options)
}

impl TextFacts {
    /// The facts of a text that is known not to be [`plain`]: else [`facts`] is the faster way.
    pub fn read(text: &[u8], options: LexOptions) -> Self {
        let mut statements = Statements::new(text, options);
        let mut found = TextFacts::default();
        for span in statements.by_ref() {
            let statement = read_statement(Cursor::new(text, span, options), 0);
            found.effects.add(statement.effects);
            found.count += 1;
            if found.count > STATEMENTS_MAX {
                found.beyond.add(statement.effects);
                continue;
            }
            found.statements = match found.statements {
                Kept::None => Kept::One(statement),
                Kept::One(first) => Kept::Many(vec![first, statement]),
                Kept::Many(mut all) => {
                    all.push(statement);
                    Kept::Many(all)
                }
            };
        }
        if found.beyond.has(EffectSet::STATEFUL) {
            found.beyond.add(EffectSet::UNKNOWN);
            found.effects.add(EffectSet::UNKNOWN);
        }
        found.flaw = statements.flaw();
        found
    }

    /// The effects of all statements together.
    pub fn effects(&self) -> EffectSet {
        self.effects
    }

    /// Number of statements; empty ones do not count.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The statements, in order, up to the ten-thousandth; empty for a text of plain queries only.
    pub fn statements(&self) -> &[StatementFacts] {
        match &self.statements {
            Kept::None => &[],
            Kept::One(one) => std::slice::from_ref(one),
            Kept::Many(all) => all,
        }
    }

    /// Why the server refuses this text, if its scanner does.
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    /// True when the text touches neither session state nor the transaction: it may run on any server.
    pub fn is_plain(&self) -> bool {
        !self.effects.has(EffectSet::STATEFUL)
    }

    /// Why the session would have to stay on its server once this text has succeeded. What can be tracked (SET,
    /// PREPARE, LISTEN in plain sight) is not among the reasons. A temporary table with `ON COMMIT DROP` is: the pin
    /// is lifted by asking the server.
    pub fn pins(&self) -> PinReasons {
        let mut reasons = PinReasons::of(self.beyond);
        for statement in self.statements() {
            reasons.extend(PinReasons::of(statement.effects));
        }
        reasons
    }

    /// The transaction command, when the text is that one statement and nothing else, and the server's scanner takes
    /// it: `COMMIT /*` is none.
    pub fn transaction_control(&self) -> Option<&TransactionControl> {
        match (&self.statements, self.flaw) {
            (Kept::One(StatementFacts { kind: StatementKind::Transaction(control), .. }), None) => {
                Some(control)
            }
            (Kept::None | Kept::One(_) | Kept::Many(_), _) => None,
        }
    }

    /// True when the text sets, resets or reads `parameter` (lower case), or may: RESET ALL, SHOW ALL, DISCARD ALL,
    /// a name that is a parameter or an expression, code.
    pub fn reads_or_sets(&self, parameter: &[u8]) -> bool {
        let hidden = self.beyond.has(EffectSet::UNKNOWN);
        hidden
            || self.statements().iter().any(|statement| {
                let everything = matches!(statement.kind, StatementKind::Discard(Discard::All));
                everything
                    || statement
                        .effects
                        .has(EffectSet::CODE.with(EffectSet::OPAQUE).with(EffectSet::UNKNOWN))
                    || statement.parameters.iter().any(|used| used.target.may_be(parameter))
            })
    }
}

/// The effects of every statement of `text`, for code inside code.
pub(super) fn effects_within(text: &[u8], options: LexOptions, depth: usize) -> EffectSet {
    if depth > DEPTH_MAX {
        return EffectSet::UNKNOWN.with(EffectSet::OPAQUE);
    }
    if plain(text, options).is_some() {
        return EffectSet::NONE;
    }
    let mut effects = EffectSet::NONE;
    for span in Statements::new(text, options) {
        effects.add(read_statement(Cursor::new(text, span, options), depth).effects);
    }
    effects
}

/// The facts of the statement that `cursor` stands before.
pub(super) fn read_statement(cursor: Cursor, depth: usize) -> StatementFacts {
    let span = Span { start: cursor.offset(), end: cursor.text().len() };
    let mut out = StatementFacts {
        span,
        kind: StatementKind::Unknown,
        explain: Explain::No,
        effects: EffectSet::NONE,
        parameters: Vec::new(),
    };
    let mut cursor = cursor;
    if cursor.at("explain") {
        out.explain = statements::explain(&mut cursor);
    }
    out.kind = read_kind(cursor, &mut out, depth);
    if out.explain != Explain::No && !out.kind.is_explainable() {
        out.kind = StatementKind::Unknown;
    }
    if out.kind == StatementKind::Unknown {
        out.effects.add(EffectSet::UNKNOWN);
    }
    if out.explain == Explain::Plan {
        let kept = EffectSet::EXECUTE.with(EffectSet::READS_PARAMETER).with(EffectSet::UNKNOWN);
        out.effects = out.effects.both(kept);
        out.parameters.retain(|used| !used.writes());
    }
    out
}

/// What the statement at `cursor` is; effects and parameters go to `out`.
fn read_kind(cursor: Cursor, out: &mut StatementFacts, depth: usize) -> StatementKind {
    let Some(first) = cursor.peek() else { return StatementKind::Unknown };
    let mut word = [0_u8; 16];
    let raw = first.span.of(cursor.text());
    let word = match (first.kind, word.get_mut(..raw.len())) {
        (Kind::Symbol(b'('), _) => b"select",
        (Kind::Word, Some(word)) => {
            word.copy_from_slice(raw);
            word.make_ascii_lowercase();
            &*word
        }
        _ => return StatementKind::Unknown,
    };
    let control = |found: Option<TransactionControl>| {
        found.map_or(StatementKind::Unknown, StatementKind::Transaction)
    };
    let kind = match word {
        b"select" | b"values" | b"table" => calls::query(cursor, StatementKind::Select, out),
        b"with" => calls::query(cursor, statements::behind_with(cursor), out),
        b"insert" => calls::query(cursor, StatementKind::Insert, out),
        b"update" => calls::query(cursor, StatementKind::Update, out),
        b"delete" => calls::query(cursor, StatementKind::Delete, out),
        b"merge" => calls::query(cursor, StatementKind::Merge, out),
        b"begin" | b"start" => control(transaction::begin(cursor)),
        b"commit" | b"end" | b"rollback" | b"abort" => control(transaction::end(cursor)),
        b"savepoint" | b"release" => control(transaction::savepoint(cursor)),
        b"prepare" => match transaction::prepare(cursor) {
            Some(found) => control(Some(found)),
            None => statements::prepare(cursor, out),
        },
        b"set" => parameters::set(cursor, out),
        b"reset" => parameters::reset(cursor, out),
        b"show" => parameters::show(cursor, out),
        b"execute" => statements::execute(cursor, out),
        b"deallocate" => statements::deallocate(cursor, out),
        b"discard" => statements::discard(cursor, out),
        b"listen" | b"unlisten" | b"notify" => statements::notification(cursor, out),
        b"load" => statements::load(out),
        b"declare" | b"fetch" | b"move" | b"close" => portals::read(cursor, out),
        b"copy" => statements::copy(cursor, out),
        b"do" => code::anonymous_block(cursor, out, depth),
        b"call" => statements::call(cursor, out),
        b"create" => create::read(cursor, out),
        _ => statements::utility(cursor, word, out),
    };
    if let StatementKind::Transaction(control) = &kind {
        out.effects.add(control.effects());
    }
    kind
}
