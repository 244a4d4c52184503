//! The limits in time that pgweir's clock enforces.

/// A limit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `statement_timeout`.
    Statement,
    /// `maintenance_timeout`.
    Maintenance,
    /// `transaction_timeout`.
    Transaction,
    /// `idle_in_transaction_timeout`.
    IdleInTransaction,
}

impl Limit {
    /// All of them.
    pub const ALL: [Limit; 4] =
        [Limit::Statement, Limit::Maintenance, Limit::Transaction, Limit::IdleInTransaction];

    /// Its key in the configuration.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Limit::Statement => "statement_timeout",
            Limit::Maintenance => "maintenance_timeout",
            Limit::Transaction => "transaction_timeout",
            Limit::IdleInTransaction => "idle_in_transaction_timeout",
        }
    }
}
