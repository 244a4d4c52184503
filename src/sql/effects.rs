//! What a statement does to its session, as a set of flags, and why a session may have to stay on its server.
//!
//! Owns the two vocabularies. Deliberately absent: the policy. Whether a flag is tracked, pinned or refused is for
//! `session` and `guard` to say; [`PinReasons`] only names what cannot be tracked from texts.

use std::fmt;

/// A set of effects. Empty for a text that reads and writes tables and nothing else.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct EffectSet(u64);

macro_rules! effects {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl EffectSet {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, stringify!($name))),*];
        }
    };
}

effects! {
    /// Sets or resets a parameter for the session, and the text (with its Bind values) says which and to what.
    SET = 0;
    /// Sets a parameter until the end of the transaction.
    SET_LOCAL = 1;
    /// Sets a parameter for the session, or may, in a way that cannot be followed: an expression as name or value,
    /// a call that may run for no row or many, code.
    SET_UNTRACKED = 2;
    /// Reads a parameter: SHOW, `current_setting`.
    READS_PARAMETER = 3;
    /// Begins, ends or shapes a transaction; in code (DO, CALL), may end one.
    TRANSACTION = 4;
    /// PREPARE.
    PREPARE = 5;
    /// EXECUTE of a statement prepared in SQL, also inside EXPLAIN and CREATE TABLE AS.
    EXECUTE = 6;
    /// DEALLOCATE.
    DEALLOCATE = 7;
    /// DISCARD of any kind.
    DISCARD = 8;
    /// LISTEN.
    LISTEN = 9;
    /// UNLISTEN.
    UNLISTEN = 10;
    /// NOTIFY, `pg_notify`.
    NOTIFY = 11;
    /// LOAD.
    LOAD = 12;
    /// Makes a temporary object, or names the temporary schema, or puts it into `search_path`.
    TEMP = 13;
    /// Takes an advisory lock that outlives the transaction.
    ADVISORY_LOCK = 14;
    /// Gives up such a lock.
    ADVISORY_UNLOCK = 15;
    /// Takes an advisory lock that ends with the transaction.
    ADVISORY_XACT_LOCK = 16;
    /// `setseed`: survives DISCARD ALL.
    SETSEED = 17;
    /// `nextval`, `setval`: what a later `currval` or `lastval` reads.
    SEQUENCE_MOVE = 18;
    /// `currval`, `lastval`: reads what this session did to a sequence.
    SEQUENCE_READ = 19;
    /// Opens, uses or closes a named dblink connection, which lives in the session.
    DBLINK = 20;
    /// `pg_export_snapshot`: valid as long as this transaction.
    EXPORT_SNAPSHOT = 21;
    /// Large-object descriptors and writes: valid as long as this transaction.
    LARGE_OBJECT = 22;
    /// Declares, reads or closes a cursor of the transaction.
    CURSOR = 23;
    /// DECLARE … WITH HOLD.
    HOLD_CURSOR = 24;
    /// COPY.
    COPY = 25;
    /// Changes the catalog; prepared statements may have to be planned again or may fail.
    DDL = 26;
    /// Runs code on the server: DO, CALL. What was found inside a DO block is in the same set.
    CODE = 27;
    /// Runs SQL that the text does not show: EXECUTE of an expression, another language, `query_to_xml`.
    OPAQUE = 28;
    /// Refuses, or may refuse, to run in a transaction block; it must be sent alone.
    NO_BLOCK = 29;
    /// A PREPARE, LISTEN, DEALLOCATE, UNLISTEN or DISCARD inside a DO block: it may or may not have run.
    MAYBE = 30;
    /// Begins with no word we know, or is nested beyond the limit: nothing can be said.
    UNKNOWN = 31;
    /// Sees prepared statements whose names the text does not show: `pg_prepared_statements`, EXECUTE inside a DO
    /// block.
    SEES_PREPARED = 32;
}

impl EffectSet {
    /// No effect.
    pub const NONE: Self = Self(0);

    /// What makes a text more than plain: everything but reads and what ends with its transaction by itself.
    pub const STATEFUL: Self = Self::SET
        .with(Self::SET_LOCAL)
        .with(Self::SET_UNTRACKED)
        .with(Self::TRANSACTION)
        .with(Self::PREPARE)
        .with(Self::EXECUTE)
        .with(Self::DEALLOCATE)
        .with(Self::DISCARD)
        .with(Self::LISTEN)
        .with(Self::UNLISTEN)
        .with(Self::LOAD)
        .with(Self::TEMP)
        .with(Self::ADVISORY_LOCK)
        .with(Self::ADVISORY_UNLOCK)
        .with(Self::SETSEED)
        .with(Self::SEQUENCE_MOVE)
        .with(Self::SEQUENCE_READ)
        .with(Self::DBLINK)
        .with(Self::CURSOR)
        .with(Self::HOLD_CURSOR)
        .with(Self::SEES_PREPARED)
        .with(Self::UNKNOWN);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set, less `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What both sets hold.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True when this set holds at least one of `other`.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// True when nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds `other`.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for EffectSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Self::NAMES.iter().filter(|(e, _)| self.has(*e)).map(|(_, name)| name))
            .finish()
    }
}

/// Why a session must keep its server between transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PinReason {
    /// A temporary table, view or sequence.
    TempTable,
    /// An advisory lock of the session.
    AdvisoryLock,
    /// A cursor that outlives its transaction.
    HoldCursor,
    /// A parameter set in a way that cannot be followed.
    Set,
    /// A statement prepared in SQL where that cannot be followed.
    Prepare,
    /// A LISTEN that cannot be followed.
    Listen,
    /// A library loaded into the server process.
    Load,
    /// The random seed.
    SetSeed,
    /// A dblink connection.
    Dblink,
    /// Nothing is known about the statement.
    Unknown,
}

impl PinReason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::TempTable,
        Self::AdvisoryLock,
        Self::HoldCursor,
        Self::Set,
        Self::Prepare,
        Self::Listen,
        Self::Load,
        Self::SetSeed,
        Self::Dblink,
        Self::Unknown,
    ];

    /// The words for logs, metrics and SHOW PINS.
    pub fn name(self) -> &'static str {
        match self {
            Self::TempTable => "temp table",
            Self::AdvisoryLock => "advisory lock",
            Self::HoldCursor => "WITH HOLD cursor",
            Self::Set => "SET",
            Self::Prepare => "PREPARE",
            Self::Listen => "LISTEN",
            Self::Load => "LOAD",
            Self::SetSeed => "setseed",
            Self::Dblink => "dblink",
            Self::Unknown => "unknown",
        }
    }
}

/// A set of reasons.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct PinReasons(u16);

impl PinReasons {
    /// The reasons that lie in the effects of one statement.
    pub fn of(effects: EffectSet) -> Self {
        let mut reasons = Self::default();
        let mut add = |present: bool, reason| {
            if present {
                reasons.insert(reason);
            }
        };
        add(effects.has(EffectSet::TEMP), PinReason::TempTable);
        add(effects.has(EffectSet::ADVISORY_LOCK), PinReason::AdvisoryLock);
        add(effects.has(EffectSet::HOLD_CURSOR), PinReason::HoldCursor);
        add(effects.has(EffectSet::SET_UNTRACKED), PinReason::Set);
        let maybe = effects.has(EffectSet::MAYBE);
        add(maybe && effects.has(EffectSet::PREPARE), PinReason::Prepare);
        add(maybe && effects.has(EffectSet::LISTEN), PinReason::Listen);
        add(effects.has(EffectSet::LOAD), PinReason::Load);
        add(effects.has(EffectSet::SETSEED), PinReason::SetSeed);
        add(effects.has(EffectSet::DBLINK), PinReason::Dblink);
        add(effects.has(EffectSet::UNKNOWN), PinReason::Unknown);
        reasons
    }

    /// Adds one reason.
    pub fn insert(&mut self, reason: PinReason) {
        self.0 |= 1 << reason as u16;
    }

    /// Adds every reason of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// True when `reason` is in the set.
    pub fn contains(self, reason: PinReason) -> bool {
        self.0 & (1 << reason as u16) != 0
    }

    /// True when nothing pins.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons, in the order of [`PinReason::ALL`].
    pub fn iter(self) -> impl Iterator<Item = PinReason> {
        PinReason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }
}

impl fmt::Debug for PinReasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
