//! What a text does to the session that runs it, as far as pooling must know.

/// Why a session keeps its server beyond its transactions: a set of reasons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins(u32);

macro_rules! pins {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $text:expr;)*) => {
        impl Pins {
            $($(#[$doc])* pub const $name: Pins = Pins(1 << $bit);)*

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
    /// PREPARE, EXECUTE, DEALLOCATE.
    SQL_PREPARE = 2, "PREPARE";
    /// A named statement of the extended protocol.
    NAMED_STATEMENT = 3, "named statement";
    /// LISTEN or UNLISTEN.
    LISTEN = 4, "LISTEN";
    /// A temporary table, view or sequence.
    TEMPORARY = 5, "temporary object";
    /// A session advisory lock.
    ADVISORY_LOCK = 6, "advisory lock";
    /// A cursor WITH HOLD.
    HELD_CURSOR = 7, "WITH HOLD cursor";
    /// LOAD: its server is never shared again.
    LOAD = 8, "LOAD";
    /// `setseed`, `lastval`, `currval` and other state of the backend that pgweir cannot see.
    BACKEND_STATE = 9, "backend state";
    /// A fast-path function call other than on a large object.
    FUNCTION_CALL = 10, "function call";
    /// A text over `max_statement_size`, which nobody has read.
    UNREAD_TEXT = 11, "unread text";
    /// DISCARD: what it discards is unknown until it has run.
    DISCARD = 12, "DISCARD";
}

impl Pins {
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
    pub fn and(self, other: Pins) -> Pins {
        Pins(self.0 | other.0)
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

/// What a text does to the session that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextEffects {
    /// What it leaves behind on the server.
    pub pins: Pins,
    /// Whether it ends a transaction.
    pub ending: Ending,
}

/// Reads a text.
#[must_use]
pub fn effects(_text: &[u8]) -> TextEffects {
    TextEffects { pins: Pins::NONE, ending: Ending::No }
}

/// The transaction control of a text's first statement, and whether it is the only one.
#[must_use]
pub fn control(_text: &[u8]) -> Option<(Control, bool)> {
    None
}
