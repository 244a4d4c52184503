//! The limits in time that pgweir's clock enforces.

/// A limit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockLimit {
    /// `statement_timeout`.
    Statement,
    /// `maintenance_timeout`.
    Maintenance,
    /// `transaction_timeout`.
    Transaction,
    /// `idle_in_transaction_timeout`.
    IdleInTransaction,
}

impl ClockLimit {
    /// All of them.
    pub const ALL: [ClockLimit; 4] = [
        ClockLimit::Statement,
        ClockLimit::Maintenance,
        ClockLimit::Transaction,
        ClockLimit::IdleInTransaction,
    ];

    /// Its key in the configuration.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            ClockLimit::Statement => "statement_timeout",
            ClockLimit::Maintenance => "maintenance_timeout",
            ClockLimit::Transaction => "transaction_timeout",
            ClockLimit::IdleInTransaction => "idle_in_transaction_timeout",
        }
    }
}
