//! What a text does to the session that runs it, as far as pooling must know.

use super::belt::Limit;
use super::code;
use crate::sql::{
    self, EffectSet, LexOptions, ParameterUse, Scope, Span, StatementFacts, StatementKind, Target,
    TextFacts, TransactionControl,
};

/// Why a session keeps its server beyond its transactions: a set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins(u32);

macro_rules! pins {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $text:expr;)*) => {
        impl Pins {
            $($(#[$doc])* pub const $name: Pins = Pins(1 << $bit);)*

            /// Every reason, each alone.
            pub const ALL: &[Pins] = &[$(Pins::$name),*];

            /// The reasons in words.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                [$((Pins::$name, $text)),*]
                    .into_iter()
                    .filter(move |(pin, _)| self.has(*pin))
                    .map(|(_, text)| text)
            }
        }
    };
}

pins! {
    /// `pool_mode = session`.
    SESSION_MODE = 0, "session mode";
    /// SET, RESET, `set_config(.., false)`, or a parameter that a function set.
    PARAMETER = 1, "SET";
    /// PREPARE that is not followed: in code, with a name beyond ASCII, one too many.
    SQL_PREPARE = 2, "PREPARE";
    /// A named statement of the extended protocol.
    NAMED_STATEMENT = 3, "named statement";
    /// A LISTEN that is not followed.
    LISTEN = 4, "LISTEN";
    /// A temporary table, view or sequence.
    TEMPORARY = 5, "temporary object";
    /// A session advisory lock.
    ADVISORY_LOCK = 6, "advisory lock";
    /// A cursor WITH HOLD.
    HELD_CURSOR = 7, "WITH HOLD cursor";
    /// LOAD: its server is never shared again.
    LOAD = 8, "LOAD";
    /// `lastval`, `currval`: state of the backend that pgweir cannot see.
    BACKEND_STATE = 9, "backend state";
    /// `setseed`, which DISCARD ALL leaves as it is.
    SEED = 13, "setseed";
    /// A parameter with a dot in its name, of which DISCARD ALL leaves an empty value behind.
    PLACEHOLDER = 14, "custom parameter";
    /// A fast-path function call other than on a large object.
    FUNCTION_CALL = 10, "function call";
    /// A text over `max_statement_size`, which nobody has read.
    UNREAD_TEXT = 11, "unread text";
    /// A dblink connection, a temporary replication slot, a replication origin, a backup that runs:
    /// DISCARD ALL leaves them as they are.
    LASTING_STATE = 16, "lasting backend state";
    /// Code that runs SQL which no text shows: EXECUTE of an expression, another language than
    /// PL/pgSQL, `query_to_xml`. It may do whatever any other reason stands for.
    HIDDEN_CODE = 15, "hidden code";
    /// DISCARD ALL among other statements, or in code: whether it has run is not known.
    DISCARD = 12, "DISCARD";
}

impl Pins {
    /// Reasons that DISCARD ALL does not undo: the server is closed afterwards.
    pub const BEYOND_DISCARD: Pins = Pins::LOAD
        .and(Pins::SEED)
        .and(Pins::PLACEHOLDER)
        .and(Pins::LASTING_STATE)
        .and(Pins::HIDDEN_CODE);

    /// Reasons of which a server can be asked whether they still hold.
    pub const ASKABLE: Pins = Pins::TEMPORARY.and(Pins::ADVISORY_LOCK).and(Pins::HELD_CURSOR);

    /// What is left of them after DISCARD ALL.
    #[must_use]
    pub fn after_discard(self) -> Pins {
        Pins(self.0 & (Pins::SESSION_MODE.0 | Pins::BEYOND_DISCARD.0))
    }

    /// No reason.
    pub const NONE: Pins = Pins(0);

    /// Whether there is none.
    #[must_use]
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether any of `other` is among them.
    #[must_use]
    pub fn has(self, other: Pins) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Pins) -> Pins {
        Pins(self.0 | other.0)
    }

    /// These, less `other`.
    #[must_use]
    pub const fn without(self, other: Pins) -> Pins {
        Pins(self.0 & !other.0)
    }

    /// What both hold.
    #[must_use]
    pub const fn both(self, other: Pins) -> Pins {
        Pins(self.0 & other.0)
    }

    /// The reasons in one text.
    #[must_use]
    pub fn in_words(self) -> String {
        self.names().collect::<Vec<_>>().join(", ")
    }

    /// The reason as one word in lower case, as metrics have it.
    #[must_use]
    pub fn word(self) -> String {
        self.in_words().to_ascii_lowercase().replace(' ', "_")
    }

    /// The set as bits, one for each reason, to count by.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// What a statement does to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT, END, without AND CHAIN.
    Commit,
    /// ROLLBACK, ABORT, without TO and AND CHAIN.
    Rollback,
    /// SAVEPOINT, ROLLBACK TO, two-phase commands, AND CHAIN.
    Other,
}

/// How a unit of work may end the transaction that it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// Not at all.
    #[default]
    No,
    /// It is one ROLLBACK and nothing else.
    Rollback,
    /// It may commit.
    Commit,
}

impl Ending {
    /// Both in one batch.
    #[must_use]
    pub fn and(self, other: Ending) -> Ending {
        match (self, other) {
            (Ending::No, ending) | (ending, Ending::No) => ending,
            (Ending::Rollback, Ending::Rollback) => Ending::Rollback,
            (Ending::Commit, _) | (_, Ending::Commit) => Ending::Commit,
        }
    }
}

/// How a text stands to the limits of time on pgweir's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// Each of its statements has the limit of statements.
    #[default]
    Plain,
    /// It is maintenance and what stands around that: each of its statements has that limit.
    Maintenance,
    /// It sets a limit that the server keeps, or may: all of it together has pgweir's once.
    SetsLimit,
    /// It ends a transaction or prepares that, and does nothing else: it is never cut.
    EndsTransaction,
}

/// What a text does to the session that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextEffects {
    /// What it leaves behind on the server.
    pub pins: Pins,
    /// Whether it ends a transaction.
    pub ending: Ending,
    /// It uses, makes or drops prepared statements by name, or may: PREPARE, EXECUTE, DEALLOCATE,
    /// DISCARD ALL, code. [`named_use`] says more.
    pub uses_names: bool,
    /// It sets a parameter until the end of the transaction.
    pub sets_locally: bool,
    /// It may change what the names and types in other texts mean.
    pub redefines: bool,
    /// It is one query of rows or on rows, and nothing else.
    pub is_one_query: bool,
    /// It sets parameters or listens in plain sight: what to keep the server for where that is not
    /// followed.
    pub sets: Pins,
    /// It ends listening.
    pub unlistens: bool,
    /// It notifies in plain sight.
    pub notifies: bool,
    /// It begins, ends or shapes a transaction.
    pub controls: bool,
    /// It may define code that sets parameters.
    pub defines_code: bool,
    /// It may give up what pins a session: locks, temporary objects, cursors.
    pub may_release: bool,
    /// How it stands to the limits of time on pgweir's clock.
    pub timing: Timing,
    /// It has DDL that others queue behind, which `ddl_lock_timeout` is for: [`sql::Upkeep::ddl`].
    pub ddl: bool,
    /// How many statements it has: at least 1, and `u16::MAX` for all that are more.
    pub statements: u16,
    /// It sets a limit of time until the end of the transaction, or may.
    pub sets_limit_locally: bool,
    /// It may hold commands that the guard's rules judge: it is not [`sql::is_ordinary`], nor transaction control alone,
    /// which comes with every transaction and matters only to what the guard has noted of one.
    pub commands: bool,
}

impl TextEffects {
    /// A text that does nothing of all this.
    pub const NOTHING: TextEffects = TextEffects {
        pins: Pins::NONE,
        ending: Ending::No,
        uses_names: false,
        sets_locally: false,
        redefines: false,
        is_one_query: false,
        sets: Pins::NONE,
        unlistens: false,
        notifies: false,
        controls: false,
        defines_code: false,
        may_release: false,
        timing: Timing::Plain,
        ddl: false,
        statements: 1,
        sets_limit_locally: false,
        commands: false,
    };

    /// A text that nobody has read.
    pub const UNREAD: TextEffects = TextEffects {
        pins: Pins::UNREAD_TEXT,
        ending: Ending::Commit,
        uses_names: false,
        sets_locally: true,
        redefines: true,
        is_one_query: false,
        sets: Pins::NONE,
        unlistens: true,
        notifies: false,
        controls: true,
        defines_code: true,
        may_release: true,
        timing: Timing::SetsLimit,
        ddl: false,
        statements: u16::MAX,
        sets_limit_locally: true,
        commands: true,
    };
}

/// What a text with [`TextEffects::uses_names`] does to prepared statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedUse {
    /// What stands in plain sight, each with the number of its statement, from 0.
    pub steps: Vec<(usize, NameStep)>,
    /// How many statements there are.
    pub statements: usize,
    /// It may use any name, though it changes none out of sight.
    pub sees_all: bool,
    /// Code: it may do anything with any name.
    pub unclear: bool,
}

/// What one statement does to prepared statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameStep {
    /// PREPARE.
    Prepare {
        /// The name.
        name: Box<[u8]>,
        /// The statement's own text, as far behind the beginning as in the text that it stands in:
        /// the places that errors name are the same.
        text: Box<[u8]>,
        /// What the prepared statement does when it is run.
        effects: TextEffects,
    },
    /// EXECUTE.
    Execute(Box<[u8]>),
    /// DEALLOCATE.
    Deallocate(Box<[u8]>),
    /// DEALLOCATE ALL.
    DeallocateAll,
    /// DISCARD ALL.
    DiscardAll,
}

impl NamedUse {
    /// The step of a text that is one statement and nothing else.
    #[must_use]
    pub fn only(&self) -> Option<&NameStep> {
        match &self.steps[..] {
            [(_, step)] if self.statements == 1 && !self.unclear && !self.sees_all => Some(step),
            _ => None,
        }
    }
}

/// Reads what a text does to prepared statements.
#[must_use]
pub fn named_use(text: &[u8]) -> NamedUse {
    let facts = sql::facts(text, LexOptions::default());
    let hidden = EffectSet::MAYBE.with(EffectSet::UNKNOWN).with(EffectSet::OPAQUE);
    let mut found = NamedUse {
        statements: facts.count(),
        sees_all: facts.effects().has(EffectSet::SEES_PREPARED),
        unclear: facts.effects().has(hidden) || facts.statements().len() != facts.count(),
        ..NamedUse::default()
    };
    if facts.flaw().is_some() {
        // The server refuses it whole.
        return found;
    }
    for (number, statement) in facts.statements().iter().enumerate() {
        let step = match &statement.kind {
            StatementKind::Prepare { name, body } => NameStep::Prepare {
                name: name.as_bytes().into(),
                text: at_its_place(text, statement.span),
                effects: effects(body.of(text)),
            },
            StatementKind::Execute { name } => NameStep::Execute(name.as_bytes().into()),
            StatementKind::Create(sql::Create { executes: Some(name), .. }) => {
                NameStep::Execute(name.as_bytes().into())
            }
            StatementKind::Deallocate { name: Some(name) } => {
                NameStep::Deallocate(name.as_bytes().into())
            }
            StatementKind::Deallocate { name: None } => NameStep::DeallocateAll,
            StatementKind::Discard(sql::Discard::All) => NameStep::DiscardAll,
            _ => continue,
        };
        found.steps.push((number, step));
    }
    found
}

/// Characters before a statement for which as many blanks are put.
const BLANKS_MAX: usize = 4_096;

/// A statement behind as many blanks as characters stand before it.
fn at_its_place(text: &[u8], span: Span) -> Box<[u8]> {
    let before = &text[..span.start];
    let characters = str::from_utf8(before).map_or(before.len(), |before| before.chars().count());
    let blanks = if characters <= BLANKS_MAX { characters } else { 0 };
    let mut own = vec![b' '; blanks];
    own.extend_from_slice(span.of(text));
    own.into()
}

/// What a statement does beside what is followed of its names.
fn beside_names(statement: &StatementFacts) -> EffectSet {
    let followed = match &statement.kind {
        StatementKind::Prepare { .. } => EffectSet::PREPARE,
        StatementKind::Discard(_) => EffectSet::DISCARD,
        _ => EffectSet::NONE,
    };
    statement.effects.without(followed)
}

/// Whether a statement makes, uses or drops prepared statements, or may.
fn uses_names(statement: &StatementFacts) -> bool {
    let by_name = EffectSet::PREPARE
        .with(EffectSet::EXECUTE)
        .with(EffectSet::DEALLOCATE)
        .with(EffectSet::DISCARD)
        .with(EffectSet::SEES_PREPARED)
        .with(EffectSet::OPAQUE);
    match &statement.kind {
        // Plans are made anew; what is left of temporary objects and sequences pins by itself.
        StatementKind::Discard(what) => *what == sql::Discard::All,
        _ => statement.effects.has(by_name),
    }
}

/// What each effect of a text pins.
const PINNING: [(EffectSet, Pins); 11] = [
    (EffectSet::SET_UNTRACKED, Pins::PARAMETER),
    (EffectSet::PREPARE, Pins::SQL_PREPARE),
    (EffectSet::TEMP, Pins::TEMPORARY),
    (EffectSet::ADVISORY_LOCK, Pins::ADVISORY_LOCK),
    (EffectSet::HOLD_CURSOR, Pins::HELD_CURSOR),
    (EffectSet::LOAD, Pins::LOAD),
    (EffectSet::SETSEED, Pins::SEED),
    (EffectSet::SEQUENCE_READ, Pins::BACKEND_STATE),
    (EffectSet::DBLINK, Pins::LASTING_STATE),
    (EffectSet::OPAQUE, Pins::HIDDEN_CODE),
    (EffectSet::DISCARD, Pins::DISCARD),
];

/// Reads a text.
#[must_use]
pub fn effects(text: &[u8]) -> TextEffects {
    if let Some(plain) = sql::plain(text, LexOptions::default()) {
        return TextEffects {
            is_one_query: plain.count == 1,
            statements: statements(plain.count),
            commands: !plain.ordinary && has_commands(text),
            ..TextEffects::NOTHING
        };
    }
    let facts = TextFacts::read(text, LexOptions::default());
    if facts.statements().is_empty() {
        let is_one_query = facts.count() == 1 && facts.flaw().is_none();
        let (statements, commands) = (statements(facts.count()), has_commands(text));
        return TextEffects { is_one_query, statements, commands, ..TextEffects::NOTHING };
    }
    let (timing, ddl) = timing(&facts, text);
    let all_kept = facts.statements().len() == facts.count();
    let mut pinning = if all_kept { EffectSet::NONE } else { facts.effects() };
    facts.statements().iter().for_each(|statement| pinning.add(beside_names(statement)));
    let mut pins = Pins::NONE;
    for (effect, pin) in PINNING {
        if pinning.has(effect) {
            pins = pins.and(pin);
        }
    }
    // In a statement that is understood otherwise; one that is not, Postgres refuses.
    let other_state = |statement: &StatementFacts| {
        statement.effects.has(EffectSet::UNKNOWN) && statement.kind != StatementKind::Unknown
    };
    if facts.statements().iter().any(other_state) {
        pins = pins.and(Pins::LASTING_STATE);
    }
    let mut sets = Pins::NONE;
    if facts.effects().has(EffectSet::SET) {
        sets = sets.and(Pins::PARAMETER);
    }
    if facts.effects().has(EffectSet::LISTEN) {
        // In code it may have run or not.
        let in_code = |statement: &StatementFacts| {
            statement.effects.has(EffectSet::LISTEN)
                && !matches!(statement.kind, StatementKind::Listen { .. })
        };
        if facts.statements().iter().any(in_code) {
            pins = pins.and(Pins::LISTEN);
        } else {
            sets = sets.and(Pins::LISTEN);
        }
    }
    for used in facts.statements().iter().flat_map(|s| &s.parameters) {
        if sets_placeholder(used) {
            sets = sets.and(Pins::PLACEHOLDER);
        }
        if used.writes() && used.target.may_be(b"seed") && used.target != Target::All {
            sets = sets.and(Pins::SEED);
        }
        // The numbers go on from the seed when the parameter has gone back.
        let named = matches!(&used.target, Target::Named(name) if *name == *"seed");
        if named && used.writes() && used.scope == Scope::Local {
            pins = pins.and(Pins::SEED);
        }
    }
    if facts.effects().has(EffectSet::SET_UNTRACKED) {
        pins = pins.and(std::mem::take(&mut sets));
    }
    TextEffects {
        pins,
        ending: ending(&facts),
        uses_names: !all_kept || facts.statements().iter().any(uses_names),
        sets_locally: facts.effects().has(EffectSet::SET_LOCAL),
        redefines: facts.statements().iter().any(redefines),
        is_one_query: false,
        sets,
        unlistens: facts.effects().has(EffectSet::UNLISTEN),
        notifies: facts.effects().has(EffectSet::NOTIFY),
        controls: facts.effects().has(EffectSet::TRANSACTION),
        defines_code: facts.statements().iter().any(|s| code::may_be_defined(s, text)),
        may_release: facts.statements().iter().any(|statement| may_release(statement, text)),
        timing,
        ddl: ddl || (!all_kept && facts.effects().has(EffectSet::DDL)),
        statements: statements(facts.count()),
        sets_limit_locally: facts
            .statements()
            .iter()
            .flat_map(|statement| &statement.parameters)
            .any(sets_limit_locally),
        commands: !only_controls(&facts) && has_commands(text),
    }
}

/// Whether a text is BEGIN, COMMIT and their family, and nothing else.
fn only_controls(facts: &TextFacts) -> bool {
    let controls =
        |statement: &StatementFacts| matches!(statement.kind, StatementKind::Transaction(_));
    facts.flaw().is_none()
        && facts.statements().len() == facts.count()
        && facts.statements().iter().all(controls)
}

/// Whether the guard's rules have anything to look for.
fn has_commands(text: &[u8]) -> bool {
    !sql::is_ordinary(text, LexOptions::default())
}

/// How a text stands to limits of time, and whether it has DDL that others queue behind.
fn timing(facts: &TextFacts, text: &[u8]) -> (Timing, bool) {
    let (mut maintains, mut only, mut ddl) = (false, true, false);
    for statement in facts.statements() {
        let upkeep = sql::upkeep(statement, text, LexOptions::default());
        maintains |= upkeep.maintenance;
        ddl |= upkeep.ddl;
        only &= upkeep.maintenance
            || matches!(
                statement.kind,
                StatementKind::Set | StatementKind::Reset | StatementKind::Transaction(_)
            );
    }
    let all_kept = facts.statements().len() == facts.count();
    let sets_limit =
        || Limit::ALL.into_iter().any(|limit| facts.reads_or_sets(limit.name().as_bytes()));
    let timing = match facts.transaction_control() {
        Some(
            TransactionControl::Commit { .. }
            | TransactionControl::Rollback { .. }
            | TransactionControl::PrepareTransaction
            | TransactionControl::CommitPrepared
            | TransactionControl::RollbackPrepared,
        ) => Timing::EndsTransaction,
        _ if maintains && only && all_kept => Timing::Maintenance,
        _ if !all_kept || sets_limit() => Timing::SetsLimit,
        _ => Timing::Plain,
    };
    (timing, ddl)
}

fn sets_limit_locally(used: &ParameterUse) -> bool {
    let may_be = |limit: Limit| used.target.may_be(limit.name().as_bytes());
    used.writes() && used.scope == Scope::Local && Limit::ALL.into_iter().any(may_be)
}

/// How many statements a text has.
fn statements(count: usize) -> u16 {
    u16::try_from(count.max(1)).unwrap_or(u16::MAX)
}

/// Whether a statement may give up locks, temporary objects or cursors that outlive transactions.
fn may_release(statement: &StatementFacts, text: &[u8]) -> bool {
    let gives_up = EffectSet::ADVISORY_UNLOCK
        .with(EffectSet::DISCARD)
        .with(EffectSet::CODE)
        .with(EffectSet::EXECUTE);
    let drops = || {
        let word = text.get(statement.span.start..).and_then(|rest| rest.get(..4));
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"drop"))
    };
    match statement.kind {
        StatementKind::Close { .. } => true,
        StatementKind::Utility => drops() || statement.effects.has(gives_up),
        _ => statement.effects.has(gives_up),
    }
}

/// DDL, or code that may be; temporary objects are their own session's.
fn redefines(statement: &StatementFacts) -> bool {
    let effects = statement.effects;
    effects.has(EffectSet::OPAQUE)
        || effects.has(EffectSet::UNKNOWN)
        || (effects.has(EffectSet::DDL) && !effects.has(EffectSet::TEMP))
}

fn sets_placeholder(used: &ParameterUse) -> bool {
    match &used.target {
        // SET LOCAL leaves an empty value behind as well; `docs/session.md` says so.
        Target::Named(name) => {
            used.writes() && used.scope != Scope::Local && name.as_bytes().contains(&b'.')
        }
        Target::All | Target::Param(_) | Target::Expression => false,
    }
}

fn ending(facts: &TextFacts) -> Ending {
    if let Some(TransactionControl::Rollback { chain: false }) = facts.transaction_control() {
        return Ending::Rollback;
    }
    // What stands behind a ROLLBACK is committed at the end of the text, but for what BEGIN takes up.
    let (mut rolled_back, mut writes) = (false, false);
    for statement in facts.statements() {
        let may_commit = match &statement.kind {
            StatementKind::Transaction(control) => match control {
                TransactionControl::Commit { .. }
                | TransactionControl::PrepareTransaction
                | TransactionControl::CommitPrepared => true,
                TransactionControl::Begin(_) => {
                    (rolled_back, writes) = (false, false);
                    false
                }
                TransactionControl::Rollback { chain } => {
                    (rolled_back, writes) = (!chain, false);
                    false
                }
                TransactionControl::Savepoint(_)
                | TransactionControl::Release(_)
                | TransactionControl::RollbackTo(_)
                | TransactionControl::RollbackPrepared
                | TransactionControl::SetTransaction(_) => false,
            },
            // Whatever the procedure does.
            StatementKind::Call => true,
            // Code that ends transactions.
            _ => {
                writes |= rolled_back;
                statement.effects.has(EffectSet::TRANSACTION)
            }
        };
        if may_commit {
            return Ending::Commit;
        }
    }
    if writes { Ending::Commit } else { Ending::No }
}

/// The transaction control of a text's first statement, and whether it is the only one.
#[must_use]
pub fn control(text: &[u8]) -> Option<(Control, bool)> {
    let facts = sql::facts(text, LexOptions::default());
    let first = facts.statements().first()?;
    let StatementKind::Transaction(control) = &first.kind else { return None };
    let control = match control {
        TransactionControl::Begin(_) => Control::Begin,
        TransactionControl::Commit { chain: false } => Control::Commit,
        TransactionControl::Rollback { chain: false } => Control::Rollback,
        TransactionControl::Commit { chain: true }
        | TransactionControl::Rollback { chain: true }
        | TransactionControl::Savepoint(_)
        | TransactionControl::Release(_)
        | TransactionControl::RollbackTo(_)
        | TransactionControl::PrepareTransaction
        | TransactionControl::CommitPrepared
        | TransactionControl::RollbackPrepared
        | TransactionControl::SetTransaction(_) => Control::Other,
    };
    Some((control, facts.count() == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_are_set_in_plain_sight_are_followed() {
        let check = |text: &str, sets: Pins| {
            let found = effects(text.as_bytes());
            assert_eq!((found.pins, found.sets), (Pins::NONE, sets), "{text}");
        };
        check("set search_path = a", Pins::PARAMETER);
        check("reset all", Pins::PARAMETER);
        check("select set_config('a', 'b', false)", Pins::PARAMETER);
        check("select set_config('a', $1, $2)", Pins::PARAMETER);
        check("set app.x = 1", Pins::PARAMETER.and(Pins::PLACEHOLDER));
        check("set seed = 0.5", Pins::PARAMETER.and(Pins::SEED));
        check("listen a", Pins::LISTEN);
        check("set local a = 1", Pins::NONE);
        check("show a", Pins::NONE);
    }

    #[test]
    fn texts_pin_for_what_they_leave_on_the_server() {
        let check = |text: &str, pins: Pins, ending: Ending| {
            let found = effects(text.as_bytes());
            assert_eq!((found.pins, found.ending), (pins, ending), "{text}");
        };
        check("select 1", Pins::NONE, Ending::No);
        check("begin; set local a = 1; update t set x = 2", Pins::NONE, Ending::No);
        check("commit", Pins::NONE, Ending::Commit);
        check("rollback", Pins::NONE, Ending::Rollback);
        check("rollback; begin", Pins::NONE, Ending::No);
        check("update t set x = 1; end", Pins::NONE, Ending::Commit);
        check("call p()", Pins::NONE, Ending::Commit);
        check("set search_path = a", Pins::NONE, Ending::No);
        check("select set_config('a', b, false)", Pins::PARAMETER, Ending::No);
        let untracked = Pins::PARAMETER.and(Pins::PLACEHOLDER);
        check("select set_config('app.x', '1', false) from t", untracked, Ending::No);
        check("begin; set local app.x = 1", Pins::NONE, Ending::No);
        check("select set_config('a', 'b', true)", Pins::NONE, Ending::No);
        check("prepare x as select pg_advisory_lock(1); listen y", Pins::NONE, Ending::No);
        check("do $$ begin prepare x as select 1; end $$", Pins::SQL_PREPARE, Ending::No);
        check("do $$ begin discard plans; end $$", Pins::DISCARD, Ending::No);
        check("do $$ begin listen y; end $$", Pins::LISTEN, Ending::No);
        check("create temp table t (a int)", Pins::TEMPORARY, Ending::No);
        check("select pg_advisory_lock(1)", Pins::ADVISORY_LOCK, Ending::No);
        check("select pg_advisory_xact_lock(1)", Pins::NONE, Ending::No);
        check("declare c cursor with hold for select 1", Pins::HELD_CURSOR, Ending::No);
        check("load 'x'", Pins::LOAD, Ending::No);
        check("select setseed(0.5)", Pins::SEED, Ending::No);
        check("set local seed = 0.5", Pins::SEED, Ending::No);
        check("set local SEED to 0.5", Pins::SEED, Ending::No);
        check("select set_config('Seed', '0.5', true)", Pins::SEED, Ending::No);
        check(
            "select set_config('seed', '0.5', a) from t",
            Pins::SEED.and(Pins::PARAMETER),
            Ending::No,
        );
        check("select currval('s')", Pins::BACKEND_STATE, Ending::No);
        check("discard all", Pins::NONE, Ending::No);
        check("do $$ begin discard temp; end $$", Pins::DISCARD, Ending::No);
        check("discard temp; discard plans; discard sequences", Pins::NONE, Ending::No);
        check("do $$ begin execute x; end $$", Pins::HIDDEN_CODE, Ending::No);
        check("select dblink_connect('a', 'b')", Pins::LASTING_STATE, Ending::No);
        check(
            "select pg_create_physical_replication_slot('a', true, true)",
            Pins::LASTING_STATE,
            Ending::No,
        );
        check("selec 1", Pins::NONE, Ending::No);
        check("do language plperl 'x'", Pins::HIDDEN_CODE, Ending::No);
        check("do $$ begin perform 1; end $$", Pins::NONE, Ending::No);
    }

    #[test]
    fn texts_tell_what_they_do_to_prepared_statements() {
        let read = |text: &str| {
            let uses = effects(text.as_bytes()).uses_names;
            uses.then(|| named_use(text.as_bytes()))
        };
        let check = |text: &str, steps: &[(usize, NameStep)]| {
            let found = read(text).expect(text);
            assert_eq!(
                (&found.steps[..], found.sees_all, found.unclear),
                (steps, false, false),
                "{text}"
            );
        };
        let bytes = |text: &str| Box::<[u8]>::from(text.as_bytes());
        let execute = |name| NameStep::Execute(bytes(name));
        let deallocate = |name| NameStep::Deallocate(bytes(name));
        for text in ["select 1", "discard plans", "discard temp; discard sequences"] {
            assert_eq!(read(text), None, "{text}");
        }
        check("deallocate x", &[(0, deallocate("x"))]);
        check("DEALLOCATE PREPARE \"X y\";", &[(0, deallocate("X y"))]);
        check("deallocate all", &[(0, NameStep::DeallocateAll)]);
        check("discard all", &[(0, NameStep::DiscardAll)]);
        check("select 1; deallocate all", &[(1, NameStep::DeallocateAll)]);
        check("explain execute q; deallocate y", &[(0, execute("q")), (1, deallocate("y"))]);
        check("create table t as execute q(1)", &[(0, execute("q"))]);
        let prepare = NameStep::Prepare {
            name: bytes("p"),
            text: bytes("            prepare P (int) as select pg_advisory_lock($1)"),
            effects: effects(b"select pg_advisory_lock($1)"),
        };
        check("select 'ä'; prepare P (int) as select pg_advisory_lock($1); ", &[(1, prepare)]);
        // It is refused whole.
        check("deallocate x; select 'y", &[]);
        assert!(
            read("select name from pg_prepared_statements").is_some_and(|found| found.sees_all)
        );
        assert!(
            read("do $$ begin execute 'execute p'; end $$").is_some_and(|found| found.sees_all)
        );
        for code in
            ["do $$ begin execute 'deallocate all'; end $$", "do $$ begin execute x; end $$"]
        {
            assert!(read(code).is_some_and(|found| found.unclear), "{code}");
        }
    }

    #[test]
    fn transaction_control_alone_is_nothing_to_judge() {
        let check = |text: &str, commands: bool, controls: bool| {
            let found = effects(text.as_bytes());
            assert_eq!((found.commands, found.controls), (commands, controls), "{text}");
        };
        for text in [
            "begin",
            "START TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
            "begin; savepoint a; rollback to a; release a; commit and chain",
            "set transaction read only",
            "prepare transaction 'x'",
            "/* x */ end;",
        ] {
            check(text, false, true);
        }
        check("select 1", false, false);
        check("", false, false);
        check("set x = 1", true, false);
        check("begin; set local x = 1", true, true);
        check("commit; drop index i", true, true);
        check("commit; nonsense", true, true);
        check("commit /*", true, true);
        check("do $$ begin commit; end $$", true, true);
    }

    #[test]
    fn texts_that_may_come_again_are_one_query_and_ddl_redefines() {
        let check = |text: &str, one: bool, redefines: bool| {
            let found = effects(text.as_bytes());
            assert_eq!((found.is_one_query, found.redefines), (one, redefines), "{text}");
        };
        check("select a from t where b = $1", true, false);
        check("insert into t values ($1) returning a;", true, false);
        check("with x as (select 1) update t set a = 1", true, false);
        check("select 1; select 2", false, false);
        check("", false, false);
        check("begin", false, false);
        check("copy t from stdin", false, false);
        check("select nextval('s'), set_config('a', 'b', true)", false, false);
        check("alter table t add column a int", false, true);
        check("select 1; drop function f()", false, true);
        check("create temp table t (a int)", false, false);
        check("create temp table t (a int); alter table u add a int", false, true);
        check("do $$ begin execute x; end $$", false, true);
    }

    #[test]
    fn texts_that_may_give_up_what_pins_are_told_apart() {
        let check = |text: &str, expected: bool| {
            assert_eq!(effects(text.as_bytes()).may_release, expected, "{text}");
        };
        check("select pg_advisory_unlock(1)", true);
        check("select pg_catalog.pg_advisory_unlock_shared(1, 2)", true);
        check("select 1; select PG_ADVISORY_UNLOCK_ALL()", true);
        check("DROP TABLE mine", true);
        check("select 1; /* x */ drop view if exists mine", true);
        check("close mine", true);
        check("close all", true);
        check("discard temp", true);
        check("do $$ begin perform pg_advisory_unlock(1); end $$", true);
        check("call p()", true);
        check("execute p", true);
        check("select pg_advisory_lock(1)", false);
        check("create temp table mine (n int)", false);
        check("alter table mine drop column n", false);
        check("begin", false);
        check("commit", false);
        check("fetch 5 from mine", false);
        check("select 1", false);
    }

    #[test]
    fn texts_tell_which_limits_are_theirs() {
        let check = |text: &str, maintenance: bool, ddl: bool, statements: u16| {
            let found = effects(text.as_bytes());
            assert_eq!(
                (found.timing == Timing::Maintenance, found.ddl, found.statements),
                (maintenance, ddl, statements),
                "{}",
                &text[..text.len().min(80)]
            );
        };
        check("", false, false, 1);
        check("select 1", false, false, 1);
        check("select 1;; select 2;", false, false, 2);
        check("begin; select 1; commit", false, false, 3);
        check("create index concurrently i on t (a)", true, false, 1);
        check("set lock_timeout = 0; alter table t validate constraint c", true, false, 2);
        check("vacuum full t", true, true, 1);
        check("begin; truncate t; select 1", false, true, 3);
        check("selec 1; selec 2", false, false, 2);
        check(&"select 1;".repeat(70_000), false, false, u16::MAX);
        check("select 1; analyze t", false, false, 2);
        check("begin; analyze t; commit", true, false, 3);
        let many = "select 1;".repeat(10_000);
        check(&format!("{many} begin; alter table t add a int"), false, true, 10_002);
    }

    #[test]
    fn texts_that_set_limits_or_end_transactions_are_known_to_the_clock() {
        let check = |text: &str, timing: Timing, ending: Ending| {
            let found = effects(text.as_bytes());
            assert_eq!((found.timing, found.ending), (timing, ending), "{text}");
        };
        for text in [
            "set statement_timeout = 0",
            "set local lock_timeout = 5",
            "select 1; reset all",
            "select set_config('statement_timeout', '0', false), pg_sleep(8)",
            "select set_config($1, $2, false)",
            "do $$ begin perform set_config('statement_timeout', '0', false); end $$; select 1",
            "discard all",
        ] {
            check(text, Timing::SetsLimit, effects(text.as_bytes()).ending);
        }
        check("set work_mem = '1MB'; select 1", Timing::Plain, Ending::No);
        check("commit", Timing::EndsTransaction, Ending::Commit);
        check("rollback", Timing::EndsTransaction, Ending::Rollback);
        check("prepare transaction 'x'", Timing::EndsTransaction, Ending::Commit);
        check("commit; select 1", Timing::Plain, Ending::Commit);
        check("call p()", Timing::SetsLimit, Ending::Commit);
        check("rollback; insert into t values (1)", Timing::Plain, Ending::Commit);
        check("rollback; begin; insert into t values (1)", Timing::Plain, Ending::No);
        check("rollback and chain; insert into t values (1)", Timing::Plain, Ending::No);
    }

    #[test]
    fn reasons_have_names() {
        let names: Vec<_> = Pins::LISTEN.and(Pins::TEMPORARY).names().collect();
        assert_eq!(names, ["LISTEN", "temporary object"]);
        assert_eq!(Pins::HELD_CURSOR.word(), "with_hold_cursor");
        let bits = Pins::ALL.iter().fold(0, |bits, reason| bits | reason.bits());
        assert_eq!(bits.count_ones() as usize, Pins::ALL.len(), "each has a bit of its own");
    }

    #[test]
    fn transaction_control_is_read_from_the_first_statement() {
        let control = |text: &str| control(text.as_bytes());
        assert_eq!(control("COMMIT"), Some((Control::Commit, true)));
        assert_eq!(control("/* x */ abort;"), Some((Control::Rollback, true)));
        assert_eq!(control("rollback; begin"), Some((Control::Rollback, false)));
        assert_eq!(control("rollback to a"), Some((Control::Other, true)));
        assert_eq!(control("commit and chain"), Some((Control::Other, true)));
        assert_eq!(control("select 1"), None);
        assert_eq!(control("commit nonsense"), None);
    }
}
